/* sim_impl.h: what the files of the simulator share. Everything lives in one thread; a world frees all its objects at
 * its end, so that a handle of a dead node can still be recognised as dead. No decision may depend on an address. */
#ifndef CHRONIK_SIM_IMPL_H
#define CHRONIK_SIM_IMPL_H

#include <setjmp.h>

#include "os/os_impl.h"
#include "os/task_queue.h"
#include "sim.h"

enum { SIM_NODES_MAX = 32, SIM_WORKERS = 2 };

struct sim_rng {
    uint64_t s;
};

struct sim_node;
struct sim_exec;
struct sim_disk;
struct sim_inode;
struct sim_sock;

/* ---- world ---- */

struct sim_event {
    int64_t when;
    uint64_t seq;
    void (*fn)(struct sim_world *w, void *arg, uint64_t n);
    void *arg;
    uint64_t n;
    struct sim_node *node; /* the event dies with this node's incarnation; NULL: never */
    uint32_t incarnation;
};

/* One call into the code under test; a node that dies inside is left through it. */
struct sim_frame {
    jmp_buf env;
    struct sim_frame *up;
    struct sim_node *node;
    struct sim_exec *exec; /* NULL: sim_call */
    uint32_t incarnation;
    int locks;
};

struct sim_world {
    uint64_t seed, hash, steps;
    int64_t now;
    struct sim_rng sched, disk, net, test;
    struct sim_node *nodes[SIM_NODES_MAX];
    unsigned n_nodes;
    struct sim_event *events; /* binary heap by (when, seq) */
    size_t n_events, cap_events;
    uint64_t event_seq;
    struct sim_frame *frame; /* the innermost */
    bool trace;
    unsigned stall_permille;
    int64_t stall_ns;
    int64_t net_min, net_max;
    uint32_t net_chunk;
    bool link_cut[SIM_NODES_MAX][SIM_NODES_MAX]; /* [from][to] */
    uint16_t next_port;
    struct sim_sock *socks; /* all, newest first */
};

struct sim_user_event {
    void (*fn)(void *arg);
    void *arg;
};

/* ---- nodes ---- */

enum sim_node_state { SIM_NODE_UP, SIM_NODE_DOWN, SIM_NODE_OFF };

struct sim_node {
    struct os base;
    struct sim_world *w;
    unsigned index;
    char name[32];
    enum sim_node_state state;
    uint32_t incarnation;
    int exit_code;
    struct chronik_uuid boot_id;
    struct sim_rng random; /* os_random's */
    /* mono = mono_base + (now - mono_from) * (10^6 + ppm) / 10^6 */
    int64_t mono_base, mono_from;
    int32_t ppm;
    int64_t wall_offset_ms;
    struct sim_exec *execs; /* of this incarnation, oldest first */
    struct sim_exec *last_exec;
    struct sim_exec *dead_execs; /* of earlier ones: handles that can still be told to be dead */
    unsigned n_execs;
    struct task_queue work;
    struct sim_disk *disk;
    uint64_t fds, fd_limit;
};

struct sim_exec {
    struct os_exec base;
    struct sim_node *node;
    struct sim_exec *next;
    unsigned index, flags;
    uint32_t incarnation;
    char name[16];
    bool worker;   /* takes its tasks from node->work */
    bool occupied; /* a task of it is on the stack */
    bool closed;
    int64_t busy_until;
    struct task_queue queue;
    struct os_file_op *op; /* in flight */
    bool op_syncing;       /* its write, if any, is done */
    bool op_finished;      /* its done runs next */
    uint64_t op_seq;       /* where a sync in flight started */
    struct sim_sock **ready;
    unsigned n_ready, cap_ready;
};

static inline struct sim_node *node_of(struct os *os)
{
    return (struct sim_node *)os;
}

/* ---- rng and trace ---- */

uint64_t rng_next(struct sim_rng *r);
uint64_t rng_below(struct sim_rng *r, uint64_t n);
bool rng_permille(struct sim_rng *r, unsigned permille);
/* lo..hi, inclusive */
int64_t rng_range(struct sim_rng *r, int64_t lo, int64_t hi);
void sim_mix(struct sim_world *w, uint64_t a, uint64_t b);
void sim_mix_bytes(struct sim_world *w, const void *p, size_t n);

/* ---- scheduler ---- */

void sim_event_add(struct sim_world *w, int64_t when, struct sim_node *node,
                   void (*fn)(struct sim_world *w, void *arg, uint64_t n), void *arg, uint64_t n);
/* One step, not beyond `until`. False: nothing to do before that. */
bool sim_step(struct sim_world *w, int64_t until);
/* Runs fn(arg) in a frame; false when the node died in it. */
bool sim_enter(struct sim_node *n, struct sim_exec *e, void (*fn)(void *arg), void *arg);
/* If the innermost frame belongs to a dead incarnation, leaves it. Otherwise returns. */
void sim_leave_if_dead(struct sim_world *w);
/* Asserts that a handle's node is still the incarnation it was made by. */
void sim_check_alive(struct sim_node *n, uint32_t incarnation, const char *what);
int64_t sim_node_mono(struct sim_node *n);
/* The executor that has just been kept by a blocking call stays busy for so long. */
void sim_busy(struct sim_world *w, int64_t ns);
/* Ends the node's process (power off too when `power`) and leaves the frame when the node is running. */
void sim_die(struct sim_node *n, bool power, int code);

extern const struct os_clock_ops sim_clock_ops;
extern const struct os_exec_ops sim_exec_ops;
extern const struct os_file_ops sim_file_ops;
extern const struct os_net_ops sim_net_ops;

int32_t sim_exec_new(struct sim_node *n, const char *name, unsigned flags, bool worker, struct sim_exec **out);
void sim_execs_free(struct sim_node *n);
bool sim_exec_alive(struct sim_exec *e);
bool sim_exec_runnable(struct sim_exec *e);
/* When it may become runnable by the mere passing of time; INT64_MAX: never. */
int64_t sim_exec_next(struct sim_exec *e);
void sim_exec_run(struct sim_exec *e);

/* ---- disk ---- */

struct sim_disk *sim_disk_new(struct sim_node *n);
void sim_disk_free(struct sim_disk *d);
void sim_disk_killed(struct sim_disk *d);
void sim_disk_cut(struct sim_disk *d);
/* A submitted operation in its parts. Each begin gives the virtual time it takes, and may be where the node dies. */
int64_t sim_op_write_begin(struct os_file_op *op);
int32_t sim_op_write_end(struct os_file_op *op);
int64_t sim_op_sync_begin(struct os_file_op *op, uint64_t *started);
int32_t sim_op_sync_end(struct os_file_op *op, uint64_t started);
/* What is left of an operation that was in flight when its node died. */
void sim_op_torn(struct os_file_op *op, bool power, bool syncing, uint64_t started);

/* A file's bytes for a stream: pinned at send, read at delivery. */
struct sim_inode *sim_file_pin(struct os_file *f, uint64_t *size);
void sim_inode_unpin(struct sim_inode *i);
void sim_inode_copy(struct sim_inode *i, uint64_t off, void *p, size_t n); /* zeros beyond the end */

/* ---- network ---- */

void sim_net_node_died(struct sim_node *n, bool power);
void sim_net_free(struct sim_world *w);
bool sim_sock_fire(struct sim_exec *loop); /* calls the watcher of one ready socket; false: none is ready */

#endif
