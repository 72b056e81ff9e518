/* accept.c: the listener and the connections that come in: the handshake's other half, and the way of every frame to
 * whom it is for. Whatever comes in is outside bytes: what makes no sense closes the connection with one line, and
 * changes nothing. Raft executor. */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>

enum { INBOUND_MOST = 256, HELLO_MS = 5000, SAY_MS = 1000, QUIET_MS = 500, LINES_MOST = 20 };

/* A replica of our group that the group, as far as we have applied it, does not know. */
static bool stranger(const chronik_meta *m, const struct inbound *in)
{
    return in->welcome && in->from.formed && m->rc && !conf_has(&m->group_now->conf, in->from.replica);
}

static void unlink_inbound(chronik_meta *m, struct inbound *in)
{
    struct inbound **at = &m->net->inbound;
    while (*at != in)
        at = &(*at)->next;
    *at = in->next;
    m->net->n_inbound--;
    if (stranger(m, in))
        peers_look(m);
    stream_lost(m, in->conn);
    free(in);
}

void accept_close_one(chronik_meta *m, struct inbound *in)
{
    struct conn *c = in->conn;
    unlink_inbound(m, in);
    conn_close(c);
}

void accept_forget(chronik_meta *m, uint64_t replica, uint64_t below)
{
    for (struct inbound *in = m->net->inbound, *next; in; in = next) {
        next = in->next;
        if (replica && in->from.replica == replica && in->from.boot < below)
            accept_close_one(m, in);
    }
}

/* Strangers must not fill the log: so many of their lines a second. */
bool net_may_say(chronik_meta *m)
{
    int64_t now = net_now(m);
    if (now - m->net->lines_at >= 1000 * RAFT_MS) {
        m->net->lines_at = now;
        m->net->lines = 0;
    }
    return m->net->lines++ < LINES_MOST;
}

static void inbound_lost(struct conn *c, int32_t why)
{
    struct inbound *in = c->owner;
    if (!in->from.replica && why != CHRONIK_E_CORRUPT && net_may_say(c->m)) /* that one has its line already */
        util_log(&c->m->host, CHRONIK_LOG_INFO, "connection of %s ended before it said who it is", c->peer);
    unlink_inbound(c->m, in);
}

/* ---- the handshake ---- */

/* Another replica of this node.id is connected. One that only listens cannot tell a quiet peer from a machine without
 * power, so a connection that has been quiet is closed: if its replica lives it dials again at once, and holds the id;
 * else the next attempt of the newcomer finds it free. */
static bool taken(chronik_meta *m, const struct inbound *me, const struct hello *h)
{
    int64_t now = net_now(m);
    bool found = false;
    for (struct inbound *in = m->net->inbound, *next; in; in = next) {
        next = in->next;
        if (in == me || !in->welcome || in->from.node != h->node || in->from.replica == h->replica)
            continue;
        found = true;
        if (now - in->heard > QUIET_MS * RAFT_MS && !MUTANT("raft_id_held_by_the_dead"))
            accept_close_one(m, in);
    }
    return found;
}

static uint32_t judge(chronik_meta *m, const struct inbound *in, const struct hello *h)
{
    bool formed = m->id.formed && m->rc;
    if (h->formed && formed && !uuid_same(&h->group_id, &m->id.group_id) && !MUTANT("raft_old_group_spoken_with"))
        return force_was(&m->id, &h->group_id) ? WIRE_SUPERSEDED : WIRE_OTHER_CLUSTER;
    if (h->want && h->want != m->id.replica)
        return WIRE_OTHER_REPLICA;
    if (h->node == m->cfg.node_id || h->replica == m->id.replica || taken(m, in, h))
        return WIRE_NODE_TAKEN;
    if (!h->formed && !formed && h->voters_hash && m->quorum.voters_hash && h->voters_hash != m->quorum.voters_hash)
        return WIRE_OTHER_VOTERS;
    return net_boot_check(m, h);
}

static bool restarted(chronik_meta *m, const struct hello *h)
{
    for (size_t i = 0; i < m->net->n_seen; i++)
        if (m->net->seen[i].replica == h->replica)
            return m->net->seen[i].boot < h->boot;
    return false;
}

