"""scenes_groups.py: classic groups of one member, and committed offsets, in every version, rightly and wrongly."""
from oracle import Each, Id
from scenes_topics import create, topic


def finding(o):
    for v in range(0, 7):
        for key in ("group-a", "", "x" * 300):
            for kind in ((0, 1, 9) if v and key else (0, 9) if v else (0,)):
                body = {"key": key} if v < 4 else {"coordinator_keys": [key]}
                o.ask("FindCoordinator", v, {**body, **({"key_type": kind} if v else {})})
        if v >= 4:
            o.ask("FindCoordinator", v, {"coordinator_keys": [], "key_type": 0})
            o.ask("FindCoordinator", v, {"coordinator_keys": ["a", "b", "a"], "key_type": 0})


def committed(topics, v):
    """Topics of an OffsetCommit, [(name, partition, offset, metadata)]; by id from version 10 on."""
    out = []
    for name, index, offset, metadata in topics:
        one = {"partitions": [{"partition_index": index, "committed_offset": offset, "committed_metadata": metadata}]}
        one.update({"topic_id": Id(name)} if v >= 10 else {"name": name})
        out.append(one)
    return out


def commit(o, v, group, topics, generation=-1, member="", instance=None):
    body = {"group_id": group, "generation_id_or_member_epoch": generation, "member_id": member, "topics": committed(topics, v)}
    if v >= 7:
        body["group_instance_id"] = instance
    o.ask("OffsetCommit", v, body)


def fetch(o, v, group, topics):
    """topics None: all; [(name, [index])]"""
    def names(key):
        return None if topics is None else [
            {**({"topic_id": Id(n)} if v >= 10 else {"name": n}), "partition_indexes": p} for n, p in topics]
    if v < 8:
        o.ask("OffsetFetch", v, {"group_id": group, "topics": names("topics")})
    else:
        o.ask("OffsetFetch", v, {"groups": [{"group_id": group, "topics": names("topics")}]})


def offsets(o):
    create(o, topic("gr-a", 2), topic("gr-b"))
    for v in range(1, 11):
        fetch(o, v, f"fresh{v}", [("gr-a", [0, 1])])
        fetch(o, v, f"fresh{v}", [("nothing", [0])])
        if v >= 2:
            fetch(o, v, f"fresh{v}", None)
    for v in range(2, 11):
        group = f"simple{v}"
        commit(o, v, group, [("gr-a", 0, 10 + v, "meta")])
        commit(o, v, group, [("gr-a", 1, 20 + v, "")])
        commit(o, v, group, [("gr-a", 9, 1, "")])
        commit(o, v, group, [("nothing", 0, 1, "")])
        commit(o, v, group, [("gr-b", 0, -5, "")])
        commit(o, v, group, [("gr-b", 0, 5, "m" * 5000)])
        commit(o, v, group, [("gr-b", 0, 5, None)])
        commit(o, v, group, [("gr-b", 0, 6, "")], 3, "someone")
        commit(o, v, group, [("gr-b", 0, 6, "")], -1, "someone")
        commit(o, v, "", [("gr-b", 0, 6, "")])
        commit(o, v, group, [])
        fetch(o, max(v, 1), group, [("gr-a", [0, 1]), ("gr-b", [0, 3])])
        fetch(o, v, group, None)
    for v in (8, 9):
        o.ask("OffsetFetch", v, {"groups": [{"group_id": "simple8", "topics": None}, {"group_id": "simple9", "topics": None},
                                            {"group_id": "never", "topics": None}]})
    for group, name, index in (("simple2", "gr-a", 0), ("simple2", "gr-a", 0), ("simple2", "gr-a", 9), ("simple2", "nothing", 0),
                               ("never", "gr-a", 0), ("", "gr-a", 0)):
        o.ask("OffsetDelete", 0, {"group_id": group, "topics": [{"name": name, "partitions": [{"partition_index": index}]}]})
    fetch(o, 7, "simple2", None)


def remember(o, answers, **fields):
    for side, a in zip(o.sides, answers):
        for key, name in fields.items():
            if a.get(name) not in (None, ""):
                side.memory[key] = a[name]


MEMBER = Each(lambda s: s.memory.get("member", "nobody"))


def join(o, v, group, member="", kind="consumer", protocols=("range",), session=30000, instance=None):
    body = {"group_id": group, "session_timeout_ms": session, "member_id": member, "protocol_type": kind,
            "protocols": [{"name": p, "metadata": b"sub"} for p in protocols]}
    if v >= 1:
        body["rebalance_timeout_ms"] = 30000
    if v >= 5:
        body["group_instance_id"] = instance
    answers = o.ask("JoinGroup", v, body)
    remember(o, answers, member="member_id", generation="generation_id")
    return answers


