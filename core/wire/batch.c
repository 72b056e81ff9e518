/* batch.c: reads, checks and patches record batches; see batch.h for the format. Bytes of clients are hostile: nothing
 * is believed before it was compared with what is there. No allocation, except to unpack. */
#include "wire/batch.h"

#include <chronik/base.h>

#include "base/crc32c.h"
#include "wire/codes.h"
#include "wire/internal.h"

/* Places in the head. */
enum {
    AT_LENGTH = 8,
    AT_EPOCH = 12,
    AT_MAGIC = 16,
    AT_CRC = 17,
    AT_ATTRIBUTES = 21, /* the CRC covers from here on */
    AT_LAST_DELTA = 23,
    AT_BASE_TIME = 27,
    AT_MAX_TIME = 35,
    AT_PRODUCER = 43,
    AT_PRODUCER_EPOCH = 51,
    AT_SEQUENCE = 53,
    AT_COUNT = 57,
};

void batch_head_read(const void *batch, struct batch_head *h)
{
    const uint8_t *p = batch;
    h->base_offset = (int64_t)get_be64(p);
    int32_t length = (int32_t)get_be32(p + AT_LENGTH);
    h->bytes = length < 0 ? 0 : (uint64_t)length + BATCH_PREFIX;
    h->leader_epoch = (int32_t)get_be32(p + AT_EPOCH);
    h->magic = (int8_t)p[AT_MAGIC];
    h->crc = get_be32(p + AT_CRC);
    h->attributes = (int16_t)get_be16(p + AT_ATTRIBUTES);
    h->last_offset_delta = (int32_t)get_be32(p + AT_LAST_DELTA);
    h->base_timestamp = (int64_t)get_be64(p + AT_BASE_TIME);
    h->max_timestamp = (int64_t)get_be64(p + AT_MAX_TIME);
    h->producer_id = (int64_t)get_be64(p + AT_PRODUCER);
    h->producer_epoch = (int16_t)get_be16(p + AT_PRODUCER_EPOCH);
    h->base_sequence = (int32_t)get_be32(p + AT_SEQUENCE);
    h->n_records = (int32_t)get_be32(p + AT_COUNT);
    h->seen_min_timestamp = h->base_timestamp;
    h->seen_max_timestamp = h->max_timestamp;
}

/* ---- checks ---- */

int16_t batch_refuse(struct batch_problem *problem, int16_t code, int32_t record, const char *why)
{
    *problem = (struct batch_problem){record, why};
    return code;
}

static int16_t check_head(const struct batch_head *h, size_t n, unsigned flags, struct batch_problem *problem)
{
    /* The byte that says the format lies at the same place in all formats. */
    if (h->magic != BATCH_MAGIC)
        return batch_refuse(problem, KAFKA_INVALID_RECORD, -1, "Only record batches of magic 2 are accepted.");
    if (h->bytes < BATCH_HEAD)
        return batch_refuse(problem, KAFKA_CORRUPT_MESSAGE, -1, "The length of the record batch is impossible.");
    if (h->bytes > n)
        return batch_refuse(problem, KAFKA_CORRUPT_MESSAGE, -1, "The record batch is longer than the bytes given.");
    if (!codec_name(h->attributes & BATCH_CODEC_MASK))
        return batch_refuse(problem, KAFKA_UNSUPPORTED_COMPRESSION_TYPE, -1, "The compression type does not exist.");
    if (h->last_offset_delta < 0 || h->n_records < 0)
        return batch_refuse(problem, KAFKA_INVALID_RECORD, -1, "The record batch has a negative count.");
    if (flags & BATCH_STORED)
        return h->n_records <= (int64_t)h->last_offset_delta + 1
                   ? KAFKA_NONE
                   : batch_refuse(problem, KAFKA_CORRUPT_MESSAGE, -1,
                                  "The record batch has more records than offsets.");
    if (h->n_records == 0 || h->n_records - 1 != h->last_offset_delta)
        return batch_refuse(problem, KAFKA_INVALID_RECORD, -1,
                            "The record count does not match the last offset delta.");
    return KAFKA_NONE;
}

int16_t batch_check_head(const void *batch, size_t n, struct batch_head *h, unsigned flags,
                         struct batch_problem *problem)
{
    *h = (struct batch_head){0};
    if (n < BATCH_HEAD)
        return batch_refuse(problem, KAFKA_CORRUPT_MESSAGE, -1, "The record batch is shorter than its head.");
    batch_head_read(batch, h);
    return check_head(h, n, flags, problem);
}

static int16_t check_crc(const uint8_t *p, const struct batch_head *h, struct batch_problem *problem)
{
    if (crc32c(0, p + AT_ATTRIBUTES, h->bytes - AT_ATTRIBUTES) == h->crc)
        return KAFKA_NONE;
    return batch_refuse(problem, KAFKA_CORRUPT_MESSAGE, -1, "The checksum of the record batch does not match.");
}

