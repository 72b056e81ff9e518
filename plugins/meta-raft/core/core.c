/* core: the instance's life and the way of every event: birth from what the disk knew, ticks, messages sorted by term
 * and role, configuration changes. It must never answer for a term that has passed, and every reply that depends on
 * durable state goes to `after` here, in rc_send, and nowhere else. Lives on the instance's thread. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

#define U(v) ((unsigned long long)(v))

const char *rc_msg_name(enum rc_msg_type type)
{
    static const char *const names[RC_MSG_TYPES] = {
        [RC_MSG_PROPOSE] = "proposal",          [RC_MSG_APPEND] = "append",
        [RC_MSG_APPEND_REPLY] = "append reply", [RC_MSG_VOTE] = "vote request",
        [RC_MSG_VOTE_REPLY] = "vote",           [RC_MSG_SNAPSHOT] = "snapshot",
        [RC_MSG_HEARTBEAT] = "heartbeat",       [RC_MSG_HEARTBEAT_REPLY] = "heartbeat reply",
        [RC_MSG_TRANSFER] = "transfer request", [RC_MSG_TIMEOUT_NOW] = "campaign order",
        [RC_MSG_READ] = "read request",         [RC_MSG_READ_REPLY] = "read reply",
        [RC_MSG_PRE_VOTE] = "pre-vote request", [RC_MSG_PRE_VOTE_REPLY] = "pre-vote",
    };

    return type < RC_MSG_TYPES ? names[type] : "unknown message";
}

static bool is_vote_kind(enum rc_msg_type type)
{
    return type == RC_MSG_VOTE || type == RC_MSG_VOTE_REPLY || type == RC_MSG_PRE_VOTE || type == RC_MSG_PRE_VOTE_REPLY;
}

void rc_send(struct rc *r, struct rc_msg *msg)
{
    if (msg->from == 0) {
        msg->from = r->cfg.id;
    }
    if (is_vote_kind(msg->type)) {
        RC_CHECK(r, msg->term != 0, "replica %llx: a %s without a term", U(r->cfg.id), rc_msg_name(msg->type));
    } else if (msg->type != RC_MSG_PROPOSE &&
               msg->type != RC_MSG_READ) { /* those are of no term: any leader may take them */
        msg->term = r->term;
    }
    if ((RC_MUTANT(VOTE_BEFORE_SYNC) && msg->type == RC_MSG_VOTE_REPLY && msg->to != r->cfg.id) ||
        (RC_MUTANT(APPEND_REPLY_BEFORE_SYNC) && msg->type == RC_MSG_APPEND_REPLY && msg->to != r->cfg.id)) {
        rc_msgs_push(r, &r->now, msg);
        return;
    }
    if (msg->type == RC_MSG_APPEND_REPLY || msg->type == RC_MSG_VOTE_REPLY || msg->type == RC_MSG_PRE_VOTE_REPLY) {
        rc_msgs_push(r, &r->after, msg); /* promises about durable state, refusals too */
        return;
    }
    RC_CHECK(r, msg->to != r->cfg.id, "replica %llx: a %s to itself", U(r->cfg.id), rc_msg_name(msg->type));
    rc_msgs_push(r, &r->now, msg);
}

/* ---- birth and death ---- */

static const char *check_config(const struct rc_config *c)
{
    if (c->id == 0) {
        return "the replica id must not be 0";
    }
    if (c->heartbeat_ticks == 0 || c->election_ticks <= c->heartbeat_ticks) {
        return "heartbeat_ticks must be at least 1 and below election_ticks";
    }
    if (c->max_inflight_msgs == 0) {
        return "max_inflight_msgs must be at least 1";
    }
    if (c->max_inflight_bytes != 0 && c->max_inflight_bytes < c->max_size_per_msg) {
        return "max_inflight_bytes must not be below max_size_per_msg";
    }
    if (c->reads == RC_READS_LEASE && !c->check_quorum) {
        return "lease reads need check_quorum";
    }
    if (c->alloc.resize == NULL || c->random == NULL || c->fatal == NULL) {
        return "alloc, random and fatal must be given";
    }
    return NULL;
}

