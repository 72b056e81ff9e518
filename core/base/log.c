/* log.c: one line a message, written with one system call. It must never block on anything but that write, never
 * allocate, and never let a message forge a second line. Any thread; the one lock guards registration and levels. It is
 * the only file of the core beside core/os that asks the system for something (the time, and standard error), because a
 * message must be possible before a world exists. */
#include "base/log.h"

#include "os/lock.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum {
    LOG_TEXT_MAX = 2000,  /* bytes of message text; the rest is cut and marked */
    LOG_LINE_MAX = 13000, /* every byte of the text may become six in JSON */
    LOG_SPEC_MAX = 32,
    LOG_NAME_MAX = 32,
};

struct log_spec {
    char name[LOG_NAME_MAX];
    int8_t level;
};

static const char *const level_name[] = {"DEBUG", "INFO", "WARN", "ERROR"};

static struct os_mutex lock = OS_MUTEX_INIT(LOCK_LOG);
static struct log_subsystem *subsystems; /* under lock */
static struct log_spec specs[LOG_SPEC_MAX];
static int n_specs;
static int8_t default_level = LOG_INFO;

static atomic_bool json;
static void (*sink_fn)(void *arg, enum log_level lvl, const char *line);
static void *sink_arg;
static int64_t (*clock_fn)(void *arg);
static void *clock_arg;

/* ---- levels ---- */

static int8_t level_of(const char *name)
{
    for (int i = 0; i < n_specs; i++)
        if (strcmp(specs[i].name, name) == 0)
            return specs[i].level;
    return default_level;
}

static int8_t subsystem_register(struct log_subsystem *s)
{
    os_mutex_lock(&lock);
    int8_t level = __atomic_load_n(&s->level, __ATOMIC_RELAXED);
    if (level < 0) {
        s->next = subsystems;
        subsystems = s;
        level = level_of(s->name);
        __atomic_store_n(&s->level, level, __ATOMIC_RELAXED);
    }
    os_mutex_unlock(&lock);
    return level;
}

bool log_enabled(struct log_subsystem *s, enum log_level lvl)
{
    int8_t level = __atomic_load_n(&s->level, __ATOMIC_RELAXED);
    if (UNLIKELY(level < 0))
        level = subsystem_register(s);
    return (int)lvl >= level;
}

static int8_t level_parse(const char *s, size_t n)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (int i = 0; i < (int)ARRAY_LEN(names); i++)
        if (strlen(names[i]) == n && memcmp(names[i], s, n) == 0)
            return (int8_t)i;
    return -1;
}

/* Reads one item, "info" or "net=debug"; false when it is neither. */
static bool spec_parse(const char *s, size_t n, struct log_spec *out)
{
    const char *eq = memchr(s, '=', n);
    size_t name_n = eq ? (size_t)(eq - s) : 0;
    if (name_n >= LOG_NAME_MAX || (eq && name_n == 0))
        return false;
    memcpy(out->name, s, name_n);
    out->name[name_n] = 0;
    const char *level = eq ? eq + 1 : s;
    out->level = level_parse(level, (size_t)(s + n - level));
    return out->level >= 0;
}

bool log_set_levels(const char *spec)
{
    struct log_spec parsed[LOG_SPEC_MAX];
    int n = 0;
    int8_t all = LOG_INFO;
    for (const char *p = spec;; p++) {
        size_t len = strcspn(p, ",");
        struct log_spec one;
        if (!spec_parse(p, len, &one))
            return false;
        if (!one.name[0])
            all = one.level;
        else if (n < LOG_SPEC_MAX)
            parsed[n++] = one;
        else
            return false;
        p += len;
        if (!*p)
            break;
    }
    os_mutex_lock(&lock);
    memcpy(specs, parsed, (size_t)n * sizeof parsed[0]);
    n_specs = n;
    default_level = all;
    for (struct log_subsystem *s = subsystems; s; s = s->next)
        __atomic_store_n(&s->level, level_of(s->name), __ATOMIC_RELAXED);
    os_mutex_unlock(&lock);
    return true;
}

/* ---- lines ---- */

void log_set_json(bool on)
{
    atomic_store_explicit(&json, on, memory_order_relaxed);
}

void log_set_sink(void (*sink)(void *arg, enum log_level lvl, const char *line), void *arg)
{
    sink_fn = sink;
    sink_arg = arg;
}

void log_set_clock(int64_t (*wall_ms)(void *arg), void *arg)
{
    clock_fn = wall_ms;
    clock_arg = arg;
}

static int64_t now_ms(void)
{
    if (clock_fn)
        return clock_fn(clock_arg);
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void time_text(char *buf, size_t n)
{
    int64_t ms = now_ms();
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&s, &tm);
    snprintf(buf, n, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
             tm.tm_min, tm.tm_sec, (int)(ms % 1000));
}

/* A control character would forge a line or drive a terminal: it becomes '?'. */
static size_t put_text(char *to, const char *from)
{
    size_t n = 0;
    for (; from[n]; n++)
        to[n] = (unsigned char)from[n] < 0x20 || from[n] == 0x7f ? '?' : from[n];
    return n;
}

static size_t put_json(char *to, const char *from)
{
    size_t n = 0;
    for (; *from; from++) {
        unsigned char c = (unsigned char)*from;
        if (c == '"' || c == '\\') {
            to[n++] = '\\';
            to[n++] = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            n += (size_t)snprintf(to + n, 7, "\\u%04x", c);
        } else {
            to[n++] = (char)c;
        }
    }
    return n;
}

/* Builds the line with a newline at its end; gives its length. `line` has LOG_LINE_MAX bytes. */
static size_t line_build(char *line, const char *subsystem, enum log_level lvl, const char *text)
{
    char when[64];
    time_text(when, sizeof when);
    size_t n;
    if (atomic_load_explicit(&json, memory_order_relaxed)) {
        n = (size_t)snprintf(line, 300, "{\"time\":\"%s\",\"level\":\"%s\",\"subsystem\":\"%.64s\",\"text\":\"", when,
                             level_name[lvl], subsystem);
        n += put_json(line + n, text);
        n += (size_t)snprintf(line + n, 300, "\",\"version\":\"%.64s\",\"build\":\"%.64s\"}\n", chronik_version(),
                              chronik_build_id());
    } else {
        n = (size_t)snprintf(line, 300, "%s %-5s %.64s: ", when, level_name[lvl], subsystem);
        n += put_text(line + n, text);
        n += (size_t)snprintf(line + n, 300, " v=%.64s+%.64s\n", chronik_version(), chronik_build_id());
    }
    return n;
}

void log_write(const char *subsystem, enum log_level lvl, const char *fmt, ...)
{
    char text[LOG_TEXT_MAX + 4];
    va_list ap;
    va_start(ap, fmt);
    int want = vsnprintf(text, LOG_TEXT_MAX, fmt, ap);
    va_end(ap);
    if (want < 0)
        snprintf(text, sizeof text, "a message that could not be formatted: %.200s", fmt);
    else if (want >= LOG_TEXT_MAX)
        memcpy(text + LOG_TEXT_MAX - 1, "...", 4);

    char line[LOG_LINE_MAX];
    size_t n = line_build(line, subsystem, lvl, text);
    if (sink_fn) {
        line[n - 1] = 0;
        sink_fn(sink_arg, lvl, line);
        return;
    }
    /* A message that cannot be written has nowhere to be reported. */
    ssize_t wrote = write(STDERR_FILENO, line, n);
    (void)wrote;
}
