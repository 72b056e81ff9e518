/* gather.h: a request of several parts that end one by one on the request's loop; the last one ends the request. */
#ifndef CHRONIK_API_GATHER_H
#define CHRONIK_API_GATHER_H

#include "api/api.h"

/* Begins as {.r = r, .end = fn, .pending = 1}: the one is the caller's own, taken back by its gather_less. */
struct gather {
    struct api_req *r;
    int32_t pending;
    void (*end)(struct gather *g);
};

static inline void gather_more(struct gather *g)
{
    g->pending++;
}

static inline void gather_less(struct gather *g)
{
    if (--g->pending == 0)
        g->end(g);
}

/* One proposal of a gathered request: `result` when it ends, then `applied` on the loop, then gather_less. */
struct gather_proposal {
    struct gather *g;
    struct api_result result;
    void (*applied)(struct gather_proposal *p);
    void *arg;
};

/* false: refused for now (queues are full); applied will not run. */
bool gather_propose(struct gather *g, struct gather_proposal *p, const struct meta_command *c, int64_t timeout_ms);

#endif
