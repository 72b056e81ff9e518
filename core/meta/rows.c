/* rows.c: objects to rows and back: what the digest, the checkpoint and snapshots are made of. Formats are for ever:
 * a change is a new format byte, and the old one stays readable. Pure but for the state it restores into. */
#include "meta/state.h"

enum { ROW_FORMAT = 1 };

/* ---- hash ---- */

static uint64_t load_le64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 m = (unsigned __int128)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Two lanes over 16-byte blocks; each block is multiplied into both lanes with different odd constants. */
static void hash_part(uint64_t h[2], const uint8_t *p, size_t n)
{
    const uint64_t k0 = 0x9e3779b97f4a7c15, k1 = 0xc2b2ae3d27d4eb4f, k2 = 0x165667b19e3779f9, k3 = 0xd6e8feb86659fd93;
    uint8_t last[16];
    uint64_t total = n;
    while (n) {
        if (n < 16) {
            memset(last, 0, sizeof last);
            memcpy(last, p, n);
            p = last;
            n = 16;
        }
        uint64_t a = load_le64(p), b = load_le64(p + 8);
        h[0] = fold(h[0] ^ a ^ k0, b ^ k1) + b;
        h[1] = fold(h[1] ^ b ^ k2, a ^ k3) + (a ^ h[0] >> 31);
        p += 16;
        n -= 16;
    }
    h[0] = fold(h[0] ^ total, k1);
    h[1] = fold(h[1] ^ h[0], k3 ^ total);
}

void meta_row_hash(const void *key, size_t kn, const void *value, size_t vn, uint64_t out[2])
{
    uint64_t h[2] = {0x6368726f6e696b31, 0x6d65746164617461};
    hash_part(h, key, kn);
    hash_part(h, value, vn);
    out[0] = fold(h[0] ^ 0xa0761d6478bd642f, h[1] ^ 0xe7037ed1a0b428db);
    out[1] = fold(h[1] ^ 0x8ebc6af09c88c6e3, h[0] ^ 0x589965cc75374cc3) + h[0];
}

/* ---- encoding ---- */

static void topic_key(struct meta_buf *k, const struct chronik_uuid *id)
{
    mb_u8(k, 'T');
    mb_uuid(k, id);
}

static void enc_entries(struct meta_buf *v, const struct meta_configs *c)
{
    mb_uv(v, c->n);
    for (uint32_t i = 0; i < c->n; i++) {
        mb_str(v, c->entries[i].key);
        mb_str(v, c->entries[i].value);
        mb_u8(v, c->entries[i].secret);
    }
}

void meta_enc_topic(const struct meta_topic *t, struct meta_buf *k, struct meta_buf *v)
{
    topic_key(k, &t->id);
    mb_u8(v, ROW_FORMAT);
    mb_str(v, t->name);
    mb_iv(v, t->created_ms);
    mb_uv(v, (uint64_t)t->n_partitions);
    enc_entries(v, t->configs);
}

void meta_enc_partition(const struct meta_topic *t, int32_t p, const struct meta_partition *x, struct meta_buf *k,
                        struct meta_buf *v)
{
    topic_key(k, &t->id);
    mb_be32(k, (uint32_t)p);
    mb_u8(v, ROW_FORMAT);
    mb_iv(v, x->leader);
    mb_iv(v, x->leader_epoch);
    mb_iv(v, x->partition_epoch);
    mb_uv(v, x->n_replicas);
    for (unsigned i = 0; i < x->n_replicas; i++)
        mb_iv(v, x->replicas[i]);
    mb_uv(v, x->n_isr);
    for (unsigned i = 0; i < x->n_isr; i++)
        mb_iv(v, x->isr[i]);
    mb_u8(v, x->dirs != NULL);
    for (unsigned i = 0; x->dirs && i < x->n_replicas; i++)
        mb_uuid(v, &x->dirs[i]);
}

