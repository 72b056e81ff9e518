/* wait.c: who waits for a partition's high watermark: produce requests in offset order, fetch requests by bytes. Lists
 * change under the partition's lock; those who are due are collected there and called after it was released. */
#include "partition/priv.h"

#include "wire/codes.h"

void part_fire(struct part_fired *f)
{
    for (struct part_wait *w = f->waits, *next; w; w = next) {
        next = w->next;
        w->fn(w, f->error);
    }
    for (struct part_fetch *t = f->fetches, *next; t; t = next) {
        next = t->next_fired;
        t->fire(t);
    }
    f->waits = NULL;
    f->fetches = NULL;
}

/* The one who turns `fired` from 0 to 1 may end the wait. */
static void collect_fetch(struct part_fetch *t, struct part_fired *out)
{
    int32_t zero = 0;
    if (!__atomic_compare_exchange_n(&t->fired, &zero, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return;
    t->next_fired = out->fetches;
    out->fetches = t;
}

bool part_fetch_claim(struct part_fetch *t)
{
    int32_t zero = 0;
    return __atomic_compare_exchange_n(&t->fired, &zero, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* Bytes between the old and the new high watermark. Offsets are known for batches only, so between two points the bytes
 * are taken to be spread evenly; at the log's end the figure is exact. */
static int64_t advance_bytes(struct part *p, int64_t hw)
{
    uint64_t to = p->written_bytes;
    if (hw < p->written) {
        double share = (double)(hw - p->high_watermark) / (double)(p->written - p->high_watermark);
        to = p->hw_bytes + (uint64_t)((double)(p->written_bytes - p->hw_bytes) * share);
    }
    int64_t delta = (int64_t)(to - p->hw_bytes);
    p->hw_bytes = to;
    return delta > 0 ? delta : 1;
}

void part_raise_hw(struct part *p, int64_t hw, struct part_fired *out)
{
    if (hw > p->written)
        hw = p->written;
    if (hw <= p->high_watermark)
        return;
    int64_t delta = advance_bytes(p, hw);
    p->high_watermark = hw;
    struct part_wait **end = &out->waits;
    while (p->waits && p->waits->offset <= hw) {
        struct part_wait *w = p->waits;
        p->waits = w->next;
        w->queued = false;
        w->next = NULL;
        *end = w;
        end = &w->next;
    }
    if (!p->waits)
        p->waits_tail = NULL;
    for (struct part_fetch_node *n = p->fetches; n; n = n->next)
        if (__atomic_sub_fetch(&n->fetch->need, delta, __ATOMIC_ACQ_REL) <= 0)
            collect_fetch(n->fetch, out);
}

void part_fail_waiters(struct part *p, struct part_fired *out)
{
    out->waits = p->waits;
    for (struct part_wait *w = p->waits; w; w = w->next)
        w->queued = false;
    p->waits = p->waits_tail = NULL;
    for (struct part_fetch_node *n = p->fetches; n; n = n->next)
        collect_fetch(n->fetch, out);
}

void part_wait_queue(struct part *p, struct part_wait *w)
{
    w->queued = true;
    w->next = NULL;
    /* Appends come in offset order; only a repeat of an older batch goes further up. */
    if (!p->waits_tail || p->waits_tail->offset <= w->offset) {
        if (p->waits_tail)
            p->waits_tail->next = w;
        else
            p->waits = w;
        p->waits_tail = w;
        return;
    }
    struct part_wait **at = &p->waits;
    while ((*at)->offset <= w->offset)
        at = &(*at)->next;
    w->next = *at;
    *at = w;
}

bool part_wait_cancel(struct part *p, struct part_wait *w)
{
    os_mutex_lock(&p->mu);
    bool was = w->queued;
    if (was) {
        struct part_wait *before = NULL;
        struct part_wait **at = &p->waits;
        while (*at != w) {
            before = *at;
            at = &before->next;
        }
        *at = w->next;
        if (p->waits_tail == w)
            p->waits_tail = before;
        w->queued = false;
    }
    os_mutex_unlock(&p->mu);
    return was;
}

bool part_fetch_wait(struct part *p, struct part_fetch_node *n, struct part_fetch *f, int64_t seen_hw)
{
    os_mutex_lock(&p->mu);
    bool wait = p->high_watermark == seen_hw && p->leading && !p->failed;
    if (wait) {
        n->fetch = f;
        n->part = p;
        n->prev = NULL;
        n->next = p->fetches;
        if (n->next)
            n->next->prev = n;
        p->fetches = n;
    }
    os_mutex_unlock(&p->mu);
    return wait;
}

void part_fetch_unwait(struct part_fetch_node *n)
{
    struct part *p = n->part;
    if (!p)
        return;
    os_mutex_lock(&p->mu);
    if (n->prev)
        n->prev->next = n->next;
    else
        p->fetches = n->next;
    if (n->next)
        n->next->prev = n->prev;
    n->part = NULL;
    os_mutex_unlock(&p->mu);
}
