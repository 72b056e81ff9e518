/* sim: one seeded run: a random cluster, random work under random faults, then a healed cluster that must come to rest.
 * It chooses what happens next and must never look into a replica to choose kindly. Single-threaded test code. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#define U(v) ((unsigned long long)(v))

static struct node *any_node(struct world *w)
{
    for (int tries = 0; tries < 50; tries++) {
        struct node *n = &w->nodes[world_random(w, WORLD_NODES)];

        if (n->exists) {
            return n;
        }
    }
    return &w->nodes[0];
}

static struct node *live_node(struct world *w)
{
    struct node *n = any_node(w);

    return n->alive && !n->paused ? n : NULL;
}

/* ---- faults ---- */

static void cut_links(struct world *w)
{
    struct node *victim = any_node(w);
    bool in = world_chance(w, 70), out = world_chance(w, 70);

    w->counts.partitions++;
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        if (world_chance(w, 80)) {
            w->cut[victim->id - 1][i] |= out; /* one way is enough to hurt */
            w->cut[i][victim->id - 1] |= in;
        }
    }
}

/* Things are mended more often than broken, else nothing ever gets far enough to break in an interesting way. */
void sim_mend(struct world *w, struct node *n)
{
    n->paused = n->stalled = n->late = false;
    if (!n->alive) {
        world_start(w, n);
    }
    if (world_chance(w, 40)) {
        memset(w->cut, 0, sizeof w->cut);
    }
}

static void fault(struct world *w)
{
    struct node *n = any_node(w);

    if (world_chance(w, 65)) {
        sim_mend(w, n);
        return;
    }
    switch (world_random(w, 11)) {
    case 10:
        n->stalled = world_chance(w, 50); /* its disk answers nothing for a while */
        n->late = world_chance(w, 50);
        break;
    case 0:
    case 1:
        if (n->alive) {
            world_crash(w, n);
        }
        break;
    case 2:
    case 3:
    case 4:
        if (!n->alive) {
            world_start(w, n);
        }
        break;
    case 5:
        cut_links(w);
        break;
    case 6:
    case 7:
        memset(w->cut, 0, sizeof w->cut);
        break;
    case 8:
        n->paused = n->alive && !n->paused;
        break;
    default:
        w->loss = (uint32_t)world_random(w, 31);
        w->repeat = world_chance(w, 50) ? 0 : (uint32_t)world_random(w, 51);
        break;
    }
}

/* ---- membership ---- */

static void random_change(struct world *w, const struct rc_config *cfg)
{
    struct node *leader = world_leader(w);
    struct rc_conf_change change = {.transition = (enum rc_transition)world_random(w, 3)};
    struct rc_status st;

    if (leader == NULL || leader->paused || !cfg->check_quorum || !cfg->pre_vote) {
        return;
    }
    rc_status(leader->rc, &st);
    if (st.conf.outgoing.n > 0 && world_chance(w, 80)) {
        change.transition = RC_AUTO; /* leave */
    } else {
        change.n = 1 + (uint32_t)world_random(w, world_chance(w, 30) ? 3 : 1);
        for (uint32_t i = 0; i < change.n; i++) {
            struct node *n = world_chance(w, 40) ? world_add(w, cfg, NULL) : any_node(w);

            n = n == NULL ? any_node(w) : n;
            change.v[i].id = n->id;
            change.v[i].op = st.conf.voters.n > 4 && world_chance(w, 50) ? RC_REMOVE
                             : world_chance(w, 40)                       ? RC_ADD_LEARNER
                                                                         : RC_ADD_VOTER;
            if (world_chance(w, 15)) {
                change.v[i].op = RC_REMOVE;
            }
        }
    }
    world_change(w, leader, &change);
}

/* ---- one step of a troubled life ---- */

static void client(struct world *w)
{
    struct node *n = world_chance(w, 40) ? world_leader(w) : live_node(w);

    if (n != NULL && !n->paused && world_chance(w, 30)) {
        world_read(w, n);
    } else if (n != NULL && !n->paused && w->committed < WORLD_LOG / 2) {
        world_propose(w, n, (uint32_t)world_random(w, 60));
    }
}

