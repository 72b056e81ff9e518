/* test_store.c: what a broker may rely on in store-wal: append and read, ends, restart after a clean stop and after the
 * death of the process, truncation, deletion, sidecars, times. Over the real world. */
#include <config.h>

#include "tests/unit/store/storerig.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[64];
static struct os *os;
static struct rig rig;

static void setup(void)
{
    testhost_mkdtemp(root);
    os = os_real_new(2);
    rig_init(&rig, os, root);
}

static void teardown(void)
{
    os_real_free(os);
    testhost_rmtree(root);
}

static void must_start(void)
{
    int32_t rc = rig_start(&rig);
    ck_assert_msg(rc > 0, "%d: %s", rc, rig.text);
}

static void must_open(int32_t part)
{
    ck_assert_int_gt(rig_open(&rig, part, CHRONIK_STORE_CREATE), 0);
}

static void fill(int32_t part, int n, uint32_t flush)
{
    for (int i = 0; i < n; i++) {
        int32_t rc = rig_append(&rig, part, 61 + (uint32_t)(i * 7919 % 5000), 1 + (uint32_t)i % 4, 0, flush);
        ck_assert_msg(rc > 0, "append %d: %d", i, rc);
    }
}

static void must_verify(int32_t part, int64_t end)
{
    ck_assert_msg(rig_verify(&rig, part) == end, "%s, wanted %lld", rig.text, (long long)end);
}

static void wait_call(int32_t started, struct testhost_wait *w, int32_t want)
{
    ck_assert_int_eq(testhost_result(w, started), want);
}

/* Runs fn in a child that then dies without warning, as after kill -9. */
static void in_dying_child(void (*fn)(void))
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        os = os_real_new(2);
        rig_init(&rig, os, root);
        fn();
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

START_TEST(batches_are_readable_at_once_and_announced_durable_after_their_group)
{
    must_start();
    must_open(0);
    fill(0, 200, CHRONIK_FLUSH_GROUP);
    must_verify(0, rig.parts[0].end);
    rig_wait_durable(&rig, 0);
    struct chronik_part_stat st = {.size = sizeof st};
    rig.ops->stat(rig.parts[0].p, &st);
    ck_assert_int_eq(st.durable, st.written);
    ck_assert_int_eq(st.last_epoch, 3);
    ck_assert_uint_eq(st.clean, 0);
    rig_stop(&rig);
}
END_TEST

START_TEST(after_a_clean_stop_everything_is_there_and_the_log_goes_on)
{
    must_start();
    must_open(0);
    must_open(5);
    fill(0, 300, CHRONIK_FLUSH_GROUP);
    fill(5, 10, CHRONIK_FLUSH_OS);
    int64_t end = rig.parts[0].end, end5 = rig.parts[5].end;
    rig_stop(&rig);
    for (int round = 0; round < 3; round++) {
        struct chronik_part_stat st = {.size = sizeof st};
        must_start();
        ck_assert_int_gt(rig_open(&rig, 0, 0), 0);
        ck_assert_int_gt(rig_open(&rig, 5, 0), 0);
        ck_assert_int_eq(rig_open(&rig, 5, 0), CHRONIK_E_EXISTS);
        ck_assert_int_eq(rig_open(&rig, 9, 0), CHRONIK_E_NOTFOUND);
        rig.ops->stat(rig.parts[0].p, &st);
        ck_assert_uint_eq(st.clean, 1);
        ck_assert_int_eq(st.written, end);
        must_verify(0, end);
        must_verify(5, end5);
        fill(0, 5, CHRONIK_FLUSH_GROUP);
        end = rig.parts[0].end;
        rig_stop(&rig);
    }
}
END_TEST

static void child_group(void)
{
    must_start();
    must_open(0);
    must_open(1);
    fill(0, 250, CHRONIK_FLUSH_GROUP);
    rig.ops->roll(rig.parts[0].p);
    fill(0, 100, CHRONIK_FLUSH_GROUP);
    fill(1, 30, CHRONIK_FLUSH_GROUP);
    rig_wait_durable(&rig, 0);
    rig_wait_durable(&rig, 1);
}

