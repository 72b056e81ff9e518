#!/usr/bin/env python3
"""test_quorum.py: three brokers as a quorum of metadata: every order of their starts, what a lone one says, wiped ones,
kill -9 of anyone under load, and bytes on the quorum's port that are not a replica's."""
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import BUILD, LONG, SHORT, SLOW, Tests, check, metadata, wait_for  # noqa: E402

tests = Tests()
CTL = os.path.abspath(os.path.join(BUILD, "out/bin/chronikctl"))


def free_ports(n):
    """Ports that are free now. The quorum must know them before anybody has bound one."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(n):
            s = stack.enter_context(socket.socket())
            s.bind(("127.0.0.1", 0))
            found.append(s.getsockname()[1])
        return found


class Quorum:
    def __init__(self, work, n=3, settings=None):
        self.ports = free_ports(n)
        voters = ",".join(f"{i + 1}@127.0.0.1:{p}" for i, p in enumerate(self.ports))
        self.nodes = []
        for i in range(n):
            home = os.path.join(work, f"n{i + 1}")
            os.mkdir(home)
            self.nodes.append(tests.broker(home, args=["--meta=raft"], settings={
                "node.id": str(i + 1), "controller.quorum.voters": voters, **(settings or {})}))

    def start(self, *which):
        for i in which or range(len(self.nodes)):
            self.nodes[i].start()
        return self

    def ready(self, *which, seconds=20):
        for i in which or range(len(self.nodes)):
            wait_for(f"node {i + 1} to be ready", lambda b=self.nodes[i]: b.admin("/readyz")[0] == 200, seconds)
        return self

    def meta(self, i):
        return json.loads(self.nodes[i].admin("/status")[1])["meta"]

    def leader(self, *which):
        """The index of the one that leads."""
        def look():
            found = [i for i in which or range(len(self.nodes)) if self.meta(i)["role"] == "leader"]
            return found[:1]
        return wait_for("a leader", look)[0]

    def equal(self, *which):
        """Waits until all have applied the same; the state is the same then."""
        which = which or range(len(self.nodes))

        def look():
            states = [self.meta(i) for i in which]
            return states if len({s["seq"] for s in states}) == 1 else None
        states = wait_for("all to have applied the same commands", look, 30)
        check(len({s["digest"] for s in states}) == 1, f"digests differ after command {states[0]['seq']}: "
              f"{[s['digest'] for s in states]}")
        return states[0]["seq"]


def create(broker, topic, timeout=20):
    """True when the topic's creation was answered with success."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run([CTL, "--bootstrap", broker.address, "topic", "create", topic], capture_output=True,
                              timeout=timeout * SLOW, check=False)
        return done.returncode == 0
    return False


def topics(broker):
    return {t["topic"] for t in metadata(broker)["topics"]} - {"__meta"}


@tests.test
def s1_any_order_of_first_starts_forms_one_quorum(work):
    orders = list(itertools.permutations(range(3)))
    for n, order in enumerate(orders[:2] if SHORT else orders):
        home = os.path.join(work, str(n))
        os.mkdir(home)
        q = Quorum(home)
        for i in order:
            q.nodes[i].start()
            time.sleep(random.choice([0, 0.2, 0.6]))
        q.ready()
        check(q.equal() > 0, "nothing was agreed on")
        for b in q.nodes:
            b.stop()


@tests.test
def s1_a_lone_voter_listens_and_names_whom_it_misses(work):
    q = Quorum(work)
    b = q.nodes[1].start()
    code, text = wait_for("readyz to name the missing", lambda: next(
        (r for r in [b.admin("/readyz")] if f"1@127.0.0.1:{q.ports[0]}" in r[1]), None))
    check(code == 503 and f"3@127.0.0.1:{q.ports[2]}" in text, f"readyz says {code}: {text}")
    wait_for("the log to name the missing", lambda: f"1@127.0.0.1:{q.ports[0]} (refused)" in b.log())
    check(b.admin("/livez")[0] == 200, "a node without a quorum is not dead")
    metadata(b)
    q.start(0, 2).ready()


