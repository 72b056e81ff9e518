"""scenes_admin.py: settings, directories, elections, reassignments, features, quorum, quotas and access lists."""
import messages
from oracle import Each, Id
from scenes_data import batch, fetch, produce, some
from scenes_topics import create, topic


def describe(o, kind, name, keys=None, version=4, **more):
    return o.ask("DescribeConfigs", version, {"resources": [
        {"resource_type": kind, "resource_name": name, "configuration_keys": keys}], **more})


def describing(o):
    for v in range(1, 5):
        describe(o, 2, "alpha", version=v)
        describe(o, 2, "alpha", version=v, include_synonyms=True)
        describe(o, 2, "alpha", ["retention.ms", "no.such"], version=v)
        for kind, name in ((2, "nothing"), (2, "bad name"), (2, ""), (4, "7"), (4, "x"), (0, "x"), (99, "x"), (8, "1"), (8, "x"),
                           (16, "metrics"), (16, ""), (32, "group"), (32, "")):
            describe(o, kind, name, version=v)
    describe(o, 2, "alpha", [])
    describe(o, 4, "1", include_synonyms=True)
    describe(o, 4, "", include_synonyms=True)
    describe(o, 4, "1", ["log.retention.ms", "log.retention.hours", "num.partitions", "message.max.bytes"], include_synonyms=True)
    describe(o, 32, "group", include_synonyms=True)
    o.ask("DescribeConfigs", 4, {"resources": [{"resource_type": 2, "resource_name": "alpha", "configuration_keys": ["retention.ms"]},
                                               {"resource_type": 2, "resource_name": "alpha", "configuration_keys": ["segment.ms"]}]})
    o.ask("DescribeConfigs", 4, {"resources": []})


def alter(o, kind, name, changes, version=1, **more):
    o.ask("IncrementalAlterConfigs", version, {"resources": [{"resource_type": kind, "resource_name": name, "configs": [
        {"name": k, "config_operation": op, "value": v} for k, op, v in changes]}], **more})


def altering(o):
    create(o, topic("tuned"))
    for v in (0, 1):
        for changes in ([("retention.ms", 0, "5000")], [("retention.ms", 0, "x")], [("no.such", 0, "1")], [("retention.ms", 1, None)],
                        [("retention.ms", 1, "7")], [("cleanup.policy", 2, "compact")], [("cleanup.policy", 2, "compact")],
                        [("cleanup.policy", 3, "delete")], [("cleanup.policy", 3, "nothing")], [("cleanup.policy", 3, "compact")],
                        [("cleanup.policy", 2, "")], [("cleanup.policy", 3, "")], [("cleanup.policy", 2, "compact,")],
                        [("cleanup.policy", 2, ",compact")], [("cleanup.policy", 2, ",")], [("cleanup.policy", 3, "delete,")],
                        [("retention.ms", 2, "7")], [("retention.ms", 3, "7")], [("retention.ms", 9, "7")], [("retention.ms", 0, None)],
                        [("retention.ms", 0, "")], [("retention.ms", 0, "1"), ("retention.ms", 0, "2")], [],
                        [("cleanup.policy", 1, None), ("segment.ms", 0, "60000")], [("no.such", 1, None)], [("", 0, "1")],
                        [("follower.replication.throttled.replicas", 2, "0:1")], [("local.retention.ms", 0, "99999999999")],
                        [("remote.storage.enable", 0, "true")], [("segment.bytes", 0, "100")]):
            alter(o, 2, "tuned", changes, v, validate_only=True)
            alter(o, 2, "tuned", changes, v)
            describe(o, 2, "tuned", include_synonyms=True)
        for kind, name in ((2, "nothing"), (2, "bad name"), (2, ""), (4, "7"), (4, "x"), (0, "x"), (99, "x"), (8, "1"), (8, "x"),
                           (16, ""), (32, "")):
            alter(o, kind, name, [("retention.ms", 0, "5000")], v)
        o.ask("IncrementalAlterConfigs", v, {"resources": [{"resource_type": 2, "resource_name": "tuned", "configs": []}] * 2})
        o.ask("IncrementalAlterConfigs", v, {"resources": []})
    for v in (0, 1, 2):
        for changes in ([("retention.ms", "5000")], [("segment.ms", "70000")], [("retention.ms", "x")], [("no.such", "1")],
                        [("retention.ms", None)], [("retention.ms", "1"), ("retention.ms", "2")], []):
            for only in (True, False):
                o.ask("AlterConfigs", v, {"resources": [{"resource_type": 2, "resource_name": "tuned", "configs": [
                    {"name": k, "value": x} for k, x in changes]}], "validate_only": only})
            describe(o, 2, "tuned", include_synonyms=True)
        for kind, name in ((2, "nothing"), (2, ""), (4, "7"), (4, "x"), (0, "x"), (99, "x")):
            o.ask("AlterConfigs", v, {"resources": [{"resource_type": kind, "resource_name": name, "configs": [
                {"name": "retention.ms", "value": "1"}]}]})


