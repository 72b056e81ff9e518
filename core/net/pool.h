/* pool.h: the memory of requests. One pool a loop hands out reference-counted buffers in size classes, keeps the freed
 * ones while load lasts and gives them back after; one budget bounds the buffers in use of all loops together. A pool
 * belongs to its loop's thread; the budget is atomic. */
#ifndef CHRONIK_NET_POOL_H
#define CHRONIK_NET_POOL_H

#include <stdatomic.h>

#include "base/base.h"
#include "os/os.h"

enum {
    NET_BUF_TOTAL = 64 * 1024,       /* an ordinary buffer, header included */
    NET_BUF_BIG = 256 * 1024,        /* for a connection that fills the ordinary ones */
    NET_CLASS_MAX = 4 * 1024 * 1024, /* larger buffers are not kept */
    NET_CLASSES = 25,                /* four steps a doubling */
    NET_LARGE = 1024 * 1024,         /* a larger buffer belongs to one large frame */
    NET_IDLE_LOAD = 16 * 1024 * 1024,
    NET_IDLE_REST = 256 * 1024, /* of ordinary buffers, kept when nothing goes on */
};

/* Large frames get half of it at most: peers that announce them and then send slowly leave the rest to all others. */
struct net_budget {
    uint64_t max;
    _Atomic uint64_t used;
    _Atomic uint64_t large;   /* of `used`, in buffers above NET_LARGE */
    _Atomic bool pass;        /* one buffer beyond `max`, and not in `used`, is out */
    _Atomic uint32_t waiting; /* loops that were refused and want `wake` */
    void (*wake)(void *arg);  /* bytes came back while a loop waited; any loop's thread */
    void *wake_arg;
};

struct net_buf {
    struct net_pool *pool;
    struct net_buf *next;
    uint32_t refs; /* frames and inputs that look into it */
    uint32_t cls;  /* NET_CLASSES: not kept */
    uint64_t total;
    uint64_t cap; /* bytes of data */
    bool pass;    /* the one beyond the budget */
    uint64_t unused[2];
    uint8_t data[];
};

struct net_pool {
    struct net_budget *budget;
    struct net_buf *free[NET_CLASSES];
    uint32_t n_free[NET_CLASSES];
    uint32_t low[NET_CLASSES]; /* fewest free ones since the last trim */
    uint64_t idle;             /* bytes of the free ones */
};

/* For tests: larger buffers find no memory. */
extern uint64_t net_buf_most;

void net_pool_init(struct net_pool *p, struct net_budget *b);
/* All buffers must have come back. */
void net_pool_free(struct net_pool *p);
/* A buffer with one reference and room for `need` bytes of data and `at_least` bytes in total. E_BUSY: over the budget;
 * E_NOMEM. One buffer at a time may go beyond the budget when the caller `must`: else connections that each hold the
 * beginning of a frame could wait for each other for ever. It takes nothing of the budget from others: its peer may be
 * slow. */
int32_t net_buf_take(struct net_pool *p, uint64_t need, uint64_t at_least, bool must, struct net_buf **out);
void net_buf_unref(struct net_buf *b);
/* Gives back what was not needed since the last call; true while more than the resting amount is held. */
bool net_pool_trim(struct net_pool *p);

/* For memory that is not a buffer: counted, never refused. */
void net_budget_add(struct net_budget *b, uint64_t n);
void net_budget_sub(struct net_budget *b, uint64_t n);

#endif
