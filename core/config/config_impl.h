/* config_impl.h: what the files of core/config share: the config itself, its slots, and the parsing of one value. Only
 * cells are seen by more than one thread: they never change once they are published. */
#ifndef CHRONIK_CONFIG_IMPL_H
#define CHRONIK_CONFIG_IMPL_H

#include "config/config_table.h"

#include <stdatomic.h>

/* One value, parsed. `text` NULL is null. */
struct config_value {
    const char *text;
    int64_t i; /* boolean: 0 or 1 */
    double f;
};

/* A value that some source gave a setting. Immutable; freed with the config. */
struct config_cell {
    struct config_cell *next; /* of the same slot */
    struct config_value v;
    struct config_list *list; /* settings of type list, else NULL */
    const char *origin;       /* "server.properties:12" */
    enum config_source source;
};

/* A broker setting with what its sources say. The first that is not NULL counts. */
struct config_slot {
    const struct config_def *def;
    _Atomic(const struct config_cell *) dynamic, dynamic_default;
    const struct config_cell *fixed; /* flag, environment or file; set by config_finish */
    const struct config_cell *dflt;
    struct config_cell *cells; /* all that were ever made for this slot */
};

/* A key and value as a source gave them, before any check. */
struct config_pair {
    struct config_pair *next;
    const char *key, *value, *origin;
    enum config_source source;
};

struct config_module {
    struct config_module *next;
    uint32_t n;
    struct config_def defs[]; /* texts are copies owned by the config */
};

struct config {
    struct config_slot slots[CONFIG_FIRST_TOPIC]; /* by broker id */
    struct config_slot *module_slots;             /* made by config_finish, in order of registration */
    size_t n_module_slots;
    struct config_module *modules;
    struct config_pair *pairs, **last_pair; /* in order of reading */
    struct config_text *texts;              /* copies of strings, freed with the config */
    struct config_listener *listeners;
    size_t n_listeners;
    const char *home, *state_home;
    bool finished;
    _Atomic(uint64_t) version;
    struct {
        config_changed_fn fn;
        void *arg;
    } hooks[CONFIG_MAX_HOOKS];
    size_t n_hooks;
};

/* ---- check.c ---- */

/* Parses and checks `text` (NULL: null) by the rule of `d`. E_INVAL with Kafka's wording. `out` may be NULL. Pure. */
int32_t config_value_parse(const struct config_def *d, const char *text, struct config_value *out, struct err *e);

/* The next item of a comma-separated list without the blanks around it; false at the end. An empty or blank text has no
 * items. `*at` begins at the text. */
bool config_list_next(const char **at, const char **item, size_t *len);

/* ---- names.c ---- */

/* The compiled row of a name, or NULL. */
const struct config_def *config_def_find(enum config_scope scope, const char *name);
/* The row of a broker key or a module's key, or NULL. */
const struct config_def *config_broker_def(const struct config *c, const char *name);
/* The slot of a broker key or a module's key, or NULL; modules' keys have one after config_finish. */
struct config_slot *config_slot_find(const struct config *c, const char *name);
/* Whether the environment variable (without CHRONIK_) stands for the key: LOG_DIRS is log.dirs, META is chronik.meta.
 */
bool config_env_names(const char *variable, const char *key);

/* ---- value.c ---- */

/* Copies that live as long as the config; NULL when memory is exhausted. */
const char *config_text_n(struct config *c, const char *s, size_t len);
const char *config_text_printf(struct config *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Checks the value and makes a cell of the slot for it, or finds the equal one. */
int32_t config_cell_make(struct config *c, struct config_slot *s, const char *text, enum config_source source,
                         const char *origin, const struct config_cell **out, struct err *e);
/* What counts now; never NULL after config_finish. */
const struct config_cell *config_now(const struct config_slot *s);

/* What the sources say about a broker setting and its synonyms, strongest first: all dynamic values, then the dynamic
 * defaults, the fixed ones, the defaults. Null values are left out. Returns how many of `max` it filled. */
struct config_said {
    const struct config_def *def;
    const struct config_cell *cell;
};
size_t config_said(const struct config *c, const int16_t *ids, size_t n_ids, struct config_said *out, size_t max);
#define CONFIG_MAX_SAID 16

/* ---- topic.c ---- */

/* The effective value of a topic's or group's setting that has no override, as text (`buf` when it had to be converted
 * to milliseconds); NULL: null. */
const char *config_effective_text(const struct config *c, const struct config_def *d, char *buf, size_t n);

/* ---- listeners.c ---- */

int config_listeners_finish(struct config *c, const struct config_finish_options *o, config_report_fn report,
                            void *arg);

#endif
