/* load_groups.c: the load generator's groups: members are spread over the connections and join before anything is
 * counted. Commits and heartbeats of all of them are encoded once, one behind the other and equally long; mode join
 * lets members come and go for ever. One thread. */
#include "load.h"

#include "base/arena.h"
#include "wire/codes.h"
#include "wire/messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    JOIN = 3,
    SYNC = 2,
    LEAVE = 1,
    HEARTBEAT = 2,
    COMMIT = 6,
    FIND = 2,
    SESSION_MS = 1800000,
    RETRY_US = 20000,
    FLIGHT = 32
};

struct member {
    char group[32], id[96];
    int32_t generation;
    bool leads;
};

static struct member *members; /* member i is the connection's i % opt.conns; those of a group lie side by side */
static int n_members;

static void make_members(int groups, int each)
{
    n_members = groups * each;
    members = calloc((size_t)n_members, sizeof *members);
    if (!members)
        load_die("memory");
    for (int i = 0; i < n_members; i++) {
        members[i].generation = -1;
        snprintf(members[i].group, sizeof members[i].group, "load-%07d-%06d", (int)getpid(), i / each);
    }
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

static int fd_of(const int *fds, int member)
{
    return fds[member % opt.conns];
}

/* Those of [first, end) that are not members yet ask to join; false: a coordinator was still loading. */
static bool try_join(const int *fds, int first, int end)
{
    uint8_t *out;
    size_t n;
    bool all = true;
    for (int i = first; i < end; i++)
        if (!members[i].id[0]) {
            encode_join(&members[i], &out, &n);
            load_send(fd_of(fds, i), out, n);
        }
    for (int i = first; i < end; i++) {
        struct wire_join_group_response j;
        struct arena a;
        if (members[i].id[0])
            continue;
        arena_init(&a, 0);
        if (!load_receive(fd_of(fds, i), WIRE_API_JOIN_GROUP, JOIN, &a, &j))
            load_die("the broker closed a connection");
        if (j.error_code == 0) {
            snprintf(members[i].id, sizeof members[i].id, "%.*s", j.member_id.n, j.member_id.p);
            members[i].generation = j.generation_id;
            members[i].leads = wire_str_eq(j.leader, j.member_id);
        } else if (j.error_code < KAFKA_COORDINATOR_LOAD_IN_PROGRESS || j.error_code > KAFKA_NOT_COORDINATOR) {
            load_die("a member could not join");
        }
        all = all && j.error_code == 0;
        arena_free(&a);
    }
    return all;
}

/* A group waits until the broker's initial delay is over. */
static void join_some(const int *fds, int first, int end)
{
    for (int64_t until = load_now_ns() + opt.stop_ns; load_now_ns() < until; usleep(RETRY_US))
        if (try_join(fds, first, end))
            return;
    load_die("the groups' coordinators do not load");
}

/* The leaders first: whoever follows finds its assignment and does not wait. */
static void sync_some(const int *fds, int first, int end, bool leaders)
{
    uint8_t *out;
    size_t n;
    for (int i = first; i < end; i++)
        if (members[i].leads == leaders) {
            encode_sync(&members[i], &out, &n);
            load_send(fd_of(fds, i), out, n);
        }
    for (int i = first; i < end; i++) {
        struct wire_sync_group_response s;
        struct arena a;
        if (members[i].leads != leaders)
            continue;
        arena_init(&a, 0);
        if (!load_receive(fd_of(fds, i), WIRE_API_SYNC_GROUP, SYNC, &a, &s) || s.error_code != 0)
            load_die("a member got no assignment");
        arena_free(&a);
    }
}

void load_groups_join(const int *fds)
{
    int each = opt.members;
    if (opt.mode[0] == 'j') {
        make_members(opt.conns, 1);
        await_coordinator(fds[0], &members[0]);
        return;
    }
    make_members(opt.groups, each);
    if (!opt.raw)
        await_coordinator(fds[0], &members[0]);
    int step = (int)max_i64(opt.conns * FLIGHT / each, 1) * each;
    for (int at = 0; !opt.simple && at < n_members; at += step) {
        int end = (int)min_i64(at + step, n_members);
        join_some(fds, at, end);
        sync_some(fds, at, end, true);
        sync_some(fds, at, end, false);
    }
}

void load_groups_encode(int conn, uint8_t **requests, size_t *request_n, size_t *copies)
{
    *copies = 0;
    *requests = NULL;
    for (int i = conn; i < n_members; i += opt.conns) {
        uint8_t *one;
        size_t n;
        if (opt.mode[0] == 'h')
            encode_heartbeat(&members[i], &one, &n);
        else
            encode_commit(&members[i], i % opt.partitions, &one, &n);
        *requests = realloc(*requests, n * (*copies + 1));
        if (!*requests || (*copies && n != *request_n))
            load_die("requests differ in length");
        *request_n = n;
        memcpy(*requests + (*copies)++ * n, one, n);
        free(one);
    }
    if (*copies == 0)
        load_die("there are fewer members than connections");
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

/* What the request under way of each connection is: 0 join, 1 sync, 2 leave. */
static int *steps;

void load_groups_begin(int conn, int fd, uint8_t **request, size_t *n)
{
    if (!steps)
        steps = calloc((size_t)opt.conns, sizeof *steps);
    if (!steps)
        load_die("memory");
    await_coordinator(fd, &members[conn]);
    encode_join(&members[conn], request, n);
}

int load_groups_next(int conn, const uint8_t *answer, uint8_t **request, size_t *n)
{
    struct member *m = &members[conn];
    const uint8_t *p = answer + 4 + 4;
    int error = (int16_t)get_be16(p);
    free(*request);
    if (error || steps[conn] == 2) {
        steps[conn] = 0;
        encode_join(m, request, n);
        return error;
    }
    if (steps[conn]++ == 0) { /* error, generation, protocol, leader, member id */
        m->generation = (int32_t)get_be32(p + 2);
        p += 6;
        for (int skip = 0; skip < 2; skip++)
            p += 2 + (int16_t)get_be16(p);
        snprintf(m->id, sizeof m->id, "%.*s", (int16_t)get_be16(p), (const char *)p + 2);
        encode_sync(m, request, n);
    } else {
        encode_leave(m, request, n);
    }
    return 0;
}
