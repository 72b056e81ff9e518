/* Unit tests of one replica of the Raft core: what it counts, what it says, what it refuses. Names carry the id of the
 * failure that they would have caught. */
#include "solo.h"

static struct solo solo;

static void setup(void)
{
    memset(&solo, 0, sizeof solo);
    solo_allowed = -1;
}

static void teardown(void)
{
    solo_allowed = -1;
    if (solo.r != NULL) {
        rc_free(solo.r);
    }
}

static void start(uint64_t voters)
{
    struct rc_config cfg = solo_config(&solo, 1);

    solo_start(&solo, &cfg, voters, NULL, 0);
}

START_TEST(s4_a_single_voter_commits_and_applies_by_readies_alone)
{
    start(1);
    rc_campaign(solo.r);
    solo_settle(&solo);
    ck_assert_int_eq(solo_status(&solo).role, RC_LEADER);
    ck_assert_int_eq(solo_propose(&solo, 10), RC_OK);
    solo_settle(&solo);
    ck_assert_uint_eq(solo_status(&solo).applied, 3);
    ck_assert_uint_eq(solo_status(&solo).commit, solo_status(&solo).last);
}
END_TEST

START_TEST(s4_work_that_follows_from_an_acknowledgement_is_in_the_next_ready)
{
    struct rc_ready rd;

    start(1);
    rc_campaign(solo.r);
    solo_settle(&solo);
    solo_propose(&solo, 10);
    rc_ready(solo.r, &rd); /* the entry, and our acknowledgement to ourselves */
    ck_assert_uint_eq(rd.n_entries, 1);
    ck_assert_uint_eq(rd.n_committed, 0);
    ck_assert(!rc_has_ready(solo.r));
    rc_step(solo.r, &rd.after[0]);
    ck_assert(rc_has_ready(solo.r)); /* commit has moved */
    rc_persisted(solo.r, &rd.ack);
    rc_ready_release(&rd);
    rc_ready(solo.r, &rd);
    ck_assert_uint_eq(rd.n_committed, 1);
    rc_ready_release(&rd);
}
END_TEST

START_TEST(s3_a_configuration_change_that_was_not_carried_out_cannot_be_passed)
{
    struct rc_conf_change change = {.n = 1, .v = {{.op = RC_ADD_LEARNER, .id = 9}}};

    start(1);
    rc_campaign(solo.r);
    solo_settle(&solo);
    ck_assert_int_eq(rc_propose_conf(solo.r, &change, false, NULL, NULL), RC_OK);
    solo.expect_stop = true;
    if (setjmp(solo.stopped) == 0) {
        while (rc_has_ready(solo.r)) {
            struct rc_ready rd;
            uint64_t last;

            rc_ready(solo.r, &rd);
            for (uint32_t i = 0; i < rd.n_after; i++) {
                rc_step(solo.r, &rd.after[i]);
            }
            rc_persisted(solo.r, &rd.ack);
            last = rd.n_committed > 0 ? rd.committed[rd.n_committed - 1].index : 0;
            rc_ready_release(&rd);
            if (last > 0) {
                rc_applied(solo.r, last); /* handed to the command decoder, as once */
            }
        }
        ck_abort_msg("a change passed unnoticed");
    }
    ck_assert(strstr(solo.why, "without rc_apply_conf") != NULL);
}
END_TEST

START_TEST(s3_a_configuration_change_takes_effect_once)
{
    struct rc_conf_change change = {.n = 1, .v = {{.op = RC_ADD_LEARNER, .id = 9}}};
    struct rc_entry entry = {.type = RC_ENTRY_CONF};
    struct rc_status st;

    start(1);
    rc_campaign(solo.r);
    solo_settle(&solo);
    rc_propose_conf(solo.r, &change, false, &entry.index, &entry.term);
    solo_settle(&solo);
    st = solo_status(&solo);
    ck_assert(rc_ids_has(&st.conf.learners, 9));
    entry.data = rc_conf_encode(&solo_alloc, &change);
    ck_assert_int_eq(rc_apply_conf(solo.r, &entry, NULL), RC_INVALID);
    rc_buf_unref(entry.data);
}
END_TEST

