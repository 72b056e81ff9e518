/* test_sim_net.c: virtual streams: everything arrives once and in order whatever the pieces, and every way a connection
 * can end looks as it does on a real machine. */
#include "test_sim.h"

enum { BYTES = 400000 };

static struct sim_world *w;
static struct os *a, *b;
static struct os_exec *loop_a, *loop_b;
static struct os_sock *listener, *server, *client;
static uint16_t port;

static void world(uint64_t seed)
{
    w = sim_world_new(seed);
    a = sim_node(w, "a");
    b = sim_node(w, "b");
    ck_assert_int_eq(os_exec_open(a, "loop", OS_EXEC_LOOP, &loop_a), CHRONIK_DONE);
    ck_assert_int_eq(os_exec_open(b, "loop", OS_EXEC_LOOP, &loop_b), CHRONIK_DONE);
    server = client = listener = NULL;
}

/* ---- the server counts and checks bytes, the client sends them ---- */

static uint64_t sent, got;
static int64_t client_end, server_end; /* the result that ended each side; 1: none yet */
static int32_t connected;
static struct os_file *file;

static uint8_t byte_at(uint64_t i)
{
    return (uint8_t)(i * 31 + i / 251);
}

static void server_event(void *arg, unsigned what)
{
    uint8_t buf[5000];
    int64_t r = 1;
    for (int k = 0; k < 3 && (r = os_recv(server, buf, sizeof buf)) > 0; k++)
        for (int64_t i = 0; i < r; i++)
            if (buf[i] != byte_at(got++)) /* an assertion a byte is a system call a byte */
                ck_abort_msg("byte %llu is wrong", (unsigned long long)got - 1);
    if (r > 0 || r == CHRONIK_E_AGAIN)
        return;
    server_end = r;
    os_sock_close(server);
    server = NULL;
}

static void listener_event(void *arg, unsigned what)
{
    ck_assert_uint_eq(what, OS_CAN_READ);
    int32_t r = os_accept(listener, &server);
    if (r == CHRONIK_DONE)
        os_watch(server, loop_b, OS_CAN_READ, server_event, NULL);
    else
        ck_assert(r == CHRONIK_E_CLOSED || r == CHRONIK_E_BUSY);
}

static void listen_b(void *arg)
{
    struct err e = {0};
    ck_assert_int_eq(os_listen(b, "b:0", 4, &listener, &port, &e), CHRONIK_DONE);
    struct os_sock *again;
    char same[32];
    snprintf(same, sizeof same, "b:%u", port);
    uint16_t unused;
    ck_assert_int_eq(os_listen(b, same, 4, &again, &unused, &e), CHRONIK_E_EXISTS);
    ck_assert_int_eq(os_watch(listener, loop_b, OS_CAN_READ, listener_event, NULL), CHRONIK_DONE);
}

static void client_over(int64_t r)
{
    client_end = r;
    os_sock_close(client);
    client = NULL;
}

/* Sends BYTES in all, then closes. */
static void client_event(void *arg, unsigned what)
{
    uint8_t buf[3000];
    if (connected == 0) {
        connected = os_connect_result(client);
        if (connected < 0) {
            client_over(connected);
            return;
        }
    }
    if (what & OS_CAN_READ) {
        int64_t r = os_recv(client, buf, sizeof buf);
        if (r != CHRONIK_E_AGAIN)
            client_over(r);
        return;
    }
    size_t n = min_size(sizeof buf, BYTES - sent);
    for (size_t i = 0; i < n; i++)
        buf[i] = byte_at(sent + i);
    struct chronik_iov v[2] = {{buf, n / 3}, {buf + n / 3, n - n / 3}};
    int64_t r = sent % 3 == 0 && file ? os_sendfile(client, file, sent, n) : os_send(client, v, 2, false);
    if (r == CHRONIK_E_AGAIN)
        return;
    if (r < 0) {
        client_over(r);
        return;
    }
    sent += (uint64_t)r;
    if (sent == BYTES)
        client_over(0);
}

