/* err.h: a result that carries its story. A function that can fail for a reason a person must read takes a
 * `struct err *`; it returns a negative chronik code and leaves one sentence there: object first, remedy last. */
#ifndef CHRONIK_ERR_H
#define CHRONIK_ERR_H

#include "base/base.h"

struct err {
    int32_t code;   /* 0 = no error, else a negative CHRONIK_E_ code */
    char text[496]; /* one sentence, never empty when code != 0 */
};

/* Fills `e` (which may be NULL) and returns `code`. The text is cut when longer than the field. */
int32_t err_set(struct err *e, int32_t code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts a formatted prefix and ": " before the text that is already there; returns e->code. */
int32_t err_prefix(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
