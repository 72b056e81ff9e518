#!/usr/bin/env python3
"""test_command_line.py: what a user sees of the program without a running broker."""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import Tests, check, chronik  # noqa: E402

tests = Tests()


def settings_file(work, text):
    path = os.path.join(work, "server.properties")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


@tests.test
def version_and_help_need_nothing_and_end_well(work):
    status, out, _ = chronik("--version")
    check(status == 0 and out.startswith("chronik ") and "build" in out, f"--version: {out}")
    status, out, _ = chronik("--help")
    check(status == 0 and "--override KEY=VALUE" in out, f"--help: {out}")


@tests.test
def the_installed_modules_are_listed_with_kind_abi_capabilities_and_path(work):
    status, out, err = chronik("plugins")
    check(status == 0, err)
    for word in ("meta-mem", "store-mem", "ABI ", "lib/chronik/meta-mem.so"):
        check(word in out, f"no '{word}' in: {out}")


@tests.test
def check_config_names_file_line_key_and_nearest_key(work):
    path = settings_file(work, "# mine\nlog.retension.ms=1\nnum.partitions=none\n")
    status, _, err = chronik(path, "--check-config", "--meta=mem", "--store=mem")
    check(status == 1, f"status {status}")
    check(f"{path}:2: unknown key 'log.retension.ms'; the nearest valid key is log.retention.ms" in err, err)
    check(f"{path}:3: Invalid value none for configuration num.partitions: Not a number of type INT" in err, err)


@tests.test
def check_config_passes_a_good_file_and_can_allow_unknown_keys(work):
    path = settings_file(work, "num.partitions=3\n")
    status, out, err = chronik(path, "--check-config", "--meta=mem", "--store=mem")
    check(status == 0 and "no problem found" in out, err)
    path = settings_file(work, "my.key=3\n")
    status, _, err = chronik(path, "--check-config", "--allow-unknown-config", "--meta=mem", "--store=mem")
    check(status == 0 and "warning" in err and "my.key" in err, err)


@tests.test
def check_config_refuses_a_module_that_is_not_there(work):
    status, _, err = chronik("--check-config", "--meta=mem", "--store=nowhere")
    check(status == 1 and "chronik.store=nowhere" in err and "store-mem" in err, err)
    status, _, err = chronik("--check-config", "--meta=mem", "--store=" + os.path.join(work, "x.so"))
    check(status == 1 and "x.so" in err, err)


@tests.test
def security_that_is_not_there_is_refused(work):
    path = settings_file(work, "listeners=SASL_SSL://127.0.0.1:9092\nsasl.enabled.mechanisms=PLAIN\n")
    status, _, err = chronik(path, "--check-config")
    check(status == 1 and "asks for SASL_SSL" in err and "sasl.enabled.mechanisms asks for security" in err, err)


@tests.test
def an_advertised_wildcard_is_refused_with_the_remedy(work):
    status, _, err = chronik("--check-config", "--override", "listeners=PLAINTEXT://0.0.0.0:9092")
    check(status == 1 and "advertised.listeners=PLAINTEXT://" in err, err)


@tests.test
def config_show_names_each_value_and_its_source(work):
    path = settings_file(work, "num.partitions=3\nlog.segment.bytes=2000000\n")
    status, out, err = chronik("config", "show", path, "--override", "log.segment.bytes=3000000",
                               env={"CHRONIK_LOG_RETENTION_MS": "5"})
    check(status == 0, err)
    for line in (f"num.partitions = 3  # {path}:1", "log.segment.bytes = 3000000  # --override",
                 "log.retention.ms = 5  # environment CHRONIK_LOG_RETENTION_MS", "node.id = 1  # default"):
        check(line in out.splitlines(), f"no '{line}' in: {out}")


@tests.test
def wrong_usage_ends_with_status_2_and_a_sentence(work):
    for args in (["--nonsense"], ["--override", "x"], ["a", "b"], ["config"]):
        status, _, err = chronik(*args)
        check(status == 2 and err.startswith("chronik: ") and err.count("\n") == 1, f"{args}: {status} {err}")
    status, _, err = chronik(os.path.join(work, "missing.properties"), "--check-config")
    check(status == 1 and "missing.properties: there is no such file" in err, err)


@tests.test
def what_is_no_file_of_settings_is_refused_with_one_sentence(work):
    garbage, pipe = os.path.join(work, "garbage"), os.path.join(work, "pipe")
    with open(garbage, "wb") as f:
        f.write(random.Random(1).randbytes(100000))
    os.mkfifo(pipe)
    for path in (garbage, pipe, work, "/dev/zero", ""):
        status, _, err = chronik(path, "--check-config")
        check(status == 1 and err.startswith("chronik: ") and path in err and err.count("\n") == 1, f"{path}: {status} {err[:300]}")


@tests.test
def odd_overrides_are_refused_with_one_sentence(work):
    for args, words in ((["--override"], "KEY=VALUE"), (["--override", "=1"], "KEY=VALUE"), (["--override="], "KEY=VALUE"),
                        (["--override", "num.partitions"], "KEY=VALUE"), (["--meta="], "module"), (["--store", ""], "module")):
        status, _, err = chronik(*args, "--check-config")
        check(status in (1, 2) and words in err and err.count("\n") == 1, f"{args}: {status} {err[:300]}")
    for setting, words in (("num.partitions=", "num.partitions"), ("num.partitions=99999999999999999999", "num.partitions"),
                           ("no.such.key=1", "no.such.key"), ("listeners=PLAINTEXT://127.0.0.1:65536", "out of range"),
                           ("listeners=" + "x" * 100000, "NAME://host:port"), ("log.dirs=", "log.dirs"),
                           ("\x1b[31m=1", "unknown key")):
        status, _, err = chronik("--override", setting, "--check-config")
        check(status == 1 and words in err and len(err) < 2000, f"{setting[:50]}: {status} {err[:300]}")


tests.main()
