/* api.h: from a frame to a handler and back. One file an API key holds its handler and its registration row; this
 * header is what they share: the request, how it ends, and the broker's parts that a handler may use.
 *
 * Threads: a request lives on its connection's loop. A handler that waits for another thread is called back there and
 * posts its own task to the loop. Nothing here blocks; what may wait for a disk goes to a worker. */
#ifndef CHRONIK_API_H
#define CHRONIK_API_H

#include "base/arena.h"
#include "base/metrics.h"
#include "config/config.h"
#include "meta/meta.h"
#include "net/net.h"
#include "os/os.h"
#include "partition/part.h"
#include "wire/codes.h"
#include "wire/messages.h"
#include "wire/wire.h"

struct api;
struct api_req;

/* How an API key is served. Versions are those of wire's table unless narrowed here. */
struct api_row {
    int16_t key;
    int16_t min, max; /* offered in ApiVersions; 0, 0: all of wire's */
    /* `body` is the decoded request (struct wire_..._request), borrowed from frame and arena. */
    void (*handle)(struct api_req *r, const void *body);
};

struct api_req_list {
    struct api_req *first, *last;
};

/* What a loop keeps for its requests. */
struct api_loop {
    struct api *api;
    uint32_t no;
    struct os_exec *exec;
    struct meta_reader *reader;
    struct part_scratch scratch; /* for produced batches */
    struct api_req *free;        /* pooled */
    uint32_t n_free;
    struct api_req *parked; /* waiting fetches, for draining */
    struct chronik_task drain;
    struct api_req *gate, *gate_tail; /* requests that wait for the start */
    struct api_req_list gathered;     /* produce requests that are appended together, before anything else runs */
    struct api_req_list paused;       /* for which the store had no room */
    struct api_req_list waiting;      /* for their turn: order.h, and what follows */
    struct chronik_task turn_task;
    bool turn_posted;
    void (*begin)(struct api_req *r);
    void (*rest)(struct api_loop *l);
    struct chronik_task resume;
    struct commit_job *committed, *committed_last; /* answers on their way here; the commit queue's */
    struct chronik_task committed_task;
    bool open;
    struct chronik_task open_task, gate_timer;
};

struct api_config {
    struct os *os;
    struct config *config;
    struct meta *meta;
    struct part_set *parts;
    struct coord *coord;
    const char *const *log_dirs; /* absolute paths by directory number */
    const struct chronik_uuid *log_dir_ids;
    uint32_t n_log_dirs;
    int32_t node_id;
    int64_t gate_ns; /* requests wait at most this long for api_open; 0: not at all */
};

struct api {
    struct api_config c;
    struct net *net;
    uint32_t n_loops;
    struct api_loop *loops;
    const struct api_row *rows[128]; /* by key; NULL: not offered */
    struct metric *latency[128];
    struct fetch_sessions *sessions;
    struct producer_ids *producer_ids;
    struct commit_queue *commits;
    struct meta_log *meta_log; /* meta_topic.h */
    struct metric *errors;
    bool draining;
};

struct api_req {
    struct net_req *net;
    struct api *api;
    struct api_loop *loop;
    const struct api_row *row;
    int16_t key, version;
    int32_t correlation;
    struct wire_str client_id;
    struct arena arena;
    struct wire_out out;
    struct chronik_task task;  /* the handler's: posted to the loop from other threads */
    struct chronik_task timer; /* the handler's */
    void *state;               /* the handler's */
    /* The peer is gone: end soon. Set by a handler that waits long; it must still end the request. */
    void (*cancel)(struct api_req *r);
    void (*sent)(struct api_req *r); /* the answer is out, or was dropped: release what it named */
    bool gone;
    bool waits, ended;           /* for its turn; answered, though perhaps held behind others: order.h */
    struct api_req *next, *prev; /* the pool's, or the handler's while it waits */
};

/* ---- life ---- */
struct api *api_new(const struct api_config *c);
/* The table for net_open; then, with the net open and before it listens, api_start. */
void api_handler(struct api *a, struct net_handler *out);
int32_t api_start(struct api *a, struct net *net, struct err *e);
/* Until api_open, requests other than ApiVersions wait at the gate, for at most gate_ns from the start. api_set_meta
 * must come before either end of the gate. */
int32_t api_set_meta(struct api *a, struct meta *meta, struct err *e);
void api_open(struct api *a); /* any thread */
/* Ends waiting fetches early; any thread. */
void api_drain(struct api *a);
void api_free(struct api *a);

/* ---- ending a request: on its loop, exactly one of these ---- */

/* Encodes the response struct of this key and version and sends it. */
void api_answer(struct api_req *r, const void *response);
void api_no_answer(struct api_req *r);
/* Closes the connection; why is a clause for the log. */
void api_drop(struct api_req *r, const char *why);
/* Memory ran out: the client is told UNKNOWN_SERVER_ERROR, in Produce and ListOffsets of each partition; else, where
 * the answer has no field for it, as api_drop. The arena's content is gone. */
void api_no_memory(struct api_req *r, const char *why);

/* ---- small things that handlers share ---- */

/* Copies into the arena; a null string stays null. Out of memory gives null too. */
struct wire_str api_str_copy(struct api_req *r, struct wire_str s);
/* The image for the length of a handler's look; leave with api_image_leave. */
const struct meta_image *api_image(struct api_req *r);
void api_image_leave(struct api_req *r);
/* Looks up a partition by name or, when name is NULL, by id; a Kafka code, 0 with a reference in *out. __meta is none:
 * who can read it asks meta_topic.h first. */
int16_t api_part(struct api_req *r, const struct wire_str *name, const struct chronik_uuid *id, int32_t index,
                 struct part **out);
/* Kafka's rule for topic names; NULL or what is wrong with it, in Kafka's words. */
const char *api_bad_topic_name(struct arena *a, struct wire_str name);
/* A group id that no row of the metadata can hold: too long, or with a NUL. The empty one is none of these. */
bool api_bad_group_id(struct wire_str group);
/* Runs fn(r) on a worker, then done(r) on the request's loop. */
void api_on_worker(struct api_req *r, void (*fn)(struct api_req *r), void (*done)(struct api_req *r));
/* An array of n zeroed Ts in the request's arena; NULL when it is exhausted: api_no_memory then. */
#define api_array(r, T, n) ((T *)arena_calloc(&(r)->arena, (size_t)(n) + 1, sizeof(T)))
/* Proposes; done(r, result) runs on the request's loop with a copy of the result. */
struct api_result {
    int16_t code;
    int64_t values[META_RESULT_VALUES];
    char text[256];
};
int32_t api_propose(struct api_req *r, const struct meta_command *c, int64_t timeout_ms, struct api_result *out,
                    void (*done)(struct api_req *r, void *arg), void *arg);

/* What an encoder's insert refers to: the ranges that stand for a records field. */
struct api_ranges {
    const struct net_seg *v;
    uint32_t n;
};

/* The versions that a row offers. */
void api_range(const struct api_row *row, int16_t *min, int16_t *max);
bool api_offers(const struct api_row *row, int16_t version);

/* Every handler of the broker; ends with NULL. */
extern const struct api_row *const api_rows[];

#endif
