/* peer.c: the peers that this replica writes to: dialing, the handshake, two lanes each, and what a lost connection
 * proves. A peer is dialed for every member of the group, for the named voters while there is no group, and for the
 * servers through which a new node finds its quorum. Reconnecting backs off with jitter from 50 ms to 2 s, and begins
 * anew when the peer dials us. Raft executor. */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    BACKOFF_MS = 50,
    BACKOFF_MOST_MS = 2000,
    DIAL_MS = 2000,
    WELCOME_MS = 3000,
    QUIET_MS = 1000,
    BULK_MOST = 32 << 20,
    SAY_MS = 30000
};

#define BOOT_NEVER UINT64_MAX /* higher than any: never again */

/* An attempt to connect; it outlives the lane when that is dropped. */
struct dial {
    chronik_meta *m;
    struct lane *lane; /* NULL: nobody waits for it any more */
    struct chronik_stream *stream;
};

int64_t net_now(chronik_meta *m)
{
    return m->host.mono_ns(m->host.ctx);
}

struct peer *peer_of(chronik_meta *m, uint64_t replica)
{
    for (struct peer *p = m->net->peers; p; p = p->next)
        if (p->replica == replica)
            return p;
    return NULL;
}

bool peer_ready(const struct peer *p, uint32_t lane)
{
    return p->lane[lane].conn && p->lane[lane].welcome;
}

/* ---- what a lost connection means ---- */

/* Its stream broke and its port refuses, or somebody else answers there: it is dead, nobody need wait for the silence
 * to last. Every follower that sees the same forgets it, then one after another asks for pre-votes. */
void peer_died(chronik_meta *m, uint64_t replica, const char *address, const char *proof)
{
    if (!m->rc || m->lead != replica || !replica || m->leads)
        return;
    util_log(&m->host, CHRONIK_LOG_INFO, "the leader, %s, is gone: %s", address, proof);
    rc_forget_leader(m->rc);
    clock_campaign_news(m, (int64_t)raft_random(m, 50) * RAFT_MS);
    raft_post(m);
}

/* What it opened to us in that life it will not close any more: it must not look as if it were there. */
static void proven_dead(chronik_meta *m, struct peer *p, uint64_t boot)
{
    p->suspect = false;
    accept_forget(m, p->replica, boot + 1);
    peer_died(m, p->replica, p->address, "its connection broke and its port refuses");
}

static void again_later(chronik_meta *m, struct lane *l, int64_t least)
{
    int64_t b = l->backoff ? l->backoff * 2 : BACKOFF_MS * RAFT_MS;
    l->backoff = b < BACKOFF_MOST_MS * RAFT_MS ? b : BACKOFF_MOST_MS * RAFT_MS;
    int64_t wait = l->backoff / 2 + (int64_t)raft_random(m, (uint64_t)l->backoff / 2);
    l->retry_at = net_now(m) + (wait > least ? wait : least);
}

static void lane_drop(struct lane *l)
{
    if (l->conn) {
        struct conn *c = l->conn;
        l->conn = NULL;
        conn_close(c);
    }
    l->welcome = false;
}

static void lane_lost(struct conn *c, int32_t why)
{
    struct lane *l = c->owner;
    struct peer *p = l->peer;
    chronik_meta *m = c->m;
    bool was = l->welcome;
    l->conn = NULL;
    l->welcome = false;
    p->why = why;
    if (p->sending)
        stream_drop(p);
    if (m->rc && p->replica && was)
        rc_report_unreachable(m->rc, p->replica);
    if (l->number == LANE_BULK) {
        if (p->replica == m->net->forward_to)
            forward_cancel(m);
        again_later(m, l, 0);
        return;
    }
    lane_drop(&p->lane[LANE_BULK]);
    p->told_form = false;
    if (p->replica)
        ask_lost(m, p->replica);
    if (p->replica == m->net->forward_to)
        forward_cancel(m);
    if (was && !m->net->closing) { /* at once: a refused port is evidence */
        p->suspect = true;
        l->backoff = 0;
        l->retry_at = net_now(m);
    } else {
        again_later(m, l, 0);
    }
}

