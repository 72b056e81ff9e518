#!/usr/bin/env bash
# raft-scripts: run published data-driven Raft scripts: one PASS or FAIL a file
set -euo pipefail
program=tests/raft-scripts/raft-scripts
dirs=("$@")
if [ $# -eq 0 ]; then
    dirs=("${CHRONIK_SHARED:-../shared}/etcd-raft")
    if [ ! -d "${dirs[0]}" ]; then
        echo "usage: ./dev raft-scripts FOLDER_OR_FILE... (default: \$CHRONIK_SHARED/etcd-raft, which is not there)" >&2
        exit 2
    fi
fi
if [ ! -f build/Makefile ]; then
    [ -x configure ] || autoreconf -fi >&2
    mkdir -p build
    (cd build && ../configure --prefix="$PWD/out") >&2
fi
make -s -C build "$program" >&2
exec "build/$program" "${dirs[@]}"
