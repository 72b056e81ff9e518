/* read.c: reading and finding in a partition of memory. A read lends ranges of the buffers that hold the batches and a
 * pin with a reference to each, so that truncation, rewriting and even closing the store leave them as they were.
 * Any thread; nothing is copied. */
#include "store_mem.h"

#include <stdlib.h>
#include <string.h>

struct chronik_store_pin {
    void (*unref)(struct chronik_buf *b); /* of the host: a pin may outlive the store */
    uint32_t n;
    struct chronik_buf *bufs[];
};

/* ---- a position in the log: walks over batches of all segments ---- */

struct cursor {
    const chronik_store_part *part;
    uint32_t segment, batch;
};

static const struct batch *cursor_at(const struct cursor *c)
{
    return &c->part->segments[c->segment]->batches[c->batch];
}

/* Moves to the next existing batch when it stands behind the last one of a segment; 0 at the end of the log. */
static int cursor_settle(struct cursor *c)
{
    while (c->segment < c->part->n_segments && c->batch >= c->part->segments[c->segment]->n) {
        c->segment++;
        c->batch = 0;
    }
    return c->segment < c->part->n_segments;
}

/* The first batch whose last offset is at or behind `from`. Both searches are binary: logs are long. */
static int cursor_find(struct cursor *c, int64_t from)
{
    const chronik_store_part *p = c->part;
    uint32_t lo = 0, hi = p->n_segments;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (p->segments[mid]->end <= from)
            lo = mid + 1;
        else
            hi = mid;
    }
    c->segment = lo;
    c->batch = 0;
    if (lo == p->n_segments)
        return 0;
    const struct segment *g = p->segments[lo];
    lo = 0;
    hi = g->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (g->batches[mid].info.last_offset < from)
            lo = mid + 1;
        else
            hi = mid;
    }
    c->batch = lo;
    return cursor_settle(c);
}

/* ---- read ---- */

/* Adds one batch to the answer; 0 when it needs a range more than there are. */
static int take(struct chronik_read *r, const struct batch *b, const void *data, chronik_store_pin *pin,
                void (*ref)(struct chronik_buf *b))
{
    const char *p = (const char *)data + b->at;
    struct chronik_range *last = r->n_ranges > 0 ? &r->ranges[r->n_ranges - 1] : NULL;
    if (last != NULL && pin->bufs[pin->n - 1] == b->buf && (const char *)last->p + last->n == p) {
        last->n += b->info.bytes;
    } else {
        if (r->n_ranges == r->max_ranges)
            return 0;
        r->ranges[r->n_ranges++] = (struct chronik_range){.p = p, .n = b->info.bytes};
        ref(b->buf);
        pin->bufs[pin->n++] = b->buf;
    }
    if (r->bytes == 0)
        r->base_offset = b->info.base_offset;
    r->bytes += b->info.bytes;
    return 1;
}

static void collect(const chronik_store_part *p, struct chronik_read *r, chronik_store_pin *pin)
{
    const struct chronik_host *host = &p->store->host;
    struct cursor c = {.part = p};
    for (int more = cursor_find(&c, r->from); more; c.batch++, more = cursor_settle(&c)) {
        const struct batch *b = cursor_at(&c);
        int forced = r->bytes == 0 && (r->flags & CHRONIK_STORE_MIN_ONE);
        if (b->info.last_offset >= r->end || (r->bytes + b->info.bytes > r->max_bytes && !forced))
            return;
        if (!take(r, b, host->buf_data(b->buf), pin, host->buf_ref))
            return;
    }
}

int32_t op_read(chronik_store_part *p, struct chronik_read *r)
{
    if (!CHRONIK_HAS(struct chronik_read, r, pin))
        return CHRONIK_E_VERSION;
    if (r->flags & ~(CHRONIK_STORE_NOWAIT | CHRONIK_STORE_MIN_ONE))
        return CHRONIK_E_UNSUPPORTED;
    r->n_ranges = 0;
    r->bytes = 0;
    r->base_offset = -1;
    r->pin = NULL;
    chronik_store_pin *pin = calloc(1, sizeof *pin + r->max_ranges * sizeof(struct chronik_buf *));
    if (pin == NULL)
        return CHRONIK_E_NOMEM;
    pin->unref = p->store->host.buf_unref;

    pthread_mutex_lock(&p->lock);
    int32_t rc = r->from < p->log_start || r->from > p->written ? CHRONIK_E_RANGE : CHRONIK_DONE;
    if (rc > 0)
        collect(p, r, pin);
    pthread_mutex_unlock(&p->lock);

    if (pin->n > 0)
        r->pin = pin;
    else
        free(pin);
    return rc;
}

void op_release(chronik_store_pin *pin)
{
    for (uint32_t i = 0; i < pin->n; i++)
        pin->unref(pin->bufs[i]);
    free(pin);
}

/* ---- find ---- */

int32_t op_find_time(chronik_store_part *p, int64_t ts, int64_t *offset)
{
    int32_t rc = CHRONIK_E_NOTFOUND;
    pthread_mutex_lock(&p->lock);
    struct cursor c = {.part = p};
    for (int more = cursor_find(&c, p->log_start); more && rc < 0; c.batch++, more = cursor_settle(&c)) {
        if (p->segments[c.segment]->max_timestamp < ts) {
            c.batch = p->segments[c.segment]->n; /* no batch of this segment */
        } else if (cursor_at(&c)->info.max_timestamp >= ts) {
            int64_t base = cursor_at(&c)->info.base_offset;
            *offset = base > p->log_start ? base : p->log_start;
            rc = CHRONIK_DONE;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}
