#!/usr/bin/env python3
"""run_meta.py: how fast a metadata quorum takes commands, beside etcd of Debian in the same run: offset commits of one
partition against puts of as many bytes, from one load generator, members alternately; and how long nothing is committed
after kill -9 of a leader; and what a start costs. Writes docs/benchmarks-meta.md. Only own processes are ended, by their own id."""
import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import meta_starts  # noqa: E402
from brokers import TICKS, Failed, free_port  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
CLIENTS = (1, 64, 256)


def say(text):
    print(text, file=sys.stderr, flush=True)


class Member:
    """One process of a quorum."""

    def __init__(self, command, work):
        self.command, self.work, self.process = command, work, None
        os.makedirs(work, exist_ok=True)

    def start(self):
        with open(os.path.join(self.work, "log"), "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.work,
                                            start_new_session=True)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(30)

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_mib(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024

    def last_words(self):
        with open(os.path.join(self.work, "log"), errors="replace") as f:
            return "".join(f.readlines()[-8:])


class Quorum:
    peer = "chronik"

    def __init__(self, label, build, work):
        self.label, self.build = label, build
        self.work = tempfile.mkdtemp(prefix=label.replace(" ", "-") + "-", dir=work)
        self.members = []

    def addresses(self):
        return ",".join(f"127.0.0.1:{p}" for p in self.ports)

    def start(self):
        for m in self.members:
            m.start()
        self.wait()

    def end(self):
        for m in self.members:
            m.kill()
        shutil.rmtree(self.work, ignore_errors=True)

    def run(self, program, mode, at=None, **options):
        command = [program, mode, "-peer", self.peer, "-at", at or self.addresses()]
        command += [f"-{k}={v}" for k, v in options.items()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=options.get("seconds", 5) + 120, check=False)
        if done.returncode != 0:
            raise Failed(f"{self.label}: {done.stderr.strip()}\n" + "".join(m.last_words() for m in self.members))
        return json.loads(done.stdout)

    def load(self, program, clients, seconds):
        before = sum(m.cpu() for m in self.members)
        r = self.run(program, "load", clients=clients, seconds=seconds)
        r["server_cpu_s"] = sum(m.cpu() for m in self.members) - before
        r["rss_mib"] = max(m.resident_mib() for m in self.members)
        return r


class Chronik(Quorum):
    def __init__(self, label, build, work, engine, n):
        super().__init__(label, build, work)
        self.ports = [free_port() for _ in range(n)]
        self.admin = [free_port() for _ in range(n)]
        quorum = [free_port() for _ in range(n)]
        voters = ",".join(f"{i + 1}@127.0.0.1:{p}" for i, p in enumerate(quorum))
        for i in range(n):
            settings = {"node.id": i + 1, "listeners": f"PLAINTEXT://127.0.0.1:{self.ports[i]}",
                        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.ports[i]}",
                        "chronik.admin.listener": f"127.0.0.1:{self.admin[i]}",
                        "log.dirs": os.path.join(self.work, str(i), "data")}
            if n > 1:
                settings["controller.quorum.voters"] = voters
            command = [os.path.join(build, "out/bin/chronik"), f"--meta={engine}", "--store=wal"]
            command += [w for k, v in settings.items() for w in ("--override", f"{k}={v}")]
            self.members.append(Member(command, os.path.join(self.work, str(i))))

    def ask(self, i, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin[i]}{path}", timeout=2) as r:
                return r.read().decode()
        except (urllib.error.URLError, OSError):
            return None

    def wait(self):
        end = time.monotonic() + 30
        for i in range(len(self.members)):
            while self.ask(i, "/readyz") is None:
                if time.monotonic() > end:
                    raise Failed(f"{self.label}: node {i + 1} is not ready: {self.members[i].last_words()}")
                time.sleep(0.02)

    def prepare(self):
        ctl = os.path.join(self.build, "out/bin/chronikctl")
        subprocess.run([ctl, "topic", "create", "bench", "--bootstrap", f"127.0.0.1:{self.ports[0]}"], check=True,
                       timeout=30, stdout=subprocess.DEVNULL)
        time.sleep(0.5)

    def leader(self):
        for i, m in enumerate(self.members):
            text = self.ask(i, "/meta/members") if m.process.poll() is None else None
            if text and json.loads(text)["leader"] > 0:
                return json.loads(text)["leader"] - 1
        raise Failed(f"{self.label}: nobody knows a leader")


