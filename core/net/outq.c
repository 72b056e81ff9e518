#include <config.h>

/* outq.c: see outq.h. */
#include <stdlib.h>

#include "net/outq.h"

static struct net_out *out_new(struct net_out_pool *pool, bool chunk)
{
    struct net_out **list = chunk ? &pool->free_chunk : &pool->free_out;
    struct net_out *o = *list;
    if (o) {
        *list = o->next;
        chunk ? pool->n_chunk-- : pool->n_out--;
    } else {
        o = malloc(sizeof *o + (chunk ? NET_CHUNK : 0));
        if (!o)
            return NULL;
    }
    o->next = NULL;
    o->sent = NULL;
    o->sent_arg = NULL;
    o->segs = o->few;
    o->at = o->n_segs = o->n_chunk = 0;
    o->chunk = chunk ? (uint8_t *)(o + 1) : NULL;
    return o;
}

static void out_free(struct net_out_pool *pool, struct net_out *o)
{
    if (o->segs != o->few)
        free(o->segs);
    o->next = o->chunk ? pool->free_chunk : pool->free_out;
    if (o->chunk) {
        pool->free_chunk = o;
        pool->n_chunk++;
    } else {
        pool->free_out = o;
        pool->n_out++;
    }
}

static void trim_list(struct net_out **list, uint32_t *n, uint32_t keep)
{
    while (*n > keep) {
        struct net_out *o = *list;
        *list = o->next;
        (*n)--;
        free(o);
    }
}

void net_out_pool_trim(struct net_out_pool *pool, uint32_t keep)
{
    trim_list(&pool->free_out, &pool->n_out, keep);
    trim_list(&pool->free_chunk, &pool->n_chunk, keep / 4);
    free(pool->scratch);
    pool->scratch = NULL;
}

const struct net_seg *net_outq_head(const struct net_outq *q)
{
    return &q->first->segs[q->first->at];
}

static void append(struct net_outq *q, struct net_out *o)
{
    if (q->last)
        q->last->next = o;
    else
        q->first = o;
    q->last = o;
}

static void chunk_add(struct net_out *o, const void *p, size_t n)
{
    memcpy(o->chunk + o->n_chunk, p, n);
    o->n_chunk += (uint32_t)n;
    o->segs[0].n += n;
}

/* The chunk at the end of the queue when it has room for n more bytes, else a new one behind it. */
static struct net_out *chunk_for(struct net_outq *q, struct net_out_pool *pool, size_t n)
{
    struct net_out *o = q->last;
    if (o && o->chunk && NET_CHUNK - o->n_chunk >= n)
        return o;
    o = out_new(pool, true);
    if (!o)
        return NULL;
    o->n_segs = 1;
    o->segs[0] = (struct net_seg){.p = o->chunk};
    append(q, o);
    return o;
}

static int32_t put_copy(struct net_outq *q, struct net_out_pool *pool, const struct net_seg *segs, uint32_t n,
                        uint64_t bytes)
{
    uint8_t head[4];
    struct net_out *o = chunk_for(q, pool, 4 + bytes);
    if (!o)
        return CHRONIK_E_NOMEM;
    put_be32(head, (uint32_t)bytes);
    chunk_add(o, head, 4);
    for (uint32_t i = 0; i < n; i++)
        chunk_add(o, segs[i].p, segs[i].n);
    q->mem += 4 + bytes;
    q->total += 4 + bytes;
    return CHRONIK_DONE;
}

static int32_t put_by_reference(struct net_outq *q, struct net_out_pool *pool, const struct net_seg *segs, uint32_t n,
                                uint64_t bytes, void (*sent)(void *arg), void *sent_arg)
{
    struct net_out *o = out_new(pool, false);
    if (!o)
        return CHRONIK_E_NOMEM;
    if (n + 1 > NET_FEW_SEGS) {
        struct net_seg *many = calloc(n + 1, sizeof *many);
        if (!many) {
            out_free(pool, o);
            return CHRONIK_E_NOMEM;
        }
        o->segs = many;
    }
    put_be32(o->head, (uint32_t)bytes);
    o->segs[o->n_segs++] = (struct net_seg){.p = o->head, .n = 4};
    q->mem += 4 + NET_HELD_COST;
    for (uint32_t i = 0; i < n; i++) {
        if (segs[i].n == 0)
            continue;
        o->segs[o->n_segs++] = segs[i];
        q->mem += segs[i].file ? 0 : segs[i].n;
    }
    q->total += 4 + bytes;
    o->sent = sent;
    o->sent_arg = sent_arg;
    append(q, o);
    return CHRONIK_DONE;
}

int32_t net_outq_put(struct net_outq *q, struct net_out_pool *pool, const struct net_seg *segs, uint32_t n,
                     uint64_t bytes, void (*sent)(void *arg), void *sent_arg)
{
    bool copy = bytes <= NET_COPY_MAX;
    for (uint32_t i = 0; copy && i < n; i++)
        copy = !segs[i].file;
    if (!copy)
        return put_by_reference(q, pool, segs, n, bytes, sent, sent_arg);
    int32_t r = put_copy(q, pool, segs, n, bytes);
    if (r == CHRONIK_DONE && sent)
        sent(sent_arg);
    return r;
}

static void pop(struct net_outq *q, struct net_out_pool *pool)
{
    struct net_out *o = q->first;
    void (*sent)(void *arg) = o->sent;
    void *arg = o->sent_arg;
    q->first = o->next;
    if (!q->first)
        q->last = NULL;
    q->mem -= o->chunk ? 0 : NET_HELD_COST;
    out_free(pool, o);
    if (sent)
        sent(arg);
}

