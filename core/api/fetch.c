/* fetch.c: Fetch (1). One attempt reads every partition without copying; when too little is there the request waits on
 * the partitions' lists and tries again when bytes arrived or its time is over. Runs on the request's loop; it is woken
 * from other threads by part_fetch.fire. */
#include "api/rows.h"
#include "api/api.h"
#include "api/fetch_session.h"
#include "api/meta_topic.h"
#include "plugin/host.h"

#include <stdlib.h>

enum { RANGES_A_PARTITION = 8 };

/* What a request needs for __meta: its records are made on a worker, before the attempt that sends them. */
struct fetch_meta {
    struct meta_log_wait wait;
    struct batch_build build;
    const uint8_t *p; /* NULL: nothing was made */
    size_t n;
    int16_t error;
    uint64_t seen;
};

/* One partition in an attempt. */
struct fetch_part {
    struct fetch_item *item;
    struct part *part; /* NULL: __meta, or `error` says why */
    struct fetch_meta *meta;
    struct part_read read;
    struct part_fetch_node node;
    int16_t error;
    struct api_ranges ranges;
    struct net_seg segs[RANGES_A_PARTITION];
};

struct fetch {
    struct part_fetch wait;
    struct api_req *r;
    struct fetch_session *session; /* always there; a throw-away one when the client wants none */
    bool sessionless;              /* the session is this request's own */
    bool full;                     /* name every partition in the answer */
    int32_t min_bytes, max_bytes, max_wait_ms;
    bool read_committed;
    uint32_t n;
    struct fetch_part *parts;
    uint64_t bytes;
    bool urgent; /* an error or a divergence: answer at once */
    bool cold;   /* the attempt would have to wait for a disk */
    int64_t deadline_ns;
    bool over, parked;
    bool has_meta; /* __meta is asked for */
};

/* ---- releasing ---- */

static void drop_pins(struct fetch *f)
{
    for (uint32_t i = 0; i < f->n; i++) {
        struct fetch_part *p = &f->parts[i];
        if (p->part && p->read.pin)
            part_release(p->part, p->read.pin);
        p->read.pin = NULL;
    }
}

static void release(struct fetch *f)
{
    drop_pins(f);
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->parts[i].part)
            part_unref(f->parts[i].part);
        if (f->parts[i].meta)
            batch_build_free(&f->parts[i].meta->build);
    }
    f->n = 0;
}

static void session_done(struct fetch *f)
{
    if (!f->session)
        return;
    if (f->sessionless)
        fetch_session_drop_private(f->session);
    else
        fetch_session_give(f->r->api->sessions, f->session);
    f->session = NULL;
}

static void sent(struct api_req *r)
{
    release(r->state);
}

/* ---- one attempt ---- */

static void read_meta(struct fetch *f, struct fetch_part *p, uint64_t left)
{
    struct fetch_meta *m = p->meta;
    struct part_view *v = &p->read.view;
    p->error = meta_log_look(f->r->api->meta_log, p->item->partition, p->item->leader_epoch, v, &m->seen);
    if (p->error == KAFKA_NONE && (p->item->offset < v->log_start || p->item->offset > v->high_watermark))
        p->error = KAFKA_OFFSET_OUT_OF_RANGE;
    if (p->error == KAFKA_NONE)
        p->error = m->error;
    if (p->error == KAFKA_NONE && m->p && (m->n <= left || f->bytes == 0))
        p->read.bytes = m->n;
    f->bytes += p->read.bytes;
}

static void read_one(struct fetch *f, struct fetch_part *p, uint64_t left, bool may_wait)
{
    const struct fetch_item *i = p->item;
    p->read = (struct part_read){
        .offset = i->offset,
        .leader_epoch = i->leader_epoch,
        .last_fetched_epoch = i->last_fetched_epoch,
        .max_bytes = min_size((size_t)max_i64(i->max_bytes, 0), left),
        .min_one = f->bytes == 0,
        .read_committed = f->read_committed,
        .may_wait = may_wait,
        .view = {.high_watermark = -1, .log_start = -1, .last_stable = -1, .leader = -1, .leader_epoch = -1},
        .diverging_epoch = -1,
    };
    if (p->meta)
        read_meta(f, p, left);
    if (!p->part)
        return;
    p->error = part_read(p->part, &p->read);
    f->bytes += p->read.bytes;
}

