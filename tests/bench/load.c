/* load.c: a load generator for one broker: requests are encoded once, then only their correlation ids change, so that
 * the broker, not this program, is what is measured. Modes: produce (closed loop, or open loop at a rate), fetch,
 * create (topics), wait (until the broker answers). One thread, epoll. Prints one line of JSON. */
#include <config.h>

#include "base/arena.h"
#include "wire/batch.h"
#include "wire/messages.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNS = 1024, MAX_FLIGHT = 256, READ_BYTES = 1 << 20, BUCKETS = 64 * 32 };

struct options {
    const char *mode, *host, *topic;
    int port, conns, in_flight, partitions, batch, records, fetch_bytes, acks;
    double seconds, warmup, rate; /* requests a second in all; 0: closed loop */
};

struct conn {
    int fd, partition;
    uint8_t *request;         /* one encoded request with its length */
    size_t request_n, out_at; /* bytes of the current one already sent */
    bool sending;
    int flight;
    int64_t sent_ns[MAX_FLIGHT]; /* ring, in order of the requests */
    uint32_t head, tail;
    uint8_t head_bytes[8];
    size_t in_at, in_need; /* of the frame that is being read; in_need 0: its length is not known */
    int64_t offset;        /* fetch: next offset */
    uint8_t *answer;       /* fetch: the first bytes of an answer, for its offsets */
    size_t answer_n;
};

static struct options opt = {.mode = "produce",
                             .host = "127.0.0.1",
                             .topic = "bench",
                             .port = 9092,
                             .conns = 4,
                             .in_flight = 5,
                             .partitions = 4,
                             .batch = 16384,
                             .records = 149,
                             .fetch_bytes = 1 << 20,
                             .acks = -1,
                             .seconds = 5,
                             .warmup = 1};
static uint64_t histogram[BUCKETS], n_done, n_bytes, n_errors;
static bool counting;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "unexpected");
    exit(1);
}

/* ---- latencies: 32 buckets for each power of two ---- */

static void note_latency(int64_t ns)
{
    int top = 63 - __builtin_clzll((uint64_t)(ns | 32));
    int shift = top - 5;
    histogram[(shift << 5) + ((ns >> shift) & 31)]++;
}

static double quantile_us(double q)
{
    uint64_t total = 0, seen = 0;
    for (int i = 0; i < BUCKETS; i++)
        total += histogram[i];
    for (int i = 0; i < BUCKETS; i++) {
        seen += histogram[i];
        if (total && (double)seen >= q * (double)total)
            return (double)((32 + (int64_t)(i & 31)) << (i >> 5)) / 1e3;
    }
    return 0;
}

/* ---- requests ---- */

static void encode(int key, int version, const void *body, uint8_t **out, size_t *n)
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

static void make_batch(const uint8_t **p, size_t *n)
{
    static struct batch_build b;
    struct batch_head h = batch_build_plain(0, CODEC_NONE);
    size_t size = (size_t)opt.batch / (size_t)opt.records;
    size_t value = size > 20 ? size - 10 : 10;
    uint8_t *bytes = malloc(value);
    if (!bytes)
        die("memory");
    for (size_t i = 0; i < value; i++)
        bytes[i] = (uint8_t)(i * 131 + i / 7);
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    batch_begin(&b, &h);
    for (int i = 0; i < opt.records; i++)
        batch_add(&b, (int64_t)t.tv_sec * 1000, NULL, 0, bytes, value, NULL, 0);
    if (batch_finish(&b, p, n) < 0)
        die("batch");
    free(bytes);
}

static void encode_produce(struct conn *c)
{
    const uint8_t *p;
    size_t n;
    make_batch(&p, &n);
    struct wire_produce_request_partition_data d = {.index = c->partition, .records = {(uint8_t *)p, (int32_t)n, NULL}};
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
    encode(WIRE_API_PRODUCE, 8, &q, &c->request, &c->request_n);
}

