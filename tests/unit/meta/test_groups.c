/* test_groups.c: groups, committed offsets and coordinator slots in the metadata state machine: what apply accepts and
 * refuses, what readers find, what goes with a deleted topic or group, and that all of it comes back from rows. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "state_rig.h"

static const int32_t alone[] = {1};

static void up_with_topics(void)
{
    up();
    ck_assert_int_eq(reg(1, 1, 9, false), 0);
    ck_assert_int_eq(create("orders", 1, 4, alone, 1), 0);
    ck_assert_int_eq(create("bills", 2, 2, alone, 1), 0);
}

static struct meta_span span(const char *s)
{
    return (struct meta_span){s, (uint32_t)strlen(s)};
}

/* One commit of partition `p` of a topic. */
struct one {
    struct meta_commit commit;
    struct meta_commit_topic topic;
    struct meta_commit_partition part;
};

static void one_of(struct one *o, const char *group, int32_t generation, uint64_t topic, int32_t p, int64_t offset)
{
    o->part = (struct meta_commit_partition){
        .partition = p, .leader_epoch = 3, .offset = offset, .expire_ms = -1, .metadata = span("m\"1")};
    o->topic = (struct meta_commit_topic){.id = id_of(topic), .name = span("name"), .partitions = &o->part};
    o->topic.n_partitions = 1;
    o->commit = (struct meta_commit){.group = span(group), .generation = generation, .topics = &o->topic};
    o->commit.n_topics = 1;
}

static int16_t commit(const char *group, int32_t generation, uint64_t topic, int32_t p, int64_t offset)
{
    struct one o;
    one_of(&o, group, generation, topic, p, offset);
    struct meta_command c = {.type = META_CMD_OFFSETS_COMMIT, .timestamp_ms = 1000 + offset};
    c.u.offsets_commit = (struct meta_offsets_commit){&o.commit, 1};
    ck_assert_int_eq(apply(&c), 0);
    return last.outs[0].codes ? last.outs[0].codes[0] : 0;
}

static const struct meta_member two[] = {{.id = "a-1",
                                          .instance = "static",
                                          .client_id = "a",
                                          .client_host = "/127.0.0.1",
                                          .rebalance_timeout_ms = 60000,
                                          .session_timeout_ms = 45000,
                                          .subscription = "sub\0a",
                                          .assignment = "as",
                                          .n_subscription = 5,
                                          .n_assignment = 2},
                                         {.id = "b-2", .client_id = "b", .client_host = "/127.0.0.1"}};

static int16_t set(const char *group, int32_t generation, uint32_t members)
{
    struct meta_command c = {.type = META_CMD_GROUP_SET, .timestamp_ms = 5};
    c.u.group_set.group = (struct meta_group){.id = group,
                                              .protocol_type = "consumer",
                                              .protocol = members ? "range" : NULL,
                                              .leader = members ? "a-1" : NULL,
                                              .generation = generation,
                                              .state_ms = 123,
                                              .members = two,
                                              .n_members = members};
    return apply(&c);
}

static int16_t del(const char *group, bool if_unused)
{
    struct meta_command c = {.type = META_CMD_GROUP_DELETE};
    c.u.group_delete = (struct meta_group_delete){.group = group, .if_unused = if_unused};
    return apply(&c);
}

static int64_t offset_of(const char *group, uint64_t topic, int32_t p)
{
    struct meta_offset o;
    struct chronik_uuid id = id_of(topic);
    return meta_offset_get(&st.img, group, strlen(group), &id, p, &o) ? o.offset : -1;
}

