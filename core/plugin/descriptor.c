/* descriptor.c: the checks of a module's descriptor, one sentence each: file, field, wanted, found. It reads the frozen
 * prefix before anything else and never a field that the module's own size does not cover. No state. */
#include "plugin/descriptor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_CONFIG_KEYS 256

struct op {
    const char *name;
    size_t offset;
};

#define META_OP(f)                                                                                                     \
    {                                                                                                                  \
#f, offsetof(struct chronik_meta_ops, f)                                                                       \
    }
#define STORE_OP(f)                                                                                                    \
    {                                                                                                                  \
#f, offsetof(struct chronik_store_ops, f)                                                                      \
    }

static const struct op meta_ops[] = {
    META_OP(create),        META_OP(start),  META_OP(propose),        META_OP(read_barrier),   META_OP(applied),
    META_OP(read_log),      META_OP(trim),   META_OP(snapshot_begin), META_OP(snapshot_chunk), META_OP(snapshot_end),
    META_OP(member_change), META_OP(status), META_OP(close),          META_OP(members),
};

static const struct op store_ops[] = {
    STORE_OP(create),        STORE_OP(start),           STORE_OP(list),
    STORE_OP(open),          STORE_OP(part_close),      STORE_OP(part_delete),
    STORE_OP(part_move),     STORE_OP(append),          STORE_OP(read),
    STORE_OP(release),       STORE_OP(truncate_prefix), STORE_OP(truncate_suffix),
    STORE_OP(roll),          STORE_OP(segments),        STORE_OP(find_time),
    STORE_OP(replace_begin), STORE_OP(replace_write),   STORE_OP(replace_end),
    STORE_OP(sidecar_write), STORE_OP(sidecar_latest),  STORE_OP(sidecar_drop),
    STORE_OP(stat),          STORE_OP(flush),           STORE_OP(close),
};

/* What differs between the kinds. */
struct kind {
    uint32_t kind;
    const char *name;
    uint16_t major, minor;
    uint64_t capabilities;
    const struct op *ops;
    size_t n_ops;
    uint64_t ops_size; /* the smallest table of this major */
};

static const struct kind kinds[] = {
    {CHRONIK_KIND_META, "meta", CHRONIK_META_MAJOR, CHRONIK_META_MINOR, CHRONIK_CAPS_META, meta_ops,
     ARRAY_LEN(meta_ops), sizeof(struct chronik_meta_ops)},
    {CHRONIK_KIND_STORE, "store", CHRONIK_STORE_MAJOR, CHRONIK_STORE_MINOR, CHRONIK_CAPS_STORE, store_ops,
     ARRAY_LEN(store_ops), sizeof(struct chronik_store_ops)},
};

_Static_assert(sizeof(struct chronik_meta_ops) == offsetof(struct chronik_meta_ops, create) + ARRAY_LEN(meta_ops) * 8,
               "meta_ops names every op");
_Static_assert(sizeof(struct chronik_store_ops) ==
                   offsetof(struct chronik_store_ops, create) + ARRAY_LEN(store_ops) * 8,
               "store_ops names every op");

static const struct kind *find_kind(uint32_t kind)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i].kind == kind)
            return &kinds[i];
    return NULL;
}

const char *descriptor_kind_name(uint32_t kind)
{
    const struct kind *k = find_kind(kind);
    return k != NULL ? k->name : "unknown kind";
}

const char *descriptor_capabilities(uint64_t caps, char *buf, size_t n)
{
    static const struct {
        uint64_t bit;
        const char *name;
    } names[] = {
        {CHRONIK_CAP_DURABLE, "DURABLE"},
        {CHRONIK_CAP_POWER_SAFE, "POWER_SAFE"},
        {CHRONIK_CAP_MULTI_NODE, "MULTI_NODE"},
        {CHRONIK_CAP_LINEARIZABLE, "LINEARIZABLE"},
        {CHRONIK_CAP_MEMBERSHIP, "MEMBERSHIP"},
        {CHRONIK_CAP_SNAPSHOT, "SNAPSHOT"},
        {CHRONIK_CAP_TRUNCATE_SUFFIX, "TRUNCATE_SUFFIX"},
        {CHRONIK_CAP_ZERO_COPY, "ZERO_COPY"},
        {CHRONIK_CAP_REPLACE, "REPLACE"},
        {CHRONIK_CAP_SIDECAR, "SIDECAR"},
        {CHRONIK_CAP_MOVE, "MOVE"},
    };
    size_t at = 0;
    CHECK(n > 0);
    snprintf(buf, n, "%s", caps == 0 ? "none" : "");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if ((caps & names[i].bit) && at < n)
            at += (size_t)snprintf(buf + at, n - at, "%s%s", at > 0 ? "," : "", names[i].name);
    }
    return buf;
}

