/* commit_queue.h: offset commits on their way into the metadata: what arrives while one command is under way shares the
 * next one. A job is answered when its command is applied. */
#ifndef CHRONIK_API_COMMIT_QUEUE_H
#define CHRONIK_API_COMMIT_QUEUE_H

#include "api/api.h"

struct commit_queue;

/* One request's commit; its memory, and what `commit` names, is the caller's and stays until fn ran. */
struct commit_job {
    struct meta_commit commit;
    size_t bytes; /* about what it takes in a command */
    struct api_loop *loop;
    void (*fn)(struct commit_job *j); /* on the loop */
    int16_t code;                     /* out: Kafka's */
    struct commit_job *next;
};

struct commit_queue *commit_queue_new(struct api *a);
void commit_queue_free(struct commit_queue *q);
void commit_queue_attach(struct api_loop *l); /* before requests */
/* Any thread; fn runs later, exactly once. Jobs that one thread puts are applied in that order. */
void commit_queue_put(struct commit_queue *q, struct commit_job *j);

#endif
