/* member.c: changes of the group that an operator asks for: a replica is added as a learner, promoted to a voter, and
 * removed; leadership is handed over. The leader alone can do it: others answer NOT_LEADER. One change at a time; it is
 * done when the core has applied it here. Requests come from any thread, the rest is the raft executor's. */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>

enum { OP_ADD = 1, OP_PROMOTE = 2, OP_REMOVE = 3, OP_TRANSFER = 4 };
enum { CHANGE_MS = 30000, LAG_MOST = 1000 };

static int32_t ask(chronik_meta *m, uint32_t op, int32_t node, const char *address, struct chronik_done done)
{
    struct request *r = calloc(1, sizeof *r);
    if (!r)
        return CHRONIK_E_NOMEM;
    *r = (struct request){.op = op, .node = node, .done = done};
    snprintf(r->address, sizeof r->address, "%s", address ? address : "");
    pthread_mutex_lock(&m->lock);
    int32_t rc = m->closing                                ? CHRONIK_E_CLOSED
                 : m->stage != STAGE_RUNNING               ? CHRONIK_E_NOT_LEADER
                 : m->pub.role != CHRONIK_META_ROLE_LEADER ? CHRONIK_E_NOT_LEADER
                                                           : CHRONIK_PENDING;
    struct request **at = &m->net->requests;
    while (*at)
        at = &(*at)->next;
    if (rc == CHRONIK_PENDING) {
        *at = r;
        raft_post(m);
    }
    pthread_mutex_unlock(&m->lock);
    if (rc < 0)
        free(r);
    return rc;
}

int32_t member_change(chronik_meta *m, uint32_t op, uint32_t node_id, const char *address, struct chronik_done done)
{
    if (op < OP_ADD || op > OP_REMOVE || node_id > INT32_MAX || (address && strlen(address) >= RAFT_ADDRESS))
        return CHRONIK_E_INVAL;
    return ask(m, op, (int32_t)node_id, address, done);
}

int32_t member_transfer(chronik_meta *m, int32_t to_node, struct chronik_done done)
{
    pthread_mutex_lock(&m->lock);
    bool alone = m->pub.voters < 2;
    pthread_mutex_unlock(&m->lock);
    return alone ? CHRONIK_E_INVAL : ask(m, OP_TRANSFER, to_node, NULL, done);
}

static void finish(chronik_meta *m, struct request *r, int32_t result)
{
    struct proposal *p = raft_alloc(m, sizeof *p);
    struct plist one;
    plist_init(&one);
    p->done = r->done;
    plist_push(&one, p);
    if (m->net->doing == r)
        m->net->doing = NULL;
    free(r);
    raft_answer(m, &one, result);
}

/* ---- one request ---- */

/* A replica of that node that is connected and no member yet. */
static const struct hello *candidate(chronik_meta *m, const struct request *r)
{
    for (const struct inbound *in = m->net->inbound; in; in = in->next)
        if (in->welcome && in->from.node == (uint32_t)r->node && !conf_has(&m->group_now->conf, in->from.replica))
            return &in->from;
    return NULL;
}

static int32_t change(chronik_meta *m, struct request *r, const struct rc_conf_change *c)
{
    int rc = rc_propose_conf(m->rc, c, false, &r->index, &r->term);
    return rc == RC_OK             ? CHRONIK_PENDING
           : rc == RC_CONF_REFUSED ? CHRONIK_E_BUSY
           : rc == RC_NOT_LEADER   ? CHRONIK_E_NOT_LEADER
                                   : CHRONIK_E_BUSY;
}

static int32_t add(chronik_meta *m, struct request *r)
{
    const struct hello *h = candidate(m, r);
    struct member x = {.node = (uint32_t)r->node};
    if (!h) {
        const struct member *old = book_node(&m->group_now->book, (uint32_t)r->node, 0);
        util_log(&m->host, CHRONIK_LOG_WARN,
                 old ? "node %d is a member already, and no other replica of it is connected"
                     : "node %d is not connected: start it with controller.quorum.bootstrap.servers naming this quorum",
                 r->node);
        return old ? CHRONIK_E_EXISTS : CHRONIK_E_NOTFOUND;
    }
    x.replica = h->replica;
    memcpy(x.address, r->address[0] ? r->address : h->address, sizeof x.address);
    if (!x.address[0])
        return CHRONIK_E_INVAL;
    struct rc_buf *b = member_encode(m, &x);
    int rc = b ? rc_propose(m->rc, b, NULL, NULL) : RC_NOMEM;
    rc_buf_unref(b);
    if (rc != RC_OK)
        return CHRONIK_E_BUSY;
    struct rc_conf_change c = {.n = 1, .v = {{.op = RC_ADD_LEARNER, .id = x.replica}}};
    return change(m, r, &c);
}

