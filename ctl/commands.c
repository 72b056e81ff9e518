#include <config.h>

/* commands.c: the table of commands; a new one is a row here. */
#include "ctl/group.h"
#include "ctl/meta.h"
#include "ctl/options.h"
#include "ctl/status.h"
#include "ctl/topic.h"

const struct command commands[] = {
    {"topic", "list", "", "names, partitions and replicas of all topics", OPT_INTERNAL, 0, 0, topic_list},
    {"topic", "describe", "NAME...", "settings, leaders and replicas of topics", 0, 1, OPT_NAMES, topic_describe},
    {"topic", "create", "NAME...", "make topics",
     OPT_PARTITIONS | OPT_REPLICATION | OPT_CONFIG | OPT_IF_NOT_EXISTS | OPT_VALIDATE_ONLY, 1, OPT_NAMES, topic_create},
    {"topic", "delete", "NAME...", "delete topics with all their records", OPT_IF_EXISTS, 1, OPT_NAMES, topic_delete},
    {"group", "list", "", "consumer groups and their states", 0, 0, 0, group_list},
    {"group", "describe", "NAME...", "members, offsets and lag of groups", 0, 1, OPT_NAMES, group_describe},
    {"group", "delete", "NAME...", "delete groups without members, with their offsets", 0, 1, OPT_NAMES, group_delete},
    {"group", "reset-offsets", "NAME", "set the offsets of a topic for a group without members",
     OPT_TOPIC | OPT_TO | OPT_VALIDATE_ONLY, 1, 1, group_reset_offsets},
    {"meta", "status", "", "how far the metadata log is, and who leads it", 0, 0, 0, meta_show_status},
    {"meta", "members", "", "voters and learners of the metadata quorum", 0, 0, 0, meta_show_members},
    {"meta", "add", "NODE HOST:PORT", "add a node to the quorum as a learner", OPT_TOKEN, 2, 2, meta_add},
    {"meta", "promote", "NODE", "make a learner that has caught up a voter", OPT_TOKEN, 1, 1, meta_promote},
    {"meta", "demote", "NODE", "make a voter a learner: it goes on without a vote", OPT_TOKEN, 1, 1, meta_demote},
    {"meta", "remove", "NODE", "remove a voter or learner from the quorum", OPT_TOKEN, 1, 1, meta_remove},
    {"meta", "transfer", "[NODE]", "hand the lead over, to NODE or to the best", OPT_TOKEN, 0, 1, meta_hand_over},
    {"meta", "bootstrap", "", "found the quorum anew with this node alone: a majority is lost for good",
     OPT_TOKEN | OPT_FORCE, 0, 0, meta_bootstrap},
    {"meta", "snapshot", "", "make a snapshot of the metadata now", OPT_TOKEN, 0, 0, meta_make_snapshot},
    {"status", NULL, "", "what the broker knows of itself", OPT_WAIT, 0, 0, status_show},
    {NULL, NULL, NULL, NULL, 0, 0, 0, NULL},
};
