/* test_sim_disk.c: each rule of the virtual disk, shown: over many seeds a thing that may happen does happen, and a
 * thing that must not never does. */
#include "test_sim.h"

enum { SEEDS = 300 };

static struct sim_world *w;
static struct os *os;

/* How often each outcome was seen. */
static int kept, lost, other;

static void world(uint64_t seed)
{
    w = sim_world_new(seed);
    os = sim_node(w, "n1");
}

static void cut(void)
{
    sim_power_cut(os);
    sim_restart(os);
}

static void count(const char *text, const char *when_kept, const char *when_lost)
{
    if (text && when_kept && strcmp(text, when_kept) == 0)
        kept++;
    else if (text == when_lost || (text && when_lost && strcmp(text, when_lost) == 0))
        lost++;
    else
        other++;
}

/* A file that exists for sure, with that text. */
static struct os_file *durable(const char *path, const char *text)
{
    struct os_file *f = test_open(os, path);
    ck_assert_int_eq(test_put(f, text, 0), CHRONIK_DONE);
    ck_assert_int_eq(os_sync(f), CHRONIK_DONE);
    ck_assert_int_eq(os_sync_dir(os, "/"), CHRONIK_DONE);
    return f;
}

#define RUN(...)                                                                                                       \
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {                                                                   \
        world(seed);                                                                                                   \
        __VA_ARGS__ sim_world_free(w);                                                                                 \
    }

START_TEST(unsynced_data_may_survive_and_may_vanish)
{
    RUN({
        struct os_file *f = durable("a", "old");
        ck_assert_int_eq(test_put(f, "new", 0), CHRONIK_DONE);
        cut();
        count(test_get(os, "a"), "new", "old");
    });
    ck_assert_int_gt(kept, 50);
    ck_assert_int_gt(lost, 50);
    ck_assert_int_eq(other, 0);
}
END_TEST

START_TEST(synced_data_survives)
{
    RUN({
        struct os_file *f = durable("a", "old");
        ck_assert_int_eq(test_put(f, "new!", 0), CHRONIK_DONE);
        ck_assert_int_eq(os_sync(f), CHRONIK_DONE);
        cut();
        count(test_get(os, "a"), "new!", "old");
    });
    ck_assert_int_eq(kept, SEEDS);
}
END_TEST

START_TEST(with_sync_turned_into_nothing_synced_data_may_vanish)
{
    RUN({
        struct os_file *f = durable("a", "old");
        sim_mutant_sync_noop(os, true);
        ck_assert_int_eq(test_put(f, "new", 0), CHRONIK_DONE);
        ck_assert_int_eq(os_sync(f), CHRONIK_DONE);
        cut();
        count(test_get(os, "a"), "new", "old");
    });
    ck_assert_int_gt(lost, 50);
}
END_TEST

START_TEST(sectors_of_one_write_survive_one_by_one)
{
    static char big[8 * 512 + 1];
    int mixed = 0;
    RUN({
        memset(big, 'o', sizeof big - 1);
        struct os_file *f = durable("a", big);
        memset(big, 'n', sizeof big - 1);
        ck_assert_int_eq(test_put(f, big, 0), CHRONIK_DONE);
        cut();
        const char *text = test_get(os, "a");
        ck_assert_uint_eq(strlen(text), sizeof big - 1);
        bool news = false;
        bool olds = false;
        for (int s = 0; s < 8; s++) {
            ck_assert_mem_eq(text + s * 512 + 1, text + s * 512, 511);
            news |= text[s * 512] == 'n';
            olds |= text[s * 512] == 'o';
        }
        mixed += news && olds;
    });
    ck_assert_int_gt(mixed, 50);
}
END_TEST

START_TEST(a_size_may_survive_without_the_data)
{
    int zeros = 0;
    RUN({
        struct os_file *f = durable("a", "");
        ck_assert_int_eq(test_put(f, "data", 0), CHRONIK_DONE);
        uint64_t size;
        cut();
        ck_assert_int_eq(os_open(os, "a", OS_READ, &f), CHRONIK_DONE);
        ck_assert_int_eq(os_size(f, &size), CHRONIK_DONE);
        const char *text = test_get(os, "a");
        kept += size == 4 && strcmp(text, "data") == 0;
        zeros += size == 4 && text[0] == 0;
        lost += size == 0;
    });
    ck_assert_int_gt(kept, 20);
    ck_assert_int_gt(zeros, 10);
    ck_assert_int_gt(lost, 50);
}
END_TEST

