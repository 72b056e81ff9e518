/* test_api.c: requests against a whole broker in the virtual world: meta-mem and store-mem behind it, raw clients on
 * another node. Each test runs under several seeds: other delays, other pieces of the byte streams, other order of the
 * executors. */
#include <config.h>

#include "net/pool.h"
#include "tests/unit/api/rig.h"

const struct chronik_plugin *meta_mem_plugin(void);
const struct chronik_plugin *store_mem_plugin(void);

enum { SEEDS = 12 };

static struct rig rig;
static struct cli one, two;

static void begin(int seed)
{
    rig_world(&rig, (uint64_t)seed + 1, meta_mem_plugin, store_mem_plugin);
    ck_assert(rig_start(&rig));
    cli_open(&one, &rig);
    cli_open(&two, &rig);
}

static void finish(void)
{
    cli_close(&one);
    cli_close(&two);
    ck_assert(rig_stop(&rig, SIM_S));
    rig_free(&rig);
}

static void begin_with_topic(int seed)
{
    begin(seed);
    ck_assert(rig_ready(&rig));
    ck_assert_int_eq(cli_create(&one, "t", 2), KAFKA_NONE);
}

static int64_t now_ms(void)
{
    return sim_now(rig.w) / SIM_MS;
}

/* Receives a fetch answer of one partition. */
static struct wire_fetch_response_partition fetched(struct cli *c, int32_t sent)
{
    struct wire_fetch_response a;
    ck_assert_int_eq(cli_recv(c, WIRE_API_FETCH, 12, &a, 60 * SIM_S), sent);
    ck_assert_int_eq(a.error_code, KAFKA_NONE);
    ck_assert_int_eq(a.responses.n, 1);
    ck_assert_int_eq(a.responses.v[0].partitions.n, 1);
    return a.responses.v[0].partitions.v[0];
}

struct counting {
    uint32_t next;
    int64_t offset;
    bool right;
};

static bool count_record(void *arg, const struct batch_record *r)
{
    struct counting *c = arg;
    c->right = c->right && r->value_n == 4 && get_be32(r->value) == c->next++ && r->offset == c->offset++;
    return true;
}

/* The records are v, v + 1, ... from `offset` on; how many. */
static uint32_t check_records(const struct wire_fetch_response_partition *p, uint32_t v, int64_t offset)
{
    struct counting c = {v, offset, true};
    const uint8_t *at = p->records.p, *batch;
    size_t n = p->records.n > 0 ? (size_t)p->records.n : 0;
    struct batch_head h;
    while (batch_next(&at, &n, &h, &batch) > 0)
        ck_assert_int_eq(batch_each_record(batch, h.bytes, count_record, &c), CHRONIK_DONE);
    ck_assert(c.right);
    return c.next - v;
}

START_TEST(what_is_produced_is_fetched)
{
    begin_with_topic(_i);
    for (uint32_t i = 0; i < 20; i++)
        ck_assert_int_eq(cli_produce(&one, "t", 1, i * 5, 5), i * 5);
    for (uint32_t at = 0, n; at < 100; at += n) {
        struct wire_fetch_response_partition p = fetched(&two, cli_fetch_send(&two, "t", 1, at, -1, 0));
        ck_assert_int_eq(p.error_code, KAFKA_NONE);
        ck_assert_int_eq(p.high_watermark, 100);
        n = check_records(&p, at, at);
        ck_assert_uint_gt(n, 0);
    }
    finish();
}
END_TEST

START_TEST(a_fetch_at_the_end_waits_for_the_next_batch)
{
    begin_with_topic(_i);
    int32_t sent = cli_fetch_send(&two, "t", 0, 0, -1, 20000);
    sim_run_for(rig.w, 2 * SIM_S);
    int64_t before = now_ms();
    ck_assert_int_eq(cli_produce(&one, "t", 0, 7, 3), 0);
    struct wire_fetch_response_partition p = fetched(&two, sent);
    ck_assert_uint_eq(check_records(&p, 7, 0), 3);
    ck_assert_int_lt(now_ms() - before, 1000);
    finish();
}
END_TEST

