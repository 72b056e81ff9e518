#!/usr/bin/env python3
"""test_descriptors.py: a broker that may open few files: partitions and clients share them, and neither is turned away."""
import contextlib
import os
import re
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import CHRONIK, Failed, Tests, check, kcat, produce, wait_for  # noqa: E402

tests = Tests()
LIMIT, PARTITIONS, LINES = 256, 150, 3000
CLIENTS = 90  # of the (256 - 96) * 5/8 that are let in


def limited(work, most, what="-n"):
    """The program under `ulimit -n`, or another limit."""
    path = os.path.join(work, f"chronik-{most}")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f'#!/bin/bash\nulimit {what} {most}\nexec "{CHRONIK}" "$@"\n')
    os.chmod(path, 0o755)
    return path


def metric(b, name):
    found = re.search(rf"^chronik_{name} (\d+)", b.admin("/metrics")[1], re.M)
    check(found, f"/metrics has no {name}")
    return int(found[1])


def fill(b, start):
    """LINES records, spread over all partitions in small batches."""
    produce(b, "wide", [b"%d" % n for n in range(start, start + LINES)], "-X", "sticky.partitioning.linger.ms=0",
            "-X", "batch.num.messages=5")


@tests.test
def many_partitions_leave_descriptors_to_clients(work):
    b = tests.broker(work, program=limited(work, LIMIT)).start()
    ctl = os.path.join(os.path.dirname(CHRONIK), "chronikctl")
    subprocess.run([ctl, "--bootstrap", b.address, "topic", "create", "wide", "--partitions", str(PARTITIONS)], check=True,
                   timeout=60)
    fill(b, 0)
    with contextlib.ExitStack() as clients:
        for _ in range(CLIENTS):
            clients.enter_context(socket.create_connection(("127.0.0.1", b.port), 10))
        wait_for("the clients to be let in", lambda: metric(b, "net_connections") >= CLIENTS)
        fill(b, LINES)
        got = kcat(b, "-C", "-t", "wide", "-o", "beginning", "-e", "-q", timeout=60).split()
        check(sorted(map(int, got)) == list(range(2 * LINES)), f"{len(got)} of {2 * LINES} records come back")
        check(metric(b, "store_segments_open") < LIMIT / 2, "the partitions hold too many files")
        check(metric(b, "net_connections_refused_total") == 0, "a client was refused")
        check(metric(b, "net_accept_pauses_total") == 0, "accepting had to pause")
    b.kill()
    b.start()
    got = kcat(b, "-C", "-t", "wide", "-o", "beginning", "-e", "-q", timeout=60).split()
    check(sorted(map(int, got)) == list(range(2 * LINES)), f"{len(got)} of {2 * LINES} records come back after kill -9")


@tests.test
def too_few_descriptors_are_refused_with_the_remedy(work):
    tests.broker(work, program=limited(work, 100)).refused("may open 100 files", "ulimit -n")


@tests.test
def files_that_may_not_grow_refuse_writes_and_end_nothing(work):
    b = tests.broker(work, program=limited(work, 3000, "-f")).start()  # KiB: the log's second file fits, a segment does not for long
    acked = []
    for n in range(200):
        line = b"%d " % n + b"x" * 100000
        try:
            produce(b, "big", [line], "-X", "message.timeout.ms=1500")
        except Failed:
            break
        acked.append(line)
    check(5 < len(acked) < 200, f"{len(acked)} records were taken")
    check(b.process.poll() is None, "the broker died of the limit")
    got = kcat(b, "-C", "-t", "big", "-o", "beginning", "-e", "-q").splitlines()
    check(got[:len(acked)] == acked, f"{len(got)} of {len(acked)} records come back")
    b.stop()


tests.main()
