#!/bin/sh
# docs/configuration.md is what the table of settings says.
set -eu
cd "${srcdir:-$(dirname "$0")/../../..}"
name="the documented settings are the settings of the code"
if python3 core/config/settings.py markdown core/config/settings.tsv | cmp - docs/configuration.md; then
    echo "ok 1 - $name"
else
    echo "not ok 1 - $name: run ./dev docs"
    exit 1
fi
