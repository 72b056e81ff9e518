/* join.c: JoinGroup. A client without a member id is given one; from version 4 on it must come back with it before it
 * counts (KIP-394). A static member that comes back without an id takes the place of its former self (KIP-345). */
#include "coord/internal.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

LOG_SUBSYSTEM("coord");

enum { ID_TEXT = 37 }; /* of a UUID, with its NUL */

struct joining {
    struct coord *coord;
    struct coord_call *call;
    const struct wire_join_group_request *q;
    struct group *g;
    struct protocols *protocols; /* ours until a member takes it */
    int32_t rebalance_ms;
    struct todo *t;
};

static const struct wire_str nobody = {"", 0};

static void fail(struct joining *j, struct wire_str id, int16_t code)
{
    join_fail(j->call, id, code, j->t);
}

static void fail_memory(struct joining *j)
{
    log_error("group %s: out of memory for a member", j->g ? j->g->id : "");
    fail(j, nobody, KAFKA_COORDINATOR_NOT_AVAILABLE);
}

/* "CLIENT-uuid", or "INSTANCE-uuid" of a static member. */
static char *new_member_id(struct joining *j)
{
    uint8_t u[16];
    struct wire_str base = j->q->group_instance_id.n >= 0 ? j->q->group_instance_id : j->call->client_id;
    size_t n = base.n > 0 ? (size_t)base.n : 0;
    char *id = malloc(n + 1 + ID_TEXT);
    if (!id)
        return NULL;
    for (size_t i = 0; i < n; i++)
        id[i] = base.p[i] ? base.p[i] : '?';
    os_random(j->coord->o.os, u, sizeof u);
    u[6] = (uint8_t)((u[6] & 0x0f) | 0x40);
    u[8] = (uint8_t)((u[8] & 0x3f) | 0x80);
    snprintf(id + n, 1 + ID_TEXT, "-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
             u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
    return id;
}

/* ---- members that are new ---- */

static void add_member(struct joining *j, const char *id)
{
    struct group *g = j->g;
    struct member *m = member_new(g, wire_str(id), j->q->group_instance_id, j->call->client_id, j->call->client_host);
    if (!m || (!g->n && !coord_set_type(g, j->q->protocol_type)) || !member_set_protocols(m, j->protocols)) {
        member_free(m);
        fail_memory(j);
        return;
    }
    j->protocols = NULL;
    m->session_ms = j->q->session_timeout_ms;
    m->rebalance_ms = j->rebalance_ms;
    m->is_new = true;
    if (g->state == GROUP_PREPARING && g->previous == GROUP_EMPTY)
        g->new_member_added = true;
    if (!group_add(g, m)) {
        fail_memory(j);
        return;
    }
    member_await_join(m, j->call, j->t);
    coord_member_deadline(m, COORD_NEW_MEMBER_JOIN_TIMEOUT_MS);
    char why[400];
    snprintf(why, sizeof why, "member %.120s joins (%.*s)", m->id, (int)min_i64(max_i64(j->q->reason.n, 0), 200),
             j->q->reason.n > 0 ? j->q->reason.p : "");
    group_rebalance_or_complete(g, j->t, why);
}

static void add_pending(struct joining *j, const char *id)
{
    struct member *m =
        member_new(j->g, wire_str(id), (struct wire_str){NULL, -1}, j->call->client_id, j->call->client_host);
    if (m)
        m->pending = true;
    if (!m || !group_add(j->g, m)) {
        fail_memory(j);
        return;
    }
    m->session_ms = j->q->session_timeout_ms;
    coord_member_alive(m);
    fail(j, wire_str(id), KAFKA_MEMBER_ID_REQUIRED);
}

/* ---- a static member that came back under a new id ---- */

static struct swap *swap_new(struct joining *j, struct member *m, const char *new_id)
{
    struct swap *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->new_id = strdup(new_id);
    w->old_id = strdup(m->id);
    w->was_leader = m == m->group->leader;
    w->protocols = m->protocols;
    w->protocols->refs++;
    w->rebalance_ms = m->rebalance_ms;
    w->session_ms = m->session_ms;
    w->version = j->call->version;
    if (w->new_id && w->old_id)
        return w;
    swap_free(w);
    return NULL;
}

/* The old self is told that it is fenced; the member keeps its assignment. */
static bool take_over(struct joining *j, struct member *m, const char *id)
{
    member_end_join(m, KAFKA_FENCED_INSTANCE_ID, j->t);
    member_end_sync(m, KAFKA_FENCED_INSTANCE_ID, j->t);
    if (!member_rename(m, id) || !member_set_protocols(m, j->protocols))
        return false;
    j->protocols = NULL;
    m->is_new = false;
    m->rebalance_ms = j->rebalance_ms;
    m->session_ms = j->q->session_timeout_ms;
    coord_member_alive(m);
    member_await_join(m, j->call, j->t);
    return true;
}

static void replace_static(struct joining *j, struct member *m, const char *id)
{
    struct group *g = j->g;
    log_debug("group %s: static member %s is %s from now on", g->id, m->id, id);
    struct swap *w = swap_new(j, m, id);
    if (!w || !take_over(j, m, id)) {
        swap_free(w);
        fail_memory(j);
        return;
    }
    const char *next = group_select(g);
    if (g->state == GROUP_STABLE && next && g->protocol && strcmp(next, g->protocol) == 0) {
        struct write *write = write_group(g, WRITE_STATIC, j->t);
        if (write)
            write->swap = w;
        else
            write_static_failed(g, w, KAFKA_COORDINATOR_NOT_AVAILABLE, j->t);
        return;
    }
    swap_free(w);
    if (g->state == GROUP_STABLE || g->state == GROUP_COMPLETING)
        group_prepare(g, j->t, "a static member came back with other protocols, or before the leader's assignment");
    else
        group_complete_phase(g, j->t);
}

static void join_without_id(struct joining *j)
{
    struct group *g = j->g;
    if (g->state == GROUP_DEAD) {
        fail(j, nobody, KAFKA_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    if (!group_supports(g, j->q->protocol_type, j->protocols)) {
        fail(j, nobody, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
        return;
    }
    char *id = new_member_id(j);
    struct member *former = group_static(g, j->q->group_instance_id);
    if (!id)
        fail_memory(j);
    else if (former)
        replace_static(j, former, id);
    else if (j->q->group_instance_id.n < 0 && j->call->version >= 4)
        add_pending(j, id);
    else
        add_member(j, id);
    free(id);
}

/* ---- members that are known ---- */

static void update_member(struct joining *j, struct member *m, const char *why)
{
    if (!member_set_protocols(m, j->protocols)) {
        fail_memory(j);
        return;
    }
    j->protocols = NULL;
    m->rebalance_ms = j->rebalance_ms;
    m->session_ms = j->q->session_timeout_ms;
    member_await_join(m, j->call, j->t);
    group_rebalance_or_complete(j->g, j->t, why);
}

/* A pending member joins with the id it was given. */
static void admit_pending(struct joining *j, struct member *m)
{
    if (j->q->group_instance_id.n >= 0) {
        fail(j, j->q->member_id, KAFKA_UNKNOWN_SERVER_ERROR);
        return;
    }
    char *id = strdup(m->id);
    group_remove(j->g, m);
    if (id)
        add_member(j, id);
    else
        fail_memory(j);
    free(id);
}

static void rejoin(struct joining *j, struct member *m)
{
    struct group *g = j->g;
    bool same = protocols_equal(m->protocols, j->protocols), leads = m == g->leader;
    char why[200];
    if (g->state == GROUP_PREPARING) {
        snprintf(why, sizeof why, "member %.120s joins again", m->id);
        update_member(j, m, why);
    } else if (!same || (g->state == GROUP_STABLE && leads)) {
        snprintf(why, sizeof why, "%s %.120s joins again%s", leads ? "leader" : "member", m->id,
                 same ? "" : " with other metadata");
        update_member(j, m, why);
    } else {
        /* It missed the answer of this generation, or wants to know how things are. */
        join_answer(j->call, g, m, leads && g->state == GROUP_COMPLETING, g->leader->id, false, j->t);
    }
}

static void join_with_id(struct joining *j)
{
    struct group *g = j->g;
    struct wire_str id = j->q->member_id;
    struct member *m = group_member(g, id);
    if (g->state == GROUP_DEAD) {
        fail(j, id, KAFKA_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    if (!group_supports(g, j->q->protocol_type, j->protocols)) {
        fail(j, id, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
        return;
    }
    if (m && m->pending) {
        admit_pending(j, m);
        return;
    }
    int16_t code = member_check(g, id, j->q->group_instance_id, &m);
    if (code == KAFKA_NONE) {
        rejoin(j, m);
        return;
    }
    fail(j, id, code);
}

/* ---- the request ---- */

/* group.max.size: while a rebalance runs those who have joined count, else the members. */
static bool accepts(const struct group *g, struct wire_str id, int32_t most)
{
    const struct member *m = group_member(g, id);
    bool member = m && !m->pending;
    switch (g->state) {
    case GROUP_PREPARING:
        return (member && m->awaiting_join) || g->n_awaiting_join < (uint32_t)most;
    case GROUP_COMPLETING:
    case GROUP_STABLE:
        return member || g->n < (uint32_t)most;
    default:
        return true;
    }
}

static int16_t check(struct coord *c, const struct wire_join_group_request *q)
{
    if (q->group_id.n <= 0 || q->group_id.n > META_GROUP_ID_MAX || memchr(q->group_id.p, 0, (size_t)q->group_id.n))
        return KAFKA_INVALID_GROUP_ID;
    if (q->session_timeout_ms < c->o.min_session_timeout_ms || q->session_timeout_ms > c->o.max_session_timeout_ms)
        return KAFKA_INVALID_SESSION_TIMEOUT;
    return q->protocols.n > COORD_MAX_PROTOCOLS ? KAFKA_INVALID_REQUEST : KAFKA_NONE;
}

static void join_group(struct joining *j, struct slot *s)
{
    bool new_member = j->q->member_id.n <= 0;
    j->g = group_find(s, j->q->group_id);
    if (!j->g && new_member)
        j->g = coord_revive(s, j->q->group_id);
    if (!j->g) {
        fail(j, j->q->member_id, new_member ? KAFKA_COORDINATOR_NOT_AVAILABLE : KAFKA_UNKNOWN_MEMBER_ID);
        return;
    }
    struct member *m = group_member(j->g, j->q->member_id);
    if (!accepts(j->g, j->q->member_id, j->coord->o.max_group_size)) {
        fail(j, nobody, KAFKA_GROUP_MAX_SIZE_REACHED);
        if (m)
            group_remove(j->g, m);
    } else if (new_member) {
        join_without_id(j);
    } else {
        join_with_id(j);
    }
    group_settle(j->g);
}

int32_t coord_join(struct coord *c, struct coord_call *call, const struct wire_join_group_request *q,
                   struct wire_join_group_response *out)
{
    struct todo t = {0};
    struct joining j = {.coord = c, .call = call, .q = q, .t = &t};
    call->out.join = out;
    /* Version 0 knows one timeout for both. */
    j.rebalance_ms = call->version >= 1 ? q->rebalance_timeout_ms : q->session_timeout_ms;
    int16_t code = check(c, q);
    struct slot *s = code == KAFKA_NONE ? coord_enter_slot(c, q->group_id, &code) : NULL;
    if (!s) {
        join_fail(call, q->member_id, code, &t);
    } else {
        j.protocols = protocols_read(q);
        if (j.protocols)
            join_group(&j, s);
        else
            join_fail(call, nobody, KAFKA_COORDINATOR_NOT_AVAILABLE, &t);
        protocols_unref(j.protocols);
        coord_leave_slot(s, &t);
    }
    return coord_finish(c, &t, call) ? CHRONIK_DONE : CHRONIK_PENDING;
}