static void encode_fetch(struct conn *c)
{
    struct wire_fetch_request_partition p = wire_fetch_request_partition_default;
    struct wire_fetch_request_topic t = wire_fetch_request_topic_default;
    struct wire_fetch_request q = wire_fetch_request_default;
    p.partition = c->partition;
    p.fetch_offset = c->offset;
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
    free(c->request);
    encode(WIRE_API_FETCH, 8, &q, &c->request, &c->request_n);
}

/* ---- blocking calls ---- */

static int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port)};
    inet_pton(AF_INET, opt.host, &a.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
        int keep = errno;
        close(fd);
        errno = keep;
        return -1;
    }
    return fd;
}

static void read_all(int fd, void *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t got = read(fd, (char *)p + at, n - at);
        if (got <= 0)
            die("read");
        at += (size_t)got;
    }
}

/* One request and its decoded answer in `a`. */
static void call(int fd, int key, int version, const void *body, struct arena *a, void *answer)
{
    uint8_t *out, head[4];
    size_t n, skip;
    struct err e = {0};
    int32_t correlation;
    encode(key, version, body, &out, &n);
    if (write(fd, out, n) != (ssize_t)n)
        die("write");
    free(out);
    read_all(fd, head, 4);
    n = get_be32(head);
    uint8_t *in = arena_alloc(a, n);
    if (!in)
        die("memory");
    read_all(fd, in, n);
    if (wire_get_response_header(wire_api(key), version, in, n, &correlation, &skip, &e) < 0 ||
        wire_decode(wire_api(key)->response, version, in + skip, n - skip, a, answer, &e) < 0) {
        fprintf(stderr, "load: %s\n", e.text);
        exit(1);
    }
}

static int16_t create_topic(int fd, const char *name, int partitions)
{
    struct wire_create_topics_request_creatable_topic t = wire_create_topics_request_creatable_topic_default;
    struct wire_create_topics_request q = wire_create_topics_request_default;
    struct wire_create_topics_response resp;
    struct arena a;
    arena_init(&a, 0);
    t.name = wire_str(name);
    t.num_partitions = partitions;
    t.replication_factor = 1;
    q.topics.v = &t;
    q.topics.n = 1;
    q.timeout_ms = 30000;
    call(fd, WIRE_API_CREATE_TOPICS, 4, &q, &a, &resp);
    int16_t code = resp.topics.v[0].error_code;
    arena_free(&a);
    return code;
}

/* Until the broker answers and its partitions lead: at most a minute. */
static int wait_ready(void)
{
    for (int i = 0; i < 60000; i++) {
        int fd = dial();
        if (fd >= 0) {
            struct wire_api_versions_request q = wire_api_versions_request_default;
            struct wire_api_versions_response resp;
            struct arena a;
            arena_init(&a, 0);
            call(fd, WIRE_API_API_VERSIONS, 0, &q, &a, &resp);
            arena_free(&a);
            return fd;
        }
        usleep(1000);
    }
    die("the broker does not answer");
}

/* ---- the loop ---- */

static void begin_request(struct conn *c, int64_t at_ns)
{
    static int32_t correlation;
    put_be32(c->request + 8, (uint32_t)correlation++);
    c->sending = true;
    c->out_at = 0;
    c->sent_ns[c->head++ % MAX_FLIGHT] = at_ns;
    c->flight++;
}

/* true when the socket took the whole request. */
static bool push(struct conn *c)
{
    while (c->out_at < c->request_n) {
        ssize_t n = send(c->fd, c->request + c->out_at, c->request_n - c->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0)
            die("send");
        c->out_at += (size_t)n;
    }
    c->sending = false;
    return true;
}

/* The number of requests that the rate allows by now; the open loop's clock starts at `since`. */
static uint64_t allowed(int64_t since)
{
    return (uint64_t)((double)(now_ns() - since) * 1e-9 * opt.rate);
}

static void answered(struct conn *c)
{
    int64_t sent = c->sent_ns[c->tail++ % MAX_FLIGHT];
    c->flight--;
    if (!counting)
        return;
    note_latency(now_ns() - sent);
    n_done++;
}

static const uint8_t *skip_string(const uint8_t *p)
{
    return p + 2 + (int16_t)get_be16(p);
}

