/* test_sim_meta.c: the metadata state machine over meta-local on a virtual disk: random commands, power cuts and kills
 * at random disk operations, lost and doubled answers of the engine, snapshots every few kilobytes, checkpoints that a
 * cut turns to garbage. After each death every acknowledged command is there, once, and wherever a sequence number is
 * seen twice its digest is the same. Then the same with named mutants, which must not survive.
 *
 *   CK_RUN_CASE=cuts CHRONIK_SEEDS=n test_sim_meta     the cuts alone, more of them */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chronik/plugin.h>

#include "sim.h"
#include "tests/unit/meta/rig.h"

const struct chronik_plugin *meta_local_plugin(void);
const char *chronik_mutant = "";

enum { TOPICS = 40, ROUNDS = 5, COMMANDS = 120, OPEN = 12, HISTORY = 8192, RANGES = 2048 };

enum known { ABSENT, MAYBE, PRESENT, GONE };

/* What the clients know. It outlives the node. */
struct model {
    enum known topic[TOPICS];
    uint64_t id[TOPICS];   /* of the topic's last creation */
    int64_t cfg[TOPICS];   /* last acknowledged value of a setting; 0 none */
    int64_t asked[TOPICS]; /* last value proposed */
    bool busy[TOPICS];
    uint64_t next_id;
    struct {
        int64_t first, n;
    } range[RANGES];
    int n_ranges;
    struct {
        bool seen;
        uint64_t digest[2];
    } history[HISTORY];
    uint64_t acked_seq;
    int64_t ids_asked; /* producer ids that may have been given away at most */
    int outstanding, lives;
    int epoch_above[TOPICS]; /* lives of the node before the topic's creation */
};

static struct sim_world *w;
static struct os *os;
static struct rig rig;
static struct meta_kv_table *kv;
static struct model md;
static struct meta_sub sub;
static struct chronik_meta_ops shim;
static struct {
    _Atomic uint64_t cuts, kills, acked;
} * count; /* across the children of sim_seeds; NULL: nobody asks */

/* ---- an engine that loses answers and doubles commands ---- */

struct lie {
    struct chronik_done done;
    bool silent, lie;
    struct chronik_task task;
};

/* A command that never reached the log, as its proposer learns later. */
static void shim_lost(void *arg)
{
    struct lie l = *(struct lie *)arg;
    free(arg);
    l.done.fn(l.done.arg, CHRONIK_E_TIMEDOUT);
}

static void shim_done(void *arg, int32_t rc)
{
    struct lie l = *(struct lie *)arg;
    free(arg);
    if (!l.silent)
        l.done.fn(l.done.arg, l.lie && rc > 0 ? CHRONIK_E_TIMEDOUT : rc);
}

static int32_t shim_propose(chronik_meta *m, uint32_t klass, const struct chronik_iov *iov, uint32_t n,
                            struct chronik_done done)
{
    uint64_t dice = sim_rand(w, 100);
    if (dice < 5)
        return CHRONIK_E_NOT_LEADER;
    if (dice < 10) {
        struct lie *x = calloc(1, sizeof *x);
        x->done = done;
        x->task = (struct chronik_task){.fn = shim_lost, .arg = x};
        rig.m->host.exec_post_at(rig.m->apply, &x->task, os_mono_ns(os) + (int64_t)sim_rand(w, 3 * SIM_MS));
        return CHRONIK_PENDING;
    }
    if (dice < 15) { /* twice in the log */
        struct lie *x = calloc(1, sizeof *x);
        x->silent = true;
        if (((const struct chronik_meta_ops *)meta_local_plugin()->ops)
                ->propose(m, klass, iov, n, (struct chronik_done){shim_done, x}) != CHRONIK_PENDING)
            free(x);
    }
    struct lie *l = calloc(1, sizeof *l);
    *l = (struct lie){.done = done, .lie = dice >= 15 && dice < 30};
    int32_t rc = ((const struct chronik_meta_ops *)meta_local_plugin()->ops)
                     ->propose(m, klass, iov, n, (struct chronik_done){shim_done, l});
    if (rc != CHRONIK_PENDING)
        free(l);
    return rc;
}

/* ---- the clients ---- */

struct op {
    int kind, topic;
    int64_t value;
};

