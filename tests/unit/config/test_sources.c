/* test_sources.c: what a user may rely on when settings come from a file, the environment and flags. */
#include "fixture.h"

/* The keys that Kafka's stock KRaft file sets. */
static const char stock[] = "process.roles=broker,controller\n"
                            "node.id=1\n"
                            "controller.quorum.bootstrap.servers=localhost:9093\n"
                            "listeners=PLAINTEXT://:9092,CONTROLLER://:9093\n"
                            "inter.broker.listener.name=PLAINTEXT\n"
                            "advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n"
                            "controller.listener.names=CONTROLLER\n"
                            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,"
                            "SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL\n"
                            "num.network.threads=3\nnum.io.threads=8\n"
                            "socket.send.buffer.bytes=102400\nsocket.receive.buffer.bytes=102400\n"
                            "socket.request.max.bytes=104857600\n"
                            "log.dirs=/tmp/kraft-combined-logs\nnum.partitions=1\n"
                            "num.recovery.threads.per.data.dir=1\noffsets.topic.replication.factor=1\n"
                            "share.coordinator.state.topic.replication.factor=1\n"
                            "share.coordinator.state.topic.min.isr=1\n"
                            "transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n"
                            "log.retention.hours=168\nlog.segment.bytes=1073741824\n"
                            "log.retention.check.interval.ms=300000\n";

START_TEST(the_stock_server_properties_of_kafka_starts_a_broker)
{
    struct fixture f;
    fixture_good(&f, stock);
    ck_assert_int_eq(config_i64(f.c, CFG_NODE_ID), 1);
    ck_assert_str_eq(config_list(f.c, CFG_LOG_DIRS)->item[0], "/tmp/kraft-combined-logs");
    const struct config_listener *l;
    ck_assert_uint_eq(config_listeners(f.c, &l), 4);
    ck_assert_str_eq(l[0].advertised_host, "localhost");
    ck_assert(!l[0].controller && l[2].controller);
    config_free(f.c);
}
END_TEST

START_TEST(settings_without_effect_are_named_once_in_one_line)
{
    struct fixture f;
    fixture_good(&f, stock);
    ck_assert_msg(strstr(f.warnings, "without effect here: inter.broker.listener.name, ") != NULL, "%s", f.warnings);
    ck_assert_ptr_eq(strchr(f.warnings, '\n') + 1, f.warnings + strlen(f.warnings));
    ck_assert_ptr_null(strstr(f.warnings, "num.partitions"));
    config_free(f.c);
}
END_TEST

START_TEST(a_start_with_nothing_has_safe_defaults)
{
    struct fixture f;
    fixture_good(&f, NULL);
    ck_assert_int_eq(config_i64(f.c, CFG_NODE_ID), 1);
    ck_assert_str_eq(config_str(f.c, CFG_LOG_DIRS), "/home/ada/.local/state/chronik");
    ck_assert_str_eq(config_str(f.c, CFG_CHRONIK_FLUSH), "group");
    ck_assert_str_eq(f.warnings, "");
    config_free(f.c);

    char *const xdg[] = {(char *)"HOME=/home/ada", (char *)"XDG_STATE_HOME=/state", NULL};
    fixture_read(&f, NULL, xdg, NULL);
    ck_assert_int_eq(fixture_finish(&f), 0);
    ck_assert_str_eq(config_str(f.c, CFG_LOG_DIRS), "/state/chronik");
    config_free(f.c);

    char *const nothing[] = {NULL};
    fixture_read(&f, NULL, nothing, NULL);
    ck_assert_int_eq(fixture_finish(&f), 1);
    ck_assert_msg(strstr(f.errors, "--override log.dirs=DIRECTORY") != NULL, "%s", f.errors);
    config_free(f.c);
}
END_TEST