START_TEST(s8_a_leader_that_hears_nobody_steps_down)
{
    struct rc_config cfg = solo_config(&solo, 1);

    cfg.check_quorum = true;
    solo_start(&solo, &cfg, 3, NULL, 0);
    solo_lead(&solo);
    for (uint32_t i = 0; i < 2 * cfg.election_ticks; i++) {
        rc_tick(solo.r);
    }
    ck_assert_int_ne(solo_status(&solo).role, RC_LEADER);
}
END_TEST

START_TEST(s8_asking_for_transfers_does_not_put_off_the_check_of_the_quorum)
{
    struct rc_config cfg = solo_config(&solo, 1);

    cfg.check_quorum = true;
    solo_start(&solo, &cfg, 3, NULL, 0);
    solo_lead(&solo);
    for (uint32_t i = 0; i < 3 * cfg.election_ticks; i++) {
        rc_transfer(solo.r, 2 + i % 2);
        rc_tick(solo.r);
    }
    ck_assert_int_ne(solo_status(&solo).role, RC_LEADER);
}
END_TEST

START_TEST(s8_a_follower_of_a_live_leader_ignores_other_candidates_until_it_forgets_it)
{
    struct rc_config cfg = solo_config(&solo, 1);
    struct rc_msg ask = {.type = RC_MSG_PRE_VOTE, .from = 3, .term = 2, .index = 1, .log_term = 1};
    struct rc_ready rd;

    cfg.check_quorum = cfg.pre_vote = true;
    solo_start(&solo, &cfg, 3, NULL, 0);
    solo_step(&solo, (struct rc_msg){.type = RC_MSG_HEARTBEAT, .from = 2, .term = 1});
    solo_settle(&solo);
    solo_step(&solo, ask);
    ck_assert(!rc_has_ready(solo.r));
    rc_forget_leader(solo.r); /* evidence: its stream was reset and its port refuses */
    solo_swallow(&solo);
    solo_step(&solo, ask);
    rc_ready(solo.r, &rd);
    ck_assert_uint_eq(rd.n_after, 1);
    ck_assert(!rd.after[0].reject);
    rc_ready_release(&rd);
    ck_assert_uint_eq(solo_status(&solo).term, 1);
}
END_TEST

START_TEST(s8_a_pre_vote_of_an_earlier_round_is_not_counted)
{
    struct rc_config cfg = solo_config(&solo, 1);
    struct rc_msg late = {.type = RC_MSG_PRE_VOTE_REPLY, .from = 2, .term = 2};

    cfg.pre_vote = true;
    solo_start(&solo, &cfg, 3, NULL, 0);
    rc_campaign(solo.r);
    solo_settle(&solo);
    late.context = solo.r->round;
    rc_campaign(solo.r);
    solo_settle(&solo);
    ck_assert_uint_ne(solo.r->round, late.context);
    solo_step(&solo, late);
    ck_assert_int_eq(solo_status(&solo).role, RC_PRE_CANDIDATE);
    late.context = solo.r->round;
    solo_step(&solo, late);
    ck_assert_int_eq(solo_status(&solo).role, RC_CANDIDATE);
}
END_TEST

START_TEST(s9_no_read_is_answered_before_an_entry_of_the_own_term_is_committed)
{
    struct rc_ready rd;
    uint32_t answered = 0;

    start(3);
    solo_lead(&solo);
    rc_read_index(solo.r, 77);
    ck_assert_uint_eq(solo_count(&solo, RC_MSG_HEARTBEAT, 0), 0);
    solo_ack(&solo, 1, 2);
    solo_ack(&solo, 2, 2); /* the first entry commits: now the quorum is asked */
    rc_ready(solo.r, &rd);
    for (uint32_t i = 0; i < rd.n_msgs; i++) {
        answered += rd.msgs[i].type == RC_MSG_HEARTBEAT && rd.msgs[i].context != 0;
    }
    ck_assert_uint_eq(answered, 2);
    ck_assert_uint_eq(rd.n_reads, 0);
    rc_ready_release(&rd);
    solo_step(&solo, (struct rc_msg){.type = RC_MSG_HEARTBEAT_REPLY, .from = 3, .term = solo.r->term, .context = 1});
    rc_ready(solo.r, &rd);
    ck_assert_uint_eq(rd.n_reads, 1);
    ck_assert_uint_eq(rd.reads[0].context, 77);
    ck_assert_uint_eq(rd.reads[0].index, 2);
    rc_ready_release(&rd);
}
END_TEST

