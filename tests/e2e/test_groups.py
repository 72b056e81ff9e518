#!/usr/bin/env python3
"""test_groups.py: many members on few connections, and brokers that die under them."""
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from groups import (ID_REQUIRED, ILLEGAL_GENERATION, LOADING, NONE, NOT_AVAILABLE, NOT_COORDINATOR,  # noqa: E402
                    REBALANCING, UNKNOWN_MEMBER, Connection, Member, all_of)
from harness import SHORT, SLOW, Tests, check, wait_for  # noqa: E402

tests = Tests()
CONNECTIONS = 16 if SHORT else 64


def connections(broker, n=CONNECTIONS):
    return [Connection(broker, 60 * SLOW) for _ in range(n)]


def members_of(links, groups, size, **options):
    """Groups in the same order on every connection: a connection takes up a bounded number of requests at once."""
    return [Member(f"group-{g}", links[(g * size + i) % len(links)], **options)
            for g in range(groups) for i in range(size)]


def join_all(members):
    def ask_ids():
        """A broker that has just begun takes its coordinator slots in its first milliseconds."""
        todo = [m for m in members if not m.id]
        codes = set(all_of(todo, "join"))
        check(codes <= {ID_REQUIRED, LOADING}, f"the first joins gave {codes}")
        return all(m.id for m in members)
    wait_for("member ids", ask_ids)
    codes = all_of(members, "join")
    check(set(codes) == {NONE}, f"the joins gave {set(codes)}")


def sync_all(members):
    codes = all_of(members, "sync")
    check(set(codes) == {NONE}, f"the syncs gave {set(codes)}")
    for m in members:
        check(m.assignment == m.id.encode(), f"{m.id} was given what is another's: {m.assignment}")


def one_leader(members):
    groups = {}
    for m in members:
        groups.setdefault(m.group, []).append(m)
    for name, v in groups.items():
        check(len({m.leader for m in v}) == 1, f"{name} has several leaders")
        check(len({m.generation for m in v}) == 1, f"{name} has members in several generations")
        told = [m for m in v if m.members]
        check(len(told) == 1 and told[0].id == told[0].leader, f"{name}: {len(told)} members are told to assign")
        check(sorted(told[0].members) == sorted(m.id for m in v), f"{name}: the leader was told other members")


def reconnect(broker, members):
    links = {}
    for m in members:
        old = m.connection
        if old not in links:
            old.close()
            links[old] = Connection(broker, 60 * SLOW)
        m.connection = links[old]


def settled(members):
    """The codes of heartbeats once the coordinator knows its groups again."""
    def ask():
        codes = set(all_of(members, "beat"))
        return None if codes & {LOADING, NOT_AVAILABLE, NOT_COORDINATOR} else codes
    return wait_for("the coordinator to be loaded", ask)


@tests.test
def five_thousand_members_that_join_at_once_get_their_assignments(work):
    broker = tests.broker(work, settings={"group.initial.rebalance.delay.ms": "1000"}).start()
    # As many in a group as there are connections: one takes up 64 requests at once, and no group is cut by that.
    members = members_of(connections(broker), 20 if SHORT else 79, CONNECTIONS)
    join_all(members)
    one_leader(members)
    sync_all(members)
    check(set(all_of(members, "beat")) == {NONE}, "heartbeats are refused")
    broker.stop()


@tests.test
def K6_kill_9_under_a_hundred_stable_groups_causes_no_rebalance(work):
    broker = tests.broker(work, settings={"group.initial.rebalance.delay.ms": "100"}).start()
    members = members_of(connections(broker), 20 if SHORT else 100, 5)
    join_all(members)
    sync_all(members)
    for _ in range(2):
        broker.kill()
        broker.start()
        reconnect(broker, members)
        codes = settled(members)
        check(codes == {NONE}, f"heartbeats after the restart gave {codes}")
        for m in members:
            m.before, m.assignment = m.assignment, b""
            m.members = []
        codes = set(all_of(members, "sync"))
        check(codes == {NONE}, f"syncs of the old generation gave {codes}")
        check(all(m.assignment == m.before for m in members), "an assignment has changed")
        check("generation 2" not in broker.log(), "a group has rebalanced")
    broker.stop()


def step_on(m, code):
    """What a client makes of a code."""
    if code == UNKNOWN_MEMBER:
        m.id, m.generation = "", -1
    return code in (REBALANCING, ILLEGAL_GENERATION, UNKNOWN_MEMBER)


def converge(members, seconds=60):
    """Members go on as clients do until all are in one generation a group and their heartbeats are welcome."""
    end = time.monotonic() + seconds * SLOW
    while time.monotonic() < end:
        codes = all_of(members, "beat")
        if set(codes) == {NONE}:
            return
        groups = {m.group for m, code in zip(members, codes) if step_on(m, code)}
        again = [m for m in members if m.group in groups]
        for _ in range(2):
            todo = [m for m in again if not m.id] if _ == 0 else again
            for m, code in zip(todo, all_of(todo, "join")):
                step_on(m, code)
        ready = [m for m in again if m.generation > 0 and m.id]
        for m, code in zip(ready, all_of(ready, "sync")):
            step_on(m, code)
        if not groups:
            time.sleep(0.1)
    check(False, f"the groups did not settle in {seconds * SLOW} s")


@tests.test
def kill_9_in_the_middle_of_rebalances_leaves_groups_that_settle(work):
    broker = tests.broker(work, settings={"group.initial.rebalance.delay.ms": "100"}).start()
    members = members_of(connections(broker, 16), 10, 4, session_ms=10000, rebalance_ms=10000)
    chance = random.Random(7)
    join_all(members)
    sync_all(members)
    for _ in range(2 if SHORT else 5):
        # Leaders ask for a rebalance, the others follow; somewhere in between the broker dies.
        leaders = [m for m in members if m.id == m.leader]
        for m in leaders + [m for m in members if m not in leaders and chance.random() < 0.7]:
            m.put_join()
        for c in {m.connection for m in members}:
            c.flush()
        time.sleep(chance.uniform(0, 0.05))
        broker.kill()
        broker.start()
        reconnect(broker, members)
        settled(members)
        converge(members)
        generations = {}
        for m in members:
            generations.setdefault(m.group, set()).add(m.generation)
        check(all(len(v) == 1 for v in generations.values()), f"members are in several generations: {generations}")
    broker.stop()


tests.main()
