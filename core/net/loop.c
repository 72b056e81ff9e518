#include <config.h>

/* loop.c: one event loop: which of its connections want a turn, which wait for request memory, the tick that checks
 * deadlines and gives memory back, and the loop's part of a stop. Runs on the loop's thread; only net_loop_wake_all may
 * come from another. */
#include <stdio.h>

#include "net/internal.h"

LOG_SUBSYSTEM("net");

static void list_add(struct net_conn_list *l, struct net_conn *c, struct net_conn **link_of_last)
{
    if (l->last)
        *link_of_last = c;
    else
        l->first = c;
    l->last = c;
}

/* ---- turns outside of socket events ---- */

void net_loop_dirty(struct net_conn *c)
{
    struct net_loop *l = c->loop;
    if (c->in_turn || c->dirty || c->closed)
        return;
    c->dirty = true;
    c->dirty_next = NULL;
    c->refs++;
    if (!l->dirty.first)
        os_exec_post(l->exec, &l->dirty_task);
    list_add(&l->dirty, c, l->dirty.last ? &l->dirty.last->dirty_next : NULL);
}

static void run_dirty(void *loop)
{
    struct net_loop *l = loop;
    struct net_conn *c = l->dirty.first;
    l->dirty = (struct net_conn_list){NULL, NULL};
    while (c) {
        struct net_conn *next = c->dirty_next;
        c->dirty = false;
        if (!c->closed)
            net_conn_turn(c, false);
        net_conn_unref(c);
        c = next;
    }
}

/* ---- request memory ---- */

void net_loop_starve(struct net_conn *c)
{
    struct net_loop *l = c->loop;
    if (c->starved)
        return;
    c->starved = true;
    if (c->starved_since == 0)
        c->starved_since = os_mono_ns(l->net->os);
    c->starved_next = NULL;
    c->refs++;
    metric_add(l->net->m.starved, 1);
    list_add(&l->starved, c, l->starved.last ? &l->starved.last->starved_next : NULL);
    if (l->waiting)
        return;
    l->waiting = true;
    atomic_fetch_add(&l->net->budget.waiting, 1);
    os_exec_post(l->exec, &l->wake_task); /* bytes may have come back before we were counted */
}

void net_loop_wake_all(void *net)
{
    struct net *n = net;
    for (uint32_t i = 0; i < n->n_loops; i++)
        if (n->loops[i].exec)
            os_exec_post(n->loops[i].exec, &n->loops[i].wake_task);
}

/* Those who waited longest go first; each that is refused again queues up anew. The loop stays counted as waiting
 * meanwhile: bytes that come back wake it, a refusal alone does not. */
static void run_starved(void *loop)
{
    struct net_loop *l = loop;
    struct net_conn *c = l->starved.first;
    if (!c)
        return;
    l->starved = (struct net_conn_list){NULL, NULL};
    while (c) {
        struct net_conn *next = c->starved_next;
        c->starved = false;
        if (!c->closed)
            net_conn_turn(c, true);
        net_conn_unref(c);
        c = next;
    }
    if (!l->starved.first) {
        l->waiting = false;
        atomic_fetch_sub(&l->net->budget.waiting, 1);
    }
}

/* ---- the tick ---- */

static bool give_back(struct net_loop *l)
{
    bool more = net_pool_trim(&l->pool);
    net_req_trim(l, NET_KEEP_REQS);
    net_out_pool_trim(&l->outs, NET_KEEP_OUTS);
    return more;
}

static void tick_on(struct net_loop *l)
{
    if (l->ticking)
        return;
    l->ticking = true;
    os_exec_post_at(l->exec, &l->tick_task, os_mono_ns(l->net->os) + l->net->tick_ns);
}

static void tick(void *loop)
{
    struct net_loop *l = loop;
    int64_t now = os_mono_ns(l->net->os);
    l->ticking = false;
    for (struct net_conn *c = l->conns; c; c = c->next)
        net_conn_check(c, now);
    if (l->starved.first)
        os_exec_post(l->exec, &l->wake_task);
    if (give_back(l) || l->conns)
        tick_on(l);
}

