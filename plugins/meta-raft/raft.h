/* raft.h: the inside of meta-raft: one instance, and what its files call in each other. Who runs where:
 *   any thread        plugin.c: proposals and barriers go into an inbox under the leaf mutex; status reads what was
 *                     published; read_log and the writing of snapshots in the caller's thread
 *   raft executor     shell.c and everything that touches the core: one pass takes the inbox, what became durable and
 *                     what the host applied, turns readies into records, messages and events
 *   apply executor    deliver.c: everything that the host hears, in the order of the events
 *   worker threads    opening the log, the identity file, verifying a received snapshot
 *   the log's own     announces what is durable and posts the pass
 * Nothing waits: each step is the completion of the one before. The mutex is never held across a call to the host. */
#ifndef META_RAFT_H
#define META_RAFT_H

#include "core/raftcore.h"
#include "plugins/common/mutant.h"
#include "plugins/common/reclog.h"
#include "plugins/common/snapfile.h"
#include "plugins/common/util.h"

#include <chronik/host.h>
#include <chronik/meta.h>
#include <chronik/plugin.h>

#include <pthread.h>

#define RAFT_FOLDER   "meta-raft"
#define RAFT_LOG      RAFT_FOLDER "/log"
#define RAFT_SNAPSHOT "snapshot"
#define RAFT_INCOMING "incoming"
#define RAFT_IDENTITY "identity"
#define RAFT_MS       INT64_C(1000000)

enum {
    RAFT_ADDRESS = 120, /* bytes of host:port, with its end */
    RAFT_QUEUE = 4096,  /* proposals of one class under way */
    RAFT_QUEUE_BYTES = 16 << 20,
    RAFT_BATCH = 256, /* commands in one call of events.apply, proposals in one append */
    RAFT_PEERS = 64,
    RAFT_WAITING = 16, /* of the nodes that wait to be added, so many are told of */
    RAFT_FORMER = 16,  /* times that a quorum can be founded anew */
    RAFT_SNAP_VERSION = 1,
    RAFT_SNAP_LEAST = 2 << 20, /* bytes of log behind the last snapshot before another one is asked for */
    RAFT_TICKS = 10,           /* of an election timeout */
    RAFT_FIRST_MS = 20,        /* from the start to the first try to be elected, when others have a say */
    RAFT_TRY_MS = 10,          /* until the next look whether it may be tried */
    RAFT_TRIES = 3,            /* so many follow each other quickly */
    RAFT_BARRIER_MS = 5000,    /* a read barrier that nobody answers ends */
};

/* The first byte of an entry that is no configuration change and not empty. */
enum { PAYLOAD_COMMAND = 0, PAYLOAD_MEMBER = 1 };

/* ---- the group: who belongs to it and where they live ---- */

struct member {
    uint64_t replica;              /* id in the core: drawn by the replica itself, never used twice */
    uint32_t node;                 /* node.id */
    struct chronik_uuid directory; /* of the data directory; zero: written by a build that did not know it */
    char address[RAFT_ADDRESS];
};

struct book {
    uint32_t n;
    struct member v[RAFT_PEERS];
};

/* Configuration and addresses as of an index. Kept for every index that a snapshot may be taken at. */
struct group {
    struct group *next; /* a later one */
    uint64_t index, term;
    struct rc_conf conf;
    struct book book;
};

/* What the identity file holds: format in identity.c. */
struct identity {
    uint64_t replica;
    uint32_t formed; /* 0: belongs to no group yet */
    struct chronik_uuid group_id;
    uint64_t log_from;      /* first record of the log that start needs */
    struct group bootstrap; /* the group as of index 1, once formed */
    /* Founded anew by force (force.c): the ids that the group had before, oldest first, and the last time. */
    uint32_t n_former, superseded; /* superseded: others did so, and this replica is none of theirs */
    struct chronik_uuid former[RAFT_FORMER];
    uint64_t forced_index; /* last entry that this replica had then */
    int64_t forced_ms;     /* wall clock */
};

/* What the settings say of the quorum. */
struct quorum {
    struct book voters; /* as named, replica ids unknown (0); empty: a single voter or bootstrap.servers */
    uint32_t n_servers; /* controller.quorum.bootstrap.servers, other than ourselves */
    char server[RAFT_PEERS][RAFT_ADDRESS];
    char listen[RAFT_ADDRESS];     /* "": no listener */
    char address[RAFT_ADDRESS];    /* what others reach us by; "": unknown */
    uint32_t voters_hash;          /* of the named voters: all must name the same */
    struct chronik_uuid directory; /* of our data directory */
    bool single;                   /* forms alone, at once */
    bool auto_join;
    int64_t election_ms;
};

