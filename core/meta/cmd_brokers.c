/* cmd_brokers.c: brokers and their incarnations: encode, apply and JSON of BROKER_REGISTER, BROKER_UPDATE and
 * BROKER_UNREGISTER. A registration raises the leader epoch of everything the broker leads, so that no write of its
 * former life can be continued. */
#include "meta/cmd.h"
#include "meta/mutant.h"

/* ---- pieces ---- */

static void enc_endpoints(struct meta_buf *b, const struct meta_endpoint *e, uint32_t n)
{
    mb_uv(b, n);
    for (uint32_t i = 0; i < n; i++) {
        mb_str(b, e[i].listener);
        mb_str(b, e[i].host);
        mb_uv(b, e[i].port);
        mb_uv(b, e[i].security);
    }
}

static struct meta_endpoint *dec_endpoints(struct meta_rd *r, struct arena *a, uint32_t *n)
{
    *n = mr_count(r, 6);
    struct meta_endpoint *e = mr_array(r, a, *n, sizeof *e);
    for (uint32_t i = 0; i < *n && !r->bad; i++) {
        e[i].listener = mr_str_some(r);
        e[i].host = mr_str_some(r);
        uint64_t port = mr_uv(r), security = mr_uv(r);
        if (port > UINT16_MAX || security > UINT16_MAX)
            r->bad = true;
        e[i].port = (uint16_t)port;
        e[i].security = (uint16_t)security;
    }
    return e;
}

static void json_endpoints(struct meta_buf *b, const struct meta_endpoint *e, uint32_t n)
{
    mj_key(b, "endpoints");
    mj_raw(b, "[");
    for (uint32_t i = 0; i < n; i++) {
        mj_comma(b);
        mj_raw(b, "{");
        mj_text(b, "listener", e[i].listener);
        mj_text(b, "host", e[i].host);
        mj_int(b, "port", e[i].port);
        mj_raw(b, "}");
    }
    mj_raw(b, "]");
}

/* Calls fn for every partition that has the broker as a replica; fn may replace the topic. */
static void each_hosted(struct meta_state *st, int32_t id,
                        void (*fn)(struct meta_state *st, const struct meta_topic **t, int32_t p, int32_t id))
{
    /* The walk is over the tree as it was: changes of this batch may change nodes in place, so ids are taken first. */
    uint64_t n = st->img.by_id.count, k = 0;
    struct chronik_uuid *ids = arena_calloc(&st->arena, n, sizeof *ids);
    CHECK(ids != NULL);
    struct meta_cursor c;
    for (const struct meta_topic *t = tree_seek(&st->img.by_id, &c, "", 0); t; t = tree_next(&c))
        ids[k++] = t->id;
    for (k = 0; k < n; k++) {
        const struct meta_topic *t = meta_topic_by_id(&st->img, &ids[k]);
        for (int32_t p = 0; p < t->n_partitions; p++)
            for (unsigned r = 0; r < t->partitions[p]->n_replicas; r++)
                if (t->partitions[p]->replicas[r] == id) {
                    fn(st, &t, p, id);
                    break;
                }
    }
}

/* ---- BROKER_REGISTER ---- */

static void register_encode(const struct meta_command *c, struct meta_buf *b)
{
    const struct meta_broker_register *g = &c->u.broker_register;
    mb_iv(b, g->id);
    mb_uuid(b, &g->incarnation);
    mb_uv(b, g->boot);
    mb_str(b, g->rack);
    enc_endpoints(b, g->endpoints, g->n_endpoints);
    cmd_enc_ids(b, g->dirs, g->n_dirs);
    mb_u8(b, (uint8_t)(g->unclean | g->fenced << 1));
}

static void register_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    struct meta_broker_register *g = &c->u.broker_register;
    g->id = mr_iv32(r);
    g->incarnation = mr_uuid(r);
    g->boot = mr_uv(r);
    g->rack = mr_str(r);
    g->endpoints = dec_endpoints(r, a, &g->n_endpoints);
    g->dirs = cmd_dec_ids(r, a, &g->n_dirs);
    uint8_t flags = mr_u8(r);
    g->unclean = flags & 1;
    g->fenced = flags & 2;
    if (flags > 3 || g->id < 0)
        r->bad = true;
}

