"""suite.py: runs the tests that tests.tsv lists, each in a process of librdkafka's test-runner of its own, a few at a time, and says
what came of each. A test has bounds of its own; the bound here is only there to end a hang. A test's process sits in a session of
its own and is ended by that."""
import collections
import concurrent.futures
import csv
import json
import os
import re
import signal
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# Measure the time between their own calls, and fail on a loaded machine also on Kafka: run last, alone.
MEASURING = {"0038_performance", "0127_fetch_queue_backoff"}

Result = collections.namedtuple("Result", "state seconds why")


def listed():
    """The rows of tests.tsv."""
    with open(os.path.join(HERE, "tests.tsv"), encoding="utf-8") as f:
        return list(csv.DictReader((line for line in f if not line.startswith("#")), delimiter="\t"))


def environment(row, brokers, home, work):
    """The environment is the suite's whole interface: which test, which broker, where the report goes."""
    base = os.path.join(work, row["test"])
    address = brokers[row["broker"]]
    with open(base + ".conf", "w", encoding="utf-8") as f:
        f.write(f"bootstrap.servers={address}\ntest.timeout.multiplier=2\ntest.topic.prefix=rdk{os.getpid()}\n")
    env = {k: v for k, v in os.environ.items() if k != "CI" and not re.match("TEST|KAFKA|RDKAFKA", k)}
    env.update(TESTS=row["test"], TEST_REPORT=base + ".json", RDKAFKA_TEST_CONF=base + ".conf", BROKERS=address,
               TEST_SCENARIO="noautocreate" if row["broker"] == "noauto" else "default", TEST_KAFKA_VERSION="4.4.0",
               RDKAFKA_GITVER="release", KAFKA_PATH=home, LD_LIBRARY_PATH="../src:../src-cpp")
    return env, base


def state_of(name, report):
    """What the runner's report says of the test, or nothing."""
    try:
        with open(report, encoding="utf-8", errors="replace") as f:
            return json.loads(f.read(), strict=False)["tests"][name]["state"]
    except (OSError, ValueError, KeyError):
        return ""


def reason(log):
    """The line of a failed test's output that names the cause best."""
    with open(log, encoding="utf-8", errors="replace") as f:
        lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in f]
    for i, line in enumerate(lines):
        if re.match(r'### Test ".*" failed at', line):
            return " ".join(lines[i:i + 2])
    told = [line for line in lines if re.search("fail|assert|abort|timed out", line, re.I)]
    return (told or lines or ["no output"])[-1]


def run_one(row, source, brokers, home, work):
    env, base = environment(row, brokers, home, work)
    limit = max(180, 2.5 * float(row["seconds"]))
    began = time.monotonic()
    with open(base + ".log", "wb") as log:
        p = subprocess.Popen(["./test-runner", "-p1", "-L"], cwd=os.path.join(source, "tests"), env=env, stdout=log,
                             stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
        ended = ""
        try:
            p.wait(limit)
        except subprocess.TimeoutExpired:
            ended = f"did not end within {limit:.0f} s; "
        finally:
            if p.poll() is None:
                os.killpg(p.pid, signal.SIGKILL)
                p.wait()
    seconds = time.monotonic() - began
    state = state_of(row["test"], base + ".json")
    if state == "PASSED" and p.returncode == 0:
        return Result("PASS", seconds, "")
    if state == "SKIPPED":
        return Result("SKIP", seconds, reason(base + ".log"))
    if not ended and p.returncode < 0:
        ended = f"ended by signal {-p.returncode}; "
    return Result("FAIL", seconds, ended + reason(base + ".log"))


def run(rows, source, brokers, home, work, jobs, done):
    """Runs all rows, the longest first, and calls done(row, result) as each ends."""
    def one(row):
        return row, run_one(row, source, brokers, home, work)

    together = sorted((r for r in rows if r["test"] not in MEASURING), key=lambda r: -float(r["seconds"]))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for future in concurrent.futures.as_completed([pool.submit(one, r) for r in together]):
            done(*future.result())
    for row in rows:
        if row["test"] in MEASURING:
            done(*one(row))
