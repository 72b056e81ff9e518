/* read.c: finding batches and handing out file ranges of them, pinned until released. One segment a call; whole batches
 * only. It never copies data and never waits for a disk when the caller says so. A head that is not one takes the
 * partition offline with file and offset: damage is reported, not served. */
#include "store.h"

enum { WALK = 4096 };

void part_hint(chronik_store_part *p, uint32_t kind, uint32_t serial, int64_t offset, uint64_t position)
{
    struct st_hint *of = p->hints + kind * ST_HINTS;
    for (int i = 0; i < ST_HINTS; i++)
        if (of[i].serial == serial && of[i].offset == offset) {
            of[i].position = position;
            return;
        }
    of[p->next_hint[kind]++ % ST_HINTS] = (struct st_hint){.offset = offset, .position = position, .serial = serial};
}

/* A window of the segment that batch heads are read through. */
struct walk {
    chronik_store *s;
    chronik_store_part *p;
    struct st_seg *g;
    struct chronik_file *f;
    uint32_t flags;
    uint64_t at, n;
    uint8_t buf[WALK];
};

static int32_t walk_head(struct walk *w, uint64_t position, struct st_batch *b)
{
    if (position < w->at || position + ST_BATCH_HEAD > w->at + w->n) {
        int32_t r = seal_check(w->p, w->g, w->f, position, position + WALK, w->flags);
        if (r < 0)
            return r;
        w->at = position;
        w->n = 0;
        r = w->s->h->file_read(w->f, w->buf, WALK, position, w->flags, &w->n);
        if (r < 0 && w->n < ST_BATCH_HEAD)
            return r;
        if (w->n < ST_BATCH_HEAD)
            return CHRONIK_E_RANGE;
    }
    return batch_parse(w->buf + (position - w->at), b) ? CHRONIK_DONE : CHRONIK_E_CORRUPT;
}

int32_t seg_damaged(chronik_store_part *p, const struct st_seg *g, uint64_t position, int32_t code)
{
    char path[ST_PATH];
    if (code == CHRONIK_E_AGAIN || code == CHRONIK_E_BUSY || code == CHRONIK_E_NOMEM || code == CHRONIK_E_NOSPC)
        return code;
    seg_path(g, "log", path);
    const char *why = code == CHRONIK_E_RANGE     ? "the file is shorter than what was acknowledged"
                      : code == CHRONIK_E_CORRUPT ? "no right record batch begins there"
                      : code == CHRONIK_E_STALE   ? "the bytes from there on are not what was acknowledged"
                                                  : util_code_text(code);
    p->s->h->metric_add(p->s->m.damaged, 1);
    part_fail(p, CHRONIK_E_CORRUPT,
              "store %s: file %s, offset %llu: damaged (%s); the partition is offline, the others serve: restore the "
              "file or delete the partition's data and fetch it from a replica",
              p->dir->path, path, (unsigned long long)position, why);
    return CHRONIK_E_CORRUPT;
}

int32_t seg_locate(chronik_store_part *p, struct st_seg *g, struct chronik_file *f, int64_t offset, uint64_t limit,
                   uint32_t flags, uint64_t *position, struct st_batch *batch)
{
    struct walk w = {.s = p->s, .p = p, .g = g, .f = f, .flags = flags};
    uint64_t at = 0;
    idx_find(p, g, IDX_OFFSET, offset, &at);
    while (at < limit) {
        int32_t r = walk_head(&w, at, batch);
        if (r > 0 && (batch->base < g->base || batch->bytes > limit - at))
            r = CHRONIK_E_CORRUPT;
        if (r < 0)
            return seg_damaged(p, g, at, r);
        if (batch->last >= offset)
            break;
        at += batch->bytes;
    }
    *position = at < limit ? at : limit;
    return CHRONIK_DONE;
}

/* The end of the last whole batch that keeps [from, end) within max_bytes; `first` is the batch at `from`. *next: the
 * offset of the batch that had no room any more, else it stays as it is. */
