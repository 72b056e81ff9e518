/* metrics.c: counters, gauges and histograms in one process-wide registry. An update is one relaxed atomic on a stripe
 * that the thread was dealt; it must never lock or allocate. Registration and scraping take LOCK_METRICS for the lists;
 * gauge callbacks run under LOCK_SCRAPE, the lowest rank, so that they may take any lock of the core.
 *
 * A histogram has four buckets an octave from 1 us to about 69 s: a quantile is right to 20 %. Prometheus is shown the
 * octaves alone, since its server pays for every line. */
#include "base/metrics.h"

#include "os/lock.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    STRIPES = 8,      /* of a counter */
    HIST_STRIPES = 4, /* of a histogram */
    HASH_SIZE = 1024,
    OCTAVE_FIRST = 10, /* bucket 0 holds all below 2^10 ns */
    OCTAVE_LAST = 36,  /* the last bucket holds all from 2^36 ns */
    SUB = 4,
    BUCKETS = (OCTAVE_LAST - OCTAVE_FIRST) * SUB + 2,
};

struct stripe {
    _Alignas(64) atomic_int_least64_t v;
};

struct hist_stripe {
    _Alignas(64) atomic_int_least64_t sum;
    atomic_int_least64_t n[BUCKETS];
};

struct metric {
    struct metric *next_hash, *next; /* in the hash chain, in the family */
    struct family *family;
    char *labels;
    int64_t (*fn)(void *arg); /* callback gauge; under LOCK_SCRAPE and LOCK_METRICS */
    void *arg;
    bool dropped; /* a callback gauge that is not shown any more */
    atomic_int_least64_t gauge;
    struct stripe *counter;
    struct hist_stripe *hist;
};

struct family {
    struct family *next;
    char *name, *help;
    enum metric_kind kind;
    struct metric *first, **last;
};

static struct os_mutex lock = OS_MUTEX_INIT(LOCK_METRICS);
static struct os_mutex scrape_lock = OS_MUTEX_INIT(LOCK_SCRAPE);
static struct family *families, **families_last = &families; /* never shrinks: readers walk it with a bare pointer */
static struct metric *hash[HASH_SIZE];
static struct family noop_family = {.name = (char *)"noop", .help = (char *)"", .kind = METRIC_GAUGE};
static struct metric noop = {.family = &noop_family, .labels = (char *)""};

/* ---- registration ---- */

static unsigned hash_of(const char *name, const char *labels)
{
    uint32_t h = 2166136261u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    h = (h ^ '{') * 16777619u;
    for (; *labels; labels++)
        h = (h ^ (unsigned char)*labels) * 16777619u;
    return h % HASH_SIZE;
}

static struct metric *find(const char *name, const char *labels)
{
    for (struct metric *m = hash[hash_of(name, labels)]; m; m = m->next_hash)
        if (strcmp(m->family->name, name) == 0 && strcmp(m->labels, labels) == 0)
            return m;
    return NULL;
}

static struct family *family_get(enum metric_kind kind, const char *name, const char *help)
{
    struct family *f = families;
    while (f && strcmp(f->name, name) != 0)
        f = f->next;
    if (f)
        return f;
    f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->name = strdup(name);
    f->help = strdup(help);
    if (!f->name || !f->help) {
        free(f->name);
        free(f->help);
        free(f);
        return NULL;
    }
    f->kind = kind;
    f->last = &f->first;
    __atomic_store_n(families_last, f, __ATOMIC_RELEASE);
    families_last = &f->next;
    return f;
}

static void *stripes_new(size_t n, size_t size)
{
    void *p = aligned_alloc(64, n * size);
    if (p)
        memset(p, 0, n * size);
    return p;
}

static bool storage_make(struct metric *m, enum metric_kind kind)
{
    if (kind == METRIC_COUNTER)
        return (m->counter = stripes_new(STRIPES, sizeof *m->counter)) != NULL;
    if (kind == METRIC_HISTOGRAM)
        return (m->hist = stripes_new(HIST_STRIPES, sizeof *m->hist)) != NULL;
    return true;
}

static struct metric *metric_new(enum metric_kind kind, const char *name, const char *labels, const char *help)
{
    struct family *f = family_get(kind, name, help);
    if (!f)
        return NULL;
    CHECK(f->kind == kind);
    struct metric *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->labels = strdup(labels);
    if (!m->labels || !storage_make(m, kind)) {
        free(m->labels);
        free(m);
        return NULL;
    }
    m->family = f;
    __atomic_store_n(f->last, m, __ATOMIC_RELEASE); /* a scrape may be walking the list */
    f->last = &m->next;
    struct metric **slot = &hash[hash_of(name, labels)];
    m->next_hash = *slot;
    *slot = m;
    return m;
}

