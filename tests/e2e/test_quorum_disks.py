#!/usr/bin/env python3
"""test_quorum_disks.py: what a metadata quorum makes of bad disks: a sync that fails, a disk that is full (a small tmpfs
for each node), a log that is damaged in the middle or torn at its tail. The seed of the damages is printed; CHRONIK_SEED
repeats it. CHRONIK_TEST_FULL: 400 damages."""
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import FULL, SHORT, Skip, Tests, check, consume, produce, wait_for  # noqa: E402
from load import Load, seed_of  # noqa: E402
from quorum import Quorum, create, topics  # noqa: E402

tests = Tests()
DAMAGES = 400 if FULL else 8 if SHORT else 30
SMALL_FILES = {"chronik.meta-raft.file.bytes": "65536"}


# ---- a sync that fails ----

def faulty(b, faults):
    """From its next start on the broker meets these faults (core/os/README.md)."""
    b.wrap = ["env", f"CHRONIK_TEST_FAULTS={faults}"] if faults else []


@tests.test
def d1_a_sync_of_the_metadata_log_that_fails_ends_the_process_and_loses_nothing(work):
    q = Quorum(tests, work).start().ready()
    for victim in (q.leader(), (q.leader() + 1) % 3):
        b = q.nodes[victim]
        b.stop()
        faulty(b, f"sync@meta-raft/log:{random.randrange(20, 60)}:EIO")
        q.start(victim)
        with Load(work, "topic_load", q.nodes, 8, f"victim{victim}") as load:
            status = b.wait()
            check(status == 74, f"a failed sync ended the process with status {status}")
            lines = [x for x in b.log().splitlines() if "meta-raft/log" in x and "sync" in x]
            check(lines, "the log does not say what failed")
            faulty(b, "")
            before = load.answered()
            wait_for("the others to go on", lambda x=before: load.answered() > x)
            q.start(victim).ready()
            status, said = load.verdict()
            check(status == 0, said)
        q.equal()


# ---- a full disk ----

@contextlib.contextmanager
def small_disks(work):
    """Three nodes, each with its data on a disk of its own; their logs are elsewhere."""
    if os.getuid() != 0:
        raise Skip("only root can mount a small file system")
    q = Quorum(tests, work, settings=SMALL_FILES)
    try:
        for b in q.nodes:
            disk = os.path.join(b.work, "disk")
            os.mkdir(disk)
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], capture_output=True,
                                  check=False)
            if done.returncode:
                raise Skip(f"a tmpfs cannot be mounted here: {done.stderr.decode().strip()}")
            b.data = b.settings["log.dirs"] = os.path.join(disk, "data")
        yield q.start().ready()
    finally:
        for b in q.nodes:
            b.end()
            subprocess.run(["umount", "-l", os.path.join(b.work, "disk")], capture_output=True, check=False)


def ballast(b):
    return os.path.join(b.work, "disk/ballast")


def fill(b):
    with contextlib.suppress(OSError), open(ballast(b), "ab", buffering=0) as f:
        while True:
            f.write(b"x" * 4096)


@tests.test
def d4_a_leader_whose_disk_is_full_hands_over_serves_reads_and_heals(work):
    with small_disks(work) as q:
        old = q.leader()
        rest = [i for i in range(3) if i != old]
        check(create(q.nodes[old], "kept"), "a topic could not be created")
        produce(q.nodes[old], "kept", [b"one", b"two"])
        fill(q.nodes[old])
        with Load(work, "topic_load", [q.nodes[i] for i in rest], 8) as load:
            wait_for("the leader to step down", lambda: q.meta(old)["role"] != "leader", 40)
            new = q.leader(*rest)
            before = load.answered()
            wait_for("the others to serve", lambda: load.answered() > before + 100)
            check("the disk is full" in q.nodes[old].log(), "the log does not say that the disk is full")
            wait_for("the full node to follow", lambda: q.meta(old)["leader"] == new + 1)
            check("kept" in topics(q.nodes[old]), "metadata cannot be read on a full disk")
            check(consume(q.nodes[old], "kept") == [b"one", b"two"], "records cannot be read on a full disk")
            os.remove(ballast(q.nodes[old]))
            status, said = load.verdict()
            check(status == 0, said)
        q.ready()
        q.equal()
        check(create(q.nodes[old], "again"), "the node does not serve although there is room again")


@tests.test
def d4_when_all_disks_are_full_commands_are_refused_reads_go_on_and_space_heals_it(work):
    with small_disks(work) as q:
        check(create(q.nodes[0], "kept"), "a topic could not be created")
        for b in q.nodes:
            fill(b)
        made, refused = {"kept"}, 0
        for n in range(2000):
            topic, b = f"t{n}", q.nodes[n % 3]
            fill(b)
            if create(b, topic, timeout=5):
                made.add(topic)
            else:
                refused += 1
            if refused > 3:
                break
        check(refused > 3, "two thousand commands went onto full disks")
        for b in q.nodes:
            check("kept" in topics(b), "metadata cannot be read on a full disk")
            check(b.process.poll() is None, "a full disk has ended the process")
            os.remove(ballast(b))
        wait_for("commands to be answered again", lambda: create(q.nodes[0], f"after-{time.monotonic_ns()}", timeout=5), 60)
        q.ready()
        q.equal()
        check(made <= topics(q.nodes[0]), f"answered, and lost: {sorted(made - topics(q.nodes[0]))}")


# ---- a damaged log ----

def copy(source, target):
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", "--sparse=always", source, target], check=True)


def log_files(data):
    """Names of the log's files, the one that was written last at the end."""
    folder = os.path.join(data, "meta-raft/log")
    return sorted(os.listdir(folder), key=lambda n: os.path.getmtime(os.path.join(folder, n)))


