/* api.c: the way of a frame: header, version check, decoding, the handler's row; and the way back. Requests are pooled
 * a loop; everything runs on the request's loop. */
#include "api/api.h"

#include "api/commit_queue.h"
#include "api/fetch_session.h"
#include "api/meta_topic.h"
#include "api/order.h"
#include "api/producer_ids.h"
#include "api/rows.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

LOG_SUBSYSTEM("api");

enum { POOLED_REQUESTS = 256, ARENA_LIMIT = 256 << 20, KEEP_OUT = 64 << 10 };

/* ---- the pool ---- */

static struct api_req *req_take(struct api_loop *l)
{
    struct api_req *r = l->free;
    if (r) {
        l->free = r->next;
        l->n_free--;
        r->next = NULL;
        return r;
    }
    r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    arena_init(&r->arena, ARENA_LIMIT);
    r->api = l->api;
    r->loop = l;
    return r;
}

static void req_free(struct api_req *r)
{
    arena_free(&r->arena);
    wire_out_free(&r->out);
    free(r);
}

static void req_give(struct api_req *r)
{
    struct api_loop *l = r->loop;
    if (l->n_free >= POOLED_REQUESTS) {
        req_free(r);
        return;
    }
    arena_reset(&r->arena);
    wire_out_reset(&r->out);
    wire_out_trim(&r->out, KEEP_OUT);
    *r = (struct api_req){.api = l->api, .loop = l, .arena = r->arena, .out = r->out, .next = l->free};
    l->free = r;
    l->n_free++;
}

/* ---- ending ---- */

static void observe(struct api_req *r)
{
    metric_observe(r->api->latency[r->key], os_mono_ns(r->api->c.os) - r->net->received_ns);
}

static void answer_sent(void *arg)
{
    struct api_req *r = arg;
    if (r->sent)
        r->sent(r);
    req_give(r);
}

/* Memory pieces and inserts (ranges kept by the handler as struct net_seg lists) in order. */
static struct net_seg *make_segments(struct api_req *r, uint32_t *n)
{
    struct wire_out *o = &r->out;
    uint32_t most = 1;
    for (uint32_t i = 0; i < o->n_inserts; i++)
        most += 1 + ((const struct api_ranges *)o->inserts[i].ref)->n;
    struct net_seg *segs = api_array(r, struct net_seg, most);
    size_t at = 0;
    *n = 0;
    if (!segs)
        return NULL;
    for (uint32_t i = 0; i < o->n_inserts; i++) {
        const struct wire_insert *in = &o->inserts[i];
        const struct api_ranges *g = in->ref;
        if (in->at > at)
            segs[(*n)++] = (struct net_seg){.p = o->p + at, .n = in->at - at};
        at = in->at;
        for (uint32_t k = 0; k < g->n; k++)
            segs[(*n)++] = g->v[k];
    }
    if (o->n > at)
        segs[(*n)++] = (struct net_seg){.p = o->p + at, .n = o->n - at};
    return segs;
}

static void send_out(struct api_req *r)
{
    uint32_t n;
    struct net_seg *segs = make_segments(r, &n);
    if (!segs) {
        api_drop(r, "out of memory for an answer");
        return;
    }
    observe(r);
    order_ended(r);
    net_answer(r->net, segs, n, answer_sent, r);
}

void api_answer(struct api_req *r, const void *response)
{
    struct err e = {0};
    const struct wire_api *w = wire_api(r->key);
    wire_out_reset(&r->out);
    if (wire_put_response_header(&r->out, w, r->version, r->correlation) < 0 ||
        wire_encode(w->response, r->version, response, &r->out, &e) < 0) {
        log_error("%s version %d to %s: the answer could not be encoded: %s", w->name, r->version,
                  net_conn_peer(r->net->conn), e.text);
        api_drop(r, "an answer could not be encoded");
        return;
    }
    send_out(r);
}

void api_no_answer(struct api_req *r)
{
    observe(r);
    order_ended(r);
    net_no_answer(r->net);
    answer_sent(r);
}

