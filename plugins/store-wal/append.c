/* append.c: the hot path: batches go to the active segment (page cache) and, in group mode, into the gathering group of
 * the write-ahead log; on the caller's thread, without waiting for a disk. One writer a partition at a time (wmu). It
 * must never advance the written end before both have taken the bytes. */
#include "store.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { FEW_BATCHES = 32, FEW_IOV = 32 };

void dir_suspect(struct st_dir *d)
{
    struct chronik_file *f = NULL;
    const struct chronik_host *h = d->s->h;
    if (h->file_open(h->ctx, d->no, "suspect", CHRONIK_FILE_WRITE | CHRONIK_FILE_CREATE, &f) > 0)
        h->file_close(f);
}

int32_t dir_fault(struct st_dir *d, int32_t code, const char *fmt, ...)
{
    chronik_store *s = d->s;
    char what[ST_PATH + 100], text[600];
    va_list ap;
    if (code == CHRONIK_E_NOSPC || code == CHRONIK_E_BUSY || code == CHRONIK_E_NOMEM)
        return code;
    uint32_t online = 0;
    dir_suspect(d);
    for (uint32_t i = 0; i < s->n_dirs; i++)
        online += !s->dirs[i].offline;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    snprintf(text, sizeof text, "store %s: %s failed: %s; check the disk%s", d->path, what, util_code_text(code),
             online > 1 ? ", then restart to bring the directory back" : ", then start again");
    if (online <= 1 && !d->offline)
        s->h->fatal(s->h->ctx, 74, text);
    if (!d->offline) {
        d->offline = 1;
        s->h->dir_failed(s->h->ctx, d->no, text);
    }
    return CHRONIK_E_OFFLINE;
}

int32_t seg_fault(const struct st_seg *g, int32_t code, const char *what)
{
    char path[ST_PATH];
    seg_path(g, "log", path);
    return dir_fault(g->dir, code, "%s file %s at offset %llu", what, path, (unsigned long long)g->bytes);
}

static uint64_t batches_bytes(const struct chronik_append *a)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < a->n_batches; i++)
        n += ((const struct chronik_batch_info *)(const void *)((const char *)a->batches + (size_t)i * a->batch_stride))
                 ->bytes;
    return n;
}

static const struct chronik_batch_info *batch_at(const struct chronik_append *a, uint32_t i)
{
    return (const struct chronik_batch_info *)(const void *)((const char *)a->batches + (size_t)i * a->batch_stride);
}

static int32_t append_valid(const chronik_store_part *p, const struct chronik_append *a, uint64_t bytes)
{
    uint64_t n = 0;
    int64_t end = p->written;
    for (uint32_t i = 0; i < a->n_iov; i++)
        n += a->iov[i].n;
    if (a->n_batches == 0 || n != bytes || a->flush > CHRONIK_FLUSH_OS)
        return CHRONIK_E_INVAL;
    for (uint32_t i = 0; i < a->n_batches; i++) {
        const struct chronik_batch_info *b = batch_at(a, i);
        if (b->base_offset < end || b->last_offset < b->base_offset || b->bytes < ST_BATCH_HEAD)
            return CHRONIK_E_INVAL;
        end = b->last_offset + 1;
    }
    return CHRONIK_DONE;
}

int32_t part_roll(chronik_store_part *p)
{
    struct st_seg *g = part_active(p);
    if (!g || g->bytes == 0)
        return CHRONIK_DONE;
    if (p->frozen)
        return CHRONIK_E_BUSY;
    struct wal_roll w = {
        .pn = p->pn, .serial = g->serial, .bytes = g->bytes, .end = g->end, .nowal = p->nowal_seq != 0};
    struct chronik_iov v = {&w, sizeof w};
    uint64_t number = 0;
    int32_t r = wal_admit(p->dir, sizeof w, 0);
    if (r > 0)
        r = wal_append(p->dir, WAL_ROLL, &v, 1, NULL, -1, (struct chronik_done){0}, &number);
    if (r < 0)
        return r;
    pthread_mutex_lock(&p->mu);
    g->sealed = 1;
    p->applied = number;
    pthread_mutex_unlock(&p->mu);
    idx_spill(p, g);
    atomic_store(&p->dir->changed, 1);
    ckpt_kick(p->s); /* sidecars are asked for behind a checkpoint */
    return CHRONIK_DONE;
}

/* The partition's folder, made with its first segment. */
static int32_t folder_make(chronik_store_part *p)
{
    char path[ST_PATH], folder[72];
    if (p->made)
        return CHRONIK_DONE;
    part_folder(&p->topic, p->partition, p->pn, folder);
    snprintf(path, sizeof path, "data/%s", folder);
    int32_t r = p->s->h->dir_make(p->s->h->ctx, p->dir->no, path);
    if (r < 0 && r != CHRONIK_E_EXISTS)
        return dir_fault(p->dir, r, "making folder %s", path);
    p->made = 1;
    atomic_store(&p->dir->data_new, 1);
    return CHRONIK_DONE;
}

