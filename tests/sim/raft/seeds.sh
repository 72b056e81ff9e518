#!/usr/bin/env bash
# The simulation of the Raft core: 2,000 seeds (CHRONIK_RAFT_SEEDS), one TAP line.   seeds.sh
set -uo pipefail
program=${CHRONIK_BUILD:-.}/tests/sim/raft/raft-sim seeds=${CHRONIK_RAFT_SEEDS:-2000}
[ -x "$program" ] || { echo "skip: raft-sim was not built"; exit 77; }
if "$program" --seeds "1-$seeds"; then
    echo "ok - $seeds seeds of the Raft core hold"
else
    echo "not ok - a seed of the Raft core fails"
    exit 1
fi
