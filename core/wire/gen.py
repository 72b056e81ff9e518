#!/usr/bin/env python3
"""gen.py: turns the message definitions (messages/*.msg) into C structs and descriptor tables, a fuzz dictionary, a page
of documentation, or JSON. It runs at build time, needs only Python's standard library and writes only what it is told to.

The notation, a line each, nesting by two spaces:

  api NAME KEY versions A-B [flexible C+] [advertised D+]   followed by the two messages `request` and `response`
  data NAME versions A-B [flexible C+]                      a struct that travels or rests on its own
    struct NAME [VERSIONS]                                  a struct of this message that several fields refer to
    FIELD TYPE [VERSIONS] [tag=N] [=DEFAULT] [ignorable] [plain]
      ...                                                   fields of the struct that the line above names

TYPE is bool int8 int16 uint16 int32 int64 float64 uuid string bytes records or a struct's name, with [] before it for an
array and ? behind it when null is allowed (?4+: from version 4 on). VERSIONS is `A`, `A-B` or `A+`, where + means until
the last version of the enclosing struct; without VERSIONS a field has those of the enclosing struct. A field without a
DEFAULT is zero, empty, or a struct of defaults. `ignorable`: a value that a version cannot carry is dropped silently.
`plain`: not compact even in flexible versions.

  gen.py --header OUT.h | --source OUT.c | --json OUT | --dict OUT | --doc OUT [--handlers core/api]   FILE.msg...
"""
import argparse
import json
import os
import re
import sys

SCALARS = {  # name: (C type, tag of the table, bytes on the wire)
    "bool": ("bool", "WIRE_BOOL", 1), "int8": ("int8_t", "WIRE_INT8", 1), "int16": ("int16_t", "WIRE_INT16", 2),
    "uint16": ("uint16_t", "WIRE_UINT16", 2), "int32": ("int32_t", "WIRE_INT32", 4),
    "int64": ("int64_t", "WIRE_INT64", 8), "float64": ("double", "WIRE_FLOAT64", 8),
    "uuid": ("struct chronik_uuid", "WIRE_UUID", 16), "string": ("struct wire_str", "WIRE_STRING", None),
    "bytes": ("struct wire_bytes", "WIRE_BYTES", None), "records": ("struct wire_records", "WIRE_RECORDS", None),
}
KEYWORDS = set("""auto break case char const continue default do double else enum extern float for goto if inline int long
register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while bool true
false""".split())
NEVER = 127


def fail(where, text):
    sys.exit(f"{where}: {text}")


def snake(name):
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name).lower()


class Struct:
    def __init__(self, message, name, versions):
        self.message, self.name, self.versions, self.fields = message, name, versions, []
        self.c = "wire_" + snake(message.name) + ("" if name is None else "_" + snake(name))


class Message:
    def __init__(self, name, kind, key, versions, flexible):
        self.name, self.kind, self.key, self.versions, self.flexible = name, kind, key, versions, flexible
        self.structs = {}
        self.root = Struct(self, None, versions)
        self.order = []  # structs, inner before outer

    def compact(self, version):
        return version >= self.flexible


class Field:
    def __init__(self, name, type_, array, versions, nullable):
        self.name, self.type, self.array, self.versions, self.nullable = name, type_, array, versions, nullable
        self.tag, self.default, self.ignorable, self.plain, self.sub = None, None, False, False, None


class Api:
    def __init__(self, name, key, versions, flexible, advertised):
        self.name, self.key, self.versions, self.flexible, self.advertised = name, key, versions, flexible, advertised
        self.request = self.response = None


def parse_versions(where, text, outer):
    m = re.fullmatch(r"(\d+)(?:(\+)|-(\d+))?", text)
    if not m:
        fail(where, f"'{text}' is no range of versions")
    first = int(m[1])
    last = outer[1] if m[2] else int(m[3]) if m[3] else first
    if not outer[0] <= first <= last <= outer[1]:
        fail(where, f"versions {text} reach outside of {outer[0]}-{outer[1]}")
    return (first, last)


