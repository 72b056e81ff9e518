/* group_call.h: a request on its way through the group coordinator: what it asks of the client, and the way back to the
 * request's loop. */
#ifndef CHRONIK_API_GROUP_CALL_H
#define CHRONIK_API_GROUP_CALL_H

#include "api/api.h"
#include "coord/coord.h"

/* In the request's arena. */
struct group_call {
    struct coord_call call;
    struct api_req *r;
    char host[80];
    void *out; /* the response */
    /* Adapts the complete response to the request's version; may be NULL. */
    void (*finish)(struct group_call *g);
};

/* NULL: out of memory, the request has ended. `out` is a zeroed response of `size` bytes. */
struct group_call *group_call_new(struct api_req *r, size_t size);
/* What the coordinator's function gave: answers now, or when it calls. The frame is given back meanwhile. */
void group_call_wait(struct group_call *g, int32_t rc);

#endif
