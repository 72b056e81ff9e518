/* wal.c: a directory's write-ahead log: record types over the record log, back-pressure, and the queue of those who
 * wait for a record to become durable. The queue is in record order (entries are made under the record log's mutex);
 * one announcement a group goes to the host. Never calls out with a lock held.
 *
 * Records, little endian, structs of store.h: CREATE {wal_create}; APPEND {wal_append_head, n x wal_batch, the batches'
 * bytes}; TRUNCATE_SUFFIX {wal_suffix}; TRUNCATE_PREFIX {wal_prefix}; ROLL {wal_roll}; REPLACE {wal_replace, n x u32
 * serial of a replaced segment}; DELETE {u32 pn}; MOVE_BEGIN {u32 pn that a copy will have}; ADOPT {a partition's item
 * of the manifest}; SEGMENT_REF {wal_append_head, n x wal_batch, u32 crc32c of the
 * batches' bytes}: the bytes had been synced in the segment before the record was written. */
#include "store.h"

#include <stdlib.h>

enum { BATCH = 256 };

static int32_t queue_reserve(struct st_dir *d)
{
    int32_t r = CHRONIK_DONE;
    pthread_mutex_lock(&d->qmu);
    if (d->q_n + d->q_reserved == d->q_cap) {
        uint32_t cap = d->q_cap ? d->q_cap * 2 : 256;
        struct st_wait *q = malloc(cap * sizeof *q);
        if (q) {
            for (uint32_t i = 0; i < d->q_n; i++)
                q[i] = d->queue[(d->q_head + i) % d->q_cap];
            free(d->queue);
            d->queue = q;
            d->q_head = 0;
            d->q_cap = cap;
        } else {
            r = CHRONIK_E_NOMEM;
        }
    }
    d->q_reserved += r > 0;
    pthread_mutex_unlock(&d->qmu);
    return r;
}

struct note {
    struct st_dir *d;
    struct st_wait w;
};

/* Under the record log's mutex: numbers arrive in order. */
static void note(void *arg, uint64_t number)
{
    struct note *n = arg;
    struct st_dir *d = n->d;
    pthread_mutex_lock(&d->qmu);
    d->q_reserved--;
    d->last_number = number;
    if (n->w.part || n->w.done.fn) {
        n->w.number = number;
        d->queue[(d->q_head + d->q_n++) % d->q_cap] = n->w;
    }
    pthread_mutex_unlock(&d->qmu);
}

int32_t wal_append(struct st_dir *d, uint32_t type, const struct chronik_iov *iov, uint32_t n_iov,
                   chronik_store_part *p, int64_t end, struct chronik_done done, uint64_t *number)
{
    struct note n = {.d = d, .w = {.part = p, .end = end, .gen = p ? p->gen : 0, .done = done}};
    uint64_t bytes = 0;
    int32_t r = queue_reserve(d);
    if (r < 0)
        return r;
    for (uint32_t i = 0; i < n_iov; i++)
        bytes += iov[i].n;
    if (p)
        part_ref(p);
    r = reclog_append(d->wal, type, iov, n_iov, note, &n, number);
    if (r < 0) {
        pthread_mutex_lock(&d->qmu);
        d->q_reserved--;
        pthread_mutex_unlock(&d->qmu);
        if (p)
            part_unref(p);
        return r;
    }
    atomic_fetch_add(&d->wal_bytes, bytes + 64);
    atomic_store_explicit(&d->changed, 1, memory_order_relaxed);
    return CHRONIK_DONE;
}

int32_t wal_wait(struct st_dir *d, struct chronik_done done)
{
    int32_t r = queue_reserve(d);
    if (r < 0)
        return r;
    pthread_mutex_lock(&d->qmu);
    d->q_reserved--;
    if (d->last_number < d->done_number) {
        r = CHRONIK_DONE;
    } else {
        d->queue[(d->q_head + d->q_n++) % d->q_cap] = (struct st_wait){.number = d->last_number, .done = done};
        r = CHRONIK_PENDING;
    }
    pthread_mutex_unlock(&d->qmu);
    return r;
}

