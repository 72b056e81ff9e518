/* net.h: the inside of the network side: peers that we dial, connections that came in, what is forwarded and streamed.
 * Raft executor, but for `requests`, which are under the instance's mutex. */
#ifndef META_RAFT_NET_H
#define META_RAFT_NET_H

#include "conn.h"
#include "peer.h"
#include "wire.h"

enum {
    LANE_TALK, /* votes, heartbeats, replies: bulk never blocks it */
    LANE_BULK, /* appends, proposals, snapshots */
    LANES,
};

struct peer;

/* One direction of one lane: we write, the other side reads. */
struct lane {
    struct peer *peer;
    uint32_t number;
    struct conn *conn;
    struct dial *dial; /* an attempt under way */
    bool welcome;      /* the handshake is over */
    int64_t retry_at, backoff, welcome_by;
};

/* A snapshot on its way to a peer. */
struct sending {
    chronik_meta *m;
    struct peer *peer; /* NULL: nobody waits for it any more */
    struct sending *next;
    struct chronik_file *file;
    struct chronik_task task;
    uint64_t size, at, got;
    int32_t rc;
    bool reading; /* a worker has it, or what it read has not left */
    bool done;    /* all of it has left */
    bool ready;   /* buf holds what goes next; under the mutex */
    uint8_t buf[WIRE_CHUNK_BYTES];
};

struct peer {
    struct peer *next;
    uint64_t replica; /* 0: not known yet */
    uint32_t node;
    char address[RAFT_ADDRESS];
    struct lane lane[LANES];
    struct hello info;    /* its last welcome */
    bool told_form;       /* it has been sent the group on this connection */
    bool suspect;         /* its stream broke: a refused port proves its death */
    uint64_t told_group;  /* it has been told that we have applied the group as of this index */
    int32_t why;          /* last failure of dialing; 0 none */
    uint32_t refused;     /* its last refusal, WIRE_OK none */
    int64_t refused_said; /* when the log was told */
    struct sending *sending;
};

/* A connection that came in. */
struct inbound {
    struct inbound *next;
    struct conn *conn;
    struct hello from;
    bool welcome, told_removed;
    bool was_member;      /* while this connection has lasted */
    int64_t since, heard; /* mono ns: of the connection, of its last frame */
};

/* A snapshot that comes in, into the file `incoming`. */
struct receiving {
    struct conn *from; /* NULL: it broke off */
    uint64_t replica, term, size, at;
    struct chronik_file *file;
    struct chronik_task task;
    bool verifying; /* a worker has it */
    bool verified;  /* … and is done with it; under the mutex */
    bool older;     /* we have one at least as new: the core tells the leader what we have */
    struct chronik_meta_snapshot s;
    struct group group;
    struct errtext error;
    int32_t rc;
};

struct seen {
    uint64_t replica, boot, nonce;
};

/* Something that was asked of the group, here or at the replica `from`. It waits for the leader, is passed on or done
 * here, and ends once: with its completion, or with an answer to `from`. */
enum request_stage {
    REQUEST_NEW,
    REQUEST_SENT,     /* the leader `sent_to` has it */
    REQUEST_PROPOSED, /* in our log at `index` */
    REQUEST_CATCHING, /* the learner catches up */
    REQUEST_SETTLING, /* applied here; the other members have not all done so */
    REQUEST_SAVING,   /* the identity file is being written */
};

struct request {
    struct request *next;
    struct ask ask; /* its number: `from`'s, or ours once it is sent */
    uint64_t from;  /* 0: asked here */
    struct chronik_done done;
    char *why; /* the caller's; may be NULL */
    uint64_t why_n;
    enum request_stage stage;
    uint64_t sent_to;
    uint64_t index, term; /* of its last entry */
    uint64_t gone;        /* the replica that it takes away */
    bool last_step;       /* ADD_VOTER: the promotion is what was proposed */
    int64_t until, again_at;
    char text[WIRE_TEXT];
};

struct requests {
    struct request *head;
    uint32_t n;
};

/* To campaign at once, by the leader of that term. */
struct order {
    uint64_t term, from;
    int64_t until; /* 0: none */
};

struct net {
    void *listener;
    struct order order;
    struct peer *peers;
    struct inbound *inbound;
    uint32_t conns, n_inbound; /* connections that are not freed; … of those that came in */
    uint32_t dials;            /* attempts under way */
    struct seen *seen;
    size_t n_seen, cap_seen;
    uint64_t nonce;
    bool started, boot_known, closing, stale;
    bool forming; /* the identity file is being written */
    bool decided; /* it was this node that formed the group */
    int64_t form_again;
    struct plist forwarded; /* sent to the leader, not yet in its log */
    uint64_t forward_number;
    uint64_t forward_to; /* the replica that has them */
    struct receiving *receiving;
    struct sending *sendings;
    uint32_t workers;       /* sendings that are not freed */
    struct book book;       /* of the snapshot last received */
    struct requests inbox;  /* asked here; under the mutex */
    struct requests asking; /* asked here, for the leader to do */
    struct requests queue;  /* for us to do, as leader */
    struct request *doing;  /* … and the one that is being done */
    struct request *founding;
    uint64_t ask_number;
    struct member leaver; /* was taken away and must stay connected until all have applied that; replica 0: nobody */
    bool removed;         /* the leader says that we are no member any more */
    int64_t started_at;
    uint64_t last_seen; /* end of the log at the last look, and when that was */
    int64_t last_seen_at;
    struct book known; /* while we belong to no group: whom a member named as its members */
    bool peers_stale;  /* peers_update has something to do */
    int64_t leaving_until, step_down_at, news_at;
    bool leaving;
    int64_t hello_due; /* when a connection that has not said who it is must be closed; 0: none */
    int64_t lack_since, lack_due, lack_said, inbound_said;
    int64_t lines_at; /* the second in which so many lines were said of strangers */
    uint32_t lines;
    char lack_text[300];
};