START_TEST(r1_a_leader_counts_its_own_entry_only_when_it_is_durable)
{
    struct rc_ready rd;

    start(2);
    rc_campaign(solo.r);
    solo_settle(&solo);
    solo_step(&solo, (struct rc_msg){.type = RC_MSG_VOTE_REPLY, .from = 2, .term = 2});
    rc_ready(solo.r, &rd);
    solo_ack(&solo, 2, 2); /* the other one was faster */
    ck_assert_uint_eq(solo_status(&solo).commit, 1);
    rc_step(solo.r, &rd.after[0]);
    ck_assert_uint_eq(solo_status(&solo).commit, 2);
    ck_assert(!rc_log_has_committed(&solo.r->log, false)); /* nor is it applied before the ticket is back */
    rc_persisted(solo.r, &rd.ack);
    ck_assert(rc_log_has_committed(&solo.r->log, false));
    rc_ready_release(&rd);
}
END_TEST

START_TEST(r1_a_candidate_does_not_lead_before_its_own_term_is_on_disk)
{
    struct rc_ready rd;

    start(3);
    rc_campaign(solo.r);
    rc_ready(solo.r, &rd);
    ck_assert(rd.must_sync);
    solo_step(&solo, (struct rc_msg){.type = RC_MSG_VOTE_REPLY, .from = 2, .term = 2});
    solo_step(&solo, (struct rc_msg){.type = RC_MSG_VOTE_REPLY, .from = 3, .term = 2});
    ck_assert_int_eq(solo_status(&solo).role, RC_CANDIDATE); /* a crash now must not leave a leader of term 2 behind */
    rc_step(solo.r, &rd.after[0]);
    ck_assert_int_eq(solo_status(&solo).role, RC_LEADER);
    rc_ready_release(&rd);
}
END_TEST

static struct rc_snapshot *make_snapshot(uint64_t index, uint64_t term)
{
    struct rc_conf conf = solo_voters(3);

    return rc_snapshot_new(&solo_alloc, index, term, &conf, NULL);
}

START_TEST(r1_nobody_campaigns_or_applies_while_a_snapshot_is_being_installed)
{
    struct rc_snapshot *snap = make_snapshot(20, 3);
    struct rc_ready rd;

    start(3);
    solo_step(&solo, (struct rc_msg){.type = RC_MSG_SNAPSHOT, .from = 2, .term = 3, .snapshot = snap});
    rc_ready(solo.r, &rd);
    ck_assert_ptr_eq(rd.snapshot, snap);
    ck_assert_uint_eq(rd.n_committed, 0);
    rc_campaign(solo.r);
    ck_assert_int_eq(solo_status(&solo).role, RC_FOLLOWER);
    rc_snap_done(solo.r, 20);
    ck_assert_uint_eq(solo_status(&solo).applied, 20);
    rc_campaign(solo.r);
    ck_assert_int_eq(solo_status(&solo).role, RC_CANDIDATE);
    rc_ready_release(&rd);
    rc_snapshot_unref(snap);
}
END_TEST

START_TEST(r2_entries_of_an_older_term_do_not_commit_by_counting)
{
    struct rc_config cfg = solo_config(&solo, 1);
    uint64_t terms[] = {2, 2}; /* entries 2 and 3, of a leader that died */

    solo_start(&solo, &cfg, 3, terms, 2);
    solo_lead(&solo);
    solo_ack(&solo, 2, 3); /* two of three have entry 3 */
    ck_assert_uint_eq(solo_status(&solo).commit, 1);
    solo_settle(&solo);
    solo_ack(&solo, 2, 4); /* the first of our own: all before it commit with it */
    ck_assert_uint_eq(solo_status(&solo).commit, 4);
}
END_TEST

START_TEST(r2_a_reply_of_a_term_that_has_passed_is_not_counted)
{
    start(3);
    solo_lead(&solo);
    solo_settle(&solo);
    solo_step(&solo, (struct rc_msg){.type = RC_MSG_APPEND_REPLY, .from = 2, .term = 1, .index = 2});
    ck_assert_uint_eq(solo_status(&solo).commit, 1);
    solo_ack(&solo, 2, 2);
    ck_assert_uint_eq(solo_status(&solo).commit, 2);
}
END_TEST

