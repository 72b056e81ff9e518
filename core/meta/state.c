/* state.c: the changes that commands make: every one replaces an immutable object, adjusts the digest and leaves its
 * row in the delta for the checkpoint. It must never look at a clock, a node's own identity or anything else outside
 * the state. Apply executor only. */
#include "meta/state.h"

#include <stdlib.h>

static const void *key_topic_name(const void *e, size_t *n)
{
    const struct meta_topic *t = e;
    *n = t->name_len;
    return t->name;
}

static const void *key_topic_id(const void *e, size_t *n)
{
    const struct meta_topic *t = e;
    *n = sizeof t->id.b;
    return t->id.b;
}

static const void *key_broker(const void *e, size_t *n)
{
    *n = 4;
    return ((const struct broker_obj *)e)->key;
}

static const void *key_configs(const void *e, size_t *n)
{
    const struct configs_obj *c = e;
    *n = c->klen;
    return c->key;
}

static const void *key_row(const void *e, size_t *n)
{
    const struct meta_row *r = e;
    *n = r->klen;
    return r->data;
}

static const void *key_user(const void *e, size_t *n)
{
    const struct topic_user *u = e;
    *n = u->klen;
    return u->key;
}

static void image_init(struct meta_image *i)
{
    memset(i, 0, sizeof *i);
    i->by_name.key = key_topic_name;
    i->by_id.key = key_topic_id;
    i->brokers.key = key_broker;
    i->configs.key = key_configs;
    i->rows.key = key_row;
    i->users.key = key_user;
    i->features_epoch = -1;
    i->controller = -1;
}

void meta_state_init(struct meta_state *st, struct meta_mem *mem)
{
    memset(st, 0, sizeof *st);
    st->mem = mem;
    image_init(&st->img);
    arena_init(&st->arena, 0);
}

static void drop_topic(struct meta_state *st, const struct meta_topic *t)
{
    for (int32_t p = 0; p < t->n_partitions; p++)
        if (t->partitions[p])
            meta_mem_drop(st->mem, t->partitions[p], t->partitions[p]->born);
    meta_mem_drop(st->mem, t->configs, t->configs->born);
    meta_mem_drop(st->mem, t, t->born);
}

void meta_state_clear(struct meta_state *st)
{
    struct meta_image *i = &st->img;
    struct meta_cursor c;
    for (const struct meta_topic *t = tree_seek(&i->by_id, &c, "", 0); t; t = tree_next(&c))
        drop_topic(st, t);
    for (const struct meta_broker *b = tree_seek(&i->brokers, &c, "", 0); b; b = tree_next(&c))
        meta_mem_drop(st->mem, b, b->born);
    for (const struct meta_configs *x = tree_seek(&i->configs, &c, "", 0); x; x = tree_next(&c))
        meta_mem_drop(st->mem, x, x->born);
    for (const struct meta_row *r = tree_seek(&i->rows, &c, "", 0); r; r = tree_next(&c))
        meta_mem_drop(st->mem, r, r->born);
    for (const struct topic_user *u = tree_seek(&i->users, &c, "", 0); u; u = tree_next(&c))
        meta_mem_drop(st->mem, u, u->born);
    tree_clear(&i->by_name, st->mem);
    tree_clear(&i->by_id, st->mem);
    tree_clear(&i->brokers, st->mem);
    tree_clear(&i->configs, st->mem);
    tree_clear(&i->rows, st->mem);
    tree_clear(&i->users, st->mem);
    int32_t controller = i->controller;
    image_init(i);
    i->controller = controller;
    st->delta.n = 0;
}

void meta_state_changes_clear(struct meta_state *st)
{
    for (uint32_t i = 0; i < st->n_changes; i++)
        free((char *)(uintptr_t)st->changes[i].name);
    st->n_changes = 0;
}

void meta_state_free(struct meta_state *st)
{
    meta_state_clear(st);
    meta_state_changes_clear(st);
    free(st->changes);
    mb_free(&st->delta);
    mb_free(&st->kbuf);
    mb_free(&st->vbuf);
    arena_free(&st->arena);
}