START_TEST(a_fetch_that_gets_nothing_is_answered_when_its_time_is_over)
{
    begin_with_topic(_i);
    int64_t before = now_ms();
    struct wire_fetch_response_partition p = fetched(&two, cli_fetch_send(&two, "t", 0, 0, -1, 700));
    ck_assert_int_eq(p.error_code, KAFKA_NONE);
    ck_assert_int_le(p.records.n, 0);
    ck_assert_int_ge(now_ms() - before, 700);
    ck_assert_int_lt(now_ms() - before, 1500);
    finish();
}
END_TEST

START_TEST(answers_come_in_order_behind_a_fetch_that_waits)
{
    begin_with_topic(_i);
    struct wire_produce_response a;
    int32_t fetch = cli_fetch_send(&one, "t", 0, 0, -1, 1500), sent[8];
    for (uint32_t i = 0; i < 8; i++)
        sent[i] = cli_produce_send(&one, "t", 1, i, 1, 20000);
    struct wire_fetch_response_partition p = fetched(&one, fetch);
    ck_assert_int_le(p.records.n, 0);
    for (int i = 0; i < 8; i++) {
        ck_assert_int_eq(cli_recv(&one, WIRE_API_PRODUCE, 9, &a, 60 * SIM_S), sent[i]);
        ck_assert_int_eq(a.responses.v[0].partition_responses.v[0].error_code, KAFKA_NONE);
        ck_assert_int_eq(a.responses.v[0].partition_responses.v[0].base_offset, i);
    }
    finish();
}
END_TEST

static void delete_topic(struct cli *c, const char *name)
{
    struct wire_delete_topics_request_state t = wire_delete_topics_request_state_default;
    struct wire_delete_topics_request q = wire_delete_topics_request_default;
    struct wire_delete_topics_response a;
    t.name = wire_str(name);
    q.topics.v = &t;
    q.topics.n = 1;
    q.timeout_ms = 20000;
    cli_call(c, WIRE_API_DELETE_TOPICS, 6, &q, &a);
    ck_assert_int_eq(a.responses.v[0].error_code, KAFKA_NONE);
}

