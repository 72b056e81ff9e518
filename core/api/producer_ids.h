/* producer_ids.h: producer ids for InitProducerId: blocks of ids are proposed to metadata, single ids are handed out
 * from memory. A restart skips the rest of a block; no id is given twice. */
#ifndef CHRONIK_API_PRODUCER_IDS_H
#define CHRONIK_API_PRODUCER_IDS_H

#include "api/api.h"

struct producer_ids;

/* One request that wants an id; the memory is the caller's until fn ran. */
struct producer_id_wait {
    void (*fn)(struct producer_id_wait *w); /* on the request's loop */
    void *arg;
    struct os_exec *exec;
    int16_t error;       /* out */
    int64_t producer_id; /* out */
    struct chronik_task task;
    struct producer_id_wait *next;
};

struct producer_ids *producer_ids_new(struct api *a);
void producer_ids_free(struct producer_ids *p);
/* Any thread; fn runs later, exactly once. */
void producer_id_take(struct producer_ids *p, struct producer_id_wait *w);

#endif
