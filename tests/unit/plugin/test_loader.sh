#!/bin/bash
# Every way a module can be wrong, each in a process of its own: refused with its own sentence, never a crash. The modules
# are compiled here from bad_module.c. Prints TAP.
here=$(cd "$(dirname "$0")" && pwd)
source_dir=$(cd "$here/../../.." && pwd)
build=${CHRONIK_BUILD:-.}
one=$build/tests/unit/plugin/load_one
cc=${CC:-cc}
command -v "${cc%% *}" >/dev/null || { echo "skip: no compiler to make broken modules with"; exit 77; }
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp"
mkdir "$tmp/dir"
status=0
sentences=$tmp/sentences

ok() { echo "ok - $1"; }
fail() { echo "not ok - $1"; echo "# $2"; status=1; }

# want NAME REGEX SAID EXIT: what the loader said and how its process ended
want() {
    if [ "$4" -gt 1 ]; then fail "$1" "ended with status $4: $3"
    elif [ "$4" != 1 ]; then fail "$1" "was loaded: $3"
    elif ! grep -Eq -- "$2" <<<"$3"; then fail "$1" "said: $3"
    else ok "$1"; echo "${3#*: }" >>"$sentences"; fi
}

# ask NAME REGEX [KIND] FILE
ask() {
    local said rc
    said=$("$one" "$tmp/dir" "${4:-store}" "$3" 2>&1); rc=$?
    want "$1" "$2" "$said" "$rc"
}

compile() { # OUTPUT FLAG...
    local out=$1
    shift
    "$cc" -std=gnu99 -w -fPIC -shared -I"$source_dir/include" -o "$out" "$@" "$here/bad_module.c"
}

# bad NAME REGEX FLAG...: a module with one lie
bad() {
    local name=$1 regex=$2
    shift 2
    compile "$tmp/bad.so" "$@" || { fail "$name" "does not compile"; return; }
    ask "$name" "$regex" "$tmp/bad.so"
}

compile "$tmp/good.so" || { echo "not ok - the good module compiles"; exit 1; }
said=$("$one" "$tmp/dir" store "$tmp/good.so") && [ "$said" = store-bad ] && ok "a good module is loaded" ||
    fail "a good module is loaded" "$said"

# what the descriptor says
bad "wrong magic" "field magic: wanted 0x31444843, found 0x0bad0bad: not a chronik module" -DBAD_MAGIC=0x0bad0bad
bad "magic of the other byte order" "field magic: .*other byte order" -DBAD_MAGIC=0x43484431
bad "magic of the frozen version" "field magic: .*frozen v1" -DBAD_MAGIC=0x31504843
bad "short descriptor" "field size: wanted at least 88, found 72" -DBAD_SIZE=72
bad "unknown kind" "field kind: wanted 1 \(meta\) or 2 \(store\), found 9" -DBAD_KIND=9
bad "other kind than asked for" "field kind: wanted 2 \(store\), found 1 \(meta\)" -DBAD_KIND=1
bad "newer abi major" "field abi_major: wanted 0, found 1" -DBAD_ABI_MAJOR=1
bad "newer abi minor" "field abi_minor: wanted at most 1, found 2" -DBAD_ABI_MINOR=2
bad "newer host major" "field host_major: wanted 0, found 3" -DBAD_HOST_MAJOR=3
bad "newer host minor" "field host_minor: wanted at most 2, found 3: the module needs a newer broker" -DBAD_HOST_MINOR=3
bad "reserved field in use" "field reserved: wanted 0, found 5" -DBAD_RESERVED=5
bad "unknown capability" "field capabilities: wanted bits of 0x1f03, found 0x10000000000" -DBAD_CAPABILITIES='(1ull<<40)'
bad "capability of the other kind" "field capabilities: .*found 0x10: bits that a store module does not have" \
    -DBAD_CAPABILITIES=0x10
