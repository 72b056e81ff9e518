#!/usr/bin/env bash
# Failures that once happened, each played with 20 seeds on a quorum of three; one TAP line each.   scenes.sh [SEEDS]
set -uo pipefail
program=${CHRONIK_BUILD:-.}/tests/sim/quorum/quorum-sim seeds=${1:-20} failed=0
[ -x "$program" ] || { echo "skip: quorum-sim was not built"; exit 77; }
for scene in s10_what_followers_have_sent_to_a_leader_that_dies_is_there_once \
    any_node_takes_what_is_asked_of_the_quorum a_removed_member_is_told_and_comes_back \
    a_removal_that_is_not_known_everywhere_is_not_done a_removal_that_would_leave_no_majority_is_refused \
    one_survivor_founds_the_quorum_anew \
    r5_a_silent_peer_delays_nobody_and_terms_stay_low r7_completions_may_propose_and_streams_may_break_at_any_step; do
    if "$program" --scene "$scene" --seeds "1-$seeds"; then
        echo "ok - $scene"
    else
        echo "not ok - $scene"
        failed=1
    fi
done
exit $failed
