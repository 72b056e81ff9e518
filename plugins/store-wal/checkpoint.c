/* checkpoint.c: the way from write-ahead log to segments: capture every partition's state, sync segments and folders,
 * wait until the log holds all that was captured, write the manifest, and only then let the log recycle. One at a time,
 * one directory after another, on the checkpoint executor. It must never trim what a durable manifest does not cover.
 */
#include "store.h"

#include <stdlib.h>

struct st_ckpt {
    chronik_store *s;
    uint32_t at; /* directory number */
    int final;
    int failed;
    void (*then)(void *arg);
    struct st_flush *flushes;
    struct chronik_task task; /* goes on when the log is durable */
    /* Of the directory in work. */
    struct st_image image;
    uint64_t wal_from, wal_bytes;
    chronik_store_part **parts;
    uint32_t n_parts;
    struct st_seg *doomed; /* leave the manifest with this checkpoint */
};

static void dir_next(struct st_ckpt *c);

/* ---- what is captured ---- */

static void parts_collect(struct st_ckpt *c, struct st_dir *d)
{
    chronik_store *s = c->s;
    pthread_mutex_lock(&s->mu);
    c->n_parts = 0;
    c->parts = calloc(s->n_parts + 1, sizeof(chronik_store_part *));
    for (uint32_t i = 0; c->parts && i < ST_HASH; i++)
        for (chronik_store_part *p = s->table[i]; p; p = p->next)
            if (p->dir == d) {
                part_ref(p);
                c->parts[c->n_parts++] = p;
            }
    pthread_mutex_unlock(&s->mu);
}

static void doomed_capture(struct st_ckpt *c, struct st_dir *d)
{
    chronik_store *s = c->s;
    struct st_seg **at = &s->doomed_new;
    pthread_mutex_lock(&s->mu);
    while (*at) {
        struct st_seg *g = *at;
        if (g->dir == d) {
            *at = g->next;
            g->next = c->doomed;
            c->doomed = g;
            manifest_doomed(&c->image, g);
        } else {
            at = &g->next;
        }
    }
    for (struct st_seg *g = s->doomed; g; g = g->next)
        if (g->dir == d)
            manifest_doomed(&c->image, g);
    pthread_mutex_unlock(&s->mu);
}

static void capture(struct st_ckpt *c, struct st_dir *d)
{
    struct reclog_stat st;
    reclog_stat(d->wal, &st);
    c->wal_from = st.end;
    c->wal_bytes = atomic_load(&d->wal_bytes);
    atomic_store(&d->changed, 0);
    atomic_store(&d->interval_due, 0);
    manifest_begin(&c->image, d, c->wal_from);
    doomed_capture(c, d); /* before the partitions: what is doomed here is in none of them any more */
    parts_collect(c, d);
    c->failed |= !c->parts;
    for (uint32_t i = 0; i < c->n_parts; i++) {
        chronik_store_part *p = c->parts[i];
        pthread_mutex_lock(&p->wmu); /* an append that has its number has also changed the state */
        pthread_mutex_lock(&p->mu);
        if (!p->deleted && p->dir == d)
            manifest_part(&c->image, p);
        p->nowal_captured = p->nowal_seq;
        pthread_mutex_unlock(&p->mu);
        pthread_mutex_unlock(&p->wmu);
    }
    c->failed |= c->image.failed;
}

/* ---- what is synced ---- */

/* E_BUSY, E_NOMEM: not yet. What else fails has taken the directory or the process with it. */
static int32_t segment_sync(struct st_seg *g)
{
    struct chronik_file *f;
    int32_t r = seg_get(g, 1, &f);
    if (r > 0) {
        r = MUTANT("segment-not-synced") ? CHRONIK_DONE : g->s->h->file_sync(f);
        seg_put(g);
    }
    if (r < 0 && r != CHRONIK_E_BUSY && r != CHRONIK_E_NOMEM)
        seg_fault(g, r == CHRONIK_E_NOSPC ? CHRONIK_E_IO : r, "syncing");
    return r;
}

static void segments_sync(struct st_ckpt *c, struct st_dir *d)
{
    struct st_seg *next;
    for (struct st_seg *g = seg_take_dirty(d); g; g = next) {
        next = g->dirty_next;
        atomic_store(&g->dirty, 0);
        int32_t r = segment_sync(g);
        c->failed |= r < 0;
        if (r == CHRONIK_E_BUSY || r == CHRONIK_E_NOMEM)
            seg_mark_dirty(g);
        seg_unref(g);
    }
}

/* Between checkpoints: a flush of the log waits for all that the disk was given before, so a checkpoint that hands over
 * hundreds of megabytes at once would stall every commit meanwhile. Segments go out in pieces as they grow. They are
 * not synced here: each sync of a growing file would be a commit of the file system's journal, between the log's own.
 */
static void segment_start_write(struct st_seg *g)
{
    struct chronik_file *f;
    if (seg_get(g, 0, &f) < 0)
        return;
    g->s->h->file_start_write(f, 0, 0);
    seg_put(g);
}