/* The proposers of the broker's other incarnations are forgotten: what they still have under way is refused as stale.
 * Not those of the one that is registered, or was: a copy of what it has proposed may still come (unregistered brokers
 * may live), and would count twice. */
static void forget_proposers(struct meta_state *st, int32_t id, const struct chronik_uuid *keep)
{
    static const char families[] = {'P', 'R'};
    for (size_t f = 0; f < sizeof families; f++) {
        uint8_t from[5] = {(uint8_t)families[f]};
        put_be32(from + 1, (uint32_t)id);
        for (;;) {
            struct meta_cursor c;
            const struct meta_row *r = tree_seek(&st->img.rows, &c, from, sizeof from);
            while (r && memcmp(r->data, from, sizeof from) == 0 && memcmp(r->data + 5, keep->b, 16) == 0)
                r = tree_next(&c);
            if (!r || memcmp(r->data, from, sizeof from) != 0)
                break;
            meta_row_del(st, r->data, r->klen);
        }
    }
}

static void raise_epoch(struct meta_state *st, const struct meta_topic **t, int32_t p, int32_t id)
{
    const struct meta_partition *x = (*t)->partitions[p];
    bool leads = x->leader == id;
    /* Leaderless with this broker in sync: it takes over. */
    bool takes = x->leader < 0 && meta_broker_alive(&st->img, id);
    if (takes) {
        bool in = false;
        for (unsigned i = 0; i < x->n_isr; i++)
            in |= x->isr[i] == id;
        takes = in;
    }
    if ((!leads && !takes) || MUTANT("meta_epochs_not_raised"))
        return;
    struct meta_partition_new n = {.leader = meta_broker_alive(&st->img, id) ? id : -1,
                                   .leader_epoch = x->leader_epoch + 1,
                                   .partition_epoch = x->partition_epoch + 1,
                                   .replicas = x->replicas,
                                   .n_replicas = x->n_replicas,
                                   .isr = x->isr,
                                   .n_isr = x->n_isr,
                                   .dirs = x->dirs};
    struct meta_topic *own = meta_topic_own(st, *t, (*t)->n_partitions);
    *t = own;
    meta_partition_set(st, own, p, &n);
}

static void leave_then_raise(struct meta_state *st, const struct meta_topic **t, int32_t p, int32_t id)
{
    if ((*t)->partitions[p]->n_isr > 1)
        cmd_partition_leave(st, t, p, id);
    raise_epoch(st, t, p, id);
}

/* Another broker that has a data directory of this registration: one of the two runs on a copy. NULL: nobody. */
static const struct meta_broker *owner_of(struct meta_state *st, const struct meta_broker_register *g,
                                          const struct chronik_uuid **dir)
{
    struct meta_cursor c;
    for (const struct meta_broker *b = meta_brokers_first(&st->img, &c); b; b = meta_brokers_next(&c))
        for (uint32_t i = 0; b->id != g->id && i < b->n_dirs; i++)
            for (uint32_t k = 0; k < g->n_dirs; k++)
                if (meta_uuid_eq(&b->dirs[i], &g->dirs[k])) {
                    *dir = &b->dirs[i];
                    return b;
                }
    return NULL;
}

