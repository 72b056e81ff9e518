/* disk.c: files of a virtual node, and what must hold of a store whatever they contain. */
#include <config.h>

#include "tests/fuzz/disk.h"

#include "base/crc32c.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_PARTS = 64, READS = 4000 };

void fuzz_disk_begin(struct fuzz_disk *d)
{
    memset(d, 0, sizeof *d);
    d->w = sim_world_new(1);
    d->os = sim_node(d->w, "n1");
    rig_init(&d->rig, d->os, "d");
    d->rig.th.quiet = true;
    testhost_set(&d->rig.th, "chronik.store-wal.segment.max.bytes", 65536, NULL);
    testhost_set(&d->rig.th, "chronik.store-wal.wal.first.file.bytes", 4096, NULL);
    testhost_set(&d->rig.th, "chronik.store-wal.wal.file.bytes", 16384, NULL);
}

void fuzz_disk_end(struct fuzz_disk *d)
{
    pthread_mutex_destroy(&d->rig.mu);
    sim_world_free(d->w);
}

void fuzz_disk_call(struct fuzz_disk *d, void (*fn)(void *arg), void *arg)
{
    CHECK(sim_call(d->os, fn, arg));
}

static void full(char out[300], const char *path)
{
    CHECK(snprintf(out, 300, "d/%s", path) < 300);
}

void fuzz_disk_put(struct fuzz_disk *d, const char *path, const void *p, size_t n)
{
    char at[300];
    struct os_file *f = NULL;
    struct chronik_iov v = {(void *)(uintptr_t)p, n};
    full(at, path);
    for (char *slash = strchr(at + 2, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        os_mkdir(d->os, at); /* may be there */
        *slash = '/';
    }
    CHECK(os_open(d->os, at, OS_READ | OS_WRITE | OS_CREATE, &f) > 0);
    CHECK(os_truncate(f, 0) > 0 && (n == 0 || os_pwritev(f, &v, 1, 0) > 0));
    os_close(f);
}

uint8_t *fuzz_disk_get(struct fuzz_disk *d, const char *path, size_t *n)
{
    char at[300];
    struct os_file *f = NULL;
    uint64_t size = 0;
    full(at, path);
    if (os_open(d->os, at, OS_READ, &f) < 0)
        return NULL;
    CHECK(os_size(f, &size) > 0);
    uint8_t *p = malloc(size ? size : 1);
    CHECK(p && os_pread(f, p, size, 0, 0, n) > 0);
    os_close(f);
    return p;
}

/* ---- what must hold ---- */

struct found {
    struct chronik_part_id id;
    int64_t start, end;
};

struct all {
    struct found v[MAX_PARTS];
    int n;
};

static void part_each(void *arg, const struct chronik_part_id *id)
{
    struct all *a = arg;
    if (a->n < MAX_PARTS)
        a->v[a->n++] = (struct found){.id = *id};
}

/* One range: whole batches in offset order; gives the offset behind the last one. */
static int64_t range_check(struct rig *r, const struct chronik_range *range, int64_t from)
{
    uint8_t *p = malloc(range->n);
    uint64_t got = 0, at = 0;
    CHECK(p);
    int32_t rc = r->th.table.file_read(range->file, p, range->n, range->offset, 0, &got);
    CHECK(rc > 0 && got <= range->n);
    while (at + 61 <= got) {
        uint64_t n = (uint64_t)get_be32(p + at + 8) + 12;
        int64_t next = (int64_t)get_be64(p + at) + (int32_t)get_be32(p + at + 23) + 1;
        if (n < 61 || n > got - at || next <= from)
            break; /* inside a range that lies within checked bounds: the reader's own check sees it */
        from = next;
        at += n;
    }
    free(p);
    return from;
}

static void part_check(struct rig *r, chronik_store_part *p, struct found *f)
{
    struct chronik_part_stat st = {.size = sizeof st};
    int64_t at;
    r->ops->stat(p, &st);
    CHECK(st.log_start <= st.written && st.durable <= st.written);
    f->start = st.log_start;
    f->end = st.written;
    int64_t from = st.log_start;
    for (int i = 0; i < READS && from < st.written; i++) {
        struct chronik_range range;
        struct chronik_read rd = {.size = sizeof rd,
                                  .flags = CHRONIK_STORE_MIN_ONE,
                                  .from = from,
                                  .end = st.written,
                                  .max_bytes = 4096,
                                  .ranges = &range,
                                  .max_ranges = 1};
        int32_t rc = r->ops->read(p, &rd);
        if (rc < 0 || rd.bytes == 0)
            break;
        CHECK(rd.n_ranges == 1 && range.n == rd.bytes);
        int64_t next = range_check(r, &range, from);
        r->ops->release(rd.pin);
        if (next <= from)
            break;
        from = next;
    }
    for (int64_t ts = -1; ts < 5000; ts += 1000)
        r->ops->find_time(p, ts, &at);
}

/* Starts, looks at everything, stops: 1 when it started. */
static int look(struct fuzz_disk *d, struct all *a)
{
    struct rig *r = &d->rig;
    static const struct all none;
    *a = none;
    if (rig_start(r) < 0) {
        CHECK(strlen(r->text) > 10);
        return 0;
    }
    CHECK(r->ops->list(r->s, part_each, a) > 0);
    for (int i = 0; i < a->n; i++) {
        struct testhost_wait w;
        chronik_store_part *p = NULL;
        CHECK(r->ops->open(r->s, &a->v[i].id, 0, &r->parts[0], &p) > 0);
        part_check(r, p, &a->v[i]);
        struct chronik_done done = testhost_done(&r->th, &w);
        CHECK(testhost_result(&w, r->ops->part_close(p, done)) > 0);
    }
    rig_stop(r);
    return 1;
}

/* Partitions are listed in no order. */
static bool is_in(const struct all *a, const struct found *p)
{
    for (int i = 0; i < a->n; i++)
        if (memcmp(&a->v[i].id.topic, &p->id.topic, sizeof p->id.topic) == 0 && a->v[i].id.partition == p->id.partition)
            return a->v[i].end == p->end && a->v[i].start == p->start;
    return false;
}

int fuzz_store_check(struct fuzz_disk *d)
{
    static struct all first, second;
    if (!look(d, &first))
        return 0;
    if (!look(d, &second))
        fprintf(stderr, "refused the second time: %s\n", d->rig.text);
    CHECK(second.n == first.n);
    for (int i = 0; i < first.n; i++)
        CHECK(is_in(&second, &first.v[i]));
    return 1;
}
