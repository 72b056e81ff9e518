/* shell.c: the raft executor. One pass takes what came in (proposals, barriers, what is durable, what the host applied,
 * messages), gives it to the core, and carries out the core's readies: messages that may leave now, records, events for
 * the host, and, once the records are durable, what was promised by them. The core says what is to be done; this file
 * must never send or answer before the records that it depends on are durable (S5), and never look at a result of an
 * acknowledgement for work (S4): work is only ever in the next ready. */
#include "peer.h"
#include "raft.h"

#include <stdlib.h>

/* ---- small things ---- */

void *raft_alloc(chronik_meta *m, size_t n)
{
    void *p = calloc(1, n);
    if (!p)
        raft_fatal(m, 70, "meta-raft: out of memory in the middle of a step; give the process more");
    return p;
}

void raft_fatal(chronik_meta *m, int32_t code, const char *text)
{
    m->host.fatal(m->host.ctx, code, text);
}

static int64_t now_ns(chronik_meta *m)
{
    return m->host.mono_ns(m->host.ctx);
}

void raft_post(chronik_meta *m)
{
    if (!__atomic_load_n(&m->posted_at, __ATOMIC_RELAXED))
        __atomic_store_n(&m->posted_at, now_ns(m), __ATOMIC_RELAXED);
    m->host.exec_post(m->exec, &m->step_task);
}

uint64_t raft_random(chronik_meta *m, uint64_t below)
{
    uint64_t v;
    m->host.random(m->host.ctx, &v, sizeof v);
    return below ? v % below : v;
}

void raft_answer(chronik_meta *m, struct plist *q, int32_t result)
{
    if (!q->n)
        return;
    struct event *ev = raft_alloc(m, sizeof *ev);
    ev->kind = EV_ANSWER;
    ev->code = result;
    plist_init(&ev->answer);
    plist_move(&ev->answer, q);
    deliver_emit(m, ev);
}

static void emit(chronik_meta *m, enum event_kind kind)
{
    struct event *ev = raft_alloc(m, sizeof *ev);
    ev->kind = kind;
    deliver_emit(m, ev);
}

uint64_t raft_last(chronik_meta *m)
{
    struct rc_status s;
    rc_status(m->rc, &s);
    return s.last;
}

bool raft_self_voter(const chronik_meta *m)
{
    return ids_have(&m->group_now->conf.voters, m->id.replica) || ids_have(&m->group_now->conf.outgoing, m->id.replica);
}

/* Nobody else has a say: no clock is needed. */
bool raft_alone(const chronik_meta *m)
{
    const struct rc_conf *c = &m->group_now->conf;
    return raft_self_voter(m) && c->voters.n + c->outgoing.n + c->learners.n + c->learners_next.n == 1;
}

/* ---- roles ---- */

static void tell_role(chronik_meta *m, const struct rc_ready *rd)
{
    const struct member *x = book_find(&m->group_now->book, rd->lead);
    struct event *ev = raft_alloc(m, sizeof *ev);
    struct rc_status s;
    rc_status(m->rc, &s);
    ev->kind = EV_ROLE;
    ev->role = rd->role == RC_LEADER ? CHRONIK_META_ROLE_LEADER
               : rd->lead            ? CHRONIK_META_ROLE_FOLLOWER
                                     : CHRONIK_META_ROLE_NONE;
    ev->epoch = s.term;
    ev->leader = x ? (int32_t)x->node : -1;
    bool lost = m->lead != rd->lead;
    if (m->leads && !rd->lead && s.term > m->led)
        clock_campaign_in(
            m, clock_retry_ns(m)); /* who took the term away may lack what we have, and nobody be left to win it */
    m->lead = rd->lead;
    m->leads = rd->role == RC_LEADER;
    if (m->leads)
        m->led = s.term;
    pthread_mutex_lock(&m->lock);
    m->pub.role = ev->role; /* whoever hears of it may propose, or look, at once */
    m->pub.leader = ev->leader;
    m->pub.term = s.term;
    m->pub.voters = s.conf.voters.n;
    m->pub.learners = s.conf.learners.n;
    pthread_mutex_unlock(&m->lock);
    if (lost)
        net_leader_changed(m);
    if (rd->lead) {
        m->campaign_at = 0;
        m->tries = 0;
        if (!m->read_index)
            m->read_at = 0; /* a read that was asked before fell on deaf ears: at once again */
    }
    if (m->leads)
        m->host.metric_add(m->elections, 1);
    util_log(&m->host, CHRONIK_LOG_INFO, "term %llu: %s%s%s", (unsigned long long)s.term,
             m->leads   ? "this node leads"
             : rd->lead ? "the leader is "
                        : "no leader is known",
             !m->leads && rd->lead && x ? x->address : "",
             !m->leads && rd->lead && !x ? "a replica without an address" : "");
    deliver_emit(m, ev);
}

