/* test_metrics.c: what a scraper may rely on, and that concurrent updates lose nothing. */
#include "base/metrics.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static char text[1 << 20];
static size_t text_n;

static void put(void *arg, const char *p, size_t n)
{
    ck_assert_uint_lt(text_n + n, sizeof text);
    memcpy(text + text_n, p, n);
    text_n += n;
    text[text_n] = 0;
}

static const char *render(void)
{
    text_n = 0;
    metrics_render(put, NULL);
    return text;
}

START_TEST(the_same_name_and_labels_are_the_same_metric)
{
    struct metric *a = metric_get(METRIC_COUNTER, "requests_total", "api=\"Produce\"", "Requests answered.");
    struct metric *b = metric_get(METRIC_COUNTER, "requests_total", "api=\"Fetch\"", "Requests answered.");
    ck_assert_ptr_ne(a, b);
    ck_assert_ptr_eq(a, metric_get(METRIC_COUNTER, "requests_total", "api=\"Produce\"", "Requests answered."));
    metric_add(a, 3);
    metric_add(b, 4);
    ck_assert_int_eq(metric_value(a), 3);
    const char *out = render();
    ck_assert_ptr_nonnull(strstr(out, "# TYPE chronik_requests_total counter\n"
                                      "chronik_requests_total{api=\"Produce\"} 3\n"
                                      "chronik_requests_total{api=\"Fetch\"} 4\n"));
}
END_TEST

static void *count_up(void *arg)
{
    for (int i = 0; i < 10000; i++)
        metric_add(arg, 1);
    return NULL;
}

START_TEST(updates_of_many_threads_lose_nothing)
{
    struct metric *m = metric_get(METRIC_COUNTER, "busy_total", "", "Busy.");
    pthread_t t[8];
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, count_up, m), 0);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        pthread_join(t[i], NULL);
    ck_assert_int_eq(metric_value(m), 80000);
}
END_TEST

START_TEST(a_histogram_counts_sums_and_tells_quantiles)
{
    struct metric *m = metric_get(METRIC_HISTOGRAM, "wait_seconds", "", "Wait.");
    ck_assert_int_eq(metric_quantile(m, 0.5), 0);
    for (int i = 1; i <= 1000; i++)
        metric_observe(m, i * 1000);
    metric_observe(m, -5);
    metric_observe(m, INT64_C(1) << 50);
    ck_assert_int_eq(metric_value(m), 1002);
    int64_t p50 = metric_quantile(m, 0.5);
    ck_assert_int_ge(p50, 500000);
    ck_assert_int_le(p50, 650000);
    const char *out = render();
    ck_assert_ptr_nonnull(strstr(out, "chronik_wait_seconds_bucket{le=\"+Inf\"} 1002\n"));
    ck_assert_ptr_nonnull(strstr(out, "chronik_wait_seconds_bucket{le=\"68.7194767\"} 1001\n"));
    ck_assert_ptr_nonnull(strstr(out, "chronik_wait_seconds_count 1002\n"));
}
END_TEST

START_TEST(bucket_lines_never_fall_and_end_at_the_count)
{
    struct metric *m = metric_get(METRIC_HISTOGRAM, "rise_seconds", "x=\"1\"", "Rise.");
    for (int64_t ns = 1; ns < INT64_C(1) << 40; ns = ns * 3 + 1)
        metric_observe(m, ns);
    long long last = 0, v = 0;
    int seen = 0;
    for (const char *p = render(); (p = strstr(p, "chronik_rise_seconds_bucket{x=\"1\",le=")); p++, seen++) {
        ck_assert_int_eq(sscanf(strchr(p, ' '), "%lld", &v), 1);
        ck_assert_int_ge(v, last);
        last = v;
    }
    ck_assert_int_eq(seen, 28);
    ck_assert_int_eq(last, metric_value(m));
}
END_TEST

static int64_t answer(void *arg)
{
    return *(int *)arg;
}

START_TEST(a_callback_gauge_is_read_at_scrape_time_until_dropped)
{
    int v = 41;
    metric_gauge_fn("depth", "", "Depth.", answer, &v);
    v = 42;
    ck_assert_ptr_nonnull(strstr(render(), "chronik_depth 42\n"));
    metric_gauge_fn_drop("depth", "");
    ck_assert_ptr_null(strstr(render(), "chronik_depth 42\n"));
    metric_gauge_fn("depth", "", "Depth.", answer, &v);
    ck_assert_ptr_nonnull(strstr(render(), "chronik_depth 42\n"));
    metric_gauge_fn_drop("depth", "");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("metrics");
    TCase *t = tcase_create("metrics");
    tcase_add_test(t, the_same_name_and_labels_are_the_same_metric);
    tcase_add_test(t, updates_of_many_threads_lose_nothing);
    tcase_add_test(t, a_histogram_counts_sums_and_tells_quantiles);
    tcase_add_test(t, bucket_lines_never_fall_and_end_at_the_count);
    tcase_add_test(t, a_callback_gauge_is_read_at_scrape_time_until_dropped);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
