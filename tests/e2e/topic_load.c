/* topic_load.c: topics that are made and removed at any of several brokers of one quorum, which are killed again and
 * again. Each connection makes a topic under a name that was never used, lets some live, removes the others, one
 * request in flight, and remembers what it was told; a request whose connection broke may have been done or not. No
 * name is sent twice: a topic that "exists already" was made twice. When standard input ends it reads every broker's
 * metadata: what was made is there under the id that was told, what was removed is not, on all of them alike. The loop
 * is load.c's.
 *
 * usage: topic_load BROKERS CONNECTIONS [PREFIX]   (a byte on standard input asks for the count so far) */
#include "load.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { CREATE = 19, DELETE = 20, METADATA = 3, KEEP_EVERY = 16, TOPICS = 1 << 15, WAIT_MS = 20000, JUDGE_MS = 10000 };
enum { NOT_CONTROLLER = 41, TIMED_OUT = 7, EXISTS = 36, NO_SUCH_TOPIC = 3 };
enum fate { NOTHING, MAYBE_MADE, MADE, MAYBE_REMOVED, REMOVED, REFUSED };

struct topic {
    enum fate fate;
    uint8_t id[16];    /* MADE: as it was told */
    uint32_t found_by; /* one bit a broker */
};

struct connection {
    struct load_conn conn;
    uint32_t id, n;
    struct topic *topics;
    bool asked; /* a request about topics[n - 1] is in flight */
    uint64_t answered;
};

static const char *prefix = "load"; /* of all names */

/* ---- requests ---- */

static void name_of(const struct connection *c, uint32_t k, char name[32])
{
    snprintf(name, 32, "%s-%u-%u", prefix, c->id, k);
}

/* CreateTopics version 7: one partition, one replica. */
static void send_create(struct connection *c)
{
    uint8_t room[256];
    char name[32];
    struct frame f;
    c->topics[c->n++].fate = MAYBE_MADE;
    name_of(c, c->n - 1, name);
    frame_begin(&f, room, sizeof room, CREATE, 7, ++c->conn.correlation);
    put_i8(&f, 0); /* tags of the head */
    put_uvarint(&f, 2);
    put_compact(&f, name);
    put_i32(&f, 1);
    put_i16(&f, 1);
    put_uvarint(&f, 1); /* no assignments */
    put_uvarint(&f, 1); /* no settings */
    put_i8(&f, 0);
    put_i32(&f, WAIT_MS);
    put_i8(&f, 0); /* not only a check */
    put_i8(&f, 0);
    frame_queue(&c->conn, &f);
    c->asked = true;
}

static void send_delete(struct connection *c)
{
    uint8_t room[256];
    char name[32];
    struct frame f;
    c->topics[c->n - 1].fate = MAYBE_REMOVED;
    name_of(c, c->n - 1, name);
    frame_begin(&f, room, sizeof room, DELETE, 3, ++c->conn.correlation);
    put_i32(&f, 1);
    put_string(&f, name);
    put_i32(&f, WAIT_MS);
    frame_queue(&c->conn, &f);
    c->asked = true;
}

/* ---- the connection's life ---- */

static void up(void *client)
{
}

static void down(void *client)
{
    struct connection *c = client;
    c->asked = false;
}

static void feed(void *client)
{
    struct connection *c = client;
    struct topic *last = c->n ? &c->topics[c->n - 1] : NULL;
    if (c->asked)
        return;
    if (last && last->fate == MADE && c->n % KEEP_EVERY)
        send_delete(c);
    else if (!load_stopping() && c->n < TOPICS)
        send_create(c);
}

/* ---- answers ---- */

static bool retriable(int16_t error)
{
    static const int16_t codes[] = {5, 6, TIMED_OUT, 8, 13, 38, NOT_CONTROLLER, 89};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (codes[i] == error)
            return true;
    return false;
}

static void take_create(struct connection *c, struct topic *t, const uint8_t *p, size_t n)
{
    size_t name = p[6] - 1u; /* tags, throttle, one topic, its name */
    CHECK(n >= 7 + name + 18);
    int16_t error = (int16_t)get_be16(p + 7 + name + 16);
    if (error == 0) {
        memcpy(t->id, p + 7 + name, 16);
        t->fate = MADE;
        c->answered++;
    } else if (error == EXISTS) {
        complain("load-%u-%u: exists already, though its name is new", c->id, c->n - 1);
    } else if (error != TIMED_OUT) { /* then the outcome stays unknown */
        t->fate = REFUSED;
        if (!retriable(error))
            complain("load-%u-%u: refused with error %d", c->id, c->n - 1, error);
    }
    if (error)
        load_drop(&c->conn);
}

