/* progress: the sender's picture of one member: probing, replicating with a window, or waiting for a snapshot (the
 * diagram is in progress.h). It must never send anything and never let next fall to match or below. Lives on the
 * instance's thread. */
#include "progress.h"

#include <stdio.h>
#include <string.h>

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

bool rc_window_full(const struct rc_window *w, const struct rc_limits *limits)
{
    return w->count >= limits->msgs || (limits->bytes != 0 && w->bytes >= limits->bytes);
}

static bool window_grow(struct rc_window *w, const struct rc_limits *limits, const struct rc_alloc *alloc)
{
    uint64_t wanted = w->size == 0 ? 8 : (uint64_t)w->size * 2;
    uint32_t size = (uint32_t)min_u64(wanted, limits->msgs);
    struct rc_sent *ring = alloc->resize(alloc->ctx, NULL, size * sizeof *ring);

    if (ring == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < w->count; i++) {
        ring[i] = w->ring[(w->start + i) % w->size];
    }
    if (w->ring != NULL) {
        alloc->resize(alloc->ctx, w->ring, 0);
    }
    w->ring = ring;
    w->size = size;
    w->start = 0;
    return true;
}

bool rc_window_add(struct rc_window *w, const struct rc_limits *limits, const struct rc_alloc *alloc, uint64_t index,
                   uint64_t bytes)
{
    if (w->count == w->size && !window_grow(w, limits, alloc)) {
        return false;
    }
    w->ring[(w->start + w->count) % w->size] = (struct rc_sent){.index = index, .bytes = bytes};
    w->count++;
    w->bytes += bytes;
    return true;
}

void rc_window_free_to(struct rc_window *w, uint64_t index)
{
    while (w->count > 0 && w->ring[w->start].index <= index) {
        w->bytes -= w->ring[w->start].bytes;
        w->start = (w->start + 1) % w->size;
        w->count--;
    }
}

static void window_clear(struct rc_window *w)
{
    w->start = 0;
    w->count = 0;
    w->bytes = 0;
}

void rc_window_release(struct rc_window *w, const struct rc_alloc *alloc)
{
    if (w->ring != NULL) {
        alloc->resize(alloc->ctx, w->ring, 0);
    }
    memset(w, 0, sizeof *w);
}

static void enter(struct rc_progress *p, enum rc_flow flow)
{
    p->flow = flow;
    p->paused = false;
    p->pending_snapshot = 0;
    window_clear(&p->window);
}

void rc_progress_probe(struct rc_progress *p)
{
    uint64_t from = p->match;

    if (p->flow == RC_SNAPSHOT) { /* if it arrived, the log continues after it */
        from = max_u64(from, p->pending_snapshot);
    }
    enter(p, RC_PROBE);
    p->next = from + 1;
    p->sent_commit = min_u64(p->sent_commit, from);
}

void rc_progress_replicate(struct rc_progress *p)
{
    enter(p, RC_REPLICATE);
    p->next = p->match + 1;
}

void rc_progress_snapshot(struct rc_progress *p, uint64_t index)
{
    enter(p, RC_SNAPSHOT);
    p->pending_snapshot = index;
    p->next = index + 1;
    p->sent_commit = index;
}

void rc_progress_reset(struct rc_progress *p, uint64_t match, uint64_t next)
{
    enter(p, RC_PROBE);
    p->match = match;
    p->next = next;
    p->sent_commit = 0;
    p->read_ack = 0;
    p->ballot = RC_BALLOT_NONE;
    p->active = false;
}

bool rc_progress_sent(struct rc_progress *p, const struct rc_limits *limits, const struct rc_alloc *alloc,
                      uint32_t entries, uint64_t bytes)
{
    if (p->flow == RC_PROBE) {
        p->paused = p->paused || entries > 0;
        return true;
    }
    if (entries > 0) {
        p->next += entries;
        if (!rc_window_add(&p->window, limits, alloc, p->next - 1, bytes)) {
            return false;
        }
    }
    /* A full window makes this message a probe: another follows only after a heartbeat reply, so that a follower whose
     * messages were all lost is found again. */
    p->paused = rc_window_full(&p->window, limits);
    return true;
}

bool rc_progress_paused(const struct rc_progress *p)
{
    return p->flow == RC_SNAPSHOT || p->paused;
}

bool rc_progress_update(struct rc_progress *p, uint64_t index)
{
    if (index <= p->match) {
        return false;
    }
    p->match = index;
    p->next = max_u64(p->next, index + 1);
    p->paused = false;
    return true;
}

bool rc_progress_back(struct rc_progress *p, uint64_t rejected, uint64_t hint)
{
    if (p->flow == RC_SNAPSHOT) { /* of a probe before it */
        return false;
    }
    if (p->flow == RC_REPLICATE) {
        if (rejected <= p->match) {
            return false;
        }
        p->next = p->match + 1;
    } else {
        if (rejected != p->next - 1) { /* one probe at a time: this answers an older one */
            return false;
        }
        p->next = max_u64(min_u64(rejected, hint + 1), p->match + 1);
        p->paused = false;
    }
    p->sent_commit = min_u64(p->sent_commit, p->next - 1);
    return true;
}

bool rc_progress_wants_commit(const struct rc_progress *p, uint64_t commit)
{
    return commit > p->sent_commit && p->sent_commit < p->next - 1;
}

char *rc_progress_text(const struct rc_progress *p, const struct rc_limits *limits, char *out, size_t size)
{
    static const char *const flows[] = {"StateProbe", "StateReplicate", "StateSnapshot"};
    char pending[40] = "", inflight[40] = "";

    if (p->pending_snapshot != 0) {
        snprintf(pending, sizeof pending, " pendingSnap=%llu", (unsigned long long)p->pending_snapshot);
    }
    if (p->window.count != 0) {
        snprintf(inflight, sizeof inflight, " inflight=%u%s", p->window.count,
                 rc_window_full(&p->window, limits) ? "[full]" : "");
    }
    snprintf(out, size, "%s match=%llu next=%llu%s%s%s%s%s", flows[p->flow], (unsigned long long)p->match,
             (unsigned long long)p->next, p->learner ? " learner" : "", rc_progress_paused(p) ? " paused" : "", pending,
             p->active ? "" : " inactive", inflight);
    return out;
}
