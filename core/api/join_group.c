/* join_group.c: JoinGroup (11). */
#include "api/rows.h"
#include "api/group_call.h"

/* Before version 7 no name could be null; from then on the empty one is told as null. */
static void finish(struct group_call *g)
{
    struct wire_join_group_response *out = g->out;
    if (out->protocol_name.n <= 0)
        out->protocol_name = wire_str(g->r->version < 7 ? "" : NULL);
}

static void handle(struct api_req *r, const void *body)
{
    struct group_call *g = group_call_new(r, sizeof(struct wire_join_group_response));
    if (!g)
        return;
    g->finish = finish;
    group_call_wait(g, coord_join(r->api->c.coord, &g->call, body, g->out));
}

const struct api_row api_join_group = {.key = WIRE_API_JOIN_GROUP, .handle = handle};
