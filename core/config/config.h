/* config.h: the settings of this node. Their names, types, defaults and rules come from one table (settings.tsv); their
 * values from flags, the environment, a server.properties file and, while running, from dynamic changes in metadata.
 *
 * Life: config_new -> config_register_keys (modules) -> config_read_* (raw pairs) -> config_finish (checks everything).
 * After config_finish the getters may be called from any thread without a lock: a value is swapped atomically, and
 * strings live as long as the config (they are interned, also after a dynamic change). config_apply_dynamic is for one
 * thread at a time (the metadata apply executor). */
#ifndef CHRONIK_CONFIG_H
#define CHRONIK_CONFIG_H

#include <chronik/plugin.h>

#include "base/base.h"
#include "base/err.h"
#include "config/config_ids.h" /* generated: enum config_id {CFG_LOG_RETENTION_MS, TCFG_RETENTION_MS, GCFG_...} */

struct config;
struct os;

enum config_scope { CONFIG_BROKER = 1, CONFIG_TOPIC = 2, CONFIG_GROUP = 3 };

/* The numbers of DescribeConfigs' config_type. */
enum config_type {
    CONFIG_BOOLEAN = 1,
    CONFIG_STRING = 2,
    CONFIG_INT = 3,
    CONFIG_SHORT = 4,
    CONFIG_LONG = 5,
    CONFIG_DOUBLE = 6,
    CONFIG_LIST = 7,
    CONFIG_CLASS = 8,
    CONFIG_PASSWORD = 9,
};

/* Where a value comes from, weakest first. */
enum config_source {
    CONFIG_FROM_DEFAULT,
    CONFIG_FROM_FILE,
    CONFIG_FROM_ENV,
    CONFIG_FROM_FLAG,
    CONFIG_FROM_DYNAMIC_DEFAULT, /* altered for all brokers */
    CONFIG_FROM_DYNAMIC,         /* altered for this broker */
    CONFIG_FROM_TOPIC,
    CONFIG_FROM_GROUP,
};

/* What a start makes of a setting. */
enum config_acts {
    CONFIG_IGNORED, /* Kafka's, accepted, without effect here: named once at start */
    CONFIG_ACTS,    /* has effect */
    CONFIG_FATAL,   /* asks for security that is not there: the start is refused */
};

enum config_update { CONFIG_READ_ONLY, CONFIG_PER_BROKER, CONFIG_CLUSTER_WIDE };

/* One row of the table. All pointers are constant for the life of the config. */
struct config_setting {
    const char *name;
    const char *dflt;  /* as text; NULL: none (null on the wire) */
    const char *valid; /* the rule as Kafka's documentation words it; "" = any value of the type */
    const char *doc;   /* one or two sentences */
    int16_t id;        /* enum config_id; -1: a module's key */
    uint8_t scope, type, update, acts, importance; /* importance: 0 high, 1 medium, 2 low */
    bool sensitive;
};

/* ---- building ---- */

/* NULL when memory is exhausted. */
struct config *config_new(void);
void config_free(struct config *c);

/* Makes a module's keys valid, whether or not the module is loaded; `module` names it in messages. Before
 * config_finish. E_EXISTS when a key is taken, E_INVAL when the schema itself is malformed. */
int32_t config_register_keys(struct config *c, const char *module, const struct chronik_config_key *keys, uint32_t n,
                             uint32_t stride, struct err *e);

/* Java's properties format. `path` is for messages. E_INVAL with file:line for malformed escapes. */
int32_t config_read_text(struct config *c, const char *path, const char *text, size_t len, struct err *e);
/* Reads the file through the seam, then as above. */
int32_t config_read_file(struct config *c, struct os *os, const char *path, struct err *e);
/* envp: NULL-terminated "K=V". CHRONIK_LOG_RETENTION_MS is log.retention.ms, CHRONIK_META is chronik.meta; HOME and
 * XDG_STATE_HOME decide the default of log.dirs. Other variables are ignored. */
