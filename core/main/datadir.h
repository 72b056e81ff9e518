/* datadir.h: the data directories before any module touches them: made, owned, locked, and of this cluster and node.
 * Each carries meta.properties in Kafka's format (version, cluster.id, node.id, directory.id) and, under
 * chronik.directories, the ids of all of them. Start-up only, one thread. */
#ifndef CHRONIK_MAIN_DATADIR_H
#define CHRONIK_MAIN_DATADIR_H

#include "base/err.h"
#include "os/os.h"

enum { DATADIRS_MOST = 64 };

struct datadir {
    char *path;             /* absolute */
    struct chronik_uuid id; /* directory.id */
    struct os_file *lock;
    char engine[64]; /* chronik.meta of meta.properties; "" none */
    uint32_t named;  /* how many directories meta.properties names */
    bool fresh;      /* meta.properties is not there */
    bool learns;     /* … or does not know the cluster yet */
};

struct datadirs {
    struct datadir *v;
    uint32_t n;
    uint32_t meta;                  /* index of the one with the metadata */
    struct chronik_uuid cluster_id; /* zero: not known yet */
    char engine[64];                /* what meta.properties is to name as chronik.meta; "" nothing */
    int32_t node_id;
    bool known; /* atomic: cluster_id will not change any more */
};

/* Makes (with parents), locks and checks each of `paths`, when none that they name is missing (else E_NOTFOUND).
 * `format` false: one without meta.properties is refused, too. `cluster_id` zero: whatever the directories say. Writes
 * nothing but lock files. A refusal is one sentence with the path and the remedy. */
int32_t datadirs_open(struct os *os, const char *const *paths, uint32_t n, int32_t node_id, bool format,
                      const struct chronik_uuid *cluster_id, struct datadirs *out, struct err *e);
/* Finds the directory with the metadata, wherever it stands in log.dirs; none: the first. E_STALE: several have some,
 * or another module keeps them. `engine`: the module that is to keep them, which is the name of its folder; only one
 * that is durable is remembered. */
int32_t datadirs_find_meta(struct os *os, struct datadirs *d, const char *engine, bool durable, struct err *e);
/* Draws ids that are missing and writes meta.properties where it is missing or names too few, durably. `learns`: the id
 * of the cluster is not this node's to draw; it is learned later, and all zeroes until then. */
int32_t datadirs_format(struct os *os, struct datadirs *d, bool learns, struct err *e);
/* Any thread; false while the cluster is not known. */
bool datadirs_cluster(const struct datadirs *d, struct chronik_uuid *out);
/* The cluster is known: writes its id where it is missing. Blocking; one thread at a time. */
int32_t datadirs_learn(struct os *os, struct datadirs *d, const struct chronik_uuid *cluster_id, struct err *e);
void datadirs_close(struct datadirs *d);

/* Makes a directory and its parents. */
int32_t datadir_make(struct os *os, const char *path, struct err *e);

#endif
