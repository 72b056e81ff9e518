/* judge.c: what must hold of all nodes together, after each step of the world; and what rest is. It reads the nodes'
 * memory and must never change it. */
#include "quorum.h"

#include <stdarg.h>
#include <stdio.h>

#define U(v) ((unsigned long long)(v))

void quorum_break(const char *fmt, ...)
{
    va_list args;
    if (q.why[0])
        return;
    va_start(args, fmt);
    vsnprintf(q.why, sizeof q.why, fmt, args);
    va_end(args);
    if (q.story)
        snprintf(q.story->why, sizeof q.story->why, "%s", q.why);
    sim_note(q.w, "BROKEN: %s", q.why);
}

static uint64_t hash_of(const struct rc_entry *e)
{
    uint64_t h = 1469598103934665603u ^ e->type;
    for (uint32_t i = 0; e->data && i < e->data->len; i++)
        h = (h ^ e->data->bytes[i]) * 1099511628211u;
    return h;
}

/* Committed prefixes agree and stay. */
static void look_at_commit(struct node *n, struct rc *rc, const struct rc_status *st)
{
    uint64_t from = n->seen_commit + 1 > st->first ? n->seen_commit + 1 : st->first;
    for (uint64_t i = from; i <= st->commit && i < QUORUM_LOG; i++) {
        const struct rc_entry *e = rc_entry_at(rc, i);
        if (!e)
            continue;
        if (!q.log[i].known) {
            q.log[i].known = true;
            q.log[i].term = e->term;
            q.log[i].in = st->term;
            q.log[i].hash = hash_of(e);
            ledger_entry(e);
            q.counts->joint += e->type == RC_ENTRY_CONF;
        } else if (q.log[i].term != e->term || q.log[i].hash != hash_of(e)) {
            quorum_break("node %d has committed another entry %llu (term %llu) than before (term %llu)", n->id, U(i),
                         U(e->term), U(q.log[i].term));
        }
    }
}

/* A replica gives one vote a term, in all its lives: what is not durable nobody has been told of. */
static void look_at_vote(struct node *n, const struct rc_status *st)
{
    if (st->term >= QUORUM_TERMS || !st->vote || !inside_voted(n->m->engine, st->term, st->vote))
        return;
    uint64_t *replica = &q.votes[n->id - 1][st->term].replica, *vote = &q.votes[n->id - 1][st->term].vote;
    if (*replica == st->id && *vote != st->vote)
        quorum_break("node %d votes twice in term %llu: for %llx, then for %llx", n->id, U(st->term), U(*vote),
                     U(st->vote));
    *replica = st->id;
    *vote = st->vote;
}

/* Leader completeness: who comes to lead a term has everything that was committed in earlier ones. (It may be late: a
 * later term may have committed more.) */
static void look_at_leader(struct node *n, struct rc *rc, const struct rc_status *st)
{
    for (uint64_t i = st->first; i <= q.committed && i < QUORUM_LOG && !q.founded; i++) {
        const struct rc_entry *e = rc_entry_at(rc, i);
        if (q.log[i].known && q.log[i].in < st->term && (!e || e->term != q.log[i].term))
            quorum_break("node %d leads term %llu and lacks entry %llu, committed in term %llu", n->id, U(st->term),
                         U(i), U(q.log[i].in));
    }
}

static bool majority_has(const struct rc_ids *ids, uint64_t index)
{
    uint32_t have = 0;
    for (uint32_t i = 0; i < ids->n; i++)
        for (int k = 0; k < q.n; k++)
            have += q.nodes[k].durable_of == ids->v[i] && q.nodes[k].durable >= index;
    return ids->n == 0 || have > ids->n / 2;
}

static bool quorum_has(const struct rc_conf *c, uint64_t index)
{
    return majority_has(&c->voters, index) && majority_has(&c->outgoing, index);
}

/* A quorum has on its disks what is committed for the first time: the dead have what they had when they were last seen.
 */
