#include <config.h>

/* test_limits.c: what a peer, however it behaves, may cost: memory, descriptors, time. Real sockets, every wait
 * bounded; each test chooses its own small limits. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/net/net_fixture.h"

enum { MS = 1000000 };

static void teardown(void)
{
    fx_close();
}

static uint64_t rss_kib(void)
{
    uint64_t pages = 0, size = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%lu %lu", &size, &pages), 2);
    fclose(f);
    return pages * 4;
}

/* Sends until the server has not taken a byte for 100 ms; false when it closed the connection. */
static bool push_until_stuck(int fd, const uint8_t *p, size_t n, size_t most)
{
    size_t sent = 0;
    int idle = 0;
    while (sent < most && idle < 100) {
        size_t at = sent % n;
        ssize_t k = send(fd, p + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (k > 0) {
            sent += (size_t)k;
            idle = 0;
        } else if (errno == EAGAIN) {
            idle++;
            usleep(1000);
        } else {
            return false;
        }
    }
    return true;
}

START_TEST(a_client_that_never_reads_does_not_grow_memory)
{
    fx_open(NULL);
    enum { LEN = 1004 };
    static uint8_t frame[LEN * 64];
    int fd[4];
    for (int i = 0; i < 64; i++) {
        put_be32(frame + i * LEN, LEN - 4);
        frame[i * LEN + 4] = 'e';
    }
    for (int i = 0; i < 4; i++)
        fd[i] = fx_connect();
    fx_wait(&fx.opened, 4);
    uint64_t before = rss_kib();
    for (int i = 0; i < 4; i++) {
        ck_assert(push_until_stuck(fd[i], frame, sizeof frame, 256u << 20));
    }
    if (!FX_SANITIZER) /* it keeps freed memory */
        ck_assert_uint_lt(rss_kib() - before, 4 * 1024);
    ck_assert_int_le(fx.answers - fx.sent, 4 * 66);
    ck_assert_uint_eq(net_connections(fx.net), 4);
    for (int i = 0; i < 4; i++)
        close(fd[i]);
}
END_TEST

START_TEST(large_answers_that_nobody_reads_stop_the_taking_of_requests)
{
    fx_open(NULL);
    int fd = fx_connect();
    for (uint32_t i = 0; i < 60; i++)
        fx_request(fd, 'b', i, 100);
    usleep(200 * 1000);
    /* The kernel's buffers take a few; beyond them one answer waits in ours. */
    int taken = fx.requests;
    ck_assert_int_lt(taken, 30);
    uint8_t *big = malloc(FX_BIG);
    for (uint32_t i = 0; i < 60; i++)
        ck_assert_int_eq(fx_answer(fd, big, FX_BIG), FX_BIG);
    ck_assert_int_eq(fx.requests, 60);
    free(big);
    close(fd);
}
END_TEST

START_TEST(requests_in_flight_are_bounded_and_go_on_when_answered)
{
    struct net_config cfg = {.max_in_flight = 10};
    fx_open(&cfg);
    int fd = fx_connect();
    for (uint32_t i = 0; i < 35; i++)
        fx_request(fd, 'p', i, 100);
    for (int round = 1; round <= 4; round++) {
        fx_wait(&fx.requests, round < 4 ? round * 10 : 35);
        usleep(10000);
        ck_assert_int_le(fx.requests, round * 10);
        fx_release(round % 2);
    }
    for (uint32_t i = 0; i < 35; i++)
        fx_expect(fd, i, 100);
    close(fd);
}
END_TEST

START_TEST(waiting_requests_with_small_frames_pin_no_buffers)
{
    fx_open(NULL);
    int fd[200];
    for (int i = 0; i < 200; i++) {
        fd[i] = fx_connect();
        fx_request(fd[i], 'p', 1, 900);
    }
    fx_wait(&fx.requests, 200);
    ck_assert_uint_lt(atomic_load(&fx.net->budget.used), 200 * 2048);
    fx_release(false);
    for (int i = 0; i < 200; i++) {
        fx_expect(fd[i], 1, 900);
        close(fd[i]);
    }
}
END_TEST

START_TEST(request_memory_is_bounded_and_reading_goes_on_when_some_comes_back)
{
    struct net_config cfg = {.max_queued = 1 << 20};
    fx_open(&cfg);
    int fd[12];
    for (int i = 0; i < 12; i++) {
        fd[i] = fx_connect();
        fx_request(fd[i], 'p', (uint32_t)i, 200000);
    }
    fx_wait(&fx.requests, 1);
    usleep(50000);
    ck_assert_int_le(fx.requests, 5);
    ck_assert_uint_le(atomic_load(&fx.net->budget.used), (1 << 20) + 300 * 1024);
    for (int done = 0; done < 12;) {
        done = fx.requests;
        fx_release(false);
        fx_wait(&fx.requests, done < 12 ? done + 1 : 12);
    }
    fx_release(false);
    for (int i = 0; i < 12; i++) {
        fx_expect(fd[i], (uint32_t)i, 200000);
        close(fd[i]);
    }
}
END_TEST

START_TEST(a_frame_larger_than_all_request_memory_is_served_alone)
{
    struct net_config cfg = {.max_queued = 1 << 20};
    fx_open(&cfg);
    int fd = fx_connect();
    fx_request(fd, 'e', 1, 3 << 20);
    fx_expect(fd, 1, 3 << 20);
    close(fd);
}
END_TEST

START_TEST(slow_senders_of_large_frames_do_not_keep_others_out)
{
    enum { SLOW = 12 };
    struct net_config cfg = {.max_queued = 6 << 20};
    fx_open(&cfg);
    int slow[SLOW], fd = fx_connect();
    uint8_t part[50000] = {0, 0x30, 0, 0, 'e'}; /* of 3 MiB */
    for (int i = 0; i < SLOW; i++) {
        slow[i] = fx_connect();
        fx_send(slow[i], part, sizeof part);
    }
    usleep(50000);
    for (int i = 0; i < SLOW; i++)
        fx_send(slow[i], part, 1000); /* now buffers for all of it are asked for */
    usleep(50000);
    int64_t waits = metric_value(fx.net->m.starved);
    usleep(200000);
    ck_assert_int_le(metric_value(fx.net->m.starved) - waits, 50 * SLOW); /* a refusal alone wakes nobody */
    for (uint32_t i = 0; i < 20; i++) {
        fx_request(fd, 'e', i, 200000);
        fx_expect(fd, i, 200000);
    }
    for (int i = 0; i < SLOW; i++)
        close(slow[i]);
    fx_wait(&fx.closed, SLOW);
    ck_assert_uint_eq(atomic_load(&fx.net->budget.large), 0);
    close(fd);
}
END_TEST

START_TEST(the_one_frame_beyond_the_budget_leaves_all_of_it_to_others)
{
    enum { SLOW = 16 };
    struct net_config cfg = {.max_queued = 6 << 20};
    fx_open(&cfg);
    int slow[SLOW], fd = fx_connect();
    uint8_t part[50000] = {0, 0x2c, 0, 0, 'e'}; /* of 2.75 MiB: one within the half, one beyond all, the rest waits */
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < SLOW; i++) {
            slow[i] = round ? slow[i] : fx_connect();
            fx_send(slow[i], part, round ? 1000 : sizeof part);
        }
    usleep(100000);
    ck_assert(atomic_load(&fx.net->budget.pass));
    for (uint32_t i = 0; i < 20; i++) {
        fx_request(fd, 'e', i, 200000);
        fx_expect(fd, i, 200000);
    }
    for (int i = 0; i < SLOW; i++)
        close(slow[i]);
    fx_wait(&fx.closed, SLOW);
    ck_assert_uint_eq(atomic_load(&fx.net->budget.large), 0);
    ck_assert(!atomic_load(&fx.net->budget.pass));
    close(fd);
}
END_TEST

