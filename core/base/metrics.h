/* metrics.h: counters, gauges and histograms, registered once and read by /metrics in Prometheus' text format. Updating
 * is a relaxed atomic on the caller's cache line stripe; no lock, no allocation. Any thread. */
#ifndef CHRONIK_METRICS_H
#define CHRONIK_METRICS_H

#include "base/base.h"

struct metric;

enum metric_kind { METRIC_COUNTER = 1, METRIC_GAUGE = 2, METRIC_HISTOGRAM = 3 };

/* Finds or makes the metric; `labels` is "" or `api="Produce",version="9"`. Never NULL: ends in a shared no-op metric
 * when memory is short. The name gets the prefix "chronik_". Histograms take nanoseconds and show seconds. */
struct metric *metric_get(enum metric_kind kind, const char *name, const char *labels, const char *help);
void metric_add(struct metric *m, int64_t delta);
void metric_set(struct metric *m, int64_t value);
void metric_observe(struct metric *m, int64_t ns);
int64_t metric_value(struct metric *m); /* counters and gauges; a histogram's count */
/* The q-quantile (0..1) of a histogram in ns, from its buckets. */
int64_t metric_quantile(struct metric *m, double q);
/* A callback gauge: read at scrape time, on the scraping thread; the callback may take locks but must not register or
 * drop metrics. Registering the same name and labels again replaces it. Both calls are made with no lock held; after
 * the drop the callback does not run and the line is gone. */
void metric_gauge_fn(const char *name, const char *labels, const char *help, int64_t (*fn)(void *arg), void *arg);
void metric_gauge_fn_drop(const char *name, const char *labels);

/* Appends everything as text through `put`. */
void metrics_render(void (*put)(void *arg, const char *p, size_t n), void *arg);

#endif
