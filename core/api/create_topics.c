/* create_topics.c: CreateTopics (19). Each topic is one command; the answer waits until all are applied and, on this
 * node, their partitions are open: a client that writes at once finds its leader. */
#include "api/rows.h"
#include "api/api.h"
#include "api/repeats.h"
#include "api/topic_spec.h"

struct creation {
    struct create_topics *all;
    struct wire_create_topics_response_creatable_topic_result *answer;
    struct meta_command command;
    struct topic_spec spec;
    struct api_result result;
    struct part_opening opening;
    bool proposed;
};

struct create_topics {
    struct api_req *r;
    const struct wire_create_topics_request *q;
    struct wire_create_topics_response resp;
    struct creation *v;
    const int32_t *times; /* each is named */
    int32_t n, pending;
    bool over; /* its time: do not wait for partitions to open */
};

static void settle(struct create_topics *c)
{
    if (--c->pending)
        return;
    os_exec_cancel(c->r->loop->exec, &c->r->timer);
    api_answer(c->r, &c->resp);
}

static void fail(struct creation *t, int16_t code, const char *why)
{
    t->answer->error_code = code;
    t->answer->error_message = wire_str(why);
    t->answer->num_partitions = t->answer->replication_factor = -1;
    t->answer->topic_id = (struct chronik_uuid){{0}};
    t->answer->configs.n = 0;
}

/* On the loop: the partitions of this node are open, or the time is over; the topic exists either way. */
static void opened(void *arg)
{
    struct creation *t = arg;
    settle(t->all);
}

/* How many of its partitions are this node's to open. */
static int32_t hosted_here(const struct api_req *r, const struct meta_topic_create *t)
{
    int32_t n = 0;
    for (uint32_t i = 0; i < t->n_partitions; i++)
        for (uint32_t k = 0; k < t->partitions[i].n_replicas; k++)
            n += t->partitions[i].replicas[k] == r->api->c.node_id;
    return n;
}

static void applied(struct api_req *r, void *arg)
{
    struct creation *t = arg;
    if (t->result.code != KAFKA_NONE) {
        fail(t, t->result.code, t->result.text);
        settle(t->all);
        return;
    }
    t->opening = (struct part_opening){.topic_id = t->answer->topic_id,
                                       .n = hosted_here(r, &t->command.u.topic_create),
                                       .end = t->answer->num_partitions,
                                       .exec = r->loop->exec,
                                       .task = {.fn = opened, .arg = t}};
    if (t->all->over || !part_wait_open(r->api->c.parts, &t->opening))
        settle(t->all);
}

/* ---- from the wire to a spec ---- */

static char *c_string(struct api_req *r, struct wire_str s)
{
    return s.n < 0 ? NULL : arena_strndup(&r->arena, s.p, (size_t)s.n);
}

/* Assignments must name partitions 0 to n - 1, each once. */
static int16_t read_assignment(struct api_req *r, const struct meta_image *image,
                               const struct wire_create_topics_request_creatable_topic *t, struct topic_spec *s,
                               const char **why)
{
    struct meta_assignment *a = api_array(r, struct meta_assignment, t->assignments.n);
    struct repeat_key *keys = repeats_new(r, t->assignments.n);
    bool gap = false;
    int32_t expected = -1;
    for (int32_t i = 0; keys && i < t->assignments.n; i++)
        keys[i].number = t->assignments.v[i].partition_index;
    const int32_t *times = repeats_count(r, keys, t->assignments.n);
    if (!a || !times)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    for (int32_t i = 0; i < t->assignments.n; i++) {
        const struct wire_create_topics_request_creatable_replica_assignment *w = &t->assignments.v[i];
        struct meta_assignment one = {.replicas = w->broker_ids.v, .n_replicas = (uint32_t)max_i64(w->broker_ids.n, 0)};
        if (times[i] == 0) {
            *why = arena_printf(&r->arena, "Found multiple manual partition assignments for partition %d",
                                w->partition_index);
            return KAFKA_INVALID_REPLICA_ASSIGNMENT;
        }
        int16_t rc = topic_check_replicas(r, image, &one, expected, why);
        if (rc != KAFKA_NONE)
            return rc;
        expected = (int32_t)one.n_replicas;
        if (w->partition_index < 0 || w->partition_index >= t->assignments.n)
            gap = true;
        else
            a[w->partition_index] = one;
    }
    if (gap) {
        *why = "partitions should be a consecutive 0-based integer sequence";
        return KAFKA_INVALID_REPLICA_ASSIGNMENT;
    }
    s->assignment = a;
    s->n_partitions = t->assignments.n;
    return KAFKA_NONE;
}

