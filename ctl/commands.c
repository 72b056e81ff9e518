#include <config.h>

/* commands.c: the table of commands; a new one is a row here. */
#include "ctl/options.h"
#include "ctl/status.h"
#include "ctl/topic.h"

const struct command commands[] = {
    {"topic", "list", "", "names, partitions and replicas of all topics", OPT_INTERNAL, 0, 0, topic_list},
    {"topic", "describe", "NAME...", "settings, leaders and replicas of topics", 0, 1, OPT_NAMES, topic_describe},
    {"topic", "create", "NAME...", "make topics",
     OPT_PARTITIONS | OPT_REPLICATION | OPT_CONFIG | OPT_IF_NOT_EXISTS | OPT_VALIDATE_ONLY, 1, OPT_NAMES, topic_create},
    {"topic", "delete", "NAME...", "delete topics with all their records", OPT_IF_EXISTS, 1, OPT_NAMES, topic_delete},
    {"status", NULL, "", "what the broker knows of itself", OPT_WAIT, 0, 0, status_show},
    {NULL, NULL, NULL, NULL, 0, 0, 0, NULL},
};