static void op_acked(const struct op *o, const struct meta_result *r)
{
    switch (o->kind) {
    case 0:
        ck_assert_msg(r->code == 0, "create: %s", r->text);
        md.topic[o->topic] = PRESENT;
        break;
    case 1:
        ck_assert_msg(r->code == 0, "delete: %s", r->text);
        md.topic[o->topic] = GONE;
        break;
    case 2:
        ck_assert_msg(r->code == 0, "config: %s", r->text);
        md.cfg[o->topic] = o->value;
        break;
    default:
        ck_assert_int_eq(r->code, 0);
        for (int i = 0; i < md.n_ranges; i++)
            ck_assert_msg(r->values[0] >= md.range[i].first + md.range[i].n ||
                              r->values[0] + o->value <= md.range[i].first,
                          "producer ids given twice");
        ck_assert_int_lt(md.n_ranges, RANGES);
        md.range[md.n_ranges].first = r->values[0];
        md.range[md.n_ranges++].n = o->value;
    }
    ck_assert_uint_gt(r->seq, 0);
    if (r->seq > md.acked_seq)
        md.acked_seq = r->seq;
}

static void on_answer(void *arg, const struct meta_result *r)
{
    struct op *o = arg;
    if (o->kind < 3)
        md.busy[o->topic] = false;
    ck_assert_msg(r->code != KAFKA_REQUEST_TIMED_OUT, "a proposal was given up although the log works");
    op_acked(o, r);
    md.outstanding--;
    free(o);
}

/* Fills a command that makes sense now; false: try another. */
static bool draw(struct op *o, struct meta_command *c, struct meta_assignment *a, struct meta_kv *e, char *text)
{
    static char name[32];
    o->kind = (int)sim_rand(w, 4);
    o->topic = (int)sim_rand(w, TOPICS);
    if (o->kind < 3 && md.busy[o->topic])
        return false;
    int t = o->topic;
    snprintf(name, sizeof name, "topic-%d", t);
    *c = (struct meta_command){.type = META_CMD_PRODUCER_IDS};
    o->value = 1 + (int64_t)sim_rand(w, 50);
    c->u.producer_ids = (struct meta_producer_ids){.broker = 1, .broker_epoch = -1, .count = (uint32_t)o->value};
    if (o->kind == 0) {
        if (md.topic[t] == PRESENT || md.topic[t] == MAYBE)
            return false;
        md.topic[t] = MAYBE;
        md.id[t] = ++md.next_id;
        md.epoch_above[t] = md.lives;
        md.cfg[t] = md.asked[t] = 0;
        *a = (struct meta_assignment){.replicas = &rig.opt.node_id, .n_replicas = 1};
        *c = (struct meta_command){.type = META_CMD_TOPIC_CREATE};
        c->u.topic_create =
            (struct meta_topic_create){.id = rig_id(md.id[t]), .name = name, .partitions = a, .n_partitions = 1};
    } else if (o->kind == 1) {
        if (md.topic[t] != PRESENT)
            return false;
        md.topic[t] = MAYBE;
        *c = (struct meta_command){.type = META_CMD_TOPIC_DELETE};
        c->u.topic_delete.id = rig_id(md.id[t]);
    } else if (o->kind == 2) {
        if (md.topic[t] != PRESENT)
            return false;
        o->value = ++md.asked[t];
        snprintf(text, 24, "%lld", (long long)o->value);
        *e = (struct meta_kv){"retention.ms", text, false};
        *c = (struct meta_command){.type = META_CMD_CONFIG_SET};
        c->u.config_set = (struct meta_config_set){.type = META_RES_TOPIC, .name = name, .entries = e, .n_entries = 1};
    }
    return true;
}

static void send_one(void)
{
    struct op o;
    struct meta_command c;
    struct meta_assignment a;
    struct meta_kv e;
    char text[24];
    if (!draw(&o, &c, &a, &e, text))
        return;
    struct op *copy = malloc(sizeof *copy);
    *copy = o;
    if (o.kind < 3)
        md.busy[o.topic] = true;
    int32_t rc = meta_propose(rig.m, (enum meta_class)sim_rand(w, 2) + 1, &c, 60000, on_answer, copy);
    ck_assert_int_eq(rc, CHRONIK_PENDING);
    md.outstanding++;
    if (o.kind == 3)
        md.ids_asked += o.value;
}

