/* sim: one seeded run of a cluster. See sim.c. */
#ifndef CHRONIK_RAFT_SIM_H
#define CHRONIK_RAFT_SIM_H

#include "world.h"

/* steps: of the troubled part. False: w->why says what broke. The caller frees w in either case. */
bool sim_run(struct world *w, uint64_t seed, uint64_t steps, bool verbose);

#endif
