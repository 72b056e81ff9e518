#include <config.h>

/* test_net_sim.c: net in the virtual world: many clients with pipelined requests of random sizes, answers that come
 * late and in any order, from memory and from a file, connections that end at any moment. Whatever the seed: a client
 * sees the right answers in order until its connection ends, each request ends once, each `sent` comes once, and a stop
 * ends everything. */
#include "tests/sim/test_sim.h"

#include "net/net.h"

enum { CLIENTS = 6, REQUESTS = 60, WINDOW = 8, FILE_BYTES = 300000, ROOM = 400000 };

static struct sim_world *w;
static struct os *server, *machine; /* the clients' */
static struct net *net;
static uint16_t port;
static struct os_file *file;
static int opened, closed, answered, sent;

/* ---- the server's handler ---- */

struct later {
    struct later *next;
    struct net_req *req;
    struct os_exec *loop;
    struct chronik_task task;
    uint32_t n;
    uint8_t head[8];
};

static struct later *waiting;

static uint8_t file_byte(uint64_t i)
{
    return (uint8_t)(i * 13 + i / 509);
}

static void on_sent(void *copy)
{
    sent++;
    free(copy);
}

static void echo(struct net_req *r, const uint8_t *head, uint32_t n)
{
    uint8_t *copy = malloc(n);
    memset(copy, (int)(get_be32(head + 4) & 0x7f), n);
    memcpy(copy, head, 8);
    struct net_seg segs[3] = {{.p = copy, .n = 3}, {.p = copy + 3, .n = n - 3}};
    answered++;
    net_answer(r, segs, 2, on_sent, copy);
}

static void file_range(uint32_t number, uint64_t *off, uint32_t *n)
{
    *off = (uint64_t)number * 3701 % (FILE_BYTES / 2);
    *n = 1 + number * 2711 % 100000;
}

static void answer_file(struct net_req *r, const uint8_t *head)
{
    uint64_t off;
    uint32_t n;
    file_range(get_be32(head + 4), &off, &n);
    struct net_seg segs[2] = {{.p = "12345678", .n = 8}, {.file = file, .off = off, .n = n}};
    answered++;
    net_answer(r, segs, 2, on_sent, NULL);
}

static void unlink_later(struct later *l)
{
    struct later **at = &waiting;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
}

static void answer_late(void *arg)
{
    struct later *l = arg;
    unlink_later(l);
    echo(l->req, l->head, l->n);
    free(l);
}

static void on_request(void *arg, struct net_req *r)
{
    for (uint32_t i = 8; i < r->n; i++)
        CHECK(r->frame[i] == (r->frame[7] & 0x7f));
    if (r->frame[0] == 'e') {
        echo(r, r->frame, r->n);
    } else if (r->frame[0] == 'f') {
        answer_file(r, r->frame);
    } else if (r->frame[0] == 'd') {
        net_drop(r, "the test wants it");
    } else {
        struct later *l = calloc(1, sizeof *l);
        l->req = r;
        l->loop = r->loop;
        l->n = r->n;
        memcpy(l->head, r->frame, 8);
        l->task = (struct chronik_task){.fn = answer_late, .arg = l};
        l->next = waiting;
        waiting = l;
        r->user = l;
        if (r->n % 2)
            net_frame_release(r);
        os_exec_post_at(r->loop, &l->task, os_mono_ns(server) + (int64_t)sim_rand(w, 20 * SIM_MS));
    }
}

static void on_canceled(void *arg, struct net_req *r)
{
    struct later *l = r->user;
    if (sim_rand(w, 2))
        return; /* its timer ends it */
    ck_assert(os_exec_cancel(l->loop, &l->task));
    unlink_later(l);
    free(l);
    net_drop(r, "nobody waits");
}

static void on_opened(void *arg, struct net_conn *c)
{
    opened++;
}

static void on_closed(void *arg, struct net_conn *c)
{
    closed++;
}

static void make_file(void)
{
    uint8_t *p = malloc(FILE_BYTES);
    for (uint32_t i = 0; i < FILE_BYTES; i++)
        p[i] = file_byte(i);
    struct chronik_iov v = {p, FILE_BYTES};
    file = test_open(server, "segment");
    ck_assert_int_eq(os_pwritev(file, &v, 1, 0), CHRONIK_DONE);
    free(p);
}

