/* offset_commit.c: OffsetCommit (8): a member's or a simple client's offsets become metadata; answered when they are
 * applied. Unknown partitions and too long texts are refused one by one, the rest is committed. */
#include "api/rows.h"
#include "api/commit_queue.h"

#include "coord/coord.h"

enum { TOPIC_BYTES = 24, PARTITION_BYTES = 40, COMMIT_BYTES = 32 };

struct offset_commit {
    struct api_req *r;
    const struct wire_offset_commit_request *q;
    struct wire_offset_commit_response resp;
    struct commit_job job;
    struct meta_commit_topic *topics;
    int64_t expire_ms;
    int64_t max_metadata;
};

/* Kafka counts UTF-16 units. */
static int64_t utf16_length(struct wire_str s)
{
    int64_t n = 0;
    for (int32_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        n += (c & 0xc0) != 0x80;
        n += c >= 0xf0;
    }
    return n;
}

/* What the partitions that are to be committed are told; those that were refused keep their code. */
static void tell_rest(struct offset_commit *o, int16_t code)
{
    for (int32_t i = 0; code && i < o->resp.topics.n; i++)
        for (int32_t k = 0; k < o->resp.topics.v[i].partitions.n; k++)
            if (!o->resp.topics.v[i].partitions.v[k].error_code)
                o->resp.topics.v[i].partitions.v[k].error_code = code;
}

/* On the loop. */
static void committed(struct commit_job *j)
{
    struct offset_commit *o = CONTAINER_OF(j, struct offset_commit, job);
    tell_rest(o, j->code);
    api_answer(o->r, &o->resp);
}

/* Which partitions exist. true: some do. */
static bool find_partitions(struct offset_commit *o, const struct meta_image *image, int32_t topic)
{
    struct api_req *r = o->r;
    const struct wire_offset_commit_request_topic *q = &o->q->topics.v[topic];
    struct wire_offset_commit_response_topic *a = &o->resp.topics.v[topic];
    bool by_id = r->version >= 10, any = false;
    const struct meta_topic *t = by_id ? meta_topic_by_id(image, &q->topic_id)
                                       : meta_topic_by_name(image, q->name.p, q->name.n > 0 ? (size_t)q->name.n : 0);
    for (int32_t i = 0; i < q->partitions.n; i++) {
        a->partitions.v[i].partition_index = q->partitions.v[i].partition_index;
        if (!t && by_id)
            a->partitions.v[i].error_code = KAFKA_UNKNOWN_TOPIC_ID;
        else if (!t || !meta_partition_of(t, q->partitions.v[i].partition_index))
            a->partitions.v[i].error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        else
            any = true;
    }
    if (t) {
        o->topics[topic].id = t->id;
        struct wire_str name = by_id ? api_str_copy(r, (struct wire_str){t->name, t->name_len}) : q->name;
        o->topics[topic].name = (struct meta_span){name.p, (uint32_t)max_i64(name.n, 0)};
    }
    return any;
}

/* false: out of memory. */
static bool prepare(struct offset_commit *o, bool *any)
{
    struct api_req *r = o->r;
    const struct wire_offset_commit_request *q = o->q;
    o->resp = wire_offset_commit_response_default;
    o->resp.topics.v = api_array(r, struct wire_offset_commit_response_topic, q->topics.n);
    o->topics = api_array(r, struct meta_commit_topic, q->topics.n);
    if (!o->resp.topics.v || !o->topics)
        return false;
    o->resp.topics.n = q->topics.n;
    const struct meta_image *image = api_image(r);
    bool fine = true;
    for (int32_t i = 0; i < q->topics.n && fine; i++) {
        struct wire_offset_commit_response_topic *a = &o->resp.topics.v[i];
        a->name = q->topics.v[i].name;
        a->topic_id = q->topics.v[i].topic_id;
        a->partitions.v = api_array(r, struct wire_offset_commit_response_partition, q->topics.v[i].partitions.n);
        fine = a->partitions.v != NULL;
        a->partitions.n = q->topics.v[i].partitions.n;
        if (fine)
            *any |= find_partitions(o, image, i);
    }
    api_image_leave(r);
    return fine;
}

