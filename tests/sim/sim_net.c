/* sim_net.c: virtual TCP. A stream is two sockets; what one sends travels in order, with a random delay, in pieces of
 * random size, and is read at delivery (so a file range that was sent and then truncated arrives as zeros). Cut links
 * delay and retransmit; a killed process resets or ends its streams; a machine without power is silent.
 *
 *     connecting --listener found--> up --FIN of the peer--> ended        up --RST, timeout--> reset
 *     connecting --refused, silence--> failed                             any --close--> closed (kept until the world
 * ends) */
#include <config.h>

#include "sim_impl.h"

#include <stdio.h>
#include <stdlib.h>

enum { WINDOW = 256 * 1024, SENDFILE_MAX = 256 * 1024, SYN_TRIES = 6 };
#define RETRY_FIRST (200 * SIM_MS)
#define RETRY_LAST  (30 * SIM_S)
#define GIVE_UP     (900 * SIM_S)

enum piece_kind { DATA, FIN, RST };

struct piece {
    struct piece *next;
    enum piece_kind kind;
    int64_t when; /* of arrival */
    size_t n, at; /* bytes, and how many of them were read */
    struct sim_inode *inode;
    uint64_t off;
    uint8_t data[];
};

struct pieces {
    struct piece *first, *last;
    size_t bytes;
};

enum sock_state { LISTENING, CONNECTING, UP, FAILED };

struct sim_sock {
    struct os_sock base;
    struct sim_sock *next; /* all of the world */
    struct sim_node *node;
    uint32_t incarnation;
    enum sock_state state;
    bool closed;
    /* a listener */
    uint16_t port;
    bool v6, loopback;
    struct sim_sock **backlog;
    unsigned n_backlog, max_backlog;
    /* a stream */
    struct sim_sock *peer;
    struct sim_node *to; /* where it connects to */
    int32_t result;      /* of connecting */
    struct pieces flight, received;
    size_t unacked;
    int64_t last_arrival, stuck_since, retry;
    bool armed; /* a delivery event is under way */
    bool eof, reset;
    char peer_name[64];
    /* its watcher */
    unsigned what;
    os_sock_fn fn;
    void *arg;
    struct sim_exec *loop;
    bool in_ready;
};

static struct sim_sock *live(struct os_sock *x)
{
    struct sim_sock *s = (struct sim_sock *)x;
    sim_check_alive(s->node, s->incarnation, "a socket");
    CHECK(!s->closed);
    return s;
}

static struct sim_sock *sock_new(struct sim_node *n, enum sock_state state)
{
    struct sim_sock *s = calloc(1, sizeof *s);
    CHECK(s);
    s->base.os = &n->base;
    s->node = n;
    s->incarnation = n->incarnation;
    s->state = state;
    s->next = n->w->socks;
    n->w->socks = s;
    return s;
}

/* ---- pieces ---- */

static void piece_free(struct piece *p)
{
    if (p->inode)
        sim_inode_unpin(p->inode);
    free(p);
}

static void pieces_add(struct pieces *ps, struct piece *p)
{
    p->next = NULL;
    if (ps->last)
        ps->last->next = p;
    else
        ps->first = p;
    ps->last = p;
    ps->bytes += p->n;
}

static struct piece *pieces_take(struct pieces *ps)
{
    struct piece *p = ps->first;
    ps->first = p->next;
    if (!ps->first)
        ps->last = NULL;
    ps->bytes -= p->n - p->at;
    return p;
}

static void pieces_drop(struct pieces *ps)
{
    while (ps->first)
        piece_free(pieces_take(ps));
}

static struct piece *piece_new(enum piece_kind kind, size_t room)
{
    struct piece *p = malloc(sizeof *p + room);
    CHECK(p);
    *p = (struct piece){.kind = kind};
    return p;
}

/* ---- readiness ---- */

static size_t window(struct sim_sock *s)
{
    size_t used = s->unacked + (s->peer ? s->peer->received.bytes : 0);
    return used < WINDOW ? WINDOW - used : 0;
}

