/* part.c: the table of partitions: opening, closing, deleting, describing them. It must never open a segment's file.
 * The table is under store->mu; a partition lives as long as somebody holds a reference (table, handle, queue of
 * waiters). */
#include "store.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void part_folder(const struct chronik_uuid *topic, int32_t partition, uint32_t pn, char out[72])
{
    static const char hex[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        out[i * 2] = hex[topic->b[i] >> 4];
        out[i * 2 + 1] = hex[topic->b[i] & 15];
    }
    snprintf(out + 32, 40, "-%d.%u", partition, pn);
}

chronik_store_part *part_new(chronik_store *s, struct st_dir *d, const struct chronik_uuid *topic, int32_t partition,
                             uint32_t pn)
{
    chronik_store_part *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->s = s;
    p->dir = d;
    p->topic = *topic;
    p->partition = partition;
    p->pn = pn;
    p->next_serial = 1;
    p->last_epoch = -1;
    p->clean = d->was_clean;
    pthread_mutex_init(&p->wmu, NULL);
    pthread_mutex_init(&p->mu, NULL);
    pthread_mutex_init(&p->smu, NULL);
    atomic_init(&p->refs, 1);
    return p;
}

void part_ref(chronik_store_part *p)
{
    atomic_fetch_add(&p->refs, 1);
}

void part_unref(chronik_store_part *p)
{
    if (atomic_fetch_sub(&p->refs, 1) != 1)
        return;
    for (uint32_t i = 0; i < p->n_segs; i++)
        seg_unref(p->segs[i]);
    pthread_mutex_destroy(&p->wmu);
    pthread_mutex_destroy(&p->mu);
    pthread_mutex_destroy(&p->smu);
    free(p->segs);
    free(p->sidecars);
    free(p);
}

static uint32_t slot(const struct chronik_uuid *topic, int32_t partition)
{
    uint64_t h =
        get_le64(topic->b) ^ get_le64(topic->b + 8) * 31 ^ (uint64_t)(uint32_t)partition * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h * UINT64_C(0xff51afd7ed558ccd) >> 40) % ST_HASH;
}

chronik_store_part *part_find(chronik_store *s, const struct chronik_uuid *topic, int32_t partition)
{
    chronik_store_part *p = s->table[slot(topic, partition)];
    while (p && (p->partition != partition || memcmp(&p->topic, topic, sizeof *topic)))
        p = p->next;
    return p;
}

chronik_store_part *part_find_in(const struct st_dir *d, const struct chronik_uuid *topic, int32_t partition)
{
    chronik_store_part *p = d->s->table[slot(topic, partition)];
    while (p && (p->dir != d || p->partition != partition || memcmp(&p->topic, topic, sizeof *topic)))
        p = p->next;
    return p;
}

void part_insert(chronik_store *s, chronik_store_part *p)
{
    chronik_store_part **at = &s->table[slot(&p->topic, p->partition)];
    p->next = *at;
    *at = p;
    s->n_parts++;
    p->dir->parts++;
}

void part_remove(chronik_store *s, chronik_store_part *p)
{
    chronik_store_part **at = &s->table[slot(&p->topic, p->partition)];
    while (*at && *at != p)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = p->next;
    p->next = NULL;
    s->n_parts--;
    p->dir->parts--;
}

int32_t part_add_seg(chronik_store_part *p, struct st_seg *g)
{
    if (p->n_segs == p->cap_segs) {
        uint32_t cap = p->cap_segs ? p->cap_segs * 2 : 1;
        struct st_seg **v = realloc(p->segs, cap * sizeof(struct st_seg *));
        if (!v)
            return CHRONIK_E_NOMEM;
        p->segs = v;
        p->cap_segs = cap;
    }
    p->segs[p->n_segs++] = g;
    return CHRONIK_DONE;
}

struct st_seg *part_active(chronik_store_part *p)
{
    return p->n_segs && !p->segs[p->n_segs - 1]->sealed ? p->segs[p->n_segs - 1] : NULL;
}

void part_doom(chronik_store_part *p, uint32_t from, uint32_t n)
{
    chronik_store *s = p->s;
    pthread_mutex_lock(&s->mu);
    for (uint32_t i = from; i < from + n; i++) {
        atomic_store(&p->segs[i]->doomed, 1);
        p->segs[i]->next = s->doomed_new;
        s->doomed_new = p->segs[i];
    }
    pthread_mutex_unlock(&s->mu);
    if (n)
        memmove(p->segs + from, p->segs + from + n, (p->n_segs - from - n) * sizeof(struct st_seg *));
    p->n_segs -= n;
    atomic_store(&p->dir->changed, 1);
}

void part_doom_folder(chronik_store_part *p)
{
    struct st_seg *g = seg_new(p, 0, 0);
    if (!g)
        return; /* an empty folder stays */
    g->folder_only = 1;
    atomic_store(&g->doomed, 1);
    pthread_mutex_lock(&p->s->mu);
    g->next = p->s->doomed_new;
    p->s->doomed_new = g;
    pthread_mutex_unlock(&p->s->mu);
}

