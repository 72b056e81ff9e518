/* plugin.c: how store-wal introduces itself: descriptor, settings, table of operations. No state. */
#include <config.h>

#include "store.h"

#include <chronik/plugin.h>

static const struct chronik_store_ops ops = {
    .size = sizeof ops,
    .create = st_create,
    .start = st_start,
    .list = st_list,
    .open = st_open,
    .part_close = st_part_close,
    .part_delete = st_part_delete,
    .part_move = st_part_move,
    .append = st_append,
    .read = st_read,
    .release = st_release,
    .truncate_prefix = st_truncate_prefix,
    .truncate_suffix = st_truncate_suffix,
    .roll = st_roll,
    .segments = st_segments,
    .find_time = st_find_time,
    .replace_begin = st_replace_begin,
    .replace_write = st_replace_write,
    .replace_end = st_replace_end,
    .sidecar_write = st_sidecar_write,
    .sidecar_latest = st_sidecar_latest,
    .sidecar_drop = st_sidecar_drop,
    .stat = st_stat,
    .flush = st_flush,
    .close = st_close,
};

#define INT_KEY(n, d, lo, hi, text)                                                                                    \
    {                                                                                                                  \
        .name = "chronik.store-wal." n, .type = CHRONIK_CONFIG_INT, .dflt = d, .min = lo, .max = hi, .doc = text       \
    }
static const struct chronik_config_key keys[] = {
    INT_KEY("segment.max.bytes", "1073741824", 65536, 2147483648,
            "A segment is sealed at this size even when nobody asks for it."),
    INT_KEY("wal.max.bytes", "536870912", 65536, 68719476736,
            "Appends are refused as busy while more than this has been logged since the last checkpoint."),
    INT_KEY("checkpoint.bytes", "268435456", 16384, 68719476736, "A checkpoint begins when so much has been logged."),
    INT_KEY("checkpoint.ms", "60000", 10, 86400000, "A checkpoint begins at least this often while anything changes."),
    INT_KEY("interval.ms", "1000", 10, 3600000, "How often flush=interval syncs."),
    INT_KEY("scrub.bytes.per.second", "8388608", 0, 1073741824,
            "How fast segments are read in the background to find damage before somebody needs them; 0: not at all."),
    INT_KEY("scrub.pause.ms", "86400000", 100, 31536000000,
            "Pause between two such rounds; the first begins after ten minutes, or after this when it is shorter."),
    INT_KEY("wal.file.bytes", "67108864", 16384, 1073741824, "Size of a file of the write-ahead log."),
    INT_KEY("wal.first.file.bytes", "1048576", 16384, 1073741824,
            "Size of the first file of a new write-ahead log; each next one is twice as big."),
    INT_KEY("open.files", "4000", 16, 12000, "Segment files that are kept open."),
};

static const struct chronik_plugin descriptor = {
    .magic = CHRONIK_PLUGIN_MAGIC,
    .size = sizeof descriptor,
    .kind = CHRONIK_KIND_STORE,
    .abi_major = CHRONIK_STORE_MAJOR,
    .abi_minor = CHRONIK_STORE_MINOR,
    .host_major = CHRONIK_HOST_MAJOR,
    .host_minor = CHRONIK_HOST_MINOR,
    .capabilities = CHRONIK_CAP_DURABLE | CHRONIK_CAP_POWER_SAFE | CHRONIK_CAP_TRUNCATE_SUFFIX | CHRONIK_CAP_ZERO_COPY |
                    CHRONIK_CAP_REPLACE | CHRONIK_CAP_SIDECAR | CHRONIK_CAP_MOVE,
    .name = "store-wal",
    .version = VERSION,
    .ops = &ops,
    .ops_size = sizeof ops,
    .config_keys = keys,
    .n_config_keys = ARRAY_LEN(keys),
    .config_key_stride = sizeof keys[0],
    .summary = "segments on disk behind one write-ahead log a directory",
};

CHRONIK_EXPORT const struct chronik_plugin *chronik_plugin_v1(void);
const struct chronik_plugin *chronik_plugin_v1(void)
{
    return &descriptor;
}
