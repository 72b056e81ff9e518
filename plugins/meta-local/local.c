/* local.c: meta-local, the metadata module for one machine: an ordered, durable log of commands on one disk. This file
 * has the table of operations and the way in: a proposal is copied into the record log, whose group commit makes it
 * durable together with all others of its time; only then is it delivered and answered (S5). Any thread; the leaf mutex
 * is never held across a call to the host. */
#include "local.h"

#include <stdio.h>
#include <stdlib.h>

void queue_init(struct queue *q)
{
    q->head = NULL;
    q->tail = &q->head;
    q->n = 0;
}

void queue_push(struct queue *q, struct waiter *w)
{
    w->next = NULL;
    *q->tail = w;
    q->tail = &w->next;
    q->n++;
}

struct waiter *queue_pop(struct queue *q)
{
    struct waiter *w = q->head;
    if (!w)
        return NULL;
    q->head = w->next;
    if (!q->head)
        q->tail = &q->head;
    q->n--;
    return w;
}

struct waiter *waiter_new(const struct chronik_iov *iov, uint32_t n_iov, uint64_t n)
{
    struct waiter *w = malloc(sizeof *w + n);
    if (!w)
        return NULL;
    memset(w, 0, sizeof *w);
    w->n = n;
    uint8_t *to = w->data;
    for (uint32_t i = 0; i < n_iov; i++) {
        if (iov[i].n)
            memcpy(to, iov[i].p, iov[i].n);
        to += iov[i].n;
    }
    return w;
}

void local_post(chronik_meta *m)
{
    m->host.exec_post(m->cfg.apply_exec, &m->step_task);
}

static int32_t op_create(const struct chronik_host *host, const struct chronik_meta_config *cfg,
                         const struct chronik_meta_events *ev, chronik_meta **out)
{
    if (!CHRONIK_HAS(struct chronik_host, host, file_submit) || !CHRONIK_HAS(struct chronik_meta_config, cfg, dir) ||
        !CHRONIK_HAS(struct chronik_meta_events, ev, failed))
        return CHRONIK_E_VERSION;
    chronik_meta *m = calloc(1, sizeof *m);
    if (!m)
        return CHRONIK_E_NOMEM;
    memcpy(&m->host, host, min_u64(host->size, sizeof m->host));
    memcpy(&m->cfg, cfg, min_u64(cfg->size, sizeof m->cfg));
    memcpy(&m->ev, ev, min_u64(ev->size, sizeof m->ev));
    int32_t rc = m->host.config_i64(m->host.ctx, "chronik.meta-local.snapshot.bytes", &m->snapshot_bytes);
    if (rc >= 0)
        rc = m->host.config_i64(m->host.ctx, "chronik.meta-local.file.bytes", &m->file_bytes);
    if (rc < 0) {
        m->host.log(m->host.ctx, CHRONIK_LOG_ERROR, "the settings chronik.meta-local.* cannot be read");
        free(m);
        return rc;
    }
    m->ask_at = (uint64_t)m->snapshot_bytes;
    m->commands = m->host.metric_open(m->host.ctx, CHRONIK_METRIC_COUNTER, "meta_local_commands_total",
                                      "Commands that the local metadata log has made durable");
    pthread_mutex_init(&m->lock, NULL);
    m->step_task = (struct chronik_task){.fn = local_step, .arg = m};
    queue_init(&m->waiting);
    queue_init(&m->ready);
    queue_init(&m->replayed);
    queue_init(&m->barriers);
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
        m->busy = 1;
        m->start_done = done;
        m->host_pos = applied;
        m->worker_task = (struct chronik_task){.fn = local_start_work, .arg = m};
    }
    pthread_mutex_unlock(&m->lock);
    if (rc == CHRONIK_PENDING)
        m->host.worker_post(m->host.ctx, &m->worker_task);
    return rc;
}

/* ---- proposing ---- */

/* Under the log's mutex: the waiting list has the order of the log. Lock order: the log's, then ours. */
static void note(void *arg, uint64_t number)
{
    struct waiter *w = arg;
    chronik_meta *m = w->meta;
    pthread_mutex_lock(&m->lock);
    w->pos = (struct chronik_meta_pos){.epoch = m->epoch, .index = number};
    m->proposed = number;
    queue_push(MUTANT("local_ack_before_sync") ? &m->ready : &m->waiting, w);
    pthread_mutex_unlock(&m->lock);
}

/* Room in the class, or why not. Counts the command in. */
static int32_t admit(chronik_meta *m, uint32_t klass, uint64_t n)
{
    int32_t rc = CHRONIK_DONE;
    pthread_mutex_lock(&m->lock);
    if (m->closing)
        rc = CHRONIK_E_CLOSED;
    else if (m->stage != STAGE_SERVING && m->stage != STAGE_REPLAY)
        rc = CHRONIK_E_NOT_LEADER;
    else if (m->class_n[klass] >= LOCAL_QUEUE || m->class_bytes[klass] + n > LOCAL_QUEUE_BYTES)
        rc = CHRONIK_E_BUSY;
    if (rc > 0) {
        m->class_n[klass]++;
        m->class_bytes[klass] += n;
    }
    pthread_mutex_unlock(&m->lock);
    return rc;
}

