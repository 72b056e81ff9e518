/* segment.c: segments and their files: names, references, lazily opened files with a bound on how many stay open, the
 * list of those that were written since their last sync. A file is never closed while a range of it is pinned, nor
 * while it holds bytes that no sync has covered. Open files are under store->fmu, dirty lists under dir->dmu. */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>

struct st_seg *seg_new(chronik_store_part *p, uint32_t serial, int64_t base)
{
    struct st_seg *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->s = p->s;
    g->dir = p->dir;
    g->pn = p->pn;
    g->serial = serial;
    g->base = g->end = base;
    g->max_ts = g->max_ts_offset = g->ts_base = -1;
    g->last_epoch = -1;
    g->idx_next = ST_IDX_EVERY;
    g->crc_known = 1;
    atomic_init(&g->refs, 1);
    part_folder(&p->topic, p->partition, p->pn, g->folder);
    return g;
}

void seg_ref(struct st_seg *g)
{
    atomic_fetch_add(&g->refs, 1);
}

void seg_unref(struct st_seg *g)
{
    if (atomic_fetch_sub(&g->refs, 1) != 1)
        return;
    seg_close_file(g);
    free(g->idx);
    free(g->proved);
    free(g);
}

void seg_path(const struct st_seg *g, const char *suffix, char out[ST_PATH])
{
    snprintf(out, ST_PATH, "data/%s/%020lld-%u.%s", g->folder, (long long)g->base, g->serial, suffix);
}

/* ---- open files ---- */

void lru_init(chronik_store *s)
{
    s->lru.lru_prev = s->lru.lru_next = &s->lru;
}

static void lru_off(struct st_seg *g)
{
    if (!g->on_lru)
        return;
    g->lru_prev->lru_next = g->lru_next;
    g->lru_next->lru_prev = g->lru_prev;
    g->on_lru = 0;
}

static void lru_on(struct st_seg *g)
{
    struct st_seg *head = &g->s->lru;
    g->lru_next = head->lru_next;
    g->lru_prev = head;
    head->lru_next->lru_prev = g;
    head->lru_next = g;
    g->on_lru = 1;
}

/* Takes the file that was unused for the longest time and is clean; fmu held. NULL: none. */
static struct chronik_file *lru_evict(chronik_store *s)
{
    int tries = 0;
    for (struct st_seg *g = s->lru.lru_prev; g != &s->lru && tries < 64; g = g->lru_prev, tries++) {
        if (atomic_load(&g->dirty))
            continue;
        struct chronik_file *f = g->file;
        lru_off(g);
        g->file = NULL;
        s->n_open--;
        return f;
    }
    return NULL;
}

/* Opens it; when the process has no descriptor left, one of a file that nobody uses is given up for it. */
static int32_t seg_open(struct st_seg *g, int create, struct chronik_file **out)
{
    enum { TRIES = 8 };
    chronik_store *s = g->s;
    char path[ST_PATH];
    uint32_t flags = CHRONIK_FILE_READ | CHRONIK_FILE_WRITE | (create ? CHRONIK_FILE_CREATE : 0);
    seg_path(g, "log", path);
    int32_t r = s->h->file_open(s->h->ctx, g->dir->no, path, flags, out);
    for (int i = 0; r == CHRONIK_E_BUSY && i < TRIES; i++) {
        pthread_mutex_lock(&s->fmu);
        struct chronik_file *old = lru_evict(s);
        pthread_mutex_unlock(&s->fmu);
        if (!old)
            break;
        s->h->file_close(old);
        r = s->h->file_open(s->h->ctx, g->dir->no, path, flags, out);
    }
    if (r == CHRONIK_E_BUSY)
        ckpt_kick(s);
    return r;
}

int32_t seg_get(struct st_seg *g, int create, struct chronik_file **out)
{
    chronik_store *s = g->s;
    pthread_mutex_lock(&s->fmu);
    if (g->file) {
        lru_off(g);
        g->uses++;
        *out = g->file;
        pthread_mutex_unlock(&s->fmu);
        return CHRONIK_DONE;
    }
    struct chronik_file *old = s->n_open >= s->set.max_open ? lru_evict(s) : NULL;
    int crowded = s->n_open >= s->set.max_open, full = s->n_open >= s->set.most_open;
    pthread_mutex_unlock(&s->fmu);
    if (old)
        s->h->file_close(old);
    if (crowded)
        ckpt_kick(s); /* a sync makes files fit to be closed */
    if (full)
        return CHRONIK_E_BUSY;
    struct chronik_file *f = NULL;
    int32_t r = seg_open(g, create, &f);
    if (r < 0)
        return r;
    pthread_mutex_lock(&s->fmu);
    if (g->file) { /* another thread was faster */
        old = f;
        lru_off(g);
    } else {
        old = NULL;
        g->file = f;
        s->n_open++;
    }
    g->uses++;
    *out = g->file;
    pthread_mutex_unlock(&s->fmu);
    if (old)
        s->h->file_close(old);
    return CHRONIK_DONE;
}

void seg_put(struct st_seg *g)
{
    pthread_mutex_lock(&g->s->fmu);
    CHECK(g->uses > 0);
    if (--g->uses == 0)
        lru_on(g);
    pthread_mutex_unlock(&g->s->fmu);
}

void seg_close_file(struct st_seg *g)
{
    pthread_mutex_lock(&g->s->fmu);
    CHECK(g->uses == 0);
    struct chronik_file *f = g->file;
    lru_off(g);
    g->file = NULL;
    g->s->n_open -= f != NULL;
    pthread_mutex_unlock(&g->s->fmu);
    if (f)
        g->s->h->file_close(f);
}

/* ---- dirty ---- */

void seg_mark_dirty(struct st_seg *g)
{
    struct st_dir *d = g->dir;
    if (atomic_load(&g->dirty))
        return;
    pthread_mutex_lock(&d->dmu);
    if (!atomic_load(&g->dirty)) {
        atomic_store(&g->dirty, 1);
        seg_ref(g);
        g->dirty_next = d->dirty;
        d->dirty = g;
        atomic_fetch_add(&d->n_dirty, 1);
    }
    pthread_mutex_unlock(&d->dmu);
}

/* The whole list, the references with it. Each is dirty until its taker clears the flag, before it syncs. */
struct st_seg *seg_take_dirty(struct st_dir *d)
{
    pthread_mutex_lock(&d->dmu);
    struct st_seg *list = d->dirty;
    d->dirty = NULL;
    atomic_store(&d->n_dirty, 0);
    pthread_mutex_unlock(&d->dmu);
    return list;
}

void seg_add(struct st_seg *g, const struct chronik_batch_info *b, const uint8_t head[ST_SEAL_HEAD])
{
    idx_add(g, b);
    g->crc = seal_next(g, head, b->bytes);
    if (g->bytes == 0)
        g->ts_base = b->max_timestamp;
    if (b->max_timestamp > g->max_ts) {
        g->max_ts = b->max_timestamp;
        g->max_ts_offset = b->base_offset;
    }
    g->bytes += b->bytes;
    g->end = b->last_offset + 1;
    g->last_epoch = b->leader_epoch;
}