def parse_head(where, words):
    """The words behind a message's name: `versions A-B`, `flexible C+`, `advertised D+`."""
    said = dict(zip(words[::2], words[1::2]))
    if len(words) % 2 or "versions" not in said or set(said) - {"versions", "flexible", "advertised"}:
        fail(where, "expected: versions A-B [flexible C+] [advertised D+]")
    versions = parse_versions(where, said["versions"], (0, NEVER - 1))
    flexible = int(said["flexible"].rstrip("+")) if "flexible" in said else NEVER
    advertised = int(said.get("advertised", str(versions[0])).rstrip("+"))
    return versions, flexible, advertised


def parse_field(where, message, outer, words):
    m = re.fullmatch(r"(\[\])?(\w+)(\?(.*))?", words[1]) if len(words) > 1 else None
    if not m or not re.fullmatch(r"[a-z][a-z0-9_]*", words[0]) or words[0] in KEYWORDS:
        fail(where, "expected: FIELD TYPE ...")
    f = Field(words[0], m[2], bool(m[1]), outer, None)
    for w in words[2:]:
        if w[0].isdigit():
            f.versions = parse_versions(where, w, outer)
        elif w.startswith("tag="):
            f.tag = int(w[4:])
        elif w.startswith("="):
            f.default = w[1:]
        elif w in ("ignorable", "plain"):
            setattr(f, w, True)
        else:
            fail(where, f"'{w}' is not understood")
    if m[3]:
        f.nullable = parse_versions(where, m[4], f.versions) if m[4] else f.versions
    if f.tag is not None and f.versions[0] < message.flexible:
        fail(where, "a tagged field in a version that is not flexible")
    if f.default == "null" and (not f.nullable or f.nullable != f.versions and f.tag is not None):
        fail(where, "null by default but not nullable")
    return f


def parse(paths):
    apis, datas = [], []
    for path in paths:
        api = message = None
        with open(path, encoding="ascii") as lines:
            for number, line in enumerate(lines, 1):
                where, words = f"{path}:{number}", line.split("#")[0].split()
                if not words:
                    continue
                depth = (len(line) - len(line.lstrip(" "))) // 2
                if depth == 0 and words[0] == "api":
                    versions, flexible, advertised = parse_head(where, words[3:])
                    api = Api(words[1], int(words[2]), versions, flexible, advertised)
                    apis.append(api)
                elif depth == 0 and words[0] in ("request", "response"):
                    message = Message(api.name + words[0].capitalize(), words[0], api.key, api.versions, api.flexible)
                    setattr(api, words[0], message)
                    stack = [message.root]
                elif depth == 0 and words[0] == "data":
                    versions, flexible, _ = parse_head(where, words[2:])
                    message = Message(words[1], "data", -1, versions, flexible)
                    datas.append(message)
                    stack = [message.root]
                elif depth == 1 and words[0] == "struct":
                    versions = parse_versions(where, words[2], message.versions) if words[2:] else message.versions
                    s = message.structs.setdefault(words[1], Struct(message, words[1], versions))
                    if s.fields:
                        fail(where, f"struct {words[1]} is defined twice")
                    s.versions = versions
                    stack = [message.root, s]
                else:
                    if not 1 <= depth <= len(stack):
                        fail(where, "indented too far: the line above names no struct")
                    del stack[depth:]
                    outer = stack[-1]
                    if depth > 1 and outer is message.root:
                        fail(where, "a field without a struct")
                    f = parse_field(where, message, outer.versions, words)
                    outer.fields.append(f)
                    if f.type not in SCALARS:
                        # The fields follow, or the struct was defined before.
                        f.sub = message.structs.get(f.type)
                        if f.sub is None:
                            f.sub = message.structs[f.type] = Struct(message, f.type, f.versions)
                        stack.append(f.sub)
    apis.sort(key=lambda a: a.key)
    messages = [m for a in apis for m in (a.request, a.response)] + datas
    for m in messages:
        order(m, m.root, set())
        for s in m.order:
            check(m, s)
    return apis, datas, messages


def order(message, struct, seen):
    if struct in seen:
        return
    seen.add(struct)
    for f in struct.fields:
        if f.sub:
            order(message, f.sub, seen)
    message.order.append(struct)


