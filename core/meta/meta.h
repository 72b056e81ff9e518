/* meta.h: the metadata of the broker: one state machine fed by the ordered log of a metadata module. Readers take the
 * image without locks; writers propose commands and are told, once, what became of them; nothing here ever waits for
 * consensus. All callbacks run on the apply executor: they must be short and must not call back into waiting code; who
 * needs another thread posts there. */
#ifndef CHRONIK_META_H
#define CHRONIK_META_H

#include <chronik/host.h>
#include <chronik/meta.h>

#include "base/err.h"
#include "meta/command.h"
#include "meta/image.h"
#include "os/os.h"

struct meta;
struct meta_reader;
struct meta_kv_table; /* kv.h */

/* ---- life ---- */

/* What this broker tells the cluster about itself once the log has caught up (META_CMD_BROKER_REGISTER). */
struct meta_self {
    struct chronik_uuid cluster_id; /* for a first formation; zero: a random one is drawn */
    const char *rack;
    const struct meta_endpoint *endpoints;
    uint32_t n_endpoints;
    const struct chronik_uuid *dirs;
    uint32_t n_dirs;
    const struct meta_feature *features; /* levels to finalise when this node forms the cluster */
    uint32_t n_features;
    bool unclean;
};

struct meta_options {
    int32_t node_id;
    uint32_t dir;                   /* number of the data directory that holds metadata */
    const char *checkpoint;         /* directory of the checkpoint, made when missing; NULL: none */
    struct meta_kv_table *kv;       /* the checkpoint's table; NULL: LMDB in `checkpoint` (not taken over) */
    struct chronik_uuid cluster_id; /* the data directory's, zero while unknown; another one in the log is refused */
    struct meta_self self;          /* strings are copied */
    bool join;                      /* register this broker when caught up (false: tests and tools) */
    uint64_t queue_bytes;           /* bound of one class's queue of proposals; 0: 8 MiB */
    int64_t checkpoint_ms;          /* a checkpoint lags at most about this; 0: 500 */

    void *arg;
    /* Everything that was committed at the start is applied; the image is as good as it was before the restart. */
    void (*caught_up)(void *arg);
    /* This incarnation's registration is applied: leader epochs are raised, writes may be accepted. */
    void (*registered)(void *arg, int64_t broker_epoch);
    /* The engine stopped for good, or the log belongs to another cluster: one sentence. Reads go on. */
    void (*failed)(void *arg, int32_t code, const char *text);
};

/* Makes the state, loads a trusted checkpoint, creates the module's instance. Opens files, never waits for other nodes.
 * `host` and `ops` must outlive the meta. On failure: one sentence in e, *out is NULL. */
int32_t meta_new(struct os *os, const struct chronik_host *host, const struct chronik_meta_ops *ops,
                 const struct meta_options *opt, struct meta **out, struct err *e);
/* Starts the engine; returns at once. Readers may look at the image before and after. */
int32_t meta_start(struct meta *m, struct err *e);
/* Completes pending proposals with REQUEST_TIMED_OUT, writes the last checkpoint with its clean mark, closes the
 * engine, then done.fn on a host thread. After it ran: meta_free (not from one of meta's executors). */
void meta_close(struct meta *m, struct chronik_done done);
void meta_free(struct meta *m);
/* Of this process: drawn in meta_new. */
struct chronik_uuid meta_incarnation(struct meta *m);
/* This broker's epoch, -1 before `registered`. Any thread. */
int64_t meta_broker_epoch(struct meta *m);
bool meta_is_caught_up(struct meta *m);

/* ---- reading ---- */

/* One for each thread (or executor) that reads, before its first meta_enter; any thread. */
struct meta_reader *meta_reader_open(struct meta *m);
void meta_reader_close(struct meta_reader *r);
/* The current image. Objects found in it stay valid until the matching meta_leave of the same reader. May be nested
 * (the inner call may see a newer image). Leave soon: what is replaced meanwhile is kept in memory. */
const struct meta_image *meta_enter(struct meta_reader *r);
void meta_leave(struct meta_reader *r);

/* ---- subscriptions ---- */

