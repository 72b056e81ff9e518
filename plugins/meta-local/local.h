/* local.h: the inside of meta-local: one instance, its queues and its stages. Who runs where:
 *   any thread        propose, barrier, applied, status: the leaf mutex for a few instructions
 *   apply executor    step.c: everything that the host hears
 *   worker threads    opening the log, reading it again at start; read_log and snapshots in the caller's thread
 *   the log's own     durable(): moves what is durable to the ready list and posts the step */
#ifndef META_LOCAL_H
#define META_LOCAL_H

#include "plugins/common/mutant.h"
#include "plugins/common/reclog.h"
#include "plugins/common/snapfile.h"
#include "plugins/common/util.h"

#include <chronik/host.h>
#include <chronik/meta.h>
#include <chronik/plugin.h>

#include <pthread.h>

#define LOCAL_FOLDER   "meta-local"
#define LOCAL_LOG      LOCAL_FOLDER "/log"
#define LOCAL_SNAPSHOT "snapshot"
#define LOCAL_KIND     SNAPFILE_KIND('M', 'S', 'N', 'P')

enum {
    LOCAL_COMMAND = 1, /* record type: epoch (8 bytes, little-endian), then the command */
    LOCAL_HEAD = 8,
    LOCAL_OVERHEAD = 24, /* of a record in the log, about */
    LOCAL_BATCH = 256,   /* commands in one call of events.apply */
    LOCAL_QUEUE = 4096,
    LOCAL_QUEUE_BYTES = 16 << 20, /* of one class, not yet durable */
    LOCAL_SNAP_VERSION = 1,
};

/* A command between propose and its delivery (or a barrier: n == 0), or a replayed one (done.fn == NULL). */
struct waiter {
    struct waiter *next;
    chronik_meta *meta;
    int64_t at; /* mono ns of the proposal */
    struct chronik_done done;
    struct chronik_meta_pos pos;
    uint32_t klass;
    uint64_t n;
    uint8_t data[];
};

struct queue {
    struct waiter *head, **tail;
    uint64_t n;
};

enum stage {
    STAGE_NEW,     /* created */
    STAGE_OPENING, /* a worker opens the log */
    STAGE_OPENED,  /* the step must report, install, begin the replay */
    STAGE_REPLAY,  /* a worker reads, the step delivers, in turn */
    STAGE_SERVING,
    STAGE_FAILED,
};

struct chronik_meta {
    struct chronik_host host;
    struct chronik_meta_config cfg;
    struct chronik_meta_events ev;
    struct chronik_task step_task, worker_task;
    int64_t snapshot_bytes, file_bytes;
    struct chronik_metric *commands;
    struct reclog *log;

    pthread_mutex_t lock; /* guards all below */
    enum stage stage;
    uint32_t busy; /* a worker runs */
    uint32_t closing, closed_log;
    struct queue waiting;  /* in the log, not durable */
    struct queue ready;    /* durable (or replayed), to be delivered in this order */
    struct queue replayed; /* read again at start: delivered before `ready` */
    struct queue barriers;
    uint64_t class_n[CHRONIK_META_CLASSES], class_bytes[CHRONIK_META_CLASSES];
    struct chronik_done start_done, close_done;
    struct errtext error;
    uint64_t epoch;
    uint64_t proposed, durable, delivered, applied; /* indexes */
    uint64_t replay_end;                            /* last index that start must deliver */
    struct chronik_meta_pos host_pos;               /* given to start */
    uint32_t have_snapshot, install;
    struct chronik_meta_snapshot snapshot; /* the one on disk */
    uint64_t grown;                        /* bytes of log delivered behind the snapshot */
    uint64_t ask_at;                       /* bytes of log that ask for a snapshot */
    uint32_t asked;
    char stalled[200];
};

void local_step(void *arg);                                /* apply executor */
void local_post(chronik_meta *m);                          /* queues the step */
void local_start_work(void *arg);                          /* worker: opens the log */
void local_replay_work(void *arg);                         /* worker: reads the next piece */
int32_t local_install(chronik_meta *m, struct errtext *e); /* apply executor */
void local_durable(void *arg, uint64_t end);
void local_log_failed(void *arg, int32_t code, const char *text);
int32_t local_snapshot_load(chronik_meta *m, struct errtext *e); /* header only */
/* Whether all of it is whole, when it is not installed. Worker. */
int32_t local_snapshot_prove(chronik_meta *m, struct errtext *e);

int32_t local_snapshot_begin(chronik_meta *m, const struct chronik_meta_snapshot *s, void **writer);
int32_t local_snapshot_chunk(void *writer, const void *p, uint64_t n);
int32_t local_snapshot_end(void *writer, uint32_t ok);

void queue_init(struct queue *q);
void queue_push(struct queue *q, struct waiter *w);
struct waiter *queue_pop(struct queue *q);
struct waiter *waiter_new(const struct chronik_iov *iov, uint32_t n_iov, uint64_t n);

#endif
