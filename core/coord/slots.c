/* slots.c: which groups are ours. A slot belongs to a broker under an epoch, both in the metadata. The executor looks
 * at the image when that changes: it takes slots that nobody alive owns, loads those that are ours, gives up those that
 * are not any more. Loading makes each member of a completed generation alive for one session timeout. */
#include "coord/internal.h"

#include "base/log.h"

#include <stdlib.h>

LOG_SUBSYSTEM("coord");

/* ---- the slot of a group ---- */

/* The next UTF-16 units of a text, as Java sees it; what is no UTF-8 counts as U+FFFD. */
static uint32_t next_char(const uint8_t **p, const uint8_t *end)
{
    uint8_t first = *(*p)++;
    if (first < 0x80)
        return first;
    int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc2 ? 1 : 0;
    if (first >= 0xf5 || !more || end - *p < more)
        return 0xfffd;
    uint32_t c = first & (0x3fu >> more);
    for (int i = 0; i < more; i++) {
        if (((*p)[i] & 0xc0) != 0x80)
            return 0xfffd;
        c = c << 6 | ((*p)[i] & 0x3f);
    }
    *p += more;
    return c;
}

uint32_t coord_slot_of(const struct coord *c, struct wire_str group)
{
    uint32_t h = 0;
    const uint8_t *p = (const uint8_t *)group.p, *end = p + max_i64(group.n, 0);
    while (p < end) {
        uint32_t ch = next_char(&p, end);
        if (ch >= 0x10000) {
            h = h * 31 + (0xd800 + ((ch - 0x10000) >> 10));
            ch = 0xdc00 + ((ch - 0x10000) & 0x3ff);
        }
        h = h * 31 + ch;
    }
    /* Kafka's Utils.abs: the least integer has no counterpart and counts as 0. */
    uint32_t abs = h == 0x80000000u ? 0 : h & 0x80000000u ? 0u - h : h;
    return abs % c->o.slots;
}

struct slot *coord_enter_slot(struct coord *c, struct wire_str group, int16_t *code)
{
    struct slot *s = &c->slots[coord_slot_of(c, group)];
    os_mutex_lock(&s->mu);
    *code = s->state == SLOT_ACTIVE    ? KAFKA_NONE
            : s->state == SLOT_FOREIGN ? KAFKA_NOT_COORDINATOR
                                       : KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    if (*code == KAFKA_NONE)
        return s;
    os_mutex_unlock(&s->mu);
    return NULL;
}

/* ---- rows ---- */

bool coord_row(struct coord *c, struct wire_str group, struct arena *a, struct meta_group *out)
{
    struct meta_group row;
    bool possible = group.n >= 0 && group.n <= META_GROUP_ID_MAX; /* the empty id is one, for simple commits */
    os_mutex_lock(&c->reader_mu);
    bool found = possible && meta_group_get(meta_enter(c->reader), group.n ? group.p : "", (size_t)group.n, NULL, &row);
    if (found && a) {
        *out = row;
        out->id = arena_strndup(a, row.id, strlen(row.id));
        if (row.protocol_type)
            out->protocol_type = arena_strndup(a, row.protocol_type, strlen(row.protocol_type));
        found = out->id && (out->protocol_type || !row.protocol_type);
    }
    if (possible)
        meta_leave(c->reader);
    os_mutex_unlock(&c->reader_mu);
    return found;
}

bool coord_has_row(struct coord *c, struct wire_str group)
{
    return coord_row(c, group, NULL, NULL);
}

/* What runs here has members; what has none is only a row, and comes to life when somebody joins. */
struct group *coord_revive(struct slot *s, struct wire_str id)
{
    struct arena a;
    struct meta_group row;
    arena_init(&a, 0);
    bool known = coord_row(s->coord, id, &a, &row);
    struct group *g = group_new(s, id);
    if (g && known) {
        g->generation = row.generation;
        g->state_ms = row.state_ms;
        if (!group_set_text(&g->protocol_type, row.protocol_type)) {
            group_free(g);
            g = NULL;
        }
    }
    arena_free(&a);
    return g;
}

