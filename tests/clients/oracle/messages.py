"""messages.py: Kafka's messages as Python dictionaries, encoded and decoded by the broker's own definitions
(core/wire/messages, parsed by core/wire/gen.py, which tests/clients/wire-oracle proves byte for byte). Fields that a
request leaves out have their defaults. Only for tests: it favours plainness over speed."""
import glob
import os
import struct
import sys
import uuid

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(TOP, "core/wire"))
import gen  # noqa: E402

FIXED = {"bool": ">?", "int8": ">b", "int16": ">h", "uint16": ">H", "int32": ">i", "int64": ">q", "float64": ">d"}


def load():
    apis, datas, _ = gen.parse(sorted(glob.glob(os.path.join(TOP, "core/wire/messages/*.msg"))))
    return {a.name: a for a in apis}, {d.name: d for d in datas}


APIS, DATAS = load()


class Raw(bytes):
    """Bytes that stand for a whole body: malformed on purpose."""


class Malformed(Exception):
    """An answer that does not decode."""


def uvarint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def has(f, version):
    return f.versions[0] <= version <= f.versions[1]


def nullable(f, version):
    return f.nullable is not None and f.nullable[0] <= version <= f.nullable[1]


def default(f):
    if f.array:
        return None if f.default == "null" else []
    if f.sub:
        return None if f.nullable else {}
    if f.default == "null":
        return None
    if f.type == "string":
        return f.default or ""
    if f.type in ("bytes", "records"):
        return b"" if f.type == "bytes" else None
    if f.type == "uuid":
        return uuid.UUID(int=0)
    if f.type == "bool":
        return f.default == "true"
    if f.type == "float64":
        return float(f.default or 0)
    return int(f.default or "0", 0)


# ---- encoding ----

def put_length(n, compact, wide):
    """n None: null."""
    if compact:
        return uvarint(0 if n is None else n + 1)
    return struct.pack(">i" if wide else ">h", -1 if n is None else n)


def put_one(m, f, version, value):
    compact = m.compact(version) and not f.plain
    if f.sub:
        if f.nullable and not f.array and nullable(f, version):
            if value is None:
                return b"\xff"
            return b"\x01" + put_struct(m, f.sub, version, value)
        return put_struct(m, f.sub, version, value)
    if f.type in FIXED:
        return struct.pack(FIXED[f.type], value)
    if f.type == "uuid":
        return value.bytes
    if value is not None and f.type == "string":
        value = value.encode() if isinstance(value, str) else value
    if value is None and f.type == "string" and not nullable(f, version):
        value = b""
    return put_length(None if value is None else len(value), compact, f.type != "string") + (value or b"")


def put_field(m, f, version, value):
    if not f.array:
        return put_one(m, f, version, value)
    compact = m.compact(version) and not f.plain
    if value is None and not nullable(f, version):
        value = []
    out = put_length(None if value is None else len(value), compact, True)
    return out + b"".join(put_one(m, f, version, v) for v in value or [])


def put_struct(m, s, version, body):
    unknown = set(body) - {f.name for f in s.fields}
    assert not unknown, f"{s.c} has no field {unknown}"
    out, tags = [], []
    for f in s.fields:
        if not has(f, version):
            continue
        value = body.get(f.name, default(f))
        if f.tag is None:
            out.append(put_field(m, f, version, value))
        elif f.name in body:
            data = put_field(m, f, version, value)
            tags.append((f.tag, uvarint(f.tag) + uvarint(len(data)) + data))
    if m.compact(version):
        out.append(uvarint(len(tags)) + b"".join(data for _, data in sorted(tags)))
    return b"".join(out)


# ---- decoding ----

class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if n < 0 or self.at + n > len(self.data):
            raise Malformed(f"{n} bytes are wanted at {self.at} of {len(self.data)}")
        self.at += n
        return self.data[self.at - n:self.at]

    def fixed(self, fmt):
        return struct.unpack(fmt, self.take(struct.calcsize(fmt)))[0]

    def uvarint(self):
        value = shift = 0
        while True:
            b = self.take(1)[0]
            value |= (b & 0x7F) << shift
            shift += 7
            if b < 0x80:
                return value

    def length(self, compact, wide):
        n = self.uvarint() - 1 if compact else self.fixed(">i" if wide else ">h")
        return None if n < 0 else n


def get_one(r, m, f, version):
    compact = m.compact(version) and not f.plain
    if f.sub:
        if f.nullable and not f.array and nullable(f, version) and r.fixed(">b") < 0:
            return None
        return get_struct(r, m, f.sub, version)
    if f.type in FIXED:
        return r.fixed(FIXED[f.type])
    if f.type == "uuid":
        return uuid.UUID(bytes=bytes(r.take(16)))
    n = r.length(compact, f.type != "string")
    if n is None:
        return None
    data = bytes(r.take(n))
    return data.decode(errors="replace") if f.type == "string" else data


def get_field(r, m, f, version):
    if not f.array:
        return get_one(r, m, f, version)
    n = r.length(m.compact(version) and not f.plain, True)
    return None if n is None else [get_one(r, m, f, version) for _ in range(n)]


def get_struct(r, m, s, version):
    out = {}
    tagged = {f.tag: f for f in s.fields if f.tag is not None and has(f, version)}
    for f in s.fields:
        if f.tag is None and has(f, version):
            out[f.name] = get_field(r, m, f, version)
    if m.compact(version):
        for _ in range(r.uvarint()):
            tag, size = r.uvarint(), r.uvarint()
            sub = Reader(r.take(size))
            out[tagged[tag].name if tag in tagged else f"tag{tag}"] = \
                get_field(sub, m, tagged[tag], version) if tag in tagged else bytes(sub.data)
    return out


def decode(message, version, data):
    r = Reader(data)
    out = get_struct(r, message, message.root, version)
    if r.at != len(data):
        raise Malformed(f"{message.name} version {version}: {len(data) - r.at} bytes are left over")
    return out


# ---- frames ----

def request(api, version, correlation, client, body):
    a = APIS[api]
    head = struct.pack(">hhi", a.key, version, correlation) + put_length(len(client), False, False) + client.encode()
    if version >= a.flexible:
        head += b"\0"
    data = body if isinstance(body, Raw) else put_struct(a.request, a.request.root, version, body)
    return struct.pack(">i", len(head) + len(data)) + head + data


def response(api, version, frame):
    """(correlation, body) of a frame without its length."""
    a = APIS[api]
    r = Reader(frame)
    correlation = r.fixed(">i")
    if version >= a.flexible and api != "ApiVersions":
        for _ in range(r.uvarint()):
            r.uvarint()
            r.take(r.uvarint())
    return correlation, decode(a.response, version, frame[r.at:])
