/* cmd_cluster.c: the cluster's identity and its finalised features: encode, apply and JSON of CLUSTER_FORM and
 * FEATURE_SET. */
#include "meta/cmd.h"

static void no_key(const struct meta_command *c, struct meta_buf *b)
{
}

/* ---- CLUSTER_FORM ---- */

static void form_encode(const struct meta_command *c, struct meta_buf *b)
{
    mb_uuid(b, &c->u.cluster_form.cluster_id);
}

static void form_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    c->u.cluster_form.cluster_id = mr_uuid(r);
}

static void form_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    const struct chronik_uuid *id = &c->u.cluster_form.cluster_id;
    if (meta_uuid_zero(id)) {
        meta_refuse(st, out, KAFKA_INVALID_REQUEST, "A cluster id of zeroes is none: draw a random one.");
        return;
    }
    if (meta_uuid_zero(&st->img.cluster_id)) {
        st->img.cluster_id = *id;
        meta_fact_put(st, META_FACT_CLUSTER);
        meta_state_note(st, META_CHANGE_CLUSTER, NULL, NULL, 0, 0);
    } else if (!meta_uuid_eq(&st->img.cluster_id, id)) {
        meta_refuse(st, out, KAFKA_INCONSISTENT_CLUSTER_ID, "The cluster was formed under another id.");
    }
}

static void form_json(const struct meta_command *c, struct meta_buf *b)
{
    mj_id(b, "clusterId", &c->u.cluster_form.cluster_id);
}

const struct meta_cmd_def meta_cmd_cluster_form = {
    META_CMD_CLUSTER_FORM, 1, 0, "cluster-form", form_encode, form_decode, form_apply, form_json, no_key};

/* ---- FEATURE_SET ---- */

static void feature_encode(const struct meta_command *c, struct meta_buf *b)
{
    mb_str(b, c->u.feature_set.name);
    mb_iv(b, c->u.feature_set.level);
    mb_u8(b, c->u.feature_set.downgrade);
}

static void feature_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    c->u.feature_set.name = mr_str_some(r);
    int64_t level = mr_iv(r);
    c->u.feature_set.level = (int16_t)level;
    c->u.feature_set.downgrade = mr_u8(r) != 0;
    if (level < 0 || level > INT16_MAX)
        r->bad = true;
}

static void feature_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    const struct meta_feature_set *f = &c->u.feature_set;
    uint8_t key[101] = "F";
    size_t n = strlen(f->name);
    if (n == 0 || n > 100) {
        meta_refuse(st, out, KAFKA_INVALID_REQUEST, "A feature's name has 1 to 100 characters.");
        return;
    }
    memcpy(key + 1, f->name, n);
    int16_t now = meta_feature_level(&st->img, f->name);
    if (f->level < now && !f->downgrade) {
        meta_refuse(st, out, KAFKA_INVALID_UPDATE_VERSION,
                    "Feature %s stands at level %d: going down to %d needs the downgrade flag.", f->name, now,
                    f->level);
        return;
    }
    if (f->level == now)
        return;
    if (f->level == 0) {
        meta_row_del(st, key, n + 1);
    } else {
        st->vbuf.n = 0;
        mb_u8(&st->vbuf, 1);
        mb_iv(&st->vbuf, f->level);
        mb_str(&st->vbuf, f->name);
        meta_row_put(st, key, n + 1, st->vbuf.p, st->vbuf.n);
    }
    st->img.features_epoch = (int64_t)st->img.seq;
    meta_fact_put(st, META_FACT_FEATURES);
    meta_state_note(st, META_CHANGE_FEATURES, NULL, NULL, 0, 0);
}

static void feature_json(const struct meta_command *c, struct meta_buf *b)
{
    mj_text(b, "feature", c->u.feature_set.name);
    mj_int(b, "level", c->u.feature_set.level);
    if (c->u.feature_set.downgrade)
        mj_bool(b, "downgrade", true);
}

static void feature_key(const struct meta_command *c, struct meta_buf *b)
{
    mj_text(b, "feature", c->u.feature_set.name);
}

const struct meta_cmd_def meta_cmd_feature_set = {
    META_CMD_FEATURE_SET, 1,          0, "feature-set", feature_encode, feature_decode, feature_apply,
    feature_json,         feature_key};
