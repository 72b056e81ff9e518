"""suite.py: runs the tests that tests.tsv lists, a few at a time, and says what came of each. librdkafka's test-runner chooses tests by
their number, so those that share one (0045) share a process. A test has bounds of its own; the bound here is only there to end a
hang. A process sits in a session of its own and is ended by that."""
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


def environment(rows, brokers, home, work):
    """The environment is the suite's whole interface: which test, which broker, where the report goes."""
    number, broker = rows[0]["test"][:4], rows[0]["broker"]
    base = os.path.join(work, f"{number}-{broker}")
    address = brokers[broker]
    with open(base + ".conf", "w", encoding="utf-8") as f:
        f.write(f"bootstrap.servers={address}\ntest.timeout.multiplier=2\ntest.topic.prefix=rdk{os.getpid()}\n")
    env = {k: v for k, v in os.environ.items() if k != "CI" and not re.match("TEST|KAFKA|RDKAFKA", k)}
    env.update(TESTS=number, TEST_REPORT=base + ".json", RDKAFKA_TEST_CONF=base + ".conf", BROKERS=address,
               TEST_SCENARIO="noautocreate" if broker == "noauto" else "default", TEST_KAFKA_VERSION="4.4.0",
               RDKAFKA_GITVER="release", KAFKA_PATH=home, LD_LIBRARY_PATH="../src:../src-cpp")
    return env, base


def report_of(path):
    """What the runner's report says of each test: state and duration; nothing when it died before."""
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return json.loads(f.read(), strict=False)["tests"]
    except (OSError, ValueError, KeyError):
        return {}


def reason(log):
    """The line of a failed test's output that names the cause best."""
    with open(log, encoding="utf-8", errors="replace") as f:
        lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in f]
    for i, line in enumerate(lines):
        if re.match(r'### Test ".*" failed at', line):
            return " ".join(lines[i:i + 2])
    told = [line for line in lines if re.search("fail|assert|abort|timed out", line, re.I)]
    return (told or lines or ["no output"])[-1]


def run_process(rows, source, brokers, home, work):
    """[(row, Result)] of the tests of one number."""
    env, base = environment(rows, brokers, home, work)
    limit = max(180, 2.5 * sum(float(r["seconds"]) for r in rows))
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
    if not ended and p.returncode < 0:
        ended = f"ended by signal {-p.returncode}; "
    report, seconds = report_of(base + ".json"), time.monotonic() - began
    return [(row, result_of(report.get(row["test"], {}), p.returncode, seconds, ended + reason(base + ".log"))) for row in rows]


def result_of(told, status, seconds, why):
    """Leaked threads and handles make the runner's status bad after all tests have passed."""
    state, seconds = told.get("state", ""), told.get("duration", seconds)
    if state == "PASSED" and status == 0:
        return Result("PASS", seconds, "")
    return Result("SKIP" if state == "SKIPPED" else "FAIL", seconds, why)


def run(rows, source, brokers, home, work, jobs, done):
    """Runs all rows, the longest first, and calls done(row, result) as each ends."""
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row["test"][:4], row["broker"]].append(row)

    def one(group):
        return run_process(group, source, brokers, home, work)

    alone = [g for g in groups.values() if g[0]["test"] in MEASURING]
    together = sorted((g for g in groups.values() if g not in alone), key=lambda g: -sum(float(r["seconds"]) for r in g))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for future in concurrent.futures.as_completed([pool.submit(one, g) for g in together]):
            for row, result in future.result():
                done(row, result)
    for group in alone:
        for row, result in one(group):
            done(row, result)
