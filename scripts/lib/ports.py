#!/usr/bin/env python3
"""ports.py: says in one sentence who holds a port that `chronik ARGUMENT...` is about to listen on. It only reads /proc
and the broker's own `config show`; it prints nothing when all ports are free."""
import glob
import os
import re
import subprocess
import sys

DEFAULTS = {"listeners": "PLAINTEXT://127.0.0.1:9092", "chronik.admin.listener": "127.0.0.1:9644"}


def settings(command):
    shown = dict(DEFAULTS)
    out = subprocess.run([command[0], "config", "show", *command[1:]], capture_output=True, text=True)
    if out.returncode == 0:
        for line in out.stdout.splitlines():
            m = re.match(r"([a-z.]+) = (\S+)", line)
            if m and m[1] in shown:
                shown[m[1]] = m[2]
    return shown


def listening():
    """{port: inode} of every listening TCP socket."""
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = open(table).read().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            cells = line.split()
            if cells[3] == "0A":
                found[int(cells[1].rsplit(":", 1)[1], 16)] = cells[9]
    return found


def owner(inode):
    for fd in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(fd) == f"socket:[{inode}]":
                pid = fd.split("/")[2]
                words = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
                return f"process {pid} ({b' '.join(words).decode(errors='replace').strip()[:120]})"
        except OSError:
            continue
    return "a process of another user"


def main():
    taken = listening()
    for key, value in settings(sys.argv[1:]).items():
        for port in re.findall(r":(\d+)(?:,|$)", value):
            if int(port) in taken:
                change = "--override listeners=PLAINTEXT://127.0.0.1:PORT" if key == "listeners" else f"--override {key}=127.0.0.1:PORT"
                print(f"port {port} is busy: {owner(taken[int(port)])} listens there; stop it, or start with {change}")
                return


main()
