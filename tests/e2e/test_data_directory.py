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


def several(work, count):
    """A broker over `count` directories with topics t0 to t3, and the paths."""
    dirs = [os.path.join(work, name) for name in "abc"[:count]]
    b = tests.broker(work, settings={"log.dirs": ",".join(dirs)}).start()
    for n in range(4):
        produce(b, f"t{n}", [b"%d" % n])
    return b, dirs


def all_there(b, what):
    for n in range(4):
        check(consume(b, f"t{n}") == [b"%d" % n], f"{what}: t{n} is not whole")


def property_of(path, key):
    with open(os.path.join(path, "meta.properties"), encoding="utf-8") as f:
        return dict(line.strip().split("=", 1) for line in f if "=" in line).get(key)


@tests.test
def a_missing_directory_beside_others_is_refused(work):
    b, (first, second) = several(work, 2)
    b.stop()
    lost = property_of(second, "directory.id")
    for name in (first, second):
        check(lost in property_of(name, "chronik.directories"), f"{name} does not name {lost}")
    away = os.path.join(work, "away")
    os.rename(second, away)
    b.refused(lost, os.path.join(first, "meta.properties"), "mount", "chronik.directories")
    check(not os.path.exists(second), "the refused start has made the directory")
    os.mkdir(second)
    b.refused(lost, first, "mount")
    check(os.listdir(second) == [], "the refused start has written into the empty directory")
    b.settings["log.dirs"] = f"{os.path.join(work, 'c')},{first}"
    b.refused(lost, first, "mount")
    check(not os.path.exists(os.path.join(work, "c")), "the refused start has made another directory")
    b.settings["log.dirs"] = f"{first},{away}"
    b.start()
    all_there(b, "put back elsewhere")
    b.stop()
    path = os.path.join(first, "meta.properties")
    with open(path, encoding="utf-8") as f:
        lines = [line for line in f if not line.startswith("chronik.directories=")]
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(lines)
    b.settings["log.dirs"] = first
    b.start()
    check(property_of(first, "chronik.directories") == property_of(first, "directory.id"), "what was given up is still named")


@tests.test
def the_order_of_the_directories_does_not_matter(work):
    b, dirs = several(work, 2)
    b.kill()
    b.settings["log.dirs"] = ",".join(reversed(dirs))
    b.start()
    all_there(b, "the order changed")
    b.stop()
    os.mkdir(os.path.join(dirs[1], "meta-local"))
    b.refused(*dirs, "both hold metadata")


@tests.test
def a_directory_is_added(work):
    b, dirs = several(work, 2)
    b.stop()
    third = os.path.join(work, "third")
    b.settings["log.dirs"] = ",".join([third, *dirs])
    b.start()
    all_there(b, "a directory added")
    named = {property_of(d, "directory.id") for d in (third, *dirs)}
    for d in (third, *dirs):
        check(set(property_of(d, "chronik.directories").split(",")) == named, f"{d} does not name all three")
    b.stop()
    b.settings["log.dirs"] = ",".join(dirs)
    b.refused(property_of(third, "directory.id"), "missing")


@tests.test
def a_start_that_ends_while_the_directories_are_named_can_be_repeated(work):
    """Of the files of two fresh directories, then of those two and a third, only the first few are written."""
    for written in range(3):
        dirs = [os.path.join(work, f"{name}{written}") for name in "abc"]
        b = tests.broker(sub(work, f"broker{written}"))
        for count in (2, 3):
            b.settings["log.dirs"] = ",".join(dirs[:count])
            os.environ["CHRONIK_TEST_FAULTS"] = f"rename@meta.properties:{written}:EIO:*"
            b.refused("meta.properties cannot be written")
            del os.environ["CHRONIK_TEST_FAULTS"]
            b.start()
            b.stop()
            for d in dirs[:count]:
                check(len(property_of(d, "chronik.directories").split(",")) == count, f"{d} does not name all {count}")


tests.main()
