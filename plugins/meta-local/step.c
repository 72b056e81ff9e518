/* step.c: what happens on the host's apply executor: the end of the start, delivery of what is durable, answers, the
 * wish for a snapshot, the end of the instance. One task, posted whenever there is something to do; it looks at the
 * stage and does what is due. The mutex is never held while the host is called. */
#include "local.h"

#include <stdlib.h>

static void complete_all(struct queue *q, int32_t result)
{
    struct waiter *w;
    while ((w = queue_pop(q))) {
        struct chronik_done done = w->done;
        free(w);
        if (done.fn)
            done.fn(done.arg, result);
    }
}

/* ---- delivery ---- */

/* Up to a batch from the front of `q`, in a queue of its own. */
static void take(chronik_meta *m, struct queue *q, struct queue *batch)
{
    queue_init(batch);
    pthread_mutex_lock(&m->lock);
    struct waiter *w;
    while (batch->n < LOCAL_BATCH && (w = queue_pop(q)))
        queue_push(batch, w);
    pthread_mutex_unlock(&m->lock);
}

static void deliver(chronik_meta *m, struct queue *batch)
{
    struct chronik_meta_entry e[LOCAL_BATCH];
    uint32_t n = 0;
    uint64_t bytes = 0;
    for (const struct waiter *w = batch->head; w; w = w->next) {
        e[n++] = (struct chronik_meta_entry){.pos = w->pos, .data = w->data, .n = w->n};
        bytes += w->n + LOCAL_OVERHEAD;
    }
    pthread_mutex_lock(&m->lock);
    m->grown += bytes;
    m->delivered = e[n - 1].pos.index;
    pthread_mutex_unlock(&m->lock);
    m->host.metric_add(m->commands, n);
    m->ev.apply(m->ev.arg, m->epoch, e, n, sizeof e[0]);
    complete_all(batch, CHRONIK_DONE);
}

static void deliver_ready(chronik_meta *m)
{
    struct queue batch;
    take(m, &m->ready, &batch);
    if (!batch.n)
        return;
    deliver(m, &batch);
    pthread_mutex_lock(&m->lock);
    bool more = m->ready.n > 0;
    pthread_mutex_unlock(&m->lock);
    if (more)
        local_post(m);
}

static void complete_barriers(chronik_meta *m)
{
    struct queue due;
    queue_init(&due);
    pthread_mutex_lock(&m->lock);
    while (m->barriers.head && m->barriers.head->pos.index <= m->delivered)
        queue_push(&due, queue_pop(&m->barriers));
    pthread_mutex_unlock(&m->lock);
    complete_all(&due, CHRONIK_DONE);
}

static void ask_for_snapshot(chronik_meta *m)
{
    pthread_mutex_lock(&m->lock);
    bool ask = !m->asked && m->grown >= m->ask_at;
    m->asked |= ask;
    uint64_t grown = m->grown;
    pthread_mutex_unlock(&m->lock);
    if (ask)
        m->ev.want_snapshot(m->ev.arg, grown);
}

/* On the log's executor. */
void local_durable(void *arg, uint64_t end)
{
    chronik_meta *m = arg;
    pthread_mutex_lock(&m->lock);
    if (end > m->durable + 1)
        m->durable = end - 1;
    while (m->waiting.head && m->waiting.head->pos.index < end) {
        struct waiter *w = queue_pop(&m->waiting);
        m->class_n[w->klass]--;
        m->class_bytes[w->klass] -= w->n;
        queue_push(&m->ready, w);
    }
    pthread_mutex_unlock(&m->lock);
    local_post(m);
}

/* D1: nothing is known of what was not yet announced; the process ends. */
void local_log_failed(void *arg, int32_t code, const char *text)
{
    chronik_meta *m = arg;
    m->host.fatal(m->host.ctx, 74, text);
}

/* ---- start ---- */

static void begin_replay(chronik_meta *m)
{
    pthread_mutex_lock(&m->lock);
    m->stage = STAGE_REPLAY;
    m->busy = 1;
    m->worker_task = (struct chronik_task){.fn = local_replay_work, .arg = m};
    pthread_mutex_unlock(&m->lock);
    m->host.worker_post(m->host.ctx, &m->worker_task);
}

