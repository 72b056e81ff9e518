/* describe_groups.c: DescribeGroups (15). */
#include "api/rows.h"
#include "api/authorized.h"
#include "api/group_call.h"

static void handle(struct api_req *r, const void *body)
{
    const struct wire_describe_groups_request *q = body;
    struct group_call *g = group_call_new(r, sizeof(struct wire_describe_groups_response));
    if (!g)
        return;
    struct wire_describe_groups_response *out = g->out;
    *out = wire_describe_groups_response_default;
    out->groups.v = api_array(r, struct wire_describe_groups_response_described_group, max_i64(q->groups.n, 0));
    if (!out->groups.v) {
        api_no_memory(r, "out of memory for a request");
        return;
    }
    for (int32_t i = 0; i < q->groups.n; i++) {
        struct wire_describe_groups_response_described_group *a = &out->groups.v[out->groups.n++];
        coord_describe(r->api->c.coord, &g->call, q->groups.v[i], a);
        if (q->include_authorized_operations && a->error_code == KAFKA_NONE)
            a->authorized_operations = AUTHORIZED_GROUP;
    }
    group_call_wait(g, CHRONIK_DONE);
}

const struct api_row api_describe_groups = {.key = WIRE_API_DESCRIBE_GROUPS, .handle = handle};
