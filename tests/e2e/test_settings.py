#!/usr/bin/env python3
"""test_settings.py: settings that are altered while the broker runs are in effect at once, survive kill -9, and are described with
where they come from: a topic's own, this broker's, all brokers', the command line, the default."""
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import groups  # noqa: E402
from groups import ask, text  # noqa: E402
from harness import Failed, Tests, check, consume, kcat, produce  # noqa: E402

tests = Tests()
DESCRIBE, ALTER = 32, 44
groups.VERSION.update({DESCRIBE: 1, ALTER: 0})
TOPIC, BROKER = 2, 4
SET, DELETE = 0, 1
OF_TOPIC, OF_BROKER, OF_ALL, STATIC, DEFAULT = 1, 2, 3, 4, 5
NONE, INVALID_REQUEST = 0, 42


def alter(broker, kind, name, key, value):
    """The error code; without a value the setting is deleted."""
    body = struct.pack(">ib", 1, kind) + text(name) + struct.pack(">i", 1) + text(key) + \
        struct.pack(">b", DELETE if value is None else SET) + text(value) + b"\0"
    a = ask(broker, ALTER, body)
    check(a.number("i") == 1, "one resource is answered")
    return a.number("h")


def described(broker, kind, name, key):
    """(value, source, [(name, value, source) of the synonyms])."""
    a = ask(broker, DESCRIBE, struct.pack(">ib", 1, kind) + text(name) + struct.pack(">i", 1) + text(key) + b"\1")
    check(a.number("i") == 1 and a.number("h") == NONE, "the resource is described")
    a.text(), a.number("b"), a.text()
    check(a.number("i") == 1 and a.text() == key, f"{key} is described alone")
    value = a.text()
    a.number("b")
    source = a.number("b")
    a.number("b")
    return value, source, [(a.text(), a.text(), a.number("b")) for _ in range(a.number("i"))]


def same(what, got, want):
    if got != want:
        raise Failed(f"{what}: {got}, not {want}")


def refused(broker, topic, size):
    before = len(consume(broker, topic))
    kcat(broker, "-P", "-t", topic, "-p", "0", "-X", "message.max.bytes=2000000", stdin=b"x" * size + b"\n", status=None)
    same(f"records of {topic}", len(consume(broker, topic)), before)


def as_it_was_set(broker):
    of_broker = [("message.max.bytes", "100000", OF_BROKER), ("message.max.bytes", "200000", OF_ALL),
                 ("message.max.bytes", "500000", STATIC), ("message.max.bytes", "1048588", DEFAULT)]
    same("the broker's", described(broker, BROKER, "1", "message.max.bytes"), ("100000", OF_BROKER, of_broker))
    same("all brokers'", described(broker, BROKER, "", "message.max.bytes"), ("200000", OF_ALL, of_broker[1:2]))
    same("the topic's without its own", described(broker, TOPIC, "wide", "max.message.bytes"), ("100000", OF_BROKER, of_broker))
    same("the topic's with its own", described(broker, TOPIC, "narrow", "max.message.bytes"),
         ("5000", OF_TOPIC, [("max.message.bytes", "5000", OF_TOPIC), *of_broker]))
    same("a setting that nobody altered", described(broker, BROKER, "1", "log.segment.bytes"),
         ("1073741824", DEFAULT, [("log.segment.bytes", "1073741824", DEFAULT)]))
    refused(broker, "wide", 150000)
    refused(broker, "narrow", 6000)
    produce(broker, "wide", [b"x" * 6000], "-p", "0")


@tests.test
def settings_that_were_altered_are_in_effect_after_kill_9(work):
    broker = tests.broker(work, settings={"message.max.bytes": "500000"}).start()
    produce(broker, "wide", [b"first"], "-p", "0")
    produce(broker, "narrow", [b"first"], "-p", "0")
    same("before", described(broker, BROKER, "1", "message.max.bytes")[:2], ("500000", STATIC))
    same("code", alter(broker, BROKER, "", "message.max.bytes", "200000"), NONE)
    same("code", alter(broker, BROKER, "1", "message.max.bytes", "100000"), NONE)
    same("code", alter(broker, TOPIC, "narrow", "max.message.bytes", "5000"), NONE)
    same("code of a setting that needs a restart", alter(broker, BROKER, "1", "num.partitions", "3"), INVALID_REQUEST)
    as_it_was_set(broker)
    broker.kill()
    broker.start()
    as_it_was_set(broker)


@tests.test
def a_setting_that_was_deleted_is_the_next_ones_after_kill_9(work):
    broker = tests.broker(work, settings={"message.max.bytes": "500000"}).start()
    produce(broker, "wide", [b"first"], "-p", "0")
    same("code", alter(broker, BROKER, "", "message.max.bytes", "200000"), NONE)
    same("code", alter(broker, BROKER, "1", "message.max.bytes", "100000"), NONE)
    same("code", alter(broker, BROKER, "1", "message.max.bytes", None), NONE)
    broker.kill()
    broker.start()
    same("all brokers' counts", described(broker, TOPIC, "wide", "max.message.bytes")[:2], ("200000", OF_ALL))
    produce(broker, "wide", [b"x" * 150000], "-p", "0")
    same("code", alter(broker, BROKER, "", "message.max.bytes", None), NONE)
    broker.kill()
    broker.start()
    same("the command line's counts", described(broker, TOPIC, "wide", "max.message.bytes")[:2], ("500000", STATIC))


if __name__ == "__main__":
    tests.main()
