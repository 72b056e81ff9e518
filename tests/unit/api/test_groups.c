/* test_groups.c: classic groups against a whole broker in the virtual world. Each test runs under several seeds. */
#include <config.h>

#include "tests/unit/api/group_cli.h"

const struct chronik_plugin *meta_mem_plugin(void);
const struct chronik_plugin *store_mem_plugin(void);

enum { SEEDS = 6 };

static struct rig rig;
static struct cli admin;
static struct gm m[8];

static void begin_in_world(void)
{
    ck_assert(rig_start(&rig));
    ck_assert(rig_ready(&rig));
    cli_open(&admin, &rig);
    for (size_t i = 0; i < ARRAY_LEN(m); i++)
        gm_open(&m[i], &rig, "g");
    sim_run_for(rig.w, SIM_S); /* slots are taken */
}

static void begin(int seed)
{
    rig_world(&rig, (uint64_t)seed + 1, meta_mem_plugin, store_mem_plugin);
    begin_in_world();
}

static void finish(void)
{
    for (size_t i = 0; i < ARRAY_LEN(m); i++)
        gm_close(&m[i]);
    cli_close(&admin);
    ck_assert(rig_stop(&rig, SIM_S));
    rig_free(&rig);
}

static int64_t now_ms(void)
{
    return sim_now(rig.w) / SIM_MS;
}

static int leader_of(int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(m[i].id, m[i].leader) == 0)
            return i;
    return -1;
}

static void expect_state(const char *state, int32_t members)
{
    int32_t n;
    ck_assert_str_eq(gm_state(&admin, "g", &n), state);
    ck_assert_int_eq(n, members);
}

/* ---- joining ---- */

START_TEST(members_that_join_together_get_one_generation_and_their_assignments)
{
    begin(_i);
    gm_stabilize(m, 3);
    int leader = leader_of(3);
    ck_assert_int_ge(leader, 0);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(m[i].generation, 1);
        ck_assert_str_eq(m[i].leader, m[leader].id);
        ck_assert_str_eq(m[i].protocol, "range");
        ck_assert_int_eq(m[i].n_members, i == leader ? 3 : 0);
        ck_assert_int_eq(m[i].assignment[0], 'a');
        ck_assert_int_eq(gm_beat(&m[i]), KAFKA_NONE);
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(m[i].assignment, m[k].assignment);
    }
    expect_state("Stable", 3);
    finish();
}
END_TEST

START_TEST(K2_no_join_is_answered_before_the_initial_delay_is_over)
{
    begin(_i);
    int64_t before = now_ms();
    int32_t sent = gm_join_begin(&m[0]);
    ck_assert_int_eq(gm_join_recv(&m[0], sent, 2 * SIM_S), -2);
    expect_state("PreparingRebalance", 1);
    ck_assert_int_eq(gm_join_recv(&m[0], sent, 5 * SIM_S), KAFKA_NONE);
    ck_assert_int_ge(now_ms() - before, 3000);
    expect_state("CompletingRebalance", 1);
    finish();
}
END_TEST

START_TEST(the_initial_delay_grows_while_members_come_up_to_the_rebalance_timeout)
{
    begin(_i);
    int64_t before = now_ms();
    int32_t sent[4];
    for (int i = 0; i < 4; i++) {
        m[i].rebalance_ms = 8000;
        sent[i] = gm_join_begin(&m[i]);
        sim_run_for(rig.w, 2 * SIM_S + 500 * SIM_MS);
    }
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(gm_join_recv(&m[i], sent[i], 10 * SIM_S), KAFKA_NONE);
        ck_assert_int_eq(m[i].generation, 1);
    }
    ck_assert_int_ge(now_ms() - before, 8000);
    ck_assert_int_lt(now_ms() - before, 10600);
    finish();
}
END_TEST

START_TEST(a_member_id_that_is_not_used_in_time_is_forgotten)
{
    begin(_i);
    int32_t sent = gm_join_send(&m[0]);
    ck_assert_int_eq(gm_join_recv(&m[0], sent, SIM_S), KAFKA_MEMBER_ID_REQUIRED);
    ck_assert_int_ne(m[0].id[0], 0);
    expect_state("Empty", 0);
    sim_run_for(rig.w, 12 * SIM_S);
    expect_state("Dead", 0);
    sent = gm_join_send(&m[0]);
    ck_assert_int_eq(gm_join_recv(&m[0], sent, SIM_S), KAFKA_UNKNOWN_MEMBER_ID);
    finish();
}
END_TEST

