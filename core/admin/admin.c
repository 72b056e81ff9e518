#include <config.h>

/* admin.c: routes, conditions, status sections and the answers made of them. Knows no socket. Calls run on the
 * transport's thread; conditions may be set from any, under a->lock, which is never held across a call. */
#include <ctype.h>
#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin/admin.h"
#include "base/log.h"
#include "base/metrics.h"
#include "os/lock.h"
#include "os/os.h"

enum { CONDITION_TEXT = 300 };

struct route {
    struct route *next;
    const char *method, *path, *doc;
    admin_fn fn;
    void *arg;
};

struct section {
    struct section *next;
    const char *name;
    void (*fn)(void *arg, cJSON *object);
    void *arg;
};

struct admin_condition {
    struct admin_condition *next;
    struct admin *admin;
    const char *name;
    bool (*fn)(void *arg, char *text, size_t n); /* NULL: as it was set */
    void *arg;
    bool holds;
    char text[CONDITION_TEXT];
};

struct admin {
    struct os *os;
    int64_t since; /* os_mono_ns */
    struct route *routes;
    struct section *sections;
    struct os_mutex lock; /* conditions */
    struct admin_condition *conditions;
    bool (*alive)(void *arg, char *text, size_t n); /* NULL: always */
    void *alive_arg;
};

/* ---- text ---- */

void admin_put(void *text, const char *p, size_t n)
{
    struct admin_text *t = text;
    if (t->failed)
        return;
    if (t->n + n + 1 > t->cap) {
        size_t cap = max_size(max_size(t->cap * 2, 1024), t->n + n + 1);
        char *bigger = realloc(t->p, cap);
        if (!bigger) {
            t->failed = true;
            return;
        }
        t->p = bigger;
        t->cap = cap;
    }
    memcpy(t->p + t->n, p, n);
    t->n += n;
    t->p[t->n] = 0;
}

void admin_printf(struct admin_text *t, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n > 0)
        admin_put(t, line, min_size((size_t)n, sizeof line - 1));
}

void admin_text_free(struct admin_text *t)
{
    free(t->p);
    *t = (struct admin_text){0};
}

int admin_json(struct admin_call *c, cJSON *object)
{
    char *text = object ? cJSON_Print(object) : NULL;
    c->out.n = 0;
    c->type = ADMIN_JSON;
    if (text) {
        admin_put(&c->out, text, strlen(text));
        admin_put(&c->out, "\n", 1);
    } else {
        c->out.failed = true;
    }
    cJSON_free(text);
    cJSON_Delete(object);
    return ADMIN_DONE;
}

int admin_fail(struct admin_call *c, int status, const char *fmt, ...)
{
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    cJSON *o = cJSON_CreateObject();
    c->status = status;
    if (o)
        cJSON_AddStringToObject(o, "error", text);
    return admin_json(c, o);
}

/* ---- queries ---- */

static int hex(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : isxdigit((unsigned char)c) ? (c | 0x20) - 'a' + 10 : -1;
}

static const char *unescape(const char *from, size_t len, char *buf, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < len; i++) {
        char c = from[i] == '+' ? ' ' : from[i];
        if (c == '%' && i + 2 < len && hex(from[i + 1]) >= 0 && hex(from[i + 2]) >= 0) {
            c = (char)(hex(from[i + 1]) * 16 + hex(from[i + 2]));
            i += 2;
        }
        if (at + 1 >= n || c == 0)
            return NULL;
        buf[at++] = c;
    }
    buf[at] = 0;
    return buf;
}

const char *admin_query(const struct admin_call *c, const char *name, char *buf, size_t n)
{
    size_t name_n = strlen(name);
    for (const char *p = c->query; *p;) {
        size_t len = strcspn(p, "&");
        if (len >= name_n && strncmp(p, name, name_n) == 0 && (len == name_n || p[name_n] == '=')) {
            size_t skip = len == name_n ? len : name_n + 1;
            return n > 0 ? unescape(p + skip, len - skip, buf, n) : NULL;
        }
        p += len + (p[len] == '&');
    }
    return NULL;
}

/* ---- conditions ---- */

static struct admin_condition *add_condition(struct admin *a, const char *name)
{
    struct admin_condition *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->admin = a;
    c->name = name;
    os_mutex_lock(&a->lock);
    struct admin_condition **end = &a->conditions;
    while (*end)
        end = &(*end)->next;
    *end = c;
    os_mutex_unlock(&a->lock);
    return c;
}

