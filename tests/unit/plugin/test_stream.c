/* test_stream.c: streams of a module over real sockets on 127.0.0.1: bytes arrive in order, every completion comes once
 * and on the executor given, closing cancels, a dead port is told from silence. */
#include "world.h"

#define BIG (4u << 20)

static struct chronik_exec *exec;
static void *listener;
static char address[32];
static struct waiting incoming;
static struct chronik_stream *server, *client;

static void accepted(void *arg, struct chronik_stream *s, const char *peer)
{
    (void)arg;
    ck_assert_int_ne(table->exec_here(exec), 0);
    ck_assert_int_eq(strncmp(peer, "127.0.0.1:", 10), 0);
    server = s;
    wake(&incoming, CHRONIK_DONE);
}

/* Everything about a stream happens on its executor: a test posts what it wants done there. */
struct call {
    struct chronik_task task;
    struct waiting posted, w;
    void (*fn)(struct call *c);
    struct chronik_stream *stream;
    struct chronik_iov iov[3];
    uint32_t n_iov;
    int32_t rc;
    int on_exec;
};

static void call_done(void *arg, int32_t result)
{
    struct call *c = arg;
    c->on_exec = table->exec_here(exec);
    wake(&c->w, result);
}

static void call_runs(void *arg)
{
    struct call *c = arg;
    c->fn(c);
    wake(&c->posted, CHRONIK_DONE);
}

static void call(struct call *c, void (*fn)(struct call *c))
{
    c->fn = fn;
    c->posted = c->w = (struct waiting){0};
    c->task = (struct chronik_task){.fn = call_runs, .arg = c};
    table->exec_post(exec, &c->task);
    ck_assert_int_eq(finish(&c->posted, CHRONIK_PENDING), CHRONIK_DONE);
}

static int32_t call_result(struct call *c)
{
    int32_t rc = finish(&c->w, c->rc);
    if (c->rc == CHRONIK_PENDING)
        ck_assert_int_ne(c->on_exec, 0);
    return rc;
}

static void do_read(struct call *c)
{
    c->rc = table->stream_read(c->stream, c->iov[0].p, c->iov[0].n, (struct chronik_done){call_done, c});
}

static void do_write(struct call *c)
{
    c->rc = table->stream_write(c->stream, c->iov, c->n_iov, (struct chronik_done){call_done, c});
}

static void do_close(struct call *c)
{
    table->stream_close(c->stream);
}

static void do_listen_close(struct call *c)
{
    (void)c;
    table->listen_close(listener);
}

static void do_connect(struct call *c)
{
    c->rc = table->connect(table->ctx, exec, address, SECOND * 5, &c->stream, (struct chronik_done){call_done, c});
}

static void listening(void)
{
    uint16_t port;
    struct chronik_listen_events ev = {.size = sizeof ev, .accepted = accepted};
    world_open();
    ck_assert_int_eq(table->exec_open(table->ctx, "shell", 0, &exec), CHRONIK_DONE);
    incoming = (struct waiting){0};
    ck_assert_int_eq(table->listen(table->ctx, exec, "127.0.0.1:0", &ev, &listener), CHRONIK_DONE);
    ck_assert_int_eq(table->listen_port(listener, &port), CHRONIK_DONE);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
}

static void connected(void)
{
    struct call c = {0};
    listening();
    call(&c, do_connect);
    ck_assert_int_eq(call_result(&c), CHRONIK_DONE);
    client = c.stream;
    ck_assert_int_eq(finish(&incoming, CHRONIK_PENDING), CHRONIK_DONE);
}

static void close_stream(struct chronik_stream *s)
{
    struct call c = {.stream = s};
    call(&c, do_close);
}

static void gone(void)
{
    struct call c = {0};
    struct waiting w;
    call(&c, do_listen_close);
    ck_assert_int_eq(finish(&w, table->exec_close(exec, done_of(&w))), CHRONIK_DONE);
    world_close();
}

