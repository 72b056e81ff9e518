#!/bin/sh
# The conformance kit over every module that was built: one TAP line a check. CHRONIK_BUILD is set by scripts/test.sh,
# `make check` runs it in the build directory.
build=${CHRONIK_BUILD:-.}
kit=$build/sdk/conformance/chronik-plugin-test
[ -x "$kit" ] || { echo "skip: chronik-plugin-test was not built"; exit 77; }
# A module's leak is its author's business here; what the kit itself leaves behind at a check's end is not.
ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
export ASAN_OPTIONS
status=0
for module in meta-mem store-mem meta-local; do
    [ -f "$build/.libs/$module.so" ] || continue
    "$kit" --cuts "${CHRONIK_TEST_CUTS:-40}" "$build/.libs/$module.so" >"$build/conformance-$module.txt" || status=1
    sed -n -e "s/^PASS \(.*\)/ok - $module: \1/p" -e "s/^FAIL \(.*\)/not ok - $module: \1/p" \
        "$build/conformance-$module.txt"
    tail -1 "$build/conformance-$module.txt" | grep -q ' passed, ' || { echo "not ok - $module: the kit ran"; status=1; }
    rm -f "$build/conformance-$module.txt"
done
exit $status
