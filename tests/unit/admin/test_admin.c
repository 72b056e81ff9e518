#include <config.h>

/* test_admin.c: the operator's answers: as pure functions of a call, and over HTTP from a real socket with good and bad
 * bytes. */
#include <arpa/inet.h>
#include <check.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/guard.h"
#include "base/metrics.h"
#include "os/os.h"

static struct os *os;
static struct admin *admin;
static struct admin_http *http;
static uint16_t port;
static struct admin_call *pending;
static struct chronik_task pending_task;
static int changes;

static void finish_pending(void *arg)
{
    struct admin_call *c = arg;
    admin_printf(&c->out, "late\n");
    admin_finish(c);
}

static int late(void *arg, struct admin_call *c)
{
    pending = c;
    pending_task = (struct chronik_task){.fn = finish_pending, .arg = c};
    os_worker_post(os, &pending_task);
    return ADMIN_PENDING;
}

static int change(void *arg, struct admin_call *c)
{
    changes++;
    admin_printf(&c->out, "changed with %zu bytes\n", c->n_body);
    return ADMIN_DONE;
}

static int below(void *arg, struct admin_call *c)
{
    char name[32];
    const char *v = admin_query(c, "name", name, sizeof name);
    admin_printf(&c->out, "%s %s\n", c->path, v ? v : "-");
    return ADMIN_DONE;
}

static void section(void *arg, cJSON *o)
{
    cJSON_AddNumberToObject(o, "answer", 42);
}

static void setup(void)
{
    os = os_real_new(1);
    admin = admin_new(os);
    ck_assert_ptr_nonnull(admin);
    ck_assert_int_eq(admin_route(admin, "GET", "/late", "later", late, NULL), CHRONIK_DONE);
    ck_assert_int_eq(admin_route(admin, "POST", "/change", "change", change, NULL), CHRONIK_DONE);
    ck_assert_int_eq(admin_route(admin, "GET", "/below/", "prefix", below, NULL), CHRONIK_DONE);
    ck_assert_int_eq(admin_status(admin, "test", section, NULL), CHRONIK_DONE);
    changes = 0;
    http = NULL;
}

static void teardown(void)
{
    if (http)
        admin_http_close(http);
    admin_free(admin);
    os_real_free(os);
}

static int status_of(const char *method, const char *path, bool may_change, char *out, size_t n)
{
    struct admin_call c = {.method = method, .path = path, .query = "", .body = "", .status = 200};
    c.type = "text/plain; charset=utf-8";
    c.may_change = may_change;
    ck_assert_int_eq(admin_handle(admin, &c), ADMIN_DONE);
    if (out)
        snprintf(out, n, "%s", c.out.p ? c.out.p : "");
    int status = c.status;
    admin_text_free(&c.out);
    return status;
}

START_TEST(readiness_names_each_condition_and_what_is_missing)
{
    char text[1000];
    struct admin_condition *boot = admin_condition(admin, "boot", "booting");
    struct admin_condition *log = admin_condition(admin, "recovery", "not begun");
    ck_assert_int_eq(status_of("GET", "/readyz", false, text, sizeof text), 503);
    ck_assert_ptr_nonnull(strstr(text, "not boot: booting\n"));
    admin_condition_set(boot, true, "up");
    admin_condition_set(log, false, "recovering %d of %d partitions", 3, 10);
    ck_assert_int_eq(status_of("GET", "/readyz", false, text, sizeof text), 503);
    ck_assert_ptr_nonnull(strstr(text, "not recovery: recovering 3 of 10 partitions\n"));
    ck_assert(!admin_ready(admin));
    admin_condition_set(log, true, "10 partitions");
    ck_assert_int_eq(status_of("GET", "/readyz", false, text, sizeof text), 200);
    ck_assert(admin_ready(admin));
}
END_TEST

static bool looked_at(void *arg, char *text, size_t n)
{
    snprintf(text, n, "asked %d times", ++changes);
    return changes > 1;
}

