#!/usr/bin/env python3
"""Kafka's Java client from Maven Central against one broker."""
import os
import sys

from common import HERE, need, once, renumber, run, tap, with_broker

need("java", "mvn")
lib = once("java", lambda path: run(["mvn", "-q", "-B", "-f", os.path.join(HERE, "java/pom.xml"),
                                     "dependency:copy-dependencies", f"-DoutputDirectory={path}"]))
java = ["java", "-XX:+UseSerialGC", "-Xmx512m", "-cp", f"{lib}/*", os.path.join(HERE, "java/RoundTrip.java")]
sys.exit(renumber([with_broker(None, lambda b: tap(java + [b.address]))]))