static const char *check_boot(const struct rc_boot *b)
{
    uint64_t last = b->base_index + b->n_entries;

    for (uint32_t i = 0; i < b->n_entries; i++) {
        if (b->entries[i].index != b->base_index + 1 + i) {
            return "the entries have a gap: the log is damaged, start this replica anew under another id";
        }
        if (b->entries[i].term < (i > 0 ? b->entries[i - 1].term : b->base_term)) {
            return "the entries' terms go back: the log is damaged, start this replica anew under another id";
        }
    }
    if (b->hard.commit > last) {
        return "the commit index is beyond the log: entries were lost, start this replica anew under another id";
    }
    if (b->n_entries > 0 && b->hard.term < b->entries[b->n_entries - 1].term) {
        return "the term is below the last entry's: the hard state was lost, start this replica anew under another id";
    }
    if (b->applied != 0 && (b->applied < b->base_index || b->applied > last)) {
        return "the applied index is outside the log: the state is of another log";
    }
    return NULL;
}

static const char *load(struct rc *r, const struct rc_boot *boot)
{
    struct rc_log *l = &r->log;
    const char *why;

    l->base = boot->base_index;
    l->base_term = boot->base_term;
    l->commit = l->applying = l->applied = l->base;
    rc_log_append(r, boot->entries, boot->n_entries);
    l->stable = l->handed = rc_log_last(l);
    l->applied = l->applying = boot->applied > l->base ? boot->applied : l->base;
    l->commit = boot->hard.commit > l->applied ? boot->hard.commit : l->applied; /* what is applied was committed */
    l->max_applying = r->cfg.max_committed_size;
    r->conf_index = l->applied;
    r->term = boot->hard.term;
    r->vote = boot->hard.vote;
    r->newest = rc_snapshot_ref(boot->snapshot);
    why = rc_tracker_restore(&r->trk, &boot->conf, rc_log_last(l));
    if (why == NULL) {
        rc_switch_conf(r);
    }
    return why;
}

struct rc *rc_new(const struct rc_config *cfg, const struct rc_boot *boot, char *why, size_t why_size)
{
    const char *wrong = check_config(cfg);
    struct rc *r;

    if (wrong == NULL) {
        wrong = check_boot(boot);
    }
    if (wrong != NULL) {
        snprintf(why, why_size, "replica %llx: %s", U(cfg->id), wrong);
        return NULL;
    }
    r = cfg->alloc.resize(cfg->alloc.ctx, NULL, sizeof *r);
    if (r == NULL) {
        snprintf(why, why_size, "replica %llx: no memory", U(cfg->id));
        return NULL;
    }
    memset(r, 0, sizeof *r);
    r->cfg = *cfg;
    if (r->cfg.max_committed_size == 0) {
        r->cfg.max_committed_size = r->cfg.max_size_per_msg > 0 ? r->cfg.max_size_per_msg : 1;
    }
    r->trk.limits = (struct rc_limits){.msgs = cfg->max_inflight_msgs, .bytes = cfg->max_inflight_bytes};
    r->trk.alloc = cfg->alloc;
    wrong = load(r, boot);
    if (wrong != NULL) {
        snprintf(why, why_size, "replica %llx: the configuration on disk is impossible: %s", U(cfg->id), wrong);
        rc_free(r);
        return NULL;
    }
    rc_become_follower(r, r->term, 0);
    r->last_hard = (struct rc_hard){.term = r->term, .vote = r->vote, .commit = r->log.commit};
    r->last_lead = r->lead;
    r->last_role = r->role;
    return r;
}

void rc_free(struct rc *r)
{
    struct rc_alloc alloc = r->cfg.alloc;

    rc_msgs_release(&alloc, &r->now);
    rc_msgs_release(&alloc, &r->after);
    rc_reads_release(r);
    rc_tracker_release(&r->trk);
    rc_log_release(r, &r->log);
    rc_snapshot_unref(r->newest);
    alloc.resize(alloc.ctx, r, 0);
}

/* ---- time ---- */

bool rc_promotable(const struct rc *r)
{
    const struct rc_progress *self = rc_tracker_peek(&r->trk, r->cfg.id);

    return self != NULL && !self->learner && (r->log.pending == NULL || RC_MUTANT(CAMPAIGN_WHILE_INSTALLING));
}

static void tick_leader(struct rc *r)
{
    r->heartbeat_elapsed++;
    r->election_elapsed++;
    if (r->election_elapsed >= r->cfg.election_ticks) {
        r->election_elapsed = 0;
        if (r->cfg.check_quorum) {
            rc_check_quorum(r);
        }
        if (r->role == RC_LEADER) {
            rc_hand_over(r);
        }
    }
    if (r->role == RC_LEADER && r->transferee != 0 && ++r->transfer_elapsed >= r->cfg.election_ticks) {
        r->transferee = 0; /* it had its time; we go on */
    }
    if (r->role == RC_LEADER && r->heartbeat_elapsed >= r->cfg.heartbeat_ticks) {
        r->heartbeat_elapsed = 0;
        rc_bcast_heartbeat(r);
        rc_auto_leave(r);
    }
}

