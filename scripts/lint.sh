#!/usr/bin/env bash
# lint [format]: clang-format, and every check in scripts/checks
. "$(dirname "$0")/lib/common.sh"
need_packages "clang-format:clang-format git:git"
if git rev-parse --git-dir >/dev/null 2>&1; then
    files=$(git ls-files '*.c' '*.h')
else
    files=$(find core include plugins sdk ctl tests -name '*.[ch]')
fi
bad=$(for f in $files; do
    clang-format "$f" | cmp -s - "$f" || echo "$f"
done)
[ -z "$bad" ] || die "not formatted (./dev fmt does it): $(echo $bad)"
[ "${1:-}" = format ] && exit 0
failed=0
for check in scripts/checks/*.sh; do
    [ ! -f "$check" ] || bash "$check" || failed=1
done
exit $failed
