/* rebalance.c: how a group goes from one generation to the next.
 *
 *     Empty --join--> PreparingRebalance --all joined, or time over--> CompletingRebalance --leader synced--> Stable
 *       ^                 |  ^                                              |                                  |
 *       +--nobody left----+  +--member joins, leaves, is lost; a write fails+----------------------------------+
 *
 * The first rebalance of an empty group waits for its initial delay, longer while members keep coming (KIP-134). All
 * under the slot's lock; answers and writes are left to the todo. */
#include "coord/internal.h"

#include "base/log.h"

#include <stdio.h>

LOG_SUBSYSTEM("coord");

/* ---- to CompletingRebalance, or to Empty ---- */

static void drop_absent(struct group *g)
{
    uint32_t n = 0;
    for (struct member *m = g->first, *next; m; m = next) {
        next = m->next;
        if (m->awaiting_join || m->instance)
            continue;
        group_remove(g, m);
        n++;
    }
    if (n)
        log_debug("group %s: %u members that did not join in time are out", g->id, n);
}

/* The leader must have joined: static members stay in the group also when they have not. */
static bool elect(struct group *g)
{
    if (!g->leader)
        return false;
    if (g->leader->awaiting_join)
        return true;
    for (struct member *m = g->first; m; m = m->next)
        if (m->awaiting_join) {
            log_debug("group %s: leader %s did not join in time, %s leads", g->id, g->leader->id, m->id);
            g->leader = m;
            return true;
        }
    return false;
}

static void become_empty(struct group *g, struct todo *t)
{
    group_set_text(&g->protocol, NULL);
    group_transition(g, GROUP_EMPTY);
    log_info("group %s: generation %d is empty", g->id, g->generation);
    if (!write_group(g, WRITE_EMPTY, t))
        coord_arm(g->slot, &g->join_timer, COORD_RETRY_MS);
}

static void answer_joins(struct group *g, struct todo *t)
{
    for (struct member *m = g->first; m; m = m->next) {
        struct coord_call *c = m->join;
        if (m->awaiting_join)
            g->n_awaiting_join--;
        m->awaiting_join = false;
        m->join = NULL;
        if (c)
            join_answer(c, g, m, m == g->leader || MUTANT("coord_everybody_leads"),
                        MUTANT("coord_everybody_leads") ? m->id : g->leader->id, false, t);
        m->is_new = false;
        m->pending_sync = true;
        coord_member_alive(m);
    }
    g->n_pending_sync = g->n;
}

void group_complete_join(struct group *g, struct todo *t)
{
    coord_disarm(g->slot, &g->join_timer);
    drop_absent(g);
    if (!elect(g) && g->n) {
        /* Only static members, and none of them joined: their sessions will end it. */
        log_warn("group %s: nobody joined, the rebalance goes on", g->id);
        g->join_left_ms = -1;
        coord_arm(g->slot, &g->join_timer, group_rebalance_ms(g));
        return;
    }
    if (!MUTANT("coord_generation_stays") || !g->generation)
        g->generation = g->generation == INT32_MAX ? 1 : g->generation + 1;
    for (struct member *m = g->first; m; m = m->next)
        m->pending_sync = false;
    g->n_pending_sync = 0;
    if (!g->n) {
        become_empty(g, t);
        return;
    }
    if (!group_set_text(&g->protocol, group_select(g))) {
        log_error("group %s: out of memory for a generation, the rebalance goes on", g->id);
        g->join_left_ms = -1;
        coord_arm(g->slot, &g->join_timer, COORD_RETRY_MS);
        return;
    }
    group_transition(g, GROUP_COMPLETING);
    log_info("group %s: generation %d has %u members, leader %s, protocol %s", g->id, g->generation, g->n,
             g->leader->id, g->protocol);
    answer_joins(g, t);
    coord_arm(g->slot, &g->sync_timer, group_rebalance_ms(g));
}

void group_complete_phase(struct group *g, struct todo *t)
{
    if (g->state == GROUP_PREPARING && g->previous != GROUP_EMPTY && group_all_joined(g))
        group_complete_join(g, t);
}

/* ---- to PreparingRebalance ---- */

static void begin_initial(struct group *g)
{
    int64_t delay = g->slot->coord->o.initial_rebalance_delay_ms;
    g->join_delay_ms = delay;
    g->join_left_ms = max_i64(group_rebalance_ms(g) - delay, 0);
    coord_arm(g->slot, &g->join_timer, delay);
}

