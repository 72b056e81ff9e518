/* internal.h: the structs that the files of core/net share. A connection, its requests and everything in struct
 * net_loop belong to the loop's thread; what other threads touch is atomic or under net->lock. */
#ifndef CHRONIK_NET_INTERNAL_H
#define CHRONIK_NET_INTERNAL_H

#include <stdatomic.h>

#include "base/log.h"
#include "base/metrics.h"
#include "net/input.h"
#include "net/net.h"
#include "net/outq.h"
#include "os/lock.h"

enum {
    NET_SMALL_FRAME = 1024, /* such frames are copied out of the buffer, so that a waiting one does not pin it */
    NET_TURN_RECV = 256 * 1024,
    NET_TURN_REQUESTS = 256,
    NET_FLUSH_MAX = 1024 * 1024,    /* bytes a connection sends a turn */
    NET_FLUSH_PRESSED = 256 * 1024, /* while others are served */
    NET_COLD_CHUNK = 1024 * 1024,   /* of a cold file range, read at a time */
    NET_COLD_PRESSED = 128 * 1024,  /* while others are served */
    NET_IP_BUCKETS = 256,
    NET_LOG_LINES = 20,  /* about closed connections, a loop and second */
    NET_KEEP_REQS = 128, /* free ones a loop keeps at rest */
    NET_KEEP_OUTS = 64,
};

#define NET_SECOND    INT64_C(1000000000)
#define NET_EOF_GRACE NET_SECOND        /* how long a half-closed peer may wait for its answers */
#define NET_STALL     INT64_C(20000000) /* a turn longer than this is counted */
#define NET_PRESSED   INT64_C(10000000) /* so long after a request others are being served */
#define NET_SHORT     10                /* while others wait for memory, deadlines of input are so many times shorter */
#define NET_COLD_WAIT INT64_C(50000000) /* the longest rest between two cold chunks */
#define NET_MIN_RATE  (128 * 1024)      /* bytes per second that a frame in progress must reach */

/* Whose doing a close is: the peer's is told at DEBUG, what our settings or a stop ask for at INFO, a fault at WARN. */
enum net_blame { NET_BLAME_PEER, NET_BLAME_POLICY, NET_BLAME_FAULT };

enum { REQ_PENDING = 1, REQ_HELD /* answered, an earlier one is not */, REQ_CANCELED };

struct net_req_box {
    struct net_req r;
    struct net_seg few[4];
    uint8_t small[NET_SMALL_FRAME];
};

struct net_metrics {
    struct metric *accepted, *refused, *bytes_in, *bytes_out, *requests, *stalls, *cold, *pauses, *starved;
};

struct net_conn {
    struct net_conn *prev, *next; /* the loop's connections */
    struct net_loop *loop;
    struct os_sock *sock;
    int64_t last_io;       /* bytes moved, or the last request ended */
    int64_t partial_since; /* 0: no frame is in progress */
    int64_t starved_since; /* refused memory in each turn since then; 0: not */
    int64_t eof_at;
    uint32_t refs;    /* being open, each request, the dirty list, a cold read */
    uint32_t n_reqs;  /* not yet in `out`, or canceled and not ended */
    uint32_t watched; /* OS_CAN_ bits */
    bool doomed, closed, eof, in_turn, dirty, starved, blocked, again, cold;
    bool moved;           /* last_io is to be set at the end of the turn */
    enum net_blame blame; /* for being doomed */
    uint64_t frames;      /* requests taken so far */
    uint64_t partial_frame, turn_frames;
    int64_t mute_until; /* 0: not muted */
    struct net_input in;
    struct net_outq out;
    struct net_req *first, *last; /* in request order */
    struct net_conn *dirty_next, *starved_next;
    const struct net_listener *listener;
    void *user;
    uint64_t id;
    struct chronik_task start_task, mute_task, cold_task;
    struct net_conn *cold_next;
    struct os_file *cold_file;
    uint64_t cold_off, cold_n; /* the range; then what of it was read */
    int64_t cold_at;           /* when it last had to wait for one; 0 never */
    char peer[72];
    char why[200];
};

struct net_conn_list {
    struct net_conn *first, *last;
};