/* ---- committed entries ---- */

static void change_group(chronik_meta *m, const struct rc_entry *e)
{
    struct rc_conf conf;
    if (rc_apply_conf(m->rc, e, &conf) != RC_OK)
        return;
    struct book book = m->group_now->book;
    book_keep(&book, &conf);
    group_set(m, &conf, &book, e->index, e->term);
    net_group_changed(m);
}

static void put_member(chronik_meta *m, const struct rc_entry *e)
{
    struct member x;
    if (!member_decode(e->data, &x)) {
        util_log(&m->host, CHRONIK_LOG_ERROR, "entry %llu names a member in a form that this build does not know",
                 (unsigned long long)e->index);
        return;
    }
    struct book book = m->group_now->book;
    book_put(&book, &x);
    group_set(m, &m->group_now->conf, &book, e->index, e->term);
}

static void committed(chronik_meta *m, struct rc_ready *rd)
{
    struct plist done, lost;
    plist_init(&done);
    plist_init(&lost);
    for (uint32_t i = 0; i < rd->n_committed; i++) {
        const struct rc_entry *e = &rd->committed[i];
        start_same_history(m, e);
        if (e->type != RC_ENTRY_NORMAL)
            change_group(m, e);
        else if (e->data && e->data->bytes[0] == PAYLOAD_MEMBER)
            put_member(m, e);
        else if (e->data && e->index > m->skip_to)
            m->host_last = e->index;
        while (m->waiting.head && m->waiting.head->index <= e->index) {
            struct proposal *p = plist_pop(&m->waiting);
            plist_push(p->index == e->index && p->term == e->term ? &done : &lost, p);
        }
    }
    m->handed = rd->committed[rd->n_committed - 1].index;
    struct event *ev = raft_alloc(m, sizeof *ev);
    ev->kind = EV_ENTRIES;
    ev->entries = rd->committed;
    ev->n = rd->n_committed;
    ev->epoch = m->hard.term;
    rd->committed = NULL;
    rd->n_committed = 0;
    deliver_emit(m, ev);
    raft_answer(m, &done, CHRONIK_DONE);
    raft_answer(m, &lost, CHRONIK_E_CANCELED);
}

static void catch_up(chronik_meta *m)
{
    if (m->caught_up || m->handed < m->catch_up)
        return;
    m->caught_up = true;
    emit(m, EV_CAUGHT_UP);
}

/* ---- readies ---- */

static void read_answers(chronik_meta *m, const struct rc_ready *rd)
{
    for (uint32_t i = 0; i < rd->n_reads; i++)
        if (rd->reads[i].context == m->read_number && m->read_number)
            m->read_index = rd->reads[i].index;
}

static bool is_vote(const struct rc_msg *msg)
{
    return msg->type == RC_MSG_VOTE_REPLY || msg->type == RC_MSG_PRE_VOTE_REPLY;
}

/* Where nobody else has a say our own vote is a promise to nobody: it counts at once, and term, vote and first entry
 * share a sync. The term's record stands before its entries: a crash that forgets the term has forgotten them too, so
 * the term may be won again and filled with others. That an entry is ours counts only once it is durable, as ever. */
static void own_votes(chronik_meta *m, struct flight *f)
{
    f->counted = raft_alone(m);
    for (uint32_t i = 0; i < f->rd.n_after && f->counted; i++)
        if (f->rd.after[i].to == m->id.replica && is_vote(&f->rd.after[i]))
            rc_step(m->rc, &f->rd.after[i]);
}

static void take_ready(chronik_meta *m)
{
    struct flight *f = raft_alloc(m, sizeof *f);
    rc_ready(m->rc, &f->rd);
    for (uint32_t i = 0; i < f->rd.n_msgs; i++)
        net_send(m, &f->rd.msgs[i]);
    for (uint32_t i = 0; MUTANT("raft_message_before_sync") && i < f->rd.n_after; i++)
        if (f->rd.after[i].to != m->id.replica)
            net_send(m, &f->rd.after[i]);
    if (f->rd.has_hard)
        clock_give_way(m, &f->rd.hard);
    f->upto = disk_write(m, &f->rd);
    if (f->rd.has_soft)
        tell_role(m, &f->rd);
    if (f->rd.snapshot)
        net_install(m, f->rd.snapshot);
    if (f->rd.snapshot && MUTANT("raft_install_before_log"))
        net_installed(m, f->rd.snapshot->index);
    if (f->rd.n_committed)
        committed(m, &f->rd);
    read_answers(m, &f->rd);
    own_votes(m, f);
    f->next = NULL;
    *m->flights_tail = f;
    m->flights_tail = &f->next;
}

