/* fetch_session.h: incremental fetch sessions (KIP-227): what a client's earlier fetch requests asked for, so that the
 * next one names only changes. A session is used by one request at a time. The table has one mutex; the sessions'
 * contents belong to whoever has taken them. */
#ifndef CHRONIK_API_FETCH_SESSION_H
#define CHRONIK_API_FETCH_SESSION_H

#include "base/base.h"
#include "os/os.h"
#include "wire/wire.h"

#include <chronik/base.h>

/* One partition that is fetched, of a session or of a single request. */
struct fetch_item {
    struct chronik_uuid topic_id; /* zero when the client names topics and the name is unknown */
    const char *topic;            /* the session's memory; NULL when the client uses ids */
    int32_t topic_n;
    int32_t partition;
    int64_t offset;
    int32_t max_bytes;
    int32_t leader_epoch, last_fetched_epoch;
    /* what the client was told last: -1 nothing yet */
    int64_t told_hw, told_log_start;
    uint32_t chain; /* index: the next item of the bucket + 1, 0 none */
};

struct fetch_session {
    int32_t id;
    int32_t epoch; /* expected next; 0 while its first request runs */
    bool busy;
    bool ids; /* the client uses topic ids */
    int64_t used_ns;
    struct fetch_item *items;
    uint32_t n, cap;
    uint32_t
        *buckets;   /* index of `cap` buckets, an item's number + 1; NULL while the items are few or were not asked */
    uint32_t first; /* where the next answer begins, so that all get their turn */
    struct fetch_session *chain;
};

struct fetch_sessions;

struct fetch_sessions *fetch_sessions_new(struct os *os, uint32_t slots);
void fetch_sessions_free(struct fetch_sessions *s);

/* A new, busy, empty session; NULL when all slots are taken by sessions used within the last two minutes. */
struct fetch_session *fetch_session_make(struct fetch_sessions *s, bool ids);
/* Takes the session for a request with this epoch: 0, or FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH. */
int16_t fetch_session_take(struct fetch_sessions *s, int32_t id, int32_t epoch, bool ids, struct fetch_session **out);
/* Gives it back; its epoch goes on by one (wrapping to 1). */
void fetch_session_give(struct fetch_sessions *s, struct fetch_session *f);
/* Ends the session with this id, if it exists and is not in use. */
void fetch_session_end(struct fetch_sessions *s, int32_t id);

/* A session that is in no table, for one request. */
struct fetch_session *fetch_session_private(bool ids);
void fetch_session_drop_private(struct fetch_session *f);

/* Adds or finds a partition; copies the topic's name. NULL: out of memory. */
struct fetch_item *fetch_session_put(struct fetch_session *f, struct wire_str topic, const struct chronik_uuid *id,
                                     int32_t partition);
void fetch_session_forget(struct fetch_session *f, struct wire_str topic, const struct chronik_uuid *id,
                          int32_t partition);
uint32_t fetch_sessions_count(struct fetch_sessions *s);

#endif
