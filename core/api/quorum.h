/* quorum.h: what the handlers of the metadata quorum share: asking it for something, wherever its leader is. */
#ifndef CHRONIK_API_QUORUM_H
#define CHRONIK_API_QUORUM_H

#include "api/api.h"

/* One request to the quorum. In the request's arena; `done` runs once, on the request's loop. */
struct quorum_ask {
    struct api_req *r;
    struct chronik_meta_change change;
    int32_t result; /* CHRONIK_DONE or the module's refusal, with the sentence in why */
    char why[512];
    void (*done)(struct quorum_ask *q);
    void *arg;
};

/* `change` without size and why is filled. May run `done` before it returns. */
void quorum_ask(struct quorum_ask *q);
/* A refusal as a Kafka error, where it means the same for every request. */
int16_t quorum_error(int32_t result);
/* KAFKA_NONE, or what is wrong with the cluster id of a request, in Kafka's words. A null one fits. */
int16_t quorum_check_cluster(struct api_req *r, struct wire_str id, const char **why);
/* Name of the listener at which voters reach each other. */
const char *quorum_listener(struct api_req *r);

#endif
