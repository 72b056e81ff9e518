/* store_mem.h: what the files of store-mem share. A partition is a list of segments, a segment an array of batches, a
 * batch a piece of a host buffer. One mutex a partition guards all of it; the store's mutex guards the table and what
 * waits for the executor. A partition's mutex may be held when the store's is taken, never the other way round. */
#ifndef STORE_MEM_H
#define STORE_MEM_H

#include <chronik/host.h>
#include <chronik/plugin.h>
#include <chronik/store.h>

#include <pthread.h>

struct batch {
    struct chronik_batch_info info;
    struct chronik_buf *buf; /* one reference; neighbours of one append share the buffer */
    uint64_t at;             /* where in the buffer its info.bytes begin */
};

struct segment {
    int64_t base, end; /* of the segment; batches may leave gaps inside */
    int64_t max_timestamp, created_ms;
    uint64_t bytes;
    struct batch *batches;
    uint32_t n, room;
};

struct sidecar {
    struct sidecar *next;
    uint32_t kind;
    int64_t offset;
    uint64_t n;
    char data[];
};

struct rewrite;

struct chronik_store_part {
    chronik_store *store;
    struct chronik_store_part *next_in_bucket; /* store lock */
    struct chronik_store_part *next_dirty;     /* store lock */
    uint32_t dirty;                            /* store lock: on the store's dirty list */

    pthread_mutex_t lock; /* guards all below */
    struct chronik_part_id id;
    void *cookie;
    uint32_t open, clean;
    int64_t log_start, written, durable, recovery_point;
    int64_t sealed_at;         /* the end to ask sidecars for, -1 none */
    struct segment **segments; /* oldest first; the last one is active */
    uint32_t n_segments, segment_room;
    struct sidecar *sidecars;
    struct rewrite *rewrite; /* at most one at a time */
};

/* A call that completes on the store's executor, after all that was written before it has been announced durable. */
struct job {
    struct job *next;
    struct chronik_done done;
    int32_t result;
    chronik_store_part *close, *destroy; /* what to do with a partition first; NULL mostly */
};

struct chronik_store {
    struct chronik_host host;
    struct chronik_store_events ev;
    struct chronik_exec *exec;
    struct chronik_task commit;
    struct chronik_done close_done;
    int64_t max_bytes, segment_bytes;

    pthread_mutex_t lock; /* guards all below */
    uint64_t bytes;       /* of all batches held */
    chronik_store_part **buckets;
    uint32_t n_buckets, n_parts, started, closing;
    chronik_store_part *dirty;
    struct job *jobs, **jobs_tail;
};

/* part.c: under the partition's lock, unless said otherwise. */
chronik_store_part *part_new(chronik_store *s, const struct chronik_part_id *id); /* NULL when memory is short */
void part_free(chronik_store_part *p);                                            /* no lock: nobody else knows it */
struct segment *part_active(chronik_store_part *p);
int32_t part_seal(chronik_store_part *p); /* DONE, or E_NOMEM and nothing changed */
void segment_free(chronik_store *s, struct segment *g);
int32_t segment_add(struct segment *g, const struct batch *b); /* takes a reference of its own on success */

/* part.c, read.c, sidecar.c, rewrite.c: the ops, as include/chronik/store.h says. */
int32_t op_append(chronik_store *s, struct chronik_append *a, uint32_t n, uint32_t stride);
int32_t op_truncate_prefix(chronik_store_part *p, int64_t offset, struct chronik_done done);
int32_t op_truncate_suffix(chronik_store_part *p, int64_t offset, struct chronik_done done);
int32_t op_roll(chronik_store_part *p);
int32_t op_segments(chronik_store_part *p, void (*each)(void *arg, const struct chronik_segment_info *i), void *arg);
void op_stat(chronik_store_part *p, struct chronik_part_stat *out);
int32_t op_read(chronik_store_part *p, struct chronik_read *r);
void op_release(chronik_store_pin *pin);
int32_t op_find_time(chronik_store_part *p, int64_t ts, int64_t *offset);
int32_t op_replace_begin(chronik_store_part *p, int64_t from, int64_t end, void **rw);
int32_t op_replace_write(void *rw, const struct chronik_batch_info *b, const struct chronik_iov *iov, uint32_t n_iov);
int32_t op_replace_end(void *rw, uint32_t commit);
int32_t op_sidecar_write(chronik_store_part *p, uint32_t kind, int64_t offset, const void *data, uint64_t n);
int32_t op_sidecar_latest(chronik_store_part *p, uint32_t kind, int64_t at_most, int64_t *offset,
                          struct chronik_buf **out);
int32_t op_sidecar_drop(chronik_store_part *p, uint32_t kind, int64_t above, int64_t below);

/* rewrite.c: a truncation touched offsets from `from` up to `end`; an open rewrite of them can no longer commit. */
void rewrite_spoil(chronik_store_part *p, int64_t from, int64_t end);

/* store_mem.c */
struct chronik_buf *gather(chronik_store *s, const struct chronik_iov *iov, uint32_t n_iov, uint64_t n);
int32_t store_reserve(chronik_store *s, uint64_t bytes); /* DONE or E_NOSPC */
void store_unreserve(chronik_store *s, uint64_t bytes);
void store_mark_dirty(chronik_store_part *p); /* the executor will announce its durable end */
/* Queues a completion; CHRONIK_PENDING or E_NOMEM. */
int32_t store_later(chronik_store *s, struct chronik_done done, chronik_store_part *close, chronik_store_part *destroy);

#endif