@tests.test
def s1_a_formed_quorum_needs_two_and_a_single_one_answers_from_what_it_knows(work):
    q = Quorum(work).start().ready()
    check(create(q.nodes[0], "kept"), "a topic could not be created")
    q.equal()
    for b in q.nodes:
        b.stop()
    q.start(2)
    wait_for("the lone node to answer", lambda: "kept" in topics(q.nodes[2]))
    check(q.nodes[2].admin("/readyz")[0] == 503, "a lone node of three says that it is ready")
    q.start(0).ready(0, 2)
    check(create(q.nodes[2], "two"), "two of three do not serve")
    q.start(1).ready()
    q.equal()


@tests.test
def two_wiped_voters_never_form_a_second_cluster(work):
    q = Quorum(work).start().ready()
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


@tests.test
def a_killed_leader_is_replaced_at_once(work):
    q = Quorum(work, settings={"controller.quorum.election.timeout.ms": "20000"}).start().ready()
    for _ in range(3):
        old = q.leader()
        rest = [i for i in range(3) if i != old]
        q.nodes[old].kill()
        q.leader(*rest)  # within the bound of a wait, far below the election timeout: by evidence
        check(create(q.nodes[rest[0]], f"after-{time.monotonic_ns()}"), "the new leader does not serve")
        q.nodes[old].start()
        q.ready()
        q.equal()


@tests.test
def a_leader_that_is_told_to_stop_hands_over(work):
    q = Quorum(work, settings={"controller.quorum.election.timeout.ms": "20000"}).start().ready()
    old = q.leader()
    q.nodes[old].stop()
    rest = [i for i in range(3) if i != old]
    q.leader(*rest)
    check(not any("is gone" in q.nodes[i].log() for i in rest), "leadership was found lost, not handed over")


@tests.test
def bytes_that_are_not_a_replicas_close_the_connection(work):
    q = Quorum(work).start().ready()
    for junk in (b"GET / HTTP/1.1\r\n\r\n" * 3, b"\0" * 64, os.urandom(5000), b"\xff" * 13):
        with socket.create_connection(("127.0.0.1", q.ports[0]), 5) as s:
            s.settimeout(10 * SLOW)
            s.sendall(junk)
            with contextlib.suppress(ConnectionResetError):
                check(s.recv(100) == b"", "junk was answered")
    lines = [line for line in q.nodes[0].log().splitlines() if "connection of 127.0.0.1" in line]
    check(len(lines) == 4, f"one line a connection was wanted, found {lines}")
    q.equal()


@tests.test
def s4_every_answered_command_is_there_once_whoever_is_killed(work):
    q = Quorum(work).start().ready()
    done, made, lock = threading.Event(), set(), threading.Lock()

    def load(k):
        n = 0
        while not done.is_set():
            name = f"t-{k}-{n}"
            n += 1
            if create(q.nodes[random.randrange(3)], name):
                with lock:
                    made.add(name)
    threads = [threading.Thread(target=load, args=(k,)) for k in range(6)]
    for t in threads:
        t.start()
    try:
        for _ in range(100 if LONG else 3 if SHORT else 8):
            victim = random.randrange(3)
            time.sleep(random.uniform(0.2, 1.0))
            q.nodes[victim].kill()
            time.sleep(random.uniform(0, 0.5))
            q.nodes[victim].start()
            q.ready()
    finally:
        done.set()
        for t in threads:
            t.join()
    q.equal()
    for i, b in enumerate(q.nodes):
        lost = made - topics(b)
        check(not lost, f"node {i + 1} lost {sorted(lost)[:5]} of {len(made)} topics")
    check(len(made) > 5, f"only {len(made)} commands were answered")
    print(f"# {len(made)} topics answered")