static void ahead_run(void *arg)
{
    chronik_store *s = arg;
    pthread_mutex_lock(&s->mu);
    struct st_seg *list = s->ahead, *next;
    s->ahead = NULL;
    pthread_mutex_unlock(&s->mu);
    for (struct st_seg *g = list; g; g = next) {
        next = g->ahead_next;
        pthread_mutex_lock(&s->mu);
        g->ahead_queued = 0;
        pthread_mutex_unlock(&s->mu);
        if (!atomic_load(&g->doomed) && !g->dir->offline)
            segment_start_write(g);
        seg_unref(g);
    }
}

void ckpt_ahead(struct st_seg *g)
{
    chronik_store *s = g->s;
    if (g->bytes < g->ahead + ST_AHEAD)
        return;
    g->ahead = g->bytes;
    pthread_mutex_lock(&s->mu);
    int post = !s->ahead;
    if (!g->ahead_queued) {
        g->ahead_queued = 1;
        seg_ref(g);
        g->ahead_next = s->ahead;
        s->ahead = g;
    } else {
        post = 0;
    }
    pthread_mutex_unlock(&s->mu);
    if (post)
        s->h->exec_post(s->exec, &s->ahead_task);
}

static void folders_sync(struct st_ckpt *c, struct st_dir *d)
{
    const struct chronik_host *h = c->s->h;
    char path[ST_PATH] = "data";
    int32_t r = CHRONIK_DONE;
    if (MUTANT("folder-not-synced"))
        return;
    if (atomic_exchange(&d->data_new, 0))
        r = h->dir_sync(h->ctx, d->no, path);
    for (uint32_t i = 0; i < c->n_parts && r > 0; i++) {
        chronik_store_part *p = c->parts[i];
        char folder[72];
        pthread_mutex_lock(&p->mu);
        uint32_t due = p->entries_new;
        p->entries_new = 0;
        pthread_mutex_unlock(&p->mu);
        if (!due)
            continue;
        part_folder(&p->topic, p->partition, p->pn, folder);
        path_join(path, "data", folder);
        r = h->dir_sync(h->ctx, d->no, path);
    }
    if (r < 0 && r != CHRONIK_E_NOTFOUND) {
        c->failed = 1;
        dir_fault(d, r == CHRONIK_E_NOSPC ? CHRONIK_E_IO : r, "syncing folder %s", path);
    }
}

/* ---- the end of a directory's checkpoint ---- */

static void doomed_return(struct st_ckpt *c)
{
    chronik_store *s = c->s;
    pthread_mutex_lock(&s->mu);
    while (c->doomed) {
        struct st_seg *g = c->doomed, **to = c->failed ? &s->doomed_new : &s->doomed;
        c->doomed = g->next;
        g->next = *to;
        *to = g;
    }
    pthread_mutex_unlock(&s->mu);
    if (!c->failed)
        reap_kick(s);
}

static void sidecars_want(struct st_ckpt *c)
{
    for (uint32_t i = 0; i < c->n_parts; i++) {
        chronik_store_part *p = c->parts[i];
        pthread_mutex_lock(&p->mu);
        int tell = p->opened && !p->deleted && p->written > p->told_sidecars;
        p->told_sidecars = p->written;
        int64_t end = p->written;
        void *cookie = p->cookie;
        pthread_mutex_unlock(&p->mu);
        if (tell && !c->final && c->s->ev.want_sidecars)
            c->s->ev.want_sidecars(c->s->ev.arg, cookie, end);
    }
}

/* On the checkpoint executor: everything captured is durable in log or segment. */
static void dir_finish(void *arg)
{
    struct st_ckpt *c = arg;
    struct st_dir *d = &c->s->dirs[c->at];
    if (!c->failed && !d->offline) {
        int32_t r = manifest_write(d, &c->image);
        if (r == CHRONIK_E_NOSPC || r == CHRONIK_E_NOMEM) {
            c->failed = 1;
            atomic_store(&d->interval_due, 1); /* soon again: what is deleted meanwhile waits for it */
            if (!d->full_told)
                util_log(c->s->h, CHRONIK_LOG_WARN, "store %s: no checkpoint: %s; free some space", d->path,
                         util_code_text(r));
            d->full_told = 1;
        } else if (r < 0) {
            c->failed = 1;
            dir_fault(d, r, "writing file manifest");
        }
    }
    if (!c->failed) {
        c->s->h->metric_add(c->s->m.checkpoints, 1);
        d->full_told = 0;
        d->wal_from = c->wal_from;
        atomic_store(&d->wal_checked, c->wal_bytes);
        reclog_trim(d->wal, c->wal_from);
        for (uint32_t i = 0; i < c->n_parts; i++)
            atomic_store(&c->parts[i]->nowal_done, c->parts[i]->nowal_captured);
    } else {
        atomic_store(&d->changed, 1);
    }
    doomed_return(c);
    sidecars_want(c);
    for (uint32_t i = 0; i < c->n_parts; i++)
        part_unref(c->parts[i]);
    free(c->parts);
    free(c->image.p);
    c->parts = NULL;
    c->n_parts = 0;
    c->image = (struct st_image){0};
    if (c->final && !c->failed && !d->offline)
        clean_write(d);
    c->at++;
    dir_next(c);
}