static int32_t range_end(chronik_store_part *p, struct st_seg *g, struct chronik_file *f, const struct chronik_read *r,
                         uint64_t from, const struct st_batch *first, uint64_t *end, int64_t *next)
{
    uint32_t flags = r->flags & CHRONIK_STORE_NOWAIT ? CHRONIK_READ_NOWAIT : 0;
    struct walk w = {.s = p->s, .p = p, .g = g, .f = f, .flags = flags};
    struct st_batch b;
    uint64_t at = 0;
    if (*end - from <= r->max_bytes)
        return CHRONIK_DONE;
    idx_find(p, g, IDX_POSITION, (int64_t)(from + r->max_bytes), &at);
    if (at < from + first->bytes)
        at = from + first->bytes;
    while (at < *end) {
        int32_t rc = walk_head(&w, at, &b);
        if (rc > 0 && b.bytes > *end - at)
            rc = CHRONIK_E_CORRUPT;
        if (rc < 0)
            return seg_damaged(p, g, at, rc);
        if (at + b.bytes - from > r->max_bytes) {
            *next = b.base;
            break;
        }
        at += b.bytes;
    }
    if (at - from > r->max_bytes && !(r->flags & CHRONIK_STORE_MIN_ONE))
        at = from;
    *end = at;
    return CHRONIK_DONE;
}

/* The segment that holds `from`, or the next one with anything behind it; with a reference. */
static struct st_seg *find_segment(chronik_store_part *p, int64_t from, int64_t *end, uint64_t *bytes)
{
    uint32_t lo = 0;
    for (uint32_t hi = p->n_segs; lo < hi;) { /* the first segment that ends behind `from` */
        uint32_t mid = (lo + hi) / 2;
        if (p->segs[mid]->end <= from)
            lo = mid + 1;
        else
            hi = mid;
    }
    while (lo < p->n_segs && p->segs[lo]->bytes == 0)
        lo++;
    if (lo == p->n_segs)
        return NULL;
    struct st_seg *g = p->segs[lo];
    seg_ref(g);
    *end = g->end;
    *bytes = g->bytes;
    return g;
}

/* DONE: a range; 0: nothing of this segment lies between `from` and the limit. *next: the offset that follows the
 * range, where the walk came upon it. */
static int32_t read_segment(chronik_store_part *p, struct st_seg *g, struct chronik_file *f, int64_t from_offset,
                            int64_t seg_end, uint64_t bytes, struct chronik_read *r, int64_t *next)
{
    uint32_t flags = r->flags & CHRONIK_STORE_NOWAIT ? CHRONIK_READ_NOWAIT : 0;
    uint64_t from, end = bytes;
    struct st_batch first, behind;
    int32_t rc = seg_locate(p, g, f, from_offset, bytes, flags, &from, &first);
    if (rc > 0 && from < bytes && first.last >= seg_end) /* else these offsets would be passed over without a word */
        return seg_damaged(p, g, from, CHRONIK_E_CORRUPT);
    if (rc < 0 || from == bytes || first.last >= r->end)
        return rc < 0 ? rc : CHRONIK_PENDING;
    if (r->end < seg_end) { /* the first batch that reaches behind the limit ends the range */
        rc = seg_locate(p, g, f, r->end, bytes, flags, &end, &behind);
        if (rc < 0)
            return rc;
    }
    rc = range_end(p, g, f, r, from, &first, &end, next);
    if (rc > 0 && end > from)
        rc = seal_check(p, g, f, from, end, flags);
    if (rc < 0 || end <= from)
        return rc < 0 ? rc : CHRONIK_PENDING;
    r->ranges[0] = (struct chronik_range){.file = f, .offset = from, .n = end - from};
    r->n_ranges = 1;
    r->bytes = end - from;
    r->base_offset = first.base;
    return CHRONIK_DONE;
}

/* Whoever reads on from here finds the place at once. */
static void read_remember(chronik_store_part *p, const struct st_seg *g, const struct chronik_read *r, int64_t seg_end,
                          uint64_t bytes, int64_t next)
{
    uint64_t position = r->ranges[0].offset + r->bytes;
    if (next < 0)
        next = position == bytes ? seg_end : r->end < seg_end ? r->end : -1;
    pthread_mutex_lock(&p->mu);
    if (next >= 0)
        part_hint(p, HINT_READ, g->serial, next, position);
    pthread_mutex_unlock(&p->mu);
}

