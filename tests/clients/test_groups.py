#!/usr/bin/env python3
"""Groups of five members, a client each, while records are produced: members join, leave and are killed; every record is processed
at least once, and no partition by two members in one generation. Without --full three clients in one round, else all in two.
usage: test_groups.py [CLIENT...]"""
import os
import sys
import tempfile
import time
import venv

from common import FULL, HERE, LOGS, Table, broker, copy, jars, need, once, run

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "groups"))
from group import PARTITIONS, Group, Producer, create, joins_leaves_and_kills  # noqa: E402

PACKAGES = ("confluent-kafka==2.16.1", "aiokafka==0.14.0", "kafka-python==3.0.12", "cramjam")
# What a client is called here, how it assigns, and whether continuous integration runs it.
CLIENTS = (("kafkajs", "round-robin", True), ("platformatic", "round-robin", False), ("franz", "range", False),
           ("franz", "cooperative-sticky", True), ("java", "range", False), ("java", "cooperative-sticky", False),
           ("aiokafka", "range", False), ("aiokafka", "sticky", False), ("confluent", "range", True),
           ("confluent", "cooperative-sticky", False), ("kafka-python", "range", False), ("sarama", "range", False),
           ("segmentio", "range", False))
GO = ("groups/go/go.mod", "groups/go/go.sum", "groups/go/main.go", "groups/go/franz.go", "groups/go/sarama.go", "groups/go/segmentio.go")
NODE = ("node/package.json", "groups/member.mjs")


def python_program():
    def install(path):
        venv.create(path, with_pip=True)
        run([os.path.join(path, "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES])
    return os.path.join(once("group-python", install, key=" ".join(PACKAGES)), "bin/python3")


def go_program():
    def build(path):
        copy(GO, path)
        run(["go", "build", "-o", "member", "."], cwd=path)
    return os.path.join(once("group-go", build, GO), "member")


def node_directory():
    def install(path):
        copy(NODE, path)
        run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=path)
    return once("group-node", install, NODE)


def java_command():
    lib = jars("java/clients.xml")

    def build(path):
        run(["javac", "-cp", f"{lib}/*", "-d", path, os.path.join(HERE, "groups/Member.java")])
    classes = once("group-java", build, ["groups/Member.java"], key=lib)
    return ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx128m", "-cp", f"{classes}:{lib}/*", "Member"]


def command_of(client):
    """The words before HOST:PORT GROUP TOPIC STRATEGY, and the directory to run in."""
    if client in ("kafkajs", "platformatic"):
        directory = node_directory()
        return [os.path.join(directory, "node_modules/.bin/node"), "member.mjs", client], directory
    if client in ("franz", "sarama", "segmentio"):
        return [go_program(), client], None
    if client == "java":
        return java_command(), None
    return [python_program(), os.path.join(HERE, "groups", client.replace("-", "_") + "_member.py")], None


def one(address, client, strategy, rounds, work):
    name = f"{client}-{strategy}-{time.monotonic_ns()}"
    words, cwd = command_of(client)
    os.makedirs(work, exist_ok=True)
    create(address, name)
    group = Group(address, name, lambda: [*words, address, name, name, strategy], work, cwd)
    producer = Producer(address, name)
    try:
        return joins_leaves_and_kills(group, producer, rounds)
    finally:
        producer.stopping.set()
        group.end()


def main(names):
    need("kcat", "node", "npm", "go", "java", "javac", "mvn")
    elsewhere = os.environ.get("CHRONIK_SUITE_BROKER")
    table = Table()

    def run_all(address, directory):
        for client, strategy, quick in CLIENTS:
            if client not in names if names else not (FULL or quick):
                continue
            told = []
            began = time.monotonic()
            table.check(lambda: f"groups: {client} {strategy}: {told[0] if told else 'failed'} in {time.monotonic() - began:.0f} s",
                        lambda: told.append(one(address, client, strategy, 2 if FULL else 1, os.path.join(directory, f"{client}-{strategy}"))))

    with tempfile.TemporaryDirectory(prefix="chronik-groups-") as temporary:
        directory = os.path.join(LOGS, "groups") if LOGS else temporary
        if elsewhere:
            run_all(elsewhere, directory)
        else:
            with broker(num_partitions=str(PARTITIONS), group_initial_rebalance_delay_ms="500", group_min_session_timeout_ms="1000") as b:
                run_all(b.address, directory)
    table.end()


main(sys.argv[1:])