static unsigned ready_bits(struct sim_sock *s)
{
    if (s->closed || s->state == CONNECTING)
        return 0;
    if (s->state == LISTENING)
        return s->n_backlog ? OS_CAN_READ : 0;
    if (s->state == FAILED || s->reset)
        return OS_CAN_READ | OS_CAN_WRITE;
    return (s->received.bytes || s->eof ? OS_CAN_READ : 0) | (window(s) ? OS_CAN_WRITE : 0);
}

/* Whatever changed: if the watcher has something to hear, its loop knows. */
static void changed(struct sim_sock *s)
{
    struct sim_exec *e = s->loop;
    if (s->in_ready || !e || !(ready_bits(s) & s->what))
        return;
    if (e->n_ready == e->cap_ready) {
        e->cap_ready = e->cap_ready ? e->cap_ready * 2 : 16;
        e->ready = realloc(e->ready, e->cap_ready * sizeof(struct sim_sock *));
        CHECK(e->ready);
    }
    e->ready[e->n_ready++] = s;
    s->in_ready = true;
}

struct firing {
    os_sock_fn fn;
    void *arg;
    unsigned what;
};

static void fire(void *arg)
{
    struct firing *f = arg;
    f->fn(f->arg, f->what);
}

bool sim_sock_fire(struct sim_exec *loop)
{
    while (loop->n_ready) {
        unsigned k = (unsigned)rng_below(&loop->node->w->sched, loop->n_ready);
        struct sim_sock *s = loop->ready[k];
        loop->ready[k] = loop->ready[--loop->n_ready];
        s->in_ready = false;
        struct firing f = {s->fn, s->arg, ready_bits(s) & s->what};
        if (!f.what)
            continue;
        sim_enter(loop->node, loop, fire, &f);
        changed(s); /* level-triggered */
        return true;
    }
    return false;
}

static int32_t net_watch(struct os_sock *x, struct os_exec *loop, unsigned what, os_sock_fn fn, void *arg)
{
    struct sim_sock *s = live(x);
    struct sim_exec *e = (struct sim_exec *)loop;
    CHECK(e->flags & OS_EXEC_LOOP && os_exec_here(loop));
    CHECK(!s->loop || s->loop == e);
    s->loop = e;
    s->what = what;
    s->fn = fn;
    s->arg = arg;
    changed(s);
    return CHRONIK_DONE;
}

/* ---- travelling ---- */

static int64_t delay(struct sim_world *w, struct sim_node *from, struct sim_node *to)
{
    if (from == to)
        return rng_range(&w->net, 5 * SIM_US, 20 * SIM_US);
    int64_t ns = rng_range(&w->net, w->net_min, w->net_max);
    return rng_below(&w->net, 128) ? ns : ns * 20;
}

static bool is_cut(struct sim_node *from, struct sim_node *to)
{
    return from->w->link_cut[from->index][to->index] || to->state == SIM_NODE_OFF;
}

static void become_reset(struct sim_sock *s)
{
    if (s->closed || s->reset)
        return;
    s->reset = true;
    s->unacked = 0;
    pieces_drop(&s->received);
    pieces_drop(&s->flight);
    changed(s);
}

/* A reset that answers something sent to a socket that is no more. */
static void reset_arrives(struct sim_world *w, void *arg, uint64_t n)
{
    struct sim_sock *s = arg;
    if (!is_cut(s->peer->node, s->node))
        become_reset(s);
}

static void acknowledge(struct sim_world *w, void *arg, uint64_t n)
{
    struct sim_sock *s = arg;
    if (s->reset || s->closed)
        return;
    if (is_cut(s->peer->node, s->node)) {
        sim_event_add(w, w->now + RETRY_FIRST, NULL, acknowledge, s, n);
        return;
    }
    s->unacked -= n < s->unacked ? n : s->unacked;
    changed(s);
}

