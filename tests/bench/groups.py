"""groups.py: ./dev bench groups. Commits, heartbeats and joins of classic groups, chronik beside Apache Kafka in turns, and
what ten thousand groups cost; prints the table of goals and writes docs/benchmarks-groups.md.
usage: groups.py [--quick] [--no-peer] [--runs N] [--only KEY,...] [--nice N] [--dir DIR] [--build DIR] [--output FILE]"""
import datetime
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import report  # noqa: E402
import run  # noqa: E402
from brokers import Bound, Chronik, Failed, Kafka, KAFKA, why_no_peer  # noqa: E402

AT_ONCE = {"group.initial.rebalance.delay.ms": 0}
TOPIC = {"topic": "groups", "partitions": 4}
GROUPS, MEMBERS, INTERVAL = 10000, 5, 3  # a heartbeat every so many seconds
# key, what, the load's mode, options
RUNS = [
    ("c1", "commits, 1 client", "commit", {"conns": 1, "in_flight": 1}),
    ("c64", "commits, 64 clients", "commit", {"conns": 64, "in_flight": 1}),
    ("c256", "commits, 256 clients", "commit", {"conns": 256, "in_flight": 1}),
    ("cp", "commits, 64 connections x 16 in flight", "commit", {"conns": 64, "in_flight": 16}),
    ("hb", "heartbeats, 64 connections x 16 in flight", "heartbeat", {"conns": 64, "in_flight": 16}),
    ("jn", "join, sync, leave in turn, 64 members", "join", {"conns": 64, "in_flight": 1}),
]
# name, unit, key, field, goal, factor against Kafka, direction, key of Kafka: as in report.py
GOALS = [
    ("commits, 1 client", "req/s", "c1", "req_s", None, None, report.HIGH, None),
    ("commits, 64 clients", "req/s", "c64", "req_s", 30000, 5, report.HIGH, None),
    ("CPU of a commit, 64 clients", "us", "c64", "cpu_us", None, 5, report.LOW, None),
    ("p99 of a commit, 64 clients", "us", "c64", "p99", None, None, report.LOW, None),
    ("commits, 256 clients", "req/s", "c256", "req_s", 60000, 5, report.HIGH, None),
    ("CPU of a commit, 256 clients", "us", "c256", "cpu_us", None, 5, report.LOW, None),
    ("commits, 1,024 in flight", "req/s", "cp", "req_s", None, 5, report.HIGH, None),
    ("CPU of a commit, 1,024 in flight", "us", "cp", "cpu_us", None, 5, report.LOW, None),
    ("heartbeats", "req/s", "hb", "req_s", None, None, report.HIGH, None),
    ("CPU of a heartbeat", "us", "hb", "cpu_us", None, None, report.LOW, None),
    ("join, sync or leave", "req/s", "jn", "req_s", None, None, report.HIGH, None),
    ("CPU of join, sync or leave", "us", "jn", "cpu_us", None, None, report.LOW, None),
    ("CPU, 10,000 groups, 50,000 members, silent", "% core", "silent", "v", 1, None, report.LOW, None),
    ("CPU, the same with a heartbeat each 3 s", "% core", "beating", "v", 20, None, report.LOW, None),
    ("memory, the same", "MiB", "rss", "v", None, None, report.LOW, None),
]


def load(broker, mode, options, seconds):
    groups = options["conns"]
    return broker.load(mode, groups=groups, seconds=seconds, **TOPIC, **options)


def begin(broker):
    broker.start()
    broker.load("create", **TOPIC)
    broker.wait_for(TOPIC["topic"], TOPIC["partitions"])


def ten_thousand(bench):
    """chronik alone: what groups cost that do nothing, and that say that they are there."""
    b = bench.started(Chronik(bench.args.build, bench.work, "group", {"group.initial.rebalance.delay.ms": 200}))
    begin(b)
    many = {"conns": 64, "groups": GROUPS, "members": MEMBERS, "warmup": 1, "seconds": 10}
    silent = b.load("members", **TOPIC, **many)
    bench.value("silent", "chronik", 100 * silent["broker_cpu_s"] / silent["seconds"], "% of a core")
    bench.value("rss", "chronik", b.resident_mib(), "MiB")
    bench.gone(b)
    b = bench.started(Chronik(bench.args.build, bench.work, "group", {"group.initial.rebalance.delay.ms": 200}))
    begin(b)
    beating = b.load("heartbeat", rate=GROUPS * MEMBERS / INTERVAL, in_flight=256, **TOPIC, **many)
    bench.value("beating", "chronik", 100 * beating["broker_cpu_s"] / beating["seconds"], "% of a core")
    bench.gone(b)


