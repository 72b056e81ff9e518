/* test_sim_host.c: the host services of modules over the virtual world: files, executors, timers and streams of two
 * nodes, one of which may die; the same seed gives the same run. */
#include "test_sim.h"

#include "plugin/host.h"

enum { ROUNDS = 20, SIZE = 3000 };

static struct sim_world *w;

static struct side {
    struct os *os;
    struct plugin_host *host;
    const struct chronik_host *t;
    struct chronik_exec *exec;
    struct chronik_stream *stream;
    struct chronik_file *file;
    struct chronik_file_op op;
    struct chronik_iov iov;
    void *listener;
    uint8_t buf[SIZE];
    uint64_t got, done;
    int32_t connected, ended;
    struct os_flag closed;
} server, client;

static int32_t no_i64(void *arg, const char *key, int64_t *out)
{
    return CHRONIK_E_NOTFOUND;
}

static int32_t no_str(void *arg, const char *key, const char **out)
{
    return CHRONIK_E_NOTFOUND;
}

static void fatal(void *arg, int32_t code, const char *text)
{
    os_exit(((struct side *)arg)->os, code);
}

static void dir_failed(void *arg, uint32_t dir, const char *text)
{
    ck_abort_msg("no directory fails here");
}

static void side_open(struct side *s, const char *name)
{
    static const struct plugin_dir_config dir = {.path = "/data", .online = true};
    memset(s, 0, sizeof *s);
    s->os = sim_node(w, name);
    ck_assert_int_eq(os_mkdir(s->os, "/data"), CHRONIK_DONE);
    struct plugin_host_config c = {.os = s->os,
                                   .module = name,
                                   .settings = {NULL, no_i64, no_str},
                                   .dirs = &dir,
                                   .n_dirs = 1,
                                   .arg = s,
                                   .dir_failed = dir_failed,
                                   .fatal = fatal};
    ck_assert_int_eq(plugin_host_new(&c, &s->host), CHRONIK_DONE);
    s->t = plugin_host_table(s->host);
    ck_assert_int_eq(s->t->exec_open(s->t->ctx, name, 0, &s->exec), CHRONIK_DONE);
}

static struct chronik_done then(void (*fn)(void *arg, int32_t result))
{
    return (struct chronik_done){fn, NULL};
}

/* ---- the server writes and syncs what it hears, then answers with as much ---- */

static void server_reads(void);

static void server_answered(void *arg, int32_t result)
{
    if (result > 0)
        server_reads();
    else
        server.ended = result;
}

static void server_synced(void *arg, int32_t result)
{
    ck_assert_int_eq(result, CHRONIK_DONE);
    server.done += server.iov.n;
    int32_t r = server.t->stream_write(server.stream, &server.iov, 1, then(server_answered));
    if (r != CHRONIK_PENDING)
        server_answered(NULL, r);
}

static void server_heard(void *arg, int32_t result)
{
    if (result < 0) {
        server.ended = result;
        return;
    }
    server.iov = (struct chronik_iov){server.buf, (uint64_t)result};
    server.op = (struct chronik_file_op){.size = sizeof server.op,
                                         .flags = CHRONIK_OP_WRITE | CHRONIK_OP_SYNC,
                                         .file = server.file,
                                         .iov = &server.iov,
                                         .n_iov = 1,
                                         .offset = server.done,
                                         .done = then(server_synced)};
    server.t->file_submit(server.exec, &server.op);
}

static void server_reads(void)
{
    int32_t r = server.t->stream_read(server.stream, server.buf, SIZE, then(server_heard));
    if (r != CHRONIK_PENDING)
        server_heard(NULL, r);
}

static void server_accepted(void *arg, struct chronik_stream *s, const char *peer)
{
    ck_assert_mem_eq(peer, "client:", 7);
    server.stream = s;
    server_reads();
}

/* ---- the client sends ROUNDS blocks and counts the answers ---- */

static void client_reads(void);

static void client_sent(void *arg, int32_t result)
{
    if (result < 0)
        client.ended = result;
}

static void client_sends(void)
{
    memset(client.buf, 'a' + (int)(client.done % 26), SIZE);
    client.iov = (struct chronik_iov){client.buf, SIZE};
    int32_t r = client.t->stream_write(client.stream, &client.iov, 1, then(client_sent));
    if (r != CHRONIK_PENDING)
        client_sent(NULL, r);
}

static uint8_t answer[SIZE];