void meta_enc_broker(const struct meta_broker *b, struct meta_buf *k, struct meta_buf *v)
{
    mb_u8(k, 'B');
    mb_be32(k, (uint32_t)b->id);
    mb_u8(v, ROW_FORMAT);
    mb_u8(v, (uint8_t)(b->fenced | b->shutting_down << 1));
    mb_uuid(v, &b->incarnation);
    mb_uv(v, b->boot);
    mb_iv(v, b->epoch);
    mb_iv(v, b->registered_ms);
    mb_str(v, b->rack);
    mb_uv(v, b->n_endpoints);
    for (uint32_t i = 0; i < b->n_endpoints; i++) {
        mb_str(v, b->endpoints[i].listener);
        mb_str(v, b->endpoints[i].host);
        mb_uv(v, b->endpoints[i].port);
        mb_uv(v, b->endpoints[i].security);
    }
    mb_uv(v, b->n_dirs);
    for (uint32_t i = 0; i < b->n_dirs; i++)
        mb_uuid(v, &b->dirs[i]);
}

void meta_enc_configs(const struct meta_configs *c, struct meta_buf *k, struct meta_buf *v)
{
    mb_u8(k, 'C');
    mb_u8(k, c->type);
    mb_put(k, c->name, strlen(c->name));
    mb_u8(v, ROW_FORMAT);
    enc_entries(v, c);
}

/* ---- walking ---- */

struct walk {
    struct meta_buf k, v;
    meta_row_fn fn;
    void *arg;
};

static void walk_emit(struct walk *w)
{
    w->fn(w->arg, w->k.p, w->k.n, w->v.p, w->v.n);
    w->k.n = w->v.n = 0;
}

void meta_image_rows(const struct meta_image *i, meta_row_fn fn, void *arg)
{
    struct walk w = {.fn = fn, .arg = arg};
    struct meta_cursor c;
    for (const struct meta_row *r = tree_seek(&i->rows, &c, "", 0); r; r = tree_next(&c))
        fn(arg, r->data, r->klen, meta_row_value(r), r->vlen);
    for (const struct meta_broker *b = tree_seek(&i->brokers, &c, "", 0); b; b = tree_next(&c)) {
        meta_enc_broker(b, &w.k, &w.v);
        walk_emit(&w);
    }
    for (const struct meta_configs *x = tree_seek(&i->configs, &c, "", 0); x; x = tree_next(&c)) {
        meta_enc_configs(x, &w.k, &w.v);
        walk_emit(&w);
    }
    for (const struct meta_topic *t = tree_seek(&i->by_id, &c, "", 0); t; t = tree_next(&c)) {
        meta_enc_topic(t, &w.k, &w.v);
        walk_emit(&w);
        for (int32_t p = 0; p < t->n_partitions; p++) {
            meta_enc_partition(t, p, t->partitions[p], &w.k, &w.v);
            walk_emit(&w);
        }
    }
    mb_free(&w.k);
    mb_free(&w.v);
}

static void digest_row(void *arg, const void *key, size_t kn, const void *value, size_t vn)
{
    uint64_t *d = arg, h[2];
    meta_row_hash(key, kn, value, vn, h);
    uint64_t lo = d[0] + h[0];
    d[1] += h[1] + (lo < h[0]);
    d[0] = lo;
}

void meta_image_digest(const struct meta_image *i, uint64_t out[2])
{
    out[0] = out[1] = 0;
    meta_image_rows(i, digest_row, out);
}

/* ---- restoring ---- */

static const struct meta_kv *dec_entries(struct meta_state *st, struct meta_rd *r, uint32_t *n)
{
    *n = mr_count(r, 3);
    struct meta_kv *e = mr_array(r, &st->arena, *n, sizeof *e);
    for (uint32_t i = 0; i < *n && !r->bad; i++) {
        e[i].key = mr_str_some(r);
        e[i].value = mr_str_some(r);
        e[i].secret = mr_u8(r) != 0;
        if (i && strcmp(e[i - 1].key, e[i].key) >= 0)
            r->bad = true;
    }
    return e;
}

static bool rd_done(const struct meta_rd *r)
{
    return !r->bad && r->p == r->end;
}

static bool restore_topic(struct meta_state *st, const struct chronik_uuid *id, struct meta_rd r)
{
    const char *name = mr_str_some(&r);
    int64_t created = mr_iv(&r);
    uint64_t n = mr_uv(&r);
    uint32_t nc;
    const struct meta_kv *e = dec_entries(st, &r, &nc);
    if (!rd_done(&r) || n > 1000 * 1000 || strlen(name) == 0 || strlen(name) > 249 || meta_topic_by_id(&st->img, id) ||
        meta_topic_by_name(&st->img, name, strlen(name)))
        return false;
    meta_topic_add(st, id, name, created, (uint32_t)n, meta_configs_new(st, 0, "", e, nc));
    return true;
}

