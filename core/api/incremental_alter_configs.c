/* incremental_alter_configs.c: IncrementalAlterConfigs (44): single settings are set, deleted, or changed as lists
 * (KIP-339). */
#include "api/rows.h"
#include "api/config_resource.h"

struct request {
    struct gather g;
    struct wire_incremental_alter_configs_response resp;
    struct config_alteration *v;
};

static void end(struct gather *g)
{
    api_answer(g->r, &CONTAINER_OF(g, struct request, g)->resp);
}

static void alter_one(struct request *q, const struct meta_image *image,
                      const struct wire_incremental_alter_configs_request_resource *res, bool validate_only, int32_t i)
{
    struct wire_incremental_alter_configs_response_resource *a = &q->resp.responses.v[i];
    struct config_change *v = api_array(q->g.r, struct config_change, res->configs.n);
    a->resource_type = res->resource_type;
    a->resource_name = res->resource_name;
    a->error_message.n = -1;
    if (!v) {
        a->error_code = KAFKA_UNKNOWN_SERVER_ERROR;
        return;
    }
    for (int32_t k = 0; k < res->configs.n; k++) {
        const struct wire_incremental_alter_configs_request_alterable_config *c = &res->configs.v[k];
        v[k] = (struct config_change){.name = c->name, .value = c->value, .operation = c->config_operation};
    }
    q->v[i].error = &a->error_code;
    q->v[i].message = &a->error_message;
    config_alter(&q->g, image, res->resource_type, res->resource_name, v, res->configs.n, false, validate_only,
                 &q->v[i]);
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_incremental_alter_configs_request *w = body;
    struct request *q = arena_calloc(&r->arena, 1, sizeof *q);
    if (q) {
        q->resp = wire_incremental_alter_configs_response_default;
        q->resp.responses.v = api_array(r, struct wire_incremental_alter_configs_response_resource, w->resources.n);
        q->v = api_array(r, struct config_alteration, w->resources.n);
    }
    if (!q || !q->resp.responses.v || !q->v) {
        api_drop(r, "out of memory for a request");
        return;
    }
    q->g = (struct gather){.r = r, .pending = 1, .end = end};
    q->resp.responses.n = w->resources.n;
    const struct meta_image *image = api_image(r);
    for (int32_t i = 0; i < w->resources.n; i++)
        alter_one(q, image, &w->resources.v[i], w->validate_only, i);
    api_image_leave(r);
    gather_less(&q->g);
}

const struct api_row api_incremental_alter_configs = {.key = WIRE_API_INCREMENTAL_ALTER_CONFIGS, .handle = handle};