/* ---- checks ---- */

static void note_digest(uint64_t seq, const uint64_t digest[2])
{
    if (seq >= HISTORY)
        return;
    if (md.history[seq].seen)
        ck_assert_msg(md.history[seq].digest[0] == digest[0] && md.history[seq].digest[1] == digest[1],
                      "the digest after command %llu is another one than before", (unsigned long long)seq);
    md.history[seq].seen = true;
    md.history[seq].digest[0] = digest[0];
    md.history[seq].digest[1] = digest[1];
}

static void on_change(void *arg, const struct meta_image *i, const struct meta_change *c, uint32_t n)
{
    note_digest(i->seq, i->digest);
}

static void check_topic(const struct meta_image *i, int t)
{
    char name[32];
    snprintf(name, sizeof name, "topic-%d", t);
    const struct meta_topic *x = meta_topic_by_name(i, name, strlen(name));
    struct chronik_uuid id = rig_id(md.id[t]);
    ck_assert_msg(md.topic[t] != PRESENT || (x && meta_uuid_eq(&x->id, &id)), "%s was created and is lost", name);
    ck_assert_msg((md.topic[t] != GONE && md.topic[t] != ABSENT) || !x, "%s was deleted and is back", name);
    if (md.topic[t] == MAYBE)
        md.topic[t] = x ? PRESENT : GONE;
    if (x) {
        const char *v = meta_config_get(x->configs, "retention.ms");
        int64_t has = v ? atoll(v) : 0;
        ck_assert_msg(has >= md.cfg[t] && has <= md.asked[t], "%s: setting %lld, acknowledged %lld, proposed %lld",
                      name, (long long)has, (long long)md.cfg[t], (long long)md.asked[t]);
        md.cfg[t] = md.asked[t] = has;
        ck_assert_msg(x->partitions[0]->leader_epoch >= md.lives - md.epoch_above[t],
                      "%s: leader epoch %d after %d more lives of its leader", name, x->partitions[0]->leader_epoch,
                      md.lives - md.epoch_above[t]);
    }
    md.busy[t] = false;
}

static void check_state(void)
{
    const struct meta_image *i = meta_enter(rig.reader);
    uint64_t d[2];
    meta_image_digest(i, d);
    ck_assert_uint_eq(d[0], i->digest[0]);
    ck_assert_uint_eq(d[1], i->digest[1]);
    ck_assert_uint_ge(i->seq, md.acked_seq);
    for (int t = 0; t < TOPICS; t++)
        check_topic(i, t);
    for (int k = 0; k < md.n_ranges; k++)
        ck_assert_int_ge(i->producer_next, md.range[k].first + md.range[k].n);
    ck_assert_msg(i->producer_next <= md.ids_asked, "%lld producer ids are gone, %lld were asked for",
                  (long long)i->producer_next, (long long)md.ids_asked);
    md.ids_asked = i->producer_next;
    meta_leave(rig.reader);
}

/* ---- a life of the node ---- */

static void live(void *arg)
{
    bool stop = *(bool *)arg;
    ck_assert_msg(rig_begin(&rig), "%s", rig.failed_text);
    meta_subscribe(rig.m, &sub);
    struct err e;
    ck_assert_int_eq(meta_start(rig.m, &e), CHRONIK_DONE);
    for (int k = 0; k < 100 && !rig.registered.set; k++) {
        os_flag_wait(os, &rig.registered, 500 * SIM_MS);
        ck_assert_msg(!rig.failed.set, "%s", rig.failed_text);
    }
    ck_assert_msg(rig.registered.set, "the broker did not register");
    md.outstanding = 0;
    md.lives++;
    check_state();
    for (int n = 0; n < COMMANDS; n++) {
        for (int k = 0; k < 1000 && md.outstanding >= OPEN; k++) {
            struct os_flag never = {0};
            os_flag_wait(os, &never, SIM_MS);
        }
        ck_assert_msg(md.outstanding < OPEN, "proposals are not answered");
        send_one();
        if (sim_rand(w, 4) == 0) {
            struct os_flag never = {0};
            os_flag_wait(os, &never, (int64_t)sim_rand(w, 3) * SIM_MS);
        }
    }
    for (int k = 0; k < 1000 && md.outstanding; k++) {
        struct os_flag never = {0};
        os_flag_wait(os, &never, SIM_MS);
    }
    ck_assert_int_eq(md.outstanding, 0);
    if (stop)
        rig_stop(&rig);
}

