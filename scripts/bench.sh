#!/usr/bin/env bash
# bench [--quick] [--no-peer] [...]: measure this broker beside Apache Kafka; writes docs/benchmarks.md
. "$(dirname "$0")/lib/common.sh"
bash scripts/build.sh
make -s -C build tests/bench/load
exec python3 tests/bench/run.py "$@"