def check(message, struct):
    if not struct.fields and struct is not message.root:
        fail(message.name, f"struct {struct.name} has no fields")
    names = [f.name for f in struct.fields]
    if len(set(names)) != len(names):
        fail(message.name, f"a field of {struct.c} occurs twice")
    tags = sorted(f.tag for f in struct.fields if f.tag is not None)
    if len(set(tags)) != len(tags) or len(tags) > 64:
        fail(message.name, f"{struct.c}: a tag occurs twice, or there are more than 64")
    for f in struct.fields:
        if f.tag is not None and (f.type == "records" or f.sub and f.nullable and not f.array):
            fail(message.name, f"{f.name}: records and structs that may be null cannot be tagged")
        if f.array:
            for v in range(f.versions[0], f.versions[1] + 1):
                if f.sub and least(message, f.sub, v) < 1:
                    fail(message.name, f"elements of {f.name} have no bytes in version {v}")


def has(f, version):
    return f.versions[0] <= version <= f.versions[1]


def least(message, struct, version):
    """The fewest bytes that a struct takes in a version: what an array's count is checked against."""
    total = 1 if message.compact(version) else 0  # the tags' count
    for f in struct.fields:
        if f.tag is not None or not has(f, version):
            continue
        compact = message.compact(version) and not f.plain
        if f.array or f.type in ("bytes", "records"):
            total += 1 if compact else 4
        elif f.type == "string":
            total += 1 if compact else 2
        elif f.sub:
            total += 1 if f.nullable and f.nullable[0] <= version <= f.nullable[1] else least(message, f.sub, version)
        else:
            total += SCALARS[f.type][2]
    return total


def slack(struct):
    """The most bytes of a struct's fixed parts: scalars, lengths, null markers. The encoder reserves them at once."""
    total = 10
    for f in struct.fields:
        wide = 5 if f.array or f.sub or SCALARS[f.type][2] is None else SCALARS[f.type][2]
        total += wide + (10 if f.tag is not None else 0)
    return total


# ---- C ----

def c_type(f):
    inner = f"struct {f.sub.c}" if f.sub else SCALARS[f.type][0]
    if f.array:
        return "struct {\n        %s *v;\n        int32_t n;\n    } " % inner
    return inner + (" *" if f.sub and f.nullable else " ")


def c_default(f):
    """The initializer of a field, or None when it is all zero."""
    if f.array or f.type in ("bytes", "records"):
        return "{NULL, -1}" if f.default == "null" and f.type != "records" else None
    if f.sub:
        return None if f.nullable else c_image(f.sub)
    if f.default is None:
        return None
    if f.type == "string":
        if f.default == "null":
            return "{NULL, -1}"
        return '{"%s", %d}' % (f.default, len(f.default))
    if f.type == "int64":
        return f"INT64_C({f.default})" if f.default != "-9223372036854775808" else "INT64_MIN"
    return f.default if f.default != "-2147483648" else "INT32_MIN"


def c_image(struct):
    parts = [f".{f.name} = {d}" for f in struct.fields if (d := c_default(f))]
    return "{" + ", ".join(parts) + "}" if parts else None


def write_header(out, apis, messages):
    out.write("/* Generated by core/wire/gen.py from core/wire/messages; do not edit. One struct a message, the union of\n"
              " * the fields of all versions; one `_default` a struct; one `_msg` descriptor a message. */\n"
              "#ifndef CHRONIK_WIRE_MESSAGES_H\n#define CHRONIK_WIRE_MESSAGES_H\n\n#include \"wire/wire.h\"\n\nenum {\n")
    for a in apis:
        out.write(f"    WIRE_API_{snake(a.name).upper()} = {a.key},\n")
    out.write("};\n")
    for m in messages:
        last = f"{m.versions[0]}-{m.versions[1]}"
        flexible = "" if m.flexible == NEVER else f", flexible from {m.flexible}"
        out.write(f"\n/* ---- {m.name}" + (f" (key {m.key})" if m.key >= 0 else "") + f" {last}{flexible} ---- */\n")
        for s in m.order:
            out.write(f"\nstruct {s.c} {{\n")
            for f in s.fields:
                out.write(f"    {c_type(f)}{f.name};{remark(s, f)}\n")
            if not s.fields:
                out.write("    char empty_;\n")
            out.write("};\n")
            out.write(f"extern const struct {s.c} {s.c}_default;\n")
        out.write(f"extern const struct wire_msg {m.root.c}_msg;\n")
    out.write("\n#endif\n")


