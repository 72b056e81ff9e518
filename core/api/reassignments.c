/* reassignments.c: AlterPartitionReassignments (45) and ListPartitionReassignments (46), KIP-455. Partitions are not
 * replicated yet, so that a reassignment that needs data on another broker is refused; one that only changes the order
 * of the replicas, or nothing, is done at once. Hence none is ever in progress. */
#include "api/rows.h"
#include "api/gather.h"
#include "api/topic_spec.h"

struct change {
    struct gather_proposal p;
    struct wire_alter_partition_reassignments_response_reassignable_partition *answer;
};

struct reassign {
    struct gather g;
    const struct wire_alter_partition_reassignments_request *q;
    struct wire_alter_partition_reassignments_response resp;
    const struct meta_image *image;
};

static void end(struct gather *g)
{
    api_answer(g->r, &CONTAINER_OF(g, struct reassign, g)->resp);
}

static void fail(struct wire_alter_partition_reassignments_response_reassignable_partition *a, int16_t code,
                 const char *why)
{
    a->error_code = code;
    a->error_message = wire_str(why);
}

static void applied(struct gather_proposal *p)
{
    struct change *c = CONTAINER_OF(p, struct change, p);
    if (p->result.code != KAFKA_NONE)
        fail(c->answer, p->result.code, p->result.text);
}

static bool among(const int32_t *v, int32_t n, int32_t id)
{
    for (int32_t i = 0; i < n; i++)
        if (v[i] == id)
            return true;
    return false;
}

static void reorder(struct reassign *s, const struct meta_topic *t, int32_t index, const int32_t *replicas, int32_t n,
                    struct wire_alter_partition_reassignments_response_reassignable_partition *a)
{
    const struct meta_partition *p = meta_partition_of(t, index);
    struct meta_command m = {.type = META_CMD_PARTITION_CHANGE};
    struct change *c = arena_calloc(&s->g.r->arena, 1, sizeof *c);
    m.u.partition_change.topic = t->id;
    m.u.partition_change.partition = index;
    m.u.partition_change.partition_epoch = p->partition_epoch;
    m.u.partition_change.leader_epoch = p->leader_epoch;
    m.u.partition_change.leader = META_LEADER_KEEP;
    m.u.partition_change.replicas = replicas;
    m.u.partition_change.n_replicas = (uint32_t)n;
    if (c) {
        c->answer = a;
        c->p.applied = applied;
    }
    if (!c || !gather_propose(&s->g, &c->p, &m, s->q->timeout_ms))
        fail(a, KAFKA_REQUEST_TIMED_OUT, "The metadata log takes no proposals at the moment; try again.");
}

static void alter(struct reassign *s, const struct meta_topic *t,
                  const struct wire_alter_partition_reassignments_request_reassignable_partition *w,
                  struct wire_alter_partition_reassignments_response_reassignable_partition *a)
{
    const struct meta_partition *p = meta_partition_of(t, w->partition_index);
    const char *why = NULL;
    if (w->replicas.n < 0) {
        fail(a, KAFKA_NO_REASSIGNMENT_IN_PROGRESS, NULL); /* the code says it all, and Kafka no more */
        return;
    }
    struct meta_assignment one = {.replicas = w->replicas.v, .n_replicas = (uint32_t)w->replicas.n};
    int16_t rc = topic_check_replicas(s->g.r, s->image, &one, -1, &why);
    if (rc != KAFKA_NONE) {
        fail(a, rc, why);
        return;
    }
    bool moved = w->replicas.n != p->n_replicas, same = !moved;
    for (int32_t i = 0; i < w->replicas.n; i++) {
        moved |= !among(p->replicas, p->n_replicas, w->replicas.v[i]);
        same = same && w->replicas.v[i] == p->replicas[i];
    }
    if (moved)
        fail(a, KAFKA_INVALID_REPLICA_ASSIGNMENT,
             "Partitions are not replicated yet: they cannot move to other brokers.");
    else if (!same)
        reorder(s, t, w->partition_index, w->replicas.v, w->replicas.n, a);
}

static bool alter_topic(struct reassign *s,
                        const struct wire_alter_partition_reassignments_request_reassignable_topic *w)
{
    struct arena *mem = &s->g.r->arena;
    struct wire_alter_partition_reassignments_response_reassignable_topic *o =
        &s->resp.responses.v[s->resp.responses.n++];
    const struct meta_topic *t = meta_topic_by_name(s->image, w->name.p, (size_t)max_i64(w->name.n, 0));
    o->name = w->name;
    o->partitions.v =
        api_array(s->g.r, struct wire_alter_partition_reassignments_response_reassignable_partition, w->partitions.n);
    for (int32_t i = 0; o->partitions.v && i < w->partitions.n; i++) {
        struct wire_alter_partition_reassignments_response_reassignable_partition *a =
            &o->partitions.v[o->partitions.n++];
        int32_t index = w->partitions.v[i].partition_index;
        a->partition_index = index;
        a->error_message.n = -1;
        if (!t)
            fail(a, KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                 arena_printf(mem, "Unable to find a topic named %.*s.", w->name.n, w->name.p));
        else if (index < 0 || index >= t->n_partitions)
            fail(a, KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                 arena_printf(mem, "Unable to find partition %.*s:%d.", w->name.n, w->name.p, index));
        else
            alter(s, t, &w->partitions.v[i], a);
    }
    return o->partitions.v;
}

static void handle_alter(struct api_req *r, const void *body)
{
    const struct wire_alter_partition_reassignments_request *q = body;
    struct reassign *s = arena_calloc(&r->arena, 1, sizeof *s);
    if (s)
        s->resp = wire_alter_partition_reassignments_response_default;
    if (!s || !(s->resp.responses.v =
                    api_array(r, struct wire_alter_partition_reassignments_response_reassignable_topic, q->topics.n))) {
        api_no_memory(r, "out of memory for a request");
        return;
    }
    s->q = q;
    s->resp.error_message = wire_str(q->topics.n > 0 ? NULL : "");
    if (q->topics.n > 0)
        s->resp.allow_replication_factor_change = q->allow_replication_factor_change;
    s->g = (struct gather){.r = r, .pending = 1, .end = end};
    s->image = api_image(r);
    for (int32_t i = 0; i < q->topics.n; i++)
        if (!alter_topic(s, &q->topics.v[i]))
            s->resp.error_code = KAFKA_UNKNOWN_SERVER_ERROR;
    api_image_leave(r);
    gather_less(&s->g);
}

static void handle_list(struct api_req *r, const void *body)
{
    struct wire_list_partition_reassignments_response resp = wire_list_partition_reassignments_response_default;
    resp.error_message.n = -1;
    api_answer(r, &resp);
}

const struct api_row api_alter_partition_reassignments = {.key = WIRE_API_ALTER_PARTITION_REASSIGNMENTS,
                                                          .handle = handle_alter};
const struct api_row api_list_partition_reassignments = {.key = WIRE_API_LIST_PARTITION_REASSIGNMENTS,
                                                         .handle = handle_list};
