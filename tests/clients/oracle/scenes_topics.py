"""scenes_topics.py: topics: made, described, grown and deleted, in every version, rightly and wrongly."""
import uuid

from messages import Raw
from oracle import Each, Id


def topic(name, partitions=1, replicas=1, configs=(), assignments=()):
    return {"name": name, "num_partitions": partitions, "replication_factor": replicas,
            "configs": [{"name": k, "value": v} for k, v in configs],
            "assignments": [{"partition_index": i, "broker_ids": b} for i, b in assignments]}


def create(o, *topics, version=7, **more):
    return o.ask("CreateTopics", version, {"topics": list(topics), "timeout_ms": 30000, **more})


def begin(o):
    """The topics that the other scenes use."""
    create(o, topic("alpha"), topic("beta", 3), topic("gamma", 2), topic("delta"), topic("compacted", 1, 1, [
        ("cleanup.policy", "compact")]))


def versions(o):
    for v in range(0, 6):
        body = {} if v < 3 else {"client_software_name": "oracle", "client_software_version": "1.0"}
        o.ask("ApiVersions", v, body)
    o.ask("ApiVersions", 77, Raw(b""))
    for name, version in (("", "1.0"), ("oracle", ""), ("a b", "1"), ("-x", "1"), ("x-", "1"), ("x.y-z", "1_0"), ("é", "1")):
        for v in (3, 4):
            o.ask("ApiVersions", v, {"client_software_name": name, "client_software_version": version})
    for side in o.sides:
        side.memory["cluster"] = side.ask("DescribeCluster", 1, {})["cluster_id"]
    own = Each(lambda s: s.memory["cluster"])
    for cluster_id, node in ((None, -1), ("", -1), ("elsewhere", -1), (own, -1), (own, 1), (own, 2), (None, 2), ("elsewhere", 1)):
        o.ask("ApiVersions", 5, {"client_software_name": "oracle", "client_software_version": "1", "cluster_id": cluster_id,
                                 "node_id": node})
    for api in ("Metadata", "Produce", "Fetch", "ListOffsets", "CreateTopics"):
        o.ask(api, 99, Raw(b"\0\0\0\0"))
    o.ask("Metadata", 9, Raw(b"\xff\xff\xff\xff\x7f"))
    o.ask("Metadata", 1, Raw(b"\x7f\xff\xff\xff"))


