/* fuzz_coord.c: the bytes are a play: members of a few groups send requests of any version with any content, time
 * passes, clients go away. Whatever comes, each request is answered once, at the latest when the coordinator stops, and
 * after each step the counts of every group are what its members say. */
#include "base/log.h"
#include "coord/internal.h"
#include "tests/fuzz/fuzz.h"
#include "tests/sim/sim.h"
#include "tests/unit/meta/rig.h"

#include <stdio.h>
#include <stdlib.h>

enum { PLAYERS = 6, STEPS = 400 };

static struct os *os;
static struct rig rig;
static struct coord *coord;
static const uint8_t *at, *end;

struct player {
    char id[256];
    int32_t generation;
};
static struct player players[PLAYERS];

struct request {
    struct coord_call call;
    struct arena arena;
    struct player *who;
    bool done, is_join;
    union {
        struct wire_join_group_response join;
        struct wire_sync_group_response sync;
        struct wire_delete_groups_response del;
    } out;
    struct request *next;
};
static struct request *open_requests;

static uint8_t byte(void)
{
    return at < end ? *at++ : 0;
}

/* Some of the bytes that follow. */
static struct wire_str blob(void)
{
    size_t want = byte() & 31; /* before `at` is looked at */
    size_t n = min_size(want, (size_t)(end - at));
    struct wire_str s = {(const char *)at, (int32_t)n};
    at += n;
    return s;
}

static struct wire_str group(void)
{
    static const char *const names[] = {"a", "b", "c", ""};
    uint8_t b = byte();
    return b == 255 ? blob() : wire_str(names[b & 3]);
}

static struct wire_str instance(void)
{
    static const char *const names[] = {NULL, NULL, "i", "j"};
    uint8_t b = byte();
    return b == 255 ? blob() : wire_str(names[b & 3]);
}

static struct wire_str member(struct player *p)
{
    uint8_t b = byte();
    return b < 200 ? wire_str(p->id) : b < 230 ? wire_str(players[b % PLAYERS].id) : blob();
}

static int32_t generation(const struct player *p)
{
    uint8_t b = byte();
    return b < 220 ? p->generation : (int8_t)b;
}

/* ---- requests that may wait ---- */

static void finished(struct coord_call *call)
{
    struct request *r = CONTAINER_OF(call, struct request, call);
    CHECK(!r->done);
    r->done = true;
}

static struct request *request(struct player *p, int16_t versions, bool is_join)
{
    struct request *r = calloc(1, sizeof *r);
    arena_init(&r->arena, 0);
    r->who = p;
    r->is_join = is_join;
    r->call = (struct coord_call){.version = (int16_t)(byte() % versions),
                                  .arena = &r->arena,
                                  .client_id = wire_str("fuzz"),
                                  .client_host = "/fuzz",
                                  .done = finished};
    r->next = open_requests;
    open_requests = r;
    return r;
}

static void learn(struct request *r)
{
    const struct wire_join_group_response *a = &r->out.join;
    if (!r->is_join || (a->error_code != KAFKA_NONE && a->error_code != KAFKA_MEMBER_ID_REQUIRED))
        return;
    CHECK(a->member_id.n > 0);
    snprintf(r->who->id, sizeof r->who->id, "%.*s", a->member_id.n, a->member_id.p);
    if (a->error_code == KAFKA_NONE)
        r->who->generation = a->generation_id;
}

static void take_answers(void)
{
    for (struct request **r = &open_requests; *r;) {
        struct request *x = *r;
        if (!x->done) {
            r = &x->next;
            continue;
        }
        *r = x->next;
        learn(x);
        arena_free(&x->arena);
        free(x);
    }
}

static void join(struct player *p)
{
    static const char *const names[] = {"range", "sticky", "x", ""};
    struct wire_join_group_request_protocol v[3];
    struct wire_join_group_request q = wire_join_group_request_default;
    q.group_id = group();
    q.member_id = member(p);
    q.group_instance_id = instance();
    q.session_timeout_ms = 1000 + byte() * 100;
    q.rebalance_timeout_ms = byte() == 255 ? -1 : byte() * 100;
    q.protocol_type = wire_str(byte() < 200 ? "consumer" : "connect");
    q.protocols.v = v;
    q.protocols.n = byte() & 3;
    for (int32_t i = 0; i < q.protocols.n; i++) {
        v[i] = wire_join_group_request_protocol_default;
        v[i].name = wire_str(names[byte() & 3]);
        struct wire_str b = blob();
        v[i].metadata = (struct wire_bytes){(const uint8_t *)b.p, b.n};
    }
    struct request *r = request(p, 10, true);
    r->done |= coord_join(coord, &r->call, &q, &r->out.join) == CHRONIK_DONE;
}

