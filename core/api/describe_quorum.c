/* describe_quorum.c: DescribeQuorum (55): who keeps the metadata log and how far each is (KIP-595). The leader alone
 * knows the others, so it is asked first, wherever it is. The one partition has Kafka's name, although there is no such
 * topic to read here. A directory id is that of the data directory with the metadata, as in its meta.properties. */
#include "api/quorum.h"
#include "api/rows.h"

#include <stdlib.h>

enum { ROWS_MOST = 64 };

static const char quorum_topic[] = "__cluster_metadata";

struct answer {
    struct wire_describe_quorum_response resp;
    struct wire_describe_quorum_response_topic_data topic;
    struct wire_describe_quorum_response_partition_data part;
    struct quorum_ask q;
    struct wire_describe_quorum_response_replica_state voters[ROWS_MOST], observers[ROWS_MOST];
    struct wire_describe_quorum_response_node nodes[ROWS_MOST];
    struct wire_describe_quorum_response_listener listeners[ROWS_MOST];
    struct meta_status status;
    int64_t now;
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

static int64_t ago(int64_t now, int64_t ms)
{
    return ms < 0 ? -1 : now - ms;
}

/* "[::1]:9093" or "host:9093". */
static void put_node(struct answer *a, const struct chronik_meta_member *x)
{
    struct api_req *r = a->q.r;
    struct wire_describe_quorum_response_node *n = &a->nodes[a->resp.nodes.n];
    struct wire_describe_quorum_response_listener *l = &a->listeners[a->resp.nodes.n++];
    const char *colon = strrchr(x->address, ':'), *host = x->address;
    *n = (struct wire_describe_quorum_response_node){.node_id = (int32_t)x->node_id};
    if (!colon)
        return;
    size_t len = (size_t)(colon - host);
    if (len > 1 && host[0] == '[') {
        host++;
        len -= 2;
    }
    host = arena_strndup(&r->arena, host, len);
    l->name = wire_str(quorum_listener(r));
    l->host = wire_str(host ? host : "");
    l->port = (uint16_t)strtoul(colon + 1, NULL, 10);
    n->listeners.v = l;
    n->listeners.n = 1;
}

static void put_member(void *arg, const struct chronik_meta_member *x)
{
    struct answer *a = arg;
    bool voter = x->kind == CHRONIK_META_VOTER, v1 = a->q.r->version >= 1;
    int32_t *n = voter ? &a->part.current_voters.n : &a->part.observers.n;
    if (*n == ROWS_MOST)
        return;
    struct wire_describe_quorum_response_replica_state *s = voter ? &a->voters[*n] : &a->observers[*n];
    ++*n;
    *s = wire_describe_quorum_response_replica_state_default;
    s->replica_id = (int32_t)x->node_id;
    s->log_end_offset = x->match ? (int64_t)x->match + 1 : -1;
    if (a->q.r->version >= 2)
        s->replica_directory_id = x->directory;
    if (v1)
        s->last_fetch_timestamp = x->leads ? a->now : ago(a->now, x->heard_ms);
    if (v1)
        s->last_caught_up_timestamp = x->leads ? a->now : ago(a->now, x->caught_up_ms);
    if (voter && a->q.r->version >= 2)
        put_node(a, x);
}

static void fill(struct answer *a)
{
    a->now = os_wall_ms(a->q.r->api->c.os);
    meta_status_get(a->q.r->api->c.meta, &a->status);
    const struct chronik_meta_status *s = &a->status.engine;
    a->part.leader_id = s->leader;
    a->part.leader_epoch = (int32_t)s->epoch;
    a->part.high_watermark = (int64_t)s->committed + 1;
    a->part.current_voters.v = a->voters;
    a->part.observers.v = a->observers;
    a->resp.nodes.v = a->nodes;
    meta_members(a->q.r->api->c.meta, put_member, a);
    if (s->leader < 0)
        a->part.error_code = KAFKA_NOT_LEADER_OR_FOLLOWER;
}

static void asked(struct quorum_ask *q)
{
    struct answer *a = CONTAINER_OF(q, struct answer, q);
    a->part = wire_describe_quorum_response_partition_data_default;
    a->part.error_message = wire_str("");
    a->topic.topic_name = wire_str(quorum_topic);
    a->topic.partitions.v = &a->part;
    a->topic.partitions.n = 1;
    a->resp.topics.v = &a->topic;
    a->resp.topics.n = 1;
    if (q->result >= 0 || q->result == CHRONIK_E_UNSUPPORTED) {
        fill(a);
    } else { /* as a replica that does not lead: the client asks again */
        a->part.error_code = KAFKA_NOT_LEADER_OR_FOLLOWER;
        a->part.error_message = wire_str(q->r->version >= 2 ? q->why : "");
    }
    api_answer(q->r, &a->resp);
}

static void handle(struct api_req *r, const void *body)
{
    struct answer *a = arena_calloc(&r->arena, 1, sizeof *a);
    if (!a) {
        api_no_memory(r, "out of memory for an answer");
        return;
    }
    a->resp = wire_describe_quorum_response_default;
    a->resp.error_message = wire_str("");
    a->q = (struct quorum_ask){.r = r, .done = asked, .change = {.op = CHRONIK_META_REFRESH}};
    if (asks_for_it(body))
        quorum_ask(&a->q);
    else if (unknown(r, body, &a->resp))
        api_answer(r, &a->resp);
    else
        api_no_memory(r, "out of memory for an answer");
}

const struct api_row api_describe_quorum = {.key = WIRE_API_DESCRIBE_QUORUM, .handle = handle};