def every_topic_setting(o):
    """Each topic setting with values on both sides of its rule."""
    answers = describe(o, 2, "tuned")
    names = sorted(c["name"] for c in answers[0]["results"][0]["configs"])
    for name in names:
        for value in ("0", "1", "-1", "-2", "14", "1048576", "2147483648", "9223372036854775808", "1.5", "true", "word", "", " 5 ",
                      "delete", "gzip", "producer", "CreateTime", "*", "0:1"):
            alter(o, 2, "tuned", [(name, 0, value)], validate_only=True)


def brokers(o):
    keys = ["log.retention.ms", "message.max.bytes", "log.segment.bytes", "num.io.threads", "log.cleaner.threads", "node.id",
            "log.dirs", "listeners", "compression.type", "min.insync.replicas", "max.connections", "log.roll.ms",
            "max.connections.per.ip", "background.threads", "unclean.leader.election.enable"]
    for resource in ("1", ""):
        for key, value in (("message.max.bytes", "2000000"), ("log.retention.ms", "700000000"), ("node.id", "5"), ("no.such", "1"),
                           ("log.segment.bytes", "x"), ("compression.type", "gzip"), ("compression.type", "x"),
                           ("log.dirs", "/tmp"), ("log.cleanup.policy", "compact"), ("log.roll.ms", "100000"),
                           ("max.connections.per.ip", "5000"), ("message.max.bytes", None), ("log.retention.bytes", "99999999")):
            alter(o, 4, resource, [(key, 0, value)], validate_only=True)
            alter(o, 4, resource, [(key, 0, value)])
            describe(o, 4, "1", keys, include_synonyms=True)
            describe(o, 4, "", keys, include_synonyms=True)
            describe(o, 2, "alpha", ["max.message.bytes", "retention.ms", "segment.bytes", "compression.type", "segment.ms"],
                     include_synonyms=True)
        for key in ("message.max.bytes", "log.retention.ms", "compression.type", "log.cleanup.policy", "log.roll.ms",
                    "max.connections.per.ip", "log.retention.bytes", "no.such"):
            alter(o, 4, resource, [(key, 1, None)])
    describe(o, 2, "alpha", include_synonyms=True)
    alter(o, 4, "1", [("log.retention.ms", 0, "3"), ("node.id", 0, "9")])
    describe(o, 4, "1", keys, include_synonyms=True)


def effect(o):
    """Settings that change take effect with the next request."""
    create(o, topic("lively"))
    alter(o, 2, "lively", [("max.message.bytes", 0, "150")])
    describe(o, 2, "lively", ["max.message.bytes"])
    produce(o, "lively", batch(some(20)))
    alter(o, 2, "lively", [("max.message.bytes", 1, None), ("message.timestamp.type", 0, "LogAppendTime")])
    describe(o, 2, "lively", ["max.message.bytes", "message.timestamp.type"])
    produce(o, "lively", batch(some(3)))
    alter(o, 2, "lively", [("cleanup.policy", 0, "compact"), ("compression.type", 0, "gzip")])
    describe(o, 2, "lively", ["cleanup.policy", "compression.type"])
    produce(o, "lively", batch([batches_record_without_key()]))
    produce(o, "lively", batch(some(3)))
    fetch(o, "lively")


