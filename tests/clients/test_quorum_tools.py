#!/usr/bin/env python3
"""Kafka's kafka-metadata-quorum (kafka-tools 4.3.1) against three brokers with --meta=raft: what it says of the quorum, a
voter removed and added again, each asked of a broker that does not lead."""
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e/lib"))
from common import Table, jars, need, wait_for  # noqa: E402
from harness import Tests  # noqa: E402
from quorum import Quorum  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "tools"))
from programs import Programs, Unexpected  # noqa: E402

brokers = Tests()


def directory_id(broker):
    with open(os.path.join(broker.data, "meta.properties"), encoding="utf-8") as f:
        return next(line.split("=", 1)[1].strip() for line in f if line.startswith("directory.id="))


def rows(tools):
    """{node: (directory id, log end, lag, last fetch, caught up, status)}"""
    text = tools("metadata-quorum", "describe", "--replication")
    found = re.findall(r"^(\d+)\s+(\S+)\s+(-?\d+)\s+(-?\d+)\s+(-?\d+)\s+(-?\d+)\s+(Leader|Follower|Observer)", text, re.M)
    if not found:
        raise Unexpected(f"no rows in: {text[:500]}")
    return {int(r[0]): (r[1], *map(int, r[2:6]), r[6]) for r in found}


def statuses(tools):
    return sorted(r[5] for r in rows(tools).values())


def equal(what, got, want):
    if got != want:
        raise Unexpected(f"{what}: {got!r}, not {want!r}")


def the_quorum_is_described(q, tools):
    leader = q.leader()
    text = tools("metadata-quorum", "describe", "--status")
    equal("LeaderId", re.search(r"LeaderId:\s+(\d+)", text)[1], str(leader + 1))
    voters = re.search(r"CurrentVoters:\s+(.*)", text)[1]
    for i, b in enumerate(q.nodes):
        want = f'{{"id": {i + 1}, "directoryId": "{directory_id(b)}", "endpoints": ["CONTROLLER://{q.member(i)}"]}}'
        if want not in voters:
            raise Unexpected(f"no {want} in {voters}")
    equal("MaxFollowerLag", re.search(r"MaxFollowerLag:\s+(\d+)", text)[1], "0")
    got = rows(tools)
    equal("statuses", sorted(r[5] for r in got.values()), ["Follower", "Follower", "Leader"])
    for i, b in enumerate(q.nodes):
        equal("directory", got[i + 1][0], directory_id(b))
        if min(got[i + 1][1], got[i + 1][3], got[i + 1][4]) <= 0 or got[i + 1][2] != 0:
            raise Unexpected(f"node {i + 1}: {got[i + 1]}")
    tools("metadata-quorum", "describe", "--replication", "--human-readable")


def a_voter_is_removed_and_added_again(q, tools):
    victim = (q.leader() + 1) % 3
    node, directory = str(victim + 1), directory_id(q.nodes[victim])
    tools("metadata-quorum", "remove-controller", "-i", node, "-d", directory)
    wait_for("it to be an observer", lambda: statuses(tools) == ["Follower", "Leader", "Observer"])
    text = tools("metadata-quorum", "remove-controller", "-i", node, "-d", directory, status=1)
    if "VoterNotFoundException" not in text:
        raise Unexpected(text)
    config = tools.file("controller.properties", f"process.roles=broker,controller\nnode.id={node}\n"
                        f"log.dirs={q.nodes[victim].data}\ncontroller.listener.names=CONTROLLER\n"
                        f"listeners=CONTROLLER://{q.member(victim)}\n")
    text = tools("metadata-quorum", "--command-config", config, "add-controller")
    if f"Added controller {node} with directory id {directory}" not in text:
        raise Unexpected(text)
    equal("statuses", statuses(tools), ["Follower", "Follower", "Leader"])
    text = tools("metadata-quorum", "--command-config", config, "add-controller", status=1)
    if "DuplicateVoterException" not in text:
        raise Unexpected(text)


def the_leader_is_removed(q, tools):
    leader = q.leader()
    tools("metadata-quorum", "remove-controller", "-i", str(leader + 1), "-d", directory_id(q.nodes[leader]))
    wait_for("another leader", lambda: q.leader() != leader)
    equal("statuses", statuses(tools), ["Follower", "Leader", "Observer"])


def main():
    need("java", "mvn")
    jars("tools/tools.xml")
    table = Table()
    with tempfile.TemporaryDirectory(prefix="chronik-tools-") as work:
        q = Quorum(brokers, work).start().ready()
        tools = Programs(q.nodes[(q.leader() + 1) % 3].address, work)
        try:
            for test in (the_quorum_is_described, a_voter_is_removed_and_added_again, the_leader_is_removed):
                table.check(f"tools: {test.__name__}", lambda t=test: t(q, tools))
        finally:
            tools.end()
            for b in q.nodes:
                b.end()
    table.end()


main()
