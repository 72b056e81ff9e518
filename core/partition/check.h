/* check.h: what append.c gets from check.c: a produced batch that may be appended. */
#ifndef CHRONIK_PART_CHECK_H
#define CHRONIK_PART_CHECK_H

#include "partition/priv.h"

/* Sets the append's error, and with it message and record errors; else its head, and batches and n when it was packed
 * anew. `config` is the topic's as it was when the check began. */
void part_check_batch(struct part *p, struct part_append *a, const struct config_topic *config, int64_t now_ms);

#endif
