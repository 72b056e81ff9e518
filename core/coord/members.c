/* members.c: Heartbeat and LeaveGroup; coord_cancel. */
#include "coord/internal.h"

#include "base/log.h"

#include <stdio.h>

LOG_SUBSYSTEM("coord");

/* ---- Heartbeat ---- */

static int16_t beat(struct group *g, const struct wire_heartbeat_request *q)
{
    struct member *m;
    if (g->state == GROUP_DEAD)
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    int16_t code = member_check(g, q->member_id, q->group_instance_id, &m);
    if (code != KAFKA_NONE)
        return code;
    if (q->generation_id != g->generation)
        return KAFKA_ILLEGAL_GENERATION;
    if (!MUTANT("coord_beats_ignored"))
        coord_member_alive(m);
    return g->state == GROUP_PREPARING ? KAFKA_REBALANCE_IN_PROGRESS : KAFKA_NONE;
}

int16_t coord_heartbeat(struct coord *c, const struct wire_heartbeat_request *q)
{
    struct todo t = {0};
    int16_t code;
    if (q->group_id.n <= 0)
        return KAFKA_INVALID_GROUP_ID;
    struct slot *s = coord_enter_slot(c, q->group_id, &code);
    if (!s) /* while its members are being loaded nobody can be missing */
        return code == KAFKA_COORDINATOR_LOAD_IN_PROGRESS ? KAFKA_NONE : code;
    struct group *g = group_find(s, q->group_id);
    code = g ? beat(g, q) : KAFKA_UNKNOWN_MEMBER_ID;
    coord_leave_slot(s, &t);
    coord_finish(c, &t, NULL);
    return code;
}

/* ---- LeaveGroup ---- */

static void leave(struct group *g, struct member *m, struct wire_str reason, struct todo *t)
{
    log_debug("group %s: member %s leaves (%.*s)", g->id, m->id, (int)min_i64(max_i64(reason.n, 0), 200),
              reason.n > 0 ? reason.p : "");
    member_end_join(m, KAFKA_UNKNOWN_MEMBER_ID, t);
    member_end_sync(m, KAFKA_UNKNOWN_MEMBER_ID, t);
    group_remove(g, m);
}

/* One of the batch. An operator may name a static member by its instance alone. */
static int16_t leave_one(struct group *g, const struct wire_leave_group_request_member_identity *q, struct todo *t)
{
    struct member *m;
    int16_t code = KAFKA_NONE;
    if (q->member_id.n <= 0) {
        m = group_static(g, q->group_instance_id);
        if (!m)
            code = KAFKA_UNKNOWN_MEMBER_ID;
    } else {
        m = group_member(g, q->member_id);
        if (!m || !m->pending)
            code = member_check(g, q->member_id, q->group_instance_id, &m);
    }
    if (code == KAFKA_NONE)
        leave(g, m, q->reason, t);
    return code;
}

static void after_leaving(struct group *g, struct todo *t)
{
    if (g->state == GROUP_STABLE || g->state == GROUP_COMPLETING)
        group_prepare(g, t, "members left");
    else
        group_complete_phase(g, t);
    group_settle(g);
}

/* Before version 3 a request names one member, and the answer has its code at the top. */
static void put_codes(struct coord_call *call, struct wire_leave_group_response *out)
{
    if (call->version >= 3 || !out->members.n)
        return;
    if (out->error_code == KAFKA_NONE)
        out->error_code = out->members.v[0].error_code;
    out->members.n = 0;
}

void coord_leave(struct coord *c, struct coord_call *call, const struct wire_leave_group_request *q,
                 struct wire_leave_group_response *out)
{
    struct wire_leave_group_request_member_identity single = wire_leave_group_request_member_identity_default;
    single.member_id = q->member_id;
    const struct wire_leave_group_request_member_identity *v = call->version >= 3 ? q->members.v : &single;
    int32_t n = call->version >= 3 ? (int32_t)max_i64(q->members.n, 0) : 1;
    struct todo t = {0};
    *out = wire_leave_group_response_default;
    if (q->group_id.n <= 0) {
        out->error_code = KAFKA_INVALID_GROUP_ID;
        return;
    }
    out->members.v = arena_calloc(call->arena, (size_t)n + 1, sizeof *out->members.v);
    if (!out->members.v) {
        call->nomem = true;
        return;
    }
    struct slot *s = coord_enter_slot(c, q->group_id, &out->error_code);
    if (!s)
        return;
    struct group *g = group_find(s, q->group_id);
    if (g && g->state == GROUP_DEAD) {
        out->error_code = KAFKA_COORDINATOR_NOT_AVAILABLE;
        n = 0;
    }
    bool left = false;
    for (int32_t i = 0; i < n; i++) {
        struct wire_leave_group_response_member *a = &out->members.v[out->members.n++];
        *a = wire_leave_group_response_member_default;
        a->member_id = v[i].member_id;
        a->group_instance_id = v[i].group_instance_id;
        a->error_code = g ? leave_one(g, &v[i], &t) : KAFKA_UNKNOWN_MEMBER_ID;
        left |= a->error_code == KAFKA_NONE;
    }
    if (left)
        after_leaving(g, &t);
    put_codes(call, out);
    coord_leave_slot(s, &t);
    coord_finish(c, &t, NULL);
}

/* ---- clients that are gone ---- */

void coord_cancel(struct coord *c, struct coord_call *call)
{
    struct slot *s = call->slot;
    struct todo t = {0};
    if (!s)
        return; /* it has not waited, or waits for a command: that ends by itself */
    os_mutex_lock(&s->mu);
    struct member *m = call->waits_in;
    if (m && m->join == call) {
        m->join = NULL; /* the member has joined all the same */
        join_fail(call, wire_str(m->id), KAFKA_UNKNOWN_SERVER_ERROR, &t);
    } else if (m && m->sync == call) {
        m->sync = NULL;
        sync_answer(call, m->group, m, KAFKA_UNKNOWN_SERVER_ERROR, &t);
    }
    os_mutex_unlock(&s->mu);
    coord_finish(c, &t, NULL);
}