static void sync_up(struct player *p)
{
    struct wire_sync_group_request_assignment v[PLAYERS];
    struct wire_sync_group_request q = wire_sync_group_request_default;
    q.group_id = group();
    q.generation_id = generation(p);
    q.member_id = member(p);
    q.group_instance_id = instance();
    q.protocol_type = wire_str(byte() < 220 ? NULL : "consumer");
    q.protocol_name = wire_str(byte() < 220 ? NULL : "range");
    q.assignments.v = v;
    q.assignments.n = byte() % PLAYERS;
    for (int32_t i = 0; i < q.assignments.n; i++) {
        struct wire_str b = blob();
        v[i] = wire_sync_group_request_assignment_default;
        v[i].member_id = wire_str(players[i].id);
        v[i].assignment = (struct wire_bytes){(const uint8_t *)b.p, b.n};
    }
    struct request *r = request(p, 5, false);
    r->done |= coord_sync(coord, &r->call, &q, &r->out.sync) == CHRONIK_DONE;
}

static void delete_groups(struct player *p)
{
    struct wire_str names[2] = {group(), group()};
    struct wire_delete_groups_request q = wire_delete_groups_request_default;
    q.groups_names.v = names;
    q.groups_names.n = byte() % 3;
    struct request *r = request(p, 3, false);
    r->done |= coord_delete(coord, &r->call, &q, &r->out.del) == CHRONIK_DONE;
}

static void cancel_one(void)
{
    struct request *r = open_requests;
    for (int n = byte() & 7; r && n; n--)
        r = r->next;
    if (r && !r->done)
        coord_cancel(coord, &r->call);
}

/* ---- requests that do not ---- */

static void beat(struct player *p)
{
    struct wire_heartbeat_request q = wire_heartbeat_request_default;
    q.group_id = group();
    q.generation_id = generation(p);
    q.member_id = member(p);
    q.group_instance_id = instance();
    coord_heartbeat(coord, &q);
}

static void leave(struct player *p)
{
    struct wire_leave_group_request_member_identity v[2] = {wire_leave_group_request_member_identity_default,
                                                            wire_leave_group_request_member_identity_default};
    struct wire_leave_group_request q = wire_leave_group_request_default;
    struct wire_leave_group_response a;
    struct arena arena;
    arena_init(&arena, 0);
    struct coord_call call = {.version = (int16_t)(byte() % 6), .arena = &arena};
    q.group_id = group();
    q.member_id = member(p);
    for (int i = 0; i < 2; i++) {
        v[i].member_id = member(p);
        v[i].group_instance_id = instance();
        v[i].reason = byte() & 1 ? blob() : wire_str(NULL);
    }
    q.members.v = v;
    q.members.n = byte() % 3;
    coord_leave(coord, &call, &q, &a);
    arena_free(&arena);
}

static void look(struct player *p)
{
    struct wire_describe_groups_response_described_group d;
    struct wire_list_groups_request q = wire_list_groups_request_default;
    struct wire_list_groups_response l;
    struct wire_str filter = blob();
    struct coord_group_view view;
    struct coord_commit c = {.group = group(), .member_id = member(p), .instance_id = instance()};
    struct arena arena;
    int64_t epoch;
    arena_init(&arena, 0);
    struct coord_call call = {.version = (int16_t)(byte() % 7), .arena = &arena};
    c.generation = generation(p);
    c.transactional = byte() & 1;
    c.version = call.version;
    coord_describe(coord, &call, group(), &d);
    q.states_filter.v = &filter;
    q.states_filter.n = byte() & 1;
    coord_list(coord, &call, &q, &l);
    CHECK(!call.nomem);
    coord_check_commit(coord, &c, &epoch);
    coord_check_offset_delete(coord, c.group, &epoch);
    coord_view(coord, c.group, &view);
    coord_has_live_subscription(coord, c.group, blob());
    if (byte() == 1)
        coord_offsets_gone(coord, c.group);
    arena_free(&arena);
}

