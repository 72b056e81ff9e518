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
    struct {
        const void *lock;
        int rank;
    } l[HELD_MAX];
    int n;
} held;

static void held_add(const void *lock, int rank)
{
    if (!LOCK_CHECKED)
        return;
    for (int i = 0; i < held.n; i++)
        CHECK(held.l[i].rank < rank); /* locks are taken in rising rank, none twice */
    CHECK(held.n < HELD_MAX);
    held.l[held.n].lock = lock;
    held.l[held.n++].rank = rank;
}

static int held_find(const void *lock)
{
    for (int i = held.n - 1; i >= 0; i--)
        if (held.l[i].lock == lock)
            return i;
    return -1;
}

static void held_remove(const void *lock)
{
    if (!LOCK_CHECKED)
        return;
    int i = held_find(lock);
    CHECK(i >= 0);
    for (held.n--; i < held.n; i++)
        held.l[i] = held.l[i + 1];
}

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
    held_add(m, m->rank);
    CHECK(pthread_mutex_lock(&m->m) == 0);
}

void os_mutex_unlock(struct os_mutex *m)
{
    held_remove(m);
    CHECK(pthread_mutex_unlock(&m->m) == 0);
}

void os_mutex_held(struct os_mutex *m)
{
    if (LOCK_CHECKED)
        CHECK(held_find(m) >= 0);
}

void os_rwlock_init(struct os_rwlock *l, int rank)
{
    CHECK(pthread_rwlock_init(&l->l, NULL) == 0);
    l->rank = rank;
}

void os_rwlock_destroy(struct os_rwlock *l)
{
    CHECK(pthread_rwlock_destroy(&l->l) == 0);
}

void os_rwlock_read(struct os_rwlock *l)
{
    held_add(l, l->rank);
    CHECK(pthread_rwlock_rdlock(&l->l) == 0);
}

void os_rwlock_write(struct os_rwlock *l)
{
    held_add(l, l->rank);
    CHECK(pthread_rwlock_wrlock(&l->l) == 0);
}

void os_rwlock_unlock(struct os_rwlock *l)
{
    held_remove(l);
    CHECK(pthread_rwlock_unlock(&l->l) == 0);
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
