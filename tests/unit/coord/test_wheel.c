/* test_wheel.c: the timer wheel against a plain list that is searched. */
#include "coord/wheel.h"

#include <check.h>
#include <stdlib.h>

enum { TIMERS = 200, STEPS = 4000 };

struct entry {
    struct wheel_timer t;
    int64_t when; /* -1: not armed */
};

static uint64_t state;

static uint64_t draw(uint64_t n)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (state >> 33) % n;
}

/* Near and far: up to a second, a minute, a day, a year. */
static int64_t draw_delay(void)
{
    static const uint64_t most[] = {1000, 60000, 86400000, UINT64_C(31536000000)};
    return (int64_t)draw(most[draw(4)]);
}

static int64_t first_of(const struct entry *v)
{
    int64_t first = INT64_MAX;
    for (int i = 0; i < TIMERS; i++)
        if (v[i].when >= 0)
            first = min_i64(first, v[i].when);
    return first;
}

static void expire(struct wheel *w, struct entry *v, int64_t now)
{
    struct wheel_timer *t;
    while ((t = wheel_pop(w, now))) {
        struct entry *e = CONTAINER_OF(t, struct entry, t);
        ck_assert_int_ge(e->when, 0);
        ck_assert_msg(e->when <= now, "a timer of %lld fired at %lld", (long long)e->when, (long long)now);
        e->when = -1;
    }
    int64_t first = first_of(v);
    ck_assert_msg(first > now - WHEEL_TICK_MS, "a timer of %lld has not fired at %lld", (long long)first,
                  (long long)now);
    int64_t next = wheel_next_ms(w);
    if (first == INT64_MAX)
        ck_assert_int_eq(next, INT64_MAX);
    else
        ck_assert_int_le(next, first + WHEEL_TICK_MS - 1);
}

START_TEST(timers_fire_when_they_are_due_and_never_early)
{
    struct wheel w;
    static struct entry v[TIMERS];
    state = (uint64_t)_i;
    memset(v, 0, sizeof v);
    for (int i = 0; i < TIMERS; i++)
        v[i].when = -1;
    int64_t now = draw_delay();
    wheel_init(&w, now);
    for (int s = 0; s < STEPS; s++) {
        struct entry *e = &v[draw(TIMERS)];
        switch (draw(6)) {
        case 0:
        case 1:
            e->when = now + draw_delay();
            wheel_arm(&w, &e->t, e->when);
            break;
        case 2:
            e->when = -1;
            wheel_cancel(&w, &e->t);
            break;
        case 3: /* exactly when it asks for */
            if (wheel_next_ms(&w) != INT64_MAX)
                now = max_i64(now, wheel_next_ms(&w));
            expire(&w, v, now);
            break;
        default:
            now += draw_delay() / 8;
            expire(&w, v, now);
        }
        ck_assert_int_eq(wheel_armed(&e->t), e->when >= 0);
    }
    for (int i = 0; i < TIMERS; i++)
        wheel_cancel(&w, &v[i].t);
    ck_assert_int_eq(wheel_next_ms(&w), INT64_MAX);
}
END_TEST

START_TEST(sleeping_until_the_next_time_takes_few_wakings)
{
    struct wheel w;
    struct wheel_timer t = {0};
    int64_t now = 123456789;
    int wakings = 0;
    wheel_init(&w, now);
    wheel_arm(&w, &t, now + INT64_C(30) * 86400000);
    while (!wheel_pop(&w, now)) {
        ck_assert_int_gt(wheel_next_ms(&w), now);
        now = wheel_next_ms(&w);
        wakings++;
    }
    ck_assert_int_le(wakings, WHEEL_LEVELS);
    ck_assert_int_ge(now, 123456789 + INT64_C(30) * 86400000);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wheel");
    TCase *t = tcase_create("wheel");
    tcase_add_loop_test(t, timers_fire_when_they_are_due_and_never_early, 0, 40);
    tcase_add_test(t, sleeping_until_the_next_time_takes_few_wakings);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
