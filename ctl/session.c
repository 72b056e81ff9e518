#include <config.h>

/* session.c: see session.h. */
#include <stdio.h>

#include "ctl/print.h"
#include "ctl/session.h"

enum { ARENA_LIMIT = 1 << 30, FIND_VERSION = 3 };

static bool open_at(struct session *s, const char *bootstrap, int timeout_ms)
{
    memset(s, 0, sizeof *s);
    arena_init(&s->arena, ARENA_LIMIT);
    if (client_open(bootstrap, timeout_ms, &s->client, &s->e) == CHRONIK_DONE)
        return true;
    arena_free(&s->arena);
    print_failure("%s; is the broker running, and is --bootstrap its address?", s->e.text);
    return false;
}

bool session_open(struct session *s, const struct options *o)
{
    return open_at(s, o->bootstrap, o->timeout_ms);
}

bool session_open_group(struct session *s, const struct options *o, const char *group)
{
    struct wire_find_coordinator_request q = wire_find_coordinator_request_default;
    struct wire_find_coordinator_response r;
    char object[PRINT_CELL], at[PRINT_CELL];
    int version = FIND_VERSION;
    if (!session_open(s, o))
        return false;
    q.key = wire_str(group);
    bool ok = session_call(s, WIRE_API_FIND_COORDINATOR, &q, &r, &version);
    if (ok && r.error_code) {
        snprintf(object, sizeof object, "group '%s'", group);
        print_kafka_failure(object, r.error_code, r.error_message.p, r.error_message.n);
        ok = false;
    }
    if (ok) {
        bool v6 = r.host.n > 0 && memchr(r.host.p, ':', (size_t)r.host.n);
        snprintf(at, sizeof at, v6 ? "[%.*s]:%d" : "%.*s:%d", r.host.n, r.host.p, r.port);
    }
    session_close(s);
    return ok && open_at(s, at, o->timeout_ms);
}

void session_close(struct session *s)
{
    client_close(s->client);
    arena_free(&s->arena);
}

bool session_call(struct session *s, int key, const void *request, void *response, int *version)
{
    int most = client_version(s->client, key, &s->e);
    *version = most < 0 || *version < 0 || most < *version ? most : *version;
    if (*version >= 0 && client_call(s->client, key, *version, request, response, &s->arena, &s->e) == CHRONIK_DONE)
        return true;
    print_failure("%s", s->e.text);
    return false;
}

void text_of(struct wire_str s, char *buf, size_t n)
{
    snprintf(buf, n, "%.*s", s.n > 0 ? s.n : 0, s.n > 0 ? s.p : "");
}