def damage(data, chance):
    """One flipped bit, stretch of zeros or cut in a file of the log, mostly in its used front. The end of the newest file
    is left there: without it nothing could tell a crash from damage."""
    names = log_files(data)
    name = chance.choice(names)
    path = os.path.join(data, "meta-raft/log", name)
    with open(path, "r+b") as f:
        content = f.read()
        used = min(len(content), len(content.rstrip(b"\0")) + 600)  # a little of what was written ahead
        at = chance.randrange(used)
        what = chance.choice(["flip", "zeros"] if name == names[-1] else ["flip", "zeros", "cut"])
        f.seek(at)
        if what == "cut":
            f.truncate(at)
        elif what == "flip":
            f.write(bytes([content[at] ^ 1 << chance.randrange(8)]))
        else:
            f.write(b"\0" * min(chance.randrange(1, 2000), max(1, used - 2500 - at)))
    return f"{what} at {at} of {name}, which is used up to {used - 600}"


def started(b, what):
    """Starts it on damaged files: True when it serves; False when it refused with file, offset and remedy."""
    b.launch()

    def settled():
        with contextlib.suppress(OSError):  # it may end between two looks
            if b.admin_port_known() and b.admin("/readyz")[0] == 200:
                return True
        return b.process.poll() is not None
    wait_for(f"the broker to be ready or to end after {what}", settled)
    if b.process.poll() is None:
        return True
    check(b.process.returncode > 0, f"{what}: the start ended with {b.process.returncode}")
    said = b.log()
    refusals = [x for x in said.splitlines() if "meta-raft" in x and ("remove" in x or "restore" in x)]
    check(refusals, f"{what}: refused without a remedy:\n{said[-800:]}")
    return False


def digests(b):
    """What this start has applied of what was there before it."""
    had = max(map(int, re.findall(r"metadata caught up at command (\d+)", b.log())))
    return {s: d for s, d in json.loads(b.admin("/meta/digests")[1])["digests"] if s <= had}


def seen_digests(b):
    return dict(json.loads(b.admin("/meta/digests")[1])["digests"])


def after_damage(b, source, chance, rounds, judge):
    """(served, refused) after so many damages to copies of `source`; `judge` looks at those that serve."""
    served = 0
    for n in range(rounds):
        copy(source, b.data)
        what = damage(b.data, chance)
        if chance.random() < 0.7:  # the log alone tells; else there is a checkpoint that knows more
            shutil.rmtree(os.path.join(b.data, "checkpoint"), ignore_errors=True)
        if started(b, what):
            served += 1
            judge(what)
            b.kill()
    return served, rounds - served


def voter(work):
    """A single voter with a metadata log of several files."""
    q = Quorum(tests, work, n=1, settings=SMALL_FILES).start().ready()
    return q, q.nodes[0]


@tests.test
def d2_a_damaged_log_is_refused_or_nothing_that_was_answered_is_missing(work):
    seed = seed_of()
    q, b = voter(work)
    with Load(work, "topic_load", b, 16) as load:
        wait_for("a long log", lambda: load.answered() > 1500)
        status, said = load.verdict()
        check(status == 0, said)
    time.sleep(0.5)  # the log marks that it is idle: all that was answered is provably old
    names, right = topics(b), seen_digests(b)
    b.kill()
    source = b.data + ".whole"
    shutil.move(b.data, source)

    def judge(what):
        check(topics(b) == names, f"{what}: {sorted(names ^ topics(b))[:5]} are not as they were")
        wrong = [s for s, d in digests(b).items() if right.get(s, d) != d]
        check(not wrong, f"{what}: the state differs after commands {wrong[:5]}")
    served, refused = after_damage(b, source, random.Random(seed), DAMAGES, judge)
    print(f"# seed {seed}, {DAMAGES} damages to {len(os.listdir(source + '/meta-raft/log'))} files: "
          f"{refused} refused, {served} without loss")
    check(refused > 0, "no damage was refused")


@tests.test
def d5_a_tail_that_was_torn_under_load_is_cut_where_the_state_is_one_that_was(work):
    seed = seed_of()
    chance = random.Random(seed)
    q, b = voter(work)
    seen = {}
    with Load(work, "topic_load", b, 16) as load:
        for _ in range(200):
            seen.update(seen_digests(b))
            if load.answered() > 800:
                break
            time.sleep(0.02)
        seen.update(seen_digests(b))
        b.kill()  # in the middle of a group, perhaps
    source = b.data + ".whole"
    shutil.move(b.data, source)
    newest = log_files(source)[-1]
    served, ends = 0, set()
    for n in range(DAMAGES):
        copy(source, b.data)
        shutil.rmtree(os.path.join(b.data, "checkpoint"), ignore_errors=True)
        path = os.path.join(b.data, "meta-raft/log", newest)
        with open(path, "r+b") as f:
            used = len(f.read().rstrip(b"\0"))
            at = max(0, used - chance.randrange(3000))
            f.seek(at)
            f.write(b"\0" * (os.path.getsize(path) - at))
        if started(b, f"zeros from {at} of {used}"):
            served += 1
            ends.add(q.meta(0)["seq"])
            wrong = [s for s, d in digests(b).items() if seen.get(s, d) != d]
            check(not wrong, f"zeros from {at} of {used}: the state differs after commands {wrong[:5]}")
            b.kill()
    print(f"# seed {seed}, {DAMAGES} torn tails: {served} were cut (at {len(ends)} different places), "
          f"{DAMAGES - served} refused")
    check(served > 0, "no torn tail was cut")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    tests.main()
