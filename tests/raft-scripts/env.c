/* env: replicas, their memory disks, and the messages between them, as interaction scripts see them. It must never
 * decide anything that is Raft's to decide: it carries out readies and delivers messages in the published order.
 * Single-threaded test code. */
#include "env.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define U(v) ((unsigned long long)(v))

static void *env_resize(void *ctx, void *ptr, size_t size)
{
    if (size == 0) {
        free(ptr);
        return NULL;
    }
    return must_alloc(ptr, size);
}

const struct rc_alloc env_alloc = {.resize = env_resize};

void env_break(struct env *e, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(e->why, sizeof e->why, format, args);
    va_end(args);
    longjmp(e->broken, 1);
}

static void on_fatal(void *ctx, const char *text)
{
    env_break(ctx, "the core stopped: %s", text);
}

static void on_log(void *ctx, enum rc_level level, const char *text)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR", "FATAL"};
    struct env *e = ctx;

    if (e->level <= (int)level) {
        text_printf(&e->out, "%s %s\n", names[level], text);
    }
}

static uint32_t on_random(void *ctx, uint32_t below)
{
    struct env *e = ctx;

    e->seed = e->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(e->seed >> 33) % below;
}

void env_printf(struct env *e, const char *format, ...)
{
    va_list args;

    if (e->level == LEVEL_NONE) {
        return;
    }
    va_start(args, format);
    text_vprintf(&e->out, format, args);
    va_end(args);
}

void env_indent(struct env *e, size_t start)
{
    struct text inner = {0};
    char *line;

    if (e->out.n == start) {
        return;
    }
    text_put(&inner, e->out.v + start, e->out.n - start);
    e->out.n = start;
    for (line = inner.v; *line != '\0';) {
        size_t n = strcspn(line, "\n");

        text_printf(&e->out, "  %.*s\n", (int)n, line);
        line += n + (line[n] == '\n');
    }
    text_free(&inner);
}

const char *env_result(int result)
{
    switch (result) {
    case RC_OK:
    case RC_FORWARDED:
        return NULL;
    case RC_UNKNOWN_PEER:
        return "raft: cannot step as peer not found";
    case RC_INVALID:
        return "raft: cannot step raft local message";
    default:
        return "raft proposal dropped";
    }
}

/* ---- messages ---- */

static void msg_clear(struct env_msg *m)
{
    rc_msg_clear(&env_alloc, &m->m);
    for (size_t i = 0; i < m->n_responses; i++) {
        msg_clear(&m->responses[i]);
    }
    free(m->responses);
    m->responses = NULL;
    m->n_responses = 0;
}

static void push(struct env_msgs *list, struct env_msg *m)
{
    list->v = must_alloc(list->v, (list->n + 1) * sizeof *list->v);
    list->v[list->n++] = *m;
}

static struct env_msg take(struct env_msgs *list, size_t at)
{
    struct env_msg m = list->v[at];

    memmove(&list->v[at], &list->v[at + 1], (--list->n - at) * sizeof *list->v);
    return m;
}

static void clear(struct env_msgs *list)
{
    for (size_t i = 0; i < list->n; i++) {
        msg_clear(&list->v[i]);
    }
    free(list->v);
    memset(list, 0, sizeof *list);
}

void env_send(struct env *e, struct env_msg *m)
{
    push(&e->flight, m);
}

/* The message of a ready becomes ours: its arrays move. */
static struct env_msg wrap(struct rc_msg *m)
{
    struct env_msg out = {.type = (int)m->type, .m = *m};

    m->entries = NULL;
    m->n_entries = 0;
    m->snapshot = NULL;
    return out;
}

static void say(struct env *e, const struct env_msg *m)
{
    struct text t = {0};

    text_clear(&t);
    format_message(&t, m, "");
    env_printf(e, "%s\n", t.v);
    text_free(&t);
}

static const char *write_disk(struct env *e, struct env_node *n, const struct rc_snapshot *snap,
                              const struct rc_entry *entries, uint32_t n_entries)
{
    if (snap != NULL) {
        return n_entries > 0 ? "can't apply snapshot and entries at the same time" : env_disk_install(&n->disk, snap);
    }
    env_disk_append(e, &n->disk, entries, n_entries);
    return NULL;
}

/* ---- the state machine: each entry's payload is appended ---- */

