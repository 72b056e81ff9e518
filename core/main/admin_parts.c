/* admin_parts.c: the sections of /status, the conditions of /readyz and the gauges of /metrics that need more than one
 * part of the broker. Sections run on the admin thread and only read. */
#include "main/admin_parts.h"

#include "base/metrics.h"
#include "base/uuid.h"
#include "main/meta_routes.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

enum { STUCK_MS = 10000 };

static void add_number(struct cJSON *o, const char *name, uint64_t v)
{
    cJSON_AddNumberToObject(o, name, (double)v);
}

static void show_broker(void *arg, struct cJSON *o)
{
    struct admin_parts *a = arg;
    char id[UUID_TEXT];
    struct chronik_uuid cluster;
    bool known = datadirs_cluster(a->dirs, &cluster);
    cJSON_AddStringToObject(o, "cluster_id", known ? uuid_text(&cluster, id) : "");
    cJSON_AddNumberToObject(o, "node_id", a->dirs->node_id);
    cJSON_AddNumberToObject(o, "broker_epoch", (double)meta_broker_epoch(a->meta));
    cJSON_AddStringToObject(o, "meta_module", a->meta_module);
    cJSON_AddStringToObject(o, "store_module", a->store_module);
    add_number(o, "connections", net_connections(a->net));
    add_number(o, "open_partitions", part_set_count(a->parts));
}

static void digest_text(const uint64_t digest[2], char text[40])
{
    snprintf(text, 40, "%016llx%016llx", (unsigned long long)digest[0], (unsigned long long)digest[1]);
}

/* What shows that nodes agree while they work: states are equal where commands are. */
static int get_digests(void *arg, struct admin_call *c)
{
    struct admin_parts *a = arg;
    struct meta_digest *v = calloc(META_TRAIL, sizeof *v);
    struct cJSON *o = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(o, "digests");
    uint32_t n = v ? meta_digests(a->meta, v) : 0;
    for (uint32_t i = 0; i < n; i++) {
        char text[40];
        struct cJSON *row = cJSON_CreateArray();
        digest_text(v[i].digest, text);
        cJSON_AddItemToArray(row, cJSON_CreateNumber((double)v[i].seq));
        cJSON_AddItemToArray(row, cJSON_CreateString(text));
        cJSON_AddItemToArray(list, row);
    }
    free(v);
    return admin_json(c, o);
}

static void show_meta(void *arg, struct cJSON *o)
{
    struct admin_parts *a = arg;
    struct meta_status s;
    char digest[40];
    meta_status_get(a->meta, &s);
    digest_text(s.digest, digest);
    cJSON_AddStringToObject(o, "role",
                            s.engine.role == CHRONIK_META_ROLE_LEADER     ? "leader"
                            : s.engine.role == CHRONIK_META_ROLE_FOLLOWER ? "follower"
                                                                          : "none");
    cJSON_AddNumberToObject(o, "leader", s.engine.leader);
    add_number(o, "epoch", s.engine.epoch);
    add_number(o, "proposed", s.engine.proposed);
    add_number(o, "persisted", s.engine.persisted);
    add_number(o, "committed", s.engine.committed);
    add_number(o, "applied", s.applied_index);
    add_number(o, "seq", s.seq);
    cJSON_AddStringToObject(o, "digest", digest);
    add_number(o, "checkpoint_seq", s.checkpoint_seq);
    add_number(o, "snapshot_seq", s.snapshot_seq);
    add_number(o, "queued", s.queued);
    add_number(o, "open", s.open);
    add_number(o, "topics", s.topics);
    add_number(o, "partitions", s.partitions);
    add_number(o, "brokers", s.brokers);
    add_number(o, "image_bytes", s.image_bytes);
    cJSON_AddBoolToObject(o, "caught_up", s.caught_up);
    cJSON_AddBoolToObject(o, "registered", s.registered);
    cJSON_AddStringToObject(o, "stalled", s.stalled[0] ? s.stalled : s.engine_stalled);
    cJSON_AddStringToObject(o, "stopped", s.stopped_why);
    cJSON_AddStringToObject(o, "checkpoint", s.checkpoint);
}

static void show_partitions(void *arg, struct cJSON *o)
{
    struct admin_parts *a = arg;
    struct meta_reconcile_status s;
    meta_reconcile_status_get(a->meta, &s);
    add_number(o, "opened", s.opened);
    char damage[400];
    add_number(o, "failed", s.failed);
    add_number(o, "offline", part_set_offline(a->parts, damage, sizeof damage));
    cJSON_AddStringToObject(o, "damage", damage);
    add_number(o, "strays", s.strays);
    cJSON_AddStringToObject(o, "stray_names", s.stray_names);
    cJSON_AddStringToObject(o, "last_error", s.last_error);
}

