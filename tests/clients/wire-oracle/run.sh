#!/usr/bin/env bash
# Asks Apache Kafka's own client library as the oracle of the wire format: every message in every stable version, and record
# batches of every codec, filled at random by the library, are decoded and re-encoded here byte for byte, and our batches are
# read by the library. Needs Java 17 and Maven (kafka-clients comes from Maven Central).
# usage: run.sh [ROUNDS] [SEED]; CHRONIK_BUILD names the build directory
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${CHRONIK_BUILD:-$here/../../../build}
rounds=${1:-60} seed=${2:-$RANDOM}
for tool in java mvn; do
    if ! command -v "$tool" >/dev/null; then
        echo "skipped: $tool is not installed (Java 17 and Maven are needed)"
        exit 77
    fi
done
make -s -C "$build" tests/clients/wire-oracle/wire_oracle tests/clients/wire-oracle/batch_oracle >&2
bin=$build/tests/clients/wire-oracle
lib=$bin/lib
if [ ! -d "$lib" ]; then
    bash "$here/../../../scripts/lib/maven.sh" -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$lib.new" >&2
    mv "$lib.new" "$lib"
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
java=(java -XX:+UseSerialGC -Xmx512m -cp "$lib/*")
echo "seed $seed (repeat: $0 $rounds $seed)" >&2
"${java[@]}" "$here/WireOracle.java" "$out/messages" "$rounds" "$seed" >&2
"$bin/wire_oracle" "$out/messages"
"${java[@]}" "$here/BatchOracle.java" write "$out/batches" "$rounds" "$seed" >&2
"$bin/batch_oracle" "$out/batches" "$out/ours"
"${java[@]}" "$here/BatchOracle.java" read "$out/ours"
