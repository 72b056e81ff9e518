/* broker.c: wiring and order. Start: directories, store, metadata, requests, network, listeners; nothing of it waits
 * for consensus. Stop: listeners, requests, metadata, partitions, store. Runs on the main thread. */
#include "main/broker.h"

#include "api/api.h"
#include "api/features.h"
#include "base/log.h"
#include "base/uuid.h"
#include "coord/coord.h"
#include "coord/expiry.h"
#include "main/admin_parts.h"
#include "main/descriptors.h"
#include "main/meta_routes.h"
#include "main/dynamic.h"
#include "main/reconcile_ops.h"
#include "plugin/host.h"

#include <stdio.h>
#include <stdlib.h>

LOG_SUBSYSTEM("main");

enum { MAX_LISTENERS = 16, RETENTION_MS_LEAST = 1000, GIVE_UP_S = 60, STUCK_STATUS = 75 };
static const int64_t second = INT64_C(1000000000);
static const int64_t gate_ns = INT64_C(3) * 1000000000; /* requests wait this long for a starting broker */

struct broker {
    struct broker_options o;
    struct os *os;
    struct datadirs dirs;
    struct descriptors descriptors;
    struct plugin_host *store_host, *meta_host;
    chronik_store *store;
    struct os_exec *low;
    struct part_set *parts;
    struct meta *meta;
    struct coord *coord;
    struct api *api;
    struct net *net;
    struct dynamic dynamic;
    struct admin_parts admin;
    struct reconcile_ops reconcile;
    struct expiry *expiry;
    struct chronik_task retention;
    bool stopping;                 /* atomic, set under door */
    bool serving;                  /* atomic: requests have been let in */
    bool hurried;                  /* atomic: a slow step is not waited for any more */
    struct os_mutex door;          /* opening excludes the beginning of a stop; a hurry the end of the network */
    uint16_t ports[MAX_LISTENERS]; /* bound, by configured listener */
    struct meta_endpoint endpoints[MAX_LISTENERS];
    uint32_t n_endpoints;
    struct os_flag flag; /* of the step that the main thread waits for */
    struct os_flag net_flag;
    int32_t flag_result;
};

/* ---- small steps ---- */

/* A module's settings, and what it is given a share of. */
static int32_t config_i64_of(void *arg, const char *key, int64_t *out)
{
    const struct broker *b = arg;
    if (strcmp(key, "chronik.descriptors.data") != 0)
        return config_get_i64(b->o.config, key, out);
    *out = b->descriptors.data;
    return CHRONIK_DONE;
}

static int32_t config_str_of(void *arg, const char *key, const char **out)
{
    const struct broker *b = arg;
    return config_get_str(b->o.config, key, out);
}

static void module_fatal(void *arg, int32_t code, const char *text)
{
    struct broker *b = arg;
    b->o.fatal(b->o.arg, code, text);
}

static void dir_failed(void *arg, uint32_t dir, const char *text)
{
    struct broker *b = arg;
    log_error("data directory %s is offline: %s", dir < b->dirs.n ? b->dirs.v[dir].path : "?", text);
}

static int32_t make_host(struct broker *b, const char *module, const struct plugin_dir_config *dirs, uint32_t n,
                         struct plugin_host **out, struct err *e)
{
    struct plugin_host_config cfg = {
        .os = b->os,
        .module = module,
        .settings = {.arg = b, .i64 = config_i64_of, .str = config_str_of},
        .dirs = dirs,
        .n_dirs = n,
        .arg = b,
        .dir_failed = dir_failed,
        .fatal = module_fatal,
    };
    int32_t rc = plugin_host_new(&cfg, out);
    return rc < 0 ? err_set(e, rc, "%s: out of memory for its services", module) : rc;
}

/* Whether "host:port" is our own controller listener, by what a single node's configuration looks like. */
static bool is_own_server(const struct config *c, const char *server)
{
    const struct config_listener *l;
    size_t n = config_listeners(c, &l);
    const char *port = strrchr(server, ':');
    bool local =
        strncmp(server, "localhost:", 10) == 0 || strncmp(server, "127.", 4) == 0 || strncmp(server, "[::1]:", 6) == 0;
    for (size_t i = 0; i < n && port; i++) {
        const char *host = l[i].host;
        bool all = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
        bool same = strlen(host) == (size_t)(port - server) && strncmp(host, server, strlen(host)) == 0;
        if (l[i].controller && l[i].port == atoi(port + 1) && (same || (all && local)))
            return true;
    }
    return false;
}