bad "NULL name" "field name: wanted a string, found NULL" -DBAD_NAME=0
bad "name with a slash" "field name: wanted 1 to 63 of a-z, 0-9 and '-', found '../etc'" '-DBAD_NAME="../etc"'
bad "name without its kind" "field name: wanted 'store-' and a word, found 'wal'" '-DBAD_NAME="wal"'
bad "NULL version" "field version: wanted a string, found NULL" -DBAD_VERSION=0
bad "version of two lines" "field version: wanted 1 to 63 printable" '-DBAD_VERSION="1\n2"'
bad "summary of two lines" "field summary: wanted NULL or one line" '-DBAD_SUMMARY="1\n2"'
bad "NULL ops" "field ops: wanted a table, found NULL" -DBAD_OPS=0
bad "short ops table" "field ops_size: wanted at least 200, found 64" -DBAD_OPS_SIZE=64
bad "ops table that contradicts itself" "field ops->size: wanted ops_size, 200, found 64" -DBAD_INNER_SIZE=64
for op in create start append read release truncate_suffix replace_end sidecar_drop stat flush close; do
    bad "missing op $op" "field ops->$op: wanted a function, found NULL" -DBAD_MISSING=$op
done
bad "settings without a table" "field config_keys: wanted 1 keys, found NULL" -DBAD_KEYS=0
bad "too many settings" "field n_config_keys: wanted at most 256, found 100000" -DBAD_N_KEYS=100000
bad "settings with a short stride" "field config_key_stride: wanted at least 56, in steps of 8, found 16" -DBAD_STRIDE=16
bad "setting of nobody" "field config_keys\[0\].name: wanted 'chronik" '-DBAD_KEY_NAME="log.dirs"'
bad "setting of an unknown type" "field config_keys\[0\].type of .*: wanted 1 to 4, found 9" -DBAD_KEY_TYPE=9
bad "setting with a flag" "field config_keys\[0\].flags of .*: wanted 0, found 0x1" -DBAD_KEY_FLAGS=1
bad "setting without a default" "field config_keys\[0\].dflt of .*: wanted a string, found NULL" -DBAD_KEY_DEFAULT=0
bad "setting without a description" "field config_keys\[0\].doc of .*: wanted a string, found NULL" -DBAD_KEY_DOC=0
bad "number outside its range" "field config_keys\[0\].dflt of .*: wanted a whole number in its range, found '11'" \
    '-DBAD_KEY_DEFAULT="11"'
bad "switch that is neither on nor off" "wanted true or false, found '7'" -DBAD_KEY_TYPE=3
bad "choice that is none" "wanted one of its choices, found 'b'" -DBAD_KEY_TYPE=4 '-DBAD_KEY_DEFAULT="b"'

# what the entry function does
bad "no entry function" "wanted an exported function chronik_plugin_v1, found none" -DBAD_NO_ENTRY
bad "entry function that gives nothing" "chronik_plugin_v1\(\): wanted a descriptor, found NULL" -DBAD_NULL
bad "undefined symbol" "refused by the dynamic loader: undefined symbol: chronik_no_such_function" -DBAD_UNDEFINED

