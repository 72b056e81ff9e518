/* faults.c: what befalls a quorum in one seed: clients' wishes and faults, round by round. Each round draws from a
 * stream of its own, and each fault has a number (its round times eight, and its kind), so that a run can be repeated
 * with fewer rounds and without some of the faults while the others stay as they were (shrink.c). */
#include "quorum.h"

#include <stdio.h>

enum slot { SLOT_CLIENTS, SLOT_FAULT, SLOT_HARM, SLOT_CHANGE, SLOT_WIPE, SLOT_AIM, SLOTS = 8 };
enum { END_OF_ROUNDS = 1 << 30 };

static struct {
    uint64_t rounds; /* at most; 0: as many as are drawn */
    bool some;       /* only these faults */
    const uint32_t *only;
    uint32_t n_only;
} limit;
static uint64_t now; /* the round */

void faults_limit(uint64_t rounds, bool some, const uint32_t *only, uint32_t n)
{
    limit.rounds = rounds;
    limit.some = some;
    limit.only = only;
    limit.n_only = n;
}

/* A fault is about to happen: not when it is to be left out. */
static bool happens(enum slot slot, const char *what, const struct node *n)
{
    uint32_t number = (uint32_t)(now * SLOTS + slot);
    bool wanted = !limit.some;
    for (uint32_t i = 0; i < limit.n_only && !wanted; i++)
        wanted = limit.only[i] == number;
    if (!wanted)
        return false;
    struct story *t = q.story;
    if (t && t->n < STORY_MOST) {
        t->v[t->n].number = number;
        t->v[t->n].at_ms = sim_now(q.w) / SIM_MS;
        snprintf(t->v[t->n].text, sizeof t->v[t->n].text, n ? "%s %d" : "%s", what, n ? n->id : 0);
        t->n++;
    }
    sim_note(q.w, "fault %u: %s %d", number, what, n ? n->id : 0);
    return true;
}

bool faults_aims(const struct node *n)
{
    return happens(SLOT_AIM, "power will fail at a snapshot on its way, node", n);
}

/* ---- kinds of faults ---- */

static struct node *any(void)
{
    return &q.nodes[sim_rand(q.w, (uint64_t)q.n)];
}

static struct node *alive(void)
{
    struct node *n = any();
    return n->running && sim_up(n->os) && n->m ? n : NULL;
}

static void hurt_net(void)
{
    struct node *a = any(), *b = any();
    switch (sim_rand(q.w, 4)) {
    case 0:
        if (a != b)
            sim_net_cut(a->os, b->os, true);
        q.counts->links++;
        break;
    case 1:
        sim_net_isolate(a->os, true);
        q.counts->links++;
        break;
    case 2:
        sim_net_reset(a->os, b->os);
        q.counts->resets++;
        break;
    default:
        sim_net_latency(q.w, 20 * SIM_US, (int64_t)(1 + sim_rand(q.w, 40)) * SIM_MS);
    }
}

void faults_mend_net(void)
{
    for (int i = 0; i < q.n; i++)
        sim_net_isolate(q.nodes[i].os, false);
    for (int i = 0; i < q.n; i++)
        for (int k = 0; k < q.n; k++)
            if (i != k)
                sim_net_cut(q.nodes[i].os, q.nodes[k].os, false);
}

static void hurt_disk(struct node *n)
{
    if (sim_rand(q.w, 2) == 0) {
        sim_disk_budget(n->os, 0);
        q.counts->full++;
    } else {
        sim_disk_latency(n->os, (int64_t)sim_rand(q.w, 2000) * SIM_US, (int64_t)sim_rand(q.w, 50) * SIM_MS);
    }
}

void faults_mend_disk(struct node *n)
{
    sim_disk_budget(n->os, UINT64_MAX);
    sim_disk_latency(n->os, 50 * SIM_US, 2 * SIM_MS);
    harm_mend(n);
}

void faults_revive(struct node *n)
{
    if (!sim_up(n->os))
        node_restart(n);
    harm_cure();
}

static void on_counted(void *arg, int32_t rc)
{
    *(uint64_t *)arg += rc > 0;
}

static void ask_snapshot(void *arg)
{
    struct node *n = arg;
    meta_snapshot(n->m, (struct chronik_done){on_counted, &q.counts->snapshots});
}

static void ask_transfer(void *arg)
{
    struct node *n = arg;
    struct chronik_meta_change c = {.size = sizeof c, .op = CHRONIK_META_TRANSFER};
    c.node_id = sim_rand(q.w, 2) ? -1 : any()->id;
    meta_member_change(n->m, &c, (struct chronik_done){on_counted, &q.counts->transfers});
}

