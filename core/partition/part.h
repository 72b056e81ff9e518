/* part.h: a partition: its ends, leader epochs, producers, waiting requests and retention. It stands between the API
 * handlers (loops), the store module (bytes) and the metadata image (who leads, under which epoch and settings).
 *
 * Locks: each partition has one mutex of rank LOCK_PARTITION, held for the length of an append (the one call out of the
 * module under a lock) or of a few loads. Nobody is called back under it. The registry has a reader-writer lock of its
 * own. Ownership: part_find gives a reference, part_unref returns it; the registry holds one while the partition is
 * open. */
#ifndef CHRONIK_PART_H
#define CHRONIK_PART_H

#include <chronik/store.h>

#include "base/arena.h"
#include "config/config.h"
#include "os/lock.h"
#include "os/os.h"
#include "wire/batch.h"

struct part;
struct part_set;

/* ---- the set of all open partitions of this node ---- */

struct part_set_config {
    struct os *os;
    const struct chronik_store_ops *ops;
    chronik_store *store; /* started; may be set later with part_set_store */
    uint32_t flush;       /* CHRONIK_FLUSH_ of appends unless the topic says otherwise */
    int32_t node_id;
    int64_t producer_expiration_ms;
    struct os_exec *low;             /* background: loading, retention, sidecars */
    const struct chronik_host *host; /* the one the store got: reads its files and buffers */
};

struct part_set *part_set_new(const struct part_set_config *cfg);
void part_set_store(struct part_set *s, chronik_store *store);
void part_set_free(struct part_set *s); /* all partitions closed and all references returned */
/* After a change of producer.id.expiration.ms; any thread. */
void part_set_producer_expiration(struct part_set *s, int64_t ms);
/* What the store calls; give this table to the store's create. */
void part_set_events(struct part_set *s, struct chronik_store_events *out);

/* What the metadata image says of a partition that this node hosts. */
struct part_spec {
    struct chronik_uuid topic_id;
    const char *topic;
    int32_t index;
    int32_t leader;
    int32_t leader_epoch;
    const struct config_topic *config; /* copied */
};

/* Opens or creates the partition, or adopts a new leader, epoch or configuration of an open one. Blocking (the
 * reconciler's executor). CHRONIK_DONE or a code with a sentence. */
int32_t part_open(struct part_set *s, const struct part_spec *spec, bool create, struct err *e);
/* Fails what waits, returns the registry's reference and closes, or deletes, the store's side. Blocking. */
int32_t part_close(struct part_set *s, const struct chronik_uuid *topic_id, int32_t index, bool remove, struct err *e);
void part_close_all(struct part_set *s);

/* Waits until this node has n partitions of a new topic open, with numbers below `end`: those that it hosts are what
 * main's reconciler opens. */
struct part_opening {
    struct chronik_uuid topic_id;
    int32_t n, end;
    struct os_exec *exec;
    struct chronik_task task; /* posted there once */
    int32_t missing;          /* partition's: */
    struct part_opening *next;
};
/* false: they are open already, the task will not run. */
bool part_wait_open(struct part_set *s, struct part_opening *o);
/* true: taken back, the task will not run. */
bool part_wait_open_cancel(struct part_set *s, struct part_opening *o);

/* NULL when this node does not host it. */
struct part *part_find(struct part_set *s, const struct chronik_uuid *topic_id, int32_t index);
void part_ref(struct part *p);
void part_unref(struct part *p);
uint64_t part_set_count(struct part_set *s);
/* How many open partitions the store took offline; `text` gets the newest sentence that said so, "" when there was
 * none. Any thread. */
uint64_t part_set_offline(struct part_set *s, char *text, size_t n);
/* A reference to each open partition, in no order; the caller unrefs each and frees the array. */
struct part **part_set_all(struct part_set *s, size_t *n);

/* ---- what one knows of a partition at a moment ---- */

struct part_view {
    int32_t leader, leader_epoch;
    bool leading;
    int64_t log_start, high_watermark, log_end;
    int64_t last_stable;
};
void part_look(struct part *p, struct part_view *out);
const char *part_topic(const struct part *p);
int32_t part_index(const struct part *p);
const struct chronik_uuid *part_topic_id(const struct part *p);
void part_stat(struct part *p, struct chronik_part_stat *out);

/* Kafka's check of a request's current leader epoch: 0, NOT_LEADER_OR_FOLLOWER, FENCED_ or UNKNOWN_LEADER_EPOCH. -1 =
 * no check. */
int16_t part_check_leader(struct part *p, int32_t current_leader_epoch);

/* ---- append ---- */

/* Something that waits for the high watermark to reach `offset`. The memory is the caller's until fn ran. fn runs on
 * any thread, exactly once, without locks held: error is a Kafka code. */
struct part_wait {
    int64_t offset;
    void (*fn)(struct part_wait *w, int16_t error);
    void *arg;
    struct part_wait *next;
    bool queued;
};

/* Memory for unpacking and packing batches, kept from append to append by a loop. Zero it first. */
struct part_scratch {
    struct codec_buf plain;
    struct batch_build build;
};
void part_scratch_free(struct part_scratch *s);

struct part_record_error {
    int32_t index; /* of the record in its batch */
    const char *message;
};

