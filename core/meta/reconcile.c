/* reconcile.c: makes what this node has on disk and open agree with what the image says it hosts. It compares, it does
 * not follow: a missed or doubled wake-up changes nothing. Data is removed only for a topic id whose deletion is
 * committed; anything else that nobody knows is a stray: kept, counted and named. Runs on an executor of its own, where
 * it may block; only the list of changed topics and what status shows are shared, under m->lock. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "meta/meta_int.h"

LOG_SUBSYSTEM("meta");

enum part_state { PART_NONE, PART_OPEN, PART_FAILED, PART_STRAY };
#define RETRY_NS (INT64_C(5) * 1000 * 1000 * 1000)
enum { CONFIRM_AT_ONCE = 4096 };

struct rpart {
    int32_t epoch; /* partition epoch last handed to the partition layer */
    uint8_t state;
};

struct rtopic {
    struct chronik_uuid id;
    bool used;
    uint64_t row; /* hash of the topic's row last handed over: settings */
    int32_t n;
    struct rpart *parts;
};

struct reconciler {
    struct meta *m;
    struct meta_reconcile_ops ops;
    struct meta_reader *reader;
    struct chronik_exec *exec;
    struct chronik_task task, retry_task, close_task, worker_task;
    struct meta_sub sub;
    void (*then)(void *arg);
    void *then_arg;
    /* under m->lock */
    struct chronik_uuid *changed;
    size_t n_changed, cap_changed;
    bool reset, closing;
    bool resettle; /* settings outside of the image changed: hand every open partition over again */
    struct meta_reconcile_status status;
    void (*first_fn)(void *arg);
    void *first_arg;
    /* the executor's: open addressing, a power of two, at most half full */
    struct rtopic *topics;
    size_t cap, used;
    struct chronik_uuid *confirm;
    size_t n_confirm, cap_confirm;
    bool listed, resettling;
};

/* ---- the table ---- */

static size_t hash_of(const struct chronik_uuid *id)
{
    return (size_t)(get_be64(id->b) * UINT64_C(0x9e3779b97f4a7c15) ^ get_be64(id->b + 8));
}

static struct rtopic *slot(struct rtopic *v, size_t cap, const struct chronik_uuid *id)
{
    size_t at = hash_of(id) & (cap - 1);
    while (v[at].used && !meta_uuid_eq(&v[at].id, id))
        at = (at + 1) & (cap - 1);
    return &v[at];
}

static void grow(struct reconciler *r)
{
    size_t cap = r->cap ? r->cap * 2 : 64;
    struct rtopic *v = meta_xmalloc(cap * sizeof *v);
    memset(v, 0, cap * sizeof *v);
    for (size_t i = 0; i < r->cap; i++)
        if (r->topics[i].used)
            *slot(v, cap, &r->topics[i].id) = r->topics[i];
    free(r->topics);
    r->topics = v;
    r->cap = cap;
}

/* The topic's entry with room for n partitions; made when missing. */
static struct rtopic *topic_get(struct reconciler *r, const struct chronik_uuid *id, int32_t n)
{
    if (r->used * 2 >= r->cap)
        grow(r);
    struct rtopic *t = slot(r->topics, r->cap, id);
    if (!t->used) {
        *t = (struct rtopic){.id = *id, .used = true};
        r->used++;
    }
    if (n > t->n) {
        t->parts = meta_xrealloc(t->parts, (size_t)n * sizeof *t->parts);
        memset(t->parts + t->n, 0, (size_t)(n - t->n) * sizeof *t->parts);
        t->n = n;
    }
    return t;
}

static struct rtopic *topic_find(struct reconciler *r, const struct chronik_uuid *id)
{
    if (!r->cap)
        return NULL;
    struct rtopic *t = slot(r->topics, r->cap, id);
    return t->used ? t : NULL;
}

