/* coord.h: the coordinator of classic groups: who is a member, in which generation, and what the group waits for. It
 * owns running membership and its timers; what must survive (each completed generation, offsets) is metadata. Groups
 * hash to slots; a slot belongs to one broker under an epoch, and only its owner answers for the groups in it.
 *
 * Requests and answers are wire's structs. Any thread may call; no lock is held while a completion runs. Semantics are
 * those of Apache Kafka 4.4's classic groups (KIP-62, 134, 345, 394, 429, 559, 800, 814, 848). */
#ifndef CHRONIK_COORD_H
#define CHRONIK_COORD_H

#include "base/arena.h"
#include "base/err.h"
#include "meta/meta.h"
#include "os/os.h"
#include "wire/codes.h"
#include "wire/messages.h"
#include "wire/wire.h"

struct coord;
struct coord_call;

/* ---- life ---- */

struct coord_options {
    struct os *os;
    int32_t node_id;
    uint32_t slots; /* offsets.topic.num.partitions; the same on all brokers */
    int64_t initial_rebalance_delay_ms;
    int32_t min_session_timeout_ms, max_session_timeout_ms;
    int32_t max_group_size;
    int64_t propose_timeout_ms; /* of a generation's command; 0: 5 s */
};

/* NULL when memory or threads are exhausted. */
struct coord *coord_new(const struct coord_options *o);
/* Between meta_new and meta_start: subscribes to the image. false: out of memory. */
bool coord_set_meta(struct coord *c, struct meta *meta);
/* This broker is registered: takes the slots that nobody owns, loads those that are its own. Any thread; returns at
 * once. Until a slot is loaded its groups answer COORDINATOR_LOAD_IN_PROGRESS, those of other brokers NOT_COORDINATOR.
 */
void coord_start(struct coord *c);
/* Answers everything that waits with NOT_COORDINATOR and stops the timers; later calls are answered the same way. No
 * group changes: the members are still there after a restart. */
void coord_stop(struct coord *c);
void coord_free(struct coord *c); /* after meta_close: no completion of a proposal may be under way */

/* ---- slots ---- */

/* Kafka's: Utils.abs(group.hashCode()) % slots. */
uint32_t coord_slot_of(const struct coord *c, struct wire_str group);
/* Whether this broker may answer for the group: 0, COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR. *epoch (may be NULL)
 * is the slot's, for commands. */
int16_t coord_check_slot(struct coord *c, struct wire_str group, int64_t *epoch);

/* ---- membership: answers that may have to wait ---- */

/* A request on its way. The caller fills in the first part and keeps it in place until the answer is complete. What a
 * request points to is borrowed until the call returns; what an answer points to lies in `arena`, which belongs to the
 * coordinator while the call is pending. */
struct coord_call {
    int16_t version; /* of the request */
    struct arena *arena;
    struct wire_str client_id;
    const char *client_host;               /* "127.0.0.1" */
    void (*done)(struct coord_call *call); /* pending calls: exactly once, on any thread; must only post */
    bool nomem;                            /* the arena is exhausted: the answer is not complete, drop the request */
    /* coord: */
    void *slot, *waits_in;
    struct coord_call *next;
    union {
        struct wire_join_group_response *join;
        struct wire_sync_group_response *sync;
    } out;
};

/* CHRONIK_DONE: *out is complete, done does not run. CHRONIK_PENDING: done runs once, perhaps before the call returns.
 */
int32_t coord_join(struct coord *c, struct coord_call *call, const struct wire_join_group_request *q,
                   struct wire_join_group_response *out);
int32_t coord_sync(struct coord *c, struct coord_call *call, const struct wire_sync_group_request *q,
                   struct wire_sync_group_response *out);
/* The client is gone. A pending call ends soon, if it has not ended; the member stays until its timeout. */
void coord_cancel(struct coord *c, struct coord_call *call);

/* ---- answers that never wait ---- */

int16_t coord_heartbeat(struct coord *c, const struct wire_heartbeat_request *q);
void coord_leave(struct coord *c, struct coord_call *call, const struct wire_leave_group_request *q,
                 struct wire_leave_group_response *out);
/* One group; fills everything but authorized_operations. */
void coord_describe(struct coord *c, struct coord_call *call, struct wire_str group,
                    struct wire_describe_groups_response_described_group *out);
/* Groups of loaded slots that match the filters; error_code COORDINATOR_LOAD_IN_PROGRESS while slots of this broker are
 * loading. */
void coord_list(struct coord *c, struct coord_call *call, const struct wire_list_groups_request *q,
                struct wire_list_groups_response *out);
/* DeleteGroups: waits until the deletions are applied; the group's offsets go with it. */
int32_t coord_delete(struct coord *c, struct coord_call *call, const struct wire_delete_groups_request *q,
                     struct wire_delete_groups_response *out);

/* ---- for offsets ---- */

/* May this member, or a client that is none (generation < 0), commit offsets of the group? 0 or a Kafka code. A member
 * is alive by it, as by a heartbeat; a simple commit makes an empty group. *epoch is the slot's, for OFFSETS_COMMIT. */
struct coord_commit {
    struct wire_str group, member_id, instance_id;
    int32_t generation;
    bool transactional; /* TxnOffsetCommit */
    int16_t version;
};
int16_t coord_check_commit(struct coord *c, const struct coord_commit *q, int64_t *epoch);
/* OffsetDelete: 0, GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP or a slot's code. */
int16_t coord_check_offset_delete(struct coord *c, struct wire_str group, int64_t *epoch);
/* A group of protocol type "consumer" whose members say by their subscriptions whether they read the topic. Members
 * whose subscription cannot be read count as reading everything. */
bool coord_has_live_subscription(struct coord *c, struct wire_str group, struct wire_str topic);

/* What offset expiry must know of a group. */
struct coord_group_view {
    bool known;               /* there is such a group */
    bool empty, dead;         /* no members, and none on their way in; being deleted */
    bool subscriptions_known; /* members' topics can be told: coord_has_live_subscription decides topic by topic */
    bool simple;              /* no protocol type: offsets expire by their commit time */
    int64_t state_since_ms;   /* wall clock of the change to the present state; -1 unknown */
    int64_t slot_epoch;
    int32_t generation;
};
/* 0 or a slot's code. */
int16_t coord_view(struct coord *c, struct wire_str group, struct coord_group_view *out);
/* Expiry removed the last offset of an empty group: the group goes too if it is still empty (GROUP_DELETE). */
void coord_offsets_gone(struct coord *c, struct wire_str group);

/* ---- figures ---- */

struct coord_stats {
    uint64_t groups, empty, preparing, completing, stable, dead;
    uint64_t members;
    uint64_t rebalances; /* generations completed by this broker since the start */
};
void coord_stats_get(struct coord *c, struct coord_stats *out);

#endif
