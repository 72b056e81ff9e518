/* store_kit.c: the host's side of a storage module. append is called under the partition's lock, as the broker does;
 * events take the same lock, so an event from inside append is seen at once. The model is the check's own, one thread.
 */
#include "store_kit.h"

#include "base/crc32c.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- events ---- */

static void part_lock(struct part *p, const char *what)
{
    int rc = pthread_mutex_lock(&p->lock);
    EXPECT(rc == 0, "%s came on the thread that is inside append", what);
}

static void part_unlock(struct part *p)
{
    pthread_mutex_unlock(&p->lock);
}

static void expect_open(struct store *t, const char *what)
{
    EXPECT(!atomic_load(&t->closed), "%s came after close had completed", what);
    EXPECT(!kit_inside(), "%s came inside a call into the module", what);
}

static void on_durable(void *arg, const struct chronik_durable *d, uint32_t n, uint32_t stride)
{
    struct store *t = arg;
    expect_open(t, "durable");
    EXPECT(n > 0 && stride >= sizeof *d, "durable with %u partitions and a stride of %u", n, stride);
    for (uint32_t i = 0; i < n; i++) {
        const struct chronik_durable *one = (const void *)((const char *)d + (size_t)i * stride);
        struct part *p = one->cookie;
        EXPECT(p != NULL && p->s == t, "durable came with a cookie that nobody gave");
        part_lock(p, "durable");
        EXPECT(one->end >= p->durable, "the durable end fell from %lld to %lld", (long long)p->durable,
               (long long)one->end);
        p->durable = one->end;
        if (p->reached != NULL && p->durable >= p->await) {
            os_flag_set(t->k->os, p->reached);
            p->reached = NULL;
        }
        part_unlock(p);
    }
}

static void on_append_failed(void *arg, void *cookie, int64_t end, int32_t code)
{
    (void)arg, (void)cookie;
    kit_fail("append_failed at %lld with %s on a healthy disk", (long long)end, kit_code(code));
}

static void on_want_sidecars(void *arg, void *cookie, int64_t end)
{
    struct part *p = cookie;
    expect_open(arg, "want_sidecars");
    part_lock(p, "want_sidecars");
    EXPECT(end >= 0, "want_sidecars at %lld", (long long)end);
    p->wanted_sidecars++;
    part_unlock(p);
}

static void on_part_failed(void *arg, void *cookie, int32_t code, const char *text)
{
    (void)arg, (void)cookie;
    kit_fail("a partition went offline on a healthy disk, %s: %s", kit_code(code), text);
}

/* ---- the instance ---- */

int32_t store_create(struct store *t, struct kit *k, const struct chronik_host *host)
{
    *t = (struct store){.k = k, .ops = &k->module->store};
    struct chronik_store_config *cfg = kit_lend(sizeof *cfg);
    struct chronik_store_events *ev = kit_lend(sizeof *ev);
    *cfg = (struct chronik_store_config){.size = sizeof *cfg, .node_id = 1, .cluster_id = {.b = {0xc1, 0x05}}};
    *ev = (struct chronik_store_events){
        .size = sizeof *ev,
        .arg = t,
        .durable = on_durable,
        .append_failed = on_append_failed,
        .want_sidecars = on_want_sidecars,
        .part_failed = on_part_failed,
    };
    kit_lend_readonly(cfg, sizeof *cfg);
    kit_lend_readonly(ev, sizeof *ev);
    int32_t rc = CALL(t->ops->create(host != NULL ? host : k->table, cfg, ev, &t->s));
    kit_take_back(cfg, sizeof *cfg);
    kit_take_back(ev, sizeof *ev);
    EXPECT(rc < 0 || t->s != NULL, "create answered %s and gave no instance", kit_code(rc));
    return rc;
}

void store_start(struct store *t)
{
    char text[500] = "";
    int32_t rc = CALL(t->ops->start(t->s, text, sizeof text));
    EXPECT(rc > 0, "start answered %s: %s", kit_code(rc), text);
}

void store_open(struct store *t, struct kit *k)
{
    int32_t rc = store_create(t, k, NULL);
    EXPECT(rc > 0, "create answered %s", kit_code(rc));
    store_start(t);
}

