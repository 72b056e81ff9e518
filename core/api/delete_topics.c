/* delete_topics.c: DeleteTopics (20), by name or, from version 6 on, by id. The answer says that the deletion is
 * committed; the data goes later. */
#include "api/rows.h"
#include "api/gather.h"
#include "api/meta_topic.h"

struct deletion {
    struct gather_proposal p;
    struct wire_delete_topics_response_deletable_topic_result *answer;
};

struct delete_topics {
    struct gather g;
    struct wire_delete_topics_response resp;
    struct deletion *v;
};

static void end(struct gather *g)
{
    api_answer(g->r, &CONTAINER_OF(g, struct delete_topics, g)->resp);
}

static void fail(struct wire_delete_topics_response_deletable_topic_result *a, int16_t code, const char *why)
{
    a->error_code = code;
    a->error_message = wire_str(why);
}

static void applied(struct gather_proposal *p)
{
    struct deletion *d = CONTAINER_OF(p, struct deletion, p);
    if (p->result.code == KAFKA_UNKNOWN_TOPIC_ID && d->answer->name.n >= 0)
        fail(d->answer, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "The topic was deleted meanwhile.");
    else if (p->result.code != KAFKA_NONE)
        fail(d->answer, p->result.code, p->result.text);
}

/* The topic that is asked for, or NULL with the error in the answer. */
static const struct meta_topic *find(struct api_req *r, const struct meta_image *image, struct wire_str name,
                                     const struct chronik_uuid *id,
                                     struct wire_delete_topics_response_deletable_topic_result *a)
{
    bool by_id = name.n < 0;
    if (!by_id && !meta_uuid_zero(id)) {
        fail(a, KAFKA_INVALID_REQUEST, "You may not specify both topic name and topic id.");
        return NULL;
    }
    if (by_id && meta_uuid_zero(id)) {
        fail(a, KAFKA_INVALID_REQUEST, "Neither topic name nor id were specified.");
        return NULL;
    }
    if (meta_log_topic(r->api->meta_log, by_id ? NULL : &name, id)) {
        fail(a, KAFKA_INVALID_TOPIC_EXCEPTION, META_LOG_READ_ONLY);
        return NULL;
    }
    const struct meta_topic *t =
        by_id ? meta_topic_by_id(image, id) : meta_topic_by_name(image, name.p, (size_t)name.n);
    if (!t)
        fail(a, by_id ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
             by_id ? "This server does not host this topic ID." : "This server does not host this topic-partition.");
    return t;
}

static bool twice(const struct delete_topics *d, int32_t upto, const struct chronik_uuid *id)
{
    for (int32_t i = 0; i < upto; i++)
        if (d->resp.responses.v[i].error_code == KAFKA_NONE && meta_uuid_eq(&d->resp.responses.v[i].topic_id, id))
            return true;
    return false;
}

static void begin_one(struct delete_topics *d, const struct meta_image *image, int32_t i, struct wire_str name,
                      const struct chronik_uuid *id, int32_t timeout_ms)
{
    struct wire_delete_topics_response_deletable_topic_result *a = &d->resp.responses.v[i];
    struct api_req *r = d->g.r;
    *a = wire_delete_topics_response_deletable_topic_result_default;
    a->name = name;
    a->topic_id = *id;
    a->error_message.n = -1;
    if (!config_bool(r->api->c.config, CFG_DELETE_TOPIC_ENABLE)) {
        fail(a, r->version >= 3 ? KAFKA_TOPIC_DELETION_DISABLED : KAFKA_INVALID_REQUEST, "Topic deletion is disabled.");
        return;
    }
    const struct meta_topic *t = find(r, image, name, id, a);
    if (!t)
        return;
    if (twice(d, i, &t->id)) {
        fail(a, KAFKA_INVALID_REQUEST, "The topic is named twice.");
        return;
    }
    a->name = api_str_copy(r, (struct wire_str){t->name, t->name_len});
    a->topic_id = t->id;
    struct meta_command c = {.type = META_CMD_TOPIC_DELETE};
    c.u.topic_delete.id = t->id;
    d->v[i].answer = a;
    d->v[i].p.applied = applied;
    if (!gather_propose(&d->g, &d->v[i].p, &c, timeout_ms))
        fail(a, KAFKA_REQUEST_TIMED_OUT, "The metadata log takes no proposals at the moment; try again.");
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_delete_topics_request *q = body;
    struct chronik_uuid none = {{0}};
    int32_t n = (int32_t)max_i64(r->version >= 6 ? q->topics.n : q->topic_names.n, 0);
    struct delete_topics *d = arena_calloc(&r->arena, 1, sizeof *d);
    if (d) {
        d->resp = wire_delete_topics_response_default;
        d->resp.responses.v = api_array(r, struct wire_delete_topics_response_deletable_topic_result, n);
        d->v = api_array(r, struct deletion, n);
    }
    if (!d || !d->resp.responses.v || !d->v) {
        api_drop(r, "out of memory for a request");
        return;
    }
    d->resp.responses.n = n;
    d->g = (struct gather){.r = r, .pending = 1, .end = end};
    const struct meta_image *image = api_image(r);
    for (int32_t i = 0; i < n; i++)
        begin_one(d, image, i, r->version >= 6 ? q->topics.v[i].name : q->topic_names.v[i],
                  r->version >= 6 ? &q->topics.v[i].topic_id : &none, q->timeout_ms);
    api_image_leave(r);
    gather_less(&d->g);
}

const struct api_row api_delete_topics = {.key = WIRE_API_DELETE_TOPICS, .handle = handle};
