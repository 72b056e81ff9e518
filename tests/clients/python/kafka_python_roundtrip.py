"""kafka-python: every codec and acks, idempotence, headers, null keys, 1 MB records, read back by assigned partitions and compared
record by record; then what its admin client shows of a topic and of a group without members. usage: kafka_python_roundtrip.py
HOST:PORT. Prints TAP."""
import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.structs import OffsetAndMetadata

from records import PARTITIONS, compare, make_records

BROKER = sys.argv[1]
admin = KafkaAdminClient(bootstrap_servers=BROKER)


def create(topic, **configs):
    admin.create_topics({topic: {"num_partitions": PARTITIONS, "replication_factor": 1, "configs": configs}}, wait_for_metadata=True)


def produce(topic, records, **settings):
    p = KafkaProducer(bootstrap_servers=BROKER, max_request_size=2000000, linger_ms=5, **settings)
    sent = [p.send(topic, key=r["key"], value=r["value"], headers=r["headers"], partition=r["partition"]) for r in records]
    p.flush(60)
    for future in sent:
        future.get(60)
    p.close()


def consume(topic, n):
    c = KafkaConsumer(bootstrap_servers=BROKER, enable_auto_commit=False, max_partition_fetch_bytes=2000000, consumer_timeout_ms=30000)
    parts = [TopicPartition(topic, i) for i in range(PARTITIONS)]
    c.assign(parts)
    c.seek_to_beginning(*parts)
    got = []
    for m in c:
        got.append({"partition": m.partition, "offset": m.offset, "key": m.key, "value": m.value, "headers": list(m.headers)})
        if len(got) == n:
            break
    c.close()
    return got


def same(what, got, want):
    if got != want:
        raise AssertionError(f"{what}: {got!r}, not {want!r}")


def round_trip(codec, acks, idempotent):
    topic = f"kafka-python-{codec}-{acks}-{'i' if idempotent else 'p'}"
    create(topic)
    records = make_records()
    produce(topic, records, compression_type=codec, acks=acks, enable_idempotence=idempotent)
    compare(records, consume(topic, len(records)))


def administration():
    topic, group = "kafka-python-admin", "kafka-python-simple"
    create(topic, **{"retention.ms": "3600000"})
    admin.create_partitions({topic: 5})
    (t,) = admin.describe_topics([topic])
    same("partitions", sorted(p["partition_index"] for p in t["partitions"]), list(range(5)))
    same("listed", topic in admin.list_topics(), True)
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"segment.ms": "60000"})])
    shown = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic, None)])["topic"][topic]
    same("settings", {k: shown[k]["value"] for k in shown}, {"retention.ms": "3600000", "segment.ms": "60000"})
    produce(topic, [{"key": None, "value": b"%d" % i, "headers": [], "partition": 0} for i in range(10)])
    part = TopicPartition(topic, 0)
    admin.delete_records({part: 4})
    c = KafkaConsumer(bootstrap_servers=BROKER)
    same("first offset", c.beginning_offsets([part]), {part: 4})
    same("end offset", c.end_offsets([part]), {part: 10})
    c.close()
    admin.alter_group_offsets(group, {part: OffsetAndMetadata(7, "seven", -1)})
    offsets = admin.list_group_offsets(group)[group]
    same("offsets", {p: (o.offset, o.metadata) for p, o in offsets.items()}, {part: (7, "seven")})
    same("state", admin.describe_groups([group])[group]["group_state"], "Empty")
    same("listed", [g["group_state"] for g in admin.list_groups() if g["group_id"] == group], ["Empty"])
    admin.delete_groups([group])
    same("listed", [g for g in admin.list_groups() if g["group_id"] == group], [])
    same("reassignments", admin.list_partition_reassignments(), {})
    same("users", admin.describe_user_scram_credentials(), {})
    same("brokers", len(admin.describe_cluster()["brokers"]), 1)
    same("directories", len(admin.describe_log_dirs()[0]["log_dirs"]), 1)
    admin.delete_topics([topic])
    same("listed", topic in admin.list_topics(), False)


cases = [(f"{codec} acks={acks}", lambda c=codec, a=acks: round_trip(c, a, False))
         for codec in (None, "gzip", "snappy", "lz4", "zstd") for acks in (0, 1, "all")]
cases += [("lz4 acks=all idempotent", lambda: round_trip("lz4", "all", True)), ("admin", administration)]
print(f"1..{len(cases)}")
bad = 0
for number, (name, body) in enumerate(cases, 1):
    try:
        body()
        print(f"ok {number} - kafka-python {name}")
    except Exception as e:  # every failure is one line of the table
        bad += 1
        print(f"not ok {number} - kafka-python {name}: {type(e).__name__}: {e}")
    sys.stdout.flush()
sys.exit(bad > 0)
