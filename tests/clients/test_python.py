#!/usr/bin/env python3
"""confluent-kafka, aiokafka and kafka-python from PyPI against one broker."""
import os
import sys
import venv

from common import HERE, once, renumber, run, tap, with_broker

PACKAGES = ("confluent-kafka==2.16.1", "aiokafka==0.14.0", "cramjam", "kafka-python==3.0.12", "python-snappy", "lz4", "zstandard")


def install(path):
    venv.create(path, with_pip=True)
    run([os.path.join(path, "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check",
         *PACKAGES])


python = os.path.join(once("python", install, key=" ".join(PACKAGES)), "bin/python3")
scripts = ("confluent_roundtrip.py", "aiokafka_roundtrip.py", "kafka_python_roundtrip.py")
outputs = with_broker(lambda b: [tap([python, os.path.join(HERE, "python", s), b.address]) for s in scripts])
sys.exit(renumber(outputs))
