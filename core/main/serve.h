/* serve.h: serving until a signal says stop. */
#ifndef CHRONIK_MAIN_SERVE_H
#define CHRONIK_MAIN_SERVE_H

#include "main/options.h"

struct os;

/* The exit status of the process: 0 after an orderly stop, 1 when the start is refused. A failed disk ends the process
 * at once with 74. */
int cmd_serve(struct os *os, const struct options *o, char *const *envp);

#endif
