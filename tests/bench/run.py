"""run.py: ./dev bench. Runs the load generator against chronik and against Apache Kafka in turns on this machine, prints
the table of goals and writes docs/benchmarks.md. It ends only what it started, removes its data, and bounds every wait.
usage: run.py [--quick] [--no-peer] [--runs N] [--only KEY,...] [--nice N] [--dir DIR] [--build DIR] [--output FILE]"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import report  # noqa: E402
from brokers import Bound, Chronik, Failed, Kafka, KAFKA, niceness, why_no_peer  # noqa: E402

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
CONGESTION = "/proc/sys/net/ipv4/tcp_congestion_control"
SIZES = {16: {"batch": 16384, "records": 149}, 64: {"batch": 65536, "records": 596}, 1: {"batch": 110, "records": 1}}
FLUSH = {"config": "flush.messages=1"}
RETENTION = {"log.retention.check.interval.ms": 1000}  # so that deletion is part of the load
BURST = 2 << 30  # bytes of a run that shall stay below the kernel's limit of dirty pages


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def topic_load(broker, topic_config=None, partitions=4, **options):
    """A run on a topic of its own, which is gone afterwards."""
    topic_load.n += 1
    name = f"bench-{topic_load.n}"
    broker.load("create", topic=name, partitions=partitions, **(topic_config or {}))
    broker.wait_for(name, partitions)
    try:
        return broker.load("produce", topic=name, partitions=partitions, **options)
    finally:
        clean(broker, name)


topic_load.n = 0


def clean(broker, topic):
    """The topic goes and what is dirty is written, so that no run pays for the one before."""
    broker.load("delete", topic=topic)
    time.sleep(1.2)
    os.sync()


def fetch_load(broker, seconds):
    """Reads what was just written, again and again; a first pass looks at every batch."""
    broker.load("create", topic="fetch", partitions=4)
    broker.wait_for("fetch", 4)
    try:
        broker.load("produce", topic="fetch", bytes=512 << 20, seconds=30, warmup=0, **SIZES[16])
        os.sync()
        broker.load("fetch", topic="fetch", check=True, seconds=0.5, warmup=0)
        return broker.load("fetch", topic="fetch", seconds=seconds, warmup=1)
    finally:
        clean(broker, "fetch")


class Reader(threading.Thread):
    """Reads a topic whose pages were evicted, again and again until it is told to end; counts the bytes."""

    def __init__(self, broker, topic, size):
        super().__init__()
        self.broker, self.topic, self.size = broker, topic, size
        self.bytes, self.ending, self.problem = 0, threading.Event(), None

    def run(self):
        try:
            while not self.ending.is_set():
                self.broker.evict(self.topic)
                self.bytes += self.broker.load("fetch", topic=self.topic, bytes=self.size, seconds=120, warmup=0)["bytes"]
        except (Failed, subprocess.SubprocessError, OSError) as e:
            self.problem = e


def beside_reading(broker, size, seconds):
    """Half load alone, then while another client reads a log that is not in the page cache."""
    broker.load("create", topic="old", partitions=4)
    broker.wait_for("old", 4)
    try:
        broker.load("produce", topic="old", bytes=size, seconds=120, warmup=0, **SIZES[64])
        os.sync()
        alone = topic_load(broker, rate=3000, seconds=seconds, **SIZES[16])
        reader = Reader(broker, "old", size)
        reader.start()
        try:
            beside = topic_load(broker, rate=3000, seconds=seconds, **SIZES[16])
        finally:
            reader.ending.set()
            reader.join()
        if reader.problem:
            raise Failed(f"reading evicted log: {reader.problem}")
        say(f"{broker.label}: {reader.bytes / 1e9:.1f} GB of evicted log were read meanwhile")
        return alone, beside
    finally:
        clean(broker, "old")


def summary(results):
    """The medians of runs of one kind."""
    def middle(value):
        return statistics.median(value(r) for r in results)
    gb = [max(r["bytes"], 1) / 1e9 for r in results]
    return {"mb_s": middle(lambda r: r["mb_per_s"]), "req_s": middle(lambda r: r["requests_per_s"]),
            "p50": middle(lambda r: r["p50_us"]), "p99": middle(lambda r: r["p99_us"]),
            "p999": middle(lambda r: r["p999_us"]), "max": middle(lambda r: r["max_us"]),
            "cpu_gb": statistics.median(r["broker_cpu_s"] / g for r, g in zip(results, gb)),
            "own_cpu_gb": statistics.median(r["generator_cpu_s"] / g for r, g in zip(results, gb)),
            "cpu_us": middle(lambda r: r["broker_cpu_s"] / max(r["requests"], 1) * 1e6), "runs": len(results)}


class Bench:
    def __init__(self, args, work):
        self.args, self.work = args, work
        self.chronik, self.kafka, self.bound, self.raw, self.notes = {}, {}, {}, {}, []
        self.brokers = []
        self.peer = None

    def wanted(self, key):
        return not self.args.only or key in self.args.only

    def started(self, broker):
        self.brokers.append(broker)
        return broker

    def gone(self, broker):
        broker.end()
        self.brokers.remove(broker)

    def measure(self, key, pairs):
        """`pairs`: which broker, and the run on it. They take turns, `runs` times."""
        if not self.wanted(key):
            return
        for turn in range(self.args.runs if not key.startswith("s_") else 1):
            for broker, what in pairs:
                if broker is None:
                    continue
                result = what(broker)
                label = broker.label
                self.raw.setdefault((key, label), []).append(result)
                say(f"{key:6} {label:8} run {turn + 1}: {result['mb_per_s']:8.1f} MB/s {result['requests_per_s']:8.0f} "
                    f"req/s p50 {result['p50_us']:7.0f} p99 {result['p99_us']:8.0f} p99.9 {result['p999_us']:8.0f} us, "
                    f"CPU broker {result['broker_cpu_s']:.2f} s, generator {result['generator_cpu_s']:.2f} s")
        for label, into in (("chronik", self.chronik), ("kafka", self.kafka), ("bound", self.bound)):
            if (key, label) in self.raw:
                into[key] = summary(self.raw[key, label])

    def value(self, key, label, v, unit):
        say(f"{key:14} {label:8} {v:9.2f} {unit}")
        {"chronik": self.chronik, "kafka": self.kafka}[label][key] = {"v": v}

    # ---- the parts ----

    def idle(self):
        """Start to first answer and resident memory of an empty broker."""
        starts = []
        for _ in range(5):
            b = self.started(Chronik(self.args.build, self.work, "group"))
            starts.append(b.start())
            last = b
            if len(starts) < 5:
                self.gone(b)
        self.value("start_empty", "chronik", 1000 * statistics.median(starts), "ms")
        if self.peer:
            self.value("start_empty", "kafka", 1000 * self.peer.start(), "ms")
        time.sleep(10)
        self.value("rss_idle", "chronik", last.resident_mib(), "MiB")
        if self.peer:
            self.value("rss_idle", "kafka", self.peer.resident_mib(), "MiB")
        self.gone(last)

    def warm_up(self, group):
        """Kafka's code is compiled as it runs; our log's files are made as it grows, then used again."""
        topic_load(group, conns=16, seconds=4, warmup=0, **SIZES[16])
        if not self.peer:
            return
        say("warming Kafka up")
        k = 1 if self.args.quick else 3
        for size, conns, seconds in ((16, 4, 6), (1, 4, 4), (64, 4, 3)):
            topic_load(self.peer, conns=conns, seconds=seconds * k, warmup=0, **SIZES[size])
        fetch_load(self.peer, 2 * k)

    def produce(self, os_mode, group):
        s = self.args.seconds
        for key, size in (("p16", 16), ("p64", 64), ("p1", 1)):
            def one(b, size=size):
                return topic_load(b, seconds=s, bytes=BURST, **SIZES[size])
            def least(b, size=size):
                return b.load("produce", raw=True, topic="bound", partitions=4, seconds=s, bytes=BURST, **SIZES[size])
            bound = self.started(Bound(self.args.build, self.work))
            bound.start()
            self.measure(key, [(os_mode, one), (self.peer, one), (bound, least)])
            bound.stop()
            self.gone(bound)
        for key, conns in (("d4", 4), ("d16", 16)):
            def durable(b, conns=conns):
                return topic_load(b, FLUSH, conns=conns, seconds=s, bytes=BURST, **SIZES[16])
            self.measure(key, [(group, durable), (self.peer, durable)])
        self.measure("n16", [(self.peer, lambda b: topic_load(b, conns=16, seconds=s, bytes=BURST, **SIZES[16]))])

    def latency(self, os_mode, group):
        s = 4 if self.args.quick else 20
        for n in (3, 1):
            def one(b, n=n):
                return topic_load(b, rate=1000 * n, seconds=s, **SIZES[16])
            self.measure(f"o{n}", [(os_mode, one), (self.peer, one)])
            self.measure(f"g{n}", [(group, one)])

    def evicted(self, os_mode, group):
        s, size = (4, 1 << 30) if self.args.quick else (20, 10_000_000_000)
        for key, broker in (("e3", os_mode), ("eg3", group), ("e3", self.peer)):
            if broker and self.wanted(key):
                alone, beside = beside_reading(broker, size, s)
                into = self.kafka if broker is self.peer else self.chronik
                into[key] = summary([beside])
                self.value(f"{key}_times", broker.label, beside["p99_us"] / alone["p99_us"], "times the p99 without")

    def retention(self, group):
        config = {"config": "segment.bytes=16777216,retention.bytes=33554432"}

        def one(b):
            return topic_load(b, config, rate=3000, seconds=30, **SIZES[16])
        self.measure("r3", [(group, one), (self.peer, one)])

    def sustained(self, os_mode, group):
        s = 90
        self.measure("s_os", [(b, lambda b: topic_load(b, seconds=s, **SIZES[16])) for b in (os_mode, self.peer)])
        self.measure("s_d16", [(b, lambda b: topic_load(b, FLUSH, conns=16, seconds=s, **SIZES[16]))
                               for b in (group, self.peer)])

    def many_partitions(self, broker):
        """10,000 partitions, a thousand of them with records."""
        say(f"{broker.label}: creating 10,000 partitions")
        broker.start()
        since = time.monotonic()
        broker.load("create", topic="many", topics=100, partitions=100, seconds=300)
        for i in range(0, 100, 10):
            broker.wait_for(f"many-{i}", 100)
            broker.load("produce", topic=f"many-{i}", partitions=100, conns=100, in_flight=1, seconds=0.3, warmup=0,
                        **SIZES[1])
        broker.wait_for("many-99", 100)
        say(f"{broker.label}: 10,000 partitions after {time.monotonic() - since:.1f} s")
        time.sleep(5)
        self.value("rss_10k", broker.label, broker.resident_mib(), "MiB")
        self.value("idle_10k", broker.label, broker.idle_cpu_percent(10 if self.args.quick else 30), "% of a core")
        broker.stop()
        self.value("start_10k", broker.label, 1000 * broker.start("many-99", 100), "ms")
        broker.load("produce", topic="many-0", partitions=100, conns=100, in_flight=1, seconds=0.3, warmup=0, **SIZES[1])
        broker.kill()
        self.value("start_10k_kill", broker.label, 1000 * broker.start("many-99", 100), "ms")

    def run(self):
        if not self.args.no_peer:
            why = why_no_peer(self.args.build)
            if why:
                say(f"without Kafka: {why}")
                self.notes.append(f"Kafka was not measured: {why}")
            else:
                self.peer = self.started(Kafka(self.args.build, self.work, RETENTION))
        if self.wanted("idle"):
            self.idle()
        elif self.peer:
            self.peer.start()
        os_mode = self.started(Chronik(self.args.build, self.work, "os", RETENTION))
        group = self.started(Chronik(self.args.build, self.work, "group", RETENTION))
        os_mode.start()
        group.start()
        self.warm_up(group)
        self.produce(os_mode, group)
        both = [b for b in (os_mode, self.peer) if b]
        self.measure("f4", [(b, lambda b: fetch_load(b, self.args.seconds)) for b in both])
        self.latency(os_mode, group)
        self.evicted(os_mode, group)
        for b in both:
            self.value("rss_load", b.label, b.resident_mib(), "MiB")
        if not self.args.quick:
            self.retention(group)
            self.sustained(os_mode, group)
        for b in list(self.brokers):
            self.gone(b)
        if self.wanted("many"):
            self.many_partitions(self.started(Chronik(self.args.build, self.work, "group")))
            if self.peer and not self.args.quick:
                self.many_partitions(self.started(Kafka(self.args.build, self.work)))
            elif self.peer:
                self.notes.append("Kafka's 10,000 partitions are measured without --quick alone (they take minutes)")

    def end(self):
        for b in list(self.brokers):
            self.gone(b)


def congestion():
    with open(CONGESTION) as f:
        return f.read().strip()


def set_congestion(name):
    if os.geteuid() == 0 and congestion() != name:
        with open(CONGESTION, "w") as f:
            f.write(name)


def data_directory(args):
    """Somewhere on a disk; memory would hide what a sync costs."""
    for d in [args.dir] if args.dir else ["/var/tmp", os.path.join(args.build, "bench")]:
        os.makedirs(d, exist_ok=True)
        kind = subprocess.run(["stat", "-f", "-c", "%T", d], capture_output=True, text=True, timeout=10, check=True)
        if kind.stdout.strip() not in ("tmpfs", "ramfs"):
            return tempfile.mkdtemp(prefix="chronik-bench-", dir=d)
    raise Failed("no directory on a disk; name one with --dir")


def arguments(output, rows, command):
    p = argparse.ArgumentParser(description="measure chronik beside Apache Kafka")
    p.add_argument("--quick", action="store_true", help="less than five minutes: one short run of each kind")
    p.add_argument("--no-peer", action="store_true", help="chronik alone")
    p.add_argument("--runs", type=int, help="runs of each kind; medians are shown")
    p.add_argument("--only", type=lambda s: set(s.split(",")), help="only these rows: " + " ".join(rows))
    p.add_argument("--nice", type=int, help="niceness of brokers and generator, all alike: below zero on a busy machine")
    p.add_argument("--dir", help="where data goes; a disk, not memory")
    p.add_argument("--build", default=os.environ.get("CHRONIK_BUILD", os.path.join(TOP, "build")))
    p.add_argument("--output", default=output)
    args = p.parse_args()
    args.build = os.path.abspath(args.build)
    args.runs = args.runs or (1 if args.quick else 3)
    args.seconds = 3 if args.quick else 8
    shown = [a for a in sys.argv[1:] if not a.startswith(("--build=", "--output="))]
    args.command = " ".join([command, *shown])
    if args.nice is not None:
        # Where the kernel groups tasks by session, a group has a niceness of its own.
        niceness[:] = ["sh", "-c", f"echo {args.nice} >/proc/self/autogroup 2>/dev/null; "
                                   f'exec nice -n {args.nice} "$@"', "sh"]
    return args


def main():
    args = arguments(os.path.join(TOP, "docs/benchmarks.md"), [*report.ROWS, "idle", "many"], "./dev bench")
    begin, load, before = time.monotonic(), [os.getloadavg()[0]], congestion()
    work = data_directory(args)
    bench = Bench(args, work)
    try:
        set_congestion("cubic")
        bench.run()
        load.append(os.getloadavg()[0])
        facts = {"command": args.command, "seconds": time.monotonic() - begin,
                 "directory": work, "load": load, "notes": bench.notes, "congestion": congestion(),
                 "chronik": report.first_line(os.path.join(args.build, "out/bin/chronik"), "--version"),
                 "peer": f"Apache Kafka {KAFKA} (KRaft, one node), heap 1 GiB, {report.first_line('java', '-version')}"
                         if bench.peer else "none"}
        text = report.document(bench.chronik, bench.kafka, bench.bound, facts)
    finally:
        bench.end()
        set_congestion(before)
        subprocess.run(["rm", "-rf", work], timeout=120, check=False)
    print("\n".join(report.tables(bench.chronik, bench.kafka, bench.bound)))
    if args.only:
        say("docs/benchmarks.md stays: this was a part alone")
        return
    with open(args.output, "w") as f:
        f.write(text)
    say(f"wrote {args.output} after {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    try:
        main()
    except Failed as e:
        sys.exit(f"bench: {e}")
    except KeyboardInterrupt:
        sys.exit(130)
