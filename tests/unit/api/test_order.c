/* test_order.c: requests that a client sends without waiting for the answer before: on one connection each sees what
 * those before it changed, as with Kafka, against a whole broker in the virtual world. Each test runs under several
 * seeds. */
#include <config.h>

#include "tests/unit/api/rig.h"

const struct chronik_plugin *meta_mem_plugin(void);
const struct chronik_plugin *store_mem_plugin(void);

enum { SEEDS = 16 };

static struct rig rig;
static struct cli one, two;

static void begin(int seed)
{
    rig_world(&rig, (uint64_t)seed + 1, meta_mem_plugin, store_mem_plugin);
    ck_assert(rig_start(&rig));
    cli_open(&one, &rig);
    cli_open(&two, &rig);
    ck_assert(rig_ready(&rig));
    ck_assert_int_eq(cli_create(&one, "t", 1), KAFKA_NONE);
    ck_assert_int_eq(cli_produce(&one, "t", 0, 0, 9), 0);
}

static void finish(void)
{
    cli_close(&one);
    cli_close(&two);
    ck_assert(rig_stop(&rig, SIM_S));
    rig_free(&rig);
}

/* ---- requests, queued ---- */

static int32_t send_commit(struct cli *c, int64_t offset)
{
    struct wire_offset_commit_request_partition p = wire_offset_commit_request_partition_default;
    struct wire_offset_commit_request_topic t = wire_offset_commit_request_topic_default;
    struct wire_offset_commit_request q = wire_offset_commit_request_default;
    p.committed_offset = offset;
    p.committed_metadata = wire_str("");
    t.name = wire_str("t");
    t.partitions.v = &p;
    q.group_id = wire_str("g");
    q.topics.v = &t;
    t.partitions.n = q.topics.n = 1;
    return cli_send(c, WIRE_API_OFFSET_COMMIT, 8, &q);
}

static int32_t send_offset_fetch(struct cli *c)
{
    struct wire_offset_fetch_request q = wire_offset_fetch_request_default;
    struct wire_offset_fetch_request_group g = wire_offset_fetch_request_group_default;
    g.group_id = wire_str("g");
    g.topics.n = -1;
    q.groups.v = &g;
    q.groups.n = 1;
    return cli_send(c, WIRE_API_OFFSET_FETCH, 8, &q);
}

static int32_t send_delete_records(struct cli *c, int64_t before)
{
    struct wire_delete_records_request_partition p = wire_delete_records_request_partition_default;
    struct wire_delete_records_request_topic t = wire_delete_records_request_topic_default;
    struct wire_delete_records_request q = wire_delete_records_request_default;
    p.offset = before;
    t.name = wire_str("t");
    t.partitions.v = &p;
    q.topics.v = &t;
    t.partitions.n = q.topics.n = 1;
    q.timeout_ms = 20000;
    return cli_send(c, WIRE_API_DELETE_RECORDS, 2, &q);
}

static int32_t send_list_offsets(struct cli *c, const char *topic, int64_t when)
{
    struct wire_list_offsets_request_partition p = wire_list_offsets_request_partition_default;
    struct wire_list_offsets_request_topic t = wire_list_offsets_request_topic_default;
    struct wire_list_offsets_request q = wire_list_offsets_request_default;
    p.timestamp = when;
    t.name = wire_str(topic);
    t.partitions.v = &p;
    q.topics.v = &t;
    t.partitions.n = q.topics.n = 1;
    return cli_send(c, WIRE_API_LIST_OFFSETS, 7, &q);
}

static int32_t send_create(struct cli *c, const char *topic)
{
    struct wire_create_topics_request_creatable_topic t = wire_create_topics_request_creatable_topic_default;
    struct wire_create_topics_request q = wire_create_topics_request_default;
    t.name = wire_str(topic);
    t.num_partitions = 1;
    t.replication_factor = 1;
    q.topics.v = &t;
    q.topics.n = 1;
    q.timeout_ms = 20000;
    return cli_send(c, WIRE_API_CREATE_TOPICS, 7, &q);
}

/* ---- answers ---- */

static void committed(int32_t sent)
{
    struct wire_offset_commit_response a;
    ck_assert_int_eq(cli_recv(&one, WIRE_API_OFFSET_COMMIT, 8, &a, 60 * SIM_S), sent);
    ck_assert_int_eq(a.topics.v[0].partitions.v[0].error_code, KAFKA_NONE);
}

