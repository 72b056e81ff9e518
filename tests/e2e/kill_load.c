/* kill_load.c: load for a broker that is killed again and again, and the judge of what it kept. Each of N connections
 * writes numbered records with acks=all, half of them as idempotent producers that retry, half without any retry; all
 * acknowledgements are remembered with their offsets. When standard input ends it stops writing, waits for the answers
 * under way, reads everything back and accounts for every record: an acknowledged one must stand at its offset, once;
 * one of unknown outcome may stand at most once; the records of a connection are in order. Exit status 0 when all hold.
 *
 * usage: kill_load BROKER TOPIC PARTITIONS CONNECTIONS */
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_RECORDS = 400000, IN_FLIGHT = 64, MAX_FILLER = 400 };
enum { UNKNOWN = -1, NEVER_SENT = -2 }; /* in place of an offset */

struct record {
    uint32_t connection, number, filler, check;
};

struct connection {
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;
    pthread_t thread;
    uint32_t id, sent, seen_last;
    int32_t partition;
    bool idempotent, any_seen;
    _Atomic uint32_t waiting, acknowledged, unknown;
    int64_t *offset; /* by number: where it was acknowledged, or UNKNOWN, NEVER_SENT */
    uint8_t *found;
};

static _Atomic bool stopping;
static _Atomic int complaints;

__attribute__((format(printf, 1, 2))) static void complain(const char *fmt, ...)
{
    if (atomic_fetch_add(&complaints, 1) >= 20)
        return;
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}

static uint32_t mix(const struct record *r)
{
    uint32_t h = r->connection * 2654435761u ^ r->number * 40503u ^ r->filler;
    return h ^ h >> 15;
}

/* ---- writing ---- */

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct connection *c = opaque;
    uint32_t number = (uint32_t)(uintptr_t)m->_private;
    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        c->offset[number] = m->offset;
        atomic_fetch_add(&c->acknowledged, 1);
    } else {
        c->offset[number] = UNKNOWN;
        atomic_fetch_add(&c->unknown, 1);
    }
    atomic_fetch_sub(&c->waiting, 1);
}

static void failed(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
    struct connection *c = opaque;
    char text[512];
    if (err == RD_KAFKA_RESP_ERR__FATAL && rd_kafka_fatal_error(rk, text, sizeof text))
        complain("connection %u: the producer was refused for good: %s", c->id, text);
}

static void *write_records(void *arg)
{
    struct connection *c = arg;
    char value[sizeof(struct record) + MAX_FILLER];
    memset(value, 'x', sizeof value);
    while (!stopping && c->sent < MAX_RECORDS) {
        rd_kafka_poll(c->rk, atomic_load(&c->waiting) >= IN_FLIGHT ? 5 : 0);
        if (atomic_load(&c->waiting) >= IN_FLIGHT)
            continue;
        struct record r = {.connection = c->id, .number = c->sent, .filler = (c->sent * 7919u) % MAX_FILLER};
        r.check = mix(&r);
        memcpy(value, &r, sizeof r);
        c->offset[c->sent] = UNKNOWN;
        if (rd_kafka_produce(c->topic, c->partition, RD_KAFKA_MSG_F_COPY, value, sizeof r + r.filler, NULL, 0,
                             (void *)(uintptr_t)c->sent) != 0) {
            c->offset[c->sent] = NEVER_SENT;
            rd_kafka_poll(c->rk, 10);
            continue;
        }
        c->sent++;
        atomic_fetch_add(&c->waiting, 1);
    }
    for (int i = 0; i < 1200 && atomic_load(&c->waiting); i++)
        rd_kafka_poll(c->rk, 50);
    if (atomic_load(&c->waiting))
        complain("connection %u: %u records had no answer a minute after the last restart", c->id, c->waiting);
    return NULL;
}

static void set(rd_kafka_conf_t *conf, const char *key, const char *value)
{
    char why[256];
    if (rd_kafka_conf_set(conf, key, value, why, sizeof why) != RD_KAFKA_CONF_OK) {
        fprintf(stderr, "kill_load: %s\n", why);
        exit(2);
    }
}

static rd_kafka_conf_t *base_conf(const char *broker)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", broker);
    set(conf, "broker.address.family", "v4");
    set(conf, "reconnect.backoff.ms", "20");
    set(conf, "reconnect.backoff.max.ms", "100");
    set(conf, "log_level", "0");
    return conf;
}

static void open_connection(struct connection *c, const char *broker, const char *topic, uint32_t id, int partitions)
{
    c->id = id;
    c->partition = (int32_t)(id % (uint32_t)partitions);
    c->idempotent = id % 2 == 0;
    c->offset = malloc(MAX_RECORDS * sizeof *c->offset);
    c->found = calloc(MAX_RECORDS, 1);
    rd_kafka_conf_t *conf = base_conf(broker);
    set(conf, "acks", "all");
    set(conf, "linger.ms", "2");
    set(conf, "batch.num.messages", "16");
    set(conf, "retry.backoff.ms", "20");
    set(conf, "message.timeout.ms", "60000");
    set(conf, "enable.idempotence", c->idempotent ? "true" : "false");
    if (!c->idempotent)
        set(conf, "message.send.max.retries", "0");
    rd_kafka_conf_set_opaque(conf, c);
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set_error_cb(conf, failed);
    char why[256];
    c->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    c->topic = c->rk ? rd_kafka_topic_new(c->rk, topic, NULL) : NULL;
    if (!c->offset || !c->found || !c->topic || pthread_create(&c->thread, NULL, write_records, c) != 0) {
        fprintf(stderr, "kill_load: cannot open connection %u\n", id);
        exit(2);
    }
}

