/* describe_quorum.c: DescribeQuorum (55): who keeps the metadata log and how far each is (KIP-595), told from the
 * metadata module's status. Its one partition has Kafka's name, although there is no such topic to read here. */
#include "api/rows.h"
#include "api/api.h"

#include "base/uuid.h"

static const char quorum_topic[] = "__cluster_metadata";

struct answer {
    struct wire_describe_quorum_response resp;
    struct wire_describe_quorum_response_topic_data topic;
    struct wire_describe_quorum_response_partition_data part;
    struct wire_describe_quorum_response_replica_state self;
    struct wire_describe_quorum_response_node node;
};

static bool asks_for_it(const struct wire_describe_quorum_request *q)
{
    return q->topics.n == 1 && wire_str_is(q->topics.v[0].topic_name, quorum_topic) &&
           q->topics.v[0].partitions.n == 1 && q->topics.v[0].partitions.v[0].partition_index == 0;
}

/* Whatever was asked for, with an error each. */
static bool unknown(struct api_req *r, const struct wire_describe_quorum_request *q,
                    struct wire_describe_quorum_response *resp)
{
    resp->topics.v = api_array(r, struct wire_describe_quorum_response_topic_data, q->topics.n);
    for (int32_t i = 0; resp->topics.v && i < q->topics.n; i++) {
        struct wire_describe_quorum_response_topic_data *t = &resp->topics.v[resp->topics.n++];
        int32_t n = q->topics.v[i].partitions.n;
        t->topic_name = q->topics.v[i].topic_name;
        t->partitions.v = api_array(r, struct wire_describe_quorum_response_partition_data, n);
        if (!t->partitions.v)
            return false;
        for (int32_t k = 0; k < n; k++)
            t->partitions.v[t->partitions.n++] = (struct wire_describe_quorum_response_partition_data){
                .partition_index = q->topics.v[i].partitions.v[k].partition_index,
                .error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                .error_message = wire_str(r->version >= 2 ? "This server does not host this topic-partition." : "")};
    }
    return resp->topics.v;
}

static void fill(struct api_req *r, struct answer *a)
{
    struct meta_status s;
    int64_t now = os_wall_ms(r->api->c.os);
    meta_status_get(r->api->c.meta, &s);
    a->self = wire_describe_quorum_response_replica_state_default;
    a->self.replica_id = s.engine.leader;
    if (r->api->c.n_log_dirs && r->version >= 2)
        a->self.replica_directory_id = r->api->c.log_dir_ids[0];
    a->self.log_end_offset = (int64_t)s.engine.persisted + 1;
    if (r->version >= 1)
        a->self.last_fetch_timestamp = a->self.last_caught_up_timestamp = now;
    a->part = wire_describe_quorum_response_partition_data_default;
    a->part.leader_id = s.engine.leader;
    a->part.leader_epoch = (int32_t)s.engine.epoch;
    a->part.high_watermark = (int64_t)s.engine.committed + 1;
    a->part.current_voters.v = &a->self;
    a->part.current_voters.n = s.engine.leader >= 0;
    a->topic.topic_name = wire_str(quorum_topic);
    a->topic.partitions.v = &a->part;
    a->topic.partitions.n = 1;
    a->node.node_id = s.engine.leader;
    a->resp.topics.v = &a->topic;
    a->resp.topics.n = 1;
    a->resp.nodes.v = &a->node;
    a->resp.nodes.n = s.engine.leader >= 0 && r->version >= 2;
}

static void handle(struct api_req *r, const void *body)
{
    struct answer *a = arena_calloc(&r->arena, 1, sizeof *a);
    bool fine = a;
    if (a) {
        a->resp = wire_describe_quorum_response_default;
        a->resp.error_message = wire_str("");
        if (asks_for_it(body))
            fill(r, a);
        else
            fine = unknown(r, body, &a->resp);
    }
    if (fine)
        api_answer(r, &a->resp);
    else
        api_no_memory(r, "out of memory for an answer");
}

const struct api_row api_describe_quorum = {.key = WIRE_API_DESCRIBE_QUORUM, .handle = handle};