static int64_t fetched_offset(int32_t sent)
{
    struct wire_offset_fetch_response a;
    ck_assert_int_eq(cli_recv(&one, WIRE_API_OFFSET_FETCH, 8, &a, 60 * SIM_S), sent);
    ck_assert_int_eq(a.groups.n, 1);
    return a.groups.v[0].topics.n ? a.groups.v[0].topics.v[0].partitions.v[0].committed_offset : -1;
}

static int64_t listed(int32_t sent)
{
    struct wire_list_offsets_response a;
    ck_assert_int_eq(cli_recv(&one, WIRE_API_LIST_OFFSETS, 7, &a, 60 * SIM_S), sent);
    struct wire_list_offsets_response_partition p = a.topics.v[0].partitions.v[0];
    return p.error_code ? -p.error_code : p.offset;
}

/* ---- the tests ---- */

START_TEST(offsets_that_are_asked_for_behind_a_commit_are_the_committed_ones)
{
    begin(_i);
    int32_t sent[6];
    for (int i = 0; i < 6; i += 2) {
        sent[i] = send_commit(&one, 3 + i);
        sent[i + 1] = send_offset_fetch(&one);
    }
    for (int i = 0; i < 6; i += 2) {
        committed(sent[i]);
        ck_assert_int_eq(fetched_offset(sent[i + 1]), 3 + i);
    }
    finish();
}
END_TEST

START_TEST(the_first_offset_that_is_asked_for_behind_a_deletion_is_the_new_one)
{
    begin(_i);
    struct wire_delete_records_response a;
    int32_t before = send_list_offsets(&one, "t", -2), sent = send_delete_records(&one, 4);
    int32_t after = send_list_offsets(&one, "t", -2);
    ck_assert_int_eq(listed(before), 0);
    ck_assert_int_eq(cli_recv(&one, WIRE_API_DELETE_RECORDS, 2, &a, 60 * SIM_S), sent);
    ck_assert_int_eq(a.topics.v[0].partitions.v[0].low_watermark, 4);
    ck_assert_int_eq(listed(after), 4);
    finish();
}
END_TEST

START_TEST(a_topic_can_be_used_in_the_requests_behind_its_creation)
{
    begin(_i);
    struct wire_create_topics_response made;
    struct wire_produce_response a;
    int32_t create = send_create(&one, "new"), first = cli_produce_send(&one, "new", 0, 0, 5, 20000);
    int32_t second = cli_produce_send(&one, "new", 0, 5, 2, 20000), end = send_list_offsets(&one, "new", -1);
    ck_assert_int_eq(cli_recv(&one, WIRE_API_CREATE_TOPICS, 7, &made, 60 * SIM_S), create);
    ck_assert_int_eq(made.topics.v[0].error_code, KAFKA_NONE);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(cli_recv(&one, WIRE_API_PRODUCE, 9, &a, 60 * SIM_S), i ? second : first);
        ck_assert_int_eq(a.responses.v[0].partition_responses.v[0].error_code, KAFKA_NONE);
        ck_assert_int_eq(a.responses.v[0].partition_responses.v[0].base_offset, i ? 5 : 0);
    }
    ck_assert_int_eq(listed(end), 7);
    finish();
}
END_TEST

START_TEST(a_client_that_leaves_takes_the_requests_that_wait_for_their_turn_along)
{
    begin(_i);
    for (int i = 0; i < 5; i++) {
        send_commit(&two, i);
        send_offset_fetch(&two);
        send_create(&two, "gone");
        send_list_offsets(&two, "gone", -1);
    }
    sim_run_for(rig.w, _i * 50 * SIM_US);
    cli_close(&two);
    cli_open(&two, &rig);
    sim_run_for(rig.w, SIM_S); /* what had arrived is done, or nobody's any more */
    committed(send_commit(&one, 8));
    ck_assert_int_eq(fetched_offset(send_offset_fetch(&one)), 8);
    finish();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("order");
    TCase *t = tcase_create("broker");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, offsets_that_are_asked_for_behind_a_commit_are_the_committed_ones, 0, SEEDS);
    tcase_add_loop_test(t, the_first_offset_that_is_asked_for_behind_a_deletion_is_the_new_one, 0, SEEDS);
    tcase_add_loop_test(t, a_topic_can_be_used_in_the_requests_behind_its_creation, 0, SEEDS);
    tcase_add_loop_test(t, a_client_that_leaves_takes_the_requests_that_wait_for_their_turn_along, 0, SEEDS);
    suite_add_tcase(s, t);
    return run_suite(s);
}