/* Removes by rehashing what follows in the run. */
static void topic_drop(struct reconciler *r, struct rtopic *t)
{
    free(t->parts);
    *t = (struct rtopic){0};
    r->used--;
    size_t at = (size_t)(t - r->topics);
    for (size_t k = (at + 1) & (r->cap - 1); r->topics[k].used; k = (k + 1) & (r->cap - 1)) {
        struct rtopic x = r->topics[k];
        r->topics[k] = (struct rtopic){0};
        *slot(r->topics, r->cap, &x.id) = x;
    }
}

/* ---- one topic ---- */

static void say(struct reconciler *r, const struct err *e, const char *what, const struct chronik_uuid *id, int32_t p)
{
    char text[23];
    meta_uuid_text(id, text);
    log_warn("%s of %s/%d failed: %s", what, text, p, e->text);
    os_mutex_lock(&r->m->lock);
    snprintf(r->status.last_error, sizeof r->status.last_error, "%s of %s/%d: %.190s", what, text, p, e->text);
    os_mutex_unlock(&r->m->lock);
}

static bool hosts(const struct meta_partition *p, int32_t node)
{
    for (unsigned i = 0; i < p->n_replicas; i++)
        if (p->replicas[i] == node)
            return true;
    return false;
}

static void do_partition(struct reconciler *r, const struct meta_image *i, const struct meta_topic *t, int32_t p,
                         struct rtopic *x, bool settings)
{
    struct rpart *part = &x->parts[p];
    const struct meta_partition *want = t->partitions[p];
    struct err e = {0};
    if (!hosts(want, r->m->opt.node_id)) {
        if (part->state != PART_OPEN && part->state != PART_FAILED)
            return;
        if (r->ops.close(r->ops.arg, &t->id, p, &e) < 0)
            say(r, &e, "closing", &t->id, p);
        part->state = PART_STRAY;
        return;
    }
    int32_t rc;
    if (part->state != PART_OPEN)
        rc = r->ops.open(r->ops.arg, i, t, p, &e);
    else if (part->epoch != want->partition_epoch || settings)
        rc = r->ops.reconfigure(r->ops.arg, i, t, p, &e);
    else
        return;
    if (rc < 0)
        say(r, &e, part->state == PART_OPEN ? "reconfiguring" : "opening", &t->id, p);
    if (rc >= 0 || part->state != PART_OPEN)
        part->state = rc < 0 ? PART_FAILED : PART_OPEN;
    part->epoch = rc < 0 ? -1 : want->partition_epoch;
}

static void confirm(struct reconciler *r, const struct chronik_uuid *id)
{
    if (r->n_confirm == r->cap_confirm) {
        r->cap_confirm = r->cap_confirm ? r->cap_confirm * 2 : 64;
        r->confirm = meta_xrealloc(r->confirm, r->cap_confirm * sizeof *r->confirm);
    }
    r->confirm[r->n_confirm++] = *id;
}

/* The deletion is committed: remove what is here, then tell. */
static void do_deleted(struct reconciler *r, const struct chronik_uuid *id)
{
    struct rtopic *x = topic_find(r, id);
    bool clean = true;
    for (int32_t p = 0; x && p < x->n; p++) {
        struct err e = {0};
        if (x->parts[p].state == PART_NONE)
            continue;
        if (r->ops.delete_(r->ops.arg, id, p, &e) < 0) {
            say(r, &e, "deletion", id, p);
            x->parts[p].state = PART_FAILED;
            clean = false;
        } else {
            x->parts[p].state = PART_NONE;
        }
    }
    if (!clean)
        return;
    if (x)
        topic_drop(r, x);
    confirm(r, id);
}

/* Known here, unknown to the image, and not deleted: stop serving it, keep the data. */
static void do_unknown(struct reconciler *r, struct rtopic *x)
{
    for (int32_t p = 0; p < x->n; p++) {
        struct err e = {0};
        if (x->parts[p].state == PART_OPEN && r->ops.close(r->ops.arg, &x->id, p, &e) < 0)
            say(r, &e, "closing", &x->id, p);
        if (x->parts[p].state != PART_NONE)
            x->parts[p].state = PART_STRAY;
    }
}

