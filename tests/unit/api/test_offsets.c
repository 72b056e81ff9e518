/* test_offsets.c: committed offsets against a whole broker in the virtual world: what each version of OffsetCommit,
 * OffsetFetch, OffsetDelete and FindCoordinator is told, what a restart keeps, what time and a topic's deletion take.
 * Each test runs under several seeds. */
#include <config.h>

#include "meta/image.h"
#include "tests/unit/api/group_cli.h"

const struct chronik_plugin *meta_mem_plugin(void);
const struct chronik_plugin *store_mem_plugin(void);

enum { SEEDS = 8, MANY = 40 };

static struct rig rig;
static struct cli one, two;

static void up(int seed)
{
    ck_assert(rig_start(&rig));
    cli_open(&one, &rig);
    cli_open(&two, &rig);
    ck_assert(rig_ready(&rig));
    ck_assert_int_eq(cli_create(&one, "orders", 3), KAFKA_NONE);
    ck_assert_int_eq(cli_create(&one, "bills", 1), KAFKA_NONE);
}

static void begin(int seed)
{
    rig_world(&rig, (uint64_t)seed + 1, meta_mem_plugin, store_mem_plugin);
    up(seed);
}

static void finish(void)
{
    cli_close(&one);
    cli_close(&two);
    ck_assert(rig_stop(&rig, SIM_S));
    rig_free(&rig);
}

static struct chronik_uuid topic_id(const char *name)
{
    struct wire_metadata_request q = wire_metadata_request_default;
    struct wire_metadata_request_topic t = wire_metadata_request_topic_default;
    struct wire_metadata_response a;
    t.name = wire_str(name);
    q.topics.v = &t;
    q.topics.n = 1;
    cli_call(&one, WIRE_API_METADATA, 12, &q, &a);
    return a.topics.v[0].topic_id;
}

/* ---- commits ---- */

/* A request that commits one partition; the memory is static. */
static struct wire_offset_commit_request *commit_of(int16_t version, const char *group, const char *topic, int32_t p,
                                                    int64_t offset, const char *text)
{
    static struct wire_offset_commit_request_partition part;
    static struct wire_offset_commit_request_topic t;
    static struct wire_offset_commit_request q;
    part = wire_offset_commit_request_partition_default;
    t = wire_offset_commit_request_topic_default;
    q = wire_offset_commit_request_default;
    part.partition_index = p;
    part.committed_offset = offset;
    part.committed_leader_epoch = version >= 6 ? 4 : -1;
    part.committed_metadata = wire_str(text);
    if (version >= 10)
        t.topic_id = topic_id(topic);
    else
        t.name = wire_str(topic);
    t.partitions.v = &part;
    t.partitions.n = 1;
    q.group_id = wire_str(group);
    q.topics.v = &t;
    q.topics.n = 1;
    return &q;
}

static int16_t commit_v(int16_t version, const char *group, const char *topic, int32_t p, int64_t offset,
                        const char *text)
{
    struct wire_offset_commit_response a;
    struct wire_offset_commit_request *q = commit_of(version, group, topic, p, offset, text);
    cli_call(&one, WIRE_API_OFFSET_COMMIT, version, q, &a);
    ck_assert_int_eq(a.topics.n, 1);
    ck_assert_int_eq(a.topics.v[0].partitions.n, 1);
    ck_assert_int_eq(a.topics.v[0].partitions.v[0].partition_index, p);
    return a.topics.v[0].partitions.v[0].error_code;
}

static int16_t commit(const char *group, const char *topic, int32_t p, int64_t offset)
{
    return commit_v(8, group, topic, p, offset, "text");
}

