/* bound.c: the least a broker could do on this machine, as a measure for what one does: read frames, check the CRC,
 * patch the base offset, write to the page cache, answer. No metadata, no order between partitions' writers, no limits,
 * no recovery; it answers Produce 8 from tests/bench/load --raw and nothing else. With --empty it looks at nothing and
 * answers zeros, which the load takes for success of a commit or a heartbeat. One thread a loop; a connection stays on
 * its loop. Prints its port, ends with its standard input, and removes its files.
 * usage: bound [--loops=N] [--each] [--no-write] [--empty] DIRECTORY */
#include <config.h>

#include "base/base.h"
#include "base/crc32c.h"
#include "wire/batch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PARTITIONS = 64, BUFFER = 2 << 20, RECEIVE = 256 << 10, FRAMES = 64, ANSWER_MOST = 300, ANSWER_EMPTY = 48 };

struct conn {
    int fd;
    size_t have; /* bytes of frames that are not answered yet, in `buf` */
    uint8_t *buf;
};

/* What one pass over a connection's buffer writes and answers. */
struct pass {
    struct iovec iov[FRAMES];
    int n;
    uint32_t partition;
    size_t bytes, answer_n;
    uint8_t answer[FRAMES * ANSWER_MOST];
};

static struct {
    int loops, listener;
    bool each, no_write, empty;
    const char *dir;
    int files[PARTITIONS];
    atomic_ullong size[PARTITIONS]; /* bytes; offsets too are counted in them */
    int epoll[16];
} bound = {.loops = 1};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bound: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void write_out(struct pass *p)
{
    uint64_t at = atomic_fetch_add(&bound.size[p->partition], p->bytes);
    for (int i = 0; i < p->n; i++) {
        put_be64(p->iov[i].iov_base, at);
        at += p->iov[i].iov_len;
    }
    at -= p->bytes;
    for (int i = 0, k; !bound.no_write && i < p->n; i += k) {
        k = bound.each ? 1 : p->n;
        size_t n = bound.each ? p->iov[i].iov_len : p->bytes;
        if (pwritev(bound.files[p->partition], p->iov + i, k, (off_t)at) != (ssize_t)n)
            die("pwritev");
        at += n;
    }
}

/* Produce 8 as the generator writes it: one topic, one partition, one batch. */
static void take(struct pass *p, uint8_t *f, size_t n)
{
    const uint8_t *q = f + 8, *name;
    uint16_t name_n;
    q += 2 + get_be16(q); /* client id */
    q += 2 + 2 + 4 + 4;   /* transactional id (null), acks, timeout, topics */
    name = q;
    name_n = get_be16(q);
    q += 2 + name_n + 4;
    uint32_t partition = get_be32(q) % PARTITIONS, batch_n = get_be32(q + 4);
    uint8_t *batch = f + (q + 8 - f);
    if (batch_n < BATCH_HEAD || q + 8 + batch_n != f + n || name_n > 200 ||
        crc32c(0, batch + 21, batch_n - 21) != get_be32(batch + 17)) {
        errno = EBADMSG;
        die("a request");
    }
    p->partition = partition;
    p->iov[p->n++] = (struct iovec){batch, batch_n};
    p->bytes += batch_n;
    uint8_t *a = p->answer + p->answer_n, *at = a + 4;
    memcpy(at, f + 4, 4); /* correlation id */
    put_be32(at + 4, 1);
    memcpy(at + 8, name, 2 + (size_t)name_n);
    at += 10 + name_n;
    put_be32(at, 1);
    put_be32(at + 4, partition);
    memset(at + 8, 0, 2 + 8 + 8 + 8 + 4);
    put_be16(at + 38, 0xffff); /* no message */
    put_be32(at + 40, 0);
    at += 44;
    put_be32(a, (uint32_t)(at - a - 4));
    p->answer_n += (size_t)(at - a);
}

static void answer_zeros(struct pass *p, const uint8_t *f)
{
    uint8_t *a = p->answer + p->answer_n;
    put_be32(a, ANSWER_EMPTY);
    memcpy(a + 4, f + 4, 4); /* correlation id */
    memset(a + 8, 0, ANSWER_EMPTY - 4);
    p->answer_n += 4 + ANSWER_EMPTY;
    p->n++;
}

