#!/bin/sh
# With sync turned into nothing the broker's power-cut test must fail.
test=${CHRONIK_BUILD:-.}/tests/sim/broker/test_broker_cut
name="the fault no-sync of the disk under a whole broker is noticed"
[ -x "$test" ] || { echo "skip: test_broker_cut was not built"; exit 77; }
if "$test" 40 no-sync >/dev/null 2>&1; then
    echo "not ok 1 - $name"
    exit 1
fi
echo "ok 1 - $name"
