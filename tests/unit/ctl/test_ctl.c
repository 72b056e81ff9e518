#include <config.h>

/* test_ctl.c: the command line's parsing, and its client against a scripted broker: one that answers, an old one, and
 * ones that send nonsense, close or stay silent. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/client.h"
#include "ctl/options.h"
#include "ctl/topic.h"
#include "net/net.h"
#include "wire/codes.h"
#include "wire/messages.h"

/* ---- a scripted broker ---- */

enum mode { ANSWER, OLD, WRONG_CORRELATION, NONSENSE, SILENT, CLOSES };

static struct os *os;
static struct net *net;
static char address[64];
static _Atomic enum mode mode;

static void answer(struct net_req *r, const struct wire_request_head *h, int version, const void *body)
{
    struct wire_out o;
    struct err e;
    wire_out_init(&o, 0);
    int32_t correlation = h->correlation + (mode == WRONG_CORRELATION);
    ck_assert_int_eq(wire_put_response_header(&o, h->api, version, correlation), CHRONIK_DONE);
    ck_assert_msg(wire_encode(h->api->response, version, body, &o, &e) == CHRONIK_DONE, "%s", e.text);
    struct net_seg seg = {.p = o.p, .n = o.n};
    net_answer(r, &seg, 1, free, o.p); /* the buffer is plain malloc'd memory */
}

static void answer_versions(struct net_req *r, const struct wire_request_head *h)
{
    static struct wire_api_versions_response_api_version keys[] = {
        {WIRE_API_METADATA, 0, 20}, {WIRE_API_CREATE_TOPICS, 100, 101}, {32000, 0, 1}, {-3, 0, 1}};
    struct wire_api_versions_response v = wire_api_versions_response_default;
    bool refuse = mode == OLD && h->version > 0;
    v.error_code = refuse ? KAFKA_UNSUPPORTED_VERSION : 0;
    v.api_keys.v = keys;
    v.api_keys.n = refuse ? 0 : (int32_t)ARRAY_LEN(keys);
    answer(r, h, refuse ? 0 : h->version, &v);
}

static void answer_metadata(struct net_req *r, const struct wire_request_head *h)
{
    struct wire_metadata_response m = wire_metadata_response_default;
    struct wire_metadata_response_topic t[2] = {wire_metadata_response_topic_default,
                                                wire_metadata_response_topic_default};
    t[0].name = wire_str("zebra");
    t[1].name = wire_str("ant");
    m.topics.v = t;
    m.topics.n = 2;
    answer(r, h, h->version, &m);
}

static void on_request(void *arg, struct net_req *r)
{
    static const struct net_seg nonsense = {.p = "nonsense", .n = 8};
    struct wire_request_head h;
    struct err e;
    if (mode == NONSENSE) {
        net_answer(r, &nonsense, 1, NULL, NULL);
    } else if (mode == SILENT) {
        net_no_answer(r);
    } else if (mode == CLOSES) {
        net_drop(r, "the test wants it");
    } else {
        ck_assert_int_eq(wire_get_request_header(r->frame, r->n, &h, &e), CHRONIK_DONE);
        h.key == WIRE_API_API_VERSIONS ? answer_versions(r, &h) : answer_metadata(r, &h);
    }
}

static void on_conn(void *arg, struct net_conn *c)
{
}

static void on_canceled(void *arg, struct net_req *r)
{
    net_no_answer(r);
}

static void setup(void)
{
    struct net_config cfg = {.loops = 1};
    struct net_handler h = {NULL, on_request, on_conn, on_conn, on_canceled, NULL};
    const struct net_listener_info *info;
    struct err e;
    mode = ANSWER;
    os = os_real_new(1);
    ck_assert_int_eq(net_open(os, &cfg, &h, &net, &e), CHRONIK_DONE);
    ck_assert_int_eq(net_listen(net, "PLAINTEXT", "127.0.0.1:0", &info, &e), CHRONIK_DONE);
    snprintf(address, sizeof address, "127.0.0.1:%u", info->port);
}

static void teardown(void)
{
    net_close(net);
    os_real_free(os);
}

static int32_t open_with(enum mode m, int timeout_ms, struct err *e)
{
    struct client *c;
    mode = m;
    int32_t r = client_open(address, timeout_ms, &c, e);
    if (r == CHRONIK_DONE)
        client_close(c);
    return r;
}

START_TEST(a_call_goes_out_in_the_highest_common_version_and_comes_back)
{
    struct client *c;
    struct err e = {0};
    struct arena a;
    struct wire_metadata_request q = wire_metadata_request_default;
    struct wire_metadata_response r;
    arena_init(&a, 0);
    ck_assert_msg(client_open(address, 2000, &c, &e) == CHRONIK_DONE, "%s", e.text);
    int32_t version = client_version(c, WIRE_API_METADATA, &e);
    ck_assert_int_eq(version, wire_api(WIRE_API_METADATA)->max);
    ck_assert_msg(client_call(c, WIRE_API_METADATA, version, &q, &r, &a, &e) == CHRONIK_DONE, "%s", e.text);
    ck_assert_int_eq(r.topics.n, 2);
    ck_assert(wire_str_is(r.topics.v[0].name, "zebra"));
    ck_assert_int_eq(client_version(c, WIRE_API_CREATE_TOPICS, &e), CHRONIK_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(e.text, "versions 100 to 101"));
    ck_assert_int_eq(client_version(c, WIRE_API_DELETE_TOPICS, &e), CHRONIK_E_UNSUPPORTED);
    client_close(c);
    arena_free(&a);
}
END_TEST