/* The cluster's id is drawn by whoever forms it: not by us alone when there are others. */
static bool joins_others(const struct broker *b)
{
    const struct config_list *voters = config_list(b->o.config, CFG_CONTROLLER_QUORUM_VOTERS);
    const struct config_list *servers = config_list(b->o.config, CFG_CONTROLLER_QUORUM_BOOTSTRAP_SERVERS);
    return (b->o.meta->desc.capabilities & CHRONIK_CAP_MULTI_NODE) &&
           ((voters && voters->n > 1) ||
            (servers && servers->n > 0 && !(servers->n == 1 && is_own_server(b->o.config, servers->item[0]))));
}

static int32_t open_dirs(struct broker *b, struct err *e)
{
    const struct config_list *l = config_list(b->o.config, CFG_LOG_DIRS);
    struct chronik_uuid want = {{0}};
    const char *id = config_str(b->o.config, CFG_CHRONIK_CLUSTER_ID);
    if (id && !uuid_parse(id, strlen(id), &want))
        return err_set(e, CHRONIK_E_INVAL, "chronik.cluster.id=%s: an id is 22 characters of URL-safe base64", id);
    int32_t rc = datadirs_open(b->os, (const char *const *)l->item, (uint32_t)l->n,
                               (int32_t)config_i64(b->o.config, CFG_NODE_ID),
                               config_bool(b->o.config, CFG_CHRONIK_FORMAT_DIRECTORIES), &want, &b->dirs, e);
    if (rc > 0)
        rc = datadirs_find_meta(b->os, &b->dirs, b->o.meta->desc.name,
                                b->o.meta->desc.capabilities & CHRONIK_CAP_DURABLE, e);
    return rc < 0 ? rc : datadirs_format(b->os, &b->dirs, joins_others(b), e);
}

static uint32_t flush_mode(const struct config *c)
{
    const char *v = config_str(c, CFG_CHRONIK_FLUSH);
    return strcmp(v, "os") == 0         ? CHRONIK_FLUSH_OS
           : strcmp(v, "interval") == 0 ? CHRONIK_FLUSH_INTERVAL
                                        : CHRONIK_FLUSH_GROUP;
}

/* ---- the store ---- */

static int32_t open_store(struct broker *b, struct err *e)
{
    const struct chronik_store_ops *ops = &b->o.store->store;
    struct plugin_dir_config *dirs = calloc(b->dirs.n, sizeof *dirs);
    if (!dirs)
        return err_set(e, CHRONIK_E_NOMEM, "out of memory for the store");
    for (uint32_t i = 0; i < b->dirs.n; i++)
        dirs[i] = (struct plugin_dir_config){.path = b->dirs.v[i].path, .id = b->dirs.v[i].id, .online = true};
    int32_t rc = make_host(b, b->o.store->desc.name, dirs, b->dirs.n, &b->store_host, e);
    free(dirs);
    if (rc < 0)
        return rc;
    if (os_exec_open(b->os, "low", OS_EXEC_LOW, &b->low) < 0)
        return err_set(e, CHRONIK_E_NOMEM, "the background executor could not be started");
    struct part_set_config pc = {
        .os = b->os,
        .ops = ops,
        .flush = flush_mode(b->o.config),
        .node_id = b->dirs.node_id,
        .producer_expiration_ms = config_i64(b->o.config, CFG_PRODUCER_ID_EXPIRATION_MS),
        .low = b->low,
        .host = plugin_host_table(b->store_host),
    };
    b->parts = part_set_new(&pc);
    if (!b->parts)
        return err_set(e, CHRONIK_E_NOMEM, "out of memory for the partitions");
    struct chronik_store_config sc = {
        .size = sizeof sc, .node_id = (uint32_t)b->dirs.node_id, .cluster_id = b->dirs.cluster_id};
    struct chronik_store_events ev;
    part_set_events(b->parts, &ev);
    rc = ops->create(plugin_host_table(b->store_host), &sc, &ev, &b->store);
    if (rc < 0)
        return err_set(e, rc, "%s: create failed (code %d)", b->o.store->desc.name, rc);
    char text[400] = "";
    rc = ops->start(b->store, text, sizeof text);
    if (rc < 0)
        return err_set(e, rc, "%s: %s", b->o.store->desc.name, text[0] ? text : "start failed");
    part_set_store(b->parts, b->store);
    return CHRONIK_DONE;
}

