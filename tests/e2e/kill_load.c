/* kill_load.c: records for a broker that is killed again and again. N connections write numbered records with acks=all:
 * half are idempotent producers that send the same batches again after each reconnect, half never repeat anything.
 * Every acknowledgement is remembered with its offset. When standard input ends it stops writing, waits for the answers
 * under way and hands over to kill_judge.c. The loop is load.c's.
 *
 * usage: kill_load BROKERS TOPIC PARTITIONS CONNECTIONS   (a byte on standard input asks for the count so far) */
#include "kill_load.h"

#include <stdio.h>
#include <stdlib.h>

enum { IN_FLIGHT = 4 };

struct batch {
    uint32_t first, count;
    int32_t correlation; /* of the request in flight; 0: not sent on this connection */
};

struct connection {
    struct load_conn conn;
    struct account account;
    bool idempotent, introduced;
    int64_t producer_id;
    int16_t producer_epoch;
    struct batch batches[IN_FLIGHT]; /* oldest first */
    int n_batches;
};

static const char *topic;

/* ---- the connection's life ---- */

static void drop_batches(struct connection *c, int from, int n)
{
    memmove(&c->batches[from], &c->batches[from + n], (size_t)(c->n_batches - from - n) * sizeof c->batches[0]);
    c->n_batches -= n;
}

/* What was in flight has no answer: an idempotent producer sends it again, the others never learn. */
static void down(void *client)
{
    struct connection *c = client;
    for (int i = 0; i < c->n_batches; i++)
        c->batches[i].correlation = 0;
    if (c->idempotent)
        return;
    for (int i = 0; i < c->n_batches; i++)
        c->account.unknown += c->batches[i].count;
    c->n_batches = 0;
}

static void up(void *client)
{
    struct connection *c = client;
    uint8_t room[256];
    struct frame f;
    c->introduced = !c->idempotent || c->producer_id >= 0;
    if (c->introduced)
        return;
    frame_begin(&f, room, sizeof room, 22, 1, ++c->conn.correlation);
    put_i16(&f, -1); /* no transactional id */
    put_i32(&f, 60000);
    frame_queue(&c->conn, &f);
}

static void send_batch(struct connection *c, struct batch *b)
{
    static uint8_t room[LOAD_ROOM];
    struct frame f;
    b->correlation = ++c->conn.correlation;
    frame_begin(&f, room, sizeof room, 0, 7, b->correlation);
    put_i16(&f, -1); /* no transactional id */
    put_i16(&f, -1); /* acks=all */
    put_i32(&f, 30000);
    put_i32(&f, 1);
    put_string(&f, topic);
    put_i32(&f, 1);
    put_i32(&f, c->account.partition);
    size_t length_at = f.used;
    put_i32(&f, 0);
    put_batch(&f, &c->account, b->first, b->count, c->idempotent ? c->producer_id : -1, c->producer_epoch);
    put_be32(f.p + length_at, (uint32_t)(f.used - length_at - 4));
    frame_queue(&c->conn, &f);
}

/* Sends what is due: batches from before a reconnect first, then new ones. */
static void feed(void *client)
{
    struct connection *c = client;
    if (!c->introduced)
        return;
    for (int i = 0; i < c->n_batches; i++)
        if (!c->batches[i].correlation && c->conn.out_used < LOAD_ROOM / 2)
            send_batch(c, &c->batches[i]);
        else if (!c->batches[i].correlation)
            return;
    while (!load_stopping() && c->n_batches < IN_FLIGHT && c->conn.out_used < LOAD_ROOM / 2 &&
           c->account.sent + BATCH_MAX <= MAX_RECORDS) {
        struct batch *b = &c->batches[c->n_batches++];
        *b = (struct batch){.first = c->account.sent, .count = 1 + c->account.sent % BATCH_MAX};
        for (uint32_t i = 0; i < b->count; i++)
            c->account.offset[b->first + i] = UNKNOWN;
        c->account.sent += b->count;
        send_batch(c, b);
    }
}

/* ---- answers ---- */

static void acknowledge(struct connection *c, int index, int64_t base)
{
    struct batch *b = &c->batches[index];
    if (index != 0)
        complain("connection %u: an answer overtook an earlier one", c->account.id);
    for (uint32_t i = 0; i < b->count; i++)
        c->account.offset[b->first + i] = base < 0 ? SOMEWHERE : base + i;
    c->account.acknowledged += b->count;
    drop_batches(c, index, 1);
}

