/* cmd_topics.c: topics: encode, apply and JSON of TOPIC_CREATE, TOPIC_DELETE, PARTITIONS_ADD and TOPICS_REMOVED. A
 * deleted topic's id stays in the state until every broker that hosted it has removed the data, so that nobody has to
 * guess whether data without a topic may go. */
#include "meta/cmd.h"

enum { MAX_NAME = 249, MAX_PARTITIONS = 200 * 1000, MAX_DELETED = 200 * 1000 };

/* ---- TOPIC_CREATE ---- */

static void create_encode(const struct meta_command *c, struct meta_buf *b)
{
    const struct meta_topic_create *t = &c->u.topic_create;
    mb_uuid(b, &t->id);
    mb_str(b, t->name);
    cmd_enc_assignments(b, t->partitions, t->n_partitions);
    cmd_enc_kvs(b, t->configs, t->n_configs);
}

static void create_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    struct meta_topic_create *t = &c->u.topic_create;
    t->id = mr_uuid(r);
    t->name = mr_str_some(r);
    t->partitions = cmd_dec_assignments(r, a, &t->n_partitions);
    t->configs = cmd_dec_kvs(r, a, &t->n_configs);
}

static bool name_ok(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n > MAX_NAME || strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
        return false;
    return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static bool create_check(struct meta_state *st, const struct meta_topic_create *t, struct meta_outcome *out)
{
    if (!name_ok(t->name) || meta_uuid_zero(&t->id)) {
        meta_refuse(st, out, KAFKA_INVALID_TOPIC_EXCEPTION,
                    "Topic name '%.64s' is not legal: 1 to 249 of [a-zA-Z0-9._-], not '.' or '..'.", t->name);
    } else if (meta_topic_by_name(&st->img, t->name, strlen(t->name))) {
        meta_refuse(st, out, KAFKA_TOPIC_ALREADY_EXISTS, "Topic '%s' already exists.", t->name);
    } else if (meta_topic_by_id(&st->img, &t->id) || meta_topic_was_deleted(&st->img, &t->id)) {
        meta_refuse(st, out, KAFKA_TOPIC_ALREADY_EXISTS, "The topic id of '%s' is taken: draw another.", t->name);
    } else if (t->n_partitions == 0 || t->n_partitions > MAX_PARTITIONS) {
        meta_refuse(st, out, KAFKA_INVALID_PARTITIONS, "Topic '%s' cannot have %u partitions: 1 to %d.", t->name,
                    t->n_partitions, MAX_PARTITIONS);
    } else {
        return cmd_assign_check(st, t->partitions, t->n_partitions, out);
    }
    return false;
}

static void create_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    const struct meta_topic_create *t = &c->u.topic_create;
    if (!create_check(st, t, out))
        return;
    struct meta_kv *e = cmd_sorted_kvs(st, t->configs, t->n_configs, false, out);
    if (!e)
        return;
    struct meta_topic *x = meta_topic_add(st, &t->id, t->name, c->timestamp_ms, t->n_partitions,
                                          meta_configs_new(st, 0, "", e, t->n_configs));
    cmd_assign_apply(st, x, 0, t->partitions, t->n_partitions);
    meta_state_note(st, META_CHANGE_TOPIC_CREATED, &t->id, t->name, 0, 0);
}

static void create_json(const struct meta_command *c, struct meta_buf *b)
{
    const struct meta_topic_create *t = &c->u.topic_create;
    mj_text(b, "topic", t->name);
    mj_id(b, "topicId", &t->id);
    cmd_json_assignments(b, t->partitions, t->n_partitions);
    cmd_json_kvs(b, t->configs, t->n_configs);
}

static void create_key(const struct meta_command *c, struct meta_buf *b)
{
    mj_id(b, "topicId", &c->u.topic_create.id);
}

const struct meta_cmd_def meta_cmd_topic_create = {
    META_CMD_TOPIC_CREATE, 1, 0, "topic-create", create_encode, create_decode, create_apply, create_json, create_key};

/* ---- TOPIC_DELETE ---- */

