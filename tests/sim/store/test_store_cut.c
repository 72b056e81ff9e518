/* test_store_cut.c: power fails, or the process dies, inside any write of store-wal: log, segment, checkpoint,
 * manifest, sidecar, recovery. After each death a model of what was acknowledged is compared with what the store gives
 * back: every acknowledged batch is there, in order, once, byte for byte; nothing else but what was appended stands
 * behind it.
 *
 *   test_store_cut [SEEDS [MUTANT [FROM]]]     CHRONIK_SIM_SEED=n repeats one seed in this process
 *
 * The long tier (CHRONIK_TEST_LONG) makes more than 10,000 cuts. mutants.sh beside it shows that each named fault of
 * the code, and two of the disk, make this test fail. */
#include <config.h>

#include "tests/sim/sim.h"
#include "tests/unit/store/storerig.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

const char *chronik_mutant = "";

enum { PARTS = 4, LIVES = 6, MAX_BATCHES = 6000, OS_PART = 3, MIXED_PART = 2, SIDE_MAX = 64 };

struct mbatch {
    int64_t base, end;
    uint32_t salt, bytes;
};

struct mside {
    int64_t offset;
    uint32_t value;
};

/* What the world outside the node knows of a partition. */
struct model {
    bool exists, maybe_gone; /* a delete, or a creation, was under way */
    int64_t start, start_maybe;
    int64_t acked;      /* everything below is promised */
    int64_t cut_maybe;  /* a truncation to this offset was under way, -1 none */
    int64_t written_os; /* everything below survives the death of the process, -1: nothing but `acked` */
    struct mbatch b[MAX_BATCHES];
    int n;
    struct mside side[SIDE_MAX];
    int n_side;
};

struct shared { /* across the children of sim_seeds */
    _Atomic uint64_t cuts, kills, fatals, batches, recovered;
};

static struct sim_world *world;
static struct os *node;
static struct rig rig;
static struct model model[PARTS];
static struct shared *shared;
static bool died_by_power, failing;

#define FAIL(...)                                                                                                      \
    do {                                                                                                               \
        fprintf(stderr, "seed %llu: ", (unsigned long long)sim_seed(world));                                           \
        fprintf(stderr, __VA_ARGS__);                                                                                  \
        fputc('\n', stderr);                                                                                           \
        exit(1);                                                                                                       \
    } while (0)

static int64_t model_end(const struct model *m)
{
    return m->n ? m->b[m->n - 1].end : m->start > 0 ? m->start : 0;
}

/* ---- checking ---- */

struct check {
    struct model *m;
    int part, at;
};

static bool check_each(void *arg, const uint8_t *p, uint64_t n)
{
    struct check *c = arg;
    int64_t next;
    uint64_t bytes;
    if (c->at >= c->m->n)
        FAIL("partition %d: a batch at %lld that was never appended", c->part, (long long)get_be64(p));
    const struct mbatch *b = &c->m->b[c->at];
    if (!rig_batch_check(p, n, c->part, b->base, b->salt, &next, &bytes) || next != b->end || bytes != b->bytes)
        FAIL("partition %d: batch %d at %lld is not what was appended there (found base %lld)", c->part, c->at,
             (long long)b->base, (long long)get_be64(p));
    c->at++;
    return true;
}

static void check_sidecars(int part, int64_t end)
{
    struct model *m = &model[part];
    struct chronik_buf *b = NULL;
    int64_t at = -1;
    int32_t rc = rig.ops->sidecar_latest(rig.parts[part].p, 1, INT64_MAX, &at, &b);
    int newest = -1;
    for (int i = 0; i < m->n_side; i++)
        if (m->side[i].offset <= end && (newest < 0 || m->side[i].offset >= m->side[newest].offset))
            newest = i;
    if (rc < 0) {
        if (newest >= 0)
            FAIL("partition %d: the sidecar at %lld is lost (%d)", part, (long long)m->side[newest].offset, rc);
        return;
    }
    if (at > end)
        FAIL("partition %d: a sidecar at %lld, beyond the end %lld", part, (long long)at, (long long)end);
    uint32_t got = 0, want = 0;
    memcpy(&got, rig.th.table.buf_data(b), sizeof got);
    rig.th.table.buf_unref(b);
    for (int i = 0; i < m->n; i++)
        if (m->b[i].end == at)
            want = m->b[i].salt;
    if (at > 0 && want && got != want)
        FAIL("partition %d: the sidecar at %lld speaks of another log", part, (long long)at);
}

