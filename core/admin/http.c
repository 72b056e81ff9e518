#include <config.h>

/* http.c: evhttp as the transport of admin: bytes to calls and back, nothing else. Everything runs on one loop executor
 * of its own, so that no request of an operator takes time from a client; only finish() comes from other threads. Must
 * bound what a peer may send and how long it may take. */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "admin/admin.h"
#include "admin/guard.h"
#include "base/log.h"
#include "os/os.h"

LOG_SUBSYSTEM("admin");

enum { HEADERS_MAX = 16 * 1024, TIMEOUT_S = 10, TOKEN_MIN = 16, TOKEN_MAX = 512 };
#define ACCEPT_PAUSE INT64_C(1000000000)
#define OPEN_WAIT    INT64_C(10000000000)

struct admin_http {
    struct os *os;
    struct admin *admin;
    struct os_exec *loop;
    struct evhttp *http;
    struct evconnlistener *listener;
    struct admin_guard *guard;
    struct chronik_task task, resume_task;
    struct os_flag done;
    const char *address;
    uint16_t port;
    int32_t result;
    struct err *e;
    char token[TOKEN_MAX + 1]; /* "": none */
};

/* A call and the request it came from. */
struct exchange {
    struct admin_call call;
    struct admin_http *h;
    struct evhttp_request *req; /* NULL: the peer is gone */
    struct chronik_task task;
    char *path, *body;
};

/* ---- who may change something ---- */

static bool is_loopback(const char *ip)
{
    return strncmp(ip, "127.", 4) == 0 || strcmp(ip, "::1") == 0 || strncmp(ip, "::ffff:127.", 11) == 0;
}

static bool same_token(const char *given, const char *token)
{
    size_t n = strlen(token);
    unsigned differs = strlen(given) != n;
    for (size_t i = 0; i < n && !differs; i++)
        differs |= (unsigned)(given[i] ^ token[i]) << 8;
    return !differs;
}

/* A page in the operator's browser can reach this port too: it gives itself away by Origin, or by a host name of its
 * own that was made to point here. */
static bool is_local_call(struct evhttp_request *req, struct evkeyvalq *headers)
{
    char *ip = NULL;
    ev_uint16_t port;
    evhttp_connection_get_peer(evhttp_request_get_connection(req), &ip, &port);
    const char *host = evhttp_request_get_host(req);
    bool named_local = !host || strcmp(host, "localhost") == 0 || is_loopback(host) || strncmp(host, "[::1]", 5) == 0;
    return ip && is_loopback(ip) && named_local && !evhttp_find_header(headers, "Origin");
}

static bool may_change(struct admin_http *h, struct evhttp_request *req)
{
    struct evkeyvalq *headers = evhttp_request_get_input_headers(req);
    const char *auth = evhttp_find_header(headers, "Authorization");
    if (auth && h->token[0] && strncmp(auth, "Bearer ", 7) == 0)
        return same_token(auth + 7, h->token);
    return is_local_call(req, headers);
}

/* ---- answers ---- */

static void exchange_free(struct exchange *x)
{
    admin_text_free(&x->call.out);
    free(x->path);
    free(x->body);
    free(x);
}

static void text_sent(const void *p, size_t n, void *text)
{
    free(text);
}

static void reply(struct exchange *x)
{
    struct admin_call *c = &x->call;
    struct evkeyvalq *headers = evhttp_request_get_output_headers(x->req);
    struct evbuffer *body = evbuffer_new();
    admin_guard_answered(x->h->guard, x->req);
    evhttp_connection_set_closecb(evhttp_request_get_connection(x->req), NULL, NULL);
    evhttp_add_header(headers, "Content-Type", c->type);
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    if (c->allow)
        evhttp_add_header(headers, "Allow", c->allow);
    if (body && c->out.p && !c->out.failed &&
        evbuffer_add_reference(body, c->out.p, c->out.n, text_sent, c->out.p) == 0)
        c->out.p = NULL; /* the buffer's now */
    else if (c->out.p)
        c->status = 500;
    evhttp_send_reply(x->req, c->status, NULL, body);
    if (body)
        evbuffer_free(body);
}

static void finished(void *exchange)
{
    struct exchange *x = exchange;
    if (x->req)
        reply(x);
    exchange_free(x);
}

static void finish(struct admin_call *c)
{
    struct exchange *x = CONTAINER_OF(c, struct exchange, call);
    x->task = (struct chronik_task){.fn = finished, .arg = x};
    os_exec_post(x->h->loop, &x->task);
}