/* Produce 8: correlation, topics[name, partitions[index, error ...]]. */
static void check_produce(struct conn *c)
{
    const uint8_t *p = skip_string(c->answer + 4 + 4);
    if (get_be16(p + 8))
        n_errors++;
}

/* Fetch 8: correlation, throttle, error, session, topics[name, partitions[index, error, hw, lso, start, aborted,
 * records]]. */
static void check_fetch(struct conn *c, size_t frame)
{
    const uint8_t *p = skip_string(c->answer + 4 + 4 + 2 + 4 + 4) + 4;
    int32_t aborted = (int32_t)get_be32(p + 30);
    const uint8_t *records = p + 34 + (aborted > 0 ? aborted * 16 : 0);
    int32_t n = (int32_t)get_be32(records);
    if (get_be16(p + 4))
        n_errors++;
    if (counting)
        n_bytes += (uint64_t)n;
    /* Batches are alike: the last one's place follows from the size of the first. */
    if (n < BATCH_HEAD) {
        c->offset = 0;
    } else {
        const uint8_t *b = records + 4;
        uint64_t size = BATCH_PREFIX + get_be32(b + 8);
        uint64_t whole = (uint64_t)n / size;
        c->offset = (int64_t)get_be64(b) + (int64_t)(whole ? whole : 1) * opt.records;
    }
    encode_fetch(c);
}

/* Reads what is there. */
static void pull(struct conn *c, uint8_t *buf)
{
    for (;;) {
        ssize_t n = recv(c->fd, buf, READ_BYTES, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0)
            die("the broker closed a connection");
        for (ssize_t at = 0; at < n;) {
            if (c->in_need == 0) {
                c->head_bytes[c->in_at++] = buf[at++];
                if (c->in_at == 4) {
                    c->in_need = get_be32(c->head_bytes);
                    c->in_at = 0;
                }
                continue;
            }
            size_t take = min_size(c->in_need - c->in_at, (size_t)(n - at));
            if (c->in_at < c->answer_n)
                memcpy(c->answer + c->in_at, buf + at, min_size(take, c->answer_n - c->in_at));
            c->in_at += take;
            at += (ssize_t)take;
            if (c->in_at < c->in_need)
                continue;
            if (opt.mode[0] == 'f')
                check_fetch(c, c->in_need);
            else
                check_produce(c);
            c->in_at = c->in_need = 0;
            answered(c);
        }
        if (n < READ_BYTES)
            return;
    }
}

static void run(struct conn *conns)
{
    struct epoll_event ev[MAX_CONNS];
    uint8_t *buf = malloc(READ_BYTES);
    int ep = epoll_create1(0);
    int64_t begin = now_ns(), count_from = begin + (int64_t)(opt.warmup * 1e9);
    int64_t end = count_from + (int64_t)(opt.seconds * 1e9);
    uint64_t started = 0;
    if (!buf || ep < 0)
        die("epoll");
    for (int i = 0; i < opt.conns; i++) {
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &conns[i]};
        fcntl(conns[i].fd, F_SETFL, O_NONBLOCK);
        epoll_ctl(ep, EPOLL_CTL_ADD, conns[i].fd, &e);
    }
    for (int64_t now = begin; now < end; now = now_ns()) {
        counting = now >= count_from;
        for (int i = 0; i < opt.conns; i++) {
            struct conn *c = &conns[(started + (uint64_t)i) % (uint64_t)opt.conns];
            while (!c->sending && c->flight < opt.in_flight && (opt.rate == 0 || started < allowed(begin))) {
                /* Open loop: the clock runs from when the request was due. */
                int64_t due = opt.rate > 0 ? begin + (int64_t)((double)started / opt.rate * 1e9) : now_ns();
                begin_request(c, due);
                started++;
                if (!push(c) || opt.rate > 0)
                    break;
            }
        }
        int wait_ms = opt.rate > 0 ? (started < allowed(begin) ? 0 : 1) : 100;
        int n;
        if (opt.rate > 0 && wait_ms) {
            struct timespec t = {0, 50000};
            n = epoll_pwait2(ep, ev, MAX_CONNS, &t, NULL);
        } else {
            n = epoll_wait(ep, ev, MAX_CONNS, wait_ms);
        }
        for (int i = 0; i < n; i++) {
            struct conn *c = ev[i].data.ptr;
            if (c->sending)
                push(c);
            pull(c, buf);
        }
    }
    free(buf);
    close(ep);
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void load(void)
{
    static struct conn conns[MAX_CONNS];
    int fd = wait_ready();
    int16_t code = create_topic(fd, opt.topic, opt.partitions);
    if (code != 0 && code != 36)
        die("the topic cannot be created");
    close(fd);
    for (int i = 0; i < opt.conns; i++) {
        struct conn *c = &conns[i];
        c->partition = i % opt.partitions;
        c->answer_n = 4096;
        c->answer = malloc(c->answer_n);
        c->fd = dial();
        if (c->fd < 0 || !c->answer)
            die("connect");
        if (opt.mode[0] == 'f')
            encode_fetch(c);
        else
            encode_produce(c);
    }
    run(conns);
    if (opt.mode[0] == 'p')
        n_bytes = n_done * conns[0].request_n;
    printf(
        "{\"mode\":\"%s\",\"requests_per_s\":%.0f,\"mb_per_s\":%.1f,\"p50_us\":%.0f,\"p99_us\":%.0f,\"p999_us\":%.0f,"
        "\"errors\":%llu,\"bytes\":%llu,\"generator_cpu_s\":%.2f}\n",
        opt.mode, (double)n_done / opt.seconds, (double)n_bytes / opt.seconds / 1e6, quantile_us(0.5),
        quantile_us(0.99), quantile_us(0.999), (unsigned long long)n_errors, (unsigned long long)n_bytes,
        cpu_seconds());
    exit(n_errors ? 1 : 0);
}

