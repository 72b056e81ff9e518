#!/usr/bin/env bash
# sanitize [address|thread]: build with sanitizers and run unit, sim and a short e2e tier under them
. "$(dirname "$0")/lib/common.sh"
case ${1:-both} in
both) exec bash scripts/test.sh asan tsan ;;
address) exec bash scripts/test.sh asan ;;
thread) exec bash scripts/test.sh tsan ;;
*) die "sanitize takes address or thread" ;;
esac
