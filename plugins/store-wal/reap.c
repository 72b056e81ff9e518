/* reap.c: removing the files of doomed segments: only those that no manifest names and nobody pins, 8 MiB a step from
 * the end (unlinking a big file at once stalls every sync on the disk), on the low executor. */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>

/* A doomed segment that nobody uses: a file first, a folder only when none of its files is left. */
static struct st_seg *reap_take(chronik_store *s)
{
    struct st_seg *found = NULL;
    pthread_mutex_lock(&s->mu);
    for (struct st_seg **at = &s->doomed; *at && !found; at = &(*at)->next) {
        struct st_seg *g = *at;
        if (atomic_load(&g->refs) != 1)
            continue;
        int busy = 0;
        for (const struct st_seg *o = s->doomed; g->folder_only && o; o = o->next)
            busy |= o != g && o->dir == g->dir && strcmp(o->folder, g->folder) == 0;
        if (busy)
            continue;
        found = g;
        *at = g->next;
        break;
    }
    pthread_mutex_unlock(&s->mu);
    return found;
}

static void reap_fileless(struct st_seg *g, const char *suffix)
{
    char path[ST_PATH];
    seg_path(g, suffix, path);
    g->s->h->file_remove(g->s->h->ctx, g->dir->no, path); /* may never have existed */
}

struct names {
    char (*v)[80];
    uint32_t n, cap;
};

static void name_each(void *arg, const struct chronik_dirent *e)
{
    struct names *x = arg;
    if (e->is_dir || strlen(e->name) >= sizeof x->v[0])
        return;
    if (x->n == x->cap) {
        uint32_t cap = x->cap ? x->cap * 2 : 16;
        char(*v)[80] = realloc(x->v, cap * sizeof *v);
        if (!v)
            return;
        x->v = v;
        x->cap = cap;
    }
    snprintf(x->v[x->n++], sizeof x->v[0], "%s", e->name);
}

/* The folder of a deleted partition: sidecars and indexes that are left, then itself. */
void reap_folder(struct st_seg *g)
{
    const struct chronik_host *h = g->s->h;
    struct names x = {0};
    char folder[ST_PATH], path[ST_PATH + 90];
    path_join(folder, "data", g->folder);
    h->dir_list(h->ctx, g->dir->no, folder, name_each, &x);
    for (uint32_t i = 0; i < x.n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, x.v[i]);
        h->file_remove(h->ctx, g->dir->no, path);
    }
    free(x.v);
    h->dir_remove(h->ctx, g->dir->no, folder);
}

/* One step; 1 when the segment is gone. */
static int reap_step(struct st_seg *g)
{
    const struct chronik_host *h = g->s->h;
    struct chronik_file *f;
    if (g->folder_only) {
        reap_folder(g);
        return 1;
    }
    if (seg_get(g, 0, &f) > 0) {
        uint64_t size = 0;
        int32_t r = h->file_size(f, &size);
        if (r > 0 && size > ST_REAP_STEP)
            r = h->file_truncate(f, size - ST_REAP_STEP);
        seg_put(g);
        if (r > 0 && size > ST_REAP_STEP)
            return 0;
    }
    seg_close_file(g);
    reap_fileless(g, "log");
    reap_fileless(g, "idx");
    return 1;
}

static void reap_run(void *arg)
{
    chronik_store *s = arg;
    if (atomic_load(&s->closing))
        return; /* the manifest remembers what is left */
    if (!s->reaping)
        s->reaping = reap_take(s);
    if (!s->reaping)
        return;
    if (reap_step(s->reaping)) {
        atomic_store(&s->reaping->dir->changed, 1); /* the next manifest forgets it */
        seg_unref(s->reaping);
        s->reaping = NULL;
    }
    s->h->exec_post(s->low, &s->reap_task);
}

void reap_kick(chronik_store *s)
{
    if (atomic_load(&s->closing))
        return;
    s->h->exec_post(s->low, &s->reap_task);
}

void reap_init(chronik_store *s)
{
    s->reap_task = (struct chronik_task){.fn = reap_run, .arg = s};
}
