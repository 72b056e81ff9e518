/* part.c: one partition's log in memory: appending, rolling, truncating, describing. A batch never moves and is never
 * changed once it is readable; truncation only drops references, so what a reader has pinned stays as it was.
 * Everything here runs on the caller's thread under the partition's short lock. */
#include "store_mem.h"

#include <stdlib.h>
#include <string.h>

/* ---- segments ---- */

static struct segment *segment_new(chronik_store *s, int64_t base)
{
    struct segment *g = calloc(1, sizeof *g);
    if (g == NULL)
        return NULL;
    g->base = g->end = base;
    g->max_timestamp = -1;
    g->created_ms = s->host.wall_ms(s->host.ctx);
    return g;
}

/* Room for one more batch; false when memory is short. */
static int segment_make_room(struct segment *g)
{
    if (g->n < g->room)
        return 1;
    uint32_t room = g->room != 0 ? g->room * 2 : 16;
    struct batch *batches = realloc(g->batches, room * sizeof *batches);
    if (batches == NULL)
        return 0;
    g->batches = batches;
    g->room = room;
    return 1;
}

int32_t segment_add(struct segment *g, const struct batch *b)
{
    if (!segment_make_room(g))
        return CHRONIK_E_NOMEM;
    g->batches[g->n++] = *b;
    g->end = b->info.last_offset + 1;
    g->bytes += b->info.bytes;
    if (b->info.max_timestamp > g->max_timestamp)
        g->max_timestamp = b->info.max_timestamp;
    return CHRONIK_DONE;
}

/* Drops the batches from number `keep` on; returns their bytes. */
static uint64_t segment_cut(chronik_store *s, struct segment *g, uint32_t keep)
{
    uint64_t freed = 0;
    while (g->n > keep) {
        const struct batch *b = &g->batches[--g->n];
        freed += b->info.bytes;
        s->host.buf_unref(b->buf);
    }
    g->bytes -= freed;
    g->end = keep > 0 ? g->batches[keep - 1].info.last_offset + 1 : g->base;
    g->max_timestamp = -1;
    for (uint32_t i = 0; i < keep; i++)
        if (g->batches[i].info.max_timestamp > g->max_timestamp)
            g->max_timestamp = g->batches[i].info.max_timestamp;
    return freed;
}

void segment_free(chronik_store *s, struct segment *g)
{
    store_unreserve(s, segment_cut(s, g, 0));
    free(g->batches);
    free(g);
}

/* ---- partitions ---- */

/* Adds an empty active segment at the written end. */
static int32_t add_segment(chronik_store_part *p)
{
    if (p->n_segments == p->segment_room) {
        uint32_t room = p->segment_room != 0 ? p->segment_room * 2 : 4;
        struct segment **segments = realloc(p->segments, room * sizeof(struct segment *));
        if (segments == NULL)
            return CHRONIK_E_NOMEM;
        p->segments = segments;
        p->segment_room = room;
    }
    struct segment *g = segment_new(p->store, p->written);
    if (g == NULL)
        return CHRONIK_E_NOMEM;
    p->segments[p->n_segments++] = g;
    return CHRONIK_DONE;
}