void api_drop(struct api_req *r, const char *why)
{
    order_ended(r);
    net_drop(r->net, why);
    answer_sent(r);
}

/* The answer's field for an error of the whole, in the version of the request; NULL when it has none. */
static const struct wire_field *error_field(const struct api_req *r)
{
    const struct wire_struct *root = wire_api(r->key)->response->root;
    for (unsigned i = 0; i < root->n_fields; i++) {
        const struct wire_field *f = &root->fields[i];
        if (strcmp(f->name, "error_code") == 0 && r->version >= f->min && r->version <= f->max)
            return f;
    }
    return NULL;
}

/* The answers to these have an error for each element alone. */
static void refuse_elements(struct api_req *r, const char *why)
{
    struct wire_request_head h;
    struct err e = {0};
    const struct wire_api *w = wire_api(r->key);
    bool can = r->key == WIRE_API_PRODUCE || r->key == WIRE_API_LIST_OFFSETS;
    wire_out_reset(&r->out);
    arena_reset(&r->arena); /* what the handler had begun is of no use any more */
    if (can && r->net->frame && wire_get_request_header(r->net->frame, r->net->n, &h, &e) > 0 &&
        wire_put_response_header(&r->out, w, r->version, r->correlation) > 0 &&
        wire_refuse(w, r->version, h.body, h.body_n, h.body_n + r->net->dropped, KAFKA_UNKNOWN_SERVER_ERROR, &r->out) >
            0) {
        log_warn("%s from %s is answered with errors: %s", w->name, net_conn_peer(r->net->conn), why);
        send_out(r);
        return;
    }
    api_drop(r, why);
}

void api_no_memory(struct api_req *r, const char *why)
{
    const struct wire_msg *m = wire_api(r->key)->response;
    const struct wire_field *f = error_field(r);
    _Alignas(16) char body[512];
    if (!f || m->size > sizeof body) {
        refuse_elements(r, why);
        return;
    }
    static const int16_t code = KAFKA_UNKNOWN_SERVER_ERROR;
    log_warn("%s from %s is answered with an error: %s", wire_api(r->key)->name, net_conn_peer(r->net->conn), why);
    wire_set_defaults(m, body);
    memcpy(body + f->offset, &code, sizeof code);
    api_answer(r, body);
}

/* ---- the way in ---- */

/* A version that is not offered: ApiVersions is answered in version 0 with error 35 and the supported range (KIP-511);
 * any other key has no version in which an answer could be understood. */
static void refuse_version(struct api_req *r)
{
    if (r->key != WIRE_API_API_VERSIONS) {
        char why[96];
        snprintf(why, sizeof why, "it sent version %d of API key %d, which is not offered", r->version, r->key);
        api_drop(r, why);
        return;
    }
    r->version = 0;
    struct wire_api_versions_response resp = wire_api_versions_response_default;
    resp.error_code = KAFKA_UNSUPPORTED_VERSION;
    static struct wire_api_versions_response_api_version own;
    const struct wire_api *w = wire_api(WIRE_API_API_VERSIONS);
    own.api_key = WIRE_API_API_VERSIONS;
    own.min_version = w->min;
    own.max_version = w->max;
    resp.api_keys.v = &own;
    resp.api_keys.n = 1;
    api_answer(r, &resp);
}

static void dispatch(struct api_req *r, const struct wire_request_head *h)
{
    struct err e = {0};
    const struct wire_api *w = wire_api(r->key);
    void *body = arena_alloc(&r->arena, w->request->root->size);
    if (!body) {
        static const char why[] = "out of memory for a request";
        r->key == WIRE_API_PRODUCE ? api_drop(r, why) : api_no_memory(r, why); /* who knows whether it waits */
        return;
    }
    size_t used = 0; /* what follows is ignored, as Kafka does */
    int32_t rc = wire_decode_prefix(w->request, r->version, h->body, h->body_n, &r->arena, body, &used, &e);
    if (rc == CHRONIK_E_NOMEM || r->net->dropped) {
        static const char why[] = "out of memory for a large request";
        bool silent = r->key == WIRE_API_PRODUCE && produce_is_silent(body); /* it stands before the arrays */
        silent ? api_drop(r, why) : api_no_memory(r, why);
        return;
    }
    if (rc < 0) {
        char why[sizeof e.text + 64];
        snprintf(why, sizeof why, "its %s request does not decode: %s", w->name, e.text);
        api_drop(r, why);
        return;
    }
    if (r->key != WIRE_API_PRODUCE)
        produce_gathered(r->loop); /* a client sees its own writes */
    r->row->handle(r, body);
}

