/* produce.c: Produce (0). The requests of one receive gather on their loop; then the batches for a partition are
 * appended together, and each request waits, without a thread, until all of its own are behind their high watermarks.
 * A store that is short of room makes the connection pause, and the append is tried again before anything newer. */
#include "api/rows.h"
#include "api/api.h"

enum { RETRY_NS = 2000000, GROUPS = 128 };

/* A partition's batch in a request. */
struct produce_part {
    struct part_append append;
    struct part_wait wait;
    struct part *part; /* NULL: refused before it came so far */
    struct wire_produce_response_partition *answer;
    struct produce *produce;
    struct produce_part *tail;         /* of a group's first: its last */
    struct produce_part *chain, *next; /* of a group's first: in its bucket, and in order of arrival */
    int16_t error;                     /* of the wait; written before `pending` falls */
    bool done;                         /* appended or refused for good */
};

struct produce {
    struct api_req *r;
    const struct wire_produce_request *body;
    struct wire_produce_response resp;
    struct produce_part *parts;
    int32_t n;
    int32_t pending; /* atomic: waits that have not fired, plus one while appending */
    bool failed;
    int64_t deadline_ns;
};

static void finish(struct produce *p)
{
    struct api_req *r = p->r;
    os_exec_cancel(r->loop->exec, &r->timer);
    for (int32_t i = 0; i < p->n; i++) {
        struct produce_part *one = &p->parts[i];
        if (one->part)
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

static void produce_resume(void *loop);

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
        if (p->parts[i].part && part_wait_cancel(p->parts[i].part, &p->parts[i].wait)) {
            p->parts[i].error = KAFKA_REQUEST_TIMED_OUT;
            canceled++;
        }
    if (canceled && __atomic_sub_fetch(&p->pending, canceled, __ATOMIC_ACQ_REL) == 0)
        finish(p);
}

/* Clients learn of the leader with the error (KIP-951). */
static void name_leader(struct part *part, struct wire_produce_response_partition *a)
{
    struct part_view v;
    part_look(part, &v);
    a->current_leader.leader_id = v.leader;
    a->current_leader.leader_epoch = v.leader_epoch;
}

static void refuse(struct produce_part *one, int16_t error)
{
    one->produce->failed = true;
    one->answer->error_code = error;
    one->answer->base_offset = -1;
    one->done = true;
}

static void tell_records(struct api_req *r, const struct part_append *ap, struct wire_produce_response_partition *a)
{
    a->record_errors.v = api_array(r, struct wire_produce_response_batch_index_and_error_message, ap->n_record_errors);
    for (int32_t i = 0; a->record_errors.v && i < ap->n_record_errors; i++)
        a->record_errors.v[a->record_errors.n++] = (struct wire_produce_response_batch_index_and_error_message){
            .batch_index = ap->record_errors[i].index,
            .batch_index_error_message = wire_str(ap->record_errors[i].message)};
}

/* What became of the append. false: the store wants a pause. */
static bool conclude_part(struct produce_part *one, int64_t now)
{
    const struct part_append *ap = &one->append;
    const struct api_req *r = one->produce->r;
    struct wire_produce_response_partition *a = one->answer;
    if (ap->error != KAFKA_NONE || !ap->waiting)
        __atomic_sub_fetch(&one->produce->pending, 1, __ATOMIC_RELAXED);
    if (ap->busy && now < one->produce->deadline_ns)
        return false;
    one->done = true;
    if (ap->error == KAFKA_NONE) {
        a->base_offset = ap->base_offset;
        a->log_append_time_ms = ap->log_append_time;
        a->log_start_offset = ap->log_start;
        return true;
    }
    refuse(one, ap->error);
    if (ap->error == KAFKA_NOT_LEADER_OR_FOLLOWER && r->version >= 10)
        name_leader(one->part, a);
    a->error_message = wire_str(ap->message);
    if (!ap->early)
        a->log_start_offset = ap->log_start;
    if (ap->n_record_errors && r->version >= 8)
        tell_records(one->produce->r, ap, a);
    return true;
}

/* ---- appending what gathered ---- */

/* The batches of several requests by partition: a group's are linked through their appends. */
struct groups {
    struct produce_part *first, *last, *bucket[GROUPS];
};

static void group_add(struct groups *g, struct produce_part *one)
{
    struct produce_part **bucket = &g->bucket[((uintptr_t)one->part >> 6) % GROUPS], *head = *bucket;
    while (head && head->part != one->part)
        head = head->chain;
    one->append.next = NULL;
    if (head) {
        head->tail->append.next = &one->append;
        head->tail = one;
        return;
    }
    one->tail = one;
    one->next = NULL;
    one->chain = *bucket;
    *bucket = one;
    if (g->last)
        g->last->next = one;
    else
        g->first = one;
    g->last = one;
}

static void gather(struct groups *g, struct produce *p)
{
    for (int32_t i = 0; i < p->n; i++) {
        struct produce_part *one = &p->parts[i];
        if (one->done)
            continue;
        __atomic_add_fetch(&p->pending, 1, __ATOMIC_RELAXED);
        group_add(g, one);
    }
}

static void list_add(struct api_req_list *l, struct api_req *r)
{
    r->next = NULL;
    if (l->last)
        l->last->next = r;
    else
        l->first = r;
    l->last = r;
}

/* It goes in again in a moment; until then nothing is taken up from its connection that could overtake it. */
static void try_again(struct produce *p, int64_t now)
{
    struct api_loop *l = p->r->loop;
    if (!l->paused.first) {
        l->resume = (struct chronik_task){.fn = produce_resume, .arg = l};
        os_exec_post_at(l->exec, &l->resume, now + RETRY_NS);
    }
    list_add(&l->paused, p->r);
    net_mute(p->r->net->conn, now + RETRY_NS);
}

static void conclude(struct produce *p, int64_t now)
{
    struct api_req *r = p->r;
    bool all = true;
    for (int32_t i = 0; i < p->n; i++)
        if (!p->parts[i].done)
            all &= conclude_part(&p->parts[i], now);
    if (!all) {
        try_again(p, now);
    } else if (__atomic_sub_fetch(&p->pending, 1, __ATOMIC_ACQ_REL) == 0) {
        finish(p);
    } else {
        net_frame_release(r->net);
        r->timer = (struct chronik_task){.fn = timed_out, .arg = r};
        os_exec_post_at(r->loop->exec, &r->timer, max_i64(p->deadline_ns, now));
    }
}

void produce_gathered(struct api_loop *l)
{
    struct api_req *r = l->gathered.first;
    if (!r)
        return;
    struct groups g = {0};
    l->gathered = (struct api_req_list){NULL, NULL};
    for (struct api_req *at = r; at; at = at->next)
        gather(&g, at->state);
    for (struct produce_part *one = g.first; one; one = one->next)
        part_append_batches(one->part, &one->append);
    int64_t now = os_mono_ns(l->api->c.os);
    for (struct api_req *next; r; r = next) {
        next = r->next;
        r->next = NULL;
        conclude(r->state, now);
    }
}

/* What had to pause goes before what gathered meanwhile. */
static void produce_resume(void *arg)
{
    struct api_loop *l = arg;
    if (l->gathered.first)
        l->paused.last->next = l->gathered.first;
    else
        l->gathered.last = l->paused.last;
    l->gathered.first = l->paused.first;
    l->paused = (struct api_req_list){NULL, NULL};
    produce_gathered(l);
}

/* ---- taking up a request ---- */

static int16_t refused_all(const struct produce *p)
{
    if (p->body->acks < -1 || p->body->acks > 1)
        return KAFKA_INVALID_REQUIRED_ACKS;
    if (p->body->transactional_id.n >= 0)
        return KAFKA_INVALID_TXN_STATE;
    return KAFKA_NONE;
}

/* Told before a wrong number of acks, as Kafka has it. */
static bool zstd_too_early(const struct produce *p, const struct wire_produce_request_partition_data *d)
{
    struct batch_head h;
    if (p->r->version >= 7 || d->records.n < BATCH_HEAD)
        return false;
    batch_head_read(d->records.p, &h);
    return (h.attributes & BATCH_CODEC_MASK) == CODEC_ZSTD;
}

static void prepare_part(struct produce *p, const struct wire_produce_request_topic_data *t,
                         const struct wire_produce_request_partition_data *d, struct wire_produce_response_partition *a,
                         int16_t refused)
{
    struct produce_part *one = &p->parts[p->n++];
    one->produce = p;
    one->answer = a;
    int16_t rc = api_part(p->r, p->r->version >= 13 ? NULL : &t->name, &t->topic_id, d->index, &one->part);
    if (rc == KAFKA_NONE && refused != KAFKA_NONE) { /* after what is wrong with the topic, as Kafka */
        part_unref(one->part);
        rc = zstd_too_early(p, d) ? KAFKA_UNSUPPORTED_COMPRESSION_TYPE : refused;
    }
    if (rc != KAFKA_NONE) {
        one->part = NULL;
        refuse(one, rc);
        return;
    }
    one->wait = (struct part_wait){.fn = reached, .arg = one};
    one->append.batches = d->records.p;
    one->append.scratch = &p->r->loop->scratch;
    one->append.arena = &p->r->arena;
    one->append.n = d->records.n > 0 ? (size_t)d->records.n : 0;
    one->append.acks = p->body->acks;
    one->append.api_version = p->r->version;
    one->append.wait = &one->wait;
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

static void prepare_parts(struct produce *p)
{
    int16_t refused = refused_all(p);
    for (int32_t i = 0; i < p->body->topic_data.n; i++) {
        const struct wire_produce_request_topic_data *t = &p->body->topic_data.v[i];
        for (int32_t k = 0; k < t->partition_data.n; k++)
            prepare_part(p, t, &t->partition_data.v[k], &p->resp.responses.v[i].partition_responses.v[k], refused);
    }
}

bool produce_is_silent(const void *body)
{
    return ((const struct wire_produce_request *)body)->acks == 0;
}

static void handle(struct api_req *r, const void *body)
{
    struct produce *p = arena_calloc(&r->arena, 1, sizeof *p);
    if (!p || (p->r = r, p->body = body, !prepare(p))) {
        static const char why[] = "out of memory for a produce request";
        produce_is_silent(body) ? api_drop(r, why) : api_no_memory(r, why);
        return;
    }
    p->pending = 1;
    p->deadline_ns = os_mono_ns(r->api->c.os) + max_i64(p->body->timeout_ms, 0) * INT64_C(1000000);
    r->state = p;
    r->task = (struct chronik_task){.fn = completed, .arg = r};
    prepare_parts(p);
    list_add(&r->loop->gathered, r);
}

const struct api_row api_produce = {.key = WIRE_API_PRODUCE, .handle = handle};