const struct meta_image *meta_state_publish(struct meta_state *st)
{
    struct meta_image *i = meta_mem_new(st->mem, sizeof *i);
    *i = st->img;
    meta_mem_publish(st->mem, i);
    return i;
}

void meta_state_note(struct meta_state *st, enum meta_change_kind kind, const struct chronik_uuid *topic,
                     const char *name, int32_t broker, uint8_t res_type)
{
    if (st->n_changes == st->cap_changes) {
        st->cap_changes = st->cap_changes ? st->cap_changes * 2 : 64;
        st->changes = meta_xrealloc(st->changes, st->cap_changes * sizeof *st->changes);
    }
    struct meta_change *c = &st->changes[st->n_changes++];
    *c = (struct meta_change){.kind = kind, .broker = broker, .res_type = res_type, .name = meta_xstrdup(name)};
    if (topic)
        c->topic_id = *topic;
}

/* ---- digest and delta ---- */

static void digest_add(struct meta_image *i, const uint64_t h[2])
{
    uint64_t lo = i->digest[0] + h[0];
    i->digest[1] += h[1] + (lo < h[0]);
    i->digest[0] = lo;
}

static void digest_sub(struct meta_image *i, const uint64_t h[2])
{
    uint64_t borrow = i->digest[0] < h[0];
    i->digest[0] -= h[0];
    i->digest[1] -= h[1] + borrow;
}

static void row_came(struct meta_state *st, const void *k, size_t kn, const void *v, size_t vn, uint64_t hash[2])
{
    meta_row_hash(k, kn, v, vn, hash);
    digest_add(&st->img, hash);
    st->img.n_rows++;
    if (st->want_delta) {
        mb_bytes(&st->delta, k, kn);
        mb_uv(&st->delta, vn + 1);
        mb_put(&st->delta, v, vn);
    }
}

/* The row's old value leaves the digest; `gone` when no new one follows. */
static void row_went(struct meta_state *st, const void *k, size_t kn, const uint64_t hash[2], bool gone)
{
    digest_sub(&st->img, hash);
    st->img.n_rows--;
    if (gone && st->want_delta) {
        mb_bytes(&st->delta, k, kn);
        mb_uv(&st->delta, 0);
    }
}

/* ---- plain rows ---- */

const struct meta_row *meta_row_get(const struct meta_image *i, const void *key, size_t n)
{
    return tree_find(&i->rows, key, n);
}

bool meta_row_put(struct meta_state *st, const void *key, size_t kn, const void *value, size_t vn)
{
    CHECK(kn > 0 && kn <= UINT16_MAX && vn <= UINT32_MAX);
    struct meta_row *r = meta_mem_new(st->mem, sizeof *r + kn + vn);
    r->born = st->mem->batch;
    r->klen = (uint16_t)kn;
    r->vlen = (uint32_t)vn;
    memcpy(r->data, key, kn);
    if (vn)
        memcpy(r->data + kn, value, vn);
    const struct meta_row *old = tree_put(&st->img.rows, st->mem, r);
    if (old) {
        row_went(st, key, kn, old->hash, false);
        meta_mem_drop(st->mem, old, old->born);
    }
    row_came(st, r->data, kn, r->data + kn, vn, r->hash);
    return old != NULL;
}

bool meta_row_del(struct meta_state *st, const void *key, size_t kn)
{
    const struct meta_row *old = tree_del(&st->img.rows, st->mem, key, kn);
    if (!old)
        return false;
    row_went(st, old->data, kn, old->hash, true);
    meta_mem_drop(st->mem, old, old->born);
    return true;
}

void meta_fact_put(struct meta_state *st, const char *name)
{
    struct meta_buf *v = &st->vbuf;
    v->n = 0;
    mb_u8(v, 1);
    if (strcmp(name, META_FACT_CLUSTER) == 0)
        mb_uuid(v, &st->img.cluster_id);
    else if (strcmp(name, META_FACT_PRODUCERS) == 0)
        mb_iv(v, st->img.producer_next);
    else if (strcmp(name, META_FACT_FEATURES) == 0)
        mb_iv(v, st->img.features_epoch);
    else
        CHECK(!"an unknown fact");
    meta_row_put(st, name, strlen(name), v->p, v->n);
}

