/* test_sim_coord.c: the group coordinator over the metadata, meta-local and a virtual disk, under members that crash,
 * pause, race and speak old versions, and a broker that is killed and restarted. What holds is in judge.c: one leader,
 * one assignment and one owner a generation; what was synced is in the metadata; a member that behaves is not lost, not
 * even by a restart; nobody waits without end; who is gone does not commit; in the end everything is owned. Then the
 * same with named mutants, which must not survive. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <chronik/plugin.h>

#include "tests/sim/coord/coord_world.h"

const struct chronik_plugin *meta_local_plugin(void);
const char *chronik_mutant = "";

enum { LIVES = 3 };

struct sim_world *w;
struct os *os;
struct rig rig;
struct coord *coord;
struct client clients[CLIENTS];
bool quiet;
int lives;
static struct meta_kv_table *kv;

int64_t now_ms(void)
{
    return sim_now(w) / SIM_MS;
}

const char *group_name(int g)
{
    static const char *const names[GROUPS] = {"red", "green", "blue"};
    return names[g];
}

static void doze(int64_t ns)
{
    struct os_flag never = {0};
    os_flag_wait(os, &never, ns);
}

static void open_broker(void)
{
    struct coord_options o = {.os = os,
                              .node_id = 1,
                              .slots = 5,
                              .initial_rebalance_delay_ms = sim_rand(w, 2) ? 3000 : 0,
                              .min_session_timeout_ms = 1000,
                              .max_session_timeout_ms = 60000,
                              .max_group_size = 1000};
    struct err e;
    coord = coord_new(&o);
    ck_assert_msg(rig_begin(&rig), "%s", rig.failed_text);
    ck_assert(coord_set_meta(coord, rig.m));
    ck_assert_int_eq(meta_start(rig.m, &e), CHRONIK_DONE);
    for (int k = 0; k < 100 && !rig.registered.set; k++)
        os_flag_wait(os, &rig.registered, 500 * SIM_MS);
    ck_assert_msg(rig.registered.set, "the broker did not register");
    coord_start(coord);
    if (!meta_topic_by_name(meta_enter(rig.reader), "t", 1)) {
        meta_leave(rig.reader);
        ck_assert_int_eq(rig_create(&rig, "t", 1, PARTITIONS).code, 0);
    } else {
        meta_leave(rig.reader);
    }
}

static void close_broker(void)
{
    coord_stop(coord);
    rig_close(&rig);
    coord_free(coord);
    rig_free(&rig);
}

static void live(void *arg)
{
    int64_t until;
    lives++;
    open_broker();
    clients_reconnect();
    until = now_ms() + (quiet ? 70000 : 20000 + (int64_t)sim_rand(w, 60000));
    while (now_ms() < until) {
        clients_step();
        doze(SIM_MS + (int64_t)sim_rand(w, 40 * SIM_MS));
    }
    if (quiet)
        judge_end();
    if (*(bool *)arg)
        close_broker();
}

static void one(uint64_t seed)
{
    w = sim_world_new(seed);
    os = sim_node(w, "n1");
    kv = meta_kv_mem_new();
    lives = 0;
    quiet = false;
    judge_reset();
    clients_make();
    for (int life = 0; life < LIVES; life++) {
        bool stop = sim_rand(w, 3) == 0;
        quiet = life == LIVES - 1;
        rig_init(&rig, os, meta_local_plugin()->ops);
        rig.opt.checkpoint = "/state";
        rig.opt.kv = kv;
        if (!stop && !quiet)
            sim_kill_at(os, sim_io_count(os) + 20 + sim_rand(w, 1500));
        sim_call(os, live, &stop);
        sim_kill_at(os, 0);
        if (sim_up(os))
            sim_kill(os);
        sim_restart(os);
        sim_run_for(w, (int64_t)sim_rand(w, 1500) * SIM_MS);
    }
    kv->close(kv);
    sim_world_free(w);
}

START_TEST(K2_K6_groups_keep_their_promises_under_bad_members_and_a_broker_that_dies)
{
    ck_assert_uint_eq(sim_seeds("coord", 1, getenv("CHRONIK_TEST_LONG") ? 2000 : 200, one), 0);
}
END_TEST

static const char *const mutants[] = {
    "coord_joined_early",     "coord_sync_before_applied", "coord_all_assign",    "coord_everybody_leads",
    "coord_generation_stays", "coord_sessions_forever",    "coord_beats_ignored", "coord_restart_forgets",
    "coord_loaded_not_timed", "coord_sync_not_due",        "coord_gone_commits",
};

/* What the children say about seeds that fail, as they must, is not for the reader. */
START_TEST(a_mutant_is_noticed)
{
    int out = dup(1), err = dup(2);
    fflush(NULL);
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stdout));
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
    chronik_mutant = mutants[_i];
    unsigned failed = sim_seeds(chronik_mutant, 1, 64, one);
    fflush(NULL);
    dup2(out, 1);
    dup2(err, 2);
    dprintf(1, "mutant %s: noticed by %u of 64 seeds\n", mutants[_i], failed);
    ck_assert_msg(failed > 0, "mutant %s survived", mutants[_i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("coord in the simulator");
    TCase *t = tcase_create("groups");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, K2_K6_groups_keep_their_promises_under_bad_members_and_a_broker_that_dies);
    tcase_add_loop_test(t, a_mutant_is_noticed, 0, (int)ARRAY_LEN(mutants));
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
