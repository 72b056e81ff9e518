/* check_store.c: the checks of a storage module in the real world: instances, appending, durability, reading,
 * truncating and what survives it. Each function is one line of the kit's report. */
#include "power.h"
#include "store_kit.h"

#include <stdlib.h>

/* ---- instances ---- */

static void refuses_a_host_table_that_is_too_short(struct kit *k)
{
    struct store t;
    struct chronik_host *host = kit_lend(offsetof(struct chronik_host, log));
    memcpy(host, k->table, offsetof(struct chronik_host, log));
    host->size = offsetof(struct chronik_host, log);
    int32_t rc = store_create(&t, k, host);
    EXPECT(rc < 0, "create accepted a host table of %u bytes, which has not one function", host->size);
}

static void accepts_a_host_table_that_is_longer(struct kit *k)
{
    struct store t;
    struct part p;
    size_t n = sizeof(struct chronik_host) + 64;
    char *host = malloc(n);
    memset(host, 0xa5, n);
    memcpy(host, k->table, sizeof(struct chronik_host));
    ((struct chronik_host *)(void *)host)->size = (uint32_t)n;
    int32_t rc = store_create(&t, k, (const struct chronik_host *)(const void *)host);
    EXPECT(rc > 0, "create answered %s to a host table with 64 more bytes", kit_code(rc));
    store_start(&t);
    part_init(&p, &t, 0);
    part_open(&p, CHRONIK_STORE_CREATE);
    part_add(&p, 2, 3, 100);
    store_close(&t);
    free(host);
}

static void an_instance_that_was_never_started_closes(struct kit *k)
{
    struct store t;
    int32_t rc = store_create(&t, k, NULL);
    EXPECT(rc > 0, "create answered %s", kit_code(rc));
    store_close(&t);
}

struct listed {
    unsigned n;
    uint32_t numbers; /* bit i: partition i */
};

static void count_part(void *arg, const struct chronik_part_id *id)
{
    struct listed *l = arg;
    l->n++;
    l->numbers |= 1u << id->partition;
}

static struct listed list_parts(struct store *t)
{
    struct listed l = {0};
    int32_t rc = CALL(t->ops->list(t->s, count_part, &l));
    EXPECT(rc > 0, "list answered %s", kit_code(rc));
    return l;
}

static void opening_creating_listing_and_deleting(struct kit *k)
{
    struct store t;
    struct part p[3];
    chronik_store_part *other;
    store_open(&t, k);
    for (int i = 0; i < 3; i++)
        part_init(&p[i], &t, i);
    int32_t rc = CALL(t.ops->open(t.s, &p[0].id, 0, &p[0], &other));
    EXPECT(rc == CHRONIK_E_NOTFOUND, "open of what is not there: wanted CHRONIK_E_NOTFOUND, found %s", kit_code(rc));
    rc = CALL(t.ops->open(t.s, &p[0].id, CHRONIK_STORE_CREATE | 0x80, &p[0], &other));
    EXPECT(rc == CHRONIK_E_UNSUPPORTED, "open with an unknown flag: wanted CHRONIK_E_UNSUPPORTED, found %s",
           kit_code(rc));
    for (int i = 0; i < 3; i++)
        part_open(&p[i], CHRONIK_STORE_CREATE);
    rc = CALL(t.ops->open(t.s, &p[0].id, 0, &p[0], &other));
    EXPECT(rc == CHRONIK_E_EXISTS, "a second open: wanted CHRONIK_E_EXISTS, found %s", kit_code(rc));
    EXPECT(list_parts(&t).numbers == 7, "list gave partitions 0x%x of 3", list_parts(&t).numbers);
    part_add(&p[1], 3, 2, 100);
    part_close(&p[1]);
    part_open(&p[1], 0);
    part_verify(&p[1], 0, p[1].end, 1000);
    rc = part_delete(&p[2]);
    EXPECT(rc > 0, "part_delete answered %s", kit_code(rc));
    EXPECT(list_parts(&t).numbers == 3, "list gave partitions 0x%x after one was deleted", list_parts(&t).numbers);
    part_init(&p[2], &t, 2);
    part_open(&p[2], CHRONIK_STORE_CREATE);
    EXPECT(part_stat(&p[2]).written == 0, "a partition that was deleted and created again ends at %lld",
           (long long)part_stat(&p[2]).written);
    store_close(&t);
}