static void rare(struct world *w, const struct rc_config *cfg)
{
    struct node *n = live_node(w);

    if (n != NULL && world_chance(w, w->ambition)) {
        rc_campaign(n->rc);
        judge_step(w, n);
        return;
    }
    switch (world_random(w, 8)) {
    case 0:
        random_change(w, cfg);
        break;
    case 1:
    case 2:
        if (n != NULL) {
            world_snapshot(w, n, world_random(w, 6));
        }
        break;
    case 3:
        if (n != NULL) {
            w->counts.transfers++;
            rc_transfer(n->rc, any_node(w)->id);
            judge_step(w, n);
        }
        break;
    case 4:
        if (n != NULL) {
            w->counts.forgets++;
            rc_forget_leader(n->rc);
            judge_step(w, n);
        }
        break;
    case 5:
    case 6:
        if (n != NULL) {
            world_read(w, n);
        }
        break;
    default:
        fault(w);
        break;
    }
}

static void step(struct world *w, const struct rc_config *cfg)
{
    uint64_t dice = world_random(w, 1000);
    struct node *n = live_node(w);

    w->counts.steps++;
    if (world_random(w, 1000) < w->reigns) {
        sim_episode(w);
        return;
    }
    if (dice < 400) {
        if (w->n_flight > 0) {
            world_deliver(w, (uint32_t)world_random(w, w->n_flight));
        }
    } else if (dice < 400 + w->clients) {
        client(w);
    } else if (dice < 400 + w->clients + w->trouble) {
        rare(w, cfg);
    } else if (n == NULL) {
        return;
    } else if (dice < 400 + w->clients + w->trouble + w->haste) {
        world_tick(w, n);
    } else if (dice < 760) {
        world_ready(w, n);
    } else if (dice < 900) {
        if (!n->stalled && !world_chance(w, w->slow_disk)) {
            world_disk(w, n);
        }
    } else if (world_chance(w, n->late ? 5 : 50)) {
        world_ack(w, n);
    } else {
        world_apply(w, n);
    }
    if (w->n_flight > 400) { /* a full queue somewhere */
        world_drop(w, (uint32_t)world_random(w, w->n_flight));
    }
}

/* ---- the end: everything heals ---- */

static void round_of_ticks(struct world *w)
{
    world_settle(w);
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        if (w->nodes[i].exists && w->nodes[i].alive) {
            world_tick(w, &w->nodes[i]);
        }
    }
    world_settle(w);
    w->counts.steps++;
}

static bool member(const struct rc_conf *c, uint64_t id)
{
    const struct rc_ids *sets[] = {&c->voters, &c->outgoing, &c->learners};

    for (int s = 0; s < 3; s++) {
        for (uint32_t i = 0; i < sets[s]->n; i++) {
            if (sets[s]->v[i] == id) {
                return true;
            }
        }
    }
    return false;
}

/* The leader has committed and applied all it has, and every member has applied the same. NULL: yes; else what is
 * missing. */
static const char *at_rest(struct world *w)
{
    struct node *leader = world_leader(w);
    struct rc_status st, own;

    if (leader == NULL) {
        return "no leader";
    }
    rc_status(leader->rc, &st);
    if (st.conf.outgoing.n > 0 && st.conf.auto_leave) {
        return "the joint configuration is not left";
    }
    if (st.commit != st.last || st.applied != st.last) {
        return "the leader has uncommitted or unapplied entries";
    }
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        struct node *n = &w->nodes[i];

        if (!n->exists || !member(&st.conf, n->id)) {
            continue;
        }
        if (!n->alive) {
            return "a member is switched off";
        }
        rc_status(n->rc, &own);
        if (own.applied != st.last) {
            return "a member is behind";
        }
        if (own.lead != leader->id) {
            return "a member does not follow";
        }
    }
    return NULL;
}

static void rest_within(struct world *w, int rounds, const char *when)
{
    const char *missing = "";

    for (int i = 0; i < rounds; i++) {
        round_of_ticks(w);
        missing = at_rest(w);
        if (missing == NULL) {
            return;
        }
    }
    world_break(w, "no rest within %d ticks %s: %s", rounds, when, missing);
}

/* Switch off who was removed, as an operator does once all members know it. */
static void retire_strangers(struct world *w)
{
    struct node *newest = NULL;

    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        if (w->nodes[i].exists && w->nodes[i].alive && (newest == NULL || w->nodes[i].applied > newest->applied)) {
            newest = &w->nodes[i];
        }
    }
    for (uint32_t i = 0; newest != NULL && i < WORLD_NODES; i++) {
        struct node *n = &w->nodes[i];

        if (n->exists && n->alive && !member(&newest->conf, n->id)) {
            world_crash(w, n);
        }
    }
}

/* A leader that was asked to hand over refuses for at most one election timeout. */
static void wait_for_transfer(struct world *w, struct node **leader, int tries, int result)
{
    if (result != RC_TRANSFERRING || tries > 40) {
        world_break(w, "leader %llu refuses (result %d) at rest", U((*leader)->id), result);
    }
    round_of_ticks(w);
    if (world_leader(w) != NULL) {
        *leader = world_leader(w);
    }
}

