#!/usr/bin/env bash
# docs: write the documentation that is generated from the code
. "$(dirname "$0")/lib/common.sh"
need_packages "python3:python3"
python3 core/config/settings.py markdown core/config/settings.tsv >docs/configuration.md
page=$(bash scripts/lib/docs-protocol.sh)
printf '%s\n' "$page" >docs/protocol.md
