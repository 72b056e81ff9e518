/* replicate: how a leader's log reaches its members and becomes committed, and the followers' side of it (Raft paper
 * §5.3, §5.4.2, §7). It must never commit an entry of an older term by counting, never raise a follower's commit above
 * what it is known to match, and never acknowledge an append before the sync (its replies leave with `after`). Lives on
 * the instance's thread. */
#include "internal.h"

#define U(v) ((unsigned long long)(v))

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The follower needs entries that are gone. */
static bool send_snapshot(struct rc *r, struct rc_progress *to)
{
    struct rc_msg msg = {.type = RC_MSG_SNAPSHOT, .to = to->id};

    if (!to->active) { /* it may be down for good: do not tie up a snapshot */
        return false;
    }
    if (r->newest == NULL) {
        rc_log_line(r, RC_DEBUG, "%llx has no snapshot for %llx yet", U(r->cfg.id), U(to->id));
        return false;
    }
    RC_CHECK(r, r->newest->index >= r->log.base,
             "replica %llx: snapshot %llu is older than the log, which begins after %llu", U(r->cfg.id),
             U(r->newest->index), U(r->log.base));
    rc_progress_snapshot(to, r->newest->index);
    rc_log_line(r, RC_DEBUG, "%llx sends snapshot %llu/%llu to %llx", U(r->cfg.id), U(r->newest->term),
                U(r->newest->index), U(to->id));
    msg.snapshot = rc_snapshot_ref(r->newest);
    rc_send(r, &msg);
    return true;
}

static uint64_t payload(const struct rc_entry *entries, uint32_t n)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < n; i++) {
        bytes += entries[i].data == NULL ? 0 : entries[i].data->len;
    }
    return bytes;
}

/* One append, or a snapshot, as far as flow control allows. if_empty: send it even without entries, for the commit
 * index or as a probe. True: something was sent. */
bool rc_send_append(struct rc *r, struct rc_progress *to, bool if_empty)
{
    struct rc_msg msg = {.type = RC_MSG_APPEND, .to = to->id, .index = to->next - 1, .commit = r->log.commit};

    if (rc_progress_paused(to)) {
        return false;
    }
    if (!rc_log_term(&r->log, msg.index, &msg.log_term)) {
        return send_snapshot(r, to);
    }
    if (to->flow != RC_REPLICATE || !rc_window_full(&to->window, &r->trk.limits)) {
        msg.n_entries = rc_log_span(&r->log, to->next, rc_log_last(&r->log), r->cfg.max_size_per_msg);
    }
    if (msg.n_entries == 0 && !if_empty) {
        return false;
    }
    msg.entries = rc_entries_copy(r, rc_log_at(&r->log, to->next), msg.n_entries);
    RC_CHECK(r, rc_progress_sent(to, &r->trk.limits, &r->trk.alloc, msg.n_entries, payload(msg.entries, msg.n_entries)),
             "replica %llx: no memory for the window of %llx", U(r->cfg.id), U(to->id));
    to->sent_commit = r->log.commit;
    rc_send(r, &msg);
    return true;
}

void rc_bcast_append(struct rc *r)
{
    for (uint32_t i = 0; i < r->trk.n; i++) {
        if (r->trk.members[i].id != r->cfg.id) {
            rc_send_append(r, &r->trk.members[i], true);
        }
    }
}

void rc_bcast_heartbeat(struct rc *r)
{
    for (uint32_t i = 0; i < r->trk.n; i++) {
        struct rc_progress *to = &r->trk.members[i];
        struct rc_msg msg = {
            .type = RC_MSG_HEARTBEAT,
            .to = to->id,
            .commit = RC_MUTANT(COMMIT_BEYOND_MATCH)
                          ? r->log.commit
                          : min_u64(to->match, r->log.commit), /* beyond its match its log may differ from ours */
            .context = rc_reads_context(r),
        };

        if (to->id != r->cfg.id) {
            to->sent_commit = msg.commit;
            rc_send(r, &msg);
        }
    }
}

