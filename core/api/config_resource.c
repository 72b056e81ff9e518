/* config_resource.c: names of resources, and checked changes of their settings as commands. On the request's loop. */
#include "api/config_resource.h"

#include "api/meta_topic.h"
#include "api/repeats.h"

#include <stdio.h>
#include <stdlib.h>

/* Which of the two APIs asks decides about the words. */
static int16_t topic_of(struct api_req *r, const struct meta_image *image, struct wire_str name, bool altering,
                        const char **why)
{
    size_t n = (size_t)max_i64(name.n, 0);
    if (altering && n == 0) {
        *why = "Default topic resources are not allowed.";
        return KAFKA_INVALID_REQUEST;
    }
    if ((*why = api_bad_topic_name(&r->arena, name)) != NULL)
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    if (meta_log_topic(r->api->meta_log, &name, NULL)) {
        *why = META_LOG_READ_ONLY;
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    }
    if (altering || meta_topic_by_name(image, name.p, n))
        return KAFKA_NONE;
    *why = "";
    return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
}

/* A decimal id as Java reads one. */
static bool is_id(const char *s)
{
    s += *s == '-' || *s == '+';
    return *s && strlen(s) < 11 && strspn(s, "0123456789") == strlen(s);
}

static int16_t broker_of(struct api_req *r, const char *name, bool altering, const char **why)
{
    int32_t own = r->api->c.node_id;
    if (!*name)
        return KAFKA_NONE;
    if (!is_id(name))
        *why = arena_printf(&r->arena, "%s id must be an integer, but it is: %s", altering ? "Node" : "Broker", name);
    else if (strtoll(name, NULL, 10) != own)
        *why = arena_printf(&r->arena, "Unexpected broker id, expected %d%s, but received %s", own,
                            altering ? "" : " or empty string", name);
    return *why ? KAFKA_INVALID_REQUEST : KAFKA_NONE;
}

int16_t config_resource_of(struct api_req *r, const struct meta_image *image, int8_t type, struct wire_str name,
                           bool altering, struct config_resource *out, const char **why)
{
    size_t n = (size_t)max_i64(name.n, 0);
    *why = NULL;
    *out = (struct config_resource){.type = (uint8_t)type, .name = arena_strndup(&r->arena, n ? name.p : "", n)};
    if (!out->name)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    switch (type) {
    case META_RES_TOPIC:
        out->scope = CONFIG_TOPIC;
        return topic_of(r, image, name, altering, why);
    case META_RES_BROKER:
        out->scope = CONFIG_BROKER;
        out->cluster_default = n == 0;
        return broker_of(r, out->name, altering, why);
    case META_RES_GROUP:
        out->scope = CONFIG_GROUP;
        if (n)
            return KAFKA_NONE;
        *why = altering ? "Default group resources are not allowed." : "Group name must not be empty";
        return KAFKA_INVALID_REQUEST;
    default:
        *why = arena_printf(&r->arena, "Unknown resource type %d", type);
        return KAFKA_INVALID_REQUEST;
    }
}

/* ---- altering ---- */

struct alter {
    struct api_req *r;
    struct config_resource res;
    const struct meta_configs *now; /* NULL: none */
    struct meta_kv *kv;
    uint32_t n;
    const char *why;
};

static int16_t refuse(struct alter *a, const char *why)
{
    a->why = why;
    return KAFKA_INVALID_CONFIG;
}

/* APPEND and SUBTRACT of a list setting, from its effective value. */
static int16_t alter_list(struct alter *a, const char *key, const char *change, bool add, const char **value)
{
    struct config *cfg = a->r->api->c.config;
    const struct config_setting *s = config_find(cfg, a->res.scope, key);
    if (!s || s->type != CONFIG_LIST)
        return refuse(a, arena_printf(&a->r->arena, "Can't %s to key %s because its type is not LIST.",
                                      add ? "APPEND" : "SUBTRACT", key));
    const char *current = a->now ? meta_config_get(a->now, key) : NULL;
    char *out = config_list_alter(current ? current : s->dflt, change, add);
    if (!out)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    *value = arena_strndup(&a->r->arena, out, strlen(out));
    free(out);
    return *value ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR;
}

/* What is wrong with the request's form, before any setting is looked at; NULL when nothing is. */
static const char *malformed(struct api_req *r, const struct config_change *v, int32_t n)
{
    enum { TOLD = 64 }; /* keys that a message names at most */
    const char *nulls = NULL;
    int32_t told = 0;
    struct repeat_key *keys = repeats_new(r, n);
    for (int32_t i = 0; keys && i < n; i++)
        keys[i].name = v[i].name;
    const int32_t *times = repeats_count(r, keys, n);
    if (!times)
        return "The broker is out of memory for this request; try again with fewer settings.";
    for (int32_t i = 0; i < n; i++)
        if (times[i] == 0)
            return "Error due to duplicate config keys";
    for (int32_t i = 0; i < n; i++)
        if (v[i].operation != ALTER_DELETE && v[i].value.n < 0 && told++ < TOLD)
            nulls =
                arena_printf(&r->arena, "%s%s%.*s", nulls ? nulls : "", nulls ? ", " : "", v[i].name.n, v[i].name.p);
    return nulls ? arena_printf(&r->arena, "Null value not supported for : %s", nulls) : NULL;
}

