#include <config.h>

/* test_input.c: the cutting of frames and the memory behind it, without sockets. */
#include <check.h>
#include <stdlib.h>

#include "tests/unit/net/net_fixture.h"

static struct net_budget budget;
static struct net_pool pool;
static struct net_input in;

static void setup(void)
{
    budget = (struct net_budget){.max = 64 << 20};
    net_pool_init(&pool, &budget);
    memset(&in, 0, sizeof in);
}

static void teardown(void)
{
    net_input_clear(&in);
    ck_assert_uint_eq(atomic_load(&budget.used), 0);
    net_pool_free(&pool);
}

/* Feeds bytes[0..n) in pieces of `step` bytes at most; counts frames and compares the last byte of each. */
static int feed(const uint8_t *bytes, size_t n, size_t step, uint32_t max, const char **why)
{
    int frames = 0;
    size_t at = 0;
    while (at < n) {
        uint8_t *p;
        size_t room;
        struct net_frame f;
        int32_t r;
        FX_MUST(net_input_space(&in, &pool, &p, &room) == CHRONIK_DONE);
        size_t part = min_size(min_size(room, step), n - at);
        memcpy(p, bytes + at, part);
        at += part;
        net_input_filled(&in, part, room);
        while ((r = net_input_next(&in, &pool, max, &f, why)) == CHRONIK_DONE) {
            FX_MUST(f.p[0] == f.p[f.n - 1]);
            frames++;
        }
        if (r == CHRONIK_E_INVAL)
            return -1;
        FX_MUST(r == CHRONIK_E_AGAIN);
        net_input_rest(&in);
    }
    return frames;
}

static size_t put_frame(uint8_t *p, uint32_t n, uint8_t fill)
{
    put_be32(p, n);
    memset(p + 4, fill, n);
    return 4 + (size_t)n;
}

START_TEST(frames_of_any_size_come_out_whole_whatever_the_pieces)
{
    static const uint32_t sizes[] = {8, 9, 100, 4000, 65536 - 64, 65536, 70000, 300000, 8, 1048576, 12, 2500000, 40};
    static const size_t steps[] = {1, 3, 1000, 65536, 1 << 20};
    size_t total = 0;
    uint8_t *bytes = malloc(8 << 20);
    const char *why;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        total += put_frame(bytes + total, sizes[i], (uint8_t)('a' + i));
    for (size_t s = 0; s < ARRAY_LEN(steps); s++) {
        ck_assert_int_eq(feed(bytes, total, steps[s], 100 << 20, &why), (int)ARRAY_LEN(sizes));
        ck_assert_uint_eq(net_input_have(&in), 0);
        ck_assert_uint_eq(atomic_load(&budget.used), 0);
    }
    free(bytes);
}
END_TEST

START_TEST(a_length_beyond_the_cap_is_refused_before_any_allocation)
{
    uint8_t bytes[8] = {0};
    const char *why = NULL;
    put_be32(bytes, 1001);
    ck_assert_int_eq(feed(bytes, 8, 8, 1000, &why), -1);
    ck_assert_str_eq(why, "a request is larger than socket.request.max.bytes");
    ck_assert_uint_le(atomic_load(&budget.used), NET_BUF_TOTAL);
}
END_TEST

START_TEST(negative_and_tiny_lengths_are_refused)
{
    uint32_t len;
    const char *why;
    uint8_t negative[4] = {0xff, 0xff, 0xff, 0xff}, tiny[4] = {0, 0, 0, 7};
    ck_assert_int_eq(net_frame_look(negative, 4, 100, true, &len, &why), CHRONIK_E_INVAL);
    ck_assert_int_eq(net_frame_look(tiny, 4, 100, true, &len, &why), CHRONIK_E_INVAL);
    ck_assert_int_eq(net_frame_look(tiny, 3, 100, true, &len, &why), CHRONIK_E_AGAIN);
}
END_TEST

START_TEST(other_protocols_are_named_on_the_first_frame)
{
    uint32_t len;
    const char *why = NULL;
    ck_assert_int_eq(net_frame_look((const uint8_t *)"GET /", 5, UINT32_MAX, true, &len, &why), CHRONIK_E_INVAL);
    ck_assert_ptr_nonnull(strstr(why, "HTTP"));
    ck_assert_int_eq(net_frame_look((const uint8_t *)"\x16\x03\x01\x02", 4, UINT32_MAX, true, &len, &why),
                     CHRONIK_E_INVAL);
    ck_assert_ptr_nonnull(strstr(why, "TLS"));
}
END_TEST

