#!/usr/bin/env python3
"""test_kill_commits.py: kill -9 again and again under a storm of offset commits and while offsets expire: what was answered
never goes back, what has expired never comes back. Four rounds, fifty with CHRONIK_TEST_LONG."""
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import BUILD, LONG, SHORT, SLOW, Tests, check, kcat, produce, wait_for  # noqa: E402

tests = Tests()
LOAD = os.path.join(BUILD, "tests/e2e/commit_load")
ROUNDS = 50 if LONG else 4
CONNECTIONS = 16 if SHORT else 64
# retention of the broker is a minute at least: what fades does so by its own retention time
SETTINGS = {"offsets.retention.minutes": "60", "offsets.retention.check.interval.ms": "100"}


class Storm:
    def __init__(self, broker, work):
        self.out = open(os.path.join(work, "load.log"), "w+b")
        self.process = subprocess.Popen([LOAD, str(broker.port), "kills", str(CONNECTIONS)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.out)

    def answered(self):
        self.process.stdin.write(b"?")
        self.process.stdin.flush()
        line = self.process.stdout.readline().strip()
        check(line.isdigit(), f"the storm says: {line.decode(errors='replace')}")
        return int(line)

    def verdict(self):
        self.process.stdin.close()
        self.process.stdin = None
        said, _ = self.process.communicate(timeout=120 * SLOW)
        return self.process.returncode, said.decode(errors="replace").strip()

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self.out.close()


def kill_rounds(b, work, rounds, seed):
    """Kills and restarts the broker in the storm; the judge's (status, sentences)."""
    chance = random.Random(seed)
    produce(b, "first", [b"x"])  # the broker serves
    kcat(b, "-L", "-t", "kills")  # makes the topic
    storm = Storm(b, work)
    try:
        before = 0
        for n in range(rounds):
            wait_for(f"answered commits in round {n}", lambda: storm.answered() > before, 30)
            time.sleep(chance.uniform(0.3, 2.5))
            before = storm.answered()
            b.kill()
            b.start()
        wait_for("answered commits after the last restart", lambda: storm.answered() > before, 30)
        return storm.verdict()
    finally:
        storm.end()


@tests.test
def k2_kill_9_in_a_storm_of_commits_loses_none_that_was_answered_and_brings_back_none_that_expired(work):
    check(os.path.exists(LOAD), "tests/e2e/commit_load was not built")
    seed = int(os.environ.get("CHRONIK_SEED", time.time_ns() % 1_000_000))
    b = tests.broker(work, settings=SETTINGS).start()
    status, said = kill_rounds(b, work, ROUNDS, seed)
    print(f"# {ROUNDS} rounds, {CONNECTIONS} connections, seed {seed}: {said.splitlines()[-1]}")
    check(status == 0, f"CHRONIK_SEED={seed}: {said}")
    check(" 0 groups seen" not in said, f"no group was seen to expire: {said}")


@tests.test
def the_judge_notices_a_metadata_module_that_forgets(work):
    b = tests.broker(work, settings={**SETTINGS, "chronik.meta": "mem"}).start()
    chance, storm = random.Random(1), None
    kcat(b, "-L", "-t", "kills")
    storm = Storm(b, work)
    try:
        wait_for("answered commits", lambda: storm.answered() > 0, 30)
        time.sleep(chance.uniform(0.2, 0.5))
        b.kill()
        b.start()
        kcat(b, "-L", "-t", "kills")
        time.sleep(1)
        status, said = storm.verdict()
    finally:
        storm.end()
    check(status == 1 and "was answered" in said, f"the judge says {status}: {said}")


tests.main()
