#!/usr/bin/env python3
"""test_quorum_replicas.py: who may take part in a quorum of metadata: bytes on its port that are no replica's, members
of another cluster, a node.id that is taken, wiped and restored disks. Jumps of the clock are not played here: the
simulation has them (tests/sim/quorum), and nothing of the quorum reads the wall clock."""
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import FULL, SLOW, Tests, check, wait_for  # noqa: E402
from quorum import Quorum, create, ctl, promoted, topics  # noqa: E402

tests = Tests()


def closed(q, i, *pieces):
    """Sends the bytes to node i + 1's port of the quorum and waits until the connection is closed."""
    with socket.create_connection((q.hosts[i], q.ports[i]), 5) as s:
        s.settimeout(20 * SLOW)
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                s.sendall(piece)
            while s.recv(1 << 16):
                pass


def greeting(q, i):
    """What a node says first to node i + 1, which is not up: its HELLO."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((q.hosts[i], q.ports[i]))
        s.listen()
        s.settimeout(20 * SLOW)
        with s.accept()[0] as c:
            c.settimeout(20 * SLOW)
            return c.recv(4096)


@tests.test
def bytes_that_are_not_a_replicas_close_the_connection_with_one_line(work):
    q = Quorum(tests, work).start(0, 1)
    hello = greeting(q, 2)
    check(len(hello) > 100, f"a HELLO of {len(hello)} bytes")
    q.start(2).ready()
    chance = random.Random(os.environ.get("CHRONIK_SEED", "1"))
    junk = [b"GET / HTTP/1.1\r\n\r\n" * 3, b"\0" * 64, chance.randbytes(5000), b"\xff" * 13, hello + b"\x00" * 12,
            hello + hello, hello + chance.randbytes(1 << 20)]
    where = range(len(hello)) if FULL else chance.sample(range(len(hello)), 40)
    junk += [hello[:k] + bytes([hello[k] ^ 1 << chance.randrange(8)]) + hello[k + 1:] for k in where]
    for i, bytes_ in enumerate(junk):
        if i % 15 == 14:
            time.sleep(1.1)  # more lines than 20 a second are left out
        closed(q, 2, bytes_)
    lines = [line for line in q.nodes[2].log().splitlines() if "connection of " in line]
    # a HELLO whose length is another one is waited for, and gets a line as well; none is without, none has two
    check(len(lines) == len(junk), f"one line a connection was wanted, {len(junk)} in all, found {len(lines)}:\n" +
          "\n".join(lines[-5:]))
    before = q.meta(q.leader())["epoch"]
    check(create(q.nodes[2], "served"), "the quorum does not serve")
    q.equal()
    check(q.meta(q.leader())["epoch"] == before, "foreign bytes caused an election")


@tests.test
def a_member_of_another_cluster_is_refused_and_says_so(work):
    one, two = os.path.join(work, "one"), os.path.join(work, "two")
    q = Quorum(tests, one).start().ready()
    check(create(q.nodes[0], "ours"), "a topic could not be created")
    for b in q.nodes:
        b.stop()
    other = Quorum(tests, two, ports=q.ports).start().ready()  # another cluster at the same addresses
    check(create(other.nodes[0], "theirs"), "a topic could not be created")
    other.nodes[2].stop()
    q.start(2)  # of the first one, among two of the second
    stray = q.nodes[2]
    wait_for("it to say that the others are of another cluster", lambda: "another cluster" in stray.admin("/readyz")[1])
    wait_for("the others to say it", lambda: any("another cluster" in other.nodes[i].log() for i in (0, 1)))
    check(create(other.nodes[0], "still"), "the others do not serve")
    check("theirs" not in topics(stray) and q.meta(2)["role"] == "none", "two clusters have mixed")
    stray.stop()
    other.start(2).ready()
    other.equal()
    check("ours" not in topics(other.nodes[2]), "two clusters have mixed")


@tests.test
def a_node_id_that_is_taken_is_refused(work):
    q = Quorum(tests, work).start().ready()
    home = os.path.join(work, "second")
    os.mkdir(home)
    twin = Quorum(tests, home, n=2)
    b = twin.nodes[1]  # node.id 2 once more
    del b.settings["controller.quorum.voters"]
    b.settings.update({"controller.quorum.bootstrap.servers": ",".join(q.member(i) for i in range(3)),
                       "controller.listener.names": "CONTROLLER", "controller.quorum.auto.join.enable": "true",
                       "listeners": f"{b.settings['listeners']},CONTROLLER://{twin.member(1)}"})
    b.launch()
    wait_for("the broker to listen", b._listening)
    wait_for("it to say that its node.id is taken", lambda: "node.id is taken" in b.admin("/readyz")[1])
    check(b.admin("/readyz")[0] == 503, "a node with a taken id says that it is ready")
    check(create(q.nodes[0], "on"), "the quorum does not serve")
    members = json.loads(ctl(q.nodes[q.leader()], "--format", "json", "meta", "members"))
    check(json.dumps(members).count("voter") == 3 and "learner" not in json.dumps(members), f"members: {members}")
    b.stop()
    q.ready()


def rejoined(q, victim, *others):
    """The operator adds the new replica at victim's address and promotes it."""
    wait_for("it to say what it lacks", lambda: "belongs to a quorum already" in q.nodes[victim].admin("/readyz")[1])
    ctl(q.nodes[q.leader(*others)], "meta", "add", str(victim + 1), q.member(victim))
    promoted(q, victim + 1, *others)
    q.ready()
    q.equal()
    members = json.loads(ctl(q.nodes[q.leader()], "--format", "json", "meta", "members"))
    check("learner" not in json.dumps(members) and json.dumps(members).count("voter") == 3, f"members: {members}")


