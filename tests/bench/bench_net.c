#include <config.h>

/* bench_net.c: what core/net alone costs: one loop and a client thread over loopback, several connections with several
 * requests in flight, bodies that nobody looks at. Prints requests/s, GB/s and the loop's CPU per GB and per request.
 * usage: bench_net [SECONDS [CONNECTIONS [IN-FLIGHT [ROW]]]], ROW a part of its name. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/metrics.h"
#include "net/net.h"

enum { MAX_CONNS = 64, BUF = 512 * 1024, FILE_BYTES = 64 << 20 };

struct row {
    const char *name;
    uint32_t request, answer; /* bytes of a frame */
    bool file;
};

struct conn {
    int fd;
    uint64_t to_send; /* bytes of the requests that may leave */
    size_t at;        /* position in the current request */
    uint64_t answered;
    uint64_t body; /* bytes of the current answer still to come */
    uint8_t head[4];
    uint32_t n_head;
};

struct cpu {
    struct chronik_task task;
    struct os *os;
    struct os_flag flag;
    double seconds;
};

static struct row row;
static uint8_t *memory;
static struct os_file *file;
static uint64_t file_at;

static double thread_cpu(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void on_request(void *arg, struct net_req *r)
{
    struct net_seg seg = {.p = memory, .n = row.answer};
    if (row.file) {
        seg = (struct net_seg){.file = file, .off = file_at, .n = row.answer};
        file_at = (file_at + row.answer) % (FILE_BYTES - row.answer);
    }
    net_answer(r, &seg, 1, NULL, NULL);
}

static void on_conn(void *arg, struct net_conn *c)
{
}

static void on_canceled(void *arg, struct net_req *r)
{
    net_drop(r, "gone");
}

static void read_cpu(void *arg)
{
    struct cpu *c = arg;
    c->seconds = thread_cpu();
    os_flag_set(c->os, &c->flag);
}

static double loop_cpu(struct os *os, struct net *n)
{
    struct cpu c = {.os = os};
    c.task = (struct chronik_task){.fn = read_cpu, .arg = &c};
    os_exec_post(net_loop(n, 0), &c.task);
    CHECK(os_flag_wait(os, &c.flag, INT64_C(5000000000)));
    return c.seconds;
}

static int dial(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    return fd;
}

/* `frames` holds whole frames of `frame` bytes, more than BUF in all. */
static void pump_out(struct conn *c, const uint8_t *frames, size_t frame)
{
    size_t whole = (BUF / frame + 2) * frame;
    while (c->to_send > 0) {
        size_t n = min_size(c->to_send, whole - c->at);
        ssize_t k = send(c->fd, frames + c->at, n, MSG_NOSIGNAL);
        if (k < 0) {
            CHECK(errno == EAGAIN);
            return;
        }
        c->to_send -= (uint64_t)k;
        c->at = (c->at + (size_t)k) % frame;
    }
}

/* Counts whole answers in what arrived. */
static void count(struct conn *c, const uint8_t *p, size_t n)
{
    while (n > 0) {
        if (c->body > 0) {
            size_t part = min_size(n, c->body);
            c->body -= part;
            p += part;
            n -= part;
            if (c->body == 0)
                c->answered++;
            continue;
        }
        c->head[c->n_head++] = *p++;
        n--;
        if (c->n_head == 4) {
            c->body = get_be32(c->head);
            c->n_head = 0;
            CHECK(c->body == row.answer);
        }
    }
}

static void pump_in(struct conn *c, uint8_t *buf, size_t frame)
{
    ssize_t k = recv(c->fd, buf, BUF, 0);
    CHECK(k > 0 || errno == EAGAIN);
    if (k <= 0)
        return;
    uint64_t before = c->answered;
    count(c, buf, (size_t)k);
    c->to_send += (c->answered - before) * frame;
}

static void run(struct os *os, struct net *n, uint16_t port, int seconds, int conns, int in_flight)
{
    struct conn c[MAX_CONNS] = {0};
    struct pollfd p[MAX_CONNS];
    size_t frame = 4 + row.request;
    uint8_t *frames = calloc(BUF / frame + 2, frame), *buf = malloc(BUF);
    CHECK(frames && buf);
    for (size_t i = 0; i < BUF / frame + 2; i++)
        put_be32(frames + i * frame, row.request);
    for (int i = 0; i < conns; i++) {
        c[i].fd = dial(port);
        c[i].to_send = frame * (uint64_t)in_flight;
    }
    uint64_t total = 0;
    double cpu0 = 0, cpu1, mine = 0;
    int64_t begin = os_mono_ns(os), measured = 0;
    for (bool warm = true; warm || os_mono_ns(os) - measured < seconds * INT64_C(1000000000);) {
        if (warm && os_mono_ns(os) - begin > 300 * 1000000) {
            warm = false;
            for (int i = 0; i < conns; i++)
                c[i].answered = 0;
            cpu0 = loop_cpu(os, n);
            mine = thread_cpu();
            measured = os_mono_ns(os);
        }
        for (int i = 0; i < conns; i++) {
            pump_out(&c[i], frames, frame);
            p[i] = (struct pollfd){.fd = c[i].fd, .events = (short)(POLLIN | (c[i].to_send ? POLLOUT : 0))};
        }
        poll(p, (nfds_t)conns, 1000);
        for (int i = 0; i < conns; i++)
            if (p[i].revents & (POLLIN | POLLHUP | POLLERR))
                pump_in(&c[i], buf, frame);
    }
    double s = (double)(os_mono_ns(os) - measured) / 1e9;
    cpu1 = loop_cpu(os, n) - cpu0;
    mine = thread_cpu() - mine;
    for (int i = 0; i < conns; i++) {
        total += c[i].answered;
        close(c[i].fd);
    }
    double gb = (double)total * (8 + (double)row.request + row.answer) / 1e9;
    printf("%-26s %10.0f %8.2f %10.3f %9.2f %10.3f\n", row.name, (double)total / s, gb / s, cpu1 / gb,
           cpu1 * 1e6 / (double)total, mine / gb);
    free(frames);
    free(buf);
}

static void make_file(struct os *os)
{
    char path[] = "/tmp/chronik-bench-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    for (int i = 0; i < FILE_BYTES >> 20; i++)
        CHECK(write(fd, memory, 1 << 20) == 1 << 20);
    close(fd);
    CHECK(os_open(os, path, OS_READ, &file) == CHRONIK_DONE);
    unlink(path);
}

static long rss_kib(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f && fscanf(f, "%*s %ld", &pages) == 1);
    fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

int main(int argc, char **argv)
{
    static const struct row rows[] = {
        {"100 B -> 100 B", 100, 100, false},        {"1 KiB -> 60 B", 1024, 60, false},
        {"16 KiB -> 60 B", 16384, 60, false},       {"16 KiB -> 16 KiB", 16384, 16384, false},
        {"64 KiB -> 60 B", 65536, 60, false},       {"1 MiB -> 60 B", 1 << 20, 60, false},
        {"100 B -> 16 KiB file", 100, 16384, true}, {"100 B -> 1 MiB file", 100, 1 << 20, true},
    };
    int seconds = argc > 1 ? atoi(argv[1]) : 2, conns = argc > 2 ? atoi(argv[2]) : 4;
    int in_flight = argc > 3 ? atoi(argv[3]) : 5;
    struct net_config cfg = {.loops = 1};
    struct net_handler h = {NULL, on_request, on_conn, on_conn, on_canceled, NULL};
    const struct net_listener_info *info;
    struct err e;
    struct net *n;
    if (conns < 1 || conns > MAX_CONNS || seconds < 1 || in_flight < 1) {
        fprintf(stderr, "usage: bench_net [SECONDS [CONNECTIONS up to %d [IN-FLIGHT [ROW]]]]\n", MAX_CONNS);
        return 2;
    }
    struct os *os = os_real_new(2);
    CHECK(os && (memory = calloc(1, 1 << 20)));
    CHECK(net_open(os, &cfg, &h, &n, &e) == CHRONIK_DONE);
    CHECK(net_listen(n, "PLAINTEXT", "127.0.0.1:0", &info, &e) == CHRONIK_DONE);
    make_file(os);
    printf("%d connections, %d in flight, %d s a row\n%-26s %10s %8s %10s %9s %10s\n", conns, in_flight, seconds,
           "request -> answer", "requests/s", "GB/s", "loop s/GB", "loop us/r", "client s/GB");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        row = rows[i];
        if (argc <= 4 || strstr(row.name, argv[4]))
            run(os, n, info->port, seconds, conns, in_flight);
    }
    printf("%lld cold reads\n", (long long)metric_value(metric_get(METRIC_COUNTER, "net_cold_reads_total", "", "")));
    long loaded = rss_kib();
    sleep(4);
    printf("resident: %ld KiB right after the load, %ld KiB 4 s later\n", loaded, rss_kib());
    net_close(n);
    os_close(file);
    os_real_free(os);
    free(memory);
    return 0;
}