class Groups(run.Bench):
    def run(self):
        ours = self.started(Chronik(self.args.build, self.work, "group", AT_ONCE))
        begin(ours)
        if not self.args.no_peer:
            why = why_no_peer(self.args.build)
            if why:
                self.notes.append(f"Kafka was not measured: {why}")
            else:
                self.peer = self.started(Kafka(self.args.build, self.work, AT_ONCE))
                begin(self.peer)
                run.say("warming Kafka up")
                for _, _, mode, options in RUNS[1:]:
                    load(self.peer, mode, options, 2 if self.args.quick else 6)
        for key, _, mode, options in RUNS:
            def one(b, mode=mode, options=options):
                return load(b, mode, options, self.args.seconds)

            def least(b, mode=mode, options=options):
                return load(b, mode, {**options, "raw": True, "simple": True}, self.args.seconds)
            bound = self.started(Bound(self.args.build, self.work))
            bound.start("--empty")
            self.measure(key, [(ours, one), (self.peer, one)] + ([(bound, least)] if mode != "join" else []))
            bound.stop()
            self.gone(bound)
        for b in list(self.brokers):
            self.gone(b)
        if self.wanted("many"):
            ten_thousand(self)


def table(bench):
    goals = [r for r in (report.goal_row(g, bench.chronik, bench.kafka, bench.bound) for g in GOALS) if r]
    details = []
    for key, what, _, _ in RUNS:
        for label, measured in (("chronik", bench.chronik), ("kafka", bench.kafka), ("bound", bench.bound)):
            m = measured.get(key)
            if m:
                details.append([what, label, *(report.number(m[f]) for f in ("req_s", "p50", "p99", "p999", "max",
                                                                             "cpu_us")), str(m["runs"])])
    return (report.markdown(["metric", "unit", "chronik", "Kafka", "ratio", "bound", "goal", "held"], goals),
            report.markdown(["run", "broker", "req/s", "p50 us", "p99 us", "p99.9 us", "max us", "broker us/req", "runs"],
                            details))


def page(bench, args, work, seconds, loads):
    goals, details = table(bench)
    notes = "\n".join(f"- {n}" for n in bench.notes)
    peer = f"Apache Kafka {KAFKA} (KRaft, one node), heap 1 GiB, offsets not flushed" if bench.peer else "none"
    return f"""# Benchmarks of groups
Written by `./dev bench groups`; do not edit.

- Command: `{args.command}`, {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, {seconds:.0f} s
- Machine: {report.machine(work)}; load average {loads[0]:.1f} before, {loads[1]:.1f} after
- chronik: {report.first_line(os.path.join(args.build, "out/bin/chronik"), "--version")}; a commit is answered when it is on disk
- Peer: {peer}
- Both: one machine, loopback; one group with one member for each connection, a commit is one partition; brokers take turns
- bound: tests/bench/bound --empty, which reads requests and answers zeros: the most that this machine does with these clients
{notes}

## Goals
{goals}

## Runs
{details}
"""


def main():
    args = run.arguments(os.path.join(run.TOP, "docs/benchmarks-groups.md"), [r[0] for r in RUNS] + ["many"], "./dev bench groups")
    since, loads = time.monotonic(), [os.getloadavg()[0]]
    work = run.data_directory(args)
    bench = Groups(args, work)
    try:
        bench.run()
        loads.append(os.getloadavg()[0])
        text = page(bench, args, work, time.monotonic() - since, loads)
    finally:
        bench.end()
        subprocess.run(["rm", "-rf", work], timeout=120, check=False)
    print("\n".join(table(bench)))
    if not args.only:
        with open(args.output, "w") as f:
            f.write(text)
        run.say(f"wrote {args.output} after {time.monotonic() - since:.0f} s")


if __name__ == "__main__":
    try:
        main()
    except Failed as e:
        sys.exit(f"bench: {e}")
    except KeyboardInterrupt:
        sys.exit(130)
