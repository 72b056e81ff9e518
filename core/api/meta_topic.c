/* meta_topic.c: renders __meta and keeps those who wait for it. One mutex guards the list of waiters and the count of
 * publications; whoever is due is collected under it and called after it was released. It never holds a record: each
 * read goes to the metadata's log. */
#include "api/meta_topic.h"

#include "os/lock.h"
#include "wire/codes.h"

#include <stdlib.h>

enum { READ_MOST = 1 << 20, FIND_BYTES = 256 << 10 };
enum { LATEST = -1, EARLIEST = -2, MAX_TIMESTAMP = -3, EARLIEST_LOCAL = -4, LATEST_TIERED = -5, EARLIEST_PENDING = -6 };

struct meta_log {
    struct os_mutex mu;
    struct meta *meta; /* NULL: not attached */
    struct meta_sub sub;
    uint64_t published;
    struct meta_log_wait *waits;
    /* the topic, as the image would hold it */
    int32_t node;
    struct meta_topic topic;
    struct meta_partition partition;
    const struct meta_partition *partitions[1];
    struct meta_configs configs;
};

static const struct chronik_uuid topic_id = {{0x5f, 0x5f, 'm', 'e', 't', 'a', 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}};
static const char topic_name[] = "__meta";

/* On the apply executor. */
static void published(void *arg, const struct meta_image *image, const struct meta_change *changes, uint32_t n)
{
    struct meta_log *l = arg;
    struct part_fetch *due = NULL;
    os_mutex_lock(&l->mu);
    l->published++;
    for (struct meta_log_wait *w = l->waits; w; w = w->next)
        if (part_fetch_claim(w->fetch)) {
            w->fetch->next_fired = due;
            due = w->fetch;
        }
    os_mutex_unlock(&l->mu);
    for (struct part_fetch *next; due; due = next) {
        next = due->next_fired;
        due->fire(due);
    }
}

struct meta_log *meta_log_new(int32_t node_id)
{
    struct meta_log *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    os_mutex_init(&l->mu, LOCK_PARTITION);
    l->node = node_id;
    l->partitions[0] = &l->partition;
    l->partition =
        (struct meta_partition){.leader = node_id, .n_replicas = 1, .n_isr = 1, .replicas = &l->node, .isr = &l->node};
    l->topic = (struct meta_topic){.id = topic_id,
                                   .n_partitions = 1,
                                   .name_len = sizeof topic_name - 1,
                                   .internal = true,
                                   .name = topic_name,
                                   .partitions = l->partitions,
                                   .configs = &l->configs};
    return l;
}

void meta_log_attach(struct meta_log *l, struct meta *m)
{
    l->meta = m;
    l->sub = (struct meta_sub){.fn = published, .arg = l, .every = true};
    meta_subscribe(m, &l->sub);
}

void meta_log_free(struct meta_log *l)
{
    if (!l)
        return;
    os_mutex_destroy(&l->mu);
    free(l);
}

const struct meta_topic *meta_log_topic(const struct meta_log *l, const struct wire_str *name,
                                        const struct chronik_uuid *id)
{
    bool mine = name ? name->n == (int32_t)sizeof topic_name - 1 && memcmp(name->p, topic_name, (size_t)name->n) == 0
                     : meta_uuid_eq(id, &topic_id);
    return mine ? &l->topic : NULL;
}

/* ---- reading ---- */

int16_t meta_log_look(struct meta_log *l, int32_t partition, int32_t leader_epoch, struct part_view *out,
                      uint64_t *seen)
{
    uint64_t first = 0, end = 0;
    if (partition != 0)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (leader_epoch > 0)
        return KAFKA_UNKNOWN_LEADER_EPOCH;
    /* The count first: a publication between the two is then seen as one that was missed. */
    os_mutex_lock(&l->mu);
    *seen = l->published;
    os_mutex_unlock(&l->mu);
    if (l->meta)
        meta_log_range(l->meta, &first, &end);
    *out = (struct part_view){.leader = l->node,
                              .leading = true,
                              .log_start = (int64_t)first,
                              .high_watermark = (int64_t)end,
                              .log_end = (int64_t)end,
                              .last_stable = (int64_t)end};
    return KAFKA_NONE;
}

