/* kill_judge.c: record batches for the load, and the judge: it reads every partition from its beginning to
 * its high watermark and accounts for every record. An acknowledged one must stand at its offset, once; one of unknown
 * outcome may stand at most once; the records of a connection are in order. */
#include "kill_load.h"

#include "base/crc32c.h"

#include <stdlib.h>
#include <unistd.h>

/* ---- record batches ---- */

static void put_varint(struct frame *f, int64_t v)
{
    uint64_t u = (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
    for (; u >= 0x80; u >>= 7)
        put_i8(f, (int8_t)(u | 0x80));
    put_i8(f, (int8_t)u);
}

static uint32_t mix(const struct record *r)
{
    uint32_t h = r->connection * 2654435761u ^ r->number * 40503u ^ r->filler;
    return h ^ h >> 15;
}

static void put_record(struct frame *f, const struct account *a, uint32_t first, uint32_t i)
{
    struct record r = {.connection = a->id, .number = first + i, .filler = (first + i) * 7919u % FILLER_MAX};
    uint8_t room[sizeof r + FILLER_MAX + 32];
    struct frame body = {.p = room, .room = sizeof room};
    r.check = mix(&r);
    put_i8(&body, 0);
    put_varint(&body, 0);
    put_varint(&body, i);
    put_varint(&body, -1);
    put_varint(&body, (int64_t)(sizeof r + r.filler));
    memcpy(frame_grow(&body, sizeof r), &r, sizeof r);
    memset(frame_grow(&body, r.filler), 'x', r.filler);
    put_varint(&body, 0);
    put_varint(f, (int64_t)body.used);
    memcpy(frame_grow(f, body.used), room, body.used);
}

void put_batch(struct frame *f, const struct account *a, uint32_t first, uint32_t count, int64_t producer,
               int16_t epoch)
{
    size_t start = f->used;
    int64_t time = 1700000000000; /* any; timestamps are not judged */
    put_i64(f, 0);
    put_i32(f, 0);
    put_i32(f, -1);
    put_i8(f, 2);
    put_i32(f, 0);
    put_i16(f, 0);
    put_i32(f, (int32_t)count - 1);
    put_i64(f, time);
    put_i64(f, time);
    put_i64(f, producer);
    put_i16(f, producer < 0 ? -1 : epoch);
    put_i32(f, producer < 0 ? -1 : (int32_t)first);
    put_i32(f, (int32_t)count);
    for (uint32_t i = 0; i < count; i++)
        put_record(f, a, first, i);
    put_be32(f->p + start + 8, (uint32_t)(f->used - start - 12));
    put_be32(f->p + start + 17, crc32c(0, f->p + start + 21, f->used - start - 21));
}

/* ---- judging one record ---- */

struct court {
    struct account **accounts;
    uint32_t n;
    uint64_t found;
    int32_t partition;
};

static void judge_record(struct court *t, int64_t offset, const uint8_t *value, size_t len)
{
    struct record r;
    t->found++;
    if (len >= sizeof r)
        memcpy(&r, value, sizeof r);
    if (len < sizeof r || r.check != mix(&r) || r.connection >= t->n || len != sizeof r + r.filler ||
        r.number >= t->accounts[r.connection]->sent) {
        complain("partition %d offset %lld: a damaged record", t->partition, (long long)offset);
        return;
    }
    struct account *a = t->accounts[r.connection];
    int64_t told = a->offset[r.number];
    if (a->found[r.number]++)
        complain("connection %u record %u: doubled at partition %d offset %lld", r.connection, r.number, t->partition,
                 (long long)offset);
    if (a->partition != t->partition || (told >= 0 && told != offset))
        complain("connection %u record %u: moved: acknowledged at partition %d offset %lld, found at partition %d "
                 "offset %lld",
                 r.connection, r.number, a->partition, (long long)told, t->partition, (long long)offset);
    if (a->any_seen && r.number <= a->last_seen)
        complain("connection %u: record %u stands behind record %u", r.connection, r.number, a->last_seen);
    a->any_seen = true;
    a->last_seen = r.number;
}

static bool get_varint(const uint8_t **p, const uint8_t *end, int64_t *out)
{
    uint64_t u = 0;
    for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
        uint8_t b = *(*p)++;
        u |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *out = (int64_t)(u >> 1 ^ -(u & 1));
            return true;
        }
    }
    return false;
}

/* One record at *p; advances behind it. */
static bool take_record(struct court *t, int64_t base, const uint8_t **p, const uint8_t *end)
{
    int64_t len, time, delta, key, value;
    if (!get_varint(p, end, &len) || len < 1 || len > end - *p)
        return false;
    const uint8_t *q = *p + 1, *stop = *p + len;
    *p = stop;
    if (!get_varint(&q, stop, &time) || !get_varint(&q, stop, &delta) || !get_varint(&q, stop, &key) || key != -1 ||
        !get_varint(&q, stop, &value) || value < 0 || value > stop - q)
        return false;
    judge_record(t, base + delta, q, (size_t)value);
    return true;
}

