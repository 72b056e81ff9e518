"""load.py: the loads of tests/e2e (kill_load, commit_load, topic_load) as processes of a test: they work until they are
told to stop, say how much was answered so far, and give their verdict."""
import os
import random
import subprocess
import time

from harness import BUILD, SLOW, check, wait_for


class Load:
    """`with Load(work, "kill_load", broker, arguments) as load: …`; several brokers: a list of them."""

    def __init__(self, work, program, brokers, *args):
        path = os.path.join(BUILD, "tests/e2e", program)
        check(os.path.exists(path), f"tests/e2e/{program} was not built")
        addresses = ",".join(b.address for b in (brokers if isinstance(brokers, list) else [brokers]))
        self.program = program
        self.errors = open(os.path.join(work, f"{program}.log"), "w+b")
        self.process = subprocess.Popen([path, addresses, *map(str, args)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self.errors.close()

    def answered(self):
        """How many of its requests were answered with success so far."""
        self.process.stdin.write(b"?")
        self.process.stdin.flush()
        line = self.process.stdout.readline().strip()
        check(line.isdigit(), f"{self.program} says: {line.decode(errors='replace')}")
        return int(line)

    def verdict(self):
        """Stops it: (exit status, sentences); the last sentence sums up."""
        self.process.stdin.close()
        self.process.stdin = None
        said, _ = self.process.communicate(timeout=300 * SLOW)
        return self.process.returncode, said.decode(errors="replace").strip()


def seed_of():
    """CHRONIK_SEED, else one of the clock."""
    return int(os.environ.get("CHRONIK_SEED", time.time_ns() % 1_000_000))


def kill_rounds(b, load, rounds, seed, pause):
    """Kills and restarts the broker so often; each time after new answers and a pause of `pause` seconds."""
    chance = random.Random(seed)
    before = 0
    for n in range(rounds):
        wait_for(f"answers in round {n}", lambda: load.answered() > before, 30)
        time.sleep(chance.uniform(*pause))
        before = load.answered()
        b.kill()
        b.start()
    wait_for("answers after the last restart", lambda: load.answered() > before, 30)
