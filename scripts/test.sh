#!/usr/bin/env bash
# test [--full] [TIER|NAME...]: without argument unit sim e2e clients; all: everything; NAME: the programs whose path contains it
. "$(dirname "$0")/lib/common.sh"

quick="unit sim e2e clients"
everything="lint $quick mutants long clang asan tsan abi fuzz distcheck"
totals=$top/build/test-totals
export CHRONIK_SHARED
CHRONIK_SHARED=$(shared_dir)
[ -n "$CHRONIK_SHARED" ] || unset CHRONIK_SHARED

# --full: the clients' suites in their whole length, else what fits continuous integration.
bound_of_one=600
brokers_at_once=$((jobs < 4 ? jobs : 4)) # brokers with their clients: a Java client each is what memory bears
words=()
for word in "$@"; do
    if [ "$word" = --full ]; then export CHRONIK_CLIENTS_FULL=1 bound_of_one=3600; else words+=("$word"); fi
done
set -- "${words[@]}"

# programs DIR TIER: the registered test programs of a tier; DIR is a configured build. The scripts among the simulations
# that prove them by named faults are a tier of their own.
programs() {
    case $2 in
    sim) make -s -C "$1" print-tests | sed -n "/mutants/d; s/^sim //p" ;;
    mutants) make -s -C "$1" print-tests | sed -n "/mutants/s/^sim //p" ;;
    *) make -s -C "$1" print-tests | sed -n "s/^$2 //p" ;;
    esac
}

# run_in DIR JOBS SECONDS PROGRAM...
run_in() {
    local dir=$1 at_once=$2 seconds=$3 strict=()
    shift 3
    [ -z "${CHRONIK_REQUIRE_SHARED:-}" ] || strict=(--require-shared)
    python3 scripts/lib/runner.py --build "$dir" --source . --logs "$dir/test-logs" --jobs "$at_once" \
        --timeout "$seconds" "${strict[@]}" --totals "$totals" "$@"
}

built=
build_tests() {
    [ -z "$built" ] || return 0
    need_packages "$test_packages"
    bash scripts/build.sh >/dev/null
    make -s -C build -j"$jobs" check TESTS= >/dev/null
    built=1
}

# one LINE...: a tier that is one command: passed or failed as a whole; its output is shown when it failed.
one() {
    local name=$1 log=build/test-logs/$1.log
    shift
    mkdir -p build/test-logs
    if "$@" >"$log" 2>&1; then
        echo "  ok   $name"
        echo 1 0 0 >>"$totals"
    else
        echo "  FAIL $name: $log"
        tail -40 "$log" | sed 's/^/       | /'
        echo 0 1 0 >>"$totals"
    fi
}

tier_programs() {
    local list
    build_tests
    list=$(programs build "$1")
    [ -n "$list" ] || { echo "  no test is registered in this tier"; return 0; }
    run_in build "$2" "$3" "${@:4}" $list
}
tier_unit() { tier_programs unit "$jobs" 120; }
tier_sim() { tier_programs sim "$jobs" 240; }
tier_mutants() {
    tier_programs mutants "$jobs" 240
    sed -n 's/^\(not ok\|ok\) - \(the fault \)\{0,1\}/    \1 /p' build/test-logs/*mutants*.log | cut -c1-150
}
# Everything that proves the metadata quorum: the published scripts and the unit tests, the simulations (of the core, and of
# the whole with CHRONIK_QUORUM_SEEDS seeds) with their scenes, and the rotation of the named bugs.
tier_raft() {
    local list
    build_tests
    export CHRONIK_QUORUM_SEEDS=${CHRONIK_QUORUM_SEEDS:-1000}
    list=$(programs build unit | grep raft)
    run_in build "$jobs" 120 $list
    list=$(make -s -C build print-tests | sed -n 's/^sim \(tests\/sim\/\(raft\|quorum\)\/\)/\1/p')
    run_in build "$jobs" 300 $list
    echo "    $(grep -c '^ok' build/test-logs/tests-unit-raft-published_scripts.sh.log) published scripts pass"
    for list in raft-seeds quorum-seeds quorum-scenes raft-mutants quorum-mutants; do
        sed -n -e 's/^\(not ok\|ok\) - \(.\{,150\}\).*/    \1 \2/p' -e 's/^\(seeds [0-9]*, simulated\|elections\)/      &/p' \
            "build/test-logs/tests-sim-$list.sh.log"
    done
}
tier_e2e() { tier_programs e2e "$brokers_at_once" 240; }
tier_clients() {
    (need_packages "$clients_packages") || say "librdkafka's own suite will be skipped"
    tier_programs clients "$brokers_at_once" "$bound_of_one" --table
}
tier_long() { CHRONIK_TEST_LONG=1 tier_programs_of "sim e2e" 600; }

