/* meta_mem.c: a metadata module that keeps its log in memory: the reference for authors of metadata modules, and a
 * second user of the ABI. It never touches a disk or another node, so nothing survives the end of the process.
 * Any thread may propose; one short mutex guards the queues and the log, and is never held while an event or a
 * completion runs. Everything that the host hears, it hears from `step`, the one task that runs on the host's apply
 * executor. */
#include <chronik/host.h>
#include <chronik/meta.h>
#include <chronik/plugin.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_LIMIT 4096 /* waiting proposals of one class, then E_BUSY */
#define BATCH       256  /* commands in one call of events.apply */

/* A call that waits for its completion: a proposal (buf != NULL), a read barrier or the start. */
struct waiter {
    struct waiter *next;
    struct chronik_done done;
    struct chronik_buf *buf; /* the command, with one reference */
    uint64_t n;              /* its bytes */
};

struct queue {
    struct waiter *head, **tail;
    uint32_t n;
};

/* A committed command. The log holds one reference to its bytes. */
struct entry {
    struct chronik_buf *buf;
    uint64_t n;
};

struct chronik_meta {
    struct chronik_host host;
    struct chronik_meta_config cfg;
    struct chronik_meta_events ev;
    struct chronik_metric *commands;
    struct chronik_task step; /* queued whenever there is something to do */
    int64_t snapshot_bytes;   /* ask for a snapshot after so much log */

    pthread_mutex_t lock; /* guards all below */
    struct queue proposals[CHRONIK_META_CLASSES];
    struct queue barriers;
    struct chronik_done start_done, close_done;
    uint32_t started, start_pending, closing, wanted;
    uint64_t epoch;
    struct entry *log; /* entries first_index .. last_index */
    uint64_t room;
    uint64_t first_index, last_index, applied_index;
    uint64_t log_bytes, bytes_at_snapshot, total_bytes;
    struct chronik_meta_pos snapshot;
};

/* A snapshot on its way in. */
struct snapshot_writer {
    chronik_meta *meta;
    struct chronik_meta_snapshot want;
    uint64_t bytes;
    uint32_t crc32c;
};

/* ---- queues (under the lock, or on a queue that nobody else sees) ---- */

static void queue_init(struct queue *q)
{
    q->head = NULL;
    q->tail = &q->head;
    q->n = 0;
}

static void queue_push(struct queue *q, struct waiter *w)
{
    w->next = NULL;
    *q->tail = w;
    q->tail = &w->next;
    q->n++;
}

static struct waiter *queue_pop(struct queue *q)
{
    struct waiter *w = q->head;
    if (w == NULL)
        return NULL;
    q->head = w->next;
    if (q->head == NULL)
        q->tail = &q->head;
    q->n--;
    return w;
}

/* Takes up to `max` waiters from the front of `from`. */
static void queue_move(struct queue *to, struct queue *from, uint32_t max)
{
    struct waiter *w;
    while (to->n < max && (w = queue_pop(from)) != NULL)
        queue_push(to, w);
}

/* ---- the log (under the lock) ---- */

static int32_t log_make_room(chronik_meta *m, uint64_t more)
{
    uint64_t used = m->last_index - m->first_index + 1;
    if (used + more <= m->room)
        return CHRONIK_DONE;
    uint64_t room = m->room != 0 ? m->room : 256;
    while (room < used + more)
        room *= 2;
    struct entry *log = realloc(m->log, room * sizeof *log);
    if (log == NULL)
        return CHRONIK_E_NOMEM;
    m->log = log;
    m->room = room;
    return CHRONIK_DONE;
}

static void log_append(chronik_meta *m, struct chronik_buf *buf, uint64_t n)
{
    m->log[++m->last_index - m->first_index] = (struct entry){.buf = buf, .n = n};
    m->host.buf_ref(buf);
    m->log_bytes += n;
    m->total_bytes += n;
}

/* Forgets the entries up to and including `index`. */
static void log_trim(chronik_meta *m, uint64_t index)
{
    if (index < m->first_index)
        return;
    uint64_t drop = index - m->first_index + 1, keep = m->last_index - index;
    for (uint64_t i = 0; i < drop; i++) {
        m->log_bytes -= m->log[i].n;
        m->host.buf_unref(m->log[i].buf);
    }
    memmove(m->log, m->log + drop, keep * sizeof *m->log);
    m->first_index = index + 1;
}

/* ---- the step: all that happens on the apply executor ---- */

