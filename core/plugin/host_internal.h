/* host_internal.h: what the files of the host share. Nothing here is for other folders. */
#ifndef CHRONIK_PLUGIN_HOST_INTERNAL_H
#define CHRONIK_PLUGIN_HOST_INTERNAL_H

#include "base/log.h"
#include "os/lock.h"
#include "plugin/host.h"

#include <stdatomic.h>

struct host_dir {
    char *path;
    size_t path_len;
    struct chronik_uuid id;
    atomic_bool online;
    atomic_bool told; /* dir_failed was passed on */
};

/* An executor as the module holds it. */
struct chronik_exec {
    struct os_exec *os;
    struct plugin_host *host;
    struct chronik_exec *next; /* host lock */
    atomic_uint refs;          /* its own, and one each stream, listener and attempt that answers on it */
    bool own;                  /* opened by the module, and its to close */
    struct chronik_task close; /* runs on a worker */
    struct chronik_done closed;
    char name[32];
};

struct plugin_host {
    struct chronik_host table;
    struct os *os;
    char *module;
    struct log_subsystem *log; /* process-wide, by name */
    struct plugin_host_config cfg;
    struct host_dir *dirs;

    struct os_mutex lock;
    struct chronik_exec *execs; /* under the lock */
    struct os_exec *loop;       /* under the lock: of the streams; NULL before the first listen or connect */
};

static inline struct plugin_host *host_of(void *ctx)
{
    return ctx;
}

/* An executor that is closed ends when its last stream, listener or attempt is gone: until then they post to it. */
void exec_ref(struct chronik_exec *e);
void exec_unref(struct chronik_exec *e);

/* Each fills in its part of the table. */
void host_exec_fill(struct chronik_host *t);
void host_file_fill(struct chronik_host *t);
void host_stream_fill(struct chronik_host *t);

/* Stops the loop of the streams, if there is one. All streams and listeners were closed before. */
void host_streams_free(struct plugin_host *h);

#endif
