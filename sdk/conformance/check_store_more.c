/* check_store_more.c: the checks of a storage module's further services: segments, description, sidecars, replacing,
 * and what a restart finds. */
#include "store_kit.h"

#include <stdlib.h>

void store_segments(struct kit *k);
void store_stat(struct kit *k);
void store_sidecars(struct kit *k);
void store_replace(struct kit *k);
void store_replace_stale(struct kit *k);
void store_restart(struct kit *k);

struct walk {
    int64_t next;
    uint64_t bytes;
    unsigned n, active;
    int64_t bases[64];
};

static void walk_one(void *arg, const struct chronik_segment_info *i)
{
    struct walk *w = arg;
    EXPECT(w->n == 0 || i->base_offset == w->next, "a segment begins at %lld, the one before ends at %lld",
           (long long)i->base_offset, (long long)w->next);
    EXPECT(i->end_offset >= i->base_offset, "a segment is [%lld, %lld)", (long long)i->base_offset,
           (long long)i->end_offset);
    EXPECT(w->active == 0, "a segment comes behind the active one");
    w->active += !i->sealed;
    w->next = i->end_offset;
    w->bytes += i->bytes;
    if (w->n < ARRAY_LEN(w->bases))
        w->bases[w->n] = i->base_offset;
    w->n++;
}

static struct walk walk(struct part *p)
{
    struct walk w = {0};
    int32_t rc = CALL(p->s->ops->segments(p->p, walk_one, &w));
    EXPECT(rc > 0, "segments answered %s", kit_code(rc));
    /* After a roll the next active one may come into being with the next append. */
    EXPECT(w.n > 0 || p->end == part_stat(p).log_start, "the log is not empty and has no segments");
    EXPECT(w.n == 0 || w.next == p->end, "the last segment ends at %lld, the log at %lld", (long long)w.next,
           (long long)p->end);
    return w;
}

void store_segments(struct kit *k)
{
    struct store t;
    struct part p;
    uint64_t bytes = 0;
    store_open(&t, k);
    part_init(&p, &t, 0);
    part_open(&p, CHRONIK_STORE_CREATE);
    EXPECT(CALL(t.ops->roll(p.p)) > 0, "roll of an empty log failed");
    EXPECT(walk(&p).n <= 1, "roll of an empty log made segments");
    for (int i = 0; i < 6; i++) {
        part_add(&p, 5, 4, 800);
        EXPECT(CALL(t.ops->roll(p.p)) > 0, "roll failed");
    }
    struct walk w = walk(&p);
    EXPECT(w.n - w.active == 6, "six rolls made %u sealed segments", w.n - w.active);
    for (unsigned i = 0; i < p.n; i++)
        bytes += p.batches[i].bytes;
    EXPECT(w.bytes == bytes && part_stat(&p).bytes == bytes,
           "segments hold %llu bytes, stat says %llu, appended were %llu", (unsigned long long)w.bytes,
           (unsigned long long)part_stat(&p).bytes, (unsigned long long)bytes);
    EXPECT(part_truncate_prefix(&p, 45) > 0, "truncate_prefix failed");
    w = walk(&p);
    EXPECT(w.bases[0] <= 45 && w.n <= 5, "after truncation below 45 the first of %u segments begins at %lld", w.n,
           (long long)w.bases[0]);
    store_close(&t);
}

