"""scenes_group_edges.py: classic groups where clients are clumsy, late or many: repeated names in one request, bounds of timeouts and
texts, members that never sync, are replaced while they wait, leave in batches, and offsets of a topic that was made anew."""
import time

from oracle import Each
from scenes_groups import MEMBER, commit, committed, fetch, join, sync
from scenes_topics import create, topic

NOW = Each(lambda s: s.memory.get("generation", 1))


def keep(o, name, answers=None, field="member_id"):
    """Remembers what the last join gave (or a field of these answers) under a name of its own."""
    for i, side in enumerate(o.sides):
        side.memory[name] = side.memory.get("member", "nobody") if answers is None else answers[i].get(field) or "nobody"
    return Each(lambda s: s.memory[name])


def coordinated(o):
    """Kafka makes its topic of offsets at the first question, and needs a while for it; what was asked before that would differ."""
    for group in ("", *"abcdefgh"):  # its three partitions
        for _ in range(100):
            o.kafka.ask("FindCoordinator", 3, {"key": group or "x", "key_type": 0})
            answer = o.kafka.ask("OffsetFetch", 7, {"group_id": group or "x", "topics": None})
            if answer.get("error_code", 0) == 0:
                break
            time.sleep(0.1)


def repeated(o):
    create(o, topic("ed-a", 2), topic("ed-b"))
    for v in range(2, 11):
        group = f"twice{v}"
        commit(o, v, group, [("ed-a", 0, 1, "one"), ("ed-a", 0, 2, "two"), ("ed-b", 0, 3, ""), ("ed-a", 1, 4, "")])
        body = {"group_id": group, "topics": committed([("ed-a", 0, 5, "a")], v)}
        body["topics"][0]["partitions"] *= 2
        body["topics"][0]["partitions"].append({"partition_index": -1, "committed_offset": 7, "committed_metadata": None})
        o.ask("OffsetCommit", v, body)
        fetch(o, v, group, [("ed-a", [0, 0, 1]), ("ed-a", [0]), ("ed-b", []), ("ed-a", [-1])])
        fetch(o, v, group, [])
        fetch(o, v, group, None)
    for v in (8, 9):
        o.ask("OffsetFetch", v, {"groups": []})
        o.ask("OffsetFetch", v, {"groups": [{"group_id": "twice8", "topics": None}, {"group_id": "twice8", "topics": []},
                                            {"group_id": "", "topics": None}]})
        o.ask("OffsetFetch", v, {"groups": [{"group_id": "twice8", "topics": None, "member_id": "who", "member_epoch": 3}]})
    one = {"partition_index": 0}
    o.ask("OffsetDelete", 0, {"group_id": "twice3", "topics": [{"name": "ed-a", "partitions": [one, one]},
                                                               {"name": "ed-b", "partitions": [one]},
                                                               {"name": "none", "partitions": [one, one]}]})
    o.ask("OffsetDelete", 0, {"group_id": "twice4", "topics": []})
    o.ask("OffsetDelete", 0, {"group_id": "twice4", "topics": [{"name": "ed-a", "partitions": []}]})
    fetch(o, 7, "twice3", None)
    for v in range(0, 3):
        o.ask("DeleteGroups", v, {"groups_names": ["twice5", "twice5", "twice6"] if not v else ["no", "no"]})
        o.ask("DeleteGroups", v, {"groups_names": []})
    o.ask("DescribeGroups", 5, {"groups": ["twice7", "twice7", ""]})
    for v in (4, 5):
        o.ask("ListGroups", v, {"states_filter": ["empty", "Nonsense"]})
        o.ask("ListGroups", v, {"states_filter": ["PREPARINGREBALANCE"]})
    o.ask("ListGroups", 5, {"types_filter": ["CLASSIC"]})
    o.ask("ListGroups", 5, {"types_filter": ["consumer", "unknown"]})


