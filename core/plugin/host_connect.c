/* host_connect.c: where a module's streams come from: listeners and connection attempts. Both work on the host's I/O
 * loop, which is opened with the first of them, and tell the module on the executor it named. A name that must be
 * looked up is looked up on a worker: that may block for seconds. */
#include "plugin/host_stream.h"

#include <stdlib.h>

#define BACKLOG       128
#define ACCEPT_ROUND  16
#define ACCEPT_PAUSE  INT64_C(100000000) /* ns; when there is no descriptor left */
#define PEER_NAME_MAX 64

/* The loop, opened at first use. */
static int32_t get_loop(struct plugin_host *h, struct os_exec **out)
{
    os_mutex_lock(&h->lock);
    *out = h->loop;
    os_mutex_unlock(&h->lock);
    if (*out != NULL)
        return CHRONIK_DONE;

    struct os_exec *loop, *unwanted = NULL;
    int32_t rc = os_exec_open(h->os, "module-io", OS_EXEC_LOOP, &loop);
    if (rc < 0)
        return rc;
    os_mutex_lock(&h->lock);
    if (h->loop == NULL)
        h->loop = loop;
    else
        unwanted = loop; /* another thread was faster */
    *out = h->loop;
    os_mutex_unlock(&h->lock);
    if (unwanted != NULL)
        os_exec_close(unwanted);
    return CHRONIK_DONE;
}

void host_streams_free(struct plugin_host *h)
{
    if (h->loop != NULL)
        os_exec_close(h->loop);
}

/* ---- listening ---- */

struct listener {
    struct plugin_host *host;
    struct os_exec *loop;
    struct chronik_exec *exec;
    struct chronik_listen_events ev;
    struct os_sock *sock; /* the loop's */
    uint16_t port;
    bool closed;               /* the executor's: no accepted() any more */
    struct chronik_task arm;   /* on the loop: begin, or begin again after a pause */
    struct chronik_task close; /* on the loop */
    struct chronik_task last;  /* on the executor */
};

/* A connection on its way from the loop to the executor. */
struct arrival {
    struct listener *listener;
    struct chronik_stream *stream;
    struct chronik_task task;
    char peer[PEER_NAME_MAX];
};

static void arrive(void *arg)
{
    struct arrival *a = arg;
    struct listener *l = a->listener;
    if (l->closed)
        stream_close(a->stream);
    else
        l->ev.accepted(l->ev.arg, a->stream, a->peer);
    free(a);
}

/* Sends a new socket to the module; without memory the connection is dropped. */
static void deliver(struct listener *l, struct os_sock *sock)
{
    struct arrival *a = calloc(1, sizeof *a);
    struct chronik_stream *s = a != NULL ? stream_new(l->loop, l->exec, sock) : NULL;
    if (s == NULL) {
        free(a);
        os_sock_close(sock);
        return;
    }
    os_peer_name(sock, a->peer, sizeof a->peer);
    a->listener = l;
    a->stream = s;
    a->task = (struct chronik_task){.fn = arrive, .arg = a};
    os_exec_post(l->exec->os, &a->task);
}

static void on_listener(void *arg, unsigned what)
{
    struct listener *l = arg;
    (void)what;
    for (int i = 0; i < ACCEPT_ROUND; i++) {
        struct os_sock *sock;
        int32_t rc = os_accept(l->sock, &sock);
        if (rc == CHRONIK_E_CLOSED)
            continue;
        if (rc == CHRONIK_E_BUSY) {
            /* Level-triggered: without a pause a full descriptor table would spin this loop. */
            os_watch(l->sock, l->loop, 0, on_listener, l);
            os_exec_post_at(l->loop, &l->arm, os_mono_ns(l->host->os) + ACCEPT_PAUSE);
        }
        if (rc < 0)
            return;
        deliver(l, sock);
    }
}

static void listener_arms(void *arg)
{
    struct listener *l = arg;
    if (os_watch(l->sock, l->loop, OS_CAN_READ, on_listener, l) < 0)
        os_exec_post_at(l->loop, &l->arm, os_mono_ns(l->host->os) + ACCEPT_PAUSE);
}

static void listener_closes(void *arg)
{
    struct listener *l = arg;
    os_exec_cancel(l->loop, &l->arm);
    os_sock_close(l->sock);
    os_exec_post(l->exec->os, &l->last);
}

static void listener_ends(void *arg)
{
    struct listener *l = arg;
    struct chronik_exec *e = l->exec;
    free(l);
    exec_unref(e);
}

static int32_t host_listen(void *ctx, struct chronik_exec *e, const char *address,
                           const struct chronik_listen_events *ev, void **out)
{
    struct plugin_host *h = host_of(ctx);
    struct err why = {0};
    *out = NULL;
    if (!CHRONIK_HAS(struct chronik_listen_events, ev, arg))
        return CHRONIK_E_VERSION;
    struct listener *l = calloc(1, sizeof *l);
    if (l == NULL)
        return CHRONIK_E_NOMEM;
    l->host = h;
    l->exec = e;
    memcpy(&l->ev, ev, min_size(ev->size, sizeof l->ev));
    l->arm = (struct chronik_task){.fn = listener_arms, .arg = l};
    l->close = (struct chronik_task){.fn = listener_closes, .arg = l};
    l->last = (struct chronik_task){.fn = listener_ends, .arg = l};
    int32_t rc = get_loop(h, &l->loop);
    if (rc > 0)
        rc = os_listen(h->os, address, BACKLOG, &l->sock, &l->port, &why);
    if (rc < 0) {
        log_write(h->module, LOG_ERROR, "cannot listen on %s: %s", address, why.code != 0 ? why.text : "no I/O loop");
        free(l);
        return rc;
    }
    exec_ref(e);
    os_exec_post(l->loop, &l->arm);
    *out = l;
    return CHRONIK_DONE;
}

