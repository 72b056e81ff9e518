/* tickets.c: between the host and the module: every proposal and every read barrier that the module took is completed
 * once, in the life that asked for it. It changes nothing. */
#include "quorum.h"

#include <stdlib.h>

struct ticket {
    struct ticket *next;
    struct chronik_done done;
    const struct node *node;
    uint64_t life;
    bool completed;
};

static struct chronik_meta_ops ops;
static const struct chronik_meta_ops *real;
static struct ticket *tickets;

static const struct node *node_of(const chronik_meta *engine)
{
    for (int i = 0; i < q.n; i++)
        if (q.nodes[i].m && q.nodes[i].m->engine == engine)
            return &q.nodes[i];
    return NULL;
}

static void on_done(void *arg, int32_t rc)
{
    struct ticket *t = arg;
    if (t->completed) {
        quorum_break("the module completes a proposal of node %d twice", t->node->id);
        return;
    }
    if (t->life != t->node->lives)
        quorum_break("the module completes a proposal of node %d in a later life", t->node->id);
    t->completed = true;
    t->done.fn(t->done.arg, rc);
}

static struct ticket *ticket_new(const chronik_meta *engine, struct chronik_done done)
{
    struct ticket *t = calloc(1, sizeof *t);
    CHECK(t);
    const struct node *n = node_of(engine);
    CHECK(n);
    *t = (struct ticket){.next = tickets, .done = done, .node = n, .life = n->lives};
    tickets = t;
    return t;
}

/* What the module did not take it must not complete. */
static int32_t taken(struct ticket *t, int32_t rc)
{
    t->completed |= rc != CHRONIK_PENDING;
    return rc;
}

static int32_t propose(chronik_meta *m, uint32_t klass, const struct chronik_iov *iov, uint32_t n,
                       struct chronik_done done)
{
    struct ticket *t = ticket_new(m, done);
    return taken(t, real->propose(m, klass, iov, n, (struct chronik_done){on_done, t}));
}

static int32_t read_barrier(chronik_meta *m, struct chronik_done done)
{
    struct ticket *t = ticket_new(m, done);
    return taken(t, real->read_barrier(m, (struct chronik_done){on_done, t}));
}

const struct chronik_meta_ops *tickets_wrap(const struct chronik_meta_ops *module)
{
    real = module;
    ops = *module;
    ops.propose = propose;
    ops.read_barrier = read_barrier;
    return &ops;
}

const struct node *tickets_open(void)
{
    for (const struct ticket *t = tickets; t; t = t->next)
        if (!t->completed && t->life == t->node->lives && sim_up(t->node->os))
            return t->node;
    return NULL;
}

void tickets_drop(void)
{
    while (tickets) {
        struct ticket *next = tickets->next;
        free(tickets);
        tickets = next;
    }
}
