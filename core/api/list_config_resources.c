/* list_config_resources.c: ListConfigResources (74): what there is that has settings: topics, brokers, and the groups
 * and client metrics that were given some (KIP-1142). Version 0 is the former ListClientMetricsResources. */
#include "api/rows.h"
#include "api/api.h"

enum { BROKER_LOGGER = 8, KINDS = 5 };
static const int8_t kinds[KINDS] = {META_RES_TOPIC, META_RES_BROKER, BROKER_LOGGER, META_RES_CLIENT_METRICS,
                                    META_RES_GROUP};

struct list {
    struct api_req *r;
    const struct meta_image *image;
    struct wire_list_config_resources_response resp;
    int64_t cap;
};

static void add(struct list *l, struct wire_str name, int8_t type)
{
    if (l->resp.config_resources.v && l->resp.config_resources.n < l->cap)
        l->resp.config_resources.v[l->resp.config_resources.n] =
            (struct wire_list_config_resources_response_config_resource){.resource_name = api_str_copy(l->r, name),
                                                                         .resource_type = type};
    l->resp.config_resources.n++;
}

static void add_brokers(struct list *l, int8_t type)
{
    struct meta_cursor c;
    for (const struct meta_broker *b = meta_brokers_first(l->image, &c); b; b = meta_brokers_next(&c))
        add(l, wire_str(arena_printf(&l->r->arena, "%d", b->id)), type);
}

static void add_kind(struct list *l, int8_t type)
{
    struct meta_cursor c;
    if (type == META_RES_TOPIC) {
        for (const struct meta_topic *t = meta_topics_from(l->image, &c, NULL, 0); t; t = meta_topics_next(&c))
            add(l, (struct wire_str){t->name, t->name_len}, type);
    } else if (type == META_RES_BROKER || type == BROKER_LOGGER) {
        add_brokers(l, type);
    } else {
        for (const struct meta_configs *m = meta_configs_first(l->image, &c); m; m = meta_configs_next(&c))
            if (m->type == type)
                add(l, wire_str(m->name), type);
    }
}

static bool known(int8_t type)
{
    return memchr(kinds, type, KINDS) != NULL;
}

static void fill(struct list *l, const int8_t *types, int32_t n)
{
    l->resp.config_resources.n = 0;
    for (int k = 0; k < KINDS; k++)
        if (memchr(types, kinds[k], (size_t)n))
            add_kind(l, kinds[k]);
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_list_config_resources_request *q = body;
    static const int8_t metrics = META_RES_CLIENT_METRICS;
    struct list l = {.r = r, .resp = wire_list_config_resources_response_default};
    const int8_t *types = r->version == 0 ? &metrics : q->resource_types.n > 0 ? q->resource_types.v : kinds;
    int32_t n = r->version == 0 ? 1 : q->resource_types.n > 0 ? q->resource_types.n : KINDS;
    for (int32_t i = 0; i < n; i++)
        if (!known(types[i]))
            l.resp.error_code = KAFKA_UNSUPPORTED_VERSION;
    l.image = api_image(r);
    if (l.resp.error_code == KAFKA_NONE) {
        fill(&l, types, n); /* counts */
        l.cap = l.resp.config_resources.n;
        l.resp.config_resources.v = api_array(r, struct wire_list_config_resources_response_config_resource, l.cap);
        if (l.resp.config_resources.v)
            fill(&l, types, n);
    }
    api_image_leave(r);
    if (l.cap && !l.resp.config_resources.v)
        api_no_memory(r, "out of memory for an answer");
    else
        api_answer(r, &l.resp);
}

const struct api_row api_list_config_resources = {.key = WIRE_API_LIST_CONFIG_RESOURCES, .handle = handle};