START_TEST(d2_what_was_announced_durable_is_there_after_kill_9)
{
    in_dying_child(child_group);
    must_start();
    ck_assert_int_gt(rig_open(&rig, 0, 0), 0);
    ck_assert_int_gt(rig_open(&rig, 1, 0), 0);
    struct chronik_part_stat st = {.size = sizeof st};
    rig.ops->stat(rig.parts[0].p, &st);
    ck_assert_uint_eq(st.clean, 0);
    ck_assert_uint_eq(st.segments, 2);
    must_verify(0, 873); /* 350 batches of 1, 2, 3, 4 records, the count beginning anew after 250 */
    must_verify(1, 73);
    fill(0, 10, CHRONIK_FLUSH_GROUP);
    must_verify(0, rig.parts[0].end);
    rig_stop(&rig);
}
END_TEST

static void child_unchecked(void)
{
    must_start();
    must_open(0);
    must_open(1);
    fill(0, 350, CHRONIK_FLUSH_GROUP);
    fill(1, 30, CHRONIK_FLUSH_GROUP);
    rig_wait_durable(&rig, 0);
    rig_wait_durable(&rig, 1);
}

START_TEST(d2_the_same_after_a_power_cut_that_lost_every_segment)
{
    char cmd[200];
    in_dying_child(child_unchecked);
    snprintf(cmd, sizeof cmd, "find %s/data -name '*.log' -delete", root);
    ck_assert_int_eq(system(cmd), 0);
    rig.th.own_boot = true;
    rig.th.boot.b[3] = 9;
    must_start();
    ck_assert_int_gt(rig_open(&rig, 0, 0), 0);
    ck_assert_int_gt(rig_open(&rig, 1, 0), 0);
    must_verify(0, 873);
    must_verify(1, 73);
    rig_stop(&rig);
}
END_TEST

static void child_os(void)
{
    must_start();
    must_open(0);
    fill(0, 200, CHRONIK_FLUSH_OS);
    rig.ops->roll(rig.parts[0].p);
    fill(0, 50, CHRONIK_FLUSH_OS);
}

START_TEST(in_os_mode_acknowledged_batches_survive_the_death_of_the_process)
{
    in_dying_child(child_os);
    must_start();
    ck_assert_int_gt(rig_open(&rig, 0, 0), 0);
    must_verify(0, 623);
    fill(0, 10, CHRONIK_FLUSH_OS);
    must_verify(0, rig.parts[0].end);
    rig_stop(&rig);
}
END_TEST

static size_t file_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

static void segment_path(char out[300], const char *pattern)
{
    char cmd[300];
    snprintf(cmd, sizeof cmd, "ls %s/data/*/%s | sort | tail -1", root, pattern);
    FILE *f = popen(cmd, "r");
    ck_assert_ptr_nonnull(fgets(out, 300, f));
    out[strcspn(out, "\n")] = 0;
    pclose(f);
}

START_TEST(d5_in_os_mode_the_log_is_cut_at_the_first_bad_batch_and_says_so)
{
    char path[300];
    in_dying_child(child_os);
    segment_path(path, "*.log");
    size_t n = file_size(path);
    int fd = open(path, O_RDWR);
    ck_assert_int_eq(pwrite(fd, "XXXX", 4, (off_t)n - 2000), 4);
    close(fd);
    rig.th.quiet = true;
    must_start();
    ck_assert_int_gt(rig_open(&rig, 0, 0), 0);
    struct chronik_part_stat st = {.size = sizeof st};
    rig.ops->stat(rig.parts[0].p, &st);
    ck_assert_int_lt(st.written, 623);
    ck_assert_int_gt(st.written, 500);
    must_verify(0, st.written);
    rig_stop(&rig);
}
END_TEST

