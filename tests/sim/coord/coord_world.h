/* coord_world.h: what the simulation of the group coordinator shares: clients that outlive the broker, and the judge
 * that remembers what they were told. */
#ifndef TESTS_SIM_COORD_WORLD_H
#define TESTS_SIM_COORD_WORLD_H

#include "coord/coord.h"
#include "tests/sim/sim.h"
#include "tests/unit/meta/rig.h"

enum { GROUPS = 3, PER_GROUP = 6, CLIENTS = GROUPS * PER_GROUP, PARTITIONS = 6, GENERATIONS = 4000, ID = 160 };

enum phase { NEED_JOIN, JOIN_WAIT, NEED_SYNC, SYNC_WAIT, STABLE, AWAY };

struct client {
    int no, group;
    bool good;         /* never pauses, crashes or lies; else it may do anything */
    char instance[16]; /* "": dynamic */
    int16_t version;   /* of its JoinGroup requests */
    int32_t session_ms, rebalance_ms;
    enum phase phase;
    uint32_t life; /* it crashed so often; answers for an earlier one are not heard */
    char id[ID], protocol[16], leader[ID];
    int32_t generation;
    bool synced; /* this id was once answered a SyncGroup: it is in the metadata */
    bool never_syncs;
    uint8_t metadata; /* changed now and then */
    int64_t next_ms, beat_ms;
    /* the assignment that it has to hand in as a leader */
    int32_t n_members;
    char members[PER_GROUP * 2][ID];
    uint8_t owned[PARTITIONS];
    int32_t n_owned;
    /* a former self, for requests that come late */
    char old_id[ID];
    int32_t old_generation;
};

/* A request that waits; in the broker's memory. */
struct request {
    struct coord_call call;
    struct arena arena;
    union {
        struct wire_join_group_response join;
        struct wire_sync_group_response sync;
    } out;
    int client;
    uint32_t client_life;
    bool is_join, finished, forgotten; /* forgotten: nobody cares for the answer */
    int64_t sent_ms;
    int32_t generation;
    struct request *next;
};

extern struct sim_world *w;
extern struct os *os;
extern struct rig rig;
extern struct coord *coord;
extern struct client clients[CLIENTS];
extern bool quiet; /* the last life: who is not good has gone */
extern int lives;

int64_t now_ms(void);
const char *group_name(int g);

/* ---- clients.c ---- */

void clients_make(void);
/* The broker is new: whoever waited asks again. */
void clients_reconnect(void);
void clients_step(void);

/* ---- judge.c: ends the process with a sentence when something may not be ---- */

void judge_reset(void);
/* A leader was told to assign a generation; the token is new for each time. */
void judge_leads(const struct client *c);
uint32_t judge_token(void);
/* A member was given its assignment: the leader's token, and partitions. */
void judge_synced(const struct client *c, uint32_t token, const uint8_t *partitions, int32_t n);
/* A client was told a code that takes its membership away. */
void judge_lost(const struct client *c, int16_t code, const char *by);
void judge_gone(const struct client *c); /* this id may not commit any more */
void judge_wait(const struct request *r);
/* Sends a commit of a member as it is, or was: judged when it is answered. */
void judge_commit(const struct client *c, const char *id, int32_t generation, int partition);
/* In the last life, after a while: everybody who is left is stable, alone, and owns everything. */
void judge_end(void);
_Noreturn void judge_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
