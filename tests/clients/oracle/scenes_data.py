"""scenes_data.py: records: produced rightly and wrongly, in every version and codec, read back, searched and deleted."""
import time

import batches
from batches import Record, batch
from oracle import Each, Id
from scenes_topics import create, topic

T = 1700000000000


def produce(o, name, data, version=11, acks=-1, index=0, **how):
    one = {"partition_data": [{"index": index, "records": data}]}
    one.update({"topic_id": Id(name)} if version >= 13 else {"name": name})
    return o.ask("Produce", version, {"acks": acks, "timeout_ms": 30000, "topic_data": [one]}, **how)


def fetch(o, name, offset=0, version=12, index=0, most=1 << 20, **more):
    part = {"partition": index, "fetch_offset": offset, "partition_max_bytes": most}
    part.update({k: more.pop(k) for k in ("current_leader_epoch", "last_fetched_epoch") if k in more})
    one = {"partitions": [part]}
    one.update({"topic_id": Id(name)} if version >= 13 else {"topic": name})
    body = {"max_wait_ms": 0, "min_bytes": 0, "max_bytes": 1 << 20, "topics": [one], **more}
    return o.ask("Fetch", version, body)


def some(n=3, key=b"k", at=T):
    return [Record(key=key, value=b"value %d" % i, time=at + i) for i in range(n)]


def right(o):
    for v in range(3, 14):
        produce(o, "alpha", batch(some()), version=v)
        produce(o, "alpha", batch(some()), version=v, acks=1)
        produce(o, "alpha", batch(some()), version=v, acks=2)
        produce(o, "nothing", batch(some()), version=v)
        produce(o, "alpha", batch(some()), version=v, index=99)
        produce(o, "alpha", b"", version=v)
    for codec in range(5):
        for v in (3, 6, 7, 9, 13):
            produce(o, "beta", batch(some(5), codec), version=v)
    produce(o, "alpha", batch([Record(None, None, T), Record(b"", b"", T + 5, [(b"h", b"1"), (b"n", None), (b"", b"")])]))
    produce(o, "alpha", batch(some(), base_offset=77, epoch=5))
    for v in (4, 7, 11, 12, 13, 15, 16, 17, 18):
        fetch(o, "alpha", version=v)
    for offset in range(0, 12):
        fetch(o, "beta", offset)
    fetch(o, "alpha", 10**6)
    fetch(o, "alpha", -1)
    fetch(o, "nothing")
    fetch(o, "nothing", version=13)
    fetch(o, "alpha", index=9)
    fetch(o, "alpha", index=9, version=13)
    for v in (4, 9, 10, 11, 17):
        fetch(o, "beta", 20, version=v)
    for most in (0, 1, 100, 300):
        fetch(o, "beta", most=most)
        fetch(o, "beta", max_bytes=most)
    for epoch in (-1, 0, 1, 7):
        fetch(o, "alpha", current_leader_epoch=epoch)
        fetch(o, "alpha", 2, last_fetched_epoch=epoch)
    fetch(o, "alpha", isolation_level=1)
    for session, epoch in ((0, -1), (12345, 1), (0, 5), (12345, -1)):
        fetch(o, "alpha", session_id=session, session_epoch=epoch)


