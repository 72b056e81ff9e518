# common.sh: what the verbs share: the source tree, packages, and building into a directory. Sourced, never run.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top"
jobs=${CHRONIK_JOBS:-$(nproc)}

say() {
    echo "dev: $*" >&2
}

die() {
    say "$*"
    exit 1
}

# What is needed, as package:probe, the probe a command or an absolute path.
build_packages="gcc:gcc make:make autoconf:autoconf automake:automake libtool:libtoolize pkg-config:pkg-config git:git
 python3:python3 libc6-dev:/usr/include/stdio.h libevent-dev:/usr/include/event2/event.h
 libcjson-dev:/usr/include/cjson/cJSON.h libzstd-dev:/usr/include/zstd.h liblz4-dev:/usr/include/lz4.h
 zlib1g-dev:/usr/include/zlib.h liblmdb-dev:/usr/include/lmdb.h libsnappy-dev:/usr/include/snappy-c.h"
test_packages="check:/usr/include/check.h kcat:kcat librdkafka-dev:/usr/include/librdkafka/rdkafka.h curl:curl"
clients_packages="g++:g++ rapidjson-dev:/usr/include/rapidjson/schema.h libssl-dev:/usr/include/openssl/ssl.h"
all_packages="clang:clang libclang-rt-14-dev:/usr/lib/llvm-14/lib/clang/*/lib/linux/libclang_rt.fuzzer-x86_64.a clang-format:clang-format abigail-tools:abidiff xz-utils:xz"

# need_packages LIST...: installs what is missing; asks nothing and starts no package manager when nothing is.
need_packages() {
    local entry missing=() sudo=()
    set -f # probes may be patterns
    for entry in $*; do
        case ${entry#*:} in
        /*) compgen -G "${entry#*:}" >/dev/null || missing+=("${entry%%:*}") ;;
        *) command -v "${entry#*:}" >/dev/null || missing+=("${entry%%:*}") ;;
        esac
    done
    set +f
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        die "this system has no apt-get; install the counterparts of these Debian packages and try again: ${missing[*]}"
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "as root, install these packages and try again: apt-get install ${missing[*]}"
        sudo=(sudo)
    fi
    say "installing ${missing[*]}"
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update >/dev/null ||
        say "apt-get update failed; trying with the package lists there are"
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null ||
        die "apt-get could not install ${missing[*]}; its messages are above"
}

# bootstrap: makes configure when its sources are newer. make itself repeats what changed Makefile.incs need.
bootstrap() {
    local source
    for source in configure.ac VERSION m4/chronik.m4; do
        [ configure -nt "$source" ] && continue
        autoreconf -fi >"$top/.bootstrap.log" 2>&1 || { cat "$top/.bootstrap.log" >&2; rm -f "$top/.bootstrap.log"; die "autoreconf failed"; }
        rm -f "$top/.bootstrap.log"
        return 0
    done
}

# optional_found: the library that configure goes without and tests need, if it is there.
optional_found() {
    if [ -e /usr/include/check.h ]; then echo check; fi
}

# recheck_in DIR: `run` may have configured before the tests' library was installed; the same configuration, once more.
recheck_in() {
    [ "$(cat "$1/configured-libraries" 2>/dev/null)" != "$(optional_found)" ] || return 0
    (cd "$1" && ./config.status --recheck && ./config.status) >"$1/configure.out" 2>&1 || {
        tail -20 "$1/configure.out" >&2
        die "configure failed in $1; config.log there says why"
    }
    optional_found >"$1/configured-libraries"
}

# configure_in DIR [ARGUMENT...]: once; again when the arguments changed.
configure_in() {
    local dir=$1 want
    shift
    want="CC=${CC:-} CFLAGS=${CFLAGS:-} $*"
    mkdir -p "$dir"
    if [ -f "$dir/Makefile" ] && [ "$(cat "$dir/configured-with" 2>/dev/null)" = "$want" ]; then return 0; fi
    (cd "$dir" && "$top/configure" --quiet --prefix="$PWD/out" "$@" >configure.out 2>&1) || {
        tail -20 "$dir/configure.out" >&2
        die "configure failed in $dir; config.log there says why"
    }
    echo "$want" >"$dir/configured-with"
    optional_found >"$dir/configured-libraries"
}

# compile_in DIR: quiet when there is nothing to do, also when the makefiles had to be made anew.
compile_in() {
    recheck_in "$1"
    make -s -C "$1" Makefile >"$1/remake.out" 2>&1 || {
        tail -20 "$1/remake.out" >&2
        die "the makefiles in $1 could not be made anew"
    }
    make -s -C "$1" -j"$jobs"
    make -s -C "$1" install >/dev/null
}

# build_in DIR [CONFIGURE ARGUMENT...]: the relocatable tree DIR/out/{bin,lib/chronik,include/chronik,share}.
build_in() {
    bootstrap
    configure_in "$@"
    compile_in "$1"
}

# shared_dir: the directory of reference data that some tests use, or nothing.
shared_dir() {
    local dir=${CHRONIK_SHARED:-$top/../shared}
    if [ -d "$dir" ]; then (cd "$dir" && pwd); fi
}