/* The topic's partitions that go into the command; false: out of memory. */
static bool gather_topic(struct offset_commit *o, int32_t topic, struct meta_commit_topic *out)
{
    const struct wire_offset_commit_request_topic *q = &o->q->topics.v[topic];
    struct wire_offset_commit_response_topic *a = &o->resp.topics.v[topic];
    struct meta_commit_partition *v = api_array(o->r, struct meta_commit_partition, q->partitions.n);
    if (!v)
        return false;
    uint32_t n = 0;
    for (int32_t i = 0; i < q->partitions.n; i++) {
        const struct wire_offset_commit_request_partition *p = &q->partitions.v[i];
        struct wire_str text = p->committed_metadata;
        if (a->partitions.v[i].error_code)
            continue;
        if (text.n > o->max_metadata && utf16_length(text) > o->max_metadata) {
            a->partitions.v[i].error_code = KAFKA_OFFSET_METADATA_TOO_LARGE;
            continue;
        }
        v[n++] = (struct meta_commit_partition){.partition = p->partition_index,
                                                .leader_epoch = p->committed_leader_epoch,
                                                .offset = p->committed_offset,
                                                .expire_ms = o->expire_ms,
                                                .metadata = {text.p, (uint32_t)max_i64(text.n, 0)}};
        o->job.bytes += PARTITION_BYTES + (size_t)max_i64(text.n, 0);
    }
    *out = o->topics[topic];
    out->partitions = v;
    out->n_partitions = n;
    o->job.bytes += TOPIC_BYTES + out->name.n;
    return true;
}

/* Hands the commit over; false: out of memory. */
static bool commit(struct offset_commit *o, int64_t epoch)
{
    struct api_req *r = o->r;
    const struct wire_offset_commit_request *q = o->q;
    uint32_t n = 0;
    o->max_metadata = config_i64(r->api->c.config, CFG_OFFSET_METADATA_MAX_BYTES);
    o->expire_ms = q->retention_time_ms < 0 ? -1 : os_wall_ms(r->api->c.os) + q->retention_time_ms;
    o->job.bytes = COMMIT_BYTES + (size_t)q->group_id.n;
    for (int32_t i = 0; i < q->topics.n; i++) {
        if (!gather_topic(o, i, &o->topics[n]))
            return false;
        n += o->topics[n].n_partitions > 0;
    }
    o->job.commit = (struct meta_commit){
        .owner = {.slot = (int32_t)coord_slot_of(r->api->c.coord, q->group_id), .epoch = epoch},
        .group = {q->group_id.p, (uint32_t)q->group_id.n},
        .generation = q->generation_id_or_member_epoch < 0 ? -1 : q->generation_id_or_member_epoch,
        .topics = o->topics,
        .n_topics = n,
    };
    if (n == 0) {
        api_answer(r, &o->resp);
        return true;
    }
    o->job.loop = r->loop;
    o->job.fn = committed;
    commit_queue_put(r->api->commits, &o->job);
    return true;
}

static void handle(struct api_req *r, const void *body)
{
    struct offset_commit *o = arena_calloc(&r->arena, 1, sizeof *o);
    bool any = false;
    if (!o || (o->r = r, o->q = body, !prepare(o, &any))) {
        api_no_memory(r, "out of memory for an offset commit");
        return;
    }
    int64_t epoch = 0;
    int16_t code = KAFKA_NONE;
    struct coord_commit check = {.group = o->q->group_id,
                                 .member_id = o->q->member_id,
                                 .instance_id = o->q->group_instance_id,
                                 .generation = o->q->generation_id_or_member_epoch,
                                 .version = r->version};
    if (any)
        code = api_bad_group_id(check.group) ? KAFKA_INVALID_GROUP_ID
                                             : coord_check_commit(r->api->c.coord, &check, &epoch);
    if (!any || code) {
        tell_rest(o, code);
        api_answer(r, &o->resp);
    } else if (!commit(o, epoch)) {
        api_no_memory(r, "out of memory for an offset commit");
    }
}

const struct api_row api_offset_commit = {.key = WIRE_API_OFFSET_COMMIT, .handle = handle};