static void delete_encode(const struct meta_command *c, struct meta_buf *b)
{
    mb_uuid(b, &c->u.topic_delete.id);
}

static void delete_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    c->u.topic_delete.id = mr_uuid(r);
}

static void deleted_key(uint8_t key[17], const struct chronik_uuid *id)
{
    key[0] = 'D';
    memcpy(key + 1, id->b, 16);
}

/* Value of a D row: when, the name, the brokers that may still hold data. */
static void deleted_put(struct meta_state *st, const struct chronik_uuid *id, int64_t ms, const char *name,
                        const int32_t *hosts, uint32_t n)
{
    uint8_t key[17];
    deleted_key(key, id);
    struct meta_buf *v = &st->vbuf;
    v->n = 0;
    mb_u8(v, 1);
    mb_iv(v, ms);
    mb_str(v, name);
    cmd_enc_ints(v, hosts, n);
    meta_row_put(st, key, sizeof key, v->p, v->n);
}

static uint32_t hosts_of(struct meta_state *st, const struct meta_topic *t, int32_t **out)
{
    uint32_t n = 0, cap = (uint32_t)st->img.brokers.count + 16;
    int32_t *hosts = arena_calloc(&st->arena, cap, sizeof *hosts);
    CHECK(hosts != NULL);
    for (int32_t p = 0; p < t->n_partitions; p++)
        for (unsigned r = 0; r < t->partitions[p]->n_replicas; r++) {
            int32_t id = t->partitions[p]->replicas[r];
            uint32_t k = 0;
            while (k < n && hosts[k] != id)
                k++;
            if (k == n && n < cap)
                hosts[n++] = id;
        }
    *out = hosts;
    return n;
}

/* The bound: the oldest id (in key order: any will do, as ids are random) makes room; its data becomes a stray. */
static void deleted_bound(struct meta_state *st)
{
    while (st->img.n_deleted > MAX_DELETED) {
        struct meta_cursor c;
        const struct meta_row *r = tree_seek(&st->img.rows, &c, "D", 1);
        CHECK(r && r->data[0] == 'D');
        meta_row_del(st, r->data, r->klen);
        st->img.n_deleted--;
    }
}

static void delete_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    const struct meta_topic *t = meta_topic_by_id(&st->img, &c->u.topic_delete.id);
    if (!t) {
        meta_refuse(st, out, KAFKA_UNKNOWN_TOPIC_ID, "There is no topic with this id.");
        return;
    }
    int32_t *hosts;
    uint32_t n = hosts_of(st, t, &hosts);
    meta_state_note(st, META_CHANGE_TOPIC_DELETED, &t->id, t->name, 0, 0);
    deleted_put(st, &t->id, c->timestamp_ms, t->name, hosts, n);
    st->img.n_deleted++;
    meta_offsets_drop_topic(st, &c->u.topic_delete.id);
    meta_topic_remove(st, t);
    deleted_bound(st);
}

static void delete_json(const struct meta_command *c, struct meta_buf *b)
{
    mj_id(b, "topicId", &c->u.topic_delete.id);
}

const struct meta_cmd_def meta_cmd_topic_delete = {
    META_CMD_TOPIC_DELETE, 1, 0, "topic-delete", delete_encode, delete_decode, delete_apply, delete_json, delete_json};

/* ---- PARTITIONS_ADD ---- */

static void add_encode(const struct meta_command *c, struct meta_buf *b)
{
    const struct meta_partitions_add *p = &c->u.partitions_add;
    mb_uuid(b, &p->id);
    mb_iv(b, p->first);
    cmd_enc_assignments(b, p->partitions, p->n_partitions);
}

static void add_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    struct meta_partitions_add *p = &c->u.partitions_add;
    p->id = mr_uuid(r);
    p->first = mr_iv32(r);
    p->partitions = cmd_dec_assignments(r, a, &p->n_partitions);
}

