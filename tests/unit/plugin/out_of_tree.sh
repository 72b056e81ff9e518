#!/bin/sh
# The example modules build with nothing but the installed headers and pkg-config, as sdk/README.md says, and what comes
# out passes the conformance kit. Prints TAP.
here=$(cd "$(dirname "$0")" && pwd)
sdk=$(cd "$here/../../../sdk" && pwd)
build=$(cd "${CHRONIK_BUILD:-.}" && pwd)
command -v pkg-config >/dev/null || { echo "skip: no pkg-config"; exit 77; }
command -v "${CC:-cc}" >/dev/null || { echo "skip: no compiler"; exit 77; }
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
unset MAKEFLAGS MFLAGS MAKELEVEL
make -s -C "$build" install-chronikincludeHEADERS install-pkgconfigDATA prefix="$tmp" exec_prefix="$tmp" \
    includedir="$tmp/include" libdir="$tmp/lib" >"$tmp/log" 2>&1 || { echo "not ok - the headers install"; cat "$tmp/log"; exit 1; }
PKG_CONFIG_PATH=$tmp/lib/pkgconfig
export PKG_CONFIG_PATH
status=0
for module in meta-mem store-mem; do
    cp -r "$sdk/$module" "$tmp/$module"
    chmod -R u+w "$tmp/$module" # a distribution may be read-only
    if ! make -s -C "$tmp/$module" CC="${CC:-cc}" CFLAGS="-O1 -Wall -Wextra -Werror" \
        PKG_CONFIG="pkg-config --define-variable=prefix=$tmp" >"$tmp/log" 2>&1; then
        echo "not ok - $module builds out of tree"
        cat "$tmp/log"
        status=1
        continue
    fi
    echo "ok - $module builds out of tree"
    if ASAN_OPTIONS=detect_leaks=0 "$build/sdk/conformance/chronik-plugin-test" "$tmp/$module/$module.so" >"$tmp/log" 2>&1
    then
        echo "ok - $module, built out of tree, passes the conformance kit"
    else
        echo "not ok - $module, built out of tree, passes the conformance kit"
        cat "$tmp/log"
        status=1
    fi
done
exit $status