/* After a start: compares, then makes the model what the store says, where it had a choice. */
static void check_part(int part)
{
    struct model *m = &model[part];
    int32_t rc = rig_open(&rig, part, 0);
    if (rc == CHRONIK_E_NOTFOUND) {
        if (m->exists && !m->maybe_gone && (m->acked > 0 || (m->written_os > 0 && !died_by_power)))
            FAIL("partition %d is gone with %lld acknowledged", part, (long long)m->acked);
        memset(m, 0, sizeof *m);
        m->cut_maybe = m->written_os = -1;
        return;
    }
    if (rc < 0)
        FAIL("partition %d cannot be opened: %d", part, rc);
    if (!m->exists && !m->maybe_gone)
        FAIL("partition %d exists again", part);
    struct chronik_part_stat st = {.size = sizeof st};
    rig.ops->stat(rig.parts[part].p, &st);
    if (st.offline)
        FAIL("partition %d is offline: %s", part, rig.parts[part].text);
    int64_t end = model_end(m), least = m->acked;
    if (!died_by_power && m->written_os > least)
        least = m->written_os;
    sim_note(world, "check %d: written %lld acked %lld os %lld model %lld cut_maybe %lld", part, (long long)st.written,
             (long long)m->acked, (long long)m->written_os, (long long)end, (long long)m->cut_maybe);
    bool cut = m->cut_maybe >= 0 && st.written == m->cut_maybe;
    if (!cut && (st.written < least || st.written > end))
        FAIL("partition %d ends at %lld; promised %lld, appended %lld (cut %lld)", part, (long long)st.written,
             (long long)least, (long long)end, (long long)m->cut_maybe);
    if (st.durable != st.written)
        FAIL("partition %d: durable %lld, written %lld after a start", part, (long long)st.durable,
             (long long)st.written);
    if (st.log_start != m->start && st.log_start != m->start_maybe)
        FAIL("partition %d starts at %lld, not %lld or %lld", part, (long long)st.log_start, (long long)m->start,
             (long long)m->start_maybe);
    m->exists = true;
    m->maybe_gone = false;
    m->start = m->start_maybe = st.log_start;
    struct check c = {m, part, 0};
    while (c.at < m->n && m->b[c.at].end <= m->start)
        c.at++;
    int64_t read = rig_read(&rig, part, m->start, st.written, check_each, &c);
    if (read < 0)
        FAIL("partition %d: reading failed: %lld %s", part, (long long)read, rig.parts[part].text);
    if (st.written > m->start && (c.at == 0 || m->b[c.at - 1].end != st.written))
        FAIL("partition %d: read to %lld, not to the end %lld", part, c.at ? (long long)m->b[c.at - 1].end : -1,
             (long long)st.written);
    while (m->n && m->b[m->n - 1].end > st.written)
        m->n--;
    if (m->n && m->b[m->n - 1].end < st.written) /* an empty log that begins behind what was lost */
        m->n = 0;
    atomic_fetch_add(&shared->recovered, (uint64_t)m->n);
    m->acked = st.written;
    m->cut_maybe = m->written_os = -1;
    check_sidecars(part, st.written);
    for (int i = 0; i < m->n_side;)
        if (m->side[i].offset > st.written)
            m->side[i] = m->side[--m->n_side];
        else
            i++;
}

/* ---- the workload, as the node's main thread ---- */

static void acks_collect(void)
{
    for (int i = 0; i < PARTS; i++)
        if (model[i].exists && rig.parts[i].durable > model[i].acked && rig.parts[i].rig)
            model[i].acked = rig.parts[i].durable;
}