static void connect_a(void *arg)
{
    char address[32];
    struct err e = {0};
    snprintf(address, sizeof address, "b:%u", port);
    ck_assert_int_eq(os_connect(a, address, &client, &e), CHRONIK_DONE);
    os_watch(client, loop_a, OS_CAN_READ | OS_CAN_WRITE, client_event, NULL);
}

static struct chronik_task task_a, task_b;

static void talk(uint64_t seed)
{
    world(seed);
    sent = got = 0;
    client_end = server_end = 1;
    connected = 0;
    file = NULL;
    task_a = (struct chronik_task){.fn = connect_a};
    task_b = (struct chronik_task){.fn = listen_b};
    os_exec_post(loop_b, &task_b);
    ck_assert_int_eq(sim_run_for(w, SIM_MS), SIM_IDLE);
    os_exec_post(loop_a, &task_a);
}

START_TEST(what_is_sent_arrives_in_order_and_then_the_end)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        talk(seed);
        sim_net_chunk(w, seed % 2 ? 700 : 65536);
        if (seed % 3 == 0) { /* a part of it from a file */
            static uint8_t all[BYTES];
            for (uint64_t i = 0; i < BYTES; i++)
                all[i] = byte_at(i);
            struct chronik_iov v = {all, BYTES};
            ck_assert_int_eq(os_open(a, "f", OS_READ | OS_WRITE | OS_CREATE, &file), CHRONIK_DONE);
            ck_assert_int_eq(os_pwritev(file, &v, 1, 0), CHRONIK_DONE);
        }
        ck_assert_int_eq(sim_run_for(w, 100 * SIM_S), SIM_IDLE);
        ck_assert_uint_eq(got, BYTES);
        ck_assert_int_eq(server_end, 0);
        ck_assert_int_eq(client_end, 0);
        sim_world_free(w);
    }
}
END_TEST

static bool some_arrived(void *arg)
{
    return got > 1000;
}

START_TEST(a_cut_link_delays_and_healing_resumes)
{
    for (int way = 0; way < 3; way++) {
        talk(50 + (uint64_t)way);
        ck_assert_int_eq(sim_run(w, SIM_S, 0, some_arrived, NULL), SIM_TRUE);
        if (way != 1)
            sim_net_cut(a, b, true);
        if (way != 0)
            sim_net_cut(b, a, true);
        sim_run_for(w, 20 * SIM_S);
        ck_assert_uint_lt(got, BYTES);
        sim_net_isolate(a, false);
        ck_assert_int_eq(sim_run_for(w, 200 * SIM_S), SIM_IDLE);
        ck_assert_uint_eq(got, BYTES);
        sim_world_free(w);
    }
}
END_TEST

START_TEST(a_link_that_stays_cut_ends_the_connection_at_last)
{
    talk(60);
    ck_assert_int_eq(sim_run(w, SIM_S, 0, some_arrived, NULL), SIM_TRUE);
    sim_net_isolate(b, true);
    ck_assert_int_eq(sim_run_for(w, 800 * SIM_S), SIM_TIME);
    ck_assert_int_eq(client_end, 1);
    sim_run_for(w, 800 * SIM_S);
    ck_assert_int_eq(client_end, CHRONIK_E_CLOSED);
    ck_assert_int_eq(server_end, 1); /* it only listens: silence is all it knows */
    sim_world_free(w);
}
END_TEST

START_TEST(a_killed_process_is_seen_at_once_and_its_port_refuses)
{
    talk(70);
    ck_assert_int_eq(sim_run(w, SIM_S, 0, some_arrived, NULL), SIM_TRUE);
    sim_kill(b);
    sim_run_for(w, 100 * SIM_MS);
    ck_assert(client_end == CHRONIK_E_CLOSED || client_end == 0);
    ck_assert_ptr_null(client);
    connected = 0;
    client_end = 1;
    os_exec_post(loop_a, &task_a);
    sim_run_for(w, 100 * SIM_MS);
    ck_assert_int_eq(connected, CHRONIK_E_CLOSED);
    sim_world_free(w);
}
END_TEST

