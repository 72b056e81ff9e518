/* os.h: everything the broker may ask of the system: time, chance, threads, files, sockets. One `struct os` is one
 * node's world: os_real() makes the true one, the simulator (tests/sim) a virtual one, and no other code of the core
 * knows which. The plugin host (core/plugin) maps include/chronik/host.h onto this.
 *
 * Executors: everything that runs, runs as a task on a serial executor. In the real world an executor is a thread; in
 * the simulator all executors share one thread and the seed chooses who goes next. A loop is an executor that can also
 * watch sockets. Results are CHRONIK_ codes (negative) as in <chronik/base.h>. */
#ifndef CHRONIK_OS_H
#define CHRONIK_OS_H

#include <chronik/base.h>

#include "base/base.h"
#include "base/err.h"

struct os;
struct os_exec; /* a serial executor */
struct os_file;
struct event_base;
struct os_sock; /* a listening or connected non-blocking stream socket */

/* ---- time, identity, chance ---- */

int64_t os_mono_ns(struct os *os);                        /* never goes back */
int64_t os_wall_ms(struct os *os);                        /* since 1970; may jump */
void os_boot_id(struct os *os, struct chronik_uuid *out); /* of the running kernel */
void os_random(struct os *os, void *p, size_t n);

/* ---- executors ---- */

enum {
    OS_EXEC_LOW = 1,  /* background: yields to all others */
    OS_EXEC_LOOP = 2, /* can watch sockets */
};

/* A task as in <chronik/base.h>: intrusive, caller's memory, zeroed before first use. */
int32_t os_exec_open(struct os *os, const char *name, unsigned flags, struct os_exec **out);
void os_exec_post(struct os_exec *e, struct chronik_task *t); /* any thread; FIFO; posting a queued task is a no-op */
/* Runs it no earlier than `mono_ns`; a task that is queued already, with a time or without, is moved to the new time.
 * (os_exec_post leaves a task that waits for a time where it is.) */
void os_exec_post_at(struct os_exec *e, struct chronik_task *t, int64_t mono_ns);
bool os_exec_cancel(struct os_exec *e, struct chronik_task *t); /* true: was queued, will not run */
bool os_exec_here(struct os_exec *e);                           /* the caller is a task of e */
/* Runs what is queued without a time, drops timers, joins the thread. Must not be called from a task of e. In the
 * simulator it drains the virtual queue. */
void os_exec_close(struct os_exec *e);
/* Between the two calls posts of this thread wake a sleeping executor once, at the end, instead of at each post: for
 * whoever posts many tasks in a row. Not nested, and nothing in between may wait for what was posted. */
void os_posts_begin(struct os *os);
void os_posts_end(struct os *os);
/* Processors that this process may run on, at least 1. */
uint32_t os_processors(struct os *os);
/* Runs the task on a shared pool of worker threads (2 by default). */
void os_worker_post(struct os *os, struct chronik_task *t);

/* Blocks the calling thread until `*flag` is non-zero or the time is over; true when set. Only main and tests may call
 * it: in the simulator it runs other tasks meanwhile. os_flag_set wakes it. */
struct os_flag {
    int32_t set;
};
bool os_flag_wait(struct os *os, struct os_flag *f, int64_t timeout_ns);
void os_flag_set(struct os *os, struct os_flag *f);

/* ---- files: paths are absolute or relative to the working directory (virtual: to the node's root) ---- */

enum { OS_READ = 1, OS_WRITE = 2, OS_CREATE = 4, OS_EXCL = 8, OS_DIRECT = 32 }; /* as CHRONIK_FILE_ */
enum { OS_NOWAIT = 1 };                                                         /* as CHRONIK_READ_NOWAIT */

struct os_stat {
    uint64_t size;
    int64_t mtime_ms;
    bool is_dir;
    uint32_t uid, mode;
};

int32_t os_open(struct os *os, const char *path, unsigned flags, struct os_file **out);
void os_close(struct os_file *f);
int32_t os_size(struct os_file *f, uint64_t *out);
int32_t os_pread(struct os_file *f, void *p, size_t n, uint64_t off, unsigned flags,
                 size_t *got); /* until n or end of file */
