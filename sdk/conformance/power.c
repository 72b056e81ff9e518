/* power.c: power cuts for modules that declare POWER_SAFE. The module runs on the simulator's disk; power fails inside
 * the n-th operation of the disk, the machine comes up, and whatever was announced durable must be there, whole, in
 * order and once. It fails again while the module recovers, and once more later. One thread, one seed a world. */
#include "power.h"

#include "meta_kit.h"
#include "store_kit.h"
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

#define CUTS 200

struct trial {
    struct kit *k;
    struct sim_world *w;
    uint64_t seed, cut;
    unsigned lives;                /* how many the node has had */
    void (*live)(struct trial *t); /* a life: verify, then work until the end or until power fails */
    void *model;                   /* what the checker knows; survives the node */
};

static void live(void *arg)
{
    struct trial *t = arg;
    struct kit *k = t->k;
    k->calls = NULL;
    kit_reopen(k, k->os);
    t->live(t);
    kit_close(k);
}

static void make_directories(void *arg)
{
    struct kit *k = arg;
    int32_t rc = os_mkdir(k->os, "/data");
    EXPECT(rc > 0, "the kit cannot make its directory: %s", kit_code(rc));
    k->calls = NULL;
    kit_open(k, k->os, "/data");
    kit_close(k);
}

/* One life of the node, with a cut inside operation number `cut` from now on (0: none). */
static void one_life(struct trial *t, uint64_t cut)
{
    struct os *os = t->k->os;
    sim_cut_at(os, cut != 0 ? sim_io_count(os) + cut : 0);
    kit_forget_inside();
    sim_call(os, live, t);
    if (sim_up(os))
        sim_power_cut(os);
    sim_cut_at(os, 0);
    sim_restart(os);
    t->lives++;
}

/* A world: a life that is cut, a recovery that is cut, a life to the end, and a last look. Returns the disk operations
 * of the first life. */
static uint64_t one_world(struct trial *t)
{
    t->w = sim_world_new(t->seed);
    t->k->os = sim_node(t->w, "node");
    t->lives = 0;
    sim_call(t->k->os, make_directories, t->k);
    sim_disk_settle(t->k->os);
    sim_mutant_sync_noop(t->k->os, t->k->options->sync_noop);
    uint64_t before = sim_io_count(t->k->os);
    one_life(t, t->cut);
    uint64_t ops = sim_io_count(t->k->os) - before;
    if (t->cut != 0) {
        one_life(t, 1 + t->seed % 23);
        one_life(t, 0);
        one_life(t, 0);
    }
    sim_world_free(t->w);
    return ops;
}

/* Runs `live` once without a cut to learn how many disk operations it makes, then with cuts spread over all of them. */
static void power_cuts(struct kit *k, void (*life)(struct trial *t), void *model)
{
    uint64_t cuts = k->options->cuts != 0 ? k->options->cuts : CUTS;
    struct trial t = {.k = k, .live = life, .model = model};
    uint64_t ops = one_world(&t);
    EXPECT(ops > 10, "the module declares POWER_SAFE and made %llu disk operations: does it take files from the host?",
           (unsigned long long)ops);
    for (uint64_t i = 0; i < cuts; i++) {
        t.seed = i + 1;
        t.cut = 1 + (cuts >= ops ? i % ops : i * ops / cuts);
        kit_where("power cut inside disk operation %llu, seed %llu", (unsigned long long)t.cut,
                  (unsigned long long)t.seed);
        one_world(&t);
    }
    kit_where("%s", "");
}

/* ---- metadata: every command that completed is there, in the order it was applied ---- */

#define META_COMMANDS 400

struct meta_model {
    uint64_t proposed;             /* commands 0 .. proposed - 1 were proposed */
    bool acked[META_COMMANDS];     /* completed with DONE */
    uint64_t index[META_COMMANDS]; /* as it was applied, 0 never seen */
};

struct ack {
    struct meta_model *model;
    uint64_t id;
};

static void acknowledged(void *arg, int32_t result)
{
    struct ack *a = arg;
    if (result > 0)
        a->model->acked[a->id] = true;
    free(a);
}

static void verify_meta(struct meta *m, struct meta_model *model)
{
    bool seen[META_COMMANDS] = {false};
    for (uint64_t i = 0; i < meta_n(m); i++) {
        struct meta_applied a = meta_at(m, i);
        EXPECT(a.id < model->proposed, "command %llu came back and was never proposed", (unsigned long long)a.id);
        EXPECT(!seen[a.id], "command %llu came back twice", (unsigned long long)a.id);
        EXPECT(model->index[a.id] == 0 || model->index[a.id] == a.pos.index,
               "command %llu was applied at index %llu and came back at %llu", (unsigned long long)a.id,
               (unsigned long long)model->index[a.id], (unsigned long long)a.pos.index);
        seen[a.id] = true;
        model->index[a.id] = a.pos.index;
    }
    for (uint64_t id = 0; id < model->proposed; id++)
        EXPECT(!model->acked[id] || seen[id], "command %llu was acknowledged and is lost", (unsigned long long)id);
}

static void note_applied(struct meta *m, uint64_t id)
{
    struct meta_model *model = ((struct trial *)m->user)->model;
    if (id < META_COMMANDS)
        model->index[id] = m->last.index;
}

