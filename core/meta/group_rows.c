/* group_rows.c: groups, committed offsets and coordinator slots as rows: their bytes, how they are found, and the index
 * of groups by topic that a topic's deletion needs. The rows are the objects: readers decode what they look up, so that
 * an offset costs one small block. A key is family, group, NUL and for an offset topic id and partition: the offsets of
 * a group lie side by side. Lookups: any reader; changes: apply executor only. */
#include "meta/state.h"

enum { ROW_FORMAT = 1, PART_BYTES = 16 + 4, KEY_MAX = 1 + META_GROUP_ID_MAX + 1 + PART_BYTES };

/* ---- keys ---- */

/* Family, group, NUL; 0 when the group's name is too long for any row. */
static size_t group_key(uint8_t key[KEY_MAX], char family, const char *group, size_t n)
{
    if (n > META_GROUP_ID_MAX)
        return 0;
    key[0] = (uint8_t)family;
    if (n)
        memcpy(key + 1, group, n);
    key[1 + n] = 0;
    return n + 2;
}

static size_t offset_key(uint8_t key[KEY_MAX], const char *group, size_t n, const struct chronik_uuid *topic,
                         int32_t partition)
{
    size_t kn = group_key(key, 'O', group, n);
    if (!kn)
        return 0;
    memcpy(key + kn, topic->b, 16);
    put_be32(key + kn + 16, (uint32_t)partition);
    return kn + PART_BYTES;
}

static bool has_prefix(const struct meta_row *r, const uint8_t *key, size_t kn)
{
    return r && r->klen >= kn && memcmp(r->data, key, kn) == 0;
}

/* ---- values ---- */

static void enc_group(struct meta_buf *v, const struct meta_group *g)
{
    v->n = 0;
    mb_u8(v, ROW_FORMAT);
    mb_str(v, g->protocol_type);
    mb_str(v, g->protocol);
    mb_str(v, g->leader);
    mb_iv(v, g->generation);
    mb_iv(v, g->state_ms);
    mb_uv(v, g->n_members);
    for (uint32_t i = 0; i < g->n_members; i++)
        meta_enc_member(v, &g->members[i]);
}

void meta_enc_member(struct meta_buf *v, const struct meta_member *m)
{
    mb_str(v, m->id);
    mb_str(v, m->instance);
    mb_str(v, m->client_id);
    mb_str(v, m->client_host);
    mb_iv(v, m->rebalance_timeout_ms);
    mb_iv(v, m->session_timeout_ms);
    mb_bytes(v, m->subscription, m->n_subscription);
    mb_bytes(v, m->assignment, m->n_assignment);
}

void meta_dec_member(struct meta_rd *r, struct meta_member *m)
{
    size_t n;
    m->id = mr_str_some(r);
    m->instance = mr_str(r);
    m->client_id = mr_str_some(r);
    m->client_host = mr_str_some(r);
    m->rebalance_timeout_ms = mr_iv32(r);
    m->session_timeout_ms = mr_iv32(r);
    m->subscription = mr_bytes(r, &n);
    m->n_subscription = (uint32_t)n;
    m->assignment = mr_bytes(r, &n);
    m->n_assignment = (uint32_t)n;
}

static bool dec_group(const struct meta_row *row, struct arena *a, struct meta_group *g)
{
    struct meta_rd r = mr_of(meta_row_value(row), row->vlen);
    *g = (struct meta_group){.id = (const char *)row->data + 1};
    mr_u8(&r);
    g->protocol_type = mr_str(&r);
    g->protocol = mr_str(&r);
    g->leader = mr_str(&r);
    g->generation = mr_iv32(&r);
    g->state_ms = mr_iv(&r);
    g->n_members = mr_count(&r, 8);
    if (!a)
        return !r.bad;
    struct meta_member *m = mr_array(&r, a, g->n_members, sizeof *m);
    for (uint32_t i = 0; i < g->n_members && !r.bad; i++)
        meta_dec_member(&r, &m[i]);
    g->members = m;
    return !r.bad && r.p == r.end;
}

static bool dec_offset(const uint8_t *key, size_t kn, const void *value, size_t vn, struct meta_offset *o)
{
    struct meta_rd r = mr_of(value, vn);
    memcpy(o->topic.b, key + kn - PART_BYTES, 16);
    o->partition = (int32_t)get_be32(key + kn - 4);
    mr_u8(&r);
    o->offset = mr_iv(&r);
    o->leader_epoch = mr_iv32(&r);
    o->commit_ms = mr_iv(&r);
    o->expire_ms = mr_iv(&r);
    size_t n;
    o->metadata = (const char *)mr_bytes(&r, &n);
    if (r.bad || r.p != r.end || n == 0 || o->metadata[n - 1] != 0)
        return false;
    o->n_metadata = (uint32_t)(n - 1);
    return true;
}

/* ---- the index by topic ---- */

