#!/usr/bin/env bash
# Proves the simulation of the quorum: each named bug of the shell must be noticed. One TAP line a bug, with the seed that
# noticed it. Without arguments a third of them, another one each day.   mutants.sh [SEEDS [NAME...|all]]
set -uo pipefail
program=${CHRONIK_BUILD:-.}/tests/sim/quorum/quorum-sim seeds=${1:-1000} missed=0 k=0
[ -x "$program" ] || { echo "skip: quorum-sim was not built"; exit 77; }
[ $# -gt 0 ] && shift
every="raft_message_before_sync raft_ack_before_sync raft_state_not_written raft_barrier_without_quorum
raft_entries_delivered_again raft_completed_twice raft_trimmed_beyond_snapshot
raft_id_held_by_the_dead raft_forms_with_majority raft_snapshot_not_synced raft_install_interrupted
raft_snapshot_as_asked raft_version_ignored raft_strangers_unanswered raft_boot_told_before_durable
raft_boot_not_checked raft_stale_forgotten"
first_seed() { sed -n 's/^quorum: seed \([0-9]*\) failed.*/\1/p' | sort -n | head -1; }
names=$*
if [ -z "$names" ]; then
    for m in $every; do
        k=$((k + 1))
        [ $((k % 3)) = $((10#$(date +%j) % 3)) ] && names="$names $m"
    done
fi
[ "$names" != all ] || names=$every
for m in $names; do
    harm=() # old disks are put back in every seed, not in a tenth of them
    case $m in
    raft_boot_not_checked | raft_stale_forgotten) harm=(--harm old) ;;
    raft_snapshot_as_asked | raft_install_interrupted) harm=(--switches 300) ;; # … nor do threads lose the processor
    esac
    out= from=1
    while [ -z "$out" ] && [ "$from" -le "$seeds" ]; do # a few more each time
        to=$((from * 4 < seeds ? from * 4 : seeds))
        out=$("$program" "${harm[@]}" --mutant "$m" --plain --seeds "$from-$to" 2>&1 | first_seed)
        from=$((to + 1))
    done
    if [ -n "$out" ]; then
        echo "ok - $m is noticed by seed $out"
    else
        echo "not ok - $m is not noticed by $seeds seeds"
        missed=$((missed + 1))
    fi
done
# What a scene notices, each within 40 of its seeds; in every run without names.
scenes="raft_older_snapshot_unanswered:a_snapshot_whose_answer_is_lost_is_answered_again
raft_half_a_snapshot_stays:half_a_snapshot_of_a_former_leader_keeps_no_other_out
raft_silence_not_probed:who_waits_to_be_added_notices_that_all_machines_were_off
raft_members_untold:a_leader_whom_no_setting_names_can_add_a_node
raft_group_applied_twice:a_snapshot_brings_the_group_of_its_own_entry
raft_campaigns_untried:nobody_campaigns_before_it_has_tried_every_voter
raft_barrier_before_own_term:a_new_leader_answers_no_read_before_an_entry_of_its_own_is_committed
raft_removal_not_awaited:a_removal_that_is_not_known_everywhere_is_not_done
raft_old_group_spoken_with:one_survivor_founds_the_quorum_anew
raft_lost_request_is_done:a_request_whose_leader_dies_tells_the_truth"
[ -z "$*" ] || [ "$*" = all ] || scenes=
for pair in $scenes; do
    out=
    for ((seed = 1; seed <= 40 && ${#out} == 0; seed++)); do # one at a time: a scene may be long
        out=$("$program" --mutant "${pair%:*}" --scene "${pair#*:}" --seeds "$seed" 2>&1 | first_seed)
    done
    if [ -n "$out" ]; then
        echo "ok - ${pair%:*} is noticed by seed $out of the scene ${pair#*:}"
    else
        echo "not ok - ${pair%:*} is not noticed by 40 seeds of the scene ${pair#*:}"
        missed=$((missed + 1))
    fi
done
[ "$missed" = 0 ]
