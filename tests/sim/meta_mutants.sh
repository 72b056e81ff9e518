#!/usr/bin/env bash
# Proves the power-cut test of the metadata: each named fault must be noticed. TAP lines with the seeds that noticed it.
set -uo pipefail
test=${CHRONIK_BUILD:-.}/tests/sim/test_sim_meta
[ -x "$test" ] || { echo "skip: test_sim_meta was not built"; exit 77; }
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
out=$(CK_RUN_CASE=mutants "$test")
status=$?
sed -n -e 's/^mutant \([a-z_]*\): noticed by 0 .*/not ok - the fault \1 is not noticed/p' \
    -e 's/^mutant \([a-z_]*\): \(noticed by [1-9].*\)/ok - the fault \1 is \2/p' <<<"$out"
exit $status
