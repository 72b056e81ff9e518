/* test_quorum.c: the requests about the metadata quorum, against a whole broker in the virtual world: a single voter of
 * meta-raft, and a module for one node. What several nodes do is in tests/sim/quorum and tests/e2e. */
#include <config.h>

#include "plugins/meta-raft/core/mutants.h"
#include "tests/unit/api/rig.h"

const struct chronik_plugin *meta_mem_plugin(void);
const struct chronik_plugin *meta_raft_plugin(void);
const struct chronik_plugin *store_mem_plugin(void);
const char *chronik_mutant = "";
enum rc_mutant rc_mutant;

static struct rig rig;
static struct cli one;

static void begin(rig_module meta)
{
    rig_world(&rig, 7, meta, store_mem_plugin);
    rig_set(&rig, "node.id", "4");
    rig_set(&rig, "controller.quorum.voters", "4@b:9093");
    ck_assert(rig_start(&rig));
    cli_open(&one, &rig);
    ck_assert(rig_ready(&rig));
}

static void finish(void)
{
    cli_close(&one);
    ck_assert(rig_stop(&rig, SIM_S));
    rig_free(&rig);
}

static const struct chronik_uuid other = {{9, 9, 9}};

/* The code, and a piece of the message. */
static void add(int16_t version, const char *cluster, int32_t node, const struct chronik_uuid *id, const char *listener,
                int16_t code, const char *says)
{
    struct wire_add_raft_voter_request_listener l = {.name = wire_str(listener), .host = wire_str("c"), .port = 9093};
    struct wire_add_raft_voter_request q = wire_add_raft_voter_request_default;
    struct wire_add_raft_voter_response a;
    char text[600];
    q.cluster_id = cluster ? wire_str(cluster) : (struct wire_str){NULL, -1};
    q.timeout_ms = 2000;
    q.voter_id = node;
    q.voter_directory_id = *id;
    q.listeners.v = &l;
    q.listeners.n = 1;
    cli_call(&one, WIRE_API_ADD_RAFT_VOTER, version, &q, &a);
    snprintf(text, sizeof text, "%.*s", a.error_message.n, a.error_message.p);
    ck_assert_msg(a.error_code == code && strstr(text, says), "code %d: %s", a.error_code, text);
}

static void take_away(const char *cluster, int32_t node, const struct chronik_uuid *id, int16_t code, const char *says)
{
    struct wire_remove_raft_voter_request q = wire_remove_raft_voter_request_default;
    struct wire_remove_raft_voter_response a;
    char text[600];
    q.cluster_id = cluster ? wire_str(cluster) : (struct wire_str){NULL, -1};
    q.voter_id = node;
    q.voter_directory_id = *id;
    cli_call(&one, WIRE_API_REMOVE_RAFT_VOTER, 0, &q, &a);
    snprintf(text, sizeof text, "%.*s", a.error_message.n, a.error_message.p);
    ck_assert_msg(a.error_code == code && strstr(text, says), "code %d: %s", a.error_code, text);
}

/* The one voter, as this version tells of it; its directory id. */
static struct chronik_uuid describe(int16_t version)
{
    struct wire_describe_quorum_request_partition_data p = {.partition_index = 0};
    struct wire_describe_quorum_request_topic_data t = {.topic_name = wire_str("__cluster_metadata"),
                                                        .partitions = {&p, 1}};
    struct wire_describe_quorum_request q = {.topics = {&t, 1}};
    struct wire_describe_quorum_response a;
    cli_call(&one, WIRE_API_DESCRIBE_QUORUM, version, &q, &a);
    ck_assert_int_eq(a.error_code, KAFKA_NONE);
    const struct wire_describe_quorum_response_partition_data *x = &a.topics.v[0].partitions.v[0];
    ck_assert_int_eq(x->error_code, KAFKA_NONE);
    ck_assert_int_eq(x->leader_id, 4);
    ck_assert_int_gt(x->leader_epoch, 0);
    ck_assert_int_eq(x->current_voters.n, 1);
    ck_assert_int_eq(x->observers.n, 0);
    const struct wire_describe_quorum_response_replica_state *v = &x->current_voters.v[0];
    ck_assert_int_eq(v->replica_id, 4);
    ck_assert(v->log_end_offset == x->high_watermark && x->high_watermark > 1);
    if (version >= 1)
        ck_assert(v->last_fetch_timestamp > 0 && v->last_caught_up_timestamp == v->last_fetch_timestamp);
    ck_assert_int_eq(a.nodes.n, version >= 2);
    return v->replica_directory_id;
}

START_TEST(a_quorum_of_one_describes_itself_and_refuses_what_cannot_be)
{
    begin(meta_raft_plugin);
    static const struct chronik_uuid none;
    describe(0);
    describe(1);
    struct chronik_uuid id = describe(2);
    ck_assert(memcmp(&id, &none, sizeof id) != 0);
    for (int16_t version = 0; version <= 1; version++) {
        add(version, "no-such-cluster-idddddd", 5, &other, "CONTROLLER", KAFKA_INCONSISTENT_CLUSTER_ID,
            "doesn't match");
        add(version, NULL, -1, &other, "CONTROLLER", KAFKA_INVALID_REQUEST, "valid voter");
        add(version, NULL, 5, &none, "CONTROLLER", KAFKA_INVALID_REQUEST, "valid voter");
        add(version, NULL, 5, &other, "PLAINTEXT", KAFKA_INVALID_REQUEST, "default listener CONTROLLER");
        add(version, NULL, 4, &other, "CONTROLLER", KAFKA_DUPLICATE_VOTER, "voter already");
        add(version, NULL, 5, &other, "CONTROLLER", KAFKA_REQUEST_TIMED_OUT, "not connected");
    }
    take_away("no-such-cluster-idddddd", 4, &id, KAFKA_INCONSISTENT_CLUSTER_ID, "doesn't match");
    take_away(NULL, -1, &id, KAFKA_INVALID_REQUEST, "valid voter");
    take_away(NULL, 4, &none, KAFKA_INVALID_REQUEST, "valid voter");
    take_away(NULL, 4, &other, KAFKA_VOTER_NOT_FOUND, "no voter");
    take_away(NULL, 5, &id, KAFKA_VOTER_NOT_FOUND, "no voter");
    take_away(NULL, 4, &id, KAFKA_INVALID_REQUEST, "last voter");
    describe(2);
    finish();
}
END_TEST

START_TEST(a_module_for_one_node_has_one_voter_for_ever)
{
    begin(meta_mem_plugin);
    describe(2);
    add(1, NULL, 5, &other, "CONTROLLER", KAFKA_UNSUPPORTED_VERSION, "one node");
    take_away(NULL, 4, &other, KAFKA_UNSUPPORTED_VERSION, "one node");
    finish();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("requests about the quorum");
    TCase *t = tcase_create("quorum");
    tcase_add_test(t, a_quorum_of_one_describes_itself_and_refuses_what_cannot_be);
    tcase_add_test(t, a_module_for_one_node_has_one_voter_for_ever);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
