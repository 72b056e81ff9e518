#!/usr/bin/env bash
# Proves the simulation of the Raft core: each named bug must be noticed. One TAP line a bug, with the seed that noticed
# it.   mutants.sh [SEEDS]
set -uo pipefail
program=${CHRONIK_BUILD:-.}/tests/sim/raft/raft-mutants seeds=${1:-12000}
[ -x "$program" ] || { echo "skip: raft-mutants was not built"; exit 77; }
"$program" --seeds "1-$seeds" | sed -n -e 's/^KILLED /ok - /p' -e 's/^ALIVE  /not ok - /p'
[ "${PIPESTATUS[0]}" = 0 ]