/* ---- appending and durability ---- */

static void what_was_appended_is_readable_when_append_returns(struct kit *k)
{
    struct store t;
    struct part p;
    store_open(&t, k);
    part_init(&p, &t, 0);
    part_open(&p, CHRONIK_STORE_CREATE);
    for (unsigned i = 0; i < 200; i++) {
        int64_t from = p.end;
        part_add(&p, 1 + i % 4, 1 + i % 7, 1 + i * 13);
        EXPECT(part_stat(&p).written == p.end, "after append the written end is %lld, wanted %lld",
               (long long)part_stat(&p).written, (long long)p.end);
        part_verify(&p, from, p.end, UINT64_MAX);
    }
    part_verify(&p, 0, p.end, 4096);
    store_close(&t);
}

static void durability_is_announced_in_order_and_never_from_inside_append(struct kit *k)
{
    struct store t;
    struct part p[4];
    store_open(&t, k);
    for (int i = 0; i < 4; i++) {
        part_init(&p[i], &t, i);
        part_open(&p[i], CHRONIK_STORE_CREATE);
    }
    for (unsigned i = 0; i < 800; i++) {
        part_add(&p[i % 4], 1, 2, 200);
        EXPECT(part_durable(&p[i % 4]) <= p[i % 4].end, "durable %lld is ahead of the written end %lld",
               (long long)part_durable(&p[i % 4]), (long long)p[i % 4].end);
    }
    for (int i = 0; i < 4; i++) {
        part_await_durable(&p[i]);
        struct chronik_part_stat st = part_stat(&p[i]);
        EXPECT(st.durable == p[i].end && st.written == p[i].end, "stat: written %lld, durable %lld, wanted %lld",
               (long long)st.written, (long long)st.durable, (long long)p[i].end);
    }
    store_close(&t);
}

static void the_weaker_classes_are_durable_at_once_and_unknown_ones_refused(struct kit *k)
{
    struct store t;
    struct part p;
    store_open(&t, k);
    part_init(&p, &t, 0);
    part_open(&p, CHRONIK_STORE_CREATE);
    for (unsigned i = 0; i < 20; i++) {
        int32_t rc = part_append(&p, 1, 1, 100, i % 2 ? CHRONIK_FLUSH_OS : CHRONIK_FLUSH_INTERVAL);
        EXPECT(rc > 0, "append with class %u answered %s", i % 2 ? CHRONIK_FLUSH_OS : CHRONIK_FLUSH_INTERVAL,
               kit_code(rc));
        struct chronik_part_stat st = part_stat(&p);
        EXPECT(st.durable == p.end, "durable is %lld, wanted written, %lld", (long long)st.durable, (long long)p.end);
    }
    int32_t rc = part_append(&p, 1, 1, 100, 7);
    EXPECT(rc < 0, "append with class 7 answered %s", kit_code(rc));
    EXPECT(part_stat(&p).written == p.end, "a refused append moved the written end");
    part_verify(&p, 0, p.end, 4096);
    store_close(&t);
}

