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
/* Whether a topic of this name may be made: a valid name, not taken, no other one but for '.' and '_'. */
int16_t topic_check_new_name(struct api_req *r, const struct meta_image *image, struct wire_str name, const char **why);
/* Whether its settings are those of a topic, with legal values. */
int16_t topic_check_configs(struct api_req *r, const struct topic_spec *s, const char **why);
/* Whether the brokers of one partition's assignment are registered, each named once, and `expected` many (-1: any). */
int16_t topic_check_replicas(struct api_req *r, const struct meta_image *image, const struct meta_assignment *a,
                             int32_t expected, const char **why);
/* Proposes the topic with the broker's defaults and forgets about it: the client asks again. */
void topic_auto_create(struct api_req *r, struct wire_str name);

#endif
