#!/usr/bin/env bash
# sim: deterministic simulation: raft (a quorum: core, shell and state machine) | core (the Raft core alone) | mutants (both) [--seeds A-B] [--mutant NAME] ...
. "$(dirname "$0")/lib/common.sh"

what=${1:-}
[ $# -gt 0 ] && shift
case $what in
raft | quorum) program=tests/sim/quorum/quorum-sim ;;
core) program=tests/sim/raft/raft-sim ;;
mutants) program=tests/sim/raft/raft-mutants ;;
*)
    echo "usage: ./dev sim raft [--seeds A-B] [--nodes N] [--harm KIND] [--mutant NAME] [--scene NAME] [--rounds N] [--faults none|N,...]
       ./dev sim core [--seeds A-B] [--steps N] [--verbose]
       ./dev sim mutants" >&2
    exit 2
    ;;
esac
need_packages "$build_packages"
bootstrap
configure_in build
recheck_in build
make -s -C build "$program" >&2
if [ "$what" = mutants ] && [ $# -eq 0 ]; then # all: the core's, then the shell's
    make -s -C build tests/sim/quorum/quorum-sim >&2
    status=0
    "build/$program" --seeds 1-12000 || status=1
    CHRONIK_BUILD=build bash tests/sim/quorum/mutants.sh 1500 all || status=1
    exit $status
fi
exec "build/$program" "$@"