START_TEST(a_condition_can_be_looked_at_when_somebody_asks)
{
    char text[1000];
    ck_assert_int_eq(admin_condition_fn(admin, "lag", looked_at, NULL), CHRONIK_DONE);
    ck_assert_int_eq(status_of("GET", "/readyz", false, text, sizeof text), 503);
    ck_assert_ptr_nonnull(strstr(text, "not lag: asked 1 times\n"));
    ck_assert_int_eq(status_of("GET", "/readyz", false, text, sizeof text), 200);
    ck_assert(admin_ready(admin));
}
END_TEST

START_TEST(s7_the_status_carries_version_build_id_and_the_registered_sections)
{
    char text[4000];
    ck_assert_int_eq(status_of("GET", "/status", false, text, sizeof text), 200);
    cJSON *o = cJSON_Parse(text);
    ck_assert_ptr_nonnull(o);
    ck_assert_ptr_nonnull(cJSON_GetObjectItem(o, "version"));
    ck_assert_ptr_nonnull(cJSON_GetObjectItem(o, "build_id"));
    cJSON *test = cJSON_GetObjectItem(o, "test");
    ck_assert_int_eq(cJSON_GetObjectItem(test, "answer")->valueint, 42);
    cJSON_Delete(o);
}
END_TEST

START_TEST(what_changes_something_needs_the_right_to)
{
    char text[1000];
    ck_assert_int_eq(status_of("POST", "/change", false, text, sizeof text), 403);
    ck_assert_ptr_nonnull(strstr(text, "bearer token"));
    ck_assert_int_eq(changes, 0);
    ck_assert_int_eq(status_of("POST", "/change", true, text, sizeof text), 200);
    ck_assert_int_eq(changes, 1);
}
END_TEST

START_TEST(unknown_paths_and_wrong_methods_are_answered)
{
    char text[1000];
    ck_assert_int_eq(status_of("GET", "/nothing", true, text, sizeof text), 404);
    ck_assert_int_eq(status_of("GET", "/change", true, text, sizeof text), 405);
    ck_assert_int_eq(status_of("POST", "/livez", true, text, sizeof text), 405);
    ck_assert_int_eq(status_of("GET", "/below/x/y", true, text, sizeof text), 200);
    ck_assert_str_eq(text, "/below/x/y -\n");
    ck_assert_int_eq(status_of("GET", "/", true, text, sizeof text), 200);
    ck_assert_ptr_nonnull(strstr(text, "/metrics"));
}
END_TEST

START_TEST(query_parameters_are_decoded_and_bounded)
{
    struct admin_call c = {.query = "a=1&name=x%20y+z&b&bad=%0&long=aaaaaaaaaaaaaaaaaaaa&nul=%00"};
    char buf[10];
    ck_assert_str_eq(admin_query(&c, "name", buf, sizeof buf), "x y z");
    ck_assert_str_eq(admin_query(&c, "b", buf, sizeof buf), "");
    ck_assert_str_eq(admin_query(&c, "bad", buf, sizeof buf), "%0");
    ck_assert_ptr_null(admin_query(&c, "long", buf, sizeof buf));
    ck_assert_ptr_null(admin_query(&c, "nul", buf, sizeof buf));
    ck_assert_ptr_null(admin_query(&c, "na", buf, sizeof buf));
}
END_TEST

/* ---- over HTTP ---- */

static void serve(const char *token_file)
{
    struct err e = {0};
    ck_assert_msg(admin_http_open(os, admin, "127.0.0.1:0", token_file, &port, &http, &e) == CHRONIK_DONE, "%s",
                  e.text);
}

static int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval limit = {.tv_sec = 5};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

/* Sends bytes, half-closes when `end`, reads all that comes. Returns the HTTP status, 0 when there was no answer. */
static int talk(const void *bytes, size_t n, bool end, char *out, size_t cap)
{
    int fd = dial();
    size_t at = 0;
    ck_assert_int_eq(send(fd, bytes, n, MSG_NOSIGNAL), (ssize_t)n);
    if (end)
        shutdown(fd, SHUT_WR);
    for (;;) {
        ssize_t k = recv(fd, out + at, cap - 1 - at, 0);
        if (k < 0)
            ck_assert_int_eq(errno, ECONNRESET);
        if (k <= 0)
            break;
        at += (size_t)k;
    }
    close(fd);
    out[at] = 0;
    int status = 0;
    if (sscanf(out, "HTTP/1.%*d %d", &status) != 1)
        status = 0;
    return status;
}

