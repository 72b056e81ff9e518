#include <config.h>

/* guard.c: see guard.h. The guard shares each connection's bufferevent and sees by its callbacks, which freeing takes
 * away, that evhttp has given it up. It ends a connection by shutting its socket down: evhttp finds the end of the
 * stream and frees it. Everything runs on the admin loop. */
#include "admin/guard.h"

#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "os/os.h"

enum { SLOTS = 2 * ADMIN_CONNECTIONS, AHEAD_MAX = 128 * 1024 };
#define SECOND INT64_C(1000000000)

#define PAUSE (SECOND / 100)

int64_t admin_patience_ns = 30 * SECOND;

struct guarded {
    struct bufferevent *bev;
    int64_t since; /* mono ns: the peer's time runs from then on */
    bool answering;
    bool ended; /* by us; evhttp will find out */
};

struct admin_guard {
    struct os *os;
    struct os_exec *loop;
    struct evconnlistener *listener;
    struct chronik_task sweep_task;
    struct guarded v[SLOTS]; /* in order of arrival */
    uint32_t n;
    bool armed; /* a sweep is due */
    bool paused;
};

static bool given_up(const struct guarded *c)
{
    bufferevent_event_cb on_event = NULL;
    bufferevent_getcb(c->bev, NULL, NULL, &on_event, NULL);
    return !on_event;
}

static void forget_gone(struct admin_guard *g)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < g->n; i++) {
        if (given_up(&g->v[i]))
            bufferevent_decref(g->v[i].bev);
        else
            g->v[kept++] = g->v[i];
    }
    g->n = kept;
}

static void end(struct guarded *c)
{
    c->ended = true;
    shutdown(bufferevent_getfd(c->bev), SHUT_RDWR);
}

static void sweep(void *guard)
{
    struct admin_guard *g = guard;
    int64_t now = os_mono_ns(g->os);
    forget_gone(g);
    for (uint32_t i = 0; i < g->n; i++)
        if (!g->v[i].answering && !g->v[i].ended && now - g->v[i].since > admin_patience_ns)
            end(&g->v[i]);
    if (g->paused && g->n <= ADMIN_CONNECTIONS) {
        g->paused = false;
        evconnlistener_enable(g->listener);
    }
    g->armed = g->n > 0;
    if (g->armed)
        os_exec_post_at(g->loop, &g->sweep_task, now + min_i64(SECOND, admin_patience_ns));
}

/* Room for one more: who has kept us waiting for the longest goes. While all wait for us, nobody is let in. */
static void make_room(struct admin_guard *g)
{
    for (uint32_t i = 0; i < g->n && g->n >= ADMIN_CONNECTIONS; i++) {
        if (g->v[i].answering || g->v[i].ended)
            continue;
        end(&g->v[i]);
        break;
    }
    if (g->n + 1 < SLOTS)
        return;
    g->paused = true;
    evconnlistener_disable(g->listener);
    g->armed = true;
    os_exec_post_at(g->loop, &g->sweep_task, os_mono_ns(g->os) + PAUSE); /* who was ended is gone by then */
}

/* evhttp's question for a bufferevent, right after it has accepted a connection. */
static struct bufferevent *connection_new(struct event_base *base, void *guard)
{
    struct admin_guard *g = guard;
    /* evhttp would close the socket when it gives up the bufferevent, which still has events on that number. */
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (!bev)
        return NULL;
    forget_gone(g);
    make_room(g);
    if (g->n == SLOTS)
        return bev; /* accepted in the same turn as the one that paused the listener */
    bufferevent_setwatermark(bev, EV_READ, 0, AHEAD_MAX);
    bufferevent_incref(bev);
    g->v[g->n++] = (struct guarded){.bev = bev, .since = os_mono_ns(g->os)};
    if (!g->armed)
        os_exec_post_at(g->loop, &g->sweep_task, os_mono_ns(g->os) + min_i64(SECOND, admin_patience_ns));
    g->armed = true;
    return bev;
}

static void set_answering(struct admin_guard *g, struct evhttp_request *req, bool answering)
{
    const struct bufferevent *bev = evhttp_connection_get_bufferevent(evhttp_request_get_connection(req));
    for (uint32_t i = 0; i < g->n; i++)
        if (g->v[i].bev == bev) {
            g->v[i].answering = answering;
            g->v[i].since = os_mono_ns(g->os);
        }
}

void admin_guard_asked(struct admin_guard *g, struct evhttp_request *req)
{
    set_answering(g, req, true);
}

void admin_guard_answered(struct admin_guard *g, struct evhttp_request *req)
{
    set_answering(g, req, false);
}

struct admin_guard *admin_guard_new(struct os *os, struct os_exec *loop, struct evhttp *http,
                                    struct evconnlistener *listener)
{
    struct admin_guard *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->os = os;
    g->loop = loop;
    g->listener = listener;
    g->sweep_task = (struct chronik_task){.fn = sweep, .arg = g};
    evhttp_set_bevcb(http, connection_new, g);
    return g;
}

void admin_guard_free(struct admin_guard *g)
{
    if (!g)
        return;
    os_exec_cancel(g->loop, &g->sweep_task);
    for (uint32_t i = 0; i < g->n; i++)
        bufferevent_decref(g->v[i].bev);
    free(g);
}
