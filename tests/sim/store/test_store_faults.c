/* test_store_faults.c: disks that answer with errors: what ends the process, what takes a directory or a partition
 * offline, and the sentence that says so. One fault a test, in the virtual world. */
#include <config.h>

#include "tests/sim/test_sim.h"
#include "tests/unit/store/storerig.h"

const char *chronik_mutant = "";

static struct sim_world *world;
static struct os *node;
static struct rig rig;
static char last_words[600];

static void on_fatal(void *arg, int code, const char *text)
{
    snprintf(last_words, sizeof last_words, "%s", text);
}

static void setup(void)
{
    world = sim_world_new(1);
    node = sim_node(world, "n1");
    rig_init(&rig, node, "d");
    rig.th.quiet = true;
    rig.th.on_fatal = on_fatal;
    last_words[0] = 0;
}

static void teardown(void)
{
    sim_world_free(world);
}

static void fault(int op, const char *path, int32_t code)
{
    os_fault_add(node, &(struct os_fault){.op = op, .code = code, .times = -1, .path = path});
}

static void begin(int parts)
{
    ck_assert_msg(rig_start(&rig) > 0, "%s", rig.text);
    for (int i = 0; i < parts; i++)
        ck_assert_int_gt(rig_open(&rig, i, CHRONIK_STORE_CREATE), 0);
}

static void fill(int part, int n)
{
    for (int i = 0; i < n; i++)
        if (rig_append(&rig, part, 900, 1, 0, CHRONIK_FLUSH_GROUP) < 0)
            return;
    rig_wait_durable(&rig, part);
}

static int32_t flush(void)
{
    struct testhost_wait w;
    struct chronik_done done = testhost_done(&rig.th, &w);
    return testhost_result(&w, rig.ops->flush(rig.s, done));
}

/* ---- one directory: the process ends, with 74 and a sentence ---- */

static const struct fatal {
    int op;
    const char *path, *says;
    bool flush;
} fatals[] = {
    {OS_FAULT_WRITE, "/wal/", "/wal: ", false},
    {OS_FAULT_SYNC, "/wal/", "/wal: ", false},
    {OS_FAULT_WRITE, "-1.log", "writing file data/010000000000000000000000000000ab-0.1/00000000000000000000-1.log",
     false},
    {OS_FAULT_SYNC, "-1.log", "syncing file data/010000000000000000000000000000ab-0.1/00000000000000000000-1.log",
     true},
    {OS_FAULT_SYNC_DIR, "data", "syncing folder data failed", true},
    {OS_FAULT_RENAME, "manifest", "writing file manifest failed", true},
    {OS_FAULT_SYNC, "manifest", "writing file manifest failed", true},
    {OS_FAULT_WRITE, "manifest", "writing file manifest failed", true},
};

static void fatal_life(void *arg)
{
    const struct fatal *f = arg;
    ck_assert_int_gt(rig_start(&rig), 0); /* the log has its first file; later ones are opened under the fault */
    fault(f->op, f->path, CHRONIK_E_IO);
    rig_stop(&rig);
    begin(1);
    fill(0, 5);
    if (f->flush)
        flush();
}

START_TEST(d1_an_io_error_of_the_only_directory_ends_the_process_with_a_sentence)
{
    struct fatal f = fatals[_i];
    ck_assert(!sim_call(node, fatal_life, &f));
    ck_assert_int_eq(sim_exit_code(node), 74);
    ck_assert_msg(strstr(last_words, f.says) && strstr(last_words, "check the disk"), "it said '%s'", last_words);
}
END_TEST

/* ---- two directories: the other one goes on ---- */

