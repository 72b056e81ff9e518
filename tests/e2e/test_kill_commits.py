#!/usr/bin/env python3
"""test_kill_commits.py: kill -9 again and again under a storm of offset commits and while offsets expire: what was answered
never goes back, what has expired never comes back. Four rounds, fifty with CHRONIK_TEST_LONG."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import LONG, SHORT, Tests, check, kcat, produce, wait_for  # noqa: E402
from load import Load, kill_rounds, seed_of  # noqa: E402

tests = Tests()
ROUNDS = 50 if LONG else 4
CONNECTIONS = 16 if SHORT else 64
# retention of the broker is a minute at least: what fades does so by its own retention time
SETTINGS = {"offsets.retention.minutes": "60", "offsets.retention.check.interval.ms": "100"}


@tests.test
def k2_kill_9_in_a_storm_of_commits_loses_none_that_was_answered_and_brings_back_none_that_expired(work):
    seed = seed_of()
    b = tests.broker(work, settings=SETTINGS).start()
    produce(b, "first", [b"x"])  # the broker serves
    kcat(b, "-L", "-t", "kills")  # makes the topic
    with Load(work, "commit_load", b, "kills", CONNECTIONS) as storm:
        kill_rounds(b, storm, ROUNDS, seed, (0.3, 2.5))
        status, said = storm.verdict()
    print(f"# {ROUNDS} rounds, {CONNECTIONS} connections, seed {seed}: {said.splitlines()[-1]}")
    check(status == 0, f"CHRONIK_SEED={seed}: {said}")
    check(" 0 groups seen" not in said, f"no group was seen to expire: {said}")


@tests.test
def the_judge_notices_a_metadata_module_that_forgets(work):
    b = tests.broker(work, settings={**SETTINGS, "chronik.meta": "mem"}).start()
    kcat(b, "-L", "-t", "kills")
    with Load(work, "commit_load", b, "kills", CONNECTIONS) as storm:
        wait_for("answered commits", lambda: storm.answered() > 0, 30)
        time.sleep(0.3)
        b.kill()
        b.start()
        kcat(b, "-L", "-t", "kills")
        time.sleep(1)
        status, said = storm.verdict()
    check(status == 1 and "was answered" in said, f"the judge says {status}: {said}")


tests.main()
