/* order.c: a client that does not wait for an answer before its next request (commitAsync, then committed;
 * DeleteRecords, then ListOffsets) sees its own writes. Kafka takes up one request of a connection at a time. Here they
 * run side by side, so that produced batches share a write and a member that waits in JoinGroup stops nobody; only a
 * request that looks at what an earlier one of its connection is still changing waits until that one has ended, and so
 * does one that changes what a waiting one will look at. Requests of one key take effect in the order in which they
 * came and need not wait for each other.
 *
 * Waiting requests stand in a list of their loop, in the order of their arrival. Everything is on the loop. */
#include "api/order.h"

/* What a request changes, and what it looks at. */
enum { DATA = 1, OFFSETS = 2, TOPICS = 4 };

struct order_of {
    uint8_t writes, reads;
};

static struct order_of order_of(int16_t key)
{
    switch (key) {
    case WIRE_API_PRODUCE:
        return (struct order_of){DATA, TOPICS};
    case WIRE_API_DELETE_RECORDS:
        return (struct order_of){DATA, DATA | TOPICS};
    case WIRE_API_FETCH:
    case WIRE_API_LIST_OFFSETS:
    case WIRE_API_OFFSET_FOR_LEADER_EPOCH:
    case WIRE_API_DESCRIBE_PRODUCERS:
    case WIRE_API_DESCRIBE_LOG_DIRS:
        return (struct order_of){0, DATA | TOPICS};
    case WIRE_API_OFFSET_COMMIT:
        return (struct order_of){OFFSETS, OFFSETS | TOPICS};
    case WIRE_API_OFFSET_DELETE:
    case WIRE_API_DELETE_GROUPS:
        return (struct order_of){OFFSETS, OFFSETS};
    case WIRE_API_OFFSET_FETCH:
        return (struct order_of){0, OFFSETS | TOPICS};
    case WIRE_API_DESCRIBE_GROUPS:
    case WIRE_API_LIST_GROUPS:
        return (struct order_of){0, OFFSETS};
    case WIRE_API_CREATE_TOPICS:
    case WIRE_API_DELETE_TOPICS:
    case WIRE_API_CREATE_PARTITIONS:
    case WIRE_API_ALTER_CONFIGS:
    case WIRE_API_INCREMENTAL_ALTER_CONFIGS:
    case WIRE_API_ELECT_LEADERS:
    case WIRE_API_ALTER_PARTITION_REASSIGNMENTS:
    case WIRE_API_ALTER_REPLICA_LOG_DIRS:
        return (struct order_of){TOPICS, TOPICS};
    case WIRE_API_METADATA:
    case WIRE_API_DESCRIBE_TOPIC_PARTITIONS:
    case WIRE_API_DESCRIBE_CONFIGS:
    case WIRE_API_LIST_CONFIG_RESOURCES:
    case WIRE_API_LIST_PARTITION_REASSIGNMENTS:
        return (struct order_of){0, TOPICS};
    default:
        return (struct order_of){0, 0};
    }
}

bool order_must_wait(const struct api_req *r)
{
    struct order_of own = order_of(r->key);
    if (!own.reads)
        return false;
    for (const struct net_req *n = net_req_before(r->net); n; n = net_req_before(n)) {
        const struct api_req *p = n->user;
        if (!p || p->ended)
            continue;
        if (p->key == r->key)
            return p->waits; /* what was before it did not stop it: it does not stop r either */
        struct order_of other = order_of(p->key);
        if ((other.writes & own.reads) || (p->waits && (own.writes & other.reads)))
            return true;
    }
    return false;
}

static void unlink_waiting(struct api_req *r)
{
    struct api_loop *l = r->loop;
    if (r->prev)
        r->prev->next = r->next;
    else
        l->waiting.first = r->next;
    if (r->next)
        r->next->prev = r->prev;
    else
        l->waiting.last = r->prev;
    r->next = r->prev = NULL;
    r->waits = false;
    r->cancel = NULL;
}

/* The peer is gone. */
static void leave(struct api_req *r)
{
    unlink_waiting(r);
    api_drop(r, "the connection ended before its turn");
}

void order_wait(struct api_req *r)
{
    struct api_loop *l = r->loop;
    r->waits = true;
    r->cancel = leave;
    r->prev = l->waiting.last;
    if (l->waiting.last)
        l->waiting.last->next = r;
    else
        l->waiting.first = r;
    l->waiting.last = r;
}

void order_ended(struct api_req *r)
{
    struct api_loop *l = r->loop;
    r->ended = true;
    if (!l->waiting.first || l->turn_posted || !order_of(r->key).writes)
        return;
    l->turn_posted = true;
    os_exec_post(l->exec, &l->turn_task);
}

/* A connection that is given up in here ends its requests in a later task: `next` stays. */
static void turn(void *arg)
{
    struct api_loop *l = arg;
    l->turn_posted = false;
    for (struct api_req *r = l->waiting.first, *next; r; r = next) {
        next = r->next;
        if (order_must_wait(r))
            continue;
        unlink_waiting(r);
        l->begin(r);
    }
    l->rest(l);
}

void order_attach(struct api_loop *l, void (*begin)(struct api_req *r), void (*rest)(struct api_loop *l))
{
    l->begin = begin;
    l->rest = rest;
    l->turn_task = (struct chronik_task){.fn = turn, .arg = l};
}
