/* meta.c: making, starting, watching and closing a struct meta. The order of the end: no new proposals, pending ones
 * answered, the engine closed, the last checkpoint, the executors. Nothing here waits: each step is the completion of
 * the one before. */
#include "meta/meta.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "meta/meta_int.h"

LOG_SUBSYSTEM("meta");

#define WATCH_NS (INT64_C(500) * 1000 * 1000)
#define STALL_NS (INT64_C(1400) * 1000 * 1000) /* seen within two seconds, the watch included */

/* ---- options ---- */

static void self_copy(struct meta_self *s)
{
    struct meta_endpoint *e = meta_xmalloc(s->n_endpoints * sizeof *e);
    for (uint32_t i = 0; i < s->n_endpoints; i++) {
        e[i] = s->endpoints[i];
        e[i].listener = meta_xstrdup(e[i].listener);
        e[i].host = meta_xstrdup(e[i].host);
    }
    s->endpoints = e;
    struct chronik_uuid *d = meta_xmalloc(s->n_dirs * sizeof *d);
    if (s->n_dirs)
        memcpy(d, s->dirs, s->n_dirs * sizeof *d);
    s->dirs = d;
    s->rack = meta_xstrdup(s->rack);
    struct meta_feature *f = meta_xmalloc(s->n_features * sizeof *f);
    for (uint32_t i = 0; i < s->n_features; i++)
        f[i] = (struct meta_feature){meta_xstrdup(s->features[i].name), s->features[i].level};
    s->features = f;
}

static void self_free(struct meta_self *s)
{
    for (uint32_t i = 0; i < s->n_endpoints; i++) {
        free((char *)(uintptr_t)s->endpoints[i].listener);
        free((char *)(uintptr_t)s->endpoints[i].host);
    }
    for (uint32_t i = 0; i < s->n_features; i++)
        free((char *)(uintptr_t)s->features[i].name);
    free((void *)(uintptr_t)s->features);
    free((void *)(uintptr_t)s->endpoints);
    free((void *)(uintptr_t)s->dirs);
    free((char *)(uintptr_t)s->rack);
}

/* ---- life ---- */

static void pump_run(void *arg)
{
    propose_pump(arg);
}

static void watch_run(void *arg);

static int32_t open_executors(struct meta *m, struct err *e)
{
    int32_t rc = m->host.exec_open(m->host.ctx, "meta-apply", 0, &m->apply);
    if (rc >= 0)
        rc = m->host.exec_open(m->host.ctx, "meta-low", CHRONIK_EXEC_LOW, &m->low);
    return rc < 0 ? err_set(e, rc, "metadata: no executor can be opened: too many threads or too little memory") : rc;
}

static int32_t create_engine(struct meta *m, struct err *e)
{
    struct chronik_meta_events ev;
    engine_events(m, &ev);
    struct chronik_meta_config cfg = {.size = sizeof cfg,
                                      .node_id = (uint32_t)m->opt.node_id,
                                      .cluster_id = m->opt.cluster_id,
                                      .apply_exec = m->apply,
                                      .dir = m->opt.dir};
    int32_t rc = m->ops->create(&m->host, &cfg, &ev, &m->engine);
    return rc < 0 ? err_set(e, rc, "metadata: the module could not make an instance (%d); its own message says why", rc)
                  : rc;
}

static void meta_drop(struct meta *m)
{
    reconcile_free(m);
    meta_reader_close(m->low_reader);
    checkpoint_close(m);
    meta_state_free(&m->st);
    const struct meta_image *i = atomic_load(&m->mem.current);
    if (i)
        meta_mem_drop(&m->mem, i, 0);
    meta_mem_free(&m->mem);
    self_free(&m->opt.self);
    logmap_reset(m);
    free(m->answers);
    os_mutex_destroy(&m->lock);
    free(m);
}

static void nobody(void *arg, int32_t rc)
{
}

int32_t meta_new(struct os *os, const struct chronik_host *host, const struct chronik_meta_ops *ops,
                 const struct meta_options *opt, struct meta **out, struct err *e)
{
    *out = NULL;
    if (opt->node_id < 0)
        return err_set(e, CHRONIK_E_INVAL, "metadata: node.id %d is negative", opt->node_id);
    struct meta *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, CHRONIK_E_NOMEM, "metadata: out of memory");
    m->os = os;
    memcpy(&m->host, host, min_size(host->size, sizeof m->host));
    m->host.size = sizeof m->host;
    m->ops = ops;
    m->opt = *opt;
    self_copy(&m->opt.self);
    m->broker_epoch = -1;
    os_random(os, m->incarnation.b, sizeof m->incarnation.b);
    os_mutex_init(&m->lock, LOCK_META);
    meta_mem_init(&m->mem);
    meta_state_init(&m->st, &m->mem);
    propose_init(m);
    m->low_reader = meta_mem_reader(&m->mem);
    m->pump_task = (struct chronik_task){.fn = pump_run, .arg = m};
    int32_t rc = checkpoint_open(m, e);
    if (rc >= 0)
        rc = open_executors(m, e);
    if (rc >= 0) {
        meta_state_changes_clear(&m->st);
        engine_publish(m);
        rc = create_engine(m, e);
    }
    if (rc < 0) {
        if (m->low)
            m->host.exec_close(m->low, (struct chronik_done){nobody, NULL});
        if (m->apply)
            m->host.exec_close(m->apply, (struct chronik_done){nobody, NULL});
        meta_drop(m);
        return rc;
    }
    *out = m;
    return CHRONIK_DONE;
}