/* What the records of this ready have promised may be said now. */
static void land(chronik_meta *m, struct flight *f)
{
    for (uint32_t i = 0; i < f->rd.n_after; i++) {
        if (f->rd.after[i].to != m->id.replica)
            net_send(m, &f->rd.after[i]);
        else if (!f->counted || !is_vote(&f->rd.after[i]))
            rc_step(m->rc, &f->rd.after[i]);
    }
    rc_persisted(m->rc, &f->rd.ack);
    if (f->rd.snapshot && !MUTANT("raft_install_before_log"))
        net_installed(m, f->rd.snapshot->index);
    rc_ready_release(&f->rd);
    free(f);
}

static void landings(chronik_meta *m, uint64_t durable)
{
    while (m->flights && (m->flights->upto <= durable || MUTANT("raft_ack_before_sync"))) {
        struct flight *f = m->flights;
        m->flights = f->next;
        if (!m->flights)
            m->flights_tail = &m->flights;
        land(m, f);
    }
    if (m->state_wait && m->state_wait <= durable) {
        m->state_at = m->state_next;
        m->state_wait = 0;
        if (m->want_pending) {
            struct event *ev = raft_alloc(m, sizeof *ev);
            ev->kind = EV_WANT_SNAPSHOT;
            pthread_mutex_lock(&m->lock);
            ev->bytes = m->grown;
            pthread_mutex_unlock(&m->lock);
            m->want_pending = false;
            deliver_emit(m, ev);
        }
    }
    net_boot_durable(m, durable);
}

/* ---- what came in ---- */

/* What the host has applied, and no-ops behind it, make room for further entries. */
static void host_applied(chronik_meta *m, uint64_t upto)
{
    uint64_t to = upto >= m->host_last ? m->handed : min_u64(upto, m->handed);
    if (to > m->applied && !m->installing_now) {
        m->applied = to;
        rc_applied(m->rc, to);
    }
}

static bool propose_batch(chronik_meta *m, struct plist *q)
{
    struct rc_entry e[RAFT_BATCH];
    struct rc_msg msg = {.type = RC_MSG_PROPOSE, .from = m->id.replica, .to = m->id.replica, .entries = e};
    uint64_t bytes = 0;
    for (struct proposal *p = q->head; p && msg.n_entries < RAFT_BATCH && (!bytes || bytes + p->n <= 1 << 20);
         p = p->next) {
        e[msg.n_entries++] = (struct rc_entry){.type = RC_ENTRY_NORMAL, .data = p->buf};
        bytes += p->n;
    }
    int rc = rc_step(m->rc, &msg);
    if (rc == RC_BUSY)
        return false; /* they stay where they are until something is applied */
    if (rc == RC_OK) {
        struct rc_status s;
        rc_status(m->rc, &s);
        uint64_t index = s.last - msg.n_entries + 1;
        for (uint32_t i = 0; i < msg.n_entries; i++) {
            struct proposal *p = plist_pop(q);
            p->index = index + i;
            p->term = s.term;
            rc_buf_unref(p->buf); /* the core has its own reference */
            p->buf = NULL;
            plist_push(&m->waiting, p);
        }
        return true;
    }
    struct plist refused;
    plist_init(&refused);
    for (uint32_t i = 0; i < msg.n_entries; i++)
        plist_push(&refused, plist_pop(q));
    raft_answer(m, &refused, rc == RC_TRANSFERRING ? CHRONIK_E_BUSY : CHRONIK_E_NOT_LEADER);
    return true;
}

static void proposals(chronik_meta *m)
{
    for (uint32_t k = 0; k < CHRONIK_META_CLASSES; k++) {
        pthread_mutex_lock(&m->lock);
        plist_move(&m->inbox_now[k], &m->inbox[k]);
        pthread_mutex_unlock(&m->lock);
        while (m->inbox_now[k].n) {
            if (m->leads && !propose_batch(m, &m->inbox_now[k]))
                return; /* later classes do not overtake */
            if (!m->leads)
                net_forward(m, &m->inbox_now[k]);
        }
    }
}