static void one_call_appends_to_several_partitions(struct kit *k)
{
    enum { N = 3 };
    struct store t;
    struct part p[N];
    struct chronik_batch_info info[N];
    struct chronik_iov iov[N];
    uint8_t data[N][64];
    struct {
        struct chronik_append a;
        uint64_t later; /* a field of a later version */
    } a[N];
    store_open(&t, k);
    for (int i = 0; i < N; i++) {
        part_init(&p[i], &t, i);
        part_open(&p[i], CHRONIK_STORE_CREATE);
        part_add(&p[i], 2, 5, 64);
        /* The second one asks for offsets that are taken. */
        int64_t base = i == 1 ? 3 : p[i].end;
        batch_fill(data[i],
                   &(struct model_batch){.base = base, .last = base, .timestamp = -1, .bytes = 64, .id = 1000});
        info[i] =
            (struct chronik_batch_info){.base_offset = base, .last_offset = base, .max_timestamp = -1, .bytes = 64};
        iov[i] = (struct chronik_iov){data[i], 64};
        memset(&a[i], 0, sizeof a[i]);
        a[i].a = (struct chronik_append){.part = p[i].p,
                                         .batches = &info[i],
                                         .n_batches = 1,
                                         .batch_stride = sizeof info[i],
                                         .iov = &iov[i],
                                         .n_iov = 1};
    }
    int32_t rc = CALL(t.ops->append(t.s, &a[0].a, N, sizeof a[0]));
    EXPECT(rc < 0 && rc == a[1].a.result, "append returned %s, wanted the first failure, %s", kit_code(rc),
           kit_code(a[1].a.result));
    EXPECT(a[0].a.result > 0 && a[2].a.result > 0, "a failing partition took its neighbours along: %s, %s",
           kit_code(a[0].a.result), kit_code(a[2].a.result));
    for (int i = 0; i < N; i++)
        EXPECT(part_stat(&p[i]).written == p[i].end + (i != 1), "partition %d ends at %lld", i,
               (long long)part_stat(&p[i]).written);
    store_close(&t);
}

static void offsets_may_leave_gaps(struct kit *k)
{
    struct store t;
    struct part p;
    store_open(&t, k);
    part_init(&p, &t, 0);
    part_open(&p, CHRONIK_STORE_CREATE);
    for (int i = 0; i < 5; i++) {
        part_add(&p, 2, 3, 100);
        p.end += 7; /* as a follower of a compacted log sees it */
    }
    part_add(&p, 1, 3, 100);
    part_verify(&p, 0, p.end, 150);
    part_verify(&p, 9, p.end, 150); /* inside a gap: the next batch */
    store_close(&t);
}

static void flush_completes_after_everything_was_announced(struct kit *k)
{
    struct store t;
    struct part p;
    store_open(&t, k);
    part_init(&p, &t, 0);
    part_open(&p, CHRONIK_STORE_CREATE);
    for (int round = 0; round < 10; round++) {
        part_add(&p, 3, 1, 500);
        struct kit_call *c = kit_call_new(k, "flush", NULL);
        int32_t rc = kit_finish(c, CALL(t.ops->flush(t.s, kit_done(c))));
        EXPECT(rc > 0, "flush answered %s", kit_code(rc));
        EXPECT(part_durable(&p) == p.end, "flush completed with %lld announced durable of %lld",
               (long long)part_durable(&p), (long long)p.end);
    }
    store_close(&t);
}

/* ---- reading ---- */

static struct chronik_read reading(struct chronik_range *ranges, uint32_t n, int64_t from, int64_t end, uint64_t max)
{
    return (struct chronik_read){.size = sizeof(struct chronik_read),
                                 .from = from,
                                 .end = end,
                                 .max_bytes = max,
                                 .ranges = ranges,
                                 .max_ranges = n};
}

static void release(struct store *t, struct chronik_read *r)
{
    if (r->pin != NULL)
        t->ops->release(r->pin);
}

