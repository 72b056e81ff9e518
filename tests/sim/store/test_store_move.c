/* test_store_move.c: partitions move to and fro between two data directories while they are written, cut, rolled and
 * deleted, and power fails or the process dies inside any disk operation of it. After each death each partition is
 * there once, with everything that was acknowledged; once moves are over, no folder is left but those of the
 * partitions.
 *
 *   test_store_move [SEEDS [MUTANT]]     CHRONIK_SIM_SEED=n repeats one seed in this process */
#include <config.h>

#include "tests/sim/sim.h"
#include "tests/unit/store/storerig.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

const char *chronik_mutant = "";

enum { PARTS = 3, LIVES = 5, OS_PART = 2, MOST = 4000 };

struct model {
    uint32_t sizes[MOST]; /* of batches: one record each, so an index is an offset */
    int64_t end, acked, os_acked, cut_maybe, start, start_maybe;
    bool moving, busy;
    uint32_t to;
};

struct shared {
    _Atomic uint64_t deaths, moves, refused;
};

static struct sim_world *world;
static struct os *node;
static struct rig rig;
static struct model model[PARTS];
static struct testhost_wait waits[PARTS];
static struct shared *shared;
static bool by_power;

#define FAIL(...)                                                                                                      \
    do {                                                                                                               \
        fprintf(stderr, "seed %llu: ", (unsigned long long)sim_seed(world));                                           \
        fprintf(stderr, __VA_ARGS__);                                                                                  \
        fputc('\n', stderr);                                                                                           \
        exit(1);                                                                                                       \
    } while (0)

static void append(int part)
{
    struct model *m = &model[part];
    uint32_t bytes = 70 + (uint32_t)sim_rand(world, sim_rand(world, 10) ? 600 : 20000);
    if (m->end == MOST)
        return;
    m->sizes[m->end++] = bytes; /* from here on it may appear */
    int32_t rc = rig_append(&rig, part, bytes, 1, 0, part == OS_PART ? CHRONIK_FLUSH_OS : CHRONIK_FLUSH_GROUP);
    if (rc == CHRONIK_E_BUSY)
        m->end--;
    else if (rc < 0)
        FAIL("append to %d: %d", part, rc);
    else if (part == OS_PART)
        m->os_acked = m->end;
}

static void acks(void)
{
    for (int i = 0; i < PARTS; i++)
        if (rig.parts[i].durable > model[i].acked)
            model[i].acked = rig.parts[i].durable;
}

static uint32_t dir_of(int part)
{
    struct chronik_part_stat st = {.size = sizeof st};
    rig.ops->stat(rig.parts[part].p, &st);
    return st.dir;
}

static void move_begin(int part)
{
    struct model *m = &model[part];
    if (m->moving)
        return;
    m->to = !dir_of(part);
    struct chronik_done done = testhost_done(&rig.th, &waits[part]);
    int32_t rc = rig.ops->part_move(rig.parts[part].p, m->to, done);
    if (rc != CHRONIK_PENDING)
        FAIL("move of %d: %d", part, rc);
    m->moving = true;
}

static void move_end(int part)
{
    struct model *m = &model[part];
    if (!m->moving)
        return;
    int32_t rc = testhost_result(&waits[part], CHRONIK_PENDING);
    m->moving = false;
    if (rc < 0 || dir_of(part) != m->to)
        FAIL("move of %d to %u ended with %d in %u", part, m->to, rc, dir_of(part));
    atomic_fetch_add(&shared->moves, 1);
}

static void cut(int part)
{
    struct model *m = &model[part];
    struct testhost_wait w;
    int64_t to = m->end - (int64_t)sim_rand(world, 5);
    if (to <= m->start || to >= m->end)
        return;
    m->cut_maybe = to;
    struct chronik_done done = testhost_done(&rig.th, &w);
    int32_t rc = testhost_result(&w, rig.ops->truncate_suffix(rig.parts[part].p, to, done));
    acks();
    if (rc == CHRONIK_E_BUSY) {
        atomic_fetch_add(&shared->refused, 1);
    } else if (rc < 0) {
        FAIL("cut of %d: %d", part, rc);
    } else {
        m->end = rig.parts[part].end = to;
        m->acked = m->acked < to ? m->acked : to;
        m->os_acked = m->os_acked < to ? m->os_acked : to;
        rig.parts[part].durable = m->acked;
    }
    m->cut_maybe = -1;
}

