/* test_topic.c: effective settings of a topic, checks of altered ones in Kafka's words, dynamic changes, descriptions.
 */
#include "fixture.h"

START_TEST(a_topic_without_overrides_follows_the_broker)
{
    struct fixture f;
    struct config_topic t;
    fixture_good(&f,
                 "log.retention.hours=2\nlog.segment.bytes=2000000\nlog.cleanup.policy=compact,delete\n"
                 "compression.type=lz4\nlog.message.timestamp.type=LogAppendTime\nlog.flush.scheduler.interval.ms=9\n");
    config_topic_fill(f.c, NULL, 0, &t);
    ck_assert_int_eq(t.retention_ms, 2 * 3600000);
    ck_assert_int_eq(t.retention_bytes, -1);
    ck_assert_int_eq(t.segment_bytes, 2000000);
    ck_assert_int_eq(t.segment_ms, 168LL * 3600000);
    ck_assert_int_eq(t.flush_ms, 9);
    ck_assert_int_eq(t.flush_messages, INT64_MAX);
    ck_assert_int_eq(t.max_message_bytes, 1048588);
    ck_assert_int_eq(t.timestamp_before_max_ms, INT64_MAX);
    ck_assert_int_eq(t.timestamp_after_max_ms, 3600000);
    ck_assert_int_eq(t.compression, CONFIG_CODEC_LZ4);
    ck_assert(t.cleanup_compact && t.cleanup_delete && t.log_append_time && !t.unclean_leader_election);
    config_free(f.c);
}
END_TEST

START_TEST(an_override_beats_a_dynamic_value_beats_a_dynamic_default_beats_the_file)
{
    struct fixture f;
    struct config_topic t;
    struct err e = {0};
    fixture_good(&f, "log.retention.minutes=1\n");
    config_topic_fill(f.c, NULL, 0, &t);
    ck_assert_int_eq(t.retention_ms, 60000);
    ck_assert_int_eq(config_apply_dynamic(f.c, true, "log.retention.ms", "500", &e), CHRONIK_DONE);
    config_topic_fill(f.c, NULL, 0, &t);
    ck_assert_int_eq(t.retention_ms, 500);
    ck_assert_int_eq(config_apply_dynamic(f.c, false, "log.retention.ms", "400", &e), CHRONIK_DONE);
    config_topic_fill(f.c, NULL, 0, &t);
    ck_assert_int_eq(t.retention_ms, 400);
    const struct config_kv kv[] = {{"retention.ms", "-1"}, {"cleanup.policy", "compact"}, {"no.such.key", "1"}};
    config_topic_fill(f.c, kv, 3, &t);
    ck_assert_int_eq(t.retention_ms, -1);
    ck_assert(t.cleanup_compact && !t.cleanup_delete);
    ck_assert_int_eq(config_apply_dynamic(f.c, false, "log.retention.ms", NULL, &e), CHRONIK_DONE);
    ck_assert_int_eq(config_apply_dynamic(f.c, true, "log.retention.ms", NULL, &e), CHRONIK_DONE);
    config_topic_fill(f.c, NULL, 0, &t);
    ck_assert_int_eq(t.retention_ms, 60000);
    config_free(f.c);
}
END_TEST

struct seen {
    int n;
    char last[64];
};

static void count_change(void *arg, const struct config_setting *s)
{
    struct seen *seen = arg;
    seen->n++;
    snprintf(seen->last, sizeof seen->last, "%s", s->name);
}

