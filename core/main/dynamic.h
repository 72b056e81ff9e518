/* dynamic.h: settings of brokers that were altered in metadata take effect here: each published change of a broker
 * resource is compared with what was applied before. On the metadata apply executor; what touches every partition is
 * left to the reconciler's. */
#ifndef CHRONIK_MAIN_DYNAMIC_H
#define CHRONIK_MAIN_DYNAMIC_H

#include "config/config.h"
#include "meta/meta.h"
#include "net/net.h"
#include "partition/part.h"

struct dynamic {
    struct meta_sub sub;
    struct config *config;
    struct meta *meta;
    struct part_set *parts;
    struct net *net;
    int32_t node_id;
    bool inherited; /* while a change is adopted: something that topics inherit changed */
    struct dynamic_set {
        char **keys;
        uint32_t n;
    } cluster, own; /* keys that are set now */
};

/* Subscribes; between meta_new (and meta_reconcile_start) and meta_start. */
void dynamic_open(struct dynamic *d, struct meta *m, struct config *c, struct part_set *parts, struct net *net,
                  int32_t node_id);
/* After meta_free. */
void dynamic_close(struct dynamic *d);

#endif
