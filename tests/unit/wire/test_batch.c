/* test_batch.c: record batches are built, checked, patched, packed and walked; nothing malformed gets through. */
#include "base/crc32c.h"
#include "wire/batch.h"
#include "wire/codes.h"

#include <chronik/base.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 100 };

/* N records: keys and values of growing length, every seventh key null, every fifth value null, headers on some. */
static void build(struct batch_build *b, int codec, const uint8_t **p, size_t *n)
{
    struct batch_head h = batch_build_plain(1000, codec);
    char key[64], value[512];
    batch_begin(b, &h);
    for (int i = 0; i < N; i++) {
        struct batch_header headers[2] = {
            {(const uint8_t *)"trace", (const uint8_t *)"abc", 5, 3},
            {(const uint8_t *)"empty", NULL, 5, -1},
        };
        snprintf(key, sizeof key, "key-%d", i);
        memset(value, 'a' + i % 26, sizeof value);
        batch_add(b, 1700000000000 + i * 3, i % 7 ? key : NULL, strlen(key), i % 5 ? value : NULL, (size_t)i * 5,
                  headers, i % 3);
    }
    ck_assert_int_gt(batch_finish(b, p, n), 0);
}

struct walk {
    int n;
};

static bool see(void *arg, const struct batch_record *r)
{
    struct walk *w = arg;
    int i = w->n++;
    struct batch_record copy = *r;
    struct batch_header h;
    ck_assert_int_eq(r->offset, 1000 + i);
    ck_assert_int_eq(r->timestamp, 1700000000000 + i * 3);
    ck_assert_int_eq(r->key_n < 0, i % 7 == 0);
    ck_assert_int_eq(r->value_n, i % 5 ? i * 5 : -1);
    for (int k = 0; k < i % 3; k++) {
        ck_assert_int_gt(batch_header_next(&copy, &h), 0);
        ck_assert_int_eq(h.key_n, 5);
        ck_assert_int_eq(h.value_n, k ? -1 : 3);
    }
    ck_assert_int_eq(batch_header_next(&copy, &h), 0);
    return true;
}

START_TEST(a_batch_of_any_codec_gives_back_what_was_put_in)
{
    struct batch_build b = {0};
    const uint8_t *p;
    size_t n;
    struct batch_head h;
    struct batch_problem problem;
    build(&b, _i, &p, &n);
    ck_assert_int_eq(batch_check(p, n, &h, BATCH_UNPACK, &problem), KAFKA_NONE);
    ck_assert_uint_eq(h.bytes, n);
    ck_assert_int_eq(h.n_records, N);
    ck_assert_int_eq(h.last_offset_delta, N - 1);
    ck_assert_int_eq(h.attributes, _i);
    ck_assert_int_eq(h.seen_min_timestamp, 1700000000000);
    ck_assert_int_eq(h.seen_max_timestamp, h.max_timestamp);
    struct walk w = {0};
    ck_assert_int_gt(batch_each_record(p, n, see, &w), 0);
    ck_assert_int_eq(w.n, N);
    ck_assert_int_eq(batch_check(p, n, &h, BATCH_NEEDS_KEYS, &problem), KAFKA_INVALID_RECORD);
    ck_assert_int_eq(problem.record, 0);
    batch_build_free(&b);
}
END_TEST

/* Damage behind the checksum is found by it; with the checksum made right again, by the walk, or it does no harm. */
START_TEST(a_damaged_batch_is_refused_and_does_no_harm)
{
    struct batch_build b = {0};
    const uint8_t *p;
    size_t n;
    struct batch_head h;
    struct batch_problem problem;
    build(&b, _i, &p, &n);
    for (size_t i = 12; i < n; i += i < 400 ? 1 : 37) {
        uint8_t *bad = malloc(n);
        memcpy(bad, p, n);
        bad[i] ^= 0x41;
        if (i >= 16)
            ck_assert_int_ne(batch_check(bad, n, &h, BATCH_UNPACK, &problem), KAFKA_NONE);
        put_be32(bad + 17, crc32c(0, bad + 21, n - 21));
        if (batch_check(bad, n, &h, BATCH_UNPACK | BATCH_STORED, &problem) != KAFKA_NONE)
            ck_assert_ptr_nonnull(problem.why);
        free(bad);
    }
    for (size_t cut = 0; cut < n; cut += cut < 100 ? 1 : 31) {
        uint8_t *bad = malloc(cut ? cut : 1);
        memcpy(bad, p, cut);
        ck_assert_int_eq(batch_check(bad, cut, &h, 0, &problem), KAFKA_CORRUPT_MESSAGE);
        free(bad);
    }
    batch_build_free(&b);
}
END_TEST

