#include <config.h>

/* topic.c: list, describe, create and delete topics by Kafka's own requests, so that they work against any broker that
 * speaks them. */
#include <stdio.h>
#include <stdlib.h>

#include "base/uuid.h"
#include "ctl/print.h"
#include "ctl/session.h"
#include "ctl/topic.h"
#include "wire/codes.h"

enum { RESOURCE_TOPIC = 2 };
enum { SOURCE_TOPIC = 1 }; /* of a config value: set on the topic itself */

/* ---- metadata ---- */

static bool get_metadata(struct session *s, const struct options *o, struct wire_metadata_response *r)
{
    struct wire_metadata_request q = wire_metadata_request_default;
    int version = -1;
    q.allow_auto_topic_creation = false;
    q.topics.v = NULL;
    q.topics.n = -1;
    if (o->n_names > 0) {
        q.topics.v = arena_calloc(&s->arena, (size_t)o->n_names, sizeof *q.topics.v);
        CHECK(q.topics.v);
        q.topics.n = o->n_names;
        for (int i = 0; i < o->n_names; i++) {
            q.topics.v[i] = wire_metadata_request_topic_default;
            q.topics.v[i].name = wire_str(o->names[i]);
        }
    }
    return session_call(s, WIRE_API_METADATA, &q, r, &version);
}

static int by_name(const void *a, const void *b)
{
    const struct wire_metadata_response_topic *x = a, *y = b;
    int n = x->name.n < y->name.n ? x->name.n : y->name.n;
    int order = n > 0 ? memcmp(x->name.p, y->name.p, (size_t)n) : 0;
    return order ? order : x->name.n - y->name.n;
}

static int replication_of(const struct wire_metadata_response_topic *t)
{
    return t->partitions.n > 0 ? t->partitions.v[0].replica_nodes.n : 0;
}

static cJSON *topic_json(const struct wire_metadata_response_topic *t)
{
    cJSON *o = cJSON_CreateObject();
    char name[PRINT_CELL], id[UUID_TEXT];
    text_of(t->name, name, sizeof name);
    uuid_text(&t->topic_id, id);
    cJSON_AddStringToObject(o, "name", name);
    cJSON_AddStringToObject(o, "id", id);
    cJSON_AddBoolToObject(o, "internal", t->is_internal);
    cJSON_AddNumberToObject(o, "partitions", t->partitions.n);
    cJSON_AddNumberToObject(o, "replication_factor", replication_of(t));
    return o;
}

static void list_row(struct print_table *table, const struct wire_metadata_response_topic *t)
{
    char name[PRINT_CELL], partitions[16], replicas[16], id[UUID_TEXT];
    text_of(t->name, name, sizeof name);
    snprintf(partitions, sizeof partitions, "%d", t->partitions.n);
    snprintf(replicas, sizeof replicas, "%d", replication_of(t));
    uuid_text(&t->topic_id, id);
    print_row(table, name, partitions, replicas, id);
}

int topic_list(const struct options *o)
{
    struct session s;
    struct wire_metadata_response r;
    if (!session_open(&s, o))
        return 1;
    bool ok = get_metadata(&s, o, &r);
    if (ok) {
        struct print_table table = {.columns = 4};
        cJSON *list = cJSON_CreateArray();
        qsort(r.topics.v, (size_t)r.topics.n, sizeof *r.topics.v, by_name);
        print_row(&table, "TOPIC", "PARTITIONS", "REPLICAS", "ID");
        for (int32_t i = 0; i < r.topics.n; i++) {
            if (r.topics.v[i].is_internal && !o->internal)
                continue;
            list_row(&table, &r.topics.v[i]);
            cJSON_AddItemToArray(list, topic_json(&r.topics.v[i]));
        }
        if (o->json) {
            print_json(list);
            free(table.cells);
        } else {
            print_table(&table);
            cJSON_Delete(list);
        }
    }
    session_close(&s);
    return ok ? 0 : 1;
}

/* ---- describe ---- */

