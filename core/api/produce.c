/* produce.c: Produce (0). Appends each partition's batch on the loop, then waits, without a thread, until all of them
 * are behind their high watermarks. A store that is short of room makes the connection pause, and the append is tried
 * again. */
#include "api/rows.h"
#include "api/api.h"

enum { RETRY_NS = 2000000 };

struct produce_part {
    struct part_wait wait;
    struct part *part;
    struct wire_produce_response_partition *answer;
    struct produce *produce;
    int16_t error; /* of the wait; written before `pending` falls */
};

struct produce {
    struct api_req *r;
    const struct wire_produce_request *body;
    struct wire_produce_response resp;
    struct produce_part *parts;
    int32_t topic, partition, n; /* the next one to append; entries of parts used */
    int32_t pending;             /* atomic: waits that have not fired, plus one while appending */
    bool failed, timed_out;
    int64_t deadline_ns;
};

static void finish(struct produce *p)
{
    struct api_req *r = p->r;
    os_exec_cancel(r->loop->exec, &r->timer);
    for (int32_t i = 0; i < p->n; i++) {
        struct produce_part *one = &p->parts[i];
        part_unref(one->part);
        if (one->error == KAFKA_NONE)
            continue;
        p->failed = true;
        one->answer->error_code = one->error;
        one->answer->base_offset = -1;
    }
    if (p->body->acks != 0)
        api_answer(r, &p->resp);
    else if (p->failed)
        api_drop(r, "a batch sent with acks=0 was refused");
    else
        api_no_answer(r);
}

static void settle(struct produce *p)
{
    if (__atomic_sub_fetch(&p->pending, 1, __ATOMIC_ACQ_REL) == 0)
        os_exec_post(p->r->loop->exec, &p->r->task);
}

/* Any thread. */
static void reached(struct part_wait *w, int16_t error)
{
    struct produce_part *one = w->arg;
    one->error = error;
    settle(one->produce);
}

static void completed(void *arg)
{
    struct api_req *r = arg;
    finish(r->state);
}

/* The time of the request is over: what has not fired answers REQUEST_TIMED_OUT; its records may become durable yet. */
static void timed_out(void *arg)
{
    struct api_req *r = arg;
    struct produce *p = r->state;
    int32_t canceled = 0;
    for (int32_t i = 0; i < p->n; i++)
        if (part_wait_cancel(p->parts[i].part, &p->parts[i].wait)) {
            p->parts[i].error = KAFKA_REQUEST_TIMED_OUT;
            canceled++;
        }
    if (canceled && __atomic_sub_fetch(&p->pending, canceled, __ATOMIC_ACQ_REL) == 0)
        finish(p);
}

/* Clients learn of the leader with the error (KIP-951). */
static void name_leader(struct produce *p, struct part *part, struct wire_produce_response_partition *a)
{
    struct part_view v;
    part_look(part, &v);
    a->current_leader.leader_id = v.leader;
    a->current_leader.leader_epoch = v.leader_epoch;
}

static int16_t append_one(struct produce *p, const struct wire_produce_request_topic_data *t,
                          const struct wire_produce_request_partition_data *d,
                          struct wire_produce_response_partition *a, bool *busy)
{
    struct api_req *r = p->r;
    struct part *part;
    int16_t rc = api_part(r, r->version >= 13 ? NULL : &t->name, &t->topic_id, d->index, &part);
    if (rc != KAFKA_NONE)
        return rc;
    struct produce_part *one = &p->parts[p->n];
    *one = (struct produce_part){.part = part, .answer = a, .produce = p};
    one->wait = (struct part_wait){.fn = reached, .arg = one};
    struct part_append ap = {
        .batches = d->records.p,
        .n = d->records.n > 0 ? (size_t)d->records.n : 0,
        .acks = p->body->acks,
        .api_version = r->version,
        .wait = &one->wait,
    };
    __atomic_add_fetch(&p->pending, 1, __ATOMIC_RELAXED);
    rc = part_append_batches(part, &ap);
    if (rc == KAFKA_NONE && ap.waiting) {
        p->n++;
    } else {
        __atomic_sub_fetch(&p->pending, 1, __ATOMIC_RELAXED);
        if (rc == KAFKA_NOT_LEADER_OR_FOLLOWER && r->version >= 10)
            name_leader(p, part, a);
        part_unref(part);
    }
    *busy = ap.busy;
    if (rc == KAFKA_NONE) {
        a->base_offset = ap.base_offset;
        a->log_append_time_ms = ap.log_append_time;
        a->log_start_offset = ap.log_start;
        return KAFKA_NONE;
    }
    a->error_message = wire_str(ap.message);
    if (ap.record_error_index >= 0 && r->version >= 8) {
        a->record_errors.v = api_array(r, struct wire_produce_response_batch_index_and_error_message, 1);
        if (a->record_errors.v) {
            a->record_errors.v[0].batch_index = ap.record_error_index;
            a->record_errors.v[0].batch_index_error_message = wire_str(ap.message);
            a->record_errors.n = 1;
        }
    }
    return rc;
}

