/* test_net.c: sockets of the real world on a loop: accept, connect, bytes both ways, files, refusals and resets. */
#include "test_real.h"

#include <unistd.h>

static struct os_exec *loop;
static struct os_flag done;

static void world_and_loop(void)
{
    world_open();
    ck_assert_int_eq(os_exec_open(os, "net", OS_EXEC_LOOP, &loop), CHRONIK_DONE);
}

static void close_all(void)
{
    os_exec_close(loop);
    world_close();
}

static void on_loop(void (*fn)(void *arg), void *arg)
{
    struct chronik_task t = {.fn = fn, .arg = arg};
    os_exec_post(loop, &t);
    ck_assert(os_flag_wait(os, &done, 20 * SECOND));
    done.set = 0;
}

/* ---- a conversation: the client sends, the server answers with a file, both count ---- */

enum { ASKED = 300000, FILE_SIZE = 1000000 };

static struct os_sock *listener, *server, *client;
static struct os_file *file;
static char address[64], block[65536];
static uint64_t server_got, server_sent, client_sent, client_got;
static bool client_up;

static void client_ready(void *arg, unsigned what)
{
    if (what & OS_CAN_WRITE && !client_up) {
        ck_assert_int_eq(os_connect_result(client), CHRONIK_DONE);
        client_up = true;
    }
    int64_t r = 1;
    while (client_up && client_sent < ASKED && r > 0) {
        struct chronik_iov v[2] = {{block, 1000}, {block + 1000, min_size(ASKED - client_sent, 50000)}};
        v[0].n = min_size(v[0].n, ASKED - client_sent);
        v[1].n = min_size(v[1].n, ASKED - client_sent - v[0].n);
        r = os_send(client, v, 2, false);
        ck_assert(r > 0 || r == CHRONIK_E_AGAIN);
        client_sent += r > 0 ? (uint64_t)r : 0;
    }
    if (client_sent == ASKED)
        os_watch(client, loop, OS_CAN_READ, client_ready, NULL);
    while (what & OS_CAN_READ && (r = os_recv(client, block, sizeof block)) > 0)
        client_got += (uint64_t)r;
    if (what & OS_CAN_READ && r == 0) {
        ck_assert_uint_eq(client_got, FILE_SIZE);
        os_sock_close(client);
        os_sock_close(listener);
        os_flag_set(os, &done);
    }
}

static void server_ready(void *arg, unsigned what)
{
    int64_t r;
    static char buf[65536];
    while (what & OS_CAN_READ && (r = os_recv(server, buf, sizeof buf)) > 0)
        server_got += (uint64_t)r;
    if (server_got < ASKED)
        return;
    os_watch(server, loop, OS_CAN_WRITE, server_ready, NULL);
    while ((r = os_sendfile(server, file, server_sent, FILE_SIZE)) > 0) {
        ck_assert_int_le(r, 256 * 1024);
        server_sent += (uint64_t)r;
    }
    ck_assert(r == CHRONIK_E_AGAIN || r == 0);
    if (r == 0) { /* beyond the end of the file */
        ck_assert_uint_eq(server_sent, FILE_SIZE);
        os_sock_close(server);
    }
}

static void listener_ready(void *arg, unsigned what)
{
    ck_assert_int_eq(os_accept(listener, &server), CHRONIK_DONE);
    struct os_sock *none;
    ck_assert_int_eq(os_accept(listener, &none), CHRONIK_E_AGAIN);
    char name[64];
    os_peer_name(server, name, sizeof name);
    ck_assert_mem_eq(name, address[0] == '[' ? "[::1]:" : "127.0.0.1:", 6);
    ck_assert_int_eq(os_watch(server, loop, OS_CAN_READ, server_ready, NULL), CHRONIK_DONE);
}

static void talk(void *arg)
{
    uint16_t port;
    struct err e = {0};
    ck_assert_int_eq(os_listen(os, arg, 16, &listener, &port, &e), CHRONIK_DONE);
    snprintf(address, sizeof address, "%.*s%u", (int)strlen(arg) - 1, (char *)arg, port);
    struct os_sock *second;
    ck_assert_int_eq(os_listen(os, address, 16, &second, &port, &e), CHRONIK_E_EXISTS);
    ck_assert_ptr_nonnull(strstr(e.text, address));
    ck_assert_int_eq(os_watch(listener, loop, OS_CAN_READ, listener_ready, NULL), CHRONIK_DONE);
    ck_assert_int_eq(os_connect(os, address, &client, &e), CHRONIK_DONE);
    ck_assert_int_eq(os_watch(client, loop, OS_CAN_READ | OS_CAN_WRITE, client_ready, NULL), CHRONIK_DONE);
}

