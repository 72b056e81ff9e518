#!/usr/bin/env bash
# fuzz [--seconds N] [TARGET...]: build the libFuzzer targets with clang and run each for N seconds (60) on its corpus
. "$(dirname "$0")/lib/common.sh"
seconds=60
if [ "${1:-}" = --seconds ]; then
    seconds=$2
    shift 2
fi
need_packages "$build_packages clang:clang"
CC=clang CFLAGS="-O1 -g" build_in build-fuzz --with-fuzzing --with-sanitizer=address,undefined
targets=$(make -s -C build-fuzz print-fuzz-targets)
[ -n "$targets" ] || { echo "  no fuzz target is registered"; exit 0; }
failed=0
for target in $targets; do
    name=$(basename "$target")
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
    make -s -C build-fuzz -j"$jobs" "$target"
    corpus=tests/fuzz/corpus/${name#fuzz_}
    fresh=build-fuzz/corpus/$name
    mkdir -p "$fresh" "build-fuzz/crashes"
    [ ! -d "$corpus" ] || set_corpus=$corpus
    dict=build-fuzz/tests/fuzz/${name#fuzz_}.dict
    [ ! -f "$dict" ] || set_dict=-dict=$dict
    if build-fuzz/"$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="build-fuzz/crashes/$name-" ${set_dict:-} "$fresh" ${set_corpus:-} >"build-fuzz/$name.log" 2>&1; then
        echo "  ok   $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "build-fuzz/$name.log") inputs in $seconds s"
    else
        failed=1
        echo "  FAIL $name"
        tail -30 "build-fuzz/$name.log"
    fi
    unset set_corpus set_dict
done
exit $failed
