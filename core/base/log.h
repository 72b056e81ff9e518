/* log.h: one line a message, to standard error: time, level, subsystem, version and build id, text. Text or JSON;
 * levels per subsystem, changeable while running. Nothing per request above DEBUG. Any thread; never blocks on anything
 * but the write itself. */
#ifndef CHRONIK_LOG_H
#define CHRONIK_LOG_H

#include "base/base.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* One a source file: LOG_SUBSYSTEM("net"). Registered at first use. */
struct log_subsystem {
    const char *name;
    int8_t level; /* messages below are dropped; read without a lock */
    struct log_subsystem *next;
};

#define LOG_SUBSYSTEM(label) static struct log_subsystem log_here = {.name = label, .level = -1, .next = NULL}

#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_at(lvl, ...)                                                                                               \
    do {                                                                                                               \
        if (log_enabled(&log_here, lvl))                                                                               \
            log_write(log_here.name, lvl, __VA_ARGS__);                                                                \
    } while (0)

bool log_enabled(struct log_subsystem *s, enum log_level lvl);
void log_write(const char *subsystem, enum log_level lvl, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Before threads start or later: "info" for all, or "info,net=debug,store-wal=warn". false: the text is malformed. */
bool log_set_levels(const char *spec);
void log_set_json(bool json);
/* Replaces the sink (tests, simulator): gets the finished line without newline. NULL: standard error. */
void log_set_sink(void (*sink)(void *arg, enum log_level lvl, const char *line), void *arg);
/* Replaces the clock of the lines (simulator: virtual time, ms since 1970). NULL: the system's. As log_set_sink, to be
 * called while no other thread logs. */
void log_set_clock(int64_t (*wall_ms)(void *arg), void *arg);

/* "0.1.0" and a short id of the sources this binary was built from. */
const char *chronik_version(void);
const char *chronik_build_id(void);

#endif
