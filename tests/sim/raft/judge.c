/* judge: what must hold for all replicas together (docs/raft.md lists it), checked after each step. It knows everything
 * and must never change anything in a replica. Single-threaded test code. */
#include "world.h"
#include "plugins/meta-raft/core/tracker.h"

#include <string.h>

#define U(v) ((unsigned long long)(v))

uint64_t judge_hash(const struct rc_entry *e)
{
    uint64_t h = 1469598103934665603u ^ e->type;

    for (uint32_t i = 0; e->data != NULL && i < e->data->len; i++) {
        h = (h ^ e->data->bytes[i]) * 1099511628211u;
    }
    return h;
}

uint64_t judge_chain(uint64_t digest, uint64_t index, uint64_t hash)
{
    return (digest ^ index ^ hash) * 0x9e3779b97f4a7c15u + 1;
}

static struct known *known(struct world *w, uint64_t index)
{
    if (index >= WORLD_LOG) {
        world_break(w, "the log is longer than this simulation can judge: %llu", U(index));
    }
    return &w->log[index];
}

static bool durable(const struct node *n, uint64_t index, uint64_t term)
{
    const struct disk *d = &n->disk;

    if (index <= d->base) {
        return true;
    }
    return index <= d->base + d->n && d->entries[index - d->base - 1].term == term;
}

static bool majority_durable(struct world *w, const struct rc_ids *ids, uint64_t index, uint64_t term)
{
    uint32_t have = 0;

    for (uint32_t i = 0; i < ids->n; i++) {
        struct node *n = world_node(w, ids->v[i]);

        have += n != NULL && durable(n, index, term);
    }
    return ids->n == 0 || have > ids->n / 2;
}

/* A committed entry is the same everywhere and for ever. */
static void note_committed(struct world *w, struct node *n, const struct rc_entry *e)
{
    struct known *k = known(w, e->index);

    if (!k->committed) {
        k->committed = true;
        k->term = e->term;
        k->hash = judge_hash(e);
    } else if (k->term != e->term || (k->hash != 0 && k->hash != judge_hash(e))) {
        world_break(w, "replica %llu has committed another entry %llu (term %llu) than before (term %llu)", U(n->id),
                    U(e->index), U(e->term), U(k->term));
    }
}

static void check_commit(struct world *w, struct node *n, const struct rc_status *st)
{
    uint64_t from = n->seen_commit + 1 > st->first ? n->seen_commit + 1 : st->first;

    for (uint64_t i = from; i <= st->commit; i++) {
        note_committed(w, n, rc_entry_at(n->rc, i));
    }
    if (st->role == RC_LEADER && st->commit > w->committed) {
        const struct rc_entry *e = rc_entry_at(n->rc, st->commit);

        if (e == NULL || e->term != st->term) {
            world_break(w, "leader %llu of term %llu committed entry %llu of another term by counting", U(n->id),
                        U(st->term), U(st->commit));
        }
        for (uint64_t i = w->committed + 1; i <= st->commit; i++) {
            known(w, i)->by = st->term;
        }
        w->committed = st->commit;
        if (!majority_durable(w, &st->conf.voters, e->index, e->term) ||
            !majority_durable(w, &st->conf.outgoing, e->index, e->term)) {
            world_break(w, "leader %llu committed entry %llu, which no quorum has on disk", U(n->id), U(e->index));
        }
    }
    if (st->role != RC_LEADER && st->commit > w->committed) {
        world_break(w, "replica %llu has commit %llu, no leader committed more than %llu", U(n->id), U(st->commit),
                    U(w->committed));
    }
    n->seen_commit = st->commit;
}

static bool majority_voted(const struct world *w, const struct rc_ids *ids, uint64_t term, uint64_t leader)
{
    uint32_t have = 0;

    for (uint32_t i = 0; i < ids->n; i++) {
        have += ids->v[i] <= WORLD_NODES && w->vote_of[ids->v[i] - 1][term % WORLD_TERMS] == leader;
    }
    return ids->n == 0 || have > ids->n / 2;
}