static void reads_respect_every_bound(struct kit *k)
{
    struct store t;
    struct part p;
    struct chronik_range g[8];
    store_open(&t, k);
    part_init(&p, &t, 0);
    part_open(&p, CHRONIK_STORE_CREATE);
    for (int i = 0; i < 10; i++)
        part_add(&p, 1, 10, 1000);

    struct chronik_read r = reading(g, 8, 101, 200, 1 << 20);
    EXPECT(CALL(t.ops->read(p.p, &r)) == CHRONIK_E_RANGE, "read above the written end is not CHRONIK_E_RANGE");
    r = reading(g, 8, -1, 100, 1 << 20);
    EXPECT(CALL(t.ops->read(p.p, &r)) == CHRONIK_E_RANGE, "read below the log start is not CHRONIK_E_RANGE");
    r = reading(g, 8, 100, 200, 1 << 20);
    int32_t rc = CALL(t.ops->read(p.p, &r));
    EXPECT(rc > 0 && r.bytes == 0 && r.n_ranges == 0, "read at the written end answered %s with %llu bytes",
           kit_code(rc), (unsigned long long)r.bytes);
    release(&t, &r);
    r = reading(g, 8, 25, 48, 1 << 20);
    rc = CALL(t.ops->read(p.p, &r));
    EXPECT(rc > 0 && r.base_offset == 20 && r.bytes == (uint64_t)p.batches[2].bytes + p.batches[3].bytes,
           "read of [25, 48) gave %llu bytes from %lld, wanted the batches [20, 40)", (unsigned long long)r.bytes,
           (long long)r.base_offset);
    release(&t, &r);
    r = reading(g, 8, 25, 28, 1 << 20);
    rc = CALL(t.ops->read(p.p, &r));
    EXPECT(rc > 0 && r.bytes == 0, "read of [25, 28) gave %llu bytes: a batch that ends above the bound",
           (unsigned long long)r.bytes);
    release(&t, &r);
    r = reading(g, 8, 0, 100, 10);
    rc = CALL(t.ops->read(p.p, &r));
    EXPECT(rc > 0 && r.bytes == 0, "read of at most 10 bytes gave %llu", (unsigned long long)r.bytes);
    release(&t, &r);
    r.flags = CHRONIK_STORE_MIN_ONE;
    rc = CALL(t.ops->read(p.p, &r));
    EXPECT(rc > 0 && r.bytes == p.batches[0].bytes, "read with MIN_ONE gave %llu bytes, wanted the first batch, %u",
           (unsigned long long)r.bytes, p.batches[0].bytes);
    release(&t, &r);
    r = reading(g, 8, 0, 100, 1 << 20);
    r.flags = 1u << 20;
    EXPECT(CALL(t.ops->read(p.p, &r)) == CHRONIK_E_UNSUPPORTED,
           "read with an unknown flag is not CHRONIK_E_UNSUPPORTED");
    r = reading(g, 1, 0, 100, 1 << 20);
    rc = CALL(t.ops->read(p.p, &r));
    EXPECT(rc > 0 && r.n_ranges == 1, "read with room for one range gave %u", r.n_ranges);
    uint8_t *bytes = ranges_bytes(&t, &r);
    compare_batches(&p, 0, bytes, r.bytes);
    free(bytes);
    release(&t, &r);
    store_close(&t);
}

static void pinned_bytes_survive_truncation_and_deletion(struct kit *k)
{
    struct store t;
    struct part p, q;
    struct chronik_range g[8], h[8];
    store_open(&t, k);
    part_init(&p, &t, 0);
    part_init(&q, &t, 1);
    part_open(&p, CHRONIK_STORE_CREATE);
    part_open(&q, CHRONIK_STORE_CREATE);
    part_add(&p, 10, 10, 3000);
    part_add(&q, 10, 10, 3000);
    part_await_durable(&p);
    struct chronik_read r = reading(g, 8, 0, 100, 1 << 20), s = reading(h, 8, 0, 100, 1 << 20);
    EXPECT(CALL(t.ops->read(p.p, &r)) > 0 && r.bytes > 0, "read found nothing");
    EXPECT(CALL(t.ops->read(q.p, &s)) > 0 && s.bytes > 0, "read found nothing");
    unsigned n = p.n;
    if (k->module->desc.capabilities & CHRONIK_CAP_TRUNCATE_SUFFIX) {
        EXPECT(part_truncate_suffix(&p, 20) > 0, "truncate_suffix failed");
        int64_t durable = p.durable;
        p.durable = durable > 20 ? 20 : durable;
        struct part other = p; /* new content over the old offsets */
        other.end = 20;
        other.n = n;
        other.next_id = 777;
        p.end = 20;
        part_add(&other, 8, 10, 3000);
        p.end = other.end;
    }
    EXPECT(part_truncate_prefix(&p, p.end) > 0, "truncate_prefix failed");
    EXPECT(part_delete(&q) > 0, "part_delete failed");
    uint8_t *bytes = ranges_bytes(&t, &r);
    p.n = n;
    EXPECT(compare_batches(&p, 0, bytes, r.bytes) == n, "a read gave fewer batches than it had");
    free(bytes);
    bytes = ranges_bytes(&t, &s);
    compare_batches(&q, 0, bytes, s.bytes);
    free(bytes);
    release(&t, &r);
    release(&t, &s);
    store_close(&t);
}

