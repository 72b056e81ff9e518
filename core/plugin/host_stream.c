/* host_stream.c: the streams of a module: reading, writing, closing. Sockets live on one I/O loop of the host; a module
 * lives on executors of its own. Every call hands its request to the loop by a post, and every completion comes back by
 * a post to the stream's executor, so a request belongs to one thread at a time and nothing here needs a lock.
 * Making streams (listen, connect) is host_connect.c. */
#include "plugin/host_stream.h"

#include <stdlib.h>

#define SEND_PIECES 16

/* ---- one request on its way: executor -> loop -> executor ---- */

static void request_ends(struct stream_request *r, int32_t result)
{
    r->result = result;
    r->active = false;
    os_exec_post(r->stream->exec->os, &r->back);
}

/* On the executor: the request is the caller's again before its completion runs. */
static void request_back(void *arg)
{
    struct stream_request *r = arg;
    struct chronik_done done = r->done;
    r->pending = false;
    done.fn(done.arg, r->result);
}

/* ---- on the loop ---- */

static void on_socket(void *arg, unsigned what);

/* Watches for what the active requests need. */
static void watch(struct chronik_stream *s)
{
    unsigned what = (s->read.active ? OS_CAN_READ : 0) | (s->write.active ? OS_CAN_WRITE : 0);
    if (what == s->watched)
        return;
    int32_t rc = os_watch(s->sock, s->loop, what, on_socket, s);
    if (rc > 0) {
        s->watched = what;
        return;
    }
    if (s->read.active)
        request_ends(&s->read, rc);
    if (s->write.active)
        request_ends(&s->write, rc);
}

static void try_read(struct chronik_stream *s)
{
    struct stream_request *r = &s->read;
    int64_t got = os_recv(s->sock, r->p, r->n < INT32_MAX ? r->n : INT32_MAX);
    if (got == CHRONIK_E_AGAIN)
        return;
    request_ends(r, got == 0 ? CHRONIK_E_CLOSED : (int32_t)got);
}

/* What is left of the caller's vector, at most `max` pieces of it. */
static uint32_t pieces_left(const struct stream_request *r, struct chronik_iov *out, uint32_t max)
{
    uint32_t n = 0;
    uint64_t skip = r->piece_done;
    for (uint32_t i = r->piece; i < r->n_iov && n < max; i++) {
        if (r->iov[i].n > skip)
            out[n++] = (struct chronik_iov){.p = (char *)r->iov[i].p + skip, .n = r->iov[i].n - skip};
        skip = 0;
    }
    return n;
}

static void advance(struct stream_request *r, uint64_t sent)
{
    r->piece_done += sent;
    while (r->piece < r->n_iov && r->piece_done >= r->iov[r->piece].n) {
        r->piece_done -= r->iov[r->piece].n;
        r->piece++;
    }
}

static void try_write(struct chronik_stream *s)
{
    struct stream_request *r = &s->write;
    struct chronik_iov left[SEND_PIECES];
    uint32_t n;
    while ((n = pieces_left(r, left, SEND_PIECES)) > 0) {
        int64_t sent = os_send(s->sock, left, n, false);
        if (sent == CHRONIK_E_AGAIN)
            return;
        if (sent < 0) {
            request_ends(r, (int32_t)sent);
            return;
        }
        advance(r, (uint64_t)sent);
    }
    request_ends(r, CHRONIK_DONE);
}

static void on_socket(void *arg, unsigned what)
{
    struct chronik_stream *s = arg;
    if ((what & OS_CAN_READ) && s->read.active)
        try_read(s);
    if ((what & OS_CAN_WRITE) && s->write.active)
        try_write(s);
    watch(s);
}

static void read_arrives(void *arg)
{
    struct chronik_stream *s = arg;
    s->read.active = true;
    try_read(s);
    watch(s);
}

static void write_arrives(void *arg)
{
    struct chronik_stream *s = arg;
    s->write.active = true;
    try_write(s);
    watch(s);
}

static void close_arrives(void *arg)
{
    struct chronik_stream *s = arg;
    os_sock_close(s->sock);
    if (s->read.active)
        request_ends(&s->read, CHRONIK_E_CANCELED);
    if (s->write.active)
        request_ends(&s->write, CHRONIK_E_CANCELED);
    os_exec_post(s->exec->os, &s->last);
}

/* On the executor, behind the completions of both requests. */
static void stream_ends(void *arg)
{
    struct chronik_stream *s = arg;
    struct chronik_exec *e = s->exec;
    free(s);
    exec_unref(e);
}

/* ---- the module's calls, on the executor ---- */

struct chronik_stream *stream_new(struct os_exec *loop, struct chronik_exec *e, struct os_sock *sock)
{
    struct chronik_stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->loop = loop;
    s->exec = e;
    s->sock = sock;
    s->read.stream = s->write.stream = s;
    s->read.there = (struct chronik_task){.fn = read_arrives, .arg = s};
    s->write.there = (struct chronik_task){.fn = write_arrives, .arg = s};
    s->read.back = (struct chronik_task){.fn = request_back, .arg = &s->read};
    s->write.back = (struct chronik_task){.fn = request_back, .arg = &s->write};
    s->close = (struct chronik_task){.fn = close_arrives, .arg = s};
    s->last = (struct chronik_task){.fn = stream_ends, .arg = s};
    exec_ref(e);
    return s;
}

static int32_t stream_read(struct chronik_stream *s, void *p, uint64_t n, struct chronik_done done)
{
    if (n == 0)
        return CHRONIK_E_INVAL;
    if (s->read.pending)
        return CHRONIK_E_BUSY;
    s->read.pending = true;
    s->read.p = p;
    s->read.n = n;
    s->read.done = done;
    os_exec_post(s->loop, &s->read.there);
    return CHRONIK_PENDING;
}

static int32_t stream_write(struct chronik_stream *s, const struct chronik_iov *iov, uint32_t n_iov,
                            struct chronik_done done)
{
    if (s->write.pending)
        return CHRONIK_E_BUSY;
    s->write.pending = true;
    s->write.iov = iov;
    s->write.n_iov = n_iov;
    s->write.piece = 0;
    s->write.piece_done = 0;
    s->write.done = done;
    os_exec_post(s->loop, &s->write.there);
    return CHRONIK_PENDING;
}

void stream_close(struct chronik_stream *s)
{
    os_exec_post(s->loop, &s->close);
}

void host_stream_fill(struct chronik_host *t)
{
    host_connect_fill(t);
    t->stream_read = stream_read;
    t->stream_write = stream_write;
    t->stream_close = stream_close;
}