static void client_heard(void *arg, int32_t result)
{
    if (result < 0) {
        client.ended = result;
        return;
    }
    for (int32_t i = 0; i < result; i++)
        if (answer[i] != 'a' + client.done % 26)
            ck_abort_msg("byte %d of answer %llu is wrong", i, (unsigned long long)client.done);
    client.got += (uint64_t)result;
    if (client.got == SIZE) {
        client.got = 0;
        if (++client.done == ROUNDS)
            return;
        client_sends();
    }
    client_reads();
}

static void client_reads(void)
{
    int32_t r = client.t->stream_read(client.stream, answer, SIZE - client.got, then(client_heard));
    if (r != CHRONIK_PENDING)
        client_heard(NULL, r);
}

static void client_connected(void *arg, int32_t result)
{
    client.connected = result;
    if (result < 0)
        return;
    client_sends();
    client_reads();
}

static void play(uint64_t seed)
{
    w = sim_world_new(seed);
    side_open(&server, "server");
    side_open(&client, "client");
    struct chronik_listen_events ev = {.size = sizeof ev, .accepted = server_accepted};
    uint16_t port;
    ck_assert_int_eq(
        server.t->file_open(server.t->ctx, 0, "heard", CHRONIK_FILE_WRITE | CHRONIK_FILE_CREATE, &server.file),
        CHRONIK_DONE);
    ck_assert_int_eq(server.t->listen(server.t->ctx, server.exec, "server:0", &ev, &server.listener), CHRONIK_DONE);
    ck_assert_int_eq(server.t->listen_port(server.listener, &port), CHRONIK_DONE);
    char address[32];
    snprintf(address, sizeof address, "server:%u", port);
    ck_assert_int_eq(
        client.t->connect(client.t->ctx, client.exec, address, SIM_S, &client.stream, then(client_connected)),
        CHRONIK_PENDING);
}

/* ---- the end ---- */

static void hang_up(void *arg)
{
    struct side *s = arg;
    s->t->stream_close(s->stream);
    if (s->listener)
        s->t->listen_close(s->listener);
}

static void exec_closed(void *arg, int32_t result)
{
    ck_assert_int_eq(result, CHRONIK_DONE);
    os_flag_set(((struct side *)arg)->os, &((struct side *)arg)->closed);
}

static void side_close(struct side *s)
{
    struct chronik_task t = {.fn = hang_up, .arg = s};
    s->t->exec_post(s->exec, &t);
    sim_run_for(w, SIM_S);
    if (s->file)
        s->t->file_close(s->file);
    ck_assert_int_eq(s->t->exec_close(s->exec, (struct chronik_done){exec_closed, s}), CHRONIK_PENDING);
    ck_assert(os_flag_wait(s->os, &s->closed, SIM_S));
    plugin_host_free(s->host);
}

static bool all_answered(void *arg)
{
    return client.done == ROUNDS;
}

START_TEST(modules_on_two_nodes_talk_and_write_in_virtual_time)
{
    uint64_t hash = 0;
    for (int again = 0; again < 2; again++) {
        play(11);
        ck_assert_int_eq(sim_run(w, 60 * SIM_S, 0, all_answered, NULL), SIM_TRUE);
        ck_assert_uint_eq(server.done, ROUNDS * SIZE);
        ck_assert(again == 0 || sim_hash(w) == hash);
        hash = sim_hash(w);
        side_close(&client);
        side_close(&server);
        sim_world_free(w);
    }
}
END_TEST

static void dies(uint64_t seed)
{
    play(seed);
    uint64_t k = sim_io_count(server.os) + 1 + sim_rand(w, 30);
    if (seed % 2)
        sim_cut_at(server.os, k);
    else
        sim_kill_at(server.os, k);
    sim_run(w, 5 * SIM_S, 0, all_answered, NULL);
    ck_assert(!sim_up(server.os));
    if (seed % 2 == 0)
        ck_assert_int_eq(client.ended, CHRONIK_E_CLOSED);
    uint64_t answered = client.done * SIZE + client.got;
    sim_cut_at(server.os, 0);
    sim_kill_at(server.os, 0);
    sim_restart(server.os);
    struct os_stat st = {0};
    int32_t r = os_lookup(server.os, "/data/heard", &st);
    ck_assert(seed % 2 || r == CHRONIK_DONE); /* its directory was never synced */
    ck_assert(r < 0 || st.size >= answered);
    sim_world_free(w);
}

START_TEST(a_module_that_dies_at_any_operation_keeps_what_it_answered)
{
    ck_assert_uint_eq(sim_seeds("host", 0, 400, dies), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sim host");
    TCase *t = tcase_create("host");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, modules_on_two_nodes_talk_and_write_in_virtual_time);
    tcase_add_test(t, a_module_that_dies_at_any_operation_keeps_what_it_answered);
    suite_add_tcase(s, t);
    return run_suite(s);
}
