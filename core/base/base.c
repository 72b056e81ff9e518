/* base.c: the end of a process whose state has become impossible. It must not allocate or lock. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>

void base_check_failed(const char *file, int line, const char *cond)
{
    fprintf(stderr, "chronik: impossible state: %s:%d: %s\n", file, line, cond);
    abort();
}