int32_t os_pwritev(struct os_file *f, const struct chronik_iov *iov, uint32_t n, uint64_t off); /* all or an error */
int32_t os_sync(struct os_file *f);                                                             /* fdatasync */
int32_t os_truncate(struct os_file *f, uint64_t size);
int32_t os_allocate(struct os_file *f, uint64_t off, uint64_t n);
void os_advise_need(struct os_file *f, uint64_t off, uint64_t n); /* start reading ahead */
void os_advise_random(struct os_file *f); /* from now on a read of it brings in what it asks for and nothing ahead */
/* Whether a read of the range would not wait for the disk: exactly where the system can tell, else by its first and
 * last byte; a file that cannot say is taken as cached. It reads nothing ahead where the system can tell. */
bool os_cached(struct os_file *f, uint64_t off, uint64_t n);
void os_advise_drop(struct os_file *f, uint64_t off, uint64_t n);
/* Lets written bytes of the range (n 0: to the end) begin their way to the disk; waits for nothing, promises nothing.
 */
void os_start_write(struct os_file *f, uint64_t off, uint64_t n);
int32_t os_lock(struct os_file *f); /* exclusive, for the life of the process; CHRONIK_E_LOCKED with no waiting */
int32_t os_rename(struct os *os, const char *from, const char *to);
int32_t os_unlink(struct os *os, const char *path);
int32_t os_mkdir(struct os *os, const char *path);
int32_t os_rmdir(struct os *os, const char *path);
int32_t os_sync_dir(struct os *os, const char *path);
int32_t os_lookup(struct os *os, const char *path, struct os_stat *out); /* E_NOTFOUND */
int32_t os_list(struct os *os, const char *path, void (*each)(void *arg, const char *name, bool is_dir), void *arg);
int32_t os_disk_free(struct os *os, const char *path, uint64_t *free_bytes, uint64_t *total_bytes);
uint32_t os_user(struct os *os); /* the id of the user who owns what is made here; 0: root */

/* A write and/or sync in the order of the executor: it occupies e until done (in the simulator for a virtual latency,
 * while other executors run), then op->done runs on e. */
struct os_file_op {
    struct os_file *file;
    const struct chronik_iov *iov;
    uint32_t n_iov;
    uint64_t off;
    bool write, sync;
    int32_t result;
    void (*done)(struct os_file_op *op); /* result is set */
    struct os_exec *exec;                /* os: */
    struct chronik_task task;            /* os: */
};
void os_file_submit(struct os_exec *e, struct os_file_op *op);

/* ---- sockets: non-blocking, watched by a loop ---- */

enum { OS_CAN_READ = 1, OS_CAN_WRITE = 2 };
typedef void (*os_sock_fn)(void *arg, unsigned what); /* runs on the loop, level-triggered */

/* "127.0.0.1:0", "[::1]:9092", "host:port"; *port gets the bound port. E_EXISTS when the address is in use. */
int32_t os_listen(struct os *os, const char *address, int backlog, struct os_sock **out, uint16_t *port, struct err *e);
/* DONE with a new socket; E_AGAIN none waiting; E_BUSY when out of descriptors; E_CLOSED connection died in the queue.
 */
int32_t os_accept(struct os_sock *l, struct os_sock **out);
/* Non-blocking connect: watch OS_CAN_WRITE, then os_connect_result: DONE, E_CLOSED (refused/reset), E_TIMEDOUT, E_IO.
 * Host names are resolved by this call (blocking: call it on a worker), numeric addresses are not blocking. */
int32_t os_connect(struct os *os, const char *address, struct os_sock **out, struct err *e);
int32_t os_connect_result(struct os_sock *s);
/* One watcher a socket, always on the same loop; what = 0 stops. Must be called on `loop` itself (an OS_EXEC_LOOP
 * executor). With both bits ready fn may be called once with both or once for each. E_NOMEM. */
