/* net.c: the network side of a replica that is alone: there is nobody to talk to. */
#include "peer.h"

#include <stdio.h>

int32_t net_new(chronik_meta *m)
{
    return CHRONIK_DONE;
}
void net_free(chronik_meta *m)
{
}
void net_start(chronik_meta *m)
{
}
void net_turn(chronik_meta *m, int64_t now)
{
}
void net_unformed(chronik_meta *m, int64_t now)
{
}
void net_flush(chronik_meta *m)
{
}
int64_t net_due(chronik_meta *m)
{
    return 0;
}
bool net_disk_full(chronik_meta *m)
{
    return false;
}
void net_boot_seen(chronik_meta *m, uint64_t replica, uint64_t boot, uint64_t nonce)
{
}
void net_boots(chronik_meta *m, void (*each)(void *arg, uint64_t replica, uint64_t boot, uint64_t nonce), void *arg)
{
}
void net_boot_durable(chronik_meta *m, uint64_t durable)
{
}
void net_send(chronik_meta *m, const struct rc_msg *msg)
{
}
void net_install(chronik_meta *m, const struct rc_snapshot *snap)
{
}
void net_installed(chronik_meta *m, uint64_t index)
{
}
void net_forward(chronik_meta *m, struct plist *q)
{
    raft_answer(m, q, CHRONIK_E_NOT_LEADER);
}
void net_leader_changed(chronik_meta *m)
{
}
void net_group_changed(chronik_meta *m)
{
}
void net_lack(chronik_meta *m, char *text, size_t n)
{
    snprintf(text, n, "no leader is elected yet");
}
bool net_leaving(chronik_meta *m, int64_t now)
{
    return false;
}
void net_cancel(chronik_meta *m)
{
}
void net_close(chronik_meta *m)
{
}
bool net_closed(chronik_meta *m)
{
    return true;
}
int32_t member_change(chronik_meta *m, uint32_t op, uint32_t node_id, const char *address, struct chronik_done done)
{
    return CHRONIK_E_UNSUPPORTED;
}
int32_t member_transfer(chronik_meta *m, int32_t to_node, struct chronik_done done)
{
    return CHRONIK_E_UNSUPPORTED;
}