class Etcd(Quorum):
    peer = "etcd"

    def __init__(self, label, build, work, n):
        super().__init__(label, build, work)
        self.ports = [free_port() for _ in range(n)]
        peers = [free_port() for _ in range(n)]
        cluster = ",".join(f"m{i}=http://127.0.0.1:{p}" for i, p in enumerate(peers))
        for i in range(n):
            client, peer = f"http://127.0.0.1:{self.ports[i]}", f"http://127.0.0.1:{peers[i]}"
            self.members.append(Member(
                ["etcd", "--name", f"m{i}", "--data-dir", os.path.join(self.work, str(i), "data"),
                 "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
                 "--initial-advertise-peer-urls", peer, "--initial-cluster", cluster, "--logger", "zap", "--log-level",
                 "warn"], os.path.join(self.work, str(i))))

    def wait(self):
        end = time.monotonic() + 30
        for p in self.ports:
            while True:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{p}/health", timeout=2) as r:
                        if json.load(r)["health"] == "true":
                            break
                except (urllib.error.URLError, OSError, ValueError, KeyError):
                    pass
                if time.monotonic() > end:
                    raise Failed(f"{self.label} is not healthy: {self.members[0].last_words()}")
                time.sleep(0.05)

    def prepare(self):
        pass


def generator(build):
    """The load generator: a Go program, for both."""
    program = os.path.join(build, "bench", "quorum")
    os.makedirs(os.path.dirname(program), exist_ok=True)
    subprocess.run(["go", "build", "-o", program, "."], cwd=os.path.join(HERE, "quorum"), check=True, timeout=600)
    return program


def measure(args, program, quorums):
    """{(label, clients): figures}: all take turns, so that none of them has the quiet minute."""
    results = {}
    for q in quorums:
        q.start()
        q.prepare()
        for m in q.members:
            m.process.send_signal(signal.SIGSTOP)
    try:
        for clients in CLIENTS:
            for _ in range(args.runs):
                for q in quorums:
                    for m in q.members:
                        m.process.send_signal(signal.SIGCONT)
                    time.sleep(args.settle)
                    r = q.load(program, clients, args.seconds)
                    say(f"{q.label:12} {clients:4} clients: {r['commands_per_s']:8.0f}/s p50 {r['p50_us']:7.0f} p99 "
                        f"{r['p99_us']:7.0f} us, CPU servers {r['server_cpu_s']:.1f} client {r['client_cpu_s']:.1f} s, "
                        f"{r['rss_mib']:.0f} MiB")
                    results.setdefault((q.label, clients), []).append(r)
                    for m in q.members:
                        m.process.send_signal(signal.SIGSTOP)
    finally:
        for q in quorums:
            for m in q.members:
                if m.process and m.process.poll() is None:
                    m.process.send_signal(signal.SIGCONT)
            q.end()
    return {k: {f: statistics.median(r[f] for r in v) for f in v[0]} for k, v in results.items()}


def elections(args, build, work):
    """Milliseconds from kill -9 of the leader until another one has committed in a term of its own, as its status says."""
    q = Chronik("raft x3", build, work, "raft", 3)
    gaps = []
    try:
        q.start()
        q.prepare()
        for k in range(args.kills):
            leader = q.leader()
            before = json.loads(q.ask(leader, "/status"))["meta"]
            others = [i for i in range(3) if i != leader]
            q.members[leader].kill()
            since = time.monotonic()
            while True:
                states = [json.loads(q.ask(i, "/status"))["meta"] for i in others]
                if any(s["role"] == "leader" and s["epoch"] > before["epoch"] and s["committed"] > before["committed"]
                       for s in states):
                    break
                if time.monotonic() - since > 30:
                    raise Failed(f"kill {k + 1}: nobody leads after 30 s: {states}")
                time.sleep(0.002)
            gaps.append((time.monotonic() - since) * 1e3)
            say(f"kill {k + 1}: node {leader + 1} led; {gaps[-1]:.0f} ms")
            q.members[leader].start()
            q.wait()
            time.sleep(0.5)
    finally:
        q.end()
    return gaps


