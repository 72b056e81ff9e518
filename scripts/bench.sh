#!/usr/bin/env bash
# bench [meta|groups] [--quick] [--no-peer] [...]: measure beside Apache Kafka (meta: beside etcd); writes docs/benchmarks*.md
. "$(dirname "$0")/lib/common.sh"
bash scripts/build.sh
if [ "${1:-}" = meta ]; then
    shift
    exec python3 tests/bench/run_meta.py "$@"
fi
make -s -C build tests/bench/load tests/bench/bound
if [ "${1:-}" = groups ]; then
    shift
    exec python3 tests/bench/groups.py "$@"
fi
exec python3 tests/bench/run.py "$@"