static void attempt(struct fetch *f, bool may_wait)
{
    f->bytes = 0;
    f->urgent = f->cold = false;
    for (uint32_t k = 0; k < f->n && !f->cold; k++) {
        struct fetch_part *p = &f->parts[(f->session->first + k) % f->n];
        uint64_t left = f->bytes >= (uint64_t)f->max_bytes ? 0 : (uint64_t)f->max_bytes - f->bytes;
        read_one(f, p, left, may_wait);
        f->cold = p->read.cold;
        f->urgent |= p->error != KAFKA_NONE || p->read.diverging_epoch >= 0;
    }
}

/* ---- the answer ---- */

static struct wire_records records_of(struct fetch_part *p)
{
    if (p->read.bytes == 0)
        return (struct wire_records){NULL, 0, NULL};
    if (p->meta) {
        p->segs[0] = (struct net_seg){.p = p->meta->p, .n = p->meta->n};
        p->ranges = (struct api_ranges){p->segs, 1};
    }
    for (uint32_t k = 0; k < p->read.n_ranges; k++) {
        const struct chronik_range *g = &p->read.ranges[k];
        p->segs[k] = (struct net_seg){.p = g->p, .file = plugin_file(g->file), .off = g->offset, .n = g->n};
    }
    if (!p->meta)
        p->ranges = (struct api_ranges){p->segs, p->read.n_ranges};
    return (struct wire_records){NULL, (int32_t)p->read.bytes, &p->ranges};
}

/* Whether an incremental answer must name this partition. */
static bool has_news(const struct fetch *f, const struct fetch_part *p)
{
    const struct part_view *v = &p->read.view;
    return f->full || p->error || p->read.bytes || p->read.diverging_epoch >= 0 ||
           v->high_watermark != p->item->told_hw || v->log_start != p->item->told_log_start;
}

static void fill_partition(struct fetch *f, struct fetch_part *p, struct wire_fetch_response_partition *a)
{
    *a = wire_fetch_response_partition_default;
    a->partition_index = p->item->partition;
    a->error_code = p->error;
    a->high_watermark = p->error ? -1 : p->read.view.high_watermark;
    a->last_stable_offset = p->error ? -1 : p->read.view.last_stable;
    a->log_start_offset = p->error ? -1 : p->read.view.log_start;
    bool unknown = p->error == KAFKA_UNKNOWN_TOPIC_OR_PARTITION || p->error == KAFKA_UNKNOWN_TOPIC_ID;
    /* Told as null where the first batch did not fit into what was left of the answer, or the logs part. */
    bool too_big = !p->read.bytes && p->read.max_bytes > 0 && p->item->offset < p->read.view.last_stable;
    bool unread = too_big || p->read.diverging_epoch >= 0;
    a->aborted_transactions.n = unknown || (f->read_committed && !p->error && !unread) ? 0 : -1;
    a->records = records_of(p);
    if (p->read.diverging_epoch >= 0) {
        a->diverging_epoch.epoch = p->read.diverging_epoch;
        a->diverging_epoch.end_offset = p->read.diverging_end;
    }
    bool moved = p->error == KAFKA_NOT_LEADER_OR_FOLLOWER || p->error == KAFKA_FENCED_LEADER_EPOCH;
    if (moved && f->r->version >= 12) {
        a->current_leader.leader_id = p->read.view.leader;
        a->current_leader.leader_epoch = p->read.view.leader_epoch;
    }
    p->item->told_hw = p->error ? -1 : p->read.view.high_watermark;
    p->item->told_log_start = p->error ? -1 : p->read.view.log_start;
}

static bool same_topic(const struct fetch *f, const struct fetch_item *a, const struct fetch_item *b)
{
    if (f->session->ids)
        return memcmp(a->topic_id.b, b->topic_id.b, sizeof a->topic_id.b) == 0;
    return a->topic_n == b->topic_n && memcmp(a->topic, b->topic, (size_t)a->topic_n) == 0;
}

