/* force.c: a quorum whose majority is lost for good is founded anew by one survivor, when an operator says so and
 * insists (DESIGN: the logged exception to everything that consensus promises). What the others acknowledged and this
 * replica never had is lost.
 *
 * Order, each step surviving a crash behind it, with the command given again:
 *   1. the identity file gets a new group id, and keeps the old one among the former: from here on no replica of the
 * old group is spoken with, so nothing that it still does can reach this one, nor the other way round;
 *   2. the core hears, as if from a leader of a term far above all, that all of its log is committed, and then entries
 *      that take every other member away one by one; it writes them like any others;
 *   3. as the only voter it is elected.
 * A replica of the old group that comes back dials its old members, is told by the survivor that the group was founded
 * anew, writes that down and ends: it must not serve, nor vote, again. It may still reach another of its kind before it
 * reaches the survivor: so nobody campaigns before every voter has been tried once (net_may_campaign), and only
 * replicas that are cut off from the survivor could elect a leader, which no protocol can prevent (docs/operations.md).
 * Raft executor; the file is written on a worker. */
#include "net.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TERM_STEP (UINT64_C(1) << 16)
enum { QUIET_MS = 2500 };

bool force_was(const struct identity *id, const struct chronik_uuid *group)
{
    for (uint32_t i = 0; i < id->n_former; i++)
        if (uuid_same(&id->former[i], group))
            return true;
    return false;
}

void force_remember(chronik_meta *m)
{
    const struct identity *id = &m->id;
    if (id->n_former)
        util_log(&m->host, CHRONIK_LOG_WARN,
                 "this quorum was founded anew by force %u times, last at %" PRId64
                 " ms (Unix time), behind entry %" PRIu64 ": what others had acknowledged beyond it is lost",
                 id->n_former, id->forced_ms, id->forced_index);
}

/* Term of the last entry. */
static uint64_t last_term(chronik_meta *m, uint64_t last)
{
    const struct rc_entry *e = rc_entry_at(m->rc, last);
    pthread_mutex_lock(&m->lock);
    struct chronik_meta_pos snap = m->snapshot.pos;
    pthread_mutex_unlock(&m->lock);
    return e ? e->term : snap.index == last ? snap.epoch : m->id.bootstrap.term;
}

/* ---- may it, and what is at stake ---- */

/* Who says nothing, not even that it is still there, is not. */
static bool is_here(chronik_meta *m, uint64_t replica)
{
    int64_t heard = 0;
    for (const struct inbound *in = m->net->inbound; in; in = in->next)
        if (in->welcome && in->from.replica == replica && in->heard > heard)
            heard = in->heard;
    return replica == m->id.replica || (heard && net_now(m) - heard < QUIET_MS * RAFT_MS);
}

static uint32_t voters_here(chronik_meta *m, const struct rc_ids *ids)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < ids->n; i++)
        n += is_here(m, ids->v[i]);
    return n;
}

static int32_t objection(chronik_meta *m, struct request *r)
{
    const struct rc_conf *c = &m->group_now->conf;
    if (m->net->founding || m->net->forming)
        return request_say(r, CHRONIK_E_BUSY, "it is under way already");
    if (m->lead)
        return request_say(r, CHRONIK_E_INVAL,
                           "refused: there is a leader, so no majority is lost; take members away with chronikctl meta "
                           "remove");
    if (voters_here(m, &c->voters) > c->voters.n / 2 && voters_here(m, &c->outgoing) * 2 >= c->outgoing.n)
        return request_say(r, CHRONIK_E_INVAL,
                           "refused: a majority of the voters is connected, an election is under way; try again in a "
                           "moment if there is still no leader");
    if (m->id.n_former == RAFT_FORMER)
        return request_say(r, CHRONIK_E_INVAL, "refused: this quorum was founded anew %d times already", RAFT_FORMER);
    return CHRONIK_DONE;
}