/* An append reply without an index tells a leader of an older term which one it is now; it may arrive when that leader
 * has been elected again. */
START_TEST(r2_a_reply_that_only_tells_a_term_acknowledges_nothing)
{
    struct rc_peer peers[RC_MAX_MEMBERS];
    uint64_t term;

    start(3);
    solo_lead(&solo);
    solo_settle(&solo);
    term = solo_status(&solo).term;
    solo_step(&solo, (struct rc_msg){.type = RC_MSG_APPEND_REPLY, .from = 2, .term = term, .index = 0});
    ck_assert_uint_eq(rc_peers(solo.r, peers, RC_MAX_MEMBERS), 3);
    ck_assert_uint_eq(peers[1].id, 2);
    ck_assert_int_eq(peers[1].flow, RC_PROBE);
    ck_assert_uint_gt(peers[1].next, 1); /* entry 1 is below the base: there would be nothing to send */
}
END_TEST

START_TEST(r2_only_a_successor_with_the_whole_log_is_told_to_campaign)
{
    start(3);
    solo_lead(&solo);
    solo_settle(&solo);
    rc_transfer(solo.r, 3);
    ck_assert_uint_eq(solo_count(&solo, RC_MSG_TIMEOUT_NOW, 0), 0);
    ck_assert_int_eq(solo_propose(&solo, 5), RC_TRANSFERRING);
    solo_ack(&solo, 3, 2);
    ck_assert_uint_eq(solo_count(&solo, RC_MSG_TIMEOUT_NOW, 3), 1);
}
END_TEST

START_TEST(r3_a_transferee_told_twice_campaigns_once)
{
    start(3);
    solo_step(&solo, (struct rc_msg){.type = RC_MSG_TIMEOUT_NOW, .from = 2, .term = 1});
    solo_step(&solo, (struct rc_msg){.type = RC_MSG_TIMEOUT_NOW, .from = 2, .term = 1});
    ck_assert_uint_eq(solo_status(&solo).term, 2);
    ck_assert_uint_eq(solo_status(&solo).vote, 1);
}
END_TEST

START_TEST(r3_commit_is_not_raised_above_what_an_append_proves)
{
    struct rc_config cfg = solo_config(&solo, 1);
    uint64_t terms[] = {2, 2, 2}; /* entries 3 and 4 are of a leader that lost */

    solo_start(&solo, &cfg, 3, terms, 3);
    solo_step(&solo,
              (struct rc_msg){.type = RC_MSG_APPEND, .from = 2, .term = 3, .index = 2, .log_term = 2, .commit = 4});
    ck_assert_uint_eq(solo_status(&solo).commit, 2);
}
END_TEST

START_TEST(r3_heartbeats_carry_commit_only_up_to_the_match)
{
    struct rc_ready rd;

    start(3);
    solo_lead(&solo);
    solo_settle(&solo);
    solo_ack(&solo, 2, 2);
    solo_settle(&solo);
    rc_tick(solo.r);
    rc_ready(solo.r, &rd);
    for (uint32_t i = 0; i < rd.n_msgs; i++) {
        if (rd.msgs[i].type == RC_MSG_HEARTBEAT) {
            ck_assert_uint_eq(rd.msgs[i].commit, rd.msgs[i].to == 2 ? 2 : 0);
        }
    }
    rc_ready_release(&rd);
}
END_TEST

static void append_one(uint64_t from, uint64_t leader_term, uint64_t entry_term)
{
    struct rc_entry entry = {.term = entry_term, .index = 2};

    solo_step(&solo, (struct rc_msg){.type = RC_MSG_APPEND,
                                     .from = from,
                                     .term = leader_term,
                                     .index = 1,
                                     .log_term = 1,
                                     .n_entries = 1,
                                     .entries = &entry});
}