static void find_time_points_at_or_before_the_first_batch(struct kit *k)
{
    struct store t;
    struct part p;
    int64_t offset;
    store_open(&t, k);
    part_init(&p, &t, 0);
    part_open(&p, CHRONIK_STORE_CREATE);
    EXPECT(CALL(t.ops->find_time(p.p, 0, &offset)) == CHRONIK_E_NOTFOUND, "find_time in an empty log found something");
    for (int i = 0; i < 50; i++) {
        part_add(&p, 2, 10, 2000);
        if (i % 10 == 9)
            EXPECT(CALL(t.ops->roll(p.p)) > 0, "roll failed");
    }
    for (unsigned i = 0; i < p.n; i += 3) {
        int32_t rc = CALL(t.ops->find_time(p.p, p.batches[i].timestamp, &offset));
        EXPECT(rc > 0 && offset <= p.batches[i].base, "find_time(%lld) answered %s, offset %lld; the batch is at %lld",
               (long long)p.batches[i].timestamp, kit_code(rc), (long long)offset, (long long)p.batches[i].base);
        unsigned j = model_find(&p, offset);
        EXPECT(p.batches[j].base == offset, "find_time gave %lld, which is no batch's base", (long long)offset);
    }
    EXPECT(CALL(t.ops->find_time(p.p, p.batches[p.n - 1].timestamp + 1, &offset)) == CHRONIK_E_NOTFOUND,
           "find_time behind the last timestamp found something");
    EXPECT(part_truncate_prefix(&p, 505) > 0, "truncate_prefix failed");
    EXPECT(CALL(t.ops->find_time(p.p, 0, &offset)) > 0 && offset >= 505, "find_time gave %lld, below the log start 505",
           (long long)offset);
    store_close(&t);
}

/* ---- truncating ---- */

static void a_truncated_suffix_is_gone_and_the_log_goes_on(struct kit *k)
{
    struct store t;
    struct part p;
    store_open(&t, k);
    part_init(&p, &t, 0);
    part_open(&p, CHRONIK_STORE_CREATE);
    for (int round = 0; round < 5; round++) {
        part_add(&p, 20, 5, 700);
        if (round % 2)
            EXPECT(CALL(t.ops->roll(p.p)) > 0, "roll failed");
        int64_t at = p.batches[p.n - 10].base;
        int32_t rc = part_truncate_suffix(&p, at + 2);
        EXPECT(rc < 0, "truncate_suffix inside a batch answered %s", kit_code(rc));
        rc = part_truncate_suffix(&p, at);
        EXPECT(rc > 0, "truncate_suffix answered %s", kit_code(rc));
        model_truncate_suffix(&p, at);
        struct chronik_part_stat st = part_stat(&p);
        EXPECT(st.written == at && st.durable <= at, "after truncation to %lld: written %lld, durable %lld",
               (long long)at, (long long)st.written, (long long)st.durable);
        part_verify(&p, 0, INT64_MAX, 2000);
        struct chronik_range g[1];
        struct chronik_read r = reading(g, 1, at + 1, at + 100, 100);
        EXPECT(CALL(t.ops->read(p.p, &r)) == CHRONIK_E_RANGE, "read above the truncated end is not CHRONIK_E_RANGE");
        part_add(&p, 3, 5, 700);
        part_verify(&p, 0, p.end, 2000);
        part_await_durable(&p);
    }
    EXPECT(part_truncate_suffix(&p, p.end + 1) > 0 && part_stat(&p).written == p.end,
           "truncate_suffix behind the end is nothing to do");
    EXPECT(part_truncate_suffix(&p, p.end) > 0, "truncate_suffix at the end is nothing to do, and failed");
    EXPECT(part_truncate_suffix(&p, 0) > 0, "truncate_suffix of everything failed");
    model_truncate_suffix(&p, 0);
    part_add(&p, 3, 5, 700);
    part_verify(&p, 0, p.end, 2000);
    store_close(&t);
}