START_TEST(those_who_stop_in_the_middle_of_frames_are_given_up_soon_when_others_wait_for_memory)
{
    enum { SLOW = 16 };
    struct net_config cfg = {.max_queued = 1 << 20, .partial_ns = INT64_C(40000) * MS}; /* a tenth: 4 s */
    fx_open(&cfg);
    int slow[SLOW];
    uint8_t part[40000] = {0, 0, 0xc3, 0x50, 'e'}; /* of 50,000 */
    for (int i = 0; i < SLOW; i++) {
        slow[i] = fx_connect();
        fx_send(slow[i], part, sizeof part);
    }
    usleep(100000);
    struct timeval limit = {.tv_sec = 20};
    int fd = fx_connect();
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    fx_request(fd, 'e', 7, 30000);
    fx_expect(fd, 7, 30000);
    ck_assert_ptr_nonnull(strstr(fx.log, "did not arrive in time"));
    for (int i = 0; i < SLOW; i++)
        close(slow[i]);
    close(fd);
}
END_TEST

START_TEST(small_answers_from_files_that_nobody_reads_are_few)
{
    fx_open(NULL);
    char path[] = "/tmp/chronik-net-XXXXXX";
    int tmp = mkstemp(path), fd = socket(AF_INET, SOCK_STREAM, 0), little = 4096;
    ck_assert_int_ge(tmp, 0);
    ck_assert_int_eq(ftruncate(tmp, 1000), 0);
    close(tmp);
    ck_assert_int_eq(os_open(fx.os, path, OS_READ, &fx.file), CHRONIK_DONE);
    fx.range_n = 1000;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    fx_connect_with(fd);
    static uint8_t frame[64 * 100];
    for (int i = 0; i < 64; i++) {
        put_be32(frame + i * 100, 96);
        frame[i * 100 + 4] = 'f';
    }
    ck_assert(push_until_stuck(fd, frame, sizeof frame, 64u << 20)); /* the kernel's buffers are full of answers */
    ck_assert_int_lt(fx.requests - fx.sent, 64 * 1024 / NET_HELD_COST + 2);
    close(fd);
    unlink(path);
}
END_TEST