/* What the host is told of a partition that went offline: on an executor, since whoever reads may hold locks. */
struct failure {
    struct chronik_task task;
    chronik_store_part *p;
    int32_t code;
    char text[500];
};

static void failure_tell(void *arg)
{
    struct failure *f = arg;
    chronik_store_part *p = f->p;
    pthread_mutex_lock(&p->mu);
    void *cookie = p->opened ? p->cookie : NULL;
    pthread_mutex_unlock(&p->mu);
    if (cookie && p->s->ev.part_failed)
        p->s->ev.part_failed(p->s->ev.arg, cookie, f->code, f->text);
    part_unref(p);
    free(f);
}

void part_fail(chronik_store_part *p, int32_t code, const char *fmt, ...)
{
    char text[500];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    unsigned none = 0;
    if (!atomic_compare_exchange_strong(&p->offline, &none, (unsigned)-code))
        return;
    p->s->h->log(p->s->h->ctx, CHRONIK_LOG_ERROR, text);
    struct failure *f = malloc(sizeof *f);
    if (!f)
        return; /* whoever asks finds it offline */
    *f = (struct failure){.task = {.fn = failure_tell, .arg = f}, .p = p, .code = code};
    memcpy(f->text, text, sizeof f->text);
    part_ref(p);
    p->s->h->exec_post(p->s->exec, &f->task);
}

/* ---- ops ---- */

int32_t st_list(chronik_store *s, void (*each)(void *arg, const struct chronik_part_id *id), void *arg)
{
    pthread_mutex_lock(&s->mu);
    uint32_t n = 0, cap = s->n_parts;
    struct chronik_part_id *v = calloc(cap + 1, sizeof *v);
    for (uint32_t i = 0; v && i < ST_HASH; i++)
        for (chronik_store_part *p = s->table[i]; p && n < cap; p = p->next)
            v[n++] = (struct chronik_part_id){p->topic, p->partition, p->dir->no};
    pthread_mutex_unlock(&s->mu);
    if (!v)
        return CHRONIK_E_NOMEM;
    for (uint32_t i = 0; i < n; i++)
        each(arg, &v[i]);
    free(v);
    return CHRONIK_DONE;
}

/* The directory with the fewest partitions; s->mu held. */
static struct st_dir *dir_choose(chronik_store *s, uint32_t wanted)
{
    if (wanted < s->n_dirs)
        return s->dirs[wanted].offline ? NULL : &s->dirs[wanted];
    struct st_dir *best = NULL;
    for (uint32_t i = 0; i < s->n_dirs; i++)
        if (!s->dirs[i].offline && (!best || s->dirs[i].parts < best->parts))
            best = &s->dirs[i];
    return best;
}

static int32_t part_create(chronik_store *s, const struct chronik_part_id *id, chronik_store_part **out)
{
    struct st_dir *d = dir_choose(s, id->dir);
    if (!d)
        return CHRONIK_E_OFFLINE;
    struct wal_create w = {.pn = atomic_fetch_add(&d->next_pn, 1), .partition = id->partition};
    memcpy(w.topic, id->topic.b, 16);
    struct chronik_iov v = {&w, sizeof w};
    chronik_store_part *p = part_new(s, d, &id->topic, id->partition, w.pn);
    if (!p)
        return CHRONIK_E_NOMEM;
    p->clean = 0;
    int32_t r = wal_admit(d, sizeof w, 0);
    if (r > 0)
        r = wal_append(d, WAL_CREATE, &v, 1, NULL, -1, (struct chronik_done){0}, &p->applied);
    if (r < 0)
        part_unref(p);
    else
        *out = p;
    return r;
}

int32_t st_open(chronik_store *s, const struct chronik_part_id *id, uint32_t flags, void *cookie,
                chronik_store_part **out)
{
    if (flags & ~CHRONIK_STORE_CREATE)
        return CHRONIK_E_UNSUPPORTED;
    if (!s->started || atomic_load(&s->closing))
        return CHRONIK_E_CLOSED;
    chronik_store_part *fresh = NULL;
    pthread_mutex_lock(&s->mu);
    chronik_store_part *p = part_find(s, &id->topic, id->partition);
    int32_t r = p ? CHRONIK_DONE : CHRONIK_E_NOTFOUND;
    if (r == CHRONIK_E_NOTFOUND && (flags & CHRONIK_STORE_CREATE)) {
        r = part_create(s, id, &fresh); /* few calls, all of them leaves: the record goes to memory */
        if (r > 0)
            part_insert(s, p = fresh);
    }
    if (r > 0)
        part_ref(p);
    pthread_mutex_unlock(&s->mu);
    if (r < 0)
        return r;
    pthread_mutex_lock(&p->mu);
    r = p->opened ? CHRONIK_E_EXISTS : CHRONIK_DONE;
    if (r > 0) {
        p->cookie = cookie;
        p->opened = 1;
        *out = p;
    }
    pthread_mutex_unlock(&p->mu);
    if (r < 0)
        part_unref(p);
    return r;
}

/* ---- closing and deleting ---- */

