/* delete_topics.c: DeleteTopics (20), by name or, from version 6 on, by id. The answer says that the deletion is
 * committed; the data goes later. */
#include "api/rows.h"
#include "api/gather.h"
#include "api/meta_topic.h"
#include "api/repeats.h"

struct deletion {
    struct gather_proposal p;
    struct wire_delete_topics_response_deletable_topic_result *answer;
};

struct delete_topics {
    struct gather g;
    struct wire_delete_topics_response resp;
    struct deletion *v;
    struct wire_str *names; /* null: by id */
    struct chronik_uuid *ids;
    const int32_t *times; /* each is named */
    int32_t n, n_by_id;   /* asked for; of them, by id */
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

/* How often each topic is named in the way it is named; 0: it was named before. */
static const int32_t *count_names(struct api_req *r, const struct delete_topics *d)
{
    struct repeat_key *keys = repeats_new(r, d->n);
    for (int32_t i = 0; keys && i < d->n; i++) {
        keys[i].name = d->names[i];
        keys[i].id = d->names[i].n < 0 ? &d->ids[i] : NULL;
    }
    return repeats_count(r, keys, d->n);
}

/* The topic of a name is also asked for by its id. */
static bool by_id_too(const struct delete_topics *d, const struct chronik_uuid *id)
{
    for (int32_t k = 0; d->n_by_id && k < d->n; k++)
        if (d->names[k].n < 0 && meta_uuid_eq(&d->ids[k], id))
            return true;
    return false;
}

static bool by_name_too(const struct delete_topics *d, const struct meta_topic *t)
{
    for (int32_t k = 0; d->n_by_id < d->n && k < d->n; k++)
        if (wire_str_eq(d->names[k], (struct wire_str){t->name, t->name_len}))
            return true;
    return false;
}

static void begin_one(struct delete_topics *d, const struct meta_image *image, int32_t i, int32_t timeout_ms)
{
    struct api_req *r = d->g.r;
    bool by_id = d->names[i].n < 0;
    int32_t times = by_id || meta_uuid_zero(&d->ids[i]) ? d->times[i] : 1;
    if (times == 0)
        return; /* one answer a topic */
    struct wire_delete_topics_response_deletable_topic_result *a = &d->resp.responses.v[d->resp.responses.n++];
    *a = wire_delete_topics_response_deletable_topic_result_default;
    a->name = d->names[i];
    a->topic_id = d->ids[i];
    a->error_message.n = -1;
    if (!config_bool(r->api->c.config, CFG_DELETE_TOPIC_ENABLE)) {
        fail(a, r->version >= 3 ? KAFKA_TOPIC_DELETION_DISABLED : KAFKA_INVALID_REQUEST, "Topic deletion is disabled.");
        return;
    }
    if (times > 1) {
        fail(a, KAFKA_INVALID_REQUEST, by_id ? "Duplicate topic id." : "Duplicate topic name.");
        return;
    }
    const struct meta_topic *t = find(r, image, d->names[i], &d->ids[i], a);
    if (!t)
        return;
    if (by_id && by_name_too(d, t)) { /* answered under its name */
        d->resp.responses.n--;
        return;
    }
    a->name = api_str_copy(r, (struct wire_str){t->name, t->name_len});
    a->topic_id = t->id;
    if (!by_id && by_id_too(d, &t->id)) {
        fail(a, KAFKA_INVALID_REQUEST, "The provided topic name maps to an ID that was already supplied.");
        return;
    }
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
    int32_t n = (int32_t)max_i64(r->version >= 6 ? q->topics.n : q->topic_names.n, 0);
    struct delete_topics *d = arena_calloc(&r->arena, 1, sizeof *d);
    if (d) {
        d->resp = wire_delete_topics_response_default;
        d->resp.responses.v = api_array(r, struct wire_delete_topics_response_deletable_topic_result, n);
        d->v = api_array(r, struct deletion, n);
        d->names = api_array(r, struct wire_str, n);
        d->ids = api_array(r, struct chronik_uuid, n);
    }
    if (!d || !d->resp.responses.v || !d->v || !d->names || !d->ids) {
        api_no_memory(r, "out of memory for a request");
        return;
    }
    d->n = n;
    for (int32_t i = 0; i < n; i++) {
        d->names[i] = r->version >= 6 ? q->topics.v[i].name : q->topic_names.v[i];
        if (r->version >= 6)
            d->ids[i] = q->topics.v[i].topic_id;
        d->n_by_id += d->names[i].n < 0;
    }
    d->times = count_names(r, d);
    if (!d->times) {
        api_no_memory(r, "out of memory for a request");
        return;
    }
    d->g = (struct gather){.r = r, .pending = 1, .end = end};
    const struct meta_image *image = api_image(r);
    for (int32_t i = 0; i < n; i++)
        begin_one(d, image, i, q->timeout_ms);
    api_image_leave(r);
    gather_less(&d->g);
}

const struct api_row api_delete_topics = {.key = WIRE_API_DELETE_TOPICS, .handle = handle};
