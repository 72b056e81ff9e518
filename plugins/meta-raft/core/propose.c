/* propose: new entries on their way into a leader's log: clients' payloads, configuration changes, and a follower's
 * forwarding. It must never let a second configuration change in before the first is applied, nor grow the uncommitted
 * log without bound. Lives on the instance's thread. */
#include "internal.h"

#define U(v) ((unsigned long long)(v))

static uint64_t payload(const struct rc_entry *entries, uint32_t n)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < n; i++) {
        bytes += entries[i].data == NULL ? 0 : entries[i].data->len;
    }
    return bytes;
}

/* Give the entries their place and append them; the acknowledgement to ourselves leaves after the sync. False: the
 * uncommitted log is too large. Empty entries are never refused (a term's first one, leaving a joint configuration). */
bool rc_append_own(struct rc *r, struct rc_entry *entries, uint32_t n)
{
    struct rc_msg ack = {.type = RC_MSG_APPEND_REPLY, .to = r->cfg.id};
    uint64_t bytes = payload(entries, n);
    uint64_t limit = r->cfg.max_uncommitted_size;

    if (limit != 0 && r->uncommitted > 0 && bytes > 0 && (bytes > limit || r->uncommitted > limit - bytes)) {
        rc_log_line(r, RC_WARN, "%llx refuses a proposal: %llu bytes are uncommitted, the limit is %llu", U(r->cfg.id),
                    U(r->uncommitted), U(limit));
        return false;
    }
    r->uncommitted += bytes;
    for (uint32_t i = 0; i < n; i++) {
        entries[i].term = r->term;
        entries[i].index = rc_log_last(&r->log) + 1 + i;
    }
    rc_log_append(r, entries, n);
    ack.index = rc_log_last(&r->log);
    if (RC_MUTANT(OWN_UNSYNCED_COUNTED) && rc_tracker_find(&r->trk, r->cfg.id) != NULL) {
        rc_progress_update(rc_tracker_find(&r->trk, r->cfg.id), ack.index);
    }
    rc_send(r, &ack);
    return true;
}

/* Why the change in entry may not enter the log now; NULL: it may. */
static const char *objection(const struct rc *r, const struct rc_conf_change *change)
{
    if (r->pending_conf > r->log.applied && !RC_MUTANT(SECOND_CONF_CHANGE)) {
        return "an earlier change may be unapplied";
    }
    if (rc_conf_joint(&r->trk.conf) && !rc_conf_change_leaves(change)) {
        return "the joint configuration must be left first";
    }
    if (!rc_conf_joint(&r->trk.conf) && rc_conf_change_leaves(change)) {
        return "there is no joint configuration to leave";
    }
    return NULL;
}

/* RC_OK: the entry may be appended as entry number at (perhaps emptied). */
static int check_conf(struct rc *r, struct rc_entry *entry, uint64_t at)
{
    struct rc_conf_change change;
    const char *why;

    if (rc_conf_decode(entry->data, &change) != RC_OK) {
        return RC_INVALID;
    }
    why = r->cfg.skip_conf_validation ? NULL : objection(r, &change);
    if (why == NULL) {
        r->pending_conf = at;
        return RC_OK;
    }
    rc_log_line(r, RC_INFO, "%llx refuses a configuration change: %s", U(r->cfg.id), why);
    if (!r->cfg.refused_conf_is_empty) {
        return RC_CONF_REFUSED;
    }
    entry->type = RC_ENTRY_NORMAL;
    entry->data = NULL;
    return RC_OK;
}

/* The entries' payloads are borrowed. index: where the last one went (leader only). */
int rc_step_propose(struct rc *r, struct rc_entry *entries, uint32_t n, uint64_t *index)
{
    struct rc_msg forward = {.type = RC_MSG_PROPOSE, .to = r->lead, .n_entries = n};
    uint64_t pending = r->pending_conf;

    if (r->role != RC_LEADER) {
        if (r->role != RC_FOLLOWER || r->lead == 0 || !r->cfg.forward_proposals) {
            return RC_NOT_LEADER;
        }
        forward.entries = rc_entries_copy(r, entries, n);
        rc_send(r, &forward);
        return RC_FORWARDED;
    }
    if (rc_tracker_peek(&r->trk, r->cfg.id) == NULL) {
        return RC_REMOVED;
    }
    if (r->transferee != 0) {
        return RC_TRANSFERRING;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (entries[i].type != RC_ENTRY_NORMAL) {
            int result = check_conf(r, &entries[i], rc_log_last(&r->log) + 1 + i);

            if (result != RC_OK) {
                r->pending_conf = pending;
                return result;
            }
        }
    }
    if (!rc_append_own(r, entries, n)) {
        r->pending_conf = pending;
        return RC_BUSY;
    }
    if (index != NULL) {
        *index = rc_log_last(&r->log);
    }
    rc_bcast_append(r);
    return RC_OK;
}

/* Ask to leave a joint configuration that wants it, once nothing is pending. Tried after each apply, and again
 * with the heartbeats: a transfer of leadership may have been in the way. */
void rc_auto_leave(struct rc *r)
{
    struct rc_entry leave = {.type = RC_ENTRY_CONF};

    if (r->role != RC_LEADER || !r->trk.conf.auto_leave || RC_MUTANT(NO_AUTO_LEAVE) ||
        r->log.applied < r->pending_conf) {
        return;
    }
    if (rc_step_propose(r, &leave, 1, NULL) == RC_OK) {
        rc_log_line(r, RC_INFO, "%llx proposes to leave the joint configuration", U(r->cfg.id));
    }
}

static int propose(struct rc *r, struct rc_entry entry, uint64_t *index, uint64_t *term)
{
    int result = rc_step_propose(r, &entry, 1, index);

    if (result == RC_OK && term != NULL) {
        *term = r->term;
    }
    return result;
}

int rc_propose(struct rc *r, struct rc_buf *buf, uint64_t *index, uint64_t *term)
{
    return propose(r, (struct rc_entry){.type = RC_ENTRY_NORMAL, .data = buf}, index, term);
}

int rc_propose_conf(struct rc *r, const struct rc_conf_change *change, bool one, uint64_t *index, uint64_t *term)
{
    struct rc_entry entry = {.type = one ? RC_ENTRY_CONF_ONE : RC_ENTRY_CONF};
    int result;

    if (change->n > RC_MAX_CHANGES || (one && (change->n != 1 || change->transition != RC_AUTO))) {
        return RC_INVALID;
    }
    entry.data = rc_conf_encode(&r->cfg.alloc, change);
    if (entry.data == NULL) {
        return RC_NOMEM;
    }
    result = propose(r, entry, index, term);
    rc_buf_unref(entry.data);
    return result;
}