START_TEST(a_flag_beats_the_environment_beats_the_file_beats_the_default)
{
    struct fixture f;
    char *const env[] = {(char *)"HOME=/h", (char *)"CHRONIK_NUM_PARTITIONS=3", (char *)"CHRONIK_FLUSH=os",
                         (char *)"CHRONIK_LOG_RETENTION_MS=5", NULL};
    fixture_read(&f, "num.partitions=2\nlog.retention.ms=7\nlog.segment.bytes=2000000\n", env, "num.partitions", "4",
                 NULL);
    ck_assert_str_eq(config_raw(f.c, "num.partitions"), "4");
    ck_assert_str_eq(config_raw(f.c, "chronik.flush"), "os");
    ck_assert_ptr_null(config_raw(f.c, "chronik.meta"));
    ck_assert_msg(fixture_finish(&f) == 0, "%s", f.errors);
    ck_assert_int_eq(config_i64(f.c, CFG_NUM_PARTITIONS), 4);
    ck_assert_int_eq(config_i64(f.c, CFG_LOG_RETENTION_MS), 5);
    ck_assert_int_eq(config_i64(f.c, CFG_LOG_SEGMENT_BYTES), 2000000);
    ck_assert_int_eq(config_i64(f.c, CFG_LOG_ROLL_MS), CONFIG_NONE);
    ck_assert_int_eq(config_source_of(f.c, CFG_NUM_PARTITIONS), CONFIG_FROM_FLAG);
    ck_assert_int_eq(config_source_of(f.c, CFG_LOG_RETENTION_MS), CONFIG_FROM_ENV);
    ck_assert_str_eq(config_origin(f.c, config_find(f.c, CONFIG_BROKER, "chronik.flush")), "environment CHRONIK_FLUSH");
    ck_assert_str_eq(config_origin(f.c, config_find(f.c, CONFIG_BROKER, "log.segment.bytes")), "server.properties:3");
    ck_assert_str_eq(config_origin(f.c, config_find(f.c, CONFIG_BROKER, "node.id")), "default");
    config_free(f.c);
}
END_TEST

START_TEST(the_file_is_read_as_java_reads_it)
{
    struct fixture f;
    fixture_good(&f, "# a comment \\\n"
                     "! another = comment\r\n"
                     "\n   \t\n"
                     "broker.rack : r\\u00e4ck\\:1\n"
                     "num.partitions   5  \n"
                     "log.dirs=/a,\\\n     /b\\\r\n   ,/c\n"
                     "chronik.clus\\\n  ter.id = x\\\\y\\tz\n"
                     "chronik.log.level=\\\n  debug\n"
                     "\\\n  message.max.bytes=\\\n7");
    ck_assert_str_eq(config_str(f.c, CFG_BROKER_RACK), "r\xc3\xa4"
                                                       "ck:1");
    ck_assert_int_eq(config_i64(f.c, CFG_NUM_PARTITIONS), 5);
    ck_assert_uint_eq(config_list(f.c, CFG_LOG_DIRS)->n, 3);
    ck_assert_str_eq(config_list(f.c, CFG_LOG_DIRS)->item[2], "/c");
    ck_assert_str_eq(config_str(f.c, CFG_CHRONIK_CLUSTER_ID), "x\\y\tz");
    ck_assert_str_eq(config_str(f.c, CFG_CHRONIK_LOG_LEVEL), "debug");
    ck_assert_int_eq(config_i64(f.c, CFG_MESSAGE_MAX_BYTES), 7);
    config_free(f.c);
}
END_TEST

