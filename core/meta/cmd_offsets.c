/* cmd_offsets.c: committed offsets: encode, apply and JSON of OFFSETS_COMMIT and OFFSETS_DELETE. A command carries the
 * commits of many groups, each judged alone; what a commit wants to say is complete in it, down to names for __meta. */
#include "meta/cmd.h"

static void enc_text(struct meta_buf *b, const struct meta_span *s)
{
    mb_strn(b, s->p, s->n);
}

struct meta_span cmd_dec_text(struct meta_rd *r)
{
    const char *s = mr_str_some(r);
    return (struct meta_span){s, (uint32_t)strlen(s)};
}

/* ---- OFFSETS_COMMIT ---- */

static void enc_topic(struct meta_buf *b, const struct meta_commit_topic *t)
{
    mb_uuid(b, &t->id);
    enc_text(b, &t->name);
    mb_uv(b, t->n_partitions);
    for (uint32_t i = 0; i < t->n_partitions; i++) {
        const struct meta_commit_partition *p = &t->partitions[i];
        mb_iv(b, p->partition);
        mb_iv(b, p->leader_epoch);
        mb_iv(b, p->offset);
        mb_iv(b, p->expire_ms);
        mb_bytes(b, p->metadata.p, p->metadata.n);
    }
}

static void commit_encode(const struct meta_command *c, struct meta_buf *b)
{
    const struct meta_offsets_commit *o = &c->u.offsets_commit;
    mb_uv(b, o->n_commits);
    for (uint32_t i = 0; i < o->n_commits; i++) {
        const struct meta_commit *x = &o->commits[i];
        cmd_enc_owner(b, &x->owner);
        enc_text(b, &x->group);
        mb_iv(b, x->generation);
        mb_uv(b, x->n_topics);
        for (uint32_t k = 0; k < x->n_topics; k++)
            enc_topic(b, &x->topics[k]);
    }
}

static void dec_topic(struct meta_rd *r, struct arena *a, struct meta_commit_topic *t)
{
    t->id = mr_uuid(r);
    t->name = cmd_dec_text(r);
    t->n_partitions = mr_count(r, 5);
    struct meta_commit_partition *p = mr_array(r, a, t->n_partitions, sizeof *p);
    for (uint32_t i = 0; i < t->n_partitions && !r->bad; i++) {
        p[i].partition = mr_iv32(r);
        p[i].leader_epoch = mr_iv32(r);
        p[i].offset = mr_iv(r);
        p[i].expire_ms = mr_iv(r);
        size_t n;
        p[i].metadata.p = mr_bytes(r, &n);
        p[i].metadata.n = (uint32_t)n;
    }
    t->partitions = p;
}

static void commit_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    struct meta_offsets_commit *o = &c->u.offsets_commit;
    o->n_commits = mr_count(r, 6);
    struct meta_commit *x = mr_array(r, a, o->n_commits, sizeof *x);
    for (uint32_t i = 0; i < o->n_commits && !r->bad; i++) {
        x[i].owner = cmd_dec_owner(r);
        x[i].group = cmd_dec_text(r);
        x[i].generation = mr_iv32(r);
        x[i].n_topics = mr_count(r, 19);
        struct meta_commit_topic *t = mr_array(r, a, x[i].n_topics, sizeof *t);
        for (uint32_t k = 0; k < x[i].n_topics && !r->bad; k++)
            dec_topic(r, a, &t[k]);
        x[i].topics = t;
    }
    o->commits = x;
}

/* May it be committed to this group? Makes the group of a simple commit. */
static int16_t commit_admit(struct meta_state *st, const struct meta_commit *x, int64_t now_ms)
{
    int16_t code = cmd_owner_check(st, &x->owner);
    if (code)
        return code;
    if (x->group.n > META_GROUP_ID_MAX)
        return KAFKA_INVALID_GROUP_ID;
    struct meta_group g;
    bool there = meta_group_get(&st->img, x->group.p, x->group.n, NULL, &g);
    if (x->generation >= 0)
        return there && x->generation >= g.generation ? KAFKA_NONE : KAFKA_ILLEGAL_GENERATION;
    if (there)
        return g.n_members ? KAFKA_UNKNOWN_MEMBER_ID : KAFKA_NONE;
    char *id = arena_strndup(&st->arena, x->group.p, x->group.n);
    CHECK(id != NULL);
    meta_group_put(st, &(struct meta_group){.id = id, .state_ms = now_ms});
    return KAFKA_NONE;
}

