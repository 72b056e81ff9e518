"""records.py: the records that every client writes, and the comparison of what came back."""
import random

PARTITIONS = 3
COUNT = 400


def make_records():
    rnd = random.Random(7)
    out = []
    for i in range(COUNT):
        size = 1_000_000 if i == COUNT // 2 else rnd.choice((0, 1, 10, 100, 1000, 10000))
        out.append({
            "partition": i % PARTITIONS,
            "key": None if i % 3 == 0 else b"key-%d" % i,
            "value": rnd.randbytes(size // 2) + b"x" * (size - size // 2),
            "headers": [("h", b"%d" % i), ("empty", b"")] if i % 5 == 0 else [],
        })
    return out


def compare(sent, got):
    if len(got) != len(sent):
        raise AssertionError(f"sent {len(sent)} records, read {len(got)}")
    for p in range(PARTITIONS):
        s = [r for r in sent if r["partition"] == p]
        g = [r for r in got if r["partition"] == p]
        if [r["offset"] for r in g] != list(range(len(s))):
            raise AssertionError(f"partition {p}: offsets are not 0..{len(s) - 1}")
        for a, b in zip(s, g):
            for field in ("key", "value"):
                if a[field] != b[field]:
                    raise AssertionError(f"partition {p} offset {b['offset']}: another {field}")
            if [(k, bytes(v)) for k, v in a["headers"]] != [(k, bytes(v)) for k, v in b["headers"]]:
                raise AssertionError(f"partition {p} offset {b['offset']}: other headers")
