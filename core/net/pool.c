#include <config.h>

/* pool.c: see pool.h. Buffers stay mapped while a load needs them, since the first touch of a page costs more than
 * filling it a hundred times; each trim frees those that nobody took since the one before. Must never block. */
#include <stdlib.h>

#include "net/pool.h"

uint64_t net_buf_most = UINT64_MAX;

/* 64, 80, 96, 112, 128, 160 … KiB, 4 MiB */
static uint64_t class_total(uint32_t cls)
{
    return (uint64_t)(4 + cls % 4) * (NET_BUF_TOTAL / 4) << (cls / 4);
}

static uint32_t class_of(uint64_t total)
{
    uint32_t cls = 0;
    if (total > NET_CLASS_MAX)
        return NET_CLASSES;
    while (class_total(cls) < total)
        cls++;
    return cls;
}

void net_pool_init(struct net_pool *p, struct net_budget *b)
{
    *p = (struct net_pool){.budget = b};
}

static void drop_free(struct net_pool *p, uint32_t cls)
{
    struct net_buf *b = p->free[cls];
    p->free[cls] = b->next;
    p->n_free[cls]--;
    p->idle -= b->total;
    free(b);
}

void net_pool_free(struct net_pool *p)
{
    for (uint32_t cls = 0; cls < NET_CLASSES; cls++)
        while (p->free[cls])
            drop_free(p, cls);
}

void net_budget_add(struct net_budget *b, uint64_t n)
{
    atomic_fetch_add(&b->used, n);
}

static void wake(struct net_budget *b)
{
    if (UNLIKELY(atomic_load(&b->waiting) > 0) && b->wake)
        b->wake(b->wake_arg);
}

void net_budget_sub(struct net_budget *b, uint64_t n)
{
    atomic_fetch_sub(&b->used, n);
    wake(b);
}

static bool add_below(_Atomic uint64_t *sum, uint64_t n, uint64_t max)
{
    uint64_t was = atomic_load(sum);
    do {
        if (was + n > max)
            return false;
    } while (!atomic_compare_exchange_weak(sum, &was, was + n));
    return true;
}

static bool reserve(struct net_budget *b, uint64_t n)
{
    bool large = n > NET_LARGE;
    if (large && !add_below(&b->large, n, b->max / 2))
        return false;
    if (add_below(&b->used, n, b->max))
        return true;
    if (large)
        atomic_fetch_sub(&b->large, n);
    return false;
}

static struct net_buf *take_free(struct net_pool *p, uint32_t cls)
{
    struct net_buf *b = p->free[cls];
    p->free[cls] = b->next;
    p->n_free[cls]--;
    p->idle -= b->total;
    if (p->n_free[cls] < p->low[cls])
        p->low[cls] = p->n_free[cls];
    return b;
}

static struct net_buf *make(struct net_pool *p, uint32_t cls, uint64_t total)
{
    struct net_buf *b = total > net_buf_most ? NULL : malloc(total);
    if (!b) {
        net_pool_free(p); /* what waits for another use may be what is missing */
        b = total > net_buf_most ? NULL : malloc(total);
    }
    if (!b)
        return NULL;
    *b = (struct net_buf){.pool = p, .cls = cls, .total = total, .cap = total - sizeof *b};
    if (cls < NET_CLASSES)
        p->low[cls] = 0;
    return b;
}

static void give_budget(struct net_budget *b, uint64_t n, bool pass)
{
    if (pass) {
        atomic_store(&b->pass, false);
        wake(b);
        return;
    }
    if (n > NET_LARGE)
        atomic_fetch_sub(&b->large, n);
    net_budget_sub(b, n);
}

int32_t net_buf_take(struct net_pool *p, uint64_t need, uint64_t at_least, bool must, struct net_buf **out)
{
    bool pass = false;
    uint64_t total = need + sizeof(struct net_buf);
    if (total < at_least)
        total = at_least;
    uint32_t cls = class_of(total);
    if (cls < NET_CLASSES)
        total = class_total(cls);
    if (!reserve(p->budget, total)) {
        pass = must && !atomic_exchange(&p->budget->pass, true);
        if (!pass)
            return CHRONIK_E_BUSY;
    }
    struct net_buf *b = cls < NET_CLASSES && p->free[cls] ? take_free(p, cls) : make(p, cls, total);
    if (!b) {
        give_budget(p->budget, total, pass);
        return CHRONIK_E_NOMEM;
    }
    b->pass = pass;
    b->refs = 1;
    b->next = NULL;
    *out = b;
    return CHRONIK_DONE;
}

void net_buf_unref(struct net_buf *b)
{
    struct net_pool *p = b->pool;
    uint64_t total = b->total;
    bool pass = b->pass;
    CHECK(b->refs > 0);
    if (--b->refs > 0)
        return;
    if (b->cls < NET_CLASSES && p->idle + total <= NET_IDLE_LOAD) {
        b->next = p->free[b->cls];
        p->free[b->cls] = b;
        p->n_free[b->cls]++;
        p->idle += total;
    } else {
        free(b);
    }
    give_budget(p->budget, total, pass);
}

bool net_pool_trim(struct net_pool *p)
{
    for (uint32_t cls = 0; cls < NET_CLASSES; cls++) {
        uint32_t keep = cls == 0 ? NET_IDLE_REST / NET_BUF_TOTAL : 0;
        for (uint32_t surplus = p->low[cls]; surplus > 0 && p->n_free[cls] > keep; surplus--)
            drop_free(p, cls);
        p->low[cls] = p->n_free[cls];
    }
    return p->idle > NET_IDLE_REST;
}
