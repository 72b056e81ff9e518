/* propose.c: from a command to an entry of the log and back to its proposer, once. Commands of a class wait in a queue;
 * a few entries at a time are open, so that what arrives while the engine syncs shares the next one. An entry keeps its
 * number however often it is handed over: the state refuses a repeat. Nothing here ever waits. Queues are under
 * m->lock, everything else belongs to the apply executor. */
#include <stdlib.h>

#include "meta/meta_int.h"

enum { WINDOW = 4, GROUP_COMMANDS = 2048, QUEUE_BYTES = 8 << 20 };
#define GROUP_BYTES   (CHRONIK_META_MAX_COMMAND - 128)
#define FIRST_BACKOFF (INT64_C(2) * 1000 * 1000)
#define MAX_BACKOFF   (INT64_C(500) * 1000 * 1000)

void propose_init(struct meta *m)
{
    for (int k = 0; k < CHRONIK_META_CLASSES; k++) {
        m->session[k].open_tail = &m->session[k].open;
        m->session[k].queue_tail = &m->session[k].queue;
    }
}

/* ---- in: any thread ---- */

static struct proposal *proposal_new(struct meta *m, const struct meta_command *c, int64_t timeout_ms,
                                     meta_done_fn done, void *arg)
{
    struct meta_command stamped = *c;
    if (!stamped.timestamp_ms)
        stamped.timestamp_ms = os_wall_ms(m->os);
    struct meta_buf b = {0};
    meta_cmd_encode(&stamped, &b);
    struct proposal *p = malloc(sizeof *p + b.n);
    if (p) {
        *p = (struct proposal){.done = done, .arg = arg, .n = b.n};
        p->deadline = os_mono_ns(m->os) + (timeout_ms ? timeout_ms : 30000) * INT64_C(1000000);
        memcpy(p->data, b.p, b.n);
    }
    mb_free(&b);
    return p;
}

int32_t propose_put(struct meta *m, enum meta_class k, const struct meta_command *c, int64_t timeout_ms,
                    meta_done_fn done, void *arg, bool boot)
{
    if ((unsigned)k >= CHRONIK_META_CLASSES || !meta_cmd_def(c->type) || !done)
        return CHRONIK_E_INVAL;
    struct proposal *p = proposal_new(m, c, timeout_ms, done, arg);
    if (!p)
        return CHRONIK_E_NOMEM;
    int32_t rc = CHRONIK_PENDING;
    struct session *s = &m->session[k];
    uint64_t limit = m->opt.queue_bytes ? m->opt.queue_bytes : QUEUE_BYTES;
    os_mutex_lock(&m->lock);
    if (m->closing)
        rc = CHRONIK_E_CLOSED;
    else if (p->n > GROUP_BYTES)
        rc = CHRONIK_E_TOOBIG;
    else if (!boot && s->queue_bytes + p->n + sizeof *p > limit)
        rc = CHRONIK_E_BUSY;
    if (rc == CHRONIK_PENDING && boot) {
        struct proposal **at = &m->boot_queue;
        while (*at)
            at = &(*at)->next;
        *at = p;
    } else if (rc == CHRONIK_PENDING) {
        *s->queue_tail = p;
        s->queue_tail = &p->next;
        s->queue_bytes += p->n + sizeof *p;
        if (s->n_queued++ == 0 || p->deadline < s->queue_deadline)
            s->queue_deadline = p->deadline;
    }
    os_mutex_unlock(&m->lock);
    if (rc == CHRONIK_PENDING)
        m->host.exec_post(m->apply, &m->pump_task);
    else
        free(p);
    return rc;
}

int32_t meta_propose(struct meta *m, enum meta_class k, const struct meta_command *c, int64_t timeout_ms,
                     meta_done_fn done, void *arg)
{
    return propose_put(m, k, c, timeout_ms, done, arg, false);
}

/* ---- answers ---- */

static void answer(struct proposal *p, int16_t code, const struct meta_outcome *o, uint64_t seq)
{
    if (!p->done)
        return;
    struct meta_result r = {.code = code, .seq = seq, .text = ""};
    if (o) {
        r.code = o->code;
        r.n_values = o->n_values;
        memcpy(r.values, o->values, sizeof r.values);
        r.text = o->text ? o->text : "";
        r.codes = o->codes;
        r.n_codes = o->n_codes;
    } else if (code == KAFKA_REQUEST_TIMED_OUT) {
        r.text = "The metadata log did not confirm the command in time: its outcome is unknown.";
    } else if (code == KAFKA_STALE_BROKER_EPOCH) {
        r.text = "This broker's registration was replaced by a newer one.";
    } else if (code == KAFKA_NOT_CONTROLLER) {
        r.text = "The metadata log is fenced for a cutover: try again later.";
    }
    meta_done_fn done = p->done;
    p->done = NULL;
    done(p->arg, &r);
}

static void entry_free(struct open_entry *e)
{
    struct proposal *next;
    for (struct proposal *p = e->cmds; p; p = next) {
        next = p->next;
        free(p);
    }
    mb_free(&e->head);
    mb_free(&e->body);
    free(e);
}

