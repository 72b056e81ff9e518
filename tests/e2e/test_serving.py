#!/usr/bin/env python3
"""test_serving.py: a broker that kcat writes to and reads from, through kills and restarts."""
import os
import signal
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import (CHRONIK, Failed, Tests, check, consume, kcat, metadata, produce, wait_for)  # noqa: E402

tests = Tests()


@tests.test
def lines_written_with_kcat_come_back(work):
    b = tests.broker(work).start()
    produce(b, "hello", [b"one", b"two", b"three"])
    check(consume(b, "hello") == [b"one", b"two", b"three"], "other lines came back")


@tests.test
def the_banner_names_cluster_listeners_modules_data_and_the_next_command(work):
    b = tests.broker(work).start()
    log = b.log()
    for word in ("cluster ", "node 1", f"listening PLAINTEXT 127.0.0.1:{b.port}", "modules ", b.data, "kcat -b "):
        check(word in log, f"no '{word}' in: {log}")


@tests.test
def lines_survive_kill_9_and_restart(work):
    b = tests.broker(work).start()
    produce(b, "hello", [b"before"])
    for n in range(3):
        b.kill()
        b.start()
        produce(b, "hello", [b"after %d" % n])
    want = [b"before", b"after 0", b"after 1", b"after 2"]
    got = consume(b, "hello")
    check(got == want, f"want {want}, got {got}")


@tests.test
def lines_survive_a_graceful_stop(work):
    b = tests.broker(work).start()
    produce(b, "hello", [b"before"])
    b.stop()
    b.start()
    check(consume(b, "hello") == [b"before"], "the line is gone")


@tests.test
def the_cluster_and_the_topics_are_the_same_after_a_restart(work):
    b = tests.broker(work).start()
    produce(b, "hello", [b"x"])
    before = metadata(b)
    b.kill()
    b.start()
    after = metadata(b)
    for key in ("brokers", "topics", "controllerid"):
        check(before.get(key) == after.get(key), f"{key}: {before.get(key)} became {after.get(key)}")


@tests.test
def acks_0_1_and_all_are_kept(work):
    b = tests.broker(work).start()
    for acks in ("0", "1", "all"):
        produce(b, "acks" + acks, [b"%d" % i for i in range(100)], "-X", f"acks={acks}")
    for acks in ("1", "all"):
        check(consume(b, "acks" + acks) == [b"%d" % i for i in range(100)], f"acks={acks} lost or moved records")
    wait_for("the records of acks=0", lambda: len(consume(b, "acks0")) == 100)


@tests.test
def many_thousand_records_keep_their_order_with_every_codec(work):
    b = tests.broker(work).start()
    lines = [b"%07d-%s" % (i, b"x" * (i % 90)) for i in range(20000)]
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        produce(b, "many-" + codec, lines, "-X", f"compression.codec={codec}")
        got = consume(b, "many-" + codec)
        check(got == lines, f"{codec}: {len(got)} records came back, or in another order")
    b.kill()
    b.start()
    check(consume(b, "many-zstd") == lines, "after kill -9 and restart other records came back")


@tests.test
def an_idempotent_producer_writes_each_record_once(work):
    b = tests.broker(work).start()
    lines = [b"%d" % i for i in range(5000)]
    produce(b, "once", lines, "-X", "enable.idempotence=true", "-X", "linger.ms=0", "-X", "batch.num.messages=50")
    check(consume(b, "once") == lines, "records are missing, doubled or moved")


@tests.test
def keys_headers_and_null_values_come_back(work):
    b = tests.broker(work).start()
    kcat(b, "-P", "-t", "shapes", "-K", ":", "-H", "colour=blue", "-Z", stdin=b"k1:v1\nk2:\n")
    got = kcat(b, "-C", "-t", "shapes", "-p", "0", "-o", "beginning", "-e", "-q", "-Z", "-f", "%k|%s|%S|%h\\n")
    check(got.splitlines() == [b"k1|v1|2|colour=blue", b"k2|NULL|-1|colour=blue"], f"got {got!r}")