static void retention_run(void *arg)
{
    struct broker *b = arg;
    if (__atomic_load_n(&b->stopping, __ATOMIC_ACQUIRE))
        return;
    part_retention_pass(b->parts);
    int64_t ms = max_i64(config_i64(b->o.config, CFG_LOG_RETENTION_CHECK_INTERVAL_MS), RETENTION_MS_LEAST);
    os_exec_post_at(b->low, &b->retention, os_mono_ns(b->os) + ms * 1000000);
}

static void start_retention(struct broker *b)
{
    int64_t ms = max_i64(config_i64(b->o.config, CFG_LOG_RETENTION_CHECK_INTERVAL_MS), RETENTION_MS_LEAST);
    b->retention = (struct chronik_task){.fn = retention_run, .arg = b};
    os_exec_post_at(b->low, &b->retention, os_mono_ns(b->os) + min_i64(ms, 30000) * 1000000);
}

/* ---- the metadata ---- */

/* A start that cannot know the whole metadata is refused: clients would see a cluster without topics. */
static void meta_failed(void *arg, int32_t code, const char *text)
{
    struct broker *b = arg;
    if (!__atomic_load_n(&b->serving, __ATOMIC_ACQUIRE) && !__atomic_load_n(&b->stopping, __ATOMIC_ACQUIRE))
        b->o.fatal(b->o.arg, 1, text);
    log_error("metadata has stopped: %s", text);
}

static void meta_registered(void *arg, int64_t broker_epoch)
{
    struct broker *b = arg;
    log_debug("registered with broker epoch %lld, %llu partitions", (long long)broker_epoch,
              (unsigned long long)part_set_count(b->parts));
    coord_start(b->coord);
}

/* The first registration of a node that joined: its directories belong to the cluster from here on. */
static void learn_cluster(struct broker *b)
{
    struct meta_reader *r = meta_reader_open(b->meta);
    const struct meta_image *i = meta_enter(r);
    struct chronik_uuid id = meta_cluster_id(i);
    struct err e = {0};
    meta_leave(r);
    meta_reader_close(r);
    if (!meta_uuid_zero(&id) && datadirs_learn(b->os, &b->dirs, &id, &e) < 0)
        log_warn("the cluster's id is written at the next start: %s", e.text);
}

static void first_pass_done(void *arg)
{
    struct broker *b = arg;
    learn_cluster(b);
    os_mutex_lock(&b->door);
    bool open = !b->stopping;
    if (open) {
        __atomic_store_n(&b->serving, true, __ATOMIC_RELEASE);
        api_open(b->api);
        expiry_start(b->expiry);
        admin_parts_ready(&b->admin);
    }
    os_mutex_unlock(&b->door);
    if (open)
        b->o.ready(b->o.arg);
}

static int32_t open_meta(struct broker *b, struct err *e)
{
    const struct datadir *home = &b->dirs.v[b->dirs.meta];
    struct plugin_dir_config dir = {.path = home->path, .id = home->id, .online = true};
    if (make_host(b, b->o.meta->desc.name, &dir, 1, &b->meta_host, e) < 0)
        return e->code;
    char checkpoint[4200];
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint", home->path);
    struct chronik_uuid ids[DATADIRS_MOST];
    for (uint32_t i = 0; i < b->dirs.n; i++)
        ids[i] = b->dirs.v[i].id;
    struct meta_feature first[8];
    uint32_t n_first = 0;
    CHECK(n_features <= ARRAY_LEN(first));
    for (uint32_t i = 0; i < n_features; i++)
        if (features[i].first)
            first[n_first++] = (struct meta_feature){features[i].name, features[i].first};
    bool durable = b->o.meta->desc.capabilities & CHRONIK_CAP_DURABLE;
    struct meta_options opt = {
        .node_id = b->dirs.node_id,
        .checkpoint = durable ? checkpoint : NULL,
        .kv = durable ? b->o.kv : NULL,
        .cluster_id = b->dirs.cluster_id,
        .self = {.cluster_id = b->dirs.cluster_id,
                 .rack = config_str(b->o.config, CFG_BROKER_RACK),
                 .endpoints = b->endpoints,
                 .n_endpoints = b->n_endpoints,
                 .dirs = ids,
                 .n_dirs = b->dirs.n,
                 .features = first,
                 .n_features = n_first},
        .join = true,
        .arg = b,
        .registered = meta_registered,
        .failed = meta_failed,
    };
    return meta_new(b->os, plugin_host_table(b->meta_host), &b->o.meta->meta, &opt, &b->meta, e);
}

