/* manifest.c: what a directory knows of itself on disk: `meta` (whose it is), `manifest` (every partition and segment
 * as of a checkpoint) and `clean` (nothing was written since). It never reads a segment.
 *
 * All three are snapshot files (plugins/common/snapfile.c). `meta`, kind META version 1: the owner's head is {u32 node
 * id, u32 0, 16 bytes cluster id, 16 bytes id of this directory}. `clean`, kind CLEN version 1: {u64 generation of the
 * manifest, 16 bytes boot id}. `manifest`, kind MANI version 1, content:
 *   {u64 generation, u64 first log record to replay, u32 next partition number, u32 0, 16 bytes boot id}, then items
 *   {u32 1, disk_part, disk_seg...} a partition with its segments, oldest first
 *   {u32 2, disk_doomed}            a file that waits for its removal */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>

enum { ITEM_PART = 1, ITEM_DOOMED = 2, VERSION = 1 };
#define KIND_META     SNAPFILE_KIND('M', 'E', 'T', 'A')
#define KIND_MANIFEST SNAPFILE_KIND('M', 'A', 'N', 'I')
#define KIND_CLEAN    SNAPFILE_KIND('C', 'L', 'E', 'N')

struct disk_head {
    uint64_t generation, wal_from;
    uint32_t next_pn, reserved;
    uint8_t boot[16];
};
struct disk_part {
    uint32_t pn;
    int32_t partition;
    uint8_t topic[16];
    int64_t log_start, written;
    uint64_t applied;
    uint32_t next_serial, n_segs;
    int32_t last_epoch;
    uint32_t made; /* bit 0: its folder exists; above: how often it was moved */
};
struct disk_seg {
    uint32_t serial, sealed;
    int64_t base, end;
    uint64_t bytes;
    int64_t max_ts, max_ts_offset, ts_base, created_ms;
    int32_t last_epoch;
    uint32_t crc, crc_known, reserved;
};
struct disk_doomed {
    int64_t base;
    uint32_t serial, folder_only;
    char folder[72];
};
struct disk_meta {
    uint32_t node_id, reserved;
    uint8_t cluster[16], dir[16];
};
struct disk_clean {
    uint64_t generation;
    uint8_t boot[16];
};
_Static_assert(sizeof(struct disk_part) == 64 && sizeof(struct disk_seg) == 80 && sizeof(struct disk_doomed) == 88 &&
                   sizeof(struct disk_head) == 40,
               "file format");

/* ---- writing ---- */

static void put(struct st_image *m, const void *p, uint64_t n)
{
    if (m->n + n > m->cap) {
        uint64_t cap = max_u64(m->n + n, m->cap * 2 + 4096);
        uint8_t *q = realloc(m->p, cap);
        if (!q) {
            m->failed = 1;
            return;
        }
        m->p = q;
        m->cap = cap;
    }
    memcpy(m->p + m->n, p, n);
    m->n += n;
}

void manifest_begin(struct st_image *m, const struct st_dir *d, uint64_t wal_from)
{
    struct disk_head h = {.generation = d->generation + 1, .wal_from = wal_from, .next_pn = atomic_load(&d->next_pn)};
    memcpy(h.boot, d->s->boot.b, 16);
    put(m, &h, sizeof h);
}

static void put_part(struct st_image *m, const chronik_store_part *p, uint32_t pn, uint32_t moves,
                     struct st_seg *const *segs, uint32_t n)
{
    uint32_t tag = ITEM_PART;
    struct disk_part d = {.pn = pn,
                          .partition = p->partition,
                          .log_start = p->log_start,
                          .written = p->written,
                          .applied = p->applied,
                          .next_serial = p->next_serial,
                          .n_segs = n,
                          .last_epoch = p->last_epoch,
                          .made = p->made | moves << 1};
    memcpy(d.topic, p->topic.b, 16);
    put(m, &tag, sizeof tag);
    put(m, &d, sizeof d);
    for (uint32_t i = 0; i < n; i++) {
        const struct st_seg *g = segs[i];
        struct disk_seg x = {.serial = g->serial,
                             .sealed = g->sealed,
                             .base = g->base,
                             .end = g->end,
                             .bytes = g->bytes,
                             .max_ts = g->max_ts,
                             .max_ts_offset = g->max_ts_offset,
                             .ts_base = g->ts_base,
                             .created_ms = g->created_ms,
                             .last_epoch = g->last_epoch,
                             .crc = g->crc,
                             .crc_known = g->crc_known};
        put(m, &x, sizeof x);
    }
}

