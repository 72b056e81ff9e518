#!/usr/bin/env bash
# Asks Apache Kafka's own client library as the oracle of the wire format: every message in every stable version, filled at
# random by the library, is decoded and re-encoded here byte for byte. Needs Java 17 and Maven (kafka-clients comes from
# Maven Central). usage: run.sh [ROUNDS] [SEED]; CHRONIK_BUILD names the build directory.
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
make -s -C "$build" tests/clients/wire-oracle/wire_oracle
lib=$build/tests/clients/wire-oracle/lib
if [ ! -d "$lib" ]; then
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$lib.new" >&2
    mv "$lib.new" "$lib"
fi
out=$(mktemp)
trap 'rm -f "$out"' EXIT
echo "seed $seed (repeat: $0 $rounds $seed)" >&2
java -XX:+UseSerialGC -Xmx512m -cp "$lib/*" "$here/WireOracle.java" "$out" "$rounds" "$seed"
"$build/tests/clients/wire-oracle/wire_oracle" "$out"
