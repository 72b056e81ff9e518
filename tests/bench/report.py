"""report.py: from what was measured to the table of goals with ratios, as text and as docs/benchmarks.md. It computes
nothing that was not measured: what is missing is shown as a dash."""
import datetime
import os
import platform
import subprocess

# name, unit, key of the measurement, field, goal, goal against Kafka as a factor, key for Kafka when it is another one
LOW, HIGH = "lower", "higher"
GOALS = [
    ("produce 16 KiB, flush=os", "MB/s", "p16", "mb_s", 1000, 9, HIGH, None),
    ("produce 64 KiB, flush=os", "MB/s", "p64", "mb_s", 1500, 7, HIGH, None),
    ("produce 1 record a request, flush=os", "req/s", "p1", "req_s", 100000, 8, HIGH, None),
    ("CPU of produce 16 KiB", "s/GB", "p16", "cpu_gb", 1.0, 13, LOW, None),
    ("CPU of produce 64 KiB", "s/GB", "p64", "cpu_gb", 0.6, 13, LOW, None),
    ("CPU of 1 record a request", "us", "p1", "cpu_us", 10, 10, LOW, None),
    ("durable 16 KiB, 4 connections, beside Kafka flushing", "MB/s", "d4", "mb_s", 150, 8, HIGH, None),
    ("durable 16 KiB, 16 connections, beside Kafka flushing", "MB/s", "d16", "mb_s", 300, 12, HIGH, None),
    ("durable 16 KiB, 4 connections, beside Kafka not flushing", "MB/s", "d4", "mb_s", None, 1, HIGH, "p16"),
    ("durable 16 KiB, 16 connections, beside Kafka not flushing", "MB/s", "d16", "mb_s", None, 1, HIGH, "n16"),
    ("p50 of durable 16 KiB, 4 connections x 5", "us", "d4", "p50", None, None, LOW, None),
    ("fetch from page cache, 4 connections", "MB/s", "f4", "mb_s", None, None, HIGH, None),
    ("CPU of fetch from page cache", "s/GB", "f4", "cpu_gb", 0.25, 2, LOW, None),
    ("open loop 3,000/s of 16 KiB, flush=os: p50", "us", "o3", "p50", None, None, LOW, None),
    ("open loop 3,000/s of 16 KiB, flush=os: p99", "us", "o3", "p99", 1000, 10, LOW, None),
    ("open loop 3,000/s of 16 KiB, flush=os: p99.9", "us", "o3", "p999", None, None, LOW, None),
    ("open loop 3,000/s of 16 KiB, group: p50 (Kafka does not flush)", "us", "g3", "p50", None, None, LOW, "o3"),
    ("open loop 3,000/s of 16 KiB, group: p99 (Kafka does not flush)", "us", "g3", "p99", 5000, 10, LOW, "o3"),
    ("open loop 3,000/s of 16 KiB, group: p99.9 (Kafka does not flush)", "us", "g3", "p999", None, None, LOW, "o3"),
    ("open loop 1,000/s of 16 KiB, flush=os: p50", "us", "o1", "p50", None, None, LOW, None),
    ("open loop 1,000/s of 16 KiB, flush=os: p99", "us", "o1", "p99", None, None, LOW, None),
    ("open loop 1,000/s of 16 KiB, flush=os: p99.9", "us", "o1", "p999", None, None, LOW, None),
    ("open loop 1,000/s of 16 KiB, group: p50 (Kafka does not flush)", "us", "g1", "p50", None, None, LOW, "o1"),
    ("open loop 1,000/s of 16 KiB, group: p99 (Kafka does not flush)", "us", "g1", "p99", None, None, LOW, "o1"),
    ("open loop 1,000/s of 16 KiB, group: p99.9 (Kafka does not flush)", "us", "g1", "p999", None, None, LOW, "o1"),
    ("p99 at 3,000/s while evicted log is read, flush=os: times that without", "x", "e3_times", "v", 2, None, LOW, None),
    ("p99 at 3,000/s while evicted log is read, group: times that without", "x", "eg3_times", "v", 2, None, LOW,
     "e3_times"),
    ("p99.9 at 3,000/s while retention deletes, group", "us", "r3", "p999", 10000, None, LOW, None),
    ("resident memory, idle 10 s after start", "MiB", "rss_idle", "v", 10, 30, LOW, None),
    ("resident memory, 10,000 partitions", "MiB", "rss_10k", "v", 64, 15, LOW, None),
    ("resident memory after the load", "MiB", "rss_load", "v", 256, 4, LOW, None),
    ("start to first answer, empty", "ms", "start_empty", "v", 30, 100, LOW, None),
    ("start to first answer, 10,000 partitions, clean stop", "ms", "start_10k", "v", 300, 100, LOW, None),
    ("start to first answer, 10,000 partitions, kill -9", "ms", "start_10k_kill", "v", 300, 100, LOW, None),
    ("idle CPU, 10,000 partitions", "% core", "idle_10k", "v", 0.2, 25, LOW, None),
    ("sustained produce 16 KiB, flush=os", "MB/s", "s_os", "mb_s", None, 9, HIGH, None),
    ("sustained CPU of produce 16 KiB", "s/GB", "s_os", "cpu_gb", None, 13, LOW, None),
    ("sustained durable 16 KiB, 16 connections, beside Kafka flushing", "MB/s", "s_d16", "mb_s", None, 12, HIGH, None),
]
ROWS = {"p16": "produce 16 KiB", "p64": "produce 64 KiB", "p1": "produce 1 record a request",
        "d4": "durable 16 KiB, 4 conns", "d16": "durable 16 KiB, 16 conns", "n16": "not flushed 16 KiB, 16 conns",
        "f4": "fetch, 4 conns", "o3": "open loop 3,000/s", "o1": "open loop 1,000/s",
        "g3": "open loop 3,000/s, group", "g1": "open loop 1,000/s, group", "e3": "3,000/s, evicted log is read",
        "eg3": "3,000/s, evicted log is read, group", "r3": "3,000/s, retention, group",
        "s_os": "sustained 16 KiB", "s_d16": "sustained durable, 16 conns"}


