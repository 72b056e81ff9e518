/* plugin.c: meta-raft's table of operations and its way in: a proposal is copied once, put into the inbox of its class
 * under the leaf mutex, and the raft executor is woken. Any thread; the mutex is never held across a call to the
 * host. */
#include "peer.h"
#include "raft.h"

#include <stdio.h>
#include <stdlib.h>

void plist_init(struct plist *q)
{
    q->head = NULL;
    q->tail = &q->head;
    q->n = 0;
}

void plist_push(struct plist *q, struct proposal *p)
{
    p->next = NULL;
    *q->tail = p;
    q->tail = &p->next;
    q->n++;
}

struct proposal *plist_pop(struct plist *q)
{
    struct proposal *p = q->head;
    if (!p)
        return NULL;
    q->head = p->next;
    if (!q->head)
        q->tail = &q->head;
    q->n--;
    return p;
}

void plist_move(struct plist *to, struct plist *from)
{
    if (!from->n)
        return;
    *to->tail = from->head;
    to->tail = from->tail;
    to->n += from->n;
    plist_init(from);
}

/* ---- life ---- */

static void init(chronik_meta *m)
{
    pthread_mutex_init(&m->lock, NULL);
    m->alloc = start_alloc();
    m->step_task = (struct chronik_task){.fn = raft_step, .arg = m};
    m->deliver_task = (struct chronik_task){.fn = deliver_run, .arg = m};
    struct plist *all[] = {&m->inbox[0],     &m->inbox[1],    &m->inbox[2], &m->inbox_now[0], &m->inbox_now[1],
                           &m->inbox_now[2], &m->barriers_in, &m->waiting,  &m->barriers,     &m->barriers_next};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        plist_init(all[i]);
    m->events_tail = &m->events;
    m->flights_tail = &m->flights;
    m->runs.end = 0;
    m->pub.leader = -1;
    /* A late answer to a read of an earlier life must not look like one of ours. */
    m->read_last = raft_random(m, 0) >> 1 | 1;
    m->commands = m->host.metric_open(m->host.ctx, CHRONIK_METRIC_COUNTER, "meta_raft_commands_total",
                                      "Commands that the quorum has committed and this node has delivered");
    m->elections = m->host.metric_open(m->host.ctx, CHRONIK_METRIC_COUNTER, "meta_raft_elections_won_total",
                                       "Elections that this node has won");
}

static int32_t op_create(const struct chronik_host *host, const struct chronik_meta_config *cfg,
                         const struct chronik_meta_events *ev, chronik_meta **out)
{
    if (!CHRONIK_HAS(struct chronik_host, host, stream_close) || !CHRONIK_HAS(struct chronik_meta_config, cfg, dir) ||
        !CHRONIK_HAS(struct chronik_meta_events, ev, failed))
        return CHRONIK_E_VERSION;
    chronik_meta *m = calloc(1, sizeof *m);
    if (!m)
        return CHRONIK_E_NOMEM;
    memcpy(&m->host, host, min_u64(host->size, sizeof m->host));
    memcpy(&m->cfg, cfg, min_u64(cfg->size, sizeof m->cfg));
    memcpy(&m->ev, ev, min_u64(ev->size, sizeof m->ev));
    int32_t rc = settings_load(m);
    if (rc > 0)
        rc = net_new(m);
    if (rc > 0)
        rc = m->host.exec_open(m->host.ctx, "meta-raft", 0, &m->exec);
    if (rc < 0) {
        net_free(m);
        free(m);
        return rc;
    }
    init(m);
    *out = m;
    return CHRONIK_DONE;
}

static int32_t op_start(chronik_meta *m, struct chronik_meta_pos applied, uint64_t seq, struct chronik_done done)
{
    (void)seq;
    pthread_mutex_lock(&m->lock);
    int32_t rc = m->closing ? CHRONIK_E_CLOSED : m->stage != STAGE_NEW ? CHRONIK_E_INVAL : CHRONIK_PENDING;
    if (rc == CHRONIK_PENDING) {
        m->stage = STAGE_OPENING;
        m->start_done = done;
        m->host_pos = applied;
    }
    pthread_mutex_unlock(&m->lock);
    if (rc == CHRONIK_PENDING) {
        m->worker_task = (struct chronik_task){.fn = start_work, .arg = m};
        m->host.worker_post(m->host.ctx, &m->worker_task);
    }
    return rc;
}

