/* test_part_age.c: what a partition does as time passes and its log grows: retention, rolling, flushing. */
#include "tests/unit/partition/partrig.h"

#include <check.h>
#include <stdlib.h>

START_TEST(retention_removes_whole_old_segments_only)
{
    struct sent s;
    int64_t ts, now = os_wall_ms(os);
    topic.retention_ms = 10000;
    topic.segment_bytes = 200;
    spec_open(0);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(send_and_settle(&s, 5, i < 4 ? now - 60000 : now, -1, 0, 0), KAFKA_NONE);
    settle();
    part_retention_pass(set);
    settle();
    ck_assert_int_eq(list(-2, &ts), 20);
    sim_clock_jump(os, now + 60000);
    part_retention_pass(set);
    settle();
    ck_assert_int_eq(list(-2, &ts), 30);
    ck_assert_int_eq(list(-1, &ts), 30);
    config_topic_fill(config, NULL, 0, &topic);
}
END_TEST

static uint32_t segments(void)
{
    struct part *p = part_find(set, &id, 0);
    struct chronik_part_stat st;
    part_stat(p, &st);
    part_unref(p);
    return st.segments;
}

START_TEST(retention_by_size_keeps_at_least_that_much)
{
    struct sent s;
    int64_t ts, now = os_wall_ms(os);
    topic.retention_ms = -1;
    topic.segment_bytes = 200;
    topic.retention_bytes = 400;
    spec_open(0);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(send_and_settle(&s, 5, now, -1, 0, 0), KAFKA_NONE);
    uint32_t before = segments();
    part_retention_pass(set);
    settle();
    int64_t start = list(-2, &ts);
    ck_assert_uint_lt(segments(), before);
    ck_assert_int_gt(start, 0);
    ck_assert_int_lt(start, 40);
    struct part *p = part_find(set, &id, 0);
    struct chronik_part_stat st;
    part_stat(p, &st);
    part_unref(p);
    ck_assert_uint_ge(st.bytes, 400);
    ck_assert_int_eq(st.log_start, start);
    ck_assert_int_eq(list(-4, &ts), start);
    ck_assert_int_eq(read_from(start).view.log_start, start);
    part_retention_pass(set); /* nothing more is due */
    settle();
    ck_assert_int_eq(list(-2, &ts), start);
    config_topic_fill(config, NULL, 0, &topic);
}
END_TEST

/* Appends once after `ms`; whether that began a segment. */
static bool rolls_after(int64_t ms)
{
    struct sent s;
    uint32_t before = segments();
    sim_clock_jump(os, ms);
    ck_assert_int_eq(send_and_settle(&s, 1, os_wall_ms(os), -1, 0, 0), KAFKA_NONE);
    return segments() > before;
}

START_TEST(a_segment_is_rolled_by_its_age_and_earlier_by_at_most_the_jitter)
{
    struct sent s;
    int early = 0;
    topic.segment_ms = 100000;
    spec_open(0);
    ck_assert_int_eq(send_and_settle(&s, 1, os_wall_ms(os), -1, 0, 0), KAFKA_NONE);
    ck_assert(!rolls_after(90000));
    ck_assert(rolls_after(20000));
    topic.segment_jitter_ms = 50000;
    spec_open(0);
    for (int i = 0; i < 10; i++) {
        ck_assert(rolls_after(110000)); /* a new segment, with a jitter of its own */
        ck_assert(!rolls_after(45000));
        early += rolls_after(40000);
    }
    ck_assert_int_gt(early, 0);
    topic.segment_jitter_ms = INT64_MAX; /* as large as the age at most */
    spec_open(0);
    ck_assert(rolls_after(110000));
    config_topic_fill(config, NULL, 0, &topic);
}
END_TEST

static bool rolls_at(int64_t ts)
{
    struct sent s;
    uint32_t before = segments();
    ck_assert_int_eq(send_and_settle(&s, 1, ts, -1, 0, 0), KAFKA_NONE);
    return segments() > before;
}

START_TEST(a_segment_is_as_old_as_the_times_of_its_records_say)
{
    struct err e;
    topic.segment_ms = 100000;
    spec_open(0);
    rolls_at(1000);
    sim_clock_jump(os, 1000000);
    ck_assert(!rolls_at(500));
    ck_assert(!rolls_at(101000));
    ck_assert(rolls_at(101001));
    ck_assert(!rolls_at(201001));
    ck_assert_int_gt(part_close(set, &id, 0, false, &e), 0);
    settle();
    spec_open(1);
    ck_assert(!rolls_at(201001)); /* read from the log again */
    ck_assert(rolls_at(201002));
    config_topic_fill(config, NULL, 0, &topic);
}
END_TEST

START_TEST(a_segment_that_begins_without_a_time_is_as_old_as_its_file)
{
    topic.segment_ms = 100000;
    spec_open(0);
    rolls_at(-1);
    ck_assert(!rolls_at(1000000));
    sim_clock_jump(os, 110000);
    ck_assert(rolls_at(-1));
    config_topic_fill(config, NULL, 0, &topic);
}
END_TEST

