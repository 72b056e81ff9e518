/* truncate.c: cutting a log at either end, and sealing. Segments that fall away are doomed, never overwritten: their
 * bytes stay where readers pinned them, and what is appended later goes to new files. The state changes are shared with
 * replay. */
#include "store.h"

void part_cut_prefix(chronik_store_part *p, int64_t offset)
{
    uint32_t n = 0;
    if (offset <= p->log_start)
        return;
    p->log_start = offset;
    if (offset > p->written) { /* an empty log that begins there */
        p->written = offset;
        atomic_store(&p->durable, offset);
        n = p->n_segs;
    }
    while (n < p->n_segs && p->segs[n]->end <= offset && p->segs[n]->sealed)
        n++;
    if (n)
        part_doom(p, 0, n);
}

void part_cut_suffix(chronik_store_part *p, const struct wal_suffix *w)
{
    uint32_t keep = p->n_segs;
    while (keep && p->segs[keep - 1]->base >= w->offset)
        keep--;
    if (keep < p->n_segs)
        part_doom(p, keep, p->n_segs - keep);
    struct st_seg *g = keep ? p->segs[keep - 1] : NULL;
    if (g && g->serial == w->serial && g->end > w->offset) {
        g->bytes = w->bytes;
        g->end = w->offset;
        g->crc = w->crc;
        g->crc_known = w->crc_known;
        if (g->old_bytes > g->bytes)
            seal_old(g);
        while (g->n_idx && g->idx[g->n_idx - 1].position >= w->bytes)
            g->n_idx--;
        if (g->idx_chunks > 0)
            g->idx_chunks = -1; /* counted anew: those behind the end do not count */
    }
    if (g)
        g->sealed = 1; /* what comes next goes to a new file */
    for (size_t i = 0; i < ARRAY_LEN(p->hints); i++)
        if (p->hints[i].offset > w->offset)
            p->hints[i] = (struct st_hint){0};
    p->written = w->offset;
    if (p->next_serial < w->next_serial)
        p->next_serial = w->next_serial;
    if (p->log_start > w->offset)
        p->log_start = w->offset;
    p->last_epoch = g ? g->last_epoch : -1;
    if (atomic_load(&p->durable) > w->offset)
        atomic_store(&p->durable, w->offset);
    if (p->recovered_end > w->offset)
        p->recovered_end = w->offset;
    atomic_store(&p->dir->changed, 1);
}

int32_t st_truncate_prefix(chronik_store_part *p, int64_t offset, struct chronik_done done)
{
    struct wal_prefix w = {.pn = p->pn, .offset = offset};
    struct chronik_iov v = {&w, sizeof w};
    uint64_t number = 0;
    if (offset < 0)
        return CHRONIK_E_INVAL;
    pthread_mutex_lock(&p->wmu);
    w.nowal = p->nowal_seq != 0;
    w.next_serial = p->next_serial;
    int32_t r = offset <= p->log_start ? CHRONIK_PENDING
                : p->frozen            ? CHRONIK_E_BUSY
                                       : wal_admit(p->dir, sizeof w, RECLOG_URGENT);
    if (r > 0)
        r = wal_append(p->dir, WAL_TRUNCATE_PREFIX, &v, 1, NULL, -1, done, &number);
    if (r > 0) {
        pthread_mutex_lock(&p->mu);
        part_cut_prefix(p, offset);
        p->applied = number;
        pthread_mutex_unlock(&p->mu);
    }
    pthread_mutex_unlock(&p->wmu);
    if (r == CHRONIK_PENDING)
        return CHRONIK_DONE; /* it begins there or later already */
    return r < 0 ? r : CHRONIK_PENDING;
}

