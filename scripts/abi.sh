#!/usr/bin/env bash
# abi [--update]: compare the plugin ABI with its reference, and prove that the comparison bites
set -euo pipefail
cd "$(dirname "$0")/.."
reference=tests/abi/reference.xml
cc=${CC:-cc}
command -v abidiff >/dev/null || { echo "abi: abidiff not found; install the package abigail-tools" >&2; exit 1; }
if [ "$(uname -m)" != x86_64 ]; then
    echo "skip: the reference is of x86_64, this is $(uname -m)"
    exit 0
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# library HEADERS OUTPUT: abi.c against a set of headers. -gdwarf-4: what every libabigail reads.
library() {
    "$cc" -std=gnu17 -gdwarf-4 -O0 -fPIC -shared -fvisibility=hidden ${3:+"$3"} -I"$1" -o "$2" tests/abi/abi.c
}
dump() {
    abidw --no-corpus-path --no-comp-dir-path --no-show-locs --out-file "$2" "$1"
}
# compare LIBRARY: 0 the same, 4 changed, 12 changed incompatibly
compare() {
    abidiff --no-show-locs "$reference" "$1" >"$tmp/report" 2>&1
}

library include "$tmp/abi.so"
if [ "${1:-}" = --update ]; then
    dump "$tmp/abi.so" "$reference"
    echo "abi: $reference written; commit it with the change that it describes"
    exit 0
fi
status=0
compare "$tmp/abi.so" || status=$?
if [ "$status" != 0 ]; then
    cat "$tmp/report"
    echo "abi: the plugin ABI differs from $reference. On purpose? tests/abi/README.md says what to do" >&2
    exit 1
fi
echo "ok - the plugin ABI is that of the reference"

# The same headers with one change each. The assertions of abi.c are switched off: abidiff itself must see it.
failed=0
mutant() { # NAME FILE SED-EXPRESSION
    local dir=$tmp/mutant status=0
    rm -rf "$dir"
    cp -r include "$dir"
    sed -i -E "$3" "$dir/chronik/$2"
    if cmp -s "include/chronik/$2" "$dir/chronik/$2"; then
        echo "not ok - $1: the change did not apply"
        failed=1
        return
    fi
    if ! library "$dir" "$tmp/mutant.so" "-D_Static_assert(...)=extern int abi_unchecked" 2>"$tmp/report"; then
        echo "not ok - $1: does not compile"
        cat "$tmp/report"
        failed=1
        return
    fi
    compare "$tmp/mutant.so" || status=$?
    if [ $((status & 4)) = 4 ]; then
        echo "ok - noticed: $1"
    else
        echo "not ok - $1 was not noticed"
        failed=1
    fi
}
mutant "a field in the middle of the descriptor" plugin.h 's/^(    uint64_t capabilities;)/    uint64_t intruder;\n\1/'
mutant "a field that became wider" plugin.h 's/^    uint32_t n_config_keys;/    uint64_t n_config_keys;/'
mutant "an op in the middle of the storage table" store.h 's/^(    void \(\*release\).*)/    void (*intruder)(void);\n\1/'
mutant "an op that is gone" store.h '/^    int32_t \(\*roll\)/d'
mutant "an op with another argument" store.h 's/\(\*find_time\)\(chronik_store_part \*p, int64_t ts/(*find_time)(chronik_store_part *p, int32_t ts/'
mutant "two metadata ops that changed places" meta.h \
    's/^    int32_t \(\*trim\).*/    void (*status_)(void);/; s/^    void \(\*status\).*/    int32_t (*trim)(chronik_meta *m, uint64_t index);/'
mutant "an event with another result" meta.h 's/void \(\*caught_up\)/int32_t (*caught_up)/'
mutant "a host service with another type" host.h 's/int64_t \(\*wall_ms\)/int32_t (*wall_ms)/'
mutant "a host service in the middle" host.h 's/^(    void \(\*random\).*)/    void (*intruder)(void *ctx);\n\1/'
mutant "a part of a task that became shorter" base.h 's/uint64_t reserved\[6\]/uint64_t reserved[5]/'
mutant "a field of a read that changed its sign" store.h 's/^    uint64_t max_bytes;/    int64_t max_bytes;/'
exit $failed