static void engine_started(void *arg, int32_t rc)
{
    struct meta *m = arg;
    if (rc == CHRONIK_E_CANCELED && m->closing)
        return; /* the stop overtook the start */
    if (rc < 0) {
        engine_stop(m, rc, "the metadata log could not be opened; the message before this one says why");
        return;
    }
    m->started = true;
    propose_pump(m);
}

static void start_run(void *arg)
{
    struct meta *m = arg;
    int32_t rc = m->ops->start(m->engine, m->st.img.pos, m->st.img.seq, (struct chronik_done){engine_started, m});
    if (rc != CHRONIK_PENDING)
        engine_started(m, rc);
}

int32_t meta_start(struct meta *m, struct err *e)
{
    m->start_task = (struct chronik_task){.fn = start_run, .arg = m};
    m->watch_task = (struct chronik_task){.fn = watch_run, .arg = m};
    m->watch_last = os_mono_ns(m->os);
    m->host.exec_post(m->apply, &m->start_task);
    m->host.exec_post_at(m->low, &m->watch_task, m->watch_last + WATCH_NS);
    return CHRONIK_DONE;
}

static void apply_closed(void *arg, int32_t rc)
{
    struct meta *m = arg;
    struct chronik_done done = m->closed;
    done.fn(done.arg, CHRONIK_DONE);
}

static void low_closed(void *arg, int32_t rc)
{
    struct meta *m = arg;
    m->host.exec_close(m->apply, (struct chronik_done){apply_closed, m});
}

static void close_executors(void *arg)
{
    struct meta *m = arg;
    m->host.exec_close(m->low, (struct chronik_done){low_closed, m});
}

static void final_run(void *arg)
{
    struct meta *m = arg;
    checkpoint_final(m);
    m->worker_task = (struct chronik_task){.fn = close_executors, .arg = m};
    m->host.worker_post(m->host.ctx, &m->worker_task);
}

static void engine_closed(void *arg, int32_t rc)
{
    struct meta *m = arg;
    m->engine = NULL;
    m->final_task = (struct chronik_task){.fn = final_run, .arg = m};
    m->host.exec_post(m->low, &m->final_task);
}

/* On the low executor: no snapshot is being written any more. */
static void close_engine(void *arg)
{
    struct meta *m = arg;
    int32_t rc = m->ops->close(m->engine, (struct chronik_done){engine_closed, m});
    if (rc != CHRONIK_PENDING)
        engine_closed(m, rc);
}

static void close_run(void *arg)
{
    struct meta *m = arg;
    propose_fail_all(m);
    m->closed_task = (struct chronik_task){.fn = close_engine, .arg = m};
    m->host.exec_post(m->low, &m->closed_task);
}

static void reconciler_closed(void *arg)
{
    struct meta *m = arg;
    m->close_task = (struct chronik_task){.fn = close_run, .arg = m};
    m->host.exec_post(m->apply, &m->close_task);
}

void meta_close(struct meta *m, struct chronik_done done)
{
    os_mutex_lock(&m->lock);
    m->closing = true;
    m->closed = done;
    os_mutex_unlock(&m->lock);
    if (m->rec)
        reconcile_close(m, reconciler_closed, m);
    else
        reconciler_closed(m);
}

void meta_free(struct meta *m)
{
    if (m)
        meta_drop(m);
}

struct chronik_uuid meta_incarnation(struct meta *m)
{
    return m->incarnation;
}

int64_t meta_broker_epoch(struct meta *m)
{
    os_mutex_lock(&m->lock);
    int64_t e = m->broker_epoch;
    os_mutex_unlock(&m->lock);
    return e;
}

bool meta_is_caught_up(struct meta *m)
{
    os_mutex_lock(&m->lock);
    bool yes = m->caught_up;
    os_mutex_unlock(&m->lock);
    return yes;
}

struct meta_reader *meta_reader_open(struct meta *m)
{
    return meta_mem_reader(&m->mem);
}

void meta_subscribe(struct meta *m, struct meta_sub *s)
{
    struct meta_sub **at = &m->subs;
    while (*at)
        at = &(*at)->next;
    s->next = NULL;
    *at = s;
}

static bool is_closing(struct meta *m)
{
    os_mutex_lock(&m->lock);
    bool closing = m->closing;
    os_mutex_unlock(&m->lock);
    return closing;
}

int32_t meta_read_barrier(struct meta *m, struct chronik_done done)
{
    return is_closing(m) ? CHRONIK_E_CLOSED : m->ops->read_barrier(m->engine, done);
}

/* ---- the quorum ---- */

