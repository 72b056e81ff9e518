/* episode: a short reign: one replica is made to lead by a majority, tells one or two others a little, and is cut off
 * before it has told more. Blind chance hardly ever strings such reigns together while one disk sleeps, yet that is
 * what the rules on stale acknowledgements, stale replies and stale reads are for. It uses nothing but faults and
 * operators' wishes, as sim.c does. Single-threaded test code. */
#include "sim.h"

#include <string.h>

struct reign {
    struct node *king;
    bool with[WORLD_NODES]; /* who can hear each other */
};

static struct node *voter(struct world *w, const struct rc_conf *conf)
{
    return conf->voters.n == 0 ? NULL : world_node(w, conf->voters.v[world_random(w, conf->voters.n)]);
}

static bool fit(const struct node *n)
{
    return n != NULL && n->exists && n->alive && !n->paused;
}

static bool leads(const struct node *n)
{
    struct rc_status st;

    rc_status(n->rc, &st);
    return st.role == RC_LEADER;
}

/* Has a log that the other could vote for. */
static bool no_newer(const struct node *n, const struct node *than)
{
    struct rc_status a, b;
    uint64_t a_term, b_term;

    rc_status(n->rc, &a);
    rc_status(than->rc, &b);
    a_term = rc_entry_at(n->rc, a.last) == NULL ? 0 : rc_entry_at(n->rc, a.last)->term;
    b_term = rc_entry_at(than->rc, b.last) == NULL ? 0 : rc_entry_at(than->rc, b.last)->term;
    return a_term < b_term || (a_term == b_term && a.last <= b.last);
}

/* A voter of somebody's configuration, often the king before the last one; NULL: bad luck. */
static struct node *new_king(struct world *w)
{
    if (w->kings[1] != NULL && fit(w->kings[1]) && !leads(w->kings[1]) && world_chance(w, 60)) {
        return w->kings[1];
    }
    for (int tries = 0; tries < 30; tries++) {
        struct node *any = &w->nodes[world_random(w, WORLD_NODES)], *king;

        king = any->exists ? voter(w, &any->conf) : NULL;
        if (fit(king) && !king->stalled && (!leads(king) || world_chance(w, 10))) {
            return king;
        }
    }
    return NULL;
}

/* A random majority of the voters around the king; all other ways are cut. */
static void gather(struct world *w, struct reign *r)
{
    struct rc_status st;
    uint32_t have = 1;

    rc_status(r->king->rc, &st);
    r->with[r->king->id - 1] = true;
    for (int tries = 0; tries < 200 && have <= st.conf.voters.n / 2; tries++) {
        struct node *n = voter(w, &st.conf);

        if (fit(n) && !n->stalled && !r->with[n->id - 1] &&
            ((!leads(n) && !n->late && no_newer(n, r->king)) || world_chance(w, 5))) {
            r->with[n->id - 1] = true;
            have++;
        }
    }
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        for (uint32_t k = 0; k < WORLD_NODES; k++) {
            w->cut[i][k] = !(r->with[i] && r->with[k]);
        }
    }
}

static void turn(struct world *w, struct node *n)
{
    world_ready(w, n);
    if (n->late && world_chance(w, w->impatient)) {
        for (uint64_t i = 1 + world_random(w, n->n_acks); i > 0; i--) {
            world_ack(w, n);
        }
    }
    if (!n->stalled) {
        world_disk(w, n);
    }
    if (world_chance(w, 50)) {
        world_apply(w, n);
    }
}

static void deliver_within(struct world *w, const struct reign *r)
{
    uint32_t from = w->n_flight == 0 ? 0 : (uint32_t)world_random(w, w->n_flight);

    for (uint32_t i = 0; i < w->n_flight; i++) {
        uint32_t at = (from + i) % w->n_flight;
        const struct rc_msg *m = &w->flight[at].msg;

        if (r->with[m->from - 1] && r->with[m->to - 1] && w->flight[at].due <= w->counts.steps) {
            world_deliver(w, at);
            return;
        }
    }
}

/* Those who can hear each other talk for a while (crowned: until the king leads); messages of others stay on their way.
 */