static void two_life(void *arg)
{
    const struct fatal *f = arg;
    testhost_dir(&rig.th, "e");
    begin(4); /* two in each */
    for (int i = 0; i < 4; i++)
        fill(i, 2);
    struct chronik_part_stat st = {.size = sizeof st};
    rig.ops->roll(rig.parts[0].p); /* the next segment's file is opened under the fault */
    rig.ops->stat(rig.parts[0].p, &st);
    char path[80];
    snprintf(path, sizeof path, "%s/data/", rig.th.roots[st.dir]);
    fault(f->op, path, CHRONIK_E_IO);
    rig_append(&rig, 0, 900, 1, 0, CHRONIK_FLUSH_GROUP);
    if (f->flush)
        flush();
    ck_assert_uint_eq(rig.th.offline, 1u << st.dir);
    ck_assert_msg(strstr(rig.th.last_log, f->says) && strstr(rig.th.last_log, "restart to bring the directory back"),
                  "it said '%s'", rig.th.last_log);
    ck_assert_int_eq(rig_append(&rig, 0, 900, 1, 0, CHRONIK_FLUSH_GROUP), CHRONIK_E_OFFLINE);
    for (int i = 0; i < 4; i++) {
        struct chronik_part_stat one = {.size = sizeof one};
        rig.ops->stat(rig.parts[i].p, &one);
        ck_assert_int_eq(one.offline, one.dir == st.dir);
        if (one.dir == st.dir)
            continue;
        ck_assert_int_gt(rig_append(&rig, i, 900, 1, 0, CHRONIK_FLUSH_GROUP), 0);
        rig_wait_durable(&rig, i);
        ck_assert_int_eq(rig_verify(&rig, i), 3);
    }
    rig_stop(&rig);
}

START_TEST(d1_an_io_error_of_one_directory_takes_it_offline_and_the_other_serves)
{
    static const struct fatal ways[] = {{OS_FAULT_WRITE, "", "writing file data/", false},
                                        {OS_FAULT_SYNC, "", "syncing file data/", true}};
    struct fatal f = ways[_i];
    ck_assert_msg(sim_call(node, two_life, &f), "%s", last_words);
}
END_TEST

/* ---- reading ---- */

static void read_life(void *arg)
{
    begin(2);
    fill(0, 5);
    fill(1, 5);
    rig_stop(&rig);
    fault(OS_FAULT_READ, "-0.1/", CHRONIK_E_IO);
    ck_assert_int_gt(rig_start(&rig), 0);
    ck_assert_int_gt(rig_open(&rig, 0, 0), 0);
    ck_assert_int_gt(rig_open(&rig, 1, 0), 0);
    ck_assert_int_eq(rig_verify(&rig, 0), -1);
    ck_assert(rig_wait_failed(&rig, 0));
    ck_assert_int_eq(rig.parts[0].failed, CHRONIK_E_CORRUPT);
    ck_assert_msg(strstr(rig.parts[0].text, "file data/010000000000000000000000000000ab-0.1/") &&
                      strstr(rig.parts[0].text, "offset 0") && strstr(rig.parts[0].text, "restore"),
                  "it said '%s'", rig.parts[0].text);
    ck_assert_int_eq(rig_verify(&rig, 1), 5);
    rig_stop(&rig);
}

START_TEST(d2_a_segment_that_cannot_be_read_takes_its_partition_offline_and_the_others_serve)
{
    ck_assert_msg(sim_call(node, read_life, NULL), "%s", last_words);
}
END_TEST

static void short_life(void *arg)
{
    struct os_file *f;
    begin(2);
    fill(0, 5);
    fill(1, 5);
    rig_stop(&rig);
    ck_assert_int_gt(
        os_open(node, "d/data/010000000000000000000000000000ab-0.1/00000000000000000000-1.log", OS_READ | OS_WRITE, &f),
        0);
    ck_assert_int_gt(os_truncate(f, 3000), 0);
    os_close(f);
    ck_assert_int_gt(rig_start(&rig), 0);
    ck_assert_int_gt(rig_open(&rig, 0, 0), 0);
    ck_assert_int_gt(rig_open(&rig, 1, 0), 0);
    ck_assert_int_eq(rig_verify(&rig, 0), -1);
    ck_assert(rig_wait_failed(&rig, 0));
    ck_assert_msg(strstr(rig.parts[0].text, "shorter than what was acknowledged"), "it said '%s'", rig.parts[0].text);
    ck_assert_int_eq(rig_verify(&rig, 1), 5);
    rig_stop(&rig);
}

