/* group_cli.c: see group_cli.h. */
#include "tests/unit/api/group_cli.h"

#include <stdio.h>

enum { NO_ANSWER = -2 };

/* Version 0, topics ["t"], no user data. */
static const uint8_t subscription[] = {0, 0, 0, 0, 0, 1, 0, 1, 't', 0xff, 0xff, 0xff, 0xff};

void gm_open(struct gm *m, struct rig *r, const char *group)
{
    *m = (struct gm){.group = group,
                     .type = "consumer",
                     .protocols = {"range", "roundrobin"},
                     .session_ms = 10000,
                     .rebalance_ms = 20000,
                     .join_v = 9,
                     .sync_v = 5,
                     .beat_v = 4,
                     .leave_v = 5,
                     .generation = -1};
    cli_open(&m->cli, r);
}

void gm_close(struct gm *m)
{
    cli_close(&m->cli);
}

static void keep(char *out, size_t n, struct wire_str s)
{
    snprintf(out, n, "%.*s", s.n > 0 ? s.n : 0, s.n > 0 ? s.p : "");
}

int32_t gm_join_send(struct gm *m)
{
    struct wire_join_group_request_protocol p[4];
    struct wire_join_group_request q = wire_join_group_request_default;
    int32_t n = 0;
    for (; m->protocols[n]; n++) {
        p[n] = wire_join_group_request_protocol_default;
        p[n].name = wire_str(m->protocols[n]);
        p[n].metadata = m->metadata ? (struct wire_bytes){(const uint8_t *)m->metadata, (int32_t)strlen(m->metadata)}
                                    : (struct wire_bytes){subscription, sizeof subscription};
    }
    q.group_id = wire_str(m->group);
    q.session_timeout_ms = m->session_ms;
    q.rebalance_timeout_ms = m->rebalance_ms;
    q.member_id = wire_str(m->id);
    q.group_instance_id = wire_str(m->instance);
    q.protocol_type = wire_str(m->type);
    q.protocols.v = p;
    q.protocols.n = n;
    return cli_send(&m->cli, WIRE_API_JOIN_GROUP, m->join_v, &q);
}

int16_t gm_join_recv(struct gm *m, int32_t sent, int64_t most_ns)
{
    struct wire_join_group_response a;
    int32_t got = cli_recv(&m->cli, WIRE_API_JOIN_GROUP, m->join_v, &a, most_ns);
    if (got < 0)
        return NO_ANSWER;
    CHECK(got == sent);
    if (a.error_code == KAFKA_NONE || a.error_code == KAFKA_MEMBER_ID_REQUIRED)
        keep(m->id, sizeof m->id, a.member_id);
    if (a.error_code != KAFKA_NONE)
        return a.error_code;
    m->generation = a.generation_id;
    m->skip = a.skip_assignment;
    keep(m->leader, sizeof m->leader, a.leader);
    keep(m->protocol, sizeof m->protocol, a.protocol_name);
    m->n_members = a.members.n;
    for (int32_t i = 0; i < a.members.n && i < (int32_t)ARRAY_LEN(m->members); i++)
        keep(m->members[i], sizeof m->members[i], a.members.v[i].member_id);
    return KAFKA_NONE;
}

int32_t gm_join_begin(struct gm *m)
{
    int32_t sent = gm_join_send(m);
    if (m->id[0] || m->instance || m->join_v < 4)
        return sent;
    int16_t code = gm_join_recv(m, sent, 30 * SIM_S);
    CHECK(code == KAFKA_MEMBER_ID_REQUIRED);
    return gm_join_send(m);
}