static void look_at_quorum(const struct node *n, const struct rc_status *st)
{
    if (st->commit <= q.committed)
        return;
    bool sure = q.harm <= HARM_FAIL && !q.wiped && !q.founded;
    q.committed = st->commit;
    /* The entry may be the one that changed who has a say. */
    if (sure && !quorum_has(&n->conf, st->commit) && !quorum_has(&n->conf_before, st->commit))
        quorum_break("node %d calls entry %llu committed, and no quorum has it on disk", n->id, U(st->commit));
}

/* The same entries make the same configuration. */
static void look_at_conf(struct node *n, const struct rc_status *st)
{
    n->conf_before = n->conf;
    n->conf = st->conf;
    if (st->handed >= QUORUM_LOG)
        return;
    uint64_t h = 1469598103934665603u;
    const struct rc_ids *sets[] = {&st->conf.voters, &st->conf.outgoing, &st->conf.learners, &st->conf.learners_next};
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        for (uint32_t k = 0; k < sets[i]->n; k++)
            h = (h ^ sets[i]->v[k]) * 1099511628211u;
        h = (h ^ i) * 1099511628211u;
    }
    if (q.log[st->handed].conf && q.log[st->handed].conf != h)
        quorum_break("node %d has another configuration as of entry %llu than others", n->id, U(st->handed));
    q.log[st->handed].conf = h;
}

static void look_at(struct node *n)
{
    struct rc *rc = node_core(n);
    struct rc_status st;
    char why[300];
    if (!rc)
        return;
    rc_status(rc, &st);
    n->durable = inside_durable(n->m->engine, st.last, st.persisted);
    n->durable_of = st.id;
    if (st.handed != n->seen_handed)
        look_at_conf(n, &st);
    n->seen_handed = st.handed;
    bool moved = st.commit != n->seen_commit || st.term != n->seen_term;
    if (st.term < n->seen_term || st.commit < n->seen_commit || st.applied < n->seen_applied)
        quorum_break("node %d goes back: term %llu to %llu, commit %llu to %llu, applied %llu to %llu", n->id,
                     U(n->seen_term), U(st.term), U(n->seen_commit), U(st.commit), U(n->seen_applied), U(st.applied));
    if (st.role == RC_LEADER && st.term < QUORUM_TERMS) {
        int *leader = &q.leader_of[st.term];
        q.counts->elections += *leader == 0;
        if (*leader == 0)
            look_at_leader(n, rc, &st);
        if (*leader && *leader != n->id)
            quorum_break("nodes %d and %d both lead term %llu", *leader, n->id, U(st.term));
        *leader = n->id;
    }
    look_at_vote(n, &st);
    if (moved) {
        look_at_commit(n, rc, &st);
        if (!rc_check(rc, why, sizeof why))
            quorum_break("node %d: %s", n->id, why);
    }
    q.counts->truncations += st.last < n->seen_last;
    n->seen_last = st.last;
    n->seen_term = st.term;
    n->seen_commit = st.commit;
    n->seen_applied = st.applied;
}

/* Who speaks another version of the frames takes no part. */
static void look_at_version(const struct node *n)
{
    for (int i = 0; i < q.n && node_core(n); i++) {
        const struct node *o = &q.nodes[i];
        if (o->older != n->older && !o->doubtful && node_core(o) &&
            inside_welcomes(n->m->engine, inside_replica(o->m->engine), inside_boot(o->m->engine)))
            quorum_break("node %d welcomes node %d, which speaks another version of the frames", n->id, o->id);
    }
}

/* Whoever refuses names what and where: the folder of the quorum is in every such sentence. */
static void look_at_sentence(struct node *n)
{
    n->refused = true;
    q.counts->refused++;
    if (!strstr(n->failed_text, "meta-raft"))
        quorum_break("node %d refuses and does not say what is damaged: %s", n->id, n->failed_text);
}

