/* create_partitions.c: CreatePartitions (37): more partitions for topics, never fewer. */
#include "api/rows.h"
#include "api/gather.h"
#include "api/repeats.h"
#include "api/meta_topic.h"
#include "api/topic_spec.h"

struct growth {
    struct gather_proposal p;
    struct wire_create_partitions_response_topic_result *answer;
};

struct create_partitions {
    struct gather g;
    const struct wire_create_partitions_request *q;
    struct wire_create_partitions_response resp;
    struct growth *v;
    const int32_t *times;
};

static void end(struct gather *g)
{
    api_answer(g->r, &CONTAINER_OF(g, struct create_partitions, g)->resp);
}

static void fail(struct wire_create_partitions_response_topic_result *a, int16_t code, const char *why)
{
    a->error_code = code;
    a->error_message = wire_str(why);
}

static void applied(struct gather_proposal *p)
{
    struct growth *w = CONTAINER_OF(p, struct growth, p);
    if (p->result.code != KAFKA_NONE)
        fail(w->answer, p->result.code, p->result.text);
}

/* The new partitions' replicas as asked for, or spread; NULL with the error in the answer. */
static const struct meta_assignment *assign(struct api_req *r, const struct meta_image *image,
                                            const struct wire_create_partitions_request_topic *t, int32_t more,
                                            int32_t replication, struct wire_create_partitions_response_topic_result *a)
{
    const char *why = NULL;
    struct topic_spec s = {.name = t->name, .n_partitions = more, .replication = replication};
    if (t->assignments.n >= 0) {
        if (t->assignments.n != more) {
            fail(a, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                 arena_printf(&r->arena,
                              "Attempted to add %d additional partition(s), but only %d assignment(s) were specified.",
                              more, t->assignments.n));
            return NULL;
        }
        struct meta_assignment *v = api_array(r, struct meta_assignment, more);
        for (int32_t i = 0; v && i < more; i++)
            v[i] = (struct meta_assignment){.replicas = t->assignments.v[i].broker_ids.v,
                                            .n_replicas = (uint32_t)max_i64(t->assignments.v[i].broker_ids.n, 0)};
        s.assignment = v;
    }
    const struct meta_assignment *out = NULL;
    int16_t rc = topic_assign(r, image, &s, &out, &why);
    if (rc != KAFKA_NONE)
        fail(a, rc, why);
    return out;
}

/* How often each topic is named; 0: it was named before. */
static const int32_t *count_names(struct api_req *r, const struct wire_create_partitions_request *q)
{
    int32_t n = (int32_t)max_i64(q->topics.n, 0);
    struct repeat_key *keys = repeats_new(r, n);
    for (int32_t i = 0; keys && i < n; i++)
        keys[i].name = q->topics.v[i].name;
    return repeats_count(r, keys, n);
}

static void begin_one(struct create_partitions *c, const struct meta_image *image, int32_t i)
{
    struct api_req *r = c->g.r;
    const struct wire_create_partitions_request_topic *q = &c->q->topics.v[i];
    int32_t times = c->times[i];
    if (times == 0)
        return; /* one answer a name */
    struct wire_create_partitions_response_topic_result *a = &c->resp.results.v[c->resp.results.n++];
    *a = wire_create_partitions_response_topic_result_default;
    a->name = q->name;
    a->error_message.n = -1;
    const struct meta_topic *t = meta_topic_by_name(image, q->name.p, (size_t)max_i64(q->name.n, 0));
    if (times > 1) {
        fail(a, KAFKA_INVALID_REQUEST, "Duplicate topic name.");
        return;
    }
    if (meta_log_topic(r->api->meta_log, &q->name, NULL)) {
        fail(a, KAFKA_INVALID_TOPIC_EXCEPTION, META_LOG_READ_ONLY);
        return;
    }
    if (!t) {
        fail(a, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, NULL);
        return;
    }
    if (q->count <= t->n_partitions) {
        fail(a, KAFKA_INVALID_PARTITIONS,
             q->count == t->n_partitions
                 ? arena_printf(&r->arena, "Topic already has %d partition(s).", t->n_partitions)
                 : arena_printf(&r->arena, "The topic %.*s currently has %d partition(s); %d would not be an increase.",
                                q->name.n, q->name.p, t->n_partitions, q->count));
        return;
    }
    int32_t more = q->count - t->n_partitions;
    const struct meta_assignment *v = assign(r, image, q, more, meta_partition_of(t, 0)->n_replicas, a);
    if (!v || c->q->validate_only)
        return;
    struct meta_command m = {.type = META_CMD_PARTITIONS_ADD};
    m.u.partitions_add.id = t->id;
    m.u.partitions_add.first = t->n_partitions;
    m.u.partitions_add.partitions = v;
    m.u.partitions_add.n_partitions = (uint32_t)more;
    c->v[i].answer = a;
    c->v[i].p.applied = applied;
    if (!gather_propose(&c->g, &c->v[i].p, &m, c->q->timeout_ms))
        fail(a, KAFKA_REQUEST_TIMED_OUT, "The metadata log takes no proposals at the moment; try again.");
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_create_partitions_request *q = body;
    int32_t n = (int32_t)max_i64(q->topics.n, 0);
    struct create_partitions *c = arena_calloc(&r->arena, 1, sizeof *c);
    if (c) {
        c->q = q;
        c->resp = wire_create_partitions_response_default;
        c->resp.results.v = api_array(r, struct wire_create_partitions_response_topic_result, n);
        c->v = api_array(r, struct growth, n);
        c->times = count_names(r, q);
    }
    if (!c || !c->resp.results.v || !c->v || !c->times) {
        api_no_memory(r, "out of memory for a request");
        return;
    }
    c->g = (struct gather){.r = r, .pending = 1, .end = end};
    const struct meta_image *image = api_image(r);
    for (int32_t i = 0; i < n; i++)
        begin_one(c, image, i);
    api_image_leave(r);
    gather_less(&c->g);
}

const struct api_row api_create_partitions = {.key = WIRE_API_CREATE_PARTITIONS, .handle = handle};
