/* move.c: moving a partition to another data directory: copy in the background, catch up, swap, remove the old copy. At
 * each instant of it a power cut leaves the partition whole in one directory, and a start knows which.
 *
 * The target's log first takes a number for the copy's folder (MOVE_BEGIN, durable before the folder exists: a folder
 * with a known number that no partition owns is the rest of a move, and goes). The low executor copies; each file is
 * synced. When little is left the partition is frozen (appends and cuts answer E_BUSY), the rest follows, all of it is
 * compared with the segments' checksums, and ADOPT, the partition as a manifest would tell it, goes into the target's
 * log. Once that is durable the handle is turned to the copy and DELETE goes into the source's log. Both logs may name
 * the partition until that is durable: the one that was moved more often (`moves`) is right. No checkpoint runs between
 * freeze and swap (s->hold), or it would trim ADOPT away, or leave out what is still needed. */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>

enum { PIECE = 1 << 20, LITTLE = 4 << 20, ROUNDS = 32 };

struct st_move {
    struct st_move *next; /* of those that wait for a checkpoint's end */
    chronik_store *s;
    chronik_store_part *p;
    struct st_dir *to;
    uint32_t pn;
    uint32_t made; /* its folder exists */
    uint32_t rounds;
    int32_t failed;
    struct st_seg **v; /* the copies; `bytes` and `crc` are what they hold */
    uint32_t n, cap;
    uint64_t number; /* of ADOPT */
    struct chronik_task task;
    struct chronik_done done, then_delete;
};

static void copy_run(void *arg);
static void freeze(void *arg);

static void folder_of(const struct st_move *m, char out[ST_PATH])
{
    char name[72];
    part_folder(&m->p->topic, m->p->partition, m->pn, name);
    path_join(out, "data", name);
}

static void go(struct st_move *m, struct chronik_exec *e, void (*fn)(void *arg))
{
    m->task = (struct chronik_task){.fn = fn, .arg = m};
    m->s->h->exec_post(e, &m->task);
}

/* Why the move cannot go on, or DONE. */
static int32_t obstacle(const struct st_move *m)
{
    chronik_store_part *p = m->p;
    if (m->failed < 0)
        return m->failed;
    if (atomic_load(&m->s->closing) || p->deleted)
        return CHRONIK_E_CANCELED;
    if (m->to->offline || p->dir->offline)
        return CHRONIK_E_OFFLINE;
    unsigned off = atomic_load(&p->offline);
    return off ? -(int32_t)off : CHRONIK_DONE;
}

/* ---- the end, one way or the other ---- */

static void frozen_set(struct st_move *m, uint32_t frozen)
{
    pthread_mutex_lock(&m->p->wmu);
    m->p->frozen = frozen;
    pthread_mutex_unlock(&m->p->wmu);
}

static void hold_end(chronik_store *s)
{
    atomic_store(&s->hold, 0);
    ckpt_resume(s);
}

static void end(struct st_move *m, int32_t result)
{
    chronik_store_part *p = m->p;
    pthread_mutex_lock(&p->wmu);
    p->frozen = 0;
    p->move = NULL;
    struct chronik_done then_delete = m->then_delete, done = m->done;
    pthread_mutex_unlock(&p->wmu);
    if (done.fn)
        done.fn(done.arg, result);
    if (then_delete.fn && st_part_delete(p, then_delete) < 0)
        then_delete.fn(then_delete.arg, CHRONIK_E_IO);
    for (uint32_t i = 0; i < m->n; i++)
        seg_unref(m->v[i]);
    part_unref(p);
    free(m->v);
    free(m);
}

/* What was copied goes: it is in no manifest, so it may go at once. */
static void give_up(struct st_move *m, int32_t result)
{
    chronik_store *s = m->s;
    for (uint32_t i = 0; i < m->n; i++) {
        seg_unref(m->v[i]);
        m->v[i] = NULL;
    }
    m->n = 0;
    struct st_seg *g = m->made ? seg_new(m->p, 0, 0) : NULL;
    if (g) {
        g->dir = m->to;
        part_folder(&m->p->topic, m->p->partition, m->pn, g->folder);
        g->folder_only = 1;
        atomic_store(&g->doomed, 1);
        if (atomic_load(&s->closing)) { /* no manifest would remember it */
            reap_folder(g);
            seg_unref(g);
        } else {
            pthread_mutex_lock(&s->mu);
            g->next = s->doomed;
            s->doomed = g;
            pthread_mutex_unlock(&s->mu);
            reap_kick(s);
        }
    }
    util_log(s->h, CHRONIK_LOG_WARN, "store %s: partition %d was not moved to %s: %s", m->p->dir->path, m->p->partition,
             m->to->path, util_code_text(result));
    end(m, result);
}