static bool greet(struct conn *c, struct inbound *in, const uint8_t *p, uint32_t n)
{
    chronik_meta *m = c->m;
    struct hello h, answer;
    if (!wire_hello_decode(p, n, &h))
        return false;
    bool again = restarted(m, &h);
    uint32_t status = judge(m, in, &h);
    in->told_removed = h.formed && m->leads && !conf_has(&m->group_now->conf, h.replica) && net_settled(m, NULL, 0);
    in->from = h;
    in->welcome = status == WIRE_OK;
    peer_hello(m, NULL, h.lane, &answer);
    answer.status = status;
    answer.removed = in->told_removed;
    wire_hello(&c->out, WIRE_WELCOME, &answer, m->host.crc32c);
    if (status == WIRE_OK) {
        c->limit = WIRE_LARGE;
        if (again) {
            accept_forget(m, h.replica, h.boot);
            peer_died(m, h.replica, h.address, "it has been started again");
        }
        peer_kick(m, &h);
        if (stranger(m, in))
            peers_look(m);
        if (h.lane == LANE_TALK)
            members_tell(m, in);
    } else {
        int64_t now = net_now(m);
        if (now - m->net->inbound_said > SAY_MS * RAFT_MS)
            util_log(&m->host, CHRONIK_LOG_WARN, "node %u at %s (connection of %s) is refused: %s", h.node, h.address,
                     c->peer, wire_refusal_text(status));
        m->net->inbound_said = now;
    }
    conn_flush(c);
    return true;
}

/* ---- frames ---- */

static bool take_msg(chronik_meta *m, const struct rc_msg *msg)
{
    if (msg->type == RC_MSG_TIMEOUT_NOW)
        m->net->order = (struct order){msg->term, msg->from, net_now(m) + m->quorum.election_ms * RAFT_MS / 2};
    return rc_step(m->rc, msg) != RC_INVALID;
}

static bool step_msg(chronik_meta *m, const struct hello *from, const uint8_t *p, uint32_t n)
{
    struct rc_msg msg;
    bool good = wire_msg_decode(p, n, &m->alloc, &msg);
    /* A wish for a transfer speaks for another, and so does a read that was passed on. */
    bool own = good && (msg.from == from->replica || msg.type == RC_MSG_TRANSFER || msg.type == RC_MSG_READ);
    bool vote = good && (msg.type == RC_MSG_VOTE || msg.type == RC_MSG_PRE_VOTE || msg.type == RC_MSG_TIMEOUT_NOW);
    if (good && !own)
        good = false;
    else if (good && m->rc && msg.to == m->id.replica && !(vote && m->net->stale) && !m->net->founding &&
             !(msg.n_entries && net_disk_full(m))) /* an append that is lost is sent again when there is room */
        good = take_msg(m, &msg);
    wire_msg_clear(&m->alloc, &msg);
    return good;
}

/* The leader orders once, and the core may have to refuse: a committed change of the group may not be applied here yet.
 * So the order is kept until it can be obeyed. */
void accept_order(chronik_meta *m, int64_t now)
{
    struct order *o = &m->net->order;
    struct rc_status s;
    if (!o->until)
        return;
    rc_status(m->rc, &s);
    if (s.role != RC_FOLLOWER || s.term != o->term || now >= o->until || !net_member(m)) {
        o->until = 0;
    } else if (s.applied >= s.commit) {
        struct rc_msg msg = {.type = RC_MSG_TIMEOUT_NOW, .from = o->from, .to = m->id.replica, .term = o->term};
        rc_step(m->rc, &msg);
        o->until = 0;
    }
}

