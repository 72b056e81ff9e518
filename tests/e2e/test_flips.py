#!/usr/bin/env python3
"""test_flips.py: one bit flips in any file of a whole data directory, the metadata log and the LMDB checkpoint included.
A broker that starts on it serves what was acknowledged, byte for byte, or says which file is damaged, where, and what to
do; at most one topic is lost to readers. The seed is printed; CHRONIK_FLIP_SEED repeats one, CHRONIK_FLIPS=n makes n."""
import os
import random
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import CHRONIK, LONG, SHORT, Failed, Tests, check, produce, wait_for  # noqa: E402

tests = Tests()
FLIPS = int(os.environ.get("CHRONIK_FLIPS", 200 if LONG else 12 if SHORT else 25))
TOPICS = ("a", "b", "c")


def lines_of(topic):
    return [b"%s %06d " % (topic.encode(), n) + b"x" * (n % 700) for n in range(400)]


def files_of(data):
    """The files with content, by kind: the last folder and the ending."""
    kinds = {}
    for folder, _, names in os.walk(data):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.getsize(path):
                where = os.path.relpath(folder, data).split("/")[0]
                kinds.setdefault((where, os.path.splitext(name)[1] or name), []).append(path)
    return kinds


def flip(data, rng):
    """One bit of a file that is chosen by kind first; in the used front of prewritten files, mostly."""
    kinds = files_of(data)
    kind = rng.choice(sorted(kinds))
    path = rng.choice(sorted(kinds[kind]))
    size = os.path.getsize(path)
    at = rng.randrange(size if rng.randrange(4) == 0 else min(size, 20000))
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0] ^ 1 << rng.randrange(8)
        f.seek(at)
        f.write(bytes([byte]))
    return kind, f"{os.path.relpath(path, data)} at {at} of {size}"


def read(broker, topic):
    """All records, or None when the broker does not give them."""
    try:
        done = subprocess.run(["kcat", "-b", broker.address, "-X", "broker.address.family=v4", "-C", "-t", topic, "-p", "0",
                               "-o", "beginning", "-e", "-q"], capture_output=True, timeout=4, check=False)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.splitlines() if done.returncode == 0 else None


def refused(b, what):
    check(b.process.returncode > 0, f"{what}: the start ended with {b.process.returncode}: {b.log()[-800:]}")
    said = [x for x in b.log().splitlines() if any(w in x for w in ("damaged", "restore", "belongs", "meta.properties"))]
    check(said, f"{what}: the start was refused without a reason: {b.log()[-800:]}")
    return "refused"


def judge(b, what):
    """How the broker took it: a word for the table."""
    b.launch()
    try:
        wait_for("the broker to listen or to end", lambda: b.process.poll() is not None or listening(b), 20)
    except Failed as e:
        raise Failed(f"{what}: {e}; it said: {b.log()[-800:]}") from None
    if b.process.poll() is not None:
        return refused(b, what)
    lost = []
    for topic in TOPICS:
        got = read(b, topic)
        if got is None:
            lost.append(topic)
        else:
            check(got == lines_of(topic), f"{what}: topic {topic} gives {len(got)} records that are not those acknowledged")
    if lost and b.process.poll() is not None:  # it listened, and then found the damage
        return refused(b, what)
    check(len(lost) <= 1, f"{what}: topics {lost} are lost; it said: {b.log()[-800:]}")
    if lost:
        check("is offline" in b.log() and "offset" in b.log(), f"{what}: {lost[0]} is lost without a word: {b.log()[-800:]}")
        _, metrics = b.admin("/metrics")
        check("chronik_partitions_offline 1" in metrics, f"{what}: the metrics do not show it")
        _, ready = b.admin("/readyz")
        check("offline" in ready and "offset" in ready, f"{what}: health does not name it: {ready}")
        return "offline"
    return "harmless"


def listening(b):
    try:
        return b._listening()  # pylint: disable=protected-access
    except Failed:
        return True


@tests.test
def d2_a_flipped_bit_in_any_file_is_named_or_does_no_harm(work):
    b = tests.broker(work, settings={"chronik.store-wal.checkpoint.ms": "200"}).start()
    for topic in TOPICS:
        produce(b, topic, lines_of(topic))
    ctl = os.path.join(os.path.dirname(CHRONIK), "chronikctl")
    subprocess.run([ctl, "--admin", f"127.0.0.1:{b.admin_port}", "meta", "snapshot"], check=True, timeout=20)
    time.sleep(0.6)  # a checkpoint of each kind is written
    for topic in TOPICS:
        check(read(b, topic) == lines_of(topic), "the data is not right to begin with")
    b.kill()
    killed = os.path.join(work, "killed")
    shutil.copytree(b.data, killed)
    b.start()
    b.stop()
    stopped = os.path.join(work, "stopped")
    shutil.copytree(b.data, stopped)
    seed = int(os.environ.get("CHRONIK_FLIP_SEED", time.time_ns() % 1000000))
    table = {}
    for n in range(seed, seed + FLIPS):
        rng = random.Random(n)
        shutil.rmtree(b.data)
        shutil.copytree(rng.choice((killed, stopped)), b.data)
        kind, what = flip(b.data, rng)
        word = judge(b, f"CHRONIK_FLIP_SEED={n} CHRONIK_FLIPS=1: {what}")
        b.end()
        table.setdefault(kind, {}).setdefault(word, 0)
        table[kind][word] += 1
    for kind, words in sorted(table.items()):
        print(f"# {'/'.join(kind)}: " + ", ".join(f"{n} {w}" for w, n in sorted(words.items())))


tests.main()