enum meta_change_kind {
    META_CHANGE_RESET = 1, /* a snapshot replaced everything: look at all of it again */
    META_CHANGE_TOPIC_CREATED,
    META_CHANGE_TOPIC, /* partitions or settings */
    META_CHANGE_TOPIC_DELETED,
    META_CHANGE_BROKER, /* registered, changed or gone */
    META_CHANGE_CONFIG, /* of a resource that is not a topic */
    META_CHANGE_FEATURES,
    META_CHANGE_CLUSTER,    /* cluster id known */
    META_CHANGE_CONTROLLER, /* role or leader of the engine */
    META_CHANGE_COORD_SLOT, /* a coordinator slot has a new owner or epoch */
};

struct meta_change {
    enum meta_change_kind kind;
    int32_t broker;                 /* BROKER; COORD_SLOT: the owner */
    int32_t slot;                   /* COORD_SLOT */
    uint8_t res_type;               /* CONFIG */
    struct chronik_uuid topic_id;   /* TOPIC* */
    const struct meta_topic *topic; /* TOPIC_CREATED, TOPIC; NULL for TOPIC_DELETED */
    const char *name;               /* TOPIC*, CONFIG */
};

struct meta_sub {
    void (*fn)(void *arg, const struct meta_image *image, const struct meta_change *changes, uint32_t n);
    void *arg;
    bool every;            /* also publications without a change of these kinds: the seq grew */
    struct meta_sub *next; /* meta: */
};

/* fn runs on the apply executor after each publication, before the proposers of that batch are answered; arguments are
 * borrowed for the call. Subscribe between meta_new and meta_start; the memory is the caller's until meta_free. */
void meta_subscribe(struct meta *m, struct meta_sub *s);

/* ---- proposing ---- */

/* META_CLASS: who is served first when queues are long. */
enum meta_class { META_CONTROLLER = 0, META_COORDINATOR = 1, META_CLIENT = 2 };

typedef void (*meta_done_fn)(void *arg, const struct meta_result *r);

/* Any thread. Encodes the command, queues it; small commands of a class share an entry of the log. Retries what the
 * engine refuses, under the same number, so that a command is applied at most once. CHRONIK_PENDING: done runs exactly
 * once on the apply executor, after the local apply, or with REQUEST_TIMED_OUT (outcome unknown) after about timeout_ms
 * (0: 30 s). Negative: refused, done will not run: E_BUSY (queue full), E_TOOBIG, E_CLOSED, E_INVAL. */
int32_t meta_propose(struct meta *m, enum meta_class k, const struct meta_command *c, int64_t timeout_ms,
                     meta_done_fn done, void *arg);
/* Completes on the apply executor when all that was committed anywhere before the call is applied here. */
int32_t meta_read_barrier(struct meta *m, struct chronik_done done);

/* ---- the quorum behind it ---- */

/* As the ops of the same name (chronik/meta.h); E_CLOSED while closing. Completions on the apply executor. Any thread.
 */
int32_t meta_members(struct meta *m, void (*each)(void *arg, const struct chronik_meta_member *x), void *arg);
int32_t meta_member_change(struct meta *m, const struct chronik_meta_change *c, struct chronik_done done);
/* Makes a snapshot now; completion on the low executor. Any thread. */
int32_t meta_snapshot(struct meta *m, struct chronik_done done);

/* ---- the log as records: topic __meta ---- */

struct meta_record {
    uint64_t seq; /* the record's offset */
    int64_t timestamp_ms;
    const char *key, *value; /* JSON; value is never NULL */
    size_t key_len, value_len;
};

/* First and end (exclusive) offset that meta_read_log can give. Any thread. */
void meta_log_range(struct meta *m, uint64_t *first, uint64_t *end);
/* Applied commands from `seq` on until max_bytes of JSON (at least one); secrets are replaced by "[redacted]".
 * Blocking: call it on a worker. E_RANGE below the first or above the end. */
int32_t meta_read_log(struct meta *m, uint64_t seq, uint64_t max_bytes,
                      void (*each)(void *arg, const struct meta_record *r), void *arg);

/* ---- state of affairs ---- */

