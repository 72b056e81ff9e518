#!/usr/bin/env bash
# Failures that once happened, and what operators ask, each played on a quorum of three; one TAP line each.   scenes.sh [SEEDS]
# The last two cut one stream some thousand times in one seed, so a single seed is much.
set -uo pipefail
program=${CHRONIK_BUILD:-.}/tests/sim/quorum/quorum-sim seeds=${1:-20} failed=0
[ -x "$program" ] || { echo "skip: quorum-sim was not built"; exit 77; }
play() {
    if "$program" --scene "$1" --seeds "1-$2"; then
        echo "ok - $1"
    else
        echo "not ok - $1"
        failed=1
    fi
}
for scene in s10_what_followers_have_sent_to_a_leader_that_dies_is_there_once \
    any_node_takes_what_is_asked_of_the_quorum a_request_whose_leader_dies_tells_the_truth a_removed_member_is_told_and_comes_back \
    a_removal_that_is_not_known_everywhere_is_not_done a_removal_that_would_leave_no_majority_is_refused \
    one_survivor_founds_the_quorum_anew a_snapshot_whose_answer_is_lost_is_answered_again \
    half_a_snapshot_of_a_former_leader_keeps_no_other_out who_waits_to_be_added_notices_that_all_machines_were_off \
    a_leader_whom_no_setting_names_can_add_a_node a_snapshot_brings_the_group_of_its_own_entry \
    nobody_campaigns_before_it_has_tried_every_voter \
    a_new_leader_answers_no_read_before_an_entry_of_its_own_is_committed \
    r5_a_silent_peer_delays_nobody_and_terms_stay_low r7_completions_may_propose_and_streams_may_break_at_any_step; do
    play "$scene" "$seeds"
done
play d4_a_snapshot_cut_at_any_byte_of_its_way_is_installed_whole_or_not_at_all 1
play d4_a_large_snapshot_cut_at_any_boundary_of_a_chunk_is_installed_whole_or_not_at_all 1
exit $failed