static void take_delete(struct connection *c, struct topic *t, const uint8_t *p, size_t n)
{
    size_t name = get_be16(p + 8);
    CHECK(n >= 10 + name + 2);
    int16_t error = (int16_t)get_be16(p + 10 + name);
    if (error == 0) {
        t->fate = REMOVED;
        c->answered++;
    } else if (error != TIMED_OUT) {
        t->fate = MADE; /* and asked again; another broker may hear of the topic a moment later than the first */
        if (error != NO_SUCH_TOPIC && !retriable(error))
            complain("load-%u-%u: its removal is refused with error %d", c->id, c->n - 1, error);
    }
    if (error)
        load_drop(&c->conn);
}

static void take_answer(void *client, int32_t correlation, const uint8_t *p, size_t n)
{
    struct connection *c = client;
    struct topic *t = &c->topics[c->n - 1];
    c->asked = false;
    if (t->fate == MAYBE_MADE)
        take_create(c, t, p, n);
    else
        take_delete(c, t, p, n);
}

static bool at_rest(const void *client)
{
    const struct connection *c = client;
    return !c->asked && !(c->n && c->topics[c->n - 1].fate == MADE && c->n % KEEP_EVERY);
}

static uint64_t answered(const void *client)
{
    return ((const struct connection *)client)->answered;
}

static const struct load_ops ops = {
    .up = up, .down = down, .feed = feed, .answer = take_answer, .done = at_rest, .count = answered};

/* ---- the judge ---- */

struct court {
    struct connection *all;
    uint32_t n, broker, wrong;
    bool speaks; /* else it only counts: a broker may be a moment behind */
};

__attribute__((format(printf, 2, 3))) static void blame(struct court *w, const char *fmt, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    w->wrong++;
    if (w->speaks)
        complain("%s", text);
}

static void found(struct court *w, const char *name, size_t n, const uint8_t *id)
{
    unsigned c, k;
    char text[64];
    snprintf(text, sizeof text, "%.*s", (int)n, name);
    size_t own = strlen(prefix);
    if (strncmp(text, prefix, own) != 0 || sscanf(text + own, "-%u-%u", &c, &k) != 2)
        return;
    if (c >= w->n || k >= w->all[c].n) {
        blame(w, "broker %u: %s was never made", w->broker, text);
        return;
    }
    struct topic *t = &w->all[c].topics[k];
    if (t->found_by >> w->broker & 1)
        blame(w, "broker %u: %s is there twice", w->broker, text);
    t->found_by |= 1u << w->broker;
    if (t->fate == REMOVED || t->fate == REFUSED)
        blame(w, "broker %u: %s is there, though it was %s", w->broker, text,
              t->fate == REMOVED ? "removed" : "refused");
    if ((t->fate == MADE || t->fate == MAYBE_REMOVED) && memcmp(t->id, id, 16) != 0)
        blame(w, "broker %u: %s has another id than was told: it was made twice", w->broker, text);
}

static uint32_t get_uvarint(const uint8_t **p)
{
    uint32_t v = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t b = *(*p)++;
        v |= (uint32_t)(b & 0x7f) << shift;
        if (b < 0x80)
            return v;
    }
}

static void skip_ints(const uint8_t **p)
{
    uint32_t n = get_uvarint(p);
    *p += n > 1 ? (n - 1) * 4 : 0;
}

/* One topic of Metadata version 12. */
static void take_topic(struct court *w, const uint8_t **p)
{
    *p += 2;
    uint32_t n = get_uvarint(p);
    const char *name = (const char *)*p;
    *p += n ? n - 1 : 0;
    const uint8_t *id = *p;
    *p += 16 + 1;
    uint32_t partitions = get_uvarint(p);
    for (uint32_t i = 1; i < partitions; i++) {
        *p += 2 + 4 + 4 + 4;
        skip_ints(p);
        skip_ints(p);
        skip_ints(p);
        ++*p;
    }
    *p += 4 + 1;
    if (n)
        found(w, name, n - 1, id);
}