struct rendering {
    struct batch_build *b;
    int64_t next;
};

static void add_record(void *arg, const struct meta_record *r)
{
    struct rendering *g = arg;
    if ((int64_t)r->seq != g->next)
        return;
    g->next++;
    batch_add(g->b, r->timestamp_ms, r->key, r->key_len, r->value, r->value_len, NULL, 0);
}

int16_t meta_log_read(struct meta_log *l, int64_t offset, uint64_t max_bytes, struct batch_build *b, const uint8_t **p,
                      size_t *n)
{
    struct batch_head h = batch_build_plain(offset, CODEC_NONE);
    struct rendering g = {b, offset};
    batch_begin(b, &h);
    int32_t rc = meta_read_log(l->meta, (uint64_t)offset, min_size(max_bytes, READ_MOST), add_record, &g);
    if (rc == CHRONIK_E_RANGE)
        return KAFKA_OFFSET_OUT_OF_RANGE;
    if (rc < 0 || g.next == offset)
        return KAFKA_KAFKA_STORAGE_ERROR;
    return batch_finish(b, p, n) > 0 ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR;
}

/* ---- ListOffsets ---- */

struct search {
    int64_t least; /* the timestamp to reach; INT64_MAX: look for the largest of all */
    int64_t next;  /* where the next read begins */
    int64_t offset, ts;
};

static void look_at(void *arg, const struct meta_record *r)
{
    struct search *s = arg;
    s->next = (int64_t)r->seq + 1;
    bool newest = s->least == INT64_MAX;
    if (newest ? r->timestamp_ms > s->ts : s->offset < 0 && r->timestamp_ms >= s->least) {
        s->offset = (int64_t)r->seq;
        s->ts = r->timestamp_ms;
    }
}

static int16_t find(struct meta_log *l, int64_t first, int64_t end, struct search *s)
{
    bool newest = s->least == INT64_MAX;
    s->next = first;
    s->offset = s->ts = -1;
    while (s->next < end && (newest || s->offset < 0)) {
        int64_t before = s->next;
        int32_t rc = meta_read_log(l->meta, (uint64_t)before, FIND_BYTES, look_at, s);
        if (rc < 0 || s->next == before)
            return rc == CHRONIK_E_RANGE ? KAFKA_OFFSET_OUT_OF_RANGE : KAFKA_KAFKA_STORAGE_ERROR;
    }
    return KAFKA_NONE;
}

int16_t meta_log_list_offset(struct meta_log *l, int64_t timestamp, int64_t *offset, int64_t *found_ts)
{
    struct part_view v;
    uint64_t seen;
    int16_t rc = meta_log_look(l, 0, -1, &v, &seen);
    *offset = *found_ts = -1;
    if (rc != KAFKA_NONE)
        return rc;
    switch (timestamp) {
    case LATEST:
        *offset = v.high_watermark;
        return KAFKA_NONE;
    case EARLIEST:
    case EARLIEST_LOCAL:
    case EARLIEST_PENDING:
        *offset = v.log_start;
        return KAFKA_NONE;
    case LATEST_TIERED:
        return KAFKA_NONE;
    default: {
        struct search s = {.least = timestamp == MAX_TIMESTAMP ? INT64_MAX : timestamp};
        rc = find(l, v.log_start, v.high_watermark, &s);
        *offset = s.offset;
        *found_ts = s.ts;
        return rc;
    }
    }
}

/* ---- waiting ---- */

bool meta_log_wait(struct meta_log *l, struct meta_log_wait *w, struct part_fetch *f, uint64_t seen)
{
    os_mutex_lock(&l->mu);
    bool wait = l->published == seen;
    if (wait) {
        *w = (struct meta_log_wait){.fetch = f, .next = l->waits};
        if (w->next)
            w->next->prev = w;
        l->waits = w;
    }
    os_mutex_unlock(&l->mu);
    return wait;
}

void meta_log_unwait(struct meta_log *l, struct meta_log_wait *w)
{
    if (!w->fetch)
        return;
    os_mutex_lock(&l->mu);
    if (w->prev)
        w->prev->next = w->next;
    else
        l->waits = w->next;
    if (w->next)
        w->next->prev = w->prev;
    *w = (struct meta_log_wait){0};
    os_mutex_unlock(&l->mu);
}