START_TEST(d2_a_segment_cut_short_below_the_recovery_point_is_no_hole)
{
    ck_assert_msg(sim_call(node, short_life, NULL), "%s", last_words);
}
END_TEST

/* ---- folders that the log does not know ---- */

static const char stray[] = "d/data/020000000000000000000000000000ab-0.9";

static void stray_life(void *arg)
{
    struct os_stat st;
    char aside[100];
    begin(1);
    fill(0, 5);
    struct os_flag f = {0};
    os_flag_wait(node, &f, 100000000);
    ck_assert_int_gt(os_mkdir(node, stray), 0);
    rig_stop(&rig);
    ck_assert_int_gt(os_unlink(node, "d/clean"), 0); /* as if it had died */
    if (*(bool *)arg)
        fault(OS_FAULT_RENAME, stray, CHRONIK_E_IO);
    int32_t rc = rig_start(&rig);
    if (*(bool *)arg) {
        ck_assert_int_eq(rc, CHRONIK_E_IO);
        ck_assert_msg(strstr(rig.text, "cannot be put aside") && strstr(rig.text, stray + 2), "it said '%s'", rig.text);
        return;
    }
    ck_assert_int_gt(rc, 0);
    ck_assert_msg(strstr(rig.th.last_log, "is put aside as"), "it said '%s'", rig.th.last_log);
    snprintf(aside, sizeof aside, "%s.lost", stray);
    ck_assert_int_lt(os_lookup(node, stray, &st), 0);
    ck_assert_int_gt(os_lookup(node, aside, &st), 0);
    rig_stop(&rig);
}

START_TEST(a_folder_put_aside_leaves_a_line_and_one_that_stays_refuses_the_start)
{
    bool failing = _i == 1;
    ck_assert_msg(sim_call(node, stray_life, &failing), "%s", last_words);
}
END_TEST

/* ---- a full disk ---- */

static void full_life(void *arg)
{
    begin(1);
    fill(0, 5);
    sim_disk_budget(node, 0);
    int32_t rc = CHRONIK_DONE;
    for (int i = 0; i < 4000 && rc > 0; i++)
        rc = rig_append(&rig, 0, 4000, 1, 0, CHRONIK_FLUSH_GROUP);
    ck_assert_int_eq(rc, CHRONIK_E_NOSPC);
    ck_assert_int_eq(rig_verify(&rig, 0), rig.parts[0].end);
    sim_disk_budget(node, UINT64_MAX);
    struct os_flag f = {0};
    for (int i = 0; i < 100 && rc < 0; i++) {
        os_flag_wait(node, &f, 100000000);
        rc = rig_append(&rig, 0, 4000, 1, 0, CHRONIK_FLUSH_GROUP);
    }
    ck_assert_int_gt(rc, 0);
    rig_wait_durable(&rig, 0);
    rig_stop(&rig);
}

START_TEST(d4_a_full_disk_refuses_appends_and_nothing_else_and_heals)
{
    ck_assert_msg(sim_call(node, full_life, NULL), "%s", last_words);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("faults of the disk under store-wal");
    TCase *c = tcase_create("faults");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, d1_an_io_error_of_the_only_directory_ends_the_process_with_a_sentence, 0,
                        (int)ARRAY_LEN(fatals));
    tcase_add_loop_test(c, d1_an_io_error_of_one_directory_takes_it_offline_and_the_other_serves, 0, 2);
    tcase_add_test(c, d2_a_segment_that_cannot_be_read_takes_its_partition_offline_and_the_others_serve);
    tcase_add_test(c, d2_a_segment_cut_short_below_the_recovery_point_is_no_hole);
    tcase_add_loop_test(c, a_folder_put_aside_leaves_a_line_and_one_that_stays_refuses_the_start, 0, 2);
    tcase_add_test(c, d4_a_full_disk_refuses_appends_and_nothing_else_and_heals);
    suite_add_tcase(s, c);
    return run_suite(s);
}