START_TEST(reads_give_whole_batches_within_limits_and_begin_inside_a_batch)
{
    must_start();
    must_open(0);
    for (int i = 0; i < 100; i++)
        ck_assert_int_gt(rig_append(&rig, 0, 1000, 10, 0, CHRONIK_FLUSH_GROUP), 0);
    struct chronik_range range;
    struct chronik_read rd = {
        .size = sizeof rd, .from = 55, .end = 1000, .max_bytes = 3500, .ranges = &range, .max_ranges = 1};
    ck_assert_int_gt(rig.ops->read(rig.parts[0].p, &rd), 0);
    ck_assert_int_eq(rd.base_offset, 50);
    ck_assert_uint_eq(rd.bytes, 3000);
    rig.ops->release(rd.pin);
    rd.end = 69; /* the batch 60-69 does not end below it */
    ck_assert_int_gt(rig.ops->read(rig.parts[0].p, &rd), 0);
    ck_assert_uint_eq(rd.bytes, 1000);
    rig.ops->release(rd.pin);
    rd.end = 59;
    ck_assert_int_gt(rig.ops->read(rig.parts[0].p, &rd), 0);
    ck_assert_uint_eq(rd.bytes, 0);
    rd.end = 1000;
    rd.max_bytes = 10;
    ck_assert_int_gt(rig.ops->read(rig.parts[0].p, &rd), 0);
    ck_assert_uint_eq(rd.bytes, 0);
    rd.flags = CHRONIK_STORE_MIN_ONE;
    ck_assert_int_gt(rig.ops->read(rig.parts[0].p, &rd), 0);
    ck_assert_uint_eq(rd.bytes, 1000);
    rig.ops->release(rd.pin);
    rd.from = 1001;
    ck_assert_int_eq(rig.ops->read(rig.parts[0].p, &rd), CHRONIK_E_RANGE);
    rd.from = 1000;
    ck_assert_int_gt(rig.ops->read(rig.parts[0].p, &rd), 0);
    ck_assert_uint_eq(rd.bytes, 0);
    rig_stop(&rig);
}
END_TEST

START_TEST(offsets_and_times_are_found_in_big_segments_also_after_restart)
{
    struct testhost_wait w;
    must_start();
    must_open(0);
    for (int i = 0; i < 3000; i++)
        ck_assert_int_gt(rig_append(&rig, 0, 12000, 2, 0, CHRONIK_FLUSH_OS), 0);
    rig.ops->roll(rig.parts[0].p);
    for (int i = 0; i < 100; i++)
        ck_assert_int_gt(rig_append(&rig, 0, 12000, 2, 0, CHRONIK_FLUSH_OS), 0);
    for (int round = 0; round < 2; round++) {
        for (int64_t off = 1; off < 6200; off += 311) {
            struct chronik_range range;
            struct chronik_read rd = {
                .size = sizeof rd, .from = off, .end = 6200, .max_bytes = 50000, .ranges = &range, .max_ranges = 1};
            ck_assert_int_gt(rig.ops->read(rig.parts[0].p, &rd), 0);
            ck_assert_int_eq(rd.base_offset, off / 2 * 2);
            ck_assert_uint_eq(rd.bytes % 12000, 0);
            rig.ops->release(rd.pin);
            int64_t found = -1;
            ck_assert_int_gt(rig.ops->find_time(rig.parts[0].p, 1000 + off * 10, &found), 0);
            ck_assert_int_le(found, off + 1);
            ck_assert_int_ge(found, off - 80);
        }
        int64_t found;
        ck_assert_int_eq(rig.ops->find_time(rig.parts[0].p, 1000 + 6200 * 10, &found), CHRONIK_E_NOTFOUND);
        if (round == 0) {
            wait_call(rig.ops->flush(rig.s, testhost_done(&rig.th, &w)), &w, CHRONIK_DONE);
            rig_stop(&rig);
            must_start();
            ck_assert_int_gt(rig_open(&rig, 0, 0), 0);
        }
    }
    rig_stop(&rig);
}
END_TEST

