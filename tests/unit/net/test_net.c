#include <config.h>

/* test_net.c: connections as clients see them: order, pieces, throttling, files, endings. Real sockets, real time,
 * every wait bounded. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/net/net_fixture.h"

static void setup(void)
{
    fx_open(NULL);
}

static void teardown(void)
{
    fx_close();
}

START_TEST(k1_answers_leave_in_the_order_of_requests_when_they_are_made_backwards)
{
    int fd = fx_connect();
    for (uint32_t i = 0; i < 50; i++)
        fx_request(fd, 'p', i, 8 + i * 100);
    fx_wait(&fx.requests, 50);
    fx_release(true);
    for (uint32_t i = 0; i < 50; i++)
        fx_expect(fd, i, 8 + i * 100);
    close(fd);
    fx_wait(&fx.closed, 1);
    ck_assert_int_eq(fx.sent, 50);
}
END_TEST

START_TEST(k1_a_ready_answer_waits_for_the_one_before_it)
{
    int fd = fx_connect();
    char byte;
    fx_request(fd, 'p', 1, 100);
    fx_request(fd, 'e', 2, 100);
    fx_request(fd, 'n', 3, 100);
    fx_request(fd, 'e', 4, 100);
    fx_wait(&fx.requests, 4);
    usleep(20000);
    ck_assert_int_lt(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
    fx_release(false);
    fx_expect(fd, 1, 100);
    fx_expect(fd, 2, 100);
    fx_expect(fd, 4, 100);
    close(fd);
}
END_TEST

START_TEST(thousands_of_pipelined_requests_in_one_write_are_all_answered)
{
    int fd = fx_connect();
    enum { N = 5000, LEN = 104 };
    uint8_t *all = calloc(N, LEN);
    for (uint32_t i = 0; i < N; i++) {
        put_be32(all + i * LEN, LEN - 4);
        memset(all + i * LEN + 4, (int)(i & 0x7f), LEN - 4);
        all[i * LEN + 4] = 'e';
        put_be32(all + i * LEN + 8, i);
    }
    for (uint32_t at = 0; at < N; at += 500) {
        fx_send(fd, all + at * LEN, (size_t)500 * LEN);
        for (uint32_t i = at; i < at + 500; i++)
            fx_expect(fd, i, LEN - 4);
    }
    free(all);
    close(fd);
}
END_TEST

START_TEST(a_frame_of_1_mib_arrives_whole_from_pieces_of_any_size)
{
    int fd = fx_connect();
    enum { LEN = 1 << 20 };
    uint8_t *frame = malloc(LEN + 4);
    memset(frame, 7, LEN + 4);
    put_be32(frame, LEN);
    frame[4] = 'e';
    put_be32(frame + 8, 7);
    for (size_t i = 0; i < 300; i++)
        fx_send(fd, frame + i, 1);
    for (size_t at = 300, step = 1; at < LEN + 4; at += step, step = step * 3 % 50021 + 1) {
        step = min_size(step, LEN + 4 - at);
        fx_send(fd, frame + at, step);
    }
    fx_expect(fd, 7, LEN);
    free(frame);
    close(fd);
}
END_TEST

START_TEST(requests_over_several_loops_stay_on_the_loop_of_their_connection)
{
    struct net_config cfg = {.loops = 3};
    int fd[9];
    fx_close();
    fx_open(&cfg);
    for (int i = 0; i < 9; i++)
        fd[i] = fx_connect();
    fx_wait(&fx.opened, 9);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(atomic_load(&fx.net->loops[i].n_assigned), 3);
    for (uint32_t k = 0; k < 100; k++)
        for (int i = 0; i < 9; i++)
            fx_request(fd[i], 'e', k, 3000);
    for (uint32_t k = 0; k < 100; k++)
        for (int i = 0; i < 9; i++)
            fx_expect(fd[i], k, 3000);
    for (int i = 0; i < 9; i++)
        close(fd[i]);
}
END_TEST

START_TEST(a_muted_connection_gets_its_answer_at_once_and_the_next_one_later)
{
    int fd = fx_connect();
    int64_t began = os_mono_ns(fx.os);
    fx_request(fd, 'm', 1, 100);
    fx_request(fd, 'e', 2, 100);
    fx_expect(fd, 1, 100);
    ck_assert_int_lt(os_mono_ns(fx.os) - began, 90 * 1000000);
    fx_expect(fd, 2, 100);
    ck_assert_int_ge(os_mono_ns(fx.os) - began, 99 * 1000000);
    close(fd);
}
END_TEST

START_TEST(a_half_closed_client_still_gets_its_answers)
{
    int fd = fx_connect();
    fx_request(fd, 'p', 1, 100);
    fx_request(fd, 'e', 2, 100);
    shutdown(fd, SHUT_WR);
    fx_wait(&fx.requests, 2);
    fx_release(false);
    fx_expect(fd, 1, 100);
    fx_expect(fd, 2, 100);
    ck_assert(fx_is_closed(fd));
    close(fd);
    ck_assert_int_eq(fx.canceled, 0);
}
END_TEST

START_TEST(a_client_that_went_away_has_its_waiting_requests_canceled)
{
    int fd = fx_connect();
    fx_request(fd, 'p', 1, 100);
    fx_request(fd, 'l', 2, 5000);
    fx_request(fd, 'e', 3, 100);
    fx_wait(&fx.requests, 3);
    struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd); /* a reset */
    fx_wait(&fx.closed, 1);
    ck_assert_int_eq(fx.canceled, 2);
    ck_assert_int_eq(fx.sent, 1);
}
END_TEST

