/* fuzz_segment.c: any bytes as a segment and as its index. A good store of one partition is made (os mode: what stands
 * behind the manifest's end is taken up), then files are replaced. First byte: bit 0, the bytes go behind the known end
 * and not over it; bit 1, batches among them get right lengths and checksums; bit 2, the first half is the index
 * instead, with bit 3 its chunks' checksums are made right. A start takes up whole valid batches, or none, and the same
 * ones the next time; whatever an index says, no wrong batch is read when its checksum is wrong. */
#include <config.h>

#include "tests/fuzz/disk.h"

#include "base/crc32c.h"
#include "plugins/common/util.h"

#include <stdio.h>
#include <stdlib.h>

enum { CHUNK = 2048, BATCHES = 20, BATCH = 7000 };

struct run {
    struct fuzz_disk d;
    struct fuzz_in in;
};

struct file {
    const char *path;
    uint8_t *p;
    size_t n;
};
#define FOLDER "data/010000000000000000000000000000ab-0.1/"
static struct file good[] = {
    {.path = FOLDER "00000000000000000000-1.log"},
    {.path = FOLDER "00000000000000000000-1.idx"},
    {.path = "manifest"},
    {.path = "meta"},
    {.path = "os-mode"},
    {.path = "wal/00000000.log"},
};
static bool made;

static void make_good(void *arg)
{
    struct run *r = arg;
    struct rig *rig = &r->d.rig;
    testhost_set(&rig->th, "chronik.flush", 0, "os");
    testhost_set(&rig->th, "chronik.store-wal.segment.max.bytes", 1 << 20, NULL);
    CHECK(rig_start(rig) > 0 && rig_open(rig, 0, CHRONIK_STORE_CREATE) > 0);
    for (int i = 0; i < BATCHES; i++)
        CHECK(rig_append(rig, 0, BATCH, 3, 0, CHRONIK_FLUSH_OS) > 0);
    rig_stop(rig); /* the clean mark is left out: the next start looks behind the known end */
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        good[i].p = fuzz_disk_get(&r->d, good[i].path, &good[i].n);
    CHECK(good[0].p && good[2].p);
    made = true;
}

/* Walks what claims to be batches and makes each whole. */
static void batches_seal(uint8_t *p, size_t n, int64_t offset)
{
    for (size_t at = 0; at + 61 <= n;) {
        uint64_t bytes = 61 + get_be32(p + at + 8) % 400;
        if (bytes > n - at)
            bytes = n - at;
        put_be64(p + at, (uint64_t)offset + get_be64(p + at) % 3);
        put_be32(p + at + 8, (uint32_t)bytes - 12);
        p[at + 16] = 2;
        put_be32(p + at + 23, get_be32(p + at + 23) % 9);
        put_be32(p + at + 17, crc32c(0, p + at + 21, bytes - 21));
        offset = (int64_t)get_be64(p + at) + get_be32(p + at + 23) + 1;
        at += bytes;
    }
}

static void index_seal(uint8_t *p, size_t n)
{
    for (size_t at = 0; at + CHUNK <= n; at += CHUNK) {
        put_le32(p + at + CHUNK - 16, 0x32494b43);
        put_le32(p + at + CHUNK - 12, 1);
        put_le32(p + at + CHUNK - 4, crc32c(0, p + at, CHUNK - 4));
    }
}

static bool each(void *arg, const uint8_t *p, uint64_t n)
{
    int64_t *next = arg;
    uint64_t bytes;
    return rig_batch_check(p, n, 0, *next, 0, next, &bytes);
}

/* An index without right checksums is no index. */
static void read_all(struct rig *rig)
{
    CHECK(rig_start(rig) > 0 && rig_open(rig, 0, 0) > 0);
    for (int64_t from = 0; from < 3 * BATCHES; from += 7) {
        int64_t next = from / 3 * 3;
        CHECK(rig_read(rig, 0, from, 3 * BATCHES, each, &next) == 3 * BATCHES && next == 3 * BATCHES);
    }
    rig_stop(rig);
}

static void index_write(struct run *r, uint8_t mode)
{
    uint8_t buf[3 * CHUNK] = {0};
    size_t n;
    const uint8_t *p = fuzz_bytes(&r->in, sizeof buf, &n);
    if (n)
        memcpy(buf, p, n);
    if (mode & 8)
        index_seal(buf, sizeof buf);
    fuzz_disk_put(&r->d, good[1].path, buf, mode & 8 ? sizeof buf : n);
}

static void segment_write(struct run *r, uint8_t mode)
{
    size_t keep = mode & 1 ? good[0].n : 0, n = keep + r->in.n;
    uint8_t *p = malloc(n ? n : 1);
    CHECK(p);
    memcpy(p, good[0].p, keep);
    if (r->in.n)
        memcpy(p + keep, r->in.p, r->in.n);
    if (mode & 2)
        batches_seal(p + keep, n - keep, keep ? 3 * BATCHES : 0);
    fuzz_disk_put(&r->d, good[0].path, p, n);
    free(p);
}

static void body(void *arg)
{
    struct run *r = arg;
    uint8_t mode = fuzz_u8(&r->in);
    testhost_set(&r->d.rig.th, "chronik.store-wal.segment.max.bytes", 1 << 20, NULL);
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (good[i].p)
            fuzz_disk_put(&r->d, good[i].path, good[i].p, good[i].n);
    if (mode & 4)
        index_write(r, mode);
    else
        segment_write(r, mode);
    if ((mode & 12) == 4)
        read_all(&r->d.rig);
    else
        fuzz_store_check(&r->d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct run r;
    if (n > 20000)
        return 0;
    if (!made) {
        fuzz_disk_begin(&r.d);
        fuzz_disk_call(&r.d, make_good, &r);
        fuzz_disk_end(&r.d);
    }
    fuzz_disk_begin(&r.d);
    r.in = (struct fuzz_in){data, n};
    fuzz_disk_call(&r.d, body, &r);
    fuzz_disk_end(&r.d);
    return 0;
}
