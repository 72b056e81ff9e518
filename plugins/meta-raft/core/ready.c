/* ready: the hand-over of work and its acknowledgements. One ready takes everything that has gathered; what follows
 * from an acknowledgement is in the next one, never in a return value, so that work cannot be dropped by forgetting a
 * result. It must never hand out an entry for apply that is not committed, nor (unless configured) one that is not
 * durable here. Lives on the instance's thread. */
#include "internal.h"

#include <string.h>

#define U(v) ((unsigned long long)(v))

static bool hard_changed(const struct rc *r)
{
    return r->term != r->last_hard.term || r->vote != r->last_hard.vote || r->log.commit != r->last_hard.commit;
}

bool rc_has_ready(const struct rc *r)
{
    const struct rc_log *l = &r->log;

    return r->lead != r->last_lead || r->role != r->last_role || hard_changed(r) ||
           (l->pending != NULL && !l->pending_handed) || r->now.n > 0 || r->after.n > 0 || l->handed < rc_log_last(l) ||
           (rc_log_has_committed(l, r->cfg.apply_unpersisted) && !RC_MUTANT(COMMITTED_NO_READY)) || r->n_answers > 0;
}

static void take_soft(struct rc *r, struct rc_ready *rd)
{
    rd->has_soft = r->lead != r->last_lead || r->role != r->last_role;
    rd->lead = r->last_lead = r->lead;
    rd->role = r->last_role = r->role;
}

static void take_hard(struct rc *r, struct rc_ready *rd)
{
    rd->has_hard = hard_changed(r);
    rd->must_sync = rd->n_entries > 0 ||
                    ((r->term != r->last_hard.term || r->vote != r->last_hard.vote) && !RC_MUTANT(SYNC_NOT_ASKED));
    r->last_hard = (struct rc_hard){.term = r->term, .vote = r->vote, .commit = r->log.commit};
    rd->hard = r->last_hard;
}

/* Entries and snapshot that no ready has carried yet, and the ticket for everything that is not acknowledged. */
static void take_unstable(struct rc *r, struct rc_ready *rd)
{
    struct rc_log *l = &r->log;
    uint64_t last = rc_log_last(l);

    rd->n_entries = (uint32_t)(last - l->handed);
    rd->entries = rc_entries_copy(r, rc_log_at(l, l->handed + 1), rd->n_entries);
    l->handed = last;
    if (last > l->stable) { /* even without new entries: an earlier ticket may be void because the term has moved */
        rd->ack = (struct rc_ack){.term = r->term, .index = last, .log_term = rc_log_last_term(l)};
    }
    if (l->pending != NULL && !l->pending_handed) {
        rd->snapshot = rc_snapshot_ref(l->pending);
        l->pending_handed = true;
    }
}

static void take_committed(struct rc *r, struct rc_ready *rd)
{
    struct rc_log *l = &r->log;
    uint64_t last = rc_log_appliable(l, r->cfg.apply_unpersisted);
    struct rc_batch batch = {0};

    if (!rc_log_has_committed(l, r->cfg.apply_unpersisted)) {
        return;
    }
    rd->n_committed = rc_log_span(l, l->applying + 1, last, l->max_applying - l->applying_size);
    rd->committed = rc_entries_copy(r, rc_log_at(l, l->applying + 1), rd->n_committed);
    for (uint32_t i = 0; i < rd->n_committed; i++) {
        batch.size += rc_entry_size(&rd->committed[i]);
        batch.payload += rd->committed[i].data == NULL ? 0 : rd->committed[i].data->len;
    }
    l->applying += rd->n_committed - (RC_MUTANT(APPLIED_TWICE) && rd->n_committed > 1);
    RC_CHECK(r, l->applying <= l->commit, "replica %llx: entry %llu was handed out, commit is %llu", U(r->cfg.id),
             U(l->applying), U(l->commit));
    l->applying_size += batch.size;
    l->applying_full = l->applying_size >= l->max_applying || l->applying < last;
    batch.last = l->applying;
    l->batches = rc_grow(r, l->batches, &l->batches_size, l->n_batches + 1, sizeof *l->batches);
    l->batches[l->n_batches++] = batch;
}

void rc_ready(struct rc *r, struct rc_ready *rd)
{
    memset(rd, 0, sizeof *rd);
    rd->alloc = r->cfg.alloc;
    take_committed(r, rd); /* before the entries: handing those out makes nothing durable */
    take_unstable(r, rd);
    take_soft(r, rd);
    take_hard(r, rd);
    rd->msgs = r->now.v;
    rd->n_msgs = r->now.n;
    rd->after = r->after.v;
    rd->n_after = r->after.n;
    rd->reads = r->answers;
    rd->n_reads = r->n_answers;
    memset(&r->now, 0, sizeof r->now);
    memset(&r->after, 0, sizeof r->after);
    r->answers = NULL;
    r->n_answers = r->answers_size = 0;
}

/* The term in the ticket settles the ABA question: between two terms the same (index, term) may have been replaced on
 * its way to the disk and replaced back. */
void rc_persisted(struct rc *r, const struct rc_ack *ack)
{
    struct rc_log *l = &r->log;

    if (ack->index == 0 || (ack->term != r->term && !RC_MUTANT(ACK_WITHOUT_TERM)) || ack->index <= l->stable) {
        return;
    }
    if (!rc_log_matches(l, ack->index, ack->log_term) &&
        !RC_MUTANT(ACK_WITHOUT_MATCH)) { /* replaced meanwhile; a later ticket covers it */
        return;
    }
    RC_CHECK(r, ack->index <= l->handed, "replica %llx: entry %llu acknowledged, only %llu were handed out",
             U(r->cfg.id), U(ack->index), U(l->handed));
    l->stable = ack->index;
}

void rc_applied(struct rc *r, uint64_t index)
{
    RC_CHECK(r, index <= r->log.applying, "replica %llx: entry %llu applied, only %llu were handed out", U(r->cfg.id),
             U(index), U(r->log.applying));
    rc_log_applied(r, index > r->log.applied ? index : r->log.applied);
    rc_auto_leave(r);
}

void rc_snap_done(struct rc *r, uint64_t index)
{
    struct rc_log *l = &r->log;

    if (l->pending == NULL || l->pending->index != index) { /* a newer one has replaced it */
        return;
    }
    rc_snapshot_unref(r->newest);
    r->newest = l->pending;
    l->pending = NULL;
    l->pending_handed = false;
    if (index > l->applied) {
        rc_log_applied(r, index);
    }
}
