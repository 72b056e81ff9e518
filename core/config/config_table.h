/* config_table.h: the compiled table of settings and its rules, private to core/config. Constant data. */
#ifndef CHRONIK_CONFIG_TABLE_H
#define CHRONIK_CONFIG_TABLE_H

#include "config/config.h"

enum config_rule {
    RULE_NONE,
    RULE_RANGE,            /* min <= number <= max; also the bare bounds of the type */
    RULE_RANGE_OR_MINUS_1, /* or -1 */
    RULE_CHOICE,           /* the value, or each item of a list, is one of `choices` */
    RULE_CHOICE_ANY_CASE,
    RULE_NON_EMPTY,
    RULE_NON_NULL,
    RULE_ITEMS_NON_EMPTY,
    RULE_REPLICAS,     /* "partition:broker,..." or "*" */
    RULE_OFFSET_RESET, /* earliest, latest, by_duration:<ISO 8601> */
};

struct config_def {
    struct config_setting s;
    const char *choices; /* "a, b, c" */
    int64_t min, max;
    int16_t synonyms[3]; /* broker ids, strongest first */
    uint8_t n_synonyms, rule;
};

extern const struct config_def config_defs[CONFIG_N_IDS];

#endif
