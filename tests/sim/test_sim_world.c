/* test_sim_world.c: the simulator's clock, scheduler and trace: one seed, one run. */
#include "test_sim.h"

#include "os/lock.h"

#include <signal.h>

static struct sim_world *w;
static struct os *os;

static void world(uint64_t seed)
{
    w = sim_world_new(seed);
    os = sim_node(w, "n1");
}

/* ---- a small program: three executors count, pass tasks to each other, arm timers, write ---- */

enum { PLAYERS = 3 };

static struct player {
    struct chronik_task move, timer;
    struct os_exec *exec;
    int moves;
} players[PLAYERS];
static struct os_file *book;
static int order[64], n_order;

static void move(void *arg)
{
    struct player *p = arg;
    ck_assert(os_exec_here(p->exec));
    if (n_order < 64)
        order[n_order++] = (int)(p - players);
    char text[32];
    snprintf(text, sizeof text, "%d:%d", (int)(p - players), p->moves);
    ck_assert_int_eq(test_put(book, text, 0), CHRONIK_DONE);
    if (++p->moves < 50)
        os_exec_post(players[(p - players + p->moves) % PLAYERS].exec,
                     &players[(p - players + p->moves) % PLAYERS].move);
    os_exec_post_at(p->exec, &p->timer, os_mono_ns(os) + 100 * SIM_US);
}

static void play(uint64_t seed)
{
    world(seed);
    n_order = 0;
    book = test_open(os, "book");
    for (int i = 0; i < PLAYERS; i++) {
        players[i] =
            (struct player){.move = {.fn = move, .arg = &players[i]}, .timer = {.fn = move, .arg = &players[i]}};
        ck_assert_int_eq(os_exec_open(os, "p", 0, &players[i].exec), CHRONIK_DONE);
    }
    for (int i = 0; i < PLAYERS; i++)
        os_exec_post(players[i].exec, &players[i].move);
    ck_assert_int_eq(sim_run(w, 20 * SIM_MS, 0, NULL, NULL), SIM_TIME);
}

START_TEST(the_same_seed_gives_the_same_run_and_another_seed_another)
{
    uint64_t first[8];
    for (uint64_t seed = 0; seed < 8; seed++) {
        play(seed);
        first[seed] = sim_hash(w);
        sim_world_free(w);
    }
    for (uint64_t seed = 0; seed < 8; seed++) {
        void *shift = malloc(1000 + seed * 100); /* other addresses */
        play(seed);
        ck_assert_uint_eq(sim_hash(w), first[seed]);
        sim_world_free(w);
        free(shift);
        for (uint64_t other = 0; other < seed; other++)
            ck_assert_uint_ne(first[seed], first[other]);
    }
}
END_TEST

START_TEST(the_seed_chooses_who_goes_next)
{
    bool first[PLAYERS] = {false};
    for (uint64_t seed = 0; seed < 50; seed++) {
        play(seed);
        first[order[0]] = true;
        sim_world_free(w);
    }
    for (int i = 0; i < PLAYERS; i++)
        ck_assert(first[i]);
}
END_TEST

/* ---- time ---- */

static int64_t fired;

static void fire(void *arg)
{
    fired = os_mono_ns(os);
}

START_TEST(timers_fire_at_their_time_on_a_drifting_clock)
{
    static const int32_t ppm[] = {0, 500, -500, 200000, -200000};
    for (size_t i = 0; i < ARRAY_LEN(ppm); i++) {
        world(i);
        sim_clock_drift(os, ppm[i]);
        struct os_exec *e;
        ck_assert_int_eq(os_exec_open(os, "t", 0, &e), CHRONIK_DONE);
        struct chronik_task t = {.fn = fire};
        int64_t at = os_mono_ns(os) + 3600 * SIM_S;
        os_exec_post_at(e, &t, at);
        ck_assert_int_eq(sim_run(w, 10000 * SIM_S, 0, NULL, NULL), SIM_IDLE);
        ck_assert_int_ge(fired, at);
        ck_assert_int_le(fired, at + 10 * SIM_MS);
        int64_t expect = (int64_t)(3600e9 / (1 + ppm[i] / 1e6));
        ck_assert_int_le(llabs(sim_now(w) - expect), 10 * SIM_MS);
        sim_world_free(w);
    }
}
END_TEST

START_TEST(the_wall_clock_jumps_alone)
{
    world(1);
    int64_t wall = os_wall_ms(os), mono = os_mono_ns(os);
    sim_clock_jump(os, -5000);
    ck_assert_int_eq(os_wall_ms(os), wall - 5000);
    ck_assert_int_eq(os_mono_ns(os), mono);
    sim_world_free(w);
}
END_TEST

/* ---- flags, workers, closing ---- */

static struct os_flag flag;

static void set_flag(void *arg)
{
    os_flag_set(os, &flag);
}

START_TEST(waiting_for_a_flag_runs_the_others)
{
    world(2);
    flag.set = 0;
    struct chronik_task t = {.fn = set_flag};
    ck_assert(!os_flag_wait(os, &flag, 5 * SIM_MS));
    ck_assert_int_ge(sim_now(w), 5 * SIM_MS);
    os_worker_post(os, &t);
    ck_assert(os_flag_wait(os, &flag, SIM_S));
    sim_world_free(w);
}
END_TEST

