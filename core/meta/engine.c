/* engine.c: what the engine tells us: committed entries, its role, its snapshots, its end. Everything runs on the apply
 * executor; one delivery is one batch: apply all, publish once, tell the subscribers, answer the proposers,
 * acknowledge. It must never drop an entry that it was given: what it cannot apply stops it for good, loudly. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "meta/meta_int.h"

LOG_SUBSYSTEM("meta");

/* The objects behind the changes, as the new image has them. */
static void resolve_changes(struct meta *m, const struct meta_image *i)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < m->st.n_changes; k++) {
        struct meta_change *c = &m->st.changes[k];
        if (c->kind == META_CHANGE_TOPIC || c->kind == META_CHANGE_TOPIC_CREATED) {
            c->topic = meta_topic_by_id(i, &c->topic_id);
            if (!c->topic) { /* gone again within the batch; its deletion follows */
                free((char *)(uintptr_t)c->name);
                continue;
            }
        }
        m->st.changes[n++] = *c;
    }
    m->st.n_changes = n;
}

void engine_publish(struct meta *m)
{
    const struct meta_image *i = meta_state_publish(&m->st);
    os_mutex_lock(&m->lock);
    m->seq = i->seq;
    m->applied_index = i->pos.index;
    memcpy(m->digest, i->digest, sizeof m->digest);
    m->topics = i->by_id.count;
    m->partitions = i->n_partitions;
    m->brokers = i->brokers.count;
    os_mutex_unlock(&m->lock);
    resolve_changes(m, i);
    for (struct meta_sub *s = m->subs; s; s = s->next)
        if (m->st.n_changes || s->every)
            s->fn(s->arg, i, m->st.changes, m->st.n_changes);
    meta_state_changes_clear(&m->st);
}

void engine_stop(struct meta *m, int32_t code, const char *why)
{
    os_mutex_lock(&m->lock);
    bool first = !m->stopped;
    m->stopped = true;
    if (first)
        snprintf(m->stopped_why, sizeof m->stopped_why, "%s", why);
    os_mutex_unlock(&m->lock);
    if (!first)
        return;
    log_error("metadata stands still: %s", why);
    if (m->opt.failed)
        m->opt.failed(m->opt.arg, code, why);
}

static void remember_answer(struct meta *m, const struct meta_entry_result *r, enum meta_verdict v)
{
    struct open_entry *e = propose_find(m, &r->env);
    if (!e)
        return;
    if (m->n_answers == m->cap_answers) {
        m->cap_answers = m->cap_answers ? m->cap_answers * 2 : 64;
        m->answers = meta_xrealloc(m->answers, m->cap_answers * sizeof *m->answers);
    }
    m->answers[m->n_answers++] =
        (struct batch_answer){.entry = e, .verdict = v, .outs = r->outs, .first_seq = r->first_seq};
}

/* One entry; false stops. */
static bool apply_entry(struct meta *m, const struct chronik_meta_entry *e)
{
    struct meta_entry_result r;
    enum meta_verdict v = meta_apply_entry(&m->st, e->data, e->n, &r);
    if (v == META_STOP) {
        char why[256];
        snprintf(why, sizeof why, "entry %" PRIu64 " of the metadata log: %s", e->pos.index, r.why);
        engine_stop(m, CHRONIK_E_VERSION, why);
        return false;
    }
    m->st.img.pos = e->pos;
    struct meta_buf *delta = m->cp.kv ? &m->st.delta : NULL;
    os_mutex_lock(&m->lock);
    if (v == META_APPLIED) {
        logmap_applied(m, e->pos.index, r.first_seq, delta);
        m->trail.v[m->trail.n++ % META_TRAIL] =
            (struct meta_digest){m->st.img.seq, {m->st.img.digest[0], m->st.img.digest[1]}};
    } else {
        logmap_skipped(m, e->pos.index, delta);
    }
    os_mutex_unlock(&m->lock);
    remember_answer(m, &r, v);
    return true;
}

static void answer_all(struct meta *m)
{
    /* An answer may propose, never change the list: entries are only closed here and in the timer. */
    uint32_t n = m->n_answers;
    m->n_answers = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct batch_answer a = m->answers[i];
        bool twice = false; /* the same entry answered earlier in this batch: a repeat behind it */
        for (uint32_t k = 0; k < i && !twice; k++)
            twice = m->answers[k].entry == a.entry && m->answers[k].verdict != META_GAP;
        if (!twice)
            propose_answer(m, a.entry, a.verdict, a.outs, a.first_seq);
    }
}

