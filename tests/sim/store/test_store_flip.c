/* test_store_flip.c: one bit flips in any file and region of a store's directory. Whatever that does, a reader gets the
 * bytes that were acknowledged or a refusal that names file and offset; other partitions go on; nothing is passed over
 * without a word. Half of the seeds flip before a start, the others under a running store whose scrub must find it.
 *
 *   test_store_flip [SEEDS [MUTANT]]     CHRONIK_SIM_SEED=n repeats one seed in this process */
#include <config.h>

#include "tests/sim/sim.h"
#include "tests/unit/store/storerig.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

const char *chronik_mutant = "";

enum { PARTS = 3, MAX_FILES = 80, MAX_BATCH = 9000 };

/* What a flip came to, for the table at the end. */
enum { KINDS = 8 };
static const char *const kinds[KINDS] = {".log", ".idx", ".side", "/manifest", "/meta", "/clean", "wal/", "other"};
struct shared {
    _Atomic uint64_t n[KINDS], refused[KINDS], offline[KINDS], harmless[KINDS];
};

static struct sim_world *world;
static struct os *node;
static struct rig rig;
static struct shared *shared;
static int64_t acked[PARTS];
static uint32_t n_batches[PARTS], sizes[PARTS][200];
static char flipped[300];
static bool running;

#define FAIL(...)                                                                                                      \
    do {                                                                                                               \
        fprintf(stderr, "seed %llu, %s: ", (unsigned long long)sim_seed(world), flipped);                              \
        fprintf(stderr, __VA_ARGS__);                                                                                  \
        fputc('\n', stderr);                                                                                           \
        exit(1);                                                                                                       \
    } while (0)

static uint32_t flush_of(int part)
{
    return part == 2 ? CHRONIK_FLUSH_OS : CHRONIK_FLUSH_GROUP;
}

static void append(int part)
{
    uint32_t bytes = 100 + (uint32_t)sim_rand(world, MAX_BATCH - 100);
    if (n_batches[part] == ARRAY_LEN(sizes[0]) || rig_append(&rig, part, bytes, 3, 0, flush_of(part)) < 0)
        return;
    sizes[part][n_batches[part]++] = bytes;
}

static void fill(int n)
{
    for (int i = 0; i < n; i++) {
        int part = (int)sim_rand(world, PARTS);
        append(part);
        if (sim_rand(world, 20) == 0)
            rig.ops->roll(rig.parts[part].p);
        if (sim_rand(world, 20) == 0 && rig.parts[part].end)
            rig.ops->sidecar_write(rig.parts[part].p, 1, rig.parts[part].end, "side", 4);
    }
    for (int i = 0; i < PARTS; i++) {
        if (flush_of(i) == CHRONIK_FLUSH_GROUP)
            rig_wait_durable(&rig, i);
        acked[i] = rig.parts[i].end;
    }
}

/* Until the log's idle mark stands behind the last group, and checkpoints are over. */
static void rest(int64_t ns)
{
    struct os_flag f = {0};
    os_flag_wait(node, &f, ns);
}

static void build(void *arg)
{
    bool clean = *(bool *)arg;
    if (rig_start(&rig) < 0)
        FAIL("no start: %s", rig.text);
    for (int i = 0; i < PARTS; i++)
        if (rig_open(&rig, i, CHRONIK_STORE_CREATE) < 0)
            FAIL("no partition");
    fill(60 + (int)sim_rand(world, 120));
    if (sim_rand(world, 2)) {
        struct testhost_wait w;
        struct chronik_done done = testhost_done(&rig.th, &w);
        testhost_result(&w, rig.ops->flush(rig.s, done));
        fill((int)sim_rand(world, 60));
    }
    rest(SIM_S);
    if (clean)
        rig_stop(&rig);
}

/* ---- the flip ---- */

struct files {
    char v[MAX_FILES][200];
    int n;
    const char *folder;
    int folders;
};

static void file_each(void *arg, const char *name, bool is_dir)
{
    struct files *f = arg;
    if (f->n < MAX_FILES && is_dir == (f->folders != 0))
        snprintf(f->v[f->n++], sizeof f->v[0], "%s/%s", f->folder, name);
}