START_TEST(d1_a_new_file_vanishes_unless_its_directory_is_synced)
{
    RUN({
        struct os_file *f = test_open(os, "a");
        ck_assert_int_eq(test_put(f, "x", 0), CHRONIK_DONE);
        ck_assert_int_eq(os_sync(f), CHRONIK_DONE);
        if (seed % 2)
            ck_assert_int_eq(os_sync_dir(os, "/"), CHRONIK_DONE);
        cut();
        const char *text = test_get(os, "a");
        if (seed % 2)
            ck_assert_str_eq(text, "x");
        else
            count(text, "x", NULL);
    });
    ck_assert_int_gt(kept, 20);
    ck_assert_int_gt(lost, 20);
    ck_assert_int_eq(other, 0);
}
END_TEST

START_TEST(d1_a_rename_without_a_sync_of_the_file_can_yield_an_empty_file)
{
    RUN({
        durable("a", "old");
        struct os_file *f = test_open(os, "a.tmp");
        ck_assert_int_eq(test_put(f, "new", 0), CHRONIK_DONE);
        ck_assert_int_eq(os_rename(os, "a.tmp", "a"), CHRONIK_DONE);
        ck_assert_int_eq(os_sync_dir(os, "/"), CHRONIK_DONE);
        cut();
        count(test_get(os, "a"), "new", "");
    });
    ck_assert_int_gt(kept, 20);
    ck_assert_int_gt(lost, 20);
}
END_TEST

START_TEST(a_synced_file_renamed_over_another_is_one_or_the_other)
{
    RUN({
        durable("a", "old");
        struct os_file *f = test_open(os, "a.tmp");
        ck_assert_int_eq(test_put(f, "new", 0), CHRONIK_DONE);
        ck_assert_int_eq(os_sync(f), CHRONIK_DONE);
        ck_assert_int_eq(os_rename(os, "a.tmp", "a"), CHRONIK_DONE);
        cut();
        count(test_get(os, "a"), "new", "old");
    });
    ck_assert_int_gt(kept, 50);
    ck_assert_int_gt(lost, 50);
    ck_assert_int_eq(other, 0);
}
END_TEST

START_TEST(entries_of_a_directory_survive_in_any_order)
{
    RUN({
        os_close(test_open(os, "first"));
        os_close(test_open(os, "second"));
        cut();
        bool first = test_get(os, "first") != NULL;
        bool second = test_get(os, "second") != NULL;
        kept += first && !second;
        lost += second && !first;
    });
    ck_assert_int_gt(kept, 10);
    ck_assert_int_gt(lost, 10);
}
END_TEST

START_TEST(a_removed_file_may_come_back)
{
    RUN({
        os_close(durable("a", "x"));
        ck_assert_int_eq(os_unlink(os, "a"), CHRONIK_DONE);
        ck_assert_ptr_null(test_get(os, "a"));
        cut();
        count(test_get(os, "a"), "x", NULL);
    });
    ck_assert_int_gt(kept, 50);
    ck_assert_int_gt(lost, 50);
}
END_TEST

/* ---- a sync in flight ---- */

static bool sync_done;

static void op_done(struct os_file_op *op)
{
    ck_assert_int_eq(op->result, CHRONIK_DONE);
    sync_done = true;
}

static bool is_done(void *arg)
{
    return sync_done;
}

START_TEST(a_sync_covers_only_writes_that_finished_before_it_started)
{
    RUN({
        struct os_file *f = durable("a", "old.........");
        struct os_exec *e;
        sync_done = false;
        sim_disk_latency(os, 50 * SIM_US, 2 * SIM_MS);
        ck_assert_int_eq(os_exec_open(os, "commit", 0, &e), CHRONIK_DONE);
        ck_assert_int_eq(test_put(f, "one", 0), CHRONIK_DONE);
        struct os_file_op op = {.file = f, .sync = true, .done = op_done};
        os_file_submit(e, &op);
        sim_run(w, sim_now(w) + 30 * SIM_US, 0, NULL, NULL); /* it has started */
        ck_assert(!sync_done);
        ck_assert_int_eq(test_put(f, "two", 0), CHRONIK_DONE);
        ck_assert_int_eq(sim_run(w, sim_now(w) + SIM_S, 0, is_done, NULL), SIM_TRUE);
        cut();
        count(test_get(os, "a"), "two.........", "one.........");
    });
    ck_assert_int_gt(kept, 50);
    ck_assert_int_gt(lost, 50);
    ck_assert_int_eq(other, 0);
}
END_TEST

