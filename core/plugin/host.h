/* host.h: the services that a module instance gets: struct chronik_host over one struct os. A host belongs to one
 * instance: its name in the log, its settings, its directories. Any number of hosts live in one process, and none of
 * them keeps anything outside itself. */
#ifndef CHRONIK_PLUGIN_HOST_H
#define CHRONIK_PLUGIN_HOST_H

#include <chronik/host.h>

#include "os/os.h"

/* Where settings come from; core/main connects it to the configuration. Any thread. As config_i64 and config_str of
 * <chronik/host.h>. */
struct plugin_config_source {
    void *arg;
    int32_t (*i64)(void *arg, const char *key, int64_t *out);
    int32_t (*str)(void *arg, const char *key, const char **out);
};

struct plugin_dir_config {
    const char *path; /* absolute; copied */
    struct chronik_uuid id;
    bool online;
};

struct plugin_host_config {
    struct os *os;
    const char *module; /* name for the log; copied */
    struct plugin_config_source settings;
    const struct plugin_dir_config *dirs; /* copied */
    uint32_t n_dirs;
    void *arg; /* for the callbacks */
    /* A module found directory number `dir` broken. Once a directory, any thread. */
    void (*dir_failed)(void *arg, uint32_t dir, const char *text);
    /* The module ends the process: main says the sentence and exits with `code`. Must not return. Any thread. */
    void (*fatal)(void *arg, int32_t code, const char *text);
};

struct plugin_host;

/* DONE with *out, or E_NOMEM. */
int32_t plugin_host_new(const struct plugin_host_config *cfg, struct plugin_host **out);

/* After the instance was closed. Executors that the module did not close are named in the log and left alone. */
void plugin_host_free(struct plugin_host *h);

/* The table for ops->create; lives as long as the host. */
const struct chronik_host *plugin_host_table(struct plugin_host *h);

/* An executor of the core as the module sees it (apply_exec of a metadata module); lives as long as the host, the
 * module must not close it. NULL when memory is short. */
struct chronik_exec *plugin_host_exec(struct plugin_host *h, struct os_exec *e);

/* Takes a directory offline or online for this instance, without calling dir_failed. Any thread. */
void plugin_host_dir_online(struct plugin_host *h, uint32_t dir, bool online);

/* What a range of a storage module's file is for os_sendfile and os_pread. */
static inline struct os_file *plugin_file(struct chronik_file *f)
{
    return (struct os_file *)f;
}

/* A buffer that the core fills for a module, or reads what a module made: as buf_new, buf_data, buf_size, buf_unref of
 * <chronik/host.h>, without a host at hand. */
struct chronik_buf *plugin_buf_new(uint64_t size);
void *plugin_buf_data(struct chronik_buf *b);
uint64_t plugin_buf_size(struct chronik_buf *b);
void plugin_buf_ref(struct chronik_buf *b);
void plugin_buf_unref(struct chronik_buf *b);

#endif
