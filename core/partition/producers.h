/* producers.h: what a partition remembers of idempotent producers: epoch, and the last five batches of each, so that a
 * repeat is answered with its first offset and a gap is refused. The caller's partition lock protects it. */
#ifndef CHRONIK_PART_PRODUCERS_H
#define CHRONIK_PART_PRODUCERS_H

#include "base/base.h"

enum { PRODUCER_BATCHES = 5 };

struct producer_batch {
    int32_t first_seq, last_seq;
    int64_t base_offset, last_offset;
};

struct producer {
    int64_t id;
    int16_t epoch;
    uint8_t n; /* batches known, oldest first */
    int32_t coordinator_epoch;
    int64_t last_timestamp;   /* ms, of the last batch; for expiry */
    int64_t txn_start_offset; /* -1: no open transaction */
    struct producer_batch batches[PRODUCER_BATCHES];
};

struct producers {
    struct producer **slots; /* open addressing, a power of two, at most 3/4 full */
    uint32_t n_slots, n;
};

/* The sequence number `n` steps after `seq`, wrapping from INT32_MAX to 0. */
int32_t producer_seq_add(int32_t seq, int32_t n);

void producers_free(struct producers *ps);
struct producer *producers_find(const struct producers *ps, int64_t id);

/* What to do with a batch {id, epoch, first_seq .. last_seq}: 0 append it; > 0 a Kafka error code; -1 a repeat, whose
 * first life is in *dup. An unknown producer may begin with any sequence (its state may have expired); a new epoch
 * begins at 0. */
int producers_check(const struct producers *ps, int64_t id, int16_t epoch, int32_t first_seq, int32_t last_seq,
                    const struct producer_batch **dup);

/* Notes an appended batch. false: out of memory, nothing changed (call producers_reserve before the append to rule it
 * out). */
bool producers_note(struct producers *ps, int64_t id, int16_t epoch, const struct producer_batch *b, int64_t timestamp);
/* Makes sure that the next producers_note of `id` cannot fail. */
bool producers_reserve(struct producers *ps, int64_t id);

/* Forgets batches at or above `end` (a truncation). */
void producers_truncate(struct producers *ps, int64_t end);
/* Forgets producers without open transaction whose last batch is older than `before` (ms). */
void producers_expire(struct producers *ps, int64_t before);

#endif