static void trim(int part)
{
    struct model *m = &model[part];
    struct testhost_wait w;
    if (m->end - m->start < 40)
        return;
    m->start_maybe = m->start + 1 + (int64_t)sim_rand(world, 30);
    struct chronik_done done = testhost_done(&rig.th, &w);
    int32_t rc = testhost_result(&w, rig.ops->truncate_prefix(rig.parts[part].p, m->start_maybe, done));
    if (rc == CHRONIK_E_BUSY)
        m->start_maybe = m->start;
    else if (rc < 0)
        FAIL("trim of %d: %d", part, rc);
    m->start = m->start_maybe;
}

/* ---- after a death ---- */

struct check {
    int part;
    int64_t at;
};

static bool each(void *arg, const uint8_t *p, uint64_t n)
{
    struct check *c = arg;
    int64_t next;
    uint64_t bytes;
    const struct model *m = &model[c->part];
    if (c->at >= m->end || n != m->sizes[c->at] || !rig_batch_check(p, n, c->part, c->at, 0, &next, &bytes))
        FAIL("partition %d: at %lld stands what was not appended there", c->part, (long long)c->at);
    c->at = next;
    return true;
}

static void part_check(int part)
{
    struct model *m = &model[part];
    struct chronik_part_stat st = {.size = sizeof st};
    int32_t rc = rig_open(&rig, part, CHRONIK_STORE_CREATE);
    if (rc < 0)
        FAIL("partition %d cannot be opened: %d", part, rc);
    rig.ops->stat(rig.parts[part].p, &st);
    int64_t least = !by_power && m->os_acked > m->acked ? m->os_acked : m->acked;
    if (!(m->cut_maybe >= 0 && st.written == m->cut_maybe) && (st.written < least || st.written > m->end))
        FAIL("partition %d ends at %lld; promised %lld, appended %lld", part, (long long)st.written, (long long)least,
             (long long)m->end);
    if (st.log_start != m->start && st.log_start != m->start_maybe)
        FAIL("partition %d begins at %lld", part, (long long)st.log_start);
    m->start = m->start_maybe = st.log_start;
    struct check c = {part, st.log_start};
    if (rig_read(&rig, part, st.log_start, st.written, each, &c) != st.written || c.at != st.written)
        FAIL("partition %d: read to %lld of %lld: %s", part, (long long)c.at, (long long)st.written,
             rig.parts[part].text);
    m->end = m->acked = m->os_acked = st.written;
    m->cut_maybe = -1;
    m->moving = false;
}

static void count_each(void *arg, const struct chronik_part_id *id)
{
    ++*(int *)arg;
}

static void folder_each(void *arg, const char *name, bool is_dir)
{
    sim_note(world, "folder %s", name);
    *(int *)arg += is_dir && !strstr(name, ".lost"); /* put aside: a creation that nobody was told of */
}

/* Once all is done: one folder a partition, in one of the directories. */
static void folders_check(void)
{
    int folders = 0;
    struct testhost_wait w;
    struct os_flag f = {0};
    for (int i = 0; i < 3; i++) {
        struct chronik_done done = testhost_done(&rig.th, &w);
        testhost_result(&w, rig.ops->flush(rig.s, done));
        os_flag_wait(node, &f, SIM_S);
    }
    os_list(node, "d/data", folder_each, &folders);
    os_list(node, "e/data", folder_each, &folders);
    if (folders > PARTS)
        FAIL("%d folders for %d partitions", folders, PARTS);
}