static int32_t report(chronik_meta *m, struct request *r)
{
    struct rc_status s;
    char lack[300];
    rc_status(m->rc, &s);
    net_lack(m, lack, sizeof lack);
    return request_say(
        r, CHRONIK_E_INVAL,
        "nothing was changed. %s. This node has %" PRIu64 " entries, the last of term %" PRIu64
        "; what the others acknowledged beyond that would be LOST, and they must never run again with what "
        "they have. If they are gone for good: chronikctl meta bootstrap --force",
        lack, s.last, last_term(m, s.last));
}

/* ---- doing it ---- */

static void finish(chronik_meta *m, int32_t rc)
{
    struct request *r = m->net->founding;
    m->net->founding = NULL;
    request_finish(m, r, rc);
}

void force_begin(chronik_meta *m, struct request *r, int64_t now)
{
    (void)now;
    int32_t rc = objection(m, r);
    if (rc > 0 && !(r->ask.flags & CHRONIK_META_FORCE))
        rc = report(m, r);
    if (rc < 0) {
        request_finish(m, r, rc);
        return;
    }
    m->net->founding = r;
    r->stage = REQUEST_NEW;
}

/* Step 1, once the worker is free. */
static void save(chronik_meta *m)
{
    struct identity *id = &m->id;
    id->former[id->n_former++] = id->group_id;
    start_draw(m, &id->group_id);
    id->forced_index = raft_last(m);
    id->forced_ms = m->host.wall_ms(m->host.ctx);
    m->net->founding->stage = REQUEST_SAVING;
    util_log(&m->host, CHRONIK_LOG_WARN,
             "by command of an operator this quorum is founded anew with this node alone, behind entry %" PRIu64
             ": what others had acknowledged beyond it is lost",
             id->forced_index);
    start_save(m);
}

static void put_change(chronik_meta *m, struct rc_msg *msg, enum rc_conf_op op, uint64_t id, uint32_t n)
{
    struct rc_conf_change c = {.n = n};
    c.v[0].op = op;
    c.v[0].id = id;
    struct rc_entry *e = &msg->entries[msg->n_entries];
    *e = (struct rc_entry){.type = n ? RC_ENTRY_CONF_ONE : RC_ENTRY_CONF,
                           .term = msg->term,
                           .index = msg->index + 1 + msg->n_entries,
                           .data = rc_conf_encode(&m->alloc, &c)};
    CHECK(e->data != NULL);
    msg->n_entries++;
}

/* A joint configuration is left first. One after another: a learner is dropped before a voter that is left follows. */
static void put_changes(chronik_meta *m, struct rc_msg *msg)
{
    const struct rc_conf *c = &m->group_now->conf;
    struct rc_conf plain = *c;
    if (c->outgoing.n) {
        put_change(m, msg, RC_REMOVE, 0, 0);
        for (uint32_t i = 0; i < c->learners_next.n; i++)
            plain.learners.v[plain.learners.n++] = c->learners_next.v[i];
    }
    if (!ids_have(&plain.voters, m->id.replica))
        put_change(m, msg, RC_ADD_VOTER, m->id.replica, 1);
    const struct rc_ids *const all[] = {&plain.learners, &plain.voters};
    for (size_t k = 0; k < ARRAY_LEN(all); k++)
        for (uint32_t i = 0; i < all[k]->n; i++)
            if (all[k]->v[i] != m->id.replica)
                put_change(m, msg, RC_REMOVE, all[k]->v[i], 1);
}

