"""aiokafka: every codec and acks, idempotence; read back by assigned partitions. usage: aiokafka_roundtrip.py HOST:PORT.
Prints TAP."""
import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from records import PARTITIONS, compare, make_records

BROKER = sys.argv[1]


async def produce(topic, records, **settings):
    p = AIOKafkaProducer(bootstrap_servers=BROKER, max_request_size=2000000, **settings)
    await p.start()
    try:
        waits = [await p.send(topic, r["value"], key=r["key"], partition=r["partition"], headers=r["headers"])
                 for r in records]
        await p.flush()
        await asyncio.gather(*waits)
    finally:
        await p.stop()


async def consume(topic, n):
    c = AIOKafkaConsumer(bootstrap_servers=BROKER, auto_offset_reset="earliest", enable_auto_commit=False,
                         max_partition_fetch_bytes=2000000)
    await c.start()
    try:
        c.assign([TopicPartition(topic, i) for i in range(PARTITIONS)])
        got = []
        async with asyncio.timeout(60):
            while len(got) < n:
                for batch in (await c.getmany(timeout_ms=500)).values():
                    got += [{"partition": m.partition, "offset": m.offset, "key": m.key, "value": m.value,
                             "headers": list(m.headers)} for m in batch]
        return got
    finally:
        await c.stop()


async def one(codec, acks, idempotent):
    topic = f"aiokafka-{codec}-{acks}-{'i' if idempotent else 'p'}"
    admin = AIOKafkaAdminClient(bootstrap_servers=BROKER)
    await admin.start()
    await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    await admin.close()
    records = make_records()
    await produce(topic, records, compression_type=codec, acks=acks, enable_idempotence=idempotent)
    compare(records, await consume(topic, len(records)))


async def main():
    cases = [(codec, acks, False) for codec in (None, "gzip", "snappy", "lz4", "zstd") for acks in (0, 1, "all")]
    cases += [("zstd", "all", True)]
    print(f"1..{len(cases)}")
    bad = 0
    for number, (codec, acks, idempotent) in enumerate(cases, 1):
        name = f"aiokafka {codec} acks={acks}{' idempotent' if idempotent else ''}"
        try:
            await one(codec, acks, idempotent)
            print(f"ok {number} - {name}")
        except Exception as e:  # every failure is one line of the table
            bad += 1
            print(f"not ok {number} - {name}: {type(e).__name__}: {e}")
        sys.stdout.flush()
    return bad


sys.exit(asyncio.run(main()) > 0)
