/* scenes.c: failures that once happened, each played on a formed quorum of three. Names carry the id of the failure. */
#include "quorum.h"

#include <stdio.h>

static struct node *follower(int k)
{
    struct node *leader = operator_leader();
    for (int i = 0; leader && i < q.n; i++)
        if (&q.nodes[i] != leader && k-- == 0)
            return &q.nodes[i];
    return NULL;
}

static uint64_t term(void)
{
    struct rc_status st;
    struct node *leader = operator_leader();
    if (!leader)
        return 0;
    rc_status(node_core(leader), &st);
    return st.term;
}

/* How many of the last n operations were acknowledged. */
static uint32_t acknowledged(uint32_t n)
{
    uint32_t have = 0;
    for (uint32_t i = q.n_ops - n; i < q.n_ops; i++)
        have += q.ops[i].acknowledged;
    return have;
}

static void check_all(void)
{
    for (int i = 0; i < q.n && !q.why[0]; i++)
        client_check(&q.nodes[i]);
}

static void s10_what_followers_have_sent_to_a_leader_that_dies_is_there_once(void)
{
    struct node *leader = operator_leader(), *a = follower(0), *b = follower(1);
    for (int i = 0; i < 40; i++) {
        client_topic(a);
        client_ids(b);
    }
    quorum_run((int64_t)sim_rand(q.w, 3000) * SIM_US);
    node_kill(leader, sim_rand(q.w, 2) == 0);
    quorum_run(6 * SIM_S);
    if (!q.why[0] && acknowledged(80) != 80)
        quorum_break("%u of 80 commands were answered", acknowledged(80));
    node_restart(leader);
    quorum_rest("after the leader's death");
    check_all();
}

static void r5_a_silent_peer_delays_nobody_and_terms_stay_low(void)
{
    uint64_t before = term();
    struct node *silent = follower(0), *leader = operator_leader();
    for (int round = 0; round < 20 && !q.why[0]; round++) {
        sim_net_isolate(silent->os, true);
        client_ids(leader);
        quorum_run(100 * SIM_MS);
        if (!q.why[0] && acknowledged(1) != 1)
            quorum_break("a command waits for the silent peer");
        quorum_run((int64_t)sim_rand(q.w, 4000) * SIM_MS);
        sim_net_isolate(silent->os, false);
        sim_net_reset(silent->os, leader->os);
        quorum_run((int64_t)sim_rand(q.w, 1000) * SIM_MS);
    }
    quorum_rest("after the silences");
    if (!q.why[0] && (operator_leader() != leader || term() != before))
        quorum_break("a peer that came back deposed the leader: term %llu, it was %llu", (unsigned long long)term(),
                     (unsigned long long)before);
    check_all();
}

static int chain_left;

static void ask_again(void *arg, const struct meta_result *r)
{
    struct node *n = arg;
    struct meta_command c = {.type = META_CMD_PRODUCER_IDS};
    c.u.producer_ids = (struct meta_producer_ids){.broker = n->id, .broker_epoch = -1, .count = 1};
    if (chain_left-- > 0)
        meta_propose(n->m, META_CLIENT, &c, 5000, ask_again, n);
}

static void begin_chain(void *arg)
{
    ask_again(arg, NULL);
}

static void r7_completions_may_propose_and_streams_may_break_at_any_step(void)
{
    chain_left = 600;
    for (int i = 0; i < q.n; i++)
        sim_call(q.nodes[i].os, begin_chain, &q.nodes[i]);
    for (int i = 0; i < 200 && !q.why[0]; i++) {
        sim_net_reset(q.nodes[sim_rand(q.w, 3)].os, q.nodes[sim_rand(q.w, 3)].os);
        quorum_run((int64_t)sim_rand(q.w, 40) * SIM_MS);
    }
    quorum_run(30 * SIM_S);
    quorum_rest("after the broken streams");
    if (!q.why[0] && chain_left > 0)
        quorum_break("%d of 600 commands in a chain were never begun: a completion is missing", chain_left);
}

#define SCENES(X)                                                                                                      \
    X(s10_what_followers_have_sent_to_a_leader_that_dies_is_there_once)                                                \
    X(r5_a_silent_peer_delays_nobody_and_terms_stay_low)                                                               \
    X(r7_completions_may_propose_and_streams_may_break_at_any_step)

void (*quorum_scene(const char *name))(void)
{
#define X(scene)                                                                                                       \
    if (strcmp(name, #scene) == 0)                                                                                     \
        return scene;
    SCENES(X)
#undef X
    return NULL;
}