static void commit_topic(struct meta_state *st, const struct meta_commit *x, const struct meta_commit_topic *t,
                         int64_t now_ms)
{
    const struct meta_topic *topic = meta_topic_by_id(&st->img, &t->id);
    for (uint32_t i = 0; topic && i < t->n_partitions; i++) {
        const struct meta_commit_partition *p = &t->partitions[i];
        if (!meta_partition_of(topic, p->partition))
            continue;
        struct meta_offset o = {.topic = t->id,
                                .partition = p->partition,
                                .leader_epoch = p->leader_epoch,
                                .offset = p->offset,
                                .commit_ms = now_ms,
                                .expire_ms = p->expire_ms,
                                .metadata = p->metadata.p,
                                .n_metadata = p->metadata.n};
        meta_offset_put(st, x->group.p, x->group.n, &o);
    }
}

static void commit_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    const struct meta_offsets_commit *o = &c->u.offsets_commit;
    int16_t *codes = NULL;
    for (uint32_t i = 0; i < o->n_commits; i++) {
        const struct meta_commit *x = &o->commits[i];
        int16_t code = commit_admit(st, x, c->timestamp_ms);
        for (uint32_t k = 0; !code && k < x->n_topics; k++)
            commit_topic(st, x, &x->topics[k], c->timestamp_ms);
        if (code && !codes) {
            codes = arena_calloc(&st->arena, o->n_commits, sizeof *codes);
            CHECK(codes != NULL);
        }
        if (code)
            codes[i] = code;
    }
    out->codes = codes;
    out->n_codes = codes ? o->n_commits : 0;
}

static void json_topic(struct meta_buf *b, const struct meta_commit_topic *t)
{
    mj_comma(b);
    mj_raw(b, "{");
    mj_text(b, "topic", t->name.p);
    mj_id(b, "topicId", &t->id);
    mj_key(b, "partitions");
    mj_raw(b, "[");
    for (uint32_t i = 0; i < t->n_partitions; i++) {
        const struct meta_commit_partition *p = &t->partitions[i];
        mj_comma(b);
        mj_raw(b, "{");
        mj_int(b, "partition", p->partition);
        mj_int(b, "offset", p->offset);
        mj_int(b, "leaderEpoch", p->leader_epoch);
        if (p->expire_ms >= 0)
            mj_int(b, "expireTimestamp", p->expire_ms);
        if (p->metadata.n)
            mj_textn(b, "metadata", p->metadata.p, p->metadata.n);
        mj_raw(b, "}");
    }
    mj_raw(b, "]}");
}

static void commit_json(const struct meta_command *c, struct meta_buf *b)
{
    const struct meta_offsets_commit *o = &c->u.offsets_commit;
    mj_key(b, "commits");
    mj_raw(b, "[");
    for (uint32_t i = 0; i < o->n_commits; i++) {
        const struct meta_commit *x = &o->commits[i];
        mj_comma(b);
        mj_raw(b, "{");
        mj_text(b, "group", x->group.p);
        cmd_json_owner(b, &x->owner);
        mj_int(b, "generation", x->generation);
        mj_key(b, "topics");
        mj_raw(b, "[");
        for (uint32_t k = 0; k < x->n_topics; k++)
            json_topic(b, &x->topics[k]);
        mj_raw(b, "]}");
    }
    mj_raw(b, "]");
}

/* Of many groups there is no one name. */
static void commit_key(const struct meta_command *c, struct meta_buf *b)
{
    if (c->u.offsets_commit.n_commits == 1)
        mj_text(b, "group", c->u.offsets_commit.commits[0].group.p);
}