static void start_server(void *arg)
{
    struct net_config cfg = {.loops = 2, .max_in_flight = 5, .max_queued = 1 << 20};
    struct net_handler h = {NULL, on_request, on_opened, on_closed, on_canceled, NULL};
    const struct net_listener_info *info;
    struct err e = {0};
    make_file();
    ck_assert_int_eq(net_open(server, &cfg, &h, &net, &e), CHRONIK_DONE);
    ck_assert_msg(net_listen(net, "PLAINTEXT", "s:0", &info, &e) == CHRONIK_DONE, "%s", e.text);
    port = info->port;
}

static void stop_server(void *arg)
{
    net_close(net);
    os_close(file);
}

/* ---- the clients ---- */

struct client {
    struct os_sock *sock;
    struct os_exec *loop;
    struct chronik_task task;
    bool connected, over;
    uint32_t limit;      /* requests until it leaves */
    uint32_t made, done; /* requests made up, answers seen */
    struct {
        char kind;
        uint32_t n;
    } asked[REQUESTS];
    uint8_t out[ROOM];
    size_t out_at, out_n;
    uint8_t in[ROOM];
    size_t in_n;
};

static struct client clients[CLIENTS];

static uint32_t number_of(const struct client *c, uint32_t i)
{
    return (uint32_t)(c - clients) * 1000 + i;
}

static void leave(struct client *c)
{
    sim_rand(w, 2) ? os_sock_close(c->sock) : os_sock_abort(c->sock);
    c->sock = NULL;
    c->over = true;
}

static void make_request(struct client *c)
{
    static const char kinds[] = "eeelllff";
    uint64_t dice = sim_rand(w, 100);
    uint32_t n = dice < 50   ? 8 + (uint32_t)sim_rand(w, 200)
                 : dice < 95 ? 8 + (uint32_t)sim_rand(w, 40000)
                             : 8 + (uint32_t)sim_rand(w, 300000);
    uint32_t number = number_of(c, c->made);
    c->asked[c->made].kind = sim_rand(w, 300) ? kinds[sim_rand(w, 8)] : 'd';
    c->asked[c->made].n = n;
    memset(c->out, (int)(number & 0x7f), 4 + n);
    put_be32(c->out, n);
    c->out[4] = (uint8_t)c->asked[c->made].kind;
    put_be32(c->out + 8, number);
    c->out_at = 0;
    c->out_n = 4 + n;
    c->made++;
}

/* Compares the answer to request i. */
static void check_answer(const struct client *c, uint32_t i, const uint8_t *p, uint32_t n)
{
    uint32_t number = number_of(c, i), len = c->asked[i].n;
    uint64_t off = 0;
    CHECK(c->asked[i].kind != 'd');
    bool ok = true;
    if (c->asked[i].kind == 'f') {
        file_range(number, &off, &len);
        len += 8;
        for (uint32_t k = 8; k < n; k++)
            ok = ok && p[k] == file_byte(off + k - 8);
    } else {
        ok = get_be32(p + 4) == number;
        for (uint32_t k = 8; k < n; k++)
            ok = ok && p[k] == (number & 0x7f);
    }
    CHECK(ok && n == len);
}

static bool take_answers(struct client *c)
{
    int64_t r = os_recv(c->sock, c->in + c->in_n, ROOM - c->in_n);
    if (r == CHRONIK_E_AGAIN)
        return true;
    if (r <= 0) {
        leave(c);
        return false;
    }
    c->in_n += (size_t)r;
    while (c->in_n >= 4 && c->in_n >= 4 + (size_t)get_be32(c->in)) {
        uint32_t n = get_be32(c->in);
        CHECK(c->done < c->made);
        check_answer(c, c->done++, c->in + 4, n);
        c->in_n -= 4 + (size_t)n;
        memmove(c->in, c->in + 4 + n, c->in_n);
    }
    if (c->done == c->limit) {
        leave(c);
        return false;
    }
    return true;
}

static bool send_requests(struct client *c)
{
    for (int k = 0; k < 4; k++) {
        if (c->out_at == c->out_n) {
            if (c->made == c->limit || c->made - c->done >= WINDOW)
                return true;
            make_request(c);
        }
        struct chronik_iov v = {c->out + c->out_at, c->out_n - c->out_at};
        int64_t r = os_send(c->sock, &v, 1, false);
        if (r == CHRONIK_E_AGAIN)
            return true;
        if (r < 0) {
            leave(c);
            return false;
        }
        c->out_at += (size_t)r;
    }
    return true;
}