START_TEST(a_truncated_suffix_continues_in_a_new_file_and_pinned_bytes_stay)
{
    struct testhost_wait w;
    uint8_t before[1000], after[1000];
    uint64_t got;
    must_start();
    must_open(0);
    for (int i = 0; i < 50; i++)
        ck_assert_int_gt(rig_append(&rig, 0, 1000, 10, 0, CHRONIK_FLUSH_GROUP), 0);
    rig_wait_durable(&rig, 0);
    struct chronik_range range;
    struct chronik_read rd = {
        .size = sizeof rd, .from = 300, .end = 310, .max_bytes = 1000, .ranges = &range, .max_ranges = 1};
    ck_assert_int_gt(rig.ops->read(rig.parts[0].p, &rd), 0);
    ck_assert_int_gt(rig.th.table.file_read(range.file, before, 1000, range.offset, 0, &got), 0);
    ck_assert_int_eq(rig.ops->truncate_suffix(rig.parts[0].p, 205, testhost_done(&rig.th, &w)), CHRONIK_E_INVAL);
    wait_call(rig.ops->truncate_suffix(rig.parts[0].p, 200, testhost_done(&rig.th, &w)), &w, CHRONIK_DONE);
    rig.parts[0].end = rig.parts[0].durable = 200;
    for (int i = 0; i < 20; i++)
        ck_assert_int_gt(rig_append(&rig, 0, 900, 5, 0, CHRONIK_FLUSH_GROUP), 0);
    rig_wait_durable(&rig, 0);
    ck_assert_int_gt(rig.th.table.file_read(range.file, after, 1000, range.offset, 0, &got), 0);
    ck_assert_mem_eq(before, after, 1000);
    rig.ops->release(rd.pin);
    must_verify(0, 300);
    rig_stop(&rig);
    must_start();
    ck_assert_int_gt(rig_open(&rig, 0, 0), 0);
    must_verify(0, 300);
    wait_call(rig.ops->truncate_suffix(rig.parts[0].p, 0, testhost_done(&rig.th, &w)), &w, CHRONIK_DONE);
    rig.parts[0].end = rig.parts[0].durable = 0;
    fill(0, 10, CHRONIK_FLUSH_GROUP);
    must_verify(0, 23);
    rig_stop(&rig);
}
END_TEST

START_TEST(the_log_may_begin_inside_a_batch_and_files_below_vanish_once_nobody_pins_them)
{
    struct testhost_wait w;
    char cmd[200];
    must_start();
    must_open(0);
    for (int seg = 0; seg < 5; seg++) {
        for (int i = 0; i < 10; i++)
            ck_assert_int_gt(rig_append(&rig, 0, 1000, 10, 0, CHRONIK_FLUSH_GROUP), 0);
        ck_assert_int_gt(rig.ops->roll(rig.parts[0].p), 0);
    }
    struct chronik_range range;
    struct chronik_read rd = {
        .size = sizeof rd, .from = 0, .end = 10, .max_bytes = 1000, .ranges = &range, .max_ranges = 1};
    ck_assert_int_gt(rig.ops->read(rig.parts[0].p, &rd), 0);
    wait_call(rig.ops->truncate_prefix(rig.parts[0].p, 255, testhost_done(&rig.th, &w)), &w, CHRONIK_DONE);
    struct chronik_part_stat st = {.size = sizeof st};
    rig.ops->stat(rig.parts[0].p, &st);
    ck_assert_int_eq(st.log_start, 255);
    ck_assert_uint_eq(st.segments, 3);
    wait_call(rig.ops->flush(rig.s, testhost_done(&rig.th, &w)), &w, CHRONIK_DONE);
    uint8_t buf[1000];
    uint64_t got;
    ck_assert_int_gt(rig.th.table.file_read(range.file, buf, 1000, range.offset, 0, &got), 0);
    int64_t next;
    uint64_t bytes;
    ck_assert(rig_batch_check(buf, got, 0, 0, 0, &next, &bytes));
    rig.ops->release(rd.pin);
    snprintf(cmd, sizeof cmd, "test $(ls %s/data/*/*.log | wc -l) = 3", root);
    int left = 1;
    for (int i = 0; i < 100 && left; i++) {
        usleep(20000);
        left = system(cmd);
    }
    ck_assert_int_eq(left, 0);
    rd.from = 254;
    ck_assert_int_eq(rig.ops->read(rig.parts[0].p, &rd), CHRONIK_E_RANGE);
    rd.from = 255;
    rd.end = 300;
    ck_assert_int_gt(rig.ops->read(rig.parts[0].p, &rd), 0);
    ck_assert_int_eq(rd.base_offset, 250);
    rig.ops->release(rd.pin);
    rig_stop(&rig);
    must_start();
    ck_assert_int_gt(rig_open(&rig, 0, 0), 0);
    rig.ops->stat(rig.parts[0].p, &st);
    ck_assert_int_eq(st.log_start, 255);
    ck_assert_int_eq(st.written, 500);
    rig_stop(&rig);
}
END_TEST

