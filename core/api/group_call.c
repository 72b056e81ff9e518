/* group_call.c: see group_call.h. A client that goes away ends its wait; the member stays until its session ends. */
#include "api/group_call.h"

#include <stdio.h>

/* Any thread. */
static void done(struct coord_call *call)
{
    struct api_req *r = CONTAINER_OF(call, struct group_call, call)->r;
    os_exec_post(r->loop->exec, &r->task);
}

static void answer(void *arg)
{
    struct group_call *g = arg;
    g->r->cancel = NULL;
    if (g->call.nomem) {
        api_no_memory(g->r, "out of memory for the answer of a group");
        return;
    }
    if (g->finish)
        g->finish(g);
    api_answer(g->r, g->out);
}

static void cancel(struct api_req *r)
{
    struct group_call *g = r->state;
    coord_cancel(r->api->c.coord, &g->call);
}

/* The address as Java prints one: "/127.0.0.1". */
static void put_host(struct api_req *r, char *out, size_t n)
{
    const char *peer = net_conn_peer(r->net->conn), *colon = strrchr(peer, ':');
    bool v6 = peer[0] == '[';
    int len = colon ? (int)(colon - peer) : (int)strlen(peer);
    snprintf(out, n, "/%.*s", v6 && len > 1 ? len - 2 : len, peer + v6);
}

struct group_call *group_call_new(struct api_req *r, size_t size)
{
    struct group_call *g = arena_calloc(&r->arena, 1, sizeof *g);
    void *out = arena_calloc(&r->arena, 1, size);
    if (!g || !out) {
        api_no_memory(r, "out of memory for a request");
        return NULL;
    }
    g->r = r;
    g->out = out;
    g->call = (struct coord_call){.version = r->version, .arena = &r->arena, .client_id = r->client_id, .done = done};
    put_host(r, g->host, sizeof g->host);
    g->call.client_host = g->host;
    r->state = g;
    r->task = (struct chronik_task){.fn = answer, .arg = g};
    return g;
}

void group_call_wait(struct group_call *g, int32_t rc)
{
    if (rc == CHRONIK_DONE) {
        answer(g);
        return;
    }
    g->r->cancel = cancel;
    net_frame_release(g->r->net);
}
