#!/usr/bin/env python3
"""Kafka's command-line programs (kafka-tools and kafka-configs 4.3.1) against one broker: what they print is checked for everything
that they, or earlier tests here, have made. CHRONIK_SUITE_BROKER=HOST:PORT takes a broker that runs elsewhere; Apache Kafka 4.4
passes all of it."""
import contextlib
import json
import os
import re
import sys
import tempfile

from common import Table, broker, jars, need, wait_for

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "tools"))
from programs import Programs, Unexpected  # noqa: E402

tests = []


def test(function):
    tests.append(function)
    return function


def says(text, *patterns):
    """Each pattern is found in the text; the first group of the last one."""
    m = None
    for pattern in patterns:
        m = re.search(pattern, text, re.M)
        if not m:
            raise Unexpected(f"no /{pattern}/ in: {text[:500]}")
    return m[1] if m and m.re.groups else None


def equal(what, got, want):
    if got != want:
        raise Unexpected(f"{what}: {got!r}, not {want!r}")


@test
def topics_are_created_described_altered_and_deleted(tools):
    says(tools("topics", "--create", "--topic", "alpha", "--partitions", "3", "--replication-factor", "1", "--config",
               "retention.ms=3600000", "--config", "segment.bytes=1048576"), r"^Created topic alpha\.$")
    for name, partitions in (("beta", 1), ("gone", 2)):
        tools("topics", "--create", "--topic", name, "--partitions", str(partitions))
    equal("topics", tools("topics", "--list", "--exclude-internal").split(), ["alpha", "beta", "gone"])
    text = tools("topics", "--describe", "--topic", "alpha")
    says(text, r"^Topic: alpha\s+TopicId: [\w-]{22}\s+PartitionCount: 3\s+ReplicationFactor: 1\s+Configs: .*retention.ms=3600000",
         r"Configs: .*segment.bytes=1048576")
    for p in range(3):
        says(text, rf"Topic: alpha\s+Partition: {p}\s+Leader: \d+\s+Replicas: \d+\s+Isr: \d+")
    tools("topics", "--alter", "--topic", "alpha", "--partitions", "5")
    says(tools("topics", "--describe", "--topic", "alpha"), r"PartitionCount: 5", r"Partition: 4\s+Leader: \d+")
    tools("topics", "--delete", "--topic", "gone")
    equal("topics", tools("topics", "--list", "--exclude-internal").split(), ["alpha", "beta"])
    equal("under-replicated", tools("topics", "--describe", "--under-replicated-partitions"), "")
    equal("unavailable", tools("topics", "--describe", "--unavailable-partitions"), "")
    says(tools("topics", "--describe", "--at-min-isr-partitions"), r"Topic: alpha\s+Partition: 0\s")
    equal("under min isr", tools("topics", "--describe", "--under-min-isr-partitions"), "")


@test
def topics_that_cannot_be_are_refused(tools):
    says(tools("topics", "--create", "--topic", "alpha", status=1), r"Topic 'alpha' already exists\.")
    says(tools("topics", "--create", "--topic", "bad/name", status=1), r"Topic name is invalid")
    says(tools("topics", "--create", "--topic", "t", "--config", "retention.ms=x", status=1), r"Invalid value x for configuration retention.ms")
    says(tools("topics", "--create", "--topic", "t", "--replication-factor", "3", status=1), r"Unable to replicate the partition 3 time\(s\)")
    says(tools("topics", "--alter", "--topic", "alpha", "--partitions", "2", status=1), r"(?i)partition")
    says(tools("topics", "--delete", "--topic", "none", status=1), r"Topic 'none' does not exist as expected")


