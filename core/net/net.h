/* net.h: connections and frames. Owns the event loops, accepts and pins connections, cuts their bytes into requests and
 * sends answers in request order. It knows Kafka's 4-byte length and nothing behind it: what a request means is the
 * handler's. Everything about a connection happens on its loop; only the functions that say so take other threads. */
#ifndef CHRONIK_NET_NET_H
#define CHRONIK_NET_NET_H

#include "base/base.h"
#include "base/err.h"
#include "os/os.h"

struct net;
struct net_conn;
struct net_buf; /* pooled, reference-counted bytes behind one or several frames */

/* Zero means the default in the comment. */
struct net_config {
    uint32_t loops;                  /* event loops (chronik.loops); 1 */
    uint32_t max_frame;              /* bytes behind the length (socket.request.max.bytes); 104857600 */
    uint64_t max_queued;             /* bytes of all request buffers (queued.max.request.bytes); 256 MiB */
    uint32_t max_connections;        /* max.connections; bounded by the file limit less `reserve_files` in any case */
    uint32_t max_connections_per_ip; /* max.connections.per.ip; no bound */
    uint32_t reserve_files;          /* descriptors left to the rest of the broker; a quarter of the limit */
    uint32_t max_in_flight;          /* unanswered requests a connection; 64 */
    uint32_t max_unsent;             /* bytes of answers in memory that a connection may leave unread; 64 KiB */
    int64_t idle_ns;                 /* connections.max.idle.ms; 10 minutes; < 0: never */
    int64_t partial_ns;              /* a frame must arrive within this and n / 128 KiB/s; 30 s */
};

struct net_listener_info {
    uint32_t index;    /* in order of net_listen */
    char name[32];     /* "PLAINTEXT" */
    char address[264]; /* as given to net_listen */
    uint16_t port;     /* the bound one */
};

/* Part of an answer: memory (file is NULL) or a range of a file (p is NULL). */
struct net_seg {
    const void *p;
    struct os_file *file;
    uint64_t off, n;
};

/* One request. Made by net; ends with exactly one of net_answer, net_no_answer and net_drop, after which it must not be
 * touched. */
struct net_req {
    struct net_conn *conn;
    struct os_exec *loop;
    uint32_t loop_no;
    uint32_t n;          /* bytes of the frame, without its length */
    uint32_t dropped;    /* > 0: so many more followed that did not fit the memory: answer with an error */
    uint8_t *frame;      /* writable; valid until the request ends or net_frame_release */
    int64_t received_ns; /* os_mono_ns when the frame was complete */
    const struct net_listener_info *listener;
    void *user; /* the handler's; NULL at first */

    /* net's own */
    struct net_req *prev, *next;
    struct net_buf *buf;
    struct net_seg *segs;
    uint32_t n_segs;
    uint32_t state;
    void (*sent)(void *arg);
    void *sent_arg;
    uint64_t answer_bytes;
};

/* All called on the connection's loop. */
struct net_handler {
    void *arg;
    void (*request)(void *arg, struct net_req *r); /* may end r inside the call or later */
    void (*conn_opened)(void *arg, struct net_conn *c);
    /* The socket is gone; `canceled` was called for each pending request before. c stays valid until the last of them
     * has ended. */
    void (*conn_closed)(void *arg, struct net_conn *c);
    /* The peer is gone: nobody will see the answer. The handler must still end r, now or later, in any of the three
     * ways. */
    void (*canceled)(void *arg, struct net_req *r);
    /* The requests that came together were all handed over: what gathered of them can be done. May be NULL. */
    void (*received)(void *arg, uint32_t loop_no);
};

/* ---- the server ---- */

/* Makes the loops (running, without listeners). `handler` and `cfg` are copied. E_NOMEM and thread exhaustion with a
 * sentence in *e. */
int32_t net_open(struct os *os, const struct net_config *cfg, const struct net_handler *handler, struct net **out,
                 struct err *e);
uint32_t net_loops(const struct net *n);
struct os_exec *net_loop(const struct net *n, uint32_t i);
/* Binds "host:port" (port 0: any) under the listener's name and serves it at once. Before any net_stop; one thread at a
 * time. On success *info is valid until net_close (it may be NULL). */
int32_t net_listen(struct net *n, const char *name, const char *address, const struct net_listener_info **info,
                   struct err *e);
/* Any thread. Stops accepting and reading, lets pending requests be answered and answers be sent for at most
 * `grace_ns`, closes the connections; then `done` (may be NULL; one caller gives it) runs once, on a loop or, when all
 * has ended already, in this call. Called again, it moves the end to the earlier of the two: grace 0 forces. */
void net_stop(struct net *n, int64_t grace_ns, void (*done)(void *arg), void *arg);
/* Forces what net_stop has not ended, joins the loops and frees everything. Not on a loop; all requests must have ended
 * or end in `canceled`, or by tasks that are already posted to the loops. */
void net_close(struct net *n);
uint64_t net_connections(const struct net *n); /* any thread */

/* max.connections from now on, bounded as at net_open; connections above it stay. Any thread, between net_open and
 * net_stop. */
void net_set_max_connections(struct net *n, uint32_t most);

/* ---- answers: on the request's loop ---- */

/* Answers go out in the order of the requests, whatever the order of these calls. The segment array is copied; the
 * memory and files it names must stay valid until sent(sent_arg) was called: exactly once, on the loop, also when the
 * connection died, perhaps before this returns. `sent` may be NULL; it must not end another request of the same
 * connection with net_drop. Net writes the 4-byte length in front itself. A file range that turns out to be shorter
 * than it says closes the connection. */
void net_answer(struct net_req *r, const struct net_seg *segs, uint32_t n, void (*sent)(void *arg), void *sent_arg);
void net_no_answer(struct net_req *r);             /* acks=0 */
void net_drop(struct net_req *r, const char *why); /* closes the connection with one log line; why: a clause */
/* The request before it on its connection that has not ended, or whose answer is held behind others; NULL: none. */
struct net_req *net_req_before(const struct net_req *r);
/* The frame is no longer needed; call it before waiting for long, so that no buffer is pinned. */
void net_frame_release(struct net_req *r);

/* ---- connections: on their loop ---- */

/* Throttling: answers go out, but no further request is taken up before `until_mono_ns`. */
void net_mute(struct net_conn *c, int64_t until_mono_ns);
void *net_conn_user(const struct net_conn *c);
void net_conn_set_user(struct net_conn *c, void *user);
const char *net_conn_peer(const struct net_conn *c); /* "127.0.0.1:40312" */
uint64_t net_conn_id(const struct net_conn *c);      /* unique in this process */
uint32_t net_conn_loop_no(const struct net_conn *c);
const struct net_listener_info *net_conn_listener(const struct net_conn *c);
bool net_conn_alive(const struct net_conn *c); /* false once it is being closed */

#endif