static void do_append(int part)
{
    struct model *m = &model[part];
    struct rig_part *p = &rig.parts[part];
    static uint32_t salt;
    static uint8_t buf[70000];
    if (m->n == MAX_BATCHES)
        return;
    uint32_t count = 1 + (uint32_t)sim_rand(world, 5);
    uint32_t bytes = 61 + (uint32_t)sim_rand(world, sim_rand(world, 20) ? 900 : 9000);
    uint32_t flush = part == OS_PART                                 ? CHRONIK_FLUSH_OS
                     : part == MIXED_PART && sim_rand(world, 4) == 0 ? CHRONIK_FLUSH_INTERVAL
                                                                     : CHRONIK_FLUSH_GROUP;
    int64_t base = model_end(m);
    struct mbatch b = {base, base + count, ++salt, bytes};
    rig_batch(buf, bytes, part, base, count, b.salt, 1000 + base, 1);
    struct chronik_iov v = {buf, bytes};
    struct chronik_batch_info info = {.base_offset = base,
                                      .last_offset = base + count - 1,
                                      .max_timestamp = 1000 + base,
                                      .leader_epoch = 1,
                                      .bytes = bytes};
    struct chronik_append a = {.part = p->p,
                               .batches = &info,
                               .n_batches = 1,
                               .batch_stride = sizeof info,
                               .iov = &v,
                               .n_iov = 1,
                               .flush = flush};
    m->b[m->n++] = b; /* from here on it may appear */
    int32_t rc = rig.ops->append(rig.s, &a, 1, sizeof a);
    if (rc == CHRONIK_E_BUSY || rc == CHRONIK_E_NOSPC) {
        m->n--;
        return;
    }
    if (rc < 0)
        FAIL("append to %d failed: %d", part, rc);
    sim_note(world, "append %d to %lld flush %u bytes %u", part, (long long)b.end, flush, bytes);
    p->end = b.end;
    atomic_fetch_add(&shared->batches, 1);
    if (flush != CHRONIK_FLUSH_GROUP)
        m->written_os = b.end;
}

static void do_truncate_suffix(int part)
{
    struct model *m = &model[part];
    struct testhost_wait w;
    int keep = m->n - 1 - (int)sim_rand(world, 6);
    if (keep < 0 || (keep > 0 && m->b[keep - 1].end < m->start) || m->n == 0)
        return;
    int64_t offset = keep ? m->b[keep - 1].end : 0;
    if (offset < m->start)
        return;
    m->cut_maybe = offset;
    for (int i = 0; i < m->n_side;) /* outcome unknown from here on, and they can be made again */
        if (m->side[i].offset > offset)
            m->side[i] = m->side[--m->n_side];
        else
            i++;
    sim_note(world, "truncate %d to %lld", part, (long long)offset);
    int32_t rc = testhost_result(&w, rig.ops->truncate_suffix(rig.parts[part].p, offset, testhost_done(&rig.th, &w)));
    if (rc == CHRONIK_E_NOSPC)
        return;
    if (rc < 0)
        FAIL("truncate_suffix of %d to %lld failed: %d", part, (long long)offset, rc);
    acks_collect();
    m->n = keep;
    if (part != OS_PART && part != MIXED_PART) /* the record stands behind all appends below it */
        m->acked = offset;
    else
        m->acked = m->acked < offset ? m->acked : offset;
    m->written_os = m->written_os > offset ? offset : m->written_os;
    m->cut_maybe = -1;
    rig.parts[part].end = offset;
    rig.parts[part].durable = m->acked;
}

static void do_truncate_prefix(int part)
{
    struct model *m = &model[part];
    struct testhost_wait w;
    int64_t end = model_end(m);
    if (end <= m->start)
        return;
    m->start_maybe = m->start + (int64_t)sim_rand(world, (uint64_t)(end - m->start) / 2 + 1);
    int32_t rc =
        testhost_result(&w, rig.ops->truncate_prefix(rig.parts[part].p, m->start_maybe, testhost_done(&rig.th, &w)));
    if (rc < 0)
        FAIL("truncate_prefix of %d failed: %d", part, rc);
    m->start = m->start_maybe;
}