/* Off the list of open entries; its memory goes when the engine has given it back. */
static void entry_close(struct meta *m, struct open_entry *e)
{
    struct session *s = &m->session[e->klass];
    struct open_entry **at = &s->open;
    while (*at && *at != e)
        at = &(*at)->next;
    CHECK(*at == e);
    *at = e->next;
    if (!*at)
        s->open_tail = at;
    s->n_open--;
    os_mutex_lock(&m->lock);
    m->n_open -= e->n_cmds;
    os_mutex_unlock(&m->lock);
    e->finished = true;
    if (!e->in_flight)
        entry_free(e);
}

struct open_entry *propose_find(struct meta *m, const struct meta_envelope *v)
{
    if (v->node != m->opt.node_id || !meta_uuid_eq(&v->incarnation, &m->incarnation))
        return NULL;
    for (struct open_entry *e = m->session[v->klass].open; e; e = e->next)
        if (e->number == v->number)
            return e;
    return NULL;
}

void propose_answer(struct meta *m, struct open_entry *e, enum meta_verdict v, const struct meta_outcome *outs,
                    uint64_t first_seq)
{
    if (v == META_GAP) {
        e->again = true;
        if (!e->in_flight)
            e->sent = e->again = false;
        e->retry_at = os_mono_ns(m->os) + FIRST_BACKOFF;
        return;
    }
    int16_t code = v == META_STALE    ? KAFKA_STALE_BROKER_EPOCH
                   : v == META_FENCED ? KAFKA_NOT_CONTROLLER
                                      : KAFKA_REQUEST_TIMED_OUT; /* a repeat whose results are gone */
    uint32_t i = 0;
    for (struct proposal *p = e->cmds; p; p = p->next, i++)
        answer(p, code, outs ? &outs[i] : NULL, outs && first_seq ? first_seq + i : 0);
    entry_close(m, e);
}

/* ---- out: apply executor ---- */

static void propose_done(void *arg, int32_t rc)
{
    struct open_entry *e = arg;
    struct meta *m = e->meta;
    e->in_flight = false;
    if (e->finished) {
        entry_free(e);
        return;
    }
    if (rc < 0 || e->again) {
        e->sent = e->again = false;
        e->backoff = e->backoff ? min_i64(e->backoff * 2, MAX_BACKOFF) : FIRST_BACKOFF;
        e->retry_at = os_mono_ns(m->os) + e->backoff;
        propose_timer(m);
    }
}

/* Takes queued commands into a new entry; NULL when there are none. */
static struct open_entry *entry_make(struct meta *m, int k, struct proposal **from, struct session *counted)
{
    struct open_entry *e = NULL;
    struct proposal **tail = NULL;
    os_mutex_lock(&m->lock);
    while (*from && (!e || (e->n_cmds < GROUP_COMMANDS && e->body.n + (*from)->n <= GROUP_BYTES))) {
        struct proposal *p = *from;
        if (!e) {
            e = meta_xmalloc(sizeof *e);
            *e = (struct open_entry){.meta = m, .klass = (uint8_t)k, .deadline = INT64_MAX};
            tail = &e->cmds;
        }
        *from = p->next;
        p->next = NULL;
        *tail = p;
        tail = &p->next;
        e->n_cmds++;
        e->deadline = min_i64(e->deadline, p->deadline);
        mb_put(&e->body, p->data, p->n);
        if (counted) {
            counted->queue_bytes -= p->n + sizeof *p;
            counted->n_queued--;
        }
    }
    if (counted && !*from)
        counted->queue_tail = from;
    if (e)
        m->n_open += e->n_cmds;
    os_mutex_unlock(&m->lock);
    if (!e)
        return NULL;
    struct session *s = &m->session[k];
    e->number = s->next_number++;
    *s->open_tail = e;
    s->open_tail = &e->next;
    s->n_open++;
    return e;
}

/* false: the engine does not take more of this class now. */
static bool entry_send(struct meta *m, struct open_entry *e, int64_t now)
{
    struct session *s = &m->session[e->klass];
    struct meta_envelope v = {.klass = e->klass,
                              .node = m->opt.node_id,
                              .incarnation = m->incarnation,
                              .number = e->number,
                              .lowest = s->open->number,
                              .n_commands = e->n_cmds};
    e->head.n = 0;
    meta_envelope_encode(&v, &e->head);
    struct chronik_iov iov[2] = {{e->head.p, e->head.n}, {e->body.p, e->body.n}};
    e->in_flight = e->sent = true;
    int32_t rc = m->ops->propose(m->engine, e->klass, iov, 2, (struct chronik_done){propose_done, e});
    if (rc == CHRONIK_PENDING)
        return true;
    e->in_flight = false;
    if (rc > 0)
        return true;
    e->sent = false;
    e->backoff = e->backoff ? min_i64(e->backoff * 2, MAX_BACKOFF) : FIRST_BACKOFF;
    e->retry_at = now + e->backoff;
    return false;
}

