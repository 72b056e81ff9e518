/* image.h: what readers see of the metadata: an immutable image, replaced as a whole after each applied batch. Every
 * object is immutable too, and valid from meta_enter to meta_leave of the reader that found it (meta.h). Nothing here
 * locks, allocates or waits; any thread with a reader of its own may call it. */
#ifndef CHRONIK_META_IMAGE_H
#define CHRONIK_META_IMAGE_H

#include <chronik/base.h>

#include "base/arena.h"
#include "base/base.h"

struct meta_image;

/* Sorted by key. */
struct meta_config_entry {
    const char *key, *value;
    bool secret;
};

struct meta_configs {
    uint64_t born; /* meta: */
    uint64_t hash[2];
    uint32_t n;
    uint8_t type; /* META_RES_; 0 for a topic's own list */
    const char *name;
    const struct meta_config_entry *entries;
};

struct meta_partition {
    uint64_t born; /* meta: */
    uint64_t hash[2];
    int32_t leader; /* broker id, -1 none */
    int32_t leader_epoch, partition_epoch;
    uint16_t n_replicas, n_isr;
    const int32_t *replicas, *isr;
    const struct chronik_uuid *dirs; /* n_replicas directory ids (zero: unassigned), or NULL */
};

struct meta_topic {
    uint64_t born; /* meta: */
    uint64_t hash[2];
    struct chronik_uuid id;
    int64_t created_ms;
    int32_t n_partitions;
    uint16_t name_len;
    bool internal;    /* __consumer_offsets and the like */
    const char *name; /* NUL-terminated */
    const struct meta_partition *const *partitions;
    const struct meta_configs *configs; /* never NULL */
};

struct meta_broker_endpoint {
    const char *listener, *host;
    uint16_t port, security;
};

struct meta_broker {
    uint64_t born; /* meta: */
    uint64_t hash[2];
    int32_t id;
    bool fenced, shutting_down;
    struct chronik_uuid incarnation;
    uint64_t boot;
    int64_t epoch;
    int64_t registered_ms;
    const char *rack; /* NULL: none */
    uint32_t n_endpoints, n_dirs;
    const struct meta_broker_endpoint *endpoints;
    const struct chronik_uuid *dirs;
};

struct meta_feature {
    const char *name;
    int16_t level;
};

/* Member of a completed generation. */
struct meta_member {
    const char *id;
    const char *instance; /* group.instance.id, NULL: a dynamic member */
    const char *client_id, *client_host;
    int32_t rebalance_timeout_ms, session_timeout_ms;
    const void *subscription, *assignment; /* for the group's protocol; opaque here */
    uint32_t n_subscription, n_assignment;
};

enum { META_GROUP_ID_MAX = 400 }; /* bytes: group and topic id must fit a key of the checkpoint */

/* A classic group. One that only ever had simple commits has no protocol type and generation 0. */
struct meta_group {
    const char *id;
    const char *protocol_type; /* NULL: none */
    const char *protocol;      /* NULL: none chosen (Empty) */
    const char *leader;        /* member id, NULL: none */
    int32_t generation;
    int64_t state_ms; /* when the group became what it is: of an Empty one, since when it is */
    uint32_t n_members;
    const struct meta_member *members;
};

struct meta_offset {
    struct chronik_uuid topic;
    int32_t partition;
    int32_t leader_epoch; /* -1 unknown */
    int64_t offset;
    int64_t commit_ms, expire_ms; /* expire_ms -1: by the retention of the broker */
    const char *metadata;         /* n_metadata bytes and a NUL */
    uint32_t n_metadata;
};

struct meta_slot {
    int32_t broker; /* -1: never claimed */
    int64_t epoch;
};

