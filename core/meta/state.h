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
 *   P be32 node, uuid, class    a proposer: the number it must use next
 *   R same, be64 number         the results of an entry, until the proposer says that it has them
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

struct meta_image {
    struct tree by_name, by_id, brokers, configs, rows;
    uint64_t seq;
    struct chronik_meta_pos pos; /* of the entry that `seq` came from or a later one without commands */
    uint64_t digest[2];
    uint64_t n_rows; /* in the sense of the table above */
    uint64_t n_partitions;
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
void meta_row_put(struct meta_state *st, const void *key, size_t kn, const void *value, size_t vn);
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

/* facts with a row of their own */
void meta_fact_put(struct meta_state *st, const char *name); /* writes the row from st->img */
#define META_FACT_CLUSTER   "Acluster"
#define META_FACT_PRODUCERS "Aproducer-ids"
#define META_FACT_FEATURES  "Afeatures-epoch"
#define META_FACT_ENGINE    "Aengine"

#endif
