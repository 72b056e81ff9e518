/* host.c: one instance's host: its table, log, metrics, settings, clocks, buffers. Everything the table offers maps to
 * core/os and core/base; nothing is kept outside the host but the log's own list of names. Any thread; the host's lock
 * guards only its list of executors. */
#include "plugin/host_internal.h"

#include "base/crc32c.h"
#include "base/metrics.h"

#include <chronik/plugin.h>

#include <stdlib.h>

/* ---- messages ---- */

/* Log subsystems are known to the log by address and never go away, while hosts do: one is kept for each name. */
static struct log_subsystem *subsystem_named(const char *name)
{
    struct named {
        struct log_subsystem sub;
        struct named *next;
        char name[];
    };
    static _Atomic(struct named *) all;
    for (struct named *n = atomic_load(&all); n != NULL; n = n->next)
        if (strcmp(n->name, name) == 0)
            return &n->sub;
    struct named *n = calloc(1, sizeof *n + strlen(name) + 1);
    if (n == NULL)
        return NULL;
    strcpy(n->name, name);
    n->sub = (struct log_subsystem){.name = n->name, .level = -1, .next = NULL};
    n->next = atomic_load(&all);
    /* Two hosts of one name that start together may both add one: the level is set by name, so both obey. */
    while (!atomic_compare_exchange_weak(&all, &n->next, n))
        ;
    return &n->sub;
}

static void host_log(void *ctx, int32_t level, const char *text)
{
    struct plugin_host *h = host_of(ctx);
    int32_t at = level < CHRONIK_LOG_DEBUG ? CHRONIK_LOG_DEBUG : level > CHRONIK_LOG_ERROR ? CHRONIK_LOG_ERROR : level;
    if (log_enabled(h->log, (enum log_level)at))
        log_write(h->module, (enum log_level)at, "%s", text);
}

static void host_fatal(void *ctx, int32_t code, const char *text)
{
    struct plugin_host *h = host_of(ctx);
    h->cfg.fatal(h->cfg.arg, code, text);
    os_exit(h->os, code);
}

/* ---- metrics: the table's handle is the core's metric ---- */

static struct chronik_metric *host_metric_open(void *ctx, uint32_t kind, const char *name, const char *help)
{
    (void)ctx;
    if (kind < CHRONIK_METRIC_COUNTER || kind > CHRONIK_METRIC_HISTOGRAM)
        return NULL;
    return (struct chronik_metric *)metric_get((enum metric_kind)kind, name, "", help);
}

static void host_metric_add(struct chronik_metric *m, int64_t delta)
{
    if (m != NULL)
        metric_add((struct metric *)m, delta);
}

static void host_metric_set(struct chronik_metric *m, int64_t value)
{
    if (m != NULL)
        metric_set((struct metric *)m, value);
}

static void host_metric_observe(struct chronik_metric *m, int64_t ns)
{
    if (m != NULL)
        metric_observe((struct metric *)m, ns);
}

/* ---- settings ---- */

static int32_t host_config_i64(void *ctx, const char *key, int64_t *out)
{
    struct plugin_host *h = host_of(ctx);
    return h->cfg.settings.i64(h->cfg.settings.arg, key, out);
}

static int32_t host_config_str(void *ctx, const char *key, const char **out)
{
    struct plugin_host *h = host_of(ctx);
    return h->cfg.settings.str(h->cfg.settings.arg, key, out);
}

/* ---- time, identity, chance ---- */

static int64_t host_mono_ns(void *ctx)
{
    return os_mono_ns(host_of(ctx)->os);
}

static int64_t host_wall_ms(void *ctx)
{
    return os_wall_ms(host_of(ctx)->os);
}

static void host_boot_id(void *ctx, struct chronik_uuid *out)
{
    os_boot_id(host_of(ctx)->os, out);
}

static void host_random(void *ctx, void *p, uint64_t n)
{
    os_random(host_of(ctx)->os, p, n);
}

static uint32_t host_crc32c(uint32_t crc, const void *p, uint64_t n)
{
    return crc32c(crc, p, n);
}

/* ---- buffers ---- */

struct chronik_buf {
    atomic_uint refs;
    uint64_t size;
    _Alignas(16) char data[];
};

struct chronik_buf *plugin_buf_new(uint64_t size)
{
    struct chronik_buf *b = size <= SIZE_MAX / 2 ? malloc(sizeof *b + size) : NULL;
    if (b != NULL) {
        atomic_init(&b->refs, 1);
        b->size = size;
    }
    return b;
}

