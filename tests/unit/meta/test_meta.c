/* test_meta.c: the whole of core/meta over the in-memory engine, in the real world: threads, proposals, the image,
 * subscriptions, the reconciler, __meta. */
#include <stdio.h>
#include <stdlib.h>

#include "rig.h"

static struct os *os;
static struct rig rig;

static void up(void)
{
    os = os_real_new(2);
    rig_init(&rig, os, rig_mem_ops());
}

static void down(void)
{
    if (rig.m)
        rig_stop(&rig);
    os_real_free(os);
}

START_TEST(a_broker_registers_and_forms_its_cluster)
{
    struct meta_feature f = {"metadata.version", 25};
    rig.opt.self.features = &f;
    rig.opt.self.n_features = 1;
    rig_start(&rig);
    const struct meta_image *i = meta_enter(rig.reader);
    struct chronik_uuid id = meta_cluster_id(i);
    ck_assert(!meta_uuid_zero(&id));
    const struct meta_broker *b = meta_broker_by_id(i, 1);
    ck_assert(b != NULL && !b->fenced);
    ck_assert_str_eq(meta_broker_listener(b, "PLAINTEXT")->host, "localhost");
    ck_assert_int_eq(meta_broker_epoch(rig.m), b->epoch);
    ck_assert_int_eq(meta_controller_id(i), 1);
    ck_assert_int_eq(meta_feature_level(i, "metadata.version"), 25);
    meta_leave(rig.reader);
}
END_TEST

START_TEST(a_created_topic_is_seen_by_name_and_id_and_its_name_is_taken)
{
    rig_start(&rig);
    struct rig_result r = rig_create(&rig, "orders", 7, 3);
    ck_assert_int_eq(r.code, KAFKA_NONE);
    ck_assert_int_eq(rig_create(&rig, "orders", 8, 3).code, KAFKA_TOPIC_ALREADY_EXISTS);
    const struct meta_image *i = meta_enter(rig.reader);
    const struct meta_topic *t = meta_topic_by_name(i, "orders", 6);
    struct chronik_uuid id = rig_id(7);
    ck_assert_ptr_nonnull(t);
    ck_assert_ptr_eq(t, meta_topic_by_id(i, &id));
    ck_assert_int_eq(t->n_partitions, 3);
    ck_assert_int_eq(t->partitions[2]->leader, 1);
    ck_assert_int_eq(t->partitions[2]->n_isr, 1);
    ck_assert_uint_eq(meta_image_seq(i), r.seq + 1);
    meta_leave(rig.reader);
}
END_TEST

struct seen {
    struct os_flag deleted;
    int created, changed;
};

static void on_change(void *arg, const struct meta_image *i, const struct meta_change *c, uint32_t n)
{
    struct seen *s = arg;
    for (uint32_t k = 0; k < n; k++) {
        if (c[k].kind == META_CHANGE_TOPIC_CREATED && c[k].topic)
            s->created++;
        if (c[k].kind == META_CHANGE_TOPIC && c[k].topic)
            s->changed++;
        if (c[k].kind == META_CHANGE_TOPIC_DELETED)
            os_flag_set(os, &s->deleted);
    }
}

START_TEST(subscribers_hear_of_creation_change_and_deletion_before_the_proposer_does)
{
    struct seen seen = {0};
    struct meta_sub sub = {.fn = on_change, .arg = &seen};
    ck_assert(rig_begin(&rig));
    meta_subscribe(rig.m, &sub);
    struct err e;
    meta_start(rig.m, &e);
    ck_assert(os_flag_wait(os, &rig.registered, INT64_C(20000000000)));
    ck_assert_int_eq(rig_create(&rig, "t", 1, 1).code, 0);
    ck_assert_int_eq(seen.created, 1);
    ck_assert_int_eq(rig_config(&rig, "t", "retention.ms", "5").code, 0);
    ck_assert_int_eq(seen.changed, 1);
    ck_assert_int_eq(rig_delete(&rig, 1).code, 0);
    ck_assert_int_eq(seen.deleted.set, 1);
}
END_TEST

struct counting {
    struct os_flag all;
    _Atomic int left, failed;
};

static void on_counted(void *arg, const struct meta_result *r)
{
    struct counting *c = arg;
    if (r->code != 0)
        c->failed++;
    if (--c->left == 0)
        os_flag_set(os, &c->all);
}

