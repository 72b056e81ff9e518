/* offset_delete.c: OffsetDelete (47): forgets offsets of partitions that no live member of the group reads. */
#include "api/rows.h"
#include "api/api.h"

#include "coord/coord.h"

enum { TIMEOUT_MS = 5000 };

struct offset_delete {
    struct api_req *r;
    const struct wire_offset_delete_request *q;
    struct wire_offset_delete_response resp;
    struct meta_offset_key *keys;
    uint32_t n;
    int16_t code;
    struct chronik_task task;
};

static void answer_error(struct api_req *r, int16_t code)
{
    struct wire_offset_delete_response resp = wire_offset_delete_response_default;
    resp.error_code = code;
    api_answer(r, &resp);
}

/* On the loop. A group that went meanwhile took its offsets with it. */
static void deleted(void *arg)
{
    struct offset_delete *d = arg;
    if (d->code == KAFKA_NONE || d->code == KAFKA_GROUP_ID_NOT_FOUND)
        api_answer(d->r, &d->resp);
    else
        answer_error(d->r, d->code == KAFKA_REQUEST_TIMED_OUT ? KAFKA_COORDINATOR_NOT_AVAILABLE : d->code);
}

/* On the apply executor. */
static void applied(void *arg, const struct meta_result *result)
{
    struct offset_delete *d = arg;
    d->code = result->code;
    d->task = (struct chronik_task){.fn = deleted, .arg = d};
    os_exec_post(d->r->loop->exec, &d->task);
}

static void check_topic(struct offset_delete *d, const struct meta_image *image,
                        const struct wire_offset_delete_request_topic *q, struct wire_offset_delete_response_topic *a)
{
    const struct meta_topic *t = meta_topic_by_name(image, q->name.p, q->name.n > 0 ? (size_t)q->name.n : 0);
    bool read = t && coord_has_live_subscription(d->r->api->c.coord, d->q->group_id, q->name);
    for (int32_t i = 0; i < q->partitions.n; i++) {
        struct wire_offset_delete_response_partition *p = &a->partitions.v[i];
        p->partition_index = q->partitions.v[i].partition_index;
        if (!t || !meta_partition_of(t, p->partition_index))
            p->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        else if (read)
            p->error_code = KAFKA_GROUP_SUBSCRIBED_TO_TOPIC;
        else
            d->keys[d->n++] = (struct meta_offset_key){.topic = t->id,
                                                       .name = {q->name.p, (uint32_t)q->name.n},
                                                       .partition = p->partition_index,
                                                       .commit_ms = -1};
    }
}

/* Fills the answer and what is to go; false: out of memory. */
static bool check(struct offset_delete *d)
{
    struct api_req *r = d->r;
    const struct wire_offset_delete_request *q = d->q;
    int32_t total = 0;
    for (int32_t i = 0; i < q->topics.n; i++)
        total += q->topics.v[i].partitions.n;
    d->resp = wire_offset_delete_response_default;
    d->resp.topics.v = api_array(r, struct wire_offset_delete_response_topic, q->topics.n);
    d->keys = api_array(r, struct meta_offset_key, total);
    struct wire_offset_delete_response_partition *parts =
        api_array(r, struct wire_offset_delete_response_partition, total);
    if (!d->resp.topics.v || !d->keys || !parts)
        return false;
    const struct meta_image *image = api_image(r);
    for (int32_t i = 0; i < q->topics.n; i++) {
        if (q->topics.v[i].partitions.n <= 0)
            continue; /* nothing to tell of it */
        struct wire_offset_delete_response_topic *a = &d->resp.topics.v[d->resp.topics.n++];
        a->name = q->topics.v[i].name;
        a->partitions.v = parts;
        a->partitions.n = q->topics.v[i].partitions.n;
        parts += a->partitions.n;
        check_topic(d, image, &q->topics.v[i], a);
    }
    api_image_leave(r);
    return true;
}

static void propose(struct offset_delete *d, int64_t epoch)
{
    struct api_req *r = d->r;
    struct meta_command c = {.type = META_CMD_OFFSETS_DELETE};
    c.u.offsets_delete = (struct meta_offsets_delete){
        .owner = {.slot = (int32_t)coord_slot_of(r->api->c.coord, d->q->group_id), .epoch = epoch},
        .group = {d->q->group_id.p, (uint32_t)d->q->group_id.n},
        .keys = d->keys,
        .n_keys = d->n};
    int32_t rc = meta_propose(r->api->c.meta, META_COORDINATOR, &c, TIMEOUT_MS, applied, d);
    if (rc < 0)
        answer_error(r, rc == CHRONIK_E_BUSY ? KAFKA_COORDINATOR_LOAD_IN_PROGRESS : KAFKA_COORDINATOR_NOT_AVAILABLE);
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_offset_delete_request *q = body;
    int64_t epoch;
    int16_t code = q->group_id.n <= 0 || api_bad_group_id(q->group_id)
                       ? KAFKA_INVALID_GROUP_ID
                       : coord_check_offset_delete(r->api->c.coord, q->group_id, &epoch);
    if (code) {
        answer_error(r, code);
        return;
    }
    struct offset_delete *d = arena_calloc(&r->arena, 1, sizeof *d);
    if (!d || (d->r = r, d->q = q, !check(d)))
        api_no_memory(r, "out of memory for a request");
    else if (d->n == 0)
        api_answer(r, &d->resp);
    else
        propose(d, epoch);
}

const struct api_row api_offset_delete = {.key = WIRE_API_OFFSET_DELETE, .handle = handle};
