#!/usr/bin/env bash
# test: run the tests: unit
set -euo pipefail
bash scripts/build.sh
make -s -C build check