/* Calls the host back for each waiter and frees it. Without the lock. */
static void complete_all(chronik_meta *m, struct queue *q, int32_t result)
{
    struct waiter *w;
    while ((w = queue_pop(q)) != NULL) {
        struct chronik_done done = w->done;
        if (w->buf != NULL)
            m->host.buf_unref(w->buf);
        free(w);
        done.fn(done.arg, result);
    }
}

/* Puts a batch of proposals into the log; CHRONIK_DONE, or why none of them went in. */
static int32_t commit(chronik_meta *m, const struct queue *batch, struct chronik_meta_entry *out)
{
    pthread_mutex_lock(&m->lock);
    int32_t rc = log_make_room(m, batch->n);
    if (rc > 0) {
        for (const struct waiter *w = batch->head; w != NULL; w = w->next) {
            log_append(m, w->buf, w->n);
            *out++ = (struct chronik_meta_entry){
                .pos = {.epoch = m->epoch, .index = m->last_index},
                .data = m->host.buf_data(w->buf),
                .n = w->n,
            };
        }
    }
    pthread_mutex_unlock(&m->lock);
    return rc;
}

static void commit_and_deliver(chronik_meta *m, struct queue *batch)
{
    struct chronik_meta_entry entries[BATCH];
    uint32_t n = batch->n;
    if (n == 0)
        return;
    int32_t rc = commit(m, batch, entries);
    if (rc > 0) {
        m->host.metric_add(m->commands, n);
        m->ev.apply(m->ev.arg, m->epoch, entries, n, sizeof entries[0]);
    }
    complete_all(m, batch, rc);
}

static void ask_for_snapshot(chronik_meta *m)
{
    pthread_mutex_lock(&m->lock);
    uint64_t grown = m->total_bytes - m->bytes_at_snapshot;
    uint32_t ask = !m->wanted && grown >= (uint64_t)m->snapshot_bytes;
    m->wanted |= ask;
    pthread_mutex_unlock(&m->lock);
    if (ask)
        m->ev.want_snapshot(m->ev.arg, grown);
}