static void user_note(struct meta_state *st, const uint8_t *key, size_t kn, bool came)
{
    size_t group_n = kn - 2 - PART_BYTES, un = 16 + group_n;
    uint8_t buf[16 + META_GROUP_ID_MAX];
    memcpy(buf, key + kn - PART_BYTES, 16);
    memcpy(buf + 16, key + 1, group_n);
    const struct topic_user *old = tree_find(&st->img.users, buf, un);
    uint32_t n = (old ? old->n_offsets : 0) + (came ? 1u : (uint32_t)-1);
    if (old && old->born == st->mem->batch && n > 0) {
        ((struct topic_user *)(uintptr_t)old)->n_offsets = n;
        return;
    }
    if (n == 0) {
        tree_del(&st->img.users, st->mem, buf, un);
    } else {
        struct topic_user *u = meta_mem_new(st->mem, sizeof *u + un);
        u->born = st->mem->batch;
        u->n_offsets = n;
        u->klen = (uint16_t)un;
        memcpy(u->key, buf, un);
        tree_put(&st->img.users, st->mem, u);
    }
    if (old)
        meta_mem_drop(st->mem, old, old->born);
}

void meta_group_row_note(struct meta_state *st, const uint8_t *key, size_t kn, bool came)
{
    uint64_t one = came ? 1 : (uint64_t)-1;
    if (key[0] == 'G') {
        st->img.n_groups += one;
    } else if (key[0] == 'O') {
        st->img.n_offsets += one;
        user_note(st, key, kn, came);
    }
}

/* ---- changes ---- */

void meta_group_put(struct meta_state *st, const struct meta_group *g)
{
    uint8_t key[KEY_MAX];
    size_t kn = group_key(key, 'G', g->id, strlen(g->id));
    CHECK(kn > 0);
    enc_group(&st->vbuf, g);
    if (!meta_row_put(st, key, kn, st->vbuf.p, st->vbuf.n))
        meta_group_row_note(st, key, kn, true);
}

static void row_remove(struct meta_state *st, const uint8_t *key, size_t kn)
{
    if (meta_row_del(st, key, kn))
        meta_group_row_note(st, key, kn, false);
}

/* All rows that begin with these bytes. */
static void rows_remove(struct meta_state *st, const uint8_t *prefix, size_t pn)
{
    struct meta_cursor c;
    uint8_t key[KEY_MAX];
    const struct meta_row *r;
    while (has_prefix(r = tree_seek(&st->img.rows, &c, prefix, pn), prefix, pn)) {
        size_t kn = r->klen; /* the row may go with its removal */
        memcpy(key, r->data, kn);
        row_remove(st, key, kn);
    }
}

void meta_group_remove(struct meta_state *st, const char *group)
{
    uint8_t key[KEY_MAX];
    size_t n = strlen(group), kn = group_key(key, 'O', group, n);
    CHECK(kn > 0);
    rows_remove(st, key, kn);
    row_remove(st, key, group_key(key, 'G', group, n));
}

void meta_offset_put(struct meta_state *st, const char *group, size_t n, const struct meta_offset *o)
{
    uint8_t key[KEY_MAX];
    size_t kn = offset_key(key, group, n, &o->topic, o->partition);
    CHECK(kn > 0);
    struct meta_buf *v = &st->vbuf;
    v->n = 0;
    mb_u8(v, ROW_FORMAT);
    mb_iv(v, o->offset);
    mb_iv(v, o->leader_epoch);
    mb_iv(v, o->commit_ms);
    mb_iv(v, o->expire_ms);
    mb_uv(v, (uint64_t)o->n_metadata + 1);
    mb_put(v, o->metadata, o->n_metadata);
    mb_u8(v, 0);
    if (!meta_row_put(st, key, kn, v->p, v->n))
        meta_group_row_note(st, key, kn, true);
}

bool meta_offset_remove(struct meta_state *st, const char *group, size_t n, const struct chronik_uuid *topic,
                        int32_t partition)
{
    uint8_t key[KEY_MAX];
    size_t kn = offset_key(key, group, n, topic, partition);
    if (!kn || !meta_row_get(&st->img, key, kn))
        return false;
    row_remove(st, key, kn);
    return true;
}

void meta_offsets_drop_topic(struct meta_state *st, const struct chronik_uuid *topic)
{
    struct meta_cursor c;
    uint8_t key[KEY_MAX];
    const struct topic_user *u;
    while ((u = tree_seek(&st->img.users, &c, topic->b, 16)) && memcmp(u->key, topic->b, 16) == 0) {
        size_t kn = offset_key(key, (const char *)u->key + 16, u->klen - 16u, topic, 0);
        rows_remove(st, key, kn - 4);
    }
}

void meta_slot_put(struct meta_state *st, int32_t slot, const struct meta_slot *s)
{
    uint8_t key[5] = "S";
    put_be32(key + 1, (uint32_t)slot);
    struct meta_buf *v = &st->vbuf;
    v->n = 0;
    mb_u8(v, ROW_FORMAT);
    mb_iv(v, s->broker);
    mb_iv(v, s->epoch);
    meta_row_put(st, key, sizeof key, v->p, v->n);
    meta_state_note(st, META_CHANGE_COORD_SLOT, NULL, NULL, s->broker, 0);
    st->changes[st->n_changes - 1].slot = slot;
}