@tests.test
def a_wiped_voter_comes_back_as_a_new_replica_by_a_snapshot(work):
    q = Quorum(tests, work).start().ready()
    for n in range(30):
        check(create(q.nodes[0], f"t{n}"), "a topic could not be created")
    leader = q.leader()
    ctl(q.nodes[leader], "meta", "snapshot")
    victim = (leader + 1) % 3
    q.nodes[victim].kill()
    shutil.rmtree(q.nodes[victim].data)
    q.start(victim)
    rejoined(q, victim)
    check("snapshot installed" in q.nodes[victim].log(), "the log was replayed; a snapshot was wanted")
    other = ({0, 1, 2} - {leader, victim}).pop()
    q.nodes[other].kill()  # the new replica counts: two of three
    check(create(q.nodes[victim], "still"), "the quorum without the third does not serve")


@tests.test
def a_restored_disk_does_not_vote_and_comes_back_as_a_new_replica(work):
    q = Quorum(tests, work).start().ready()
    victim = (q.leader() + 1) % 3
    rest = sorted({0, 1, 2} - {victim})
    b = q.nodes[victim]
    b.stop()
    shutil.copytree(b.data, b.data + ".copy")
    q.start(victim).ready()
    b.stop()
    q.start(victim).ready()
    check(create(q.nodes[rest[0]], "since"), "a topic could not be created")
    b.kill()
    shutil.rmtree(b.data)
    shutil.move(b.data + ".copy", b.data)
    q.start(victim)
    wait_for("it to say that it is old", lambda: "older copy of" in b.admin("/readyz")[1])
    check(create(q.nodes[q.leader(*rest)], "on"), "the others do not serve")
    q.nodes[rest[0]].kill()  # one voter and an old copy are no majority
    time.sleep(3)
    check(all(q.meta(i)["role"] != "leader" for i in (rest[1], victim)), "an old copy has voted")
    q.start(rest[0])
    q.leader(*rest)
    b.stop()
    shutil.rmtree(os.path.join(b.data, "meta-raft"))
    q.start(victim)  # with the state of its earlier life, or without
    rejoined(q, victim, *rest)
    check({"since", "on"} <= topics(b), "a topic is missing on the new replica")


@tests.test
def two_wiped_voters_never_form_a_second_cluster(work):
    q = Quorum(tests, work).start().ready()
    for b in q.nodes:
        b.stop()
    for i in (0, 1):
        shutil.rmtree(q.nodes[i].data)
    q.start(0, 1)
    time.sleep(3)
    check(all(q.meta(i)["role"] == "none" and q.meta(i)["seq"] == 0 for i in (0, 1)), "wiped voters formed a quorum")
    q.start(2)
    time.sleep(3)
    check(all(q.meta(i)["role"] != "leader" for i in range(3)), "somebody leads without a quorum")
    check("belongs to a quorum" in q.nodes[0].admin("/readyz")[1], q.nodes[0].admin("/readyz")[1])


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    tests.main()
