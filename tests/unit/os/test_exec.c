/* test_exec.c: executors, loops, timers, workers, flags and signals of the real world. */
#include "test_real.h"

#include "os/lock.h"

#include <signal.h>
#include <unistd.h>

enum { MANY = 20000 };

static struct os_flag done;

static void set_done(void *arg)
{
    os_flag_set(os, &done);
}

static void wait_done(void)
{
    ck_assert(os_flag_wait(os, &done, 20 * SECOND));
    done.set = 0;
}

static unsigned loop_of(int i)
{
    return i ? OS_EXEC_LOOP : 0;
}

/* ---- order ---- */

struct numbered {
    struct chronik_task t;
    int number;
};

static int seen[MANY], n_seen;

static void note(void *arg)
{
    seen[n_seen++] = ((struct numbered *)arg)->number;
}

START_TEST(tasks_run_once_in_the_order_of_their_posts)
{
    static struct numbered tasks[MANY];
    struct os_exec *e;
    ck_assert_int_eq(os_exec_open(os, "order", loop_of(_i), &e), CHRONIK_DONE);
    for (int i = 0; i < MANY; i++) {
        tasks[i] = (struct numbered){{.fn = note, .arg = &tasks[i]}, i};
        os_exec_post(e, &tasks[i].t);
    }
    struct chronik_task end = {.fn = set_done};
    os_exec_post(e, &end);
    wait_done();
    ck_assert_int_eq(n_seen, MANY);
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(seen[i], i);
    os_exec_close(e);
}
END_TEST

/* ---- posting a queued task, cancelling, closing ---- */

static struct os_exec *gate_exec;
static struct os_flag gate_open, gate_reached;
static int runs;

static void gate(void *arg)
{
    os_flag_set(os, &gate_reached);
    ck_assert(os_flag_wait(os, &gate_open, 20 * SECOND));
}

static void count(void *arg)
{
    ck_assert(os_exec_here(gate_exec));
    runs++;
}

START_TEST(a_queued_task_is_not_queued_twice_and_may_be_cancelled)
{
    struct chronik_task g = {.fn = gate}, a = {.fn = count}, b = {.fn = count}, c = {.fn = count};
    ck_assert_int_eq(os_exec_open(os, "gate", loop_of(_i), &gate_exec), CHRONIK_DONE);
    ck_assert(!os_exec_here(gate_exec));
    os_exec_post(gate_exec, &g);
    ck_assert(os_flag_wait(os, &gate_reached, 20 * SECOND));
    os_exec_post(gate_exec, &a);
    os_exec_post(gate_exec, &a);
    os_exec_post(gate_exec, &b);
    os_exec_post_at(gate_exec, &c, os_mono_ns(os));
    ck_assert(os_exec_cancel(gate_exec, &b));
    ck_assert(!os_exec_cancel(gate_exec, &b));
    ck_assert(os_exec_cancel(gate_exec, &c));
    os_flag_set(os, &gate_open);
    os_exec_close(gate_exec);
    ck_assert_int_eq(runs, 1);
}
END_TEST

static struct chronik_task chain, late;
static int links;

static void link_next(void *arg)
{
    if (++links < 5)
        os_exec_post(gate_exec, &chain);
}

START_TEST(posts_in_a_row_wake_a_sleeping_executor_at_their_end)
{
    static struct numbered tasks[100];
    struct os_exec *e;
    n_seen = 0;
    ck_assert_int_eq(os_exec_open(os, "row", loop_of(_i), &e), CHRONIK_DONE);
    struct chronik_task end = {.fn = set_done};
    os_exec_post(e, &end);
    wait_done();
    os_posts_begin(os);
    for (int i = 0; i < 100; i++) {
        tasks[i] = (struct numbered){{.fn = note, .arg = &tasks[i]}, i};
        os_exec_post(e, &tasks[i].t);
    }
    os_exec_post(e, &end);
    os_posts_end(os);
    wait_done();
    ck_assert_int_eq(n_seen, 100);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(seen[i], i);
    os_exec_close(e);
}
END_TEST

