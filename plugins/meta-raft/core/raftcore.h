/* raftcore: Raft as a pure library. Events go in (ticks, messages, proposals, acknowledgements), work comes out (one
 * struct rc_ready at a time); nothing else happens. It must never read a clock, a file, a socket, an environment
 * variable or a global, never start a thread and never call back except into the four services of struct rc_config. One
 * instance belongs to one thread; there is no lock. README.md beside this file explains the algorithm and the ready
 * cycle.
 *
 * Units: terms, indexes and replica ids are 64-bit numbers; 0 means none. Sizes are bytes. Time is ticks of the
 * caller's choosing. */
#ifndef CHRONIK_RAFTCORE_H
#define CHRONIK_RAFTCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rc;

enum {
    RC_MAX_MEMBERS = 64, /* voters of both halves and learners together */
    RC_MAX_CHANGES = 64, /* operations in one configuration change */
};
#define RC_NO_LIMIT UINT64_MAX

/* Results of the calls that can be refused. Acknowledgements return nothing: what follows from them is in the next
 * ready. */
#define RC_RESULTS(X)                                                                                                  \
    X(RC_OK, 0, "done")                                                                                                \
    X(RC_FORWARDED, 1, "sent on to the leader; the outcome is not reported here")                                      \
    X(RC_NOT_LEADER, -1, "not the leader: propose at the leader named by the status, or wait for an election")         \
    X(RC_BUSY, -2, "too many uncommitted bytes: propose again once some have committed")                               \
    X(RC_TRANSFERRING, -3, "leadership is being handed over: propose at the new leader")                               \
    X(RC_REMOVED, -4, "this leader is no member any more: propose at its successor")                                   \
    X(RC_CONF_REFUSED, -5,                                                                                             \
      "configuration change refused: another is unfinished, or it does not fit the configuration")                     \
    X(RC_UNKNOWN_PEER, -6, "reply from a replica that is no member")                                                   \
    X(RC_INVALID, -7, "malformed or out of range")                                                                     \
    X(RC_NOMEM, -8, "the allocator refused")
enum rc_result {
#define X(name, value, text) name = (value),
    RC_RESULTS(X)
#undef X
};

enum rc_level { RC_DEBUG, RC_INFO, RC_WARN, RC_ERROR, RC_FATAL };
enum rc_role { RC_FOLLOWER, RC_CANDIDATE, RC_LEADER, RC_PRE_CANDIDATE };
enum rc_flow { RC_PROBE, RC_REPLICATE, RC_SNAPSHOT };
enum rc_reads { RC_READS_SAFE, RC_READS_LEASE };

/* The allocator: resize(ctx, NULL, n) allocates, (ctx, p, 0) frees and returns NULL, else as realloc. */
struct rc_alloc {
    void *(*resize)(void *ctx, void *ptr, size_t size);
    void *ctx;
};

/* A counted, immutable payload. The count is atomic, so that storage and apply executors may hold references;
 * everything else about an instance stays on its own thread. */
struct rc_buf {
    struct rc_alloc alloc;
    _Atomic uint32_t refs;
    uint32_t len;
    uint8_t bytes[];
};
/* A buffer of len bytes (uninitialised, to be filled before it is shared) with one reference; NULL: no memory. */
struct rc_buf *rc_buf_new(const struct rc_alloc *alloc, uint32_t len);
struct rc_buf *rc_buf_ref(struct rc_buf *buf); /* NULL stays NULL */
void rc_buf_unref(struct rc_buf *buf);         /* NULL is allowed */

/* A set of replica ids, sorted ascending. */
struct rc_ids {
    uint32_t n;
    uint64_t v[RC_MAX_MEMBERS];
};

/* A configuration. outgoing is not empty exactly while it is joint: then a majority of voters and one of outgoing must
 * agree. */
struct rc_conf {
    struct rc_ids voters;
    struct rc_ids outgoing;
    struct rc_ids learners;
    struct rc_ids learners_next; /* voters of outgoing that become learners when the joint configuration is left */
    bool auto_leave;             /* the leader proposes to leave by itself */
};