/* An entry commits by counting only if it is of this term; older ones commit with it. */
bool rc_maybe_commit(struct rc *r)
{
    uint64_t index = rc_tracker_committed(&r->trk);

    if (index <= r->log.commit || (!rc_log_matches(&r->log, index, r->term) && !RC_MUTANT(OLD_TERM_COMMIT))) {
        return false;
    }
    rc_log_commit_to(r, index);
    return true;
}

/* The follower does not have the entry before the ones we sent. Its hint skips a whole term at a time on its side; we
 * skip on ours what cannot match because its term is higher than all that the follower has there. */
static void handle_rejection(struct rc *r, struct rc_progress *from, const struct rc_msg *msg)
{
    uint64_t hint = msg->hint, term;

    if (msg->log_term > 0) {
        hint = rc_log_guess(&r->log, min_u64(hint, rc_log_last(&r->log)), msg->log_term, &term);
    }
    if (!rc_progress_back(from, msg->index, hint)) {
        return;
    }
    rc_log_line(r, RC_DEBUG, "%llx goes back to %llu for %llx, which rejected %llu", U(r->cfg.id), U(from->next),
                U(from->id), U(msg->index));
    if (from->flow == RC_REPLICATE) {
        rc_progress_probe(from);
    }
    rc_send_append(r, from, true);
}

static void advance_flow(struct rc *r, struct rc_progress *from, uint64_t index)
{
    if (from->flow == RC_PROBE) {
        rc_progress_replicate(from);
    } else if (from->flow == RC_REPLICATE) {
        rc_window_free_to(&from->window, RC_MUTANT(WINDOW_NEVER_FREED) ? 0 : index);
    } else if (from->match >= r->log.base) { /* whatever snapshot it installed, our log continues it */
        rc_log_line(r, RC_DEBUG, "%llx: %llx no longer needs a snapshot", U(r->cfg.id), U(from->id));
        rc_progress_probe(from);
        rc_progress_replicate(from);
    }
}

void rc_handle_append_reply(struct rc *r, struct rc_progress *from, const struct rc_msg *msg)
{
    bool self = from->id == r->cfg.id;
    struct rc_msg now = {.type = RC_MSG_TIMEOUT_NOW, .to = from->id};

    from->active = true;
    if (msg->reject) {
        handle_rejection(r, from, msg);
        return;
    }
    if (msg->index > rc_log_last(&r->log)) {
        rc_log_line(r, RC_ERROR, "%llx ignores %llx: it acknowledges entry %llu, the log ends at %llu", U(r->cfg.id),
                    U(from->id), U(msg->index), U(rc_log_last(&r->log)));
        return;
    }
    /* A reply that only tells a term (election.c) acknowledges nothing: replication cannot go on from below the base.
     */
    if (!rc_progress_update(from, msg->index) &&
        !(from->match == msg->index && from->flow == RC_PROBE && msg->index >= r->log.base)) {
        return;
    }
    advance_flow(r, from, msg->index);
    if (rc_maybe_commit(r)) {
        rc_reads_first_commit(r);
        rc_bcast_append(r);
        rc_hand_over(r);
    } else if (!self && rc_progress_wants_commit(from, r->log.commit)) {
        rc_send_append(r, from, true);
    }
    if (!self) {
        while (rc_send_append(r, from, false)) { /* the window may have room for several */
        }
    }
    if (from->id == r->transferee && from->match == rc_log_last(&r->log)) {
        rc_send(r, &now);
    }
}

void rc_handle_heartbeat_reply(struct rc *r, struct rc_progress *from, const struct rc_msg *msg)
{
    from->active = true;
    from->paused = from->paused && RC_MUTANT(PAUSED_FOR_EVER);
    if (from->match < rc_log_last(&r->log) || from->flow == RC_PROBE) {
        rc_send_append(r, from, true);
    }
    if (msg->context > from->read_ack) {
        from->read_ack = msg->context;
        rc_reads_confirm(r);
    }
}

/* ---- the followers' side ---- */

