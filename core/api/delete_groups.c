/* delete_groups.c: DeleteGroups (42). */
#include "api/rows.h"
#include "api/group_call.h"

/* The answer names the groups: their ids outlive the frame. */
static void handle(struct api_req *r, const void *body)
{
    const struct wire_delete_groups_request *q = body;
    struct group_call *g = group_call_new(r, sizeof(struct wire_delete_groups_response));
    if (!g)
        return;
    struct wire_delete_groups_request copy = *q;
    copy.groups_names.v = api_array(r, struct wire_str, max_i64(q->groups_names.n, 0));
    for (int32_t i = 0; copy.groups_names.v && i < q->groups_names.n; i++)
        copy.groups_names.v[i] = api_str_copy(r, q->groups_names.v[i]);
    if (!copy.groups_names.v) {
        api_no_memory(r, "out of memory for a request");
        return;
    }
    group_call_wait(g, coord_delete(r->api->c.coord, &g->call, &copy, g->out));
}

const struct api_row api_delete_groups = {.key = WIRE_API_DELETE_GROUPS, .handle = handle};