/* ---- the handshake ---- */

void peer_hello(chronik_meta *m, const struct peer *p, uint32_t lane, struct hello *h)
{
    *h = (struct hello){.lane = lane,
                        .formed = m->id.formed && m->rc,
                        .group_id = m->id.group_id,
                        .node = m->cfg.node_id,
                        .replica = m->id.replica,
                        .boot = m->hard.boot,
                        .nonce = m->net->nonce,
                        .want = p ? p->replica : 0,
                        .voters_hash = m->quorum.voters_hash,
                        .wants_join = m->quorum.auto_join && !(m->rc && raft_self_voter(m))};
    if (!h->formed)
        memset(&h->group_id, 0, sizeof h->group_id);
    h->group_at = m->rc ? m->group_now->index : 0;
    h->directory = m->quorum.directory;
    memcpy(h->address, m->quorum.address, sizeof h->address);
}

/* `by_peer`: it does not want us; else it is we who do not want it, and its old disk says nothing of ours. */
static void refused(chronik_meta *m, struct peer *p, uint32_t status, bool by_peer)
{
    int64_t now = net_now(m);
    bool news = p->refused != status || now - p->refused_said > SAY_MS * RAFT_MS;
    p->refused = status;
    if (status == WIRE_STALE && by_peer && !m->net->stale) {
        /* Never vote again: we may have voted already in a life that this disk does not know. The log keeps it, for
         * with each start our counter comes nearer to those that others have seen. */
        net_boot_seen(m, m->id.replica, m->hard.boot, 0);
        disk_peer(m, m->id.replica, m->hard.boot, 0);
        news = true;
    }
    if (status == WIRE_SUPERSEDED)
        force_superseded(m, p);
    if (!news)
        return;
    p->refused_said = now;
    util_log(&m->host, status == WIRE_STALE && by_peer ? CHRONIK_LOG_ERROR : CHRONIK_LOG_WARN, "%s %s: %s", p->address,
             by_peer ? "refuses this node" : "is refused by this node", wire_refusal_text(status));
}

static void boot_note(chronik_meta *m, const struct hello *h, uint64_t boot)
{
    net_boot_seen(m, h->replica, boot, h->nonce);
    disk_peer(m, h->replica, boot, h->nonce);
}

/* Counts a boot that is higher than any before; the log remembers it. A lower one may be an old connection's; the same
 * one twice is proof of two disks, and no later start of either is believed. */
uint32_t net_boot_check(chronik_meta *m, const struct hello *h)
{
    struct net *n = m->net;
    for (size_t i = 0; i < n->n_seen; i++) {
        struct seen *s = &n->seen[i];
        if (s->replica != h->replica)
            continue;
        bool twice = h->boot == s->boot && h->nonce != s->nonce;
        if (twice)
            boot_note(m, h, BOOT_NEVER);
        if (twice || h->boot < s->boot)
            return MUTANT("raft_boot_not_checked") ? WIRE_OK : WIRE_STALE;
        if (h->boot == s->boot)
            return WIRE_OK;
    }
    boot_note(m, h, h->boot);
    return WIRE_OK;
}

void net_boot_seen(chronik_meta *m, uint64_t replica, uint64_t boot, uint64_t nonce)
{
    struct net *n = m->net;
    size_t i = 0;
    while (i < n->n_seen && n->seen[i].replica != replica)
        i++;
    if (i == n->cap_seen) {
        size_t cap = n->cap_seen ? n->cap_seen * 2 : 16;
        struct seen *v = realloc(n->seen, cap * sizeof *v);
        CHECK(v != NULL);
        n->seen = v;
        n->cap_seen = cap;
    }
    n->seen[i] = (struct seen){replica, boot, nonce};
    if (i == n->n_seen)
        n->n_seen++;
    n->stale |= replica == m->id.replica && !MUTANT("raft_stale_forgotten");
}