/* All others lose power at once. */
static void blackout(const struct node *but)
{
    for (int i = 0; i < q.n; i++)
        if (&q.nodes[i] != but)
            node_kill(&q.nodes[i], true);
    quorum_run((int64_t)sim_rand(q.w, 2000) * SIM_MS);
    for (int i = 0; i < q.n && !q.why[0]; i++)
        faults_revive(&q.nodes[i]);
}

enum kind {
    KILL,
    CUT,
    NET,
    NET_TOO,
    DISK,
    CLOCK,
    SNAPSHOT,
    TRANSFER,
    NET_MENDED,
    BLACKOUT,
    OLDER,
    PAUSE,
    REVIVED,
    KINDS = 15
};

static void fault(void)
{
    static const char *const names[KINDS] = {"kill node",
                                             "power cut at node",
                                             "the network is hurt",
                                             "the network is hurt",
                                             "a full or slow disk, node",
                                             "a clock jumps, node",
                                             "a snapshot is asked of node",
                                             "a transfer is asked of node",
                                             "the network is mended",
                                             "power cut at all but node",
                                             "another version is started, node",
                                             "a pause of node",
                                             "disk mended, started, node",
                                             "disk mended, started, node",
                                             "disk mended, started, node"};
    struct node *n = any();
    enum kind kind = (enum kind)sim_rand(q.w, KINDS);
    if (!happens(SLOT_FAULT, names[kind], kind == NET || kind == NET_TOO || kind == NET_MENDED ? NULL : n))
        return;
    switch (kind) {
    case KILL:
        node_kill(n, false);
        break;
    case CUT:
        node_kill(n, true);
        break;
    case NET:
    case NET_TOO:
        hurt_net();
        break;
    case DISK:
        hurt_disk(n);
        break;
    case CLOCK:
        q.counts->jumps++;
        sim_clock_jump(n->os, (int64_t)sim_rand(q.w, 100000) - 50000);
        sim_clock_drift(n->os, (int32_t)sim_rand(q.w, 20000) - 10000);
        break;
    case SNAPSHOT:
        if (n->running && sim_up(n->os) && n->m)
            sim_call(n->os, ask_snapshot, n);
        break;
    case TRANSFER:
        if (n->running && sim_up(n->os))
            sim_call(n->os, ask_transfer, n);
        break;
    case NET_MENDED:
        faults_mend_net();
        break;
    case BLACKOUT:
        blackout(n);
        break;
    case OLDER:
        node_version(n, (uint32_t)sim_rand(q.w, 2));
        break;
    case PAUSE:
        q.counts->pauses++;
        sim_pause(n->os, (int64_t)sim_rand(q.w, 3000) * SIM_MS);
        break;
    case REVIVED:
    default:
        faults_mend_disk(n);
        faults_revive(n);
    }
}

/* ---- rounds ---- */

static void client(void)
{
    struct node *n = alive();
    uint64_t dice = sim_rand(q.w, 20);
    if (!n)
        return;
    if (dice < 2)
        client_barrier(n);
    else if (dice < 10)
        client_ids(n);
    else if (dice < 14)
        client_delete(n);
    else if (dice == 14 && sim_rand(q.w, 8) == 0)
        client_unregister(n);
    else
        client_topic(n);
}

static void part(enum slot slot)
{
    sim_rand_from(q.w, now * SLOTS + slot + 1);
}

static void round_of(uint64_t burst, uint64_t faults)
{
    part(SLOT_CLIENTS);
    int64_t pause = (int64_t)sim_rand(q.w, 60) * SIM_MS;
    bool hit = sim_rand(q.w, 100) < faults, harmed = sim_rand(q.w, 100) < 3, changed = sim_rand(q.w, 100) < 4,
         wiped = sim_rand(q.w, 100) < 2;
    for (uint64_t k = sim_rand(q.w, burst + 1); k > 0; k--)
        client();
    part(SLOT_FAULT);
    if (hit)
        fault();
    part(SLOT_HARM);
    if (q.harm && harmed && happens(SLOT_HARM, "the disk of a node is harmed", NULL))
        harm_one();
    part(SLOT_CHANGE);
    if (q.restless && changed && happens(SLOT_CHANGE, "a change of the members is asked for", NULL))
        operator_change();
    part(SLOT_WIPE);
    if (q.restless && wiped && happens(SLOT_WIPE, "a disk is lost", NULL))
        operator_wipe();
    part(SLOT_AIM);
    quorum_run(pause);
}

void faults_trouble(void)
{
    uint64_t rounds = 100 + sim_rand(q.w, 300), faults = sim_rand(q.w, 20), burst = 1 + sim_rand(q.w, 6);
    for (now = 1; now <= rounds && (!limit.rounds || now <= limit.rounds) && !q.why[0]; now++)
        round_of(burst, faults);
    if (q.story)
        q.story->rounds = now - 1;
    sim_rand_from(q.w, END_OF_ROUNDS);
}
