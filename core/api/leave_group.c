/* leave_group.c: LeaveGroup (13). */
#include "api/rows.h"
#include "api/group_call.h"

static void handle(struct api_req *r, const void *body)
{
    struct group_call *g = group_call_new(r, sizeof(struct wire_leave_group_response));
    if (!g)
        return;
    coord_leave(r->api->c.coord, &g->call, body, g->out);
    group_call_wait(g, CHRONIK_DONE);
}

const struct api_row api_leave_group = {.key = WIRE_API_LEAVE_GROUP, .handle = handle};