START_TEST(an_old_broker_is_asked_again_in_version_0)
{
    struct err e = {0};
    ck_assert_msg(open_with(OLD, 2000, &e) == CHRONIK_DONE, "%s", e.text);
}
END_TEST

START_TEST(a_peer_that_misbehaves_is_a_sentence_and_never_a_hang)
{
    struct err e = {0};
    ck_assert_int_eq(open_with(WRONG_CORRELATION, 2000, &e), CHRONIK_E_CORRUPT);
    ck_assert_int_eq(open_with(NONSENSE, 2000, &e), CHRONIK_E_CORRUPT);
    ck_assert_int_eq(open_with(SILENT, 100, &e), CHRONIK_E_TIMEDOUT);
    ck_assert_ptr_nonnull(strstr(e.text, "--timeout"));
    ck_assert_int_eq(open_with(CLOSES, 2000, &e), CHRONIK_E_CLOSED);
    ck_assert_ptr_nonnull(strstr(e.text, address));
}
END_TEST

START_TEST(the_next_address_is_tried_when_one_does_not_answer)
{
    struct client *c;
    struct err e = {0};
    char list[128];
    snprintf(list, sizeof list, "127.0.0.1:1,,%s", address);
    ck_assert_int_eq(client_open(list, 2000, &c, &e), CHRONIK_DONE);
    ck_assert_str_eq(client_peer(c), address);
    client_close(c);
    ck_assert_int_lt(client_open("127.0.0.1:1", 2000, &c, &e), 0);
    ck_assert_int_lt(client_open("", 2000, &c, &e), 0);
    ck_assert_int_eq(client_open("[::1", 2000, &c, &e), CHRONIK_E_INVAL);
}
END_TEST

START_TEST(topic_list_prints_names_in_order)
{
    struct options o = {.bootstrap = address, .timeout_ms = 2000};
    char path[] = "/tmp/chronik-ctl-XXXXXX", text[4096];
    int fd = mkstemp(path), out = dup(1);
    unlink(path);
    fflush(stdout);
    dup2(fd, 1);
    int status = topic_list(&o);
    fflush(stdout);
    dup2(out, 1);
    close(out);
    ck_assert_int_eq(status, 0);
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    ck_assert_int_gt(n, 0);
    text[n] = 0;
    close(fd);
    char *ant = strstr(text, "\nant "), *zebra = strstr(text, "\nzebra ");
    ck_assert(strncmp(text, "TOPIC", 5) == 0 && ant && zebra && ant < zebra);
}
END_TEST

/* ---- the command line ---- */

static int32_t parse(struct options *o, struct err *e, const char *line)
{
    static char copy[1024];
    char *argv[64] = {(char *)"chronikctl"};
    int argc = 1;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    return options_parse(argc, argv, o, e);
}

START_TEST(options_may_stand_anywhere_with_or_without_an_equals_sign)
{
    struct options o;
    struct err e;
    ck_assert_msg(parse(&o, &e, "--bootstrap=h:1 topic create --partitions 3 a --config k=v b --format json") ==
                      CHRONIK_DONE,
                  "%s", e.text);
    ck_assert_str_eq(o.command->verb, "create");
    ck_assert_str_eq(o.bootstrap, "h:1");
    ck_assert_int_eq(o.partitions, 3);
    ck_assert_int_eq(o.replication_factor, -1);
    ck_assert_int_eq(o.n_names, 2);
    ck_assert_str_eq(o.names[1], "b");
    ck_assert_str_eq(o.configs[0], "k=v");
    ck_assert(o.json);
    ck_assert_int_eq(parse(&o, &e, "topic delete -- --if-exists"), CHRONIK_DONE);
    ck_assert_str_eq(o.names[0], "--if-exists");
}
END_TEST

START_TEST(wrong_usage_is_refused_with_the_remedy)
{
    static const char *const bad[] = {
        "",
        "topic",
        "topic bogus",
        "topic list x",
        "topic create",
        "topic list --partitions 3",
        "topic create a --partitions 0",
        "topic create a --partitions x",
        "topic create a --partitions",
        "topic create a --config novalue",
        "status --format xml",
        "status --help=1",
        "status -x",
        "--bogus",
        "topic create a --replication-factor 99999",
    };
    struct options o;
    struct err e;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        e = (struct err){0};
        ck_assert_msg(parse(&o, &e, bad[i]) == CHRONIK_E_INVAL, "%s", bad[i]);
        ck_assert_msg(e.text[0], "%s", bad[i]);
    }
    ck_assert_int_eq(parse(&o, &e, "--help"), CHRONIK_DONE);
    ck_assert(o.help && !o.command);
    ck_assert_int_eq(parse(&o, &e, "topic create --help"), CHRONIK_DONE);
    ck_assert(o.help && o.command);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("chronikctl");
    TCase *t = tcase_create("client"), *u = tcase_create("options");
    tcase_set_timeout(t, 20);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_call_goes_out_in_the_highest_common_version_and_comes_back);
    tcase_add_test(t, an_old_broker_is_asked_again_in_version_0);
    tcase_add_test(t, a_peer_that_misbehaves_is_a_sentence_and_never_a_hang);
    tcase_add_test(t, the_next_address_is_tried_when_one_does_not_answer);
    tcase_add_test(t, topic_list_prints_names_in_order);
    tcase_add_test(u, options_may_stand_anywhere_with_or_without_an_equals_sign);
    tcase_add_test(u, wrong_usage_is_refused_with_the_remedy);
    suite_add_tcase(s, t);
    suite_add_tcase(s, u);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
