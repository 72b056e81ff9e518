/* readindex: linearizable reads without a log entry (dissertation §6.4). The leader numbers the reads of its term;
 * heartbeats carry the highest number, and a quorum of replies confirms that it still led when they were asked. It must
 * never answer before an entry of its own term is committed: until then it does not know what is committed. Lives on
 * the instance's thread. */
#include "internal.h"

#include <string.h>

#define U(v) ((unsigned long long)(v))

void rc_reads_reset(struct rc *r)
{
    if (RC_MUTANT(READ_SURVIVES_TERM)) {
        return;
    }
    r->early.n = 0;
    r->asked.n = 0;
    r->read_done = 0;
}

void rc_reads_release(struct rc *r)
{
    rc_drop(r, r->early.v);
    rc_drop(r, r->asked.v);
    rc_drop(r, r->answers);
}

bool rc_committed_in_term(const struct rc *r)
{
    return rc_log_matches(&r->log, r->log.commit, r->term);
}

/* Heartbeats ask for the confirmation of all reads up to this number; 0: none is waiting. */
uint64_t rc_reads_context(const struct rc *r)
{
    return r->asked.n == 0 ? 0 : r->read_done + r->asked.n;
}

static void push(const struct rc *r, struct rc_readings *list, uint64_t from, uint64_t context, uint64_t index)
{
    list->v = rc_grow(r, list->v, &list->size, list->n + 1, sizeof *list->v);
    list->v[list->n++] = (struct rc_reading){.from = from, .context = context, .index = index};
}

static void answer(struct rc *r, const struct rc_reading *read)
{
    struct rc_msg reply = {.type = RC_MSG_READ_REPLY, .to = read->from, .index = read->index, .context = read->context};

    if (read->from != r->cfg.id) {
        rc_send(r, &reply);
        return;
    }
    r->answers = rc_grow(r, r->answers, &r->answers_size, r->n_answers + 1, sizeof *r->answers);
    r->answers[r->n_answers++] = (struct rc_read){.index = read->index, .context = read->context};
}

static void ask(struct rc *r, uint64_t from, uint64_t context)
{
    struct rc_reading read = {.from = from, .context = context, .index = r->log.commit};
    struct rc_progress *self = rc_tracker_find(&r->trk, r->cfg.id);

    if (r->cfg.reads == RC_READS_LEASE || RC_MUTANT(READ_WITHOUT_QUORUM)) {
        answer(r, &read);
        return;
    }
    push(r, &r->asked, from, context, r->log.commit);
    if (self != NULL) {
        self->read_ack = rc_reads_context(r);
    }
    rc_reads_confirm(r); /* a single voter needs nobody else */
    if (r->asked.n > 0) {
        rc_bcast_heartbeat(r);
    }
}

void rc_handle_read(struct rc *r, uint64_t from, uint64_t context)
{
    struct rc_msg msg = {.type = RC_MSG_READ, .to = r->lead, .from = from, .context = context};

    if (r->role != RC_LEADER) {
        if (r->role != RC_FOLLOWER || r->lead == 0) {
            rc_log_line(r, RC_INFO, "%llx has no leader at term %llu: a read is dropped", U(r->cfg.id), U(r->term));
            return;
        }
        rc_send(r, &msg);
    } else if (rc_committed_in_term(r) || RC_MUTANT(READ_BEFORE_FIRST_COMMIT)) {
        ask(r, from, context);
    } else {
        push(r, &r->early, from, context, 0);
    }
}

void rc_handle_read_reply(struct rc *r, const struct rc_msg *msg)
{
    struct rc_reading read = {.from = r->cfg.id, .context = msg->context, .index = msg->index};

    answer(r, &read);
}

/* Commit has moved: if the term's own first entry is committed, the early reads can be asked. */
void rc_reads_first_commit(struct rc *r)
{
    struct rc_readings early = r->early;

    if (early.n == 0 || !rc_committed_in_term(r)) {
        return;
    }
    memset(&r->early, 0, sizeof r->early);
    for (uint32_t i = 0; i < early.n; i++) {
        ask(r, early.v[i].from, early.v[i].context);
    }
    rc_drop(r, early.v);
}

void rc_reads_confirm(struct rc *r)
{
    uint64_t acked = rc_tracker_read_acked(&r->trk);
    uint64_t highest = r->read_done + r->asked.n;
    uint32_t done = 0;

    acked = acked < highest ? acked : highest;
    for (; r->read_done < acked; r->read_done++) {
        answer(r, &r->asked.v[done++]);
    }
    r->asked.n -= done;
    if (done > 0) {
        memmove(r->asked.v, r->asked.v + done, r->asked.n * sizeof *r->asked.v);
    }
}

void rc_read_index(struct rc *r, uint64_t unique)
{
    RC_CHECK(r, unique != 0, "replica %llx: a read needs a number", U(r->cfg.id));
    rc_handle_read(r, r->cfg.id, unique);
}
