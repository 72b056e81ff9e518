"""harness.py: brokers and clients for the end-to-end tests. A broker gets its own temporary directory and free ports
(it binds port 0 and says in its banner what it got). Every wait is bounded, only processes started here are ended, and
a failing test prints the end of the broker's log. Standard library and kcat alone."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

BUILD = os.environ.get("CHRONIK_BUILD", os.path.join(os.path.dirname(__file__), "../../../build"))
CHRONIK = os.path.abspath(os.path.join(BUILD, "out/bin/chronik"))
LONG = bool(os.environ.get("CHRONIK_TEST_LONG"))
FULL = bool(os.environ.get("CHRONIK_TEST_FULL"))  # too long for CI
SHORT = bool(os.environ.get("CHRONIK_TEST_SHORT"))
# Sanitizers slow everything down; a bound is there to end a hang, not to measure.
SLOW = 4 if SHORT else 1


class Failed(Exception):
    """What a test expected and did not get."""


class Skip(Exception):
    """Why a test cannot run here."""


def check(condition, what):
    if not condition:
        raise Failed(what)


def wait_for(what, condition, seconds=20.0):
    """The first true value of condition(), or Failed."""
    end = time.monotonic() + seconds * SLOW
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise Failed(f"waited {seconds * SLOW:.0f} s for {what}")


def chronik(*args, env=None, timeout=20):
    """Runs the program to its end: (status, standard output, standard error)."""
    done = subprocess.run([CHRONIK, *args], capture_output=True, text=True, timeout=timeout * SLOW,
                          env=dict(os.environ, **(env or {})), check=False)
    return done.returncode, done.stdout, done.stderr


def own_host():
    """An address in 127/8 that is this process's alone: whoever binds ports there that others must know beforehand
    meets neither other tests nor the ports that the kernel hands out."""
    pid = os.getpid()
    return f"127.{64 + (pid >> 16 & 63)}.{pid >> 8 & 255}.{pid & 255}"


def own_ports(n, first=[20000]):
    """Ports at own_host() that no one else takes: below the ones that the kernel hands out, each given once."""
    first[0] += n
    return list(range(first[0] - n, first[0]))


class Broker:
    """One broker process and its data directory; it can be killed and started again on the same data and port."""

    def __init__(self, work, settings=None, user=None, program=CHRONIK, args=(), host="127.0.0.1", port=0, wrap=()):
        self.work, self.user, self.program, self.args, self.host = work, user, program, list(args), host
        self.wrap = list(wrap)  # what the program is started by
        self.data = os.path.join(work, "data")
        self.log_path = os.path.join(work, "broker.log")
        self.settings = {"listeners": f"PLAINTEXT://{host}:{port}", "chronik.admin.listener": f"{host}:0",
                         # why a connection ended, also when it was the client's doing
                         "chronik.log.level": "info,net=debug", "log.dirs": self.data, **(settings or {})}
        self.process = None
        self.port = self.admin_port = 0

    def launch(self):
        """Starts the process without waiting for it."""
        command = [*self.wrap, self.program, *self.args]
        for key, value in self.settings.items():
            command += ["--override", f"{key}={value}"]
        extra = {"user": self.user, "group": self.user, "extra_groups": []} if self.user is not None else {}
        self.log_start = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.work,
                                            start_new_session=True, **extra)
        return self

    def start(self):
        """Starts it and waits until it takes connections. The port stays the same from the first start on."""
        return self.launch().start_wait()

    def start_wait(self):
        """The second half of start: waits until a launched one takes connections."""
        wait_for("the broker to listen", self._listening)
        self.settings["listeners"] = f"PLAINTEXT://{self.host}:{self.port}"
        return self

    def _listening(self):
        if self.process.poll() is not None:
            raise Failed(f"the broker ended with status {self.process.returncode} instead of serving")
        host = re.escape(self.host)
        m = re.search(rf"^\s*listening PLAINTEXT {host}:(\d+)", self.log(), re.M)
        if not m:
            return False
        self.port = int(m[1])
        self.admin_port_known()
        with contextlib.suppress(OSError):
            socket.create_connection((self.host, self.port), 1).close()
            return True
        return False

    def admin_port_known(self):
        """Whether this start has said where its admin listener is."""
        admin = re.search(rf"^\s*admin\s+http://{re.escape(self.host)}:(\d+)", self.log(), re.M)
        self.admin_port = int(admin[1]) if admin else 0
        return admin is not None

    def settings_port(self):
        """The port that its settings name; 0: it takes any."""
        return int(re.search(r"^PLAINTEXT://[^,]*:(\d+)", self.settings["listeners"])[1])

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def log(self, everything=False):
        """What this start (or every start) has written."""
        with open(self.log_path, "rb") as f:
            f.seek(0 if everything else self.log_start)
            return f.read().decode(errors="replace")

    def signal(self, signo):
        self.process.send_signal(signo)

    def wait(self, seconds=20):
        """The exit status."""
        try:
            return self.process.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            raise Failed(f"the broker did not end within {seconds * SLOW} s") from None

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.wait()

    def stop(self):
        """SIGTERM; the exit status must be 0."""
        self.signal(signal.SIGTERM)
        status = self.wait()
        check(status == 0, f"SIGTERM ended the broker with status {status}")

    def end(self):
        """For clean-up: whatever state it is in, it is gone afterwards."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def refused(self, *words):
        """Starts it and expects that it ends by itself with a failure and one sentence with all these words."""
        self.launch()
        status = self.wait()
        check(status not in (0, None) and status > 0, f"the start ended with status {status}, not with a refusal")
        lines = [line for line in self.log().splitlines() if all(w in line for w in words)]
        check(lines, f"no line says {' and '.join(map(repr, words))}; it said: {self.log().strip()}")
        return lines[0]

    def admin(self, path):
        """GET from the admin server: (status, body)."""
        try:
            with urllib.request.urlopen(f"http://{self.host}:{self.admin_port}{path}", timeout=5 * SLOW) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()


