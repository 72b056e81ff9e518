/* quorum.h: a quorum of metadata in the virtual world: the real core, the real shell of meta-raft and the real state
 * machine on each node; clients that remember what they were told; a judge that sees all nodes. One world a process
 * (dead nodes leak), everything in one thread. */
#ifndef CHRONIK_SIM_QUORUM_H
#define CHRONIK_SIM_QUORUM_H

#include "meta/kv.h"
#include "meta/meta.h"
#include "meta/meta_int.h"
#include "plugin/host.h"
#include "plugins/meta-raft/core/raftcore.h"
#include "tests/sim/quorum/cuts.h"
#include "tests/sim/sim.h"

enum { QUORUM_NODES = 7, QUORUM_LOG = 32768, QUORUM_TERMS = 8192, QUORUM_CLIENT_OPS = 8192 };
enum { QUORUM_FRAMES = 2 }; /* the version of the frames between replicas, as WIRE_VERSION */

struct node {
    struct os *os;
    int id; /* node.id, from 1 */
    char name[8], listeners[40];
    bool running; /* started and not ended since */
    const char *wiping;
    bool failing; /* its disk was made to fail: it may end by itself, or not start */
    bool ill;     /* its disk fails now */
    /* Its disk is not what it wrote (bits flipped, a write went astray, an older copy): as good as lost. It may refuse
     * to start, or be refused; the operator replaces it before he bears another loss. */
    bool doubtful;
    bool refused;          /* it did refuse, with a sentence */
    bool aimed;            /* power fails in one of its next operations of the disk */
    bool installing;       /* the judge has seen it */
    uint64_t old_replica;  /* its disk is an older copy of this replica */
    struct sim_copy *copy; /* of its disk, from an earlier life */
    uint64_t copied;       /* that life */
    struct plugin_host *host;
    struct chronik_host table; /* the module's: the host's, with cuts.c in between */
    struct meta *m;
    struct meta_reader *reader;
    struct meta_sub sub;
    struct meta_kv_table *kv; /* the checkpoint; outlives the process */
    bool registered, failed;
    char failed_text[300];
    uint64_t lives;
    bool older; /* it speaks the frames of the version before */
    /* the judge's, of this life */
    uint64_t seen_commit, seen_term, seen_applied, seen_seq, seen_last, seen_handed;
    struct rc_conf conf, conf_before; /* as last applied */
    uint64_t durable, durable_of;     /* the last entry on its disk, when it was last seen, and whose disk it was */
};

/* What clients know. */
enum op_kind { OP_TOPIC, OP_IDS, OP_BARRIER, OP_DELETE, OP_FORGET, OP_UNREGISTER };
enum topic_fate { TOPIC_STAYS, TOPIC_MAY_GO, TOPIC_IS_GONE };
struct op {
    enum op_kind kind;
    enum topic_fate fate; /* OP_TOPIC, once it is acknowledged */
    struct node *node;
    uint64_t life;
    uint64_t number;  /* of the topic; of OP_DELETE and OP_FORGET: that topic's */
    int64_t first, n; /* of the producer ids */
    uint64_t floor;   /* OP_BARRIER: the highest seq that anybody had been told of when it was asked */
    bool answered, acknowledged;
};

struct counts {
    uint64_t seeds, virtual_ms, commands, acknowledged, unknown, barriers, elections, truncations, kills, cuts,
        restarts, links, resets, jumps, full, snapshots, installs, transfers, changes, wiped, aimed, darkness;
    uint64_t ill, rot, astray, old, refused, stale; /* disks that fail, lie, are old; what became of them */
    uint64_t deletes, joint, repeats, gaps;         /* commands that came twice, or before their turn */
    uint64_t older, pauses, switches;               /* lives of an older version; … */
};

/* What the disks of an episode may do to their nodes besides being slow, full and cut off from power. */
enum harm { HARM_NONE, HARM_FAIL, HARM_ROT, HARM_ASTRAY, HARM_OLD };

/* What a run tells of itself, to whoever runs it in a child process. */
enum { STORY_MOST = 4096 };
struct story {
    char why[400]; /* "": it held, or died without a word */
    uint64_t rounds;
    uint32_t n; /* faults */
    struct {
        uint32_t number;
        int64_t at_ms;
        char text[72];
    } v[STORY_MOST];
};

struct quorum {
    struct sim_world *w;
    struct counts *counts; /* shared by all processes of a run */
    struct story *story;   /* NULL: nobody asks */
    int n;
    int first; /* nodes 1 to this are the voters that the settings name; the others join */
    struct node nodes[QUORUM_NODES];
    char voters[512], servers[512];
    int64_t snapshot_bytes;
    bool restless; /* members change, disks are lost */
    enum harm harm;
    bool aim;          /* power fails where a snapshot is on its way */
    unsigned switches; /* permille of the calls that block in which a thread loses the processor */
    /* the judge */
    int leader_of[QUORUM_TERMS];
    struct {
        uint64_t replica, vote;
    } votes[QUORUM_NODES][QUORUM_TERMS];
    struct {
        bool known;
        uint64_t term, hash;
        uint64_t in;   /* the term of who was first seen to call it committed */
        uint64_t conf; /* of the configuration as of this entry; 0: not seen */
    } log[QUORUM_LOG];
    struct {
        bool known;
        uint64_t digest[2];
    } state[QUORUM_LOG]; /* by seq */
    uint64_t acked_seq, committed;
    bool wiped, founded, unregistered; /* a disk was lost; the quorum was founded anew; a broker taken for dead */
    struct op ops[QUORUM_CLIENT_OPS];
    uint32_t n_ops;
    char why[400]; /* what broke; "" nothing did */
};

