/* test_moves.c: a coordinator slot moves between two brokers that are both alive. Two coordinators follow one metadata
 * log, as those of two brokers of a quorum do. Members that ask the old owner are sent away and find their group at the
 * new one as it was: nobody rejoins. What the old owner still had under way is refused by the metadata. */
#include <stdio.h>
#include <stdlib.h>

#include <chronik/plugin.h>

#include "coord/coord.h"
#include "tests/sim/sim.h"
#include "tests/unit/meta/rig.h"

const struct chronik_plugin *meta_local_plugin(void);
const char *chronik_mutant = "";

enum { SLOTS = 5, ID = 160, SESSION_MS = 10000, REBALANCE_MS = 20000 };

static struct sim_world *w;
static struct os *os;
static struct rig rig;
static struct coord *coords[3]; /* by node id: 1 and 2 */

static const struct wire_str group = {"red", 3};

/* ---- requests ---- */

struct asked {
    struct coord_call call;
    struct arena arena;
    union {
        struct wire_join_group_response join;
        struct wire_sync_group_response sync;
    } out;
    bool ended;
};

struct member {
    char id[ID];
    int32_t generation;
    bool leads;
};

static void doze_ms(int64_t ms)
{
    struct os_flag never = {0};
    os_flag_wait(os, &never, ms * SIM_MS);
}

static void ended(struct coord_call *call)
{
    CONTAINER_OF(call, struct asked, call)->ended = true;
}

static void ask(struct asked *a)
{
    memset(a, 0, sizeof *a);
    arena_init(&a->arena, 0);
    a->call = (struct coord_call){
        .version = 3, .arena = &a->arena, .client_id = wire_str("sim"), .client_host = "/sim", .done = ended};
}

static void forget(struct asked *a)
{
    arena_free(&a->arena);
}

static void await(const struct asked *a)
{
    for (int i = 0; i < 1000 && !a->ended; i++)
        doze_ms(20);
    ck_assert_msg(a->ended, "a request was not answered");
}

static void join_begin(int node, struct asked *a, const char *member)
{
    static uint8_t subscription;
    struct wire_join_group_request_protocol p = wire_join_group_request_protocol_default;
    struct wire_join_group_request q = wire_join_group_request_default;
    p.name = wire_str("range");
    p.metadata = (struct wire_bytes){&subscription, 1};
    q.group_id = group;
    q.session_timeout_ms = SESSION_MS;
    q.rebalance_timeout_ms = REBALANCE_MS;
    q.member_id = wire_str(member);
    q.protocol_type = wire_str("sim");
    q.protocols.v = &p;
    q.protocols.n = 1;
    ask(a);
    a->ended |= coord_join(coords[node], &a->call, &q, &a->out.join) == CHRONIK_DONE;
}

/* The leader gives each of the two members one byte: its place. */
static void sync_begin(int node, struct asked *a, const struct member *m, const struct member both[2])
{
    static const uint8_t plan[2] = {1, 2};
    struct wire_sync_group_request_assignment v[2];
    struct wire_sync_group_request q = wire_sync_group_request_default;
    for (int i = 0; i < 2; i++) {
        v[i] = wire_sync_group_request_assignment_default;
        v[i].member_id = wire_str(both[i].id);
        v[i].assignment = (struct wire_bytes){&plan[i], 1};
    }
    q.group_id = group;
    q.generation_id = m->generation;
    q.member_id = wire_str(m->id);
    q.assignments.v = v;
    q.assignments.n = m->leads ? 2 : 0;
    ask(a);
    a->ended |= coord_sync(coords[node], &a->call, &q, &a->out.sync) == CHRONIK_DONE;
}

static int16_t beat(int node, const struct member *m)
{
    struct wire_heartbeat_request q = wire_heartbeat_request_default;
    q.group_id = group;
    q.generation_id = m->generation;
    q.member_id = wire_str(m->id);
    return coord_heartbeat(coords[node], &q);
}

