#!/bin/sh
# The published data-driven scripts of Raft, if they are there: one TAP line a file. CHRONIK_BUILD is set by scripts/test.sh,
# `make check` runs it in the build directory.
build=${CHRONIK_BUILD:-.}
runner=$build/tests/raft-scripts/raft-scripts
scripts=${CHRONIK_SHARED:-../shared}/etcd-raft
[ -d "$scripts" ] || { echo "skip: no published scripts (CHRONIK_SHARED)"; exit 77; }
[ -x "$runner" ] || { echo "skip: raft-scripts was not built"; exit 77; }
status=0
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
"$runner" "$scripts" >"$out" || status=1
sed -n -e "s|^PASS $scripts/\(.*\) (.*|ok - \1|p" -e "s|^FAIL $scripts/\(.*\)|not ok - \1|p" "$out"
exit $status
