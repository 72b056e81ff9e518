/* sim: one seeded run of a cluster. See sim.c. */
#ifndef CHRONIK_RAFT_SIM_H
#define CHRONIK_RAFT_SIM_H

#include "world.h"

/* steps: of the troubled part; trace: gets what the replicas say (NULL: nobody does). False: w->why says what broke.
 * The caller frees w in either case. */
bool sim_run(struct world *w, uint64_t seed, uint64_t steps, void (*trace)(const char *line));

/* This replica runs, its disk answers; often all ways are open again. */
void sim_mend(struct world *w, struct node *n);

/* episode.c: one short reign. */
void sim_episode(struct world *w);

#endif
