/* test_broker_cut.c: a broker over meta-local and store-wal loses power, or is killed, at any operation of its disk
 * while clients create topics and write with acks=all. After each death a client reads everything back: each
 * acknowledged record is where its answer said, once, and what nobody was told of is a record that was sent.
 *
 * With no-sync the disk answers every sync and does nothing: the test must fail.
 *
 *   test_broker_cut [SEEDS [no-sync]]     CHRONIK_SIM_SEED=n repeats one seed in this process */
#include <config.h>

#include "tests/unit/api/rig.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

const struct chronik_plugin *meta_local_plugin(void);
const struct chronik_plugin *store_wal_plugin(void);

enum { TOPICS = 3, LIVES = 4, RECORDS = 4000, WINDOW = 4, STEPS = 60 };

static struct rig rig;
static struct cli cli;

/* What the client knows of a topic of one partition. It outlives the node. */
static struct {
    bool exists, maybe;
    uint32_t acked[RECORDS]; /* by offset: value + 1; 0 none */
    int64_t end;             /* one above the last acknowledged offset */
} model[TOPICS];
static uint32_t sent_values;
static bool no_sync;
static struct { /* of all seeds, across the children */
    _Atomic uint64_t deaths, at_start, acked, read;
} * total;

#define FAIL(...)                                                                                                      \
    do {                                                                                                               \
        fprintf(stderr, "seed %llu: ", (unsigned long long)sim_seed(rig.w));                                           \
        fprintf(stderr, __VA_ARGS__);                                                                                  \
        fputc('\n', stderr);                                                                                           \
        exit(1);                                                                                                       \
    } while (0)

static const char *name_of(int t)
{
    static const char *const names[TOPICS] = {"red", "green", "blue"};
    return names[t];
}

/* ---- writing ---- */

static void create(int t)
{
    model[t].maybe = true;
    int16_t rc = cli_create(&cli, name_of(t), 1);
    if (rc == KAFKA_NONE || rc == KAFKA_TOPIC_ALREADY_EXISTS)
        model[t].exists = true;
    else if (sim_up(rig.server))
        FAIL("topic %s was not created: %d", name_of(t), rc);
}

struct open_write {
    int topic;
    int32_t correlation;
    uint32_t first, n;
};

static void note_ack(const struct open_write *o, int64_t base)
{
    if (base < 0 || base + o->n > RECORDS)
        FAIL("topic %s: an answer names offset %lld", name_of(o->topic), (long long)base);
    for (uint32_t i = 0; i < o->n; i++) {
        if (model[o->topic].acked[base + i])
            FAIL("topic %s: offset %lld was given twice", name_of(o->topic), (long long)(base + i));
        model[o->topic].acked[base + i] = o->first + i + 1;
    }
    model[o->topic].end = max_i64(model[o->topic].end, base + o->n);
    atomic_fetch_add(&total->acked, o->n);
}

/* false: the connection is gone. */
static bool take_answer(const struct open_write *o)
{
    struct wire_produce_response a;
    int32_t got = cli_recv(&cli, WIRE_API_PRODUCE, 9, &a, 60 * SIM_S);
    if (got < 0)
        return false;
    if (got != o->correlation)
        FAIL("answer %d came instead of %d", got, o->correlation);
    const struct wire_produce_response_partition *p = &a.responses.v[0].partition_responses.v[0];
    if (p->error_code == KAFKA_NONE)
        note_ack(o, p->base_offset);
    return true;
}

/* Up to WINDOW writes in flight, until the node dies or the steps are done. */
static void write_some(void)
{
    struct open_write open[WINDOW];
    int n = 0;
    for (int i = 0; i < STEPS && sim_up(rig.server) && !cli.over; i++) {
        int t = (int)sim_rand(rig.w, TOPICS);
        if (!model[t].exists) {
            for (int k = 0; k < n; k++)
                if (!take_answer(&open[k]))
                    return;
            n = 0;
            create(t);
            continue;
        }
        if (n == WINDOW) {
            if (!take_answer(&open[0]))
                return;
            memmove(open, open + 1, --n * sizeof *open);
        }
        struct open_write *o = &open[n++];
        *o = (struct open_write){.topic = t, .first = sent_values, .n = 1 + (uint32_t)sim_rand(rig.w, 6)};
        sent_values += o->n;
        o->correlation = cli_produce_send(&cli, name_of(t), 0, o->first, o->n, 20000);
    }
    for (int k = 0; k < n; k++)
        if (!take_answer(&open[k]))
            return;
}

/* ---- reading back ---- */

struct reading {
    int topic;
    int64_t next;
};

static uint8_t seen[1 << 16];

