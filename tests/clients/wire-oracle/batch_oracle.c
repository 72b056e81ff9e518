/* batch_oracle.c: reads the batches that BatchOracle.java wrote, checks and walks them, and builds each again, plain
 * and with its codec, to a second file for the library to read. A batch without compression must be the same byte for
 * byte, and the plain records inside a compressed one too. */
#include "wire/batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { HEADERS = 16 };

struct run {
    FILE *in, *out;
    struct batch_build plain, packed;
    struct codec_buf unpacked;
    unsigned long n, differ;
};

static void report(struct run *r, const char *what)
{
    if (r->differ++ < 20)
        fprintf(stderr, "batch %lu: %s\n", r->n, what);
}

static void add(struct batch_build *b, struct batch_record *r)
{
    struct batch_header headers[HEADERS];
    int32_t n = 0;
    CHECK(r->n_headers <= HEADERS);
    int64_t timestamp = r->timestamp;
    while (batch_header_next(r, &headers[n]) > 0)
        n++;
    batch_add(b, timestamp, r->key, (size_t)r->key_n, r->value, (size_t)r->value_n, headers, n);
}

static void put(struct run *r, struct batch_build *b, const uint8_t **p, size_t *n)
{
    uint8_t size[4];
    CHECK(batch_finish(b, p, n) > 0);
    put_be32(size, (uint32_t)*n);
    CHECK(fwrite(size, 1, 4, r->out) == 4 && fwrite(*p, 1, *n, r->out) == *n);
}

static void one(struct run *r, const uint8_t *p, size_t n)
{
    struct batch_head h;
    struct batch_problem problem = {0};
    struct batch_iter it;
    struct batch_record record;
    const uint8_t *payload, *mine;
    size_t payload_n, mine_n;
    if (batch_check(p, n, &h, BATCH_UNPACK, &problem) != 0) {
        report(r, problem.why);
        return;
    }
    struct batch_head plain = h;
    plain.attributes = (int16_t)(h.attributes & ~BATCH_CODEC_MASK);
    batch_begin(&r->plain, &plain);
    batch_begin(&r->packed, &h);
    CHECK(batch_unpack(&h, p, &r->unpacked, BATCH_UNPACKED_MOST, &payload, &payload_n, NULL) > 0);
    batch_iter_init(&it, &h, payload, payload_n);
    while (batch_iter_next(&it, &record) > 0) {
        struct batch_record copy = record;
        add(&r->plain, &record);
        add(&r->packed, &copy);
    }
    put(r, &r->plain, &mine, &mine_n);
    if (mine_n != BATCH_HEAD + payload_n || memcmp(mine + BATCH_HEAD, payload, payload_n) != 0)
        report(r, "the plain records differ");
    if (!(h.attributes & BATCH_CODEC_MASK) && (mine_n != n || memcmp(mine, p, n) != 0))
        report(r, "the batch differs");
    put(r, &r->packed, &mine, &mine_n);
}

int main(int argc, char **argv)
{
    static struct run r;
    uint8_t size[4];
    if (argc != 3 || !(r.in = fopen(argv[1], "rb")) || !(r.out = fopen(argv[2], "wb"))) {
        fprintf(stderr, "usage: batch_oracle IN OUT: %s\n",
                argc == 3 ? strerror(errno) : "IN by BatchOracle.java write");
        return 2;
    }
    for (; fread(size, 1, 4, r.in) == 4; r.n++) {
        size_t n = get_be32(size);
        uint8_t *p = malloc(n);
        CHECK(p && fread(p, 1, n, r.in) == n);
        one(&r, p, n);
        free(p);
    }
    printf("%lu batches, %lu differ\n", r.n, r.differ);
    fclose(r.in);
    batch_build_free(&r.plain);
    batch_build_free(&r.packed);
    codec_buf_free(&r.unpacked);
    return fclose(r.out) == 0 && r.n && !r.differ ? 0 : 1;
}
