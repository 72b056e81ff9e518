/* log: the entries in memory and their marks (log.h draws them). It must never overwrite a committed entry and never
 * move commit or applied back: each attempt ends the instance. Lives on the instance's thread. */
#include "internal.h"

#include <string.h>

uint64_t rc_log_last(const struct rc_log *l)
{
    return l->base + l->count;
}

bool rc_log_term(const struct rc_log *l, uint64_t index, uint64_t *term)
{
    if (index < l->base || index > rc_log_last(l)) {
        *term = 0;
        return false;
    }
    *term = index == l->base ? l->base_term : l->slots[l->head + (index - l->base - 1)].term;
    return true;
}

bool rc_log_matches(const struct rc_log *l, uint64_t index, uint64_t term)
{
    uint64_t ours;

    return rc_log_term(l, index, &ours) && ours == term;
}

uint64_t rc_log_last_term(const struct rc_log *l)
{
    uint64_t term;

    rc_log_term(l, rc_log_last(l), &term);
    return term;
}

const struct rc_entry *rc_log_at(const struct rc_log *l, uint64_t index)
{
    return index <= l->base || index > rc_log_last(l) ? NULL : &l->slots[l->head + (index - l->base - 1)];
}

bool rc_log_up_to_date(const struct rc_log *l, uint64_t index, uint64_t term)
{
    uint64_t ours = rc_log_last_term(l);

    return term > ours || (term == ours && index >= rc_log_last(l));
}

uint64_t rc_log_guess(const struct rc_log *l, uint64_t index, uint64_t term, uint64_t *found)
{
    for (; index > 0; index--) {
        if (!rc_log_term(l, index, found) || *found <= term) {
            return index;
        }
    }
    *found = 0;
    return 0;
}

uint32_t rc_log_span(const struct rc_log *l, uint64_t index, uint64_t last, uint64_t max)
{
    uint64_t total = 0;
    uint32_t n = 0;

    for (; index + n <= last; n++) {
        uint64_t size = rc_entry_size(rc_log_at(l, index + n));

        if (n > 0 && (size > max || total > max - size)) {
            break;
        }
        total += size;
    }
    return n;
}

uint64_t rc_log_appliable(const struct rc_log *l, bool unpersisted)
{
    return unpersisted || RC_MUTANT(APPLY_UNPERSISTED) || l->commit < l->stable ? l->commit : l->stable;
}

bool rc_log_has_committed(const struct rc_log *l, bool unpersisted)
{
    return !l->applying_full && l->pending == NULL && l->applying < rc_log_appliable(l, unpersisted);
}

static void cut_after(struct rc_log *l, uint64_t index)
{
    while (rc_log_last(l) > index) {
        rc_buf_unref(l->slots[l->head + --l->count].data);
    }
    l->stable = l->stable < index ? l->stable : index;
    l->handed = l->handed < index ? l->handed : index;
}

/* Replaces everything from entries[0].index on. References the payloads. */
void rc_log_append(struct rc *r, const struct rc_entry *entries, uint32_t n)
{
    struct rc_log *l = &r->log;

    if (n == 0) {
        return;
    }
    RC_CHECK(r, entries[0].index > l->commit,
             "replica %llx: entry %llu would overwrite the committed log (commit %llu)", (unsigned long long)r->cfg.id,
             (unsigned long long)entries[0].index, (unsigned long long)l->commit);
    RC_CHECK(r, entries[0].index <= rc_log_last(l) + 1, "replica %llx: entry %llu leaves a gap after %llu",
             (unsigned long long)r->cfg.id, (unsigned long long)entries[0].index, (unsigned long long)rc_log_last(l));
    if (entries[0].index <= rc_log_last(l)) {
        rc_log_line(r, RC_INFO, "replica %llx drops uncommitted entries %llu to %llu", (unsigned long long)r->cfg.id,
                    (unsigned long long)entries[0].index, (unsigned long long)rc_log_last(l));
        cut_after(l, entries[0].index - 1);
    }
    l->slots = rc_grow(r, l->slots, &l->size, l->head + l->count + n, sizeof *l->slots);
    for (uint32_t i = 0; i < n; i++) {
        RC_CHECK(r, entries[i].index == rc_log_last(l) + 1, "replica %llx: entry %llu follows entry %llu",
                 (unsigned long long)r->cfg.id, (unsigned long long)entries[i].index,
                 (unsigned long long)rc_log_last(l));
        l->slots[l->head + l->count] = entries[i];
        rc_buf_ref(entries[i].data);
        l->count++;
    }
}

