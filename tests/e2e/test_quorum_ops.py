#!/usr/bin/env python3
"""test_quorum_ops.py: what an operator does to a quorum of three brokers: changes asked of any node, a removal that is told
to the one it is about, a majority that is lost for good, and a data directory that is started with another module."""
import json
import os
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import SLOW, Tests, check, wait_for  # noqa: E402
from quorum import CTL, Quorum, create, ctl, topics  # noqa: E402

tests = Tests()


def members(broker):
    """{node: kind} as this node knows it."""
    return {m["node"]: m["kind"] for m in json.loads(ctl(broker, "--format", "json", "meta", "members"))["members"]}


def asked(broker, *args, door="--admin"):
    """chronikctl's status and all that it says."""
    at = broker.address if door == "--bootstrap" else f"{broker.host}:{broker.admin_port}"
    done = subprocess.run([CTL, door, at, *args], capture_output=True, text=True, timeout=60 * SLOW, check=False)
    return done.returncode, done.stdout + done.stderr


def fails(broker, *args, status=1, door="--admin"):
    """What chronikctl says; it must fail."""
    code, text = asked(broker, *args, door=door)
    check(code == status, f"chronikctl {' '.join(args)} ends with {code}: {text}")
    return text


def promoted(broker, node):
    wait_for(f"node {node} to be promoted", lambda: asked(broker, "meta", "promote", str(node))[0] == 0)


@tests.test
def a_follower_passes_on_what_is_asked_of_it(work):
    q = Quorum(tests, work).start().ready()
    leader = q.leader()
    a, b = (i for i in range(3) if i != leader)
    ctl(q.nodes[a], "meta", "demote", str(b + 1))
    wait_for("the learner to be seen", lambda: members(q.nodes[a]) == {leader + 1: "voter", a + 1: "voter",
                                                                       b + 1: "learner"})
    check(create(q.nodes[b], "without-a-vote"), "a broker without a vote does not serve")
    ctl(q.nodes[b], "meta", "promote", str(b + 1))
    ctl(q.nodes[a], "meta", "transfer", str(a + 1))
    wait_for("the lead to be handed over", lambda: q.meta(a)["role"] == "leader")
    ctl(q.nodes[leader], "meta", "demote", str(a + 1))  # the leader itself: a successor does it
    wait_for("another leader", lambda: q.leader() != a)
    check(members(q.nodes[q.leader()])[a + 1] == "learner", "the old leader is no learner")
    why = fails(q.nodes[a], "meta", "demote", str(a + 1))
    check("no voter" in why, why)
    q.equal()


@tests.test
def a_removed_node_is_told_and_can_be_added_again(work):
    q = Quorum(tests, work).start().ready()
    leader = q.leader()
    a, b = (i for i in range(3) if i != leader)
    ctl(q.nodes[a], "meta", "remove", str(b + 1))
    wait_for("it to say that it is no member", lambda: "no member" in q.nodes[b].admin("/readyz")[1])
    check(q.nodes[b].process.poll() is None, "the removed node has ended")
    check(sorted(members(q.nodes[a])) == sorted([leader + 1, a + 1]), f"{members(q.nodes[a])}")
    why = fails(q.nodes[a], "meta", "add", str(b + 1), "127.0.0.1:1")
    check("listens for the quorum at" in why, why)
    why = fails(q.nodes[a], "meta", "add", str(b + 1), "nonsense", status=2)
    check("HOST:PORT" in why, why)
    ctl(q.nodes[a], "meta", "add", str(b + 1), q.member(b))
    promoted(q.nodes[a], b + 1)
    q.ready()
    q.equal()


