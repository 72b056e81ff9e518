/* command.h: the commands of the metadata state machine, as their proposer fills them in. A command is logical and
 * deterministic: it carries every timestamp and random id it needs. These structs only borrow: what they point to must
 * stay valid until meta_propose returns (it encodes at once). One file a family (cmd_*.c) has encode, apply and JSON
 * side by side; docs/formats.md has the bytes. */
#ifndef CHRONIK_META_COMMAND_H
#define CHRONIK_META_COMMAND_H

#include <chronik/base.h>

#include "base/base.h"
#include "meta/image.h"
#include "wire/codes.h"

/* Type numbers are for ever: they are in logs. */
enum meta_command_type {
    META_CMD_CLUSTER_FORM = 1,
    META_CMD_FEATURE_SET = 2,
    META_CMD_BROKER_REGISTER = 10,
    META_CMD_BROKER_UPDATE = 11,
    META_CMD_BROKER_UNREGISTER = 12,
    META_CMD_TOPIC_CREATE = 20,
    META_CMD_TOPIC_DELETE = 21,
    META_CMD_PARTITIONS_ADD = 22,
    META_CMD_TOPICS_REMOVED = 23,
    META_CMD_PARTITION_CHANGE = 24,
    META_CMD_CONFIG_SET = 30,
    META_CMD_PRODUCER_IDS = 40,
    META_CMD_FENCE = 50,
    META_CMD_OPEN = 51,
    META_CMD_UNFENCE = 52,
    META_CMD_GROUP_SET = 60,
    META_CMD_GROUP_DELETE = 61,
    META_CMD_OFFSETS_COMMIT = 62,
    META_CMD_OFFSETS_DELETE = 63,
    META_CMD_COORD_SLOT = 64,
};

/* Kafka's config resource types. */
enum { META_RES_TOPIC = 2, META_RES_BROKER = 4, META_RES_CLIENT_METRICS = 16, META_RES_GROUP = 32 };

/* A setting: value NULL deletes it (only in META_CMD_CONFIG_SET). */
struct meta_kv {
    const char *key;
    const char *value;
    bool secret; /* never shown in __meta */
};

/* The first replica is the preferred leader. dirs: n_replicas directory ids, or NULL for unassigned. */
struct meta_assignment {
    const int32_t *replicas;
    const struct chronik_uuid *dirs;
    uint32_t n_replicas;
};

/* Once in a cluster's life. Refused with INCONSISTENT_CLUSTER_ID when another id stands; the same id is a no-op. */
struct meta_cluster_form {
    struct chronik_uuid cluster_id;
};

struct meta_feature_set {
    const char *name;
    int16_t level; /* 0 removes it */
    bool downgrade;
};

struct meta_endpoint {
    const char *listener; /* "PLAINTEXT" */
    const char *host;
    uint16_t port;
    uint16_t security; /* Kafka's protocol id: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL */
};

/* A new incarnation of a broker. Raises the leader epoch of every partition it leads; values[0] = broker epoch. */
struct meta_broker_register {
    int32_t id;
    struct chronik_uuid incarnation;
    uint64_t boot;    /* the broker row's boot + 1; a number not above the row's is refused with STALE_BROKER_EPOCH */
    const char *rack; /* NULL: none */
    const struct meta_endpoint *endpoints;
    uint32_t n_endpoints;
    const struct chronik_uuid *dirs;
    uint32_t n_dirs;
    bool unclean; /* data may be missing that it had acknowledged: leaves every ISR that has another member */
    bool fenced;  /* registers fenced (a cluster's controller unfences it) */
};

struct meta_broker_update {
    int32_t id;
    int64_t epoch; /* must be the row's */
    int8_t fenced; /* -1 as it is, 0, 1. Fencing takes it out of leaderships and ISRs where others can take over */
    int8_t shutting_down; /* -1, 0, 1 */
    bool set_endpoints;
    const struct meta_endpoint *endpoints;
    uint32_t n_endpoints;
    bool set_dirs;
    const struct chronik_uuid *dirs;
    uint32_t n_dirs;
};

struct meta_broker_unregister {
    int32_t id;
};

/* TOPIC_ALREADY_EXISTS by name or id. Leaders: first replica that is an unfenced broker; ISR: the unfenced replicas. */
struct meta_topic_create {
    struct chronik_uuid id; /* random, never zero */
    const char *name;
    const struct meta_assignment *partitions;
    uint32_t n_partitions;
    const struct meta_kv *configs;
    uint32_t n_configs;
};

struct meta_topic_delete {
    struct chronik_uuid id; /* UNKNOWN_TOPIC_ID */
};

/* Appends partitions [first, first + n); INVALID_PARTITIONS unless first is the present count. */
struct meta_partitions_add {
    struct chronik_uuid id;
    int32_t first;
    const struct meta_assignment *partitions;
    uint32_t n_partitions;
};

/* The broker has removed all data of these deleted topics. */
struct meta_topics_removed {
    int32_t broker;
    const struct chronik_uuid *ids;
    uint32_t n_ids;
};

/* One partition's new state, compare-and-set on partition_epoch (-1: unconditional, for operators) and leader_epoch
 * (-1: not compared). A changed leader raises the leader epoch, every change raises the partition epoch.
 * values[0] = the new partition epoch, values[1] = the new leader epoch. */
struct meta_partition_change {
    struct chronik_uuid topic;
    int32_t partition;
    int32_t partition_epoch, leader_epoch; /* expected */
    int32_t leader;                        /* META_LEADER_KEEP, -1 none, or a member of isr */
    const int32_t *isr;                    /* NULL: as it is */
    uint32_t n_isr;
    const int32_t *replicas; /* NULL: as they are */
    uint32_t n_replicas;
    const struct chronik_uuid *dirs; /* NULL, or n_replicas (of the new or present replicas) */
};
#define META_LEADER_KEEP (-2)