static void do_create_or_delete(int part)
{
    struct model *m = &model[part];
    struct testhost_wait w;
    if (!m->exists) {
        memset(m, 0, sizeof *m);
        m->cut_maybe = m->written_os = -1;
        m->maybe_gone = m->exists = true;
        int32_t rc = rig_open(&rig, part, CHRONIK_STORE_CREATE);
        if (rc < 0 && rc != CHRONIK_E_NOSPC && rc != CHRONIK_E_BUSY)
            FAIL("partition %d cannot be made: %d", part, rc);
        m->exists = rc > 0;
        m->maybe_gone = false;
        return;
    }
    if (sim_rand(world, 10))
        return;
    m->maybe_gone = true;
    int32_t rc = testhost_result(&w, rig.ops->part_delete(rig.parts[part].p, testhost_done(&rig.th, &w)));
    if (rc < 0)
        FAIL("partition %d cannot be deleted: %d", part, rc);
    memset(m, 0, sizeof *m);
    m->cut_maybe = m->written_os = -1;
    rig.parts[part].p = NULL;
}

static void do_sidecar(int part)
{
    struct model *m = &model[part];
    if (m->n == 0 || m->n_side == SIDE_MAX)
        return;
    const struct mbatch *b = &m->b[m->n - 1];
    for (int i = 0; i < m->n_side; i++)
        if (m->side[i].offset == b->end)
            return;
    int32_t rc = rig.ops->sidecar_write(rig.parts[part].p, 1, b->end, &b->salt, sizeof b->salt);
    if (rc > 0)
        m->side[m->n_side++] = (struct mside){b->end, b->salt};
    else if (rc != CHRONIK_E_NOSPC && !(failing && rc == CHRONIK_E_IO))
        FAIL("sidecar of %d failed: %d", part, rc);
}

static void do_flush(void)
{
    struct testhost_wait w;
    int64_t ends[PARTS];
    sim_note(world, "flush");
    for (int i = 0; i < PARTS; i++)
        ends[i] = model_end(&model[i]);
    int32_t rc = testhost_result(&w, rig.ops->flush(rig.s, testhost_done(&rig.th, &w)));
    for (int i = 0; i < PARTS && rc > 0; i++)
        if (model[i].exists && ends[i] > model[i].acked)
            model[i].acked = ends[i];
}

static void step(void)
{
    int part = (int)sim_rand(world, PARTS);
    uint64_t what = sim_rand(world, 100);
    acks_collect();
    if (!model[part].exists || what == 0)
        do_create_or_delete(part);
    else if (what < 75)
        do_append(part);
    else if (what < 79)
        do_truncate_suffix(part);
    else if (what < 82)
        do_truncate_prefix(part);
    else if (what < 86)
        rig.ops->roll(rig.parts[part].p);
    else if (what < 89)
        do_sidecar(part);
    else if (what < 90)
        do_flush();
    else if (what < 96 && part != OS_PART && part != MIXED_PART)
        rig_wait_durable(&rig, part);
    else {
        struct os_flag f = {0};
        os_flag_wait(node, &f, (int64_t)sim_rand(world, 20000000));
    }
    acks_collect();
}

static void life(void *arg)
{
    bool clean = *(bool *)arg;
    int32_t rc = rig_start(&rig);
    if (rc == CHRONIK_E_IO && failing)
        os_exit(node, 74);
    if (rc < 0)
        FAIL("the start was refused: %s", rig.text);
    for (int i = 0; i < PARTS; i++)
        check_part(i);
    died_by_power = false;
    int steps = 20 + (int)sim_rand(world, 300);
    for (int i = 0; i < steps; i++)
        step();
    if (clean) {
        rig_stop(&rig);
        for (int i = 0; i < PARTS; i++) /* a clean stop keeps everything */
            if (model[i].exists)
                model[i].acked = model_end(&model[i]);
    }
}

static void settings(void)
{
    testhost_set(&rig.th, "chronik.store-wal.segment.max.bytes", 12000, NULL);
    testhost_set(&rig.th, "chronik.store-wal.wal.first.file.bytes", 8192, NULL);
    testhost_set(&rig.th, "chronik.store-wal.wal.file.bytes", 32768, NULL);
    testhost_set(&rig.th, "chronik.store-wal.checkpoint.bytes", 30000, NULL);
    testhost_set(&rig.th, "chronik.store-wal.wal.max.bytes", 200000, NULL);
    testhost_set(&rig.th, "chronik.store-wal.interval.ms", 50, NULL);
    testhost_set(&rig.th, "chronik.store-wal.checkpoint.ms", 500, NULL);
    testhost_set(&rig.th, "chronik.store-wal.open.files", 16, NULL);
}

