/* offset_fetch.c: OffsetFetch (9): the committed offsets of groups, from the image alone. What was never committed is
 * offset -1 without an error. There are no transactions, so every offset is stable. */
#include "api/rows.h"
#include "api/api.h"

#include "coord/coord.h"

typedef struct wire_offset_fetch_request_group asked_group;
typedef struct wire_offset_fetch_response_group group_answer;
typedef struct wire_offset_fetch_response_group_topic topic_answer;
typedef struct wire_offset_fetch_response_group_partition partition_answer;

static void fill_offset(partition_answer *a, int32_t partition, const struct meta_offset *o)
{
    a->partition_index = partition;
    a->committed_offset = o ? o->offset : -1;
    a->committed_leader_epoch = o ? o->leader_epoch : -1;
    a->metadata = o ? (struct wire_str){o->metadata, (int32_t)o->n_metadata} : wire_str("");
    a->error_code = KAFKA_NONE;
}

/* The partitions that were asked for. `code`: said of all of them instead. false: out of memory. */
static bool fetch_some(struct api_req *r, const struct meta_image *image, const asked_group *q, int16_t code,
                       group_answer *a)
{
    a->topics.v = api_array(r, topic_answer, q->topics.n);
    if (!a->topics.v)
        return false;
    for (int32_t i = 0; i < q->topics.n; i++) {
        const struct wire_offset_fetch_request_group_topic *qt = &q->topics.v[i];
        topic_answer *t = &a->topics.v[a->topics.n++];
        bool by_id = r->version >= 10;
        const struct meta_topic *topic =
            by_id ? meta_topic_by_id(image, &qt->topic_id)
                  : meta_topic_by_name(image, qt->name.p, qt->name.n > 0 ? (size_t)qt->name.n : 0);
        *t = (topic_answer){.name = qt->name, .topic_id = qt->topic_id};
        t->partitions.v = api_array(r, partition_answer, qt->partition_indexes.n);
        if (!t->partitions.v)
            return false;
        for (int32_t k = 0; k < qt->partition_indexes.n; k++) {
            int32_t p = qt->partition_indexes.v[k];
            struct meta_offset o;
            bool there =
                !code && topic && meta_offset_get(image, q->group_id.p, (size_t)q->group_id.n, &topic->id, p, &o);
            fill_offset(&t->partitions.v[k], p, there ? &o : NULL);
            t->partitions.v[k].error_code = code ? code : by_id && !topic ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_NONE;
        }
        t->partitions.n = qt->partition_indexes.n;
    }
    return true;
}

/* Everything that the group has: rows come topic by topic. false: out of memory. */
static bool fetch_all(struct api_req *r, const struct meta_image *image, const asked_group *q, group_answer *a)
{
    const char *group = q->group_id.p;
    size_t n = (size_t)q->group_id.n, offsets = 0, topics = 0;
    struct meta_cursor c;
    struct meta_offset o;
    struct chronik_uuid last = {{0}};
    for (bool more = meta_offsets_first(image, &c, group, n, &o); more; more = meta_offsets_next(&c, group, n, &o)) {
        topics += offsets++ == 0 || !meta_uuid_eq(&last, &o.topic);
        last = o.topic;
    }
    a->topics.v = api_array(r, topic_answer, topics);
    partition_answer *v = api_array(r, partition_answer, offsets);
    if (!a->topics.v || !v)
        return false;
    topic_answer *t = NULL;
    for (bool more = meta_offsets_first(image, &c, group, n, &o); more; more = meta_offsets_next(&c, group, n, &o)) {
        if (!t || !meta_uuid_eq(&t->topic_id, &o.topic)) {
            const struct meta_topic *topic = meta_topic_by_id(image, &o.topic);
            t = &a->topics.v[a->topics.n++];
            *t = (topic_answer){.topic_id = o.topic, .name = wire_str(topic ? topic->name : "")};
            t->partitions.v = v;
        }
        fill_offset(v++, o.partition, &o);
        t->partitions.n++;
    }
    return true;
}