/* A Kafka code; 0 when the spec is filled. */
static int16_t read_spec(struct api_req *r, const struct meta_image *image,
                         const struct wire_create_topics_request_creatable_topic *t, struct topic_spec *s,
                         const char **why)
{
    *s = (struct topic_spec){.name = t->name, .n_partitions = t->num_partitions, .replication = t->replication_factor};
    struct meta_kv *kv = api_array(r, struct meta_kv, t->configs.n);
    struct repeat_key *keys = repeats_new(r, t->configs.n);
    int32_t last = t->configs.n - 1; /* of a name the last value counts: they are looked at from there */
    for (int32_t i = 0; keys && i <= last; i++)
        keys[i].name = t->configs.v[last - i].name;
    const int32_t *times = repeats_count(r, keys, t->configs.n);
    if (!kv || !times)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    s->configs = kv;
    for (int32_t i = 0; i < t->configs.n; i++) {
        struct meta_kv one = {.key = c_string(r, t->configs.v[i].name), .value = c_string(r, t->configs.v[i].value)};
        if (!one.key)
            return KAFKA_UNKNOWN_SERVER_ERROR;
        if (!one.value) {
            *why = arena_printf(&r->arena, "Null value not supported for topic configs: %s", one.key);
            return KAFKA_INVALID_CONFIG;
        }
        if (times[last - i])
            kv[s->n_configs++] = one;
    }
    int16_t rc = topic_check_configs(r, s, why);
    if (rc != KAFKA_NONE || t->assignments.n <= 0)
        return rc;
    if (t->replication_factor != -1) {
        *why = "A manual partition assignment was specified, but replication factor was not set to -1.";
        return KAFKA_INVALID_REQUEST;
    }
    if (t->num_partitions != -1) {
        *why = "A manual partition assignment was specified, but numPartitions was not set to -1.";
        return KAFKA_INVALID_REQUEST;
    }
    return read_assignment(r, image, t, s, why);
}

/* How often each topic is named; 0: it was named before. */
static const int32_t *count_names(struct api_req *r, const struct wire_create_topics_request *q)
{
    int32_t n = (int32_t)max_i64(q->topics.n, 0);
    struct repeat_key *keys = repeats_new(r, n);
    for (int32_t i = 0; keys && i < n; i++)
        keys[i].name = q->topics.v[i].name;
    return repeats_count(r, keys, n);
}

struct describe {
    struct api_req *r;
    struct wire_create_topics_response_creatable_topic_result *answer;
};

static void describe_one(void *arg, const struct config_entry *e)
{
    struct describe *d = arg;
    struct wire_create_topics_response_creatable_topic_configs *c = &d->answer->configs.v[d->answer->configs.n++];
    *c = wire_create_topics_response_creatable_topic_configs_default;
    c->name = wire_str(e->setting->name);
    c->value = api_str_copy(d->r, wire_str(e->value));
    c->read_only = e->read_only;
    c->config_source = config_source_wire(e->source);
    c->is_sensitive = e->setting->sensitive;
}

static void count_one(void *arg, const struct config_entry *e)
{
    ++*(int32_t *)arg;
}

