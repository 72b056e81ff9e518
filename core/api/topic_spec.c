/* topic_spec.c: checks a wished topic as Kafka does and spreads its replicas over the brokers that are alive. */
#include "api/topic_spec.h"

#include "api/meta_topic.h"
#include "base/log.h"

#include <stdio.h>

LOG_SUBSYSTEM("api");

enum { MAX_PARTITIONS = 100000, MAX_BROKERS = 64 };

/* The ids of unfenced brokers, in order. */
static uint32_t alive(const struct meta_image *image, int32_t *ids)
{
    struct meta_cursor c;
    uint32_t n = 0;
    for (const struct meta_broker *b = meta_brokers_first(image, &c); b && n < MAX_BROKERS; b = meta_brokers_next(&c))
        if (!b->fenced)
            ids[n++] = b->id;
    return n;
}

static const struct meta_assignment *spread(struct api_req *r, const int32_t *ids, uint32_t n_ids, int32_t n,
                                            int32_t replication)
{
    struct meta_assignment *v = api_array(r, struct meta_assignment, n);
    int32_t *replicas = api_array(r, int32_t, (int64_t)n * replication);
    uint32_t start;
    if (!v || !replicas)
        return NULL;
    os_random(r->api->c.os, &start, sizeof start);
    for (int32_t i = 0; i < n; i++) {
        v[i] = (struct meta_assignment){.replicas = replicas, .n_replicas = (uint32_t)replication};
        for (int32_t k = 0; k < replication; k++)
            *replicas++ = ids[(start + (uint32_t)(i + k)) % n_ids];
    }
    return v;
}

/* Brokers that have not registered are not known while there is no quorum to do it in: the client asks again. */
static bool knows_brokers(const struct meta_image *image, const char **why)
{
    if (meta_controller_id(image) >= 0)
        return true;
    *why = "The metadata quorum has no leader at the moment, so not all brokers are known; try again.";
    return false;
}

int16_t topic_check_replicas(struct api_req *r, const struct meta_image *image, const struct meta_assignment *a,
                             int32_t expected, const char **why)
{
    if (a->n_replicas == 0) {
        *why = "The manual partition assignment includes an empty replica list.";
        return KAFKA_INVALID_REPLICA_ASSIGNMENT;
    }
    int32_t previous = INT32_MIN; /* in ascending order, as Kafka looks at them */
    for (uint32_t k = 0; k < a->n_replicas; k++) {
        int32_t next = INT32_MAX, times = 0;
        for (uint32_t m = 0; m < a->n_replicas; m++)
            if (a->replicas[m] > previous || (k == 0 && a->replicas[m] == INT32_MIN))
                next = (int32_t)min_i64(next, a->replicas[m]);
        for (uint32_t m = 0; m < a->n_replicas; m++)
            times += a->replicas[m] == next;
        if (times == 0)
            break;
        if (!meta_broker_by_id(image, next) && !knows_brokers(image, why))
            return KAFKA_NOT_CONTROLLER;
        if (!meta_broker_by_id(image, next)) {
            *why = arena_printf(&r->arena,
                                "The manual partition assignment includes broker %d, but no such broker is "
                                "registered.",
                                next);
            return KAFKA_INVALID_REPLICA_ASSIGNMENT;
        }
        if (times > 1) {
            *why =
                arena_printf(&r->arena, "The manual partition assignment includes the broker %d more than once.", next);
            return KAFKA_INVALID_REPLICA_ASSIGNMENT;
        }
        previous = next;
    }
    if (expected >= 0 && a->n_replicas != (uint32_t)expected) {
        *why = arena_printf(&r->arena,
                            "The manual partition assignment includes a partition with %u replica(s), but this is not "
                            "consistent with previous partitions, which have %d replica(s).",
                            a->n_replicas, expected);
        return KAFKA_INVALID_REPLICA_ASSIGNMENT;
    }
    return KAFKA_NONE;
}