/* ---- what is under way ---- */

/* A proposal or a read barrier, from the call to its completion. */
struct proposal {
    struct proposal *next;
    struct chronik_done done;
    struct rc_buf *buf;   /* PAYLOAD_COMMAND and the command; NULL: a barrier */
    int64_t at;           /* mono ns */
    uint64_t index, term; /* once it is in a leader's log */
    uint64_t number;      /* forwarded: its number on the stream to the leader */
    uint32_t klass;
    uint32_t n;
};

struct plist {
    struct proposal *head, **tail;
    uint64_t n;
};

/* What the apply executor has to tell the host, in order. */
enum event_kind { EV_STARTED, EV_ROLE, EV_ENTRIES, EV_INSTALL, EV_CAUGHT_UP, EV_WANT_SNAPSHOT, EV_FAILED, EV_ANSWER };

struct event {
    struct event *next;
    enum event_kind kind;
    int32_t code;         /* STARTED, ANSWER, FAILED */
    uint32_t role, n, at; /* ROLE; ENTRIES: how many, and the next to deliver */
    int32_t leader;
    uint64_t epoch, bytes;
    struct rc_entry *entries;
    struct plist answer;
};

/* A ready whose writes are under way. */
struct flight {
    struct flight *next;
    struct rc_ready rd;
    uint64_t upto; /* the last record that it depends on */
    bool counted;  /* our own vote in it has been */
};

/* Which record of the log holds which entry: runs of indexes whose records follow one another. */
struct run {
    uint64_t index, number;
};

struct runs {
    struct run *v;
    size_t n, cap;
    uint64_t end; /* behind the last index */
};

enum stage {
    STAGE_NEW,
    STAGE_OPENING, /* a worker opens the log */
    STAGE_FULL,    /* it could not, for want of space; tried again */
    STAGE_OPENED,
    STAGE_RUNNING,
    STAGE_FAILED,
};

/* The last state that was written to the log, and what it must hold. */
struct hard {
    uint64_t term, vote, commit, boot;
};

/* What start found: entries in memory until the core has them. */
struct found {
    struct rc_entry *v;
    uint32_t n, cap;
    uint64_t last; /* index of the last record seen, below the base too */
    bool gap;      /* an entry is missing between base and the first one kept */
    bool stray;    /* the log differs from the snapshot at its index: what follows is of another history */
    bool any_state;
    struct hard hard;
};

/* What status shows; published at the end of a pass. */
struct published {
    uint32_t role; /* CHRONIK_META_ROLE_ */
    uint64_t term, lead;
    int32_t leader;
    uint32_t voters, learners;
    uint64_t last, persisted, commit, handed, applied;
    int64_t stage_since[3]; /* mono ns: since when persist, commit, apply has stood behind the stage before; 0: not */
};

/* What a leader knows of a member. */
struct row {
    uint64_t replica, match;
    int64_t heard;  /* mono ns; 0: never */
    int64_t caught; /* when it last had all that the leader had; 0: never */
};

/* Somebody who is connected and no member. */
struct guest {
    struct member who;
    int64_t heard; /* mono ns */
};

struct net; /* peer.h: listeners, peers, streams */

struct chronik_meta {
    struct chronik_host host;
    struct chronik_meta_config cfg;
    struct chronik_meta_events ev;
    struct quorum quorum;
    int64_t snapshot_bytes, file_bytes;
    struct rc_alloc alloc;
    struct chronik_exec *exec;
    struct reclog *log;
    struct chronik_task step_task, deliver_task, worker_task, tick_task, reap_task;
    struct chronik_metric *commands, *elections;