static void record(struct env_node *n, const struct rc_entry *entry, const struct rc_conf *conf)
{
    const struct rc_snapshot *last = n->history[n->n_history - 1];
    uint32_t before = last->data == NULL ? 0 : last->data->len;
    uint32_t more = entry->type == RC_ENTRY_NORMAL && entry->data != NULL ? entry->data->len : 0;
    struct rc_buf *data = rc_buf_new(&env_alloc, before + more);
    struct rc_snapshot *snap;

    if (before > 0) {
        memcpy(data->bytes, last->data->bytes, before);
    }
    if (more > 0) {
        memcpy(data->bytes + before, entry->data->bytes, more);
    }
    snap = rc_snapshot_new(&env_alloc, entry->index, entry->term, conf == NULL ? &last->conf : conf, data);
    n->history = must_alloc(n->history, (n->n_history + 1) * sizeof(struct rc_snapshot *));
    n->history[n->n_history++] = snap;
    rc_snapshot_taken(n->rc, snap); /* one that is behind a restored snapshot is not wanted, and refused */
}

static void apply(struct env *e, struct env_node *n, const struct rc_entry *entries, uint32_t n_entries)
{
    for (uint32_t i = 0; i < n_entries; i++) {
        struct rc_conf conf;

        if (entries[i].type == RC_ENTRY_NORMAL) {
            record(n, &entries[i], NULL);
            continue;
        }
        if (rc_apply_conf(n->rc, &entries[i], &conf) != RC_OK) {
            env_break(e, "configuration change %llu was refused at apply", U(entries[i].index));
        }
        record(n, &entries[i], &conf);
    }
}

/* ---- readies ---- */

static void add_response(struct env_msg *to, struct env_msg *m)
{
    to->responses = must_alloc(to->responses, (to->n_responses + 1) * sizeof *to->responses);
    to->responses[to->n_responses++] = *m;
}

static bool wants_append(const struct rc_ready *rd)
{
    return rd->n_entries > 0 || rd->has_hard || rd->snapshot != NULL || rd->n_after > 0;
}

static struct env_msg append_message(struct env_node *n, struct rc_ready *rd)
{
    struct env_msg m = {.type = T_STORAGE_APPEND, .m = {.from = n->cfg.id, .to = APPEND_THREAD}};
    struct rc_status st;

    m.m.entries = rc_entries_copy(n->rc, rd->entries, rd->n_entries);
    m.m.n_entries = rd->n_entries;
    m.m.snapshot = rc_snapshot_ref(rd->snapshot);
    if (rd->has_hard) {
        m.m.term = rd->hard.term;
        m.m.commit = rd->hard.commit;
        m.vote = rd->hard.vote;
    }
    for (uint32_t i = 0; i < rd->n_after; i++) {
        struct env_msg reply = wrap(&rd->after[i]);

        add_response(&m, &reply);
    }
    if (rd->ack.index != 0 || rd->snapshot != NULL) {
        struct env_msg ack = {
            .type = T_STORAGE_APPEND_RESP, .m = {.from = APPEND_THREAD, .to = n->cfg.id}, .ack = rd->ack};

        rc_status(n->rc, &st);
        ack.m.term = st.term;
        ack.m.index = rd->ack.index;
        ack.m.log_term = rd->ack.log_term;
        ack.m.snapshot = rc_snapshot_ref(rd->snapshot);
        add_response(&m, &ack);
    }
    return m;
}

static struct env_msg apply_message(struct env_node *n, struct rc_ready *rd)
{
    struct env_msg m = {.type = T_STORAGE_APPLY, .m = {.from = n->cfg.id, .to = APPLY_THREAD}};
    struct env_msg done = {.type = T_STORAGE_APPLY_RESP, .m = {.from = APPLY_THREAD, .to = n->cfg.id}};

    m.m.entries = rc_entries_copy(n->rc, rd->committed, rd->n_committed);
    done.m.entries = rc_entries_copy(n->rc, rd->committed, rd->n_committed);
    m.m.n_entries = done.m.n_entries = rd->n_committed;
    add_response(&m, &done);
    return m;
}

/* All that a ready sends, in the published order; with plain storage the messages to the replica itself stay in rd. */
static struct env_msgs outgoing(struct env_node *n, struct rc_ready *rd)
{
    struct env_msgs out = {0};
    struct env_msg m;