@test
def configs_of_topics_are_set_shown_and_removed(tools):
    topic = ("--entity-type", "topics", "--entity-name", "beta")
    says(tools("configs", "--alter", *topic, "--add-config", "max.message.bytes=2000000,cleanup.policy=[compact,delete]"),
         r"^Completed updating config for topic beta\.$")
    text = tools("configs", "--describe", *topic)
    says(text, r"^Dynamic configs for topic beta are:$",
         r"max.message.bytes=2000000 sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:max.message.bytes=2000000, DEFAULT_CONFIG:message.max.bytes=1048588\}",
         r"cleanup.policy=compact,delete sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:cleanup.policy=compact,delete, DEFAULT_CONFIG:log.cleanup.policy=delete\}")
    tools("configs", "--alter", *topic, "--delete-config", "max.message.bytes,cleanup.policy")
    equal("left", len(tools("configs", "--describe", *topic).splitlines()), 1)
    text = tools("configs", "--describe", "--all", *topic)
    for key in ("cleanup.policy", "compression.type", "flush.ms", "max.message.bytes", "message.timestamp.type", "min.insync.replicas",
                "retention.bytes", "retention.ms", "segment.bytes", "segment.jitter.ms", "unclean.leader.election.enable"):
        says(text, rf"^  {key}=\S+ sensitive=false synonyms=\{{")
    says(tools("configs", "--alter", *topic, "--add-config", "no.such.key=1", status=1), r"Unknown topic config name: no.such.key")


@test
def configs_of_brokers_are_set_shown_and_removed(tools):
    broker_id = tools("broker-api-versions").split("id: ")[1].split()[0]
    one, all_brokers = ("--entity-type", "brokers", "--entity-name", broker_id), ("--entity-type", "brokers", "--entity-default")
    says(tools("configs", "--alter", *all_brokers, "--add-config", "log.retention.ms=7200000"),
         r"^Completed updating default config for brokers in the cluster\.$")
    says(tools("configs", "--describe", *all_brokers), r"log.retention.ms=7200000 sensitive=false synonyms=\{DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=7200000")
    tools("configs", "--alter", *one, "--add-config", "log.retention.ms=5400000")
    # a broker takes its own configuration in a moment later
    wait_for("the broker's own value to count", lambda: re.search(
        r"log.retention.ms=5400000 sensitive=false synonyms=\{DYNAMIC_BROKER_CONFIG:log.retention.ms=5400000, "
        r"DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=7200000", tools("configs", "--describe", *one)), 20)
    says(tools("configs", "--describe", "--all", "--entity-type", "topics", "--entity-name", "beta"),
         r"retention.ms=5400000 sensitive=false synonyms=\{DYNAMIC_BROKER_CONFIG:log.retention.ms=5400000")
    tools("configs", "--alter", *one, "--delete-config", "log.retention.ms")
    tools("configs", "--alter", *all_brokers, "--delete-config", "log.retention.ms")
    says(tools("configs", "--describe", "--all", *one), r"^  num.partitions=", r"^  log.dirs=|^  log.dir=", r"^  node.id=" + broker_id)
    says(tools("configs", "--alter", *one, "--add-config", "node.id=9", status=1), r"node.id")


@test
def records_are_produced_and_their_offsets_shown(tools):
    text = tools("producer-perf-test", "--topic", "alpha", "--num-records", "5000", "--record-size", "200", "--throughput", "-1",
                 "--producer-props", f"bootstrap.servers={tools.address}", "acks=all", server=False)
    says(text, r"^5000 records sent, ")
    ends = {int(p): int(o) for p, o in re.findall(r"^alpha:(\d+):(\d+)$", tools("get-offsets", "--topic", "alpha"), re.M)}
    equal("partitions", sorted(ends), list(range(5)))
    equal("records", sum(ends.values()), 5000)
    starts = re.findall(r"^alpha:(\d+):(\d+)$", tools("get-offsets", "--topic", "alpha", "--time", "-2"), re.M)
    equal("starts", starts, [(str(p), "0") for p in range(5)])
    latest = re.findall(r"^alpha:(\d+):(\d+)$", tools("get-offsets", "--topic-partitions", "alpha:0-5", "--time", "max-timestamp"), re.M)
    equal("partitions with a newest record", [int(p) for p, _ in latest], [p for p in range(5) if ends[p]])
    says(tools("get-offsets", "--topic", "alpha", "--time", "earliest-local"), r"^alpha:0:0$")
    tools.ends = ends