void rc_tick(struct rc *r)
{
    if (r->role == RC_LEADER) {
        tick_leader(r);
        return;
    }
    r->election_elapsed++;
    if (r->election_elapsed < r->election_timeout) {
        return;
    }
    if (rc_promotable(r)) {
        r->election_elapsed = 0;
        rc_hup(r, false);
    } else if (r->role != RC_FOLLOWER &&
               r->cfg.lead_to_rescue) { /* the rescue failed; the next request may start another */
        rc_become_follower(r, r->term, 0);
    }
}

void rc_campaign(struct rc *r)
{
    rc_hup(r, false);
}

/* ---- messages ---- */

static bool is_reply(enum rc_msg_type type)
{
    return type == RC_MSG_APPEND_REPLY || type == RC_MSG_VOTE_REPLY || type == RC_MSG_HEARTBEAT_REPLY ||
           type == RC_MSG_READ_REPLY || type == RC_MSG_PRE_VOTE_REPLY;
}

static bool from_leader(enum rc_msg_type type)
{
    return type == RC_MSG_APPEND || type == RC_MSG_HEARTBEAT || type == RC_MSG_SNAPSHOT;
}

static bool well_formed(const struct rc_msg *m)
{
    if (m->type >= RC_MSG_TYPES || m->from == 0) {
        return false;
    }
    if (m->type == RC_MSG_PROPOSE || m->type == RC_MSG_READ) {
        return m->term == 0 && (m->type == RC_MSG_READ ? m->context != 0 : m->n_entries > 0);
    }
    if (m->term == 0 || (m->type == RC_MSG_SNAPSHOT && (m->snapshot == NULL || m->snapshot->index == 0))) {
        return false;
    }
    for (uint32_t i = 0; m->type == RC_MSG_APPEND && i < m->n_entries; i++) {
        uint64_t before = i > 0 ? m->entries[i - 1].term : m->log_term;

        if (m->entries[i].index != m->index + 1 + i || m->entries[i].term < before || m->entries[i].term > m->term) {
            return false;
        }
    }
    return true;
}

/* A message of a later term. False: ignore it. */
static bool enter_later_term(struct rc *r, const struct rc_msg *m)
{
    bool asks = m->type == RC_MSG_VOTE || m->type == RC_MSG_PRE_VOTE;

    if (asks && !m->transfer && rc_in_lease(r)) {
        rc_log_line(r, RC_INFO, "%llx ignores a %s of %llx at term %llu: leader %llx was heard %u ticks ago",
                    U(r->cfg.id), rc_msg_name(m->type), U(m->from), U(r->term), U(r->lead), r->election_elapsed);
        return false;
    }
    if (m->type == RC_MSG_PRE_VOTE || (m->type == RC_MSG_PRE_VOTE_REPLY && !m->reject)) {
        return true; /* about a term that nobody has entered yet */
    }
    rc_log_line(r, RC_INFO, "%llx learns of term %llu from a %s of %llx", U(r->cfg.id), U(m->term),
                rc_msg_name(m->type), U(m->from));
    rc_become_follower(r, m->term, from_leader(m->type) ? m->from : 0);
    return true;
}

/* A message of an earlier term: mostly silence; a stuck sender is told our term. */
static void answer_earlier_term(struct rc *r, const struct rc_msg *m)
{
    struct rc_msg reply = {.to = m->from};

    if ((r->cfg.check_quorum || r->cfg.pre_vote) && (m->type == RC_MSG_APPEND || m->type == RC_MSG_HEARTBEAT)) {
        /* We ran ahead alone and our requests are ignored under its lease: only a higher term frees us. */
        reply.type = RC_MSG_APPEND_REPLY;
        rc_send(r, &reply);
    } else if (m->type == RC_MSG_PRE_VOTE) {
        reply.type = RC_MSG_PRE_VOTE_REPLY;
        reply.term = r->term;
        reply.context = m->context;
        reply.reject = true;
        rc_send(r, &reply);
    } else {
        rc_log_line(r, RC_INFO, "%llx ignores a %s of term %llu from %llx at term %llu", U(r->cfg.id),
                    rc_msg_name(m->type), U(m->term), U(m->from), U(r->term));
    }
}

