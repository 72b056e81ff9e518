/* fuzz_wal.c: any records in a good write-ahead log of store-wal. The input is {u8 type, u16 bytes, data}...: they are
 * appended to a record log, then a store starts on it. Replay refuses or makes sense of each; a start that worked works
 * again. A first byte with its high bit set begins the log with a partition and two batches, so that later records find
 * something to change. */
#include <config.h>

#include "tests/fuzz/disk.h"

#include "plugins/common/reclog.h"

struct run {
    struct fuzz_disk d;
    struct fuzz_in in;
};

static int32_t none(void *arg, const struct reclog_record *r)
{
    return CHRONIK_DONE;
}

static void ignore_durable(void *arg, uint64_t end)
{
}

static void ignore_failed(void *arg, int32_t code, const char *text)
{
    CHECK(!"nothing fails here");
}

static void prepare(struct fuzz_disk *d)
{
    CHECK(rig_start(&d->rig) > 0 && rig_open(&d->rig, 0, CHRONIK_STORE_CREATE) > 0);
    for (int i = 0; i < 2; i++)
        CHECK(rig_append(&d->rig, 0, 200, 2, 0, CHRONIK_FLUSH_GROUP) > 0);
    rig_wait_durable(&d->rig, 0);
    rig_stop(&d->rig);
}

static void records(struct run *r)
{
    struct testhost_wait w;
    struct reclog *l = NULL;
    struct errtext e = {0};
    struct reclog_config c = {.host = &r->d.rig.th.table,
                              .path = "wal",
                              .name = "fuzz",
                              .first_file_bytes = 4096,
                              .file_bytes = 16384,
                              .durable = ignore_durable,
                              .failed = ignore_failed};
    CHECK(reclog_open(&c, none, NULL, &e, &l) > 0);
    while (r->in.n > 3) {
        size_t n;
        uint32_t type = fuzz_u8(&r->in) % 10 + 1;
        uint32_t want = fuzz_u16(&r->in);
        const uint8_t *p = fuzz_bytes(&r->in, want, &n);
        struct chronik_iov v = {(void *)(uintptr_t)p, n};
        uint64_t number;
        CHECK(reclog_append(l, type, &v, 1, NULL, NULL, &number) > 0);
    }
    struct chronik_done done = testhost_done(&r->d.rig.th, &w);
    reclog_close(l, done);
    testhost_result(&w, CHRONIK_PENDING);
}

static void body(void *arg)
{
    struct run *r = arg;
    uint8_t mode = fuzz_u8(&r->in);
    if (mode & 1)
        fuzz_disk_put(&r->d, "os-mode", "", 0);
    if (mode & 0x80)
        prepare(&r->d);
    records(r);
    fuzz_store_check(&r->d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct run r;
    if (n > 20000)
        return 0;
    fuzz_disk_begin(&r.d);
    r.in = (struct fuzz_in){data, n};
    fuzz_disk_call(&r.d, body, &r);
    fuzz_disk_end(&r.d);
    return 0;
}
