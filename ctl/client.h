/* client.h: a small blocking Kafka client: one connection, one request at a time, each with a deadline. For the command
 * line only; the broker talks to other brokers through core/client. One thread. */
#ifndef CHRONIK_CTL_CLIENT_H
#define CHRONIK_CTL_CLIENT_H

#include "base/arena.h"
#include "base/err.h"

struct client;

/* A TCP connection to "host:port" ("[v6]:port"; without a port `port` counts) within timeout_ms, or a negative code
 * with a sentence. The descriptor is non-blocking. */
int client_dial(const char *address, const char *port, int timeout_ms, struct err *e);
/* All `n` bytes within timeout_ms of each other's progress. DONE or a negative code. */
int32_t client_write(int fd, const void *p, size_t n, int timeout_ms, struct err *e);
/* At least one byte, 0 at the end of the stream, or a negative code. */
int64_t client_read(int fd, void *p, size_t n, int timeout_ms, struct err *e);

/* Connects to the first of the comma-separated addresses that answers, and asks for its API versions. */
int32_t client_open(const char *bootstrap, int timeout_ms, struct client **out, struct err *e);
void client_close(struct client *c);
const char *client_peer(const struct client *c); /* the address that answered */
/* The highest version that both sides have, or E_UNSUPPORTED with a sentence. */
int32_t client_version(struct client *c, int key, struct err *e);
/* Sends the request message of `key` in `version` and decodes the answer into `response`; its parts live in `a` and in
 * the client until the next call. DONE or a negative code. */
int32_t client_call(struct client *c, int key, int version, const void *request, void *response, struct arena *a,
                    struct err *e);

#endif