/* `n` bytes from the front were sent. */
static void advance(struct net_outq *q, struct net_out_pool *pool, uint64_t n)
{
    q->total -= n;
    while (n > 0) {
        struct net_out *o = q->first;
        struct net_seg *s = &o->segs[o->at];
        uint64_t part = n < s->n ? n : s->n;
        if (s->file) {
            s->off += part;
        } else {
            s->p = (const uint8_t *)s->p + part;
            q->mem -= part;
        }
        s->n -= part;
        n -= part;
        if (s->n == 0 && ++o->at == o->n_segs)
            pop(q, pool);
    }
}

/* What one send call takes. */
struct batch {
    struct chronik_iov iov[NET_IOV_MAX];
    uint32_t n;
    uint64_t bytes;
    size_t scratch; /* bytes used of the loop's */
    bool more;      /* something follows at once */
    int32_t stop;   /* why it ended: DONE, or what the file range behind it says (E_BUSY: cold, E_RANGE: short …) */
};

static void batch_add(struct batch *b, const void *p, uint64_t n)
{
    b->iov[b->n].p = (void *)(uintptr_t)p;
    b->iov[b->n++].n = n;
    b->bytes += n;
}

/* Reads a small file range into the scratch. E_TOOBIG: does not fit any more. */
static int32_t batch_read(struct batch *b, struct net_outq *q, struct net_out_pool *pool, const struct net_seg *s)
{
    size_t got = 0;
    if (s->n >= NET_SENDFILE_MIN || b->scratch + s->n > NET_SCRATCH)
        return CHRONIK_E_TOOBIG;
    if (!pool->scratch && !(pool->scratch = malloc(NET_SCRATCH)))
        return CHRONIK_E_TOOBIG;
    int32_t r = os_pread(s->file, pool->scratch + b->scratch, s->n, s->off, q->warm ? 0 : OS_NOWAIT, &got);
    if (r == CHRONIK_E_UNSUPPORTED)
        r = os_pread(s->file, pool->scratch + b->scratch, s->n, s->off, 0, &got);
    if (r < 0)
        return r == CHRONIK_E_AGAIN ? CHRONIK_E_BUSY : r;
    if (got < s->n)
        return CHRONIK_E_RANGE;
    batch_add(b, pool->scratch + b->scratch, s->n);
    b->scratch += s->n;
    return CHRONIK_DONE;
}

/* Everything from the front up to the first file range that goes out by sendfile or is not there yet. */
static void gather(struct net_outq *q, struct net_out_pool *pool, struct batch *b)
{
    b->n = 0;
    b->bytes = b->scratch = 0;
    b->more = true;
    b->stop = CHRONIK_DONE;
    for (const struct net_out *o = q->first; o; o = o->next) {
        for (uint32_t i = o->at; i < o->n_segs; i++) {
            const struct net_seg *s = &o->segs[i];
            if (b->n == NET_IOV_MAX)
                return;
            if (!s->file)
                batch_add(b, s->p, s->n);
            else if ((b->stop = batch_read(b, q, pool, s)) < 0)
                return;
        }
    }
    b->more = false;
}

/* A piece of the file range at the front: > 0 sent, or E_AGAIN (the socket), E_BUSY (cold), E_RANGE (short), E_CLOSED,
 * or what the file said. */
static int64_t send_file(struct net_outq *q, struct os_sock *s)
{
    const struct net_seg *seg = net_outq_head(q);
    uint64_t n = seg->n < NET_SENDFILE_MAX ? seg->n : NET_SENDFILE_MAX;
    if (q->warm)
        n = n < q->warm ? n : q->warm;
    else if (!os_cached(seg->file, seg->off, n))
        return CHRONIK_E_BUSY;
    int64_t sent = os_sendfile(s, seg->file, seg->off, n);
    return sent == 0 ? CHRONIK_E_RANGE : sent;
}

/* One call's worth from the front; *full: the socket took less than it was offered. */
static int64_t send_some(struct net_outq *q, struct net_out_pool *pool, struct os_sock *s, bool *full)
{
    struct batch b;
    gather(q, pool, &b);
    int64_t r = b.n > 0                      ? os_send(s, b.iov, b.n, b.more && b.stop != CHRONIK_E_BUSY)
                : b.stop == CHRONIK_E_TOOBIG ? send_file(q, s)
                                             : b.stop;
    *full = b.n > 0 && r > 0 && (uint64_t)r < b.bytes;
    if (r > 0)
        q->warm -= q->warm < (uint64_t)r ? q->warm : (uint64_t)r;
    return r;
}

static enum net_flush stop_reason(int64_t r)
{
    switch (r) {
    case CHRONIK_E_AGAIN:
        return NET_FLUSH_BLOCKED;
    case CHRONIK_E_BUSY:
        return NET_FLUSH_COLD;
    case CHRONIK_E_CLOSED:
        return NET_FLUSH_DEAD;
    default:
        return NET_FLUSH_SHORT;
    }
}

enum net_flush net_outq_flush(struct net_outq *q, struct net_out_pool *pool, struct os_sock *s, uint64_t most,
                              uint64_t *bytes)
{
    *bytes = 0;
    while (q->first) {
        bool full;
        if (*bytes >= most)
            return NET_FLUSH_AGAIN;
        int64_t r = send_some(q, pool, s, &full);
        if (r <= 0)
            return stop_reason(r);
        *bytes += (uint64_t)r;
        advance(q, pool, (uint64_t)r);
        if (full)
            return NET_FLUSH_BLOCKED;
    }
    return NET_FLUSH_DONE;
}

void net_outq_clear(struct net_outq *q, struct net_out_pool *pool)
{
    while (q->first)
        pop(q, pool);
    q->mem = q->total = 0;
}
