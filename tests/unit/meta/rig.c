/* rig.c: see rig.h. */
#include "rig.h"

#include <chronik/plugin.h>
#include <stdio.h>
#include <stdlib.h>

const struct chronik_plugin *meta_mem_plugin(void);

const struct chronik_meta_ops *rig_mem_ops(void)
{
    return meta_mem_plugin()->ops;
}

static int32_t set_i64(void *arg, const char *key, int64_t *out)
{
    struct rig *r = arg;
    if (!strstr(key, "bytes"))
        return CHRONIK_E_NOTFOUND;
    *out = strstr(key, "file") ? r->file_bytes : r->snapshot_bytes;
    return CHRONIK_DONE;
}

static int32_t set_str(void *arg, const char *key, const char **out)
{
    return CHRONIK_E_NOTFOUND;
}

static void dir_failed(void *arg, uint32_t dir, const char *text)
{
    fprintf(stderr, "directory %u: %s\n", dir, text);
}

static void host_fatal(void *arg, int32_t code, const char *text)
{
    struct rig *r = arg;
    snprintf(r->failed_text, sizeof r->failed_text, "%s", text);
    os_exit(r->os, code);
}

static void on_registered(void *arg, int64_t epoch)
{
    struct rig *r = arg;
    os_flag_set(r->os, &r->registered);
}

static void on_caught_up(void *arg)
{
    struct rig *r = arg;
    os_flag_set(r->os, &r->caught_up);
}

static void on_failed(void *arg, int32_t code, const char *text)
{
    struct rig *r = arg;
    snprintf(r->failed_text, sizeof r->failed_text, "%s", text);
    os_flag_set(r->os, &r->failed);
}

void rig_init(struct rig *r, struct os *os, const struct chronik_meta_ops *ops)
{
    memset(r, 0, sizeof *r);
    static const struct meta_endpoint ep = {"PLAINTEXT", "localhost", 9092, 0};
    r->os = os;
    r->ops = ops;
    r->snapshot_bytes = r->file_bytes = 64 << 20;
    r->opt = (struct meta_options){.node_id = 1,
                                   .join = true,
                                   .checkpoint_ms = 1,
                                   .arg = r,
                                   .caught_up = on_caught_up,
                                   .registered = on_registered,
                                   .failed = on_failed};
    r->opt.self.endpoints = &ep;
    r->opt.self.n_endpoints = 1;
    snprintf(r->dir, sizeof r->dir, "/");
}

bool rig_begin(struct rig *r)
{
    struct plugin_dir_config dir = {.path = r->dir, .id = rig_id(999), .online = true};
    struct plugin_host_config cfg = {.os = r->os,
                                     .module = "meta",
                                     .settings = {r, set_i64, set_str},
                                     .dirs = &dir,
                                     .n_dirs = 1,
                                     .arg = r,
                                     .dir_failed = dir_failed,
                                     .fatal = host_fatal};
    r->registered = r->caught_up = r->closed = r->failed = (struct os_flag){0};
    CHECK(plugin_host_new(&cfg, &r->host) == CHRONIK_DONE);
    struct err e = {0};
    if (meta_new(r->os, plugin_host_table(r->host), r->ops, &r->opt, &r->m, &e) < 0) {
        snprintf(r->failed_text, sizeof r->failed_text, "%.255s", e.text);
        plugin_host_free(r->host);
        return false;
    }
    r->reader = meta_reader_open(r->m);
    return true;
}

void rig_start(struct rig *r)
{
    CHECK(rig_begin(r));
    struct err e = {0};
    CHECK(meta_start(r->m, &e) == CHRONIK_DONE);
    CHECK(os_flag_wait(r->os, r->opt.join ? &r->registered : &r->caught_up, INT64_C(20000000000)));
}

static void on_closed(void *arg, int32_t rc)
{
    struct rig *r = arg;
    os_flag_set(r->os, &r->closed);
}

void rig_close(struct rig *r)
{
    meta_reader_close(r->reader);
    meta_close(r->m, (struct chronik_done){on_closed, r});
    CHECK(os_flag_wait(r->os, &r->closed, INT64_C(20000000000)));
}

void rig_free(struct rig *r)
{
    meta_free(r->m);
    plugin_host_free(r->host);
    r->m = NULL;
}

void rig_stop(struct rig *r)
{
    rig_close(r);
    rig_free(r);
}

struct waiting {
    struct rig *r;
    struct rig_result *out;
};

static void on_done(void *arg, const struct meta_result *res)
{
    struct waiting *w = arg;
    w->out->code = res->code;
    w->out->seq = res->seq;
    memcpy(w->out->values, res->values, sizeof res->values);
    snprintf(w->out->text, sizeof w->out->text, "%s", res->text);
    os_flag_set(w->r->os, &w->out->done);
    free(w);
}

void rig_post(struct rig *r, const struct meta_command *c, int64_t timeout_ms, struct rig_result *out)
{
    memset(out, 0, sizeof *out);
    struct waiting *w = meta_xmalloc(sizeof *w);
    *w = (struct waiting){r, out};
    out->refused = meta_propose(r->m, META_CLIENT, c, timeout_ms, on_done, w);
    if (out->refused < 0)
        free(w);
}

struct rig_result rig_do(struct rig *r, const struct meta_command *c)
{
    struct rig_result out;
    rig_post(r, c, 0, &out);
    CHECK(out.refused == CHRONIK_PENDING);
    CHECK(os_flag_wait(r->os, &out.done, INT64_C(40000000000)));
    return out;
}

struct chronik_uuid rig_id(uint64_t n)
{
    struct chronik_uuid u = {{1}};
    put_be64(u.b + 8, n);
    put_be32(u.b + 2, (uint32_t)(n * 2654435761u));
    return u;
}

struct rig_result rig_create(struct rig *r, const char *name, uint64_t id, uint32_t partitions)
{
    struct meta_assignment *a = meta_xmalloc(partitions * sizeof *a);
    for (uint32_t i = 0; i < partitions; i++)
        a[i] = (struct meta_assignment){.replicas = &r->opt.node_id, .n_replicas = 1};
    struct meta_command c = {.type = META_CMD_TOPIC_CREATE};
    c.u.topic_create =
        (struct meta_topic_create){.id = rig_id(id), .name = name, .partitions = a, .n_partitions = partitions};
    struct rig_result res = rig_do(r, &c);
    free(a);
    return res;
}

struct rig_result rig_delete(struct rig *r, uint64_t id)
{
    struct meta_command c = {.type = META_CMD_TOPIC_DELETE};
    c.u.topic_delete.id = rig_id(id);
    return rig_do(r, &c);
}

struct rig_result rig_config(struct rig *r, const char *topic, const char *key, const char *value)
{
    struct meta_kv e = {key, value, false};
    struct meta_command c = {.type = META_CMD_CONFIG_SET};
    c.u.config_set = (struct meta_config_set){.type = META_RES_TOPIC, .name = topic, .entries = &e, .n_entries = 1};
    return rig_do(r, &c);
}