/* ---- identity: magic, size, kind, versions ---- */

static int32_t check_magic(const char *path, const struct chronik_plugin *d, struct err *e)
{
    const char *why = "not a chronik module";
    if (d->magic == CHRONIK_PLUGIN_MAGIC)
        return CHRONIK_DONE;
    if (d->magic == __builtin_bswap32(CHRONIK_PLUGIN_MAGIC))
        why = "built for the other byte order";
    else if (d->magic == CHRONIK_PLUGIN_MAGIC_FROZEN)
        why = "built for the frozen v1, this broker speaks the draft; take the module of this release";
    return err_set(e, CHRONIK_E_VERSION, "%s: field magic: wanted 0x%08x, found 0x%08x: %s", path, CHRONIK_PLUGIN_MAGIC,
                   d->magic, why);
}

static int32_t check_version(const char *path, const char *what, const char *header, uint16_t major, uint16_t minor,
                             uint16_t our_major, uint16_t our_minor, struct err *e)
{
    if (major != our_major)
        return err_set(e, CHRONIK_E_VERSION, "%s: field %s_major: wanted %u, found %u: build it with this broker's %s",
                       path, what, our_major, major, header);
    if (minor > our_minor)
        return err_set(e, CHRONIK_E_VERSION,
                       "%s: field %s_minor: wanted at most %u, found %u: the module needs a newer broker", path, what,
                       our_minor, minor);
    return CHRONIK_DONE;
}

static int32_t check_identity(const char *path, uint32_t kind, const struct chronik_plugin *d, struct err *e)
{
    int32_t rc = check_magic(path, d, e);
    if (rc < 0)
        return rc;
    if (d->size < sizeof *d)
        return err_set(e, CHRONIK_E_VERSION, "%s: field size: wanted at least %zu, found %u: the descriptor is short",
                       path, sizeof *d, d->size);
    const struct kind *k = find_kind(d->kind);
    if (k == NULL)
        return err_set(e, CHRONIK_E_VERSION, "%s: field kind: wanted 1 (meta) or 2 (store), found %u", path, d->kind);
    if (kind != 0 && kind != d->kind)
        return err_set(e, CHRONIK_E_INVAL, "%s: field kind: wanted %u (%s), found %u (%s)", path, kind,
                       descriptor_kind_name(kind), d->kind, k->name);
    rc = check_version(path, "abi", k->kind == CHRONIK_KIND_META ? "chronik/meta.h" : "chronik/store.h", d->abi_major,
                       d->abi_minor, k->major, k->minor, e);
    if (rc > 0)
        rc = check_version(path, "host", "chronik/host.h", d->host_major, d->host_minor, CHRONIK_HOST_MAJOR,
                           CHRONIK_HOST_MINOR, e);
    return rc;
}

/* ---- content: capabilities, names, ops ---- */

/* [a-z0-9-]{1,63} */
static bool is_name(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return n >= 1 && n <= 63 && s[n] == 0;
}

/* One line of 1 to `max` printable characters. */
static bool is_line(const char *s, size_t max)
{
    size_t n = 0;
    while (n <= max && s[n] != 0 && (unsigned char)s[n] >= 0x20 && s[n] != 0x7f)
        n++;
    return n >= 1 && n <= max && s[n] == 0;
}

/* The first 80 bytes with '?' for what is not printable: a sentence stays one line whatever the module says. */
struct shown {
    char text[81];
};

static struct shown shown(const char *s)
{
    struct shown x;
    size_t n = strnlen(s, sizeof x.text - 1);
    for (size_t i = 0; i < n; i++)
        x.text[i] = (char)((unsigned char)s[i] < 0x20 || s[i] == 0x7f ? '?' : s[i]);
    x.text[n] = 0;
    return x;
}

