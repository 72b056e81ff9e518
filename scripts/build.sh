#!/usr/bin/env bash
# build [CONFIGURE ARGUMENT...]: compile into build/, and lay out build/out/{bin,lib/chronik,include/chronik,share}
. "$(dirname "$0")/lib/common.sh"
need_packages "$build_packages"
if [ $# -eq 0 ] && [ -f build/configured-with ] && [ -z "${CC:-}${CFLAGS:-}" ]; then
    bootstrap
    compile_in build
else
    build_in build "$@"
fi
