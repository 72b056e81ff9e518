/* quorum: sets of replica ids and what a majority of one, or of two at once, has agreed on. Pure functions on values:
 * no state, no allocation, no thread. It must never decide from anything but its arguments. */
#ifndef CHRONIK_RAFTCORE_QUORUM_H
#define CHRONIK_RAFTCORE_QUORUM_H

#include "raftcore.h"

bool rc_ids_has(const struct rc_ids *set, uint64_t id);
bool rc_ids_add(struct rc_ids *set, uint64_t id); /* false: full */
void rc_ids_del(struct rc_ids *set, uint64_t id);
bool rc_ids_equal(const struct rc_ids *a, const struct rc_ids *b);
/* Members of exactly one of the two. */
uint32_t rc_ids_differ(const struct rc_ids *a, const struct rc_ids *b);

/* The index that member id has acknowledged; 0: none. */
typedef uint64_t rc_acked_fn(const void *ctx, uint64_t id);
enum rc_ballot { RC_BALLOT_NONE, RC_BALLOT_NO, RC_BALLOT_YES };
typedef enum rc_ballot rc_ballot_fn(const void *ctx, uint64_t id);
enum rc_verdict { RC_VOTE_PENDING, RC_VOTE_LOST, RC_VOTE_WON };

/* The highest index that a majority has acknowledged. An empty set agrees to everything: UINT64_MAX, RC_VOTE_WON. */
uint64_t rc_majority_index(const struct rc_ids *set, rc_acked_fn *acked, const void *ctx);
enum rc_verdict rc_majority_vote(const struct rc_ids *set, rc_ballot_fn *ballot, const void *ctx);
/* Both halves must agree; b is empty for a plain majority. */
uint64_t rc_joint_index(const struct rc_ids *a, const struct rc_ids *b, rc_acked_fn *acked, const void *ctx);
enum rc_verdict rc_joint_vote(const struct rc_ids *a, const struct rc_ids *b, rc_ballot_fn *ballot, const void *ctx);

#endif