static int16_t check_assignment(struct api_req *r, const struct meta_image *image, const struct topic_spec *s,
                                const char **why)
{
    int32_t expected = s->replication > 0 ? s->replication : -1;
    for (int32_t i = 0; i < s->n_partitions; i++) {
        int16_t rc = topic_check_replicas(r, image, &s->assignment[i], expected, why);
        if (rc != KAFKA_NONE)
            return rc;
        expected = (int32_t)s->assignment[i].n_replicas;
    }
    return KAFKA_NONE;
}

int16_t topic_check_configs(struct api_req *r, const struct topic_spec *s, const char **why)
{
    struct config_kv *kv = api_array(r, struct config_kv, s->n_configs);
    struct err e = {0};
    if (!kv)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    for (uint32_t i = 0; i < s->n_configs; i++)
        kv[i] = (struct config_kv){s->configs[i].key, s->configs[i].value};
    if (config_check_set(r->api->c.config, CONFIG_TOPIC, kv, s->n_configs, &e) > 0)
        return KAFKA_NONE;
    *why = arena_printf(&r->arena, "%s", e.text);
    return KAFKA_INVALID_CONFIG;
}

static int16_t check_counts(struct api_req *r, const struct meta_image *image, struct topic_spec *s, uint32_t n_ids,
                            const char **why)
{
    if (s->replication < -1 || s->replication == 0) {
        *why = "Replication factor must be larger than 0, or -1 to use the default value.";
        return KAFKA_INVALID_REPLICATION_FACTOR;
    }
    if (s->n_partitions < -1 || s->n_partitions == 0) {
        *why = "Number of partitions was set to an invalid non-positive value.";
        return KAFKA_INVALID_PARTITIONS;
    }
    if (s->n_partitions == -1)
        s->n_partitions = (int32_t)config_i64(r->api->c.config, CFG_NUM_PARTITIONS);
    if (s->replication == -1)
        s->replication = (int32_t)config_i64(r->api->c.config, CFG_DEFAULT_REPLICATION_FACTOR);
    if (s->n_partitions > MAX_PARTITIONS) {
        *why = "A topic can have at most 100000 partitions.";
        return KAFKA_INVALID_PARTITIONS;
    }
    if ((uint32_t)s->replication > n_ids && !knows_brokers(image, why))
        return KAFKA_NOT_CONTROLLER;
    if ((uint32_t)s->replication > n_ids) {
        *why =
            arena_printf(&r->arena,
                         "Unable to replicate the partition %d time(s): The target replication factor of %d cannot be "
                         "reached because only %u broker(s) are registered or some brokers have all "
                         "their log directories cordoned.",
                         s->replication, s->replication, n_ids);
        return KAFKA_INVALID_REPLICATION_FACTOR;
    }
    return KAFKA_NONE;
}

/* Two names that differ only in '.' and '_' would have the same metric names. */
static const struct meta_topic *collides(const struct meta_image *image, struct wire_str name)
{
    bool dotted = memchr(name.p, '.', (size_t)name.n) || memchr(name.p, '_', (size_t)name.n);
    struct meta_cursor c;
    if (!dotted)
        return NULL;
    for (const struct meta_topic *t = meta_topics_from(image, &c, NULL, 0); t; t = meta_topics_next(&c)) {
        if (t->name_len != name.n || memcmp(t->name, name.p, (size_t)name.n) == 0)
            continue;
        int32_t i = 0;
        while (i < name.n) {
            char a = t->name[i] == '.' ? '_' : t->name[i], b = name.p[i] == '.' ? '_' : name.p[i];
            if (a != b)
                break;
            i++;
        }
        if (i == name.n)
            return t;
    }
    return NULL;
}

int16_t topic_assign(struct api_req *r, const struct meta_image *image, const struct topic_spec *spec,
                     const struct meta_assignment **out, const char **why)
{
    struct topic_spec s = *spec;
    int32_t ids[MAX_BROKERS];
    uint32_t n_ids = alive(image, ids);
    int16_t rc = s.assignment ? check_assignment(r, image, &s, why) : check_counts(r, image, &s, n_ids, why);
    if (rc != KAFKA_NONE)
        return rc;
    *out = s.assignment ? s.assignment : spread(r, ids, n_ids, s.n_partitions, s.replication);
    return *out ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR;
}