void store_stat(struct kit *k)
{
    struct store t;
    struct part p;
    store_open(&t, k);
    part_init(&p, &t, 0);
    part_open(&p, CHRONIK_STORE_CREATE);
    struct chronik_part_stat st = part_stat(&p);
    EXPECT(st.written == 0 && st.durable == 0 && st.log_start == 0 && st.last_epoch == -1 && st.max_timestamp == -1,
           "stat of an empty log: start %lld, written %lld, durable %lld, epoch %d, timestamp %lld",
           (long long)st.log_start, (long long)st.written, (long long)st.durable, st.last_epoch,
           (long long)st.max_timestamp);
    EXPECT(st.dir < KIT_DIRS && st.offline == 0, "stat: directory %u, offline %u", st.dir, st.offline);
    part_add(&p, 10, 3, 500);
    st = part_stat(&p);
    EXPECT(st.last_epoch == 3, "stat: the last epoch is %d, wanted 3", st.last_epoch);
    EXPECT(st.max_timestamp == p.batches[9].timestamp && st.max_timestamp_offset == p.batches[9].base,
           "stat: the largest timestamp is %lld at %lld, wanted %lld at %lld", (long long)st.max_timestamp,
           (long long)st.max_timestamp_offset, (long long)p.batches[9].timestamp, (long long)p.batches[9].base);
    memset(&st, 0x5a, sizeof st);
    st.size = offsetof(struct chronik_part_stat, bytes);
    t.ops->stat(p.p, &st);
    EXPECT(st.bytes == UINT64_C(0x5a5a5a5a5a5a5a5a), "stat wrote beyond the size that the caller stated");
    store_close(&t);
}

/* ---- sidecars ---- */

static void put_sidecar(struct part *p, uint32_t kind, int64_t offset, uint64_t id)
{
    size_t n = 100 + (size_t)id * 10;
    void *data = kit_lend(n);
    kit_fill(data, n, id);
    kit_lend_readonly(data, n);
    int32_t rc = CALL(p->s->ops->sidecar_write(p->p, kind, offset, data, n));
    kit_take_back(data, n);
    EXPECT(rc > 0, "sidecar_write answered %s", kit_code(rc));
}

/* Expects the sidecar `id` at `offset`, or none when id is 0. */
static void want_sidecar(struct part *p, uint32_t kind, int64_t at_most, int64_t offset, uint64_t id)
{
    const struct chronik_host *host = p->s->k->table;
    struct chronik_buf *buf = NULL;
    int64_t found = -1;
    int32_t rc = CALL(p->s->ops->sidecar_latest(p->p, kind, at_most, &found, &buf));
    if (id == 0) {
        EXPECT(rc == CHRONIK_E_NOTFOUND, "sidecar_latest(%u, %lld): wanted CHRONIK_E_NOTFOUND, found %s", kind,
               (long long)at_most, kit_code(rc));
        return;
    }
    EXPECT(rc > 0 && found == offset, "sidecar_latest(%u, %lld) answered %s at %lld, wanted %lld", kind,
           (long long)at_most, kit_code(rc), (long long)found, (long long)offset);
    EXPECT(host->buf_size(buf) == 100 + id * 10, "a sidecar of %llu bytes came back with %llu",
           (unsigned long long)(100 + id * 10), (unsigned long long)host->buf_size(buf));
    EXPECT(kit_filled(host->buf_data(buf), 100 + id * 10, id), "a sidecar came back with another content");
    host->buf_unref(buf);
}

void store_sidecars(struct kit *k)
{
    struct store t;
    struct part p, q;
    store_open(&t, k);
    part_init(&p, &t, 0);
    part_init(&q, &t, 1);
    part_open(&p, CHRONIK_STORE_CREATE);
    part_open(&q, CHRONIK_STORE_CREATE);
    part_add(&p, 10, 10, 100);
    want_sidecar(&p, 0, INT64_MAX, 0, 0);
    put_sidecar(&p, 1, 10, 1);
    put_sidecar(&p, 1, 50, 2);
    put_sidecar(&p, 2, 70, 3);
    put_sidecar(&p, 15, 100, 4);
    want_sidecar(&q, 1, INT64_MAX, 0, 0);
    want_sidecar(&p, 1, 9, 0, 0);
    want_sidecar(&p, 1, 10, 10, 1);
    want_sidecar(&p, 1, 49, 10, 1);
    want_sidecar(&p, 1, INT64_MAX, 50, 2);
    want_sidecar(&p, 2, INT64_MAX, 70, 3);
    put_sidecar(&p, 1, 50, 5);
    want_sidecar(&p, 1, 100, 50, 5);
    EXPECT(CALL(t.ops->sidecar_drop(p.p, 1, 20, 0)) > 0, "sidecar_drop failed");
    want_sidecar(&p, 1, 100, 10, 1);
    EXPECT(CALL(t.ops->sidecar_drop(p.p, 1, INT64_MAX, 20)) > 0, "sidecar_drop failed");
    want_sidecar(&p, 1, 100, 0, 0);
    want_sidecar(&p, 15, 100, 100, 4);
    EXPECT(CALL(t.ops->sidecar_write(p.p, 16, 1, "x", 1)) < 0, "a sidecar of kind 16 was accepted");
    store_close(&t);
}

