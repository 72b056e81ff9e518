/* wire.h: the frames between replicas, as pure functions over bytes: no state, any thread. Everything that comes in is
 * outside bytes: a decoder answers false for whatever it does not understand, and the connection is closed. The format
 * is described in wire.c. */
#ifndef META_RAFT_WIRE_H
#define META_RAFT_WIRE_H

#include "raft.h"

enum wire_type {
    WIRE_HELLO = 1, /* the dialer's first frame */
    WIRE_WELCOME,   /* the one answer to it */
    WIRE_FORM,      /* the group that the receiver belongs to */
    WIRE_MSG,       /* a message of the core */
    WIRE_PROPOSE,   /* commands for the leader */
    WIRE_PROPOSED,  /* what became of them */
    WIRE_SNAP,      /* a snapshot file follows */
    WIRE_CHUNK,
    WIRE_SNAP_RESULT,
    WIRE_MEMBERS,    /* to a dialer that belongs to no group: who is in ours */
    WIRE_STILL_HERE, /* nothing to say: who only listens never learns that the other machine is gone */
    WIRE_ASK,        /* what an operator asks of the leader */
    WIRE_ASKED,      /* what became of it */
    WIRE_GROUP_AT,   /* the sender has applied the group as of this index */
    WIRE_TYPE_END
};

enum {
    WIRE_VERSION = 2,
    WIRE_HEAD = 12,
    WIRE_SMALL = 4096,    /* largest body before the handshake is over */
    WIRE_LARGE = 8 << 20, /* … and after it */
    WIRE_CHUNK_BYTES = 128 << 10,
    WIRE_TEXT = 500, /* of a sentence for an operator */
};

/* Why a handshake is refused. */
#define WIRE_REFUSALS(X)                                                                                               \
    X(WIRE_OK, "welcome")                                                                                              \
    X(WIRE_OTHER_CLUSTER, "it belongs to another cluster: check the addresses of the quorum")                          \
    X(WIRE_OTHER_REPLICA,                                                                                              \
      "another replica lives at this address now: it lost its disk; remove the old one and add it")                    \
    X(WIRE_NODE_TAKEN, "its node.id is taken by a node that is alive: give it another one")                            \
    X(WIRE_STALE, "its disk is an older copy of itself: it must come back as a new replica: remove its folders "       \
                  "meta-raft and checkpoint, then add it to the quorum")                                               \
    X(WIRE_OTHER_VOTERS, "its controller.quorum.voters differ from ours: all voters must name the same")               \
    X(WIRE_SUPERSEDED, "its quorum was founded anew by force without it: it must come back as a new replica")
enum wire_refusal {
#define X(name, text) name,
    WIRE_REFUSALS(X)
#undef X
        WIRE_REFUSAL_END
};
const char *wire_refusal_text(uint32_t status);

struct hello {
    uint32_t lane;
    uint32_t status; /* of a WELCOME */
    uint32_t formed;
    struct chronik_uuid group_id;
    uint32_t node;
    uint64_t replica, boot, nonce;
    uint64_t want; /* the replica that the dialer expects; 0: any */
    uint32_t voters_hash;
    uint32_t wants_join; /* add me: controller.quorum.auto.join.enable */
    uint32_t removed;    /* of a WELCOME: as of group_at, which all members have applied, you are none of them */
    uint64_t group_at;   /* index of the group that the sender has applied; 0: none */
    struct chronik_uuid directory;
    char address[RAFT_ADDRESS];
};

/* A request to the leader, and its answer. */
struct ask {
    uint64_t number;
    uint32_t op, flags, timeout_ms; /* as chronik/meta.h */
    int32_t node;
    struct chronik_uuid directory;
    char address[RAFT_ADDRESS];
};

struct asked {
    uint64_t number;
    int32_t result;
    char why[WIRE_TEXT];
    uint32_t n_rows;
    struct row rows[RAFT_PEERS]; /* times: ns ago, -1 unknown */
};

/* A growing buffer of frames. */
struct wbuf {
    uint8_t *p;
    size_t n, cap;
    bool full; /* no memory: the frame is not whole */
};

#ifdef CHRONIK_MUTANTS
uint32_t wire_speaks(void);
#endif

typedef uint32_t (*wire_crc)(uint32_t crc, const void *p, uint64_t n);

size_t wire_begin(struct wbuf *w, enum wire_type type);
void wire_end(struct wbuf *w, size_t at, wire_crc crc);
void wire_put(struct wbuf *w, const void *p, size_t n);
void wire_put32(struct wbuf *w, uint32_t v);
void wire_put64(struct wbuf *w, uint64_t v);

/* The frame at p: 1 whole, with its body; 0 more bytes are needed (*need in all); -1 no frame. */
int wire_frame(const uint8_t *p, size_t n, uint32_t limit, wire_crc crc, enum wire_type *type, const uint8_t **body,
               uint32_t *body_n, size_t *need);

struct wread {
    const uint8_t *p;
    size_t left;
    bool bad;
};
const uint8_t *wire_get(struct wread *r, size_t n);
uint32_t wire_get32(struct wread *r);
uint64_t wire_get64(struct wread *r);

void wire_hello(struct wbuf *w, enum wire_type type, const struct hello *h, wire_crc crc);
bool wire_hello_decode(const uint8_t *p, uint32_t n, struct hello *out);
void wire_ask(struct wbuf *w, const struct ask *a, wire_crc crc);
bool wire_ask_decode(const uint8_t *p, uint32_t n, struct ask *out);
void wire_asked(struct wbuf *w, const struct asked *a, wire_crc crc);
bool wire_asked_decode(const uint8_t *p, uint32_t n, struct asked *out);
void wire_msg(struct wbuf *w, const struct rc_msg *m, wire_crc crc);
/* Entries get buffers of their own; wire_msg_clear releases them, after a failure too. */
bool wire_msg_decode(const uint8_t *p, uint32_t n, const struct rc_alloc *alloc, struct rc_msg *out);
void wire_msg_clear(const struct rc_alloc *alloc, struct rc_msg *m);

#endif