static void register_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    const struct meta_broker_register *g = &c->u.broker_register;
    const struct meta_broker *old = meta_broker_by_id(&st->img, g->id);
    if (old && meta_uuid_eq(&old->incarnation, &g->incarnation)) {
        out->values[0] = old->epoch;
        out->n_values = 1;
        return;
    }
    if (old && g->boot <= old->boot) {
        meta_refuse(st, out, KAFKA_STALE_BROKER_EPOCH,
                    "Broker %d has registered with boot number %llu since; this registration has %llu.", g->id,
                    (unsigned long long)old->boot, (unsigned long long)g->boot);
        return;
    }
    const struct chronik_uuid *dir = NULL;
    const struct meta_broker *owner = owner_of(st, g, &dir);
    if (owner) {
        char id[23];
        meta_uuid_text(dir, id);
        meta_refuse(
            st, out, KAFKA_INVALID_REGISTRATION,
            "Broker %d has a data directory with directory.id=%s, which broker %d has too: one is a copy of the "
            "other; give the copy an empty directory, or unregister broker %d if it is gone.",
            g->id, id, owner->id, owner->id);
        return;
    }
    struct meta_broker_new n = {.id = g->id,
                                .fenced = g->fenced,
                                .incarnation = g->incarnation,
                                .boot = g->boot,
                                .epoch = (int64_t)st->img.seq,
                                .registered_ms = c->timestamp_ms,
                                .rack = g->rack,
                                .endpoints = g->endpoints,
                                .n_endpoints = g->n_endpoints,
                                .dirs = g->dirs,
                                .n_dirs = g->n_dirs};
    meta_broker_put(st, &n);
    forget_proposers(st, g->id, &g->incarnation);
    each_hosted(st, g->id, g->unclean ? leave_then_raise : raise_epoch);
    out->values[0] = n.epoch;
    out->n_values = 1;
}

static void register_json(const struct meta_command *c, struct meta_buf *b)
{
    const struct meta_broker_register *g = &c->u.broker_register;
    mj_int(b, "broker", g->id);
    mj_id(b, "incarnation", &g->incarnation);
    mj_int(b, "boot", (int64_t)g->boot);
    mj_text(b, "rack", g->rack);
    json_endpoints(b, g->endpoints, g->n_endpoints);
    mj_ids(b, "directories", g->dirs, g->n_dirs);
    mj_bool(b, "unclean", g->unclean);
    mj_bool(b, "fenced", g->fenced);
}

static void register_key(const struct meta_command *c, struct meta_buf *b)
{
    mj_int(b, "broker", c->u.broker_register.id);
}

const struct meta_cmd_def meta_cmd_broker_register = {META_CMD_BROKER_REGISTER,
                                                      1,
                                                      0,
                                                      "broker-register",
                                                      register_encode,
                                                      register_decode,
                                                      register_apply,
                                                      register_json,
                                                      register_key};

/* ---- BROKER_UPDATE ---- */

static void update_encode(const struct meta_command *c, struct meta_buf *b)
{
    const struct meta_broker_update *u = &c->u.broker_update;
    mb_iv(b, u->id);
    mb_iv(b, u->epoch);
    mb_iv(b, u->fenced);
    mb_iv(b, u->shutting_down);
    mb_u8(b, (uint8_t)(u->set_endpoints | u->set_dirs << 1));
    if (u->set_endpoints)
        enc_endpoints(b, u->endpoints, u->n_endpoints);
    if (u->set_dirs)
        cmd_enc_ids(b, u->dirs, u->n_dirs);
}

static void update_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    struct meta_broker_update *u = &c->u.broker_update;
    u->id = mr_iv32(r);
    u->epoch = mr_iv(r);
    int64_t fenced = mr_iv(r), down = mr_iv(r);
    uint8_t flags = mr_u8(r);
    if (fenced < -1 || fenced > 1 || down < -1 || down > 1 || flags > 3)
        r->bad = true;
    u->fenced = (int8_t)fenced;
    u->shutting_down = (int8_t)down;
    u->set_endpoints = flags & 1;
    u->set_dirs = flags & 2;
    if (u->set_endpoints)
        u->endpoints = dec_endpoints(r, a, &u->n_endpoints);
    if (u->set_dirs)
        u->dirs = cmd_dec_ids(r, a, &u->n_dirs);
}

static void leave(struct meta_state *st, const struct meta_topic **t, int32_t p, int32_t id)
{
    cmd_partition_leave(st, t, p, id);
}

