/* quorum: sets of replica ids and their majorities (Raft paper §5, joint majorities: dissertation §4.3). Pure
 * functions: they must never keep state, allocate or look at anything but their arguments; any thread may call them. */
#include "quorum.h"

#include <string.h>

/* The position of id, or where it would be inserted. */
static uint32_t ids_position(const struct rc_ids *set, uint64_t id)
{
    uint32_t at = 0;

    while (at < set->n && set->v[at] < id) {
        at++;
    }
    return at;
}

bool rc_ids_has(const struct rc_ids *set, uint64_t id)
{
    uint32_t at = ids_position(set, id);

    return at < set->n && set->v[at] == id;
}

bool rc_ids_add(struct rc_ids *set, uint64_t id)
{
    uint32_t at = ids_position(set, id);

    if (at < set->n && set->v[at] == id) {
        return true;
    }
    if (set->n == RC_MAX_MEMBERS) {
        return false;
    }
    memmove(&set->v[at + 1], &set->v[at], (set->n - at) * sizeof set->v[0]);
    set->v[at] = id;
    set->n++;
    return true;
}

void rc_ids_del(struct rc_ids *set, uint64_t id)
{
    uint32_t at = ids_position(set, id);

    if (at == set->n || set->v[at] != id) {
        return;
    }
    set->n--;
    memmove(&set->v[at], &set->v[at + 1], (set->n - at) * sizeof set->v[0]);
}

bool rc_ids_equal(const struct rc_ids *a, const struct rc_ids *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->v, b->v, a->n * sizeof a->v[0]) == 0);
}

uint32_t rc_ids_differ(const struct rc_ids *a, const struct rc_ids *b)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < a->n; i++) {
        count += !rc_ids_has(b, a->v[i]);
    }
    for (uint32_t i = 0; i < b->n; i++) {
        count += !rc_ids_has(a, b->v[i]);
    }
    return count;
}

uint64_t rc_majority_index(const struct rc_ids *set, rc_acked_fn *acked, const void *ctx)
{
    uint64_t sorted[RC_MAX_MEMBERS];
    uint32_t n = 0;

    if (set->n == 0) {
        return UINT64_MAX;
    }
    for (uint32_t i = 0; i < set->n; i++) { /* insertion sort, descending: there are few */
        uint64_t index = acked(ctx, set->v[i]);
        uint32_t at = n++;

        for (; at > 0 && sorted[at - 1] < index; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = index;
    }
    return sorted[set->n / 2]; /* n/2 + 1 members have this much or more */
}

enum rc_verdict rc_majority_vote(const struct rc_ids *set, rc_ballot_fn *ballot, const void *ctx)
{
    uint32_t yes = 0, missing = 0, need = set->n / 2 + 1;

    if (set->n == 0) {
        return RC_VOTE_WON;
    }
    for (uint32_t i = 0; i < set->n; i++) {
        switch (ballot(ctx, set->v[i])) {
        case RC_BALLOT_YES:
            yes++;
            break;
        case RC_BALLOT_NONE:
            missing++;
            break;
        case RC_BALLOT_NO:
            break;
        }
    }
    if (yes >= need) {
        return RC_VOTE_WON;
    }
    return yes + missing >= need ? RC_VOTE_PENDING : RC_VOTE_LOST;
}

uint64_t rc_joint_index(const struct rc_ids *a, const struct rc_ids *b, rc_acked_fn *acked, const void *ctx)
{
    uint64_t left = rc_majority_index(a, acked, ctx);
    uint64_t right = rc_majority_index(b, acked, ctx);

    return left < right ? left : right;
}

enum rc_verdict rc_joint_vote(const struct rc_ids *a, const struct rc_ids *b, rc_ballot_fn *ballot, const void *ctx)
{
    enum rc_verdict left = rc_majority_vote(a, ballot, ctx);
    enum rc_verdict right = rc_majority_vote(b, ballot, ctx);

    if (left == RC_VOTE_LOST || right == RC_VOTE_LOST) {
        return RC_VOTE_LOST;
    }
    return left == RC_VOTE_WON && right == RC_VOTE_WON ? RC_VOTE_WON : RC_VOTE_PENDING;
}