int16_t topic_check_new_name(struct api_req *r, const struct meta_image *image, struct wire_str name, const char **why)
{
    if ((*why = api_bad_topic_name(&r->arena, name)) != NULL)
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    if (meta_log_topic(r->api->meta_log, &name, NULL)) {
        *why = META_LOG_READ_ONLY;
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    }
    if (wire_str_is(name, "__cluster_metadata")) {
        *why = "Creation of internal topic __cluster_metadata is prohibited.";
        return KAFKA_INVALID_REQUEST;
    }
    if (meta_topic_by_name(image, name.p, (size_t)name.n)) {
        *why = arena_printf(&r->arena, "Topic '%.*s' already exists.", name.n, name.p);
        return KAFKA_TOPIC_ALREADY_EXISTS;
    }
    const struct meta_topic *other = collides(image, name);
    if (other) {
        *why = arena_printf(&r->arena, "Topic '%.*s' collides with existing topic: %s", name.n, name.p, other->name);
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    }
    return KAFKA_NONE;
}

int16_t topic_command(struct api_req *r, const struct meta_image *image, const struct topic_spec *spec,
                      struct meta_command *out, const char **why)
{
    struct topic_spec s = *spec;
    const struct meta_assignment *assignment = NULL;
    int16_t rc = topic_check_new_name(r, image, s.name, why);
    if (rc == KAFKA_NONE)
        rc = topic_check_configs(r, &s, why);
    if (rc == KAFKA_NONE && !s.assignment && s.n_partitions == -1 && s.replication >= -1 && s.replication != 0)
        s.n_partitions = (int32_t)config_i64(r->api->c.config, CFG_NUM_PARTITIONS);
    if (rc == KAFKA_NONE)
        rc = topic_assign(r, image, &s, &assignment, why);
    if (rc != KAFKA_NONE)
        return rc;
    const char *name = arena_strndup(&r->arena, s.name.p, (size_t)s.name.n);
    if (!name)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    *out = (struct meta_command){.type = META_CMD_TOPIC_CREATE};
    os_random(r->api->c.os, out->u.topic_create.id.b, sizeof out->u.topic_create.id.b);
    out->u.topic_create.id.b[6] = (uint8_t)((out->u.topic_create.id.b[6] & 0x0f) | 0x40); /* RFC 4122, version 4 */
    out->u.topic_create.id.b[8] = (uint8_t)((out->u.topic_create.id.b[8] & 0x3f) | 0x80);
    out->u.topic_create.name = name;
    out->u.topic_create.partitions = assignment;
    out->u.topic_create.n_partitions = (uint32_t)s.n_partitions;
    out->u.topic_create.configs = s.configs;
    out->u.topic_create.n_configs = s.n_configs;
    return KAFKA_NONE;
}

static void auto_created(void *arg, const struct meta_result *result)
{
    if (result->code != KAFKA_NONE && result->code != KAFKA_TOPIC_ALREADY_EXISTS)
        log_warn("a topic could not be created automatically: %s", result->text);
}

void topic_auto_create(struct api_req *r, struct wire_str name)
{
    struct topic_spec s = {.name = name, .n_partitions = -1, .replication = -1};
    struct meta_command c;
    const char *why = "";
    const struct meta_image *image = api_image(r);
    int16_t rc = topic_command(r, image, &s, &c, &why);
    api_image_leave(r);
    if (rc == KAFKA_NONE)
        meta_propose(r->api->c.meta, META_CLIENT, &c, 0, auto_created, NULL);
    else if (rc != KAFKA_TOPIC_ALREADY_EXISTS)
        log_warn("topic '%.*s' could not be created automatically: %s", name.n, name.p, why);
}