    pthread_mutex_t lock; /* guards the part up to the next comment */
    enum stage stage;
    uint32_t closing;
    struct plist inbox[CHRONIK_META_CLASSES];
    struct plist barriers_in;
    uint64_t class_n[CHRONIK_META_CLASSES], class_bytes[CHRONIK_META_CLASSES];
    uint64_t durable;      /* records up to here are durable */
    uint64_t host_applied; /* index, as the host acknowledged */
    struct event *events, **events_tail;
    uint64_t trim_to;     /* index the host does not need any more */
    uint64_t first_index; /* oldest entry that read_log gives */
    struct runs runs;
    struct group *groups, *group_now; /* oldest first; the last is group_now */
    struct published pub;
    struct row rows[RAFT_PEERS];
    uint32_t n_rows; /* 0 unless it leads, or has asked the leader lately */
    int64_t rows_at; /* mono ns */
    struct guest guests[RAFT_WAITING];
    uint32_t n_guests;
    struct chronik_meta_snapshot snapshot; /* the one on disk; pos.index 0: none */
    uint64_t snapshot_bytes_at;            /* bytes of log delivered when it was begun */
    uint64_t grown, ask_at;
    bool asked, snapshot_new; /* snapshot_new: the raft executor must tell the core */
    bool installing;          /* an event to install is on its way to the host */
    bool installing_file;     /* a received snapshot is being put in its place */
    bool writing_snapshot;    /* the host is writing one */
    int32_t formed_rc;        /* of saving the identity file; 0: not yet */
    bool worker_busy;
    char stalled[400], lack[300];

    /* Atomic, mono ns: since when a pass of the raft executor is asked for, and when the clock asks for the next one;
     * 0: not. The watchdog's. */
    int64_t posted_at, due_at;

    /* start: the worker, then the raft executor */
    struct chronik_done start_done, close_done;
    struct chronik_meta_pos host_pos; /* given to start */
    struct errtext error;
    struct identity id;
    struct found found;

    /* the raft executor's own */
    struct rc *rc;
    struct flight *flights, **flights_tail;
    struct plist inbox_now[CHRONIK_META_CLASSES];
    struct plist waiting;  /* in our log as leader, in order of their indexes */
    struct plist barriers; /* waiting for the read under way */
    struct plist barriers_next;
    uint64_t read_number; /* of the read under way; 0: none */
    uint64_t read_last;
    uint64_t read_index; /* answered: complete once this is handed out; 0: not yet */
    int64_t read_at;
    uint64_t appended;    /* number of the last record */
    uint64_t state_at;    /* record of a complete state group that is durable */
    uint64_t state_wait;  /* last record of one that is not yet; 0: none */
    uint64_t state_next;  /* first record of that one */
    uint64_t boot_record; /* the boot counter is durable with this record */
    struct hard hard;     /* as last written */
    uint64_t commit_written;
    uint64_t handed, applied; /* entries given to the host; acknowledged to the core */
    uint64_t host_last;       /* last command among those handed out */
    uint64_t skip_to;         /* the host has these already */
    uint64_t catch_up;        /* the start is complete when this is handed out */
    uint64_t install_index;   /* of the snapshot being installed */
    uint64_t lead;            /* the leader's replica; 0: none known */
    bool leads, caught_up, want_pending, installing_now;
    uint64_t led;   /* the last term that we led */
    uint32_t tries; /* to be elected, since there was news */
    int64_t next_tick, campaign_at, commit_at, armed_at;
    uint32_t close_stage;
    int64_t close_until;
    struct net *net;
};

/* plugin.c */
void plist_init(struct plist *q);
void plist_push(struct plist *q, struct proposal *p);
struct proposal *plist_pop(struct plist *q);
void plist_move(struct plist *to, struct plist *from);
void close_finish(chronik_meta *m);

/* shell.c: the raft executor */
void *raft_alloc(chronik_meta *m, size_t n); /* zeroed; ends the process when there is none */
void raft_post(chronik_meta *m);             /* any thread: queues the pass */
void raft_step(void *arg);
void raft_fatal(chronik_meta *m, int32_t code, const char *text);
void raft_answer(chronik_meta *m, struct plist *q, int32_t result);
uint64_t raft_random(chronik_meta *m, uint64_t below);
bool raft_self_voter(const chronik_meta *m);
bool raft_alone(const chronik_meta *m); /* nobody else has a say */
uint64_t raft_last(chronik_meta *m);    /* index of the last entry */

/* clock.c: the raft executor */
void clock_turn(chronik_meta *m, int64_t now);
void clock_arm(chronik_meta *m, int64_t now);
void clock_give_way(chronik_meta *m, const struct rc_hard *h);
int64_t clock_retry_ns(chronik_meta *m); /* until the next attempt to be elected */
void clock_campaign_in(chronik_meta *m, int64_t ns);
void clock_campaign_news(chronik_meta *m, int64_t ns); /* there is a reason to believe that it succeeds */

/* status.c: any thread */
void status_get(chronik_meta *m, struct chronik_meta_status *out);
int32_t status_members(chronik_meta *m, void (*each)(void *arg, const struct chronik_meta_member *x), void *arg);

