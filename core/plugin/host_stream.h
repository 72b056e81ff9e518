/* host_stream.h: what host_stream.c and host_connect.c share: a stream and its way between the I/O loop and its
 * executor.
 */
#ifndef CHRONIK_PLUGIN_HOST_STREAM_H
#define CHRONIK_PLUGIN_HOST_STREAM_H

#include "plugin/host_internal.h"

/* A read or a write. `pending` is the executor's, everything else belongs to whom the request was posted to. */
struct stream_request {
    struct chronik_stream *stream;
    struct chronik_task there, back; /* to the loop, to the executor */
    struct chronik_done done;
    int32_t result;
    bool pending; /* the module waits for it */
    bool active;  /* the loop works on it */
    void *p;      /* reads */
    uint64_t n;
    const struct chronik_iov *iov; /* writes: borrowed, with the place reached so far */
    uint32_t n_iov, piece;
    uint64_t piece_done;
};

struct chronik_stream {
    struct os_exec *loop;
    struct chronik_exec *exec;
    struct os_sock *sock; /* the loop's */
    unsigned watched;     /* the loop's */
    struct stream_request read, write;
    struct chronik_task close; /* runs on the loop */
    struct chronik_task last;  /* runs on the executor, the stream's end */
};

/* Takes the socket and a reference to the executor; NULL when memory is short. */
struct chronik_stream *stream_new(struct os_exec *loop, struct chronik_exec *e, struct os_sock *sock);
void stream_close(struct chronik_stream *s);

void host_connect_fill(struct chronik_host *t);

#endif