int32_t wal_admit(struct st_dir *d, uint64_t bytes, uint32_t flags)
{
    const struct st_settings *set = &d->s->set;
    uint64_t unchecked = atomic_load(&d->wal_bytes) - atomic_load(&d->wal_checked);
    if (unchecked + bytes > set->wal_checkpoint)
        ckpt_kick(d->s);
    if (unchecked + bytes > set->wal_max && unchecked && !(flags & RECLOG_URGENT))
        return CHRONIK_E_BUSY;
    return reclog_admit(d->wal, bytes, flags);
}

/* ---- on the commit executor ---- */

static uint32_t take_batch(struct st_dir *d, uint64_t end)
{
    uint32_t n = 0;
    pthread_mutex_lock(&d->qmu);
    while (n < BATCH && d->q_n && d->queue[d->q_head].number < end) {
        d->batch[n++] = d->queue[d->q_head];
        d->q_head = (d->q_head + 1) % d->q_cap;
        d->q_n--;
    }
    if (n == 0)
        d->done_number = end;
    pthread_mutex_unlock(&d->qmu);
    return n;
}

/* Raises the partition's durable end; puts it into the announcement once. */
static void note_durable(struct st_dir *d, const struct st_wait *w, uint32_t *n)
{
    chronik_store_part *p = w->part;
    pthread_mutex_lock(&p->mu);
    int news = w->end >= 0 && w->gen == p->gen && w->end > atomic_load(&p->durable);
    if (news)
        atomic_store(&p->durable, w->end);
    int tell = news && p->opened;
    void *cookie = p->cookie;
    pthread_mutex_unlock(&p->mu);
    if (!tell)
        return;
    if (p->announce_mark != d->announce_mark) {
        p->announce_mark = d->announce_mark;
        p->announce_at = (*n)++;
    }
    d->announce[p->announce_at] = (struct chronik_durable){cookie, w->end};
}

static void on_durable(void *arg, uint64_t end)
{
    struct st_dir *d = arg;
    uint32_t taken;
    while ((taken = take_batch(d, end)) > 0) {
        uint32_t n = 0;
        d->announce_mark++;
        for (uint32_t i = 0; i < taken; i++)
            if (d->batch[i].part)
                note_durable(d, &d->batch[i], &n);
        if (n && d->s->ev.durable)
            d->s->ev.durable(d->s->ev.arg, d->announce, n, sizeof *d->announce);
        for (uint32_t i = 0; i < taken; i++) {
            if (d->batch[i].done.fn)
                d->batch[i].done.fn(d->batch[i].done.arg, CHRONIK_DONE);
            if (d->batch[i].part)
                part_unref(d->batch[i].part);
        }
    }
}

static void on_synced(void *arg, uint32_t records, uint64_t bytes, int64_t ns)
{
    const chronik_store *s = ((struct st_dir *)arg)->s;
    s->h->metric_observe(s->m.sync_ns, ns);
    s->h->metric_add(s->m.groups, 1);
    s->h->metric_add(s->m.group_records, records);
    s->h->metric_add(s->m.group_bytes, (int64_t)bytes);
}

/* D1: what the page cache says is not to be believed any more. */
static void on_failed(void *arg, int32_t code, const char *text)
{
    struct st_dir *d = arg;
    dir_suspect(d);
    d->s->h->fatal(d->s->h->ctx, 74, text);
}

int32_t wal_open(struct st_dir *d, int32_t (*replay)(void *arg, const struct reclog_record *r), struct errtext *e)
{
    chronik_store *s = d->s;
    struct reclog_config c = {.host = s->h,
                              .dir = d->no,
                              .path = "wal",
                              .name = "store-commit",
                              .from = d->wal_from,
                              .first_file_bytes = s->set.wal_first,
                              .file_bytes = s->set.wal_file,
                              .arg = d,
                              .durable = on_durable,
                              .failed = on_failed,
                              .synced = on_synced};
    d->batch = calloc(BATCH, sizeof *d->batch);
    d->announce = calloc(BATCH, sizeof *d->announce);
    if (!d->batch || !d->announce)
        return errtext_set(e, CHRONIK_E_NOMEM, "store %s: out of memory", d->path);
    int32_t r = reclog_open(&c, replay, d, e, &d->wal);
    if (r > 0) {
        struct reclog_stat st;
        reclog_stat(d->wal, &st);
        d->done_number = st.end;
        d->last_number = st.end - 1;
    }
    return r;
}
