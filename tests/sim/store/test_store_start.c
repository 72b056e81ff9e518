/* test_store_start.c: a start after a start: the process dies inside each single disk operation of a checkpoint, starts
 * again and acknowledges more, then the power fails. What the first start trusts must be out of a power cut's reach.
 *
 *   test_store_start [SEEDS [MUTANT]]     CHRONIK_SIM_SEED=n repeats one seed in this process; several for each
 * operation */
#include <config.h>

#include "tests/sim/sim.h"
#include "tests/unit/store/storerig.h"

#include <stdio.h>
#include <stdlib.h>

const char *chronik_mutant = "";

enum { OPS = 24, BATCH = 900, ROLLED = 1000000 };

static struct sim_world *world;
static struct os *node;
static struct rig rig;
static int64_t acked;

#define FAIL(...)                                                                                                      \
    do {                                                                                                               \
        fprintf(stderr, "seed %llu: ", (unsigned long long)sim_seed(world));                                           \
        fprintf(stderr, __VA_ARGS__);                                                                                  \
        fputc('\n', stderr);                                                                                           \
        exit(1);                                                                                                       \
    } while (0)

static void start(void)
{
    int32_t rc = rig_start(&rig);
    if (rc < 0)
        FAIL("the start was refused: %s", rig.text);
    rc = rig_open(&rig, 0, CHRONIK_STORE_CREATE);
    if (rc < 0)
        FAIL("the partition cannot be opened: %d", rc);
    if (rig.parts[0].end < acked)
        FAIL("the log ends at %lld, acknowledged were %lld", (long long)rig.parts[0].end, (long long)acked);
    int64_t end = rig_verify(&rig, 0);
    if (end < acked)
        FAIL("what was acknowledged reads back to %lld of %lld: %s", (long long)end, (long long)acked, rig.text);
}

static void fill(int n)
{
    for (int i = 0; i < n; i++) {
        int32_t rc = rig_append(&rig, 0, BATCH, 1, 0, CHRONIK_FLUSH_GROUP);
        if (rc < 0)
            FAIL("append failed: %d", rc);
        if (i % 3 == 0)
            rig_wait_durable(&rig, 0);
    }
    rig_wait_durable(&rig, 0);
    acked = rig.parts[0].durable;
}

/* A checkpoint, in one of whose operations the process dies. */
static void first_life(void *arg)
{
    const uint64_t *op = arg;
    struct testhost_wait w;
    start();
    fill(30);
    sim_kill_at(node, sim_io_count(node) + *op);
    testhost_result(&w, rig.ops->flush(rig.s, testhost_done(&rig.th, &w)));
}

/* Files of the log in front of the checkpoint are used again. */
static void second_life(void *arg)
{
    start();
    fill(30);
}

static void last_life(void *arg)
{
    start();
    rig_stop(&rig);
}

static void one(uint64_t seed)
{
    uint64_t op = 1 + seed % OPS;
    world = sim_world_new(seed);
    node = sim_node(world, "n1");
    rig_init(&rig, node, "d");
    sim_disk_settle(node);
    rig.th.quiet = true;
    testhost_set(&rig.th, "chronik.store-wal.wal.first.file.bytes", 4096, NULL);
    testhost_set(&rig.th, "chronik.store-wal.wal.file.bytes", 8192, NULL);
    testhost_set(&rig.th, "chronik.store-wal.checkpoint.ms", 3600000, NULL);
    acked = 0;
    if (sim_call(node, first_life, &op))
        sim_kill(node);
    sim_kill_at(node, 0);
    sim_restart(node);
    if (!sim_call(node, second_life, NULL))
        FAIL("the second life died with %d", sim_exit_code(node));
    sim_power_cut(node);
    sim_restart(node);
    if (!sim_call(node, last_life, NULL))
        FAIL("the last life died with %d", sim_exit_code(node));
    sim_world_free(world);
}

/* Rolls, with checkpoints that trim what lies in front of them while the first group of a new file is on its way. */
static void rolling_life(void *arg)
{
    static struct testhost_wait w[16];
    start();
    for (int i = 0; i < 80; i++) {
        if (rig_append(&rig, 0, BATCH + (uint32_t)sim_rand(world, 3000), 1, 0, CHRONIK_FLUSH_GROUP) < 0)
            return;
        acked = rig.parts[0].durable;
        if (i % 5 == 4)
            rig.ops->flush(rig.s, testhost_done(&rig.th, &w[i / 5]));
        struct os_flag f = {0};
        os_flag_wait(node, &f, (int64_t)sim_rand(world, 15000000));
        acked = rig.parts[0].durable;
    }
}

static void rolled(uint64_t seed)
{
    world = sim_world_new(seed);
    node = sim_node(world, "n1");
    rig_init(&rig, node, "d");
    sim_disk_settle(node);
    sim_disk_tear(node, 500);
    sim_disk_latency(node, 50 * SIM_US, 20 * SIM_MS);
    rig.th.quiet = true;
    testhost_set(&rig.th, "chronik.store-wal.wal.first.file.bytes", 4096, NULL);
    testhost_set(&rig.th, "chronik.store-wal.wal.file.bytes", 16384 << seed % 6, NULL);
    testhost_set(&rig.th, "chronik.store-wal.checkpoint.ms", 3600000, NULL);
    acked = 0;
    sim_cut_at(node, 20 + sim_rand(world, 400));
    if (sim_call(node, rolling_life, NULL))
        sim_power_cut(node);
    sim_cut_at(node, 0);
    sim_restart(node);
    if (!sim_call(node, last_life, NULL))
        FAIL("the last life died with %d", sim_exit_code(node));
    sim_world_free(world);
}

static void any(uint64_t seed)
{
    if (seed < ROLLED)
        one(seed);
    else
        rolled(seed);
}

int main(int argc, char **argv)
{
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : getenv("CHRONIK_TEST_LONG") ? 40 * OPS : 8 * OPS;
    chronik_mutant = argc > 2 ? argv[2] : "";
    unsigned failed = sim_seeds("test_store_start", 1, seeds, any);
    failed += sim_seeds("test_store_start", ROLLED, seeds * 4, any);
    printf("%s %llu deaths inside a checkpoint, each with a start and a power cut behind it, and 4 times as many power "
           "cuts in a rolling log: %s\n",
           chronik_mutant, (unsigned long long)seeds, failed ? "FAILED" : "ok");
    return failed != 0;
}
