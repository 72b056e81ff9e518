/* meta_int.h: the inside of struct meta, for the files of core/meta alone. Who owns what:
 *   apply executor   state, proposer sessions, engine events, completions
 *   low executor     checkpoint table, snapshots, trimming, the watchdog
 *   m->lock          queues of proposals, the delta on its way to the checkpoint, log map, what status shows
 * The lock is held for a few instructions and never while anything outside this folder runs, but a post. */
#ifndef CHRONIK_META_INT_H
#define CHRONIK_META_INT_H

#include "base/log.h"
#include "base/metrics.h"
#include "meta/cmd.h"
#include "meta/kv.h"
#include "meta/meta.h"
#include "meta/mutant.h"
#include "meta/state.h"

/* A command on its way. */
struct proposal {
    struct proposal *next;
    meta_done_fn done; /* NULL: answered already (its deadline passed) */
    void *arg;
    int64_t deadline; /* mono ns */
    size_t n;
    uint8_t data[]; /* meta_cmd_encode */
};

/* An entry of the log that this process proposed and has not seen applied. */
struct open_entry {
    struct open_entry *next;
    uint64_t number;
    struct proposal *cmds; /* in order */
    uint32_t n_cmds;
    struct meta_buf head, body;
    bool in_flight; /* the engine borrows head and body */
    bool sent;      /* handed over, and no reason yet to do it again */
    bool again;     /* hand it over again once it is back */
    bool finished;  /* applied or given up: free it once it is back */
    int64_t retry_at, backoff;
    int64_t deadline; /* earliest of its commands */
    struct meta *meta;
    uint8_t klass;
};

struct session {
    uint64_t next_number;
    struct open_entry *open, **open_tail; /* in order of their numbers */
    uint32_t n_open;
    struct proposal *queue, **queue_tail; /* under m->lock */
    uint64_t queue_bytes;
    int64_t queue_deadline; /* no command in the queue is due before */
    uint32_t n_queued;
};

/* Which index of the engine's log holds which command, every so often, and which entries were not applied. */
struct logmap {
    struct {
        uint64_t seq, index;
    } * anchor;
    size_t n_anchors, cap_anchors;
    uint64_t *skipped; /* indexes of refused entries, rising */
    size_t n_skipped, cap_skipped;
};

/* The digest of the state after each of the last commands: what nodes can compare although one is behind another. */
struct trail {
    struct meta_digest v[META_TRAIL]; /* a ring */
    uint64_t n;                       /* ever noted */
};

/* What the table's head row says of its rows. */
struct checkpoint_head {
    uint64_t seq;
    struct chronik_meta_pos pos;
    uint64_t digest[2], n_rows;
};

struct checkpoint {
    struct meta_kv_table *kv; /* NULL: no checkpoints */
    bool own_kv;
    char dir[3500];
    /* under m->lock */
    struct meta_buf delta;       /* rows changed since the last transaction */
    struct checkpoint_head head; /* that belongs to the delta */
    bool full;                   /* the delta is not enough: write everything */
    bool scheduled;
    uint64_t done_seq; /* what the table holds */
    char why[256];     /* trouble, or why the table was not trusted */
    /* low executor */
    bool marked; /* the mark on disk says that the table is in use */
    struct meta_buf taking;
    int64_t last_cost_ns;
};

struct install; /* snapshot.c */
struct reconciler;

struct batch_answer {
    struct open_entry *entry;
    enum meta_verdict verdict;
    struct meta_outcome *outs;
    uint64_t first_seq;
};

struct meta {
    struct os *os;
    struct chronik_host host;
    const struct chronik_meta_ops *ops;
    chronik_meta *engine;
    struct meta_options opt;
    struct chronik_uuid incarnation;
    struct meta_mem mem;
    struct os_mutex lock;
    struct chronik_exec *apply, *low;
    struct chronik_done closed;

