#!/usr/bin/env python3
"""test_kill_loop.py: kill -9 again and again under 64 connections of acks=all; nothing acknowledged may be missing, moved
or doubled. Three rounds, fifty with CHRONIK_TEST_LONG."""
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import BUILD, LONG, SHORT, SLOW, Tests, check, kcat, produce, wait_for  # noqa: E402

tests = Tests()
LOAD = os.path.join(BUILD, "tests/e2e/kill_load")
ROUNDS = 50 if LONG else 3
CONNECTIONS = 16 if SHORT else 64


class Load:
    def __init__(self, broker, work):
        self.out = open(os.path.join(work, "load.log"), "w+b")
        self.process = subprocess.Popen([LOAD, str(broker.port), "kills", "8", str(CONNECTIONS)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.out)

    def acknowledged(self):
        self.process.stdin.write(b"?")
        self.process.stdin.flush()
        line = self.process.stdout.readline().strip()
        check(line.isdigit(), f"the load says: {line.decode(errors='replace')}")
        return int(line)

    def verdict(self):
        self.process.stdin.close()
        self.process.stdin = None
        said, _ = self.process.communicate(timeout=300 * SLOW)
        return self.process.returncode, said.decode(errors="replace").strip()

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self.out.close()


def kill_rounds(b, work, rounds, seed):
    """Kills and restarts the broker under load; the judge's (status, sentences)."""
    chance = random.Random(seed)
    produce(b, "first", [b"x"])  # the broker serves
    kcat(b, "-L", "-t", "kills")  # makes the topic
    load = Load(b, work)
    try:
        before = 0
        for n in range(rounds):
            wait_for(f"acknowledged records in round {n}", lambda: load.acknowledged() > before, 30)
            time.sleep(chance.uniform(0.05, 0.8))
            before = load.acknowledged()
            b.kill()
            b.start()
        wait_for("acknowledged records after the last restart", lambda: load.acknowledged() > before, 30)
        return load.verdict()
    finally:
        load.end()


@tests.test
def kill_9_under_load_loses_moves_and_doubles_no_acknowledged_record(work):
    check(os.path.exists(LOAD), "tests/e2e/kill_load was not built")
    seed = int(os.environ.get("CHRONIK_SEED", time.time_ns() % 1_000_000))
    b = tests.broker(work, settings={"num.partitions": "8"}).start()
    status, said = kill_rounds(b, work, ROUNDS, seed)
    print(f"# {ROUNDS} rounds, {CONNECTIONS} connections, seed {seed}: {said.splitlines()[-1]}")
    check(status == 0, f"CHRONIK_SEED={seed}: {said}")


@tests.test
def the_judge_notices_a_store_that_forgets(work):
    b = tests.broker(work, settings={"num.partitions": "8", "chronik.store": "mem"}).start()
    status, said = kill_rounds(b, work, 1, 1)
    check(status == 1 and "missing" in said, f"the judge says {status}: {said}")


tests.main()
