/* properties.h: splitting a text in Java's properties format into pairs. Pure but for one buffer; any thread. */
#ifndef CHRONIK_CONFIG_PROPERTIES_H
#define CHRONIK_CONFIG_PROPERTIES_H

#include <chronik/base.h>

#include "base/err.h"

/* A pair that begins on `line`; key and value are borrowed for the call. A negative result ends the parsing. */
typedef int32_t (*properties_pair_fn)(void *arg, int line, const char *key, const char *value, struct err *e);

/* CHRONIK_DONE, E_INVAL with "path:line: why" for a malformed escape or a NUL byte, E_NOMEM, or what `each` returned.
 */
int32_t properties_parse(const char *path, const char *text, size_t len, properties_pair_fn each, void *arg,
                         struct err *e);

#endif
