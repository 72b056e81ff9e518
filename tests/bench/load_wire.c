/* load_wire.c: the requests of the load generator: produce and fetch requests that are encoded once, and the calls that
 * set the scene (create, delete, wait), which block and are never part of a measurement. One thread. */
#include "load.h"

#include "base/arena.h"
#include "wire/batch.h"
#include "wire/messages.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_MOST = 64 << 20, RETRY_US = 1000, CONFIGS_MOST = 8 };

void load_encode(int key, int version, const void *body, uint8_t **out, size_t *n)
{
    struct wire_out o;
    struct err e = {0};
    wire_out_init(&o, 0);
    if (wire_encode_request(wire_api(key), version, 0, wire_str("load"), body, &o, &e) < 0) {
        fprintf(stderr, "load: %s\n", e.text);
        exit(1);
    }
    *out = o.p;
    *n = o.n;
}

/* Values are cut to such a size that the batch has opt.batch bytes or a few less. */
static void make_batch(struct batch_build *b, const uint8_t **p, size_t *n)
{
    struct batch_head h = batch_build_plain(0, CODEC_NONE);
    size_t size = (size_t)opt.batch / (size_t)opt.records;
    size_t value = size > 20 ? size - 10 : 10;
    uint8_t *bytes = malloc(value);
    struct timespec t;
    if (!bytes)
        load_die("memory");
    for (size_t i = 0; i < value; i++)
        bytes[i] = (uint8_t)(i * 131 + i / 7);
    clock_gettime(CLOCK_REALTIME, &t);
    batch_begin(b, &h);
    for (int i = 0; i < opt.records; i++)
        batch_add(b, (int64_t)t.tv_sec * 1000, NULL, 0, bytes, value, NULL, 0);
    if (batch_finish(b, p, n) < 0)
        load_die("batch");
    free(bytes);
}

void load_encode_produce(int partition, uint8_t **out, size_t *out_n)
{
    static struct batch_build b;
    const uint8_t *p;
    size_t n;
    make_batch(&b, &p, &n);
    struct wire_produce_request_partition_data d = {.index = partition, .records = {(uint8_t *)p, (int32_t)n, NULL}};
    struct wire_produce_request_topic_data t = wire_produce_request_topic_data_default;
    struct wire_produce_request q = wire_produce_request_default;
    t.name = wire_str(opt.topic);
    t.partition_data.v = &d;
    t.partition_data.n = 1;
    q.transactional_id = wire_str(NULL);
    q.acks = (int16_t)opt.acks;
    q.timeout_ms = 30000;
    q.topic_data.v = &t;
    q.topic_data.n = 1;
    load_encode(WIRE_API_PRODUCE, 8, &q, out, out_n);
}

void load_encode_fetch(int partition, int64_t offset, uint8_t **out, size_t *n)
{
    struct wire_fetch_request_partition p = wire_fetch_request_partition_default;
    struct wire_fetch_request_topic t = wire_fetch_request_topic_default;
    struct wire_fetch_request q = wire_fetch_request_default;
    p.partition = partition;
    p.fetch_offset = offset;
    p.partition_max_bytes = opt.fetch_bytes;
    t.topic = wire_str(opt.topic);
    t.partitions.v = &p;
    t.partitions.n = 1;
    q.replica_id = -1;
    q.max_wait_ms = 100;
    q.min_bytes = 1;
    q.max_bytes = opt.fetch_bytes;
    q.session_epoch = -1;
    q.topics.v = &t;
    q.topics.n = 1;
    load_encode(WIRE_API_FETCH, 8, &q, out, n);
}

/* ---- calls that block ---- */

int load_dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port)};
    if (inet_pton(AF_INET, opt.host, &a.sin_addr) != 1)
        load_die("--host is not an IPv4 address");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0)
        load_die("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) < 0)
        load_die("cubic");
    if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
        int keep = errno;
        close(fd);
        errno = keep;
        return -1;
    }
    return fd;
}

static bool read_all(int fd, void *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t got = read(fd, (char *)p + at, n - at);
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

void load_send(int fd, uint8_t *out, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t k = send(fd, out + at, n - at, MSG_NOSIGNAL);
        if (k <= 0)
            load_die("send");
        at += (size_t)k;
    }
    free(out);
}

bool load_receive(int fd, int key, int version, struct arena *a, void *answer)
{
    uint8_t head[4];
    size_t skip;
    struct err e = {0};
    int32_t correlation;
    if (!read_all(fd, head, 4))
        return false;
    size_t n = get_be32(head);
    uint8_t *in = n <= ANSWER_MOST ? arena_alloc(a, n) : NULL;
    if (!in)
        load_die("an answer is too large");
    if (!read_all(fd, in, n))
        return false;
    if (wire_get_response_header(wire_api(key), version, in, n, &correlation, &skip, &e) < 0 ||
        wire_decode(wire_api(key)->response, version, in + skip, n - skip, a, answer, &e) < 0) {
        fprintf(stderr, "load: %s\n", e.text);
        exit(1);
    }
    return true;
}

bool load_call(int fd, int key, int version, const void *body, struct arena *a, void *answer)
{
    uint8_t *out;
    size_t n;
    load_encode(key, version, body, &out, &n);
    load_send(fd, out, n);
    return load_receive(fd, key, version, a, answer);
}

