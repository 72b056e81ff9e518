/* election: roles, votes, pre-votes, leases and the handing over of leadership (Raft paper §5.2, §5.4.1, dissertation
 * §3.10, §6.4, §9.6). It must never let a term pass in which this replica votes twice, and never count a vote before it
 * is durable: a candidate's own vote is a message to itself that leaves after the sync, like every other. Lives on the
 * instance's thread.
 *
 *              silence                   majority of pre-votes                 majority of votes
 *   FOLLOWER ----------> PRE_CANDIDATE ------------------------> CANDIDATE ----------------------> LEADER
 *       ^  (without pre-vote or on a leader's request, straight to CANDIDATE)                        |
 *       +------- a higher term, a leader of this term, a majority of refusals, no active quorum -----+
 */
#include "internal.h"

#define U(v) ((unsigned long long)(v))

void rc_draw_timeout(struct rc *r)
{
    r->election_timeout = r->cfg.election_ticks + r->cfg.random(r->cfg.ctx, r->cfg.election_ticks);
}

void rc_set_election_timeout(struct rc *r, uint32_t ticks)
{
    r->election_timeout = ticks;
}

/* A fresh start in term: nothing learned about the members, the reads or a transfer of an earlier one stays. */
static void reset(struct rc *r, uint64_t term)
{
    if (r->term != term) {
        RC_CHECK(r, term > r->term, "replica %llx: term %llu after term %llu", U(r->cfg.id), U(term), U(r->term));
        r->term = term;
        r->vote = 0;
    }
    r->lead = 0;
    r->election_elapsed = 0;
    r->heartbeat_elapsed = 0;
    rc_draw_timeout(r);
    r->transferee = 0;
    for (uint32_t i = 0; i < r->trk.n; i++) {
        struct rc_progress *p = &r->trk.members[i];

        /* Our own entries count once durable; what is being written is acknowledged by the first entry of the term. */
        rc_progress_reset(p, p->id == r->cfg.id ? r->log.stable : 0, rc_log_last(&r->log) + 1);
    }
    r->pending_conf = 0;
    r->uncommitted = 0;
    rc_reads_reset(r);
}

void rc_become_follower(struct rc *r, uint64_t term, uint64_t lead)
{
    reset(r, term);
    r->lead = lead;
    r->role = RC_FOLLOWER;
    rc_log_line(r, RC_INFO, "%llx became follower at term %llu", U(r->cfg.id), U(r->term));
}

static void become_pre_candidate(struct rc *r)
{
    RC_CHECK(r, r->role != RC_LEADER, "replica %llx: a leader cannot ask for pre-votes", U(r->cfg.id));
    for (uint32_t i = 0; i < r->trk.n; i++) {
        r->trk.members[i].ballot = RC_BALLOT_NONE;
    }
    r->lead = 0;
    r->role = RC_PRE_CANDIDATE;
    rc_log_line(r, RC_INFO, "%llx became pre-candidate at term %llu", U(r->cfg.id), U(r->term));
}

static void become_candidate(struct rc *r)
{
    RC_CHECK(r, r->role != RC_LEADER, "replica %llx: a leader cannot become a candidate", U(r->cfg.id));
    reset(r, r->term + 1);
    r->vote = r->cfg.id;
    r->own_vote = false;
    r->role = RC_CANDIDATE;
    rc_log_line(r, RC_INFO, "%llx became candidate at term %llu", U(r->cfg.id), U(r->term));
}

static void become_leader(struct rc *r)
{
    struct rc_progress *self = rc_tracker_find(&r->trk, r->cfg.id);
    struct rc_entry first = {.type = RC_ENTRY_NORMAL};

    RC_CHECK(r, r->role == RC_CANDIDATE, "replica %llx: only a candidate can become leader", U(r->cfg.id));
    reset(r, r->term);
    r->lead = r->cfg.id;
    r->role = RC_LEADER;
    if (self != NULL) {
        rc_progress_replicate(self);
        self->next = rc_log_last(&r->log) + 1;
        self->active = true;
    }
    r->pending_conf = rc_log_last(&r->log); /* there may be a change among the entries that we inherit */
    RC_CHECK(r, RC_MUTANT(NO_FIRST_ENTRY) || rc_append_own(r, &first, 1),
             "replica %llx: the first entry of term %llu was refused", U(r->cfg.id), U(r->term));
    rc_log_line(r, RC_INFO, "%llx became leader at term %llu", U(r->cfg.id), U(r->term));
}

/* Send a request to every voter. Our own vote goes the same way, as a message to ourselves after the sync; a candidate
 * that is no voter (see rescue) sends it too, as proof that its term is on disk. */