@test
def log_dirs_show_every_partition_and_its_size(tools):
    text = tools("log-dirs", "--describe", "--topic-list", "alpha,beta")
    brokers = json.loads(next(line for line in text.splitlines() if line.startswith("{")))["brokers"]
    dirs = [d for b in brokers for d in b["logDirs"]]
    equal("errors", [d["error"] for d in dirs], [None] * len(dirs))
    found = {p["partition"]: p for d in dirs for p in d["partitions"]}
    equal("partitions", sorted(found), [f"alpha-{p}" for p in range(5)] + ["beta-0"])
    for name, p in found.items():
        equal(f"{name} lags and is not moving", (p["offsetLag"], p["isFuture"]), (0, False))
        filled = name != "beta-0" and tools.ends[int(name[-1])] > 0
        if (p["size"] > 0) != filled:
            raise Unexpected(f"{name} has size {p['size']}")


@test
def records_are_deleted_up_to_an_offset(tools):
    partition, end = max(tools.ends.items(), key=lambda e: e[1])
    path = tools.file("delete.json", {"version": 1, "partitions": [{"topic": "alpha", "partition": partition, "offset": 100}]})
    says(tools("delete-records", "--offset-json-file", path), rf"partition: alpha-{partition}\s+low_watermark: 100")
    says(tools("get-offsets", "--topic-partitions", f"alpha:{partition}", "--time", "earliest"), rf"^alpha:{partition}:100$")
    says(tools("get-offsets", "--topic-partitions", f"alpha:{partition}"), rf"^alpha:{partition}:{end}$")
    path = tools.file("delete.json", {"version": 1, "partitions": [{"topic": "alpha", "partition": partition, "offset": end + 1}]})
    says(tools("delete-records", "--offset-json-file", path), r"OffsetOutOfRangeException")


@test
def a_partition_is_read_without_a_group(tools):
    partition, end = max(tools.ends.items(), key=lambda e: e[1])
    text = tools("console-consumer", "--topic", "alpha", "--partition", str(partition), "--offset", "earliest", "--max-messages",
                 str(end - 100), "--timeout-ms", "20000", "--formatter-property", "print.offset=true", "--formatter-property", "print.value=false")
    equal("offsets", re.findall(r"^Offset:(\d+)$", text, re.M), [str(o) for o in range(100, end)])


@test
def consumer_groups_are_listed_described_reset_and_deleted(tools):
    def group(*words, **more):
        return tools("consumer-groups", *words, **more)

    total = sum(tools.ends.values()) - 100
    text = tools("console-consumer", "--topic", "alpha", "--group", "readers", "--from-beginning", "--max-messages", str(total),
                 "--timeout-ms", "30000", "--formatter-property", "print.value=false", "--formatter-property", "print.partition=true")
    equal("records read in a group", len(re.findall(r"^Partition:\d$", text, re.M)), total)
    equal("groups", [g for g in group("--list").split() if g == "readers"], ["readers"])
    says(tools("groups", "--list"), r"^readers\s+Classic\s+consumer")
    says(group("--list", "--state"), r"^readers\s+Empty")
    text = group("--describe", "--group", "readers")
    for p, end in tools.ends.items():
        says(text, rf"^readers\s+alpha\s+{p}\s+{end}\s+{end}\s+0\s+-")
    says(group("--describe", "--group", "readers", "--state"), r"^readers\s+\S+ +\(\d+\)\s+.*Empty\s+0")
    says(group("--reset-offsets", "--group", "readers", "--topic", "alpha", "--to-earliest", "--execute"), r"^readers\s+alpha\s+\d\s+\d+")
    rows = re.findall(r"^readers\s+alpha\s+(\d)\s+(\d+)\s+(\d+)\s+(\d+)", group("--describe", "--group", "readers"), re.M)
    equal("lag after a reset", sum(int(lag) for *_, lag in rows), total)
    group("--delete-offsets", "--group", "readers", "--topic", "alpha:0")
    equal("partitions with an offset", len(re.findall(r"^readers\s+alpha", group("--describe", "--group", "readers"), re.M)), 4)
    says(group("--delete", "--group", "readers"), r"Deletion of requested consumer groups \('readers'\) was successful\.")
    equal("groups", [g for g in group("--list").split() if g == "readers"], [])
    says(group("--describe", "--group", "readers", status=None), r"GroupIdNotFoundException|Consumer group 'readers' does not exist")


