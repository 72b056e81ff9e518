/* cmd.h: the table of commands and the envelope around them. Apply is a function of the state and the command alone. */
#ifndef CHRONIK_META_CMD_H
#define CHRONIK_META_CMD_H

#include "meta/state.h"

/* Apply fills this; text lives in st->arena. */
struct meta_outcome {
    int16_t code;
    uint16_t n_values;
    int64_t values[META_RESULT_VALUES];
    const char *text;     /* NULL: none */
    const int16_t *codes; /* one for each part of the command, in st->arena; NULL: none differs from `code` */
    uint32_t n_codes;
};

struct meta_cmd_def {
    uint16_t type;
    uint8_t version;   /* the newest that this binary knows and writes; it reads 1..version */
    int16_t min_level; /* of metadata.version finalised in the state; 0: always */
    const char *name;  /* of the JSON record */
    void (*encode)(const struct meta_command *c, struct meta_buf *b);
    /* Borrows from the bytes; arrays in the arena. The reader's `bad` says whether it made sense. */
    void (*decode)(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c);
    void (*apply)(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out);
    /* Members of the value object; secrets are never written. */
    void (*json)(const struct meta_command *c, struct meta_buf *b);
    /* The record's key: the object's name or id, as JSON members. */
    void (*json_key)(const struct meta_command *c, struct meta_buf *b);
};

const struct meta_cmd_def *meta_cmd_def(uint64_t type); /* NULL: unknown */

extern const struct meta_cmd_def meta_cmd_cluster_form, meta_cmd_feature_set;
extern const struct meta_cmd_def meta_cmd_broker_register, meta_cmd_broker_update, meta_cmd_broker_unregister;
extern const struct meta_cmd_def meta_cmd_topic_create, meta_cmd_topic_delete, meta_cmd_partitions_add,
    meta_cmd_topics_removed;
extern const struct meta_cmd_def meta_cmd_partition_change, meta_cmd_config_set, meta_cmd_producer_ids;
extern const struct meta_cmd_def meta_cmd_group_set, meta_cmd_group_delete, meta_cmd_coord_slot;
extern const struct meta_cmd_def meta_cmd_offsets_commit, meta_cmd_offsets_delete;
extern const struct meta_cmd_def meta_cmd_fence, meta_cmd_open, meta_cmd_unfence;

/* For apply functions: code with a sentence. */
void meta_refuse(struct meta_state *st, struct meta_outcome *out, int16_t code, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Shared pieces of the families. */
void cmd_enc_kvs(struct meta_buf *b, const struct meta_kv *e, uint32_t n);
struct meta_kv *cmd_dec_kvs(struct meta_rd *r, struct arena *a, uint32_t *n);
void cmd_json_kvs(struct meta_buf *b, const struct meta_kv *e, uint32_t n);
void cmd_enc_assignments(struct meta_buf *b, const struct meta_assignment *a, uint32_t n);
struct meta_assignment *cmd_dec_assignments(struct meta_rd *r, struct arena *a, uint32_t *n);
void cmd_json_assignments(struct meta_buf *b, const struct meta_assignment *a, uint32_t n);
int32_t *cmd_dec_ints(struct meta_rd *r, struct arena *a, uint32_t *n);
void cmd_enc_ints(struct meta_buf *b, const int32_t *v, uint32_t n);
void cmd_enc_ids(struct meta_buf *b, const struct chronik_uuid *v, uint32_t n);
struct chronik_uuid *cmd_dec_ids(struct meta_rd *r, struct arena *a, uint32_t *n);
/* Sorts by key, refuses doubles and (unless may_delete) missing values; the sorted copy in the arena or NULL. */
struct meta_kv *cmd_sorted_kvs(struct meta_state *st, const struct meta_kv *e, uint32_t n, bool may_delete,
                               struct meta_outcome *out);
/* Sets partitions [first, first + n) of an owned topic from assignments; false and an outcome when one is not valid. */
bool cmd_assign_check(struct meta_state *st, const struct meta_assignment *a, uint32_t n, struct meta_outcome *out);
void cmd_assign_apply(struct meta_state *st, struct meta_topic *t, int32_t first, const struct meta_assignment *a,
                      uint32_t n);
/* Hands partition p on when broker `id` may not lead or be in sync any more; false when nothing had to change. */
bool cmd_partition_leave(struct meta_state *st, const struct meta_topic **t, int32_t p, int32_t id);

void cmd_enc_owner(struct meta_buf *b, const struct meta_owner *o);
struct meta_owner cmd_dec_owner(struct meta_rd *r);
void cmd_json_owner(struct meta_buf *b, const struct meta_owner *o);
/* KAFKA_NONE, or NOT_COORDINATOR when the slot has another epoch. */
int16_t cmd_owner_check(const struct meta_state *st, const struct meta_owner *o);
struct meta_span cmd_dec_text(struct meta_rd *r); /* its bytes are followed by a NUL */

/* ---- the envelope ---- */

struct meta_envelope {
    uint8_t klass;
    int32_t node;
    struct chronik_uuid incarnation;
    uint64_t number, lowest; /* lowest number still open at the proposer, <= number */
    uint32_t n_commands;
};

/* One encoded command: length, type, version, timestamp, body. */
void meta_cmd_encode(const struct meta_command *c, struct meta_buf *b);
/* The head of an entry; the commands' bytes follow it. */
void meta_envelope_encode(const struct meta_envelope *e, struct meta_buf *b);
bool meta_envelope_decode(struct meta_rd *r, struct meta_envelope *e);
/* Takes the next command off an entry. -1: malformed; 0: unknown type or version (*type, *version say which); 1: done.
 */
int meta_cmd_decode(struct meta_rd *r, struct arena *a, struct meta_command *c, uint64_t *type, uint8_t *version);

enum meta_verdict {
    META_APPLIED, /* results are new */
    META_REPEAT,  /* the number was applied before; the stored results are given when they are still kept */
    META_GAP,     /* an earlier number of this proposer is missing: propose again */
    META_STALE,   /* an old incarnation */
    META_FENCED,  /* behind FENCE */
    META_STOP,    /* malformed or unknown: nothing was applied, nothing later may be */
};

struct meta_entry_result {
    struct meta_envelope env;
    uint64_t first_seq;        /* of the first command, when applied */
    struct meta_outcome *outs; /* env.n_commands of them, in st->arena; NULL for a REPEAT whose results are gone */
    char why[192];             /* STOP */
};

/* Applies one entry of the log. st->arena is used and not reset. */
enum meta_verdict meta_apply_entry(struct meta_state *st, const void *data, size_t n, struct meta_entry_result *out);

/* One sentence naming the first unknown command's type and version goes to `why`. */
#endif