/* A request that has waited, at the gate or for its turn. */
static void begin_later(struct api_req *r)
{
    struct wire_request_head h;
    struct err e = {0};
    CHECK(wire_get_request_header(r->net->frame, r->net->n, &h, &e) > 0);
    dispatch(r, &h);
}

/* ---- the gate: a broker that starts listens before it knows its topics ---- */

static void open_gate(void *arg)
{
    struct api_loop *l = arg;
    l->open = true;
    while (l->gate) {
        struct api_req *r = l->gate;
        l->gate = r->next;
        r->next = NULL;
        r->cancel = NULL;
        if (order_must_wait(r))
            order_wait(r);
        else
            begin_later(r);
    }
    l->gate_tail = NULL;
    produce_gathered(l);
}

/* The peer is gone, or the broker stops before it was open. */
static void leave_gate(struct api_req *r)
{
    struct api_loop *l = r->loop;
    struct api_req **at = &l->gate, *before = NULL;
    while (*at != r) {
        before = *at;
        at = &before->next;
    }
    *at = r->next;
    if (l->gate_tail == r)
        l->gate_tail = before;
    r->next = NULL;
    api_drop(r, "the broker is not open yet");
}

static void wait_at_gate(struct api_req *r)
{
    r->cancel = leave_gate;
    struct api_loop *l = r->loop;
    if (l->gate_tail)
        l->gate_tail->next = r;
    else
        l->gate = r;
    l->gate_tail = r;
}

void api_open(struct api *a)
{
    for (uint32_t i = 0; i < a->n_loops; i++)
        os_exec_post(a->loops[i].exec, &a->loops[i].open_task);
}

static void on_request(void *arg, struct net_req *n)
{
    struct api *a = arg;
    struct api_req *r = req_take(&a->loops[n->loop_no]);
    if (!r) {
        net_drop(n, "out of memory for a request");
        return;
    }
    r->net = n;
    n->user = r;
    struct wire_request_head h;
    struct err e = {0};
    int32_t rc = wire_get_request_header(n->frame, n->n, &h, &e);
    if (rc == CHRONIK_E_CORRUPT) {
        api_drop(r, e.text);
        return;
    }
    r->version = h.version;
    r->correlation = h.correlation;
    r->client_id = h.client_id;
    r->row = rc == CHRONIK_E_UNSUPPORTED ? NULL : a->rows[h.key];
    if (!r->row) {
        char why[96];
        snprintf(why, sizeof why, "it asked for API key %d, which is not offered", h.key);
        api_drop(r, why);
        return;
    }
    r->key = h.key;
    if (rc == CHRONIK_E_VERSION || !api_offers(r->row, h.version))
        refuse_version(r);
    else if (!r->loop->open && r->key != WIRE_API_API_VERSIONS)
        wait_at_gate(r);
    else if (order_must_wait(r))
        order_wait(r);
    else
        dispatch(r, &h);
}

static void on_received(void *arg, uint32_t loop_no)
{
    struct api *a = arg;
    produce_gathered(&a->loops[loop_no]);
}

static void on_canceled(void *arg, struct net_req *n)
{
    struct api_req *r = n->user;
    r->gone = true;
    if (r->cancel)
        r->cancel(r);
}

/* Nothing is kept a connection. */
static void on_conn(void *arg, struct net_conn *c)
{
}

void api_handler(struct api *a, struct net_handler *out)
{
    *out = (struct net_handler){.arg = a,
                                .request = on_request,
                                .conn_opened = on_conn,
                                .conn_closed = on_conn,
                                .canceled = on_canceled,
                                .received = on_received};
}