static int get(const char *request, char *out, size_t cap)
{
    return talk(request, strlen(request), false, out, cap);
}

START_TEST(metrics_liveness_and_status_come_over_http)
{
    static char text[1 << 20];
    serve(NULL);
    metric_add(metric_get(METRIC_COUNTER, "admin_test_total", "", "A test."), 3);
    ck_assert_int_eq(get("GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", text, sizeof text), 200);
    ck_assert_ptr_nonnull(strstr(text, "chronik_admin_test_total 3"));
    ck_assert_ptr_nonnull(strstr(text, "Content-Type: text/plain; version=0.0.4"));
    ck_assert_int_eq(get("GET /livez HTTP/1.0\r\n\r\n", text, sizeof text), 200);
    ck_assert_int_eq(get("HEAD /livez HTTP/1.0\r\n\r\n", text, sizeof text), 200);
    ck_assert_int_eq(get("GET /status?x=1 HTTP/1.0\r\n\r\n", text, sizeof text), 200);
    ck_assert_ptr_nonnull(strstr(text, "\"answer\""));
    ck_assert_int_eq(get("GET /late HTTP/1.0\r\n\r\n", text, sizeof text), 200);
    ck_assert_ptr_nonnull(strstr(text, "late\n"));
}
END_TEST

START_TEST(changes_over_http_come_from_this_machine_but_not_from_a_page)
{
    char text[4096];
    serve(NULL);
    ck_assert_int_eq(get("POST /change HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", text, sizeof text), 200);
    ck_assert_ptr_nonnull(strstr(text, "changed with 3 bytes"));
    ck_assert_int_eq(
        get("POST /change HTTP/1.0\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n", text, sizeof text),
        403);
    ck_assert_int_eq(get("POST /change HTTP/1.0\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n", text, sizeof text),
                     403);
    ck_assert_int_eq(changes, 1);
}
END_TEST

START_TEST(a_bearer_token_counts_and_a_wrong_one_does_not)
{
    char text[4096], path[] = "/tmp/chronik-admin-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_eq(write(fd, "0123456789abcdef0123\n", 21), 21);
    close(fd);
    serve(path);
    unlink(path);
    const char *good = "POST /change HTTP/1.0\r\nAuthorization: Bearer 0123456789abcdef0123\r\nOrigin: "
                       "x\r\nContent-Length: 0\r\n\r\n";
    const char *bad = "POST /change HTTP/1.0\r\nAuthorization: Bearer 0123456789abcdef0124\r\nOrigin: "
                      "x\r\nContent-Length: 0\r\n\r\n";
    ck_assert_int_eq(get(good, text, sizeof text), 200);
    ck_assert_int_eq(get(bad, text, sizeof text), 403);
    struct admin_http *second;
    struct err e = {0};
    uint16_t p;
    ck_assert_int_lt(admin_http_open(os, admin, "127.0.0.1:0", "/nonexistent/token", &p, &second, &e), 0);
    ck_assert_ptr_nonnull(strstr(e.text, "/nonexistent/token"));
}
END_TEST

