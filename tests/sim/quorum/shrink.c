/* shrink.c: a failing seed again, in child processes, with fewer rounds and without some of its faults, as long as it
 * fails alike; then the shortest run found, its faults and the end of its trace. It must never look into the world: it
 * only reads the story that a run leaves behind. */
#include "quorum.h"

#include "tests/sim/complaint.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUN_SECONDS = 60, RUNS_MOST = 250, TRACE_LINES = 40, TRACE_WIDTH = 220 };

static struct {
    uint64_t seed;
    void (*one)(uint64_t seed);
    struct story *story; /* of the last run */
    struct story want;   /* of the run to be shortened, later of the best one */
    unsigned runs;
} s;

/* Runs the seed in a child; its standard error goes to `trace`, NULL: nowhere. True: it fails as was wanted. */
static bool fails(uint64_t rounds, bool some, const uint32_t *only, uint32_t n, FILE *trace)
{
    int status = 0;
    memset(s.story, 0, sizeof *s.story);
    s.runs++;
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(RUN_SECONDS);
        CHECK(freopen("/dev/null", "w", stdout));
        CHECK(trace ? dup2(fileno(trace), STDERR_FILENO) >= 0 : freopen("/dev/null", "w", stderr) != NULL);
        if (trace)
            setenv("CHRONIK_SIM_TRACE", "1", 1);
        faults_limit(rounds, some, only, n);
        s.one(s.seed);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    bool failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    return failed && same_complaint(s.story->why, s.want.why);
}

/* The faults of the best run but [from, from + n). */
static uint32_t without(uint32_t *only, uint32_t from, uint32_t n)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < s.want.n; i++)
        if (i < from || i >= from + n)
            only[k++] = s.want.v[i].number;
    return k;
}

static bool better(uint64_t rounds, const uint32_t *only, uint32_t n)
{
    if (s.runs >= RUNS_MOST || !fails(rounds, true, only, n, NULL))
        return false;
    uint64_t least = s.story->rounds < rounds ? s.story->rounds : rounds;
    s.want = *s.story;
    s.want.rounds = least;
    return true;
}

static void fewer_rounds(void)
{
    static uint32_t only[STORY_MOST];
    uint64_t low = 0;
    while (s.want.rounds - low > 1 && s.runs < RUNS_MOST) {
        uint64_t middle = (low + s.want.rounds) / 2;
        if (!better(middle, only, without(only, 0, 0)))
            low = middle;
    }
}

static void fewer_faults(void)
{
    static uint32_t only[STORY_MOST];
    if (better(s.want.rounds, only, 0))
        return;
    for (uint32_t part = (s.want.n + 1) / 2; part > 0 && s.runs<RUNS_MOST; part = part> 1 ? (part + 1) / 2 : 0)
        for (uint32_t from = 0; from < s.want.n && s.runs < RUNS_MOST;)
            if (!better(s.want.rounds, only, without(only, from, part)))
                from += part;
}

static void print_trace(const uint32_t *only, uint32_t n)
{
    static char lines[TRACE_LINES][TRACE_WIDTH];
    char line[2048];
    unsigned long long k = 0;
    FILE *trace = tmpfile();
    if (!trace)
        return;
    fails(s.want.rounds, true, only, n, trace);
    rewind(trace);
    while (fgets(line, sizeof line, trace))
        snprintf(lines[k++ % TRACE_LINES], TRACE_WIDTH, "%.*s", (int)strcspn(line, "\n"), line);
    fclose(trace);
    printf("  its trace ends with\n");
    for (unsigned long long i = k > TRACE_LINES ? k - TRACE_LINES : 0; i < k; i++)
        printf("    %s\n", lines[i % TRACE_LINES]);
}

void shrink(uint64_t seed, void (*one)(uint64_t seed), struct story *story, const char *options)
{
    static uint32_t only[STORY_MOST];
    s.seed = seed;
    s.one = one;
    s.story = story;
    /* What it dies of, and all that it consists of. */
    fails(0, false, NULL, 0, NULL);
    s.want = *s.story;
    uint32_t all = s.want.n;
    uint64_t rounds = s.want.rounds;
    fewer_rounds();
    fewer_faults();
    fewer_rounds();
    fewer_faults();
    uint32_t n = without(only, 0, 0);
    printf("  of %llu rounds with %u faults these are enough (%u runs tried): %llu rounds, %u faults\n",
           (unsigned long long)rounds, all, s.runs, (unsigned long long)s.want.rounds, n);
    for (uint32_t i = 0; i < n; i++)
        printf("    %8lld ms  fault %u: %s\n", (long long)s.want.v[i].at_ms, s.want.v[i].number, s.want.v[i].text);
    print_trace(only, n);
    printf("  it ends with: %s\n  repeat it: ./dev sim raft --seeds %llu%s --rounds %llu --faults ",
           s.want.why[0] ? s.want.why : "a failed assertion", (unsigned long long)seed, options,
           (unsigned long long)s.want.rounds);
    for (uint32_t i = 0; i < n; i++)
        printf("%s%u", i ? "," : "", s.want.v[i].number);
    printf("%s\n", n ? "" : "none");
}
