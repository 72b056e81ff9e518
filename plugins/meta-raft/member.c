/* member.c: changes of the group, at the leader: a replica is added as a learner, promoted to a voter, demoted and
 * taken away; leadership is handed over. One change at a time; it is done when the core has applied it here, and when
 * it took somebody away, when the other members have applied it too: until then some may still count the one that is
 * gone, so it must stay up (docs/raft.md). ask.c brings the requests. Raft executor. */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>

enum { SETTLE_MS = 5000, JOIN_MS = 30000, LAG_MOST = 1000 };

/* ---- who ---- */

static bool is_target(const struct request *r, uint32_t node, const struct chronik_uuid *directory)
{
    return node == (uint32_t)r->ask.node && (uuid_zero(&r->ask.directory) || uuid_same(&r->ask.directory, directory));
}

/* A replica of that node that is connected and no member yet; of several the one that was heard last: a connection may
 * outlast a machine that lost its power. */
static const struct hello *candidate(chronik_meta *m, const struct request *r)
{
    const struct inbound *best = NULL;
    for (const struct inbound *in = m->net->inbound; in; in = in->next)
        if (in->welcome && is_target(r, in->from.node, &in->from.directory) &&
            !conf_has(&m->group_now->conf, in->from.replica) && (!best || in->heard > best->heard))
            best = in;
    return best ? &best->from : NULL;
}

static bool is_there(chronik_meta *m, uint64_t replica)
{
    const struct peer *p = peer_of(m, replica);
    return replica == m->id.replica || (p && peer_ready(p, LANE_TALK));
}

/* The member that fits the request among these ids, of several one that is there; NULL. */
static const struct member *member_in(chronik_meta *m, const struct request *r, const struct rc_ids *ids)
{
    const struct book *b = &m->group_now->book;
    const struct member *found = NULL;
    for (uint32_t i = 0; i < b->n; i++)
        if (is_target(r, b->v[i].node, &b->v[i].directory) && ids_have(ids, b->v[i].replica) &&
            (!found || is_there(m, b->v[i].replica)))
            found = &b->v[i];
    return found;
}

/* ---- one request ---- */

static int32_t change(chronik_meta *m, struct request *r, const struct rc_conf_change *c)
{
    int rc = rc_propose_conf(m->rc, c, false, &r->index, &r->term);
    r->stage = REQUEST_PROPOSED;
    if (rc == RC_OK)
        return CHRONIK_PENDING;
    if (rc == RC_NOT_LEADER)
        return request_say(r, CHRONIK_E_NOT_LEADER, "nothing was changed: this node does not lead");
    return request_say(r, CHRONIK_E_BUSY,
                       "nothing was changed: another change of the quorum is under way; try again in a moment");
}

static const char *port_of(const char *address)
{
    const char *colon = strrchr(address, ':');
    return colon ? colon : "";
}

static int32_t nobody_to_add(chronik_meta *m, struct request *r)
{
    if (book_node(&m->group_now->book, (uint32_t)r->ask.node, 0))
        return request_say(r, CHRONIK_E_EXISTS,
                           "node %d is a member already, and no other replica of it is connected; 'chronikctl meta "
                           "members' lists them",
                           r->ask.node);
    return request_say(r, CHRONIK_E_NOTFOUND,
                       "node %d%s is not connected to the leader: start it with controller.quorum.bootstrap.servers "
                       "naming this quorum, and a listener that controller.listener.names names",
                       r->ask.node, uuid_zero(&r->ask.directory) ? "" : " with that directory.id");
}

static int32_t add(chronik_meta *m, struct request *r)
{
    const struct hello *h = candidate(m, r);
    struct member x = {.node = (uint32_t)r->ask.node};
    const char *given = r->ask.address;
    if (!h)
        return nobody_to_add(m, r);
    if (given[0] && h->address[0] && strcmp(port_of(given), port_of(h->address)) != 0)
        return request_say(r, CHRONIK_E_INVAL, "node %d listens for the quorum at %s, not at %s: give that address",
                           r->ask.node, h->address, given);
    if (!given[0] && !h->address[0])
        return request_say(r, CHRONIK_E_INVAL,
                           "node %d does not say where it listens for the quorum: give HOST:PORT, or name an address "
                           "in its controller listener",
                           r->ask.node);
    x.replica = h->replica;
    x.directory = h->directory;
    snprintf(x.address, sizeof x.address, "%s", h->address[0] ? h->address : given);
    struct rc_buf *b = member_encode(m, &x);
    int rc = b ? rc_propose(m->rc, b, NULL, NULL) : RC_NOMEM;
    rc_buf_unref(b);
    if (rc != RC_OK)
        return request_say(r, CHRONIK_E_BUSY, "nothing was changed: the log takes no entries at the moment; try again");
    struct rc_conf_change c = {.n = 1, .v = {{.op = RC_ADD_LEARNER, .id = x.replica}}};
    return change(m, r, &c);
}