def bounds(o):
    create(o, topic("ed-m"))
    for v in (2, 7, 9):
        for text in ("m" * 4096, "m" * 4097, "\u00e9" * 4096, "\u00e9" * 4097, "\U0001f600" * 2048, "\U0001f600" * 2049, None):
            commit(o, v, f"texts{v}", [("ed-m", 0, 1, text)])
        for offset in (-1, 0, 2**63 - 1, -2**63):
            commit(o, v, f"texts{v}", [("ed-m", 0, offset, "")])
            fetch(o, v, f"texts{v}", [("ed-m", [0])])
    for kept in (0, -1, -2, 10**12):
        o.ask("OffsetCommit", 2, {"group_id": "kept", "retention_time_ms": kept, "generation_id_or_member_epoch": -1, "member_id": "",
                                  "topics": committed([("ed-m", 0, 1, "")], 2)})
    for v in (3, 5, 9):
        for session in (5999, 6000, 1800000, 1800001, 0, -1):
            join(o, v, f"bounds{v}-{session}", session=session)
        for instance in ("", "i" * 300) if v >= 5 else ():
            join(o, v, f"instances{v}-{len(instance)}", instance=instance)
        join(o, v, f"names{v}", protocols=("a", "a", "b"))
        join(o, v, f"kinds{v}", kind="", protocols=("a",))
        join(o, v, f"kinds{v}", kind="x", protocols=())
        join(o, v, f"kinds{v}", "", kind="", protocols=())
    for wait in (0, -1, 2**31 - 1):
        for v in (1, 5):
            o.ask("JoinGroup", v, {"group_id": f"waits{wait}", "session_timeout_ms": 6000, "rebalance_timeout_ms": wait,
                                   "member_id": "", "protocol_type": "consumer", "protocols": [{"name": "p", "metadata": b"x"}]})


def stable(o, group, v=3, **how):
    """A group of one member with its assignment."""
    join(o, v, group, **how)
    if v >= 4 and "instance" not in how:
        join(o, v, group, MEMBER)
    sync(o, 3, group, NOW)


def committing(o):
    create(o, topic("ed-c", 2))
    for v in (2, 5, 7, 9):
        group = f"commits{v}"
        join(o, 3, group)
        commit(o, v, group, [("ed-c", 0, 1, "")], NOW, MEMBER)  # it has joined, and not synced
        commit(o, v, group, [("ed-c", 0, 1, "")])
        fetch(o, v, group, None)
        sync(o, 3, group, NOW)
        one = [("ed-c", 0, 5, "")]
        for generation, member, instance in ((NOW, MEMBER, None), (-1, MEMBER, None), (-1, "", None), (0, MEMBER, None), (-2, MEMBER, None),
                                             (NOW, "", None), (NOW, MEMBER, "none"), (-1, "", "none"), (2**31 - 1, MEMBER, None)):
            if instance is None or v >= 7:
                commit(o, v, group, one, generation, member, instance)
        commit(o, v, group, [("none", 0, 5, "")], 99, "nobody")
        o.ask("LeaveGroup", 2, {"group_id": group, "member_id": MEMBER})
        commit(o, v, group, one, NOW, MEMBER)
        commit(o, v, group, one, -1, MEMBER)
        commit(o, v, group, one, -1, "")
        o.ask("DescribeGroups", 3, {"groups": [group]})


def leaving(o):
    for v in (3, 4, 5):
        group = f"leaves{v}"
        stable(o, group, 5, instance="one")
        o.ask("LeaveGroup", v, {"group_id": group, "members": []})
        o.ask("LeaveGroup", v, {"group_id": group, "members": [{"member_id": "no"}, {"member_id": "", "group_instance_id": None},
                                                               {"member_id": "no", "group_instance_id": "one"},
                                                               {"member_id": MEMBER, "group_instance_id": "two"}]})
        o.ask("DescribeGroups", 4, {"groups": [group]})
        o.ask("LeaveGroup", v, {"group_id": group, "members": [{"member_id": MEMBER, "group_instance_id": None},
                                                               {"member_id": MEMBER, "group_instance_id": "one"},
                                                               {"member_id": "", "group_instance_id": "one"}]})
        o.ask("DescribeGroups", 4, {"groups": [group]})
        o.ask("LeaveGroup", v, {"group_id": "", "members": [{"member_id": "x"}]})
        o.ask("LeaveGroup", v, {"group_id": group, "members": [{"member_id": "x"}, {"member_id": "x"}]})
        join(o, 4, f"pending{v}")  # an id and nothing more
        o.ask("DescribeGroups", 4, {"groups": [f"pending{v}"]})
        o.ask("Heartbeat", 3, {"group_id": f"pending{v}", "generation_id": 0, "member_id": MEMBER})
        commit(o, 5, f"pending{v}", [("ed-a", 0, 5, "")], 0, MEMBER)
        sync(o, 3, f"pending{v}", 0)
        o.ask("DeleteGroups", 2, {"groups_names": [f"pending{v}"]})
        o.ask("LeaveGroup", v, {"group_id": f"pending{v}", "members": [{"member_id": MEMBER}]})
        o.ask("LeaveGroup", v, {"group_id": f"pending{v}", "members": [{"member_id": MEMBER}]})
        join(o, 4, f"pending{v}", MEMBER)


