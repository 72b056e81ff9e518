/* describe.c: DescribeGroups and ListGroups. A group that has members is shown as it runs here; one that has none lives
 * in the metadata alone and is shown from its row. */
#include "coord/internal.h"

#include <stdlib.h>

/* ---- DescribeGroups ---- */

static void put_member(struct coord_call *call, struct wire_describe_groups_response_described_group_member *o,
                       const struct group *g, const struct member *m)
{
    const struct protocol *p = g->state == GROUP_STABLE ? member_protocol(m, g->protocol) : NULL;
    *o = wire_describe_groups_response_described_group_member_default;
    o->member_id = coord_put(call, m->id);
    o->group_instance_id = coord_put(call, m->instance);
    o->client_id = coord_put(call, m->client_id);
    o->client_host = coord_put(call, m->client_host);
    o->member_metadata = coord_put_bytes(call, p ? p->metadata : NULL, p ? p->n_metadata : 0);
    o->member_assignment = coord_put_bytes(call, m->assignment.p, m->assignment.n);
}

static void put_group(struct coord_call *call, const struct group *g,
                      struct wire_describe_groups_response_described_group *out)
{
    out->group_state = wire_str(group_state_name(g->state));
    out->protocol_type = coord_put(call, g->protocol_type ? g->protocol_type : "");
    if (g->state == GROUP_STABLE)
        out->protocol_data = coord_put(call, g->protocol);
    out->members.v = arena_calloc(call->arena, (size_t)g->n + 1, sizeof *out->members.v);
    if (!out->members.v) {
        call->nomem = true;
        return;
    }
    for (const struct member *m = g->first; m; m = m->next)
        put_member(call, &out->members.v[out->members.n++], g, m);
}

static void not_found(struct coord_call *call, struct wire_str group,
                      struct wire_describe_groups_response_described_group *out)
{
    out->group_state = wire_str("Dead");
    if (call->version < 6)
        return;
    char *text = arena_printf(call->arena, "Group %.*s not found.", group.n, group.n ? group.p : "");
    out->error_code = KAFKA_GROUP_ID_NOT_FOUND;
    out->error_message = wire_str(text ? text : "");
}

void coord_describe(struct coord *c, struct coord_call *call, struct wire_str group,
                    struct wire_describe_groups_response_described_group *out)
{
    struct todo t = {0};
    struct meta_group row;
    *out = wire_describe_groups_response_described_group_default;
    out->group_id = group;
    struct slot *s = coord_enter_slot(c, group, &out->error_code);
    if (!s)
        return;
    struct group *g = group_find(s, group);
    if (g && g->state != GROUP_DEAD) {
        put_group(call, g, out);
    } else if (!g && coord_row(c, group, call->arena, &row)) {
        out->group_state = wire_str(group_state_name(GROUP_EMPTY));
        out->protocol_type = wire_str(row.protocol_type ? row.protocol_type : "");
    } else {
        not_found(call, group, out);
    }
    coord_leave_slot(s, &t);
    coord_finish(c, &t, NULL);
}

/* ---- ListGroups ---- */

struct listing {
    struct coord *coord;
    struct coord_call *call;
    struct wire_list_groups_response *out;
    int32_t cap;
};

static char lower(char ch)
{
    return ch >= 'A' && ch <= 'Z' ? (char)(ch - 'A' + 'a') : ch;
}

/* Without regard to case and to spaces around. */
static bool same_word(struct wire_str asked, const char *name)
{
    int32_t at = 0, end = asked.n;
    while (at < end && asked.p[at] == ' ')
        at++;
    while (end > at && asked.p[end - 1] == ' ')
        end--;
    if (end - at != (int32_t)strlen(name))
        return false;
    for (; at < end; at++, name++)
        if (lower(asked.p[at]) != lower(*name))
            return false;
    return true;
}

static bool state_asked(const struct wire_list_groups_request *q, struct wire_str state)
{
    for (int32_t i = 0; i < q->states_filter.n; i++)
        if (same_word(q->states_filter.v[i], state.p))
            return true;
    return q->states_filter.n <= 0;
}

/* Every group here is a classic one. */
static bool type_asked(const struct wire_list_groups_request *q)
{
    for (int32_t i = 0; i < q->types_filter.n; i++)
        if (same_word(q->types_filter.v[i], "classic"))
            return true;
    return q->types_filter.n <= 0;
}