START_TEST(a_completed_generation_is_kept_whole_and_an_older_one_refused)
{
    struct meta_group g;
    struct arena a;
    arena_init(&a, 0);
    ck_assert(!meta_group_get(&st.img, "g", 1, &a, &g));
    ck_assert_int_eq(set("g", 5, 2), 0);
    ck_assert(meta_group_get(&st.img, "g", 1, &a, &g));
    ck_assert_str_eq(g.id, "g");
    ck_assert_str_eq(g.protocol_type, "consumer");
    ck_assert_str_eq(g.protocol, "range");
    ck_assert_str_eq(g.leader, "a-1");
    ck_assert_int_eq(g.generation, 5);
    ck_assert_int_eq(g.state_ms, 123);
    ck_assert_uint_eq(g.n_members, 2);
    ck_assert_str_eq(g.members[0].instance, "static");
    ck_assert_int_eq(g.members[0].session_timeout_ms, 45000);
    ck_assert_mem_eq(g.members[0].subscription, "sub\0a", 5);
    ck_assert_ptr_null(g.members[1].instance);
    ck_assert_uint_eq(g.members[1].n_assignment, 0);
    ck_assert_int_eq(set("g", 4, 1), KAFKA_ILLEGAL_GENERATION);
    ck_assert_int_eq(set("g", 5, 1), 0);
    ck_assert_int_eq(set("g", 6, 0), 0);
    ck_assert(meta_group_get(&st.img, "g", 1, NULL, &g));
    ck_assert_uint_eq(g.n_members, 0);
    ck_assert_ptr_null(g.protocol);
    ck_assert_uint_eq(meta_group_count(&st.img), 1);
    arena_free(&a);
}
END_TEST

