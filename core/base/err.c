/* err.c: writing and extending error sentences. Pure, allocation-free. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

int32_t err_set(struct err *e, int32_t code, const char *fmt, ...)
{
    if (!e)
        return code;
    e->code = code;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    return code;
}

int32_t err_prefix(struct err *e, const char *fmt, ...)
{
    if (!e)
        return 0;
    char was[sizeof e->text];
    memcpy(was, e->text, sizeof was);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof e->text - 3)
        snprintf(e->text + n, sizeof e->text - (size_t)n, ": %s", was);
    return e->code;
}