extern struct quorum q;

/* Notes what broke (the first time); the run ends at the next look. */
void quorum_break(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* main.c */
bool quorum_run(int64_t ns);        /* virtual time; false: broken */
void quorum_rest(const char *when); /* runs until all is at rest; breaks after 40 s */
/* faults.c: the troubled part of a seed */
void faults_trouble(void);
/* Of the seeds to come: at most so many rounds (0: as drawn), and only these faults. Borrowed. */
void faults_limit(uint64_t rounds, bool some, const uint32_t *only, uint32_t n);
bool faults_aims(const struct node *n); /* false: this one is left out */
void faults_mend_net(void);
void faults_mend_disk(struct node *n);
void faults_revive(struct node *n);

/* shrink.c: prints the shortest run with the fewest faults found that fails as this seed does; `options` are those of
 * the program that the command needs, too. */
void shrink(uint64_t seed, void (*one)(uint64_t seed), struct story *story, const char *options);

/* scenes.c: what is played on a formed quorum of three, by its name, with how many nodes; NULL: there is none. */
void (*quorum_scene(const char *name, int *nodes))(void);

/* ledger.c: the log as the truth */
void ledger_begin(void);
void ledger_end(void);
void ledger_entry(const struct rc_entry *e); /* committed; each index once, in any order */
/* A client is told that its command is number `seq`, and it was of that type and about that topic (0: none). */
void ledger_answer(const struct node *n, uint64_t seq, uint8_t type, uint64_t key);
const struct meta_image *ledger_image(void);

/* threads.c: threads that lose the processor */
void threads_wrap(struct chronik_host *table);

/* tickets.c: the module's table with its completions counted */
const struct chronik_meta_ops *tickets_wrap(const struct chronik_meta_ops *module);
const struct node *tickets_open(void); /* a node that has asked and was never told; NULL: none */
void tickets_drop(void);

/* node.c */
void node_init(struct node *n, int id);
void node_start(struct node *n); /* the machine is up: a new process; it does not wait */
void node_kill(struct node *n, bool power);
void node_wipe(struct node *n);                /* the machine is off: its disk is lost; starts as a new replica */
void node_forget(struct node *n);              /* the machine is off: its checkpoint is lost */
void node_version(struct node *n, bool older); /* … and started anew, when that is another one */
void node_restart(struct node *n);             /* after node_kill, or after it ended by itself */
struct rc *node_core(const struct node *n);    /* NULL: not running, or its core is not made yet */

/* inside.c: the core of an instance of the module, or NULL. Apart from the rest because both sides have names alike. */
struct rc *inside_core(chronik_meta *engine);
uint64_t inside_replica(chronik_meta *engine);                         /* 0: not known yet */
bool inside_removed(chronik_meta *engine);                             /* it knows that it is no member any more */
uint64_t inside_boot(chronik_meta *engine);                            /* the counter of its start */
bool inside_voted(chronik_meta *engine, uint64_t term, uint64_t vote); /* … and its log says so durably */
/* It knows for good, whatever happens to it, that the replica has been started with this counter. */
bool inside_knows(chronik_meta *engine, uint64_t replica, uint64_t boot);
bool inside_stale(chronik_meta *engine);      /* it was told that its disk is an older copy */
bool inside_installing(chronik_meta *engine); /* a snapshot comes in or takes its place */
/* The last entry up to `last` that its log says to be durable; at least `persisted`, which its core may have heard
 * later, or in a later term never. */
uint64_t inside_durable(chronik_meta *engine, uint64_t last, uint64_t persisted);
/* Bytes of a snapshot that is coming in, and whether that is all; 0: none is. */
uint64_t inside_received(chronik_meta *engine, bool *all);
/* This start of that replica is welcome here. */
bool inside_welcomes(chronik_meta *engine, uint64_t replica, uint64_t boot);

/* clients.c */
void client_topic(struct node *n);
void client_wide_topic(struct node *n, uint32_t partitions);
void client_delete(struct node *n);     /* one of the topics that are there */
void client_unregister(struct node *n); /* some broker, which may live */
void client_ids(struct node *n);
void client_barrier(struct node *n);
void client_check(struct node *n); /* at rest: everything that was acknowledged is in this node's image, once */

/* operator.c: what people do to a quorum */
void operator_begin(void);                 /* a new world */
struct node *operator_leader(void);        /* of the highest term; NULL */
void operator_change(void);                /* a random change of the members, asked of the leader */
void operator_wipe(void);                  /* a disk is lost, when the quorum can bear it and is calm */
bool operator_bears(const struct node *n); /* it is calm, and goes on without this node's disk */
/* One step towards every node being a voter; true: all are, and nobody else. */
bool operator_restore(int tries);
bool operator_member(const struct node *n); /* as the leader has applied it */

/* harm.c */
void harm_draw(enum harm wanted); /* which of them the seed has; HARM_NONE: any, or none */
int harm_named(const char *name); /* 0: there is none */
void harm_one(void);              /* one such thing happens, if there is a node that may suffer it */
void harm_mend(struct node *n);
void harm_aim(void); /* looks for a snapshot on its way, and draws a power cut there */
void harm_disarm(void);
void harm_cure(void); /* nodes that refuse or are refused get new disks */
void harm_end(void);  /* the links are whole: every doubtful disk has its say and is replaced */

/* judge.c */
bool judge_look(void *arg); /* after each step of the world; true: broken */
void judge_image(struct node *n, const struct meta_image *i);
void judge_state(const char *who, const struct meta_image *i);
/* NULL: a leader, everybody has applied all that is committed, and states are equal; else what is missing. */
const char *judge_rest(void);

#endif