static void step_leader(struct rc *r, const struct rc_msg *m)
{
    struct rc_progress *from = rc_tracker_find(&r->trk, m->from);

    if (from == NULL) {
        return;
    }
    switch (m->type) {
    case RC_MSG_APPEND_REPLY:
        rc_handle_append_reply(r, from, m);
        break;
    case RC_MSG_HEARTBEAT_REPLY:
        rc_handle_heartbeat_reply(r, from, m);
        break;
    case RC_MSG_TRANSFER:
        rc_handle_transfer(r, from);
        break;
    default: /* nothing else is for a leader */
        break;
    }
}

static void step_from_leader(struct rc *r, const struct rc_msg *m)
{
    RC_CHECK(r, r->role != RC_LEADER, "replica %llx: %llx leads term %llu too", U(r->cfg.id), U(m->from), U(r->term));
    if (r->role != RC_FOLLOWER) {
        rc_become_follower(r, m->term, m->from);
    }
    r->election_elapsed = 0;
    r->lead = m->from;
    if (m->type == RC_MSG_APPEND) {
        rc_handle_append(r, m);
    } else if (m->type == RC_MSG_HEARTBEAT) {
        rc_handle_heartbeat(r, m);
    } else {
        rc_handle_snapshot(r, m);
    }
}

static void step_follower(struct rc *r, const struct rc_msg *m)
{
    if (m->type == RC_MSG_TRANSFER) {
        struct rc_msg on = *m;

        if (r->lead != 0) {
            on.to = r->lead;
            rc_send(r, &on);
        }
    } else if (m->type == RC_MSG_TIMEOUT_NOW) {
        rc_log_line(r, RC_INFO, "%llx is told by %llx to campaign at term %llu", U(r->cfg.id), U(m->from), U(r->term));
        rc_hup(r, true);
    } else if (m->type == RC_MSG_READ_REPLY) {
        rc_handle_read_reply(r, m);
    }
}

static int step_termless(struct rc *r, const struct rc_msg *m)
{
    struct rc_entry *entries;
    int result;

    if (m->type == RC_MSG_READ) {
        rc_handle_read(r, m->from, m->context);
        return RC_OK;
    }
    entries = rc_entries_copy(r, m->entries, m->n_entries); /* a refused change empties its entry */
    result = rc_step_propose(r, entries, m->n_entries, NULL);
    for (uint32_t i = 0; i < m->n_entries; i++) {
        rc_buf_unref(m->entries[i].data);
    }
    rc_drop(r, entries);
    return result;
}

int rc_step(struct rc *r, const struct rc_msg *m)
{
    if (!well_formed(m)) {
        return RC_INVALID;
    }
    if (is_reply(m->type) && rc_tracker_peek(&r->trk, m->from) == NULL &&
        !(m->type == RC_MSG_VOTE_REPLY && m->from == r->cfg.id)) {
        return RC_UNKNOWN_PEER;
    }
    if (m->term == 0) {
        return step_termless(r, m);
    }
    if (m->term < r->term &&
        !(RC_MUTANT(STALE_REPLY_COUNTED) && m->type == RC_MSG_APPEND_REPLY && r->role == RC_LEADER) &&
        !(RC_MUTANT(OLD_LEADER_OBEYED) && m->type == RC_MSG_APPEND && r->role == RC_FOLLOWER)) {
        answer_earlier_term(r, m);
        return RC_OK;
    }
    if (m->term > r->term && !enter_later_term(r, m)) {
        return RC_OK;
    }
    if (m->type == RC_MSG_VOTE || m->type == RC_MSG_PRE_VOTE) {
        rc_handle_vote(r, m);
    } else if (from_leader(m->type)) {
        step_from_leader(r, m);
    } else if (r->role == RC_LEADER) {
        step_leader(r, m);
    } else if (r->role == RC_FOLLOWER) {
        step_follower(r, m);
    } else if (m->type == RC_MSG_VOTE_REPLY || m->type == RC_MSG_PRE_VOTE_REPLY) {
        rc_handle_vote_reply(r, m);
    }
    return RC_OK;
}

/* ---- what the shell reports and asks ---- */

void rc_transfer(struct rc *r, uint64_t to)
{
    struct rc_progress *member = rc_tracker_find(&r->trk, to);
    struct rc_msg msg = {.type = RC_MSG_TRANSFER, .from = to};

    if (r->role != RC_LEADER) {
        step_follower(r, &msg);
    } else if (member != NULL) {
        rc_handle_transfer(r, member);
    }
}