static void on_apply(void *arg, uint64_t epoch, const struct chronik_meta_entry *e, uint32_t n, uint32_t stride)
{
    struct meta *m = arg;
    struct chronik_meta_pos last = m->st.img.pos;
    if (m->stopped)
        return;
    m->engine_epoch = epoch;
    for (uint32_t i = 0; i < n; i++) {
        const struct chronik_meta_entry *x = (const void *)((const char *)e + (size_t)i * stride);
        if (x->pos.index <= m->st.img.pos.index) {
            engine_stop(m, CHRONIK_E_CORRUPT, "the engine delivered an entry twice: report this");
            break;
        }
        if (!apply_entry(m, x))
            break;
        last = x->pos;
    }
    engine_publish(m);
    m->ops->applied(m->engine, last);
    checkpoint_hand_over(m);
    answer_all(m);
    arena_reset(&m->st.arena);
    propose_pump(m);
}

static int32_t on_install_begin(void *arg, const struct chronik_meta_snapshot *s)
{
    return snapshot_install_begin(arg, s);
}

static int32_t on_install_chunk(void *arg, const void *p, uint64_t n)
{
    return snapshot_install_chunk(arg, p, n);
}

static int32_t on_install_end(void *arg, uint32_t ok)
{
    return snapshot_install_end(arg, ok != 0);
}

static void on_role(void *arg, uint32_t role, uint64_t epoch, int32_t leader)
{
    struct meta *m = arg;
    m->engine_epoch = epoch;
    int32_t controller = role == CHRONIK_META_ROLE_NONE ? -1 : leader;
    if (controller == m->st.img.controller)
        return;
    m->st.img.controller = controller;
    meta_state_note(&m->st, META_CHANGE_CONTROLLER, NULL, NULL, controller, 0);
    engine_publish(m);
    if (controller >= 0)
        propose_retry_now(m); /* what was refused for want of a leader need not wait for its turn */
    m->host.exec_post(m->apply, &m->pump_task);
}

static void on_caught_up(void *arg)
{
    struct meta *m = arg;
    os_mutex_lock(&m->lock);
    bool first = !m->caught_up;
    m->caught_up = true;
    os_mutex_unlock(&m->lock);
    if (!first || m->stopped)
        return;
    const struct chronik_uuid *want = &m->opt.cluster_id, *is = &m->st.img.cluster_id;
    if (!meta_uuid_zero(want) && !meta_uuid_zero(is) && !meta_uuid_eq(want, is)) {
        char a[23], b[23], why[256];
        meta_uuid_text(want, a);
        meta_uuid_text(is, b);
        snprintf(
            why, sizeof why,
            "the data directory belongs to cluster %s, the metadata log to %s: start with the log that belongs to it",
            a, b);
        engine_stop(m, CHRONIK_E_INVAL, why);
        return;
    }
    log_info("metadata caught up at command %" PRIu64 ": %" PRIu64 " topics, %" PRIu64 " partitions", m->st.img.seq,
             m->st.img.by_id.count, m->st.img.n_partitions);
    if (m->opt.caught_up)
        m->opt.caught_up(m->opt.arg);
    if (m->opt.join)
        boot_begin(m);
    else if (m->rec)
        reconcile_wake(m);
    propose_pump(m);
}

static void on_want_snapshot(void *arg, uint64_t log_bytes)
{
    struct meta *m = arg;
    m->snapshot_task.fn = snapshot_make;
    m->snapshot_task.arg = m;
    m->host.exec_post(m->low, &m->snapshot_task);
}

static void on_failed(void *arg, int32_t code, const char *text)
{
    engine_stop(arg, code, text);
}

void engine_events(struct meta *m, struct chronik_meta_events *ev)
{
    *ev = (struct chronik_meta_events){.size = sizeof *ev,
                                       .arg = m,
                                       .apply = on_apply,
                                       .install_begin = on_install_begin,
                                       .install_chunk = on_install_chunk,
                                       .install_end = on_install_end,
                                       .role = on_role,
                                       .caught_up = on_caught_up,
                                       .want_snapshot = on_want_snapshot,
                                       .failed = on_failed};
}