@tests.test
def a_survivor_of_a_lost_majority_goes_on_alone_and_the_others_do_not_come_back(work):
    q = Quorum(tests, work).start().ready()
    check(create(q.nodes[0], "kept"), "a topic could not be created")
    q.equal()
    lost = q.leader()
    one, two = (i for i in range(3) if i != lost)
    why = fails(q.nodes[one], "meta", "bootstrap", "--force")
    check("there is a leader" in why, why)
    q.nodes[lost].kill()
    q.nodes[two].kill()
    wait_for("the survivor to miss the others", lambda: q.meta(one)["role"] == "none")
    why = fails(q.nodes[one], "meta", "bootstrap")
    check("LOST" in why and "--force" in why and f"{two + 1}@" in why, why)
    ctl(q.nodes[one], "meta", "bootstrap", "--force")
    q.ready(one)
    check(create(q.nodes[one], "after"), "the survivor does not serve")
    check(topics(q.nodes[one]) == {"kept", "after"}, f"topics: {topics(q.nodes[one])}")
    check(list(members(q.nodes[one]).values()) == ["voter"], f"members: {members(q.nodes[one])}")
    check("founded anew with this node alone" in q.nodes[one].log(), "the log does not say so")
    # together the others have a majority of what they knew, and must not use it
    for i in (lost, two):
        q.nodes[i].launch()
    for i in (lost, two):
        check(q.nodes[i].wait() != 0, "a superseded node ends with status 0")
        check("founded anew by force" in q.nodes[i].log(), q.nodes[i].log())
        q.nodes[i].refused("founded anew by force", "meta bootstrap")
    check(q.meta(one)["role"] == "leader", "the survivor lost the lead")
    q.nodes[one].stop()
    q.start(one).ready(one)  # alone, from what it wrote
    check("was founded anew by force 1 times" in q.nodes[one].log(), "a start does not tell of it")
    for i in (lost, two):
        for name in ("meta-raft", "checkpoint"):
            shutil.move(os.path.join(q.nodes[i].data, name), os.path.join(work, f"{name}-{i}"))
        q.start(i)
        wait_for("it to wait to be added", lambda i=i: "belongs to a quorum already" in q.nodes[i].admin("/readyz")[1])
        ctl(q.nodes[one], "meta", "add", str(i + 1), q.member(i))
        promoted(q.nodes[one], i + 1)
    q.ready()
    q.equal()
    check(topics(q.nodes[two]) == {"kept", "after"}, f"topics: {topics(q.nodes[two])}")


@tests.test
def metadata_are_not_left_behind_by_a_start_with_another_module(work):
    b = tests.broker(work).start()
    check(create(b, "mine"), "a topic could not be created")
    with open(os.path.join(b.data, "meta.properties"), encoding="utf-8") as f:
        check("\nchronik.meta=meta-local\n" in f.read(), "meta.properties does not name the module")
    b.stop()
    for other in ("--meta=raft", "--meta=mem"):
        b.args = [other]
        line = b.refused("meta-local", "--meta=local")
        check("remove" not in line, f"the remedy loses something: {line}")
    # a directory of before the module was named
    path = os.path.join(b.data, "meta.properties")
    with open(path, encoding="utf-8") as f:
        old = [line for line in f if not line.startswith("chronik.meta=")]
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(old)
    b.args = ["--meta=raft"]
    b.refused("meta-local", "--meta=local")
    b.args = []
    b.start()
    check(topics(b) == {"mine"}, f"topics: {topics(b)}")
    with open(path, encoding="utf-8") as f:
        check("chronik.meta=meta-local\n" in f.read(), "meta.properties does not name the module again")


@tests.test
def a_copy_of_a_data_directory_is_not_a_second_broker(work):
    q = Quorum(tests, work).start().ready()
    a, b = (i for i in range(3) if i != q.leader())
    q.nodes[b].stop()
    with open(os.path.join(q.nodes[a].data, "meta.properties"), encoding="utf-8") as f:
        theirs = next(line for line in f if line.startswith("directory.id="))
    path = os.path.join(q.nodes[b].data, "meta.properties")
    with open(path, encoding="utf-8") as f:
        mine = [line for line in f if not line.startswith("chronik.directories=")]
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(theirs if line.startswith("directory.id=") else line for line in mine)
    for name in os.listdir(q.nodes[b].data):  # its store knows the directory it was made in
        path = os.path.join(q.nodes[b].data, name)
        if os.path.isdir(path) and name not in ("meta-raft", "checkpoint"):
            shutil.rmtree(path)
        elif os.path.isfile(path) and name != "meta.properties":
            os.remove(path)
    q.nodes[b].launch()
    wait_for("it to be refused", lambda: "is a copy of" in q.nodes[b].log())


@tests.test
def a_topic_cannot_be_placed_while_there_is_no_quorum_and_the_client_may_try_again(work):
    q = Quorum(tests, work)
    b = q.nodes[1].start()
    why = fails(b, "topic", "create", "early", door="--bootstrap")
    check("NOT_CONTROLLER" in why, why)
    q.start(0, 2).ready()
    check(create(b, "early"), "a topic could not be created")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    tests.main()
