/* scenes_odd.c: failures that chance plays once in hundreds of seeds: lost answers, dead connections that nobody writes
 * to, leaders whom no setting names, candidates and readers that are too early. */
#include "scenes.h"

static bool leads(const struct node *n)
{
    struct rc_status st = {.role = RC_FOLLOWER};
    if (node_core(n))
        rc_status(node_core(n), &st);
    return st.role == RC_LEADER;
}

/* The leader never hears that its snapshot is in its place: it sends it again, and must be told what is there. */
void a_snapshot_whose_answer_is_lost_is_answered_again(void)
{
    struct node *behind = scene_left_behind(30, 1), *leader = operator_leader();
    if (q.why[0])
        return;
    sim_net_isolate(behind->os, false);
    for (int i = 0; i < 40000 && !inside_installing(behind->m->engine) && !q.why[0]; i++)
        quorum_run(50 * SIM_US);
    if (!q.why[0] && !inside_installing(behind->m->engine))
        quorum_break("no snapshot comes to node %d", behind->id);
    sim_net_cut(behind->os, leader->os, true);
    quorum_run(300 * SIM_MS);
    sim_net_reset(behind->os, leader->os);
    sim_net_cut(behind->os, leader->os, false);
    quorum_rest("after the answer was lost");
    scene_check_all();
}

/* Its first bytes have come, then the lead changes hands and the way from the old leader is silent. */
void half_a_snapshot_of_a_former_leader_keeps_no_other_out(void)
{
    struct node *behind = scene_left_behind(6, 4000), *leader = operator_leader();
    bool all = false;
    uint64_t have = 0;
    if (q.why[0])
        return;
    struct node *heir = scene_follower(0) == behind ? scene_follower(1) : scene_follower(0);
    sim_net_isolate(behind->os, false);
    for (int i = 0; i < 40000 && !have && !q.why[0]; i++) {
        quorum_run(50 * SIM_US);
        have = inside_received(behind->m->engine, &all);
    }
    if (!q.why[0] && (!have || all))
        quorum_break("no half of a snapshot comes to node %d", behind->id);
    sim_net_cut(leader->os, behind->os, true);
    scene_asks(leader, CHRONIK_META_TRANSFER, heir->id, 0, CHRONIK_DONE);
    for (int i = 0; i < 400 && !q.why[0] && inside_received(behind->m->engine, &all) == have; i++)
        quorum_run(50 * SIM_MS);
    if (!q.why[0] && inside_received(behind->m->engine, &all) == have)
        quorum_break("half a snapshot of node %d keeps that of node %d out", leader->id, heir->id);
    sim_net_cut(leader->os, behind->os, false);
    quorum_rest("after the lead changed hands");
    scene_check_all();
}

/* It has nothing to say to anybody, and nobody knows of it any more. */
void who_waits_to_be_added_notices_that_all_machines_were_off(void)
{
    struct node *newcomer = &q.nodes[3];
    quorum_run(2 * SIM_S);
    for (int i = 0; i < 3; i++)
        node_kill(&q.nodes[i], true);
    quorum_run((int64_t)sim_rand(q.w, 3000) * SIM_MS);
    for (int i = 0; i < 3; i++)
        node_restart(&q.nodes[i]);
    quorum_rest("after the power came back");
    quorum_run(20 * SIM_S);
    if (!q.why[0])
        scene_asks(operator_leader(), CHRONIK_META_ADD_VOTER, newcomer->id, 0, CHRONIK_DONE);
    quorum_rest("after it was added");
    scene_wants(4, 0);
}

void a_leader_whom_no_setting_names_can_add_a_node(void)
{
    struct node *fourth = &q.nodes[3], *fifth = &q.nodes[4];
    quorum_run(2 * SIM_S);
    scene_asks(operator_leader(), CHRONIK_META_ADD_VOTER, fourth->id, 0, CHRONIK_DONE);
    scene_asks(&q.nodes[0], CHRONIK_META_TRANSFER, fourth->id, 0, CHRONIK_DONE);
    quorum_run(5 * SIM_S);
    if (!q.why[0] && !leads(fourth))
        quorum_break("node %d does not lead", fourth->id);
    scene_asks(fourth, CHRONIK_META_ADD_VOTER, fifth->id, 0, CHRONIK_DONE);
    quorum_rest("after both were added");
    scene_wants(5, 0);
    scene_check_all();
}

