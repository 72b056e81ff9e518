"""common.py: fetching clients into a cache, running one of them against a broker of its own, and printing what came out. The cache
lies outside the tree (CHRONIK_CLIENTS, else chronik-clients in the user's cache directory) and is shared by all checkouts: an
entry's name holds a hash of what it was made from, and is made under a lock, so that it is made once and never half."""
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../e2e/lib"))
from harness import Broker, wait_for  # noqa: E402, F401

HERE = os.path.dirname(os.path.abspath(__file__))
MAVEN = os.path.join(HERE, "../../scripts/lib/maven.sh")
FULL = bool(os.environ.get("CHRONIK_CLIENTS_FULL"))
LOGS = os.environ.get("CHRONIK_SUITE_LOGS")  # a directory in which brokers' and clients' logs stay
KEPT = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "chronik-clients")
CACHE = os.path.abspath(os.environ.get("CHRONIK_CLIENTS") or KEPT)


def need(*tools):
    for t in tools:
        if not shutil.which(t):
            print(f"1..0 # SKIP {t} is not installed")
            sys.exit(77)


def once(name, make, sources=(), key=""):
    """The directory that make(directory) filled, once for these sources (files below this folder) and this key."""
    sha = hashlib.sha256(key.encode())
    for source in sources:
        with open(os.path.join(HERE, source), "rb") as f:
            sha.update(f.read())
    path = os.path.join(CACHE, f"{name}-{sha.hexdigest()[:12]}")
    os.makedirs(CACHE, exist_ok=True)
    with open(path + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(path):
            new = path + ".new"
            shutil.rmtree(new, ignore_errors=True)
            os.makedirs(new)
            make(new)
            os.rename(new, path)
    return path


def copy(sources, path):
    for source in sources:
        shutil.copy(os.path.join(HERE, source), path)


def run(command, cwd=None, env=None, timeout=600):
    done = subprocess.run(command, cwd=cwd, env=dict(os.environ, **(env or {})), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} ended with {done.returncode}: {done.stdout[-2000:]}")
    return done.stdout


def jars(pom):
    """The directory of jars that a pom of this folder asks for, from Maven Central."""
    return once(os.path.splitext(os.path.basename(pom))[0], sources=[pom], make=lambda path: run(
        ["bash", MAVEN, "-f", os.path.join(HERE, pom), "dependency:copy-dependencies", f"-DoutputDirectory={path}"]))


@contextlib.contextmanager
def broker(**settings):
    """A broker that serves; its log is shown when it did not live to the end, or when the body raises."""
    with tempfile.TemporaryDirectory(prefix="chronik-clients-") as directory:
        b = Broker(directory, settings={k.replace("_", "."): v for k, v in settings.items()}).start()
        try:
            yield b
        except BaseException:
            print("# the broker's log ends with\n" + b.log()[-3000:], file=sys.stderr)
            raise
        finally:
            if b.process.poll() is not None:
                print(f"# the broker ended with {b.process.returncode}\n" + b.log()[-3000:], file=sys.stderr)
            else:
                b.signal(15)
                b.wait()
            if LOGS:
                os.makedirs(LOGS, exist_ok=True)
                shutil.copy(b.log_path, os.path.join(LOGS, f"broker-{b.port}.log"))


def with_broker(body):
    with broker() as b:
        return body(b)


class Table:
    """Results line by line, as TAP; what was seen is shown as it comes, so that a run that is cut short tells its part."""

    def __init__(self):
        self.count = self.failed = 0

    def row(self, name, why=""):
        """A passed test, or why it failed."""
        self.count += 1
        self.failed += bool(why)
        print(f"{'not ok' if why else 'ok'} {self.count} - {name}" + (f": {' '.join(why.split())[:700]}" if why else ""),
              flush=True)

    def check(self, name, body):
        """Runs body() as a test of this name, or of what name() says afterwards; what it raises is the reason of its failure."""
        why = ""
        try:
            body()
        except Exception as e:  # every failure is one line of the table
            why = f"{type(e).__name__}: {e}"
        self.row(name() if callable(name) else name, why)

    def end(self):
        print(f"1..{self.count}")
        sys.exit(1 if self.failed or not self.count else 0)


def renumber(outputs):
    """TAP of several programs as one."""
    lines = [l for out in outputs for l in out.splitlines() if l.startswith(("ok ", "not ok "))]
    for i, l in enumerate(lines, 1):
        word = "not ok" if l.startswith("not ok") else "ok"
        print(f"{word} {i} - {l.split(' - ', 1)[1]}")
    print(f"1..{len(lines)}")
    return any(l.startswith("not ok") for l in lines) or not lines


def tap(command, cwd=None, env=None, timeout=300):
    done = subprocess.run(command, cwd=cwd, env=dict(os.environ, **(env or {})), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=timeout, check=False)
    if done.returncode and "not ok" not in done.stdout:
        return done.stdout + f"not ok 1 - {os.path.basename(command[-2])} ended with {done.returncode}: " + \
            " ".join(done.stderr.split())[-600:] + "\n"
    return done.stdout
