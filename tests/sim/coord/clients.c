/* clients.c: members of groups as the simulation has them. Good ones behave as a client library does; the others crash,
 * pause, leave, change their minds, send again what they sent long ago, and forget to sync. */
#include "tests/sim/coord/coord_world.h"

#include <stdio.h>
#include <stdlib.h>

static struct request *open_requests; /* in the memory of the present broker */

static int calm; /* one in so many steps of bad clients is bad */

static int draw(int n)
{
    return (int)sim_rand(w, (uint64_t)n);
}

static void rename_id(char *out, struct wire_str s)
{
    snprintf(out, ID, "%.*s", s.n > 0 ? s.n : 0, s.n > 0 ? s.p : "");
}

void clients_make(void)
{
    static const int degrees[] = {100, 400, 3000};
    static const int16_t versions[] = {0, 1, 3, 4, 5, 7, 9, 9};
    calm = degrees[draw(ARRAY_LEN(degrees))];
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        *c = (struct client){.no = i, .group = i / PER_GROUP, .good = i % PER_GROUP < 3};
        c->version = versions[draw(ARRAY_LEN(versions))];
        if (draw(3) == 0) {
            c->version = (int16_t)(5 + draw(5));
            snprintf(c->instance, sizeof c->instance, "i%d", i);
        }
        c->session_ms = 6000 + draw(draw(3) ? 4000 : 20000);
        c->rebalance_ms = 8000 + draw(7000);
        c->generation = c->old_generation = -1;
        c->next_ms = draw(5000);
    }
}

static struct wire_str instance_of(const struct client *c)
{
    return wire_str(c->instance[0] ? c->instance : NULL);
}

/* ---- requests ---- */

static void finished(struct coord_call *call)
{
    struct request *r = CONTAINER_OF(call, struct request, call);
    if (r->finished)
        judge_fail("a request was answered twice");
    r->finished = true;
}

static struct request *request_new(struct client *c, bool is_join)
{
    struct request *r = calloc(1, sizeof *r);
    arena_init(&r->arena, 0);
    r->call = (struct coord_call){.version = is_join ? c->version : (int16_t)(c->version >= 7 ? 5 : 0),
                                  .arena = &r->arena,
                                  .client_id = wire_str("sim"),
                                  .client_host = "/sim",
                                  .done = finished};
    r->client = c->no;
    r->client_life = c->life;
    r->is_join = is_join;
    r->sent_ms = now_ms();
    r->generation = c->generation;
    r->next = open_requests;
    open_requests = r;
    return r;
}

static void send_join(struct client *c, bool forgotten)
{
    struct wire_join_group_request_protocol p[2] = {wire_join_group_request_protocol_default,
                                                    wire_join_group_request_protocol_default};
    struct wire_join_group_request q = wire_join_group_request_default;
    p[0].name = wire_str("range");
    p[1].name = wire_str("sticky");
    p[0].metadata = p[1].metadata = (struct wire_bytes){&c->metadata, 1};
    q.group_id = wire_str(group_name(c->group));
    q.session_timeout_ms = c->session_ms;
    q.rebalance_timeout_ms = c->rebalance_ms;
    q.member_id = wire_str(c->id);
    q.group_instance_id = instance_of(c);
    q.protocol_type = wire_str("sim");
    q.protocols.v = p;
    q.protocols.n = 2;
    struct request *r = request_new(c, true);
    r->forgotten = forgotten;
    if (!forgotten)
        c->phase = JOIN_WAIT;
    r->finished |= coord_join(coord, &r->call, &q, &r->out.join) == CHRONIK_DONE;
}

/* Token, and each member's partitions, in turns. */
static int32_t assignment(const struct client *c, uint32_t token, int32_t member, uint8_t *out)
{
    int32_t n = 5;
    put_be32(out, token);
    for (int p = 0; p < PARTITIONS; p++)
        if (p % c->n_members == member)
            out[n++] = (uint8_t)p;
    out[4] = (uint8_t)(n - 5);
    return n;
}