/* ---- copying ---- */

static struct st_seg *copy_find(const struct st_move *m, uint32_t serial)
{
    for (uint32_t i = 0; i < m->n; i++)
        if (m->v[i]->serial == serial)
            return m->v[i];
    return NULL;
}

static struct st_seg *copy_new(struct st_move *m, const struct st_seg *of)
{
    if (m->n == m->cap) {
        uint32_t cap = m->cap ? m->cap * 2 : 8;
        struct st_seg **v = realloc(m->v, cap * sizeof(struct st_seg *));
        if (!v)
            return NULL;
        m->v = v;
        m->cap = cap;
    }
    struct st_seg *c = seg_new(m->p, of->serial, of->base);
    if (!c)
        return NULL;
    c->dir = m->to;
    c->pn = m->pn;
    part_folder(&m->p->topic, m->p->partition, m->pn, c->folder);
    m->v[m->n++] = c;
    return c;
}

/* The first segment whose copy is not as long as it is, with a reference; *left gets the bytes that all lack. */
static struct st_seg *behind_find(struct st_move *m, uint64_t *left, uint64_t *bytes)
{
    chronik_store_part *p = m->p;
    struct st_seg *found = NULL;
    *left = 0;
    pthread_mutex_lock(&p->mu);
    for (uint32_t i = 0; i < p->n_segs; i++) {
        struct st_seg *g = p->segs[i], *c = copy_find(m, g->serial);
        if (c && c->bytes == g->bytes)
            continue;
        *left += c && c->bytes < g->bytes ? g->bytes - c->bytes : g->bytes;
        if (!found && (g->bytes || !c)) {
            found = g;
            *bytes = g->bytes;
            seg_ref(g);
        }
    }
    pthread_mutex_unlock(&p->mu);
    return found;
}

static int32_t bytes_copy(struct st_move *m, struct st_seg *g, struct st_seg *c, uint64_t n)
{
    const struct chronik_host *h = m->s->h;
    struct chronik_file *from = NULL, *to = NULL;
    uint8_t *buf = malloc(PIECE);
    int32_t r = buf ? seg_get(g, 0, &from) : CHRONIK_E_NOMEM;
    if (r > 0)
        r = seg_get(c, 1, &to);
    if (r > 0 && c->bytes == 0)
        r = h->file_truncate(to, 0);
    if (r > 0) {
        r = util_read(h, from, buf, n, c->bytes);
        r = r == CHRONIK_E_RANGE || r == CHRONIK_E_IO ? seg_damaged(m->p, g, c->bytes, r) : r;
    }
    if (r > 0)
        r = util_write(h, to, buf, n, c->bytes);
    if (r > 0) {
        c->crc = h->crc32c(c->crc, buf, n);
        c->bytes += n;
        if (c->bytes - c->ahead >= LITTLE) { /* not all of it at the end */
            r = h->file_sync(to);
            c->ahead = c->bytes;
        }
    }
    if (to)
        seg_put(c);
    if (from)
        seg_put(g);
    free(buf);
    return r;
}

/* One piece. 0: the copies are as long as the segments. */
static int32_t copy_piece(struct st_move *m, uint64_t *left)
{
    uint64_t bytes = 0;
    struct st_seg *g = behind_find(m, left, &bytes);
    if (!g)
        return CHRONIK_PENDING;
    struct st_seg *c = copy_find(m, g->serial);
    int32_t r = c || (c = copy_new(m, g)) ? CHRONIK_DONE : CHRONIK_E_NOMEM;
    if (r > 0 && c->bytes > bytes) { /* its suffix was cut meanwhile */
        c->bytes = c->ahead = 0;
        c->crc = 0;
    }
    if (r > 0 && bytes > c->bytes)
        r = bytes_copy(m, g, c, min_u64(PIECE, bytes - c->bytes));
    seg_unref(g);
    return r;
}

static int32_t copies_sync(struct st_move *m)
{
    int32_t r = CHRONIK_DONE;
    for (uint32_t i = 0; i < m->n && r > 0; i++) {
        struct chronik_file *f;
        if (m->v[i]->ahead == m->v[i]->bytes && m->v[i]->bytes)
            continue;
        r = seg_get(m->v[i], 1, &f);
        if (r > 0) {
            r = MUTANT("copy-not-synced") ? CHRONIK_DONE : m->s->h->file_sync(f);
            seg_put(m->v[i]);
        }
        m->v[i]->ahead = m->v[i]->bytes;
    }
    return r;
}

