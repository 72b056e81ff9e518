/* peer.h: what the shell asks of the network side: messages to peers, forwarded proposals, streamed snapshots, members.
 * All of it on the raft executor, unless a comment says otherwise. */
#ifndef META_RAFT_PEER_H
#define META_RAFT_PEER_H

#include "raft.h"

int32_t net_new(chronik_meta *m); /* create: allocates, opens nothing */
void net_free(chronik_meta *m);   /* any thread, when nothing runs any more; NULL is allowed */
void net_start(chronik_meta *m);  /* the log is open: listen and dial */
void net_turn(chronik_meta *m, int64_t now);
void net_unformed(chronik_meta *m, int64_t now); /* there is no quorum to belong to yet */
void net_flush(chronik_meta *m);                 /* writes what has gathered */
int64_t net_due(chronik_meta *m);                /* when net_turn has something to do by the clock; 0: never */
bool net_disk_full(chronik_meta *m);
void net_rows(chronik_meta *m, int64_t now); /* what status tells of the members */
bool net_may_campaign(chronik_meta *m, int64_t now);
bool net_member(const chronik_meta *m);           /* false: we are none (any more), and try nothing */
void net_step_down(chronik_meta *m, int64_t now); /* a leader without room hands over to one that has some */

/* Boot counters of others, the highest that was seen of each replica. */
void net_boot_seen(chronik_meta *m, uint64_t replica, uint64_t boot, uint64_t nonce);
void net_boots(chronik_meta *m, void (*each)(void *arg, uint64_t replica, uint64_t boot, uint64_t nonce), void *arg);
void net_boot_durable(chronik_meta *m, uint64_t durable);

void net_send(chronik_meta *m, const struct rc_msg *msg);
void net_install(chronik_meta *m, const struct rc_snapshot *snap); /* a received snapshot takes the old one's place */
void net_installed(chronik_meta *m, uint64_t index);               /* … and the log says so, durably */
/* Takes all of q: on to the leader, or back to the proposers. */
void net_forward(chronik_meta *m, struct plist *q);
void net_leader_changed(chronik_meta *m);
void net_group_changed(chronik_meta *m);
/* One sentence: which voters are missing. */
void net_lack(chronik_meta *m, char *text, size_t n);

/* The end: what can be done while still alive (handing leadership over), then everything is closed. */
bool net_leaving(chronik_meta *m, int64_t now); /* true: not yet */
void net_cancel(chronik_meta *m);
void net_shut(chronik_meta *m);
bool net_closed(chronik_meta *m);

/* The op of the table, any thread. */
int32_t member_change(chronik_meta *m, const struct chronik_meta_change *c, struct chronik_done done);

#endif
