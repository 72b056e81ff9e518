/* Unit tests of several replicas of the Raft core in the simulated world, step by step, and a few hundred seeds of the
 * simulation. The judge of the simulation checks every step of them. Names carry the id of the failure that they would
 * have caught. */
#include "tests/sim/raft/sim.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct world *w;

static void setup(void)
{
    w = malloc(sizeof *w);
    ck_assert_ptr_nonnull(w);
    world_init(w, 1);
    w->healed = true;
}

static void teardown(void)
{
    world_free(w);
    free(w);
}

#define GUARDED                                                                                                        \
    if (setjmp(w->broken) != 0) {                                                                                      \
        ck_abort_msg("%s", w->why);                                                                                    \
    }

static void form(uint32_t voters)
{
    struct rc_config cfg = world_config();
    struct rc_conf conf = {0};

    for (uint32_t i = 0; i < voters; i++) {
        conf.voters.v[conf.voters.n++] = i + 1;
    }
    for (uint32_t i = 0; i < voters; i++) {
        world_add(w, &cfg, &conf);
    }
}

static struct node *at(uint64_t id)
{
    return world_node(w, id);
}

static struct rc_status status(uint64_t id)
{
    struct rc_status st;

    rc_status(at(id)->rc, &st);
    return st;
}

static void ticks(int n)
{
    for (int i = 0; i < n; i++) {
        world_settle(w);
        for (uint64_t id = 1; id <= WORLD_NODES; id++) {
            if (at(id) != NULL && at(id)->alive) {
                world_tick(w, at(id));
            }
        }
    }
    world_settle(w);
}

static void lead(uint64_t id)
{
    rc_campaign(at(id)->rc);
    world_settle(w);
    ck_assert_int_eq(status(id).role, RC_LEADER);
}

static void isolate(uint64_t id, bool yes)
{
    for (int i = 0; i < WORLD_NODES; i++) {
        w->cut[id - 1][i] = w->cut[i][id - 1] = yes;
    }
}

START_TEST(s1_replicas_elect_a_leader_in_whatever_order_they_start)
{
    GUARDED
    form(3);
    world_crash(w, at(1));
    world_crash(w, at(2));
    ticks(50); /* alone: it asks and waits */
    ck_assert_ptr_null(world_leader(w));
    world_start(w, at(2));
    ticks(40);
    ck_assert_ptr_nonnull(world_leader(w));
    world_start(w, at(1));
    ticks(5);
    ck_assert_uint_eq(status(1).lead, world_leader(w)->id);
}
END_TEST

START_TEST(s8_a_rejoining_replica_does_not_depose_a_healthy_leader)
{
    GUARDED
    form(3);
    lead(1);
    isolate(3, true);
    ticks(200);
    ck_assert_uint_eq(status(3).term, status(1).term); /* pre-vote: its term did not run away */
    isolate(3, false);
    ticks(20);
    ck_assert_uint_eq(world_leader(w)->id, 1);
    ck_assert_uint_eq(status(3).lead, 1);
}
END_TEST

START_TEST(s8_an_isolated_leader_does_not_linger)
{
    GUARDED
    form(3);
    lead(1);
    isolate(1, true);
    ticks(60);
    ck_assert_int_ne(status(1).role, RC_LEADER);
    ck_assert_uint_ne(world_leader(w)->id, 1);
}
END_TEST

START_TEST(r1_a_crash_between_election_and_sync_never_fills_a_term_twice)
{
    GUARDED
    form(3);
    for (int round = 0; round < 60; round++) {
        rc_campaign(at(1)->rc);
        world_ready(w, at(1)); /* requests are out, the term is not on disk yet */
        for (uint64_t id = 2; id <= 3; id++) {
            while (w->n_flight > 0) {
                world_deliver(w, 0);
            }
            world_ready(w, at(id));
            world_disk(w, at(id));
        }
        while (w->n_flight > 0) {
            world_deliver(w, 0);
        }
        ck_assert_int_ne(status(1).role, RC_LEADER);
        world_crash(w, at(1));
        world_start(w, at(1));
        world_settle(w);
    }
}
END_TEST

