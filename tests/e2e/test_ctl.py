#!/usr/bin/env python3
"""test_ctl.py: chronikctl against a running broker: topics, status, exit statuses, and sentences for what goes wrong."""
import json
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import CHRONIK, Tests, check, consume, kcat, produce  # noqa: E402

tests = Tests()
CTL = os.path.join(os.path.dirname(CHRONIK), "chronikctl")


def ctl(b, *args, status=0):
    """Standard output and standard error."""
    env = {**os.environ, "CHRONIK_BOOTSTRAP": b.address, "CHRONIK_ADMIN": f"127.0.0.1:{b.admin_port}"}
    done = subprocess.run([CTL, *args], capture_output=True, env=env, timeout=60, check=False)
    out, err = done.stdout.decode(), done.stderr.decode()
    check(done.returncode == status, f"chronikctl {' '.join(args)} ended with {done.returncode}: {out}{err}")
    return out, err


@tests.test
def topics_are_made_listed_described_and_deleted(work):
    b = tests.broker(work).start()
    ctl(b, "topic", "create", "orders", "events", "--partitions", "3", "--config", "retention.ms=86400000")
    listed = json.loads(ctl(b, "topic", "list", "--format", "json")[0])
    check([t["name"] for t in listed] == ["events", "orders"], f"listed: {listed}")
    check(all(t["partitions"] == 3 and t["replication_factor"] == 1 for t in listed), f"listed: {listed}")
    one = json.loads(ctl(b, "topic", "describe", "orders", "--format", "json")[0])[0]
    check(one["configs"] == {"retention.ms": "86400000"}, f"described: {one}")
    check([p["partition"] for p in one["partitions"]] == [0, 1, 2], f"described: {one}")
    check(all(p["leader"] == 1 and p["in_sync"] == [1] and p["offline"] == [] for p in one["partitions"]), f"{one}")
    produce(b, "orders", [b"x"], "-p", "0")
    check(consume(b, "orders") == [b"x"], "the topic does not serve")
    ctl(b, "topic", "delete", "orders")
    out, _ = ctl(b, "topic", "list")
    check("events" in out and "orders" not in out, f"listed: {out}")


@tests.test
def groups_are_listed_described_reset_and_deleted(work):
    b = tests.broker(work, settings={"group.initial.rebalance.delay.ms": "0"}).start()
    ctl(b, "topic", "create", "orders", "--partitions", "2")
    produce(b, "orders", [b"a", b"b", b"c"], "-p", "1")
    kcat(b, "-G", "readers", "-X", "auto.offset.reset=earliest", "-e", "orders")
    listed = json.loads(ctl(b, "group", "list", "--format", "json")[0])
    check([(g["group"], g["state"], g["protocol_type"]) for g in listed] == [("readers", "Empty", "consumer")], f"listed: {listed}")
    produce(b, "orders", [b"d"], "-p", "1")
    one = json.loads(ctl(b, "group", "describe", "readers", "--format", "json")[0])[0]
    lag = {(p["topic"], p["partition"]): (p["offset"], p["end"], p["lag"]) for p in one["offsets"]}
    check(one["state"] == "Empty" and lag[("orders", 1)] == (3, 4, 1), f"described: {one}")
    ctl(b, "group", "reset-offsets", "readers", "--topic", "orders", "--to", "earliest", "--validate-only")
    check("1 " in ctl(b, "group", "describe", "readers")[0], "a table")
    ctl(b, "group", "reset-offsets", "readers", "--topic", "orders", "--to", "earliest")
    again = kcat(b, "-G", "readers", "-e", "-q", "orders").splitlines()
    check(sorted(again) == [b"a", b"b", b"c", b"d"], f"read again: {again}")
    _, err = ctl(b, "group", "delete", "nobody", status=1)
    check("nobody" in err and "GROUP_ID_NOT_FOUND" in err, err)
    ctl(b, "group", "reset-offsets", "readers", "--to", "sideways", status=2)
    for beyond in ("5", "99999999999999999999"):
        _, err = ctl(b, "group", "reset-offsets", "readers", "--topic", "orders", "--to", beyond, status=1)
        check("from offset 0 to" in err and "nothing was changed" in err, err)
    one = json.loads(ctl(b, "group", "describe", "readers", "--format", "json")[0])[0]
    check({p["offset"] for p in one["offsets"]} == {0, 4}, f"an offset was changed: {one}")
    ctl(b, "group", "delete", "readers")
    check(json.loads(ctl(b, "group", "list", "--format", "json")[0]) == [], "the group is still there")


@tests.test
def names_from_the_broker_do_not_steer_the_terminal(work):
    b = tests.broker(work, settings={"group.initial.rebalance.delay.ms": "0"}).start()
    produce(b, "t", [b"a"])
    name = "red\x1b[31m\r\u009bname"
    kcat(b, "-G", name, "-X", "auto.offset.reset=earliest", "-e", "t")
    listed = json.loads(ctl(b, "group", "list", "--format", "json")[0])
    check([g["group"] for g in listed] == [name], f"listed: {listed}")
    for args in (("list",), ("describe", name)):
        out, _ = ctl(b, "group", *args)
        check(not any(c in out for c in "\x1b\r\u009b") and "\\x1b[31m\\x0d" in out, f"group {args}: {out!r}")


