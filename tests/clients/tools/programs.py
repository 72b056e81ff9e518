"""programs.py: Kafka's command-line programs as functions: one Java process (Tools.java) runs them one after the other; those that
stay, like the verifiable clients, are processes of their own."""
import json
import os
import re
import selectors
import subprocess
import time

from common import jars

HERE = os.path.dirname(os.path.abspath(__file__))
JAVA = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx384m"]
CLASSES = {
    "acls": "org.apache.kafka.tools.AclCommand",
    "broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "client-metrics": "org.apache.kafka.tools.ClientMetricsCommand",
    "cluster": "org.apache.kafka.tools.ClusterTool",
    "configs": "kafka.admin.ConfigCommand",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "e2e-latency": "org.apache.kafka.tools.EndToEndLatency",
    "features": "org.apache.kafka.tools.FeatureCommand",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "groups": "org.apache.kafka.tools.GroupsCommand",
    "leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "topics": "org.apache.kafka.tools.TopicCommand",
    "verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
    "verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
}


class Unexpected(Exception):
    """What a program printed, and what it should have."""


class Programs:
    """The programs against one broker. tools("topics", "--list") is what it printed; a status that is not 0 raises, unless asked for."""

    def __init__(self, address, work):
        self.address, self.work = address, work
        self.lib = jars("tools/tools.xml")
        with open(os.path.join(work, "tools.err"), "wb") as err:
            self.process = subprocess.Popen(
                [*JAVA, "-cp", f"{self.lib}/*", os.path.join(HERE, "Tools.java")], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=err, cwd=work, start_new_session=True)
        self.left = b""

    def answer(self, limit):
        """(status, text) of the command under way."""
        end = time.monotonic() + limit
        with selectors.DefaultSelector() as ready:
            ready.register(self.process.stdout, selectors.EVENT_READ)
            while True:
                m = re.search(rb"^== (\d+)\n", self.left, re.M)
                if m:
                    text, self.left = self.left[:m.start()].decode(), self.left[m.end():]
                    return int(m[1]), text.strip()
                if not ready.select(max(0, end - time.monotonic())):
                    raise Unexpected(f"no end within {limit} s; so far: {self.left[-500:].decode()}")
                got = os.read(self.process.stdout.fileno(), 65536)
                if not got:
                    raise Unexpected(f"the Java process ended; its errors are in {self.work}/tools.err")
                self.left += got

    def __call__(self, name, *words, status=0, limit=90, server=True):
        line = [CLASSES[name], *(["--bootstrap-server", self.address] if server else []), *words]
        self.process.stdin.write("\t".join(line).encode() + b"\n")
        self.process.stdin.flush()
        got, text = self.answer(limit)
        if status is not None and got != status:
            raise Unexpected(f"{name} {' '.join(words)} ended with {got}, not {status}: {text[:600]}")
        return text

    def spawn(self, name, *words):
        """A program that stays, in a process of its own; its lines are JSON."""
        return Stays([*JAVA, "-cp", f"{self.lib}/*", CLASSES[name], "--bootstrap-server", self.address, *words], self.work)

    def file(self, name, content):
        path = os.path.join(self.work, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(content if isinstance(content, str) else json.dumps(content))
        return path

    def end(self):
        self.process.kill()
        self.process.wait(30)


class Stays:
    """A verifiable client: events() are the JSON objects that it has printed so far."""

    def __init__(self, command, work):
        self.path = os.path.join(work, f"stays-{time.monotonic_ns()}")
        with open(self.path, "wb") as out, open(self.path + ".err", "wb") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, start_new_session=True)

    def events(self):
        with open(self.path, encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.startswith("{") and line.endswith("\n")]

    def named(self, name):
        return [e for e in self.events() if e["name"] == name]

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, limit=60):
        return self.process.wait(limit)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)