/* ---- topics ---- */

static void topic_came(struct meta_state *st, struct meta_topic *t)
{
    st->kbuf.n = st->vbuf.n = 0;
    meta_enc_topic(t, &st->kbuf, &st->vbuf);
    row_came(st, st->kbuf.p, st->kbuf.n, st->vbuf.p, st->vbuf.n, t->hash);
}

void meta_topic_row(struct meta_state *st, struct meta_topic *t)
{
    row_went(st, NULL, 0, t->hash, false);
    topic_came(st, t);
}

static struct meta_topic *topic_alloc(struct meta_state *st, const char *name, size_t name_len, int32_t n)
{
    struct meta_topic *t = meta_mem_new(st->mem, sizeof *t + (size_t)n * sizeof(void *) + name_len + 1);
    t->born = st->mem->batch;
    const struct meta_partition **parts = (void *)(t + 1);
    char *copy = (char *)(parts + n);
    memcpy(copy, name, name_len);
    t->partitions = parts;
    t->name = copy;
    t->name_len = (uint16_t)name_len;
    t->n_partitions = n;
    return t;
}

struct meta_topic *meta_topic_add(struct meta_state *st, const struct chronik_uuid *id, const char *name,
                                  int64_t created_ms, uint32_t n_partitions, const struct meta_configs *configs)
{
    struct meta_topic *t = topic_alloc(st, name, strlen(name), (int32_t)n_partitions);
    t->id = *id;
    t->created_ms = created_ms;
    t->internal = meta_topic_name_internal(name, strlen(name));
    t->configs = configs;
    CHECK(tree_put(&st->img.by_id, st->mem, t) == NULL);
    CHECK(tree_put(&st->img.by_name, st->mem, t) == NULL);
    topic_came(st, t);
    return t;
}

void meta_topic_remove(struct meta_state *st, const struct meta_topic *t)
{
    uint8_t key[21] = "T";
    memcpy(key + 1, t->id.b, 16);
    for (int32_t p = 0; p < t->n_partitions; p++) {
        put_be32(key + 17, (uint32_t)p);
        row_went(st, key, 21, t->partitions[p]->hash, true);
    }
    row_went(st, key, 17, t->hash, true);
    st->img.n_partitions -= (uint64_t)t->n_partitions;
    tree_del(&st->img.by_name, st->mem, t->name, t->name_len);
    tree_del(&st->img.by_id, st->mem, t->id.b, 16);
    drop_topic(st, t);
}

struct meta_topic *meta_topic_own(struct meta_state *st, const struct meta_topic *t, int32_t n_partitions)
{
    if (t->born == st->mem->batch && t->n_partitions == n_partitions)
        return (struct meta_topic *)(uintptr_t)t;
    CHECK(n_partitions >= t->n_partitions);
    struct meta_topic *c = topic_alloc(st, t->name, t->name_len, n_partitions);
    c->hash[0] = t->hash[0];
    c->hash[1] = t->hash[1];
    c->id = t->id;
    c->created_ms = t->created_ms;
    c->internal = t->internal;
    c->configs = t->configs;
    memcpy((void *)(uintptr_t)c->partitions, t->partitions, (size_t)t->n_partitions * sizeof(void *));
    CHECK(tree_put(&st->img.by_id, st->mem, c) == t);
    CHECK(tree_put(&st->img.by_name, st->mem, c) == t);
    if (t->born != st->mem->batch)
        meta_state_note(st, META_CHANGE_TOPIC, &t->id, t->name, 0, 0);
    meta_mem_drop(st->mem, t, t->born);
    return c;
}