static void peer_gone(struct evhttp_connection *conn, void *exchange)
{
    struct exchange *x = exchange;
    x->req = NULL;
}

/* ---- requests ---- */

static const char *method_name(struct evhttp_request *req)
{
    switch (evhttp_request_get_command(req)) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_HEAD:
        return "HEAD";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_PUT:
        return "PUT";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    default:
        return "OTHER";
    }
}

/* The decoded path, NULL when it holds a NUL byte or memory is short. */
static char *decoded_path(const char *raw)
{
    size_t n = 0;
    char *path = evhttp_uridecode(raw && *raw ? raw : "/", 0, &n);
    if (path && strlen(path) == n)
        return path;
    free(path);
    return NULL;
}

static char *copy_body(struct evhttp_request *req, size_t *n)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    *n = evbuffer_get_length(in);
    char *body = malloc(*n + 1);
    if (!body)
        return NULL;
    if (evbuffer_copyout(in, body, *n) != (ev_ssize_t)*n)
        *n = 0;
    body[*n] = 0;
    return body;
}

static void on_request(struct evhttp_request *req, void *arg)
{
    struct admin_http *h = arg;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *query = uri ? evhttp_uri_get_query(uri) : NULL;
    struct exchange *x = calloc(1, sizeof *x);
    if (!x) {
        evhttp_send_error(req, HTTP_INTERNAL, NULL);
        return;
    }
    x->h = h;
    x->req = req;
    x->path = decoded_path(uri ? evhttp_uri_get_path(uri) : NULL);
    x->body = copy_body(req, &x->call.n_body);
    x->call.status = 200;
    x->call.type = "text/plain; charset=utf-8";
    x->call.finish = finish;
    x->call.method = method_name(req);
    x->call.path = x->path;
    x->call.query = query ? query : "";
    x->call.body = x->body;
    x->call.may_change = may_change(h, req);
    if (!x->path || !x->body) {
        evhttp_send_error(req, HTTP_BADREQUEST, NULL);
        exchange_free(x);
        return;
    }
    admin_guard_asked(h->guard, req);
    evhttp_connection_set_closecb(evhttp_request_get_connection(req), peer_gone, x);
    if (admin_handle(h->admin, &x->call) == ADMIN_DONE)
        finished(x);
}

/* ---- listening ---- */

/* The door of this loop's thread: libevent tells a listener's errors without an argument of ours. */
static _Thread_local struct admin_http *of_this_loop;

static void resume(void *http)
{
    struct admin_http *h = http;
    evconnlistener_enable(h->listener);
}

/* Without descriptors accept fails again and again: wait a moment instead of spinning. The argument is evhttp's own. */
static void accept_failed(struct evconnlistener *listener, void *evhttps)
{
    struct admin_http *h = of_this_loop;
    CHECK(h && h->listener == listener);
    log_warn("admin listener %s cannot accept: %s", h->address, strerror(errno));
    evconnlistener_disable(listener);
    os_exec_post_at(h->loop, &h->resume_task, os_mono_ns(h->os) + ACCEPT_PAUSE);
}

static int32_t split(const char *address, char *host, size_t n, uint16_t *port, struct err *e)
{
    const char *colon = strrchr(address, ':');
    char *end = NULL;
    long number = colon && colon[1] ? strtol(colon + 1, &end, 10) : -1;
    if (number > 65535 && !*end)
        return err_set(e, CHRONIK_E_INVAL, "chronik.admin.listener: '%s': a port is a number from 0 to 65535", address);
    if (number < 0 || number > 65535 || *end || (size_t)(colon - address) >= n)
        return err_set(e, CHRONIK_E_INVAL, "chronik.admin.listener: '%s' is not host:port, for instance 127.0.0.1:9644",
                       address);
    bool bracket = address[0] == '[' && colon > address + 1 && colon[-1] == ']';
    snprintf(host, n, "%.*s", (int)(colon - address) - 2 * bracket, address + bracket);
    *port = (uint16_t)number;
    return CHRONIK_DONE;
}

static uint16_t bound_port(evutil_socket_t fd)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &n) != 0)
        return 0;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

