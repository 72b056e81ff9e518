/* test_crc32c.c: CRC-32C gives the published values, and every way to compute it gives the same. */
#include "base/crc32c.h"

#include <check.h>
#include <stdlib.h>

static uint32_t bitwise(uint32_t crc, const uint8_t *p, size_t n)
{
    crc = ~crc;
    while (n--) {
        crc ^= *p++;
        for (int i = 0; i < 8; i++)
            crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
    }
    return ~crc;
}

static void fill(uint8_t *p, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        p[i] = (uint8_t)(seed >> 56);
    }
}

START_TEST(the_published_vectors_hold)
{
    uint8_t b[48];
    for (int w = 0; w < CRC32C_WAYS; w++) {
        if (!crc32c_has(w))
            continue;
        ck_assert_uint_eq(crc32c_by(w, 0, "", 0), 0);
        ck_assert_uint_eq(crc32c_by(w, 0, "123456789", 9), 0xe3069283);
        memset(b, 0, 32);
        ck_assert_uint_eq(crc32c_by(w, 0, b, 32), 0x8a9136aa);
        memset(b, 0xff, 32);
        ck_assert_uint_eq(crc32c_by(w, 0, b, 32), 0x62a8ab43);
        for (int i = 0; i < 32; i++)
            b[i] = (uint8_t)i;
        ck_assert_uint_eq(crc32c_by(w, 0, b, 32), 0x46dd794e);
        for (int i = 0; i < 32; i++)
            b[i] = (uint8_t)(31 - i);
        ck_assert_uint_eq(crc32c_by(w, 0, b, 32), 0x113fdb5c);
    }
    ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283);
}
END_TEST

START_TEST(every_way_agrees_at_every_length_and_alignment)
{
    enum { N = 16 * 1024 };
    uint8_t *b = malloc(N);
    fill(b, N, 7);
    for (int w = 0; w < CRC32C_WAYS; w++) {
        if (!crc32c_has(w))
            continue;
        for (size_t n = 0; n < 1200; n++)
            ck_assert_uint_eq(crc32c_by(w, 0, b + n % 9, n), bitwise(0, b + n % 9, n));
        for (size_t n = 3000; n < N - 9; n += 509)
            ck_assert_uint_eq(crc32c_by(w, 5, b + n % 9, n), bitwise(5, b + n % 9, n));
    }
    free(b);
}
END_TEST

START_TEST(a_text_in_pieces_has_the_checksum_of_the_whole)
{
    uint8_t b[9000];
    fill(b, sizeof b, 3);
    uint32_t whole = crc32c(0, b, sizeof b);
    for (size_t cut = 0; cut <= sizeof b; cut += 37) {
        ck_assert_uint_eq(crc32c(crc32c(0, b, cut), b + cut, sizeof b - cut), whole);
        uint32_t tail = crc32c(0, b + cut, sizeof b - cut);
        ck_assert_uint_eq(crc32c_combine(crc32c(0, b, cut), tail, sizeof b - cut), whole);
    }
}
END_TEST

START_TEST(a_changed_front_needs_no_second_pass)
{
    uint8_t b[5000], old[40];
    for (size_t n = 40; n <= sizeof b; n += 331) {
        fill(b, n, n);
        uint32_t before = crc32c(0, b, n);
        memcpy(old, b, sizeof old);
        fill(b, sizeof old, n + 1);
        ck_assert_uint_eq(crc32c_replace(before, old, b, sizeof old, n - sizeof old), crc32c(0, b, n));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("crc32c");
    TCase *t = tcase_create("crc32c");
    tcase_add_test(t, the_published_vectors_hold);
    tcase_add_test(t, every_way_agrees_at_every_length_and_alignment);
    tcase_add_test(t, a_text_in_pieces_has_the_checksum_of_the_whole);
    tcase_add_test(t, a_changed_front_needs_no_second_pass);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
