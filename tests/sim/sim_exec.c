/* sim_exec.c: virtual executors. Each has its queue; the world picks one and runs one of its tasks to the end. A
 * submitted file operation occupies its executor for a virtual time while others go on:
 *
 *     free --submit reached--> writing --> (written) --> syncing --> finished --done ran--> free
 *
 * Worker tasks are taken by two virtual workers, not strictly in order, as two threads would. */
#include <config.h>

#include "sim_impl.h"

#include <stdio.h>
#include <stdlib.h>

static struct sim_exec *exec_of(struct os_exec *e)
{
    return (struct sim_exec *)e;
}

static struct sim_exec *live(struct os_exec *x)
{
    struct sim_exec *e = exec_of(x);
    sim_check_alive(e->node, e->incarnation, e->name);
    CHECK(!e->closed);
    return e;
}

/* ---- life ---- */

int32_t sim_exec_new(struct sim_node *n, const char *name, unsigned flags, bool worker, struct sim_exec **out)
{
    struct sim_exec *e = calloc(1, sizeof *e);
    CHECK(e);
    e->base.os = &n->base;
    e->node = n;
    e->index = n->n_execs++;
    e->flags = flags;
    e->incarnation = n->incarnation;
    e->worker = worker;
    snprintf(e->name, sizeof e->name, "%s", name);
    if (n->last_exec)
        n->last_exec->next = e;
    else
        n->execs = e;
    n->last_exec = e;
    *out = e;
    return CHRONIK_DONE;
}

static int32_t exec_open(struct os *os, const char *name, unsigned flags, struct os_exec **out)
{
    struct sim_exec *e;
    CHECK(sim_up(os));
    int32_t r = sim_exec_new(node_of(os), name, flags, false, &e);
    *out = &e->base;
    return r;
}

void sim_execs_free(struct sim_node *n)
{
    struct sim_exec *lists[] = {n->execs, n->dead_execs};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        for (struct sim_exec *e = lists[i], *next; e; e = next) {
            next = e->next;
            free(e->ready);
            free(e);
        }
}

bool sim_exec_alive(struct sim_exec *e)
{
    return e->incarnation == e->node->incarnation && e->node->state == SIM_NODE_UP && !e->closed;
}

static struct task_queue *queue_of(struct sim_exec *e)
{
    return e->worker ? &e->node->work : &e->queue;
}

/* ---- submitted operations ---- */

static void op_finished(struct sim_exec *e, int32_t result)
{
    e->op->result = result;
    e->op_finished = true;
}

static void op_sync_end(struct sim_world *w, void *arg, uint64_t n)
{
    struct sim_exec *e = arg;
    op_finished(e, sim_op_sync_end(e->op, e->op_seq));
}

static void op_sync_begin(struct sim_world *w, struct sim_exec *e)
{
    e->op_syncing = true;
    int64_t ns = sim_op_sync_begin(e->op, &e->op_seq);
    if (sim_exec_alive(e))
        sim_event_add(w, w->now + ns, e->node, op_sync_end, e, 0);
}

static void op_write_end(struct sim_world *w, void *arg, uint64_t n)
{
    struct sim_exec *e = arg;
    int32_t r = sim_op_write_end(e->op);
    if (r >= 0 && e->op->sync)
        op_sync_begin(w, e);
    else
        op_finished(e, r);
}

static void op_begin(void *arg)
{
    struct os_file_op *op = arg;
    struct sim_exec *e = exec_of(op->exec);
    struct sim_world *w = e->node->w;
    e->op = op;
    e->op_syncing = e->op_finished = false;
    if (op->write)
        sim_event_add(w, w->now + sim_op_write_begin(op), e->node, op_write_end, e, 0);
    else if (op->sync)
        op_sync_begin(w, e);
    else
        op_finished(e, CHRONIK_DONE);
}

static void exec_file_submit(struct os_exec *x, struct os_file_op *op)
{
    struct sim_exec *e = live(x);
    op->exec = x;
    op->task = (struct chronik_task){.fn = op_begin, .arg = op};
    CHECK(tq_post(&e->queue, &op->task));
}

/* ---- scheduling ---- */

static bool due(struct sim_exec *e)
{
    struct task_queue *q = queue_of(e);
    return q->first || e->n_ready || (q->timers && tq_next_time(q) <= sim_node_mono(e->node));
}

static bool held(struct sim_exec *e)
{
    return !sim_exec_alive(e) || e->occupied || (e->op && !e->op_finished);
}

bool sim_exec_runnable(struct sim_exec *e)
{
    return !held(e) && e->busy_until <= e->node->w->now && (e->op_finished || due(e));
}