/* ---- what must hold ---- */

static void check_group(const struct group *g)
{
    uint32_t n = 0, pending = 0, joins = 0, syncs = 0;
    bool leads = false;
    for (const struct member *m = g->first; m; m = m->next) {
        n++;
        joins += m->awaiting_join;
        syncs += m->pending_sync;
        leads |= m == g->leader;
        CHECK(!m->pending && m->group == g && m->protocols);
        CHECK(group_member(g, wire_str(m->id)) == m);
        CHECK(!m->instance || group_static(g, wire_str(m->instance)) == m);
        CHECK(!m->join || m->awaiting_join);
        CHECK(!m->sync || m->awaiting_sync);
        CHECK(g->state != GROUP_COMPLETING || !m->awaiting_join);
        CHECK(g->state == GROUP_COMPLETING || !m->awaiting_sync);
        /* Somebody who is not waited for by us is timed. */
        CHECK(wheel_armed(&m->timer.t) || m->awaiting_join || m->awaiting_sync);
    }
    for (const struct member *m = g->pending; m; m = m->next) {
        pending++;
        CHECK(m->pending && wheel_armed(&m->timer.t));
    }
    CHECK(n == g->n && pending == g->n_pending && joins == g->n_awaiting_join && syncs == g->n_pending_sync);
    CHECK(leads == (n > 0));
    for (uint32_t i = 0; i < g->n_supports; i++)
        CHECK(g->supports[i].members > 0 && g->supports[i].members <= n);
    CHECK(g->state != GROUP_EMPTY || !n);
    CHECK(g->state != GROUP_STABLE || n);
    CHECK(g->state != GROUP_PREPARING || wheel_armed(&g->join_timer.t));
    CHECK(g->state != GROUP_COMPLETING || !g->n_pending_sync || wheel_armed(&g->sync_timer.t));
}

static void check_groups(void)
{
    for (uint32_t i = 0; i < coord->o.slots; i++)
        for (uint32_t k = 0; k < coord->slots[i].buckets; k++)
            for (const struct group *g = coord->slots[i].groups[k]; g; g = g->chain)
                check_group(g);
}

/* ---- the play ---- */

static void step(void)
{
    struct os_flag never = {0};
    struct player *p = &players[byte() % PLAYERS];
    switch (byte() % 12) {
    case 0:
    case 1:
    case 2:
        join(p);
        break;
    case 3:
    case 4:
        sync_up(p);
        break;
    case 5:
        beat(p);
        break;
    case 6:
        leave(p);
        break;
    case 7:
        look(p);
        break;
    case 8:
        delete_groups(p);
        break;
    case 9:
        cancel_one();
        break;
    case 10:
        os_flag_wait(os, &never, byte() * SIM_MS);
        break;
    default:
        os_flag_wait(os, &never, byte() * 50 * SIM_MS);
    }
    take_answers();
    check_groups();
}

static void play(void *arg)
{
    struct coord_options o = {.os = os,
                              .node_id = 1,
                              .slots = 2,
                              .initial_rebalance_delay_ms = byte() * 10,
                              .min_session_timeout_ms = 1000,
                              .max_session_timeout_ms = 20000,
                              .max_group_size = 1 + byte() % 5};
    struct os_flag never = {0};
    struct err e;
    rig_init(&rig, os, rig_mem_ops());
    coord = coord_new(&o);
    CHECK(coord && rig_begin(&rig) && coord_set_meta(coord, rig.m) && meta_start(rig.m, &e) > 0);
    CHECK(os_flag_wait(os, &rig.registered, 20 * SIM_S));
    coord_start(coord);
    os_flag_wait(os, &never, SIM_S);
    for (int i = 0; i < STEPS && at < end; i++)
        step();
    coord_stop(coord);
    os_flag_wait(os, &never, 20 * SIM_S); /* deletions under way */
    take_answers();
    CHECK(!open_requests);
    rig_close(&rig);
    coord_free(coord);
    rig_free(&rig);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    at = data;
    end = data + n;
    log_set_levels("error");
    memset(players, 0, sizeof players);
    struct sim_world *w = sim_world_new(1);
    os = sim_node(w, "n");
    CHECK(sim_call(os, play, NULL));
    sim_world_free(w);
    return 0;
}
