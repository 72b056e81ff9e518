/* test_settings.c: what admin requests change and when, against a whole broker in the virtual world: altered settings
 * are in effect when they are answered, retention follows them, features go up and down. */
#include <config.h>

#include "tests/unit/api/rig.h"

const struct chronik_plugin *meta_mem_plugin(void);
const struct chronik_plugin *store_mem_plugin(void);

enum { SEEDS = 6, SET = 0, DELETE = 1 };

static struct rig rig;
static struct cli one;

static void begin(int seed)
{
    rig_world(&rig, (uint64_t)seed + 1, meta_mem_plugin, store_mem_plugin);
    rig_set(&rig, "log.retention.check.interval.ms", "1000");
    ck_assert(rig_start(&rig));
    cli_open(&one, &rig);
    ck_assert(rig_ready(&rig));
    ck_assert_int_eq(cli_create(&one, "t", 1), KAFKA_NONE);
}

static void finish(void)
{
    cli_close(&one);
    ck_assert(rig_stop(&rig, SIM_S));
    rig_free(&rig);
}

/* IncrementalAlterConfigs of one key; the Kafka code. */
static int16_t alter(int8_t type, const char *name, const char *key, int8_t operation, const char *value)
{
    struct wire_incremental_alter_configs_request_alterable_config c = {wire_str(key), operation, wire_str(value)};
    struct wire_incremental_alter_configs_request_resource res = {
        .resource_type = type, .resource_name = wire_str(name), .configs = {&c, 1}};
    struct wire_incremental_alter_configs_request q = {.resources = {&res, 1}};
    struct wire_incremental_alter_configs_response a;
    cli_call(&one, WIRE_API_INCREMENTAL_ALTER_CONFIGS, 1, &q, &a);
    ck_assert_int_eq(a.responses.n, 1);
    return a.responses.v[0].error_code;
}

START_TEST(an_altered_setting_is_in_effect_when_it_is_answered)
{
    begin(_i);
    for (int round = 0; round < 5; round++) {
        ck_assert_int_eq(alter(2, "t", "max.message.bytes", SET, "70"), KAFKA_NONE);
        ck_assert_int_eq(cli_produce(&one, "t", 0, 1, 20), -KAFKA_MESSAGE_TOO_LARGE);
        ck_assert_int_eq(alter(2, "t", "max.message.bytes", DELETE, NULL), KAFKA_NONE);
        ck_assert_int_eq(cli_produce(&one, "t", 0, 1, 20), round * 20);
    }
    ck_assert_int_eq(alter(4, "", "message.max.bytes", SET, "70"), KAFKA_NONE); /* for all topics */
    ck_assert_int_eq(cli_produce(&one, "t", 0, 1, 20), -KAFKA_MESSAGE_TOO_LARGE);
    ck_assert_int_eq(alter(4, "1", "message.max.bytes", SET, "7000"), KAFKA_NONE); /* this broker's is stronger */
    ck_assert_int_eq(cli_produce(&one, "t", 0, 1, 20), 100);
    finish();
}
END_TEST

static int64_t log_start(void)
{
    struct wire_list_offsets_request_partition p = wire_list_offsets_request_partition_default;
    struct wire_list_offsets_request_topic t = {.name = wire_str("t"), .partitions = {&p, 1}};
    struct wire_list_offsets_request q = {.replica_id = -1, .topics = {&t, 1}};
    struct wire_list_offsets_response a;
    p.timestamp = -2;
    cli_call(&one, WIRE_API_LIST_OFFSETS, 5, &q, &a);
    ck_assert_int_eq(a.topics.v[0].partitions.v[0].error_code, KAFKA_NONE);
    return a.topics.v[0].partitions.v[0].offset;
}

START_TEST(retention_follows_an_altered_setting)
{
    begin(_i);
    ck_assert_int_eq(alter(2, "t", "message.timestamp.type", SET, "LogAppendTime"), KAFKA_NONE);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(cli_produce(&one, "t", 0, 1, 5), i * 5);
    sim_run_for(rig.w, 100 * SIM_S);
    ck_assert_int_eq(log_start(), 0);
    ck_assert_int_eq(alter(2, "t", "retention.ms", SET, "50000"), KAFKA_NONE);
    sim_run_for(rig.w, 40 * SIM_S);
    ck_assert_int_eq(log_start(), 20);
    ck_assert_int_eq(cli_produce(&one, "t", 0, 1, 5), 20); /* young */
    sim_run_for(rig.w, 10 * SIM_S);
    ck_assert_int_eq(log_start(), 20);
    sim_run_for(rig.w, 60 * SIM_S);
    ck_assert_int_eq(log_start(), 25);
    finish();
}
END_TEST

