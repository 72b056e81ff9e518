#!/usr/bin/env bash
# build: configure when needed, compile, and lay out build/out/{bin,lib/chronik,include/chronik,share}
set -euo pipefail
if [ ! -x configure ] || [ configure.ac -nt configure ] || [ VERSION -nt configure ]; then autoreconf -fi; fi
mkdir -p build && cd build
[ -f Makefile ] || ../configure --prefix="$PWD/out" "$@"
make -s -j"$(nproc)"
make -s install >/dev/null