    for (uint32_t i = 0; i < rd->n_msgs; i++) {
        m = wrap(&rd->msgs[i]);
        push(&out, &m);
    }
    if (n->async) {
        if (wants_append(rd)) {
            m = append_message(n, rd);
            push(&out, &m);
        }
        if (rd->n_committed > 0) {
            m = apply_message(n, rd);
            push(&out, &m);
        }
        return out;
    }
    for (uint32_t i = 0; i < rd->n_after; i++) {
        if (rd->after[i].to != n->cfg.id) {
            m = wrap(&rd->after[i]);
            push(&out, &m);
        }
    }
    return out;
}

static void acknowledge(struct env_node *n, struct rc_ready *rd)
{
    for (uint32_t i = 0; i < rd->n_after; i++) {
        if (rd->after[i].to == n->cfg.id) {
            rc_step(n->rc, &rd->after[i]); /* a removed replica no longer knows itself: nothing to report */
        }
    }
    rc_persisted(n->rc, &rd->ack);
    if (rd->snapshot != NULL) {
        rc_snap_done(n->rc, rd->snapshot->index);
    }
    if (rd->n_committed > 0) {
        rc_applied(n->rc, rd->committed[rd->n_committed - 1].index);
    }
}

static void say_ready(struct env *e, const struct rc_ready *rd, const struct env_msgs *out)
{
    struct text t = {0};

    text_clear(&t);
    format_ready(&t, rd, out->v, out->n);
    env_printf(e, "%s", t.v);
    text_free(&t);
}

const char *env_process_ready(struct env *e, struct env_node *n)
{
    struct rc_ready rd;
    struct env_msgs out;
    const char *error = NULL;
    char why[512];

    rc_ready(n->rc, &rd);
    out = outgoing(n, &rd);
    say_ready(e, &rd, &out);
    if (!n->async) {
        error = write_disk(e, n, rd.snapshot, rd.entries, rd.n_entries);
        if (error == NULL) {
            apply(e, n, rd.committed, rd.n_committed);
        }
    }
    for (size_t i = 0; error == NULL && i < out.n; i++) {
        struct env_msgs *list = out.v[i].m.to == APPEND_THREAD  ? &n->append_work
                                : out.v[i].m.to == APPLY_THREAD ? &n->apply_work
                                                                : &e->flight;

        push(list, &out.v[i]);
    }
    if (error != NULL) {
        clear(&out);
    }
    free(out.v);
    if (error == NULL && !n->async) {
        acknowledge(n, &rd);
    }
    rc_ready_release(&rd);
    if (!rc_check(n->rc, why, sizeof why)) {
        env_break(e, "%s", why);
    }
    return error;
}

/* ---- storage threads ---- */

static void finish(struct env *e, struct env_msg *work)
{
    env_printf(e, "Responses:\n");
    for (size_t i = 0; i < work->n_responses; i++) {
        say(e, &work->responses[i]);
        push(&e->flight, &work->responses[i]);
    }
    work->n_responses = 0;
    msg_clear(work);
}

static struct env_msg begin(struct env *e, struct env_msgs *list)
{
    struct env_msg work = take(list, 0), bare = work;

    bare.n_responses = 0;
    env_printf(e, "Processing:\n");
    say(e, &bare);
    return work;
}

const char *env_append_thread(struct env *e, struct env_node *n)
{
    struct env_msg work;
    const char *error;

    if (n->append_work.n == 0) {
        env_printf(e, "no append work to perform");
        return NULL;
    }
    work = begin(e, &n->append_work);
    error = write_disk(e, n, work.m.snapshot, work.m.entries, work.m.n_entries);
    if (error != NULL) {
        msg_clear(&work);
        return error;
    }
    finish(e, &work);
    return NULL;
}

const char *env_apply_thread(struct env *e, struct env_node *n)
{
    struct env_msg work;

    if (n->apply_work.n == 0) {
        env_printf(e, "no apply work to perform");
        return NULL;
    }
    work = begin(e, &n->apply_work);
    apply(e, n, work.m.entries, work.m.n_entries);
    finish(e, &work);
    return NULL;
}

/* ---- delivery ---- */

static bool local(const struct env_msg *m)
{
    return m->m.from == m->m.to || m->m.from >= APPLY_THREAD || m->m.to >= APPLY_THREAD;
}

bool env_has_flight(const struct env *e, uint64_t to)
{
    for (size_t i = 0; i < e->flight.n; i++) {
        if (e->flight.v[i].m.to == to) {
            return true;
        }
    }
    return false;
}