static void barriers_late(chronik_meta *m, struct plist *q, int64_t now)
{
    struct plist late, rest;
    plist_init(&late);
    plist_init(&rest);
    struct proposal *p;
    while ((p = plist_pop(q)))
        plist_push(now - p->at > RAFT_BARRIER_MS * RAFT_MS ? &late : &rest, p);
    plist_move(q, &rest);
    raft_answer(m, &late, CHRONIK_E_TIMEDOUT);
}

/* One read of the core at a time serves all barriers that came before it. An answer may never come: after a while the
 * core is asked again, under another number. */
static void barriers(chronik_meta *m, int64_t now)
{
    if (m->read_number && m->read_index && m->handed >= m->read_index) {
        raft_answer(m, &m->barriers, CHRONIK_DONE);
        m->read_number = m->read_index = 0;
    }
    pthread_mutex_lock(&m->lock);
    plist_move(&m->barriers_next, &m->barriers_in);
    pthread_mutex_unlock(&m->lock);
    bool stuck = m->read_number && !m->read_index && now - m->read_at > m->quorum.election_ms * RAFT_MS / 4;
    if (stuck) {
        barriers_late(m, &m->barriers, now);
        barriers_late(m, &m->barriers_next, now);
    }
    if (!m->read_number)
        plist_move(&m->barriers, &m->barriers_next);
    if (m->barriers.n && (stuck || !m->read_number)) {
        m->read_number = ++m->read_last;
        m->read_index = 0;
        m->read_at = now;
        if (MUTANT("raft_barrier_without_quorum"))
            m->read_index = max_u64(m->handed, 1);
        else if (MUTANT("raft_barrier_before_own_term") && m->leads)
            m->read_index = max_u64(m->handed, 1);
        else
            rc_read_index(m->rc, m->read_number);
    } else if (!m->barriers.n) {
        m->read_number = m->read_index = 0;
    }
}

/* The host has made a snapshot: the core may send it, and forget what it covers. */
static void snapshot_taken(chronik_meta *m)
{
    struct group *g = raft_alloc(m, sizeof *g);
    pthread_mutex_lock(&m->lock);
    bool fresh = m->snapshot_new;
    m->snapshot_new = false;
    struct chronik_meta_snapshot s = m->snapshot;
    pthread_mutex_unlock(&m->lock);
    if (fresh && group_at(m, s.pos.index, g)) {
        struct rc_snapshot *snap = rc_snapshot_new(&m->alloc, s.pos.index, s.pos.epoch, &g->conf, NULL);
        if (snap) {
            rc_snapshot_taken(m->rc, snap);
            rc_snapshot_unref(snap);
        }
    }
    free(g);
}

/* The core holds in memory what the log has grown by since the last snapshot. While the state is small it is written
 * often, so that this is little; one that is larger than the log behind it costs more to write than it saves. */
static void ask_for_snapshot(chronik_meta *m)
{
    pthread_mutex_lock(&m->lock);
    uint64_t due = min_u64((uint64_t)m->snapshot_bytes, max_u64(RAFT_SNAP_LEAST, m->snapshot.bytes));
    bool ask = !m->asked && m->handed >= m->skip_to && m->grown >= max_u64(due, m->ask_at);
    m->asked |= ask;
    pthread_mutex_unlock(&m->lock);
    if (ask) {
        disk_state(m); /* durable before the log may forget what lies before it */
        m->want_pending = true;
    }
}

/* ---- what status shows ---- */

static void since(int64_t *at, bool behind, bool moved, int64_t now)
{
    if (!behind)
        *at = 0;
    else if (!*at || moved)
        *at = now;
}

static void publish(chronik_meta *m, int64_t now)
{
    struct rc_status s;
    rc_status(m->rc, &s);
    const struct member *x = book_find(&m->group_now->book, m->lead);
    struct published p = {.role = m->leads  ? CHRONIK_META_ROLE_LEADER
                                  : m->lead ? CHRONIK_META_ROLE_FOLLOWER
                                            : CHRONIK_META_ROLE_NONE,
                          .term = s.term,
                          .lead = m->lead,
                          .leader = x ? (int32_t)x->node : -1,
                          .voters = s.conf.voters.n,
                          .learners = s.conf.learners.n,
                          .last = s.last,
                          .persisted = s.persisted,
                          .commit = min_u64(s.commit, s.persisted),
                          .handed = m->handed,
                          .applied = m->applied};
    char lack[sizeof m->lack] = "";
    if (!m->lead || (s.commit < s.persisted && m->leads))
        net_lack(m, lack, sizeof lack);
    pthread_mutex_lock(&m->lock);
    memcpy(p.stage_since, m->pub.stage_since, sizeof p.stage_since);
    since(&p.stage_since[0], p.persisted < p.last, p.persisted != m->pub.persisted, now);
    since(&p.stage_since[1], p.commit < p.persisted, p.commit != m->pub.commit, now);
    since(&p.stage_since[2], p.applied < p.commit, p.applied != m->pub.applied, now);
    m->pub = p;
    memcpy(m->lack, lack, sizeof lack);
    pthread_mutex_unlock(&m->lock);
}