static bool caught_up(chronik_meta *m, uint64_t replica)
{
    struct rc_peer v[RC_MAX_MEMBERS];
    uint32_t n = rc_peers(m->rc, v, RC_MAX_MEMBERS);
    uint64_t last = raft_last(m);
    for (uint32_t i = 0; i < n; i++)
        if (v[i].id == replica)
            return v[i].match + LAG_MOST >= last && v[i].flow != RC_SNAPSHOT;
    return false;
}

/* The learner becomes a voter; a dead replica of the same node leaves in the same change. */
static int32_t promote(chronik_meta *m, struct request *r)
{
    const struct group *g = m->group_now;
    struct rc_conf_change c = {0};
    for (uint32_t i = 0; i < g->book.n; i++) {
        const struct member *x = &g->book.v[i];
        if (x->node != (uint32_t)r->node)
            continue;
        if (ids_have(&g->conf.learners, x->replica) && !c.n) {
            c.v[c.n].op = RC_ADD_VOTER;
            c.v[c.n++].id = x->replica;
            if (!caught_up(m, x->replica))
                return CHRONIK_E_AGAIN;
        }
    }
    if (!c.n)
        return CHRONIK_E_NOTFOUND;
    for (uint32_t i = 0; i < g->book.n; i++)
        if (g->book.v[i].node == (uint32_t)r->node && ids_have(&g->conf.voters, g->book.v[i].replica)) {
            c.v[c.n].op = RC_REMOVE;
            c.v[c.n++].id = g->book.v[i].replica;
        }
    return change(m, r, &c);
}

/* All replicas of a node; when some are alive and some are not, those that are not. */
static int32_t take_away(chronik_meta *m, struct request *r)
{
    const struct group *g = m->group_now;
    uint32_t all = 0, dead = 0, voters = g->conf.voters.n;
    struct rc_conf_change c = {0};
    for (uint32_t i = 0; i < g->book.n; i++)
        if (g->book.v[i].node == (uint32_t)r->node && conf_has(&g->conf, g->book.v[i].replica)) {
            const struct peer *p = peer_of(m, g->book.v[i].replica);
            all++;
            dead += p && !peer_ready(p, LANE_TALK);
        }
    for (uint32_t i = 0; i < g->book.n; i++) {
        const struct member *x = &g->book.v[i];
        const struct peer *p = peer_of(m, x->replica);
        if (x->node != (uint32_t)r->node || !conf_has(&g->conf, x->replica) ||
            (dead && dead < all && (!p || peer_ready(p, LANE_TALK))))
            continue;
        voters -= ids_have(&g->conf.voters, x->replica);
        c.v[c.n].op = RC_REMOVE;
        c.v[c.n++].id = x->replica;
    }
    if (!c.n)
        return CHRONIK_E_NOTFOUND;
    if (!voters)
        return CHRONIK_E_INVAL; /* a quorum of nobody */
    for (uint32_t i = 0; i < c.n; i++)
        if (c.v[i].id == m->id.replica) { /* the successor does it: ask there */
            uint64_t to = net_successor(m);
            if (to)
                rc_transfer(m->rc, to);
            return to ? CHRONIK_E_NOT_LEADER : CHRONIK_E_BUSY;
        }
    return change(m, r, &c);
}

static int32_t hand_over(chronik_meta *m, struct request *r)
{
    const struct group *g = m->group_now;
    uint64_t to = 0;
    if (r->node < 0)
        to = net_successor(m);
    for (uint32_t i = 0; i < g->book.n && r->node >= 0; i++)
        if (g->book.v[i].node == (uint32_t)r->node && ids_have(&g->conf.voters, g->book.v[i].replica))
            to = g->book.v[i].replica;
    if (!to)
        return CHRONIK_E_NOTFOUND;
    if (to == m->id.replica)
        return CHRONIK_DONE;
    rc_transfer(m->rc, to);
    return CHRONIK_PENDING;
}