void net_boots(chronik_meta *m, void (*each)(void *arg, uint64_t replica, uint64_t boot, uint64_t nonce), void *arg)
{
    for (size_t i = 0; i < m->net->n_seen; i++)
        each(arg, m->net->seen[i].replica, m->net->seen[i].boot, m->net->seen[i].nonce);
}

/* The answer to our HELLO. */
static uint32_t judge(chronik_meta *m, const struct peer *p, const struct hello *h)
{
    if (h->status != WIRE_OK)
        return h->status;
    if (h->formed && m->rc && !uuid_same(&h->group_id, &m->id.group_id))
        return WIRE_OTHER_CLUSTER;
    if (p->replica && h->replica != p->replica)
        return WIRE_OTHER_REPLICA;
    if (h->node == m->cfg.node_id || h->replica == m->id.replica)
        return WIRE_NODE_TAKEN;
    return net_boot_check(m, h);
}

static bool lane_frame(struct conn *c, enum wire_type type, const uint8_t *b, uint32_t n)
{
    struct lane *l = c->owner;
    struct peer *p = l->peer;
    chronik_meta *m = c->m;
    struct hello h;
    if (l->welcome && type == WIRE_MEMBERS)
        return members_told(m, b, n);
    if (l->welcome || type != WIRE_WELCOME || !wire_hello_decode(b, n, &h))
        return false;
    uint32_t status = judge(m, p, &h);
    uint64_t boot = p->info.boot; /* of the life that we knew */
    p->info = h;
    if (p->suspect && (h.boot != boot || status == WIRE_OTHER_REPLICA))
        proven_dead(m, p, boot);
    p->suspect = false;
    p->why = 0;
    if (status != WIRE_OK) {
        refused(m, p, status, h.status != WIRE_OK);
        lane_drop(l);
        l->backoff = BACKOFF_MOST_MS * RAFT_MS;
        again_later(m, l, BACKOFF_MOST_MS * RAFT_MS / 2);
        return true;
    }
    p->refused = WIRE_OK;
    c->limit = WIRE_LARGE;
    l->welcome = true;
    l->backoff = 0;
    if (l->number == LANE_TALK) {
        p->told_group = 0;
        if (h.removed && m->rc && h.group_at >= m->group_now->index)
            net_removed(m, p);
        p->lane[LANE_BULK].retry_at = 0;
        p->lane[LANE_BULK].backoff = 0;
        form_tell(m, p);
        if (!m->lead && m->rc && raft_self_voter(m))
            clock_campaign_news(m, (10 + (int64_t)raft_random(m, 40)) * RAFT_MS);
    }
    raft_post(m);
    return true;
}

/* ---- dialing ---- */

static void dialed(void *arg, int32_t rc)
{
    struct dial *d = arg;
    chronik_meta *m = d->m;
    struct lane *l = d->lane;
    struct chronik_stream *s = rc > 0 ? d->stream : NULL;
    m->net->dials--;
    free(d);
    raft_post(m);
    if (!l || m->net->closing) {
        if (s)
            m->host.stream_close(s);
        return;
    }
    struct peer *p = l->peer;
    l->dial = NULL;
    p->why = rc < 0 ? rc : 0;
    if (rc < 0) {
        if (rc == CHRONIK_E_CLOSED && p->suspect && l->number == LANE_TALK)
            proven_dead(m, p, p->info.boot);
        again_later(m, l, 0);
        return;
    }
    struct hello h;
    l->conn = conn_new(m, s, p->address);
    l->conn->owner = l;
    l->conn->frame = lane_frame;
    l->conn->lost = lane_lost;
    l->welcome = false;
    l->welcome_by = net_now(m) + WELCOME_MS * RAFT_MS;
    peer_hello(m, p, l->number, &h);
    wire_hello(&l->conn->out, WIRE_HELLO, &h, m->host.crc32c);
    conn_begin(l->conn);
    if (l->conn)
        conn_flush(l->conn);
}

