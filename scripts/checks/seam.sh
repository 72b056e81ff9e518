#!/usr/bin/env bash
# seam: the core asks the system only through core/os, modules only through include/chronik, folders depend one way
#
# usage: seam.sh [BUILD_DIR]. Looks at the undefined symbols of every object of the core's libraries and of every module
# of a built tree, and at every #include of the sources. Prints each breach on a line of its own.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
build=${1:-build}
[ -f "$build/core/base/libbase.a" ] || { echo "seam: $build is not built: ./dev build" >&2; exit 2; }
bad=0
breach() {
    echo "seam: $1" >&2
    bad=1
}

# ---- symbols ----

# What any code may use: functions of libc that ask the system for nothing but memory, and what compilers add.
pure='^(_GLOBAL_OFFSET_TABLE_|__(asan|ubsan|tsan|lsan|sanitizer|sancov|gcov)_.*|__(stack_chk_fail|errno_location|cpu_model|cpu_indicator_init|popcountdi2|tls_get_addr|assert_fail|memcpy_chk|.*_chk|ctype_b_loc|ctype_tolower_loc|ctype_toupper_loc|isoc[0-9]*_.*|cxa_finalize|gmon_start__|dso_handle|environ)|_ITM_.*|llvm_.*'
pure+='|_?setjmp|longjmp|abort|qsort|bsearch|malloc|calloc|realloc|free|aligned_alloc|posix_memalign|malloc_usable_size|mem[a-z]+|str[a-z_]+|stpn?cpy|v?s(n)?printf|v?sscanf|ato(i|l|ll)|is[a-z]+|to(lower|upper)|(l|ll)?abs|ldexp|frexp|fabs|floor|ceil|sqrt|log2?|exp|pow|l?l?round|gmtime_r|timegm)$'
# The libraries that pack and print.
pack='^(ZSTD_.*|LZ4F?_.*|snappy_.*|deflate.*|inflate.*|crc32.*|cJSON_.*)$'
# A lock held for a few instructions is allowed to modules; the core has os_mutex.
locks='^pthread_mutex_(init|destroy|lock|unlock|trylock)$'

# What one object may use beyond that, and why.
extra() {
    case "$1" in
    core/os/*) echo '.' ;;                                                       # it is the seam
    core/base/*\(*lock.o\)) echo "$locks|^pthread_rwlock_" ;;                     # os/lock.c, archived there
    core/base/*\(*log.o\)) echo '^(clock_gettime|write)$' ;;                     # a message before a world exists
    core/base/*\(*base.o\)) echo '^(stderr|fprintf|fputs)$' ;;                   # the last words
    core/plugin/*\(*loader.o\)) echo '^(dl.*|open|opendir|readdir|closedir|close|fstat|access|realpath|readlink)$' ;; # dlopen's files are real
    core/plugin/*\(*elf.o\)) echo '^(open|close|fstat|pread|read)$' ;;           # the same
    core/meta/*\(*kv_lmdb.o\)) echo '^mdb_' ;;                                   # LMDB is outside by decision
    core/admin/*\(*guard.o\)) echo '^(bufferevent_|evhttp_|evconnlistener_|shutdown$)' ;; # the same
    core/admin/*\(*http.o\)) echo '^(ev|evutil_|event_|evhttp_|evbuffer_|bufferevent_|getsockname$|ntohs$)' ;; # evhttp is outside by decision, and its socket with it
    core/main/*) echo '^(stdout|stderr|f?printf|fputs|puts|fputc|fwrite|fflush|putchar|getenv|isatty|exit|environ)$' ;; # a command's output
    core/config/*\(*sources.o\)) echo '^(getenv|environ)$' ;;                    # the environment is one of its sources
    .libs/*) echo "$locks|^(stderr|fprintf)\$" ;; # a module: short locks, the last words of an impossible state
    *) echo '^$' ;;
    esac
}

# Lines "archive(member) symbol" of what an archive or module needs and does not have.
needs() {
    nm -A -u "$1" 2>/dev/null | sed -nE 's/^(.*):([^:]+\.o): +[Uw] ([^@ ]+).*/\1(\2) \3/p; t; s/^([^:]+): +[Uw] ([^@ ]+).*/\1 \2/p'
}

