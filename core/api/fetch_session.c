/* fetch_session.c: the table of fetch sessions and the partitions in them. A full table gives a slot away only when its
 * session has been idle for two minutes. */
#include "api/fetch_session.h"

#include "os/lock.h"
#include "wire/codes.h"

#include <stdlib.h>

enum { BUCKETS = 256, FEW = 16 };
static const int64_t idle_ns = INT64_C(120) * 1000000000;

struct fetch_sessions {
    struct os *os;
    struct os_mutex mu;
    struct fetch_session *buckets[BUCKETS];
    uint32_t n, slots;
};

struct fetch_sessions *fetch_sessions_new(struct os *os, uint32_t slots)
{
    struct fetch_sessions *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->os = os;
    s->slots = slots;
    os_mutex_init(&s->mu, LOCK_COORD);
    return s;
}

static void session_free(struct fetch_session *f)
{
    for (uint32_t i = 0; i < f->n; i++)
        free((char *)f->items[i].topic);
    free(f->items);
    free(f->buckets);
    free(f);
}

void fetch_sessions_free(struct fetch_sessions *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < BUCKETS; i++)
        for (struct fetch_session *f = s->buckets[i], *next; f; f = next) {
            next = f->chain;
            session_free(f);
        }
    os_mutex_destroy(&s->mu);
    free(s);
}

static struct fetch_session **slot_of(struct fetch_sessions *s, int32_t id)
{
    struct fetch_session **at = &s->buckets[(uint32_t)id % BUCKETS];
    while (*at && (*at)->id != id)
        at = &(*at)->chain;
    return at;
}

static void unlink_session(struct fetch_sessions *s, struct fetch_session **at)
{
    struct fetch_session *f = *at;
    *at = f->chain;
    s->n--;
    session_free(f);
}

/* Under mu: the session that has been idle longest, if for long enough. */
static bool evict(struct fetch_sessions *s)
{
    struct fetch_session **oldest = NULL;
    for (uint32_t i = 0; i < BUCKETS; i++)
        for (struct fetch_session **at = &s->buckets[i]; *at; at = &(*at)->chain)
            if (!(*at)->busy && (!oldest || (*at)->used_ns < (*oldest)->used_ns))
                oldest = at;
    if (!oldest || os_mono_ns(s->os) - (*oldest)->used_ns < idle_ns)
        return false;
    unlink_session(s, oldest);
    return true;
}

struct fetch_session *fetch_session_make(struct fetch_sessions *s, bool ids)
{
    struct fetch_session *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    os_mutex_lock(&s->mu);
    bool room = s->n < s->slots || evict(s);
    if (room) {
        do {
            uint32_t id;
            os_random(s->os, &id, sizeof id);
            f->id = (int32_t)(id & INT32_MAX);
        } while (f->id == 0 || *slot_of(s, f->id));
        f->busy = true;
        f->ids = ids;
        struct fetch_session **at = &s->buckets[(uint32_t)f->id % BUCKETS];
        f->chain = *at;
        *at = f;
        s->n++;
    }
    os_mutex_unlock(&s->mu);
    if (!room) {
        free(f);
        return NULL;
    }
    return f;
}

int16_t fetch_session_take(struct fetch_sessions *s, int32_t id, int32_t epoch, bool ids, struct fetch_session **out)
{
    int16_t rc = KAFKA_NONE;
    os_mutex_lock(&s->mu);
    struct fetch_session *f = *slot_of(s, id);
    if (!f)
        rc = KAFKA_FETCH_SESSION_ID_NOT_FOUND;
    else if (f->busy || f->epoch != epoch)
        rc = KAFKA_INVALID_FETCH_SESSION_EPOCH;
    else if (f->ids != ids)
        rc = KAFKA_FETCH_SESSION_TOPIC_ID_ERROR;
    else
        f->busy = true;
    os_mutex_unlock(&s->mu);
    *out = rc == KAFKA_NONE ? f : NULL;
    return rc;
}

void fetch_session_give(struct fetch_sessions *s, struct fetch_session *f)
{
    os_mutex_lock(&s->mu);
    f->busy = false;
    f->epoch = f->epoch == INT32_MAX ? 1 : f->epoch + 1;
    f->used_ns = os_mono_ns(s->os);
    os_mutex_unlock(&s->mu);
}

void fetch_session_end(struct fetch_sessions *s, int32_t id)
{
    os_mutex_lock(&s->mu);
    struct fetch_session **at = slot_of(s, id);
    if (*at && !(*at)->busy)
        unlink_session(s, at);
    os_mutex_unlock(&s->mu);
}

struct fetch_session *fetch_session_private(bool ids)
{
    struct fetch_session *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->ids = ids;
    return f;
}

void fetch_session_drop_private(struct fetch_session *f)
{
    session_free(f);
}