/* A partition may have been opened since manifest_begin: its number counts as given out, too. */
void manifest_part(struct st_image *m, const chronik_store_part *p)
{
    struct disk_head h;
    put_part(m, p, p->pn, p->moves, p->segs, p->n_segs);
    if (m->failed)
        return;
    memcpy(&h, m->p, sizeof h);
    h.next_pn = h.next_pn > p->pn ? h.next_pn : p->pn + 1;
    memcpy(m->p, &h, sizeof h);
}

void manifest_adopt(struct st_image *m, const chronik_store_part *p, uint32_t pn, struct st_seg *const *segs,
                    uint32_t n)
{
    put_part(m, p, pn, p->moves + 1, segs, n);
}

void manifest_doomed(struct st_image *m, const struct st_seg *g)
{
    uint32_t tag = ITEM_DOOMED;
    struct disk_doomed x = {.base = g->base, .serial = g->serial, .folder_only = g->folder_only};
    memcpy(x.folder, g->folder, sizeof x.folder);
    put(m, &tag, sizeof tag);
    put(m, &x, sizeof x);
}

static int32_t small_write(struct st_dir *d, const char *name, uint32_t kind, const void *head, uint32_t n,
                           const struct st_image *content)
{
    struct snapfile_info info = {.kind = kind, .version = VERSION, .head_n = n};
    struct snapfile_writer *w;
    memcpy(info.head, head, n);
    int32_t r = snapfile_begin(d->s->h, d->no, "", name, &info, &w);
    if (r < 0)
        return r;
    if (content)
        snapfile_chunk(w, content->p, content->n);
    return snapfile_end(w, 1, NULL);
}

/* ---- room for the manifest ---- */

/* A file of blocks that nothing uses: on a full disk they go to the manifest, without which nothing that was deleted
 * can leave the disk. It comes back with the first checkpoint that finds room. */
void reserve_keep(struct st_dir *d, uint64_t manifest_bytes)
{
    enum { LEAST = 256 << 10, STEP = 64 << 10 };
    const struct chronik_host *h = d->s->h;
    uint64_t want = max_u64(LEAST, round_up64(2 * manifest_bytes + STEP, STEP)), size = 0;
    struct chronik_file *f = NULL;
    if (d->reserve >= want)
        return;
    int32_t r = h->file_open(h->ctx, d->no, "reserve", CHRONIK_FILE_WRITE | CHRONIK_FILE_CREATE, &f);
    if (r > 0)
        r = h->file_size(f, &size);
    if (r > 0 && size < want) {
        r = h->file_allocate(f, 0, want);
        if (r < 0 && h->file_truncate(f, size) < 0)
            size = 0;
    }
    d->reserve = r > 0 ? max_u64(size, want) : size;
    if (f)
        h->file_close(f);
    if (r < 0 && r != CHRONIK_E_NOSPC)
        util_log(h, CHRONIK_LOG_WARN, "store %s: file reserve cannot be made: %s; a full disk may stop checkpoints",
                 d->path, util_code_text(r));
}

/* 1 when there was something to give. */
static int reserve_release(struct st_dir *d)
{
    const struct chronik_host *h = d->s->h;
    struct chronik_file *f = NULL;
    if (!d->reserve)
        return 0;
    int32_t r = h->file_open(h->ctx, d->no, "reserve", CHRONIK_FILE_WRITE, &f);
    if (r > 0) {
        r = h->file_truncate(f, 0);
        h->file_close(f);
    }
    d->reserve = 0;
    return r > 0;
}

int32_t manifest_write(struct st_dir *d, struct st_image *m)
{
    if (m->failed)
        return CHRONIK_E_NOMEM;
    int32_t r = small_write(d, "manifest", KIND_MANIFEST, "", 0, m);
    if (r == CHRONIK_E_NOSPC && reserve_release(d))
        r = small_write(d, "manifest", KIND_MANIFEST, "", 0, m);
    if (r > 0) {
        d->generation++;
        reserve_keep(d, m->n);
    }
    return r;
}

/* ---- the clean mark ---- */

int32_t clean_write(struct st_dir *d)
{
    struct disk_clean c = {.generation = d->generation};
    memcpy(c.boot, d->s->boot.b, 16);
    return small_write(d, "clean", KIND_CLEAN, &c, sizeof c, NULL);
}

int32_t clean_check(struct st_dir *d)
{
    const struct chronik_host *h = d->s->h;
    struct snapfile_info info;
    struct disk_clean c;
    int32_t r = snapfile_info(h, d->no, "", "clean", KIND_CLEAN, VERSION, &info, NULL);
    d->was_clean = 0;
    if (r == CHRONIK_E_NOTFOUND)
        return CHRONIK_DONE;
    if (r > 0 && info.head_n == sizeof c) {
        memcpy(&c, info.head, sizeof c);
        d->was_clean = c.generation == d->generation;
    }
    r = h->file_remove(h->ctx, d->no, "clean");
    if (r > 0)
        r = h->dir_sync(h->ctx, d->no, "");
    return r;
}