static void learn(const struct asked *a, struct member *m)
{
    const struct wire_join_group_response *r = &a->out.join;
    ck_assert_int_eq(r->error_code, KAFKA_NONE);
    snprintf(m->id, ID, "%.*s", r->member_id.n, r->member_id.p);
    m->generation = r->generation_id;
    m->leads = wire_str_eq(r->leader, r->member_id);
}

/* Two members in one generation, which still needs its assignment. */
static void join_two(int node, struct member m[2])
{
    struct asked j[2];
    for (int i = 0; i < 2; i++)
        join_begin(node, &j[i], m[i].id);
    for (int i = 0; i < 2; i++) {
        await(&j[i]);
        learn(&j[i], &m[i]);
        forget(&j[i]);
    }
    ck_assert_int_eq(m[0].generation, m[1].generation);
}

static void sync_two(int node, const struct member m[2])
{
    struct asked s[2];
    for (int i = 0; i < 2; i++)
        sync_begin(node, &s[i], &m[i], m);
    for (int i = 0; i < 2; i++) {
        await(&s[i]);
        ck_assert_int_eq(s[i].out.sync.error_code, KAFKA_NONE);
        ck_assert_int_eq(s[i].out.sync.assignment.n, 1);
        ck_assert_int_eq(s[i].out.sync.assignment.p[0], i + 1);
        forget(&s[i]);
    }
}

static void stable_two(int node, struct member m[2])
{
    memset(m, 0, 2 * sizeof *m);
    join_two(node, m);
    sync_two(node, m);
}

static void described(int node, const char *state, int32_t members)
{
    struct wire_describe_groups_response_described_group d;
    struct asked a;
    ask(&a);
    a.call.version = 5;
    coord_describe(coords[node], &a.call, group, &d);
    ck_assert_int_eq(d.error_code, KAFKA_NONE);
    ck_assert_msg(wire_str_is(d.group_state, state), "%.*s", d.group_state.n, d.group_state.p);
    ck_assert_int_eq(d.members.n, members);
    forget(&a);
}

/* ---- commits ---- */

static int16_t may_commit(int node, const struct member *m, int64_t *epoch)
{
    struct coord_commit q = {.group = group,
                             .member_id = wire_str(m->id),
                             .instance_id = {NULL, -1},
                             .generation = m->generation,
                             .version = 8};
    return coord_check_commit(coords[node], &q, epoch);
}

static void commit(const struct member *m, int64_t epoch, int64_t offset)
{
    struct meta_commit_partition p = {.leader_epoch = -1, .offset = offset, .expire_ms = -1};
    struct meta_commit_topic t = {.id = rig_id(1), .name = {"t", 1}, .partitions = &p, .n_partitions = 1};
    struct meta_commit c = {.owner = {(int32_t)coord_slot_of(coords[1], group), epoch},
                            .group = {group.p, (uint32_t)group.n},
                            .generation = m->generation,
                            .topics = &t,
                            .n_topics = 1};
    struct meta_command cmd = {.type = META_CMD_OFFSETS_COMMIT};
    cmd.u.offsets_commit = (struct meta_offsets_commit){&c, 1};
    rig_do(&rig, &cmd);
}

static int64_t committed(void)
{
    struct meta_offset o;
    struct chronik_uuid topic = rig_id(1);
    bool there = meta_offset_get(meta_enter(rig.reader), group.p, (size_t)group.n, &topic, 0, &o);
    meta_leave(rig.reader);
    return there ? o.offset : -1;
}

/* ---- slots ---- */

static struct meta_slot slot_row(void)
{
    struct meta_slot s = meta_slot_of(meta_enter(rig.reader), (int32_t)coord_slot_of(coords[1], group));
    meta_leave(rig.reader);
    return s;
}

static void await_owner(int node)
{
    for (int i = 0; i < 500 && coord_check_slot(coords[node], group, NULL) != KAFKA_NONE; i++)
        doze_ms(20);
    ck_assert_int_eq(coord_check_slot(coords[node], group, NULL), KAFKA_NONE);
}

