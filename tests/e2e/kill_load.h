/* kill_load.h: what the load of records and its judge share: the account of each connection's records. */
#ifndef CHRONIK_TEST_KILL_LOAD_H
#define CHRONIK_TEST_KILL_LOAD_H

#include "load.h"

enum { MAX_RECORDS = 1 << 20, BATCH_MAX = 13, FILLER_MAX = 200 };
enum { UNKNOWN = -1, SOMEWHERE = -2 }; /* in place of an offset; SOMEWHERE: acknowledged as a duplicate */

/* What one connection wrote and what it was told. */
struct account {
    uint32_t id, sent, last_seen;
    int32_t partition;
    bool any_seen;
    uint64_t acknowledged, unknown;
    int64_t *offset; /* by number of the record */
    uint8_t *found;  /* how often it was read back */
};

/* The bytes of one record's value, followed by `filler` bytes. */
struct record {
    uint32_t connection, number, filler, check;
};

/* A record batch of the account's records [first, first + count). The sequence is the record's number. */
void put_batch(struct frame *f, const struct account *a, uint32_t first, uint32_t count, int64_t producer,
               int16_t epoch);

/* Reads all partitions back and complains of every record that is missing, moved, doubled, damaged or out of order.
 * Returns the number of records found. Blocking, bounded by two minutes. */
uint64_t judge(struct load_address where, const char *topic, int partitions, struct account **accounts, uint32_t n);

#endif
