/* recover_tail.c: what segments hold behind the end that manifest and log know. In os and interval modes whole, valid
 * batches are taken up and the rest is cut; in group mode all of it goes. Runs once, at start, in the thread that calls
 * it. What it takes up is synced before the partition opens; what it cuts never comes back. */
#include "recover.h"

#include <stdio.h>
#include <stdlib.h>

int32_t seg_extend(chronik_store_part *p, struct st_seg *g, struct chronik_file *f, uint64_t limit, int *grew)
{
    const struct chronik_host *h = p->s->h;
    uint8_t *buf = NULL;
    uint64_t cap = 0, got = 0;
    struct st_batch b;
    *grew = 0;
    while (g->bytes < limit && batch_read(p->s, f, g->bytes, 0, &b) > 0) {
        if (b.base < g->end || b.bytes > limit - g->bytes || b.bytes > INT32_MAX)
            break;
        if (b.bytes > cap) {
            uint8_t *q = realloc(buf, b.bytes);
            if (!q)
                break;
            buf = q;
            cap = b.bytes;
        }
        if (h->file_read(f, buf, b.bytes, g->bytes, 0, &got) < 0 || got < b.bytes ||
            h->crc32c(0, buf + 21, b.bytes - 21) != b.crc)
            break;
        struct chronik_batch_info i = {b.base, b.last, b.max_ts, b.epoch, b.flags, b.bytes};
        seg_add(g, &i, buf);
        if (g->n_idx == ST_IDX_CHUNK)
            idx_spill(p, g);
        *grew = 1;
    }
    free(buf);
    p->written = g->end;
    p->last_epoch = g->last_epoch;
    return CHRONIK_DONE;
}

/* A failed sync leaves pages that look clean and are not on disk: only written again does a sync cover them. */
static int32_t write_again(chronik_store_part *p, struct chronik_file *f, uint64_t from, uint64_t to)
{
    enum { STEP = 256 * 1024 };
    uint8_t *buf = malloc(STEP);
    int32_t r = buf ? CHRONIK_DONE : CHRONIK_E_NOMEM;
    while (r > 0 && from < to) {
        uint64_t n = min_u64(STEP, to - from);
        r = util_read(p->s->h, f, buf, n, from);
        if (r > 0)
            r = util_write(p->s->h, f, buf, n, from);
        from += n;
    }
    free(buf);
    return r > 0 ? util_touch_size(p->s->h, f) : r;
}

/* The active segment's valid batches behind its end; the rest is cut, and the tail synced. */
static int32_t tail_extend(struct replay *y, chronik_store_part *p, struct st_seg *g)
{
    struct chronik_file *f;
    uint64_t size = 0, had = g->bytes;
    int grew = 0;
    int32_t r = seg_get(g, 0, &f);
    if (r == CHRONIK_E_NOTFOUND)
        return CHRONIK_DONE; /* found missing when it is read */
    if (r < 0)
        return r;
    r = p->s->h->file_size(f, &size);
    if (r > 0 && size > g->bytes) {
        r = seg_extend(p, g, f, size, &grew);
        if (r > 0 && size > g->bytes) {
            y->cut += size - g->bytes;
            util_log(p->s->h, CHRONIK_LOG_WARN,
                     "store %s: file data/%s/%020lld-%u.log, offset %llu: cut at the first bad batch (%llu bytes; %llu "
                     "recovered before it)",
                     y->d->path, g->folder, (long long)g->base, g->serial, (unsigned long long)g->bytes,
                     (unsigned long long)(size - g->bytes), (unsigned long long)(g->bytes - had));
            idx_cut(g);
            r = p->s->h->file_truncate(f, g->bytes);
        }
        if (r > 0 && y->d->suspect)
            r = write_again(p, f, had, g->bytes);
        if (r > 0)
            r = p->s->h->file_sync(f);
        if (r > 0 && grew) {
            char folder[ST_PATH];
            path_join(folder, "data", g->folder);
            r = p->s->h->dir_sync(p->s->h->ctx, y->d->no, folder);
            if (r > 0)
                r = p->s->h->dir_sync(p->s->h->ctx, y->d->no, "data");
        }
    }
    seg_put(g);
    return r;
}

