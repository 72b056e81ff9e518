/* task_queue.c: list and pairing heap in the six words that a task lends its host. Pure data structure: no clock, no
 * lock, no allocation. Times that are equal fire in the order of arming, so that the simulator can rely on it. */
#include <config.h>

#include "os/task_queue.h"

enum { TASK_IDLE = 0, TASK_QUEUED = 1, TASK_TIMED = 2 };

/* How chronik_task.reserved is used; zeroed means idle. `prev` of a first child is its parent. */
struct node {
    struct chronik_task *next, *prev, *child;
    int64_t when;
    uint64_t seq;
    uint32_t state, unused;
};
_Static_assert(sizeof(struct node) <= sizeof(((struct chronik_task *)0)->reserved), "a task has room for its node");

static struct node *node_of(struct chronik_task *t)
{
    return (struct node *)(void *)t->reserved;
}

static bool earlier(struct chronik_task *a, struct chronik_task *b)
{
    struct node *x = node_of(a), *y = node_of(b);
    return x->when != y->when ? x->when < y->when : x->seq < y->seq;
}

/* ---- pairing heap ---- */

static struct chronik_task *meld(struct chronik_task *a, struct chronik_task *b)
{
    if (!a)
        return b;
    if (!b)
        return a;
    if (earlier(b, a)) {
        struct chronik_task *swap = a;
        a = b;
        b = swap;
    }
    struct node *na = node_of(a), *nb = node_of(b);
    nb->next = na->child;
    nb->prev = a;
    if (na->child)
        node_of(na->child)->prev = b;
    na->child = b;
    return a;
}

/* Melds the siblings that start at `t` into one heap: pairs left to right, then the pairs together. */
static struct chronik_task *meld_siblings(struct chronik_task *t)
{
    struct chronik_task *pairs = NULL;
    while (t) {
        struct chronik_task *a = t, *b = node_of(a)->next;
        t = b ? node_of(b)->next : NULL;
        node_of(a)->next = node_of(a)->prev = NULL;
        if (b)
            node_of(b)->next = node_of(b)->prev = NULL;
        struct chronik_task *m = meld(a, b);
        node_of(m)->next = pairs;
        pairs = m;
    }
    struct chronik_task *root = NULL;
    while (pairs) {
        struct chronik_task *rest = node_of(pairs)->next;
        node_of(pairs)->next = NULL;
        root = meld(root, pairs);
        pairs = rest;
    }
    return root;
}

static void heap_remove(struct task_queue *q, struct chronik_task *t)
{
    struct node *n = node_of(t);
    if (q->timers == t) {
        q->timers = meld_siblings(n->child);
    } else {
        struct node *before = node_of(n->prev);
        if (before->child == t)
            before->child = n->next;
        else
            before->next = n->next;
        if (n->next)
            node_of(n->next)->prev = n->prev;
        q->timers = meld(q->timers, meld_siblings(n->child));
    }
    n->next = n->prev = n->child = NULL;
}

/* ---- list ---- */

static void list_append(struct task_queue *q, struct chronik_task *t)
{
    struct node *n = node_of(t);
    n->next = NULL;
    n->prev = q->last;
    n->child = NULL;
    n->state = TASK_QUEUED;
    if (q->last)
        node_of(q->last)->next = t;
    else
        q->first = t;
    q->last = t;
    q->n++;
}

static void list_remove(struct task_queue *q, struct chronik_task *t)
{
    struct node *n = node_of(t);
    if (n->prev)
        node_of(n->prev)->next = n->next;
    else
        q->first = n->next;
    if (n->next)
        node_of(n->next)->prev = n->prev;
    else
        q->last = n->prev;
    q->n--;
}

/* ---- the queue ---- */

bool tq_post(struct task_queue *q, struct chronik_task *t)
{
    if (node_of(t)->state != TASK_IDLE)
        return false;
    list_append(q, t);
    return true;
}

void tq_post_at(struct task_queue *q, struct chronik_task *t, int64_t when)
{
    tq_cancel(q, t);
    struct node *n = node_of(t);
    *n = (struct node){.when = when, .seq = q->next_seq++, .state = TASK_TIMED};
    q->timers = meld(q->timers, t);
}

bool tq_cancel(struct task_queue *q, struct chronik_task *t)
{
    struct node *n = node_of(t);
    if (n->state == TASK_IDLE)
        return false;
    if (n->state == TASK_QUEUED)
        list_remove(q, t);
    else
        heap_remove(q, t);
    n->state = TASK_IDLE;
    return true;
}

void tq_expire(struct task_queue *q, int64_t now)
{
    while (q->timers && node_of(q->timers)->when <= now) {
        struct chronik_task *t = q->timers;
        heap_remove(q, t);
        list_append(q, t);
    }
}

int64_t tq_next_time(const struct task_queue *q)
{
    return q->timers ? node_of(q->timers)->when : INT64_MAX;
}

struct chronik_task *tq_pop(struct task_queue *q)
{
    struct chronik_task *t = q->first;
    if (!t)
        return NULL;
    list_remove(q, t);
    node_of(t)->state = TASK_IDLE;
    return t;
}

void tq_drop_timers(struct task_queue *q)
{
    while (q->timers) {
        struct chronik_task *t = q->timers;
        heap_remove(q, t);
        node_of(t)->state = TASK_IDLE;
    }
}