/* The first of the entries that we lack or have of another term; n: none. */
static uint32_t first_difference(const struct rc *r, const struct rc_entry *entries, uint32_t n)
{
    uint32_t i = 0;

    while (i < n && rc_log_matches(&r->log, entries[i].index, entries[i].term)) {
        i++;
    }
    return i;
}

void rc_handle_append(struct rc *r, const struct rc_msg *msg)
{
    struct rc_msg reply = {.type = RC_MSG_APPEND_REPLY, .to = msg->from, .index = msg->index};
    uint32_t from;

    if (msg->index < r->log.commit) { /* old news; what is committed matches */
        reply.index = r->log.commit;
        rc_send(r, &reply);
        return;
    }
    if (!rc_log_matches(&r->log, msg->index, msg->log_term)) {
        reply.reject = true;
        reply.hint = rc_log_guess(&r->log, min_u64(msg->index, rc_log_last(&r->log)), msg->log_term, &reply.log_term);
        rc_log_line(r, RC_DEBUG, "%llx rejects entries after %llu/%llu of %llx", U(r->cfg.id), U(msg->log_term),
                    U(msg->index), U(msg->from));
        rc_send(r, &reply);
        return;
    }
    from = RC_MUTANT(ALWAYS_TRUNCATE) && msg->index >= r->log.commit
               ? 0
               : first_difference(r, msg->entries, msg->n_entries);
    while (RC_MUTANT(NO_TRUNCATION) && from < msg->n_entries && msg->entries[from].index <= rc_log_last(&r->log)) {
        from++;
    }
    if (from < msg->n_entries) {
        rc_log_append(r, msg->entries + from, msg->n_entries - from);
    }
    reply.index = msg->index + msg->n_entries;
    rc_log_commit_to(r, min_u64(msg->commit, RC_MUTANT(COMMIT_BEYOND_SENT) ? rc_log_last(&r->log) : reply.index));
    rc_send(r, &reply);
}

void rc_handle_heartbeat(struct rc *r, const struct rc_msg *msg)
{
    struct rc_msg reply = {.type = RC_MSG_HEARTBEAT_REPLY, .to = msg->from, .context = msg->context};

    rc_log_commit_to(r, msg->commit);
    rc_send(r, &reply);
}

/* True: the snapshot replaces log and configuration. It need not name this replica: the change that adds it may come
 * after. */
static bool restore(struct rc *r, struct rc_snapshot *snap)
{
    const char *why;

    if (snap->index <= r->log.commit && !(RC_MUTANT(SNAPSHOT_OVER_NEWER) && snap->index > r->log.base)) {
        return false;
    }
    if (snap->conf.voters.n == 0) {
        rc_log_line(r, RC_WARN, "%llx ignores snapshot %llu: its configuration is empty", U(r->cfg.id), U(snap->index));
        return false;
    }
    if (rc_log_matches(&r->log, snap->index, snap->term) &&
        !RC_MUTANT(SNAPSHOT_OVER_NEWER)) { /* we have the entries: only commit is news */
        rc_log_commit_to(r, snap->index);
        return false;
    }
    rc_log_restore(r, snap);
    why = RC_MUTANT(SNAPSHOT_KEEPS_CONF) ? NULL : rc_tracker_restore(&r->trk, &snap->conf, rc_log_last(&r->log));
    RC_CHECK(r, why == NULL, "replica %llx: the configuration of snapshot %llu is impossible: %s", U(r->cfg.id),
             U(snap->index), why);
    r->conf_index = snap->index;
    rc_switch_conf(r);
    rc_log_line(r, RC_INFO, "%llx restores snapshot %llu/%llu", U(r->cfg.id), U(snap->term), U(snap->index));
    return true;
}

void rc_handle_snapshot(struct rc *r, const struct rc_msg *msg)
{
    struct rc_msg reply = {.type = RC_MSG_APPEND_REPLY, .to = msg->from};

    reply.index = restore(r, msg->snapshot) ? rc_log_last(&r->log) : r->log.commit;
    rc_send(r, &reply);
}
