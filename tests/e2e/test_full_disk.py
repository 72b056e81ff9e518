#!/usr/bin/env python3
"""test_full_disk.py: a disk that is really full (a small tmpfs): writes are refused, reads go on, deletion makes room, and
writing goes on by itself. Needs root, to mount."""
import contextlib
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import CHRONIK, Failed, Skip, Tests, check, consume, kcat, produce, wait_for  # noqa: E402

tests = Tests()
CTL = os.path.join(os.path.dirname(CHRONIK), "chronikctl")
RECORD = 100 * 1024


@contextlib.contextmanager
def small_disk(work, name="disk"):
    """A tmpfs of 48 MiB, unmounted at the end, after the brokers on it are gone."""
    path = os.path.join(work, name)
    os.mkdir(path)
    if os.getuid() != 0:
        raise Skip("only root can mount a small file system")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", path], capture_output=True, check=False)
    if done.returncode:
        raise Skip(f"a tmpfs cannot be mounted here: {done.stderr.decode().strip()}")
    try:
        yield path
    finally:
        for b in tests.brokers:
            b.end()
        subprocess.run(["umount", "-l", path], check=False)


def line(n):
    return b"%08d " % n + b"x" * RECORD


def try_produce(broker, topic, n):
    """Whether one record was acknowledged within two seconds."""
    try:
        produce(broker, topic, [line(n)], "-X", "message.timeout.ms=2000", "-X", "message.max.bytes=1000000")
        return True
    except Failed:
        return False


def fill(broker, topic, start):
    """Produces until the disk is full: the numbers that were acknowledged."""
    acked = []
    for n in range(start, start + 1000):
        if not try_produce(broker, topic, n):
            check(broker.process.poll() is None, "the broker died of a full disk")
            return acked
        acked.append(n)
    raise Failed("100 MB went onto a disk of 48")


def numbers(broker, topic):
    return [int(x[:8]) for x in consume(broker, topic)]


def missing(broker, topic, acked):
    there = set(numbers(broker, topic))
    return [n for n in acked if n not in there]


def ctl(broker, *args):
    done = subprocess.run([CTL, "--bootstrap", broker.address, *args], capture_output=True, text=True, timeout=30, check=False)
    check(done.returncode == 0, f"chronikctl {' '.join(args)}: {done.stderr.strip()}")


@tests.test
def d4_a_full_disk_refuses_writes_serves_reads_and_heals_when_a_topic_is_deleted(work):
    with small_disk(work) as disk:
        b = tests.broker(work, settings={"log.dirs": os.path.join(disk, "data")}).start()
        check(try_produce(b, "kept", 0), "nothing can be produced at all")
        acked = fill(b, "bulk", 1)
        check(len(acked) > 20, f"only {len(acked)} records fit")
        check(b.log().count("the disk is full: appends are refused") == 1, "the log says once that appends are refused")
        check(missing(b, "bulk", acked) == [], "an acknowledged record cannot be read on the full disk")
        check(numbers(b, "kept") == [0], "another topic cannot be read on the full disk")
        ctl(b, "topic", "delete", "bulk")
        wait_for("writing to go on by itself", lambda: try_produce(b, "kept", 7), 30)
        check(b.process.poll() is None, "the broker died")
        check(missing(b, "kept", [0, 7]) == [], "an acknowledged record is missing")


@tests.test
def d4_a_broker_killed_on_a_full_disk_starts_there_and_has_all_that_was_acknowledged(work):
    with small_disk(work) as disk:
        b = tests.broker(work, settings={"log.dirs": os.path.join(disk, "data")}).start()
        acked = fill(b, "bulk", 1)
        b.kill()
        b.start()
        check(missing(b, "bulk", acked) == [], "an acknowledged record is missing")
        ctl(b, "topic", "delete", "bulk")
        wait_for("writing to go on by itself", lambda: try_produce(b, "after", 1), 30)


def fill_up(disk):
    """A file that takes all blocks there are; its path."""
    path = os.path.join(disk, "ballast")
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as f:
        while f.write(bytes(65536)):
            pass
    return path


def one_of_two_is_full(work, full):
    """Directory number `full` of two is full, the first one also holds the metadata."""
    with small_disk(work, "d0") as d0, small_disk(work, "d1") as d1:
        topics = ("a", "b", "c", "d")  # two in each
        acked = {t: [] for t in topics}
        b = tests.broker(work, settings={"log.dirs": ",".join(os.path.join(d, "data") for d in (d0, d1))}).start()
        for t in topics:
            ctl(b, "topic", "create", t)
        ballast = fill_up((d0, d1)[full])

        def write(n):
            taken = [t for t in topics if try_produce(b, t, n)]
            for t in taken:
                acked[t].append(n)
            return taken

        # What was written ahead in the log takes the first records; the segments of the full directory have no block.
        check(len(write(0)) == 2, f"of four topics in two directories, one full, {acked} took a record")
        fits = write(1)
        check(len(fits) == 2, f"{fits} took a second record")
        check(all(missing(b, t, acked[t]) == [] for t in topics), "an acknowledged record cannot be read")
        ctl(b, "topic", "create", "more")  # commands have room, wherever the metadata are
        b.kill()
        b.start()
        check(all(missing(b, t, acked[t]) == [] for t in topics), "an acknowledged record is missing after kill -9")
        os.remove(ballast)
        wait_for("all directories to take records", lambda: len(write(2)) == 4, 30)
        check(all(missing(b, t, acked[t]) == [] for t in topics), "an acknowledged record is missing in the end")
        b.stop()


@tests.test
def d4_a_full_directory_with_the_metadata_refuses_its_own_writes_alone(work):
    one_of_two_is_full(work, 0)


@tests.test
def d4_a_full_directory_without_the_metadata_refuses_its_own_writes_alone(work):
    one_of_two_is_full(work, 1)


tests.main()
