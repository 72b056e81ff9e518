/* chronik/meta.h: a metadata module is an ordered, durable log of opaque commands. It does not know what a command
 * means; the one state machine in the broker applies them. Two modules may be loaded side by side.
 *
 * Positions: an engine numbers its log {epoch, index}; index rises by at least one from command to command (an engine
 * may use indexes for entries of its own, which are never delivered). The host keeps its own dense sequence `seq`. */
#ifndef CHRONIK_PUBLIC_META_H
#define CHRONIK_PUBLIC_META_H

#include <chronik/base.h>
#include <chronik/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Classes of proposals: a bounded queue each, served in this order. A full queue answers E_BUSY. */
#define CHRONIK_META_CONTROLLER  UINT32_C(0)
#define CHRONIK_META_COORDINATOR UINT32_C(1)
#define CHRONIK_META_CLIENT      UINT32_C(2)
#define CHRONIK_META_CLASSES     3

#define CHRONIK_META_ROLE_NONE     UINT32_C(0) /* no leader known */
#define CHRONIK_META_ROLE_FOLLOWER UINT32_C(1)
#define CHRONIK_META_ROLE_LEADER   UINT32_C(2)

#define CHRONIK_META_MAX_COMMAND (1u << 20) /* bytes of one command, envelope included */

struct chronik_meta_pos {
    uint64_t epoch; /* of the engine when the entry was created (a Raft term); 0 with index 0 = before everything */
    uint64_t index;
};

struct chronik_meta_entry {
    struct chronik_meta_pos pos;
    const void *data;
    uint64_t n;
};

/* What a snapshot of the state is called: the state after the command at `pos`, which was command number `seq`. */
struct chronik_meta_snapshot {
    uint32_t size;
    uint32_t reserved;
    struct chronik_meta_pos pos;
    uint64_t seq;
    uint64_t bytes;  /* of the whole content */
    uint32_t crc32c; /* of the whole content */
    uint32_t reserved2;
    struct chronik_uuid id; /* chosen by who made it */
};

struct chronik_meta_config {
    uint32_t size;
    uint32_t node_id;
    struct chronik_uuid cluster_id;  /* zero while unknown */
    struct chronik_exec *apply_exec; /* the host's executor: all events below run on it */
    uint32_t dir;                    /* number of the data directory for metadata */
    uint32_t reserved;
};

/* The host's side. All run on apply_exec, one after another; arguments are borrowed for the call. */
struct chronik_meta_events {
    uint32_t size;
    uint32_t reserved;
    void *arg;
    /* Committed commands in order, without gaps or repeats, beginning behind the position given to start() or behind
     * the snapshot last installed. `epoch` is the engine's epoch at delivery. The host answers with ops->applied(). */
    void (*apply)(void *arg, uint64_t epoch, const struct chronik_meta_entry *e, uint32_t n, uint32_t stride);
    /* The engine has a state that replaces the host's: one begin, chunks in order, one end. The host switches at `end`
     * and not before; `ok` 0 means the engine broke it off and nothing changes. A negative result: the host refused the
     * content, the engine reports and stops. */
    int32_t (*install_begin)(void *arg, const struct chronik_meta_snapshot *s);
    int32_t (*install_chunk)(void *arg, const void *p, uint64_t n);
    int32_t (*install_end)(void *arg, uint32_t ok);
    /* Role, engine epoch and leader's node id (-1 unknown) changed. */
    void (*role)(void *arg, uint32_t role, uint64_t epoch, int32_t leader);
    /* Everything that was committed when start() was called has been delivered (a single node: its whole log). */
    void (*caught_up)(void *arg);
    /* The log has grown by this many bytes since the last snapshot: please make one (snapshot_begin). */
    void (*want_snapshot)(void *arg, uint64_t log_bytes);
    /* Damage or a failed disk: the engine has stopped for good. One sentence with file, offset and remedy. */
    void (*failed)(void *arg, int32_t code, const char *text);
};

