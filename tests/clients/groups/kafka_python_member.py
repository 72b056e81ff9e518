"""A member of a group with kafka-python; see groups/README.md. usage: kafka_python_member.py HOST:PORT GROUP TOPIC STRATEGY"""
import json
import signal
import sys

from kafka import ConsumerRebalanceListener, KafkaConsumer
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError

broker, group, topic, strategy = sys.argv[1:]
assert strategy == "range"
stopping = []
signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))


def say(**what):
    print(json.dumps(what), flush=True)


def generation():
    return c._coordinator._generation.generation_id  # no public way to it


class Listener(ConsumerRebalanceListener):
    def on_partitions_revoked(self, revoked):
        say(assigned=[], generation=generation())

    def on_partitions_assigned(self, assigned):
        say(assigned=sorted(p.partition for p in assigned), generation=generation())


c = KafkaConsumer(bootstrap_servers=broker, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
                  session_timeout_ms=3000, heartbeat_interval_ms=300, max_poll_records=100, metadata_max_age_ms=2000,
                  partition_assignment_strategy=[RangePartitionAssignor])
c.subscribe([topic], listener=Listener())
while not stopping:
    batches = c.poll(timeout_ms=200)
    for p, records in batches.items():
        say(partition=p.partition, first=records[0].offset, last=records[-1].offset, generation=generation())
    if batches:
        try:
            c.commit()
        except KafkaError as e:  # a rebalance came between: the records come again, to whoever owns them
            say(note=f"commit: {e}")
c.close()
say(left=True)
