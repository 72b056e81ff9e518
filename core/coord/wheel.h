/* wheel.h: many timers, few of which ever fire: a hierarchical wheel. Adding and cancelling are a few instructions; a
 * timer never fires early, and late by less than a tick. The wheel has no clock and no lock: its owner's applies. */
#ifndef CHRONIK_COORD_WHEEL_H
#define CHRONIK_COORD_WHEEL_H

#include "base/base.h"

enum { WHEEL_TICK_MS = 10, WHEEL_LEVELS = 7, WHEEL_SLOTS = 64 };

/* Intrusive; zeroed before first use. */
struct wheel_timer {
    struct wheel_timer *next, **at; /* at != NULL: armed */
    uint64_t tick;
};

struct wheel {
    uint64_t now; /* tick */
    struct wheel_timer *due;
    uint64_t used[WHEEL_LEVELS]; /* a bit a slot */
    struct wheel_timer *slot[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, int64_t now_ms);
/* Arms or moves the timer: due once `now_ms` of wheel_pop reaches `when_ms`. */
void wheel_arm(struct wheel *w, struct wheel_timer *t, int64_t when_ms);
void wheel_cancel(struct wheel *w, struct wheel_timer *t);
/* Takes one timer that is due, or gives NULL. */
struct wheel_timer *wheel_pop(struct wheel *w, int64_t now_ms);
/* When wheel_pop should be called next: not after the first timer is due, perhaps sooner. INT64_MAX: no timer. */
int64_t wheel_next_ms(const struct wheel *w);

static inline bool wheel_armed(const struct wheel_timer *t)
{
    return t->at != NULL;
}

#endif
