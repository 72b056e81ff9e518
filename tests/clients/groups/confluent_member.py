"""A member of a group with confluent-kafka; see groups/README.md. usage: confluent_member.py HOST:PORT GROUP TOPIC STRATEGY"""
import json
import signal
import struct
import sys

from confluent_kafka import Consumer

broker, group, topic, strategy = sys.argv[1:]
stopping = []
signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))


def say(**what):
    print(json.dumps(what), flush=True)


def generation():
    """From the written form of the group's metadata, which the API keeps opaque: "CGMDv2:", the generation, ids."""
    raw = bytes(c.consumer_group_metadata())
    return struct.unpack("<i", raw[7:11])[0]


def tell(*_):
    say(assigned=sorted(p.partition for p in c.assignment()), generation=generation())


def assigned(consumer, partitions):
    if strategy == "cooperative-sticky":
        consumer.incremental_assign(partitions)
    else:
        consumer.assign(partitions)
    tell()


def revoked(consumer, partitions):
    if strategy == "cooperative-sticky":
        consumer.incremental_unassign(partitions)
    else:
        consumer.unassign()
    if not stopping:  # a consumer that closes no longer knows its assignment
        tell()


c = Consumer({"bootstrap.servers": broker, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
              "partition.assignment.strategy": strategy, "session.timeout.ms": 3000, "heartbeat.interval.ms": 300,
              "topic.metadata.refresh.interval.ms": 2000})
c.subscribe([topic], on_assign=assigned, on_revoke=revoked, on_lost=revoked)
while not stopping:
    messages = [m for m in c.consume(100, 0.2) if not m.error()]
    g = generation()
    for p in {m.partition() for m in messages}:
        offsets = [m.offset() for m in messages if m.partition() == p]
        say(partition=p, first=offsets[0], last=offsets[-1], generation=g)
    if messages:
        try:
            c.commit(asynchronous=False)
        except Exception as e:  # a rebalance came between: the records come again, to whoever owns them
            say(note=f"commit: {e}")
c.close()
say(left=True)
