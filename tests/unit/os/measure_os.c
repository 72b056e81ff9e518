/* measure_os.c: prints what a post costs and how long it takes to run on another thread, and how many steps a second
 * the simulator makes. Not a test: `make tests/unit/os/measure_os && tests/unit/os/measure_os`. */
#include "os/os.h"
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

enum { HOPS = 20000, POSTS = 2000000, BATCH = 1000 };

static struct os *os;
static struct os_flag flag;

/* ---- post to run, between two sleeping threads ---- */

static struct {
    struct chronik_task task;
    struct os_exec *exec[2];
    int hops;
    int64_t posted, took[HOPS];
} ball;

static void hop(void *arg)
{
    ball.took[ball.hops] = os_mono_ns(os) - ball.posted;
    if (++ball.hops == HOPS) {
        os_flag_set(os, &flag);
        return;
    }
    /* Give the other side time to fall asleep: the latency wanted is that of a wake-up. */
    int64_t until = os_mono_ns(os) + 20000;
    while (os_mono_ns(os) < until)
        ;
    ball.posted = os_mono_ns(os);
    os_exec_post(ball.exec[ball.hops % 2], &ball.task);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void measure_hops(const char *what, unsigned flags)
{
    ball.hops = 0;
    flag.set = 0;
    ball.task = (struct chronik_task){.fn = hop};
    for (int i = 0; i < 2; i++)
        if (os_exec_open(os, "hop", flags, &ball.exec[i]) < 0)
            exit(1);
    ball.posted = os_mono_ns(os);
    os_exec_post(ball.exec[0], &ball.task);
    if (!os_flag_wait(os, &flag, INT64_C(60000000000)))
        exit(1);
    qsort(ball.took, HOPS, sizeof ball.took[0], by_size);
    printf("post to run, %s: p50 %.1f us, p99 %.1f us\n", what, (double)ball.took[HOPS / 2] / 1e3,
           (double)ball.took[HOPS * 99 / 100] / 1e3);
    for (int i = 0; i < 2; i++)
        os_exec_close(ball.exec[i]);
}

/* ---- posts a second, from another thread and from the executor itself ---- */

static struct chronik_task many[BATCH];
static int ran;

static void count(void *arg)
{
    __atomic_store_n(&ran, ran + 1, __ATOMIC_RELAXED);
}

static void measure_posts(const char *what, unsigned flags)
{
    struct os_exec *e;
    if (os_exec_open(os, "posts", flags, &e) < 0)
        exit(1);
    ran = 0;
    int64_t from = os_mono_ns(os);
    for (int i = 0; i < POSTS; i += BATCH) {
        for (int k = 0; k < BATCH; k++) {
            many[k] = (struct chronik_task){.fn = count};
            os_exec_post(e, &many[k]);
        }
        while (__atomic_load_n(&ran, __ATOMIC_RELAXED) < i + BATCH)
            ;
    }
    double s = (double)(os_mono_ns(os) - from) / 1e9;
    printf("posts from another thread and runs, %s: %.1f million/s\n", what, POSTS / s / 1e6);
    os_exec_close(e);
}

static struct {
    struct chronik_task task;
    struct os_exec *exec;
    int left;
} self;

static void again(void *arg)
{
    if (--self.left > 0)
        os_exec_post(self.exec, &self.task);
    else
        os_flag_set(os, &flag);
}

static void measure_self(const char *what, unsigned flags)
{
    if (os_exec_open(os, "self", flags, &self.exec) < 0)
        exit(1);
    self.task = (struct chronik_task){.fn = again};
    self.left = POSTS;
    flag.set = 0;
    int64_t from = os_mono_ns(os);
    os_exec_post(self.exec, &self.task);
    if (!os_flag_wait(os, &flag, INT64_C(60000000000)))
        exit(1);
    double s = (double)(os_mono_ns(os) - from) / 1e9;
    printf("posts to oneself and runs, %s: %.1f million/s\n", what, POSTS / s / 1e6);
    os_exec_close(self.exec);
}

/* ---- the simulator ---- */

enum { SIM_EXECS = 12 };

static struct {
    struct chronik_task task;
    struct os_exec *exec;
} play[SIM_EXECS];

static void pass(void *arg)
{
    size_t k = (size_t)((char *)arg - (char *)play) / sizeof play[0];
    os_exec_post(play[(k + 1) % SIM_EXECS].exec, &play[(k + 1) % SIM_EXECS].task);
}

static void measure_sim(struct os *real)
{
    struct sim_world *w = sim_world_new(1);
    for (int n = 0; n < 3; n++) {
        struct os *node = sim_node(w, "n");
        for (int i = 0; i < SIM_EXECS / 3; i++) {
            int k = n * SIM_EXECS / 3 + i;
            play[k].task = (struct chronik_task){.fn = pass, .arg = &play[k]};
            if (os_exec_open(node, "e", 0, &play[k].exec) < 0)
                exit(1);
        }
    }
    for (int k = 0; k < SIM_EXECS; k++)
        os_exec_post(play[k].exec, &play[k].task);
    int64_t from = os_mono_ns(real);
    sim_run(w, INT64_MAX, 1000000, NULL, NULL);
    double s = (double)(os_mono_ns(real) - from) / 1e9;
    printf("simulator, 3 nodes, %d executors: %.2f million steps/s\n", SIM_EXECS, 1 / s);
    sim_world_free(w);
}

int main(void)
{
    os = os_real_new(2);
    if (!os)
        return 1;
    measure_hops("thread", 0);
    measure_hops("loop", OS_EXEC_LOOP);
    measure_posts("thread", 0);
    measure_posts("loop", OS_EXEC_LOOP);
    measure_self("thread", 0);
    measure_self("loop", OS_EXEC_LOOP);
    measure_sim(os);
    os_real_free(os);
    return 0;
}