static void step(void)
{
    int part = (int)sim_rand(world, PARTS);
    uint64_t what = sim_rand(world, 100);
    acks();
    if (what < 70)
        append(part);
    else if (what < 76)
        move_begin(part);
    else if (what < 80)
        move_end(part);
    else if (what < 84)
        cut(part);
    else if (what < 86)
        trim(part);
    else if (what < 89)
        rig.ops->roll(rig.parts[part].p);
    else if (what < 94 && part != OS_PART)
        rig_wait_durable(&rig, part);
    else {
        struct os_flag f = {0};
        os_flag_wait(node, &f, (int64_t)sim_rand(world, 10 * SIM_MS));
    }
    acks();
}

static void life(void *arg)
{
    bool last = *(bool *)arg;
    int n = 0;
    int32_t rc = rig_start(&rig);
    if (rc < 0)
        FAIL("the start was refused: %s", rig.text);
    rig.ops->list(rig.s, count_each, &n);
    if (n > PARTS)
        FAIL("%d partitions are listed", n);
    for (int i = 0; i < PARTS; i++)
        part_check(i);
    by_power = false;
    int steps = 20 + (int)sim_rand(world, 250);
    for (int i = 0; i < steps; i++)
        step();
    if (!last)
        return;
    for (int i = 0; i < PARTS; i++)
        move_end(i);
    folders_check();
    rig_stop(&rig);
}

static void one(uint64_t seed)
{
    world = sim_world_new(seed);
    node = sim_node(world, "n1");
    rig_init(&rig, node, "d");
    testhost_dir(&rig.th, "e");
    sim_disk_settle(node);
    rig.th.quiet = true;
    testhost_set(&rig.th, "chronik.store-wal.segment.max.bytes", 20000, NULL);
    testhost_set(&rig.th, "chronik.store-wal.wal.first.file.bytes", 8192, NULL);
    testhost_set(&rig.th, "chronik.store-wal.wal.file.bytes", 32768, NULL);
    testhost_set(&rig.th, "chronik.store-wal.checkpoint.bytes", 30000, NULL);
    testhost_set(&rig.th, "chronik.store-wal.checkpoint.ms", 300, NULL);
    memset(model, 0, sizeof model);
    for (int i = 0; i < PARTS; i++)
        model[i].cut_maybe = -1;
    bool last = false;
    for (int n = 0; n < LIVES; n++) {
        bool kill = sim_rand(world, 3) == 0;
        uint64_t at = sim_io_count(node) + 1 + sim_rand(world, sim_rand(world, 3) ? 900 : 60);
        if (kill)
            sim_kill_at(node, at);
        else
            sim_cut_at(node, at);
        bool survived = sim_call(node, life, &last);
        for (int i = 0; i < PARTS; i++) /* what was announced just before counts */
            if (rig.parts[i].durable > model[i].acked && model[i].cut_maybe < 0)
                model[i].acked = rig.parts[i].durable;
        if (survived && kill)
            sim_kill(node);
        else if (survived)
            sim_power_cut(node);
        by_power |= !kill;
        atomic_fetch_add(&shared->deaths, 1);
        sim_cut_at(node, 0);
        sim_kill_at(node, 0);
        sim_restart(node);
    }
    last = true;
    if (!sim_call(node, life, &last))
        FAIL("the last life died with %d", sim_exit_code(node));
    sim_world_free(world);
}

int main(int argc, char **argv)
{
    uint64_t seeds = argc > 1                       ? strtoull(argv[1], NULL, 10)
                     : getenv("CHRONIK_TEST_LONG")  ? 2000
                     : getenv("CHRONIK_TEST_SHORT") ? 40
                                                    : 300;
    chronik_mutant = argc > 2 ? argv[2] : "";
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 2;
    unsigned failed = sim_seeds("test_store_move", 1, seeds, one);
    printf("%s %llu deaths, %llu moves ended, %llu cuts refused meanwhile: %s\n", chronik_mutant,
           (unsigned long long)shared->deaths, (unsigned long long)shared->moves, (unsigned long long)shared->refused,
           failed ? "FAILED" : "ok");
    return failed != 0;
}