def kcat(broker, *args, stdin=None, timeout=30, status=0):
    """kcat's standard output, as bytes; status None: it may end as it likes."""
    done = subprocess.run(["kcat", "-b", broker.address, "-X", "broker.address.family=v4", *args], input=stdin,
                          capture_output=True, timeout=timeout * SLOW, check=False)
    check(status is None or done.returncode == status,
          f"kcat {' '.join(args)} ended with {done.returncode}: {done.stderr.decode(errors='replace').strip()[-600:]}")
    return done.stdout


def produce(broker, topic, lines, *args):
    """Produces one record a line and waits for the acknowledgement of all."""
    kcat(broker, "-P", "-t", topic, *args, stdin=b"".join(line + b"\n" for line in lines))


def consume(broker, topic, *args):
    """All records of partition 0 to the end, as lines."""
    return kcat(broker, "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q", *args).splitlines()


def metadata(broker):
    return json.loads(kcat(broker, "-L", "-J"))


def other_user(work):
    """(uid, program): an unprivileged user and a copy of the broker that it may run. Root alone can become another."""
    if os.getuid() != 0:
        raise Skip("only root can run the broker as another user")
    out = os.path.join(work, "out")
    shutil.copytree(os.path.join(BUILD, "out"), out, ignore=shutil.ignore_patterns("include", "share"))
    for folder, _, files in os.walk(work):
        os.chmod(folder, 0o755)
        for name in files:
            os.chmod(os.path.join(folder, name), 0o755)
    return 65534, os.path.join(out, "bin/chronik")


class Tests:
    """Collects tests (functions whose names are sentences), runs them one by one, prints TAP."""

    def __init__(self):
        self.tests, self.brokers = [], []

    def test(self, function):
        self.tests.append(function)
        return function

    def broker(self, work, **options):
        self.brokers.append(Broker(work, **options))
        return self.brokers[-1]

    def run_one(self, function):
        """None, or why not."""
        work = tempfile.mkdtemp(prefix="chronik-e2e-")
        try:
            function(work)
            return None
        except Skip:
            raise
        except Exception as e:  # any failure of a test is a result, with its story
            story = str(e) if isinstance(e, Failed) else traceback.format_exc()
            for b in self.brokers:
                if os.path.exists(b.log_path):
                    ended = b.process.poll() if b.process else None
                    story += f"\n--- {b.log_path}{'' if ended is None else f', ended with status {ended}'}\n" + "\n".join(b.log(everything=True).splitlines()[-25:])
            return story
        finally:
            for b in self.brokers:
                b.end()
            self.brokers.clear()
            shutil.rmtree(work, ignore_errors=True)

    def main(self):
        failed = 0
        chosen = [t for t in self.tests if len(sys.argv) < 2 or sys.argv[1] in t.__name__]
        for n, function in enumerate(chosen, 1):
            name = function.__name__
            try:
                why = self.run_one(function)
            except Skip as e:
                print(f"ok {n} - {name} # SKIP {e}", flush=True)
                continue
            print(f"{'not ok' if why else 'ok'} {n} - {name}", flush=True)
            if why:
                failed += 1
                for line in why.splitlines():
                    print(f"# {line}", flush=True)
        print(f"1..{len(chosen)}")
        sys.exit(1 if failed else 0)
