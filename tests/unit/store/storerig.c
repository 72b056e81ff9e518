/* storerig.c: driving a store in tests: batches that can be checked, events that can be waited for. */
#include <config.h>

#include "tests/unit/store/storerig.h"

#include "base/crc32c.h"

#include <stdio.h>
#include <stdlib.h>

const struct chronik_plugin *chronik_plugin_v1(void);

/* Some tests fork while threads run, to let a store die in the child. */
const char *__tsan_default_options(void);
__attribute__((visibility("default"))) const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}

static void on_durable(void *arg, const struct chronik_durable *d, uint32_t n, uint32_t stride)
{
    struct rig *r = arg;
    pthread_mutex_lock(&r->mu);
    for (uint32_t i = 0; i < n; i++) {
        const struct chronik_durable *x =
            (const struct chronik_durable *)(const void *)((const char *)d + (size_t)i * stride);
        struct rig_part *p = x->cookie;
        CHECK(x->end > p->durable);
        p->durable = x->end;
    }
    pthread_mutex_unlock(&r->mu);
}

static void on_append_failed(void *arg, void *cookie, int64_t end, int32_t code)
{
    struct rig_part *p = cookie;
    p->failed = code;
}

static void on_want_sidecars(void *arg, void *cookie, int64_t end)
{
    struct rig_part *p = cookie;
    pthread_mutex_lock(&p->rig->mu);
    p->sidecars_at = end;
    pthread_mutex_unlock(&p->rig->mu);
}

static void on_part_failed(void *arg, void *cookie, int32_t code, const char *text)
{
    struct rig_part *p = cookie;
    snprintf(p->text, sizeof p->text, "%s", text);
    __atomic_store_n(&p->failed, code, __ATOMIC_RELEASE);
}

void rig_init(struct rig *r, struct os *os, const char *root)
{
    memset(r, 0, sizeof *r);
    testhost_init(&r->th, os, root);
    r->ops = chronik_plugin_v1()->ops;
    pthread_mutex_init(&r->mu, NULL);
    r->node_id = 1;
    r->cluster.b[0] = 7;
}

int32_t rig_start(struct rig *r)
{
    struct chronik_store_config cfg = {.size = sizeof cfg, .node_id = r->node_id, .cluster_id = r->cluster};
    struct chronik_store_events ev = {.size = sizeof ev,
                                      .arg = r,
                                      .durable = on_durable,
                                      .append_failed = on_append_failed,
                                      .want_sidecars = on_want_sidecars,
                                      .part_failed = on_part_failed};
    memset(r->parts, 0, sizeof r->parts);
    for (int32_t i = 0; i < RIG_PARTS; i++)
        r->parts[i] = (struct rig_part){.rig = r, .no = i};
    r->text[0] = 0;
    int32_t rc = r->ops->create(&r->th.table, &cfg, &ev, &r->s);
    if (rc < 0)
        return rc;
    rc = r->ops->start(r->s, r->text, sizeof r->text);
    if (rc < 0) {
        struct testhost_wait w;
        struct chronik_done done = testhost_done(&r->th, &w);
        testhost_result(&w, r->ops->close(r->s, done));
    }
    return rc;
}

void rig_stop(struct rig *r)
{
    struct testhost_wait w;
    struct chronik_done done = testhost_done(&r->th, &w);
    testhost_result(&w, r->ops->close(r->s, done));
}

struct chronik_part_id rig_id(int32_t part)
{
    struct chronik_part_id id = {.partition = part % 4, .dir = UINT32_MAX};
    id.topic.b[0] = (uint8_t)(part / 4 + 1);
    id.topic.b[15] = 0xab;
    return id;
}

int32_t rig_open(struct rig *r, int32_t part, uint32_t flags)
{
    struct rig_part *p = &r->parts[part];
    struct chronik_part_id id = rig_id(part);
    struct chronik_part_stat st = {.size = sizeof st};
    int32_t rc = r->ops->open(r->s, &id, flags, p, &p->p);
    if (rc < 0)
        return rc;
    r->ops->stat(p->p, &st);
    p->end = st.written;
    p->durable = st.durable;
    return rc;
}

static void be32_put(uint8_t *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, 4);
}
static void be64_put(uint8_t *p, int64_t v)
{
    uint64_t u = __builtin_bswap64((uint64_t)v);
    memcpy(p, &u, 8);
}

static void filling(uint8_t *p, uint64_t n, int32_t part, int64_t base, uint32_t salt)
{
    uint64_t x =
        (uint64_t)base * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)(uint32_t)part * 77 + salt * UINT64_C(1000003);
    for (uint64_t i = 0; i < n; i += 8) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        memcpy(p + i, &x, n - i < 8 ? n - i : 8);
    }
}

void rig_batch(uint8_t *out, uint32_t bytes, int32_t part, int64_t base, uint32_t count, uint32_t salt, int64_t ts,
               int32_t epoch)
{
    memset(out, 0, 61);
    be64_put(out, base);
    be32_put(out + 8, bytes - 12);
    be32_put(out + 12, (uint32_t)epoch);
    out[16] = 2;
    be32_put(out + 23, count - 1);
    be64_put(out + 27, ts);
    be64_put(out + 35, ts);
    be32_put(out + 57, count);
    filling(out + 61, bytes - 61, part, base, salt);
    be32_put(out + 17, crc32c(0, out + 21, bytes - 21));
}