/* What the core hears as if from a leader, which is nobody: its id is drawn, and it is forgotten at once. */
static void hear(chronik_meta *m, struct request *r, struct rc_entry *entries, bool changes)
{
    struct rc_status s;
    rc_status(m->rc, &s);
    while (!r->sent_to || conf_has(&m->group_now->conf, r->sent_to))
        r->sent_to = raft_random(m, 0);
    r->term = r->term ? r->term : (s.term / TERM_STEP + 1) * TERM_STEP;
    struct rc_msg msg = {.type = RC_MSG_APPEND,
                         .from = r->sent_to,
                         .to = m->id.replica,
                         .term = r->term,
                         .index = s.last,
                         .log_term = last_term(m, s.last),
                         .entries = entries};
    if (changes)
        put_changes(m, &msg);
    msg.commit = s.persisted; /* what is nowhere else must be durable first */
    r->index = s.last + msg.n_entries;
    if (rc_step(m->rc, &msg) != RC_OK)
        raft_fatal(m, 70, "founding the quorum anew: the core refuses what its own log holds; report this");
    for (uint32_t i = 0; i < msg.n_entries; i++)
        rc_buf_unref(entries[i].data);
    rc_forget_leader(m->rc);
}

/* What has become durable is committed. */
static bool committed(chronik_meta *m, struct request *r)
{
    struct rc_status s;
    rc_status(m->rc, &s);
    if (s.commit < r->index && s.persisted > s.commit)
        hear(m, r, NULL, false);
    return m->handed >= r->index;
}

/* The identity is written: step 2, first with what the log holds, which may change members too, then without them. */
static void found(chronik_meta *m, struct request *r, int64_t now)
{
    struct rc_entry entries[RC_MAX_MEMBERS * 2 + 2];
    switch (r->stage) {
    case REQUEST_SAVING:
        accept_hang_up(m);
        hear(m, r, entries, false);
        r->stage = REQUEST_CATCHING;
        break;
    case REQUEST_CATCHING:
        if (committed(m, r)) {
            hear(m, r, entries, true);
            r->stage = REQUEST_PROPOSED;
        }
        break;
    default:
        if (m->leads)
            finish(m, CHRONIK_DONE);
        else if (now >= r->until)
            finish(m, request_say(r, CHRONIK_E_TIMEDOUT,
                                  "it is written, and this node does not lead yet; the log says "
                                  "why"));
        else if (committed(m, r) && !m->campaign_at)
            clock_campaign_in(m, 0);
    }
}

void force_turn(chronik_meta *m, int64_t now)
{
    struct request *r = m->net->founding;
    if (!r)
        return;
    pthread_mutex_lock(&m->lock);
    bool busy = m->worker_busy;
    int32_t rc = m->formed_rc;
    pthread_mutex_unlock(&m->lock);
    if (r->stage == REQUEST_NEW) {
        if (!busy)
            save(m);
    } else if (r->stage == REQUEST_SAVING && rc < 0) {
        m->id.group_id = m->id.former[--m->id.n_former];
        finish(m, request_say(r, rc, "nothing was changed: the identity file cannot be written; the log says why"));
    } else if (r->stage != REQUEST_SAVING || rc > 0) {
        found(m, r, now);
    }
}

/* ---- the others ---- */

static void written_down(void *arg)
{
    chronik_meta *m = arg;
    struct errtext e = {0};
    char text[600];
    if (identity_save(m, &e) < 0) /* it will be told again */
        m->host.log(m->host.ctx, CHRONIK_LOG_ERROR, e.text);
    snprintf(text, sizeof text, RAFT_SUPERSEDED, RAFT_FOLDER);
    raft_fatal(m, 70, text);
}

/* By then other work of the worker may be under way: tried again by the next refusal. */
void force_superseded(chronik_meta *m, const struct peer *p)
{
    pthread_mutex_lock(&m->lock);
    bool busy = m->worker_busy;
    pthread_mutex_unlock(&m->lock);
    m->net->stale = true; /* no vote from here on */
    if (!m->rc || m->id.superseded || busy || m->net->founding)
        return;
    m->id.superseded = 1;
    util_log(&m->host, CHRONIK_LOG_ERROR, "node %u at %s founded this quorum anew by force", p->info.node, p->address);
    start_worker(m, written_down);
}
