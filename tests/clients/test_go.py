#!/usr/bin/env python3
"""franz-go, sarama and segmentio/kafka-go from the Go module proxy against one broker."""
import os
import sys

from common import copy, need, once, renumber, run, tap, with_broker

SOURCES = ("go/go.mod", "go/go.sum", "go/main.go", "go/sarama.go", "go/segmentio.go")


def build(path):
    copy(SOURCES, path)
    run(["go", "build", "-o", "roundtrip", "."], cwd=path, env={"GOFLAGS": "-mod=mod"})


need("go")
program = os.path.join(once("go", build, SOURCES), "roundtrip")
sys.exit(renumber([with_broker(lambda b: tap([program, b.address]))]))