def batches_record_without_key():
    from batches import Record
    return Record(None, b"v", 1700000000000)


def directories(o):
    mine = Each(lambda s: s.peer.work + "/data")
    for v in range(1, 6):
        o.ask("DescribeLogDirs", v, {"topics": [{"topic": "alpha", "partitions": [0]}, {"topic": "beta", "partitions": [0, 2, 9]}]})
        o.ask("DescribeLogDirs", v, {"topics": [{"topic": "nothing", "partitions": [0]}]})
        o.ask("DescribeLogDirs", v, {"topics": []})
    if "AlterReplicaLogDirs" in o.offered:
        for v in (1, 2):
            for path, name, parts in ((mine, "alpha", [0]), (mine, "beta", [0, 1]), ("/nowhere", "alpha", [0]), ("relative", "alpha", [0]),
                                      (mine, "nothing", [0]), (mine, "alpha", [9]), (mine, "", [0]), ("", "alpha", [0])):
                o.ask("AlterReplicaLogDirs", v, {"dirs": [{"path": path, "topics": [{"name": name, "partitions": parts}]}]})
            o.ask("AlterReplicaLogDirs", v, {"dirs": []})


def only(*apis):
    """Scenes of APIs are left out while the broker does not offer them."""
    def wrap(scene):
        def run(o):
            if all(a in o.offered for a in apis):
                scene(o)
        run.__name__ = scene.__name__
        return run
    return wrap


@only("ListConfigResources")
def resources(o):
    o.ask("ListConfigResources", 0, {})
    for types in ([], [2], [4], [8], [16], [32], [2, 4], [0], [99], [2, 99]):
        o.ask("ListConfigResources", 1, {"resource_types": types})


@only("ElectLeaders")
def elections(o):
    for v in (0, 1, 2):
        for kind in (0, 1, 9) if v else (0,):
            for topics in (None, [], [{"topic": "alpha", "partitions": [0]}], [{"topic": "beta", "partitions": [0, 1, 7]}],
                           [{"topic": "nothing", "partitions": [0]}], [{"topic": "", "partitions": [0]}],
                           [{"topic": "alpha", "partitions": []}]):
                o.ask("ElectLeaders", v, {"topic_partitions": topics, "timeout_ms": 30000, **({"election_type": kind} if v else {})})


@only("AlterPartitionReassignments", "ListPartitionReassignments")
def reassignments(o):
    for v in (0, 1):
        for name, index, replicas in (("alpha", 0, [1]), ("alpha", 0, None), ("alpha", 0, []), ("alpha", 0, [7]), ("alpha", 0, [1, 7]),
                                      ("alpha", 0, [1, 1]), ("alpha", 9, [1]), ("nothing", 0, [1]), ("nothing", 0, None), ("", 0, [1]),
                                      ("alpha", 0, [-1]), ("bad name", 0, [1])):
            for allow in ((True, False) if v else (True,)):
                o.ask("AlterPartitionReassignments", v, {"timeout_ms": 30000, "topics": [{"name": name, "partitions": [
                    {"partition_index": index, "replicas": replicas}]}], **({"allow_replication_factor_change": allow} if v else {})})
        o.ask("AlterPartitionReassignments", v, {"timeout_ms": 30000, "topics": []})
    for topics in (None, [], [{"name": "alpha", "partition_indexes": [0]}], [{"name": "nothing", "partition_indexes": [0]}]):
        o.ask("ListPartitionReassignments", 0, {"timeout_ms": 30000, "topics": topics})


