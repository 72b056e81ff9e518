/* chronik/host.h: what a module may ask of the broker. A module that takes files, time, threads, randomness and
 * streams only from here runs unmodified in the simulator, where power fails at every write.
 *
 * Every function takes the table's `ctx` first, unless it takes a handle that the host made. Unless a comment says
 * otherwise a function may be called from any thread. A module creates no thread, waits on no condition variable and
 * installs no signal handler. pthread mutexes held for a few instructions are fine. While one is held the module may
 * ask for clocks, chance, checksums, metrics and buffers and may post tasks: these take only leaf locks of the host and
 * never call back. Nothing else may be called under a lock. */
#ifndef CHRONIK_PUBLIC_HOST_H
#define CHRONIK_PUBLIC_HOST_H

#include <chronik/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CHRONIK_LOG_DEBUG 0
#define CHRONIK_LOG_INFO  1
#define CHRONIK_LOG_WARN  2
#define CHRONIK_LOG_ERROR 3

#define CHRONIK_METRIC_COUNTER   UINT32_C(1)
#define CHRONIK_METRIC_GAUGE     UINT32_C(2)
#define CHRONIK_METRIC_HISTOGRAM UINT32_C(3) /* of durations: observe nanoseconds, shown in seconds */

/* exec_open flags */
#define CHRONIK_EXEC_LOW UINT32_C(1) /* background work: yields the processor to all others */

/* file_open flags */
#define CHRONIK_FILE_READ   UINT32_C(1)
#define CHRONIK_FILE_WRITE  UINT32_C(2)
#define CHRONIK_FILE_CREATE UINT32_C(4)
#define CHRONIK_FILE_EXCL   UINT32_C(8)  /* with CREATE: fails with E_EXISTS */
#define CHRONIK_FILE_LOCK   UINT32_C(16) /* exclusive until closed; E_LOCKED when another process has it */
/* Since 0.2. A wish: writes that begin and end at multiples of 512 bytes, in the file and in memory, pass the page
 * cache by where the system can do it; all others, and all reads, are as without. Such a write has reached the disk
 * when it returns, and is durable after a sync as any other. */
#define CHRONIK_FILE_DIRECT UINT32_C(32)

/* file_read flags */
#define CHRONIK_READ_NOWAIT UINT32_C(1) /* only what the page cache holds, else E_AGAIN */

/* What file_submit does, in this order, skipping what is not asked for. */
#define CHRONIK_OP_WRITE UINT32_C(1)
#define CHRONIK_OP_SYNC  UINT32_C(2) /* data and size; not timestamps */

/* One submitted write and/or sync. The memory is the caller's and borrowed until `done` ran. */
struct chronik_file_op {
    uint32_t size;
    uint32_t flags; /* CHRONIK_OP_ */
    struct chronik_file *file;
    const struct chronik_iov *iov;
    uint32_t n_iov;
    uint32_t reserved;
    uint64_t offset;
    struct chronik_done done; /* on the executor that the op was submitted to; CHRONIK_DONE or a negative code */
    uint64_t host[20];        /* the host's */
};

/* One name in a directory; "." and ".." are never listed. */
struct chronik_dirent {
    const char *name; /* borrowed for the call */
    uint32_t is_dir;
    uint32_t reserved;
};

/* One data directory. The caller of dir_info sets `size`. */
struct chronik_dir_info {
    uint32_t size;
    uint32_t online; /* 0 after dir_failed */
    struct chronik_uuid id;
    const char *path;                 /* for messages only; lives as long as the host */
    uint64_t free_bytes, total_bytes; /* 0 while offline */
};

/* Callbacks of a listener, on the executor it was opened with. */
struct chronik_listen_events {
    uint32_t size;
    uint32_t reserved;
    /* A connection came in; the stream is the callee's to close. `peer` is "address:port", borrowed for the call. */
    void (*accepted)(void *arg, struct chronik_stream *s, const char *peer);
    void *arg;
};

/* The table of services. It belongs to the host and outlives the module's instance. */
struct chronik_host {
    uint32_t size;
    uint16_t major, minor; /* CHRONIK_HOST_MAJOR, CHRONIK_HOST_MINOR of the host's headers */
    void *ctx;