static struct chronik_buf *host_buf_new(void *ctx, uint64_t size)
{
    (void)ctx;
    return plugin_buf_new(size);
}

void *plugin_buf_data(struct chronik_buf *b)
{
    return b->data;
}

uint64_t plugin_buf_size(struct chronik_buf *b)
{
    return b->size;
}

void plugin_buf_ref(struct chronik_buf *b)
{
    CHECK(atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed) > 0);
}

void plugin_buf_unref(struct chronik_buf *b)
{
    unsigned before = atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before == 1)
        free(b);
}

/* ---- the host ---- */

static void fill_table(struct plugin_host *h)
{
    h->table = (struct chronik_host){
        .size = sizeof h->table,
        .major = CHRONIK_HOST_MAJOR,
        .minor = CHRONIK_HOST_MINOR,
        .ctx = h,
        .log = host_log,
        .fatal = host_fatal,
        .metric_open = host_metric_open,
        .metric_add = host_metric_add,
        .metric_set = host_metric_set,
        .metric_observe = host_metric_observe,
        .config_i64 = host_config_i64,
        .config_str = host_config_str,
        .mono_ns = host_mono_ns,
        .wall_ms = host_wall_ms,
        .boot_id = host_boot_id,
        .random = host_random,
        .crc32c = host_crc32c,
        .buf_new = host_buf_new,
        .buf_data = plugin_buf_data,
        .buf_size = plugin_buf_size,
        .buf_ref = plugin_buf_ref,
        .buf_unref = plugin_buf_unref,
    };
    host_exec_fill(&h->table);
    host_file_fill(&h->table);
    host_stream_fill(&h->table);
}

static void free_memory(struct plugin_host *h)
{
    for (uint32_t i = 0; h->dirs != NULL && i < h->cfg.n_dirs; i++)
        free(h->dirs[i].path);
    free(h->dirs);
    free(h->module);
    free(h);
}

/* Copies name and directories; false when memory is short. */
static bool copy_config(struct plugin_host *h, const struct plugin_host_config *cfg)
{
    h->cfg = *cfg;
    h->os = cfg->os;
    h->module = strdup(cfg->module);
    h->dirs = calloc((size_t)cfg->n_dirs + 1, sizeof *h->dirs);
    if (h->module == NULL || h->dirs == NULL)
        return false;
    h->log = subsystem_named(h->module);
    for (uint32_t i = 0; i < cfg->n_dirs; i++) {
        struct host_dir *d = &h->dirs[i];
        d->path = strdup(cfg->dirs[i].path);
        if (d->path == NULL)
            return false;
        d->path_len = strlen(d->path);
        d->id = cfg->dirs[i].id;
        atomic_init(&d->online, cfg->dirs[i].online);
    }
    h->cfg.dirs = NULL;
    h->cfg.module = h->module;
    return h->log != NULL;
}

int32_t plugin_host_new(const struct plugin_host_config *cfg, struct plugin_host **out)
{
    struct plugin_host *h = calloc(1, sizeof *h);
    *out = NULL;
    if (h == NULL)
        return CHRONIK_E_NOMEM;
    CHECK(cfg->fatal != NULL && cfg->dir_failed != NULL && cfg->settings.i64 != NULL && cfg->settings.str != NULL);
    if (!copy_config(h, cfg)) {
        free_memory(h);
        return CHRONIK_E_NOMEM;
    }
    os_mutex_init(&h->lock, LOCK_REGISTRY);
    fill_table(h);
    *out = h;
    return CHRONIK_DONE;
}

void plugin_host_free(struct plugin_host *h)
{
    host_streams_free(h);
    while (h->execs != NULL) {
        struct chronik_exec *e = h->execs;
        h->execs = e->next;
        if (e->own) {
            /* Its thread may still touch the host: neither can go. */
            log_write(h->module, LOG_ERROR, "the module left its executor '%s' running", e->name);
            return;
        }
        free(e);
    }
    os_mutex_destroy(&h->lock);
    free_memory(h);
}

const struct chronik_host *plugin_host_table(struct plugin_host *h)
{
    return &h->table;
}

void plugin_host_dir_online(struct plugin_host *h, uint32_t dir, bool online)
{
    CHECK(dir < h->cfg.n_dirs);
    atomic_store(&h->dirs[dir].online, online);
}
