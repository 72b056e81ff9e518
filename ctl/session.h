/* session.h: what a command that speaks Kafka's protocol needs: one connection and the memory of its answers. Failures
 * are printed where they happen. */
#ifndef CHRONIK_CTL_SESSION_H
#define CHRONIK_CTL_SESSION_H

#include "ctl/client.h"
#include "ctl/options.h"
#include "wire/messages.h"

struct session {
    struct client *client;
    struct arena arena;
    struct err e;
};

/* To o->bootstrap. false: it is printed why, nothing is open. */
bool session_open(struct session *s, const struct options *o);
/* To the coordinator of a group, found through o->bootstrap. */
bool session_open_group(struct session *s, const struct options *o, const char *group);
void session_close(struct session *s);
/* In the highest version that both sides have and that is not above *version (-1: any); *version is what was used. */
bool session_call(struct session *s, int key, const void *request, void *response, int *version);
/* Cut to what fits, with a NUL. */
void text_of(struct wire_str s, char *buf, size_t n);

#endif