/* All whole batches of [p, end) from offset `next` on; returns the offset behind the last, or -1 when damaged. */
static int64_t take_batches(struct court *t, const uint8_t *p, const uint8_t *end, int64_t next)
{
    while (end - p >= 61) {
        int64_t base = (int64_t)get_be64(p);
        uint64_t len = 12 + (uint64_t)get_be32(p + 8);
        if (len > (uint64_t)(end - p))
            break; /* cut by the size of the answer */
        if (base != next || len < 61 || p[16] != 2 || crc32c(0, p + 21, len - 21) != get_be32(p + 17)) {
            complain("partition %d: a damaged batch at offset %lld, wanted offset %lld", t->partition, (long long)base,
                     (long long)next);
            return -1;
        }
        const uint8_t *q = p + 61, *stop = p + len;
        uint32_t count = get_be32(p + 57);
        for (uint32_t i = 0; i < count; i++)
            if (!take_record(t, base, &q, stop)) {
                complain("partition %d offset %lld: a damaged record", t->partition, (long long)(base + i));
                return -1;
            }
        next = base + (int32_t)get_be32(p + 23) + 1;
        p = stop;
    }
    return next;
}

/* ---- reading back ---- */

enum { ANSWER_MAX = 4 << 20, FETCH_BYTES = 1 << 20 };

/* Fetches from `offset`; returns the offset behind what came, or -1; *end is the high watermark. */
static int64_t fetch(int fd, const char *topic, struct court *t, int64_t offset, uint8_t *answer, int64_t *end)
{
    uint8_t room[512];
    struct frame f;
    frame_begin(&f, room, sizeof room, 1, 4, 1);
    put_i32(&f, -1);
    put_i32(&f, 500);
    put_i32(&f, 1);
    put_i32(&f, FETCH_BYTES);
    put_i8(&f, 0);
    put_i32(&f, 1);
    put_string(&f, topic);
    put_i32(&f, 1);
    put_i32(&f, t->partition);
    put_i64(&f, offset);
    put_i32(&f, FETCH_BYTES);
    frame_end(&f);
    int64_t n = load_ask(fd, f.p, f.used, answer, ANSWER_MAX);
    if (n < 0)
        return -1;
    const uint8_t *p = answer + 4 + 4 + 4 + 2 + strlen(topic) + 4 + 4, *stop = answer + n;
    if (stop - p < 26 || get_be16(p) != 0) {
        complain("partition %d: fetch at offset %lld answers error %d", t->partition, (long long)offset,
                 stop - p < 2 ? -1 : (int16_t)get_be16(p));
        return -1;
    }
    *end = (int64_t)get_be64(p + 2);
    p += 18;
    int32_t aborted = (int32_t)get_be32(p);
    p += 4 + (aborted > 0 ? (size_t)aborted * 16 : 0);
    if (stop - p < 4 || (int64_t)get_be32(p) > stop - p - 4)
        return -1;
    return take_batches(t, p + 4, p + 4 + get_be32(p), offset);
}

static void read_partition(int fd, const char *topic, struct court *t, uint8_t *answer, int64_t until)
{
    int64_t at = 0, end = 1;
    while (at >= 0 && at < end) {
        if (now_ms() > until) {
            complain("partition %d: reading back took more than two minutes", t->partition);
            return;
        }
        at = fetch(fd, topic, t, at, answer, &end);
    }
    if (at < 0)
        complain("partition %d: reading back ended early", t->partition);
}

uint64_t judge(struct load_address where, const char *topic, int partitions, struct account **accounts, uint32_t n)
{
    struct court t = {.accounts = accounts, .n = n};
    uint8_t *answer = malloc(ANSWER_MAX);
    int fd = load_connect(where);
    CHECK(answer);
    if (fd < 0)
        complain("the broker takes no connection for reading back");
    for (t.partition = 0; t.partition < partitions && fd >= 0; t.partition++)
        read_partition(fd, topic, &t, answer, now_ms() + 120000);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t r = 0; r < accounts[i]->sent; r++)
            if (accounts[i]->offset[r] != UNKNOWN && !accounts[i]->found[r])
                complain("connection %u record %u: acknowledged at partition %d offset %lld, and missing", i, r,
                         accounts[i]->partition, (long long)accounts[i]->offset[r]);
    if (fd >= 0)
        close(fd);
    free(answer);
    return t.found;
}