check_symbols() {
    local defined needed object symbol also
    defined=$(mktemp)
    needed=$(mktemp)
    (cd "$build" && nm -g --defined-only core/*/lib*.a 2>/dev/null | awk 'NF == 3 {print $3}' | sort -u) >"$defined"
    (cd "$build" && for f in core/*/lib*.a; do needs "$f"; done) | sort -u >"$needed"
    # What another part of the core defines is checked there.
    while read -r object symbol; do
        also=$(extra "$object")
        [[ $symbol =~ $also ]] || breach "$object uses $symbol: ask core/os for it, or give the reason in scripts/checks/seam.sh"
    done < <(awk 'NR == FNR {d[$1]; next} !($2 in d)' "$defined" "$needed" | grep -vE " ($(echo "$pure|$pack" | sed 's/\^//g; s/\$//g'))$" || true)
    for f in "$build"/.libs/*.so; do
        [ -f "$f" ] || continue
        while read -r object symbol; do
            also=$(extra "${f#"$build"/}")
            [[ $symbol =~ $pure || $symbol =~ $pack || $symbol =~ $also ]] ||
                breach "${f#"$build"/} uses $symbol: a module asks its host (include/chronik/host.h)"
        done < <(needs "$f")
    done
    rm -f "$defined" "$needed"
}

# ---- includes ----

# Lines "file include" with the include as written, quotes or brackets included.
includes() {
    find "$@" -name '*.[ch]' -not -path '*/.libs/*' -print0 |
        xargs -0 -r grep -HoE '^[[:space:]]*#[[:space:]]*include[[:space:]]*("[^"]+"|<[^>]+>)' |
        sed -E 's/^([^:]+):[[:space:]]*#[[:space:]]*include[[:space:]]*/\1 /'
}

# The floor a folder of the core stands on; an include may go down or stay, never up.
level() {
    case "$1" in
    main) echo 6 ;;
    admin | api) echo 5 ;;
    coord | partition | meta) echo 4 ;;
    client | plugin | wire | config | net) echo 3 ;;
    os | base) echo 1 ;;
    *) echo 0 ;;
    esac
}

check_core_include() {
    local file=$1 inc=$2 from to name
    from=${file#core/}
    from=${from%%/*}
    name=${inc:1:-1}
    case "$inc" in
    '<event'* | '<ev'*)
        [[ $from = os || $from = admin ]] || breach "$file includes $inc: libevent belongs to core/os and core/admin"
        ;;
    '<chronik/'*) ;;
    '"'*)
        [[ $name = */* ]] || return 0
        to=${name%%/*}
        [ "$(level "$to")" != 0 ] || return 0
        [ "$(level "$to")" -le "$(level "$from")" ] || breach "$file includes $inc: $from stands below $to"
        [[ $to != net || $from = net || $from = api || $from = main ]] ||
            breach "$file includes $inc: net serves api (through the handler that main sets) and nobody else"
        [[ $name != os/os_impl.h && $name != os/real.h && $name != os/task_queue.h ]] || [ "$from" = os ] ||
            breach "$file includes $inc: it is core/os's own"
        ;;
    esac
}

check_module_include() {
    local file=$1 inc=$2 own name
    own=$(echo "$file" | cut -d/ -f1-2)
    name=${inc:1:-1}
    case "$inc" in
    '<chronik/'* | '<config.h>' | '"config.h"') ;;
    '<pthread.h>' | '<std'*'.h>' | '<string.h>' | '<strings.h>' | '<limits.h>' | '<inttypes.h>' | '<errno.h>' | '<ctype.h>' | '<math.h>' | '<assert.h>' | '<setjmp.h>' | '<immintrin.h>') ;;
    '"'*)
        local dir
        dir=$(dirname "$file")
        [ -f "$dir/$name" ] || [ -f "$own/$name" ] || [ -f "plugins/common/$name" ] || [[ $name = plugins/common/* || $name = common/* ]] ||
            [[ -f $name && $name = "$own"/* ]] || breach "$file includes $inc: a module knows include/chronik, plugins/common and itself"
        ;;
    *) breach "$file includes $inc: a module asks its host, and knows only the pure part of libc" ;;
    esac
}

check_includes() {
    local file inc
    while read -r file inc; do
        check_core_include "$file" "$inc"
    done < <(includes core)
    while read -r file inc; do
        check_module_include "$file" "$inc"
    done < <(includes plugins sdk/meta-mem sdk/store-mem)
    while read -r file inc; do
        case "$inc" in
        '<chronik/'* | '<stddef.h>' | '<stdint.h>') ;;
        *) breach "$file includes $inc: the public headers need nothing but stddef and stdint" ;;
        esac
    done < <(includes include)
}

check_includes
check_symbols
exit $bad
