/* test_state.c: the state machine alone, without threads or engine: every family of commands, the envelope, the digest,
 * rows and restoring, the tree and the tables below. And the corpus: logs of commands whose digests must never change.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "meta/kv.h"
#include "meta/meta_int.h"
#include "os/os.h"
#include "state_rig.h"

START_TEST(a_topic_is_created_grown_and_deleted_and_its_id_kept_until_all_hosts_confirm)
{
    const int32_t both[] = {1, 2}, none[] = {3}, twice[] = {1, 1};
    ck_assert_int_eq(reg(1, 1, 9, false), 0);
    ck_assert_int_eq(reg(2, 1, 8, false), 0);
    ck_assert_int_eq(create("t", 1, 3, both, 2), 0);
    ck_assert_int_eq(create("t", 2, 3, both, 2), KAFKA_TOPIC_ALREADY_EXISTS);
    ck_assert_int_eq(create("u", 1, 3, both, 2), KAFKA_TOPIC_ALREADY_EXISTS);
    ck_assert_int_eq(create("a b", 3, 3, both, 2), KAFKA_INVALID_TOPIC_EXCEPTION);
    ck_assert_int_eq(create("u", 3, 1, none, 1), KAFKA_INVALID_REPLICA_ASSIGNMENT);
    ck_assert_int_eq(create("u", 3, 1, twice, 2), KAFKA_INVALID_REPLICA_ASSIGNMENT);
    ck_assert_int_eq(create("u", 3, 0, both, 2), KAFKA_INVALID_PARTITIONS);
    ck_assert_str_eq(meta_config_get(topic("t")->configs, "cleanup.policy"), "compact");
    struct meta_assignment a = {.replicas = both, .n_replicas = 2};
    struct meta_command add = {.type = META_CMD_PARTITIONS_ADD};
    add.u.partitions_add =
        (struct meta_partitions_add){.id = id_of(1), .first = 2, .partitions = &a, .n_partitions = 1};
    ck_assert_int_eq(apply(&add), KAFKA_INVALID_PARTITIONS);
    add.u.partitions_add.first = 3;
    ck_assert_int_eq(apply(&add), 0);
    ck_assert_int_eq(topic("t")->n_partitions, 4);
    ck_assert_uint_eq(st.img.n_partitions, 4);
    ck_assert_int_eq(drop_topic(1), 0);
    ck_assert_int_eq(drop_topic(1), KAFKA_UNKNOWN_TOPIC_ID);
    ck_assert_uint_eq(st.img.n_partitions, 0);
    struct chronik_uuid id = id_of(1);
    struct meta_command gone = {.type = META_CMD_TOPICS_REMOVED};
    gone.u.topics_removed = (struct meta_topics_removed){.broker = 1, .ids = &id, .n_ids = 1};
    ck_assert_int_eq(apply(&gone), 0);
    ck_assert(meta_topic_was_deleted(&st.img, &id));
    ck_assert_int_eq(create("t", 1, 1, both, 2), KAFKA_TOPIC_ALREADY_EXISTS); /* the id is not free yet */
    gone.u.topics_removed.broker = 2;
    ck_assert_int_eq(apply(&gone), 0);
    ck_assert(!meta_topic_was_deleted(&st.img, &id));
}
END_TEST

