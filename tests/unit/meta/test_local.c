/* test_local.c: core/meta over meta-local in the real world, on a directory of its own: restarts, checkpoints that are
 * trusted and not, snapshots, and what a second start may cost. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <chronik/plugin.h>

#include "rig.h"

const struct chronik_plugin *meta_local_plugin(void);

static struct os *os;
static struct rig rig;
static char base[64], checkpoint[80];

static void up(void)
{
    snprintf(base, sizeof base, "/tmp/chronik-meta-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    snprintf(checkpoint, sizeof checkpoint, "%s/state", base);
    os = os_real_new(2);
    rig_init(&rig, os, meta_local_plugin()->ops);
    snprintf(rig.dir, sizeof rig.dir, "%s", base);
    rig.opt.checkpoint = checkpoint;
}

static void down(void)
{
    if (rig.m)
        rig_stop(&rig);
    os_real_free(os);
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", base);
    ck_assert_int_eq(system(cmd), 0);
}

struct facts {
    uint64_t seq, digest[2];
};

static struct facts facts(void)
{
    struct meta_status s;
    meta_status_get(rig.m, &s);
    return (struct facts){s.seq, {s.digest[0], s.digest[1]}};
}

static bool has_topic(const char *name)
{
    const struct meta_image *i = meta_enter(rig.reader);
    bool yes = meta_topic_by_name(i, name, strlen(name)) != NULL;
    meta_leave(rig.reader);
    return yes;
}

static void fill(int from, int n)
{
    for (int i = from; i < from + n; i++) {
        char name[32];
        snprintf(name, sizeof name, "t%d", i);
        ck_assert_int_eq(rig_create(&rig, name, (uint64_t)i, 2).code, 0);
    }
}

START_TEST(what_was_answered_is_there_after_a_clean_restart_from_the_checkpoint)
{
    rig_start(&rig);
    fill(0, 20);
    struct facts before = facts();
    rig_stop(&rig);
    rig.opt.join = false;
    rig_start(&rig);
    struct facts after = facts();
    struct meta_status s;
    meta_status_get(rig.m, &s);
    ck_assert_str_eq(s.checkpoint, "");
    ck_assert_uint_eq(s.checkpoint_seq, before.seq);
    ck_assert_mem_eq(&before, &after, sizeof before);
    ck_assert(has_topic("t19"));
}
END_TEST

START_TEST(without_its_checkpoint_the_state_is_rebuilt_from_the_log_alike)
{
    rig_start(&rig);
    fill(0, 20);
    struct facts before = facts();
    rig_stop(&rig);
    char path[128];
    snprintf(path, sizeof path, "%s/mark", checkpoint);
    ck_assert_int_eq(unlink(path), 0);
    rig.opt.checkpoint_ms = 100000; /* status says why until the next one */
    rig.opt.join = false;
    rig_start(&rig);
    struct facts after = facts();
    ck_assert_mem_eq(&before, &after, sizeof before);
    struct meta_status s;
    meta_status_get(rig.m, &s);
    ck_assert_ptr_nonnull(strstr(s.checkpoint, "no whole mark"));
}
END_TEST

START_TEST(d3_one_flipped_bit_in_the_checkpoint_is_noticed_and_the_state_rebuilt)
{
    rig_start(&rig);
    fill(0, 5);
    struct facts before = facts();
    rig_stop(&rig);
    char path[128];
    snprintf(path, sizeof path, "%s/state.mdb", checkpoint);
    FILE *f = fopen(path, "r+b");
    ck_assert_ptr_nonnull(f);
    fseek(f, 4096 * 2 + 100, SEEK_SET);
    int c = fgetc(f);
    fseek(f, 4096 * 2 + 100, SEEK_SET);
    fputc(c ^ 4, f);
    fclose(f);
    rig.opt.checkpoint_ms = 100000; /* status says why until the next one */
    rig.opt.join = false;
    rig_start(&rig);
    struct facts after = facts();
    ck_assert_mem_eq(&before, &after, sizeof before);
    struct meta_status s;
    meta_status_get(rig.m, &s);
    ck_assert_ptr_nonnull(strstr(s.checkpoint, "checksum"));
}
END_TEST