# The long variants: the same programs with larger bounds.
tier_programs_of() {
    build_tests
    local tier list=
    for tier in $1; do list="$list $(programs build "$tier")"; done
    [ -z "${list// /}" ] || run_in build "$jobs" "$2" $list
}

# variant DIR TIERS CONFIGURE ARGUMENT...: another build of the tree, and tests under it.
variant() {
    local dir=$1 tiers=$2 tier list=
    shift 2
    need_packages "$test_packages $all_packages"
    build_in "$dir" "$@" >/dev/null
    make -s -C "$dir" -j"$jobs" check TESTS= >/dev/null
    for tier in $tiers; do list="$list $(programs "$dir" "$tier")"; done
    [ -z "${list// /}" ] || CHRONIK_TEST_SHORT=1 run_in "$dir" "$jobs" 300 $list
}
tier_clang() { CC=clang variant build-clang "unit sim"; }
tier_asan() {
    export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0} UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
    CFLAGS="-O1 -g" variant build-asan "unit sim e2e" --with-sanitizer=address,undefined
}
tier_tsan() {
    export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=0:second_deadlock_stack=1:die_after_fork=0}
    # Simulations have one thread: there is nothing for it to see in them.
    CC=clang CFLAGS="-O1 -g" variant build-tsan "unit e2e" --with-sanitizer=thread
}
tier_lint() {
    need_packages "$test_packages $all_packages"
    build_tests # the seam's check reads objects
    one format bash scripts/lint.sh format
    local check
    for check in scripts/checks/*.sh; do
        [ ! -f "$check" ] || one "$(basename "$check" .sh)" bash "$check"
    done
}
tier_abi() {
    build_tests
    [ -f scripts/abi.sh ] || { echo "  scripts/abi.sh is not there: nothing to compare"; return 0; }
    one abi bash scripts/abi.sh
}
tier_fuzz() {
    need_packages "$test_packages $all_packages"
    one fuzz bash scripts/fuzz.sh --seconds "${CHRONIK_FUZZ_SECONDS:-10}"
}
tier_distcheck() {
    build_tests
    one distcheck make -C build -j"$jobs" distcheck
}

is_tier() {
    [ "$(type -t "tier_$1")" = function ]
}

# Runs a tier in a subshell: a tier that dies on the way counts as one failed test.
run_tier() {
    local tier=$1 began=$SECONDS lines status=0
    echo "$tier:"
    touch "$totals"
    lines=$(wc -l <"$totals")
    set +e # a list with || would switch -e off inside the tier
    ( set -e; "tier_$tier" )
    status=$?
    set -e
    if [ "$status" != 0 ] && [ "$(wc -l <"$totals")" = "$lines" ]; then
        echo "  FAIL the tier could not run"
        echo 0 1 0 >>"$totals"
    fi
    echo "  $tier took $((SECONDS - began)) s"
}

run_named() {
    local name=${1#./} list
    build_tests
    list=$(make -s -C build print-tests | cut -d' ' -f2 | grep -F -- "$name" || true)
    [ -n "$list" ] || die "no tier and no test program is called '$name'; tiers: $everything"
    echo "$name:"
    run_in build "$jobs" "$bound_of_one" --table --tail 200 $list || true
}

[ $# -gt 0 ] || set -- $quick
[ "$1" != all ] || set -- $everything
mkdir -p build
rm -f "$totals"
for word in "$@"; do
    if is_tier "$word"; then
        run_tier "$word"
    else
        run_named "$word"
    fi
done
awk '{p += $1; f += $2; s += $3}
     END {printf "%d passed, %d failed%s\n", p, f, s ? ", " s " skipped" : ""; exit f > 0}' "$totals"
