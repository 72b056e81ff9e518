/* kill_load.c: load for a broker that is killed again and again. N connections write numbered records with acks=all:
 * half are idempotent producers that send the same batches again after each reconnect, half never repeat anything.
 * Every acknowledgement is remembered with its offset. When standard input ends it stops writing, waits for the answers
 * under way and hands over to kill_judge.c. One thread, one poll loop, non-blocking sockets.
 *
 * usage: kill_load PORT TOPIC PARTITIONS CONNECTIONS   (a byte on standard input asks for the count so far) */
#include "kill_load.h"

#include "base/base.h"

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

enum { IN_FLIGHT = 4, FRAME_MAX = 1 << 16, BACKOFF_MS = 25 };
enum state { DOWN, CONNECTING, INTRODUCING, READY };

struct batch {
    uint32_t first, count;
    int32_t correlation; /* of the request in flight; 0: not sent on this connection */
};

struct connection {
    struct account account;
    int fd;
    enum state state;
    bool idempotent;
    int64_t producer_id, retry_at;
    int16_t producer_epoch;
    int32_t correlation;
    struct batch batches[IN_FLIGHT]; /* oldest first */
    int n_batches;
    uint8_t *in, *out;
    size_t in_used, out_used, out_sent;
};

static const char *topic;
static uint16_t port;
static bool stopping;
static int complaints;

void complain(const char *fmt, ...)
{
    if (complaints++ >= 20)
        return;
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}

int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the connection's life ---- */

static void drop_batches(struct connection *c, int from, int n)
{
    memmove(&c->batches[from], &c->batches[from + n], (size_t)(c->n_batches - from - n) * sizeof c->batches[0]);
    c->n_batches -= n;
}

/* What was in flight has no answer: an idempotent producer sends it again, the others never learn. */
static void close_connection(struct connection *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->state = DOWN;
    c->retry_at = now_ms() + BACKOFF_MS;
    c->in_used = c->out_used = c->out_sent = 0;
    for (int i = 0; i < c->n_batches; i++)
        c->batches[i].correlation = 0;
    if (!c->idempotent) {
        for (int i = 0; i < c->n_batches; i++)
            c->account.unknown += c->batches[i].count;
        c->n_batches = 0;
    }
}

