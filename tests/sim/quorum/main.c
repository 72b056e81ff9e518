/* main.c: quorum-sim: seeds of a metadata quorum in the virtual world, or mutants of it. A seed is a random quorum
 * under random faults and load, then a healed one that must come to rest. Exit code: 0 all held (mutants: all noticed),
 * 1 not, 2 bad usage. */
#include "quorum.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "plugins/meta-raft/core/mutants.h"
#include "plugins/meta-raft/core/tracker.h"

#define U(v) ((unsigned long long)(v))

struct quorum q;
const char *chronik_mutant = "";
enum rc_mutant rc_mutant;

static struct options {
    uint64_t from, to;
    int nodes; /* 0: random */
    const char *mutant;
    void (*scene)(void); /* NULL: random trouble */
    int harm;            /* 0: drawn */
} opt = {.from = 1, .to = 20};

static struct counts *counts;

/* ---- faults ---- */

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

static void mend_net(void)
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

static void mend_disk(struct node *n)
{
    sim_disk_budget(n->os, UINT64_MAX);
    sim_disk_latency(n->os, 50 * SIM_US, 2 * SIM_MS);
    harm_mend(n);
}

static void revive(struct node *n)
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
        revive(&q.nodes[i]);
}

static void fault(void)
{
    struct node *n = any();
    switch (sim_rand(q.w, 13)) {
    case 0:
        node_kill(n, false);
        break;
    case 1:
        node_kill(n, true);
        break;
    case 2:
    case 3:
        hurt_net();
        break;
    case 4:
        hurt_disk(n);
        break;
    case 5:
        q.counts->jumps++;
        sim_clock_jump(n->os, (int64_t)sim_rand(q.w, 100000) - 50000);
        sim_clock_drift(n->os, (int32_t)sim_rand(q.w, 20000) - 10000);
        break;
    case 6:
        if (alive() == n)
            sim_call(n->os, ask_snapshot, n);
        break;
    case 7:
        if (n->running && sim_up(n->os))
            sim_call(n->os, ask_transfer, n);
        break;
    case 8:
        mend_net();
        break;
    case 9:
        blackout(n);
        break;
    default:
        mend_disk(n);
        revive(n);
    }
}

/* ---- one seed ---- */

static bool look(void *arg)
{
    harm_aim();
    return judge_look(arg);
}

bool quorum_run(int64_t ns)
{
    sim_run(q.w, sim_now(q.w) + ns, 0, look, NULL);
    return !judge_look(NULL);
}

static void client(void)
{
    struct node *n = alive();
    uint64_t dice = sim_rand(q.w, 10);
    if (!n)
        return;
    if (dice < 1)
        client_barrier(n);
    else if (dice < 6)
        client_ids(n);
    else
        client_topic(n);
}

void quorum_rest(const char *when)
{
    const char *missing = "";
    int64_t end = sim_now(q.w) + 40 * SIM_S;
    while (sim_now(q.w) < end && !q.why[0]) {
        if (!quorum_run(50 * SIM_MS))
            return;
        missing = judge_rest();
        if (!missing)
            return;
    }
    quorum_break("no rest within 40 s %s: %s", when, missing);
}

static const struct op *open_op(void)
{
    for (uint32_t i = 0; i < q.n_ops; i++)
        if (!q.ops[i].answered && q.ops[i].life == q.ops[i].node->lives)
            return &q.ops[i];
    return NULL;
}

static void heal(void)
{
    mend_net();
    sim_net_latency(q.w, 50 * SIM_US, 500 * SIM_US);
    for (int i = 0; i < q.n; i++) {
        mend_disk(&q.nodes[i]);
        revive(&q.nodes[i]);
    }
    harm_disarm();
    bool harmed = q.harm > HARM_FAIL;
    if (harmed) {
        harm_end();
    } else if (q.harm == HARM_FAIL) { /* who was just starting on a disk that failed may still refuse */
        quorum_run(500 * SIM_MS);
        harm_cure();
    }
    quorum_rest("after healing");
    for (int i = 0; i < 60 && (q.restless || harmed || q.first < q.n) && !q.why[0] && !operator_restore(i); i++) {
        quorum_run(500 * SIM_MS);
        if (i == 59)
            quorum_break("not every node is a voter after 60 tries");
    }
    quorum_rest("after all are voters");
    if (!q.why[0] && !operator_restore(0))
        quorum_break("not every node is a voter");
    for (int i = 0; i < q.n && !q.why[0]; i++)
        client_ids(&q.nodes[i]);
    quorum_rest("after a last command of each node");
    for (int i = 0; i < q.n && !q.why[0]; i++)
        client_check(&q.nodes[i]);
    if (!q.why[0] && open_op())
        quorum_run(6 * SIM_S); /* what found no leader is told so in the end */
    if (!q.why[0] && open_op())
        quorum_break("a %s of node %d was never answered", open_op()->kind == OP_BARRIER ? "read barrier" : "proposal",
                     open_op()->node->id);
}