def page(results, gaps, starts, args):
    lines = ["# Benchmarks of the metadata quorum", "",
             f"`./dev bench meta` on {os.cpu_count()} cores, {platform.release()}, {time.strftime('%Y-%m-%d')}; medians of "
             f"{args.runs} run(s) of {args.seconds:g} s, the quorums in turns, members of the same machine. A command is an "
             "offset commit of one partition (a request of 256 bytes, answered when applied) for chronik and a put of 256 bytes "
             "for etcd; one program drives both.", "",
             "| Quorum | Clients | Commands/s | p50 us | p99 us | CPU us a command, servers | clients | MiB a member |",
             "|-|-|-|-|-|-|-|-|"]
    for (label, clients), r in results.items():
        total = r["commands_per_s"] * args.seconds
        lines.append(f"| {label} | {clients} | {r['commands_per_s']:.0f} | {r['p50_us']:.0f} | {r['p99_us']:.0f} | "
                     f"{r['server_cpu_s'] / total * 1e6:.0f} | {r['client_cpu_s'] / total * 1e6:.0f} | {r['rss_mib']:.0f} |")
    pairs = [("raft x1", "etcd x1"), ("raft x3", "etcd x3"), ("raft x1", "local")]
    lines += ["", "| Ratio of commands/s | " + " | ".join(f"{c} clients" for c in CLIENTS) + " |",
              "|-|" + "-|" * len(CLIENTS)]
    for a, b in pairs:
        if all((x, c) in results for x in (a, b) for c in CLIENTS):
            lines.append(f"| {a} to {b} | " + " | ".join(
                f"{results[a, c]['commands_per_s'] / results[b, c]['commands_per_s']:.1f}" for c in CLIENTS) + " |")
    lines += meta_starts.lines(starts)
    if gaps:
        lines += ["", f"After kill -9 of the leader of three, with default timeouts, another one has committed in its own "
                  f"term after {statistics.median(gaps):.0f} ms in the median and {max(gaps):.0f} ms at most, of {len(gaps)} "
                  "kills."]
    return "\n".join(lines) + "\n"


def main():
    p = argparse.ArgumentParser(prog="./dev bench meta", description=__doc__)
    p.add_argument("--build", default=os.path.join(TOP, "build"))
    p.add_argument("--seconds", type=float, default=3)
    p.add_argument("--settle", type=float, default=0.5)
    p.add_argument("--runs", type=int, default=1)
    p.add_argument("--kills", type=int, default=20)
    p.add_argument("--only", help="labels with commas: local, raft x1, raft x3, etcd x1, etcd x3, kills, starts; leaves the page alone")
    args = p.parse_args()
    wanted = args.only.split(",") if args.only else None
    program = generator(args.build)
    work = tempfile.mkdtemp(prefix="chronik-bench-meta-", dir=os.environ.get("CHRONIK_BENCH_DIR", "/var/tmp"))
    try:
        make = {"local": lambda: Chronik("local", args.build, work, "local", 1),
                "raft x1": lambda: Chronik("raft x1", args.build, work, "raft", 1),
                "etcd x1": lambda: Etcd("etcd x1", args.build, work, 1),
                "raft x3": lambda: Chronik("raft x3", args.build, work, "raft", 3),
                "etcd x3": lambda: Etcd("etcd x3", args.build, work, 3)}
        if not shutil.which("etcd"):
            say("etcd is not installed (Debian: etcd-server): its rows are left out")
            make = {k: v for k, v in make.items() if not k.startswith("etcd")}
        results = measure(args, program, [f() for k, f in make.items() if not wanted or k in wanted])
        gaps = elections(args, args.build, work) if args.kills and (not wanted or "kills" in wanted) else []
        starts = meta_starts.measure(args.build, work, say) if not wanted or "starts" in wanted else {}
        text = page(results, gaps, starts, args)
        print(text, end="")
        if not wanted:
            with open(os.path.join(TOP, "docs/benchmarks-meta.md"), "w") as f:
                f.write(text)
    except (Failed, meta_starts.Failed, subprocess.SubprocessError) as e:
        say(f"bench meta: {e}")
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
