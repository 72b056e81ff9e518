#!/usr/bin/env python3
"""test_kill_loop.py: kill -9 again and again under 64 connections of acks=all; nothing acknowledged may be missing, moved
or doubled. Three rounds, fifty with CHRONIK_TEST_LONG."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import LONG, SHORT, Tests, check, kcat, produce  # noqa: E402
from load import Load, kill_rounds, seed_of  # noqa: E402

tests = Tests()
ROUNDS = 50 if LONG else 3
CONNECTIONS = 16 if SHORT else 64


def verdict(b, work, rounds, seed):
    """The judge's (status, sentences) after so many kills under load."""
    produce(b, "first", [b"x"])  # the broker serves
    kcat(b, "-L", "-t", "kills")  # makes the topic
    with Load(work, "kill_load", b, "kills", 8, CONNECTIONS) as load:
        kill_rounds(b, load, rounds, seed, (0.05, 0.8))
        return load.verdict()


@tests.test
def t1_t2_kill_9_under_64_connections_loses_moves_and_doubles_no_acknowledged_record(work):
    seed = seed_of()
    b = tests.broker(work, settings={"num.partitions": "8"}).start()
    status, said = verdict(b, work, ROUNDS, seed)
    print(f"# {ROUNDS} rounds, {CONNECTIONS} connections, seed {seed}: {said.splitlines()[-1]}")
    check(status == 0, f"CHRONIK_SEED={seed}: {said}")


@tests.test
def the_judge_notices_a_store_that_forgets(work):
    b = tests.broker(work, settings={"num.partitions": "8", "chronik.store": "mem"}).start()
    status, said = verdict(b, work, 1, 1)
    check(status == 1 and "missing" in said, f"the judge says {status}: {said}")


tests.main()
