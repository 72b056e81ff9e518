#!/usr/bin/env bash
# run [ARGUMENT...]: install what is missing, build, and start the broker in the foreground
. "$(dirname "$0")/lib/common.sh"
bash scripts/build.sh
busy=$(python3 scripts/lib/ports.py build/out/bin/chronik "$@") || true
[ -z "$busy" ] || die "$busy"
exec build/out/bin/chronik "$@"
