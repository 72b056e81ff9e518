#!/usr/bin/env python3
"""test_quorum.py: three brokers as a quorum of metadata: every order of their starts, what a lone one says, who leads
when the leader is killed or stopped, and a group that grows and shrinks. CHRONIK_TEST_FULL: all six orders with gaps of
up to twenty seconds; how long things took is printed, never asserted."""
import contextlib
import itertools
import os
import random
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import FULL, LONG, SHORT, Tests, check, consume, kcat, metadata, produce, wait_for  # noqa: E402
from quorum import Quorum, create, ctl, promoted, timed, topics  # noqa: E402

tests = Tests()


def listens(b):
    """Starts it and waits until a client can connect; how long that took is printed to the millisecond."""
    since = time.monotonic()
    b.launch()

    def connects():
        with contextlib.suppress(OSError):
            socket.create_connection((b.host, b.settings_port()), 1).close()
            return True
        return b.process.poll() is not None
    while not connects():
        check(time.monotonic() - since < 60, "the broker does not listen")
        time.sleep(0.001)
    timed(f"node {b.settings['node.id']} listens after", since)
    wait_for("the broker to say where it listens", b._listening)
    return since


def gap():
    time.sleep(random.uniform(0, 20) if FULL else random.choice([0, 0.2, 0.6]))


def serves(q, since, what, *which):
    """Until the quorum has answered a command, and all that are up are ready."""
    topic = f"t-{time.monotonic_ns()}"
    wait_for("a command to be answered", lambda: create(q.nodes[which[0] if which else 0], topic))
    timed(f"{what}: a command was answered after", since)
    q.ready(*which)
    timed(f"{what}: all that are up are ready after", since)


def lone(q, i):
    """It says in /readyz and in its log whom it misses."""
    others = [f"{k + 1}@{q.member(k)}" for k in range(3) if k != i]
    b = q.nodes[i]
    wait_for("readyz to name the missing", lambda: all(o in b.admin("/readyz")[1] for o in others))
    check(b.admin("/readyz")[0] == 503, "a lone node of three says that it is ready")
    check(b.admin("/livez")[0] == 200, "a node without a quorum is not dead")
    wait_for("the log to name the missing", lambda: all(f"{o} (refused)" in b.log() for o in others))


@tests.test
def s1_in_any_order_three_form_one_quorum_and_two_of_a_formed_one_serve(work):
    orders = list(itertools.permutations(range(3)))
    for n, order in enumerate(orders if LONG or FULL else random.sample(orders, 1 if SHORT else 2)):
        home = os.path.join(work, str(n))
        os.mkdir(home)
        q = Quorum(tests, home)
        names = "".join(str(i + 1) for i in order)
        for i in order:
            since = listens(q.nodes[i])
            if i != order[2]:
                gap()
        serves(q, since, f"order {names}, first formation")
        check(q.equal() > 0, "nothing was agreed on")
        for b in q.nodes:
            b.stop()
        listens(q.nodes[order[0]])
        lone(q, order[0])
        gap()
        since = listens(q.nodes[order[1]])
        serves(q, since, f"order {names}, a formed quorum's second", *order[:2])
        gap()
        listens(q.nodes[order[2]])
        q.ready()
        q.equal()
        for b in q.nodes:
            b.stop()


@tests.test
def s1_a_lone_voter_listens_and_names_whom_it_misses(work):
    q = Quorum(tests, work)
    b = q.nodes[1].start()
    code, text = wait_for("readyz to name the missing", lambda: next(
        (r for r in [b.admin("/readyz")] if f"1@{q.member(0)}" in r[1]), None))
    check(code == 503 and f"3@{q.member(2)}" in text, f"readyz says {code}: {text}")
    wait_for("the log to name the missing", lambda: f"1@{q.member(0)} (refused)" in b.log())
    check(b.admin("/livez")[0] == 200, "a node without a quorum is not dead")
    metadata(b)
    q.start(0, 2).ready()


@tests.test
def s1_a_formed_quorum_needs_two_and_a_single_one_answers_from_what_it_knows(work):
    q = Quorum(tests, work).start().ready()
    check(create(q.nodes[0], "kept"), "a topic could not be created")
    q.equal()
    for b in q.nodes:
        b.stop()
    q.start(2)
    wait_for("the lone node to answer", lambda: "kept" in topics(q.nodes[2]))
    check(q.nodes[2].admin("/readyz")[0] == 503, "a lone node of three says that it is ready")
    q.start(0).ready(0, 2)
    check(create(q.nodes[2], "two"), "two of three do not serve")
    q.start(1).ready()
    q.equal()


