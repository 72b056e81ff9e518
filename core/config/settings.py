#!/usr/bin/env python3
"""settings.py: turns settings.tsv into C (ids, table) or into docs/configuration.md. It only checks and prints; every
rule it does not understand ends the build."""
import re
import sys

TYPES = {"BOOLEAN": 1, "STRING": 2, "INT": 3, "SHORT": 4, "LONG": 5, "DOUBLE": 6, "LIST": 7, "CLASS": 8, "PASSWORD": 9}
SCOPES = {"broker": (1, "CFG_"), "topic": (2, "TCFG_"), "group": (3, "GCFG_")}
UPDATES = {"read-only": 0, "per-broker": 1, "cluster-wide": 2}
ACTS = {"ignored": 0, "acts": 1, "fatal": 2}
IMPORTANCE = {"HIGH": 0, "MEDIUM": 1, "LOW": 2}
MAX = {"INT": (-(1 << 31), (1 << 31) - 1), "SHORT": (-(1 << 15), (1 << 15) - 1), "LONG": (-(1 << 63), (1 << 63) - 1)}
COLUMNS = "scope name type default valid importance synonyms update acts doc".split()


def read(path):
    rows = []
    for n, line in enumerate(open(path, encoding="utf-8"), 1):
        if line.startswith("#") or line.rstrip("\n").split("\t") == COLUMNS:
            continue
        cells = line.rstrip("\n").split("\t")
        if len(cells) != len(COLUMNS):
            sys.exit(f"{path}:{n}: {len(cells)} columns, want {len(COLUMNS)}")
        row = dict(zip(COLUMNS, cells))
        for column, allowed in (("scope", SCOPES), ("type", TYPES), ("update", UPDATES), ("acts", ACTS),
                                ("importance", IMPORTANCE)):
            if row[column] not in allowed:
                sys.exit(f"{path}:{n}: {column} is '{row[column]}', want one of {', '.join(allowed)}")
        if not row["doc"]:
            sys.exit(f"{path}:{n}: {row['name']} has no documentation")
        row["line"] = n
        rows.append(row)
    if rows != sorted(rows, key=lambda r: (SCOPES[r["scope"]][0], r["name"])):
        sys.exit(f"{path}: rows must be sorted by scope and name")
    return rows


def ident(row):
    return SCOPES[row["scope"]][1] + re.sub(r"[.-]", "_", row["name"]).upper()


def text(s):
    return "NULL" if s == "(null)" else '"' + s.replace("\\", "\\\\").replace('"', '\\"') + '"'


def rule(path, row):
    """(kind, min, max, choices) of a row's `valid` column."""
    lo, hi = MAX.get(row["type"], (0, 0))
    v = row["valid"]
    if v == "":
        return ("RULE_RANGE" if row["type"] in MAX else "RULE_NONE", lo, hi, "")
    m = re.fullmatch(r"\[(-?\d+),\.\.\.(?:,(-?\d+))?\]( or -1)?", v)
    if m:
        return ("RULE_RANGE_OR_MINUS_1" if m[3] else "RULE_RANGE", int(m[1]), int(m[2]) if m[2] else
                (hi if row["type"] in MAX else 1 << 62), "")
    fixed = {"non-empty string": "RULE_NON_EMPTY", "non-empty list": "RULE_ITEMS_NON_EMPTY",
             "non-null string": "RULE_NON_NULL", "[partitionId]:[brokerId],[partitionId]:[brokerId],...": "RULE_REPLICAS",
             "[latest, earliest, by_duration:PnDTnHnMn.nS]": "RULE_OFFSET_RESET"}
    if v in fixed:
        return (fixed[v], lo, hi, "")
    m = re.fullmatch(r"(\(case insensitive\) )?\[([A-Za-z0-9_, -]+)\]", v)
    if m:
        return ("RULE_CHOICE_ANY_CASE" if m[1] else "RULE_CHOICE", lo, hi, m[2])
    sys.exit(f"{path}:{row['line']}: {row['name']}: cannot read the rule '{v}'")


def number(n):
    return "INT64_MIN" if n == -(1 << 63) else f"INT64_C({n})"


def emit_ids(rows):
    out = ["/* Generated from settings.tsv by settings.py. */", "#ifndef CHRONIK_CONFIG_IDS_H",
           "#define CHRONIK_CONFIG_IDS_H", "", "enum config_id {"]
    out += [f"    {ident(r)}," for r in rows]
    count = {s: sum(r["scope"] == s for r in rows) for s in SCOPES}
    out += ["    CONFIG_N_IDS,", f"    CONFIG_FIRST_TOPIC = {count['broker']},",
            f"    CONFIG_FIRST_GROUP = {count['broker'] + count['topic']},", "};", "", "#endif"]
    return out