@test
def verifiable_clients_agree_on_every_record(tools):
    tools("topics", "--create", "--topic", "verified", "--partitions", "4")
    first = tools.spawn("verifiable-consumer", "--topic", "verified", "--group-id", "verified", "--reset-policy", "earliest", "--verbose")
    second = tools.spawn("verifiable-consumer", "--topic", "verified", "--group-id", "verified", "--reset-policy", "earliest", "--verbose")
    consumers = (first, second)
    try:
        wait_for("both consumers to share the topic", lambda: all(owned(c) for c in consumers) and sum(map(owned, consumers), 0) == 4, 60)
        says(tools("consumer-groups", "--describe", "--group", "verified", "--state"), r"^verified\s+.*Stable\s+2")
        text = tools("consumer-groups", "--describe", "--group", "verified", "--members", "--verbose")
        equal("members", len(re.findall(r"^verified\s+\S+\s+/127.0.0.1\s+\S+\s+2\s", text, re.M)), 2)
        says(tools("consumer-groups", "--delete", "--group", "verified", status=None), r"GroupNotEmptyException")
        producer = tools.spawn("verifiable-producer", "--topic", "verified", "--max-messages", "2000", "--acks", "-1")
        equal("the producer's status", producer.wait(90), 0)
        sent = {(e["partition"], e["offset"]): e["value"] for e in producer.named("producer_send_success")}
        equal("records acknowledged", len(sent), 2000)
        wait_for("all records to be consumed", lambda: sum(len(c.named("record_data")) for c in consumers) >= 2000, 60)
        got = {(e["partition"], e["offset"]): e["value"] for c in consumers for e in c.named("record_data")}
        equal("records consumed that are not those sent", [k for k in sent if got.get(k) != sent[k]], [])
        first.signal(15)
        first.wait()
        wait_for("the other to own all", lambda: owned(second) == 4, 60)
        second.signal(15)
        second.wait()
        text = tools("consumer-groups", "--describe", "--group", "verified")
        for p in {p for p, _ in sent}:
            says(text, rf"^verified\s+verified\s+{p}\s+(\d+)\s+\1\s+0\s")
    finally:
        for c in consumers:
            c.end()


def owned(consumer):
    """Partitions of a verifiable consumer's last assignment."""
    told = [e for e in consumer.events() if e["name"] in ("partitions_assigned", "partitions_revoked")]
    return len(told[-1]["partitions"]) if told and told[-1]["name"] == "partitions_assigned" else 0


@test
def the_performance_consumer_reads_what_the_performance_producer_wrote(tools):
    text = tools("consumer-perf-test", "--topic", "verified", "--num-records", "2000", "--timeout", "30000")
    row = [field.strip() for field in text.splitlines()[-1].split(",")]
    equal("records", row[4], "2000")


@test
def records_travel_from_end_to_end(tools):
    text = tools("e2e-latency", "--topic", "verified", "--num-records", "200", "--producer-acks", "all", "--record-size", "100")
    says(text, r"^Avg latency: [\d.]+ ms", r"^Percentiles: 50th = \d+")


