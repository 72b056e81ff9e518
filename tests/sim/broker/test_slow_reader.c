/* test_slow_reader.c: a client asks for much, stops reading for a minute, and meanwhile everything it asked for is
 * deleted, by DeleteRecords or with its topic. When it reads on it gets the bytes that were there when it asked, or its
 * connection is closed; never other bytes, never zeros. Afterwards the files are gone.
 *
 *   test_slow_reader [SEEDS]     CHRONIK_SIM_SEED=n repeats one seed in this process */
#include "tests/unit/api/rig.h"

#include <stdatomic.h>
#include <sys/mman.h>

const struct chronik_plugin *meta_local_plugin(void);
const struct chronik_plugin *store_wal_plugin(void);

enum { BATCHES = 16, RECORDS = 6000 }; /* about 70 KB a batch; some 256 KiB fit between two nodes */

static struct rig rig;
static struct cli slow, other;
static struct {
    _Atomic uint64_t whole, closed;
} * total;

#define FAIL(...)                                                                                                      \
    do {                                                                                                               \
        fprintf(stderr, "seed %llu: ", (unsigned long long)sim_seed(rig.w));                                           \
        fprintf(stderr, __VA_ARGS__);                                                                                  \
        fputc('\n', stderr);                                                                                           \
        exit(1);                                                                                                       \
    } while (0)

struct reading {
    int64_t next;
};

static bool check_record(void *arg, const struct batch_record *r)
{
    struct reading *g = arg;
    if (r->offset != g->next || r->value_n != 4 || get_be32(r->value) != (uint32_t)g->next)
        FAIL("offset %lld holds what was never there", (long long)r->offset);
    g->next++;
    return true;
}

static void delete_records(void)
{
    struct wire_delete_records_request_partition p = wire_delete_records_request_partition_default;
    struct wire_delete_records_request_topic t = wire_delete_records_request_topic_default;
    struct wire_delete_records_request q = wire_delete_records_request_default;
    struct wire_delete_records_response a;
    p.offset = -1;
    t.name = wire_str("t");
    t.partitions.v = &p;
    t.partitions.n = 1;
    q.topics.v = &t;
    q.topics.n = 1;
    q.timeout_ms = 10000;
    cli_call(&other, WIRE_API_DELETE_RECORDS, 2, &q, &a);
    if (a.topics.v[0].partitions.v[0].error_code)
        FAIL("DeleteRecords answers %d", a.topics.v[0].partitions.v[0].error_code);
}

static void delete_topic(void)
{
    struct wire_delete_topics_request_state t = wire_delete_topics_request_state_default;
    struct wire_delete_topics_request q = wire_delete_topics_request_default;
    struct wire_delete_topics_response a;
    t.name = wire_str("t");
    q.topics.v = &t;
    q.topics.n = 1;
    q.timeout_ms = 10000;
    cli_call(&other, WIRE_API_DELETE_TOPICS, 6, &q, &a);
    if (a.responses.v[0].error_code)
        FAIL("DeleteTopics answers %d", a.responses.v[0].error_code);
}

struct files {
    char folder[400];
    int n, folders;
    uint64_t bytes;
};

static void segment_each(void *arg, const char *name, bool is_dir)
{
    struct files *f = arg;
    char path[700];
    struct os_stat st;
    size_t n = strlen(name);
    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    if (!is_dir && n > 4 && strcmp(name + n - 4, ".log") == 0 && os_lookup(rig.server, path, &st) > 0 && st.size) {
        f->n++;
        f->bytes += st.size;
    }
}

static char folders[8][200];
static int n_folders;

static void folder_each(void *arg, const char *name, bool is_dir)
{
    if (is_dir && n_folders < 8)
        snprintf(folders[n_folders++], sizeof folders[0], "%s", name);
}

/* Bytes of segments on the disk. */
static uint64_t bytes_there(void)
{
    struct files f = {.n = 0};
    const char *data = config_str(rig.config, CFG_LOG_DIRS);
    char path[300];
    snprintf(path, sizeof path, "%s/data", data);
    n_folders = 0;
    os_list(rig.server, path, folder_each, NULL);
    for (int i = 0; i < n_folders; i++) {
        snprintf(f.folder, sizeof f.folder, "%s/%s", path, folders[i]);
        os_list(rig.server, f.folder, segment_each, &f);
    }
    return f.bytes;
}

static void read_on(int32_t asked)
{
    struct wire_fetch_response a;
    struct reading g = {0};
    slow.paused = false;
    cli_wake(&slow);
    if (cli_recv(&slow, WIRE_API_FETCH, 12, &a, 60 * SIM_S) != asked) {
        if (!slow.over)
            FAIL("neither an answer nor the end of the connection");
        atomic_fetch_add(&total->closed, 1);
        return;
    }
    const struct wire_fetch_response_partition *p = &a.responses.v[0].partitions.v[0];
    const uint8_t *at = p->records.p, *batch;
    size_t n = p->records.n > 0 ? (size_t)p->records.n : 0;
    struct batch_head h;
    while (batch_next(&at, &n, &h, &batch) > 0)
        if (batch_each_record(batch, h.bytes, check_record, &g) < 0)
            FAIL("a damaged batch behind offset %lld", (long long)g.next);
    if (n || g.next < 4 * RECORDS)
        FAIL("only %lld records came, and %zu bytes that are none", (long long)g.next, n);
    atomic_fetch_add(&total->whole, 1);
}

static void one(uint64_t seed)
{
    rig_world(&rig, seed, meta_local_plugin, store_wal_plugin);
    rig_set(&rig, "chronik.store-wal.segment.max.bytes", "1048576");
    rig_set(&rig, "chronik.store-wal.checkpoint.ms", "500");
    if (!rig_start(&rig) || !rig_ready(&rig))
        FAIL("the broker does not start");
    cli_open(&slow, &rig);
    cli_open(&other, &rig);
    if (cli_create(&other, "t", 1) != KAFKA_NONE)
        FAIL("no topic");
    for (uint32_t i = 0; i < BATCHES; i++)
        if (cli_produce(&other, "t", 0, i * RECORDS, RECORDS) != (int64_t)i * RECORDS)
            FAIL("batch %u was not taken", i);
    uint64_t before = bytes_there();
    slow.paused = true;
    int32_t asked = cli_fetch_send(&slow, "t", 0, 0, -1, 0);
    sim_run_for(rig.w, 2 * SIM_S);
    if (seed % 2)
        delete_records();
    else
        delete_topic();
    sim_run_for(rig.w, 60 * SIM_S);
    read_on(asked);
    cli_close(&slow);
    sim_run_for(rig.w, 60 * SIM_S);
    uint64_t after = bytes_there();
    if (before < 800000 || after > 200000)
        FAIL("%llu bytes were on the disk, %llu are left", (unsigned long long)before, (unsigned long long)after);
    cli_close(&other);
    if (!rig_stop(&rig, 5 * SIM_S))
        FAIL("the broker died");
    rig_free(&rig);
}

int main(int argc, char **argv)
{
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 20;
    total = mmap(NULL, sizeof *total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(total != MAP_FAILED);
    unsigned failed = sim_seeds("slow reader", 1, seeds, one);
    printf("%llu readers got what they had asked for, %llu lost their connection: %s\n",
           (unsigned long long)total->whole, (unsigned long long)total->closed, failed ? "FAILED" : "ok");
    return failed != 0;
}
