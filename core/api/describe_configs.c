/* describe_configs.c: DescribeConfigs (32): every setting of topics, this broker and groups with type, source and
 * synonyms; nothing is left out because it has its default (KIP-226, KIP-569). */
#include "api/rows.h"
#include "api/api.h"
#include "api/config_resource.h"
#include "api/meta_topic.h"

#include <stdlib.h>

struct describe {
    struct api_req *r;
    const struct wire_describe_configs_request *q;
    const struct wire_describe_configs_request_resource *resource;
    struct wire_describe_configs_response_result *answer;
    int32_t cap;
    bool dynamic_only; /* the default of all brokers shows only what was altered */
    bool read_only;
    bool failed;
};

static bool wanted(const struct describe *d, const char *name)
{
    if (d->resource->configuration_keys.n <= 0) /* null and empty ask for all */
        return true;
    for (int32_t i = 0; i < d->resource->configuration_keys.n; i++)
        if (wire_str_is(d->resource->configuration_keys.v[i], name))
            return true;
    return false;
}

static struct wire_str as_shown(struct describe *d, const struct config_setting *s, const char *value)
{
    char *out = value ? arena_alloc(&d->r->arena, strlen(value) + 1) : NULL;
    if (out)
        config_canonical(s, value, out);
    d->failed |= value && !out;
    return wire_str(out);
}

/* A resource's own value is shown as it is understood, what it replaces as it was written: Kafka does so. */
static struct wire_str synonym_value(struct describe *d, const struct config_setting *s, const struct config_synonym *y)
{
    if (y->source == CONFIG_FROM_TOPIC || y->source == CONFIG_FROM_GROUP)
        return as_shown(d, s, y->value);
    return api_str_copy(d->r, wire_str(y->value));
}

static void add_synonyms(struct describe *d, const struct config_entry *e,
                         struct wire_describe_configs_response_resource_result *o)
{
    o->synonyms.v = api_array(d->r, struct wire_describe_configs_response_synonym, (int64_t)e->n_synonyms);
    d->failed |= !o->synonyms.v;
    for (size_t i = 0; o->synonyms.v && i < e->n_synonyms; i++)
        if (!d->dynamic_only || e->synonyms[i].source == CONFIG_FROM_DYNAMIC_DEFAULT)
            o->synonyms.v[o->synonyms.n++] =
                (struct wire_describe_configs_response_synonym){.name = wire_str(e->synonyms[i].name),
                                                                .value = synonym_value(d, e->setting, &e->synonyms[i]),
                                                                .source = config_source_wire(e->synonyms[i].source)};
}

static void count(void *arg, const struct config_entry *e)
{
    ((struct describe *)arg)->cap++;
}

/* What was set for all brokers, also when this broker's own value is stronger. */
static const struct config_synonym *set_for_all(const struct config_entry *e)
{
    for (size_t i = 0; i < e->n_synonyms; i++)
        if (e->synonyms[i].source == CONFIG_FROM_DYNAMIC_DEFAULT)
            return &e->synonyms[i];
    return NULL;
}

static void add(void *arg, const struct config_entry *e)
{
    struct describe *d = arg;
    const struct config_synonym *all = d->dynamic_only ? set_for_all(e) : NULL;
    if (!wanted(d, e->setting->name) || (d->dynamic_only && !all))
        return;
    struct wire_describe_configs_response_resource_result *o = &d->answer->configs.v[d->answer->configs.n++];
    *o = wire_describe_configs_response_resource_result_default;
    o->name = wire_str(e->setting->name);
    o->value = as_shown(d, e->setting, all ? all->value : e->value);
    o->read_only = e->read_only || d->read_only;
    o->config_source = config_source_wire(all ? all->source : e->source);
    o->is_sensitive = e->setting->sensitive;
    o->config_type = (int8_t)e->setting->type;
    o->documentation = d->q->include_documentation ? wire_str(e->setting->doc) : (struct wire_str){NULL, -1};
    if (d->q->include_synonyms)
        add_synonyms(d, e, o);
}