enum rc_conf_op { RC_ADD_VOTER = 0, RC_REMOVE = 1, RC_UPDATE = 2, RC_ADD_LEARNER = 3 };
enum rc_transition {
    RC_AUTO = 0,     /* joint when there are two or more operations, and then left automatically */
    RC_IMPLICIT = 1, /* joint, left automatically */
    RC_EXPLICIT = 2, /* joint, left by an empty change that the caller proposes */
};
/* A change: n operations in order. Without operations and with RC_AUTO it leaves a joint configuration. */
struct rc_conf_change {
    enum rc_transition transition;
    uint32_t n;
    struct {
        enum rc_conf_op op;
        uint64_t id;
    } v[RC_MAX_CHANGES];
};

enum rc_entry_type {
    RC_ENTRY_NORMAL = 0,
    RC_ENTRY_CONF_ONE = 1, /* a single operation without a joint phase */
    RC_ENTRY_CONF = 2,
};
struct rc_entry {
    uint64_t term;
    uint64_t index;
    struct rc_buf *data; /* NULL: empty, as a new leader's first entry */
    enum rc_entry_type type;
};

/* A snapshot's description, and its bytes if they travel in the message (the shell may stream them on its own instead).
 */
struct rc_snapshot {
    struct rc_alloc alloc;
    _Atomic uint32_t refs;
    uint64_t index;
    uint64_t term;
    struct rc_conf conf; /* as of index */
    struct rc_buf *data;
};
/* Takes over one reference of data (may be NULL). NULL: no memory (data is released then too). */
struct rc_snapshot *rc_snapshot_new(const struct rc_alloc *alloc, uint64_t index, uint64_t term,
                                    const struct rc_conf *conf, struct rc_buf *data);
struct rc_snapshot *rc_snapshot_ref(struct rc_snapshot *snap);
void rc_snapshot_unref(struct rc_snapshot *snap);

enum rc_msg_type {
    RC_MSG_PROPOSE,      /* a follower's proposal on its way to the leader; carries no term */
    RC_MSG_APPEND,       /* index, log_term: the entry before entries; commit */
    RC_MSG_APPEND_REPLY, /* index: matched up to; or reject with hint and log_term. Leaves after sync */
    RC_MSG_VOTE,         /* index, log_term: the candidate's last entry; transfer: asked for by the old leader */
    RC_MSG_VOTE_REPLY,   /* leaves after sync */
    RC_MSG_SNAPSHOT,     /* snapshot */
    RC_MSG_HEARTBEAT,    /* commit: never above what the receiver is known to match; context: reads up to this number */
    RC_MSG_HEARTBEAT_REPLY, /* context as received */
    RC_MSG_TRANSFER,        /* from: the wanted leader, whoever sent it */
    RC_MSG_TIMEOUT_NOW,     /* campaign at once */
    RC_MSG_READ,            /* context: the reader's unique number; carries no term */
    RC_MSG_READ_REPLY,      /* index: safe once applied; context as received */
    RC_MSG_PRE_VOTE,        /* term: the one after the sender's; context: the round */
    RC_MSG_PRE_VOTE_REPLY,  /* context as received. Leaves after sync */
    RC_MSG_TYPES,
};
const char *rc_msg_name(enum rc_msg_type type);

struct rc_msg {
    enum rc_msg_type type;
    uint64_t to;
    uint64_t from;
    uint64_t term;
    uint64_t log_term;
    uint64_t index;
    uint64_t commit;
    uint64_t hint;
    uint64_t context;
    bool reject;
    bool transfer;
    uint32_t n_entries;
    struct rc_entry *entries;
    struct rc_snapshot *snapshot;
};

struct rc_hard {
    uint64_t term;
    uint64_t vote;
    uint64_t commit;
};

/* What rc_persisted takes: hand back verbatim the one of the newest ready whose writes are all durable, and all those
 * before. */
struct rc_ack {
    uint64_t term;     /* the term at the time of the ready: the acknowledgement is dropped if it has moved since */
    uint64_t index;    /* last entry of the log then; 0: nothing to acknowledge */
    uint64_t log_term; /* of that entry */
};

struct rc_read {
    uint64_t index;   /* answer the read once this is applied */
    uint64_t context; /* as given to rc_read_index */
};

/* The work of one turn. Everything in it is owned by it (counted references), so several may be in flight; release each
 * once. Order: 1. msgs may leave at once. 2. Write snapshot, entries and hard to disk (in the order of the readies). 3.
 * When they are durable: after leaves, rc_step for those addressed to this very replica; then rc_persisted(&ack),
 * rc_snap_done(snapshot index).
 * 4. committed are applied in order (configuration changes with rc_apply_conf), then rc_applied(last index). */