static void discount(chronik_meta *m, uint32_t klass, uint64_t n)
{
    pthread_mutex_lock(&m->lock);
    m->class_n[klass]--;
    m->class_bytes[klass] -= n;
    pthread_mutex_unlock(&m->lock);
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
    int32_t rc = admit(m, klass, n);
    if (rc < 0)
        return rc;
    rc = reclog_admit(m->log, LOCAL_HEAD + n, 0);
    struct waiter *w = rc < 0 ? NULL : waiter_new(iov, n_iov, n);
    if (rc > 0 && !w)
        rc = CHRONIK_E_NOMEM;
    if (rc > 0) {
        uint8_t head[LOCAL_HEAD];
        put_le64(head, m->epoch);
        struct chronik_iov rec[2] = {{head, sizeof head}, {w->data, n}};
        w->meta = m;
        w->klass = klass;
        w->done = done;
        w->at = m->host.mono_ns(m->host.ctx);
        rc = reclog_append(m->log, LOCAL_COMMAND, rec, 2, note, w, NULL); /* from here on it belongs to the lists */
    }
    if (rc < 0) {
        free(w);
        discount(m, klass, n);
        return rc;
    }
    if (MUTANT("local_ack_before_sync"))
        local_post(m);
    return CHRONIK_PENDING;
}

/* ---- the rest of the table ---- */

static int32_t op_read_barrier(chronik_meta *m, struct chronik_done done)
{
    struct waiter *w = waiter_new(NULL, 0, 0);
    if (!w)
        return CHRONIK_E_NOMEM;
    w->done = done;
    pthread_mutex_lock(&m->lock);
    int32_t rc = m->closing ? CHRONIK_E_CLOSED : m->stage == STAGE_NEW ? CHRONIK_E_INVAL : CHRONIK_PENDING;
    if (rc == CHRONIK_PENDING) {
        w->pos.index = m->durable;
        queue_push(&m->barriers, w);
    }
    pthread_mutex_unlock(&m->lock);
    if (rc == CHRONIK_PENDING)
        local_post(m);
    else
        free(w);
    return rc;
}

static void op_applied(chronik_meta *m, struct chronik_meta_pos pos)
{
    pthread_mutex_lock(&m->lock);
    if (pos.index > m->applied && pos.index <= m->delivered)
        m->applied = pos.index;
    pthread_mutex_unlock(&m->lock);
}

struct reading {
    void (*each)(void *arg, const struct chronik_meta_entry *e);
    void *arg;
    uint64_t end; /* exclusive */
    uint64_t bytes, max_bytes;
};

static int32_t read_one(void *arg, const struct reclog_record *r)
{
    struct reading *x = arg;
    if (r->number >= x->end)
        return 0; /* enough */
    if (r->type != LOCAL_COMMAND || r->n < LOCAL_HEAD)
        return CHRONIK_E_CORRUPT;
    struct chronik_meta_entry e = {.pos = {.epoch = get_le64(r->data), .index = r->number},
                                   .data = (const uint8_t *)r->data + LOCAL_HEAD,
                                   .n = r->n - LOCAL_HEAD};
    if (x->bytes > 0 && (x->bytes >= x->max_bytes || e.n > x->max_bytes - x->bytes))
        return 0;
    x->each(x->arg, &e);
    x->bytes += e.n;
    return CHRONIK_DONE;
}

static int32_t op_read_log(chronik_meta *m, uint64_t index, uint64_t max_bytes,
                           void (*each)(void *arg, const struct chronik_meta_entry *e), void *arg)
{
    pthread_mutex_lock(&m->lock);
    struct reading x = {.each = each, .arg = arg, .end = m->applied + 1, .max_bytes = max_bytes};
    int32_t rc = m->stage == STAGE_SERVING || m->stage == STAGE_REPLAY ? CHRONIK_DONE : CHRONIK_E_RANGE;
    pthread_mutex_unlock(&m->lock);
    if (rc < 0 || index >= x.end)
        return rc;
    struct errtext e = {0};
    rc = reclog_read(m->log, index, UINT64_MAX, read_one, &x, &e);
    if (rc < 0 && e.code)
        m->host.log(m->host.ctx, CHRONIK_LOG_ERROR, e.text);
    return rc < 0 ? rc : CHRONIK_DONE;
}