static void start_connecting(struct connection *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(c->fd >= 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    c->state = CONNECTING;
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
        close_connection(c);
}

static void queue_frame(struct connection *c, struct frame *f)
{
    frame_end(f);
    CHECK(c->out_used + f->used <= FRAME_MAX);
    memcpy(c->out + c->out_used, f->p, f->used);
    c->out_used += f->used;
}

static void introduce(struct connection *c)
{
    uint8_t room[256];
    struct frame f;
    c->state = READY;
    if (!c->idempotent || c->producer_id >= 0)
        return;
    c->state = INTRODUCING;
    frame_begin(&f, room, sizeof room, 22, 1, ++c->correlation);
    put_i16(&f, -1); /* no transactional id */
    put_i32(&f, 60000);
    queue_frame(c, &f);
}

static void send_batch(struct connection *c, struct batch *b)
{
    static uint8_t room[FRAME_MAX];
    struct frame f;
    b->correlation = ++c->correlation;
    frame_begin(&f, room, sizeof room, 0, 7, b->correlation);
    put_i16(&f, -1); /* no transactional id */
    put_i16(&f, -1); /* acks=all */
    put_i32(&f, 30000);
    put_i32(&f, 1);
    put_string(&f, topic);
    put_i32(&f, 1);
    put_i32(&f, c->account.partition);
    size_t length_at = f.used;
    put_i32(&f, 0);
    put_batch(&f, &c->account, b->first, b->count, c->idempotent ? c->producer_id : -1, c->producer_epoch);
    put_be32(f.p + length_at, (uint32_t)(f.used - length_at - 4));
    queue_frame(c, &f);
}

/* Sends what is due: batches from before a reconnect first, then new ones. */
static void feed(struct connection *c)
{
    if (c->state != READY)
        return;
    for (int i = 0; i < c->n_batches; i++)
        if (!c->batches[i].correlation && c->out_used < FRAME_MAX / 2)
            send_batch(c, &c->batches[i]);
        else if (!c->batches[i].correlation)
            return;
    while (!stopping && c->n_batches < IN_FLIGHT && c->out_used < FRAME_MAX / 2 &&
           c->account.sent + BATCH_MAX <= MAX_RECORDS) {
        struct batch *b = &c->batches[c->n_batches++];
        *b = (struct batch){.first = c->account.sent, .count = 1 + c->account.sent % BATCH_MAX};
        for (uint32_t i = 0; i < b->count; i++)
            c->account.offset[b->first + i] = UNKNOWN;
        c->account.sent += b->count;
        send_batch(c, b);
    }
}

/* ---- answers ---- */

static void acknowledge(struct connection *c, int index, int64_t base)
{
    struct batch *b = &c->batches[index];
    if (index != 0)
        complain("connection %u: an answer overtook an earlier one", c->account.id);
    for (uint32_t i = 0; i < b->count; i++)
        c->account.offset[b->first + i] = base < 0 ? SOMEWHERE : base + i;
    c->account.acknowledged += b->count;
    drop_batches(c, index, 1);
}

static bool retriable(int16_t error)
{
    static const int16_t codes[] = {3, 5, 6, 7, 13, 14, 15, 16, 19, 20, 56, 74, 75, 100, 103};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (codes[i] == error)
            return true;
    return false;
}

static void take_produce_answer(struct connection *c, const uint8_t *p, size_t n, int32_t correlation)
{
    size_t at = 4 + 2 + strlen(topic) + 4 + 4; /* topics, name, partitions, index */
    if (n < at + 10) {
        complain("connection %u: an answer of %zu bytes", c->account.id, n);
        close_connection(c);
        return;
    }
    int16_t error = (int16_t)get_be16(p + at);
    int index = 0;
    while (index < c->n_batches && c->batches[index].correlation != correlation)
        index++;
    if (index == c->n_batches) {
        complain("connection %u: an answer to a request that was never sent", c->account.id);
    } else if (error == 0 || (error == 46 && c->idempotent)) {
        acknowledge(c, index, error ? -1 : (int64_t)get_be64(p + at + 2));
    } else if (retriable(error)) {
        close_connection(c); /* try again on a fresh one: keeps the order of batches */
    } else {
        complain("connection %u: records %u to %u refused with error %d", c->account.id, c->batches[index].first,
                 c->batches[index].first + c->batches[index].count - 1, error);
        drop_batches(c, index, 1);
    }
}

static void take_answer(struct connection *c, const uint8_t *p, size_t n)
{
    int32_t correlation = n >= 4 ? (int32_t)get_be32(p) : -1;
    if (c->state == READY) {
        take_produce_answer(c, p + 4, n - 4, correlation);
        return;
    }
    int16_t error = n >= 20 ? (int16_t)get_be16(p + 8) : -1;
    if (error == 0) {
        c->producer_id = (int64_t)get_be64(p + 10);
        c->producer_epoch = (int16_t)get_be16(p + 18);
        c->state = READY;
    } else {
        if (!retriable(error))
            complain("connection %u: no producer id: error %d", c->account.id, error);
        close_connection(c);
    }
}

static void receive(struct connection *c)
{
    ssize_t got = recv(c->fd, c->in + c->in_used, FRAME_MAX - c->in_used, 0);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            close_connection(c);
        return;
    }
    c->in_used += (size_t)got;
    size_t at = 0;
    while (c->state >= INTRODUCING && c->in_used - at >= 4) {
        size_t n = get_be32(c->in + at);
        if (n > FRAME_MAX - 4) {
            complain("connection %u: an answer claims %zu bytes", c->account.id, n);
            close_connection(c);
            return;
        }
        if (c->in_used - at - 4 < n)
            break;
        take_answer(c, c->in + at + 4, n);
        at += 4 + n;
    }
    if (c->state >= INTRODUCING) {
        memmove(c->in, c->in + at, c->in_used - at);
        c->in_used -= at;
    }
}

static void transmit(struct connection *c)
{
    ssize_t sent = send(c->fd, c->out + c->out_sent, c->out_used - c->out_sent, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR)
            close_connection(c);
        return;
    }
    c->out_sent += (size_t)sent;
    if (c->out_sent == c->out_used)
        c->out_sent = c->out_used = 0;
}

