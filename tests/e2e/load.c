/* load.c: see load.h. Connections are non-blocking and come back after a pause; a frame that was half received when the
 * broker died is forgotten with its connection. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LATE_MS = 60000 };

static const struct load_ops *ops;
static bool stopping;
static int n_complaints;

void complain(const char *fmt, ...)
{
    if (n_complaints++ >= 20)
        return;
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}

int complaints(void)
{
    return n_complaints;
}

bool load_stopping(void)
{
    return stopping;
}

int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct load_address address(const char *text)
{
    const char *colon = strrchr(text, ':');
    char host[64] = "127.0.0.1";
    if (colon && (size_t)(colon - text) < sizeof host)
        snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    struct in_addr ip;
    int port = atoi(colon ? colon + 1 : text);
    if (inet_pton(AF_INET, host, &ip) != 1 || port <= 0 || port > 65535) {
        fprintf(stderr, "%s is no address: HOST:PORT is wanted\n", text);
        exit(2);
    }
    return (struct load_address){ntohl(ip.s_addr), (uint16_t)port};
}

void load_targets(const char *text, struct load_targets *out)
{
    char *copy = strdup(text), *rest = copy, *one;
    CHECK(copy);
    out->n = 0;
    while ((one = strsep(&rest, ",")) && out->n < ARRAY_LEN(out->v))
        out->v[out->n++] = address(one);
    free(copy);
}

static struct sockaddr_in socket_address(struct load_address to)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(to.port), .sin_addr.s_addr = htonl(to.ip)};
}

/* ---- the connection's life ---- */

void load_init(struct load_conn *c, const struct load_targets *t, uint32_t first)
{
    *c = (struct load_conn){
        .targets = t, .at = first % t->n, .fd = -1, .in = malloc(LOAD_ROOM), .out = malloc(LOAD_ROOM)};
    CHECK(c->in && c->out);
}

void load_free(struct load_conn *c)
{
    if (c->fd >= 0)
        close(c->fd);
    free(c->in);
    free(c->out);
}

void load_drop(struct load_conn *c)
{
    bool was = c->state == LOAD_UP;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->state = LOAD_DOWN;
    c->retry_at = now_ms() + LOAD_BACKOFF_MS;
    c->in_used = c->out_used = c->out_sent = 0;
    c->at = (c->at + 1) % c->targets->n;
    if (was)
        ops->down(c);
}

static void start_connecting(struct load_conn *c)
{
    struct sockaddr_in to = socket_address(c->targets->v[c->at]);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(c->fd >= 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    c->state = LOAD_CONNECTING;
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
        load_drop(c);
}

static void connected(struct load_conn *c)
{
    int error = 0;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof error});
    if (error) {
        load_drop(c);
        return;
    }
    c->state = LOAD_UP;
    ops->up(c);
}

static void receive(struct load_conn *c)
{
    ssize_t got = recv(c->fd, c->in + c->in_used, LOAD_ROOM - c->in_used, 0);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            load_drop(c);
        return;
    }
    c->in_used += (size_t)got;
    size_t at = 0;
    while (c->state == LOAD_UP && c->in_used - at >= 4) {
        size_t n = get_be32(c->in + at);
        if (n < 4 || n > LOAD_ROOM - 4) {
            complain("an answer claims %zu bytes", n);
            load_drop(c);
            return;
        }
        if (c->in_used - at - 4 < n)
            break;
        ops->answer(c, (int32_t)get_be32(c->in + at + 4), c->in + at + 8, n - 4);
        at += 4 + n;
    }
    if (c->state != LOAD_UP)
        return;
    memmove(c->in, c->in + at, c->in_used - at);
    c->in_used -= at;
}

static void transmit(struct load_conn *c)
{
    ssize_t sent = send(c->fd, c->out + c->out_sent, c->out_used - c->out_sent, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR)
            load_drop(c);
        return;
    }
    c->out_sent += (size_t)sent;
    if (c->out_sent == c->out_used)
        c->out_sent = c->out_used = 0;
}

static void step(struct load_conn *c, short events)
{
    if (c->state == LOAD_CONNECTING && (events & (POLLOUT | POLLERR | POLLHUP)))
        connected(c);
    else if (c->state == LOAD_UP && (events & (POLLIN | POLLERR | POLLHUP)))
        receive(c);
    if (c->state == LOAD_UP && c->out_sent == 0)
        ops->feed(c);
    if (c->state == LOAD_UP && c->out_used > c->out_sent)
        transmit(c);
}

/* ---- the loop ---- */

struct crowd {
    uint8_t *clients;
    size_t stride;
    uint32_t n;
    struct pollfd *fds;
};

static struct load_conn *client(const struct crowd *w, uint32_t i)
{
    return (void *)(w->clients + i * w->stride);
}