static void read_broker(struct court *w, struct load_address where)
{
    enum { ANSWER = 16 << 20 };
    uint8_t room[64], *answer = malloc(ANSWER);
    struct frame f;
    int fd = load_connect(where);
    CHECK(answer);
    frame_begin(&f, room, sizeof room, METADATA, 12, 1);
    put_i8(&f, 0);
    put_uvarint(&f, 0); /* all topics */
    put_i8(&f, 0);
    put_i8(&f, 0);
    put_i8(&f, 0);
    frame_end(&f);
    int64_t n = fd < 0 ? -1 : load_ask(fd, f.p, f.used, answer, ANSWER);
    if (n < 0) {
        blame(w, "broker %u does not tell its metadata", w->broker);
    } else {
        const uint8_t *p = answer + 4 + 1 + 4;
        uint32_t brokers = get_uvarint(&p);
        for (uint32_t i = 1; i < brokers; i++) {
            p += 4;
            uint32_t host = get_uvarint(&p);
            p += host - 1 + 4;
            uint32_t rack = get_uvarint(&p);
            p += (rack ? rack - 1 : 0) + 1;
        }
        uint32_t id = get_uvarint(&p);
        p += (id ? id - 1 : 0) + 4;
        uint32_t topics = get_uvarint(&p);
        for (uint32_t i = 1; i < topics; i++)
            take_topic(w, &p);
    }
    if (fd >= 0)
        close(fd);
    free(answer);
}

static uint32_t look(struct court *w, const struct load_targets *brokers)
{
    uint32_t everywhere = (1u << brokers->n) - 1;
    w->wrong = 0;
    for (uint32_t i = 0; i < w->n; i++)
        for (uint32_t k = 0; k < w->all[i].n; k++)
            w->all[i].topics[k].found_by = 0;
    for (w->broker = 0; w->broker < brokers->n; w->broker++)
        read_broker(w, brokers->v[w->broker]);
    for (uint32_t i = 0; i < w->n; i++)
        for (uint32_t k = 0; k < w->all[i].n; k++) {
            const struct topic *t = &w->all[i].topics[k];
            if ((t->fate == MADE || t->found_by) && t->found_by != everywhere)
                blame(w, "load-%u-%u: %s, and of %u brokers only those of mask %x have it", i, k,
                      t->fate == MADE ? "made" : "there", brokers->n, t->found_by);
        }
    return w->wrong;
}

static void judge(struct connection *all, uint32_t n, const struct load_targets *brokers)
{
    struct court w = {.all = all, .n = n};
    int64_t until = now_ms() + JUDGE_MS;
    while (look(&w, brokers) && now_ms() < until)
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    w.speaks = true;
    look(&w, brokers);
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: topic_load BROKERS CONNECTIONS [PREFIX]\n");
        return 2;
    }
    struct load_targets to;
    load_targets(argv[1], &to);
    uint32_t n = (uint32_t)atoi(argv[2]);
    prefix = argc > 3 ? argv[3] : prefix;
    struct connection *all = calloc(n, sizeof *all);
    CHECK(all);
    for (uint32_t i = 0; i < n; i++) {
        all[i].id = i;
        all[i].topics = calloc(TOPICS, sizeof *all[i].topics);
        CHECK(all[i].topics);
        load_init(&all[i].conn, &to, i);
    }
    load_run(&ops, all, sizeof *all, n);
    judge(all, n, &to);
    uint64_t known = 0, unknown = 0, kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!at_rest(&all[i]))
            complain("connection %u has no answer a minute after the last restart", i);
        known += all[i].answered;
        for (uint32_t k = 0; k < all[i].n; k++) {
            unknown += all[i].topics[k].fate == MAYBE_MADE || all[i].topics[k].fate == MAYBE_REMOVED;
            kept += all[i].topics[k].fate == MADE;
        }
        load_free(&all[i].conn);
        free(all[i].topics);
    }
    free(all);
    printf("%llu commands answered, %llu of unknown outcome, %llu topics kept, %d complaints\n",
           (unsigned long long)known, (unsigned long long)unknown, (unsigned long long)kept, complaints());
    return complaints() != 0;
}