static int32_t open_coord(struct broker *b, struct err *e)
{
    const struct config *c = b->o.config;
    struct coord_options o = {
        .os = b->os,
        .node_id = b->dirs.node_id,
        .slots = (uint32_t)config_i64(c, CFG_OFFSETS_TOPIC_NUM_PARTITIONS),
        .initial_rebalance_delay_ms = config_i64(c, CFG_GROUP_INITIAL_REBALANCE_DELAY_MS),
        .min_session_timeout_ms = (int32_t)config_i64(c, CFG_GROUP_MIN_SESSION_TIMEOUT_MS),
        .max_session_timeout_ms = (int32_t)config_i64(c, CFG_GROUP_MAX_SESSION_TIMEOUT_MS),
        .max_group_size = (int32_t)config_i64(c, CFG_GROUP_MAX_SIZE),
    };
    b->coord = coord_new(&o);
    return b->coord ? CHRONIK_DONE : err_set(e, CHRONIK_E_NOMEM, "out of memory for the group coordinator");
}

static int32_t open_expiry(struct broker *b, struct err *e)
{
    struct expiry_options o = {
        .os = b->os,
        .exec = b->low,
        .meta = b->meta,
        .coord = b->coord,
        .retention_ms = config_i64(b->o.config, CFG_OFFSETS_RETENTION_MINUTES) * 60 * 1000,
        .interval_ms = config_i64(b->o.config, CFG_OFFSETS_RETENTION_CHECK_INTERVAL_MS),
    };
    b->expiry = expiry_new(&o);
    return b->expiry ? CHRONIK_DONE : err_set(e, CHRONIK_E_NOMEM, "out of memory at start");
}

static int32_t start_meta(struct broker *b, struct err *e)
{
    reconcile_ops_init(&b->reconcile, b->parts, &b->o.store->store, b->store, b->o.config);
    int32_t rc = meta_reconcile_start(b->meta, &b->reconcile.ops, e);
    if (rc < 0)
        return rc;
    meta_reconcile_on_first_pass(b->meta, first_pass_done, b);
    dynamic_open(&b->dynamic, b->meta, b->o.config, b->parts, b->net, b->dirs.node_id);
    return meta_start(b->meta, e);
}

/* ---- the network ---- */

static int32_t open_net(struct broker *b, struct err *e)
{
    const struct config *c = b->o.config;
    int64_t loops = config_i64(c, CFG_CHRONIK_LOOPS);
    struct net_config nc = {
        .loops = (uint32_t)(loops ? loops : os_processors(b->os)),
        .max_frame = (uint32_t)config_i64(c, CFG_SOCKET_REQUEST_MAX_BYTES),
        .max_queued = (uint64_t)max_i64(config_i64(c, CFG_QUEUED_MAX_REQUEST_BYTES), 0),
        .max_connections = (uint32_t)min_i64(config_i64(c, CFG_MAX_CONNECTIONS), UINT32_MAX),
        .max_connections_per_ip = (uint32_t)min_i64(config_i64(c, CFG_MAX_CONNECTIONS_PER_IP), UINT32_MAX),
        .reserve_files = (uint32_t)(os_file_limit(b->os) - b->descriptors.clients),
        .idle_ns = config_i64(c, CFG_CONNECTIONS_MAX_IDLE_MS) * 1000000,
    };
    struct net_handler h;
    api_handler(b->api, &h);
    int32_t rc = net_open(b->os, &nc, &h, &b->net, e);
    return rc < 0 ? rc : api_start(b->api, b->net, e);
}

/* Binds listener number i and adds the endpoint that its name is known by. */
static int32_t listen_one(struct broker *b, const struct config_listener *l, size_t i, struct err *e)
{
    char address[300];
    const struct net_listener_info *info;
    config_listener_address(l, address, sizeof address);
    /* The IPv6 twin of port 0 takes the port that its twin got. */
    if (l->port == 0 && l->optional && i > 0)
        snprintf(address, sizeof address, "[%s]:%u", l->host, b->ports[i - 1]);
    int32_t rc = net_listen(b->net, l->name, address, &info, e);
    if (rc < 0 && l->optional) {
        log_info("listener %s is left out: %s", address, e->text);
        return CHRONIK_DONE;
    }
    if (rc < 0)
        return rc;
    b->ports[i] = info->port;
    for (uint32_t k = 0; k < b->n_endpoints; k++)
        if (strcmp(b->endpoints[k].listener, l->name) == 0)
            return CHRONIK_DONE;
    b->endpoints[b->n_endpoints++] = (struct meta_endpoint){
        .listener = l->name, .host = l->advertised_host, .port = l->advertised_port ? l->advertised_port : info->port};
    return CHRONIK_DONE;
}