static int32_t folder_make(struct st_move *m)
{
    const struct chronik_host *h = m->s->h;
    char folder[ST_PATH];
    folder_of(m, folder);
    int32_t r = h->dir_make(h->ctx, m->to->no, folder);
    if (r == CHRONIK_E_EXISTS)
        r = CHRONIK_DONE;
    m->made = r > 0;
    return r > 0 ? h->dir_sync(h->ctx, m->to->no, "data") : r;
}

/* On the low executor. */
static void copy_run(void *arg)
{
    struct st_move *m = arg;
    uint64_t left = 0;
    int32_t r = obstacle(m);
    if (r > 0 && !m->made)
        r = folder_make(m);
    if (r > 0)
        r = copy_piece(m, &left);
    if (r > 0 && (left > LITTLE && m->rounds < ROUNDS)) {
        go(m, m->s->low, copy_run);
        return;
    }
    if (r >= 0)
        r = copies_sync(m);
    if (r < 0)
        give_up(m, r);
    else
        go(m, m->s->exec, freeze);
}

/* ---- frozen: on the checkpoint executor, no checkpoint running ---- */

static void thaw(struct st_move *m, int32_t result)
{
    frozen_set(m, 0);
    hold_end(m->s);
    if (result < 0)
        give_up(m, result);
    else
        go(m, m->s->low, copy_run);
}

/* The checks that make a copy one. *bad: a segment that is not what was acknowledged. wmu held. */
static int32_t copies_fit(struct st_move *m, struct st_seg **bad)
{
    chronik_store_part *p = m->p;
    for (uint32_t i = 0; i < p->n_segs; i++) {
        struct st_seg *g = p->segs[i], *c = copy_find(m, g->serial);
        if (!c || c->bytes != g->bytes)
            return CHRONIK_E_STALE;
        if (g->crc_known && c->crc != g->crc) {
            *bad = g;
            seg_ref(g);
            return CHRONIK_E_CORRUPT;
        }
    }
    return CHRONIK_DONE;
}

/* In the order of the partition's list, with all that is known of the segments; others are dropped. wmu held. */
static int32_t copies_complete(struct st_move *m)
{
    chronik_store_part *p = m->p;
    struct st_seg **v = calloc(p->n_segs + 1, sizeof(struct st_seg *));
    if (!v)
        return CHRONIK_E_NOMEM;
    pthread_mutex_lock(&p->mu);
    for (uint32_t i = 0; i < p->n_segs; i++) {
        const struct st_seg *g = p->segs[i];
        struct st_seg *c = v[i] = copy_find(m, g->serial);
        c->end = g->end;
        c->max_ts = g->max_ts;
        c->max_ts_offset = g->max_ts_offset;
        c->ts_base = g->ts_base;
        c->created_ms = g->created_ms;
        c->last_epoch = g->last_epoch;
        c->sealed = g->sealed;
        c->crc_known = 1;
        c->idx_next = c->bytes;
        c->cut_pending = !g->sealed;
        seg_ref(c);
    }
    uint32_t n = p->n_segs;
    pthread_mutex_unlock(&p->mu);
    for (uint32_t i = 0; i < m->n; i++) {
        struct st_seg *c = m->v[i];
        char path[ST_PATH];
        int wanted = 0;
        for (uint32_t k = 0; k < n; k++)
            wanted |= v[k] == c;
        seg_path(c, "log", path);
        seg_unref(c);
        if (!wanted)
            m->s->h->file_remove(m->s->h->ctx, m->to->no, path); /* else the folder's end takes it */
    }
    free(m->v);
    m->v = v;
    m->n = n;
    m->cap = n + 1;
    return CHRONIK_DONE;
}

/* A small file as it is: indexes, which verify themselves, and sidecars. One that cannot be copied is made again. */
static void small_copy(struct st_move *m, const char *from, const char *to, int sync)
{
    const struct chronik_host *h = m->s->h;
    struct chronik_file *a = NULL, *b = NULL;
    uint64_t size = 0, got = 0;
    uint8_t *buf = NULL;
    int32_t r = h->file_open(h->ctx, m->p->dir->no, from, CHRONIK_FILE_READ, &a);
    if (r > 0)
        r = h->file_size(a, &size);
    if (r > 0 && size && (buf = malloc(size)))
        r = h->file_read(a, buf, size, 0, 0, &got);
    if (r > 0 && buf)
        r = h->file_open(h->ctx, m->to->no, to, CHRONIK_FILE_WRITE | CHRONIK_FILE_CREATE, &b);
    if (r > 0 && b)
        r = util_write(h, b, buf, got, 0);
    if (r > 0 && b && sync)
        h->file_sync(b);
    if (a)
        h->file_close(a);
    if (b)
        h->file_close(b);
    free(buf);
}