void meta_partition_set(struct meta_state *st, struct meta_topic *t, int32_t p, const struct meta_partition_new *n)
{
    CHECK(p >= 0 && p < t->n_partitions && t->born == st->mem->batch);
    size_t dirs = n->dirs ? n->n_replicas * sizeof *n->dirs : 0;
    struct meta_partition *x = meta_mem_new(st->mem, sizeof *x + dirs + (n->n_replicas + n->n_isr) * sizeof(int32_t));
    x->born = st->mem->batch;
    x->leader = n->leader;
    x->leader_epoch = n->leader_epoch;
    x->partition_epoch = n->partition_epoch;
    x->n_replicas = (uint16_t)n->n_replicas;
    x->n_isr = (uint16_t)n->n_isr;
    struct chronik_uuid *d = (void *)(x + 1);
    if (dirs) {
        memcpy(d, n->dirs, dirs);
        x->dirs = d;
    }
    int32_t *ids = (void *)((char *)d + dirs);
    if (n->n_replicas)
        memcpy(ids, n->replicas, n->n_replicas * sizeof *ids);
    if (n->n_isr)
        memcpy(ids + n->n_replicas, n->isr, n->n_isr * sizeof *ids);
    x->replicas = ids;
    x->isr = ids + n->n_replicas;
    const struct meta_partition **parts = (const struct meta_partition **)(uintptr_t)t->partitions;
    const struct meta_partition *old = parts[p];
    parts[p] = x;
    st->kbuf.n = st->vbuf.n = 0;
    meta_enc_partition(t, p, x, &st->kbuf, &st->vbuf);
    if (old)
        row_went(st, NULL, 0, old->hash, false);
    else
        st->img.n_partitions++;
    row_came(st, st->kbuf.p, st->kbuf.n, st->vbuf.p, st->vbuf.n, x->hash);
    if (old)
        meta_mem_drop(st->mem, old, old->born);
}

void meta_topic_set_configs(struct meta_state *st, struct meta_topic *t, const struct meta_configs *c)
{
    CHECK(t->born == st->mem->batch);
    meta_mem_drop(st->mem, t->configs, t->configs->born);
    t->configs = c;
    meta_topic_row(st, t);
}

/* ---- settings ---- */

struct meta_configs *meta_configs_new(struct meta_state *st, uint8_t type, const char *name,
                                      const struct meta_kv *entries, uint32_t n)
{
    size_t name_len = type ? strlen(name) : 0, bytes = name_len + 2;
    for (uint32_t i = 0; i < n; i++)
        bytes += strlen(entries[i].key) + strlen(entries[i].value) + 2;
    struct configs_obj *o = meta_mem_new(st->mem, sizeof *o + n * sizeof(struct meta_config_entry) + bytes);
    struct meta_configs *c = &o->pub;
    struct meta_config_entry *e = (void *)(o + 1);
    char *p = (char *)(e + n);
    c->born = st->mem->batch;
    c->n = n;
    c->type = type;
    c->entries = e;
    o->key = (uint8_t *)p;
    o->klen = (uint16_t)(1 + name_len);
    *p++ = (char)type;
    c->name = p;
    if (name_len)
        memcpy(p, name, name_len);
    p += name_len + 1;
    for (uint32_t i = 0; i < n; i++) {
        e[i].secret = entries[i].secret;
        e[i].key = p;
        p = stpcpy(p, entries[i].key) + 1;
        e[i].value = p;
        p = stpcpy(p, entries[i].value) + 1;
    }
    return c;
}

void meta_configs_put(struct meta_state *st, struct meta_configs *c)
{
    struct configs_obj *o = (void *)c;
    meta_state_note(st, META_CHANGE_CONFIG, NULL, c->name, 0, c->type);
    st->kbuf.n = st->vbuf.n = 0;
    meta_enc_configs(c, &st->kbuf, &st->vbuf);
    const struct meta_configs *old;
    if (c->n == 0) {
        old = tree_del(&st->img.configs, st->mem, o->key, o->klen);
        if (old)
            row_went(st, st->kbuf.p, st->kbuf.n, old->hash, true);
        meta_mem_drop(st->mem, c, c->born);
    } else {
        old = tree_put(&st->img.configs, st->mem, c);
        if (old)
            row_went(st, NULL, 0, old->hash, false);
        row_came(st, st->kbuf.p, st->kbuf.n, st->vbuf.p, st->vbuf.n, c->hash);
    }
    if (old)
        meta_mem_drop(st->mem, old, old->born);
}

/* ---- brokers ---- */

static char *copy_str(char **p, const char *s)
{
    char *at = *p;
    *p = stpcpy(at, s) + 1;
    return at;
}