START_TEST(ten_thousand_topics_are_created_in_shared_entries)
{
    enum { N = 10000 };
    rig_start(&rig);
    struct counting n = {.left = N};
    int64_t t0 = os_mono_ns(os);
    for (int i = 0; i < N; i++) {
        char name[32];
        snprintf(name, sizeof name, "topic-%05d", i);
        struct meta_assignment a = {.replicas = &rig.opt.node_id, .n_replicas = 1};
        struct meta_command c = {.type = META_CMD_TOPIC_CREATE};
        c.u.topic_create =
            (struct meta_topic_create){.id = rig_id((uint64_t)i), .name = name, .partitions = &a, .n_partitions = 1};
        ck_assert_int_eq(meta_propose(rig.m, META_CLIENT, &c, 0, on_counted, &n), CHRONIK_PENDING);
    }
    ck_assert(os_flag_wait(os, &n.all, INT64_C(60000000000)));
    int64_t ns = os_mono_ns(os) - t0;
    ck_assert_int_eq(n.failed, 0);
    struct meta_status s;
    meta_status_get(rig.m, &s);
    ck_assert_uint_eq(s.topics, N);
    uint64_t d[2];
    const struct meta_image *i = meta_enter(rig.reader);
    meta_image_digest(i, d);
    ck_assert_uint_eq(d[0], i->digest[0]);
    ck_assert_uint_eq(d[1], i->digest[1]);
    meta_leave(rig.reader);
    printf("10k topics in %.1f ms; image %llu bytes a partition\n", (double)ns / 1e6,
           (unsigned long long)(s.image_bytes / N));
}
END_TEST

struct records {
    int n;
    uint64_t last;
    char key[200], value[600];
};

static void on_record(void *arg, const struct meta_record *r)
{
    struct records *x = arg;
    if (x->n++)
        ck_assert_uint_eq(r->seq, x->last + 1);
    x->last = r->seq;
    snprintf(x->key, sizeof x->key, "%s", r->key);
    snprintf(x->value, sizeof x->value, "%s", r->value);
}

START_TEST(the_log_renders_as_json_with_one_record_a_command_and_no_secret)
{
    rig_start(&rig);
    ck_assert_int_eq(rig_create(&rig, "t", 1, 1).code, 0);
    struct meta_kv e = {"ssl.keystore.password", "hunter2", true};
    struct meta_command c = {.type = META_CMD_CONFIG_SET, .timestamp_ms = 1234};
    c.u.config_set = (struct meta_config_set){.type = META_RES_BROKER, .name = "1", .entries = &e, .n_entries = 1};
    struct rig_result r = rig_do(&rig, &c);
    ck_assert_int_eq(r.code, 0);
    uint64_t first, end;
    meta_log_range(rig.m, &first, &end);
    ck_assert_uint_eq(first, 1);
    ck_assert_uint_eq(end, r.seq + 1);
    struct records all = {0};
    ck_assert_int_eq(meta_read_log(rig.m, 1, 1 << 20, on_record, &all), CHRONIK_DONE);
    ck_assert_uint_eq(all.last, r.seq);
    ck_assert_int_eq(all.n, (int)r.seq);
    ck_assert_str_eq(all.key, "{\"type\":\"config-set\",\"resourceType\":4,\"resource\":\"1\"}");
    ck_assert_ptr_nonnull(strstr(all.value, "\"timestamp\":1234"));
    ck_assert_ptr_nonnull(strstr(all.value, "\"ssl.keystore.password\":\"[redacted]\""));
    ck_assert_ptr_null(strstr(all.value, "hunter2"));
    struct records one = {0};
    ck_assert_int_eq(meta_read_log(rig.m, 2, 1, on_record, &one), CHRONIK_DONE);
    ck_assert_int_eq(one.n, 1);
    ck_assert_uint_eq(one.last, 2);
    ck_assert_int_eq(meta_read_log(rig.m, end + 1, 1, on_record, &one), CHRONIK_E_RANGE);
}
END_TEST

/* ---- the reconciler ---- */

struct parts {
    _Atomic int opened, reconfigured, closed, deleted;
    struct os_flag first;
};

static int32_t p_list(void *arg, void (*each)(void *, const struct chronik_uuid *, int32_t), void *each_arg,
                      struct err *e)
{
    struct chronik_uuid stray = rig_id(77);
    each(each_arg, &stray, 4);
    return CHRONIK_DONE;
}

static int32_t p_open(void *arg, const struct meta_image *i, const struct meta_topic *t, int32_t p, struct err *e)
{
    ((struct parts *)arg)->opened++;
    return CHRONIK_DONE;
}

static int32_t p_reconfigure(void *arg, const struct meta_image *i, const struct meta_topic *t, int32_t p,
                             struct err *e)
{
    ((struct parts *)arg)->reconfigured++;
    return CHRONIK_DONE;
}

static int32_t p_close(void *arg, const struct chronik_uuid *t, int32_t p, struct err *e)
{
    ((struct parts *)arg)->closed++;
    return CHRONIK_DONE;
}

static int32_t p_delete(void *arg, const struct chronik_uuid *t, int32_t p, struct err *e)
{
    ((struct parts *)arg)->deleted++;
    return CHRONIK_DONE;
}

static void first_pass(void *arg)
{
    os_flag_set(os, &((struct parts *)arg)->first);
}

static bool soon(_Atomic int *v, int want)
{
    for (int i = 0; i < 2000 && *v != want; i++) {
        struct os_flag never = {0};
        os_flag_wait(os, &never, 1000000);
    }
    return *v == want;
}