static void mark_closed(void *arg, int32_t result)
{
    struct store *t = arg;
    EXPECT(result > 0, "close completed with %s", kit_code(result));
    atomic_store(&t->closed, true);
}

void store_close(struct store *t)
{
    struct kit_call *c = kit_call_new(t->k, "close", NULL);
    c->then = mark_closed;
    c->arg = t;
    int32_t rc = kit_finish(c, CALL(t->ops->close(t->s, kit_done(c))));
    EXPECT(rc > 0, "close answered %s", kit_code(rc));
    for (struct kit_call *other = t->k->calls; other != NULL; other = other->next)
        EXPECT(!other->pending || atomic_load(&other->completions) == 1, "%s: close completed before it", other->what);
}

/* ---- batches ---- */

static void put_be(uint8_t *p, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> 8 * (n - 1 - i));
}

void batch_fill(uint8_t *p, const struct model_batch *b)
{
    CHECK(b->bytes >= BATCH_HEAD);
    memset(p, 0, BATCH_HEAD);
    put_be(p, (uint64_t)b->base, 8);
    put_be(p + 8, b->bytes - 12, 4);
    put_be(p + 12, 3, 4); /* leader epoch */
    p[16] = 2;            /* version */
    put_be(p + 23, (uint64_t)(b->last - b->base), 4);
    put_be(p + 27, (uint64_t)b->timestamp, 8);
    put_be(p + 35, (uint64_t)b->timestamp, 8);
    put_be(p + 43, UINT64_MAX, 8); /* no producer, epoch and sequence */
    put_be(p + 51, UINT64_MAX, 6);
    put_be(p + 57, (uint64_t)(b->last - b->base + 1), 4);
    kit_fill(p + BATCH_HEAD, b->bytes - BATCH_HEAD, b->id);
    put_be(p + 17, crc32c(0, p + 21, b->bytes - 21), 4);
}

bool batch_filled(const uint8_t *p, const struct model_batch *b)
{
    uint8_t *want = malloc(b->bytes);
    EXPECT(want != NULL, "the kit has no memory");
    batch_fill(want, b);
    bool same = memcmp(p, want, b->bytes) == 0;
    free(want);
    return same;
}

/* ---- partitions ---- */

void part_revive(struct part *p, struct store *t)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&p->lock, &attr);
    pthread_mutexattr_destroy(&attr);
    p->s = t;
    p->p = NULL;
    p->await = 0;
    p->reached = NULL;
}

void part_init(struct part *p, struct store *t, int32_t number)
{
    *p = (struct part){.s = t, .id = {.topic = {.b = {0x70, 0x1c}}, .partition = number, .dir = UINT32_MAX}};
    p->next_id = (uint64_t)number << 32;
    p->batches = calloc(STORE_BATCHES, sizeof *p->batches);
    EXPECT(p->batches != NULL, "the kit has no memory");
    part_revive(p, t);
}

void part_open(struct part *p, uint32_t flags)
{
    int32_t rc = CALL(p->s->ops->open(p->s->s, &p->id, flags, p, &p->p));
    EXPECT(rc > 0 && p->p != NULL, "open of partition %d answered %s", p->id.partition, kit_code(rc));
}

void part_close(struct part *p)
{
    struct kit_call *c = kit_call_new(p->s->k, "part_close", NULL);
    int32_t rc = kit_finish(c, CALL(p->s->ops->part_close(p->p, kit_done(c))));
    EXPECT(rc > 0, "part_close answered %s", kit_code(rc));
    p->p = NULL;
}