int32_t os_watch(struct os_sock *s, struct os_exec *loop, unsigned what, os_sock_fn fn, void *arg);
/* > 0 bytes; 0 end of stream; E_AGAIN; E_CLOSED reset. */
int64_t os_recv(struct os_sock *s, void *p, size_t n);
/* > 0 bytes taken, maybe fewer than offered; E_AGAIN; E_CLOSED. `more`: another send follows at once. */
int64_t os_send(struct os_sock *s, const struct chronik_iov *iov, uint32_t n, bool more);
/* As os_send, from a file. 0: the file is shorter than `off`: the range was truncated. */
int64_t os_sendfile(struct os_sock *s, struct os_file *f, uint64_t off, uint64_t n);
void os_sock_close(struct os_sock *s);                     /* stops the watch too; on its loop */
void os_sock_abort(struct os_sock *s);                     /* as close, the peer sees a reset */
void os_peer_name(struct os_sock *s, char *buf, size_t n); /* "127.0.0.1:40312" */
uint64_t os_file_limit(struct os *os);                     /* descriptors this process may have */

/* ---- the process ---- */
_Noreturn void os_exit(struct os *os, int code); /* at once, no cleanup; the simulator ends the node */

/* The real world; one a process. `workers` threads in the pool. NULL when memory or threads are exhausted. */
struct os *os_real_new(unsigned workers);
void os_real_free(struct os *os);
/* SIGTERM, SIGINT, SIGHUP, SIGUSR1 as tasks: fn(arg, signo) runs on `loop`, from the return of this call on, which
 * waits for the loop and so must not come from it. SIGPIPE and SIGXFSZ are ignored. Real world only. */
int32_t os_signals(struct os *os, struct os_exec *loop, void (*fn)(void *arg, int signo), void *arg);
/* The libevent base of a loop, for evhttp in core/admin alone; the caller runs on it. Real world only. */
struct event_base *os_real_loop_base(struct os_exec *loop);

/* ---- faults: for tests, in both worlds ---- */

enum {
    OS_FAULT_OPEN,
    OS_FAULT_READ, /* also sendfile */
    OS_FAULT_WRITE,
    OS_FAULT_SYNC,
    OS_FAULT_SYNC_DIR,
    OS_FAULT_RENAME,
    OS_FAULT_TRUNCATE,
    OS_FAULT_ALLOCATE,
    OS_FAULT_KINDS,
};

struct os_fault {
    int op;           /* OS_FAULT_ */
    int32_t code;     /* what the failing call answers: CHRONIK_E_IO, CHRONIK_E_NOSPC ... */
    int64_t after;    /* this many matching calls succeed first */
    int64_t times;    /* then this many fail; < 0: all */
    const char *path; /* only paths that contain this; NULL: all. Sees files opened after the fault was added */
};

/* The next call of kind `op` after `after_n` further ones fails once with `code`. */
void os_fault_set(struct os *os, int op, int64_t after_n, int32_t code);
/* Add while no other thread uses `os` (in practice: at start). A failing write may leave a part of its bytes in the
 * file. At most 16 at a time; E_BUSY beyond. */
int32_t os_fault_add(struct os *os, const struct os_fault *f);
void os_fault_clear(struct os *os);
/* "OP[@PATH-PART]:AFTER:CODE[:TIMES]", comma separated; OP is open, read, write, sync, sync_dir, rename, truncate,
 * allocate; CODE is EIO, ENOSPC, EACCES or ENOENT; TIMES is 1 unless given, * for all. For instance
 * "sync@wal/:100:EIO,write:5000:ENOSPC:*". E_INVAL names the item that is wrong. */
int32_t os_fault_parse(struct os *os, const char *spec, struct err *e);
/* os_fault_parse of the environment variable CHRONIK_TEST_FAULTS when it is set: main calls it once, so that
 * end-to-end tests reach a running broker. DONE, also when the variable is not set. */
int32_t os_fault_from_env(struct os *os, struct err *e);

#endif