START_TEST(a_malformed_line_is_named_by_file_and_line)
{
    static const char *const bad[] = {"a=1\nb=\\u12G4\n", "a=1\nb=\\u12", "a=1\nb=\\ud800x\n", "a=1\nb=\\u0000\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct config *c = config_new();
        struct err e = {0};
        ck_assert_int_eq(config_read_text(c, "dir/x.properties", bad[i], strlen(bad[i]), &e), CHRONIK_E_INVAL);
        ck_assert_msg(strncmp(e.text, "dir/x.properties:2: ", 20) == 0, "%s", e.text);
        config_free(c);
    }
    struct config *c = config_new();
    struct err e = {0};
    ck_assert_int_eq(config_read_text(c, "elf", "\177ELF\0\0", 6, &e), CHRONIK_E_INVAL);
    ck_assert_msg(strstr(e.text, "not a text file") != NULL, "%s", e.text);
    config_free(c);
}
END_TEST

START_TEST(an_unknown_key_is_refused_with_place_and_nearest_key)
{
    fixture_refused("\n\nlog.retension.ms=1\n",
                    "server.properties:3: unknown key 'log.retension.ms'; the nearest valid "
                    "key is log.retention.ms (--allow-unknown-config");
    fixture_refused("chronik.flsuh=os\n", "the nearest valid key is chronik.flush");
    fixture_refused("zookeeper.connect=localhost:2181\n", "unknown key 'zookeeper.connect', and no valid key is near");
    fixture_refused("retention.ms=5\n", "retention.ms is a setting of topics; for all topics of the broker set "
                                        "log.retention.ms");
}
END_TEST

START_TEST(unknown_keys_can_be_allowed)
{
    struct fixture f;
    fixture_read(&f, "my.own.key=1\n", NULL, NULL);
    struct config_finish_options o = {.allow_unknown = true};
    ck_assert_int_eq(config_finish(f.c, &o, fixture_report, &f), 0);
    ck_assert_msg(strstr(f.warnings, "server.properties:1: unknown key 'my.own.key'") != NULL, "%s", f.warnings);
    config_free(f.c);
}
END_TEST

START_TEST(every_bad_value_is_reported_at_once_with_its_place)
{
    struct fixture f;
    fixture_read(&f, "num.partitions=many\nlog.segment.bytes=1\nchronik.flush=never\n", NULL, "node.id", "-4", NULL);
    ck_assert_int_eq(fixture_finish(&f), 4);
    ck_assert_str_eq(
        f.errors, "server.properties:1: Invalid value many for configuration num.partitions: Not a number of type INT\n"
                  "server.properties:2: Invalid value 1 for configuration log.segment.bytes: Value must be at least "
                  "1048576\n"
                  "server.properties:3: Invalid value never for configuration chronik.flush: String must be one of: "
                  "group, interval, os\n"
                  "--override: Invalid value -4 for configuration node.id: Value must be at least 0\n");
    config_free(f.c);
}
END_TEST

START_TEST(security_that_is_not_there_is_refused_not_ignored)
{
    fixture_refused("ssl.keystore.location=/etc/k.jks\n",
                    "server.properties:1: ssl.keystore.location asks for security");
    fixture_refused("sasl.enabled.mechanisms=PLAIN\n", "sasl.enabled.mechanisms asks for security");
    fixture_refused("authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n",
                    "authorizer.class.name asks for security");
    fixture_refused("listener.name.plaintext.sasl.enabled.mechanisms=PLAIN\n", "asks for security");
    fixture_refused("listener.name.x.plain.sasl.jaas.config=y\n", "asks for security");
    fixture_refused("listeners=SSL://127.0.0.1:9093\n",
                    "the listener SSL asks for SSL, which chronik does not have yet");
    fixture_refused("security.inter.broker.protocol=SSL\n", "asks for security");
    fixture_refused("super.users=User:admin\n", "asks for security");
    struct fixture f;
    fixture_good(&f, "authorizer.class.name=\nsecurity.inter.broker.protocol=PLAINTEXT\nssl.client.auth=none\n");
    config_free(f.c);
}
END_TEST

START_TEST(a_secret_never_shows_up_in_a_message)
{
    struct fixture f;
    fixture_read(&f, "ssl.keystore.password=hunter2\ndelegation.token.secret.key=hunter2\n", NULL, NULL);
    ck_assert_int_gt(fixture_finish(&f), 0);
    ck_assert_ptr_null(strstr(f.errors, "hunter2"));
    config_free(f.c);
}
END_TEST