def joined(group, member, instance=None, kind="consumer", protocols=("range",), metadata=b"sub", rebalance=30000):
    return {"group_id": group, "session_timeout_ms": 30000, "rebalance_timeout_ms": rebalance, "member_id": member, "group_instance_id": instance,
            "protocol_type": kind, "protocols": [{"name": p, "metadata": metadata} for p in protocols]}


def until(o, group, state):
    """What came on other connections has been seen."""
    for side in o.sides:
        for _ in range(100):
            answer = side.ask("DescribeGroups", 4, {"groups": [group]})
            if answer.get("recording") or answer["groups"][0]["group_state"] == state:
                break
            time.sleep(0.02)


def two(o):
    """A second member joins while the first has its assignment, the first comes back, leaves, or neither syncs."""
    for v in (5, 6, 9):
        group = f"two{v}"
        stable(o, group, v)
        first = keep(o, "first")
        second = keep(o, "second", o.ask("JoinGroup", v, joined(group, "")))
        beats = lambda who: o.ask("Heartbeat", 3, {"group_id": group, "generation_id": NOW, "member_id": who})

        def meanwhile():
            until(o, group, "PreparingRebalance")
            for who in (first, second):
                beats(who)
            sync(o, 3, group, NOW, first)
            commit(o, 7, group, [("ed-a", 0, 9, "")], NOW, first)
            o.ask("DescribeGroups", 4, {"groups": [group]})
            join(o, v, group, "", kind="connect")
            join(o, v, group, "", protocols=("other",))
            join(o, v, group, first, protocols=("other",))
            o.ask("LeaveGroup", 3, {"group_id": group, "members": [{"member_id": "nobody"}]})
            remember_generation(o, o.ask("JoinGroup", v, joined(group, first)))
        o.while_waiting("JoinGroup", v, joined(group, second), meanwhile)
        o.ask("DescribeGroups", 4, {"groups": [group]})
        for who in (first, second):
            beats(who)
        commit(o, 7, group, [("ed-a", 0, 9, "")], NOW, first)
        # the follower's sync waits for the leader's, who names somebody unknown and nobody else
        o.while_waiting("SyncGroup", 3, {"group_id": group, "generation_id": NOW, "member_id": second, "assignments": []}, lambda: o.ask(
            "SyncGroup", 3, {"group_id": group, "generation_id": NOW, "member_id": first,
                             "assignments": [{"member_id": "stranger", "assignment": b"x"}, {"member_id": second, "assignment": b"y"}]}))
        o.ask("DescribeGroups", 4, {"groups": [group]})
        # a follower that joins again unchanged changes nothing; the leader does
        o.ask("JoinGroup", v, joined(group, second))
        o.while_waiting("JoinGroup", v, joined(group, first), lambda: o.ask(
            "LeaveGroup", 3, {"group_id": group, "members": [{"member_id": second}]}))
        o.ask("DescribeGroups", 4, {"groups": [group]})


def remember_generation(o, answers):
    for side, a in zip(o.sides, answers):
        if a.get("generation_id", -1) > 0:
            side.memory["generation"] = a["generation_id"]


