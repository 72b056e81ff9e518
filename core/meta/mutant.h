/* mutant.h: named faults that the tests switch on to prove that they would notice. In a normal build every MUTANT() is
 * the constant 0; only the test build of libmeta is compiled with CHRONIK_MUTANTS. */
#ifndef CHRONIK_META_MUTANT_H
#define CHRONIK_META_MUTANT_H

#ifdef CHRONIK_MUTANTS
#include <string.h>
extern const char *chronik_mutant; /* name of the fault that is on, or "" */
#define MUTANT(name) (strcmp(chronik_mutant, name) == 0)
#else
#define MUTANT(name) 0
#endif

#endif