static bool restore_partition(struct meta_state *st, const struct chronik_uuid *id, uint32_t p, struct meta_rd r)
{
    const struct meta_topic *t = meta_topic_by_id(&st->img, id);
    struct meta_partition_new n = {.leader = mr_iv32(&r), .leader_epoch = mr_iv32(&r)};
    n.partition_epoch = mr_iv32(&r);
    n.n_replicas = mr_count(&r, 1);
    int32_t *replicas = mr_array(&r, &st->arena, n.n_replicas, sizeof *replicas);
    for (uint32_t i = 0; i < n.n_replicas; i++)
        replicas[i] = mr_iv32(&r);
    n.n_isr = mr_count(&r, 1);
    int32_t *isr = mr_array(&r, &st->arena, n.n_isr, sizeof *isr);
    for (uint32_t i = 0; i < n.n_isr; i++)
        isr[i] = mr_iv32(&r);
    struct chronik_uuid *dirs = NULL;
    if (mr_u8(&r)) {
        dirs = mr_array(&r, &st->arena, n.n_replicas, sizeof *dirs);
        for (uint32_t i = 0; i < n.n_replicas; i++)
            dirs[i] = mr_uuid(&r);
    }
    if (!rd_done(&r) || !t || p >= (uint32_t)t->n_partitions || t->partitions[p] || n.n_replicas > 10000 ||
        n.n_isr > 10000)
        return false;
    n.replicas = replicas;
    n.isr = isr;
    n.dirs = dirs;
    meta_partition_set(st, meta_topic_own(st, t, t->n_partitions), (int32_t)p, &n);
    return true;
}

static bool restore_broker(struct meta_state *st, int32_t id, struct meta_rd r)
{
    uint8_t flags = mr_u8(&r);
    struct meta_broker_new n = {.id = id, .fenced = flags & 1, .shutting_down = flags >> 1 & 1};
    n.incarnation = mr_uuid(&r);
    n.boot = mr_uv(&r);
    n.epoch = mr_iv(&r);
    n.registered_ms = mr_iv(&r);
    n.rack = mr_str(&r);
    n.n_endpoints = mr_count(&r, 6);
    struct meta_endpoint *e = mr_array(&r, &st->arena, n.n_endpoints, sizeof *e);
    for (uint32_t i = 0; i < n.n_endpoints; i++) {
        e[i].listener = mr_str_some(&r);
        e[i].host = mr_str_some(&r);
        e[i].port = (uint16_t)mr_uv(&r);
        e[i].security = (uint16_t)mr_uv(&r);
    }
    n.n_dirs = mr_count(&r, 16);
    struct chronik_uuid *dirs = mr_array(&r, &st->arena, n.n_dirs, sizeof *dirs);
    for (uint32_t i = 0; i < n.n_dirs; i++)
        dirs[i] = mr_uuid(&r);
    if (!rd_done(&r) || flags > 3 || meta_broker_by_id(&st->img, id))
        return false;
    n.endpoints = e;
    n.dirs = dirs;
    meta_broker_put(st, &n);
    return true;
}

static bool restore_configs(struct meta_state *st, uint8_t type, const char *name, size_t name_len, struct meta_rd r)
{
    char *copy = arena_strndup(&st->arena, name, name_len);
    CHECK(copy != NULL);
    uint32_t n;
    const struct meta_kv *e = dec_entries(st, &r, &n);
    if (!rd_done(&r) || n == 0 || type == 0 || type == META_RES_TOPIC || strlen(copy) != name_len ||
        meta_configs_of(&st->img, type, copy, name_len))
        return false;
    meta_configs_put(st, meta_configs_new(st, type, copy, e, n));
    return true;
}

static bool key_is(const void *key, size_t kn, const char *name)
{
    return kn == strlen(name) && memcmp(key, name, kn) == 0;
}

