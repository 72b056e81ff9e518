/* fuzz_batch.c: any bytes as a record batch and as the output of any codec. The first byte chooses: the bytes as they
 * are, with length, magic and CRC-32C made right (so that the walk is reached), or packed data on their own. A batch
 * that passes the check must be walked to its end, and must pass again after each patch. */
#include "tests/fuzz/fuzz.h"

#include "base/crc32c.h"
#include "wire/batch.h"
#include "wire/codes.h"

#include <stdlib.h>

enum { UNPACKED = 1 << 20 };

struct walked {
    int64_t last;
    int32_t n;
};

static bool each(void *arg, const struct batch_record *r)
{
    struct walked *w = arg;
    struct batch_record copy = *r;
    struct batch_header h;
    int32_t headers = 0;
    CHECK(w->n == 0 || r->offset - w->last > 0);
    while (batch_header_next(&copy, &h) > 0)
        headers++;
    CHECK(headers == r->n_headers && copy.headers_n == 0);
    w->last = r->offset;
    w->n++;
    return true;
}

static void check(uint8_t *p, size_t n, unsigned flags)
{
    struct batch_head h, again;
    struct batch_problem problem = {0};
    struct walked w = {0};
    int16_t code = batch_check(p, n, &h, flags, &problem);
    if (code != KAFKA_NONE) {
        CHECK(problem.why);
        return;
    }
    const uint8_t *at = p, *place;
    size_t left = n;
    CHECK(batch_next(&at, &left, &again, &place) > 0 && place == p && left == n - h.bytes);
    if (!(flags & BATCH_UNPACK) && (h.attributes & BATCH_CODEC_MASK))
        return;
    batch_patch(p, 0, 7); /* a base offset near the end of the range would wrap */
    CHECK(batch_each_record(p, n, each, &w) > 0 && w.n == h.n_records);
    batch_patch_max_timestamp(p, h.bytes, 99);
    CHECK(batch_check(p, n, &again, flags, &problem) == KAFKA_NONE);
    batch_patch_append_time(p, h.bytes, 100);
    CHECK(batch_check(p, n, &again, flags | BATCH_STORED, &problem) == KAFKA_NONE);
    CHECK(again.max_timestamp == 100 && (again.attributes & BATCH_LOG_APPEND_TIME));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1)
        return 0;
    unsigned mode = data[0] % 3, flags = data[0] / 3u % 8;
    data++;
    n--;
    if (mode == 2) {
        struct codec_buf out = {0};
        (void)!codec_unpack((int)(flags % CODEC_END), data, n, &out, UNPACKED, NULL);
        CHECK(out.n <= UNPACKED);
        codec_buf_free(&out);
        return 0;
    }
    uint8_t *p = malloc(n ? n : 1);
    CHECK(p);
    if (n)
        memcpy(p, data, n);
    if (mode == 1 && n >= BATCH_HEAD) {
        put_be32(p + 8, (uint32_t)n - BATCH_PREFIX);
        p[16] = BATCH_MAGIC;
        put_be32(p + 17, crc32c(0, p + 21, n - 21));
    }
    check(p, n, flags);
    free(p);
    return 0;
}