static const struct rc_peer *progress(chronik_meta *m, uint64_t replica, struct rc_peer v[RC_MAX_MEMBERS])
{
    uint32_t n = rc_peers(m->rc, v, RC_MAX_MEMBERS);
    for (uint32_t i = 0; i < n; i++)
        if (v[i].id == replica)
            return &v[i];
    return NULL;
}

static bool caught_up(chronik_meta *m, uint64_t replica)
{
    struct rc_peer v[RC_MAX_MEMBERS];
    const struct rc_peer *p = progress(m, replica, v);
    return p && p->match && p->match + LAG_MOST >= raft_last(m) && p->flow != RC_SNAPSHOT;
}

static int32_t behind(chronik_meta *m, struct request *r, int32_t result, const struct member *x)
{
    struct rc_peer v[RC_MAX_MEMBERS];
    const struct rc_peer *p = progress(m, x->replica, v);
    return request_say(r, result,
                       "node %u is a learner and has %llu of %llu entries (%s): promote it when it has caught up",
                       x->node, (unsigned long long)(p ? p->match : 0), (unsigned long long)raft_last(m),
                       is_there(m, x->replica) ? "connected" : "not connected");
}

/* The learner becomes a voter; other replicas of the same node, which are dead, leave in the same change. */
static int32_t promote(chronik_meta *m, struct request *r)
{
    const struct group *g = m->group_now;
    const struct member *x = member_in(m, r, &g->conf.learners);
    if (!x && member_in(m, r, &g->conf.voters))
        return request_say(r, CHRONIK_E_EXISTS, "node %d is a voter already", r->ask.node);
    if (!x)
        return request_say(
            r, CHRONIK_E_NOTFOUND,
            "node %d is no learner of this quorum; 'chronikctl meta members' lists them, 'meta add' adds", r->ask.node);
    if (!caught_up(m, x->replica))
        return behind(m, r, CHRONIK_E_AGAIN, x);
    struct rc_conf_change c = {.n = 1, .v = {{.op = RC_ADD_VOTER, .id = x->replica}}};
    for (uint32_t i = 0; i < g->book.n; i++)
        if (g->book.v[i].node == (uint32_t)r->ask.node && g->book.v[i].replica != x->replica &&
            conf_has(&g->conf, g->book.v[i].replica)) {
            c.v[c.n].op = RC_REMOVE;
            c.v[c.n++].id = g->book.v[i].replica;
        }
    return change(m, r, &c);
}

/* Added if need be, then promoted as soon as it has caught up. A voter of that node id must leave first, as in Kafka.
 */
static int32_t add_voter(chronik_meta *m, struct request *r)
{
    const struct rc_conf *c = &m->group_now->conf;
    for (uint32_t i = 0; i < m->group_now->book.n; i++) {
        const struct member *x = &m->group_now->book.v[i];
        if (x->node == (uint32_t)r->ask.node &&
            (ids_have(&c->voters, x->replica) || ids_have(&c->outgoing, x->replica)))
            return request_say(r, CHRONIK_E_EXISTS, "node %d is a voter already: remove that one first", r->ask.node);
    }
    if (!member_in(m, r, &c->learners))
        return add(m, r);
    r->stage = REQUEST_CATCHING;
    return CHRONIK_PENDING;
}

/* We cannot take our own voice while we lead: the successor is asked again, by whoever has the request. */
static int32_t successor_does_it(chronik_meta *m, struct request *r)
{
    uint64_t to = net_successor(m);
    if (!to)
        return request_say(r, CHRONIK_E_BUSY,
                           "nothing was changed: the leader has nobody to hand over to; start another voter first");
    rc_transfer(m->rc, to);
    return request_say(r, CHRONIK_E_NOT_LEADER, "nothing was changed: the lead is being handed over; try again");
}

/* Those that would be left must be able to go on. */
static int32_t too_few_left(chronik_meta *m, struct request *r, const struct rc_conf_change *c)
{
    const struct rc_ids *v = &m->group_now->conf.voters;
    uint32_t left = 0, there = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        bool goes = false;
        for (uint32_t k = 0; k < c->n; k++)
            goes |= c->v[k].id == v->v[i];
        left += !goes;
        there += !goes && is_there(m, v->v[i]);
    }
    if (there > left / 2)
        return CHRONIK_DONE;
    return request_say(
        r, CHRONIK_E_INVAL,
        "refused: of the %u voters that would be left only %u are connected, which is no majority: start "
        "the others, or take the dead ones away first",
        left, there);
}

