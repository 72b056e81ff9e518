#include <config.h>

/* net.c: opens and closes the whole: limits, loops, listeners, the orderly stop. Called by main's thread (net_stop: any
 * thread); everything it starts runs on the loops. */
#include <stdio.h>
#include <stdlib.h>

#include "net/internal.h"

LOG_SUBSYSTEM("net");

#define CLOSE_WAIT (10 * NET_SECOND)

static int64_t gauge_connections(void *arg)
{
    return (int64_t)net_connections(arg);
}

static int64_t gauge_buffers(void *arg)
{
    struct net *n = arg;
    return (int64_t)atomic_load(&n->budget.used);
}

static int64_t gauge_in_flight(void *arg)
{
    struct net *n = arg;
    int64_t sum = 0;
    for (uint32_t i = 0; i < n->n_loops; i++)
        sum += atomic_load_explicit(&n->loops[i].n_pending, memory_order_relaxed);
    return sum;
}

static void open_metrics(struct net *n)
{
    struct net_metrics *m = &n->m;
    m->accepted = metric_get(METRIC_COUNTER, "net_connections_accepted_total", "", "Connections accepted.");
    m->refused = metric_get(METRIC_COUNTER, "net_connections_refused_total", "", "Connections beyond a limit.");
    m->bytes_in = metric_get(METRIC_COUNTER, "net_received_bytes_total", "", "Bytes received from clients.");
    m->bytes_out = metric_get(METRIC_COUNTER, "net_sent_bytes_total", "", "Bytes sent to clients.");
    m->requests = metric_get(METRIC_COUNTER, "net_requests_total", "", "Requests taken up.");
    m->stalls = metric_get(METRIC_COUNTER, "net_loop_stalls_total", "", "Turns of a loop longer than 20 ms.");
    m->cold = metric_get(METRIC_COUNTER, "net_cold_reads_total", "",
                         "Chunks of file ranges that were not in the page cache.");
    m->pauses = metric_get(METRIC_COUNTER, "net_accept_pauses_total", "", "Pauses for want of descriptors.");
    m->starved = metric_get(METRIC_COUNTER, "net_memory_waits_total", "",
                            "Times a connection waited for queued.max.request.bytes.");
    metric_gauge_fn("net_connections", "", "Open connections.", gauge_connections, n);
    metric_gauge_fn("net_request_buffer_bytes", "", "Memory of requests in use.", gauge_buffers, n);
    metric_gauge_fn("net_requests_in_flight", "", "Requests without an answer.", gauge_in_flight, n);
}

static void drop_gauges(void)
{
    metric_gauge_fn_drop("net_connections", "");
    metric_gauge_fn_drop("net_request_buffer_bytes", "");
    metric_gauge_fn_drop("net_requests_in_flight", "");
}

static void default_u32(uint32_t *v, uint32_t d)
{
    if (*v == 0)
        *v = d;
}

void net_set_max_connections(struct net *n, uint32_t most)
{
    uint64_t files = os_file_limit(n->os);
    uint64_t room = files > n->cfg.reserve_files ? files - n->cfg.reserve_files : 1;
    __atomic_store_n(&n->cfg.max_connections, most > room ? (uint32_t)room : most, __ATOMIC_RELAXED);
}

static void complete_config(struct net *n)
{
    struct net_config *c = &n->cfg;
    uint64_t files = os_file_limit(n->os);
    default_u32(&c->loops, 1);
    default_u32(&c->max_frame, 100u * 1024 * 1024);
    default_u32(&c->max_connections, INT32_MAX);
    default_u32(&c->max_connections_per_ip, INT32_MAX);
    default_u32(&c->reserve_files, (uint32_t)(files / 4));
    default_u32(&c->max_in_flight, 64);
    default_u32(&c->max_unsent, 64 * 1024);
    if (c->max_frame > INT32_MAX)
        c->max_frame = INT32_MAX;
    if (c->max_queued == 0)
        c->max_queued = UINT64_C(256) << 20;
    if (c->idle_ns == 0)
        c->idle_ns = 600 * NET_SECOND;
    if (c->partial_ns == 0)
        c->partial_ns = 30 * NET_SECOND;
    net_set_max_connections(n, c->max_connections);
    if (c->max_connections_per_ip >= INT32_MAX)
        c->max_connections_per_ip = UINT32_MAX;
    n->tick_ns = min_i64(NET_SECOND, c->partial_ns / 4);
    if (c->idle_ns > 0)
        n->tick_ns = min_i64(n->tick_ns, c->idle_ns / 4);
    n->tick_ns = max_i64(n->tick_ns, NET_SECOND / 100);
}

