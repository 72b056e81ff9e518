/* group.h: chronikctl group ...: consumer groups through Kafka's own requests. Exit statuses. */
#ifndef CHRONIK_CTL_GROUP_H
#define CHRONIK_CTL_GROUP_H

#include "ctl/options.h"

int group_list(const struct options *o);
int group_describe(const struct options *o);
int group_delete(const struct options *o);
int group_reset_offsets(const struct options *o);

#endif