static bool inbound_frame(struct conn *c, enum wire_type type, const uint8_t *p, uint32_t n)
{
    struct inbound *in = c->owner;
    chronik_meta *m = c->m;
    in->heard = net_now(m);
    if (!in->welcome)
        return type == WIRE_HELLO && !in->from.replica && greet(c, in, p, n);
    switch (type) {
    case WIRE_FORM:
        return form_told(m, &in->from, p, n);
    case WIRE_MSG:
        if (!in->from.formed && m->rc) { /* it has come to a group since it said hello */
            in->from.formed = 1;
            if (stranger(m, in))
                peers_look(m);
        }
        return step_msg(m, &in->from, p, n);
    case WIRE_PROPOSE:
        return forward_propose(m, &in->from, p, n);
    case WIRE_PROPOSED:
        return forward_proposed(m, &in->from, p, n);
    case WIRE_SNAP:
        return stream_begin(m, in, p, n);
    case WIRE_CHUNK:
        return stream_chunk(m, in, p, n);
    case WIRE_SNAP_RESULT:
        return stream_result(m, &in->from, p, n);
    case WIRE_STILL_HERE:
        return n == 0;
    case WIRE_ASK:
        return ask_received(m, &in->from, p, n);
    case WIRE_ASKED:
        return ask_answered(m, &in->from, p, n);
    case WIRE_GROUP_AT:
        in->from.group_at = n == 8 ? max_u64(in->from.group_at, get_le64(p)) : in->from.group_at;
        return n == 8;
    case WIRE_HELLO:
    case WIRE_WELCOME:
    case WIRE_MEMBERS:
    case WIRE_TYPE_END:
        break;
    }
    return false;
}

static void accepted(void *arg, struct chronik_stream *s, const char *peer)
{
    chronik_meta *m = arg;
    /* Whoever connects hears our boot counter: told before it is durable, it could be told again by our next start,
     * which would then look like an older copy of us. They dial again. */
    bool unknown = !m->net->boot_known && !MUTANT("raft_boot_told_before_durable");
    if (m->net->closing || unknown || m->net->n_inbound >= INBOUND_MOST) {
        m->host.stream_close(s);
        return;
    }
    struct inbound *in = raft_alloc(m, sizeof *in);
    *in = (struct inbound){.conn = conn_new(m, s, peer), .since = net_now(m), .next = m->net->inbound};
    in->conn->owner = in;
    in->conn->frame = inbound_frame;
    in->conn->lost = inbound_lost;
    m->net->inbound = in;
    m->net->n_inbound++;
    conn_begin(in->conn);
}

/* ---- life ---- */

void accept_start(chronik_meta *m)
{
    struct chronik_listen_events ev = {.size = sizeof ev, .accepted = accepted, .arg = m};
    if (!m->quorum.listen[0])
        return;
    int32_t rc = m->host.listen(m->host.ctx, m->exec, m->quorum.listen, &ev, &m->net->listener);
    if (rc > 0)
        return;
    struct event *e = raft_alloc(m, sizeof *e);
    e->kind = EV_FAILED;
    errtext_set(&m->error, rc, "the quorum's listener %s cannot be opened: %s; free the port, or set %s",
                m->quorum.listen, util_code_text(rc), "controller.quorum.voters or listeners");
    deliver_emit(m, e);
}

/* Who does not say who it is within its time, or was refused and stays, is closed. */
void accept_turn(chronik_meta *m, int64_t now)
{
    struct inbound *next;
    m->net->hello_due = 0;
    for (struct inbound *in = m->net->inbound; in; in = next) {
        next = in->next;
        if (!in->welcome && now - in->since > HELLO_MS * RAFT_MS) {
            if (!in->from.replica && net_may_say(m))
                util_log(&m->host, CHRONIK_LOG_WARN, "connection of %s closed: it did not say who it is in %d s",
                         in->conn->peer, HELLO_MS / 1000);
            accept_close_one(m, in);
        } else if (!in->welcome) { /* the oldest comes last */
            m->net->hello_due = in->since + (HELLO_MS + 1) * RAFT_MS;
        }
    }
}

/* They dial again. */
void accept_hang_up(chronik_meta *m)
{
    while (m->net->inbound)
        accept_close_one(m, m->net->inbound);
}

void accept_close(chronik_meta *m)
{
    if (m->net->listener)
        m->host.listen_close(m->net->listener);
    m->net->listener = NULL;
    accept_hang_up(m);
}
