# CHRONIK_WARNINGS: warnings for every compilation; errors too unless --disable-werror.
AC_DEFUN([CHRONIK_WARNINGS], [
  AC_ARG_ENABLE([werror],
    [AS_HELP_STRING([--disable-werror], [do not treat warnings as errors])],
    [], [enable_werror=yes])
  CHRONIK_CFLAGS="-std=gnu17 -pthread -fvisibility=hidden -fno-strict-aliasing -fno-common"
  CHRONIK_CFLAGS="$CHRONIK_CFLAGS -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes"
  CHRONIK_CFLAGS="$CHRONIK_CFLAGS -Wpointer-arith -Wwrite-strings -Wvla -Wundef -Wformat=2 -Wno-unused-parameter"
  AC_MSG_CHECKING([whether the compiler is clang])
  AS_IF([$CC --version 2>/dev/null | grep -qi clang], [chronik_clang=yes], [chronik_clang=no])
  AC_MSG_RESULT([$chronik_clang])
  # Texts are cut on purpose with snprintf; gcc would ask for a check of each.
  AS_IF([test $chronik_clang = no], [CHRONIK_CFLAGS="$CHRONIK_CFLAGS -Wno-format-truncation"])
  AS_IF([test "x$enable_werror" = xyes], [CHRONIK_CFLAGS="$CHRONIK_CFLAGS -Werror"])
  CHRONIK_LDFLAGS="-pthread -Wl,-z,relro -Wl,-z,now"
  MODULE_LDFLAGS="-Wl,--exclude-libs,ALL"
  AC_SUBST([CHRONIK_CFLAGS])
  AC_SUBST([CHRONIK_LDFLAGS])
  AC_SUBST([MODULE_LDFLAGS])
])

# CHRONIK_SANITIZER: --with-sanitizer=address,undefined | thread
AC_DEFUN([CHRONIK_SANITIZER], [
  AC_ARG_WITH([sanitizer],
    [AS_HELP_STRING([--with-sanitizer=LIST], [build with -fsanitize=LIST (address,undefined or thread)])],
    [], [with_sanitizer=no])
  AS_CASE([$with_sanitizer],
    [no], [],
    [yes], [AC_MSG_ERROR([--with-sanitizer needs a list, for instance address,undefined])],
    [CHRONIK_CFLAGS="$CHRONIK_CFLAGS -fsanitize=$with_sanitizer -fno-omit-frame-pointer"
     AS_CASE([$with_sanitizer], [*undefined*], [CHRONIK_CFLAGS="$CHRONIK_CFLAGS -fno-sanitize-recover=undefined"])
     CHRONIK_LDFLAGS="$CHRONIK_LDFLAGS -fsanitize=$with_sanitizer"])
  # clang leaves sanitizer symbols undefined in shared objects: -z defs must be off there.
  AS_IF([test "x$chronik_clang" = xyes && test "x$with_sanitizer" != xno],
    [], [MODULE_LDFLAGS="$MODULE_LDFLAGS -Wl,-z,defs"])
  AM_CONDITIONAL([SANITIZED], [test "x$with_sanitizer" != xno])
])

# CHRONIK_FUZZING: --with-fuzzing builds the libFuzzer targets; clang only.
AC_DEFUN([CHRONIK_FUZZING], [
  AC_ARG_WITH([fuzzing],
    [AS_HELP_STRING([--with-fuzzing], [build the libFuzzer targets (needs clang)])],
    [], [with_fuzzing=no])
  AS_IF([test "x$with_fuzzing" = xyes], [
    AS_IF([test "x$chronik_clang" != xyes],
      [AC_MSG_ERROR([--with-fuzzing needs libFuzzer: configure with CC=clang])])
    CHRONIK_CFLAGS="$CHRONIK_CFLAGS -fsanitize=fuzzer-no-link"
  ])
  AM_CONDITIONAL([FUZZING], [test "x$with_fuzzing" = xyes])
])

# CHRONIK_MODULE(NAME): --with-module-NAME=shared|no decides whether NAME.so is built.
AC_DEFUN([CHRONIK_MODULE], [
  AC_ARG_WITH([module-$1],
    [AS_HELP_STRING([--with-module-$1=shared|no], [build the module $1 @<:@shared@:>@])],
    [], [m4_translit([with_module_$1], [-], [_])=shared])
  AS_CASE([$m4_translit([with_module_$1], [-], [_])],
    [shared|yes|no], [],
    [AC_MSG_ERROR([--with-module-$1 takes shared or no])])
  AM_CONDITIONAL(m4_translit([MODULE_$1], [a-z-], [A-Z_]),
    [test "x$m4_translit([with_module_$1], [-], [_])" != xno])
])
