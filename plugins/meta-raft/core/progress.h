/* progress: what a leader knows of each member, and how fast it may send to it. A value type: it must never send
 * anything itself. Lives on the instance's thread.
 *
 *          lost message, rejection                    log does not reach back that far
 *      +------------------------------+          +------------------------------------------+
 *      v                              |          |                                          v
 *   PROBE --- first match reported ---> REPLICATE                                       SNAPSHOT
 *   one append per heartbeat            many appends in flight                           nothing is sent
 *      ^                                                                                    |
 *      +----- installed (an append reply that connects, or rc_report_snapshot), or failed --+
 */
#ifndef CHRONIK_RAFTCORE_PROGRESS_H
#define CHRONIK_RAFTCORE_PROGRESS_H

#include "quorum.h"

/* Appends sent and not acknowledged: a ring that grows on demand up to the limit. */
struct rc_window {
    struct rc_sent {
        uint64_t index; /* last entry of the message */
        uint64_t bytes;
    } * ring;
    uint32_t size; /* slots allocated */
    uint32_t start;
    uint32_t count;
    uint64_t bytes;
};

struct rc_limits {
    uint32_t msgs;
    uint64_t bytes; /* 0: no limit */
};

struct rc_progress {
    uint64_t id;
    uint64_t match; /* the member's log is known to equal ours up to here */
    uint64_t next;  /* first entry to send; match < next */
    uint64_t sent_commit;
    uint64_t pending_snapshot;
    uint64_t read_ack; /* highest read number that a heartbeat reply confirmed */
    enum rc_flow flow;
    enum rc_ballot ballot;
    bool learner;
    bool active; /* heard from since the last check of the quorum */
    bool paused; /* wait for a heartbeat reply before the next append */
    struct rc_window window;
};

bool rc_window_full(const struct rc_window *w, const struct rc_limits *limits);
/* False: no memory. The window must not be full. */
bool rc_window_add(struct rc_window *w, const struct rc_limits *limits, const struct rc_alloc *alloc, uint64_t index,
                   uint64_t bytes);
void rc_window_free_to(struct rc_window *w, uint64_t index); /* acknowledged up to index */
void rc_window_release(struct rc_window *w, const struct rc_alloc *alloc);

void rc_progress_probe(struct rc_progress *p);
void rc_progress_replicate(struct rc_progress *p);
void rc_progress_snapshot(struct rc_progress *p, uint64_t index);
/* A new term: match is 0 (our own log: what is durable), next is beyond the last entry. */
void rc_progress_reset(struct rc_progress *p, uint64_t match, uint64_t next);
/* entries entries of bytes payload are on their way. False: no memory. */
bool rc_progress_sent(struct rc_progress *p, const struct rc_limits *limits, const struct rc_alloc *alloc,
                      uint32_t entries, uint64_t bytes);
bool rc_progress_paused(const struct rc_progress *p);
/* The member matches up to index. False: old news. */
bool rc_progress_update(struct rc_progress *p, uint64_t index);
/* The member rejected an append after entry rejected; hint: the highest entry worth trying next. False: old news. */
bool rc_progress_back(struct rc_progress *p, uint64_t rejected, uint64_t hint);
/* Telling it this commit index now can move its own. */
bool rc_progress_wants_commit(const struct rc_progress *p, uint64_t commit);
/* "StateProbe match=0 next=1 …" as the published scripts print it; returns out. */
char *rc_progress_text(const struct rc_progress *p, const struct rc_limits *limits, char *out, size_t size);

#endif