/* One leader a term, and it has every entry that was committed in earlier terms. */
static void check_leader(struct world *w, struct node *n, const struct rc_status *st)
{
    uint64_t *leader = &w->leader_of[st->term % WORLD_TERMS];

    if (st->term >= WORLD_TERMS) {
        world_break(w, "terms beyond %d: elections without end", WORLD_TERMS);
    }
    if (*leader != 0 && *leader != n->id) {
        world_break(w, "replicas %llu and %llu both lead term %llu", U(*leader), U(n->id), U(st->term));
    }
    if (*leader == 0) {
        *leader = n->id;
        w->counts.elections++;
        if (!majority_voted(w, &st->conf.voters, st->term, n->id) ||
            !majority_voted(w, &st->conf.outgoing, st->term, n->id)) {
            world_break(w, "replica %llu leads term %llu without the votes of a quorum", U(n->id), U(st->term));
        }
        for (uint64_t i = st->first; i <= w->committed; i++) {
            const struct rc_entry *e = rc_entry_at(n->rc, i);

            if (known(w, i)->by < st->term && (e == NULL || e->term != known(w, i)->term)) {
                world_break(w, "replica %llu leads term %llu without committed entry %llu", U(n->id), U(st->term),
                            U(i));
            }
        }
    }
    if (st->conf.voters.n == 1 && st->conf.outgoing.n <= 1) {
        n->alone = 0; /* it needs nobody */
    }
    if (n->cfg.check_quorum && n->was_leader && n->alone > 3u * n->cfg.election_ticks) {
        world_break(w, "replica %llu goes on leading term %llu without hearing anybody for %llu ticks", U(n->id),
                    U(st->term), U(n->alone));
    }
}

/* Nobody starts an election while a committed change of the configuration waits for apply. */
static void check_candidate(struct world *w, struct node *n, const struct rc_status *st)
{
    bool candidate = st->role == RC_CANDIDATE || st->role == RC_PRE_CANDIDATE;

    for (uint64_t i = st->applied + 1; candidate && !n->was_candidate && i <= st->commit; i++) {
        const struct rc_entry *e = rc_entry_at(n->rc, i);

        if (e != NULL && e->type != RC_ENTRY_NORMAL) {
            world_break(w, "replica %llu campaigns before it has applied the configuration change %llu", U(n->id),
                        U(i));
        }
    }
    n->was_candidate = candidate;
}

void judge_step(struct world *w, struct node *n)
{
    struct rc_status st;
    char why[400];

    rc_status(n->rc, &st);
    if (!rc_check(n->rc, why, sizeof why)) {
        world_break(w, "%s", why);
    }
    check_commit(w, n, &st);
    if (rc_entry_at(n->rc, st.persisted) != NULL && !durable(n, st.persisted, rc_entry_at(n->rc, st.persisted)->term)) {
        world_break(w, "replica %llu takes entry %llu for durable, the disk has another or none", U(n->id),
                    U(st.persisted));
    }
    if (st.role == RC_LEADER) {
        check_leader(w, n, &st);
    } else {
        n->alone = 0;
    }
    n->was_leader = st.role == RC_LEADER;
    check_candidate(w, n, &st);
    if (st.first <= st.applied + 1 && st.applied == n->applied && !rc_conf_equal(&st.conf, &n->conf)) {
        world_break(w, "replica %llu has another configuration than the one as of entry %llu", U(n->id), U(n->applied));
    }
    if (st.term < w->said_term[n->id - 1]) {
        world_break(w, "replica %llu is at term %llu and has already spoken of %llu", U(n->id), U(st.term),
                    U(w->said_term[n->id - 1]));
    }
    if (st.commit > st.applied && st.handed == st.applied && st.persisted >= st.commit && n->n_jobs == 0 &&
        n->n_writes == 0 && !rc_has_ready(n->rc)) {
        world_break(w, "replica %llu has committed %llu, applied %llu, and nothing to do", U(n->id), U(st.commit),
                    U(st.applied));
    }
}

