#!/usr/bin/env python3
"""Kafka Streams 4.3.1 counts words at least once while lines are produced; it is stopped in order and started again, and at the end
the last count of every word must be exact. 8 seconds, with --full two minutes."""
import collections
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

from common import FULL, HERE, LOGS, Table, broker, jars, need, once, run, wait_for

SECONDS = 120 if FULL else 8
WORDS = [f"word{i}" for i in range(50)]


class App:
    """The program as a process; its output stays in `work`."""

    def __init__(self, address, work, number):
        self.path = os.path.join(work, f"streams-{number}.out")
        lib = jars("streams/streams.xml")
        classes = once("streams-classes", lambda path: run(["javac", "-cp", f"{lib}/*", "-d", path, os.path.join(HERE, "streams/WordCount.java")]),
                       ["streams/WordCount.java"], key=lib)
        with open(self.path, "wb") as out:
            self.process = subprocess.Popen(
                ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                 "-cp", f"{classes}:{lib}/*", "WordCount", address, os.path.join(work, "state")],
                stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)

    def said(self, text):
        with open(self.path, encoding="utf-8", errors="replace") as f:
            return text in f.read()

    def running(self):
        wait_for("Streams to run", lambda: self.said("running") or self.process.poll() is not None, 90)
        if self.process.poll() is not None:
            with open(self.path, encoding="utf-8", errors="replace") as f:
                raise RuntimeError(f"Streams ended with {self.process.returncode}: {f.read()[-600:]}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        if not self.said("closed true"):
            raise RuntimeError("Streams did not close within its 30 s")

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)


class Lines:
    """Produces random lines until told to stop, and counts their words."""

    def __init__(self, address, seed):
        self.counts, self.rnd, self.stopping = collections.Counter(), random.Random(seed), threading.Event()
        self.kcat = subprocess.Popen(["kcat", "-b", address, "-P", "-t", "lines", "-X", "linger.ms=20"], stdin=subprocess.PIPE)
        self.thread = threading.Thread(target=self.write, daemon=True)
        self.thread.start()

    def write(self):
        with self.kcat.stdin as pipe:
            while not self.stopping.wait(0.05):
                for _ in range(5):
                    words = self.rnd.choices(WORDS, k=6)
                    self.counts.update(words)
                    pipe.write((" ".join(words) + "\n").encode())
                pipe.flush()

    def stop(self):
        self.stopping.set()
        self.thread.join(30)
        if self.kcat.wait(60):
            raise RuntimeError(f"the producer ended with {self.kcat.returncode}")


def last_counts(address):
    """The last count of each word; a word is always in the same partition."""
    out = run(["kcat", "-b", address, "-C", "-t", "counts", "-o", "beginning", "-e", "-q", "-K", "="], timeout=60)
    return {k: int(v) for k, v in (line.split("=") for line in out.splitlines())}


def create(address, *topics):
    for topic in topics:
        run(["kcat", "-b", address, "-L", "-t", topic, "-X", "allow.auto.create.topics=true"], timeout=30)


def word_count(address, work, stack):
    create(address, "lines", "counts")
    first = App(address, work, 1)
    stack.callback(first.end)
    first.running()
    seed = random.randrange(1 << 30)
    print(f"# seed {seed}")
    lines = Lines(address, seed)
    stack.callback(lines.stopping.set)
    time.sleep(SECONDS / 2)
    first.stop()
    second = App(address, work, 2)
    stack.callback(second.end)
    second.running()
    time.sleep(SECONDS / 2)
    lines.stop()
    with contextlib.suppress(Exception):  # the comparison below tells more
        wait_for("the counts", lambda: last_counts(address) == lines.counts, 60)
    got = last_counts(address)
    wrong = {w: (got.get(w), n) for w, n in lines.counts.items() if got.get(w) != n}
    if wrong or set(got) != set(lines.counts):
        raise RuntimeError(f"{len(wrong)} of {len(lines.counts)} words have a wrong count, such as {list(wrong.items())[:5]}")
    second.stop()
    return f"{sum(lines.counts.values())} words counted exactly in {SECONDS} s"


def main():
    need("java", "javac", "mvn", "kcat")
    table, told = Table(), []
    with contextlib.ExitStack() as stack:
        work = LOGS or stack.enter_context(tempfile.TemporaryDirectory(prefix="chronik-streams-"))
        address = os.environ.get("CHRONIK_SUITE_BROKER") or stack.enter_context(broker(num_partitions="4")).address
        table.check(lambda: "streams: word count, at least once, stopped and started: " + " ".join(told),
                    lambda: told.append(word_count(address, work, stack)))
    table.end()


sys.exit(main())
