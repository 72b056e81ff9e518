"""quorum.py: several brokers as one quorum of metadata, for the end-to-end tests: their start, who leads, whether their
states are equal, and chronikctl. Every test process has an address of its own, so the ports that the members must know
of each other before anybody has bound them collide with nothing."""
import contextlib
import http.client
import json
import os
import subprocess
import threading
import time

from harness import BUILD, SLOW, check, metadata, own_host, own_ports, wait_for

CTL = os.path.abspath(os.path.join(BUILD, "out/bin/chronikctl"))


class Quorum:
    """n nodes, not started. `hosts`: an address for each (else all have this test's own); `options`: of each broker."""

    def __init__(self, tests, work, n=3, settings=None, hosts=None, ports=None, **options):
        self.hosts = hosts or [own_host()] * n
        self.ports = ports or own_ports(n)
        self.voters = ",".join(f"{i + 1}@{self.member(i)}" for i in range(n))
        self.nodes = []
        for i, port in enumerate(own_ports(n)):
            home = os.path.join(work, f"n{i + 1}")
            os.makedirs(home, exist_ok=True)
            one = {k: v[i] if isinstance(v, list) else v for k, v in options.items()}
            self.nodes.append(tests.broker(home, host=self.hosts[i], port=port, settings={
                "node.id": str(i + 1), "controller.quorum.voters": self.voters, **(settings or {})},
                **{"args": ["--meta=raft"], **one}))

    def member(self, i):
        """Where the others of the quorum reach node i + 1."""
        return f"{self.hosts[i]}:{self.ports[i]}"

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


class Digests:
    """Collects, beside a test, what each node says its state's digest was after each command, and compares: a command
    that two nodes (or two lives of one) tell of must have left the same state."""

    def __init__(self, q):
        self.q, self.seen, self.tellers, self.wrong = q, {}, {}, []
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *why):
        self.done.set()
        self.thread.join()

    def look(self):
        for i, b in enumerate(self.q.nodes):
            try:
                rows = json.loads(b.admin("/meta/digests")[1])["digests"]
            except (OSError, ValueError, KeyError, http.client.HTTPException):
                continue  # it is down, or dies just now
            for seq, digest in rows:
                if self.seen.setdefault(seq, digest) != digest:
                    self.wrong.append(f"node {i + 1} has {digest} after command {seq}, another had {self.seen[seq]}")
                self.tellers.setdefault(seq, set()).add(i)

    def _run(self):
        while not self.done.wait(0.1):
            self.look()

    def common(self, n):
        """After how many commands the states of n nodes were compared. All must have been equal."""
        check(not self.wrong, "; ".join(self.wrong[:3]))
        return sum(len(t) >= n for t in self.tellers.values())


def create(broker, topic, timeout=20):
    """True when the topic's creation was answered with success."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run([CTL, "--bootstrap", broker.address, "topic", "create", topic], capture_output=True,
                              timeout=timeout * SLOW, check=False)
        return done.returncode == 0
    return False


def topics(broker):
    return {t["topic"] for t in metadata(broker)["topics"]} - {"__meta"}


def ctl(broker, *args, status=0, seconds=15):
    """chronikctl's output. As it advises, a change is asked again while another one is under way."""
    until = time.monotonic() + seconds * SLOW
    while True:
        done = subprocess.run([CTL, "--admin", f"{broker.host}:{broker.admin_port}", *args], capture_output=True,
                              text=True, timeout=seconds * SLOW, check=False)
        if "nothing was changed: another change of the quorum is under way" not in done.stderr or time.monotonic() > until:
            break
        time.sleep(0.1)
    check(done.returncode == status, f"chronikctl {' '.join(args)}: {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def promoted(q, node, *which):
    """The learner of that node becomes a voter, as soon as it has caught up."""
    def again():
        leader = q.nodes[q.leader(*which)]
        return subprocess.run([CTL, "--admin", f"{leader.host}:{leader.admin_port}", "meta", "promote", str(node)],
                              capture_output=True, timeout=15 * SLOW, check=False).returncode == 0
    wait_for(f"node {node} to be promoted", again)


def timed(what, since):
    """A line with how long it took; figures are told, not asserted."""
    print(f"# {what}: {(time.monotonic() - since) * 1000:.0f} ms", flush=True)