/* ---- replacing ---- */

/* Writes every second batch of the model's [first, first + n) through a replacement, and takes the others out. */
static void *rewrite_half(struct part *p, unsigned first, unsigned n, int64_t from, int64_t end)
{
    void *rw = NULL;
    int32_t rc = CALL(p->s->ops->replace_begin(p->p, from, end, &rw));
    EXPECT(rc > 0 && rw != NULL, "replace_begin of [%lld, %lld) answered %s", (long long)from, (long long)end,
           kit_code(rc));
    for (unsigned i = first; i < first + n; i += 2) {
        const struct model_batch *b = &p->batches[i];
        void *data = kit_lend(b->bytes);
        batch_fill(data, b);
        struct chronik_batch_info info = {.base_offset = b->base,
                                          .last_offset = b->last,
                                          .max_timestamp = b->timestamp,
                                          .leader_epoch = 3,
                                          .bytes = b->bytes};
        struct chronik_iov iov = {data, b->bytes};
        rc = CALL(p->s->ops->replace_write(rw, &info, &iov, 1));
        kit_take_back(data, b->bytes);
        EXPECT(rc > 0, "replace_write answered %s", kit_code(rc));
    }
    return rw;
}

static void halve_model(struct part *p, unsigned first, unsigned n)
{
    unsigned to = first;
    for (unsigned i = first; i < p->n; i++)
        if (i >= first + n || (i - first) % 2 == 0)
            p->batches[to++] = p->batches[i];
    p->n = to;
}

static void three_segments(struct store *t, struct part *p, struct kit *k)
{
    store_open(t, k);
    part_init(p, t, 0);
    part_open(p, CHRONIK_STORE_CREATE);
    for (int i = 0; i < 3; i++) {
        part_add(p, 10, 5, 600);
        EXPECT(CALL(t->ops->roll(p->p)) > 0, "roll failed");
    }
    part_add(p, 4, 5, 600);
    part_await_durable(p);
}

void store_replace(struct kit *k)
{
    struct store t;
    struct part p;
    void *rw;
    three_segments(&t, &p, k);
    EXPECT(CALL(t.ops->replace_begin(p.p, 150, p.end, &rw)) < 0, "replace_begin of the active segment was accepted");
    rw = rewrite_half(&p, 10, 20, 50, 150);
    part_verify(&p, 0, p.end, 3000);
    EXPECT(CALL(t.ops->replace_end(rw, 0)) > 0, "replace_end without commit failed");
    part_verify(&p, 0, p.end, 3000);
    rw = rewrite_half(&p, 10, 20, 50, 150);
    int32_t rc = CALL(t.ops->replace_end(rw, 1));
    EXPECT(rc > 0, "replace_end answered %s", kit_code(rc));
    halve_model(&p, 10, 20);
    part_verify(&p, 0, p.end, 3000);
    part_verify(&p, 56, p.end, 3000); /* inside a gap */
    walk(&p);
    part_add(&p, 3, 5, 600);
    part_verify(&p, 0, p.end, 3000);
    store_close(&t);
}

