/* describe_producers.c: DescribeProducers (61): the producers that a partition remembers (KIP-664). */
#include "api/rows.h"
#include "api/api.h"

/* false: memory is exhausted. */
static bool describe(struct api_req *r, struct part *part, struct wire_describe_producers_response_partition *a)
{
    struct part_producer_info *v;
    int32_t n;
    a->error_code = part_producers_list(part, &r->arena, &v, &n);
    if (a->error_code != KAFKA_NONE)
        return true;
    a->active_producers.v = api_array(r, struct wire_describe_producers_response_producer_state, n);
    if (!a->active_producers.v)
        return false;
    a->active_producers.n = n;
    for (int32_t i = 0; i < n; i++)
        a->active_producers.v[i] = (struct wire_describe_producers_response_producer_state){
            .producer_id = v[i].producer_id,
            .producer_epoch = v[i].epoch,
            .last_sequence = v[i].last_sequence,
            .last_timestamp = v[i].last_timestamp,
            .coordinator_epoch = v[i].coordinator_epoch,
            .current_txn_start_offset = v[i].txn_start_offset,
        };
    return true;
}

static bool one_partition(struct api_req *r, struct wire_str topic, int32_t index,
                          struct wire_describe_producers_response_partition *a)
{
    struct part *part;
    bool fine = true;
    a->partition_index = index;
    a->error_message.n = -1;
    a->error_code = api_part(r, &topic, NULL, index, &part);
    const struct meta_image *image = api_image(r);
    bool unknown = !meta_topic_by_name(image, topic.p, (size_t)max_i64(topic.n, 0));
    api_image_leave(r);
    if (a->error_code == KAFKA_UNKNOWN_TOPIC_OR_PARTITION && unknown)
        a->error_message = wire_str("This server does not host this topic-partition.");
    if (a->error_code != KAFKA_NONE)
        return true;
    a->error_code = part_check_leader(part, -1);
    if (a->error_code == KAFKA_NONE)
        fine = describe(r, part, a);
    part_unref(part);
    return fine;
}

static bool fill(struct api_req *r, const struct wire_describe_producers_request *q,
                 struct wire_describe_producers_response *resp)
{
    resp->topics.v = api_array(r, struct wire_describe_producers_response_topic, q->topics.n);
    if (!resp->topics.v)
        return false;
    for (int32_t i = 0; i < q->topics.n; i++) {
        const struct wire_describe_producers_request_topic *t = &q->topics.v[i];
        struct wire_describe_producers_response_topic *a = &resp->topics.v[resp->topics.n++];
        a->name = t->name;
        a->partitions.v = api_array(r, struct wire_describe_producers_response_partition, t->partition_indexes.n);
        if (!a->partitions.v)
            return false;
        a->partitions.n = t->partition_indexes.n;
        for (int32_t k = 0; k < t->partition_indexes.n; k++)
            if (!one_partition(r, t->name, t->partition_indexes.v[k], &a->partitions.v[k]))
                return false;
    }
    return true;
}

static void handle(struct api_req *r, const void *body)
{
    struct wire_describe_producers_response resp = wire_describe_producers_response_default;
    if (fill(r, body, &resp))
        api_answer(r, &resp);
    else
        api_no_memory(r, "out of memory for an answer");
}

const struct api_row api_describe_producers = {.key = WIRE_API_DESCRIBE_PRODUCERS, .handle = handle};
