/* confchange: how one configuration becomes the next (dissertation §4): a simple change of at most one voter, or
 * through a joint configuration in which both the old and the new majority must agree. Every operation works on a copy
 * and must never touch the original before the result has passed the checks. Lives on the instance's thread. */
#include "tracker.h"
#include "mutants.h"

#include <stdio.h>
#include <string.h>

bool rc_conf_joint(const struct rc_conf *conf)
{
    return conf->outgoing.n > 0;
}

bool rc_conf_equal(const struct rc_conf *a, const struct rc_conf *b)
{
    return rc_ids_equal(&a->voters, &b->voters) && rc_ids_equal(&a->outgoing, &b->outgoing) &&
           rc_ids_equal(&a->learners, &b->learners) && rc_ids_equal(&a->learners_next, &b->learners_next) &&
           a->auto_leave == b->auto_leave;
}

bool rc_conf_voter(const struct rc_conf *conf, uint64_t id)
{
    return rc_ids_has(&conf->voters, id) || rc_ids_has(&conf->outgoing, id);
}

bool rc_conf_change_leaves(const struct rc_conf_change *change)
{
    return change->transition == RC_AUTO && change->n == 0;
}

static uint32_t member_position(const struct rc_tracker *t, uint64_t id)
{
    uint32_t at = 0;

    while (at < t->n && t->members[at].id < id) {
        at++;
    }
    return at;
}

const struct rc_progress *rc_tracker_peek(const struct rc_tracker *t, uint64_t id)
{
    uint32_t at = member_position(t, id);

    return at < t->n && t->members[at].id == id ? &t->members[at] : NULL;
}

struct rc_progress *rc_tracker_find(struct rc_tracker *t, uint64_t id)
{
    uint32_t at = member_position(t, id);

    return at < t->n && t->members[at].id == id ? &t->members[at] : NULL;
}

/* A new member is probed at our last entry, and counts as alive until the next check of the quorum: it had no chance
 * yet. */
static bool member_add(struct rc_tracker *t, uint64_t id, bool learner, uint64_t last)
{
    uint32_t at = member_position(t, id);

    if (t->n == RC_MAX_MEMBERS) {
        return false;
    }
    memmove(&t->members[at + 1], &t->members[at], (t->n - at) * sizeof t->members[0]);
    t->n++;
    t->members[at] = (struct rc_progress){.id = id, .next = last > 0 ? last : 1, .learner = learner, .active = true};
    return true;
}

static void member_del(struct rc_tracker *t, uint64_t id)
{
    uint32_t at = member_position(t, id);

    if (at < t->n && t->members[at].id == id) {
        t->n--;
        memmove(&t->members[at], &t->members[at + 1], (t->n - at) * sizeof t->members[0]);
    }
}

/* Take id out of the incoming half; its progress stays as long as the outgoing half votes with it. */
static void drop(struct rc_tracker *t, uint64_t id)
{
    rc_ids_del(&t->conf.voters, id);
    rc_ids_del(&t->conf.learners, id);
    rc_ids_del(&t->conf.learners_next, id);
    if (!rc_ids_has(&t->conf.outgoing, id)) {
        member_del(t, id);
    }
}

static const char *make_voter(struct rc_tracker *t, uint64_t id, uint64_t last)
{
    struct rc_progress *p = rc_tracker_find(t, id);

    if (p == NULL && !member_add(t, id, false, last)) {
        return "too many members";
    }
    if (p != NULL) {
        p->learner = false;
    }
    rc_ids_del(&t->conf.learners, id);
    rc_ids_del(&t->conf.learners_next, id);
    return rc_ids_add(&t->conf.voters, id) ? NULL : "too many voters";
}

static const char *make_learner(struct rc_tracker *t, uint64_t id, uint64_t last)
{
    struct rc_progress *p = rc_tracker_find(t, id);

    if (p == NULL) {
        if (!member_add(t, id, true, last)) {
            return "too many members";
        }
        rc_ids_add(&t->conf.learners, id);
        return NULL;
    }
    if (p->learner) {
        return NULL;
    }
    rc_ids_del(&t->conf.voters, id);
    if (rc_ids_has(&t->conf.outgoing,
                   id)) { /* nobody is voter and learner at once: it waits until the joint phase ends */
        rc_ids_add(&t->conf.learners_next, id);
    } else {
        p->learner = true;
        rc_ids_add(&t->conf.learners, id);
    }
    return NULL;
}

