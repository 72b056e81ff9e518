/* load.h: what the two halves of the load generator share: its options, and the requests it makes and waits for one by
 * one. One thread; whatever goes wrong ends the program with a sentence. */
#pragma once
#include <config.h>

#include "base/arena.h"
#include "base/base.h"

struct load_options {
    const char *mode, *host, *topic, *config; /* config: KEY=VALUE,... of a topic that is created */
    int port, conns, in_flight, partitions, batch, records, fetch_bytes, acks, topics, groups, members;
    double seconds, warmup, rate; /* rate: requests a second in all; 0: closed loop */
    int64_t bytes;                /* end earlier, once so many were counted; 0: no bound */
    int64_t since_ns;             /* wait: the start, on CLOCK_MONOTONIC */
    int64_t stop_ns;              /* wait: how long at most */
    int pid;                      /* whose CPU time is reported beside; 0: nobody's */
    bool simple;                  /* commit: groups without members */
    bool check;                   /* fetch: look at every byte that comes */
    bool raw;                     /* the peer knows this one request alone: do not ask it for topics */
};
extern struct load_options opt;

_Noreturn void load_die(const char *what);
int64_t load_now_ns(void);

/* A connected socket, or -1 with errno. */
int load_dial(void);

/* Encodes one request with its length in front; correlation id 0 at byte 8. The caller frees. */
void load_encode(int key, int version, const void *body, uint8_t **out, size_t *n);
void load_encode_produce(int partition, uint8_t **out, size_t *n);
void load_encode_fetch(int partition, int64_t offset, uint8_t **out, size_t *n);

/* Until the broker answers for all partitions of opt.topic (with no topic: for the cluster); ns it took. */
int64_t load_wait_ready(void);
void load_create_topics(void);
void load_delete_topic(void);

/* Blocking. load_send frees the request; receiving fills `a` with the decoded answer, false: the connection ended. */
void load_send(int fd, uint8_t *out, size_t n);
bool load_receive(int fd, int key, int version, struct arena *a, void *answer);
bool load_call(int fd, int key, int version, const void *body, struct arena *a, void *answer);

/* ---- groups (load_groups.c) ---- */

/* Lets opt.members members of each of opt.groups groups join, spread over the connections. */
void load_groups_join(const int *fds);
/* One request for each member of this connection, equally long, one behind the other. */
void load_groups_encode(int conn, uint8_t **requests, size_t *request_n, size_t *copies);
/* The error code in an answer to one of them. */
int load_groups_error(const uint8_t *answer);
/* Mode join: the first request of a connection; then the next one after each answer, and the answer's error code. */
void load_groups_begin(int conn, int fd, uint8_t **request, size_t *n);
int load_groups_next(int conn, const uint8_t *answer, uint8_t **request, size_t *n);
