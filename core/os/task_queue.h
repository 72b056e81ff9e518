/* task_queue.h: the tasks an executor has to run: a first-in-first-out list and the timers, both intrusive in
 * chronik_task.reserved, so that posting never allocates and cannot fail. No lock of its own: its owner's applies. */
#ifndef CHRONIK_OS_TASK_QUEUE_H
#define CHRONIK_OS_TASK_QUEUE_H

#include <chronik/base.h>

#include "base/base.h"

struct task_queue {
    struct chronik_task *first, *last; /* to run now */
    uint64_t n;                        /* in that list */
    struct chronik_task *timers;       /* pairing heap by (time, order of arming) */
    uint64_t next_seq;
};

/* Appends an idle task; false when it was queued already (with a time or without): nothing changes. */
bool tq_post(struct task_queue *q, struct chronik_task *t);
/* Arms a task, wherever it was in this queue. */
void tq_post_at(struct task_queue *q, struct chronik_task *t, int64_t when);
/* Takes it out; false when it was not queued. */
bool tq_cancel(struct task_queue *q, struct chronik_task *t);
/* Moves timers with a time <= now to the list, earliest first. */
void tq_expire(struct task_queue *q, int64_t now);
/* The earliest time, or INT64_MAX. */
int64_t tq_next_time(const struct task_queue *q);
/* Takes the first task of the list; it is idle again, so its function may free or post it. NULL: none. */
struct chronik_task *tq_pop(struct task_queue *q);
/* Forgets all timers: their tasks are idle. */
void tq_drop_timers(struct task_queue *q);

#endif