static const char *carry_out(struct rc_tracker *t, const struct rc_conf_change *change, uint64_t last)
{
    const char *why = NULL;

    for (uint32_t i = 0; i < change->n && why == NULL; i++) {
        uint64_t id = change->v[i].id;

        if (id == 0) { /* an operation that the proposer voided */
            continue;
        }
        switch (change->v[i].op) {
        case RC_ADD_VOTER:
            why = make_voter(t, id, last);
            break;
        case RC_ADD_LEARNER:
            why = make_learner(t, id, last);
            break;
        case RC_REMOVE:
            drop(t, id);
            break;
        case RC_UPDATE:
            break;
        }
    }
    if (why == NULL && t->conf.voters.n == 0) {
        why = "removed all voters";
    }
    return why;
}

static const char *check_members(const struct rc_tracker *t)
{
    const struct rc_conf *c = &t->conf;
    const struct rc_ids *sets[] = {&c->voters, &c->outgoing, &c->learners, &c->learners_next};

    for (size_t s = 0; s < sizeof sets / sizeof sets[0]; s++) {
        for (uint32_t i = 0; i < sets[s]->n; i++) {
            if (rc_tracker_peek(t, sets[s]->v[i]) == NULL) {
                return "a member has no progress";
            }
        }
    }
    for (uint32_t i = 0; i < c->learners_next.n; i++) {
        uint64_t id = c->learners_next.v[i];

        if (!rc_ids_has(&c->outgoing, id) || rc_tracker_peek(t, id)->learner) {
            return "a staged learner is not an outgoing voter";
        }
    }
    for (uint32_t i = 0; i < c->learners.n; i++) {
        uint64_t id = c->learners.v[i];

        if (rc_conf_voter(c, id) || !rc_tracker_peek(t, id)->learner) {
            return "a learner is a voter too";
        }
    }
    if (!rc_conf_joint(c) && (c->learners_next.n > 0 || c->auto_leave)) {
        return "remains of a joint configuration";
    }
    return NULL;
}

/* Move the copy into place; windows of members that are gone (or were re-created) are freed. */
static void adopt(struct rc_tracker *t, const struct rc_tracker *copy)
{
    for (uint32_t i = 0; i < t->n; i++) {
        const struct rc_progress *kept = rc_tracker_peek(copy, t->members[i].id);

        if (kept == NULL || kept->window.ring != t->members[i].window.ring) {
            rc_window_release(&t->members[i].window, &t->alloc);
        }
    }
    *t = *copy;
}

const char *rc_tracker_simple(struct rc_tracker *t, const struct rc_conf_change *change, uint64_t last)
{
    struct rc_tracker copy = *t;
    const char *why;

    if (rc_conf_joint(&t->conf)) {
        return "can't apply simple config change in joint config";
    }
    why = carry_out(&copy, change, last);
    if (why == NULL && rc_ids_differ(&t->conf.voters, &copy.conf.voters) > 1) {
        why = "more than one voter changed without entering joint config";
    }
    if (why == NULL) {
        why = check_members(&copy);
    }
    if (why == NULL) {
        adopt(t, &copy);
    }
    return why;
}

const char *rc_tracker_enter_joint(struct rc_tracker *t, const struct rc_conf_change *change, bool auto_leave,
                                   uint64_t last)
{
    struct rc_tracker copy = *t;
    const char *why;

    if (rc_conf_joint(&t->conf)) {
        return "config is already joint";
    }
    if (t->conf.voters.n == 0) {
        return "can't make a zero-voter config joint";
    }
    copy.conf.outgoing = copy.conf.voters;
    why = carry_out(&copy, change, last);
    copy.conf.auto_leave = auto_leave;
    if (why == NULL) {
        why = check_members(&copy);
    }
    if (why == NULL) {
        adopt(t, &copy);
    }
    return why;
}

const char *rc_tracker_leave_joint(struct rc_tracker *t)
{
    struct rc_tracker copy = *t;
    struct rc_conf *c = &copy.conf;
    struct rc_ids outgoing = c->outgoing;
    const char *why;

    if (!rc_conf_joint(c)) {
        return "can't leave a non-joint config";
    }
    for (uint32_t i = 0; i < c->learners_next.n; i++) {
        rc_ids_add(&c->learners, c->learners_next.v[i]);
        rc_tracker_find(&copy, c->learners_next.v[i])->learner = true;
    }
    c->learners_next.n = 0;
    c->outgoing.n = 0;
    c->auto_leave = false;
    for (uint32_t i = 0; i < outgoing.n; i++) {
        if (!rc_ids_has(&c->voters, outgoing.v[i]) && !rc_ids_has(&c->learners, outgoing.v[i])) {
            member_del(&copy, outgoing.v[i]);
        }
    }
    why = check_members(&copy);
    if (why == NULL) {
        adopt(t, &copy);
    }
    return why;
}