# what the file is
patch_byte() { # OFFSET OCTAL
    cp "$tmp/good.so" "$tmp/bad.so"
    printf "\\$2" | dd of="$tmp/bad.so" bs=1 seek="$1" conv=notrunc status=none
}
ask "nothing there" "cannot be opened: No such file" "$tmp/nothing.so"
ask "a directory" "wanted a regular file, found a directory" "$tmp/dir/"
mkfifo "$tmp/fifo.so"
ask "a named pipe" "wanted a regular file, found a special file" "$tmp/fifo.so"
: >"$tmp/bad.so"
ask "an empty file" "ELF field magic: wanted 7f 45 4c 46, found a file of 0 bytes" "$tmp/bad.so"
echo hi >"$tmp/bad.so"
ask "a file of three bytes" "ELF field magic: wanted 7f 45 4c 46, found a file of 3 bytes" "$tmp/bad.so"
echo "this is text" >"$tmp/bad.so"
ask "a text file" "ELF field magic: wanted 7f 45 4c 46, found 74 68 69 73" "$tmp/bad.so"
patch_byte 4 001; ask "wrong class" "ELF field class: wanted 2, found 1" "$tmp/bad.so"
patch_byte 5 002; ask "wrong byte order" "ELF field data: wanted 1, found 2" "$tmp/bad.so"
patch_byte 16 002; ask "an executable" "ELF field type: wanted 3, found 2" "$tmp/bad.so"
patch_byte 18 050; ask "wrong machine" "ELF field machine: wanted [0-9]+, found 40" "$tmp/bad.so"
patch_byte 54 003; ask "wrong size of program headers" "ELF field phentsize: wanted 56, found 3" "$tmp/bad.so"
patch_byte 58 003; ask "wrong size of section headers" "ELF field shentsize: wanted 64, found 3" "$tmp/bad.so"
patch_byte 37 377; ask "program headers behind the end" "truncated: the table of program headers needs" "$tmp/bad.so"
patch_byte 56 000; ask "no program headers" "wanted a dynamic section, found none" "$tmp/bad.so"

# truncated at many lengths: a sentence each time, never a SIGBUS
size=$(stat -c %s "$tmp/good.so")
broken=
for n in 1 3 4 5 16 40 63 64 65 100 120 176 512 $(seq 700 997 "$size") $((size - 4096)) $((size - 64)) $((size - 1)); do
    [ "$n" -lt "$size" ] && [ "$n" -gt 0 ] || continue
    head -c "$n" "$tmp/good.so" >"$tmp/bad.so"
    said=$("$one" "$tmp/dir" store "$tmp/bad.so" 2>&1); rc=$?
    { [ "$rc" = 1 ] && grep -Eq "truncated: .* needs bytes|ELF field magic" <<<"$said"; } || broken="$broken $n:$rc:$said"
done
[ -z "$broken" ] && ok "truncated at any length" || fail "truncated at any length" "$broken"

# unreadable: root reads everything, so another user asks
cp "$tmp/good.so" "$tmp/bad.so"
chmod 000 "$tmp/bad.so"
as=
[ "$(id -u)" != 0 ] || as="setpriv --reuid=65534 --regid=65534 --clear-groups"
if [ -n "$as" ] && ! $as test -x "$one" 2>/dev/null; then
    echo "ok - unreadable # skip another user cannot reach the build directory"
else
    said=$($as "$one" "$tmp/dir" store "$tmp/bad.so" 2>&1); rc=$?
    want "unreadable" "cannot be opened: Permission denied" "$said" "$rc"
fi
rm -f "$tmp/bad.so"

# by name
cp "$tmp/good.so" "$tmp/dir/store-bad.so"
cp "$tmp/good.so" "$tmp/dir/store-other.so"
said=$("$one" "$tmp/dir" store bad) && ok "the short name is enough" || fail "the short name is enough" "$said"
said=$("$one" "$tmp/dir" store store-bad) && ok "the full name will do" || fail "the full name will do" "$said"
ask "a name that is not installed" "wanted the module store-wall, found no file store-wall.so; store modules there: store-bad, store-other" wall
ask "a file that is called otherwise" "field name: wanted 'store-other', as the file is called, found 'store-bad'" other
ask "a name that is none" "wanted a module's name of a-z, 0-9 and '-', or a path with a '/' such as ./x.so" x.so

# the list
echo text >"$tmp/dir/broken.so"
said=$("$one" --list "$tmp/dir")
[ "$(grep -c . <<<"$said")" = 4 ] && grep -q "store-bad store SIDECAR" <<<"$said" && grep -q "broken.so: ELF" <<<"$said" &&
    ok "the list has those that load and those that do not" || fail "the list has those that load and those that do not" "$said"

double=$(sort "$sentences" | uniq -d)
[ -z "$double" ] && ok "each refusal has a sentence of its own" || fail "each refusal has a sentence of its own" "$double"
exit $status