static void report_progress(const struct crowd *w)
{
    char bytes[64];
    ssize_t got = read(STDIN_FILENO, bytes, sizeof bytes);
    uint64_t sum = 0;
    if (got <= 0)
        stopping = true;
    for (uint32_t i = 0; i < w->n; i++)
        sum += ops->count(client(w, i));
    for (; got > 0; got--)
        printf("%llu\n", (unsigned long long)sum);
    fflush(stdout);
}

static bool all_done(const struct crowd *w)
{
    for (uint32_t i = 0; i < w->n; i++)
        if (!ops->done(client(w, i)))
            return false;
    return true;
}

static void turn(struct crowd *w)
{
    int64_t now = now_ms();
    for (uint32_t i = 0; i < w->n; i++) {
        struct load_conn *c = client(w, i);
        bool rests = stopping && ops->done(c);
        if (c->state == LOAD_DOWN && now >= c->retry_at && !rests)
            start_connecting(c);
        bool wants_out = c->state == LOAD_CONNECTING || c->out_used > c->out_sent;
        w->fds[i] = (struct pollfd){.fd = rests ? -1 : c->fd, .events = (short)(POLLIN | (wants_out ? POLLOUT : 0))};
    }
    w->fds[w->n] = (struct pollfd){.fd = stopping ? -1 : STDIN_FILENO, .events = POLLIN};
    poll(w->fds, w->n + 1, 10);
    for (uint32_t i = 0; i < w->n; i++)
        if (w->fds[i].fd >= 0)
            step(client(w, i), w->fds[i].revents);
    if (w->fds[w->n].revents)
        report_progress(w);
}

void load_run(const struct load_ops *o, void *clients, size_t stride, uint32_t n)
{
    struct crowd w = {.clients = clients, .stride = stride, .n = n, .fds = calloc(n + 1, sizeof *w.fds)};
    int64_t deadline = 0;
    CHECK(w.fds);
    ops = o;
    while (!stopping || !all_done(&w)) {
        if (stopping && !deadline)
            deadline = now_ms() + LATE_MS;
        if (deadline && now_ms() > deadline)
            break;
        turn(&w);
    }
    free(w.fds);
}

/* ---- one question at a time ---- */

int load_connect(struct load_address where)
{
    struct sockaddr_in to = socket_address(where);
    struct timeval patience = {.tv_sec = 30};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool read_full(int fd, uint8_t *p, size_t n)
{
    while (n) {
        ssize_t got = recv(fd, p, n, 0);
        if (got <= 0)
            return false;
        p += got;
        n -= (size_t)got;
    }
    return true;
}

int64_t load_ask(int fd, const uint8_t *frame, size_t n, uint8_t *answer, size_t room)
{
    uint8_t head[4];
    if (send(fd, frame, n, MSG_NOSIGNAL) != (ssize_t)n || !read_full(fd, head, 4) || get_be32(head) > room ||
        !read_full(fd, answer, get_be32(head)))
        return -1;
    return get_be32(head);
}

/* ---- frames ---- */

uint8_t *frame_grow(struct frame *f, size_t n)
{
    CHECK(f->used + n <= f->room);
    f->used += n;
    return f->p + f->used - n;
}

void put_i8(struct frame *f, int8_t v)
{
    *frame_grow(f, 1) = (uint8_t)v;
}

void put_i16(struct frame *f, int16_t v)
{
    put_be16(frame_grow(f, 2), (uint16_t)v);
}

void put_i32(struct frame *f, int32_t v)
{
    put_be32(frame_grow(f, 4), (uint32_t)v);
}

void put_i64(struct frame *f, int64_t v)
{
    put_be64(frame_grow(f, 8), (uint64_t)v);
}

void put_string(struct frame *f, const char *s)
{
    put_i16(f, (int16_t)strlen(s));
    memcpy(frame_grow(f, strlen(s)), s, strlen(s));
}

void put_uvarint(struct frame *f, uint32_t v)
{
    for (; v >= 0x80; v >>= 7)
        put_i8(f, (int8_t)(v | 0x80));
    put_i8(f, (int8_t)v);
}

void put_compact(struct frame *f, const char *s)
{
    put_uvarint(f, (uint32_t)strlen(s) + 1);
    memcpy(frame_grow(f, strlen(s)), s, strlen(s));
}

void frame_begin(struct frame *f, uint8_t *room, size_t n, int16_t api, int16_t version, int32_t correlation)
{
    *f = (struct frame){.p = room, .room = n};
    put_i32(f, 0);
    put_i16(f, api);
    put_i16(f, version);
    put_i32(f, correlation);
    put_string(f, "load");
}

void frame_end(struct frame *f)
{
    put_be32(f->p, (uint32_t)(f->used - 4));
}

void frame_queue(struct load_conn *c, struct frame *f)
{
    frame_end(f);
    CHECK(c->out_used + f->used <= LOAD_ROOM);
    memcpy(c->out + c->out_used, f->p, f->used);
    c->out_used += f->used;
}
