/* test_producers.c: sequences of idempotent producers, and the history of leader epochs. */
#include "partition/epochs.h"
#include "partition/producers.h"
#include "wire/codes.h"

#include <check.h>
#include <limits.h>
#include <stdlib.h>

static void note(struct producers *ps, int64_t id, int16_t epoch, int32_t first, int32_t last, int64_t base)
{
    struct producer_batch b = {first, last, base, base + last - first};
    ck_assert(producers_note(ps, id, epoch, &b, 1000 + base));
}

START_TEST(a_repeat_of_the_last_five_batches_is_found_and_a_gap_refused)
{
    struct producers ps = {0};
    const struct producer_batch *dup = NULL;
    for (int i = 0; i < 7; i++) {
        ck_assert_int_eq(producers_check(&ps, 9, 0, i * 10, i * 10 + 9, &dup), 0);
        note(&ps, 9, 0, i * 10, i * 10 + 9, i * 10);
    }
    for (int i = 2; i < 7; i++) {
        ck_assert_int_eq(producers_check(&ps, 9, 0, i * 10, i * 10 + 9, &dup), -1);
        ck_assert_int_eq(dup->base_offset, i * 10);
    }
    ck_assert_int_eq(producers_check(&ps, 9, 0, 10, 19, &dup), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    ck_assert_int_eq(producers_check(&ps, 9, 0, 71, 80, &dup), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    ck_assert_int_eq(producers_check(&ps, 9, 0, 70, 70, &dup), 0);
    producers_free(&ps);
}
END_TEST

START_TEST(a_new_epoch_begins_at_zero_and_an_old_one_is_fenced)
{
    struct producers ps = {0};
    const struct producer_batch *dup = NULL;
    note(&ps, 1, 4, 0, 5, 0);
    ck_assert_int_eq(producers_check(&ps, 1, 3, 6, 6, &dup), KAFKA_INVALID_PRODUCER_EPOCH);
    ck_assert_int_eq(producers_check(&ps, 1, 5, 6, 6, &dup), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    ck_assert_int_eq(producers_check(&ps, 1, 5, 0, 6, &dup), 0);
    note(&ps, 1, 5, 0, 6, 6);
    ck_assert_int_eq(producers_check(&ps, 1, 5, 0, 6, &dup), -1);
    ck_assert_int_eq(dup->base_offset, 6);
    producers_free(&ps);
}
END_TEST

START_TEST(sequences_wrap_from_the_largest_int_to_zero)
{
    struct producers ps = {0};
    const struct producer_batch *dup = NULL;
    ck_assert_int_eq(producer_seq_add(INT_MAX, 1), 0);
    ck_assert_int_eq(producer_seq_add(INT_MAX - 2, 5), 2);
    note(&ps, 1, 0, INT_MAX - 1, INT_MAX, 0);
    ck_assert_int_eq(producers_check(&ps, 1, 0, 0, 3, &dup), 0);
    ck_assert_int_eq(producers_check(&ps, 1, 0, 1, 3, &dup), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    producers_free(&ps);
}
END_TEST

START_TEST(k4_a_truncation_takes_batches_back)
{
    struct producers ps = {0};
    const struct producer_batch *dup = NULL;
    note(&ps, 1, 0, 0, 9, 0);
    note(&ps, 1, 0, 10, 19, 10);
    producers_truncate(&ps, 10);
    ck_assert_int_eq(producers_check(&ps, 1, 0, 10, 19, &dup), 0);
    ck_assert_int_eq(producers_check(&ps, 1, 0, 0, 9, &dup), -1);
    producers_free(&ps);
}
END_TEST

START_TEST(expiry_keeps_every_other_producer_findable)
{
    struct producers ps = {0};
    for (int64_t id = 0; id < 1000; id++)
        note(&ps, id * 7, 0, 0, 0, id);
    producers_expire(&ps, 1500);
    ck_assert_uint_eq(ps.n, 500);
    for (int64_t id = 0; id < 1000; id++)
        ck_assert_int_eq(producers_find(&ps, id * 7) != NULL, id >= 500);
    producers_free(&ps);
}
END_TEST

START_TEST(an_epoch_ends_where_the_next_began)
{
    struct epochs es = {0};
    int32_t found;
    int64_t end;
    epochs_end(&es, 3, 50, &found, &end);
    ck_assert_int_eq(end, -1);
    ck_assert(epochs_note(&es, 1, 0) && epochs_note(&es, 3, 20) && epochs_note(&es, 7, 40));
    epochs_end(&es, 7, 50, &found, &end);
    ck_assert(found == 7 && end == 50);
    epochs_end(&es, 5, 50, &found, &end);
    ck_assert(found == 3 && end == 40);
    epochs_end(&es, 0, 50, &found, &end);
    ck_assert(found == 0 && end == 0);
    epochs_end(&es, 8, 50, &found, &end);
    ck_assert(found == -1 && end == -1);
    ck_assert_int_eq(epochs_at(&es, 39), 3);
    epochs_free(&es);
}
END_TEST

START_TEST(epochs_that_wrote_nothing_leave_no_trace)
{
    struct epochs es = {0};
    ck_assert(epochs_note(&es, 1, 0) && epochs_note(&es, 2, 10) && epochs_note(&es, 3, 10) && epochs_note(&es, 4, 10));
    ck_assert_uint_eq(es.n, 2);
    ck_assert_int_eq(epochs_at(&es, 10), 4);
    epochs_truncate_prefix(&es, 12);
    ck_assert_uint_eq(es.n, 1);
    ck_assert_int_eq(es.v[0].offset, 12);
    epochs_truncate_suffix(&es, 12);
    ck_assert_int_eq(epochs_latest(&es), -1);
    epochs_free(&es);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("partition");
    TCase *t = tcase_create("producers and epochs");
    tcase_add_test(t, a_repeat_of_the_last_five_batches_is_found_and_a_gap_refused);
    tcase_add_test(t, a_new_epoch_begins_at_zero_and_an_old_one_is_fenced);
    tcase_add_test(t, sequences_wrap_from_the_largest_int_to_zero);
    tcase_add_test(t, k4_a_truncation_takes_batches_back);
    tcase_add_test(t, expiry_keeps_every_other_producer_findable);
    tcase_add_test(t, an_epoch_ends_where_the_next_began);
    tcase_add_test(t, epochs_that_wrote_nothing_leave_no_trace);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
