/* list_groups.c: ListGroups (16). */
#include "api/rows.h"
#include "api/group_call.h"

static void handle(struct api_req *r, const void *body)
{
    struct group_call *g = group_call_new(r, sizeof(struct wire_list_groups_response));
    if (!g)
        return;
    coord_list(r->api->c.coord, &g->call, body, g->out);
    group_call_wait(g, CHRONIK_DONE);
}

const struct api_row api_list_groups = {.key = WIRE_API_LIST_GROUPS, .handle = handle};
