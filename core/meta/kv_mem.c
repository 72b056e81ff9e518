/* kv_mem.c: the ordered map in memory: a sorted array of pairs, copied at begin so that abort is cheap to get right.
 * For the simulator and the model test; it must never be used for a real checkpoint. */
#include <stdlib.h>

#include "base/crc32c.h"
#include "meta/buf.h"
#include "meta/kv.h"
#include "meta/mem.h"

struct pair {
    uint8_t *p; /* key, value */
    size_t kn, vn;
};

struct pairs {
    struct pair *v;
    size_t n, cap;
};

struct kv_mem {
    struct meta_kv_table pub;
    struct pairs now, was; /* was: what abort goes back to */
    bool open;
};

static struct kv_mem *kv_of(struct meta_kv_table *t)
{
    return CONTAINER_OF(t, struct kv_mem, pub);
}

static struct pair pair_new(const void *k, size_t kn, const void *v, size_t vn)
{
    struct pair p = {.p = meta_xmalloc(kn + vn), .kn = kn, .vn = vn};
    memcpy(p.p, k, kn);
    if (vn)
        memcpy(p.p + kn, v, vn);
    return p;
}

static void pairs_clear(struct pairs *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->v[i].p);
    free(s->v);
    *s = (struct pairs){0};
}

static size_t pairs_find(const struct pairs *s, const void *k, size_t kn, bool *eq)
{
    size_t lo = 0, hi = s->n;
    *eq = false;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = memcmp(s->v[mid].p, k, min_size(s->v[mid].kn, kn));
        if (c == 0 && s->v[mid].kn == kn) {
            *eq = true;
            return mid;
        }
        if (c < 0 || (c == 0 && s->v[mid].kn < kn))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static int32_t mem_begin(struct meta_kv_table *t, struct err *e)
{
    struct kv_mem *m = kv_of(t);
    CHECK(!m->open);
    m->open = true;
    m->was.cap = m->was.n = m->now.n;
    m->was.v = meta_xmalloc(m->now.n * sizeof *m->was.v);
    for (size_t i = 0; i < m->now.n; i++)
        m->was.v[i] = pair_new(m->now.v[i].p, m->now.v[i].kn, m->now.v[i].p + m->now.v[i].kn, m->now.v[i].vn);
    return CHRONIK_DONE;
}

static int32_t mem_put(struct meta_kv_table *t, const void *k, size_t kn, const void *v, size_t vn, struct err *e)
{
    struct pairs *s = &kv_of(t)->now;
    CHECK(kv_of(t)->open);
    bool eq;
    size_t at = pairs_find(s, k, kn, &eq);
    struct pair p = pair_new(k, kn, v, vn);
    if (eq) {
        free(s->v[at].p);
        s->v[at] = p;
        return CHRONIK_DONE;
    }
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->v = meta_xrealloc(s->v, s->cap * sizeof *s->v);
    }
    memmove(s->v + at + 1, s->v + at, (s->n - at) * sizeof *s->v);
    s->v[at] = p;
    s->n++;
    return CHRONIK_DONE;
}

static int32_t mem_del(struct meta_kv_table *t, const void *k, size_t kn, struct err *e)
{
    struct pairs *s = &kv_of(t)->now;
    CHECK(kv_of(t)->open);
    bool eq;
    size_t at = pairs_find(s, k, kn, &eq);
    if (!eq)
        return CHRONIK_DONE;
    free(s->v[at].p);
    s->n--;
    memmove(s->v + at, s->v + at + 1, (s->n - at) * sizeof *s->v);
    return CHRONIK_DONE;
}

static int32_t mem_clear(struct meta_kv_table *t, struct err *e)
{
    CHECK(kv_of(t)->open);
    pairs_clear(&kv_of(t)->now);
    return CHRONIK_DONE;
}

static int32_t mem_commit(struct meta_kv_table *t, struct err *e)
{
    struct kv_mem *m = kv_of(t);
    CHECK(m->open);
    pairs_clear(&m->was);
    m->open = false;
    return CHRONIK_DONE;
}

static void mem_abort(struct meta_kv_table *t)
{
    struct kv_mem *m = kv_of(t);
    CHECK(m->open);
    pairs_clear(&m->now);
    m->now = m->was;
    m->was = (struct pairs){0};
    m->open = false;
}

static int32_t mem_each(struct meta_kv_table *t, bool (*fn)(void *, const void *, size_t, const void *, size_t),
                        void *arg, struct err *e)
{
    struct pairs *s = &kv_of(t)->now;
    for (size_t i = 0; i < s->n; i++)
        if (!fn(arg, s->v[i].p, s->v[i].kn, s->v[i].p + s->v[i].kn, s->v[i].vn))
            break;
    return CHRONIK_DONE;
}

static int32_t mem_sync(struct meta_kv_table *t, struct err *e)
{
    return CHRONIK_DONE;
}

static int32_t mem_sum(struct meta_kv_table *t, uint32_t *out, struct err *e)
{
    struct pairs *s = &kv_of(t)->now;
    uint32_t crc = 0;
    for (size_t i = 0; i < s->n; i++) {
        uint8_t head[16];
        put_be64(head, s->v[i].kn);
        put_be64(head + 8, s->v[i].vn);
        crc = crc32c(crc, head, sizeof head);
        crc = crc32c(crc, s->v[i].p, s->v[i].kn + s->v[i].vn);
    }
    *out = crc;
    return CHRONIK_DONE;
}

static void mem_close(struct meta_kv_table *t)
{
    struct kv_mem *m = kv_of(t);
    pairs_clear(&m->now);
    pairs_clear(&m->was);
    free(m);
}

struct meta_kv_table *meta_kv_mem_new(void)
{
    struct kv_mem *m = meta_xmalloc(sizeof *m);
    *m = (struct kv_mem){
        .pub = {mem_begin, mem_put, mem_del, mem_clear, mem_commit, mem_abort, mem_each, mem_sync, mem_sum, mem_close}};
    return &m->pub;
}

void meta_kv_mem_damage(struct meta_kv_table *t, uint64_t seed)
{
    struct pairs *s = &kv_of(t)->now;
    if (kv_of(t)->open)
        mem_abort(t);
    if (s->n == 0)
        return;
    struct pair *p = &s->v[seed % s->n];
    size_t n = p->kn + p->vn;
    p->p[(seed >> 20) % n] ^= (uint8_t)(1u << (seed >> 50 & 7));
}
