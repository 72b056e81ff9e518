/* raft-sim: runs seeds of the simulation of the Raft core and prints what they exercised; a failing seed prints the
 * command that repeats it. It must never depend on anything but its arguments. Exit code: 0 all held, 1 a seed failed,
 * 2 bad usage. */
#include "sim.h"
#include "tests/sim/complaint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define U(v) ((unsigned long long)(v))

#ifdef RC_MUTANTS
#include "plugins/meta-raft/core/mutants.h"

enum rc_mutant rc_mutant;

/* Each mutant gets seeds until one of them breaks. */
static int hunt(struct world *w, uint64_t from, uint64_t to, uint64_t steps, const char *only)
{
    static const struct {
        const char *name, *text;
    } mutants[] = {{"", ""},
#define X(name, text) {#name, text},
                   RC_MUTANT_LIST(X)
#undef X
    };
    unsigned alive = 0;

    for (int m = 1; m < RC_MUTANT_END; m++) {
        uint64_t seed = from;
        bool broken = false;

        if (only != NULL && strcmp(only, mutants[m].name) != 0) {
            continue;
        }
        rc_mutant = (enum rc_mutant)m;
        for (; seed <= to && !broken; seed++) {
            broken = !sim_run(w, seed, steps, NULL);
            if (broken) {
                printf("KILLED %s (%s): seed %llu of %llu: %s\n", mutants[m].name, mutants[m].text, U(seed), U(to),
                       w->why);
            }
            world_free(w);
        }
        if (!broken) {
            printf("ALIVE  %s (%s) after %llu seeds\n", mutants[m].name, mutants[m].text, U(to - from + 1));
            alive++;
        }
    }
    printf("%u mutants alive\n", alive);
    return alive > 0 ? 1 : 0;
}
#endif

#ifndef RC_MUTANTS
static void add(struct counts *sum, const struct counts *one)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)one;

    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++) {
        to[i] += from[i];
    }
}

static void print(const struct counts *c)
{
    printf(
        "steps %llu, elections %llu, proposals %llu (acknowledged %llu, refused %llu), reads %llu, truncations %llu\n",
        U(c->steps), U(c->elections), U(c->proposals), U(c->acknowledged), U(c->refused), U(c->reads),
        U(c->truncations));
    printf("snapshots taken %llu, sent %llu, installed %llu; crashes %llu (torn writes %llu); messages lost %llu, "
           "repeated %llu; "
           "partitions %llu\n",
           U(c->snapshots_taken), U(c->snapshots_sent), U(c->installed), U(c->crashes), U(c->torn), U(c->lost),
           U(c->repeated), U(c->partitions));
    printf(
        "configuration changes applied %llu (joint %llu), transfers asked %llu, leaders forgotten %llu, short reigns "
        "%llu\n",
        U(c->changes), U(c->joint), U(c->transfers), U(c->forgets), U(c->reigns));
}

/* After a failure: where each replica stands. */
static void print_replicas(const struct world *w)
{
    for (int i = 0; i < WORLD_NODES; i++) {
        const struct node *n = &w->nodes[i];
        struct rc_peer peers[RC_MAX_MEMBERS];
        struct rc_status st;
        char conf[256];

        if (!n->exists || !n->alive) {
            continue;
        }
        rc_status(n->rc, &st);
        printf("  %llu: role %d term %llu lead %llu first %llu applied %llu handed %llu commit %llu persisted %llu "
               "last %llu, "
               "writes %u jobs %u, %s\n",
               U(n->id), st.role, U(st.term), U(st.lead), U(st.first), U(st.applied), U(st.handed), U(st.commit),
               U(st.persisted), U(st.last), n->n_writes, n->n_jobs, rc_conf_text(&st.conf, conf, sizeof conf));
        for (uint32_t k = 0; st.role == RC_LEADER && k < rc_peers(n->rc, peers, RC_MAX_MEMBERS); k++) {
            printf("     %llu: flow %d match %llu next %llu%s%s inflight %u%s\n", U(peers[k].id), peers[k].flow,
                   U(peers[k].match), U(peers[k].next), peers[k].paused ? " paused" : "",
                   peers[k].active ? "" : " silent", peers[k].inflight, peers[k].full ? " full" : "");
        }
    }
}