static void step(struct connection *c, short events)
{
    if (c->state == CONNECTING && (events & (POLLOUT | POLLERR | POLLHUP))) {
        int error = 0;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof error});
        if (error)
            close_connection(c);
        else
            introduce(c);
    } else if (c->state >= INTRODUCING && (events & (POLLIN | POLLERR | POLLHUP))) {
        receive(c);
    }
    if (c->out_sent == 0)
        feed(c);
    if (c->state >= INTRODUCING && c->out_used > c->out_sent)
        transmit(c);
}

/* ---- the loop ---- */

static void report_progress(const struct connection *all, uint32_t n)
{
    char bytes[64];
    ssize_t got = read(STDIN_FILENO, bytes, sizeof bytes);
    if (got <= 0)
        stopping = true;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += all[i].account.acknowledged;
    for (; got > 0; got--)
        printf("%llu\n", (unsigned long long)sum);
    fflush(stdout);
}

static bool all_answered(const struct connection *all, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (all[i].n_batches)
            return false;
    return true;
}

static void run(struct connection *all, uint32_t n)
{
    struct pollfd *fds = calloc(n + 1, sizeof *fds);
    CHECK(fds);
    int64_t deadline = 0;
    while (!stopping || !all_answered(all, n)) {
        int64_t now = now_ms();
        if (stopping && !deadline)
            deadline = now + 60000;
        if (deadline && now > deadline)
            break;
        for (uint32_t i = 0; i < n; i++) {
            struct connection *c = &all[i];
            if (c->state == DOWN && now >= c->retry_at)
                start_connecting(c);
            bool wants_out = c->state == CONNECTING || c->out_used > c->out_sent;
            fds[i] = (struct pollfd){.fd = c->fd, .events = (short)(POLLIN | (wants_out ? POLLOUT : 0))};
        }
        fds[n] = (struct pollfd){.fd = stopping ? -1 : STDIN_FILENO, .events = POLLIN};
        poll(fds, n + 1, 10);
        for (uint32_t i = 0; i < n; i++)
            if (fds[i].fd >= 0)
                step(&all[i], fds[i].revents);
        if (fds[n].revents)
            report_progress(all, n);
    }
    for (uint32_t i = 0; i < n; i++)
        if (all[i].n_batches)
            complain("connection %u: %d batches had no answer a minute after the last restart", i, all[i].n_batches);
    free(fds);
}

static void prepare(struct connection *c, uint32_t id, int partitions)
{
    *c = (struct connection){.fd = -1, .producer_id = -1, .idempotent = id % 2 == 0};
    c->account.id = id;
    c->account.partition = (int32_t)(id % (uint32_t)partitions);
    c->account.offset = malloc(MAX_RECORDS * sizeof *c->account.offset);
    c->account.found = calloc(MAX_RECORDS, 1);
    c->in = malloc(FRAME_MAX);
    c->out = malloc(FRAME_MAX);
    CHECK(c->account.offset && c->account.found && c->in && c->out);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: kill_load PORT TOPIC PARTITIONS CONNECTIONS\n");
        return 2;
    }
    port = (uint16_t)atoi(argv[1]);
    topic = argv[2];
    int partitions = atoi(argv[3]);
    uint32_t n = (uint32_t)atoi(argv[4]);
    struct connection *all = calloc(n, sizeof *all);
    struct account **accounts = calloc(n, sizeof *accounts);
    CHECK(all && accounts && partitions > 0);
    for (uint32_t i = 0; i < n; i++) {
        prepare(&all[i], i, partitions);
        accounts[i] = &all[i].account;
    }
    run(all, n);
    uint64_t acknowledged = 0, unknown = 0;
    for (uint32_t i = 0; i < n; i++) {
        acknowledged += all[i].account.acknowledged;
        unknown += all[i].account.unknown;
        if (all[i].fd >= 0)
            close(all[i].fd);
        free(all[i].in);
        free(all[i].out);
    }
    uint64_t found = judge(port, topic, partitions, accounts, n);
    printf("%llu acknowledged, %llu of unknown outcome, %llu found, %d complaints\n", (unsigned long long)acknowledged,
           (unsigned long long)unknown, (unsigned long long)found, complaints);
    for (uint32_t i = 0; i < n; i++) {
        free(all[i].account.offset);
        free(all[i].account.found);
    }
    free(accounts);
    free(all);
    return complaints != 0;
}
