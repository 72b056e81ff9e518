"""brokers.py: the two brokers of the bench as processes: started on free ports and a data directory of their own, asked
for memory and CPU through /proc, ended by their own id. Every wait is bounded. Standard library alone."""
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
KAFKA = "4.4.0"
# What Kafka's own start script passes, with the heap that it gives.
JVM = ("-server -Xms1g -Xmx1g -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 "
       "-XX:+ExplicitGCInvokesConcurrent -XX:MaxInlineLevel=15 -Djava.awt.headless=true").split()
TICKS = os.sysconf("SC_CLK_TCK")


# How urgent brokers and generator are to the scheduler, all alike; on a shared machine below zero (root alone).
niceness = []


class Failed(Exception):
    """What the bench needed and did not get."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Broker:
    """One process. `label` names it in the table; subclasses give the command and prepare the data directory."""
    stop_seconds = 60

    def __init__(self, build, work):
        self.build = build
        self.work = tempfile.mkdtemp(prefix=self.label + "-", dir=work)
        self.port = free_port()
        self.process = None

    def start(self, topic="", partitions=1):
        """Starts it; the seconds until it answered for all partitions of `topic`, or for the cluster."""
        since = time.monotonic_ns()
        with open(os.path.join(self.work, "log"), "ab") as log:
            self.process = subprocess.Popen([*niceness, *self.command()], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            cwd=self.work, start_new_session=True)
        return self.wait_for(topic, partitions, since)

    def wait_for(self, topic, partitions, since=0):
        return self.load("wait", topic=topic, partitions=partitions, since=since, stop=180, seconds=0)["seconds"]

    def load(self, mode, check=False, raw=False, simple=False, **options):
        """One run of the load generator against this broker: what it printed."""
        options = {"port": self.port, "pid": self.process.pid, **options}
        command = [*niceness, os.path.join(self.build, "tests/bench/load"), mode, *(["--check"] if check else []),
                   *(["--raw"] if raw else []), *(["--simple"] if simple else [])]
        command += [f"--{k.replace('_', '-')}={v}" for k, v in options.items()]
        limit = options.get("seconds", 5) + options.get("warmup", 1) + 200
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False,
                              start_new_session=True)
        if done.returncode != 0:
            raise Failed(f"{self.label}: {' '.join(command[1:])}: {done.stderr.strip()} {done.stdout.strip()}\n"
                         + self.last_words())
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def last_words(self):
        with open(os.path.join(self.work, "log"), errors="replace") as f:
            return "".join(f.readlines()[-15:])

    def resident_mib(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024

    def cpu_seconds(self):
        """User and system time of all its threads."""
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def idle_cpu_percent(self, seconds):
        begin, since = self.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        return 100 * (self.cpu_seconds() - begin) / (time.monotonic() - since)

    def evict(self, topic):
        """The kernel forgets the pages of a topic's segments, as far as they are on disk."""
        for path in glob.glob(os.path.join(self.work, self.segments(topic))):
            try:
                fd = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue  # another topic's, deleted meanwhile
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"{self.label} did not stop within {self.stop_seconds} s") from None

    def end(self):
        """For clean-up: the process and its data are gone afterwards."""
        self.kill()
        shutil.rmtree(self.work, ignore_errors=True)


class Chronik(Broker):
    label = "chronik"

    def __init__(self, build, work, flush, settings=None):
        super().__init__(build, work)
        self.settings = {"listeners": f"PLAINTEXT://127.0.0.1:{self.port}", "chronik.admin.listener": "",
                         "log.dirs": os.path.join(self.work, "data"), "chronik.flush": flush,
                         "auto.create.topics.enable": "false", **(settings or {})}

    def command(self):
        overrides = [w for k, v in self.settings.items() for w in ("--override", f"{k}={v}")]
        return [os.path.join(self.build, "out/bin/chronik"), "--meta=local", "--store=wal", *overrides]

    def segments(self, topic):
        return "data/data/*/*.log"  # folders are named by topic id: all of them


class Kafka(Broker):
    label = "kafka"

    def __init__(self, build, work, settings=None):
        super().__init__(build, work)
        controller = free_port()
        self.jars = kafka_jars(build)
        self.config = os.path.join(self.work, "server.properties")
        settings = {
            "process.roles": "broker,controller", "node.id": 1, "controller.listener.names": "CONTROLLER",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": os.path.join(self.work, "data"), "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1, "transaction.state.log.min.isr": 1,
            "auto.create.topics.enable": "false", "log.segment.delete.delay.ms": 1000, **(settings or {}),
        }
        with open(self.config, "w") as f:
            f.writelines(f"{k}={v}\n" for k, v in settings.items())
        done = subprocess.run(["java", "-cp", self.jars, "kafka.tools.StorageTool", "format", "--standalone", "-t",
                               "Y2hyb25pay1iZW5jaC0wMQ", "-c", self.config], capture_output=True, text=True,
                              timeout=120, check=False)
        if done.returncode != 0:
            raise Failed(f"Kafka's StorageTool failed: {done.stdout} {done.stderr}")

    def command(self):
        return ["java", *JVM, "-cp", self.jars, "kafka.Kafka", self.config]

    def segments(self, topic):
        return f"data/{topic}-*/*.log"


class Bound(Broker):
    """What this machine allows at most: tests/bench/bound."""
    label = "bound"

    def start(self, *options):
        command = [os.path.join(self.build, "tests/bench/bound"), f"--loops={os.cpu_count()}", *options, self.work]
        self.process = subprocess.Popen([*niceness, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        start_new_session=True)
        self.port = int(self.process.stdout.readline())

    def last_words(self):
        return ""

    def stop(self):
        self.process.stdin.close()
        self.process.wait(self.stop_seconds)


def kafka_jars(build):
    """A class path with Kafka and what it needs; Maven fetches it once."""
    jars = os.path.join(build, "bench", f"kafka-{KAFKA}")
    if not os.path.isdir(jars):
        fresh = jars + ".new"
        shutil.rmtree(fresh, ignore_errors=True)
        subprocess.run(["bash", os.path.join(HERE, "../../scripts/lib/maven.sh"), "-f", os.path.join(HERE, "kafka/pom.xml"), f"-Dkafka.version={KAFKA}",
                        "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={fresh}"],
                       check=True, timeout=900, stdout=subprocess.DEVNULL)
        os.rename(fresh, jars)
    return os.path.join(jars, "*")


def why_no_peer(build):
    """None, or the sentence that says why Kafka cannot run here."""
    if not shutil.which("java"):
        return "java is not installed (Kafka needs Java 17)"
    if not os.path.isdir(os.path.join(build, "bench", f"kafka-{KAFKA}")) and not shutil.which("mvn"):
        return "mvn is not installed (it fetches Kafka)"
    try:
        kafka_jars(build)
    except (subprocess.SubprocessError, OSError) as e:
        return f"Maven could not fetch Kafka: {e}"
    return None