static int32_t check_names(const char *path, const struct chronik_plugin *d, struct err *e)
{
    const char *prefix = find_kind(d->kind)->name;
    if (d->name == NULL)
        return err_set(e, CHRONIK_E_INVAL, "%s: field name: wanted a string, found NULL", path);
    if (!is_name(d->name))
        return err_set(e, CHRONIK_E_INVAL, "%s: field name: wanted 1 to 63 of a-z, 0-9 and '-', found '%s'", path,
                       shown(d->name).text);
    if (strncmp(d->name, prefix, strlen(prefix)) != 0 || d->name[strlen(prefix)] != '-')
        return err_set(e, CHRONIK_E_INVAL, "%s: field name: wanted '%s-' and a word, found '%s'", path, prefix,
                       d->name);
    if (d->version == NULL)
        return err_set(e, CHRONIK_E_INVAL, "%s: field version: wanted a string, found NULL", path);
    if (!is_line(d->version, 63))
        return err_set(e, CHRONIK_E_INVAL, "%s: field version: wanted 1 to 63 printable characters, found '%s'", path,
                       shown(d->version).text);
    if (d->summary != NULL && !is_line(d->summary, 200))
        return err_set(e, CHRONIK_E_INVAL, "%s: field summary: wanted NULL or one line, found '%s'", path,
                       shown(d->summary).text);
    return CHRONIK_DONE;
}

static int32_t check_capabilities(const char *path, const struct chronik_plugin *d, struct err *e)
{
    uint64_t known = find_kind(d->kind)->capabilities;
    if (d->reserved != 0)
        return err_set(e, CHRONIK_E_INVAL, "%s: field reserved: wanted 0, found %u", path, d->reserved);
    if (d->capabilities & ~known)
        return err_set(
            e, CHRONIK_E_INVAL,
            "%s: field capabilities: wanted bits of 0x%llx, found 0x%llx: bits that a %s module does not have", path,
            (unsigned long long)known, (unsigned long long)d->capabilities, find_kind(d->kind)->name);
    return CHRONIK_DONE;
}

static int32_t check_ops(const char *path, const struct chronik_plugin *d, struct err *e)
{
    const struct kind *k = find_kind(d->kind);
    uint32_t size;
    if (d->ops == NULL)
        return err_set(e, CHRONIK_E_INVAL, "%s: field ops: wanted a table, found NULL", path);
    if (d->ops_size < k->ops_size)
        return err_set(e, CHRONIK_E_VERSION, "%s: field ops_size: wanted at least %llu, found %llu: the table is short",
                       path, (unsigned long long)k->ops_size, (unsigned long long)d->ops_size);
    memcpy(&size, d->ops, sizeof size);
    if (size != d->ops_size)
        return err_set(e, CHRONIK_E_INVAL, "%s: field ops->size: wanted ops_size, %llu, found %u", path,
                       (unsigned long long)d->ops_size, size);
    for (size_t i = 0; i < k->n_ops; i++) {
        void *op;
        memcpy(&op, (const char *)d->ops + k->ops[i].offset, sizeof op);
        if (op == NULL)
            return err_set(e, CHRONIK_E_INVAL,
                           "%s: field ops->%s: wanted a function, found NULL (one that is not supported answers "
                           "CHRONIK_E_UNSUPPORTED)",
                           path, k->ops[i].name);
    }
    return CHRONIK_DONE;
}

/* ---- settings ---- */

struct chronik_config_key descriptor_config_key(const struct chronik_plugin *d, uint32_t i)
{
    struct chronik_config_key key = {0};
    CHECK(i < d->n_config_keys);
    memcpy(&key, (const char *)d->config_keys + (size_t)i * d->config_key_stride,
           min_size(sizeof key, d->config_key_stride));
    return key;
}

/* Whether `word` is one of "a|b|c". */
static bool is_choice(const char *choices, const char *word)
{
    size_t n = strlen(word);
    while (n > 0) {
        if (strncmp(choices, word, n) == 0 && (choices[n] == 0 || choices[n] == '|'))
            return true;
        choices = strchr(choices, '|');
        if (choices == NULL)
            return false;
        choices++;
    }
    return false;
}