static bool check_record(void *arg, const struct batch_record *r)
{
    struct reading *g = arg;
    atomic_fetch_add(&total->read, 1);
    uint32_t v = r->value_n == 4 ? get_be32(r->value) : UINT32_MAX;
    uint32_t want = r->offset < RECORDS ? model[g->topic].acked[r->offset] : 0;
    if (r->offset != g->next++)
        FAIL("topic %s: offset %lld where %lld belongs", name_of(g->topic), (long long)r->offset,
             (long long)g->next - 1);
    if (want && want != v + 1)
        FAIL("topic %s: offset %lld holds %u, %u was acknowledged there", name_of(g->topic), (long long)r->offset, v,
             want - 1);
    if (v >= sent_values || seen[v]++)
        FAIL("topic %s: offset %lld holds %u, which %s", name_of(g->topic), (long long)r->offset, v,
             v >= sent_values ? "nobody sent" : "is there twice");
    if (r->offset < RECORDS) {
        model[g->topic].acked[r->offset] = v + 1; /* whoever could read it may read it again */
        model[g->topic].end = max_i64(model[g->topic].end, g->next);
    }
    return true;
}

static void read_back(int t)
{
    struct reading g = {t, 0};
    for (int64_t hw = INT64_MAX; g.next < hw;) {
        struct wire_fetch_response a;
        int32_t sent = cli_fetch_send(&cli, name_of(t), 0, g.next, -1, 0);
        if (cli_recv(&cli, WIRE_API_FETCH, 12, &a, 60 * SIM_S) != sent)
            FAIL("topic %s: no answer to a fetch", name_of(t));
        const struct wire_fetch_response_partition *p = &a.responses.v[0].partitions.v[0];
        if (p->error_code == KAFKA_UNKNOWN_TOPIC_OR_PARTITION && !model[t].exists)
            return;
        if (p->error_code)
            FAIL("topic %s: fetch at %lld answers %d", name_of(t), (long long)g.next, p->error_code);
        model[t].exists = true;
        hw = p->high_watermark;
        int64_t before = g.next;
        const uint8_t *at = p->records.p, *batch;
        size_t n = p->records.n > 0 ? (size_t)p->records.n : 0;
        struct batch_head h;
        while (batch_next(&at, &n, &h, &batch) > 0)
            if (batch_each_record(batch, h.bytes, check_record, &g) < 0)
                FAIL("topic %s: a damaged batch at %lld", name_of(t), (long long)g.next);
        if (g.next == before && g.next < hw)
            FAIL("topic %s: nothing at %lld below %lld", name_of(t), (long long)g.next, (long long)hw);
    }
    if (g.next < model[t].end)
        FAIL("topic %s ends at %lld; %lld was acknowledged", name_of(t), (long long)g.next, (long long)model[t].end);
}

/* ---- lives ---- */

static void die_somewhere(void)
{
    uint64_t at = sim_io_count(rig.server) + 1 + sim_rand(rig.w, 120);
    if (sim_rand(rig.w, 3))
        sim_cut_at(rig.server, at);
    else
        sim_kill_at(rig.server, at);
}

static void revive(void)
{
    if (sim_up(rig.server))
        sim_rand(rig.w, 2) ? sim_power_cut(rig.server) : sim_kill(rig.server);
    sim_cut_at(rig.server, 0);
    sim_kill_at(rig.server, 0);
    sim_restart(rig.server);
    meta_kv_mem_damage(rig.kv, sim_rand(rig.w, UINT64_MAX));
}

/* One start; it may die on the way. */
static bool live(bool may_die)
{
    if (may_die)
        die_somewhere();
    bool up = rig_start(&rig) && rig_ready(&rig);
    if (!up && sim_up(rig.server))
        FAIL("the broker is not ready after 30 s");
    if (!up)
        return false;
    cli_open(&cli, &rig);
    return true;
}

static void one_seed(uint64_t seed)
{
    memset(model, 0, sizeof model);
    sent_values = 0;
    rig_world(&rig, seed, meta_local_plugin, store_wal_plugin);
    sim_mutant_sync_noop(rig.server, no_sync);
    for (int i = 0; i < LIVES; i++) {
        if (live(true)) {
            write_some();
            cli_close(&cli);
        } else {
            atomic_fetch_add(&total->at_start, 1);
        }
        atomic_fetch_add(&total->deaths, !sim_up(rig.server));
        revive();
        if (!live(false))
            FAIL("the broker died although nothing happened to it");
        memset(seen, 0, sizeof seen);
        for (int t = 0; t < TOPICS; t++)
            if (model[t].exists || model[t].maybe)
                read_back(t);
        cli_close(&cli);
        revive();
    }
    rig_free(&rig);
}

int main(int argc, char **argv)
{
    uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 100;
    no_sync = argc > 2 && strcmp(argv[2], "no-sync") == 0;
    total = mmap(NULL, sizeof *total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(total != MAP_FAILED);
    unsigned failed = sim_seeds("broker", 1, n, one_seed);
    printf("%llu seeds, %u failed: %llu deaths inside a disk operation (%llu before the broker was open), %llu records "
           "acknowledged, %llu read back\n",
           (unsigned long long)n, failed, (unsigned long long)total->deaths, (unsigned long long)total->at_start,
           (unsigned long long)total->acked, (unsigned long long)total->read);
    return failed ? 1 : 0;
}