START_TEST(a_large_vector_arrives_whole_and_in_order)
{
    char *out = malloc(BIG), *in = malloc(BIG);
    for (uint32_t i = 0; i < BIG; i++)
        out[i] = (char)(i * 7 + i / 251);
    struct call w = {.stream = client, .iov = {{out, 5}, {out + 5, 0}, {out + 5, BIG - 5}}, .n_iov = 3};
    struct call r = {.stream = server};
    call(&w, do_write);
    for (uint32_t at = 0; at < BIG;) {
        r.iov[0] = (struct chronik_iov){in + at, BIG - at};
        call(&r, do_read);
        int32_t n = call_result(&r);
        ck_assert_int_gt(n, 0);
        at += (uint32_t)n;
    }
    ck_assert_int_eq(call_result(&w), CHRONIK_DONE);
    ck_assert_int_eq(memcmp(in, out, BIG), 0);
    free(in);
    free(out);
    close_stream(client);
    r.iov[0] = (struct chronik_iov){address, 1};
    call(&r, do_read);
    ck_assert_int_eq(call_result(&r), CHRONIK_E_CLOSED);
    close_stream(server);
}
END_TEST

START_TEST(closing_cancels_a_pending_read_and_write_once)
{
    char *out = calloc(1, 64u << 20), in[8];
    struct call w = {.stream = client, .iov = {{out, 64u << 20}}, .n_iov = 1}, again = {.stream = client};
    struct call r = {.stream = client, .iov = {{in, sizeof in}}};
    call(&w, do_write);
    call(&r, do_read);
    again.iov[0] = (struct chronik_iov){in, sizeof in};
    call(&again, do_read);
    ck_assert_int_eq(again.rc, CHRONIK_E_BUSY);
    close_stream(client);
    ck_assert_int_eq(call_result(&r), CHRONIK_E_CANCELED);
    ck_assert_int_eq(call_result(&w), CHRONIK_E_CANCELED);
    close_stream(server);
    free(out);
}
END_TEST

START_TEST(a_closed_port_is_told_as_closed_and_a_bad_address_is_refused)
{
    struct call c = {0};
    call(&c, do_listen_close);
    call(&c, do_connect);
    ck_assert_int_eq(call_result(&c), CHRONIK_E_CLOSED);
    snprintf(address, sizeof address, "127.0.0.1");
    call(&c, do_connect);
    ck_assert_int_lt(call_result(&c), 0);
    void *l;
    struct chronik_listen_events ev = {.size = 8, .accepted = accepted};
    ck_assert_int_eq(table->listen(table->ctx, exec, "127.0.0.1:0", &ev, &l), CHRONIK_E_VERSION);
    ev.size = sizeof ev;
    ck_assert_int_lt(table->listen(table->ctx, exec, "nonsense", &ev, &l), 0);
    struct waiting w;
    ck_assert_int_eq(finish(&w, table->exec_close(exec, done_of(&w))), CHRONIK_DONE);
    world_close();
}
END_TEST

START_TEST(closing_an_executor_waits_for_its_streams)
{
    struct call c = {.stream = client};
    call(&c, do_close);
    c.stream = server;
    call(&c, do_close);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stream");
    TCase *t = tcase_create("connected");
    tcase_add_checked_fixture(t, connected, gone);
    tcase_add_test(t, a_large_vector_arrives_whole_and_in_order);
    tcase_add_test(t, closing_cancels_a_pending_read_and_write_once);
    tcase_add_test(t, closing_an_executor_waits_for_its_streams);
    suite_add_tcase(s, t);
    t = tcase_create("listening");
    tcase_add_checked_fixture(t, listening, NULL);
    tcase_add_test(t, a_closed_port_is_told_as_closed_and_a_bad_address_is_refused);
    suite_add_tcase(s, t);
    return run_suite(s);
}