static void do_topic(struct reconciler *r, const struct chronik_uuid *id)
{
    const struct meta_image *i = meta_enter(r->reader);
    const struct meta_topic *t = meta_topic_by_id(i, id);
    if (t) {
        struct rtopic *x = topic_find(r, id);
        bool here = x != NULL;
        for (int32_t p = 0; p < t->n_partitions && !here; p++)
            here = hosts(t->partitions[p], r->m->opt.node_id);
        if (here) {
            x = topic_get(r, id, t->n_partitions);
            bool settings = x->row != t->hash[0] || r->resettling;
            for (int32_t p = 0; p < t->n_partitions; p++)
                do_partition(r, i, t, p, x, settings);
            x->row = t->hash[0];
        }
    } else if (meta_topic_was_deleted(i, id) || MUTANT("meta_stray_deleted")) {
        do_deleted(r, id);
    } else {
        struct rtopic *x = topic_find(r, id);
        if (x)
            do_unknown(r, x);
    }
    meta_leave(r->reader);
}

/* ---- passes ---- */

static void found(void *arg, const struct chronik_uuid *topic, int32_t partition)
{
    struct reconciler *r = arg;
    if (partition < 0 || partition > 10 * 1000 * 1000)
        return;
    struct rtopic *x = topic_get(r, topic, partition + 1);
    if (x->parts[partition].state == PART_NONE)
        x->parts[partition].state = PART_STRAY;
}

static struct chronik_uuid *ids_of_table(struct reconciler *r, size_t *n)
{
    struct chronik_uuid *v = meta_xmalloc(r->used * sizeof *v);
    *n = 0;
    for (size_t i = 0; i < r->cap; i++)
        if (r->topics[i].used)
            v[(*n)++] = r->topics[i].id;
    return v;
}

static struct chronik_uuid *ids_of_image(struct reconciler *r, size_t *n)
{
    const struct meta_image *i = meta_enter(r->reader);
    struct chronik_uuid *v = meta_xmalloc((i->by_id.count + i->n_deleted) * sizeof *v);
    struct meta_cursor c;
    *n = 0;
    for (const struct meta_topic *t = tree_seek(&i->by_name, &c, "", 0); t; t = tree_next(&c))
        v[(*n)++] = t->id;
    for (const struct meta_row *d = tree_seek(&i->rows, &c, "D", 1); d && d->data[0] == 'D'; d = tree_next(&c))
        memcpy(v[(*n)++].b, d->data + 1, 16);
    meta_leave(r->reader);
    return v;
}

/* Everything in the image, then what only the disk knows. false: the store could not be listed. */
static bool pass_all(struct reconciler *r)
{
    struct err e = {0};
    if (!r->listed && r->ops.list_store(r->ops.arg, found, r, &e) < 0) {
        os_mutex_lock(&r->m->lock);
        snprintf(r->status.last_error, sizeof r->status.last_error, "listing the store: %.200s", e.text);
        os_mutex_unlock(&r->m->lock);
        log_warn("%s", r->status.last_error);
        return false;
    }
    r->listed = true;
    size_t n;
    struct chronik_uuid *ids = ids_of_image(r, &n);
    for (size_t k = 0; k < n; k++)
        do_topic(r, &ids[k]);
    free(ids);
    ids = ids_of_table(r, &n);
    for (size_t k = 0; k < n; k++)
        do_topic(r, &ids[k]);
    free(ids);
    return true;
}