static bool build(struct fetch *f, struct wire_fetch_response *resp)
{
    struct api_req *r = f->r;
    struct wire_fetch_response_topic *topics = api_array(r, struct wire_fetch_response_topic, f->n);
    struct wire_fetch_response_partition *parts = api_array(r, struct wire_fetch_response_partition, f->n);
    if (!topics || !parts)
        return false;
    const struct fetch_item *last = NULL;
    uint32_t n_parts = 0;
    *resp = wire_fetch_response_default;
    resp->responses.v = topics;
    for (uint32_t k = 0; k < f->n; k++) {
        uint32_t at = (f->session->first + k) % f->n;
        struct fetch_part *p = &f->parts[at];
        if (!has_news(f, p))
            continue;
        if (!last || !same_topic(f, last, p->item)) {
            struct wire_fetch_response_topic *t = &topics[resp->responses.n++];
            t->topic = api_str_copy(r, (struct wire_str){p->item->topic, p->item->topic_n});
            t->topic_id = p->item->topic_id;
            t->partitions.v = &parts[n_parts];
        }
        struct wire_fetch_response_topic *t = &topics[resp->responses.n - 1];
        fill_partition(f, p, &t->partitions.v[t->partitions.n++]);
        n_parts++;
        last = p->item;
    }
    resp->session_id = f->sessionless ? 0 : f->session->id;
    return true;
}

/* The next answer begins behind the last partition that gave records. */
static void rotate(struct fetch *f)
{
    for (uint32_t k = f->n; k-- > 0;) {
        uint32_t at = (f->session->first + k) % f->n;
        if (f->parts[at].read.bytes) {
            f->session->first = (at + 1) % f->n;
            return;
        }
    }
}

static void respond(struct fetch *f)
{
    struct api_req *r = f->r;
    struct wire_fetch_response resp;
    r->sent = sent;
    r->cancel = NULL;
    bool built = build(f, &resp);
    if (built && f->n)
        rotate(f);
    session_done(f);
    if (built)
        api_answer(r, &resp);
    else
        api_no_memory(r, "out of memory for a fetch answer");
}

static void refuse(struct api_req *r, int16_t code)
{
    struct wire_fetch_response resp = wire_fetch_response_default;
    resp.error_code = code;
    api_answer(r, &resp);
}

/* ---- waiting ---- */

static void unpark(struct fetch *f)
{
    struct api_req *r = f->r;
    if (!f->parked)
        return;
    f->parked = false;
    os_exec_cancel(r->loop->exec, &r->timer);
    for (uint32_t i = 0; i < f->n; i++) {
        part_fetch_unwait(&f->parts[i].node);
        if (f->parts[i].meta)
            meta_log_unwait(r->api->meta_log, &f->parts[i].meta->wait);
    }
    if (r->prev)
        r->prev->next = r->next;
    else
        r->loop->parked = r->next;
    if (r->next)
        r->next->prev = r->prev;
    r->prev = r->next = NULL;
}

/* Any thread. */
static void fire(struct part_fetch *w)
{
    struct fetch *f = w->arg;
    os_exec_post(f->r->loop->exec, &f->r->task);
}

/* Queues the request on its partitions; false: something moved meanwhile, try again. */
static bool park(struct fetch *f)
{
    struct api_req *r = f->r;
    f->wait = (struct part_fetch){.need = f->min_bytes - (int64_t)f->bytes, .fire = fire, .arg = f};
    f->parked = true;
    r->prev = NULL;
    r->next = r->loop->parked;
    if (r->next)
        r->next->prev = r;
    r->loop->parked = r;
    bool still = true;
    for (uint32_t i = 0; i < f->n && still; i++) {
        struct fetch_part *p = &f->parts[i];
        if (p->meta)
            still = meta_log_wait(r->api->meta_log, &p->meta->wait, &f->wait, p->meta->seen);
        else
            still = !p->part || part_fetch_wait(p->part, &p->node, &f->wait, p->read.view.high_watermark);
    }
    if (still) {
        os_exec_post_at(r->loop->exec, &r->timer, f->deadline_ns);
        return true;
    }
    /* Whoever fired in between has posted the task: then it goes on there. */
    bool mine = part_fetch_claim(&f->wait);
    if (mine)
        unpark(f);
    return !mine;
}

