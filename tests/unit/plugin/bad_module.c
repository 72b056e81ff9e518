/* bad_module.c: one source of many broken modules: compiled with -DBAD_x it lies about exactly one thing.
 * test_loader.sh builds one shared object of each and test_loader asks the loader about it. Without any BAD_ it is a
 * good module. */
#include <chronik/plugin.h>
#include <chronik/store.h>

#ifdef BAD_UNDEFINED
int chronik_no_such_function(void);
#endif

static void op(void)
{
}

#ifndef BAD_SIZE
#define BAD_SIZE sizeof(struct chronik_plugin)
#endif
#ifndef BAD_MAGIC
#define BAD_MAGIC CHRONIK_PLUGIN_MAGIC
#endif
#ifndef BAD_KIND
#define BAD_KIND CHRONIK_KIND_STORE
#endif
#ifndef BAD_ABI_MAJOR
#define BAD_ABI_MAJOR CHRONIK_STORE_MAJOR
#endif
#ifndef BAD_ABI_MINOR
#define BAD_ABI_MINOR CHRONIK_STORE_MINOR
#endif
#ifndef BAD_HOST_MAJOR
#define BAD_HOST_MAJOR CHRONIK_HOST_MAJOR
#endif
#ifndef BAD_HOST_MINOR
#define BAD_HOST_MINOR CHRONIK_HOST_MINOR
#endif
#ifndef BAD_RESERVED
#define BAD_RESERVED 0
#endif
#ifndef BAD_CAPABILITIES
#define BAD_CAPABILITIES CHRONIK_CAP_SIDECAR
#endif
#ifndef BAD_NAME
#define BAD_NAME "store-bad"
#endif
#ifndef BAD_VERSION
#define BAD_VERSION "1.0"
#endif
#ifndef BAD_SUMMARY
#define BAD_SUMMARY "a module for the loader's tests"
#endif
#ifndef BAD_OPS
#define BAD_OPS &ops
#endif
#ifndef BAD_OPS_SIZE
#define BAD_OPS_SIZE sizeof(struct chronik_store_ops)
#endif
#ifndef BAD_INNER_SIZE
#define BAD_INNER_SIZE sizeof(struct chronik_store_ops)
#endif
#ifndef BAD_MISSING
#define BAD_MISSING no_field
#endif
#ifndef BAD_KEYS
#define BAD_KEYS &key
#endif
#ifndef BAD_N_KEYS
#define BAD_N_KEYS 1
#endif
#ifndef BAD_STRIDE
#define BAD_STRIDE sizeof(struct chronik_config_key)
#endif
#ifndef BAD_KEY_NAME
#define BAD_KEY_NAME "chronik.store-bad.word"
#endif
#ifndef BAD_KEY_TYPE
#define BAD_KEY_TYPE CHRONIK_CONFIG_INT
#endif
#ifndef BAD_KEY_FLAGS
#define BAD_KEY_FLAGS 0
#endif
#ifndef BAD_KEY_DEFAULT
#define BAD_KEY_DEFAULT "7"
#endif
#ifndef BAD_KEY_DOC
#define BAD_KEY_DOC "A word."
#endif

/* The table with one op taken out: every field but BAD_MISSING points somewhere. */
#define OP(name) void (*name)(void);
struct table {
    uint32_t size, reserved;
    OP(create)
    OP(start)
    OP(list)
    OP(open)
    OP(part_close)
    OP(part_delete)
    OP(part_move)
    OP(append)
    OP(read)
    OP(release)
    OP(truncate_prefix)
    OP(truncate_suffix)
    OP(roll)
    OP(segments)
    OP(find_time)
    OP(replace_begin)
    OP(replace_write)
    OP(replace_end)
    OP(sidecar_write)
    OP(sidecar_latest)
    OP(sidecar_drop)
    OP(stat)
    OP(flush)
    OP(close)
    OP(no_field)
};

static struct table ops = {
    BAD_INNER_SIZE,
    0,
    op,
    op,
    op,
    op,
    op,
    op,
    op,
    op,
    op,
    op,
    op,
    op,
    op,
    op,
    op,
    op,
    op,
    op,
    op,
    op,
    op,
    op,
    op,
    op,
    op,
};

static const struct chronik_config_key key = {
    .name = BAD_KEY_NAME,
    .type = BAD_KEY_TYPE,
    .flags = BAD_KEY_FLAGS,
    .dflt = BAD_KEY_DEFAULT,
    .min = 0,
    .max = 10,
    .choices = "a|bc",
    .doc = BAD_KEY_DOC,
};

static const struct chronik_plugin plugin = {
    .magic = BAD_MAGIC,
    .size = BAD_SIZE,
    .kind = BAD_KIND,
    .abi_major = BAD_ABI_MAJOR,
    .abi_minor = BAD_ABI_MINOR,
    .host_major = BAD_HOST_MAJOR,
    .host_minor = BAD_HOST_MINOR,
    .reserved = BAD_RESERVED,
    .capabilities = BAD_CAPABILITIES,
    .name = BAD_NAME,
    .version = BAD_VERSION,
    .ops = BAD_OPS,
    .ops_size = BAD_OPS_SIZE,
    .config_keys = BAD_KEYS,
    .n_config_keys = BAD_N_KEYS,
    .config_key_stride = BAD_STRIDE,
    .summary = BAD_SUMMARY,
};

#ifdef BAD_NO_ENTRY
#define ENTRY chronik_plugin_v9
#else
#define ENTRY chronik_plugin_v1
#endif

CHRONIK_EXPORT const struct chronik_plugin *ENTRY(void);

CHRONIK_EXPORT const struct chronik_plugin *ENTRY(void)
{
#ifdef BAD_UNDEFINED
    chronik_no_such_function();
#endif
#ifdef BAD_NULL
    return 0;
#else
    ops.BAD_MISSING = 0;
    return &plugin;
#endif
}