static void refuse(struct describe *d, int16_t code, const char *why)
{
    d->answer->error_code = code;
    d->answer->error_message = wire_str(why);
}

static void list(struct describe *d, enum config_scope scope, const struct meta_configs *c)
{
    struct config *cfg = d->r->api->c.config;
    uint32_t n = c ? c->n : 0;
    struct config_kv *kv = api_array(d->r, struct config_kv, n);
    d->failed |= !kv;
    for (uint32_t i = 0; kv && i < n; i++)
        kv[i] = (struct config_kv){c->entries[i].key, c->entries[i].value};
    config_describe(cfg, scope, kv, n, count, d);
    d->answer->configs.v = api_array(d->r, struct wire_describe_configs_response_resource_result, d->cap);
    d->failed |= !d->answer->configs.v;
    if (!d->failed)
        config_describe(cfg, scope, kv, n, add, d);
}

static void describe_one(struct describe *d, const struct meta_image *image)
{
    struct wire_str name = d->resource->resource_name;
    size_t n = (size_t)max_i64(name.n, 0);
    struct config_resource res;
    const char *why = NULL;
    if (d->resource->resource_type == META_RES_TOPIC && meta_log_topic(d->r->api->meta_log, &name, NULL)) {
        /* Nobody can alter it, but tools take for granted that a topic has every setting. */
        d->read_only = true;
        list(d, CONFIG_TOPIC, NULL);
        return;
    }
    int16_t rc = config_resource_of(d->r, image, d->resource->resource_type, name, false, &res, &why);
    if (rc != KAFKA_NONE) {
        refuse(d, rc, why);
        return;
    }
    d->dynamic_only = res.cluster_default;
    list(d, res.scope, res.scope == CONFIG_BROKER ? NULL : meta_configs_of(image, res.type, name.p, n));
}

static bool known(int8_t type)
{
    enum { BROKER_LOGGER = 8 };
    return type == META_RES_TOPIC || type == META_RES_BROKER || type == META_RES_GROUP ||
           type == META_RES_CLIENT_METRICS || type == BROKER_LOGGER;
}

/* A kind of resource that there is not refuses the whole request. */
static void refuse_all(struct api_req *r, const struct wire_describe_configs_request *q,
                       struct wire_describe_configs_response *resp)
{
    for (int32_t i = 0; i < q->resources.n; i++)
        resp->results.v[resp->results.n++] = (struct wire_describe_configs_response_result){
            .error_code = KAFKA_INVALID_REQUEST,
            .error_message = wire_str("This most likely occurs because of a request being malformed by the client "
                                      "library or the message was sent to an incompatible broker. See the broker logs "
                                      "for more details."),
            .resource_type = q->resources.v[i].resource_type,
            .resource_name = q->resources.v[i].resource_name};
    api_answer(r, resp);
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_describe_configs_request *q = body;
    struct wire_describe_configs_response resp = wire_describe_configs_response_default;
    bool failed = false;
    resp.results.v = api_array(r, struct wire_describe_configs_response_result, q->resources.n);
    if (!resp.results.v) {
        api_no_memory(r, "out of memory for an answer");
        return;
    }
    for (int32_t i = 0; i < q->resources.n; i++)
        if (!known(q->resources.v[i].resource_type)) {
            refuse_all(r, q, &resp);
            return;
        }
    const struct meta_image *image = api_image(r);
    for (int32_t i = 0; i < q->resources.n && !failed; i++) {
        struct wire_describe_configs_response_result *a = &resp.results.v[resp.results.n++];
        a->error_message = wire_str("");
        a->resource_type = q->resources.v[i].resource_type;
        a->resource_name = q->resources.v[i].resource_name;
        struct describe d = {.r = r, .q = q, .resource = &q->resources.v[i], .answer = a};
        describe_one(&d, image);
        failed = d.failed;
    }
    if (failed)
        api_no_memory(r, "out of memory for an answer");
    else
        api_answer(r, &resp);
    api_image_leave(r);
}

const struct api_row api_describe_configs = {.key = WIRE_API_DESCRIBE_CONFIGS, .handle = handle};
