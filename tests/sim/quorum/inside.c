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

uint64_t inside_boot(chronik_meta *engine);

uint64_t inside_boot(chronik_meta *m)
{
    return m && m->stage == STAGE_RUNNING ? m->hard.boot : 0;
}

/* All that it wrote to its log is durable. */
static bool durable(const chronik_meta *m)
{
    return m && m->stage == STAGE_RUNNING && m->durable >= m->appended;
}

bool inside_voted(chronik_meta *engine, uint64_t term, uint64_t vote);

bool inside_voted(chronik_meta *m, uint64_t term, uint64_t vote)
{
    return durable(m) && m->hard.term == term && m->hard.vote == vote;
}

bool inside_knows(chronik_meta *engine, uint64_t replica, uint64_t boot);

bool inside_knows(chronik_meta *m, uint64_t replica, uint64_t boot)
{
    if (!durable(m))
        return false;
    for (size_t i = 0; i < m->net->n_seen; i++)
        if (m->net->seen[i].replica == replica && m->net->seen[i].boot >= boot)
            return true;
    return false;
}

bool inside_stale(chronik_meta *engine);

bool inside_stale(chronik_meta *m)
{
    return m && m->stage == STAGE_RUNNING && m->net->stale && !m->id.superseded; /* that is another thing (force.c) */
}

bool inside_installing(chronik_meta *engine);

bool inside_installing(chronik_meta *m)
{
    return m && m->stage == STAGE_RUNNING && (m->net->receiving || m->installing_file || m->installing_now);
}

uint64_t inside_durable(chronik_meta *engine, uint64_t last, uint64_t persisted);

uint64_t inside_durable(chronik_meta *m, uint64_t last, uint64_t persisted)
{
    while (last > persisted && runs_number(&m->runs, last) > m->durable)
        last--;
    return last;
}

uint64_t inside_received(chronik_meta *engine, bool *all);

uint64_t inside_received(chronik_meta *m, bool *all)
{
    const struct receiving *r = m && m->stage == STAGE_RUNNING ? m->net->receiving : NULL;
    *all = r && r->at == r->size;
    return r ? r->at : 0;
}

bool inside_welcomes(chronik_meta *engine, uint64_t replica, uint64_t boot);

bool inside_welcomes(chronik_meta *m, uint64_t replica, uint64_t boot)
{
    if (!m || m->stage != STAGE_RUNNING)
        return false;
    for (const struct inbound *in = m->net->inbound; in; in = in->next)
        if (in->welcome && in->from.replica == replica && in->from.boot == boot)
            return true;
    return false;
}

_Static_assert(WIRE_VERSION == 2, "quorum.h names the version, too");
