/* test_part.c: a partition over store-mem in the virtual world: appends become readable and durable in order, waits
 * fire once, questions about offsets are answered as Kafka answers them. */
#include "tests/unit/partition/partrig.h"

#include <check.h>
#include <stdlib.h>

START_TEST(c1_an_append_is_answered_and_readable_only_when_durable)
{
    struct sent s;
    ck_assert_int_eq(send_batch(&s, 3, 1000, -1, 0, 0), KAFKA_NONE);
    ck_assert(s.a.waiting);
    ck_assert_int_eq(s.a.base_offset, 0);
    ck_assert_int_eq(s.fired, 0);
    ck_assert_uint_eq(read_from(0).bytes, 0);
    settle();
    ck_assert_int_eq(s.fired, 1);
    ck_assert_int_eq(s.error, KAFKA_NONE);
    ck_assert_uint_gt(read_from(0).bytes, 0);
    ck_assert_int_eq(read_from(0).view.high_watermark, 3);
}
END_TEST

START_TEST(k4_a_repeat_in_flight_shares_the_first_ones_offset_and_completion)
{
    struct sent first, again, gap, next;
    ck_assert_int_eq(send_batch(&first, 5, 1000, 77, 0, 0), KAFKA_NONE);
    ck_assert_int_eq(send_batch(&again, 5, 1000, 77, 0, 0), KAFKA_NONE);
    ck_assert_int_eq(again.a.base_offset, 0);
    ck_assert(again.a.waiting);
    ck_assert_int_eq(send_batch(&gap, 5, 1000, 77, 0, 6), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    ck_assert_int_eq(send_batch(&next, 1, 1000, 77, 0, 5), KAFKA_NONE);
    ck_assert_int_eq(next.a.base_offset, 5);
    settle();
    ck_assert(first.fired == 1 && again.fired == 1 && next.fired == 1 && gap.fired == 0);
    ck_assert_int_eq(read_from(0).view.log_end, 6);
}
END_TEST

START_TEST(batches_that_come_together_are_one_append_with_an_answer_each)
{
    struct sent s[5];
    uint8_t bytes[5][256];
    send_together(s, bytes, 5, (int32_t[]){0, 1, 2, 3, 4});
    ck_assert_int_eq(appends, 1);
    settle();
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(s[i].a.error, KAFKA_NONE);
        ck_assert_int_eq(s[i].a.base_offset, i);
        ck_assert_int_eq(s[i].fired, 1);
    }
    ck_assert_int_eq(read_from(0).view.high_watermark, 5);
}
END_TEST

START_TEST(k4_sequences_are_checked_among_batches_that_come_together)
{
    struct sent s[5];
    uint8_t bytes[5][256];
    send_together(s, bytes, 5, (int32_t[]){0, 1, 1, 3, 2});
    settle();
    ck_assert_int_eq(s[2].a.error, KAFKA_NONE);
    ck_assert_int_eq(s[2].a.base_offset, 1);
    ck_assert(s[1].fired == 1 && s[2].fired == 1);
    ck_assert_int_eq(s[3].a.error, KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    ck_assert_int_eq(s[4].a.error, KAFKA_NONE);
    ck_assert_int_eq(s[4].a.base_offset, 2);
    ck_assert_int_eq(read_from(0).view.log_end, 3);
}
END_TEST

START_TEST(what_stands_behind_a_batch_that_was_refused_as_busy_is_refused_too)
{
    struct sent s[3];
    uint8_t bytes[3][256];
    struct part *p = part_find(set, &id, 0);
    refuse_appends = 1;
    send_together(s, bytes, 3, (int32_t[]){0, 1, 1});
    for (int i = 0; i < 3; i++)
        ck_assert(s[i].a.error != KAFKA_NONE && s[i].a.busy);
    ck_assert_int_eq(read_from(0).view.log_end, 0);
    part_append_batches(p, &s[0].a);
    part_unref(p);
    settle();
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(s[i].a.error, KAFKA_NONE);
        ck_assert_int_eq(s[i].a.base_offset, i < 2 ? i : 1);
        ck_assert_int_eq(s[i].fired, 1);
    }
}
END_TEST

