/* heartbeat.c: Heartbeat (12). */
#include "api/rows.h"
#include "api/api.h"
#include "coord/coord.h"

static void handle(struct api_req *r, const void *body)
{
    struct wire_heartbeat_response out = wire_heartbeat_response_default;
    out.error_code = coord_heartbeat(r->api->c.coord, body);
    api_answer(r, &out);
}

const struct api_row api_heartbeat = {.key = WIRE_API_HEARTBEAT, .handle = handle};
