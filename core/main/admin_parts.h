/* admin_parts.h: what this broker shows at its admin door: conditions of readiness, sections of the status, gauges. */
#ifndef CHRONIK_MAIN_ADMIN_PARTS_H
#define CHRONIK_MAIN_ADMIN_PARTS_H

#include "admin/admin.h"
#include "config/config.h"
#include "coord/coord.h"
#include "main/datadir.h"
#include "meta/meta.h"
#include "net/net.h"
#include "partition/part.h"

struct admin_parts {
    struct os *os;
    struct meta *meta;
    struct part_set *parts;
    struct coord *coord;
    struct net *net;
    const struct datadirs *dirs;
    const char *meta_module, *store_module;
    struct admin *admin;
    struct admin_http *http;
    struct meta_routes *meta_routes; /* freed by the owner once the metadata are closed */
    struct admin_condition *started, *serving;
    uint16_t port;
    char address[300]; /* "127.0.0.1:9644"; "" when there is none */
};

/* Opens the door unless chronik.admin.listener is empty. The fields above `admin` are set. */
int32_t admin_parts_open(struct admin_parts *a, const struct config *c, struct err *e);
void admin_parts_ready(struct admin_parts *a);    /* any thread */
void admin_parts_draining(struct admin_parts *a); /* any thread */
void admin_parts_close(struct admin_parts *a);

#endif
