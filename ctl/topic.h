/* topic.h: the commands about topics. Each talks to the broker through client.h, prints its answer to standard output
 * and failures to standard error, and returns the exit status. */
#ifndef CHRONIK_CTL_TOPIC_H
#define CHRONIK_CTL_TOPIC_H

#include "ctl/options.h"

int topic_list(const struct options *o);
int topic_describe(const struct options *o);
int topic_create(const struct options *o);
int topic_delete(const struct options *o);

#endif