static void move_only(int node)
{
    struct meta_command c = {.type = META_CMD_COORD_SLOT};
    c.u.coord_slot = (struct meta_coord_slot){(int32_t)coord_slot_of(coords[1], group), node, slot_row().epoch + 1};
    ck_assert_int_eq(rig_do(&rig, &c).code, KAFKA_NONE);
}

static void move(int node)
{
    move_only(node);
    await_owner(node);
    doze_ms(100);                              /* the other one has looked, too */
    ck_assert_int_eq(slot_row().broker, node); /* what FindCoordinator tells */
}

/* ---- two brokers ---- */

static struct coord *coordinator(int32_t node)
{
    struct coord_options o = {.os = os,
                              .node_id = node,
                              .slots = SLOTS,
                              .initial_rebalance_delay_ms = 1000,
                              .min_session_timeout_ms = 1000,
                              .max_session_timeout_ms = 60000,
                              .max_group_size = 1000};
    struct coord *c = coord_new(&o);
    ck_assert_ptr_nonnull(c);
    ck_assert(coord_set_meta(c, rig.m));
    return c;
}

static void register_second(void)
{
    static const struct meta_endpoint ep = {"PLAINTEXT", "second", 9092, 0};
    struct meta_command c = {.type = META_CMD_BROKER_REGISTER};
    c.u.broker_register = (struct meta_broker_register){
        .id = 2, .incarnation = rig_id(77), .boot = 1, .endpoints = &ep, .n_endpoints = 1};
    ck_assert_int_eq(rig_do(&rig, &c).code, KAFKA_NONE);
}

static void begin(void)
{
    struct err e;
    ck_assert_msg(rig_begin(&rig), "%s", rig.failed_text);
    coords[1] = coordinator(1);
    coords[2] = coordinator(2);
    ck_assert_int_eq(meta_start(rig.m, &e), CHRONIK_DONE);
    ck_assert(os_flag_wait(os, &rig.registered, 20 * SIM_S));
    ck_assert_int_eq(rig_create(&rig, "t", 1, 1).code, 0);
    coord_start(coords[1]);
    await_owner(1);
    register_second();
    coord_start(coords[2]);
    doze_ms(500);
    ck_assert_int_eq(coord_check_slot(coords[2], group, NULL), KAFKA_NOT_COORDINATOR);
}

static void end(void)
{
    for (int i = 1; i <= 2; i++)
        coord_stop(coords[i]);
    rig_close(&rig);
    for (int i = 1; i <= 2; i++)
        coord_free(coords[i]);
    rig_free(&rig);
}

static void (*story)(void);

static void live(void *arg)
{
    begin();
    story();
    end();
}

static void play(void (*fn)(void))
{
    story = fn;
    w = sim_world_new(7);
    os = sim_node(w, "n1");
    struct meta_kv_table *kv = meta_kv_mem_new();
    rig_init(&rig, os, meta_local_plugin()->ops);
    rig.opt.checkpoint = "/state";
    rig.opt.kv = kv;
    ck_assert(sim_call(os, live, NULL));
    kv->close(kv);
    sim_world_free(w);
}

/* ---- stories ---- */

static void members_follow(void)
{
    struct member m[2];
    struct coord_stats stats;
    int64_t epoch;
    stable_two(1, m);
    for (int round = 0; round < 4; round++) {
        int from = 1 + round % 2, to = 3 - from;
        move(to);
        for (int i = 0; i < 2; i++) {
            ck_assert_int_eq(beat(from, &m[i]), KAFKA_NOT_COORDINATOR);
            ck_assert_int_eq(beat(to, &m[i]), KAFKA_NONE);
            ck_assert_int_eq(may_commit(from, &m[i], &epoch), KAFKA_NOT_COORDINATOR);
            ck_assert_int_eq(may_commit(to, &m[i], &epoch), KAFKA_NONE);
            commit(&m[i], epoch, round * 10 + i);
            ck_assert_int_eq(committed(), round * 10 + i);
        }
        described(to, "Stable", 2);
    }
    coord_stats_get(coords[2], &stats);
    ck_assert_uint_eq(stats.rebalances, 0);
    coord_stats_get(coords[1], &stats);
    ck_assert_uint_eq(stats.rebalances, 1);
    ck_assert_uint_eq(stats.members, 2);
}