static void go_on(struct fetch *f);
static bool conclude(struct fetch *f);

/* On a worker: the same attempt, which may wait for the disk. */
static void look_cold(struct api_req *r)
{
    attempt(r->state, true);
}

static void looked_cold(struct api_req *r)
{
    if (!conclude(r->state))
        go_on(r->state);
}

/* Answers or waits; false: something moved meanwhile, try again. */
static bool try_once(struct fetch *f)
{
    attempt(f, false);
    if (!f->cold)
        return conclude(f);
    drop_pins(f);
    api_on_worker(f->r, look_cold, looked_cold);
    return true;
}

static bool conclude(struct fetch *f)
{
    if (f->urgent || f->over || f->r->gone || f->n == 0 || f->bytes >= (uint64_t)f->min_bytes) {
        respond(f);
        return true;
    }
    drop_pins(f);
    return park(f);
}

/* Whether __meta has records that were not made yet. */
static bool must_render(const struct fetch *f)
{
    for (uint32_t i = 0; f->has_meta && i < f->n; i++) {
        const struct fetch_part *p = &f->parts[i];
        struct part_view v;
        uint64_t seen;
        if (!p->meta || p->meta->p || p->meta->error ||
            meta_log_look(f->r->api->meta_log, p->item->partition, p->item->leader_epoch, &v, &seen) != KAFKA_NONE)
            continue;
        if (p->item->offset >= v.log_start && p->item->offset < v.high_watermark)
            return true;
    }
    return false;
}

/* On a worker: nobody else looks at the parts meanwhile. */
static void render(struct api_req *r)
{
    struct fetch *f = r->state;
    uint64_t left = (uint64_t)max_i64(f->max_bytes, 0);
    for (uint32_t i = 0; i < f->n; i++) {
        struct fetch_meta *m = f->parts[i].meta;
        const struct fetch_item *item = f->parts[i].item;
        if (!m || m->p)
            continue;
        m->error = meta_log_read(r->api->meta_log, item->offset, min_size((size_t)max_i64(item->max_bytes, 0), left),
                                 &m->build, &m->p, &m->n);
        left -= min_size(left, m->n);
    }
}

static void rendered(struct api_req *r)
{
    struct fetch *f = r->state;
    if (!try_once(f))
        go_on(f);
}

static void go_on(struct fetch *f)
{
    do {
        if (must_render(f)) {
            api_on_worker(f->r, render, rendered);
            return;
        }
    } while (!try_once(f));
}

/* On the loop: bytes arrived. */
static void woken(void *arg)
{
    struct api_req *r = arg;
    struct fetch *f = r->state;
    unpark(f);
    for (uint32_t i = 0; f->has_meta && i < f->n; i++)
        if (f->parts[i].meta)
            f->parts[i].meta->p = NULL; /* there is more now */
    go_on(f);
}

static void end_wait(struct api_req *r)
{
    struct fetch *f = r->state;
    f->over = true;
    if (!f->parked || !part_fetch_claim(&f->wait))
        return; /* woken() is on its way */
    unpark(f);
    go_on(f);
}

static void time_is_over(void *arg)
{
    end_wait(arg);
}

/* ---- the request ---- */

static bool take_items(struct fetch_session *s, const struct wire_fetch_request *q)
{
    for (int32_t i = 0; i < q->forgotten_topics_data.n; i++) {
        const struct wire_fetch_request_forgotten_topic *t = &q->forgotten_topics_data.v[i];
        for (int32_t k = 0; k < t->partitions.n; k++)
            fetch_session_forget(s, t->topic, &t->topic_id, t->partitions.v[k]);
    }
    for (int32_t i = 0; i < q->topics.n; i++) {
        const struct wire_fetch_request_topic *t = &q->topics.v[i];
        for (int32_t k = 0; k < t->partitions.n; k++) {
            const struct wire_fetch_request_partition *p = &t->partitions.v[k];
            struct fetch_item *item = fetch_session_put(s, t->topic, &t->topic_id, p->partition);
            if (!item)
                return false;
            item->offset = p->fetch_offset;
            item->max_bytes = p->partition_max_bytes;
            item->leader_epoch = p->current_leader_epoch;
            item->last_fetched_epoch = p->last_fetched_epoch;
        }
    }
    return true;
}

