#!/usr/bin/env bash
# bench [--quick] [--no-peer] [...]: measure this broker beside Apache Kafka; writes docs/benchmarks.md
. "$(dirname "$0")/lib/common.sh"
[ -f tests/bench/run.sh ] || die "tests/bench/run.sh is not there: this tree has no benchmark yet"
bash scripts/build.sh
exec bash tests/bench/run.sh "$@"
