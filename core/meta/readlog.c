/* readlog.c: the applied commands as JSON records, for the read-only topic __meta: rendered when asked for, from the
 * engine's log, with secrets left out by each command's own definition. Blocking; runs on the caller's worker and
 * touches nothing of the state. */
#include <stdlib.h>

#include "meta/meta_int.h"

struct reading {
    struct meta *m;
    uint64_t seq;   /* number of the next command in the log */
    uint64_t from;  /* first one wanted */
    uint64_t end;   /* exclusive */
    uint64_t index; /* last entry seen */
    uint64_t max_bytes, bytes;
    const uint64_t *skipped;
    size_t n_skipped;
    struct meta_buf key, value;
    struct arena arena;
    void (*each)(void *arg, const struct meta_record *r);
    void *arg;
    bool any, full, bad;
};

static void render(struct reading *r, const struct meta_command *c, const struct meta_envelope *env)
{
    const struct meta_cmd_def *d = meta_cmd_def(c->type);
    r->key.n = r->value.n = 0;
    mj_raw(&r->key, "{");
    mj_text(&r->key, "type", d->name);
    d->json_key(c, &r->key);
    mj_raw(&r->key, "}");
    mj_raw(&r->value, "{");
    mj_text(&r->value, "type", d->name);
    mj_int(&r->value, "version", d->version);
    mj_int(&r->value, "seq", (int64_t)r->seq);
    mj_int(&r->value, "timestamp", c->timestamp_ms);
    mj_int(&r->value, "node", env->node);
    mj_key(&r->value, "data");
    mj_raw(&r->value, "{");
    d->json(c, &r->value);
    mj_raw(&r->value, "}}");
    struct meta_record rec = {.seq = r->seq, .timestamp_ms = c->timestamp_ms};
    rec.key_len = r->key.n;
    rec.value_len = r->value.n;
    mb_u8(&r->key, 0);
    mb_u8(&r->value, 0);
    rec.key = (const char *)r->key.p;
    rec.value = (const char *)r->value.p;
    r->bytes += rec.key_len + rec.value_len;
    r->any = true;
    r->each(r->arg, &rec);
}

static bool is_skipped(const struct reading *r, uint64_t index)
{
    for (size_t i = 0; i < r->n_skipped; i++)
        if (r->skipped[i] == index)
            return true;
    return false;
}

static void read_entry(void *arg, const struct chronik_meta_entry *e)
{
    struct reading *r = arg;
    if (r->full || r->bad || e->pos.index <= r->index)
        return;
    r->index = e->pos.index;
    if (is_skipped(r, e->pos.index))
        return;
    struct meta_rd rd = mr_of(e->data, e->n);
    struct meta_envelope env;
    if (!meta_envelope_decode(&rd, &env)) {
        r->bad = true;
        return;
    }
    for (uint32_t i = 0; i < env.n_commands; i++, r->seq++) {
        struct meta_command c;
        uint64_t type;
        uint8_t version;
        if (r->seq >= r->end || (r->any && r->bytes >= r->max_bytes)) {
            r->full = true;
            return;
        }
        if (meta_cmd_decode(&rd, &r->arena, &c, &type, &version) != 1) {
            r->bad = true;
            return;
        }
        if (r->seq >= r->from)
            render(r, &c, &env);
    }
    arena_reset(&r->arena);
}

void meta_log_range(struct meta *m, uint64_t *first, uint64_t *end)
{
    struct chronik_meta_status s = {.size = sizeof s};
    m->ops->status(m->engine, &s);
    os_mutex_lock(&m->lock);
    logmap_trim(&m->map, s.first_index);
    *end = m->seq + 1;
    *first = m->map.n_anchors ? m->map.anchor[0].seq : *end;
    os_mutex_unlock(&m->lock);
}

/* Where to begin: the last anchor at or before `seq`. */
static bool reading_begin(struct reading *r, uint64_t seq)
{
    struct meta *m = r->m;
    os_mutex_lock(&m->lock);
    const struct logmap *l = &m->map;
    size_t lo = 0, hi = l->n_anchors;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (l->anchor[mid].seq <= seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    r->end = m->seq + 1;
    bool ok = lo > 0 && seq < r->end;
    if (ok) {
        r->seq = l->anchor[lo - 1].seq;
        r->index = l->anchor[lo - 1].index - 1;
        uint64_t *skipped = meta_xmalloc(l->n_skipped * sizeof *skipped);
        for (size_t i = 0; i < l->n_skipped; i++)
            if (l->skipped[i] > r->index)
                skipped[r->n_skipped++] = l->skipped[i];
        r->skipped = skipped;
    }
    os_mutex_unlock(&m->lock);
    return ok;
}

int32_t meta_read_log(struct meta *m, uint64_t seq, uint64_t max_bytes,
                      void (*each)(void *arg, const struct meta_record *r), void *arg)
{
    struct reading r = {.m = m, .from = seq, .max_bytes = max_bytes, .each = each, .arg = arg};
    uint64_t first, end;
    meta_log_range(m, &first, &end);
    if (seq == end)
        return CHRONIK_DONE;
    if (seq < first || seq > end || !reading_begin(&r, seq))
        return CHRONIK_E_RANGE;
    arena_init(&r.arena, 0);
    int32_t rc = CHRONIK_DONE;
    for (uint64_t before = UINT64_MAX; rc >= 0 && !r.full && !r.bad && r.seq < r.end && r.index != before;) {
        before = r.index;
        rc = m->ops->read_log(m->engine, r.index + 1, 1 << 20, read_entry, &r);
    }
    arena_free(&r.arena);
    mb_free(&r.key);
    mb_free(&r.value);
    free((uint64_t *)(uintptr_t)r.skipped);
    return rc < 0 ? rc : r.bad ? CHRONIK_E_CORRUPT : CHRONIK_DONE;
}
