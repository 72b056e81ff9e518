/* reconcile_ops.h: how the reconciler of metadata reaches partitions and store. On the reconciler's executor. */
#ifndef CHRONIK_MAIN_RECONCILE_OPS_H
#define CHRONIK_MAIN_RECONCILE_OPS_H

#include "meta/meta.h"
#include "partition/part.h"

struct reconcile_ops {
    struct meta_reconcile_ops ops;
    struct part_set *parts;
    const struct chronik_store_ops *store_ops;
    chronik_store *store;
    struct config *config;
};

void reconcile_ops_init(struct reconcile_ops *r, struct part_set *parts, const struct chronik_store_ops *ops,
                        chronik_store *store, struct config *config);

#endif
