/* abi.c: every public struct of the plugin ABI by value, for abidiff: it sees nothing behind a `void *`, so a library
 * with one object of each is what it compares (scripts/abi.sh). The assertions fix, at every build, what must never
 * move: the frozen prefix of the descriptor, the sizes on LP64, and the numbers that only macros carry. */
#include <chronik/meta.h>
#include <chronik/plugin.h>
#include <chronik/store.h>

#define OBJECT(type, name)                                                                                             \
    extern CHRONIK_EXPORT struct type name;                                                                            \
    struct type name

OBJECT(chronik_uuid, abi_uuid);
OBJECT(chronik_iov, abi_iov);
OBJECT(chronik_done, abi_done);
OBJECT(chronik_task, abi_task);
OBJECT(chronik_file_op, abi_file_op);
OBJECT(chronik_dirent, abi_dirent);
OBJECT(chronik_dir_info, abi_dir_info);
OBJECT(chronik_listen_events, abi_listen_events);
OBJECT(chronik_host, abi_host);
OBJECT(chronik_config_key, abi_config_key);
OBJECT(chronik_plugin, abi_plugin);
OBJECT(chronik_meta_pos, abi_meta_pos);
OBJECT(chronik_meta_entry, abi_meta_entry);
OBJECT(chronik_meta_snapshot, abi_meta_snapshot);
OBJECT(chronik_meta_config, abi_meta_config);
OBJECT(chronik_meta_events, abi_meta_events);
OBJECT(chronik_meta_status, abi_meta_status);
OBJECT(chronik_meta_ops, abi_meta_ops);
OBJECT(chronik_meta_member, abi_meta_member);
OBJECT(chronik_meta_change, abi_meta_change);
OBJECT(chronik_batch_info, abi_batch_info);
OBJECT(chronik_append, abi_append);
OBJECT(chronik_part_id, abi_part_id);
OBJECT(chronik_part_stat, abi_part_stat);
OBJECT(chronik_segment_info, abi_segment_info);
OBJECT(chronik_range, abi_range);
OBJECT(chronik_read, abi_read);
OBJECT(chronik_durable, abi_durable);
OBJECT(chronik_store_config, abi_store_config);
OBJECT(chronik_store_events, abi_store_events);
OBJECT(chronik_store_ops, abi_store_ops);

extern CHRONIK_EXPORT chronik_plugin_entry abi_entry;
chronik_plugin_entry abi_entry;

/* ---- the frozen prefix: these places never change, in no version ---- */

#define AT(field, offset) _Static_assert(offsetof(struct chronik_plugin, field) == (offset), "chronik_plugin." #field)
AT(magic, 0);
AT(size, 4);
AT(kind, 8);
AT(abi_major, 12);
AT(abi_minor, 14);
AT(host_major, 16);
AT(host_minor, 18);
AT(reserved, 20);
AT(capabilities, 24);
#ifdef __LP64__
AT(name, 32);
AT(version, 40);
AT(ops, 48);
AT(ops_size, 56);
AT(config_keys, 64);
#endif

/* ---- where both sides look before they know each other's version ---- */

#define FIRST(type, field, offset) _Static_assert(offsetof(struct type, field) == (offset), #type "." #field)
FIRST(chronik_host, size, 0);
FIRST(chronik_host, major, 4);
FIRST(chronik_host, minor, 6);
FIRST(chronik_host, ctx, 8);
FIRST(chronik_file_op, size, 0);
FIRST(chronik_dir_info, size, 0);
FIRST(chronik_listen_events, size, 0);
FIRST(chronik_meta_ops, size, 0);
FIRST(chronik_meta_ops, create, 8);
FIRST(chronik_meta_config, size, 0);
FIRST(chronik_meta_events, size, 0);
FIRST(chronik_meta_snapshot, size, 0);
FIRST(chronik_meta_status, size, 0);
FIRST(chronik_store_ops, size, 0);
FIRST(chronik_store_ops, create, 8);
FIRST(chronik_store_config, size, 0);
FIRST(chronik_store_events, size, 0);
FIRST(chronik_part_stat, size, 0);
FIRST(chronik_read, size, 0);

/* ---- sizes on LP64: a change here is a change of the ABI and wants `./dev abi --update` ---- */

#ifdef __LP64__
#define SIZE(type, n) _Static_assert(sizeof(struct type) == (n), "sizeof struct " #type)
SIZE(chronik_uuid, 16);
SIZE(chronik_iov, 16);
SIZE(chronik_done, 16);
SIZE(chronik_task, 64);
SIZE(chronik_file_op, 216);
SIZE(chronik_dirent, 16);
SIZE(chronik_dir_info, 48);
SIZE(chronik_listen_events, 24);
SIZE(chronik_host, 432);
SIZE(chronik_config_key, 56);
SIZE(chronik_plugin, 88);
SIZE(chronik_meta_pos, 16);
SIZE(chronik_meta_entry, 32);
SIZE(chronik_meta_snapshot, 64);
SIZE(chronik_meta_config, 40);
SIZE(chronik_meta_events, 80);
SIZE(chronik_meta_status, 104);
SIZE(chronik_meta_ops, 120);
SIZE(chronik_meta_member, 80);
SIZE(chronik_meta_change, 64);
SIZE(chronik_batch_info, 40);
SIZE(chronik_append, 48);
SIZE(chronik_part_id, 24);
SIZE(chronik_part_stat, 80);
SIZE(chronik_segment_info, 48);
SIZE(chronik_range, 32);
SIZE(chronik_read, 72);
SIZE(chronik_durable, 16);
SIZE(chronik_store_config, 24);
SIZE(chronik_store_events, 48);
SIZE(chronik_store_ops, 200);
#endif