static void show_directories(void *arg, struct cJSON *o)
{
    struct admin_parts *a = arg;
    struct cJSON *list = cJSON_AddArrayToObject(o, "list");
    for (uint32_t i = 0; i < a->dirs->n; i++) {
        struct cJSON *d = cJSON_CreateObject();
        uint64_t free_bytes = 0, total = 0;
        os_disk_free(a->os, a->dirs->v[i].path, &free_bytes, &total);
        cJSON_AddStringToObject(d, "path", a->dirs->v[i].path);
        add_number(d, "free_bytes", free_bytes);
        add_number(d, "total_bytes", total);
        cJSON_AddItemToArray(list, d);
    }
}

/* ---- conditions ---- */

/* Progress is checked: what is committed and not applied without a reason makes the broker unready. A broker that was
 * ready and loses its quorum stays so: it serves the partitions that it leads, as Kafka's does, and to take all of them
 * out of a load balancer would turn an outage of the metadata into one of the data. It says so. */
static bool metadata_holds(void *arg, char *text, size_t n)
{
    struct admin_parts *a = arg;
    struct meta_status s;
    meta_status_get(a->meta, &s);
    const char *wrong = s.stopped_why[0] ? s.stopped_why : s.stalled[0] ? s.stalled : s.engine_stalled;
    bool holds = s.caught_up && s.registered && !s.stopped && !s.stalled[0];
    bool leaderless = holds && s.engine.role == CHRONIK_META_ROLE_NONE;
    snprintf(text, n, "%s, command %llu%s%s%s", s.caught_up ? "caught up" : "catching up", (unsigned long long)s.seq,
             leaderless ? "; DEGRADED, partitions are served and metadata cannot change" : "", wrong[0] ? "; " : "",
             wrong);
    return holds;
}

/* A thread of ours that has stood still for long: a restart cures it. A quorum or a disk that is missing it does not.
 */
static bool metadata_lives(void *arg, char *text, size_t n)
{
    struct admin_parts *a = arg;
    struct meta_status s;
    meta_status_get(a->meta, &s);
    snprintf(text, n, "%s", s.stalled[0] ? s.stalled : s.engine_stalled);
    return s.stuck_ms < STUCK_MS;
}

static bool partitions_hold(void *arg, char *text, size_t n)
{
    struct admin_parts *a = arg;
    struct meta_reconcile_status r;
    struct meta_status s;
    meta_reconcile_status_get(a->meta, &r);
    meta_status_get(a->meta, &s);
    char damage[400];
    uint64_t offline = part_set_offline(a->parts, damage, sizeof damage);
    if (r.first_pass_done)
        snprintf(text, n, "%llu open, %llu failed, %llu offline%s%s%s%s", (unsigned long long)part_set_count(a->parts),
                 (unsigned long long)r.failed, (unsigned long long)offline, r.last_error[0] ? "; last error: " : "",
                 r.last_error, offline ? "; " : "", offline ? damage : "");
    else
        snprintf(text, n, "recovering %llu of %llu", (unsigned long long)r.opened, (unsigned long long)s.partitions);
    return r.first_pass_done;
}

/* ---- gauges ---- */

static int64_t topics(void *arg)
{
    struct meta_status s;
    meta_status_get(((struct admin_parts *)arg)->meta, &s);
    return (int64_t)s.topics;
}

static int64_t open_partitions(void *arg)
{
    return (int64_t)part_set_count(((struct admin_parts *)arg)->parts);
}

static int64_t offline_partitions(void *arg)
{
    char damage[400];
    return (int64_t)part_set_offline(((struct admin_parts *)arg)->parts, damage, sizeof damage);
}

#define PIPELINE(X)                                                                                                    \
    X(proposed, s.engine.proposed)                                                                                     \
    X(persisted, s.engine.persisted)                                                                                   \
    X(committed, s.engine.committed)                                                                                   \
    X(applied, s.applied_index)

/* As Kafka's raft-metrics. */
#define QUORUM(X)                                                                                                      \
    X(current_leader, s.engine.leader, "Node that leads the metadata quorum; -1: none is known")                       \
    X(current_epoch, s.engine.epoch, "Term of the metadata quorum")

#define PIPELINE_GAUGE(name, value)                                                                                    \
    static int64_t meta_##name(void *arg)                                                                              \
    {                                                                                                                  \
        struct meta_status s;                                                                                          \
        meta_status_get(((struct admin_parts *)arg)->meta, &s);                                                        \
        return (int64_t)(value);                                                                                       \
    }
PIPELINE(PIPELINE_GAUGE)
#define QUORUM_GAUGE(name, value, help) PIPELINE_GAUGE(name, value)
QUORUM(QUORUM_GAUGE)

/* As Kafka's group-coordinator-metrics: how many groups are in which state; an empty one is not in memory. */
#define GROUPS(X)                                                                                                      \
    X(preparing, "groups", "state=\"PreparingRebalance\"", "Classic groups that run here, by state")                   \
    X(completing, "groups", "state=\"CompletingRebalance\"", "Classic groups that run here, by state")                 \
    X(stable, "groups", "state=\"Stable\"", "Classic groups that run here, by state")                                  \
    X(members, "group_members", "", "Members of classic groups")                                                       \
    X(rebalances, "group_rebalances", "", "Generations that were completed since the start")

