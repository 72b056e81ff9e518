/* sync.c: SyncGroup. Everybody waits until the leader's assignment is applied by the metadata; then all are answered at
 * once. A write that fails makes the group rebalance again. */
#include "coord/internal.h"

#include "base/log.h"

LOG_SUBSYSTEM("coord");

static bool other(struct wire_str asked, const char *have)
{
    return asked.n >= 0 && !(have && wire_str_is(asked, have));
}

static int16_t check(const struct group *g, const struct wire_sync_group_request *q, struct member **m)
{
    if (g->state == GROUP_DEAD)
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    int16_t code = member_check(g, q->member_id, q->group_instance_id, m);
    if (code != KAFKA_NONE)
        return code;
    if (q->generation_id != g->generation)
        return KAFKA_ILLEGAL_GENERATION;
    if (other(q->protocol_type, g->protocol_type) || other(q->protocol_name, g->protocol))
        return KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    return g->state == GROUP_PREPARING ? KAFKA_REBALANCE_IN_PROGRESS : KAFKA_NONE;
}

static bool being_written(const struct group *g)
{
    for (const struct write *w = g->writes; w; w = w->next)
        if (w->why == WRITE_GENERATION && w->generation == g->generation)
            return true;
    return false;
}

static bool assign(struct group *g, const struct wire_sync_group_request *q)
{
    for (struct member *m = g->first; m; m = m->next)
        member_set_assignment(m, NULL, 0);
    for (int32_t i = 0; i < q->assignments.n; i++) {
        struct member *m = group_member(g, q->assignments.v[i].member_id);
        const struct wire_bytes *b = &q->assignments.v[i].assignment;
        if (m && !m->pending && !member_set_assignment(m, b->p, b->n))
            return false;
    }
    return true;
}

void group_write_failed(struct group *g, int16_t code, struct todo *t)
{
    log_warn("group %s: the assignment of generation %d was not written (code %d), another rebalance", g->id,
             g->generation, code);
    for (struct member *m = g->first; m; m = m->next)
        member_set_assignment(m, NULL, 0);
    group_propagate(g, t, code);
    group_prepare(g, t, "the assignment was not written");
}

static void sync_group(struct group *g, struct member *m, struct coord_call *call,
                       const struct wire_sync_group_request *q, struct todo *t)
{
    if (m->pending_sync) {
        m->pending_sync = false;
        if (--g->n_pending_sync == 0)
            coord_disarm(g->slot, &g->sync_timer);
    }
    if (g->state == GROUP_STABLE) {
        sync_answer(call, g, m, KAFKA_NONE, t);
        return;
    }
    member_await_sync(m, call, t);
    if ((m != g->leader && !MUTANT("coord_all_assign")) || being_written(g))
        return;
    if (!assign(g, q) || !write_group(g, WRITE_GENERATION, t))
        group_write_failed(g, KAFKA_COORDINATOR_NOT_AVAILABLE, t);
    else if (MUTANT("coord_sync_before_applied"))
        group_propagate(g, t, KAFKA_NONE);
}

static void refuse(struct coord_call *call, int16_t code, struct todo *t)
{
    *call->out.sync = wire_sync_group_response_default;
    call->out.sync->error_code = code;
    coord_done(t, call);
}

int32_t coord_sync(struct coord *c, struct coord_call *call, const struct wire_sync_group_request *q,
                   struct wire_sync_group_response *out)
{
    struct todo t = {0};
    int16_t code = KAFKA_NONE;
    call->out.sync = out;
    if (call->version >= 5 && (q->protocol_type.n < 0 || q->protocol_name.n < 0))
        code = KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    else if (q->group_id.n <= 0)
        code = KAFKA_INVALID_GROUP_ID;
    struct slot *s = code == KAFKA_NONE ? coord_enter_slot(c, q->group_id, &code) : NULL;
    if (!s) {
        refuse(call, code, &t);
    } else {
        struct member *m = NULL;
        struct group *g = group_find(s, q->group_id);
        code = g ? check(g, q, &m) : KAFKA_UNKNOWN_MEMBER_ID;
        if (code == KAFKA_NONE)
            sync_group(g, m, call, q, &t);
        else
            refuse(call, code, &t);
        coord_leave_slot(s, &t);
    }
    return coord_finish(c, &t, call) ? CHRONIK_DONE : CHRONIK_PENDING;
}
