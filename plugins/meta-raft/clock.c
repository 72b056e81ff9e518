/* clock.c: what the raft executor does because of the time: ticks of the core, attempts to be elected, and when it must
 * wake next. It must never wait: what is not due yet is looked at again by a later pass. Raft executor. */
#include "net.h"

/* Until the next attempt to be elected: soon, for the first ones may have come too early; then later and later, for an
 * attempt ends the one before, and on a slow disk each takes as long as its syncs. */
int64_t clock_retry_ns(chronik_meta *m)
{
    uint32_t steps = m->tries < RAFT_TRIES ? 0 : m->tries - RAFT_TRIES + 1;
    int64_t base = INT64_C(50) << (steps < 3 ? steps : 3);
    return (base + (int64_t)raft_random(m, 2 * (uint64_t)base)) * RAFT_MS;
}

void clock_campaign_news(chronik_meta *m, int64_t ns)
{
    m->tries = 0;
    clock_campaign_in(m, ns);
}

void clock_campaign_in(chronik_meta *m, int64_t ns)
{
    int64_t at = net_now(m) + ns;
    if (!m->campaign_at || at < m->campaign_at)
        m->campaign_at = at;
}

/* Whoever got our vote may lead: our own attempt, if one is due, waits for it. Without this one that has just voted
 * asks for pre-votes while the winner is still a candidate, gets its consent, and takes its term away again. */
void clock_give_way(chronik_meta *m, const struct rc_hard *h)
{
    bool voted = h->vote && h->vote != m->id.replica && (h->vote != m->hard.vote || h->term != m->hard.term);
    int64_t later = voted ? net_now(m) + clock_retry_ns(m) : 0;
    if (m->campaign_at && later > m->campaign_at)
        m->campaign_at = later;
}

void clock_turn(chronik_meta *m, int64_t now)
{
    int64_t every = m->quorum.election_ms * RAFT_MS / RAFT_TICKS;
    if (!m->next_tick)
        m->next_tick = now + every;
    if (now >= m->next_tick) {
        m->next_tick = now + every; /* one tick however late: what has arrived meanwhile is looked at first */
        bool full = net_disk_full(m);
        if (full && m->leads)
            net_step_down(m, now);
        net_rows(m, now);
        if ((!full || m->leads) && net_member(m))
            rc_tick(m->rc);
    }
    if (m->campaign_at && now >= m->campaign_at && !m->lead && !net_may_campaign(m, now)) {
        m->campaign_at = now + RAFT_TRY_MS * RAFT_MS;
    } else if (m->campaign_at && now >= m->campaign_at) {
        m->campaign_at = 0;
        if (!m->lead && raft_self_voter(m) && net_member(m) && !net_disk_full(m)) {
            rc_campaign(m->rc);
            if (!m->leads) /* until somebody leads: the first attempts may come before the others' evidence */
                clock_campaign_in(m, clock_retry_ns(m));
            m->tries++;
        }
    }
    if (m->commit_at && now >= m->commit_at) {
        m->commit_at = 0;
        disk_commit_mark(m);
    }
    if (!m->commit_at && m->hard.commit > m->commit_written && !raft_alone(m))
        m->commit_at = now + 1000 * RAFT_MS;
}

static void timer_run(void *arg)
{
    chronik_meta *m = arg;
    m->armed_at = 0;
    raft_step(m);
}

static void earlier(int64_t *at, int64_t t)
{
    if (t && (!*at || t < *at))
        *at = t;
}

/* Wakes the executor when the next thing is due by the clock. */
void clock_arm(chronik_meta *m, int64_t now)
{
    int64_t at = net_due(m);
    if (m->rc && !raft_alone(m))
        earlier(&at, m->next_tick);
    earlier(&at, m->campaign_at);
    earlier(&at, m->commit_at);
    earlier(&at, m->close_until);
    if (m->read_number && !m->read_index)
        earlier(&at, m->read_at + m->quorum.election_ms * RAFT_MS / 4 + 1);
    __atomic_store_n(&m->due_at, at && at < now ? now : at, __ATOMIC_RELAXED);
    if (!at || (m->armed_at && m->armed_at <= at))
        return;
    m->armed_at = at > now ? at : now + 1;
    m->tick_task.fn = timer_run;
    m->tick_task.arg = m;
    m->host.exec_post_at(m->exec, &m->tick_task, m->armed_at);
}