START_TEST(a_batch_that_makes_the_segment_too_old_is_parted_from_those_that_came_with_it)
{
    struct sent s[3];
    uint8_t bytes[3][256];
    static const int64_t ts[3] = {1000, 2000, 200000};
    topic.segment_ms = 100000;
    spec_open(0);
    for (int i = 0; i < 3; i++) {
        make_batch(&s[i], 1, ts[i], -1, 0, 0);
        ck_assert_uint_le(s[i].a.n, 256);
        s[i].a.batches = memcpy(bytes[i], s[i].a.batches, s[i].a.n);
        if (i > 0)
            s[i - 1].a.next = &s[i].a;
    }
    struct part *p = part_find(set, &id, 0);
    part_append_batches(p, &s[0].a);
    part_unref(p);
    settle();
    ck_assert_int_eq(appends, 2);
    ck_assert_uint_eq(segments(), 2);
    config_topic_fill(config, NULL, 0, &topic);
}
END_TEST

START_TEST(records_without_a_time_are_kept_from_when_they_were_written)
{
    struct sent s;
    int64_t ts;
    topic.retention_ms = 100000;
    topic.segment_bytes = 100;
    spec_open(0);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(send_and_settle(&s, 1, -1, -1, 0, 0), KAFKA_NONE);
        sim_clock_jump(os, 60000);
    }
    part_retention_pass(set);
    settle();
    ck_assert_int_eq(list(-2, &ts), 1); /* the first was full 120 s ago, the second 60 s ago */
    sim_clock_jump(os, 50000);
    part_retention_pass(set);
    settle();
    ck_assert_int_eq(list(-2, &ts), 3);
    config_topic_fill(config, NULL, 0, &topic);
}
END_TEST

START_TEST(a_partition_is_flushed_after_flush_messages_records)
{
    struct sent s;
    topic.flush_messages = 10;
    spec_open(0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(send_and_settle(&s, 3, 1000, -1, 0, 0), KAFKA_NONE);
    ck_assert_int_eq(flushes, 0);
    ck_assert_int_eq(send_and_settle(&s, 1, 1000, -1, 0, 0), KAFKA_NONE);
    ck_assert_int_eq(flushes, 1);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(send_and_settle(&s, 3, 1000, -1, 0, 0), KAFKA_NONE);
    ck_assert_int_eq(flushes, 1);
    ck_assert_int_eq(send_and_settle(&s, 30, 1000, -1, 0, 0), KAFKA_NONE);
    ck_assert_int_eq(flushes, 2);
    config_topic_fill(config, NULL, 0, &topic);
}
END_TEST

START_TEST(a_partition_is_flushed_flush_ms_after_its_first_unflushed_record)
{
    struct sent s;
    topic.flush_ms = 10000;
    spec_open(0);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(send_and_settle(&s, 1, 1000, -1, 0, 0), KAFKA_NONE); /* a second each */
    ck_assert_int_eq(flushes, 0);
    sim_run_for(w, 3 * SIM_S);
    ck_assert_int_eq(flushes, 1);
    sim_run_for(w, 60 * SIM_S); /* nothing new: nothing to flush */
    ck_assert_int_eq(flushes, 1);
    ck_assert_int_eq(send_and_settle(&s, 1, 1000, -1, 0, 0), KAFKA_NONE);
    sim_run_for(w, 8 * SIM_S);
    ck_assert_int_eq(flushes, 1);
    sim_run_for(w, 2 * SIM_S);
    ck_assert_int_eq(flushes, 2);
    config_topic_fill(config, NULL, 0, &topic);
}
END_TEST

START_TEST(a_write_that_is_flushed_anyway_asks_for_no_flush)
{
    struct sent s;
    topic.flush_messages = 2;
    topic.flush_ms = 1000;
    spec_open(0);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(send_and_settle(&s, 3, 1000, -1, 0, 0), KAFKA_NONE);
    ck_assert_int_eq(flushes, 0);
    config_topic_fill(config, NULL, 0, &topic);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("partition");
    TCase *t = tcase_create("age");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, retention_removes_whole_old_segments_only);
    tcase_add_test(t, retention_by_size_keeps_at_least_that_much);
    tcase_add_test(t, a_segment_is_rolled_by_its_age_and_earlier_by_at_most_the_jitter);
    tcase_add_test(t, a_segment_is_as_old_as_the_times_of_its_records_say);
    tcase_add_test(t, a_segment_that_begins_without_a_time_is_as_old_as_its_file);
    tcase_add_test(t, a_batch_that_makes_the_segment_too_old_is_parted_from_those_that_came_with_it);
    tcase_add_test(t, records_without_a_time_are_kept_from_when_they_were_written);
    tcase_add_test(t, a_write_that_is_flushed_anyway_asks_for_no_flush);
    suite_add_tcase(s, t);
    t = tcase_create("flush left to the system");
    tcase_add_checked_fixture(t, setup_without_log, teardown);
    tcase_add_test(t, a_partition_is_flushed_after_flush_messages_records);
    tcase_add_test(t, a_partition_is_flushed_flush_ms_after_its_first_unflushed_record);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
