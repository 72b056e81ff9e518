/* test_listeners.c: which addresses are bound, which are told to clients, and which are refused with a remedy. */
#include "fixture.h"

static void check_one(const struct config_listener *l, const char *address, const char *advertised, unsigned port)
{
    char buf[300];
    config_listener_address(l, buf, sizeof buf);
    ck_assert_str_eq(buf, address);
    ck_assert_str_eq(l->advertised_host, advertised);
    ck_assert_uint_eq(l->advertised_port, port);
}

START_TEST(without_settings_only_this_machine_gets_in)
{
    struct fixture f;
    const struct config_listener *l;
    fixture_good(&f, NULL);
    ck_assert_uint_eq(config_listeners(f.c, &l), 2);
    check_one(&l[0], "127.0.0.1:9092", "localhost", 9092);
    check_one(&l[1], "[::1]:9092", "localhost", 9092);
    ck_assert(!l[0].optional && l[1].optional);
    config_free(f.c);
}
END_TEST

START_TEST(a_listener_on_one_address_is_told_as_it_is)
{
    struct fixture f;
    const struct config_listener *l;
    fixture_good(&f, "listeners=PLAINTEXT://127.0.0.1:0, LAN://[fe80::1]:9192\n"
                     "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,LAN:PLAINTEXT\n");
    ck_assert_uint_eq(config_listeners(f.c, &l), 2);
    check_one(&l[0], "127.0.0.1:0", "127.0.0.1", 0);
    check_one(&l[1], "[fe80::1]:9192", "fe80::1", 9192);
    config_free(f.c);
}
END_TEST

START_TEST(a_listener_on_all_addresses_is_told_by_the_name_of_the_machine_or_as_advertised)
{
    struct fixture f;
    const struct config_listener *l;
    fixture_good(&f, "listeners=PLAINTEXT://:9092\n");
    ck_assert_uint_eq(config_listeners(f.c, &l), 2);
    check_one(&l[0], "0.0.0.0:9092", "ada.example.org", 9092);
    check_one(&l[1], "[::]:9092", "ada.example.org", 9092);
    config_free(f.c);
    fixture_good(&f, "listeners=PLAINTEXT://0.0.0.0:9092\nadvertised.listeners=PLAINTEXT://kafka.lan:19092\n");
    ck_assert_uint_eq(config_listeners(f.c, &l), 1);
    check_one(&l[0], "0.0.0.0:9092", "kafka.lan", 19092);
    config_free(f.c);
}
END_TEST

START_TEST(an_address_that_no_client_can_reach_is_refused_with_the_remedy)
{
    fixture_refused("listeners=PLAINTEXT://0.0.0.0:9092\n", "advertised.listeners=PLAINTEXT://ada.example.org:9092");
    static const char *const bad[] = {"0.0.0.0", "[::]", "", "*"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char file[200];
        snprintf(file, sizeof file, "listeners=PLAINTEXT://:9092\nadvertised.listeners=PLAINTEXT://%s:9092\n", bad[i]);
        fixture_refused(file, "server.properties:2: advertised.listeners:");
        fixture_refused(file, "for instance PLAINTEXT://ada.example.org:9092");
    }
    struct fixture f;
    struct config_finish_options o = {0};
    fixture_read(&f, "listeners=PLAINTEXT://:9092\n", NULL, NULL);
    ck_assert_int_eq(config_finish(f.c, &o, fixture_report, &f), 1);
    config_free(f.c);
}
END_TEST

START_TEST(malformed_and_contradicting_listeners_are_refused)
{
    static const char *const bad[] = {
        "PLAINTEXT",           "PLAINTEXT://",         "PLAINTEXT://host",      "PLAINTEXT://host:",  "://a:1",
        "PLAINTEXT://host:9x", "PLAINTEXT://::1:9092", "PLAINTEXT://[::1:9092", "PLAINTEXT://[]:9092"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char file[200];
        snprintf(file, sizeof file, "listeners=%s\n", bad[i]);
        fixture_refused(file, "is not of the form NAME://host:port");
    }
    fixture_refused("listeners=PLAINTEXT://host:65536\n", "the port 65536 is out of range; choose one from 0 to 65535");
    fixture_refused("advertised.listeners=PLAINTEXT://host:99999999999999999999\n", "is out of range");
    fixture_refused("listeners=\n", "there is no listener for clients");
    fixture_refused("listeners=CONTROLLER://127.0.0.1:9093\n", "there is no listener for clients");
    fixture_refused("listeners=A://127.0.0.1:1\n", "has no entry for the listener A; add A:PLAINTEXT");
    fixture_refused("listeners=PLAINTEXT://127.0.0.1:1,PLAINTEXT://127.0.0.1:2\n", "named twice");
    fixture_refused("listeners=PLAINTEXT://127.0.0.1:1,B://127.0.0.1:1\n"
                    "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,B:PLAINTEXT\n",
                    "PLAINTEXT and B want the same port 1");
    fixture_refused("advertised.listeners=OTHER://a:1\n", "listeners has no listener of the name OTHER");
    fixture_refused("advertised.listeners=a:1\n", "is not of the form");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("config");
    TCase *t = tcase_create("listeners");
    tcase_add_test(t, without_settings_only_this_machine_gets_in);
    tcase_add_test(t, a_listener_on_one_address_is_told_as_it_is);
    tcase_add_test(t, a_listener_on_all_addresses_is_told_by_the_name_of_the_machine_or_as_advertised);
    tcase_add_test(t, an_address_that_no_client_can_reach_is_refused_with_the_remedy);
    tcase_add_test(t, malformed_and_contradicting_listeners_are_refused);
    suite_add_tcase(s, t);
    return fixture_run(s);
}