static int32_t no_voter_left(struct request *r)
{
    return request_say(r, CHRONIK_E_INVAL, "refused: node %d is the last voter, and a quorum keeps at least one",
                       r->ask.node);
}

/* All replicas of a node; when some are alive and some are not, those that are not. */
static int32_t take_away(chronik_meta *m, struct request *r)
{
    const struct group *g = m->group_now;
    uint32_t all = 0, dead = 0, voters = g->conf.voters.n;
    struct rc_conf_change c = {0};
    for (uint32_t i = 0; i < g->book.n; i++)
        if (is_target(r, g->book.v[i].node, &g->book.v[i].directory) && conf_has(&g->conf, g->book.v[i].replica)) {
            all++;
            dead += !is_there(m, g->book.v[i].replica);
        }
    for (uint32_t i = 0; i < g->book.n; i++) {
        const struct member *x = &g->book.v[i];
        if (!is_target(r, x->node, &x->directory) || !conf_has(&g->conf, x->replica) ||
            (dead && dead < all && is_there(m, x->replica)))
            continue;
        voters -= ids_have(&g->conf.voters, x->replica);
        c.v[c.n].op = RC_REMOVE;
        c.v[c.n++].id = x->replica;
        r->gone = x->replica;
    }
    if (!c.n)
        return request_say(r, CHRONIK_E_NOTFOUND, "node %d is no member; 'chronikctl meta members' lists them",
                           r->ask.node);
    if (!voters)
        return no_voter_left(r);
    for (uint32_t i = 0; i < c.n; i++)
        if (c.v[i].id == m->id.replica)
            return successor_does_it(m, r);
    const struct member *x = book_find(&g->book, r->gone);
    int32_t rc = too_few_left(m, r, &c);
    if (rc > 0)
        rc = change(m, r, &c);
    if (rc == CHRONIK_PENDING && x)
        m->net->leaver = *x;
    return rc;
}

/* As Kafka's RemoveRaftVoter: who is there goes on without a vote. */
static int32_t demote(chronik_meta *m, struct request *r)
{
    const struct group *g = m->group_now;
    const struct member *x = member_in(m, r, &g->conf.voters);
    if (!x)
        return request_say(r, CHRONIK_E_NOTFOUND, "node %d%s is no voter; 'chronikctl meta members' lists them",
                           r->ask.node, uuid_zero(&r->ask.directory) ? "" : " with that directory id");
    if (g->conf.voters.n == 1)
        return no_voter_left(r);
    if (x->replica == m->id.replica)
        return successor_does_it(m, r);
    struct rc_conf_change c = {.n = 1, .v = {{.op = RC_ADD_LEARNER, .id = x->replica}}};
    if (!is_there(m, x->replica))
        c.v[0].op = RC_REMOVE;
    r->gone = x->replica;
    int32_t rc = too_few_left(m, r, &c);
    return rc > 0 ? change(m, r, &c) : rc;
}

static int32_t hand_over(chronik_meta *m, struct request *r, int64_t now)
{
    const struct member *x = r->ask.node < 0 ? NULL : member_in(m, r, &m->group_now->conf.voters);
    uint64_t to = r->ask.node < 0 ? net_successor(m) : x ? x->replica : 0;
    if (m->group_now->conf.voters.n < 2)
        return request_say(r, CHRONIK_E_INVAL, "refused: this node is the only voter");
    if (!to && r->ask.node < 0)
        return request_say(r, CHRONIK_E_NOTFOUND, "nothing was changed: no other voter is connected");
    if (!to)
        return request_say(r, CHRONIK_E_NOTFOUND, "nothing was changed: node %d is no voter", r->ask.node);
    if (to == m->id.replica)
        return CHRONIK_DONE;
    if (!is_there(m, to))
        return request_say(r, CHRONIK_E_NOTFOUND, "nothing was changed: node %d is not connected", r->ask.node);
    rc_transfer(m->rc, to);
    r->stage = REQUEST_PROPOSED;
    int64_t most = now + m->quorum.election_ms * 2 * RAFT_MS;
    r->until = r->until < most ? r->until : most;
    return CHRONIK_PENDING;
}

static int32_t refresh(chronik_meta *m, struct request *r, int64_t now)
{
    net_rows(m, now);
    return CHRONIK_DONE;
}