static void nodes_text(const int32_t *v, int32_t n, char *buf, size_t size)
{
    size_t at = 0;
    buf[0] = 0;
    for (int32_t i = 0; i < n && at + 12 < size; i++)
        at += (size_t)snprintf(buf + at, size - at, i ? ",%d" : "%d", v[i]);
    if (n <= 0)
        snprintf(buf, size, "-");
}

static cJSON *int_array(const int32_t *v, int32_t n)
{
    return n > 0 ? cJSON_CreateIntArray(v, n) : cJSON_CreateArray();
}

static cJSON *partition_json(const struct wire_metadata_response_partition *p)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "partition", p->partition_index);
    cJSON_AddNumberToObject(o, "leader", p->leader_id);
    cJSON_AddNumberToObject(o, "leader_epoch", p->leader_epoch);
    cJSON_AddItemToObject(o, "replicas", int_array(p->replica_nodes.v, p->replica_nodes.n));
    cJSON_AddItemToObject(o, "in_sync", int_array(p->isr_nodes.v, p->isr_nodes.n));
    cJSON_AddItemToObject(o, "offline", int_array(p->offline_replicas.v, p->offline_replicas.n));
    if (p->error_code)
        cJSON_AddStringToObject(o, "error", kafka_code_name(p->error_code));
    return o;
}

static void partition_row(struct print_table *t, const struct wire_metadata_response_partition *p)
{
    char number[16], leader[16], epoch[16], replicas[PRINT_CELL], isr[PRINT_CELL], offline[PRINT_CELL];
    snprintf(number, sizeof number, "%d", p->partition_index);
    snprintf(leader, sizeof leader, p->leader_id < 0 ? "none" : "%d", p->leader_id);
    snprintf(epoch, sizeof epoch, "%d", p->leader_epoch);
    nodes_text(p->replica_nodes.v, p->replica_nodes.n, replicas, sizeof replicas);
    nodes_text(p->isr_nodes.v, p->isr_nodes.n, isr, sizeof isr);
    nodes_text(p->offline_replicas.v, p->offline_replicas.n, offline, sizeof offline);
    print_row(t, number, leader, epoch, replicas, isr, offline);
}

static int by_index(const void *a, const void *b)
{
    return ((const struct wire_metadata_response_partition *)a)->partition_index -
           ((const struct wire_metadata_response_partition *)b)->partition_index;
}

/* The settings that the topic itself carries. */
static bool get_configs(struct session *s, struct wire_str topic, struct wire_describe_configs_response *r)
{
    struct wire_describe_configs_request q = wire_describe_configs_request_default;
    struct wire_describe_configs_request_resource resource = wire_describe_configs_request_resource_default;
    int version = -1;
    resource.resource_type = RESOURCE_TOPIC;
    resource.resource_name = topic;
    resource.configuration_keys.n = -1;
    q.resources.v = &resource;
    q.resources.n = 1;
    return session_call(s, WIRE_API_DESCRIBE_CONFIGS, &q, r, &version) && r->results.n == 1;
}

static void each_config(const struct wire_describe_configs_response *r,
                        void (*fn)(void *arg, const char *name, const char *value), void *arg)
{
    const struct wire_describe_configs_response_result *one = &r->results.v[0];
    for (int32_t i = 0; i < one->configs.n; i++) {
        char name[PRINT_CELL], value[4096];
        if (one->configs.v[i].config_source != SOURCE_TOPIC)
            continue;
        text_of(one->configs.v[i].name, name, sizeof name);
        text_of(one->configs.v[i].value, value, sizeof value);
        fn(arg, name, value);
    }
}

static void config_json(void *o, const char *name, const char *value)
{
    cJSON_AddStringToObject(o, name, value);
}

static void config_line(void *arg, const char *name, const char *value)
{
    char shown[2 * 4096];
    printf("  %s=%s\n", name, print_escaped(value, shown, sizeof shown));
}

