#!/usr/bin/env python3
"""Compares core/wire's message definitions with Kafka's own (kafka-messages of the shared facts): in each stable version of
each API, every field's presence, order, type, nullability, tag, default, and what may be dropped. Skips when the facts are
missing."""
import csv
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.normpath(os.path.join(HERE, "..", "..", ".."))
ZERO = {"string": "", "bool": "false"}
ALSO = ["RequestHeader", "ResponseHeader", "ConsumerProtocolSubscription", "ConsumerProtocolAssignment",
        "ControlRecordTypeSchema", "EndTxnMarker"]


def in_range(text, version):
    if text in (None, "none"):
        return False
    m = re.fullmatch(r"(\d+)(\+|-(\d+))?", text)
    last = 10**6 if m[2] == "+" else int(m[3] or m[1])
    return int(m[1]) <= version <= last


def snake(name):
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name).lower()


def default_of(type_, array, text):
    """Defaults as text; "" stands for zero and for empty."""
    if text is None:
        return ""
    text = str(text).lower() if isinstance(text, bool) else str(text)
    if re.fullmatch(r"0x[0-9a-f]+", text):
        text = str(int(text, 16))
    return "" if text == (ZERO.get(type_, "0")) else text


def theirs(fields, common, version):
    rows = []
    for f in fields:
        if not in_range(f["versions"], version):
            continue
        type_, array = f["type"].removeprefix("[]"), f["type"].startswith("[]")
        sub = None
        if type_[0].isupper():
            sub = theirs(f["fields"] if "fields" in f else common[type_], common, version)
        rows.append({
            "name": snake(f["name"]), "type": "struct" if sub is not None else type_, "array": array,
            "nullable": in_range(f.get("nullableVersions"), version),
            "tag": f["tag"] if in_range(f.get("taggedVersions"), version) else None,
            "default": default_of(type_, array, f.get("default")), "ignorable": bool(f.get("ignorable")),
            "plain": f.get("flexibleVersions") == "none", "fields": sub})
    return rows


def ours(fields, version):
    rows = []
    for f in fields:
        if not f["versions"][0] <= version <= f["versions"][1]:
            continue
        rows.append({
            "name": f["name"], "type": f["type"], "array": f["array"],
            "nullable": bool(f["nullable"]) and f["nullable"][0] <= version <= f["nullable"][1], "tag": f["tag"],
            "default": default_of(f["type"], f["array"], f["default"]), "ignorable": f["ignorable"],
            "plain": f["plain"], "fields": None if f["fields"] is None else ours(f["fields"], version)})
    return rows


def structs_of(fields, found):
    for f in fields:
        if "fields" in f:
            found[f["type"].removeprefix("[]")] = f["fields"]
            structs_of(f["fields"], found)
    return found


def differences(path, a, b):
    if [r["name"] for r in a] != [r["name"] for r in b]:
        yield f"{path}: fields are {[r['name'] for r in a]}, Kafka has {[r['name'] for r in b]}"
        return
    for x, y in zip(a, b):
        for k in x:
            if k != "fields" and x[k] != y[k]:
                yield f"{path}.{x['name']}: {k} is {x[k]!r}, Kafka has {y[k]!r}"
        if x["fields"] is not None and y["fields"] is not None:
            yield from differences(f"{path}.{x['name']}", x["fields"], y["fields"])


def definitions():
    with tempfile.TemporaryDirectory() as d:
        out = os.path.join(d, "wire.json")
        wire = os.path.join(TOP, "core", "wire")
        subprocess.run([sys.executable, "-B", os.path.join(wire, "gen.py"), "--json", out] +
                       glob.glob(os.path.join(wire, "messages", "*.msg")), check=True)
        with open(out, encoding="ascii") as f:
            return {m["name"]: m for m in json.load(f)}


def main():
    shared = os.environ.get("CHRONIK_SHARED") or os.path.join(TOP, "..", "shared")
    if not os.path.isdir(os.path.join(shared, "kafka-messages")):
        print(f"skipped: {shared}/kafka-messages is missing; set CHRONIK_SHARED to the folder that holds it")
        return 77
    mine, wrong, compared = definitions(), [], 0
    with open(os.path.join(shared, "kafka-facts", "apis.tsv"), encoding="utf-8") as f:
        apis = [r for r in csv.DictReader(f, delimiter="\t") if int(r["latest_stable"]) >= 0]
    wanted = {r["name"] + kind: (int(r["key"]), int(r["oldest"]), int(r["latest_stable"]))
              for r in apis for kind in ("Request", "Response")}
    wanted.update({name: (-1, None, None) for name in ALSO})
    for name in sorted(set(mine) ^ set(wanted)):
        wrong.append(f"{name}: " + ("not defined here" if name in wanted else "defined here, but no stable API has it"))
    for name, (key, first, last) in sorted(wanted.items()):
        if name not in mine:
            continue
        with open(os.path.join(shared, "kafka-messages", name + ".json"), encoding="utf-8") as f:
            kafka = json.loads(re.sub(r"^\s*//.*$", "", f.read(), flags=re.M))
        m = mine[name]
        if first is None:
            first, last = (int(x) for x in (kafka["validVersions"] + "-" + kafka["validVersions"]).split("-")[:2])
        if (m["key"], *m["versions"]) != (key, first, last):
            wrong.append(f"{name}: key and versions are {m['key']}, {m['versions']}, Kafka has {key}, {first}-{last}")
        common = structs_of(kafka["fields"], {s["name"]: s["fields"] for s in kafka.get("commonStructs", [])})
        for s in kafka.get("commonStructs", []):
            structs_of(s["fields"], common)
        for v in range(first, last + 1):
            compared += 1
            if (v >= m["flexible"]) != in_range(kafka["flexibleVersions"], v):
                wrong.append(f"{name} version {v}: flexible differs")
            wrong += differences(f"{name} version {v}", ours(m["fields"], v), theirs(kafka["fields"], common, v))
    print("\n".join(wrong))
    print(f"{compared} message versions compared with Kafka's, {len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