/* The segment for the next bytes: the active one, or a new one when there is none or it is full. wmu held. */
static int32_t append_segment(chronik_store_part *p, const struct chronik_append *a, uint64_t bytes,
                              struct st_seg **out)
{
    struct st_seg *g = part_active(p);
    const struct chronik_batch_info *first = batch_at(a, 0), *last = batch_at(a, a->n_batches - 1);
    if (g && g->bytes && (g->bytes + bytes > p->s->set.segment_max || last->last_offset - g->base > UINT32_MAX)) {
        int32_t r = part_roll(p);
        if (r < 0)
            return r;
        g = NULL;
    }
    if (g) {
        *out = g;
        return CHRONIK_DONE;
    }
    int32_t r = folder_make(p);
    if (r < 0)
        return r;
    g = seg_new(p, p->next_serial, first->base_offset);
    if (!g)
        return CHRONIK_E_NOMEM;
    g->created_ms = p->s->h->wall_ms(p->s->h->ctx);
    g->cut_pending = 1; /* a file of that name may be left from an append that no log knows */
    pthread_mutex_lock(&p->mu);
    r = part_add_seg(p, g);
    p->next_serial += r > 0;
    p->entries_new = 1;
    pthread_mutex_unlock(&p->mu);
    if (r < 0)
        seg_unref(g);
    *out = g;
    return r;
}

/* The one sync in an append: once in the life of a directory, when flush modes are mixed at run time (start has marked
 * it when chronik.flush is not group). Without it a power cut could bring back bytes that a recovery had passed over.
 */
int32_t os_mode_mark(struct st_dir *d)
{
    struct chronik_file *f = NULL;
    if (d->os_marked)
        return CHRONIK_DONE;
    int32_t r = d->s->h->file_open(d->s->h->ctx, d->no, "os-mode", CHRONIK_FILE_WRITE | CHRONIK_FILE_CREATE, &f);
    if (r < 0)
        return r;
    d->s->h->file_close(f);
    r = d->s->h->dir_sync(d->s->h->ctx, d->no, "");
    if (r > 0)
        d->os_mode = d->os_marked = 1;
    return r;
}

static int32_t os_mode_allowed(struct st_dir *d)
{
    int32_t r = os_mode_mark(d);
    return r < 0 ? dir_fault(d, r, "making file os-mode") : r;
}

static int32_t segment_write(chronik_store_part *p, struct st_seg *g, const struct chronik_append *a)
{
    struct chronik_file *f;
    int32_t r = seg_get(g, 1, &f);
    if (r < 0)
        return r;
    seg_mark_dirty(g);
    if (g->cut_pending) {
        uint64_t size = 0;
        r = p->s->h->file_size(f, &size);
        if (r > 0 && size > g->bytes)
            r = p->s->h->file_truncate(f, g->bytes);
        g->cut_pending = r < 0;
    }
    if (r > 0)
        r = p->s->h->file_write(f, a->iov, a->n_iov, g->bytes);
    seg_put(g);
    return r;
}

static int32_t log_write(chronik_store_part *p, const struct st_seg *g, const struct chronik_append *a, int64_t end,
                         uint64_t *number)
{
    struct wal_append_head head = {.pn = p->pn,
                                   .serial = g->serial,
                                   .position = g->bytes,
                                   .n_batches = a->n_batches,
                                   .base = g->base,
                                   .first = batch_at(a, 0)->base_offset,
                                   .created_ms = g->created_ms};
    struct wal_batch few_b[FEW_BATCHES], *b = few_b;
    struct chronik_iov few_v[FEW_IOV], *v = few_v;
    int32_t r = CHRONIK_E_NOMEM;
    if (a->n_batches > FEW_BATCHES)
        b = malloc(a->n_batches * sizeof *b);
    if (a->n_iov + 2 > FEW_IOV)
        v = malloc((a->n_iov + 2) * sizeof *v);
    if (b && v) {
        for (uint32_t i = 0; i < a->n_batches; i++) {
            const struct chronik_batch_info *x = batch_at(a, i);
            b[i] = (struct wal_batch){x->base_offset,  x->last_offset, x->max_timestamp,
                                      x->leader_epoch, x->flags,       x->bytes};
        }
        v[0] = (struct chronik_iov){&head, sizeof head};
        v[1] = (struct chronik_iov){b, a->n_batches * sizeof *b};
        memcpy(v + 2, a->iov, a->n_iov * sizeof *v);
        r = wal_append(p->dir, WAL_APPEND, v, a->n_iov + 2, p, end, (struct chronik_done){0}, number);
    }
    if (b != few_b)
        free(b);
    if (v != few_v)
        free(v);
    return r;
}