static void mutants(void)
{
    sim_mutant_sync_noop(node, strcmp(chronik_mutant, "sync-does-nothing") == 0);
    sim_mutant_sync_dir_noop(node, strcmp(chronik_mutant, "directory-sync-does-nothing") == 0);
}

/* Puts out the light after a life that was not ended inside a write. */
static void after_life(bool survived, bool kill)
{
    for (int i = 0; i < PARTS; i++) /* what was announced just before counts */
        if (model[i].exists && !model[i].maybe_gone && rig.parts[i].durable > model[i].acked && model[i].cut_maybe < 0)
            model[i].acked = rig.parts[i].durable;
    if (survived && kill)
        sim_kill(node);
    else if (survived)
        sim_power_cut(node);
    died_by_power |= !(kill || sim_exit_code(node) == -9);
    if (sim_exit_code(node) >= 0) { /* the store ended the process after a failed sync; then the power goes, too */
        atomic_fetch_add(&shared->fatals, 1);
        died_by_power = true;
    }
    atomic_fetch_add(died_by_power ? &shared->cuts : &shared->kills, 1);
}

static void one(uint64_t seed)
{
    world = sim_world_new(seed);
    node = sim_node(world, "n1");
    rig_init(&rig, node, "d"); /* the folder is the operator's: it is there for good */
    sim_disk_settle(node);
    rig.th.quiet = true;
    settings();
    memset(model, 0, sizeof model);
    died_by_power = false;
    for (int i = 0; i < PARTS; i++)
        model[i].cut_maybe = model[i].written_os = -1;
    for (int n = 0; n < LIVES; n++) {
        bool clean = sim_rand(world, 12) == 0, kill = sim_rand(world, 4) == 0;
        uint64_t reach = sim_rand(world, 3) ? 900 : 60; /* in a life, or already in its recovery */
        mutants();
        uint64_t at = clean ? 0 : sim_io_count(node) + 1 + sim_rand(world, reach);
        if (kill)
            sim_kill_at(node, at);
        else
            sim_cut_at(node, at);
        failing = sim_rand(world, 10) == 0 && !clean;
        if (failing)
            sim_disk_fail(node, OS_FAULT_SYNC, 4, CHRONIK_E_IO);
        bool survived = sim_call(node, life, &clean);
        after_life(survived, kill);
        sim_cut_at(node, 0);
        sim_kill_at(node, 0);
        sim_disk_fail(node, OS_FAULT_SYNC, 0, 0);
        sim_restart(node);
    }
    bool clean = true;
    mutants();
    if (!sim_call(node, life, &clean))
        FAIL("the last life died with %d", sim_exit_code(node));
    sim_world_free(world);
}

int main(int argc, char **argv)
{
    uint64_t seeds = getenv("CHRONIK_TEST_LONG") ? 2500 : getenv("CHRONIK_TEST_SHORT") ? 20 : 100;
    if (argc > 1)
        seeds = strtoull(argv[1], NULL, 10);
    uint64_t from = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    chronik_mutant = argc > 2 ? argv[2] : "";
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 2;
    unsigned failed = 0;
    for (uint64_t at = 0; at < seeds && !failed; at += 64)
        failed = sim_seeds(argc > 0 ? argv[0] : "test_store_cut", from + at, seeds - at < 64 ? seeds - at : 64, one);
    printf("%s %llu power cuts, %llu kills, %llu failed syncs, %llu batches appended, %llu found again: %s\n",
           *chronik_mutant ? chronik_mutant : "", (unsigned long long)shared->cuts, (unsigned long long)shared->kills,
           (unsigned long long)shared->fatals, (unsigned long long)shared->batches,
           (unsigned long long)shared->recovered, failed ? "FAILED" : "ok");
    return failed != 0;
}