/* ---- single objects: NULL when there is none ---- */
const struct meta_topic *meta_topic_by_name(const struct meta_image *i, const char *name, size_t n);
const struct meta_topic *meta_topic_by_id(const struct meta_image *i, const struct chronik_uuid *id);
const struct meta_partition *meta_partition_of(const struct meta_topic *t, int32_t partition);
const struct meta_broker *meta_broker_by_id(const struct meta_image *i, int32_t id);
/* A broker that is registered and not fenced. */
bool meta_broker_alive(const struct meta_image *i, int32_t id);
const struct meta_broker_endpoint *meta_broker_listener(const struct meta_broker *b, const char *listener);
/* All dynamic settings of a resource; a topic's by its name. "" is the default of all brokers. */
const struct meta_configs *meta_configs_of(const struct meta_image *i, uint8_t type, const char *name, size_t n);
const char *meta_config_get(const struct meta_configs *c, const char *key); /* c may be NULL */
/* The id was deleted, and its hosts have not all confirmed. */
bool meta_topic_was_deleted(const struct meta_image *i, const struct chronik_uuid *id);
int16_t meta_feature_level(const struct meta_image *i, const char *name); /* 0: not finalised */

/* Groups and offsets are kept as bytes: these fill `out`, whose texts and bytes are the image's. false: none. */
/* `a` takes the array of members; NULL: members stays NULL, only n_members is right. */
bool meta_group_get(const struct meta_image *i, const char *group, size_t n, struct arena *a, struct meta_group *out);
bool meta_offset_get(const struct meta_image *i, const char *group, size_t n, const struct chronik_uuid *topic,
                     int32_t partition, struct meta_offset *out);
struct meta_slot meta_slot_of(const struct meta_image *i, int32_t slot);

/* ---- whole sets, in order of name or id ---- */
/* A cursor lives on the caller's stack between enter and leave. */
struct meta_cursor {
    const void *node[16];
    uint16_t at[16];
    int depth;
};

/* The first topic with a name >= from (NULL: the first of all), then the next ones; NULL at the end. */
const struct meta_topic *meta_topics_from(const struct meta_image *i, struct meta_cursor *c, const char *from,
                                          size_t n);
const struct meta_topic *meta_topics_next(struct meta_cursor *c);
const struct meta_broker *meta_brokers_first(const struct meta_image *i, struct meta_cursor *c);
const struct meta_broker *meta_brokers_next(struct meta_cursor *c);
/* Resources with dynamic settings other than topics, by type and name. */
const struct meta_configs *meta_configs_first(const struct meta_image *i, struct meta_cursor *c);
const struct meta_configs *meta_configs_next(struct meta_cursor *c);
/* Every group (one with offsets has a group, too), in order of ids. `a` as in meta_group_get. */
bool meta_groups_first(const struct meta_image *i, struct meta_cursor *c, struct arena *a, struct meta_group *out);
bool meta_groups_next(struct meta_cursor *c, struct arena *a, struct meta_group *out);
/* The first group whose id is >= from. */
bool meta_groups_from(const struct meta_image *i, struct meta_cursor *c, const char *from, size_t n, struct arena *a,
                      struct meta_group *out);
/* All offsets of a group, by topic id and partition. */
bool meta_offsets_first(const struct meta_image *i, struct meta_cursor *c, const char *group, size_t n,
                        struct meta_offset *out);
bool meta_offsets_next(struct meta_cursor *c, const char *group, size_t n, struct meta_offset *out);
/* Fills out[0..max) with the finalised features; returns how many there are. Names live as long as the image. */
uint32_t meta_features(const struct meta_image *i, struct meta_feature *out, uint32_t max);

/* ---- scalars ---- */
struct chronik_uuid meta_cluster_id(const struct meta_image *i); /* zero until formed */
int32_t meta_controller_id(const struct meta_image *i);          /* -1 unknown */
uint64_t meta_image_seq(const struct meta_image *i);             /* number of the last applied command */
int64_t meta_features_epoch(const struct meta_image *i);         /* seq of the last feature change, -1 none */
uint64_t meta_topic_count(const struct meta_image *i);
uint64_t meta_partition_count(const struct meta_image *i);
uint64_t meta_group_count(const struct meta_image *i);
uint64_t meta_offset_count(const struct meta_image *i);
uint32_t meta_broker_count(const struct meta_image *i);

/* Names of Kafka's own topics. Here groups and offsets are metadata: such a topic only exists when somebody makes it.
 */
bool meta_topic_name_internal(const char *name, size_t n);

static inline bool meta_uuid_eq(const struct chronik_uuid *a, const struct chronik_uuid *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

static inline bool meta_uuid_zero(const struct chronik_uuid *a)
{
    static const struct chronik_uuid none;
    return meta_uuid_eq(a, &none);
}

#endif