struct admin_condition *admin_condition(struct admin *a, const char *name, const char *why_not)
{
    struct admin_condition *c = add_condition(a, name);
    if (c)
        admin_condition_set(c, false, "%s", why_not);
    return c;
}

int32_t admin_condition_fn(struct admin *a, const char *name, bool (*fn)(void *arg, char *text, size_t n), void *arg)
{
    struct admin_condition *c = add_condition(a, name);
    if (!c)
        return CHRONIK_E_NOMEM;
    os_mutex_lock(&a->lock);
    c->fn = fn;
    c->arg = arg;
    os_mutex_unlock(&a->lock);
    return CHRONIK_DONE;
}

void admin_condition_set(struct admin_condition *c, bool holds, const char *fmt, ...)
{
    char text[sizeof c->text];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    os_mutex_lock(&c->admin->lock);
    c->holds = holds;
    memcpy(c->text, text, sizeof text);
    os_mutex_unlock(&c->admin->lock);
}

/* The condition behind c (the first when it is NULL); conditions are never removed. */
static struct admin_condition *next_condition(struct admin *a, struct admin_condition *c)
{
    os_mutex_lock(&a->lock);
    c = c ? c->next : a->conditions;
    os_mutex_unlock(&a->lock);
    return c;
}

static bool look_at(struct admin_condition *c, char text[CONDITION_TEXT])
{
    text[0] = 0;
    os_mutex_lock(&c->admin->lock);
    bool (*fn)(void *arg, char *text, size_t n) = c->fn;
    bool holds = c->holds;
    if (!fn)
        memcpy(text, c->text, CONDITION_TEXT);
    os_mutex_unlock(&c->admin->lock);
    return fn ? fn(c->arg, text, CONDITION_TEXT) : holds;
}

bool admin_ready(struct admin *a)
{
    char text[CONDITION_TEXT];
    bool ready = true;
    for (struct admin_condition *c = NULL; (c = next_condition(a, c));)
        ready = look_at(c, text) && ready;
    return ready;
}

/* ---- the routes that are always there ---- */

void admin_alive_fn(struct admin *a, bool (*fn)(void *arg, char *text, size_t n), void *arg)
{
    a->alive = fn;
    a->alive_arg = arg;
}

static int get_livez(void *arg, struct admin_call *c)
{
    struct admin *a = arg;
    char text[CONDITION_TEXT] = "";
    if (a->alive && !a->alive(a->alive_arg, text, sizeof text)) {
        c->status = 503;
        admin_printf(&c->out, "not %s\n", text);
        return ADMIN_DONE;
    }
    admin_printf(&c->out, "ok\n");
    return ADMIN_DONE;
}

static int get_readyz(void *arg, struct admin_call *c)
{
    struct admin *a = arg;
    char text[CONDITION_TEXT];
    bool ready = true;
    for (struct admin_condition *k = NULL; (k = next_condition(a, k));) {
        bool holds = look_at(k, text);
        ready = ready && holds;
        admin_printf(&c->out, "%s %s: %s\n", holds ? "ok " : "not", k->name, text);
    }
    admin_printf(&c->out, ready ? "ready\n" : "not ready\n");
    c->status = ready ? 200 : 503;
    return ADMIN_DONE;
}

static int get_metrics(void *arg, struct admin_call *c)
{
    c->type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_render(admin_put, &c->out);
    return ADMIN_DONE;
}

static void add_conditions(struct admin *a, cJSON *o)
{
    char text[CONDITION_TEXT];
    bool ready = true;
    cJSON *list = cJSON_AddObjectToObject(o, "conditions");
    for (struct admin_condition *k = NULL; (k = next_condition(a, k));) {
        bool holds = look_at(k, text);
        cJSON *one = cJSON_AddObjectToObject(list, k->name);
        cJSON_AddBoolToObject(one, "holds", holds);
        cJSON_AddStringToObject(one, "text", text);
        ready = ready && holds;
    }
    cJSON_AddBoolToObject(o, "ready", ready);
}

static int get_status(void *arg, struct admin_call *c)
{
    struct admin *a = arg;
    cJSON *o = cJSON_CreateObject();
    if (!o)
        return admin_json(c, NULL);
    cJSON_AddStringToObject(o, "version", chronik_version());
    cJSON_AddStringToObject(o, "build_id", chronik_build_id());
    cJSON_AddNumberToObject(o, "uptime_seconds", (double)((os_mono_ns(a->os) - a->since) / 1000000000));
    add_conditions(a, o);
    for (struct section *s = a->sections; s; s = s->next) {
        cJSON *one = cJSON_AddObjectToObject(o, s->name);
        if (one)
            s->fn(s->arg, one);
    }
    return admin_json(c, o);
}

