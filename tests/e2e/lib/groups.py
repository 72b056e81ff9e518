"""groups.py: members of classic groups that share connections: requests of one version each, written and read by hand.
Many requests may be under way on a connection; answers come in their order. Standard library alone."""
import socket
import struct

JOIN, HEARTBEAT, LEAVE, SYNC, COMMIT, FETCH = 11, 12, 13, 14, 8, 9
VERSION = {JOIN: 5, HEARTBEAT: 3, LEAVE: 3, SYNC: 3, COMMIT: 5, FETCH: 5}
NONE, LOADING, NOT_AVAILABLE, NOT_COORDINATOR, ILLEGAL_GENERATION, UNKNOWN_MEMBER, REBALANCING, ID_REQUIRED = (
    0, 14, 15, 16, 22, 25, 27, 79)


def text(s):
    if s is None:
        return b"\xff\xff"
    raw = s.encode()
    return struct.pack(">h", len(raw)) + raw


def data(b):
    return struct.pack(">i", len(b)) + b


class Answer:
    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def number(self, form):
        value = struct.unpack_from(">" + form, self.raw, self.at)[0]
        self.at += struct.calcsize(">" + form)
        return value

    def text(self):
        n = self.number("h")
        self.at += max(n, 0)
        return None if n < 0 else self.raw[self.at - n:self.at].decode()

    def data(self):
        n = self.number("i")
        self.at += max(n, 0)
        return self.raw[self.at - max(n, 0):self.at]


class Connection:
    def __init__(self, broker, seconds=60):
        self.socket = socket.create_connection(("127.0.0.1", broker.port), seconds)
        self.socket.settimeout(seconds)
        self.out, self.buffer, self.number = [], b"", 0

    def put(self, key, body):
        """Queues a request; flush sends what is queued."""
        self.number += 1
        head = struct.pack(">hhi", key, VERSION[key], self.number) + text("e2e")
        self.out.append(struct.pack(">i", len(head) + len(body)) + head + body)

    def flush(self):
        self.socket.sendall(b"".join(self.out))
        self.out = []

    def get(self):
        """The next answer, behind its correlation id."""
        while len(self.buffer) < 4 or len(self.buffer) < 4 + struct.unpack_from(">i", self.buffer)[0]:
            piece = self.socket.recv(1 << 16)
            if not piece:
                raise ConnectionError("the broker closed the connection")
            self.buffer += piece
        end = 4 + struct.unpack_from(">i", self.buffer)[0]
        raw, self.buffer = self.buffer[8:end], self.buffer[end:]
        return Answer(raw)

    def close(self):
        self.socket.close()


class Member:
    def __init__(self, group, connection, session_ms=30000, rebalance_ms=60000, instance=None):
        self.group, self.connection, self.instance = group, connection, instance
        self.session_ms, self.rebalance_ms = session_ms, rebalance_ms
        self.id, self.generation, self.leader, self.members, self.assignment = "", -1, "", [], b""

    # each step: queue the request, later take the answer

    def put_join(self):
        self.connection.put(JOIN, text(self.group) + struct.pack(">ii", self.session_ms, self.rebalance_ms) +
                            text(self.id) + text(self.instance) + text("e2e") + struct.pack(">i", 1) + text("range") +
                            data(b"s"))

    def get_join(self):
        a = self.connection.get()
        a.number("i")
        code = a.number("h")
        generation, _, leader, member = a.number("i"), a.text(), a.text(), a.text()
        if code == ID_REQUIRED:
            self.id = member
        if code == NONE:
            self.id, self.generation, self.leader = member, generation, leader
            self.members = [(a.text(), a.text(), a.data())[0] for _ in range(a.number("i"))]
        return code

    def put_sync(self, assignment=lambda member, number: member.encode()):
        v = [text(m) + data(assignment(m, n)) for n, m in enumerate(self.members)]
        self.connection.put(SYNC, text(self.group) + struct.pack(">i", self.generation) + text(self.id) +
                            text(self.instance) + struct.pack(">i", len(v)) + b"".join(v))

    def get_sync(self):
        a = self.connection.get()
        a.number("i")
        code = a.number("h")
        if code == NONE:
            self.assignment = a.data()
        return code

    def put_beat(self):
        self.connection.put(HEARTBEAT, text(self.group) + struct.pack(">i", self.generation) + text(self.id) +
                            text(self.instance))

    def get_beat(self):
        a = self.connection.get()
        a.number("i")
        return a.number("h")


def ask(broker, key, body):
    """One request on a connection of its own; the answer behind its throttle time."""
    c = Connection(broker)
    c.put(key, body)
    c.flush()
    answer = c.get()
    c.close()
    answer.number("i")
    return answer


def flush(members):
    for c in {m.connection for m in members}:
        c.flush()


def all_of(members, step):
    """Every member's put_STEP, then every member's get_STEP: the codes in the order of members."""
    for m in members:
        getattr(m, "put_" + step)()
    flush(members)
    return [getattr(m, "get_" + step)() for m in members]
