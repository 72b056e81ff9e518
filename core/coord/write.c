/* write.c: commands about groups on their way to the metadata: a completed generation, an empty group, a static member
 * that came back, a deletion. A group has one under way at a time; the next one is filled in when that is applied, so
 * that the metadata sees the group's states in their order. Proposing happens without a lock. */
#include "coord/internal.h"

#include "base/log.h"

#include <stdlib.h>

LOG_SUBSYSTEM("coord");

enum { PROPOSE_MS = 5000 };

void swap_free(struct swap *w)
{
    if (!w)
        return;
    free(w->new_id);
    free(w->old_id);
    protocols_unref(w->protocols);
    free(w);
}

void write_free(struct write *w)
{
    swap_free(w->swap);
    arena_free(&w->arena);
    free(w);
}

/* ---- the command ---- */

static bool copy_text(struct arena *a, const char **out, const char *s)
{
    *out = s ? arena_strndup(a, s, strlen(s)) : NULL;
    return *out || !s;
}

static bool copy_bytes(struct arena *a, const void **out, uint32_t *n, const void *p, int32_t len)
{
    char *copy = arena_alloc(a, (size_t)len);
    if (copy && len)
        memcpy(copy, p, (size_t)len);
    *out = copy;
    *n = (uint32_t)len;
    return copy;
}

static bool copy_member(struct arena *a, struct meta_member *o, const struct group *g, const struct member *m)
{
    const struct protocol *p = member_protocol(m, g->protocol);
    o->rebalance_timeout_ms = m->rebalance_ms;
    o->session_timeout_ms = m->session_ms;
    return copy_text(a, &o->id, m->id) && copy_text(a, &o->instance, m->instance) &&
           copy_text(a, &o->client_id, m->client_id) && copy_text(a, &o->client_host, m->client_host) &&
           copy_bytes(a, &o->subscription, &o->n_subscription, p ? p->metadata : NULL, p ? p->n_metadata : 0) &&
           copy_bytes(a, &o->assignment, &o->n_assignment, m->assignment.p, m->assignment.n);
}

static bool fill_group(struct write *w, const struct group *g)
{
    struct arena *a = &w->arena;
    struct meta_group *o = &w->cmd.u.group_set.group;
    struct meta_member *v = arena_calloc(a, (size_t)g->n + 1, sizeof *v);
    w->cmd.type = META_CMD_GROUP_SET;
    w->cmd.u.group_set.owner = (struct meta_owner){(int32_t)w->slot->no, w->slot->epoch};
    o->generation = g->generation;
    o->state_ms = g->state_ms;
    o->members = v;
    for (const struct member *m = g->first; v && m; m = m->next)
        if (!copy_member(a, &v[o->n_members++], g, m))
            return false;
    return v && copy_text(a, &o->id, g->id) && copy_text(a, &o->protocol_type, g->protocol_type) &&
           copy_text(a, &o->protocol, g->protocol) && copy_text(a, &o->leader, g->leader ? g->leader->id : NULL);
}

static bool fill(struct write *w, const struct group *g)
{
    if (w->why != WRITE_DELETE)
        return fill_group(w, g);
    w->cmd.type = META_CMD_GROUP_DELETE;
    w->cmd.u.group_delete.owner = (struct meta_owner){(int32_t)w->slot->no, w->slot->epoch};
    w->cmd.u.group_delete.if_unused = !w->deletion;
    return copy_text(&w->arena, &w->cmd.u.group_delete.group, g->id);
}

/* Whether a write that waited still says something that the group wants to be known. */
static bool wanted(const struct write *w, const struct group *g)
{
    switch (w->why) {
    case WRITE_GENERATION:
        return g->state == GROUP_COMPLETING && w->generation == g->generation;
    case WRITE_EMPTY:
        return g->state == GROUP_EMPTY;
    case WRITE_STATIC:
        return g->state == GROUP_STABLE;
    default:
        return true;
    }
}

/* ---- the queue of a group ---- */

static void send(struct write *w, struct todo *t)
{
    /* The todo's list has a link of its own: `next` is the group's queue. */
    w->send_next = NULL;
    if (t->last_write)
        t->last_write->send_next = w;
    else
        t->writes = w;
    t->last_write = w;
}

struct write *write_group(struct group *g, enum write_why why, struct todo *t)
{
    struct write *w = calloc(1, sizeof *w), **at = &g->writes;
    if (!w)
        return NULL;
    w->coord = g->slot->coord;
    w->slot = g->slot;
    w->group = g;
    w->why = why;
    w->generation = g->generation;
    arena_init(&w->arena, 0);
    if (!g->writes) {
        if (!fill(w, g)) {
            write_free(w);
            return NULL;
        }
        send(w, t);
    }
    while (*at)
        at = &(*at)->next;
    *at = w;
    return w;
}

bool write_deletion(struct group *g, struct deletion *d, int32_t at, struct todo *t)
{
    struct write *w = write_group(g, WRITE_DELETE, t);
    if (!w)
        return false;
    w->deletion = d;
    w->delete_at = at;
    w->cmd.u.group_delete.if_unused = !d;
    g->state = GROUP_DEAD;
    return true;
}

/* The first one is done with: the next that is still wanted goes out. */
static void send_next(struct group *g, struct todo *t)
{
    struct write *w;
    while ((w = g->writes)) {
        if (!wanted(w, g)) {
            g->writes = w->next;
            write_free(w);
            continue;
        }
        /* What does not fit in memory now is told as a failed write. */
        w->unfilled = !fill(w, g);
        send(w, t);
        return;
    }
}

/* ---- the end of a write ---- */