static void destroy(chronik_meta *m)
{
    if (m->last_index >= m->first_index)
        log_trim(m, m->last_index);
    free(m->log);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* The last step: everything pending is canceled, then the instance is gone. */
static void finish_close(chronik_meta *m)
{
    struct queue rest;
    queue_init(&rest);
    pthread_mutex_lock(&m->lock);
    for (uint32_t c = 0; c < CHRONIK_META_CLASSES; c++)
        queue_move(&rest, &m->proposals[c], UINT32_MAX);
    queue_move(&rest, &m->barriers, UINT32_MAX);
    uint32_t start_pending = m->start_pending;
    pthread_mutex_unlock(&m->lock);

    if (start_pending)
        m->start_done.fn(m->start_done.arg, CHRONIK_E_CANCELED);
    complete_all(m, &rest, CHRONIK_E_CANCELED);
    /* This step may have been posted again between its start and its look at `closing`. */
    m->host.exec_cancel(m->cfg.apply_exec, &m->step);
    struct chronik_done done = m->close_done;
    destroy(m);
    done.fn(done.arg, CHRONIK_DONE);
}

static void step(void *arg)
{
    chronik_meta *m = arg;
    struct queue batch, barriers;
    queue_init(&batch);
    queue_init(&barriers);

    pthread_mutex_lock(&m->lock);
    uint32_t closing = m->closing, start_now = m->start_pending && !closing, more = 0;
    if (!closing) {
        m->start_pending = 0;
        for (uint32_t c = 0; c < CHRONIK_META_CLASSES; c++) {
            queue_move(&batch, &m->proposals[c], BATCH);
            more += m->proposals[c].n;
        }
        queue_move(&barriers, &m->barriers, UINT32_MAX);
    }
    pthread_mutex_unlock(&m->lock);

    if (closing) {
        finish_close(m);
        return;
    }
    if (start_now) {
        m->start_done.fn(m->start_done.arg, CHRONIK_DONE);
        m->ev.role(m->ev.arg, CHRONIK_META_ROLE_LEADER, m->epoch, (int32_t)m->cfg.node_id);
        m->ev.caught_up(m->ev.arg);
    }
    commit_and_deliver(m, &batch);
    /* A command is committed and delivered in the same step: all that was committed before the barrier is here. */
    complete_all(m, &barriers, CHRONIK_DONE);
    ask_for_snapshot(m);
    if (more > 0)
        m->host.exec_post(m->cfg.apply_exec, &m->step);
}

/* ---- ops ---- */

static int32_t op_create(const struct chronik_host *host, const struct chronik_meta_config *cfg,
                         const struct chronik_meta_events *ev, chronik_meta **out)
{
    if (!CHRONIK_HAS(struct chronik_host, host, buf_unref) || !CHRONIK_HAS(struct chronik_meta_config, cfg, dir) ||
        !CHRONIK_HAS(struct chronik_meta_events, ev, failed))
        return CHRONIK_E_VERSION;
    chronik_meta *m = calloc(1, sizeof *m);
    if (m == NULL)
        return CHRONIK_E_NOMEM;
    memcpy(&m->host, host, host->size < sizeof m->host ? host->size : sizeof m->host);
    memcpy(&m->cfg, cfg, cfg->size < sizeof m->cfg ? cfg->size : sizeof m->cfg);
    memcpy(&m->ev, ev, ev->size < sizeof m->ev ? ev->size : sizeof m->ev);
    int32_t rc = m->host.config_i64(m->host.ctx, "chronik.meta-mem.snapshot.bytes", &m->snapshot_bytes);
    if (rc < 0) {
        m->host.log(m->host.ctx, CHRONIK_LOG_ERROR, "chronik.meta-mem.snapshot.bytes cannot be read");
        free(m);
        return rc;
    }
    m->commands = m->host.metric_open(m->host.ctx, CHRONIK_METRIC_COUNTER, "meta_mem_commands_total",
                                      "Commands committed by the in-memory metadata log");
    pthread_mutex_init(&m->lock, NULL);
    m->first_index = 1;
    m->step.fn = step;
    m->step.arg = m;
    queue_init(&m->barriers);
    for (uint32_t c = 0; c < CHRONIK_META_CLASSES; c++)
        queue_init(&m->proposals[c]);
    *out = m;
    return CHRONIK_DONE;
}

/* The log is always empty at start. It continues behind what the host holds already, under a new epoch. */
static int32_t op_start(chronik_meta *m, struct chronik_meta_pos applied, uint64_t seq, struct chronik_done done)
{
    (void)seq;
    pthread_mutex_lock(&m->lock);
    int32_t rc = m->closing ? CHRONIK_E_CLOSED : m->started ? CHRONIK_E_INVAL : CHRONIK_PENDING;
    if (rc == CHRONIK_PENDING) {
        m->started = m->start_pending = 1;
        m->start_done = done;
        m->epoch = applied.epoch + 1;
        m->last_index = m->applied_index = applied.index;
        m->first_index = applied.index + 1;
        m->host.exec_post(m->cfg.apply_exec, &m->step);
    }
    pthread_mutex_unlock(&m->lock);
    return rc;
}

/* Queues a waiter for the next step; on refusal frees it. */
static int32_t enqueue(chronik_meta *m, struct queue *q, struct waiter *w)
{
    pthread_mutex_lock(&m->lock);
    int32_t rc = CHRONIK_PENDING;
    if (m->closing)
        rc = CHRONIK_E_CLOSED;
    else if (!m->started)
        rc = CHRONIK_E_INVAL;
    else if (q->n >= QUEUE_LIMIT)
        rc = CHRONIK_E_BUSY;
    else
        queue_push(q, w);
    if (rc == CHRONIK_PENDING)
        m->host.exec_post(m->cfg.apply_exec, &m->step);
    pthread_mutex_unlock(&m->lock);
    if (rc == CHRONIK_PENDING)
        return rc;
    if (w->buf != NULL)
        m->host.buf_unref(w->buf);
    free(w);
    return rc;
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
    struct waiter *w = calloc(1, sizeof *w);
    struct chronik_buf *buf = m->host.buf_new(m->host.ctx, n);
    if (w == NULL || buf == NULL) {
        if (buf != NULL)
            m->host.buf_unref(buf);
        free(w);
        return CHRONIK_E_NOMEM;
    }
    char *to = m->host.buf_data(buf);
    for (uint32_t i = 0; i < n_iov; i++) {
        if (iov[i].n != 0)
            memcpy(to, iov[i].p, iov[i].n);
        to += iov[i].n;
    }
    *w = (struct waiter){.done = done, .buf = buf, .n = n};
    return enqueue(m, &m->proposals[klass], w);
}

static int32_t op_read_barrier(chronik_meta *m, struct chronik_done done)
{
    struct waiter *w = calloc(1, sizeof *w);
    if (w == NULL)
        return CHRONIK_E_NOMEM;
    w->done = done;
    return enqueue(m, &m->barriers, w);
}

static void op_applied(chronik_meta *m, struct chronik_meta_pos pos)
{
    pthread_mutex_lock(&m->lock);
    if (pos.index > m->applied_index && pos.index <= m->last_index)
        m->applied_index = pos.index;
    pthread_mutex_unlock(&m->lock);
}

/* Copies out the next entries from `index` on, with a reference each, so that `each` runs without the lock. */
static uint32_t log_borrow(chronik_meta *m, uint64_t index, struct entry *out, uint32_t max)
{
    uint32_t n = 0;
    pthread_mutex_lock(&m->lock);
    if (index >= m->first_index) {
        for (; n < max && index + n <= m->applied_index; n++) {
            out[n] = m->log[index + n - m->first_index];
            m->host.buf_ref(out[n].buf);
        }
    }
    pthread_mutex_unlock(&m->lock);
    return n;
}

static int32_t op_read_log(chronik_meta *m, uint64_t index, uint64_t max_bytes,
                           void (*each)(void *arg, const struct chronik_meta_entry *e), void *arg)
{
    pthread_mutex_lock(&m->lock);
    int32_t rc = index < m->first_index ? CHRONIK_E_RANGE : CHRONIK_DONE;
    uint64_t epoch = m->epoch;
    pthread_mutex_unlock(&m->lock);

    struct entry piece[64];
    uint64_t bytes = 0;
    uint32_t n, full = rc < 0;
    while (!full && (n = log_borrow(m, index, piece, 64)) > 0) {
        for (uint32_t i = 0; i < n; i++) {
            full = full || (bytes != 0 && bytes + piece[i].n > max_bytes);
            if (!full) {
                struct chronik_meta_entry e = {
                    .pos = {.epoch = epoch, .index = index++},
                    .data = m->host.buf_data(piece[i].buf),
                    .n = piece[i].n,
                };
                each(arg, &e);
                bytes += e.n;
            }
            m->host.buf_unref(piece[i].buf);
        }
    }
    return rc;
}

static int32_t op_trim(chronik_meta *m, uint64_t index)
{
    pthread_mutex_lock(&m->lock);
    int32_t rc = index > m->snapshot.index ? CHRONIK_E_INVAL : CHRONIK_DONE;
    if (rc > 0)
        log_trim(m, index);
    pthread_mutex_unlock(&m->lock);
    return rc;
}

static int32_t op_snapshot_begin(chronik_meta *m, const struct chronik_meta_snapshot *s, void **writer)
{
    if (!CHRONIK_HAS(struct chronik_meta_snapshot, s, id))
        return CHRONIK_E_VERSION;
    pthread_mutex_lock(&m->lock);
    int32_t rc = s->pos.index > m->applied_index    ? CHRONIK_E_RANGE
                 : s->pos.index < m->snapshot.index ? CHRONIK_E_STALE
                                                    : CHRONIK_DONE;
    pthread_mutex_unlock(&m->lock);
    if (rc < 0)
        return rc;
    struct snapshot_writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return CHRONIK_E_NOMEM;
    w->meta = m;
    memcpy(&w->want, s, s->size < sizeof w->want ? s->size : sizeof w->want);
    *writer = w;
    return CHRONIK_DONE;
}

static int32_t op_snapshot_chunk(void *writer, const void *p, uint64_t n)
{
    struct snapshot_writer *w = writer;
    w->crc32c = w->meta->host.crc32c(w->crc32c, p, n);
    w->bytes += n;
    return w->bytes > w->want.bytes ? CHRONIK_E_CORRUPT : CHRONIK_DONE;
}

/* Verifies the content and remembers its name. The bytes themselves are not kept: a snapshot is read back only when a
 * log is opened again, and this log ends with its instance. */
static int32_t op_snapshot_end(void *writer, uint32_t ok)
{
    struct snapshot_writer *w = writer;
    chronik_meta *m = w->meta;
    int32_t rc = CHRONIK_DONE;
    if (ok && (w->bytes != w->want.bytes || w->crc32c != w->want.crc32c))
        rc = CHRONIK_E_CORRUPT;
    if (ok && rc > 0) {
        pthread_mutex_lock(&m->lock);
        m->snapshot = w->want.pos;
        m->bytes_at_snapshot = m->total_bytes;
        m->wanted = 0;
        pthread_mutex_unlock(&m->lock);
    }
    free(w);
    return rc;
}

static int32_t op_member_change(chronik_meta *m, const struct chronik_meta_change *c, struct chronik_done done)
{
    (void)m, (void)c, (void)done;
    return CHRONIK_E_UNSUPPORTED;
}

static int32_t op_members(chronik_meta *m, void (*each)(void *arg, const struct chronik_meta_member *x), void *arg)
{
    struct chronik_meta_member self = {.size = sizeof self,
                                       .node_id = m->cfg.node_id,
                                       .kind = CHRONIK_META_VOTER,
                                       .leads = 1,
                                       .heard_ms = -1,
                                       .caught_up_ms = -1,
                                       .address = ""};
    struct chronik_dir_info dir = {.size = sizeof dir};
    if (m->host.dir_info(m->host.ctx, m->cfg.dir, &dir) > 0)
        self.directory = dir.id;
    pthread_mutex_lock(&m->lock);
    self.match = m->last_index;
    pthread_mutex_unlock(&m->lock);
    each(arg, &self);
    return 1;
}

static void op_status(chronik_meta *m, struct chronik_meta_status *out)
{
    struct chronik_meta_status s = {.size = out->size, .leader = -1, .voters = 1};
    pthread_mutex_lock(&m->lock);
    if (m->started) {
        s.role = CHRONIK_META_ROLE_LEADER;
        s.leader = (int32_t)m->cfg.node_id;
    }
    s.epoch = m->epoch;
    s.proposed = s.persisted = s.committed = m->last_index;
    for (uint32_t c = 0; c < CHRONIK_META_CLASSES; c++)
        s.proposed += m->proposals[c].n;
    s.applied = m->applied_index;
    s.first_index = m->first_index;
    s.log_bytes = m->log_bytes;
    s.snapshot = m->snapshot;
    pthread_mutex_unlock(&m->lock);
    memcpy(out, &s, s.size < sizeof s ? s.size : sizeof s);
}

static int32_t op_close(chronik_meta *m, struct chronik_done done)
{
    pthread_mutex_lock(&m->lock);
    int32_t rc = m->closing ? CHRONIK_E_CLOSED : CHRONIK_PENDING;
    if (rc == CHRONIK_PENDING) {
        m->closing = 1;
        m->close_done = done;
        /* Under the lock: a step that runs already may free the instance as soon as it sees `closing`. */
        m->host.exec_post(m->cfg.apply_exec, &m->step);
    }
    pthread_mutex_unlock(&m->lock);
    return rc;
}

/* ---- the descriptor ---- */

static const struct chronik_meta_ops ops = {
    .size = sizeof ops,
    .create = op_create,
    .start = op_start,
    .propose = op_propose,
    .read_barrier = op_read_barrier,
    .applied = op_applied,
    .read_log = op_read_log,
    .trim = op_trim,
    .snapshot_begin = op_snapshot_begin,
    .snapshot_chunk = op_snapshot_chunk,
    .snapshot_end = op_snapshot_end,
    .member_change = op_member_change,
    .status = op_status,
    .close = op_close,
    .members = op_members,
};

static const struct chronik_config_key config_keys[] = {
    {
        .name = "chronik.meta-mem.snapshot.bytes",
        .type = CHRONIK_CONFIG_INT,
        .dflt = "67108864",
        .min = 1,
        .max = INT64_MAX,
        .doc = "Bytes of commands after which the log asks for a snapshot.",
    },
};

static const struct chronik_plugin plugin = {
    .magic = CHRONIK_PLUGIN_MAGIC,
    .size = sizeof plugin,
    .kind = CHRONIK_KIND_META,
    .abi_major = CHRONIK_META_MAJOR,
    .abi_minor = CHRONIK_META_MINOR,
    .host_major = CHRONIK_HOST_MAJOR,
    .host_minor = CHRONIK_HOST_MINOR,
    .capabilities = CHRONIK_CAP_LINEARIZABLE | CHRONIK_CAP_SNAPSHOT,
    .name = "meta-mem",
    .version = "1.0",
    .ops = &ops,
    .ops_size = sizeof ops,
    .config_keys = config_keys,
    .n_config_keys = sizeof config_keys / sizeof config_keys[0],
    .config_key_stride = sizeof config_keys[0],
    .summary = "metadata log in memory; gone with the process",
};

CHRONIK_EXPORT const struct chronik_plugin *chronik_plugin_v1(void);

CHRONIK_EXPORT const struct chronik_plugin *chronik_plugin_v1(void)
{
    return &plugin;
}