START_TEST(a_machine_without_power_is_silent_and_resets_when_it_is_back)
{
    talk(80);
    ck_assert_int_eq(sim_run(w, SIM_S, 0, some_arrived, NULL), SIM_TRUE);
    sim_power_cut(b);
    sim_run_for(w, 20 * SIM_S);
    ck_assert_int_eq(client_end, 1);
    sim_restart(b);
    sim_run_for(w, 60 * SIM_S);
    ck_assert_int_eq(client_end, CHRONIK_E_CLOSED);
    sim_world_free(w);

    talk(81);
    sim_power_cut(b);
    sim_run_for(w, 20 * SIM_S);
    ck_assert_int_eq(connected, 0);
    sim_run_for(w, 60 * SIM_S);
    ck_assert_int_eq(connected, CHRONIK_E_TIMEDOUT);
    sim_world_free(w);
}
END_TEST

START_TEST(a_reset_reaches_both_ends)
{
    talk(90);
    ck_assert_int_eq(sim_run(w, SIM_S, 0, some_arrived, NULL), SIM_TRUE);
    ck_assert_uint_eq(sim_net_reset(a, b), 1);
    sim_run_for(w, SIM_S);
    ck_assert_int_eq(client_end, CHRONIK_E_CLOSED);
    ck_assert_int_eq(server_end, CHRONIK_E_CLOSED);
    ck_assert_uint_eq(sim_net_reset(a, b), 0);
    sim_world_free(w);
}
END_TEST

/* ---- a reader that does not read; a file truncated after it was sent ---- */

static uint64_t stuffed;

static void stuff(void *arg, unsigned what)
{
    static uint8_t zeros[10000];
    struct chronik_iov v = {zeros, sizeof zeros};
    int64_t r;
    while ((r = os_send(client, &v, 1, true)) > 0)
        stuffed += (uint64_t)r;
    ck_assert_int_eq(r, CHRONIK_E_AGAIN);
}

static void accept_only(void *arg, unsigned what)
{
    ck_assert_int_eq(os_accept(listener, &server), CHRONIK_DONE);
    char name[32];
    os_peer_name(server, name, sizeof name);
    ck_assert_mem_eq(name, "a:", 2);
}

static void listen_accept_only(void *arg)
{
    struct err e = {0};
    ck_assert_int_eq(os_listen(b, "b:0", 4, &listener, &port, &e), CHRONIK_DONE);
    os_watch(listener, loop_b, OS_CAN_READ, accept_only, NULL);
}

static void connect_stuff(void *arg)
{
    connect_a(NULL);
    os_watch(client, loop_a, OS_CAN_WRITE, stuff, NULL);
}

START_TEST(a_peer_that_does_not_read_fills_a_bounded_window)
{
    world(100);
    stuffed = 0;
    struct chronik_task l = {.fn = listen_accept_only}, c = {.fn = connect_stuff};
    os_exec_post(loop_b, &l);
    sim_run_for(w, SIM_MS);
    os_exec_post(loop_a, &c);
    ck_assert_int_eq(sim_run_for(w, 100 * SIM_S), SIM_IDLE);
    ck_assert_uint_eq(stuffed, 256 * 1024);
    sim_world_free(w);
}
END_TEST

static void send_file_once(void *arg, unsigned what)
{
    if (what & OS_CAN_WRITE && !sent) {
        sent = (uint64_t)os_sendfile(client, file, 0, 4);
        ck_assert_int_gt((int64_t)sent, 0);
        ck_assert_int_eq(os_truncate(file, 0), CHRONIK_DONE);
        ck_assert_int_eq(os_sendfile(client, file, 0, 4), 0);
        os_watch(client, loop_a, 0, send_file_once, NULL);
    }
}

