#!/usr/bin/env python3
"""Kafka's Java client from Maven Central against one broker."""
import os
import sys

from common import HERE, jars, need, renumber, tap, with_broker

need("java", "mvn")
java = ["java", "-XX:+UseSerialGC", "-Xmx512m", "-cp", f"{jars('java/clients.xml')}/*", os.path.join(HERE, "java/RoundTrip.java")]
sys.exit(renumber([with_broker(lambda b: tap(java + [b.address]))]))
