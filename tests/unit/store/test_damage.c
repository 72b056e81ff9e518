/* test_damage.c: a flipped bit anywhere in a stopped store, in every kind of file: the start is refused with a
 * sentence, or the partition is, or the checksum of the batch tells the reader; never is another batch served as if it
 * were right, and never does anything crash. */
#include <config.h>

#include "tests/unit/store/storerig.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char root[64];
static struct os *os;
static struct rig rig;

static void setup(void)
{
    testhost_mkdtemp(root);
    os = os_real_new(1);
    rig_init(&rig, os, root);
    rig.th.quiet = true;
}

static void teardown(void)
{
    os_real_free(os);
    testhost_rmtree(root);
}

static void build(void)
{
    ck_assert_int_gt(rig_start(&rig), 0);
    ck_assert_int_gt(rig_open(&rig, 0, CHRONIK_STORE_CREATE), 0);
    for (int i = 0; i < 40; i++) {
        ck_assert_int_gt(rig_append(&rig, 0, 8000, 3, 0, CHRONIK_FLUSH_GROUP), 0);
        if (i == 20)
            ck_assert_int_gt(rig.ops->roll(rig.parts[0].p), 0);
    }
    rig_wait_durable(&rig, 0);
    ck_assert_int_gt(rig.ops->sidecar_write(rig.parts[0].p, 1, 60, "hello", 5), 0);
    rig_stop(&rig);
}

/* 1: all right, 0: noticed. */
static int try_store(void)
{
    struct chronik_buf *b = NULL;
    int64_t at;
    if (rig_start(&rig) < 0) {
        ck_assert_uint_gt(strlen(rig.text), 20);
        return 0;
    }
    int right = rig_open(&rig, 0, 0) > 0 && rig_verify(&rig, 0) == 120;
    if (right && rig.ops->sidecar_latest(rig.parts[0].p, 1, 100, &at, &b) > 0) {
        ck_assert_mem_eq(rig.th.table.buf_data(b), "hello", 5);
        rig.th.table.buf_unref(b);
    }
    for (int64_t ts = 0; ts < 4000 && rig.parts[0].p; ts += 500)
        rig.ops->find_time(rig.parts[0].p, ts, &at);
    rig_stop(&rig);
    return right;
}

static void copy(const char *flags)
{
    char cmd[300];
    snprintf(cmd, sizeof cmd, "rm -rf %s && cp -r %s.%s %s", root, root, flags, root);
    ck_assert_int_eq(system(cmd), 0);
}

static void flip_all(const char *find, unsigned step, unsigned least)
{
    char cmd[300], path[300];
    unsigned noticed = 0, harmless = 0;
    build();
    snprintf(cmd, sizeof cmd, "cp -r %s %s.keep", root, root);
    ck_assert_int_eq(system(cmd), 0);
    snprintf(cmd, sizeof cmd, "find %s.keep -path '*%s' | sort", root, find);
    FILE *list = popen(cmd, "r");
    while (fgets(path, sizeof path, list)) {
        path[strcspn(path, "\n")] = 0;
        char real[300];
        snprintf(real, sizeof real, "%s%s", root, path + strlen(root) + 5);
        FILE *f = fopen(path, "rb");
        fseek(f, 0, SEEK_END);
        long n = ftell(f);
        fclose(f);
        for (long bit = 3; bit < n * 8; bit += step) {
            copy("keep");
            f = fopen(real, "r+b");
            fseek(f, bit / 8, SEEK_SET);
            int c = fgetc(f);
            fseek(f, bit / 8, SEEK_SET);
            fputc(c ^ 1 << bit % 8, f);
            fclose(f);
            if (try_store())
                harmless++;
            else
                noticed++;
        }
    }
    pclose(list);
    snprintf(cmd, sizeof cmd, "rm -rf %s.keep", root);
    ck_assert_int_eq(system(cmd), 0);
    ck_assert_msg(noticed >= least, "%u noticed, %u harmless", noticed, harmless);
}

START_TEST(d2_a_flipped_bit_in_a_segment_is_never_served_as_right)
{
    flip_all("0.1/*.log", 40009, 40);
}
END_TEST

/* The offset of a batch lies outside its checksum: nobody else would notice. */
START_TEST(d2_a_batch_whose_offset_left_its_segment_takes_the_partition_offline)
{
    char cmd[300];
    struct chronik_range ranges[4];
    struct chronik_read r = {
        .size = sizeof r, .from = 0, .end = 120, .max_bytes = 1 << 20, .ranges = ranges, .max_ranges = 4};
    build();
    snprintf(cmd, sizeof cmd,
             "f=$(find %s -name '00000000000000000000-*.log') && "
             "printf '\\001' | dd of=$f bs=1 seek=4 conv=notrunc status=none",
             root);
    ck_assert_int_eq(system(cmd), 0);
    ck_assert_int_gt(rig_start(&rig), 0);
    ck_assert_int_gt(rig_open(&rig, 0, 0), 0);
    ck_assert_int_eq(rig.ops->read(rig.parts[0].p, &r), CHRONIK_E_CORRUPT);
    ck_assert_uint_eq(r.n_ranges, 0);
    rig_stop(&rig);
}
END_TEST

START_TEST(d2_a_flipped_bit_in_the_manifest_or_the_meta_file_refuses_the_start)
{
    flip_all("/manifest", 211, 10);
}
END_TEST

START_TEST(d2_a_flipped_bit_in_an_index_sidecar_or_clean_mark_does_no_harm)
{
    flip_all("0.1/*.idx", 1501, 0);
}
END_TEST

START_TEST(d2_a_flipped_bit_in_a_sidecar_makes_an_older_one_serve)
{
    flip_all("*.side", 301, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("damage");
    TCase *c = tcase_create("damage");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, d2_a_flipped_bit_in_a_segment_is_never_served_as_right);
    tcase_add_test(c, d2_a_batch_whose_offset_left_its_segment_takes_the_partition_offline);
    tcase_add_test(c, d2_a_flipped_bit_in_the_manifest_or_the_meta_file_refuses_the_start);
    tcase_add_test(c, d2_a_flipped_bit_in_an_index_sidecar_or_clean_mark_does_no_harm);
    tcase_add_test(c, d2_a_flipped_bit_in_a_sidecar_makes_an_older_one_serve);
    suite_add_tcase(s, c);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
