"""common.py: fetching clients into build/clients and running one of them against a broker of its own."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../e2e/lib"))
from harness import BUILD, Broker  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.path.abspath(os.path.join(BUILD, "clients"))


def need(*tools):
    for t in tools:
        if not shutil.which(t):
            print(f"1..0 # SKIP {t} is not installed")
            sys.exit(77)


def once(name, make):
    """make(directory) fills build/clients/NAME, once."""
    path = os.path.join(CACHE, name)
    if not os.path.isdir(path):
        os.makedirs(CACHE, exist_ok=True)
        new = path + ".new"
        shutil.rmtree(new, ignore_errors=True)
        os.makedirs(new)
        make(new)
        os.rename(new, path)
    return path


def run(command, cwd=None, env=None, timeout=600):
    done = subprocess.run(command, cwd=cwd, env=dict(os.environ, **(env or {})), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} ended with {done.returncode}: {done.stdout[-2000:]}")
    return done.stdout


def with_broker(work, body):
    """body(broker) between start and stop; shows the broker's log when it raises or the broker died."""
    import tempfile
    with tempfile.TemporaryDirectory(prefix="chronik-clients-") as directory:
        broker = Broker(directory).start()
        try:
            return body(broker)
        finally:
            if broker.process.poll() is not None:
                print(f"# the broker ended with {broker.process.returncode}\n" + broker.log()[-3000:], file=sys.stderr)
            else:
                broker.signal(15)
                broker.wait()


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
