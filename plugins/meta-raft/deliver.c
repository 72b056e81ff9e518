/* deliver.c: what happens on the host's apply executor: committed commands, roles, snapshots and answers, in the order
 * in which the raft executor emitted them. One task, posted whenever there is an event; the mutex is never held while
 * the host is called. */
#include "raft.h"

#include <stdlib.h>

void deliver_drop(struct event *ev)
{
    for (uint32_t i = 0; i < ev->n; i++)
        rc_buf_unref(ev->entries[i].data);
    free(ev->entries);
    free(ev);
}

void deliver_emit(chronik_meta *m, struct event *ev)
{
    ev->next = NULL;
    pthread_mutex_lock(&m->lock);
    *m->events_tail = ev;
    m->events_tail = &ev->next;
    pthread_mutex_unlock(&m->lock);
    m->host.exec_post(m->cfg.apply_exec, &m->deliver_task);
}

/* Completes a list; apply executor. */
static void complete(chronik_meta *m, struct plist *q, int32_t result)
{
    struct proposal *p;
    pthread_mutex_lock(&m->lock);
    for (p = q->head; p; p = p->next)
        if (p->n) {
            m->class_n[p->klass]--;
            m->class_bytes[p->klass] -= p->n;
        }
    pthread_mutex_unlock(&m->lock);
    while ((p = plist_pop(q))) {
        struct chronik_done done = p->done;
        rc_buf_unref(p->buf);
        free(p);
        done.fn(done.arg, result);
    }
}

static bool is_command(const struct rc_entry *e)
{
    return e->type == RC_ENTRY_NORMAL && e->data && e->data->bytes[0] == PAYLOAD_COMMAND;
}

/* Up to a batch of the event's commands; true: there are more. */
static bool deliver_entries(chronik_meta *m, struct event *ev)
{
    struct chronik_meta_entry e[RAFT_BATCH];
    uint32_t n = 0;
    uint64_t bytes = 0;
    while (n < RAFT_BATCH && ev->at < ev->n) {
        const struct rc_entry *x = &ev->entries[ev->at++];
        if (!is_command(x) || x->index <= m->skip_to)
            continue;
        e[n++] = (struct chronik_meta_entry){
            .pos = {.epoch = x->term, .index = x->index}, .data = x->data->bytes + 1, .n = x->data->len - 1};
        bytes += x->data->len + 40;
    }
    if (n) {
        pthread_mutex_lock(&m->lock);
        m->grown += bytes;
        pthread_mutex_unlock(&m->lock);
        m->host.metric_add(m->commands, n);
        m->ev.apply(m->ev.arg, ev->epoch, e, n, sizeof e[0]);
    }
    return ev->at < ev->n;
}

static void install(chronik_meta *m)
{
    struct errtext e = {0};
    uint64_t index = 0;
    if (snapshot_install(m, &index, &e) < 0) {
        pthread_mutex_lock(&m->lock);
        m->stage = STAGE_FAILED;
        m->error = e;
        pthread_mutex_unlock(&m->lock);
        m->ev.failed(m->ev.arg, e.code, e.text);
        return;
    }
    pthread_mutex_lock(&m->lock);
    if (MUTANT("raft_snapshot_as_asked"))
        index = m->snapshot.pos.index;
    m->host_applied = max_u64(m->host_applied, index);
    m->skip_to = max_u64(m->skip_to, index);
    m->installing = false;
    if (!m->closing)
        raft_post(m);
    pthread_mutex_unlock(&m->lock);
}

static void started(chronik_meta *m, int32_t code)
{
    struct chronik_done done = m->start_done;
    m->start_done.fn = NULL;
    pthread_mutex_lock(&m->lock);
    bool told = code > 0 && m->stage == STAGE_FAILED; /* the installation before this has failed */
    pthread_mutex_unlock(&m->lock);
    if (told)
        code = m->error.code;
    else if (code < 0)
        m->ev.failed(m->ev.arg, m->error.code, m->error.text);
    if (done.fn)
        done.fn(done.arg, code);
}

/* true: the event is finished. */
static bool deliver(chronik_meta *m, struct event *ev, bool closing)
{
    if (ev->kind == EV_ANSWER) {
        complete(m, &ev->answer, ev->code);
        return true;
    }
    if (closing)
        return true;
    switch (ev->kind) {
    case EV_STARTED:
        started(m, ev->code);
        break;
    case EV_ROLE:
        m->ev.role(m->ev.arg, ev->role, ev->epoch, ev->leader);
        break;
    case EV_ENTRIES:
        return !deliver_entries(m, ev);
    case EV_INSTALL:
        install(m);
        break;
    case EV_CAUGHT_UP:
        m->ev.caught_up(m->ev.arg);
        break;
    case EV_WANT_SNAPSHOT:
        m->ev.want_snapshot(m->ev.arg, ev->bytes);
        break;
    case EV_FAILED:
        m->ev.failed(m->ev.arg, m->error.code, m->error.text);
        break;
    case EV_ANSWER:
        break;
    }
    return true;
}

/* One event, or a batch of one; the task is posted again while there is more, so that others of the executor get their
 * turn. */
void deliver_run(void *arg)
{
    chronik_meta *m = arg;
    pthread_mutex_lock(&m->lock);
    struct event *ev = m->events;
    bool closing = m->closing;
    pthread_mutex_unlock(&m->lock);
    if (!ev)
        return;
    bool done = deliver(m, ev, closing);
    pthread_mutex_lock(&m->lock);
    if (done) {
        m->events = ev->next;
        if (!m->events)
            m->events_tail = &m->events;
    }
    bool more = m->events != NULL;
    pthread_mutex_unlock(&m->lock);
    if (done)
        deliver_drop(ev);
    if (more)
        m->host.exec_post(m->cfg.apply_exec, &m->deliver_task);
}