static void dial(chronik_meta *m, struct lane *l)
{
    struct dial *d = raft_alloc(m, sizeof *d);
    *d = (struct dial){.m = m, .lane = l};
    l->dial = d;
    m->net->dials++;
    int32_t rc = m->host.connect(m->host.ctx, m->exec, l->peer->address, DIAL_MS * RAFT_MS, &d->stream,
                                 (struct chronik_done){dialed, d});
    if (rc < 0) {
        m->net->dials--;
        l->dial = NULL;
        l->peer->why = rc;
        free(d);
        again_later(m, l, 0);
    }
}

static void lane_turn(chronik_meta *m, struct lane *l, int64_t now)
{
    if (l->conn && !l->welcome && now >= l->welcome_by) {
        l->peer->why = CHRONIK_E_TIMEDOUT;
        lane_drop(l);
        again_later(m, l, 0);
    }
    if (l->conn && l->welcome && now >= l->conn->wrote + QUIET_MS * RAFT_MS && !MUTANT("raft_silence_not_probed")) {
        wire_end(&l->conn->out, wire_begin(&l->conn->out, WIRE_STILL_HERE), m->host.crc32c);
        conn_flush(l->conn);
    }
    if (!l->conn && !l->dial && now >= l->retry_at && (l->number == LANE_TALK || peer_ready(l->peer, LANE_TALK)))
        dial(m, l);
}

void peers_turn(chronik_meta *m, int64_t now)
{
    for (struct peer *p = m->net->peers; p && m->net->boot_known; p = p->next)
        for (uint32_t i = 0; i < LANES; i++)
            lane_turn(m, &p->lane[i], now);
}

int64_t peers_due(chronik_meta *m)
{
    int64_t at = 0;
    for (struct peer *p = m->net->peers; p && m->net->boot_known; p = p->next)
        for (uint32_t i = 0; i < LANES; i++) {
            const struct lane *l = &p->lane[i];
            int64_t t = l->conn && !l->welcome ? l->welcome_by
                        : l->conn              ? l->conn->wrote + QUIET_MS * RAFT_MS
                        : !l->conn && !l->dial && (i == LANE_TALK || peer_ready(p, LANE_TALK)) ? l->retry_at
                                                                                               : 0;
            if (t && (!at || t < at))
                at = t;
        }
    return at;
}

/* It dials us, so it lives: no need to wait for our next attempt. */
void peer_kick(chronik_meta *m, const struct hello *h)
{
    for (struct peer *p = m->net->peers; p; p = p->next)
        if ((p->replica == h->replica || (h->address[0] && strcmp(p->address, h->address) == 0)) &&
            p->refused == WIRE_OK) {
            p->lane[LANE_TALK].retry_at = 0;
            p->lane[LANE_TALK].backoff = 0;
        }
}

/* ---- who there is ---- */

static void peer_free(chronik_meta *m, struct peer *p)
{
    if (p->replica)
        ask_lost(m, p->replica);
    if (p->sending)
        stream_drop(p);
    for (uint32_t i = 0; i < LANES; i++) {
        lane_drop(&p->lane[i]);
        if (p->lane[i].dial)
            p->lane[i].dial->lane = NULL;
    }
    free(p);
}

static void peer_want(chronik_meta *m, struct peer **old, uint64_t replica, uint32_t node, const char *address)
{
    struct peer *p = NULL;
    for (struct peer **at = old; *at; at = &(*at)->next)
        if ((!(*at)->replica || (*at)->replica == replica) && strcmp((*at)->address, address) == 0) {
            p = *at;
            *at = p->next;
            break;
        }
    if (!p) {
        p = raft_alloc(m, sizeof *p);
        memcpy(p->address, address, RAFT_ADDRESS);
        for (uint32_t i = 0; i < LANES; i++)
            p->lane[i] = (struct lane){.peer = p, .number = i};
    }
    if (p->replica != replica && p->info.replica && p->info.replica != replica)
        lane_drop(&p->lane[LANE_TALK]); /* whoever we talked to there is another one */
    p->replica = replica;
    p->node = node;
    p->next = m->net->peers;
    m->net->peers = p;
}

