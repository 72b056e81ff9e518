/* net.c: the network side as a whole: its life, what the shell asks of it, the sentence that names who is missing, and
 * leaving in good order. The parts: peer.c (whom we write to), accept.c (who writes to us), form.c (the first
 * formation), forward.c (proposals), stream.c (snapshots), member.c (changes of the group). Raft executor. */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    LEAVE_MOST_MS = 1000,
    LACK_SAY_MS = 30000,
    LACK_FIRST_MS = 1000,
    SILENT_MS = 2500,
    TRIED_MS = 300,
    ROWS_MS = 2000
};

/* ---- life ---- */

int32_t net_new(chronik_meta *m)
{
    m->net = calloc(1, sizeof *m->net);
    if (!m->net)
        return CHRONIK_E_NOMEM;
    plist_init(&m->net->forwarded);
    m->host.random(m->host.ctx, &m->net->nonce, sizeof m->net->nonce);
    m->net->ask_number = m->net->nonce >> 1; /* an answer to an earlier life fits none of ours */
    return CHRONIK_DONE;
}

void net_free(chronik_meta *m)
{
    if (!m->net)
        return;
    free(m->net->seen);
    free(m->net);
    m->net = NULL;
}

void net_start(chronik_meta *m)
{
    m->net->started = true;
    m->net->started_at = net_now(m);
    force_remember(m);
    accept_start(m);
    peers_update(m);
}

/* Our boot counter is durable: others may hear of it. */
void net_boot_durable(chronik_meta *m, uint64_t durable)
{
    if (m->net->started && !m->net->boot_known && durable >= m->boot_record) {
        m->net->boot_known = true;
        raft_post(m);
    }
}

void net_turn(chronik_meta *m, int64_t now)
{
    pthread_mutex_lock(&m->lock);
    uint64_t durable = m->durable;
    pthread_mutex_unlock(&m->lock);
    net_boot_durable(m, durable);
    accept_turn(m, now);
    if (m->net->peers_stale)
        peers_update(m);
    peers_turn(m, now);
    stream_turn(m);
    if (!m->rc)
        return;
    net_install_done(m);
    accept_order(m, now);
    forward_turn(m, now);
    ask_turn(m, now);
    member_turn(m, now);
    force_turn(m, now);
    net_say_group(m);
    lack_say(m, now);
}

void net_unformed(chronik_meta *m, int64_t now)
{
    char lack[sizeof m->lack];
    form_turn(m, now);
    net_lack(m, lack, sizeof lack);
    pthread_mutex_lock(&m->lock);
    memcpy(m->lack, lack, sizeof lack);
    pthread_mutex_unlock(&m->lock);
    lack_say(m, now);
    if (m->rc)
        raft_post(m);
}

static void earlier(int64_t *at, int64_t t)
{
    if (t && (!*at || t < *at))
        *at = t;
}

int64_t net_due(chronik_meta *m)
{
    const struct net *n = m->net;
    int64_t at = peers_due(m);
    earlier(&at, n->hello_due);
    earlier(&at, n->leaving_until);
    earlier(&at, n->lack_due);
    earlier(&at, member_due(m));
    earlier(&at, ask_due(m));
    if (n->founding)
        earlier(&at, n->founding->until);
    if (!m->rc)
        earlier(&at, n->form_again);
    if (n->forwarded.head)
        earlier(&at, n->forwarded.head->at + 5001 * RAFT_MS);
    return at;
}

/* No room for what a leader would send or a proposer ask. */
bool net_disk_full(chronik_meta *m)
{
    return reclog_admit(m->log, 64 << 10, 0) == CHRONIK_E_NOSPC;
}

/* When it last had all that we had: it has now what we had at the last look, or what an earlier look found. */
static int64_t caught_up_at(chronik_meta *m, const struct rc_peer *v, int64_t now)
{
    if (v->id == m->id.replica)
        return now;
    if (m->net->last_seen_at && v->match >= m->net->last_seen)
        return v->match >= raft_last(m) ? now : m->net->last_seen_at;
    for (uint32_t i = 0; i < m->n_rows; i++)
        if (m->rows[i].replica == v->id)
            return m->rows[i].caught;
    return 0;
}