/* What is committed, by version 8 and above. */
static struct wire_offset_fetch_response_group fetch_group(int16_t version, const char *group, const char *topic,
                                                           int32_t p)
{
    struct wire_offset_fetch_request_group_topic t = wire_offset_fetch_request_group_topic_default;
    struct wire_offset_fetch_request_group g = wire_offset_fetch_request_group_default;
    struct wire_offset_fetch_request q = wire_offset_fetch_request_default;
    struct wire_offset_fetch_response a;
    if (topic && version >= 10)
        t.topic_id = topic_id(topic);
    else if (topic)
        t.name = wire_str(topic);
    t.partition_indexes.v = &p;
    t.partition_indexes.n = 1;
    g.group_id = wire_str(group);
    g.topics.v = &t;
    g.topics.n = topic ? 1 : -1;
    q.groups.v = &g;
    q.groups.n = 1;
    cli_call(&one, WIRE_API_OFFSET_FETCH, version, &q, &a);
    ck_assert_int_eq(a.groups.n, 1);
    return a.groups.v[0];
}

static int64_t fetch(const char *group, const char *topic, int32_t p)
{
    struct wire_offset_fetch_response_group g = fetch_group(8, group, topic, p);
    ck_assert_int_eq(g.error_code, KAFKA_NONE);
    ck_assert_int_eq(g.topics.v[0].partitions.v[0].error_code, KAFKA_NONE);
    return g.topics.v[0].partitions.v[0].committed_offset;
}

START_TEST(an_offset_is_read_as_it_was_committed_in_every_pair_of_versions)
{
    begin(_i);
    for (int16_t v = 2; v <= 10; v++) {
        ck_assert_int_eq(commit_v(v, "g", "orders", 1, 100 + v, v == 3 ? NULL : "käse"), KAFKA_NONE);
        for (int16_t w = 8; w <= 10; w++) {
            struct wire_offset_fetch_response_group g = fetch_group(w, "g", "orders", 1);
            ck_assert_int_eq(g.topics.n, 1);
            ck_assert_int_eq(g.topics.v[0].partitions.v[0].committed_offset, 100 + v);
            ck_assert_int_eq(g.topics.v[0].partitions.v[0].committed_leader_epoch, v >= 6 ? 4 : -1);
            ck_assert(wire_str_is(g.topics.v[0].partitions.v[0].metadata, v == 3 ? "" : "käse"));
        }
        for (int16_t w = 1; w <= 7; w++) {
            int32_t parts[] = {1, 2};
            struct wire_offset_fetch_request_topic t = {.name = wire_str("orders")};
            struct wire_offset_fetch_request q = wire_offset_fetch_request_default;
            struct wire_offset_fetch_response a;
            t.partition_indexes.v = parts;
            t.partition_indexes.n = 2;
            q.group_id = wire_str("g");
            q.topics.v = &t;
            q.topics.n = 1;
            cli_call(&one, WIRE_API_OFFSET_FETCH, w, &q, &a);
            ck_assert_int_eq(a.error_code, KAFKA_NONE);
            ck_assert_int_eq(a.topics.v[0].partitions.n, 2);
            ck_assert_int_eq(a.topics.v[0].partitions.v[0].committed_offset, 100 + v);
            ck_assert_int_eq(a.topics.v[0].partitions.v[1].committed_offset, -1); /* none, and no error */
            ck_assert_int_eq(a.topics.v[0].partitions.v[1].error_code, KAFKA_NONE);
            ck_assert(wire_str_is(a.topics.v[0].partitions.v[1].metadata, ""));
        }
    }
    finish();
}
END_TEST