/* start.c */
void start_work(void *arg);          /* worker */
void start_opened(chronik_meta *m);  /* raft executor */
void start_full(chronik_meta *m);    /* raft executor */
int32_t start_born(chronik_meta *m); /* makes the core of what was found */
void start_bootstrap(chronik_meta *m, const struct book *book);
void start_worker(chronik_meta *m, void (*fn)(void *arg)); /* one job at a time; it clears worker_busy and posts */
void start_same_history(chronik_meta *m, const struct rc_entry *e); /* ends the process when the host's state is not */
void start_forget(chronik_meta *m, uint64_t from);
void start_draw(chronik_meta *m, struct chronik_uuid *id); /* a random id; any thread */
void start_save(chronik_meta *m); /* the identity file, on the worker; formed_rc tells the outcome */
struct rc_alloc start_alloc(void);

/* disk.c */
int32_t disk_open(chronik_meta *m, struct errtext *e); /* worker */
uint64_t disk_write(chronik_meta *m, const struct rc_ready *rd);
void disk_state(chronik_meta *m); /* appends a complete state group */
void disk_commit_mark(chronik_meta *m);
void disk_peer(chronik_meta *m, uint64_t replica, uint64_t boot, uint64_t nonce);
uint64_t runs_number(const struct runs *r, uint64_t index); /* 0: not there */
void runs_put(struct runs *r, uint64_t index, uint64_t number);
void runs_trim(struct runs *r, uint64_t below);
int32_t disk_read_log(chronik_meta *m, uint64_t index, uint64_t max_bytes,
                      void (*each)(void *arg, const struct chronik_meta_entry *e), void *arg);
void disk_trim(chronik_meta *m); /* raft executor */

/* deliver.c */
void deliver_run(void *arg);                          /* apply executor */
void deliver_emit(chronik_meta *m, struct event *ev); /* raft executor or worker */
void deliver_drop(struct event *ev);

/* group.c */
size_t group_encode(const struct group *g, uint8_t *out, size_t room); /* bytes needed, also when room is less */
bool group_decode(struct group *g, const uint8_t *p, size_t n);
void group_set(chronik_meta *m, const struct rc_conf *conf, const struct book *book, uint64_t index, uint64_t term);
bool group_at(chronik_meta *m, uint64_t index, struct group *out); /* any thread */
const struct member *book_find(const struct book *b, uint64_t replica);
const struct member *book_node(const struct book *b, uint32_t node, uint64_t but);
void book_put(struct book *b, const struct member *x);
void book_keep(struct book *b, const struct rc_conf *conf);
bool conf_has(const struct rc_conf *c, uint64_t replica);
bool ids_have(const struct rc_ids *ids, uint64_t replica);
struct rc_buf *member_encode(chronik_meta *m, const struct member *x);
bool member_decode(const struct rc_buf *b, struct member *out);
bool uuid_zero(const struct chronik_uuid *id);
bool uuid_same(const struct chronik_uuid *a, const struct chronik_uuid *b);

/* What a replica is told whose quorum was founded anew without it; the folder. */
#define RAFT_SUPERSEDED                                                                                                \
    "the quorum of this replica was founded anew by force without it (chronikctl meta bootstrap): what it alone "      \
    "knows "                                                                                                           \
    "is no part of the cluster any more. Move %s and checkpoint out of the data directory (keep them until nothing "   \
    "is "                                                                                                              \
    "missed), start again, and add this node: chronikctl meta add"

/* identity.c: blocking, on a worker */
int32_t identity_load(chronik_meta *m, struct errtext *e); /* E_NOTFOUND when there is none */
int32_t identity_save(chronik_meta *m, struct errtext *e);

/* snapshot.c */
int32_t snapshot_begin(chronik_meta *m, const struct chronik_meta_snapshot *s, void **writer);
int32_t snapshot_chunk(void *writer, const void *p, uint64_t n);
int32_t snapshot_end(void *writer, uint32_t ok);
/* Head and group of a snapshot file, `whole`: all of it is checked. E_NOTFOUND when there is none. */
int32_t snapshot_load(chronik_meta *m, const char *name, bool whole, struct chronik_meta_snapshot *s, struct group *g,
                      struct errtext *e);
/* Apply executor. *index: the entry whose state the host has now. */
int32_t snapshot_install(chronik_meta *m, uint64_t *index, struct errtext *e);

/* settings.c */
int32_t settings_load(chronik_meta *m);
bool settings_good_address(const char *address); /* host:port */

#endif