def creation(o):
    for v in range(2, 8):
        one = topic(f"v{v}", 2, 1)
        create(o, one, version=v, validate_only=True)
        create(o, one, version=v)
        create(o, one, version=v)
    for name in ("", ".", "..", "bad name", "a" * 249, "b" * 250, "ä", "a/b", "__cluster_metadata", "v.2", "v_2", "x.y", "x_y"):
        create(o, topic(name))
        create(o, topic(name), version=5, validate_only=True)
    for partitions, replicas in ((0, 1), (-2, 1), (1, 0), (1, -2), (1, 2), (1, 3), (-1, -1), (-1, 1), (2, -1)):
        for v in (2, 4, 7):
            create(o, topic(f"counts{v}-{partitions}-{replicas}", partitions, replicas), version=v)
    create(o, topic("twice"), topic("twice"), topic("once"))
    create(o)
    assigned = [
        [(0, [1])], [(0, [1]), (1, [1])], [(1, [1])], [(0, [1]), (2, [1])], [(0, [])], [(0, [7])], [(0, [1, 1])],
        [(0, [1, 7])], [(0, [1]), (0, [1])], [(0, [1]), (1, [])], [(-1, [1])]]
    for n, a in enumerate(assigned):
        create(o, topic(f"assigned{n}", -1, -1, (), a))
        create(o, topic(f"assigned{n}x", 1, 1, (), a))
        create(o, topic(f"assigned{n}y", 1, -1, (), a))
    for n, c in enumerate(([("retention.ms", "1000")], [("retention.ms", "x")], [("retention.ms", "-2")], [("no.such", "1")],
                           [("cleanup.policy", "compact")], [("cleanup.policy", "compact,delete")], [("cleanup.policy", "x")],
                           [("retention.ms", None)], [("retention.ms", "1"), ("retention.ms", "2")], [("", "1")],
                           [("compression.type", "gzip"), ("segment.bytes", "1048576")], [("cleanup.policy", "")],
                           [("cleanup.policy", "delete,")], [("cleanup.policy", ",delete")], [("cleanup.policy", "delete,,compact")],
                           [("cleanup.policy", "delete,delete")], [("cleanup.policy", " delete , compact ")], [("segment.bytes", "10")], [("max.message.bytes", "0")], [("min.insync.replicas", "0")],
                           [("min.insync.replicas", "5")], [("message.timestamp.type", "Now")],
                           [("remote.storage.enable", "true")], [("local.retention.ms", "5000"), ("retention.ms", "1000")],
                           [("max.compaction.lag.ms", "5"), ("min.compaction.lag.ms", "10")],
                           [("unclean.leader.election.enable", "maybe")], [("preallocate", "TRUE")],
                           [("follower.replication.throttled.replicas", "0:1")],
                           [("follower.replication.throttled.replicas", "x")],
                           [("leader.replication.throttled.replicas", "*")], [("flush.ms", "-1")],
                           [("index.interval.bytes", "-1")], [("segment.index.bytes", "1")],
                           [("min.cleanable.dirty.ratio", "2")], [("compression.zstd.level", "99")],
                           [("compression.gzip.level", "0")], [("compression.lz4.level", "0")])):
        for v in (4, 7):
            create(o, topic(f"config{n}-{v}", 1, 1, c), version=v)
    create(o, topic("a.b"))
    create(o, topic("a_b"))


def metadata(o):
    for v in range(0, 14):
        o.ask("Metadata", v, {"topics": [{"name": "alpha"}, {"name": "beta"}]})
        o.ask("Metadata", v, {"topics": []})
        o.ask("Metadata", v, {"topics": None if v else []})
        more = {"allow_auto_topic_creation": False} if v >= 4 else {}
        for names in (["bad name"], [""], ["alpha", "alpha"], ["." * 2]) + ((["nothing"],) if v >= 4 else ()):
            o.ask("Metadata", v, {"topics": [{"name": n} for n in names], **more})
        if v >= 8:
            o.ask("Metadata", v, {"topics": [{"name": "alpha"}], "include_topic_authorized_operations": True, **(
                {"include_cluster_authorized_operations": True} if v <= 10 else {})})
    for v in (12, 13):
        o.ask("Metadata", v, {"topics": [{"name": None, "topic_id": Id("alpha")}]})
        o.ask("Metadata", v, {"topics": [{"name": None, "topic_id": Id("nothing")}]})
        o.ask("Metadata", v, {"topics": [{"name": "alpha", "topic_id": Id("alpha")}]})
        o.ask("Metadata", v, {"topics": [{"name": "beta", "topic_id": uuid.UUID(int=0)}]})
        o.ask("Metadata", v, {"topics": [{"name": None, "topic_id": Id("alpha")}, {"name": None, "topic_id": Id("alpha")}]})
    for v, name in ((1, "auto1"), (4, "auto4"), (12, "auto12")):
        o.ask("Metadata", v, {"topics": [{"name": name}], **({"allow_auto_topic_creation": True} if v >= 4 else {})})
        o.settle()
        o.ask("Metadata", v, {"topics": [{"name": name}], **({"allow_auto_topic_creation": True} if v >= 4 else {})})