START_TEST(what_cannot_be_committed_is_refused_alone)
{
    static char text[5000];
    struct wire_offset_commit_request_partition parts[4];
    struct wire_offset_commit_request_topic t[2];
    struct wire_offset_commit_request q = wire_offset_commit_request_default;
    struct wire_offset_commit_response a;
    begin(_i);
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < 4; i++) {
        parts[i] = wire_offset_commit_request_partition_default;
        parts[i].partition_index = i;
        parts[i].committed_offset = 7;
        parts[i].committed_metadata = wire_str(i == 1 ? text : "ok");
    }
    t[0] = t[1] = wire_offset_commit_request_topic_default;
    t[0].name = wire_str("orders");
    t[1].name = wire_str("none");
    t[0].partitions.v = t[1].partitions.v = parts;
    t[0].partitions.n = 4;
    t[1].partitions.n = 1;
    q.group_id = wire_str("g");
    q.topics.v = t;
    q.topics.n = 2;
    cli_call(&one, WIRE_API_OFFSET_COMMIT, 9, &q, &a);
    ck_assert_int_eq(a.topics.v[0].partitions.v[0].error_code, KAFKA_NONE);
    ck_assert_int_eq(a.topics.v[0].partitions.v[1].error_code, KAFKA_OFFSET_METADATA_TOO_LARGE);
    ck_assert_int_eq(a.topics.v[0].partitions.v[2].error_code, KAFKA_NONE);
    ck_assert_int_eq(a.topics.v[0].partitions.v[3].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(a.topics.v[1].partitions.v[0].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(fetch("g", "orders", 0), 7);
    ck_assert_int_eq(fetch("g", "orders", 1), -1);
    ck_assert_int_eq(fetch("g", "orders", 2), 7);
    struct chronik_uuid stranger = {{1, 2, 3}};
    struct wire_offset_commit_request *by_id = commit_of(10, "g", "orders", 0, 1, "");
    by_id->topics.v[0].topic_id = stranger;
    cli_call(&one, WIRE_API_OFFSET_COMMIT, 10, by_id, &a);
    ck_assert_int_eq(a.topics.v[0].partitions.v[0].error_code, KAFKA_UNKNOWN_TOPIC_ID);
    text[META_GROUP_ID_MAX + 1] = 0;
    ck_assert_int_eq(commit(text, "orders", 0, 1), KAFKA_INVALID_GROUP_ID);
    ck_assert_int_eq(fetch_group(8, text, "orders", 0).error_code, KAFKA_INVALID_GROUP_ID);
    ck_assert_int_eq(commit("", "orders", 0, 55), KAFKA_NONE); /* Kafka keeps the empty group for old clients */
    ck_assert_int_eq(fetch("", "orders", 0), 55);
    finish();
}
END_TEST

START_TEST(null_topics_name_all_offsets_of_each_group)
{
    begin(_i);
    ck_assert_int_eq(commit("a", "orders", 0, 10), KAFKA_NONE);
    ck_assert_int_eq(commit("a", "orders", 2, 12), KAFKA_NONE);
    ck_assert_int_eq(commit("a", "bills", 0, 20), KAFKA_NONE);
    ck_assert_int_eq(commit("ab", "bills", 0, 99), KAFKA_NONE);
    for (int16_t v = 8; v <= 10; v++) {
        struct wire_offset_fetch_response_group g = fetch_group(v, "a", NULL, 0);
        ck_assert_int_eq(g.topics.n, 2);
        int64_t sum = 0;
        for (int i = 0; i < 2; i++)
            for (int k = 0; k < g.topics.v[i].partitions.n; k++)
                sum += g.topics.v[i].partitions.v[k].committed_offset;
        ck_assert_int_eq(sum, 42);
        if (v < 10)
            ck_assert(wire_str_is(g.topics.v[0].name, "orders") || wire_str_is(g.topics.v[1].name, "orders"));
    }
    ck_assert_int_eq(fetch_group(8, "nobody", NULL, 0).topics.n, 0);
    finish();
}
END_TEST

START_TEST(commits_in_flight_keep_their_order_and_share_commands)
{
    begin(_i);
    int32_t sent[MANY];
    struct wire_offset_commit_response a;
    for (int i = 0; i < MANY; i++) {
        sent[i] = cli_send(&one, WIRE_API_OFFSET_COMMIT, 8, commit_of(8, "g", "orders", 0, i, ""));
        cli_send(&two, WIRE_API_OFFSET_COMMIT, 8, commit_of(8, "h", "orders", 0, i, ""));
    }
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(cli_recv(&one, WIRE_API_OFFSET_COMMIT, 8, &a, 10 * SIM_S), sent[i]);
        ck_assert_int_eq(a.topics.v[0].partitions.v[0].error_code, KAFKA_NONE);
    }
    ck_assert_int_eq(fetch("g", "orders", 0), MANY - 1);
    for (int i = 0; i < MANY; i++)
        ck_assert_int_ge(cli_recv(&two, WIRE_API_OFFSET_COMMIT, 8, &a, 10 * SIM_S), 0);
    ck_assert_int_eq(fetch("h", "orders", 0), MANY - 1);
    finish();
}
END_TEST