int32_t part_append(struct part *p, unsigned n, unsigned records, uint32_t bytes, uint32_t flush)
{
    EXPECT(p->n + n <= STORE_BATCHES, "the kit's model is full");
    struct chronik_batch_info *info = kit_lend(n * sizeof *info);
    size_t room = (size_t)n * (BATCH_HEAD + bytes + 40);
    uint8_t *data = kit_lend(room);
    struct chronik_iov *iov = kit_lend(2 * sizeof *iov);
    uint64_t at = 0;
    int64_t end = p->end;
    for (unsigned i = 0; i < n; i++) {
        struct model_batch *b = &p->batches[p->n + i];
        *b = (struct model_batch){.base = end, .last = end + records - 1, .id = p->next_id + i};
        b->bytes = BATCH_HEAD + bytes + (uint32_t)(b->id % 37);
        b->timestamp = 1000 + end * 10;
        batch_fill(data + at, b);
        info[i] = (struct chronik_batch_info){.base_offset = b->base,
                                              .last_offset = b->last,
                                              .max_timestamp = b->timestamp,
                                              .leader_epoch = 3,
                                              .bytes = b->bytes};
        at += b->bytes;
        end = b->last + 1;
    }
    iov[0] = (struct chronik_iov){data, at / 3};
    iov[1] = (struct chronik_iov){data + at / 3, at - at / 3};
    struct chronik_append a = {.part = p->p,
                               .batches = info,
                               .n_batches = n,
                               .batch_stride = sizeof *info,
                               .iov = iov,
                               .n_iov = 2,
                               .flush = flush};
    kit_lend_readonly(info, n * sizeof *info);
    kit_lend_readonly(data, room);
    part_lock(p, "append");
    int32_t rc = CALL(p->s->ops->append(p->s->s, &a, 1, sizeof a));
    part_unlock(p);
    kit_take_back(info, n * sizeof *info);
    kit_take_back(data, room);
    kit_take_back(iov, 2 * sizeof *iov);
    EXPECT(rc == a.result || (rc > 0 && a.result > 0), "append returned %s, the partition's result is %s", kit_code(rc),
           kit_code(a.result));
    if (rc > 0) {
        p->n += n;
        p->end = end;
        p->next_id += n;
    }
    return rc;
}

void part_add(struct part *p, unsigned n, unsigned records, uint32_t bytes)
{
    struct os_flag never = {0};
    int32_t rc = part_append(p, n, records, bytes, CHRONIK_FLUSH_GROUP);
    for (int i = 0; rc == CHRONIK_E_BUSY && i < 5000; i++) {
        os_flag_wait(p->s->k->os, &never, KIT_SECOND / 1000);
        rc = part_append(p, n, records, bytes, CHRONIK_FLUSH_GROUP);
    }
    EXPECT(rc > 0, "append answered %s", kit_code(rc));
}

void part_await_durable(struct part *p)
{
    struct os_flag reached = {0};
    part_lock(p, "nothing");
    bool there = p->durable >= p->end;
    p->await = p->end;
    p->reached = there ? NULL : &reached;
    part_unlock(p);
    if (there)
        return;
    kit_wait(p->s->k, &reached, "durable for everything that was appended");
    part_lock(p, "nothing"); /* until the event has let go of the flag */
    part_unlock(p);
}

int64_t part_durable(struct part *p)
{
    part_lock(p, "nothing");
    int64_t end = p->durable;
    part_unlock(p);
    return end;
}

struct chronik_part_stat part_stat(struct part *p)
{
    struct chronik_part_stat st;
    memset(&st, 0x5a, sizeof st);
    st.size = sizeof st;
    kit_enter();
    p->s->ops->stat(p->p, &st);
    kit_leave();
    return st;
}

/* ---- the model ---- */

unsigned model_find(const struct part *p, int64_t offset)
{
    unsigned i = 0;
    while (i < p->n && p->batches[i].last < offset)
        i++;
    return i;
}

void model_truncate_suffix(struct part *p, int64_t offset)
{
    while (p->n > 0 && p->batches[p->n - 1].base >= offset)
        p->n--;
    p->end = offset;
    part_lock(p, "nothing");
    if (p->durable > offset)
        p->durable = offset;
    part_unlock(p);
}

void model_truncate_prefix(struct part *p, int64_t offset)
{
    p->log_start = offset;
}

/* ---- reading ---- */

