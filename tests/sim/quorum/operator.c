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
        const struct node *n = &q.nodes[i];
        uint64_t replica = replica_of(n);
        bool voter = has(&first.conf.voters, replica);
        if (!replica || (!voter && !has(&first.conf.learners, replica)))
            continue;
        if (!node_core(n))
            return false;
        rc_status(node_core(n), &st);
        if (st.applied != first.last || st.last != first.last || !rc_conf_equal(&st.conf, &first.conf))
            return false;
        *there += voter && !n->doubtful;
    }
    *conf = first.conf;
    return first.conf.outgoing.n == 0;
}

/* ---- changes ---- */

/* What was asked of a leader, until it answers or dies. */
struct wish {
    struct node *leader;
    uint64_t life;
    uint32_t op, node;
    bool open;
};

enum { WISHES = 64 };
static struct wish wishes[WISHES];
static uint32_t n_wishes;

static bool under_way(void)
{
    for (int i = 0; i < WISHES; i++)
        if (wishes[i].open && wishes[i].leader->lives == wishes[i].life && sim_up(wishes[i].leader->os))
            return true;
    return false;
}

static struct wish *new_wish(struct node *leader, uint32_t op, uint32_t node)
{
    struct wish *w = &wishes[n_wishes++ % WISHES];
    *w = (struct wish){leader, leader->lives, op, node, true};
    return w;
}

static void on_changed(void *arg, int32_t rc)
{
    struct wish *w = arg;
    w->open = false;
    q.counts->changes += rc > 0;
}

static void ask(void *arg)
{
    struct wish *w = arg;
    struct chronik_meta_change c = {.size = sizeof c, .op = w->op, .node_id = (int32_t)w->node};
    int32_t rc = meta_member_change(w->leader->m, &c, (struct chronik_done){on_changed, w});
    if (rc != CHRONIK_PENDING)
        on_changed(w, rc);
}

static void change(struct node *leader, uint32_t op, const struct node *n)
{
    sim_note(q.w, "operator: change %u of node %d is asked of node %d", op, n->id, leader->id);
    sim_call(leader->os, ask, new_wish(leader, op, (uint32_t)n->id));
}

void operator_begin(void)
{
    memset(wishes, 0, sizeof wishes);
    n_wishes = 0;
}

void operator_change(void)
{
    struct node *leader = operator_leader(), *n = &q.nodes[sim_rand(q.w, (uint64_t)q.n)];
    struct rc_conf conf;
    struct rc_status st;
    uint32_t there, op = CHRONIK_META_ADD_LEARNER + (uint32_t)sim_rand(q.w, 3);
    if (!leader)
        return;
    rc_status(node_core(leader), &st);
    /* To remove a voter while the disks of others are lost could leave too few. */
    if (op == CHRONIK_META_REMOVE && (!calm(&conf, &there) || there < conf.voters.n))
        op = CHRONIK_META_PROMOTE;
    if (op == CHRONIK_META_PROMOTE && !has(&st.conf.learners, replica_of(n)))
        op = CHRONIK_META_ADD_LEARNER; /* what the learner of that name was is gone */
    if (op == CHRONIK_META_PROMOTE && n->doubtful)
        return;
    change(leader, op, n);
}

/* A newcomer dials those whom its settings name: one of them should lead. */
static void hand_to_named(struct node *leader)
{
    if (leader->id > q.first)
        sim_call(leader->os, ask,
                 new_wish(leader, CHRONIK_META_TRANSFER, 1 + (uint32_t)sim_rand(q.w, (uint64_t)q.first)));
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
        if (tries % 10 == 9)
            hand_to_named(leader);
        /* A removed replica that was not told dials those whom it knew, which need not be the leader. */
        if (tries > 30 && node_core(&q.nodes[i]) && !operator_member(&q.nodes[i]) && tries % 10 == 0) {
            node_kill(&q.nodes[i], false);
            node_wipe(&q.nodes[i]);
        }
        change(leader, has(&st.conf.learners, replica) ? CHRONIK_META_PROMOTE : CHRONIK_META_ADD_LEARNER, &q.nodes[i]);
        return false;
    }
    return st.conf.voters.n == (uint32_t)q.n && st.conf.outgoing.n == 0 && st.conf.learners.n == 0;
}

/* ---- a lost disk ---- */

bool operator_bears(const struct node *n)
{
    struct rc_conf conf;
    uint32_t there;
    if (under_way() || !calm(&conf, &there))
        return false;
    /* Learners may be made voters at any time, the lost ones too. */
    return there - (has(&conf.voters, replica_of(n)) && !n->doubtful) > (conf.voters.n + conf.learners.n) / 2;
}

void operator_wipe(void)
{
    struct node *n = &q.nodes[sim_rand(q.w, (uint64_t)q.n)];
    if (!operator_bears(n))
        return;
    node_kill(n, true);
    node_wipe(n);
}
