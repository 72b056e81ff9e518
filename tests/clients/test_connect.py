#!/usr/bin/env python3
"""Kafka Connect 4.3.1, a distributed worker: a file's lines go through a topic into another file, while the file grows and the worker
is stopped in order and started again; in the end both files must be equal. 8 seconds, with --full two minutes."""
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from common import FULL, LOGS, Table, broker, jars, need, wait_for

SECONDS = 120 if FULL else 8


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Worker:
    """The process, and its REST interface."""

    def __init__(self, address, work, number):
        self.port = free_port()
        self.log = os.path.join(work, f"connect-{number}.log")
        lib = jars("connect/connect.xml")
        plugins = os.path.join(work, "plugins")
        os.makedirs(plugins, exist_ok=True)
        for name in os.listdir(lib):
            if name.startswith("connect-file"):
                shutil.copy(os.path.join(lib, name), plugins)
        string = "org.apache.kafka.connect.storage.StringConverter"
        settings = {
            "bootstrap.servers": address, "group.id": "connect", "listeners": f"http://127.0.0.1:{self.port}", "plugin.path": plugins,
            "key.converter": string, "value.converter": string, "config.storage.topic": "connect-configs",
            "offset.storage.topic": "connect-offsets", "offset.storage.partitions": 5, "status.storage.topic": "connect-status",
            "status.storage.partitions": 2, "config.storage.replication.factor": 1, "offset.storage.replication.factor": 1,
            "status.storage.replication.factor": 1, "offset.flush.interval.ms": 1000, "scheduled.rebalance.max.delay.ms": 1000,
        }
        path = os.path.join(work, "connect.properties")
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(f"{k}={v}\n" for k, v in settings.items())
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx384m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp",
                 f"{lib}/*", "org.apache.kafka.connect.cli.ConnectDistributed", path], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                cwd=work, start_new_session=True)

    def call(self, path, body=None):
        """The JSON answer, or None while it does not serve."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers={"Content-Type": "application/json"},
                                         data=json.dumps(body).encode() if body else None)
        try:
            with urllib.request.urlopen(request, timeout=60) as r:
                return json.load(r)
        except urllib.error.HTTPError as e:
            if e.code in (404, 409, 500, 503) and not body:
                return None
            raise RuntimeError(f"{path}: {e.code} {e.read().decode()[:300]}") from None
        except OSError:
            return None

    def serving(self):
        """Waits until it answers; told at the end of its log when it died."""
        wait_for("Connect to answer", lambda: self.call("/connectors") is not None or self.process.poll() is not None, 120)
        if self.process.poll() is not None:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                raise RuntimeError(f"Connect ended with {self.process.returncode}: {f.read()[-600:]}")

    def running(self, *names):
        def states():
            for name in names:
                status = self.call(f"/connectors/{name}/status") or {}
                parts = [status.get("connector", {}), *status.get("tasks", [])]
                failed = [p.get("trace", "")[:400] for p in parts if p.get("state") == "FAILED"]
                if failed:
                    raise RuntimeError(f"connector {name} failed: {failed[0]}")
                if len(parts) < 2 or any(p.get("state") != "RUNNING" for p in parts):
                    return False
            return True
        wait_for(f"{names} to run", states, 60)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)


def lines_of(path):
    try:
        with open(path, encoding="utf-8") as f:
            return f.read().splitlines()
    except FileNotFoundError:
        return []


def grow(path, first, seconds):
    """Appends numbered lines for that long; the number of the next."""
    end = time.monotonic() + seconds
    with open(path, "a", encoding="utf-8") as f:
        while time.monotonic() < end:
            f.writelines(f"line {i} {'x' * (i % 200)}\n" for i in range(first, first + 20))
            f.flush()
            first += 20
            time.sleep(0.05)
    return first


def file_to_file(address, work, stack):
    source, sink = os.path.join(work, "source.txt"), os.path.join(work, "sink.txt")
    for path in (source, sink):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    connectors = {
        "source": {"connector.class": "FileStreamSource", "tasks.max": "1", "file": source, "topic": "through",
                   "topic.creation.default.partitions": "1", "topic.creation.default.replication.factor": "1"},
        "sink": {"connector.class": "FileStreamSink", "tasks.max": "1", "file": sink, "topics": "through"},
    }
    first = Worker(address, work, 1)
    stack.callback(first.end)
    first.serving()
    n = grow(source, 0, 1)
    for name, config in connectors.items():
        first.call("/connectors", {"name": name, "config": config})
    first.running(*connectors)
    n = grow(source, n, SECONDS / 2)
    first.stop()
    n = grow(source, n, 1)
    second = Worker(address, work, 2)
    stack.callback(second.end)
    second.serving()
    second.running(*connectors)
    n = grow(source, n, SECONDS / 2)
    with contextlib.suppress(Exception):  # the comparison below tells more
        wait_for("the sink", lambda: len(lines_of(sink)) >= n, 60)
    second.stop()
    want, got = lines_of(source), lines_of(sink)
    if want != got:
        at = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), min(len(want), len(got)))
        raise RuntimeError(f"{len(want)} lines went in, {len(got)} came out; they differ from line {at} on: {got[at:at + 1]}")
    return f"{n} lines came out exactly in {SECONDS} s"


def main():
    need("java", "mvn")
    table, told = Table(), []
    with contextlib.ExitStack() as stack:
        work = LOGS or stack.enter_context(tempfile.TemporaryDirectory(prefix="chronik-connect-"))
        address = os.environ.get("CHRONIK_SUITE_BROKER") or stack.enter_context(broker(group_initial_rebalance_delay_ms="500")).address
        table.check(lambda: "connect: a distributed worker, file to file, stopped and started: " + " ".join(told),
                    lambda: told.append(file_to_file(address, work, stack)))
    table.end()


sys.exit(main())
