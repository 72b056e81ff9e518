#!/usr/bin/env python3
"""test_data_directory.py: a data directory that the broker must not use: one sentence with path and remedy, no harm."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import CHRONIK, Tests, check, consume, other_user, produce, wait_for  # noqa: E402

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
    flip(path, 22)
    b.refused("00000000.log", "offset", "damaged", "restore")
    flip(path, 22)
    b.start()
    check(consume(b, "t") == [b"1"], "the data was harmed")


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        was = f.read(1)
        f.seek(at)
        f.write(bytes([was[0] ^ 4]))


@tests.test
def d2_a_flipped_bit_in_the_metadata_snapshot_refuses_the_start_though_the_checkpoint_is_right(work):
    b = tests.broker(work, settings={"chronik.meta-local.file.bytes": "65536"}).start()
    produce(b, "t", [b"1"])
    ctl = os.path.join(os.path.dirname(CHRONIK), "chronikctl")
    for n in range(16):  # enough that the log uses its first file again
        names = [f"{n}-{k}-" + "x" * 200 for k in range(50)]
        subprocess.run([ctl, "--bootstrap", b.address, "topic", "create", *names], check=True, timeout=60, capture_output=True)
        if n == 7:
            subprocess.run([ctl, "--admin", f"127.0.0.1:{b.admin_port}", "meta", "snapshot"], check=True, timeout=20,
                           capture_output=True)
    for end in (b.kill, b.stop):
        end()
        path = os.path.join(b.data, "meta-local", "snapshot")
        flip(path, os.path.getsize(path) // 2)
        b.refused(path, "offset", "damaged", "restore")
        flip(path, os.path.getsize(path) // 2)
        b.start()
        check(consume(b, "t") == [b"1"], "the data was harmed")
    b.stop()
    os.unlink(path)  # as the sentence says
    b.start()
    wait_for("another snapshot", lambda: os.path.exists(path))  # without one, only the checkpoint leads to the present state
    check(consume(b, "t") == [b"1"], "the data was harmed")


@tests.test
def d2_a_log_that_ends_before_the_checkpoint_is_refused(work):
    """Cut exactly between two groups, it looks like one that was never longer."""
    b = tests.broker(work).start()
    for n in range(5):
        produce(b, "t", [b"%d" % n])
    b.stop()
    path = os.path.join(b.data, "wal", "00000000.log")
    with open(path, "r+b") as f:
        data = f.read()
        groups = [at for at in range(512, len(data), 512) if data[at:at + 4] == b"CKGR"]
        check(len(groups) > 4, f"only {len(groups)} groups were written")
        f.seek(groups[3])
        f.write(bytes(len(data) - groups[3]))
    b.refused(path.removesuffix("/00000000.log"), "00000000.log", "offset", "had been synced", "restore")
    with open(path, "wb") as f:
        f.write(data)
    b.start()
    check(consume(b, "t") == [b"%d" % n for n in range(5)], "the data was harmed")


@tests.test
def a_directory_of_another_owner_is_refused(work):
    uid, program = other_user(work)
    os.chmod(work, 0o755)
    home = sub(work, "home")
    os.chown(home, uid, uid)
    b = tests.broker(home, user=uid, program=program)
    os.mkdir(b.data, 0o700)  # root's
    b.refused(b.data)


def has_owner(path, uid):
    return all(os.lstat(os.path.join(folder, name)).st_uid == uid
               for folder, folders, files in os.walk(path) for name in [".", *folders, *files])


@tests.test
def root_does_not_take_over_the_directory_of_another_user(work):
    uid, program = other_user(work)
    home = sub(work, "home")
    os.chown(home, uid, uid)
    b = tests.broker(home, user=uid, program=program).start()
    produce(b, "t", [b"1"])
    b.stop()
    b.user = None  # root
    b.refused(b.data, f"belongs to user {uid}", "chown")
    check(has_owner(b.data, uid), "root has left files of its own")
    empty = sub(work, "empty")
    os.chown(empty, uid, uid)
    c = tests.broker(sub(work, "c"), settings={"log.dirs": empty})
    c.refused(empty, f"belongs to user {uid}", "chown")
    check(os.listdir(empty) == [], "root has written into the directory")
    b.user = uid
    b.start()
    check(consume(b, "t") == [b"1"], "the data was harmed")


@tests.test
def a_directory_of_kafka_itself_is_refused(work):
    b = tests.broker(work)
    os.makedirs(os.path.join(b.data, "__cluster_metadata-0"))
    b.refused(b.data, "Apache Kafka", "log.dirs")
    check(os.listdir(b.data) == ["__cluster_metadata-0"], "something was written there")


@tests.test
def an_empty_directory_can_be_told_from_an_unmounted_disk(work):
    b = tests.broker(work).start()
    produce(b, "t", [b"1"])
    b.stop()
    b.settings["chronik.format.directories"] = "false"
    b.start()
    check(consume(b, "t") == [b"1"], "a prepared directory is not taken")
    b.stop()
    away = os.path.join(work, "away")
    os.rename(b.data, away)
    b.refused(b.data, "chronik.format.directories=false", "mount")
    os.mkdir(b.data)
    b.refused(b.data, "mount")
    check(os.listdir(b.data) == [], "the refused start has written into the empty directory")


@tests.test
def a_directory_named_twice_is_refused(work):
    path = os.path.join(work, "a")
    tests.broker(work, settings={"log.dirs": f"{path},{path}/"}).refused(path, "named twice")


@tests.test
def a_directory_with_the_id_of_another_one_is_refused(work):
    b = tests.broker(work).start()
    b.stop()
    path = os.path.join(b.data, "meta.properties")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    own = property_of(b.data, "directory.id")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace(own, OTHER))
    b.refused(b.data, "meta.properties", "restore")


@tests.test
def sixty_four_directories_are_taken_and_more_are_refused(work):
    dirs = [os.path.join(work, f"d{n}") for n in range(65)]
    b = tests.broker(work, settings={"log.dirs": ",".join(dirs)})
    b.refused("65 data directories are more than 64")
    b.settings["log.dirs"] = ",".join(dirs[:64])
    b.start()
    produce(b, "t", [b"1"])
    b.kill()
    b.start()
    check(consume(b, "t") == [b"1"], "the record is gone")


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