def remark(struct, f):
    words = []
    if f.versions != struct.versions:
        words.append(show_versions(f.versions, struct.versions))
    if f.tag is not None:
        words.append(f"tag {f.tag}")
    if f.nullable:
        words.append("nullable" + ("" if f.nullable == f.versions else " " + show_versions(f.nullable, f.versions)))
    return f" /* {', '.join(words)} */" if words else ""


def show_versions(v, outer):
    return f"{v[0]}+" if v[1] == outer[1] else str(v[0]) if v[0] == v[1] else f"{v[0]}-{v[1]}"


def write_source(out, apis, messages):
    out.write("/* Generated by core/wire/gen.py from core/wire/messages; do not edit. */\n#include \"wire/messages.h\"\n")
    for m in messages:
        out.write(f"\n/* ---- {m.name} ---- */\n")
        for s in m.order:
            write_struct(out, m, s)
        kind = {"request": "WIRE_REQUEST", "response": "WIRE_RESPONSE", "data": "WIRE_DATA"}[m.kind]
        out.write(f"const struct wire_msg {m.root.c}_msg = {{\"{m.name}\", &{m.root.c}_struct, "
                  f"sizeof(struct {m.root.c}), {m.key}, {kind}, "
                  f"{m.versions[0]}, {m.versions[1]}, {m.flexible}}};\n")
    top = max(a.key for a in apis) + 1
    out.write(f"\nconst int wire_apis_end = {top};\nconst struct wire_api wire_apis[{top}] = {{\n")
    for a in apis:
        out.write(f"    [{a.key}] = {{\"{a.name}\", &{a.request.root.c}_msg, &{a.response.root.c}_msg, {a.key}, "
                  f"{a.versions[0]}, {a.versions[1]}, {a.flexible}, {a.advertised}}},\n")
    out.write("};\n\n")
    out.write("const struct wire_msg *const wire_messages[] = {\n")
    for m in messages:
        out.write(f"    &{m.root.c}_msg,\n")
    out.write("    NULL,\n};\n")


def write_struct(out, m, s):
    fields = [f for f in s.fields if f.tag is None] + sorted((f for f in s.fields if f.tag is not None),
                                                             key=lambda f: f.tag)
    image = c_image(s)
    out.write(f"const struct {s.c} {s.c}_default = {image or '{0}'};\n")
    if fields:
        out.write(f"static const struct wire_field {s.c}_fields[] = {{\n")
        for f in fields:
            type_ = "WIRE_STRUCT" if f.sub else SCALARS[f.type][1]
            flags = [n for n, on in (("WIRE_ARRAY", f.array), ("WIRE_IGNORABLE", f.ignorable), ("WIRE_PLAIN", f.plain),
                                     ("WIRE_POINTER", f.sub and f.nullable and not f.array)) if on]
            nullable = f.nullable or (NEVER, 0)
            out.write(f"    {{\"{f.name}\", {'&' + f.sub.c + '_struct' if f.sub else 'NULL'}, "
                      f"offsetof(struct {s.c}, {f.name}), {type_}, {' | '.join(flags) or '0'}, {f.versions[0]}, "
                      f"{f.versions[1]}, {nullable[0]}, {nullable[1]}, {-1 if f.tag is None else f.tag}}},\n")
        out.write("};\n")
    sizes = [least(m, s, v) if s.versions[0] <= v <= s.versions[1] else 1
             for v in range(m.versions[0], m.versions[1] + 1)]
    out.write(f"static const uint16_t {s.c}_least[] = {{{', '.join(map(str, sizes))}}};\n")
    n_plain = sum(f.tag is None for f in fields)
    out.write(f"static const struct wire_struct {s.c}_struct = {{{s.c + '_fields' if fields else 'NULL'}, "
              f"&{s.c}_default, {s.c}_least, sizeof(struct {s.c}), {slack(s)}, {n_plain}, {len(fields)}, "
              f"{m.versions[0]}}};\n")