void rc_forget_leader(struct rc *r)
{
    if (r->role != RC_FOLLOWER || r->lead == 0) {
        return;
    }
    if (r->cfg.reads == RC_READS_LEASE) {
        rc_log_line(r, RC_ERROR, "%llx keeps its leader: with lease reads forgetting it is not safe", U(r->cfg.id));
        return;
    }
    rc_log_line(r, RC_INFO, "%llx forgets leader %llx of term %llu", U(r->cfg.id), U(r->lead), U(r->term));
    r->lead = 0;
}

void rc_report_unreachable(struct rc *r, uint64_t id)
{
    struct rc_progress *p = rc_tracker_find(&r->trk, id);

    if (r->role != RC_LEADER || p == NULL) {
        return;
    }
    if (p->flow == RC_REPLICATE) { /* what is in flight is probably lost */
        rc_progress_probe(p);
    }
    rc_log_line(r, RC_DEBUG, "%llx: %llx is unreachable", U(r->cfg.id), U(id));
}

void rc_report_snapshot(struct rc *r, uint64_t id, bool ok)
{
    struct rc_progress *p = rc_tracker_find(&r->trk, id);

    if (r->role != RC_LEADER || p == NULL || p->flow != RC_SNAPSHOT || RC_MUTANT(SNAPSHOT_NEVER_REPORTED)) {
        return;
    }
    if (!ok) {
        p->pending_snapshot = 0; /* it did not arrive: probe where we were */
    }
    rc_progress_probe(p);
    p->paused = true; /* wait for its reply, or for a heartbeat before the next attempt */
    rc_log_line(r, RC_DEBUG, "%llx: the snapshot for %llx %s", U(r->cfg.id), U(id), ok ? "arrived" : "failed");
}

/* ---- configuration ---- */

/* The configuration has changed: what follows for our role, for what is committed, and for whom to send to. */
void rc_switch_conf(struct rc *r)
{
    const struct rc_progress *self = rc_tracker_peek(&r->trk, r->cfg.id);
    char text[512];

    r->learner = self != NULL && self->learner;
    rc_log_line(r, RC_INFO, "%llx switched to configuration %s", U(r->cfg.id),
                rc_conf_text(&r->trk.conf, text, sizeof text));
    if (r->role != RC_LEADER) {
        return;
    }
    if (self == NULL || r->learner) {
        if (r->cfg.step_down_on_removal) {
            rc_become_follower(r, r->term, 0);
            return;
        }
        if (!r->cfg.lead_to_rescue) { /* it leads on as it is, until somebody campaigns */
            return;
        }
    }
    if (rc_maybe_commit(r)) { /* a smaller quorum may already hold more */
        rc_reads_first_commit(r);
        rc_bcast_append(r);
    } else {
        for (uint32_t i = 0; i < r->trk.n; i++) { /* new members need not wait for a heartbeat */
            if (r->trk.members[i].id != r->cfg.id) {
                rc_send_append(r, &r->trk.members[i], false);
            }
        }
    }
    rc_reads_confirm(r);
    if (r->transferee != 0 && !rc_conf_voter(&r->trk.conf, r->transferee)) {
        r->transferee = 0;
    }
    rc_hand_over(r);
}

int rc_apply_conf(struct rc *r, const struct rc_entry *entry, struct rc_conf *conf)
{
    struct rc_conf_change change;
    const char *why;

    if (entry->type == RC_ENTRY_NORMAL || (entry->index <= r->conf_index && !RC_MUTANT(CONF_APPLIED_TWICE)) ||
        entry->index > r->log.commit) {
        return RC_INVALID; /* no change, or one that a snapshot has already brought */
    }
    r->conf_index = entry->index;
    if (rc_conf_decode(entry->data, &change) != RC_OK) {
        rc_log_line(r, RC_ERROR, "%llx: configuration change %llu is malformed and has no effect", U(r->cfg.id),
                    U(entry->index));
        return RC_INVALID;
    }
    why = rc_tracker_apply(&r->trk, &change, rc_log_last(&r->log));
    if (why != NULL) {
        rc_log_line(r, RC_ERROR, "%llx: configuration change %llu has no effect: %s", U(r->cfg.id), U(entry->index),
                    why);
        return RC_CONF_REFUSED;
    }
    rc_switch_conf(r);
    if (conf != NULL) {
        *conf = r->trk.conf;
    }
    return RC_OK;
}
