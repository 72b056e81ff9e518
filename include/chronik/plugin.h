/* chronik/plugin.h: how a module introduces itself. A module is a shared object that exports exactly one function,
 *
 *     const struct chronik_plugin *chronik_plugin_v1(void);
 *
 * without side effects: it returns a descriptor that stays valid and unchanged as long as the module is loaded.
 * The host loads a module when the magic and both majors match and neither needed minor is newer than its own. It never
 * looks at release versions.
 *
 * Every op of the table is set. An op that belongs to a capability which the module does not declare answers
 * CHRONIK_E_UNSUPPORTED. */
#ifndef CHRONIK_PUBLIC_PLUGIN_H
#define CHRONIK_PUBLIC_PLUGIN_H

#include <chronik/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "CHD1": version 1, draft. A frozen v1 will have another magic, so drafts never load by accident. */
#define CHRONIK_PLUGIN_MAGIC UINT32_C(0x31444843)
/* "CHP1": kept for the frozen v1. A host of the draft refuses it by name. */
#define CHRONIK_PLUGIN_MAGIC_FROZEN UINT32_C(0x31504843)

/* Kinds of modules. */
#define CHRONIK_KIND_META  UINT32_C(1)
#define CHRONIK_KIND_STORE UINT32_C(2)

/* Versions of these headers: the host services, the metadata ops, the storage ops. */
#define CHRONIK_HOST_MAJOR  0
#define CHRONIK_HOST_MINOR  2
#define CHRONIK_META_MAJOR  0
#define CHRONIK_META_MINOR  3
#define CHRONIK_STORE_MAJOR 0
#define CHRONIK_STORE_MINOR 1

/* Capability bits. A configuration that needs one that is missing is refused at start. */
#define CHRONIK_CAP_DURABLE         (UINT64_C(1) << 0)  /* survives the end of the process */
#define CHRONIK_CAP_POWER_SAFE      (UINT64_C(1) << 1)  /* what was announced durable survives a power cut */
#define CHRONIK_CAP_MULTI_NODE      (UINT64_C(1) << 2)  /* meta: more than one node */
#define CHRONIK_CAP_LINEARIZABLE    (UINT64_C(1) << 3)  /* meta: read_barrier is linearizable across nodes */
#define CHRONIK_CAP_MEMBERSHIP      (UINT64_C(1) << 4)  /* meta: voters can be changed at run time */
#define CHRONIK_CAP_SNAPSHOT        (UINT64_C(1) << 5)  /* meta: takes snapshots and trims its log */
#define CHRONIK_CAP_TRUNCATE_SUFFIX (UINT64_C(1) << 8)  /* store: needed for replication */
#define CHRONIK_CAP_ZERO_COPY       (UINT64_C(1) << 9)  /* store: reads answer file ranges */
#define CHRONIK_CAP_REPLACE         (UINT64_C(1) << 10) /* store: a sealed range can be replaced (compaction) */
#define CHRONIK_CAP_SIDECAR         (UINT64_C(1) << 11) /* store: keeps sidecars */
#define CHRONIK_CAP_MOVE            (UINT64_C(1) << 12) /* store: moves partitions between directories */
/* All bits that this version knows, by kind. A module that declares another one is refused. */
#define CHRONIK_CAPS_META  (UINT64_C(0x3f))
#define CHRONIK_CAPS_STORE (UINT64_C(0x1f03))

/* A setting the module wants to read. The host validates the user's value before `create`. */
#define CHRONIK_CONFIG_STRING UINT32_C(1)
#define CHRONIK_CONFIG_INT    UINT32_C(2) /* min <= value <= max */
#define CHRONIK_CONFIG_BOOL   UINT32_C(3) /* read as 0 or 1 */
#define CHRONIK_CONFIG_CHOICE UINT32_C(4) /* one of `choices`, separated by '|' */
struct chronik_config_key {
    const char *name; /* full key, "chronik.<module>.<word>" */
    uint32_t type;
    uint32_t flags; /* 0 */
    const char *dflt;
    int64_t min, max;
    const char *choices;
    const char *doc; /* one sentence */
};

struct chronik_plugin {
    /* Frozen prefix: these fields keep their places in every later version. */
    uint32_t magic;                  /* CHRONIK_PLUGIN_MAGIC */
    uint32_t size;                   /* sizeof(struct chronik_plugin) of the module's headers */
    uint32_t kind;                   /* CHRONIK_KIND_ */
    uint16_t abi_major, abi_minor;   /* of the ops: CHRONIK_META_ or CHRONIK_STORE_ */
    uint16_t host_major, host_minor; /* the host services this module needs */
    uint32_t reserved;               /* 0 */
    uint64_t capabilities;
    const char *name;    /* "store-wal": [a-z0-9-]{1,63} */
    const char *version; /* shown to people, never compared */
    const void *ops;     /* struct chronik_meta_ops or struct chronik_store_ops */
    uint64_t ops_size;
    /* End of the frozen prefix. */
    const struct chronik_config_key *config_keys;
    uint32_t n_config_keys;
    uint32_t config_key_stride;
    const char *summary; /* one line for `chronik plugins`; may be NULL */
};

#define CHRONIK_PLUGIN_ENTRY "chronik_plugin_v1"
typedef const struct chronik_plugin *(*chronik_plugin_entry)(void);

#if defined(__GNUC__)
#define CHRONIK_EXPORT __attribute__((visibility("default")))
#else
#define CHRONIK_EXPORT
#endif

#ifdef __cplusplus
}
#endif
#endif