static void arrive(struct sim_sock *s, struct piece *p)
{
    struct sim_world *w = s->node->w;
    struct sim_sock *to = s->peer;
    sim_mix(w, (uint64_t)p->kind << 32 | s->node->index << 16 | to->node->index, p->n);
    if (to->closed) {
        if (p->kind == DATA && !s->closed)
            sim_event_add(w, w->now + delay(w, to->node, s->node), NULL, reset_arrives, s, 0);
        piece_free(p);
    } else if (p->kind == DATA) {
        if (p->inode) {
            sim_inode_copy(p->inode, p->off, p->data, p->n);
            sim_inode_unpin(p->inode);
            p->inode = NULL;
        }
        sim_mix_bytes(w, p->data, p->n);
        acknowledge(w, s, p->n);
        if (to->reset)
            piece_free(p);
        else
            pieces_add(&to->received, p);
        changed(to);
    } else {
        if (p->kind == FIN)
            to->eof = true;
        else
            become_reset(to);
        piece_free(p);
        changed(to);
    }
}

static void deliver(struct sim_world *w, void *arg, uint64_t n)
{
    struct sim_sock *s = arg;
    s->armed = false;
    while (s->flight.first && s->flight.first->when <= w->now) {
        if (is_cut(s->node, s->peer->node)) {
            if (!s->retry) {
                s->stuck_since = w->now;
                s->retry = RETRY_FIRST;
            }
            if (w->now - s->stuck_since > GIVE_UP) {
                become_reset(s);
                pieces_drop(&s->flight);
                return;
            }
            sim_event_add(w, w->now + s->retry, NULL, deliver, s, 0);
            s->retry = min_i64(s->retry * 2, RETRY_LAST);
            s->armed = true;
            return;
        }
        s->retry = 0;
        arrive(s, pieces_take(&s->flight));
    }
    if (s->flight.first) {
        sim_event_add(w, s->flight.first->when, NULL, deliver, s, 0);
        s->armed = true;
    }
}

static void depart(struct sim_sock *s, struct piece *p)
{
    struct sim_world *w = s->node->w;
    p->when = max_i64(s->last_arrival, w->now + delay(w, s->node, s->peer->node));
    s->last_arrival = p->when;
    pieces_add(&s->flight, p);
    if (!s->armed) {
        sim_event_add(w, p->when, NULL, deliver, s, 0);
        s->armed = true;
    }
}

/* ---- sending and receiving ---- */

/* How much of `n` bytes goes through at once: all that fits, or less. */
static size_t some(struct sim_sock *s, uint64_t n, size_t fits)
{
    struct sim_world *w = s->node->w;
    size_t most = n < fits ? (size_t)n : fits;
    if (most > 1 && rng_below(&w->net, 2))
        return (size_t)rng_range(&w->net, 1, min_i64((int64_t)most, w->net_chunk));
    return most;
}

/* > 0: bytes that may be sent now. */
static int64_t may_send(struct sim_sock *s, uint64_t n)
{
    if (s->state == CONNECTING)
        return CHRONIK_E_AGAIN;
    if (s->state != UP || s->reset)
        return CHRONIK_E_CLOSED;
    size_t room = window(s);
    return n == 0 ? 0 : room == 0 ? CHRONIK_E_AGAIN : (int64_t)some(s, n, room);
}

static int64_t net_send(struct os_sock *x, const struct chronik_iov *iov, uint32_t n, bool more)
{
    struct sim_sock *s = live(x);
    uint64_t all = 0;
    for (uint32_t k = 0; k < n; k++)
        all += iov[k].n;
    int64_t take = may_send(s, all);
    if (take <= 0)
        return take;
    struct piece *p = piece_new(DATA, (size_t)take);
    for (uint32_t k = 0; k < n && p->n < (size_t)take; k++) {
        size_t step = min_size((size_t)iov[k].n, (size_t)take - p->n);
        if (step)
            memcpy(p->data + p->n, iov[k].p, step);
        p->n += step;
    }
    s->unacked += p->n;
    depart(s, p);
    return take;
}