START_TEST(the_reconciler_opens_what_is_hosted_deletes_what_is_deleted_and_keeps_strays)
{
    struct parts parts = {0};
    struct meta_reconcile_ops ops = {&parts, p_list, p_open, p_reconfigure, p_close, p_delete};
    ck_assert(rig_begin(&rig));
    struct err e;
    ck_assert_int_eq(meta_reconcile_start(rig.m, &ops, &e), CHRONIK_DONE);
    meta_reconcile_on_first_pass(rig.m, first_pass, &parts);
    meta_start(rig.m, &e);
    ck_assert(os_flag_wait(os, &parts.first, INT64_C(20000000000)));
    ck_assert_int_eq(rig_create(&rig, "a", 1, 5).code, 0);
    ck_assert(soon(&parts.opened, 5));
    ck_assert_int_eq(rig_config(&rig, "a", "retention.ms", "7").code, 0);
    ck_assert(soon(&parts.reconfigured, 5));
    ck_assert_int_eq(rig_delete(&rig, 1).code, 0);
    ck_assert(soon(&parts.deleted, 5));
    /* The deletion was confirmed: the id is forgotten. */
    bool kept = true;
    for (int k = 0; k < 2000 && kept; k++) {
        struct chronik_uuid id = rig_id(1);
        const struct meta_image *i = meta_enter(rig.reader);
        kept = meta_topic_was_deleted(i, &id);
        meta_leave(rig.reader);
        struct os_flag never = {0};
        os_flag_wait(os, &never, 1000000);
    }
    ck_assert(!kept);
    struct meta_reconcile_status s;
    meta_reconcile_status_get(rig.m, &s);
    ck_assert(s.first_pass_done);
    ck_assert_uint_eq(s.strays, 1);
    ck_assert_ptr_nonnull(strstr(s.stray_names, "/4"));
    ck_assert_int_eq(parts.closed, 0);
}
END_TEST

START_TEST(s6_readers_and_proposers_on_many_threads_never_wait_for_each_other)
{
    enum { READERS = 3, N = 3000 };
    rig_start(&rig);
    struct counting n = {.left = N};
    for (int i = 0; i < N; i++) {
        char name[32];
        snprintf(name, sizeof name, "t%d", i % 50);
        struct meta_kv e = {"retention.ms", i % 2 ? "1" : "2", false};
        struct meta_assignment a = {.replicas = &rig.opt.node_id, .n_replicas = 1};
        struct meta_command c = {.type = i < 50 ? META_CMD_TOPIC_CREATE : META_CMD_CONFIG_SET};
        if (i < 50)
            c.u.topic_create = (struct meta_topic_create){
                .id = rig_id((uint64_t)i), .name = name, .partitions = &a, .n_partitions = 1};
        else
            c.u.config_set =
                (struct meta_config_set){.type = META_RES_TOPIC, .name = name, .entries = &e, .n_entries = 1};
        ck_assert_int_eq(meta_propose(rig.m, META_CLIENT, &c, 0, on_counted, &n), CHRONIK_PENDING);
        const struct meta_image *img = meta_enter(rig.reader);
        struct meta_cursor cur;
        for (const struct meta_topic *t = meta_topics_from(img, &cur, NULL, 0); t; t = meta_topics_next(&cur))
            ck_assert_int_eq(t->partitions[0]->leader, 1);
        meta_leave(rig.reader);
    }
    ck_assert(os_flag_wait(os, &n.all, INT64_C(60000000000)));
    ck_assert_int_eq(n.failed, 0);
}
END_TEST

START_TEST(a_proposal_is_answered_once_when_the_broker_closes)
{
    rig_start(&rig);
    struct rig_result res[20];
    for (int i = 0; i < 20; i++) {
        struct meta_command c = {.type = META_CMD_PRODUCER_IDS};
        c.u.producer_ids = (struct meta_producer_ids){.broker = 1, .broker_epoch = -1, .count = 10};
        rig_post(&rig, &c, 0, &res[i]);
    }
    rig_stop(&rig);
    for (int i = 0; i < 20; i++)
        ck_assert(res[i].done.set && (res[i].code == 0 || res[i].code == KAFKA_REQUEST_TIMED_OUT));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("meta");
    TCase *t = tcase_create("meta");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, up, down);
    tcase_add_test(t, a_broker_registers_and_forms_its_cluster);
    tcase_add_test(t, a_created_topic_is_seen_by_name_and_id_and_its_name_is_taken);
    tcase_add_test(t, subscribers_hear_of_creation_change_and_deletion_before_the_proposer_does);
    tcase_add_test(t, ten_thousand_topics_are_created_in_shared_entries);
    tcase_add_test(t, the_log_renders_as_json_with_one_record_a_command_and_no_secret);
    tcase_add_test(t, the_reconciler_opens_what_is_hosted_deletes_what_is_deleted_and_keeps_strays);
    tcase_add_test(t, s6_readers_and_proposers_on_many_threads_never_wait_for_each_other);
    tcase_add_test(t, a_proposal_is_answered_once_when_the_broker_closes);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
