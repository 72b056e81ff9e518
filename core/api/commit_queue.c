/* commit_queue.c: gathers offset commits into commands. One command is under way at a time, so that commits keep their
 * order whichever thread proposes; while it is, the others gather. A command's answers go to each loop as one list and
 * one wake-up. One mutex guards the lists; it is never held across a call into metadata. */
#include "api/commit_queue.h"

#include "os/lock.h"

#include <stdlib.h>

enum { MOST_JOBS = 4096, MOST_BYTES = 512 << 10 };

struct commit_queue {
    struct api *api;
    struct os_mutex mu;
    struct commit_job *first, *last; /* waiting */
    bool flying;
    /* of whoever proposes */
    struct commit_job *jobs; /* of the command under way */
    struct meta_commit *commits;
    uint32_t cap;
    struct metric *n_commands, *n_jobs;
};

struct commit_queue *commit_queue_new(struct api *a)
{
    struct commit_queue *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->api = a;
    os_mutex_init(&q->mu, LOCK_COORD);
    q->n_jobs = metric_get(METRIC_COUNTER, "offset_commits_total", "", "Offset commit requests that reached metadata");
    q->n_commands =
        metric_get(METRIC_COUNTER, "offset_commit_commands_total", "",
                   "Metadata commands that carried them: what came while one was under way shares the next");
    return q;
}

void commit_queue_free(struct commit_queue *q)
{
    if (!q)
        return;
    os_mutex_destroy(&q->mu);
    free(q->commits);
    free(q);
}

/* On a loop: the answers that came together, so that their bytes leave together too. */
static void tell(void *arg)
{
    struct api_loop *l = arg;
    struct commit_queue *q = l->api->commits;
    os_mutex_lock(&q->mu);
    struct commit_job *j = l->committed;
    l->committed = l->committed_last = NULL;
    os_mutex_unlock(&q->mu);
    for (struct commit_job *next; j; j = next) {
        next = j->next;
        j->fn(j);
    }
}

/* The metadata's answers in the words of the group protocol. */
static int16_t code_of(int16_t code)
{
    switch (code) {
    case KAFKA_REQUEST_TIMED_OUT:
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    case KAFKA_STALE_BROKER_EPOCH:
        return KAFKA_NOT_COORDINATOR;
    case KAFKA_NOT_CONTROLLER: /* fenced for a cutover */
        return KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    default:
        return code;
    }
}

static void answer_all(struct commit_queue *q, int16_t code, const int16_t *codes)
{
    struct commit_job *next;
    uint32_t i = 0;
    os_mutex_lock(&q->mu);
    for (struct commit_job *j = q->jobs; j; j = next, i++) {
        struct api_loop *l = j->loop;
        next = j->next;
        j->next = NULL;
        j->code = code_of(code ? code : codes ? codes[i] : KAFKA_NONE);
        if (l->committed_last)
            l->committed_last->next = j;
        else
            l->committed = j;
        l->committed_last = j;
    }
    os_mutex_unlock(&q->mu);
    q->jobs = NULL;
    for (uint32_t k = 0; k < q->api->n_loops; k++) {
        struct api_loop *l = &q->api->loops[k];
        os_mutex_lock(&q->mu);
        bool any = l->committed != NULL;
        os_mutex_unlock(&q->mu);
        if (any)
            os_exec_post(l->exec, &l->committed_task);
    }
}

void commit_queue_attach(struct api_loop *l)
{
    l->committed_task = (struct chronik_task){.fn = tell, .arg = l};
}

/* Takes what waits, as much as a command holds; false: nothing, and nobody proposes any more. */
static bool take(struct commit_queue *q)
{
    size_t bytes = 0;
    uint32_t n = 0;
    os_mutex_lock(&q->mu);
    struct commit_job **end = &q->first;
    while (*end && (n == 0 || (n < MOST_JOBS && bytes + (*end)->bytes <= MOST_BYTES))) {
        bytes += (*end)->bytes;
        n++;
        end = &(*end)->next;
    }
    struct commit_job *rest = *end;
    *end = NULL;
    q->jobs = q->first;
    q->first = rest;
    if (!rest)
        q->last = NULL;
    q->flying = n > 0;
    os_mutex_unlock(&q->mu);
    return n > 0;
}

static void applied(void *arg, const struct meta_result *r);

/* Refused for now: nothing was queued, so the order is kept. */
static int32_t propose(struct commit_queue *q)
{
    uint32_t n = 0;
    for (struct commit_job *j = q->jobs; j; j = j->next)
        n++;
    if (n > q->cap) {
        struct meta_commit *v = realloc(q->commits, n * sizeof *v);
        if (!v)
            return CHRONIK_E_NOMEM;
        q->commits = v;
        q->cap = n;
    }
    n = 0;
    for (struct commit_job *j = q->jobs; j; j = j->next)
        q->commits[n++] = j->commit;
    metric_add(q->n_jobs, n);
    metric_add(q->n_commands, 1);
    struct meta_command c = {.type = META_CMD_OFFSETS_COMMIT};
    c.u.offsets_commit = (struct meta_offsets_commit){q->commits, n};
    return meta_propose(q->api->c.meta, META_COORDINATOR, &c,
                        config_i64(q->api->c.config, CFG_OFFSETS_COMMIT_TIMEOUT_MS), applied, q);
}

static void pump(struct commit_queue *q)
{
    while (take(q)) {
        int32_t rc = propose(q);
        if (rc >= 0)
            return;
        answer_all(q,
                   rc == CHRONIK_E_TOOBIG   ? KAFKA_INVALID_COMMIT_OFFSET_SIZE
                   : rc == CHRONIK_E_CLOSED ? KAFKA_COORDINATOR_NOT_AVAILABLE
                                            : KAFKA_COORDINATOR_LOAD_IN_PROGRESS,
                   NULL);
    }
}

/* On the apply executor. */
static void applied(void *arg, const struct meta_result *r)
{
    struct commit_queue *q = arg;
    answer_all(q, r->code, r->codes);
    pump(q);
}

void commit_queue_put(struct commit_queue *q, struct commit_job *j)
{
    j->next = NULL;
    os_mutex_lock(&q->mu);
    if (q->last)
        q->last->next = j;
    else
        q->first = j;
    q->last = j;
    bool mine = !q->flying;
    q->flying = true;
    os_mutex_unlock(&q->mu);
    if (mine)
        pump(q);
}