/* Where the cut lies: serial and bytes that stay of the segment that holds the offset. E_INVAL inside a batch. */
static int32_t cut_place(chronik_store_part *p, int64_t offset, struct wal_suffix *w)
{
    struct st_seg *g = NULL;
    int32_t r = CHRONIK_DONE;
    pthread_mutex_lock(&p->mu);
    for (uint32_t i = p->n_segs; i > 0 && !g; i--)
        if (p->segs[i - 1]->base < offset)
            g = p->segs[i - 1];
    if (g) {
        seg_ref(g);
        w->serial = g->serial;
        w->bytes = g->bytes;
    }
    pthread_mutex_unlock(&p->mu);
    if (!g)
        return r;
    if (g->end > offset) {
        struct chronik_file *f;
        struct st_batch b;
        r = seg_get(g, 0, &f);
        if (r > 0) {
            r = seg_locate(p, g, f, offset, w->bytes, 0, &w->bytes, &b);
            if (r > 0 && b.base < offset && b.last >= offset)
                r = CHRONIK_E_INVAL;
            if (r > 0) /* what stays is sealed as it was acknowledged, not as it may have become */
                r = seal_check(p, g, f, 0, w->bytes, 0);
            if (r > 0)
                r = seal_prefix(p, g, f, w->bytes, &w->crc);
            w->crc_known = r > 0 && g->crc_known;
            seg_put(g);
        }
    }
    seg_unref(g);
    return r;
}

/* The last epoch of what stays is found in its last batch. */
static void epoch_find(chronik_store_part *p)
{
    pthread_mutex_lock(&p->mu);
    struct st_seg *g = p->n_segs ? p->segs[p->n_segs - 1] : NULL;
    uint64_t bytes = g ? g->bytes : 0;
    int64_t end = g ? g->end : 0;
    if (g)
        seg_ref(g);
    pthread_mutex_unlock(&p->mu);
    if (!g)
        return;
    struct chronik_file *f;
    struct st_batch b;
    uint64_t position = 0;
    if (bytes && seg_get(g, 0, &f) > 0) {
        int32_t r = seg_locate(p, g, f, end - 1, bytes, 0, &position, &b);
        seg_put(g);
        if (r > 0 && position < bytes) {
            pthread_mutex_lock(&p->mu);
            g->last_epoch = p->last_epoch = b.epoch;
            pthread_mutex_unlock(&p->mu);
        }
    }
    seg_unref(g);
}

int32_t st_truncate_suffix(chronik_store_part *p, int64_t offset, struct chronik_done done)
{
    struct wal_suffix w = {.pn = p->pn, .offset = offset};
    struct chronik_iov v = {&w, sizeof w};
    uint64_t number = 0;
    unsigned off = atomic_load(&p->offline);
    if (off || p->dir->offline)
        return off ? -(int32_t)off : CHRONIK_E_OFFLINE;
    pthread_mutex_lock(&p->wmu);
    int32_t r = offset < 0             ? CHRONIK_E_INVAL
                : offset >= p->written ? CHRONIK_PENDING
                : p->frozen            ? CHRONIK_E_BUSY
                                       : cut_place(p, offset, &w);
    w.next_serial = p->next_serial;
    w.nowal = p->nowal_seq != 0;
    if (r > 0)
        r = wal_admit(p->dir, sizeof w, RECLOG_URGENT);
    if (r > 0) {
        pthread_mutex_lock(&p->mu);
        p->gen++; /* what is queued for announcement is void from here on */
        pthread_mutex_unlock(&p->mu);
        r = wal_append(p->dir, WAL_TRUNCATE_SUFFIX, &v, 1, p, offset, done, &number);
    }
    if (r > 0) {
        pthread_mutex_lock(&p->mu);
        part_cut_suffix(p, &w);
        p->applied = number;
        pthread_mutex_unlock(&p->mu);
        epoch_find(p);
    }
    pthread_mutex_unlock(&p->wmu);
    if (r > 0)
        sidecar_forget(p, offset);
    if (r == CHRONIK_PENDING)
        return CHRONIK_DONE;
    return r < 0 ? r : CHRONIK_PENDING;
}

int32_t st_roll(chronik_store_part *p)
{
    unsigned off = atomic_load(&p->offline);
    if (off || p->dir->offline)
        return off ? -(int32_t)off : CHRONIK_E_OFFLINE;
    pthread_mutex_lock(&p->wmu);
    int32_t r = part_roll(p);
    pthread_mutex_unlock(&p->wmu);
    return r;
}