static void list(struct files *f, const char *folder, int folders)
{
    f->folder = folder;
    f->folders = folders;
    os_list(node, folder, file_each, f);
}

static int kind_of(const char *path)
{
    if (strstr(path, "/wal/"))
        return 6;
    for (int i = 0; i < KINDS - 1; i++)
        if (strstr(path, kinds[i]))
            return i;
    return KINDS - 1;
}

/* One bit of a file that is chosen by its kind first, so that small files get their share. */
static int flip(void)
{
    static struct files f, folders;
    f.n = folders.n = 0;
    list(&f, "d", 0);
    list(&f, "d/wal", 0);
    list(&folders, "d/data", 1);
    for (int i = 0; i < folders.n; i++)
        list(&f, folders.v[i], 0);
    for (int tries = 0; tries < 200; tries++) {
        const char *path = f.v[sim_rand(world, (uint64_t)f.n)];
        int kind = (int)sim_rand(world, KINDS);
        struct os_stat st;
        if (kind_of(path) != kind || os_lookup(node, path, &st) < 0 || st.size == 0)
            continue;
        uint64_t bit = sim_rand(world, st.size * 8);
        snprintf(flipped, sizeof flipped, "%s, byte %llu of %llu, bit %llu", path, (unsigned long long)bit / 8,
                 (unsigned long long)st.size, (unsigned long long)bit % 8);
        sim_disk_flip(node, path, bit);
        return kind;
    }
    return -1;
}

/* ---- the check ---- */

struct exact {
    int part;
    uint32_t at;
    int64_t next;
};

static bool each(void *arg, const uint8_t *p, uint64_t n)
{
    struct exact *x = arg;
    static uint8_t want[MAX_BATCH];
    if (x->at >= n_batches[x->part])
        FAIL("partition %d: a batch more than there were", x->part);
    rig_batch(want, sizes[x->part][x->at], x->part, x->next, 3, 0, 1000 + x->next * 10, 3);
    if (n != sizes[x->part][x->at] || memcmp(want, p, n) != 0)
        FAIL("partition %d: served at %lld what was not acknowledged", x->part, (long long)x->next);
    x->at++;
    x->next += 3;
    return true;
}

static void sentence(const char *text)
{
    if (!strstr(text, "file") || !strstr(text, "offset"))
        FAIL("the sentence names no file or no offset: '%s'", text);
}

/* 1: all is there. 0: refused with a sentence. */
static int read_part(int part)
{
    struct exact x = {.part = part};
    struct chronik_buf *b = NULL;
    int64_t at, end = rig_read(&rig, part, 0, acked[part], each, &x);
    if (rig.ops->sidecar_latest(rig.parts[part].p, 1, INT64_MAX, &at, &b) > 0) {
        if (memcmp(rig.th.table.buf_data(b), "side", 4) != 0)
            FAIL("partition %d: a damaged sidecar was given", part);
        rig.th.table.buf_unref(b);
    }
    if (end == acked[part] && x.next == acked[part])
        return 1;
    if (!rig_wait_failed(&rig, part))
        FAIL("partition %d: read to %lld (%lld) of %lld, and nothing was said", part, (long long)x.next, (long long)end,
             (long long)acked[part]);
    sentence(rig.parts[part].text);
    return 0;
}

static void account(int kind, int refused, int offline)
{
    if (offline > 1)
        FAIL("%d partitions are offline", offline);
    atomic_fetch_add(&shared->n[kind], 1);
    atomic_fetch_add(refused ? &shared->refused[kind] : offline ? &shared->offline[kind] : &shared->harmless[kind], 1);
}

/* In os mode the log is cut at its first bad batch above the recovery point, and that is said with file and offset. */
static bool was_cut(int part)
{
    if (flush_of(part) != CHRONIK_FLUSH_OS || !strstr(rig.th.last_warning, "cut at the first bad batch"))
        return false;
    sentence(rig.th.last_warning);
    acked[part] = rig.parts[part].end;
    return true;
}

