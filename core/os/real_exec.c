/* real_exec.c: an executor is a thread with a task queue under a short lock. A plain one sleeps on a condition
 * variable; a loop sleeps in libevent and is woken through one eventfd, written only while it sleeps, once per sleep.
 * Posting from the executor itself makes no system call. Tasks run without the lock.
 *
 *     running --queue empty--> sleeping --post, timer, socket--> running --close and queue empty--> gone */
#include <config.h>

#include "os/real.h"

#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { LOOP_EXTRA = 32, POSTS_EXECS = 16 };

struct real_exec {
    struct os_exec base;
    struct os_mutex lock;
    pthread_cond_t cond;
    struct task_queue queue;
    bool sleeping; /* the thread waits and nobody has woken it yet */
    bool closing;
    uint32_t owed; /* threads between os_posts_begin and _end that will wake it */
    unsigned flags;
    pthread_t thread;
    /* a loop's own; the thread's alone once it runs */
    struct event_base *evbase;
    struct event *wake, *timer, *signals[4];
    int wake_fd, timer_fd;
    int64_t armed; /* what timer_fd is set to; INT64_MAX: nothing */
    void (*signal_fn)(void *arg, int signo);
    void *signal_arg;
};

static _Thread_local struct real_exec *here;

/* Executors that this thread owes a wake-up. */
static _Thread_local struct {
    bool open;
    uint32_t n;
    struct real_exec *of[POSTS_EXECS];
} posts;

static struct real_exec *exec_of(struct os_exec *e)
{
    return (struct real_exec *)e;
}

/* ---- posting ---- */

/* Whether the wake-up can be left to os_posts_end. The executor stays asleep for all others. */
static bool owe(struct real_exec *e)
{
    if (!posts.open)
        return false;
    for (uint32_t i = 0; i < posts.n; i++)
        if (posts.of[i] == e)
            return true;
    if (posts.n == POSTS_EXECS)
        return false;
    posts.of[posts.n++] = e;
    e->owed++; /* it is not freed meanwhile */
    return true;
}

/* Called with the lock: a task that was just queued may be the one after which the executor is closed and freed, so
 * nothing of it may be touched once the lock is released. */
static void wake(struct real_exec *e)
{
    if (!e->sleeping || owe(e))
        return;
    e->sleeping = false;
    if (!e->evbase) {
        pthread_cond_signal(&e->cond);
        return;
    }
    uint64_t one = 1;
    ssize_t n;
    do
        n = write(e->wake_fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
    CHECK(n == sizeof one);
}

static void real_post(struct os_exec *x, struct chronik_task *t)
{
    struct real_exec *e = exec_of(x);
    os_mutex_lock(&e->lock);
    if (tq_post(&e->queue, t))
        wake(e);
    os_mutex_unlock(&e->lock);
}

static void real_post_at(struct os_exec *x, struct chronik_task *t, int64_t when)
{
    struct real_exec *e = exec_of(x);
    os_mutex_lock(&e->lock);
    int64_t next = tq_next_time(&e->queue);
    tq_post_at(&e->queue, t, when);
    if (when < next)
        wake(e);
    os_mutex_unlock(&e->lock);
}

static bool real_cancel(struct os_exec *x, struct chronik_task *t)
{
    struct real_exec *e = exec_of(x);
    os_mutex_lock(&e->lock);
    bool was = tq_cancel(&e->queue, t);
    os_mutex_unlock(&e->lock);
    return was;
}

static void real_posts(struct os *os, bool begin)
{
    CHECK(posts.open != begin);
    posts.open = begin;
    if (begin)
        return;
    for (uint32_t i = 0; i < posts.n; i++) {
        struct real_exec *e = posts.of[i];
        os_mutex_lock(&e->lock);
        e->owed--;
        wake(e);
        if (e->closing)
            pthread_cond_broadcast(&e->cond); /* real_close may wait for us */
        os_mutex_unlock(&e->lock);
    }
    posts.n = 0;
}

static bool real_here(struct os_exec *x)
{
    return here == exec_of(x);
}

/* ---- the thread ---- */

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void expire(struct real_exec *e)
{
    if (e->queue.timers)
        tq_expire(&e->queue, now_ns());
}

/* Background work yields to all others; a kernel that refuses leaves it an equal, which is correct but slower. */
static void be_low(void)
{
    struct sched_param p = {0};
    pthread_setschedparam(pthread_self(), SCHED_BATCH, &p);
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 10);
}

static void run_one(struct real_exec *e, struct chronik_task *t)
{
    os_mutex_unlock(&e->lock);
    t->fn(t->arg);
    CHECK(os_locks_held() == 0);
    os_mutex_lock(&e->lock);
}

