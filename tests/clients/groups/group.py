"""group.py: a group of one client's members as processes, a producer beside it, and what must hold of the lines that the members
print (README.md in this folder): every record is processed at least once, and no partition by two members in one generation."""
import collections
import json
import os
import signal
import subprocess
import threading
import time

from common import run

PARTITIONS = 10


class Wrong(Exception):
    """What must not be."""


class Member:
    def __init__(self, name, command, work, cwd=None):
        self.name, self.path = name, os.path.join(work, name)
        self.gone = False
        with open(self.path + ".out", "wb") as out, open(self.path + ".err", "wb") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, cwd=cwd, start_new_session=True)

    def lines(self):
        with open(self.path + ".out", encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    def owns(self):
        """The partitions of its last assignment."""
        told = [line for line in self.lines() if "assigned" in line]
        return set(told[-1]["assigned"]) if told and not self.gone else set()

    def alive(self):
        if self.process.poll() is not None and not self.gone:
            with open(self.path + ".err", encoding="utf-8", errors="replace") as f:
                raise Wrong(f"member {self.name} ended with {self.process.returncode}: {' '.join(f.read().split())[-400:]}")

    def kill(self):
        self.gone = True
        self.process.kill()
        self.process.wait(30)

    def leave(self):
        """SIGTERM, without waiting for the end."""
        self.gone = True
        self.process.send_signal(signal.SIGTERM)

    def left(self):
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            raise Wrong(f"member {self.name} did not leave within 30 s of SIGTERM") from None
        if not any("left" in line for line in self.lines()):
            raise Wrong(f"member {self.name} ended with {self.process.returncode} instead of leaving in order")

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)


class Producer:
    """Numbered lines through kcat at an even pace, until stop()."""

    def __init__(self, address, topic, rate=200):
        self.sent, self.rate, self.stopping = 0, rate, threading.Event()
        self.process = subprocess.Popen(["kcat", "-b", address, "-P", "-t", topic, "-X", "linger.ms=50", "-X", "partitioner=random"],
                                        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.thread = threading.Thread(target=self.write, daemon=True)
        self.thread.start()

    def write(self):
        with self.process.stdin as pipe:
            while not self.stopping.wait(10 / self.rate):
                pipe.write(b"".join(b"%d\n" % (self.sent + i) for i in range(10)))
                pipe.flush()
                self.sent += 10

    def stop(self):
        """The number of records sent, all of them acknowledged."""
        self.stopping.set()
        self.thread.join(30)
        if self.process.wait(60):
            raise Wrong(f"the producer ended with {self.process.returncode}")
        return self.sent


class Group:
    """start(name) gives a member's command; all waits are bounded."""

    def __init__(self, address, topic, start, work, cwd=None):
        self.address, self.topic, self.start, self.work, self.cwd = address, topic, start, work, cwd
        self.members = []

    def join(self, n=1):
        for _ in range(n):
            self.members.append(Member(f"m{len(self.members)}", self.start(), self.work, self.cwd))

    def live(self):
        return [m for m in self.members if not m.gone]

    def settle(self, seconds=60):
        """Waits until the live members own all partitions, each of them some and none two of them."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for m in self.members:
                m.alive()
            owned = [m.owns() for m in self.live()]
            if all(owned) and sorted(p for o in owned for p in o) == list(range(PARTITIONS)):
                return
            time.sleep(0.1)
        raise Wrong(f"the {len(self.live())} members did not settle within {seconds} s; they own " +
                    ", ".join(f"{m.name} {sorted(m.owns())}" for m in self.live()))

    def processed(self):
        """{partition: offsets}, and {(generation, partition): members}"""
        offsets, owners = collections.defaultdict(set), collections.defaultdict(set)
        for m in self.members:
            for line in m.lines():
                if "partition" in line:
                    offsets[line["partition"]].update(range(line["first"], line["last"] + 1))
                    owners[line["generation"], line["partition"]].add(m.name)
        return offsets, owners

    def catch_up(self, sent, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for m in self.members:
                m.alive()
            done = sum(len(o) for o in self.processed()[0].values())
            if done >= sent:
                return
            time.sleep(0.2)
        raise Wrong(f"{done} of {sent} records were processed within {seconds} s")

    def check(self, sent):
        offsets, owners = self.processed()
        for p, found in offsets.items():
            lost = set(range(max(found) + 1)) - found
            if lost:
                raise Wrong(f"partition {p}: {len(lost)} records were never processed, the first at {min(lost)}")
        if sum(len(o) for o in offsets.values()) != sent:
            raise Wrong(f"{sent} records were sent, {sum(len(o) for o in offsets.values())} offsets were processed")
        for (generation, p), names in owners.items():
            if len(names) > 1:
                raise Wrong(f"partition {p} had the owners {sorted(names)} in generation {generation}")
        if any(generation < 1 for generation, _ in owners):
            raise Wrong("a record was processed outside of any generation")

    def end(self):
        for m in self.members:
            m.end()


def joins_leaves_and_kills(group, producer, rounds):
    """Five members; in each round one leaves, one joins, one is killed, one joins. What was counted, as a sentence."""
    group.join(5)
    group.settle(90)
    for _ in range(rounds):
        leaving = group.live()[0]
        leaving.leave()
        group.settle()
        leaving.left()
        group.join()
        group.settle()
        group.live()[1].kill()
        group.settle()
        group.join()
        group.settle()
    sent = producer.stop()
    group.catch_up(sent)
    last = group.live()
    for m in last:
        m.leave()
    for m in last:
        m.left()
    group.check(sent)
    generations = {g for g, _ in group.processed()[1]}
    return f"{sent} records, {len(group.members)} members, {len(generations)} generations"


def create(address, topic):
    """A topic with as many partitions as the broker gives to one that is created by being asked for."""
    run(["kcat", "-b", address, "-L", "-t", topic, "-X", "allow.auto.create.topics=true"], timeout=30)
