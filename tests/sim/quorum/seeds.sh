#!/usr/bin/env bash
# The simulation of a metadata quorum: CHRONIK_QUORUM_SEEDS seeds (300) of one to seven nodes; one TAP line.   seeds.sh
set -uo pipefail
program=${CHRONIK_BUILD:-.}/tests/sim/quorum/quorum-sim seeds=${CHRONIK_QUORUM_SEEDS:-300}
[ -x "$program" ] || { echo "skip: quorum-sim was not built"; exit 77; }
if "$program" --seeds "1-$seeds"; then
    echo "ok - $seeds seeds of a metadata quorum hold"
else
    echo "not ok - a seed of the metadata quorum fails"
    exit 1
fi