uint32_t fetch_sessions_count(struct fetch_sessions *s)
{
    os_mutex_lock(&s->mu);
    uint32_t n = s->n;
    os_mutex_unlock(&s->mu);
    return n;
}

/* ---- the partitions of a session: whoever has taken it ---- */

static bool same(const struct fetch_session *f, const struct fetch_item *i, struct wire_str topic,
                 const struct chronik_uuid *id, int32_t partition)
{
    if (i->partition != partition)
        return false;
    if (f->ids)
        return memcmp(i->topic_id.b, id->b, sizeof id->b) == 0;
    return i->topic_n == topic.n && memcmp(i->topic, topic.p, (size_t)topic.n) == 0;
}

static uint32_t bucket_of(const struct fetch_session *f, struct wire_str topic, const struct chronik_uuid *id,
                          int32_t partition)
{
    const uint8_t *p = f->ids ? id->b : (const uint8_t *)topic.p;
    size_t n = f->ids ? sizeof id->b : (size_t)max_i64(topic.n, 0);
    uint32_t h = (uint32_t)partition * 0x9e3779b1u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x01000193u;
    return (h ^ h >> 15) % f->cap;
}

static void index_item(struct fetch_session *f, uint32_t at)
{
    struct fetch_item *i = &f->items[at];
    uint32_t *b = &f->buckets[bucket_of(f, (struct wire_str){i->topic, i->topic_n}, &i->topic_id, i->partition)];
    i->chain = *b;
    *b = at + 1;
}

/* Without memory for it the items are searched one by one. */
static void index_make(struct fetch_session *f)
{
    f->buckets = calloc(f->cap, sizeof *f->buckets);
    for (uint32_t i = 0; f->buckets && i < f->n; i++)
        index_item(f, i);
}

static void index_drop(struct fetch_session *f)
{
    free(f->buckets);
    f->buckets = NULL;
}

static struct fetch_item *find_item(struct fetch_session *f, struct wire_str topic, const struct chronik_uuid *id,
                                    int32_t partition)
{
    if (f->n > FEW && !f->buckets)
        index_make(f);
    if (!f->buckets) {
        for (uint32_t i = 0; i < f->n; i++)
            if (same(f, &f->items[i], topic, id, partition))
                return &f->items[i];
        return NULL;
    }
    for (uint32_t at = f->buckets[bucket_of(f, topic, id, partition)]; at; at = f->items[at - 1].chain)
        if (same(f, &f->items[at - 1], topic, id, partition))
            return &f->items[at - 1];
    return NULL;
}

struct fetch_item *fetch_session_put(struct fetch_session *f, struct wire_str topic, const struct chronik_uuid *id,
                                     int32_t partition)
{
    /* The first request names each partition once: no search. */
    struct fetch_item *item = f->epoch == 0 ? NULL : find_item(f, topic, id, partition);
    if (item)
        return item;
    if (f->n == f->cap) {
        uint32_t cap = f->cap ? f->cap * 2 : FEW;
        struct fetch_item *items = realloc(f->items, cap * sizeof *items);
        if (!items)
            return NULL;
        f->items = items;
        f->cap = cap;
        index_drop(f); /* it is made anew, with more buckets, by the next search */
    }
    size_t name_n = f->ids ? 0 : (size_t)max_i64(topic.n, 0);
    char *name = f->ids ? NULL : malloc(name_n + 1); /* a NUL in it is a byte like any other */
    if (!f->ids && !name)
        return NULL;
    if (name_n > 0)
        memcpy(name, topic.p, name_n);
    item = &f->items[f->n++];
    *item = (struct fetch_item){.topic_id = *id,
                                .topic = name,
                                .topic_n = (int32_t)name_n,
                                .partition = partition,
                                .told_hw = -1,
                                .told_log_start = -1};
    if (f->buckets)
        index_item(f, f->n - 1);
    return item;
}

static void index_take(struct fetch_session *f, uint32_t at)
{
    struct fetch_item *i = &f->items[at];
    uint32_t *b = &f->buckets[bucket_of(f, (struct wire_str){i->topic, i->topic_n}, &i->topic_id, i->partition)];
    while (*b != at + 1)
        b = &f->items[*b - 1].chain;
    *b = i->chain;
}

/* The last item takes the place of the one that goes. */
void fetch_session_forget(struct fetch_session *f, struct wire_str topic, const struct chronik_uuid *id,
                          int32_t partition)
{
    struct fetch_item *item = find_item(f, topic, id, partition);
    if (!item)
        return;
    uint32_t at = (uint32_t)(item - f->items), last = f->n - 1;
    if (f->buckets) {
        index_take(f, at);
        if (at != last)
            index_take(f, last);
    }
    free((char *)item->topic);
    *item = f->items[last];
    f->n--;
    if (f->buckets && at != last)
        index_item(f, at);
}
