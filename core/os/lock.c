/* lock.c: ranked mutexes. Each thread keeps the short list of the locks it holds and asserts that ranks rise, so a
 * deadlock by order shows up in the first test that takes the two locks, not in the unlucky one. Archived in libbase
 * (not libos) because logging and metrics lock too. */
#include "os/lock.h"

#include "base/base.h"

#ifdef NDEBUG_LOCKS
#define LOCK_CHECKED 0
#else
#define LOCK_CHECKED 1
#endif

enum { HELD_MAX = 16 };

static _Thread_local struct {
    const struct os_mutex *m[HELD_MAX];
    int n;
} held;

void os_mutex_init(struct os_mutex *m, int rank)
{
    CHECK(pthread_mutex_init(&m->m, NULL) == 0);
    m->rank = rank;
}

void os_mutex_destroy(struct os_mutex *m)
{
    CHECK(pthread_mutex_destroy(&m->m) == 0);
}

void os_mutex_lock(struct os_mutex *m)
{
    if (LOCK_CHECKED) {
        for (int i = 0; i < held.n; i++)
            CHECK(held.m[i]->rank < m->rank);
        CHECK(held.n < HELD_MAX);
        held.m[held.n++] = m;
    }
    CHECK(pthread_mutex_lock(&m->m) == 0);
}

static int held_find(const struct os_mutex *m)
{
    for (int i = held.n - 1; i >= 0; i--)
        if (held.m[i] == m)
            return i;
    return -1;
}

void os_mutex_unlock(struct os_mutex *m)
{
    if (LOCK_CHECKED) {
        int i = held_find(m);
        CHECK(i >= 0);
        for (held.n--; i < held.n; i++)
            held.m[i] = held.m[i + 1];
    }
    CHECK(pthread_mutex_unlock(&m->m) == 0);
}

void os_mutex_held(struct os_mutex *m)
{
    if (LOCK_CHECKED)
        CHECK(held_find(m) >= 0);
}

int os_locks_held(void)
{
    return held.n;
}

void os_locks_forget(int keep)
{
    CHECK(keep >= 0);
    if (keep < held.n)
        held.n = keep;
}