/* NULL, or what a default of this type should have been. */
static const char *wrong_default(const struct chronik_config_key *k)
{
    char *end;
    switch (k->type) {
    case CHRONIK_CONFIG_INT: {
        errno = 0;
        long long v = strtoll(k->dflt, &end, 10);
        return errno != 0 || end == k->dflt || *end != 0 || v < k->min || v > k->max ? "a whole number in its range"
                                                                                     : NULL;
    }
    case CHRONIK_CONFIG_BOOL:
        return strcmp(k->dflt, "true") != 0 && strcmp(k->dflt, "false") != 0 ? "true or false" : NULL;
    case CHRONIK_CONFIG_CHOICE:
        return k->choices == NULL || !is_choice(k->choices, k->dflt) ? "one of its choices" : NULL;
    default:
        return NULL;
    }
}

static int32_t check_key(const char *path, uint32_t i, const struct chronik_config_key *k, struct err *e)
{
    if (k->name == NULL || strncmp(k->name, "chronik.", 8) != 0 || !is_line(k->name, 120))
        return err_set(e, CHRONIK_E_INVAL, "%s: field config_keys[%u].name: wanted 'chronik.…', found '%s'", path, i,
                       k->name != NULL ? shown(k->name).text : "NULL");
    if (k->type < CHRONIK_CONFIG_STRING || k->type > CHRONIK_CONFIG_CHOICE)
        return err_set(e, CHRONIK_E_INVAL, "%s: field config_keys[%u].type of %s: wanted 1 to 4, found %u", path, i,
                       k->name, k->type);
    if (k->flags != 0)
        return err_set(e, CHRONIK_E_INVAL, "%s: field config_keys[%u].flags of %s: wanted 0, found 0x%x", path, i,
                       k->name, k->flags);
    if (k->dflt == NULL || k->doc == NULL)
        return err_set(e, CHRONIK_E_INVAL, "%s: field config_keys[%u].%s of %s: wanted a string, found NULL", path, i,
                       k->dflt == NULL ? "dflt" : "doc", k->name);
    const char *wanted = wrong_default(k);
    if (wanted != NULL)
        return err_set(e, CHRONIK_E_INVAL, "%s: field config_keys[%u].dflt of %s: wanted %s, found '%s'", path, i,
                       k->name, wanted, shown(k->dflt).text);
    return CHRONIK_DONE;
}

static int32_t check_config(const char *path, const struct chronik_plugin *d, struct err *e)
{
    if (d->n_config_keys == 0)
        return CHRONIK_DONE;
    if (d->n_config_keys > MAX_CONFIG_KEYS)
        return err_set(e, CHRONIK_E_INVAL, "%s: field n_config_keys: wanted at most %u, found %u", path,
                       MAX_CONFIG_KEYS, d->n_config_keys);
    if (d->config_keys == NULL)
        return err_set(e, CHRONIK_E_INVAL, "%s: field config_keys: wanted %u keys, found NULL", path, d->n_config_keys);
    if (d->config_key_stride < sizeof(struct chronik_config_key) || d->config_key_stride % 8 != 0)
        return err_set(e, CHRONIK_E_VERSION,
                       "%s: field config_key_stride: wanted at least %zu, in steps of 8, found %u", path,
                       sizeof(struct chronik_config_key), d->config_key_stride);
    for (uint32_t i = 0; i < d->n_config_keys; i++) {
        struct chronik_config_key k = descriptor_config_key(d, i);
        int32_t rc = check_key(path, i, &k, e);
        if (rc < 0)
            return rc;
    }
    return CHRONIK_DONE;
}

int32_t descriptor_check(const char *path, uint32_t kind, const struct chronik_plugin *d, struct err *e)
{
    int32_t rc = check_identity(path, kind, d, e);
    if (rc > 0)
        rc = check_names(path, d, e);
    if (rc > 0)
        rc = check_capabilities(path, d, e);
    if (rc > 0)
        rc = check_ops(path, d, e);
    if (rc > 0)
        rc = check_config(path, d, e);
    return rc;
}