def emit_table(path, rows):
    names = {(r["scope"], r["name"]): ident(r) for r in rows}
    out = ["/* Generated from settings.tsv by settings.py. */", '#include "config/config_table.h"', "",
           "const struct config_def config_defs[CONFIG_N_IDS] = {"]
    for r in rows:
        kind, lo, hi, choices = rule(path, r)
        syn = []
        for s in filter(None, r["synonyms"].split(",")):
            if ("broker", s) not in names:
                sys.exit(f"{path}:{r['line']}: {r['name']}: no broker setting '{s}' for the synonym")
            syn.append(names[("broker", s)])
        if len(syn) > 3:
            sys.exit(f"{path}:{r['line']}: {r['name']}: more than 3 synonyms")
        out.append(f"    [{ident(r)}] = {{")
        out.append(f"        .s = {{.name = {text(r['name'])}, .dflt = {text(r['default'])}, .valid = {text(r['valid'])},")
        out.append(f"              .doc = {text(r['doc'])},")
        out.append(f"              .id = {ident(r)}, .scope = {SCOPES[r['scope']][0]}, .type = {TYPES[r['type']]}, "
                   f".update = {UPDATES[r['update']]}, .acts = {ACTS[r['acts']]}, "
                   f".importance = {IMPORTANCE[r['importance']]}, .sensitive = {int(r['type'] == 'PASSWORD')}}},")
        out.append(f"        .rule = {kind}, .min = {number(lo)}, .max = {number(hi)}, .choices = {text(choices)},")
        out.append(f"        .synonyms = {{{', '.join(syn) or '0'}}}, .n_synonyms = {len(syn)},")
        out.append("    },")
    return out + ["};"]


def cell(s):
    return s.replace("|", "\\|").replace("<", "&lt;")


def emit_markdown(rows):
    out = ["# Settings", "",
           "Generated from `core/config/settings.tsv` by `./dev docs`; do not edit. A value comes from a flag "
           "(`--override KEY=VALUE`), else from the environment (`CHRONIK_LOG_RETENTION_MS` is `log.retention.ms`), else from "
           "`server.properties`, else it is the default. `chronik config show` names the source of each value. The names and "
           "rules are Kafka's; names that begin with `chronik.` are ours.", "",
           "*update*: whether a running broker takes a new value (AlterConfigs): read-only, per-broker or cluster-wide.", ""]

    def table(title, intro, chosen):
        out.extend([f"## {title}", "", intro, "", "| Name | Type | Default | Valid | Update | What it does |", "|-|-|-|-|-|-|"])
        for r in chosen:
            d = {"(null)": "none", "": "empty"}.get(r["default"], f"`{cell(r['default'])}`")
            out.append(f"| `{r['name']}` | {r['type'].lower()} | {d} | {cell(r['valid'])} | {r['update']} | {cell(r['doc'])} |")
        out.append("")

    broker = [r for r in rows if r["scope"] == "broker"]
    table("Our own", "They begin with `chronik.`; modules add theirs (`chronik plugins` lists the modules).",
          [r for r in broker if r["name"].startswith("chronik.")])
    table("Kafka's broker settings with effect", "They mean what they mean in Kafka.",
          [r for r in broker if not r["name"].startswith("chronik.") and r["acts"] == "acts"])
    table("Topic settings", "Set per topic; without an override the broker's setting of the same meaning counts. Those marked "
          "*without effect* are kept and shown, nothing more.",
          [dict(r, doc=r["doc"] + (" *Without effect.*" if r["acts"] == "ignored" else ""))
           for r in rows if r["scope"] == "topic"])
    table("Group settings", "Kept and shown; without effect until group coordination is there.",
          [r for r in rows if r["scope"] == "group"])
    for title, acts, intro in (
            ("Refused: security that is not there yet", "fatal",
             "chronik speaks neither SASL nor TLS and has no authorizer. A start with one of these set to anything but its "
             "default is refused, rather than leaving a door open that you believe locked."),
            ("Accepted without effect", "ignored",
             "Valid in a `server.properties` written for Kafka; a start names those that are set, once.")):
        out.extend([f"## {title}", "", intro, ""])
        out.append(", ".join(f"`{r['name']}`" for r in broker if r["acts"] == acts) + ".")
        out.append("")
    return out[:-1]


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("ids", "table", "markdown"):
        sys.exit("usage: settings.py ids|table|markdown settings.tsv")
    rows = read(sys.argv[2])
    lines = {"ids": lambda: emit_ids(rows), "table": lambda: emit_table(sys.argv[2], rows),
             "markdown": lambda: emit_markdown(rows)}[sys.argv[1]]()
    print("\n".join(lines))


main()
