/* metadata.c: Metadata (3): brokers, topics, leaders, from the image alone; and the wish to create missing topics,
 * which is proposed while the client is told to come back. */
#include "api/rows.h"
#include "api/api.h"
#include "api/authorized.h"
#include "api/meta_topic.h"
#include "api/repeats.h"
#include "api/topic_spec.h"
#include "base/uuid.h"

struct asked {
    const struct wire_metadata_request *q;
    const struct meta_image *image;
    struct wire_metadata_response resp;
    int32_t cap;
};

static bool fill_brokers(struct api_req *r, struct asked *a)
{
    uint32_t most = meta_broker_count(a->image);
    struct meta_cursor c;
    a->resp.brokers.v = api_array(r, struct wire_metadata_response_broker, most);
    if (!a->resp.brokers.v)
        return false;
    for (const struct meta_broker *b = meta_brokers_first(a->image, &c); b; b = meta_brokers_next(&c)) {
        const struct meta_broker_endpoint *e = meta_broker_listener(b, r->net->listener->name);
        if (b->fenced || !e)
            continue;
        a->resp.brokers.v[a->resp.brokers.n++] = (struct wire_metadata_response_broker){
            .node_id = b->id, .host = wire_str(e->host), .port = e->port, .rack = wire_str(b->rack)};
    }
    return true;
}

static bool fill_partitions(struct api_req *r, struct asked *a, const struct meta_topic *t,
                            struct wire_metadata_response_topic *out)
{
    out->partitions.v = api_array(r, struct wire_metadata_response_partition, t->n_partitions);
    if (!out->partitions.v)
        return false;
    for (int32_t i = 0; i < t->n_partitions; i++) {
        const struct meta_partition *p = meta_partition_of(t, i);
        struct wire_metadata_response_partition *o = &out->partitions.v[out->partitions.n++];
        *o = wire_metadata_response_partition_default;
        bool alive = p->leader >= 0 && meta_broker_alive(a->image, p->leader);
        o->error_code = alive ? KAFKA_NONE : KAFKA_LEADER_NOT_AVAILABLE;
        o->partition_index = i;
        o->leader_id = alive ? p->leader : -1;
        o->leader_epoch = p->leader_epoch;
        o->replica_nodes.v = (int32_t *)p->replicas;
        o->replica_nodes.n = p->n_replicas;
        o->isr_nodes.v = (int32_t *)p->isr;
        o->isr_nodes.n = p->n_isr;
        int32_t *off = api_array(r, int32_t, p->n_replicas);
        if (!off)
            return false;
        o->offline_replicas.v = off;
        for (int k = 0; k < p->n_replicas; k++)
            if (!meta_broker_alive(a->image, p->replicas[k]))
                off[o->offline_replicas.n++] = p->replicas[k];
    }
    return true;
}

static bool add_topic(struct api_req *r, struct asked *a, const struct meta_topic *t)
{
    struct wire_metadata_response_topic *out = &a->resp.topics.v[a->resp.topics.n++];
    *out = wire_metadata_response_topic_default;
    out->name = (struct wire_str){t->name, t->name_len};
    out->topic_id = t->id;
    out->is_internal = t->internal;
    if (a->q->include_topic_authorized_operations)
        out->topic_authorized_operations = AUTHORIZED_TOPIC;
    return fill_partitions(r, a, t, out);
}

static void add_error(struct asked *a, struct wire_str name, const struct chronik_uuid *id, int16_t code)
{
    struct wire_metadata_response_topic *out = &a->resp.topics.v[a->resp.topics.n++];
    *out = wire_metadata_response_topic_default;
    out->error_code = code;
    out->name = name;
    if (id)
        out->topic_id = *id;
    else if (a->q->include_topic_authorized_operations)
        out->topic_authorized_operations = AUTHORIZED_TOPIC;
}

