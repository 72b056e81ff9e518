/* measure_wire.c: how long the wire layer takes: a produce request, a fetch response, a large metadata response, the
 * check of a batch, CRC-32C. Not a test: it prints a table and compares nothing. Best of several rounds. */
#include "base/crc32c.h"
#include "wire/batch.h"
#include "wire/messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 7 };

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ns a call, best of ROUNDS. */
static double best(void (*fn)(void *), void *arg, int times)
{
    double least = 1e18;
    for (int r = 0; r < ROUNDS; r++) {
        double t = now_ns();
        for (int i = 0; i < times; i++)
            fn(arg);
        t = (now_ns() - t) / times;
        least = t < least ? t : least;
    }
    return least;
}

struct job {
    const struct wire_msg *m;
    int version;
    const void *in;
    void *out;
    struct wire_out o;
    struct arena a;
};

static void encode(void *arg)
{
    struct job *j = arg;
    wire_out_reset(&j->o);
    CHECK(wire_encode(j->m, j->version, j->in, &j->o, NULL) > 0);
}

static void decode(void *arg)
{
    struct job *j = arg;
    arena_reset(&j->a);
    CHECK(wire_decode(j->m, j->version, j->o.p, j->o.n, &j->a, j->out, NULL) > 0);
}

static void message(const char *what, const struct wire_msg *m, int version, const void *in, int times)
{
    struct job j = {.m = m, .version = version, .in = in, .out = malloc(m->size)};
    wire_out_init(&j.o, 0);
    arena_init(&j.a, 0);
    double e = best(encode, &j, times), d = best(decode, &j, times);
    printf("%-48s %9zu bytes  encode %9.0f ns  decode %9.0f ns\n", what, j.o.n, e, d);
    wire_out_free(&j.o);
    arena_free(&j.a);
    free(j.out);
}

static void produce(void)
{
    struct wire_produce_request r = wire_produce_request_default;
    struct wire_produce_request_topic_data t = wire_produce_request_topic_data_default;
    struct wire_produce_request_partition_data p[4];
    uint8_t records[100] = {0};
    for (int i = 0; i < 4; i++)
        p[i] = (struct wire_produce_request_partition_data){.index = i, .records = {records, sizeof records, NULL}};
    t.name = wire_str("orders");
    t.partition_data.v = p;
    t.partition_data.n = 4;
    r.topic_data.v = &t;
    r.topic_data.n = 1;
    message("Produce 9 request, 4 partitions", &wire_produce_request_msg, 9, &r, 100000);
    message("Produce 13 request, 4 partitions", &wire_produce_request_msg, 13, &r, 100000);
}

static void fetch(void)
{
    struct wire_fetch_response r = wire_fetch_response_default;
    struct wire_fetch_response_topic t = wire_fetch_response_topic_default;
    struct wire_fetch_response_partition p[4];
    for (int i = 0; i < 4; i++) {
        p[i] = wire_fetch_response_partition_default;
        p[i].partition_index = i;
        p[i].high_watermark = 1000;
    }
    t.partitions.v = p;
    t.partitions.n = 4;
    r.responses.v = &t;
    r.responses.n = 1;
    message("Fetch 18 response, 4 partitions", &wire_fetch_response_msg, 18, &r, 100000);
}

static void metadata(void)
{
    enum { TOPICS = 1000, PARTITIONS = 3 };
    static struct wire_metadata_response_topic t[TOPICS];
    static struct wire_metadata_response_partition p[TOPICS][PARTITIONS];
    static char names[TOPICS][16];
    static int32_t replicas[] = {1, 2, 3};
    struct wire_metadata_response r = wire_metadata_response_default;
    for (int i = 0; i < TOPICS; i++) {
        t[i] = wire_metadata_response_topic_default;
        snprintf(names[i], sizeof names[i], "topic-%d", i);
        t[i].name = wire_str(names[i]);
        for (int k = 0; k < PARTITIONS; k++) {
            p[i][k] = wire_metadata_response_partition_default;
            p[i][k].partition_index = k;
            p[i][k].replica_nodes.v = p[i][k].isr_nodes.v = replicas;
            p[i][k].replica_nodes.n = p[i][k].isr_nodes.n = 3;
        }
        t[i].partitions.v = p[i];
        t[i].partitions.n = PARTITIONS;
    }
    r.topics.v = t;
    r.topics.n = TOPICS;
    message("Metadata 13 response, 1000 topics of 3", &wire_metadata_response_msg, 13, &r, 50);
}

struct checked {
    const uint8_t *p;
    size_t n;
};

static void check_batch(void *arg)
{
    struct checked *c = arg;
    struct batch_head h;
    struct batch_problem problem;
    CHECK(batch_check(c->p, c->n, &h, 0, &problem) == 0);
}

static void batch(int records)
{
    struct batch_build b = {0};
    struct batch_head h = batch_build_plain(0, CODEC_NONE);
    struct checked c;
    char value[100] = {0};
    batch_begin(&b, &h);
    for (int i = 0; i < records; i++)
        batch_add(&b, 1700000000000 + i, NULL, 0, value, sizeof value, NULL, 0);
    CHECK(batch_finish(&b, &c.p, &c.n) > 0);
    double ns = best(check_batch, &c, 2000);
    printf("batch of %5d records of 100 bytes %22zu bytes  check %10.0f ns, %.1f ns a record, %.1f GB/s\n", records,
           c.n, ns, ns / records, (double)c.n / ns);
    batch_build_free(&b);
}

struct summed {
    uint8_t *p;
    size_t n;
    enum crc32c_way way;
    uint32_t crc;
};

static void sum(void *arg)
{
    struct summed *s = arg;
    s->crc = crc32c_by(s->way, s->crc, s->p, s->n);
}

int main(void)
{
    produce();
    fetch();
    metadata();
    batch(1);
    batch(149);
    batch(9000);
    for (int way = 0; way < CRC32C_WAYS; way++) {
        struct summed s = {calloc(1, 64 * 1024), 0, (enum crc32c_way)way, 0};
        for (s.n = 1024; crc32c_has(s.way) && s.n <= 64 * 1024; s.n *= 8)
            printf("crc32c, %-20s %6zu bytes: %5.1f GB/s\n", crc32c_name(s.way), s.n,
                   (double)s.n / best(sum, &s, 2000));
        free(s.p);
    }
    return 0;
}