static bool cluster_answers(int fd)
{
    struct wire_metadata_request q = wire_metadata_request_default;
    struct wire_metadata_response resp;
    struct arena a;
    arena_init(&a, 0);
    bool ok = load_call(fd, WIRE_API_METADATA, 1, &q, &a, &resp) && resp.brokers.n > 0;
    arena_free(&a);
    return ok;
}

static bool topic_answers(int fd)
{
    struct wire_list_offsets_request_partition *ps = calloc((size_t)opt.partitions, sizeof *ps);
    struct wire_list_offsets_request_topic t = wire_list_offsets_request_topic_default;
    struct wire_list_offsets_request q = wire_list_offsets_request_default;
    struct wire_list_offsets_response resp;
    struct arena a;
    if (!ps)
        load_die("memory");
    for (int i = 0; i < opt.partitions; i++) {
        ps[i] = wire_list_offsets_request_partition_default;
        ps[i].partition_index = i;
        ps[i].timestamp = -1;
    }
    t.name = wire_str(opt.topic);
    t.partitions.v = ps;
    t.partitions.n = opt.partitions;
    q.replica_id = -1;
    q.topics.v = &t;
    q.topics.n = 1;
    arena_init(&a, 0);
    bool ok = load_call(fd, WIRE_API_LIST_OFFSETS, 1, &q, &a, &resp) && resp.topics.n == 1 &&
              resp.topics.v[0].partitions.n == opt.partitions;
    for (int i = 0; ok && i < opt.partitions; i++)
        ok = resp.topics.v[0].partitions.v[i].error_code == 0;
    arena_free(&a);
    free(ps);
    return ok;
}

int64_t load_wait_ready(void)
{
    int64_t begin = opt.since_ns ? opt.since_ns : load_now_ns(), until = load_now_ns() + opt.stop_ns;
    while (load_now_ns() < until) {
        int fd = load_dial();
        bool ok = fd >= 0 && (opt.topic[0] ? topic_answers(fd) : cluster_answers(fd));
        if (fd >= 0)
            close(fd);
        if (ok)
            return load_now_ns() - begin;
        usleep(RETRY_US);
    }
    errno = 0;
    load_die("the broker does not answer");
}

/* Splits "KEY=VALUE,KEY=VALUE", in place, into the settings of a topic; their number. */
static int parse_config(char *text, struct wire_create_topics_request_creatable_topic_config *c, int most)
{
    int n = 0;
    for (char *rest = text, *one; n < most && (one = strsep(&rest, ",")) != NULL;) {
        char *value = one;
        const char *key = strsep(&value, "=");
        if (!value)
            continue;
        c[n] = wire_create_topics_request_creatable_topic_config_default;
        c[n].name = wire_str(key);
        c[n++].value = wire_str(value);
    }
    return n;
}

static void create_topic(int fd, const char *name)
{
    struct wire_create_topics_request_creatable_topic t = wire_create_topics_request_creatable_topic_default;
    struct wire_create_topics_request_creatable_topic_config configs[CONFIGS_MOST];
    struct wire_create_topics_request q = wire_create_topics_request_default;
    struct wire_create_topics_response resp;
    struct arena a;
    char text[512];
    arena_init(&a, 0);
    snprintf(text, sizeof text, "%s", opt.config ? opt.config : "");
    t.name = wire_str(name);
    t.num_partitions = opt.partitions;
    t.replication_factor = 1;
    t.configs.v = configs;
    t.configs.n = parse_config(text, configs, CONFIGS_MOST);
    q.topics.v = &t;
    q.topics.n = 1;
    q.timeout_ms = 60000;
    if (!load_call(fd, WIRE_API_CREATE_TOPICS, 4, &q, &a, &resp) || resp.topics.n != 1)
        load_die("the broker closed a connection");
    if (resp.topics.v[0].error_code != 0) {
        fprintf(stderr, "load: creating topic %s failed with error %d\n", name, resp.topics.v[0].error_code);
        exit(1);
    }
    arena_free(&a);
}

void load_create_topics(void)
{
    int fd = load_dial();
    if (fd < 0)
        load_die("connect");
    for (int i = 0; i < opt.topics; i++) {
        char name[64];
        snprintf(name, sizeof name, opt.topics == 1 ? "%s" : "%s-%d", opt.topic, i);
        create_topic(fd, name);
    }
    close(fd);
}

void load_delete_topic(void)
{
    struct wire_str name = wire_str(opt.topic);
    struct wire_delete_topics_request q = wire_delete_topics_request_default;
    struct wire_delete_topics_response resp;
    struct arena a;
    arena_init(&a, 0);
    q.topic_names.v = &name;
    q.topic_names.n = 1;
    q.timeout_ms = 60000;
    int fd = load_dial();
    if (fd < 0 || !load_call(fd, WIRE_API_DELETE_TOPICS, 3, &q, &a, &resp) || resp.responses.n != 1 ||
        resp.responses.v[0].error_code != 0)
        load_die("the topic cannot be deleted");
    close(fd);
    arena_free(&a);
}
