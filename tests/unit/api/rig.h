/* rig.h: a whole broker on a node of the virtual world, and clients on another node that speak through core/wire. The
 * test itself stands outside of the nodes and lets the world run until what it waits for is there. */
#ifndef TESTS_API_RIG_H
#define TESTS_API_RIG_H

#include "tests/sim/test_sim.h"

#include "main/broker.h"
#include "meta/kv.h"
#include "wire/batch.h"
#include "wire/codes.h"
#include "wire/messages.h"
#include "wire/wire.h"

/* The modules, linked in; NULL where the program has none. */
typedef const struct chronik_plugin *(*rig_module)(void);

struct rig {
    struct sim_world *w;
    struct os *server, *machine; /* the clients' */
    struct plugin_module meta, store;
    struct meta_kv_table *kv; /* of a durable metadata module */
    struct config *config;
    struct broker *broker; /* NULL: not running */
    const char *settings[8][2];
    uint32_t n_settings;
    bool ready;
    uint16_t port;
};

struct cli {
    struct rig *rig;
    struct os_exec *loop;
    struct os_sock *sock;
    struct chronik_task connect, pump, drop; /* posted to the loop */
    struct wire_out out;
    size_t out_at;
    uint8_t *in;
    size_t in_n, in_cap;
    int32_t next; /* correlation of the next request */
    bool connected, over;
    bool paused;        /* it takes no bytes; after a change: cli_wake */
    struct arena arena; /* of the last answer */
    uint8_t *frame;     /* the last answer's */
};

void rig_world(struct rig *r, uint64_t seed, rig_module meta, rig_module store);
/* A setting on top, before rig_start. */
void rig_set(struct rig *r, const char *key, const char *value);
void rig_free(struct rig *r);
/* Starts the broker; false when the node died meanwhile. */
bool rig_start(struct rig *r);
/* Runs until the broker is open; false: it is not within 30 s. */
bool rig_ready(struct rig *r);
/* Stops it in an orderly way, within virtual grace. */
bool rig_stop(struct rig *r, int64_t grace_ns);

void cli_open(struct cli *c, struct rig *r);
void cli_close(struct cli *c);
/* Queues a request; gives its correlation. */
int32_t cli_send(struct cli *c, int16_t key, int16_t version, const void *body);
void cli_wake(struct cli *c);
/* The next answer, decoded into out (the response's struct); its correlation, or -1 when the connection ended or
 * `most_ns` of virtual time passed. What it borrows lives until the next call. */
int32_t cli_recv(struct cli *c, int16_t key, int16_t version, void *out, int64_t most_ns);
/* Both, which must succeed. */
void cli_call(struct cli *c, int16_t key, int16_t version, const void *body, void *out);
bool cli_is_over(struct cli *c, int64_t most_ns);

/* ---- requests that every test needs ---- */

/* Creates it; the Kafka code. */
int16_t cli_create(struct cli *c, const char *topic, int32_t partitions);
/* Queues one batch of n records whose values are v, v + 1, ... */
int32_t cli_produce_send(struct cli *c, const char *topic, int32_t partition, uint32_t v, uint32_t n, int32_t timeout);
/* The base offset, or the negative Kafka code. */
int64_t cli_produce(struct cli *c, const char *topic, int32_t partition, uint32_t v, uint32_t n);
/* Queues a fetch (version 12) without session. */
int32_t cli_fetch_send(struct cli *c, const char *topic, int32_t partition, int64_t offset, int32_t epoch,
                       int32_t wait_ms);

#endif
