/* clients.c: what the clients of the quorum ask, are told, and remember: topics that exist once, producer ids that are
 * given once, reads that are not stale. */
#include "quorum.h"

#include <stdio.h>
#include <stdlib.h>

static struct op *new_op(struct node *n, enum op_kind kind)
{
    if (q.n_ops == QUORUM_CLIENT_OPS)
        return NULL;
    struct op *o = &q.ops[q.n_ops++];
    *o = (struct op){.kind = kind, .node = n, .life = n->lives, .number = q.n_ops};
    return o;
}

static void no_overlap(const struct op *mine)
{
    for (uint32_t i = 0; i < q.n_ops; i++) {
        const struct op *o = &q.ops[i];
        if (o != mine && o->kind == OP_IDS && o->acknowledged && o->first < mine->first + mine->n &&
            mine->first < o->first + o->n)
            quorum_break("producer ids %lld were given twice, by nodes %d and %d", (long long)mine->first, o->node->id,
                         mine->node->id);
    }
}

static const uint8_t types[] = {[OP_TOPIC] = META_CMD_TOPIC_CREATE,
                                [OP_IDS] = META_CMD_PRODUCER_IDS,
                                [OP_DELETE] = META_CMD_TOPIC_DELETE,
                                [OP_FORGET] = META_CMD_TOPICS_REMOVED,
                                [OP_UNREGISTER] = META_CMD_BROKER_UNREGISTER};

static void deleted(const struct op *o);

static void on_answer(void *arg, const struct meta_result *r)
{
    struct op *o = arg;
    if (o->answered)
        quorum_break("a proposal of node %d completes twice", o->node->id);
    if (o->life != o->node->lives)
        quorum_break("a proposal of node %d completes in a later life", o->node->id);
    o->answered = true;
    if (r->code == KAFKA_REQUEST_TIMED_OUT) {
        q.counts->unknown++;
        return;
    }
    /* One whose registration was taken away hosts nothing until it starts anew. */
    if (r->code && q.unregistered && (o->kind == OP_UNREGISTER || o->kind == OP_TOPIC))
        return;
    if (r->code != 0) {
        quorum_break("node %d answers a command with %d: %s", o->node->id, r->code, r->text);
        return;
    }
    o->acknowledged = true;
    q.counts->acknowledged++;
    q.acked_seq = r->seq > q.acked_seq ? r->seq : q.acked_seq;
    ledger_answer(o->node, r->seq, types[o->kind], o->kind == OP_TOPIC || o->kind == OP_DELETE ? o->number : 0);
    if (o->kind == OP_IDS) {
        o->first = r->values[0];
        no_overlap(o);
    }
    if (o->kind == OP_DELETE)
        deleted(o);
}

static void propose(struct op *o, const struct meta_command *c)
{
    int32_t rc = meta_propose(o->node->m, (enum meta_class)(1 + sim_rand(q.w, 2)), c, 5000, on_answer, o);
    q.counts->commands += rc == CHRONIK_PENDING;
    if (rc < 0)
        o->answered = true;
}

static struct chronik_uuid topic_id(uint64_t number)
{
    struct chronik_uuid u = {{1}};
    put_be64(u.b + 8, number);
    return u;
}

enum { WIDEST = 4096 };
static uint32_t wide; /* partitions of the next topic */

static void topic(void *arg)
{
    static struct meta_assignment a[WIDEST];
    struct node *n = arg;
    struct op *o = new_op(n, OP_TOPIC);
    char name[32];
    int32_t self = n->id;
    struct meta_command c = {.type = META_CMD_TOPIC_CREATE};
    if (!o)
        return;
    for (uint32_t i = 0; i < wide; i++)
        a[i] = (struct meta_assignment){.replicas = &self, .n_replicas = 1};
    snprintf(name, sizeof name, "topic-%llu", (unsigned long long)o->number);
    c.u.topic_create =
        (struct meta_topic_create){.id = topic_id(o->number), .name = name, .partitions = a, .n_partitions = wide};
    propose(o, &c);
}

/* The state keeps the id of a deleted topic until its host has removed the data, and refuses to make it again as long:
 * so the host says at once that it has, or a creation that counts twice would not be seen. */
static void deleted(const struct op *o)
{
    struct op *topic = &q.ops[o->number - 1], *f = new_op(o->node, OP_FORGET);
    struct chronik_uuid id = topic_id(o->number);
    struct meta_command c = {.type = META_CMD_TOPICS_REMOVED};
    topic->fate = TOPIC_IS_GONE;
    q.counts->deletes++;
    if (!f)
        return;
    f->number = o->number;
    c.u.topics_removed = (struct meta_topics_removed){.broker = topic->node->id, .ids = &id, .n_ids = 1};
    propose(f, &c);
}