static int32_t start(chronik_meta *m, struct request *r, int64_t now)
{
    switch (r->ask.op) {
    case CHRONIK_META_ADD_LEARNER:
        return add(m, r);
    case CHRONIK_META_PROMOTE:
        r->last_step = true;
        return promote(m, r);
    case CHRONIK_META_REMOVE:
        return take_away(m, r);
    case CHRONIK_META_TRANSFER:
        return hand_over(m, r, now);
    case CHRONIK_META_ADD_VOTER:
        return add_voter(m, r);
    case CHRONIK_META_DEMOTE:
        return demote(m, r);
    default:
        return refresh(m, r, now);
    }
}

/* It was not done: here it looks for the next leader, who asked from afar is told. */
static void give_back(chronik_meta *m, struct request *r, int64_t now)
{
    r->stage = REQUEST_NEW;
    if (r->from) {
        request_finish(m, r, CHRONIK_E_NOT_LEADER);
    } else {
        r->again_at = now + 100 * RAFT_MS;
        requests_push(&m->net->asking, r);
    }
}

static void end(chronik_meta *m, struct request *r, int64_t now, int32_t rc)
{
    if (m->net->doing == r)
        m->net->doing = NULL;
    if (r->gone && m->net->leaver.replica == r->gone) {
        m->net->leaver.replica = 0;
        peers_update(m);
    }
    if (rc == CHRONIK_E_NOT_LEADER && now < r->until)
        give_back(m, r, now);
    else
        request_finish(m, r, rc);
}

static void begin(chronik_meta *m, struct request *r, int64_t now)
{
    m->net->doing = r;
    int32_t rc = start(m, r, now);
    bool early = rc == CHRONIK_PENDING && r->last_step && (r->ask.flags & CHRONIK_META_EARLY);
    if (rc != CHRONIK_PENDING || early)
        end(m, r, now, early ? CHRONIK_DONE : rc);
}

/* ---- what follows ---- */

static void applied(chronik_meta *m, struct request *r, int64_t now)
{
    int64_t most = now + SETTLE_MS * RAFT_MS;
    if (r->ask.op == CHRONIK_META_ADD_VOTER && !r->last_step) {
        r->stage = REQUEST_CATCHING;
    } else if (r->gone) {
        r->stage = REQUEST_SETTLING;
        r->until = r->until < most ? r->until : most;
    } else {
        end(m, r, now, CHRONIK_DONE);
    }
}

static void catching(chronik_meta *m, struct request *r, int64_t now)
{
    const struct member *x = member_in(m, r, &m->group_now->conf.learners);
    if (!x) {
        end(m, r, now, request_say(r, CHRONIK_E_NOTFOUND, "node %d was taken away meanwhile", r->ask.node));
    } else if (caught_up(m, x->replica)) {
        int32_t rc = promote(m, r);
        r->last_step = true;
        if (rc != CHRONIK_PENDING || (r->ask.flags & CHRONIK_META_EARLY))
            end(m, r, now, rc == CHRONIK_PENDING ? CHRONIK_DONE : rc);
    } else if (now >= r->until) {
        end(m, r, now, behind(m, r, CHRONIK_E_TIMEDOUT, x));
    }
}

static void settling(chronik_meta *m, struct request *r, int64_t now)
{
    char who[300];
    if (net_settled(m, who, sizeof who) || MUTANT("raft_removal_not_awaited"))
        end(m, r, now, CHRONIK_DONE);
    else if (now >= r->until)
        end(m, r, now,
            request_say(
                r, CHRONIK_E_TIMEDOUT,
                "the removal is in force, but not every member has applied it: keep the removed node running until "
                "these have: %s",
                who));
}

static void lead_is_lost(chronik_meta *m, struct request *r, int64_t now)
{
    char who[300] = "";
    if (r->stage == REQUEST_SETTLING)
        net_settled(m, who, sizeof who);
    if (r->stage == REQUEST_CATCHING)
        end(m, r, now, request_say(r, CHRONIK_E_NOT_LEADER, "it is a learner; the lead was lost meanwhile"));
    else if (r->stage == REQUEST_SETTLING)
        end(m, r, now,
            request_say(r, CHRONIK_E_TIMEDOUT,
                        "the removal is in force; the lead was lost before every member was seen to apply it: keep the "
                        "removed node running until these have: %s",
                        who));
    else
        end(m, r, now,
            request_say(r, CHRONIK_E_CANCELED,
                        "the lead was lost meanwhile: the outcome is unknown; see chronikctl meta members"));
}

