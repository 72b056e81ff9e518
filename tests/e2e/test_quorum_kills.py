#!/usr/bin/env python3
"""test_quorum_kills.py: kill -9 of random nodes of a metadata quorum under 64 clients that make and remove topics, commit
offsets and see some expire: every answered command is in the final state once, and the state after each command is the
same on all nodes. Eight kills, two hundred with CHRONIK_TEST_FULL."""
import contextlib
import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import FULL, LONG, SHORT, Tests, check, kcat, wait_for  # noqa: E402
from load import Load, seed_of  # noqa: E402
from quorum import Digests, Quorum  # noqa: E402

tests = Tests()
KILLS = 200 if FULL else 30 if LONG else 3 if SHORT else 8
CLIENTS = 16 if SHORT else 64
# small snapshots and files: both are replaced and recycled many times in a run
SETTINGS = {"chronik.meta-raft.snapshot.bytes": "262144", "chronik.meta-raft.file.bytes": "262144",
            "offsets.retention.minutes": "60", "offsets.retention.check.interval.ms": "100"}


def kills(q, loads, chance):
    """Random nodes die, and come back a moment later; now and then a second one dies before the first has recovered."""
    for n in range(KILLS):
        before = [load.answered() for load in loads]
        victim = chance.randrange(3)
        time.sleep(chance.uniform(0.05, 1.0))
        q.nodes[victim].kill()
        time.sleep(chance.uniform(0, 0.5))
        q.start(victim)
        if chance.random() < 0.3:
            continue
        q.ready()
        wait_for(f"answers after kill {n}", lambda b=before: all(x.answered() > y for x, y in zip(loads, b)), 30)


@tests.test
def s4_every_answered_command_is_in_the_final_state_once_whoever_is_killed(work):
    seed = seed_of()
    q = Quorum(tests, work, settings=SETTINGS).start().ready()
    kcat(q.nodes[0], "-L", "-t", "committed")  # makes the topic
    with contextlib.ExitStack() as stack:
        digests = stack.enter_context(Digests(q))
        loads = [stack.enter_context(Load(work, "topic_load", q.nodes, CLIENTS // 2)),
                 stack.enter_context(Load(work, "commit_load", q.nodes, "committed", CLIENTS // 2))]
        kills(q, loads, random.Random(seed))
        q.ready()
        verdicts = [load.verdict() for load in loads]
        last = q.equal()
        digests.look()
    print(f"# seed {seed}, {KILLS} kills, {CLIENTS} clients, {last} commands; states compared after "
          f"{digests.common(2)} of them on two nodes, after {digests.common(3)} on three")
    for status, said in verdicts:
        print(f"# {said.splitlines()[-1]}")
        check(status == 0, f"CHRONIK_SEED={seed}: {said}")
    check(digests.common(3) > 10, f"states were compared after {digests.common(3)} commands alone")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    tests.main()