@tests.test
def a_remedy_fits_what_went_wrong(work):
    b = tests.broker(work).start()
    closed = socket.create_server(("127.0.0.1", 0))
    dead = closed.getsockname()[1]
    closed.close()
    for args, says, says_not in (
            (("group", "describe", "nobody"), "group list", "log"),
            (("topic", "list", "--bootstrap", f"127.0.0.1:{dead}"), "is the broker running", "listeners"),
            (("topic", "list", "--bootstrap", f"127.0.0.1:{b.admin_port}"), "one of the broker's listeners", "running"),
            (("topic", "list", "--bootstrap", "127.0.0.1:99999"), "from 1 to 65535", "running"),
            (("status", "--admin", f"127.0.0.1:{dead}"), "is the broker running", "HTTP"),
            (("status", "--admin", b.address), "is --admin chronik.admin.listener?", "running")):
        _, err = ctl(b, *args, status=1)
        check(says in err and says_not not in err and err.count("\n") == 1, f"{args}: {err}")


@tests.test
def failures_are_sentences_with_a_remedy_and_status_1(work):
    b = tests.broker(work).start()
    ctl(b, "topic", "create", "there")
    for args, words in ((("create", "there"), ("there", "TOPIC_ALREADY_EXISTS", "--if-not-exists")),
                        (("create", "a/b"), ("a/b", "INVALID_TOPIC")),
                        (("create", "many", "--replication-factor", "3"), ("many", "INVALID_REPLICATION_FACTOR")),
                        (("create", "odd", "--config", "no.such.key=1"), ("odd", "INVALID_CONFIG")),
                        (("delete", "gone"), ("gone", "UNKNOWN_TOPIC")),
                        (("describe", "gone"), ("gone", "UNKNOWN_TOPIC"))):
        out, err = ctl(b, "topic", *args, status=1)
        check(out == "" and all(w in err for w in words), f"topic {args}: {out}{err}")
    ctl(b, "topic", "create", "there", "--if-not-exists")
    ctl(b, "topic", "delete", "gone", "--if-exists")
    ctl(b, "topic", "create", "maybe", "--validate-only")
    check("maybe" not in ctl(b, "topic", "list")[0], "--validate-only made a topic")


@tests.test
def wrong_usage_is_status_2_and_an_unreachable_broker_1(work):
    b = tests.broker(work).start()
    ctl(b, status=2)
    ctl(b, "topic", "burn", status=2)
    ctl(b, "topic", "list", "--wait", "3", status=2)
    check("--partitions" in ctl(b, "topic", "create", "--help")[0], "help does not name --partitions")
    _, err = ctl(b, "topic", "list", "--bootstrap", "127.0.0.1:1", status=1)
    check("127.0.0.1:1" in err and "refused" in err, err)
    _, err = ctl(b, "topic", "list", "--bootstrap", f"127.0.0.1:{b.admin_port}", "--timeout", "3", status=1)
    check(str(b.admin_port) in err, err)
    _, err = ctl(b, "status", "--admin", b.address, "--timeout", "3", status=1)
    check(b.address in err, err)


@tests.test
def the_quorum_of_one_node_is_shown_and_refuses_changes(work):
    b = tests.broker(work).start()
    ctl(b, "status", "--wait", "30")
    members = json.loads(ctl(b, "meta", "members", "--format", "json")[0])
    check(members["leader"] == 1 and len(members["members"]) == 1, f"{members}")
    one = members["members"][0]
    check(one["node"] == 1 and one["kind"] == "voter" and one["leader"] is True, f"{one}")
    check("voter" in ctl(b, "meta", "members")[0], "the table does not show the voter")
    status = json.loads(ctl(b, "meta", "status", "--format", "json")[0])
    check(status["proposed"] >= status["persisted"] >= status["committed"] >= status["applied"] > 0, f"{status}")
    ctl(b, "meta", "snapshot")
    after = json.loads(ctl(b, "meta", "status", "--format", "json")[0])
    check(after["snapshot_seq"] > 0, f"no snapshot was made: {after}")
    for args in (("add", "2", "127.0.0.1:9093"), ("promote", "2"), ("remove", "1"), ("transfer",)):
        out, err = ctl(b, "meta", *args, status=1)
        check(out == "" and "--meta=raft" in err, f"meta {args}: {out}{err}")
    for args in (("add", "2"), ("add", "two", "h:1"), ("add", "2", "no port"), ("promote",), ("remove", "x"), ("burn",)):
        ctl(b, "meta", *args, status=2)


@tests.test
def the_status_waits_until_the_broker_is_ready_and_shows_the_pipeline(work):
    b = tests.broker(work).start()
    status = json.loads(ctl(b, "status", "--wait", "30", "--format", "json")[0])
    check(status["ready"] is True and status["version"] and status["build_id"], f"{status}")
    meta = status["meta"]
    check(meta["proposed"] >= meta["persisted"] >= meta["committed"] >= meta["applied"] >= 0, f"{meta}")
    out, _ = ctl(b, "status")
    check("broker.node_id" in out and "meta.committed" in out, out)


tests.main()
