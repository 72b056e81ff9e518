/* test_stages.c: the pipeline of meta-raft with each stage stopped on purpose, in the virtual world: within two seconds
 * status names the stage, the entry and what it waits for, and whether a restart would help; when the stage goes on,
 * the sentence is gone and what waited is done. */
#include "plugin/host.h"
#include "plugins/meta-raft/core/mutants.h"
#include "plugins/meta-raft/raft.h"
#include "tests/sim/sim.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

const struct chronik_plugin *meta_raft_plugin(void);
const char *chronik_mutant = "";
enum rc_mutant rc_mutant;

struct node {
    struct os *os;
    struct plugin_host *host;
    struct chronik_host table; /* the module's, with the calls that a test stops */
    struct os_exec *os_exec;
    struct chronik_exec *exec;
    chronik_meta *m;
    uint32_t id, role, commands, done;
};

static struct sim_world *w;
static struct node nodes[3];
static int n_nodes;
static bool hold_disk, hold_apply, hold_executor;
static struct chronik_file_op *held_op;
static struct chronik_exec *held_exec;
static struct chronik_task *held_task;
static void (*real_submit)(struct chronik_exec *e, struct chronik_file_op *op);
static void (*real_post)(struct chronik_exec *e, struct chronik_task *t);

static const struct chronik_meta_ops *ops(void)
{
    return meta_raft_plugin()->ops;
}

/* ---- the calls that can be stopped ---- */

static void submit(struct chronik_exec *e, struct chronik_file_op *op)
{
    if (hold_disk) {
        held_exec = e;
        held_op = op;
    } else {
        real_submit(e, op);
    }
}

static void post(struct chronik_exec *e, struct chronik_task *t)
{
    if (hold_executor && e == nodes[0].m->exec)
        held_task = t;
    else
        real_post(e, t);
}

/* ---- nodes ---- */

static int32_t get_i64(void *arg, const char *key, int64_t *out)
{
    *out = strcmp(key, "controller.quorum.election.timeout.ms") == 0 ? 20000 : 1 << 20;
    return strncmp(key, "chronik.", 8) == 0 || *out == 20000 ? CHRONIK_DONE : CHRONIK_E_NOTFOUND;
}

static int32_t get_str(void *arg, const char *key, const char **out)
{
    *out = "1@n1:9093,2@n2:9093,3@n3:9093";
    return n_nodes == 3 && strcmp(key, "controller.quorum.voters") == 0 ? CHRONIK_DONE : CHRONIK_E_NOTFOUND;
}

static void on_dir_failed(void *arg, uint32_t dir, const char *text)
{
}

static void on_fatal(void *arg, int32_t code, const char *text)
{
    ck_abort_msg("%s", text);
}

static void on_apply(void *arg, uint64_t epoch, const struct chronik_meta_entry *e, uint32_t n, uint32_t stride)
{
    struct node *x = arg;
    x->commands += n;
    if (!hold_apply)
        ops()->applied(x->m, e[n - 1].pos);
}

static int32_t on_install(void *arg, const struct chronik_meta_snapshot *s)
{
    return CHRONIK_E_FAILED;
}

static int32_t on_chunk(void *arg, const void *p, uint64_t n)
{
    return CHRONIK_E_FAILED;
}

static int32_t on_install_end(void *arg, uint32_t ok)
{
    return CHRONIK_E_FAILED;
}

static void on_role(void *arg, uint32_t role, uint64_t epoch, int32_t leader)
{
    ((struct node *)arg)->role = role;
}

static void on_caught_up(void *arg)
{
}

static void on_want_snapshot(void *arg, uint64_t bytes)
{
}

static void on_failed(void *arg, int32_t code, const char *text)
{
    ck_abort_msg("%s", text);
}

static void nothing(void *arg, int32_t rc)
{
}

static void start_node(void *arg)
{
    struct node *x = arg;
    struct plugin_dir_config dir = {.path = "/", .id = {{(uint8_t)x->id}}, .online = true};
    struct plugin_host_config cfg = {.os = x->os,
                                     .module = "meta-raft",
                                     .settings = {x, get_i64, get_str},
                                     .dirs = &dir,
                                     .n_dirs = 1,
                                     .arg = x,
                                     .dir_failed = on_dir_failed,
                                     .fatal = on_fatal};
    ck_assert_int_gt(plugin_host_new(&cfg, &x->host), 0);
    x->table = *plugin_host_table(x->host);
    real_submit = x->table.file_submit;
    real_post = x->table.exec_post;
    if (x->id == 1) {
        x->table.file_submit = submit;
        x->table.exec_post = post;
    }
    ck_assert_int_gt(os_exec_open(x->os, "apply", 0, &x->os_exec), 0);
    x->exec = plugin_host_exec(x->host, x->os_exec);
    struct chronik_meta_config mc = {.size = sizeof mc, .node_id = x->id, .apply_exec = x->exec};
    struct chronik_meta_events ev = {.size = sizeof ev,
                                     .arg = x,
                                     .apply = on_apply,
                                     .install_begin = on_install,
                                     .install_chunk = on_chunk,
                                     .install_end = on_install_end,
                                     .role = on_role,
                                     .caught_up = on_caught_up,
                                     .want_snapshot = on_want_snapshot,
                                     .failed = on_failed};
    ck_assert_int_gt(ops()->create(&x->table, &mc, &ev, &x->m), 0);
    ck_assert_int_eq(ops()->start(x->m, (struct chronik_meta_pos){0, 0}, 0, (struct chronik_done){nothing, x}), 0);
}