static void create_many(void)
{
    int fd = wait_ready();
    int64_t begin = now_ns();
    for (int i = 0; i < opt.records; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s-%d", opt.topic, i);
        int16_t code = create_topic(fd, name, opt.partitions);
        if (code != 0 && code != 36)
            die("a topic cannot be created");
    }
    printf("{\"mode\":\"create\",\"topics\":%d,\"seconds\":%.3f}\n", opt.records, (double)(now_ns() - begin) / 1e9);
}

static void parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *eq = strchr(argv[i], '=');
        size_t k = eq ? (size_t)(eq - argv[i]) : strlen(argv[i]);
        const char *v = eq ? eq + 1 : "";
#define OPTION(name) (k == strlen(name) && strncmp(argv[i], name, k) == 0)
        if (!eq)
            opt.mode = argv[i];
        else if (OPTION("--host"))
            opt.host = v;
        else if (OPTION("--port"))
            opt.port = atoi(v);
        else if (OPTION("--topic"))
            opt.topic = v;
        else if (OPTION("--conns"))
            opt.conns = atoi(v);
        else if (OPTION("--in-flight"))
            opt.in_flight = atoi(v);
        else if (OPTION("--partitions"))
            opt.partitions = atoi(v);
        else if (OPTION("--batch"))
            opt.batch = atoi(v);
        else if (OPTION("--records"))
            opt.records = atoi(v);
        else if (OPTION("--fetch-bytes"))
            opt.fetch_bytes = atoi(v);
        else if (OPTION("--acks"))
            opt.acks = atoi(v);
        else if (OPTION("--seconds"))
            opt.seconds = atof(v);
        else if (OPTION("--warmup"))
            opt.warmup = atof(v);
        else if (OPTION("--rate"))
            opt.rate = atof(v);
        else
            die(argv[i]);
    }
    if (opt.conns < 1 || opt.conns > MAX_CONNS || opt.in_flight < 1 || opt.in_flight > MAX_FLIGHT || opt.records < 1)
        die("an option is out of range");
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    errno = 0;
    if (strcmp(opt.mode, "wait") == 0)
        close(wait_ready());
    else if (strcmp(opt.mode, "create") == 0)
        create_many();
    else if (strcmp(opt.mode, "produce") == 0 || strcmp(opt.mode, "fetch") == 0)
        load();
    else
        die("the mode is produce, fetch, create or wait");
    return 0;
}