#endif

struct options {
    uint64_t from, to, steps;
    bool verbose;
    const char *mutant;
};

static bool parse(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        char *end;

        if (strcmp(argv[i], "--verbose") == 0) {
            o->verbose = true;
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
            o->from = o->to = strtoull(argv[++i], &end, 10);
            if (*end == '-') {
                o->to = strtoull(end + 1, &end, 10);
            }
            if (*end != '\0' || o->to < o->from) {
                return false;
            }
        } else if (strcmp(argv[i], "--steps") == 0 && i + 1 < argc) {
            o->steps = strtoull(argv[++i], &end, 10);
            if (*end != '\0') {
                return false;
            }
        } else if (strcmp(argv[i], "--mutant") == 0 && i + 1 < argc) {
            o->mutant = argv[++i];
        } else {
            return false;
        }
    }
    return true;
}

#ifndef RC_MUTANTS
static void print_line(const char *line)
{
    puts(line);
}

static struct {
    char line[100][256];
    unsigned long long n;
} last;

static void keep_line(const char *line)
{
    snprintf(last.line[last.n++ % 100], sizeof last.line[0], "%s", line);
}

/* The shortest run that ends with the same complaint, among this seed and the first few hundred; then its end. */
static void minimise(struct world *w, uint64_t seed, uint64_t steps, const char *why)
{
    uint64_t best = seed, best_steps = steps;

    for (uint64_t at = 50; at < best_steps; at *= 2) {
        for (uint64_t s = 0; s <= 400 && best_steps > at; s++) {
            uint64_t candidate = s == 0 ? seed : s;

            if (!sim_run(w, candidate, at, NULL) && same_complaint(w->why, why)) {
                best = candidate;
                best_steps = at;
            }
            world_free(w);
        }
    }
    last.n = 0;
    sim_run(w, best, best_steps, keep_line);
    printf("  shortest run found: ./dev sim core --seeds %llu --steps %llu --verbose; it ends with\n", U(best),
           U(best_steps));
    for (unsigned long long i = last.n > 100 ? last.n - 100 : 0; i < last.n; i++) {
        printf("    %s\n", last.line[i % 100]);
    }
    printf("    %8llu   %s\n", U(w->counts.steps), w->why);
    print_replicas(w);
    world_free(w);
}

static int survey(struct world *w, const struct options *o)
{
    struct counts sum = {0};
    unsigned failed = 0;

    for (uint64_t seed = o->from; seed <= o->to && failed < 5; seed++) {
        bool held = sim_run(w, seed, o->steps, o->verbose ? print_line : NULL);
        char why[sizeof w->why];

        add(&sum, &w->counts);
        snprintf(why, sizeof why, "%s", w->why);
        if (!held) {
            printf("FAIL seed %llu, step %llu: %s\n  repeat: ./dev sim core --seeds %llu --steps %llu --verbose\n",
                   U(seed), U(w->counts.steps), why, U(seed), U(o->steps));
            failed++;
        }
        world_free(w);
        if (!held && failed == 1) {
            minimise(w, seed, o->steps, why);
        }
    }
    print(&sum);
    printf("seeds %llu-%llu: %u failed\n", U(o->from), U(o->to), failed);
    return failed > 0 ? 1 : 0;
}

#endif

int main(int argc, char **argv)
{
    struct options o = {.from = 1, .to = 100, .steps = 6000};
    struct world *w = malloc(sizeof *w);
    int result;

    if (w == NULL || !parse(argc, argv, &o)) {
        fputs("usage: raft-sim [--seeds A-B] [--steps N] [--verbose] [--mutant NAME (test build)]\n", stderr);
        free(w);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
#ifdef RC_MUTANTS
    result = hunt(w, o.from, o.to, o.steps, o.mutant);
#else
    result = o.mutant != NULL ? 2 : survey(w, &o);
#endif
    free(w);
    return result;
}
