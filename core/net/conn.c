#include <config.h>

/* conn.c: a connection between accept and close. Each turn cuts frames, hands them to the handler, and sends what is
 * ready; a turn is bounded, so that no peer keeps the loop from the others. Nothing is torn down inside a call of the
 * handler: a doomed connection is closed at the end of its turn. Runs on the connection's loop only.
 *
 *   accepted -> open -> (eof: no more requests, answers go out) -> doomed -> closed -> freed with the last reference
 *                 '-----------------------------------------------^ */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/internal.h"

LOG_SUBSYSTEM("net");

static void conn_event(void *conn, unsigned what);

void net_conn_doom(struct net_conn *c, enum net_blame blame, const char *fmt, ...)
{
    va_list ap;
    if (net_conn_dead(c))
        return;
    c->doomed = true;
    c->blame = blame;
    va_start(ap, fmt);
    vsnprintf(c->why, sizeof c->why, fmt, ap);
    va_end(ap);
    net_loop_dirty(c);
}

void net_conn_unref(struct net_conn *c)
{
    CHECK(c->refs > 0);
    if (--c->refs > 0)
        return;
    struct net_loop *l = c->loop;
    net_outq_clear(&c->out, &l->outs);
    free(c);
    net_loop_freed(l);
}

/* What a peer does is its own affair; what we decide on is told with its reason, a bounded number of times a second. */
static void log_close(struct net_conn *c)
{
    if (c->blame == NET_BLAME_PEER)
        log_debug("connection %llu from %s closed: %s", (unsigned long long)c->id, c->peer, c->why);
    else if (!net_loop_may_log(c->loop, os_mono_ns(c->loop->net->os)))
        return;
    else if (c->blame == NET_BLAME_POLICY)
        log_info("connection %llu from %s on %s closed: %s", (unsigned long long)c->id, c->peer, c->listener->info.name,
                 c->why);
    else
        log_warn("connection %llu from %s on %s closed: %s", (unsigned long long)c->id, c->peer, c->listener->info.name,
                 c->why);
}

static void conn_close(struct net_conn *c)
{
    struct net *n = c->loop->net;
    c->closed = true;
    log_close(c);
    os_sock_close(c->sock);
    c->sock = NULL;
    if (c->mute_until)
        os_exec_cancel(c->loop->exec, &c->mute_task);
    net_input_clear(&c->in);
    net_req_cancel_all(c);
    if (!c->cold)
        net_outq_clear(&c->out, &c->loop->outs);
    n->handler.conn_closed(n->handler.arg, c);
    net_accept_released(n, c->peer);
    net_loop_forget(c);
    net_conn_unref(c);
}

/* ---- input ---- */

/* Whether another request may be taken up. */
static bool may_take(const struct net_conn *c)
{
    const struct net_config *cfg = &c->loop->net->cfg;
    return !net_conn_dead(c) && !c->mute_until && !c->loop->stopping && c->n_reqs < cfg->max_in_flight &&
           c->out.mem < cfg->max_unsent;
}

/* Whether the connection had its share of this turn. */
static bool turn_over(const struct net_conn *c, size_t taken)
{
    return taken >= NET_TURN_RECV || c->frames - c->turn_frames >= NET_TURN_REQUESTS;
}

static bool may_read(const struct net_conn *c)
{
    return may_take(c) && !c->eof && !c->starved;
}

static void no_input(struct net_conn *c, int32_t r)
{
    if (r == CHRONIK_E_BUSY)
        net_loop_starve(c);
    else
        net_conn_doom(c, NET_BLAME_FAULT, "no memory to receive its request");
}

static void dispatch(struct net_conn *c)
{
    struct net *n = c->loop->net;
    int64_t now = 0;
    uint64_t before = c->frames;
    while (may_take(c) && !c->starved && !turn_over(c, 0)) {
        struct net_frame f;
        const char *why;
        int32_t r = net_input_next(&c->in, &c->loop->pool, n->cfg.max_frame, &f, &why);
        if (r == CHRONIK_E_AGAIN)
            break;
        if (r == CHRONIK_E_INVAL) {
            net_conn_doom(c, NET_BLAME_FAULT, "%s", why);
            break;
        }
        if (r < 0) {
            no_input(c, r);
            break;
        }
        if (now == 0)
            now = os_mono_ns(n->os);
        struct net_req *req = net_req_take(c, &f, now);
        if (!req) {
            no_input(c, CHRONIK_E_NOMEM);
            break;
        }
        n->handler.request(n->handler.arg, req);
    }
    if (c->frames == before)
        return;
    net_cold_note(c, now);
    metric_add(n->m.requests, (int64_t)(c->frames - before));
    if (n->handler.received)
        n->handler.received(n->handler.arg, c->loop->no);
}

