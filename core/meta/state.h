/* state.h: the metadata state machine's data: rows of bytes for the digest, the checkpoint and snapshots, and the
 * objects that readers see. One writer, the apply executor; nothing here does input or output, reads a clock or draws a
 * number.
 *
 * Rows (key -> value); the first byte of a key is the family:
 *   A name                      a single fact (cluster, producer-ids, engine, features-epoch)
 *   B be32 id                   a broker
 *   C type name                 dynamic settings of a resource that is not a topic
 *   D uuid                      a deleted topic and the brokers that may still hold data of it
 *   F name                      a finalised feature
 *   G group, NUL                a group: its last completed generation (group_rows.c)
 *   O group, NUL, uuid be32     a committed offset of it, by topic id and partition
 *   P be32 node, uuid, class    a proposer: the number it must use next
 *   R same, be64 number         the results of an entry, until the proposer says that it has them
 *   S be32 slot                 a coordinator slot: whose it is, under which epoch
 *   T uuid                      a topic with its settings
 *   T uuid be32 partition       a partition
 * Values begin with a format byte. The digest is the sum over all rows of a 128-bit hash of key and value. */
#ifndef CHRONIK_META_STATE_H
#define CHRONIK_META_STATE_H

#include <chronik/meta.h>

#include "base/arena.h"
#include "meta/buf.h"
#include "meta/command.h"
#include "meta/image.h"
#include "meta/mem.h"
#include "meta/meta.h"
#include "meta/tree.h"

/* A row whose object is its bytes. */
struct meta_row {
    uint64_t born;
    uint64_t hash[2];
    uint16_t klen;
    uint32_t vlen;
    uint8_t data[]; /* key, value */
};

/* The public objects with the key that their tree orders them by. */
struct broker_obj {
    struct meta_broker pub;
    uint8_t key[8]; /* 4 used */
};

struct configs_obj {
    struct meta_configs pub;
    const uint8_t *key; /* type, name */
    uint16_t klen;
};

/* Which groups have offsets of a topic: not a row, but made from the O rows, for the topic's deletion. */
struct topic_user {
    uint64_t born;
    uint32_t n_offsets;
    uint16_t klen;
    uint8_t key[]; /* topic id, group */
};

struct meta_image {
    struct tree by_name, by_id, brokers, configs, rows, users;
    uint64_t seq;
    struct chronik_meta_pos pos; /* of the entry that `seq` came from or a later one without commands */
    uint64_t digest[2];
    uint64_t n_rows; /* in the sense of the table above */
    uint64_t n_partitions, n_groups, n_offsets;
    int64_t features_epoch;
    int64_t producer_next; /* the next producer id that nobody has */
    struct chronik_uuid cluster_id;
    bool fenced; /* by FENCE, until OPEN or UNFENCE */
    uint64_t engine_epoch;
    int32_t controller; /* of this node's view: not part of the state */
    uint32_t n_deleted;
};

struct meta_state {
    struct meta_mem *mem;
    struct meta_image img; /* what the next publication shows */
    /* Rows changed since the last take: put = key, value; delete = key. For the checkpoint. */
    struct meta_buf delta;
    bool want_delta;
    struct meta_change *changes; /* since the last publication; names are copies */
    uint32_t n_changes, cap_changes;
    struct meta_buf kbuf, vbuf; /* scratch of the row encoder */
    struct arena arena;         /* lives for one batch: decoded commands, results, texts */
};

/* value bytes behind a delta record's key: length + 1, or 0 for a deletion */
void meta_state_init(struct meta_state *st, struct meta_mem *mem);
/* Retires all objects; the state is empty again. */
void meta_state_clear(struct meta_state *st);
void meta_state_free(struct meta_state *st);
/* A copy of st->img in image memory becomes current; changes are then reported by the caller and cleared. */
const struct meta_image *meta_state_publish(struct meta_state *st);
void meta_state_changes_clear(struct meta_state *st);
void meta_state_note(struct meta_state *st, enum meta_change_kind kind, const struct chronik_uuid *topic,
                     const char *name, int32_t broker, uint8_t res_type);

/* ---- changing it (apply only) ---- */
const struct meta_row *meta_row_get(const struct meta_image *i, const void *key, size_t n);
static inline const uint8_t *meta_row_value(const struct meta_row *r)
{
    return r->data + r->klen;
}
/* true: there was one with this key before. */
bool meta_row_put(struct meta_state *st, const void *key, size_t kn, const void *value, size_t vn);
bool meta_row_del(struct meta_state *st, const void *key, size_t kn);

/* Makes the topic with all its partitions (leaderless until set) and notes the change. */
struct meta_topic *meta_topic_add(struct meta_state *st, const struct chronik_uuid *id, const char *name,
                                  int64_t created_ms, uint32_t n_partitions, const struct meta_configs *configs);