def cluster(o):
    for v in range(0, 3):
        for body in ({}, {"include_cluster_authorized_operations": True}) + (({"endpoint_type": 2}, {"endpoint_type": 9}) if v else ()):
            o.ask("DescribeCluster", v, body)
    o.ask("DescribeTopicPartitions", 0, {"topics": [{"name": "alpha"}, {"name": "beta"}]})
    o.ask("DescribeTopicPartitions", 0, {"topics": []})
    for body in ({"topics": [{"name": "beta"}], "response_partition_limit": 2},
                 {"topics": [{"name": "beta"}], "cursor": {"topic_name": "beta", "partition_index": 1}},
                 {"topics": [{"name": "alpha"}, {"name": "beta"}], "cursor": {"topic_name": "b", "partition_index": 0}},
                 {"topics": [{"name": "beta"}], "cursor": {"topic_name": "beta", "partition_index": -1}},
                 {"topics": [{"name": "beta"}], "cursor": {"topic_name": "beta", "partition_index": 99}},
                 {"topics": [{"name": "beta"}], "cursor": {"topic_name": "gamma", "partition_index": 0}},
                 {"topics": [{"name": "beta"}], "cursor": {"topic_name": "nothing", "partition_index": 0}},
                 {"topics": [{"name": "nothing"}]}, {"topics": [{"name": "bad name"}]},
                 {"topics": [{"name": "alpha"}, {"name": "alpha"}]}, {"topics": [{"name": "beta"}], "response_partition_limit": 0},
                 {"topics": [{"name": "beta"}], "response_partition_limit": -1}):
        o.ask("DescribeTopicPartitions", 0, body)


def growth(o):
    def grow(v, name, count, assignments=None, **more):
        o.ask("CreatePartitions", v, {"timeout_ms": 30000, "topics": [
            {"name": name, "count": count,
             "assignments": None if assignments is None else [{"broker_ids": b} for b in assignments]}], **more})
    for v in range(0, 4):
        grow(v, "gamma", 3 + v, validate_only=True)
        grow(v, "gamma", 3 + v)
        grow(v, "gamma", 3 + v)
        grow(v, "gamma", 2)
        grow(v, "gamma", 0)
        grow(v, "gamma", -1)
        grow(v, "nothing", 3)
        grow(v, "bad name", 3)
        grow(v, "", 3)
    for a in ([[1]], [[1], [1]], [[7]], [[]], [[1, 1]], [[1, 7]], []):
        grow(3, "delta", 2, a, validate_only=True)
    grow(3, "v7", 4, [[1], [1]])
    o.ask("CreatePartitions", 3, {"topics": [{"name": "alpha", "count": 2, "assignments": None},
                                             {"name": "alpha", "count": 3, "assignments": None}], "timeout_ms": 30000})
    o.ask("CreatePartitions", 3, {"topics": [], "timeout_ms": 30000})
    o.ask("Metadata", 12, {"topics": [{"name": "gamma"}, {"name": "v7"}, {"name": "alpha"}]})


def deletion(o):
    def delete(v, *names):
        body = {"timeout_ms": 30000, "topic_names": list(names)} if v < 6 else \
            {"timeout_ms": 30000, "topics": [{"name": n} for n in names]}
        o.ask("DeleteTopics", v, body)
    for v in range(1, 7):
        create(o, topic(f"gone{v}"))
        delete(v, f"gone{v}")
        delete(v, f"gone{v}")
        delete(v, "nothing", "bad name", "")
        delete(v)
        create(o, topic(f"gone{v}"), topic("gone"))
        delete(v, f"gone{v}", f"gone{v}", "gone")
        delete(v, f"gone{v}", "gone")
    create(o, topic("byid"), topic("byid2"))
    for topics in ([{"name": None, "topic_id": Id("byid")}], [{"name": None, "topic_id": Id("byid")}],
                   [{"name": None, "topic_id": Id("never")}], [{"name": None}], [{"name": "byid2", "topic_id": Id("byid2")}],
                   [{"name": None, "topic_id": Id("byid2")}, {"name": "byid2"}],
                   [{"name": None, "topic_id": Id("byid2")}, {"name": None, "topic_id": Id("byid2")}],
                   [{"name": None, "topic_id": Id("byid2")}]):
        o.ask("DeleteTopics", 6, {"topics": topics, "timeout_ms": 30000})
    delete(6, "__cluster_metadata")


SCENES = [begin, versions, creation, metadata, cluster, growth, deletion]