static void look_at_life(struct node *n)
{
    bool excused = n->failing || n->doubtful;
    if (n->running && n->failed && !n->refused) {
        if (excused)
            look_at_sentence(n);
        else
            quorum_break("node %d stands still: %s", n->id, n->failed_text);
    }
    if (n->running && !sim_up(n->os)) {
        n->running = false;
        if (n->aimed && sim_exit_code(n->os) == -1)
            return;
        if (sim_exit_code(n->os) == 70 && strstr(n->failed_text, "founded anew by force"))
            return; /* as it must (force.c) */
        /* Rot in the last record looks like a torn write: the leader, which counts on it, proves the loss. */
        bool lost = n->doubtful && sim_exit_code(n->os) == 70 && strstr(n->failed_text, "lost entries");
        if ((excused && sim_exit_code(n->os) == 74) || lost)
            look_at_sentence(n);
        else
            quorum_break("node %d ends by itself with %d: %s", n->id, sim_exit_code(n->os), n->failed_text);
    }
    if (n->running && !n->doubtful && inside_stale(n->m->engine))
        quorum_break("node %d is taken for an older copy of itself", n->id);
}

bool judge_look(void *arg)
{
    bool any_older = false;
    for (int i = 0; i < q.n; i++)
        look_at(&q.nodes[i]);
    for (int i = 0; i < q.n; i++) {
        struct rc_status st = {.commit = 0};
        if (node_core(&q.nodes[i]))
            rc_status(node_core(&q.nodes[i]), &st);
        look_at_quorum(&q.nodes[i], &st);
        look_at_life(&q.nodes[i]);
        any_older |= q.nodes[i].older;
    }
    for (int i = 0; i < q.n && any_older; i++)
        look_at_version(&q.nodes[i]);
    return q.why[0] != 0;
}

/* Equal states at equal commands, on all nodes, in all lives and as the log itself says (ledger.c). */
void judge_state(const char *who, const struct meta_image *i)
{
    if (i->seq >= QUORUM_LOG)
        return;
    if (q.state[i->seq].known &&
        (q.state[i->seq].digest[0] != i->digest[0] || q.state[i->seq].digest[1] != i->digest[1]))
        quorum_break("the state of %s after command %llu is another one than elsewhere", who, U(i->seq));
    q.state[i->seq].known = true;
    q.state[i->seq].digest[0] = i->digest[0];
    q.state[i->seq].digest[1] = i->digest[1];
}

void judge_image(struct node *n, const struct meta_image *i)
{
    char who[24];
    if (i->seq < n->seen_seq)
        quorum_break("the state of node %d goes back from command %llu to %llu", n->id, U(n->seen_seq), U(i->seq));
    n->seen_seq = i->seq;
    snprintf(who, sizeof who, "node %d", n->id);
    judge_state(who, i);
}

const char *judge_rest(void)
{
    static char text[300];
    struct node *leader = operator_leader();
    struct rc_status top, st;
    struct meta_status s, of;
    if (!leader)
        return "no leader";
    rc_status(node_core(leader), &top);
    meta_status_get(leader->m, &of);
    if (top.conf.outgoing.n > 0)
        return "the joint configuration is not left";
    for (int i = 0; i < q.n; i++) {
        struct node *n = &q.nodes[i];
        struct rc *rc = node_core(n);
        snprintf(text, sizeof text, "node %d is still starting", n->id);
        if (q.harm == HARM_FAIL && n->refused)
            return text;
        if (n->running && sim_up(n->os) && !n->refused && !inside_replica(n->m->engine))
            return text;
        if (!operator_member(n))
            continue;
        snprintf(text, sizeof text, "node %d has no core", n->id);
        if (!rc)
            return text;
        rc_status(rc, &st);
        meta_status_get(n->m, &s);
        snprintf(text, sizeof text,
                 "node %d: role %d term %llu commit %llu applied %llu last %llu seq %llu, registered %d, open %llu; %s",
                 n->id, st.role, U(st.term), U(st.commit), U(s.applied_index), U(st.last), U(s.seq), n->registered,
                 U(s.open + s.queued), s.engine_stalled);
        const struct meta_image *all = ledger_image();
        if (s.seq != all->seq && s.seq < QUORUM_LOG)
            snprintf(text, sizeof text, "node %d has applied %llu commands, in the log are %llu", n->id, U(s.seq),
                     U(all->seq));
        if ((s.seq != all->seq && s.seq < QUORUM_LOG) || !n->registered || st.commit != top.last ||
            st.last != top.last || s.engine.applied != s.engine.committed || s.seq != of.seq || s.open + s.queued > 0 ||
            (st.role == RC_LEADER) != (n == leader))
            return text;
    }
    return NULL;
}