static struct metric *get_locked(enum metric_kind kind, const char *name, const char *labels, const char *help)
{
    struct metric *m = find(name, labels);
    if (!m)
        m = metric_new(kind, name, labels, help);
    if (!m)
        return NULL;
    CHECK(m->family->kind == kind);
    return m;
}

struct metric *metric_get(enum metric_kind kind, const char *name, const char *labels, const char *help)
{
    os_mutex_lock(&lock);
    struct metric *m = get_locked(kind, name, labels, help);
    os_mutex_unlock(&lock);
    return m ? m : &noop;
}

void metric_gauge_fn(const char *name, const char *labels, const char *help, int64_t (*fn)(void *arg), void *arg)
{
    os_mutex_lock(&scrape_lock);
    os_mutex_lock(&lock);
    struct metric *m = get_locked(METRIC_GAUGE, name, labels, help);
    if (m) {
        m->fn = fn;
        m->arg = arg;
        m->dropped = false;
    }
    os_mutex_unlock(&lock);
    os_mutex_unlock(&scrape_lock);
}

void metric_gauge_fn_drop(const char *name, const char *labels)
{
    os_mutex_lock(&scrape_lock);
    os_mutex_lock(&lock);
    struct metric *m = find(name, labels);
    if (m) {
        m->fn = NULL;
        m->dropped = true;
    }
    os_mutex_unlock(&lock);
    os_mutex_unlock(&scrape_lock);
}

/* ---- updates ---- */

static unsigned my_stripe(void)
{
    static atomic_uint dealt;
    static _Thread_local unsigned mine; /* number + 1 */
    if (UNLIKELY(mine == 0))
        mine = atomic_fetch_add_explicit(&dealt, 1, memory_order_relaxed) % STRIPES + 1;
    return mine - 1;
}

void metric_add(struct metric *m, int64_t delta)
{
    atomic_int_least64_t *v = m->counter ? &m->counter[my_stripe()].v : &m->gauge;
    atomic_fetch_add_explicit(v, delta, memory_order_relaxed);
}

void metric_set(struct metric *m, int64_t value)
{
    atomic_store_explicit(&m->gauge, value, memory_order_relaxed);
}

static unsigned bucket_of(int64_t ns)
{
    if (ns < INT64_C(1) << OCTAVE_FIRST)
        return 0;
    unsigned octave = 63u - (unsigned)__builtin_clzll((uint64_t)ns);
    if (octave >= OCTAVE_LAST)
        return BUCKETS - 1;
    unsigned sub = (unsigned)(ns >> (octave - 2)) & (SUB - 1);
    return 1 + (octave - OCTAVE_FIRST) * SUB + sub;
}

/* The exclusive upper bound of a bucket, in ns; the last bucket has none and answers its lower one. */
static int64_t bucket_end(unsigned b)
{
    if (b == 0)
        return INT64_C(1) << OCTAVE_FIRST;
    if (b == BUCKETS - 1)
        return INT64_C(1) << OCTAVE_LAST;
    unsigned octave = (b - 1) / SUB + OCTAVE_FIRST, sub = (b - 1) % SUB;
    return (INT64_C(1) << octave) + (int64_t)(sub + 1) * (INT64_C(1) << (octave - 2));
}

void metric_observe(struct metric *m, int64_t ns)
{
    if (!m->hist)
        return;
    struct hist_stripe *s = &m->hist[my_stripe() % HIST_STRIPES];
    atomic_fetch_add_explicit(&s->sum, ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->n[bucket_of(ns)], 1, memory_order_relaxed);
}

/* ---- reading ---- */

/* Fills n[BUCKETS] and gives the count. */
static int64_t hist_sum(struct metric *m, int64_t *n, int64_t *sum)
{
    int64_t total = 0;
    memset(n, 0, BUCKETS * sizeof *n);
    *sum = 0;
    for (int s = 0; s < HIST_STRIPES; s++) {
        *sum += atomic_load_explicit(&m->hist[s].sum, memory_order_relaxed);
        for (int b = 0; b < BUCKETS; b++) {
            int64_t v = atomic_load_explicit(&m->hist[s].n[b], memory_order_relaxed);
            n[b] += v;
            total += v;
        }
    }
    return total;
}

