/* cmd_groups.c: groups and the slots they hash to: encode, apply and JSON of GROUP_SET, GROUP_DELETE and COORD_SLOT.
 * Only completed generations are written; who is about to join is known to core/coord alone. */
#include "meta/cmd.h"

enum { MAX_MEMBERS = 100 * 1000 };

/* ---- whose the group is ---- */

void cmd_enc_owner(struct meta_buf *b, const struct meta_owner *o)
{
    mb_iv(b, o->slot);
    mb_iv(b, o->epoch);
}

struct meta_owner cmd_dec_owner(struct meta_rd *r)
{
    struct meta_owner o = {.slot = mr_iv32(r)};
    o.epoch = mr_iv(r);
    return o;
}

void cmd_json_owner(struct meta_buf *b, const struct meta_owner *o)
{
    mj_int(b, "slot", o->slot);
    mj_int(b, "slotEpoch", o->epoch);
}

int16_t cmd_owner_check(const struct meta_state *st, const struct meta_owner *o)
{
    return meta_slot_of(&st->img, o->slot).epoch == o->epoch ? KAFKA_NONE : KAFKA_NOT_COORDINATOR;
}

static bool owner_refused(struct meta_state *st, const struct meta_owner *o, const char *group,
                          struct meta_outcome *out)
{
    int16_t code = cmd_owner_check(st, o);
    if (code)
        meta_refuse(st, out, code, "Coordinator slot %d of group '%.128s' has another epoch: look its coordinator up.",
                    o->slot, group);
    return code != 0;
}

/* ---- GROUP_SET ---- */

static void set_encode(const struct meta_command *c, struct meta_buf *b)
{
    const struct meta_group *g = &c->u.group_set.group;
    cmd_enc_owner(b, &c->u.group_set.owner);
    mb_str(b, g->id);
    mb_str(b, g->protocol_type);
    mb_str(b, g->protocol);
    mb_str(b, g->leader);
    mb_iv(b, g->generation);
    mb_iv(b, g->state_ms);
    mb_uv(b, g->n_members);
    for (uint32_t i = 0; i < g->n_members; i++)
        meta_enc_member(b, &g->members[i]);
}

static void set_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    struct meta_group *g = &c->u.group_set.group;
    c->u.group_set.owner = cmd_dec_owner(r);
    g->id = mr_str_some(r);
    g->protocol_type = mr_str(r);
    g->protocol = mr_str(r);
    g->leader = mr_str(r);
    g->generation = mr_iv32(r);
    g->state_ms = mr_iv(r);
    g->n_members = mr_count(r, 8);
    struct meta_member *m = mr_array(r, a, g->n_members, sizeof *m);
    for (uint32_t i = 0; i < g->n_members && !r->bad; i++)
        meta_dec_member(r, &m[i]);
    g->members = m;
}

static void set_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    const struct meta_group *g = &c->u.group_set.group;
    struct meta_group old;
    size_t n = strlen(g->id);
    if (n > META_GROUP_ID_MAX || g->n_members > MAX_MEMBERS) {
        meta_refuse(st, out, KAFKA_INVALID_GROUP_ID,
                    "A group has a name of at most %d bytes and at most %d members; this one has %zu and %u.",
                    META_GROUP_ID_MAX, MAX_MEMBERS, n, g->n_members);
    } else if (!owner_refused(st, &c->u.group_set.owner, g->id, out)) {
        if (meta_group_get(&st->img, g->id, n, NULL, &old) && old.generation > g->generation)
            meta_refuse(st, out, KAFKA_ILLEGAL_GENERATION, "Group '%.128s' is at generation %d, later than %d.", g->id,
                        old.generation, g->generation);
        else
            meta_group_put(st, g);
    }
}

static void set_json(const struct meta_command *c, struct meta_buf *b)
{
    const struct meta_group *g = &c->u.group_set.group;
    mj_text(b, "group", g->id);
    cmd_json_owner(b, &c->u.group_set.owner);
    mj_text(b, "protocolType", g->protocol_type);
    mj_text(b, "protocol", g->protocol);
    mj_int(b, "generation", g->generation);
    mj_text(b, "leader", g->leader);
    mj_int(b, "stateTimestamp", g->state_ms);
    mj_key(b, "members");
    mj_raw(b, "[");
    for (uint32_t i = 0; i < g->n_members; i++) {
        const struct meta_member *m = &g->members[i];
        mj_comma(b);
        mj_raw(b, "{");
        mj_text(b, "memberId", m->id);
        mj_text(b, "groupInstanceId", m->instance);
        mj_text(b, "clientId", m->client_id);
        mj_text(b, "clientHost", m->client_host);
        mj_int(b, "rebalanceTimeoutMs", m->rebalance_timeout_ms);
        mj_int(b, "sessionTimeoutMs", m->session_timeout_ms);
        mj_base64(b, "subscription", m->subscription, m->n_subscription);
        mj_base64(b, "assignment", m->assignment, m->n_assignment);
        mj_raw(b, "}");
    }
    mj_raw(b, "]");
}

