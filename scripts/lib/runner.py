#!/usr/bin/env python3
"""runner.py: runs test programs, a few at a time, each bounded in time, and counts their single tests. It ends only
processes that it started. Counts come from check's TAP log, else from TAP lines on standard output, else from the exit
status (77: skipped). A line "skip: why" on standard output turns one passed test into a skipped one."""
import argparse
import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import time

TAP = re.compile(r"(not )?ok\b\s*\d*\s*-?\s*(.*)")
SKIP = re.compile(r"(?:# ?)?skip(?:ped)?\b[: ]+(.*)", re.I)


class Result:
    def __init__(self, name):
        self.name, self.passed, self.failed, self.skipped = name, 0, [], []
        self.seconds, self.log = 0.0, ""


def read(path):
    try:
        return open(path, encoding="utf-8", errors="replace").read()
    except OSError:
        return ""


def run_bounded(command, out, env, seconds):
    """The exit status, or a sentence when the time was over. Ends the program's own process group only."""
    p = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env,
                         start_new_session=True)
    try:
        return p.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        for sig in (signal.SIGABRT, signal.SIGKILL):
            try:
                os.killpg(p.pid, sig)
                p.wait(timeout=5)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass
        return f"did not end within {seconds} s"


def count(result, tap, stdout, status):
    tests = [m for m in map(TAP.match, (tap or stdout).splitlines()) if m]
    for m in tests:
        name = m[2].removesuffix(": Passed")
        inline = re.search(r"# ?skip\b[: ]*(.*)", name, re.I)
        if inline and not m[1]:
            result.skipped.append(inline[1] or name)
        elif m[1]:
            result.failed.append(name or "a test without a name")
        else:
            result.passed += 1
    for line in stdout.splitlines():
        m = SKIP.match(line)
        if m and not TAP.match(line):
            result.skipped.append(m[1])
            result.passed = max(result.passed - 1, 0)
    if status == 77 and not tests:
        result.skipped = result.skipped[-1:] or ["the program says so without a reason"]
    elif status != 0 and not result.failed:
        result.failed.append(f"the program ended with {describe(status)}")
    elif status == 0 and not tests and not result.skipped:
        result.passed = 1


def describe(status):
    if isinstance(status, str):
        return status
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"


def run(program, args):
    result = Result(program)
    path = next((p for p in (os.path.join(args.build, program), os.path.join(args.source, program), program)
                 if os.path.exists(p)), None)
    base = os.path.join(args.logs, re.sub(r"[^A-Za-z0-9_.-]", "-", program))
    result.log = base + ".log"
    if not path:
        result.failed.append("the program is missing: it was not built")
        return result
    env = dict(os.environ, CK_TAP_LOG_FILE_NAME=os.path.abspath(base + ".tap"), CHRONIK_SOURCE=os.path.abspath(args.source),
               CHRONIK_BUILD=os.path.abspath(args.build), srcdir=os.path.abspath(args.source))
    if os.path.exists(base + ".tap"):
        os.unlink(base + ".tap")
    began = time.monotonic()
    with open(result.log, "wb") as out:
        status = run_bounded([os.path.abspath(path)], out, env, args.timeout)
    result.seconds = time.monotonic() - began
    if isinstance(status, str):
        result.failed.append(status)
    count(result, read(base + ".tap"), read(result.log), status)
    if args.require_shared:
        lost = [s for s in result.skipped if "shared" in s.lower()]
        result.skipped = [s for s in result.skipped if s not in lost]
        result.failed += [f"skipped although the shared directory is there: {s}" for s in lost]
    return result


def show(r, args):
    counts = f"{r.passed} passed" + (f", {len(r.failed)} failed" if r.failed else "") + \
        (f", {len(r.skipped)} skipped" if r.skipped else "")
    print(f"  {'FAIL' if r.failed else 'ok  '} {r.name}  {counts}  {r.seconds:.1f} s", flush=True)
    if args.table:
        for line in filter(TAP.match, read(r.log).splitlines()):
            print(f"       {line}")
    for why in r.skipped:
        print(f"       skipped: {why}")
    for why in r.failed:
        print(f"       failed: {why}")
    if r.failed:
        for line in read(r.log).splitlines()[-args.tail:]:
            print(f"       | {line}")
        print(f"       again: ./dev test {r.name}", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--build", required=True)
    p.add_argument("--source", required=True)
    p.add_argument("--logs", required=True)
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--timeout", type=int, default=120)
    p.add_argument("--tail", type=int, default=30)
    p.add_argument("--require-shared", action="store_true")
    p.add_argument("--table", action="store_true", help="show the line of each single test, not only of those that failed")
    p.add_argument("--totals", required=True, help="file that gets a line: passed failed skipped")
    p.add_argument("programs", nargs="*")
    args = p.parse_args()
    os.makedirs(args.logs, exist_ok=True)
    results = []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for f in concurrent.futures.as_completed([pool.submit(run, name, args) for name in args.programs]):
            results.append(f.result())
            show(results[-1], args)
    totals = [sum(r.passed for r in results), sum(len(r.failed) for r in results), sum(len(r.skipped) for r in results)]
    with open(args.totals, "a", encoding="utf-8") as out:
        print(*totals, file=out)
    sys.exit(1 if totals[1] else 0)


main()