static int ran[3], n_ran;

static void note_run(void *arg)
{
    ran[n_ran++] = *(int *)arg;
}

START_TEST(workers_may_overtake_each_other)
{
    static int number[3] = {0, 1, 2};
    bool in_order = false, overtaken = false;
    for (uint64_t seed = 0; seed < 40; seed++) {
        world(seed);
        struct chronik_task t[3];
        n_ran = 0;
        for (int i = 0; i < 3; i++) {
            t[i] = (struct chronik_task){.fn = note_run, .arg = &number[i]};
            os_worker_post(os, &t[i]);
        }
        ck_assert_int_eq(sim_run_for(w, SIM_S), SIM_IDLE);
        ck_assert_int_eq(n_ran, 3);
        in_order |= ran[0] == 0 && ran[1] == 1;
        overtaken |= ran[0] == 1;
        sim_world_free(w);
    }
    ck_assert(in_order && overtaken);
}
END_TEST

static bool steps_seen(void *arg)
{
    return sim_steps(w) >= 5;
}

START_TEST(a_run_ends_by_predicate_steps_time_or_idleness)
{
    play(5);
    ck_assert_int_eq(sim_run(w, INT64_MAX, 3, NULL, NULL), SIM_STEPS);
    ck_assert_int_eq(sim_run(w, INT64_MAX, 3, steps_seen, NULL), SIM_TRUE);
    sim_world_free(w);
    world(1);
    ck_assert_int_eq(sim_run_for(w, SIM_S), SIM_IDLE);
    sim_world_free(w);
}
END_TEST

/* ---- death ---- */

static struct os_mutex mutex = OS_MUTEX_INIT(LOCK_NET);

static void exit_here(void *arg)
{
    os_mutex_lock(&mutex);
    os_exit(os, 3);
}

static void never(void *arg)
{
    ck_abort_msg("a task of a dead node ran");
}

START_TEST(os_exit_ends_the_node_and_drops_its_tasks_and_locks)
{
    world(1);
    struct os_exec *e;
    struct chronik_task a = {.fn = exit_here}, b = {.fn = never}, c = {.fn = never};
    ck_assert_int_eq(os_exec_open(os, "x", 0, &e), CHRONIK_DONE);
    os_exec_post(e, &a);
    os_exec_post(e, &b);
    os_exec_post_at(e, &c, os_mono_ns(os) + 5);
    ck_assert_int_eq(sim_run_for(w, SIM_S), SIM_IDLE);
    ck_assert(!sim_up(os));
    ck_assert_int_eq(sim_exit_code(os), 3);
    ck_assert_int_eq(os_locks_held(), 0);
    sim_restart(os);
    ck_assert_int_eq(os_exec_open(os, "x", 0, &e), CHRONIK_DONE);
    sim_world_free(w);
}
END_TEST

static void wait_for_ever(void *arg)
{
    struct os_flag f = {0};
    os_flag_wait(os, &f, 100 * SIM_S);
    ck_abort_msg("the main thread of a dead node went on");
}

static void kill_it(void *arg)
{
    sim_kill(os);
}

START_TEST(a_node_killed_while_its_main_thread_waits_is_left_at_once)
{
    world(1);
    sim_at(w, 3 * SIM_MS, kill_it, NULL);
    ck_assert(!sim_call(os, wait_for_ever, NULL));
    ck_assert_int_lt(sim_now(w), 4 * SIM_MS);
    sim_at(w, 3 * SIM_S, kill_it, NULL); /* never comes */
    sim_world_free(w);
}
END_TEST

START_TEST(a_handle_of_a_dead_node_asserts)
{
    world(1);
    struct os_file *f = test_open(os, "a");
    sim_kill(os);
    sim_restart(os);
    os_sync(f);
}
END_TEST

/* ---- seeds in children ---- */

static void fails_for_some(uint64_t seed)
{
    if (seed % 50 == 7)
        _Exit(1);
}

START_TEST(every_failing_seed_is_counted)
{
    ck_assert_uint_eq(sim_seeds("a seed", 0, 200, fails_for_some), 4);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sim world");
    TCase *t = tcase_create("world");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, the_same_seed_gives_the_same_run_and_another_seed_another);
    tcase_add_test(t, the_seed_chooses_who_goes_next);
    tcase_add_test(t, timers_fire_at_their_time_on_a_drifting_clock);
    tcase_add_test(t, the_wall_clock_jumps_alone);
    tcase_add_test(t, waiting_for_a_flag_runs_the_others);
    tcase_add_test(t, workers_may_overtake_each_other);
    tcase_add_test(t, a_run_ends_by_predicate_steps_time_or_idleness);
    tcase_add_test(t, os_exit_ends_the_node_and_drops_its_tasks_and_locks);
    tcase_add_test(t, a_node_killed_while_its_main_thread_waits_is_left_at_once);
    tcase_add_test_raise_signal(t, a_handle_of_a_dead_node_asserts, SIGABRT);
    tcase_add_test(t, every_failing_seed_is_counted);
    suite_add_tcase(s, t);
    return run_suite(s);
}