def wrong(o):
    create(o, topic("odd"))
    good = batch(some())
    cases = {
        "crc": batch(some(), crc=1), "magic 0": batch(some(), magic=0), "magic 1": batch(some(), magic=1),
        "magic 3": batch(some(), magic=3), "two batches": good + good, "cut": good[:-3], "tiny": good[:20],
        "left over": good + b"\0\0\0", "count more": batch(some(), count=4), "count less": batch(some(), count=2),
        "count 0": batch([], last_delta=-1), "count negative": batch(some(), count=-1), "last delta": batch(some(), last_delta=5),
        "no records": batch(some(), payload=b""), "offsets": batch([Record(offset=1), Record(offset=0)]),
        "offset gap": batch([Record(time=T), Record(time=T, offset=5)], last_delta=5), "control": batch(some(), attributes=0x20),
        "transactional": batch(some(), attributes=0x10), "transactional pid": batch(some(), attributes=0x10, producer=(4000, 0, 0)),
        "codec 5": batch(some(), attributes=5), "codec 7": batch(some(), attributes=7), "append time": batch(some(), attributes=0x08),
        "max time": batch(some(), max_time=5), "max time none": batch(some(), max_time=-1), "base time": batch(some(), base_time=T - 7),
        "junk": batch([Record(time=T, junk=b"xx")]), "negative length": batch(some(), length=-5), "short length": batch(some(), length=10),
        "pid without epoch": batch(some(), producer=(9, -1, 0)), "pid without sequence": batch(some(), producer=(9, 0, -1)),
        "no pid with epoch": batch(some(), producer=(-1, 3, -1)), "negative time": batch([Record(b"k", b"v", -1)]),
        "time -5": batch([Record(b"k", b"v", -5)]), "delete horizon": batch(some(), attributes=0x40),
        "unknown attribute": batch(some(), attributes=0x400),
    }
    odd = {"offsets", "codec 5", "codec 7", "pid without epoch"}  # listed differences: apart, so that offsets stay alike
    for v in (3, 7, 8, 11):
        for name, data in cases.items():
            produce(o, "odd" if name in odd else "delta", data, version=v)
    for codec in range(1, 5):
        packed = batches.pack(codec, b"".join(batches.record_bytes(r, i, T) for i, r in enumerate(some())))
        for data in (batch(some(), codec, count=4), batch(some(), codec, count=2), batch(some(), codec, payload=b""),
                     batch(some(), codec, payload=b"garbage"), batch(some(), codec, payload=packed[:-4], packed=True),
                     batch(some(), codec, payload=b"notpacked" * 5, packed=True), batch(some(), codec, last_delta=7),
                     batch(some(), codec, max_time=5), batch([Record(None, b"v", T), Record(b"k", b"v", T)], codec)):
            produce(o, "delta", data)
            produce(o, "compacted", data)
        produce(o, "odd", batch([Record(time=T, offset=3)], codec))
        produce(o, "odd", batch([Record(time=T, junk=b"x")], codec))
        produce(o, "odd", batch(some(), codec, payload=packed + b"\0\0\0\0", packed=True))
    for data in (batch([Record(None, b"v", T)]), batch([Record(b"k", b"v", T), Record(None, b"v", T), Record(None, b"w", T)]),
                 batch([Record(b"k", None, T)])):
        for v in (3, 7, 8, 11):
            produce(o, "compacted", data, version=v)
    produce(o, "alpha", batch(some()), acks=0, answered=False)
    o.ask("ListOffsets", 5, offsets([("alpha", 0, -1)], 5))
    fetch(o, "delta")
    fetch(o, "compacted")
    o.ask("Produce", 11, {"acks": -1, "timeout_ms": 30000, "topic_data": []})
    o.ask("Produce", 11, {"acks": -1, "timeout_ms": 30000, "topic_data": [
        {"name": "alpha", "partition_data": [{"index": 0, "records": good}, {"index": 5, "records": good}]},
        {"name": "beta", "partition_data": [{"index": 0, "records": batch(some(), crc=9)}, {"index": 1, "records": good}]}]})
    o.ask("Produce", 11, {"acks": -1, "timeout_ms": 30000, "transactional_id": "tx", "topic_data": []})


def limits(o):
    now = int(time.time() * 1000)
    hour = 3600 * 1000
    create(o, topic("small", 1, 1, [("max.message.bytes", "200")]), topic("late", 1, 1, [
        ("message.timestamp.before.max.ms", str(hour)), ("message.timestamp.after.max.ms", str(hour))]),
        topic("appended", 1, 1, [("message.timestamp.type", "LogAppendTime")]))
    for n in (1, 5, 20):
        for codec in (0, 1):
            produce(o, "small", batch(some(n), codec))
    produce(o, "small", batch([Record(b"k", b"x" * 1000, T)], batches.GZIP))
    for at in (now, now - 2 * hour, now + 2 * hour, T, -1):
        def late(records, codec=0, version=11):
            data = batch(records, codec)
            produce(o, "late", Each(lambda s: data), version=version)  # not the same in every run
        for v in (3, 7, 8, 11):
            late(some(2, at=at) if at >= 0 else [Record(b"k", b"v", -1)], version=v)
        late(some(1, at=now) + some(2, at=at))
        late(some(1, at=now) + some(2, at=at), batches.LZ4)
    ahead = batch(some(2, at=now + 48 * hour))
    produce(o, "alpha", Each(lambda s: ahead))
    for codec in range(5):
        produce(o, "appended", batch(some(2), codec))
    fetch(o, "appended")
    fetch(o, "late", 0)
    o.all("ListOffsets", lambda v: offsets([("appended", 0, -1), ("appended", 0, -2)] + (
        [("late", 0, -3)] if v >= 7 else []), v))
    produce(o, "alpha", batch([Record(b"k", b"x" * 1100000, T)]))