static void count(struct reconciler *r, bool all_done)
{
    struct meta_reconcile_status s = {0};
    size_t at = 0;
    for (size_t i = 0; i < r->cap; i++)
        for (int32_t p = 0; r->topics[i].used && p < r->topics[i].n; p++) {
            uint8_t state = r->topics[i].parts[p].state;
            s.opened += state == PART_OPEN;
            s.failed += state == PART_FAILED;
            if (state != PART_STRAY)
                continue;
            char text[23];
            meta_uuid_text(&r->topics[i].id, text);
            if (s.strays++ < 8 && at < sizeof s.stray_names - 40)
                at +=
                    (size_t)snprintf(s.stray_names + at, sizeof s.stray_names - at, "%s%s/%d", at ? " " : "", text, p);
        }
    os_mutex_lock(&r->m->lock);
    bool first = all_done && !r->status.first_pass_done;
    bool fresh = s.strays > r->status.strays;
    memcpy(s.last_error, r->status.last_error, sizeof s.last_error);
    s.first_pass_done = all_done || r->status.first_pass_done;
    if (s.failed == 0 && s.first_pass_done)
        s.last_error[0] = 0;
    r->status = s;
    os_mutex_unlock(&r->m->lock);
    if (fresh)
        log_warn("%" PRIu64 " partitions on disk belong to no topic; kept: %s", s.strays, s.stray_names);
    if (first && r->first_fn)
        r->first_fn(r->first_arg);
}

static void confirmed(void *arg, const struct meta_result *res)
{
    /* A lost confirmation is repeated by the next start. */
    if (res->code != KAFKA_NONE)
        log_info("confirming deleted topics: %s", res->text);
    (void)arg;
}

static void send_confirmations(struct reconciler *r)
{
    for (size_t i = 0; i < r->n_confirm; i += CONFIRM_AT_ONCE) {
        struct meta_command c = {.type = META_CMD_TOPICS_REMOVED};
        c.u.topics_removed.broker = r->m->opt.node_id;
        c.u.topics_removed.ids = r->confirm + i;
        c.u.topics_removed.n_ids = (uint32_t)min_size(r->n_confirm - i, CONFIRM_AT_ONCE);
        if (meta_propose(r->m, META_CLIENT, &c, 0, confirmed, r) < 0)
            log_info("confirming deleted topics is left to the next start");
    }
    r->n_confirm = 0;
}

static bool may_run(struct meta *m)
{
    return m->opt.join ? m->registered : m->caught_up;
}

static void run(void *arg)
{
    struct reconciler *r = arg;
    struct meta *m = r->m;
    os_mutex_lock(&m->lock);
    struct chronik_uuid *ids = r->changed;
    size_t n = r->n_changed;
    bool all = r->reset || r->resettle || !r->listed;
    bool go = may_run(m) && !r->closing;
    if (go) {
        r->changed = NULL;
        r->n_changed = r->cap_changed = 0;
        r->resettling = r->resettle;
        r->reset = r->resettle = false;
    }
    os_mutex_unlock(&m->lock);
    if (!go)
        return;
    bool ok = true;
    if (all)
        ok = pass_all(r);
    for (size_t i = 0; i < n && ok && !all; i++)
        do_topic(r, &ids[i]);
    free(ids);
    r->resettling = false;
    send_confirmations(r);
    count(r, ok);
    if (!ok || r->status.failed)
        m->host.exec_post_at(r->exec, &r->retry_task, os_mono_ns(m->os) + RETRY_NS);
}

static void retry(void *arg)
{
    struct reconciler *r = arg;
    os_mutex_lock(&r->m->lock);
    r->reset = true;
    os_mutex_unlock(&r->m->lock);
    run(r);
}

/* ---- changes come in: apply executor ---- */

static void on_changes(void *arg, const struct meta_image *i, const struct meta_change *c, uint32_t n)
{
    struct reconciler *r = arg;
    bool any = false;
    os_mutex_lock(&r->m->lock);
    for (uint32_t k = 0; k < n; k++) {
        if (c[k].kind == META_CHANGE_RESET)
            any = r->reset = true;
        if (c[k].kind < META_CHANGE_TOPIC_CREATED || c[k].kind > META_CHANGE_TOPIC_DELETED)
            continue;
        if (r->n_changed == r->cap_changed) {
            r->cap_changed = r->cap_changed ? r->cap_changed * 2 : 64;
            r->changed = meta_xrealloc(r->changed, r->cap_changed * sizeof *r->changed);
        }
        r->changed[r->n_changed++] = c[k].topic_id;
        any = true;
    }
    os_mutex_unlock(&r->m->lock);
    if (any)
        reconcile_wake(r->m);
}