static int32_t bind_it(struct admin_http *h)
{
    char host[256];
    uint16_t port = 0;
    int32_t r = split(h->address, host, sizeof host, &port, h->e);
    if (r < 0)
        return r;
    h->http = evhttp_new(os_real_loop_base(h->loop));
    if (!h->http)
        return err_set(h->e, CHRONIK_E_NOMEM, "admin listener: no memory");
    evhttp_set_max_headers_size(h->http, HEADERS_MAX);
    evhttp_set_max_body_size(h->http, ADMIN_BODY_MAX);
    evhttp_set_timeout(h->http, TIMEOUT_S);
    evhttp_set_gencb(h->http, on_request, h);
    struct evhttp_bound_socket *s = evhttp_bind_socket_with_handle(h->http, host[0] ? host : NULL, port);
    if (!s)
        return err_set(h->e, errno == EADDRINUSE ? CHRONIK_E_EXISTS : CHRONIK_E_IO,
                       "cannot listen on %s: %s; set chronik.admin.listener to another address, or leave it empty",
                       h->address, strerror(errno));
    h->listener = evhttp_bound_socket_get_listener(s);
    of_this_loop = h;
    evconnlistener_set_error_cb(h->listener, accept_failed);
    h->port = bound_port(evhttp_bound_socket_get_fd(s));
    h->guard = admin_guard_new(h->os, h->loop, h->http, h->listener);
    return h->guard ? CHRONIK_DONE : err_set(h->e, CHRONIK_E_NOMEM, "admin listener: no memory");
}

static void open_on_loop(void *http)
{
    struct admin_http *h = http;
    h->result = bind_it(h);
    os_flag_set(h->os, &h->done);
}

static void close_on_loop(void *http)
{
    struct admin_http *h = http;
    os_exec_cancel(h->loop, &h->resume_task);
    if (h->http)
        evhttp_free(h->http);
    admin_guard_free(h->guard);
    of_this_loop = NULL;
    os_flag_set(h->os, &h->done);
}

static bool on_loop(struct admin_http *h, void (*fn)(void *arg))
{
    h->done.set = 0;
    h->task = (struct chronik_task){.fn = fn, .arg = h};
    os_exec_post(h->loop, &h->task);
    return os_flag_wait(h->os, &h->done, OPEN_WAIT);
}

static int32_t read_token(struct admin_http *h, const char *path, struct err *e)
{
    struct os_file *f;
    size_t n = 0;
    int32_t r = os_open(h->os, path, OS_READ, &f);
    if (r < 0)
        return err_set(e, r, "chronik.admin.token.file: %s cannot be opened; create it with a long random line", path);
    r = os_pread(f, h->token, TOKEN_MAX, 0, 0, &n);
    os_close(f);
    if (r < 0)
        return err_set(e, r, "chronik.admin.token.file: %s cannot be read", path);
    h->token[n] = 0;
    h->token[strcspn(h->token, "\r\n")] = 0;
    if (strlen(h->token) < TOKEN_MIN)
        return err_set(e, CHRONIK_E_INVAL, "chronik.admin.token.file: the token in %s is shorter than %d characters",
                       path, TOKEN_MIN);
    return CHRONIK_DONE;
}

void admin_http_close(struct admin_http *h)
{
    if (h->loop) {
        if (!on_loop(h, close_on_loop))
            log_error("the admin thread did not answer; its listener is given up");
        os_exec_close(h->loop);
    }
    free(h);
}

int32_t admin_http_open(struct os *os, struct admin *a, const char *address, const char *token_file, uint16_t *port,
                        struct admin_http **out, struct err *e)
{
    struct admin_http *h = calloc(1, sizeof *h);
    if (!h)
        return err_set(e, CHRONIK_E_NOMEM, "admin listener: no memory");
    h->os = os;
    h->admin = a;
    h->address = address;
    h->e = e;
    h->resume_task = (struct chronik_task){.fn = resume, .arg = h};
    int32_t r = token_file && *token_file ? read_token(h, token_file, e) : CHRONIK_DONE;
    if (r > 0 && (r = os_exec_open(os, "admin", OS_EXEC_LOOP, &h->loop)) < 0)
        err_set(e, r, "admin listener: its thread cannot be started");
    if (r > 0)
        r = on_loop(h, open_on_loop) ? h->result
                                     : err_set(e, CHRONIK_E_TIMEDOUT, "admin listener: its thread does not answer");
    if (r < 0) {
        admin_http_close(h);
        return r;
    }
    h->e = NULL;
    *port = h->port;
    *out = h;
    return CHRONIK_DONE;
}
