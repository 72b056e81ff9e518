/* lock.h: mutexes with a rank. A thread takes locks in rising rank only; every build but one with NDEBUG_LOCKS asserts
 * it. Locks are held for a few instructions, never across a call out of the module (store append is the one exception)
 * and never while a callback runs. In the simulator, which has one thread, a lock that is taken twice asserts. */
#ifndef CHRONIK_OS_LOCK_H
#define CHRONIK_OS_LOCK_H

#include <pthread.h>
#include <stdint.h>

/* Rising ranks; docs/architecture.md has the table. A plugin's leaf locks come after all of these. */
enum lock_rank {
    LOCK_SCRAPE = 5, /* held while gauge callbacks run: the first of all, so that they may take any other */
    LOCK_CONFIG = 10,
    LOCK_COORD = 20,
    LOCK_COORD_IMAGE = 25,
    LOCK_META = 30,
    LOCK_REGISTRY = 40,
    LOCK_PARTITION = 50,
    LOCK_NET = 60,
    LOCK_EXEC = 70,
    LOCK_LOG = 80,
    LOCK_METRICS = 90,
};

struct os_mutex {
    pthread_mutex_t m;
    int rank;
};

/* For a mutex with static storage: struct os_mutex m = OS_MUTEX_INIT(LOCK_NET). */
#define OS_MUTEX_INIT(r)                                                                                               \
    {                                                                                                                  \
        .m = PTHREAD_MUTEX_INITIALIZER, .rank = (r)                                                                    \
    }

void os_mutex_init(struct os_mutex *m, int rank);
/* Nobody may hold it. */
void os_mutex_destroy(struct os_mutex *m);
/* Asserts that every lock the calling thread holds has a lower rank. */
void os_mutex_lock(struct os_mutex *m);
/* Locks need not be released in the reverse order. */
void os_mutex_unlock(struct os_mutex *m);
/* Asserts (unless NDEBUG_LOCKS) that the calling thread holds it. */
void os_mutex_held(struct os_mutex *m);

/* Many readers or one writer, under the same ranks; for what is read by all loops and changed seldom. A thread must not
 * take it twice, not even to read. */
struct os_rwlock {
    pthread_rwlock_t l;
    int rank;
};

void os_rwlock_init(struct os_rwlock *l, int rank);
void os_rwlock_destroy(struct os_rwlock *l);
void os_rwlock_read(struct os_rwlock *l);
void os_rwlock_write(struct os_rwlock *l);
void os_rwlock_unlock(struct os_rwlock *l);

/* How many locks the calling thread holds (0 with NDEBUG_LOCKS), and forgetting all above that number without
 * unlocking them. For the simulator alone: a virtual node that dies inside a task takes its locks with it. */
int os_locks_held(void);
void os_locks_forget(int keep);

#endif
