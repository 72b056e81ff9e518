/* check: what an instance tells about itself, and every invariant that one replica can see of itself. It must never
 * change anything. Lives on the instance's thread. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

#define U(v) ((unsigned long long)(v))

void rc_status(const struct rc *r, struct rc_status *out)
{
    *out = (struct rc_status){
        .id = r->cfg.id,
        .term = r->term,
        .vote = r->vote,
        .lead = r->lead,
        .transferee = r->transferee,
        .role = r->role,
        .learner = r->learner,
        .first = r->log.base + 1,
        .last = rc_log_last(&r->log),
        .persisted = r->log.stable,
        .commit = r->log.commit,
        .handed = r->log.applying,
        .applied = r->log.applied,
        .snapshot = r->newest == NULL ? 0 : r->newest->index,
        .uncommitted = r->uncommitted,
        .conf = r->trk.conf,
    };
}

uint32_t rc_peers(const struct rc *r, struct rc_peer *out, uint32_t max)
{
    for (uint32_t i = 0; i < r->trk.n && i < max; i++) {
        const struct rc_progress *p = &r->trk.members[i];

        out[i] = (struct rc_peer){
            .id = p->id,
            .match = p->match,
            .next = p->next,
            .pending_snapshot = p->pending_snapshot,
            .flow = p->flow,
            .learner = p->learner,
            .paused = rc_progress_paused(p),
            .active = p->active,
            .full = rc_window_full(&p->window, &r->trk.limits),
            .inflight = p->window.count,
        };
    }
    return r->trk.n;
}

static const char *check_marks(const struct rc *r)
{
    const struct rc_log *l = &r->log;

    if (l->applied > l->applying && l->pending == NULL) {
        return "applied <= applying";
    }
    if (l->applying > l->commit || l->applied > l->commit) {
        return "applying <= commit";
    }
    if (l->commit > rc_log_last(l) || l->commit < l->base) {
        return "base <= commit <= last";
    }
    if (l->stable < l->base || l->stable > l->handed || l->handed > rc_log_last(l)) {
        return "base <= stable <= handed <= last";
    }
    if (!r->cfg.apply_unpersisted && l->pending == NULL && l->applying > l->base && l->applying > l->stable) {
        return "only durable entries are applied";
    }
    if (l->pending != NULL && l->pending->index > l->commit) {
        return "a snapshot is committed";
    }
    if (l->base > l->applied && l->pending == NULL) {
        return "what is gone from the log is applied";
    }
    return NULL;
}

static const char *check_entries(const struct rc *r)
{
    const struct rc_log *l = &r->log;
    uint64_t term = l->base_term;

    for (uint64_t i = l->base + 1; i <= rc_log_last(l); i++) {
        const struct rc_entry *e = rc_log_at(l, i);

        if (e->index != i || e->term < term || e->term > r->term) {
            return "entries are dense, their terms rise and none is beyond the own term";
        }
        term = e->term;
    }
    return NULL;
}

static const char *check_leader(const struct rc *r)
{
    const struct rc_progress *self = rc_tracker_peek(&r->trk, r->cfg.id);

    if (r->lead != r->cfg.id || r->vote != r->cfg.id) {
        return "a leader follows itself and has its own vote";
    }
    if (self != NULL && self->match > r->log.handed) {
        return "a leader counts no entry of its own that was not even handed to the disk";
    }
    for (uint32_t i = 0; i < r->trk.n; i++) {
        const struct rc_progress *p = &r->trk.members[i];

        if (p->match >= p->next || p->match > rc_log_last(&r->log)) {
            return "match < next, match <= last";
        }
        if (p->flow == RC_SNAPSHOT && p->next <= p->pending_snapshot) {
            return "a member that gets a snapshot continues after it";
        }
    }
    return NULL;
}

static const char *check_conf(const struct rc *r)
{
    const struct rc_conf *c = &r->trk.conf;
    uint32_t pending = 0;

    for (uint32_t i = 0; i < c->learners.n; i++) {
        if (rc_conf_voter(c, c->learners.v[i])) {
            return "nobody is learner and voter";
        }
    }
    for (uint64_t i = (r->log.applied > r->log.base ? r->log.applied : r->log.base) + 1; i <= rc_log_last(&r->log);
         i++) {
        pending += rc_log_at(&r->log, i)->type != RC_ENTRY_NORMAL;
    }
    if (r->role == RC_LEADER && pending > 1 && !r->cfg.skip_conf_validation) {
        return "at most one configuration change is unapplied";
    }
    return NULL;
}

bool rc_check(const struct rc *r, char *why, size_t why_size)
{
    const char *broken = check_marks(r);

    if (broken == NULL) {
        broken = check_entries(r);
    }
    if (broken == NULL) {
        broken = check_conf(r);
    }
    if (broken == NULL && r->role == RC_LEADER) {
        broken = check_leader(r);
    }
    if (broken == NULL && r->role != RC_FOLLOWER && r->log.pending != NULL) {
        broken = "nobody campaigns while a snapshot is being installed";
    }
    if (broken == NULL && r->role != RC_LEADER && (r->asked.n > 0 || r->early.n > 0)) {
        broken = "reads do not outlive the leadership that they were asked of";
    }
    if (broken == NULL && r->role != RC_LEADER && r->lead == r->cfg.id) {
        broken = "only a leader follows itself";
    }
    if (broken != NULL) {
        snprintf(why, why_size,
                 "replica %llx, term %llu: broken: %s (base %llu applied %llu applying %llu commit %llu stable %llu "
                 "handed %llu last %llu)",
                 U(r->cfg.id), U(r->term), broken, U(r->log.base), U(r->log.applied), U(r->log.applying),
                 U(r->log.commit), U(r->log.stable), U(r->log.handed), U(rc_log_last(&r->log)));
    }
    return broken == NULL;
}