START_TEST(commits_follow_the_generation_and_simple_ones_only_an_empty_group)
{
    struct meta_group g;
    struct meta_offset o;
    struct chronik_uuid id = id_of(1);
    ck_assert_int_eq(commit("g", 3, 1, 0, 10), KAFKA_ILLEGAL_GENERATION); /* no such group */
    ck_assert_int_eq(commit("g", -1, 1, 0, 10), 0);
    ck_assert(meta_group_get(&st.img, "g", 1, NULL, &g)); /* the simple commit made it */
    ck_assert_ptr_null(g.protocol_type);
    ck_assert_int_eq(g.generation, 0);
    ck_assert_int_eq(g.state_ms, 1010);
    ck_assert_int_eq(set("g", 1, 2), 0);
    ck_assert_int_eq(offset_of("g", 1, 0), 10);
    ck_assert_int_eq(commit("g", -1, 1, 0, 11), KAFKA_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(commit("g", 0, 1, 0, 11), KAFKA_ILLEGAL_GENERATION);
    ck_assert_int_eq(offset_of("g", 1, 0), 10);
    ck_assert_int_eq(commit("g", 1, 1, 0, 12), 0);
    ck_assert(meta_offset_get(&st.img, "g", 1, &id, 0, &o));
    ck_assert_int_eq(o.offset, 12);
    ck_assert_int_eq(o.leader_epoch, 3);
    ck_assert_int_eq(o.commit_ms, 1012);
    ck_assert_int_eq(o.expire_ms, -1);
    ck_assert_str_eq(o.metadata, "m\"1");
    ck_assert_int_eq(commit("g", 1, 1, 4, 12), 0); /* no such partition, as of a topic that went */
    ck_assert_int_eq(commit("g", 1, 77, 0, 12), 0);
    ck_assert_uint_eq(meta_offset_count(&st.img), 1);
    ck_assert_int_eq(set("g", 2, 0), 0);
    ck_assert_int_eq(commit("g", -1, 1, 0, 5), 0); /* an operator's reset */
    ck_assert_int_eq(offset_of("g", 1, 0), 5);
}
END_TEST

START_TEST(many_groups_share_a_command_and_each_has_its_own_result)
{
    struct one o[3];
    struct meta_commit commits[3];
    static const char *const names[] = {"a", "b", "c"};
    ck_assert_int_eq(set("b", 7, 2), 0);
    for (int i = 0; i < 3; i++) {
        one_of(&o[i], names[i], i == 1 ? 6 : -1, 1, i, 100 + i);
        commits[i] = o[i].commit;
    }
    struct meta_command c = {.type = META_CMD_OFFSETS_COMMIT, .timestamp_ms = 9};
    c.u.offsets_commit = (struct meta_offsets_commit){commits, 3};
    struct meta_envelope env = envelope();
    ck_assert_int_eq(apply(&c), 0);
    ck_assert_uint_eq(last.outs[0].n_codes, 3);
    ck_assert_int_eq(last.outs[0].codes[0], 0);
    ck_assert_int_eq(last.outs[0].codes[1], KAFKA_ILLEGAL_GENERATION);
    ck_assert_int_eq(last.outs[0].codes[2], 0);
    ck_assert_int_eq(offset_of("a", 1, 0), 100);
    ck_assert_int_eq(offset_of("b", 1, 1), -1);
    ck_assert_int_eq(offset_of("c", 1, 2), 102);
    ck_assert_int_eq(apply_as(env, &c, 1), META_REPEAT); /* the kept results have the codes, too */
    ck_assert_uint_eq(last.outs[0].n_codes, 3);
    ck_assert_int_eq(last.outs[0].codes[1], KAFKA_ILLEGAL_GENERATION);
    ck_assert_int_eq(last.outs[0].codes[2], 0);
}
END_TEST

START_TEST(a_group_goes_with_its_offsets_and_not_while_it_has_members)
{
    struct meta_group g;
    struct meta_cursor c;
    struct meta_offset o;
    ck_assert_int_eq(del("g", false), KAFKA_GROUP_ID_NOT_FOUND);
    ck_assert_int_eq(set("g", 1, 1), 0);
    for (int p = 0; p < 4; p++)
        ck_assert_int_eq(commit("g", 1, 1, p, p), 0);
    ck_assert_int_eq(commit("g2", -1, 1, 0, 9), 0); /* a name that begins alike */
    ck_assert_int_eq(commit("", -1, 1, 0, 8), 0);
    ck_assert_int_eq(del("g", false), KAFKA_NON_EMPTY_GROUP);
    ck_assert_int_eq(set("g", 2, 0), 0);
    ck_assert_int_eq(del("g", true), KAFKA_NON_EMPTY_GROUP);
    int n = 0;
    for (bool more = meta_offsets_first(&st.img, &c, "g", 1, &o); more; more = meta_offsets_next(&c, "g", 1, &o))
        ck_assert_int_eq(o.partition, n++);
    ck_assert_int_eq(n, 4);
    ck_assert_int_eq(del("g", false), 0);
    ck_assert(!meta_group_get(&st.img, "g", 1, NULL, &g));
    ck_assert(!meta_offsets_first(&st.img, &c, "g", 1, &o));
    ck_assert_uint_eq(meta_offset_count(&st.img), 2);
    ck_assert(meta_groups_first(&st.img, &c, NULL, &g));
    ck_assert_str_eq(g.id, "");
    ck_assert(meta_groups_next(&c, NULL, &g));
    ck_assert_str_eq(g.id, "g2");
    ck_assert(!meta_groups_next(&c, NULL, &g));
    ck_assert(meta_groups_from(&st.img, &c, "g", 1, NULL, &g));
    ck_assert_str_eq(g.id, "g2");
    ck_assert(meta_offsets_first(&st.img, &c, "", 0, &o));
    ck_assert_int_eq(o.offset, 8);
    ck_assert_int_eq(set("empty", 1, 0), 0);
    ck_assert_int_eq(del("empty", true), 0);
}
END_TEST

START_TEST(offsets_of_a_topic_go_with_it_and_only_they)
{
    for (int i = 0; i < 300; i++) {
        char group[16];
        snprintf(group, sizeof group, "g%d", i % 50);
        ck_assert_int_eq(commit(group, -1, 1 + (uint64_t)(i % 2), i % 2, i), 0);
    }
    ck_assert_uint_eq(meta_offset_count(&st.img), 50);
    ck_assert_int_eq(drop_topic(1), 0);
    ck_assert_uint_eq(meta_offset_count(&st.img), 25);
    ck_assert_uint_eq(st.img.users.count, 25);
    ck_assert_int_eq(offset_of("g0", 1, 0), -1);
    ck_assert_int_eq(offset_of("g1", 2, 1), 251);
    ck_assert_uint_eq(meta_group_count(&st.img), 50); /* empty groups go with the sweep */
    ck_assert_int_eq(create("orders", 9, 1, alone, 1), 0);
    ck_assert_int_eq(offset_of("g0", 9, 0), -1);
}
END_TEST

static int16_t expire(const char *group, uint64_t topic, int32_t p, int64_t commit_ms)
{
    struct meta_offset_key k = {.topic = id_of(topic), .name = span("n"), .partition = p, .commit_ms = commit_ms};
    struct meta_command c = {.type = META_CMD_OFFSETS_DELETE};
    c.u.offsets_delete = (struct meta_offsets_delete){.group = span(group), .keys = &k, .n_keys = 1};
    return apply(&c);
}

START_TEST(a_deletion_for_expiry_leaves_an_offset_that_was_committed_since)
{
    ck_assert_int_eq(expire("g", 1, 0, -1), KAFKA_GROUP_ID_NOT_FOUND);
    ck_assert_int_eq(commit("g", -1, 1, 0, 7), 0);
    ck_assert_int_eq(expire("g", 1, 0, 1006), 0);
    ck_assert_int_eq(last.outs[0].values[0], 0);
    ck_assert_int_eq(offset_of("g", 1, 0), 7);
    ck_assert_int_eq(expire("g", 1, 1, 1007), 0);
    ck_assert_int_eq(expire("g", 1, 0, 1007), 0);
    ck_assert_int_eq(last.outs[0].values[0], 1);
    ck_assert_int_eq(offset_of("g", 1, 0), -1);
    ck_assert_uint_eq(st.img.users.count, 0);
}
END_TEST

START_TEST(a_slot_goes_to_a_later_epoch_and_what_an_earlier_owner_proposes_is_refused)
{
    struct meta_command c = {.type = META_CMD_COORD_SLOT};
    c.u.coord_slot = (struct meta_coord_slot){.slot = 3, .broker = 1, .epoch = 2};
    ck_assert_int_eq(meta_slot_of(&st.img, 3).broker, -1);
    ck_assert_int_eq(apply(&c), 0);
    ck_assert_int_eq(apply(&c), KAFKA_NOT_COORDINATOR);
    ck_assert_int_eq(meta_slot_of(&st.img, 3).broker, 1);
    ck_assert_int_eq(meta_slot_of(&st.img, 3).epoch, 2);
    c.u.coord_slot = (struct meta_coord_slot){.slot = 4, .broker = 99, .epoch = 1};
    ck_assert_int_eq(apply(&c), KAFKA_INVALID_REQUEST);
    struct meta_owner old = {.slot = 3, .epoch = 1};
    struct meta_command g = {.type = META_CMD_GROUP_SET};
    g.u.group_set = (struct meta_group_set){.owner = old, .group = {.id = "g"}};
    ck_assert_int_eq(apply(&g), KAFKA_NOT_COORDINATOR);
    g.u.group_set.owner.epoch = 2;
    ck_assert_int_eq(apply(&g), 0);
    struct meta_command d = {.type = META_CMD_GROUP_DELETE};
    d.u.group_delete = (struct meta_group_delete){.owner = old, .group = "g"};
    ck_assert_int_eq(apply(&d), KAFKA_NOT_COORDINATOR);
    struct one o;
    one_of(&o, "g", -1, 1, 0, 1);
    o.commit.owner = old;
    struct meta_command k = {.type = META_CMD_OFFSETS_COMMIT};
    k.u.offsets_commit = (struct meta_offsets_commit){&o.commit, 1};
    ck_assert_int_eq(apply(&k), 0);
    ck_assert_int_eq(last.outs[0].codes[0], KAFKA_NOT_COORDINATOR);
    struct meta_command e = {.type = META_CMD_OFFSETS_DELETE};
    e.u.offsets_delete = (struct meta_offsets_delete){.owner = old, .group = span("g")};
    ck_assert_int_eq(apply(&e), KAFKA_NOT_COORDINATOR);
}
END_TEST

START_TEST(names_that_no_row_can_hold_are_refused)
{
    char name[META_GROUP_ID_MAX + 2];
    memset(name, 'x', sizeof name);
    name[META_GROUP_ID_MAX] = 0;
    ck_assert_int_eq(set(name, 1, 0), 0);
    ck_assert_int_eq(commit(name, -1, 1, 0, 1), 0);
    ck_assert_int_eq(offset_of(name, 1, 0), 1);
    name[META_GROUP_ID_MAX] = 'x';
    name[META_GROUP_ID_MAX + 1] = 0;
    ck_assert_int_eq(set(name, 1, 0), KAFKA_INVALID_GROUP_ID);
    ck_assert_int_eq(commit(name, -1, 1, 0, 1), KAFKA_INVALID_GROUP_ID);
    ck_assert_int_eq(offset_of(name, 1, 0), -1);
    ck_assert_int_eq(del(name, false), KAFKA_GROUP_ID_NOT_FOUND);
}
END_TEST

START_TEST(groups_offsets_and_slots_come_back_from_their_rows)
{
    ck_assert_int_eq(set("stable", 4, 2), 0);
    struct meta_command c = {.type = META_CMD_COORD_SLOT};
    c.u.coord_slot = (struct meta_coord_slot){.slot = 0, .broker = 1, .epoch = 1};
    for (int i = 0; i < 200; i++) {
        char group[16];
        snprintf(group, sizeof group, "g%d", i);
        ck_assert_int_eq(commit(group, -1, 1 + (uint64_t)(i % 2), i % 2, i), 0);
    }
    ck_assert_int_eq(apply(&c), 0);
    struct meta_state was = st, copy;
    restore_into(&copy);
    st = copy;
    ck_assert_int_eq(meta_slot_of(&st.img, 0).epoch, 1);
    ck_assert_int_eq(offset_of("g199", 2, 1), 199);
    ck_assert_int_eq(drop_topic(2), 0); /* the index by topic came back */
    ck_assert_int_eq(offset_of("g199", 2, 1), -1);
    ck_assert_uint_eq(meta_offset_count(&st.img), 100);
    meta_state_free(&st);
    st = was;
    static const uint8_t bad[][8] = {"Ox\0", "Gx", "Gx\0y", "S\0\0\0\0\1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert(!meta_restore_row(&st, bad[i], 4 + (i == 3) * 2, "\1\0\0\0", 4));
}
END_TEST

static void json_of(const struct meta_command *c, struct meta_buf *b)
{
    struct meta_buf e = {0};
    meta_cmd_encode(c, &e);
    struct meta_rd r = mr_of(e.p, e.n);
    struct meta_command d;
    uint64_t type;
    uint8_t version;
    ck_assert_int_eq(meta_cmd_decode(&r, &st.arena, &d, &type, &version), 1);
    b->n = 0;
    mj_raw(b, "{");
    meta_cmd_def(type)->json(&d, b);
    mj_raw(b, "}");
    mb_u8(b, 0);
    mb_free(&e);
}

START_TEST(the_records_of_meta_name_group_topic_partition_and_members)
{
    struct one o;
    one_of(&o, "g", 2, 1, 3, 44);
    struct meta_command c = {.type = META_CMD_OFFSETS_COMMIT};
    c.u.offsets_commit = (struct meta_offsets_commit){&o.commit, 1};
    struct meta_buf b = {0};
    json_of(&c, &b);
    ck_assert_str_eq((char *)b.p,
                     "{\"commits\":[{\"group\":\"g\",\"slot\":0,\"slotEpoch\":0,\"generation\":2,\"topics\":[{"
                     "\"topic\":\"name\",\"topicId\":\"BwAAAAAAAAAAAAAAAAAAAQ\",\"partitions\":[{"
                     "\"partition\":3,\"offset\":44,\"leaderEpoch\":3,\"metadata\":\"m\\\"1\"}]}]}]}");
    c = (struct meta_command){.type = META_CMD_GROUP_SET};
    c.u.group_set.group = (struct meta_group){.id = "g", .protocol_type = "consumer", .members = two, .n_members = 1};
    json_of(&c, &b);
    ck_assert_ptr_nonnull(strstr((char *)b.p, "\"memberId\":\"a-1\",\"groupInstanceId\":\"static\""));
    ck_assert_ptr_nonnull(strstr((char *)b.p, "\"subscription\":\"c3ViAGE=\",\"assignment\":\"YXM=\""));
    mb_free(&b);
}
END_TEST

START_TEST(every_log_of_the_groups_corpus_leads_to_the_digests_that_were_recorded)
{
    down();
    up();
    corpus_check("v1-groups.log");
}
END_TEST

static void record_all(void)
{
    static const struct meta_endpoint ep = {"PLAINTEXT", "a", 9092, 0};
    struct meta_assignment a[2] = {{alone, NULL, 1}, {alone, NULL, 1}};
    struct one o[3];
    struct meta_commit commits[3];
    one_of(&o[0], "g", 2, 1, 0, 11);
    one_of(&o[1], "simple", -1, 1, 1, 12);
    one_of(&o[2], "g", 1, 1, 1, 13); /* refused */
    for (int i = 0; i < 3; i++) {
        o[i].commit.owner = (struct meta_owner){i == 1 ? 9 : 7, i == 1 ? 0 : 1};
        commits[i] = o[i].commit;
    }
    struct meta_offset_key k = {id_of(1), span("orders"), 1, -1};
    struct meta_group g = {.id = "g",
                           .protocol_type = "consumer",
                           .protocol = "range",
                           .leader = "a-1",
                           .generation = 2,
                           .state_ms = 77,
                           .members = two,
                           .n_members = 2};
    struct meta_group empty = {.id = "g", .protocol_type = "consumer", .generation = 3, .state_ms = 78};
    struct meta_owner own = {7, 1}, none = {9, 0};
#define C(T, m, ...)                                                                                                   \
    {                                                                                                                  \
        .type = T, .timestamp_ms = 1700000000000 + (int64_t)number, .u.m = { __VA_ARGS__ }                             \
    }
    struct meta_command all[] = {
        C(META_CMD_BROKER_REGISTER, broker_register, .id = 1, .boot = 1, .incarnation = me, .endpoints = &ep,
          .n_endpoints = 1),
        C(META_CMD_TOPIC_CREATE, topic_create, .id = id_of(1), .name = "orders", .partitions = a, .n_partitions = 2),
        C(META_CMD_COORD_SLOT, coord_slot, .slot = 7, .broker = 1, .epoch = 1),
        C(META_CMD_GROUP_SET, group_set, .owner = own, .group = g),
        C(META_CMD_OFFSETS_COMMIT, offsets_commit, .commits = commits, .n_commits = 3),
        C(META_CMD_GROUP_DELETE, group_delete, .owner = own, .group = "g"),
        C(META_CMD_OFFSETS_DELETE, offsets_delete, .owner = none, .group = span("simple"), .keys = &k, .n_keys = 1),
        C(META_CMD_GROUP_DELETE, group_delete, .owner = none, .group = "simple", .if_unused = true),
        C(META_CMD_GROUP_SET, group_set, .owner = own, .group = empty),
        C(META_CMD_TOPIC_DELETE, topic_delete, .id = id_of(1)),
        C(META_CMD_GROUP_DELETE, group_delete, .owner = own, .group = "g", .if_unused = true),
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        corpus_record(&all[i], 1);
}

int main(void)
{
    if (getenv("CHRONIK_META_RECORD")) {
        up();
        record_all();
        down();
        return 0;
    }
    Suite *s = suite_create("groups in the metadata state");
    TCase *t = tcase_create("groups");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, up_with_topics, down);
    tcase_add_test(t, a_completed_generation_is_kept_whole_and_an_older_one_refused);
    tcase_add_test(t, commits_follow_the_generation_and_simple_ones_only_an_empty_group);
    tcase_add_test(t, many_groups_share_a_command_and_each_has_its_own_result);
    tcase_add_test(t, a_group_goes_with_its_offsets_and_not_while_it_has_members);
    tcase_add_test(t, offsets_of_a_topic_go_with_it_and_only_they);
    tcase_add_test(t, a_deletion_for_expiry_leaves_an_offset_that_was_committed_since);
    tcase_add_test(t, a_slot_goes_to_a_later_epoch_and_what_an_earlier_owner_proposes_is_refused);
    tcase_add_test(t, names_that_no_row_can_hold_are_refused);
    tcase_add_test(t, groups_offsets_and_slots_come_back_from_their_rows);
    tcase_add_test(t, the_records_of_meta_name_group_topic_partition_and_members);
    tcase_add_test(t, every_log_of_the_groups_corpus_leads_to_the_digests_that_were_recorded);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
