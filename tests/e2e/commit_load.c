/* commit_load.c: a storm of offset commits on a broker that is killed again and again. Each connection commits rising
 * offsets of a group of its own, several requests in flight, and remembers what was answered; after each reconnect it
 * reads its offset back: never less than what was answered or seen before, never more than what was sent. Every fourth
 * group fades: its commits expire (retention_time of version 2) while the connection pauses, and what has expired must
 * stay away until the next commit. When standard input ends it stops, reads everything back once more and judges.
 *
 * usage: commit_load PORT TOPIC CONNECTIONS   (a byte on standard input asks for the count so far) */
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

enum { IN_FLIGHT = 16, ROOM = 1 << 14, BACKOFF_MS = 25, FADE_EVERY = 4, FADE_MS = 500, PAUSE_MS = 1500, BURST = 64 };
enum { COMMIT = 8, FETCH = 9 };
enum state { DOWN, CONNECTING, READING, READY, PAUSED, JUDGED };

struct connection {
    uint32_t id;
    int fd;
    enum state state;
    char group[24];
    int64_t sent, known;  /* the last offset sent; the least that must be there: answered or read back. -1 none */
    bool fades, gone;     /* gone: has expired, and nothing was sent since */
    int64_t first_flight; /* offset of the oldest request without an answer */
    int in_flight, burst;
    int64_t retry_at, paused_until;
    uint64_t answered, expired;
    uint8_t in[ROOM], out[ROOM];
    size_t in_used, out_used, out_sent;
    int32_t correlation;
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

/* ---- requests ---- */

static void queue_frame(struct connection *c, struct frame *f)
{
    frame_end(f);
    CHECK(c->out_used + f->used <= ROOM);
    memcpy(c->out + c->out_used, f->p, f->used);
    c->out_used += f->used;
}

static void send_commit(struct connection *c)
{
    uint8_t room[256];
    struct frame f;
    frame_begin(&f, room, sizeof room, COMMIT, 2, ++c->correlation);
    put_string(&f, c->group);
    put_i32(&f, -1);
    put_string(&f, "");
    put_i64(&f, c->fades ? FADE_MS : -1);
    put_i32(&f, 1);
    put_string(&f, topic);
    put_i32(&f, 1);
    put_i32(&f, 0);
    put_i64(&f, ++c->sent);
    put_string(&f, "storm");
    queue_frame(c, &f);
    if (c->in_flight++ == 0)
        c->first_flight = c->sent;
    c->burst++;
    c->gone = false;
}

static void send_fetch(struct connection *c)
{
    uint8_t room[256];
    struct frame f;
    frame_begin(&f, room, sizeof room, FETCH, 2, ++c->correlation);
    put_string(&f, c->group);
    put_i32(&f, 1);
    put_string(&f, topic);
    put_i32(&f, 1);
    put_i32(&f, 0);
    queue_frame(c, &f);
    c->state = READING;
}

/* ---- the connection's life ---- */

static void close_connection(struct connection *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->state = DOWN;
    c->retry_at = now_ms() + BACKOFF_MS;
    c->in_used = c->out_used = c->out_sent = 0;
    c->in_flight = 0;
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

static void feed(struct connection *c)
{
    if (c->state == PAUSED && now_ms() >= c->paused_until)
        send_fetch(c);
    if (c->state != READY)
        return;
    if (stopping || (c->fades && c->burst >= BURST)) {
        if (c->in_flight == 0) {
            c->state = PAUSED;
            c->paused_until = now_ms() + PAUSE_MS;
        }
        return;
    }
    while (c->in_flight < IN_FLIGHT && c->out_used + 256 < ROOM && !(c->fades && c->burst >= BURST))
        send_commit(c);
}

/* ---- answers ---- */

static bool retriable(int16_t error)
{
    return error == 7 || (error >= 14 && error <= 16) || error == 3;
}

static void take_commit(struct connection *c, const uint8_t *p)
{
    int16_t error = (int16_t)get_be16(p + 4 + 2 + strlen(topic) + 4 + 4);
    if (error) {
        if (!retriable(error))
            complain("%s: a commit was refused with error %d", c->group, error);
        close_connection(c);
        return;
    }
    c->known = c->first_flight++;
    c->in_flight--;
    c->answered++;
}

/* The topic's part is missing when the whole request was refused. */
static int16_t fetch_error(const uint8_t *p, int64_t *offset)
{
    if (get_be32(p) == 0)
        return (int16_t)get_be16(p + 4);
    p += 4 + 2 + strlen(topic) + 4 + 4;
    *offset = (int64_t)get_be64(p);
    int16_t text = (int16_t)get_be16(p + 8), error = (int16_t)get_be16(p + 10 + text);
    return error ? error : (int16_t)get_be16(p + 12 + text);
}

static void take_fetch(struct connection *c, const uint8_t *p)
{
    int64_t offset = -1;
    int16_t error = fetch_error(p, &offset);
    if (error) {
        if (!retriable(error))
            complain("%s: reading was refused with error %d", c->group, error);
        close_connection(c);
        return;
    }
    bool may_be_gone = c->fades || c->known < 0;
    if (offset < 0 ? !may_be_gone : c->gone || offset < c->known || offset > c->sent)
        complain("%s: offset %lld; %lld was answered, %lld sent%s", c->group, (long long)offset, (long long)c->known,
                 (long long)c->sent, c->gone ? ", and it had expired" : "");
    if (offset >= 0) {
        c->known = offset;
    } else if (c->fades && c->sent > 0) {
        c->expired += !c->gone;
        c->gone = true;
    }
    c->burst = 0;
    c->state = stopping && !(c->fades && !c->gone && c->sent > 0) ? JUDGED : stopping ? PAUSED : READY;
    c->paused_until = now_ms() + PAUSE_MS;
}

static void receive(struct connection *c)
{
    ssize_t got = recv(c->fd, c->in + c->in_used, ROOM - c->in_used, 0);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            close_connection(c);
        return;
    }
    c->in_used += (size_t)got;
    size_t at = 0;
    while (c->fd >= 0 && c->in_used - at >= 4) {
        size_t n = get_be32(c->in + at);
        CHECK(n <= ROOM - 4);
        if (c->in_used - at - 4 < n)
            break;
        if (c->state == READING)
            take_fetch(c, c->in + at + 8);
        else
            take_commit(c, c->in + at + 8);
        at += 4 + n;
    }
    if (c->fd < 0)
        return;
    memmove(c->in, c->in + at, c->in_used - at);
    c->in_used -= at;
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
            send_fetch(c);
    } else if (c->fd >= 0 && (events & (POLLIN | POLLERR | POLLHUP))) {
        receive(c);
    }
    if (c->fd >= 0 && c->out_sent == 0)
        feed(c);
    if (c->fd >= 0 && c->out_used > c->out_sent)
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
        sum += all[i].answered;
    for (; got > 0; got--)
        printf("%llu\n", (unsigned long long)sum);
    fflush(stdout);
}

