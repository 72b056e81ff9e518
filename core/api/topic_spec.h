/* topic_spec.h: what CreateTopics and auto-creation share: from a wish for a topic to the command that makes it. */
#ifndef CHRONIK_API_TOPIC_SPEC_H
#define CHRONIK_API_TOPIC_SPEC_H

#include "api/api.h"

struct topic_spec {
    struct wire_str name;
    int32_t n_partitions;                     /* -1: num.partitions */
    int32_t replication;                      /* -1: default.replication.factor */
    const struct meta_assignment *assignment; /* n_partitions of them, or NULL */
    const struct meta_kv *configs;
    uint32_t n_configs;
};

/* Fills the command (memory from the request's arena, a new random id). A Kafka code with its sentence in *why. */
int16_t topic_command(struct api_req *r, const struct meta_image *image, const struct topic_spec *s,
                      struct meta_command *out, const char **why);
/* The replicas of the spec's partitions: its own assignment, checked, or replicas spread over the brokers. */
int16_t topic_assign(struct api_req *r, const struct meta_image *image, const struct topic_spec *s,
                     const struct meta_assignment **out, const char **why);
/* Proposes the topic with the broker's defaults and forgets about it: the client asks again. */
void topic_auto_create(struct api_req *r, struct wire_str name);

#endif
