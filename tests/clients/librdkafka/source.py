"""source.py: librdkafka's sources with its tests, as they come inside the npm package of Confluent's JavaScript client, built once
into the cache; and a folder that looks like an installation of Kafka to those tests that call its scripts."""
import glob
import os
import shutil

from common import jars, once, run

PACKAGE = "@confluentinc/kafka-javascript@1.10.1"  # holds librdkafka 2.15.1
HEADERS = {"/usr/include/rapidjson/schema.h": "rapidjson-dev", "/usr/include/openssl/ssl.h": "libssl-dev",
           "/usr/include/zstd.h": "libzstd-dev", "/usr/include/lz4.h": "liblz4-dev", "/usr/include/zlib.h": "zlib1g-dev"}
# The one change: tests that ask for three replicas get one, since there is one broker. Kafka passes them so, too.
REPLICAS = ("rd_kafka_NewTopic_new(topicname, partition_cnt, replication_factor,", "rd_kafka_NewTopic_new(topicname, partition_cnt, 1,")
# What the tests call: the script's name in bin/ and the class that does it, or none where it is an argument.
SCRIPTS = {"kafka-topics.sh": "org.apache.kafka.tools.TopicCommand", "kafka-run-class.sh": ""}


def missing():
    """The Debian packages without which it cannot be built, or tests would skip themselves."""
    lost = [package for header, package in HEADERS.items() if not os.path.exists(header)]
    return lost + [p for p, tool in (("g++", "g++"), ("make", "make")) if not shutil.which(tool)]


def build(path):
    run(["npm", "pack", "--silent", PACKAGE], cwd=path, timeout=120)
    (archive,) = glob.glob(os.path.join(path, "*.tgz"))
    run(["tar", "xzf", archive, "--strip-components=3", "package/deps/librdkafka"], cwd=path)
    os.unlink(archive)
    with open(os.path.join(path, "tests/test.c"), encoding="utf-8") as f:
        text = f.read()
    if text.count(REPLICAS[0]) != 1:
        raise RuntimeError("the tests create topics in another way than in the version that was adapted here")
    with open(os.path.join(path, "tests/test.c"), "w", encoding="utf-8") as f:
        f.write(text.replace(*REPLICAS))
    # Its own build: the two libraries, then the tests on them. No SASL and no curl: no test here asks for them.
    run(["./configure", "--disable-gssapi", "--disable-curl", "--disable-debug-symbols", "--disable-optimization", "--CFLAGS=-O1"],
        cwd=path, timeout=300)
    for folder, target in (("src", []), ("src-cpp", []), ("tests", ["build"])):
        run(["make", "-s", "-j2", "-C", folder, *target], cwd=path, timeout=1800)


def librdkafka():
    return once("librdkafka", build, key=PACKAGE + REPLICAS[1])


def kafka_home(source):
    """A folder with bin/ and libs/, and the tests' own Java classes built with it."""
    lib = jars("tools/tools.xml")

    def make(path):
        os.mkdir(os.path.join(path, "bin"))
        os.symlink(lib, os.path.join(path, "libs"))
        for name, main in SCRIPTS.items():
            script = os.path.join(path, "bin", name)
            with open(script, "w", encoding="utf-8") as f:
                f.write('#!/bin/sh\nexec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 '
                        f'-cp "$CLASSPATH:{lib}/*" {main} "$@"\n')
            os.chmod(script, 0o755)
        run(["make", "-s", "-C", os.path.join(source, "tests/java")], env={"KAFKA_PATH": path}, timeout=120)

    return once("kafka-home", make, key=lib + source)