START_TEST(any_bytes_are_answered_or_closed_and_the_server_goes_on)
{
    static char text[65536], big[200 * 1024];
    unsigned seed = 1;
    serve(NULL);
    memset(big, 'a', sizeof big);
    memcpy(big, "POST /change HTTP/1.0\r\nContent-Length: 190000\r\n\r\n", 48);
    int status = talk(big, 70000, true, text, sizeof text);
    ck_assert_int_ne(status, 200);
    memcpy(big, "GET /", 5);
    memset(big + 5, 'a', sizeof big - 5);
    ck_assert_int_ne(talk(big, 40000, true, text, sizeof text), 200);
    ck_assert_int_ne(get("GET /%00livez HTTP/1.0\r\n\r\n", text, sizeof text), 200);
    for (int round = 0; round < 200; round++) {
        char bytes[300];
        size_t n = 1 + (size_t)rand_r(&seed) % sizeof bytes;
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)rand_r(&seed);
        if (round % 2)
            memcpy(bytes, "GET /metrics HTTP/1.1\r\n", min_size(n, 23));
        talk(bytes, n, true, text, sizeof text);
    }
    ck_assert_int_eq(changes, 0);
    ck_assert_int_eq(get("GET /livez HTTP/1.0\r\n\r\n", text, sizeof text), 200);
}
END_TEST

/* Whether the peer closes it within some seconds. */
static bool is_closed(int fd)
{
    char c;
    ssize_t k = recv(fd, &c, 1, 0);
    return k == 0 || (k < 0 && errno == ECONNRESET);
}

START_TEST(silent_connections_do_not_keep_an_operator_out)
{
    enum { SILENT = 150 };
    int fd[SILENT];
    char text[4096];
    serve(NULL);
    for (int i = 0; i < SILENT; i++)
        fd[i] = dial();
    ck_assert_int_eq(get("GET /livez HTTP/1.0\r\n\r\n", text, sizeof text), 200);
    for (int i = 0; i < SILENT - ADMIN_CONNECTIONS; i++)
        ck_assert_msg(is_closed(fd[i]), "connection %d of %d is open", i, SILENT);
    for (int i = 0; i < SILENT; i++)
        close(fd[i]);
}
END_TEST

START_TEST(a_request_that_drips_is_ended)
{
    admin_patience_ns = INT64_C(300000000);
    serve(NULL);
    int fd = dial();
    ssize_t sent = send(fd, "GET /livez HTTP/1.1\r\nX: ", 24, MSG_NOSIGNAL);
    for (int i = 0; i < 200 && sent > 0; i++) {
        usleep(50000);
        sent = send(fd, "x", 1, MSG_NOSIGNAL);
    }
    ck_assert_int_lt(sent, 0);
    close(fd);
}
END_TEST

START_TEST(an_address_in_use_and_a_malformed_one_are_named)
{
    struct err e = {0};
    struct admin_http *second;
    char address[32];
    uint16_t p;
    serve(NULL);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    ck_assert_int_eq(admin_http_open(os, admin, address, NULL, &p, &second, &e), CHRONIK_E_EXISTS);
    ck_assert_ptr_nonnull(strstr(e.text, address));
    ck_assert_int_eq(admin_http_open(os, admin, "nonsense", NULL, &p, &second, &e), CHRONIK_E_INVAL);
    ck_assert_int_eq(admin_http_open(os, admin, "127.0.0.1:99999", NULL, &p, &second, &e), CHRONIK_E_INVAL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("admin");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 20);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, readiness_names_each_condition_and_what_is_missing);
    tcase_add_test(t, a_condition_can_be_looked_at_when_somebody_asks);
    tcase_add_test(t, s7_the_status_carries_version_build_id_and_the_registered_sections);
    tcase_add_test(t, what_changes_something_needs_the_right_to);
    tcase_add_test(t, unknown_paths_and_wrong_methods_are_answered);
    tcase_add_test(t, query_parameters_are_decoded_and_bounded);
    tcase_add_test(t, metrics_liveness_and_status_come_over_http);
    tcase_add_test(t, changes_over_http_come_from_this_machine_but_not_from_a_page);
    tcase_add_test(t, a_bearer_token_counts_and_a_wrong_one_does_not);
    tcase_add_test(t, any_bytes_are_answered_or_closed_and_the_server_goes_on);
    tcase_add_test(t, silent_connections_do_not_keep_an_operator_out);
    tcase_add_test(t, a_request_that_drips_is_ended);
    tcase_add_test(t, an_address_in_use_and_a_malformed_one_are_named);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
