/* topic.c: a topic's effective settings and the checks of altered ones. Reads cells only; any thread, no allocation but
 * in config_list_alter. */
#include "config/config_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* ---- from the broker's settings ---- */

/* Hours and minutes are older ways to say a key in ms. */
static int64_t in_ms(const struct config_def *d, int64_t v)
{
    const char *unit = strrchr(d->s.name, '.');
    int64_t factor = strcmp(unit, ".hours") == 0 ? 3600000 : strcmp(unit, ".minutes") == 0 ? 60000 : 1;
    return v < 0 ? v : v * factor;
}

/* What the broker says of a topic's setting: through its synonyms, else its own default. */
static struct config_value broker_value(const struct config *c, const struct config_def *d)
{
    struct config_said said[1];
    struct config_value v = {0};
    if (config_said(c, d->synonyms, d->n_synonyms, said, 1)) {
        v = said[0].cell->v;
        v.i = in_ms(said[0].def, v.i);
    } else if (config_value_parse(d, d->s.dflt, &v, NULL) < 0) {
        CHECK(!"default of a topic setting");
    }
    return v;
}

const char *config_effective_text(const struct config *c, const struct config_def *d, char *buf, size_t n)
{
    struct config_value v = broker_value(c, d);
    if (!v.text || d->s.type != CONFIG_LONG)
        return v.text;
    snprintf(buf, n, "%lld", (long long)v.i); /* the text may be in hours */
    return buf;
}

/* ---- filling ---- */

enum field_kind { FIELD_I64, FIELD_I32, FIELD_F64, FIELD_BOOL, FIELD_CODEC, FIELD_CLEANUP, FIELD_TIMESTAMP };

struct field {
    int16_t id;
    uint8_t kind;
    uint16_t offset;
};

#define FIELD(id, kind, member)                                                                                        \
    {                                                                                                                  \
        id, kind, offsetof(struct config_topic, member)                                                                \
    }
static const struct field fields[] = {
    FIELD(TCFG_RETENTION_MS, FIELD_I64, retention_ms),
    FIELD(TCFG_RETENTION_BYTES, FIELD_I64, retention_bytes),
    FIELD(TCFG_SEGMENT_MS, FIELD_I64, segment_ms),
    FIELD(TCFG_SEGMENT_JITTER_MS, FIELD_I64, segment_jitter_ms),
    FIELD(TCFG_FLUSH_MESSAGES, FIELD_I64, flush_messages),
    FIELD(TCFG_FLUSH_MS, FIELD_I64, flush_ms),
    FIELD(TCFG_DELETE_RETENTION_MS, FIELD_I64, delete_retention_ms),
    FIELD(TCFG_FILE_DELETE_DELAY_MS, FIELD_I64, file_delete_delay_ms),
    FIELD(TCFG_MESSAGE_TIMESTAMP_BEFORE_MAX_MS, FIELD_I64, timestamp_before_max_ms),
    FIELD(TCFG_MESSAGE_TIMESTAMP_AFTER_MAX_MS, FIELD_I64, timestamp_after_max_ms),
    FIELD(TCFG_MIN_COMPACTION_LAG_MS, FIELD_I64, min_compaction_lag_ms),
    FIELD(TCFG_MAX_COMPACTION_LAG_MS, FIELD_I64, max_compaction_lag_ms),
    FIELD(TCFG_MIN_CLEANABLE_DIRTY_RATIO, FIELD_F64, min_cleanable_dirty_ratio),
    FIELD(TCFG_SEGMENT_BYTES, FIELD_I32, segment_bytes),
    FIELD(TCFG_SEGMENT_INDEX_BYTES, FIELD_I32, segment_index_bytes),
    FIELD(TCFG_INDEX_INTERVAL_BYTES, FIELD_I32, index_interval_bytes),
    FIELD(TCFG_MAX_MESSAGE_BYTES, FIELD_I32, max_message_bytes),
    FIELD(TCFG_MAX_DECOMPRESSED_MESSAGE_BYTES, FIELD_I32, max_decompressed_message_bytes),
    FIELD(TCFG_MIN_INSYNC_REPLICAS, FIELD_I32, min_insync_replicas),
    FIELD(TCFG_COMPRESSION_GZIP_LEVEL, FIELD_I32, gzip_level),
    FIELD(TCFG_COMPRESSION_LZ4_LEVEL, FIELD_I32, lz4_level),
    FIELD(TCFG_COMPRESSION_ZSTD_LEVEL, FIELD_I32, zstd_level),
    FIELD(TCFG_COMPRESSION_TYPE, FIELD_CODEC, compression),
    FIELD(TCFG_CLEANUP_POLICY, FIELD_CLEANUP, cleanup_delete),
    FIELD(TCFG_MESSAGE_TIMESTAMP_TYPE, FIELD_TIMESTAMP, log_append_time),
    FIELD(TCFG_UNCLEAN_LEADER_ELECTION_ENABLE, FIELD_BOOL, unclean_leader_election),
    FIELD(TCFG_PREALLOCATE, FIELD_BOOL, preallocate),
};