static void campaign(struct rc *r, bool pre, bool transfer)
{
    struct rc_msg own = {.to = r->cfg.id, .type = pre ? RC_MSG_PRE_VOTE_REPLY : RC_MSG_VOTE_REPLY};

    if (pre) {
        become_pre_candidate(r);
        /* Of this life alone: a reply may outlast ours. */
        r->round += r->round != 0 ? 1 : (uint64_t)r->cfg.random(r->cfg.ctx, UINT32_MAX) << 32 | 1;
        own.term = r->term + 1;
        own.context = r->round;
    } else {
        become_candidate(r);
        own.term = r->term;
    }
    rc_send(r, &own);
    for (uint32_t i = 0; i < r->trk.n; i++) {
        struct rc_msg msg = {
            .type = pre ? RC_MSG_PRE_VOTE : RC_MSG_VOTE,
            .to = r->trk.members[i].id,
            .term = own.term,
            .index = rc_log_last(&r->log),
            .log_term = rc_log_last_term(&r->log),
            .context = own.context,
            .transfer = transfer,
        };

        if (msg.to != r->cfg.id && rc_conf_voter(&r->trk.conf, msg.to)) {
            rc_send(r, &msg);
        }
    }
}

/* A committed change that is not applied yet may take our vote away: wait for it. */
static bool unapplied_change(const struct rc *r)
{
    for (uint64_t i = r->log.applied + 1; i <= r->log.commit; i++) {
        const struct rc_entry *e = rc_log_at(&r->log, i);

        if (e != NULL && e->type != RC_ENTRY_NORMAL) {
            return true;
        }
    }
    return false;
}

void rc_hup(struct rc *r, bool transfer)
{
    if (r->role == RC_LEADER) {
        return;
    }
    if (!rc_promotable(r)) {
        rc_log_line(r, RC_WARN, "%llx cannot lead (no voter, or a snapshot is being installed): no election",
                    U(r->cfg.id));
        return;
    }
    if (unapplied_change(r) && !RC_MUTANT(CAMPAIGN_BEFORE_APPLY)) {
        rc_log_line(r, RC_WARN,
                    "%llx waits with its election at term %llu: a committed configuration change is not applied",
                    U(r->cfg.id), U(r->term));
        return;
    }
    rc_log_line(r, RC_INFO, "%llx starts an election at term %llu", U(r->cfg.id), U(r->term));
    campaign(r, r->cfg.pre_vote && !transfer, transfer);
}

/* A configuration without us took effect here, and whoever asks does not know it yet: it needs our vote, and cannot
 * have it because our log is further. Nobody else may ever get it out of there, so lead once more; rc_hand_over ends
 * it. */
static void rescue(struct rc *r, const struct rc_msg *msg)
{
    bool led = r->lead != 0 && r->election_elapsed < r->cfg.election_ticks;

    if (!r->cfg.lead_to_rescue || r->role != RC_FOLLOWER || led || r->log.pending != NULL ||
        !rc_conf_voter(&r->trk.conf, msg->from) || rc_conf_voter(&r->trk.conf, r->cfg.id) || unapplied_change(r)) {
        return;
    }
    rc_log_line(r, RC_INFO, "%llx is no voter, but %llx lacks what only it may have: it campaigns", U(r->cfg.id),
                U(msg->from));
    campaign(r, r->cfg.pre_vote, false);
}

bool rc_in_lease(const struct rc *r)
{
    return r->cfg.check_quorum && r->lead != 0 && r->election_elapsed < r->cfg.election_ticks;
}

/* Terms are settled by now: a vote is of this very term, a pre-vote of this one or a later one. Learners vote too: a
 * candidate that asks one knows of its promotion, which the learner itself may not have seen. */
void rc_handle_vote(struct rc *r, const struct rc_msg *msg)
{
    bool pre = msg->type == RC_MSG_PRE_VOTE;
    bool may = r->vote == msg->from || ((r->vote == 0 || RC_MUTANT(SECOND_VOTE)) && r->lead == 0) ||
               (pre && msg->term > r->term);
    bool further = rc_log_up_to_date(&r->log, msg->index, msg->log_term) || RC_MUTANT(VOTE_FOR_SHORTER_LOG);
    bool grant = may && further;
    struct rc_msg reply = {
        .type = pre ? RC_MSG_PRE_VOTE_REPLY : RC_MSG_VOTE_REPLY,
        .to = msg->from,
        .term = grant ? msg->term : r->term, /* a granted pre-vote is of the term that was asked about */
        .context = msg->context,
        .reject = !grant,
    };

    rc_log_line(r, RC_INFO, "%llx (last %llu/%llu, vote %llx) %s the %s of %llx (last %llu/%llu) at term %llu",
                U(r->cfg.id), U(rc_log_last_term(&r->log)), U(rc_log_last(&r->log)), U(r->vote),
                grant ? "grants" : "refuses", rc_msg_name(msg->type), U(msg->from), U(msg->log_term), U(msg->index),
                U(r->term));
    rc_send(r, &reply);
    if (grant && !pre) {
        RC_CHECK(r, r->vote == 0 || r->vote == msg->from || RC_MUTANT(SECOND_VOTE),
                 "replica %llx: second vote in term %llu", U(r->cfg.id), U(r->term));
        r->election_elapsed = 0;
        r->vote = RC_MUTANT(VOTE_FORGOTTEN) ? r->vote : msg->from;
    }
    if (!further) {
        rescue(r, msg);
    }
}

