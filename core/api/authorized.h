/* authorized.h: the operations that are allowed to everybody while there is no authorizer, as bits of Kafka's
 * AclOperation codes (KIP-430). */
#ifndef CHRONIK_API_AUTHORIZED_H
#define CHRONIK_API_AUTHORIZED_H

enum {
    OP_READ = 1 << 3,
    OP_WRITE = 1 << 4,
    OP_CREATE = 1 << 5,
    OP_DELETE = 1 << 6,
    OP_ALTER = 1 << 7,
    OP_DESCRIBE = 1 << 8,
    OP_CLUSTER_ACTION = 1 << 9,
    OP_DESCRIBE_CONFIGS = 1 << 10,
    OP_ALTER_CONFIGS = 1 << 11,
    OP_IDEMPOTENT_WRITE = 1 << 12,
};

enum {
    AUTHORIZED_TOPIC =
        OP_READ | OP_WRITE | OP_CREATE | OP_DELETE | OP_ALTER | OP_DESCRIBE | OP_DESCRIBE_CONFIGS | OP_ALTER_CONFIGS,
    AUTHORIZED_CLUSTER = OP_CREATE | OP_ALTER | OP_DESCRIBE | OP_CLUSTER_ACTION | OP_DESCRIBE_CONFIGS |
                         OP_ALTER_CONFIGS | OP_IDEMPOTENT_WRITE,
    AUTHORIZED_GROUP = OP_READ | OP_DELETE | OP_DESCRIBE | OP_DESCRIBE_CONFIGS | OP_ALTER_CONFIGS,
};

#endif
