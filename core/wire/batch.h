/* batch.h: record batches of format 2 ("magic 2"), the unit in which records travel, rest in segments and come back:
 * read, check, patch, walk, unpack and build them. Bytes belong to the caller throughout. No state, no lock; any
 * thread. */
#ifndef CHRONIK_WIRE_BATCH_H
#define CHRONIK_WIRE_BATCH_H

#include "base/base.h"
#include "base/err.h"
#include "wire/codec.h"

/* A batch, big-endian (KIP-98): base offset 8, length of what follows 4, leader epoch 4, magic 1, CRC-32C of what
 * follows 4, attributes 2, last offset delta 4, base timestamp 8, max timestamp 8, producer id 8, producer epoch 2,
 * base sequence 4, record count 4, records (as one compressed block, or plain). */
enum {
    BATCH_HEAD = 61,   /* bytes before the records */
    BATCH_PREFIX = 12, /* bytes that the length field does not count */
    BATCH_MAGIC = 2,
};

/* attributes */
enum {
    BATCH_CODEC_MASK = 0x07,
    BATCH_LOG_APPEND_TIME = 0x08, /* max timestamp is the time of all records */
    BATCH_TRANSACTIONAL = 0x10,
    BATCH_CONTROL = 0x20,
    BATCH_DELETE_HORIZON = 0x40, /* base timestamp is a delete horizon */
};

struct batch_head {
    int64_t base_offset;
    uint64_t bytes; /* of the whole batch */
    int32_t leader_epoch;
    int8_t magic;
    uint32_t crc;
    int16_t attributes;
    int32_t last_offset_delta;
    int64_t base_timestamp, max_timestamp; /* ms */
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t n_records;
    /* Set by batch_check when it saw the records: their true range of timestamps; else as the two above. */
    int64_t seen_min_timestamp, seen_max_timestamp;
};

/* Reads the first BATCH_HEAD bytes; checks nothing. */
void batch_head_read(const void *p, struct batch_head *out);

/* batch_check's flags */
enum {
    BATCH_NEEDS_KEYS = 1, /* a record without key is refused (compacted topics); unpacks */
    BATCH_STORED = 2,     /* from a log, not from a client: log append times, control batches and gaps are fine */
    BATCH_UNPACK = 4,     /* look into compressed records too */
};

/* What is wrong with a batch: a static sentence, and the record's index or -1. */
struct batch_problem {
    int32_t record;
    const char *why;
};

/* Checks the batch at the beginning of the `n` bytes at `p`: sizes, magic, CRC-32C, attributes, counts, and, unless
 * they are compressed, each record. More bytes may follow (head->bytes < n). Returns a Kafka error code: NONE;
 * CORRUPT_MESSAGE; INVALID_RECORD; INVALID_TIMESTAMP; UNSUPPORTED_COMPRESSION_TYPE. `head` is set as soon as n >=
 * BATCH_HEAD. Allocates only to unpack, at most BATCH_UNPACKED_MOST bytes. */
int16_t batch_check(const void *p, size_t n, struct batch_head *head, unsigned flags, struct batch_problem *problem);

enum { BATCH_UNPACKED_MOST = 256 << 20 };

/* The same in two steps, for who brings the memory. batch_check_head looks at the head alone; batch_check_body at the
 * checksum, then at each record, also of a compressed batch. There, offsets that ascend with gaps are no error but
 * noted, since old clients wrote such batches. */
struct batch_unpacking {
    struct codec_buf *buf; /* for compressed records; kept by the caller */
    size_t limit;          /* of unpacked bytes */
    /* out */
    const uint8_t *payload; /* the plain records, in the batch or in buf */
    size_t payload_n;
    bool keyless, gaps; /* a record without key; an offset delta that is not its index */
};
int16_t batch_check_head(const void *p, size_t n, struct batch_head *head, unsigned flags,
                         struct batch_problem *problem);
int16_t batch_check_body(const void *p, struct batch_head *head, unsigned flags, struct batch_unpacking *u,
                         struct batch_problem *problem);

/* Sets base offset and leader epoch; both lie outside of the CRC. */
void batch_patch(void *p, int64_t base_offset, int32_t leader_epoch);
/* Sets the max timestamp, and that it is not the time of all records; or with `append_time` also the attribute that
 * makes it the time of all records; corrects the CRC, which must have been right, without reading the records. `n` is
 * the batch's size. */