START_TEST(a_dynamic_change_calls_the_hooks_once_and_only_when_something_changed)
{
    struct fixture f;
    struct seen seen = {0};
    struct err e = {0};
    fixture_good(&f, NULL);
    ck_assert_int_eq(config_on_change(f.c, count_change, &seen), CHRONIK_DONE);
    uint64_t version = config_version(f.c);
    ck_assert_int_eq(config_apply_dynamic(f.c, false, "max.connections", "10", &e), CHRONIK_DONE);
    ck_assert_int_eq(config_i64(f.c, CFG_MAX_CONNECTIONS), 10);
    ck_assert_int_eq(seen.n, 1);
    ck_assert_str_eq(seen.last, "max.connections");
    ck_assert_uint_gt(config_version(f.c), version);
    ck_assert_int_eq(config_apply_dynamic(f.c, false, "max.connections", "10", &e), CHRONIK_DONE);
    ck_assert_int_eq(config_apply_dynamic(f.c, true, "max.connections", "20", &e), CHRONIK_DONE);
    ck_assert_int_eq(seen.n, 1);
    ck_assert_int_eq(config_apply_dynamic(f.c, false, "max.connections", "x", &e), CHRONIK_E_INVAL);
    ck_assert_int_eq(config_apply_dynamic(f.c, false, "max.connections", NULL, &e), CHRONIK_DONE);
    ck_assert_int_eq(config_i64(f.c, CFG_MAX_CONNECTIONS), 20);
    ck_assert_int_eq(seen.n, 2);
    config_free(f.c);
}
END_TEST

START_TEST(a_change_of_a_key_that_is_read_only_is_refused)
{
    struct fixture f;
    struct err e = {0};
    fixture_good(&f, NULL);
    ck_assert_int_eq(config_check_dynamic(f.c, false, "node.id", "3", &e), CHRONIK_E_INVAL);
    ck_assert_str_eq(e.text, "Cannot update these configs dynamically: [node.id]");
    ck_assert_int_eq(config_check_dynamic(f.c, true, "cordoned.log.dirs", "/a", &e), CHRONIK_E_INVAL);
    ck_assert_int_eq(config_check_dynamic(f.c, false, "cordoned.log.dirs", "/a", &e), CHRONIK_DONE);
    ck_assert_int_eq(config_check_dynamic(f.c, false, "nothing", "/a", &e), CHRONIK_E_NOTFOUND);
    config_free(f.c);
}
END_TEST

static void expect(const struct config *c, const char *key, const char *value, const char *message)
{
    struct err e = {0};
    int32_t r = config_check(c, CONFIG_TOPIC, key, value, &e);
    if (message) {
        ck_assert_msg(r < 0, "%s=%s was accepted", key, value);
        ck_assert_str_eq(e.text, message);
    } else {
        ck_assert_msg(r == CHRONIK_DONE, "%s", e.text);
    }
}

START_TEST(bad_values_are_refused_in_the_words_of_kafka)
{
    struct fixture f;
    fixture_good(&f, NULL);
    expect(f.c, "foo", "1", "Unknown topic config name: foo");
    expect(f.c, "retention.ms", "x", "Invalid value x for configuration retention.ms: Not a number of type LONG");
    expect(f.c, "retention.ms", "9223372036854775808",
           "Invalid value 9223372036854775808 for configuration retention.ms: Not a number of type LONG");
    expect(f.c, "retention.ms", "-2", "Invalid value -2 for configuration retention.ms: Value must be at least -1");
    expect(f.c, "retention.ms", " 12 ", NULL);
    expect(f.c, "segment.bytes", "2147483648",
           "Invalid value 2147483648 for configuration segment.bytes: Not a number of type INT");
    expect(f.c, "cleanup.policy", "shred",
           "Invalid value shred for configuration cleanup.policy: String must be one of: compact, delete");
    expect(f.c, "cleanup.policy", "compact, delete", NULL);
    expect(
        f.c, "compression.type", "zip",
        "Invalid value zip for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, "
        "gzip, producer");
    expect(f.c, "compression.gzip.level", "0",
           "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1");
    expect(f.c, "compression.gzip.level", "-1", NULL);
    expect(f.c, "compression.lz4.level", "18",
           "Invalid value 18 for configuration compression.lz4.level: Value must be no more than 17");
    expect(f.c, "preallocate", "yes",
           "Invalid value yes for configuration preallocate: Expected value to be either true or false");
    expect(f.c, "preallocate", "TRUE", NULL);
    expect(f.c, "min.cleanable.dirty.ratio", "1.5",
           "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1");
    expect(f.c, "min.cleanable.dirty.ratio", "NaN",
           "Invalid value NaN for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE");
    expect(f.c, "leader.replication.throttled.replicas", "0:1,1:2", NULL);
    expect(f.c, "leader.replication.throttled.replicas", "*", NULL);
    expect(f.c, "leader.replication.throttled.replicas", "0-1",
           "Invalid value [0-1] for configuration leader.replication.throttled.replicas: "
           "leader.replication.throttled.replicas must be the literal '*' or a list of "
           "replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...");
    expect(f.c, "retention.ms", NULL, "Null value not supported for configs : retention.ms");
    struct err e = {0};
    ck_assert_int_eq(config_check(f.c, CONFIG_GROUP, "share.auto.offset.reset", "by_duration:PT1H30M", &e),
                     CHRONIK_DONE);
    ck_assert_int_lt(config_check(f.c, CONFIG_GROUP, "share.auto.offset.reset", "by_duration:1h", &e), 0);
    ck_assert_int_eq(config_check(f.c, CONFIG_GROUP, "share.isolation.level", "read_committed", &e), CHRONIK_DONE);
    config_free(f.c);
}
END_TEST

