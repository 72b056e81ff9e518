#!/bin/sh
# The conformance kit over every module that was built: one TAP line a check. CHRONIK_BUILD is set by scripts/test.sh,
# `make check` runs it in the build directory.
build=${CHRONIK_BUILD:-.}
kit=$build/sdk/conformance/chronik-plugin-test
[ -x "$kit" ] || { echo "skip: chronik-plugin-test was not built"; exit 77; }
# A power cut leaves a process's memory behind, as a real one does.
ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
export ASAN_OPTIONS
status=0
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
for module in meta-mem store-mem meta-local meta-raft store-wal; do
    [ -f "$build/.libs/$module.so" ] || continue
    "$kit" --cuts "${CHRONIK_TEST_CUTS:-40}" "$build/.libs/$module.so" >"$out" 2>&1 || status=1
    sed -n -e "s/^PASS \(.*\)/ok - $module: \1/p" -e "s/^FAIL \(.*\)/not ok - $module: \1/p" "$out"
    tail -1 "$out" | grep -q ' passed, ' || { echo "not ok - $module: the kit did not end"; cat "$out"; status=1; }
    grep -q '^PASS power cuts' "$out" || continue
    "$kit" --cuts 40 --only 'power cuts' --sync-noop "$build/.libs/$module.so" >"$out" 2>&1
    if grep -q '^FAIL power cuts.*: power cut inside disk operation' "$out"; then
        echo "ok - $module: without syncs the power cuts notice"
    else
        echo "not ok - $module: without syncs the power cuts notice"
        cat "$out"
        status=1
    fi
done
exit $status