START_TEST(an_executor_is_occupied_by_its_operation_and_others_are_not)
{
    world(7);
    struct os_file *f = test_open(os, "a");
    struct os_exec *e;
    sync_done = false;
    ck_assert_int_eq(os_exec_open(os, "commit", 0, &e), CHRONIK_DONE);
    struct chronik_iov v = {(void *)(uintptr_t) "abc", 3};
    struct os_file_op op = {.file = f, .iov = &v, .n_iov = 1, .write = true, .sync = true, .done = op_done};
    os_file_submit(e, &op);
    os_exec_close(e); /* runs the queue first */
    ck_assert(sync_done);
    ck_assert_int_ge(sim_now(w), 100 * SIM_US);
    ck_assert_str_eq(test_get(os, "a"), "abc");
    ck_assert_uint_eq(sim_io_count(os), 3);
    sim_world_free(w);
}
END_TEST

/* ---- faults ---- */

START_TEST(d1_a_failed_sync_loses_the_data_and_a_second_one_does_not_save_it)
{
    RUN({
        struct os_file *f = durable("a", "old");
        ck_assert_int_eq(test_put(f, "new", 0), CHRONIK_DONE);
        os_fault_set(os, OS_FAULT_SYNC, 0, CHRONIK_E_IO);
        ck_assert_int_eq(os_sync(f), CHRONIK_E_IO);
        ck_assert_int_eq(os_sync(f), CHRONIK_DONE);
        ck_assert_str_eq(test_get(os, "a"), "new"); /* in the page cache */
        cut();
        count(test_get(os, "a"), "new", "old");
    });
    ck_assert_int_eq(lost, SEEDS);
}
END_TEST

START_TEST(random_faults_hit_the_calls_they_are_for)
{
    world(3);
    struct os_file *f = test_open(os, "a");
    sim_disk_fail(os, OS_FAULT_WRITE, 500, CHRONIK_E_IO);
    for (int i = 0; i < 100; i++)
        kept += test_put(f, "xyz", 0) == CHRONIK_E_IO;
    ck_assert_int_gt(kept, 25);
    ck_assert_int_lt(kept, 75);
    sim_disk_fail(os, OS_FAULT_WRITE, 0, 0);
    ck_assert_int_eq(test_put(f, "xyz", 0), CHRONIK_DONE);
    sim_world_free(w);
}
END_TEST

START_TEST(d4_a_full_disk_refuses_until_something_is_deleted)
{
    world(4);
    static char page[4097];
    memset(page, 'p', sizeof page - 1);
    sim_disk_budget(os, 5 * 4096);
    struct os_file *f = test_open(os, "a"), *g = test_open(os, "g");
    for (uint64_t i = 0; i < 4; i++)
        ck_assert_int_eq(test_put(f, page, i * 4096), CHRONIK_DONE);
    ck_assert_int_eq(os_allocate(g, 0, 8192), CHRONIK_E_NOSPC);
    ck_assert_int_eq(os_allocate(g, 0, 4096), CHRONIK_DONE);
    ck_assert_int_eq(test_put(f, page, 4 * 4096), CHRONIK_E_NOSPC);
    ck_assert_int_eq(test_put(g, page, 0), CHRONIK_DONE); /* reserved */
    uint64_t left, total;
    ck_assert_int_eq(os_disk_free(os, "/", &left, &total), CHRONIK_DONE);
    ck_assert_uint_eq(left, 0);
    ck_assert_int_eq(os_truncate(f, 4096), CHRONIK_DONE);
    ck_assert_int_eq(test_put(g, page, 4096), CHRONIK_DONE);
    os_close(f);
    ck_assert_int_eq(os_unlink(os, "a"), CHRONIK_DONE);
    sim_disk_settle(os);
    ck_assert_int_eq(os_disk_free(os, "/", &left, &total), CHRONIK_DONE);
    ck_assert_uint_eq(left, 3 * 4096);
    sim_world_free(w);
}
END_TEST

START_TEST(a_flipped_bit_stays_flipped)
{
    world(5);
    durable("a", "@");
    ck_assert_int_eq(sim_disk_flip(os, "a", 0), CHRONIK_DONE);
    ck_assert_int_eq(sim_disk_flip(os, "a", 8), CHRONIK_E_RANGE);
    ck_assert_int_eq(sim_disk_flip(os, "none", 8), CHRONIK_E_NOTFOUND);
    ck_assert_str_eq(test_get(os, "a"), "A");
    cut();
    ck_assert_str_eq(test_get(os, "a"), "A");
    sim_world_free(w);
}
END_TEST

