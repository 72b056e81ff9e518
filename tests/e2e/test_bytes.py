#!/usr/bin/env python3
"""test_bytes.py: requests of every API and version, right and mutated, made from the broker's own definitions: each is
answered as advertised, or ends in a closed connection; nothing ends the broker. The seed is printed; CHRONIK_BYTES_SEED
repeats it."""
import contextlib
import os
import random
import socket
import struct
import sys
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "lib"), os.path.join(HERE, "../clients/oracle")]
import messages  # noqa: E402
from harness import LONG, SHORT, Tests, check  # noqa: E402

tests = Tests()
SECONDS = 60 if LONG else 3 if SHORT else 6
NUMBERS = [-1, 0, 1, 2, 5, 100, 32767]
TEXTS = ["", "t", "u", "a" * 249, "a" * 300, ".", "..", "no such", "-1", "group"]
EDGES = [-2, -1, 0, 1, 2**31 - 1, -2**31, 65536, 1000000]


def dial(b):
    s = socket.create_connection(("127.0.0.1", b.port), 10)
    s.settimeout(10)
    return s


def receive(s, n):
    data = b""
    while len(data) < n:
        got = s.recv(n - len(data))
        if not got:
            return None
        data += got
    return data


def ask(s, api, version, body):
    """The decoded answer; None: the connection was closed."""
    try:
        s.sendall(messages.request(api, version, 7, "bytes", body))
        head = receive(s, 4)
        frame = head and receive(s, struct.unpack(">i", head)[0])
    except ConnectionError:
        return None
    if not frame:
        return None
    correlation, answer = messages.response(api, version, frame)
    check(correlation == 7, f"{api} {version} is answered with the correlation {correlation}")
    return answer


def advertised(b):
    """{API: (first, last)} as ApiVersions says."""
    with contextlib.closing(dial(b)) as s:
        answer = ask(s, "ApiVersions", 3, {"client_software_name": "bytes", "client_software_version": "1"})
    names = {a.key: a.name for a in messages.APIS.values()}
    return {names[a["api_key"]]: (a["min_version"], a["max_version"]) for a in answer["api_keys"]}


@tests.test
def k5_every_api_is_answered_in_every_version_that_is_advertised_and_no_other_is(work):
    b = tests.broker(work).start()
    offers = advertised(b)
    check(len(offers) > 30, f"only {len(offers)} APIs are advertised")
    for api, (first, last) in sorted(offers.items()):
        for version in range(3 if api == "Produce" else first, last + 1):
            with contextlib.closing(dial(b)) as s:
                body = {"acks": -1} if api == "Produce" else {}
                check(ask(s, api, version, body) is not None, f"{api} version {version} is advertised and not answered")
    for api, a in messages.APIS.items():
        if api in offers or not a.versions:
            continue
        with contextlib.closing(dial(b)) as s:
            check(ask(s, api, a.versions[1], {}) is None, f"{api} is not advertised and answered")
    check(b.process.poll() is None, "the broker died")


def value(rng, f, version):
    if f.array:
        if messages.nullable(f, version) and rng.random() < 0.3:
            return None
        return [one(rng, f, version) for _ in range(rng.choice([0, 1, 1, 1, 2, 5]))]
    if messages.nullable(f, version) and rng.random() < 0.3:
        return None
    return one(rng, f, version)


def one(rng, f, version):
    if f.sub:
        return {x.name: value(rng, x, version) for x in f.sub.fields if messages.has(x, version)}
    if f.type == "string":
        return rng.choice(TEXTS)
    if f.type in ("bytes", "records"):
        return rng.randbytes(rng.choice([0, 1, 60, 61, 100]))
    if f.type == "uuid":
        return uuid.UUID(int=rng.choice([0, 1, 5]))
    if f.type == "bool":
        return rng.random() < 0.5
    if f.type == "float64":
        return float(rng.choice(NUMBERS))
    most = {"int8": 127, "int16": 32767, "uint16": 65535}.get(f.type, 2**31 - 1)
    return max(0 if f.type == "uint16" else -most - 1, min(most, rng.choice(NUMBERS + [most])))


def mutated(rng, frame):
    """The frame with some of its bytes wrong, behind its length, which stays right."""
    body = bytearray(frame[4:])
    for _ in range(rng.choice([0, 1, 1, 1, 2, 5, 20])):
        if len(body) <= 8:
            break
        at = rng.randrange(8, len(body))
        how = rng.randrange(7)
        if how == 0:
            body[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
        elif how == 1:
            body[at] ^= 1 << rng.randrange(8)
        elif how == 2:
            del body[at:at + rng.randint(1, 8)]
        elif how == 3:
            body[at:at] = rng.randbytes(rng.randint(1, 8))
        elif how == 4:
            body[at:at + 4] = struct.pack(">i", rng.choice(EDGES))
        elif how == 5:
            body[at:at + 8] = struct.pack(">q", rng.choice([-1, 2**63 - 1, -2**63]))
        else:
            del body[at:]
    return struct.pack(">i", len(body)) + bytes(body)


@tests.test
def k1_mutated_requests_of_every_api_end_in_an_answer_or_a_closed_connection(work):
    seed = int(os.environ.get("CHRONIK_BYTES_SEED", time.time_ns() % 1000000))
    rng = random.Random(seed)
    b = tests.broker(work).start()
    offers = advertised(b)
    sent, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        api = rng.choice(sorted(offers))
        version = rng.randint(3 if api == "Produce" else offers[api][0], offers[api][1])
        root = messages.APIS[api].request.root
        body = {f.name: value(rng, f, version) for f in root.fields if messages.has(f, version)}
        with contextlib.closing(dial(b)) as s:
            s.settimeout(0.05)  # one that waits for time to pass has our leave
            with contextlib.suppress(OSError):
                s.sendall(mutated(rng, messages.request(api, version, 7, "bytes", body)))
                s.recv(65536)
        sent += 1
        check(b.process.poll() is None, f"CHRONIK_BYTES_SEED={seed}: the broker died of request {sent}, {api} {version}")
    print(f"# CHRONIK_BYTES_SEED={seed}: {sent} requests")
    status, _ = b.admin("/livez")
    check(status == 200, "a thread stands still")
    check(set(advertised(b)) == set(offers), "nobody is answered any more")
    b.kill()
    b.start()
    check(set(advertised(b)) == set(offers), "nobody is answered after kill -9")
    b.stop()


@tests.test
def d6_a_thousand_topics_with_three_partitions_make_few_log_lines(work):
    b = tests.broker(work, settings={"chronik.log.level": "info"}).start()
    topics = [{"name": f"t{n}", "num_partitions": 3, "replication_factor": 1} for n in range(1000)]
    with contextlib.closing(dial(b)) as s:
        s.settimeout(60)
        answer = ask(s, "CreateTopics", 7, {"topics": topics, "timeout_ms": 60000})
        check({t["error_code"] for t in answer["topics"]} == {0}, "the topics cannot be created")
        for version in (9, 12):
            answer = ask(s, "Metadata", version, {"topics": None})
            check(len(answer["topics"]) >= 1000, f"{len(answer['topics'])} topics are there")
    b.stop()
    b.start()
    b.stop()
    lines = b.log(everything=True).count("\n")
    check(lines < 100, f"{lines} lines for a thousand topics")


tests.main()
