/* listeners.c: from listeners, advertised.listeners, listener.security.protocol.map and controller.listener.names to
 * the addresses to bind and the addresses to tell. An address on which no client could reach the broker is refused
 * here. Runs once, inside config_finish. */
#include "config/config_impl.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct endpoint {
    char name[64], host[256];
    uint16_t port;
};

struct work {
    struct config *c;
    const struct config_finish_options *o;
    config_report_fn report;
    void *arg;
    int errors;
};

static void refuse(struct work *w, enum config_id id, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void refuse(struct work *w, enum config_id id, const char *fmt, ...)
{
    char why[600], text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    snprintf(text, sizeof text, "%s: %s: %s", config_now(&w->c->slots[id])->origin, config_defs[id].s.name, why);
    w->errors++;
    if (w->report)
        w->report(w->arg, CONFIG_REPORT_ERROR, text);
}

static const struct config_list *list_of(struct work *w, enum config_id id)
{
    return config_now(&w->c->slots[id])->list;
}

/* "NAME://host:port", "NAME://[v6]:port", "NAME://:port". */
static bool parse_endpoint(const char *text, struct endpoint *out)
{
    const char *sep = strstr(text, "://"), *colon = strrchr(text, ':');
    if (!sep || sep == text || colon <= sep + 2)
        return false;
    const char *host = sep + 3, *host_end = colon;
    if (*host == '[') {
        if (host_end <= host + 2 || host_end[-1] != ']')
            return false;
        host++;
        host_end--;
    } else if (memchr(host, ':', (size_t)(host_end - host))) {
        return false; /* a bare IPv6 address needs brackets */
    }
    size_t name_len = (size_t)(sep - text), host_len = (size_t)(host_end - host);
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (name_len >= sizeof out->name || host_len >= sizeof out->host || !isdigit((unsigned char)colon[1]) || *end ||
        port > UINT16_MAX)
        return false;
    for (size_t i = 0; i < name_len; i++)
        out->name[i] = (char)toupper((unsigned char)text[i]);
    out->name[name_len] = 0;
    memcpy(out->host, host, host_len);
    out->host[host_len] = 0;
    out->port = (uint16_t)port;
    return true;
}

static bool is_wildcard(const char *host)
{
    return !*host || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0 || strcmp(host, "*") == 0 ||
           strcmp(host, "0:0:0:0:0:0:0:0") == 0;
}

static bool is_controller(struct work *w, const char *name)
{
    const struct config_list *l = list_of(w, CFG_CONTROLLER_LISTENER_NAMES);
    for (size_t i = 0; i < l->n; i++)
        if (strcasecmp(l->item[i], name) == 0)
            return true;
    return false;
}

/* Why a text is no endpoint. */
static void refuse_endpoint(struct work *w, enum config_id id, const char *text)
{
    const char *colon = strrchr(text, ':');
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    if (strstr(text, "://") && digits > 0 && colon[1 + digits] == 0 && strtoul(colon + 1, NULL, 10) > UINT16_MAX)
        refuse(w, id, "'%.200s': the port %.20s is out of range; choose one from 0 to 65535", text, colon + 1);
    else
        refuse(w, id, "'%.200s' is not of the form NAME://host:port", text);
}

/* The protocol that a listener's name stands for; false when the map has no entry. */
static bool protocol_of(struct work *w, const char *name, char *out, size_t n)
{
    const char *at = config_now(&w->c->slots[CFG_LISTENER_SECURITY_PROTOCOL_MAP])->v.text, *item;
    size_t len, name_len = strlen(name);
    while (config_list_next(&at, &item, &len)) {
        if (len > name_len && item[name_len] == ':' && strncasecmp(item, name, name_len) == 0) {
            snprintf(out, n, "%.*s", (int)(len - name_len - 1), item + name_len + 1);
            return true;
        }
    }
    return false;
}

static void check_protocol(struct work *w, const char *name)
{
    char protocol[32];
    if (!protocol_of(w, name, protocol, sizeof protocol)) {
        /* Kafka's own rule: a controller listener without an entry speaks PLAINTEXT. */
        if (!is_controller(w, name))
            refuse(w, CFG_LISTENER_SECURITY_PROTOCOL_MAP,
                   "has no entry for the listener %s; add %s:PLAINTEXT, or name the listener PLAINTEXT", name, name);
    } else if (strcasecmp(protocol, "PLAINTEXT") != 0) {
        refuse(w, CFG_LISTENER_SECURITY_PROTOCOL_MAP,
               "the listener %s asks for %s, which chronik does not have yet; only PLAINTEXT is there, for networks "
               "that you trust",
               name, protocol);
    }
}

/* The advertised endpoint of a listener; true when there is one. */
static bool find_advertised(struct work *w, const char *name, struct endpoint *out)
{
    const struct config_list *l = list_of(w, CFG_ADVERTISED_LISTENERS);
    for (size_t i = 0; i < l->n; i++)
        if (parse_endpoint(l->item[i], out) && strcmp(out->name, name) == 0)
            return true;
    return false;
}

static void check_advertised(struct work *w)
{
    const struct config_list *l = list_of(w, CFG_ADVERTISED_LISTENERS);
    const struct config_list *own = list_of(w, CFG_LISTENERS);
    for (size_t i = 0; i < l->n; i++) {
        struct endpoint a, b;
        if (!parse_endpoint(l->item[i], &a)) {
            refuse_endpoint(w, CFG_ADVERTISED_LISTENERS, l->item[i]);
            continue;
        }
        bool known = false;
        for (size_t j = 0; j < own->n && !known; j++)
            known = parse_endpoint(own->item[j], &b) && strcmp(a.name, b.name) == 0;
        if (!known)
            refuse(w, CFG_ADVERTISED_LISTENERS, "'%s': listeners has no listener of the name %s", l->item[i], a.name);
        else if (is_wildcard(a.host))
            refuse(w, CFG_ADVERTISED_LISTENERS,
                   "'%s': clients cannot connect to %s; write the host name or address at which they reach this "
                   "machine, for instance %s://%s:%u",
                   l->item[i], *a.host ? a.host : "an empty host", a.name,
                   w->o->hostname ? w->o->hostname : "kafka.example.org", a.port);
    }
}

/* What clients are told of a listener; NULL after a refusal. */
static const char *choose_advertised(struct work *w, const struct endpoint *own, uint16_t *port)
{
    struct endpoint a;
    *port = own->port;
    if (find_advertised(w, own->name, &a)) {
        *port = a.port;
        return config_text_n(w->c, a.host, strlen(a.host));
    }
    if (!is_wildcard(own->host))
        return config_text_n(w->c, own->host, strlen(own->host));
    if (!*own->host && w->o->hostname)
        return config_text_n(w->c, w->o->hostname, strlen(w->o->hostname));
    refuse(w, CFG_LISTENERS,
           "%s listens on all addresses, and clients cannot connect to %s; say where they reach this machine: "
           "advertised.listeners=%s://%s:%u",
           own->name, *own->host ? own->host : "an empty host", own->name, w->o->hostname ? w->o->hostname : "HOST",
           own->port);
    return NULL;
}

static void add(struct work *w, const struct endpoint *own, const char *host, bool optional, const char *advertised,
                uint16_t advertised_port, bool controller)
{
    struct config_listener *grown =
        realloc(w->c->listeners, (w->c->n_listeners + 1) * sizeof *grown); /* a handful at start */
    const char *name = config_text_n(w->c, own->name, strlen(own->name));
    host = config_text_n(w->c, host, strlen(host));
    if (grown)
        w->c->listeners = grown;
    if (!grown || !name || !host) {
        refuse(w, CFG_LISTENERS, "out of memory");
        return;
    }
    w->c->listeners[w->c->n_listeners++] = (struct config_listener){
        .name = name,
        .host = host,
        .port = own->port,
        .advertised_host = advertised,
        .advertised_port = advertised_port,
        .controller = controller,
        .optional = optional,
    };
}

static void check_conflict(struct work *w, const struct endpoint *own)
{
    for (size_t i = 0; i < w->c->n_listeners; i++) {
        const struct config_listener *l = &w->c->listeners[i];
        if (strcmp(l->name, own->name) == 0) {
            refuse(w, CFG_LISTENERS, "the listener %s is named twice; give each address a name of its own", own->name);
            return;
        }
        if (own->port && l->port == own->port && strcmp(l->host, own->host) == 0) {
            refuse(w, CFG_LISTENERS, "%s and %s want the same port %u", l->name, own->name, own->port);
            return;
        }
    }
}

static void take_listener(struct work *w, const char *text)
{
    struct endpoint own;
    if (!parse_endpoint(text, &own)) {
        refuse_endpoint(w, CFG_LISTENERS, text);
        return;
    }
    check_conflict(w, &own);
    check_protocol(w, own.name);
    bool controller = is_controller(w, own.name);
    uint16_t port = 0;
    const char *advertised = controller ? NULL : choose_advertised(w, &own, &port);
    if (strcmp(own.host, "localhost") == 0) {
        add(w, &own, "127.0.0.1", false, advertised, port, controller);
        add(w, &own, "::1", true, advertised, port, controller);
    } else if (!*own.host || strcmp(own.host, "*") == 0) {
        add(w, &own, "0.0.0.0", false, advertised, port, controller);
        add(w, &own, "::", true, advertised, port, controller);
    } else {
        add(w, &own, own.host, false, advertised, port, controller);
    }
}

int config_listeners_finish(struct config *c, const struct config_finish_options *o, config_report_fn report, void *arg)
{
    struct work w = {.c = c, .o = o, .report = report, .arg = arg};
    const struct config_list *l = list_of(&w, CFG_LISTENERS);
    bool any = false;
    for (size_t i = 0; i < l->n; i++)
        take_listener(&w, l->item[i]);
    for (size_t i = 0; i < c->n_listeners; i++)
        any |= !c->listeners[i].controller;
    if (!any && !w.errors)
        refuse(&w, CFG_LISTENERS, "there is no listener for clients; add one such as PLAINTEXT://127.0.0.1:9092");
    check_advertised(&w);
    return w.errors;
}

size_t config_listeners(const struct config *c, const struct config_listener **out)
{
    *out = c->listeners;
    return c->n_listeners;
}

void config_listener_address(const struct config_listener *l, char *buf, size_t n)
{
    snprintf(buf, n, strchr(l->host, ':') ? "[%s]:%u" : "%s:%u", l->host, l->port);
}