static void smalls_copy(struct st_move *m)
{
    chronik_store_part *p = m->p;
    char from[ST_PATH], to[ST_PATH], a[ST_PATH + 50], b[ST_PATH + 50], name[72];
    for (uint32_t i = 0; i < m->n; i++) {
        seg_path(p->segs[i], "idx", from);
        seg_path(m->v[i], "idx", to);
        small_copy(m, from, to, 0);
        m->v[i]->idx_chunks = -1;
    }
    part_folder(&p->topic, p->partition, p->pn, name);
    path_join(from, "data", name);
    folder_of(m, to);
    pthread_mutex_lock(&p->smu);
    sidecar_load(p);
    for (uint32_t i = 0; i < p->n_sidecars; i++) {
        sidecar_name(name, p->sidecars[i].kind, p->sidecars[i].offset);
        snprintf(a, sizeof a, "%s/%s", from, name);
        snprintf(b, sizeof b, "%s/%s", to, name);
        small_copy(m, a, b, 1);
    }
    pthread_mutex_unlock(&p->smu);
}

/* ---- the swap ---- */

static void old_gone(void *arg, int32_t result)
{
    struct st_move *m = arg;
    end(m, CHRONIK_DONE);
}

/* The handle is turned: what was the partition's becomes the old copy, which is doomed with the source's DELETE. */
static void state_swap(struct st_move *m)
{
    chronik_store_part *p = m->p;
    struct st_dir *was = p->dir;
    pthread_mutex_lock(&p->smu);
    pthread_mutex_lock(&p->mu);
    part_doom_folder(p);
    part_doom(p, 0, p->n_segs);
    free(p->segs);
    p->segs = m->v;
    p->n_segs = m->n;
    p->cap_segs = m->cap;
    m->v = NULL;
    m->n = 0;
    p->dir = m->to;
    p->pn = m->pn;
    p->moves++;
    p->made = 1;
    p->entries_new = 0;
    p->folder_synced = 1;
    p->applied = m->number;
    p->nowal_captured = p->nowal_seq;
    atomic_store(&p->nowal_done, p->nowal_seq);
    p->announce_mark = 0; /* the other directory's executor counts its own */
    memset(p->hints, 0, sizeof p->hints);
    pthread_mutex_unlock(&p->mu);
    pthread_mutex_unlock(&p->smu);
    pthread_mutex_lock(&m->s->mu);
    was->parts--;
    m->to->parts++;
    pthread_mutex_unlock(&m->s->mu);
    atomic_store(&m->to->changed, 1);
    atomic_store(&was->changed, 1);
}

static void swap(void *arg)
{
    struct st_move *m = arg;
    chronik_store_part *p = m->p;
    struct st_dir *was = p->dir;
    uint32_t pn = p->pn;
    struct chronik_iov v = {&pn, sizeof pn};
    pthread_mutex_lock(&p->wmu);
    state_swap(m);
    int32_t r = wal_append(was, WAL_DELETE, &v, 1, NULL, -1, (struct chronik_done){old_gone, m}, NULL);
    pthread_mutex_unlock(&p->wmu);
    hold_end(m->s);
    ckpt_kick(m->s);
    if (r <
        0) /* memory: the next start knows by `moves` which one is right, and the source's manifest forgets the old */
        end(m, CHRONIK_DONE);
}

static void adopted(void *arg, int32_t result)
{
    struct st_move *m = arg;
    go(m, m->s->exec, swap);
}

static int32_t adopt(struct st_move *m)
{
    chronik_store_part *p = m->p;
    struct st_image image = {0};
    struct st_seg *bad = NULL;
    pthread_mutex_lock(&p->wmu);
    int32_t r = copies_fit(m, &bad);
    if (r > 0)
        r = copies_complete(m);
    pthread_mutex_unlock(&p->wmu);
    if (bad) {
        seg_damaged(p, bad, 0, CHRONIK_E_STALE);
        seg_unref(bad);
    }
    if (r > 0) {
        char folder[ST_PATH];
        folder_of(m, folder);
        smalls_copy(m);
        r = m->s->h->dir_sync(m->s->h->ctx, m->to->no, folder);
    }
    if (r < 0)
        return r;
    manifest_adopt(&image, p, m->pn, m->v, m->n);
    struct chronik_iov v = {image.p, image.n};
    r = image.failed ? CHRONIK_E_NOMEM : wal_admit(m->to, image.n, RECLOG_URGENT);
    if (r > 0)
        r = wal_append(m->to, WAL_ADOPT, &v, 1, NULL, -1, (struct chronik_done){adopted, m}, &m->number);
    free(image.p);
    return r;
}

