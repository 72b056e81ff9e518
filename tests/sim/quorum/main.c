/* main.c: quorum-sim: seeds of a metadata quorum in the virtual world, or mutants of it. A seed is a random quorum
 * under random faults and load, then a healed one that must come to rest. Exit code: 0 all held (mutants: all noticed),
 * 1 not, 2 bad usage. */
#include "quorum.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "plugins/meta-raft/core/mutants.h"

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
    uint64_t rounds;     /* 0: as drawn */
    unsigned switches;   /* permille; 0: drawn */
    bool plain;          /* no shorter run is looked for */
    bool some;           /* only these faults */
    uint32_t only[STORY_MOST], n_only;
    char again[200]; /* what the command that repeats a seed needs beside it */
} opt = {.from = 1, .to = 20};

static struct counts *counts;
static struct story *story;
static bool told; /* runs leave their story behind */

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

void quorum_rest(const char *when)
{
    const char *missing = "";
    int64_t end = sim_now(q.w) + 40 * SIM_S;
    while (sim_now(q.w) < end && !q.why[0]) {
        if (!quorum_run(50 * SIM_MS))
            return;
        if (q.harm == HARM_FAIL)
            harm_cure(); /* who read a bad disk before a pause refuses behind it */
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
    faults_mend_net();
    sim_net_latency(q.w, 50 * SIM_US, 500 * SIM_US);
    for (int i = 0; i < q.n; i++) {
        faults_mend_disk(&q.nodes[i]);
        node_version(&q.nodes[i], false);
        faults_revive(&q.nodes[i]);
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
    if (!q.why[0] && tickets_open())
        quorum_run(6 * SIM_S);
    if (!q.why[0] && tickets_open())
        quorum_break("the module never completed a proposal or a read barrier of node %d", tickets_open()->id);
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

/* Nodes that are made and not started; 0: any number of them, any number of first voters. */
static void begin(uint64_t seed, int nodes, int first)
{
    memset(&q, 0, sizeof q);
    q.counts = counts;
    q.committed = 1; /* the group itself */
    q.story = told ? story : NULL;
    ledger_begin();
    tickets_drop();
    q.w = sim_world_new(seed);
    q.n = nodes ? nodes : (int[]){1, 3, 3, 3, 5, 7}[sim_rand(q.w, 6)];
    q.first = first ? first : q.n > 3 && sim_rand(q.w, 3) == 0 ? 3 : q.n;
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
    q.switches = sim_rand(q.w, 2) ? (unsigned)sim_rand(q.w, 300) : 0;
    if (opt.switches)
        q.switches = opt.switches;
    unsigned torn = sim_rand(q.w, 2) ? (unsigned)sim_rand(q.w, 300) : 0;
    for (int i = 0; i < q.n; i++)
        sim_disk_tear(q.nodes[i].os, torn);
}

static void end(uint64_t seed)
{
    counts->seeds++;
    counts->virtual_ms += (uint64_t)(sim_now(q.w) / SIM_MS);
    if (q.why[0]) {
        printf("seed %llu, %.3f s: %s\n  repeat: ./dev sim raft --seeds %llu%s\n", U(seed), (double)sim_now(q.w) / 1e9,
               q.why, U(seed), opt.again);
        print_nodes();
        fflush(stdout);
        abort();
    }
    for (int i = 0; i < q.n; i++) {
        q.nodes[i].kv->close(q.nodes[i].kv);
        sim_copy_free(q.nodes[i].copy);
    }
    ledger_end();
    tickets_drop();
    sim_world_free(q.w);
}

static void scene(uint64_t seed)
{
    begin(seed, opt.nodes, 3);
    for (int i = 0; i < q.n; i++)
        node_start(&q.nodes[i]);
    quorum_rest("after the start");
    if (!q.why[0])
        opt.scene();
    end(seed);
}

static void one(uint64_t seed)
{
    begin(seed, opt.nodes, 0);
    for (int i = 0; i < q.n && !q.why[0]; i++) {
        node_start(&q.nodes[i]);
        quorum_run((int64_t)sim_rand(q.w, 2000) * SIM_MS);
    }
    faults_trouble();
    if (!q.why[0])
        heal();
    if (!q.why[0] && sim_rand(q.w, 2))
        darkness();
    end(seed);
}

/* ---- the program ---- */

static void print(void)
{
    const struct counts *c = counts;
    printf("seeds %llu, simulated hours %.2f; commands %llu (acknowledged %llu, outcome unknown %llu, came twice %llu, "
           "too "
           "early %llu), topics removed %llu, read barriers %llu\n",
           U(c->seeds), (double)c->virtual_ms / 3.6e6, U(c->commands), U(c->acknowledged), U(c->unknown), U(c->repeats),
           U(c->gaps), U(c->deletes), U(c->barriers));
    printf("elections %llu, truncations %llu; snapshots asked %llu, on their way %llu; changes of members %llu, joint "
           "entries %llu, transfers %llu, lives of an older version %llu\n",
           U(c->elections), U(c->truncations), U(c->snapshots), U(c->installs), U(c->changes), U(c->joint),
           U(c->transfers), U(c->older));
    printf("kills %llu, power cuts %llu (at a snapshot %llu, all dark %llu), restarts %llu, pauses %llu, threads "
           "switched %llu; links cut %llu, "
           "streams dropped %llu, clock jumps %llu\n",
           U(c->kills), U(c->cuts), U(c->aimed), U(c->darkness), U(c->restarts), U(c->pauses), U(c->switches),
           U(c->links), U(c->resets), U(c->jumps));
    printf(
        "disks full %llu, failing %llu, lost %llu, older copies %llu; bits flipped %llu, writes astray %llu; refusals "
        "%llu, told to be old %llu\n",
        U(c->full), U(c->ill), U(c->wiped), U(c->old), U(c->rot), U(c->astray), U(c->refused), U(c->stale));
}

/* "none", or numbers with commas. */
static bool parse_faults(const char *text)
{
    char *end = (char *)(uintptr_t)text;
    opt.some = true;
    if (strcmp(text, "none") == 0)
        return true;
    for (; opt.n_only < STORY_MOST; text = end + 1) {
        opt.only[opt.n_only++] = (uint32_t)strtoul(text, &end, 10);
        if (end == text || *end != ',')
            break;
    }
    return *end == 0 && end != text;
}

/* A bug of the core or of the shell. */
static void mutate(const char *name)
{
    static const char *const core[] = {"",
#define X(name, text) #name,
                                       RC_MUTANT_LIST(X)
#undef X
    };
    for (int i = 1; i < RC_MUTANT_END; i++)
        if (strcmp(name, core[i]) == 0)
            rc_mutant = (enum rc_mutant)i;
    chronik_mutant = name;
}

/* What a seed's command needs to be the same again. */
static void remember(const char *option, const char *value)
{
    size_t n = strlen(opt.again);
    snprintf(opt.again + n, sizeof opt.again - n, " %s %s", option, value);
}

static bool parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *end = argv[i];
        bool last = i + 1 == argc;
        if (!last &&
            (strcmp(argv[i], "--nodes") == 0 || strcmp(argv[i], "--harm") == 0 || strcmp(argv[i], "--mutant") == 0 ||
             strcmp(argv[i], "--scene") == 0 || strcmp(argv[i], "--switches") == 0))
            remember(argv[i], argv[i + 1]);
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
            opt.scene = quorum_scene(argv[++i], &opt.nodes);
            if (!opt.scene)
                return false;
        } else if (strcmp(argv[i], "--harm") == 0 && i + 1 < argc) {
            opt.harm = harm_named(argv[++i]);
            if (!opt.harm)
                return false;
        } else if (strcmp(argv[i], "--switches") == 0 && i + 1 < argc) {
            opt.switches = (unsigned)strtoul(argv[++i], &end, 10);
            if (*end)
                return false;
        } else if (strcmp(argv[i], "--plain") == 0) {
            opt.plain = true;
        } else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
            opt.rounds = strtoull(argv[++i], &end, 10);
            if (*end)
                return false;
        } else if (strcmp(argv[i], "--faults") == 0 && i + 1 < argc) {
            if (!parse_faults(argv[++i]))
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
            "usage: quorum-sim [--seeds A-B] [--nodes N] [--harm fail|rot|astray|old] [--mutant NAME] [--scene NAME]\n"
            "                  [--rounds N] [--faults none|N,N,...] [--switches PERMILLE] [--plain]\n",
            stderr);
        return 2;
    }
    counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    story = mmap(NULL, sizeof *story, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counts == MAP_FAILED || story == MAP_FAILED)
        return 2;
    if (opt.mutant)
        mutate(opt.mutant);
    faults_limit(opt.rounds, opt.some, opt.only, opt.n_only);
    setvbuf(stdout, NULL, _IOLBF, 0);
    unsigned failed = sim_seeds("quorum", opt.from, opt.to - opt.from + 1, opt.scene ? scene : one);
    print();
    if (failed && !opt.scene && !opt.plain && !opt.rounds && !opt.some) {
        told = true;
        shrink(sim_seeds_failed(), one, story, opt.again);
    }
    printf("seeds %llu-%llu: %u failed\n", U(opt.from), U(opt.to), failed);
    return failed > 0;
}
