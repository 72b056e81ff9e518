/* node.c: one node of the quorum: its settings, the module's host, the metadata; its deaths and restarts. */
#include "quorum.h"

#include <stdio.h>
#include <stdlib.h>

#include <chronik/plugin.h>

const struct chronik_plugin *meta_raft_plugin(void);

static int32_t get_i64(void *arg, const char *key, int64_t *out)
{
    if (strcmp(key, "chronik.meta-raft.snapshot.bytes") == 0)
        *out = q.snapshot_bytes;
    else if (strcmp(key, "chronik.meta-raft.file.bytes") == 0)
        *out = 8192;
    else
        return CHRONIK_E_NOTFOUND;
    return CHRONIK_DONE;
}

static int32_t get_str(void *arg, const char *key, const char **out)
{
    struct node *n = arg;
    bool named = n->id <= q.first;
    *out = NULL;
    if (q.n == 1)
        return CHRONIK_E_NOTFOUND;
    if (named && strcmp(key, "controller.quorum.voters") == 0)
        *out = q.voters;
    else if (!named && strcmp(key, "controller.quorum.bootstrap.servers") == 0)
        *out = q.servers;
    else if (!named && strcmp(key, "controller.listener.names") == 0)
        *out = "CONTROLLER";
    else if (!named && strcmp(key, "listeners") == 0)
        *out = n->listeners;
    return *out ? CHRONIK_DONE : CHRONIK_E_NOTFOUND;
}

static void on_dir_failed(void *arg, uint32_t dir, const char *text)
{
}

static void on_fatal(void *arg, int32_t code, const char *text)
{
    struct node *n = arg;
    snprintf(n->failed_text, sizeof n->failed_text, "%s", text);
    os_exit(n->os, code);
}

static void on_registered(void *arg, int64_t epoch)
{
    ((struct node *)arg)->registered = true;
}

static void on_failed(void *arg, int32_t code, const char *text)
{
    struct node *n = arg;
    n->failed = true;
    snprintf(n->failed_text, sizeof n->failed_text, "%s", text);
}

static void on_image(void *arg, const struct meta_image *i, const struct meta_change *c, uint32_t k)
{
    judge_image(arg, i);
}

static void run(void *arg)
{
    struct node *n = arg;
    struct err e = {0};
    static const struct meta_endpoint endpoint = {"PLAINTEXT", "localhost", 9092, 0};
    struct plugin_dir_config dir = {.path = "/", .id = {{(uint8_t)n->id}}, .online = true};
    struct plugin_host_config cfg = {.os = n->os,
                                     .module = "meta",
                                     .settings = {n, get_i64, get_str},
                                     .dirs = &dir,
                                     .n_dirs = 1,
                                     .arg = n,
                                     .dir_failed = on_dir_failed,
                                     .fatal = on_fatal};
    struct meta_options opt = {.node_id = n->id,
                               .checkpoint = "/state",
                               .kv = n->kv,
                               .join = true,
                               .checkpoint_ms = 5,
                               .arg = n,
                               .registered = on_registered,
                               .failed = on_failed};
    opt.self.endpoints = &endpoint;
    opt.self.n_endpoints = 1;
    CHECK(plugin_host_new(&cfg, &n->host) == CHRONIK_DONE);
    n->table = *plugin_host_table(n->host);
    cuts_wrap(&n->table);
    threads_wrap(&n->table);
    if (meta_new(n->os, &n->table, tickets_wrap(meta_raft_plugin()->ops), &opt, &n->m, &e) < 0) {
        quorum_break("node %d is not made: %s", n->id, e.text);
        return;
    }
    n->reader = meta_reader_open(n->m);
    n->sub = (struct meta_sub){.fn = on_image, .arg = n, .every = true};
    meta_subscribe(n->m, &n->sub);
    n->running = true;
    if (meta_start(n->m, &e) < 0)
        on_failed(n, e.code, e.text);
}

void node_init(struct node *n, int id)
{
    *n = (struct node){.id = id};
    snprintf(n->name, sizeof n->name, "n%d", id);
    snprintf(n->listeners, sizeof n->listeners, "CONTROLLER://n%d:9093", id);
    n->os = sim_node(q.w, n->name);
    n->kv = meta_kv_mem_new();
}

void node_start(struct node *n)
{
    n->host = NULL;
    n->m = NULL;
    n->running = n->registered = n->failed = n->refused = n->aimed = n->installing = false;
    n->failing = n->ill;
    sim_cut_at(n->os, 0);
    n->failed_text[0] = 0;
    n->seen_commit = n->seen_term = n->seen_applied = n->seen_seq = n->seen_last = n->seen_handed = 0;
    n->lives++;
    sim_call(n->os, run, n);
}

/* A power cut may leave anything in the checkpoint. */
static void hurt_checkpoint(struct node *n)
{
    for (uint64_t k = sim_rand(q.w, 4); k > 0; k--)
        meta_kv_mem_damage(n->kv, sim_rand(q.w, UINT64_MAX));
}

void node_kill(struct node *n, bool power)
{
    n->running = false;
    if (!sim_up(n->os))
        return;
    if (power) {
        q.counts->cuts++;
        sim_power_cut(n->os);
        hurt_checkpoint(n);
    } else {
        q.counts->kills++;
        sim_kill(n->os);
    }
}

static void unlink_one(void *arg, const char *name, bool is_dir)
{
    struct node *n = arg;
    char path[256];
    snprintf(path, sizeof path, "%s/%s", n->wiping, name);
    if (!is_dir)
        os_unlink(n->os, path);
}

static void wipe(void *arg)
{
    static const char *const folders[] = {"/meta-raft/log", "/meta-raft"};
    struct node *n = arg;
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        n->wiping = folders[i];
        os_list(n->os, folders[i], unlink_one, n);
        os_sync_dir(n->os, folders[i]);
    }
}

void node_wipe(struct node *n)
{
    q.counts->wiped++;
    q.wiped = true;
    sim_note(q.w, "operator: a new disk for node %d%s", n->id, n->doubtful ? ", for the doubtful one" : "");
    harm_mend(n);
    sim_disk_budget(n->os, UINT64_MAX); /* a new disk */
    sim_restart(n->os);
    sim_cut_at(n->os, 0);
    sim_call(n->os, wipe, n);
    sim_disk_settle(n->os);
    node_forget(n);
    n->doubtful = false;
    n->old_replica = 0;
    sim_copy_free(n->copy);
    n->copy = NULL;
    node_start(n);
}

void node_forget(struct node *n)
{
    n->kv->close(n->kv);
    n->kv = meta_kv_mem_new();
}

void node_restart(struct node *n)
{
    q.counts->restarts++;
    if (n->aimed && sim_exit_code(n->os) == -1) {
        q.counts->aimed++;
        hurt_checkpoint(n);
    }
    sim_restart(n->os);
    node_start(n);
}

void node_version(struct node *n, bool older)
{
    if (n->older == older)
        return;
    n->older = older;
    q.counts->older += older;
    node_kill(n, false);
    if (!sim_up(n->os))
        node_restart(n);
}

/* wire.c's, in the test build: which version of the frames the node speaks whose code runs. */
uint32_t wire_speaks(void);

uint32_t wire_speaks(void)
{
    struct os *os = sim_running(q.w);
    for (int i = 0; i < q.n; i++)
        if (q.nodes[i].os == os && q.nodes[i].older)
            return QUORUM_FRAMES - 1;
    return QUORUM_FRAMES;
}

struct rc *node_core(const struct node *n)
{
    return n->running && sim_up(n->os) && n->m ? inside_core(n->m->engine) : NULL;
}