START_TEST(older_names_count_when_the_newer_has_no_value)
{
    struct fixture f;
    fixture_good(&f, "log.dir=/old\nbroker.id=7\n");
    ck_assert_str_eq(config_str(f.c, CFG_LOG_DIRS), "/old");
    ck_assert_int_eq(config_i64(f.c, CFG_NODE_ID), 7);
    config_free(f.c);
    fixture_good(&f, "log.dir=/old\nlog.dirs=/new\n");
    ck_assert_str_eq(config_str(f.c, CFG_LOG_DIRS), "/new");
    config_free(f.c);
    fixture_refused("broker.id=7\nnode.id=8\n", "broker.id=7 differs from node.id=8");
    fixture_refused("log.dirs=/a,/b,/a\n", "a directory is named twice");
    fixture_refused("process.roles=controller\n", "broker and controller in one");
}
END_TEST

START_TEST(a_key_given_twice_warns_and_the_last_counts)
{
    struct fixture f;
    fixture_good(&f, "num.partitions=2\nnum.partitions=3\n");
    ck_assert_int_eq(config_i64(f.c, CFG_NUM_PARTITIONS), 3);
    ck_assert_msg(strstr(f.warnings, "server.properties:2: num.partitions was given before, at server.properties:1") !=
                      NULL,
                  "%s", f.warnings);
    config_free(f.c);
}
END_TEST

START_TEST(a_variable_that_nearly_names_a_setting_warns)
{
    struct fixture f;
    char *const env[] = {(char *)"HOME=/h", (char *)"CHRONIK_NUM_PARTITION=3", (char *)"CHRONIK_SHARED=/x", NULL};
    fixture_read(&f, NULL, env, NULL);
    ck_assert_int_eq(fixture_finish(&f), 0);
    ck_assert_str_eq(f.warnings, "environment CHRONIK_NUM_PARTITION names no setting; the nearest is num.partitions\n");
    config_free(f.c);
}
END_TEST

static const struct chronik_config_key wal_keys[] = {
    {"chronik.store-wal.bytes", CHRONIK_CONFIG_INT, 0, "1024", 16, 1 << 20, NULL, "Size."},
    {"chronik.store-wal.mode", CHRONIK_CONFIG_CHOICE, 0, "fast", 0, 0, "fast|safe", "Mode."},
    {"chronik.store-wal.on", CHRONIK_CONFIG_BOOL, 0, "true", 0, 0, NULL, "On."},
};

static int32_t register_wal(struct config *c, struct err *e)
{
    return config_register_keys(c, "store-wal", wal_keys, ARRAY_LEN(wal_keys), sizeof wal_keys[0], e);
}