int32_t config_read_env(struct config *c, char *const *envp, struct err *e);
/* One flag: key and value as in a file. `flag` is for messages ("--override"). */
int32_t config_read_flag(struct config *c, const char *flag, const char *key, const char *value, struct err *e);
/* The value as read so far, before any check: for choosing modules early. NULL when not given anywhere. */
const char *config_raw(const struct config *c, const char *key);

struct config_finish_options {
    const char *hostname; /* advertised for a listener on all interfaces without advertised.listeners; may be NULL */
    bool allow_unknown;   /* unknown keys warn */
};
enum config_report_level { CONFIG_REPORT_ERROR, CONFIG_REPORT_WARNING };
/* Each problem is one sentence: where (file:line), key, reason, remedy or nearest key. */
typedef void (*config_report_fn)(void *arg, enum config_report_level level, const char *sentence);
/* Checks everything that was read; returns the number of errors. The getters need 0 errors. */
int config_finish(struct config *c, const struct config_finish_options *o, config_report_fn report, void *arg);

/* ---- reading: any thread ---- */

/* By id: the type must be one that the getter reads (asserted). A setting that is null reads as CONFIG_NONE. */
#define CONFIG_NONE INT64_MIN
int64_t config_i64(const struct config *c, enum config_id id); /* int, short, long */
bool config_bool(const struct config *c, enum config_id id);
double config_f64(const struct config *c, enum config_id id);
const char *config_str(const struct config *c, enum config_id id); /* any type, as text; NULL: null */
struct config_list {
    size_t n;
    const char *item[];
};
const struct config_list *config_list(const struct config *c, enum config_id id); /* never NULL */
bool config_list_has(const struct config_list *l, const char *item);

/* By name: broker keys and modules' keys. CHRONIK_DONE; E_NOTFOUND: unknown key; E_INVAL: another type or null.
 * Booleans read as 0 and 1. */
int32_t config_get_i64(const struct config *c, const char *key, int64_t *out);
int32_t config_get_str(const struct config *c, const char *key, const char **out);
enum config_source config_source_of(const struct config *c, enum config_id id);
/* "server.properties:12", "environment CHRONIK_LOG_DIRS", "--override", "default": for `chronik config show`. */
const char *config_origin(const struct config *c, const struct config_setting *s);

/* The row of a name, or NULL. Module keys count as broker keys. */
const struct config_setting *config_find(const struct config *c, enum config_scope scope, const char *name);
/* The nearest valid name by edit distance, or NULL when none is near. */
const char *config_nearest(const struct config *c, enum config_scope scope, const char *name);

/* ---- listeners: fixed at start ---- */

struct config_listener {
    const char *name;            /* "PLAINTEXT" */
    const char *host;            /* to bind: "127.0.0.1", "::1", "0.0.0.0", "::" */
    const char *advertised_host; /* what clients are told; NULL for controller listeners */
    uint16_t port;               /* 0: any */
    uint16_t advertised_port;    /* 0: the port that was bound */
    bool controller;             /* named in controller.listener.names: not opened for clients */
    bool optional;               /* the IPv6 twin of an IPv4 address: may fail where there is no IPv6 */
};
size_t config_listeners(const struct config *c, const struct config_listener **out);
/* "host:port" or "[v6]:port" for os_listen. */
void config_listener_address(const struct config_listener *l, char *buf, size_t n);

/* ---- checks of altered values: any thread; CHRONIK_DONE or a negative code with Kafka's wording ---- */

struct config_kv {
    const char *key;
    const char *value; /* NULL: null */
};

/* One pair. E_NOTFOUND: no such key in the scope; E_INVAL: the value breaks the key's rule. */
int32_t config_check(const struct config *c, enum config_scope scope, const char *key, const char *value,
                     struct err *e);
/* A topic's (or group's) whole set of overrides: each pair, then the rules between pairs. */
int32_t config_check_set(const struct config *c, enum config_scope scope, const struct config_kv *kv, size_t n,
                         struct err *e);
/* A change of the running broker; `cluster_default`: for the resource with the empty name. Refuses read-only keys and
 * per-broker keys in the default. value NULL (delete) is always fine for a dynamic key. */