/* One receive and the requests in it. True when the socket may have more. */
static bool receive(struct net_conn *c, size_t *taken)
{
    uint8_t *p;
    size_t n;
    int32_t r = net_input_space(&c->in, &c->loop->pool, &p, &n);
    if (r == CHRONIK_E_NOMEM && net_input_drop(&c->in))
        r = net_input_space(&c->in, &c->loop->pool, &p, &n);
    if (r < 0) {
        no_input(c, r);
        return false;
    }
    int64_t got = os_recv(c->sock, p, n);
    if (got == CHRONIK_E_AGAIN)
        return false;
    if (got == 0) {
        c->eof = true;
        c->eof_at = os_mono_ns(c->loop->net->os);
        return false;
    }
    if (got < 0) {
        if (got == CHRONIK_E_CLOSED)
            net_conn_doom(c, NET_BLAME_PEER, "reset by the peer");
        else
            net_conn_doom(c, NET_BLAME_FAULT, "receiving from it failed (code %d)", (int)got);
        return false;
    }
    net_input_filled(&c->in, (size_t)got, n);
    *taken += (size_t)got;
    dispatch(c);
    return (size_t)got == n;
}

/* ---- output ---- */

/* Sends what the socket takes. True when all is gone. */
static bool flush(struct net_conn *c, int64_t now)
{
    uint64_t bytes = 0;
    if (!c->out.first)
        return true;
    if (c->cold || c->blocked || net_conn_dead(c))
        return false;
    uint64_t most = net_pressed(c->loop->net, now) ? NET_FLUSH_PRESSED : NET_FLUSH_MAX;
    enum net_flush r = net_outq_flush(&c->out, &c->loop->outs, c->sock, most, &bytes);
    if (bytes > 0) {
        metric_add(c->loop->net->m.bytes_out, (int64_t)bytes);
        c->last_io = now;
    }
    c->blocked = r == NET_FLUSH_BLOCKED;
    switch (r) {
    case NET_FLUSH_DONE:
        return true;
    case NET_FLUSH_AGAIN:
        c->again = true;
        return false;
    case NET_FLUSH_COLD:
        net_cold_start(c);
        return false;
    case NET_FLUSH_DEAD:
        net_conn_doom(c, NET_BLAME_PEER, "reset by the peer");
        return false;
    case NET_FLUSH_SHORT:
        net_conn_doom(c, NET_BLAME_FAULT, "a file range of its answer was truncated meanwhile or cannot be read");
        return false;
    case NET_FLUSH_BLOCKED:
        return false;
    }
    return false;
}

/* ---- turns ---- */

/* A frame in progress is timed from its first byte; the clock stands while we do not read. */
static void time_partial(struct net_conn *c, int64_t now)
{
    if (net_input_have(&c->in) == 0 || !c->in.partial)
        c->partial_since = 0;
    else if (c->partial_since == 0 || c->partial_frame != c->frames || !(c->watched & OS_CAN_READ))
        c->partial_since = now;
    c->partial_frame = c->frames;
}

static void settle(struct net_conn *c, int64_t now)
{
    bool ending = c->loop->stopping || (c->eof && (net_input_have(&c->in) == 0 || c->in.partial));
    if (ending && !c->first && !c->out.first)
        net_conn_doom(c, c->eof ? NET_BLAME_PEER : NET_BLAME_POLICY,
                      c->eof ? "closed by the peer" : "the broker is stopping");
    if (c->doomed) {
        conn_close(c);
        return;
    }
    net_input_rest(&c->in);
    time_partial(c, now);
    uint32_t what = (may_read(c) ? OS_CAN_READ : 0u) | (c->blocked && !c->cold ? OS_CAN_WRITE : 0u);
    if (what != c->watched) {
        c->watched = what;
        if (os_watch(c->sock, c->loop->exec, what, conn_event, c) < 0) {
            net_conn_doom(c, NET_BLAME_FAULT, "its socket cannot be watched");
            conn_close(c);
            return;
        }
    }
    if (c->again)
        net_loop_dirty(c);
}

/* Whether a further round would take up or receive something. */
static bool worth_a_round(struct net_conn *c, bool more, size_t taken)
{
    bool cut = net_input_have(&c->in) > 0 && !c->in.partial;
    if (!may_take(c) || c->starved)
        return false;
    if (turn_over(c, taken)) {
        c->again = cut; /* the socket itself will tell of more bytes */
        return false;
    }
    return cut || (more && !c->eof);
}

