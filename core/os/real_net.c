/* real_net.c: non-blocking TCP sockets and their watchers on a libevent loop. A socket belongs to its loop's thread
 * once it is watched; nothing here blocks except the resolution of a host name, and nothing here locks. */
#include <config.h>

#include "os/real.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SENDFILE_MAX = 256 * 1024, IOV_BATCH = 64 };

struct real_sock {
    struct os_sock base;
    int fd;
    unsigned watched; /* OS_CAN_ bits that are on */
    os_sock_fn fn;
    void *arg;
    struct os_exec *loop;
    struct event rd, wr;
};

static struct real_sock *sock_of(struct os_sock *s)
{
    return (struct real_sock *)s;
}

static int32_t sock_new(struct os *os, int fd, struct os_sock **out)
{
    struct real_sock *s = calloc(1, sizeof *s);
    if (!s) {
        close(fd);
        return CHRONIK_E_NOMEM;
    }
    s->base.os = os;
    s->fd = fd;
    *out = &s->base;
    return CHRONIK_DONE;
}

static void option(int fd, int level, int name, int value)
{
    setsockopt(fd, level, name, &value, sizeof value);
}

/* ---- addresses ---- */

/* Splits "host:port" or "[v6]:port" into two buffers. */
static bool split(const char *address, char *host, size_t host_n, char *port, size_t port_n)
{
    const char *colon = strrchr(address, ':');
    if (!colon || !colon[1] || strlen(colon + 1) >= port_n)
        return false;
    const char *from = address, *to = colon;
    if (*from == '[') {
        if (to - from < 2 || to[-1] != ']')
            return false;
        from++;
        to--;
    }
    if ((size_t)(to - from) >= host_n)
        return false;
    memcpy(host, from, (size_t)(to - from));
    host[to - from] = 0;
    snprintf(port, port_n, "%s", colon + 1);
    return true;
}

static int32_t resolve(const char *address, bool passive, struct addrinfo **out, struct err *e)
{
    char host[256], port[16];
    if (!split(address, host, sizeof host, port, sizeof port))
        return err_set(e, CHRONIK_E_INVAL, "address '%s' is not host:port or [ipv6]:port", address);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    hints.ai_flags |= passive ? AI_PASSIVE : 0;
    int r = getaddrinfo(host[0] ? host : NULL, port, &hints, out);
    if (r != 0)
        return err_set(e, CHRONIK_E_NOTFOUND, "address '%s' cannot be resolved: %s", address, gai_strerror(r));
    return CHRONIK_DONE;
}

static uint16_t port_of(const struct sockaddr_storage *a)
{
    return ntohs(a->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)a)->sin6_port
                                          : ((const struct sockaddr_in *)a)->sin_port);
}

/* ---- listening ---- */

static int32_t bind_and_listen(int fd, const struct addrinfo *ai, int backlog, uint16_t *port)
{
    option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (ai->ai_family == AF_INET6)
        option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1); /* the IPv4 address is another listener's */
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 || listen(fd, backlog) != 0)
        return real_errno(errno);
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &len) != 0)
        return real_errno(errno);
    *port = port_of(&bound);
    return CHRONIK_DONE;
}

static int32_t real_listen(struct os *os, const char *address, int backlog, struct os_sock **out, uint16_t *port,
                           struct err *e)
{
    struct addrinfo *ai;
    int32_t r = resolve(address, true, &ai, e);
    if (r < 0)
        return r;
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    r = fd < 0 ? real_errno(errno) : bind_and_listen(fd, ai, backlog, port);
    int err = errno;
    freeaddrinfo(ai);
    if (r == CHRONIK_E_EXISTS)
        err_set(e, r, "address %s is in use by another process; stop it or choose another port", address);
    else if (r < 0)
        err_set(e, r, "cannot listen on %s: %s", address, strerror(err));
    if (r < 0) {
        if (fd >= 0)
            close(fd);
        return r;
    }
    return sock_new(os, fd, out);
}

static int32_t real_accept(struct os_sock *l, struct os_sock **out)
{
    int fd;
    do
        fd = accept4(sock_of(l)->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd >= 0) {
        option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
        return sock_new(l->os, fd, out);
    }
    switch (errno) {
    case EAGAIN:
        return CHRONIK_E_AGAIN;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return CHRONIK_E_BUSY;
    default: /* accept(2): errors that are pending on the new connection */
        return CHRONIK_E_CLOSED;
    }
}

/* ---- connecting ---- */

static int32_t real_connect(struct os *os, const char *address, struct os_sock **out, struct err *e)
{
    struct addrinfo *ai;
    int32_t r = resolve(address, false, &ai, e);
    if (r < 0)
        return r;
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    r = fd < 0 ? real_errno(errno) : CHRONIK_DONE;
    if (fd >= 0) {
        option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
        if (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0 && errno != EINPROGRESS && errno != EINTR)
            r = real_errno(errno);
    }
    int err = errno;
    freeaddrinfo(ai);
    if (r < 0) {
        if (fd >= 0)
            close(fd);
        return err_set(e, r, "cannot connect to %s: %s", address, strerror(err));
    }
    return sock_new(os, fd, out);
}