def recompression(o):
    for kind in ("uncompressed", "gzip", "snappy", "lz4", "zstd", "producer"):
        for time_type in ("CreateTime", "LogAppendTime"):
            name = f"as-{kind}-{time_type}"
            create(o, topic(name, 1, 1, [("compression.type", kind), ("message.timestamp.type", time_type)]))
            for codec in range(5):
                produce(o, name, batch([Record(b"k", b"some value" * 10, T + 7), Record(None, None, T + 3),
                                        Record(b"", b"", T + 9, [(b"h", None), (b"i", b"x")])], codec))
            produce(o, name, batch(some(), producer=(50, 0, 0)))
            fetch(o, name)
            fetch(o, name, 4)
            o.ask("ListOffsets", 8, offsets([(name, 0, T + 8)], 8))
            if time_type == "CreateTime":  # else batches of one millisecond may be alike
                o.ask("ListOffsets", 8, offsets([(name, 0, -3)], 8))
    produce(o, "as-gzip-CreateTime", batch(some(), batches.ZSTD), version=6)
    create(o, topic("as-zstd", 1, 1, [("compression.type", "zstd")]))
    produce(o, "as-zstd", batch(some()), version=3)
    fetch(o, "as-zstd", version=9)
    create(o, topic("as-compact", 1, 1, [("compression.type", "lz4"), ("cleanup.policy", "compact")]))
    produce(o, "as-compact", batch([Record(None, b"v", T)], batches.GZIP))
    produce(o, "as-compact", batch(some(), batches.GZIP))
    fetch(o, "as-compact")


def offsets(asked, version, **more):
    return {"replica_id": -1, "topics": [{"name": n, "partitions": [{"partition_index": p, "timestamp": t}]}
                                         for n, p, t in asked], **more}


def searching(o):
    create(o, topic("times"))
    for at in (100, 50, 300, 200):
        produce(o, "times", batch([Record(b"k", b"v", T + at), Record(b"k", b"v", T + at + 5)]))
    produce(o, "times", batch(some(4, at=T + 400), batches.ZSTD))
    for v in range(1, 12):
        for t in (-1, -2, -3, -4, -5, -6, -7, 0, T, T + 50, T + 52, T + 106, T + 250, T + 402, T + 10**6):
            o.ask("ListOffsets", v, offsets([("times", 0, t)], v))
        o.ask("ListOffsets", v, offsets([("times", 5, -1), ("nothing", 0, -1), ("bad name", 0, -1)], v))
        o.ask("ListOffsets", v, offsets([("times", 0, -1), ("times", 0, -2)], v))
        if v >= 2:
            o.ask("ListOffsets", v, offsets([("times", 0, -1)], v, isolation_level=1))
        if v >= 4:
            for epoch in (-1, 0, 3):
                o.ask("ListOffsets", v, {"replica_id": -1, "topics": [{"name": "times", "partitions": [
                    {"partition_index": 0, "timestamp": -1, "current_leader_epoch": epoch}]}]})
    o.ask("ListOffsets", 8, {"replica_id": -1, "topics": [{"name": "times", "partitions": [
        {"partition_index": 0, "timestamp": -1}, {"partition_index": 0, "timestamp": -2}]}]})
    o.ask("ListOffsets", 8, {"replica_id": 1, "topics": []})
    o.ask("ListOffsets", 8, offsets([("late", 0, -3)], 8))
    create(o, topic("empty"))
    for t in (-1, -2, -3, -4, -5, -6, 0, T):
        o.ask("ListOffsets", 11, offsets([("empty", 0, t)], 11))
    for v in range(2, 5):
        for epoch in (-1, 0, 1, 9):
            for current in (-1, 0, 5):
                o.ask("OffsetForLeaderEpoch", v, {"topics": [{"topic": "times", "partitions": [
                    {"partition": 0, "leader_epoch": epoch, "current_leader_epoch": current}]}],
                    **({"replica_id": -1} if v >= 3 else {})})
        o.ask("OffsetForLeaderEpoch", v, {"topics": [{"topic": "nothing", "partitions": [{"partition": 0, "leader_epoch": 0}]}, {
            "topic": "times", "partitions": [{"partition": 7, "leader_epoch": 0}]}]})


