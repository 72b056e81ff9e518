#include <config.h>

/* client.c: see client.h. Nothing here waits without a bound, and no length is believed before it was compared. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "ctl/client.h"
#include "wire/codes.h"
#include "wire/messages.h"

enum { FRAME_MAX = 256 * 1024 * 1024, APIS_MAX = 256 };

struct client {
    int fd;
    int timeout_ms;
    int32_t correlation;
    char peer[256];
    struct wire_out out;
    uint8_t *in;
    size_t in_cap;
    int16_t min[APIS_MAX], max[APIS_MAX]; /* of the broker; max -1: it has no such API */
};

/* ---- bytes ---- */

static int32_t split(const char *address, const char *default_port, char *host, size_t n, char *port, size_t port_n,
                     struct err *e)
{
    const char *colon = strrchr(address, ':');
    bool bracket = address[0] == '[';
    if (colon && !bracket && strchr(address, ':') != colon)
        colon = NULL; /* a bare IPv6 address */
    if (bracket && colon && colon[-1] != ']')
        colon = NULL;
    size_t len = colon ? (size_t)(colon - address) : strlen(address);
    if (bracket && (len < 2 || address[len - 1] != ']'))
        return err_set(e, CHRONIK_E_INVAL, "'%s' is not HOST:PORT", address);
    snprintf(host, n, "%.*s", (int)len - 2 * bracket, address + bracket);
    snprintf(port, port_n, "%s", colon ? colon + 1 : default_port);
    if (!host[0] || !port[0])
        return err_set(e, CHRONIK_E_INVAL, "'%s' is not HOST:PORT", address);
    char *end;
    unsigned long number = strtoul(port, &end, 10);
    if (*end || number == 0 || number > UINT16_MAX)
        return err_set(e, CHRONIK_E_INVAL, "'%s': a port is a number from 1 to 65535", address);
    return CHRONIK_DONE;
}

static int32_t wait_for(int fd, short what, int timeout_ms, struct err *e)
{
    struct pollfd p = {.fd = fd, .events = what};
    int r;
    do
        r = poll(&p, 1, timeout_ms);
    while (r < 0 && errno == EINTR);
    if (r > 0)
        return CHRONIK_DONE;
    return err_set(e, CHRONIK_E_TIMEDOUT, "no answer within %d ms; is the broker busy? --timeout waits longer",
                   timeout_ms);
}

