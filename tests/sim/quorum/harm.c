/* harm.c: what befalls disks beyond slowness, fullness and lost power, and what the operator does about it: calls that
 * fail, bits that flip, writes that go astray, disks that are put back to an older copy; and power cuts aimed at a
 * snapshot on its way. A disk that does not hold what was written counts as lost: it is hurt only where the quorum
 * bears one loss more, and replaced in the end. */
#include "quorum.h"

#include <stdio.h>

static struct node *any(void)
{
    return &q.nodes[sim_rand(q.w, (uint64_t)q.n)];
}

static bool serves(const struct node *n)
{
    return node_core(n) != NULL;
}

void harm_draw(enum harm wanted)
{
    uint64_t dice = sim_rand(q.w, 10);
    q.harm = wanted ? wanted : dice < 4 ? (enum harm)(HARM_FAIL + dice) : HARM_NONE;
    if (q.n == 1 && q.harm != HARM_NONE)
        q.harm = HARM_FAIL; /* nobody could repair the others */
    q.aim = sim_rand(q.w, 2);
}

int harm_named(const char *name)
{
    static const char *const names[] = {"", "fail", "rot", "astray", "old"};
    for (int i = HARM_FAIL; i <= HARM_OLD; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return 0;
}

/* ---- calls that fail ---- */

static void make_ill(struct node *n)
{
    static const int kinds[] = {OS_FAULT_READ, OS_FAULT_WRITE,    OS_FAULT_SYNC,   OS_FAULT_SYNC_DIR,
                                OS_FAULT_OPEN, OS_FAULT_TRUNCATE, OS_FAULT_RENAME, OS_FAULT_ALLOCATE};
    int kind = kinds[sim_rand(q.w, ARRAY_LEN(kinds))];
    n->ill = n->failing = true;
    q.counts->ill++;
    if (sim_rand(q.w, 2))
        os_fault_set(n->os, kind, (int64_t)sim_rand(q.w, 20), CHRONIK_E_IO);
    else
        sim_disk_fail(n->os, kind, 50 + (unsigned)sim_rand(q.w, 951), CHRONIK_E_IO);
}

void harm_mend(struct node *n)
{
    if (!n->ill)
        return;
    n->ill = false;
    os_fault_clear(n->os);
    for (int kind = 0; kind < OS_FAULT_KINDS; kind++)
        sim_disk_fail(n->os, kind, 0, 0);
}

/* ---- disks that lie ---- */

static void rot(struct node *n)
{
    for (uint64_t k = 1 + sim_rand(q.w, 3); k > 0; k--)
        if (sim_disk_rot(n->os))
            q.counts->rot++;
    n->doubtful = true;
    if (sim_rand(q.w, 2)) {
        node_kill(n, sim_rand(q.w, 2));
        node_restart(n);
    }
}

/* What was written later proves the loss: without it the log would end there, like one that lost power. So the node
 * writes on for a while, and then starts again. */
static void send_astray(struct node *n)
{
    uint64_t before = sim_disk_misdirected(n->os);
    n->doubtful = true;
    sim_disk_misdirect(n->os, 1 + sim_rand(q.w, 4));
    for (int i = 0; i < 40 && !q.why[0]; i++) {
        struct node *from = any();
        if (serves(from))
            client_ids(from);
        quorum_run(25 * SIM_MS);
    }
    sim_disk_misdirect(n->os, 0);
    if (q.why[0])
        return;
    q.counts->astray += sim_disk_misdirected(n->os) - before;
    node_kill(n, sim_rand(q.w, 2));
    node_restart(n);
}

/* ---- older copies ---- */

static void copy(struct node *n)
{
    sim_copy_free(n->copy);
    n->copy = sim_disk_save(n->os);
    n->copied = n->lives;
}

/* Everybody who has a say knows for good that this replica has been started since the copy was made. */
static bool known_to_all(const struct node *n)
{
    for (int i = 0; i < q.n; i++) {
        const struct node *other = &q.nodes[i];
        if (other != n && operator_member(other) &&
            !inside_knows(other->m->engine, inside_replica(n->m->engine), inside_boot(n->m->engine)))
            return false;
    }
    return true;
}

static void load(int rounds, const struct node *without)
{
    for (int i = 0; i < rounds && !q.why[0]; i++) {
        struct node *from = any();
        if (from != without && serves(from))
            client_ids(from);
        quorum_run(20 * SIM_MS);
    }
}

/* One other misses what is written now; it and the older disk are a majority of three, once the third is away. */
static void put_back(struct node *n)
{
    struct node *behind = any(), *away = operator_leader();
    if (behind != n && behind != away)
        sim_net_isolate(behind->os, true);
    load(10, behind);
    if (q.why[0] || !n->running || !n->m)
        return;
    n->doubtful = true;
    n->old_replica = inside_replica(n->m->engine);
    q.counts->old++;
    node_kill(n, true);
    sim_disk_budget(n->os, UINT64_MAX);
    sim_disk_load(n->os, n->copy);
    node_forget(n);
    if (away && away != n)
        sim_net_isolate(away->os, true);
    sim_net_isolate(behind->os, false);
    node_restart(n);
    load(60, away);
    if (away)
        sim_net_isolate(away->os, false);
}

static void grow_old(struct node *n)
{
    if (n->copy && n->lives > n->copied && operator_member(n) && known_to_all(n)) {
        put_back(n);
    } else if (!n->copy) {
        node_kill(n, sim_rand(q.w, 2));
        copy(n);
        node_restart(n);
    }
}

/* Waits a moment for the calm in which the loss of a disk can be borne. */
static bool may_suffer(const struct node *n)
{
    for (int i = 0; i < 20 && !q.why[0]; i++) {
        if (!n->doubtful && serves(n) && operator_bears(n))
            return true;
        quorum_run(50 * SIM_MS);
    }
    return false;
}

void harm_one(void)
{
    struct node *n = any();
    if (q.harm == HARM_FAIL && n->running && !n->ill)
        make_ill(n);
    if (q.harm <= HARM_FAIL || !may_suffer(n))
        return;
    if (q.harm == HARM_ROT)
        rot(n);
    else if (q.harm == HARM_ASTRAY)
        send_astray(n);
    else
        grow_old(n);
}

/* ---- power cuts where a snapshot is on its way ---- */

static void aim_at(struct node *n)
{
    if (!n || n->aimed || !sim_up(n->os) || !faults_aims(n))
        return;
    n->aimed = true;
    sim_cut_at(n->os, sim_io_count(n->os) + 1 + sim_rand(q.w, 16));
}

void harm_aim(void)
{
    for (int i = 0; i < q.n; i++) {
        struct node *n = &q.nodes[i];
        bool now = n->running && sim_up(n->os) && n->m && inside_installing(n->m->engine);
        bool began = now && !n->installing;
        n->installing = now;
        q.counts->installs += began;
        uint64_t dice = began && q.aim ? sim_rand(q.w, 8) : 8;
        if (dice < 4)
            aim_at(n);
        else if (dice == 4)
            aim_at(operator_leader());
    }
}

void harm_disarm(void)
{
    q.aim = false;
    for (int i = 0; i < q.n; i++)
        if (sim_up(q.nodes[i].os)) {
            sim_cut_at(q.nodes[i].os, 0);
            q.nodes[i].aimed = false;
        }
}

/* ---- the operator ---- */

void harm_cure(void)
{
    for (int i = 0; i < q.n && !q.why[0]; i++) {
        struct node *n = &q.nodes[i];
        bool stale = n->running && sim_up(n->os) && n->m && inside_stale(n->m->engine);
        q.counts->stale += stale;
        if (!n->refused && !stale)
            continue;
        node_kill(n, false);
        if (n->doubtful)
            node_wipe(n);
        else
            node_restart(n);
    }
}

/* An older disk must have been told so by now, for the links are whole; a damaged one has started once more, so that
 * what can be seen of it is seen. */
void harm_end(void)
{
    for (int i = 0; i < q.n && !q.why[0]; i++) {
        struct node *n = &q.nodes[i];
        if (!n->doubtful || n->old_replica)
            continue;
        node_kill(n, sim_rand(q.w, 2));
        node_restart(n);
    }
    for (int i = 0; i < 200 && !q.why[0]; i++) {
        bool old = false;
        quorum_run(100 * SIM_MS);
        harm_cure();
        for (int k = 0; k < q.n; k++)
            old |= q.nodes[k].old_replica != 0;
        if (!old && i >= 5)
            break;
    }
    for (int i = 0; i < q.n && !q.why[0]; i++) {
        struct node *n = &q.nodes[i];
        if (n->old_replica)
            quorum_break("an older copy of node %d's disk, replica %llx, is not refused", n->id,
                         (unsigned long long)n->old_replica);
        if (n->doubtful && !q.why[0]) {
            node_kill(n, true);
            node_wipe(n);
        }
    }
}