/* ---- numbers that no type carries ---- */

#define VALUE(name, n) _Static_assert((name) == (n), #name)
VALUE(CHRONIK_DONE, 1);
VALUE(CHRONIK_PENDING, 0);
VALUE(CHRONIK_PLUGIN_MAGIC, 0x31444843);
VALUE(CHRONIK_PLUGIN_MAGIC_FROZEN, 0x31504843);
VALUE(CHRONIK_KIND_META, 1);
VALUE(CHRONIK_KIND_STORE, 2);
VALUE(CHRONIK_CAP_DURABLE, 0x1);
VALUE(CHRONIK_CAP_POWER_SAFE, 0x2);
VALUE(CHRONIK_CAP_MULTI_NODE, 0x4);
VALUE(CHRONIK_CAP_LINEARIZABLE, 0x8);
VALUE(CHRONIK_CAP_MEMBERSHIP, 0x10);
VALUE(CHRONIK_CAP_SNAPSHOT, 0x20);
VALUE(CHRONIK_CAP_TRUNCATE_SUFFIX, 0x100);
VALUE(CHRONIK_CAP_ZERO_COPY, 0x200);
VALUE(CHRONIK_CAP_REPLACE, 0x400);
VALUE(CHRONIK_CAP_SIDECAR, 0x800);
VALUE(CHRONIK_CAP_MOVE, 0x1000);
VALUE(CHRONIK_CONFIG_STRING, 1);
VALUE(CHRONIK_CONFIG_INT, 2);
VALUE(CHRONIK_CONFIG_BOOL, 3);
VALUE(CHRONIK_CONFIG_CHOICE, 4);
VALUE(CHRONIK_LOG_DEBUG, 0);
VALUE(CHRONIK_LOG_INFO, 1);
VALUE(CHRONIK_LOG_WARN, 2);
VALUE(CHRONIK_LOG_ERROR, 3);
VALUE(CHRONIK_METRIC_COUNTER, 1);
VALUE(CHRONIK_METRIC_GAUGE, 2);
VALUE(CHRONIK_METRIC_HISTOGRAM, 3);
VALUE(CHRONIK_EXEC_LOW, 1);
VALUE(CHRONIK_FILE_READ, 1);
VALUE(CHRONIK_FILE_WRITE, 2);
VALUE(CHRONIK_FILE_CREATE, 4);
VALUE(CHRONIK_FILE_EXCL, 8);
VALUE(CHRONIK_FILE_LOCK, 16);
VALUE(CHRONIK_FILE_DIRECT, 32);
VALUE(CHRONIK_READ_NOWAIT, 1);
VALUE(CHRONIK_OP_WRITE, 1);
VALUE(CHRONIK_OP_SYNC, 2);
VALUE(CHRONIK_META_CONTROLLER, 0);
VALUE(CHRONIK_META_COORDINATOR, 1);
VALUE(CHRONIK_META_CLIENT, 2);
VALUE(CHRONIK_META_ROLE_NONE, 0);
VALUE(CHRONIK_META_ROLE_FOLLOWER, 1);
VALUE(CHRONIK_META_ROLE_LEADER, 2);
VALUE(CHRONIK_META_MAX_COMMAND, 1 << 20);
VALUE(CHRONIK_FLUSH_GROUP, 0);
VALUE(CHRONIK_FLUSH_INTERVAL, 1);
VALUE(CHRONIK_FLUSH_OS, 2);
VALUE(CHRONIK_BATCH_CONTROL, 1);
VALUE(CHRONIK_BATCH_TRANSACTIONAL, 2);
VALUE(CHRONIK_STORE_CREATE, 1);
VALUE(CHRONIK_STORE_NOWAIT, 1);
VALUE(CHRONIK_STORE_MIN_ONE, 2);
VALUE(CHRONIK_E_FAILED, -1);
VALUE(CHRONIK_E_INVAL, -2);
VALUE(CHRONIK_E_NOMEM, -3);
VALUE(CHRONIK_E_IO, -4);
VALUE(CHRONIK_E_NOSPC, -5);
VALUE(CHRONIK_E_CORRUPT, -6);
VALUE(CHRONIK_E_NOTFOUND, -7);
VALUE(CHRONIK_E_EXISTS, -8);
VALUE(CHRONIK_E_BUSY, -9);
VALUE(CHRONIK_E_AGAIN, -10);
VALUE(CHRONIK_E_CLOSED, -11);
VALUE(CHRONIK_E_CANCELED, -12);
VALUE(CHRONIK_E_TIMEDOUT, -13);
VALUE(CHRONIK_E_NOT_LEADER, -14);
VALUE(CHRONIK_E_FENCED, -15);
VALUE(CHRONIK_E_STALE, -16);
VALUE(CHRONIK_E_RANGE, -17);
VALUE(CHRONIK_E_TOOBIG, -18);
VALUE(CHRONIK_E_UNSUPPORTED, -19);
VALUE(CHRONIK_E_VERSION, -20);
VALUE(CHRONIK_E_PERM, -21);
VALUE(CHRONIK_E_LOCKED, -22);
VALUE(CHRONIK_E_OFFLINE, -23);
