"""confluent-kafka (librdkafka): every codec and acks, idempotence, headers, null keys, 1 MB records; read back by assigned
partitions and compared record by record. usage: confluent_roundtrip.py HOST:PORT. Prints TAP."""
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from records import PARTITIONS, compare, make_records

BROKER = sys.argv[1]
admin = AdminClient({"bootstrap.servers": BROKER})


def produce(topic, records, settings):
    failed = []
    p = Producer({"bootstrap.servers": BROKER, "message.max.bytes": 2000000, "linger.ms": 5, **settings})
    for r in records:
        p.produce(topic, key=r["key"], value=r["value"], headers=r["headers"], partition=r["partition"],
                  on_delivery=lambda e, m: failed.append(e) if e else None)
        p.poll(0)
    left = p.flush(60)
    if left or failed:
        raise RuntimeError(f"{left} records left, errors {failed[:3]}")


def consume(topic, n):
    c = Consumer({"bootstrap.servers": BROKER, "group.id": "unused", "enable.auto.commit": False,
                  "auto.offset.reset": "earliest", "fetch.message.max.bytes": 2000000})
    c.assign([TopicPartition(topic, i, 0) for i in range(PARTITIONS)])
    got, end = [], time.monotonic() + 60
    while len(got) < n and time.monotonic() < end:
        m = c.poll(1)
        if m is None:
            continue
        if m.error():
            raise RuntimeError(m.error())
        got.append({"partition": m.partition(), "offset": m.offset(), "key": m.key(), "value": m.value(),
                    "headers": m.headers() or []})
    c.close()
    return got


cases = [(codec, acks, False) for codec in ("none", "gzip", "snappy", "lz4", "zstd") for acks in ("0", "1", "all")]
cases += [("lz4", "all", True)]
print(f"1..{len(cases)}")
bad = 0
for number, (codec, acks, idempotent) in enumerate(cases, 1):
    name = f"confluent-kafka {codec} acks={acks}{' idempotent' if idempotent else ''}"
    try:
        topic = f"confluent-{codec}-{acks}-{'i' if idempotent else 'p'}"
        admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
        records = make_records()
        produce(topic, records, {"compression.type": codec, "acks": acks, "enable.idempotence": idempotent})
        compare(records, consume(topic, len(records)))
        print(f"ok {number} - {name}")
    except Exception as e:  # every failure is one line of the table
        bad += 1
        print(f"not ok {number} - {name}: {type(e).__name__}: {e}")
    sys.stdout.flush()
sys.exit(bad > 0)