int32_t gm_sync_send(struct gm *m, const char *const *texts, int32_t n)
{
    struct wire_sync_group_request_assignment v[8];
    struct wire_sync_group_request q = wire_sync_group_request_default;
    for (int32_t i = 0; i < n; i++) {
        v[i] = wire_sync_group_request_assignment_default;
        v[i].member_id = wire_str(m->members[i]);
        v[i].assignment = (struct wire_bytes){(const uint8_t *)texts[i], (int32_t)strlen(texts[i])};
    }
    q.group_id = wire_str(m->group);
    q.generation_id = m->generation;
    q.member_id = wire_str(m->id);
    q.group_instance_id = wire_str(m->instance);
    if (m->sync_v >= 5) {
        q.protocol_type = wire_str(m->type);
        q.protocol_name = wire_str(m->protocol);
    }
    q.assignments.v = v;
    q.assignments.n = n;
    return cli_send(&m->cli, WIRE_API_SYNC_GROUP, m->sync_v, &q);
}

int16_t gm_sync_recv(struct gm *m, int32_t sent, int64_t most_ns)
{
    struct wire_sync_group_response a;
    int32_t got = cli_recv(&m->cli, WIRE_API_SYNC_GROUP, m->sync_v, &a, most_ns);
    if (got < 0)
        return NO_ANSWER;
    CHECK(got == sent);
    if (a.error_code == KAFKA_NONE)
        keep(m->assignment, sizeof m->assignment, (struct wire_str){(const char *)a.assignment.p, a.assignment.n});
    return a.error_code;
}

int16_t gm_sync(struct gm *m, const char *const *texts, int32_t n)
{
    return gm_sync_recv(m, gm_sync_send(m, texts, n), 60 * SIM_S);
}

int16_t gm_beat(struct gm *m)
{
    struct wire_heartbeat_request q = wire_heartbeat_request_default;
    struct wire_heartbeat_response a;
    q.group_id = wire_str(m->group);
    q.generation_id = m->generation;
    q.member_id = wire_str(m->id);
    q.group_instance_id = wire_str(m->instance);
    cli_call(&m->cli, WIRE_API_HEARTBEAT, m->beat_v, &q, &a);
    return a.error_code;
}

int16_t gm_leave(struct gm *m)
{
    struct wire_leave_group_request_member_identity one = wire_leave_group_request_member_identity_default;
    struct wire_leave_group_request q = wire_leave_group_request_default;
    struct wire_leave_group_response a;
    one.member_id = wire_str(m->id);
    one.group_instance_id = wire_str(m->instance);
    q.group_id = wire_str(m->group);
    if (m->leave_v >= 3) {
        q.members.v = &one;
        q.members.n = 1;
    } else {
        q.member_id = wire_str(m->id);
    }
    cli_call(&m->cli, WIRE_API_LEAVE_GROUP, m->leave_v, &q, &a);
    return m->leave_v >= 3 && a.error_code == KAFKA_NONE ? a.members.v[0].error_code : a.error_code;
}

void gm_stabilize(struct gm *m, int n)
{
    static const char *const texts[] = {"a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7"};
    int32_t sent[8];
    for (int i = 0; i < n; i++)
        sent[i] = gm_join_begin(&m[i]);
    for (int i = 0; i < n; i++) {
        int16_t code = gm_join_recv(&m[i], sent[i], 60 * SIM_S);
        CHECK(code == KAFKA_NONE);
    }
    for (int i = 0; i < n; i++)
        sent[i] = gm_sync_send(&m[i], texts, m[i].n_members);
    for (int i = 0; i < n; i++) {
        int16_t code = gm_sync_recv(&m[i], sent[i], 60 * SIM_S);
        CHECK(code == KAFKA_NONE);
    }
}

const char *gm_state(struct cli *c, const char *group, int32_t *members)
{
    static char state[64];
    struct wire_str id = wire_str(group);
    struct wire_describe_groups_request q = wire_describe_groups_request_default;
    struct wire_describe_groups_response a;
    q.groups.v = &id;
    q.groups.n = 1;
    cli_call(c, WIRE_API_DESCRIBE_GROUPS, 5, &q, &a);
    CHECK(a.groups.n == 1);
    if (members)
        *members = a.groups.v[0].members.n;
    keep(state, sizeof state, a.groups.v[0].group_state);
    return a.groups.v[0].error_code ? "error" : state;
}