static int16_t add_change(struct alter *a, const struct config_change *c)
{
    struct arena *mem = &a->r->arena;
    const char *key = arena_strndup(mem, c->name.n > 0 ? c->name.p : "", (size_t)max_i64(c->name.n, 0));
    const char *value = c->value.n < 0 ? NULL : arena_strndup(mem, c->value.p, (size_t)c->value.n);
    if (!key || (c->value.n >= 0 && !value))
        return KAFKA_UNKNOWN_SERVER_ERROR;
    int16_t rc = KAFKA_NONE;
    if (c->operation == ALTER_DELETE)
        value = NULL;
    else if (c->operation == ALTER_APPEND || c->operation == ALTER_SUBTRACT)
        rc = alter_list(a, key, value, c->operation == ALTER_APPEND, &value);
    else if (c->operation != ALTER_SET)
        return a->why = arena_printf(mem, "Unknown operations type %d", c->operation), KAFKA_INVALID_REQUEST;
    if (rc != KAFKA_NONE)
        return rc;
    const struct config_setting *s = config_find(a->r->api->c.config, a->res.scope, key);
    a->kv[a->n++] = (struct meta_kv){.key = key, .value = value, .secret = s && s->sensitive};
    return KAFKA_NONE;
}

/* The whole set as it would be. */
static int16_t check_set(struct alter *a, bool replace)
{
    struct config *cfg = a->r->api->c.config;
    uint32_t n_now = a->now && !replace ? a->now->n : 0, n = 0;
    struct config_kv *kv = api_array(a->r, struct config_kv, (int64_t)n_now + a->n);
    struct err e = {0};
    if (!kv)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    for (uint32_t i = 0; i < n_now; i++) {
        bool changed = false;
        for (uint32_t k = 0; k < a->n; k++)
            changed |= strcmp(a->kv[k].key, a->now->entries[i].key) == 0;
        if (!changed)
            kv[n++] = (struct config_kv){a->now->entries[i].key, a->now->entries[i].value};
    }
    int32_t rc = CHRONIK_DONE;
    for (uint32_t i = 0; i < a->n && rc > 0; i++) {
        if (a->res.scope == CONFIG_BROKER)
            rc = config_check_dynamic(cfg, a->res.cluster_default, a->kv[i].key, a->kv[i].value, &e);
        else if (a->kv[i].value)
            kv[n++] = (struct config_kv){a->kv[i].key, a->kv[i].value};
    }
    if (rc > 0 && a->res.scope != CONFIG_BROKER)
        rc = config_check_set(cfg, a->res.scope, kv, n, &e);
    if (rc > 0)
        return KAFKA_NONE;
    a->why = arena_printf(&a->r->arena, "%s", e.text);
    return a->res.scope == CONFIG_BROKER ? KAFKA_INVALID_REQUEST : KAFKA_INVALID_CONFIG;
}

static void in_effect(void *arg)
{
    struct config_alteration *a = arg;
    gather_less(a->p.g);
}

/* What is answered is in effect: the partitions of this node have the new settings. */
static void applied(struct gather_proposal *p)
{
    struct config_alteration *a = CONTAINER_OF(p, struct config_alteration, p);
    if (p->result.code == KAFKA_NONE) {
        gather_more(p->g);
        a->task = (struct chronik_task){.fn = in_effect, .arg = a};
        a->after = (struct meta_after){.exec = p->g->r->loop->exec, .task = &a->task};
        meta_reconcile_after(p->g->r->api->c.meta, &a->after);
        return;
    }
    *a->error = p->result.code;
    *a->message = wire_str(p->result.text);
}

void config_alter(struct gather *g, const struct meta_image *image, int8_t type, struct wire_str name,
                  const struct config_change *v, int32_t n, bool replace, bool validate_only,
                  struct config_alteration *out)
{
    struct alter a = {.r = g->r, .kv = api_array(g->r, struct meta_kv, n)};
    *out->error = a.kv ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR;
    if (*out->error == KAFKA_NONE && (a.why = malformed(g->r, v, n)) != NULL)
        *out->error = KAFKA_INVALID_REQUEST;
    if (*out->error == KAFKA_NONE)
        *out->error = config_resource_of(g->r, image, type, name, true, &a.res, &a.why);
    if (*out->error == KAFKA_NONE)
        a.now = meta_configs_of(image, a.res.type, a.res.name, strlen(a.res.name));
    for (int32_t i = 0; i < n && *out->error == KAFKA_NONE; i++)
        *out->error = add_change(&a, &v[i]);
    if (*out->error == KAFKA_NONE)
        *out->error = check_set(&a, replace);
    if (*out->error == KAFKA_NONE && a.res.scope == CONFIG_TOPIC &&
        !meta_topic_by_name(image, a.res.name, strlen(a.res.name))) { /* after the settings, as Kafka has it */
        *out->error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        a.why = arena_printf(&g->r->arena, "The topic '%s' does not exist.", a.res.name);
    }
    *out->message = wire_str(*out->error == KAFKA_NONE ? NULL : a.why);
    if (*out->error != KAFKA_NONE || validate_only)
        return;
    struct meta_command c = {.type = META_CMD_CONFIG_SET};
    c.u.config_set.type = a.res.type;
    c.u.config_set.name = a.res.name;
    c.u.config_set.entries = a.kv;
    c.u.config_set.n_entries = a.n;
    c.u.config_set.replace = replace;
    out->p.applied = applied;
    if (!gather_propose(g, &out->p, &c, 0)) {
        *out->error = KAFKA_REQUEST_TIMED_OUT;
        *out->message = wire_str("The metadata log takes no proposals at the moment; try again.");
    }
}
