/* offsets.c: what the handlers of offsets and their expiry ask about groups. */
#include "coord/internal.h"

#include "coord/subscription.h"

/* ---- who may commit ---- */

static int16_t check_running(struct group *g, const struct coord_commit *q)
{
    struct member *m;
    if (g->state == GROUP_DEAD)
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    if (q->generation < 0 && g->state == GROUP_EMPTY)
        return KAFKA_NONE;
    if (q->generation >= 0 || q->member_id.n > 0 || q->instance_id.n >= 0) {
        int16_t code = member_check(g, q->member_id, q->instance_id, &m);
        if (code != KAFKA_NONE && !MUTANT("coord_gone_commits"))
            return code;
        if (q->generation != g->generation)
            return KAFKA_ILLEGAL_GENERATION;
    } else {
        m = NULL;
        if (!q->transactional && g->state != GROUP_EMPTY)
            return KAFKA_UNKNOWN_MEMBER_ID;
    }
    /* The member has the new generation and not yet its assignment: what it commits is not its own any more. */
    if (!q->transactional && g->state == GROUP_COMPLETING)
        return KAFKA_REBALANCE_IN_PROGRESS;
    if (m && !q->transactional)
        coord_member_alive(m);
    return KAFKA_NONE;
}

/* No group runs: a simple commit is welcome, a member is not. */
static int16_t check_empty(struct coord *c, const struct coord_commit *q)
{
    if (q->generation < 0)
        return KAFKA_NONE;
    if (coord_has_row(c, q->group))
        return KAFKA_UNKNOWN_MEMBER_ID;
    return q->version >= 9 && !q->transactional ? KAFKA_GROUP_ID_NOT_FOUND : KAFKA_ILLEGAL_GENERATION;
}

int16_t coord_check_commit(struct coord *c, const struct coord_commit *q, int64_t *epoch)
{
    struct todo t = {0};
    int16_t code;
    struct slot *s = coord_enter_slot(c, q->group, &code);
    if (!s)
        return code;
    struct group *g = group_find(s, q->group);
    code = g ? check_running(g, q) : check_empty(c, q);
    *epoch = s->epoch;
    coord_leave_slot(s, &t);
    coord_finish(c, &t, NULL);
    return code;
}

int16_t coord_check_slot(struct coord *c, struct wire_str group, int64_t *epoch)
{
    struct todo t = {0};
    int16_t code;
    struct slot *s = coord_enter_slot(c, group, &code);
    if (!s)
        return code;
    if (epoch)
        *epoch = s->epoch;
    coord_leave_slot(s, &t);
    coord_finish(c, &t, NULL);
    return KAFKA_NONE;
}

/* ---- deletion and expiry ---- */

static bool is_consumer(const struct group *g)
{
    return g->protocol_type && strcmp(g->protocol_type, "consumer") == 0;
}

int16_t coord_check_offset_delete(struct coord *c, struct wire_str group, int64_t *epoch)
{
    struct todo t = {0};
    int16_t code;
    struct slot *s = coord_enter_slot(c, group, &code);
    if (!s)
        return code;
    const struct group *g = group_find(s, group);
    if (g ? g->state == GROUP_DEAD : !coord_has_row(c, group))
        code = KAFKA_GROUP_ID_NOT_FOUND;
    else if (g && g->state != GROUP_EMPTY && !is_consumer(g))
        code = KAFKA_NON_EMPTY_GROUP;
    *epoch = s->epoch;
    coord_leave_slot(s, &t);
    coord_finish(c, &t, NULL);
    return code;
}

struct search {
    struct wire_str topic;
    bool found;
};

static bool compare(void *arg, struct wire_str topic)
{
    struct search *x = arg;
    x->found = wire_str_eq(topic, x->topic);
    return !x->found;
}

/* false: a member's subscription cannot be read. */
static bool search(const struct group *g, struct search *x)
{
    for (const struct member *m = g->first; m && !x->found; m = m->next) {
        const struct protocol *p = member_protocol(m, g->protocol);
        if (!p || !subscription_topics(p->metadata, (size_t)p->n_metadata, compare, x))
            return false;
    }
    return true;
}

bool coord_has_live_subscription(struct coord *c, struct wire_str group, struct wire_str topic)
{
    struct todo t = {0};
    struct search x = {.topic = topic};
    int16_t code;
    struct slot *s = coord_enter_slot(c, group, &code);
    if (!s)
        return true; /* not ours to say: nothing is deleted */
    const struct group *g = group_find(s, group);
    bool live = g && g->n && is_consumer(g) && (!search(g, &x) || x.found);
    coord_leave_slot(s, &t);
    coord_finish(c, &t, NULL);
    return live;
}

static void view_running(const struct group *g, struct coord_group_view *out)
{
    struct search none = {.topic = {"", 0}};
    out->known = true;
    out->dead = g->state == GROUP_DEAD;
    out->empty = g->state == GROUP_EMPTY && !g->n_pending;
    out->simple = !g->protocol_type;
    out->state_since_ms = g->state_ms;
    out->generation = g->generation;
    out->subscriptions_known = is_consumer(g) && g->state == GROUP_STABLE && search(g, &none);
}

int16_t coord_view(struct coord *c, struct wire_str group, struct coord_group_view *out)
{
    struct todo t = {0};
    struct arena a;
    struct meta_group row;
    int16_t code;
    *out = (struct coord_group_view){.state_since_ms = -1};
    struct slot *s = coord_enter_slot(c, group, &code);
    if (!s)
        return code;
    arena_init(&a, 0);
    const struct group *g = group_find(s, group);
    if (g)
        view_running(g, out);
    else if (coord_row(c, group, &a, &row))
        *out = (struct coord_group_view){.known = true,
                                         .empty = true,
                                         .simple = !row.protocol_type,
                                         .state_since_ms = row.state_ms,
                                         .generation = row.generation};
    out->slot_epoch = s->epoch;
    arena_free(&a);
    coord_leave_slot(s, &t);
    coord_finish(c, &t, NULL);
    return KAFKA_NONE;
}
