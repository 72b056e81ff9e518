#include <config.h>

/* accept.c: listeners. Accepts on loop 0 and pins each connection to the loop with the fewest. A connection beyond a
 * limit is closed at once; when descriptors run out, accepting pauses and everything that is open goes on. */
#include <stdlib.h>

#include "net/internal.h"

LOG_SUBSYSTEM("net");

enum { ACCEPTS_A_TURN = 64 };
#define PAUSE     (NET_SECOND / 10)
#define LOG_PAUSE (10 * NET_SECOND)

static void acceptable(void *listener, unsigned what);

/* ---- connections per address ---- */

static size_t ip_length(const char *peer)
{
    const char *colon = strrchr(peer, ':');
    return colon ? (size_t)(colon - peer) : strlen(peer);
}

static struct net_ip **ip_find(struct net *n, const char *peer)
{
    size_t len = min_size(ip_length(peer), sizeof(n->ips[0]->text) - 1);
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)peer[i]) * 16777619u;
    struct net_ip **at = &n->ips[hash % NET_IP_BUCKETS];
    while (*at && (strncmp((*at)->text, peer, len) != 0 || (*at)->text[len] != 0))
        at = &(*at)->next;
    return at;
}

/* Counts the peer in; false when its address has its share already. */
static bool ip_admit(struct net *n, const char *peer)
{
    bool ok = true;
    if (n->cfg.max_connections_per_ip == UINT32_MAX)
        return true;
    os_mutex_lock(&n->lock);
    struct net_ip **at = ip_find(n, peer);
    if (!*at && (*at = calloc(1, sizeof **at)))
        memcpy((*at)->text, peer, min_size(ip_length(peer), sizeof((*at)->text) - 1));
    if (!*at || (*at)->n >= n->cfg.max_connections_per_ip)
        ok = false;
    else
        (*at)->n++;
    os_mutex_unlock(&n->lock);
    return ok;
}

void net_accept_released(struct net *n, const char *peer)
{
    if (n->cfg.max_connections_per_ip == UINT32_MAX)
        return;
    os_mutex_lock(&n->lock);
    struct net_ip **at = ip_find(n, peer), *ip = *at;
    CHECK(ip && ip->n > 0);
    if (--ip->n == 0) {
        *at = ip->next;
        free(ip);
    }
    os_mutex_unlock(&n->lock);
}

/* ---- accepting ---- */

static struct net_loop *least_loaded(struct net *n)
{
    struct net_loop *best = NULL;
    uint32_t fewest = 0;
    for (uint32_t i = 0; i < n->n_loops; i++) {
        struct net_loop *l = &n->loops[(n->next_loop + i) % n->n_loops];
        uint32_t has = atomic_load(&l->n_assigned);
        if (!best || has < fewest) {
            best = l;
            fewest = has;
        }
    }
    n->next_loop = best->no + 1;
    return best;
}

static void refuse(struct net *n, struct os_sock *s, const char *peer, const char *why)
{
    metric_add(n->m.refused, 1);
    if (net_loop_may_log(&n->loops[0], os_mono_ns(n->os)))
        log_warn("connection from %s refused: %s", peer, why);
    os_sock_abort(s);
}

static void admit(struct net_listener *ln, struct os_sock *s)
{
    struct net *n = ln->net;
    char peer[sizeof((struct net_conn *)0)->peer];
    os_peer_name(s, peer, sizeof peer);
    if (atomic_load(&n->n_conns) >= __atomic_load_n(&n->cfg.max_connections, __ATOMIC_RELAXED)) {
        refuse(n, s, peer, "max.connections (or the limit of open files) is reached");
        return;
    }
    if (!ip_admit(n, peer)) {
        refuse(n, s, peer, "max.connections.per.ip is reached");
        return;
    }
    struct net_conn *c = calloc(1, sizeof *c);
    if (!c) {
        net_accept_released(n, peer);
        refuse(n, s, peer, "no memory");
        return;
    }
    c->sock = s;
    c->loop = least_loaded(n);
    c->listener = ln;
    c->id = ++n->next_id;
    c->refs = 1;
    memcpy(c->peer, peer, sizeof peer);
    c->start_task = (struct chronik_task){.fn = net_conn_start, .arg = c};
    atomic_fetch_add(&c->loop->n_assigned, 1);
    atomic_fetch_add(&n->n_conns, 1);
    metric_add(n->m.accepted, 1);
    os_exec_post(c->loop->exec, &c->start_task);
}

static void resume(void *listener)
{
    struct net_listener *ln = listener;
    if (ln->sock)
        os_watch(ln->sock, ln->net->loops[0].exec, OS_CAN_READ, acceptable, ln);
}

/* Out of descriptors or memory: the kernel's queue keeps the peers for a while. */
static void pause_accepting(struct net_listener *ln, int32_t code)
{
    struct net *n = ln->net;
    struct os_exec *loop = n->loops[0].exec;
    int64_t now = os_mono_ns(n->os);
    metric_add(n->m.pauses, 1);
    os_watch(ln->sock, loop, 0, acceptable, ln);
    os_exec_post_at(loop, &ln->resume_task, now + PAUSE);
    if (n->pause_logged == 0 || now - n->pause_logged >= LOG_PAUSE) {
        n->pause_logged = now;
        log_error("listener %s cannot accept: %s; raise the limit of open files (LimitNOFILE, ulimit -n)",
                  ln->info.name, code == CHRONIK_E_BUSY ? "this process has no file descriptor left" : "system error");
    }
}

static void acceptable(void *listener, unsigned what)
{
    struct net_listener *ln = listener;
    (void)what;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct os_sock *s;
        int32_t r = os_accept(ln->sock, &s);
        if (r == CHRONIK_E_AGAIN)
            return;
        if (r == CHRONIK_E_CLOSED)
            continue;
        if (r < 0) {
            pause_accepting(ln, r);
            return;
        }
        admit(ln, s);
    }
}

void net_listener_open(void *listener)
{
    struct net_listener *ln = listener;
    ln->resume_task = (struct chronik_task){.fn = resume, .arg = ln};
    if (ln->net->loops[0].stopping) {
        os_sock_close(ln->sock);
        ln->sock = NULL;
        return;
    }
    resume(ln);
}

void net_accept_stop(struct net *n)
{
    struct net_listener *first;
    os_mutex_lock(&n->lock);
    first = n->listeners;
    os_mutex_unlock(&n->lock);
    for (struct net_listener *ln = first; ln; ln = ln->next) {
        os_exec_cancel(n->loops[0].exec, &ln->resume_task);
        if (ln->sock)
            os_sock_close(ln->sock);
        ln->sock = NULL;
    }
}