struct part_append {
    uint8_t *batches; /* wire batches; patched in place: base offset, leader epoch, LogAppendTime */
    size_t n;
    int16_t acks;
    int16_t api_version;          /* of Produce: codecs and error codes depend on it */
    struct part_wait *wait;       /* for acks != 0: queued unless the answer is ready */
    struct part_append *next;     /* for the same partition, behind this one */
    struct part_scratch *scratch; /* NULL: memory of this call */
    struct arena
        *arena; /* for what is said of refusals, and for batches packed anew; NULL: neither in detail nor anew */
    /* out */
    int16_t error; /* a Kafka code; on 0 the fields below are set */
    int64_t base_offset, log_append_time, log_start;
    struct part_record_error *record_errors; /* n_record_errors, of the arena */
    int32_t n_record_errors;
    const char *message; /* static or of the arena, or NULL */
    bool waiting;        /* wait->fn will be called */
    bool busy;           /* refused for back-pressure: try again in a moment */
    bool early;          /* refused as something that has nothing to do with the partition */
    /* partition's; zero at first */
    bool checked;   /* found right; not done again when it is tried again */
    bool was_timed; /* it claimed log append time */
    struct batch_head head;
};

/* Validates, assigns offsets, appends all that are linked behind `a`, in their order, with as few writes as can be:
 * each gets an answer of its own, and `waiting` says whether that must wait. When one is refused as busy, those behind
 * it are, too, so that their order stays. Loop thread. */
void part_append_batches(struct part *p, struct part_append *a);
/* Takes a waiter out; true when fn will not be called. */
bool part_wait_cancel(struct part *p, struct part_wait *w);

/* ---- fetch ---- */

/* A request that waits for bytes on some partitions. One a request; a node a partition. When `need` falls to 0 or
 * below, or something happened that the request must see at once, fire(arg) runs exactly once, on any thread, without
 * locks. */
struct part_fetch {
    int64_t need; /* bytes; atomic */
    int32_t fired;
    void (*fire)(struct part_fetch *f);
    void *arg;
    struct part_fetch *next_fired; /* the partition's */
};
struct part_fetch_node {
    struct part_fetch *fetch;
    struct part *part; /* NULL: not queued */
    struct part_fetch_node *prev, *next;
};

struct part_read {
    int64_t offset;
    int32_t leader_epoch;       /* the client's current one, -1 none */
    int32_t last_fetched_epoch; /* -1 none */
    uint64_t max_bytes;
    bool min_one; /* give the first batch whole even above max_bytes */
    bool read_committed;
    bool may_wait; /* for a disk: not on a loop */
    /* out */
    bool cold; /* nothing was read: it would have to wait */
    struct part_view view;
    struct chronik_range ranges[8];
    uint32_t n_ranges;
    uint64_t bytes;
    chronik_store_pin *pin;
    int32_t diverging_epoch; /* -1 none */
    int64_t diverging_end;
};
/* A Kafka error code. On 0 with bytes > 0 the pin, when not NULL, must be released with part_release. */
int16_t part_read(struct part *p, struct part_read *r);
void part_release(struct part *p, chronik_store_pin *pin);
/* Queues the node, unless bytes above `seen_hw` are there already: then false, and the caller reads again. */
bool part_fetch_wait(struct part *p, struct part_fetch_node *n, struct part_fetch *f, int64_t seen_hw);
void part_fetch_unwait(struct part_fetch_node *n); /* also when it is not queued */
/* For whoever ends the wait for another reason (its time is over): true when fire was not and will not be called. */
bool part_fetch_claim(struct part_fetch *f);

/* ---- questions ---- */

/* ListOffsets: timestamp >= 0, or Kafka's negative specials. -1 in *offset when there is none. */
int16_t part_list_offset(struct part *p, int64_t timestamp, bool read_committed, int64_t *offset, int64_t *found_ts,
                         int32_t *epoch);
/* True when part_list_offset answers from memory. */
bool part_list_offset_is_cheap(int64_t timestamp);
/* OffsetForLeaderEpoch: the end offset of `epoch`, or of the largest below it. */
int16_t part_epoch_end(struct part *p, int32_t epoch, int32_t *found_epoch, int64_t *end);
/* Compacted and nothing else: its records are not to be deleted by offset. */
bool part_is_compacted(struct part *p);
/* DeleteRecords: -1 = high watermark. Answers the new log start when durable, through done on any thread. */
struct part_delete {
    int64_t offset;
    int64_t low_watermark; /* out */
    void (*fn)(struct part_delete *d, int16_t error);
    void *arg;
    struct part *part;
};
int16_t part_delete_records(struct part *p, struct part_delete *d); /* 0: fn will be called */

/* AlterReplicaLogDirs: the data goes to directory `dir`, in the background; reads and writes go on. The end is told
 * through fn, on any thread: 0 when it is there (also at once, inside the call, when it was there already), else it
 * stayed where it was. One move a partition at a time: a second one answers KAFKA_STORAGE_ERROR. */
struct part_move {
    uint32_t dir;
    void (*fn)(struct part_move *m, int16_t error);
    void *arg;
    struct part *part;
};
int16_t part_move(struct part *p, struct part_move *m); /* 0: fn will be called */
/* The directory that holds it now, and the one it is moving to, -1 none. */
void part_dirs(struct part *p, uint32_t *now, int32_t *moving_to);

struct part_producer_info {
    int64_t producer_id;
    int16_t epoch;
    int32_t last_sequence;
    int64_t last_timestamp;
    int64_t txn_start_offset;
    int32_t coordinator_epoch;
};
/* All live producers, allocated from `a`. */
int16_t part_producers_list(struct part *p, struct arena *a, struct part_producer_info **out, int32_t *n);

/* ---- background ---- */

/* One pass of time and size retention and of producer expiry over all partitions; on the low executor. */
void part_retention_pass(struct part_set *s);

#endif