static struct wire_offset_delete_response delete_offset(const char *group, const char *topic, int32_t p)
{
    struct wire_offset_delete_request_partition part = {.partition_index = p};
    struct wire_offset_delete_request_topic t = {.name = wire_str(topic)};
    struct wire_offset_delete_request q = wire_offset_delete_request_default;
    struct wire_offset_delete_response a;
    t.partitions.v = &part;
    t.partitions.n = 1;
    q.group_id = wire_str(group);
    q.topics.v = &t;
    q.topics.n = 1;
    cli_call(&one, WIRE_API_OFFSET_DELETE, 0, &q, &a);
    return a;
}

START_TEST(offsets_are_deleted_one_by_one_and_with_their_topic)
{
    begin(_i);
    ck_assert_int_eq(delete_offset("g", "orders", 0).error_code, KAFKA_GROUP_ID_NOT_FOUND);
    ck_assert_int_eq(delete_offset("", "orders", 0).error_code, KAFKA_INVALID_GROUP_ID);
    for (int32_t p = 0; p < 3; p++)
        ck_assert_int_eq(commit("g", "orders", p, p), KAFKA_NONE);
    ck_assert_int_eq(commit("g", "bills", 0, 5), KAFKA_NONE);
    struct wire_offset_delete_response a = delete_offset("g", "orders", 1);
    ck_assert_int_eq(a.error_code, KAFKA_NONE);
    ck_assert_int_eq(a.topics.v[0].partitions.v[0].error_code, KAFKA_NONE);
    ck_assert_int_eq(fetch("g", "orders", 1), -1);
    ck_assert_int_eq(fetch("g", "orders", 2), 2);
    a = delete_offset("g", "orders", 9);
    ck_assert_int_eq(a.topics.v[0].partitions.v[0].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    struct wire_delete_topics_request q = wire_delete_topics_request_default;
    struct wire_delete_topics_response d;
    struct wire_str name = wire_str("orders");
    q.topic_names.v = &name;
    q.topic_names.n = 1;
    cli_call(&one, WIRE_API_DELETE_TOPICS, 5, &q, &d);
    ck_assert_int_eq(d.responses.v[0].error_code, KAFKA_NONE);
    ck_assert_int_eq(fetch_group(8, "g", NULL, 0).topics.n, 1);
    ck_assert_int_eq(cli_create(&one, "orders", 3), KAFKA_NONE);
    ck_assert_int_eq(fetch("g", "orders", 2), -1); /* another topic of the same name */
    ck_assert_int_eq(fetch("g", "bills", 0), 5);
    finish();
}
END_TEST

START_TEST(a_group_finds_its_coordinator_alone_and_among_others)
{
    struct wire_find_coordinator_request q = wire_find_coordinator_request_default;
    struct wire_find_coordinator_response a;
    struct wire_str keys[] = {wire_str("g"), wire_str("other")};
    begin(_i);
    for (int16_t v = 0; v <= 3; v++) {
        q.key = keys[0];
        cli_call(&one, WIRE_API_FIND_COORDINATOR, v, &q, &a);
        ck_assert_int_eq(a.error_code, KAFKA_NONE);
        ck_assert_int_ge(a.node_id, 0);
        ck_assert(wire_str_is(a.host, "b"));
        ck_assert_int_eq(a.port, 9092);
    }
    q.key = wire_str("");
    q.coordinator_keys.v = keys;
    q.coordinator_keys.n = 2;
    for (int16_t v = 4; v <= 6; v++) {
        cli_call(&one, WIRE_API_FIND_COORDINATOR, v, &q, &a);
        ck_assert_int_eq(a.coordinators.n, 2);
        ck_assert(wire_str_is(a.coordinators.v[1].key, "other"));
        ck_assert_int_eq(a.coordinators.v[1].error_code, KAFKA_NONE);
        ck_assert_int_eq(a.coordinators.v[1].port, 9092);
    }
    q.key_type = 1;
    cli_call(&one, WIRE_API_FIND_COORDINATOR, 6, &q, &a);
    ck_assert_int_eq(a.coordinators.v[0].error_code, KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    ck_assert_int_eq(a.coordinators.v[0].node_id, -1);
    finish();
}
END_TEST

START_TEST(who_asks_for_kafkas_topic_of_offsets_learns_that_there_is_none_and_makes_none)
{
    struct wire_metadata_request q = wire_metadata_request_default;
    struct wire_metadata_request_topic t = wire_metadata_request_topic_default;
    struct wire_metadata_response a;
    begin(_i);
    t.name = wire_str("__consumer_offsets");
    q.topics.v = &t;
    q.topics.n = 1;
    for (int i = 0; i < 2; i++) {
        cli_call(&one, WIRE_API_METADATA, 12, &q, &a);
        ck_assert_int_eq(a.topics.v[0].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
        sim_run_for(rig.w, SIM_S);
    }
    finish();
}
END_TEST

/* ---- time ---- */

static void begin_with_retention(int seed)
{
    rig_world(&rig, (uint64_t)seed + 1, meta_mem_plugin, store_mem_plugin);
    rig_set(&rig, "offsets.retention.minutes", "5");
    rig_set(&rig, "offsets.retention.check.interval.ms", "5000");
    up(seed);
}

START_TEST(offsets_of_a_simple_group_go_when_their_last_commit_is_old)
{
    begin_with_retention(_i);
    ck_assert_int_eq(commit("old", "orders", 0, 1), KAFKA_NONE);
    ck_assert_int_eq(commit("kept", "orders", 0, 1), KAFKA_NONE);
    struct wire_offset_commit_request *q = commit_of(2, "short", "orders", 0, 1, "");
    struct wire_offset_commit_response a;
    q->retention_time_ms = 60000; /* the client's own, in versions 2 to 4 */
    cli_call(&one, WIRE_API_OFFSET_COMMIT, 2, q, &a);
    sim_run_for(rig.w, 120 * SIM_S);
    ck_assert_int_eq(fetch("short", "orders", 0), -1);
    ck_assert_int_eq(fetch("old", "orders", 0), 1);
    sim_run_for(rig.w, 120 * SIM_S);
    ck_assert_int_eq(commit("kept", "orders", 0, 2), KAFKA_NONE);
    ck_assert_int_eq(commit("kept", "orders", 1, 3), KAFKA_NONE);
    sim_run_for(rig.w, 90 * SIM_S);
    ck_assert_int_eq(fetch("old", "orders", 0), -1);
    ck_assert_int_eq(fetch("kept", "orders", 0), 2);
    ck_assert_int_eq(delete_offset("old", "orders", 0).error_code, KAFKA_GROUP_ID_NOT_FOUND); /* the group went, too */
    ck_assert_int_eq(delete_offset("kept", "orders", 2).error_code, KAFKA_NONE);
    sim_run_for(rig.w, 320 * SIM_S);
    ck_assert_int_eq(fetch_group(8, "kept", NULL, 0).topics.n, 0);
    finish();
}
END_TEST

static int16_t member_commit(struct gm *m, const char *topic, int64_t offset)
{
    struct wire_offset_commit_response a;
    struct wire_offset_commit_request *q = commit_of(8, m->group, topic, 0, offset, "");
    q->member_id = wire_str(m->id);
    q->generation_id_or_member_epoch = m->generation;
    cli_call(&one, WIRE_API_OFFSET_COMMIT, 8, q, &a);
    return a.topics.v[0].partitions.v[0].error_code;
}

/* KIP-211: of a group that lives, the offsets of topics that it does not subscribe to any more go when their last
 * commit is old; what it subscribes to stays, however old. When the group is empty, time runs from then on. */
START_TEST(a_live_group_keeps_the_offsets_of_its_topics_and_loses_those_of_others)
{
    struct gm m;
    begin_with_retention(_i);
    ck_assert_int_eq(cli_create(&one, "t", 1), KAFKA_NONE); /* what members subscribe to */
    gm_open(&m, &rig, "g");
    gm_stabilize(&m, 1);
    ck_assert_int_eq(member_commit(&m, "t", 5), KAFKA_NONE);
    ck_assert_int_eq(member_commit(&m, "bills", 6), KAFKA_NONE);
    for (int i = 0; i < 280; i += 5) {
        sim_run_for(rig.w, 5 * SIM_S);
        ck_assert_int_eq(gm_beat(&m), KAFKA_NONE);
    }
    ck_assert_int_eq(fetch("g", "bills", 0), 6);
    for (int i = 0; i < 60; i += 5) {
        sim_run_for(rig.w, 5 * SIM_S);
        ck_assert_int_eq(gm_beat(&m), KAFKA_NONE);
    }
    ck_assert_int_eq(fetch("g", "bills", 0), -1);
    ck_assert_int_eq(fetch("g", "t", 0), 5);
    ck_assert_int_eq(gm_leave(&m), KAFKA_NONE);
    sim_run_for(rig.w, 240 * SIM_S);
    ck_assert_int_eq(fetch("g", "t", 0), 5);
    sim_run_for(rig.w, 90 * SIM_S);
    ck_assert_int_eq(fetch("g", "t", 0), -1);
    ck_assert_int_eq(delete_offset("g", "t", 0).error_code, KAFKA_GROUP_ID_NOT_FOUND);
    gm_close(&m);
    finish();
}
END_TEST

START_TEST(many_groups_expire_in_one_pass)
{
    begin_with_retention(_i);
    for (int i = 0; i < 300; i++) {
        char group[16];
        snprintf(group, sizeof group, "g%d", i);
        struct wire_offset_commit_response a;
        cli_send(&one, WIRE_API_OFFSET_COMMIT, 8, commit_of(8, group, "orders", i % 3, i, ""));
        if (i % 50 == 49)
            for (int k = 0; k < 50; k++)
                ck_assert_int_ge(cli_recv(&one, WIRE_API_OFFSET_COMMIT, 8, &a, 10 * SIM_S), 0);
    }
    ck_assert_int_eq(fetch("g299", "orders", 2), 299);
    sim_run_for(rig.w, 360 * SIM_S);
    for (int i = 0; i < 300; i += 23) {
        char group[16];
        snprintf(group, sizeof group, "g%d", i);
        ck_assert_int_eq(delete_offset(group, "orders", 0).error_code, KAFKA_GROUP_ID_NOT_FOUND);
    }
    finish();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("offsets");
    TCase *t = tcase_create("broker");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, an_offset_is_read_as_it_was_committed_in_every_pair_of_versions, 0, SEEDS);
    tcase_add_loop_test(t, what_cannot_be_committed_is_refused_alone, 0, SEEDS);
    tcase_add_loop_test(t, null_topics_name_all_offsets_of_each_group, 0, SEEDS);
    tcase_add_loop_test(t, commits_in_flight_keep_their_order_and_share_commands, 0, SEEDS);
    tcase_add_loop_test(t, offsets_are_deleted_one_by_one_and_with_their_topic, 0, SEEDS);
    tcase_add_loop_test(t, a_group_finds_its_coordinator_alone_and_among_others, 0, SEEDS);
    tcase_add_loop_test(t, who_asks_for_kafkas_topic_of_offsets_learns_that_there_is_none_and_makes_none, 0, SEEDS);
    tcase_add_loop_test(t, offsets_of_a_simple_group_go_when_their_last_commit_is_old, 0, SEEDS);
    tcase_add_loop_test(t, a_live_group_keeps_the_offsets_of_its_topics_and_loses_those_of_others, 0, SEEDS);
    tcase_add_loop_test(t, many_groups_expire_in_one_pass, 0, SEEDS);
    suite_add_tcase(s, t);
    return run_suite(s);
}
