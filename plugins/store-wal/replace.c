/* replace.c: replacing a sealed range of a log by other batches (compaction): they gather in a new segment file, are
 * synced, and one record of the write-ahead log swaps them in. Readers keep what they pinned; nothing is overwritten.
 * The range must begin and end at borders of sealed segments. One replacement a partition at a time. */
#include "store.h"

#include <stdlib.h>

struct rewrite {
    chronik_store_part *p;
    struct st_seg *g;
    struct chronik_file *f;
    int64_t from, end;
    uint32_t gen; /* of the partition at begin: no suffix was truncated since */
    int32_t failed;
};

/* Index of the first segment of the range and how many; 0 when the range is not one of whole sealed segments. */
static uint32_t range_find(const chronik_store_part *p, int64_t from, int64_t end, uint32_t *first)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n_segs; i++) {
        const struct st_seg *g = p->segs[i];
        int64_t stop = i + 1 < p->n_segs ? p->segs[i + 1]->base : g->end;
        if (g->base < from)
            continue;
        if (n == 0 && g->base != from)
            return 0;
        if (!g->sealed)
            return 0;
        if (n++ == 0)
            *first = i;
        if (stop == end)
            return n;
        if (stop > end)
            return 0;
    }
    return 0;
}

void part_swap(chronik_store_part *p, uint32_t first, uint32_t n, struct st_seg *with)
{
    if (n > 1)
        part_doom(p, first, n - 1);
    struct st_seg *old = p->segs[first];
    p->segs[first] = with;
    atomic_store(&old->doomed, 1);
    pthread_mutex_lock(&p->s->mu);
    old->next = p->s->doomed_new;
    p->s->doomed_new = old;
    pthread_mutex_unlock(&p->s->mu);
    memset(p->hints, 0, sizeof p->hints);
}

int32_t st_replace_begin(chronik_store_part *p, int64_t from, int64_t end, void **rw)
{
    uint32_t first;
    struct rewrite *w = calloc(1, sizeof *w);
    if (!w)
        return CHRONIK_E_NOMEM;
    pthread_mutex_lock(&p->wmu);
    pthread_mutex_lock(&p->mu);
    int32_t r = p->replacing ? CHRONIK_E_BUSY : range_find(p, from, end, &first) ? CHRONIK_DONE : CHRONIK_E_INVAL;
    if (r > 0) {
        w->g = seg_new(p, p->next_serial, from);
        r = w->g ? CHRONIK_DONE : CHRONIK_E_NOMEM;
    }
    if (r > 0) {
        p->next_serial++;
        p->replacing = 1;
        w->gen = p->gen;
    }
    pthread_mutex_unlock(&p->mu);
    pthread_mutex_unlock(&p->wmu);
    if (r > 0) {
        r = seg_get(w->g, 1, &w->f);
        if (r > 0)
            r = p->s->h->file_truncate(w->f, 0);
        if (r < 0) {
            if (w->f)
                seg_put(w->g);
            seg_unref(w->g);
            p->replacing = 0;
        }
    }
    if (r < 0) {
        free(w);
        return r;
    }
    w->p = p;
    part_ref(p);
    w->from = from;
    w->end = end;
    w->g->created_ms = p->s->h->wall_ms(p->s->h->ctx);
    *rw = w;
    return CHRONIK_DONE;
}

int32_t st_replace_write(void *rw, const struct chronik_batch_info *b, const struct chronik_iov *iov, uint32_t n_iov)
{
    struct rewrite *w = rw;
    chronik_store_part *p = w->p;
    if (w->failed < 0)
        return w->failed;
    if (b->bytes < ST_BATCH_HEAD || b->base_offset < w->g->end || b->base_offset < w->from || b->last_offset >= w->end)
        return CHRONIK_E_INVAL;
    int32_t r = p->s->h->file_write(w->f, iov, n_iov, w->g->bytes);
    if (r < 0)
        return w->failed = seg_fault(w->g, r, "writing");
    uint8_t head[ST_SEAL_HEAD];
    for (uint32_t i = 0, n = 0; i < n_iov && n < ST_SEAL_HEAD; i++) {
        uint32_t piece = (uint32_t)min_u64(iov[i].n, ST_SEAL_HEAD - n);
        if (piece)
            memcpy(head + n, iov[i].p, piece);
        n += piece;
    }
    pthread_mutex_lock(&p->mu);
    seg_add(w->g, b, head);
    pthread_mutex_unlock(&p->mu);
    if (w->g->n_idx == ST_IDX_CHUNK)
        idx_spill(p, w->g);
    return CHRONIK_DONE;
}