static int32_t op_close(chronik_meta *m, struct chronik_done done)
{
    pthread_mutex_lock(&m->lock);
    int32_t rc = m->closing ? CHRONIK_E_CLOSED : CHRONIK_PENDING;
    if (rc == CHRONIK_PENDING) {
        m->closing = 1;
        m->close_done = done;
    }
    pthread_mutex_unlock(&m->lock);
    if (rc == CHRONIK_PENDING)
        raft_post(m);
    return rc;
}

static void drop(chronik_meta *m)
{
    while (m->flights) {
        struct flight *f = m->flights;
        m->flights = f->next;
        rc_ready_release(&f->rd);
        free(f);
    }
    while (m->groups) {
        struct group *g = m->groups;
        m->groups = g->next;
        free(g);
    }
    for (uint32_t i = 0; m->found.v && i < m->found.n; i++)
        rc_buf_unref(m->found.v[i].data);
    free(m->found.v);
    free(m->runs.v);
    if (m->rc)
        rc_free(m->rc);
    net_free(m);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* On the apply executor, behind all events: the instance is gone. */
static void last_step(void *arg)
{
    chronik_meta *m = arg;
    while (m->events) {
        deliver_run(m);
        m->host.exec_cancel(m->cfg.apply_exec, &m->deliver_task);
    }
    struct chronik_done done = m->close_done, start = m->start_done;
    drop(m);
    if (start.fn)
        start.fn(start.arg, CHRONIK_E_CANCELED);
    done.fn(done.arg, CHRONIK_DONE);
}

/* The raft executor has ended; any thread. */
void close_finish(chronik_meta *m)
{
    m->reap_task = (struct chronik_task){.fn = last_step, .arg = m};
    m->host.exec_post(m->cfg.apply_exec, &m->reap_task);
}

/* ---- proposing ---- */

/* Room in the class, or why not. Counts the command in. */
static int32_t admit(chronik_meta *m, uint32_t klass, uint64_t n)
{
    int32_t rc = CHRONIK_DONE;
    if (m->closing)
        rc = CHRONIK_E_CLOSED;
    else if (m->stage != STAGE_RUNNING || m->pub.role == CHRONIK_META_ROLE_NONE)
        rc = CHRONIK_E_NOT_LEADER;
    else if (m->class_n[klass] >= RAFT_QUEUE || m->class_bytes[klass] + n > RAFT_QUEUE_BYTES)
        rc = CHRONIK_E_BUSY;
    if (rc > 0) {
        m->class_n[klass]++;
        m->class_bytes[klass] += n;
    }
    return rc;
}

static struct proposal *proposal_new(chronik_meta *m, const struct chronik_iov *iov, uint32_t n_iov, uint64_t n)
{
    struct proposal *p = calloc(1, sizeof *p);
    struct rc_buf *b = p ? rc_buf_new(&m->alloc, (uint32_t)n + 1) : NULL;
    if (!b) {
        free(p);
        return NULL;
    }
    uint8_t *to = b->bytes;
    *to++ = PAYLOAD_COMMAND;
    for (uint32_t i = 0; i < n_iov; i++) {
        if (iov[i].n)
            memcpy(to, iov[i].p, iov[i].n);
        to += iov[i].n;
    }
    p->buf = b;
    p->n = (uint32_t)n;
    return p;
}

static int32_t op_propose(chronik_meta *m, uint32_t klass, const struct chronik_iov *iov, uint32_t n_iov,
                          struct chronik_done done)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < n_iov; i++)
        n += iov[i].n;
    if (klass >= CHRONIK_META_CLASSES || n == 0)
        return CHRONIK_E_INVAL;
    if (n > CHRONIK_META_MAX_COMMAND)
        return CHRONIK_E_TOOBIG;
    struct proposal *p = proposal_new(m, iov, n_iov, n);
    if (!p)
        return CHRONIK_E_NOMEM;
    p->done = done;
    p->klass = klass;
    p->at = m->host.mono_ns(m->host.ctx);
    pthread_mutex_lock(&m->lock);
    bool leads = m->stage == STAGE_RUNNING && m->pub.role == CHRONIK_META_ROLE_LEADER && !m->closing;
    pthread_mutex_unlock(&m->lock);
    int32_t rc = leads ? reclog_admit(m->log, n + 32, 0) : CHRONIK_DONE;
    pthread_mutex_lock(&m->lock);
    if (rc > 0)
        rc = admit(m, klass, n);
    if (rc > 0)
        plist_push(&m->inbox[klass], p);
    pthread_mutex_unlock(&m->lock);
    if (rc < 0) {
        rc_buf_unref(p->buf);
        free(p);
        return rc;
    }
    raft_post(m);
    return CHRONIK_PENDING;
}