    /* apply executor */
    struct meta_state st;
    struct meta_sub *subs;
    struct session session[CHRONIK_META_CLASSES];
    struct proposal *boot_queue;
    struct install *install;
    struct batch_answer *answers;
    uint32_t n_answers, cap_answers;
    uint64_t engine_epoch;
    struct chronik_task pump_task, timer_task, start_task, boot_task, close_task, closed_task;
    bool started, boot_running;
    int64_t boot_backoff;

    /* low executor */
    struct chronik_task checkpoint_task, snapshot_task, watch_task, final_task, worker_task;
    struct meta_reader *low_reader;
    struct checkpoint cp;
    uint64_t watch_applied;
    bool engine_stall_said;
    int64_t watch_since, watch_last;

    /* written under the lock, read anywhere */
    _Atomic bool caught_up, registered, stopped, closing;

    /* under lock */
    struct logmap map;
    struct trail trail;
    int64_t broker_epoch;
    uint64_t seq, applied_index, digest[2], snapshot_seq;
    uint64_t topics, partitions, brokers;
    uint32_t n_open;
    char stopped_why[256], stalled[256];
    int64_t stuck_since; /* mono ns; 0: nothing is stuck that a restart would cure */

    struct reconciler *rec;
};

/* propose.c */
void propose_init(struct meta *m);
void propose_pump(struct meta *m); /* apply executor */
int32_t propose_put(struct meta *m, enum meta_class k, const struct meta_command *c, int64_t timeout_ms,
                    meta_done_fn done, void *arg, bool boot);
/* The entry of ours that this envelope belongs to, or NULL. */
struct open_entry *propose_find(struct meta *m, const struct meta_envelope *e);
void propose_answer(struct meta *m, struct open_entry *e, enum meta_verdict v, const struct meta_outcome *outs,
                    uint64_t first_seq);
void propose_all_again(struct meta *m); /* after a snapshot replaced the state */
void propose_retry_now(struct meta *m); /* apply executor */
void propose_fail_all(struct meta *m);
void propose_timer(struct meta *m); /* deadlines and retries */

/* engine.c */
void engine_events(struct meta *m, struct chronik_meta_events *ev);
void engine_publish(struct meta *m); /* image, subscribers; apply executor */
void engine_stop(struct meta *m, int32_t code, const char *why);

/* boot.c */
void boot_begin(struct meta *m); /* apply executor, when caught up */

/* checkpoint.c */
int32_t checkpoint_open(struct meta *m, struct err *e); /* fills the state when the table can be trusted */
void checkpoint_hand_over(struct meta *m);              /* apply executor, after publication */
void checkpoint_rewrite(struct meta *m);                /* everything, soon */
void checkpoint_final(struct meta *m);                  /* low executor: last transaction, sync, clean mark */
void checkpoint_close(struct meta *m);

/* logmap.c: all under m->lock */
void logmap_applied(struct meta *m, uint64_t index, uint64_t first_seq, struct meta_buf *delta);
void logmap_skipped(struct meta *m, uint64_t index, struct meta_buf *delta);
void logmap_reset(struct meta *m);
void logmap_rows(const struct logmap *l, struct meta_buf *delta);
bool logmap_load(struct logmap *l, const uint8_t *k, size_t kn, const uint8_t *v, size_t vn);
void logmap_trim(struct logmap *l, uint64_t first_index);

/* snapshot.c */
int32_t snapshot_install_begin(struct meta *m, const struct chronik_meta_snapshot *s);
int32_t snapshot_install_chunk(struct meta *m, const void *p, uint64_t n);
int32_t snapshot_install_end(struct meta *m, bool ok);
void snapshot_make(void *arg); /* low executor */

/* reconcile.c */
void reconcile_wake(struct meta *m); /* any thread */
void reconcile_close(struct meta *m, void (*then)(void *arg), void *arg);
void reconcile_free(struct meta *m);

#endif
