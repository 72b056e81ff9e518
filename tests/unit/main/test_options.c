/* test_options.c: the command line as a user writes it, and what a start says. */
#include "main/banner.h"
#include "main/options.h"

#include <chronik/base.h>

#include <check.h>
#include <stdlib.h>

static int32_t parse(struct options *o, struct err *e, int argc, const char *const *argv)
{
    return options_parse(argc, (char *const *)argv, o, e);
}

#define PARSE(o, e, ...)                                                                                               \
    parse(o, e, (int)ARRAY_LEN(((const char *[]){"chronik", __VA_ARGS__})), (const char *[]){"chronik", __VA_ARGS__})

START_TEST(flags_stand_before_or_behind_the_file_and_take_values_both_ways)
{
    struct options o;
    struct err e = {0};
    ck_assert_int_eq(PARSE(&o, &e, "--override", "a.b=c=d", "x.properties", "--meta=raft", "--store", "/m/wal.so",
                           "--override=k=", "--allow-unknown-config"),
                     CHRONIK_DONE);
    ck_assert_int_eq(o.command, OPTION_SERVE);
    ck_assert_str_eq(o.file, "x.properties");
    ck_assert_uint_eq(o.n_settings, 4);
    ck_assert_str_eq(o.settings[0].key, "a.b");
    ck_assert_str_eq(o.settings[0].value, "c=d");
    ck_assert_str_eq(o.settings[1].key, "chronik.meta");
    ck_assert_str_eq(o.settings[1].flag, "--meta");
    ck_assert_str_eq(o.settings[2].value, "/m/wal.so");
    ck_assert_str_eq(o.settings[3].key, "k");
    ck_assert_str_eq(o.settings[3].value, "");
    ck_assert(o.allow_unknown);
    options_free(&o);
}
END_TEST

START_TEST(commands_are_words_or_flags)
{
    struct options o;
    struct err e = {0};
    ck_assert_int_eq(PARSE(&o, &e, "plugins"), CHRONIK_DONE);
    ck_assert_int_eq(o.command, OPTION_PLUGINS);
    options_free(&o);
    ck_assert_int_eq(PARSE(&o, &e, "config", "show", "f", "--all"), CHRONIK_DONE);
    ck_assert_int_eq(o.command, OPTION_SHOW_CONFIG);
    ck_assert_str_eq(o.file, "f");
    ck_assert(o.all);
    options_free(&o);
    ck_assert_int_eq(PARSE(&o, &e, "f", "--check-config"), CHRONIK_DONE);
    ck_assert_int_eq(o.command, OPTION_CHECK_CONFIG);
    options_free(&o);
    ck_assert_int_eq(PARSE(&o, &e, "--version"), CHRONIK_DONE);
    ck_assert_int_eq(o.command, OPTION_VERSION);
    options_free(&o);
    ck_assert_int_eq(PARSE(&o, &e, "plugins", "--help"), CHRONIK_DONE);
    ck_assert_int_eq(o.command, OPTION_HELP);
    options_free(&o);
}
END_TEST

START_TEST(wrong_usage_is_named_in_a_sentence)
{
    struct options o;
    struct err e = {0};
    ck_assert_int_eq(PARSE(&o, &e, "--metta=x"), CHRONIK_E_INVAL);
    ck_assert_str_eq(e.text, "unknown flag '--metta=x'; chronik --help lists what there is");
    ck_assert_int_eq(PARSE(&o, &e, "--override", "novalue"), CHRONIK_E_INVAL);
    ck_assert_str_eq(e.text, "--override takes KEY=VALUE, not 'novalue'");
    ck_assert_int_eq(PARSE(&o, &e, "--override"), CHRONIK_E_INVAL);
    ck_assert_int_eq(PARSE(&o, &e, "--override", "=x"), CHRONIK_E_INVAL);
    ck_assert_int_eq(PARSE(&o, &e, "--meta="), CHRONIK_E_INVAL);
    ck_assert_int_eq(PARSE(&o, &e, "config"), CHRONIK_E_INVAL);
    ck_assert_int_eq(PARSE(&o, &e, "a", "b"), CHRONIK_E_INVAL);
    ck_assert_int_eq(PARSE(&o, &e, "a", "b", "c", "d"), CHRONIK_E_INVAL);
}
END_TEST

START_TEST(a_start_says_where_it_listens_and_what_to_try)
{
    const struct config_listener l[] = {
        {.name = "PLAINTEXT", .host = "127.0.0.1", .advertised_host = "localhost"},
        {.name = "PLAINTEXT", .host = "::1", .advertised_host = "localhost", .optional = true},
        {.name = "CONTROLLER", .host = "127.0.0.1", .controller = true},
    };
    const uint16_t ports[] = {41234, 41234, 0};
    struct config_list *dirs = malloc(sizeof *dirs + sizeof dirs->item[0]);
    dirs->n = 1;
    dirs->item[0] = "/data";
    struct banner b = {.cluster_id = "abc",
                       .node = 1,
                       .listeners = l,
                       .ports = ports,
                       .n_listeners = 3,
                       .admin = "127.0.0.1:9644",
                       .dirs = dirs,
                       .modules = "meta-local 0.1.0, store-wal 0.1.0"};
    char buf[2048];
    const char *text = strchr(banner_text(&b, buf, sizeof buf), '\n');
    ck_assert_str_eq(text, "\n"
                           "  cluster   abc          node 1\n"
                           "  listening PLAINTEXT 127.0.0.1:41234, [::1]:41234  (advertised as localhost:41234)\n"
                           "  admin     http://127.0.0.1:9644\n"
                           "  modules   meta-local 0.1.0, store-wal 0.1.0\n"
                           "  data      /data\n"
                           "  try       echo hello | kcat -b localhost:41234 -P -t hello && kcat -b localhost:41234 -C "
                           "-t hello -e\n"
                           "  open      only this machine gets in; for the network: --override "
                           "listeners=PLAINTEXT://:41234 --override advertised.listeners=PLAINTEXT://HOST:41234\n");
    char small[40];
    ck_assert_uint_lt(strlen(banner_text(&b, small, sizeof small)), sizeof small);
    free(dirs);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("main");
    TCase *t = tcase_create("options");
    tcase_add_test(t, flags_stand_before_or_behind_the_file_and_take_values_both_ways);
    tcase_add_test(t, commands_are_words_or_flags);
    tcase_add_test(t, wrong_usage_is_named_in_a_sentence);
    tcase_add_test(t, a_start_says_where_it_listens_and_what_to_try);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