static void one(uint64_t seed)
{
    w = sim_world_new(seed);
    os = sim_node(w, "n1");
    memset(&md, 0, sizeof md);
    kv = meta_kv_mem_new();
    shim = *(const struct chronik_meta_ops *)meta_local_plugin()->ops;
    shim.propose = shim_propose;
    sub = (struct meta_sub){.fn = on_change};
    for (int round = 0; round < ROUNDS; round++) {
        bool stop = sim_rand(w, 4) == 0, power = sim_rand(w, 3) != 0;
        rig_init(&rig, os, &shim);
        rig.snapshot_bytes = 2000 + (int64_t)sim_rand(w, 6000);
        rig.file_bytes = 4096;
        rig.opt.checkpoint = "/state";
        rig.opt.kv = kv;
        rig.opt.checkpoint_ms = 1 + (int64_t)sim_rand(w, 20);
        uint64_t at = sim_io_count(os) + 1 + sim_rand(w, 400);
        if (!stop && power)
            sim_cut_at(os, at);
        else if (!stop)
            sim_kill_at(os, at);
        sim_call(os, live, &stop);
        sim_cut_at(os, 0);
        sim_kill_at(os, 0);
        if (sim_up(os)) {
            if (power)
                sim_power_cut(os);
            else
                sim_kill(os);
        }
        if (count)
            atomic_fetch_add(power ? &count->cuts : &count->kills, 1);
        /* A power cut may leave anything in the checkpoint's table. */
        for (uint64_t k = power ? sim_rand(w, 4) : 0; k > 0; k--)
            meta_kv_mem_damage(kv, sim_rand(w, UINT64_MAX));
        sim_restart(os);
    }
    if (count)
        atomic_fetch_add(&count->acked, md.acked_seq);
    kv->close(kv);
    sim_world_free(w);
}

START_TEST(s4_s5_d3_d4_every_acknowledged_command_is_there_once_after_each_cut)
{
    const char *seeds = getenv("CHRONIK_SEEDS");
    count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(count != MAP_FAILED);
    ck_assert_uint_eq(sim_seeds("meta", 1, seeds ? strtoull(seeds, NULL, 10) : 300, one), 0);
    dprintf(1, "%llu power cuts, %llu kills, %llu commands acknowledged: ok\n", (unsigned long long)count->cuts,
            (unsigned long long)count->kills, (unsigned long long)count->acked);
}
END_TEST

/* ---- single faults ---- */

static void begin(uint64_t seed)
{
    w = sim_world_new(seed);
    os = sim_node(w, "n1");
    memset(&md, 0, sizeof md);
    kv = meta_kv_mem_new();
    shim = *(const struct chronik_meta_ops *)meta_local_plugin()->ops;
    rig_init(&rig, os, &shim);
    rig.snapshot_bytes = 1 << 20;
    rig.file_bytes = 8192;
    rig.opt.checkpoint = "/state";
    rig.opt.kv = kv;
    rig.opt.checkpoint_ms = 5;
}

static void doze(int64_t ns)
{
    struct os_flag never = {0};
    os_flag_wait(os, &never, ns);
}

static void lying_status(chronik_meta *m, struct chronik_meta_status *out)
{
    ((const struct chronik_meta_ops *)meta_local_plugin()->ops)->status(m, out);
    out->committed += 3;
}

static void stalled_life(void *arg)
{
    rig_start(&rig);
    ck_assert_int_eq(rig_create(&rig, "t", 1, 1).code, 0);
    doze(3 * SIM_S);
    struct meta_status s;
    meta_status_get(rig.m, &s);
    ck_assert_msg(strstr(s.stalled, "apply stands still: entry"), "the watchdog said '%s'", s.stalled);
    rig_stop(&rig);
}

static void stalled(uint64_t seed)
{
    begin(seed);
    shim.status = lying_status;
    ck_assert(sim_call(os, stalled_life, NULL));
}

START_TEST(s2_committed_and_not_applied_without_progress_is_named_within_three_seconds)
{
    ck_assert_uint_eq(sim_seeds("stalled", 1, 20, stalled), 0);
}
END_TEST