void meta_topic_remove(struct meta_state *st, const struct meta_topic *t);
/* A version of the topic that may be changed in this batch, with room for n partitions. */
struct meta_topic *meta_topic_own(struct meta_state *st, const struct meta_topic *t, int32_t n_partitions);
/* Replaces (or sets) one partition; the arguments are copied. `t` must be owned. */
struct meta_partition_new {
    int32_t leader, leader_epoch, partition_epoch;
    const int32_t *replicas, *isr;
    const struct chronik_uuid *dirs;
    uint32_t n_replicas, n_isr;
};
void meta_partition_set(struct meta_state *st, struct meta_topic *t, int32_t p, const struct meta_partition_new *n);
void meta_topic_row(struct meta_state *st, struct meta_topic *t); /* after settings or the count changed */
void meta_topic_set_configs(struct meta_state *st, struct meta_topic *t, const struct meta_configs *c);
void meta_configs_put(struct meta_state *st, struct meta_configs *c); /* a resource; empty: removes it */
/* Entries sorted by key, values not NULL; everything is copied. */
struct meta_configs *meta_configs_new(struct meta_state *st, uint8_t type, const char *name,
                                      const struct meta_kv *entries, uint32_t n);
struct meta_broker_new {
    int32_t id;
    bool fenced, shutting_down;
    struct chronik_uuid incarnation;
    uint64_t boot;
    int64_t epoch, registered_ms;
    const char *rack;
    const struct meta_endpoint *endpoints;
    uint32_t n_endpoints;
    const struct chronik_uuid *dirs;
    uint32_t n_dirs;
};
void meta_broker_put(struct meta_state *st, const struct meta_broker_new *b);
void meta_broker_remove(struct meta_state *st, const struct meta_broker *b);
/* The broker's fields in the form that meta_broker_put takes; endpoints in st->arena. */
struct meta_broker_new meta_broker_copy(struct meta_state *st, const struct meta_broker *b);

/* ---- groups and offsets: rows with a meaning (group_rows.c) ---- */
void meta_group_put(struct meta_state *st, const struct meta_group *g);
void meta_group_remove(struct meta_state *st, const char *group); /* with its offsets */
void meta_offset_put(struct meta_state *st, const char *group, size_t n, const struct meta_offset *o);
bool meta_offset_remove(struct meta_state *st, const char *group, size_t n, const struct chronik_uuid *topic,
                        int32_t partition);
/* All groups' offsets of a topic that is going. */
void meta_offsets_drop_topic(struct meta_state *st, const struct chronik_uuid *topic);
void meta_enc_member(struct meta_buf *v, const struct meta_member *m);
void meta_dec_member(struct meta_rd *r, struct meta_member *m); /* borrows */
void meta_slot_put(struct meta_state *st, int32_t slot, const struct meta_slot *s);
/* Restoring: is this G, O or S row one that the lookups can read? */
bool meta_group_row_ok(struct meta_state *st, const uint8_t *key, size_t kn, const void *value, size_t vn);
/* Counts and the index by topic, after a row of these families came or went. */
void meta_group_row_note(struct meta_state *st, const uint8_t *key, size_t kn, bool came);

/* ---- rows: for checkpoint, snapshot, digest ---- */
typedef void (*meta_row_fn)(void *arg, const void *key, size_t kn, const void *value, size_t vn);
/* Every row, in an order that is the same for equal states. `scratch` must be zeroed before first use. */
void meta_image_rows(const struct meta_image *i, meta_row_fn fn, void *arg);
/* Adds one row to an empty or growing state; false: it makes no sense. Finish with meta_restore_end. */
bool meta_restore_row(struct meta_state *st, const void *key, size_t kn, const void *value, size_t vn);
/* false: rows are missing (a topic without one of its partitions). */
bool meta_restore_end(struct meta_state *st);
void meta_row_hash(const void *key, size_t kn, const void *value, size_t vn, uint64_t out[2]);
/* Digest of all rows, computed anew. */
void meta_image_digest(const struct meta_image *i, uint64_t out[2]);

/* encoders of the typed rows (rows.c) */
void meta_enc_topic(const struct meta_topic *t, struct meta_buf *k, struct meta_buf *v);
void meta_enc_partition(const struct meta_topic *t, int32_t p, const struct meta_partition *x, struct meta_buf *k,
                        struct meta_buf *v);
void meta_enc_broker(const struct meta_broker *b, struct meta_buf *k, struct meta_buf *v);
void meta_enc_configs(const struct meta_configs *c, struct meta_buf *k, struct meta_buf *v);

/* In the head byte of a kept result (R rows): how many values follow, and whether codes and a text do. */
enum { META_RESULT_N = 0x3f, META_RESULT_CODES = 0x40, META_RESULT_TEXT = 0x80 };

/* facts with a row of their own */
void meta_fact_put(struct meta_state *st, const char *name); /* writes the row from st->img */
#define META_FACT_CLUSTER   "Acluster"
#define META_FACT_PRODUCERS "Aproducer-ids"
#define META_FACT_FEATURES  "Afeatures-epoch"
#define META_FACT_ENGINE    "Aengine"

#endif