/* Promises leave only when the disk has what they promise. */
void judge_leaving(struct world *w, struct node *n, const struct rc_msg *m)
{
    uint64_t *vote = &w->vote_of[n->id - 1][m->term % WORLD_TERMS];
    bool vote_left = (m->type == RC_MSG_VOTE_REPLY && !m->reject) || m->type == RC_MSG_VOTE;
    uint64_t voted = m->type == RC_MSG_VOTE ? n->id : m->to;

    if (m->type == RC_MSG_VOTE_REPLY && !m->reject &&
        (n->disk.hard.term < m->term || (n->disk.hard.term == m->term && n->disk.hard.vote != m->to))) {
        world_break(w, "replica %llu gives its vote of term %llu before it is on disk", U(n->id), U(m->term));
    }
    if ((m->type == RC_MSG_APPEND || m->type == RC_MSG_HEARTBEAT) && n->disk.hard.term < m->term) {
        world_break(w, "replica %llu leads term %llu, which is not on its disk", U(n->id), U(m->term));
    }
    if (vote_left && *vote != 0 && *vote != voted) {
        world_break(w, "replica %llu votes for %llu and %llu in term %llu", U(n->id), U(*vote), U(voted), U(m->term));
    }
    if (m->type == RC_MSG_VOTE_REPLY && vote_left) {
        *vote = voted;
    }
    if (m->type == RC_MSG_APPEND_REPLY && !m->reject && m->index > 0) {
        /* One of a term that has passed may speak of entries that were replaced since: no leader can be misled by it,
         * for whoever replaced them was elected by a majority that did not have them. */
        if (m->term >= n->disk.hard.term && m->index > n->disk.base + n->disk.n) {
            world_break(w, "replica %llu acknowledges entry %llu, its disk ends at %llu", U(n->id), U(m->index),
                        U(n->disk.base + n->disk.n));
        }
        if (n->disk.hard.term < m->term) {
            world_break(w, "replica %llu speaks in term %llu, its disk is at %llu", U(n->id), U(m->term),
                        U(n->disk.hard.term));
        }
    }
    if ((m->type == RC_MSG_APPEND_REPLY || m->type == RC_MSG_VOTE_REPLY) && m->term > w->said_term[n->id - 1]) {
        w->said_term[n->id - 1] = m->term; /* what others build on; other messages may be forgotten in a crash */
    }
}

static void answer_clients(struct world *w, struct node *n, const struct rc_entry *e)
{
    for (uint32_t i = 0; i < w->n_proposals; i++) {
        struct proposal *p = &w->proposals[i];

        if (p->node != n->id || p->index != e->index || p->acknowledged) {
            continue;
        }
        if (p->term == e->term) {
            if (p->hash != judge_hash(e)) {
                world_break(w, "entry %llu of term %llu is not what was proposed there", U(e->index), U(e->term));
            }
            p->acknowledged = true;
            w->counts.acknowledged++;
            w->answered = e->index > w->answered ? e->index : w->answered;
        }
    }
}

/* Exactly once, without gaps, equal states. */
void judge_applied(struct world *w, struct node *n, const struct rc_entry *e)
{
    struct known *k = known(w, e->index);

    if (e->index != n->applied + 1) {
        world_break(w, "replica %llu applies entry %llu after %llu", U(n->id), U(e->index), U(n->applied));
    }
    if (!k->committed || k->term != e->term || k->hash != judge_hash(e)) {
        world_break(w, "replica %llu applies entry %llu, which is not the committed one", U(n->id), U(e->index));
    }
    n->applied = e->index;
    n->digest = judge_chain(n->digest, e->index, judge_hash(e));
    if (k->digested && k->digest != n->digest) {
        world_break(w, "replica %llu has another state after entry %llu", U(n->id), U(e->index));
    }
    k->digested = true;
    k->digest = n->digest;
    answer_clients(w, n, e);
}

void judge_installed(struct world *w, struct node *n)
{
    struct known *k = known(w, n->applied);

    if (n->applied > 1 && (!k->digested || k->digest != n->digest)) {
        world_break(w, "replica %llu installs a snapshot of entry %llu that no state had", U(n->id), U(n->applied));
    }
}