const char *rc_tracker_apply(struct rc_tracker *t, const struct rc_conf_change *change, uint64_t last)
{
    if (rc_conf_change_leaves(change)) {
        return rc_tracker_leave_joint(t);
    }
    if (change->transition != RC_AUTO || change->n > 1) {
        return rc_tracker_enter_joint(t, change, change->transition != RC_EXPLICIT, last);
    }
    return rc_tracker_simple(t, change, last);
}

const char *rc_tracker_restore(struct rc_tracker *t, const struct rc_conf *conf, uint64_t last)
{
    struct rc_tracker copy = {.conf = *conf, .limits = t->limits, .alloc = t->alloc};
    const struct rc_ids *sets[] = {&conf->voters, &conf->outgoing, &conf->learners};
    const char *why;

    for (size_t s = 0; s < sizeof sets / sizeof sets[0]; s++) {
        for (uint32_t i = 0; i < sets[s]->n; i++) {
            if (rc_tracker_peek(&copy, sets[s]->v[i]) == NULL &&
                !member_add(&copy, sets[s]->v[i], sets[s] == &conf->learners, last)) {
                return "too many members";
            }
        }
    }
    why = check_members(&copy);
    if (why == NULL) {
        adopt(t, &copy);
    }
    return why;
}

void rc_tracker_release(struct rc_tracker *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        rc_window_release(&t->members[i].window, &t->alloc);
    }
    t->n = 0;
}

static uint64_t acked_match(const void *ctx, uint64_t id)
{
    const struct rc_progress *p = rc_tracker_peek(ctx, id);

    return p == NULL ? 0 : p->match;
}

uint64_t rc_tracker_committed(const struct rc_tracker *t)
{
    static const struct rc_ids none = {0};

    if (RC_MUTANT(JOINT_COMMIT_ONE_HALF)) {
        return rc_joint_index(&t->conf.voters, &none, acked_match, t);
    }
    if (RC_MUTANT(LEARNER_COUNTED)) {
        struct rc_ids all = t->conf.voters;

        for (uint32_t i = 0; i < t->conf.learners.n; i++) {
            rc_ids_add(&all, t->conf.learners.v[i]);
        }
        return rc_joint_index(&all, &t->conf.outgoing, acked_match, t);
    }
    return rc_joint_index(&t->conf.voters, &t->conf.outgoing, acked_match, t);
}

static uint64_t acked_read(const void *ctx, uint64_t id)
{
    const struct rc_progress *p = rc_tracker_peek(ctx, id);

    return p == NULL ? 0 : p->read_ack;
}

uint64_t rc_tracker_read_acked(const struct rc_tracker *t)
{
    return rc_joint_index(&t->conf.voters, &t->conf.outgoing, acked_read, t);
}

static enum rc_ballot ballot_cast(const void *ctx, uint64_t id)
{
    const struct rc_progress *p = rc_tracker_peek(ctx, id);

    return p == NULL ? RC_BALLOT_NONE : p->ballot;
}

enum rc_verdict rc_tracker_votes(const struct rc_tracker *t, uint32_t *granted, uint32_t *rejected)
{
    *granted = 0;
    *rejected = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        const struct rc_progress *p = &t->members[i];

        *granted += !p->learner && p->ballot == RC_BALLOT_YES;
        *rejected += !p->learner && p->ballot == RC_BALLOT_NO;
    }
    if (RC_MUTANT(JOINT_VOTE_ONE_HALF)) {
        return rc_majority_vote(&t->conf.voters, ballot_cast, t);
    }
    return rc_joint_vote(&t->conf.voters, &t->conf.outgoing, ballot_cast, t);
}

static enum rc_ballot ballot_active(const void *ctx, uint64_t id)
{
    const struct rc_progress *p = rc_tracker_peek(ctx, id);

    return p != NULL && p->active ? RC_BALLOT_YES : RC_BALLOT_NO;
}

bool rc_tracker_quorum_active(const struct rc_tracker *t)
{
    return rc_joint_vote(&t->conf.voters, &t->conf.outgoing, ballot_active, t) == RC_VOTE_WON;
}