int32_t config_check_dynamic(const struct config *c, bool cluster_default, const char *key, const char *value,
                             struct err *e);
/* The list that IncrementalAlterConfigs APPEND (add = true) or SUBTRACT makes of `current` (NULL: empty) and `change`:
 * malloc'ed text, NULL when memory is exhausted. Items keep their order; duplicates are not added. */
char *config_list_alter(const char *current, const char *change, bool add) MUST_CHECK;

/* ---- dynamic changes: the metadata apply executor ---- */

/* Sets or (value NULL) removes a dynamic value; an invalid one is refused and nothing changes. The hook runs inside. */
int32_t config_apply_dynamic(struct config *c, bool cluster_default, const char *key, const char *value, struct err *e);
/* Called after each effective change, on the caller's thread, with no lock held. At most CONFIG_MAX_HOOKS. */
#define CONFIG_MAX_HOOKS 16
typedef void (*config_changed_fn)(void *arg, const struct config_setting *s);
int32_t config_on_change(struct config *c, config_changed_fn fn, void *arg);
/* Grows with each dynamic change: a topic's effective config of an older version is stale. */
uint64_t config_version(const struct config *c);

/* ---- a topic's effective settings ---- */

enum config_codec { /* compression.type; the numbers of the record batch, -1: as the producer sent it */
                    CONFIG_CODEC_PRODUCER = -1,
                    CONFIG_CODEC_NONE = 0,
                    CONFIG_CODEC_GZIP = 1,
                    CONFIG_CODEC_SNAPPY = 2,
                    CONFIG_CODEC_LZ4 = 3,
                    CONFIG_CODEC_ZSTD = 4,
};

struct config_topic {
    int64_t retention_ms;    /* -1: no limit */
    int64_t retention_bytes; /* -1: no limit */
    int64_t segment_ms, segment_jitter_ms;
    int64_t flush_messages, flush_ms; /* INT64_MAX: never by this rule */
    int64_t delete_retention_ms, file_delete_delay_ms;
    int64_t timestamp_before_max_ms, timestamp_after_max_ms; /* INT64_MAX: no limit */
    int64_t min_compaction_lag_ms, max_compaction_lag_ms;
    double min_cleanable_dirty_ratio;
    int32_t segment_bytes, segment_index_bytes, index_interval_bytes;
    int32_t max_message_bytes; /* of a batch as it arrives */
    int32_t max_decompressed_message_bytes;
    int32_t min_insync_replicas;
    int32_t gzip_level, lz4_level, zstd_level;
    int8_t compression; /* enum config_codec */
    bool cleanup_delete, cleanup_compact;
    bool log_append_time; /* message.timestamp.type */
    bool unclean_leader_election, preallocate;
};

/* topic override -> dynamic broker -> dynamic default -> static broker -> default. Pairs that this version does not
 * know or cannot parse are skipped (they were checked when they were set). Never fails; allocates nothing. */
void config_topic_fill(const struct config *c, const struct config_kv *kv, size_t n, struct config_topic *out);

/* ---- describing ---- */

struct config_synonym {
    const char *name, *value; /* value NULL: null or sensitive */
    enum config_source source;
};
struct config_entry {
    const struct config_setting *setting;
    const char *value; /* NULL: null or sensitive */
    enum config_source source;
    bool read_only;
    const struct config_synonym *synonyms; /* strongest first; includes the value's own source */
    size_t n_synonyms;
};
/* Borrowed for the call. */
typedef void (*config_entry_fn)(void *arg, const struct config_entry *entry);
/* Calls `each` for every key of the scope in name order with its effective value; kv: the topic's or group's overrides
 * (n = 0 for a broker). */
void config_describe(const struct config *c, enum config_scope scope, const struct config_kv *kv, size_t n,
                     config_entry_fn each, void *arg);
/* How DescribeConfigs shows a value that was given as `text`: without blanks around it, a list without repetitions.
 * `out` has room for strlen(text) + 1 bytes. */
void config_canonical(const struct config_setting *s, const char *text, char *out);
/* The number of DescribeConfigs' config_source. */
int8_t config_source_wire(enum config_source s);

#endif
