/* rig.h: a metadata instance for tests: host, module, reader, and proposals that wait. Works in the real world and as
 * the main thread of a simulated node. */
#ifndef CHRONIK_TEST_META_RIG_H
#define CHRONIK_TEST_META_RIG_H

#include <check.h>

#include "meta/meta.h"
#include "meta/meta_int.h"
#include "plugin/host.h"

struct rig {
    struct os *os;
    struct plugin_host *host;
    struct meta *m;
    struct meta_reader *reader;
    const struct chronik_meta_ops *ops;
    struct os_flag registered, closed, caught_up, failed;
    char failed_text[256];
    int64_t snapshot_bytes, file_bytes; /* settings of the module */
    struct meta_options opt;
    char dir[256];
};

extern const struct chronik_meta_ops *rig_mem_ops(void);

/* Fills the defaults: node 1, no checkpoint, joins. Change r->opt and r->dir before rig_start. */
void rig_init(struct rig *r, struct os *os, const struct chronik_meta_ops *ops);
/* Starts; waits for the registration when opt.join, else for catching up. */
void rig_start(struct rig *r);
/* As rig_start without waiting; false when meta_new refuses, with the sentence in r->failed_text. */
bool rig_begin(struct rig *r);
void rig_stop(struct rig *r); /* both of: */
void rig_close(struct rig *r);
void rig_free(struct rig *r);

struct rig_result {
    struct os_flag done;
    int32_t refused;
    int16_t code;
    uint64_t seq;
    int64_t values[META_RESULT_VALUES];
    char text[200];
};
/* Proposes and waits. */
struct rig_result rig_do(struct rig *r, const struct meta_command *c);
void rig_post(struct rig *r, const struct meta_command *c, int64_t timeout_ms, struct rig_result *out);

/* Commands, ready made. */
struct chronik_uuid rig_id(uint64_t n);
struct rig_result rig_create(struct rig *r, const char *name, uint64_t id, uint32_t partitions);
struct rig_result rig_delete(struct rig *r, uint64_t id);
struct rig_result rig_config(struct rig *r, const char *topic, const char *key, const char *value);

#endif