static void connect_send_file(void *arg)
{
    connect_a(NULL);
    os_watch(client, loop_a, OS_CAN_WRITE, send_file_once, NULL);
}

static void read_zero(void *arg)
{
    uint8_t byte = 1;
    ck_assert_int_eq(os_recv(server, &byte, 1), 1);
    ck_assert_uint_eq(byte, 0);
}

START_TEST(a_file_is_read_when_it_is_delivered)
{
    world(110);
    sent = 0;
    file = test_open(a, "f");
    ck_assert_int_eq(test_put(file, "data", 0), CHRONIK_DONE);
    struct chronik_task l = {.fn = listen_accept_only}, c = {.fn = connect_send_file}, r = {.fn = read_zero};
    os_exec_post(loop_b, &l);
    sim_run_for(w, SIM_MS);
    os_exec_post(loop_a, &c);
    ck_assert_int_eq(sim_run_for(w, 10 * SIM_S), SIM_IDLE);
    ck_assert_ptr_nonnull(server);
    os_exec_post(loop_b, &r);
    sim_run_for(w, SIM_MS);
    sim_world_free(w);
}
END_TEST

START_TEST(a_loopback_listener_is_not_for_others_and_names_are_checked)
{
    world(120);
    struct err e = {0};
    struct os_sock *s;
    ck_assert_int_eq(os_listen(b, "127.0.0.1:0", 4, &listener, &port, &e), CHRONIK_DONE);
    ck_assert_int_eq(os_listen(b, "[::1]:9092", 4, &s, &port, &e), CHRONIK_DONE);
    ck_assert_int_eq(os_listen(b, "127.0.0.1:9092", 4, &s, &port, &e), CHRONIK_DONE);
    ck_assert_int_eq(os_listen(b, "a:9092", 4, &s, &port, &e), CHRONIK_E_NOTFOUND);
    ck_assert_int_eq(os_connect(a, "nobody:9092", &s, &e), CHRONIK_E_NOTFOUND);
    ck_assert_int_eq(os_connect(a, "b:9092", &s, &e), CHRONIK_DONE);
    ck_assert_int_eq(os_connect_result(s), CHRONIK_E_AGAIN);
    sim_run_for(w, SIM_S);
    ck_assert_int_eq(os_connect_result(s), CHRONIK_E_CLOSED);
    sim_file_limit(a, 1);
    ck_assert_int_eq(os_connect(a, "b:9092", &s, &e), CHRONIK_E_BUSY);
    sim_world_free(w);
}
END_TEST

START_TEST(the_network_is_part_of_the_seed)
{
    uint64_t hash[2];
    for (int i = 0; i < 2; i++) {
        talk(130);
        sim_run_for(w, 100 * SIM_S);
        hash[i] = sim_hash(w);
        sim_world_free(w);
    }
    ck_assert_uint_eq(hash[0], hash[1]);
    talk(131);
    sim_run_for(w, 100 * SIM_S);
    ck_assert_uint_ne(sim_hash(w), hash[0]);
    sim_world_free(w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sim net");
    TCase *t = tcase_create("net");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, what_is_sent_arrives_in_order_and_then_the_end);
    tcase_add_test(t, a_cut_link_delays_and_healing_resumes);
    tcase_add_test(t, a_link_that_stays_cut_ends_the_connection_at_last);
    tcase_add_test(t, a_killed_process_is_seen_at_once_and_its_port_refuses);
    tcase_add_test(t, a_machine_without_power_is_silent_and_resets_when_it_is_back);
    tcase_add_test(t, a_reset_reaches_both_ends);
    tcase_add_test(t, a_peer_that_does_not_read_fills_a_bounded_window);
    tcase_add_test(t, a_file_is_read_when_it_is_delivered);
    tcase_add_test(t, a_loopback_listener_is_not_for_others_and_names_are_checked);
    tcase_add_test(t, the_network_is_part_of_the_seed);
    suite_add_tcase(s, t);
    return run_suite(s);
}