static void plain_sleep(struct real_exec *e)
{
    int64_t next = tq_next_time(&e->queue);
    e->sleeping = true;
    if (next == INT64_MAX) {
        pthread_cond_wait(&e->cond, &e->lock.m);
    } else {
        struct timespec ts = {next / 1000000000, next % 1000000000};
        pthread_cond_timedwait(&e->cond, &e->lock.m, &ts);
    }
    e->sleeping = false;
}

static void *plain_main(void *arg)
{
    struct real_exec *e = arg;
    here = e;
    if (e->flags & OS_EXEC_LOW)
        be_low();
    os_mutex_lock(&e->lock);
    for (;;) {
        expire(e);
        struct chronik_task *t = tq_pop(&e->queue);
        if (t)
            run_one(e, t);
        else if (e->closing)
            break;
        else
            plain_sleep(e);
    }
    os_mutex_unlock(&e->lock);
    return NULL;
}

/* ---- loops ---- */

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    /* Edge-triggered: the counter need not be read. The queue is looked at after every round of events. */
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    exec_of(arg)->armed = INT64_MAX;
}

/* A timer that is armed too early costs one spare wake-up; a late one is never left. libevent's own timers would count
 * in its coarse clock, up to 4 ms off. */
static void arm_timer(struct real_exec *e, int64_t when)
{
    if (when >= e->armed)
        return;
    struct itimerspec at = {.it_value = {when / 1000000000, when % 1000000000}};
    if (when <= 0)
        at.it_value.tv_nsec = 1; /* zero would disarm */
    CHECK(timerfd_settime(e->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) == 0);
    e->armed = when;
}

static void *loop_main(void *arg)
{
    struct real_exec *e = arg;
    here = e;
    os_mutex_lock(&e->lock);
    for (;;) {
        expire(e);
        struct chronik_task *t;
        /* What was queued, and a few of the tasks that these post, before sockets get their turn again. */
        for (uint64_t n = e->queue.n + LOOP_EXTRA; n > 0 && (t = tq_pop(&e->queue)); n--)
            run_one(e, t);
        bool idle = !e->queue.first;
        if (idle && e->closing)
            break;
        int64_t next = tq_next_time(&e->queue);
        e->sleeping = idle;
        os_mutex_unlock(&e->lock);
        if (idle)
            arm_timer(e, next);
        int r = event_base_loop(e->evbase, idle ? EVLOOP_ONCE : EVLOOP_NONBLOCK);
        CHECK(r == 0 && os_locks_held() == 0);
        os_mutex_lock(&e->lock);
        e->sleeping = false;
    }
    os_mutex_unlock(&e->lock);
    return NULL;
}

struct event_base *real_loop_base(struct os_exec *x)
{
    struct real_exec *e = exec_of(x);
    CHECK(e->evbase && here == e);
    return e->evbase;
}

struct event_base *os_real_loop_base(struct os_exec *loop)
{
    CHECK(loop->os->exec == &real_exec_ops);
    return real_loop_base(loop);
}

static int32_t loop_open(struct real_exec *e)
{
    struct event_config *cfg = event_config_new();
    if (cfg) {
        event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
        event_config_require_features(cfg, EV_FEATURE_ET);
        e->evbase = event_base_new_with_config(cfg);
        event_config_free(cfg);
    }
    if (!e->evbase)
        return CHRONIK_E_NOMEM;
    e->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    e->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (e->wake_fd < 0 || e->timer_fd < 0)
        return real_errno(errno);
    e->armed = INT64_MAX;
    e->wake = event_new(e->evbase, e->wake_fd, EV_READ | EV_PERSIST | EV_ET, on_wake, NULL);
    e->timer = event_new(e->evbase, e->timer_fd, EV_READ | EV_PERSIST | EV_ET, on_timer, &e->base);
    if (!e->wake || !e->timer || event_add(e->wake, NULL) != 0 || event_add(e->timer, NULL) != 0)
        return CHRONIK_E_NOMEM;
    return CHRONIK_DONE;
}

static void loop_close(struct real_exec *e)
{
    for (size_t i = 0; i < ARRAY_LEN(e->signals); i++)
        if (e->signals[i])
            event_free(e->signals[i]);
    if (e->timer)
        event_free(e->timer);
    if (e->wake)
        event_free(e->wake);
    if (e->wake_fd >= 0)
        close(e->wake_fd);
    if (e->timer_fd >= 0)
        close(e->timer_fd);
    if (e->evbase)
        event_base_free(e->evbase);
}

/* ---- open and close ---- */

static void exec_free(struct real_exec *e)
{
    loop_close(e);
    pthread_cond_destroy(&e->cond);
    os_mutex_destroy(&e->lock);
    free(e);
}

