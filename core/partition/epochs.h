/* epochs.h: the leader epochs of a partition: at which offset each began. Answers where an epoch ended (KIP-101,
 * KIP-320). Sorted, small, protected by the partition's lock. */
#ifndef CHRONIK_PART_EPOCHS_H
#define CHRONIK_PART_EPOCHS_H

#include "base/base.h"

struct epoch_start {
    int32_t epoch;
    int64_t offset; /* first offset written under it */
};

struct epochs {
    struct epoch_start *v;
    uint32_t n, cap;
};

void epochs_free(struct epochs *es);
/* Notes that a batch at `offset` carries `epoch`; only a rise above the latest is kept, and
 * it replaces epochs that began at or above `offset`, which wrote nothing. false: out of memory. */
bool epochs_note(struct epochs *es, int32_t epoch, int64_t offset);
/* The latest epoch, -1 when none. */
int32_t epochs_latest(const struct epochs *es);
/* The largest epoch at or below `epoch` (*found, -1 none) and where the next one began; `log_end` when it is the
 * latest. */
void epochs_end(const struct epochs *es, int32_t epoch, int64_t log_end, int32_t *found, int64_t *end);
/* The epoch that the record at `offset` was written under, -1 unknown. */
int32_t epochs_at(const struct epochs *es, int64_t offset);
/* Forgets what began at or above `end`. */
void epochs_truncate_suffix(struct epochs *es, int64_t end);
/* Forgets what ended at or below `start`; the epoch that spans it now begins there. */
void epochs_truncate_prefix(struct epochs *es, int64_t start);

#endif