START_TEST(d5_d8_a_deleted_partition_leaves_nothing_behind)
{
    struct testhost_wait w;
    char cmd[200];
    must_start();
    must_open(0);
    must_open(1);
    fill(0, 50, CHRONIK_FLUSH_GROUP);
    fill(1, 50, CHRONIK_FLUSH_GROUP);
    ck_assert_int_gt(rig.ops->sidecar_write(rig.parts[0].p, 1, 5, "x", 1), 0);
    wait_call(rig.ops->part_delete(rig.parts[0].p, testhost_done(&rig.th, &w)), &w, CHRONIK_DONE);
    snprintf(cmd, sizeof cmd, "test $(ls %s/data | wc -l) = 1", root);
    int left = 1;
    for (int i = 0; i < 100 && left; i++) {
        usleep(20000);
        left = system(cmd);
    }
    ck_assert_int_eq(left, 0);
    ck_assert_int_eq(rig_open(&rig, 0, 0), CHRONIK_E_NOTFOUND);
    must_open(0);
    fill(0, 5, CHRONIK_FLUSH_GROUP);
    rig_stop(&rig);
    must_start();
    ck_assert_int_gt(rig_open(&rig, 0, 0), 0);
    must_verify(0, 11);
    ck_assert_int_gt(rig_open(&rig, 1, 0), 0);
    must_verify(1, 123);
    rig_stop(&rig);
}
END_TEST

START_TEST(sidecars_are_found_by_kind_and_offset_and_dropped_on_both_sides)
{
    struct chronik_buf *b;
    int64_t at;
    must_start();
    must_open(0);
    fill(0, 100, CHRONIK_FLUSH_GROUP);
    for (int64_t i = 10; i <= 50; i += 10)
        ck_assert_int_gt(rig.ops->sidecar_write(rig.parts[0].p, (uint32_t)(i / 10 % 2), i, &i, sizeof i), 0);
    for (int round = 0; round < 2; round++) {
        ck_assert_int_gt(rig.ops->sidecar_latest(rig.parts[0].p, 1, 45, &at, &b), 0);
        ck_assert_int_eq(at, 30);
        ck_assert_uint_eq(rig.th.table.buf_size(b), 8);
        ck_assert_int_eq(*(int64_t *)rig.th.table.buf_data(b), 30);
        rig.th.table.buf_unref(b);
        ck_assert_int_eq(rig.ops->sidecar_latest(rig.parts[0].p, 0, 15, &at, &b), CHRONIK_E_NOTFOUND);
        rig_stop(&rig);
        must_start();
        ck_assert_int_gt(rig_open(&rig, 0, 0), 0);
    }
    ck_assert_int_gt(rig.ops->sidecar_drop(rig.parts[0].p, 1, 40, 20), 0);
    ck_assert_int_gt(rig.ops->sidecar_latest(rig.parts[0].p, 1, 1000, &at, &b), 0);
    ck_assert_int_eq(at, 30);
    rig.th.table.buf_unref(b);
    rig_stop(&rig);
}
END_TEST

