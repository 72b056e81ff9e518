/* test_arena.c: what a request may rely on when it allocates from an arena. */
#include "base/arena.h"
#include "base/err.h"

#include <check.h>
#include <stdlib.h>

START_TEST(allocations_are_aligned_and_do_not_overlap)
{
    struct arena a;
    arena_init(&a, 0);
    char *last = NULL;
    for (size_t i = 1; i < 2000; i++) {
        char *p = arena_alloc(&a, i % 37);
        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq((uintptr_t)p % 8, 0);
        ck_assert_ptr_ne(p, last);
        memset(p, 0xaa, i % 37);
        last = p;
    }
    arena_free(&a);
}
END_TEST

START_TEST(nothing_at_all_is_copied_as_an_empty_string)
{
    struct arena a;
    arena_init(&a, 0);
    const char *nothing = NULL; /* a null string of a request; under UBSan this must not reach memcpy */
    char *p = arena_strndup(&a, nothing, 0);
    ck_assert_ptr_nonnull(p);
    ck_assert_str_eq(p, "");
    arena_free(&a);
}
END_TEST

START_TEST(the_limit_refuses_and_leaves_the_arena_usable)
{
    struct arena a;
    arena_init(&a, 64 * 1024);
    ck_assert_ptr_null(arena_alloc(&a, 1 << 20));
    ck_assert_ptr_nonnull(arena_alloc(&a, 1000));
    ck_assert_ptr_null(arena_calloc(&a, SIZE_MAX / 2, 3));
    ck_assert_uint_le(a.held, 64 * 1024);
    arena_free(&a);
}
END_TEST

START_TEST(a_reset_keeps_one_chunk)
{
    struct arena a;
    arena_init(&a, 0);
    for (int i = 0; i < 100; i++)
        ck_assert_ptr_nonnull(arena_alloc(&a, 1000));
    arena_reset(&a);
    ck_assert_uint_eq(a.held, 4096);
    ck_assert_str_eq(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
    ck_assert_uint_eq(a.held, 4096);
    arena_free(&a);
}
END_TEST

START_TEST(a_prefix_stands_before_the_first_story)
{
    struct err e = {0};
    ck_assert_int_eq(err_set(&e, -3, "offset %d: bad magic", 7), -3);
    ck_assert_int_eq(err_prefix(&e, "file %s", "a.wal"), -3);
    ck_assert_str_eq(e.text, "file a.wal: offset 7: bad magic");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base");
    TCase *t = tcase_create("arena");
    tcase_add_test(t, allocations_are_aligned_and_do_not_overlap);
    tcase_add_test(t, nothing_at_all_is_copied_as_an_empty_string);
    tcase_add_test(t, the_limit_refuses_and_leaves_the_arena_usable);
    tcase_add_test(t, a_reset_keeps_one_chunk);
    tcase_add_test(t, a_prefix_stands_before_the_first_story);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
