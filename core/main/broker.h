/* broker.h: the parts of a broker, wired together, and the order in which they start and stop. main owns one; the
 * simulator may own several. */
#ifndef CHRONIK_MAIN_BROKER_H
#define CHRONIK_MAIN_BROKER_H

#include "config/config.h"
#include "main/datadir.h"
#include "net/net.h"
#include "os/os.h"
#include "plugin/loader.h"

struct broker;
struct meta_kv_table;

struct broker_options {
    struct os *os;
    struct config *config; /* finished */
    const struct plugin_module *meta, *store;
    struct meta_kv_table *kv; /* the metadata's checkpoint; NULL: LMDB in the first data directory */
    void *arg;
    /* Once, when the metadata has caught up and the partitions are open. Any thread. */
    void (*ready)(void *arg);
    /* The broker cannot go on: exit status and one sentence. Any thread; must not return. */
    void (*fatal)(void *arg, int32_t code, const char *text);
};

/* Opens the data directories, the store, the metadata, the network and listens; it never waits for other nodes. A
 * refusal is one sentence in e; what was opened is closed again. */
int32_t broker_start(const struct broker_options *o, struct broker **out, struct err *e);
/* Answers what is under way for at most grace_ns, flushes state, closes everything. Blocking; a step that a slow disk
 * delays is waited for, and one that never ends ends the process with status 75. */
void broker_stop(struct broker *b, int64_t grace_ns);
/* Ends the grace, and the wait for a slow step; any thread, between broker_start and broker_free. */
void broker_hurry(struct broker *b);
/* After broker_stop, once no broker_hurry can come any more. */
void broker_free(struct broker *b);

/* For the banner and tests. */
struct broker_facts {
    struct chronik_uuid cluster_id;
    bool cluster_known; /* false: the quorum will say */
    int32_t node_id;
    const uint16_t *ports; /* bound, one for each of config_listeners; 0: not open */
    const char *admin;     /* "127.0.0.1:9644"; NULL: none */
};
void broker_facts(struct broker *b, struct broker_facts *out);

#endif