static int32_t real_connect_result(struct os_sock *s)
{
    int err = 0;
    socklen_t len = sizeof err;
    if (getsockopt(sock_of(s)->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
        return CHRONIK_E_IO;
    return err == 0 ? CHRONIK_DONE : real_errno(err);
}

/* ---- watching ---- */

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct real_sock *s = arg;
    s->fn(s->arg, (what & EV_READ ? OS_CAN_READ : 0) | (what & EV_WRITE ? OS_CAN_WRITE : 0));
}

static int32_t set_event(struct real_sock *s, struct event *ev, unsigned bit, unsigned what)
{
    if (!((what ^ s->watched) & bit))
        return CHRONIK_DONE;
    int r = what & bit ? event_add(ev, NULL) : event_del(ev);
    if (r != 0)
        return CHRONIK_E_NOMEM;
    s->watched ^= bit;
    return CHRONIK_DONE;
}

static int32_t real_watch(struct os_sock *x, struct os_exec *loop, unsigned what, os_sock_fn fn, void *arg)
{
    struct real_sock *s = sock_of(x);
    struct event_base *base = real_loop_base(loop);
    s->fn = fn;
    s->arg = arg;
    if (!s->loop) {
        s->loop = loop;
        event_assign(&s->rd, base, s->fd, EV_READ | EV_PERSIST, on_event, s);
        event_assign(&s->wr, base, s->fd, EV_WRITE | EV_PERSIST, on_event, s);
    }
    CHECK(s->loop == loop);
    int32_t r = set_event(s, &s->rd, OS_CAN_READ, what);
    return r < 0 ? r : set_event(s, &s->wr, OS_CAN_WRITE, what);
}

/* ---- bytes ---- */

static int64_t stream_result(ssize_t r)
{
    if (r >= 0)
        return r;
    if (errno == EAGAIN)
        return CHRONIK_E_AGAIN;
    int32_t code = real_errno(errno);
    return code == CHRONIK_E_TIMEDOUT ? CHRONIK_E_CLOSED : code;
}

static int64_t real_recv(struct os_sock *s, void *p, size_t n)
{
    ssize_t r;
    do
        r = recv(sock_of(s)->fd, p, n, 0);
    while (r < 0 && errno == EINTR);
    return stream_result(r);
}

static int64_t real_send(struct os_sock *s, const struct chronik_iov *iov, uint32_t n, bool more)
{
    /* What does not fit into one call is left for the next, as when the socket is full. */
    uint32_t batch = n < IOV_BATCH ? n : IOV_BATCH;
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = batch};
    ssize_t r;
    do
        r = sendmsg(sock_of(s)->fd, &m, MSG_NOSIGNAL | (more || batch < n ? MSG_MORE : 0));
    while (r < 0 && errno == EINTR);
    return stream_result(r);
}

static int64_t real_sendfile(struct os_sock *s, struct os_file *f, uint64_t off, uint64_t n)
{
    off_t at = (off_t)off;
    ssize_t r;
    do
        r = sendfile(sock_of(s)->fd, real_file_fd(f), &at, n < SENDFILE_MAX ? n : SENDFILE_MAX);
    while (r < 0 && errno == EINTR);
    return stream_result(r);
}

static void real_close(struct os_sock *x, bool reset)
{
    struct real_sock *s = sock_of(x);
    if (s->loop) {
        real_loop_base(s->loop);
        event_del(&s->rd);
        event_del(&s->wr);
    }
    if (reset) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    close(s->fd);
    free(s);
}

static void real_peer_name(struct os_sock *s, char *buf, size_t n)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    char host[INET6_ADDRSTRLEN] = "?";
    if (getpeername(sock_of(s)->fd, (struct sockaddr *)&a, &len) != 0) {
        snprintf(buf, n, "unknown");
        return;
    }
    bool v6 = a.ss_family == AF_INET6;
    const void *ip = v6 ? (const void *)&((struct sockaddr_in6 *)&a)->sin6_addr
                        : (const void *)&((struct sockaddr_in *)&a)->sin_addr;
    inet_ntop(a.ss_family, ip, host, sizeof host);
    snprintf(buf, n, v6 ? "[%s]:%u" : "%s:%u", host, port_of(&a));
}

static uint64_t real_file_limit(struct os *os)
{
    return ((struct real_os *)os)->file_limit;
}

const struct os_net_ops real_net_ops = {
    .listen = real_listen,
    .accept = real_accept,
    .connect = real_connect,
    .connect_result = real_connect_result,
    .watch = real_watch,
    .recv = real_recv,
    .send = real_send,
    .sendfile = real_sendfile,
    .close = real_close,
    .peer_name = real_peer_name,
    .file_limit = real_file_limit,
};