/* The broker is back: what has no leader and trusts it gets one. What it still leads keeps its epoch. */
static void come_back(struct meta_state *st, const struct meta_topic **t, int32_t p, int32_t id)
{
    if ((*t)->partitions[p]->leader < 0)
        raise_epoch(st, t, p, id);
}

static void update_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    const struct meta_broker_update *u = &c->u.broker_update;
    const struct meta_broker *old = meta_broker_by_id(&st->img, u->id);
    if (!old) {
        meta_refuse(st, out, KAFKA_BROKER_ID_NOT_REGISTERED, "Broker %d is not registered.", u->id);
        return;
    }
    if (old->epoch != u->epoch) {
        meta_refuse(st, out, KAFKA_STALE_BROKER_EPOCH, "Broker %d has epoch %lld, not %lld.", u->id,
                    (long long)old->epoch, (long long)u->epoch);
        return;
    }
    bool was_fenced = old->fenced;
    struct meta_broker_new n = meta_broker_copy(st, old);
    if (u->fenced >= 0)
        n.fenced = u->fenced;
    if (u->shutting_down >= 0)
        n.shutting_down = u->shutting_down;
    if (u->set_endpoints) {
        n.endpoints = u->endpoints;
        n.n_endpoints = u->n_endpoints;
    }
    if (u->set_dirs) {
        n.dirs = u->dirs;
        n.n_dirs = u->n_dirs;
    }
    bool fenced = n.fenced;
    meta_broker_put(st, &n);
    if (fenced && !was_fenced)
        each_hosted(st, u->id, leave);
    else if (!fenced && was_fenced)
        each_hosted(st, u->id, come_back);
}

static void update_json(const struct meta_command *c, struct meta_buf *b)
{
    const struct meta_broker_update *u = &c->u.broker_update;
    mj_int(b, "broker", u->id);
    mj_int(b, "epoch", u->epoch);
    if (u->fenced >= 0)
        mj_bool(b, "fenced", u->fenced);
    if (u->shutting_down >= 0)
        mj_bool(b, "shuttingDown", u->shutting_down);
    if (u->set_endpoints)
        json_endpoints(b, u->endpoints, u->n_endpoints);
    if (u->set_dirs)
        mj_ids(b, "directories", u->dirs, u->n_dirs);
}

static void update_key(const struct meta_command *c, struct meta_buf *b)
{
    mj_int(b, "broker", c->u.broker_update.id);
}

const struct meta_cmd_def meta_cmd_broker_update = {
    META_CMD_BROKER_UPDATE, 1, 0, "broker-update", update_encode, update_decode, update_apply, update_json, update_key};

/* ---- BROKER_UNREGISTER ---- */

static void unregister_encode(const struct meta_command *c, struct meta_buf *b)
{
    mb_iv(b, c->u.broker_unregister.id);
}

static void unregister_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    c->u.broker_unregister.id = mr_iv32(r);
}

static void unregister_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    int32_t id = c->u.broker_unregister.id;
    const struct meta_broker *b = meta_broker_by_id(&st->img, id);
    if (!b) {
        meta_refuse(st, out, KAFKA_BROKER_ID_NOT_REGISTERED, "Broker %d is not registered.", id);
        return;
    }
    each_hosted(st, id, leave);
    struct chronik_uuid last = meta_broker_by_id(&st->img, id)->incarnation;
    forget_proposers(st, id, &last);
    meta_broker_remove(st, meta_broker_by_id(&st->img, id));
}

static void unregister_json(const struct meta_command *c, struct meta_buf *b)
{
    mj_int(b, "broker", c->u.broker_unregister.id);
}

const struct meta_cmd_def meta_cmd_broker_unregister = {META_CMD_BROKER_UNREGISTER,
                                                        1,
                                                        0,
                                                        "broker-unregister",
                                                        unregister_encode,
                                                        unregister_decode,
                                                        unregister_apply,
                                                        unregister_json,
                                                        unregister_json};