static bool fill_all(struct api_req *r, struct asked *a)
{
    struct meta_cursor c;
    a->resp.topics.v = api_array(r, struct wire_metadata_response_topic, (int64_t)meta_topic_count(a->image) + 1);
    if (!a->resp.topics.v)
        return false;
    for (const struct meta_topic *t = meta_topics_from(a->image, &c, NULL, 0); t; t = meta_topics_next(&c))
        if (!add_topic(r, a, t))
            return false;
    return add_topic(r, a, meta_log_topic(r->api->meta_log, &(struct wire_str){"__meta", 6}, NULL));
}

static const struct meta_topic *find(struct api_req *r, const struct asked *a, const struct wire_str *name,
                                     const struct chronik_uuid *id)
{
    const struct meta_topic *t = meta_log_topic(r->api->meta_log, name, id);
    if (t)
        return t;
    return name ? meta_topic_by_name(a->image, name->p, name->n > 0 ? (size_t)name->n : 0)
                : meta_topic_by_id(a->image, id);
}

/* How often each topic is asked for; 0: it was asked for before. */
static const int32_t *count_asked(struct api_req *r, const struct wire_metadata_request *q)
{
    struct repeat_key *keys = repeats_new(r, q->topics.n);
    for (int32_t i = 0; keys && i < q->topics.n; i++)
        keys[i] = (struct repeat_key){.name = q->topics.v[i].name, .id = &q->topics.v[i].topic_id};
    return repeats_count(r, keys, q->topics.n);
}

static bool fill_asked(struct api_req *r, struct asked *a)
{
    const struct wire_metadata_request *q = a->q;
    bool create = (r->version < 4 || q->allow_auto_topic_creation) &&
                  config_bool(r->api->c.config, CFG_AUTO_CREATE_TOPICS_ENABLE);
    a->resp.topics.v = api_array(r, struct wire_metadata_response_topic, q->topics.n);
    const int32_t *times = count_asked(r, q);
    if (!a->resp.topics.v || !times)
        return false;
    for (int32_t i = 0; i < q->topics.n; i++) {
        struct wire_str name = q->topics.v[i].name;
        const struct chronik_uuid *id = &q->topics.v[i].topic_id;
        bool by_id = r->version >= 10 && !meta_uuid_zero(id);
        if (times[i] == 0)
            continue; /* one answer a topic */
        const struct meta_topic *t = find(r, a, by_id ? NULL : &name, id);
        if (t) {
            if (!add_topic(r, a, t))
                return false;
        } else if (by_id) {
            add_error(a, r->version >= 12 ? (struct wire_str){NULL, -1} : wire_str(""), id, KAFKA_UNKNOWN_TOPIC_ID);
        } else if (name.n < 0 || api_bad_topic_name(&r->arena, name)) {
            add_error(a, name.n < 0 ? wire_str("") : name, NULL, KAFKA_INVALID_TOPIC_EXCEPTION);
        } else if (create && !meta_topic_name_internal(name.p, (size_t)name.n)) {
            topic_auto_create(r, name);
            add_error(a, name, NULL, KAFKA_LEADER_NOT_AVAILABLE);
        } else {
            add_error(a, name, NULL, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
        }
    }
    return true;
}

static void handle(struct api_req *r, const void *body)
{
    struct asked a = {.q = body, .image = api_image(r), .resp = wire_metadata_response_default};
    bool all = a.q->topics.n < 0 || (r->version == 0 && a.q->topics.n == 0);
    bool fine = fill_brokers(r, &a) && (all ? fill_all(r, &a) : fill_asked(r, &a));
    if (!fine) {
        api_image_leave(r);
        api_no_memory(r, "out of memory for a metadata answer");
        return;
    }
    struct chronik_uuid id = meta_cluster_id(a.image);
    char text[UUID_TEXT];
    a.resp.cluster_id = meta_uuid_zero(&id) ? (struct wire_str){NULL, -1} : wire_str(uuid_text(&id, text));
    a.resp.controller_id = meta_controller_id(a.image);
    if (a.q->include_cluster_authorized_operations)
        a.resp.cluster_authorized_operations = AUTHORIZED_CLUSTER;
    api_answer(r, &a.resp);
    api_image_leave(r);
}

const struct api_row api_metadata = {.key = WIRE_API_METADATA, .handle = handle};