static void expect(const uint8_t *good, size_t n, size_t at, int bytes, int64_t v, int16_t code)
{
    uint8_t *p = malloc(n);
    struct batch_head h;
    struct batch_problem problem;
    memcpy(p, good, n);
    for (int i = 0; i < bytes; i++)
        p[at + (size_t)i] = (uint8_t)((uint64_t)v >> (8 * (bytes - 1 - i)));
    put_be32(p + 17, crc32c(0, p + 21, n - 21));
    ck_assert_int_eq(batch_check(p, n, &h, 0, &problem), code);
    free(p);
}

START_TEST(each_rule_for_producers_has_its_error)
{
    struct batch_build b = {0};
    const uint8_t *p;
    size_t n;
    build(&b, CODEC_NONE, &p, &n);
    expect(p, n, 8, 4, 10, KAFKA_CORRUPT_MESSAGE);              /* length too short */
    expect(p, n, 8, 4, -1, KAFKA_CORRUPT_MESSAGE);              /* negative length */
    expect(p, n, 8, 4, (int64_t)n, KAFKA_CORRUPT_MESSAGE);      /* longer than given */
    expect(p, n, 16, 1, 1, KAFKA_INVALID_RECORD);               /* magic 1 */
    expect(p, n, 16, 1, 0, KAFKA_INVALID_RECORD);               /* magic 0 */
    expect(p, n, 21, 2, 5, KAFKA_UNSUPPORTED_COMPRESSION_TYPE); /* no such codec */
    expect(p, n, 21, 2, BATCH_LOG_APPEND_TIME, KAFKA_NONE);
    expect(p, n, 23, 4, N, KAFKA_INVALID_RECORD);     /* one offset too many */
    expect(p, n, 57, 4, N - 1, KAFKA_INVALID_RECORD); /* one record too few */
    expect(p, n, 57, 4, 0, KAFKA_INVALID_RECORD);
    expect(p, n, 57, 4, -1, KAFKA_INVALID_RECORD);
    expect(p, n, 61, 1, 0, KAFKA_INVALID_RECORD); /* a record of no bytes */
    expect(p, n, 64, 1, 2, KAFKA_INVALID_RECORD); /* first offset delta 1 */
    batch_build_free(&b);
}
END_TEST

START_TEST(a_record_count_beyond_the_records_is_refused)
{
    struct batch_build b = {0};
    const uint8_t *p;
    size_t n;
    build(&b, CODEC_NONE, &p, &n);
    uint8_t *bad = malloc(n);
    struct batch_head h;
    struct batch_problem problem;
    memcpy(bad, p, n);
    put_be32(bad + 23, N);
    put_be32(bad + 57, N + 1);
    put_be32(bad + 17, crc32c(0, bad + 21, n - 21));
    ck_assert_int_eq(batch_check(bad, n, &h, 0, &problem), KAFKA_INVALID_RECORD);
    put_be32(bad + 23, N - 2);
    put_be32(bad + 57, N - 1);
    put_be32(bad + 17, crc32c(0, bad + 21, n - 21));
    ck_assert_int_eq(batch_check(bad, n, &h, 0, &problem), KAFKA_INVALID_RECORD);
    free(bad);
    batch_build_free(&b);
}
END_TEST

START_TEST(patches_leave_a_valid_batch)
{
    struct batch_build b = {0};
    const uint8_t *good;
    size_t n;
    build(&b, _i, &good, &n);
    uint8_t *p = malloc(n);
    struct batch_head h;
    struct batch_problem problem;
    memcpy(p, good, n);
    batch_patch(p, INT64_C(1) << 40, 77);
    ck_assert_int_eq(batch_check(p, n, &h, 0, &problem), KAFKA_NONE);
    ck_assert_int_eq(h.base_offset, INT64_C(1) << 40);
    ck_assert_int_eq(h.leader_epoch, 77);
    batch_patch_max_timestamp(p, n, 5);
    ck_assert_int_eq(batch_check(p, n, &h, BATCH_UNPACK, &problem), KAFKA_NONE);
    ck_assert_int_eq(h.max_timestamp, 5);
    ck_assert_int_eq(h.seen_max_timestamp, 1700000000000 + (N - 1) * 3);
    batch_patch_append_time(p, n, 1234567);
    ck_assert_int_eq(batch_check(p, n, &h, BATCH_STORED | BATCH_UNPACK, &problem), KAFKA_NONE);
    ck_assert_int_eq(h.attributes, BATCH_LOG_APPEND_TIME | _i);
    ck_assert_int_eq(h.max_timestamp, 1234567);
    ck_assert_int_eq(h.seen_min_timestamp, 1234567);
    free(p);
    batch_build_free(&b);
}
END_TEST