static bool all_judged(const struct connection *all, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (all[i].state != JUDGED)
            return false;
    return true;
}

static void run(struct connection *all, uint32_t n)
{
    struct pollfd *fds = calloc(n + 1, sizeof *fds);
    CHECK(fds);
    int64_t deadline = 0;
    while (!all_judged(all, n)) {
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
            if (fds[i].fd >= 0 && all[i].state != JUDGED)
                step(&all[i], fds[i].revents);
        if (fds[n].revents)
            report_progress(all, n);
    }
    for (uint32_t i = 0; i < n; i++)
        if (all[i].state != JUDGED)
            complain("%s: a minute after the last restart its offset is not read back%s", all[i].group,
                     all[i].fades ? " or has not expired" : "");
    free(fds);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: commit_load PORT TOPIC CONNECTIONS\n");
        return 2;
    }
    port = (uint16_t)atoi(argv[1]);
    topic = argv[2];
    uint32_t n = (uint32_t)atoi(argv[3]);
    struct connection *all = calloc(n, sizeof *all);
    CHECK(all);
    for (uint32_t i = 0; i < n; i++) {
        struct connection *c = &all[i];
        *c = (struct connection){.id = i, .fd = -1, .known = -1, .fades = i % FADE_EVERY == 3};
        snprintf(c->group, sizeof c->group, "%s-%u", c->fades ? "fading" : "storm", i);
    }
    run(all, n);
    uint64_t answered = 0, expired = 0;
    for (uint32_t i = 0; i < n; i++) {
        answered += all[i].answered;
        expired += all[i].expired;
        if (all[i].fd >= 0)
            close(all[i].fd);
    }
    free(all);
    printf("%llu commits answered, %llu groups seen to expire, %d complaints\n", (unsigned long long)answered,
           (unsigned long long)expired, complaints);
    return complaints != 0;
}
