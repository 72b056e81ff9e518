#include <config.h>

/* request.c: the life of a request between the cut of its frame and its place in the out-queue. Keeps the order of
 * answers: one that is ready early is held until all before it are. Runs on the connection's loop only. */
#include <stdlib.h>

#include "net/internal.h"

static struct net_req_box *box_of(struct net_req *r)
{
    return CONTAINER_OF(r, struct net_req_box, r);
}

static void count_pending(struct net_loop *l, int32_t delta)
{
    uint32_t now = atomic_load_explicit(&l->n_pending, memory_order_relaxed);
    atomic_store_explicit(&l->n_pending, now + (uint32_t)delta, memory_order_relaxed);
}

struct net_req *net_req_take(struct net_conn *c, const struct net_frame *f, int64_t now)
{
    struct net_loop *l = c->loop;
    struct net_req_box *b = l->free_reqs;
    if (b) {
        l->free_reqs = (struct net_req_box *)(void *)b->r.next;
        l->n_free_reqs--;
    } else {
        b = malloc(sizeof *b);
        if (!b)
            return NULL;
        net_budget_add(&l->net->budget, sizeof *b);
    }
    struct net_req *r = &b->r;
    *r = (struct net_req){.conn = c,
                          .loop = l->exec,
                          .loop_no = l->no,
                          .n = f->n,
                          .dropped = f->dropped,
                          .frame = f->p,
                          .received_ns = now,
                          .listener = &c->listener->info,
                          .state = REQ_PENDING,
                          .prev = c->last};
    if (f->n <= NET_SMALL_FRAME) {
        memcpy(b->small, f->p, f->n);
        r->frame = b->small;
    } else {
        r->buf = c->in.buf;
        r->buf->refs++;
    }
    if (c->last)
        c->last->next = r;
    else
        c->first = r;
    c->last = r;
    c->n_reqs++;
    c->refs++;
    c->frames++;
    count_pending(l, 1);
    return r;
}

void net_req_trim(struct net_loop *l, uint32_t keep)
{
    while (l->n_free_reqs > keep) {
        struct net_req_box *b = l->free_reqs;
        l->free_reqs = (struct net_req_box *)(void *)b->r.next;
        l->n_free_reqs--;
        free(b);
        net_budget_sub(&l->net->budget, sizeof *b);
    }
}

struct net_req *net_req_before(const struct net_req *r)
{
    return r->prev;
}

void net_frame_release(struct net_req *r)
{
    if (r->buf)
        net_buf_unref(r->buf);
    r->buf = NULL;
    r->frame = NULL;
}

/* Takes r out of its connection and frees it. */
static void req_end(struct net_req *r)
{
    struct net_conn *c = r->conn;
    struct net_loop *l = c->loop;
    struct net_req_box *b = box_of(r);
    net_frame_release(r);
    if (r->segs != b->few)
        free(r->segs);
    if (r->prev)
        r->prev->next = r->next;
    else
        c->first = r->next;
    if (r->next)
        r->next->prev = r->prev;
    else
        c->last = r->prev;
    c->n_reqs--;
    if (!c->first)
        c->moved = true; /* idle from this turn on: a slow request does not count */
    r->next = l->free_reqs ? &l->free_reqs->r : NULL;
    l->free_reqs = b;
    l->n_free_reqs++;
    net_conn_unref(c);
}

/* Puts the answer of the first request into the out-queue. */
static void emit(struct net_conn *c, const struct net_seg *segs, uint32_t n, uint64_t bytes, void (*sent)(void *arg),
                 void *sent_arg)
{
    if (!net_conn_dead(c)) {
        if (net_outq_put(&c->out, &c->loop->outs, segs, n, bytes, sent, sent_arg) == CHRONIK_DONE)
            return;
        net_conn_doom(c, NET_BLAME_FAULT, "no memory for an answer of %llu bytes", (unsigned long long)bytes);
    }
    if (sent)
        sent(sent_arg);
}

/* Keeps an answer until the ones before it are there. */
static bool hold(struct net_req *r, const struct net_seg *segs, uint32_t n, uint64_t bytes, void (*sent)(void *arg),
                 void *sent_arg)
{
    struct net_req_box *b = box_of(r);
    r->segs = n <= ARRAY_LEN(b->few) ? b->few : calloc(n, sizeof *segs);
    if (!r->segs)
        return false;
    memcpy(r->segs, segs, n * sizeof *segs);
    r->n_segs = n;
    r->answer_bytes = bytes;
    r->sent = sent;
    r->sent_arg = sent_arg;
    r->state = REQ_HELD;
    return true;
}

static void emit_held(struct net_conn *c)
{
    while (c->first && c->first->state == REQ_HELD) {
        struct net_req *r = c->first;
        emit(c, r->segs, r->n_segs, r->answer_bytes, r->sent, r->sent_arg);
        req_end(r);
    }
}

/* A request is answered; its connection stays valid until `leave`. */
static struct net_conn *enter(struct net_req *r)
{
    struct net_conn *c = r->conn;
    CHECK(r->state != REQ_HELD && os_exec_here(c->loop->exec));
    count_pending(c->loop, -1);
    c->refs++;
    return c;
}

static void leave(struct net_conn *c)
{
    if (!c->closed) {
        emit_held(c);
        net_loop_dirty(c);
    }
    net_conn_unref(c);
}

void net_answer(struct net_req *r, const struct net_seg *segs, uint32_t n, void (*sent)(void *arg), void *sent_arg)
{
    struct net_conn *c = enter(r);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++)
        bytes += segs[i].n;
    CHECK(bytes <= INT32_MAX);
    if (!net_conn_dead(c) && c->first != r) {
        net_frame_release(r);
        if (hold(r, segs, n, bytes, sent, sent_arg)) {
            leave(c);
            return;
        }
        net_conn_doom(c, NET_BLAME_FAULT, "no memory to hold an answer");
    }
    emit(c, segs, n, bytes, sent, sent_arg);
    req_end(r);
    leave(c);
}

void net_no_answer(struct net_req *r)
{
    struct net_conn *c = enter(r);
    req_end(r);
    leave(c);
}

void net_drop(struct net_req *r, const char *why)
{
    struct net_conn *c = enter(r);
    net_conn_doom(c, NET_BLAME_FAULT, "%s", why);
    req_end(r);
    leave(c);
}

/* Held answers are let go, everything else is told that nobody waits any more. */
void net_req_cancel_all(struct net_conn *c)
{
    const struct net_handler *h = &c->loop->net->handler;
    struct net_req *r = c->first;
    c->refs++;
    while (r) {
        if (r->state == REQ_HELD) {
            if (r->sent)
                r->sent(r->sent_arg);
            req_end(r);
        } else if (r->state == REQ_PENDING) {
            r->state = REQ_CANCELED;
            h->canceled(h->arg, r);
        } else {
            r = r->next;
            continue;
        }
        r = c->first; /* the callback may have ended any of them */
    }
    net_conn_unref(c);
}