static int16_t refused_all(const struct produce *p)
{
    if (p->body->acks < -1 || p->body->acks > 1)
        return KAFKA_INVALID_REQUIRED_ACKS;
    if (p->body->transactional_id.n >= 0)
        return KAFKA_INVALID_TXN_STATE;
    return KAFKA_NONE;
}

/* Appends from where it stopped; false: the store wants a pause. */
static bool append_rest(struct produce *p)
{
    int16_t all = refused_all(p);
    for (; p->topic < p->body->topic_data.n; p->topic++, p->partition = 0) {
        const struct wire_produce_request_topic_data *t = &p->body->topic_data.v[p->topic];
        for (; p->partition < t->partition_data.n; p->partition++) {
            const struct wire_produce_request_partition_data *d = &t->partition_data.v[p->partition];
            struct wire_produce_response_partition *a =
                &p->resp.responses.v[p->topic].partition_responses.v[p->partition];
            bool busy = false;
            int16_t rc = all ? all : append_one(p, t, d, a, &busy);
            if (busy && os_mono_ns(p->r->api->c.os) < p->deadline_ns)
                return false;
            if (rc == KAFKA_NONE)
                continue;
            p->failed = true;
            a->error_code = rc;
            a->base_offset = -1;
        }
    }
    return true;
}

static void run(void *arg)
{
    struct api_req *r = arg;
    struct produce *p = r->state;
    int64_t now = os_mono_ns(r->api->c.os);
    if (!append_rest(p)) {
        r->timer = (struct chronik_task){.fn = run, .arg = r};
        net_mute(r->net->conn, now + RETRY_NS);
        os_exec_post_at(r->loop->exec, &r->timer, now + RETRY_NS);
        return;
    }
    if (__atomic_sub_fetch(&p->pending, 1, __ATOMIC_ACQ_REL) == 0) {
        finish(p);
        return;
    }
    net_frame_release(r->net);
    r->timer = (struct chronik_task){.fn = timed_out, .arg = r};
    os_exec_post_at(r->loop->exec, &r->timer, max_i64(p->deadline_ns, now));
}

/* The whole answer, filled with names and indexes. */
static bool prepare(struct produce *p)
{
    struct api_req *r = p->r;
    const struct wire_produce_request *q = p->body;
    int32_t n = 0;
    p->resp = wire_produce_response_default;
    p->resp.responses.v = api_array(r, struct wire_produce_response_topic, q->topic_data.n);
    if (!p->resp.responses.v)
        return false;
    p->resp.responses.n = q->topic_data.n;
    for (int32_t i = 0; i < q->topic_data.n; i++) {
        const struct wire_produce_request_topic_data *t = &q->topic_data.v[i];
        struct wire_produce_response_topic *a = &p->resp.responses.v[i];
        a->name = api_str_copy(r, t->name);
        a->topic_id = t->topic_id;
        a->partition_responses.v = api_array(r, struct wire_produce_response_partition, t->partition_data.n);
        if (!a->partition_responses.v)
            return false;
        a->partition_responses.n = t->partition_data.n;
        n += t->partition_data.n;
        for (int32_t k = 0; k < t->partition_data.n; k++) {
            a->partition_responses.v[k] = wire_produce_response_partition_default;
            a->partition_responses.v[k].index = t->partition_data.v[k].index;
        }
    }
    p->parts = api_array(r, struct produce_part, n);
    return p->parts != NULL;
}

static void handle(struct api_req *r, const void *body)
{
    struct produce *p = arena_calloc(&r->arena, 1, sizeof *p);
    if (!p || (p->r = r, p->body = body, !prepare(p))) {
        api_drop(r, "out of memory for a produce request");
        return;
    }
    p->pending = 1;
    p->deadline_ns = os_mono_ns(r->api->c.os) + max_i64(p->body->timeout_ms, 0) * INT64_C(1000000);
    r->state = p;
    r->task = (struct chronik_task){.fn = completed, .arg = r};
    run(r);
}

const struct api_row api_produce = {.key = WIRE_API_PRODUCE, .handle = handle};