static void describe_table(const struct wire_metadata_response_topic *t, const struct wire_describe_configs_response *c)
{
    struct print_table table = {.columns = 6};
    char name[PRINT_CELL], shown[PRINT_CELL], id[UUID_TEXT];
    text_of(t->name, name, sizeof name);
    uuid_text(&t->topic_id, id);
    print_escaped(name, shown, sizeof shown);
    printf("topic %s  id %s  partitions %d  replicas %d%s\n", shown, id, t->partitions.n, replication_of(t),
           t->is_internal ? "  internal" : "");
    each_config(c, config_line, NULL);
    print_row(&table, "PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC", "OFFLINE");
    for (int32_t i = 0; i < t->partitions.n; i++)
        partition_row(&table, &t->partitions.v[i]);
    print_table(&table);
}

static cJSON *describe_json(const struct wire_metadata_response_topic *t,
                            const struct wire_describe_configs_response *c)
{
    cJSON *o = topic_json(t);
    each_config(c, config_json, cJSON_AddObjectToObject(o, "configs"));
    cJSON_DeleteItemFromObject(o, "partitions");
    cJSON *list = cJSON_AddArrayToObject(o, "partitions");
    for (int32_t i = 0; i < t->partitions.n; i++)
        cJSON_AddItemToArray(list, partition_json(&t->partitions.v[i]));
    return o;
}

/* The metadata points into the client's buffer, which the next call overwrites: names are copied. */
static void keep_names(struct session *s, struct wire_metadata_response *r)
{
    for (int32_t i = 0; i < r->topics.n; i++) {
        struct wire_str *name = &r->topics.v[i].name;
        if (name->n >= 0) {
            name->p = arena_strndup(&s->arena, name->p, (size_t)name->n);
            CHECK(name->p);
        }
    }
}

static bool describe_one(struct session *s, const struct options *o, struct wire_metadata_response_topic *t,
                         cJSON *list)
{
    struct wire_describe_configs_response c;
    char object[PRINT_CELL + 16];
    snprintf(object, sizeof object, "topic '%.*s'", t->name.n > 0 ? t->name.n : 0, t->name.n > 0 ? t->name.p : "");
    if (t->error_code) {
        print_kafka_failure(object, t->error_code, NULL, 0);
        return false;
    }
    if (!get_configs(s, t->name, &c))
        return false;
    qsort(t->partitions.v, (size_t)t->partitions.n, sizeof *t->partitions.v, by_index);
    if (o->json)
        cJSON_AddItemToArray(list, describe_json(t, &c));
    else
        describe_table(t, &c);
    return true;
}

int topic_describe(const struct options *o)
{
    struct session s;
    struct wire_metadata_response r;
    if (!session_open(&s, o))
        return 1;
    bool ok = get_metadata(&s, o, &r);
    if (ok) {
        cJSON *list = cJSON_CreateArray();
        keep_names(&s, &r);
        qsort(r.topics.v, (size_t)r.topics.n, sizeof *r.topics.v, by_name);
        for (int32_t i = 0; i < r.topics.n; i++)
            ok = describe_one(&s, o, &r.topics.v[i], list) && ok;
        if (o->json)
            print_json(list);
        else
            cJSON_Delete(list);
    }
    session_close(&s);
    return ok ? 0 : 1;
}

/* ---- create and delete ---- */

static void fill_create(struct session *s, const struct options *o, struct wire_create_topics_request *q)
{
    *q = wire_create_topics_request_default;
    q->timeout_ms = o->timeout_ms;
    q->validate_only = o->validate_only;
    q->topics.n = o->n_names;
    q->topics.v = arena_calloc(&s->arena, (size_t)o->n_names, sizeof *q->topics.v);
    struct wire_create_topics_request_creatable_topic_config *configs =
        arena_calloc(&s->arena, (size_t)o->n_configs + 1, sizeof *configs);
    CHECK(q->topics.v && configs);
    for (int i = 0; i < o->n_configs; i++) {
        const char *eq = strchr(o->configs[i], '=');
        configs[i].name = (struct wire_str){o->configs[i], (int32_t)(eq - o->configs[i])};
        configs[i].value = wire_str(eq + 1);
    }
    for (int i = 0; i < o->n_names; i++) {
        struct wire_create_topics_request_creatable_topic *t = &q->topics.v[i];
        *t = wire_create_topics_request_creatable_topic_default;
        t->name = wire_str(o->names[i]);
        t->num_partitions = o->partitions;
        t->replication_factor = o->replication_factor;
        t->configs.v = configs;
        t->configs.n = o->n_configs;
    }
}

