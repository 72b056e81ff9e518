/* partrig.h: one partition, 0 of the topic `id`, over store-mem in the virtual world. The store's calls are counted,
 * some can be made to fail. One test, one thread. */
#ifndef TESTS_PARTRIG_H
#define TESTS_PARTRIG_H

#include "config/config.h"
#include "partition/part.h"
#include "tests/sim/sim.h"
#include "wire/codes.h"

extern struct sim_world *w;
extern struct os *os;
extern struct part_set *set;
extern struct config *config;
extern struct config_topic topic; /* the partition's settings: a test may change them */
extern struct chronik_uuid id;
extern int appends, flushes, closes; /* calls of the store */
extern int refuse_appends;           /* so many of the next ones are refused as busy */
extern void *wish_at_close;          /* cookie whose sidecar the store wishes for while it closes; NULL: none */
extern struct batch_build build;     /* of the last batch */

struct sent {
    struct part_append a;
    struct part_wait wait;
    int fired, error;
};

void setup(void);
void setup_without_log(void); /* chronik.flush=os */
void teardown(void);
void spec_open(int32_t epoch);

void reached(struct part_wait *wait, int16_t error);
/* A batch of n records, not sent yet; producer id -1: none. The bytes live until the next one is made. */
void make_batch(struct sent *s, int n, int64_t ts, int64_t producer, int16_t epoch, int32_t seq);
int16_t send_batch(struct sent *s, int n, int64_t ts, int64_t producer, int16_t epoch, int32_t seq);
/* Batches of one record each, with bytes of their own, that come together: n of producer 77 with sequences seq[i]. */
void send_together(struct sent *s, uint8_t bytes[][256], int n, const int32_t *seq);
void settle(void); /* a second passes */
/* As send_batch, and waits until it is durable. */
int16_t send_and_settle(struct sent *s, int n, int64_t ts, int64_t producer, int16_t epoch, int32_t seq);
struct part_read read_from(int64_t offset);
int64_t list(int64_t ts, int64_t *found_ts);

#endif