/* Kafka tells the effective settings of the new topic (KIP-525). */
static void describe(struct api_req *r, struct creation *t)
{
    int32_t n = 0;
    struct config_kv *kv = api_array(r, struct config_kv, t->spec.n_configs);
    for (uint32_t i = 0; kv && i < t->spec.n_configs; i++)
        kv[i] = (struct config_kv){t->spec.configs[i].key, t->spec.configs[i].value};
    config_describe(r->api->c.config, CONFIG_TOPIC, NULL, 0, count_one, &n);
    t->answer->configs.v = api_array(r, struct wire_create_topics_response_creatable_topic_configs, n);
    t->answer->configs.n = 0;
    if (kv && t->answer->configs.v)
        config_describe(r->api->c.config, CONFIG_TOPIC, kv, t->spec.n_configs, describe_one,
                        &(struct describe){r, t->answer});
}

static void begin_one(struct create_topics *c, const struct meta_image *image, int32_t i)
{
    struct api_req *r = c->r;
    struct creation *t = &c->v[i];
    const char *why = NULL;
    int32_t times = c->times[i];
    if (times == 0)
        return; /* one answer a name */
    t->all = c;
    t->answer = &c->resp.topics.v[c->resp.topics.n++];
    *t->answer = wire_create_topics_response_creatable_topic_result_default;
    t->answer->name = c->q->topics.v[i].name;
    t->answer->error_message.n = -1;
    int16_t rc = KAFKA_NONE;
    if (times > 1) {
        why = "Duplicate topic name.";
        rc = KAFKA_INVALID_REQUEST;
    }
    if (rc == KAFKA_NONE)
        rc = topic_check_new_name(r, image, t->answer->name, &why);
    if (rc == KAFKA_NONE)
        rc = read_spec(r, image, &c->q->topics.v[i], &t->spec, &why);
    if (rc == KAFKA_NONE)
        rc = topic_command(r, image, &t->spec, &t->command, &why);
    if (rc != KAFKA_NONE) {
        fail(t, rc, why);
        return;
    }
    t->answer->num_partitions = (int32_t)t->command.u.topic_create.n_partitions;
    t->answer->replication_factor = (int16_t)t->command.u.topic_create.partitions[0].n_replicas;
    t->answer->topic_id = t->command.u.topic_create.id;
    describe(r, t);
    if (c->q->validate_only)
        return;
    c->pending++;
    if (api_propose(r, &t->command, c->q->timeout_ms, &t->result, applied, t) < 0) {
        fail(t, KAFKA_REQUEST_TIMED_OUT, "The metadata log takes no proposals at the moment; try again.");
        c->pending--;
    }
}

/* The time is over: partitions that are not open yet will be. */
static void timed_out(void *arg)
{
    struct api_req *r = arg;
    struct create_topics *c = r->state;
    c->over = true;
    for (int32_t i = 0; i < c->n; i++)
        if (c->v[i].opening.n && part_wait_open_cancel(r->api->c.parts, &c->v[i].opening))
            c->pending--;
    if (c->pending == 0)
        api_answer(r, &c->resp);
}

static void handle(struct api_req *r, const void *body)
{
    struct create_topics *c = arena_calloc(&r->arena, 1, sizeof *c);
    if (c) {
        c->r = r;
        c->q = body;
        c->n = (int32_t)max_i64(c->q->topics.n, 0);
        c->resp = wire_create_topics_response_default;
        c->resp.topics.v = api_array(r, struct wire_create_topics_response_creatable_topic_result, c->n);
        c->v = api_array(r, struct creation, c->n);
        c->times = count_names(r, c->q);
    }
    if (!c || !c->resp.topics.v || !c->v || !c->times) {
        api_no_memory(r, "out of memory for a request");
        return;
    }
    r->state = c;
    c->pending = 1;
    const struct meta_image *image = api_image(r);
    for (int32_t i = 0; i < c->n; i++)
        begin_one(c, image, i);
    api_image_leave(r);
    if (c->pending > 1) {
        r->timer = (struct chronik_task){.fn = timed_out, .arg = r};
        os_exec_post_at(r->loop->exec, &r->timer,
                        os_mono_ns(r->api->c.os) + max_i64(c->q->timeout_ms, 0) * INT64_C(1000000));
    }
    settle(c);
}

const struct api_row api_create_topics = {.key = WIRE_API_CREATE_TOPICS, .handle = handle};