static void send_sync(struct client *c)
{
    struct wire_sync_group_request_assignment v[ARRAY_LEN(c->members)];
    uint8_t bytes[ARRAY_LEN(c->members)][5 + PARTITIONS];
    struct wire_sync_group_request q = wire_sync_group_request_default;
    uint32_t token = c->n_members ? judge_token() : 0;
    for (int32_t i = 0; i < c->n_members; i++) {
        v[i] = wire_sync_group_request_assignment_default;
        v[i].member_id = wire_str(c->members[i]);
        v[i].assignment = (struct wire_bytes){bytes[i], assignment(c, token, i, bytes[i])};
    }
    q.group_id = wire_str(group_name(c->group));
    q.generation_id = c->generation;
    q.member_id = wire_str(c->id);
    q.group_instance_id = instance_of(c);
    if (c->version >= 7) {
        q.protocol_type = wire_str("sim");
        q.protocol_name = wire_str(c->protocol);
    }
    q.assignments.v = v;
    q.assignments.n = c->n_members;
    struct request *r = request_new(c, false);
    c->phase = SYNC_WAIT;
    r->finished |= coord_sync(coord, &r->call, &q, &r->out.sync) == CHRONIK_DONE;
}

static int16_t beat(const struct client *c, const char *id, int32_t generation)
{
    struct wire_heartbeat_request q = wire_heartbeat_request_default;
    q.group_id = wire_str(group_name(c->group));
    q.generation_id = generation;
    q.member_id = wire_str(id);
    q.group_instance_id = instance_of(c);
    return coord_heartbeat(coord, &q);
}

/* ---- what answers make of a client ---- */

static void forget(struct client *c)
{
    memcpy(c->old_id, c->id, ID);
    c->old_generation = c->generation;
    c->id[0] = 0;
    c->generation = -1;
    c->synced = false;
    c->n_owned = 0;
}

static void rejoin(struct client *c, int64_t in_ms)
{
    c->phase = NEED_JOIN;
    c->next_ms = now_ms() + in_ms;
}

static void refused(struct client *c, int16_t code, const char *by)
{
    switch (code) {
    case KAFKA_UNKNOWN_MEMBER_ID:
    case KAFKA_FENCED_INSTANCE_ID:
        judge_lost(c, code, by);
        forget(c);
        rejoin(c, draw(100));
        break;
    case KAFKA_REBALANCE_IN_PROGRESS:
    case KAFKA_ILLEGAL_GENERATION:
        rejoin(c, draw(100));
        break;
    case KAFKA_COORDINATOR_LOAD_IN_PROGRESS:
    case KAFKA_COORDINATOR_NOT_AVAILABLE:
    case KAFKA_NOT_COORDINATOR:
        rejoin(c, 100);
        break;
    default:
        judge_fail("%s: code %d", by, code);
    }
}

static void joined(struct client *c, const struct wire_join_group_response *a)
{
    if (a->error_code == KAFKA_MEMBER_ID_REQUIRED) {
        rename_id(c->id, a->member_id);
        rejoin(c, c->good ? 0 : draw(9000));
        return;
    }
    if (a->error_code != KAFKA_NONE) {
        refused(c, a->error_code, "JoinGroup");
        return;
    }
    rename_id(c->id, a->member_id);
    rename_id(c->leader, a->leader);
    snprintf(c->protocol, sizeof c->protocol, "%.*s", (int)max_i64(a->protocol_name.n, 0), a->protocol_name.p);
    c->generation = a->generation_id;
    c->n_members = a->skip_assignment ? 0 : a->members.n;
    for (int32_t i = 0; i < c->n_members; i++)
        rename_id(c->members[i], a->members.v[i].member_id);
    if (c->n_members)
        judge_leads(c);
    c->phase = NEED_SYNC;
    c->next_ms = now_ms() + draw(c->good ? 50 : 3000);
    c->never_syncs = !c->good && draw(8) == 0;
    c->beat_ms = now_ms();
}

static void synced(struct client *c, const struct wire_sync_group_response *a)
{
    if (a->error_code != KAFKA_NONE) {
        refused(c, a->error_code, "SyncGroup");
        return;
    }
    const uint8_t *p = a->assignment.p;
    c->synced = true;
    c->n_owned = a->assignment.n >= 5 ? p[4] : 0;
    memcpy(c->owned, p + 5, (size_t)c->n_owned);
    judge_synced(c, a->assignment.n >= 5 ? get_be32(p) : 0, c->owned, c->n_owned);
    c->phase = STABLE;
    c->next_ms = c->beat_ms = now_ms();
}