static int16_t check_payload(const uint8_t *p, struct batch_head *h, unsigned flags, struct batch_unpacking *u,
                             struct batch_problem *problem)
{
    int32_t rc = batch_unpack(h, p, u->buf, u->limit, &u->payload, &u->payload_n, NULL);
    if (rc > 0)
        return batch_check_records(h, u->payload, u->payload_n, flags, u, problem);
    if (rc == CHRONIK_E_CORRUPT) /* a producer's own doing: the checksum is right, and sending it again is no help */
        return batch_refuse(problem, flags & BATCH_STORED ? KAFKA_CORRUPT_MESSAGE : KAFKA_INVALID_RECORD, -1,
                            "The compressed records are damaged.");
    return batch_refuse(problem, KAFKA_INVALID_RECORD, -1, "The compressed records need too much memory.");
}

int16_t batch_check_body(const void *batch, struct batch_head *h, unsigned flags, struct batch_unpacking *u,
                         struct batch_problem *problem)
{
    int16_t code = check_crc(batch, h, problem);
    return code != KAFKA_NONE ? code : check_payload(batch, h, flags, u, problem);
}

int16_t batch_check(const void *batch, size_t n, struct batch_head *h, unsigned flags, struct batch_problem *problem)
{
    struct codec_buf buf = {0};
    struct batch_unpacking u = {.buf = &buf, .limit = BATCH_UNPACKED_MOST};
    int16_t code = batch_check_head(batch, n, h, flags, problem);
    if (code == KAFKA_NONE)
        code = check_crc(batch, h, problem);
    bool look = (h->attributes & BATCH_CODEC_MASK) == CODEC_NONE || flags & (BATCH_UNPACK | BATCH_NEEDS_KEYS);
    if (code == KAFKA_NONE && look)
        code = check_payload(batch, h, flags, &u, problem);
    if (code == KAFKA_NONE && look && u.gaps && !(flags & BATCH_STORED))
        code = batch_refuse(problem, KAFKA_INVALID_RECORD, -1, "The offset delta of a record is not its index.");
    codec_buf_free(&buf);
    return code;
}

/* ---- patches ---- */

void batch_patch(void *batch, int64_t base_offset, int32_t leader_epoch)
{
    put_be64(batch, (uint64_t)base_offset);
    put_be32((uint8_t *)batch + AT_EPOCH, (uint32_t)leader_epoch);
}

static void patch_time(uint8_t *p, size_t n, int64_t ms, uint16_t set)
{
    enum { CHANGED = AT_PRODUCER - AT_ATTRIBUTES };
    uint8_t old[CHANGED];
    CHECK(n >= BATCH_HEAD);
    memcpy(old, p + AT_ATTRIBUTES, CHANGED);
    put_be16(p + AT_ATTRIBUTES, (uint16_t)((get_be16(p + AT_ATTRIBUTES) & ~BATCH_LOG_APPEND_TIME) | set));
    put_be64(p + AT_MAX_TIME, (uint64_t)ms);
    put_be32(p + AT_CRC, crc32c_replace(get_be32(p + AT_CRC), old, p + AT_ATTRIBUTES, CHANGED, n - AT_PRODUCER));
}

void batch_patch_max_timestamp(void *p, size_t n, int64_t ms)
{
    patch_time(p, n, ms, 0);
}

void batch_patch_append_time(void *p, size_t n, int64_t ms)
{
    patch_time(p, n, ms, BATCH_LOG_APPEND_TIME);
}

int32_t batch_next(const uint8_t **p, size_t *n, struct batch_head *h, const uint8_t **at)
{
    if (*n < BATCH_HEAD)
        return 0;
    batch_head_read(*p, h);
    if (h->magic != BATCH_MAGIC || h->bytes < BATCH_HEAD)
        return CHRONIK_E_CORRUPT;
    if (h->bytes > *n)
        return 0;
    if (at)
        *at = *p;
    *p += h->bytes;
    *n -= h->bytes;
    return CHRONIK_DONE;
}

int32_t batch_unpack(const struct batch_head *h, const void *batch, struct codec_buf *buf, size_t limit,
                     const uint8_t **payload, size_t *n, struct err *e)
{
    const uint8_t *p = (const uint8_t *)batch + BATCH_HEAD;
    size_t packed = h->bytes - BATCH_HEAD;
    int codec = h->attributes & BATCH_CODEC_MASK;
    if (codec == CODEC_NONE) {
        *payload = p;
        *n = packed;
        return CHRONIK_DONE;
    }
    buf->n = 0;
    int32_t rc = codec_unpack(codec, p, packed, buf, limit, e);
    *payload = buf->p;
    *n = buf->n;
    return rc;
}