static bool load_member(struct group *g, const struct meta_member *r)
{
    struct member *m = member_new(g, wire_str(r->id), wire_str(r->instance), wire_str(r->client_id), r->client_host);
    struct protocols *p = m ? protocols_one(g->protocol, r->subscription, r->n_subscription) : NULL;
    if (!p || !member_set_protocols(m, p)) {
        protocols_unref(p);
        member_free(m);
        return false;
    }
    m->session_ms = r->session_timeout_ms;
    m->rebalance_ms = r->rebalance_timeout_ms;
    if (!group_add(g, m) || !member_set_assignment(m, r->assignment, (int32_t)r->n_assignment))
        return false;
    if (!MUTANT("coord_loaded_not_timed"))
        coord_member_alive(m);
    return true;
}

/* A completed generation as it was: Stable. false: out of memory. */
static bool load_group(struct slot *s, const struct meta_group *r)
{
    struct group *g = group_new(s, wire_str(r->id));
    if (!g)
        return false;
    g->state = GROUP_STABLE;
    g->generation = r->generation;
    g->state_ms = r->state_ms;
    bool ok = group_set_text(&g->protocol_type, r->protocol_type ? r->protocol_type : "") &&
              group_set_text(&g->protocol, r->protocol ? r->protocol : "");
    for (uint32_t i = 0; ok && i < r->n_members; i++)
        ok = load_member(g, &r->members[i]);
    struct member *leader = ok && r->leader ? group_member(g, wire_str(r->leader)) : NULL;
    if (leader)
        g->leader = leader;
    return ok;
}

/* ---- giving up, and taking ---- */

static void unload(struct slot *s, int16_t code, struct todo *t)
{
    for (uint32_t i = 0; i < s->buckets; i++)
        while (s->groups[i]) {
            struct group *g = s->groups[i];
            write_orphan(g, code, t);
            for (struct member *m = g->first; m; m = m->next) {
                member_end_join(m, code, t);
                member_end_sync(m, code, t);
            }
            group_free(g);
        }
}

void coord_give_up(struct slot *s)
{
    struct todo t = {0};
    os_mutex_lock(&s->mu);
    if (s->state >= SLOT_LOADING && !__atomic_load_n(&s->coord->stopping, __ATOMIC_ACQUIRE))
        log_info("coordinator slot %u is given up", s->no);
    __atomic_store_n(&s->state, SLOT_FOREIGN, __ATOMIC_RELAXED);
    unload(s, KAFKA_NOT_COORDINATOR, &t);
    coord_leave_slot(s, &t);
    coord_finish(s->coord, &t, NULL);
}

static void claimed(void *arg, const struct meta_result *r)
{
    struct slot *s = arg;
    if (r->code != KAFKA_NONE)
        log_debug("coordinator slot %u was not taken: %s", s->no, r->text);
    __atomic_store_n(&s->claiming, false, __ATOMIC_RELEASE);
    os_exec_post(s->coord->exec, &s->coord->look);
}

static void claim(struct slot *s, const struct meta_slot *row)
{
    struct coord *c = s->coord;
    struct meta_command cmd = {.type = META_CMD_COORD_SLOT};
    cmd.u.coord_slot = (struct meta_coord_slot){(int32_t)s->no, c->o.node_id, row->epoch + 1};
    if (__atomic_exchange_n(&s->claiming, true, __ATOMIC_ACQ_REL))
        return;
    int32_t rc = meta_propose(c->meta, META_COORDINATOR, &cmd, 0, claimed, s);
    if (rc < 0) {
        log_warn("coordinator slot %u cannot be taken now (code %d)", s->no, rc);
        __atomic_store_n(&s->claiming, false, __ATOMIC_RELEASE);
        c->look_again = true;
    }
}

