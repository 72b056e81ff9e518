/* wire.h: Kafka protocol messages as C structs. The definitions in messages/ give each message one struct (the union of
 * the fields of all versions) and one table; one decoder and one encoder walk the tables. Decoding borrows strings,
 * bytes and records from the frame and takes arrays from the request's arena. No state, no lock; any thread, its own
 * arena and out. */
#ifndef CHRONIK_WIRE_H
#define CHRONIK_WIRE_H

#include <chronik/base.h>

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"

/* ---- how fields look in C ----
 * bool, int8_t … int64_t, uint16_t, double, struct chronik_uuid as such; an array is struct { T *v; int32_t n; } with
 * n -1 for null; a struct that may be null is a pointer, any other stands in place. A message or element begins as a
 * copy of its default: `struct wire_fetch_request r = wire_fetch_request_default;`. */

/* n bytes, not terminated; n -1 is null. Zero-initialized it is the empty string. */
struct wire_str {
    const char *p;
    int32_t n;
};

struct wire_bytes {
    const uint8_t *p;
    int32_t n; /* -1 is null */
};

/* Record batches. Decoded: borrowed from the frame, which the broker patches in place, so `p` is writable. To encode:
 * the bytes at `p`, or, with `ref`, n bytes that the encoder leaves out and notes as an insert (a file range). */
struct wire_records {
    uint8_t *p;
    int32_t n; /* -1 is null */
    void *ref;
};

/* A C string as a wire_str; NULL is null. Borrows. */
static inline struct wire_str wire_str(const char *s)
{
    return (struct wire_str){s, s ? (int32_t)strlen(s) : -1};
}

static inline bool wire_str_eq(struct wire_str a, struct wire_str b)
{
    return a.n == b.n && (a.n <= 0 || memcmp(a.p, b.p, (size_t)a.n) == 0);
}

static inline bool wire_str_is(struct wire_str a, const char *s)
{
    return wire_str_eq(a, wire_str(s));
}

/* ---- the tables, generated; the walkers and tests read them ---- */

enum wire_type {
    WIRE_BOOL,
    WIRE_INT8,
    WIRE_INT16,
    WIRE_UINT16,
    WIRE_INT32,
    WIRE_INT64,
    WIRE_FLOAT64,
    WIRE_UUID,
    WIRE_STRING,
    WIRE_BYTES,
    WIRE_RECORDS,
    WIRE_STRUCT,
};

enum {
    WIRE_ARRAY = 1,
    WIRE_IGNORABLE = 2, /* a value that the version cannot carry is dropped, else it is an error */
    WIRE_PLAIN = 4,     /* never compact */
    WIRE_POINTER = 8,   /* a struct that may be null */
};

enum { WIRE_NEVER = 127 }; /* as `flexible`: no version is */

struct wire_struct;

struct wire_field {
    const char *name;
    const struct wire_struct *sub; /* WIRE_STRUCT: of the value or the elements */
    uint16_t offset;               /* in the C struct */
    uint8_t type, flags;
    int8_t min, max;           /* the versions that have it */
    int8_t null_min, null_max; /* the versions that allow null; an empty range when none */
    int8_t tag;                /* -1: not tagged */
};

struct wire_struct {
    const struct wire_field *fields; /* the untagged ones in order, then the tagged ones by tag */
    const void *defaults;            /* an instance */
    const uint16_t *least;           /* bytes a struct takes at least, by version - min */
    uint16_t size;                   /* of the C struct */
    uint16_t slack;                  /* bytes its scalars and lengths take at most */
    uint8_t n_untagged, n_fields;
    int8_t min;
};

enum wire_kind { WIRE_REQUEST, WIRE_RESPONSE, WIRE_DATA };

struct wire_msg {
    const char *name; /* "FetchRequest" */
    const struct wire_struct *root;
    uint16_t size; /* of the C struct */
    int16_t key;   /* -1 for data */
    uint8_t kind;
    int8_t min, max; /* versions, inclusive */
    int8_t flexible; /* the first flexible version or WIRE_NEVER */
};

struct wire_api {
    const char *name; /* "Fetch"; NULL: no such API (retired keys) */
    const struct wire_msg *request, *response;
    int16_t key;
    int8_t min, max;   /* versions that decode */
    int8_t flexible;   /* from this version on headers are flexible too */
    int8_t advertised; /* the lowest version to name in ApiVersions; below `min` for Produce */
};

extern const struct wire_api wire_apis[]; /* by key, wire_apis_end entries */
extern const int wire_apis_end;
extern const struct wire_msg *const wire_messages[]; /* all of them; ends with NULL */

/* The row of an API key, or NULL. */
const struct wire_api *wire_api(int key);

/* ---- decoding ---- */