START_TEST(a_sealed_range_can_be_replaced_and_stays_replaced)
{
    must_start();
    must_open(0);
    for (int seg = 0; seg < 3; seg++) {
        for (int i = 0; i < 10; i++)
            ck_assert_int_gt(rig_append(&rig, 0, 1000, 10, 0, CHRONIK_FLUSH_GROUP), 0);
        ck_assert_int_gt(rig.ops->roll(rig.parts[0].p), 0);
    }
    void *rw;
    uint8_t buf[500];
    ck_assert_int_eq(rig.ops->replace_begin(rig.parts[0].p, 0, 150, &rw), CHRONIK_E_INVAL);
    for (int abort = 1; abort >= 0; abort--) {
        ck_assert_int_gt(rig.ops->replace_begin(rig.parts[0].p, 0, 200, &rw), 0);
        for (int64_t base = 20; base < 200; base += 60) {
            rig_batch(buf, 500, 0, base, 10, 9, 77, 4);
            struct chronik_batch_info b = {base, base + 9, 77, 4, 0, 500};
            struct chronik_iov v = {buf, 500};
            ck_assert_int_gt(rig.ops->replace_write(rw, &b, &v, 1), 0);
        }
        ck_assert_int_gt(rig.ops->replace_end(rw, !abort), 0);
    }
    for (int round = 0; round < 2; round++) {
        struct chronik_range range;
        struct chronik_read rd = {
            .size = sizeof rd, .from = 30, .end = 300, .max_bytes = 5000, .ranges = &range, .max_ranges = 1};
        ck_assert_int_gt(rig.ops->read(rig.parts[0].p, &rd), 0);
        ck_assert_int_eq(rd.base_offset, 80);
        ck_assert_uint_eq(rd.bytes, 1000);
        rig.ops->release(rd.pin);
        rd.from = 150;
        ck_assert_int_gt(rig.ops->read(rig.parts[0].p, &rd), 0);
        ck_assert_int_eq(rd.base_offset, 200);
        rig.ops->release(rd.pin);
        rig_stop(&rig);
        must_start();
        ck_assert_int_gt(rig_open(&rig, 0, 0), 0);
    }
    rig_stop(&rig);
}
END_TEST

START_TEST(a_directory_in_use_of_another_node_or_cluster_or_version_is_refused_with_a_sentence)
{
    must_start();
    struct rig other;
    rig_init(&other, os, root);
    in_dying_child(setup); /* nothing: a child is another process */
    rig_stop(&rig);
    rig.node_id = 2;
    ck_assert_int_lt(rig_start(&rig), 0);
    ck_assert_ptr_nonnull(strstr(rig.text, "belongs to node 1"));
    rig.node_id = 1;
    rig.cluster.b[0] = 8;
    ck_assert_int_lt(rig_start(&rig), 0);
    ck_assert_ptr_nonnull(strstr(rig.text, "belongs to cluster"));
    rig.cluster.b[0] = 7;
    must_start();
    rig_stop(&rig);
}
END_TEST

START_TEST(d1_a_failed_sync_of_the_log_ends_the_process_with_status_74)
{
    pid_t pid = fork();
    if (pid == 0) {
        os = os_real_new(2);
        rig_init(&rig, os, root);
        os_fault_add(
            os, &(struct os_fault){.op = OS_FAULT_SYNC, .code = CHRONIK_E_IO, .after = 4, .times = 1, .path = "wal/"});
        must_start();
        must_open(0);
        for (int i = 0; i < 1000; i++) {
            rig_append(&rig, 0, 500, 1, 0, CHRONIK_FLUSH_GROUP);
            usleep(1000);
        }
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 74);
}
END_TEST

