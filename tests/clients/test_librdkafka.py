#!/usr/bin/env python3
"""librdkafka's own suite against two brokers that differ in auto.create.topics.enable. With --full (CHRONIK_CLIENTS_FULL) all tests
of librdkafka/tests.tsv, else those marked for continuous integration.
usage: test_librdkafka.py [TEST...]: those whose names begin so. CHRONIK_SUITE_LOGS=DIR keeps the logs, CHRONIK_SUITE_JOBS (4) is how
many run at a time, CHRONIK_SUITE_BROKER=HOST:PORT takes a broker that runs elsewhere."""
import os
import sys
import tempfile

from common import FULL, Table, broker, need

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "librdkafka"))
import source  # noqa: E402
import suite  # noqa: E402

# What the suite expects of a broker beside the defaults.
SETTINGS = {"num_partitions": "4", "group_initial_rebalance_delay_ms": "3000", "group_min_session_timeout_ms": "1000",
            "broker_rack": "RACK1"}


def main(names):
    need("npm", "java", "mvn", "javac")
    lost = source.missing()
    if lost:
        print(f"1..0 # SKIP the suite cannot be built without the packages {' '.join(lost)}")
        sys.exit(77)
    rows = suite.listed()
    if names:
        rows = [r for r in rows if r["test"].startswith(tuple(names))]
    elif not FULL:
        rows = [r for r in rows if r["ci"] == "yes"]
    built = source.librdkafka()
    home = source.kafka_home(built)
    table = Table()

    def done(row, result):
        name = f"librdkafka {row['test']} {result.state} in {result.seconds:.1f} s (Kafka: {row['kafka']} in {row['seconds']} s)"
        table.row(name, result.why if result.state != "PASS" else "")

    with tempfile.TemporaryDirectory(prefix="chronik-rdk-") as temporary:
        work = os.environ.get("CHRONIK_SUITE_LOGS") or temporary
        os.makedirs(work, exist_ok=True)
        elsewhere = os.environ.get("CHRONIK_SUITE_BROKER")
        jobs = int(os.environ.get("CHRONIK_SUITE_JOBS", "4"))
        if elsewhere:
            suite.run(rows, built, {"auto": elsewhere, "noauto": elsewhere}, home, work, jobs, done)
        else:
            with broker(**SETTINGS) as auto, broker(auto_create_topics_enable="false", **SETTINGS) as noauto:
                suite.run(rows, built, {"auto": auto.address, "noauto": noauto.address}, home, work, jobs, done)
    table.end()


main(sys.argv[1:])