START_TEST(a_frame_beyond_the_cap_closes_the_connection_with_one_line)
{
    struct net_config cfg = {.max_frame = 5000};
    fx_open(&cfg);
    int fd = fx_connect();
    fx_request(fd, 'e', 1, 5000);
    fx_expect(fd, 1, 5000);
    uint8_t head[8] = {0, 0, 0x13, 0x89, 'e'};
    fx_send(fd, head, sizeof head);
    ck_assert(fx_is_closed(fd));
    close(fd);
    fx_wait(&fx.log_lines, 1);
    ck_assert_int_eq(fx.log_lines, 1);
    ck_assert_ptr_nonnull(strstr(fx.log, "socket.request.max.bytes"));
}
END_TEST

START_TEST(a_large_frame_without_memory_for_it_is_dropped_but_for_its_beginning_and_answered)
{
    struct rlimit lim, tight;
    fx_open(NULL);
    if (FX_SANITIZER)
        return; /* its own address space forbids the limit */
    int a = fx_connect(), b = fx_connect();
    fx_request(b, 'e', 1, 100);
    fx_expect(b, 1, 100);
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &lim), 0);
    tight = lim;
    uint64_t size = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    ck_assert_int_eq(fscanf(f, "%lu", &size), 1);
    fclose(f);
    tight.rlim_cur = size * 4096 + (32 << 20);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &tight), 0);
    static uint8_t piece[65536], answer[65536];
    uint8_t head[8] = {0x04, 0, 0, 0, 'e'}; /* of 64 MiB */
    fx_send(a, head, sizeof head);
    memset(piece, 7, sizeof piece);
    for (int i = 0; i < 1023; i++)
        fx_send(a, piece, sizeof piece);
    fx_send(a, piece, sizeof piece - 4);
    fx_request(a, 'e', 3, 100); /* the next one is cut where it begins */
    int n = fx_answer(a, answer, sizeof answer);
    ck_assert_int_gt(n, 4000);
    ck_assert_int_eq(answer[0], 'e');
    ck_assert_int_eq(answer[n - 1], 7);
    ck_assert_int_eq(fx.dropped, (64 << 20) - n);
    fx_expect(a, 3, 100);
    fx_request(b, 'e', 2, 100);
    fx_expect(b, 2, 100);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &lim), 0);
    close(a);
    close(b);
}
END_TEST

START_TEST(idle_connections_close_and_waiting_ones_do_not)
{
    struct net_config cfg = {.idle_ns = 600 * MS};
    fx_open(&cfg);
    int idle = fx_connect(), waiting = fx_connect();
    fx_request(waiting, 'p', 1, 100);
    ck_assert(fx_is_closed(idle));
    usleep(900 * 1000);
    ck_assert_int_eq(fx.canceled, 0);
    fx_release(false);
    fx_expect(waiting, 1, 100);
    ck_assert(fx_is_closed(waiting));
    close(idle);
    close(waiting);
    ck_assert_int_eq(fx.log_lines, 0);
}
END_TEST

