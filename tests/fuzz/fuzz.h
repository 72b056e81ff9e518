/* fuzz.h: the one function of a fuzz target. It returns 0 always; what it dislikes it ends with CHECK. */
#ifndef CHRONIK_TEST_FUZZ_H
#define CHRONIK_TEST_FUZZ_H

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#endif