START_TEST(r2_entries_of_figure_8_are_never_lost)
{
    GUARDED
    form(5);
    for (uint64_t round = 0; round < 40; round++) {
        uint64_t id = 1 + round % 5;

        world_settle(w);
        rc_campaign(at(id)->rc);
        world_settle(w);
        if (status(id).role == RC_LEADER) {
            isolate(id, true);
            world_propose(w, at(id), 10); /* only itself has this */
            world_settle(w);
        }
        isolate(1 + (round + 3) % 5, false);
        ticks(12);
    }
    for (uint64_t id = 1; id <= 5; id++) {
        isolate(id, false);
    }
    ticks(60);
    ck_assert_uint_eq(status(1).applied, status(5).applied);
}
END_TEST

START_TEST(a_removed_replica_with_the_longest_log_comes_to_the_rescue)
{
    struct rc_conf_change remove = {.n = 1, .v = {{.op = RC_REMOVE, .id = 1}}};

    GUARDED
    form(2);
    lead(1);
    world_propose(w, at(1), 8);
    world_settle(w);
    ck_assert_int_eq(world_change(w, at(1), &remove), RC_OK);
    world_ready(w, at(1));
    world_disk(w, at(1));
    while (w->n_flight > 0) { /* 2 gets the change and says so */
        world_deliver(w, 0);
    }
    world_ready(w, at(2));
    world_disk(w, at(2));
    world_propose(w, at(1), 8); /* behind its own removal: nobody else has it */
    while (w->n_flight > 0) {
        world_deliver(w, 0);
    }
    isolate(1, true); /* 2 will not learn that the change is committed */
    ticks(60);
    ck_assert_uint_eq(status(1).conf.voters.n, 1);
    ck_assert_uint_eq(status(2).conf.voters.n, 2);
    isolate(1, false);
    ticks(100);
    ck_assert_uint_eq(status(2).conf.voters.n, 1);
    ck_assert_uint_eq(world_leader(w)->id, 2);
}
END_TEST

START_TEST(from_one_to_three_and_back_without_loss)
{
    struct rc_config cfg = world_config();
    struct rc_conf_change grow = {.n = 2, .v = {{.op = RC_ADD_VOTER, .id = 2}, {.op = RC_ADD_VOTER, .id = 3}}};
    struct rc_conf_change shrink = {.n = 2, .v = {{.op = RC_REMOVE, .id = 1}, {.op = RC_REMOVE, .id = 2}}};

    GUARDED
    form(1);
    lead(1);
    world_propose(w, at(1), 30);
    world_settle(w);
    world_snapshot(w, at(1), 0);
    world_add(w, &cfg, NULL);
    world_add(w, &cfg, NULL);
    ck_assert_int_eq(world_change(w, at(1), &grow), RC_OK);
    ticks(10);
    ck_assert_uint_eq(status(3).applied, status(1).applied);
    ck_assert_uint_eq(status(1).conf.voters.n, 3);
    ck_assert_uint_eq(status(1).conf.outgoing.n, 0); /* left by itself */
    ck_assert_int_eq(world_change(w, at(1), &shrink), RC_OK);
    ticks(100);
    ck_assert_uint_eq(world_leader(w)->id, 3);
    ck_assert_int_eq(world_propose(w, at(3), 8), RC_OK);
    world_settle(w);
    ck_assert_uint_eq(status(3).applied, status(3).last);
}
END_TEST

START_TEST(seeds_of_the_simulation_hold)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        world_free(w);
        if (!sim_run(w, seed, 4000, NULL)) {
            ck_abort_msg("%s; repeat: ./dev sim core --seeds %llu --steps 4000", w->why, (unsigned long long)seed);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raft cluster");
    TCase *c = tcase_create("replicas together");
    SRunner *runner;
    int failed;

    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, s1_replicas_elect_a_leader_in_whatever_order_they_start);
    tcase_add_test(c, s8_a_rejoining_replica_does_not_depose_a_healthy_leader);
    tcase_add_test(c, s8_an_isolated_leader_does_not_linger);
    tcase_add_test(c, r1_a_crash_between_election_and_sync_never_fills_a_term_twice);
    tcase_add_test(c, r2_entries_of_figure_8_are_never_lost);
    tcase_add_test(c, a_removed_replica_with_the_longest_log_comes_to_the_rescue);
    tcase_add_test(c, from_one_to_three_and_back_without_loss);
    tcase_add_test(c, seeds_of_the_simulation_hold);
    suite_add_tcase(suite, c);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