static int64_t net_sendfile(struct os_sock *x, struct os_file *f, uint64_t off, uint64_t n)
{
    struct sim_sock *s = live(x);
    uint64_t size;
    struct sim_inode *inode = sim_file_pin(f, &size);
    int64_t take = 0;
    if (off < size) {
        uint64_t most = size - off < n ? size - off : n;
        take = may_send(s, most < SENDFILE_MAX ? most : SENDFILE_MAX);
    }
    if (take <= 0) {
        sim_inode_unpin(inode);
        return take;
    }
    struct piece *p = piece_new(DATA, (size_t)take);
    p->n = (size_t)take;
    p->inode = inode;
    p->off = off;
    s->unacked += p->n;
    depart(s, p);
    return take;
}

static int64_t net_recv(struct os_sock *x, void *to, size_t n)
{
    struct sim_sock *s = live(x);
    if (s->state == CONNECTING)
        return CHRONIK_E_AGAIN;
    if (s->state != UP || s->reset)
        return CHRONIK_E_CLOSED;
    if (!s->received.bytes)
        return s->eof ? 0 : CHRONIK_E_AGAIN;
    size_t take = some(s, n, s->received.bytes), done = 0;
    while (done < take) {
        struct piece *p = s->received.first;
        size_t step = min_size(take - done, p->n - p->at);
        memcpy((uint8_t *)to + done, p->data + p->at, step);
        done += step;
        p->at += step;
        s->received.bytes -= step;
        if (p->at == p->n)
            piece_free(pieces_take(&s->received));
    }
    if (s->peer)
        changed(s->peer);
    return (int64_t)take;
}

/* ---- addresses ---- */

/* Splits "host:port" or "[v6]:port". */
static bool split(const char *address, char host[64], uint16_t *port, bool *v6)
{
    const char *colon = strrchr(address, ':');
    char *end;
    if (!colon || !colon[1])
        return false;
    unsigned long v = strtoul(colon + 1, &end, 10);
    size_t n = (size_t)(colon - address);
    if (*end || v > 65535 || n >= 64)
        return false;
    *port = (uint16_t)v;
    *v6 = address[0] == '[';
    if (*v6 && (n < 2 || address[n - 1] != ']'))
        return false;
    memcpy(host, address, n);
    host[n] = 0;
    return true;
}

static bool is_loopback(const char *host)
{
    return strcmp(host, "127.0.0.1") == 0 || strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
}

static struct sim_node *node_by_host(struct sim_node *from, const char *host)
{
    if (!host[0] || is_loopback(host) || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "[::]") == 0)
        return from;
    for (unsigned i = 0; i < from->w->n_nodes; i++)
        if (strcmp(from->w->nodes[i]->name, host) == 0)
            return from->w->nodes[i];
    return NULL;
}

static struct sim_sock *listener_at(struct sim_node *n, uint16_t port, bool v6)
{
    for (struct sim_sock *s = n->w->socks; s; s = s->next)
        if (s->state == LISTENING && !s->closed && s->node == n && s->port == port && s->v6 == v6)
            return s;
    return NULL;
}

static uint16_t port_next(struct sim_world *w)
{
    w->next_port = w->next_port == 65535 ? 40000 : w->next_port + 1;
    return w->next_port;
}

/* ---- listening and accepting ---- */

static int32_t net_listen(struct os *os, const char *address, int backlog, struct os_sock **out, uint16_t *port,
                          struct err *e)
{
    struct sim_node *n = node_of(os);
    char host[64];
    uint16_t want;
    bool v6;
    CHECK(sim_up(os));
    if (!split(address, host, &want, &v6))
        return err_set(e, CHRONIK_E_INVAL, "address '%s' is not host:port or [ipv6]:port", address);
    if (node_by_host(n, host) != n)
        return err_set(e, CHRONIK_E_NOTFOUND, "cannot listen on %s: not an address of %s", address, n->name);
    if (want != 0 && listener_at(n, want, v6))
        return err_set(e, CHRONIK_E_EXISTS, "address %s is in use by another process; stop it or choose another port",
                       address);
    while (want == 0 || listener_at(n, want, v6))
        want = port_next(n->w);
    struct sim_sock *s = sock_new(n, LISTENING);
    s->port = *port = want;
    s->v6 = v6;
    s->loopback = is_loopback(host);
    s->max_backlog = backlog > 0 ? (unsigned)backlog : 1;
    s->backlog = calloc(s->max_backlog, sizeof(struct sim_sock *));
    CHECK(s->backlog);
    n->fds++;
    *out = &s->base;
    return CHRONIK_DONE;
}

