/* sim_seeds.c: many seeds, in child processes, so that a world that died or leaked takes nothing with it. The parent
 * runs no code under test; it only counts and names the seeds that failed. */
#include <config.h>

#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCH = 64, CHILDREN = 2, ENOUGH = 8 };

static uint64_t first_failed;

struct batch {
    pid_t pid;
    uint64_t at, end;
    uint64_t *now; /* shared: the seed that runs */
};

static void batch_start(struct batch *b, void (*fn)(uint64_t seed))
{
    fflush(NULL);
    *b->now = b->at;
    b->pid = fork();
    CHECK(b->pid >= 0);
    if (b->pid > 0)
        return;
    for (uint64_t s = b->at; s < b->end; s++) {
        *b->now = s;
        fn(s);
    }
    fflush(NULL);
    _exit(0);
}

/* Ends with true when the batch has seeds left after a failure. */
static bool batch_end(struct batch *b, const char *what, int status, unsigned *failed)
{
    b->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return false;
    if (!*failed || *b->now < first_failed)
        first_failed = *b->now;
    ++*failed;
    fprintf(stderr, "%s: seed %llu failed (%s %d); repeat it with: CHRONIK_SIM_SEED=%llu\n", what,
            (unsigned long long)*b->now, WIFSIGNALED(status) ? "signal" : "exit",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), (unsigned long long)*b->now);
    b->at = *b->now + 1;
    return b->at < b->end && *failed < ENOUGH;
}

static struct batch *batch_wait(struct batch *all, int *status)
{
    pid_t pid;
    do
        pid = wait(status);
    while (pid < 0 && errno == EINTR);
    for (int i = 0; i < CHILDREN; i++)
        if (pid > 0 && all[i].pid == pid)
            return &all[i];
    return NULL;
}

unsigned sim_seeds(const char *what, uint64_t from, uint64_t n, void (*fn)(uint64_t seed))
{
    const char *one = getenv("CHRONIK_SIM_SEED");
    if (one) {
        fn(strtoull(one, NULL, 0));
        return 0;
    }
    struct batch all[CHILDREN] = {{0}};
    uint64_t *now = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(now != MAP_FAILED);
    uint64_t next = from, end = from + n;
    unsigned failed = 0;
    for (;;) {
        int running = 0;
        for (int i = 0; i < CHILDREN; i++) {
            if (!all[i].pid && next < end && failed < ENOUGH) {
                uint64_t last = end - next < BATCH ? end : next + BATCH;
                all[i] = (struct batch){.at = next, .end = last, .now = now + i * 64};
                next = last;
                batch_start(&all[i], fn);
            }
            running += all[i].pid != 0;
        }
        if (!running)
            break;
        int status;
        struct batch *b = batch_wait(all, &status);
        if (b && batch_end(b, what, status, &failed))
            batch_start(b, fn);
    }
    munmap(now, 4096);
    return failed;
}

uint64_t sim_seeds_failed(void)
{
    return first_failed;
}
