/* gather.c: proposals as parts of a gathered request. On the request's loop. */
#include "api/gather.h"

static void back(struct api_req *r, void *arg)
{
    struct gather_proposal *p = arg;
    p->applied(p);
    gather_less(p->g);
}

bool gather_propose(struct gather *g, struct gather_proposal *p, const struct meta_command *c, int64_t timeout_ms)
{
    p->g = g;
    gather_more(g);
    if (api_propose(g->r, c, timeout_ms, &p->result, back, p) >= 0)
        return true;
    g->pending--;
    return false;
}