static int32_t op_read_barrier(chronik_meta *m, struct chronik_done done)
{
    struct proposal *p = calloc(1, sizeof *p);
    if (!p)
        return CHRONIK_E_NOMEM;
    p->done = done;
    p->at = m->host.mono_ns(m->host.ctx);
    pthread_mutex_lock(&m->lock);
    int32_t rc = m->closing ? CHRONIK_E_CLOSED : m->stage == STAGE_NEW ? CHRONIK_E_INVAL : CHRONIK_PENDING;
    if (rc == CHRONIK_PENDING)
        plist_push(&m->barriers_in, p);
    pthread_mutex_unlock(&m->lock);
    if (rc == CHRONIK_PENDING)
        raft_post(m);
    else
        free(p);
    return rc;
}

static void op_applied(chronik_meta *m, struct chronik_meta_pos pos)
{
    pthread_mutex_lock(&m->lock);
    if (pos.index > m->host_applied) {
        m->host_applied = pos.index;
        if (!m->closing)
            raft_post(m);
    }
    pthread_mutex_unlock(&m->lock);
}

static int32_t op_trim(chronik_meta *m, uint64_t index)
{
    pthread_mutex_lock(&m->lock);
    bool ok = m->stage == STAGE_RUNNING && m->snapshot.pos.index && index <= m->snapshot.pos.index;
    if (ok)
        m->trim_to = max_u64(m->trim_to, index);
    pthread_mutex_unlock(&m->lock);
    if (!ok)
        return CHRONIK_E_INVAL;
    raft_post(m);
    return CHRONIK_DONE;
}

static const struct chronik_meta_ops ops = {
    .size = sizeof ops,
    .create = op_create,
    .start = op_start,
    .propose = op_propose,
    .read_barrier = op_read_barrier,
    .applied = op_applied,
    .read_log = disk_read_log,
    .trim = op_trim,
    .snapshot_begin = snapshot_begin,
    .snapshot_chunk = snapshot_chunk,
    .snapshot_end = snapshot_end,
    .member_change = member_change,
    .status = status_get,
    .close = op_close,
    .members = status_members,
};

static const struct chronik_config_key keys[] = {
    {.name = "chronik.meta-raft.snapshot.bytes",
     .type = CHRONIK_CONFIG_INT,
     .dflt = "8388608",
     .min = 65536,
     .max = INT64_C(1) << 34,
     .doc = "A snapshot of the metadata is made when the log has grown by as much as the last one has, by 2 MiB at "
            "least and by this many bytes at most; they are held in memory."},
    {.name = "chronik.meta-raft.file.bytes",
     .type = CHRONIK_CONFIG_INT,
     .dflt = "16777216",
     .min = 65536,
     .max = INT64_C(1) << 30,
     .doc = "Size of the largest file of the metadata log; files behind a snapshot are used again."},
};

static const struct chronik_plugin plugin = {
    .magic = CHRONIK_PLUGIN_MAGIC,
    .size = sizeof plugin,
    .kind = CHRONIK_KIND_META,
    .abi_major = CHRONIK_META_MAJOR,
    .abi_minor = CHRONIK_META_MINOR,
    .host_major = CHRONIK_HOST_MAJOR,
    .host_minor = CHRONIK_HOST_MINOR,
    .capabilities = CHRONIK_CAP_DURABLE | CHRONIK_CAP_POWER_SAFE | CHRONIK_CAP_MULTI_NODE | CHRONIK_CAP_LINEARIZABLE |
                    CHRONIK_CAP_MEMBERSHIP | CHRONIK_CAP_SNAPSHOT,
    .name = "meta-raft",
    .version = "0.1.0",
    .ops = &ops,
    .ops_size = sizeof ops,
    .config_keys = keys,
    .n_config_keys = ARRAY_LEN(keys),
    .config_key_stride = sizeof keys[0],
    .summary = "Metadata of a quorum: Raft with snapshots, on one node or several",
};

const struct chronik_plugin *chronik_plugin_v1(void);
CHRONIK_EXPORT const struct chronik_plugin *chronik_plugin_v1(void)
{
    return &plugin;
}
