/* timers.c: each slot has a wheel; one executor looks at those that are due. Ends of sessions are lazy: a heartbeat
 * only moves the member's deadline, and its timer, when it fires, is armed again for what is left. Only the executor
 * arms its own task; everybody else kicks it when a slot wants attention sooner than it will come. */
#include "coord/internal.h"

int64_t coord_now_ms(const struct coord *c)
{
    return os_mono_ns(c->o.os) / 1000000;
}

void coord_arm(struct slot *s, struct coord_timer *t, int64_t ms_from_now)
{
    /* One more: now is rounded down. */
    wheel_arm(&s->wheel, &t->t, coord_now_ms(s->coord) + ms_from_now + 1);
}

void coord_disarm(struct slot *s, struct coord_timer *t)
{
    wheel_cancel(&s->wheel, &t->t);
}

void coord_member_deadline(struct member *m, int64_t ms_from_now)
{
    struct slot *s = m->group->slot;
    int64_t at = coord_now_ms(s->coord) + ms_from_now + COORD_SESSION_GRAIN_MS;
    m->deadline_ms = at - at % COORD_SESSION_GRAIN_MS;
    if (!wheel_armed(&m->timer.t) || (int64_t)m->timer.t.tick * WHEEL_TICK_MS > m->deadline_ms)
        wheel_arm(&s->wheel, &m->timer.t, m->deadline_ms);
}

void coord_member_alive(struct member *m)
{
    coord_member_deadline(m, m->session_ms);
}

void coord_leave_slot(struct slot *s, struct todo *t)
{
    int64_t next = wheel_next_ms(&s->wheel);
    if (next < __atomic_load_n(&s->next_ms, __ATOMIC_RELAXED)) {
        __atomic_store_n(&s->next_ms, next, __ATOMIC_SEQ_CST);
        t->kick |= next < __atomic_load_n(&s->coord->armed_ms, __ATOMIC_SEQ_CST);
    }
    os_mutex_unlock(&s->mu);
}

static void due(struct coord_timer *ct, int64_t now_ms, struct todo *t)
{
    struct member *m;
    switch (ct->kind) {
    case TIMER_MEMBER:
        m = CONTAINER_OF(ct, struct member, timer);
        if (m->deadline_ms > now_ms)
            wheel_arm(&m->group->slot->wheel, &ct->t, m->deadline_ms);
        else
            member_expire(m, t);
        break;
    case TIMER_JOIN:
        group_join_due(CONTAINER_OF(ct, struct group, join_timer), t);
        break;
    case TIMER_SYNC:
        group_sync_due(CONTAINER_OF(ct, struct group, sync_timer), t);
        break;
    }
}

static void look_at(struct slot *s, int64_t now_ms)
{
    struct todo t = {0};
    struct wheel_timer *w;
    os_mutex_lock(&s->mu);
    while ((w = wheel_pop(&s->wheel, now_ms)))
        due(CONTAINER_OF(w, struct coord_timer, t), now_ms, &t);
    __atomic_store_n(&s->next_ms, wheel_next_ms(&s->wheel), __ATOMIC_SEQ_CST);
    os_mutex_unlock(&s->mu);
    coord_finish(s->coord, &t, NULL);
}

void coord_timer_run(void *arg)
{
    struct coord *c = arg;
    int64_t now = coord_now_ms(c), next = INT64_MAX;
    if (__atomic_load_n(&c->stopping, __ATOMIC_ACQUIRE))
        return;
    /* Whoever wants attention from here on kicks; whoever wanted it before is seen below. */
    __atomic_store_n(&c->armed_ms, INT64_MAX, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < c->o.slots; i++) {
        struct slot *s = &c->slots[i];
        if (__atomic_load_n(&s->next_ms, __ATOMIC_SEQ_CST) <= now)
            look_at(s, now);
        next = min_i64(next, __atomic_load_n(&s->next_ms, __ATOMIC_SEQ_CST));
    }
    __atomic_store_n(&c->armed_ms, next, __ATOMIC_SEQ_CST);
    if (next != INT64_MAX)
        os_exec_post_at(c->exec, &c->timer, next * 1000000);
}

/* The same from outside; a task of its own, since a timed task is not moved by a post. */
void coord_kick_run(void *arg)
{
    coord_timer_run(arg);
}
