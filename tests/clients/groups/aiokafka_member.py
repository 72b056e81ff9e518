"""A member of a group with aiokafka; see groups/README.md. usage: aiokafka_member.py HOST:PORT GROUP TOPIC STRATEGY"""
import asyncio
import json
import signal
import sys

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError

broker, group, topic, strategy = sys.argv[1:]


def say(**what):
    print(json.dumps(what), flush=True)


class Listener(ConsumerRebalanceListener):
    """The generation is the one of the last assignment: the coordinator's own runs ahead while it rejoins."""
    generation = -1

    def __init__(self, consumer):
        self.consumer = consumer

    async def on_partitions_revoked(self, revoked):
        say(assigned=[], generation=self.generation)

    async def on_partitions_assigned(self, assigned):
        self.generation = self.consumer._coordinator.generation  # no public way to it
        say(assigned=sorted(p.partition for p in assigned), generation=self.generation)


async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    strategies = {"range": RangePartitionAssignor, "sticky": StickyPartitionAssignor}
    c = AIOKafkaConsumer(bootstrap_servers=broker, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
                         session_timeout_ms=3000, heartbeat_interval_ms=300, rebalance_timeout_ms=10000,
                         metadata_max_age_ms=2000, partition_assignment_strategy=[strategies[strategy]])
    listener = Listener(c)
    c.subscribe([topic], listener=listener)
    await c.start()
    while not stop.is_set():
        batches = await c.getmany(timeout_ms=200, max_records=100)
        for p, records in batches.items():
            if p in c.assignment():
                say(partition=p.partition, first=records[0].offset, last=records[-1].offset, generation=listener.generation)
        if batches:
            try:
                await c.commit()
            except KafkaError as e:  # a rebalance came between: the records come again, to whoever owns them
                say(note=f"commit: {e}")
    await c.stop()
    say(left=True)


asyncio.run(main())
