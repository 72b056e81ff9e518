#!/usr/bin/env python3
"""The same requests to chronik and to Apache Kafka, the answers compared field by field. What may differ stands in
differences.tsv with its reason. usage: test_oracle.py [--seed N[,N...]] [--requests N] [--scene NAME] [--show N]
--record FILE keeps Kafka's answers, --replay FILE compares with them instead of a running Kafka: for quick work."""
import argparse
import os
import pickle
import random
import signal
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import messages  # noqa: E402
import peers  # noqa: E402

BUILD = os.path.abspath(os.environ.get("CHRONIK_BUILD", os.path.join(messages.TOP, "build")))
# Alike for both: nothing old is deleted meanwhile, groups do not wait for more members.
SETTINGS = {"auto.create.topics.enable": "true", "log.retention.ms": "-1", "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.num.partitions": "3"}
# Not by chance: they wait, or what they change would part the brokers by more than an answer.
NOT_BY_CHANCE = {"UpdateFeatures", "UnregisterBroker", "JoinGroup", "SyncGroup", "Heartbeat", "LeaveGroup", "OffsetCommit", "InitProducerId", "DescribeLogDirs",
                 "AlterReplicaLogDirs", "SaslHandshake", "SaslAuthenticate", "DescribeProducers", "DescribeAcls", "CreateAcls", "DeleteAcls", "AddRaftVoter",
                 "RemoveRaftVoter"}


def run(o, options):
    import chance
    import scenes_admin
    import scenes_data
    import scenes_group_edges
    import scenes_groups
    import scenes_topics
    keys = {k["api_key"] for k in o.chronik.ask("ApiVersions", 0, {})["api_keys"]}
    o.offered = {name for name, a in messages.APIS.items() if a.key in keys or options.record}
    scenes = scenes_topics.SCENES[:1] + scenes_topics.SCENES[1:] + scenes_data.SCENES + scenes_admin.SCENES + \
        scenes_groups.SCENES + scenes_group_edges.SCENES
    for scene in scenes:
        if options.scene and scene is not scenes[0] and options.scene not in f"{scene.__module__}.{scene.__name__}":
            continue
        o.scene, since, before = scene.__name__, time.monotonic(), o.count
        scene(o)
        print(f"# {scene.__name__}: {o.count - before} requests in {time.monotonic() - since:.1f} s", flush=True)
    for seed in options.seed.split(","):
        since, before = time.monotonic(), o.count
        by_chance(o, chance.Chance(int(seed)), options)
        print(f"# by chance, seed {seed}: {o.count - before} requests in {time.monotonic() - since:.1f} s", flush=True)


def by_chance(o, c, options):
    o.scene = "chance"
    keys = {k["api_key"] for k in o.chronik.ask("ApiVersions", 0, {})["api_keys"]}
    apis = sorted(n for n in o.offered - NOT_BY_CHANCE if messages.APIS[n].key in keys)
    end = time.monotonic() + options.seconds
    for _ in range(options.requests if not options.scene or options.scene == "chance" else 0):
        if time.monotonic() > end:
            break
        api = c.r.choice(apis)
        o.ask(api, *c.request(api))


def report(o, allowed, options):
    n = 0
    for (api, path, a, b), (times, where, full) in sorted(o.findings.items()):
        n += 1
        if n <= options.show:
            print(f"not ok {n} - {api} {path}: Kafka {a!r}, chronik {b!r} ({times} times, first {full} in {where})".replace(
                "\n", "\\n"))
    versions = sum(len(v) for v in o.apis.values())
    print(f"# {o.count} requests ({len(o.apis)} APIs, {versions} versions, {o.fields} fields) compared with Kafka "
          f"{peers.release(BUILD)}; {n} kinds of differences, and {len(allowed.rows)} that are listed "
          f"({len(allowed.used)} of them seen)")
    if options.show_unused:
        for i, row in enumerate(allowed.rows):
            if i not in allowed.used:
                print(f"# not seen: {' | '.join(row)}")
    if not n:
        print(f"ok 1 - chronik answers {o.count} requests as Kafka does")
    print(f"1..{max(min(n, options.show), 1)}")
    return 1 if n else 0


def kafka_side(both, options):
    from oracle import Recorded, Side
    if not options.replay:
        return Side(both[1])
    with open(options.replay, "rb") as f:
        port, work, answers = pickle.load(f)
    return Recorded(argparse.Namespace(port=port, work=work), answers)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # brokers are ended on the way out
    p = argparse.ArgumentParser()
    p.add_argument("--seed", default=str(random.randrange(1 << 30)) if os.environ.get("CHRONIK_TEST_LONG") else "1,2")
    p.add_argument("--requests", type=int, default=int(os.environ.get("CHRONIK_ORACLE_REQUESTS", "1500")))
    p.add_argument("--seconds", type=int, default=60, help="of each seed at most")
    p.add_argument("--scene", default="")
    p.add_argument("--show", type=int, default=60)
    p.add_argument("--show-unused", action="store_true")
    p.add_argument("--record")
    p.add_argument("--replay")
    options = p.parse_args()
    why = peers.why_not(BUILD)
    if why and not options.replay:
        print(f"1..0 # SKIP {why}")
        sys.exit(77)
    from oracle import Allowed, Oracle, Side
    print(f"# seed {options.seed} (repeat: {os.path.relpath(__file__)} --seed {options.seed})", flush=True)
    allowed = Allowed(os.path.join(HERE, "differences.tsv"))
    with tempfile.TemporaryDirectory(prefix="chronik-oracle-") as work:
        both = []
        try:
            both.append(peers.Chronik(BUILD, work, SETTINGS))
            if not options.replay:
                both.append(peers.Kafka(BUILD, work, SETTINGS))
            for peer in both:
                peer.start()
            o = Oracle(kafka_side(both, options), Side(both[0]), allowed)
            try:
                o.tries = 2 if options.record or options.replay else o.tries
                run(o, options)
            finally:
                if options.record:
                    with open(options.record, "wb") as f:
                        pickle.dump((both[1].port, both[1].work, o.recording), f)
            status = report(o, allowed, options)
            for peer in both:
                if peer.process.poll() is not None:
                    print(f"not ok 1 - {peer.label} ended with {peer.process.returncode}")
                    print("# " + peer.last_words().replace("\n", "\n# "))
                    status = 1
        finally:
            for peer in both:
                peer.end()
    sys.exit(status)


main()