static int32_t listen_all(struct broker *b, struct err *e)
{
    const struct config_listener *l;
    size_t n = config_listeners(b->o.config, &l);
    if (n > MAX_LISTENERS)
        return err_set(e, CHRONIK_E_INVAL, "listeners: more than %d of them", MAX_LISTENERS);
    for (size_t i = 0; i < n; i++) {
        int32_t rc = l[i].controller ? CHRONIK_DONE : listen_one(b, &l[i], i, e);
        if (rc < 0)
            return rc;
    }
    return CHRONIK_DONE;
}

static int32_t open_admin(struct broker *b, struct err *e)
{
    b->admin = (struct admin_parts){
        .os = b->os,
        .meta = b->meta,
        .parts = b->parts,
        .coord = b->coord,
        .net = b->net,
        .dirs = &b->dirs,
        .meta_module = b->o.meta->desc.name,
        .store_module = b->o.store->desc.name,
    };
    return admin_parts_open(&b->admin, b->o.config, e);
}

/* ---- start and stop ---- */

static int32_t start(struct broker *b, struct err *e)
{
    int32_t rc = descriptors_share(os_file_limit(b->os), config_i64(b->o.config, CFG_CHRONIK_DESCRIPTORS_RESERVE),
                                   config_i64(b->o.config, CFG_MAX_CONNECTIONS), &b->descriptors, e);
    if (rc > 0)
        rc = open_dirs(b, e);
    if (rc > 0)
        rc = open_store(b, e);
    if (rc < 0)
        return rc;
    const char **paths = calloc(b->dirs.n, sizeof *paths);
    struct chronik_uuid *ids = calloc(b->dirs.n, sizeof *ids);
    if (!paths || !ids)
        return err_set(e, CHRONIK_E_NOMEM, "out of memory at start");
    for (uint32_t i = 0; i < b->dirs.n; i++) {
        paths[i] = b->dirs.v[i].path;
        ids[i] = b->dirs.v[i].id;
    }
    rc = open_coord(b, e);
    if (rc < 0)
        return rc;
    struct api_config ac = {
        .os = b->os,
        .config = b->o.config,
        .parts = b->parts,
        .coord = b->coord,
        .log_dirs = paths,
        .log_dir_ids = ids,
        .n_log_dirs = b->dirs.n,
        .node_id = b->dirs.node_id,
        .gate_ns = gate_ns,
    };
    b->api = api_new(&ac);
    if (!b->api)
        return err_set(e, CHRONIK_E_NOMEM, "out of memory at start");
    /* Bind first: the endpoints that metadata announces carry the bound ports. Requests wait at the gate. */
    rc = open_net(b, e);
    if (rc > 0)
        rc = listen_all(b, e);
    if (rc > 0)
        rc = open_meta(b, e);
    if (rc > 0)
        rc = api_set_meta(b->api, b->meta, e);
    if (rc > 0 && !coord_set_meta(b->coord, b->meta))
        rc = err_set(e, CHRONIK_E_NOMEM, "out of memory for the group coordinator");
    if (rc > 0)
        rc = open_admin(b, e);
    if (rc > 0)
        rc = open_expiry(b, e);
    if (rc > 0)
        rc = start_meta(b, e);
    if (rc > 0)
        start_retention(b);
    return rc;
}

static void step_done(void *arg, int32_t result)
{
    struct broker *b = arg;
    b->flag_result = result;
    os_flag_set(b->os, &b->flag);
}

static void net_stopped(void *arg)
{
    struct broker *b = arg;
    os_flag_set(b->os, &b->net_flag);
}

/* What a step still uses cannot be torn down under it: a slow disk is waited for. When even that has no end, the
 * process ends as kill -9 would end it, which loses nothing that was acknowledged. */
