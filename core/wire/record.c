/* record.c: walks the records inside a batch and builds batches of them. A record: length, attributes, timestamp delta,
 * offset delta, key, value, headers; all numbers zigzag varints. The walk is on the path of every produced record: it
 * allocates nothing and touches each byte of framing once. */
#include "wire/batch.h"

#include <chronik/base.h>

#include "base/crc32c.h"
#include "wire/codes.h"
#include "wire/internal.h"

#include <stdlib.h>

/* ---- varints ---- */

static const uint8_t *varint_slow(const uint8_t *p, const uint8_t *end, int most, uint64_t *out)
{
    uint64_t v = 0;
    for (int i = 0; i < most && p < end; i++) {
        uint8_t b = *p++;
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (b < 0x80) {
            *out = v;
            return p;
        }
    }
    return NULL;
}

/* A zigzag varint of at most five bytes (ten for `wide`); NULL when it ends nowhere. */
static inline const uint8_t *varint(const uint8_t *p, const uint8_t *end, bool wide, int64_t *out)
{
    uint64_t v;
    if (LIKELY(p < end && *p < 0x80))
        v = *p++;
    else if (LIKELY(end - p >= 2 && p[1] < 0x80)) {
        v = (uint64_t)(p[0] & 0x7f) | (uint64_t)p[1] << 7;
        p += 2;
    } else if (!(p = varint_slow(p, end, wide ? 10 : 5, &v)))
        return NULL;
    int64_t x = (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
    *out = wide ? x : (int32_t)x;
    return p;
}

/* Length and bytes; -1 is null when allowed. NULL: does not fit. */
static inline const uint8_t *blob(const uint8_t *p, const uint8_t *end, bool null_allowed, const uint8_t **bytes,
                                  int32_t *n)
{
    int64_t size;
    if (!(p = varint(p, end, false, &size)) || size < (null_allowed ? -1 : 0) || size > end - p)
        return NULL;
    *bytes = size < 0 ? NULL : p;
    *n = (int32_t)size;
    return p + (size < 0 ? 0 : size);
}

/* ---- the walk ---- */

void batch_iter_init(struct batch_iter *it, const struct batch_head *h, const void *payload, size_t n)
{
    *it = (struct batch_iter){
        .p = payload,
        .end = (const uint8_t *)payload + n,
        .base_offset = h->base_offset,
        .base_timestamp = h->base_timestamp,
        .append_time = h->max_timestamp,
        .left = h->n_records,
        .offset_delta = -1,
        .timed = h->attributes & BATCH_LOG_APPEND_TIME,
    };
}

static const uint8_t *skip_headers(const uint8_t *p, const uint8_t *end, int32_t n)
{
    const uint8_t *bytes;
    int32_t size;
    for (; n && p; n--)
        if ((p = blob(p, end, false, &bytes, &size)))
            p = blob(p, end, true, &bytes, &size);
    return p;
}

/* A varint of one or two bytes, not unzigzagged; p[0] and p[1] must be readable. 0: it is longer. */
static inline unsigned short_varint(const uint8_t *p, uint32_t *v)
{
    *v = p[0];
    if (LIKELY(*v < 0x80))
        return 1;
    *v = (*v & 0x7f) | (uint32_t)p[1] << 7;
    return LIKELY(p[1] < 0x80) ? 2 : 0;
}

static inline int64_t unzigzag(uint32_t v)
{
    return (int32_t)(v >> 1) ^ -(int32_t)(v & 1);
}

/* Length and bytes of a key or value, where two bytes may be read at p; NULL: not of the common shape. */
static inline const uint8_t *short_blob(const uint8_t *p, const uint8_t *end, const uint8_t **bytes, int32_t *n)
{
    uint32_t v;
    unsigned k = short_varint(p, &v);
    p += k;
    if (UNLIKELY(v & 1)) {
        *bytes = NULL;
        *n = -1;
        return v == 1 && k ? p : NULL;
    }
    *bytes = p;
    *n = (int32_t)(v >> 1);
    return k && end - p >= (int64_t)(v >> 1) ? p + (v >> 1) : NULL;
}

/* Takes a record of the common shape: short varints, no headers. false: it is another or a malformed one, nothing was
 * done. */
static inline __attribute__((always_inline)) bool take_common(struct batch_iter *it, struct batch_record *r)
{
    enum { FRAMING = 9 }; /* size, attributes, deltas and the first length take at most this */
    uint32_t size, time_delta, offset_delta;
    unsigned k;
    const uint8_t *p = it->p;
    if (it->end - p < FRAMING || !(k = short_varint(p, &size)) || size & 1)
        return false;
    p += k;
    const uint8_t *end = p + (size >> 1);
    if ((int64_t)(size >> 1) > it->end - p || end - p < 7)
        return false;
    p++; /* attributes, unused */
    if (!(k = short_varint(p, &time_delta)))
        return false;
    p += k;
    if (!(k = short_varint(p, &offset_delta)) || offset_delta & 1)
        return false;
    p += k;
    if (!(p = short_blob(p, end, &r->key, &r->key_n)) || end - p < 2)
        return false;
    if (!(p = short_blob(p, end, &r->value, &r->value_n)) || end - p != 1 || *p != 0)
        return false;
    if ((int32_t)(offset_delta >> 1) <= it->offset_delta)
        return false;
    r->headers = end;
    r->n_headers = 0;
    r->headers_n = 0;
    it->offset_delta = (int32_t)(offset_delta >> 1);
    r->offset = (int64_t)((uint64_t)it->base_offset + (offset_delta >> 1));
    r->timestamp =
        it->timed ? it->append_time : (int64_t)((uint64_t)it->base_timestamp + (uint64_t)unzigzag(time_delta));
    it->p = end;
    it->left--;
    return true;
}

/* Takes the record at it->p, of which there must be one; says what is wrong with it, or NULL. */
static inline __attribute__((always_inline)) const char *take_record(struct batch_iter *it, struct batch_record *r)
{
    if (LIKELY(take_common(it, r)))
        return NULL;
    int64_t size, time_delta, offset_delta, n_headers;
    const uint8_t *p = varint(it->p, it->end, false, &size);
    if (!p || size < 0 || size > it->end - p)
        return "A record is longer than its batch.";
    const uint8_t *end = p + size;
    if (p == end) /* attributes, unused */
        return "A record has no room for its fields.";
    p++;
    if (!(p = varint(p, end, true, &time_delta)) || !(p = varint(p, end, false, &offset_delta)))
        return "The deltas of a record are malformed.";
    if (!(p = blob(p, end, true, &r->key, &r->key_n)) || !(p = blob(p, end, true, &r->value, &r->value_n)))
        return "The key or value of a record is malformed.";
    if (!(p = varint(p, end, false, &n_headers)) || n_headers < 0 || n_headers > (end - p) / 2)
        return "The header count of a record is impossible.";
    r->headers = p;
    r->n_headers = (int32_t)n_headers;
    if (!(p = skip_headers(p, end, r->n_headers)) || p != end)
        return "The headers of a record do not fill it.";
    if (offset_delta <= it->offset_delta)
        return "The offsets of the records do not ascend.";
    r->headers_n = (uint32_t)(end - r->headers);
    r->offset = (int64_t)((uint64_t)it->base_offset + (uint64_t)offset_delta);
    r->timestamp = it->timed ? it->append_time : (int64_t)((uint64_t)it->base_timestamp + (uint64_t)time_delta);
    it->offset_delta = (int32_t)offset_delta;
    it->p = end;
    it->left--;
    return NULL;
}

static const char left_over[] = "Bytes are left over behind the last record.";

int32_t batch_iter_next(struct batch_iter *it, struct batch_record *r)
{
    if (!it->why) {
        if (it->left > 0)
            it->why = take_record(it, r);
        else if (it->p == it->end)
            return 0;
        else
            it->why = left_over;
    }
    return it->why ? CHRONIK_E_CORRUPT : CHRONIK_DONE;
}

int16_t batch_check_records(struct batch_head *h, const uint8_t *payload, size_t n, unsigned flags,
                            struct batch_unpacking *u, struct batch_problem *problem)
{
    bool gaps_allowed = flags & BATCH_STORED || h->attributes & BATCH_CODEC_MASK, keyless = false, gaps = false;
    struct batch_iter it;
    struct batch_record r;
    const char *why;
    int64_t least = INT64_MAX, most = INT64_MIN;
    batch_iter_init(&it, h, payload, n);
    for (int32_t i = 0; i < h->n_records; i++) {
        if (UNLIKELY((why = take_record(&it, &r)) != NULL))
            return batch_refuse(problem, KAFKA_INVALID_RECORD, i, why);
        gaps |= it.offset_delta != i;
        if (UNLIKELY(gaps) && !gaps_allowed)
            return batch_refuse(problem, KAFKA_INVALID_RECORD, i, "The offset delta of a record is not its index.");
        keyless |= r.key_n < 0;
        if (UNLIKELY(keyless) && (flags & BATCH_NEEDS_KEYS))
            return batch_refuse(problem, KAFKA_INVALID_RECORD, i, "A compacted topic needs a key in every record.");
        least = min_i64(least, r.timestamp);
        most = max_i64(most, r.timestamp);
    }
    if (it.p != it.end)
        return batch_refuse(problem, KAFKA_INVALID_RECORD, -1, left_over);
    if (h->n_records) {
        h->seen_min_timestamp = least;
        h->seen_max_timestamp = max_i64(most, -1); /* -1 is no time, and the least that a batch tells */
    }
    u->keyless = keyless;
    u->gaps = gaps;
    return KAFKA_NONE;
}

int32_t batch_header_next(struct batch_record *r, struct batch_header *out)
{
    if (!r->n_headers)
        return 0;
    const uint8_t *end = r->headers + r->headers_n, *p = blob(r->headers, end, false, &out->key, &out->key_n);
    CHECK(p && (p = blob(p, end, true, &out->value, &out->value_n)));
    r->headers = p;
    r->headers_n = (uint32_t)(end - p);
    r->n_headers--;
    return CHRONIK_DONE;
}

int32_t batch_each_record(const void *batch, size_t n, bool (*each)(void *arg, const struct batch_record *r), void *arg)
{
    struct batch_head h;
    const uint8_t *at = batch, *payload;
    int32_t rc = batch_next(&at, &n, &h, NULL);
    if (rc <= 0)
        return CHRONIK_E_CORRUPT;
    struct codec_buf buf = {0};
    struct batch_iter it;
    struct batch_record r;
    rc = batch_unpack(&h, batch, &buf, BATCH_UNPACKED_MOST, &payload, &n, NULL);
    if (rc > 0) {
        batch_iter_init(&it, &h, payload, n);
        while ((rc = batch_iter_next(&it, &r)) > 0)
            if (!each(arg, &r))
                break;
    }
    codec_buf_free(&buf);
    return rc < 0 ? rc : CHRONIK_DONE;
}

/* ---- building ---- */

static size_t varint_size(int64_t v)
{
    uint64_t z = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
    return 1 + (size_t)(63 - __builtin_clzll(z | 1)) / 7;
}

static uint8_t *put_varint(uint8_t *p, int64_t v)
{
    uint64_t z = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
    for (; z >= 0x80; z >>= 7)
        *p++ = (uint8_t)(z | 0x80);
    *p++ = (uint8_t)z;
    return p;
}

static uint8_t *put_blob(uint8_t *p, const void *bytes, size_t n)
{
    p = put_varint(p, bytes ? (int64_t)n : -1);
    return bytes && n ? (uint8_t *)memcpy(p, bytes, n) + n : p;
}

static size_t blob_size(const void *bytes, size_t n)
{
    return bytes ? varint_size((int64_t)n) + n : 1;
}

void batch_begin(struct batch_build *b, const struct batch_head *h)
{
    b->head = *h;
    b->head.n_records = 0;
    b->out.n = 0;
    b->failed = !codec_buf_reserve(&b->out, BATCH_HEAD);
    if (!b->failed)
        b->out.n = BATCH_HEAD;
}

void batch_add(struct batch_build *b, int64_t timestamp, const void *key, size_t key_n, const void *value,
               size_t value_n, const struct batch_header *headers, int32_t n_headers)
{
    struct batch_head *h = &b->head;
    if (!h->n_records)
        h->base_timestamp = h->max_timestamp = timestamp;
    int64_t delta = (int64_t)((uint64_t)timestamp - (uint64_t)h->base_timestamp);
    size_t size = 1 + varint_size(delta) + varint_size(h->n_records) + blob_size(key, key_n) +
                  blob_size(value, value_n) + varint_size(n_headers);
    for (int32_t i = 0; i < n_headers; i++)
        size += blob_size(headers[i].key, (size_t)headers[i].key_n) +
                blob_size(headers[i].value_n < 0 ? NULL : headers[i].value, (size_t)headers[i].value_n);
    if (b->failed || size > INT32_MAX || !codec_buf_reserve(&b->out, size + 5)) {
        b->failed = true;
        return;
    }
    uint8_t *p = put_varint(b->out.p + b->out.n, (int64_t)size);
    *p++ = 0;
    p = put_varint(p, delta);
    p = put_varint(p, h->n_records);
    p = put_blob(p, key, key_n);
    p = put_blob(p, value, value_n);
    p = put_varint(p, n_headers);
    for (int32_t i = 0; i < n_headers; i++) {
        p = put_blob(p, headers[i].key, (size_t)headers[i].key_n);
        p = put_blob(p, headers[i].value_n < 0 ? NULL : headers[i].value, (size_t)headers[i].value_n);
    }
    b->out.n = (size_t)(p - b->out.p);
    h->max_timestamp = max_i64(h->max_timestamp, timestamp);
    h->n_records++;
}

static void write_head(uint8_t *p, const struct batch_head *h, size_t n)
{
    put_be64(p, (uint64_t)h->base_offset);
    put_be32(p + 8, (uint32_t)(n - BATCH_PREFIX));
    put_be32(p + 12, (uint32_t)h->leader_epoch);
    p[16] = BATCH_MAGIC;
    put_be16(p + 21, (uint16_t)h->attributes);
    put_be32(p + 23, (uint32_t)(h->n_records - 1));
    put_be64(p + 27, (uint64_t)h->base_timestamp);
    put_be64(p + 35, (uint64_t)h->max_timestamp);
    put_be64(p + 43, (uint64_t)h->producer_id);
    put_be16(p + 51, (uint16_t)h->producer_epoch);
    put_be32(p + 53, (uint32_t)h->base_sequence);
    put_be32(p + 57, (uint32_t)h->n_records);
    put_be32(p + 17, crc32c(0, p + 21, n - 21));
}

/* Seals the records in b->out. */
static int32_t finish(struct batch_build *b, int level, const uint8_t **p, size_t *n)
{
    struct codec_buf *out = &b->out;
    int codec = b->head.attributes & BATCH_CODEC_MASK;
    if (codec != CODEC_NONE) {
        b->pack.n = 0;
        if (!codec_buf_reserve(&b->pack, BATCH_HEAD))
            return CHRONIK_E_NOMEM;
        b->pack.n = BATCH_HEAD;
        int32_t rc = codec_pack(codec, level, out->p + BATCH_HEAD, out->n - BATCH_HEAD, &b->pack, NULL);
        if (rc < 0)
            return rc;
        out = &b->pack;
    }
    if (out->n > INT32_MAX)
        return CHRONIK_E_TOOBIG;
    write_head(out->p, &b->head, out->n);
    *p = out->p;
    *n = out->n;
    return CHRONIK_DONE;
}

int32_t batch_finish(struct batch_build *b, const uint8_t **p, size_t *n)
{
    if (b->failed)
        return CHRONIK_E_NOMEM;
    return b->head.n_records ? finish(b, INT32_MIN, p, n) : CHRONIK_E_INVAL;
}

/* A record of the walk with the next offset. */
static bool add_again(struct batch_build *b, const struct batch_record *r)
{
    enum { MOST = 16 };
    struct batch_header some[MOST] = {{0}}, *v = some;
    struct batch_record rest = *r;
    if (r->n_headers > MOST && !(v = calloc((size_t)r->n_headers, sizeof *v)))
        return false;
    for (int32_t i = 0; i < r->n_headers; i++)
        CHECK(batch_header_next(&rest, &v[i]) > 0);
    batch_add(b, r->timestamp, r->key, (size_t)max_i64(r->key_n, 0), r->value, (size_t)max_i64(r->value_n, 0), v,
              r->n_headers);
    if (v != some)
        free(v);
    return !b->failed;
}

int32_t batch_repack(struct batch_build *b, const struct batch_head *h, const uint8_t *payload, size_t payload_n,
                     int codec, int level, const uint8_t **p, size_t *n)
{
    struct batch_iter it;
    struct batch_record r;
    bool gaps = false;
    batch_iter_init(&it, h, payload, payload_n);
    for (int32_t i = 0; batch_iter_next(&it, &r) > 0; i++)
        gaps |= it.offset_delta != i;
    batch_begin(b, h);
    b->head.attributes = (int16_t)((h->attributes & ~BATCH_CODEC_MASK) | codec);
    if (!gaps) { /* the records stay as they are */
        b->failed = b->failed || !codec_buf_reserve(&b->out, payload_n);
        if (!b->failed) {
            memcpy(b->out.p + b->out.n, payload, payload_n);
            b->out.n += payload_n;
            b->head.n_records = h->n_records;
        }
    } else {
        batch_iter_init(&it, h, payload, payload_n);
        while (!b->failed && batch_iter_next(&it, &r) > 0)
            b->failed = !add_again(b, &r);
    }
    if (b->failed)
        return CHRONIK_E_NOMEM;
    b->head.max_timestamp = h->seen_max_timestamp;
    return finish(b, level, p, n);
}

void batch_build_free(struct batch_build *b)
{
    codec_buf_free(&b->out);
    codec_buf_free(&b->pack);
}
