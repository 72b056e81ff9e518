/* load.c: a load generator for one broker: requests are encoded once, then only their correlation ids change, so that
 * the broker, not this program, is what is measured. Modes: produce, commit, heartbeat (closed loop, or open loop at a
 * rate), members (which only are there), fetch, join, create, delete, wait. One thread, epoll; prints one line of JSON.
 */
#include "load.h"

#include "wire/batch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_CONNS = 1024,
    MAX_FLIGHT = 256,
    READ_BYTES = 1 << 20,
    HEAD_BYTES = 4096,  /* of an answer are looked at */
    SMALL_BYTES = 8192, /* requests up to this size leave together, with one call */
    SUB = 64,           /* buckets a power of two: latencies are told to 1.6 % */
    BUCKETS = 64 * SUB,
    DRAIN_S = 10, /* an open loop waits so long for what is under way at its end */
};

struct conn {
    int fd, no, partition;
    uint8_t *request;         /* `copies` encoded requests, one behind the other */
    size_t request_n, copies; /* bytes of one */
    size_t turn;              /* which of the copies is next */
    size_t out_at, out_end;   /* bytes that still must leave */
    int64_t due_ns[MAX_FLIGHT];
    uint32_t head, tail; /* requests begun and answered; also their correlation ids */
    uint8_t length[4];
    size_t in_at, in_need; /* of the frame that is being read; in_need 0: its length is not known */
    uint8_t *answer;       /* the first bytes of an answer; with --check all of them */
    size_t answer_n;
    int64_t offset; /* fetch: next offset */
};

struct load_options opt = {.mode = "produce",
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
                           .topics = 1,
                           .groups = 1,
                           .members = 1,
                           .seconds = 5,
                           .warmup = 1,
                           .stop_ns = INT64_C(60000000000)};

static struct {
    int64_t begin, from, end; /* counted is what was due (open loop) or answered (closed) in [from, end) */
    uint64_t histogram[BUCKETS], started, done, bytes, errors, unanswered;
    int64_t worst;
    double own_cpu, its_cpu; /* seconds; at `from` first, in between afterwards */
    bool counting;
} run;

int64_t load_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