START_TEST(two_ends_exchange_bytes_and_a_file)
{
    struct chronik_iov v = {block, sizeof block};
    ck_assert_int_eq(os_open(os, in_dir("f"), OS_READ | OS_WRITE | OS_CREATE, &file), CHRONIK_DONE);
    for (uint64_t at = 0; at < FILE_SIZE; at += v.n) {
        v.n = min_size(sizeof block, FILE_SIZE - at);
        ck_assert_int_eq(os_pwritev(file, &v, 1, at), CHRONIK_DONE);
    }
    on_loop(talk, (void *)(uintptr_t)(_i ? "[::1]:0" : "127.0.0.1:0"));
    os_close(file);
}
END_TEST

/* ---- refusals and resets ---- */

static void refused_ready(void *arg, unsigned what)
{
    ck_assert_int_eq(os_connect_result(client), CHRONIK_E_CLOSED);
    os_sock_close(client);
    os_flag_set(os, &done);
}

static void refused(void *arg)
{
    uint16_t port;
    struct err e = {0};
    ck_assert_int_eq(os_listen(os, "127.0.0.1:0", 1, &listener, &port, &e), CHRONIK_DONE);
    os_sock_close(listener);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    ck_assert_int_eq(os_connect(os, address, &client, &e), CHRONIK_DONE);
    ck_assert_int_eq(os_watch(client, loop, OS_CAN_WRITE, refused_ready, NULL), CHRONIK_DONE);
}

START_TEST(a_port_nobody_listens_on_refuses)
{
    on_loop(refused, NULL);
}
END_TEST

static void reset_seen(void *arg, unsigned what)
{
    char buf[8];
    ck_assert_int_eq(os_recv(client, buf, sizeof buf), CHRONIK_E_CLOSED);
    os_sock_close(client);
    os_flag_set(os, &done);
}

static void abort_accepted(void *arg, unsigned what)
{
    ck_assert_int_eq(os_accept(listener, &server), CHRONIK_DONE);
    os_sock_abort(server);
    os_sock_close(listener);
}

static void reset(void *arg)
{
    uint16_t port;
    struct err e = {0};
    ck_assert_int_eq(os_listen(os, "127.0.0.1:0", 1, &listener, &port, &e), CHRONIK_DONE);
    ck_assert_int_eq(os_watch(listener, loop, OS_CAN_READ, abort_accepted, NULL), CHRONIK_DONE);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    ck_assert_int_eq(os_connect(os, address, &client, &e), CHRONIK_DONE);
    ck_assert_int_eq(os_watch(client, loop, OS_CAN_READ, reset_seen, NULL), CHRONIK_DONE);
}

START_TEST(an_aborted_connection_is_seen_as_a_reset)
{
    on_loop(reset, NULL);
}
END_TEST

START_TEST(malformed_addresses_are_refused_with_a_sentence)
{
    static const char *const bad[] = {"localhost", "127.0.0.1", "[::1:9092", "127.0.0.1:port", "127.0.0.1:"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        uint16_t port;
        struct err e = {0};
        struct os_sock *s;
        ck_assert_int_lt(os_listen(os, bad[i], 1, &s, &port, &e), 0);
        ck_assert_ptr_nonnull(strstr(e.text, bad[i]));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net");
    TCase *t = tcase_create("net");
    tcase_set_timeout(t, 30);
    tcase_add_checked_fixture(t, world_and_loop, close_all);
    tcase_add_loop_test(t, two_ends_exchange_bytes_and_a_file, 0, 2);
    tcase_add_test(t, a_port_nobody_listens_on_refuses);
    tcase_add_test(t, an_aborted_connection_is_seen_as_a_reset);
    tcase_add_test(t, malformed_addresses_are_refused_with_a_sentence);
    suite_add_tcase(s, t);
    return run_suite(s);
}