START_TEST(a_close_that_the_broker_decides_on_is_told_with_its_reason_and_the_peers_own_is_not)
{
    struct net_config cfg = {.idle_ns = 150 * MS};
    fx_open(&cfg);
    int leaves = fx_connect(), idle = fx_connect();
    fx_request(leaves, 'e', 1, 100);
    fx_expect(leaves, 1, 100);
    close(leaves);
    fx_wait(&fx.closed, 1);
    ck_assert_int_eq(fx.told_lines, 0);
    ck_assert(fx_is_closed(idle));
    fx_wait(&fx.told_lines, 1);
    ck_assert_int_eq(fx.told_lines, 1);
    ck_assert_ptr_nonnull(strstr(fx.told, "closed: idle for longer than connections.max.idle.ms"));
    close(idle);
    ck_assert_int_eq(fx.log_lines, 0);
}
END_TEST

START_TEST(a_client_that_stops_reading_for_good_is_closed_as_idle)
{
    struct net_config cfg = {.idle_ns = 200 * MS};
    fx_open(&cfg);
    int fd = fx_connect();
    for (uint32_t i = 0; i < 20; i++)
        fx_request(fd, 'b', i, 100);
    fx_wait(&fx.closed, 1);
    ck_assert_int_ge(fx.sent, 2);
    close(fd);
}
END_TEST

START_TEST(a_frame_that_trickles_in_is_given_up)
{
    struct net_config cfg = {.partial_ns = 200 * MS};
    fx_open(&cfg);
    int fd = fx_connect(), good = fx_connect();
    uint8_t head[6] = {0, 0, 1, 0, 'e', 0};
    bool closed = false;
    fx_send(fd, head, sizeof head);
    for (int i = 0; i < 100 && !closed; i++) {
        usleep(10000);
        closed = send(fd, "x", 1, MSG_NOSIGNAL) < 0;
    }
    ck_assert(closed);
    fx_request(good, 'e', 1, 100);
    fx_expect(good, 1, 100);
    fx_wait(&fx.log_lines, 1);
    ck_assert_ptr_nonnull(strstr(fx.log, "did not arrive in time"));
    close(fd);
    close(good);
}
END_TEST

START_TEST(connections_beyond_the_limits_are_refused_and_let_in_later)
{
    struct net_config cfg = {.max_connections = 3, .max_connections_per_ip = 2};
    fx_open(&cfg);
    int a = fx_connect(), b = fx_connect();
    fx_request(a, 'e', 1, 100);
    fx_expect(a, 1, 100);
    int c = fx_connect();
    ck_assert(fx_is_closed(c));
    close(c);
    close(a);
    fx_wait(&fx.closed, 1);
    c = fx_connect();
    fx_request(c, 'e', 1, 100);
    fx_expect(c, 1, 100);
    close(b);
    close(c);
    ck_assert_ptr_nonnull(strstr(fx.log, "max.connections.per.ip"));
    fx_wait(&fx.closed, 3);
}
END_TEST

START_TEST(running_out_of_descriptors_pauses_accepting_with_one_line)
{
    struct net_config cfg = {.reserve_files = 1};
    enum { MOST = 64 };
    int fd[MOST], n = 0, filler[1024], fillers = 0;
    struct rlimit lim, tight;
    fx_open(&cfg);
    int first = fx_connect();
    fx_request(first, 'e', 1, 100);
    fx_expect(first, 1, 100);
    for (; n < 8; n++) {
        fd[n] = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert_int_ge(fd[n], 0);
    }
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &lim), 0);
    tight = lim;
    tight.rlim_cur = 200;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &tight), 0);
    while (fillers < 1024 && (filler[fillers] = open("/dev/null", O_RDONLY)) >= 0)
        fillers++;
    for (int i = 0; i < n; i++)
        fx_connect_with(fd[i]);
    usleep(350 * 1000);
    ck_assert_int_eq(fx.opened, 1);
    fx_request(first, 'e', 2, 100);
    fx_expect(first, 2, 100);
    ck_assert_int_eq(fx.log_lines, 1);
    ck_assert_ptr_nonnull(strstr(fx.log, "no file descriptor left"));
    ck_assert_int_ge(metric_value(fx.net->m.pauses), 2);
    while (fillers > 0)
        close(filler[--fillers]);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
    fx_wait(&fx.opened, 1 + n);
    for (int i = 0; i < n; i++) {
        fx_request(fd[i], 'e', 3, 100);
        fx_expect(fd[i], 3, 100);
        close(fd[i]);
    }
    close(first);
}
END_TEST