struct net_loop {
    struct net *net;
    uint32_t no;
    struct os_exec *exec;
    struct net_pool pool;
    struct net_out_pool outs;
    struct net_req_box *free_reqs;
    uint32_t n_free_reqs;
    struct net_conn *conns;
    uint32_t n_live;             /* connections whose memory is still needed */
    _Atomic uint32_t n_assigned; /* open ones and those on their way here */
    struct net_conn_list dirty, starved;
    _Atomic uint32_t n_pending; /* written by this loop only */
    bool waiting;               /* counted in budget.waiting */
    bool stopping, stopped, ticking;
    struct chronik_task dirty_task, wake_task, tick_task, stop_task, force_task;
    int64_t log_window;
    uint32_t log_lines, log_dropped;
    struct metric *busy;
};

/* cold.c: all of it is the executor's own. */
struct net_cold {
    struct os_exec *exec;
    struct net_conn_list waiting;
    struct chronik_task pump_task;
    int64_t rest_until;
};

struct net_listener {
    struct net_listener_info info;
    struct net *net;
    struct net_listener *next;
    struct os_sock *sock;
    struct chronik_task open_task, resume_task;
};

struct net_ip {
    struct net_ip *next;
    uint32_t n;
    char text[64];
};

struct net {
    struct os *os;
    struct net_config cfg;
    struct net_handler handler;
    struct net_metrics m;
    struct net_budget budget;
    uint32_t n_loops;
    struct net_loop *loops;
    uint32_t next_loop; /* loop 0 only */
    uint64_t next_id;   /* loop 0 only */
    int64_t pause_logged;
    int64_t tick_ns;
    _Atomic uint32_t n_conns;
    _Atomic uint32_t n_running; /* loops that have not stopped */
    _Atomic int64_t stop_at;    /* INT64_MAX: not stopping */
    _Atomic int64_t pressed_at; /* when a connection that reads no cold log last had a request */
    struct net_cold cold;
    struct os_mutex lock; /* ips, done, listeners */
    struct net_ip *ips[NET_IP_BUCKETS];
    struct net_listener *listeners;
    uint32_t n_listeners;
    void (*done)(void *arg);
    void *done_arg;
    bool stop_called, ended; /* ended: `done` was called, or nobody had asked yet */
    struct os_flag all_stopped;
};

/* conn.c */
void net_conn_start(void *conn);                       /* on its loop, once */
void net_conn_turn(struct net_conn *c, bool can_read); /* takes up and sends what is possible now */
void net_conn_doom(struct net_conn *c, enum net_blame blame, const char *fmt, ...) PRINTF_LIKE(3, 4);
void net_conn_check(struct net_conn *c, int64_t now); /* deadlines, each tick */
void net_conn_unref(struct net_conn *c);

/* request.c */
struct net_req *net_req_take(struct net_conn *c, const struct net_frame *f, int64_t now);
void net_req_cancel_all(struct net_conn *c); /* the connection is closed */
void net_req_trim(struct net_loop *l, uint32_t keep);

/* loop.c */
int32_t net_loop_open(struct net_loop *l, struct err *e);
void net_loop_free(struct net_loop *l);
void net_loop_adopt(struct net_conn *c);  /* c is open from now on */
void net_loop_forget(struct net_conn *c); /* c is closed */
void net_loop_freed(struct net_loop *l);  /* a connection's memory went */
void net_loop_dirty(struct net_conn *c);  /* c wants a turn */
void net_loop_starve(struct net_conn *c); /* c wants a turn when request memory comes back */
void net_loop_wake_all(void *net);        /* any thread */
bool net_loop_may_log(struct net_loop *l, int64_t now);
void net_loop_stop(void *loop);

/* cold.c */
int32_t net_cold_open(struct net *n, struct err *e);
void net_cold_start(struct net_conn *c); /* reads of the range at the head of its out-queue, then gives it a turn */
void net_cold_note(struct net_conn *c, int64_t now); /* it had requests */
bool net_pressed(const struct net *n, int64_t now);  /* others than readers of cold log are being served */

/* accept.c */
void net_listener_open(void *listener);
void net_accept_stop(struct net *n); /* on loop 0 */
void net_accept_released(struct net *n, const char *peer);

static inline bool net_conn_dead(const struct net_conn *c)
{
    return c->doomed || c->closed;
}

#endif