/* Copies the first bytes of the batch that begins at `*at` of the pieces from `*v` on, and steps over it. */
static void head_take(const struct chronik_iov **v, uint64_t *at, uint64_t bytes, uint8_t head[ST_SEAL_HEAD])
{
    for (uint64_t done = 0; done < bytes;) {
        uint64_t n = min_u64((*v)->n - *at, bytes - done);
        if (done < ST_SEAL_HEAD && n)
            memcpy(head + done, (const uint8_t *)(*v)->p + *at, min_u64(n, ST_SEAL_HEAD - done));
        done += n;
        *at += n;
        if (*at == (*v)->n) {
            (*v)++;
            *at = 0;
        }
    }
}

/* Makes the batches part of the state; mu held. */
static void append_apply(chronik_store_part *p, struct st_seg *g, const struct chronik_append *a, uint64_t number)
{
    part_hint(p, HINT_APPEND, g->serial, batch_at(a, 0)->base_offset, g->bytes);
    const struct chronik_iov *v = a->iov;
    uint64_t at = 0;
    for (uint32_t i = 0; i < a->n_batches; i++) {
        uint8_t head[ST_SEAL_HEAD];
        head_take(&v, &at, batch_at(a, i)->bytes, head);
        seg_add(g, batch_at(a, i), head);
    }
    p->written = g->end;
    p->last_epoch = g->last_epoch;
    if (number)
        p->applied = number;
    if (a->flush != CHRONIK_FLUSH_GROUP && atomic_load(&p->durable) < p->written)
        atomic_store(&p->durable, p->written);
}

/* Bytes of this partition that no log knows and no sync covers must not lie below what group mode announces. */
static int32_t group_allowed(chronik_store_part *p)
{
    if (p->nowal_seq == atomic_load(&p->nowal_done))
        return CHRONIK_DONE;
    ckpt_kick(p->s);
    return CHRONIK_E_BUSY;
}

static int32_t part_append(chronik_store_part *p, const struct chronik_append *a)
{
    uint64_t bytes = batches_bytes(a), number = 0;
    struct st_seg *g = NULL;
    int group = a->flush == CHRONIK_FLUSH_GROUP;
    int32_t r = append_valid(p, a, bytes);
    if (r > 0 && p->frozen)
        r = CHRONIK_E_BUSY;
    if (r > 0)
        r = group ? group_allowed(p) : os_mode_allowed(p->dir);
    if (r > 0 && group)
        r = wal_admit(p->dir, bytes + 256, 0);
    if (r > 0)
        r = append_segment(p, a, bytes, &g);
    if (r < 0)
        return r;
    p->nowal_seq += !group;
    r = segment_write(p, g, a);
    if (r < 0)
        r = seg_fault(g, r, "writing");
    if (r > 0 && group)
        r = log_write(p, g, a, batch_at(a, a->n_batches - 1)->last_offset + 1, &number);
    if (r < 0) {
        g->cut_pending = 1; /* what stands behind the end now is nobody's */
        return r;
    }
    pthread_mutex_lock(&p->mu);
    append_apply(p, g, a, number);
    pthread_mutex_unlock(&p->mu);
    if (g->n_idx == ST_IDX_CHUNK)
        idx_spill(p, g);
    if (a->flush == CHRONIK_FLUSH_INTERVAL)
        atomic_store_explicit(&p->dir->interval_due, 1, memory_order_relaxed);
    if (group)
        ckpt_ahead(g);
    atomic_store_explicit(&p->dir->changed, 1, memory_order_relaxed);
    return CHRONIK_DONE;
}

/* A line a minute, however many appends are refused. */
static void refused_full(struct st_dir *d)
{
    chronik_store *s = d->s;
    int64_t now = s->h->mono_ns(s->h->ctx);
    long long told = atomic_load(&d->refused_told);
    s->h->metric_add(s->m.nospc, 1);
    if ((told && now - told < 60 * INT64_C(1000000000)) ||
        !atomic_compare_exchange_strong(&d->refused_told, &told, now))
        return;
    util_log(s->h, CHRONIK_LOG_WARN,
             "store %s: the disk is full: appends are refused, reads and deletes go on; free space or lower retention",
             d->path);
}

int32_t st_append(chronik_store *s, struct chronik_append *a, uint32_t n, uint32_t stride)
{
    int32_t first = CHRONIK_DONE;
    for (uint32_t i = 0; i < n; i++) {
        struct chronik_append *x = (struct chronik_append *)(void *)((char *)a + (size_t)i * stride);
        chronik_store_part *p = x->part;
        unsigned off = atomic_load(&p->offline);
        if (off || p->dir->offline) {
            x->result = off ? -(int32_t)off : CHRONIK_E_OFFLINE;
        } else if (atomic_load(&s->closing) || p->deleted) {
            x->result = CHRONIK_E_CLOSED;
        } else {
            pthread_mutex_lock(&p->wmu);
            x->result = part_append(p, x);
            pthread_mutex_unlock(&p->wmu);
        }
        if (x->result == CHRONIK_E_BUSY)
            s->h->metric_add(s->m.busy, 1);
        else if (x->result == CHRONIK_E_NOSPC)
            refused_full(p->dir);
        if (x->result < 0 && first > 0)
            first = x->result;
    }
    return first;
}