START_TEST(the_log_is_cut_behind_a_snapshot_and_the_state_comes_back_from_it)
{
    rig.snapshot_bytes = 65536;
    rig_start(&rig);
    struct meta_status s = {0};
    for (int i = 0; i < 400 && s.snapshot_seq == 0; i++) {
        fill(i * 10, 10);
        meta_status_get(rig.m, &s);
    }
    ck_assert_uint_gt(s.snapshot_seq, 0);
    fill(100000, 3);
    struct facts before = facts();
    rig_stop(&rig);
    char path[128];
    snprintf(path, sizeof path, "%s/mark", checkpoint);
    ck_assert_int_eq(unlink(path), 0);
    rig.opt.join = false;
    rig_start(&rig);
    struct facts after = facts();
    ck_assert_mem_eq(&before, &after, sizeof before);
    meta_status_get(rig.m, &s);
    ck_assert_uint_gt(s.snapshot_seq, 0);
    uint64_t first, end;
    meta_log_range(rig.m, &first, &end);
    ck_assert_uint_eq(first, s.snapshot_seq + 1);
    ck_assert_uint_eq(end, before.seq + 1);
}
END_TEST

START_TEST(each_start_is_a_new_incarnation_that_raises_the_epochs_it_leads)
{
    rig_start(&rig);
    fill(0, 1);
    int64_t epoch = meta_broker_epoch(rig.m);
    rig_stop(&rig);
    rig_start(&rig);
    ck_assert_int_gt(meta_broker_epoch(rig.m), epoch);
    const struct meta_image *i = meta_enter(rig.reader);
    const struct meta_topic *t = meta_topic_by_name(i, "t0", 2);
    ck_assert_int_eq(t->partitions[0]->leader_epoch, 1);
    ck_assert_int_eq(t->partitions[1]->leader_epoch, 1);
    meta_leave(rig.reader);
}
END_TEST

START_TEST(a_log_of_another_cluster_is_refused)
{
    rig_start(&rig);
    rig_stop(&rig);
    rig.opt.cluster_id = rig_id(5);
    ck_assert(rig_begin(&rig));
    struct err e;
    meta_start(rig.m, &e);
    ck_assert(os_flag_wait(os, &rig.failed, INT64_C(20000000000)));
    ck_assert_ptr_nonnull(strstr(rig.failed_text, "belongs to cluster"));
}
END_TEST

START_TEST(a_lost_log_beside_a_checkpoint_is_refused_with_the_remedy)
{
    rig_start(&rig);
    fill(0, 3);
    rig_stop(&rig);
    char cmd[200];
    snprintf(cmd, sizeof cmd, "rm -rf '%s/meta-local'", base);
    ck_assert_int_eq(system(cmd), 0);
    ck_assert(rig_begin(&rig));
    struct err e;
    meta_start(rig.m, &e);
    ck_assert(os_flag_wait(os, &rig.failed, INT64_C(20000000000)));
    ck_assert_ptr_nonnull(strstr(rig.failed_text, "restore the folder"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("meta over meta-local");
    TCase *t = tcase_create("local");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, up, down);
    tcase_add_test(t, what_was_answered_is_there_after_a_clean_restart_from_the_checkpoint);
    tcase_add_test(t, without_its_checkpoint_the_state_is_rebuilt_from_the_log_alike);
    tcase_add_test(t, d3_one_flipped_bit_in_the_checkpoint_is_noticed_and_the_state_rebuilt);
    tcase_add_test(t, the_log_is_cut_behind_a_snapshot_and_the_state_comes_back_from_it);
    tcase_add_test(t, each_start_is_a_new_incarnation_that_raises_the_epochs_it_leads);
    tcase_add_test(t, a_log_of_another_cluster_is_refused);
    tcase_add_test(t, a_lost_log_beside_a_checkpoint_is_refused_with_the_remedy);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