struct meta_config_set {
    uint8_t type;     /* META_RES_ */
    const char *name; /* topic name, broker id in decimal or "" for the cluster's default, group id */
    const struct meta_kv *entries;
    uint32_t n_entries;
    bool replace; /* drop everything not named here (AlterConfigs) */
};

/* values[0] = first of `count` ids that nobody was given before. */
struct meta_producer_ids {
    int32_t broker;
    int64_t broker_epoch; /* -1: not compared */
    uint32_t count;
};

/* Cutover between metadata engines: nothing is applied behind FENCE in the log that it stands in, until UNFENCE. */
struct meta_fence {
    uint64_t next_epoch;
    const char *engine;
    struct chronik_uuid nonce;
};
struct meta_open {
    struct chronik_uuid nonce;
};
struct meta_unfence {
    uint64_t epoch;
    struct chronik_uuid nonce;
};

/* ---- groups and their offsets: core/coord and the handlers of core/api ----
 * A group belongs to a coordinator slot, and a slot to a broker under an epoch (META_CMD_COORD_SLOT; a slot that was
 * never claimed has epoch 0). Every command about a group names both as its proposer believes them to be; apply refuses
 * another epoch with NOT_COORDINATOR. Group ids are texts without NUL of at most META_GROUP_ID_MAX bytes. */

struct meta_owner {
    int32_t slot;
    int64_t epoch;
};

/* The group as of a completed generation. No members: Empty since state_ms. Refused with ILLEGAL_GENERATION when the
 * state has a later generation; the same generation may be written again (a static member that came back). */
struct meta_group_set {
    struct meta_owner owner;
    struct meta_group group; /* image.h */
};

/* Removes a group and all of its offsets. NON_EMPTY_GROUP while it has members; GROUP_ID_NOT_FOUND. */
struct meta_group_delete {
    struct meta_owner owner;
    const char *group;
    bool if_unused; /* only a group without offsets (else NON_EMPTY_GROUP): the sweep of empty groups */
};

/* A text or bytes with a length; a text holds no NUL, and none need follow it. */
struct meta_span {
    const void *p;
    uint32_t n;
};

struct meta_commit_partition {
    int32_t partition;
    int32_t leader_epoch; /* -1 unknown */
    int64_t offset;
    int64_t expire_ms; /* -1: by the retention of the broker */
    struct meta_span metadata;
};

struct meta_commit_topic {
    struct chronik_uuid id; /* a topic that is gone by then: its offsets are dropped, as if it went a moment later */
    struct meta_span name;
    const struct meta_commit_partition *partitions;
    uint32_t n_partitions;
};

/* What one request commits. The commit time is the command's timestamp. */
struct meta_commit {
    struct meta_owner owner;
    struct meta_span group;
    int32_t generation; /* -1: a simple commit, refused with UNKNOWN_MEMBER_ID while the group has members */
    const struct meta_commit_topic *topics;
    uint32_t n_topics;
};

/* Many groups share a command: the result's `codes` has one code a commit. A generation older than the group's gives
 * ILLEGAL_GENERATION, as does a generation of a group that is not there. A simple commit makes the group when there is
 * none (generation 0, no protocol type, Empty). */
struct meta_offsets_commit {
    const struct meta_commit *commits;
    uint32_t n_commits;
};

struct meta_offset_key {
    struct chronik_uuid topic;
    struct meta_span name; /* for __meta */
    int32_t partition;
    int64_t commit_ms; /* expiry: only when this is still the commit's time, so that a newer one stays; -1: any */
};

/* Partitions without an offset are passed over. GROUP_ID_NOT_FOUND. */
struct meta_offsets_delete {
    struct meta_owner owner;
    struct meta_span group;
    const struct meta_offset_key *keys;
    uint32_t n_keys;
};

/* Slot `slot` is the broker's from now on. `epoch` must be above the slot's: NOT_COORDINATOR. */
struct meta_coord_slot {
    int32_t slot;
    int32_t broker;
    int64_t epoch;
};

struct meta_command {
    enum meta_command_type type;
    int64_t timestamp_ms; /* wall clock; 0: meta_propose fills it in */
    union {
        struct meta_cluster_form cluster_form;
        struct meta_feature_set feature_set;
        struct meta_broker_register broker_register;
        struct meta_broker_update broker_update;
        struct meta_broker_unregister broker_unregister;
        struct meta_topic_create topic_create;
        struct meta_topic_delete topic_delete;
        struct meta_partitions_add partitions_add;
        struct meta_topics_removed topics_removed;
        struct meta_partition_change partition_change;
        struct meta_config_set config_set;
        struct meta_producer_ids producer_ids;
        struct meta_fence fence;
        struct meta_open open;
        struct meta_unfence unfence;
        struct meta_group_set group_set;
        struct meta_group_delete group_delete;
        struct meta_offsets_commit offsets_commit;
        struct meta_offsets_delete offsets_delete;
        struct meta_coord_slot coord_slot;
    } u;
};

#define META_RESULT_VALUES 4

/* What became of a command. Text is one sentence when code != KAFKA_NONE. */
struct meta_result {
    int16_t code; /* enum kafka_code */
    uint16_t n_values;
    uint64_t seq; /* of the command, 0 when it was not applied */
    int64_t values[META_RESULT_VALUES];
    const char *text; /* borrowed for the call; "" when there is nothing to say */
    /* OFFSETS_COMMIT: a code for each commit, borrowed; NULL: all of them as `code` says. */
    const int16_t *codes;
    uint32_t n_codes;
};

#endif