void meta_broker_put(struct meta_state *st, const struct meta_broker_new *n)
{
    size_t bytes = n->rack ? strlen(n->rack) + 1 : 0;
    for (uint32_t i = 0; i < n->n_endpoints; i++)
        bytes += strlen(n->endpoints[i].listener) + strlen(n->endpoints[i].host) + 2;
    struct broker_obj *o = meta_mem_new(st->mem, sizeof *o + n->n_endpoints * sizeof(struct meta_broker_endpoint) +
                                                     n->n_dirs * sizeof(struct chronik_uuid) + bytes);
    struct meta_broker *b = &o->pub;
    put_be32(o->key, (uint32_t)n->id);
    b->born = st->mem->batch;
    b->id = n->id;
    b->fenced = n->fenced;
    b->shutting_down = n->shutting_down;
    b->incarnation = n->incarnation;
    b->boot = n->boot;
    b->epoch = n->epoch;
    b->registered_ms = n->registered_ms;
    b->n_endpoints = n->n_endpoints;
    b->n_dirs = n->n_dirs;
    struct meta_broker_endpoint *e = (void *)(o + 1);
    struct chronik_uuid *d = (void *)(e + n->n_endpoints);
    char *p = (char *)(d + n->n_dirs);
    for (uint32_t i = 0; i < n->n_endpoints; i++)
        e[i] = (struct meta_broker_endpoint){.listener = copy_str(&p, n->endpoints[i].listener),
                                             .host = copy_str(&p, n->endpoints[i].host),
                                             .port = n->endpoints[i].port,
                                             .security = n->endpoints[i].security};
    if (n->n_dirs)
        memcpy(d, n->dirs, n->n_dirs * sizeof *d);
    b->endpoints = e;
    b->dirs = d;
    if (n->rack)
        b->rack = copy_str(&p, n->rack);
    const struct meta_broker *old = tree_put(&st->img.brokers, st->mem, o);
    if (old)
        row_went(st, NULL, 0, old->hash, false);
    st->kbuf.n = st->vbuf.n = 0;
    meta_enc_broker(b, &st->kbuf, &st->vbuf);
    row_came(st, st->kbuf.p, st->kbuf.n, st->vbuf.p, st->vbuf.n, b->hash);
    meta_state_note(st, META_CHANGE_BROKER, NULL, NULL, b->id, 0);
    if (old)
        meta_mem_drop(st->mem, old, old->born);
}

void meta_broker_remove(struct meta_state *st, const struct meta_broker *b)
{
    st->kbuf.n = st->vbuf.n = 0;
    meta_enc_broker(b, &st->kbuf, &st->vbuf);
    row_went(st, st->kbuf.p, st->kbuf.n, b->hash, true);
    meta_state_note(st, META_CHANGE_BROKER, NULL, NULL, b->id, 0);
    tree_del(&st->img.brokers, st->mem, ((const struct broker_obj *)(const void *)b)->key, 4);
    meta_mem_drop(st->mem, b, b->born);
}

struct meta_broker_new meta_broker_copy(struct meta_state *st, const struct meta_broker *b)
{
    struct meta_endpoint *e = arena_calloc(&st->arena, b->n_endpoints, sizeof *e);
    CHECK(e != NULL);
    for (uint32_t i = 0; i < b->n_endpoints; i++)
        e[i] = (struct meta_endpoint){
            .listener = arena_strndup(&st->arena, b->endpoints[i].listener, strlen(b->endpoints[i].listener)),
            .host = arena_strndup(&st->arena, b->endpoints[i].host, strlen(b->endpoints[i].host)),
            .port = b->endpoints[i].port,
            .security = b->endpoints[i].security};
    return (struct meta_broker_new){.id = b->id,
                                    .fenced = b->fenced,
                                    .shutting_down = b->shutting_down,
                                    .incarnation = b->incarnation,
                                    .boot = b->boot,
                                    .epoch = b->epoch,
                                    .registered_ms = b->registered_ms,
                                    .rack = b->rack,
                                    .endpoints = e,
                                    .n_endpoints = b->n_endpoints,
                                    .dirs = b->dirs,
                                    .n_dirs = b->n_dirs};
}
