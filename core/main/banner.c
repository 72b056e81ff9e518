/* banner.c: the text of a start. Addresses of one listener share a line; the last lines say how to try it and, when
 * only this machine gets in, how to open it. */
#include "main/banner.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

struct text {
    char *buf;
    size_t n, used;
};

static void put(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void put(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t->buf + t->used, t->n - t->used, fmt, ap);
    va_end(ap);
    if (n > 0)
        t->used = min_size(t->used + (size_t)n, t->n - 1);
}

static void put_address(struct text *t, const char *host, unsigned port)
{
    put(t, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}

/* What clients are told of listener i. */
static void put_advertised(struct text *t, const struct banner *b, size_t i)
{
    const struct config_listener *l = &b->listeners[i];
    put_address(t, l->advertised_host, l->advertised_port ? l->advertised_port : b->ports[i]);
}

static bool is_open(const struct banner *b, size_t i)
{
    return b->ports[i] && !b->listeners[i].controller;
}

static void put_listeners(struct text *t, const struct banner *b)
{
    const char *last = "";
    size_t shown = 0;
    for (size_t i = 0; i < b->n_listeners; i++) {
        if (!is_open(b, i))
            continue;
        bool same = strcmp(b->listeners[i].name, last) == 0;
        if (!same && *last) {
            put(t, "  (advertised as ");
            put_advertised(t, b, shown);
            put(t, ")\n");
        }
        if (same)
            put(t, ", ");
        else
            put(t, "  listening %s ", b->listeners[i].name);
        put_address(t, b->listeners[i].host, b->ports[i]);
        last = b->listeners[i].name;
        shown = i;
    }
    if (*last) {
        put(t, "  (advertised as ");
        put_advertised(t, b, shown);
        put(t, ")\n");
    }
}

static bool only_this_machine(const struct banner *b)
{
    for (size_t i = 0; i < b->n_listeners; i++) {
        const char *h = b->listeners[i].host;
        if (is_open(b, i) && strncmp(h, "127.", 4) != 0 && strcmp(h, "::1") != 0 && strcmp(h, "localhost") != 0)
            return false;
    }
    return true;
}

static void put_try(struct text *t, const struct banner *b)
{
    for (size_t i = 0; i < b->n_listeners; i++) {
        if (!is_open(b, i))
            continue;
        put(t, "  try       echo hello | kcat -b ");
        put_advertised(t, b, i);
        put(t, " -P -t hello && kcat -b ");
        put_advertised(t, b, i);
        put(t, " -C -t hello -e\n");
        if (only_this_machine(b))
            put(t,
                "  open      only this machine gets in; for the network: --override listeners=%s://:%u "
                "--override advertised.listeners=%s://HOST:%u\n",
                b->listeners[i].name, b->ports[i], b->listeners[i].name, b->ports[i]);
        return;
    }
}

char *banner_text(const struct banner *b, char *buf, size_t n)
{
    struct text t = {.buf = buf, .n = n};
    buf[0] = 0;
    put(&t, "chronik %s (build %s)\n", chronik_version(), chronik_build_id());
    put(&t, "  cluster   %s          node %d\n", b->cluster_id, b->node);
    put_listeners(&t, b);
    if (b->admin)
        put(&t, "  admin     http://%s\n", b->admin);
    put(&t, "  modules   %s\n", b->modules);
    put(&t, "  data      ");
    for (size_t i = 0; i < b->dirs->n; i++)
        put(&t, "%s%s", i ? ", " : "", b->dirs->item[i]);
    put(&t, "\n");
    put_try(&t, b);
    return buf;
}