START_TEST(overrides_that_contradict_each_other_are_refused)
{
    struct fixture f;
    struct err e = {0};
    fixture_good(&f, NULL);
    const struct config_kv kv[] = {{"min.compaction.lag.ms", "5"}, {"max.compaction.lag.ms", "3"}};
    ck_assert_int_eq(config_check_set(f.c, CONFIG_TOPIC, kv, 2, &e), CHRONIK_E_INVAL);
    ck_assert_str_eq(e.text, "conflict topic config setting min.compaction.lag.ms (5) > max.compaction.lag.ms (3)");
    ck_assert_int_eq(config_check_set(f.c, CONFIG_TOPIC, kv, 1, &e), CHRONIK_DONE);
    config_free(f.c);
}
END_TEST

START_TEST(lists_are_appended_to_and_subtracted_from)
{
    static const struct {
        const char *now, *change, *want;
        bool add;
    } cases[] = {
        {NULL, "compact", "compact", true},
        {"delete", "compact,delete", "delete,compact", true},
        {"delete, compact", "delete", " compact", false},
        {"a,b,a", "c", "a,b,a", false},
        {"a,b,a", "a", "b,a", false},
        {"a", "a", "", false},
        {"a,", "", "a", false},
        {"a", "", "a,", true}, /* as Kafka has it; for most settings that is refused then */
        {"a", "b,", "a,b", true},
        {"a", ",b", "a,,b", true},
        {"a", ",", "a", true},
        {"", "", "", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *got = config_list_alter(cases[i].now, cases[i].change, cases[i].add);
        ck_assert_str_eq(got, cases[i].want);
        free(got);
    }
}
END_TEST

struct found {
    const char *want;
    struct config_entry entry;
    char synonyms[512], value[64];
    int n;
};

static void find(void *arg, const struct config_entry *entry)
{
    struct found *f = arg;
    f->n++;
    if (strcmp(entry->setting->name, f->want) != 0)
        return;
    f->entry = *entry;
    snprintf(f->value, sizeof f->value, "%s", entry->value ? entry->value : "(null)");
    for (size_t i = 0; i < entry->n_synonyms; i++)
        snprintf(f->synonyms + strlen(f->synonyms), sizeof f->synonyms - strlen(f->synonyms), "%s=%s:%d ",
                 entry->synonyms[i].name, entry->synonyms[i].value ? entry->synonyms[i].value : "(null)",
                 config_source_wire(entry->synonyms[i].source));
}

START_TEST(a_description_names_value_source_and_synonyms_like_kafka)
{
    struct fixture f;
    struct err e = {0};
    fixture_good(&f, "log.retention.hours=1\nlog.retention.minutes=30\n");
    struct found d = {.want = "retention.ms"};
    config_describe(f.c, CONFIG_TOPIC, NULL, 0, find, &d);
    ck_assert_int_eq(d.n, CONFIG_FIRST_GROUP - CONFIG_FIRST_TOPIC);
    ck_assert_str_eq(d.value, "1800000");
    ck_assert_int_eq(config_source_wire(d.entry.source), 4);
    ck_assert_str_eq(d.synonyms, "log.retention.minutes=30:4 log.retention.hours=1:4 log.retention.hours=168:5 ");

    const struct config_kv kv[] = {{"retention.ms", "77"}};
    ck_assert_int_eq(config_apply_dynamic(f.c, true, "log.retention.ms", "99", &e), CHRONIK_DONE);
    d = (struct found){.want = "retention.ms"};
    config_describe(f.c, CONFIG_TOPIC, kv, 1, find, &d);
    ck_assert_str_eq(d.value, "77");
    ck_assert_int_eq(config_source_wire(d.entry.source), 1);
    ck_assert_msg(strncmp(d.synonyms, "retention.ms=77:1 log.retention.ms=99:3 log.retention.minutes=30:4 ", 67) == 0,
                  "%s", d.synonyms);

    d = (struct found){.want = "segment.bytes"};
    config_describe(f.c, CONFIG_TOPIC, NULL, 0, find, &d);
    ck_assert_str_eq(d.value, "1073741824");
    ck_assert_int_eq(config_source_wire(d.entry.source), 5);
    ck_assert_str_eq(d.synonyms, "log.segment.bytes=1073741824:5 ");

    d = (struct found){.want = "node.id"};
    config_describe(f.c, CONFIG_BROKER, NULL, 0, find, &d);
    ck_assert_str_eq(d.value, "1");
    ck_assert(d.entry.read_only);
    d = (struct found){.want = "ssl.key.password"};
    config_describe(f.c, CONFIG_BROKER, NULL, 0, find, &d);
    ck_assert(d.entry.setting->sensitive);
    config_free(f.c);
}
END_TEST

START_TEST(every_setting_has_a_legal_default_and_is_found_by_name)
{
    struct fixture f;
    fixture_good(&f, NULL);
    for (int scope = CONFIG_BROKER; scope <= CONFIG_GROUP; scope++) {
        struct found d = {.want = ""};
        config_describe(f.c, (enum config_scope)scope, NULL, 0, find, &d);
        ck_assert_int_gt(d.n, 20);
    }
    const struct config_setting *s = config_find(f.c, CONFIG_TOPIC, "cleanup.policy");
    ck_assert_int_eq(s->id, TCFG_CLEANUP_POLICY);
    ck_assert_ptr_null(config_find(f.c, CONFIG_TOPIC, "log.cleanup.policy"));
    ck_assert_str_eq(config_nearest(f.c, CONFIG_TOPIC, "retention.mss"), "retention.ms");
    config_free(f.c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("config");
    TCase *t = tcase_create("topic");
    tcase_add_test(t, a_topic_without_overrides_follows_the_broker);
    tcase_add_test(t, an_override_beats_a_dynamic_value_beats_a_dynamic_default_beats_the_file);
    tcase_add_test(t, a_dynamic_change_calls_the_hooks_once_and_only_when_something_changed);
    tcase_add_test(t, a_change_of_a_key_that_is_read_only_is_refused);
    tcase_add_test(t, bad_values_are_refused_in_the_words_of_kafka);
    tcase_add_test(t, overrides_that_contradict_each_other_are_refused);
    tcase_add_test(t, lists_are_appended_to_and_subtracted_from);
    tcase_add_test(t, a_description_names_value_source_and_synonyms_like_kafka);
    tcase_add_test(t, every_setting_has_a_legal_default_and_is_found_by_name);
    suite_add_tcase(s, t);
    return fixture_run(s);
}
