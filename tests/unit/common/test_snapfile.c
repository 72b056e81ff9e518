/* test_snapfile.c: a snapshot file appears whole or not at all, and damage anywhere in it is noticed. */
#include <config.h>

#include "tests/unit/store/testhost.h"

#include "plugins/common/snapfile.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static char root[64];
static struct os *os;
static struct testhost th;

enum { KIND = 0x54534554 };

static void setup(void)
{
    testhost_mkdtemp(root);
    os = os_real_new(1);
    testhost_init(&th, os, root);
}

static void teardown(void)
{
    os_real_free(os);
    testhost_rmtree(root);
}

static int32_t put(const char *name, uint8_t fill, uint64_t n)
{
    struct snapfile_info info = {.kind = KIND, .version = 3, .head_n = 5, .head = "hello"};
    struct snapfile_writer *w;
    int32_t r = snapfile_begin(&th.table, 0, "", name, &info, &w);
    if (r < 0)
        return r;
    uint8_t *p = malloc(n + 1);
    memset(p, fill, n);
    for (uint64_t at = 0; at < n; at += 100000)
        snapfile_chunk(w, p + at, min_u64(100000, n - at));
    free(p);
    return snapfile_end(w, 1, NULL);
}

static int32_t get(const char *name, uint8_t *fill, uint64_t *n)
{
    struct errtext e = {0};
    struct snapfile_info info;
    void *data = NULL;
    int32_t r = snapfile_load(&th.table, 0, "", name, KIND, 3, 1 << 24, &info, &data, &e);
    if (r < 0) {
        ck_assert_uint_gt(strlen(e.text), 0);
        return r;
    }
    ck_assert_uint_eq(info.head_n, 5);
    ck_assert_mem_eq(info.head, "hello", 5);
    *n = info.bytes;
    *fill = info.bytes ? *(uint8_t *)data : 0;
    for (uint64_t i = 0; i < info.bytes; i++)
        ck_assert_uint_eq(((uint8_t *)data)[i], *fill);
    free(data);
    return r;
}

START_TEST(what_was_written_is_read_back_at_any_size)
{
    static const uint64_t sizes[] = {0, 1, 100000, 256 * 1024, 256 * 1024 + 1, 1000000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        uint8_t fill;
        uint64_t n;
        struct snapfile_info info;
        ck_assert_int_gt(put("s", (uint8_t)(i + 1), sizes[i]), 0);
        ck_assert_int_gt(get("s", &fill, &n), 0);
        ck_assert_uint_eq(n, sizes[i]);
        ck_assert_int_gt(snapfile_info(&th.table, 0, "", "s", KIND, 3, &info, NULL), 0);
        ck_assert_uint_eq(info.bytes, sizes[i]);
    }
}
END_TEST

START_TEST(d2_a_file_cut_at_any_byte_or_with_any_bit_changed_does_not_verify)
{
    char path[128];
    uint8_t fill, *p = malloc(4096);
    uint64_t n;
    ck_assert_int_gt(put("s", 7, 900), 0);
    snprintf(path, sizeof path, "%s/s", root);
    FILE *f = fopen(path, "rb");
    size_t size = fread(p, 1, 4096, f);
    fclose(f);
    for (size_t cut = 0; cut <= size + 1; cut++) {
        f = fopen(path, "wb");
        p[size] = 0;
        fwrite(p, 1, cut, f);
        fclose(f);
        int32_t r = get("s", &fill, &n);
        ck_assert_msg(cut == size ? r > 0 : r == CHRONIK_E_CORRUPT, "cut at %zu: %d", cut, r);
    }
    for (size_t bit = 0; bit < size * 8; bit++) {
        p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        f = fopen(path, "wb");
        fwrite(p, 1, size, f);
        fclose(f);
        int32_t r = get("s", &fill, &n);
        ck_assert_msg(r == CHRONIK_E_CORRUPT || r == CHRONIK_E_VERSION, "bit %zu: %d", bit, r);
        p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(p);
}
END_TEST

START_TEST(d1_d4_a_failed_write_sync_or_rename_leaves_the_old_file)
{
    static const int ops[] = {OS_FAULT_OPEN, OS_FAULT_WRITE, OS_FAULT_SYNC, OS_FAULT_RENAME};
    uint8_t fill;
    uint64_t n;
    ck_assert_int_gt(put("s", 1, 5000), 0);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        os_fault_set(os, ops[i], 0, CHRONIK_E_NOSPC);
        ck_assert_int_eq(put("s", 2, 5000), CHRONIK_E_NOSPC);
        os_fault_clear(os);
        ck_assert_int_gt(get("s", &fill, &n), 0);
        ck_assert_uint_eq(fill, 1);
    }
    ck_assert_int_gt(put("s", 3, 5000), 0);
    ck_assert_int_gt(get("s", &fill, &n), 0);
    ck_assert_uint_eq(fill, 3);
}
END_TEST

START_TEST(content_that_is_not_what_was_announced_is_not_committed)
{
    struct snapfile_info info = {.kind = KIND, .version = 1}, expect = {.bytes = 3, .crc32c = 1};
    struct snapfile_writer *w;
    ck_assert_int_gt(snapfile_begin(&th.table, 0, "", "x", &info, &w), 0);
    ck_assert_int_gt(snapfile_chunk(w, "abc", 3), 0);
    ck_assert_int_eq(snapfile_end(w, 1, &expect), CHRONIK_E_CORRUPT);
    ck_assert_int_eq(snapfile_info(&th.table, 0, "", "x", KIND, 1, &info, NULL), CHRONIK_E_NOTFOUND);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("snapshot file");
    TCase *c = tcase_create("snapshot file");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, what_was_written_is_read_back_at_any_size);
    tcase_add_test(c, d2_a_file_cut_at_any_byte_or_with_any_bit_changed_does_not_verify);
    tcase_add_test(c, d1_d4_a_failed_write_sync_or_rename_leaves_the_old_file);
    tcase_add_test(c, content_that_is_not_what_was_announced_is_not_committed);
    suite_add_tcase(s, c);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
