#!/usr/bin/env python3
"""test_reading.py: what a reader may rely on while its segments go away under it: right bytes or a closed connection."""
import os
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import BUILD, LONG, Tests, check, produce, wait_for  # noqa: E402

tests = Tests()
CTL = os.path.abspath(os.path.join(BUILD, "out/bin/chronikctl"))


def string(s):
    return struct.pack(">h", len(s)) + s.encode()


def request(key, version, body, correlation=1):
    head = struct.pack(">hhi", key, version, correlation) + string("reader")
    return struct.pack(">i", len(head) + len(body)) + head + body


def fetch(topic, offset, most):
    """Fetch version 4 of partition 0."""
    return request(1, 4, struct.pack(">iiiib", -1, 100, 1, most, 0) + struct.pack(">i", 1) + string(topic) +
                   struct.pack(">iiqi", 1, 0, offset, most))


def delete_records(topic, offset):
    return request(21, 0, struct.pack(">i", 1) + string(topic) + struct.pack(">iiq", 1, 0, offset) +
                   struct.pack(">i", 30000))


def read_exactly(s, n):
    out = bytearray()
    while len(out) < n:
        piece = s.recv(min(n - len(out), 1 << 16))
        if not piece:
            raise ConnectionError(f"closed after {len(out)} of {n} bytes")
        out += piece
    return bytes(out)


def answer(s):
    return read_exactly(s, struct.unpack(">i", read_exactly(s, 4))[0])


def dial(broker, receive_buffer=None):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.settimeout(60)
    s.connect(("127.0.0.1", broker.port))
    return s


def segments(broker):
    return [os.path.join(d, f) for d, _, files in os.walk(os.path.join(broker.data, "data")) for f in files
            if f.endswith(".log")]


@tests.test
def a_reader_that_stops_while_its_segments_are_deleted_gets_right_bytes_or_a_closed_connection(work):
    b = tests.broker(work, settings={"chronik.store-wal.checkpoint.ms": "1000"}).start()
    subprocess.run([CTL, "--bootstrap", b.address, "topic", "create", "old", "--partitions", "1", "--config",
                    "segment.bytes=4194304"], check=True, capture_output=True, timeout=30)
    lines = [b"%07d " % i + b"abcdefghij" * 100 for i in range(30000)]
    produce(b, "old", lines)
    before = len(segments(b))
    check(before >= 4, f"30 MB made only {before} segments")

    quick = dial(b)
    quick.sendall(fetch("old", 0, 20 << 20))
    want = answer(quick)
    check(len(want) > 1 << 20, f"the fetch gave only {len(want)} bytes")

    slow = dial(b, receive_buffer=4096)
    slow.sendall(fetch("old", 0, 20 << 20))
    n = struct.unpack(">i", read_exactly(slow, 4))[0]
    got = read_exactly(slow, 10000)

    quick.sendall(delete_records("old", -1))
    done = answer(quick)
    error = struct.unpack(">h", done[-2:])[0]
    check(error == 0, f"DeleteRecords answered {error}")
    time.sleep(60 if LONG else 3)
    try:
        got += read_exactly(slow, n - len(got))
        # The high watermark and the log start stand before the records; both are as they were when it began.
        check(got == want, "the bytes differ from what the same fetch gave before")
    except ConnectionError:
        check(got == want[:len(got)], "the bytes before the end of the connection are wrong")
    slow.close()
    wait_for("the old segments to vanish", lambda: len(segments(b)) <= 2, 30)
    produce(b, "old", [b"after"])


tests.main()