def replaced(o):
    """Static members that come back while they wait for a join or a sync, and with other protocols."""
    for v in (5, 7, 9):
        group = f"replaced{v}"
        stable(o, group, v, instance="one")
        first = keep(o, "first")

        def again():
            keep(o, "second", o.ask("JoinGroup", v, joined(group, "", "one", metadata=b"other")))
        # its former self waits in the join
        o.ask("JoinGroup", v, joined(group, "", "two", protocols=("none",)))
        answers = o.while_waiting("JoinGroup", v, joined(group, "", "two"), lambda: (
            until(o, group, "PreparingRebalance"), o.ask("JoinGroup", v, joined(group, "wrong", "one")), o.ask("JoinGroup", v, joined(group, first, "two")),
            remember_generation(o, o.ask("JoinGroup", v, joined(group, first, "one")))))
        follower = keep(o, "follower", answers)
        # the follower waits in its sync, and is replaced there
        o.while_waiting("SyncGroup", 3, {"group_id": group, "generation_id": NOW, "member_id": follower, "group_instance_id": "two",
                                         "assignments": []}, lambda: o.while_waiting("JoinGroup", v, joined(group, "", "two"), lambda: (
                                             until(o, group, "PreparingRebalance"),
                                             o.ask("Heartbeat", 3, {"group_id": group, "generation_id": NOW, "member_id": first, "group_instance_id": "one"}),
                                             o.ask("JoinGroup", v, joined(group, first, "one")))))
        o.ask("DescribeGroups", 4, {"groups": [group]})
        o.while_waiting("JoinGroup", v, joined(group, "", "one", metadata=b"other"), lambda: o.ask(
            "LeaveGroup", 3, {"group_id": group, "members": [{"member_id": "", "group_instance_id": "two"}]}))
        o.ask("Heartbeat", 3, {"group_id": group, "generation_id": NOW, "member_id": first, "group_instance_id": "one"})
        o.ask("DescribeGroups", 4, {"groups": [group]})


def anew(o):
    """Offsets go with their topic: one of the same name starts without."""
    for v in (5, 9, 10):
        name, group = f"ed-anew{v}", f"anew{v}"
        create(o, topic(name, 2))
        commit(o, min(v, 9), group, [(name, 0, 7, "old"), (name, 1, 8, "old")])
        fetch(o, v, group, [(name, [0, 1])])
        o.ask("DeleteTopics", 4, {"topic_names": [name], "timeout_ms": 5000})
        fetch(o, 7, group, [(name, [0, 1])])
        fetch(o, 7, group, None)
        o.ask("OffsetDelete", 0, {"group_id": group, "topics": [{"name": name, "partitions": [{"partition_index": 0}]}]})
        create(o, topic(name, 1))
        fetch(o, v, group, [(name, [0, 1])])
        commit(o, v, group, [(name, 0, 1, "new")])
        commit(o, v, group, [(name, 1, 2, "none")])
        fetch(o, v, group, [(name, [0, 1])])
        o.ask("DescribeGroups", 3, {"groups": [group]})
        o.ask("ListGroups", 3, {})


def subscribed(o):
    """Offsets of a topic that a live consumer reads are not deleted."""
    create(o, topic("ed-s"), topic("ed-t"))
    subscription = b"\0\1\0\0\0\1\0\4ed-s\xff\xff\xff\xff\0\0\0\0"
    for kind in ("consumer", "connect"):
        group = f"reads-{kind}"
        remember_generation(o, (a := o.ask("JoinGroup", 3, joined(group, "", kind=kind, metadata=subscription))))
        me = keep(o, "me", a)
        for after in (False, True):
            if after:
                sync(o, 3, group, NOW, me)
            for v, name in ((5, "ed-s"), (5, "ed-t")):
                commit(o, v, group, [(name, 0, 5, "")], NOW, me)
                o.ask("OffsetDelete", 0, {"group_id": group, "topics": [{"name": name, "partitions": [{"partition_index": 0}]}]})
        o.ask("DeleteGroups", 2, {"groups_names": [group]})
        fetch(o, 5, group, None)


SCENES = [coordinated, repeated, bounds, committing, leaving, two, replaced, anew, subscribed]