static struct node *lead;

/* Runs until somebody leads. */
static bool leads(void *arg)
{
    for (int i = 0; i < n_nodes; i++)
        if (nodes[i].role == CHRONIK_META_ROLE_LEADER)
            lead = &nodes[i];
    return lead != NULL;
}

static void begin(uint64_t seed, int n)
{
    w = sim_world_new(seed);
    n_nodes = n;
    lead = NULL;
    memset(nodes, 0, sizeof nodes);
    hold_disk = hold_apply = hold_executor = false;
    held_op = NULL;
    held_task = NULL;
    for (int i = 0; i < n; i++) {
        char name[8];
        snprintf(name, sizeof name, "n%d", i + 1);
        nodes[i] = (struct node){.os = sim_node(w, name), .id = (uint32_t)i + 1};
    }
    for (int i = 0; i < n; i++)
        ck_assert(sim_call(nodes[i].os, start_node, &nodes[i]));
    ck_assert_int_eq(sim_run(w, sim_now(w) + 60 * SIM_S, 0, leads, NULL), SIM_TRUE);
    sim_run_for(w, SIM_S);
    lead = NULL; /* the first reign may have been short */
    ck_assert(leads(NULL));
}

static void proposed(void *arg, int32_t rc)
{
    ck_assert_int_eq(rc, CHRONIK_DONE);
    ((struct node *)arg)->done++;
}

static void propose(void *arg)
{
    struct node *x = arg;
    struct chronik_iov iov = {(char *)(uintptr_t) "command", 7};
    ck_assert_int_eq(ops()->propose(x->m, CHRONIK_META_CLIENT, &iov, 1, (struct chronik_done){proposed, x}), 0);
}

static struct chronik_meta_status look;

static void look_at(void *arg)
{
    struct node *x = arg;
    look = (struct chronik_meta_status){.size = sizeof look};
    ops()->status(x->m, &look);
}

/* Time passes, though nothing may be left to do. */
static void doze(void *arg)
{
    struct os_flag never = {0};
    os_flag_wait(lead->os, &never, *(int64_t *)arg);
}

static void pass(int64_t ns)
{
    ck_assert(sim_call(lead->os, doze, &ns));
}

/* One command, two seconds: the sentence has both words. */
static void stalls(const char *stage, const char *waits, uint32_t kind)
{
    ck_assert(sim_call(lead->os, propose, lead));
    pass(2 * SIM_S);
    ck_assert(sim_call(lead->os, look_at, lead));
    ck_assert_msg(look.stalled && strstr(look.stalled, stage) && strstr(look.stalled, waits), "status says: %s",
                  look.stalled ? look.stalled : "(nothing)");
    ck_assert_uint_eq(look.stall, kind);
}

static void goes_on(void)
{
    pass(3 * SIM_S);
    ck_assert(sim_call(lead->os, look_at, lead));
    ck_assert_msg(!look.stalled, "status still says: %s", look.stalled);
    ck_assert_uint_eq(look.applied, look.proposed);
    ck_assert_uint_eq(lead->commands, 1);
    ck_assert_uint_eq(lead->done, 1);
    sim_world_free(w);
}

static void release_disk(void *arg)
{
    hold_disk = false;
    if (held_op)
        real_submit(held_exec, held_op);
}

static void release_executor(void *arg)
{
    hold_executor = false;
    if (held_task)
        real_post(nodes[0].m->exec, held_task);
}

static void acknowledge(void *arg)
{
    hold_apply = false;
    ops()->applied(nodes[0].m, (struct chronik_meta_pos){look.epoch, look.committed});
}

static void persisting(uint64_t seed)
{
    begin(seed, 1);
    hold_disk = true;
    stalls("persisting stands still at entry", "the sync of the log", CHRONIK_META_STALL_OUTSIDE);
    ck_assert(sim_call(nodes[0].os, release_disk, NULL));
    goes_on();
}

static void applying(uint64_t seed)
{
    begin(seed, 1);
    hold_apply = true;
    stalls("applying stands still at entry", "meta-apply", CHRONIK_META_STALL_INSIDE);
    ck_assert(sim_call(nodes[0].os, acknowledge, NULL));
    goes_on();
}

static void proposing(uint64_t seed)
{
    begin(seed, 1);
    hold_executor = true;
    stalls("proposing stands still behind entry", "thread meta-raft", CHRONIK_META_STALL_INSIDE);
    ck_assert(sim_call(nodes[0].os, release_executor, NULL));
    goes_on();
}

static void committing(uint64_t seed)
{
    begin(seed, 3);
    sim_net_isolate(lead->os, true);
    stalls("committing stands still at entry", "voters that have not acknowledged", CHRONIK_META_STALL_OUTSIDE);
    sim_net_isolate(lead->os, false);
    goes_on();
}

static void (*const stage[])(uint64_t) = {persisting, applying, proposing, committing};
static const char *const names[] = {"persisting", "applying", "proposing", "committing"};

START_TEST(s2_s6_a_stage_that_stands_still_is_named_within_two_seconds_and_goes_on)
{
    ck_assert_uint_eq(sim_seeds(names[_i], 1, 20, stage[_i]), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stages of meta-raft");
    TCase *t = tcase_create("stalls");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, s2_s6_a_stage_that_stands_still_is_named_within_two_seconds_and_goes_on, 0, 4);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
