/* expiry.h: forgets offsets that nobody committed or could use for offsets.retention.minutes, and groups that have
 * neither members nor offsets, as Kafka does; every offsets.retention.check.interval.ms. */
#ifndef CHRONIK_COORD_EXPIRY_H
#define CHRONIK_COORD_EXPIRY_H

#include "coord/coord.h"

struct expiry;

struct expiry_options {
    struct os *os;
    struct os_exec *exec; /* a background executor; must be closed before expiry_free */
    struct meta *meta;
    struct coord *coord;
    int64_t retention_ms, interval_ms;
};

struct expiry *expiry_new(const struct expiry_options *o); /* NULL: out of memory */
/* The first pass comes after one interval. Any thread; later calls do nothing. */
void expiry_start(struct expiry *x);
/* No further proposals from now on. Any thread. */
void expiry_stop(struct expiry *x);
/* After meta_close, before meta_free. */
void expiry_free(struct expiry *x);

#endif