static void free_all(struct net *n)
{
    for (uint32_t i = 0; i < n->n_loops; i++)
        net_loop_free(&n->loops[i]);
    while (n->listeners) {
        struct net_listener *ln = n->listeners;
        n->listeners = ln->next;
        if (ln->sock)
            os_sock_close(ln->sock);
        free(ln);
    }
    os_mutex_destroy(&n->lock);
    free(n->loops);
    free(n);
}

int32_t net_open(struct os *os, const struct net_config *cfg, const struct net_handler *handler, struct net **out,
                 struct err *e)
{
    int32_t r = CHRONIK_DONE;
    struct net *n = calloc(1, sizeof *n);
    if (!n)
        return err_set(e, CHRONIK_E_NOMEM, "no memory for the event loops");
    n->os = os;
    n->cfg = *cfg;
    n->handler = *handler;
    complete_config(n);
    n->budget = (struct net_budget){.max = n->cfg.max_queued, .wake = net_loop_wake_all, .wake_arg = n};
    atomic_store(&n->stop_at, INT64_MAX);
    atomic_store(&n->pressed_at, INT64_MIN / 2);
    os_mutex_init(&n->lock, LOCK_NET);
    n->loops = calloc(n->cfg.loops, sizeof *n->loops);
    if (!n->loops) {
        free_all(n);
        return err_set(e, CHRONIK_E_NOMEM, "no memory for %u event loops", cfg->loops);
    }
    for (uint32_t i = 0; i < n->cfg.loops && r > 0; i++) {
        n->loops[i].net = n;
        n->loops[i].no = i;
        r = net_loop_open(&n->loops[i], e);
        if (r > 0)
            n->n_loops++;
    }
    if (r > 0)
        r = net_cold_open(n, e);
    if (r < 0) {
        for (uint32_t i = 0; i < n->n_loops; i++)
            os_exec_close(n->loops[i].exec);
        free_all(n);
        return r;
    }
    atomic_store(&n->n_running, n->n_loops);
    open_metrics(n);
    *out = n;
    return CHRONIK_DONE;
}

uint32_t net_loops(const struct net *n)
{
    return n->n_loops;
}

struct os_exec *net_loop(const struct net *n, uint32_t i)
{
    CHECK(i < n->n_loops);
    return n->loops[i].exec;
}

uint64_t net_connections(const struct net *n)
{
    return atomic_load(&n->n_conns);
}

int32_t net_listen(struct net *n, const char *name, const char *address, const struct net_listener_info **info,
                   struct err *e)
{
    struct net_listener *ln = calloc(1, sizeof *ln);
    if (!ln)
        return err_set(e, CHRONIK_E_NOMEM, "listener %s: no memory", name);
    int32_t r = os_listen(n->os, address, 1024, &ln->sock, &ln->info.port, e);
    if (r < 0) {
        free(ln);
        return err_prefix(e, "listener %s", name);
    }
    ln->net = n;
    ln->info.index = n->n_listeners++;
    snprintf(ln->info.name, sizeof ln->info.name, "%s", name);
    snprintf(ln->info.address, sizeof ln->info.address, "%s", address);
    ln->open_task = (struct chronik_task){.fn = net_listener_open, .arg = ln};
    os_mutex_lock(&n->lock);
    ln->next = n->listeners;
    n->listeners = ln;
    os_mutex_unlock(&n->lock);
    os_exec_post(n->loops[0].exec, &ln->open_task);
    if (info)
        *info = &ln->info;
    return CHRONIK_DONE;
}

void net_stop(struct net *n, int64_t grace_ns, void (*done)(void *arg), void *arg)
{
    int64_t at = os_mono_ns(n->os) + grace_ns;
    os_mutex_lock(&n->lock);
    bool first = !n->stop_called;
    n->stop_called = true;
    bool ended = n->ended;
    if (done && !ended) { /* whoever asks to be told may come after one who only hurries */
        n->done = done;
        n->done_arg = arg;
    }
    if (at < atomic_load(&n->stop_at))
        atomic_store(&n->stop_at, at);
    os_mutex_unlock(&n->lock);
    if (done && ended)
        done(arg);
    os_exec_post(n->loops[0].exec, &n->loops[0].stop_task);
    for (uint32_t i = 1; i < n->n_loops && !first; i++)
        os_exec_post(n->loops[i].exec, &n->loops[i].stop_task);
}

void net_close(struct net *n)
{
    net_stop(n, 0, NULL, NULL);
    bool clean = os_flag_wait(n->os, &n->all_stopped, CLOSE_WAIT);
    if (!clean)
        log_error("requests without an answer are left after %lld s; their memory is given up",
                  (long long)(CLOSE_WAIT / NET_SECOND));
    os_exec_close(n->cold.exec); /* posts to loops */
    for (uint32_t i = 0; i < n->n_loops; i++)
        os_exec_close(n->loops[i].exec);
    drop_gauges();
    if (clean)
        free_all(n);
}
