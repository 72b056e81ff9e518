#!/usr/bin/env bash
# fmt: format all C sources in place
. "$(dirname "$0")/lib/common.sh"
need_packages "clang-format:clang-format git:git"
git ls-files -z '*.c' '*.h' | xargs -0 -n 32 clang-format -i