START_TEST(a_torn_sector_is_new_before_old)
{
    RUN({
        struct os_file *f = durable("a", "oooo");
        sim_disk_tear(os, 1000);
        static char big[513];
        memset(big, 'n', 512);
        ck_assert_int_eq(os_truncate(f, 512), CHRONIK_DONE);
        ck_assert_int_eq(os_sync(f), CHRONIK_DONE);
        ck_assert_int_eq(test_put(f, big, 0), CHRONIK_DONE);
        cut();
        const char *text = test_get(os, "a");
        kept += text[0] == 'n' && text[511] == 0;
        lost += text[0] == 'o';
    });
    ck_assert_int_gt(kept, 50);
    ck_assert_int_gt(lost, 50);
}
END_TEST

/* ---- kill, cut, boot id, cold cache ---- */

START_TEST(a_killed_process_leaves_the_page_cache)
{
    RUN({
        struct os_file *f = test_open(os, "a");
        struct chronik_uuid before;
        struct chronik_uuid after;
        os_boot_id(os, &before);
        ck_assert_int_eq(os_lock(f), CHRONIK_DONE);
        ck_assert_int_eq(test_put(f, "new", 0), CHRONIK_DONE);
        sim_kill(os);
        ck_assert(!sim_up(os));
        sim_restart(os);
        count(test_get(os, "a"), "new", NULL);
        ck_assert_int_eq(os_lock(test_open(os, "a")), CHRONIK_DONE);
        os_boot_id(os, &after);
        ck_assert_mem_eq(&before, &after, sizeof before);
        cut();
        os_boot_id(os, &after);
        ck_assert_mem_ne(&before, &after, sizeof before);
    });
    ck_assert_int_eq(kept, SEEDS);
}
END_TEST

START_TEST(after_a_cut_the_cache_is_cold)
{
    world(9);
    durable("a", "cold");
    cut();
    struct os_file *f = test_open(os, "a");
    char buf[4];
    size_t got;
    ck_assert_int_eq(os_pread(f, buf, 4, 0, OS_NOWAIT, &got), CHRONIK_E_AGAIN);
    ck_assert_uint_eq(got, 0);
    ck_assert_int_eq(os_pread(f, buf, 4, 0, 0, &got), CHRONIK_DONE);
    ck_assert_int_eq(os_pread(f, buf, 4, 0, OS_NOWAIT, &got), CHRONIK_DONE);
    os_advise_drop(f, 0, 4);
    ck_assert_int_eq(os_pread(f, buf, 4, 0, OS_NOWAIT, &got), CHRONIK_E_AGAIN);
    os_advise_need(f, 0, 4);
    ck_assert_int_eq(os_pread(f, buf, 4, 0, OS_NOWAIT, &got), CHRONIK_DONE);
    sim_world_free(w);
}
END_TEST

/* ---- cutting at every operation ---- */

static void two_writes(void *arg)
{
    struct os_file *f = test_open(os, "log"); /* 1 */
    os_sync_dir(os, "/");                     /* 2 */
    test_put(f, "a", 0);                      /* 3 */
    os_sync(f);                               /* 4 */
    *(int *)arg = 1;                          /* acknowledged */
    test_put(f, "b", 1);                      /* 5 */
    os_sync(f);                               /* 6 */
    *(int *)arg = 2;
}

START_TEST(power_can_be_cut_at_each_operation_and_nothing_acknowledged_is_lost)
{
    for (uint64_t k = 1; k <= 7; k++)
        RUN({
            int acked = 0;
            sim_cut_at(os, k);
            bool lived = sim_call(os, two_writes, &acked);
            ck_assert_int_eq(lived, k == 7);
            if (lived)
                sim_power_cut(os);
            ck_assert_int_eq(sim_exit_code(os), -1);
            sim_cut_at(os, 0);
            sim_restart(os);
            const char *text = test_get(os, "log");
            ck_assert(acked < 1 || (text && text[0] == 'a'));
            ck_assert(acked < 2 || (text && text[1] == 'b'));
            if (k == 3)
                count(text, "a", "");
        });
    ck_assert_int_gt(kept, 10);
    ck_assert_int_gt(lost, 10);
}
END_TEST