static void begin(chronik_meta *m, struct request *r, int64_t now)
{
    int32_t (*const ops[])(chronik_meta *, struct request *) = {
        [OP_ADD] = add, [OP_PROMOTE] = promote, [OP_REMOVE] = take_away, [OP_TRANSFER] = hand_over};
    int32_t rc = !m->leads ? CHRONIK_E_NOT_LEADER : ops[r->op](m, r);
    m->net->doing = r;
    r->until = now + (r->op == OP_TRANSFER ? m->quorum.election_ms * 2 : CHANGE_MS) * RAFT_MS;
    if (rc != CHRONIK_PENDING)
        finish(m, r, rc);
}

static void go_on(chronik_meta *m, struct request *r, int64_t now)
{
    if (r->op == OP_TRANSFER && !m->leads)
        finish(m, r, CHRONIK_DONE);
    else if (r->op != OP_TRANSFER && !m->leads)
        finish(m, r, CHRONIK_E_CANCELED);
    else if (r->op != OP_TRANSFER && m->handed >= r->index && !m->group_now->conf.outgoing.n)
        finish(m, r, CHRONIK_DONE);
    else if (now >= r->until)
        finish(m, r, CHRONIK_E_TIMEDOUT);
}

/* ---- what happens by itself, once a second at the leader ---- */

static void nobody(void *arg, int32_t rc)
{
}

/* Somebody lives at another address than the group knows: entry by entry, all learn of it. */
static void address_news(chronik_meta *m, uint64_t replica, uint32_t node, const char *address)
{
    const struct member *old = book_find(&m->group_now->book, replica);
    struct member x = {.replica = replica, .node = node};
    if (!old || !address[0] || strcmp(old->address, address) == 0)
        return;
    snprintf(x.address, sizeof x.address, "%s", address);
    struct rc_buf *b = member_encode(m, &x);
    if (b && rc_propose(m->rc, b, NULL, NULL) == RC_OK)
        util_log(&m->host, CHRONIK_LOG_INFO, "node %u moves from %s to %s", node, old->address, address);
    rc_buf_unref(b);
}

/* controller.quorum.auto.join.enable: a replica that wants to is added, and promoted when it has caught up. */
static void join_next(chronik_meta *m, int64_t now)
{
    const struct group *g = m->group_now;
    for (const struct inbound *in = m->net->inbound; in && !m->net->doing; in = in->next) {
        const struct hello *h = &in->from;
        bool learns = ids_have(&g->conf.learners, h->replica) && caught_up(m, h->replica);
        if (!in->welcome || h->lane != LANE_TALK || !h->wants_join || (conf_has(&g->conf, h->replica) && !learns))
            continue;
        struct request *r = raft_alloc(m, sizeof *r);
        *r = (struct request){.op = learns ? OP_PROMOTE : OP_ADD, .node = (int32_t)h->node, .done = {.fn = nobody}};
        util_log(&m->host, CHRONIK_LOG_INFO, "node %u at %s %s", h->node, h->address,
                 learns ? "has caught up and becomes a voter" : "joins as a learner");
        begin(m, r, now);
    }
}

static void by_itself(chronik_meta *m, int64_t now)
{
    if (!m->leads || now < m->net->news_at)
        return;
    m->net->news_at = now + 1000 * RAFT_MS;
    address_news(m, m->id.replica, m->cfg.node_id, m->quorum.address);
    for (const struct inbound *in = m->net->inbound; in; in = in->next)
        if (in->welcome && in->from.lane == LANE_TALK)
            address_news(m, in->from.replica, in->from.node, in->from.address);
    join_next(m, now);
}

static struct request *next_request(chronik_meta *m)
{
    pthread_mutex_lock(&m->lock);
    struct request *r = m->net->requests;
    if (r)
        m->net->requests = r->next;
    pthread_mutex_unlock(&m->lock);
    return r;
}

void member_turn(chronik_meta *m, int64_t now)
{
    if (m->net->doing)
        go_on(m, m->net->doing, now);
    struct request *r;
    while (!m->net->doing && (r = next_request(m)))
        begin(m, r, now);
    by_itself(m, now);
}

void member_cancel(chronik_meta *m)
{
    struct request *r;
    if (m->net->doing)
        finish(m, m->net->doing, CHRONIK_E_CANCELED);
    while ((r = next_request(m)))
        finish(m, r, CHRONIK_E_CANCELED);
}

int64_t member_due(chronik_meta *m)
{
    if (m->net->doing)
        return m->net->doing->until;
    return m->leads && m->net->n_inbound ? m->net->news_at : 0;
}
