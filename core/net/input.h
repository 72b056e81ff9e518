/* input.h: cuts the bytes of one connection into frames. It says where the next bytes shall be received, and hands out
 * the complete frames in place. Knows no socket, so that tests and the fuzzer can feed it any bytes in any pieces.
 *
 *   have nothing -> no buffer held
 *   part of a frame, < 4 KiB, at the end of a turn -> a stash of exactly these bytes
 *   part of a frame for which there is no memory -> its beginning; the rest is received and dropped (net_input_drop)
 *   else -> a buffer of the pool: [frames handed out | at .. end: not yet cut | room] */
#ifndef CHRONIK_NET_INPUT_H
#define CHRONIK_NET_INPUT_H

#include "net/pool.h"

enum {
    NET_FRAME_MIN = 8,               /* api key, version and correlation id */
    NET_RECV_MAX = 256 * 1024,       /* bytes a receive */
    NET_STASH_MAX = 4096,            /* a smaller rest does not hold a buffer between turns */
    NET_RESERVE_EARLY = 1024 * 1024, /* larger frames get their buffer only once an ordinary one is half full */
};

struct net_input {
    struct net_buf *buf;
    size_t at, end;
    uint8_t *stash;
    uint32_t n_stash;
    bool big;                  /* the last receive filled its room */
    bool seen;                 /* a frame was cut before: garbage is no longer taken for another protocol */
    bool partial;              /* what is left is known to be no complete frame */
    bool cut;                  /* of the frame in progress only the beginning is kept */
    uint32_t dropped, to_drop; /* bytes of it */
};

struct net_frame {
    uint8_t *p;
    uint32_t n;
    uint32_t dropped; /* bytes behind these n, for which there was no memory */
};

/* The frame at the start of p[0..have): DONE with *len bytes behind the length; E_AGAIN: incomplete (*len is 0 while
 * unknown); E_INVAL: no frame of ours, *why says what it looks like. */
int32_t net_frame_look(const uint8_t *p, size_t have, uint32_t max, bool first, uint32_t *len, const char **why);

/* Room for the next bytes; only when net_input_next has nothing more. E_BUSY: over the budget, nothing changed;
 * E_NOMEM. */
int32_t net_input_space(struct net_input *in, struct net_pool *pool, uint8_t **p, size_t *n);
/* After E_NOMEM: keeps the beginning of the frame in progress, to answer it with an error when all of it has passed.
 * False: too little of it is here. */
bool net_input_drop(struct net_input *in);
/* `got` of the `offered` bytes were filled. */
void net_input_filled(struct net_input *in, size_t got, size_t offered);
/* The next frame, in in->buf; results as of net_frame_look, or as of net_input_space when a stash had to be loaded. */
int32_t net_input_next(struct net_input *in, struct net_pool *pool, uint32_t max, struct net_frame *f,
                       const char **why);
/* End of a turn: lets go of memory that the rest does not need. */
void net_input_rest(struct net_input *in);
void net_input_clear(struct net_input *in);
/* Bytes that were received and not cut yet. */
size_t net_input_have(const struct net_input *in);

#endif