static void a_truncated_prefix_may_end_inside_a_batch(struct kit *k)
{
    struct store t;
    struct part p;
    struct chronik_range g[8];
    store_open(&t, k);
    part_init(&p, &t, 0);
    part_open(&p, CHRONIK_STORE_CREATE);
    for (int i = 0; i < 5; i++) {
        part_add(&p, 10, 10, 1000);
        EXPECT(CALL(t.ops->roll(p.p)) > 0, "roll failed");
    }
    for (int64_t start = 5; start < 500; start += 55) {
        int32_t rc = part_truncate_prefix(&p, start);
        EXPECT(rc > 0, "truncate_prefix answered %s", kit_code(rc));
        EXPECT(part_stat(&p).log_start == start, "the log starts at %lld, wanted %lld",
               (long long)part_stat(&p).log_start, (long long)start);
        struct chronik_read r = reading(g, 8, start - 1, 500, 1 << 20);
        EXPECT(CALL(t.ops->read(p.p, &r)) == CHRONIK_E_RANGE, "read below the log start is not CHRONIK_E_RANGE");
        part_verify(&p, start, p.end, 5000);
    }
    EXPECT(part_truncate_prefix(&p, 1) > 0 && part_stat(&p).log_start > 1, "truncate_prefix moved the log start back");
    EXPECT(part_truncate_prefix(&p, p.end) > 0, "truncate_prefix of everything failed");
    struct chronik_part_stat st = part_stat(&p);
    EXPECT(st.log_start == p.end && st.written == p.end, "an emptied log is [%lld, %lld), wanted both at %lld",
           (long long)st.log_start, (long long)st.written, (long long)p.end);
    int64_t from = p.end;
    part_add(&p, 3, 10, 1000);
    part_verify(&p, from, p.end, 5000);
    store_close(&t);
}

/* ---- threads ---- */

struct writer {
    struct part part;
    struct chronik_task task;
    struct os_exec *exec;
    struct os_flag finished;
    unsigned rounds;
};

static void write_much(void *arg)
{
    struct writer *w = arg;
    for (unsigned i = 0; i < 50; i++) {
        int32_t rc = part_append(&w->part, 2, 3, 400, CHRONIK_FLUSH_GROUP);
        EXPECT(rc > 0 || rc == CHRONIK_E_BUSY, "append answered %s", kit_code(rc));
    }
    part_verify(&w->part, w->part.end > 600 ? w->part.end - 600 : 0, w->part.end, 3000);
    if (--w->rounds > 0)
        os_exec_post(w->exec, &w->task);
    else
        os_flag_set(w->part.s->k->os, &w->finished);
}

static void several_threads_write_and_read_at_once(struct kit *k)
{
    enum { THREADS = 4 };
    struct store t;
    static struct writer w[THREADS];
    store_open(&t, k);
    for (int i = 0; i < THREADS; i++) {
        w[i] = (struct writer){.rounds = 10};
        w[i].task = (struct chronik_task){.fn = write_much, .arg = &w[i]};
        part_init(&w[i].part, &t, i);
        part_open(&w[i].part, CHRONIK_STORE_CREATE);
        EXPECT(os_exec_open(k->os, "writer", 0, &w[i].exec) > 0, "the kit cannot open an executor");
        os_exec_post(w[i].exec, &w[i].task);
    }
    for (int i = 0; i < THREADS; i++)
        kit_wait(k, &w[i].finished, "the writers");
    for (int i = 0; i < THREADS; i++) {
        os_exec_close(w[i].exec);
        part_await_durable(&w[i].part);
        part_verify(&w[i].part, 0, w[i].part.end, 10000);
    }
    store_close(&t);
}