static void acked_op(struct os_file_op *op)
{
    sync_done = true;
}

START_TEST(a_process_can_be_killed_inside_a_submitted_write)
{
    RUN({
        struct os_file *f = test_open(os, "log");
        struct os_exec *e;
        sync_done = false;
        ck_assert_int_eq(os_exec_open(os, "commit", 0, &e), CHRONIK_DONE);
        struct chronik_iov v = {(void *)(uintptr_t) "abcdef", 6};
        static struct os_file_op op;
        op = (struct os_file_op){.file = f, .iov = &v, .n_iov = 1, .write = true, .sync = true, .done = acked_op};
        sim_kill_at(os, 1 + 1 + seed % 2);
        os_file_submit(e, &op);
        ck_assert_int_eq(sim_run(w, SIM_S, 0, NULL, NULL), SIM_IDLE);
        ck_assert(!sync_done && !sim_up(os));
        sim_kill_at(os, 0);
        sim_restart(os);
        const char *text = test_get(os, "log");
        ck_assert_mem_eq(text, "abcdef", strlen(text));
        kept += strlen(text) == 6;
        other += strlen(text) > 0 && strlen(text) < 6;
    });
    ck_assert_int_gt(kept, SEEDS / 2);
    ck_assert_int_gt(other, 50);
}
END_TEST

START_TEST(a_listing_is_complete_and_in_no_order)
{
    RUN({
        char path[16];
        for (int i = 0; i < 5; i++) {
            snprintf(path, sizeof path, "f%d", i);
            os_close(test_open(os, path));
        }
        ck_assert_int_eq(os_mkdir(os, "d"), CHRONIK_DONE);
        ck_assert_int_eq(os_mkdir(os, "d/e"), CHRONIK_DONE);
        ck_assert_int_eq(os_rmdir(os, "d"), CHRONIK_E_EXISTS);
        ck_assert_int_eq(os_rename(os, "f0", "d/e/f0"), CHRONIK_DONE);
        ck_assert_ptr_null(test_get(os, "f0"));
        ck_assert_str_eq(test_get(os, "d/e/f0"), "");
        struct os_stat st;
        ck_assert_int_eq(os_lookup(os, "d/./e/", &st), CHRONIK_DONE);
        ck_assert(st.is_dir);
    });
}
END_TEST

static void reset_counts(void)
{
    kept = lost = other = 0;
}

int main(void)
{
    Suite *s = suite_create("sim disk");
    TCase *t = tcase_create("disk");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, reset_counts, NULL);
    tcase_add_test(t, unsynced_data_may_survive_and_may_vanish);
    tcase_add_test(t, synced_data_survives);
    tcase_add_test(t, with_sync_turned_into_nothing_synced_data_may_vanish);
    tcase_add_test(t, sectors_of_one_write_survive_one_by_one);
    tcase_add_test(t, a_size_may_survive_without_the_data);
    tcase_add_test(t, d1_a_new_file_vanishes_unless_its_directory_is_synced);
    tcase_add_test(t, d1_a_rename_without_a_sync_of_the_file_can_yield_an_empty_file);
    tcase_add_test(t, a_synced_file_renamed_over_another_is_one_or_the_other);
    tcase_add_test(t, entries_of_a_directory_survive_in_any_order);
    tcase_add_test(t, a_removed_file_may_come_back);
    tcase_add_test(t, a_sync_covers_only_writes_that_finished_before_it_started);
    tcase_add_test(t, an_executor_is_occupied_by_its_operation_and_others_are_not);
    tcase_add_test(t, d1_a_failed_sync_loses_the_data_and_a_second_one_does_not_save_it);
    tcase_add_test(t, random_faults_hit_the_calls_they_are_for);
    tcase_add_test(t, d4_a_full_disk_refuses_until_something_is_deleted);
    tcase_add_test(t, a_flipped_bit_stays_flipped);
    tcase_add_test(t, a_torn_sector_is_new_before_old);
    tcase_add_test(t, a_killed_process_leaves_the_page_cache);
    tcase_add_test(t, after_a_cut_the_cache_is_cold);
    tcase_add_test(t, power_can_be_cut_at_each_operation_and_nothing_acknowledged_is_lost);
    tcase_add_test(t, a_process_can_be_killed_inside_a_submitted_write);
    tcase_add_test(t, a_listing_is_complete_and_in_no_order);
    suite_add_tcase(s, t);
    return run_suite(s);
}