    /* -- messages -- `text` is one line without newline; the host adds time, level, module, version and build id. */
    void (*log)(void *ctx, int32_t level, const char *text);
    /* Ends the process in an orderly way for the operator: exit status `code`, one sentence. Does not return. In the
     * simulator it ends the virtual node. */
    void (*fatal)(void *ctx, int32_t code, const char *text);

    /* -- metrics -- names in Prometheus style without the "chronik_" prefix; NULL when memory is short (all metric
     * functions accept NULL). */
    struct chronik_metric *(*metric_open)(void *ctx, uint32_t kind, const char *name, const char *help);
    void (*metric_add)(struct chronik_metric *m, int64_t delta);
    void (*metric_set)(struct chronik_metric *m, int64_t value);
    void (*metric_observe)(struct chronik_metric *m, int64_t ns);

    /* -- settings -- keys of the module's schema, and the broker keys "node.id", "chronik.flush", "log.*",
     * "flush.*" as far as they exist; "chronik.descriptors.data": how many files of data the module may hold open, of
     * the limit of the process, for a module that opens many. E_NOTFOUND for unknown keys. Strings live as long as the
     * host. */
    int32_t (*config_i64)(void *ctx, const char *key, int64_t *out);
    int32_t (*config_str)(void *ctx, const char *key, const char **out);

    /* -- time, identity, chance -- */
    int64_t (*mono_ns)(void *ctx);                        /* never goes back within a process */
    int64_t (*wall_ms)(void *ctx);                        /* since 1970; may jump */
    void (*boot_id)(void *ctx, struct chronik_uuid *out); /* of the running kernel */
    void (*random)(void *ctx, void *p, uint64_t n);
    uint32_t (*crc32c)(uint32_t crc, const void *p, uint64_t n); /* start with 0; composable */

    /* -- executors -- a thread each in the broker, virtual in the simulator. `name` shows up in thread lists. */
    int32_t (*exec_open)(void *ctx, const char *name, uint32_t flags, struct chronik_exec **out);
    /* Runs the task after all earlier posts. A task that is queued already is left where it is. */
    void (*exec_post)(struct chronik_exec *e, struct chronik_task *t);
    /* Runs it no earlier than `mono_ns`; a queued task is moved to the new time. */
    void (*exec_post_at)(struct chronik_exec *e, struct chronik_task *t, int64_t mono_ns);
    /* 1 when it was queued and will not run, 0 when it ran, runs or was never queued. Call it on the executor itself
     * when the difference matters. */
    int32_t (*exec_cancel)(struct chronik_exec *e, struct chronik_task *t);
    /* Non-zero when the calling thread is running a task of `e`. */
    int32_t (*exec_here)(struct chronik_exec *e);
    /* Runs what is queued without a time, drops timers, then `done` (on a host thread). Nothing may be posted after;
     * its streams and listeners must have been closed before, and attempts to connect hold it up until they end. */
    int32_t (*exec_close)(struct chronik_exec *e, struct chronik_done done);
    /* Runs the task on some shared worker thread; for work of more than about 100 us. */
    void (*worker_post)(void *ctx, struct chronik_task *t);

    /* -- buffers -- one reference on return; freed with the last. */
    struct chronik_buf *(*buf_new)(void *ctx, uint64_t size);
    void *(*buf_data)(struct chronik_buf *b);
    uint64_t (*buf_size)(struct chronik_buf *b); /* as given to buf_new */
    void (*buf_ref)(struct chronik_buf *b);
    void (*buf_unref)(struct chronik_buf *b);

