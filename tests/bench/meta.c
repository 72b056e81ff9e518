/* meta.c: measures the metadata alone, over meta-local on a directory given (or a temporary one): topics created per
 * second, memory a partition, commands per second and latency with 1, 64 and 256 outstanding, start with and without a
 * checkpoint. Prints one line a figure; wall-clock bounds are judged by people and the bench, never by the tests. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <chronik/plugin.h>

#include "tests/unit/meta/rig.h"

const struct chronik_plugin *meta_local_plugin(void);

static struct os *os;
static struct rig rig;

struct load {
    _Atomic int left, done, failed;
    int target;
    bool topics;
    uint64_t next;
    struct os_flag end;
    int64_t *at, *took; /* ns, one a command */
};

static struct load ld;

static void send_one(void);

static void on_done(void *arg, const struct meta_result *r)
{
    uint64_t k = (uint64_t)(uintptr_t)arg;
    ld.took[k] = os_mono_ns(os) - ld.at[k];
    if (r->code)
        ld.failed++;
    if (++ld.done == ld.target)
        os_flag_set(os, &ld.end);
    else if (ld.left > 0)
        send_one();
}

static void send_one(void)
{
    if (ld.left-- <= 0)
        return;
    uint64_t k = ld.next++;
    char name[40];
    struct meta_assignment a = {.replicas = &rig.opt.node_id, .n_replicas = 1};
    struct meta_kv e = {"retention.ms", "1000", false};
    struct meta_command c = {.type = META_CMD_CONFIG_SET};
    if (ld.topics) {
        c.type = META_CMD_TOPIC_CREATE;
        snprintf(name, sizeof name, "bench-topic-%llu", (unsigned long long)k);
        c.u.topic_create =
            (struct meta_topic_create){.id = rig_id(k), .name = name, .partitions = &a, .n_partitions = 1};
    } else {
        snprintf(name, sizeof name, "group-%llu", (unsigned long long)(k % 5000));
        c.u.config_set = (struct meta_config_set){.type = META_RES_GROUP, .name = name, .entries = &e, .n_entries = 1};
    }
    ld.at[k] = os_mono_ns(os);
    if (meta_propose(rig.m, META_CLIENT, &c, 60000, on_done, (void *)(uintptr_t)k) != CHRONIK_PENDING)
        abort();
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void run(const char *what, int n, int outstanding, bool topics)
{
    ld = (struct load){.left = n, .target = n, .topics = topics};
    ld.at = calloc((size_t)n, sizeof *ld.at);
    ld.took = calloc((size_t)n, sizeof *ld.took);
    int64_t t0 = os_mono_ns(os);
    for (int i = 0; i < outstanding; i++)
        send_one();
    if (!os_flag_wait(os, &ld.end, INT64_C(300000000000)))
        abort();
    double s = (double)(os_mono_ns(os) - t0) / 1e9;
    qsort(ld.took, (size_t)n, sizeof *ld.took, by_value);
    printf("%-34s %9.0f per s, p50 %7.0f us, p99 %7.0f us, failed %d\n", what, n / s, (double)ld.took[n / 2] / 1e3,
           (double)ld.took[n * 99 / 100] / 1e3, ld.failed);
    free(ld.at);
    free(ld.took);
}

static double start(bool join)
{
    rig.opt.join = join;
    int64_t t0 = os_mono_ns(os);
    rig_start(&rig);
    return (double)(os_mono_ns(os) - t0) / 1e6;
}

int main(int argc, char **argv)
{
    static char dir[256], state[300], mark[320];
    snprintf(dir, sizeof dir, "%s/bench-meta-XXXXXX", argc > 1 ? argv[1] : "/var/tmp");
    if (!mkdtemp(dir))
        return 1;
    log_set_levels("warn");
    snprintf(state, sizeof state, "%s/state", dir);
    snprintf(mark, sizeof mark, "%s/mark", state);
    os = os_real_new(2);
    rig_init(&rig, os, meta_local_plugin()->ops);
    snprintf(rig.dir, sizeof rig.dir, "%s", dir);
    rig.opt.checkpoint = state;
    rig.opt.checkpoint_ms = 500;
    rig.opt.queue_bytes = 64 << 20;
    rig.snapshot_bytes = 16 << 20;
    printf("%-34s %9.1f ms\n", "start, empty", start(true));
    struct meta_status s0, s1;
    meta_status_get(rig.m, &s0);
    run("create topics, 64 outstanding", 10000, 64, true);
    meta_status_get(rig.m, &s1);
    printf("%-34s %9.0f bytes (topic of one partition)\n", "image memory",
           (double)(s1.image_bytes - s0.image_bytes) / 10000);
    run("commands, 1 outstanding", 3000, 1, false);
    run("commands, 64 outstanding", 100000, 64, false);
    run("commands, 256 outstanding", 200000, 256, false);
    rig_stop(&rig);
    printf("%-34s %9.1f ms\n", "start, 10k topics, checkpoint", start(false));
    rig_stop(&rig);
    printf("%-34s %9.1f ms\n", "start and register, checkpoint", start(true));
    rig_stop(&rig);
    unlink(mark);
    printf("%-34s %9.1f ms\n", "start, rebuilt from the log", start(false));
    rig_stop(&rig);
    os_real_free(os);
    char cmd[300];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
    return system(cmd) != 0;
}
