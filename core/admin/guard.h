/* guard.h: bounds what the connections of the admin server can hold: how many there are, how long one may take to ask
 * and to read its answer, how much it may send ahead. libevent's HTTP server bounds silence only: a peer that sends a
 * byte now and then would stay for ever. Lives on the admin loop. */
#ifndef CHRONIK_ADMIN_GUARD_H
#define CHRONIK_ADMIN_GUARD_H

#include "base/base.h"

struct os;
struct os_exec;
struct evhttp;
struct evhttp_request;
struct evconnlistener;
struct admin_guard;

enum { ADMIN_CONNECTIONS = 32 };
/* From the beginning of a request to its end, and for its answer again; a test makes it short. */
extern int64_t admin_patience_ns;

/* Takes over the making of connections of `http`. NULL: no memory. */
struct admin_guard *admin_guard_new(struct os *os, struct os_exec *loop, struct evhttp *http,
                                    struct evconnlistener *listener);
/* A request has come in whole: its connection waits for us, not for the peer. */
void admin_guard_asked(struct admin_guard *g, struct evhttp_request *req);
/* Its answer goes out: from here on the peer's time runs again. */
void admin_guard_answered(struct admin_guard *g, struct evhttp_request *req);
/* After evhttp_free, on the loop. */
void admin_guard_free(struct admin_guard *g);

#endif
