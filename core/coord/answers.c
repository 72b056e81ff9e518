/* answers.c: the results of JoinGroup and SyncGroup. What an answer holds is copied into the arena of its request,
 * under the slot's lock; telling the request is left to coord_finish. */
#include "coord/internal.h"

void coord_done(struct todo *t, struct coord_call *call)
{
    call->waits_in = NULL;
    call->next = NULL;
    if (t->last)
        t->last->next = call;
    else
        t->calls = call;
    t->last = call;
}

static struct wire_bytes put_bytes(struct coord_call *c, const void *p, int32_t n)
{
    uint8_t *copy = arena_alloc(c->arena, (size_t)n);
    if (!copy) {
        c->nomem = true;
        return (struct wire_bytes){NULL, 0};
    }
    if (n)
        memcpy(copy, p, (size_t)n);
    return (struct wire_bytes){copy, n};
}

struct wire_str coord_put(struct coord_call *c, const char *s)
{
    if (!s)
        return (struct wire_str){NULL, -1};
    struct wire_bytes b = put_bytes(c, s, (int32_t)strlen(s));
    return (struct wire_str){(const char *)b.p, b.n};
}

struct wire_bytes coord_put_bytes(struct coord_call *c, const void *p, int32_t n)
{
    return put_bytes(c, p, n);
}

/* ---- JoinGroup ---- */

void join_fail(struct coord_call *c, struct wire_str member_id, int16_t code, struct todo *t)
{
    *c->out.join = wire_join_group_response_default;
    c->out.join->error_code = code;
    c->out.join->protocol_name = wire_str(NULL);
    struct wire_bytes id = put_bytes(c, member_id.p, (int32_t)max_i64(member_id.n, 0));
    c->out.join->member_id = (struct wire_str){(const char *)id.p, id.n};
    coord_done(t, c);
}

static void put_members(struct coord_call *c, const struct group *g)
{
    struct wire_join_group_response_member *v = arena_calloc(c->arena, g->n, sizeof *v);
    if (!v) {
        c->nomem = true;
        return;
    }
    c->out.join->members.v = v;
    for (const struct member *m = g->first; m; m = m->next) {
        const struct protocol *p = member_protocol(m, g->protocol);
        v->member_id = coord_put(c, m->id);
        v->group_instance_id = coord_put(c, m->instance);
        v->metadata = put_bytes(c, p ? p->metadata : NULL, p ? p->n_metadata : 0);
        v++;
        c->out.join->members.n++;
    }
}

void join_answer(struct coord_call *c, const struct group *g, const struct member *m, bool with_members,
                 const char *leader, bool skip, struct todo *t)
{
    struct wire_join_group_response *o = c->out.join;
    *o = wire_join_group_response_default;
    o->member_id = coord_put(c, m->id);
    o->generation_id = g->generation;
    o->protocol_type = coord_put(c, g->protocol_type);
    o->protocol_name = coord_put(c, g->protocol);
    o->leader = coord_put(c, leader ? leader : "");
    o->skip_assignment = skip;
    if (with_members)
        put_members(c, g);
    coord_done(t, c);
}

void member_end_join(struct member *m, int16_t code, struct todo *t)
{
    if (!m->awaiting_join)
        return;
    struct coord_call *c = m->join;
    m->awaiting_join = false;
    m->join = NULL;
    m->group->n_awaiting_join--;
    if (c)
        join_fail(c, wire_str(code == KAFKA_UNKNOWN_MEMBER_ID ? "" : m->id), code, t);
}

void member_await_join(struct member *m, struct coord_call *c, struct todo *t)
{
    struct coord_call *before = m->join;
    if (!m->awaiting_join)
        m->group->n_awaiting_join++;
    m->awaiting_join = true;
    m->join = c;
    c->waits_in = m;
    c->slot = m->group->slot;
    if (before)
        join_fail(before, wire_str(m->id), KAFKA_REBALANCE_IN_PROGRESS, t);
}

/* ---- SyncGroup ---- */

void sync_answer(struct coord_call *c, const struct group *g, const struct member *m, int16_t code, struct todo *t)
{
    struct wire_sync_group_response *o = c->out.sync;
    *o = wire_sync_group_response_default;
    o->error_code = code;
    if (code == KAFKA_NONE) {
        o->protocol_type = coord_put(c, g->protocol_type);
        o->protocol_name = coord_put(c, g->protocol);
        o->assignment = put_bytes(c, m->assignment.p, m->assignment.n);
    }
    coord_done(t, c);
}

void member_end_sync(struct member *m, int16_t code, struct todo *t)
{
    if (!m->awaiting_sync)
        return;
    struct coord_call *c = m->sync;
    m->awaiting_sync = false;
    m->sync = NULL;
    if (c)
        sync_answer(c, m->group, m, code, t);
}

void member_await_sync(struct member *m, struct coord_call *c, struct todo *t)
{
    struct coord_call *before = m->sync;
    m->awaiting_sync = true;
    m->sync = c;
    c->waits_in = m;
    c->slot = m->group->slot;
    if (before)
        sync_answer(before, m->group, m, KAFKA_REBALANCE_IN_PROGRESS, t);
}

/* ---- both ---- */

/* Whether the request speaks for this member: 0 with it, UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID (KIP-345). */
int16_t member_check(const struct group *g, struct wire_str id, struct wire_str instance, struct member **out)
{
    *out = NULL;
    if (instance.n >= 0) {
        const struct member *holder = group_static(g, instance);
        if (!holder)
            return KAFKA_UNKNOWN_MEMBER_ID;
        if (!wire_str_is(id, holder->id))
            return KAFKA_FENCED_INSTANCE_ID;
    }
    struct member *m = group_member(g, id);
    if (!m || m->pending)
        return KAFKA_UNKNOWN_MEMBER_ID;
    *out = m;
    return KAFKA_NONE;
}