static void add_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    const struct meta_partitions_add *p = &c->u.partitions_add;
    const struct meta_topic *t = meta_topic_by_id(&st->img, &p->id);
    if (!t) {
        meta_refuse(st, out, KAFKA_UNKNOWN_TOPIC_ID, "There is no topic with this id.");
        return;
    }
    if (p->first != t->n_partitions || p->n_partitions == 0 ||
        p->n_partitions > (uint32_t)(MAX_PARTITIONS - t->n_partitions)) {
        meta_refuse(st, out, KAFKA_INVALID_PARTITIONS,
                    "Topic '%s' has %d partitions: %u more from %d on cannot be added (at most %d in all).", t->name,
                    t->n_partitions, p->n_partitions, p->first, MAX_PARTITIONS);
        return;
    }
    if (!cmd_assign_check(st, p->partitions, p->n_partitions, out))
        return;
    struct meta_topic *x = meta_topic_own(st, t, p->first + (int32_t)p->n_partitions);
    cmd_assign_apply(st, x, p->first, p->partitions, p->n_partitions);
    meta_topic_row(st, x);
}

static void add_json(const struct meta_command *c, struct meta_buf *b)
{
    const struct meta_partitions_add *p = &c->u.partitions_add;
    mj_id(b, "topicId", &p->id);
    mj_int(b, "first", p->first);
    cmd_json_assignments(b, p->partitions, p->n_partitions);
}

static void add_key(const struct meta_command *c, struct meta_buf *b)
{
    mj_id(b, "topicId", &c->u.partitions_add.id);
}

const struct meta_cmd_def meta_cmd_partitions_add = {
    META_CMD_PARTITIONS_ADD, 1, 0, "partitions-add", add_encode, add_decode, add_apply, add_json, add_key};

/* ---- TOPICS_REMOVED ---- */

static void removed_encode(const struct meta_command *c, struct meta_buf *b)
{
    mb_iv(b, c->u.topics_removed.broker);
    cmd_enc_ids(b, c->u.topics_removed.ids, c->u.topics_removed.n_ids);
}

static void removed_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    c->u.topics_removed.broker = mr_iv32(r);
    c->u.topics_removed.ids = cmd_dec_ids(r, a, &c->u.topics_removed.n_ids);
}

static void removed_one(struct meta_state *st, const struct chronik_uuid *id, int32_t broker)
{
    uint8_t key[17];
    deleted_key(key, id);
    const struct meta_row *row = meta_row_get(&st->img, key, sizeof key);
    if (!row)
        return;
    struct meta_rd r = mr_of(meta_row_value(row), row->vlen);
    mr_u8(&r);
    int64_t ms = mr_iv(&r);
    const char *name = mr_str_some(&r);
    uint32_t n, left = 0;
    int32_t *hosts = cmd_dec_ints(&r, &st->arena, &n);
    for (uint32_t i = 0; i < n; i++)
        if (hosts[i] != broker && meta_broker_by_id(&st->img, hosts[i]))
            hosts[left++] = hosts[i];
    if (left == n)
        return;
    if (left > 0) {
        char *copy = arena_strndup(&st->arena, name, strlen(name));
        CHECK(copy != NULL);
        deleted_put(st, id, ms, copy, hosts, left);
    } else {
        meta_row_del(st, key, sizeof key);
        st->img.n_deleted--;
    }
}

static void removed_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    for (uint32_t i = 0; i < c->u.topics_removed.n_ids; i++)
        removed_one(st, &c->u.topics_removed.ids[i], c->u.topics_removed.broker);
}

static void removed_json(const struct meta_command *c, struct meta_buf *b)
{
    mj_int(b, "broker", c->u.topics_removed.broker);
    mj_ids(b, "topicIds", c->u.topics_removed.ids, c->u.topics_removed.n_ids);
}

static void removed_key(const struct meta_command *c, struct meta_buf *b)
{
    mj_int(b, "broker", c->u.topics_removed.broker);
}

const struct meta_cmd_def meta_cmd_topics_removed = {META_CMD_TOPICS_REMOVED,
                                                     1,
                                                     0,
                                                     "topics-removed",
                                                     removed_encode,
                                                     removed_decode,
                                                     removed_apply,
                                                     removed_json,
                                                     removed_key};