const struct meta_cmd_def meta_cmd_offsets_commit = {META_CMD_OFFSETS_COMMIT,
                                                     1,
                                                     0,
                                                     "offsets-commit",
                                                     commit_encode,
                                                     commit_decode,
                                                     commit_apply,
                                                     commit_json,
                                                     commit_key};

/* ---- OFFSETS_DELETE ---- */

static void delete_encode(const struct meta_command *c, struct meta_buf *b)
{
    const struct meta_offsets_delete *d = &c->u.offsets_delete;
    cmd_enc_owner(b, &d->owner);
    enc_text(b, &d->group);
    mb_uv(b, d->n_keys);
    for (uint32_t i = 0; i < d->n_keys; i++) {
        mb_uuid(b, &d->keys[i].topic);
        enc_text(b, &d->keys[i].name);
        mb_iv(b, d->keys[i].partition);
        mb_iv(b, d->keys[i].commit_ms);
    }
}

static void delete_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    struct meta_offsets_delete *d = &c->u.offsets_delete;
    d->owner = cmd_dec_owner(r);
    d->group = cmd_dec_text(r);
    d->n_keys = mr_count(r, 20);
    struct meta_offset_key *k = mr_array(r, a, d->n_keys, sizeof *k);
    for (uint32_t i = 0; i < d->n_keys && !r->bad; i++) {
        k[i].topic = mr_uuid(r);
        k[i].name = cmd_dec_text(r);
        k[i].partition = mr_iv32(r);
        k[i].commit_ms = mr_iv(r);
    }
    d->keys = k;
}

static void delete_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    const struct meta_offsets_delete *d = &c->u.offsets_delete;
    const char *group = d->group.p;
    size_t n = d->group.n;
    struct meta_group g;
    struct meta_offset o;
    int16_t code = cmd_owner_check(st, &d->owner);
    if (code) {
        meta_refuse(st, out, code, "Coordinator slot %d of group '%.128s' has another epoch: look its coordinator up.",
                    d->owner.slot, group);
        return;
    }
    if (!meta_group_get(&st->img, group, n, NULL, &g)) {
        meta_refuse(st, out, KAFKA_GROUP_ID_NOT_FOUND, "There is no group '%.128s'.", group);
        return;
    }
    int64_t gone = 0;
    for (uint32_t i = 0; i < d->n_keys; i++) {
        const struct meta_offset_key *k = &d->keys[i];
        if (meta_offset_get(&st->img, group, n, &k->topic, k->partition, &o) &&
            (k->commit_ms == -1 || o.commit_ms == k->commit_ms))
            gone += meta_offset_remove(st, group, n, &k->topic, k->partition);
    }
    out->values[0] = gone;
    out->n_values = 1;
}

static void delete_json(const struct meta_command *c, struct meta_buf *b)
{
    const struct meta_offsets_delete *d = &c->u.offsets_delete;
    mj_text(b, "group", d->group.p);
    cmd_json_owner(b, &d->owner);
    mj_key(b, "partitions");
    mj_raw(b, "[");
    for (uint32_t i = 0; i < d->n_keys; i++) {
        mj_comma(b);
        mj_raw(b, "{");
        mj_text(b, "topic", d->keys[i].name.p);
        mj_id(b, "topicId", &d->keys[i].topic);
        mj_int(b, "partition", d->keys[i].partition);
        if (d->keys[i].commit_ms != -1)
            mj_int(b, "committedAt", d->keys[i].commit_ms);
        mj_raw(b, "}");
    }
    mj_raw(b, "]");
}

static void delete_key(const struct meta_command *c, struct meta_buf *b)
{
    mj_text(b, "group", c->u.offsets_delete.group.p);
}

const struct meta_cmd_def meta_cmd_offsets_delete = {META_CMD_OFFSETS_DELETE,
                                                     1,
                                                     0,
                                                     "offsets-delete",
                                                     delete_encode,
                                                     delete_decode,
                                                     delete_apply,
                                                     delete_json,
                                                     delete_key};