/* By any configuration that is remembered. */
static bool belonged(chronik_meta *m, uint64_t replica)
{
    bool found = false;
    pthread_mutex_lock(&m->lock);
    for (const struct group *g = m->groups; g && !found; g = g->next)
        found = conf_has(&g->conf, replica);
    pthread_mutex_unlock(&m->lock);
    return found;
}

/* Who waits to be added, and is there. One that was taken away does not. */
static void note_guests(chronik_meta *m, int64_t now)
{
    struct guest v[RAFT_WAITING];
    uint32_t n = 0;
    for (struct inbound *in = m->net->inbound; in && n < RAFT_WAITING; in = in->next) {
        const struct hello *h = &in->from;
        in->was_member = in->was_member || h->formed || h->group_at || belonged(m, h->replica);
        if (!in->welcome || h->lane != LANE_TALK || in->was_member || now - in->heard > SILENT_MS * RAFT_MS)
            continue;
        struct guest *g = &v[n++];
        *g = (struct guest){.who = {.replica = h->replica, .node = h->node, .directory = h->directory},
                            .heard = in->heard};
        memcpy(g->who.address, h->address, RAFT_ADDRESS);
    }
    pthread_mutex_lock(&m->lock);
    memcpy(m->guests, v, n * sizeof v[0]);
    m->n_guests = n;
    pthread_mutex_unlock(&m->lock);
}

void net_rows(chronik_meta *m, int64_t now)
{
    struct rc_peer v[RC_MAX_MEMBERS];
    uint32_t n = m->leads ? rc_peers(m->rc, v, RC_MAX_MEMBERS) : 0;
    struct row rows[RAFT_PEERS];
    note_guests(m, now);
    if (!m->leads && now - m->rows_at < ROWS_MS * RAFT_MS)
        return; /* what the leader told of its own stays for a moment */
    for (uint32_t i = 0; i < n; i++) {
        rows[i] = (struct row){.replica = v[i].id, .match = v[i].match, .heard = v[i].id == m->id.replica ? now : 0};
        for (const struct inbound *in = m->net->inbound; in; in = in->next)
            if (in->welcome && in->from.replica == v[i].id && in->heard > rows[i].heard)
                rows[i].heard = in->heard;
        rows[i].caught = caught_up_at(m, &v[i], now);
    }
    if (n) {
        m->net->last_seen = raft_last(m);
        m->net->last_seen_at = now;
    }
    pthread_mutex_lock(&m->lock);
    memcpy(m->rows, rows, n * sizeof rows[0]);
    m->n_rows = n;
    pthread_mutex_unlock(&m->lock);
}

/* It has said something lately; whoever has nothing to say says that. Our own connection to it may look good for
 * minutes after its machine is gone or the way from there is cut. */
static bool heard(chronik_meta *m, const struct peer *p)
{
    int64_t now = net_now(m);
    for (const struct inbound *in = m->net->inbound; in; in = in->next)
        if (in->welcome && in->from.replica == p->info.replica && now - in->heard < SILENT_MS * RAFT_MS)
            return true;
    return false;
}

static const char *reason(chronik_meta *m, const struct peer *p)
{
    if (p->refused)
        return wire_refusal_text(p->refused);
    if (peer_ready(p, LANE_TALK))
        return p->info.formed && !m->rc ? "belongs to a quorum already" : heard(m, p) ? "connected" : "silent";
    return p->why == CHRONIK_E_CLOSED     ? "refused"
           : p->why == CHRONIK_E_TIMEDOUT ? "no answer"
           : p->why                       ? util_code_text(p->why)
                                          : "not reached yet";
}

/* ---- what others have applied ---- */

static uint64_t group_of(chronik_meta *m, uint64_t replica)
{
    uint64_t at = replica == m->id.replica ? m->group_now->index : 0;
    for (const struct inbound *in = m->net->inbound; in; in = in->next)
        if (in->welcome && in->from.replica == replica)
            at = max_u64(at, in->from.group_at);
    return at;
}

bool net_settled(chronik_meta *m, char *who, size_t n)
{
    const struct group *g = m->group_now;
    bool all = true;
    size_t at = 0;
    for (uint32_t i = 0; i < g->book.n; i++) {
        const struct member *x = &g->book.v[i];
        if (!conf_has(&g->conf, x->replica) || group_of(m, x->replica) >= g->index)
            continue;
        const struct peer *p = peer_of(m, x->replica);
        if (at < n)
            at += (size_t)snprintf(who + at, n - at, "%s%u@%s (%s)", all ? "" : ", ", x->node, x->address,
                                   p ? reason(m, p) : "unknown");
        all = false;
    }
    return all;
}