static void wait_step(struct broker *b, const char *what, int64_t most_ns)
{
    int64_t began = os_mono_ns(b->os);
    while (!os_flag_wait(b->os, &b->flag, most_ns)) {
        int64_t s = (os_mono_ns(b->os) - began) / second;
        if (s >= GIVE_UP_S || __atomic_load_n(&b->hurried, __ATOMIC_ACQUIRE)) {
            log_error("%s did not end in %lld s; the process ends without it, and the next start recovers", what,
                      (long long)s);
            os_exit(b->os, STUCK_STATUS);
        }
        log_warn("%s has not ended after %lld s (a slow disk?); a second signal ends the wait", what, (long long)s);
        most_ns = 5 * second;
    }
    b->flag.set = 0;
}

static void stop_net(struct broker *b, int64_t grace_ns)
{
    if (!b->net)
        return;
    api_drain(b->api);
    net_stop(b->net, grace_ns, net_stopped, b);
    /* Requests that wait for metadata end with it: close_net waits for them again. */
    if (!os_flag_wait(b->os, &b->net_flag, grace_ns + 5 * second))
        log_warn("the network did not end in time; what it waits for is stopped next");
}

/* Not before the metadata has ended: applied changes reach the loops and the network's settings. */
static void close_net(struct broker *b)
{
    os_mutex_lock(&b->door);
    struct net *net = b->net;
    b->net = NULL;
    os_mutex_unlock(&b->door);
    if (net)
        net_close(net);
}

static void stop_meta(struct broker *b)
{
    if (!b->meta)
        return;
    meta_close(b->meta, (struct chronik_done){step_done, b});
    wait_step(b, "the metadata", 5 * second);
}

static void stop_store(struct broker *b)
{
    if (b->parts)
        part_close_all(b->parts);
    if (b->low) {
        os_exec_close(b->low); /* sidecars, then the store's side of each partition */
        b->low = NULL;
    }
    if (!b->store)
        return;
    int32_t rc = b->o.store->store.close(b->store, (struct chronik_done){step_done, b});
    if (rc == CHRONIK_PENDING)
        wait_step(b, "the store", 5 * second);
    b->store = NULL;
}

void broker_stop(struct broker *b, int64_t grace_ns)
{
    if (!b)
        return;
    os_mutex_lock(&b->door);
    __atomic_store_n(&b->stopping, true, __ATOMIC_RELEASE);
    os_mutex_unlock(&b->door);
    admin_parts_draining(&b->admin);
    coord_stop(b->coord);
    stop_net(b, grace_ns);
    admin_parts_close(&b->admin);
    if (b->expiry)
        expiry_stop(b->expiry);
    stop_meta(b);
    close_net(b);
    stop_store(b);
    if (b->api) {
        free((void *)b->api->c.log_dirs);
        free((void *)b->api->c.log_dir_ids);
    }
    api_free(b->api);
    coord_free(b->coord);
    expiry_free(b->expiry);
    if (b->meta)
        meta_free(b->meta);
    meta_routes_free(b->admin.meta_routes);
    dynamic_close(&b->dynamic);
    part_set_free(b->parts);
    if (b->meta_host)
        plugin_host_free(b->meta_host);
    if (b->store_host)
        plugin_host_free(b->store_host);
    datadirs_close(&b->dirs);
}

void broker_free(struct broker *b)
{
    if (!b)
        return;
    os_mutex_destroy(&b->door);
    free(b);
}

void broker_hurry(struct broker *b)
{
    __atomic_store_n(&b->hurried, true, __ATOMIC_RELEASE);
    os_mutex_lock(&b->door);
    if (b->net)
        net_stop(b->net, 0, NULL, NULL);
    os_mutex_unlock(&b->door);
}

int32_t broker_start(const struct broker_options *o, struct broker **out, struct err *e)
{
    struct broker *b = calloc(1, sizeof *b);
    if (!b)
        return err_set(e, CHRONIK_E_NOMEM, "out of memory at start");
    b->o = *o;
    b->os = o->os;
    os_mutex_init(&b->door, LOCK_CONFIG);
    int32_t rc = start(b, e);
    if (rc < 0) {
        broker_stop(b, 0);
        broker_free(b);
        return rc;
    }
    *out = b;
    return CHRONIK_DONE;
}

void broker_facts(struct broker *b, struct broker_facts *out)
{
    *out = (struct broker_facts){
        .node_id = b->dirs.node_id, .ports = b->ports, .admin = b->admin.address[0] ? b->admin.address : NULL};
    out->cluster_known = datadirs_cluster(&b->dirs, &out->cluster_id);
}