void batch_patch_max_timestamp(void *p, size_t n, int64_t ms);
void batch_patch_append_time(void *p, size_t n, int64_t ms);

/* Steps through the batches of a range: reads the head at *p. DONE: the batch lies wholly in the range; *p and *n now
 * stand behind it and `at`, if not NULL, got its place. 0: the range ends here, or inside a batch. E_CORRUPT: no batch
 * of format 2 begins here. The CRC is not checked. */
int32_t batch_next(const uint8_t **p, size_t *n, struct batch_head *head, const uint8_t **at);

/* ---- records ---- */

struct batch_record {
    int64_t offset, timestamp;
    const uint8_t *key, *value; /* NULL when null */
    int32_t key_n, value_n;     /* -1 when null */
    int32_t n_headers;
    const uint8_t *headers; /* batch_header_next reads them */
    uint32_t headers_n;     /* bytes */
};

struct batch_header {
    const uint8_t *key, *value;
    int32_t key_n, value_n; /* value -1 when null */
};

/* Walks plain records. */
struct batch_iter {
    const uint8_t *p, *end;
    int64_t base_offset, base_timestamp;
    int64_t append_time;  /* with `timed`: the time of all */
    int32_t left;         /* records to come */
    int32_t offset_delta; /* of the last record */
    bool timed;
    const char *why; /* set with E_CORRUPT */
};

/* `payload` are the plain records of the batch: what follows the head, or what batch_unpack gave. */
void batch_iter_init(struct batch_iter *it, const struct batch_head *h, const void *payload, size_t n);
/* DONE with a record that borrows from the payload; 0 at the end; E_CORRUPT. */
int32_t batch_iter_next(struct batch_iter *it, struct batch_record *out);
/* Takes the next header of a record from the front; DONE, or 0 when none is left. The iterator has checked them. */
int32_t batch_header_next(struct batch_record *r, struct batch_header *out);

/* The plain records of a whole batch: borrowed from it, or unpacked into `buf` (at most `limit` bytes). DONE;
 * E_CORRUPT; E_TOOBIG; E_NOMEM; E_UNSUPPORTED codec. */
int32_t batch_unpack(const struct batch_head *h, const void *batch, struct codec_buf *buf, size_t limit,
                     const uint8_t **payload, size_t *n, struct err *e);

/* Calls `each` for the records of the whole batch at `p`, until it returns false. Unpacks as batch_unpack, with
 * BATCH_UNPACKED_MOST. DONE or a negative code. */
int32_t batch_each_record(const void *p, size_t n, bool (*each)(void *arg, const struct batch_record *r), void *arg);

/* ---- building: for tests, tools, __meta and control batches ---- */

struct batch_build {
    struct codec_buf out;  /* the batch; reusable */
    struct codec_buf pack; /* scratch */
    struct batch_head head;
    bool failed; /* memory was short; batch_finish says so */
};

/* Begins a batch. Of `h` the base offset, leader epoch, attributes (codec, control, ...), producer id, epoch and
 * sequence count; batch_build_plain gives the usual ones. The memory of `b` (zero at first) is kept from batch to
 * batch. */
void batch_begin(struct batch_build *b, const struct batch_head *h);
static inline struct batch_head batch_build_plain(int64_t base_offset, int codec)
{
    return (struct batch_head){.base_offset = base_offset,
                               .attributes = (int16_t)codec,
                               .producer_id = -1,
                               .producer_epoch = -1,
                               .base_sequence = -1};
}
/* Adds a record with the next offset. key/value NULL are null. */
void batch_add(struct batch_build *b, int64_t timestamp, const void *key, size_t key_n, const void *value,
               size_t value_n, const struct batch_header *headers, int32_t n_headers);
/* Packs and seals. DONE with the bytes, which live until the next batch_begin; E_NOMEM; E_INVAL without records; a
 * codec's error. */
int32_t batch_finish(struct batch_build *b, const uint8_t **p, size_t *n);
void batch_build_free(struct batch_build *b);
/* The batch of `h` and its checked plain records in another codec, offsets without gaps. Results as batch_finish. */
int32_t batch_repack(struct batch_build *b, const struct batch_head *h, const uint8_t *payload, size_t payload_n,
                     int codec, int level, const uint8_t **p, size_t *n);

#endif