static int8_t codec_of(const char *name)
{
    static const char *const names[] = {"uncompressed", "gzip", "snappy", "lz4", "zstd"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return (int8_t)i;
    return CONFIG_CODEC_PRODUCER;
}

static bool list_text_has(const char *text, const char *want)
{
    const char *item;
    size_t len;
    while (config_list_next(&text, &item, &len))
        if (len == strlen(want) && memcmp(item, want, len) == 0)
            return true;
    return false;
}

static void set_field(struct config_topic *t, const struct field *f, const struct config_value *v)
{
    char *at = (char *)t + f->offset;
    switch ((enum field_kind)f->kind) {
    case FIELD_I64:
        memcpy(at, &v->i, sizeof v->i);
        break;
    case FIELD_I32:
        memcpy(at, &(int32_t){(int32_t)v->i}, sizeof(int32_t));
        break;
    case FIELD_F64:
        memcpy(at, &v->f, sizeof v->f);
        break;
    case FIELD_BOOL:
        memcpy(at, &(bool){v->i != 0}, sizeof(bool));
        break;
    case FIELD_CODEC:
        t->compression = codec_of(v->text);
        break;
    case FIELD_CLEANUP:
        t->cleanup_delete = list_text_has(v->text, "delete");
        t->cleanup_compact = list_text_has(v->text, "compact");
        break;
    case FIELD_TIMESTAMP:
        t->log_append_time = strcmp(v->text, "LogAppendTime") == 0;
        break;
    }
}

void config_topic_fill(const struct config *c, const struct config_kv *kv, size_t n, struct config_topic *out)
{
    CHECK(c->finished);
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        struct config_value v = broker_value(c, &config_defs[fields[i].id]);
        set_field(out, &fields[i], &v);
    }
    for (size_t k = 0; k < n; k++) {
        const struct config_def *d = config_def_find(CONFIG_TOPIC, kv[k].key);
        struct config_value v;
        if (!d || !kv[k].value || config_value_parse(d, kv[k].value, &v, NULL) < 0)
            continue;
        for (size_t i = 0; i < ARRAY_LEN(fields); i++)
            if (fields[i].id == d->s.id)
                set_field(out, &fields[i], &v);
    }
}

/* ---- checks ---- */

int32_t config_check(const struct config *c, enum config_scope scope, const char *key, const char *value, struct err *e)
{
    static const char *const words[] = {[CONFIG_BROKER] = "broker", [CONFIG_TOPIC] = "topic", [CONFIG_GROUP] = "group"};
    const struct config_def *d = scope == CONFIG_BROKER ? config_broker_def(c, key) : config_def_find(scope, key);
    if (!d)
        return err_set(e, CHRONIK_E_NOTFOUND, "Unknown %s config name: %.200s", words[scope], key);
    if (!value)
        return err_set(e, CHRONIK_E_INVAL, "Null value not supported for configs : %s", key);
    return config_value_parse(d, value, NULL, e);
}