int64_t metric_value(struct metric *m)
{
    if (m->hist) {
        int64_t n[BUCKETS], sum;
        return hist_sum(m, n, &sum);
    }
    if (!m->counter)
        return atomic_load_explicit(&m->gauge, memory_order_relaxed);
    int64_t v = 0;
    for (int s = 0; s < STRIPES; s++)
        v += atomic_load_explicit(&m->counter[s].v, memory_order_relaxed);
    return v;
}

int64_t metric_quantile(struct metric *m, double q)
{
    if (!m->hist)
        return 0;
    int64_t n[BUCKETS], sum, total = hist_sum(m, n, &sum), seen = 0;
    if (total == 0)
        return 0;
    int64_t want = (int64_t)(q * (double)total);
    for (unsigned b = 0; b < BUCKETS; b++) {
        seen += n[b];
        if (seen > want)
            return bucket_end(b);
    }
    return bucket_end(BUCKETS - 1);
}

/* ---- Prometheus' text format ---- */

struct out {
    void (*put)(void *arg, const char *p, size_t n);
    void *arg;
};

static void put_str(struct out *o, const char *s)
{
    o->put(o->arg, s, strlen(s));
}

static void put_line(struct out *o, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void put_line(struct out *o, const char *fmt, ...)
{
    char buf[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    CHECK(n >= 0 && (size_t)n < sizeof buf);
    o->put(o->arg, buf, (size_t)n);
}

/* chronik_NAME SUFFIX {labels[,extra]} and a space */
static void put_name(struct out *o, struct metric *m, const char *suffix, const char *extra)
{
    put_str(o, "chronik_");
    put_str(o, m->family->name);
    put_str(o, suffix);
    if (m->labels[0] || extra[0]) {
        put_str(o, "{");
        put_str(o, m->labels);
        put_str(o, m->labels[0] && extra[0] ? "," : "");
        put_str(o, extra);
        put_str(o, "}");
    }
    put_str(o, " ");
}

static void render_hist(struct out *o, struct metric *m)
{
    int64_t n[BUCKETS], sum, total = hist_sum(m, n, &sum), seen = n[0];
    char le[64];
    for (unsigned octave = OCTAVE_FIRST; octave <= OCTAVE_LAST; octave++) {
        snprintf(le, sizeof le, "le=\"%.9g\"", (double)(INT64_C(1) << octave) / 1e9);
        put_name(o, m, "_bucket", le);
        put_line(o, "%" PRId64 "\n", seen);
        for (unsigned s = 0; s < SUB && octave < OCTAVE_LAST; s++)
            seen += n[1 + (octave - OCTAVE_FIRST) * SUB + s];
    }
    put_name(o, m, "_bucket", "le=\"+Inf\"");
    put_line(o, "%" PRId64 "\n", total);
    put_name(o, m, "_sum", "");
    put_line(o, "%.9g\n", (double)sum / 1e9);
    put_name(o, m, "_count", "");
    put_line(o, "%" PRId64 "\n", total);
}

static void render_family(struct out *o, struct family *f)
{
    static const char *const kind[] = {"", "counter", "gauge", "histogram"};
    put_str(o, "# HELP chronik_");
    put_str(o, f->name);
    put_str(o, " ");
    put_str(o, f->help);
    put_line(o, "\n# TYPE chronik_");
    put_str(o, f->name);
    put_line(o, " %s\n", kind[f->kind]);
    for (struct metric *m = __atomic_load_n(&f->first, __ATOMIC_ACQUIRE); m;
         m = __atomic_load_n(&m->next, __ATOMIC_ACQUIRE)) {
        if (m->dropped)
            continue;
        if (m->hist) {
            render_hist(o, m);
        } else {
            put_name(o, m, "", "");
            put_line(o, "%" PRId64 "\n", m->fn ? m->fn(m->arg) : metric_value(m));
        }
    }
}

void metrics_render(void (*put)(void *arg, const char *p, size_t n), void *arg)
{
    struct out o = {put, arg};
    os_mutex_lock(&scrape_lock);
    for (struct family *f = __atomic_load_n(&families, __ATOMIC_ACQUIRE); f;
         f = __atomic_load_n(&f->next, __ATOMIC_ACQUIRE))
        render_family(&o, f);
    os_mutex_unlock(&scrape_lock);
}
