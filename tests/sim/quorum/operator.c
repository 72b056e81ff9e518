/* operator.c: what people do to a quorum: add, promote and remove members through the leader; and lose a disk. An
 * operator looks before he acts: he takes no disk from a quorum that is not calm or could not bear it. */
#include "quorum.h"

#include "plugins/meta-raft/core/tracker.h"

static bool has(const struct rc_ids *ids, uint64_t replica)
{
    for (uint32_t i = 0; i < ids->n; i++)
        if (ids->v[i] == replica)
            return true;
    return false;
}

static uint64_t replica_of(const struct node *n)
{
    return n->running && sim_up(n->os) && n->m ? inside_replica(n->m->engine) : 0;
}

struct node *operator_leader(void)
{
    struct node *best = NULL;
    uint64_t term = 0;
    for (int i = 0; i < q.n; i++) {
        struct rc *rc = node_core(&q.nodes[i]);
        struct rc_status st;
        if (!rc)
            continue;
        rc_status(rc, &st);
        if (st.role == RC_LEADER && st.term > term) {
            best = &q.nodes[i];
            term = st.term;
        }
    }
    return best;
}

bool operator_member(const struct node *n)
{
    struct node *leader = operator_leader();
    struct rc_status st;
    if (!leader)
        return false;
    rc_status(node_core(leader), &st);
    return has(&st.conf.voters, replica_of(n)) || has(&st.conf.outgoing, replica_of(n)) ||
           has(&st.conf.learners, replica_of(n));
}

/* Everybody is up, knows the same configuration, has applied the same; how many voters' disks are there. */
static bool calm(struct rc_conf *conf, uint32_t *there)
{
    struct node *leader = operator_leader();
    struct rc_status first, st;
    *there = 0;
    if (!leader)
        return false;
    rc_status(node_core(leader), &first);
    for (int i = 0; i < q.n; i++) {
        uint64_t replica = replica_of(&q.nodes[i]);
        bool voter = has(&first.conf.voters, replica);
        if (!replica || (!voter && !has(&first.conf.learners, replica)))
            continue;
        if (!node_core(&q.nodes[i]))
            return false;
        rc_status(node_core(&q.nodes[i]), &st);
        if (st.applied != first.last || st.last != first.last || !rc_conf_equal(&st.conf, &first.conf))
            return false;
        *there += voter;
    }
    *conf = first.conf;
    return first.conf.outgoing.n == 0;
}

/* ---- changes ---- */

struct wish {
    struct node *leader;
    uint32_t op, node;
};

static void on_changed(void *arg, int32_t rc)
{
    q.counts->changes += rc > 0;
}

static void ask(void *arg)
{
    struct wish *w = arg;
    struct chronik_meta_change c = {.size = sizeof c, .op = w->op, .node_id = (int32_t)w->node};
    q.counts->changes += meta_member_change(w->leader->m, &c, (struct chronik_done){on_changed, NULL}) > 0;
}

static void change(struct node *leader, uint32_t op, const struct node *n)
{
    struct wish w = {leader, op, (uint32_t)n->id};
    sim_call(leader->os, ask, &w);
}

void operator_change(void)
{
    struct node *leader = operator_leader(), *n = &q.nodes[sim_rand(q.w, (uint64_t)q.n)];
    struct rc_conf conf;
    uint32_t there, op = CHRONIK_META_ADD_LEARNER + (uint32_t)sim_rand(q.w, 3);
    if (!leader)
        return;
    /* To remove a voter while the disks of others are lost could leave too few. */
    if (op == CHRONIK_META_REMOVE && (!calm(&conf, &there) || there < conf.voters.n))
        op = CHRONIK_META_PROMOTE;
    if (op == CHRONIK_META_REMOVE)
        q.removed_at = sim_now(q.w);
    change(leader, op, n);
}

bool operator_restore(int tries)
{
    struct node *leader = operator_leader();
    struct rc_status st;
    if (!leader)
        return false;
    rc_status(node_core(leader), &st);
    for (int i = 0; i < q.n; i++) {
        uint64_t replica = replica_of(&q.nodes[i]);
        if (!replica || has(&st.conf.voters, replica))
            continue;
        /* A removed replica that was not told dials those whom it knew, which need not be the leader. */
        if (tries > 30 && !operator_member(&q.nodes[i]) && tries % 10 == 0) {
            node_kill(&q.nodes[i], false);
            node_wipe(&q.nodes[i]);
        }
        change(leader, has(&st.conf.learners, replica) ? CHRONIK_META_PROMOTE : CHRONIK_META_ADD_LEARNER, &q.nodes[i]);
        return false;
    }
    return st.conf.voters.n == (uint32_t)q.n && st.conf.outgoing.n == 0 && st.conf.learners.n == 0;
}

/* ---- a lost disk ---- */

void operator_wipe(void)
{
    struct node *n = &q.nodes[sim_rand(q.w, (uint64_t)q.n)];
    struct rc_conf conf;
    uint32_t there;
    if (q.removed_at && sim_now(q.w) - q.removed_at < 10 * SIM_S)
        return;                                                /* what was asked for may still be on its way */
    if (!calm(&conf, &there) || there < conf.voters.n / 2 + 2) /* one less is still more than half */
        return;
    node_kill(n, true);
    node_wipe(n);
}