#define GROUPS_GAUGE(field, name, labels, help)                                                                        \
    static int64_t groups_##field(void *arg)                                                                           \
    {                                                                                                                  \
        struct coord_stats s;                                                                                          \
        coord_stats_get(((struct admin_parts *)arg)->coord, &s);                                                       \
        return (int64_t)s.field;                                                                                       \
    }
GROUPS(GROUPS_GAUGE)

static void add_gauges(struct admin_parts *a)
{
#define GROUPS_ADD(field, name, labels, help) metric_gauge_fn(name, labels, help, groups_##field, a);
    GROUPS(GROUPS_ADD)
#undef GROUPS_ADD
    metric_gauge_fn("topics", "", "Topics in the metadata", topics, a);
    metric_gauge_fn("partitions_open", "", "Partitions that this broker has open", open_partitions, a);
    metric_gauge_fn("partitions_offline", "", "Open partitions whose data is damaged or whose directory failed",
                    offline_partitions, a);
#define PIPELINE_ADD(name, value)                                                                                      \
    metric_gauge_fn("meta_log_index", "stage=\"" #name "\"", "How far the metadata log is, by stage", meta_##name, a);
    PIPELINE(PIPELINE_ADD)
#undef PIPELINE_ADD
#define QUORUM_ADD(name, value, help) metric_gauge_fn("meta_" #name, "", help, meta_##name, a);
    QUORUM(QUORUM_ADD)
#undef QUORUM_ADD
}

static void drop_gauges(void)
{
#define GROUPS_DROP(field, name, labels, help) metric_gauge_fn_drop(name, labels);
    GROUPS(GROUPS_DROP)
#undef GROUPS_DROP
    metric_gauge_fn_drop("topics", "");
    metric_gauge_fn_drop("partitions_open", "");
    metric_gauge_fn_drop("partitions_offline", "");
#define PIPELINE_DROP(name, value) metric_gauge_fn_drop("meta_log_index", "stage=\"" #name "\"");
    PIPELINE(PIPELINE_DROP)
#undef PIPELINE_DROP
#define QUORUM_DROP(name, value, help) metric_gauge_fn_drop("meta_" #name, "");
    QUORUM(QUORUM_DROP)
#undef QUORUM_DROP
}

/* ---- life ---- */

int32_t admin_parts_open(struct admin_parts *a, const struct config *c, struct err *e)
{
    const char *address = config_str(c, CFG_CHRONIK_ADMIN_LISTENER);
    a->admin = admin_new(a->os);
    if (!a->admin)
        return err_set(e, CHRONIK_E_NOMEM, "out of memory for the admin listener");
    a->started = admin_condition(a->admin, "started", "reading metadata and opening partitions");
    a->serving = admin_condition(a->admin, "serving", "starting");
    if (!a->started || !a->serving || admin_condition_fn(a->admin, "metadata", metadata_holds, a) < 0 ||
        admin_condition_fn(a->admin, "partitions", partitions_hold, a) < 0 ||
        admin_status(a->admin, "broker", show_broker, a) < 0 || admin_status(a->admin, "meta", show_meta, a) < 0 ||
        admin_status(a->admin, "partitions", show_partitions, a) < 0 ||
        admin_status(a->admin, "directories", show_directories, a) < 0 ||
        admin_route(a->admin, "GET", "/meta/digests", "the state's digest after each of the last commands", get_digests,
                    a) < 0)
        return err_set(e, CHRONIK_E_NOMEM, "out of memory for the admin listener");
    a->meta_routes = meta_routes_open(a->os, a->admin, a->meta);
    if (!a->meta_routes)
        return err_set(e, CHRONIK_E_NOMEM, "out of memory for the admin listener");
    admin_condition_set(a->serving, true, "serving");
    admin_alive_fn(a->admin, metadata_lives, a);
    add_gauges(a);
    if (!address || !*address)
        return CHRONIK_DONE;
    int32_t rc =
        admin_http_open(a->os, a->admin, address, config_str(c, CFG_CHRONIK_ADMIN_TOKEN_FILE), &a->port, &a->http, e);
    if (rc < 0)
        return err_prefix(e, "chronik.admin.listener=%s", address);
    const char *colon = strrchr(address, ':');
    snprintf(a->address, sizeof a->address, "%.*s:%u", colon ? (int)(colon - address) : (int)strlen(address), address,
             a->port);
    return rc;
}

void admin_parts_ready(struct admin_parts *a)
{
    if (a->started)
        admin_condition_set(a->started, true, "started");
}

void admin_parts_draining(struct admin_parts *a)
{
    if (a->serving)
        admin_condition_set(a->serving, false, "draining: answers under way finish, new connections are refused");
}

void admin_parts_close(struct admin_parts *a)
{
    if (!a->admin)
        return;
    drop_gauges();
    meta_routes_stop(a->meta_routes);
    if (a->http)
        admin_http_close(a->http);
    admin_free(a->admin);
    a->admin = NULL;
}
