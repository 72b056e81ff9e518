/* chronik/store.h: a storage module keeps, for each partition, a log of record batches that it never looks into: at
 * most at the header of a batch, to find where the next one begins. Offsets are record offsets; the bytes of a batch
 * are the wire's, version 2, one whole batch for each struct chronik_batch_info.
 *
 * Ends: `written` is the offset behind the last readable batch; `durable` is the offset up to which everything survives
 * a power cut; durable <= written. Offsets in calls: "from" inclusive, "end" exclusive. */
#ifndef CHRONIK_PUBLIC_STORE_H
#define CHRONIK_PUBLIC_STORE_H

#include <chronik/base.h>
#include <chronik/host.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct chronik_store chronik_store;           /* an instance */
typedef struct chronik_store_part chronik_store_part; /* an open partition */
typedef struct chronik_store_pin chronik_store_pin;   /* keeps read ranges valid */

/* Durability classes of an append. */
#define CHRONIK_FLUSH_GROUP    UINT32_C(0) /* announced durable after the group's sync */
#define CHRONIK_FLUSH_INTERVAL UINT32_C(1) /* synced now and then; durable = written at once, without an event */
#define CHRONIK_FLUSH_OS       UINT32_C(2) /* left to the kernel; durable = written at once, without an event */

#define CHRONIK_BATCH_CONTROL       UINT32_C(1)
#define CHRONIK_BATCH_TRANSACTIONAL UINT32_C(2)

struct chronik_batch_info {
    int64_t base_offset, last_offset; /* inclusive; base >= the end before it (compaction leaves gaps) */
    int64_t max_timestamp;            /* ms, -1 none */
    int32_t leader_epoch;
    uint32_t flags; /* CHRONIK_BATCH_ */
    uint64_t bytes;
};

struct chronik_append {
    chronik_store_part *part;
    const struct chronik_batch_info *batches; /* in offset order, at least one */
    uint32_t n_batches;
    uint32_t batch_stride;
    const struct chronik_iov *iov; /* the batches' bytes, back to back */
    uint32_t n_iov;
    uint32_t flush; /* CHRONIK_FLUSH_ */
    int32_t result; /* out: CHRONIK_DONE or why this partition's append failed */
    uint32_t reserved;
};

/* open flags */
#define CHRONIK_STORE_CREATE UINT32_C(1)

struct chronik_part_id {
    struct chronik_uuid topic;
    int32_t partition;
    uint32_t dir; /* directory number; for open: where to create, UINT32_MAX lets the store choose */
};

struct chronik_part_stat {
    uint32_t size;
    uint32_t dir;
    int64_t log_start; /* may lie inside a batch */
    int64_t written, durable;
    uint64_t bytes; /* of all segments */
    uint32_t segments;
    uint32_t clean;               /* 1: was closed cleanly before this open; 0: recovered or created */
    int64_t max_timestamp;        /* largest of all batches, -1 none */
    int64_t max_timestamp_offset; /* base offset of the first batch that has it */
    int64_t recovery_point;       /* batches at or above may have been unknown to sidecars: rebuild from here */
    int32_t last_epoch;           /* of the last batch, -1 none */
    uint32_t offline; /* 1: damaged or its directory is offline; reads and appends answer E_CORRUPT or E_OFFLINE */
};

struct chronik_segment_info {
    int64_t base_offset, end_offset;
    uint64_t bytes;
    int64_t max_timestamp; /* -1 none */
    int64_t created_ms;    /* wall clock when its first batch was written */
    uint32_t sealed;
    uint32_t reserved;
};

/* A piece of what a read found: bytes of a file (file != NULL) or memory (p != NULL). Whole batches, in order. */
struct chronik_range {
    struct chronik_file *file;
    const void *p;
    uint64_t offset; /* in the file */
    uint64_t n;
};

/* read flags */
#define CHRONIK_STORE_NOWAIT  UINT32_C(1) /* E_AGAIN rather than waiting for a disk to find the position */
#define CHRONIK_STORE_MIN_ONE UINT32_C(2) /* the first batch is returned whole even above max_bytes */

struct chronik_read {
    uint32_t size;
    uint32_t flags;
    int64_t from; /* the batch that holds this offset comes first */
    int64_t end;  /* only batches that end at or below it (a high watermark) */
    uint64_t max_bytes;
    struct chronik_range *ranges; /* out */
    uint32_t max_ranges;
    uint32_t n_ranges;      /* out */
    uint64_t bytes;         /* out: sum of all ranges; 0 when nothing lies at or behind `from` below `end` */
    int64_t base_offset;    /* out: base offset of the first batch returned */
    chronik_store_pin *pin; /* out: NULL when nothing is to be released */
};

struct chronik_durable {
    void *cookie; /* of the partition */
    int64_t end;
};

struct chronik_store_config {
    uint32_t size;
    uint32_t node_id;
    struct chronik_uuid cluster_id;
};

/* Calls into the host; any of the store's executors, no lock of the store held. Arguments are borrowed for the call. */
struct chronik_store_events {
    uint32_t size;
    uint32_t reserved;
    void *arg;
    /* New durable ends, one call a synced group. Ends of one partition only rise. */
    void (*durable)(void *arg, const struct chronik_durable *d, uint32_t n, uint32_t stride);
    /* An append that had been accepted can not become durable, nor can any behind it in that partition. The log's
     * written end has gone back to `end`. */
    void (*append_failed)(void *arg, void *cookie, int64_t end, int32_t code);
    /* A segment was sealed, or a checkpoint passed over new data: now is a good time for sidecars at `end`. */
    void (*want_sidecars)(void *arg, void *cookie, int64_t end);
    /* A partition went offline alone: one sentence with file, offset and remedy. */
    void (*part_failed)(void *arg, void *cookie, int32_t code, const char *text);
};