/* The first virtual moment at which the node's clock shows `mono`. */
static int64_t when_mono(struct sim_node *n, int64_t mono)
{
    int64_t ahead = mono - sim_node_mono(n);
    if (ahead <= 0)
        return n->w->now;
    return n->w->now + (int64_t)((__int128)ahead * 1000000 / (1000000 + n->ppm)) + 1;
}

int64_t sim_exec_next(struct sim_exec *e)
{
    if (held(e))
        return INT64_MAX;
    if (e->op_finished || due(e))
        return max_i64(e->busy_until, e->node->w->now);
    int64_t next = tq_next_time(queue_of(e));
    return next == INT64_MAX ? INT64_MAX : max_i64(e->busy_until, when_mono(e->node, next));
}

static void run_done(void *arg)
{
    struct os_file_op *op = arg;
    op->done(op);
}

static struct chronik_task *take(struct sim_exec *e)
{
    struct task_queue *q = queue_of(e);
    if (!e->worker)
        return tq_pop(q);
    /* The other worker may be ahead by one. */
    struct chronik_task *first = tq_pop(q);
    if (!first || !q->first || rng_below(&e->node->w->sched, 2) == 0)
        return first;
    struct chronik_task *second = tq_pop(q);
    struct task_queue rest = {0};
    tq_post(&rest, first);
    for (struct chronik_task *t; (t = tq_pop(q));)
        tq_post(&rest, t);
    *q = rest;
    return second;
}

void sim_exec_run(struct sim_exec *e)
{
    struct sim_world *w = e->node->w;
    if (e->op_finished) {
        struct os_file_op *op = e->op;
        e->op = NULL;
        e->op_finished = false;
        sim_enter(e->node, e, run_done, op);
        return;
    }
    struct task_queue *q = queue_of(e);
    tq_expire(q, sim_node_mono(e->node));
    if (e->n_ready && (!q->first || rng_below(&w->sched, 2)) && sim_sock_fire(e))
        return;
    struct chronik_task *t = take(e);
    if (t)
        sim_enter(e->node, e, t->fn, t->arg);
}

/* ---- the calls ---- */

static void exec_post(struct os_exec *x, struct chronik_task *t)
{
    tq_post(&live(x)->queue, t);
}

static void exec_post_at(struct os_exec *x, struct chronik_task *t, int64_t when)
{
    tq_post_at(&live(x)->queue, t, when);
}

static bool exec_cancel(struct os_exec *x, struct chronik_task *t)
{
    return tq_cancel(&live(x)->queue, t);
}

static bool exec_here(struct os_exec *x)
{
    struct sim_frame *f = live(x)->node->w->frame;
    return f && f->exec == exec_of(x);
}

static void exec_close(struct os_exec *x)
{
    struct sim_exec *e = live(x);
    struct sim_world *w = e->node->w;
    CHECK(!e->occupied);
    tq_drop_timers(&e->queue);
    while (sim_exec_alive(e) && (e->queue.first || e->op)) {
        CHECK(sim_step(w, INT64_MAX - 1));
        sim_leave_if_dead(w);
    }
    if (!sim_exec_alive(e))
        return; /* called from outside any frame and the node died meanwhile */
    tq_drop_timers(&e->queue);
    e->closed = true;
}

static void worker_post(struct os *os, struct chronik_task *t)
{
    CHECK(sim_up(os));
    tq_post(&node_of(os)->work, t);
}

static bool flag_wait(struct os *os, struct os_flag *f, int64_t timeout_ns)
{
    struct sim_node *n = node_of(os);
    struct sim_world *w = n->w;
    CHECK(!w->frame || !w->frame->exec); /* a task never waits */
    uint32_t incarnation = n->incarnation;
    int64_t end = timeout_ns > INT64_MAX - 1 - w->now ? INT64_MAX - 1 : w->now + timeout_ns;
    while (!f->set && w->now < end && n->incarnation == incarnation) {
        if (!sim_step(w, end))
            w->now = end;
        sim_leave_if_dead(w);
    }
    return f->set != 0;
}

static void flag_set(struct os *os, struct os_flag *f)
{
    f->set = 1;
}

static void exec_exit(struct os *os, int code)
{
    struct sim_node *n = node_of(os);
    if (!n->w->frame || n->w->frame->node != n) {
        fprintf(stderr, "sim: node %s called os_exit(%d) outside a task: enter it through sim_call\n", n->name, code);
        abort();
    }
    sim_die(n, false, code);
}

const struct os_exec_ops sim_exec_ops = {
    .open = exec_open,
    .post = exec_post,
    .post_at = exec_post_at,
    .cancel = exec_cancel,
    .here = exec_here,
    .close = exec_close,
    .worker_post = worker_post,
    .flag_wait = flag_wait,
    .flag_set = flag_set,
    .file_submit = exec_file_submit,
    .exit = exec_exit,
};
