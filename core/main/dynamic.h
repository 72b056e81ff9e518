/* dynamic.h: settings of brokers that were altered in metadata take effect here: each published change of a broker
 * resource is compared with what was applied before. On the metadata apply executor. */
#ifndef CHRONIK_MAIN_DYNAMIC_H
#define CHRONIK_MAIN_DYNAMIC_H

#include "config/config.h"
#include "meta/meta.h"

struct dynamic {
    struct meta_sub sub;
    struct config *config;
    int32_t node_id;
    struct dynamic_set {
        char **keys;
        uint32_t n;
    } cluster, own; /* keys that are set now */
};

/* Subscribes; between meta_new and meta_start. */
void dynamic_open(struct dynamic *d, struct meta *m, struct config *c, int32_t node_id);
/* After meta_free. */
void dynamic_close(struct dynamic *d);

#endif
