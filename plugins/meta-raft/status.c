/* status.c: what an instance tells of itself: its counters, the stage that stands still, and who belongs to the quorum.
 * Any thread: it reads what the raft executor published under the mutex, and asks nobody. */
#include "raft.h"

#include <stdio.h>
#include <stdlib.h>

enum { STALL_MS = 1400 };
static const char *const stages[] = {"persisting", "committing", "applying"};

/* Since when the raft executor owes a pass; 0: it does not. */
static int64_t overdue_since(chronik_meta *m)
{
    int64_t posted = __atomic_load_n(&m->posted_at, __ATOMIC_RELAXED);
    int64_t due = __atomic_load_n(&m->due_at, __ATOMIC_RELAXED);
    return !posted || (due && due < posted) ? due : posted;
}

/* The first stage that has not moved for a moment although the one before it has work for it. Under the lock. */
static void find_stall(chronik_meta *m, int64_t now, struct chronik_meta_status *s)
{
    uint64_t from[] = {s->proposed, s->persisted, s->committed}, to[] = {s->persisted, s->committed, s->applied};
    const char *const waits[] = {"the sync of the log (thread meta-raft-log) has not returned", m->lack,
                                 "the host (thread meta-apply) has not acknowledged"};
    int64_t since = overdue_since(m);
    m->stalled[0] = 0;
    s->stall = CHRONIK_META_STALL_OUTSIDE;
    if (since && now - since > STALL_MS * RAFT_MS) {
        s->stall = CHRONIK_META_STALL_INSIDE;
        snprintf(m->stalled, sizeof m->stalled,
                 "proposing stands still behind entry %llu for %lld ms: the executor (thread meta-raft) does not run",
                 (unsigned long long)s->proposed, (long long)((now - since) / RAFT_MS));
        return;
    }
    for (int i = 0; i < 3; i++) {
        int64_t at = m->pub.stage_since[i];
        if (!at || to[i] >= from[i] || now - at < STALL_MS * RAFT_MS)
            continue;
        s->stall = i == 2 ? CHRONIK_META_STALL_INSIDE : CHRONIK_META_STALL_OUTSIDE;
        snprintf(m->stalled, sizeof m->stalled, "%s stands still at entry %llu of %llu for %lld ms: %s", stages[i],
                 (unsigned long long)to[i], (unsigned long long)from[i], (long long)((now - at) / RAFT_MS), waits[i]);
        return;
    }
    if (m->stage == STAGE_FULL)
        snprintf(m->stalled, sizeof m->stalled, "%s", m->lack);
    if (m->stage == STAGE_RUNNING && m->pub.role == CHRONIK_META_ROLE_NONE)
        snprintf(m->stalled, sizeof m->stalled, "%s", m->lack[0] ? m->lack : "no leader is elected yet");
}

void status_get(chronik_meta *m, struct chronik_meta_status *out)
{
    int64_t now = m->host.mono_ns(m->host.ctx);
    struct reclog_stat log = {0};
    pthread_mutex_lock(&m->lock);
    bool running = m->stage == STAGE_RUNNING && !m->closing;
    const struct published *p = &m->pub;
    struct chronik_meta_status s = {.role = running ? p->role : CHRONIK_META_ROLE_NONE,
                                    .leader = running ? p->leader : -1,
                                    .epoch = p->term,
                                    .voters = p->voters,
                                    .learners = p->learners,
                                    .proposed = p->last,
                                    .persisted = p->persisted,
                                    .committed = p->commit,
                                    .applied = p->applied,
                                    .first_index = m->first_index,
                                    .snapshot = m->snapshot.pos};
    find_stall(m, now, &s);
    s.stalled = m->stalled[0] ? m->stalled : NULL;
    s.stall = s.stalled ? s.stall : 0;
    pthread_mutex_unlock(&m->lock);
    if (running) {
        reclog_stat(m->log, &log);
        s.log_bytes = log.bytes;
    }
    uint32_t size = out->size;
    s.size = size;
    memcpy(out, &s, min_u64(size, sizeof s));
}

/* The one mapping between what Kafka calls a voter's directory id and our replica: through the book. */
static void show_member(const struct member *x, uint32_t kind, struct chronik_meta_member *out)
{
    *out = (struct chronik_meta_member){.size = sizeof *out,
                                        .node_id = x->node,
                                        .kind = kind,
                                        .heard_ms = -1,
                                        .caught_up_ms = -1,
                                        .address = x->address};
    for (int i = 0; i < 8; i++)
        out->replica.b[i] = (uint8_t)(x->replica >> (56 - 8 * i));
    out->directory = uuid_zero(&x->directory) ? out->replica : x->directory;
}

/* What status_members takes under the lock. */
struct members {
    struct group group;
    struct published pub;
    uint64_t self;
    struct row rows[RAFT_PEERS];
    uint32_t n_rows;
    struct guest guests[RAFT_WAITING];
    uint32_t n_guests;
};

static bool members_take(chronik_meta *m, struct members *k)
{
    pthread_mutex_lock(&m->lock);
    bool known = m->group_now != NULL;
    if (known)
        k->group = *m->group_now;
    k->pub = m->pub;
    k->self = m->id.replica;
    k->n_rows = m->n_rows;
    memcpy(k->rows, m->rows, k->n_rows * sizeof k->rows[0]);
    k->n_guests = m->n_guests;
    memcpy(k->guests, m->guests, k->n_guests * sizeof k->guests[0]);
    pthread_mutex_unlock(&m->lock);
    return known;
}

static int64_t ms_since(int64_t at, int64_t now)
{
    return at ? (now - at) / RAFT_MS : -1;
}

static void tell_member(const struct members *k, const struct member *x, int64_t now,
                        void (*each)(void *arg, const struct chronik_meta_member *x), void *arg)
{
    struct chronik_meta_member out;
    show_member(x, ids_have(&k->group.conf.voters, x->replica) ? CHRONIK_META_VOTER : CHRONIK_META_LEARNER, &out);
    out.leads = k->pub.lead == x->replica;
    out.match = x->replica == k->self ? k->pub.persisted : 0;
    for (uint32_t i = 0; i < k->n_rows; i++)
        if (k->rows[i].replica == x->replica) {
            out.match = k->rows[i].match;
            out.heard_ms = ms_since(k->rows[i].heard, now);
            out.caught_up_ms = ms_since(k->rows[i].caught, now);
        }
    each(arg, &out);
}

int32_t status_members(chronik_meta *m, void (*each)(void *arg, const struct chronik_meta_member *x), void *arg)
{
    int64_t now = m->host.mono_ns(m->host.ctx);
    struct members *k = malloc(sizeof *k);
    int32_t n = 0;
    if (!k)
        return CHRONIK_E_NOMEM;
    bool known = members_take(m, k);
    for (uint32_t i = 0; known && i < k->group.book.n; i++) {
        const struct member *x = &k->group.book.v[i];
        if (ids_have(&k->group.conf.voters, x->replica) || ids_have(&k->group.conf.learners, x->replica)) {
            tell_member(k, x, now, each, arg);
            n++;
        }
    }
    for (uint32_t i = 0; n && i < k->n_guests; i++) {
        struct chronik_meta_member out;
        if (conf_has(&k->group.conf, k->guests[i].who.replica)) /* by now */
            continue;
        show_member(&k->guests[i].who, CHRONIK_META_WAITING, &out);
        out.heard_ms = ms_since(k->guests[i].heard, now);
        each(arg, &out);
        n++;
    }
    free(k);
    return n > 0 ? n : CHRONIK_E_NOTFOUND;
}