static void heal(struct world *w)
{
    struct rc_conf_change leave = {.transition = RC_AUTO};
    struct node *leader;
    struct rc_status st;

    w->loss = w->repeat = w->coarse = 0;
    w->healed = true;
    memset(w->cut, 0, sizeof w->cut);
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        if (w->nodes[i].exists && !w->nodes[i].alive) {
            world_start(w, &w->nodes[i]);
        }
        w->nodes[i].paused = w->nodes[i].stalled = w->nodes[i].late = false;
    }
    rest_within(w, 300, "after healing"); /* without a proposal: a leader must get there by itself */
    leader = world_leader(w);
    rc_status(leader->rc, &st);
    for (int i = 0; st.conf.outgoing.n > 0 && !st.conf.auto_leave; i++) {
        int result = world_change(w, leader, &leave);

        if (result == RC_OK) {
            break;
        }
        wait_for_transfer(w, &leader, i, result);
    }
    rest_within(w, 200, "after leaving the joint configuration");
    retire_strangers(w);
    rest_within(w, 100, "after retiring who left");
    leader = world_leader(w);
    for (int i = 0;; i++) {
        int result = world_propose(w, leader, 8);

        if (result == RC_OK) {
            break;
        }
        wait_for_transfer(w, &leader, i, result);
    }
    world_read(w, leader);
    rest_within(w, 50, "after a last proposal");
    if (w->n_reads < WORLD_PROPOSALS && w->reads[w->n_reads - 1].open) {
        world_break(w, "the last read was never answered");
    }
    for (uint32_t i = 0; i < w->n_proposals; i++) {
        if (w->proposals[i].acknowledged && w->log[w->proposals[i].index].hash != w->proposals[i].hash) {
            world_break(w, "acknowledged command %u is not in the log", i);
        }
    }
}

static struct rc_config random_config(struct world *w)
{
    struct rc_config cfg = world_config();

    if (world_chance(w, 50)) { /* then membership stays as it is: a removed replica would disturb for ever */
        cfg.check_quorum = world_chance(w, 30);
        cfg.pre_vote = world_chance(w, 30);
    }
    cfg.election_ticks = 3 + (uint32_t)world_random(w, 10);
    cfg.heartbeat_ticks = 1 + (uint32_t)world_random(w, cfg.election_ticks / 2);
    cfg.step_down_on_removal = world_chance(w, 80);
    cfg.max_inflight_msgs = 1 + (uint32_t)world_random(w, 8);
    cfg.max_size_per_msg = world_chance(w, 40) ? 0 : world_random(w, 400);
    cfg.max_inflight_bytes = world_chance(w, 50) ? 0 : cfg.max_size_per_msg + world_random(w, 1000);
    cfg.max_committed_size = 1 + world_random(w, 1000);
    cfg.max_uncommitted_size = world_chance(w, 50) ? 0 : 200 + world_random(w, 2000);
    return cfg;
}

bool sim_run(struct world *w, uint64_t seed, uint64_t steps, void (*trace)(const char *line))
{
    struct rc_conf conf = {0};
    struct rc_config cfg;
    uint64_t voters;

    world_init(w, seed);
    w->trace = trace;
    w->verbose = trace != NULL;
    w->ambition = world_chance(w, 50) ? 10 : (uint32_t)world_random(w, 90);
    w->clients = 10 + (uint32_t)world_random(w, 120);
    w->trouble = 10 + (uint32_t)world_random(w, world_chance(w, 50) ? 40 : 150);
    w->slow_disk = world_chance(w, 50) ? 0 : (uint32_t)world_random(w, 98);
    w->haste = 30 + (uint32_t)world_random(w, 150);
    w->reigns = world_chance(w, 60) ? 0 : (uint32_t)world_random(w, 40);
    w->impatient = 12;
    w->coarse = world_chance(w, 70) ? 0 : (uint32_t)world_random(w, 100);
    if (setjmp(w->broken) != 0) {
        return false;
    }
    cfg = random_config(w);
    voters = world_chance(w, 30) ? 5 : 1 + world_random(w, 5);
    for (uint64_t i = 0; i < voters; i++) {
        conf.voters.v[conf.voters.n++] = i + 1;
    }
    for (uint64_t i = 0; i < voters; i++) {
        world_add(w, &cfg, &conf);
    }
    w->loss = world_chance(w, 50) ? 0 : (uint32_t)world_random(w, 31);
    while (w->counts.steps < steps) {
        step(w, &cfg);
    }
    heal(w);
    return true;
}