/* ---- the end ---- */

static void closed(void *arg, int32_t rc)
{
    close_finish(arg);
}

static void reap(void *arg)
{
    chronik_meta *m = arg;
    m->host.exec_close(m->exec, (struct chronik_done){closed, m});
}

static void log_closed(void *arg, int32_t rc)
{
    chronik_meta *m = arg;
    m->log = NULL;
    m->reap_task = (struct chronik_task){.fn = reap, .arg = m};
    m->host.worker_post(m->host.ctx, &m->reap_task);
}

/* Everything pending is answered with CANCELED first: its outcome is what the log's last group makes of it. */
static void cancel_all(chronik_meta *m)
{
    for (uint32_t k = 0; k < CHRONIK_META_CLASSES; k++) {
        pthread_mutex_lock(&m->lock);
        plist_move(&m->inbox_now[k], &m->inbox[k]);
        pthread_mutex_unlock(&m->lock);
        raft_answer(m, &m->inbox_now[k], CHRONIK_E_CANCELED);
    }
    pthread_mutex_lock(&m->lock);
    plist_move(&m->barriers_next, &m->barriers_in);
    pthread_mutex_unlock(&m->lock);
    raft_answer(m, &m->waiting, CHRONIK_E_CANCELED);
    raft_answer(m, &m->barriers, CHRONIK_E_CANCELED);
    raft_answer(m, &m->barriers_next, CHRONIK_E_CANCELED);
    net_cancel(m);
}

static void close_step(chronik_meta *m, int64_t now)
{
    pthread_mutex_lock(&m->lock);
    bool busy = m->worker_busy || m->stage == STAGE_OPENING;
    pthread_mutex_unlock(&m->lock);
    if (m->close_stage == 0) {
        __atomic_store_n(&m->due_at, 0, __ATOMIC_RELAXED);
        cancel_all(m);
        m->close_stage = 1;
        m->close_until = now;
        net_shut(m);
    }
    if (m->close_stage > 1 || busy || !net_closed(m))
        return; /* the worker or the last stream posts the pass */
    m->close_stage = 2;
    m->close_until = 0;
    if (m->armed_at)
        m->host.exec_cancel(m->exec, &m->tick_task);
    if (m->log)
        reclog_close(m->log, (struct chronik_done){log_closed, m});
    else
        log_closed(m, CHRONIK_DONE);
}

/* ---- the pass ---- */

static void turn(chronik_meta *m, int64_t now)
{
    pthread_mutex_lock(&m->lock);
    uint64_t applied = m->host_applied, durable = m->durable;
    bool fresh = m->snapshot_new;
    pthread_mutex_unlock(&m->lock);
    host_applied(m, applied);
    if (fresh)
        snapshot_taken(m);
    clock_turn(m, now);
    landings(m, durable);
    proposals(m);
    do {
        barriers(m, now);
        while (rc_has_ready(m->rc))
            take_ready(m);
        landings(m, durable);
    } while (rc_has_ready(m->rc));
    barriers(m, now);
    catch_up(m);
    ask_for_snapshot(m);
    disk_trim(m);
}

void raft_step(void *arg)
{
    chronik_meta *m = arg;
    int64_t now = now_ns(m);
    __atomic_store_n(&m->posted_at, 0, __ATOMIC_RELAXED); /* before it looks at what was posted for */
    pthread_mutex_lock(&m->lock);
    enum stage stage = m->stage;
    bool closing = m->closing;
    pthread_mutex_unlock(&m->lock);
    if (stage == STAGE_OPENED && !closing) {
        start_opened(m);
        stage = m->stage;
        now = now_ns(m); /* what it made due is due in this very pass */
    }
    if (closing && !net_leaving(m, now)) {
        close_step(m, now);
        return;
    }
    if (stage == STAGE_FULL)
        start_full(m);
    if (stage != STAGE_RUNNING)
        return;
    net_turn(m, now);
    if (m->rc) {
        turn(m, now);
        publish(m, now);
    } else {
        net_unformed(m, now);
    }
    net_flush(m);
    clock_arm(m, now);
}
