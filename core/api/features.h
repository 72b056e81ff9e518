/* features.h: the features of the cluster that this release knows, with the levels it can work at (KIP-584). What is
 * finalised is state: metadata commands set it. */
#ifndef CHRONIK_API_FEATURES_H
#define CHRONIK_API_FEATURES_H

#include "base/base.h"

struct feature {
    const char *name;
    int16_t min, max; /* supported levels */
    int16_t first;    /* finalised when a cluster is formed; 0: not */
};

extern const struct feature features[];
extern const uint32_t n_features;

#endif