static void a_commit_under_way(void)
{
    struct member m[2];
    int64_t old, now;
    stable_two(1, m);
    ck_assert_int_eq(may_commit(1, &m[0], &old), KAFKA_NONE);
    commit(&m[0], old, 5);
    ck_assert_int_eq(committed(), 5);
    move(2);
    commit(&m[0], old, 9); /* was allowed before, arrives behind the move */
    ck_assert_int_eq(committed(), 5);
    ck_assert_int_eq(may_commit(2, &m[0], &now), KAFKA_NONE);
    ck_assert_int_gt(now, old);
    commit(&m[0], now, 6);
    ck_assert_int_eq(committed(), 6);
}

/* The old owner has not heard of the move when the leader's assignment comes: the metadata refuses the generation. */
static void an_assignment_under_way(void)
{
    struct member m[2] = {{{0}, 0, false}};
    struct asked s[2];
    join_two(1, m);
    move_only(2);
    for (int i = 0; i < 2; i++)
        sync_begin(1, &s[i], &m[i], m);
    for (int i = 0; i < 2; i++) {
        await(&s[i]);
        ck_assert_int_eq(s[i].out.sync.error_code, KAFKA_NOT_COORDINATOR);
        forget(&s[i]);
    }
    await_owner(2);
    /* The generation was never complete: they join anew. */
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(beat(2, &m[i]), KAFKA_UNKNOWN_MEMBER_ID);
    stable_two(2, m);
    described(2, "Stable", 2);
}

static void a_join_that_waits(void)
{
    struct member m[2];
    struct asked third;
    stable_two(1, m);
    join_begin(1, &third, "");
    doze_ms(200); /* the others have not rejoined yet */
    ck_assert(!third.ended);
    move(2);
    await(&third);
    ck_assert_int_eq(third.out.join.error_code, KAFKA_NOT_COORDINATOR);
    forget(&third);
    /* The rebalance that it had begun died with the move. */
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(beat(2, &m[i]), KAFKA_NONE);
    described(2, "Stable", 2);
}

static void a_member_that_never_comes(void)
{
    struct member m[2];
    stable_two(1, m);
    move(2);
    for (int i = 0; i < 8; i++) {
        ck_assert_int_eq(beat(2, &m[0]), KAFKA_NONE);
        doze_ms(1000);
    }
    described(2, "Stable", 2); /* one session timeout is granted */
    doze_ms(3000);
    ck_assert_int_eq(beat(2, &m[0]), KAFKA_REBALANCE_IN_PROGRESS);
    ck_assert_int_eq(beat(2, &m[1]), KAFKA_UNKNOWN_MEMBER_ID);
}

START_TEST(members_follow_the_slot_and_nobody_rejoins)
{
    play(members_follow);
}
END_TEST

START_TEST(a_commit_that_the_old_owner_allowed_is_refused_behind_the_move)
{
    play(a_commit_under_way);
}
END_TEST

START_TEST(a_generation_that_the_old_owner_completes_behind_the_move_is_refused)
{
    play(an_assignment_under_way);
}
END_TEST

START_TEST(who_waits_at_the_old_owner_is_sent_away_and_the_group_is_as_it_was)
{
    play(a_join_that_waits);
}
END_TEST

START_TEST(a_member_that_never_comes_is_removed_by_the_new_owner_after_its_session)
{
    play(a_member_that_never_comes);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("slots that move");
    TCase *t = tcase_create("moves");
    tcase_add_test(t, members_follow_the_slot_and_nobody_rejoins);
    tcase_add_test(t, a_commit_that_the_old_owner_allowed_is_refused_behind_the_move);
    tcase_add_test(t, a_generation_that_the_old_owner_completes_behind_the_move_is_refused);
    tcase_add_test(t, who_waits_at_the_old_owner_is_sent_away_and_the_group_is_as_it_was);
    tcase_add_test(t, a_member_that_never_comes_is_removed_by_the_new_owner_after_its_session);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