static void look(void *arg)
{
    int offline = 0;
    rig.th.last_warning[0] = '\0';
    if (rig_start(&rig) < 0) {
        sentence(rig.text);
        account(*(int *)arg, 1, 0);
        return;
    }
    for (int i = 0; i < PARTS; i++) {
        if (rig_open(&rig, i, 0) < 0)
            FAIL("partition %d is gone", i);
        if (rig.parts[i].end < acked[i] && !was_cut(i))
            FAIL("partition %d ends at %lld, acknowledged were %lld, and nothing was said", i,
                 (long long)rig.parts[i].end, (long long)acked[i]);
    }
    for (int i = 0; i < PARTS; i++)
        offline += !read_part(i);
    account(*(int *)arg, 0, offline);
    rig_stop(&rig);
}

/* The store runs, its bytes are its own: only the scrub reads them again. */
static void scrubbed(void *arg)
{
    bool clean = false;
    build(&clean);
    int kind = flip(), offline = 0;
    if (kind < 0)
        return;
    rest(20 * SIM_S);
    for (int i = 0; i < PARTS; i++) {
        offline += rig.parts[i].failed != 0;
        if (rig.parts[i].failed)
            sentence(rig.parts[i].text);
        else if (kind == 0)
            read_part(i); /* exact, or the seed fails: the scrub has had its time */
    }
    account(kind, 0, offline);
    if (kind == 0 && !offline)
        FAIL("the scrub did not find it");
}

static void one(uint64_t seed)
{
    world = sim_world_new(seed);
    node = sim_node(world, "n1");
    rig_init(&rig, node, "d");
    sim_disk_settle(node);
    rig.th.quiet = true;
    memset(n_batches, 0, sizeof n_batches);
    memset(acked, 0, sizeof acked);
    testhost_set(&rig.th, "chronik.store-wal.segment.max.bytes", 1 << 20, NULL);
    testhost_set(&rig.th, "chronik.store-wal.wal.first.file.bytes", 65536, NULL);
    testhost_set(&rig.th, "chronik.store-wal.wal.file.bytes", 262144, NULL);
    testhost_set(&rig.th, "chronik.store-wal.checkpoint.ms", 3600000, NULL);
    testhost_set(&rig.th, "chronik.store-wal.scrub.bytes.per.second", 1 << 20, NULL);
    testhost_set(&rig.th, "chronik.store-wal.scrub.pause.ms", 1000, NULL);
    running = seed % 2;
    snprintf(flipped, sizeof flipped, "nothing flipped");
    if (running) {
        if (!sim_call(node, scrubbed, NULL))
            FAIL("the store died with %d", sim_exit_code(node));
        sim_kill(node);
        sim_world_free(world);
        return;
    }
    bool clean = sim_rand(world, 3) == 0;
    if (!sim_call(node, build, &clean))
        FAIL("the first life died with %d", sim_exit_code(node));
    bool power = sim_rand(world, 2) != 0;
    if (power)
        sim_power_cut(node);
    else
        sim_kill(node);
    if (power && !clean)
        acked[2] = 0; /* os mode promises nothing against that */
    sim_restart(node);
    int kind = flip();
    if (kind >= 0 && !sim_call(node, look, &kind))
        FAIL("the second life died with %d", sim_exit_code(node));
    sim_world_free(world);
}

int main(int argc, char **argv)
{
    uint64_t seeds = argc > 1                       ? strtoull(argv[1], NULL, 10)
                     : getenv("CHRONIK_TEST_LONG")  ? 6000
                     : getenv("CHRONIK_TEST_SHORT") ? 200
                                                    : 1000;
    chronik_mutant = argc > 2 ? argv[2] : "";
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 2;
    unsigned failed = sim_seeds("test_store_flip", 1, seeds, one);
    uint64_t all = 0;
    for (int i = 0; i < KINDS; i++) {
        all += shared->n[i];
        printf("# %-9s %5llu flips: %llu refused the start, %llu took a partition offline, %llu did no harm\n",
               kinds[i], (unsigned long long)shared->n[i], (unsigned long long)shared->refused[i],
               (unsigned long long)shared->offline[i], (unsigned long long)shared->harmless[i]);
    }
    printf("%s %llu flipped bits: %s\n", chronik_mutant, (unsigned long long)all, failed ? "FAILED" : "ok");
    return failed != 0;
}