static void put_listed(struct listing *l, const char *id, const char *type, enum group_state state)
{
    if (l->out->groups.n == l->cap) {
        int32_t cap = l->cap ? l->cap * 2 : 64;
        struct wire_list_groups_response_listed_group *v = arena_alloc(l->call->arena, (size_t)cap * sizeof *v);
        if (!v) {
            l->call->nomem = true;
            return;
        }
        if (l->cap)
            memcpy(v, l->out->groups.v, (size_t)l->cap * sizeof *v);
        l->out->groups.v = v;
        l->cap = cap;
    }
    struct wire_list_groups_response_listed_group *o = &l->out->groups.v[l->out->groups.n++];
    *o = wire_list_groups_response_listed_group_default;
    o->group_id = coord_put(l->call, id);
    o->protocol_type = coord_put(l->call, type ? type : "");
    o->group_state = wire_str(group_state_name(state));
    o->group_type = wire_str("classic");
}

static void list_running(struct listing *l, struct slot *s)
{
    struct todo t = {0};
    os_mutex_lock(&s->mu);
    if (s->state == SLOT_LOADING)
        l->out->error_code = KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    for (uint32_t i = 0; s->state == SLOT_ACTIVE && i < s->buckets; i++)
        for (const struct group *g = s->groups[i]; g; g = g->chain)
            if (g->state != GROUP_DEAD)
                put_listed(l, g->id, g->protocol_type, g->state);
    coord_leave_slot(s, &t);
    coord_finish(l->coord, &t, NULL);
}

/* Those in the image that do not run here: a group that has just begun to run is there twice. */
static void list_rows(struct listing *l)
{
    struct coord *c = l->coord;
    struct meta_cursor cursor;
    struct meta_group row;
    os_mutex_lock(&c->reader_mu);
    const struct meta_image *i = meta_enter(c->reader);
    for (bool more = meta_groups_first(i, &cursor, NULL, &row); more; more = meta_groups_next(&cursor, NULL, &row)) {
        const struct slot *s = &c->slots[coord_slot_of(c, wire_str(row.id))];
        if (!row.n_members && __atomic_load_n(&s->state, __ATOMIC_RELAXED) == SLOT_ACTIVE)
            put_listed(l, row.id, row.protocol_type, GROUP_EMPTY);
    }
    meta_leave(c->reader);
    os_mutex_unlock(&c->reader_mu);
}

static int by_id(const void *a, const void *b)
{
    const struct wire_list_groups_response_listed_group *x = a, *y = b;
    int d = memcmp(x->group_id.p, y->group_id.p, min_size((size_t)x->group_id.n, (size_t)y->group_id.n));
    return d ? d : x->group_id.n - y->group_id.n;
}

static bool is_empty(const struct wire_list_groups_response_listed_group *g)
{
    return wire_str_is(g->group_state, group_state_name(GROUP_EMPTY));
}

/* Of a group that is there twice the one that runs counts; then only the states that were asked for stay. */
static void reduce(const struct wire_list_groups_request *q, struct wire_list_groups_response *out)
{
    struct wire_list_groups_response_listed_group *v = out->groups.v;
    int32_t n = 0, kept = 0;
    for (int32_t i = 0; i < out->groups.n; i++) {
        bool repeats = n && wire_str_eq(v[n - 1].group_id, v[i].group_id);
        if (!repeats)
            v[n++] = v[i];
        else if (!is_empty(&v[i]))
            v[n - 1] = v[i];
    }
    for (int32_t i = 0; i < n; i++)
        if (state_asked(q, v[i].group_state))
            v[kept++] = v[i];
    out->groups.n = kept;
}

void coord_list(struct coord *c, struct coord_call *call, const struct wire_list_groups_request *q,
                struct wire_list_groups_response *out)
{
    struct listing l = {.coord = c, .call = call, .out = out};
    *out = wire_list_groups_response_default;
    if (!type_asked(q))
        return;
    for (uint32_t i = 0; i < c->o.slots; i++)
        list_running(&l, &c->slots[i]);
    if (out->error_code == KAFKA_NONE)
        list_rows(&l);
    else
        out->groups.n = 0;
    if (out->groups.n)
        qsort(out->groups.v, (size_t)out->groups.n, sizeof *out->groups.v, by_id);
    reduce(q, out);
}