def sync(o, v, group, generation, member=MEMBER, assignment=b"plan", **more):
    body = {"group_id": group, "generation_id": generation, "member_id": member,
            "assignments": [{"member_id": member, "assignment": assignment}] if assignment is not None else []}
    o.ask("SyncGroup", v, {**body, **more})


def members(o):
    for v in range(0, 10):
        group = f"joined{v}"
        join(o, v, "")
        join(o, v, group, session=1)
        join(o, v, group, session=10**8)
        join(o, v, group, "unknown")
        join(o, v, group, kind="")
        join(o, v, group, protocols=())
        join(o, v, group)
        if v >= 4:
            join(o, v, group, MEMBER)
        now = Each(lambda s: s.memory.get("generation", 1))
        s = min(v, 5)
        o.ask("DescribeGroups", min(v, 6), {"groups": [group, "never", ""]})
        o.ask("Heartbeat", min(v, 4), {"group_id": group, "generation_id": now, "member_id": MEMBER})
        sync(o, s, group, 77)
        sync(o, s, group, now, "unknown")
        sync(o, s, "never", now)
        if s >= 5:
            sync(o, s, group, now, protocol_type="other", protocol_name="range")
            sync(o, s, group, now, protocol_type="consumer", protocol_name="other")
        sync(o, s, group, now)
        sync(o, s, group, now, assignment=None)
        for generation, member in ((now, MEMBER), (77, MEMBER), (now, "unknown")):
            o.ask("Heartbeat", min(v, 4), {"group_id": group, "generation_id": generation, "member_id": member})
            commit(o, max(v, 2), group, [("gr-a", 0, 5, "")], generation, member)
        commit(o, max(v, 2), group, [("gr-a", 0, 5, "")])
        o.ask("DescribeGroups", min(v, 6), {"groups": [group]})
        o.ask("ListGroups", min(v, 5), {})
        if v >= 4:
            o.ask("ListGroups", 4, {"states_filter": ["Stable"]})
            o.ask("ListGroups", 5, {"states_filter": ["Empty"], "types_filter": ["classic"]})
            o.ask("ListGroups", 5, {"types_filter": ["nonsense"]})
        join(o, v, group, "", kind="connect")
        join(o, v, group, "", protocols=("other",))
        o.ask("OffsetDelete", 0, {"group_id": group, "topics": [{"name": "gr-a", "partitions": [{"partition_index": 0}]}]})
        o.ask("DeleteGroups", min(v, 2), {"groups_names": [group, "never", ""]})
        leave(o, min(v, 5), group, "unknown")
        leave(o, min(v, 5), "never", MEMBER)
        leave(o, min(v, 5), group, MEMBER)
        leave(o, min(v, 5), group, MEMBER)
        o.ask("DescribeGroups", min(v, 6), {"groups": [group]})
        fetch(o, max(v, 1), group, [("gr-a", [0])])
        o.ask("DeleteGroups", min(v, 2), {"groups_names": [group]})
        o.ask("DescribeGroups", min(v, 6), {"groups": [group]})


def leave(o, v, group, member):
    body = {"member_id": member} if v < 3 else {"members": [{"member_id": member}]}
    o.ask("LeaveGroup", v, {"group_id": group, **body})


def static(o):
    """A member with an instance id: replaced, fenced, removed by the instance."""
    for v in (5, 7, 9):
        group = f"static{v}"
        join(o, v, group, instance="one")
        now = Each(lambda s: s.memory.get("generation", 1))
        sync(o, 3, group, now, group_instance_id="one")
        for side in o.sides:
            side.memory["old"] = side.memory.get("member", "nobody")
        join(o, v, group, instance="one")
        old = Each(lambda s: s.memory["old"])
        o.ask("Heartbeat", 3, {"group_id": group, "generation_id": now, "member_id": old, "group_instance_id": "one"})
        o.ask("Heartbeat", 3, {"group_id": group, "generation_id": now, "member_id": MEMBER, "group_instance_id": "one"})
        o.ask("Heartbeat", 3, {"group_id": group, "generation_id": now, "member_id": MEMBER, "group_instance_id": "two"})
        sync(o, 3, group, now, old, group_instance_id="one")
        commit(o, 7, group, [("gr-a", 0, 5, "")], now, old, "one")
        commit(o, 7, group, [("gr-a", 0, 5, "")], now, MEMBER, "one")
        o.ask("DescribeGroups", 4, {"groups": [group]})
        o.ask("LeaveGroup", 3, {"group_id": group, "members": [{"member_id": old, "group_instance_id": "one"}]})
        o.ask("LeaveGroup", 3, {"group_id": group, "members": [{"member_id": "", "group_instance_id": "two"}]})
        o.ask("LeaveGroup", 3, {"group_id": group, "members": [{"member_id": "", "group_instance_id": "one"}]})
        o.ask("DescribeGroups", 4, {"groups": [group]})


SCENES = [finding, offsets, members, static]
