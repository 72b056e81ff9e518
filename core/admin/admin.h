/* admin.h: the operator's door: /metrics, /livez, /readyz, /status and commands, over HTTP. A part of the broker
 * registers a condition, a section of the status or a route; the handlers are pure functions of a call, so that they
 * are tested without a socket. HTTP itself (http.c) is only the transport. */
#ifndef CHRONIK_ADMIN_ADMIN_H
#define CHRONIK_ADMIN_ADMIN_H

#include "base/base.h"
#include "base/err.h"

struct os;
struct cJSON;
struct admin;
struct admin_condition;
struct admin_http;

enum { ADMIN_BODY_MAX = 64 * 1024 }; /* bytes of a request's body */

/* Bytes that grow; `failed` once memory was short, after which it stays as it is. */
struct admin_text {
    char *p;
    size_t n, cap;
    bool failed;
};

void admin_put(void *text, const char *p, size_t n); /* shaped for metrics_render */
void admin_printf(struct admin_text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void admin_text_free(struct admin_text *t);

/* One request and its answer. */
struct admin_call {
    const char *method; /* "GET", "POST" */
    const char *path;   /* "/status", decoded, without query */
    const char *query;  /* "a=b&c=d" as it came; "" when there is none */
    const char *body;   /* NUL-terminated behind n_body bytes */
    size_t n_body;
    bool may_change; /* from this machine and not from a browser's page, or with the token */

    int status;        /* 200 at first */
    const char *type;  /* "text/plain; charset=utf-8" at first */
    const char *allow; /* with 405: the methods there are */
    struct admin_text out;
    void (*finish)(struct admin_call *c); /* the transport's */
};

#define ADMIN_JSON "application/json"

/* ADMIN_DONE: the answer is in the call. ADMIN_PENDING: admin_finish follows exactly once, from any thread. */
enum { ADMIN_PENDING = 0, ADMIN_DONE = 1 };
typedef int (*admin_fn)(void *arg, struct admin_call *c);
void admin_finish(struct admin_call *c);

/* Fills the answer with one sentence: JSON {"error": "..."}; returns ADMIN_DONE. */
int admin_fail(struct admin_call *c, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Prints the object as the answer, and deletes it. NULL: out of memory. ADMIN_DONE. */
int admin_json(struct admin_call *c, struct cJSON *object);
/* The value of a query parameter, decoded, in buf; NULL when it is missing or does not fit. */
const char *admin_query(const struct admin_call *c, const char *name, char *buf, size_t n);

/* With the routes /, /metrics, /livez, /readyz, /status. `os` gives the time. NULL: no memory. */
struct admin *admin_new(struct os *os);
void admin_free(struct admin *a);

/* Before serving starts. `path` is exact, or a prefix when it ends in '/'. Calls of a method other than GET and HEAD
 * reach the handler only with `may_change`. Strings are borrowed. E_NOMEM. */
int32_t admin_route(struct admin *a, const char *method, const char *path, const char *doc, admin_fn fn, void *arg);
/* A section of /status: fn fills its JSON object; it runs on the admin thread and must not block. */
int32_t admin_status(struct admin *a, const char *section, void (*fn)(void *arg, struct cJSON *object), void *arg);

/* A condition that must hold for the broker to be ready; not at first. The name is borrowed. Any thread. NULL: no
 * memory. */
struct admin_condition *admin_condition(struct admin *a, const char *name, const char *why_not);
/* A condition that is looked at when somebody asks: fn says whether it holds and puts a text. On the admin thread (or
 * the caller's of admin_ready); must not block. E_NOMEM. */
int32_t admin_condition_fn(struct admin *a, const char *name, bool (*fn)(void *arg, char *text, size_t n), void *arg);
/* Any thread. The text says what is going on: "recovering 3 of 10 partitions". */
void admin_condition_set(struct admin_condition *c, bool holds, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool admin_ready(struct admin *a); /* any thread */
/* Before serving starts: /livez answers 503 with the text when fn says that a restart would help. As
 * admin_condition_fn. */
void admin_alive_fn(struct admin *a, bool (*fn)(void *arg, char *text, size_t n), void *arg);

/* Answers a call, as the transport would. */
int admin_handle(struct admin *a, struct admin_call *c);

/* ---- the transport: real world only ---- */

/* Serves `a` at "host:port" on a thread of its own; *port gets the bound one. `token_file` (NULL: none) holds the
 * bearer token with which a call from elsewhere may change something. */
int32_t admin_http_open(struct os *os, struct admin *a, const char *address, const char *token_file, uint16_t *port,
                        struct admin_http **out, struct err *e);
/* Pending calls must have been finished. Not on the admin thread. */
void admin_http_close(struct admin_http *h);

#endif
