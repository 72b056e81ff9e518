#!/usr/bin/env python3
"""test_quorum_network.py: a metadata quorum whose nodes live in network namespaces, so that what one sends can get lost on
its way to another: a leader and a minority isolated, one-way cuts, random ones under load. No acknowledged command is
lost, states are equal, and a healed node disturbs nobody. Needs root and iproute2. Links are cut silently: the sender
holds a wrong hardware address of the receiver. CHRONIK_TEST_FULL: forty random cuts."""
import contextlib
import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import FULL, SHORT, Skip, Tests, check, wait_for  # noqa: E402
from load import Load, seed_of  # noqa: E402
from quorum import Digests, Quorum, create  # noqa: E402

tests = Tests()
CUTS = 40 if FULL else 2 if SHORT else 5
IN_NAMESPACE = "CHRONIK_TEST_NAMESPACE"


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}")


class Network:
    """A bridge here, and a namespace with one interface for each node; links between nodes can be cut, one way each.
    Names and addresses are used once: those of an earlier one may take a moment to go."""
    count = 0

    def __init__(self, n):
        Network.count += 1
        self.hub, net = f"hub{Network.count}", f"10.77.{Network.count}"
        self.holders, self.hosts = [], [f"{net}.{i + 1}" for i in range(n)]
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", self.hub, "type", "bridge")
        run("ip", "addr", "add", f"{net}.254/24", "dev", self.hub)
        run("ip", "link", "set", self.hub, "up")
        for i in range(n):
            self.holders.append(subprocess.Popen(["unshare", "-n", "sleep", "3600"]))
            pid = str(self.holders[i].pid)
            here = os.readlink("/proc/self/ns/net")
            wait_for("the namespace", lambda p=pid: os.readlink(f"/proc/{p}/ns/net") != here)
            node = f"node{Network.count}-{i}"
            run("ip", "link", "add", node, "type", "veth", "peer", "name", "eth0", "netns", pid)
            run("ip", "link", "set", node, "master", self.hub, "up")
            for command in (["link", "set", "lo", "up"], ["link", "set", "eth0", "address", self.mac(i), "up"],
                            ["addr", "add", f"{self.hosts[i]}/24", "dev", "eth0"]):
                run(*self.inside(i), "ip", *command)
        self.heal()

    def mac(self, i):
        return f"02:00:00:00:77:{i + 1:02x}"

    def inside(self, i):
        return ["nsenter", f"--net=/proc/{self.holders[i].pid}/ns/net"]

    def cut(self, sender, receiver, cut=True):
        """What the one sends to the other gets lost, silently."""
        run(*self.inside(sender), "ip", "neigh", "replace", self.hosts[receiver], "lladdr",
            "02:00:00:00:77:ff" if cut else self.mac(receiver), "dev", "eth0", "nud", "permanent")

    def isolate(self, i):
        for k in range(len(self.hosts)):
            if k != i:
                self.cut(i, k)
                self.cut(k, i)

    def heal(self):
        for i in range(len(self.hosts)):
            for k in range(len(self.hosts)):
                if i != k:
                    self.cut(i, k, False)

    def close(self):
        for b in tests.brokers:
            b.end()
        for p in self.holders:
            p.kill()
            p.wait(10)
        run("ip", "link", "del", self.hub)


@contextlib.contextmanager
def network(n=3):
    if IN_NAMESPACE not in os.environ:
        raise Skip("network namespaces cannot be made here: that takes root and iproute2")
    net = Network(n)
    try:
        yield net
    finally:
        net.close()


def quorum(work, net):
    return Quorum(tests, work, hosts=net.hosts, wrap=[net.inside(i) for i in range(len(net.hosts))]).start().ready()


@tests.test
def s8_an_isolated_leader_steps_down_and_comes_back_as_a_follower(work):
    with network() as net:
        q = quorum(work, net)
        old = q.leader()
        rest = [i for i in range(3) if i != old]
        net.isolate(old)
        new = q.leader(*rest)
        check(create(q.nodes[rest[0]], "new"), "two of three do not serve")
        wait_for("the old leader to step down", lambda: q.meta(old)["role"] != "leader")
        wait_for("it to say whom it misses", lambda: all(f"{i + 1}@{q.member(i)} (silent)" in q.nodes[old].admin("/readyz")[1]
                                                         for i in rest))
        check(not create(q.nodes[old], "lost", timeout=5), "a leader without a quorum has answered a command")
        epoch = q.meta(new)["epoch"]
        net.heal()
        q.ready()
        q.equal()
        check(q.meta(new)["role"] == "leader" and q.meta(new)["epoch"] == epoch,
              f"the old leader disturbed the new one: epoch {q.meta(new)['epoch']}, it was {epoch}")


@tests.test
def s8_an_isolated_follower_comes_back_without_an_election(work):
    with network() as net:
        q = quorum(work, net)
        leader = q.leader()
        epoch = q.meta(leader)["epoch"]
        out = (leader + 1) % 3
        net.isolate(out)
        wait_for("it to lose its leader", lambda: q.meta(out)["role"] == "none")
        check(create(q.nodes[leader], "meanwhile"), "two of three do not serve")
        time.sleep(3)  # it asks for votes again and again
        net.heal()
        q.ready()
        q.equal()
        check(q.leader() == leader and q.meta(leader)["epoch"] == epoch, "a follower that came back caused an election")


@tests.test
def one_way_cuts_leave_a_quorum_that_serves(work):
    with network() as net:
        q = quorum(work, net)
        for who in ("hears nobody", "is heard by nobody", "is not heard by one", "does not hear one"):
            leader = q.leader()
            rest = [i for i in range(3) if i != leader]
            for other in rest[:1] if "one" in who else rest:
                if "hears" in who or "hear one" in who:
                    net.cut(other, leader)
                else:
                    net.cut(leader, other)
            wait_for(f"a command to be answered while the leader {who}", lambda nodes=(*rest, leader): any(
                create(q.nodes[i], f"t{time.monotonic_ns()}", timeout=3) for i in nodes), 40)
            net.heal()
            q.ready()
            q.equal()


@tests.test
def random_cuts_under_load_lose_no_answered_command(work):
    seed = seed_of()
    chance = random.Random(seed)
    with network() as net, contextlib.ExitStack() as stack:
        q = quorum(work, net)
        digests = stack.enter_context(Digests(q))
        load = stack.enter_context(Load(work, "topic_load", q.nodes, 32))
        for n in range(CUTS):
            before = load.answered()
            kind = chance.randrange(4)
            if kind == 0:
                net.isolate(q.leader())
            elif kind == 1:
                net.isolate(chance.randrange(3))
            else:
                for _ in range(kind - 1):
                    net.cut(*chance.sample(range(3), 2))
            time.sleep(chance.uniform(0.2, 4))
            net.heal()
            time.sleep(chance.uniform(0, 2))
            wait_for(f"answers after cut {n}", lambda b=before: load.answered() > b, 30)
        q.ready()
        status, said = load.verdict()
        last = q.equal()
        digests.look()
    print(f"# seed {seed}, {CUTS} cuts, {last} commands, states compared after {digests.common(3)} on all three: "
          f"{said.splitlines()[-1]}")
    check(status == 0, f"CHRONIK_SEED={seed}: {said}")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if IN_NAMESPACE not in os.environ and os.getuid() == 0:
        tried = subprocess.run(["unshare", "-n", "ip", "link", "add", "hub", "type", "bridge"], capture_output=True,
                               check=False)
        if tried.returncode == 0:
            os.environ[IN_NAMESPACE] = "1"
            os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])
    tests.main()
