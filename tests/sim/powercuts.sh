#!/usr/bin/env bash
# Power cuts in every kind of writing, counted: write-ahead log, segments, checkpoints and sidecars of store-wal, its start,
# the metadata log with its snapshots and checkpoints, the whole broker. At least 10,000, or as many as asked for.
#   powercuts.sh [CUTS]
set -uo pipefail
build=${CHRONIK_BUILD:-build} want=${1:-10000}
[ -z "${CHRONIK_TEST_SHORT:-}" ] || want=500
store=$build/tests/sim/store/test_store_cut meta=$build/tests/sim/test_sim_meta broker=$build/tests/sim/broker/test_broker_cut
for program in "$store" "$meta" "$broker"; do
    [ -x "$program" ] || { echo "skip: $program was not built"; exit 77; }
done
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
total=0 failed=0
# part NAME COMMAND...: its last line begins with, or holds, "N power cuts" or "N deaths"
part() {
    local name=$1 line n
    shift
    if ! line=$("$@" 2>"$build/powercuts.err" | tail -1) || [[ $line == *FAILED* ]] || [ -z "$line" ]; then
        failed=1
        tail -20 "$build/powercuts.err"
        echo "not ok - $name: $line"
        return
    fi
    n=$(sed -n 's/.*[^0-9]\([0-9][0-9]*\) \(power cuts\|deaths\).*/\1/p' <<<" $line")
    total=$((total + n))
    echo "ok - $name: $line"
}
# The program's own line stands among those of its test runner.
cuts_of_meta() {
    local out
    out=$("$meta") || { echo "$out" >&2; return 1; }
    grep "power cuts" <<<"$out"
}
# A seed of the store is about 4.6 cuts, one of the metadata 3.3.
part "store-wal" "$store" $((want * 3 / 4 / 4 - want / 80))
export CK_RUN_CASE=cuts CHRONIK_SEEDS=$((want / 10))
part "metadata" cuts_of_meta
part "broker" "$broker" $((want / 250))
[ "$total" -ge "$want" ] || { echo "not ok - $total power cuts, $want were wanted"; failed=1; }
echo "# $total power cuts; after each, everything acknowledged was there, in order, once"
exit $failed
