/* storerig.h: a store under test over core/os, and batches whose every byte can be checked. Used by the unit tests, the
 * power-cut test and the bench. One thread drives it; events come from the store's executors. */
#ifndef CHRONIK_STORE_RIG_H
#define CHRONIK_STORE_RIG_H

#include "tests/unit/store/testhost.h"

#include <chronik/plugin.h>
#include <chronik/store.h>

#include <pthread.h>

enum { RIG_PARTS = 16 };

struct rig_part {
    uint8_t *lent; /* to an append that may end the (virtual) process: not lost for the sanitizer */
    chronik_store_part *p;
    struct rig *rig;
    int32_t no;
    int64_t end;     /* appended */
    int64_t durable; /* announced; under rig->mu */
    int64_t failed;  /* code of part_failed, 0 none */
    int64_t sidecars_at;
    char text[500];
};

struct rig {
    struct testhost th;
    const struct chronik_store_ops *ops;
    chronik_store *s;
    pthread_mutex_t mu;
    struct rig_part parts[RIG_PARTS];
    char text[500]; /* of a refused start */
    uint32_t node_id;
    struct chronik_uuid cluster;
};

void rig_init(struct rig *r, struct os *os, const char *root);
int32_t rig_start(struct rig *r); /* create and start */
void rig_stop(struct rig *r);     /* close, waiting */
int32_t rig_open(struct rig *r, int32_t part, uint32_t flags);
struct chronik_part_id rig_id(int32_t part);

/* One batch of `count` records at `base`, filled with bytes that follow from (part, base, salt). out gets `bytes` bytes
 * (>= 61). */
void rig_batch(uint8_t *out, uint32_t bytes, int32_t part, int64_t base, uint32_t count, uint32_t salt, int64_t ts,
               int32_t epoch);
/* Whether p[bytes] is such a batch; *next gets the offset behind it. */
bool rig_batch_check(const uint8_t *p, uint64_t n, int32_t part, int64_t base, uint32_t salt, int64_t *next,
                     uint64_t *bytes);

/* Appends one batch of `bytes` and `count` records to the end of a partition. */
int32_t rig_append(struct rig *r, int32_t part, uint32_t bytes, uint32_t count, uint32_t salt, uint32_t flush);
/* Waits until everything appended to the partition is announced durable. */
void rig_wait_durable(struct rig *r, int32_t part);
/* Reads [from, end) and gives each batch to `each` (0 stops); returns the offset behind the last batch, or a code. */
int64_t rig_read(struct rig *r, int32_t part, int64_t from, int64_t end,
                 bool (*each)(void *arg, const uint8_t *p, uint64_t n), void *arg);
/* Waits, at most a second, for the event that a partition went offline; false when none comes. */
bool rig_wait_failed(struct rig *r, int32_t part);
/* Reads everything and checks each batch with salt 0: returns the end, or -1 with a reason in r->text. */
int64_t rig_verify(struct rig *r, int32_t part);

#endif
