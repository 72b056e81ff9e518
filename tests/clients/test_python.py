#!/usr/bin/env python3
"""confluent-kafka and aiokafka from PyPI against one broker."""
import os
import sys
import venv

from common import HERE, once, renumber, run, tap, with_broker


def install(path):
    venv.create(path, with_pip=True)
    run([os.path.join(path, "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check",
         "confluent-kafka==2.16.1", "aiokafka==0.14.0", "cramjam"])


python = os.path.join(once("python", install), "bin/python3")
scripts = ("confluent_roundtrip.py", "aiokafka_roundtrip.py")
outputs = with_broker(None, lambda b: [tap([python, os.path.join(HERE, "python", s), b.address]) for s in scripts])
sys.exit(renumber(outputs))