_Noreturn void load_die(const char *what)
{
    fprintf(stderr, "load: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

/* ---- latencies: SUB buckets for each power of two ---- */

static void note_latency(int64_t ns)
{
    int shift = 63 - __builtin_clzll((uint64_t)ns | SUB) - __builtin_ctz(SUB);
    run.histogram[shift * SUB + (int)(ns >> shift & (SUB - 1))]++;
    run.worst = max_i64(run.worst, ns);
}

/* The upper edge of the bucket: never better than it was. */
static double quantile_us(double q)
{
    uint64_t total = 0, seen = 0;
    for (int i = 0; i < BUCKETS; i++)
        total += run.histogram[i];
    for (int i = 0; total && i < BUCKETS; i++) {
        seen += run.histogram[i];
        if ((double)seen >= q * (double)total)
            return (double)((int64_t)(SUB + i % SUB + 1) << i / SUB) / 1e3;
    }
    return 0;
}

/* ---- CPU ---- */

static double own_cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* User and system time of all threads of the broker's process. */
static double its_cpu(void)
{
    char path[64], line[1024];
    unsigned long user = 0, system = 0;
    if (opt.pid == 0)
        return 0;
    snprintf(path, sizeof path, "/proc/%d/stat", opt.pid);
    FILE *f = fopen(path, "re");
    const char *p = f && fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
    if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        load_die("the broker's process is not there");
    fclose(f);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* ---- sending ---- */

static int flight(const struct conn *c)
{
    return (int)(c->head - c->tail);
}

/* `k` requests that were due at `due_ns` */
static void begin_requests(struct conn *c, size_t k, int64_t due_ns)
{
    uint8_t *first = c->request + c->turn * c->request_n;
    for (size_t i = 0; i < k; i++) {
        put_be32(first + i * c->request_n + 8, c->head);
        c->due_ns[c->head++ % MAX_FLIGHT] = due_ns;
    }
    c->out_at = c->turn * c->request_n;
    c->out_end = c->out_at + k * c->request_n;
    c->turn = (c->turn + k) % c->copies;
    run.started += k;
}

/* true when the socket took all of it. */
static bool push(struct conn *c)
{
    while (c->out_at < c->out_end) {
        ssize_t n = send(c->fd, c->request + c->out_at, c->out_end - c->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0)
            load_die("send");
        c->out_at += (size_t)n;
    }
    return true;
}

static void fill_closed(struct conn *c)
{
    while (c->out_at == c->out_end && flight(c) < opt.in_flight) {
        begin_requests(c, min_size(c->copies - c->turn, (size_t)(opt.in_flight - flight(c))), load_now_ns());
        if (!push(c))
            return;
    }
}

static int64_t due_at(uint64_t i)
{
    return run.begin + (int64_t)((double)i / opt.rate * 1e9);
}

/* Sends what is due, round robin. false: no connection is free; what is due keeps its time until one answers. */
static bool fill_open(struct conn *conns, int64_t now)
{
    int full = 0;
    for (int64_t due; full < opt.conns && (due = due_at(run.started)) <= now && due < run.end;) {
        static unsigned turn;
        struct conn *c = &conns[turn++ % (unsigned)opt.conns];
        if (c->out_at < c->out_end || flight(c) >= opt.in_flight) {
            full++;
            continue;
        }
        full = 0;
        begin_requests(c, 1, due);
        push(c);
    }
    return full < opt.conns;
}

/* ---- answers ---- */

static const uint8_t *skip_string(const uint8_t *p)
{
    return p + 2 + (int16_t)get_be16(p);
}

static void failed(const char *what, int code)
{
    if (run.errors++ == 0)
        fprintf(stderr, "load: %s: error %d\n", what, code);
}

/* Produce 8: correlation, topics[name, partitions[index, error ...]]. */
static void check_produce(const struct conn *c)
{
    const uint8_t *p = skip_string(c->answer + 4 + 4) + 4;
    if (get_be16(p + 4))
        failed("produce", (int16_t)get_be16(p + 4));
    else if (run.counting)
        run.bytes += c->request_n;
}

/* Every batch is whole but the last one, has a right CRC and the offset that follows. */
static void check_records(const struct conn *c, const uint8_t *p, size_t n, int64_t offset)
{
    struct batch_problem problem;
    struct batch_head h;
    for (const uint8_t *at; batch_next(&p, &n, &h, &at) == 1; offset += h.last_offset_delta + 1)
        if (h.base_offset != offset || batch_check(at, h.bytes, &h, BATCH_STORED, &problem) != 0) {
            fprintf(stderr, "load: partition %d, offset %lld: not the batch that was asked for\n", c->partition,
                    (long long)offset);
            exit(1);
        }
}

/* Fetch 8: correlation, throttle, error, session, topics[name, partitions[index, error, hw, lso, start, aborted,
 * records]]. Steps to the next offset; from the end back to the start. */
static void check_fetch(struct conn *c)
{
    const uint8_t *p = skip_string(c->answer + 4 + 4 + 2 + 4 + 4) + 4;
    int64_t high = (int64_t)get_be64(p + 6);
    int32_t aborted = (int32_t)get_be32(p + 30);
    const uint8_t *records = p + 34 + (aborted > 0 ? aborted * 16 : 0), *b = records + 4;
    int32_t n = (int32_t)get_be32(records);
    if (get_be16(p + 4) || n < BATCH_HEAD || (int64_t)get_be64(b) != c->offset) {
        failed("fetch", (int16_t)get_be16(p + 4));
        c->offset = 0;
        return;
    }
    if (opt.check)
        check_records(c, b, (size_t)n, c->offset);
    if (run.counting)
        run.bytes += (uint64_t)n;
    /* Batches are alike: the last one's place follows from the size of the first. */
    uint64_t whole = (uint64_t)n / (BATCH_PREFIX + get_be32(b + 8));
    c->offset += (int64_t)(whole ? whole : 1) * ((int64_t)get_be32(b + 23) + 1);
    if (c->offset >= high)
        c->offset = 0;
}

static void next_fetch(struct conn *c)
{
    free(c->request);
    load_encode_fetch(c->partition, c->offset, &c->request, &c->request_n);
}

static void check_group(struct conn *c)
{
    int code = opt.mode[0] == 'j' ? load_groups_next(c->no, c->answer, &c->request, &c->request_n)
                                  : load_groups_error(c->answer);
    if (code)
        failed(opt.mode, code);
}

static void answered(struct conn *c)
{
    if (get_be32(c->answer) != c->tail)
        load_die("an answer is not the one to the oldest request");
    int64_t due = c->due_ns[c->tail++ % MAX_FLIGHT], now = load_now_ns();
    if (opt.rate > 0)
        run.counting = due >= run.from && due < run.end;
    switch (opt.mode[0]) {
    case 'f':
        check_fetch(c);
        next_fetch(c);
        break;
    case 'p':
        check_produce(c);
        break;
    default:
        check_group(c);
    }
    if (!run.counting)
        return;
    note_latency(now - due);
    run.done++;
}

/* Takes `n` bytes that came; `p` NULL: they were thrown away unseen. */
static void take(struct conn *c, const uint8_t *p, size_t n)
{
    while (n) {
        size_t k;
        if (c->in_need == 0) {
            k = min_size(4 - c->in_at, n);
            memcpy(c->length + c->in_at, p, k);
            c->in_at += k;
            if (c->in_at == 4) {
                c->in_need = get_be32(c->length);
                c->in_at = 0;
                if (opt.check && c->in_need > c->answer_n)
                    load_die("an answer is larger than it may be");
            }
        } else {
            k = min_size(c->in_need - c->in_at, n);
            if (c->in_at < c->answer_n)
                memcpy(c->answer + c->in_at, p, min_size(k, c->answer_n - c->in_at));
            c->in_at += k;
            if (c->in_at == c->in_need) {
                c->in_at = c->in_need = 0;
                answered(c);
            }
        }
        n -= k;
        p = p ? p + k : NULL;
    }
}

/* Reads what is there. Records that nobody looks at are dropped in the kernel: their copy is not the broker's cost. */
static void pull(struct conn *c, uint8_t *buf)
{
    for (;;) {
        bool drop = c->in_need > c->answer_n && c->in_at >= c->answer_n;
        size_t want = drop ? c->in_need - c->in_at : opt.mode[0] == 'f' && !opt.check ? HEAD_BYTES : READ_BYTES;
        ssize_t n = recv(c->fd, drop ? NULL : buf, want, drop ? MSG_TRUNC : 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0)
            load_die("the broker closed a connection");
        take(c, drop ? NULL : buf, (size_t)n);
        if ((size_t)n < want && !drop)
            return;
    }
}

/* ---- the loop ---- */

static bool under_way(const struct conn *conns)
{
    for (int i = 0; i < opt.conns; i++)
        if (flight(&conns[i]))
            return true;
    return false;
}

/* What an open loop never heard of was as slow as it waited. */
static void count_unanswered(struct conn *conns, int64_t now)
{
    for (int i = 0; i < opt.conns; i++)
        for (struct conn *c = &conns[i]; flight(c); c->tail++)
            if (c->due_ns[c->tail % MAX_FLIGHT] >= run.from) {
                note_latency(now - c->due_ns[c->tail % MAX_FLIGHT]);
                run.unanswered++;
            }
    for (uint64_t i = run.started; due_at(i) < run.end; i++, run.unanswered++)
        note_latency(now - due_at(i));
}

static void mark_cpu(void)
{
    run.own_cpu = own_cpu() - run.own_cpu;
    run.its_cpu = its_cpu() - run.its_cpu;
}

/* false: over. Notes when counting begins and ends. */
static bool go_on(const struct conn *conns, int64_t now)
{
    static bool marked, over;
    if (!marked && now >= run.from) {
        marked = true;
        run.from = now;
        mark_cpu();
    }
    if (opt.rate == 0) {
        run.counting = marked;
        if (opt.bytes && run.bytes >= (uint64_t)opt.bytes)
            run.end = min_i64(run.end, now);
    }
    if (now < run.end)
        return true;
    if (!over) {
        over = true;
        mark_cpu();
        if (opt.rate == 0)
            run.end = now;
    }
    return opt.rate > 0 && now < run.end + DRAIN_S * INT64_C(1000000000) &&
           (under_way(conns) || due_at(run.started) < run.end);
}

static int wait_events(int ep, struct epoll_event *ev, bool free_ones)
{
    int64_t ns = 100000000;
    if (opt.rate > 0 && free_ones && due_at(run.started) < run.end)
        ns = max_i64(due_at(run.started) - load_now_ns(), 0);
    struct timespec t = {ns / 1000000000, ns % 1000000000};
    return epoll_pwait2(ep, ev, MAX_CONNS, &t, NULL);
}

static void run_load(struct conn *conns)
{
    static struct epoll_event ev[MAX_CONNS];
    uint8_t *buf = malloc(READ_BYTES);
    int ep = epoll_create1(EPOLL_CLOEXEC);
    if (!buf || ep < 0)
        load_die("epoll");
    for (int i = 0; i < opt.conns; i++) {
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &conns[i]};
        fcntl(conns[i].fd, F_SETFL, O_NONBLOCK);
        epoll_ctl(ep, EPOLL_CTL_ADD, conns[i].fd, &e);
    }
    prctl(PR_SET_TIMERSLACK, 1UL);
    run.begin = load_now_ns();
    run.from = run.begin + (int64_t)(opt.warmup * 1e9);
    run.end = run.from + (int64_t)(opt.seconds * 1e9);
    for (int i = 0; opt.rate == 0 && opt.mode[0] != 'm' && i < opt.conns; i++)
        fill_closed(&conns[i]);
    for (int64_t now = run.begin; go_on(conns, now); now = load_now_ns()) {
        bool free_ones = opt.rate > 0 && fill_open(conns, now);
        int n = wait_events(ep, ev, free_ones);
        for (int i = 0; i < n; i++) {
            struct conn *c = ev[i].data.ptr;
            push(c);
            pull(c, buf);
            if (opt.rate == 0 && opt.mode[0] != 'm')
                fill_closed(c);
        }
    }
    if (opt.rate > 0)
        count_unanswered(conns, load_now_ns());
    free(buf);
    close(ep);
}

static void report(void)
{
    double s = (double)(run.end - run.from) / 1e9;
    printf("{\"mode\":\"%s\",\"seconds\":%.3f,\"requests\":%llu,\"requests_per_s\":%.0f,\"mb_per_s\":%.1f,"
           "\"p50_us\":%.0f,\"p99_us\":%.0f,\"p999_us\":%.0f,\"max_us\":%.0f,\"errors\":%llu,\"unanswered\":%llu,"
           "\"bytes\":%llu,\"generator_cpu_s\":%.3f,\"broker_cpu_s\":%.3f}\n",
           opt.mode, s, (unsigned long long)run.done, (double)run.done / s, (double)run.bytes / s / 1e6,
           quantile_us(0.5), quantile_us(0.99), quantile_us(0.999), (double)run.worst / 1e3,
           (unsigned long long)run.errors, (unsigned long long)run.unanswered, (unsigned long long)run.bytes,
           run.own_cpu, run.its_cpu);
}

static bool of_groups(void)
{
    return opt.mode[0] != 'p' && opt.mode[0] != 'f';
}

static void prepare(struct conn *c, int i)
{
    c->no = i;
    c->partition = i % opt.partitions;
    c->answer_n = opt.check ? (size_t)opt.fetch_bytes + (1 << 20) : HEAD_BYTES;
    c->answer = malloc(c->answer_n);
    c->copies = 1;
    if (!c->answer)
        load_die("memory");
    if (opt.mode[0] == 'f') {
        load_encode_fetch(c->partition, 0, &c->request, &c->request_n);
        return;
    }
    if (opt.mode[0] == 'j') {
        load_groups_begin(i, c->fd, &c->request, &c->request_n);
        return;
    }
    if (of_groups()) {
        load_groups_encode(i, &c->request, &c->request_n, &c->copies);
        return;
    }
    load_encode_produce(c->partition, &c->request, &c->request_n);
    if (c->request_n > SMALL_BYTES)
        return;
    c->copies = (size_t)opt.in_flight;
    c->request = realloc(c->request, c->copies * c->request_n);
    if (!c->request)
        load_die("memory");
    for (size_t k = 1; k < c->copies; k++)
        memcpy(c->request + k * c->request_n, c->request, c->request_n);
}

static void load(void)
{
    static struct conn conns[MAX_CONNS];
    if (opt.mode[0] == 'f' || opt.mode[0] == 'j')
        opt.in_flight = 1; /* the next request follows from the answer */
    if (!opt.raw)
        load_wait_ready();
    int fds[MAX_CONNS];
    for (int i = 0; i < opt.conns; i++) {
        fds[i] = conns[i].fd = load_dial();
        if (fds[i] < 0)
            load_die("connect");
    }
    if (of_groups())
        load_groups_join(fds);
    for (int i = 0; i < opt.conns; i++)
        prepare(&conns[i], i);
    run_load(conns);
    report();
    exit(run.errors || run.unanswered ? 1 : 0);
}

/* ---- the command line ---- */

static bool parse_number(const char *key, size_t n, const char *v)
{
    const struct {
        const char *name;
        int *i;
        double *d;
    } options[] = {
        {"--port", &opt.port, NULL},           {"--conns", &opt.conns, NULL},
        {"--in-flight", &opt.in_flight, NULL}, {"--partitions", &opt.partitions, NULL},
        {"--batch", &opt.batch, NULL},         {"--records", &opt.records, NULL},
        {"--acks", &opt.acks, NULL},           {"--fetch-bytes", &opt.fetch_bytes, NULL},
        {"--topics", &opt.topics, NULL},       {"--pid", &opt.pid, NULL},
        {"--seconds", NULL, &opt.seconds},     {"--warmup", NULL, &opt.warmup},
        {"--rate", NULL, &opt.rate},           {"--groups", &opt.groups, NULL},
        {"--members", &opt.members, NULL},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (strlen(options[i].name) == n && memcmp(options[i].name, key, n) == 0) {
            if (options[i].i)
                *options[i].i = atoi(v);
            else
                *options[i].d = atof(v);
            return true;
        }
    return false;
}

static bool is(const char *name, const char *key, size_t n)
{
    return strlen(name) == n && memcmp(name, key, n) == 0;
}

static void parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *eq = strchr(argv[i], '=');
        size_t k = eq ? (size_t)(eq - argv[i]) : strlen(argv[i]);
        if (!eq && is("--check", argv[i], k))
            opt.check = true;
        else if (!eq && is("--simple", argv[i], k))
            opt.simple = true;
        else if (!eq && is("--raw", argv[i], k))
            opt.raw = true;
        else if (!eq)
            opt.mode = argv[i];
        else if (is("--host", argv[i], k))
            opt.host = eq + 1;
        else if (is("--topic", argv[i], k))
            opt.topic = eq + 1;
        else if (is("--config", argv[i], k))
            opt.config = eq + 1;
        else if (is("--bytes", argv[i], k))
            opt.bytes = atoll(eq + 1);
        else if (is("--since", argv[i], k))
            opt.since_ns = atoll(eq + 1);
        else if (is("--stop", argv[i], k))
            opt.stop_ns = (int64_t)(atof(eq + 1) * 1e9);
        else if (!parse_number(argv[i], k, eq + 1))
            load_die(argv[i]);
    }
    if (opt.conns < 1 || opt.conns > MAX_CONNS || opt.in_flight < 1 || opt.in_flight > MAX_FLIGHT || opt.records < 1 ||
        opt.partitions < 1 || opt.groups < 1 || opt.members < 1)
        load_die("an option is out of range");
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    errno = 0;
    if (strcmp(opt.mode, "wait") == 0)
        printf("{\"mode\":\"wait\",\"seconds\":%.4f}\n", (double)load_wait_ready() / 1e9);
    else if (strcmp(opt.mode, "create") == 0)
        load_create_topics();
    else if (strcmp(opt.mode, "delete") == 0)
        load_delete_topic();
    else if (strcmp(opt.mode, "produce") == 0 || strcmp(opt.mode, "fetch") == 0 || strcmp(opt.mode, "commit") == 0 ||
             strcmp(opt.mode, "heartbeat") == 0 || strcmp(opt.mode, "join") == 0 || strcmp(opt.mode, "members") == 0)
        load();
    else
        load_die("the mode is produce, fetch, commit, heartbeat, members, join, create, delete or wait");
    return 0;
}