@test
def the_cluster_its_versions_and_features_are_shown(tools):
    text = tools("broker-api-versions")
    for name, key in (("Produce", 0), ("Fetch", 1), ("Metadata", 3), ("CreateTopics", 19), ("DescribeCluster", 60)):
        says(text, rf"{name}\({key}\): \d+ to \d+ \[usable: \d+\]")
    says(tools("cluster", "cluster-id", "--bootstrap-server", tools.address, server=False), r"^Cluster ID: [\w-]+$")
    says(tools("cluster", "list-endpoints", "--bootstrap-server", tools.address, server=False), r"127\.0\.0\.1\s+\d+")


@test
def the_features_are_shown(tools):
    says(tools("features", "describe"),
         r"Feature: metadata.version\s+SupportedMinVersion: \S+\s+SupportedMaxVersion: .*\s+FinalizedVersionLevel: .*\s+Epoch: \d+")


@test
def the_metadata_quorum_is_shown(tools):
    text = tools("metadata-quorum", "describe", "--status")
    says(text, r"^ClusterId:\s+[\w-]+$", r"^LeaderId:\s+\d+$", r"^LeaderEpoch:\s+\d+$", r"^HighWatermark:\s+\d+$", r"^MaxFollowerLag:\s+0$", r"^CurrentVoters:\s+\[")
    says(tools("metadata-quorum", "describe", "--replication"), r"^NodeId\s+DirectoryId\s+LogEndOffset\s+Lag\s+LastFetchTimestamp\s+LastCaughtUpTimestamp\s+Status",
         r"^\d+\s+\S+\s+\d+\s+0\s+\S+\s+\S+\s+Leader")


@test
def reassignments_and_elections_have_nothing_to_do(tools):
    equal("reassignments", tools("reassign-partitions", "--list"), "No partition reassignments found.")
    broker_id = tools("broker-api-versions").split("id: ")[1].split()[0]
    move = tools.file("topics.json", {"version": 1, "topics": [{"topic": "alpha"}]})
    text = tools("reassign-partitions", "--generate", "--topics-to-move-json-file", move, "--broker-list", broker_id)
    plan = text.split("Proposed partition reassignment configuration\n")[1]
    equal("plan", sorted(p["partition"] for p in json.loads(plan)["partitions"]), list(range(5)))
    plan = tools.file("plan.json", plan)
    says(tools("reassign-partitions", "--execute", "--reassignment-json-file", plan), r"Successfully started partition reassignments for alpha-0,")
    says(tools("reassign-partitions", "--verify", "--reassignment-json-file", plan), r"Reassignment of partition alpha-0 is completed\.")
    equal("reassignments", tools("reassign-partitions", "--list"), "No partition reassignments found.")
    says(tools("leader-election", "--election-type", "preferred", "--topic", "alpha", "--partition", "0"),
         r"Valid replica already elected for partitions alpha-0")


@test
def what_the_broker_does_not_have_is_said(tools):
    says(tools("acls", "--list", status=1), r"SecurityDisabledException: No Authorizer is configured")
    equal("client metrics", tools("client-metrics", "--list"), "")


@test
def quotas_and_users_that_nobody_made_are_not_shown(tools):
    for kind in ("clients", "users", "ips"):
        equal(kind, tools("configs", "--describe", "--entity-type", kind), "")
    equal("a client", tools("configs", "--describe", "--entity-type", "clients", "--entity-name", "nobody"), "")
    equal("a user's clients", tools("configs", "--describe", "--entity-type", "users", "--entity-name", "nobody", "--entity-type", "clients",
                                    "--entity-default"), "")


def main(names):
    need("java", "mvn")
    jars("tools/tools.xml")
    table = Table()
    elsewhere = os.environ.get("CHRONIK_SUITE_BROKER")
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(tempfile.TemporaryDirectory(prefix="chronik-tools-"))
        address = elsewhere or stack.enter_context(broker()).address
        tools = Programs(address, work)
        stack.callback(tools.end)
        for function in tests:
            if not names or any(n in function.__name__ for n in names):
                table.check(f"tools: {function.__name__}", lambda f=function: f(tools))
    table.end()


main(sys.argv[1:])