static int16_t answer_code(int16_t code)
{
    switch (code) {
    case KAFKA_NONE:
    case KAFKA_NOT_COORDINATOR:
        return code;
    case KAFKA_MESSAGE_TOO_LARGE:
    case KAFKA_RECORD_LIST_TOO_LARGE:
        return KAFKA_UNKNOWN_SERVER_ERROR;
    default:
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
}

static void generation_written(struct group *g, const struct write *w, int16_t code, struct todo *t)
{
    /* Another rebalance may have begun meanwhile. */
    if (g->state != GROUP_COMPLETING || w->generation != g->generation)
        return;
    if (code != KAFKA_NONE) {
        group_write_failed(g, code, t);
        return;
    }
    group_propagate(g, t, KAFKA_NONE);
    group_transition(g, GROUP_STABLE);
    __atomic_add_fetch(&g->slot->coord->rebalances, 1, __ATOMIC_RELAXED);
}

/* The member is its former self again; whoever came in its place is told to try once more. */
void write_static_failed(struct group *g, struct swap *w, int16_t code, struct todo *t)
{
    struct member *m = group_member(g, wire_str(w->new_id));
    if (m && !m->pending) {
        log_warn("group %s: static member %s was not written (code %d): %s stays", g->id, w->new_id, code, w->old_id);
        if (m->awaiting_join) {
            struct coord_call *c = m->join;
            m->awaiting_join = false;
            m->join = NULL;
            g->n_awaiting_join--;
            if (c)
                join_fail(c, wire_str(""), code, t);
        }
        if (member_rename(m, w->old_id) && member_set_protocols(m, w->protocols)) {
            w->protocols = NULL;
            m->rebalance_ms = w->rebalance_ms;
            m->session_ms = w->session_ms;
        }
        coord_member_alive(m);
    }
    swap_free(w);
}

static void static_written(struct group *g, struct write *w, int16_t code, struct todo *t)
{
    struct swap *swap = w->swap;
    w->swap = NULL;
    struct member *m = group_member(g, wire_str(swap->new_id));
    if (code != KAFKA_NONE) {
        write_static_failed(g, swap, code, t);
        return;
    }
    /* In a rebalance that began meanwhile it has joined already. */
    if (m && m->awaiting_join && g->state == GROUP_STABLE && w->generation == g->generation) {
        struct coord_call *c = m->join;
        bool skips = swap->version >= 9, leads = m == g->leader;
        m->awaiting_join = false;
        m->join = NULL;
        g->n_awaiting_join--;
        /* Before version 9 a leader that came back must not assign: it is told that its former self leads. */
        if (c)
            join_answer(c, g, m, skips && leads, leads && !skips ? swap->old_id : g->leader->id, skips && leads, t);
        coord_member_alive(m);
    }
    swap_free(swap);
}

static void deletion_written(struct group *g, struct write *w, int16_t code, struct todo *t)
{
    /* Not there: it was never written, and is gone with its memory. */
    bool gone = code == KAFKA_NONE || code == KAFKA_GROUP_ID_NOT_FOUND;
    g->state = GROUP_EMPTY;
    if (gone) {
        while (g->pending)
            group_remove(g, g->pending);
        g->generation = 0;
        group_set_text(&g->protocol_type, NULL);
    }
    if (w->deletion)
        coord_deleted(w->deletion, w->delete_at, gone ? KAFKA_NONE : answer_code(code), t);
}

static void written(struct write *w, int16_t code, struct todo *t)
{
    struct group *g = w->group;
    g->writes = w->next;
    switch (w->why) {
    case WRITE_GENERATION:
        generation_written(g, w, answer_code(code), t);
        break;
    case WRITE_STATIC:
        static_written(g, w, answer_code(code), t);
        break;
    case WRITE_EMPTY:
        /* Until it is written a restart would bring the last generation back, and time it out. */
        if (code != KAFKA_NONE && code != KAFKA_ILLEGAL_GENERATION && g->state == GROUP_EMPTY)
            coord_arm(g->slot, &g->join_timer, COORD_RETRY_MS);
        break;
    case WRITE_DELETE:
        deletion_written(g, w, code, t);
        break;
    }
    send_next(g, t);
    group_settle(g);
}

static void ended(struct write *w, int16_t code)
{
    struct todo t = {0};
    struct coord *c = w->coord;
    struct slot *s = w->slot;
    os_mutex_lock(&s->mu);
    if (w->group)
        written(w, code, &t);
    write_free(w);
    coord_leave_slot(s, &t);
    coord_finish(c, &t, NULL);
}

static void applied(void *arg, const struct meta_result *r)
{
    ended(arg, r->code);
}

void write_propose(struct write *w)
{
    int64_t ms = w->coord->o.propose_timeout_ms ? w->coord->o.propose_timeout_ms : PROPOSE_MS;
    int32_t rc =
        w->unfilled ? CHRONIK_E_NOMEM : meta_propose(w->coord->meta, META_COORDINATOR, &w->cmd, ms, applied, w);
    if (rc < 0)
        ended(w, rc == CHRONIK_E_TOOBIG ? KAFKA_MESSAGE_TOO_LARGE : KAFKA_REQUEST_TIMED_OUT);
}

void write_orphan(struct group *g, int16_t code, struct todo *t)
{
    /* The first is on its way and frees itself; nobody but this group knows the others. */
    struct write *w = g->writes;
    g->writes = NULL;
    for (bool first = true; w; first = false) {
        struct write *next = w->next;
        w->group = NULL;
        if (w->deletion)
            coord_deleted(w->deletion, w->delete_at, code, t);
        if (!first)
            write_free(w);
        w = next;
    }
}
