/* batch.c: the fixed head of a record batch, as far as a store must know it: where the batch ends and which offsets it
 * holds. It never looks at a record. Pure functions. */
#include "store.h"

static uint32_t be32(const uint8_t *p)
{
    return __builtin_bswap32(get_le32(p));
}

static int64_t be64(const uint8_t *p)
{
    return (int64_t)__builtin_bswap64(get_le64(p));
}

/* Offsets of fields (Kafka's message format v2): 0 base offset, 8 length behind this field, 12 leader epoch, 16 magic,
 * 17 crc of 21.., 21 attributes, 23 last offset delta, 27 first timestamp, 35 max timestamp, 57 number of records. */
int batch_parse(const uint8_t *p, struct st_batch *out)
{
    int64_t base = be64(p), delta = (int32_t)be32(p + 23);
    uint32_t length = be32(p + 8), attributes = (uint32_t)p[21] << 8 | p[22];
    if (p[16] != 2 || length < ST_BATCH_HEAD - 12 || length > INT32_MAX || base < 0 || delta < 0)
        return 0;
    *out = (struct st_batch){.base = base,
                             .last = base + delta,
                             .max_ts = be64(p + 35),
                             .bytes = (uint64_t)length + 12,
                             .epoch = (int32_t)be32(p + 12),
                             .crc = be32(p + 17),
                             .flags = (attributes & 0x20 ? CHRONIK_BATCH_CONTROL : 0) |
                                      (attributes & 0x10 ? CHRONIK_BATCH_TRANSACTIONAL : 0)};
    return 1;
}

int32_t batch_read(chronik_store *s, struct chronik_file *f, uint64_t position, uint32_t flags, struct st_batch *out)
{
    uint8_t head[ST_BATCH_HEAD];
    uint64_t got = 0;
    int32_t r = s->h->file_read(f, head, sizeof head, position, flags, &got);
    if (r < 0)
        return r;
    if (got < sizeof head)
        return CHRONIK_E_RANGE;
    return batch_parse(head, out) ? CHRONIK_DONE : CHRONIK_E_CORRUPT;
}
