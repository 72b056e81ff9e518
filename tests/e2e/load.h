/* load.h: what the loads of the end-to-end tests share: a poll loop over many connections that come back by themselves
 * when the broker is killed, frames of the protocol, complaints, and the talk with the test over standard input and
 * output. A load says what is sent and what an answer means; it never sees a socket. One thread. */
#ifndef CHRONIK_TEST_LOAD_H
#define CHRONIK_TEST_LOAD_H

#include "base/base.h"

enum { LOAD_ROOM = 1 << 16, LOAD_BACKOFF_MS = 25 };
enum load_state { LOAD_DOWN, LOAD_CONNECTING, LOAD_UP };

struct load_address {
    uint32_t ip; /* host order */
    uint16_t port;
};

/* Where the brokers are; a connection that ended goes on at the next one. */
struct load_targets {
    uint32_t n;
    struct load_address v[8];
};

/* The first member of a load's client. */
struct load_conn {
    const struct load_targets *targets;
    uint32_t at; /* which of them is next */
    int fd;
    enum load_state state;
    int64_t retry_at;
    int32_t correlation; /* of the last request */
    uint8_t *in, *out;   /* LOAD_ROOM bytes each */
    size_t in_used, out_used, out_sent;
};

struct load_ops {
    void (*up)(void *client);   /* connected */
    void (*down)(void *client); /* the connection is gone: what is in flight has no answer */
    void (*feed)(void *client); /* connected, and all that was queued is on its way: more may be queued */
    void (*answer)(void *client, int32_t correlation, const uint8_t *body, size_t n);
    bool (*done)(const void *client); /* once the load stops: nothing is left to do for this one */
    uint64_t (*count)(const void *client);
};

/* ---- the loop ---- */

/* "PORT" (of 127.0.0.1) or "HOST:PORT", several with commas; ends the process when it is neither. */
void load_targets(const char *text, struct load_targets *out);
void load_init(struct load_conn *c, const struct load_targets *t, uint32_t first);
void load_free(struct load_conn *c);
/* Runs until standard input ends and then until all are done, a minute at most; each byte on standard input is answered
 * with a line: the sum of `count`. */
void load_run(const struct load_ops *ops, void *clients, size_t stride, uint32_t n);
bool load_stopping(void);
/* Ends the connection from within a callback; `down` is called, and it is opened again in a moment. */
void load_drop(struct load_conn *c);

int64_t now_ms(void);
__attribute__((format(printf, 1, 2))) void complain(const char *fmt, ...); /* the first twenty are printed */
int complaints(void);
/* A blocking connection with half a minute of patience; -1. */
int load_connect(struct load_address to);
/* Sends the frame and receives its answer, correlation and all, without the length; -1 when it does not fit or come. */
int64_t load_ask(int fd, const uint8_t *frame, size_t n, uint8_t *answer, size_t room);

/* ---- frames; overrunning the room aborts ---- */

struct frame {
    uint8_t *p;
    size_t used, room;
};

void frame_begin(struct frame *f, uint8_t *room, size_t n, int16_t api, int16_t version, int32_t correlation);
void frame_end(struct frame *f); /* fills in the length */
void frame_queue(struct load_conn *c, struct frame *f);
uint8_t *frame_grow(struct frame *f, size_t n);
void put_i8(struct frame *f, int8_t v);
void put_i16(struct frame *f, int16_t v);
void put_i32(struct frame *f, int32_t v);
void put_i64(struct frame *f, int64_t v);
void put_string(struct frame *f, const char *s);
void put_uvarint(struct frame *f, uint32_t v);
void put_compact(struct frame *f, const char *s);

#endif
