/* world: replicas of the Raft core with made-up disks and a made-up network, in one thread, every choice from one seed.
 * Beside them an all-knowing judge that checks after each step what no replica can see alone. It must never help a
 * replica: a crash loses what was not synced, the network owes nothing. Single-threaded test code. */
#ifndef CHRONIK_RAFT_WORLD_H
#define CHRONIK_RAFT_WORLD_H

#include "plugins/meta-raft/core/raftcore.h"

#include <setjmp.h>

enum { WORLD_NODES = 12, WORLD_TERMS = 4096, WORLD_LOG = 8192, WORLD_PROPOSALS = 4096, WORLD_ACKS = 32 };

/* What survives a crash. */
struct disk {
    struct rc_hard hard;
    uint64_t base; /* entry before the first */
    uint64_t base_term;
    struct rc_entry *entries;
    uint32_t n;
    uint32_t size;
    struct rc_snapshot *snapshot; /* data: the state's digest, 8 bytes */
};

/* A ready on its way to the disk. */
struct write {
    struct rc_ready rd;
    bool acknowledged; /* needed no sync: written, and lost if power fails before the next one */
};

struct job { /* committed entries on their way into the state */
    struct rc_entry *entries;
    uint32_t n;
};

struct node {
    uint64_t id;
    bool exists, alive, paused, stalled;
    bool late; /* acknowledgements of its writes are held up: written and sent is not yet told */
    struct rc_config cfg;
    struct rc *rc;
    struct disk disk;
    struct write *writes;
    uint32_t n_writes;
    struct job *jobs;
    uint32_t n_jobs;
    struct rc_ack acks[WORLD_ACKS]; /* held up */
    uint32_t n_acks;
    uint64_t applied;
    uint64_t digest;
    struct rc_conf conf;  /* as of applied */
    uint64_t seen_commit; /* by the judge, in this life */
    uint64_t alone;       /* ticks as leader without a message */
    bool was_leader, was_candidate;
};

struct packet {
    struct rc_msg msg;
    uint64_t due; /* step */
};

struct known { /* an index that is committed */
    bool committed, digested;
    uint64_t term;
    uint64_t by; /* the term of the leader that committed it */
    uint64_t hash;
    uint64_t digest; /* of the state after it */
};

struct proposal {
    uint64_t node, index, term, hash;
    bool acknowledged;
};

struct counts {
    uint64_t steps, elections, proposals, acknowledged, refused, reads, truncations, snapshots_taken, snapshots_sent,
        installed, crashes, torn, lost, repeated, partitions, changes, joint, transfers, forgets, reigns;
};

struct world {
    uint64_t random;
    struct node nodes[WORLD_NODES];
    struct packet *flight;
    uint32_t n_flight, flight_size;
    bool cut[WORLD_NODES][WORLD_NODES]; /* from, to */
    uint32_t loss;                      /* percent */
    uint32_t repeat;
    uint32_t clients, ambition;
    uint32_t trouble, haste; /* of 1000 steps: faults and operators' wishes; ticks */
    uint32_t impatient;      /* percent of its turns that an acknowledgement that was held up arrives */
    struct node *kings[2];   /* of the last reigns, newest first */
    bool healed;             /* nothing is held up any more */
    uint32_t slow_disk;      /* percent of its turns that a disk sleeps */
    uint32_t reigns;         /* of 1000 steps: an episode begins */
    uint32_t coarse;         /* percent of rejections with a poor hint, as of a peer of another version */
    /* the judge */
    uint64_t leader_of[WORLD_TERMS];
    uint64_t vote_of[WORLD_NODES][WORLD_TERMS];
    uint64_t said_term[WORLD_NODES]; /* the highest term that left this replica */
    struct known log[WORLD_LOG];
    uint64_t committed; /* highest index that some leader committed */
    uint64_t answered;  /* highest index that a client was told of */
    struct proposal proposals[WORLD_PROPOSALS];
    uint32_t n_proposals;
    struct {
        uint64_t node, floor;
        bool open;
    } reads[WORLD_PROPOSALS]; /* number - 1 */
    uint32_t n_reads;
    struct counts counts;
    jmp_buf broken;
    char why[512];
    bool verbose;
    void (*trace)(const char *line); /* what the replicas say, when verbose */
};

uint64_t world_random(struct world *w, uint64_t below);
bool world_chance(struct world *w, uint32_t percent);
_Noreturn void world_break(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

void world_init(struct world *w, uint64_t seed);
void world_free(struct world *w);
/* A replica that knows nothing (conf NULL), or a first voter of conf. cfg: limits and switches; services are filled in.
 */
struct node *world_add(struct world *w, const struct rc_config *cfg, const struct rc_conf *conf);
struct rc_config world_config(void);
struct node *world_node(struct world *w, uint64_t id); /* NULL: does not exist */

/* One thing happens. Each checks what it touched. */
void world_tick(struct world *w, struct node *n);
void world_ready(struct world *w, struct node *n); /* take a ready, if there is one */
void world_disk(struct world *w, struct node *n);  /* the oldest unacknowledged write finishes */
void world_ack(struct world *w, struct node *n);   /* the oldest acknowledgement that was held up arrives */
void world_apply(struct world *w, struct node *n); /* the oldest job is applied */
void world_deliver(struct world *w, uint32_t at);  /* a packet arrives, if its way is open */
void world_drop(struct world *w, uint32_t at);
void world_crash(struct world *w, struct node *n);
void world_start(struct world *w, struct node *n);
int world_propose(struct world *w, struct node *n, uint32_t bytes);
int world_change(struct world *w, struct node *n, const struct rc_conf_change *change);
void world_read(struct world *w, struct node *n);
void world_snapshot(struct world *w, struct node *n,
                    uint64_t keep); /* of the state; the log keeps this many entries before it */
/* Everything that is possible without a tick, until nothing moves. */
void world_settle(struct world *w);
struct node *world_leader(struct world *w); /* of the highest term, alive; NULL */

/* judge.c */
void judge_step(struct world *w, struct node *n); /* after anything happened to n */
void judge_leaving(struct world *w, struct node *n, const struct rc_msg *msg);
void judge_applied(struct world *w, struct node *n, const struct rc_entry *entry);
void judge_installed(struct world *w, struct node *n);
uint64_t judge_hash(const struct rc_entry *entry);
uint64_t judge_chain(uint64_t digest, uint64_t index, uint64_t hash);

#endif