def deletion(o):
    for v in range(0, 3):
        for name, index, offset in (("times", 0, 1 + v), ("times", 0, 0), ("times", 0, 10**6), ("times", 0, -2), ("nothing", 0, 0),
                                    ("times", 7, 0), ("bad name", 0, 0), ("", 0, 0)):
            o.ask("DeleteRecords", v, {"timeout_ms": 30000, "topics": [
                {"name": name, "partitions": [{"partition_index": index, "offset": offset}]}]})
        fetch(o, "times", 0)
        fetch(o, "times", 3)
        o.ask("ListOffsets", 8, offsets([("times", 0, -2)], 8))
        o.ask("ListOffsets", 8, offsets([("times", 0, T)], 8))
        o.ask("ListOffsets", 8, offsets([("times", 0, -4)], 8))
    o.ask("DeleteRecords", 2, {"timeout_ms": 30000, "topics": []})
    o.ask("DeleteRecords", 2, {"timeout_ms": 30000, "topics": [{"name": "compacted", "partitions": [{"partition_index": 0, "offset": 1}]}]})
    o.ask("DeleteRecords", 2, {"timeout_ms": 30000, "topics": [{"name": "times", "partitions": [{"partition_index": 0, "offset": -1}]}]})
    fetch(o, "times", 5)
    produce(o, "times", batch(some()))
    o.ask("ListOffsets", 8, offsets([("times", 0, -2)], 8))
    for t in (-3, T, T + 1):
        o.ask("ListOffsets", 8, offsets([("times", 0, t)], 8))


def idempotence(o):
    create(o, topic("idem", 2))
    for v in range(0, 6):
        body = {"transaction_timeout_ms": 60000, "transactional_id": None}
        answers = o.ask("InitProducerId", v, body)
        if v >= 3:
            o.ask("InitProducerId", v, {**body, "producer_id": 5, "producer_epoch": 0})
            o.ask("InitProducerId", v, {**body, "producer_id": 5, "producer_epoch": -1})
            o.ask("InitProducerId", v, {**body, "producer_id": -1, "producer_epoch": 3})
        o.ask("InitProducerId", v, {**body, "transactional_id": ""})
    for side, a in zip(o.sides, answers):
        side.memory["pid"] = a["producer_id"]

    def send(epoch, sequence, n=2, index=0, version=11, pid=None, **more):
        produce(o, "idem", Each(lambda s: batch(some(n), producer=(s.memory["pid"] if pid is None else pid, epoch, sequence), **more)),
                index=index, version=version)
    for v in (3, 7, 11):
        base = {3: 0, 7: 100, 11: 200}[v]
        send(0, 0 if v == 3 else 4, version=v)
        send(0, base, version=v)
    for sequence in (2, 2, 0, 4, 6, 8, 10, 12, 2, 0, 14, 99, 13):
        send(0, sequence)
    send(0, 0, n=3)
    send(0, 12, n=3)
    send(1, 5)
    send(1, 0)
    send(0, 2)
    send(0, 14)
    send(-1, 0)
    send(2, 2147483646, index=1)
    send(2, 0, index=1)
    send(0, 7, pid=987654, index=1)
    send(0, 0, pid=987655, index=1)
    o.ask("DescribeProducers", 0, {"topics": [{"name": "idem", "partition_indexes": [0, 1, 9]}, {
        "name": "nothing", "partition_indexes": [0]}]})
    fetch(o, "idem")


SCENES = [right, wrong, limits, recompression, searching, deletion, idempotence]
