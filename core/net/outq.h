/* outq.h: what a connection still has to send: memory and file ranges in order. Small answers are copied together into
 * chunks, large ones stay where they are until the socket took them. Lives on the connection's loop; must never wait
 * for a disk: a file range that is not in the page cache is reported as cold and read ahead elsewhere. */
#ifndef CHRONIK_NET_OUTQ_H
#define CHRONIK_NET_OUTQ_H

#include "net/net.h"

enum {
    NET_CHUNK = 16 * 1024 - 64,    /* bytes of copied answers in one piece */
    NET_COPY_MAX = 4096,           /* a larger answer is not copied */
    NET_SENDFILE_MAX = 256 * 1024, /* bytes a call */
    NET_SENDFILE_MIN = 32 * 1024,  /* smaller ranges are read and sent together with what is around them */
    NET_SCRATCH = 64 * 1024,       /* for these, a loop; held under load only */
    NET_HELD_COST = 4096, /* of an answer that is not copied: its request waits with its arena until it is sent */
    NET_IOV_MAX = 64,
    NET_FEW_SEGS = 6,
};

/* One answer that is not copied, or one chunk of copied ones (then `chunk` is set and segs[0] names it). */
struct net_out {
    struct net_out *next;
    void (*sent)(void *arg);
    void *sent_arg;
    struct net_seg *segs; /* `few`, or allocated */
    uint32_t at, n_segs;  /* the first segment that is not sent; segments shrink from the front */
    uint32_t n_chunk;     /* bytes filled */
    uint8_t head[4];
    struct net_seg few[NET_FEW_SEGS];
    uint8_t *chunk;
};

/* The loop's free ones. */
struct net_out_pool {
    struct net_out *free_out;
    struct net_out *free_chunk;
    uint32_t n_out, n_chunk;
    uint8_t *scratch; /* NET_SCRATCH bytes or NULL */
};

struct net_outq {
    struct net_out *first, *last;
    uint64_t mem;   /* bytes of memory not sent, and what the answers' requests hold */
    uint64_t total; /* bytes of all not sent */
    uint64_t warm;  /* bytes of the range at the head that were just read: sent without a look at the page cache */
};

enum net_flush {
    NET_FLUSH_DONE,    /* nothing left */
    NET_FLUSH_AGAIN,   /* the turn's share is used up; go on in the next turn */
    NET_FLUSH_BLOCKED, /* the socket takes no more */
    NET_FLUSH_COLD,    /* the first segment must be read from disk first */
    NET_FLUSH_DEAD,    /* the connection is gone */
    NET_FLUSH_SHORT,   /* a file range ended early */
};

/* Puts an answer behind all others, with its length in front. E_NOMEM: nothing was put and `sent` not called. */
int32_t net_outq_put(struct net_outq *q, struct net_out_pool *pool, const struct net_seg *segs, uint32_t n,
                     uint64_t bytes, void (*sent)(void *arg), void *sent_arg);
/* Sends what the socket takes; *bytes gets how much that was. */
enum net_flush net_outq_flush(struct net_outq *q, struct net_out_pool *pool, struct os_sock *s, uint64_t most,
                              uint64_t *bytes);
/* The file range at the head, after NET_FLUSH_COLD. */
const struct net_seg *net_outq_head(const struct net_outq *q);
/* Drops everything, calling `sent` of each. */
void net_outq_clear(struct net_outq *q, struct net_out_pool *pool);
/* Keeps at most a few free ones (0: none). */
void net_out_pool_trim(struct net_out_pool *pool, uint32_t keep);

#endif