START_TEST(a_busy_batch_of_a_topic_with_log_append_time_is_right_when_it_is_tried_again)
{
    struct sent s;
    uint8_t bytes[1][256];
    struct part *p = part_find(set, &id, 0);
    topic.log_append_time = true;
    spec_open(0);
    refuse_appends = 1;
    send_together(&s, bytes, 1, (int32_t[]){0});
    ck_assert(s.a.busy);
    part_append_batches(p, &s.a);
    part_unref(p);
    settle();
    ck_assert_int_eq(s.a.error, KAFKA_NONE);
    ck_assert_int_eq(s.fired, 1);
}
END_TEST

static void fired(struct part_fetch *f)
{
    ++*(int *)f->arg;
}

START_TEST(a_waiting_fetch_wakes_once_when_enough_bytes_are_there)
{
    struct part *p = part_find(set, &id, 0);
    int wakes = 0;
    struct sent s;
    struct part_fetch f = {.need = 150, .fire = fired, .arg = &wakes};
    struct part_fetch_node n = {0};
    ck_assert(part_fetch_wait(p, &n, &f, 0));
    ck_assert_int_eq(send_batch(&s, 1, 1000, -1, 0, 0), KAFKA_NONE);
    settle();
    ck_assert_int_eq(wakes, 0);
    ck_assert_int_eq(send_batch(&s, 1, 1000, -1, 0, 0), KAFKA_NONE);
    settle();
    ck_assert_int_eq(send_batch(&s, 1, 1000, -1, 0, 0), KAFKA_NONE);
    settle();
    ck_assert_int_eq(wakes, 1);
    ck_assert(!part_fetch_claim(&f));
    part_fetch_unwait(&n);
    ck_assert(!part_fetch_wait(p, &n, &f, 0));
    part_unref(p);
}
END_TEST

START_TEST(k3_offsets_by_time_are_those_of_records_not_of_batches)
{
    struct sent s;
    int64_t ts;
    ck_assert_int_eq(send_and_settle(&s, 10, 1000, -1, 0, 0), KAFKA_NONE);
    ck_assert_int_eq(send_and_settle(&s, 10, 5000, -1, 0, 0), KAFKA_NONE);
    ck_assert_int_eq(send_and_settle(&s, 10, 2000, -1, 0, 0), KAFKA_NONE);
    settle();
    ck_assert_int_eq(list(-2, &ts), 0);
    ck_assert_int_eq(list(-1, &ts), 30);
    ck_assert_int_eq(list(1004, &ts), 4);
    ck_assert_int_eq(ts, 1004);
    ck_assert_int_eq(list(1010, &ts), 10);
    ck_assert_int_eq(list(5003, &ts), 13);
    ck_assert_int_eq(list(9000, &ts), -1);
    ck_assert_int_eq(list(-3, &ts), 19);
    ck_assert_int_eq(ts, 5009);
}
END_TEST