static const char *hand_over(struct env_node *n, const struct env_msg *m)
{
    if (m->type == T_STORAGE_APPEND_RESP) {
        rc_persisted(n->rc, &m->ack);
        if (m->m.snapshot != NULL) {
            rc_snap_done(n->rc, m->m.snapshot->index);
        }
        return NULL;
    }
    if (m->type == T_STORAGE_APPLY_RESP) {
        rc_applied(n->rc, m->m.entries[m->m.n_entries - 1].index);
        return NULL;
    }
    return env_result(rc_step(n->rc, &m->m));
}

static void deliver_one(struct env *e, struct env_msg *m, bool drop)
{
    const char *error;
    char why[512];

    env_printf(e, "%s", drop ? "dropped: " : "");
    say(e, m);
    if (!drop) {
        if (m->m.to > e->n_nodes) {
            env_break(e, "a message for replica %llu, which does not exist", U(m->m.to));
        }
        error = hand_over(&e->nodes[m->m.to - 1], m);
        if (error != NULL) {
            env_printf(e, "%s\n", error);
        }
        if (!rc_check(e->nodes[m->m.to - 1].rc, why, sizeof why)) {
            env_break(e, "%s", why);
        }
    }
}

size_t env_deliver(struct env *e, int type, uint64_t to, bool drop)
{
    struct env_msgs picked = {0};
    size_t kept = 0, n;

    for (size_t i = 0; i < e->flight.n; i++) {
        struct env_msg *m = &e->flight.v[i];

        if (m->m.to == to && !(drop && local(m)) && (type == T_ANY || m->type == type)) {
            push(&picked, m);
        } else {
            e->flight.v[kept++] = *m;
        }
    }
    e->flight.n = kept;
    for (size_t i = 0; i < picked.n; i++) {
        deliver_one(e, &picked.v[i], drop);
    }
    n = picked.n;
    clear(&picked);
    return n;
}

/* ---- replicas ---- */

const char *env_add_node(struct env *e, const struct rc_config *cfg, bool async, bool bootstrap,
                         const struct rc_snapshot *snap)
{
    struct env_node *n;
    struct rc_boot boot = {0};
    struct rc_snapshot *own;
    char why[256];

    if (bootstrap && snap->index <= 1) {
        return "index must be specified as > 1 due to bootstrap";
    }
    own = rc_snapshot_new(&env_alloc, snap->index, bootstrap ? 1 : 0, &snap->conf, rc_buf_ref(snap->data));
    e->nodes = must_alloc(e->nodes, (e->n_nodes + 1) * sizeof *e->nodes);
    n = &e->nodes[e->n_nodes];
    memset(n, 0, sizeof *n);
    n->cfg = *cfg;
    n->cfg.id = e->n_nodes + 1;
    n->cfg.alloc = env_alloc;
    n->cfg.random = on_random;
    n->cfg.log = on_log;
    n->cfg.fatal = on_fatal;
    n->cfg.ctx = e;
    n->cfg.apply_unpersisted = !async;
    n->async = async;
    n->history = must_alloc(NULL, sizeof(struct rc_snapshot *));
    n->history[n->n_history++] = own;
    if (bootstrap) {
        env_disk_install(&n->disk, own);
        boot = (struct rc_boot){
            .conf = own->conf, .base_index = own->index, .base_term = 1, .applied = own->index, .snapshot = own};
    }
    n->rc = rc_new(&n->cfg, &boot, why, sizeof why);
    if (n->rc == NULL) {
        rc_snapshot_unref(own);
        free(n->history);
        env_break(e, "%s", why);
    }
    e->n_nodes++;
    return NULL;
}

void env_init(struct env *e)
{
    memset(e, 0, sizeof *e);
    e->seed = 1;
    text_clear(&e->out);
    e->tracker.limits = (struct rc_limits){.msgs = 10};
    e->tracker.alloc = env_alloc;
}

void env_free(struct env *e)
{
    for (size_t i = 0; i < e->n_nodes; i++) {
        struct env_node *n = &e->nodes[i];

        rc_free(n->rc);
        env_disk_drop(&n->disk);
        free(n->disk.entries);
        clear(&n->append_work);
        clear(&n->apply_work);
        for (size_t h = 0; h < n->n_history; h++) {
            rc_snapshot_unref(n->history[h]);
        }
        free(n->history);
    }
    free(e->nodes);
    clear(&e->flight);
    text_free(&e->out);
    rc_tracker_release(&e->tracker);
    memset(e, 0, sizeof *e);
}