struct leave {
    struct chronik_task task;
    chronik_store_part *p;
    struct chronik_done done;
};

static void leave_run(void *arg)
{
    struct leave *l = arg;
    pthread_mutex_lock(&l->p->mu);
    l->p->opened = 0;
    l->p->cookie = NULL;
    pthread_mutex_unlock(&l->p->mu);
    part_unref(l->p);
    if (l->done.fn)
        l->done.fn(l->done.arg, CHRONIK_DONE);
    free(l);
}

/* On the commit executor: announcements before this one are out. Events from the checkpoint executor, too, must end. */
static void leave_durable(void *arg, int32_t result)
{
    struct leave *l = arg;
    l->task = (struct chronik_task){.fn = leave_run, .arg = l};
    l->p->s->h->exec_post(l->p->s->exec, &l->task);
}

static struct leave *leave_new(chronik_store_part *p, struct chronik_done done)
{
    struct leave *l = calloc(1, sizeof *l);
    if (l) {
        l->p = p;
        l->done = done;
    }
    return l;
}

int32_t st_part_close(chronik_store_part *p, struct chronik_done done)
{
    struct leave *l = leave_new(p, done);
    if (!l)
        return CHRONIK_E_NOMEM;
    int32_t r = wal_wait(p->dir, (struct chronik_done){leave_durable, l});
    if (r < 0) {
        free(l);
        return r;
    }
    if (r > 0)
        leave_durable(l, r);
    return CHRONIK_PENDING;
}

int32_t st_part_delete(chronik_store_part *p, struct chronik_done done)
{
    chronik_store *s = p->s;
    struct chronik_iov v = {&p->pn, sizeof p->pn};
    struct leave *l = leave_new(p, done);
    if (!l)
        return CHRONIK_E_NOMEM;
    pthread_mutex_lock(&p->wmu);
    if (move_delete_later(p, done)) {
        pthread_mutex_unlock(&p->wmu);
        free(l);
        return CHRONIK_PENDING;
    }
    int32_t r = wal_admit(p->dir, sizeof p->pn, RECLOG_URGENT);
    if (r > 0)
        r = wal_append(p->dir, WAL_DELETE, &v, 1, NULL, -1, (struct chronik_done){leave_durable, l}, NULL);
    if (r > 0) {
        pthread_mutex_lock(&s->mu);
        part_remove(s, p);
        pthread_mutex_unlock(&s->mu);
        pthread_mutex_lock(&p->mu);
        p->deleted = 1;
        part_doom_folder(p);
        part_doom(p, 0, p->n_segs);
        pthread_mutex_unlock(&p->mu);
        ckpt_kick(s);
    }
    pthread_mutex_unlock(&p->wmu);
    if (r < 0) {
        free(l);
        return r;
    }
    part_unref(p); /* the table's */
    return CHRONIK_PENDING;
}

/* ---- describing ---- */

int32_t st_segments(chronik_store_part *p, void (*each)(void *arg, const struct chronik_segment_info *i), void *arg)
{
    pthread_mutex_lock(&p->mu);
    uint32_t n = p->n_segs;
    struct chronik_segment_info *v = calloc(n + 1, sizeof *v);
    for (uint32_t i = 0; v && i < n; i++) {
        const struct st_seg *g = p->segs[i];
        v[i] = (struct chronik_segment_info){.base_offset = g->base,
                                             .end_offset = g->end,
                                             .bytes = g->bytes,
                                             .max_timestamp = g->max_ts,
                                             .created_ms = g->created_ms,
                                             .sealed = g->sealed};
    }
    pthread_mutex_unlock(&p->mu);
    if (!v)
        return CHRONIK_E_NOMEM;
    for (uint32_t i = 0; i < n; i++)
        each(arg, &v[i]);
    free(v);
    return CHRONIK_DONE;
}

void st_stat(chronik_store_part *p, struct chronik_part_stat *out)
{
    struct chronik_part_stat st = {.size = sizeof st, .max_timestamp = -1, .max_timestamp_offset = -1};
    pthread_mutex_lock(&p->mu);
    st.dir = p->dir->no;
    st.log_start = p->log_start;
    st.written = p->written;
    int64_t durable = atomic_load(&p->durable);
    st.durable = durable < p->written ? durable : p->written;
    st.segments = p->n_segs;
    st.clean = p->clean;
    st.recovery_point = p->recovery_point;
    st.last_epoch = p->last_epoch;
    st.offline = atomic_load(&p->offline) != 0 || p->dir->offline;
    for (uint32_t i = 0; i < p->n_segs; i++) {
        st.bytes += p->segs[i]->bytes;
        if (p->segs[i]->max_ts > st.max_timestamp) {
            st.max_timestamp = p->segs[i]->max_ts;
            st.max_timestamp_offset = p->segs[i]->max_ts_offset;
        }
    }
    pthread_mutex_unlock(&p->mu);
    uint32_t size = out->size && out->size < sizeof st ? out->size : (uint32_t)sizeof st;
    memcpy(out, &st, size);
    out->size = size;
}
