#!/usr/bin/env python3
"""test_data_directory.py: a data directory that the broker must not use: one sentence with path and remedy, no harm."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import Tests, check, consume, other_user, produce  # noqa: E402

tests = Tests()
FIRST, OTHER = "Zmlyc3QgY2x1c3RlciAxNg", "b3RoZXIgY2x1c3RlciAxNg"


def sub(work, name):
    path = os.path.join(work, name)
    os.mkdir(path)
    return path


@tests.test
def a_directory_in_use_by_another_broker_is_refused(work):
    a = tests.broker(sub(work, "a")).start()
    produce(a, "t", [b"1"])
    b = tests.broker(sub(work, "b"), settings={"log.dirs": a.data})
    b.refused(a.data, "in use")
    produce(a, "t", [b"2"])
    check(consume(a, "t") == [b"1", b"2"], "the first broker was harmed")


@tests.test
def a_directory_of_another_cluster_is_refused(work):
    a = tests.broker(sub(work, "a"), settings={"chronik.cluster.id": FIRST}).start()
    produce(a, "t", [b"1"])
    a.stop()
    a.settings["chronik.cluster.id"] = OTHER
    a.refused(FIRST, OTHER)
    a.settings["chronik.cluster.id"] = FIRST
    a.start()
    check(consume(a, "t") == [b"1"], "the data was harmed")


@tests.test
def a_directory_of_another_node_is_refused(work):
    a = tests.broker(sub(work, "a")).start()
    a.stop()
    a.settings["node.id"] = "7"
    a.refused(a.data, "node")


@tests.test
def d2_a_flipped_bit_in_the_metadata_log_refuses_the_start(work):
    b = tests.broker(work).start()
    produce(b, "t", [b"1"])
    b.kill()
    path = os.path.join(b.data, "meta-local", "log", "00000000.log")
    with open(path, "r+b") as f:
        f.seek(22)
        was = f.read(1)
        f.seek(22)
        f.write(bytes([was[0] ^ 4]))
    b.refused("00000000.log", "offset", "damaged", "restore")
    with open(path, "r+b") as f:
        f.seek(22)
        f.write(was)
    b.start()
    check(consume(b, "t") == [b"1"], "the data was harmed")


@tests.test
def a_directory_of_another_owner_is_refused(work):
    uid, program = other_user(work)
    os.chmod(work, 0o755)
    home = sub(work, "home")
    os.chown(home, uid, uid)
    b = tests.broker(home, user=uid, program=program)
    os.mkdir(b.data, 0o700)  # root's
    b.refused(b.data)


@tests.test
def a_read_only_directory_is_refused(work):
    uid, program = other_user(work)
    home = sub(work, "home")
    os.chown(home, uid, uid)
    b = tests.broker(home, user=uid, program=program)
    os.mkdir(b.data)
    os.chown(b.data, uid, uid)
    os.chmod(b.data, 0o500)
    b.refused(b.data)


@tests.test
def a_parent_that_may_not_be_written_is_refused(work):
    uid, program = other_user(work)
    home = sub(work, "home")
    os.chown(home, uid, uid)
    b = tests.broker(home, user=uid, program=program, settings={"log.dirs": os.path.join(work, "not/there/data")})
    b.refused(os.path.join(work, "not"))


@tests.test
def a_file_in_place_of_the_directory_is_refused(work):
    path = os.path.join(work, "file")
    with open(path, "w", encoding="utf-8") as f:
        f.write("not a directory\n")
    tests.broker(work, settings={"log.dirs": path}).refused(path)
    check(open(path, encoding="utf-8").read() == "not a directory\n", "the file was overwritten")


@tests.test
def a_missing_directory_is_made_with_its_parents(work):
    b = tests.broker(work, settings={"log.dirs": os.path.join(work, "a/b/c")}).start()
    produce(b, "t", [b"1"])
    check(os.stat(os.path.join(work, "a/b/c")).st_mode & 0o007 == 0, "others may look into the data directory")


tests.main()
