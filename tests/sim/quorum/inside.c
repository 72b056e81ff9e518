/* inside.c: the only file of the simulation that looks into an instance of meta-raft. */
#include "plugins/meta-raft/net.h"

struct rc *inside_core(chronik_meta *engine);

struct rc *inside_core(chronik_meta *m)
{
    return m && m->stage == STAGE_RUNNING && !m->closing ? m->rc : NULL;
}

uint64_t inside_replica(chronik_meta *engine);

uint64_t inside_replica(chronik_meta *m)
{
    return m && (m->stage == STAGE_OPENED || m->stage == STAGE_RUNNING) ? m->id.replica : 0;
}

bool inside_removed(chronik_meta *engine);

bool inside_removed(chronik_meta *m)
{
    return m && m->net->removed;
}
