/* coord.c: the life of the coordinator, and what happens once a slot's lock is free. */
#include "coord/internal.h"

#include <stdlib.h>

/* ---- after the lock ---- */

bool coord_finish(struct coord *c, struct todo *t, const struct coord_call *own)
{
    bool mine = false;
    for (struct coord_call *call = t->calls, *next; call; call = next) {
        next = call->next; /* whoever is told may free the call */
        if (call == own)
            mine = true;
        else
            call->done(call);
    }
    for (struct write *w = t->writes, *next; w; w = next) {
        next = w->send_next;
        write_propose(w);
    }
    if (t->kick && !__atomic_load_n(&c->stopping, __ATOMIC_ACQUIRE))
        os_exec_post(c->exec, &c->kick);
    return mine;
}

/* ---- life ---- */

static void on_change(void *arg, const struct meta_image *image, const struct meta_change *changes, uint32_t n)
{
    struct coord *c = arg;
    for (uint32_t i = 0; i < n; i++) {
        enum meta_change_kind k = changes[i].kind;
        if (k != META_CHANGE_COORD_SLOT && k != META_CHANGE_RESET && k != META_CHANGE_BROKER)
            continue;
        os_exec_post(c->exec, &c->look);
        return;
    }
}

struct coord *coord_new(const struct coord_options *o)
{
    struct coord *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->o = *o;
    c->slots = calloc(o->slots, sizeof *c->slots);
    if (!c->slots || os_exec_open(o->os, "coord", 0, &c->exec) < 0) {
        free(c->slots);
        free(c);
        return NULL;
    }
    c->armed_ms = INT64_MAX;
    c->timer = (struct chronik_task){.fn = coord_timer_run, .arg = c};
    c->kick = (struct chronik_task){.fn = coord_kick_run, .arg = c};
    c->look = c->look_later = (struct chronik_task){.fn = coord_look_run, .arg = c};
    os_mutex_init(&c->reader_mu, LOCK_COORD_IMAGE);
    for (uint32_t i = 0; i < o->slots; i++) {
        struct slot *s = &c->slots[i];
        s->coord = c;
        s->no = i;
        s->next_ms = INT64_MAX;
        os_mutex_init(&s->mu, LOCK_COORD);
        wheel_init(&s->wheel, coord_now_ms(c));
    }
    return c;
}

bool coord_set_meta(struct coord *c, struct meta *meta)
{
    c->meta = meta;
    c->sub = (struct meta_sub){.fn = on_change, .arg = c};
    meta_subscribe(meta, &c->sub);
    c->reader = meta_reader_open(meta);
    c->look_reader = meta_reader_open(meta);
    return c->reader && c->look_reader;
}

void coord_start(struct coord *c)
{
    __atomic_store_n(&c->started, true, __ATOMIC_RELEASE);
    os_exec_post(c->exec, &c->look);
}

void coord_stop(struct coord *c)
{
    if (!c)
        return;
    __atomic_store_n(&c->stopping, true, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < c->o.slots; i++)
        coord_give_up(&c->slots[i]);
}

void coord_free(struct coord *c)
{
    if (!c)
        return;
    os_exec_close(c->exec);
    if (c->reader)
        meta_reader_close(c->reader);
    if (c->look_reader)
        meta_reader_close(c->look_reader);
    for (uint32_t i = 0; i < c->o.slots; i++) {
        CHECK(!c->slots[i].n_groups);
        free(c->slots[i].groups);
        os_mutex_destroy(&c->slots[i].mu);
    }
    os_mutex_destroy(&c->reader_mu);
    free(c->slots);
    free(c);
}

void coord_stats_get(struct coord *c, struct coord_stats *out)
{
    *out = (struct coord_stats){.rebalances = __atomic_load_n(&c->rebalances, __ATOMIC_RELAXED)};
    uint64_t *const states[] = {&out->empty, &out->preparing, &out->completing, &out->stable, &out->dead};
    for (uint32_t i = 0; i < c->o.slots; i++) {
        struct slot *s = &c->slots[i];
        os_mutex_lock(&s->mu);
        out->groups += s->n_groups;
        for (uint32_t k = 0; k < s->buckets; k++)
            for (const struct group *g = s->groups[k]; g; g = g->chain) {
                ++*states[g->state];
                out->members += g->n;
            }
        os_mutex_unlock(&s->mu);
    }
}