void net_conn_turn(struct net_conn *c, bool can_read)
{
    struct net *n = c->loop->net;
    int64_t began = os_mono_ns(n->os);
    size_t taken = 0;
    bool more = can_read;
    c->refs++;
    c->in_turn = true;
    c->again = false;
    c->turn_frames = c->frames;
    do {
        dispatch(c);
        if (more)
            more = may_read(c) && !turn_over(c, taken) && receive(c, &taken);
    } while (flush(c, began) && worth_a_round(c, more, taken));
    c->in_turn = false;
    if (!c->starved)
        c->starved_since = 0;
    if (taken > 0)
        metric_add(n->m.bytes_in, (int64_t)taken);
    int64_t now = os_mono_ns(n->os);
    if (taken > 0 || c->moved)
        c->last_io = now;
    c->moved = false;
    if (!c->closed)
        settle(c, now);
    metric_add(c->loop->busy, now - began);
    if (now - began > NET_STALL)
        metric_add(n->m.stalls, 1);
    net_conn_unref(c);
}

static void conn_event(void *conn, unsigned what)
{
    struct net_conn *c = conn;
    if (what & OS_CAN_WRITE)
        c->blocked = false;
    net_conn_turn(c, what & OS_CAN_READ);
}

/* How long a frame in progress may take. Those who hold buffers for one and send slowly must not keep all others from
 * getting any. */
static int64_t input_grace(const struct net *n)
{
    const struct net_budget *b = &n->budget;
    bool scarce = atomic_load(&b->waiting) > 0 && atomic_load(&b->used) > b->max / 4 * 3;
    return scarce ? n->cfg.partial_ns / NET_SHORT : n->cfg.partial_ns;
}

void net_conn_check(struct net_conn *c, int64_t now)
{
    const struct net_config *cfg = &c->loop->net->cfg;
    size_t have = net_input_have(&c->in) + (c->in.cut ? c->in.dropped - c->in.to_drop : 0);
    int64_t grace = input_grace(c->loop->net);
    bool waiting = c->out.first || !c->first;
    if (c->eof && now - c->eof_at > NET_EOF_GRACE)
        net_conn_doom(c, NET_BLAME_PEER, "closed by the peer");
    else if (cfg->idle_ns >= 0 && waiting && !c->moved && now - c->last_io > cfg->idle_ns)
        net_conn_doom(c, NET_BLAME_POLICY, "idle for longer than connections.max.idle.ms");
    else if (c->starved && have > 0 && now - c->starved_since > grace)
        net_conn_doom(c, NET_BLAME_FAULT,
                      "memory for its request was not to be had for %lld s (queued.max.request.bytes)",
                      (long long)((now - c->starved_since) / NET_SECOND));
    else if (c->partial_since && (c->watched & OS_CAN_READ) &&
             now - c->partial_since > grace + (int64_t)have * (NET_SECOND / NET_MIN_RATE))
        net_conn_doom(c, NET_BLAME_FAULT, "its request did not arrive in time (%zu bytes in %lld s)", have,
                      (long long)((now - c->partial_since) / NET_SECOND));
}

static void unmute(void *conn)
{
    struct net_conn *c = conn;
    c->mute_until = 0;
    net_loop_dirty(c);
}

void net_mute(struct net_conn *c, int64_t until_mono_ns)
{
    if (net_conn_dead(c) || until_mono_ns <= c->mute_until)
        return;
    c->mute_until = until_mono_ns;
    c->mute_task.fn = unmute;
    c->mute_task.arg = c;
    os_exec_post_at(c->loop->exec, &c->mute_task, until_mono_ns);
    net_loop_dirty(c);
}

void net_conn_start(void *conn)
{
    struct net_conn *c = conn;
    struct net *n = c->loop->net;
    c->last_io = os_mono_ns(n->os);
    net_loop_adopt(c);
    n->handler.conn_opened(n->handler.arg, c);
    net_conn_turn(c, true);
}

/* ---- what a handler may ask ---- */

void *net_conn_user(const struct net_conn *c)
{
    return c->user;
}

void net_conn_set_user(struct net_conn *c, void *user)
{
    c->user = user;
}

const char *net_conn_peer(const struct net_conn *c)
{
    return c->peer;
}

uint64_t net_conn_id(const struct net_conn *c)
{
    return c->id;
}

uint32_t net_conn_loop_no(const struct net_conn *c)
{
    return c->loop->no;
}

const struct net_listener_info *net_conn_listener(const struct net_conn *c)
{
    return &c->listener->info;
}

bool net_conn_alive(const struct net_conn *c)
{
    return !net_conn_dead(c);
}