@tests.test
def a_record_of_a_megabyte_comes_back_and_a_larger_one_is_refused(work):
    b = tests.broker(work).start()
    big = os.urandom(500_000).hex().encode()[:1_000_000]
    produce(b, "big", [big], "-X", "message.max.bytes=1048000")
    check(consume(b, "big", "-X", "fetch.message.max.bytes=2000000") == [big], "the large record is damaged")
    try:
        kcat(b, "-P", "-t", "big", "-X", "message.max.bytes=3000000", stdin=b"y" * 2_000_000 + b"\n", status=1)
    except Failed as e:
        raise Failed(f"a record of 2 MB was not refused: {e}") from None
    check(len(consume(b, "big", "-X", "fetch.message.max.bytes=2000000")) == 1, "the refused record is there")


@tests.test
def sigterm_ends_the_broker_within_seconds_with_status_0(work):
    b = tests.broker(work).start()
    idle = socket.create_connection(("127.0.0.1", b.port), 5)
    began = time.monotonic()
    b.stop()
    check(time.monotonic() - began < 15, "the stop waited for an idle connection")
    idle.close()


@tests.test
def a_stop_right_after_the_start_is_orderly_too(work):
    for _ in range(5):
        tests.broker(work).start().stop()


@tests.test
def a_second_signal_ends_a_stopping_broker_at_once(work):
    b = tests.broker(work).start()
    b.signal(signal.SIGTERM)
    b.signal(signal.SIGTERM)
    b.wait(10)


@tests.test
def a_busy_port_is_refused_in_one_sentence(work):
    b = tests.broker(os.path.join(work, "a"), settings={"log.dirs": os.path.join(work, "a/data")})
    os.mkdir(b.work)
    b.start()
    os.mkdir(os.path.join(work, "b"))
    other = tests.broker(os.path.join(work, "b"), settings={"listeners": f"PLAINTEXT://127.0.0.1:{b.port}"})
    line = other.refused(str(b.port))
    check("in use" in line or "busy" in line, line)


@tests.test
def any_bytes_on_the_port_close_the_connection_and_harm_nobody(work):
    b = tests.broker(work).start()
    junk = [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, struct.pack(">i", -1), struct.pack(">i", 0x7fffffff), b"\0" * 12,
            struct.pack(">ihhih", 10, 18, 99, 1, -1), struct.pack(">ihhih", 10, 999, 0, 1, -1), os.urandom(5000)]
    for data in junk:
        with socket.create_connection(("127.0.0.1", b.port), 5) as s:
            s.settimeout(5)
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            try:
                while s.recv(4096):
                    pass
            except (ConnectionResetError, socket.timeout):
                pass
    produce(b, "alive", [b"yes"])
    check(consume(b, "alive") == [b"yes"], "the broker does not serve any more")
    check(len(b.log().splitlines()) < 60, f"too many log lines: {b.log()}")


@tests.test
def bytes_behind_a_request_are_ignored_as_kafka_does(work):
    b = tests.broker(work).start()
    # ApiVersions 0 has no fields; Metadata 13 as librdkafka 2.15 asks for all topics: null, two flags, no tags, and three bytes
    metadata_13 = struct.pack(">hhihs", 3, 13, 2, 1, b"c") + b"\0" + b"\0\0\0\0" + b"\1\0\0"
    with socket.create_connection(("127.0.0.1", b.port), 5) as s:
        for frame in (struct.pack(">hhih", 18, 0, 1, -1) + b"behind", metadata_13):
            s.sendall(struct.pack(">i", len(frame)) + frame)
            size = s.recv(4, socket.MSG_WAITALL)
            check(size, "the connection was closed")
            s.recv(struct.unpack(">i", size)[0], socket.MSG_WAITALL)


@tests.test
def the_admin_server_says_that_it_lives_and_what_it_counts(work):
    b = tests.broker(work).start()
    wait_for("the broker to be ready", lambda: b.admin("/readyz")[0] == 200)
    for path in ("/livez", "/readyz", "/metrics", "/status"):
        status, body = b.admin(path)
        check(status == 200 and body, f"{path}: {status} {body[:200]}")


@tests.test
def the_admin_server_survives_more_connections_than_descriptors(work):
    b = tests.broker(work, program="prlimit", args=["--nofile=160", CHRONIK]).start()
    held = []
    try:
        for _ in range(300):
            held.append(socket.create_connection(("127.0.0.1", b.admin_port), 5))
        produce(b, "meanwhile", [b"a line"])  # clients are served beside them
    finally:
        for s in held:
            s.close()
    wait_for("answers again", lambda: b.admin("/livez")[0] == 200)
    b.stop()


tests.main()
