/* conn.h: one connection: frames in, frames out, on the raft executor. It owns the stream and its buffers, and stays
 * until reads and writes under way have come back, whoever has let go of it. */
#ifndef META_RAFT_CONN_H
#define META_RAFT_CONN_H

#include "wire.h"

struct conn {
    chronik_meta *m;
    struct chronik_stream *s;
    void *owner; /* NULL: nobody listens any more */
    /* A whole frame; false: it makes no sense, the connection is closed. */
    bool (*frame)(struct conn *c, enum wire_type type, const uint8_t *p, uint32_t n);
    void (*lost)(struct conn *c, int32_t why); /* once, before it goes; not after conn_close */
    void (*drained)(struct conn *c);           /* everything that had gathered is written; may be NULL */
    uint32_t limit;                            /* of a body */
    uint8_t *in;
    size_t in_n, in_cap;
    struct wbuf out, busy;
    struct chronik_iov iov;
    int64_t wrote; /* mono ns of the last write that began */
    bool reading, writing, closed;
    char peer[64];
};

struct conn *conn_new(chronik_meta *m, struct chronik_stream *s, const char *peer);
void conn_begin(struct conn *c); /* starts reading; frame and lost are set */
void conn_flush(struct conn *c); /* writes what is in `out` */
void conn_close(struct conn *c);

#endif
