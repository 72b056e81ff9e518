#!/usr/bin/env bash
# raft-sim: simulate the Raft core: [mutants] [--seeds A-B] [--steps N] [--verbose] [--mutant NAME]
set -euo pipefail
program=tests/raft-sim/raft-sim
if [ "${1:-}" = mutants ]; then
    shift
    program=tests/raft-sim/raft-mutants
fi
if [ ! -f build/Makefile ]; then
    [ -x configure ] || autoreconf -fi >&2
    mkdir -p build
    (cd build && ../configure --prefix="$PWD/out") >&2
fi
make -s -C build "$program" >&2
exec "build/$program" "$@"
