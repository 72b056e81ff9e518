/* delete.c: DeleteGroups, and the end of groups that offset expiry left with nothing. Only an empty group can be
 * deleted; until the metadata has answered it is dead, and its clients are told to come back later. */
#include "coord/internal.h"

#include <stdlib.h>

/* A request of several groups, answered when the last of them is. */
struct deletion {
    struct coord_call *call;
    struct wire_delete_groups_response *out;
    int32_t left; /* atomic: groups that wait, and one while the request is being read */
};

void coord_deleted(struct deletion *d, int32_t at, int16_t code, struct todo *t)
{
    d->out->results.v[at].error_code = code;
    if (__atomic_sub_fetch(&d->left, 1, __ATOMIC_ACQ_REL) == 0) {
        coord_done(t, d->call);
        free(d);
    }
}

/* What stands between an empty group and its deletion. */
static int16_t refuse(const struct group *g)
{
    if (g->state == GROUP_DEAD)
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    return g->state == GROUP_EMPTY ? KAFKA_NONE : KAFKA_NON_EMPTY_GROUP;
}

/* KAFKA_NONE: it waits, or is done without the metadata. */
static int16_t delete_one(struct slot *s, struct wire_str id, struct deletion *d, int32_t at, struct todo *t)
{
    struct group *g = group_find(s, id);
    if (!g && !coord_has_row(s->coord, id))
        return KAFKA_GROUP_ID_NOT_FOUND;
    if (!g)
        g = coord_revive(s, id);
    if (!g)
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    int16_t code = refuse(g);
    if (code != KAFKA_NONE)
        return code;
    __atomic_add_fetch(&d->left, 1, __ATOMIC_RELAXED);
    if (write_deletion(g, d, at, t))
        return KAFKA_NONE;
    __atomic_sub_fetch(&d->left, 1, __ATOMIC_RELAXED);
    group_settle(g);
    return KAFKA_COORDINATOR_NOT_AVAILABLE;
}

static void begin(struct coord *c, struct deletion *d, const struct wire_delete_groups_request *q, struct todo *t)
{
    for (int32_t i = 0; i < q->groups_names.n; i++) {
        struct wire_delete_groups_response_deletable_group_result *r = &d->out->results.v[i];
        *r = wire_delete_groups_response_deletable_group_result_default;
        r->group_id = q->groups_names.v[i];
        struct slot *s = coord_enter_slot(c, r->group_id, &r->error_code);
        if (!s)
            continue;
        int16_t code = delete_one(s, r->group_id, d, i, t);
        if (code != KAFKA_NONE)
            r->error_code = code;
        coord_leave_slot(s, t);
    }
}

int32_t coord_delete(struct coord *c, struct coord_call *call, const struct wire_delete_groups_request *q,
                     struct wire_delete_groups_response *out)
{
    struct todo t = {0};
    int32_t n = (int32_t)max_i64(q->groups_names.n, 0);
    struct deletion *d = malloc(sizeof *d);
    *out = wire_delete_groups_response_default;
    out->results.v = arena_calloc(call->arena, (size_t)n + 1, sizeof *out->results.v);
    if (!out->results.v || !d) {
        free(d);
        call->nomem = true;
        return CHRONIK_DONE;
    }
    out->results.n = n;
    *d = (struct deletion){.call = call, .out = out, .left = 1};
    begin(c, d, q, &t);
    /* The one for the request itself: nothing is proposed before coord_finish, so nobody else ends it sooner. */
    if (__atomic_sub_fetch(&d->left, 1, __ATOMIC_ACQ_REL) == 0) {
        free(d);
        coord_finish(c, &t, NULL);
        return CHRONIK_DONE;
    }
    return coord_finish(c, &t, call) ? CHRONIK_DONE : CHRONIK_PENDING;
}

void coord_offsets_gone(struct coord *c, struct wire_str group)
{
    struct todo t = {0};
    int16_t code;
    struct slot *s = coord_enter_slot(c, group, &code);
    if (!s)
        return;
    struct group *g = group_find(s, group);
    if (!g && coord_has_row(c, group))
        g = coord_revive(s, group);
    /* Tried again at the next sweep when memory is short. */
    if (g && g->state == GROUP_EMPTY && !g->n_pending && !g->writes && !write_deletion(g, NULL, 0, &t))
        group_settle(g);
    coord_leave_slot(s, &t);
    coord_finish(c, &t, NULL);
}
