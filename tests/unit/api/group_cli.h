/* group_cli.h: a member of a classic group that speaks to the virtual broker: each step is a request that the test
 * sends and receives by itself. */
#ifndef TESTS_API_GROUP_CLI_H
#define TESTS_API_GROUP_CLI_H

#include "tests/unit/api/rig.h"

struct gm {
    struct cli cli;
    const char *group, *instance; /* instance NULL: dynamic */
    const char *type;             /* "consumer" */
    const char *protocols[4];     /* names, ended by NULL */
    const char *metadata;         /* of all of them; NULL: a subscription to topic "t" */
    int32_t session_ms, rebalance_ms;
    int16_t join_v, sync_v, beat_v, leave_v;
    /* what the broker said */
    char id[160], leader[160], protocol[64], assignment[64];
    int32_t generation, n_members;
    char members[8][160];
    bool skip;
};

/* Connects; dynamic, protocols "range" then "roundrobin", session 10 s, rebalance 20 s, newest versions. */
void gm_open(struct gm *m, struct rig *r, const char *group);
void gm_close(struct gm *m);

int32_t gm_join_send(struct gm *m);
/* The code; -2: no answer within most_ns. What an answer tells is kept in *m. */
int16_t gm_join_recv(struct gm *m, int32_t sent, int64_t most_ns);
/* Sends, and sends again with the id when one is required; gives the correlation of the join that waits. */
int32_t gm_join_begin(struct gm *m);
/* The leader's: gives member i the text texts[i], by the order of its list; for others pass 0. */
int32_t gm_sync_send(struct gm *m, const char *const *texts, int32_t n);
int16_t gm_sync_recv(struct gm *m, int32_t sent, int64_t most_ns);
int16_t gm_sync(struct gm *m, const char *const *texts, int32_t n);
int16_t gm_beat(struct gm *m);
int16_t gm_leave(struct gm *m);
/* Joins and syncs n members into one generation, each with the assignment "a0", "a1", ... by the leader's order. */
void gm_stabilize(struct gm *m, int n);
/* The group's state as DescribeGroups (version 5) tells it; *members its number of members. */
const char *gm_state(struct cli *c, const char *group, int32_t *members);

#endif