/* ---- judging ---- */

static void judge(struct connection *all, uint32_t connections, const rd_kafka_message_t *m)
{
    struct record r;
    if (m->len < sizeof r) {
        complain("partition %d offset %lld: a record of %zu bytes is not ours", m->partition, (long long)m->offset,
                 m->len);
        return;
    }
    memcpy(&r, m->payload, sizeof r);
    if (r.check != mix(&r) || r.connection >= connections || m->len != sizeof r + r.filler ||
        r.number >= all[r.connection].sent) {
        complain("partition %d offset %lld: a damaged record", m->partition, (long long)m->offset);
        return;
    }
    struct connection *c = &all[r.connection];
    if (c->found[r.number]++)
        complain("connection %u record %u: doubled at partition %d offset %lld", r.connection, r.number, m->partition,
                 (long long)m->offset);
    if (c->partition != m->partition || (c->offset[r.number] >= 0 && c->offset[r.number] != m->offset))
        complain("connection %u record %u: moved: acknowledged at offset %lld, found at partition %d offset %lld",
                 r.connection, r.number, (long long)c->offset[r.number], m->partition, (long long)m->offset);
    if (c->any_seen && r.number <= c->seen_last)
        complain("connection %u: record %u stands behind record %u", r.connection, r.number, c->seen_last);
    c->any_seen = true;
    c->seen_last = r.number;
}

static uint64_t read_back(const char *broker, const char *topic, int partitions, struct connection *all,
                          uint32_t connections)
{
    char why[256];
    rd_kafka_conf_t *conf = base_conf(broker);
    set(conf, "group.id", "judge");
    set(conf, "enable.partition.eof", "true");
    set(conf, "check.crcs", "true");
    set(conf, "enable.auto.commit", "false");
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    for (int p = 0; p < partitions; p++)
        rd_kafka_topic_partition_list_add(list, topic, p)->offset = 0;
    rd_kafka_poll_set_consumer(rk);
    rd_kafka_assign(rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    uint64_t n = 0;
    int ended = 0;
    time_t until = time(NULL) + 120;
    while (ended < partitions && time(NULL) < until) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 200);
        if (!m)
            continue;
        if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            ended++;
        } else if (m->err) {
            complain("reading back: %s", rd_kafka_message_errstr(m));
        } else {
            judge(all, connections, m);
            n++;
        }
        rd_kafka_message_destroy(m);
    }
    if (ended < partitions)
        complain("reading back did not reach the end of all partitions within two minutes");
    rd_kafka_destroy(rk);
    return n;
}

static void look_for_missing(struct connection *c)
{
    for (uint32_t i = 0; i < c->sent; i++)
        if (c->offset[i] >= 0 && !c->found[i])
            complain("connection %u record %u: acknowledged at partition %d offset %lld, and missing", c->id, i,
                     c->partition, (long long)c->offset[i]);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: kill_load BROKER TOPIC PARTITIONS CONNECTIONS\n");
        return 2;
    }
    int partitions = atoi(argv[3]);
    uint32_t connections = (uint32_t)atoi(argv[4]);
    struct connection *all = calloc(connections, sizeof *all);
    if (!all || partitions < 1 || connections < 1)
        return 2;
    for (uint32_t i = 0; i < connections; i++)
        open_connection(&all[i], argv[1], argv[2], i, partitions);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
        uint64_t so_far = 0; /* a byte asks for progress */
        for (uint32_t i = 0; i < connections; i++)
            so_far += all[i].acknowledged;
        printf("%llu\n", (unsigned long long)so_far);
        fflush(stdout);
    }
    stopping = true;
    uint64_t acknowledged = 0, unknown = 0;
    for (uint32_t i = 0; i < connections; i++) {
        pthread_join(all[i].thread, NULL);
        acknowledged += all[i].acknowledged;
        unknown += all[i].unknown;
    }
    uint64_t found = read_back(argv[1], argv[2], partitions, all, connections);
    for (uint32_t i = 0; i < connections; i++) {
        look_for_missing(&all[i]);
        rd_kafka_topic_destroy(all[i].topic);
        rd_kafka_destroy(all[i].rk);
        free(all[i].offset);
        free(all[i].found);
    }
    free(all);
    printf("%llu acknowledged, %llu of unknown outcome, %llu found, %d complaints\n", (unsigned long long)acknowledged,
           (unsigned long long)unknown, (unsigned long long)found, complaints);
    return complaints != 0;
}
