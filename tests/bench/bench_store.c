/* bench_store.c: what store-wal can do without a network: durable commits of 16 KiB by 1, 4, 16 and 64 writers that
 * each wait for their own, and appends left to the kernel. Compare with the table of limits in docs/. Not a test:
 * prints.
 *
 *   bench_store [FOLDER [SECONDS [MiB]]]   FOLDER is made and must be on the disk to be measured */
#include <config.h>

#include "tests/unit/store/storerig.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { BYTES = 16384, WRITERS = 64 };

const struct chronik_plugin *chronik_plugin_v1(void);

struct writer {
    chronik_store_part *p;
    sem_t durable;
    int64_t end, wanted;
    pthread_t thread;
    uint64_t commits;
};

static struct writer writers[WRITERS];
static const struct chronik_store_ops *ops;
static chronik_store *store;
static struct testhost th;
static volatile int stop;

static void on_durable(void *arg, const struct chronik_durable *d, uint32_t n, uint32_t stride)
{
    for (uint32_t i = 0; i < n; i++)
        sem_post(&((struct writer *)d[i].cookie)->durable);
}

static int32_t append(struct writer *w, uint8_t *buf, uint32_t flush)
{
    uint64_t be = __builtin_bswap64((uint64_t)w->end);
    memcpy(buf, &be, 8);
    struct chronik_iov v = {buf, BYTES};
    struct chronik_batch_info b = {
        .base_offset = w->end, .last_offset = w->end + 148, .max_timestamp = 1, .bytes = BYTES};
    struct chronik_append a = {
        .part = w->p, .batches = &b, .n_batches = 1, .batch_stride = sizeof b, .iov = &v, .n_iov = 1, .flush = flush};
    int32_t r = ops->append(store, &a, 1, sizeof a);
    if (r > 0)
        w->end += 149;
    return r;
}

static void *writing(void *arg)
{
    struct writer *w = arg;
    uint8_t *buf = malloc(BYTES);
    rig_batch(buf, BYTES, 1, 0, 149, 0, 1, 1);
    while (!stop) {
        int32_t r = append(w, buf, CHRONIK_FLUSH_GROUP);
        if (r < 0) {
            struct os_flag f = {0};
            os_flag_wait(th.os, &f, 1000000);
            continue;
        }
        sem_wait(&w->durable);
        w->commits++;
    }
    free(buf);
    return NULL;
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void group_commit(int n, double seconds)
{
    struct os_flag f = {0};
    double cpu = cpu_seconds();
    int64_t t0 = os_mono_ns(th.os);
    uint64_t total = 0;
    stop = 0;
    for (int i = 0; i < n; i++) {
        writers[i].commits = 0;
        pthread_create(&writers[i].thread, NULL, writing, &writers[i]);
    }
    os_flag_wait(th.os, &f, (int64_t)(seconds * 1e9));
    stop = 1;
    for (int i = 0; i < n; i++) {
        pthread_join(writers[i].thread, NULL);
        total += writers[i].commits;
    }
    double t = (double)(os_mono_ns(th.os) - t0) / 1e9, mb = (double)total * BYTES / 1e6;
    printf("group  %2d writers: %8.0f commits/s %7.1f MB/s %6.2f CPU-s/GB\n", n, (double)total / t, mb / t,
           (cpu_seconds() - cpu) / (mb / 1e3));
}

static void os_append(uint64_t mib)
{
    uint8_t *buf = malloc(BYTES);
    rig_batch(buf, BYTES, 1, 0, 149, 0, 1, 1);
    uint64_t n = mib * 64, refused = 0;
    double cpu = cpu_seconds();
    int64_t t0 = os_mono_ns(th.os);
    for (uint64_t i = 0; i < n; i++)
        refused += append(&writers[i % 4], buf, CHRONIK_FLUSH_OS) < 0;
    double t = (double)(os_mono_ns(th.os) - t0) / 1e9, mb = (double)n * BYTES / 1e6;
    printf("os      1 thread:  %8.0f appends/s %7.1f MB/s %6.2f CPU-s/GB (%llu refused)\n", (double)n / t, mb / t,
           (cpu_seconds() - cpu) / (mb / 1e3), (unsigned long long)refused);
    free(buf);
}

int main(int argc, char **argv)
{
    const char *root = argc > 1 ? argv[1] : "bench-store.tmp";
    double seconds = argc > 2 ? atof(argv[2]) : 3;
    uint64_t mib = argc > 3 ? strtoull(argv[3], NULL, 10) : 512;
    char text[500] = "";
    struct os *os = os_real_new(2);
    testhost_init(&th, os, root);
    struct chronik_store_config cfg = {.size = sizeof cfg, .node_id = 1};
    struct chronik_store_events ev = {.size = sizeof ev, .durable = on_durable};
    ops = chronik_plugin_v1()->ops;
    if (ops->create(&th.table, &cfg, &ev, &store) < 0 || ops->start(store, text, sizeof text) < 0) {
        fprintf(stderr, "%s\n", text);
        return 1;
    }
    for (int i = 0; i < WRITERS; i++) {
        struct chronik_part_id id = {.partition = i, .dir = UINT32_MAX};
        struct chronik_part_stat st = {.size = sizeof st};
        os_random(os, id.topic.b, 16);
        sem_init(&writers[i].durable, 0, 0);
        ops->open(store, &id, CHRONIK_STORE_CREATE, &writers[i], &writers[i].p);
        ops->stat(writers[i].p, &st);
        writers[i].end = st.written;
    }
    static const int counts[] = {1, 4, 16, 64};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        group_commit(counts[i], seconds);
    os_append(mib);
    struct testhost_wait w;
    struct chronik_done done = testhost_done(&th, &w);
    testhost_result(&w, ops->close(store, done));
    os_real_free(os);
    return 0;
}
