/* real.c: the real world as a whole: clocks, boot id, randomness, flags, the worker pool, the process. Any thread. */
#include <config.h>

#include "os/real.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int32_t real_errno(int err)
{
    switch (err) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return CHRONIK_E_NOSPC;
    case ENOENT:
    case ENOTDIR:
        return CHRONIK_E_NOTFOUND;
    case EEXIST:
    case ENOTEMPTY:
    case EADDRINUSE:
        return CHRONIK_E_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return CHRONIK_E_PERM;
    case ENOMEM:
    case ENOBUFS:
        return CHRONIK_E_NOMEM;
    case EMFILE:
    case ENFILE:
    case EBUSY:
        return CHRONIK_E_BUSY;
    case EAGAIN:
        return CHRONIK_E_AGAIN;
    case ENAMETOOLONG:
        return CHRONIK_E_TOOBIG;
    case EINVAL:
    case EISDIR:
    case EBADF:
        return CHRONIK_E_INVAL;
    case EPIPE:
    case ECONNRESET:
    case ECONNREFUSED:
    case ECONNABORTED:
    case ENOTCONN:
        return CHRONIK_E_CLOSED;
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return CHRONIK_E_TIMEDOUT;
    case EOPNOTSUPP:
    case ENOSYS:
        return CHRONIK_E_UNSUPPORTED;
    default:
        return CHRONIK_E_IO;
    }
}

/* ---- time, identity, chance ---- */

static int64_t real_mono_ns(struct os *os)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t real_wall_ms(struct os *os)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void real_random(struct os *os, void *p, size_t n)
{
    for (char *to = p; n > 0;) {
        ssize_t got = getrandom(to, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        CHECK(got > 0);
        to += got;
        n -= (size_t)got;
    }
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void real_boot_id(struct os *os, struct chronik_uuid *out)
{
    char text[64] = "";
    memset(out, 0, sizeof *out);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    unsigned digits = 0;
    for (ssize_t i = 0; i < n && digits < 32; i++) {
        int v = hex(text[i]);
        if (v >= 0) {
            out->b[digits / 2] |= (uint8_t)(digits % 2 ? v : v << 4);
            digits++;
        }
    }
    /* Without /proc nothing proves that the kernel is the same: each start counts as a boot. */
    if (digits < 32)
        real_random(os, out, sizeof *out);
}

const struct os_clock_ops real_clock_ops = {real_mono_ns, real_wall_ms, real_boot_id, real_random};

/* ---- threads and workers ---- */

struct thread_start {
    char name[16];
    void *(*fn)(void *arg);
    void *arg;
};

static void *thread_main(void *arg)
{
    struct thread_start s = *(struct thread_start *)arg;
    free(arg);
    prctl(PR_SET_NAME, s.name);
    return s.fn(s.arg);
}

int32_t real_thread(pthread_t *t, const char *name, void *(*fn)(void *arg), void *arg)
{
    struct thread_start *s = malloc(sizeof *s);
    if (!s)
        return CHRONIK_E_NOMEM;
    snprintf(s->name, sizeof s->name, "%s", name);
    s->fn = fn;
    s->arg = arg;
    if (pthread_create(t, NULL, thread_main, s) != 0) {
        free(s);
        return CHRONIK_E_NOMEM;
    }
    return CHRONIK_DONE;
}

struct real_workers {
    struct os_mutex lock;
    pthread_cond_t cond;
    struct task_queue queue;
    bool closing;
    unsigned n;
    pthread_t threads[];
};

static void *worker_main(void *arg)
{
    struct real_workers *w = arg;
    os_mutex_lock(&w->lock);
    for (;;) {
        struct chronik_task *t = tq_pop(&w->queue);
        if (t) {
            os_mutex_unlock(&w->lock);
            t->fn(t->arg);
            os_mutex_lock(&w->lock);
        } else if (w->closing) {
            break;
        } else {
            pthread_cond_wait(&w->cond, &w->lock.m);
        }
    }
    os_mutex_unlock(&w->lock);
    return NULL;
}

int32_t real_workers_open(unsigned n, struct real_workers **out)
{
    struct real_workers *w = calloc(1, sizeof *w + n * sizeof w->threads[0]);
    if (!w)
        return CHRONIK_E_NOMEM;
    os_mutex_init(&w->lock, LOCK_EXEC);
    CHECK(pthread_cond_init(&w->cond, NULL) == 0);
    while (w->n < n) {
        if (real_thread(&w->threads[w->n], "worker", worker_main, w) < 0) {
            real_workers_close(w);
            return CHRONIK_E_NOMEM;
        }
        w->n++;
    }
    *out = w;
    return CHRONIK_DONE;
}

void real_workers_close(struct real_workers *w)
{
    os_mutex_lock(&w->lock);
    w->closing = true;
    pthread_cond_broadcast(&w->cond);
    os_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->n; i++)
        pthread_join(w->threads[i], NULL);
    pthread_cond_destroy(&w->cond);
    os_mutex_destroy(&w->lock);
    free(w);
}

void real_worker_post(struct os *os, struct chronik_task *t)
{
    struct real_workers *w = ((struct real_os *)os)->workers;
    os_mutex_lock(&w->lock);
    if (tq_post(&w->queue, t))
        pthread_cond_signal(&w->cond); /* under the lock: this may be the last task before the pool is freed */
    os_mutex_unlock(&w->lock);
}

/* ---- the world ---- */

static uint64_t raise_file_limit(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return 1024;
    if (r.rlim_cur < r.rlim_max) {
        struct rlimit all = {r.rlim_max, r.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &all) == 0)
            r = all;
    }
    return (uint64_t)r.rlim_cur;
}

struct os *os_real_new(unsigned workers)
{
    struct real_os *os = calloc(1, sizeof *os);
    if (!os)
        return NULL;
    os->base.clock = &real_clock_ops;
    os->base.exec = &real_exec_ops;
    os->base.file = &real_file_ops;
    os->base.net = &real_net_ops;
    os->file_limit = raise_file_limit();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit of file size is a full disk, not an end without a word */
    if (real_workers_open(workers ? workers : 2, &os->workers) < 0) {
        free(os);
        return NULL;
    }
    return &os->base;
}

void os_real_free(struct os *o)
{
    struct real_os *os = (struct real_os *)o;
    real_workers_close(os->workers);
    CHECK(atomic_load(&os->execs) == 0);
    free(os);
}
