#include <config.h>

/* session.c: see session.h. */
#include <stdio.h>
#include <time.h>

#include "ctl/print.h"
#include "ctl/session.h"
#include "wire/codes.h"

enum { ARENA_LIMIT = 1 << 30, FIND_VERSION = 3, PAUSE_MS = 50 };

static bool open_at(struct session *s, const char *bootstrap, int timeout_ms)
{
    memset(s, 0, sizeof *s);
    arena_init(&s->arena, ARENA_LIMIT);
    if (client_open(bootstrap, timeout_ms, &s->client, &s->e) == CHRONIK_DONE)
        return true;
    arena_free(&s->arena);
    print_failure("%s%s", s->e.text,
                  s->e.code == CHRONIK_E_CLOSED || s->e.code == CHRONIK_E_NOTFOUND || s->e.code == CHRONIK_E_TIMEDOUT
                      ? "; is the broker running, and is --bootstrap its address?"
                      : "");
    return false;
}

bool session_open(struct session *s, const struct options *o)
{
    return open_at(s, o->bootstrap, o->timeout_ms);
}

static bool passing(int16_t code)
{
    return code == KAFKA_COORDINATOR_NOT_AVAILABLE || code == KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
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
    /* A broker that has just started takes up its groups in a moment. */
    for (int waited = 0; ok && passing(r.error_code) && waited < o->timeout_ms; waited += PAUSE_MS) {
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
        ok = session_call(s, WIRE_API_FIND_COORDINATOR, &q, &r, &version);
    }
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

/* Bytes of the character at p, 0 when it is none (or a NUL, which ends a text). */
static size_t utf8_length(const uint8_t *p, size_t n)
{
    size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (p[0] == 0 || len == 0 || len > n || (p[0] >= 0x80 && p[0] < 0xc2))
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool no_character = (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf4 && p[1] >= 0x90);
    return overlong || no_character ? 0 : len;
}

void text_of(struct wire_str s, char *buf, size_t n)
{
    static const char unknown[] = "\xef\xbf\xbd"; /* U+FFFD: JSON must be UTF-8 whatever a broker sends */
    size_t at = 0, left = s.n > 0 ? (size_t)s.n : 0, taken;
    for (const uint8_t *p = (const uint8_t *)s.p; left > 0; p += taken, left -= taken) {
        size_t len = utf8_length(p, left);
        const void *from = len ? (const void *)p : unknown;
        size_t bytes = len ? len : sizeof unknown - 1;
        taken = len ? len : 1;
        if (at + bytes >= n)
            break;
        memcpy(buf + at, from, bytes);
        at += bytes;
    }
    buf[at] = 0;
}