static void closing_completes_all_that_is_pending_first(struct kit *k)
{
    enum { N = 50 };
    struct store t;
    struct part p[N];
    store_open(&t, k);
    for (int i = 0; i < N; i++) {
        part_init(&p[i], &t, i);
        part_open(&p[i], CHRONIK_STORE_CREATE);
        part_add(&p[i], 5, 1, 1000);
    }
    for (int i = 0; i < N; i++) {
        struct kit_call *c = kit_call_new(k, i % 2 ? "truncate_prefix" : "part_close", NULL);
        kit_started(c, i % 2 ? CALL(t.ops->truncate_prefix(p[i].p, 2, kit_done(c)))
                             : CALL(t.ops->part_close(p[i].p, kit_done(c))));
    }
    struct kit_call *c = kit_call_new(k, "flush", NULL);
    kit_started(c, CALL(t.ops->flush(t.s, kit_done(c))));
    store_close(&t);
}

#define CHECK_OF(fn, name, needs)                                                                                      \
    {                                                                                                                  \
        name, needs, fn, false                                                                                         \
    }

void store_segments(struct kit *k);
void store_stat(struct kit *k);
void store_sidecars(struct kit *k);
void store_replace(struct kit *k);
void store_replace_stale(struct kit *k);
void store_restart(struct kit *k);

const struct kit_check kit_store_checks[] = {
    CHECK_OF(refuses_a_host_table_that_is_too_short, "refuses a host table that is too short", 0),
    CHECK_OF(accepts_a_host_table_that_is_longer, "accepts a host table that is longer", 0),
    CHECK_OF(an_instance_that_was_never_started_closes, "an instance that was never started closes", 0),
    CHECK_OF(opening_creating_listing_and_deleting, "opening, creating, listing and deleting", 0),
    CHECK_OF(what_was_appended_is_readable_when_append_returns, "what was appended is readable when append returns", 0),
    CHECK_OF(durability_is_announced_in_order_and_never_from_inside_append,
             "durability is announced in order and never from inside append", 0),
    CHECK_OF(the_weaker_classes_are_durable_at_once_and_unknown_ones_refused,
             "the weaker durability classes count at once, unknown ones are refused", 0),
    CHECK_OF(one_call_appends_to_several_partitions, "one call appends to several partitions", 0),
    CHECK_OF(offsets_may_leave_gaps, "offsets may leave gaps", 0),
    CHECK_OF(flush_completes_after_everything_was_announced, "flush completes after everything was announced", 0),
    CHECK_OF(reads_respect_every_bound, "reads respect every bound", 0),
    CHECK_OF(pinned_bytes_survive_truncation_and_deletion, "pinned bytes survive truncation and deletion", 0),
    CHECK_OF(find_time_points_at_or_before_the_first_batch, "find_time points at or before the first batch", 0),
    CHECK_OF(a_truncated_suffix_is_gone_and_the_log_goes_on, "a truncated suffix is gone and the log goes on",
             CHRONIK_CAP_TRUNCATE_SUFFIX),
    CHECK_OF(a_truncated_prefix_may_end_inside_a_batch, "a truncated prefix may end inside a batch", 0),
    CHECK_OF(store_segments, "segments cover the log, the last one is active", 0),
    CHECK_OF(store_stat, "stat tells sizes, timestamps and epochs and keeps to its size", 0),
    CHECK_OF(store_sidecars, "sidecars are found by kind and offset", CHRONIK_CAP_SIDECAR),
    CHECK_OF(store_replace, "a sealed range is replaced", CHRONIK_CAP_REPLACE),
    CHECK_OF(store_replace_stale, "a replacement of a truncated range is refused", CHRONIK_CAP_REPLACE),
    CHECK_OF(several_threads_write_and_read_at_once, "several threads write and read at once", 0),
    CHECK_OF(closing_completes_all_that_is_pending_first, "closing completes all that is pending first", 0),
    CHECK_OF(store_restart, "everything is there after a restart", CHRONIK_CAP_DURABLE),
    {"power cuts lose nothing that was announced durable", CHRONIK_CAP_POWER_SAFE, store_power_cuts, true},
    {NULL, 0, NULL, false},
};