/* All lose power at once, and nothing that was told to anybody is gone. */
static void darkness(void)
{
    q.counts->darkness++;
    for (int i = 0; i < q.n; i++)
        node_kill(&q.nodes[i], true);
    for (int i = 0; i < q.n && !q.why[0]; i++)
        node_restart(&q.nodes[i]);
    quorum_rest("after all had lost power");
    for (int i = 0; i < q.n && !q.why[0]; i++)
        client_check(&q.nodes[i]);
}

static void trouble(void)
{
    uint64_t rounds = 100 + sim_rand(q.w, 300), faults = sim_rand(q.w, 20), burst = 1 + sim_rand(q.w, 6);
    for (uint64_t i = 0; i < rounds && !q.why[0]; i++) {
        for (uint64_t k = sim_rand(q.w, burst + 1); k > 0; k--)
            client();
        if (sim_rand(q.w, 100) < faults)
            fault();
        if (q.harm && sim_rand(q.w, 100) < 3)
            harm_one();
        if (q.restless && sim_rand(q.w, 100) < 4)
            operator_change();
        if (q.restless && sim_rand(q.w, 100) < 2)
            operator_wipe();
        quorum_run((int64_t)sim_rand(q.w, 60) * SIM_MS);
    }
}

/* After a failure: where each node stands. */
static void print_nodes(void)
{
    for (int i = 0; i < q.n; i++) {
        struct rc *rc = node_core(&q.nodes[i]);
        struct rc_peer peers[RC_MAX_MEMBERS];
        struct rc_status st;
        char conf[400];
        if (!rc) {
            printf("  node %d, %llx: no core%s\n", i + 1, U(q.nodes[i].m ? inside_replica(q.nodes[i].m->engine) : 0),
                   sim_up(q.nodes[i].os) ? "" : ", the machine is off");
            continue;
        }
        rc_status(rc, &st);
        printf("  node %d: role %d term %llu lead %llx first %llu applied %llu handed %llu commit %llu persisted %llu "
               "last "
               "%llu\n",
               i + 1, st.role, U(st.term), U(st.lead), U(st.first), U(st.applied), U(st.handed), U(st.commit),
               U(st.persisted), U(st.last));
        printf("    is %llx, knows %s\n", U(inside_replica(q.nodes[i].m->engine)),
               rc_conf_text(&st.conf, conf, sizeof conf));
        for (uint32_t k = 0; st.role == RC_LEADER && k < rc_peers(rc, peers, RC_MAX_MEMBERS); k++)
            printf("    %llx: flow %d match %llu next %llu%s%s inflight %u%s\n", U(peers[k].id), peers[k].flow,
                   U(peers[k].match), U(peers[k].next), peers[k].paused ? " paused" : "",
                   peers[k].active ? "" : " silent", peers[k].inflight, peers[k].full ? " full" : "");
    }
}

/* Nodes that are made and not started; nodes 0: any number. */
static void begin(uint64_t seed, int nodes)
{
    memset(&q, 0, sizeof q);
    q.counts = counts;
    q.w = sim_world_new(seed);
    q.n = nodes ? nodes : (int[]){1, 3, 3, 3, 5, 7}[sim_rand(q.w, 6)];
    q.first = q.n > 3 && sim_rand(q.w, 3) == 0 ? 3 : q.n;
    q.restless = q.n > 1 && sim_rand(q.w, 2) == 0;
    q.snapshot_bytes = sim_rand(q.w, 2) ? 1500 + (int64_t)sim_rand(q.w, 4000) : 4000 + (int64_t)sim_rand(q.w, 30000);
    if (!opt.scene)
        harm_draw((enum harm)opt.harm);
    operator_begin();
    sim_stalls(q.w, (unsigned)sim_rand(q.w, 8), (int64_t)(1 + sim_rand(q.w, 20)) * SIM_MS);
    for (int i = 1; i <= q.first; i++) {
        size_t v = strlen(q.voters), t = strlen(q.servers);
        snprintf(q.voters + v, sizeof q.voters - v, "%s%d@n%d:9093", i > 1 ? "," : "", i, i);
        snprintf(q.servers + t, sizeof q.servers - t, "%sn%d:9093", i > 1 ? "," : "", i);
    }
    for (int i = 0; i < q.n; i++)
        node_init(&q.nodes[i], i + 1);
}

