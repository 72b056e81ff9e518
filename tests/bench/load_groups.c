/* load_groups.c: the load generator's groups: each connection has groups of its own with one member each, joined before
 * anything is counted. Commits and heartbeats of all of them are encoded once, one behind the other and equally long;
 * mode join lets members come and go for ever. One thread. */
#include "load.h"

#include "base/arena.h"
#include "wire/codes.h"
#include "wire/messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { JOIN = 3, SYNC = 2, LEAVE = 1, HEARTBEAT = 2, COMMIT = 6, FIND = 2, SESSION_MS = 1800000, RETRY_US = 20000 };

struct member {
    char group[32], id[96];
    int32_t generation;
};

static void name_group(struct member *m, int conn, int k)
{
    snprintf(m->group, sizeof m->group, "load-%04d-%05d", conn, k);
}

/* ---- requests ---- */

static void encode_join(const struct member *m, uint8_t **out, size_t *n)
{
    static uint8_t subscription[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}; /* version 0, no topics, no user data */
    struct wire_join_group_request_protocol p = wire_join_group_request_protocol_default;
    struct wire_join_group_request q = wire_join_group_request_default;
    p.name = wire_str("range");
    p.metadata = (struct wire_bytes){subscription, sizeof subscription};
    q.group_id = wire_str(m->group);
    q.session_timeout_ms = q.rebalance_timeout_ms = SESSION_MS;
    q.member_id = wire_str("");
    q.protocol_type = wire_str("consumer");
    q.protocols.v = &p;
    q.protocols.n = 1;
    load_encode(WIRE_API_JOIN_GROUP, JOIN, &q, out, n);
}