static void on_fatal(void *arg, int code, const char *text)
{
    _exit(strstr(text, "making folder data/") && strstr(text, "check the disk") ? code : 1);
}

START_TEST(d1_a_folder_that_cannot_be_made_ends_the_process_with_a_sentence)
{
    char path[128];
    pid_t pid = fork();
    if (pid == 0) {
        os = os_real_new(2);
        rig_init(&rig, os, root);
        rig.th.on_fatal = on_fatal;
        must_start();
        must_open(0);
        snprintf(path, sizeof path, "%s/data", root);
        ck_assert_int_eq(rmdir(path), 0); /* somebody removed the directory under the broker */
        rig_append(&rig, 0, 500, 1, 0, CHRONIK_FLUSH_GROUP);
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 74, "status %d", status);
}
END_TEST

START_TEST(d4_a_full_disk_refuses_appends_and_reads_and_deletes_go_on)
{
    struct testhost_wait w;
    rig.th.quiet = true;
    must_start();
    must_open(0);
    must_open(1);
    fill(0, 20, CHRONIK_FLUSH_GROUP);
    rig_wait_durable(&rig, 0);
    os_fault_add(os, &(struct os_fault){
                         .op = OS_FAULT_WRITE, .code = CHRONIK_E_NOSPC, .after = 0, .times = -1, .path = "-0.2/"});
    ck_assert_int_eq(rig_append(&rig, 0, 500, 1, 0, CHRONIK_FLUSH_GROUP), CHRONIK_DONE);
    must_verify(0, rig.parts[0].end);
    rig_wait_durable(&rig, 0);
    wait_call(rig.ops->part_delete(rig.parts[1].p, testhost_done(&rig.th, &w)), &w, CHRONIK_DONE);
    rig_stop(&rig);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store-wal");
    TCase *c = tcase_create("store-wal");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, batches_are_readable_at_once_and_announced_durable_after_their_group);
    tcase_add_test(c, after_a_clean_stop_everything_is_there_and_the_log_goes_on);
    tcase_add_test(c, d2_what_was_announced_durable_is_there_after_kill_9);
    tcase_add_test(c, d2_the_same_after_a_power_cut_that_lost_every_segment);
    tcase_add_test(c, in_os_mode_acknowledged_batches_survive_the_death_of_the_process);
    tcase_add_test(c, d5_in_os_mode_the_log_is_cut_at_the_first_bad_batch_and_says_so);
    tcase_add_test(c, reads_give_whole_batches_within_limits_and_begin_inside_a_batch);
    tcase_add_test(c, offsets_and_times_are_found_in_big_segments_also_after_restart);
    tcase_add_test(c, a_truncated_suffix_continues_in_a_new_file_and_pinned_bytes_stay);
    tcase_add_test(c, the_log_may_begin_inside_a_batch_and_files_below_vanish_once_nobody_pins_them);
    tcase_add_test(c, d5_d8_a_deleted_partition_leaves_nothing_behind);
    tcase_add_test(c, sidecars_are_found_by_kind_and_offset_and_dropped_on_both_sides);
    tcase_add_test(c, a_sealed_range_can_be_replaced_and_stays_replaced);
    tcase_add_test(c, a_directory_in_use_of_another_node_or_cluster_or_version_is_refused_with_a_sentence);
    tcase_add_test(c, d1_a_failed_sync_of_the_log_ends_the_process_with_status_74);
    tcase_add_test(c, d1_a_folder_that_cannot_be_made_ends_the_process_with_a_sentence);
    tcase_add_test(c, d4_a_full_disk_refuses_appends_and_reads_and_deletes_go_on);
    suite_add_tcase(s, c);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