/* The survivor of a quorum that was founded anew answers a little later than the two others answer one another. */
void nobody_campaigns_before_it_has_tried_every_voter(void)
{
    struct node *lost[2] = {operator_leader(), scene_follower(0)}, *one = scene_follower(1);
    for (int i = 0; i < 2; i++)
        node_kill(lost[i], i == 0);
    quorum_run(3 * SIM_S);
    q.founded = true;
    scene_asks(one, CHRONIK_META_FOUND, -1, CHRONIK_META_FORCE, CHRONIK_DONE);
    if (q.why[0])
        return;
    sim_pause(one->os, 80 * SIM_MS);
    for (int i = 0; i < 2; i++) {
        node_restart(lost[i]);
        lost[i]->failing = true; /* it may end by itself */
    }
    for (int i = 0; i < 1000 && !q.why[0]; i++) {
        quorum_run(2 * SIM_MS);
        for (int k = 0; k < 2; k++)
            if (leads(lost[k]))
                quorum_break("node %d leads what was founded anew without it", lost[k]->id);
    }
    for (int i = 0; i < 2 && !q.why[0]; i++)
        if (sim_up(lost[i]->os))
            quorum_break("node %d goes on: %s", lost[i]->id, lost[i]->failed_text);
}

/* The followers have not heard that the last commands were committed when their leader dies; one of them leads, and is
 * read from at every moment. */
void a_new_leader_answers_no_read_before_an_entry_of_its_own_is_committed(void)
{
    for (int round = 0; round < 10 && !q.why[0]; round++) {
        struct node *leader = operator_leader();
        uint64_t before = q.counts->acknowledged;
        for (int k = 0; k < 3; k++) /* an election's first entry takes its time */
            sim_disk_latency(q.nodes[k].os, 50 * SIM_US, 20 * SIM_MS);
        client_ids(leader);
        for (int i = 0; i < 10000 && q.counts->acknowledged == before && !q.why[0]; i++)
            quorum_run(10 * SIM_US);
        if (sim_rand(q.w, 2))
            node_kill(leader, false);
        else
            sim_net_isolate(leader->os, true);
        for (int i = 0; i < 2000 && !q.why[0]; i++) {
            quorum_run(500 * SIM_US);
            for (int k = 0; k < 3; k++)
                if (&q.nodes[k] != leader && leads(&q.nodes[k]) && q.n_ops < QUORUM_CLIENT_OPS - 100)
                    client_barrier(&q.nodes[k]);
        }
        sim_net_isolate(leader->os, false);
        if (!sim_up(leader->os))
            node_restart(leader);
        quorum_rest("after another one led");
    }
    scene_check_all();
}

static void on_snapshot(void *arg, int32_t rc)
{
}

static void ask_snapshot(void *arg)
{
    meta_snapshot(((struct node *)arg)->m, (struct chronik_done){on_snapshot, NULL});
}

/* The group changes behind the last command, then all make a snapshot and start anew from it. */
void a_snapshot_brings_the_group_of_its_own_entry(void)
{
    struct node *leader = operator_leader(), *a = scene_follower(0), *b = scene_follower(1);
    for (int i = 0; i < 5; i++)
        client_topic(leader);
    quorum_rest("after some topics");
    scene_asks(a, CHRONIK_META_DEMOTE, b->id, 0, CHRONIK_DONE);
    for (int i = 0; i < q.n && !q.why[0]; i++)
        sim_call(q.nodes[i].os, ask_snapshot, &q.nodes[i]);
    quorum_run(30 * SIM_MS);
    for (int i = 0; i < q.n && !q.why[0]; i++) { /* alone, each knows no more than its disk says */
        sim_net_isolate(q.nodes[i].os, true);
        node_kill(&q.nodes[i], sim_rand(q.w, 2) == 0);
        node_restart(&q.nodes[i]);
        quorum_run(200 * SIM_MS);
    }
    for (int i = 0; i < q.n; i++)
        sim_net_isolate(q.nodes[i].os, false);
    quorum_rest("after all started from their snapshots");
    scene_wants(2, 1);
    scene_check_all();
}
