/* quorum.c: asking the metadata quorum, on a request's loop. The module passes it on to the leader by itself. */
#include "api/quorum.h"

#include "base/uuid.h"

static void back(void *arg)
{
    struct quorum_ask *q = arg;
    q->done(q);
}

static void answered(void *arg, int32_t result)
{
    struct quorum_ask *q = arg;
    q->result = result;
    q->r->task = (struct chronik_task){.fn = back, .arg = q};
    os_exec_post(q->r->loop->exec, &q->r->task);
}

void quorum_ask(struct quorum_ask *q)
{
    q->change.size = sizeof q->change;
    q->change.why = q->why;
    q->change.why_n = sizeof q->why;
    int32_t rc = meta_member_change(q->r->api->c.meta, &q->change, (struct chronik_done){answered, q});
    if (rc == CHRONIK_PENDING)
        return;
    q->result = rc;
    q->done(q);
}

int16_t quorum_error(int32_t result)
{
    switch (result) {
    case CHRONIK_E_UNSUPPORTED:
        return KAFKA_UNSUPPORTED_VERSION;
    case CHRONIK_E_NOT_LEADER:
        return KAFKA_NOT_LEADER_OR_FOLLOWER;
    case CHRONIK_E_INVAL:
        return KAFKA_INVALID_REQUEST;
    case CHRONIK_E_BUSY:
    case CHRONIK_E_AGAIN:
    case CHRONIK_E_TIMEDOUT:
    case CHRONIK_E_CANCELED:
    case CHRONIK_E_CLOSED:
    case CHRONIK_E_NOSPC:
        return KAFKA_REQUEST_TIMED_OUT;
    default:
        return result >= 0 ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR;
    }
}

int16_t quorum_check_cluster(struct api_req *r, struct wire_str id, const char **why)
{
    char is[UUID_TEXT];
    struct chronik_uuid cluster = meta_cluster_id(api_image(r));
    api_image_leave(r);
    uuid_text(&cluster, is);
    if (id.n < 0 || wire_str_is(id, is))
        return KAFKA_NONE;
    *why = arena_printf(&r->arena, "The given id \"%.*s\" doesn't match the cluster id \"%s\"", id.n, id.p, is);
    return KAFKA_INCONSISTENT_CLUSTER_ID;
}

const char *quorum_listener(struct api_req *r)
{
    const struct config_list *names = config_list(r->api->c.config, CFG_CONTROLLER_LISTENER_NAMES);
    return names && names->n ? names->item[0] : "CONTROLLER";
}
