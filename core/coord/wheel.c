/* wheel.c: level L has 64 slots of 64^L ticks. A timer stands on the level of the highest 6-bit digit in which its tick
 * differs from the present one, in the slot of that digit: so the lowest level in use holds the earliest timers, and
 * within it the lowest slot. When time enters a slot of a higher level, its timers are spread over the lower ones. */
#include "coord/wheel.h"

enum { BITS = 6, MASK = WHEEL_SLOTS - 1 };

static void link_into(struct wheel_timer **list, struct wheel_timer *t)
{
    t->next = *list;
    t->at = list;
    if (t->next)
        t->next->at = &t->next;
    *list = t;
}

static void place(struct wheel *w, struct wheel_timer *t)
{
    if (t->tick <= w->now) {
        link_into(&w->due, t);
        return;
    }
    int level = (63 - __builtin_clzll(t->tick ^ w->now)) / BITS;
    CHECK(level < WHEEL_LEVELS);
    unsigned s = (t->tick >> (level * BITS)) & MASK;
    link_into(&w->slot[level][s], t);
    w->used[level] |= UINT64_C(1) << s;
}

void wheel_init(struct wheel *w, int64_t now_ms)
{
    *w = (struct wheel){.now = (uint64_t)now_ms / WHEEL_TICK_MS};
}

void wheel_cancel(struct wheel *w, struct wheel_timer *t)
{
    if (!t->at)
        return;
    *t->at = t->next;
    if (t->next)
        t->next->at = t->at;
    else if (t->at >= &w->slot[0][0] && t->at <= &w->slot[WHEEL_LEVELS - 1][MASK]) {
        /* It was the only one of its slot. */
        size_t i = (size_t)(t->at - &w->slot[0][0]);
        w->used[i / WHEEL_SLOTS] &= ~(UINT64_C(1) << (i & MASK));
    }
    t->at = NULL;
    t->next = NULL;
}

void wheel_arm(struct wheel *w, struct wheel_timer *t, int64_t when_ms)
{
    wheel_cancel(w, t);
    t->tick = ((uint64_t)max_i64(when_ms, 0) + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
    place(w, t);
}

/* The tick at which the first used slot begins; false: none is used. */
static bool first_slot(const struct wheel *w, int *level, unsigned *s, uint64_t *tick)
{
    for (int l = 0; l < WHEEL_LEVELS; l++) {
        if (!w->used[l])
            continue;
        *level = l;
        *s = (unsigned)__builtin_ctzll(w->used[l]);
        *tick = ((w->now >> ((l + 1) * BITS) << BITS) | *s) << (l * BITS);
        return true;
    }
    return false;
}

struct wheel_timer *wheel_pop(struct wheel *w, int64_t now_ms)
{
    uint64_t target = (uint64_t)now_ms / WHEEL_TICK_MS, tick;
    int level;
    unsigned s;
    while (!w->due && first_slot(w, &level, &s, &tick) && tick <= target) {
        struct wheel_timer *t = w->slot[level][s];
        w->slot[level][s] = NULL;
        w->used[level] &= ~(UINT64_C(1) << s);
        w->now = tick;
        for (struct wheel_timer *next; t; t = next) {
            next = t->next;
            place(w, t);
        }
    }
    struct wheel_timer *t = w->due;
    if (t) {
        wheel_cancel(w, t);
    } else if (w->now < target) {
        w->now = target; /* no used slot begins before it: places stay right */
    }
    return t;
}

int64_t wheel_next_ms(const struct wheel *w)
{
    int level;
    unsigned s;
    uint64_t tick;
    if (w->due)
        return (int64_t)w->now * WHEEL_TICK_MS;
    return first_slot(w, &level, &s, &tick) ? (int64_t)tick * WHEEL_TICK_MS : INT64_MAX;
}