static void take_answers(void)
{
    for (struct request **at = &open_requests; *at;) {
        struct request *r = *at;
        struct client *c = &clients[r->client];
        if (!r->finished) {
            judge_wait(r);
            at = &r->next;
            continue;
        }
        *at = r->next;
        if (r->forgotten || r->client_life != c->life || r->call.nomem)
            ;
        else if (r->is_join && c->phase == JOIN_WAIT)
            joined(c, &r->out.join);
        else if (!r->is_join && c->phase == SYNC_WAIT && r->generation == c->generation)
            synced(c, &r->out.sync);
        arena_free(&r->arena);
        free(r);
    }
}

/* ---- bad manners ---- */

static void crash(struct client *c)
{
    forget(c);
    /* The network may notice, or not. */
    for (struct request *r = open_requests; r && draw(2); r = r->next)
        if (r->client == c->no && !r->finished)
            coord_cancel(coord, &r->call);
    c->life++;
    rejoin(c, draw(12000));
}

static void leave(struct client *c)
{
    struct wire_leave_group_request_member_identity one = wire_leave_group_request_member_identity_default;
    struct wire_leave_group_request q = wire_leave_group_request_default;
    struct wire_leave_group_response a;
    struct arena arena;
    arena_init(&arena, 0);
    struct coord_call call = {.version = 5, .arena = &arena};
    one.member_id = wire_str(c->id);
    one.group_instance_id = instance_of(c);
    q.group_id = wire_str(group_name(c->group));
    q.members.v = &one;
    q.members.n = 1;
    coord_leave(coord, &call, &q, &a);
    if (a.error_code == KAFKA_NONE && a.members.v[0].error_code == KAFKA_NONE) {
        judge_gone(c);
        c->life++;
        forget(c);
        rejoin(c, draw(8000));
    }
    arena_free(&arena);
}

static void misbehave(struct client *c)
{
    switch (draw(10)) {
    case 0:
        crash(c);
        break;
    case 1: /* a long pause; then it goes on as if nothing had been */
        c->next_ms = now_ms() + 3000 + draw(20000);
        c->beat_ms = c->next_ms;
        break;
    case 2:
        if (c->phase == STABLE || c->phase == NEED_SYNC)
            leave(c);
        break;
    case 3:
        c->metadata++;
        if (c->phase == STABLE)
            rejoin(c, 0);
        break;
    case 4:
        if (c->old_id[0])
            beat(c, c->old_id, c->old_generation);
        break;
    case 5:
        if (c->old_id[0])
            judge_commit(c, c->old_id, c->old_generation, draw(PARTITIONS));
        break;
    case 6: /* twice */
        if (c->phase == JOIN_WAIT)
            send_join(c, true);
        break;
    case 7:
        if (c->phase == JOIN_WAIT || c->phase == SYNC_WAIT)
            crash(c);
        break;
    default:
        break;
    }
}

/* ---- a step ---- */

static void step(struct client *c)
{
    if (!c->good && c->phase != AWAY && draw(calm) == 0)
        misbehave(c);
    if (now_ms() < c->next_ms || c->phase == AWAY)
        return;
    if ((c->phase == STABLE || (c->phase == NEED_SYNC && c->never_syncs)) && now_ms() >= c->beat_ms) {
        c->beat_ms = now_ms() + 1500 + draw(1000);
        int16_t code = beat(c, c->id, c->generation);
        if (code != KAFKA_NONE && code != KAFKA_COORDINATOR_LOAD_IN_PROGRESS && code != KAFKA_NOT_COORDINATOR)
            refused(c, code, "Heartbeat");
    }
    if (c->phase == NEED_JOIN)
        send_join(c, false);
    else if (c->phase == NEED_SYNC && !c->never_syncs)
        send_sync(c);
    else if (c->phase == STABLE && c->n_owned && draw(150) == 0)
        judge_commit(c, c->id, c->generation, c->owned[draw(c->n_owned)]);
}

void clients_step(void)
{
    take_answers();
    for (int i = 0; i < CLIENTS; i++) {
        if (quiet && !clients[i].good)
            clients[i].phase = AWAY;
        step(&clients[i]);
    }
}

void clients_reconnect(void)
{
    open_requests = NULL;
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        if (c->phase == JOIN_WAIT)
            rejoin(c, draw(300));
        else if (c->phase == SYNC_WAIT)
            c->phase = NEED_SYNC;
        c->beat_ms = min_i64(c->beat_ms, now_ms() + 1000);
    }
}