/* UpdateFeatures of one feature; the Kafka code. */
static int16_t update(const char *name, int16_t level, int8_t kind, bool validate_only)
{
    struct wire_update_features_request_feature_update_key f = wire_update_features_request_feature_update_key_default;
    f.feature = wire_str(name);
    f.max_version_level = level;
    f.upgrade_type = kind;
    struct wire_update_features_request q = {
        .timeout_ms = 1000, .feature_updates = {&f, 1}, .validate_only = validate_only};
    struct wire_update_features_response a;
    cli_call(&one, WIRE_API_UPDATE_FEATURES, 2, &q, &a);
    return a.error_code;
}

/* The finalised level of metadata.version; 0 when there is none. */
static int16_t metadata_version(void)
{
    struct wire_api_versions_request q = wire_api_versions_request_default;
    struct wire_api_versions_response a;
    q.client_software_name = q.client_software_version = wire_str("test");
    cli_call(&one, WIRE_API_API_VERSIONS, 4, &q, &a);
    ck_assert_int_eq(a.error_code, KAFKA_NONE);
    return a.finalized_features.n ? a.finalized_features.v[0].max_version_level : 0;
}

START_TEST(features_go_up_freely_and_down_only_when_told_so)
{
    enum { UPGRADE = 1, SAFE = 2, UNKNOWN = 9 };
    begin(_i);
    int16_t level = metadata_version();
    ck_assert_int_gt(level, 8);
    ck_assert_int_eq(update("metadata.version", 8, UPGRADE, false), KAFKA_INVALID_UPDATE_VERSION);
    ck_assert_int_eq(update("metadata.version", 8, UNKNOWN, false), KAFKA_INVALID_UPDATE_VERSION);
    ck_assert_int_eq(update("metadata.version", (int16_t)(level + 1), UPGRADE, false), KAFKA_INVALID_UPDATE_VERSION);
    ck_assert_int_eq(update("metadata.version", -1, UPGRADE, false), KAFKA_INVALID_UPDATE_VERSION);
    ck_assert_int_eq(update("metadata.version", 0, SAFE, false), KAFKA_INVALID_UPDATE_VERSION); /* cannot be disabled */
    ck_assert_int_eq(metadata_version(), level);
    ck_assert_int_eq(update("no.such.feature", 1, UPGRADE, false), KAFKA_INVALID_UPDATE_VERSION);
    ck_assert_int_eq(update("metadata.version", 8, SAFE, true), KAFKA_NONE);
    ck_assert_int_eq(metadata_version(), level);
    ck_assert_int_eq(update("metadata.version", 8, SAFE, false), KAFKA_NONE);
    ck_assert_int_eq(metadata_version(), 8);
    ck_assert_int_eq(update("metadata.version", level, SAFE, false), KAFKA_INVALID_UPDATE_VERSION);
    ck_assert_int_eq(update("metadata.version", level, UPGRADE, false), KAFKA_NONE);
    ck_assert_int_eq(metadata_version(), level);
    finish();
}
END_TEST

/* Compared each with each they would take minutes, and the loop's other connections with them. */
START_TEST(a_request_with_very_many_names_is_answered_and_the_repeated_ones_are_found)
{
    enum { N = 300000, LONGEST = 8 };
    struct wire_incremental_alter_configs_request_resource *v = calloc(N, sizeof *v);
    struct wire_metadata_request_topic *topics = calloc(N, sizeof *topics);
    char(*names)[LONGEST] = calloc(N, sizeof *names);
    struct wire_incremental_alter_configs_request q = {.resources = {v, N}};
    struct wire_incremental_alter_configs_response a;
    struct wire_metadata_request mq = wire_metadata_request_default;
    struct wire_metadata_response ma;
    begin(0);
    for (int i = 0; i < N; i++) {
        snprintf(names[i], LONGEST, "n%d", i == N - 1 ? 7 : i);
        v[i] = (struct wire_incremental_alter_configs_request_resource){.resource_type = 2,
                                                                        .resource_name = wire_str(names[i])};
        topics[i].name = wire_str(names[i]);
    }
    cli_call(&one, WIRE_API_INCREMENTAL_ALTER_CONFIGS, 1, &q, &a);
    ck_assert_int_eq(a.responses.n, N);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(a.responses.v[i].error_code,
                         i == 7 || i == N - 1 ? KAFKA_INVALID_REQUEST : KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    mq.topics.v = topics;
    mq.topics.n = N;
    mq.allow_auto_topic_creation = false;
    cli_call(&one, WIRE_API_METADATA, 9, &mq, &ma);
    ck_assert_int_eq(ma.topics.n, N - 1);
    finish();
    free(v);
    free(topics);
    free(names);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("settings");
    TCase *t = tcase_create("broker");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, an_altered_setting_is_in_effect_when_it_is_answered, 0, SEEDS);
    tcase_add_loop_test(t, retention_follows_an_altered_setting, 0, SEEDS);
    tcase_add_loop_test(t, features_go_up_freely_and_down_only_when_told_so, 0, SEEDS);
    tcase_add_test(t, a_request_with_very_many_names_is_answered_and_the_repeated_ones_are_found);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