static int32_t op_trim(chronik_meta *m, uint64_t index)
{
    pthread_mutex_lock(&m->lock);
    bool ok = m->have_snapshot && index <= m->snapshot.pos.index;
    bool open = m->stage == STAGE_SERVING || m->stage == STAGE_REPLAY;
    pthread_mutex_unlock(&m->lock);
    if (!open || (!ok && !MUTANT("meta_trim_before_snapshot")))
        return CHRONIK_E_INVAL;
    reclog_trim(m->log, index + 1);
    return CHRONIK_DONE;
}

static int32_t op_member_change(chronik_meta *m, const struct chronik_meta_change *c, struct chronik_done done)
{
    return CHRONIK_E_UNSUPPORTED;
}

static int32_t op_members(chronik_meta *m, void (*each)(void *arg, const struct chronik_meta_member *x), void *arg)
{
    struct chronik_meta_member self = {.size = sizeof self,
                                       .node_id = m->cfg.node_id,
                                       .kind = CHRONIK_META_VOTER,
                                       .heard_ms = -1,
                                       .caught_up_ms = -1,
                                       .address = ""};
    struct chronik_dir_info dir = {.size = sizeof dir};
    if (m->host.dir_info(m->host.ctx, m->cfg.dir, &dir) > 0)
        self.directory = dir.id;
    pthread_mutex_lock(&m->lock);
    self.leads = m->stage == STAGE_SERVING;
    self.match = m->durable;
    pthread_mutex_unlock(&m->lock);
    each(arg, &self);
    return 1;
}

static void op_status(chronik_meta *m, struct chronik_meta_status *out)
{
    struct chronik_meta_status s = {.leader = -1};
    struct reclog_stat log = {0};
    int64_t now = m->host.mono_ns(m->host.ctx), oldest = INT64_MAX;
    pthread_mutex_lock(&m->lock);
    bool open = m->stage == STAGE_SERVING || m->stage == STAGE_REPLAY;
    s.proposed = m->proposed;
    s.persisted = s.committed = m->durable;
    s.applied = m->applied;
    s.snapshot = m->snapshot.pos;
    s.epoch = m->epoch;
    if (m->waiting.head)
        oldest = m->waiting.head->at;
    pthread_mutex_unlock(&m->lock);
    if (open) {
        s.role = CHRONIK_META_ROLE_LEADER;
        s.leader = (int32_t)m->cfg.node_id;
        s.voters = 1;
        reclog_stat(m->log, &log);
        s.first_index = log.first;
        s.log_bytes = log.bytes;
    }
    pthread_mutex_lock(&m->lock);
    m->stalled[0] = 0;
    if (open && oldest < now && now - oldest > INT64_C(1400000000))
        snprintf(m->stalled, sizeof m->stalled,
                 "persisting stands still at entry %llu of %llu for %lld ms: the sync of the log (thread meta-local) "
                 "has not "
                 "returned",
                 (unsigned long long)s.persisted, (unsigned long long)s.proposed,
                 (long long)((now - oldest) / 1000000));
    s.stalled = m->stalled[0] ? m->stalled : NULL;
    s.stall = s.stalled ? CHRONIK_META_STALL_OUTSIDE : 0;
    pthread_mutex_unlock(&m->lock);
    uint32_t size = out->size;
    s.size = size;
    memcpy(out, &s, min_u64(size, sizeof s));
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
        local_post(m);
    return rc;
}

static const struct chronik_meta_ops ops = {
    .size = sizeof ops,
    .create = op_create,
    .start = op_start,
    .propose = op_propose,
    .read_barrier = op_read_barrier,
    .applied = op_applied,
    .read_log = op_read_log,
    .trim = op_trim,
    .snapshot_begin = local_snapshot_begin,
    .snapshot_chunk = local_snapshot_chunk,
    .snapshot_end = local_snapshot_end,
    .member_change = op_member_change,
    .status = op_status,
    .close = op_close,
    .members = op_members,
};

static const struct chronik_config_key keys[] = {
    {.name = "chronik.meta-local.snapshot.bytes",
     .type = CHRONIK_CONFIG_INT,
     .dflt = "16777216",
     .min = 65536,
     .max = INT64_C(1) << 34,
     .doc = "A snapshot of the metadata is made each time the log has grown by this many bytes."},
    {.name = "chronik.meta-local.file.bytes",
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
    .capabilities = CHRONIK_CAP_DURABLE | CHRONIK_CAP_POWER_SAFE | CHRONIK_CAP_LINEARIZABLE | CHRONIK_CAP_SNAPSHOT,
    .name = "meta-local",
    .version = "0.1.0",
    .ops = &ops,
    .ops_size = sizeof ops,
    .config_keys = keys,
    .n_config_keys = ARRAY_LEN(keys),
    .config_key_stride = sizeof keys[0],
    .summary = "Metadata on one machine: a durable log with group commit and snapshots",
};

const struct chronik_plugin *chronik_plugin_v1(void);
CHRONIK_EXPORT const struct chronik_plugin *chronik_plugin_v1(void)
{
    return &plugin;
}