START_TEST(close_runs_what_is_queued_and_drops_timers)
{
    chain = (struct chronik_task){.fn = link_next};
    late = (struct chronik_task){.fn = count};
    ck_assert_int_eq(os_exec_open(os, "close", loop_of(_i), &gate_exec), CHRONIK_DONE);
    os_exec_post_at(gate_exec, &late, os_mono_ns(os) + 3600 * SECOND);
    os_exec_post(gate_exec, &chain);
    os_exec_close(gate_exec);
    ck_assert_int_eq(links, 5);
    ck_assert_int_eq(runs, 0);
}
END_TEST

/* ---- timers ---- */

struct timed {
    struct chronik_task t;
    int64_t at, ran;
    int order;
};

static int order;

static void timed_run(void *arg)
{
    struct timed *t = arg;
    t->ran = os_mono_ns(os);
    t->order = order++;
}

START_TEST(timers_fire_in_the_order_of_their_times_and_never_early)
{
    struct os_exec *e;
    ck_assert_int_eq(os_exec_open(os, "timers", loop_of(_i), &e), CHRONIK_DONE);
    static struct timed t[4];
    static const int ms[4] = {30, 10, 20, 3600000};
    int64_t now = os_mono_ns(os);
    for (int i = 0; i < 4; i++) {
        t[i] = (struct timed){.t = {.fn = timed_run, .arg = &t[i]}, .at = now + ms[i] * INT64_C(1000000)};
        os_exec_post_at(e, &t[i].t, t[i].at);
    }
    t[3].at = now + 15 * INT64_C(1000000);
    os_exec_post_at(e, &t[3].t, t[3].at); /* moved */
    struct chronik_task end = {.fn = set_done};
    os_exec_post_at(e, &end, now + 40 * INT64_C(1000000));
    wait_done();
    for (int i = 0; i < 4; i++)
        ck_assert_int_ge(t[i].ran, t[i].at);
    ck_assert_int_eq(t[1].order, 0);
    ck_assert_int_eq(t[3].order, 1);
    ck_assert_int_eq(t[2].order, 2);
    ck_assert_int_eq(t[0].order, 3);
    os_exec_close(e);
}
END_TEST

/* ---- two executors, many posters ---- */

struct ball {
    struct chronik_task t;
    struct os_exec *court[2];
    int hits;
};

static void hit(void *arg)
{
    struct ball *b = arg;
    ck_assert(os_exec_here(b->court[b->hits % 2]));
    if (++b->hits == 2000)
        os_flag_set(os, &done);
    else
        os_exec_post(b->court[b->hits % 2], &b->t);
}

START_TEST(a_task_may_post_itself_to_and_fro)
{
    static struct ball b;
    b = (struct ball){.t = {.fn = hit, .arg = &b}};
    ck_assert_int_eq(os_exec_open(os, "left", OS_EXEC_LOOP, &b.court[0]), CHRONIK_DONE);
    ck_assert_int_eq(os_exec_open(os, "right", OS_EXEC_LOW, &b.court[1]), CHRONIK_DONE);
    os_exec_post(b.court[0], &b.t);
    wait_done();
    os_exec_close(b.court[0]);
    os_exec_close(b.court[1]);
}
END_TEST

static int worked; /* atomically */

static void work(void *arg)
{
    if (__atomic_add_fetch(&worked, 1, __ATOMIC_SEQ_CST) == 1000)
        os_flag_set(os, &done);
}

START_TEST(workers_run_every_task)
{
    static struct chronik_task t[1000];
    for (int i = 0; i < 1000; i++) {
        t[i] = (struct chronik_task){.fn = work};
        os_worker_post(os, &t[i]);
    }
    wait_done();
}
END_TEST

START_TEST(a_flag_that_is_never_set_times_out)
{
    struct os_flag f = {0};
    int64_t from = os_mono_ns(os);
    ck_assert(!os_flag_wait(os, &f, 20000000));
    ck_assert_int_ge(os_mono_ns(os) - from, 20000000);
}
END_TEST

/* ---- signals, identity, locks ---- */

static int got_signal;
static struct os_exec *signal_loop;

