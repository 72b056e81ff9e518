/* list_offsets.c: ListOffsets (2). Ends and starts come from memory; a search by time reads batches, on a worker. */
#include "api/rows.h"
#include "api/api.h"
#include "api/meta_topic.h"
#include "api/repeats.h"

struct lookup {
    struct part *part; /* NULL: __meta */
    const struct wire_list_offsets_request_partition *ask;
    struct wire_list_offsets_response_partition *answer;
};

struct list_offsets {
    struct wire_list_offsets_response resp;
    struct lookup *v;
    int32_t n;
    bool read_committed;
};

/* Which special timestamps a version knows (KIP-734, KIP-405, KIP-1005, KIP-1023). */
static bool version_knows(int16_t version, int64_t ts)
{
    return ts >= -2 || (ts == -3 && version >= 7) || (ts == -4 && version >= 8) || (ts == -5 && version >= 9) ||
           (ts == -6 && version >= 11);
}

static void look_up(struct api_req *r)
{
    struct list_offsets *l = r->state;
    for (int32_t i = 0; i < l->n; i++) {
        struct lookup *u = &l->v[i];
        int64_t offset, ts;
        int32_t epoch = 0;
        u->answer->error_code =
            u->part ? part_list_offset(u->part, u->ask->timestamp, l->read_committed, &offset, &ts, &epoch)
                    : meta_log_list_offset(r->api->meta_log, u->ask->timestamp, &offset, &ts);
        if (u->answer->error_code == KAFKA_NONE) {
            u->answer->offset = offset;
            u->answer->timestamp = ts;
            u->answer->leader_epoch = r->version >= 4 ? epoch : -1;
        }
        if (u->part)
            part_unref(u->part);
    }
}

/* A Kafka code; 0 with the partition, or NULL for __meta. */
static int16_t find(struct api_req *r, const struct wire_str *topic,
                    const struct wire_list_offsets_request_partition *p, struct part **out)
{
    struct part_view v;
    uint64_t seen;
    *out = NULL;
    if (meta_log_topic(r->api->meta_log, topic, NULL))
        return meta_log_look(r->api->meta_log, p->partition_index, p->current_leader_epoch, &v, &seen);
    int16_t rc = api_part(r, topic, NULL, p->partition_index, out);
    if (rc == KAFKA_NONE && (rc = part_check_leader(*out, p->current_leader_epoch)) != KAFKA_NONE)
        part_unref(*out);
    return rc;
}

/* How often each partition is asked for, over all entries of its topic; 0: it was asked for before. */
static const int32_t *count_asked(struct api_req *r, const struct wire_list_offsets_request *q, int32_t total)
{
    struct repeat_key *keys = repeats_new(r, total), *next = keys;
    for (int32_t i = 0; keys && i < q->topics.n; i++)
        for (int32_t k = 0; k < q->topics.v[i].partitions.n; k++)
            *next++ = (struct repeat_key){.name = q->topics.v[i].name,
                                          .number = q->topics.v[i].partitions.v[k].partition_index};
    return repeats_count(r, keys, total);
}

static void answer(struct api_req *r)
{
    struct list_offsets *l = r->state;
    api_answer(r, &l->resp);
}

/* false: memory is exhausted. */
static bool open_parts(struct api_req *r, const struct wire_list_offsets_request *q, struct list_offsets *l,
                       bool *cheap)
{
    int32_t total = 0;
    for (int32_t i = 0; i < q->topics.n; i++)
        total += q->topics.v[i].partitions.n;
    l->v = api_array(r, struct lookup, total);
    l->resp.topics.v = api_array(r, struct wire_list_offsets_response_topic, q->topics.n);
    const int32_t *next = count_asked(r, q, total);
    if (!l->v || !l->resp.topics.v || !next)
        return false;
    for (int32_t i = 0; i < q->topics.n; i++) {
        const struct wire_list_offsets_request_topic *t = &q->topics.v[i];
        struct wire_list_offsets_response_topic *a = &l->resp.topics.v[l->resp.topics.n++];
        a->name = t->name;
        a->partitions.v = api_array(r, struct wire_list_offsets_response_partition, t->partitions.n);
        if (!a->partitions.v)
            return false;
        for (int32_t k = 0; k < t->partitions.n; k++) {
            const struct wire_list_offsets_request_partition *p = &t->partitions.v[k];
            int32_t times = *next++;
            if (times == 0)
                continue; /* one answer a partition */
            struct wire_list_offsets_response_partition *b = &a->partitions.v[a->partitions.n++];
            *b = wire_list_offsets_response_partition_default;
            b->partition_index = p->partition_index;
            if (times > 1) {
                b->error_code = KAFKA_INVALID_REQUEST;
                continue;
            }
            if (!version_knows(r->version, p->timestamp)) {
                b->error_code = KAFKA_UNSUPPORTED_VERSION;
                continue;
            }
            struct part *part;
            b->error_code = find(r, &t->name, p, &part);
            if (b->error_code != KAFKA_NONE)
                continue;
            *cheap &= part_list_offset_is_cheap(p->timestamp);
            l->v[l->n++] = (struct lookup){part, p, b};
        }
        if (a->partitions.n == 0)
            l->resp.topics.n--;
    }
    return true;
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_list_offsets_request *q = body;
    struct list_offsets *l = arena_calloc(&r->arena, 1, sizeof *l);
    bool cheap = true;
    if (!l || (l->resp = wire_list_offsets_response_default, !open_parts(r, q, l, &cheap))) {
        for (int32_t i = 0; l && i < l->n; i++)
            if (l->v[i].part)
                part_unref(l->v[i].part);
        api_no_memory(r, "out of memory for a request");
        return;
    }
    l->read_committed = q->isolation_level == 1;
    r->state = l;
    if (cheap) {
        look_up(r);
        answer(r);
        return;
    }
    api_on_worker(r, look_up, answer);
}

const struct api_row api_list_offsets = {.key = WIRE_API_LIST_OFFSETS, .handle = handle};