START_TEST(old_versions_join_without_asking_for_an_id_first)
{
    begin(_i);
    for (int i = 0; i < 3; i++) {
        m[i].join_v = (int16_t)i;
        m[i].sync_v = (int16_t)(i ? 1 : 0);
        m[i].beat_v = m[i].leave_v = 0;
    }
    gm_stabilize(m, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(gm_beat(&m[i]), KAFKA_NONE);
    ck_assert_int_eq(gm_leave(&m[1]), KAFKA_NONE);
    ck_assert_int_eq(gm_leave(&m[1]), KAFKA_UNKNOWN_MEMBER_ID);
    finish();
}
END_TEST

START_TEST(protocols_that_not_all_have_are_not_chosen_and_strangers_are_refused)
{
    begin(_i);
    m[1].protocols[0] = "roundrobin";
    m[1].protocols[1] = NULL;
    gm_stabilize(m, 2);
    ck_assert_str_eq(m[0].protocol, "roundrobin");
    m[2].protocols[0] = "sticky";
    m[2].protocols[1] = NULL;
    ck_assert_int_eq(gm_join_recv(&m[2], gm_join_send(&m[2]), SIM_S), KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    m[3].type = "connect";
    ck_assert_int_eq(gm_join_recv(&m[3], gm_join_send(&m[3]), SIM_S), KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    m[4].protocols[0] = NULL;
    m[4].group = "other";
    ck_assert_int_eq(gm_join_recv(&m[4], gm_join_send(&m[4]), SIM_S), KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    finish();
}
END_TEST

START_TEST(session_timeouts_and_group_ids_have_bounds)
{
    begin(_i);
    m[0].session_ms = 5999;
    ck_assert_int_eq(gm_join_recv(&m[0], gm_join_send(&m[0]), SIM_S), KAFKA_INVALID_SESSION_TIMEOUT);
    m[1].session_ms = 1800001;
    ck_assert_int_eq(gm_join_recv(&m[1], gm_join_send(&m[1]), SIM_S), KAFKA_INVALID_SESSION_TIMEOUT);
    m[2].group = "";
    ck_assert_int_eq(gm_join_recv(&m[2], gm_join_send(&m[2]), SIM_S), KAFKA_INVALID_GROUP_ID);
    finish();
}
END_TEST

/* ---- rebalancing ---- */

START_TEST(a_new_member_makes_the_others_rejoin)
{
    begin(_i);
    gm_stabilize(m, 2);
    int32_t sent[3];
    sent[2] = gm_join_begin(&m[2]);
    sim_run_for(rig.w, SIM_S);
    ck_assert_int_eq(gm_beat(&m[0]), KAFKA_REBALANCE_IN_PROGRESS);
    ck_assert_int_eq(gm_beat(&m[1]), KAFKA_REBALANCE_IN_PROGRESS);
    sent[0] = gm_join_send(&m[0]);
    ck_assert_int_eq(gm_join_recv(&m[0], sent[0], 2 * SIM_S), -2);
    sent[1] = gm_join_send(&m[1]);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(gm_join_recv(&m[i], sent[i], SIM_S), KAFKA_NONE);
        ck_assert_int_eq(m[i].generation, 2);
    }
    ck_assert_int_eq(leader_of(3), leader_of(2));
    finish();
}
END_TEST

START_TEST(a_member_that_does_not_rejoin_in_time_is_out)
{
    begin(_i);
    for (int i = 0; i < 3; i++)
        m[i].session_ms = 60000;
    gm_stabilize(m, 3);
    int gone = leader_of(3), a = (gone + 1) % 3, b = (gone + 2) % 3;
    int32_t sa, sb;
    m[a].metadata = "changed";
    sa = gm_join_send(&m[a]);
    sb = gm_join_send(&m[b]);
    int64_t before = now_ms();
    ck_assert_int_eq(gm_join_recv(&m[a], sa, 30 * SIM_S), KAFKA_NONE);
    ck_assert_int_ge(now_ms() - before, 19000);
    ck_assert_int_eq(gm_join_recv(&m[b], sb, SIM_S), KAFKA_NONE);
    ck_assert_str_ne(m[a].leader, m[gone].id);
    ck_assert(strcmp(m[a].leader, m[a].id) == 0 || strcmp(m[a].leader, m[b].id) == 0);
    ck_assert_int_eq(gm_beat(&m[gone]), KAFKA_UNKNOWN_MEMBER_ID);
    finish();
}
END_TEST

START_TEST(a_silent_member_is_removed_and_the_rest_rebalances)
{
    begin(_i);
    m[1].session_ms = 6000;
    gm_stabilize(m, 2);
    for (int i = 0; i < 8; i++) {
        sim_run_for(rig.w, SIM_S);
        if (gm_beat(&m[0]) != KAFKA_NONE)
            break;
    }
    ck_assert_int_eq(gm_beat(&m[0]), KAFKA_REBALANCE_IN_PROGRESS);
    ck_assert_int_eq(gm_beat(&m[1]), KAFKA_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(gm_join_recv(&m[0], gm_join_send(&m[0]), SIM_S), KAFKA_NONE);
    ck_assert_int_eq(m[0].generation, 2);
    ck_assert_int_eq(m[0].n_members, 1);
    finish();
}
END_TEST

START_TEST(a_member_that_never_syncs_is_removed)
{
    begin(_i);
    int32_t sent[2];
    for (int i = 0; i < 2; i++) {
        m[i].rebalance_ms = 7000;
        m[i].session_ms = 60000;
        sent[i] = gm_join_begin(&m[i]);
    }
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(gm_join_recv(&m[i], sent[i], 10 * SIM_S), KAFKA_NONE);
    int leader = leader_of(2), lazy = 1 - leader;
    static const char *const texts[] = {"x", "y"};
    ck_assert_int_eq(gm_sync(&m[leader], texts, 2), KAFKA_NONE);
    expect_state("Stable", 2);
    sim_run_for(rig.w, 8 * SIM_S);
    ck_assert_int_eq(gm_beat(&m[lazy]), KAFKA_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(gm_beat(&m[leader]), KAFKA_REBALANCE_IN_PROGRESS);
    finish();
}
END_TEST

START_TEST(followers_wait_for_the_leader_and_are_told_when_it_does_not_come)
{
    begin(_i);
    int32_t sent[2];
    for (int i = 0; i < 2; i++) {
        m[i].rebalance_ms = 7000;
        m[i].session_ms = 60000;
        sent[i] = gm_join_begin(&m[i]);
    }
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(gm_join_recv(&m[i], sent[i], 10 * SIM_S), KAFKA_NONE);
    int leader = leader_of(2), other = 1 - leader;
    int32_t sync = gm_sync_send(&m[other], NULL, 0);
    ck_assert_int_eq(gm_sync_recv(&m[other], sync, 3 * SIM_S), -2);
    ck_assert_int_eq(gm_sync_recv(&m[other], sync, 10 * SIM_S), KAFKA_REBALANCE_IN_PROGRESS);
    ck_assert_int_eq(gm_beat(&m[leader]), KAFKA_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(gm_join_recv(&m[other], gm_join_send(&m[other]), SIM_S), KAFKA_NONE);
    ck_assert_str_eq(m[other].leader, m[other].id);
    finish();
}
END_TEST

START_TEST(a_join_between_the_join_and_the_sync_starts_over)
{
    begin(_i);
    int32_t sent[2];
    for (int i = 0; i < 2; i++)
        sent[i] = gm_join_begin(&m[i]);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(gm_join_recv(&m[i], sent[i], 10 * SIM_S), KAFKA_NONE);
    int leader = leader_of(2), other = 1 - leader;
    int32_t sync = gm_sync_send(&m[other], NULL, 0);
    sim_run_for(rig.w, SIM_S);
    gm_join_begin(&m[2]);
    ck_assert_int_eq(gm_sync_recv(&m[other], sync, SIM_S), KAFKA_REBALANCE_IN_PROGRESS);
    static const char *const texts[] = {"x", "y"};
    ck_assert_int_eq(gm_sync(&m[leader], texts, 2), KAFKA_REBALANCE_IN_PROGRESS);
    finish();
}
END_TEST

START_TEST(an_unchanged_follower_gets_the_present_generation_and_the_leader_a_new_one)
{
    begin(_i);
    gm_stabilize(m, 2);
    int leader = leader_of(2), other = 1 - leader;
    ck_assert_int_eq(gm_join_recv(&m[other], gm_join_send(&m[other]), SIM_S), KAFKA_NONE);
    ck_assert_int_eq(m[other].generation, 1);
    ck_assert_int_eq(m[other].n_members, 0);
    ck_assert_int_eq(gm_sync(&m[other], NULL, 0), KAFKA_NONE);
    ck_assert_int_eq(m[other].assignment[0], 'a');
    int32_t sent = gm_join_send(&m[leader]);
    sim_run_for(rig.w, SIM_S);
    ck_assert_int_eq(gm_beat(&m[other]), KAFKA_REBALANCE_IN_PROGRESS);
    int32_t sent2 = gm_join_send(&m[other]);
    ck_assert_int_eq(gm_join_recv(&m[leader], sent, SIM_S), KAFKA_NONE);
    ck_assert_int_eq(gm_join_recv(&m[other], sent2, SIM_S), KAFKA_NONE);
    ck_assert_int_eq(m[leader].generation, 2);
    ck_assert_int_eq(m[leader].n_members, 2);
    finish();
}
END_TEST

START_TEST(stale_generations_and_unknown_members_are_told_apart)
{
    begin(_i);
    gm_stabilize(m, 1);
    m[0].generation++;
    ck_assert_int_eq(gm_beat(&m[0]), KAFKA_ILLEGAL_GENERATION);
    ck_assert_int_eq(gm_sync(&m[0], NULL, 0), KAFKA_ILLEGAL_GENERATION);
    m[0].generation--;
    snprintf(m[1].id, sizeof m[1].id, "nobody");
    m[1].generation = 1;
    ck_assert_int_eq(gm_beat(&m[1]), KAFKA_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(gm_sync(&m[1], NULL, 0), KAFKA_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(gm_join_recv(&m[1], gm_join_send(&m[1]), SIM_S), KAFKA_UNKNOWN_MEMBER_ID);
    snprintf(m[0].protocol, sizeof m[0].protocol, "sticky");
    ck_assert_int_eq(gm_sync(&m[0], NULL, 0), KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    finish();
}
END_TEST

START_TEST(when_the_last_one_leaves_the_group_is_empty_and_keeps_its_generation)
{
    begin(_i);
    gm_stabilize(m, 1);
    ck_assert_int_eq(gm_leave(&m[0]), KAFKA_NONE);
    sim_run_for(rig.w, SIM_S);
    expect_state("Empty", 0);
    m[0].id[0] = 0;
    gm_stabilize(m, 1);
    ck_assert_int_eq(m[0].generation, 3);
    finish();
}
END_TEST

START_TEST(a_client_that_goes_away_while_it_waits_stays_a_member_until_its_time_is_over)
{
    begin(_i);
    gm_stabilize(m, 2);
    int32_t sent = gm_join_begin(&m[2]);
    ck_assert_int_eq(gm_join_recv(&m[2], sent, SIM_S), -2);
    struct gm gone = m[2];
    cli_close(&m[2].cli);
    cli_open(&m[2].cli, &rig);
    sim_run_for(rig.w, SIM_S);
    expect_state("PreparingRebalance", 3);
    int32_t s0 = gm_join_send(&m[0]), s1 = gm_join_send(&m[1]);
    ck_assert_int_eq(gm_join_recv(&m[0], s0, SIM_S), KAFKA_NONE);
    ck_assert_int_eq(gm_join_recv(&m[1], s1, SIM_S), KAFKA_NONE);
    ck_assert_int_eq(m[leader_of(2)].n_members, 3);
    /* It comes back with the id that it knows, and gets what it missed. */
    snprintf(m[2].id, sizeof m[2].id, "%s", gone.id);
    ck_assert_int_eq(gm_join_recv(&m[2], gm_join_send(&m[2]), SIM_S), KAFKA_NONE);
    ck_assert_int_eq(m[2].generation, 2);
    finish();
}
END_TEST

START_TEST(a_join_that_is_sent_again_ends_the_one_before)
{
    begin(_i);
    int32_t first = gm_join_begin(&m[0]), second = gm_join_send(&m[0]);
    ck_assert_int_eq(gm_join_recv(&m[0], first, SIM_S), KAFKA_REBALANCE_IN_PROGRESS);
    ck_assert_int_eq(gm_join_recv(&m[0], second, 5 * SIM_S), KAFKA_NONE);
    ck_assert_int_eq(m[0].n_members, 1);
    finish();
}
END_TEST

START_TEST(a_group_takes_no_more_members_than_it_may_have)
{
    rig_world(&rig, (uint64_t)_i + 1, meta_mem_plugin, store_mem_plugin);
    rig_set(&rig, "group.max.size", "2");
    begin_in_world();
    gm_stabilize(m, 2);
    ck_assert_int_eq(gm_join_recv(&m[2], gm_join_send(&m[2]), SIM_S), KAFKA_GROUP_MAX_SIZE_REACHED);
    ck_assert_int_eq(gm_beat(&m[0]), KAFKA_NONE);
    ck_assert_int_eq(gm_leave(&m[0]), KAFKA_NONE);
    int32_t sent = gm_join_begin(&m[2]);
    ck_assert_int_eq(gm_join_recv(&m[1], gm_join_send(&m[1]), SIM_S), KAFKA_NONE);
    ck_assert_int_eq(gm_join_recv(&m[2], sent, SIM_S), KAFKA_NONE);
    finish();
}
END_TEST

START_TEST(a_clock_that_jumps_neither_loses_members_nor_keeps_silent_ones)
{
    begin(_i);
    gm_stabilize(m, 2);
    for (int i = 0; i < 6; i++) {
        sim_clock_jump(rig.server, (i % 2 ? 86400000 : -86400000) * (int64_t)(i + 1));
        sim_run_for(rig.w, SIM_S);
        ck_assert_int_eq(gm_beat(&m[0]), KAFKA_NONE);
    }
    sim_run_for(rig.w, 6 * SIM_S);
    ck_assert_int_eq(gm_beat(&m[0]), KAFKA_REBALANCE_IN_PROGRESS);
    ck_assert_int_eq(gm_beat(&m[1]), KAFKA_UNKNOWN_MEMBER_ID);
    finish();
}
END_TEST

START_TEST(members_leave_in_a_batch_and_each_has_its_own_code)
{
    begin(_i);
    gm_stabilize(m, 3);
    struct wire_leave_group_request_member_identity v[3];
    struct wire_leave_group_request q = wire_leave_group_request_default;
    struct wire_leave_group_response a;
    for (int i = 0; i < 3; i++) {
        v[i] = wire_leave_group_request_member_identity_default;
        v[i].member_id = i == 1 ? wire_str("nobody") : wire_str(m[i].id);
        v[i].reason = wire_str("tired");
    }
    q.group_id = wire_str("g");
    q.members.v = v;
    q.members.n = 3;
    cli_call(&admin, WIRE_API_LEAVE_GROUP, 5, &q, &a);
    ck_assert_int_eq(a.error_code, KAFKA_NONE);
    ck_assert_int_eq(a.members.n, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(a.members.v[i].error_code, i == 1 ? KAFKA_UNKNOWN_MEMBER_ID : KAFKA_NONE);
    ck_assert_int_eq(gm_beat(&m[1]), KAFKA_REBALANCE_IN_PROGRESS);
    expect_state("PreparingRebalance", 1);
    finish();
}
END_TEST

START_TEST(an_absent_static_member_stays_and_another_one_leads)
{
    begin(_i);
    m[0].instance = "i0";
    m[0].session_ms = 60000;
    m[0].rebalance_ms = m[1].rebalance_ms = 7000;
    int32_t s0 = gm_join_send(&m[0]), s1 = gm_join_begin(&m[1]);
    ck_assert_int_eq(gm_join_recv(&m[0], s0, 10 * SIM_S), KAFKA_NONE);
    ck_assert_int_eq(gm_join_recv(&m[1], s1, 10 * SIM_S), KAFKA_NONE);
    ck_assert_int_eq(leader_of(2), 0);
    static const char *const texts[] = {"x", "y"};
    ck_assert_int_eq(gm_sync(&m[0], texts, 2), KAFKA_NONE);
    ck_assert_int_eq(gm_sync(&m[1], NULL, 0), KAFKA_NONE);
    m[1].metadata = "changed";
    s1 = gm_join_send(&m[1]);
    ck_assert_int_eq(gm_join_recv(&m[1], s1, 6 * SIM_S), -2);
    ck_assert_int_eq(gm_join_recv(&m[1], s1, 3 * SIM_S), KAFKA_NONE);
    ck_assert_str_eq(m[1].leader, m[1].id);
    ck_assert_int_eq(m[1].n_members, 2);
    finish();
}
END_TEST

/* ---- static members ---- */

static void make_static(int n)
{
    static const char *const names[] = {"i0", "i1", "i2"};
    for (int i = 0; i < n; i++)
        m[i].instance = names[i];
}

START_TEST(a_static_member_comes_back_under_a_new_id_without_a_rebalance)
{
    begin(_i);
    make_static(2);
    gm_stabilize(m, 2);
    int other = 1 - leader_of(2);
    struct gm former = m[other];
    m[other].id[0] = 0;
    ck_assert_int_eq(gm_join_recv(&m[other], gm_join_send(&m[other]), SIM_S), KAFKA_NONE);
    ck_assert_str_ne(m[other].id, former.id);
    ck_assert_int_eq(m[other].generation, 1);
    ck_assert_int_eq(gm_sync(&m[other], NULL, 0), KAFKA_NONE);
    ck_assert_str_eq(m[other].assignment, former.assignment);
    ck_assert_int_eq(gm_beat(&m[1 - other]), KAFKA_NONE);
    /* The former self is fenced. */
    char id[sizeof m[0].id];
    memcpy(id, m[other].id, sizeof id);
    memcpy(m[other].id, former.id, sizeof id);
    ck_assert_int_eq(gm_beat(&m[other]), KAFKA_FENCED_INSTANCE_ID);
    ck_assert_int_eq(gm_sync(&m[other], NULL, 0), KAFKA_FENCED_INSTANCE_ID);
    ck_assert_int_eq(gm_leave(&m[other]), KAFKA_FENCED_INSTANCE_ID);
    ck_assert_int_eq(gm_join_recv(&m[other], gm_join_send(&m[other]), SIM_S), KAFKA_FENCED_INSTANCE_ID);
    memcpy(m[other].id, id, sizeof id);
    ck_assert_int_eq(gm_beat(&m[other]), KAFKA_NONE);
    finish();
}
END_TEST

START_TEST(a_static_leader_that_comes_back_skips_the_assignment_or_is_not_told_that_it_leads)
{
    begin(_i);
    make_static(2);
    gm_stabilize(m, 2);
    int leader = leader_of(2);
    m[leader].id[0] = 0;
    ck_assert_int_eq(gm_join_recv(&m[leader], gm_join_send(&m[leader]), SIM_S), KAFKA_NONE);
    ck_assert(m[leader].skip);
    ck_assert_str_eq(m[leader].leader, m[leader].id);
    ck_assert_int_eq(m[leader].n_members, 2);
    struct gm former = m[leader];
    m[leader].id[0] = 0;
    m[leader].join_v = 8;
    ck_assert_int_eq(gm_join_recv(&m[leader], gm_join_send(&m[leader]), SIM_S), KAFKA_NONE);
    ck_assert_str_eq(m[leader].leader, former.id);
    ck_assert_int_eq(m[leader].n_members, 0);
    ck_assert_int_eq(m[leader].generation, 1);
    finish();
}
END_TEST

START_TEST(a_static_member_with_other_protocols_makes_a_rebalance)
{
    begin(_i);
    make_static(2);
    gm_stabilize(m, 2);
    m[1].id[0] = 0;
    m[1].protocols[0] = "roundrobin";
    m[1].protocols[1] = NULL;
    int32_t s1 = gm_join_send(&m[1]);
    sim_run_for(rig.w, SIM_S);
    ck_assert_int_eq(gm_beat(&m[0]), KAFKA_REBALANCE_IN_PROGRESS);
    int32_t s0 = gm_join_send(&m[0]);
    ck_assert_int_eq(gm_join_recv(&m[0], s0, SIM_S), KAFKA_NONE);
    ck_assert_int_eq(gm_join_recv(&m[1], s1, SIM_S), KAFKA_NONE);
    ck_assert_str_eq(m[0].protocol, "roundrobin");
    ck_assert_int_eq(m[0].generation, 2);
    finish();
}
END_TEST

START_TEST(an_operator_removes_a_static_member_by_its_instance)
{
    begin(_i);
    make_static(2);
    gm_stabilize(m, 2);
    m[5].instance = m[1].instance;
    ck_assert_int_eq(gm_leave(&m[5]), KAFKA_NONE);
    ck_assert_int_eq(gm_leave(&m[5]), KAFKA_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(gm_beat(&m[0]), KAFKA_REBALANCE_IN_PROGRESS);
    finish();
}
END_TEST

/* ---- listing, describing, deleting ---- */

static int16_t delete_group(const char *group)
{
    struct wire_str id = wire_str(group);
    struct wire_delete_groups_request q = wire_delete_groups_request_default;
    struct wire_delete_groups_response a;
    q.groups_names.v = &id;
    q.groups_names.n = 1;
    cli_call(&admin, WIRE_API_DELETE_GROUPS, 2, &q, &a);
    ck_assert_int_eq(a.results.n, 1);
    return a.results.v[0].error_code;
}

static int32_t list(const char *state, const char *type)
{
    struct wire_str s = wire_str(state), t = wire_str(type);
    struct wire_list_groups_request q = wire_list_groups_request_default;
    struct wire_list_groups_response a;
    q.states_filter.v = &s;
    q.states_filter.n = state != NULL;
    q.types_filter.v = &t;
    q.types_filter.n = type != NULL;
    cli_call(&admin, WIRE_API_LIST_GROUPS, 5, &q, &a);
    ck_assert_int_eq(a.error_code, KAFKA_NONE);
    for (int32_t i = 0; i < a.groups.n; i++)
        ck_assert(wire_str_is(a.groups.v[i].group_type, "classic"));
    return a.groups.n;
}

START_TEST(groups_are_listed_by_state_and_type_and_deleted_when_empty)
{
    begin(_i);
    gm_stabilize(m, 1);
    for (int i = 1; i < 3; i++) {
        m[i].group = i == 1 ? "h" : "i";
        gm_stabilize(&m[i], 1);
    }
    ck_assert_int_eq(gm_leave(&m[1]), KAFKA_NONE);
    sim_run_for(rig.w, SIM_S);
    ck_assert_int_eq(list(NULL, NULL), 3);
    ck_assert_int_eq(list("stable", NULL), 2);
    ck_assert_int_eq(list("Empty", "CLASSIC"), 1);
    ck_assert_int_eq(list(NULL, "consumer"), 0);
    ck_assert_int_eq(list("PreparingRebalance", NULL), 0);
    m[3].group = "h";
    gm_join_begin(&m[3]);
    sim_run_for(rig.w, SIM_S);
    ck_assert_int_eq(list("Empty", NULL), 0);
    ck_assert_int_eq(list("preparingrebalance", NULL), 1);
    ck_assert_int_eq(delete_group("g"), KAFKA_NON_EMPTY_GROUP);
    ck_assert_int_eq(delete_group("nothing"), KAFKA_GROUP_ID_NOT_FOUND);
    ck_assert_int_eq(gm_leave(&m[0]), KAFKA_NONE);
    sim_run_for(rig.w, SIM_S);
    ck_assert_int_eq(delete_group("g"), KAFKA_NONE);
    ck_assert_int_eq(delete_group("g"), KAFKA_GROUP_ID_NOT_FOUND);
    expect_state("Dead", 0);
    m[0].id[0] = 0;
    gm_stabilize(m, 1);
    ck_assert_int_eq(m[0].generation, 1);
    finish();
}
END_TEST

START_TEST(a_group_that_nobody_has_joined_yet_is_deleted_and_each_group_is_told_once)
{
    begin(0);
    m[0].join_v = 9;
    int32_t sent = gm_join_send(&m[0]); /* is given an id, and does not come back with it */
    ck_assert_int_eq(gm_join_recv(&m[0], sent, SIM_S), KAFKA_MEMBER_ID_REQUIRED);
    struct wire_str ids[] = {wire_str("nothing"), wire_str("g"), wire_str("g"), wire_str("nothing")};
    struct wire_delete_groups_request q = wire_delete_groups_request_default;
    struct wire_delete_groups_response a;
    q.groups_names.v = ids;
    q.groups_names.n = 4;
    cli_call(&admin, WIRE_API_DELETE_GROUPS, 2, &q, &a);
    ck_assert_int_eq(a.results.n, 2);
    ck_assert(wire_str_is(a.results.v[1].group_id, "g"));
    ck_assert_int_eq(a.results.v[0].error_code, KAFKA_GROUP_ID_NOT_FOUND);
    ck_assert_int_eq(a.results.v[1].error_code, KAFKA_NONE);
    sent = gm_join_send(&m[0]);
    ck_assert_int_eq(gm_join_recv(&m[0], sent, SIM_S), KAFKA_UNKNOWN_MEMBER_ID);
    finish();
}
END_TEST

START_TEST(a_group_is_described_with_its_members)
{
    begin(_i);
    gm_stabilize(m, 2);
    struct wire_str ids[] = {wire_str("g"), wire_str("nothing")};
    struct wire_describe_groups_request q = wire_describe_groups_request_default;
    struct wire_describe_groups_response a;
    q.groups.v = ids;
    q.groups.n = 2;
    q.include_authorized_operations = true;
    cli_call(&admin, WIRE_API_DESCRIBE_GROUPS, 6, &q, &a);
    ck_assert_int_eq(a.groups.n, 2);
    const struct wire_describe_groups_response_described_group *g = &a.groups.v[0];
    ck_assert(wire_str_is(g->protocol_type, "consumer"));
    ck_assert(wire_str_is(g->protocol_data, "range"));
    ck_assert(wire_str_is(g->group_state, "Stable"));
    ck_assert_int_eq(g->members.n, 2);
    for (int i = 0; i < 2; i++) {
        ck_assert(wire_str_is(g->members.v[i].client_id, "test"));
        ck_assert_int_eq(g->members.v[i].client_host.p[0], '/');
        ck_assert_int_eq(g->members.v[i].member_metadata.n, 13);
        ck_assert_int_eq(g->members.v[i].member_assignment.n, 2);
    }
    ck_assert_int_eq(a.groups.v[1].error_code, KAFKA_GROUP_ID_NOT_FOUND);
    ck_assert(wire_str_is(a.groups.v[1].group_state, "Dead"));
    ck_assert(wire_str_is(a.groups.v[1].error_message, "Group nothing not found."));
    finish();
}
END_TEST

/* ---- restarts ---- */

START_TEST(a_stop_answers_who_waits)
{
    begin(_i);
    int32_t sent = gm_join_begin(&m[0]);
    sim_run_for(rig.w, 100 * SIM_MS);
    ck_assert(rig_stop(&rig, SIM_S));
    int16_t code = gm_join_recv(&m[0], sent, SIM_S);
    ck_assert(code == KAFKA_NOT_COORDINATOR || code == -2);
    for (size_t i = 0; i < ARRAY_LEN(m); i++)
        gm_close(&m[i]);
    cli_close(&admin);
    rig_free(&rig);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("groups");
    TCase *t = tcase_create("groups");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, members_that_join_together_get_one_generation_and_their_assignments, 0, SEEDS);
    tcase_add_loop_test(t, K2_no_join_is_answered_before_the_initial_delay_is_over, 0, SEEDS);
    tcase_add_loop_test(t, the_initial_delay_grows_while_members_come_up_to_the_rebalance_timeout, 0, SEEDS);
    tcase_add_loop_test(t, a_member_id_that_is_not_used_in_time_is_forgotten, 0, SEEDS);
    tcase_add_loop_test(t, old_versions_join_without_asking_for_an_id_first, 0, SEEDS);
    tcase_add_loop_test(t, protocols_that_not_all_have_are_not_chosen_and_strangers_are_refused, 0, SEEDS);
    tcase_add_loop_test(t, session_timeouts_and_group_ids_have_bounds, 0, SEEDS);
    tcase_add_loop_test(t, a_new_member_makes_the_others_rejoin, 0, SEEDS);
    tcase_add_loop_test(t, a_member_that_does_not_rejoin_in_time_is_out, 0, SEEDS);
    tcase_add_loop_test(t, a_silent_member_is_removed_and_the_rest_rebalances, 0, SEEDS);
    tcase_add_loop_test(t, a_member_that_never_syncs_is_removed, 0, SEEDS);
    tcase_add_loop_test(t, followers_wait_for_the_leader_and_are_told_when_it_does_not_come, 0, SEEDS);
    tcase_add_loop_test(t, a_join_between_the_join_and_the_sync_starts_over, 0, SEEDS);
    tcase_add_loop_test(t, an_unchanged_follower_gets_the_present_generation_and_the_leader_a_new_one, 0, SEEDS);
    tcase_add_loop_test(t, stale_generations_and_unknown_members_are_told_apart, 0, SEEDS);
    tcase_add_loop_test(t, when_the_last_one_leaves_the_group_is_empty_and_keeps_its_generation, 0, SEEDS);
    tcase_add_loop_test(t, a_client_that_goes_away_while_it_waits_stays_a_member_until_its_time_is_over, 0, SEEDS);
    tcase_add_loop_test(t, a_join_that_is_sent_again_ends_the_one_before, 0, SEEDS);
    tcase_add_loop_test(t, a_group_takes_no_more_members_than_it_may_have, 0, SEEDS);
    tcase_add_loop_test(t, a_clock_that_jumps_neither_loses_members_nor_keeps_silent_ones, 0, SEEDS);
    tcase_add_loop_test(t, members_leave_in_a_batch_and_each_has_its_own_code, 0, SEEDS);
    tcase_add_loop_test(t, an_absent_static_member_stays_and_another_one_leads, 0, SEEDS);
    tcase_add_loop_test(t, a_static_member_comes_back_under_a_new_id_without_a_rebalance, 0, SEEDS);
    tcase_add_loop_test(t, a_static_leader_that_comes_back_skips_the_assignment_or_is_not_told_that_it_leads, 0, SEEDS);
    tcase_add_loop_test(t, a_static_member_with_other_protocols_makes_a_rebalance, 0, SEEDS);
    tcase_add_loop_test(t, an_operator_removes_a_static_member_by_its_instance, 0, SEEDS);
    tcase_add_loop_test(t, groups_are_listed_by_state_and_type_and_deleted_when_empty, 0, SEEDS);
    tcase_add_test(t, a_group_that_nobody_has_joined_yet_is_deleted_and_each_group_is_told_once);
    tcase_add_loop_test(t, a_group_is_described_with_its_members, 0, SEEDS);
    tcase_add_loop_test(t, a_stop_answers_who_waits, 0, SEEDS);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
