#!/usr/bin/env bash
# The table of docs/protocol.md says what the definitions and the registered handlers say.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bash scripts/lib/docs-protocol.sh | cmp -s - docs/protocol.md || {
    echo "docs/protocol.md is out of date: ./dev docs writes it"
    exit 1
}