static bool retriable(int16_t error)
{
    static const int16_t codes[] = {3, 5, 6, 7, 13, 14, 15, 16, 19, 20, 56, 74, 75, 100, 103};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (codes[i] == error)
            return true;
    return false;
}

static void take_produce_answer(struct connection *c, const uint8_t *p, size_t n, int32_t correlation)
{
    size_t at = 4 + 2 + strlen(topic) + 4 + 4; /* topics, name, partitions, index */
    if (n < at + 10) {
        complain("connection %u: an answer of %zu bytes", c->account.id, n);
        load_drop(&c->conn);
        return;
    }
    int16_t error = (int16_t)get_be16(p + at);
    int index = 0;
    while (index < c->n_batches && c->batches[index].correlation != correlation)
        index++;
    if (index == c->n_batches) {
        complain("connection %u: an answer to a request that was never sent", c->account.id);
    } else if (error == 0 || (error == 46 && c->idempotent)) {
        acknowledge(c, index, error ? -1 : (int64_t)get_be64(p + at + 2));
    } else if (retriable(error)) {
        load_drop(&c->conn); /* try again on a fresh one: keeps the order of batches */
    } else {
        complain("connection %u: records %u to %u refused with error %d", c->account.id, c->batches[index].first,
                 c->batches[index].first + c->batches[index].count - 1, error);
        drop_batches(c, index, 1);
    }
}

static void take_answer(void *client, int32_t correlation, const uint8_t *p, size_t n)
{
    struct connection *c = client;
    if (c->introduced) {
        take_produce_answer(c, p, n, correlation);
        return;
    }
    int16_t error = n >= 16 ? (int16_t)get_be16(p + 4) : -1;
    if (error == 0) {
        c->producer_id = (int64_t)get_be64(p + 6);
        c->producer_epoch = (int16_t)get_be16(p + 14);
        c->introduced = true;
    } else {
        if (!retriable(error))
            complain("connection %u: no producer id: error %d", c->account.id, error);
        load_drop(&c->conn);
    }
}

static bool all_answered(const void *client)
{
    return ((const struct connection *)client)->n_batches == 0;
}

static uint64_t acknowledged(const void *client)
{
    return ((const struct connection *)client)->account.acknowledged;
}

static const struct load_ops ops = {
    .up = up, .down = down, .feed = feed, .answer = take_answer, .done = all_answered, .count = acknowledged};

static void prepare(struct connection *c, uint32_t id, int partitions, const struct load_targets *to)
{
    *c = (struct connection){.producer_id = -1, .idempotent = id % 2 == 0};
    load_init(&c->conn, to, id);
    c->account.id = id;
    c->account.partition = (int32_t)(id % (uint32_t)partitions);
    c->account.offset = malloc(MAX_RECORDS * sizeof *c->account.offset);
    c->account.found = calloc(MAX_RECORDS, 1);
    CHECK(c->account.offset && c->account.found);
}

static void release(struct connection *all, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        free(all[i].account.offset);
        free(all[i].account.found);
    }
    free(all);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: kill_load BROKERS TOPIC PARTITIONS CONNECTIONS\n");
        return 2;
    }
    struct load_targets to;
    load_targets(argv[1], &to);
    topic = argv[2];
    int partitions = atoi(argv[3]);
    uint32_t n = (uint32_t)atoi(argv[4]);
    struct connection *all = calloc(n, sizeof *all);
    struct account **accounts = calloc(n, sizeof *accounts);
    CHECK(all && accounts && partitions > 0);
    for (uint32_t i = 0; i < n; i++) {
        prepare(&all[i], i, partitions, &to);
        accounts[i] = &all[i].account;
    }
    load_run(&ops, all, sizeof *all, n);
    uint64_t known = 0, unknown = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (all[i].n_batches)
            complain("connection %u: %d batches had no answer a minute after the last restart", i, all[i].n_batches);
        known += all[i].account.acknowledged;
        unknown += all[i].account.unknown;
        load_free(&all[i].conn);
    }
    uint64_t found = judge(to.v[0], topic, partitions, accounts, n);
    printf("%llu acknowledged, %llu of unknown outcome, %llu found, %d complaints\n", (unsigned long long)known,
           (unsigned long long)unknown, (unsigned long long)found, complaints());
    free(accounts);
    release(all, n);
    return complaints() != 0;
}