/* One segment's answer, as read_segment; *seg_end says where to look on when it is 0. */
static int32_t read_try(chronik_store_part *p, struct chronik_read *r, int64_t from, int64_t *seg_end)
{
    uint64_t bytes = 0;
    int64_t next = -1;
    struct chronik_file *f;
    pthread_mutex_lock(&p->mu);
    struct st_seg *g = find_segment(p, from, seg_end, &bytes);
    pthread_mutex_unlock(&p->mu);
    if (!g) {
        *seg_end = INT64_MAX;
        return CHRONIK_PENDING;
    }
    int32_t rc = seg_get(g, 0, &f);
    if (rc < 0) {
        rc = seg_damaged(p, g, 0, rc);
        seg_unref(g);
        return rc;
    }
    rc = read_segment(p, g, f, from, *seg_end, bytes, r, &next);
    if (rc > 0) {
        read_remember(p, g, r, *seg_end, bytes, next);
        r->pin = (chronik_store_pin *)(void *)g;
        return rc;
    }
    seg_put(g);
    seg_unref(g);
    return rc;
}

int32_t st_read(chronik_store_part *p, struct chronik_read *r)
{
    unsigned off = atomic_load(&p->offline);
    r->n_ranges = 0;
    r->bytes = 0;
    r->base_offset = -1;
    r->pin = NULL;
    if (r->flags & ~(CHRONIK_STORE_NOWAIT | CHRONIK_STORE_MIN_ONE))
        return CHRONIK_E_UNSUPPORTED;
    if (off || p->dir->offline)
        return off ? -(int32_t)off : CHRONIK_E_OFFLINE;
    if (r->max_ranges == 0)
        return CHRONIK_E_INVAL;
    pthread_mutex_lock(&p->mu);
    int outside = r->from < p->log_start || r->from > p->written;
    pthread_mutex_unlock(&p->mu);
    if (outside)
        return CHRONIK_E_RANGE;
    for (int64_t from = r->from, seg_end; from < r->end; from = seg_end) { /* a compacted segment may end in a gap */
        int32_t rc = read_try(p, r, from, &seg_end);
        if (rc)
            return rc;
        if (seg_end <= from)
            break;
    }
    return CHRONIK_DONE;
}

uint32_t part_crc_below(chronik_store_part *p, int64_t offset)
{
    int64_t end;
    uint64_t bytes = 0, position = 0;
    struct chronik_file *f;
    struct st_batch b = {0};
    pthread_mutex_lock(&p->mu);
    struct st_seg *g = offset > 0 && offset <= p->written ? find_segment(p, offset - 1, &end, &bytes) : NULL;
    pthread_mutex_unlock(&p->mu);
    if (!g)
        return 0;
    int32_t r = seg_get(g, 0, &f);
    if (r > 0) {
        r = seg_locate(p, g, f, offset - 1, bytes, 0, &position, &b);
        seg_put(g);
    }
    seg_unref(g);
    return r > 0 && position < bytes && b.last == offset - 1 ? b.crc : 0;
}

void st_release(chronik_store_pin *pin)
{
    struct st_seg *g = (struct st_seg *)(void *)pin;
    if (!g)
        return;
    seg_put(g);
    chronik_store *s = g->s;
    uint32_t doomed = atomic_load(&g->doomed);
    seg_unref(g);
    if (doomed)
        reap_kick(s);
}

int32_t st_find_time(chronik_store_part *p, int64_t ts, int64_t *offset)
{
    struct st_seg *g = NULL;
    uint64_t at = 0, bytes = 0;
    pthread_mutex_lock(&p->mu);
    int64_t start = p->log_start;
    for (uint32_t i = 0; i < p->n_segs && !g; i++)
        if (p->segs[i]->max_ts >= ts && p->segs[i]->end > start)
            g = p->segs[i];
    if (g) {
        seg_ref(g);
        bytes = g->bytes;
    }
    pthread_mutex_unlock(&p->mu);
    if (!g)
        return CHRONIK_E_NOTFOUND;
    struct chronik_file *f;
    struct st_batch b;
    idx_find(p, g, IDX_TIME, ts, &at);
    int32_t r = seg_get(g, 0, &f);
    if (r > 0) {
        at = at < bytes ? at : 0;
        r = seal_check(p, g, f, at, at + ST_BATCH_HEAD, 0);
        if (r > 0)
            r = batch_read(p->s, f, at, 0, &b);
        seg_put(g);
    }
    if (r < 0)
        r = seg_damaged(p, g, at, r);
    else
        *offset = b.base > start ? b.base : start;
    seg_unref(g);
    return r;
}
