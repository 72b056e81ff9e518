#!/usr/bin/env python3
"""franz-go from the Go module proxy against one broker."""
import os
import shutil
import sys

from common import HERE, need, once, renumber, run, tap, with_broker

need("go")


def build(path):
    for name in ("go.mod", "go.sum", "main.go"):
        shutil.copy(os.path.join(HERE, "go", name), path)
    run(["go", "build", "-o", "roundtrip", "."], cwd=path, env={"GOFLAGS": "-mod=mod"})


program = os.path.join(once("go", build), "roundtrip")
sys.exit(renumber([with_broker(None, lambda b: tap([program, b.address]))]))