void rc_handle_vote_reply(struct rc *r, const struct rc_msg *msg)
{
    struct rc_progress *from = rc_tracker_find(&r->trk, msg->from);
    bool pre = r->role == RC_PRE_CANDIDATE;
    uint32_t granted, rejected;
    enum rc_verdict verdict;

    if (msg->type != (pre ? RC_MSG_PRE_VOTE_REPLY : RC_MSG_VOTE_REPLY)) { /* of an earlier phase */
        return;
    }
    if (pre && msg->context != r->round && msg->context != 0) { /* of an earlier round; 0: from before there were any */
        return;
    }
    if (from != NULL && from->ballot == RC_BALLOT_NONE) {
        from->ballot = msg->reject ? RC_BALLOT_NO : RC_BALLOT_YES;
    }
    r->own_vote = r->own_vote || (!pre && msg->from == r->cfg.id);
    verdict = rc_tracker_votes(&r->trk, &granted, &rejected);
    rc_log_line(r, RC_INFO, "%llx has %u grants and %u refusals for %s at term %llu", U(r->cfg.id), granted, rejected,
                rc_msg_name(msg->type), U(r->term));
    if (verdict == RC_VOTE_WON && pre) {
        campaign(r, false, false);
    } else if (verdict == RC_VOTE_WON && (r->own_vote || RC_MUTANT(LEADS_WITHOUT_OWN_VOTE))) {
        /* Not before: a leader that forgot its term in a crash could win the same term again and fill it with other
         * entries. */
        become_leader(r);
        rc_bcast_append(r);
    } else if (verdict == RC_VOTE_LOST) {
        rc_become_follower(r, r->term, 0);
    }
}

void rc_check_quorum(struct rc *r)
{
    if (!rc_tracker_quorum_active(&r->trk) && !RC_MUTANT(LEADER_LINGERS)) {
        rc_log_line(r, RC_WARN, "%llx steps down: no quorum was heard for %u ticks", U(r->cfg.id),
                    r->cfg.election_ticks);
        rc_become_follower(r, r->term, 0);
    }
    for (uint32_t i = 0; i < r->trk.n; i++) {
        r->trk.members[i].active = r->trk.members[i].id == r->cfg.id && r->trk.members[i].active;
    }
}

/* We lead and to shall: proposals stop, and once its log equals ours it is told to campaign at once. */
void rc_handle_transfer(struct rc *r, struct rc_progress *to)
{
    struct rc_msg msg = {.type = RC_MSG_TIMEOUT_NOW, .to = to->id};

    if (to->learner || to->id == r->cfg.id || to->id == r->transferee) {
        rc_log_line(r, RC_DEBUG, "%llx ignores a transfer to %llx: %s", U(r->cfg.id), U(to->id),
                    to->learner           ? "a learner"
                    : to->id == r->cfg.id ? "it leads"
                                          : "already under way");
        if (!to->learner && to->id == r->cfg.id) {
            r->transferee = 0; /* an earlier wish is taken back */
        }
        return;
    }
    r->transfer_elapsed = 0; /* it has one election timeout */
    r->transferee = to->id;
    rc_log_line(r, RC_INFO, "%llx transfers leadership of term %llu to %llx", U(r->cfg.id), U(r->term), U(to->id));
    if (to->match == rc_log_last(&r->log)) {
        rc_send(r, &msg);
    } else {
        rc_send_append(r, to, true);
    }
}

/* A leader that is no voter (it was removed, or came to the rescue) gives the lead to the voter that has most. */
void rc_hand_over(struct rc *r)
{
    struct rc_progress *best = NULL;

    if (!r->cfg.lead_to_rescue || rc_conf_voter(&r->trk.conf, r->cfg.id) || r->transferee != 0 ||
        !rc_committed_in_term(r)) {
        return;
    }
    for (uint32_t i = 0; i < r->trk.n; i++) {
        struct rc_progress *p = &r->trk.members[i];

        if (rc_ids_has(&r->trk.conf.voters, p->id) && (best == NULL || p->match > best->match)) {
            best = p;
        }
    }
    if (best != NULL) {
        rc_handle_transfer(r, best);
    }
}