START_TEST(a_registration_raises_leader_epochs_and_an_unclean_one_leaves_every_larger_isr)
{
    const int32_t both[] = {1, 2}, alone[] = {1};
    reg(1, 1, 9, false);
    reg(2, 1, 8, false);
    create("two", 1, 1, both, 2);
    create("one", 2, 1, alone, 1);
    ck_assert_int_eq(reg(1, 1, 7, false), KAFKA_STALE_BROKER_EPOCH); /* boot number not higher */
    struct meta_envelope own = envelope();
    static const struct meta_endpoint ep = {"PLAINTEXT", "h", 1, 0};
    struct meta_command c = {.type = META_CMD_BROKER_REGISTER};
    c.u.broker_register = (struct meta_broker_register){
        .id = 1, .boot = 2, .incarnation = {{6}}, .endpoints = &ep, .n_endpoints = 1, .unclean = true};
    own.incarnation = (struct chronik_uuid){{6}};
    own.number = own.lowest = 0;
    ck_assert_int_eq(apply_as(own, &c, 1), META_APPLIED);
    ck_assert_int_eq(last.outs[0].code, 0);
    ck_assert_int_eq(topic("two")->partitions[0]->leader, 2);
    ck_assert_int_eq(topic("two")->partitions[0]->n_isr, 1);
    ck_assert_int_eq(topic("two")->partitions[0]->leader_epoch, 1);
    ck_assert_int_eq(topic("one")->partitions[0]->leader, 1);
    ck_assert_int_eq(topic("one")->partitions[0]->leader_epoch, 1);
    /* What the former incarnation still has under way is refused. */
    ck_assert_int_eq(apply_as(envelope(), &c, 1), META_APPLIED); /* a registration is judged by its boot number */
    ck_assert_int_eq(last.outs[0].code, 0);                      /* the same incarnation: a no-op */
    struct meta_command ids = {.type = META_CMD_PRODUCER_IDS};
    ids.u.producer_ids = (struct meta_producer_ids){.broker = 1, .broker_epoch = -1, .count = 1};
    ck_assert_int_eq(apply_as(envelope(), &ids, 1), META_STALE);
}
END_TEST

START_TEST(fencing_moves_leadership_and_the_last_in_sync_stays_in_sync)
{
    const int32_t both[] = {1, 2};
    reg(1, 1, 9, false);
    reg(2, 1, 8, false);
    create("t", 1, 1, both, 2);
    struct meta_command f = {.type = META_CMD_BROKER_UPDATE};
    f.u.broker_update = (struct meta_broker_update){
        .id = 1, .epoch = meta_broker_by_id(&st.img, 1)->epoch, .fenced = 1, .shutting_down = -1};
    ck_assert_int_eq(apply(&f), 0);
    ck_assert_int_eq(topic("t")->partitions[0]->leader, 2);
    ck_assert_int_eq(topic("t")->partitions[0]->n_isr, 1);
    f.u.broker_update = (struct meta_broker_update){
        .id = 2, .epoch = meta_broker_by_id(&st.img, 2)->epoch, .fenced = 1, .shutting_down = -1};
    ck_assert_int_eq(apply(&f), 0);
    ck_assert_int_eq(topic("t")->partitions[0]->leader, -1);
    ck_assert_int_eq(topic("t")->partitions[0]->isr[0], 2);
    f.u.broker_update.fenced = 0;
    ck_assert_int_eq(apply(&f), 0);
    ck_assert_int_eq(topic("t")->partitions[0]->leader, 2);
    f.u.broker_update.epoch++;
    ck_assert_int_eq(apply(&f), KAFKA_STALE_BROKER_EPOCH);
}
END_TEST

START_TEST(an_isr_change_is_compare_and_set_on_both_epochs)
{
    const int32_t both[] = {1, 2}, one[] = {1}, other[] = {2}, three[] = {1, 3};
    reg(1, 1, 9, false);
    reg(2, 1, 8, false);
    create("t", 1, 1, both, 2);
    struct meta_command c = {.type = META_CMD_PARTITION_CHANGE};
    c.u.partition_change = (struct meta_partition_change){
        .topic = id_of(1), .partition_epoch = 0, .leader_epoch = 0, .leader = META_LEADER_KEEP, .isr = one, .n_isr = 1};
    ck_assert_int_eq(apply(&c), 0);
    ck_assert_int_eq(last.outs[0].values[0], 1);
    ck_assert_int_eq(apply(&c), KAFKA_INVALID_UPDATE_VERSION);
    c.u.partition_change.partition_epoch = 1;
    c.u.partition_change.leader_epoch = 7;
    ck_assert_int_eq(apply(&c), KAFKA_FENCED_LEADER_EPOCH);
    c.u.partition_change.leader_epoch = 0;
    c.u.partition_change.isr = other; /* the leader is not in it */
    ck_assert_int_eq(apply(&c), KAFKA_INVALID_REQUEST);
    c.u.partition_change.isr = three;
    c.u.partition_change.n_isr = 2;
    ck_assert_int_eq(apply(&c), KAFKA_INVALID_REQUEST);
    c.u.partition_change.isr = both;
    c.u.partition_change.leader = 2;
    ck_assert_int_eq(apply(&c), 0);
    ck_assert_int_eq(topic("t")->partitions[0]->leader_epoch, 1);
    ck_assert_int_eq(topic("t")->partitions[0]->partition_epoch, 2);
}
END_TEST