/* The leader waits for it before it calls a removal done. */
void net_say_group(chronik_meta *m)
{
    struct peer *p = m->leads || !m->lead ? NULL : peer_of(m, m->lead);
    uint64_t at = m->group_now->index;
    if (!p || !peer_ready(p, LANE_TALK) || p->told_group == at)
        return;
    struct wbuf *w = &p->lane[LANE_TALK].conn->out;
    size_t frame = wire_begin(w, WIRE_GROUP_AT);
    wire_put64(w, at);
    wire_end(w, frame, m->host.crc32c);
    p->told_group = at;
}

/* Not before every voter has been tried once: one of them may know that this group is none any more (force.c). */
bool net_may_campaign(chronik_meta *m, int64_t now)
{
    bool tried = true;
    for (const struct peer *p = m->net->peers; p; p = p->next)
        if (ids_have(&m->group_now->conf.voters, p->replica))
            tried = tried && (peer_ready(p, LANE_TALK) || p->why || p->refused);
    return tried || now - m->net->started_at > TRIED_MS * RAFT_MS || MUTANT("raft_campaigns_untried");
}

void net_removed(chronik_meta *m, const struct peer *by)
{
    if (!m->net->removed)
        util_log(&m->host, CHRONIK_LOG_WARN, "%s leads the quorum, and this node is no member of it any more",
                 by->address);
    rc_forget_leader(m->rc); /* who would tell us nothing any more */
    m->net->removed = true;
}

bool net_member(const chronik_meta *m)
{
    const struct request *r = m->net->founding;
    return !m->net->removed && !m->net->stale && (!r || r->stage == REQUEST_PROPOSED);
}

void net_step_down(chronik_meta *m, int64_t now)
{
    uint64_t to = now >= m->net->step_down_at ? net_successor(m) : 0;
    if (!to)
        return; /* nobody to hand over to: proposals are refused, reads go on */
    m->net->step_down_at = now + m->quorum.election_ms * RAFT_MS;
    util_log(&m->host, CHRONIK_LOG_WARN, "the disk is full: leadership is handed over; free some space");
    rc_transfer(m->rc, to);
}

void net_leader_changed(chronik_meta *m)
{
    if (m->lead)
        m->net->removed = false;
    forward_cancel(m);
    raft_answer(m, &m->waiting, CHRONIK_E_CANCELED); /* perhaps committed, perhaps not: the proposer asks again */
}

void net_group_changed(chronik_meta *m)
{
    peers_update(m);
    for (struct inbound *in = m->net->inbound, *next; in; in = next) {
        next = in->next;
        members_tell(m, in);
        conn_flush(in->conn);
    }
}

/* ---- who is missing ---- */

static bool missing(chronik_meta *m, const struct peer *p)
{
    if (m->rc && !ids_have(&m->group_now->conf.voters, p->replica) &&
        !ids_have(&m->group_now->conf.outgoing, p->replica))
        return false;
    return !peer_ready(p, LANE_TALK) || (!m->rc && p->info.formed) || (m->rc && !heard(m, p));
}

/* As leader: whose log does not reach the end of ours. */
static void lagging(chronik_meta *m, char *text, size_t n)
{
    struct rc_peer v[RC_MAX_MEMBERS];
    uint32_t k = rc_peers(m->rc, v, RC_MAX_MEMBERS), count = 0;
    uint64_t last = raft_last(m);
    size_t at = (size_t)snprintf(text, n, "voters that have not acknowledged: ");
    for (uint32_t i = 0; i < k && at < n; i++) {
        const struct member *x = book_find(&m->group_now->book, v[i].id);
        const struct peer *p = peer_of(m, v[i].id);
        if (v[i].learner || v[i].match >= last || v[i].id == m->id.replica || !x)
            continue;
        at += (size_t)snprintf(text + at, n - at, "%s%u@%s (%s)", count++ ? ", " : "", x->node, x->address,
                               !p ? "unknown" : reason(m, p));
    }
    if (!count && at < n)
        snprintf(text + at, n - at, "none");
}