static void record_fill(const struct rewrite *w, struct wal_replace *x)
{
    const struct st_seg *g = w->g;
    *x = (struct wal_replace){.pn = w->p->pn,
                              .serial = g->serial,
                              .from = w->from,
                              .end = w->end,
                              .bytes = g->bytes,
                              .max_ts = g->max_ts,
                              .max_ts_offset = g->max_ts_offset,
                              .ts_base = g->ts_base,
                              .created_ms = g->created_ms,
                              .last_epoch = g->last_epoch,
                              .crc = g->crc};
}

static int32_t rewrite_commit(struct rewrite *w)
{
    chronik_store_part *p = w->p;
    char path[ST_PATH];
    struct wal_replace x;
    struct chronik_iov v = {&x, sizeof x};
    uint64_t number = 0;
    uint32_t first = 0, n = 0;
    path_join(path, "data", w->g->folder);
    int32_t r = p->s->h->file_sync(w->f);
    if (r > 0)
        r = p->s->h->dir_sync(p->s->h->ctx, p->dir->no, path);
    if (r < 0)
        return seg_fault(w->g, r == CHRONIK_E_NOSPC ? CHRONIK_E_IO : r, "syncing");
    w->g->end = w->end; /* offsets that compaction dropped still belong to it */
    w->g->sealed = 1;
    record_fill(w, &x);
    pthread_mutex_lock(&p->wmu);
    n = range_find(p, w->from, w->end, &first);
    r = n == 0 || p->deleted || w->gen != p->gen || w->g->dir != p->dir ? CHRONIK_E_STALE
        : p->frozen                                                     ? CHRONIK_E_BUSY
                                                                        : wal_admit(p->dir, sizeof x, RECLOG_URGENT);
    if (r > 0)
        r = wal_append(p->dir, WAL_REPLACE, &v, 1, NULL, -1, (struct chronik_done){0}, &number);
    if (r > 0) {
        pthread_mutex_lock(&p->mu);
        part_swap(p, first, n, w->g);
        p->applied = number;
        pthread_mutex_unlock(&p->mu);
        idx_spill(p, w->g);
    }
    pthread_mutex_unlock(&p->wmu);
    return r;
}

int32_t st_replace_end(void *rw, uint32_t commit)
{
    struct rewrite *w = rw;
    chronik_store_part *p = w->p;
    int32_t r = w->failed < 0 ? w->failed : CHRONIK_DONE;
    if (r > 0 && commit)
        r = rewrite_commit(w);
    seg_put(w->g);
    if (r < 0 || !commit) { /* its file belongs to nobody */
        char path[ST_PATH];
        seg_path(w->g, "log", path);
        seg_close_file(w->g);
        p->s->h->file_remove(p->s->h->ctx, w->g->dir->no, path);
        seg_path(w->g, "idx", path);
        p->s->h->file_remove(p->s->h->ctx, w->g->dir->no, path);
        seg_unref(w->g);
    }
    pthread_mutex_lock(&p->mu);
    p->replacing = 0;
    pthread_mutex_unlock(&p->mu);
    part_unref(p);
    free(w);
    return r;
}

int32_t replace_replay(chronik_store_part *p, const void *data, uint32_t bytes)
{
    struct wal_replace x;
    uint32_t first = 0;
    if (bytes != sizeof x)
        return CHRONIK_E_CORRUPT;
    memcpy(&x, data, sizeof x);
    uint32_t n = range_find(p, x.from, x.end, &first);
    if (n == 0 || x.bytes > UINT32_MAX || x.serial == UINT32_MAX)
        return CHRONIK_E_CORRUPT;
    struct st_seg *g = seg_new(p, x.serial, x.from);
    if (!g)
        return CHRONIK_E_NOMEM;
    g->end = x.end;
    g->bytes = x.bytes;
    g->max_ts = x.max_ts;
    g->max_ts_offset = x.max_ts_offset;
    g->ts_base = x.ts_base;
    g->created_ms = x.created_ms;
    g->last_epoch = x.last_epoch;
    g->crc = x.crc;
    g->sealed = 1;
    g->idx_chunks = -1;
    if (p->next_serial <= x.serial)
        p->next_serial = x.serial + 1;
    part_swap(p, first, n, g);
    return CHRONIK_DONE;
}
