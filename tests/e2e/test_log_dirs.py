#!/usr/bin/env python3
"""test_log_dirs.py: a partition is moved to another data directory by AlterReplicaLogDirs while it is written, and stays
there over kill -9."""
import os
import signal
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import groups  # noqa: E402
from groups import ask, text  # noqa: E402
from harness import Tests, check, consume, produce, wait_for  # noqa: E402

tests = Tests()
ALTER, DESCRIBE = 34, 35
groups.VERSION.update({ALTER: 1, DESCRIBE: 1})
LOG_DIR_NOT_FOUND, UNKNOWN_TOPIC_OR_PARTITION = 57, 3


def move(broker, path, topic):
    """The error code of partition 0."""
    a = ask(broker, ALTER, struct.pack(">i", 1) + text(path) + struct.pack(">i", 1) + text(topic) + struct.pack(">ii", 1, 0))
    check(a.number("i") == 1 and a.text() == topic and a.number("i") == 1 and a.number("i") == 0, "the answer names the partition")
    return a.number("h")


def places(broker, topic):
    """[(directory, is the copy of a move)] of partition 0."""
    a = ask(broker, DESCRIBE, struct.pack(">i", -1))
    found = []
    for _ in range(a.number("i")):
        check(a.number("h") == 0, "the directory can be described")
        path = a.text()
        for _ in range(a.number("i")):
            name = a.text()
            for _ in range(a.number("i")):
                index, _, _, future = a.number("i"), a.number("q"), a.number("q"), a.number("b")
                if name == topic and index == 0:
                    found.append((path, bool(future)))
    return found


@tests.test
def a_partition_moves_to_another_directory_and_stays_there(work):
    dirs = [os.path.join(work, name) for name in ("a", "b")]
    broker = tests.broker(work, settings={"log.dirs": ",".join(dirs), "log.segment.bytes": "1048576"}).start()
    lines = [b"%06d %s" % (n, b"x" * 100) for n in range(40000)]
    produce(broker, "moved", lines[:30000], "-p", "0")
    (here, future), = places(broker, "moved")
    check(not future and here in dirs, f"it lies in one directory: {here}")
    there = dirs[1 - dirs.index(here)]
    check(move(broker, here, "moved") == 0, "a move to where it is is done")
    check(move(broker, os.path.join(work, "none"), "moved") == LOG_DIR_NOT_FOUND, "an unknown directory is told")
    check(move(broker, there, "nobody") != 0, "an unknown topic is refused")
    check(move(broker, there, "moved") == 0, "the move begins")
    produce(broker, "moved", lines[30000:35000], "-p", "0")
    wait_for("the move to end", lambda: places(broker, "moved") == [(there, False)])
    produce(broker, "moved", lines[35000:], "-p", "0")
    check(consume(broker, "moved") == lines, "all records are there once, in order")
    broker.kill()
    broker.start()
    check(consume(broker, "moved") == lines, "also after kill -9")
    check(places(broker, "moved") == [(there, False)], "it is still where it was moved to")


@tests.test
def a_kill_in_the_middle_of_a_move_loses_nothing(work):
    dirs = [os.path.join(work, name) for name in ("a", "b")]
    broker = tests.broker(work, settings={"log.dirs": ",".join(dirs), "log.segment.bytes": "1048576"}).start()
    lines = [b"%06d %s" % (n, b"x" * 200) for n in range(50000)]
    produce(broker, "moved", lines, "-p", "0")
    for _ in range(4):
        (here, _), = places(broker, "moved")
        there = dirs[1 - dirs.index(here)]
        check(move(broker, there, "moved") == 0, "the move begins")
        broker.signal(signal.SIGKILL)
        broker.wait()
        broker.start()
        check(consume(broker, "moved") == lines, "all records are there once, in order")
        check(len(places(broker, "moved")) == 1, "it lies in one directory")


if __name__ == "__main__":
    tests.main()