static bool created(const struct options *o, const struct wire_create_topics_response_creatable_topic_result *t,
                    cJSON *list)
{
    char object[PRINT_CELL + 16], name[PRINT_CELL];
    text_of(t->name, name, sizeof name);
    snprintf(object, sizeof object, "topic '%s'", name);
    bool exists = t->error_code == KAFKA_TOPIC_ALREADY_EXISTS && o->if_not_exists;
    if (t->error_code && !exists) {
        print_kafka_failure(object, t->error_code, t->error_message.p, t->error_message.n);
        return false;
    }
    const char *what = exists ? "exists" : o->validate_only ? "valid" : "created";
    if (o->json) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "name", name);
        cJSON_AddStringToObject(one, "result", what);
        cJSON_AddItemToArray(list, one);
    } else {
        printf("%s %s\n", what, object);
    }
    return true;
}

int topic_create(const struct options *o)
{
    struct session s;
    struct wire_create_topics_request q;
    struct wire_create_topics_response r;
    int version = -1;
    if (!session_open(&s, o))
        return 1;
    fill_create(&s, o, &q);
    bool ok = session_call(&s, WIRE_API_CREATE_TOPICS, &q, &r, &version);
    if (ok) {
        cJSON *list = cJSON_CreateArray();
        for (int32_t i = 0; i < r.topics.n; i++)
            ok = created(o, &r.topics.v[i], list) && ok;
        if (o->json)
            print_json(list);
        else
            cJSON_Delete(list);
    }
    session_close(&s);
    return ok ? 0 : 1;
}

static bool deleted(const struct options *o, const struct wire_delete_topics_response_deletable_topic_result *t,
                    cJSON *list)
{
    char object[PRINT_CELL + 16], name[PRINT_CELL];
    text_of(t->name, name, sizeof name);
    snprintf(object, sizeof object, "topic '%s'", name);
    bool missing = t->error_code == KAFKA_UNKNOWN_TOPIC_OR_PARTITION && o->if_exists;
    if (t->error_code && !missing) {
        print_kafka_failure(object, t->error_code, t->error_message.p, t->error_message.n);
        return false;
    }
    if (o->json) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "name", name);
        cJSON_AddStringToObject(one, "result", missing ? "missing" : "deleted");
        cJSON_AddItemToArray(list, one);
    } else {
        printf("%s %s\n", missing ? "no" : "deleted", object);
    }
    return true;
}

static void fill_delete(struct session *s, const struct options *o, int version, struct wire_delete_topics_request *q)
{
    size_t n = (size_t)o->n_names;
    *q = wire_delete_topics_request_default;
    q->timeout_ms = o->timeout_ms;
    if (version >= 6) {
        q->topics.n = o->n_names;
        q->topics.v = arena_calloc(&s->arena, n, sizeof *q->topics.v);
        CHECK(q->topics.v);
    } else {
        q->topic_names.n = o->n_names;
        q->topic_names.v = arena_calloc(&s->arena, n, sizeof *q->topic_names.v);
        CHECK(q->topic_names.v);
    }
    for (int i = 0; i < o->n_names; i++) {
        if (version >= 6)
            q->topics.v[i].name = wire_str(o->names[i]);
        else
            q->topic_names.v[i] = wire_str(o->names[i]);
    }
}

int topic_delete(const struct options *o)
{
    struct session s;
    struct wire_delete_topics_request q;
    struct wire_delete_topics_response r;
    int version = -1;
    if (!session_open(&s, o))
        return 1;
    fill_delete(&s, o, client_version(s.client, WIRE_API_DELETE_TOPICS, &s.e), &q);
    bool ok = session_call(&s, WIRE_API_DELETE_TOPICS, &q, &r, &version);
    if (ok) {
        cJSON *list = cJSON_CreateArray();
        for (int32_t i = 0; i < r.responses.n; i++)
            ok = deleted(o, &r.responses.v[i], list) && ok;
        if (o->json)
            print_json(list);
        else
            cJSON_Delete(list);
    }
    session_close(&s);
    return ok ? 0 : 1;
}