static void host_listen_close(void *listener)
{
    struct listener *l = listener;
    l->closed = true;
    os_exec_post(l->loop, &l->close);
}

static int32_t host_listen_port(void *listener, uint16_t *out)
{
    *out = ((const struct listener *)listener)->port;
    return CHRONIK_DONE;
}

/* ---- connecting ---- */

struct attempt {
    struct plugin_host *host;
    struct os_exec *loop;
    struct chronik_exec *exec;
    struct os_sock *sock; /* NULL once it belongs to a stream or is closed */
    struct chronik_stream *stream;
    struct chronik_stream **out;
    struct chronik_done done;
    int64_t deadline; /* ns, monotonic */
    int32_t result;
    struct chronik_task dial;    /* on a worker or the loop */
    struct chronik_task wait;    /* on the loop: the socket is there */
    struct chronik_task timeout; /* on the loop */
    struct chronik_task last;    /* on the executor */
    char address[];
};

static void attempt_ends(void *arg)
{
    struct attempt *a = arg;
    struct chronik_exec *e = a->exec;
    struct chronik_done done = a->done;
    int32_t result = a->result;
    if (result > 0)
        *a->out = a->stream;
    free(a);
    done.fn(done.arg, result);
    exec_unref(e);
}

/* On the loop: the outcome is known. */
static void settle(struct attempt *a, int32_t result)
{
    os_exec_cancel(a->loop, &a->timeout);
    if (a->sock != NULL && result > 0) {
        os_watch(a->sock, a->loop, 0, NULL, NULL);
        a->stream = stream_new(a->loop, a->exec, a->sock);
        if (a->stream == NULL)
            result = CHRONIK_E_NOMEM;
    }
    if (a->sock != NULL && result < 0)
        os_sock_close(a->sock);
    a->result = result;
    os_exec_post(a->exec->os, &a->last);
}

static void on_connected(void *arg, unsigned what)
{
    struct attempt *a = arg;
    (void)what;
    int32_t rc = os_connect_result(a->sock);
    if (rc != CHRONIK_E_AGAIN)
        settle(a, rc);
}

static void attempt_times_out(void *arg)
{
    settle(arg, CHRONIK_E_TIMEDOUT);
}

static void attempt_waits(void *arg)
{
    struct attempt *a = arg;
    int32_t rc = a->result;
    if (rc > 0)
        rc = os_watch(a->sock, a->loop, OS_CAN_WRITE, on_connected, a);
    if (rc < 0)
        settle(a, rc);
    else
        os_exec_post_at(a->loop, &a->timeout, a->deadline);
}

static void attempt_dials(void *arg)
{
    struct attempt *a = arg;
    a->result = os_connect(a->host->os, a->address, &a->sock, NULL);
    if (a->result < 0)
        a->sock = NULL;
    os_exec_post(a->loop, &a->wait);
}

/* Whether os_connect answers without asking a name server. */
static bool is_numeric(const char *address)
{
    return address[0] == '[' || address[strspn(address, "0123456789.")] == ':';
}

static int32_t host_connect(void *ctx, struct chronik_exec *e, const char *address, int64_t timeout_ns,
                            struct chronik_stream **out, struct chronik_done done)
{
    struct plugin_host *h = host_of(ctx);
    size_t n = strlen(address) + 1;
    if (timeout_ns <= 0)
        return CHRONIK_E_INVAL;
    struct attempt *a = calloc(1, sizeof *a + n);
    if (a == NULL)
        return CHRONIK_E_NOMEM;
    int32_t rc = get_loop(h, &a->loop);
    if (rc < 0) {
        free(a);
        return rc;
    }
    a->host = h;
    a->exec = e;
    a->out = out;
    a->done = done;
    a->deadline = os_mono_ns(h->os) + timeout_ns;
    memcpy(a->address, address, n);
    a->dial = (struct chronik_task){.fn = attempt_dials, .arg = a};
    a->wait = (struct chronik_task){.fn = attempt_waits, .arg = a};
    a->timeout = (struct chronik_task){.fn = attempt_times_out, .arg = a};
    a->last = (struct chronik_task){.fn = attempt_ends, .arg = a};
    exec_ref(e);
    if (is_numeric(address))
        os_exec_post(a->loop, &a->dial);
    else
        os_worker_post(h->os, &a->dial);
    return CHRONIK_PENDING;
}

void host_connect_fill(struct chronik_host *t)
{
    t->listen = host_listen;
    t->listen_close = host_listen_close;
    t->listen_port = host_listen_port;
    t->connect = host_connect;
}