START_TEST(r4_an_acknowledgement_of_an_earlier_term_is_void_although_the_entry_looks_the_same)
{
    struct rc_ack first, second, third;

    start(3);
    append_one(2, 2, 2);
    first = solo_swallow(&solo);
    append_one(3, 3, 3); /* another leader replaces it */
    second = solo_swallow(&solo);
    append_one(2, 4, 2); /* and the first one, leading again, replaces it back */
    third = solo_swallow(&solo);
    rc_persisted(solo.r, &first); /* (2, 2) is on disk now, and (3, 2) is about to overwrite it */
    ck_assert_uint_eq(solo_status(&solo).persisted, 1);
    rc_persisted(solo.r, &second);
    ck_assert_uint_eq(solo_status(&solo).persisted, 1);
    rc_persisted(solo.r, &third);
    ck_assert_uint_eq(solo_status(&solo).persisted, 2);
}
END_TEST

START_TEST(r4_an_acknowledgement_of_a_replaced_entry_is_void_within_a_term)
{
    struct rc_ack old, new;

    start(3);
    append_one(2, 2, 2);
    solo_swallow(&solo);
    solo_step(&solo, (struct rc_msg){.type = RC_MSG_HEARTBEAT, .from = 3, .term = 3});
    old = solo_swallow(&solo); /* a ticket of term 3 for the entry of term 2 */
    append_one(3, 3, 3);
    new = solo_swallow(&solo);
    rc_persisted(solo.r, &old);
    ck_assert_uint_eq(solo_status(&solo).persisted, 1);
    rc_persisted(solo.r, &new);
    ck_assert_uint_eq(solo_status(&solo).persisted, 2);
}
END_TEST

START_TEST(r6_a_log_that_has_lost_entries_is_refused_and_not_repaired)
{
    struct rc_config cfg = solo_config(&solo, 1);
    struct rc_entry entries[] = {{.term = 1, .index = 1}, {.term = 1, .index = 3}};
    struct rc_boot boot = {
        .conf = solo_voters(1), .hard = {.term = 1, .commit = 3}, .entries = entries, .n_entries = 2};
    char why[256];

    ck_assert_ptr_null(rc_new(&cfg, &boot, why, sizeof why)); /* a gap */
    ck_assert(strstr(why, "under another id") != NULL);
    entries[1].index = 2;
    ck_assert_ptr_null(rc_new(&cfg, &boot, why, sizeof why)); /* commit beyond the end */
    ck_assert(strstr(why, "lost") != NULL);
    boot.hard.commit = 2;
    entries[1].term = 2;
    ck_assert_ptr_null(rc_new(&cfg, &boot, why, sizeof why)); /* the hard state is older than the log */
    boot.hard.term = 2;
    entries[0].term = 2;
    entries[1].term = 1;
    ck_assert_ptr_null(rc_new(&cfg, &boot, why, sizeof why)); /* terms go back */
    entries[0].term = 1;
    solo.r = rc_new(&cfg, &boot, why, sizeof why);
    ck_assert_ptr_nonnull(solo.r);
}
END_TEST

START_TEST(r6_a_follower_that_is_told_of_a_commit_beyond_its_acknowledged_log_stops)
{
    start(3);
    solo.expect_stop = true;
    if (setjmp(solo.stopped) == 0) {
        solo_step(&solo, (struct rc_msg){.type = RC_MSG_HEARTBEAT, .from = 2, .term = 1, .commit = 9});
        ck_abort_msg("loss went unnoticed");
    }
    ck_assert(strstr(solo.why, "lost entries") != NULL);
}
END_TEST

START_TEST(a_leader_without_a_quorum_bounds_its_uncommitted_log_and_recovers)
{
    struct rc_config cfg = solo_config(&solo, 1);

    cfg.max_uncommitted_size = 100;
    solo_start(&solo, &cfg, 3, NULL, 0);
    solo_lead(&solo);
    ck_assert_int_eq(solo_propose(&solo, 60), RC_OK);
    ck_assert_int_eq(solo_propose(&solo, 60), RC_BUSY);
    solo_settle(&solo);
    solo_ack(&solo, 2, 3);
    solo_settle(&solo);
    ck_assert_uint_eq(solo_status(&solo).applied, 3);
    ck_assert_int_eq(solo_propose(&solo, 60), RC_OK);
}
END_TEST