static void fail(chronik_meta *m)
{
    pthread_mutex_lock(&m->lock);
    m->stage = STAGE_FAILED;
    struct chronik_done done = m->start_done;
    m->start_done.fn = NULL;
    pthread_mutex_unlock(&m->lock);
    m->ev.failed(m->ev.arg, m->error.code, m->error.text);
    if (done.fn)
        done.fn(done.arg, m->error.code);
}

/* The log is open: install a snapshot when the host has less, then report, then deliver the rest. */
static void opened(chronik_meta *m)
{
    if (m->error.code || (m->install && local_install(m, &m->error) < 0)) {
        fail(m);
        return;
    }
    struct chronik_done done = m->start_done;
    m->start_done.fn = NULL;
    begin_replay(m);
    done.fn(done.arg, CHRONIK_DONE);
    m->ev.role(m->ev.arg, CHRONIK_META_ROLE_LEADER, m->epoch, (int32_t)m->cfg.node_id);
}

static void replay_step(chronik_meta *m)
{
    pthread_mutex_lock(&m->lock);
    bool busy = m->busy;
    pthread_mutex_unlock(&m->lock);
    if (busy)
        return;
    if (m->error.code) {
        fail(m);
        return;
    }
    for (struct queue batch;;) {
        take(m, &m->replayed, &batch);
        if (!batch.n)
            break;
        deliver(m, &batch);
    }
    if (m->delivered < m->replay_end) {
        begin_replay(m);
        return;
    }
    pthread_mutex_lock(&m->lock);
    m->stage = STAGE_SERVING;
    pthread_mutex_unlock(&m->lock);
    m->ev.caught_up(m->ev.arg);
    local_post(m);
}

/* ---- the end ---- */

static void log_closed(void *arg, int32_t rc)
{
    chronik_meta *m = arg;
    pthread_mutex_lock(&m->lock);
    m->log = NULL;
    m->closed_log = 1;
    pthread_mutex_unlock(&m->lock);
    local_post(m);
}

/* Everything pending is answered with CANCELED first: its outcome is what the log's last group makes of it. */
static void close_step(chronik_meta *m)
{
    struct queue rest;
    queue_init(&rest);
    struct waiter *w;
    pthread_mutex_lock(&m->lock);
    bool busy = m->busy, first = m->closing == 1;
    if (!busy && first) {
        m->closing = 2;
        struct queue *all[] = {&m->waiting, &m->ready, &m->replayed, &m->barriers};
        for (size_t i = 0; i < ARRAY_LEN(all); i++)
            while ((w = queue_pop(all[i])))
                queue_push(&rest, w);
    }
    struct chronik_done start = m->start_done;
    if (!busy)
        m->start_done.fn = NULL;
    bool last = m->closed_log || (!m->log && !busy);
    pthread_mutex_unlock(&m->lock);
    if (busy)
        return; /* the worker posts the step when it is done */
    if (start.fn)
        start.fn(start.arg, CHRONIK_E_CANCELED);
    complete_all(&rest, CHRONIK_E_CANCELED);
    if (first && m->log) {
        reclog_close(m->log, (struct chronik_done){log_closed, m});
    } else if (last) {
        struct chronik_done done = m->close_done;
        pthread_mutex_destroy(&m->lock);
        free(m);
        done.fn(done.arg, CHRONIK_DONE);
    }
}

void local_step(void *arg)
{
    chronik_meta *m = arg;
    pthread_mutex_lock(&m->lock);
    enum stage stage = m->stage;
    bool closing = m->closing;
    pthread_mutex_unlock(&m->lock);
    if (closing) {
        close_step(m);
        return;
    }
    if (stage == STAGE_OPENED)
        opened(m);
    else if (stage == STAGE_REPLAY)
        replay_step(m);
    else if (stage == STAGE_SERVING) {
        deliver_ready(m);
        complete_barriers(m);
        ask_for_snapshot(m);
    }
}