/* peer.c */
struct peer *peer_of(chronik_meta *m, uint64_t replica);
void peer_hello(chronik_meta *m, const struct peer *p, uint32_t lane, struct hello *h);
bool peer_ready(const struct peer *p, uint32_t lane);
void peers_update(chronik_meta *m);
void peers_look(chronik_meta *m); /* updates them soon */
void peers_turn(chronik_meta *m, int64_t now);
void peers_close(chronik_meta *m);
int64_t peers_due(chronik_meta *m);
void peer_kick(chronik_meta *m, const struct hello *h);
void peer_died(chronik_meta *m, uint64_t replica, const char *address, const char *proof);
int64_t net_now(chronik_meta *m);
/* WIRE_OK, or WIRE_STALE when the counter is not above what was seen. */
uint32_t net_boot_check(chronik_meta *m, const struct hello *h);

/* accept.c */
void accept_start(chronik_meta *m);
void accept_turn(chronik_meta *m, int64_t now);
void accept_order(chronik_meta *m, int64_t now);
void accept_close(chronik_meta *m);

/* form.c */
void form_turn(chronik_meta *m, int64_t now);
void form_tell(chronik_meta *m, struct peer *p);
void members_tell(chronik_meta *m, struct inbound *in);
bool members_told(chronik_meta *m, const uint8_t *p, uint32_t n);
bool form_told(chronik_meta *m, const struct hello *from, const uint8_t *p, uint32_t n);

/* forward.c */
bool forward_propose(chronik_meta *m, const struct hello *from, const uint8_t *p, uint32_t n);
void forward_cancel(chronik_meta *m);
void forward_turn(chronik_meta *m, int64_t now);
bool forward_proposed(chronik_meta *m, const struct hello *from, const uint8_t *p, uint32_t n);

/* stream.c */
void stream_send(chronik_meta *m, struct peer *p);
void stream_turn(chronik_meta *m);
void stream_drop(struct peer *p); /* the peer is lost */
bool stream_begin(chronik_meta *m, struct inbound *in, const uint8_t *p, uint32_t n);
bool stream_chunk(chronik_meta *m, struct inbound *in, const uint8_t *p, uint32_t n);
bool stream_result(chronik_meta *m, const struct hello *from, const uint8_t *p, uint32_t n);
void stream_lost(chronik_meta *m, struct conn *c); /* the connection that it came by */
bool stream_busy(chronik_meta *m);                 /* a worker is at it */
void net_install_done(chronik_meta *m);

/* net.c */
void lack_say(chronik_meta *m, int64_t now);
uint64_t net_successor(chronik_meta *m);

void net_removed(chronik_meta *m, const struct peer *by); /* its leader says that we are no member */
void net_say_group(chronik_meta *m);                      /* tells the leader which group we have applied */
bool net_settled(chronik_meta *m, char *who, size_t n);   /* as leader: all members have; else `who` has not */

/* ask.c */
void ask_turn(chronik_meta *m, int64_t now);
void ask_cancel(chronik_meta *m);
void ask_lost(chronik_meta *m, uint64_t replica); /* the stream to it broke */
int64_t ask_due(chronik_meta *m);
bool ask_received(chronik_meta *m, const struct hello *from, const uint8_t *p, uint32_t n);
bool ask_answered(chronik_meta *m, const struct hello *from, const uint8_t *p, uint32_t n);
void request_finish(chronik_meta *m, struct request *r, int32_t result);
int32_t request_say(struct request *r, int32_t result, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void requests_push(struct requests *q, struct request *r);
struct request *requests_pop(struct requests *q);

/* member.c */
void member_turn(chronik_meta *m, int64_t now);
void member_cancel(chronik_meta *m);
int64_t member_due(chronik_meta *m);

/* force.c */
void force_begin(chronik_meta *m, struct request *r, int64_t now);
void force_turn(chronik_meta *m, int64_t now);
bool force_was(const struct identity *id, const struct chronik_uuid *group); /* a former id of the group */
void force_superseded(chronik_meta *m, const struct peer *p);
void force_remember(chronik_meta *m); /* at start: says it in the log */

/* accept.c */
void accept_close_one(chronik_meta *m, struct inbound *in);
void accept_hang_up(chronik_meta *m); /* on everybody */
bool net_may_say(chronik_meta *m);    /* another line in the log about somebody who is no replica */
/* On a replica's lives with a boot counter below this one: they are over. */
void accept_forget(chronik_meta *m, uint64_t replica, uint64_t below);

#endif