static void talk(struct world *w, const struct reign *r, uint64_t rounds, bool crowned)
{
    for (uint64_t i = 0; i < rounds && !(crowned && leads(r->king)); i++) {
        for (uint32_t k = 0; k < WORLD_NODES; k++) {
            struct node *n = &w->nodes[k];

            if (n->exists && fit(n) && r->with[k] && world_chance(w, 70)) {
                turn(w, n);
            }
        }
        for (uint64_t k = 1 + world_random(w, 6); k > 0; k--) {
            deliver_within(w, r);
        }
        w->counts.steps++;
    }
}

/* The king speaks; the heir alone hears it. */
static void decree(struct world *w, struct reign *r, struct node *heir, uint64_t rounds)
{
    if (!leads(r->king)) {
        return;
    }
    for (uint64_t i = world_random(w, 3); i > 0; i--) {
        world_propose(w, r->king, 4);
    }
    memset(r->with, 0, sizeof r->with);
    r->with[r->king->id - 1] = true;
    if (fit(heir)) {
        r->with[heir->id - 1] = true;
        w->cut[r->king->id - 1][heir->id - 1] = false;
        w->cut[heir->id - 1][r->king->id - 1] = world_chance(w, 30);
    }
    talk(w, r, rounds, false);
}

static void reign(struct world *w, struct node *king, struct node *heir, uint64_t rounds)
{
    struct reign r = {.king = king};

    if (!fit(king) || king->stalled) {
        return;
    }
    w->counts.reigns++;
    gather(w, &r);
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        if (w->nodes[i].exists && fit(&w->nodes[i]) && world_chance(w, r.with[i] ? 95 : 50)) {
            rc_forget_leader(w->nodes[i].rc); /* as the shell does on evidence; else the lease protects the last king */
            judge_step(w, &w->nodes[i]);
        }
    }
    for (int tries = 0; tries < 3 && !leads(king); tries++) {
        rc_campaign(king->rc);
        judge_step(w, king);
        talk(w, &r, 30, true);
    }
    decree(w, &r, heir, rounds);
    if (world_chance(w, 50)) {
        world_read(w, king);
    }
}

static void wake(struct world *w, struct node *n)
{
    n->late = false;
    while (n->n_acks > 0) {
        world_ack(w, n);
    }
}

/* One voter's disk, or the word of it, sleeps for several reigns. */
static void sleepy_disk(struct world *w, struct node *n)
{
    if (fit(n)) {
        wake(w, n);
        n->stalled = world_chance(w, 20);
        n->late = world_chance(w, 50);
    }
}

/* Two kings by turns, and one heir that hears both while the word of its disk is late. */
static void seesaw(struct world *w, struct node *first)
{
    uint32_t loss = w->loss;
    struct node *second = voter(w, &first->conf), *heir = voter(w, &first->conf);

    if (!fit(second) || !fit(heir) || leads(first) || second == first || heir == first || heir == second) {
        return;
    }
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        if (w->nodes[i].exists && world_chance(w, 80)) {
            sim_mend(w, &w->nodes[i]);
        }
    }
    first->late = second->late = false;
    heir->late = true;
    w->loss = 0;
    for (int i = 0; i < 3; i++) {
        w->impatient = i < 2 ? 1 : 30;
        if (i == 2 && first->alive) { /* cut off, it has not noticed yet that it no longer leads */
            world_crash(w, first);
            world_start(w, first);
        }
        reign(w, i % 2 == 0 ? first : second, heir, 8 + world_random(w, 12));
    }
    w->impatient = 12;
    w->loss = loss;
    wake(w, heir);
}

void sim_episode(struct world *w)
{
    struct node *king = new_king(w), *heir = NULL;

    if (king == NULL) {
        return;
    }
    if (world_chance(w, 25)) {
        seesaw(w, king);
        return;
    }
    for (int tries = 0; tries < 10 && (heir == NULL || !heir->late); tries++) {
        heir = voter(w, &king->conf);
    }
    reign(w, king, heir, 1 + world_random(w, 8));
    w->kings[1] = w->kings[0];
    w->kings[0] = king;
    if (world_chance(w, 20)) {
        sleepy_disk(w, voter(w, &king->conf));
    }
    if (world_chance(w, 20)) {
        memset(w->cut, 0, sizeof w->cut);
    }
}