static void encode_sync(const struct member *m, uint8_t **out, size_t *n)
{
    static uint8_t assignment[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    struct wire_sync_group_request_assignment a = wire_sync_group_request_assignment_default;
    struct wire_sync_group_request q = wire_sync_group_request_default;
    a.member_id = wire_str(m->id);
    a.assignment = (struct wire_bytes){assignment, sizeof assignment};
    q.group_id = wire_str(m->group);
    q.generation_id = m->generation;
    q.member_id = wire_str(m->id);
    q.assignments.v = &a;
    q.assignments.n = 1;
    load_encode(WIRE_API_SYNC_GROUP, SYNC, &q, out, n);
}

static void encode_leave(const struct member *m, uint8_t **out, size_t *n)
{
    struct wire_leave_group_request q = wire_leave_group_request_default;
    q.group_id = wire_str(m->group);
    q.member_id = wire_str(m->id);
    load_encode(WIRE_API_LEAVE_GROUP, LEAVE, &q, out, n);
}

static void encode_heartbeat(const struct member *m, uint8_t **out, size_t *n)
{
    struct wire_heartbeat_request q = wire_heartbeat_request_default;
    q.group_id = wire_str(m->group);
    q.generation_id = m->generation;
    q.member_id = wire_str(m->id);
    load_encode(WIRE_API_HEARTBEAT, HEARTBEAT, &q, out, n);
}

static void encode_commit(const struct member *m, int partition, uint8_t **out, size_t *n)
{
    struct wire_offset_commit_request_partition p = wire_offset_commit_request_partition_default;
    struct wire_offset_commit_request_topic t = wire_offset_commit_request_topic_default;
    struct wire_offset_commit_request q = wire_offset_commit_request_default;
    p.partition_index = partition;
    p.committed_offset = 123456789;
    t.name = wire_str(opt.topic);
    t.partitions.v = &p;
    t.partitions.n = 1;
    q.group_id = wire_str(m->group);
    q.generation_id_or_member_epoch = m->generation;
    q.member_id = wire_str(m->id);
    q.topics.v = &t;
    q.topics.n = 1;
    load_encode(WIRE_API_OFFSET_COMMIT, COMMIT, &q, out, n);
}

/* ---- before the load ---- */

/* Kafka makes its topics of groups when somebody asks for the first coordinator. */
static void await_coordinator(int fd, const struct member *m)
{
    for (int64_t until = load_now_ns() + opt.stop_ns; load_now_ns() < until; usleep(RETRY_US)) {
        struct wire_find_coordinator_request q = wire_find_coordinator_request_default;
        struct wire_find_coordinator_response resp;
        struct arena a;
        arena_init(&a, 0);
        q.key = wire_str(m->group);
        bool ok = load_call(fd, WIRE_API_FIND_COORDINATOR, FIND, &q, &a, &resp) && resp.error_code == 0;
        arena_free(&a);
        if (ok)
            return;
    }
    load_die("the group has no coordinator");
}

static bool try_join(int fd, struct member *m)
{
    struct wire_join_group_response j;
    struct wire_sync_group_response s;
    struct arena a;
    uint8_t *out;
    size_t n;
    arena_init(&a, 0);
    encode_join(m, &out, &n);
    if (!load_exchange(fd, out, n, WIRE_API_JOIN_GROUP, JOIN, &a, &j))
        load_die("the broker closed a connection");
    bool ok = j.error_code == 0;
    if (ok) {
        snprintf(m->id, sizeof m->id, "%.*s", j.member_id.n, j.member_id.p);
        m->generation = j.generation_id;
        encode_sync(m, &out, &n);
        if (!load_exchange(fd, out, n, WIRE_API_SYNC_GROUP, SYNC, &a, &s))
            load_die("the broker closed a connection");
        ok = s.error_code == 0;
    }
    arena_free(&a);
    return ok;
}

static void join(int fd, struct member *m)
{
    await_coordinator(fd, m);
    for (int64_t until = load_now_ns() + opt.stop_ns; load_now_ns() < until; usleep(RETRY_US))
        if (try_join(fd, m))
            return;
    load_die("a member could not join");
}

void load_groups_prepare(int conn, int fd, uint8_t **requests, size_t *request_n, size_t *copies)
{
    int groups = (opt.groups - conn + opt.conns - 1) / opt.conns;
    *copies = (size_t)max_i64(groups, 1);
    *requests = NULL;
    for (size_t k = 0; k < *copies; k++) {
        struct member m = {.generation = -1};
        uint8_t *one;
        size_t n;
        name_group(&m, conn, (int)k);
        if (opt.mode[0] == 'h' || !opt.simple)
            join(fd, &m);
        else
            await_coordinator(fd, &m);
        if (opt.mode[0] == 'h')
            encode_heartbeat(&m, &one, &n);
        else
            encode_commit(&m, (int)k % opt.partitions, &one, &n);
        if (k == 0) {
            *request_n = n;
            *requests = malloc(n * *copies);
        }
        if (!*requests || n != *request_n)
            load_die("requests differ in length");
        memcpy(*requests + k * n, one, n);
        free(one);
    }
}

int load_groups_error(const uint8_t *answer)
{
    const uint8_t *p = answer + 4 + 4; /* correlation, throttle */
    if (opt.mode[0] == 'h')
        return (int16_t)get_be16(p);
    p += 4 + 2 + (int16_t)get_be16(p + 4) + 4; /* topics, name, partitions */
    return (int16_t)get_be16(p + 4);
}

/* ---- mode join: come, sync, leave, again ---- */

struct cycle {
    struct member m;
    int step; /* what the request under way is: 0 join, 1 sync, 2 leave */
};
static struct cycle *cycles;

void load_groups_begin(int conn, int fd, uint8_t **request, size_t *n)
{
    if (!cycles)
        cycles = calloc((size_t)opt.conns, sizeof *cycles);
    if (!cycles)
        load_die("memory");
    name_group(&cycles[conn].m, conn, 0);
    await_coordinator(fd, &cycles[conn].m);
    encode_join(&cycles[conn].m, request, n);
}

int load_groups_next(int conn, const uint8_t *answer, uint8_t **request, size_t *n)
{
    struct cycle *c = &cycles[conn];
    const uint8_t *p = answer + 4 + 4;
    int error = (int16_t)get_be16(p);
    free(*request);
    if (error) {
        c->step = 0;
        encode_join(&c->m, request, n);
        return error;
    }
    if (c->step == 0) { /* error, generation, protocol, leader, member id */
        c->m.generation = (int32_t)get_be32(p + 2);
        p += 6;
        for (int skip = 0; skip < 2; skip++)
            p += 2 + (int16_t)get_be16(p);
        snprintf(c->m.id, sizeof c->m.id, "%.*s", (int16_t)get_be16(p), (const char *)p + 2);
        encode_sync(&c->m, request, n);
    } else if (c->step == 1) {
        encode_leave(&c->m, request, n);
    } else {
        encode_join(&c->m, request, n);
    }
    c->step = (c->step + 1) % 3;
    return 0;
}
