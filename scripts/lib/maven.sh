#!/usr/bin/env bash
# maven.sh ARGUMENT...: Maven, one at a time: two that fetch at once may damage the user's local repository.
set -euo pipefail
mkdir -p ~/.m2
exec flock ~/.m2/chronik.lock mvn -q -B "$@"