chronik_store_part *part_new(chronik_store *s, const struct chronik_part_id *id)
{
    chronik_store_part *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->store = s;
    p->id = *id;
    p->sealed_at = -1;
    if (add_segment(p) < 0) {
        free(p->segments);
        free(p);
        return NULL;
    }
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

void part_free(chronik_store_part *p)
{
    for (uint32_t i = 0; i < p->n_segments; i++)
        segment_free(p->store, p->segments[i]);
    free(p->segments);
    while (p->sidecars != NULL) {
        struct sidecar *s = p->sidecars;
        p->sidecars = s->next;
        free(s);
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
}

struct segment *part_active(chronik_store_part *p)
{
    return p->segments[p->n_segments - 1];
}

int32_t part_seal(chronik_store_part *p)
{
    if (part_active(p)->n == 0)
        return CHRONIK_DONE;
    int32_t rc = add_segment(p);
    if (rc > 0)
        p->sealed_at = p->written;
    return rc;
}

/* ---- append ---- */

static const struct chronik_batch_info *batch_info(const struct chronik_append *a, uint32_t i)
{
    return (const struct chronik_batch_info *)((const char *)a->batches + (size_t)i * a->batch_stride);
}

/* Whether the request makes sense by itself; *bytes gets the size of all its batches. */
static int32_t check_append(const struct chronik_append *a, uint64_t *bytes)
{
    uint64_t given = 0, wanted = 0;
    if (a->flush > CHRONIK_FLUSH_OS)
        return CHRONIK_E_UNSUPPORTED;
    for (uint32_t i = 0; i < a->n_batches; i++) {
        const struct chronik_batch_info *b = batch_info(a, i);
        if (b->flags & ~(CHRONIK_BATCH_CONTROL | CHRONIK_BATCH_TRANSACTIONAL))
            return CHRONIK_E_UNSUPPORTED;
        if (b->last_offset < b->base_offset || (i > 0 && b->base_offset <= batch_info(a, i - 1)->last_offset))
            return CHRONIK_E_INVAL;
        wanted += b->bytes;
    }
    for (uint32_t i = 0; i < a->n_iov; i++)
        given += a->iov[i].n;
    *bytes = given;
    return a->n_batches == 0 || given != wanted || given == 0 ? CHRONIK_E_INVAL : CHRONIK_DONE;
}

/* Puts all batches of one append behind the written end, or none. */
static int32_t insert(chronik_store_part *p, const struct chronik_append *a, struct chronik_buf *buf)
{
    chronik_store *s = p->store;
    if (batch_info(a, 0)->base_offset < p->written)
        return CHRONIK_E_INVAL;
    if (part_active(p)->bytes >= (uint64_t)s->segment_bytes && part_seal(p) < 0)
        return CHRONIK_E_NOMEM;
    struct segment *g = part_active(p);
    uint32_t before = g->n;
    uint64_t at = 0;
    for (uint32_t i = 0; i < a->n_batches; i++) {
        struct batch b = {.info = *batch_info(a, i), .buf = buf, .at = at};
        s->host.buf_ref(buf);
        if (segment_add(g, &b) < 0) {
            s->host.buf_unref(buf);
            segment_cut(s, g, before);
            return CHRONIK_E_NOMEM;
        }
        at += b.info.bytes;
    }
    p->written = g->end;
    if (a->flush != CHRONIK_FLUSH_GROUP)
        p->durable = p->written;
    return CHRONIK_DONE;
}

static int32_t append_one(chronik_store *s, const struct chronik_append *a)
{
    uint64_t bytes;
    int32_t rc = check_append(a, &bytes);
    if (rc > 0)
        rc = store_reserve(s, bytes);
    if (rc < 0)
        return rc;
    struct chronik_buf *buf = gather(s, a->iov, a->n_iov, bytes);
    if (buf == NULL) {
        store_unreserve(s, bytes);
        return CHRONIK_E_NOMEM;
    }
    pthread_mutex_lock(&a->part->lock);
    rc = insert(a->part, a, buf);
    uint32_t tell = rc > 0 && (a->part->durable < a->part->written || a->part->sealed_at >= 0);
    pthread_mutex_unlock(&a->part->lock);
    s->host.buf_unref(buf);
    if (rc < 0)
        store_unreserve(s, bytes);
    if (tell)
        store_mark_dirty(a->part);
    return rc;
}

int32_t op_append(chronik_store *s, struct chronik_append *a, uint32_t n, uint32_t stride)
{
    int32_t first_failure = CHRONIK_DONE;
    for (uint32_t i = 0; i < n; i++) {
        struct chronik_append *one = (struct chronik_append *)((char *)a + (size_t)i * stride);
        one->result = append_one(s, one);
        if (one->result < 0 && first_failure > 0)
            first_failure = one->result;
    }
    return first_failure;
}

/* ---- truncation ---- */

/* The log begins at `offset`: drops whole segments below it, never the active one. */
static void drop_below(chronik_store_part *p, int64_t offset)
{
    uint32_t n = 0;
    while (n + 1 < p->n_segments && p->segments[n]->end <= offset)
        segment_free(p->store, p->segments[n++]);
    p->n_segments -= n;
    memmove(p->segments, p->segments + n, p->n_segments * sizeof(struct segment *));
    struct segment *active = part_active(p);
    if (offset == p->written && active->n > 0) {
        store_unreserve(p->store, segment_cut(p->store, active, 0));
        active->base = active->end = offset;
    }
    p->log_start = offset;
}

int32_t op_truncate_prefix(chronik_store_part *p, int64_t offset, struct chronik_done done)
{
    pthread_mutex_lock(&p->lock);
    int32_t rc = offset > p->written ? CHRONIK_E_RANGE : offset <= p->log_start ? CHRONIK_DONE : CHRONIK_PENDING;
    if (rc == CHRONIK_PENDING)
        rc = store_later(p->store, done, NULL, NULL);
    if (rc == CHRONIK_PENDING) {
        rewrite_spoil(p, INT64_MIN, offset);
        drop_below(p, offset);
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

/* How many batches of a segment lie wholly below `offset`; -1 when `offset` is inside a batch. */
static int64_t batches_below(const struct segment *g, int64_t offset)
{
    uint32_t n = 0;
    while (n < g->n && g->batches[n].info.last_offset < offset)
        n++;
    return n < g->n && g->batches[n].info.base_offset < offset ? -1 : (int64_t)n;
}

static struct segment *segment_of(chronik_store_part *p, int64_t offset)
{
    uint32_t i = p->n_segments - 1;
    while (i > 0 && p->segments[i]->base >= offset)
        i--;
    return p->segments[i];
}

/* Drops everything at and above `offset`; what is left of its segment becomes the active one. */
static void drop_above(chronik_store_part *p, int64_t offset, uint32_t keep)
{
    const struct segment *last = segment_of(p, offset);
    while (part_active(p) != last)
        segment_free(p->store, p->segments[--p->n_segments]);
    struct segment *active = part_active(p);
    store_unreserve(p->store, segment_cut(p->store, active, keep));
    active->end = offset;
    if (active->base > offset)
        active->base = offset;
    p->written = offset;
    if (p->durable > offset)
        p->durable = offset;
    if (p->recovery_point > offset)
        p->recovery_point = offset;
}

int32_t op_truncate_suffix(chronik_store_part *p, int64_t offset, struct chronik_done done)
{
    pthread_mutex_lock(&p->lock);
    int64_t keep = batches_below(segment_of(p, offset), offset);
    int32_t rc = offset >= p->written    ? CHRONIK_DONE
                 : offset < p->log_start ? CHRONIK_E_RANGE
                 : keep < 0              ? CHRONIK_E_INVAL
                                         : CHRONIK_PENDING;
    if (rc == CHRONIK_PENDING)
        rc = store_later(p->store, done, NULL, NULL);
    if (rc == CHRONIK_PENDING) {
        rewrite_spoil(p, offset, INT64_MAX);
        drop_above(p, offset, (uint32_t)keep);
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

int32_t op_roll(chronik_store_part *p)
{
    pthread_mutex_lock(&p->lock);
    int32_t rc = part_seal(p);
    uint32_t tell = p->sealed_at >= 0;
    pthread_mutex_unlock(&p->lock);
    if (tell)
        store_mark_dirty(p);
    return rc;
}

/* ---- description ---- */

int32_t op_segments(chronik_store_part *p, void (*each)(void *arg, const struct chronik_segment_info *i), void *arg)
{
    pthread_mutex_lock(&p->lock);
    uint32_t n = p->n_segments;
    struct chronik_segment_info *infos = calloc(n, sizeof *infos);
    for (uint32_t i = 0; infos != NULL && i < n; i++) {
        const struct segment *g = p->segments[i];
        infos[i] = (struct chronik_segment_info){
            .base_offset = g->base,
            .end_offset = g->end,
            .bytes = g->bytes,
            .max_timestamp = g->max_timestamp,
            .created_ms = g->created_ms,
            .sealed = i + 1 < n,
        };
    }
    pthread_mutex_unlock(&p->lock);
    if (infos == NULL)
        return CHRONIK_E_NOMEM;
    for (uint32_t i = 0; i < n; i++)
        each(arg, &infos[i]);
    free(infos);
    return CHRONIK_DONE;
}

/* The largest timestamp and the first batch that has it; the epoch of the last batch. */
static void stat_batches(const chronik_store_part *p, struct chronik_part_stat *out)
{
    for (uint32_t i = 0; i < p->n_segments; i++) {
        const struct segment *g = p->segments[i];
        out->bytes += g->bytes;
        if (g->n > 0)
            out->last_epoch = g->batches[g->n - 1].info.leader_epoch;
        for (uint32_t b = 0; g->max_timestamp > out->max_timestamp && b < g->n; b++) {
            if (g->batches[b].info.max_timestamp == g->max_timestamp) {
                out->max_timestamp_offset = g->batches[b].info.base_offset;
                out->max_timestamp = g->max_timestamp;
            }
        }
    }
}

void op_stat(chronik_store_part *p, struct chronik_part_stat *out)
{
    struct chronik_part_stat s = {.size = out->size, .max_timestamp = -1, .max_timestamp_offset = -1, .last_epoch = -1};
    pthread_mutex_lock(&p->lock);
    s.dir = p->id.dir;
    s.log_start = p->log_start;
    s.written = p->written;
    s.durable = p->durable;
    s.segments = p->n_segments;
    s.clean = p->clean;
    s.recovery_point = p->recovery_point;
    stat_batches(p, &s);
    pthread_mutex_unlock(&p->lock);
    memcpy(out, &s, s.size < sizeof s ? s.size : sizeof s);
}