/* Who writes to us gets its answers, also when the change that made it a member (or the leader) has not reached us. */
static void want_strangers(chronik_meta *m, struct peer **old)
{
    for (const struct inbound *in = m->net->inbound; in; in = in->next)
        if (in->welcome && in->from.formed && in->from.address[0] && in->from.replica != m->id.replica &&
            !peer_of(m, in->from.replica) && !MUTANT("raft_strangers_unanswered"))
            peer_want(m, old, in->from.replica, in->from.node, in->from.address);
}

static bool dialed_at(const chronik_meta *m, const char *address)
{
    const struct peer *p = m->net->peers;
    while (p && strcmp(p->address, address) != 0)
        p = p->next;
    return p != NULL;
}

/* The leader must know us before it can add us, and need not be one of those whom our settings name. */
static void want_known(chronik_meta *m, struct peer **old)
{
    for (uint32_t i = 0; i < m->net->known.n; i++) {
        const struct member *x = &m->net->known.v[i];
        if (x->node != m->cfg.node_id && x->address[0] && !dialed_at(m, x->address) && !MUTANT("raft_members_untold"))
            peer_want(m, old, 0, UINT32_MAX, x->address);
    }
}

/* The peers that there must be now; who is no longer among them is let go. */
void peers_update(chronik_meta *m)
{
    struct peer *old = m->net->peers;
    m->net->peers = NULL;
    m->net->peers_stale = false;
    const struct quorum *q = &m->quorum;
    if (m->rc) {
        const struct group *g = m->group_now;
        for (uint32_t i = 0; i < g->book.n; i++)
            if (g->book.v[i].replica != m->id.replica && g->book.v[i].address[0] &&
                conf_has(&g->conf, g->book.v[i].replica))
                peer_want(m, &old, g->book.v[i].replica, g->book.v[i].node, g->book.v[i].address);
        const struct member *x = &m->net->leaver;
        if (x->replica && x->address[0] && !conf_has(&g->conf, x->replica))
            peer_want(m, &old, x->replica, x->node, x->address);
        want_strangers(m, &old);
    } else {
        for (uint32_t i = 0; i < q->voters.n; i++)
            if (q->voters.v[i].node != m->cfg.node_id)
                peer_want(m, &old, 0, q->voters.v[i].node, q->voters.v[i].address);
        for (uint32_t i = 0; i < q->n_servers && !q->voters.n; i++)
            peer_want(m, &old, 0, UINT32_MAX, q->server[i]);
        want_known(m, &old);
    }
    while (old) {
        struct peer *next = old->next;
        peer_free(m, old);
        old = next;
    }
}

void peers_look(chronik_meta *m)
{
    m->net->peers_stale = true;
    raft_post(m);
}

void peers_close(chronik_meta *m)
{
    while (m->net->peers) {
        struct peer *next = m->net->peers->next;
        peer_free(m, m->net->peers);
        m->net->peers = next;
    }
}

/* ---- sending ---- */

void net_send(chronik_meta *m, const struct rc_msg *msg)
{
    struct peer *p = peer_of(m, msg->to);
    uint32_t lane = msg->type == RC_MSG_APPEND ? LANE_BULK : LANE_TALK;
    if (msg->type == RC_MSG_SNAPSHOT) {
        if (p && peer_ready(p, LANE_BULK))
            stream_send(m, p);
        else
            rc_report_snapshot(m->rc, msg->to, false);
        return;
    }
    if (!p || !peer_ready(p, lane)) { /* lost, as messages may be */
        if (lane == LANE_BULK)
            rc_report_unreachable(m->rc, msg->to);
        return;
    }
    form_tell(m, p);
    struct conn *c = p->lane[lane].conn;
    if (c->out.n > BULK_MOST) {
        rc_report_unreachable(m->rc, msg->to);
        return;
    }
    wire_msg(&c->out, msg, m->host.crc32c);
}

void net_flush(chronik_meta *m)
{
    for (struct peer *p = m->net->peers; p; p = p->next)
        for (uint32_t i = 0; i < LANES; i++)
            if (p->lane[i].conn)
                conn_flush(p->lane[i].conn);
}