START_TEST(a_silent_leave_cancels_after_a_short_while)
{
    int fd = fx_connect();
    fx_request(fd, 'p', 1, 100);
    fx_wait(&fx.requests, 1);
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 3 && fx.canceled == 0; i++)
        usleep(800000);
    ck_assert_int_eq(fx.canceled, 1);
    ck_assert(fx_is_closed(fd));
    close(fd);
}
END_TEST

START_TEST(closing_in_the_middle_of_a_frame_leaves_nothing_behind)
{
    for (uint32_t n = 1; n < 40; n++) {
        int fd = fx_connect();
        uint8_t part[200] = {0, 15, 0, 0, 'e'};
        fx_send(fd, part, n * 5);
        close(fd);
    }
    fx_wait(&fx.closed, 39);
    ck_assert_int_eq(fx.requests, 0);
    ck_assert_uint_eq(net_connections(fx.net), 0);
}
END_TEST

START_TEST(garbage_closes_the_connection_with_one_line_that_says_what_it_is)
{
    int fd = fx_connect();
    fx_send(fd, "GET / HTTP/1.1\r\n\r\n", 18);
    ck_assert(fx_is_closed(fd));
    close(fd);
    fx_wait(&fx.log_lines, 1);
    ck_assert_int_eq(fx.log_lines, 1);
    ck_assert_ptr_nonnull(strstr(fx.log, "it speaks HTTP"));
    fd = fx_connect();
    fx_send(fd, "\xff\xff\xff\xff", 4);
    ck_assert(fx_is_closed(fd));
    close(fd);
    fx_wait(&fx.log_lines, 2);
    ck_assert_int_eq(fx.log_lines, 2);
}
END_TEST

START_TEST(a_dropped_request_closes_its_connection_only)
{
    int a = fx_connect(), b = fx_connect();
    fx_request(a, 'd', 1, 100);
    fx_request(a, 'e', 2, 100);
    ck_assert(fx_is_closed(a));
    fx_request(b, 'e', 3, 100);
    fx_expect(b, 3, 100);
    close(a);
    close(b);
    fx_wait(&fx.log_lines, 1);
    ck_assert_ptr_nonnull(strstr(fx.log, "the test wants it"));
}
END_TEST

/* ---- file ranges ---- */