/* What is whole in the buffer, FRAMES at most; the rest moves to its front. false: nothing was whole. */
static bool work(struct conn *c)
{
    static _Thread_local struct pass p;
    size_t at = 0;
    p.n = 0;
    p.bytes = p.answer_n = 0;
    while (c->have - at >= 4 && c->have - at >= 4 + (size_t)get_be32(c->buf + at) && p.n < FRAMES) {
        size_t n = get_be32(c->buf + at);
        if (bound.empty)
            answer_zeros(&p, c->buf + at + 4);
        else
            take(&p, c->buf + at + 4, n);
        at += 4 + n;
    }
    if (!p.n)
        return false;
    if (!bound.empty)
        write_out(&p);
    if (send(c->fd, p.answer, p.answer_n, MSG_NOSIGNAL) != (ssize_t)p.answer_n)
        die("send");
    memmove(c->buf, c->buf + at, c->have - at);
    c->have -= at;
    return true;
}

static void drop(struct conn *c)
{
    close(c->fd);
    munmap(c->buf, BUFFER);
    free(c);
}

static void *loop(void *arg)
{
    int ep = *(int *)arg;
    struct epoll_event ev[64];
    for (;;) {
        int n = epoll_wait(ep, ev, 64, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = ev[i].data.ptr;
            ssize_t got = recv(c->fd, c->buf + c->have, RECEIVE, 0);
            if (got <= 0) {
                drop(c);
                continue;
            }
            c->have += (size_t)got;
            while (work(c))
                ;
        }
    }
    return NULL;
}

static void *accept_all(void *arg)
{
    for (int i = 0;; i++) {
        int fd = accept4(bound.listener, NULL, NULL, SOCK_CLOEXEC), on = 1;
        struct conn *c = calloc(1, sizeof *c);
        if (fd < 0 || !c)
            die("accept");
        c->fd = fd;
        c->buf = mmap(NULL, BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        if (c->buf == MAP_FAILED || epoll_ctl(bound.epoll[i % bound.loops], EPOLL_CTL_ADD, fd, &e) < 0)
            die("a connection");
    }
    return arg;
}

static void file_name(char *out, size_t n, int i)
{
    snprintf(out, n, "%s/bound-%d.log", bound.dir, i);
}

static void start(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    pthread_t t;
    for (int i = 0; i < PARTITIONS; i++) {
        char path[4096];
        file_name(path, sizeof path, i);
        if ((bound.files[i] = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) < 0)
            die(path);
    }
    bound.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bound.listener < 0 || bind(bound.listener, (struct sockaddr *)&a, sizeof a) < 0 ||
        listen(bound.listener, 128) < 0 || getsockname(bound.listener, (struct sockaddr *)&a, &n) < 0)
        die("listen");
    for (int i = 0; i < bound.loops; i++)
        if ((bound.epoll[i] = epoll_create1(EPOLL_CLOEXEC)) < 0 || pthread_create(&t, NULL, loop, &bound.epoll[i]) != 0)
            die("a loop");
    if (pthread_create(&t, NULL, accept_all, NULL) != 0)
        die("a thread");
    printf("%d\n", ntohs(a.sin_port));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--loops=", 8) == 0)
            bound.loops = atoi(argv[i] + 8);
        else if (strcmp(argv[i], "--each") == 0)
            bound.each = true;
        else if (strcmp(argv[i], "--no-write") == 0)
            bound.no_write = true;
        else if (strcmp(argv[i], "--empty") == 0)
            bound.empty = true;
        else
            bound.dir = argv[i];
    }
    if (!bound.dir || bound.loops < 1 || bound.loops > 16) {
        fprintf(stderr, "usage: bound [--loops=N] [--each] [--no-write] [--empty] DIRECTORY\n");
        return 2;
    }
    start();
    while (getchar() != EOF)
        ;
    for (int i = 0; i < PARTITIONS; i++) {
        char path[4096];
        file_name(path, sizeof path, i);
        unlink(path);
    }
    return 0;
}
