/* conn.c: reading and writing of one connection; see conn.h. While one write is under way what is sent next gathers in
 * the other buffer. Raft executor. */
#include "conn.h"
#include "net.h"

#include <stdio.h>
#include <stdlib.h>

enum { READ_BYTES = 16 << 10, KEEP_BYTES = 64 << 10 };

struct conn *conn_new(chronik_meta *m, struct chronik_stream *s, const char *peer)
{
    struct conn *c = raft_alloc(m, sizeof *c);
    c->m = m;
    c->s = s;
    c->limit = WIRE_SMALL;
    snprintf(c->peer, sizeof c->peer, "%s", peer);
    m->net->conns++;
    return c;
}

static void conn_free(struct conn *c)
{
    chronik_meta *m = c->m;
    if (!c->closed || c->reading || c->writing)
        return;
    free(c->in);
    free(c->out.p);
    free(c->busy.p);
    free(c);
    m->net->conns--;
    if (!m->net->conns)
        raft_post(m); /* a close may wait for it; still on the executor, so it cannot have ended */
}

static void drop(struct conn *c, int32_t why)
{
    void (*lost)(struct conn *, int32_t) = c->owner ? c->lost : NULL;
    if (c->closed)
        return;
    if (lost)
        lost(c, why); /* the owner lets go; it may close */
    conn_close(c);
}

void conn_close(struct conn *c)
{
    if (c->closed)
        return;
    c->closed = true;
    c->owner = NULL;
    c->m->host.stream_close(c->s);
    if (!c->reading && !c->writing)
        conn_free(c);
}

/* ---- reading ---- */

/* All whole frames of the buffer; false: the connection is no good. */
static bool take_frames(struct conn *c, size_t *need)
{
    size_t at = 0;
    bool good = true;
    while (good && !c->closed) {
        enum wire_type type;
        const uint8_t *body;
        uint32_t n;
        int got = wire_frame(c->in + at, c->in_n - at, c->limit, c->m->host.crc32c, &type, &body, &n, need);
        if (got <= 0) {
            good = got == 0;
            break;
        }
        good = c->frame(c, type, body, n);
        at += *need;
    }
    if (c->closed || !good)
        return good;
    memmove(c->in, c->in + at, c->in_n - at);
    c->in_n -= at;
    return true;
}

static void read_more(struct conn *c, size_t need);

static void read_done(void *arg, int32_t rc)
{
    struct conn *c = arg;
    chronik_meta *m = c->m;
    size_t need = 0;
    c->reading = false;
    if (c->closed) {
        conn_free(c);
        return;
    }
    if (rc < 0) {
        drop(c, rc);
        return;
    }
    c->in_n += (size_t)rc;
    c->reading = true; /* keeps it alive while its frames are looked at */
    bool good = take_frames(c, &need);
    c->reading = false;
    if (c->closed) {
        conn_free(c);
    } else if (!good) {
        if (net_may_say(m))
            util_log(&m->host, CHRONIK_LOG_WARN,
                     "connection of %s closed: what it sends is not of a chronik replica of this version", c->peer);
        drop(c, CHRONIK_E_CORRUPT);
    } else {
        read_more(c, need);
    }
    raft_post(m);
}

static void read_more(struct conn *c, size_t need)
{
    size_t want = need > c->in_n ? need : c->in_n + 1;
    size_t cap = want > READ_BYTES ? want : READ_BYTES;
    if (c->in_cap < want || (c->in_cap > KEEP_BYTES && want <= READ_BYTES)) {
        uint8_t *p = realloc(c->in, cap);
        if (!p) {
            drop(c, CHRONIK_E_NOMEM);
            return;
        }
        c->in = p;
        c->in_cap = cap;
    }
    c->reading = true;
    int32_t rc =
        c->m->host.stream_read(c->s, c->in + c->in_n, c->in_cap - c->in_n, (struct chronik_done){read_done, c});
    if (rc < 0) {
        c->reading = false;
        drop(c, rc);
    }
}

void conn_begin(struct conn *c)
{
    read_more(c, WIRE_HEAD);
}

/* ---- writing ---- */

static void write_done(void *arg, int32_t rc)
{
    struct conn *c = arg;
    chronik_meta *m = c->m;
    c->writing = false;
    if (c->closed) {
        conn_free(c);
        return;
    }
    if (rc < 0) {
        drop(c, rc);
        raft_post(m);
        return;
    }
    c->busy.n = 0;
    if (c->busy.cap > 1 << 20) {
        free(c->busy.p);
        c->busy = (struct wbuf){0};
    }
    if (c->out.n)
        conn_flush(c);
    else if (c->drained)
        c->drained(c);
}

void conn_flush(struct conn *c)
{
    if (c->closed || c->writing)
        return;
    if (c->out.full) { /* a frame was left out for want of memory: the peer must not miss it silently */
        drop(c, CHRONIK_E_NOMEM);
        return;
    }
    if (!c->out.n)
        return;
    struct wbuf swap = c->busy;
    c->busy = c->out;
    c->out = swap;
    c->iov = (struct chronik_iov){c->busy.p, c->busy.n};
    c->writing = true;
    c->wrote = net_now(c->m);
    int32_t rc = c->m->host.stream_write(c->s, &c->iov, 1, (struct chronik_done){write_done, c});
    if (rc < 0) {
        c->writing = false;
        drop(c, rc);
    }
}