START_TEST(a_full_window_pauses_and_a_heartbeat_reply_lets_one_probe_through)
{
    start(3);
    solo_lead(&solo);
    solo_ack(&solo, 2, 2);
    solo_settle(&solo);
    for (int i = 0; i < 10; i++) {
        solo_propose(&solo, 1);
    }
    ck_assert_uint_eq(solo_count(&solo, RC_MSG_APPEND, 2), 4);
    solo_propose(&solo, 1);
    ck_assert_uint_eq(solo_count(&solo, RC_MSG_APPEND, 2), 0);
    solo_step(&solo, (struct rc_msg){.type = RC_MSG_HEARTBEAT_REPLY, .from = 2, .term = solo.r->term});
    ck_assert_uint_eq(solo_count(&solo, RC_MSG_APPEND, 2), 1);
}
END_TEST

START_TEST(a_failed_snapshot_transfer_is_tried_again_after_a_heartbeat)
{
    struct rc_snapshot *snap = make_snapshot(2, 2);

    start(3);
    solo_lead(&solo);
    solo_ack(&solo, 2, 2);
    solo_settle(&solo);
    ck_assert_int_eq(rc_snapshot_taken(solo.r, snap), RC_OK);
    ck_assert_int_eq(rc_compact(solo.r, 2), RC_OK);
    solo_step(&solo, (struct rc_msg){.type = RC_MSG_HEARTBEAT_REPLY, .from = 3, .term = solo.r->term});
    solo_step(&solo, (struct rc_msg){
                         .type = RC_MSG_APPEND_REPLY, .from = 3, .term = solo.r->term, .index = 1, .reject = true});
    ck_assert_uint_eq(solo_count(&solo, RC_MSG_SNAPSHOT, 3), 1);
    rc_report_snapshot(solo.r, 3, false);
    ck_assert(!rc_has_ready(solo.r));
    solo_step(&solo, (struct rc_msg){.type = RC_MSG_HEARTBEAT_REPLY, .from = 3, .term = solo.r->term});
    ck_assert_uint_eq(solo_count(&solo, RC_MSG_SNAPSHOT, 3), 1);
    rc_snapshot_unref(snap);
}
END_TEST

START_TEST(nothing_is_dropped_from_the_log_that_no_snapshot_covers)
{
    start(1);
    rc_campaign(solo.r);
    solo_settle(&solo);
    ck_assert_int_eq(rc_compact(solo.r, 2), RC_INVALID);
}
END_TEST

START_TEST(malformed_messages_and_changes_are_refused)
{
    struct rc_entry gap = {.term = 1, .index = 5};
    struct rc_buf *junk = rc_buf_new(&solo_alloc, 5);
    struct rc_conf_change change;

    start(3);
    ck_assert_int_eq(solo_step(&solo, (struct rc_msg){.type = RC_MSG_APPEND,
                                                      .from = 2,
                                                      .term = 1,
                                                      .index = 1,
                                                      .log_term = 1,
                                                      .n_entries = 1,
                                                      .entries = &gap}),
                     RC_INVALID);
    ck_assert_int_eq(solo_step(&solo, (struct rc_msg){.type = RC_MSG_HEARTBEAT, .from = 2}), RC_INVALID);
    ck_assert_int_eq(solo_step(&solo, (struct rc_msg){.type = RC_MSG_TYPES, .from = 2, .term = 1}), RC_INVALID);
    ck_assert_int_eq(solo_step(&solo, (struct rc_msg){.type = RC_MSG_SNAPSHOT, .from = 2, .term = 1}), RC_INVALID);
    ck_assert_int_eq(solo_step(&solo, (struct rc_msg){.type = RC_MSG_VOTE_REPLY, .from = 9, .term = 1}),
                     RC_UNKNOWN_PEER);
    memcpy(junk->bytes, "\1\0\2\0\0", 5);
    ck_assert_int_eq(rc_conf_decode(junk, &change), RC_INVALID);
    rc_buf_unref(junk);
}
END_TEST