static void propose_one(struct meta *m, struct meta_model *model)
{
    uint64_t id = model->proposed++;
    struct ack *a = malloc(sizeof *a);
    struct kit_call *c;
    EXPECT(a != NULL, "the kit has no memory");
    *a = (struct ack){.model = model, .id = id};
    int32_t rc = meta_propose(m, CHRONIK_META_CLIENT, id, 16 + id * 97 % 3000, &c);
    EXPECT(rc >= 0, "propose answered %s", kit_code(rc));
    c->also = acknowledged; /* in the simulator nothing completes before the next wait */
    c->also_arg = a;
    if (rc > 0)
        acknowledged(a, rc);
}

static void meta_life(struct trial *t)
{
    struct meta_model *model = t->model;
    struct meta m;
    if (t->lives == 0)
        memset(model, 0, sizeof *model);
    int32_t rc = meta_create(&m, t->k, NULL);
    EXPECT(rc > 0, "create answered %s", kit_code(rc));
    m.user = t;
    m.on_apply = note_applied;
    meta_start(&m, (struct chronik_meta_pos){0, 0}, 0);
    verify_meta(&m, model);
    struct os_flag never = {0};
    for (int i = 0; i < 60 && model->proposed < META_COMMANDS - 10; i++) {
        for (uint64_t burst = 1 + (t->seed + model->proposed) % 5; burst > 0; burst--)
            propose_one(&m, model);
        os_flag_wait(t->k->os, &never, KIT_SECOND / 400);
    }
    meta_close(&m);
}

void meta_power_cuts(struct kit *k)
{
    static struct meta_model model;
    power_cuts(k, meta_life, &model);
}

/* ---- storage: every batch below an announced end is there ---- */

#define STORE_PARTS 3

struct store_model {
    bool made[STORE_PARTS]; /* part_init was done */
    struct part part[STORE_PARTS];
    int64_t asked_start[STORE_PARTS]; /* the largest log start that was asked for, completed or not */
};

/* Compares the log with the model and makes the model follow: what was not announced may be there or not. */
static void verify_part(struct store_model *model, int i)
{
    struct part *p = &model->part[i];
    struct chronik_part_stat st = part_stat(p);
    EXPECT(st.offline == 0, "partition %d is offline after a power cut", i);
    EXPECT(st.written >= p->durable, "partition %d ends at %lld, announced durable was %lld", i, (long long)st.written,
           (long long)p->durable);
    EXPECT(st.written <= p->end, "partition %d ends at %lld, appended was up to %lld", i, (long long)st.written,
           (long long)p->end);
    EXPECT(st.log_start >= p->log_start && st.log_start <= max_i64(p->log_start, model->asked_start[i]),
           "partition %d starts at %lld, wanted %lld to %lld", i, (long long)st.log_start, (long long)p->log_start,
           (long long)model->asked_start[i]);
    p->log_start = st.log_start;
    model_truncate_suffix(p, st.written);
    EXPECT(p->n == 0 || p->batches[p->n - 1].last + 1 == st.written || st.written <= st.log_start,
           "partition %d ends at %lld, inside a batch", i, (long long)st.written);
    p->durable = st.written; /* a recovered tail is synced before its partition opens */
    part_verify(p, p->log_start, p->end, 20000);
}

static void open_parts(struct trial *t, struct store *s)
{
    struct store_model *model = t->model;
    for (int i = 0; i < STORE_PARTS; i++) {
        struct part *p = &model->part[i];
        if (!model->made[i]) {
            part_init(p, s, i);
            model->made[i] = true;
        }
        part_revive(p, s);
        int32_t rc = CALL(s->ops->open(s->s, &p->id, 0, p, &p->p));
        EXPECT(rc > 0 || rc == CHRONIK_E_NOTFOUND, "open of partition %d after a power cut answered %s", i,
               kit_code(rc));
        EXPECT(rc > 0 || p->durable == 0, "partition %d is lost, announced durable was %lld", i, (long long)p->durable);
        if (rc < 0) {
            free(p->batches);
            part_init(p, s, i);
            model->asked_start[i] = 0;
            part_open(p, CHRONIK_STORE_CREATE);
        }
        verify_part(model, i);
    }
}

static void forget(struct store_model *model)
{
    for (int i = 0; i < STORE_PARTS; i++)
        free(model->part[i].batches);
    memset(model, 0, sizeof *model);
}

static void store_life(struct trial *t)
{
    struct store_model *model = t->model;
    struct store s;
    struct os_flag never = {0};
    if (t->lives == 0)
        forget(model);
    store_open(&s, t->k);
    open_parts(t, &s);
    for (unsigned i = 0; i < 40; i++) {
        int at = (int)((t->seed + i) % STORE_PARTS);
        struct part *p = &model->part[at];
        part_add(p, 1 + i % 3, 1 + i % 4, 200 + i * 331 % 9000);
        if (i % 9 == 4)
            EXPECT(CALL(s.ops->roll(p->p)) > 0, "roll failed");
        if (i % 13 == 7) {
            int64_t start = p->end - 2;
            model->asked_start[at] = max_i64(model->asked_start[at], start);
            EXPECT(part_truncate_prefix(p, start) > 0, "truncate_prefix failed");
            p->log_start = max_i64(p->log_start, start);
        }
        if (i % 5 == 0)
            os_flag_wait(t->k->os, &never, KIT_SECOND / 300);
    }
    store_close(&s);
    for (int i = 0; i < STORE_PARTS; i++)
        EXPECT(model->part[i].durable == model->part[i].end, "close completed with %lld announced durable of %lld",
               (long long)model->part[i].durable, (long long)model->part[i].end);
}

void store_power_cuts(struct kit *k)
{
    static struct store_model model;
    power_cuts(k, store_life, &model);
}