int32_t meta_members(struct meta *m, void (*each)(void *arg, const struct chronik_meta_member *x), void *arg)
{
    return is_closing(m) ? CHRONIK_E_CLOSED : m->ops->members(m->engine, each, arg);
}

int32_t meta_member_change(struct meta *m, const struct chronik_meta_change *c, struct chronik_done done)
{
    return is_closing(m) ? CHRONIK_E_CLOSED : m->ops->member_change(m->engine, c, done);
}

/* ---- status and watchdog ---- */

static void engine_status(struct meta *m, struct chronik_meta_status *s)
{
    *s = (struct chronik_meta_status){.size = sizeof *s, .leader = -1};
    if (m->engine)
        m->ops->status(m->engine, s);
}

void meta_status_get(struct meta *m, struct meta_status *out)
{
    memset(out, 0, sizeof *out);
    engine_status(m, &out->engine);
    snprintf(out->engine_stalled, sizeof out->engine_stalled, "%s", out->engine.stalled ? out->engine.stalled : "");
    out->engine.stalled = out->engine_stalled[0] ? out->engine_stalled : NULL;
    out->image_bytes = atomic_load_explicit(&m->mem.bytes, memory_order_relaxed);
    os_mutex_lock(&m->lock);
    out->seq = m->seq;
    memcpy(out->digest, m->digest, sizeof out->digest);
    /* An engine's own entries (Raft has some) are applied without us. */
    out->applied_index = m->applied_index > out->engine.applied ? m->applied_index : out->engine.applied;
    out->checkpoint_seq = m->cp.done_seq;
    out->snapshot_seq = m->snapshot_seq;
    for (int k = 0; k < CHRONIK_META_CLASSES; k++)
        out->queued += m->session[k].n_queued;
    out->open = m->n_open;
    out->topics = m->topics;
    out->partitions = m->partitions;
    out->brokers = m->brokers;
    out->caught_up = m->caught_up;
    out->registered = m->registered;
    out->stopped = m->stopped;
    out->stuck_ms = m->stuck_since ? (os_mono_ns(m->os) - m->stuck_since) / 1000000 : 0;
    memcpy(out->stalled, m->stalled, sizeof out->stalled);
    memcpy(out->stopped_why, m->stopped_why, sizeof out->stopped_why);
    memcpy(out->checkpoint, m->cp.why, sizeof out->checkpoint);
    os_mutex_unlock(&m->lock);
}

uint32_t meta_digests(struct meta *m, struct meta_digest out[META_TRAIL])
{
    os_mutex_lock(&m->lock);
    uint64_t n = m->trail.n < META_TRAIL ? m->trail.n : META_TRAIL;
    for (uint64_t i = 0; i < n; i++)
        out[i] = m->trail.v[(m->trail.n - n + i) % META_TRAIL];
    os_mutex_unlock(&m->lock);
    return (uint32_t)n;
}

/* The engine's own sentence goes to the log when it begins; /status has it as long as it lasts. */
static void watch_engine(struct meta *m, const struct chronik_meta_status *s)
{
    bool stalled = s->stalled && s->role != CHRONIK_META_ROLE_NONE; /* without a leader the engine speaks itself */
    if (stalled && !m->engine_stall_said)
        log_error("metadata: %s", s->stalled);
    m->engine_stall_said = stalled;
}

/* Committed and not applied, and nothing moved since the last look: says so once. */
static void watch_run(void *arg)
{
    struct meta *m = arg;
    struct chronik_meta_status s;
    os_mutex_lock(&m->lock);
    bool closing = m->closing;
    uint64_t applied = m->applied_index;
    bool stopped = m->stopped;
    os_mutex_unlock(&m->lock);
    if (closing)
        return;
    engine_status(m, &s);
    if (s.applied > applied)
        applied = s.applied; /* an engine's own entries are applied without us */
    int64_t now = os_mono_ns(m->os);
    bool late = now - m->watch_last > 3 * WATCH_NS; /* the whole process stood still: nothing is known of its parts */
    m->watch_last = now;
    if (applied != m->watch_applied || s.committed <= applied || stopped || late) {
        m->watch_applied = applied;
        m->watch_since = now;
    }
    bool stalled = now - m->watch_since >= STALL_NS;
    if (!late)
        watch_engine(m, &s);
    os_mutex_lock(&m->lock);
    bool fresh = stalled && !m->stalled[0];
    if (stalled)
        snprintf(m->stalled, sizeof m->stalled,
                 "apply stands still: entry %" PRIu64 " of %" PRIu64 " committed is applied, for %" PRId64
                 " ms; the executor meta-apply does not run",
                 applied, s.committed, (now - m->watch_since) / 1000000);
    else
        m->stalled[0] = 0;
    bool inside = stalled || (s.stall == CHRONIK_META_STALL_INSIDE && !late);
    m->stuck_since = !inside ? 0 : m->stuck_since ? m->stuck_since : now;
    os_mutex_unlock(&m->lock);
    if (fresh)
        log_error("metadata: %s", m->stalled);
    m->host.exec_post_at(m->low, &m->watch_task, now + WATCH_NS);
}
