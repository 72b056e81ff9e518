/* power.h: the checks that run on the simulator's disk. */
#ifndef CHRONIK_CONFORMANCE_POWER_H
#define CHRONIK_CONFORMANCE_POWER_H

#include "kit.h"

void meta_power_cuts(struct kit *k);
void store_power_cuts(struct kit *k);

#endif