static void make_file(uint64_t n)
{
    char path[] = "/tmp/chronik-net-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    uint8_t *p = malloc(1 << 20);
    for (uint64_t at = 0; at < n; at += 1 << 20) {
        for (uint32_t i = 0; i < 1 << 20; i++)
            p[i] = (uint8_t)((at + i) * 31 >> 3);
        ck_assert_int_gt(write(fd, p, min_size(1 << 20, n - at)), 0);
    }
    free(p);
    ck_assert_int_eq(fsync(fd), 0);
    close(fd);
    ck_assert_int_eq(os_open(fx.os, path, OS_READ | OS_WRITE, &fx.file), CHRONIK_DONE);
    unlink(path);
}

static void expect_range(int fd, uint64_t off, uint32_t n)
{
    uint8_t *p = malloc(n);
    ck_assert_int_eq(fx_answer(fd, p, n), (int)n);
    for (uint32_t i = 0; i < n; i++)
        FX_MUST(p[i] == (uint8_t)((off + i) * 31 >> 3));
    free(p);
}

START_TEST(file_ranges_of_any_size_arrive_as_they_are)
{
    static const uint64_t ranges[][2] = {{0, 100}, {1, 4095}, {5, 4096}, {1000, 300000}, {0, 8 << 20}, {77, 1}};
    int fd = fx_connect();
    make_file(8 << 20);
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        fx.range_off = ranges[i][0];
        fx.range_n = ranges[i][1];
        fx_request(fd, 'f', 1, 100);
        fx_request(fd, 'e', 2, 100);
        expect_range(fd, ranges[i][0], (uint32_t)ranges[i][1]);
        fx_expect(fd, 2, 100);
    }
    close(fd);
}
END_TEST

START_TEST(cold_file_ranges_are_read_off_the_loop_and_arrive_as_they_are)
{
    int fd = fx_connect();
    make_file(8 << 20);
    os_advise_drop(fx.file, 0, 8 << 20);
    int64_t before = metric_value(fx.net->m.cold);
    fx.range_off = 3;
    fx.range_n = 6 << 20;
    fx_request(fd, 'f', 1, 100);
    expect_range(fd, 3, 6 << 20);
    /* A file system without a cache of its own for these pages never is cold. */
    ck_assert_int_ge(metric_value(fx.net->m.cold), before);
    close(fd);
}
END_TEST

START_TEST(cold_file_ranges_arrive_as_they_are_while_others_are_served)
{
    int fd = fx_connect(), other = fx_connect();
    make_file(2 << 20);
    fx_request(other, 'e', 1, 100);
    fx_expect(other, 1, 100);
    os_advise_drop(fx.file, 0, 2 << 20);
    fx.range_off = 1;
    fx.range_n = (2 << 20) - 1;
    fx_request(fd, 'f', 1, 100);
    for (uint32_t i = 2; i < 50; i++) {
        fx_request(other, 'e', i, 100);
        fx_expect(other, i, 100);
    }
    expect_range(fd, 1, (2 << 20) - 1);
    close(other);
    close(fd);
}
END_TEST

START_TEST(d8_a_range_truncated_while_it_leaves_closes_the_connection)
{
    int fd = fx_connect();
    uint8_t head[4];
    make_file(64 << 20);
    fx.range_n = 64 << 20;
    fx_request(fd, 'f', 1, 100);
    fx_wait(&fx.requests, 1);
    ck_assert_int_eq(recv(fd, head, 4, MSG_WAITALL), 4);
    ck_assert_int_eq(os_truncate(fx.file, 1 << 20), CHRONIK_DONE);
    ck_assert(fx_is_closed(fd));
    fx_wait(&fx.sent, 1);
    fx_wait(&fx.log_lines, 1);
    ck_assert_ptr_nonnull(strstr(fx.log, "truncated meanwhile"));
    close(fd);
}
END_TEST

/* ---- the end ---- */

static void on_stopped(void *arg)
{
    (void)arg;
    atomic_fetch_add(&fx.stopped, 1);
}

