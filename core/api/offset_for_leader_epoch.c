/* offset_for_leader_epoch.c: OffsetForLeaderEpoch (23): where an epoch ended (KIP-101, KIP-320). */
#include "api/rows.h"
#include "api/api.h"
#include "api/meta_topic.h"

static void look_up(struct api_req *r, struct wire_str topic,
                    const struct wire_offset_for_leader_epoch_request_partition *q,
                    struct wire_offset_for_leader_epoch_response_epoch_end_offset *a)
{
    struct part *part;
    struct part_view v;
    uint64_t seen;
    *a = wire_offset_for_leader_epoch_response_epoch_end_offset_default;
    a->partition = q->partition;
    if (meta_log_topic(r->api->meta_log, &topic, NULL)) {
        a->error_code = meta_log_look(r->api->meta_log, q->partition, q->current_leader_epoch, &v, &seen);
        if (a->error_code == KAFKA_NONE && q->leader_epoch == 0) {
            a->leader_epoch = 0;
            a->end_offset = v.log_end;
        }
        return;
    }
    a->error_code = api_part(r, &topic, NULL, q->partition, &part);
    if (a->error_code != KAFKA_NONE)
        return;
    a->error_code = part_check_leader(part, q->current_leader_epoch);
    if (a->error_code == KAFKA_NONE)
        a->error_code = part_epoch_end(part, q->leader_epoch, &a->leader_epoch, &a->end_offset);
    part_unref(part);
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_offset_for_leader_epoch_request *q = body;
    struct wire_offset_for_leader_epoch_response resp = wire_offset_for_leader_epoch_response_default;
    resp.topics.v = api_array(r, struct wire_offset_for_leader_epoch_response_topic, q->topics.n);
    for (int32_t i = 0; resp.topics.v && i < q->topics.n; i++) {
        const struct wire_offset_for_leader_epoch_request_topic *t = &q->topics.v[i];
        struct wire_offset_for_leader_epoch_response_topic *a = &resp.topics.v[resp.topics.n++];
        a->topic = t->topic;
        a->partitions.v = api_array(r, struct wire_offset_for_leader_epoch_response_epoch_end_offset, t->partitions.n);
        if (!a->partitions.v) {
            api_no_memory(r, "out of memory for an answer");
            return;
        }
        a->partitions.n = t->partitions.n;
        for (int32_t k = 0; k < t->partitions.n; k++)
            look_up(r, t->topic, &t->partitions.v[k], &a->partitions.v[k]);
    }
    if (resp.topics.v)
        api_answer(r, &resp);
    else
        api_no_memory(r, "out of memory for an answer");
}

const struct api_row api_offset_for_leader_epoch = {.key = WIRE_API_OFFSET_FOR_LEADER_EPOCH, .handle = handle};
