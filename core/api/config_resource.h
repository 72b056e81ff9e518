/* config_resource.h: what the three APIs of configuration share: which resource is meant, and altering it by a command.
 */
#ifndef CHRONIK_API_CONFIG_RESOURCE_H
#define CHRONIK_API_CONFIG_RESOURCE_H

#include "api/gather.h"

struct config_resource {
    enum config_scope scope;
    uint8_t type;         /* META_RES_ */
    bool cluster_default; /* the default of all brokers */
    const char *name;     /* NUL-terminated, the request's memory */
};

/* A Kafka code with its sentence in *why; those who alter are told otherwise than those who describe. */
int16_t config_resource_of(struct api_req *r, const struct meta_image *image, int8_t type, struct wire_str name,
                           bool altering, struct config_resource *out, const char **why);

/* How one key is altered, as the operations of IncrementalAlterConfigs. */
enum { ALTER_SET = 0, ALTER_DELETE = 1, ALTER_APPEND = 2, ALTER_SUBTRACT = 3 };

struct config_change {
    struct wire_str name, value;
    int8_t operation;
};

/* One altered resource of a gathered request; the answer is filled when it ends. */
struct config_alteration {
    struct gather_proposal p;
    struct meta_after after;
    struct chronik_task task;
    int16_t *error;
    struct wire_str *message;
};

/* Checks all changes and proposes them (unless validate_only): all of a resource or nothing. `replace` drops what is
 * not named. */
void config_alter(struct gather *g, const struct meta_image *image, int8_t type, struct wire_str name,
                  const struct config_change *v, int32_t n, bool replace, bool validate_only,
                  struct config_alteration *a);

#endif