static void log_durable(void *arg, int32_t result)
{
    struct st_ckpt *c = arg;
    c->s->h->exec_post(c->s->exec, &c->task);
}

static void ckpt_end(struct st_ckpt *c)
{
    chronik_store *s = c->s;
    void (*then)(void *arg) = c->then;
    for (struct st_flush *f = c->flushes, *next; f; f = next) {
        next = f->next;
        f->done.fn(f->done.arg, c->failed ? CHRONIK_E_IO : CHRONIK_DONE);
        free(f);
    }
    s->ckpt = NULL;
    free(c);
    if (then)
        then(s);
    else if (!move_next(s) && atomic_load(&s->ckpt_wanted))
        s->h->exec_post(s->exec, &s->ckpt_task);
}

/* Takes the next directory that has something to write down. */
static void dir_next(struct st_ckpt *c)
{
    chronik_store *s = c->s;
    for (; c->at < s->n_dirs; c->at++) {
        struct st_dir *d = &s->dirs[c->at];
        if (d->offline || !d->wal || !(c->final || atomic_load(&d->changed)))
            continue;
        c->failed = 0;
        capture(c, d);
        if (MUTANT("recycle-before-manifest"))
            reclog_trim(d->wal, c->wal_from);
        segments_sync(c, d);
        folders_sync(c, d);
        c->task = (struct chronik_task){.fn = dir_finish, .arg = c};
        int32_t r = wal_wait(d, (struct chronik_done){log_durable, c});
        if (r < 0)
            c->failed = 1;
        if (r != CHRONIK_PENDING)
            s->h->exec_post(s->exec, &c->task);
        return;
    }
    ckpt_end(c);
}

static void ckpt_start(chronik_store *s, int final, void (*then)(void *arg))
{
    struct st_ckpt *c = calloc(1, sizeof *c);
    if (!c) {
        if (then)
            then(s);
        return;
    }
    c->s = s;
    c->final = final;
    if (final)
        move_next(s); /* the store closes: they are given up */
    c->then = then;
    s->ckpt = c;
    pthread_mutex_lock(&s->mu);
    c->flushes = s->flushes;
    s->flushes = NULL;
    pthread_mutex_unlock(&s->mu);
    dir_next(c);
}

static void ckpt_run(void *arg)
{
    chronik_store *s = arg;
    if (s->ckpt || atomic_load(&s->hold))
        return; /* its end posts this task again when it is wanted */
    atomic_store(&s->ckpt_wanted, 0);
    if (s->final_then)
        ckpt_start(s, 1, s->final_then);
    else
        ckpt_start(s, 0, NULL);
}

void ckpt_kick(chronik_store *s)
{
    if (s->started && !atomic_exchange(&s->ckpt_wanted, 1))
        s->h->exec_post(s->exec, &s->ckpt_task);
}

void ckpt_resume(chronik_store *s)
{
    s->h->exec_post(s->exec, &s->ckpt_task); /* its end looks after other moves */
}

int32_t st_flush(chronik_store *s, struct chronik_done done)
{
    struct st_flush *f = malloc(sizeof *f);
    if (!f)
        return CHRONIK_E_NOMEM;
    f->done = done;
    pthread_mutex_lock(&s->mu);
    f->next = s->flushes;
    s->flushes = f;
    pthread_mutex_unlock(&s->mu);
    ckpt_kick(s);
    return CHRONIK_PENDING;
}

/* Interval flushes, and a checkpoint now and then so that a recovery is short. */
static void timer_run(void *arg)
{
    chronik_store *s = arg;
    int64_t now = s->h->mono_ns(s->h->ctx), step = (int64_t)s->set.interval_ms * 1000000;
    int due = 0, changed = 0;
    metrics_refresh(s);
    for (uint32_t i = 0; i < s->n_dirs; i++) {
        due |= atomic_load(&s->dirs[i].interval_due) != 0;
        changed |= atomic_load(&s->dirs[i].changed) != 0;
    }
    if (due || (changed && now - s->last_ckpt_ns >= (int64_t)s->set.checkpoint_ms * 1000000)) {
        s->last_ckpt_ns = now;
        ckpt_kick(s);
    }
    s->h->exec_post_at(s->exec, &s->timer_task, now + step);
}

void ckpt_init(chronik_store *s)
{
    s->ckpt_task = (struct chronik_task){.fn = ckpt_run, .arg = s};
    s->ahead_task = (struct chronik_task){.fn = ahead_run, .arg = s};
    s->timer_task = (struct chronik_task){.fn = timer_run, .arg = s};
    s->last_ckpt_ns = s->h->mono_ns(s->h->ctx);
    s->h->exec_post_at(s->exec, &s->timer_task, s->last_ckpt_ns + (int64_t)s->set.interval_ms * 1000000);
}

void ckpt_final(chronik_store *s, void (*then)(void *arg))
{
    s->h->exec_cancel(s->exec, &s->timer_task);
    s->final_then = then;
    if (s->ckpt || atomic_load(&s->hold))
        atomic_store(&s->ckpt_wanted, 1);
    else
        ckpt_run(s);
}