void rc_log_commit_to(struct rc *r, uint64_t index)
{
    struct rc_log *l = &r->log;

    if (index <= l->commit) {
        return;
    }
    RC_CHECK(r, index <= rc_log_last(l),
             "replica %llx: commit %llu is beyond the last entry %llu: this log has lost entries",
             (unsigned long long)r->cfg.id, (unsigned long long)index, (unsigned long long)rc_log_last(l));
    l->commit = index;
}

/* The snapshot replaces the log; until it is installed nothing is applied. */
void rc_log_restore(struct rc *r, struct rc_snapshot *snap)
{
    struct rc_log *l = &r->log;

    for (uint32_t i = 0; i < l->count; i++) {
        rc_buf_unref(l->slots[l->head + i].data);
    }
    l->head = 0;
    l->count = 0;
    l->base = snap->index;
    l->base_term = snap->term;
    l->stable = snap->index;
    l->handed = snap->index;
    l->commit = snap->index;
    rc_snapshot_unref(l->pending);
    l->pending = rc_snapshot_ref(snap);
    l->pending_handed = false;
}

static bool conf_entry(const struct rc_entry *e)
{
    return e->type == RC_ENTRY_CONF || e->type == RC_ENTRY_CONF_ONE;
}

/* Entries up to index are applied: the marks move, and the bytes of finished batches make room for further ones. */
void rc_log_applied(struct rc *r, uint64_t index)
{
    struct rc_log *l = &r->log;
    uint32_t done = 0;

    RC_CHECK(r, index >= l->applied && index <= l->commit,
             "replica %llx: applied %llu is not within %llu (before) and %llu (commit)", (unsigned long long)r->cfg.id,
             (unsigned long long)index, (unsigned long long)l->applied, (unsigned long long)l->commit);
    for (uint64_t i = (l->applied > l->base ? l->applied : l->base) + 1; i <= index; i++) {
        RC_CHECK(r, !conf_entry(rc_log_at(l, i)) || i <= r->conf_index,
                 "replica %llx: configuration change %llu was applied without rc_apply_conf",
                 (unsigned long long)r->cfg.id, (unsigned long long)i);
    }
    l->applied = index;
    l->applying = l->applying > index ? l->applying : index;
    for (; done < l->n_batches && l->batches[done].last <= index; done++) {
        const struct rc_batch *b = &l->batches[done];

        l->applying_size -= b->size;
        if (RC_MUTANT(UNCOMMITTED_NEVER_REDUCED)) {
            continue;
        }
        r->uncommitted -= b->payload < r->uncommitted ? b->payload : r->uncommitted;
    }
    if (done > 0) {
        l->n_batches -= done;
        memmove(l->batches, l->batches + done, l->n_batches * sizeof *l->batches);
    }
    l->applying_full = l->applying_size >= l->max_applying;
}

void rc_log_release(const struct rc *r, struct rc_log *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        rc_buf_unref(l->slots[l->head + i].data);
    }
    rc_drop(r, l->slots);
    rc_drop(r, l->batches);
    rc_snapshot_unref(l->pending);
}

int rc_compact(struct rc *r, uint64_t index)
{
    struct rc_log *l = &r->log;
    uint64_t term;

    if (index > l->applied || index > l->stable || !rc_log_term(l, index, &term) || r->newest == NULL ||
        r->newest->index < index) {
        return RC_INVALID;
    }
    while (l->base < index) {
        rc_buf_unref(l->slots[l->head].data);
        l->head++;
        l->count--;
        l->base++;
    }
    l->base_term = term;
    if (l->head > l->count) {
        memmove(l->slots, l->slots + l->head, l->count * sizeof *l->slots);
        l->head = 0;
    }
    return RC_OK;
}

int rc_snapshot_taken(struct rc *r, struct rc_snapshot *snap)
{
    if (snap->index == 0 || snap->index > r->log.applying) {
        return RC_INVALID;
    }
    rc_snapshot_ref(snap);
    rc_snapshot_unref(r->newest);
    r->newest = snap;
    return RC_OK;
}

const struct rc_entry *rc_entry_at(const struct rc *r, uint64_t index)
{
    return rc_log_at(&r->log, index);
}
