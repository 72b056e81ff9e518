/* descriptors.h: how the open files that the system grants are shared out, so that neither partitions nor clients can
 * take the last one from the other. Pure. */
#ifndef CHRONIK_MAIN_DESCRIPTORS_H
#define CHRONIK_MAIN_DESCRIPTORS_H

#include "base/err.h"

struct descriptors {
    uint32_t clients; /* connections at most */
    uint32_t data;    /* files that the store may hold open at most */
};

/* Of `limit` descriptors; `reserve`: chronik.descriptors.reserve, `wanted`: max.connections. E_INVAL with the remedy
 * when there are too few for anything. */
int32_t descriptors_share(uint64_t limit, int64_t reserve, int64_t wanted, struct descriptors *out, struct err *e);

#endif