int32_t config_check_set(const struct config *c, enum config_scope scope, const struct config_kv *kv, size_t n,
                         struct err *e)
{
    for (size_t i = 0; i < n; i++) /* names first, as Kafka */
        if (scope != CONFIG_BROKER && !config_def_find(scope, kv[i].key))
            return config_check(c, scope, kv[i].key, kv[i].value, e);
    for (size_t i = 0; i < n; i++) {
        int32_t r = config_check(c, scope, kv[i].key, kv[i].value, e);
        if (r < 0)
            return r;
    }
    if (scope != CONFIG_TOPIC)
        return CHRONIK_DONE;
    struct config_topic t;
    config_topic_fill(c, kv, n, &t);
    if (t.min_compaction_lag_ms > t.max_compaction_lag_ms)
        return err_set(e, CHRONIK_E_INVAL,
                       "conflict topic config setting min.compaction.lag.ms (%lld) > max.compaction.lag.ms (%lld)",
                       (long long)t.min_compaction_lag_ms, (long long)t.max_compaction_lag_ms);
    for (size_t i = 0; i < n; i++)
        if (strcmp(kv[i].key, "remote.storage.enable") == 0 && strcasecmp(kv[i].value, "true") == 0)
            return err_set(e, CHRONIK_E_INVAL,
                           "Tiered Storage functionality is disabled in the broker. Topic cannot be "
                           "configured with remote log storage.");
    return CHRONIK_DONE;
}

int32_t config_check_dynamic(const struct config *c, bool cluster_default, const char *key, const char *value,
                             struct err *e)
{
    const struct config_def *d = config_broker_def(c, key);
    if (!d)
        return err_set(e, CHRONIK_E_NOTFOUND, "Unknown broker config name: %.200s", key);
    if (d->s.update == CONFIG_READ_ONLY)
        return err_set(e, CHRONIK_E_INVAL, "Cannot update these configs dynamically: [%s]", key);
    if (cluster_default && d->s.update == CONFIG_PER_BROKER)
        return err_set(e, CHRONIK_E_INVAL,
                       "Cannot update these configs at default cluster level, broker id must be specified: [%s]", key);
    return value ? config_value_parse(d, value, NULL, e) : CHRONIK_DONE;
}

/* ---- lists ---- */

/* The pieces between commas, as they are: blanks count, and so do pieces that are empty. */
static bool piece_next(const char **at, const char *end, const char **piece, size_t *n)
{
    if (!*at)
        return false;
    const char *comma = memchr(*at, ',', (size_t)(end - *at));
    *piece = *at;
    *n = (size_t)((comma ? comma : end) - *at);
    *at = comma ? comma + 1 : NULL;
    return true;
}

static size_t count(const char *text, const char *end, const char *piece, size_t n)
{
    const char *other;
    size_t len, times = 0;
    while (piece_next(&text, end, &other, &len))
        times += len == n && memcmp(other, piece, n) == 0;
    return times;
}

/* Where Java's split(",") ends: empty pieces at the end are none, but an empty text is one. */
static const char *split_end(const char *text)
{
    const char *end = text + strlen(text);
    while (end > text && end[-1] == ',')
        end--;
    return end;
}

struct joined {
    char *text;
    size_t used, items;
};

static void join(struct joined *j, const char *piece, size_t n)
{
    if (j->items++)
        j->text[j->used++] = ',';
    memcpy(j->text + j->used, piece, n);
    j->used += n;
}

static void append(struct joined *j, const char *change)
{
    const char *end = split_end(change), *piece;
    size_t n;
    if (end == change && *change)
        return; /* nothing but commas */
    while (piece_next(&change, end, &piece, &n))
        if (!j->items || !count(j->text, j->text + j->used, piece, n))
            join(j, piece, n);
}

char *config_list_alter(const char *current, const char *change, bool add)
{
    const char *now = current ? current : "", *at = now, *end = now + strlen(now), *piece;
    const char *change_end = change + strlen(change);
    struct joined j = {.text = malloc(strlen(now) + strlen(change) + 3)};
    size_t n;
    if (!j.text)
        return NULL;
    while (piece_next(&at, end, &piece, &n)) /* one in the change takes away one */
        if (n && (add || count(now, piece, piece, n) >= count(change, change_end, piece, n)))
            join(&j, piece, n);
    if (add)
        append(&j, change);
    j.text[j.used] = 0;
    return j.text;
}
