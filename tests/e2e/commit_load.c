/* commit_load.c: a storm of offset commits on a broker that is killed again and again. Each connection commits rising
 * offsets of a group of its own, several requests in flight, and remembers what was answered; after each reconnect it
 * reads its offset back: never less than what was answered or seen before, never more than what was sent. Every fourth
 * group fades: its commits expire (retention_time of version 2) while the connection pauses, and what has expired must
 * stay away until the next commit. When standard input ends it stops, reads everything back once more and judges. The
 * loop is load.c's.
 *
 * usage: commit_load BROKERS TOPIC CONNECTIONS   (a byte on standard input asks for the count so far) */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>

enum { IN_FLIGHT = 16, FADE_EVERY = 4, FADE_MS = 500, PAUSE_MS = 1500, BURST = 64 };
enum { COMMIT = 8, FETCH = 9 };
enum step { READING, READY, PAUSED, JUDGED };

struct connection {
    struct load_conn conn;
    enum step step;
    char group[24];
    int64_t sent, known;  /* the last offset sent; the least that must be there: answered or read back. -1 none */
    bool fades, gone;     /* gone: has expired, and nothing was sent since */
    int64_t first_flight; /* offset of the oldest request without an answer */
    int in_flight, burst;
    int64_t paused_until;
    uint64_t answered, expired;
};

static const char *topic;

/* ---- requests ---- */

static void send_commit(struct connection *c)
{
    uint8_t room[256];
    struct frame f;
    frame_begin(&f, room, sizeof room, COMMIT, 2, ++c->conn.correlation);
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
    frame_queue(&c->conn, &f);
    if (c->in_flight++ == 0)
        c->first_flight = c->sent;
    c->burst++;
    c->gone = false;
}

static void send_fetch(struct connection *c)
{
    uint8_t room[256];
    struct frame f;
    frame_begin(&f, room, sizeof room, FETCH, 2, ++c->conn.correlation);
    put_string(&f, c->group);
    put_i32(&f, 1);
    put_string(&f, topic);
    put_i32(&f, 1);
    put_i32(&f, 0);
    frame_queue(&c->conn, &f);
    c->step = READING;
}

/* ---- the connection's life ---- */

static void up(void *client)
{
    send_fetch(client);
}

static void down(void *client)
{
    struct connection *c = client;
    if (c->step != JUDGED)
        c->step = READING;
    c->in_flight = 0;
}

static void feed(void *client)
{
    struct connection *c = client;
    if (c->step == PAUSED && now_ms() >= c->paused_until)
        send_fetch(c);
    if (c->step != READY)
        return;
    if (load_stopping() || (c->fades && c->burst >= BURST)) {
        if (c->in_flight == 0) {
            c->step = PAUSED;
            c->paused_until = now_ms() + PAUSE_MS;
        }
        return;
    }
    while (c->in_flight < IN_FLIGHT && c->conn.out_used + 256 < LOAD_ROOM && !(c->fades && c->burst >= BURST))
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
        load_drop(&c->conn);
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
        load_drop(&c->conn);
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
    c->step = load_stopping() && !(c->fades && !c->gone && c->sent > 0) ? JUDGED : load_stopping() ? PAUSED : READY;
    c->paused_until = now_ms() + PAUSE_MS;
}

static void take_answer(void *client, int32_t correlation, const uint8_t *p, size_t n)
{
    struct connection *c = client;
    if (c->step == READING)
        take_fetch(c, p);
    else
        take_commit(c, p);
}

static bool judged(const void *client)
{
    return ((const struct connection *)client)->step == JUDGED;
}

static uint64_t answered(const void *client)
{
    return ((const struct connection *)client)->answered;
}

static const struct load_ops ops = {
    .up = up, .down = down, .feed = feed, .answer = take_answer, .done = judged, .count = answered};

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: commit_load BROKERS TOPIC CONNECTIONS\n");
        return 2;
    }
    struct load_targets to;
    load_targets(argv[1], &to);
    topic = argv[2];
    uint32_t n = (uint32_t)atoi(argv[3]);
    struct connection *all = calloc(n, sizeof *all);
    CHECK(all);
    for (uint32_t i = 0; i < n; i++) {
        struct connection *c = &all[i];
        *c = (struct connection){.known = -1, .fades = i % FADE_EVERY == 3};
        load_init(&c->conn, &to, i);
        snprintf(c->group, sizeof c->group, "%s-%u", c->fades ? "fading" : "storm", i);
    }
    load_run(&ops, all, sizeof *all, n);
    uint64_t known = 0, expired = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct connection *c = &all[i];
        if (c->step != JUDGED)
            complain("%s: a minute after the last restart its offset is not read back%s", c->group,
                     c->fades ? " or has not expired" : "");
        known += c->answered;
        expired += c->expired;
        load_free(&c->conn);
    }
    free(all);
    printf("%llu commits answered, %llu groups seen to expire, %d complaints\n", (unsigned long long)known,
           (unsigned long long)expired, complaints());
    return complaints() != 0;
}