uint8_t *ranges_bytes(struct store *t, const struct chronik_read *r)
{
    uint8_t *out = malloc(r->bytes + 1);
    uint64_t at = 0;
    EXPECT(out != NULL, "the kit has no memory");
    for (uint32_t i = 0; i < r->n_ranges; i++) {
        const struct chronik_range *g = &r->ranges[i];
        EXPECT(at + g->n <= r->bytes, "the ranges of a read hold more than its bytes, %llu",
               (unsigned long long)r->bytes);
        if (g->file != NULL) {
            uint64_t got = 0;
            int32_t rc = t->k->table->file_read(g->file, out + at, g->n, g->offset, 0, &got);
            EXPECT(rc >= 0 && got == g->n, "a range of %llu bytes at %llu of its file gave %llu (%s)",
                   (unsigned long long)g->n, (unsigned long long)g->offset, (unsigned long long)got, kit_code(rc));
        } else {
            EXPECT(g->p != NULL, "a range with neither file nor memory");
            memcpy(out + at, g->p, g->n);
        }
        at += g->n;
    }
    EXPECT(at == r->bytes, "the ranges of a read hold %llu bytes, it says %llu", (unsigned long long)at,
           (unsigned long long)r->bytes);
    return out;
}

unsigned compare_batches(const struct part *p, unsigned first, const uint8_t *bytes, uint64_t n)
{
    unsigned i = first;
    for (uint64_t at = 0; at < n; i++) {
        EXPECT(i < p->n, "a read gave %llu bytes behind the last batch", (unsigned long long)(n - at));
        const struct model_batch *b = &p->batches[i];
        EXPECT(b->bytes <= n - at, "a read ended inside the batch at offset %lld", (long long)b->base);
        EXPECT(batch_filled(bytes + at, b), "the batch at offset %lld has other bytes than were appended",
               (long long)b->base);
        at += b->bytes;
    }
    return i - first;
}

void part_verify(struct part *p, int64_t from, int64_t end, uint64_t max_bytes)
{
    struct chronik_range ranges[64];
    unsigned at = model_find(p, from), last = at;
    while (last < p->n && p->batches[last].last < end)
        last++;
    for (int64_t next = from; at < last;) {
        struct chronik_read r = {.size = sizeof r,
                                 .flags = CHRONIK_STORE_MIN_ONE,
                                 .from = next,
                                 .end = end,
                                 .max_bytes = max_bytes,
                                 .ranges = ranges,
                                 .max_ranges = ARRAY_LEN(ranges)};
        int32_t rc = CALL(p->s->ops->read(p->p, &r));
        EXPECT(rc > 0, "read from %lld up to %lld answered %s", (long long)next, (long long)end, kit_code(rc));
        EXPECT(r.bytes > 0, "read from %lld up to %lld found nothing, the log ends at %lld", (long long)next,
               (long long)end, (long long)p->end);
        EXPECT(r.base_offset == p->batches[at].base, "read from %lld began with the batch at %lld, wanted %lld",
               (long long)next, (long long)r.base_offset, (long long)p->batches[at].base);
        uint8_t *bytes = ranges_bytes(p->s, &r);
        unsigned n = compare_batches(p, at, bytes, r.bytes);
        EXPECT(n == 1 || r.bytes <= max_bytes, "read gave %llu bytes of at most %llu", (unsigned long long)r.bytes,
               (unsigned long long)max_bytes);
        free(bytes);
        if (r.pin != NULL)
            p->s->ops->release(r.pin);
        at += n;
        EXPECT(at <= last, "read gave a batch that ends above %lld", (long long)end);
        next = p->batches[at - 1].last + 1;
    }
}

/* ---- calls with a completion ---- */

int32_t part_truncate_suffix(struct part *p, int64_t offset)
{
    struct kit_call *c = kit_call_new(p->s->k, "truncate_suffix", NULL);
    return kit_finish(c, CALL(p->s->ops->truncate_suffix(p->p, offset, kit_done(c))));
}

int32_t part_truncate_prefix(struct part *p, int64_t offset)
{
    struct kit_call *c = kit_call_new(p->s->k, "truncate_prefix", NULL);
    return kit_finish(c, CALL(p->s->ops->truncate_prefix(p->p, offset, kit_done(c))));
}

int32_t part_delete(struct part *p)
{
    struct kit_call *c = kit_call_new(p->s->k, "part_delete", NULL);
    int32_t rc = kit_finish(c, CALL(p->s->ops->part_delete(p->p, kit_done(c))));
    p->p = NULL;
    return rc;
}