START_TEST(a_stop_lets_answers_finish_and_accepts_nobody)
{
    int fd = fx_connect(), idle = fx_connect();
    fx_request(fd, 'p', 1, 100);
    fx_request(fd, 'b', 2, 100);
    fx_wait(&fx.requests, 2);
    net_stop(fx.net, INT64_C(5000000000), on_stopped, NULL);
    ck_assert(fx_is_closed(idle));
    ck_assert_int_eq(fx.stopped, 0);
    fx_release(false);
    fx_expect(fd, 1, 100);
    uint8_t *big = malloc(FX_BIG);
    ck_assert_int_eq(fx_answer(fd, big, FX_BIG), FX_BIG);
    free(big);
    ck_assert(fx_is_closed(fd));
    fx_wait(&fx.stopped, 1);
    close(fd);
    close(idle);
}
END_TEST

START_TEST(a_second_stop_forces_what_the_first_waits_for)
{
    int fd = fx_connect();
    fx_request(fd, 'p', 1, 100);
    fx_wait(&fx.requests, 1);
    net_stop(fx.net, INT64_C(60000000000), on_stopped, NULL);
    usleep(50000);
    ck_assert_int_eq(fx.stopped, 0);
    net_stop(fx.net, 0, on_stopped, NULL);
    fx_wait(&fx.stopped, 1);
    ck_assert_int_eq(fx.canceled, 1);
    ck_assert(fx_is_closed(fd));
    close(fd);
    usleep(10000);
    ck_assert_int_eq(fx.stopped, 1);
}
END_TEST

START_TEST(a_stop_is_told_also_when_somebody_hurried_before)
{
    net_stop(fx.net, 0, NULL, NULL);
    net_stop(fx.net, INT64_C(60000000000), on_stopped, NULL);
    fx_wait(&fx.stopped, 1);
}
END_TEST

START_TEST(a_stop_that_has_ended_is_told_at_once)
{
    net_stop(fx.net, 0, NULL, NULL);
    usleep(100000); /* before or after the end: told in both cases */
    net_stop(fx.net, 0, on_stopped, NULL);
    fx_wait(&fx.stopped, 1);
}
END_TEST

START_TEST(d7_an_end_of_stream_does_not_spin_the_loop)
{
    int fd = fx_connect();
    fx_request(fd, 'p', 1, 100);
    fx_wait(&fx.requests, 1);
    shutdown(fd, SHUT_WR);
    clock_t before = clock();
    usleep(500000);
    ck_assert_int_lt(clock() - before, CLOCKS_PER_SEC / 20);
    close(fd);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 20);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, k1_answers_leave_in_the_order_of_requests_when_they_are_made_backwards);
    tcase_add_test(t, k1_a_ready_answer_waits_for_the_one_before_it);
    tcase_add_test(t, thousands_of_pipelined_requests_in_one_write_are_all_answered);
    tcase_add_test(t, a_frame_of_1_mib_arrives_whole_from_pieces_of_any_size);
    tcase_add_test(t, requests_over_several_loops_stay_on_the_loop_of_their_connection);
    tcase_add_test(t, a_muted_connection_gets_its_answer_at_once_and_the_next_one_later);
    tcase_add_test(t, a_half_closed_client_still_gets_its_answers);
    tcase_add_test(t, a_client_that_went_away_has_its_waiting_requests_canceled);
    tcase_add_test(t, a_silent_leave_cancels_after_a_short_while);
    tcase_add_test(t, closing_in_the_middle_of_a_frame_leaves_nothing_behind);
    tcase_add_test(t, garbage_closes_the_connection_with_one_line_that_says_what_it_is);
    tcase_add_test(t, a_dropped_request_closes_its_connection_only);
    tcase_add_test(t, file_ranges_of_any_size_arrive_as_they_are);
    tcase_add_test(t, cold_file_ranges_are_read_off_the_loop_and_arrive_as_they_are);
    tcase_add_test(t, cold_file_ranges_arrive_as_they_are_while_others_are_served);
    tcase_add_test(t, d8_a_range_truncated_while_it_leaves_closes_the_connection);
    tcase_add_test(t, a_stop_lets_answers_finish_and_accepts_nobody);
    tcase_add_test(t, a_second_stop_forces_what_the_first_waits_for);
    tcase_add_test(t, a_stop_is_told_also_when_somebody_hurried_before);
    tcase_add_test(t, a_stop_that_has_ended_is_told_at_once);
    tcase_add_test(t, d7_an_end_of_stream_does_not_spin_the_loop);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