static void set_key(const struct meta_command *c, struct meta_buf *b)
{
    mj_text(b, "group", c->u.group_set.group.id);
}

const struct meta_cmd_def meta_cmd_group_set = {META_CMD_GROUP_SET, 1,         0,        "group-set", set_encode,
                                                set_decode,         set_apply, set_json, set_key};

/* ---- GROUP_DELETE ---- */

static void delete_encode(const struct meta_command *c, struct meta_buf *b)
{
    cmd_enc_owner(b, &c->u.group_delete.owner);
    mb_str(b, c->u.group_delete.group);
    mb_u8(b, c->u.group_delete.if_unused);
}

static void delete_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    c->u.group_delete.owner = cmd_dec_owner(r);
    c->u.group_delete.group = mr_str_some(r);
    c->u.group_delete.if_unused = mr_u8(r) != 0;
}

static void delete_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    const struct meta_group_delete *d = &c->u.group_delete;
    size_t n = strlen(d->group);
    struct meta_group g;
    struct meta_offset o;
    struct meta_cursor cursor;
    if (owner_refused(st, &d->owner, d->group, out))
        return;
    if (!meta_group_get(&st->img, d->group, n, NULL, &g))
        meta_refuse(st, out, KAFKA_GROUP_ID_NOT_FOUND, "There is no group '%.128s'.", d->group);
    else if (g.n_members)
        meta_refuse(st, out, KAFKA_NON_EMPTY_GROUP, "Group '%.128s' has %u members: stop them first.", d->group,
                    g.n_members);
    else if (d->if_unused && meta_offsets_first(&st->img, &cursor, d->group, n, &o))
        meta_refuse(st, out, KAFKA_NON_EMPTY_GROUP, "Group '%.128s' has offsets again.", d->group);
    else
        meta_group_remove(st, d->group);
}

static void delete_json(const struct meta_command *c, struct meta_buf *b)
{
    mj_text(b, "group", c->u.group_delete.group);
    cmd_json_owner(b, &c->u.group_delete.owner);
    mj_bool(b, "ifUnused", c->u.group_delete.if_unused);
}

static void delete_key(const struct meta_command *c, struct meta_buf *b)
{
    mj_text(b, "group", c->u.group_delete.group);
}

const struct meta_cmd_def meta_cmd_group_delete = {
    META_CMD_GROUP_DELETE, 1, 0, "group-delete", delete_encode, delete_decode, delete_apply, delete_json, delete_key};

/* ---- COORD_SLOT ---- */

static void slot_encode(const struct meta_command *c, struct meta_buf *b)
{
    mb_iv(b, c->u.coord_slot.slot);
    mb_iv(b, c->u.coord_slot.broker);
    mb_iv(b, c->u.coord_slot.epoch);
}

static void slot_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    c->u.coord_slot.slot = mr_iv32(r);
    c->u.coord_slot.broker = mr_iv32(r);
    c->u.coord_slot.epoch = mr_iv(r);
}

static void slot_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    const struct meta_coord_slot *s = &c->u.coord_slot;
    if (s->slot < 0 || !meta_broker_by_id(&st->img, s->broker)) {
        meta_refuse(st, out, KAFKA_INVALID_REQUEST, "Slot %d cannot go to broker %d: it is not registered.", s->slot,
                    s->broker);
    } else if (s->epoch <= meta_slot_of(&st->img, s->slot).epoch) {
        meta_refuse(st, out, KAFKA_NOT_COORDINATOR, "Coordinator slot %d has an epoch that is not below %lld.", s->slot,
                    (long long)s->epoch);
    } else {
        struct meta_slot v = {.broker = s->broker, .epoch = s->epoch};
        meta_slot_put(st, s->slot, &v);
    }
}

static void slot_json(const struct meta_command *c, struct meta_buf *b)
{
    mj_int(b, "slot", c->u.coord_slot.slot);
    mj_int(b, "broker", c->u.coord_slot.broker);
    mj_int(b, "slotEpoch", c->u.coord_slot.epoch);
}

static void slot_key(const struct meta_command *c, struct meta_buf *b)
{
    mj_int(b, "slot", c->u.coord_slot.slot);
}

const struct meta_cmd_def meta_cmd_coord_slot = {META_CMD_COORD_SLOT, 1,          0,         "coord-slot", slot_encode,
                                                 slot_decode,         slot_apply, slot_json, slot_key};