/* ---- whose directory it is ---- */

static void uuid_text(const uint8_t b[16], char out[40])
{
    int n = 0;
    for (int i = 0; i < 16; i++)
        n += snprintf(out + n, 40 - (size_t)n, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
}

int32_t meta_check(struct st_dir *d, struct errtext *e)
{
    static const uint8_t none[16];
    chronik_store *s = d->s;
    struct snapfile_info info;
    struct disk_meta m = {.node_id = s->cfg.node_id};
    char mine[40], theirs[40];
    int32_t r = snapfile_info(s->h, d->no, "", "meta", KIND_META, VERSION, &info, e);
    if (r == CHRONIK_E_NOTFOUND) {
        memcpy(m.cluster, s->cfg.cluster_id.b, 16);
        memcpy(m.dir, d->id.b, 16);
        r = small_write(d, "meta", KIND_META, &m, sizeof m, NULL);
        if (r < 0)
            errtext_set(e, r, "store %s: file meta cannot be written: %s; check the owner of the directory", d->path,
                        util_code_text(r));
        return r;
    }
    if (r < 0)
        return r;
    if (info.head_n != sizeof m)
        return errtext_set(e, CHRONIK_E_CORRUPT, "store %s: file meta: its header has %u bytes, not %zu; restore it",
                           d->path, info.head_n, sizeof m);
    memcpy(&m, info.head, sizeof m);
    if (m.node_id != s->cfg.node_id)
        return errtext_set(
            e, CHRONIK_E_EXISTS,
            "store %s: the directory belongs to node %u, this is node %u; set node.id=%u or choose other "
            "log.dirs",
            d->path, m.node_id, s->cfg.node_id, m.node_id);
    if (memcmp(m.dir, d->id.b, 16) && memcmp(m.dir, none, 16) && memcmp(d->id.b, none, 16)) {
        uuid_text(m.dir, theirs);
        uuid_text(d->id.b, mine);
        return errtext_set(e, CHRONIK_E_CORRUPT,
                           "store %s: file meta says that the directory's id is %s, meta.properties says %s: one of "
                           "them is of another directory; restore it",
                           d->path, theirs, mine);
    }
    if (!memcmp(m.cluster, s->cfg.cluster_id.b, 16) || !memcmp(s->cfg.cluster_id.b, none, 16))
        return CHRONIK_DONE;
    if (!memcmp(m.cluster, none, 16)) {
        memcpy(m.cluster, s->cfg.cluster_id.b, 16);
        return small_write(d, "meta", KIND_META, &m, sizeof m, NULL);
    }
    uuid_text(m.cluster, theirs);
    uuid_text(s->cfg.cluster_id.b, mine);
    return errtext_set(e, CHRONIK_E_EXISTS,
                       "store %s: the directory belongs to cluster %s, this broker to %s; choose other log.dirs",
                       d->path, theirs, mine);
}

/* ---- reading ---- */

struct cursor {
    const uint8_t *p;
    uint64_t n, at;
};

static int take(struct cursor *c, void *out, uint64_t n)
{
    if (n > c->n - c->at)
        return 0;
    memcpy(out, c->p + c->at, n);
    c->at += n;
    return 1;
}

static int32_t load_seg(chronik_store_part *p, struct cursor *c)
{
    struct disk_seg x;
    if (!take(c, &x, sizeof x) || x.base < 0 || x.end < x.base || x.end > p->written || x.bytes > UINT32_MAX ||
        x.serial >= p->next_serial || (p->n_segs && x.base < p->segs[p->n_segs - 1]->end))
        return CHRONIK_E_CORRUPT;
    struct st_seg *g = seg_new(p, x.serial, x.base);
    if (!g || part_add_seg(p, g) < 0) {
        if (g)
            seg_unref(g);
        return CHRONIK_E_NOMEM;
    }
    g->sealed = x.sealed;
    g->end = x.end;
    g->bytes = x.bytes;
    g->max_ts = x.max_ts;
    g->max_ts_offset = x.max_ts_offset;
    g->ts_base = x.ts_base;
    g->created_ms = x.created_ms;
    g->last_epoch = x.last_epoch;
    g->crc = x.crc;
    g->crc_known = x.crc_known;
    g->idx_chunks = x.bytes >= ST_IDX_EVERY ? -1 : 0;
    g->idx_next = x.bytes;
    g->cut_pending = !x.sealed;
    return CHRONIK_DONE;
}

static int32_t load_part(struct st_dir *d, struct cursor *c)
{
    struct disk_part x;
    struct chronik_uuid topic;
    if (!take(c, &x, sizeof x) || x.n_segs > (c->n - c->at) / sizeof(struct disk_seg) || x.log_start < 0 ||
        x.written < x.log_start || x.pn == UINT32_MAX)
        return CHRONIK_E_CORRUPT;
    if (x.pn >= atomic_load(&d->next_pn)) /* earlier builds wrote such a head when a partition was opened meanwhile */
        atomic_store(&d->next_pn, x.pn + 1);
    memcpy(topic.b, x.topic, 16);
    if (part_find_in(d, &topic, x.partition))
        return CHRONIK_E_EXISTS;
    chronik_store_part *p = part_new(d->s, d, &topic, x.partition, x.pn);
    if (!p)
        return CHRONIK_E_NOMEM;
    part_insert(d->s, p);
    p->log_start = x.log_start;
    p->written = p->recovery_point = p->told_sidecars = x.written;
    p->applied = x.applied;
    p->next_serial = x.next_serial;
    p->last_epoch = x.last_epoch;
    p->made = x.made & 1;
    p->moves = x.made >> 1;
    for (uint32_t i = 0; i < x.n_segs; i++) {
        int32_t r = load_seg(p, c);
        if (r < 0)
            return r;
    }
    return CHRONIK_DONE;
}

static int32_t load_doomed(struct st_dir *d, struct cursor *c)
{
    struct disk_doomed x;
    if (!take(c, &x, sizeof x) || memchr(x.folder, 0, sizeof x.folder) == NULL || strchr(x.folder, '/'))
        return CHRONIK_E_CORRUPT;
    struct st_seg *g = calloc(1, sizeof *g);
    if (!g)
        return CHRONIK_E_NOMEM;
    g->s = d->s;
    g->dir = d;
    g->base = x.base;
    g->serial = x.serial;
    g->folder_only = x.folder_only;
    memcpy(g->folder, x.folder, sizeof g->folder);
    atomic_init(&g->refs, 1);
    atomic_init(&g->doomed, 1);
    g->next = d->s->doomed;
    d->s->doomed = g;
    return CHRONIK_DONE;
}

static int32_t load_items(struct st_dir *d, struct cursor *c)
{
    struct disk_head h;
    uint32_t tag;
    if (!take(c, &h, sizeof h))
        return CHRONIK_E_CORRUPT;
    d->generation = h.generation;
    d->wal_from = h.wal_from;
    d->same_boot = memcmp(h.boot, d->s->boot.b, 16) == 0;
    atomic_store(&d->next_pn, h.next_pn);
    while (c->at < c->n) {
        int32_t r = CHRONIK_E_CORRUPT;
        if (take(c, &tag, sizeof tag))
            r = tag == ITEM_PART ? load_part(d, c) : tag == ITEM_DOOMED ? load_doomed(d, c) : CHRONIK_E_CORRUPT;
        if (r < 0)
            return r;
    }
    return CHRONIK_DONE;
}

int32_t manifest_adopt_load(struct st_dir *d, const void *data, uint64_t n, chronik_store_part **out)
{
    struct cursor c = {data, n, 0};
    struct disk_part x;
    struct chronik_uuid topic;
    uint32_t tag;
    if (!take(&c, &tag, sizeof tag) || tag != ITEM_PART || n - c.at < sizeof x)
        return CHRONIK_E_CORRUPT;
    memcpy(&x, c.p + c.at, sizeof x);
    int32_t r = load_part(d, &c);
    memcpy(topic.b, x.topic, 16);
    *out = r > 0 ? part_find_in(d, &topic, x.partition) : NULL;
    return r > 0 && c.at != n ? CHRONIK_E_CORRUPT : r;
}

int32_t manifest_load(struct st_dir *d, struct errtext *e)
{
    struct snapfile_info info;
    void *data = NULL;
    int32_t r =
        snapfile_load(d->s->h, d->no, "", "manifest", KIND_MANIFEST, VERSION, UINT64_C(1) << 32, &info, &data, e);
    d->wal_from = 1;
    atomic_store(&d->next_pn, 1);
    if (r == CHRONIK_E_NOTFOUND)
        return CHRONIK_DONE;
    if (r < 0)
        return r;
    struct cursor c = {data, info.bytes, 0};
    r = load_items(d, &c);
    if (r == CHRONIK_E_EXISTS)
        errtext_set(e, r, "store %s: file manifest, offset %llu: a partition is named twice; restore the file", d->path,
                    (unsigned long long)c.at);
    else if (r < 0)
        errtext_set(e, r, "store %s: file manifest, offset %llu: %s; restore the file", d->path,
                    (unsigned long long)c.at, r == CHRONIK_E_NOMEM ? "out of memory" : "an item makes no sense");
    free(data);
    return r;
}
