/* elect_leaders.c: ElectLeaders (43): gives partitions back to their preferred replica, or a leader to those that have
 * none (KIP-460). Every election is a compare-and-set change of the partition in the metadata. */
#include "api/rows.h"
#include "api/gather.h"

enum { PREFERRED = 0, UNCLEAN = 1 };

struct election {
    struct gather_proposal p;
    struct wire_elect_leaders_response_partition_result *answer;
};

struct elect_leaders {
    struct gather g;
    struct wire_elect_leaders_response resp;
    const struct meta_image *image;
    int8_t type;
    int32_t timeout_ms;
    bool all, failed;
};

static void end(struct gather *g)
{
    struct elect_leaders *e = CONTAINER_OF(g, struct elect_leaders, g);
    if (e->failed)
        api_no_memory(g->r, "out of memory for an answer");
    else
        api_answer(g->r, &e->resp);
}

static void fail(struct wire_elect_leaders_response_partition_result *a, int16_t code, const char *why)
{
    a->error_code = code;
    a->error_message = wire_str(why);
}

static void applied(struct gather_proposal *p)
{
    struct election *one = CONTAINER_OF(p, struct election, p);
    if (p->result.code != KAFKA_NONE)
        fail(one->answer, p->result.code, p->result.text);
}

static bool in_sync(const struct meta_partition *p, int32_t broker)
{
    for (int k = 0; k < p->n_isr; k++)
        if (p->isr[k] == broker)
            return true;
    return false;
}

/* Who would lead: -1 when nobody can. */
static int32_t candidate(const struct elect_leaders *e, const struct meta_partition *p, bool *unclean)
{
    *unclean = false;
    for (int k = 0; k < p->n_replicas; k++) {
        bool fit = meta_broker_alive(e->image, p->replicas[k]);
        if (fit && in_sync(p, p->replicas[k]))
            return p->replicas[k];
        if (e->type == PREFERRED)
            return -1;
    }
    *unclean = true;
    for (int k = 0; k < p->n_replicas; k++)
        if (meta_broker_alive(e->image, p->replicas[k]))
            return p->replicas[k];
    return -1;
}

static void propose(struct elect_leaders *e, const struct meta_topic *t, int32_t index, int32_t leader, bool unclean,
                    struct wire_elect_leaders_response_partition_result *a)
{
    const struct meta_partition *p = meta_partition_of(t, index);
    struct election *one = arena_calloc(&e->g.r->arena, 1, sizeof *one);
    struct meta_command c = {.type = META_CMD_PARTITION_CHANGE};
    if (!one) {
        fail(a, KAFKA_UNKNOWN_SERVER_ERROR, "Out of memory for an election.");
        return;
    }
    c.u.partition_change.topic = t->id;
    c.u.partition_change.partition = index;
    c.u.partition_change.partition_epoch = p->partition_epoch;
    c.u.partition_change.leader_epoch = p->leader_epoch;
    c.u.partition_change.leader = leader;
    if (unclean) {
        c.u.partition_change.isr = &leader;
        c.u.partition_change.n_isr = 1;
    }
    one->answer = a;
    one->p.applied = applied;
    if (!gather_propose(&e->g, &one->p, &c, e->timeout_ms))
        fail(a, KAFKA_REQUEST_TIMED_OUT, "The metadata log takes no proposals at the moment; try again.");
}

/* false: nothing is to be said of it. */
static bool elect(struct elect_leaders *e, struct wire_str topic, const struct meta_topic *t, int32_t index,
                  struct wire_elect_leaders_response_partition_result *a)
{
    struct arena *mem = &e->g.r->arena;
    *a = (struct wire_elect_leaders_response_partition_result){.partition_id = index, .error_message = {NULL, -1}};
    if (e->type != PREFERRED && e->type != UNCLEAN) {
        fail(a, KAFKA_INVALID_REQUEST, arena_printf(mem, "Unknown election type %d", e->type));
        return true;
    }
    if (!t) {
        fail(a, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, arena_printf(mem, "No such topic as %.*s", topic.n, topic.p));
        return true;
    }
    if (index < 0 || index >= t->n_partitions) {
        fail(a, KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
             arena_printf(mem, "No such partition as %.*s-%d", topic.n, topic.p, index));
        return true;
    }
    const struct meta_partition *p = meta_partition_of(t, index);
    bool unclean, led = p->leader >= 0 && meta_broker_alive(e->image, p->leader);
    if (led && (e->type == UNCLEAN || p->leader == p->replicas[0])) {
        fail(a, KAFKA_ELECTION_NOT_NEEDED, "Leader election not needed for topic partition.");
        return !e->all;
    }
    int32_t leader = candidate(e, p, &unclean);
    if (leader >= 0)
        propose(e, t, index, leader, unclean, a);
    else if (e->type == PREFERRED)
        fail(a, KAFKA_PREFERRED_LEADER_NOT_AVAILABLE, "The preferred leader was not available.");
    else
        fail(a, KAFKA_ELIGIBLE_LEADERS_NOT_AVAILABLE, "Eligible topic partition leaders are not available.");
    return true;
}

