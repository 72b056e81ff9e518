/* alter_configs.c: AlterConfigs (33), which replaces all dynamic settings of a resource, and IncrementalAlterConfigs
 * (44), which sets, deletes, or changes single ones as lists (KIP-339). Both are one list of changes a resource. */
#include "api/rows.h"
#include "api/config_resource.h"
#include "api/repeats.h"

struct altered {
    struct config_alteration a;
    int8_t type;
    struct wire_str name;
    const struct config_change *changes;
    int32_t n_changes;
    int16_t error;
    struct wire_str message;
};

struct request {
    struct gather g;
    struct altered *v;
    int32_t n;
};

/* NULL: memory is exhausted, and the request was dropped. */
static struct request *begin(struct api_req *r, int32_t n, void (*end)(struct gather *g))
{
    struct request *q = arena_calloc(&r->arena, 1, sizeof *q);
    n = (int32_t)max_i64(n, 0);
    if (!q || !(q->v = api_array(r, struct altered, n))) {
        api_no_memory(r, "out of memory for a request");
        return NULL;
    }
    q->n = n;
    q->g = (struct gather){.r = r, .pending = 1, .end = end};
    return q;
}

/* How often each resource is named; 0: it was named before. */
static const int32_t *count_names(const struct request *q)
{
    struct repeat_key *keys = repeats_new(q->g.r, q->n);
    for (int32_t i = 0; keys && i < q->n; i++)
        keys[i] = (struct repeat_key){.name = q->v[i].name, .number = q->v[i].type};
    return repeats_count(q->g.r, keys, q->n);
}

static void run(struct request *q, bool replace, bool validate_only)
{
    const int32_t *times = count_names(q);
    if (!times) {
        api_no_memory(q->g.r, "out of memory for a request");
        return;
    }
    const struct meta_image *image = api_image(q->g.r);
    for (int32_t i = 0; i < q->n; i++) {
        struct altered *o = &q->v[i];
        o->message.n = -1;
        o->a.error = &o->error;
        o->a.message = &o->message;
        if (times[i] != 1) {
            o->error = KAFKA_INVALID_REQUEST;
            o->message = wire_str("Each resource must appear at most once.");
        } else if (!o->changes) {
            o->error = KAFKA_UNKNOWN_SERVER_ERROR;
        } else {
            config_alter(&q->g, image, o->type, o->name, o->changes, o->n_changes, replace, validate_only, &o->a);
        }
    }
    api_image_leave(q->g.r);
    gather_less(&q->g);
}

/* ---- AlterConfigs ---- */

static void end_alter(struct gather *g)
{
    struct request *q = CONTAINER_OF(g, struct request, g);
    struct wire_alter_configs_response resp = wire_alter_configs_response_default;
    resp.responses.v = api_array(g->r, struct wire_alter_configs_response_resource, q->n);
    for (int32_t i = 0; resp.responses.v && i < q->n; i++)
        resp.responses.v[resp.responses.n++] =
            (struct wire_alter_configs_response_resource){q->v[i].error, q->v[i].message, q->v[i].type, q->v[i].name};
    if (resp.responses.v)
        api_answer(g->r, &resp);
    else
        api_no_memory(g->r, "out of memory for an answer");
}

static void handle_alter(struct api_req *r, const void *body)
{
    const struct wire_alter_configs_request *w = body;
    struct request *q = begin(r, w->resources.n, end_alter);
    for (int32_t i = 0; q && i < q->n; i++) {
        const struct wire_alter_configs_request_resource *res = &w->resources.v[i];
        struct config_change *v = api_array(r, struct config_change, res->configs.n);
        for (int32_t k = 0; v && k < res->configs.n; k++)
            v[k] = (struct config_change){.name = res->configs.v[k].name, .value = res->configs.v[k].value};
        q->v[i] = (struct altered){
            .type = res->resource_type, .name = res->resource_name, .changes = v, .n_changes = res->configs.n};
    }
    if (q)
        run(q, true, w->validate_only);
}

/* ---- IncrementalAlterConfigs ---- */

static void end_incremental(struct gather *g)
{
    struct request *q = CONTAINER_OF(g, struct request, g);
    struct wire_incremental_alter_configs_response resp = wire_incremental_alter_configs_response_default;
    resp.responses.v = api_array(g->r, struct wire_incremental_alter_configs_response_resource, q->n);
    for (int32_t i = 0; resp.responses.v && i < q->n; i++)
        resp.responses.v[resp.responses.n++] = (struct wire_incremental_alter_configs_response_resource){
            q->v[i].error, q->v[i].message, q->v[i].type, q->v[i].name};
    if (resp.responses.v)
        api_answer(g->r, &resp);
    else
        api_no_memory(g->r, "out of memory for an answer");
}

static void handle_incremental(struct api_req *r, const void *body)
{
    const struct wire_incremental_alter_configs_request *w = body;
    struct request *q = begin(r, w->resources.n, end_incremental);
    for (int32_t i = 0; q && i < q->n; i++) {
        const struct wire_incremental_alter_configs_request_resource *res = &w->resources.v[i];
        struct config_change *v = api_array(r, struct config_change, res->configs.n);
        for (int32_t k = 0; v && k < res->configs.n; k++)
            v[k] = (struct config_change){.name = res->configs.v[k].name,
                                          .value = res->configs.v[k].value,
                                          .operation = res->configs.v[k].config_operation};
        q->v[i] = (struct altered){
            .type = res->resource_type, .name = res->resource_name, .changes = v, .n_changes = res->configs.n};
    }
    if (q)
        run(q, false, w->validate_only);
}

const struct api_row api_alter_configs = {.key = WIRE_API_ALTER_CONFIGS, .handle = handle_alter};
const struct api_row api_incremental_alter_configs = {.key = WIRE_API_INCREMENTAL_ALTER_CONFIGS,
                                                      .handle = handle_incremental};