static int connect_one(const struct addrinfo *ai, int timeout_ms, struct err *e)
{
    int one = 1, failed = 0;
    socklen_t n = sizeof failed;
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(e, CHRONIK_E_IO, "%s", strerror(errno));
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0) {
        failed = errno;
        if (failed == EINPROGRESS) {
            if (wait_for(fd, POLLOUT, timeout_ms, e) < 0)
                failed = ETIMEDOUT;
            else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &n) != 0)
                failed = errno;
        }
    }
    if (failed) {
        close(fd);
        return err_set(e, CHRONIK_E_CLOSED, "%s", strerror(failed));
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

int client_dial(const char *address, const char *default_port, int timeout_ms, struct err *e)
{
    char host[256], port[16];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    if (split(address, default_port, host, sizeof host, port, sizeof port, e) < 0)
        return e->code;
    int r = getaddrinfo(host, port, &hints, &list);
    if (r != 0)
        return err_set(e, CHRONIK_E_NOTFOUND, "%s: %s", address, gai_strerror(r));
    int fd = CHRONIK_E_CLOSED;
    for (const struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next)
        fd = connect_one(ai, timeout_ms, e);
    freeaddrinfo(list);
    if (fd < 0)
        return err_prefix(e, "%s", address);
    return fd;
}

int32_t client_write(int fd, const void *p, size_t n, int timeout_ms, struct err *e)
{
    const uint8_t *at = p;
    while (n > 0) {
        ssize_t k = send(fd, at, n, MSG_NOSIGNAL);
        if (k < 0 && errno == EAGAIN) {
            if (wait_for(fd, POLLOUT, timeout_ms, e) < 0)
                return e->code;
            continue;
        }
        if (k < 0)
            return err_set(e, CHRONIK_E_CLOSED, "%s", strerror(errno));
        at += k;
        n -= (size_t)k;
    }
    return CHRONIK_DONE;
}

int64_t client_read(int fd, void *p, size_t n, int timeout_ms, struct err *e)
{
    for (;;) {
        ssize_t k = recv(fd, p, n, 0);
        if (k >= 0)
            return k;
        if (errno != EAGAIN && errno != EINTR)
            return err_set(e, CHRONIK_E_CLOSED, "%s", strerror(errno));
        if (wait_for(fd, POLLIN, timeout_ms, e) < 0)
            return e->code;
    }
}

static int32_t read_all(struct client *c, void *p, size_t n, struct err *e)
{
    uint8_t *at = p;
    while (n > 0) {
        int64_t k = client_read(c->fd, at, n, c->timeout_ms, e);
        if (k == 0)
            return err_set(e, CHRONIK_E_CLOSED,
                           "%s closed the connection; if it is a listener of the broker, its log has the reason",
                           c->peer);
        if (k < 0)
            return err_prefix(e, "%s", c->peer);
        at += k;
        n -= (size_t)k;
    }
    return CHRONIK_DONE;
}

/* ---- requests ---- */

static int32_t read_frame(struct client *c, size_t *n, struct err *e)
{
    uint8_t head[4];
    if (read_all(c, head, sizeof head, e) < 0)
        return e->code;
    *n = get_be32(head);
    if (*n > FRAME_MAX)
        return err_set(e, CHRONIK_E_CORRUPT,
                       "%s does not speak Kafka's protocol; is --bootstrap one of the broker's listeners?", c->peer);
    if (*n > c->in_cap) {
        uint8_t *bigger = realloc(c->in, *n);
        if (!bigger)
            return err_set(e, CHRONIK_E_NOMEM, "no memory for an answer of %zu bytes", *n);
        c->in = bigger;
        c->in_cap = *n;
    }
    return read_all(c, c->in, *n, e);
}

int32_t client_call(struct client *c, int key, int version, const void *request, void *response, struct arena *a,
                    struct err *e)
{
    const struct wire_api *api = wire_api(key);
    int32_t correlation = ++c->correlation, got;
    size_t n = 0, body = 0;
    wire_out_reset(&c->out);
    int32_t r = wire_encode_request(api, version, correlation, wire_str("chronikctl"), request, &c->out, e);
    if (r < 0)
        return err_prefix(e, "%s request", api->name);
    if (client_write(c->fd, c->out.p, c->out.n, c->timeout_ms, e) < 0)
        return err_prefix(e, "%s", c->peer);
    if (read_frame(c, &n, e) < 0)
        return e->code;
    r = wire_get_response_header(api, version, c->in, n, &got, &body, e);
    if (r < 0)
        return err_prefix(e, "%s", c->peer);
    if (got != correlation)
        return err_set(e, CHRONIK_E_CORRUPT, "%s answered request %d, not %d", c->peer, got, correlation);
    r = wire_decode(api->response, version, c->in + body, n - body, a, response, e);
    return r < 0 ? err_prefix(e, "%s: %s response", c->peer, api->name) : CHRONIK_DONE;
}

/* ApiVersions in version 3; a broker that has less answers in version 0, which the second try asks for. */
static int32_t ask_versions(struct client *c, int version, struct err *e)
{
    struct wire_api_versions_request q = wire_api_versions_request_default;
    struct wire_api_versions_response r;
    struct arena a;
    arena_init(&a, 1 << 20);
    q.client_software_name = wire_str("chronikctl");
    q.client_software_version = wire_str(chronik_version());
    int32_t done = client_call(c, WIRE_API_API_VERSIONS, version, &q, &r, &a, e);
    bool older = c->in_cap >= 6 && done < 0 && done == CHRONIK_E_CORRUPT;
    if (done == CHRONIK_DONE && r.error_code != 0)
        older = true;
    if (older && version > 0) {
        arena_free(&a);
        return ask_versions(c, 0, e);
    }
    if (older && done == CHRONIK_DONE)
        done = err_set(e, CHRONIK_E_FAILED, "%s refuses to say its API versions (%s)", c->peer,
                       kafka_code_name(r.error_code));
    for (int32_t i = 0; done == CHRONIK_DONE && i < r.api_keys.n; i++) {
        int16_t key = r.api_keys.v[i].api_key;
        if (key < 0 || key >= APIS_MAX)
            continue;
        c->min[key] = r.api_keys.v[i].min_version;
        c->max[key] = r.api_keys.v[i].max_version;
    }
    arena_free(&a);
    return done;
}

int32_t client_version(struct client *c, int key, struct err *e)
{
    const struct wire_api *api = wire_api(key);
    if (c->max[key] < 0)
        return err_set(e, CHRONIK_E_UNSUPPORTED, "%s does not offer %s", c->peer, api->name);
    int version = api->max < c->max[key] ? api->max : c->max[key];
    if (version < api->min || version < c->min[key])
        return err_set(e, CHRONIK_E_UNSUPPORTED,
                       "%s offers %s in versions %d to %d, this program has %d to %d: use a chronikctl of its release",
                       c->peer, api->name, c->min[key], c->max[key], api->min, api->max);
    return version;
}

const char *client_peer(const struct client *c)
{
    return c->peer;
}

static int32_t open_at(struct client *c, const char *address, struct err *e)
{
    c->fd = client_dial(address, "9092", c->timeout_ms, e);
    if (c->fd < 0)
        return c->fd;
    snprintf(c->peer, sizeof c->peer, "%s", address);
    int32_t r = ask_versions(c, 3, e);
    if (r < 0) {
        close(c->fd);
        c->fd = -1;
    }
    return r;
}

int32_t client_open(const char *bootstrap, int timeout_ms, struct client **out, struct err *e)
{
    struct client *c = calloc(1, sizeof *c);
    int32_t r = CHRONIK_E_INVAL;
    if (!c)
        return err_set(e, CHRONIK_E_NOMEM, "no memory");
    err_set(e, r, "no address is given; say --bootstrap HOST:PORT");
    c->fd = -1;
    c->timeout_ms = timeout_ms;
    memset(c->max, -1, sizeof c->max);
    wire_out_init(&c->out, FRAME_MAX);
    for (const char *p = bootstrap; *p && r < 0;) {
        char address[256];
        size_t len = strcspn(p, ",");
        snprintf(address, sizeof address, "%.*s", (int)min_size(len, sizeof address - 1), p);
        if (len > 0)
            r = open_at(c, address, e);
        p += len + (p[len] == ',');
    }
    if (r < 0) {
        client_close(c);
        return r;
    }
    *out = c;
    return CHRONIK_DONE;
}

void client_close(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    wire_out_free(&c->out);
    free(c->in);
    free(c);
}