bool rig_batch_check(const uint8_t *p, uint64_t n, int32_t part, int64_t base, uint32_t salt, int64_t *next,
                     uint64_t *bytes)
{
    if (n < 61 || (int64_t)get_be64(p) != base || p[16] != 2)
        return false;
    *bytes = (uint64_t)get_be32(p + 8) + 12;
    if (*bytes > n || *bytes < 61 || get_be32(p + 17) != crc32c(0, p + 21, *bytes - 21))
        return false;
    *next = base + (int32_t)get_be32(p + 23) + 1;
    uint8_t *want = malloc(*bytes);
    filling(want, *bytes - 61, part, base, salt);
    bool same = memcmp(want, p + 61, *bytes - 61) == 0;
    free(want);
    return same;
}

int32_t rig_append(struct rig *r, int32_t part, uint32_t bytes, uint32_t count, uint32_t salt, uint32_t flush)
{
    struct rig_part *p = &r->parts[part];
    uint8_t *buf = p->lent = malloc(bytes);
    int64_t ts = 1000 + p->end * 10;
    rig_batch(buf, bytes, part, p->end, count, salt, ts, 3);
    struct chronik_iov v[2] = {{buf, 40}, {buf + 40, bytes - 40}};
    struct chronik_batch_info b = {.base_offset = p->end,
                                   .last_offset = p->end + count - 1,
                                   .max_timestamp = ts,
                                   .leader_epoch = 3,
                                   .bytes = bytes};
    struct chronik_append a = {
        .part = p->p, .batches = &b, .n_batches = 1, .batch_stride = sizeof b, .iov = v, .n_iov = 2, .flush = flush};
    int32_t rc = r->ops->append(r->s, &a, 1, sizeof a);
    CHECK(rc == a.result);
    if (rc > 0)
        p->end += count;
    p->lent = NULL;
    free(buf);
    return rc;
}

void rig_wait_durable(struct rig *r, int32_t part)
{
    struct rig_part *p = &r->parts[part];
    for (int i = 0; i < 20000; i++) {
        pthread_mutex_lock(&r->mu);
        bool there = p->durable >= p->end;
        pthread_mutex_unlock(&r->mu);
        if (there)
            return;
        struct os_flag f = {0};
        os_flag_wait(r->th.os, &f, 500000);
    }
    CHECK(!"durable within 10 s");
}

bool rig_wait_failed(struct rig *r, int32_t part)
{
    for (int i = 0; i < 1000 && !__atomic_load_n(&r->parts[part].failed, __ATOMIC_ACQUIRE); i++) {
        struct os_flag f = {0};
        os_flag_wait(r->th.os, &f, 1000000);
    }
    return r->parts[part].failed != 0;
}

int64_t rig_read(struct rig *r, int32_t part, int64_t from, int64_t end,
                 bool (*each)(void *arg, const uint8_t *p, uint64_t n), void *arg)
{
    struct rig_part *p = &r->parts[part];
    while (from < end) {
        struct chronik_range range;
        struct chronik_read rd = {.size = sizeof rd,
                                  .flags = CHRONIK_STORE_MIN_ONE,
                                  .from = from,
                                  .end = end,
                                  .max_bytes = 100000,
                                  .ranges = &range,
                                  .max_ranges = 1};
        int32_t rc = r->ops->read(p->p, &rd);
        if (rc < 0)
            return rc;
        if (rd.bytes == 0)
            break;
        uint8_t *buf = malloc(rd.bytes);
        uint64_t got = 0;
        rc = r->th.table.file_read(range.file, buf, range.n, range.offset, 0, &got);
        CHECK(rc > 0 && rd.n_ranges == 1 && range.n == rd.bytes);
        bool more = got == range.n;
        for (uint64_t at = 0; more && at < got;) {
            uint64_t n = (uint64_t)get_be32(buf + at + 8) + 12;
            if (n > got - at) {
                r->ops->release(rd.pin);
                free(buf);
                return CHRONIK_E_CORRUPT;
            }
            from = (int64_t)get_be64(buf + at) + (int32_t)get_be32(buf + at + 23) + 1;
            more = each(arg, buf + at, n);
            at += n;
        }
        r->ops->release(rd.pin);
        free(buf);
        if (!more)
            return CHRONIK_E_CORRUPT;
    }
    return from;
}

struct verify {
    int32_t part;
    int64_t next;
};

static bool verify_each(void *arg, const uint8_t *p, uint64_t n)
{
    struct verify *v = arg;
    uint64_t bytes;
    return rig_batch_check(p, n, v->part, v->next, 0, &v->next, &bytes) && bytes == n;
}

int64_t rig_verify(struct rig *r, int32_t part)
{
    struct chronik_part_stat st = {.size = sizeof st};
    r->ops->stat(r->parts[part].p, &st);
    struct verify v = {part, st.log_start};
    int64_t end = rig_read(r, part, st.log_start, st.written, verify_each, &v);
    if (end != st.written || v.next != st.written) {
        snprintf(r->text, sizeof r->text, "partition %d: read to %lld (%lld) of %lld", part, (long long)v.next,
                 (long long)end, (long long)st.written);
        return -1;
    }
    return end;
}