static void client_event(void *arg, unsigned what)
{
    struct client *c = arg;
    if (!c->connected) {
        if (os_connect_result(c->sock) < 0) {
            leave(c);
            return;
        }
        c->connected = true;
    }
    if ((what & OS_CAN_READ) && !take_answers(c))
        return;
    if (!send_requests(c))
        return;
    bool more = c->out_at < c->out_n || (c->made < c->limit && c->made - c->done < WINDOW);
    os_watch(c->sock, c->loop, OS_CAN_READ | (more ? OS_CAN_WRITE : 0u), client_event, c);
}

static void start_client(void *arg)
{
    struct client *c = arg;
    char address[32];
    struct err e;
    snprintf(address, sizeof address, "s:%u", port);
    ck_assert_int_eq(os_connect(machine, address, &c->sock, &e), CHRONIK_DONE);
    os_watch(c->sock, c->loop, OS_CAN_READ | OS_CAN_WRITE, client_event, c);
}

static bool all_over(void *arg)
{
    for (int i = 0; i < CLIENTS; i++)
        if (!clients[i].over)
            return false;
    return true;
}

static void reset_all(void *arg)
{
    sim_net_reset(server, machine);
}

static void begin(uint64_t seed)
{
    struct os_exec *loop;
    w = sim_world_new(seed);
    server = sim_node(w, "s");
    machine = sim_node(w, "c");
    opened = closed = answered = sent = 0;
    waiting = NULL;
    memset(clients, 0, sizeof clients);
    if (seed % 3 == 1)
        sim_net_chunk(w, 1000);
    ck_assert(sim_call(server, start_server, NULL));
    ck_assert_int_eq(os_exec_open(machine, "clients", OS_EXEC_LOOP, &loop), CHRONIK_DONE);
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        c->loop = loop;
        c->limit = 1 + (uint32_t)sim_rand(w, REQUESTS);
        c->task = (struct chronik_task){.fn = start_client, .arg = c};
        os_exec_post(loop, &c->task);
    }
}

static void end(void)
{
    ck_assert(sim_call(server, stop_server, NULL));
    ck_assert_int_eq(opened, closed);
    ck_assert_int_eq(answered, sent);
    ck_assert_ptr_null(waiting);
    sim_world_free(w);
}

static void quiet(uint64_t seed)
{
    begin(seed);
    ck_assert_int_eq(sim_run(w, 60 * SIM_S, 0, all_over, NULL), SIM_TRUE);
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        bool dropped = false;
        for (uint32_t k = c->done; k < c->made; k++)
            dropped = dropped || c->asked[k].kind == 'd';
        ck_assert(dropped || c->done == c->limit);
    }
    end();
}

static void broken(uint64_t seed)
{
    begin(seed);
    sim_at(w, (int64_t)sim_rand(w, 300 * SIM_MS), reset_all, NULL);
    sim_run(w, 20 * SIM_S, 0, all_over, NULL);
    end();
}

static void stopped_early(uint64_t seed)
{
    begin(seed);
    sim_run_for(w, (int64_t)sim_rand(w, 100 * SIM_MS));
    if (seed % 2)
        sim_net_isolate(server, true);
    end();
}

START_TEST(k1_every_client_gets_its_answers_in_order)
{
    ck_assert_uint_eq(sim_seeds("k1_every_client_gets_its_answers_in_order", 0, 150, quiet), 0);
}
END_TEST

START_TEST(connections_that_break_leave_nothing_behind)
{
    ck_assert_uint_eq(sim_seeds("connections_that_break_leave_nothing_behind", 0, 150, broken), 0);
}
END_TEST

START_TEST(a_stop_at_any_moment_ends_every_request_once)
{
    ck_assert_uint_eq(sim_seeds("a_stop_at_any_moment_ends_every_request_once", 0, 150, stopped_early), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net in the virtual world");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, k1_every_client_gets_its_answers_in_order);
    tcase_add_test(t, connections_that_break_leave_nothing_behind);
    tcase_add_test(t, a_stop_at_any_moment_ends_every_request_once);
    suite_add_tcase(s, t);
    return run_suite(s);
}