# ---- other outputs ----

def as_json(messages):
    def fields(struct):
        return [{"name": f.name, "type": f.type if not f.sub else "struct", "array": f.array, "versions": f.versions,
                 "nullable": f.nullable, "tag": f.tag, "default": f.default, "ignorable": f.ignorable,
                 "plain": f.plain, "fields": fields(f.sub) if f.sub else None} for f in struct.fields]
    return [{"name": m.name, "kind": m.kind, "key": m.key, "versions": m.versions, "flexible": m.flexible,
             "fields": fields(m.root)} for m in messages]


def write_dict(out, apis):
    """A dictionary for libFuzzer: request heads of every API and version, and lengths that matter."""
    def entry(name, data):
        out.write(name + '="' + "".join(f"\\x{b:02x}" for b in data) + '"\n')
    for a in apis:
        for v in range(a.versions[0], a.versions[1] + 1):
            entry(f"{snake(a.name)}_{v}", a.key.to_bytes(2, "big") + v.to_bytes(2, "big"))
    for n in (-1, 0, 1, 0x7fffffff, -0x80000000):
        entry(f"int32_{n & 0xffffffff:x}", n.to_bytes(4, "big", signed=True))
    for n in (-1, 0, 1, 0x7fff, -0x8000):
        entry(f"int16_{n & 0xffff:x}", n.to_bytes(2, "big", signed=True))
    for name, data in (("null", b"\x00"), ("empty", b"\x01"), ("most", b"\xff\xff\xff\xff\x0f"),
                       ("overlong", b"\x80\x80\x80\x80\x80\x00")):
        entry("varint_" + name, data)


def handlers(folder):
    """The APIs that the broker registers, and versions that a row narrows: {api in snake case: (min, max) or None}. Read
    from the rows of core/api, so that the page cannot promise more."""
    rows = os.path.join(folder, "rows.c")
    if not os.path.exists(rows):
        return {}
    with open(rows, encoding="utf-8") as f:
        served = dict.fromkeys(re.findall(r"&api_(\w+),", f.read()))
    for name in os.listdir(folder):
        if not name.endswith(".c"):
            continue
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            for row, body in re.findall(r"struct api_row api_(\w+) = \{(.*?)\};", f.read(), re.S):
                limits = [re.search(r"\." + k + r" = (\d+)", body) for k in ("min", "max")]
                if row in served and any(limits):
                    served[row] = tuple(int(m[1]) if m else 0 for m in limits)
    return served


def write_doc(out, apis, folder):
    served = handlers(folder)
    out.write("| Key | API | Versions | Flexible from | Served |\n|-|-|-|-|-|\n")
    for a in apis:
        flexible = "-" if a.flexible == NEVER else str(a.flexible)
        shown = "no"
        if snake(a.name) in served:
            first, last = served[snake(a.name)] or a.versions
            shown = f"{first}-{last}" + (f", advertised from {a.advertised}" if a.advertised < first else "")
        out.write(f"| {a.key} | {a.name} | {a.versions[0]}-{a.versions[1]} | {flexible} | {shown} |\n")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for what in ("header", "source", "json", "dict", "doc"):
        p.add_argument("--" + what, metavar="OUT")
    p.add_argument("--handlers", metavar="DIR", default="", help="for --doc: the folder of the handlers, core/api")
    p.add_argument("files", nargs="+", metavar="FILE.msg")
    o = p.parse_args()
    apis, _, messages = parse(sorted(o.files))
    writers = {"header": lambda f: write_header(f, apis, messages), "source": lambda f: write_source(f, apis, messages),
               "json": lambda f: json.dump(as_json(messages), f, indent=1), "dict": lambda f: write_dict(f, apis),
               "doc": lambda f: write_doc(f, apis, o.handlers)}
    for what, write in writers.items():
        if getattr(o, what):
            with open(getattr(o, what), "w", encoding="ascii") as f:
                write(f)


if __name__ == "__main__":
    main()