static void pump_class(struct meta *m, int k, int64_t now)
{
    struct session *s = &m->session[k];
    for (struct open_entry *e = s->open; e; e = e->next) {
        if (e->sent)
            continue;
        if (e->in_flight || e->retry_at > now || !entry_send(m, e, now))
            return; /* later numbers must not overtake it */
    }
    while (s->n_open < WINDOW) {
        struct open_entry *e = NULL;
        if (k == META_CONTROLLER)
            e = entry_make(m, k, &m->boot_queue, NULL);
        if (!e && (!m->opt.join || m->registered))
            e = entry_make(m, k, &s->queue, s);
        if (!e || !entry_send(m, e, now))
            return;
    }
}

void propose_pump(struct meta *m)
{
    int64_t now = os_mono_ns(m->os);
    for (int k = 0; k < CHRONIK_META_CLASSES && m->started && !m->stopped && !m->closing; k++)
        pump_class(m, k, now);
    propose_timer(m);
}

void propose_all_again(struct meta *m)
{
    for (int k = 0; k < CHRONIK_META_CLASSES; k++)
        for (struct open_entry *e = m->session[k].open; e; e = e->next) {
            if (e->in_flight)
                e->again = true;
            else
                e->sent = false;
        }
    m->host.exec_post(m->apply, &m->pump_task);
}

void propose_retry_now(struct meta *m)
{
    for (int k = 0; k < CHRONIK_META_CLASSES; k++)
        for (struct open_entry *e = m->session[k].open; e; e = e->next)
            e->retry_at = e->backoff = 0;
}

/* ---- time ---- */

/* Answers what is overdue in a list; the next deadline, INT64_MAX none. */
static int64_t expire(struct proposal *list, int64_t now, bool *left)
{
    int64_t next = INT64_MAX;
    for (struct proposal *p = list; p; p = p->next) {
        if (p->done && p->deadline <= now)
            answer(p, KAFKA_REQUEST_TIMED_OUT, NULL, 0);
        if (p->done) {
            *left = true;
            next = min_i64(next, p->deadline);
        }
    }
    return next;
}

/* Overdue commands that never left the queue. */
static int64_t expire_queue(struct meta *m, struct session *s, int64_t now)
{
    struct proposal *late = NULL, **tail = &late;
    int64_t next = INT64_MAX;
    os_mutex_lock(&m->lock);
    if (!s->queue || s->queue_deadline > now) {
        next = s->queue ? s->queue_deadline : INT64_MAX;
        os_mutex_unlock(&m->lock);
        return next;
    }
    struct proposal **at = &s->queue;
    while (*at) {
        struct proposal *p = *at;
        if (p->deadline > now) {
            next = min_i64(next, p->deadline);
            at = &p->next;
            continue;
        }
        *at = p->next;
        p->next = NULL;
        *tail = p;
        tail = &p->next;
        s->queue_bytes -= p->n + sizeof *p;
        s->n_queued--;
    }
    s->queue_tail = at;
    s->queue_deadline = next;
    os_mutex_unlock(&m->lock);
    while (late) {
        struct proposal *p = late;
        late = p->next;
        answer(p, KAFKA_REQUEST_TIMED_OUT, NULL, 0);
        free(p);
    }
    return next;
}

/* The earliest moment that something of this class must be looked at again. */
static int64_t class_next(struct meta *m, int k, int64_t now)
{
    struct session *s = &m->session[k];
    int64_t next = expire_queue(m, s, now);
    struct open_entry *after;
    for (struct open_entry *e = s->open; e; e = after) {
        after = e->next;
        bool left = e->deadline > now;
        if (!left)
            e->deadline = expire(e->cmds, now, &left);
        if (!left) {
            entry_close(m, e);
            continue;
        }
        next = min_i64(next, e->deadline);
        if (!e->sent)
            next = min_i64(next, max_i64(e->retry_at, now));
    }
    return next;
}

static void timer_run(void *arg)
{
    propose_pump(arg);
}

void propose_timer(struct meta *m)
{
    int64_t now = os_mono_ns(m->os), next = INT64_MAX;
    for (int k = 0; k < CHRONIK_META_CLASSES; k++)
        next = min_i64(next, class_next(m, k, now));
    if (meta_mem_reclaim(&m->mem))
        next = min_i64(next, now + INT64_C(100) * 1000 * 1000);
    if (next == INT64_MAX || m->closing)
        return;
    m->timer_task.fn = timer_run;
    m->timer_task.arg = m;
    m->host.exec_post_at(m->apply, &m->timer_task, max_i64(next, now + INT64_C(1000) * 1000));
}

void propose_fail_all(struct meta *m)
{
    for (int k = 0; k < CHRONIK_META_CLASSES; k++) {
        struct session *s = &m->session[k];
        expire_queue(m, s, INT64_MAX);
        bool left;
        while (s->open) {
            expire(s->open->cmds, INT64_MAX, &left);
            entry_close(m, s->open);
        }
    }
    os_mutex_lock(&m->lock);
    struct proposal *boot = m->boot_queue;
    m->boot_queue = NULL;
    os_mutex_unlock(&m->lock);
    while (boot) {
        struct proposal *p = boot;
        boot = p->next;
        answer(p, KAFKA_REQUEST_TIMED_OUT, NULL, 0);
        free(p);
    }
}
