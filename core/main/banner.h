/* banner.h: what a start says: version, cluster, where it listens, its modules, its data, and the next command to try.
 * Pure: makes a text. People and the end-to-end tests read it, so its words stay as they are. */
#ifndef CHRONIK_MAIN_BANNER_H
#define CHRONIK_MAIN_BANNER_H

#include "config/config.h"

struct banner {
    const char *cluster_id;
    int32_t node;
    const struct config_listener *listeners; /* of config_listeners */
    const uint16_t *ports;                   /* bound, one a listener; 0: not open */
    size_t n_listeners;
    const char *admin; /* "127.0.0.1:9644"; NULL: none */
    const struct config_list *dirs;
    const char *modules; /* "meta-local 0.1.0, store-wal 0.1.0" */
};

/* The text, of several lines, NUL-terminated; cut when longer than n. Returns buf. */
char *banner_text(const struct banner *b, char *buf, size_t n);

#endif
