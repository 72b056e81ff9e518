/* internal: the instance and what the files of the core call in each other. It must not be included outside this folder
 * and its tests. Everything here lives on the instance's thread. */
#ifndef CHRONIK_RAFTCORE_INTERNAL_H
#define CHRONIK_RAFTCORE_INTERNAL_H

#include "raftcore.h"
#include "log.h"
#include "mutants.h"
#include "tracker.h"

#include <stdarg.h>

struct rc_msgs {
    struct rc_msg *v;
    uint32_t n;
    uint32_t size;
};

struct rc_reading { /* a read that waits: for the own term's first commit, or for a quorum of heartbeat replies */
    uint64_t from;  /* the asking replica */
    uint64_t context;
    uint64_t index;
};
struct rc_readings {
    struct rc_reading *v;
    uint32_t n;
    uint32_t size;
};

struct rc {
    struct rc_config cfg;
    uint64_t term;
    uint64_t vote;
    uint64_t lead;
    uint64_t transferee;
    enum rc_role role;
    bool learner;
    bool own_vote;  /* the candidate's own vote, and with it its term, is on disk */
    uint64_t round; /* of pre-votes: a reply to an earlier one counts for nothing */
    struct rc_log log;
    struct rc_tracker trk;
    struct rc_snapshot *newest;
    uint64_t pending_conf; /* no change may be proposed before this index is applied */
    uint64_t conf_index;   /* the last entry that rc_apply_conf saw */
    uint64_t uncommitted;
    uint32_t election_elapsed;
    uint32_t heartbeat_elapsed;
    uint32_t transfer_elapsed; /* its own count: asking for transfers must not put off the check of the quorum */
    uint32_t election_timeout; /* drawn */
    struct rc_msgs now;
    struct rc_msgs after;
    struct rc_readings early; /* before the own term's first commit */
    struct rc_readings asked; /* numbered read_done + 1 … */
    uint64_t read_done;       /* reads confirmed in this term */
    struct rc_read *answers;
    uint32_t n_answers;
    uint32_t answers_size;
    struct rc_hard last_hard; /* as of the last ready */
    uint64_t last_lead;
    enum rc_role last_role;
};

/* A broken invariant ends the instance: half a step must never be continued. */
#define RC_CHECK(r, cond, ...)                                                                                         \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            rc_panic((r), __VA_ARGS__);                                                                                \
        }                                                                                                              \
    } while (0)

/* mem.c */
_Noreturn void rc_panic(const struct rc *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void rc_log_line(const struct rc *r, enum rc_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void *rc_grow(const struct rc *r, void *array, uint32_t *size, uint32_t need, size_t element);
void rc_drop(const struct rc *r, void *array);
struct rc_entry *rc_entries_copy(const struct rc *r, const struct rc_entry *entries, uint32_t n);
void rc_msg_clear(const struct rc_alloc *alloc, struct rc_msg *msg);
void rc_msgs_push(const struct rc *r, struct rc_msgs *list, const struct rc_msg *msg);
void rc_msgs_release(const struct rc_alloc *alloc, struct rc_msgs *list);

/* log.c */
void rc_log_append(struct rc *r, const struct rc_entry *entries, uint32_t n);
void rc_log_commit_to(struct rc *r, uint64_t index);
void rc_log_restore(struct rc *r, struct rc_snapshot *snap);
void rc_log_applied(struct rc *r, uint64_t index);
void rc_log_release(const struct rc *r, struct rc_log *l);

/* core.c */
void rc_send(struct rc *r, struct rc_msg *msg); /* takes over entries and snapshot */
void rc_switch_conf(struct rc *r);
bool rc_promotable(const struct rc *r);
void rc_applied_snapshot(struct rc *r, uint64_t index);
void rc_applied_to(struct rc *r, uint64_t index);

/* propose.c */
bool rc_append_own(struct rc *r, struct rc_entry *entries, uint32_t n);
void rc_auto_leave(struct rc *r);
int rc_step_propose(struct rc *r, struct rc_entry *entries, uint32_t n, uint64_t *index);

/* election.c */
void rc_become_follower(struct rc *r, uint64_t term, uint64_t lead);
void rc_hup(struct rc *r, bool transfer);
void rc_handle_vote(struct rc *r, const struct rc_msg *msg);
void rc_handle_vote_reply(struct rc *r, const struct rc_msg *msg);
void rc_handle_transfer(struct rc *r, struct rc_progress *to);
void rc_check_quorum(struct rc *r);
void rc_hand_over(struct rc *r);
/* A vote or pre-vote of another term arrives while a leader is alive. */
bool rc_in_lease(const struct rc *r);
void rc_draw_timeout(struct rc *r);

/* replicate.c */
bool rc_send_append(struct rc *r, struct rc_progress *to, bool if_empty);
void rc_bcast_append(struct rc *r);
void rc_bcast_heartbeat(struct rc *r);
bool rc_maybe_commit(struct rc *r);
void rc_handle_append(struct rc *r, const struct rc_msg *msg);
void rc_handle_append_reply(struct rc *r, struct rc_progress *from, const struct rc_msg *msg);
void rc_handle_heartbeat(struct rc *r, const struct rc_msg *msg);
void rc_handle_heartbeat_reply(struct rc *r, struct rc_progress *from, const struct rc_msg *msg);
void rc_handle_snapshot(struct rc *r, const struct rc_msg *msg);

/* readindex.c */
void rc_reads_reset(struct rc *r);
void rc_reads_release(struct rc *r);
void rc_handle_read(struct rc *r, uint64_t from, uint64_t context);
void rc_handle_read_reply(struct rc *r, const struct rc_msg *msg);
void rc_reads_first_commit(struct rc *r);
void rc_reads_confirm(struct rc *r);
uint64_t rc_reads_context(const struct rc *r);
bool rc_committed_in_term(const struct rc *r);

/* Tests only: the drawn timeout until the next change of role. */
void rc_set_election_timeout(struct rc *r, uint32_t ticks);

#endif
