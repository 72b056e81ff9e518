/* wire_oracle.c: reads the file that WireOracle.java wrote and does to each message what a broker does: decodes it,
 * encodes it again, and compares byte for byte. Fails when a message differs, is unknown, or when a version of ours is
 * missing from the file. */
#include "wire/messages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_MOST = 128, VERSIONS = 32, MESSAGES = 256 };

struct run {
    FILE *in;
    struct arena arena;
    struct wire_out out;
    uint8_t *bytes;
    size_t cap;
    void *message;
    unsigned long n, differ;
    bool seen[MESSAGES][VERSIONS];
};

static bool take(struct run *r, void *p, size_t n)
{
    return fread(p, 1, n, r->in) == n;
}

static int find(const char *name)
{
    for (int i = 0; wire_messages[i]; i++)
        if (strcmp(wire_messages[i]->name, name) == 0)
            return i;
    return -1;
}

static void report(struct run *r, const char *name, int version, const char *what)
{
    if (r->differ++ < 20)
        fprintf(stderr, "message %lu, %s version %d: %s\n", r->n, name, version, what);
}

static void compare(struct run *r, int at, int version, size_t n)
{
    const struct wire_msg *m = wire_messages[at];
    struct err e = {0};
    arena_reset(&r->arena);
    wire_out_reset(&r->out);
    r->seen[at][version] = true;
    if (wire_decode(m, version, r->bytes, n, &r->arena, r->message, &e) < 0)
        report(r, m->name, version, e.text);
    else if (wire_encode(m, version, r->message, &r->out, &e) < 0)
        report(r, m->name, version, e.text);
    else if (r->out.n != n || (n && memcmp(r->out.p, r->bytes, n) != 0))
        report(r, m->name, version, wire_dump(m, version, r->message, &r->arena));
}

/* One message of the file; false at its end. */
static bool step(struct run *r)
{
    uint8_t head[6];
    char name[NAME_MOST + 1];
    if (!take(r, head, 2))
        return false;
    size_t name_n = get_be16(head);
    bool good = name_n <= NAME_MOST && take(r, name, name_n) && take(r, head, 6);
    size_t n = good ? get_be32(head + 2) : 0;
    if (good && n > r->cap) {
        free(r->bytes);
        r->bytes = malloc(r->cap = 2 * n);
    }
    if (!good || (n && (!r->bytes || !take(r, r->bytes, n)))) {
        report(r, "-", 0, "the file is cut off or damaged");
        return false;
    }
    name[name_n] = '\0';
    int version = get_be16(head), at = find(name);
    r->n++;
    if (at < 0 || version >= VERSIONS)
        report(r, name, version, "there is no such message here");
    else
        compare(r, at, version, n);
    return true;
}

static void check_complete(struct run *r)
{
    for (int i = 0; wire_messages[i]; i++)
        for (int v = wire_messages[i]->min; v <= wire_messages[i]->max; v++)
            if (!r->seen[i][v])
                report(r, wire_messages[i]->name, v, "kafka-clients does not write it");
}

int main(int argc, char **argv)
{
    static struct run r;
    if (argc != 2 || !(r.in = fopen(argv[1], "rb"))) {
        fprintf(stderr, "usage: wire_oracle FILE: %s\n", argc == 2 ? strerror(errno) : "written by WireOracle.java");
        return 2;
    }
    size_t size = 0;
    for (int i = 0; wire_messages[i]; i++) {
        CHECK(i < MESSAGES);
        size = max_size(size, wire_messages[i]->size);
    }
    r.message = malloc(size);
    CHECK(r.message);
    arena_init(&r.arena, 0);
    wire_out_init(&r.out, 0);
    while (step(&r))
        ;
    check_complete(&r);
    printf("%lu messages, %lu differ\n", r.n, r.differ);
    fclose(r.in);
    arena_free(&r.arena);
    wire_out_free(&r.out);
    free(r.bytes);
    free(r.message);
    return r.n && !r.differ ? 0 : 1;
}