struct rc_ready {
    bool has_soft; /* lead or role changed */
    uint64_t lead;
    enum rc_role role;
    bool has_hard; /* term, vote or commit changed */
    struct rc_hard hard;
    bool must_sync;           /* entries, term or vote changed: step 3 needs a sync that started after the write */
    struct rc_entry *entries; /* replaces whatever the disk has from entries[0].index on */
    uint32_t n_entries;
    struct rc_snapshot
        *snapshot; /* install: replaces the whole log and state; never together with entries or committed */
    struct rc_entry *committed;
    uint32_t n_committed;
    struct rc_msg *msgs;
    uint32_t n_msgs;
    struct rc_msg *after;
    uint32_t n_after;
    struct rc_read *reads;
    uint32_t n_reads;
    struct rc_ack ack;
    struct rc_alloc alloc;
};

/* How an instance behaves; fixed for its life. Zero is the sensible value where a comment does not say otherwise. */
struct rc_config {
    uint64_t id;                   /* this replica, not 0 */
    uint32_t election_ticks;       /* silence before an election: this many to twice as many, drawn anew each time */
    uint32_t heartbeat_ticks;      /* 1 .. election_ticks - 1 */
    uint32_t max_inflight_msgs;    /* unacknowledged appends a follower, at least 1 */
    uint64_t max_inflight_bytes;   /* 0: no limit; else at least max_size_per_msg */
    uint64_t max_size_per_msg;     /* encoded entries in one append; 0: one entry; RC_NO_LIMIT */
    uint64_t max_committed_size;   /* handed out and not yet applied; 0: as max_size_per_msg */
    uint64_t max_uncommitted_size; /* payload bytes a leader holds uncommitted before RC_BUSY; 0: no limit */
    bool
        check_quorum; /* a leader that hears no quorum for election_ticks steps down; followers protect a live leader */
    bool pre_vote;    /* ask before raising the term */
    bool step_down_on_removal; /* a leader that applied its own removal becomes a follower */
    bool lead_to_rescue;    /* one that is no voter any more, but is asked for its vote by voters that lack what it has
                             * (they    do not know the last configuration yet), leads until they do, and hands over */
    bool forward_proposals; /* followers send proposals on to the leader */
    bool apply_unpersisted; /* hand out committed entries that this disk may not have yet. Only for a caller that writes
                             * the entries of a ready before it applies the committed ones of the same ready */
    bool skip_conf_validation; /* accept any configuration change into the log; what does not fit is refused at apply */
    bool refused_conf_is_empty; /* a refused change leaves an empty entry in the log (published scripts expect it) */
    enum rc_reads reads;        /* RC_READS_LEASE needs check_quorum and trusts the clocks of all replicas */
    struct rc_alloc alloc;
    uint32_t (*random)(void *ctx, uint32_t below); /* uniform in [0, below) */
    void (*log)(void *ctx, enum rc_level level, const char *text);
    void (*fatal)(void *ctx, const char *text); /* a broken invariant or no memory inside a step: must not return */
    void *ctx;
};

/* What a replica knows at start. Entries are base_index + 1 .. in order, borrowed for the call (payloads are
 * referenced). */
struct rc_boot {
    struct rc_hard hard; /* zeros: never ran; commit may lag, it needs no sync of its own */
    struct rc_conf conf; /* as of applied */
    uint64_t base_index; /* the entry before the first that is kept; 0: from the beginning */
    uint64_t base_term;
    uint64_t applied; /* 0: base_index */
    const struct rc_entry *entries;
    uint32_t n_entries;
    struct rc_snapshot *snapshot; /* newest one that can be sent, referenced; NULL: none */
};

/* NULL: refused; why (of size why_size) then says the object and the remedy. A commit index outside the log is refused,
 * never clamped: it means that entries were lost. */
struct rc *rc_new(const struct rc_config *cfg, const struct rc_boot *boot, char *why, size_t why_size);
void rc_free(struct rc *r);

void rc_tick(struct rc *r);
/* A message from a peer, or one of `after` addressed to this replica. Borrowed. RC_UNKNOWN_PEER, RC_INVALID: nothing
 * happened. */
int rc_step(struct rc *r, const struct rc_msg *msg);
void rc_campaign(struct rc *r); /* start an election now, if this replica may lead */
void rc_transfer(struct rc *r, uint64_t to);
/* The leader's connection was reset and its port refuses: forget it, so that pre-votes are granted inside its lease.
 * The term stays. Refused (and logged) with lease reads. */
