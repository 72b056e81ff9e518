/* alter_replica_log_dirs.c: AlterReplicaLogDirs (34): wishes for the data directory of partitions on this broker
 * (KIP-113). The answer says that a move has begun; DescribeLogDirs shows it until it ends. */
#include "api/rows.h"
#include "api/api.h"

#include "base/log.h"

#include <stdlib.h>

LOG_SUBSYSTEM("api");

/* Any thread, when the move has ended. */
static void moved(struct part_move *m, int16_t error)
{
    if (error != KAFKA_NONE)
        log_warn("a partition was not moved to data directory number %u: %s", m->dir, kafka_code_name(error));
    free(m);
}

static int32_t dir_of(const struct api *a, struct wire_str path)
{
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    for (uint32_t i = 0; i < a->c.n_log_dirs; i++)
        if (wire_str_is(path, a->c.log_dirs[i]))
            return (int32_t)i;
    return -1;
}

static int16_t move(struct api_req *r, struct wire_str path, struct wire_str topic, int32_t index)
{
    struct part *part;
    int32_t dir = dir_of(r->api, path);
    if (dir < 0)
        return KAFKA_LOG_DIR_NOT_FOUND;
    int16_t rc = api_part(r, &topic, NULL, index, &part);
    if (rc != KAFKA_NONE)
        return rc == KAFKA_NOT_LEADER_OR_FOLLOWER ? KAFKA_REPLICA_NOT_AVAILABLE : rc;
    struct part_move *m = calloc(1, sizeof *m);
    if (m) {
        m->dir = (uint32_t)dir;
        m->fn = moved;
        rc = part_move(part, m);
        if (rc != KAFKA_NONE)
            free(m);
    }
    part_unref(part);
    return m ? rc : KAFKA_UNKNOWN_SERVER_ERROR;
}

static bool add_topic(struct api_req *r, struct wire_alter_replica_log_dirs_response *resp, struct wire_str path,
                      const struct wire_alter_replica_log_dirs_request_topic *t)
{
    struct wire_alter_replica_log_dirs_response_topic_result *o = &resp->results.v[resp->results.n++];
    o->topic_name = t->name;
    o->partitions.v = api_array(r, struct wire_alter_replica_log_dirs_response_partition_result, t->partitions.n);
    for (int32_t i = 0; o->partitions.v && i < t->partitions.n; i++)
        o->partitions.v[o->partitions.n++] = (struct wire_alter_replica_log_dirs_response_partition_result){
            .partition_index = t->partitions.v[i], .error_code = move(r, path, t->name, t->partitions.v[i])};
    return o->partitions.v;
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_alter_replica_log_dirs_request *q = body;
    struct wire_alter_replica_log_dirs_response resp = wire_alter_replica_log_dirs_response_default;
    int64_t n = 0;
    for (int32_t i = 0; i < q->dirs.n; i++)
        n += q->dirs.v[i].topics.n;
    resp.results.v = api_array(r, struct wire_alter_replica_log_dirs_response_topic_result, n);
    bool fine = resp.results.v;
    for (int32_t i = 0; fine && i < q->dirs.n; i++)
        for (int32_t k = 0; fine && k < q->dirs.v[i].topics.n; k++)
            fine = add_topic(r, &resp, q->dirs.v[i].path, &q->dirs.v[i].topics.v[k]);
    if (fine)
        api_answer(r, &resp);
    else
        api_no_memory(r, "out of memory for an answer");
}

const struct api_row api_alter_replica_log_dirs = {.key = WIRE_API_ALTER_REPLICA_LOG_DIRS, .handle = handle};