START_TEST(a_flood_of_faulty_connections_does_not_flood_the_log)
{
    fx_open(NULL);
    for (int i = 0; i < 100; i++) {
        int fd = fx_connect();
        fx_send(fd, "GET /", 5);
        ck_assert(fx_is_closed(fd));
        close(fd);
    }
    ck_assert_int_le(fx.log_lines, 2 * NET_LOG_LINES);
}
END_TEST

START_TEST(a_busy_connection_does_not_keep_a_loop_from_the_others)
{
    fx_open(NULL);
    int busy = fx_connect(), other = fx_connect();
    enum { LEN = 104, N = 2000 };
    static uint8_t frames[LEN * N];
    for (int i = 0; i < N; i++) {
        put_be32(frames + i * LEN, LEN - 4);
        frames[i * LEN + 4] = 'n';
    }
    for (int round = 0; round < 20; round++) {
        fx_send(busy, frames, sizeof frames);
        int64_t began = os_mono_ns(fx.os);
        fx_request(other, 'e', 1, 100);
        fx_expect(other, 1, 100);
        ck_assert_int_lt(os_mono_ns(fx.os) - began, 2000 * MS); /* a bound against starvation, not a measure */
    }
    fx_wait(&fx.requests, 20 * N + 20);
    close(busy);
    close(other);
}
END_TEST

START_TEST(memory_of_a_burst_is_given_back)
{
    fx_open(NULL);
    int fd[20];
    for (int i = 0; i < 20; i++) {
        fd[i] = fx_connect();
        fx_request(fd[i], 'p', 1, 700000);
    }
    fx_wait(&fx.requests, 20);
    fx_release(false);
    for (int i = 0; i < 20; i++) {
        fx_expect(fd[i], 1, 700000);
        close(fd[i]);
    }
    for (int i = 0; i < 40 && fx_pool_idle() > NET_IDLE_REST; i++)
        usleep(100 * 1000);
    ck_assert_uint_le(fx_pool_idle(), 1 << 20);
    ck_assert_uint_le(atomic_load(&fx.net->budget.used), NET_KEEP_REQS * sizeof(struct net_req_box));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net limits");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 20);
    tcase_add_checked_fixture(t, NULL, teardown);
    tcase_add_test(t, a_client_that_never_reads_does_not_grow_memory);
    tcase_add_test(t, large_answers_that_nobody_reads_stop_the_taking_of_requests);
    tcase_add_test(t, requests_in_flight_are_bounded_and_go_on_when_answered);
    tcase_add_test(t, waiting_requests_with_small_frames_pin_no_buffers);
    tcase_add_test(t, request_memory_is_bounded_and_reading_goes_on_when_some_comes_back);
    tcase_add_test(t, a_frame_larger_than_all_request_memory_is_served_alone);
    tcase_add_test(t, slow_senders_of_large_frames_do_not_keep_others_out);
    tcase_add_test(t, the_one_frame_beyond_the_budget_leaves_all_of_it_to_others);
    tcase_add_test(t, those_who_stop_in_the_middle_of_frames_are_given_up_soon_when_others_wait_for_memory);
    tcase_add_test(t, small_answers_from_files_that_nobody_reads_are_few);
    tcase_add_test(t, a_frame_beyond_the_cap_closes_the_connection_with_one_line);
    tcase_add_test(t, a_large_frame_without_memory_for_it_is_dropped_but_for_its_beginning_and_answered);
    tcase_add_test(t, idle_connections_close_and_waiting_ones_do_not);
    tcase_add_test(t, a_close_that_the_broker_decides_on_is_told_with_its_reason_and_the_peers_own_is_not);
    tcase_add_test(t, a_client_that_stops_reading_for_good_is_closed_as_idle);
    tcase_add_test(t, a_frame_that_trickles_in_is_given_up);
    tcase_add_test(t, connections_beyond_the_limits_are_refused_and_let_in_later);
    tcase_add_test(t, running_out_of_descriptors_pauses_accepting_with_one_line);
    tcase_add_test(t, a_flood_of_faulty_connections_does_not_flood_the_log);
    tcase_add_test(t, a_busy_connection_does_not_keep_a_loop_from_the_others);
    tcase_add_test(t, memory_of_a_burst_is_given_back);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