void store_replace_stale(struct kit *k)
{
    struct store t;
    struct part p;
    three_segments(&t, &p, k);
    void *rw = rewrite_half(&p, 10, 10, 50, 100);
    EXPECT(part_truncate_prefix(&p, 75) > 0, "truncate_prefix failed");
    int32_t rc = CALL(t.ops->replace_end(rw, 1));
    EXPECT(rc > 0 || rc == CHRONIK_E_STALE, "replace_end after a prefix truncation answered %s", kit_code(rc));
    if (rc > 0)
        halve_model(&p, 10, 10);
    part_verify(&p, 75, p.end, 3000);
    if (k->module->desc.capabilities & CHRONIK_CAP_TRUNCATE_SUFFIX) {
        unsigned first = model_find(&p, 100);
        rw = rewrite_half(&p, first, 10, 100, 150);
        EXPECT(part_truncate_suffix(&p, 120) > 0, "truncate_suffix failed");
        model_truncate_suffix(&p, 120);
        /* The range is whole and sealed again, with other content. */
        part_add(&p, 6, 5, 500);
        EXPECT(CALL(t.ops->roll(p.p)) > 0, "roll failed");
        part_add(&p, 1, 5, 500);
        rc = CALL(t.ops->replace_end(rw, 1));
        EXPECT(rc == CHRONIK_E_STALE, "replace_end of a truncated range: wanted CHRONIK_E_STALE, found %s",
               kit_code(rc));
        part_verify(&p, 75, p.end, 3000);
    }
    store_close(&t);
}

/* ---- restart ---- */

void store_restart(struct kit *k)
{
    enum { N = 5 };
    struct store t;
    struct part p[N];
    bool sidecars = k->module->desc.capabilities & CHRONIK_CAP_SIDECAR;
    store_open(&t, k);
    for (int i = 0; i < N; i++) {
        part_init(&p[i], &t, i);
        part_open(&p[i], CHRONIK_STORE_CREATE);
        part_add(&p[i], 30, 4, 900);
        if (i % 2)
            EXPECT(CALL(t.ops->roll(p[i].p)) > 0, "roll failed");
        part_add(&p[i], 10, 4, 900);
    }
    EXPECT(part_truncate_prefix(&p[1], 42) > 0, "truncate_prefix failed");
    model_truncate_prefix(&p[1], 42);
    EXPECT(part_delete(&p[4]) > 0, "part_delete failed");
    if (sidecars)
        put_sidecar(&p[0], 1, 100, 9);
    store_close(&t);

    for (int round = 0; round < 2; round++) {
        kit_close(k);
        kit_reopen(k, k->os);
        store_open(&t, k);
        for (int i = 0; i < 4; i++) {
            part_open(&p[i], 0);
            struct chronik_part_stat st = part_stat(&p[i]);
            EXPECT(st.clean == 1, "after a clean stop stat.clean is %u", st.clean);
            EXPECT(st.written == p[i].end && st.durable == p[i].end && st.log_start == p[i].log_start,
                   "after a restart the log is [%lld, %lld), durable %lld; wanted [%lld, %lld)",
                   (long long)st.log_start, (long long)st.written, (long long)st.durable, (long long)p[i].log_start,
                   (long long)p[i].end);
            part_verify(&p[i], p[i].log_start, p[i].end, 5000);
            p[i].durable = p[i].end;
            part_add(&p[i], 2, 4, 900);
            part_verify(&p[i], p[i].log_start, p[i].end, 5000);
        }
        chronik_store_part *other;
        int32_t rc = CALL(t.ops->open(t.s, &p[4].id, 0, &p[4], &other));
        EXPECT(rc == CHRONIK_E_NOTFOUND, "a deleted partition is back after a restart: %s", kit_code(rc));
        if (sidecars)
            want_sidecar(&p[0], 1, INT64_MAX, 100, 9);
        store_close(&t);
    }
}
