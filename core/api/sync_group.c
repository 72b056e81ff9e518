/* sync_group.c: SyncGroup (14). */
#include "api/rows.h"
#include "api/group_call.h"

static void handle(struct api_req *r, const void *body)
{
    struct group_call *g = group_call_new(r, sizeof(struct wire_sync_group_response));
    if (g)
        group_call_wait(g, coord_sync(r->api->c.coord, &g->call, body, g->out));
}

const struct api_row api_sync_group = {.key = WIRE_API_SYNC_GROUP, .handle = handle};
