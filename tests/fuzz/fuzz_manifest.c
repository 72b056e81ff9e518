/* fuzz_manifest.c: any content in a manifest, meta file, clean mark or sidecar. First byte: which file and how. The
 * bytes stand there as they are, or as the content (or the owner's head) of a snapshot file whose checksums are right.
 * Raw bytes never load; a start refuses with a sentence or serves, twice the same. */
#include <config.h>

#include "tests/fuzz/disk.h"

#include "plugins/common/snapfile.h"

#include <stdio.h>
#include <stdlib.h>

struct run {
    struct fuzz_disk d;
    struct fuzz_in in;
};

static const struct {
    const char *folder, *name;
    uint32_t kind;
    int in_head;
} files[] = {
    {"", "manifest", SNAPFILE_KIND('M', 'A', 'N', 'I'), 0},
    {"", "meta", SNAPFILE_KIND('M', 'E', 'T', 'A'), 1},
    {"", "clean", SNAPFILE_KIND('C', 'L', 'E', 'N'), 1},
    {"data/010000000000000000000000000000ab-0.1", "00000000000000000004.1.side", SNAPFILE_KIND('S', 'I', 'D', 'E'), 0},
};

static void prepare(struct rig *rig)
{
    CHECK(rig_start(rig) > 0 && rig_open(rig, 0, CHRONIK_STORE_CREATE) > 0);
    for (int i = 0; i < 3; i++)
        CHECK(rig_append(rig, 0, 200, 2, 0, CHRONIK_FLUSH_GROUP) > 0);
    CHECK(rig->ops->sidecar_write(rig->parts[0].p, 1, 2, "right", 5) > 0);
    rig_stop(rig);
}

static void snapshot_put(struct run *r, unsigned which)
{
    struct snapfile_info info = {.kind = files[which].kind, .version = 1};
    struct snapfile_writer *w;
    const struct chronik_host *h = &r->d.rig.th.table;
    size_t head = files[which].in_head ? r->in.n : 4, got;
    const uint8_t *p = fuzz_bytes(&r->in, head < sizeof info.head ? head : sizeof info.head, &got);
    info.head_n = (uint32_t)got;
    if (got)
        memcpy(info.head, p, got);
    if (which == 0)
        info.head_n = 0;
    CHECK(snapfile_begin(h, 0, files[which].folder, files[which].name, &info, &w) > 0);
    snapfile_chunk(w, r->in.p, r->in.n);
    CHECK(snapfile_end(w, 1, NULL) > 0);
}

/* Nothing but what snapfile_end made loads, and it gives the bytes that went in. */
static void snapshot_check(struct run *r, unsigned which, bool raw, const uint8_t *p, size_t n)
{
    struct snapfile_info info;
    struct errtext e = {0};
    void *data = NULL;
    int32_t rc = snapfile_load(&r->d.rig.th.table, 0, files[which].folder, files[which].name, files[which].kind, 1,
                               1 << 20, &info, &data, &e);
    if (raw) {
        CHECK(rc < 0 && strlen(e.text) > 10); /* 2^-64 of all bytes are a snapshot file */
        return;
    }
    CHECK(rc > 0 && info.bytes == n && (n == 0 || memcmp(data, p, n) == 0));
    free(data);
}

static void sidecar_check(struct rig *rig)
{
    struct chronik_buf *b = NULL;
    int64_t at = -1;
    if (rig_start(rig) < 0)
        return;
    CHECK(rig_open(rig, 0, 0) > 0);
    if (rig->ops->sidecar_latest(rig->parts[0].p, 1, 100, &at, &b) > 0) {
        CHECK(at == 4 || (at == 2 && memcmp(rig->th.table.buf_data(b), "right", 5) == 0));
        rig->th.table.buf_unref(b);
    }
    rig_stop(rig);
}

static void body(void *arg)
{
    struct run *r = arg;
    uint8_t mode = fuzz_u8(&r->in);
    unsigned which = mode % ARRAY_LEN(files);
    bool raw = mode & 0x40;
    prepare(&r->d.rig);
    if (raw) {
        char path[200];
        snprintf(path, sizeof path, "%s%s%s", files[which].folder, *files[which].folder ? "/" : "", files[which].name);
        fuzz_disk_put(&r->d, path, r->in.p, r->in.n);
    } else {
        snapshot_put(r, which);
    }
    snapshot_check(r, which, raw, r->in.p, r->in.n);
    if (which == 3)
        sidecar_check(&r->d.rig);
    else
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