static void failing_life(void *arg)
{
    rig_start(&rig);
    sim_disk_fail(os, OS_FAULT_SYNC, 1000, CHRONIK_E_IO);
    struct rig_result r = rig_create(&rig, "t", 1, 1);
    ck_abort_msg("answered with %d although no sync succeeds", r.code);
}

static void failing(uint64_t seed)
{
    begin(seed);
    ck_assert(!sim_call(os, failing_life, NULL));
    ck_assert_int_eq(sim_exit_code(os), 74);
}

START_TEST(d1_s5_a_failed_sync_of_the_metadata_log_ends_the_process_and_answers_nobody)
{
    ck_assert_uint_eq(sim_seeds("failing sync", 1, 20, failing), 0);
}
END_TEST

static void full_life(void *arg)
{
    rig_start(&rig);
    sim_disk_budget(os, 0);
    struct rig_result res[200];
    int before = 0, after = 0;
    for (int i = 0; i < 200; i++) {
        struct meta_command c = {.type = META_CMD_PRODUCER_IDS};
        c.u.producer_ids = (struct meta_producer_ids){.broker = 1, .broker_epoch = -1, .count = 1};
        rig_post(&rig, &c, 100000, &res[i]);
        ck_assert_int_eq(res[i].refused, CHRONIK_PENDING);
        doze(20 * SIM_MS);
    }
    for (int i = 0; i < 200; i++)
        before += res[i].done.set;
    struct meta_status s;
    meta_status_get(rig.m, &s);
    ck_assert(!s.stopped);
    sim_disk_budget(os, UINT64_MAX);
    doze(15 * SIM_S);
    for (int i = 0; i < 200; i++)
        after += res[i].done.set && res[i].code == 0;
    ck_assert_int_lt(before, 200);
    ck_assert_int_eq(after, 200);
    meta_status_get(rig.m, &s);
    ck_assert_str_eq(s.checkpoint, "");
    ck_assert_uint_eq(s.checkpoint_seq, s.seq);
    rig_stop(&rig);
}

static void full(uint64_t seed)
{
    begin(seed);
    ck_assert(sim_call(os, full_life, NULL));
}

START_TEST(d4_a_full_disk_delays_commands_and_checkpoints_and_all_goes_on_with_new_space)
{
    ck_assert_uint_eq(sim_seeds("full disk", 1, 20, full), 0);
}
END_TEST

static const char *const mutants[] = {"local_ack_before_sync",     "meta_repeat_applied", "meta_checkpoint_trusted",
                                      "meta_trim_before_snapshot", "meta_gap_accepted",   "meta_epochs_not_raised",
                                      "local_snapshot_ignored"};

/* What the children say about seeds that fail, as they must, is not for the reader. */
START_TEST(a_mutant_is_noticed)
{
    int out = dup(1), err = dup(2);
    fflush(NULL);
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stdout));
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
    chronik_mutant = mutants[_i];
    unsigned failed = sim_seeds(chronik_mutant, 1, 64, one);
    fflush(NULL);
    dup2(out, 1);
    dup2(err, 2);
    dprintf(1, "mutant %s: noticed by %u of 64 seeds\n", mutants[_i], failed);
    ck_assert_msg(failed > 0, "mutant %s survived", mutants[_i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("meta in the simulator");
    TCase *t = tcase_create("cuts"), *f = tcase_create("faults"), *m = tcase_create("mutants");
    tcase_set_timeout(t, 240);
    tcase_set_timeout(f, 120);
    tcase_set_timeout(m, 120);
    tcase_add_test(t, s4_s5_d3_d4_every_acknowledged_command_is_there_once_after_each_cut);
    tcase_add_test(f, s2_committed_and_not_applied_without_progress_is_named_within_three_seconds);
    tcase_add_test(f, d1_s5_a_failed_sync_of_the_metadata_log_ends_the_process_and_answers_nobody);
    tcase_add_test(f, d4_a_full_disk_delays_commands_and_checkpoints_and_all_goes_on_with_new_space);
    tcase_add_loop_test(m, a_mutant_is_noticed, 0, (int)ARRAY_LEN(mutants));
    suite_add_tcase(s, t);
    suite_add_tcase(s, f);
    suite_add_tcase(s, m);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
