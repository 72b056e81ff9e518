#!/usr/bin/env bash
# The simulation of a metadata quorum: CHRONIK_QUORUM_SEEDS seeds (300) with one node; one TAP line.   seeds.sh
set -uo pipefail
program=${CHRONIK_BUILD:-.}/tests/sim/quorum/quorum-sim seeds=${CHRONIK_QUORUM_SEEDS:-300}
[ -x "$program" ] || { echo "skip: quorum-sim was not built"; exit 77; }
if "$program" --nodes 1 --seeds "1-$seeds"; then
    echo "ok - $seeds seeds of a metadata quorum of one hold"
else
    echo "not ok - a seed of the metadata quorum fails"
    exit 1
fi