static struct wire_elect_leaders_response_replica_election_result *begin_topic(struct elect_leaders *e,
                                                                               struct wire_str name, int32_t n)
{
    struct wire_elect_leaders_response_replica_election_result *o =
        &e->resp.replica_election_results.v[e->resp.replica_election_results.n];
    o->topic = api_str_copy(e->g.r, name);
    o->partition_result.n = 0;
    o->partition_result.v = api_array(e->g.r, struct wire_elect_leaders_response_partition_result, n);
    e->failed |= !o->partition_result.v;
    return e->failed ? NULL : o;
}

/* Every partition that has not the leader it should have. */
static void elect_all(struct elect_leaders *e)
{
    struct meta_cursor c;
    for (const struct meta_topic *t = meta_topics_from(e->image, &c, NULL, 0); t; t = meta_topics_next(&c)) {
        struct wire_str name = {t->name, t->name_len};
        struct wire_elect_leaders_response_replica_election_result *o = begin_topic(e, name, t->n_partitions);
        for (int32_t i = 0; o && i < t->n_partitions; i++)
            if (elect(e, name, t, i, &o->partition_result.v[o->partition_result.n]))
                o->partition_result.n++;
        e->resp.replica_election_results.n++;
    }
}

static void elect_named(struct elect_leaders *e, const struct wire_elect_leaders_request *q)
{
    for (int32_t i = 0; i < q->topic_partitions.n; i++) {
        const struct wire_elect_leaders_request_topic_partitions *w = &q->topic_partitions.v[i];
        const struct meta_topic *t = meta_topic_by_name(e->image, w->topic.p, (size_t)max_i64(w->topic.n, 0));
        struct wire_elect_leaders_response_replica_election_result *o = begin_topic(e, w->topic, w->partitions.n);
        for (int32_t k = 0; o && k < w->partitions.n; k++)
            elect(e, w->topic, t, w->partitions.v[k], &o->partition_result.v[o->partition_result.n++]);
        e->resp.replica_election_results.n++;
    }
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_elect_leaders_request *q = body;
    struct elect_leaders *e = arena_calloc(&r->arena, 1, sizeof *e);
    if (!e) {
        api_no_memory(r, "out of memory for a request");
        return;
    }
    *e = (struct elect_leaders){.resp = wire_elect_leaders_response_default,
                                .type = r->version >= 1 ? q->election_type : PREFERRED,
                                .timeout_ms = q->timeout_ms,
                                .all = q->topic_partitions.n < 0};
    e->g = (struct gather){.r = r, .pending = 1, .end = end};
    e->image = api_image(r);
    int64_t n = e->all ? (int64_t)meta_topic_count(e->image) : q->topic_partitions.n;
    e->resp.replica_election_results.v = api_array(r, struct wire_elect_leaders_response_replica_election_result, n);
    e->failed = !e->resp.replica_election_results.v;
    bool known = e->type == PREFERRED || e->type == UNCLEAN;
    if (!known && q->topic_partitions.n != 0)
        e->resp.error_code = KAFKA_INVALID_REQUEST;
    if (!e->failed && e->all && known)
        elect_all(e);
    else if (!e->failed && !e->all)
        elect_named(e, q);
    api_image_leave(r);
    gather_less(&e->g);
}

const struct api_row api_elect_leaders = {.key = WIRE_API_ELECT_LEADERS, .handle = handle};
