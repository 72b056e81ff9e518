/* tracker: the configuration and the progress of its members as one value, and the only ways to change it: simple,
 * enter joint, leave joint, restore. A change works on a copy and must never leave a half-changed configuration behind.
 * Lives on the instance's thread. */
#ifndef CHRONIK_RAFTCORE_TRACKER_H
#define CHRONIK_RAFTCORE_TRACKER_H

#include "progress.h"

struct rc_tracker {
    struct rc_conf conf;
    struct rc_limits limits;
    struct rc_alloc alloc;
    uint32_t n;
    struct rc_progress members[RC_MAX_MEMBERS]; /* sorted by id */
};

struct rc_progress *rc_tracker_find(struct rc_tracker *t, uint64_t id); /* NULL: no member */
const struct rc_progress *rc_tracker_peek(const struct rc_tracker *t, uint64_t id);
void rc_tracker_release(struct rc_tracker *t);

bool rc_conf_joint(const struct rc_conf *conf);
bool rc_conf_equal(const struct rc_conf *a, const struct rc_conf *b);
bool rc_conf_voter(const struct rc_conf *conf, uint64_t id); /* of either half */
/* The change asks to leave a joint configuration. */
bool rc_conf_change_leaves(const struct rc_conf_change *change);

/* Each returns NULL and has changed t, or says why not and has not. last: our last log index, where new members are
 * probed. */
const char *rc_tracker_simple(struct rc_tracker *t, const struct rc_conf_change *change, uint64_t last);
const char *rc_tracker_enter_joint(struct rc_tracker *t, const struct rc_conf_change *change, bool auto_leave,
                                   uint64_t last);
const char *rc_tracker_leave_joint(struct rc_tracker *t);
/* Picks one of the three from the change itself. */
const char *rc_tracker_apply(struct rc_tracker *t, const struct rc_conf_change *change, uint64_t last);
/* Start over with conf, as found in a snapshot or on disk. */
const char *rc_tracker_restore(struct rc_tracker *t, const struct rc_conf *conf, uint64_t last);

uint64_t rc_tracker_committed(const struct rc_tracker *t);
enum rc_verdict rc_tracker_votes(const struct rc_tracker *t, uint32_t *granted, uint32_t *rejected);
bool rc_tracker_quorum_active(const struct rc_tracker *t);
uint64_t rc_tracker_read_acked(const struct rc_tracker *t);

#endif