/* false: out of memory. */
static bool fetch_group(struct api_req *r, const struct meta_image *image, const asked_group *q, group_answer *a)
{
    *a = wire_offset_fetch_response_group_default;
    a->group_id = q->group_id;
    a->error_code =
        api_bad_group_id(q->group_id) ? KAFKA_INVALID_GROUP_ID : coord_check_slot(r->api->c.coord, q->group_id, NULL);
    if (a->error_code) /* before version 2 there was no place but the partitions */
        return r->version >= 2 || fetch_some(r, image, q, a->error_code, a);
    return q->topics.n < 0 ? fetch_all(r, image, q, a) : fetch_some(r, image, q, KAFKA_NONE, a);
}

/* ---- versions 1 to 7: one group, its fields in the message itself ---- */

static bool ask_old(struct api_req *r, const struct wire_offset_fetch_request *q, asked_group *out)
{
    *out = (asked_group){.group_id = q->group_id, .topics.n = -1};
    if (q->topics.n < 0)
        return true;
    out->topics.v = api_array(r, struct wire_offset_fetch_request_group_topic, q->topics.n);
    if (!out->topics.v)
        return false;
    for (out->topics.n = 0; out->topics.n < q->topics.n; out->topics.n++) {
        const struct wire_offset_fetch_request_topic *from = &q->topics.v[out->topics.n];
        struct wire_offset_fetch_request_group_topic *to = &out->topics.v[out->topics.n];
        to->name = from->name;
        to->partition_indexes.v = from->partition_indexes.v;
        to->partition_indexes.n = from->partition_indexes.n;
    }
    return true;
}

static bool answer_old(struct api_req *r, const group_answer *a, struct wire_offset_fetch_response *resp)
{
    resp->error_code = a->error_code;
    resp->topics.v = api_array(r, struct wire_offset_fetch_response_topic, a->topics.n);
    if (!resp->topics.v)
        return false;
    for (int32_t i = 0; i < a->topics.n; i++) {
        const topic_answer *from = &a->topics.v[i];
        struct wire_offset_fetch_response_topic *to = &resp->topics.v[resp->topics.n++];
        to->name = from->name;
        to->partitions.v = api_array(r, struct wire_offset_fetch_response_partition, from->partitions.n);
        if (!to->partitions.v)
            return false;
        for (int32_t k = 0; k < from->partitions.n; k++) {
            const partition_answer *p = &from->partitions.v[k];
            to->partitions.v[to->partitions.n++] =
                (struct wire_offset_fetch_response_partition){.partition_index = p->partition_index,
                                                              .committed_offset = p->committed_offset,
                                                              .committed_leader_epoch = p->committed_leader_epoch,
                                                              .metadata = p->metadata,
                                                              .error_code = p->error_code};
        }
    }
    return true;
}

static bool fetch_old(struct api_req *r, const struct meta_image *image, const struct wire_offset_fetch_request *q,
                      struct wire_offset_fetch_response *resp)
{
    asked_group asked;
    group_answer a;
    return ask_old(r, q, &asked) && fetch_group(r, image, &asked, &a) && answer_old(r, &a, resp);
}

static bool fetch_new(struct api_req *r, const struct meta_image *image, const struct wire_offset_fetch_request *q,
                      struct wire_offset_fetch_response *resp)
{
    resp->groups.v = api_array(r, group_answer, q->groups.n);
    if (!resp->groups.v)
        return false;
    for (int32_t i = 0; i < q->groups.n; i++)
        if (!fetch_group(r, image, &q->groups.v[i], &resp->groups.v[resp->groups.n++]))
            return false;
    return true;
}

static void handle(struct api_req *r, const void *body)
{
    struct wire_offset_fetch_response resp = wire_offset_fetch_response_default;
    const struct meta_image *image = api_image(r);
    if (r->version < 8 ? fetch_old(r, image, body, &resp) : fetch_new(r, image, body, &resp))
        api_answer(r, &resp); /* texts are the image's */
    else
        api_no_memory(r, "out of memory for an offset fetch");
    api_image_leave(r);
}

const struct api_row api_offset_fetch = {.key = WIRE_API_OFFSET_FETCH, .handle = handle};