void rc_forget_leader(struct rc *r);

/* Borrow buf (referenced if accepted). RC_OK: in the log at index, term; it has happened only once that very pair is
 * committed. RC_FORWARDED, RC_NOT_LEADER, RC_BUSY, RC_TRANSFERRING, RC_REMOVED. index and term may be NULL. */
int rc_propose(struct rc *r, struct rc_buf *buf, uint64_t *index, uint64_t *term);
/* As rc_propose; one: log it as RC_ENTRY_CONF_ONE (exactly one operation, RC_AUTO). RC_CONF_REFUSED, RC_NOMEM too. */
int rc_propose_conf(struct rc *r, const struct rc_conf_change *change, bool one, uint64_t *index, uint64_t *term);
/* The committed entry of a configuration change takes effect. Every one must pass here before rc_applied passes it.
 * RC_OK: conf (may be NULL) is the new configuration. RC_CONF_REFUSED, RC_INVALID: it stays as it was, on every replica
 * alike. */
int rc_apply_conf(struct rc *r, const struct rc_entry *entry, struct rc_conf *conf);
/* Ask for an index at which a read is linearizable; unique is the caller's number, never 0 and never used twice. The
 * answer is in a ready's reads. It may never come (a leader change, a lost message): ask again under a new number. */
void rc_read_index(struct rc *r, uint64_t unique);

void rc_report_unreachable(struct rc *r, uint64_t id);       /* a message to id was lost */
void rc_report_snapshot(struct rc *r, uint64_t id, bool ok); /* the stream of a snapshot to id ended */

bool rc_has_ready(const struct rc *r);
void rc_ready(struct rc *r, struct rc_ready *rd); /* fills rd; call only if rc_has_ready, else it is empty */
void rc_ready_release(struct rc_ready *rd);
/* Acknowledgements: see struct rc_ready. */
void rc_persisted(struct rc *r, const struct rc_ack *ack);
void rc_snap_done(struct rc *r, uint64_t index);
void rc_applied(struct rc *r, uint64_t index);

/* A snapshot of the applied state exists and may be sent to peers (referenced). RC_INVALID: beyond what was handed out.
 */
int rc_snapshot_taken(struct rc *r, struct rc_snapshot *snap);
/* Drop entries up to and including index. RC_INVALID: not applied, not durable, or no snapshot covers it. */
int rc_compact(struct rc *r, uint64_t index);

struct rc_status {
    uint64_t id, term, vote, lead, transferee;
    enum rc_role role;
    bool learner;
    uint64_t first, last; /* first: of the oldest entry kept */
    uint64_t persisted;   /* acknowledged by rc_persisted */
    uint64_t commit;
    uint64_t handed; /* committed entries handed out */
    uint64_t applied;
    uint64_t snapshot;    /* index of the newest snapshot; 0: none */
    uint64_t uncommitted; /* payload bytes, leader only */
    struct rc_conf conf;
};
void rc_status(const struct rc *r, struct rc_status *out);

struct rc_peer {
    uint64_t id, match, next, pending_snapshot;
    enum rc_flow flow;
    bool learner, paused, active, full;
    uint32_t inflight;
};
/* Fills at most max rows, ordered by id; returns how many members there are. Meaningful on a leader. */
uint32_t rc_peers(const struct rc *r, struct rc_peer *out, uint32_t max);

/* Entry first of the log, as kept in memory; NULL: compacted or beyond the end. */
const struct rc_entry *rc_entry_at(const struct rc *r, uint64_t index);
/* The size of an entry as limits count it: a compact encoding of term, index, type and payload. */
uint64_t rc_entry_size(const struct rc_entry *entry);

/* Every invariant that one replica can see of itself. False: why (of size why_size) names the broken one. */
bool rc_check(const struct rc *r, char *why, size_t why_size);

/* Configuration changes as entry payloads: [format 1][transition][count] then (op, id as 8 bytes big endian) each.
 * NULL: no memory. Decoding an empty payload gives the change that leaves a joint configuration; RC_INVALID: malformed.
 */
struct rc_buf *rc_conf_encode(const struct rc_alloc *alloc, const struct rc_conf_change *change);
int rc_conf_decode(const struct rc_buf *buf, struct rc_conf_change *out);
/* "voters=(1 2 3)&&(1 2) learners=(4) …", ids in hexadecimal; returns out. */
char *rc_conf_text(const struct rc_conf *conf, char *out, size_t size);

#endif