/* Decodes exactly the `n` bytes at `p` into `out`, the message's struct. Strings, bytes and records point into `p`;
 * arrays and nullable structs live in `a`. Fields that the version lacks get their defaults; unknown tags are skipped.
 * CHRONIK_DONE; E_VERSION; E_CORRUPT (malformed, also when bytes are left over); E_NOMEM (the arena is exhausted: give
 * it a limit, since a byte of the frame can become about a hundred of structs). The text names message, field and
 * position. */
int32_t wire_decode(const struct wire_msg *m, int version, const void *p, size_t n, struct arena *a, void *out,
                    struct err *e) MUST_CHECK;

/* As wire_decode, but bytes may be left over: *used says how many belong to the message. Requests are read so, since
 * Kafka never looks behind a message and clients lean on it: librdkafka 2.15 asks for all topics in Metadata 13 with
 * three bytes too many. */
int32_t wire_decode_prefix(const struct wire_msg *m, int version, const void *p, size_t n, struct arena *a, void *out,
                           size_t *used, struct err *e) MUST_CHECK;

/* ---- encoding ---- */

/* Bytes that are not in the buffer: `n` of `ref`, to be sent before the byte at `at`. Ascending. */
struct wire_insert {
    size_t at;
    void *ref;
    int32_t n;
};

/* A growing buffer; keep and reuse it, it allocates only to grow. */
struct wire_out {
    uint8_t *p;
    size_t n, cap; /* bytes used, bytes held */
    size_t limit;  /* refuse to hold more; 0 = no limit */
    struct wire_insert *inserts;
    uint32_t n_inserts, cap_inserts;
    uint64_t inserted; /* the sum of all inserts' n */
};

void wire_out_init(struct wire_out *o, size_t limit);
void wire_out_free(struct wire_out *o);
/* Empties it; the memory stays for the next message. */
void wire_out_reset(struct wire_out *o);
/* Gives the memory back when it holds more than `keep` bytes; it must be empty. */
void wire_out_trim(struct wire_out *o, size_t keep);
/* Makes room for `n` more bytes; false when memory or the limit is exhausted. */
bool wire_out_reserve(struct wire_out *o, size_t n) MUST_CHECK;

/* Appends the message `in`. CHRONIK_DONE; E_VERSION; E_UNSUPPORTED (a field holds a value that the version cannot carry
 * and that must not be dropped); E_INVAL (null where the version allows none, or too long); E_NOMEM. After an error `o`
 * is as before. */
int32_t wire_encode(const struct wire_msg *m, int version, const void *in, struct wire_out *o,
                    struct err *e) MUST_CHECK;

/* Appends an answer to the request in the `n` bytes at `body` that names each of its elements with the error `code`,
 * without decoding it: for a request that does not fit into memory. `whole` is its length when only the first `n` bytes
 * are here. DONE; E_FAILED (malformed, an element begins behind what is here, or no memory for the answer): `o` is as
 * before. */
int32_t wire_refuse(const struct wire_api *api, int version, const void *body, size_t n, size_t whole, int16_t code,
                    struct wire_out *o) MUST_CHECK;

/* Fills `out` with the message's defaults. */
void wire_set_defaults(const struct wire_msg *m, void *out);

/* ---- headers: a frame is a 4-byte length, a header and a message ---- */

struct wire_request_head {
    const struct wire_api *api;
    int16_t key, version;
    int32_t correlation;
    struct wire_str client_id; /* borrowed; may be null */
    const uint8_t *body;       /* what is left of the frame */
    size_t body_n;
};

/* Reads the header at the beginning of a request's frame (without the length). DONE; E_VERSION: the same, but the body
 * cannot be decoded, ApiVersions is answered in version 0; E_UNSUPPORTED: no such API, only key, version and
 * correlation are set; E_CORRUPT: as E_UNSUPPORTED, or, of less than 8 bytes, nothing is set. Borrows. */
int32_t wire_get_request_header(const void *p, size_t n, struct wire_request_head *out, struct err *e) MUST_CHECK;

/* Appends the header of a response to a request of this API and version. DONE or E_NOMEM. */
int32_t wire_put_response_header(struct wire_out *o, const struct wire_api *api, int version,
                                 int32_t correlation) MUST_CHECK;

/* For clients: reads the header of a response; *body is the header's length. DONE or E_CORRUPT. */
int32_t wire_get_response_header(const struct wire_api *api, int version, const void *p, size_t n, int32_t *correlation,
                                 size_t *body, struct err *e) MUST_CHECK;

/* For clients: appends a whole frame: length, header, message. Errors as wire_encode; E_TOOBIG when the length cannot
 * be said in 31 bits. After an error `o` is as before. */
int32_t wire_encode_request(const struct wire_api *api, int version, int32_t correlation, struct wire_str client_id,
                            const void *body, struct wire_out *o, struct err *e) MUST_CHECK;

/* ---- showing ---- */

/* A message as JSON on one line, the fields of `version` only; NUL-terminated, in the arena. Bytes and records show as
 * their length. NULL when memory is short. */
char *wire_dump(const struct wire_msg *m, int version, const void *in, struct arena *a) MUST_CHECK;

#endif
