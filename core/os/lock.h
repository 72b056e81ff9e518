/* lock.h: mutexes with a rank. A thread takes locks in rising rank only; debug builds (and all test builds) assert it.
 * Locks are held for a few instructions, never across a call out of the module (store append is the one exception) and
 * never while a callback runs. In the simulator, which has one thread, a lock that is taken twice asserts. */
#ifndef CHRONIK_OS_LOCK_H
#define CHRONIK_OS_LOCK_H

#include <pthread.h>
#include <stdint.h>

/* Rising ranks; docs/architecture.md has the table. A plugin's leaf locks come after all of these. */
enum lock_rank {
    LOCK_CONFIG = 10,
    LOCK_COORD = 20,
    LOCK_META = 30,
    LOCK_REGISTRY = 40,
    LOCK_PARTITION = 50,
    LOCK_NET = 60,
    LOCK_EXEC = 70,
    LOCK_LOG = 80,
};

struct os_mutex {
    pthread_mutex_t m;
    int rank;
};

void os_mutex_init(struct os_mutex *m, int rank);
void os_mutex_destroy(struct os_mutex *m);
void os_mutex_lock(struct os_mutex *m);
void os_mutex_unlock(struct os_mutex *m);
/* Asserts in debug builds that the calling thread holds it. */
void os_mutex_held(struct os_mutex *m);

#endif