@only("UpdateFeatures")
def features(o):
    for v in (0, 1, 2):
        for name, level, kind in (("metadata.version", 1, 1), ("metadata.version", 999, 1), ("no.such", 1, 1), ("group.version", 0, 2),
                                  ("group.version", 0, 3), ("group.version", 1, 1), ("transaction.version", 1, 2), ("", 1, 1),
                                  ("transaction.version", 2, 1), ("group.version", -1, 1), ("group.version", 0, 1),
                                  ("share.version", 0, 2), ("share.version", 1, 1), ("streams.version", 9, 1), ("group.version", 1, 9)):
            for dry in ((True, False) if v else (False,)):
                if not dry and name == "metadata.version":
                    continue
                update = {"feature": name, "max_version_level": level}
                update.update({"upgrade_type": kind} if v else {"allow_downgrade": kind != 1})
                o.ask("UpdateFeatures", v, {"timeout_ms": 30000, "feature_updates": [update], **({"validate_only": dry} if v else {})})
                o.ask("ApiVersions", 4, {"client_software_name": "oracle", "client_software_version": "1.0"})
        o.ask("UpdateFeatures", v, {"timeout_ms": 30000, "feature_updates": []})


@only("DescribeQuorum")
def quorum(o):
    for v in (0, 1, 2):
        for name, index in (("__cluster_metadata", 0), ("__cluster_metadata", 1), ("alpha", 0), ("", 0)):
            o.ask("DescribeQuorum", v, {"topics": [{"topic_name": name, "partitions": [{"partition_index": index}]}]})
        o.ask("DescribeQuorum", v, {"topics": []})


@only("UnregisterBroker")
def unregistering(o):
    for broker in (7, -1):
        o.ask("UnregisterBroker", 0, {"broker_id": broker})


@only("DescribeAcls", "CreateAcls", "DeleteAcls")
def access(o):
    for v in (1, 2, 3):
        o.ask("DescribeAcls", v, {"resource_type_filter": 1, "operation": 1, "permission_type": 1, "pattern_type_filter": 1,
                                  "resource_name_filter": None, "principal_filter": None, "host_filter": None})
        o.ask("CreateAcls", v, {"creations": [{"resource_type": 2, "resource_name": "alpha", "resource_pattern_type": 3,
                                               "principal": "User:a", "host": "*", "operation": 3, "permission_type": 3}]})
        o.ask("CreateAcls", v, {"creations": []})
        o.ask("DeleteAcls", v, {"filters": [{"resource_type_filter": 1, "operation": 1, "permission_type": 1, "pattern_type_filter": 1,
                                             "resource_name_filter": None, "principal_filter": None, "host_filter": None}] * 2})
        o.ask("DeleteAcls", v, {"filters": []})


@only("DescribeClientQuotas")
def quotas(o):
    """There are none; who asks wrongly is told what is wrong."""
    def part(kind, how, match=None):
        return {"entity_type": kind, "match_type": how, "match": match}
    for v in (0, 1):
        for parts in ([], [part("user", 0, "a")], [part("user", 1)], [part("client-id", 2)], [part("ip", 0, "10.0.0.1")],
                      [part("user", 0, "a"), part("client-id", 0, "b")], [part("user", 0)], [part("user", 1, "a")], [part("user", 2, "a")],
                      [part("user", 9)], [part("", 0, "a")], [part("no.such", 0, "a")], [part("user", 2), part("user", 1)],
                      [part("ip", 2), part("user", 2)], [part("ip", 2), part("client-id", 2)]):
            for strict in (True, False):
                o.ask("DescribeClientQuotas", v, {"components": parts, "strict": strict})


@only("DescribeUserScramCredentials")
def credentials(o):
    for users in (None, [], ["a"], ["a", "b"], ["a", "a"], ["a", "b", "a"], [""]):
        o.ask("DescribeUserScramCredentials", 0, {"users": users if users is None else [{"name": u} for u in users]})


SCENES = [describing, altering, every_topic_setting, brokers, effect, directories, resources, elections, reassignments, features,
          quorum, unregistering, access, quotas, credentials]
