#!/usr/bin/env python3
"""kafkajs and @platformatic/kafka from npm produce; kcat reads back."""
import json
import os
import subprocess
import sys

from common import copy, need, once, renumber, run, with_broker

SOURCES = ("node/package.json", "node/produce.mjs")
need("node", "npm", "kcat")


def install(path):
    copy(SOURCES, path)
    run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=path)


def read(broker, topic):
    out = run(["kcat", "-b", broker.address, "-C", "-t", topic, "-e", "-q", "-J"], timeout=60)
    return [json.loads(line) for line in out.splitlines()]


def verify(records):
    by = {p: sorted((r for r in records if r["partition"] == p), key=lambda r: r["offset"]) for p in range(3)}
    if len(records) != 300:
        raise RuntimeError(f"300 records were sent, {len(records)} read")
    for i in range(300):
        r = by[i % 3][i // 3]
        if r["offset"] != i // 3 or r["payload"] != f"value-{i}-" + "x" * ((i * 37) % 2000):
            raise RuntimeError(f"record {i} came back as offset {r['offset']} {str(r['payload'])[:40]}")
        if (r["key"] or None) != (None if i % 3 == 0 else f"key-{i}"):
            raise RuntimeError(f"record {i} has another key: {r['key']}")


def one(broker, directory, number, case):
    topic = f"node-{number}"
    try:
        done = subprocess.run([os.path.join(directory, "node_modules/.bin/node"), "produce.mjs", case, broker.address, topic], cwd=directory, capture_output=True,
                              text=True, timeout=60, check=False)
        if done.returncode:
            raise RuntimeError(" ".join((done.stderr or done.stdout).split())[:600])
        verify(read(broker, topic))
        return f"ok 1 - {case}\n"
    except (RuntimeError, subprocess.TimeoutExpired) as e:
        return f"not ok 1 - {case}: {e}\n"


directory = once("node", install, SOURCES)
cases = ["kafkajs:none:-1", "kafkajs:none:1", "kafkajs:none:0", "kafkajs:gzip:-1", "platformatic:none:-1",
         "platformatic:none:1", "platformatic:gzip:1", "platformatic:snappy:1", "platformatic:lz4:1", "platformatic:zstd:1"]
sys.exit(renumber(with_broker(lambda b: [one(b, directory, i, c) for i, c in enumerate(cases)])))