START_TEST(a_waiting_fetch_learns_that_its_topic_was_deleted)
{
    begin_with_topic(_i);
    int64_t before = now_ms();
    int32_t sent = cli_fetch_send(&two, "t", 0, 0, -1, 30000);
    sim_run_for(rig.w, SIM_S);
    delete_topic(&one, "t");
    struct wire_fetch_response_partition p = fetched(&two, sent);
    ck_assert_int_eq(p.error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_lt(now_ms() - before, 10000);
    finish();
}
END_TEST

START_TEST(a_leader_epoch_that_is_not_the_present_one_is_refused)
{
    begin_with_topic(_i);
    struct wire_fetch_response_partition p = fetched(&one, cli_fetch_send(&one, "t", 0, 0, 99, 5000));
    ck_assert_int_eq(p.error_code, KAFKA_UNKNOWN_LEADER_EPOCH);
    p = fetched(&one, cli_fetch_send(&one, "t", 0, 77, -1, 5000));
    ck_assert_int_eq(p.error_code, KAFKA_OFFSET_OUT_OF_RANGE);
    p = fetched(&one, cli_fetch_send(&one, "t", 2, 0, -1, 5000));
    ck_assert_int_eq(p.error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    finish();
}
END_TEST

START_TEST(requests_that_come_before_the_broker_is_open_wait_for_it)
{
    begin(_i); /* not ready yet */
    ck_assert_int_eq(cli_create(&one, "early", 1), KAFKA_NONE);
    ck_assert_int_eq(cli_produce(&one, "early", 0, 0, 1), 0);
    finish();
}
END_TEST

START_TEST(a_peer_that_leaves_ends_its_waiting_fetch)
{
    begin_with_topic(_i);
    cli_fetch_send(&two, "t", 0, 0, -1, 1000000);
    sim_run_for(rig.w, SIM_S / 10);
    cli_close(&two);
    cli_open(&two, &rig);
    ck_assert_int_eq(cli_produce(&one, "t", 0, 0, 1), 0);
    finish(); /* the stop would wait for a request that did not end */
}
END_TEST

START_TEST(a_stopping_broker_answers_the_fetches_that_wait)
{
    begin_with_topic(_i);
    int32_t sent = cli_fetch_send(&two, "t", 0, 0, -1, 1000000);
    sim_run_for(rig.w, SIM_S / 2);
    ck_assert(rig_stop(&rig, 10 * SIM_S));
    struct wire_fetch_response_partition p = fetched(&two, sent);
    ck_assert_int_eq(p.error_code, KAFKA_NONE);
    ck_assert(cli_is_over(&two, 10 * SIM_S));
    cli_close(&one);
    cli_close(&two);
    rig_free(&rig);
}
END_TEST

/* ---- sessions ---- */

enum { SESSION_PARTS = 40 };

static struct wire_fetch_request_partition wanted[SESSION_PARTS];

/* A fetch of `n` partitions of topic s, from `first` on. */
static void session_fetch(int32_t id, int32_t epoch, int32_t first, int32_t n, int64_t offset,
                          struct wire_fetch_response *a)
{
    struct wire_fetch_request_topic t = wire_fetch_request_topic_default;
    struct wire_fetch_request q = wire_fetch_request_default;
    for (int32_t i = 0; i < n; i++) {
        wanted[i] = wire_fetch_request_partition_default;
        wanted[i].partition = first + i;
        wanted[i].fetch_offset = offset;
        wanted[i].partition_max_bytes = 1 << 20;
    }
    t.topic = wire_str("s");
    t.partitions.v = wanted;
    t.partitions.n = n;
    q.topics.v = &t;
    q.topics.n = n ? 1 : 0;
    q.max_bytes = 1 << 20;
    q.session_id = id;
    q.session_epoch = epoch;
    cli_call(&one, WIRE_API_FETCH, 12, &q, a);
}

START_TEST(a_session_names_only_what_changed)
{
    struct wire_fetch_response a;
    begin(_i);
    ck_assert_int_eq(cli_create(&one, "s", SESSION_PARTS), KAFKA_NONE);
    session_fetch(0, 0, 0, SESSION_PARTS, 0, &a);
    ck_assert_int_eq(a.error_code, KAFKA_NONE);
    ck_assert_int_ne(a.session_id, 0);
    ck_assert_int_eq(a.responses.v[0].partitions.n, SESSION_PARTS);
    int32_t id = a.session_id;
    session_fetch(id, 1, 0, 0, 0, &a);
    ck_assert_int_eq(a.session_id, id);
    ck_assert_int_eq(a.responses.n, 0);
    ck_assert_int_eq(cli_produce(&two, "s", 33, 0, 2), 0);
    session_fetch(id, 2, 0, 0, 0, &a);
    ck_assert_int_eq(a.responses.v[0].partitions.n, 1);
    ck_assert_int_eq(a.responses.v[0].partitions.v[0].partition_index, 33);
    session_fetch(id, 3, 33, 1, 2, &a); /* moves on: found among many, not added again */
    ck_assert_int_eq(a.responses.n, 0);
    session_fetch(id, 3, 0, 0, 0, &a);
    ck_assert_int_eq(a.error_code, KAFKA_INVALID_FETCH_SESSION_EPOCH);
    session_fetch(id + 1, 4, 0, 0, 0, &a);
    ck_assert_int_eq(a.error_code, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    session_fetch(id, -1, 0, 0, 0, &a); /* ends it */
    session_fetch(id, 4, 0, 0, 0, &a);
    ck_assert_int_eq(a.error_code, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    finish();
}
END_TEST

START_TEST(a_session_ends_when_its_last_partition_is_forgotten)
{
    struct wire_fetch_response a;
    struct wire_fetch_request_forgotten_topic t = wire_fetch_request_forgotten_topic_default;
    struct wire_fetch_request q = wire_fetch_request_default;
    int32_t gone[SESSION_PARTS];
    begin(_i);
    ck_assert_int_eq(cli_create(&one, "s", SESSION_PARTS), KAFKA_NONE);
    session_fetch(0, 0, 0, SESSION_PARTS, 0, &a);
    int32_t id = a.session_id, n = 0;
    for (int32_t i = 0; i < SESSION_PARTS; i++)
        gone[n++] = (i * 7 + _i) % SESSION_PARTS;
    t.topic = wire_str("s");
    t.partitions.v = gone;
    t.partitions.n = n - 1;
    q.forgotten_topics_data.v = &t;
    q.forgotten_topics_data.n = 1;
    q.session_id = id;
    q.session_epoch = 1;
    ck_assert_int_eq(cli_produce(&two, "s", gone[n - 1], 0, 1), 0);
    cli_call(&one, WIRE_API_FETCH, 12, &q, &a);
    ck_assert_int_eq(a.session_id, id);
    ck_assert_int_eq(a.responses.n, 1);
    ck_assert_int_eq(a.responses.v[0].partitions.v[0].partition_index, gone[n - 1]);
    t.partitions.v = gone + n - 1;
    t.partitions.n = 1;
    q.session_epoch = 2;
    cli_call(&one, WIRE_API_FETCH, 12, &q, &a);
    ck_assert_int_eq(a.error_code, KAFKA_NONE);
    ck_assert_int_eq(a.session_id, 0);
    session_fetch(id, 3, 0, 0, 0, &a);
    ck_assert_int_eq(a.error_code, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    finish();
}
END_TEST

/* ---- __meta ---- */

START_TEST(the_metadata_can_be_read_as_a_topic_and_a_fetch_waits_for_its_next_command)
{
    begin_with_topic(_i);
    struct wire_fetch_response_partition p = fetched(&one, cli_fetch_send(&one, "__meta", 0, 1, -1, 0));
    ck_assert_int_eq(p.error_code, KAFKA_NONE);
    ck_assert_int_eq(p.log_start_offset, 1);
    ck_assert_int_gt(p.records.n, 0);
    struct batch_head h;
    batch_head_read(p.records.p, &h);
    ck_assert_int_eq(h.base_offset, 1);
    ck_assert_int_eq(h.n_records, p.high_watermark - 1);
    ck_assert_int_eq(batch_check(p.records.p, (size_t)p.records.n, &h, BATCH_STORED, &(struct batch_problem){0}), 0);
    int64_t end = p.high_watermark;
    int32_t sent = cli_fetch_send(&one, "__meta", 0, end, 0, 60000);
    sim_run_for(rig.w, SIM_S);
    int64_t before = now_ms();
    ck_assert_int_eq(cli_create(&two, "next", 1), KAFKA_NONE);
    p = fetched(&one, sent);
    batch_head_read(p.records.p, &h);
    ck_assert_int_eq(h.base_offset, end);
    ck_assert_int_lt(now_ms() - before, 1000);
    p = fetched(&one, cli_fetch_send(&one, "__meta", 0, end + 100, -1, 0));
    ck_assert_int_eq(p.error_code, KAFKA_OFFSET_OUT_OF_RANGE);
    ck_assert_int_eq(cli_produce(&two, "__meta", 0, 0, 1), -KAFKA_INVALID_TOPIC_EXCEPTION);
    ck_assert_int_eq(cli_create(&two, "__meta", 1), KAFKA_INVALID_TOPIC_EXCEPTION);
    finish();
}
END_TEST

/* Kafka's tools look settings up in every topic that they are told of. */
START_TEST(the_metadata_topic_shows_settings_that_nobody_can_alter)
{
    struct wire_describe_configs_request_resource res = wire_describe_configs_request_resource_default;
    struct wire_describe_configs_request q = wire_describe_configs_request_default;
    struct wire_describe_configs_response a;
    struct wire_str key = wire_str("min.insync.replicas");
    begin_with_topic(0);
    res.resource_type = 2;
    res.resource_name = wire_str("__meta");
    res.configuration_keys.v = &key;
    res.configuration_keys.n = 1;
    q.resources.v = &res;
    q.resources.n = 1;
    cli_call(&one, WIRE_API_DESCRIBE_CONFIGS, 4, &q, &a);
    ck_assert_int_eq(a.results.n, 1);
    ck_assert_int_eq(a.results.v[0].error_code, KAFKA_NONE);
    ck_assert_int_eq(a.results.v[0].configs.n, 1);
    ck_assert(wire_str_is(a.results.v[0].configs.v[0].value, "1"));
    ck_assert(a.results.v[0].configs.v[0].read_only);
    finish();
}
END_TEST

/* ---- dynamic settings ---- */

static int16_t alter_brokers(const char *key, const char *value)
{
    struct wire_incremental_alter_configs_request_alterable_config c =
        wire_incremental_alter_configs_request_alterable_config_default;
    struct wire_incremental_alter_configs_request_resource res =
        wire_incremental_alter_configs_request_resource_default;
    struct wire_incremental_alter_configs_request q = wire_incremental_alter_configs_request_default;
    struct wire_incremental_alter_configs_response a;
    c.name = wire_str(key);
    c.value = wire_str(value);
    res.resource_type = 4;
    res.resource_name = wire_str("");
    res.configs.v = &c;
    res.configs.n = 1;
    q.resources.v = &res;
    q.resources.n = 1;
    cli_call(&one, WIRE_API_INCREMENTAL_ALTER_CONFIGS, 1, &q, &a);
    return a.responses.v[0].error_code;
}

START_TEST(an_altered_default_of_all_brokers_reaches_open_partitions)
{
    begin_with_topic(_i);
    ck_assert_int_eq(cli_produce(&one, "t", 0, 0, 50), 0);
    ck_assert_int_eq(alter_brokers("message.max.bytes", "200"), KAFKA_NONE);
    sim_run_for(rig.w, SIM_S);
    ck_assert_int_eq(cli_produce(&one, "t", 0, 0, 50), -KAFKA_MESSAGE_TOO_LARGE);
    ck_assert_int_eq(alter_brokers("message.max.bytes", "1000000"), KAFKA_NONE);
    sim_run_for(rig.w, SIM_S);
    ck_assert_int_eq(cli_produce(&one, "t", 0, 50, 50), 50);
    finish();
}
END_TEST

/* What does not fit is refused, in the protocol's words where it has any, and the connection goes on. */
START_TEST(a_large_request_that_finds_no_memory_is_answered_with_an_error)
{
    enum { TOPICS = 20000 };
    struct wire_fetch_request_topic *v = calloc(TOPICS, sizeof *v);
    struct wire_fetch_request q = wire_fetch_request_default;
    struct wire_fetch_response a;
    begin_with_topic(3);
    ck_assert_int_eq(cli_produce(&one, "t", 0, 0, 3), 0);
    for (int i = 0; i < TOPICS; i++) {
        v[i] = wire_fetch_request_topic_default;
        v[i].topic = wire_str("t");
    }
    q.session_epoch = -1;
    q.topics.v = v;
    q.topics.n = TOPICS;
    arena_most_at_once = 256 << 10;
    int32_t sent = cli_send(&one, WIRE_API_FETCH, 12, &q);
    sim_run_for(rig.w, SIM_S);
    arena_most_at_once = SIZE_MAX;
    ck_assert_int_eq(cli_recv(&one, WIRE_API_FETCH, 12, &a, 60 * SIM_S), sent);
    ck_assert_int_eq(a.error_code, KAFKA_UNKNOWN_SERVER_ERROR);
    ck_assert_int_gt(fetched(&one, cli_fetch_send(&one, "t", 0, 0, -1, 0)).records.n, 0);
    free(v);
    finish();
}
END_TEST

START_TEST(a_topic_name_with_a_nul_in_it_is_unknown_and_comes_back_whole)
{
    static const char name[] = "t\0 is the name of a topic, and this is not";
    struct wire_str whole = {name, sizeof name - 1};
    struct wire_fetch_request_partition p = wire_fetch_request_partition_default;
    struct wire_fetch_request_topic v = wire_fetch_request_topic_default;
    struct wire_fetch_request q = wire_fetch_request_default;
    struct wire_fetch_response a;
    begin_with_topic(3);
    v.topic = whole;
    v.partitions.v = &p;
    v.partitions.n = 1;
    q.session_epoch = 0;
    q.topics.v = &v;
    q.topics.n = 1;
    int32_t sent = cli_send(&one, WIRE_API_FETCH, 12, &q);
    ck_assert_int_eq(cli_recv(&one, WIRE_API_FETCH, 12, &a, 60 * SIM_S), sent);
    ck_assert_int_eq(a.responses.n, 1);
    ck_assert(wire_str_eq(a.responses.v[0].topic, whole));
    ck_assert_int_eq(a.responses.v[0].partitions.v[0].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    finish();
}
END_TEST

/* The answers to these two name an error for each partition alone. */
START_TEST(a_large_produce_or_list_offsets_request_that_finds_no_memory_names_each_partition)
{
    enum { MANY = 20000 };
    struct wire_produce_request_partition_data *d = calloc(MANY, sizeof *d);
    struct wire_list_offsets_request_partition *p = calloc(MANY, sizeof *p);
    struct wire_produce_request_topic_data pt = wire_produce_request_topic_data_default;
    struct wire_list_offsets_request_topic lt = wire_list_offsets_request_topic_default;
    struct wire_produce_request produce = wire_produce_request_default;
    struct wire_list_offsets_request list = wire_list_offsets_request_default;
    struct wire_produce_response pa;
    struct wire_list_offsets_response la;
    begin_with_topic(3);
    for (int i = 0; i < MANY; i++) {
        d[i] = wire_produce_request_partition_data_default;
        p[i] = wire_list_offsets_request_partition_default;
        d[i].index = p[i].partition_index = i;
    }
    pt.name = lt.name = wire_str("t");
    pt.partition_data.v = d;
    lt.partitions.v = p;
    pt.partition_data.n = lt.partitions.n = MANY;
    produce.acks = -1;
    produce.timeout_ms = 1000;
    produce.topic_data.v = &pt;
    list.topics.v = &lt;
    produce.topic_data.n = list.topics.n = 1;
    arena_most_at_once = 64 << 10;
    int32_t first = cli_send(&one, WIRE_API_PRODUCE, 12, &produce);
    int32_t second = cli_send(&one, WIRE_API_LIST_OFFSETS, 7, &list);
    sim_run_for(rig.w, SIM_S);
    arena_most_at_once = SIZE_MAX;
    ck_assert_int_eq(cli_recv(&one, WIRE_API_PRODUCE, 12, &pa, 60 * SIM_S), first);
    ck_assert(pa.responses.n == 1 && pa.responses.v[0].partition_responses.n == MANY);
    ck_assert_int_eq(pa.responses.v[0].partition_responses.v[MANY - 1].index, MANY - 1);
    ck_assert_int_eq(pa.responses.v[0].partition_responses.v[MANY - 1].error_code, KAFKA_UNKNOWN_SERVER_ERROR);
    ck_assert_int_eq(cli_recv(&one, WIRE_API_LIST_OFFSETS, 7, &la, 60 * SIM_S), second);
    ck_assert(la.topics.n == 1 && la.topics.v[0].partitions.n == MANY && wire_str_eq(la.topics.v[0].name, lt.name));
    ck_assert_int_eq(la.topics.v[0].partitions.v[7].partition_index, 7);
    ck_assert_int_eq(la.topics.v[0].partitions.v[7].error_code, KAFKA_UNKNOWN_SERVER_ERROR);
    ck_assert_int_eq(cli_produce(&one, "t", 0, 0, 3), 0);
    free(d);
    free(p);
    finish();
}
END_TEST

/* Of such a frame only the beginning is received: enough for the answer. */
START_TEST(a_request_whose_frame_finds_no_memory_is_answered_with_errors)
{
    enum { BYTES = 3 << 20 };
    static const int16_t versions[] = {3, 8, 9, 12};
    uint8_t *bytes = calloc(1, BYTES);
    struct wire_produce_request_partition_data d = wire_produce_request_partition_data_default;
    struct wire_produce_request_topic_data t = wire_produce_request_topic_data_default;
    struct wire_produce_request q = wire_produce_request_default;
    struct wire_produce_response a;
    begin_with_topic(3);
    d.index = 5;
    d.records.p = bytes;
    d.records.n = BYTES;
    t.name = wire_str("t");
    t.partition_data.v = &d;
    q.acks = -1;
    q.timeout_ms = 1000;
    q.topic_data.v = &t;
    t.partition_data.n = q.topic_data.n = 1;
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        net_buf_most = 1 << 20;
        int32_t sent = cli_send(&one, WIRE_API_PRODUCE, versions[i], &q);
        ck_assert_int_eq(cli_recv(&one, WIRE_API_PRODUCE, versions[i], &a, 60 * SIM_S), sent);
        net_buf_most = UINT64_MAX;
        ck_assert(a.responses.n == 1 && a.responses.v[0].partition_responses.n == 1);
        ck_assert_int_eq(a.responses.v[0].partition_responses.v[0].index, 5);
        ck_assert_int_eq(a.responses.v[0].partition_responses.v[0].error_code, KAFKA_UNKNOWN_SERVER_ERROR);
        ck_assert_int_eq(cli_produce(&one, "t", 0, 3 * (int64_t)i, 3), 3 * (int64_t)i);
    }
    free(bytes);
    finish();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api");
    TCase *t = tcase_create("broker");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, what_is_produced_is_fetched, 0, SEEDS);
    tcase_add_loop_test(t, a_fetch_at_the_end_waits_for_the_next_batch, 0, SEEDS);
    tcase_add_loop_test(t, a_fetch_that_gets_nothing_is_answered_when_its_time_is_over, 0, SEEDS);
    tcase_add_loop_test(t, answers_come_in_order_behind_a_fetch_that_waits, 0, SEEDS);
    tcase_add_loop_test(t, a_waiting_fetch_learns_that_its_topic_was_deleted, 0, SEEDS);
    tcase_add_loop_test(t, a_leader_epoch_that_is_not_the_present_one_is_refused, 0, SEEDS);
    tcase_add_loop_test(t, requests_that_come_before_the_broker_is_open_wait_for_it, 0, SEEDS);
    tcase_add_loop_test(t, a_peer_that_leaves_ends_its_waiting_fetch, 0, SEEDS);
    tcase_add_loop_test(t, a_stopping_broker_answers_the_fetches_that_wait, 0, SEEDS);
    tcase_add_loop_test(t, a_session_names_only_what_changed, 0, SEEDS);
    tcase_add_loop_test(t, a_session_ends_when_its_last_partition_is_forgotten, 0, SEEDS);
    tcase_add_loop_test(t, the_metadata_can_be_read_as_a_topic_and_a_fetch_waits_for_its_next_command, 0, SEEDS);
    tcase_add_loop_test(t, an_altered_default_of_all_brokers_reaches_open_partitions, 0, SEEDS);
    tcase_add_test(t, a_topic_name_with_a_nul_in_it_is_unknown_and_comes_back_whole);
    tcase_add_test(t, the_metadata_topic_shows_settings_that_nobody_can_alter);
    tcase_add_test(t, a_large_produce_or_list_offsets_request_that_finds_no_memory_names_each_partition);
    tcase_add_test(t, a_large_request_that_finds_no_memory_is_answered_with_an_error);
    tcase_add_test(t, a_request_whose_frame_finds_no_memory_is_answered_with_errors);
    suite_add_tcase(s, t);
    return run_suite(s);
}