def number(v):
    if v is None:
        return "-"
    if v >= 1000:
        return f"{v:,.0f}"
    return f"{v:.0f}" if v >= 100 else f"{v:.1f}" if v >= 10 else f"{v:.2f}"


def ratio(ours, theirs, better):
    if ours is None or not theirs:
        return None
    return ours / theirs if better == HIGH else theirs / ours if ours else None


def factor(r, better):
    return "-" if r is None else (f"{number(r)}x" if better == HIGH else f"1/{number(r)}")


def goal_row(goal, chronik, kafka, bound):
    name, unit, key, field, absolute, against, better, other = goal
    ours = chronik.get(key, {}).get(field)
    theirs = kafka.get(other or key, {}).get(field)
    if ours is None and theirs is None:
        return None
    r = ratio(ours, theirs, better)
    verdicts = []
    if absolute is not None and ours is not None:
        verdicts.append(ours >= absolute if better == HIGH else ours <= absolute)
    if against is not None and r is not None:
        verdicts.append(r >= against)
    sign = ">=" if better == HIGH else "<="
    want = [f"{sign} {number(absolute)}"] if absolute is not None else []
    if against is not None:
        want.append(f"{sign} {against}x" if better == HIGH else f"<= 1/{against}")
    held = "" if not verdicts else "yes" if all(verdicts) else "partly" if any(verdicts) else "no"
    most = bound.get(key, {}).get(field)
    return [name, unit, number(ours), number(theirs), factor(r, better), number(most) if most else "", ", ".join(want),
            held]


def detail_rows(label, measured):
    for key, name in ROWS.items():
        m = measured.get(key)
        if m:
            yield [name, label, number(m["mb_s"]), number(m["req_s"]), number(m["p50"]), number(m["p99"]),
                   number(m["p999"]), number(m["max"]), number(m["cpu_gb"]), number(m["cpu_us"]),
                   number(m["own_cpu_gb"]), str(m["runs"])]


def markdown(head, rows):
    widths = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]
    lines = [head, ["-" * w for w in widths], *rows]
    return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(r, widths)) + " |" for r in lines)


def tables(chronik, kafka, bound):
    goals = [r for r in (goal_row(g, chronik, kafka, bound) for g in GOALS) if r]
    details = sorted([*detail_rows("chronik", chronik), *detail_rows("kafka", kafka), *detail_rows("bound", bound)],
                     key=lambda r: list(ROWS.values()).index(r[0]))
    return (markdown(["metric", "unit", "chronik", "Kafka", "ratio", "bound", "goal", "held"], goals),
            markdown(["run", "broker", "MB/s", "req/s", "p50 us", "p99 us", "p99.9 us", "max us", "broker CPU s/GB",
                      "broker us/req", "generator CPU s/GB", "runs"], details))


def first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return (done.stdout or done.stderr).strip().splitlines()[0]
    except (OSError, IndexError, subprocess.SubprocessError):
        return "unknown"


def machine(directory):
    cpu = "unknown processor"
    with open("/proc/cpuinfo") as f:
        cpu = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), cpu)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kind = first_line("stat", "-f", "-c", "%T", directory)
    return (f"{os.cpu_count()} x {cpu}, {memory:.0f} GiB memory, Linux {platform.release()}, data on {kind}")


def document(chronik, kafka, bound, facts):
    goals, details = tables(chronik, kafka, bound)
    notes = "\n".join(f"- {n}" for n in facts["notes"])
    return f"""# Benchmarks
Written by `./dev bench`; do not edit.

- Command: `{facts['command']}`, {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, {facts['seconds']:.0f} s
- Machine: {machine(facts['directory'])}; load average {facts['load'][0]:.1f} before, {facts['load'][1]:.1f} after
- chronik: {facts['chronik']}; meta-local, store-wal
- Peer: {facts['peer']}
- Both: one machine, loopback, TCP congestion control {facts['congestion']}, 4 connections with 5 requests in flight over
  4 partitions unless said otherwise, acks=all, 16 KiB = 149 records of about 100 bytes; the brokers take turns
{notes}

## Goals
A ratio of 1/N means that chronik needs an Nth of what Kafka needs. The goal's two parts are the absolute figure and the
ratio; "partly" means that one of them is held. The bound is what a loop without a broker around it gets from this machine (read,
check the CRC, write to the page cache, answer: tests/bench/bound.c).

{goals}

## Runs
Medians. Latencies of open loops count from when a request was due, also when nobody could send it yet.

{details}
"""
