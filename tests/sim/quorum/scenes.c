/* scenes.c: failures that once happened, each played on a formed quorum of three. Names carry the id of the failure. */
#include "scenes.h"

#include <stdio.h>

struct node *scene_follower(int k)
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

void scene_check_all(void)
{
    for (int i = 0; i < q.n && !q.why[0]; i++)
        client_check(&q.nodes[i]);
}

static void s10_what_followers_have_sent_to_a_leader_that_dies_is_there_once(void)
{
    struct node *leader = operator_leader(), *a = scene_follower(0), *b = scene_follower(1);
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
    scene_check_all();
}

static void r5_a_silent_peer_delays_nobody_and_terms_stay_low(void)
{
    uint64_t before = term();
    struct node *silent = scene_follower(0), *leader = operator_leader();
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
    scene_check_all();
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

/* ---- what operators ask ---- */

static struct {
    struct node *node;
    struct chronik_meta_change c;
    int32_t rc;
    bool done;
    char why[512];
} said;

static void on_said(void *arg, int32_t rc)
{
    said.rc = rc;
    said.done = true;
}

static void ask(void *arg)
{
    int32_t rc = meta_member_change(said.node->m, &said.c, (struct chronik_done){on_said, NULL});
    if (rc != CHRONIK_PENDING)
        on_said(NULL, rc);
}

/* Asks, and waits for the answer; `wanted` is what it must be. */
static void request(struct node *at, uint32_t op, int32_t node, uint32_t flags)
{
    memset(&said, 0, sizeof said);
    said.node = at;
    said.c = (struct chronik_meta_change){
        .size = sizeof said.c, .op = op, .node_id = node, .flags = flags, .why = said.why, .why_n = sizeof said.why};
    sim_call(at->os, ask, NULL);
    for (int i = 0; i < 800 && !said.done && !q.why[0]; i++)
        quorum_run(50 * SIM_MS);
    if (!q.why[0] && !said.done)
        quorum_break("request %u for node %d, asked of node %d, has no answer", op, node, at->id);
}

static void wanted(uint32_t op, int32_t node, const struct node *at, int32_t rc)
{
    if (!q.why[0] && said.rc != rc)
        quorum_break("request %u for node %d, asked of node %d, ends with %d and not %d: %s", op, node, at->id, said.rc,
                     rc, said.why);
}

void scene_asks(struct node *at, uint32_t op, int32_t node, uint32_t flags, int32_t rc)
{
    request(at, op, node, flags);
    wanted(op, node, at, rc);
}

/* A leader that was elected a moment ago has not heard yet how far a learner is, and says so: the operator asks again.
 */
static void promote(struct node *at, int32_t node)
{
    enum { TIMES = 10 };
    said.rc = CHRONIK_E_AGAIN;
    for (int i = 0; i < TIMES && !q.why[0] && said.rc == CHRONIK_E_AGAIN; i++) {
        if (i)
            quorum_run(SIM_S);
        request(at, CHRONIK_META_PROMOTE, node, 0);
    }
    wanted(CHRONIK_META_PROMOTE, node, at, CHRONIK_DONE);
}

static uint32_t voters(void)
{
    struct rc_status st;
    struct node *leader = operator_leader();
    if (!leader)
        return 0;
    rc_status(node_core(leader), &st);
    return st.conf.voters.n + 10 * st.conf.learners.n;
}

void scene_wants(uint32_t n, uint32_t learners)
{
    if (!q.why[0] && voters() != n + 10 * learners)
        quorum_break("%u voters and %u learners were wanted, found %u and %u", n, learners, voters() % 10,
                     voters() / 10);
}

/* Every kind of change, asked of nodes that do not lead, of the one that it is about, and of the leader about itself.
 */
static void any_node_takes_what_is_asked_of_the_quorum(void)
{
    struct node *leader = operator_leader(), *a = scene_follower(0), *b = scene_follower(1);
    scene_asks(a, CHRONIK_META_DEMOTE, b->id, 0, CHRONIK_DONE);
    scene_wants(2, 1);
    scene_asks(b, CHRONIK_META_DEMOTE, b->id, 0, CHRONIK_E_NOTFOUND);
    scene_asks(b, CHRONIK_META_ADD_VOTER, b->id, 0, CHRONIK_DONE);
    scene_asks(a, CHRONIK_META_ADD_VOTER, b->id, 0, CHRONIK_E_EXISTS);
    scene_wants(3, 0);
    scene_asks(b, CHRONIK_META_TRANSFER, a->id, 0, CHRONIK_DONE);
    quorum_rest("after the lead was handed over");
    if (!q.why[0] && operator_leader() != a)
        quorum_break("node %d does not lead", a->id);
    scene_asks(leader, CHRONIK_META_DEMOTE, a->id, 0, CHRONIK_DONE); /* who leads: a successor does it */
    scene_wants(2, 1);
    scene_asks(a, CHRONIK_META_PROMOTE, a->id, 0, CHRONIK_DONE);
    scene_wants(3, 0);
    scene_asks(b, CHRONIK_META_REFRESH, -1, 0, CHRONIK_DONE);
    quorum_rest("after the changes");
    scene_check_all();
}

static bool is_learner(const struct node *n)
{
    struct rc_status st;
    struct node *leader = operator_leader();
    if (!leader)
        return false;
    rc_status(node_core(leader), &st);
    for (uint32_t i = 0; i < st.conf.learners.n; i++)
        if (st.conf.learners.v[i] == inside_replica(n->m->engine))
            return true;
    return false;
}

/* Done is done, nothing changed is nothing changed, and everything else says that nobody knows. */
static void a_request_whose_leader_dies_tells_the_truth(void)
{
    struct node *leader = operator_leader(), *a = scene_follower(0), *b = scene_follower(1);
    memset(&said, 0, sizeof said);
    said.node = a;
    said.c = (struct chronik_meta_change){
        .size = sizeof said.c, .op = CHRONIK_META_DEMOTE, .node_id = b->id, .why = said.why, .why_n = sizeof said.why};
    sim_call(a->os, ask, NULL);
    quorum_run((int64_t)sim_rand(q.w, 2000) * SIM_US);
    node_kill(leader, sim_rand(q.w, 2) == 0);
    for (int i = 0; i < 800 && !said.done && !q.why[0]; i++)
        quorum_run(50 * SIM_MS);
    node_restart(leader);
    quorum_rest("after the leader came back");
    if (q.why[0])
        return;
    bool unknown = said.rc == CHRONIK_E_CANCELED || said.rc == CHRONIK_E_TIMEDOUT;
    if (!said.done)
        quorum_break("the request was never answered");
    else if (said.rc > 0 && !is_learner(b))
        quorum_break("it was called done and is not");
    else if (said.rc < 0 && !unknown && is_learner(b))
        quorum_break("it was done, and the answer is %d: %s", said.rc, said.why);
    else if (unknown && !strstr(said.why, "unknown") && !strstr(said.why, "in force"))
        quorum_break("that nobody knows is not said: %s", said.why);
    if (is_learner(b))
        promote(a, b->id);
    quorum_rest("after all are voters");
    scene_wants(3, 0);
}

/* Done means that all have applied it; who is gone is told, and can be added again as it is. */
static void a_removed_member_is_told_and_comes_back(void)
{
    struct node *a = scene_follower(0), *b = scene_follower(1);
    scene_asks(a, CHRONIK_META_REMOVE, b->id, 0, CHRONIK_DONE);
    scene_wants(2, 0);
    quorum_run(3 * SIM_S);
    if (!q.why[0] && !inside_removed(b->m->engine))
        quorum_break("node %d does not know that it is no member", b->id);
    scene_asks(a, CHRONIK_META_ADD_VOTER, b->id, 0, CHRONIK_DONE);
    scene_wants(3, 0);
    quorum_rest("after it was added again");
    scene_check_all();
}

/* A member that is away keeps the removal from being called done, by name; it is told later. */
static void a_removal_that_is_not_known_everywhere_is_not_done(void)
{
    struct node *leader = operator_leader(), *a = scene_follower(0), *b = scene_follower(1);
    char name[8];
    scene_asks(leader, CHRONIK_META_DEMOTE, b->id, 0, CHRONIK_DONE);
    node_kill(b, false);
    quorum_run(2 * SIM_S);
    scene_asks(leader, CHRONIK_META_REMOVE, a->id, 0, CHRONIK_E_TIMEDOUT);
    snprintf(name, sizeof name, " %d@", b->id);
    if (!q.why[0] && !strstr(said.why, name))
        quorum_break("node %d is not named: %s", b->id, said.why);
    if (!q.why[0] && inside_removed(a->m->engine))
        quorum_break("node %d was told before the others knew", a->id);
    node_restart(b);
    quorum_run(5 * SIM_S);
    scene_wants(1, 1);
    if (!q.why[0] && !inside_removed(a->m->engine))
        quorum_break("node %d does not know that it is no member", a->id);
    for (int i = 0; i < 60 && !q.why[0] && !operator_restore(i); i++)
        quorum_run(500 * SIM_MS);
    quorum_rest("after all are voters");
    scene_check_all();
}

/* Nobody is taken away when those who stay could not go on. */
static void a_removal_that_would_leave_no_majority_is_refused(void)
{
    struct node *leader = operator_leader(), *a = scene_follower(0), *b = scene_follower(1);
    node_kill(b, false);
    quorum_run(2 * SIM_S);
    scene_asks(a, CHRONIK_META_REMOVE, a->id, 0, CHRONIK_E_INVAL);
    scene_asks(leader, CHRONIK_META_DEMOTE, a->id, 0, CHRONIK_E_INVAL);
    scene_asks(a, CHRONIK_META_REMOVE, b->id, 0, CHRONIK_DONE);
    scene_wants(2, 0);
    scene_asks(a, CHRONIK_META_ADD_LEARNER, b->id, 0, CHRONIK_E_NOTFOUND);
    node_restart(b);
    quorum_run(3 * SIM_S);
    for (int i = 0; i < 60 && !q.why[0] && !operator_restore(i); i++)
        quorum_run(500 * SIM_MS);
    quorum_rest("after all are voters");
    scene_check_all();
}

static bool leads(const struct node *n)
{
    struct rc_status st = {.role = RC_FOLLOWER};
    if (node_core(n))
        rc_status(node_core(n), &st);
    return st.role == RC_LEADER;
}

/* The others come back with what they had: they end, and never lead again. */
static void one_survivor_founds_the_quorum_anew(void)
{
    struct node *lost[2] = {operator_leader(), scene_follower(0)}, *one = scene_follower(1);
    for (int i = 0; i < 20; i++)
        client_topic(one);
    quorum_rest("after some topics");
    for (int i = 0; i < 2; i++)
        node_kill(lost[i], i == 0);
    quorum_run(3 * SIM_S);
    q.founded = true;
    scene_asks(one, CHRONIK_META_FOUND, -1, 0, CHRONIK_E_INVAL);
    if (!q.why[0] && !strstr(said.why, "LOST"))
        quorum_break("what may be lost is not told: %s", said.why);
    if (sim_rand(q.w, 2)) { /* killed in the middle: the command is given again */
        memset(&said, 0, sizeof said);
        said.node = one;
        said.c = (struct chronik_meta_change){
            .size = sizeof said.c, .op = CHRONIK_META_FOUND, .node_id = -1, .flags = CHRONIK_META_FORCE};
        sim_call(one->os, ask, NULL);
        quorum_run((int64_t)sim_rand(q.w, 30000) * SIM_US);
        node_kill(one, sim_rand(q.w, 2) == 0);
        node_restart(one);
        quorum_run(3 * SIM_S);
    }
    if (operator_leader() != one)
        scene_asks(one, CHRONIK_META_FOUND, -1, CHRONIK_META_FORCE, CHRONIK_DONE);
    scene_wants(1, 0);
    client_topic(one);
    quorum_run(2 * SIM_S);
    if (!q.why[0] && acknowledged(1) != 1)
        quorum_break("the new quorum does not serve");
    for (int i = 0; i < 2; i++) {
        lost[i]->failing = true;
        node_restart(lost[i]);
        lost[i]->failing = true;
    }
    sim_net_latency(q.w, 100 * SIM_US, 150 * SIM_MS); /* one link is slower than another */
    for (int i = 0; i < 1000 && !q.why[0]; i++) {
        quorum_run(5 * SIM_MS);
        for (int k = 0; k < 2; k++)
            if (leads(lost[k]))
                quorum_break("node %d leads what was founded anew without it", lost[k]->id);
    }
    for (int i = 0; i < 2 && !q.why[0]; i++)
        if (sim_up(lost[i]->os) || !strstr(lost[i]->failed_text, "founded anew"))
            quorum_break("node %d goes on: %s", lost[i]->id, lost[i]->failed_text);
    sim_net_latency(q.w, 50 * SIM_US, 500 * SIM_US);
    for (int i = 0; i < 2 && !q.why[0]; i++)
        node_wipe(lost[i]);
    for (int i = 0; i < 60 && !q.why[0] && !operator_restore(i); i++)
        quorum_run(500 * SIM_MS);
    quorum_rest("after the others came back with new disks");
    scene_wants(3, 0);
    scene_check_all();
}

/* ---- snapshots that are cut on their way ---- */

static void on_snapshot(void *arg, int32_t rc)
{
}

static void ask_snapshot(void *arg)
{
    meta_snapshot(((struct node *)arg)->m, (struct chronik_done){on_snapshot, NULL});
}

/* A follower that is cut off until the leader has forgotten what it lacks: only a snapshot helps it. */
struct node *scene_left_behind(uint32_t topics, uint32_t partitions)
{
    struct node *leader = operator_leader(), *behind = scene_follower(0);
    sim_net_isolate(behind->os, true);
    for (uint32_t i = 0; i < topics && !q.why[0]; i++) {
        client_wide_topic(leader, partitions);
        quorum_run(100 * SIM_MS);
    }
    for (int i = 0; i < 50 && !q.why[0]; i++) {
        struct rc_status here, there;
        rc_status(node_core(leader), &here);
        rc_status(node_core(behind), &there);
        if (here.first > there.last + 1) {
            for (int k = 0; k < q.n; k++) /* nothing that was sent before arrives late */
                sim_net_reset(q.nodes[k].os, behind->os);
            return behind;
        }
        sim_call(leader->os, ask_snapshot, leader);
        client_ids(leader);
        quorum_run(200 * SIM_MS);
    }
    quorum_break("the leader forgets nothing");
    return behind;
}

/* One try of the leader to send its snapshot, cut behind so many bytes: true when it was cut, false when it passed. */
static bool tried(struct node *behind, uint64_t bytes)
{
    uint64_t before = behind->seen_seq;
    cuts_arm(bytes);
    for (int i = 0; i < 200 && !q.why[0]; i++) {
        quorum_run(20 * SIM_MS);
        if (behind->seen_seq != before)
            break;
        if (!cuts_armed()) {
            quorum_run(20 * SIM_MS); /* what was let through has arrived */
            if (behind->seen_seq != before)
                quorum_break("a snapshot that was cut behind %llu bytes was installed", (unsigned long long)bytes);
            return true;
        }
    }
    cuts_disarm();
    if (behind->seen_seq == before)
        quorum_break("no snapshot was sent, or none was installed, behind a cut at %llu bytes: %llu passed",
                     (unsigned long long)bytes, (unsigned long long)cuts_passed());
    return false;
}

static void d4_a_snapshot_cut_at_any_byte_of_its_way_is_installed_whole_or_not_at_all(void)
{
    struct node *behind = scene_left_behind(30, 1);
    uint64_t at = 0;
    if (!q.why[0])
        sim_net_isolate(behind->os, false);
    while (!q.why[0] && tried(behind, at))
        at++;
    if (!q.why[0] && at < 2000)
        quorum_break("the snapshot has %llu bytes alone", (unsigned long long)at);
    quorum_rest("after the cuts");
    scene_check_all();
}

static void d4_a_large_snapshot_cut_at_any_boundary_of_a_chunk_is_installed_whole_or_not_at_all(void)
{
    struct node *behind = scene_left_behind(6, 4000);
    uint64_t chunks = 0;
    bool cut = true;
    if (!q.why[0])
        sim_net_isolate(behind->os, false);
    for (; !q.why[0] && cut; chunks++)
        for (uint64_t d = 0; d < 3 && cut && !q.why[0]; d++)
            cut = tried(behind, cuts_announcement + chunks * cuts_chunk + d - 1);
    if (!q.why[0] && chunks < 4)
        quorum_break("the snapshot has %llu chunks alone", (unsigned long long)chunks);
    quorum_rest("after the cuts");
    scene_check_all();
}

#define SCENES(X)                                                                                                      \
    X(any_node_takes_what_is_asked_of_the_quorum, 3)                                                                   \
    X(a_request_whose_leader_dies_tells_the_truth, 3)                                                                  \
    X(a_removed_member_is_told_and_comes_back, 3)                                                                      \
    X(a_removal_that_is_not_known_everywhere_is_not_done, 3)                                                           \
    X(a_removal_that_would_leave_no_majority_is_refused, 3)                                                            \
    X(one_survivor_founds_the_quorum_anew, 3)                                                                          \
    X(s10_what_followers_have_sent_to_a_leader_that_dies_is_there_once, 3)                                             \
    X(r5_a_silent_peer_delays_nobody_and_terms_stay_low, 3)                                                            \
    X(r7_completions_may_propose_and_streams_may_break_at_any_step, 3)                                                 \
    X(d4_a_snapshot_cut_at_any_byte_of_its_way_is_installed_whole_or_not_at_all, 3)                                    \
    X(d4_a_large_snapshot_cut_at_any_boundary_of_a_chunk_is_installed_whole_or_not_at_all, 3)                          \
    X(a_snapshot_whose_answer_is_lost_is_answered_again, 3)                                                            \
    X(half_a_snapshot_of_a_former_leader_keeps_no_other_out, 3)                                                        \
    X(who_waits_to_be_added_notices_that_all_machines_were_off, 4)                                                     \
    X(a_leader_whom_no_setting_names_can_add_a_node, 5)                                                                \
    X(a_snapshot_brings_the_group_of_its_own_entry, 3)                                                                 \
    X(nobody_campaigns_before_it_has_tried_every_voter, 3)                                                             \
    X(a_new_leader_answers_no_read_before_an_entry_of_its_own_is_committed, 3)

void (*quorum_scene(const char *name, int *nodes))(void)
{
#define X(scene, n)                                                                                                    \
    if (strcmp(name, #scene) == 0) {                                                                                   \
        *nodes = n;                                                                                                    \
        return scene;                                                                                                  \
    }
    SCENES(X)
#undef X
    return NULL;
}