/* ---- the look ---- */

/* Begins what one slot needs; true: it is to be loaded. */
static bool look_at(struct slot *s, const struct meta_image *i)
{
    struct coord *c = s->coord;
    struct meta_slot row = meta_slot_of(i, (int32_t)s->no);
    bool nobodys = row.broker < 0 || !meta_broker_alive(i, row.broker);
    int state = __atomic_load_n(&s->state, __ATOMIC_RELAXED); /* coord_stop may give it up meanwhile */
    if (row.broker == c->o.node_id && state == SLOT_ACTIVE && s->epoch == row.epoch)
        return false;
    /* Another's; or ours under another epoch, so that somebody had it meanwhile. */
    if (state >= SLOT_LOADING || (state == SLOT_UNKNOWN && !nobodys))
        coord_give_up(s);
    if (row.broker != c->o.node_id) {
        if (nobodys)
            claim(s, &row);
        return false;
    }
    os_mutex_lock(&s->mu);
    bool ours = !__atomic_load_n(&c->stopping, __ATOMIC_ACQUIRE);
    if (ours) {
        __atomic_store_n(&s->state, SLOT_LOADING, __ATOMIC_RELAXED);
        s->epoch = row.epoch;
    }
    os_mutex_unlock(&s->mu);
    return ours;
}

static bool load_rows(struct coord *c, const struct meta_image *i, struct arena *a)
{
    struct meta_cursor cursor;
    struct meta_group row;
    bool ok = true;
    for (bool more = meta_groups_first(i, &cursor, a, &row); more && ok; more = meta_groups_next(&cursor, a, &row)) {
        struct slot *s = &c->slots[coord_slot_of(c, wire_str(row.id))];
        os_mutex_lock(&s->mu);
        if (s->state == SLOT_LOADING && row.n_members && !MUTANT("coord_restart_forgets"))
            ok = row.members && load_group(s, &row);
        os_mutex_unlock(&s->mu);
        arena_reset(a);
    }
    return ok;
}

static void open_slot(struct slot *s, bool loaded)
{
    struct todo t = {0};
    os_mutex_lock(&s->mu);
    loaded &= !__atomic_load_n(&s->coord->stopping, __ATOMIC_ACQUIRE);
    if (s->state == SLOT_LOADING && loaded)
        __atomic_store_n(&s->state, SLOT_ACTIVE, __ATOMIC_RELAXED);
    else if (s->state == SLOT_LOADING)
        unload(s, KAFKA_COORDINATOR_LOAD_IN_PROGRESS, &t);
    coord_leave_slot(s, &t);
    coord_finish(s->coord, &t, NULL);
}

static void load(struct coord *c, const struct meta_image *i)
{
    struct arena a;
    arena_init(&a, 0);
    bool ok = load_rows(c, i, &a);
    arena_free(&a);
    if (!ok)
        log_error("out of memory for the groups of this coordinator: their clients wait, it is tried again");
    c->look_again |= !ok;
    for (uint32_t k = 0; k < c->o.slots; k++)
        open_slot(&c->slots[k], ok);
}

void coord_look_run(void *arg)
{
    struct coord *c = arg;
    bool any = false;
    if (!__atomic_load_n(&c->started, __ATOMIC_ACQUIRE) || __atomic_load_n(&c->stopping, __ATOMIC_ACQUIRE))
        return;
    c->look_again = false;
    const struct meta_image *i = meta_enter(c->look_reader);
    for (uint32_t k = 0; k < c->o.slots; k++)
        any |= look_at(&c->slots[k], i);
    if (any)
        load(c, i);
    meta_leave(c->look_reader);
    if (c->look_again)
        os_exec_post_at(c->exec, &c->look_later, os_mono_ns(c->o.os) + INT64_C(1000000) * COORD_RETRY_MS);
}