START_TEST(a_change_survives_its_encoding)
{
    struct rc_conf_change in = {
        .transition = RC_EXPLICIT, .n = 2, .v = {{RC_REMOVE, 0x0102030405060708}, {RC_ADD_LEARNER, 3}}};
    struct rc_buf *buf = rc_conf_encode(&solo_alloc, &in);
    struct rc_conf_change out;

    ck_assert_int_eq(rc_conf_decode(buf, &out), RC_OK);
    ck_assert_int_eq(out.transition, RC_EXPLICIT);
    ck_assert_uint_eq(out.n, 2);
    ck_assert_uint_eq(out.v[0].id, 0x0102030405060708);
    ck_assert_int_eq(out.v[1].op, RC_ADD_LEARNER);
    rc_buf_unref(buf);
}
END_TEST

START_TEST(without_memory_a_start_and_a_proposal_fail_softly)
{
    struct rc_config cfg = solo_config(&solo, 1);
    struct rc_boot boot = {.conf = solo_voters(1)};
    struct rc_conf_change change = {.n = 1, .v = {{RC_ADD_LEARNER, 3}}};
    char why[128];

    solo_allowed = 0;
    ck_assert_ptr_null(rc_new(&cfg, &boot, why, sizeof why));
    solo_allowed = -1;
    start(1);
    solo_allowed = 0;
    ck_assert_int_eq(rc_propose_conf(solo.r, &change, false, NULL, NULL), RC_NOMEM);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raft core");
    TCase *c = tcase_create("one replica");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, s4_a_single_voter_commits_and_applies_by_readies_alone);
    tcase_add_test(c, s4_work_that_follows_from_an_acknowledgement_is_in_the_next_ready);
    tcase_add_test(c, s3_a_configuration_change_that_was_not_carried_out_cannot_be_passed);
    tcase_add_test(c, s3_a_configuration_change_takes_effect_once);
    tcase_add_test(c, s8_a_leader_that_hears_nobody_steps_down);
    tcase_add_test(c, s8_asking_for_transfers_does_not_put_off_the_check_of_the_quorum);
    tcase_add_test(c, s8_a_follower_of_a_live_leader_ignores_other_candidates_until_it_forgets_it);
    tcase_add_test(c, s8_a_pre_vote_of_an_earlier_round_is_not_counted);
    tcase_add_test(c, s9_no_read_is_answered_before_an_entry_of_the_own_term_is_committed);
    tcase_add_test(c, r1_a_leader_counts_its_own_entry_only_when_it_is_durable);
    tcase_add_test(c, r1_a_candidate_does_not_lead_before_its_own_term_is_on_disk);
    tcase_add_test(c, r1_nobody_campaigns_or_applies_while_a_snapshot_is_being_installed);
    tcase_add_test(c, r2_entries_of_an_older_term_do_not_commit_by_counting);
    tcase_add_test(c, r2_a_reply_of_a_term_that_has_passed_is_not_counted);
    tcase_add_test(c, r2_a_reply_that_only_tells_a_term_acknowledges_nothing);
    tcase_add_test(c, r2_only_a_successor_with_the_whole_log_is_told_to_campaign);
    tcase_add_test(c, r3_a_transferee_told_twice_campaigns_once);
    tcase_add_test(c, r3_commit_is_not_raised_above_what_an_append_proves);
    tcase_add_test(c, r3_heartbeats_carry_commit_only_up_to_the_match);
    tcase_add_test(c, r4_an_acknowledgement_of_an_earlier_term_is_void_although_the_entry_looks_the_same);
    tcase_add_test(c, r4_an_acknowledgement_of_a_replaced_entry_is_void_within_a_term);
    tcase_add_test(c, r6_a_log_that_has_lost_entries_is_refused_and_not_repaired);
    tcase_add_test(c, r6_a_follower_that_is_told_of_a_commit_beyond_its_acknowledged_log_stops);
    tcase_add_test(c, a_leader_without_a_quorum_bounds_its_uncommitted_log_and_recovers);
    tcase_add_test(c, a_full_window_pauses_and_a_heartbeat_reply_lets_one_probe_through);
    tcase_add_test(c, a_failed_snapshot_transfer_is_tried_again_after_a_heartbeat);
    tcase_add_test(c, nothing_is_dropped_from_the_log_that_no_snapshot_covers);
    tcase_add_test(c, malformed_messages_and_changes_are_refused);
    tcase_add_test(c, a_change_survives_its_encoding);
    tcase_add_test(c, without_memory_a_start_and_a_proposal_fail_softly);
    suite_add_tcase(suite, c);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
