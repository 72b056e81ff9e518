/* real.h: what the files of the real world share. Nothing outside core/os includes it. */
#ifndef CHRONIK_OS_REAL_H
#define CHRONIK_OS_REAL_H

#include "os/lock.h"
#include "os/os_impl.h"
#include "os/task_queue.h"

struct event_base;
struct real_workers;

struct real_os {
    struct os base;
    struct real_workers *workers;
    uint64_t file_limit;
    atomic_int execs; /* open executors */
};

extern const struct os_clock_ops real_clock_ops;
extern const struct os_exec_ops real_exec_ops;
extern const struct os_file_ops real_file_ops;
extern const struct os_net_ops real_net_ops;

/* The chronik code for an errno value. */
int32_t real_errno(int err);

/* A thread named `name` with all signals as inherited; CHRONIK_E_NOMEM when there is no room for one. */
int32_t real_thread(pthread_t *t, const char *name, void *(*fn)(void *arg), void *arg);

int32_t real_workers_open(unsigned n, struct real_workers **out);
void real_workers_close(struct real_workers *w);
void real_worker_post(struct os *os, struct chronik_task *t);

/* The event base of a loop executor; the caller runs on it. */
struct event_base *real_loop_base(struct os_exec *e);

int real_file_fd(struct os_file *f);

#endif
