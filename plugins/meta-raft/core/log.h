/* log: the entries of one replica in memory and the marks that move through them. It must never forget an entry that is
 * not both applied and covered by a snapshot. Lives on the instance's thread.
 *
 *      base                applied    applying      stable      handed        last
 *   ----+---------------------+----------+------------+-----------+------------+
 *       | kept for followers  | being    | committed? | being     | not yet in |
 *       |                     | applied  |            | written   | a ready    |
 *
 *   applied <= applying <= commit <= last, and base <= stable <= handed <= last. stable is what rc_persisted
 * acknowledged; a conflict moves stable and handed back. commit may be above stable (a follower learns it before its
 * disk is done), and entries are handed out for apply up to min(commit, stable) unless the caller asked otherwise. */
#ifndef CHRONIK_RAFTCORE_LOG_H
#define CHRONIK_RAFTCORE_LOG_H

#include "raftcore.h"

struct rc_log {
    struct rc_entry *slots; /* entry base + 1 + i is slots[head + i] */
    uint32_t head;
    uint32_t count;
    uint32_t size;
    uint64_t base; /* the entry before the first; its term is still known */
    uint64_t base_term;
    uint64_t stable;
    uint64_t handed;
    uint64_t commit;
    uint64_t applying;
    uint64_t applied;
    struct rc_snapshot *pending; /* received, not yet installed: base is its index */
    bool pending_handed;
    uint64_t max_applying; /* encoded bytes handed out and not applied */
    uint64_t applying_size;
    bool applying_full;
    struct rc_batch { /* one ready's committed entries, oldest first */
        uint64_t last;
        uint64_t size;
        uint64_t payload;
    } * batches;
    uint32_t n_batches;
    uint32_t batches_size;
};

uint64_t rc_log_last(const struct rc_log *l);
/* False: compacted or beyond the end. */
bool rc_log_term(const struct rc_log *l, uint64_t index, uint64_t *term);
bool rc_log_matches(const struct rc_log *l, uint64_t index, uint64_t term);
uint64_t rc_log_last_term(const struct rc_log *l);
const struct rc_entry *rc_log_at(const struct rc_log *l, uint64_t index);
/* A candidate whose log ends with (index, term) may lead us. */
bool rc_log_up_to_date(const struct rc_log *l, uint64_t index, uint64_t term);
/* The highest entry at or below index whose term is at or below term, or unknown (then *found is 0): nothing above it
 * can match. */
uint64_t rc_log_guess(const struct rc_log *l, uint64_t index, uint64_t term, uint64_t *found);
/* How many entries from index on, at most up to last, have an encoded size of at most max together; at least one. */
uint32_t rc_log_span(const struct rc_log *l, uint64_t index, uint64_t last, uint64_t max);
/* Committed entries that may be handed out now end here. */
uint64_t rc_log_appliable(const struct rc_log *l, bool unpersisted);
bool rc_log_has_committed(const struct rc_log *l, bool unpersisted);

#endif
