#!/usr/bin/env python3
"""test_quorum_stops.py: SIGTERM at any moment: while starting, under load, while an election or a snapshot is under way.
The process ends by itself with status 0, every time. A crash at the end was seen once, on an older build; run this under
ASan. Ten rounds, three hundred with CHRONIK_TEST_FULL."""
import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import FULL, SHORT, Tests, check, kcat  # noqa: E402
from load import Load, seed_of  # noqa: E402
from quorum import Quorum  # noqa: E402

tests = Tests()
ROUNDS = 300 if FULL else 4 if SHORT else 10
SETTINGS = {"chronik.meta-raft.snapshot.bytes": "65536", "chronik.meta-raft.file.bytes": "65536",
            "num.partitions": "4", "log.retention.ms": "-1"}  # the records of the load are old


def stop(b, pause):
    """SIGTERM after a pause; the status is 0, or that of the signal while the program has not said a word yet."""
    time.sleep(pause)
    b.signal(signal.SIGTERM)
    status = b.wait()
    check(status == 0 or (status == -signal.SIGTERM and not b.log()), f"SIGTERM ended the broker with status {status}")
    check("Sanitizer" not in b.log(), "a sanitizer has complained")


@tests.test
def sigterm_at_any_moment_under_load_ends_a_single_voter_with_status_0(work):
    seed = seed_of()
    chance = random.Random(seed)
    q = Quorum(tests, work, n=1, settings=SETTINGS).start().ready()
    b = q.nodes[0]
    kcat(b, "-L", "-t", "stops")  # makes the topic
    with Load(work, "topic_load", q.nodes, 16) as topics, Load(work, "kill_load", b, "stops", 4, 16) as records:
        for n in range(ROUNDS):
            stop(b, chance.choice([0, 0.01, 0.1, 0.4, 1.5]) * chance.random())
            if n % 3:
                b.start()
            else:
                b.launch()  # and stopped while it starts
        b.start_wait()
        q.ready()
        verdicts = [x.verdict() for x in (topics, records)]
    for status, said in verdicts:
        print(f"# {ROUNDS} rounds, seed {seed}: {said.splitlines()[-1]}")
        check(status == 0, f"CHRONIK_SEED={seed}: {said}")


@tests.test
def sigterm_of_any_of_three_under_load_ends_it_with_status_0(work):
    seed = seed_of()
    chance = random.Random(seed)
    q = Quorum(tests, work, settings=SETTINGS).start().ready()
    with Load(work, "topic_load", q.nodes, 16) as topics:
        for n in range(ROUNDS):
            i = chance.randrange(3)
            stop(q.nodes[i], chance.choice([0, 0.05, 0.5]) * chance.random())
            if chance.random() < 0.2:  # two at once
                k = (i + 1) % 3
                stop(q.nodes[k], 0)
                q.nodes[k].launch()
            q.start(i)
            for b in q.nodes:
                b.start_wait()
            if n % 5 == 0:
                q.ready()
        q.ready()
        status, said = topics.verdict()
    print(f"# {ROUNDS} rounds, seed {seed}: {said.splitlines()[-1]}")
    check(status == 0, f"CHRONIK_SEED={seed}: {said}")
    q.equal()
    for b in q.nodes:
        stop(b, 0)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    tests.main()