START_TEST(settings_merge_delete_and_replace)
{
    const int32_t one[] = {1};
    reg(1, 1, 9, false);
    create("t", 1, 1, one, 1);
    struct meta_kv e[] = {{"retention.ms", "5", false}, {"cleanup.policy", NULL, false}};
    struct meta_command c = {.type = META_CMD_CONFIG_SET};
    c.u.config_set = (struct meta_config_set){.type = META_RES_TOPIC, .name = "t", .entries = e, .n_entries = 2};
    ck_assert_int_eq(apply(&c), 0);
    ck_assert_uint_eq(topic("t")->configs->n, 1);
    ck_assert_str_eq(meta_config_get(topic("t")->configs, "retention.ms"), "5");
    c.u.config_set = (struct meta_config_set){.type = META_RES_BROKER, .name = "", .entries = e, .n_entries = 1};
    ck_assert_int_eq(apply(&c), 0);
    ck_assert_str_eq(meta_config_get(meta_configs_of(&st.img, META_RES_BROKER, "", 0), "retention.ms"), "5");
    c.u.config_set.n_entries = 0;
    c.u.config_set.replace = true;
    ck_assert_int_eq(apply(&c), 0);
    ck_assert_ptr_null(meta_configs_of(&st.img, META_RES_BROKER, "", 0));
    e[1] = e[0];
    c.u.config_set.n_entries = 2;
    ck_assert_int_eq(apply(&c), KAFKA_INVALID_REQUEST);
    c.u.config_set.type = META_RES_TOPIC;
    c.u.config_set.name = "none";
    ck_assert_int_eq(apply(&c), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
}
END_TEST

START_TEST(features_go_up_and_down_only_when_asked)
{
    struct meta_command c = {.type = META_CMD_FEATURE_SET};
    c.u.feature_set = (struct meta_feature_set){.name = "metadata.version", .level = 25};
    ck_assert_int_eq(apply(&c), 0);
    c.u.feature_set.level = 24;
    ck_assert_int_eq(apply(&c), KAFKA_INVALID_UPDATE_VERSION);
    c.u.feature_set.downgrade = true;
    ck_assert_int_eq(apply(&c), 0);
    struct meta_feature f[4];
    ck_assert_uint_eq(meta_features(&st.img, f, 4), 1);
    ck_assert_int_eq(f[0].level, 24);
    ck_assert_int_eq(meta_features_epoch(&st.img), (int64_t)st.img.seq);
}
END_TEST

START_TEST(behind_a_fence_nothing_is_applied_until_open_or_unfence_with_its_nonce)
{
    struct meta_command fence = {.type = META_CMD_FENCE}, open = {.type = META_CMD_OPEN},
                        ids = {.type = META_CMD_PRODUCER_IDS};
    ids.u.producer_ids = (struct meta_producer_ids){.broker = 1, .broker_epoch = -1, .count = 1};
    fence.u.fence = (struct meta_fence){.next_epoch = 1, .engine = "meta-raft", .nonce = id_of(5)};
    ck_assert_int_eq(apply(&fence), 0);
    ck_assert_int_eq(apply_as(envelope(), &ids, 1), META_FENCED);
    number++; /* given up */
    open.u.open.nonce = id_of(6);
    ck_assert_int_eq(apply(&open), KAFKA_INVALID_REQUEST);
    open.u.open.nonce = id_of(5);
    ck_assert_int_eq(apply(&open), 0);
    ck_assert_int_eq(apply(&ids), 0);
    fence.u.fence.next_epoch = 2;
    fence.u.fence.nonce = id_of(8);
    ck_assert_int_eq(apply(&fence), 0);
    struct meta_command un = {.type = META_CMD_UNFENCE};
    un.u.unfence = (struct meta_unfence){.epoch = 3, .nonce = id_of(8)};
    ck_assert_int_eq(apply(&un), 0);
    ck_assert_int_eq(apply(&ids), 0);
    ck_assert_uint_eq(st.img.engine_epoch, 3);
}
END_TEST

/* ---- the envelope ---- */

START_TEST(s3_a_repeated_entry_is_answered_from_the_state_and_not_applied_again)
{
    struct meta_command ids = {.type = META_CMD_PRODUCER_IDS};
    ids.u.producer_ids = (struct meta_producer_ids){.broker = 1, .broker_epoch = -1, .count = 10};
    struct meta_envelope e = envelope();
    ck_assert_int_eq(apply_as(e, &ids, 1), META_APPLIED);
    uint64_t seq = st.img.seq, digest = st.img.digest[0];
    ck_assert_int_eq(apply_as(e, &ids, 1), META_REPEAT);
    ck_assert_uint_eq(st.img.seq, seq);
    ck_assert_uint_eq(st.img.digest[0], digest);
    ck_assert_int_eq(last.outs[0].values[0], 0);
    ck_assert_uint_eq(last.first_seq, seq);
    ck_assert_int_eq(st.img.producer_next, 10);
    /* Once the proposer has moved on, its old results are gone. */
    e.number = e.lowest = 1;
    ck_assert_int_eq(apply_as(e, &ids, 1), META_APPLIED);
    e.number = e.lowest = 0;
    ck_assert_int_eq(apply_as(e, &ids, 1), META_REPEAT);
    ck_assert_ptr_null(last.outs);
}
END_TEST

START_TEST(s3_a_copy_behind_an_unregistration_does_not_count_twice)
{
    struct meta_command ids = {.type = META_CMD_PRODUCER_IDS}, gone = {.type = META_CMD_BROKER_UNREGISTER};
    ids.u.producer_ids = (struct meta_producer_ids){.broker = 1, .broker_epoch = -1, .count = 10};
    gone.u.broker_unregister.id = 1;
    reg(1, 1, 9, false);
    struct meta_envelope own = envelope(), other = own;
    own.node = 1;
    own.incarnation = meta_broker_by_id(&st.img, 1)->incarnation;
    own.number = own.lowest = 40;
    ck_assert_int_eq(apply_as(own, &ids, 1), META_APPLIED);
    other.node = 7;
    other.number = other.lowest = 0;
    ck_assert_int_eq(apply_as(other, &gone, 1), META_APPLIED);
    ck_assert_ptr_null(meta_broker_by_id(&st.img, 1));
    ck_assert_int_eq(apply_as(own, &ids, 1), META_REPEAT);
    ck_assert_int_eq(st.img.producer_next, 10);
    own.number = own.lowest = 41; /* it lives, and goes on */
    ck_assert_int_eq(apply_as(own, &ids, 1), META_APPLIED);
}
END_TEST

START_TEST(a_gap_is_refused_unless_the_proposer_gave_the_numbers_up)
{
    struct meta_command ids = {.type = META_CMD_PRODUCER_IDS};
    ids.u.producer_ids = (struct meta_producer_ids){.broker = 1, .broker_epoch = -1, .count = 10};
    struct meta_envelope e = envelope();
    e.number = 2;
    e.lowest = 1;
    ck_assert_int_eq(apply_as(e, &ids, 1), META_GAP);
    e.lowest = 2;
    ck_assert_int_eq(apply_as(e, &ids, 1), META_APPLIED);
    e.number = e.lowest = 1; /* a stray of what was given up */
    ck_assert_int_eq(apply_as(e, &ids, 1), META_REPEAT);
    ck_assert_int_eq(st.img.producer_next, 10);
}
END_TEST

START_TEST(an_unknown_command_stops_before_anything_of_its_entry_is_applied)
{
    struct meta_command ids = {.type = META_CMD_PRODUCER_IDS};
    ids.u.producer_ids = (struct meta_producer_ids){.broker = 1, .broker_epoch = -1, .count = 10};
    struct meta_buf b = {0};
    struct meta_envelope e = envelope();
    e.n_commands = 2;
    meta_envelope_encode(&e, &b);
    meta_cmd_encode(&ids, &b);
    const uint8_t unknown[] = {0xe7, 0x07, 1, 0}; /* type 999, version 1 */
    mb_bytes(&b, unknown, sizeof unknown);
    ck_assert_int_eq(meta_apply_entry(&st, b.p, b.n, &last), META_STOP);
    ck_assert_ptr_nonnull(strstr(last.why, "unknown command type 999 version 1"));
    ck_assert_uint_eq(st.img.seq, 0);
    ck_assert_int_eq(st.img.producer_next, 0);
    for (size_t n = 0; n < b.n; n++) /* every cut of it stops too, and breaks nothing */
        ck_assert_int_eq(meta_apply_entry(&st, b.p, n, &last), META_STOP);
    mb_free(&b);
}
END_TEST

/* ---- rows ---- */

START_TEST(a_state_comes_back_from_its_rows_and_goes_on_alike)
{
    const int32_t both[] = {1, 2};
    reg(1, 1, 9, false);
    reg(2, 1, 8, false);
    for (uint64_t i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", (int)i);
        create(name, i, 3, both, 2);
    }
    drop_topic(7);
    struct meta_command f = {.type = META_CMD_FEATURE_SET};
    f.u.feature_set = (struct meta_feature_set){.name = "metadata.version", .level = 25};
    apply(&f);
    ck_assert_uint_eq(st.img.n_deleted, 1);
    struct meta_state was = st, copy;
    restore_into(&copy);
    st = copy;
    ck_assert_int_eq(create("more", 1000, 2, both, 2), 0); /* the proposer's next number came along */
    meta_state_free(&st);
    st = was;
}
END_TEST

/* ---- the tree against an array ---- */

struct item {
    uint32_t k;
    uint8_t key[4];
};

static const void *item_key(const void *e, size_t *n)
{
    *n = 4;
    return ((const struct item *)e)->key;
}

START_TEST(the_tree_agrees_with_an_array_under_random_changes_and_old_roots_stay_as_they_were)
{
    enum { N = 3000 };
    static struct item items[N];
    static bool in[N], old_in[N];
    struct tree t = {.key = item_key}, old = t;
    srand(5);
    for (uint32_t i = 0; i < N; i++) {
        items[i].k = i;
        put_be32(items[i].key, i);
    }
    struct meta_reader *reader = meta_mem_reader(&mem);
    for (int step = 0; step < 60000; step++) {
        uint32_t i = (uint32_t)rand() % N;
        if (step < 30000 ? rand() % 3 : !(rand() % 3)) {
            ck_assert_ptr_eq(tree_put(&t, &mem, &items[i]), in[i] ? &items[i] : NULL);
            in[i] = true;
        } else {
            ck_assert_ptr_eq(tree_del(&t, &mem, items[i].key, 4), in[i] ? &items[i] : NULL);
            in[i] = false;
        }
        if (step == 25000) { /* a reader holds this root from here on */
            meta_state_publish(&st);
            meta_enter(reader);
            old = t;
            memcpy(old_in, in, sizeof in);
        }
        if (step % 50 == 0)
            meta_state_publish(&st);
    }
    const struct tree *trees[] = {&t, &old};
    bool *want[] = {in, old_in};
    for (int k = 0; k < 2; k++) {
        struct meta_cursor c;
        const struct item *x = tree_seek(trees[k], &c, "", 0);
        uint64_t n = 0;
        for (uint32_t i = 0; i < N; i++) {
            ck_assert(tree_find(trees[k], items[i].key, 4) == (want[k][i] ? &items[i] : NULL));
            if (!want[k][i])
                continue;
            ck_assert_ptr_eq(x, &items[i]);
            x = tree_next(&c);
            n++;
        }
        ck_assert_ptr_null(x);
        ck_assert_uint_eq(n, trees[k]->count);
    }
    meta_leave(reader);
    meta_reader_close(reader);
    tree_clear(&t, &mem);
}
END_TEST

/* ---- the tables against each other ---- */

static bool compare_next(void *arg, const void *k, size_t kn, const void *v, size_t vn)
{
    struct meta_buf *b = arg;
    mb_bytes(b, k, kn);
    mb_bytes(b, v, vn);
    return true;
}

START_TEST(both_tables_do_the_same_through_puts_deletions_clears_aborts_and_reopening)
{
    char dir[] = "/tmp/chronik-kv-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    struct os *os = os_real_new(1);
    struct err e = {0};
    struct meta_kv_table *a = meta_kv_mem_new(), *b;
    ck_assert_msg(meta_kv_lmdb_open(os, dir, &b, &e) == CHRONIK_DONE, "%s", e.text);
    srand(7);
    for (int txn = 0; txn < 150; txn++) {
        ck_assert(a->begin(a, &e) > 0 && b->begin(b, &e) > 0);
        for (int i = rand() % 60; i >= 0; i--) {
            char k[40], v[400];
            int kn = snprintf(k, sizeof k, "%d-%d", rand() % 300, rand() % 3), vn = rand() % 300;
            memset(v, rand(), sizeof v);
            if (rand() % 3) {
                ck_assert(a->put(a, k, (size_t)kn, v, (size_t)vn, &e) > 0);
                ck_assert(b->put(b, k, (size_t)kn, v, (size_t)vn, &e) > 0);
            } else {
                ck_assert(a->del(a, k, (size_t)kn, &e) > 0 && b->del(b, k, (size_t)kn, &e) > 0);
            }
        }
        if (txn % 50 == 49)
            ck_assert(a->clear(a, &e) > 0 && b->clear(b, &e) > 0);
        if (rand() % 5 == 0) {
            a->abort(a);
            b->abort(b);
        } else {
            ck_assert(a->commit(a, &e) > 0 && b->commit(b, &e) > 0);
        }
        if (txn % 20 == 10) {
            b->close(b);
            ck_assert_msg(meta_kv_lmdb_open(os, dir, &b, &e) == CHRONIK_DONE, "%s", e.text);
        }
        struct meta_buf x = {0}, y = {0};
        ck_assert(a->each(a, compare_next, &x, &e) > 0 && b->each(b, compare_next, &y, &e) > 0);
        ck_assert_uint_eq(x.n, y.n);
        ck_assert(x.n == 0 || memcmp(x.p, y.p, x.n) == 0);
        mb_free(&x);
        mb_free(&y);
    }
    uint32_t s1, s2;
    ck_assert(b->sync(b, &e) > 0 && b->sum(b, &s1, &e) > 0);
    ck_assert(meta_kv_lmdb_sum(os, dir, &s2, &e) > 0 && s1 == s2);
    a->close(a);
    b->close(b);
    ck_assert_int_eq(meta_kv_lmdb_drop(os, dir), CHRONIK_DONE);
    os_rmdir(os, dir);
    os_real_free(os);
}
END_TEST

/* ---- readers and the writer, on threads ---- */

struct racing {
    struct meta_reader *r;
    _Atomic bool stop;
    uint64_t looks;
    struct chronik_task task;
    struct os_exec *e;
};

static void race_read(void *arg)
{
    struct racing *x = arg;
    while (!atomic_load(&x->stop)) {
        const struct meta_image *i = meta_enter(x->r);
        struct meta_cursor c;
        uint64_t n = 0;
        for (const struct meta_topic *t = meta_topics_from(i, &c, NULL, 0); t; t = meta_topics_next(&c)) {
            const struct meta_topic *u = meta_topic_by_id(i, &t->id);
            CHECK(u == t && t->partitions[t->n_partitions - 1]->leader == 1);
            n++;
        }
        CHECK(n == meta_topic_count(i));
        meta_leave(x->r);
        x->looks++;
    }
}

START_TEST(readers_on_threads_see_whole_images_while_the_writer_replaces_them)
{
    enum { READERS = 2 };
    const int32_t one[] = {1};
    struct os *os = os_real_new(1);
    static struct racing r[READERS];
    reg(1, 1, 9, false);
    for (int i = 0; i < READERS; i++) {
        r[i].r = meta_mem_reader(&mem);
        ck_assert_int_eq(os_exec_open(os, "reader", 0, &r[i].e), CHRONIK_DONE);
        r[i].task = (struct chronik_task){.fn = race_read, .arg = &r[i]};
        os_exec_post(r[i].e, &r[i].task);
    }
    for (uint64_t i = 0; i < 1500; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", (int)(i % 97));
        if (topic(name)) {
            struct meta_command c = {.type = META_CMD_TOPIC_DELETE};
            c.u.topic_delete.id = topic(name)->id;
            ck_assert_int_eq(apply_as(envelope(), &c, 1), META_APPLIED);
            number++;
        } else {
            ck_assert_int_eq(create(name, 100000 + i, 2, one, 1), 0);
        }
        arena_reset(&st.arena);
    }
    for (int i = 0; i < READERS; i++) {
        atomic_store(&r[i].stop, true);
        os_exec_close(r[i].e);
        ck_assert_uint_gt(r[i].looks, 0);
        meta_reader_close(r[i].r);
    }
    ck_assert_uint_eq(meta_mem_reclaim(&mem), 0);
    os_real_free(os);
}
END_TEST

/* ---- the corpus ---- */

START_TEST(every_log_of_the_corpus_leads_to_the_digests_that_were_recorded)
{
    corpus_check("v1-families.log");
}
END_TEST

static void record_all(void)
{
    static const int32_t r12[] = {1, 2}, r1[] = {1};
    static const struct meta_endpoint ep[] = {{"PLAINTEXT", "a", 9092, 0}, {"CONTROLLER", "b", 9093, 0}};
    static const struct chronik_uuid dirs[] = {{{1, 2, 3}}, {{4}}};
    struct meta_assignment a[3] = {{r12, dirs, 2}, {r12, NULL, 2}, {r12, NULL, 2}}, b = {r1, NULL, 1};
    struct meta_kv e[] = {{"x", "y", false}, {"password", "s", true}, {"z", NULL, false}};
    struct chronik_uuid id = id_of(1);
#define C(T, m, ...)                                                                                                   \
    {                                                                                                                  \
        .type = T, .timestamp_ms = 1700000000000 + (int64_t)number, .u.m = { __VA_ARGS__ }                             \
    }
    struct meta_command one[] = {C(META_CMD_CLUSTER_FORM, cluster_form, .cluster_id = id_of(99)),
                                 C(META_CMD_FEATURE_SET, feature_set, .name = "metadata.version", .level = 25),
                                 C(META_CMD_BROKER_REGISTER, broker_register, .id = 1, .boot = 1, .incarnation = me,
                                   .rack = "r1", .endpoints = ep, .n_endpoints = 2, .dirs = dirs, .n_dirs = 2)};
    corpus_record(one, 3);
    struct meta_command next[] = {
        C(META_CMD_BROKER_REGISTER, broker_register, .id = 2, .boot = 1, .incarnation = id_of(4), .endpoints = ep,
          .n_endpoints = 1),
        C(META_CMD_TOPIC_CREATE, topic_create, .id = id, .name = "orders", .partitions = a, .n_partitions = 3,
          .configs = e, .n_configs = 2),
        C(META_CMD_TOPIC_CREATE, topic_create, .id = id_of(2), .name = "solo", .partitions = &b, .n_partitions = 1),
        C(META_CMD_TOPIC_CREATE, topic_create, .id = id_of(3), .name = "solo", .partitions = &b, .n_partitions = 1),
        C(META_CMD_PARTITIONS_ADD, partitions_add, .id = id, .first = 3, .partitions = a, .n_partitions = 1),
        C(META_CMD_CONFIG_SET, config_set, .type = META_RES_TOPIC, .name = "orders", .entries = e, .n_entries = 3),
        C(META_CMD_CONFIG_SET, config_set, .type = META_RES_BROKER, .name = "", .entries = e, .n_entries = 2),
        C(META_CMD_PARTITION_CHANGE, partition_change, .topic = id, .partition = 1, .partition_epoch = 0,
          .leader_epoch = 0, .leader = META_LEADER_KEEP, .isr = r1, .n_isr = 1),
        C(META_CMD_BROKER_UPDATE, broker_update, .id = 2, .epoch = 4, .fenced = 1, .shutting_down = -1),
        C(META_CMD_BROKER_UPDATE, broker_update, .id = 2, .epoch = 4, .fenced = 0, .shutting_down = 1,
          .set_endpoints = true, .endpoints = ep, .n_endpoints = 2, .set_dirs = true, .dirs = dirs, .n_dirs = 1),
        C(META_CMD_PRODUCER_IDS, producer_ids, .broker = 1, .broker_epoch = -1, .count = 1000),
        C(META_CMD_TOPIC_DELETE, topic_delete, .id = id_of(2)),
        C(META_CMD_TOPICS_REMOVED, topics_removed, .broker = 1, .ids = &id, .n_ids = 1),
        C(META_CMD_BROKER_UNREGISTER, broker_unregister, .id = 2),
        C(META_CMD_FENCE, fence, .next_epoch = 1, .engine = "meta-raft", .nonce = id_of(50)),
        C(META_CMD_OPEN, open, .nonce = id_of(50)),
        C(META_CMD_FENCE, fence, .next_epoch = 2, .engine = "meta-local", .nonce = id_of(51)),
        C(META_CMD_UNFENCE, unfence, .epoch = 3, .nonce = id_of(51)),
    };
    for (size_t i = 0; i < ARRAY_LEN(next); i++)
        corpus_record(&next[i], 1);
}

int main(void)
{
    if (getenv("CHRONIK_META_RECORD")) {
        up();
        record_all();
        down();
        return 0;
    }
    Suite *s = suite_create("metadata state");
    TCase *t = tcase_create("state");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, up, down);
    tcase_add_test(t, a_topic_is_created_grown_and_deleted_and_its_id_kept_until_all_hosts_confirm);
    tcase_add_test(t, a_registration_raises_leader_epochs_and_an_unclean_one_leaves_every_larger_isr);
    tcase_add_test(t, fencing_moves_leadership_and_the_last_in_sync_stays_in_sync);
    tcase_add_test(t, an_isr_change_is_compare_and_set_on_both_epochs);
    tcase_add_test(t, settings_merge_delete_and_replace);
    tcase_add_test(t, features_go_up_and_down_only_when_asked);
    tcase_add_test(t, behind_a_fence_nothing_is_applied_until_open_or_unfence_with_its_nonce);
    tcase_add_test(t, s3_a_repeated_entry_is_answered_from_the_state_and_not_applied_again);
    tcase_add_test(t, s3_a_copy_behind_an_unregistration_does_not_count_twice);
    tcase_add_test(t, a_gap_is_refused_unless_the_proposer_gave_the_numbers_up);
    tcase_add_test(t, an_unknown_command_stops_before_anything_of_its_entry_is_applied);
    tcase_add_test(t, a_state_comes_back_from_its_rows_and_goes_on_alike);
    tcase_add_test(t, the_tree_agrees_with_an_array_under_random_changes_and_old_roots_stay_as_they_were);
    tcase_add_test(t, both_tables_do_the_same_through_puts_deletions_clears_aborts_and_reopening);
    tcase_add_test(t, readers_on_threads_see_whole_images_while_the_writer_replaces_them);
    tcase_add_test(t, every_log_of_the_corpus_leads_to_the_digests_that_were_recorded);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