static int get_index(void *arg, struct admin_call *c)
{
    struct admin *a = arg;
    admin_printf(&c->out, "chronik %s\n", chronik_version());
    for (struct route *r = a->routes; r; r = r->next)
        admin_printf(&c->out, "%-4s %-24s %s\n", r->method, r->path, r->doc);
    return ADMIN_DONE;
}

/* ---- routing ---- */

int32_t admin_route(struct admin *a, const char *method, const char *path, const char *doc, admin_fn fn, void *arg)
{
    struct route *r = calloc(1, sizeof *r), **end = &a->routes;
    if (!r)
        return CHRONIK_E_NOMEM;
    *r = (struct route){.method = method, .path = path, .doc = doc, .fn = fn, .arg = arg};
    while (*end)
        end = &(*end)->next;
    *end = r;
    return CHRONIK_DONE;
}

int32_t admin_status(struct admin *a, const char *section, void (*fn)(void *arg, cJSON *object), void *arg)
{
    struct section *s = calloc(1, sizeof *s), **end = &a->sections;
    if (!s)
        return CHRONIK_E_NOMEM;
    *s = (struct section){.name = section, .fn = fn, .arg = arg};
    while (*end)
        end = &(*end)->next;
    *end = s;
    return CHRONIK_DONE;
}

static bool matches(const struct route *r, const char *path)
{
    size_t n = strlen(r->path);
    if (n > 1 && r->path[n - 1] == '/')
        return strncmp(path, r->path, n) == 0;
    return strcmp(path, r->path) == 0;
}

static bool reads_only(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static int run(const struct route *r, struct admin_call *c)
{
    if (!reads_only(r->method) && !c->may_change)
        return admin_fail(c, 403,
                          "%s %s changes something: call it from the broker's own machine (not from a browser's page) "
                          "or with the bearer token of chronik.admin.token.file",
                          c->method, c->path);
    return r->fn(r->arg, c);
}

int admin_handle(struct admin *a, struct admin_call *c)
{
    const char *method = strcmp(c->method, "HEAD") == 0 ? "GET" : c->method;
    const char *other = NULL;
    for (struct route *r = a->routes; r; r = r->next) {
        if (!matches(r, c->path))
            continue;
        if (strcmp(r->method, method) != 0) {
            other = r->method;
            continue;
        }
        int done = run(r, c);
        if (done == ADMIN_DONE && c->out.failed)
            c->status = 500;
        return done;
    }
    if (other) {
        c->allow = other;
        return admin_fail(c, 405, "%s takes %s, not %s", c->path, other, c->method);
    }
    return admin_fail(c, 404, "there is nothing at this path; GET / lists what there is");
}

void admin_finish(struct admin_call *c)
{
    if (c->out.failed)
        c->status = 500;
    c->finish(c);
}

/* ---- the whole ---- */

struct admin *admin_new(struct os *os)
{
    struct admin *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->os = os;
    a->since = os_mono_ns(os);
    os_mutex_init(&a->lock, LOCK_REGISTRY);
    if (admin_route(a, "GET", "/", "this list", get_index, a) < 0 ||
        admin_route(a, "GET", "/metrics", "metrics in Prometheus' text format", get_metrics, a) < 0 ||
        admin_route(a, "GET", "/livez", "200 while the process works; 503 when only a restart helps", get_livez, a) <
            0 ||
        admin_route(a, "GET", "/readyz", "200 when all conditions hold, else 503; one line each", get_readyz, a) < 0 ||
        admin_route(a, "GET", "/status", "what the broker knows of itself, as JSON", get_status, a) < 0) {
        admin_free(a);
        return NULL;
    }
    return a;
}

void admin_free(struct admin *a)
{
    while (a->routes) {
        struct route *r = a->routes;
        a->routes = r->next;
        free(r);
    }
    while (a->sections) {
        struct section *s = a->sections;
        a->sections = s->next;
        free(s);
    }
    while (a->conditions) {
        struct admin_condition *k = a->conditions;
        a->conditions = k->next;
        free(k);
    }
    os_mutex_destroy(&a->lock);
    free(a);
}