/* Any thread. Under the lock: once the end has begun its executor may be gone, while the engine still delivers and
 * commands still complete. */
static bool post(struct reconciler *r, struct chronik_task *t)
{
    os_mutex_lock(&r->m->lock);
    bool open = !r->closing;
    if (open)
        r->m->host.exec_post(r->exec, t);
    os_mutex_unlock(&r->m->lock);
    return open;
}

void reconcile_wake(struct meta *m)
{
    if (may_run(m))
        post(m->rec, &m->rec->task);
}

void meta_reconcile_settings(struct meta *m)
{
    os_mutex_lock(&m->lock);
    m->rec->resettle = true;
    os_mutex_unlock(&m->lock);
    reconcile_wake(m);
}

static void after(void *arg)
{
    struct meta_after *a = arg;
    os_exec_post(a->exec, a->task);
}

void meta_reconcile_after(struct meta *m, struct meta_after *a)
{
    a->own = (struct chronik_task){.fn = after, .arg = a};
    if (!m->rec || !post(m->rec, &a->own)) /* the executor is serial, and the pass was posted before */
        after(a);
}

int32_t meta_reconcile_start(struct meta *m, const struct meta_reconcile_ops *ops, struct err *e)
{
    struct reconciler *r = meta_xmalloc(sizeof *r);
    *r = (struct reconciler){.m = m, .ops = *ops};
    r->task = (struct chronik_task){.fn = run, .arg = r};
    r->retry_task = (struct chronik_task){.fn = retry, .arg = r};
    r->sub = (struct meta_sub){.fn = on_changes, .arg = r};
    int32_t rc = m->host.exec_open(m->host.ctx, "meta-reconcile", 0, &r->exec);
    if (rc < 0) {
        free(r);
        return err_set(e, rc, "metadata: no executor for the reconciler can be opened");
    }
    r->reader = meta_reader_open(m);
    m->rec = r;
    meta_subscribe(m, &r->sub);
    return CHRONIK_DONE;
}

void meta_reconcile_on_first_pass(struct meta *m, void (*fn)(void *arg), void *arg)
{
    m->rec->first_fn = fn;
    m->rec->first_arg = arg;
}

void meta_reconcile_status_get(struct meta *m, struct meta_reconcile_status *out)
{
    memset(out, 0, sizeof *out);
    if (!m->rec)
        return;
    os_mutex_lock(&m->lock);
    *out = m->rec->status;
    os_mutex_unlock(&m->lock);
}

/* ---- the end ---- */

static void exec_closed(void *arg, int32_t rc)
{
    struct reconciler *r = arg;
    r->then(r->then_arg);
}

static void close_exec(void *arg)
{
    struct reconciler *r = arg;
    r->m->host.exec_close(r->exec, (struct chronik_done){exec_closed, r});
}

static void close_run(void *arg)
{
    struct reconciler *r = arg;
    r->worker_task = (struct chronik_task){.fn = close_exec, .arg = r};
    r->m->host.worker_post(r->m->host.ctx, &r->worker_task);
}

void reconcile_close(struct meta *m, void (*then)(void *arg), void *arg)
{
    struct reconciler *r = m->rec;
    r->then = then;
    r->then_arg = arg;
    os_mutex_lock(&m->lock);
    r->closing = true;
    os_mutex_unlock(&m->lock);
    r->close_task = (struct chronik_task){.fn = close_run, .arg = r};
    m->host.exec_post(r->exec, &r->close_task);
}

void reconcile_free(struct meta *m)
{
    struct reconciler *r = m->rec;
    if (!r)
        return;
    meta_reader_close(r->reader);
    for (size_t i = 0; i < r->cap; i++)
        free(r->topics[i].parts);
    free(r->topics);
    free(r->changed);
    free(r->confirm);
    free(r);
    m->rec = NULL;
}