/* What a stall waits for: something outside (a disk, other nodes), or a thread of this process that does not run, which
 * a restart would cure. */
#define CHRONIK_META_STALL_OUTSIDE UINT32_C(1)
#define CHRONIK_META_STALL_INSIDE  UINT32_C(2)

struct chronik_meta_status {
    uint32_t size;
    uint32_t role;
    uint64_t epoch;
    int32_t leader; /* node id, -1 unknown */
    uint32_t voters, learners;
    uint32_t stall; /* CHRONIK_META_STALL_, with `stalled` */
    /* The pipeline. Indexes of the engine's log: proposed >= persisted >= committed >= applied as the host
     * acknowledged. */
    uint64_t proposed, persisted, committed, applied;
    uint64_t first_index; /* oldest entry that read_log can give */
    uint64_t log_bytes;
    struct chronik_meta_pos snapshot;
    const char *stalled; /* NULL, or one sentence naming the stage, the last index and what it waits for */
};

/* What can be asked of a quorum. A node that does not lead passes it on to the leader, all but FOUND. */
#define CHRONIK_META_ADD_LEARNER UINT32_C(1)
#define CHRONIK_META_PROMOTE     UINT32_C(2) /* a learner that has caught up; a dead voter of its node leaves */
#define CHRONIK_META_REMOVE      UINT32_C(3) /* done when every other member has applied it */
#define CHRONIK_META_TRANSFER    UINT32_C(4) /* the lead, to node_id; -1: to whoever is best */
#define CHRONIK_META_ADD_VOTER   UINT32_C(5) /* added, and promoted once it has caught up */
#define CHRONIK_META_DEMOTE      UINT32_C(6) /* a voter becomes a learner; one that is not connected leaves */
#define CHRONIK_META_REFRESH     UINT32_C(7) /* `members` then tells what the leader knows */
/* This node becomes the sole voter although a majority is missing: for a majority that is lost for good. Without FORCE
 * nothing changes: `why` tells what would. */
#define CHRONIK_META_FOUND UINT32_C(8)

#define CHRONIK_META_FORCE UINT32_C(1) /* FOUND: do it */
#define CHRONIK_META_EARLY UINT32_C(2) /* ADD_VOTER: done once the leader has it in its log */

/* One of these, and for whom. */
struct chronik_meta_change {
    uint32_t size;
    uint32_t op;
    int32_t node_id;
    uint32_t flags;
    struct chronik_uuid directory; /* the replica of that node on this directory alone; zero: any */
    const char *address;           /* host:port of the one to add; else NULL */
    int64_t timeout_ms;            /* 0: the module's own bound */
    /* A sentence with cause and remedy when it does not end with DONE, written before the completion; the memory must
     * live until then. NULL: not wanted. */
    char *why;
    uint64_t why_n;
};

#define CHRONIK_META_VOTER   UINT32_C(1)
#define CHRONIK_META_LEARNER UINT32_C(2)
#define CHRONIK_META_WAITING UINT32_C(3) /* no member: it is connected to this node, and waits to be added */

/* A member of the quorum, or who waits to be one, as this node knows it. */
struct chronik_meta_member {
    uint32_t size;
    uint32_t node_id;
    struct chronik_uuid replica; /* of the disk: another one after it was lost; zero: the engine has no such thing */
    uint32_t kind;               /* CHRONIK_META_VOTER, CHRONIK_META_LEARNER, CHRONIK_META_WAITING */
    uint32_t leads;              /* 1: the leader known here */
    uint64_t match;              /* last index known to be on its disk; 0 unknown (only a leader knows of others) */
    int64_t heard_ms;            /* since it was last heard; -1 unknown */
    const char *address;         /* host:port; "" unknown. Borrowed for the call. */
    /* Of the data directory that holds its replica: what Kafka calls the directory id of a voter. */
    struct chronik_uuid directory;
    int64_t caught_up_ms; /* since it last had all that the leader had then; -1 unknown */
};

typedef struct chronik_meta chronik_meta; /* an instance */

