/* test_log.c: what an operator may rely on in a log line. */
#include "base/log.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

LOG_SUBSYSTEM("net");

static char last[16384];
static int lines;

static void keep(void *arg, enum log_level lvl, const char *line)
{
    lines++;
    ck_assert_uint_lt(strlen(line), sizeof last);
    memcpy(last, line, strlen(line) + 1);
}

static int64_t fixed_clock(void *arg)
{
    return INT64_C(1700000000123);
}

static void setup(void)
{
    lines = 0;
    log_set_sink(keep, NULL);
    log_set_clock(fixed_clock, NULL);
    log_set_json(false);
    ck_assert(log_set_levels("info"));
}

START_TEST(s7_a_line_has_time_level_subsystem_text_version_and_build)
{
    log_info("listening on %s", "127.0.0.1:9092");
    char want[512];
    snprintf(want, sizeof want, "2023-11-14T22:13:20.123Z INFO  net: listening on 127.0.0.1:9092 v=%s+%s",
             chronik_version(), chronik_build_id());
    ck_assert_str_eq(last, want);
    ck_assert_uint_gt(strlen(chronik_build_id()), 0);
}
END_TEST

START_TEST(json_lines_escape_what_json_must)
{
    log_set_json(true);
    log_warn("a \"quoted\" \\ line\nbreak");
    ck_assert_ptr_nonnull(strstr(last, "\"level\":\"WARN\""));
    ck_assert_ptr_nonnull(strstr(last, "\"text\":\"a \\\"quoted\\\" \\\\ line\\u000abreak\""));
}
END_TEST

START_TEST(a_message_cannot_forge_a_second_line)
{
    log_info("topic a\n2023-11-14 ERROR forged\x1b[31m");
    ck_assert_ptr_null(strchr(last, '\n'));
    ck_assert_ptr_null(strchr(last, 0x1b));
}
END_TEST

START_TEST(a_long_message_is_cut_and_marked)
{
    char big[5000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    log_info("%s", big);
    ck_assert_ptr_nonnull(strstr(last, "x... v="));
}
END_TEST

START_TEST(levels_are_set_for_all_and_for_one_subsystem_while_running)
{
    log_debug("dropped");
    ck_assert_int_eq(lines, 0);
    ck_assert(log_set_levels("warn,net=debug"));
    log_debug("seen");
    ck_assert_int_eq(lines, 1);
    ck_assert(log_set_levels("warn"));
    log_info("dropped again");
    ck_assert_int_eq(lines, 1);
}
END_TEST

START_TEST(a_malformed_level_changes_nothing)
{
    ck_assert(!log_set_levels("loud"));
    ck_assert(!log_set_levels("net=loud"));
    ck_assert(!log_set_levels("=info"));
    ck_assert(!log_set_levels(""));
    ck_assert(!log_set_levels("error,"));
    log_info("still info");
    ck_assert_int_eq(lines, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log");
    TCase *t = tcase_create("log");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, s7_a_line_has_time_level_subsystem_text_version_and_build);
    tcase_add_test(t, json_lines_escape_what_json_must);
    tcase_add_test(t, a_message_cannot_forge_a_second_line);
    tcase_add_test(t, a_long_message_is_cut_and_marked);
    tcase_add_test(t, levels_are_set_for_all_and_for_one_subsystem_while_running);
    tcase_add_test(t, a_malformed_level_changes_nothing);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