START_TEST(epochs_are_found_again_after_the_partition_was_reopened)
{
    struct sent s;
    struct err e;
    int32_t epoch;
    int64_t end;
    ck_assert_int_eq(send_and_settle(&s, 4, 1000, 9, 0, 0), KAFKA_NONE);
    spec_open(3);
    ck_assert_int_eq(send_and_settle(&s, 4, 1000, 9, 0, 4), KAFKA_NONE);
    settle();
    ck_assert_int_gt(part_close(set, &id, 0, false, &e), 0);
    settle();
    spec_open(5);
    struct part *p = part_find(set, &id, 0);
    ck_assert_int_eq(part_epoch_end(p, 0, &epoch, &end), KAFKA_NONE);
    ck_assert(epoch == 0 && end == 4);
    ck_assert_int_eq(part_epoch_end(p, 4, &epoch, &end), KAFKA_NONE);
    ck_assert(epoch == 3 && end == 8);
    ck_assert_int_eq(part_epoch_end(p, 6, &epoch, &end), KAFKA_NONE);
    ck_assert(epoch == -1 && end == -1);
    part_unref(p);
    /* The producer is known again too: a repeat is one. */
    ck_assert_int_eq(send_and_settle(&s, 4, 1000, 9, 0, 4), KAFKA_NONE);
    ck_assert_int_eq(s.a.base_offset, 4);
    ck_assert_int_eq(send_and_settle(&s, 4, 1000, 9, 0, 12), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
}
END_TEST

START_TEST(k6_a_fetch_inside_a_batch_gets_that_batch)
{
    struct sent s;
    ck_assert_int_eq(send_and_settle(&s, 10, 1000, -1, 0, 0), KAFKA_NONE);
    ck_assert_int_eq(send_and_settle(&s, 10, 1000, -1, 0, 0), KAFKA_NONE);
    settle();
    uint64_t all = read_from(0).bytes;
    ck_assert_uint_eq(read_from(5).bytes, all);
    ck_assert_uint_eq(read_from(10).bytes, all / 2);
    ck_assert_uint_eq(read_from(19).bytes, all / 2);
    ck_assert_uint_eq(read_from(20).bytes, 0);
}
END_TEST

static void deleted(struct part_delete *d, int16_t error)
{
    *(int *)d->arg = error;
}

START_TEST(deleted_records_are_gone_and_the_log_begins_inside_a_batch)
{
    struct sent s;
    int error = -1;
    int64_t ts;
    struct part *p = part_find(set, &id, 0);
    struct part_delete d = {.offset = 25, .fn = deleted, .arg = &error};
    ck_assert_int_eq(send_and_settle(&s, 10, 1000, -1, 0, 0), KAFKA_NONE);
    ck_assert_int_eq(send_and_settle(&s, 10, 1000, -1, 0, 0), KAFKA_NONE);
    settle();
    ck_assert_int_eq(part_delete_records(p, &d), KAFKA_OFFSET_OUT_OF_RANGE);
    d.offset = 13;
    ck_assert_int_eq(part_delete_records(p, &d), KAFKA_NONE);
    settle();
    ck_assert_int_eq(error, KAFKA_NONE);
    ck_assert_int_eq(d.low_watermark, 13);
    ck_assert_int_eq(list(-2, &ts), 13);
    struct part_read r = {.offset = 12, .leader_epoch = -1, .last_fetched_epoch = -1, .max_bytes = 100};
    ck_assert_int_eq(part_read(p, &r), KAFKA_OFFSET_OUT_OF_RANGE);
    part_unref(p);
}
END_TEST

static void moved(struct part_move *m, int16_t error)
{
    *(int *)m->arg = error;
}

START_TEST(a_partition_moves_to_another_directory_and_one_that_does_not_exist_is_refused)
{
    int error = -1;
    uint32_t now;
    int32_t to;
    struct part *p = part_find(set, &id, 0);
    struct part_move m = {.dir = 7, .fn = moved, .arg = &error};
    ck_assert_int_eq(part_move(p, &m), KAFKA_LOG_DIR_NOT_FOUND);
    ck_assert_int_eq(error, -1);
    m.dir = 0;
    ck_assert_int_eq(part_move(p, &m), KAFKA_NONE);
    settle();
    ck_assert_int_eq(error, KAFKA_NONE);
    part_dirs(p, &now, &to);
    ck_assert_uint_eq(now, 0);
    ck_assert_int_eq(to, -1);
    part_unref(p);
}
END_TEST

START_TEST(records_outside_of_the_allowed_times_are_named_one_by_one)
{
    struct sent s;
    struct arena arena;
    struct part *p = part_find(set, &id, 0);
    int64_t now = os_wall_ms(os);
    arena_init(&arena, 0);
    topic.timestamp_before_max_ms = topic.timestamp_after_max_ms = 1;
    spec_open(0);
    make_batch(&s, 3, now, -1, 0, 0); /* now, now + 1, now + 2 */
    s.a.arena = &arena;
    part_append_batches(p, &s.a);
    ck_assert_int_eq(s.a.error, KAFKA_INVALID_TIMESTAMP);
    ck_assert_int_eq(s.a.n_record_errors, 1);
    ck_assert_int_eq(s.a.record_errors[0].index, 2);
    topic.log_append_time = true; /* then producers' times do not matter */
    spec_open(0);
    ck_assert_int_eq(send_and_settle(&s, 3, now + 60000, -1, 0, 0), KAFKA_NONE);
    ck_assert_int_ge(s.a.log_append_time, now);
    config_topic_fill(config, NULL, 0, &topic);
    arena_free(&arena);
    part_unref(p);
}
END_TEST

/* What the log holds at `offset`, unpacked: the codec, and the sum of the records' times. */
static int stored_codec(int64_t offset, int64_t *times)
{
    struct part_read r = read_from(offset);
    struct batch_head h;
    struct codec_buf buf = {0};
    const uint8_t *payload;
    struct batch_record rec;
    struct batch_iter it;
    size_t n;
    ck_assert_uint_gt(r.n_ranges, 0);
    batch_head_read(r.ranges[0].p, &h);
    ck_assert_int_gt(batch_unpack(&h, r.ranges[0].p, &buf, 1 << 20, &payload, &n, NULL), 0);
    batch_iter_init(&it, &h, payload, n);
    *times = 0;
    while (batch_iter_next(&it, &rec) > 0)
        *times += rec.timestamp;
    codec_buf_free(&buf);
    return h.attributes & BATCH_CODEC_MASK;
}

START_TEST(a_topic_keeps_batches_in_the_codec_that_it_asks_for)
{
    struct sent s;
    struct arena arena;
    struct part *p = part_find(set, &id, 0);
    int64_t times, offset = 0;
    arena_init(&arena, 0);
    for (int codec = CODEC_NONE; codec < CODEC_END; codec++) {
        topic.compression = (int8_t)codec;
        topic.gzip_level = topic.lz4_level = topic.zstd_level = 5;
        spec_open(0);
        make_batch(&s, 3, 1000, -1, 0, 0);
        s.a.arena = &arena;
        part_append_batches(p, &s.a);
        ck_assert_int_eq(s.a.error, KAFKA_NONE);
        settle();
        ck_assert_int_eq(s.a.base_offset, offset);
        ck_assert_int_eq(stored_codec(offset, &times), codec);
        ck_assert_int_eq(times, 3003);
        offset += 3;
    }
    config_topic_fill(config, NULL, 0, &topic);
    arena_free(&arena);
    part_unref(p);
}
END_TEST

START_TEST(compressed_batches_are_unpacked_and_checked)
{
    struct sent s;
    struct part *p = part_find(set, &id, 0);
    struct batch_head h = batch_build_plain(0, CODEC_LZ4);
    const uint8_t *bytes;
    batch_begin(&build, &h);
    batch_add(&build, 1000, NULL, 0, "value", 5, NULL, 0);
    s = (struct sent){.wait = {.fn = reached, .arg = &s}};
    ck_assert_int_gt(batch_finish(&build, &bytes, &s.a.n), 0);
    s.a.batches = (uint8_t *)bytes;
    s.a.acks = -1;
    s.a.api_version = 9;
    topic.cleanup_compact = true;
    spec_open(0);
    part_append_batches(p, &s.a);
    ck_assert_int_eq(s.a.error, KAFKA_INVALID_RECORD); /* no key */
    topic.cleanup_compact = false;
    topic.max_decompressed_message_bytes = 4;
    spec_open(0);
    part_append_batches(p, &s.a);
    ck_assert_int_eq(s.a.error, KAFKA_INVALID_RECORD); /* unpacks to more than allowed */
    config_topic_fill(config, NULL, 0, &topic);
    spec_open(0);
    part_append_batches(p, &s.a);
    ck_assert_int_eq(s.a.error, KAFKA_NONE);
    settle();
    part_unref(p);
}
END_TEST

START_TEST(a_partition_that_is_closed_fails_those_who_wait)
{
    struct sent s;
    struct err e;
    ck_assert_int_eq(send_batch(&s, 3, 1000, -1, 0, 0), KAFKA_NONE);
    ck_assert_int_gt(part_close(set, &id, 0, true, &e), 0);
    ck_assert_int_eq(s.fired, 1);
    ck_assert_int_eq(s.error, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_ptr_null(part_find(set, &id, 0));
    settle();
}
END_TEST

START_TEST(what_clients_may_not_send_is_refused_with_kafkas_codes)
{
    struct sent s;
    struct part *p = part_find(set, &id, 0);
    ck_assert_int_eq(send_and_settle(&s, 3, 1000, -1, 0, 0), KAFKA_NONE);
    s.a.batches[70] ^= 1;
    s.a.checked = false;
    part_append_batches(p, &s.a);
    ck_assert_int_eq(s.a.error, KAFKA_CORRUPT_MESSAGE);
    s.a.n = 0;
    part_append_batches(p, &s.a);
    ck_assert_int_eq(s.a.error, KAFKA_INVALID_RECORD);
    ck_assert_int_eq(part_check_leader(p, -1), KAFKA_NONE);
    ck_assert_int_eq(part_check_leader(p, 1), KAFKA_UNKNOWN_LEADER_EPOCH);
    spec_open(2);
    ck_assert_int_eq(part_check_leader(p, 1), KAFKA_FENCED_LEADER_EPOCH);
    topic.max_message_bytes = 64;
    spec_open(2);
    ck_assert_int_eq(send_and_settle(&s, 3, 1000, -1, 0, 0), KAFKA_MESSAGE_TOO_LARGE);
    config_topic_fill(config, NULL, 0, &topic);
    part_unref(p);
    settle();
}
END_TEST

START_TEST(a_partition_that_nobody_holds_is_closed_once_though_the_store_wishes_for_its_sidecar)
{
    struct err e = {0};
    struct part *p = part_find(set, &id, 0);
    part_unref(p);
    wish_at_close = p;
    ck_assert_int_gt(part_close(set, &id, 0, false, &e), 0);
    sim_run_for(w, SIM_S);
    ck_assert_int_eq(closes, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("partition");
    TCase *t = tcase_create("partition");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, c1_an_append_is_answered_and_readable_only_when_durable);
    tcase_add_test(t, k4_a_repeat_in_flight_shares_the_first_ones_offset_and_completion);
    tcase_add_test(t, batches_that_come_together_are_one_append_with_an_answer_each);
    tcase_add_test(t, k4_sequences_are_checked_among_batches_that_come_together);
    tcase_add_test(t, what_stands_behind_a_batch_that_was_refused_as_busy_is_refused_too);
    tcase_add_test(t, a_busy_batch_of_a_topic_with_log_append_time_is_right_when_it_is_tried_again);
    tcase_add_test(t, a_waiting_fetch_wakes_once_when_enough_bytes_are_there);
    tcase_add_test(t, k3_offsets_by_time_are_those_of_records_not_of_batches);
    tcase_add_test(t, a_partition_that_nobody_holds_is_closed_once_though_the_store_wishes_for_its_sidecar);
    tcase_add_test(t, epochs_are_found_again_after_the_partition_was_reopened);
    tcase_add_test(t, k6_a_fetch_inside_a_batch_gets_that_batch);
    tcase_add_test(t, deleted_records_are_gone_and_the_log_begins_inside_a_batch);
    tcase_add_test(t, a_partition_moves_to_another_directory_and_one_that_does_not_exist_is_refused);
    tcase_add_test(t, records_outside_of_the_allowed_times_are_named_one_by_one);
    tcase_add_test(t, a_topic_keeps_batches_in_the_codec_that_it_asks_for);
    tcase_add_test(t, compressed_batches_are_unpacked_and_checked);
    tcase_add_test(t, a_partition_that_is_closed_fails_those_who_wait);
    tcase_add_test(t, what_clients_may_not_send_is_refused_with_kafkas_codes);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