static void delete_one(void *arg)
{
    struct op *topic = NULL;
    for (uint64_t k = q.n_ops ? sim_rand(q.w, q.n_ops) : 0, i = 0; i < q.n_ops && !topic; i++, k = (k + 1) % q.n_ops)
        if (q.ops[k].kind == OP_TOPIC && q.ops[k].acknowledged && q.ops[k].fate == TOPIC_STAYS)
            topic = &q.ops[k];
    struct op *o = topic ? new_op(arg, OP_DELETE) : NULL;
    struct meta_command c = {.type = META_CMD_TOPIC_DELETE};
    if (!o)
        return;
    o->number = topic->number;
    topic->fate = TOPIC_MAY_GO;
    c.u.topic_delete.id = topic_id(o->number);
    propose(o, &c);
    if (o->answered)
        topic->fate = TOPIC_STAYS; /* it was not taken */
}

void client_delete(struct node *n)
{
    sim_call(n->os, delete_one, n);
}

/* An operator takes a broker for dead that lives, and goes on proposing. */
static void unregister(void *arg)
{
    struct op *o = new_op(arg, OP_UNREGISTER);
    struct meta_command c = {.type = META_CMD_BROKER_UNREGISTER};
    if (!o)
        return;
    q.unregistered = true;
    c.u.broker_unregister.id = 1 + (int32_t)sim_rand(q.w, (uint64_t)q.n);
    propose(o, &c);
}

void client_unregister(struct node *n)
{
    sim_call(n->os, unregister, n);
}

static void ids(void *arg)
{
    struct op *o = new_op(arg, OP_IDS);
    struct meta_command c = {.type = META_CMD_PRODUCER_IDS};
    if (!o)
        return;
    o->n = 1 + (int64_t)sim_rand(q.w, 50);
    c.u.producer_ids = (struct meta_producer_ids){.broker = o->node->id, .broker_epoch = -1, .count = (uint32_t)o->n};
    propose(o, &c);
}

static void on_barrier(void *arg, int32_t rc)
{
    struct op *o = arg;
    if (o->answered)
        quorum_break("a read barrier of node %d completes twice", o->node->id);
    o->answered = true;
    if (rc < 0)
        return;
    q.counts->barriers++;
    o->acknowledged = true;
    if (o->node->m->st.img.seq < o->floor)
        quorum_break("stale read: node %d passes a barrier at command %llu, %llu was acknowledged before", o->node->id,
                     (unsigned long long)o->node->m->st.img.seq, (unsigned long long)o->floor);
}

static void barrier(void *arg)
{
    struct op *o = new_op(arg, OP_BARRIER);
    if (!o)
        return;
    o->floor = q.acked_seq;
    int32_t rc = meta_read_barrier(o->node->m, (struct chronik_done){on_barrier, o});
    if (rc != CHRONIK_PENDING)
        o->answered = true;
}

void client_wide_topic(struct node *n, uint32_t partitions)
{
    CHECK(partitions <= WIDEST);
    wide = partitions;
    sim_call(n->os, topic, n);
}

void client_topic(struct node *n)
{
    client_wide_topic(n, 1);
}

void client_ids(struct node *n)
{
    sim_call(n->os, ids, n);
}

void client_barrier(struct node *n)
{
    sim_call(n->os, barrier, n);
}

void client_check(struct node *n)
{
    const struct meta_image *i = meta_enter(n->reader);
    int64_t given = 0;
    for (uint32_t k = 0; k < q.n_ops; k++) {
        const struct op *o = &q.ops[k];
        struct chronik_uuid id = topic_id(o->number);
        if (o->kind == OP_TOPIC && o->fate == TOPIC_IS_GONE && meta_topic_by_id(i, &id))
            quorum_break("the deletion of topic-%llu was acknowledged and node %d has the topic",
                         (unsigned long long)o->number, n->id);
        if (o->kind == OP_TOPIC && o->acknowledged && o->fate == TOPIC_STAYS && !meta_topic_by_id(i, &id))
            quorum_break("topic-%llu was acknowledged by node %d and node %d does not have it",
                         (unsigned long long)o->number, o->node->id, n->id);
        if (o->kind == OP_IDS)
            given += o->n;
        if (o->kind == OP_IDS && o->acknowledged && o->first + o->n > i->producer_next)
            quorum_break("producer ids %lld were acknowledged and are not given in the state", (long long)o->first);
    }
    if (i->producer_next > given)
        quorum_break("%lld producer ids are gone, %lld were asked for: a command was applied twice",
                     (long long)i->producer_next, (long long)given);
    meta_leave(n->reader);
}