START_TEST(keys_of_an_installed_module_are_valid_and_checked)
{
    struct fixture f;
    struct err e = {0};
    char *const env[] = {(char *)"HOME=/h", (char *)"CHRONIK_STORE_WAL_MODE=safe", NULL};
    fixture_read(&f, "chronik.store-wal.bytes=4096\n", env, NULL);
    ck_assert_int_eq(register_wal(f.c, &e), CHRONIK_DONE);
    ck_assert_msg(fixture_finish(&f) == 0, "%s", f.errors);
    int64_t n = 0;
    const char *mode = NULL;
    ck_assert_int_eq(config_get_i64(f.c, "chronik.store-wal.bytes", &n), CHRONIK_DONE);
    ck_assert_int_eq(n, 4096);
    ck_assert_int_eq(config_get_i64(f.c, "chronik.store-wal.on", &n), CHRONIK_DONE);
    ck_assert_int_eq(n, 1);
    ck_assert_int_eq(config_get_str(f.c, "chronik.store-wal.mode", &mode), CHRONIK_DONE);
    ck_assert_str_eq(mode, "safe");
    ck_assert_int_eq(config_get_i64(f.c, "chronik.store-wal.mode", &n), CHRONIK_E_INVAL);
    ck_assert_int_eq(config_get_i64(f.c, "chronik.store-wal.other", &n), CHRONIK_E_NOTFOUND);
    ck_assert_int_eq(config_get_i64(f.c, "node.id", &n), CHRONIK_DONE);
    config_free(f.c);

    fixture_read(&f, "chronik.store-wal.mode=slow\nchronik.store-wal.byte=1\n", NULL, NULL);
    ck_assert_int_eq(register_wal(f.c, &e), CHRONIK_DONE);
    ck_assert_int_eq(fixture_finish(&f), 2);
    ck_assert_msg(strstr(f.errors, "String must be one of: fast, safe") != NULL, "%s", f.errors);
    ck_assert_msg(strstr(f.errors, "the nearest valid key is chronik.store-wal.bytes") != NULL, "%s", f.errors);
    config_free(f.c);
}
END_TEST

START_TEST(a_malformed_schema_of_a_module_is_refused)
{
    static const struct chronik_config_key bad[] = {
        {"log.dirs", CHRONIK_CONFIG_STRING, 0, NULL, 0, 0, NULL, "x"},
        {NULL, CHRONIK_CONFIG_STRING, 0, NULL, 0, 0, NULL, "x"},
        {"chronik.x.y", 99, 0, NULL, 0, 0, NULL, "x"},
        {"chronik.x.y", CHRONIK_CONFIG_STRING, 4, NULL, 0, 0, NULL, "x"},
        {"chronik.x.y", CHRONIK_CONFIG_INT, 0, "7", 8, 9, NULL, "x"},
        {"chronik.x.y", CHRONIK_CONFIG_INT, 0, "7", 9, 8, NULL, "x"},
        {"chronik.x.y", CHRONIK_CONFIG_CHOICE, 0, "a", 0, 0, NULL, "x"},
        {"chronik.flush", CHRONIK_CONFIG_STRING, 0, NULL, 0, 0, NULL, "x"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct config *c = config_new();
        struct err e = {0};
        ck_assert_int_lt(config_register_keys(c, "bad", &bad[i], 1, sizeof bad[i], &e), 0);
        ck_assert_msg(strstr(e.text, "module bad") != NULL, "%s", e.text);
        config_free(c);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("config");
    TCase *t = tcase_create("sources");
    tcase_add_test(t, the_stock_server_properties_of_kafka_starts_a_broker);
    tcase_add_test(t, settings_without_effect_are_named_once_in_one_line);
    tcase_add_test(t, a_start_with_nothing_has_safe_defaults);
    tcase_add_test(t, a_flag_beats_the_environment_beats_the_file_beats_the_default);
    tcase_add_test(t, the_file_is_read_as_java_reads_it);
    tcase_add_test(t, a_malformed_line_is_named_by_file_and_line);
    tcase_add_test(t, an_unknown_key_is_refused_with_place_and_nearest_key);
    tcase_add_test(t, unknown_keys_can_be_allowed);
    tcase_add_test(t, every_bad_value_is_reported_at_once_with_its_place);
    tcase_add_test(t, security_that_is_not_there_is_refused_not_ignored);
    tcase_add_test(t, a_secret_never_shows_up_in_a_message);
    tcase_add_test(t, older_names_count_when_the_newer_has_no_value);
    tcase_add_test(t, a_key_given_twice_warns_and_the_last_counts);
    tcase_add_test(t, a_variable_that_nearly_names_a_setting_warns);
    tcase_add_test(t, keys_of_an_installed_module_are_valid_and_checked);
    tcase_add_test(t, a_malformed_schema_of_a_module_is_refused);
    suite_add_tcase(s, t);
    return fixture_run(s);
}