@tests.test
def s1_who_was_ready_and_loses_the_quorum_serves_on_and_says_what_it_lacks(work):
    q = Quorum(tests, work).start().ready()
    b = q.nodes[q.leader()]
    kcat(b, "-L", "-t", "kept")  # makes the topic
    home = next(p["leader"] for t in metadata(b)["topics"] if t["topic"] == "kept" for p in t["partitions"]) - 1
    rest = [i for i in range(3) if i != home]
    for i in rest:
        q.nodes[i].kill()
    b = q.nodes[home]
    status, text = wait_for("readyz to name the missing", lambda: next(
        (r for r in [b.admin("/readyz")] if all(f"{i + 1}@{q.member(i)}" in r[1] for i in rest)), None))
    check(status == 200 and "DEGRADED" in text, f"readyz says {status}: {text}")
    check(b.admin("/livez")[0] == 200, "a node without a quorum is not dead")
    check("chronik_meta_current_leader -1" in b.admin("/metrics")[1], "the metrics tell of a leader")
    produce(b, "kept", [b"one", b"two"])
    check(consume(b, "kept") == [b"one", b"two"], "what was acknowledged without a quorum is not there")
    q.start(rest[0])
    wait_for("the quorum to be back", lambda: "DEGRADED" not in b.admin("/readyz")[1])
    check(create(b, "after"), "two of three do not serve")


@tests.test
def a_killed_leader_is_replaced_at_once(work):
    q = Quorum(tests, work, settings={"controller.quorum.election.timeout.ms": "20000"}).start().ready()
    for _ in range(3):
        old = q.leader()
        rest = [i for i in range(3) if i != old]
        q.nodes[old].kill()
        q.leader(*rest)  # within the bound of a wait, far below the election timeout: by evidence
        check(create(q.nodes[rest[0]], f"after-{time.monotonic_ns()}"), "the new leader does not serve")
        q.nodes[old].start()
        q.ready()
        q.equal()


@tests.test
def a_leader_that_is_told_to_stop_hands_over(work):
    q = Quorum(tests, work, settings={"controller.quorum.election.timeout.ms": "20000"}).start().ready()
    old = q.leader()
    q.nodes[old].stop()
    rest = [i for i in range(3) if i != old]
    q.leader(*rest)
    check(not any("is gone" in q.nodes[i].log() for i in rest), "leadership was found lost, not handed over")
    # a new leader's first entry is no command: it counts as applied all the same
    wait_for("the counters to be equal", lambda: all(m["applied"] == m["committed"] for m in map(q.meta, rest)))


@tests.test
def a_single_voter_grows_to_three_and_shrinks_by_itself_and_by_hand(work):
    q = Quorum(tests, work)
    first = q.nodes[0]
    first.settings["controller.quorum.voters"] = f"1@{q.member(0)}"
    q.start(0).ready(0)
    check(create(first, "before"), "a topic could not be created")
    for i in (1, 2):
        b = q.nodes[i]
        del b.settings["controller.quorum.voters"]
        home = f"CONTROLLER://{q.member(i)}"
        b.settings.update({"controller.quorum.bootstrap.servers": q.member(0),
                           "controller.listener.names": "CONTROLLER",
                           "controller.quorum.auto.join.enable": "true" if i == 1 else "false",
                           "listeners": f"{b.settings['listeners']},{home}"})
        b.launch()
        wait_for("the broker to listen", b._listening)
    ready = lambda i: q.nodes[i].admin("/readyz")[0] == 200  # noqa: E731
    wait_for("node 2 to join by itself", lambda: ready(1))
    wait_for("node 3 to be seen waiting", lambda: "waiting" in ctl(first, "meta", "members"))
    ctl(first, "meta", "add", "3", q.member(2))
    check("waiting" not in ctl(first, "meta", "members"), "a member is told of as waiting")
    promoted(q, 3, 0, 1)
    wait_for("node 3 to be ready", lambda: ready(2))
    q.equal()
    check(all("before" in topics(b) for b in q.nodes), "a topic is missing on a new node")
    leader = q.leader()
    gone = (leader + 1) % 3
    ctl(q.nodes[leader], "meta", "remove", str(gone + 1))
    rest = sorted({0, 1, 2} - {gone})
    check(create(q.nodes[rest[0]], "after"), "two do not serve")
    q.equal(*rest)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    tests.main()
