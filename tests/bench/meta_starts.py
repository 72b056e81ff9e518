"""meta_starts.py: what a single voter costs beside the module for one machine: from the start of the process until it
serves, on an empty directory and on one that was used and stopped, and the memory that it holds then. The two take
turns, so that none of them has the quiet minute. Standard library alone."""
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

RUNS = 10


class Failed(Exception):
    """What the measurement expected and did not get."""


def resident_mib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024


def once(build, engine, data):
    """One start and stop: (milliseconds until it serves, MiB then)."""
    command = [os.path.join(build, "out/bin/chronik"), f"--meta={engine}", "--override", f"log.dirs={data}",
               "--override", "listeners=PLAINTEXT://127.0.0.1:0", "--override", "chronik.admin.listener=127.0.0.1:0"]
    since = time.monotonic()
    p = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                         start_new_session=True)
    said = []
    try:
        for line in p.stderr:
            said.append(line.decode(errors="replace"))
            if b"ready after" in line:
                break
        took = (time.monotonic() - since) * 1e3
        if "ready after" not in "".join(said[-1:]):
            raise Failed(f"{engine}: it ended instead of serving: {''.join(said)}")
        time.sleep(0.2)
        return took, resident_mib(p.pid)
    finally:
        p.send_signal(signal.SIGTERM)
        p.stderr.close()
        p.wait(30)


def measure(build, work, say):
    """{(engine, what): median}: first_ms, later_ms, mib."""
    found = {}
    for n in range(RUNS):
        for engine in ("local", "raft"):
            home = tempfile.mkdtemp(prefix=f"start-{engine}-", dir=work)
            try:
                first, _ = once(build, engine, os.path.join(home, "data"))
                later, mib = once(build, engine, os.path.join(home, "data"))
            finally:
                shutil.rmtree(home, ignore_errors=True)
            say(f"start {n + 1} of {engine}: {first:.1f} ms on an empty directory, {later:.1f} ms later, {mib:.1f} MiB")
            for what, value in (("first_ms", first), ("later_ms", later), ("mib", mib)):
                found.setdefault((engine, what), []).append(value)
    return {k: statistics.median(v) for k, v in found.items()}


def lines(found):
    """The table of the page."""
    if not found:
        return []
    rows = [("first_ms", "ms until it serves, on an empty directory"), ("later_ms", "ms until it serves, later"),
            ("mib", "MiB when it serves")]
    out = ["", f"| A start, median of {RUNS} | local | raft x1 | ratio |", "|-|-|-|-|"]
    for what, text in rows:
        a, b = found["local", what], found["raft", what]
        out.append(f"| {text} | {a:.1f} | {b:.1f} | {b / a:.2f} |")
    return out
