#include <config.h>

/* net_fixture.c: see net_fixture.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/net/net_fixture.h"

struct fx fx;

static void on_sent(void *copy)
{
    atomic_fetch_add(&fx.sent, 1);
    free(copy);
}

static void on_sent_borrowed(void *arg)
{
    (void)arg;
    atomic_fetch_add(&fx.sent, 1);
}

static void echo(struct net_req *r)
{
    uint32_t n = r->frame ? r->n : 8;
    uint8_t *copy = calloc(1, n);
    ck_assert_ptr_nonnull(copy);
    if (r->frame)
        memcpy(copy, r->frame, n);
    struct net_seg segs[2] = {{.p = copy, .n = n / 2}, {.p = copy + n / 2, .n = n - n / 2}};
    atomic_fetch_add(&fx.answers, 1);
    net_answer(r, segs, 2, on_sent, copy);
}

static void park(struct net_req *r)
{
    os_mutex_lock(&fx.lock);
    ck_assert_int_lt(fx.n_parked, FX_PARKED);
    fx.parked[fx.n_parked++] = r;
    os_mutex_unlock(&fx.lock);
}

static void on_request(void *arg, struct net_req *r)
{
    (void)arg;
    ck_assert(os_exec_here(r->loop));
    atomic_fetch_add(&fx.dropped, (int)r->dropped);
    struct net_seg seg = {.file = fx.file, .off = fx.range_off, .n = fx.range_n};
    switch (r->frame[0]) {
    case 'e':
        echo(r);
        break;
    case 'l':
        net_frame_release(r);
        park(r);
        break;
    case 'p':
        park(r);
        break;
    case 'n':
        net_no_answer(r);
        break;
    case 'd':
        net_drop(r, "the test wants it");
        break;
    case 'f':
        net_answer(r, &seg, 1, on_sent_borrowed, NULL);
        break;
    case 'b':
        seg = (struct net_seg){.p = fx.big, .n = FX_BIG};
        net_answer(r, &seg, 1, on_sent_borrowed, NULL);
        break;
    case 'm':
        net_mute(r->conn, os_mono_ns(fx.os) + 100 * 1000000);
        echo(r);
        break;
    default:
        net_drop(r, "unknown kind");
    }
    atomic_fetch_add(&fx.requests, 1);
}

static void on_opened(void *arg, struct net_conn *c)
{
    (void)arg;
    net_conn_set_user(c, &fx);
    atomic_fetch_add(&fx.opened, 1);
}

static void on_closed(void *arg, struct net_conn *c)
{
    (void)arg;
    ck_assert_ptr_eq(net_conn_user(c), &fx);
    atomic_fetch_add(&fx.closed, 1);
}

static void on_canceled(void *arg, struct net_req *r)
{
    (void)arg;
    os_mutex_lock(&fx.lock);
    for (int i = 0; i < fx.n_parked; i++)
        if (fx.parked[i] == r)
            fx.parked[i--] = fx.parked[--fx.n_parked];
    os_mutex_unlock(&fx.lock);
    net_drop(r, "its peer is gone");
    atomic_fetch_add(&fx.canceled, 1);
}

static void release(void *arg)
{
    struct net_req *list[FX_PARKED];
    (void)arg;
    os_mutex_lock(&fx.lock);
    int n = fx.n_parked;
    memcpy(list, fx.parked, sizeof list);
    fx.n_parked = 0;
    os_mutex_unlock(&fx.lock);
    for (int i = 0; i < n; i++)
        echo(list[fx.release_backwards ? n - 1 - i : i]);
    os_flag_set(fx.os, &fx.released);
}

static void run_on_loop(void (*fn)(void *arg))
{
    fx.released.set = 0;
    fx.release_task.fn = fn;
    os_exec_post(net_loop(fx.net, 0), &fx.release_task);
    ck_assert(os_flag_wait(fx.os, &fx.released, 2000000000));
}

void fx_release(bool backwards)
{
    fx.release_backwards = backwards;
    run_on_loop(release);
}

static void read_pool(void *arg)
{
    (void)arg;
    fx.pool_idle = fx.net->loops[0].pool.idle;
    os_flag_set(fx.os, &fx.released);
}

uint64_t fx_pool_idle(void)
{
    run_on_loop(read_pool);
    return fx.pool_idle;
}

static void sink(void *arg, enum log_level lvl, const char *line)
{
    (void)arg;
    if (lvl == LOG_INFO) {
        snprintf(fx.told, sizeof fx.told, "%s", line);
        atomic_fetch_add(&fx.told_lines, 1);
    }
    if (lvl < LOG_WARN)
        return;
    size_t used = strlen(fx.log);
    snprintf(fx.log + used, sizeof fx.log - used, "%s\n", line);
    atomic_fetch_add(&fx.log_lines, 1);
}

void fx_open(const struct net_config *cfg)
{
    static const struct net_config none;
    struct err e = {0};
    const struct net_listener_info *info;
    struct net_handler h = {NULL, on_request, on_opened, on_closed, on_canceled, NULL};
    memset(&fx, 0, sizeof fx);
    log_set_sink(sink, NULL);
    os_mutex_init(&fx.lock, LOCK_LOG - 1);
    fx.big = calloc(1, FX_BIG);
    fx.os = os_real_new(2);
    ck_assert_ptr_nonnull(fx.os);
    ck_assert_int_eq(net_open(fx.os, cfg ? cfg : &none, &h, &fx.net, &e), CHRONIK_DONE);
    ck_assert_msg(net_listen(fx.net, "PLAINTEXT", "127.0.0.1:0", &info, &e) == CHRONIK_DONE, "%s", e.text);
    fx.port = info->port;
    ck_assert_str_eq(info->name, "PLAINTEXT");
}

void fx_close(void)
{
    net_close(fx.net);
    ck_assert_int_eq(fx.opened, fx.closed);
    if (fx.file)
        os_close(fx.file);
    os_real_free(fx.os);
    log_set_sink(NULL, NULL);
    os_mutex_destroy(&fx.lock);
    free(fx.big);
}

void fx_wait(_Atomic int *v, int n)
{
    struct timespec ms = {.tv_nsec = 1000000};
    for (int i = 0; i < 2000 && atomic_load(v) < n; i++)
        nanosleep(&ms, NULL);
    ck_assert_int_ge(atomic_load(v), n);
}

void fx_connect_with(int fd)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(fx.port)};
    struct timeval limit = {.tv_sec = 5};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
}

int fx_connect(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(fd, 0);
    fx_connect_with(fd);
    return fd;
}

void fx_send(int fd, const void *p, size_t n)
{
    const uint8_t *at = p;
    while (n > 0) {
        ssize_t k = send(fd, at, n, MSG_NOSIGNAL);
        ck_assert_msg(k > 0, "send: %s", strerror(errno));
        at += k;
        n -= (size_t)k;
    }
}

void fx_request(int fd, char kind, uint32_t number, uint32_t n)
{
    uint8_t *frame = malloc(4 + (size_t)n);
    ck_assert_ptr_nonnull(frame);
    memset(frame, (int)(number & 0x7f), 4 + (size_t)n);
    put_be32(frame, n);
    frame[4] = (uint8_t)kind;
    put_be32(frame + 8, number);
    fx_send(fd, frame, 4 + (size_t)n);
    free(frame);
}

static bool read_all(int fd, void *p, size_t n)
{
    uint8_t *at = p;
    while (n > 0) {
        ssize_t k = recv(fd, at, n, 0);
        ck_assert_msg(k >= 0 || errno == ECONNRESET, "recv: %s", strerror(errno));
        if (k <= 0)
            return false;
        at += k;
        n -= (size_t)k;
    }
    return true;
}

int fx_answer(int fd, void *p, size_t cap)
{
    uint8_t head[4];
    if (!read_all(fd, head, 4))
        return -1;
    uint32_t n = get_be32(head);
    ck_assert_uint_le(n, cap);
    return read_all(fd, p, n) ? (int)n : -1;
}

void fx_expect(int fd, uint32_t number, uint32_t n)
{
    uint8_t *p = malloc(n);
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(fx_answer(fd, p, n), (int)n);
    ck_assert_uint_eq(get_be32(p + 4), number);
    for (uint32_t i = 8; i < n; i++)
        FX_MUST(p[i] == (number & 0x7f));
    free(p);
}

bool fx_is_closed(int fd)
{
    char rest[4096];
    struct timeval limit = {.tv_sec = 2};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    for (int i = 0; i < 100000; i++) {
        ssize_t n = recv(fd, rest, sizeof rest, 0);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            return true;
        if (n < 0)
            return false;
    }
    return false;
}