START_TEST(a_range_of_batches_is_walked_up_to_a_partial_one)
{
    struct batch_build b = {0};
    const uint8_t *p, *at;
    size_t n;
    build(&b, CODEC_LZ4, &p, &n);
    uint8_t *range = malloc(3 * n);
    for (int i = 0; i < 3; i++)
        memcpy(range + (size_t)i * n, p, n);
    const uint8_t *walk = range;
    size_t left = 3 * n - 1;
    struct batch_head h;
    ck_assert_int_gt(batch_next(&walk, &left, &h, &at), 0);
    ck_assert_ptr_eq(at, range);
    ck_assert_int_gt(batch_next(&walk, &left, &h, &at), 0);
    ck_assert_ptr_eq(at, range + n);
    ck_assert_int_eq(batch_next(&walk, &left, &h, &at), 0);
    ck_assert_uint_eq(left, n - 1);
    range[16] = 1;
    walk = range;
    left = 3 * n;
    ck_assert_int_eq(batch_next(&walk, &left, &h, NULL), CHRONIK_E_CORRUPT);
    free(range);
    batch_build_free(&b);
}
END_TEST

START_TEST(an_unpacked_batch_cannot_exceed_its_bound)
{
    enum { ZEROS = 4 << 20 };
    struct codec_buf packed = {0}, plain = {0};
    struct err e = {0};
    uint8_t *zeros = calloc(1, ZEROS);
    ck_assert_int_gt(codec_pack(_i, INT32_MIN, zeros, ZEROS, &packed, &e), 0);
    ck_assert_int_eq(codec_unpack(_i, packed.p, packed.n, &plain, ZEROS / 2, &e), CHRONIK_E_TOOBIG);
    ck_assert_uint_le(plain.cap, ZEROS);
    plain.n = 0;
    ck_assert_int_gt(codec_unpack(_i, packed.p, packed.n, &plain, ZEROS + 1, &e), 0);
    ck_assert_uint_eq(plain.n, ZEROS);
    ck_assert_int_eq(memcmp(plain.p, zeros, ZEROS), 0);
    for (size_t cut = 1; cut < packed.n && _i != CODEC_NONE; cut += 1 + packed.n / 50) {
        plain.n = 0;
        int32_t rc = codec_unpack(_i, packed.p, packed.n - cut, &plain, ZEROS, &e);
        ck_assert(rc < 0 || (_i == CODEC_SNAPPY && plain.n < ZEROS));
    }
    free(zeros);
    codec_buf_free(&packed);
    codec_buf_free(&plain);
}
END_TEST

START_TEST(snappy_comes_raw_and_in_concatenated_streams_too)
{
    struct codec_buf packed = {0}, plain = {0};
    struct err e = {0};
    static const uint8_t raw[] = {5, 4 << 2, 'h', 'e', 'l', 'l', 'o'};
    ck_assert_int_gt(codec_unpack(CODEC_SNAPPY, raw, sizeof raw, &plain, 100, &e), 0);
    ck_assert_uint_eq(plain.n, 5);
    ck_assert_int_eq(memcmp(plain.p, "hello", 5), 0);
    ck_assert_int_gt(codec_pack(CODEC_SNAPPY, INT32_MIN, "one", 3, &packed, &e), 0);
    ck_assert_int_gt(codec_pack(CODEC_SNAPPY, INT32_MIN, "two", 3, &packed, &e), 0);
    plain.n = 0;
    ck_assert_int_gt(codec_unpack(CODEC_SNAPPY, packed.p, packed.n, &plain, 100, &e), 0);
    ck_assert_uint_eq(plain.n, 6);
    ck_assert_int_eq(memcmp(plain.p, "onetwo", 6), 0);
    codec_buf_free(&packed);
    codec_buf_free(&plain);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wire batch");
    TCase *t = tcase_create("batch");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_batch_of_any_codec_gives_back_what_was_put_in, 0, CODEC_END);
    tcase_add_loop_test(t, a_damaged_batch_is_refused_and_does_no_harm, 0, CODEC_END);
    tcase_add_test(t, each_rule_for_producers_has_its_error);
    tcase_add_test(t, a_record_count_beyond_the_records_is_refused);
    tcase_add_loop_test(t, patches_leave_a_valid_batch, 0, CODEC_END);
    tcase_add_test(t, a_range_of_batches_is_walked_up_to_a_partial_one);
    tcase_add_loop_test(t, an_unpacked_batch_cannot_exceed_its_bound, 0, CODEC_END);
    tcase_add_test(t, snappy_comes_raw_and_in_concatenated_streams_too);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