static void on_signal(void *arg, int signo)
{
    ck_assert(os_exec_here(signal_loop));
    got_signal = signo;
    os_flag_set(os, &done);
}

START_TEST(a_signal_arrives_as_a_call_on_the_loop)
{
    ck_assert_int_eq(os_exec_open(os, "signals", OS_EXEC_LOOP, &signal_loop), CHRONIK_DONE);
    ck_assert_int_eq(os_signals(os, signal_loop, on_signal, NULL), CHRONIK_DONE);
    struct chronik_task t = {.fn = set_done};
    os_exec_post(signal_loop, &t);
    wait_done();
    kill(getpid(), SIGTERM);
    wait_done();
    ck_assert_int_eq(got_signal, SIGTERM);
    os_exec_close(signal_loop);
}
END_TEST

START_TEST(the_boot_id_is_stable_and_random_bytes_are_not)
{
    struct chronik_uuid a, b, zero = {0};
    os_boot_id(os, &a);
    os_boot_id(os, &b);
    ck_assert_mem_eq(&a, &b, sizeof a);
    ck_assert_mem_ne(&a, &zero, sizeof a);
    os_random(os, &a, sizeof a);
    os_random(os, &b, sizeof b);
    ck_assert_mem_ne(&a, &b, sizeof a);
    ck_assert_int_gt(os_wall_ms(os), INT64_C(1600000000000));
    ck_assert_uint_ge(os_file_limit(os), 64);
}
END_TEST

START_TEST(a_lock_taken_against_its_rank_asserts)
{
    struct os_mutex high, low;
    os_mutex_init(&high, LOCK_NET);
    os_mutex_init(&low, LOCK_CONFIG);
    os_mutex_lock(&low);
    os_mutex_lock(&high);
    os_mutex_held(&low);
    os_mutex_unlock(&low);
    os_mutex_lock(&low); /* 10 under 60 */
}
END_TEST

START_TEST(a_lock_taken_twice_asserts)
{
    struct os_mutex m;
    os_mutex_init(&m, LOCK_NET);
    os_mutex_lock(&m);
    os_mutex_lock(&m);
}
END_TEST

START_TEST(a_read_lock_has_a_rank_too_and_is_not_taken_twice)
{
    struct os_rwlock l;
    os_rwlock_init(&l, LOCK_REGISTRY);
    os_rwlock_write(&l);
    os_rwlock_unlock(&l);
    os_rwlock_read(&l);
    ck_assert_int_eq(os_locks_held(), 1);
    os_rwlock_read(&l);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("exec");
    TCase *t = tcase_create("exec");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, world_open, world_close);
    tcase_add_loop_test(t, tasks_run_once_in_the_order_of_their_posts, 0, 2);
    tcase_add_loop_test(t, a_queued_task_is_not_queued_twice_and_may_be_cancelled, 0, 2);
    tcase_add_loop_test(t, posts_in_a_row_wake_a_sleeping_executor_at_their_end, 0, 2);
    tcase_add_loop_test(t, close_runs_what_is_queued_and_drops_timers, 0, 2);
    tcase_add_loop_test(t, timers_fire_in_the_order_of_their_times_and_never_early, 0, 2);
    tcase_add_test(t, a_task_may_post_itself_to_and_fro);
    tcase_add_test(t, workers_run_every_task);
    tcase_add_test(t, a_flag_that_is_never_set_times_out);
    tcase_add_test(t, a_signal_arrives_as_a_call_on_the_loop);
    tcase_add_test(t, the_boot_id_is_stable_and_random_bytes_are_not);
    suite_add_tcase(s, t);
    TCase *l = tcase_create("locks");
    tcase_add_test_raise_signal(l, a_lock_taken_against_its_rank_asserts, SIGABRT);
    tcase_add_test_raise_signal(l, a_lock_taken_twice_asserts, SIGABRT);
    tcase_add_test_raise_signal(l, a_read_lock_has_a_rank_too_and_is_not_taken_twice, SIGABRT);
    suite_add_tcase(s, l);
    return run_suite(s);
}
