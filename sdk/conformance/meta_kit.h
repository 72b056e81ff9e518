/* meta_kit.h: an instance of a metadata module under test, and a host side that notices every broken promise: order,
 * gaps, repeats, the thread, the content. */
#ifndef CHRONIK_CONFORMANCE_META_KIT_H
#define CHRONIK_CONFORMANCE_META_KIT_H

#include "kit.h"

#include <pthread.h>

struct meta_applied {
    struct chronik_meta_pos pos;
    uint64_t id; /* of the command */
};

struct meta {
    struct kit *k;
    const struct chronik_meta_ops *ops;
    chronik_meta *m;
    struct os_exec *os_exec;
    struct chronik_exec *exec;    /* the apply executor */
    struct chronik_meta_pos from; /* the position that start() was given */
    bool hold;                    /* do not acknowledge what is applied */

    pthread_mutex_t lock; /* guards what the events write below */
    struct meta_applied *log;
    uint64_t n, room;
    uint64_t base; /* commands before log[0]: an installed snapshot holds them */
    struct chronik_meta_pos last;
    uint32_t role;
    uint64_t epoch, installed_seq, install_bytes;
    unsigned asked_snapshot, roles;
    struct os_flag caught_up, leads;
    bool closed;
    void (*on_apply)(struct meta *t, uint64_t id);
    void *user; /* of on_apply */
};

/* Makes an instance; `host` NULL takes the kit's. The result of create. */
int32_t meta_create(struct meta *t, struct kit *k, const struct chronik_host *host);
/* create and start at {0, 0}; waits until it has caught up and leads. */
void meta_open(struct meta *t, struct kit *k);
/* start at a position, on a created instance; waits as meta_open. */
void meta_start(struct meta *t, struct chronik_meta_pos applied, uint64_t seq);
/* Closes and checks that nothing comes afterwards. */
void meta_close(struct meta *t);
/* Closes the executor too, without an instance: create failed. */
void meta_drop(struct meta *t);

/* A command of n bytes (at least 16) that carries `id`; kit_lend memory. */
void *meta_command(uint64_t id, size_t n);
/* Proposes command `id`, content lent in two pieces that are taken back on completion. The result of the call. */
int32_t meta_propose(struct meta *t, uint32_t klass, uint64_t id, size_t n, struct kit_call **out);
/* Proposes until it is not E_BUSY, waits, expects DONE. */
void meta_commit(struct meta *t, uint64_t id, size_t n);

uint64_t meta_n(struct meta *t); /* commands applied so far */
struct meta_applied meta_at(struct meta *t, uint64_t i);
/* Waits until `n` commands have been applied. */
void meta_await(struct meta *t, uint64_t n);
struct chronik_meta_status meta_status(struct meta *t);

#endif
