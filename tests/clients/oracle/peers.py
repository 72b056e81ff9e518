"""peers.py: the two brokers that are asked, chronik and Apache Kafka, each on free ports with a data directory of its
own, and a connection that speaks to one of them. Every wait is bounded; only own processes are ended."""
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

import messages

sys.path.insert(0, os.path.join(messages.TOP, "tests/bench"))
import brokers  # noqa: E402

WAIT = 5.0


class Closed(Exception):
    """The broker ended the connection instead of answering."""


class Peer:
    """One broker process."""

    def __init__(self, build, work, settings):
        self.build, self.work = build, tempfile.mkdtemp(prefix=self.label + "-", dir=work)
        self.port = brokers.free_port()
        self.settings = settings
        self.process = None
        self.prepare()

    def start(self):
        with open(os.path.join(self.work, "log"), "ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            cwd=self.work, start_new_session=True)
        end = time.monotonic() + 120
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.label} ended with {self.process.returncode}: {self.last_words()}")
            try:
                c = Connection(self)
                answer = c.ask("DescribeCluster", 1, {})
                c.close()
                if answer["brokers"]:
                    return self
            except (OSError, Closed):
                pass
            time.sleep(0.2)
        raise RuntimeError(f"{self.label} did not answer within 120 s: {self.last_words()}")

    def last_words(self):
        with open(os.path.join(self.work, "log"), errors="replace") as f:
            return "".join(f.readlines()[-15:])

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(15)
        shutil.rmtree(self.work, ignore_errors=True)


class Chronik(Peer):
    label = "chronik"

    def prepare(self):
        self.settings = {"listeners": f"PLAINTEXT://127.0.0.1:{self.port}", "chronik.admin.listener": "",
                         "log.dirs": os.path.join(self.work, "data"), **self.settings}

    def command(self):
        return [os.path.join(self.build, "out/bin/chronik"),
                *(w for k, v in self.settings.items() for w in ("--override", f"{k}={v}"))]


class Kafka(Peer):
    label = "kafka"
    JVM = "-Xms256m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true".split()

    def prepare(self):
        controller = brokers.free_port()
        self.jars = brokers.kafka_jars(self.build)
        self.config = os.path.join(self.work, "server.properties")
        listeners = f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}"
        settings = {  # old segments stay however long a busy machine takes: retention does not begin after 30 s
            "log.initial.task.delay.ms": 3600000,
            "process.roles": "broker,controller", "node.id": 1, "controller.listener.names": "CONTROLLER",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}", "listeners": listeners,
            "advertised.listeners": listeners, "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": os.path.join(self.work, "data"), "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1, "transaction.state.log.min.isr": 1, **self.settings}
        with open(self.config, "w") as f:
            f.writelines(f"{k}={v}\n" for k, v in settings.items())
        done = subprocess.run(["java", *self.JVM, "-cp", self.jars, "kafka.tools.StorageTool", "format", "--standalone",
                               "-t", "Y2hyb25pay1vcmFjbGUwMQ", "-c", self.config], capture_output=True, text=True,
                              timeout=120, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"Kafka's StorageTool failed: {done.stdout} {done.stderr}")

    def command(self):
        return ["java", *self.JVM, "-cp", self.jars, "kafka.Kafka", self.config]


class Connection:
    def __init__(self, peer, client="oracle"):
        self.peer, self.client, self.correlation = peer, client, 0
        self.socket = socket.create_connection(("127.0.0.1", peer.port), WAIT)
        self.socket.settimeout(WAIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        self.socket.close()

    def receive(self, n):
        data = b""
        while len(data) < n:
            got = self.socket.recv(n - len(data))
            if not got:
                raise Closed()
            data += got
        return data

    def ask(self, api, version, body, answered=True):
        """The decoded answer; Closed when the broker ends the connection."""
        self.send(api, version, body)
        return self.answer(api, version) if answered else {}

    def send(self, api, version, body):
        self.correlation += 1
        try:
            self.socket.sendall(messages.request(api, version, self.correlation, self.client, body))
        except (ConnectionError, BrokenPipeError) as e:
            raise Closed() from e

    def answer(self, api, version):
        try:
            frame = self.receive(struct.unpack(">i", self.receive(4))[0])
        except (ConnectionError, BrokenPipeError) as e:
            raise Closed() from e
        if api == "ApiVersions":  # an unsupported version is answered in version 0
            known = messages.APIS[api].versions
            try:
                correlation, answer = messages.response(api, version if version <= known[1] else 0, frame)
            except messages.Malformed:
                correlation, answer = messages.response(api, 0, frame)
        else:
            correlation, answer = messages.response(api, version, frame)
        assert correlation == self.correlation, f"the answer to request {self.correlation} names {correlation}"
        return answer


def why_not(build):
    """None, or the sentence that says why Kafka cannot run here."""
    return brokers.why_no_peer(build)


def release(build):
    return re.sub(r".*kafka-", "", brokers.kafka_jars(build).rstrip("/*"))