/* The shape of a proposer's row or of kept results: what apply.c will read from it later. */
static bool proposer_row_ok(struct meta_state *st, const uint8_t *key, size_t kn, struct meta_rd r)
{
    mr_uv(&r);
    if (key[0] == 'P') {
        mr_uv(&r);
        return kn == 22 && rd_done(&r);
    }
    uint32_t n = mr_count(&r, 2);
    for (uint32_t i = 0; i < n && !r.bad; i++) {
        mr_iv(&r);
        uint8_t head = mr_u8(&r);
        if ((head & META_RESULT_N) > META_RESULT_VALUES)
            return false;
        for (unsigned k = 0; k < (head & META_RESULT_N); k++)
            mr_iv(&r);
        if (head & META_RESULT_CODES)
            for (uint32_t left = mr_count(&r, 1); left > 0 && !r.bad; left--)
                mr_iv(&r);
        if (head & META_RESULT_TEXT)
            mr_str_some(&r);
    }
    return kn == 30 && n > 0 && rd_done(&r);
}

static bool fact_row(struct meta_state *st, const uint8_t *key, size_t kn, struct meta_rd r)
{
    if (key_is(key, kn, META_FACT_CLUSTER)) {
        st->img.cluster_id = mr_uuid(&r);
    } else if (key_is(key, kn, META_FACT_PRODUCERS)) {
        st->img.producer_next = mr_iv(&r);
        if (st->img.producer_next < 0)
            return false;
    } else if (key_is(key, kn, META_FACT_FEATURES)) {
        st->img.features_epoch = mr_iv(&r);
    } else if (key_is(key, kn, META_FACT_ENGINE)) {
        st->img.fenced = mr_u8(&r) != 0;
        st->img.engine_epoch = mr_uv(&r);
        mr_uuid(&r);
        mr_str_some(&r);
    } else {
        return false;
    }
    return rd_done(&r);
}

/* Rows that are kept as bytes; some also have a place in the image. */
static bool restore_plain(struct meta_state *st, const uint8_t *key, size_t kn, const void *value, size_t vn)
{
    struct meta_rd r = mr_of(value, vn);
    if (mr_u8(&r) != ROW_FORMAT || meta_row_get(&st->img, key, kn))
        return false;
    bool ok = false;
    switch (key[0]) {
    case 'A':
        ok = fact_row(st, key, kn, r);
        break;
    case 'D': {
        mr_iv(&r);
        mr_str_some(&r);
        for (uint32_t n = mr_count(&r, 1); n > 0 && !r.bad; n--)
            mr_iv32(&r);
        ok = kn == 17 && rd_done(&r);
        st->img.n_deleted += ok;
        break;
    }
    case 'F':
        mr_iv(&r);
        mr_str_some(&r);
        ok = rd_done(&r);
        break;
    case 'G':
    case 'O':
    case 'S':
        ok = meta_group_row_ok(st, key, kn, value, vn);
        break;
    case 'P':
    case 'R':
        ok = proposer_row_ok(st, key, kn, r);
        break;
    default:
        break;
    }
    if (!ok)
        return false;
    meta_row_put(st, key, kn, value, vn);
    meta_group_row_note(st, key, kn, true);
    return true;
}

bool meta_restore_row(struct meta_state *st, const void *key, size_t kn, const void *value, size_t vn)
{
    const uint8_t *k = key;
    if (kn < 2 || kn > 1024 || vn < 1)
        return false;
    struct meta_rd r = mr_of(value, vn);
    bool ok;
    struct chronik_uuid id;
    switch (k[0]) {
    case 'T':
        if (kn != 17 && kn != 21)
            return false;
        memcpy(id.b, k + 1, 16);
        ok = mr_u8(&r) == ROW_FORMAT &&
             (kn == 17 ? restore_topic(st, &id, r) : restore_partition(st, &id, get_be32(k + 17), r));
        break;
    case 'B':
        ok = kn == 5 && mr_u8(&r) == ROW_FORMAT && restore_broker(st, (int32_t)get_be32(k + 1), r);
        break;
    case 'C':
        ok = mr_u8(&r) == ROW_FORMAT && restore_configs(st, k[1], (const char *)k + 2, kn - 2, r);
        break;
    default:
        ok = restore_plain(st, k, kn, value, vn);
    }
    arena_reset(&st->arena);
    return ok;
}

bool meta_restore_end(struct meta_state *st)
{
    struct meta_cursor c;
    for (const struct meta_topic *t = tree_seek(&st->img.by_id, &c, "", 0); t; t = tree_next(&c))
        for (int32_t p = 0; p < t->n_partitions; p++)
            if (!t->partitions[p])
                return false;
    meta_state_changes_clear(st);
    return true;
}