/* ---- restoring ---- */

static bool slot_row_ok(size_t kn, const void *value, size_t vn)
{
    struct meta_rd r = mr_of(value, vn);
    mr_u8(&r);
    mr_iv32(&r);
    mr_iv(&r);
    return kn == 5 && !r.bad && r.p == r.end;
}

bool meta_group_row_ok(struct meta_state *st, const uint8_t *key, size_t kn, const void *value, size_t vn)
{
    if (key[0] == 'S')
        return slot_row_ok(kn, value, vn);
    size_t tail = key[0] == 'O' ? PART_BYTES : 0;
    if (kn < 2 + tail || kn > 2 + META_GROUP_ID_MAX + tail || memchr(key + 1, 0, kn - 1) != key + kn - tail - 1)
        return false;
    if (key[0] == 'O') {
        struct meta_offset o;
        return dec_offset(key, kn, value, vn, &o) && o.partition >= 0;
    }
    /* dec_group reads rows as they lie in the image. */
    struct meta_row *row = arena_alloc(&st->arena, sizeof *row + kn + vn);
    CHECK(row != NULL);
    row->klen = (uint16_t)kn;
    row->vlen = (uint32_t)vn;
    memcpy(row->data, key, kn);
    memcpy(row->data + kn, value, vn);
    struct meta_group g;
    return dec_group(row, &st->arena, &g);
}

/* ---- lookups ---- */

bool meta_group_get(const struct meta_image *i, const char *group, size_t n, struct arena *a, struct meta_group *out)
{
    uint8_t key[KEY_MAX];
    size_t kn = group_key(key, 'G', group, n);
    const struct meta_row *r = kn ? meta_row_get(i, key, kn) : NULL;
    if (!r)
        return false;
    CHECK(dec_group(r, a, out));
    return true;
}

static bool group_at(const struct meta_row *r, struct arena *a, struct meta_group *out)
{
    if (!r || r->data[0] != 'G')
        return false;
    CHECK(dec_group(r, a, out));
    return true;
}

bool meta_groups_from(const struct meta_image *i, struct meta_cursor *c, const char *from, size_t n, struct arena *a,
                      struct meta_group *out)
{
    uint8_t key[KEY_MAX];
    size_t kn = group_key(key, 'G', from, n < META_GROUP_ID_MAX ? n : META_GROUP_ID_MAX);
    return group_at(tree_seek(&i->rows, c, key, kn - 1), a, out);
}

bool meta_groups_first(const struct meta_image *i, struct meta_cursor *c, struct arena *a, struct meta_group *out)
{
    return meta_groups_from(i, c, "", 0, a, out);
}

bool meta_groups_next(struct meta_cursor *c, struct arena *a, struct meta_group *out)
{
    return group_at(tree_next(c), a, out);
}

bool meta_offset_get(const struct meta_image *i, const char *group, size_t n, const struct chronik_uuid *topic,
                     int32_t partition, struct meta_offset *out)
{
    uint8_t key[KEY_MAX];
    size_t kn = offset_key(key, group, n, topic, partition);
    const struct meta_row *r = kn ? meta_row_get(i, key, kn) : NULL;
    if (!r)
        return false;
    CHECK(dec_offset(r->data, r->klen, meta_row_value(r), r->vlen, out));
    return true;
}

static bool offset_at(const struct meta_row *r, const char *group, size_t n, struct meta_offset *out)
{
    if (!r || r->data[0] != 'O' || r->klen != n + 2 + PART_BYTES || r->data[1 + n] != 0 ||
        memcmp(r->data + 1, group, n) != 0)
        return false;
    CHECK(dec_offset(r->data, r->klen, meta_row_value(r), r->vlen, out));
    return true;
}

bool meta_offsets_first(const struct meta_image *i, struct meta_cursor *c, const char *group, size_t n,
                        struct meta_offset *out)
{
    uint8_t key[KEY_MAX];
    size_t kn = group_key(key, 'O', group, n);
    return kn && offset_at(tree_seek(&i->rows, c, key, kn), group, n, out);
}

bool meta_offsets_next(struct meta_cursor *c, const char *group, size_t n, struct meta_offset *out)
{
    return offset_at(tree_next(c), group, n, out);
}

struct meta_slot meta_slot_of(const struct meta_image *i, int32_t slot)
{
    uint8_t key[5] = "S";
    put_be32(key + 1, (uint32_t)slot);
    const struct meta_row *row = meta_row_get(i, key, sizeof key);
    if (!row)
        return (struct meta_slot){.broker = -1};
    struct meta_rd r = mr_of(meta_row_value(row), row->vlen);
    mr_u8(&r);
    int32_t broker = mr_iv32(&r);
    return (struct meta_slot){.broker = broker, .epoch = mr_iv(&r)};
}