static int32_t real_open(struct os *os, const char *name, unsigned flags, struct os_exec **out)
{
    struct real_exec *e = calloc(1, sizeof *e);
    if (!e)
        return CHRONIK_E_NOMEM;
    e->base.os = os;
    e->flags = flags;
    e->wake_fd = e->timer_fd = -1;
    os_mutex_init(&e->lock, LOCK_EXEC);
    pthread_condattr_t attr;
    CHECK(pthread_condattr_init(&attr) == 0);
    CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&e->cond, &attr) == 0);
    pthread_condattr_destroy(&attr);
    int32_t r = flags & OS_EXEC_LOOP ? loop_open(e) : CHRONIK_DONE;
    if (r >= 0)
        r = real_thread(&e->thread, name, flags & OS_EXEC_LOOP ? loop_main : plain_main, e);
    if (r < 0) {
        exec_free(e);
        return r;
    }
    atomic_fetch_add(&((struct real_os *)os)->execs, 1);
    *out = &e->base;
    return CHRONIK_DONE;
}

static void real_close(struct os_exec *x)
{
    struct real_exec *e = exec_of(x);
    CHECK(here != e);
    os_mutex_lock(&e->lock);
    tq_drop_timers(&e->queue);
    e->closing = true;
    wake(e);
    os_mutex_unlock(&e->lock);
    pthread_join(e->thread, NULL);
    os_mutex_lock(&e->lock);
    while (e->owed)
        pthread_cond_wait(&e->cond, &e->lock.m);
    os_mutex_unlock(&e->lock);
    tq_drop_timers(&e->queue); /* armed by the last tasks */
    atomic_fetch_sub(&((struct real_os *)e->base.os)->execs, 1);
    exec_free(e);
}

/* ---- signals ---- */

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
    struct real_exec *e = arg;
    e->signal_fn(e->signal_arg, (int)signo);
}

struct signal_start {
    struct chronik_task task;
    struct os *os;
    struct real_exec *exec;
    struct os_flag done;
};

static void signals_start(void *arg)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    struct signal_start *s = arg;
    struct real_exec *e = s->exec;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        e->signals[i] = evsignal_new(e->evbase, numbers[i], on_signal, e);
        CHECK(e->signals[i] && event_add(e->signals[i], NULL) == 0);
    }
    os_flag_set(s->os, &s->done);
}

int32_t os_signals(struct os *os, struct os_exec *loop, void (*fn)(void *arg, int signo), void *arg)
{
    struct real_exec *e = exec_of(loop);
    CHECK(os->exec == &real_exec_ops && e->evbase && !e->signal_fn);
    e->signal_fn = fn;
    e->signal_arg = arg;
    struct signal_start s = {.task = {.fn = signals_start, .arg = &s}, .os = os, .exec = e};
    os_exec_post(loop, &s.task);
    CHECK(os_flag_wait(os, &s.done, INT64_C(60) * 1000000000));
    return CHRONIK_DONE;
}

/* ---- flags, submitted file operations, the end ---- */

static bool real_flag_wait(struct os *os, struct os_flag *f, int64_t timeout_ns)
{
    int64_t end = now_ns() + timeout_ns;
    while (!__atomic_load_n(&f->set, __ATOMIC_ACQUIRE)) {
        int64_t left = end - now_ns();
        if (left <= 0)
            return false;
        struct timespec ts = {left / 1000000000, left % 1000000000};
        syscall(SYS_futex, &f->set, FUTEX_WAIT_PRIVATE, 0, &ts, NULL, 0);
    }
    return true;
}

static void real_flag_set(struct os *os, struct os_flag *f)
{
    __atomic_store_n(&f->set, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &f->set, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void file_op_run(void *arg)
{
    struct os_file_op *op = arg;
    op->result = CHRONIK_DONE;
    if (op->write)
        op->result = os_pwritev(op->file, op->iov, op->n_iov, op->off);
    if (op->sync && op->result >= 0)
        op->result = os_sync(op->file);
    op->done(op);
}

static void real_file_submit(struct os_exec *e, struct os_file_op *op)
{
    op->exec = e;
    op->task = (struct chronik_task){.fn = file_op_run, .arg = op};
    real_post(e, &op->task);
}

static void real_exit(struct os *os, int code)
{
    _exit(code);
}

static uint32_t real_processors(struct os *os)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

const struct os_exec_ops real_exec_ops = {
    .open = real_open,
    .post = real_post,
    .post_at = real_post_at,
    .cancel = real_cancel,
    .here = real_here,
    .close = real_close,
    .posts = real_posts,
    .worker_post = real_worker_post,
    .flag_wait = real_flag_wait,
    .flag_set = real_flag_set,
    .file_submit = real_file_submit,
    .exit = real_exit,
    .processors = real_processors,
};
