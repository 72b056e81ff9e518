/* store_kit.h: an instance of a storage module under test, a model of each partition's log beside it, and events that
 * notice every broken promise: the thread, the lock, durable ends that fall or run ahead. */
#ifndef CHRONIK_CONFORMANCE_STORE_KIT_H
#define CHRONIK_CONFORMANCE_STORE_KIT_H

#include "kit.h"

#include <pthread.h>

#define STORE_BATCHES 20000
#define BATCH_HEAD    61 /* bytes before the records of a batch of the wire, version 2 */

struct model_batch {
    int64_t base, last, timestamp;
    uint32_t bytes; /* header included */
    uint64_t id;    /* the content */
};

/* A partition with what should be in it. */
struct part {
    struct store *s;
    struct chronik_part_id id;
    chronik_store_part *p;
    pthread_mutex_t lock;    /* held around append, as the host's partition lock; error-checking */
    struct os_flag *reached; /* set when durable reaches `await`; under the lock */
    int64_t await;
    int64_t durable; /* as announced; under the lock */
    int64_t log_start, end;
    struct model_batch *batches;
    unsigned n;
    uint64_t next_id;
    unsigned wanted_sidecars;
};

struct store {
    struct kit *k;
    const struct chronik_store_ops *ops;
    chronik_store *s;
    atomic_bool closed;
};

int32_t store_create(struct store *t, struct kit *k, const struct chronik_host *host);
/* create and start. */
void store_open(struct store *t, struct kit *k);
void store_start(struct store *t);
void store_close(struct store *t);

/* A model of partition `number` of a topic; opens it with the flags given (0 or CREATE). */
void part_init(struct part *p, struct store *t, int32_t number);
void part_open(struct part *p, uint32_t flags);
/* The partition of a process that died, for the next one: the model stays, the handle is gone. */
void part_revive(struct part *p, struct store *t);
void part_close(struct part *p);

/* Appends n batches of `records` records and about `bytes` bytes each, in one call; the model follows. */
int32_t part_append(struct part *p, unsigned n, unsigned records, uint32_t bytes, uint32_t flush);
/* Appends and expects DONE. */
void part_add(struct part *p, unsigned n, unsigned records, uint32_t bytes);
/* Waits until everything appended has been announced durable. */
void part_await_durable(struct part *p);
int64_t part_durable(struct part *p);
struct chronik_part_stat part_stat(struct part *p);

/* Reads the log from `from` up to `end` in pieces of about max_bytes and compares every byte with the model. */
void part_verify(struct part *p, int64_t from, int64_t end, uint64_t max_bytes);
/* The bytes of a batch: a header as the wire has it, with the right checksum, and records made of its id. */
void batch_fill(uint8_t *p, const struct model_batch *b);
bool batch_filled(const uint8_t *p, const struct model_batch *b);
/* The bytes of a read's ranges, in one malloc'd piece. */
uint8_t *ranges_bytes(struct store *t, const struct chronik_read *r);
/* Whether `bytes` are the batches of the model from `first` on, in order; returns how many of them it holds. */
unsigned compare_batches(const struct part *p, unsigned first, const uint8_t *bytes, uint64_t n);
/* The first batch of the model whose last offset is at or behind `offset`; p->n when there is none. */
unsigned model_find(const struct part *p, int64_t offset);

/* Follow a truncation in the model. */
void model_truncate_suffix(struct part *p, int64_t offset);
void model_truncate_prefix(struct part *p, int64_t offset);

/* The calls with a completion, waited for. */
int32_t part_truncate_suffix(struct part *p, int64_t offset);
int32_t part_truncate_prefix(struct part *p, int64_t offset);
int32_t part_delete(struct part *p);

#endif