static int32_t net_accept(struct os_sock *x, struct os_sock **out)
{
    struct sim_sock *l = live(x);
    if (!l->n_backlog)
        return CHRONIK_E_AGAIN;
    if (l->node->fds >= l->node->fd_limit)
        return CHRONIK_E_BUSY;
    struct sim_sock *s = l->backlog[0];
    memmove(l->backlog, l->backlog + 1, --l->n_backlog * sizeof *l->backlog);
    if (s->reset && rng_below(&l->node->w->net, 2)) {
        s->closed = true;
        return CHRONIK_E_CLOSED;
    }
    l->node->fds++;
    *out = &s->base;
    return CHRONIK_DONE;
}

/* ---- connecting ---- */

static void connect_end(struct sim_sock *s, int32_t result)
{
    s->result = result;
    s->state = result == CHRONIK_DONE ? UP : FAILED;
    changed(s);
}

static struct sim_sock *find_listener(struct sim_sock *s)
{
    struct sim_node *to = s->to;
    if (to->state != SIM_NODE_UP)
        return NULL;
    struct sim_sock *l = listener_at(to, s->port, s->v6);
    if (!l && !s->v6)
        l = listener_at(to, s->port, true);
    return l && l->loopback && to != s->node ? NULL : l;
}

static void connect_try(struct sim_world *w, void *arg, uint64_t n)
{
    struct sim_sock *s = arg;
    if (s->closed)
        return;
    struct sim_sock *l = find_listener(s);
    bool silent = is_cut(s->node, s->to) || is_cut(s->to, s->node) || (l && l->n_backlog == l->max_backlog);
    if (silent && n + 1 == SYN_TRIES) {
        connect_end(s, CHRONIK_E_TIMEDOUT);
    } else if (silent) {
        sim_event_add(w, w->now + (SIM_S << n), NULL, connect_try, s, n + 1);
    } else if (!l) {
        connect_end(s, CHRONIK_E_CLOSED);
    } else {
        struct sim_sock *p = sock_new(s->to, UP);
        p->peer = s;
        s->peer = p;
        snprintf(p->peer_name, sizeof p->peer_name, "%s:%u", s->node->name, port_next(w));
        l->backlog[l->n_backlog++] = p;
        connect_end(s, CHRONIK_DONE);
        changed(l);
    }
}

static int32_t net_connect(struct os *os, const char *address, struct os_sock **out, struct err *e)
{
    struct sim_node *n = node_of(os);
    char host[64];
    uint16_t port;
    bool v6;
    CHECK(sim_up(os));
    if (!split(address, host, &port, &v6))
        return err_set(e, CHRONIK_E_INVAL, "address '%s' is not host:port or [ipv6]:port", address);
    struct sim_node *to = node_by_host(n, host);
    if (!to)
        return err_set(e, CHRONIK_E_NOTFOUND, "address '%s' cannot be resolved: no such node", address);
    if (n->fds >= n->fd_limit)
        return err_set(e, CHRONIK_E_BUSY, "cannot connect to %s: too many open files", address);
    struct sim_sock *s = sock_new(n, CONNECTING);
    s->to = to;
    s->port = port;
    s->v6 = v6;
    snprintf(s->peer_name, sizeof s->peer_name, "%s:%u", to->name, port);
    n->fds++;
    sim_event_add(n->w, n->w->now + delay(n->w, n, to), NULL, connect_try, s, 0);
    *out = &s->base;
    return CHRONIK_DONE;
}

