/* client_quotas.c: DescribeClientQuotas (48). Quotas cannot be set here (AlterClientQuotas is not offered), so whatever
 * the filter asks for, there are none; a filter that makes no sense is refused in Kafka's words. */
#include "api/rows.h"
#include "api/api.h"

typedef struct wire_describe_client_quotas_request_component_data component;

enum { MATCH_EXACT = 0, MATCH_DEFAULT = 1, MATCH_SPECIFIED = 2 };

static bool named(const struct wire_describe_client_quotas_request *q, const char *type)
{
    for (int32_t i = 0; i < q->components.n; i++)
        if (wire_str_is(q->components.v[i].entity_type, type))
            return true;
    return false;
}

static const char *bad_match(struct api_req *r, const component *c)
{
    switch (c->match_type) {
    case MATCH_EXACT:
        return c->match.n < 0 ? "Request specified MATCH_TYPE_EXACT, but set match string to null." : NULL;
    case MATCH_DEFAULT:
        return c->match.n < 0 ? NULL : "Request specified MATCH_TYPE_DEFAULT, but also specified a match string.";
    case MATCH_SPECIFIED:
        return c->match.n < 0 ? NULL : "Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.";
    default:
        return arena_printf(&r->arena, "Unknown match type %d", c->match_type);
    }
}

/* What is wrong with component i, with its code; NULL when nothing is. */
static const char *bad_component(struct api_req *r, const struct wire_describe_client_quotas_request *q, int32_t i,
                                 int16_t *code)
{
    const component *c = &q->components.v[i];
    *code = KAFKA_INVALID_REQUEST;
    if (c->entity_type.n <= 0)
        return "Invalid empty entity type.";
    for (int32_t k = 0; k < i; k++)
        if (wire_str_eq(q->components.v[k].entity_type, c->entity_type))
            return arena_printf(&r->arena, "Entity type %.*s cannot appear more than once in the filter.",
                                c->entity_type.n, c->entity_type.p);
    if (!wire_str_is(c->entity_type, "ip") && !wire_str_is(c->entity_type, "user") &&
        !wire_str_is(c->entity_type, "client-id")) {
        *code = KAFKA_UNSUPPORTED_VERSION;
        return arena_printf(&r->arena, "Unsupported entity type %.*s", c->entity_type.n, c->entity_type.p);
    }
    return bad_match(r, c);
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_describe_client_quotas_request *q = body;
    struct wire_describe_client_quotas_response resp = wire_describe_client_quotas_response_default;
    const char *why = NULL;
    int16_t code = KAFKA_INVALID_REQUEST;
    for (int32_t i = 0; i < q->components.n && !why; i++)
        why = bad_component(r, q, i, &code);
    if (!why && named(q, "ip") && (named(q, "user") || named(q, "client-id"))) {
        code = KAFKA_INVALID_REQUEST;
        why =
            "Invalid entity filter component combination. IP filter component should not be used with user or clientId "
            "filter component.";
    }
    if (why) {
        resp.error_code = code;
        resp.error_message = wire_str(why);
        resp.entries.n = -1;
    }
    api_answer(r, &resp);
}

const struct api_row api_describe_client_quotas = {.key = WIRE_API_DESCRIBE_CLIENT_QUOTAS, .handle = handle};