struct chronik_store_ops {
    uint32_t size;
    uint32_t reserved;
    int32_t (*create)(const struct chronik_host *host, const struct chronik_store_config *cfg,
                      const struct chronik_store_events *ev, chronik_store **out);
    /* Locks the directories, reads manifests, replays. Blocking: call it on a worker. CHRONIK_DONE, or a negative code
     * with one sentence (file, offset, remedy) in text[n]. */
    int32_t (*start)(chronik_store *s, char *text, uint64_t n);
    /* Every partition that exists on disk. After start, before open or at any time. */
    int32_t (*list)(chronik_store *s, void (*each)(void *arg, const struct chronik_part_id *id), void *arg);
    /* Opens or creates; blocking but cheap (no file is opened). `cookie` comes back in events. E_EXISTS when it is
     * open. */
    int32_t (*open)(chronik_store *s, const struct chronik_part_id *id, uint32_t flags, void *cookie,
                    chronik_store_part **out);
    /* Flushes and forgets the handle; pins stay valid. Completion on a host thread. */
    int32_t (*part_close)(chronik_store_part *p, struct chronik_done done);
    /* Removes the partition's data; the handle is gone. Returns when the removal is logged; files vanish later, after
     * pins. */
    int32_t (*part_delete)(chronik_store_part *p, struct chronik_done done);
    int32_t (*part_move)(chronik_store_part *p, uint32_t dir, struct chronik_done done); /* MOVE */
    /* Appends to n partitions. Never blocks on a sync, never calls back inline, takes only leaf locks: the one call
     * that is made under the host's partition lock, so that appends and completions of a partition are in offset order.
     * Returns CHRONIK_DONE when all are readable, else the first failure (see each `result`). E_BUSY: back-pressure;
     * E_NOSPC: disk full; E_OFFLINE, E_IO. A failed append leaves the partition's written end as it was. */
    int32_t (*append)(chronik_store *s, struct chronik_append *a, uint32_t n, uint32_t stride);
    /* Any thread. E_RANGE when from < log start or from > written. */
    int32_t (*read)(chronik_store_part *p, struct chronik_read *r);
    void (*release)(chronik_store_pin *pin);
    /* The log begins at `offset` (also inside a batch). Completes when durable. Nothing to do at or below the log
     * start: CHRONIK_DONE. E_RANGE above the written end. */
    int32_t (*truncate_prefix)(chronik_store_part *p, int64_t offset, struct chronik_done done);
    /* Drops everything at and above `offset` (a batch boundary, else E_INVAL). Nothing to do at or above the written
     * end: CHRONIK_DONE. Bytes that were readable are never overwritten. */
    int32_t (*truncate_suffix)(chronik_store_part *p, int64_t offset, struct chronik_done done);
    int32_t (*roll)(chronik_store_part *p); /* seal the active segment, if it holds anything */
    /* All segments, oldest first; the last one is active. Blocking only for memory. */
    int32_t (*segments)(chronik_store_part *p, void (*each)(void *arg, const struct chronik_segment_info *i),
                        void *arg);
    /* Base offset of a batch at or before the first one whose max timestamp is >= ts, near it: read on from there.
     * Never below the log start. E_NOTFOUND when there is none. */
    int32_t (*find_time)(chronik_store_part *p, int64_t ts, int64_t *offset);
    /* Replace the range [from, end) of whole sealed segments by other batches (REPLACE). commit fails with E_STALE if a
     * suffix truncation touched the range meanwhile; after a prefix truncation inside it the store may do either. */
    int32_t (*replace_begin)(chronik_store_part *p, int64_t from, int64_t end, void **rw);
    int32_t (*replace_write)(void *rw, const struct chronik_batch_info *b, const struct chronik_iov *iov,
                             uint32_t n_iov);
    int32_t (*replace_end)(void *rw, uint32_t commit);
    /* Small opaque files beside the log, by kind (0-15) and offset. write replaces one with the same name; blocking. */
    int32_t (*sidecar_write)(chronik_store_part *p, uint32_t kind, int64_t offset, const void *data, uint64_t n);
    /* The latest of `kind` at or below `at_most`: copied into a host buffer of exactly its size (one reference, the
     * caller's), its offset in *offset. E_NOTFOUND. */
    int32_t (*sidecar_latest)(chronik_store_part *p, uint32_t kind, int64_t at_most, int64_t *offset,
                              struct chronik_buf **out);
    /* Drops those of `kind` at offsets > `above` and those at offsets < `below`. */
    int32_t (*sidecar_drop)(chronik_store_part *p, uint32_t kind, int64_t above, int64_t below);
    void (*stat)(chronik_store_part *p, struct chronik_part_stat *out);
    /* Makes everything written so far durable; completion on a host thread. */
    int32_t (*flush)(chronik_store *s, struct chronik_done done);
    /* Flushes, writes the clean mark, closes. Completion on a host thread; the instance is gone, and with it the
     * handles of all partitions; pins may still be released. No other call may be running on another thread or follow.
     */
    int32_t (*close)(chronik_store *s, struct chronik_done done);
};

#ifdef __cplusplus
}
#endif
#endif