void net_lack(chronik_meta *m, char *text, size_t n)
{
    if (m->rc && m->leads) {
        lagging(m, text, n);
        return;
    }
    size_t at = 0;
    uint32_t count = 0;
    const char *head = m->rc                ? "there is no leader; voters that are missing: "
                       : m->quorum.voters.n ? "the quorum is not formed yet, which needs all voters; missing: "
                                            : "this node belongs to no quorum yet; add it with: chronikctl meta add; "
                                              "servers: ";
    if (m->net->stale)
        head = "this disk is an older copy of this replica: it does not vote; remove its folders meta-raft and "
               "checkpoint and add it "
               "again; voters: ";
    if (m->net->removed)
        head = "this node is no member of its quorum any more: it answers from what it knew; add it again with "
               "chronikctl meta add, or stop it; voters: ";
    at = (size_t)snprintf(text, n, "%s", head);
    for (const struct peer *p = m->net->peers; p && at < n; p = p->next)
        if (missing(m, p)) {
            const char *comma = count++ ? ", " : "";
            if (p->node == UINT32_MAX)
                at += (size_t)snprintf(text + at, n - at, "%s%s (%s)", comma, p->address, reason(m, p));
            else
                at += (size_t)snprintf(text + at, n - at, "%s%u@%s (%s)", comma, p->node, p->address, reason(m, p));
        }
    if (!count && at < n)
        snprintf(text + at, n - at, "none, an election is under way");
}

/* Once it has lasted a moment, again when it changes, and every half minute. */
void lack_say(chronik_meta *m, int64_t now)
{
    struct net *n = m->net;
    char text[sizeof n->lack_text];
    if (m->rc && m->lead) {
        n->lack_since = n->lack_due = 0;
        n->lack_text[0] = 0;
        return;
    }
    if (!n->lack_since) {
        n->lack_since = now;
        n->lack_due = now + (m->rc ? LACK_FIRST_MS : 100) * RAFT_MS;
    }
    if (now < n->lack_due)
        return;
    n->lack_due = now + 1000 * RAFT_MS;
    net_lack(m, text, sizeof text);
    if (strcmp(text, n->lack_text) == 0 && now - n->lack_said < LACK_SAY_MS * RAFT_MS)
        return;
    memcpy(n->lack_text, text, sizeof text);
    n->lack_said = now;
    util_log(&m->host, CHRONIK_LOG_WARN, "%s", text);
}

/* ---- the end ---- */

/* The voter that has most of the log and answers; 0: none. */
uint64_t net_successor(chronik_meta *m)
{
    struct rc_peer v[RC_MAX_MEMBERS];
    uint32_t n = rc_peers(m->rc, v, RC_MAX_MEMBERS);
    uint64_t best = 0, match = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct peer *p = peer_of(m, v[i].id);
        if (!v[i].learner && p && peer_ready(p, LANE_BULK) && ids_have(&m->group_now->conf.voters, v[i].id) &&
            (!best || v[i].match > match)) {
            best = v[i].id;
            match = v[i].match;
        }
    }
    return best;
}

/* A leader that is told to stop hands over first: its followers need not notice its absence. */
bool net_leaving(chronik_meta *m, int64_t now)
{
    struct net *n = m->net;
    if (!m->rc || !m->leads || n->closing)
        return false;
    if (!n->leaving) {
        uint64_t to = net_successor(m);
        n->leaving = true;
        int64_t most = m->quorum.election_ms < LEAVE_MOST_MS ? m->quorum.election_ms : LEAVE_MOST_MS;
        n->leaving_until = to ? now + most * RAFT_MS : 0;
        if (to)
            rc_transfer(m->rc, to);
    }
    return now < n->leaving_until;
}

void net_cancel(chronik_meta *m)
{
    forward_cancel(m);
    ask_cancel(m);
    if (m->net->founding)
        request_finish(m, m->net->founding,
                       request_say(m->net->founding, CHRONIK_E_CANCELED, "this node stops: give the command again"));
    m->net->founding = NULL;
    member_cancel(m);
}

void net_shut(chronik_meta *m)
{
    m->net->closing = true;
    m->net->leaving_until = 0;
    accept_close(m);
    peers_close(m);
}

bool net_closed(chronik_meta *m)
{
    stream_turn(m);
    return !m->net->conns && !m->net->dials && !stream_busy(m);
}