void group_prepare(struct group *g, struct todo *t, const char *why)
{
    if (g->state == GROUP_COMPLETING) {
        for (struct member *m = g->first; m; m = m->next)
            member_set_assignment(m, NULL, 0);
        group_propagate(g, t, KAFKA_REBALANCE_IN_PROGRESS);
    }
    coord_disarm(g->slot, &g->sync_timer);
    for (struct member *m = g->first; m; m = m->next)
        m->pending_sync = false;
    g->n_pending_sync = 0;
    bool initial = g->state == GROUP_EMPTY;
    if (initial)
        begin_initial(g);
    log_debug("group %s: rebalance from %s, generation %d: %s", g->id, group_state_name(g->state), g->generation, why);
    group_transition(g, GROUP_PREPARING);
    if (initial)
        return;
    g->join_left_ms = -1;
    if (group_all_joined(g))
        group_complete_join(g, t);
    else
        coord_arm(g->slot, &g->join_timer, group_rebalance_ms(g));
}

void group_rebalance_or_complete(struct group *g, struct todo *t, const char *why)
{
    if (g->state == GROUP_PREPARING)
        group_complete_phase(g, t);
    else
        group_prepare(g, t, why);
}

/* ---- assignments ---- */

void group_propagate(struct group *g, struct todo *t, int16_t code)
{
    for (struct member *m = g->first; m; m = m->next) {
        if (!m->awaiting_sync)
            continue;
        member_end_sync(m, code, t);
        /* Its session was not watched while it waited. */
        coord_member_alive(m);
    }
}

/* ---- time ---- */

void group_join_due(struct group *g, struct todo *t)
{
    if (g->state == GROUP_EMPTY) { /* a write that failed */
        if (!g->writes && !write_group(g, WRITE_EMPTY, t))
            coord_arm(g->slot, &g->join_timer, COORD_RETRY_MS);
        return;
    }
    if (g->state != GROUP_PREPARING)
        return;
    if (g->join_left_ms > 0 && g->new_member_added) {
        g->new_member_added = false;
        int64_t delay = min_i64(g->slot->coord->o.initial_rebalance_delay_ms, g->join_left_ms);
        g->join_left_ms = max_i64(g->join_left_ms - g->join_delay_ms, 0);
        g->join_delay_ms = delay;
        coord_arm(g->slot, &g->join_timer, delay);
        return;
    }
    group_complete_join(g, t);
}

void group_sync_due(struct group *g, struct todo *t)
{
    if ((g->state != GROUP_COMPLETING && g->state != GROUP_STABLE) || !g->n_pending_sync ||
        MUTANT("coord_sync_not_due"))
        return;
    char why[96];
    snprintf(why, sizeof why, "%u members did not sync in time", g->n_pending_sync);
    for (struct member *m = g->first, *next; m; m = next) {
        next = m->next;
        if (!m->pending_sync)
            continue;
        member_end_join(m, KAFKA_UNKNOWN_MEMBER_ID, t);
        member_end_sync(m, KAFKA_UNKNOWN_MEMBER_ID, t);
        group_remove(g, m);
    }
    group_prepare(g, t, why);
}

/* New members may be lost while their first join waits: the client may be gone, and retried under another id. */
void member_drop(struct member *m, struct todo *t, const char *why)
{
    struct group *g = m->group;
    member_end_join(m, KAFKA_UNKNOWN_MEMBER_ID, t);
    member_end_sync(m, KAFKA_UNKNOWN_MEMBER_ID, t);
    group_remove(g, m);
    if (g->state == GROUP_STABLE || g->state == GROUP_COMPLETING)
        group_prepare(g, t, why);
    else if (g->state == GROUP_PREPARING && group_all_joined(g))
        group_complete_join(g, t);
}

void member_expire(struct member *m, struct todo *t)
{
    struct group *g = m->group;
    if (m->pending) {
        log_debug("group %s: member id %s was not used in time", g->id, m->id);
        group_remove(g, m);
        if (g->state == GROUP_PREPARING && group_all_joined(g))
            group_complete_join(g, t);
        group_settle(g);
        return;
    }
    /* Who waits for us is not expected to send heartbeats. */
    if ((!m->is_new && (m->awaiting_join || m->awaiting_sync)) || MUTANT("coord_sessions_forever"))
        return;
    char why[320];
    snprintf(why, sizeof why, "member %s was silent for %d ms", m->id, m->session_ms);
    member_drop(m, t, why);
}