/* Which session the request belongs to (KIP-227); a Kafka code. */
static int16_t open_session(struct fetch *f, const struct wire_fetch_request *q)
{
    struct fetch_sessions *all = f->r->api->sessions;
    bool ids = f->r->version >= 13;
    f->full = q->session_epoch <= 0;
    if (q->session_epoch > 0)
        return fetch_session_take(all, q->session_id, q->session_epoch, ids, &f->session);
    if (q->session_id != 0)
        fetch_session_end(all, q->session_id);
    if (q->session_epoch == 0 && f->r->version >= 7 && q->topics.n > 0)
        f->session = fetch_session_make(all, ids);
    f->sessionless = f->session == NULL;
    if (f->sessionless)
        f->session = fetch_session_private(ids);
    return f->session ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR;
}

/* Nothing is left in it: as in Kafka it ends, and the answer says session 0. */
static void leave_session(struct fetch *f)
{
    int32_t id = f->session->id;
    session_done(f);
    fetch_session_end(f->r->api->sessions, id);
}

static bool find_parts(struct fetch *f)
{
    struct api_req *r = f->r;
    f->n = f->session->n;
    f->parts = api_array(r, struct fetch_part, f->n);
    if (!f->parts)
        return false;
    for (uint32_t i = 0; i < f->n; i++) {
        struct fetch_part *p = &f->parts[i];
        p->item = &f->session->items[i];
        struct wire_str name = {p->item->topic, p->item->topic_n};
        const struct wire_str *by_name = f->session->ids ? NULL : &name;
        if (!meta_log_topic(r->api->meta_log, by_name, &p->item->topic_id))
            p->error = api_part(r, by_name, &p->item->topic_id, p->item->partition, &p->part);
        else if (!(p->meta = api_array(r, struct fetch_meta, 1)))
            return false;
        f->has_meta |= p->meta != NULL;
    }
    if (f->session->first >= f->n)
        f->session->first = 0;
    return true;
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_fetch_request *q = body;
    struct fetch *f = arena_calloc(&r->arena, 1, sizeof *f);
    if (!f) {
        api_no_memory(r, "out of memory for a fetch request");
        return;
    }
    f->r = r;
    r->state = f;
    int16_t rc = open_session(f, q);
    if (rc != KAFKA_NONE) {
        refuse(r, rc);
        return;
    }
    bool taken = take_items(f->session, q);
    if (taken && !f->full && f->session->n == 0) {
        leave_session(f);
        refuse(r, KAFKA_NONE);
        return;
    }
    if (!taken || !find_parts(f)) {
        if (!f->parts)
            f->n = 0;
        release(f);
        session_done(f);
        api_no_memory(r, "out of memory for a fetch request");
        return;
    }
    f->min_bytes = (int32_t)max_i64(q->min_bytes, 0);
    f->max_bytes = (int32_t)min_i64(q->max_bytes, config_i64(r->api->c.config, CFG_FETCH_MAX_BYTES));
    f->read_committed = q->isolation_level == 1;
    f->deadline_ns = os_mono_ns(r->api->c.os) + max_i64(q->max_wait_ms, 0) * INT64_C(1000000);
    f->over = q->max_wait_ms <= 0 || __atomic_load_n(&r->api->draining, __ATOMIC_ACQUIRE);
    r->task = (struct chronik_task){.fn = woken, .arg = r};
    r->timer = (struct chronik_task){.fn = time_is_over, .arg = r};
    r->cancel = end_wait;
    net_frame_release(r->net);
    go_on(f);
}

const struct api_row api_fetch = {.key = WIRE_API_FETCH, .handle = handle};
