/* describe_topic_partitions.c: DescribeTopicPartitions (75): topics in name order, a page at a time (KIP-966). */
#include "api/rows.h"
#include "api/api.h"
#include "api/authorized.h"
#include "api/meta_topic.h"

#include <stdlib.h>

struct page {
    struct api_req *r;
    const struct wire_describe_topic_partitions_request *q;
    const struct meta_image *image;
    struct wire_describe_topic_partitions_response resp;
    int32_t left; /* partitions that still fit */
    bool failed;
};

static int by_name(const void *a, const void *b)
{
    const struct wire_str *x = a, *y = b;
    int32_t n = (int32_t)min_i64(x->n, y->n);
    int c = n > 0 ? memcmp(x->p, y->p, (size_t)n) : 0;
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

static bool fill_partition(struct page *g, const struct meta_partition *p, int32_t index,
                           struct wire_describe_topic_partitions_response_partition *o)
{
    bool alive = p->leader >= 0 && meta_broker_alive(g->image, p->leader);
    int32_t *off = api_array(g->r, int32_t, p->n_replicas);
    if (!off)
        return false;
    *o = wire_describe_topic_partitions_response_partition_default;
    o->error_code = alive ? KAFKA_NONE : KAFKA_LEADER_NOT_AVAILABLE;
    o->partition_index = index;
    o->leader_id = alive ? p->leader : -1;
    o->leader_epoch = p->leader_epoch;
    o->replica_nodes.v = (int32_t *)p->replicas;
    o->replica_nodes.n = p->n_replicas;
    o->isr_nodes.v = (int32_t *)p->isr;
    o->isr_nodes.n = p->n_isr;
    o->eligible_leader_replicas.n = o->last_known_elr.n = 0; /* known to be none: not null */
    o->offline_replicas.v = off;
    for (int k = 0; k < p->n_replicas; k++)
        if (!meta_broker_alive(g->image, p->replicas[k]))
            off[o->offline_replicas.n++] = p->replicas[k];
    return true;
}

static void set_cursor(struct page *g, const struct meta_topic *t, int32_t partition)
{
    struct wire_describe_topic_partitions_response_cursor *c =
        api_array(g->r, struct wire_describe_topic_partitions_response_cursor, 1);
    g->failed |= !c;
    if (c)
        *c = (struct wire_describe_topic_partitions_response_cursor){.topic_name = {t->name, t->name_len},
                                                                     .partition_index = partition};
    g->resp.next_cursor = c;
}

/* false: the page is full. */
static bool add_topic(struct page *g, const struct meta_topic *t, int32_t from)
{
    if (g->left == 0) {
        set_cursor(g, t, from);
        return false;
    }
    struct wire_describe_topic_partitions_response_topic *o = &g->resp.topics.v[g->resp.topics.n++];
    int32_t n = (int32_t)min_i64(t->n_partitions - from, g->left);
    *o = wire_describe_topic_partitions_response_topic_default;
    o->name = (struct wire_str){t->name, t->name_len};
    o->topic_id = t->id;
    o->is_internal = t->internal;
    o->topic_authorized_operations = AUTHORIZED_TOPIC;
    o->partitions.v = api_array(g->r, struct wire_describe_topic_partitions_response_partition, n);
    for (int32_t i = 0; o->partitions.v && i < n; i++)
        g->failed |= !fill_partition(g, meta_partition_of(t, from + i), from + i, &o->partitions.v[o->partitions.n++]);
    g->failed |= !o->partitions.v;
    g->left -= n;
    if (from + n < t->n_partitions)
        set_cursor(g, t, from + n);
    return from + n == t->n_partitions && !g->failed;
}

static int32_t cursor_partition(const struct page *g, struct wire_str name)
{
    return g->q->cursor && wire_str_eq(g->q->cursor->topic_name, name) ? g->q->cursor->partition_index : 0;
}

static void all_topics(struct page *g)
{
    struct meta_cursor c;
    struct wire_str from = g->q->cursor ? g->q->cursor->topic_name : wire_str("");
    const struct meta_topic *t = meta_topics_from(g->image, &c, from.p, (size_t)max_i64(from.n, 0));
    struct wire_str own_name = wire_str("__meta");
    const struct meta_topic *own =
        by_name(&own_name, &from) < 0 ? NULL : meta_log_topic(g->r->api->meta_log, &own_name, NULL);
    for (bool more = true; (t || own) && more;) {
        bool is_own = own && (!t || strcmp(own->name, t->name) < 0);
        const struct meta_topic *one = is_own ? own : t;
        int32_t first = cursor_partition(g, (struct wire_str){one->name, one->name_len});
        more = first >= one->n_partitions || add_topic(g, one, first);
        if (is_own)
            own = NULL;
        else
            t = meta_topics_next(&c);
    }
}

static void named_topics(struct page *g)
{
    int32_t n = g->q->topics.n;
    struct wire_str *names = api_array(g->r, struct wire_str, n);
    g->failed |= !names;
    for (int32_t i = 0; names && i < n; i++)
        names[i] = g->q->topics.v[i].name;
    if (names)
        qsort(names, (size_t)n, sizeof *names, by_name);
    bool more = true;
    for (int32_t i = 0; names && i < n && more; i++) {
        if ((i && wire_str_eq(names[i], names[i - 1])) ||
            (g->q->cursor && by_name(&names[i], &g->q->cursor->topic_name) < 0))
            continue;
        const struct meta_topic *t = meta_log_topic(g->r->api->meta_log, &names[i], NULL);
        if (!t)
            t = meta_topic_by_name(g->image, names[i].p, (size_t)max_i64(names[i].n, 0));
        if (t) {
            more = add_topic(g, t, (int32_t)min_i64(cursor_partition(g, names[i]), t->n_partitions));
            continue;
        }
        struct wire_describe_topic_partitions_response_topic *o = &g->resp.topics.v[g->resp.topics.n++];
        *o = wire_describe_topic_partitions_response_topic_default;
        o->name = names[i];
        o->topic_authorized_operations = AUTHORIZED_TOPIC;
        o->error_code = api_bad_topic_name(&g->r->arena, names[i]) ? KAFKA_INVALID_TOPIC_EXCEPTION
                                                                   : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
}

/* A cursor points into the topics that are asked for. */
static bool cursor_fits(const struct wire_describe_topic_partitions_request *q)
{
    bool there = q->topics.n <= 0;
    for (int32_t i = 0; q->cursor && i < q->topics.n; i++)
        there |= wire_str_eq(q->topics.v[i].name, q->cursor->topic_name);
    return !q->cursor || (there && q->cursor->partition_index >= 0);
}

/* All that is asked for, as an invalid request. */
static void refuse(struct page *g)
{
    int32_t n = (int32_t)max_i64(g->q->topics.n, 0);
    g->resp.topics.v = api_array(g->r, struct wire_describe_topic_partitions_response_topic, n);
    for (int32_t i = 0; g->resp.topics.v && i < n; i++) {
        struct wire_describe_topic_partitions_response_topic *o = &g->resp.topics.v[g->resp.topics.n++];
        *o = wire_describe_topic_partitions_response_topic_default;
        o->name = g->q->topics.v[i].name;
        o->error_code = KAFKA_INVALID_REQUEST;
    }
    if (g->resp.topics.v)
        api_answer(g->r, &g->resp);
    else
        api_no_memory(g->r, "out of memory for an answer");
}

static void handle(struct api_req *r, const void *body)
{
    struct page g = {.r = r, .q = body, .resp = wire_describe_topic_partitions_response_default};
    if (!cursor_fits(g.q)) {
        refuse(&g);
        return;
    }
    int64_t most = config_i64(r->api->c.config, CFG_MAX_REQUEST_PARTITION_SIZE_LIMIT);
    g.left = (int32_t)max_i64(min_i64(g.q->response_partition_limit, most), 1);
    g.image = api_image(r);
    int64_t n = g.q->topics.n > 0 ? g.q->topics.n : min_i64((int64_t)meta_topic_count(g.image) + 1, g.left + 1);
    g.resp.topics.v = api_array(r, struct wire_describe_topic_partitions_response_topic, n);
    g.failed = !g.resp.topics.v;
    if (!g.failed && g.q->topics.n > 0)
        named_topics(&g);
    else if (!g.failed)
        all_topics(&g);
    if (g.failed)
        api_no_memory(r, "out of memory for an answer");
    else
        api_answer(r, &g.resp);
    api_image_leave(r);
}

const struct api_row api_describe_topic_partitions = {.key = WIRE_API_DESCRIBE_TOPIC_PARTITIONS, .handle = handle};