struct chronik_meta_ops {
    uint32_t size;
    uint32_t reserved;
    /* Allocates; opens nothing. CHRONIK_DONE or a negative code. The host table, config and events are copied. */
    int32_t (*create)(const struct chronik_host *host, const struct chronik_meta_config *cfg,
                      const struct chronik_meta_events *ev, chronik_meta **out);
    /* Opens the log. `applied` and `seq` say what the host's checkpoint holds ({0,0}, 0 for nothing): the engine
     * delivers what follows, or first installs a snapshot when its log begins later. Never waits for other nodes.
     * Completion on apply_exec: the log is open; or a negative code after events->failed told why. */
    int32_t (*start)(chronik_meta *m, struct chronik_meta_pos applied, uint64_t seq, struct chronik_done done);
    /* Appends a command. Completion on apply_exec, before the entry's apply or after: CHRONIK_DONE when committed.
     * E_BUSY, E_TOOBIG, E_NOT_LEADER (no leader is known to forward to), E_NOSPC: certainly not appended. E_TIMEDOUT,
     * E_CANCELED: unknown. */
    int32_t (*propose)(chronik_meta *m, uint32_t klass, const struct chronik_iov *iov, uint32_t n_iov,
                       struct chronik_done done);
    /* Completes on apply_exec when everything that was committed anywhere before the call has been delivered here. */
    int32_t (*read_barrier)(chronik_meta *m, struct chronik_done done);
    /* The host has applied everything up to `pos`: progress for the counters and for back-pressure. After a restart it
     * may ask for it again (its checkpoint lags): entries are forgotten by trim alone. Any thread. */
    void (*applied)(chronik_meta *m, struct chronik_meta_pos pos);
    /* Delivered commands from `index` on, oldest first, until `max_bytes` or the applied end; at least one when there
     * is one. E_RANGE when `index` is below first_index. Blocking: call it on a worker. */
    int32_t (*read_log)(chronik_meta *m, uint64_t index, uint64_t max_bytes,
                        void (*each)(void *arg, const struct chronik_meta_entry *e), void *arg);
    /* Entries up to and including `index` may be forgotten; a snapshot at or after it must exist. The engine may keep
     * more. */
    int32_t (*trim)(chronik_meta *m, uint64_t index);
    /* The host stores its state: begin, chunks in order, end. Blocking; call from one thread at a time, not from
     * apply_exec's tasks that must not wait. The snapshot counts only after `end` returned CHRONIK_DONE: durable,
     * checksum verified. */
    int32_t (*snapshot_begin)(chronik_meta *m, const struct chronik_meta_snapshot *s, void **writer);
    int32_t (*snapshot_chunk)(void *writer, const void *p, uint64_t n);
    int32_t (*snapshot_end)(void *writer, uint32_t ok);
    /* Changes the quorum (MEMBERSHIP). Completion on apply_exec when the change is in force. E_UNSUPPORTED,
     * E_NOT_LEADER (none is known), E_BUSY (another change is under way), E_NOTFOUND (no such member, or it is not
     * connected), E_EXISTS, E_AGAIN (the learner is too far behind), E_INVAL (no voter would be left), E_TIMEDOUT,
     * E_CANCELED. */
    int32_t (*member_change)(chronik_meta *m, const struct chronik_meta_change *c, struct chronik_done done);
    void (*status)(chronik_meta *m, struct chronik_meta_status *out);
    /* Completes everything pending with E_CANCELED, flushes, then completes on apply_exec and frees the instance. No
     * other call may be running on another thread or follow. */
    int32_t (*close)(chronik_meta *m, struct chronik_done done);
    /* Calls `each` for every member, in order of their node ids, then for whoever waits; returns how many, or a
     * negative code before the engine knows any member. Any thread. */
    int32_t (*members)(chronik_meta *m, void (*each)(void *arg, const struct chronik_meta_member *x), void *arg);
};

#ifdef __cplusplus
}
#endif
#endif
