#!/usr/bin/env bash
# Proves the power-cut test: each named fault, of the code or of the disk, must make it fail. TAP lines that say how many
# cuts that took.   mutants.sh [PATH/TO/test_store_cut [SEEDS]]
set -uo pipefail
test=${1:-${CHRONIK_BUILD:-.}/tests/sim/store/test_store_cut} seeds=${2:-1500} missed=0
[ -x "$test" ] || { echo "skip: test_store_cut was not built"; exit 77; }
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
for m in no-sync ack-before-sync recycle-before-manifest replay-by-size rename-without-sync rename-dir-not-synced \
    dir-not-synced durable-through-too-high torn-tail-kept segment-not-synced folder-not-synced sidecar-kept \
    sync-does-nothing directory-sync-does-nothing start-not-synced old-bytes-not-proved copy-not-synced; do
    case $m in
    start-not-synced) run=${test%_cut}_start ;;
    old-bytes-not-proved) run=${test%_cut}_flip ;;
    copy-not-synced) run=${test%_cut}_move ;;
    *) run=$test ;;
    esac
    if out=$("$run" "$seeds" "$m" 2>/dev/null | tail -1); then
        echo "not ok - the fault $m is not noticed: ${out#"$m"}"
        missed=$((missed + 1))
    else
        echo "ok - the fault $m is noticed:${out#"$m"}"
    fi
done
[ "$missed" = 0 ]