/* Everything of the partition is durable in the source, nothing comes any more. */
static void rest_copy(void *arg)
{
    struct st_move *m = arg;
    uint64_t left = 0;
    int32_t r = obstacle(m);
    while (r > 0) {
        r = copy_piece(m, &left);
        if (r > 0 && left > 4 * (uint64_t)LITTLE && m->rounds < ROUNDS) { /* much came before the freeze */
            m->rounds++;
            thaw(m, CHRONIK_DONE);
            return;
        }
    }
    if (r == CHRONIK_PENDING)
        r = copies_sync(m);
    if (r > 0)
        r = adopt(m);
    if (r < 0)
        thaw(m, r);
}

static void source_durable(void *arg, int32_t result)
{
    struct st_move *m = arg;
    go(m, m->s->exec, rest_copy);
}

static void freeze(void *arg)
{
    struct st_move *m = arg;
    chronik_store *s = m->s;
    if (atomic_load(&s->closing)) {
        give_up(m, CHRONIK_E_CANCELED);
        return;
    }
    if (s->ckpt || atomic_load(&s->hold)) { /* its end takes it up */
        m->next = s->moves;
        s->moves = m;
        return;
    }
    atomic_store(&s->hold, 1);
    frozen_set(m, 1);
    int32_t r = obstacle(m);
    if (r > 0)
        r = wal_wait(m->p->dir, (struct chronik_done){source_durable, m});
    if (r < 0)
        thaw(m, r);
    else if (r > 0)
        source_durable(m, r);
}

int move_next(chronik_store *s)
{
    while (s->moves && !atomic_load(&s->hold)) { /* one that fails at once lets the next one go */
        struct st_move *m = s->moves;
        s->moves = m->next;
        freeze(m);
    }
    return atomic_load(&s->hold) != 0;
}

/* ---- the beginning ---- */

static void numbered(void *arg, int32_t result)
{
    struct st_move *m = arg;
    go(m, m->s->low, copy_run);
}

int32_t st_part_move(chronik_store_part *p, uint32_t dir, struct chronik_done done)
{
    chronik_store *s = p->s;
    unsigned off = atomic_load(&p->offline);
    if (dir >= s->n_dirs)
        return CHRONIK_E_INVAL;
    if (off || p->dir->offline || s->dirs[dir].offline || !s->dirs[dir].wal)
        return off ? -(int32_t)off : CHRONIK_E_OFFLINE;
    struct st_move *m = calloc(1, sizeof *m);
    if (!m)
        return CHRONIK_E_NOMEM;
    m->s = s;
    m->p = p;
    m->to = &s->dirs[dir];
    m->done = done;
    m->pn = atomic_fetch_add(&m->to->next_pn, 1);
    struct chronik_iov v = {&m->pn, sizeof m->pn};
    pthread_mutex_lock(&p->wmu);
    int32_t r = p->deleted        ? CHRONIK_E_CLOSED
                : p->move         ? CHRONIK_E_BUSY
                : p->dir == m->to ? CHRONIK_PENDING
                                  : wal_admit(m->to, sizeof m->pn, RECLOG_URGENT);
    if (r > 0) {
        part_ref(p);
        p->move = m;
        r = wal_append(m->to, WAL_MOVE_BEGIN, &v, 1, NULL, -1, (struct chronik_done){numbered, m}, NULL);
        if (r < 0) {
            p->move = NULL;
            part_unref(p);
        }
    } else if (r == CHRONIK_PENDING) {
        r = CHRONIK_DONE + 1; /* it is there */
    }
    pthread_mutex_unlock(&p->wmu);
    if (r == CHRONIK_DONE)
        return CHRONIK_PENDING;
    free(m);
    return r > 0 ? CHRONIK_DONE : r;
}

int move_delete_later(chronik_store_part *p, struct chronik_done done)
{
    if (!p->move || !p->frozen)
        return 0;
    p->move->then_delete = done;
    return 1;
}
