/* config_impl.h: what the files of core/config share: the config itself, its slots, and the parsing of one value. */
#ifndef CHRONIK_CONFIG_IMPL_H
#define CHRONIK_CONFIG_IMPL_H

#include "config/config_table.h"

/* One value, parsed. `text` NULL is null. */
struct config_value {
    const char *text;
    int64_t i; /* boolean: 0 or 1 */
    double f;
};

/* Parses and checks `text` (NULL: null) by the rule of `d`. E_INVAL with Kafka's wording. `out` may be NULL. Pure. */
int32_t config_value_parse(const struct config_def *d, const char *text, struct config_value *out, struct err *e);

/* The next item of a comma-separated list without the blanks around it; false at the end. An empty or blank text has no
 * items. `*at` begins at the text. */
bool config_list_next(const char **at, const char **item, size_t *len);

/* The compiled row of a name, or NULL. */
const struct config_def *config_def_find(enum config_scope scope, const char *name);

#endif
