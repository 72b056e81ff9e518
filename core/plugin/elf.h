/* elf.h: is this file a complete shared object for this machine? Asked before the dynamic loader maps it, because
 * touching the missing end of a truncated file is a SIGBUS that nobody can answer. */
#ifndef CHRONIK_PLUGIN_ELF_H
#define CHRONIK_PLUGIN_ELF_H

#include "base/err.h"

/* CHRONIK_DONE, or a negative code and one sentence that names file, field, wanted and found. Blocking. */
int32_t elf_check(const char *path, struct err *e);

#endif
