/* producer_ids.c: hands out producer ids. One mutex guards the block and the queue of those who wait for the next
 * block; it is never held across a call into metadata. */
#include "api/producer_ids.h"

#include "os/lock.h"

#include <stdlib.h>

enum { BLOCK = 1000 }; /* as Kafka's */

struct producer_ids {
    struct api *api;
    struct os_mutex mu;
    int64_t next, end;
    bool asking;
    struct producer_id_wait *first, *last;
};

struct producer_ids *producer_ids_new(struct api *a)
{
    struct producer_ids *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->api = a;
    os_mutex_init(&p->mu, LOCK_COORD);
    return p;
}

void producer_ids_free(struct producer_ids *p)
{
    if (!p)
        return;
    os_mutex_destroy(&p->mu);
    free(p);
}

static void tell(void *arg)
{
    struct producer_id_wait *w = arg;
    w->fn(w);
}

static void answer(struct producer_id_wait *w, int16_t error, int64_t id)
{
    w->error = error;
    w->producer_id = id;
    w->task = (struct chronik_task){.fn = tell, .arg = w};
    os_exec_post(w->exec, &w->task);
}

static void ask(struct producer_ids *p);

/* Serves the queue from the block; whoever is left needs the next block. On an error the queue is answered with it. */
static void serve(struct producer_ids *p, int16_t error)
{
    os_mutex_lock(&p->mu);
    struct producer_id_wait *due = NULL, **tail = &due;
    while (p->first && (error || p->next < p->end)) {
        struct producer_id_wait *w = p->first;
        p->first = w->next;
        w->producer_id = error ? -1 : p->next++;
        *tail = w;
        tail = &w->next;
    }
    *tail = NULL;
    if (!p->first)
        p->last = NULL;
    bool more = p->first && !p->asking;
    p->asking |= more;
    os_mutex_unlock(&p->mu);
    for (struct producer_id_wait *w = due, *next; w; w = next) {
        next = w->next;
        answer(w, error, w->producer_id);
    }
    if (more)
        ask(p);
}

/* On the apply executor. */
static void granted(void *arg, const struct meta_result *r)
{
    struct producer_ids *p = arg;
    os_mutex_lock(&p->mu);
    p->asking = false;
    if (r->code == KAFKA_NONE) {
        p->next = r->values[0];
        p->end = r->values[0] + BLOCK;
    }
    os_mutex_unlock(&p->mu);
    serve(p, r->code == KAFKA_NONE ? KAFKA_NONE : KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
}

static void ask(struct producer_ids *p)
{
    struct meta_command c = {.type = META_CMD_PRODUCER_IDS};
    c.u.producer_ids.broker = p->api->c.node_id;
    c.u.producer_ids.broker_epoch = -1;
    c.u.producer_ids.count = BLOCK;
    if (meta_propose(p->api->c.meta, META_COORDINATOR, &c, 0, granted, p) >= 0)
        return;
    os_mutex_lock(&p->mu);
    p->asking = false;
    os_mutex_unlock(&p->mu);
    serve(p, KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
}

void producer_id_take(struct producer_ids *p, struct producer_id_wait *w)
{
    w->next = NULL;
    os_mutex_lock(&p->mu);
    if (p->last)
        p->last->next = w;
    else
        p->first = w;
    p->last = w;
    os_mutex_unlock(&p->mu);
    serve(p, KAFKA_NONE);
}