START_TEST(a_few_bytes_between_turns_hold_no_buffer_and_reserve_nothing)
{
    uint8_t bytes[2000] = {0};
    const char *why;
    put_be32(bytes, 90 << 20);
    ck_assert_int_eq(feed(bytes, sizeof bytes, 500, 100 << 20, &why), 0);
    ck_assert_ptr_null(in.buf);
    ck_assert_uint_eq(net_input_have(&in), sizeof bytes);
    ck_assert_uint_eq(atomic_load(&budget.used), 0);
}
END_TEST

START_TEST(a_frame_in_use_keeps_its_bytes_while_others_arrive)
{
    uint8_t *bytes = malloc(1 << 20), *p;
    size_t room, total = 0;
    struct net_frame f;
    const char *why;
    total += put_frame(bytes, 30000, 'x');
    ck_assert_int_eq(net_input_space(&in, &pool, &p, &room), CHRONIK_DONE);
    memcpy(p, bytes, total);
    net_input_filled(&in, total, room);
    ck_assert_int_eq(net_input_next(&in, &pool, 1 << 20, &f, &why), CHRONIK_DONE);
    struct net_buf *pinned = in.buf;
    pinned->refs++;
    for (int i = 0; i < 20; i++) {
        put_frame(bytes, 30000, 'y');
        ck_assert_int_eq(feed(bytes, 30004, 7000, 1 << 20, &why), 1);
    }
    for (uint32_t i = 0; i < f.n; i++)
        FX_MUST(f.p[i] == 'x');
    net_buf_unref(pinned);
    free(bytes);
}
END_TEST

START_TEST(over_the_budget_a_buffer_is_refused_but_one_that_must_go_on)
{
    struct net_buf *a, *b, *c;
    budget.max = 100000;
    ck_assert_int_eq(net_buf_take(&pool, 1000, NET_BUF_TOTAL, false, &a), CHRONIK_DONE);
    ck_assert_int_eq(net_buf_take(&pool, 1000, NET_BUF_TOTAL, false, &b), CHRONIK_E_BUSY);
    ck_assert_int_eq(net_buf_take(&pool, 1 << 20, 0, true, &b), CHRONIK_DONE);
    ck_assert_int_eq(net_buf_take(&pool, 1 << 20, 0, true, &c), CHRONIK_E_BUSY);
    net_buf_unref(a);
    ck_assert_int_eq(net_buf_take(&pool, 1 << 20, 0, true, &c), CHRONIK_E_BUSY);
    net_buf_unref(b);
    ck_assert_int_eq(net_buf_take(&pool, 1 << 20, 0, true, &c), CHRONIK_DONE);
    net_buf_unref(c);
}
END_TEST

START_TEST(memory_that_nobody_takes_goes_back_down_to_the_resting_amount)
{
    struct net_buf *b[200];
    for (int i = 0; i < 200; i++)
        ck_assert_int_eq(net_buf_take(&pool, 1000, NET_BUF_TOTAL, false, &b[i]), CHRONIK_DONE);
    for (int i = 0; i < 200; i++)
        net_buf_unref(b[i]);
    ck_assert_uint_eq(pool.idle, 200 * NET_BUF_TOTAL);
    ck_assert(net_pool_trim(&pool)); /* they were in use since the last one */
    ck_assert(!net_pool_trim(&pool));
    ck_assert_uint_eq(pool.idle, NET_IDLE_REST);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net input");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, frames_of_any_size_come_out_whole_whatever_the_pieces);
    tcase_add_test(t, a_length_beyond_the_cap_is_refused_before_any_allocation);
    tcase_add_test(t, negative_and_tiny_lengths_are_refused);
    tcase_add_test(t, other_protocols_are_named_on_the_first_frame);
    tcase_add_test(t, a_few_bytes_between_turns_hold_no_buffer_and_reserve_nothing);
    tcase_add_test(t, a_frame_in_use_keeps_its_bytes_while_others_arrive);
    tcase_add_test(t, over_the_budget_a_buffer_is_refused_but_one_that_must_go_on);
    tcase_add_test(t, memory_that_nobody_takes_goes_back_down_to_the_resting_amount);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