/* ---- life ---- */

void api_range(const struct api_row *row, int16_t *min, int16_t *max)
{
    const struct wire_api *w = wire_api(row->key);
    *min = row->min || row->max ? row->min : w->min;
    *max = row->min || row->max ? row->max : w->max;
}

bool api_offers(const struct api_row *row, int16_t version)
{
    int16_t min, max;
    api_range(row, &min, &max);
    return version >= min && version <= max;
}

struct api *api_new(const struct api_config *c)
{
    struct api *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->c = *c;
    for (const struct api_row *const *row = api_rows; *row; row++) {
        char labels[96];
        CHECK(!a->rows[(*row)->key]);
        a->rows[(*row)->key] = *row;
        snprintf(labels, sizeof labels, "api=\"%s\"", wire_api((*row)->key)->name);
        a->latency[(*row)->key] = metric_get(METRIC_HISTOGRAM, "request_seconds", labels,
                                             "Time from the whole request's arrival until its answer is handed over");
    }
    a->sessions =
        fetch_sessions_new(c->os, (uint32_t)config_i64(c->config, CFG_MAX_INCREMENTAL_FETCH_SESSION_CACHE_SLOTS));
    a->producer_ids = producer_ids_new(a);
    a->commits = commit_queue_new(a);
    a->meta_log = meta_log_new(c->node_id);
    if (!a->sessions || !a->producer_ids || !a->commits || !a->meta_log) {
        api_free(a);
        return NULL;
    }
    return a;
}

int32_t api_start(struct api *a, struct net *net, struct err *e)
{
    a->net = net;
    a->n_loops = net_loops(net);
    a->loops = calloc(a->n_loops, sizeof *a->loops);
    if (!a->loops)
        return err_set(e, CHRONIK_E_NOMEM, "out of memory for the request loops");
    for (uint32_t i = 0; i < a->n_loops; i++) {
        struct api_loop *l = &a->loops[i];
        *l = (struct api_loop){.api = a, .no = i, .exec = net_loop(net, i)};
        l->open_task = l->gate_timer = (struct chronik_task){.fn = open_gate, .arg = l};
        commit_queue_attach(l);
        order_attach(l, begin_later, produce_gathered);
    }
    return CHRONIK_DONE;
}

int32_t api_set_meta(struct api *a, struct meta *meta, struct err *e)
{
    int64_t late = os_mono_ns(a->c.os) + a->c.gate_ns;
    a->c.meta = meta;
    meta_log_attach(a->meta_log, meta);
    for (uint32_t i = 0; i < a->n_loops; i++) {
        struct api_loop *l = &a->loops[i];
        l->reader = meta_reader_open(meta);
        if (!l->reader)
            return err_set(e, CHRONIK_E_NOMEM, "out of memory for the request loops");
        os_exec_post_at(l->exec, &l->gate_timer, late);
    }
    return CHRONIK_DONE;
}

static void drain_loop(void *arg)
{
    struct api_loop *l = arg;
    for (struct api_req *r = l->parked, *next; r; r = next) {
        next = r->next;
        os_exec_post_at(l->exec, &r->timer, 0);
    }
}

void api_drain(struct api *a)
{
    __atomic_store_n(&a->draining, true, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < a->n_loops; i++) {
        a->loops[i].drain = (struct chronik_task){.fn = drain_loop, .arg = &a->loops[i]};
        os_exec_post(a->loops[i].exec, &a->loops[i].drain);
    }
}

void api_free(struct api *a)
{
    if (!a)
        return;
    for (uint32_t i = 0; a->loops && i < a->n_loops; i++) {
        for (struct api_req *r = a->loops[i].free, *next; r; r = next) {
            next = r->next;
            req_free(r);
        }
        part_scratch_free(&a->loops[i].scratch);
        if (a->loops[i].reader)
            meta_reader_close(a->loops[i].reader);
    }
    free(a->loops);
    fetch_sessions_free(a->sessions);
    producer_ids_free(a->producer_ids);
    commit_queue_free(a->commits);
    meta_log_free(a->meta_log);
    free(a);
}