bool net_loop_may_log(struct net_loop *l, int64_t now)
{
    if (now - l->log_window > NET_SECOND) {
        if (l->log_dropped > 0)
            log_warn("%u more connections were closed by the broker", l->log_dropped);
        l->log_window = now;
        l->log_lines = l->log_dropped = 0;
    }
    if (l->log_lines < NET_LOG_LINES) {
        l->log_lines++;
        return true;
    }
    l->log_dropped++;
    return false;
}

/* ---- connections ---- */

void net_loop_adopt(struct net_conn *c)
{
    struct net_loop *l = c->loop;
    c->next = l->conns;
    c->prev = NULL;
    if (c->next)
        c->next->prev = c;
    l->conns = c;
    l->n_live++;
    tick_on(l);
}

void net_loop_forget(struct net_conn *c)
{
    struct net_loop *l = c->loop;
    if (c->prev)
        c->prev->next = c->next;
    else
        l->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    atomic_fetch_sub(&l->n_assigned, 1);
    atomic_fetch_sub(&l->net->n_conns, 1);
}

static void check_stopped(struct net_loop *l)
{
    struct net *n = l->net;
    if (!l->stopping || l->stopped || l->n_live > 0 || atomic_load(&l->n_assigned) > 0)
        return;
    l->stopped = true;
    os_exec_cancel(l->exec, &l->force_task);
    if (atomic_fetch_sub(&n->n_running, 1) > 1)
        return;
    os_mutex_lock(&n->lock);
    void (*done)(void *arg) = n->done;
    void *arg = n->done_arg;
    n->done = NULL;
    n->ended = true;
    os_mutex_unlock(&n->lock);
    if (done)
        done(arg);
    os_flag_set(n->os, &n->all_stopped);
}

void net_loop_freed(struct net_loop *l)
{
    CHECK(l->n_live > 0);
    l->n_live--;
    check_stopped(l);
}

/* ---- stop ---- */

static void force(void *loop)
{
    struct net_loop *l = loop;
    if (l->conns)
        log_info("loop %u closes connections whose answers did not go out in time", l->no);
    for (struct net_conn *c = l->conns; c; c = c->next)
        net_conn_doom(c, NET_BLAME_POLICY, "the broker is stopping");
}

void net_loop_stop(void *loop)
{
    struct net_loop *l = loop;
    struct net *n = l->net;
    if (!l->stopping && l->no == 0) {
        net_accept_stop(n);
        for (uint32_t i = 1; i < n->n_loops; i++)
            os_exec_post(n->loops[i].exec, &n->loops[i].stop_task);
    }
    l->stopping = true;
    for (struct net_conn *c = l->conns; c; c = c->next)
        net_loop_dirty(c);
    if (!l->stopped)
        os_exec_post_at(l->exec, &l->force_task, atomic_load(&n->stop_at));
    check_stopped(l);
}

/* ---- open, free ---- */

int32_t net_loop_open(struct net_loop *l, struct err *e)
{
    struct net *n = l->net;
    char name[16], label[32];
    snprintf(name, sizeof name, "loop-%u", l->no);
    snprintf(label, sizeof label, "loop=\"%u\"", l->no);
    net_pool_init(&l->pool, &n->budget);
    l->busy =
        metric_get(METRIC_COUNTER, "net_loop_busy_nanoseconds_total", label, "Time the loop spent on its connections.");
    l->dirty_task = (struct chronik_task){.fn = run_dirty, .arg = l};
    l->wake_task = (struct chronik_task){.fn = run_starved, .arg = l};
    l->tick_task = (struct chronik_task){.fn = tick, .arg = l};
    l->stop_task = (struct chronik_task){.fn = net_loop_stop, .arg = l};
    l->force_task = (struct chronik_task){.fn = force, .arg = l};
    int32_t r = os_exec_open(n->os, name, OS_EXEC_LOOP, &l->exec);
    if (r < 0)
        return err_set(e, r, "event loop %u cannot be started: lower chronik.loops or raise the limit of threads",
                       l->no);
    return CHRONIK_DONE;
}

void net_loop_free(struct net_loop *l)
{
    net_req_trim(l, 0);
    net_out_pool_trim(&l->outs, 0);
    net_pool_free(&l->pool);
}