struct meta_status {
    struct chronik_meta_status engine; /* stalled: see below */
    uint64_t seq;                      /* last applied command */
    uint64_t digest[2];                /* of all rows after it */
    uint64_t applied_index;            /* engine index applied here */
    uint64_t checkpoint_seq;           /* what the checkpoint holds; 0 none */
    uint64_t snapshot_seq;             /* of the last snapshot given to the engine or installed */
    uint64_t queued, open;             /* commands waiting to be handed over; handed over and not applied */
    uint64_t topics, partitions, brokers;
    uint64_t image_bytes; /* memory of the image, retired objects included */
    bool caught_up, registered, stopped;
    int64_t stuck_ms;         /* how long a stall has lasted that a restart would cure; 0: none */
    char engine_stalled[256]; /* copy of engine.stalled, or "" */
    char stalled[256];        /* the watchdog's sentence: committed > applied without progress; or "" */
    char stopped_why[256];    /* unknown command, wrong cluster, damaged entry; or "" */
    char checkpoint[256];     /* why checkpoints stand still or why the last one was not trusted; or "" */
};

/* Any thread. */
void meta_status_get(struct meta *m, struct meta_status *out);

enum { META_TRAIL = 1024 };
struct meta_digest {
    uint64_t seq, digest[2]; /* of all rows after command `seq` */
};
/* The last META_TRAIL entries of commands that were applied here since the start, oldest first; gives their number.
 * Nodes that have the same seq must have the same digest. Any thread. */
uint32_t meta_digests(struct meta *m, struct meta_digest out[META_TRAIL]);

/* ---- the reconciler: what the image says this node hosts <-> what the store has ---- */

/* Implemented by core/partition, set by main. All run on the reconciler's executor, one after another, and may block.
 */
struct meta_reconcile_ops {
    void *arg;
    /* Everything the store has on disk. */
    int32_t (*list_store)(void *arg, void (*each)(void *each_arg, const struct chronik_uuid *topic, int32_t partition),
                          void *each_arg, struct err *e);
    /* Open, and create when missing; calling it for an open partition is a no-op. */
    int32_t (*open)(void *arg, const struct meta_image *i, const struct meta_topic *t, int32_t partition,
                    struct err *e);
    /* Leader, epochs, ISR or settings of an open partition may have changed: adopt the image's. */
    int32_t (*reconfigure)(void *arg, const struct meta_image *i, const struct meta_topic *t, int32_t partition,
                           struct err *e);
    /* No longer hosted here, the topic lives on: stop serving, keep the data. */
    int32_t (*close)(void *arg, const struct chronik_uuid *topic, int32_t partition, struct err *e);
    /* The topic's deletion is committed: stop serving, remove the data. Also for partitions that were never opened. */
    int32_t (*delete_)(void *arg, const struct chronik_uuid *topic, int32_t partition, struct err *e);
};

/* Between meta_new and meta_start. The reconciler begins when this broker is registered (join), else when caught up. */
int32_t meta_reconcile_start(struct meta *m, const struct meta_reconcile_ops *ops, struct err *e);

/* What partitions inherit from outside of the image changed (settings of brokers): reconfigure every open partition.
 * Any thread, after meta_reconcile_start; many calls make one pass. */
void meta_reconcile_settings(struct meta *m);

/* Posts `task` to `exec` once the changes published so far have reached this node's partitions: behind the pass that
 * they woke. Any thread; the memory is the caller's until then. Without a reconciler at once. */
struct meta_after {
    struct os_exec *exec;
    struct chronik_task *task;
    struct chronik_task own; /* meta: */
};
void meta_reconcile_after(struct meta *m, struct meta_after *a);

struct meta_reconcile_status {
    bool first_pass_done;
    uint64_t opened, failed, strays; /* partitions */
    char last_error[256];
    char stray_names[256]; /* the first few, "topic-id/partition", or "" */
};
void meta_reconcile_status_get(struct meta *m, struct meta_reconcile_status *out);

/* Called once on the reconciler's executor when the first pass is done: every hosted partition is open or failed. */
void meta_reconcile_on_first_pass(struct meta *m, void (*fn)(void *arg), void *arg);

#endif