def ctl(broker, *args, status=0, seconds=15):
    """chronikctl's output."""
    done = subprocess.run([CTL, "--admin", f"127.0.0.1:{broker.admin_port}", *args], capture_output=True, text=True,
                          timeout=seconds * SLOW, check=False)
    check(done.returncode == status, f"chronikctl {' '.join(args)}: {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def promoted(q, node, *which):
    """The learner of that node becomes a voter, as soon as it has caught up."""
    def again():
        leader = q.nodes[q.leader(*which)]
        return subprocess.run([CTL, "--admin", f"127.0.0.1:{leader.admin_port}", "meta", "promote", str(node)],
                              capture_output=True, timeout=15 * SLOW, check=False).returncode == 0
    wait_for(f"node {node} to be promoted", again)


@tests.test
def a_wiped_voter_comes_back_as_a_new_replica_by_a_snapshot(work):
    q = Quorum(work).start().ready()
    for n in range(30):
        check(create(q.nodes[0], f"t{n}"), "a topic could not be created")
    leader = q.leader()
    ctl(q.nodes[leader], "meta", "snapshot")
    victim = (leader + 1) % 3
    q.nodes[victim].kill()
    shutil.rmtree(q.nodes[victim].data)
    q.start(victim)
    wait_for("it to say what it lacks", lambda: "belongs to a quorum already" in q.nodes[victim].admin("/readyz")[1])
    ctl(q.nodes[leader], "meta", "add", str(victim + 1), f"127.0.0.1:{q.ports[victim]}")
    promoted(q, victim + 1)
    q.ready()
    q.equal()
    members = json.loads(ctl(q.nodes[q.leader()], "--format", "json", "meta", "members"))
    check("learner" not in json.dumps(members) and json.dumps(members).count("voter") == 3, f"members: {members}")
    check("snapshot installed" in q.nodes[victim].log(), "the log was replayed; a snapshot was wanted")
    other = ({0, 1, 2} - {leader, victim}).pop()
    q.nodes[other].kill()  # the new replica counts: two of three
    check(create(q.nodes[victim], "still"), "the quorum without the third does not serve")


@tests.test
def a_restored_disk_does_not_vote(work):
    q = Quorum(work).start().ready()
    victim = (q.leader() + 1) % 3
    b = q.nodes[victim]
    b.stop()
    shutil.copytree(b.data, b.data + ".copy")
    q.start(victim).ready()
    b.stop()
    q.start(victim).ready()
    b.kill()
    shutil.rmtree(b.data)
    shutil.move(b.data + ".copy", b.data)
    q.start(victim)
    wait_for("it to say that it is old", lambda: "older copy of" in b.admin("/readyz")[1])
    check(create(q.nodes[q.leader(*({0, 1, 2} - {victim}))], "on"), "the others do not serve")


@tests.test
def a_single_voter_grows_to_three_and_shrinks_by_itself_and_by_hand(work):
    q = Quorum(work)
    first = q.nodes[0]
    first.settings["controller.quorum.voters"] = f"1@127.0.0.1:{q.ports[0]}"
    q.start(0).ready(0)
    check(create(first, "before"), "a topic could not be created")
    for i in (1, 2):
        b = q.nodes[i]
        del b.settings["controller.quorum.voters"]
        home = f"CONTROLLER://127.0.0.1:{q.ports[i]}"
        b.settings.update({"controller.quorum.bootstrap.servers": f"127.0.0.1:{q.ports[0]}",
                           "controller.listener.names": "CONTROLLER",
                           "controller.quorum.auto.join.enable": "true" if i == 1 else "false",
                           "listeners": f"PLAINTEXT://127.0.0.1:0,{home}"})
        b.launch()
        wait_for("the broker to listen", b._listening)
    ready = lambda i: q.nodes[i].admin("/readyz")[0] == 200  # noqa: E731
    wait_for("node 2 to join by itself", lambda: ready(1))
    ctl(first, "meta", "add", "3", f"127.0.0.1:{q.ports[2]}")
    promoted(q, 3, 0, 1)
    wait_for("node 3 to be ready", lambda: ready(2))
    q.equal()
    check(all("before" in topics(b) for b in q.nodes), "a topic is missing on a new node")
    leader = q.leader()
    gone = (leader + 1) % 3
    ctl(q.nodes[leader], "meta", "remove", str(gone + 1))
    rest = sorted({0, 1, 2} - {gone})
    check(create(q.nodes[rest[0]], "after"), "two do not serve")
    q.equal(*rest)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    tests.main()