static int32_t net_connect_result(struct os_sock *x)
{
    struct sim_sock *s = live(x);
    return s->state == CONNECTING ? CHRONIK_E_AGAIN : s->state == FAILED ? s->result : CHRONIK_DONE;
}

/* ---- closing and dying ---- */

/* What the kernel does when the last handle goes. */
static void kernel_close(struct sim_sock *s, bool reset)
{
    bool rst = reset || s->received.bytes > 0;
    s->closed = true;
    s->what = 0;
    for (unsigned k = 0; k < s->n_backlog; k++)
        kernel_close(s->backlog[k], true);
    s->n_backlog = 0;
    pieces_drop(&s->received);
    if (s->state == UP && !s->reset)
        depart(s, piece_new(rst ? RST : FIN, 0));
}

static void net_close(struct os_sock *x, bool reset)
{
    struct sim_sock *s = live(x);
    CHECK(!s->loop || os_exec_here(&s->loop->base));
    s->node->fds--;
    kernel_close(s, reset);
}

void sim_net_node_died(struct sim_node *n, bool power)
{
    for (struct sim_sock *s = n->w->socks; s; s = s->next) {
        if (s->node != n)
            continue;
        if (power)
            pieces_drop(&s->flight); /* also what a process that died earlier had left to send */
        if (s->closed)
            continue;
        if (power) {
            s->closed = true;
            s->n_backlog = 0;
            pieces_drop(&s->received);
        } else {
            kernel_close(s, false);
        }
    }
}

void sim_net_free(struct sim_world *w)
{
    for (struct sim_sock *s = w->socks, *next; s; s = next) {
        next = s->next;
        pieces_drop(&s->flight);
        pieces_drop(&s->received);
        free(s->backlog);
        free(s);
    }
    w->socks = NULL;
}

static void net_peer_name(struct os_sock *s, char *buf, size_t n)
{
    snprintf(buf, n, "%s", live(s)->peer_name);
}

static uint64_t net_file_limit(struct os *os)
{
    return node_of(os)->fd_limit;
}

/* ---- what a test may do to the network ---- */

void sim_net_latency(struct sim_world *w, int64_t min_ns, int64_t max_ns)
{
    w->net_min = min_ns;
    w->net_max = max_ns;
}

void sim_net_chunk(struct sim_world *w, uint32_t bytes)
{
    CHECK(bytes > 0);
    w->net_chunk = bytes;
}

void sim_net_cut(struct os *from, struct os *to, bool cut)
{
    struct sim_world *w = node_of(from)->w;
    CHECK(from != to);
    w->link_cut[node_of(from)->index][node_of(to)->index] = cut;
    sim_note(w, "link %s -> %s %s", node_of(from)->name, node_of(to)->name, cut ? "cut" : "healed");
}

void sim_net_isolate(struct os *node, bool cut)
{
    struct sim_world *w = node_of(node)->w;
    for (unsigned i = 0; i < w->n_nodes; i++)
        if (&w->nodes[i]->base != node) {
            sim_net_cut(node, &w->nodes[i]->base, cut);
            sim_net_cut(&w->nodes[i]->base, node, cut);
        }
}

unsigned sim_net_reset(struct os *a, struct os *b)
{
    unsigned n = 0;
    for (struct sim_sock *s = node_of(a)->w->socks; s; s = s->next) {
        if (s->state != UP || s->closed || s->reset || &s->node->base != a || &s->peer->node->base != b)
            continue;
        struct sim_sock *peer = s->peer;
        become_reset(s);
        become_reset(peer);
        n++;
    }
    return n;
}

const struct os_net_ops sim_net_ops = {
    .listen = net_listen,
    .accept = net_accept,
    .connect = net_connect,
    .connect_result = net_connect_result,
    .watch = net_watch,
    .recv = net_recv,
    .send = net_send,
    .sendfile = net_sendfile,
    .close = net_close,
    .peer_name = net_peer_name,
    .file_limit = net_file_limit,
};