static void go_on(chronik_meta *m, struct request *r, int64_t now)
{
    bool lost = !m->leads || (r->term && r->term != m->hard.term);
    if (r->ask.op == CHRONIK_META_TRANSFER && !m->leads)
        end(m, r, now, CHRONIK_DONE);
    else if (lost && r->ask.op != CHRONIK_META_TRANSFER)
        lead_is_lost(m, r, now);
    else if (r->stage == REQUEST_CATCHING)
        catching(m, r, now);
    else if (r->stage == REQUEST_SETTLING)
        settling(m, r, now);
    else if (r->index && m->handed >= r->index && !m->group_now->conf.outgoing.n)
        applied(m, r, now);
    else if (now >= r->until && r->ask.op == CHRONIK_META_TRANSFER)
        end(m, r, now, request_say(r, CHRONIK_E_TIMEDOUT, "the lead was not taken in time: this node still leads"));
    else if (now >= r->until)
        end(m, r, now,
            request_say(r, CHRONIK_E_TIMEDOUT,
                        "it is in the leader's log and not committed yet: the outcome is unknown; see chronikctl meta "
                        "members"));
}

/* ---- what happens by itself, once a second at the leader ---- */

static void nobody(void *arg, int32_t rc)
{
}

/* Somebody lives at another address than the group knows, or its directory is not known: entry by entry, all learn of
 * it. */
static void address_news(chronik_meta *m, uint64_t replica, uint32_t node, const char *address,
                         const struct chronik_uuid *directory)
{
    const struct member *old = book_find(&m->group_now->book, replica);
    struct member x = {.replica = replica, .node = node, .directory = *directory};
    bool moved = old && address[0] && strcmp(old->address, address) != 0;
    if (!old || (!moved && uuid_same(&old->directory, directory)))
        return;
    snprintf(x.address, sizeof x.address, "%s", moved ? address : old->address);
    struct rc_buf *b = member_encode(m, &x);
    if (b && rc_propose(m->rc, b, NULL, NULL) == RC_OK && moved)
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
        *r = (struct request){
            .ask = {.op = learns ? CHRONIK_META_PROMOTE : CHRONIK_META_ADD_LEARNER, .node = (int32_t)h->node},
            .done = {.fn = nobody},
            .until = now + JOIN_MS * RAFT_MS};
        util_log(&m->host, CHRONIK_LOG_INFO, "node %u at %s %s", h->node, h->address,
                 learns ? "has caught up and becomes a voter" : "joins as a learner");
        begin(m, r, now);
    }
}

/* Who is no member and was not told so, since not everybody had applied it then, is made to dial again. */
static void tell_the_removed(chronik_meta *m)
{
    if (!net_settled(m, NULL, 0))
        return;
    for (struct inbound *in = m->net->inbound, *next; in; in = next) {
        next = in->next;
        bool knew = in->from.formed || in->from.group_at; /* else it waits to be added */
        if (in->welcome && knew && !in->told_removed && !conf_has(&m->group_now->conf, in->from.replica))
            accept_close_one(m, in);
    }
}

static void by_itself(chronik_meta *m, int64_t now)
{
    if (!m->leads || now < m->net->news_at)
        return;
    m->net->news_at = now + 1000 * RAFT_MS;
    address_news(m, m->id.replica, m->cfg.node_id, m->quorum.address, &m->quorum.directory);
    for (const struct inbound *in = m->net->inbound; in; in = in->next)
        if (in->welcome && in->from.lane == LANE_TALK)
            address_news(m, in->from.replica, in->from.node, in->from.address, &in->from.directory);
    tell_the_removed(m);
    join_next(m, now);
}

void member_turn(chronik_meta *m, int64_t now)
{
    struct request *r;
    if (m->net->doing)
        go_on(m, m->net->doing, now);
    while (!m->leads && (r = requests_pop(&m->net->queue)))
        give_back(m, r, now);
    while (!m->net->doing && m->leads && (r = requests_pop(&m->net->queue)))
        begin(m, r, now);
    by_itself(m, now);
}

void member_cancel(chronik_meta *m)
{
    struct request *r = m->net->doing;
    m->net->doing = NULL;
    if (r)
        request_finish(
            m, r,
            request_say(r, CHRONIK_E_CANCELED, "this node stops: the outcome is unknown; see chronikctl meta members"));
}

int64_t member_due(chronik_meta *m)
{
    if (m->net->doing)
        return m->net->doing->until;
    return m->leads && m->net->n_inbound ? m->net->news_at : 0;
}