int32_t part_extend(struct replay *y, chronik_store_part *p, uint32_t limit)
{
    struct st_seg *g = part_active(p);
    int32_t r = g && g->serial < limit ? tail_extend(y, p, g) : CHRONIK_DONE;
    while (r > 0 && p->next_serial < limit) { /* segments that were begun since */
        uint64_t size = 0;
        struct chronik_file *f;
        g = seg_new(p, p->next_serial, p->written);
        if (!g)
            return CHRONIK_E_NOMEM;
        r = seg_get(g, 0, &f);
        if (r > 0) {
            r = p->s->h->file_size(f, &size);
            seg_put(g);
        }
        if (r <= 0 || size == 0) {
            seg_unref(g);
            return r == CHRONIK_E_NOTFOUND ? CHRONIK_DONE : r;
        }
        struct st_seg *active = part_active(p);
        if (active)
            active->sealed = 1;
        g->created_ms = p->s->h->wall_ms(p->s->h->ctx);
        if (part_add_seg(p, g) < 0)
            return CHRONIK_E_NOMEM;
        p->next_serial++;
        p->made = p->entries_new = 1;
        r = tail_extend(y, p, g);
        if (g->bytes == 0)
            break;
    }
    return r;
}

int32_t part_cut(struct replay *y, chronik_store_part *p)
{
    const struct chronik_host *h = p->s->h;
    struct st_seg *g = part_active(p);
    struct chronik_file *f;
    char path[ST_PATH], folder[ST_PATH];
    uint64_t size = 0;
    int32_t r = g ? seg_get(g, 0, &f) : CHRONIK_E_NOTFOUND;
    if (r > 0) {
        r = h->file_size(f, &size);
        if (r > 0 && size > g->bytes) {
            y->cut += size - g->bytes;
            y->n_cut++;
            idx_cut(g);
            r = h->file_truncate(f, g->bytes);
            if (r > 0)
                r = h->file_sync(f);
        }
        seg_put(g);
    }
    if (r < 0 && r != CHRONIK_E_NOTFOUND)
        return r;
    g = seg_new(p, p->next_serial, p->written); /* the segment that had been begun */
    if (!g)
        return CHRONIK_E_NOMEM;
    seg_path(g, "log", path);
    path_join(folder, "data", g->folder);
    seg_unref(g);
    r = h->file_remove(h->ctx, y->d->no, path);
    y->n_cut += r > 0;
    if (r > 0)
        r = h->dir_sync(h->ctx, y->d->no, folder);
    return r == CHRONIK_E_NOTFOUND ? CHRONIK_DONE : r;
}

struct strays {
    struct replay *y;
    chronik_store_part *p;
    char name[8][64];
    uint32_t n;
};

static void stray_each(void *arg, const struct chronik_dirent *e)
{
    struct strays *x = arg;
    long long base;
    unsigned serial;
    char tail[8] = "";
    if (!e->is_dir && x->n < ARRAY_LEN(x->name) && strlen(e->name) < sizeof x->name[0] &&
        sscanf(e->name, "%20lld-%u.%5s", &base, &serial, tail) == 3 && serial >= x->p->next_serial)
        snprintf(x->name[x->n++], sizeof x->name[0], "%s", e->name);
}

int32_t strays_remove(struct replay *y, chronik_store_part *p)
{
    const struct chronik_host *h = p->s->h;
    struct strays x = {.y = y, .p = p};
    char folder[72], path[ST_PATH], file[ST_PATH + 70];
    part_folder(&p->topic, p->partition, p->pn, folder);
    path_join(path, "data", folder);
    int32_t r = h->dir_list(h->ctx, y->d->no, path, stray_each, &x);
    while (r > 0 && x.n) {
        for (uint32_t i = 0; i < x.n && r > 0; i++) {
            snprintf(file, sizeof file, "%s/%s", path, x.name[i]);
            util_log(h, CHRONIK_LOG_WARN, "store %s: file %s removed: it lies behind the end of the log (%lld)",
                     y->d->path, file, (long long)p->written);
            r = h->file_remove(h->ctx, y->d->no, file);
        }
        if (r > 0)
            r = h->dir_sync(h->ctx, y->d->no, path);
        x.n = 0;
        if (r > 0)
            r = h->dir_list(h->ctx, y->d->no, path, stray_each, &x);
    }
    return r == CHRONIK_E_NOTFOUND ? CHRONIK_DONE : r;
}