static void end(uint64_t seed)
{
    counts->seeds++;
    counts->virtual_ms += (uint64_t)(sim_now(q.w) / SIM_MS);
    if (q.why[0]) {
        printf("seed %llu, %.3f s: %s\n", U(seed), (double)sim_now(q.w) / 1e9, q.why);
        print_nodes();
        fflush(stdout);
        abort();
    }
    for (int i = 0; i < q.n; i++) {
        q.nodes[i].kv->close(q.nodes[i].kv);
        sim_copy_free(q.nodes[i].copy);
    }
    sim_world_free(q.w);
}

static void scene(uint64_t seed)
{
    begin(seed, 3);
    q.first = 3;
    for (int i = 0; i < q.n; i++)
        node_start(&q.nodes[i]);
    quorum_rest("after the start");
    if (!q.why[0])
        opt.scene();
    end(seed);
}

static void one(uint64_t seed)
{
    begin(seed, opt.nodes);
    for (int i = 0; i < q.n && !q.why[0]; i++) {
        node_start(&q.nodes[i]);
        quorum_run((int64_t)sim_rand(q.w, 2000) * SIM_MS);
    }
    trouble();
    if (!q.why[0])
        heal();
    if (!q.why[0] && sim_rand(q.w, 2))
        darkness();
    end(seed);
}

/* ---- the program ---- */

static void print(void)
{
    printf(
        "seeds %llu, virtual hours %.2f; commands %llu (acknowledged %llu, outcome unknown %llu), read barriers %llu; "
        "terms led %llu\n",
        U(counts->seeds), (double)counts->virtual_ms / 3.6e6, U(counts->commands), U(counts->acknowledged),
        U(counts->unknown), U(counts->barriers), U(counts->elections));
    printf(
        "kills %llu, power cuts %llu, restarts %llu; links cut %llu, streams reset %llu, clock jumps %llu, disks full "
        "%llu; snapshots asked %llu, transfers %llu, changes of members %llu, disks lost %llu\n",
        U(counts->kills), U(counts->cuts), U(counts->restarts), U(counts->links), U(counts->resets), U(counts->jumps),
        U(counts->full), U(counts->snapshots), U(counts->transfers), U(counts->changes), U(counts->wiped));
    printf(
        "snapshots on their way %llu (power cut there %llu), all dark %llu; disks that fail %llu, bits flipped %llu, "
        "writes astray %llu, older copies %llu; refusals %llu, told to be old %llu\n",
        U(counts->installs), U(counts->aimed), U(counts->darkness), U(counts->ill), U(counts->rot), U(counts->astray),
        U(counts->old), U(counts->refused), U(counts->stale));
}

static bool parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *end = argv[i];
        if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
            opt.from = opt.to = strtoull(argv[++i], &end, 10);
            if (*end == '-')
                opt.to = strtoull(end + 1, &end, 10);
            if (*end || opt.to < opt.from)
                return false;
        } else if (strcmp(argv[i], "--nodes") == 0 && i + 1 < argc) {
            opt.nodes = (int)strtol(argv[++i], &end, 10);
            if (*end || opt.nodes < 1 || opt.nodes > QUORUM_NODES)
                return false;
        } else if (strcmp(argv[i], "--scene") == 0 && i + 1 < argc) {
            opt.scene = quorum_scene(argv[++i]);
            if (!opt.scene)
                return false;
        } else if (strcmp(argv[i], "--harm") == 0 && i + 1 < argc) {
            opt.harm = harm_named(argv[++i]);
            if (!opt.harm)
                return false;
        } else if (strcmp(argv[i], "--mutant") == 0 && i + 1 < argc) {
            opt.mutant = argv[++i];
        } else {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    if (!parse(argc, argv)) {
        fputs(
            "usage: quorum-sim [--seeds A-B] [--nodes N] [--harm fail|rot|astray|old] [--mutant NAME] [--scene NAME]\n",
            stderr);
        return 2;
    }
    counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counts == MAP_FAILED)
        return 2;
    if (opt.mutant)
        chronik_mutant = opt.mutant;
    setvbuf(stdout, NULL, _IOLBF, 0);
    unsigned failed = sim_seeds("quorum", opt.from, opt.to - opt.from + 1, opt.scene ? scene : one);
    print();
    printf("seeds %llu-%llu: %u failed\n", U(opt.from), U(opt.to), failed);
    return failed > 0;
}