    /* -- directories and files -- A path is relative to data directory number `dir`, components separated by '/', no
     * "..". Plain calls block; call them on an executor or during create, start and open, and from append only for
     * writes into the page cache. They return CHRONIK_DONE (or a count) or a negative code. */
    uint32_t (*dir_count)(void *ctx);
    int32_t (*dir_info)(void *ctx, uint32_t dir, struct chronik_dir_info *out);
    /* The module found the directory broken: the host takes it offline, names it in health, and tells the core. */
    void (*dir_failed)(void *ctx, uint32_t dir, const char *text);
    int32_t (*dir_make)(void *ctx, uint32_t dir, const char *path);   /* one level; E_EXISTS */
    int32_t (*dir_remove)(void *ctx, uint32_t dir, const char *path); /* must be empty */
    int32_t (*dir_list)(void *ctx, uint32_t dir, const char *path,
                        void (*each)(void *arg, const struct chronik_dirent *e), void *arg);
    int32_t (*dir_sync)(void *ctx, uint32_t dir, const char *path); /* makes creations, renames, removals durable */
    int32_t (*file_open)(void *ctx, uint32_t dir, const char *path, uint32_t flags, struct chronik_file **out);
    int32_t (*file_rename)(void *ctx, uint32_t dir, const char *from, const char *to); /* replaces `to` */
    int32_t (*file_remove)(void *ctx, uint32_t dir, const char *path);
    void (*file_close)(struct chronik_file *f);
    int32_t (*file_size)(struct chronik_file *f, uint64_t *out);
    /* Reads until `n` bytes or end of file; *got says how many. */
    int32_t (*file_read)(struct chronik_file *f, void *p, uint64_t n, uint64_t offset, uint32_t flags, uint64_t *got);
    /* Writes all of it or fails; after a failure the range has unknown content. */
    int32_t (*file_write)(struct chronik_file *f, const struct chronik_iov *iov, uint32_t n_iov, uint64_t offset);
    /* Waits until everything written before this call is durable. After a failure the file's state is unknown: the
     * caller must not retry. */
    int32_t (*file_sync)(struct chronik_file *f);
    int32_t (*file_truncate)(struct chronik_file *f, uint64_t size);
    int32_t (*file_allocate)(struct chronik_file *f, uint64_t offset,
                             uint64_t n); /* reserve blocks, extends the size */
    void (*file_advise_drop)(struct chronik_file *f, uint64_t offset, uint64_t n); /* will not be read soon */
    /* Queues the operation on `e`: it runs in the executor's order, occupies it until done, then op->done.fn runs on
     * it. In the simulator the executor is busy for the virtual latency while others go on. */
    void (*file_submit)(struct chronik_exec *e, struct chronik_file_op *op);

    /* -- streams -- completions and callbacks run on the executor given, and the calls on a stream are made there.
     * Addresses are "host:port" or "[v6]:port". */
    /* CHRONIK_DONE, or E_EXISTS (address in use), E_INVAL, E_PERM, E_IO; the host logs the sentence. */
    int32_t (*listen)(void *ctx, struct chronik_exec *e, const char *address, const struct chronik_listen_events *ev,
                      void **listener);
    /* On the listener's executor: no `accepted` comes after it returned. */
    void (*listen_close)(void *listener);
    /* done gets CHRONIK_DONE with *out set, or E_CLOSED (refused or reset: the port is dead) or E_TIMEDOUT (silence).
     * There is no way to call it back: *out and the timeout's length must be affordable. */
    int32_t (*connect)(void *ctx, struct chronik_exec *e, const char *address, int64_t timeout_ns,
                       struct chronik_stream **out, struct chronik_done done);
    /* At least one byte into p; done gets the count (> 0), E_CLOSED at the end or after a reset. One read at a time. */
    int32_t (*stream_read)(struct chronik_stream *s, void *p, uint64_t n, struct chronik_done done);
    /* All bytes; one write at a time. Done when the transport took them, not when the peer did. */
    int32_t (*stream_write)(struct chronik_stream *s, const struct chronik_iov *iov, uint32_t n_iov,
                            struct chronik_done done);
    /* Call it on the stream's executor. A pending read and write complete with E_CANCELED, later; then the stream is
     * freed. The handle must not be used after this call. */
    void (*stream_close)(struct chronik_stream *s);
    /* The port that a listener got, for an address that ended in ":0". */
    int32_t (*listen_port)(void *listener, uint16_t *out);

    /* -- since 0.2 -- Begins to write the range (n 0: to the end) to the disk, so that a later sync has less to wait
     * for; it promises nothing. */
    void (*file_start_write)(struct chronik_file *f, uint64_t offset, uint64_t n);
};

#ifdef __cplusplus
}
#endif
#endif
