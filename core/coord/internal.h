/* internal.h: what the files of the coordinator share. A slot's lock protects everything below the slot: groups,
 * members, timers, waiting calls. What must happen outside of the lock (answers, proposals) is gathered in a
 * struct todo while it is held and done by coord_finish. */
#ifndef CHRONIK_COORD_INTERNAL_H
#define CHRONIK_COORD_INTERNAL_H

#include "coord/coord.h"
#include "coord/wheel.h"
#include "meta/mutant.h"
#include "os/lock.h"

enum {
    COORD_NEW_MEMBER_JOIN_TIMEOUT_MS = 5 * 60 * 1000, /* a first join that nobody may be waiting for any more */
    COORD_MAX_PROTOCOLS = 256,                        /* of a member */
    COORD_RETRY_MS = 5000,                            /* of a write of an empty group that failed */
    COORD_SESSION_GRAIN_MS = 100,                     /* ends of sessions are rounded up: many share a wake-up */
};

/* ---- members ---- */

/* The protocols that a member offers, in its order of preference; one block, shared by reference. */
struct protocol {
    const char *name;
    int32_t n_name;
    const uint8_t *metadata;
    int32_t n_metadata;
};
struct protocols {
    uint32_t refs;
    int32_t n;
    struct protocol v[];
};

struct blob {
    uint8_t *p;
    int32_t n;
};

enum timer_kind { TIMER_MEMBER, TIMER_JOIN, TIMER_SYNC };
struct coord_timer {
    struct wheel_timer t;
    enum timer_kind kind;
};

struct member {
    struct group *group;
    struct member *next, *prev; /* the group's members in order of joining, or its pending ones */
    struct member *by_id;       /* hash chain */
    struct member *by_instance; /* hash chain */
    char *id;
    char *instance; /* NULL: dynamic */
    char *client_id, *client_host;
    int32_t session_ms, rebalance_ms;
    struct protocols *protocols;
    struct blob assignment;
    bool pending; /* was given an id and has not joined with it: not a member */
    bool is_new;  /* joined for the first time; cannot send heartbeats yet */
    bool awaiting_join, awaiting_sync, pending_sync;
    struct coord_call *join, *sync; /* NULL also when the client is gone */
    struct coord_timer timer;
    int64_t deadline_ms; /* of its session; the timer may fire earlier and is armed again then */
};

/* ---- groups ---- */

enum group_state { GROUP_EMPTY, GROUP_PREPARING, GROUP_COMPLETING, GROUP_STABLE, GROUP_DEAD };

struct support {
    char *name;
    int32_t n_name;
    uint32_t members;
};

struct write;

struct group {
    struct slot *slot;
    struct group *chain;
    char *id;
    uint32_t hash;
    enum group_state state, previous;
    char *protocol_type; /* NULL: none yet */
    char *protocol;      /* NULL: none chosen */
    int32_t generation;
    struct member *leader;
    int64_t state_ms; /* wall clock */
    struct member *first, *last, *pending;
    uint32_t n, n_pending, n_awaiting_join, n_pending_sync;
    struct member **ids, **instances; /* hash tables of the same size */
    uint32_t buckets;
    struct support *supports;
    uint32_t n_supports;
    bool new_member_added;
    struct coord_timer join_timer, sync_timer;
    int64_t join_delay_ms, join_left_ms; /* of an initial rebalance; left -1: not one */
    struct write *writes;                /* the first is on its way, the others wait for it */
};

/* A command about a group on its way to the metadata. One a group at a time, so that they apply in order. */
enum write_why { WRITE_GENERATION, WRITE_EMPTY, WRITE_STATIC, WRITE_DELETE };
struct write {
    struct coord *coord;
    struct slot *slot;
    struct group *group;     /* NULL: the slot was given up meanwhile */
    struct write *next;      /* the group's queue */
    struct write *send_next; /* of a todo */
    bool unfilled;           /* out of memory for the command */
    enum write_why why;
    int32_t generation;
    struct arena arena; /* of the command */
    struct meta_command cmd;
    struct swap *swap;         /* WRITE_STATIC */
    struct deletion *deletion; /* WRITE_DELETE: who waits; NULL: nobody, and only if it is unused */
    int32_t delete_at;
};

/* A static member that came back under a new id: what it replaced, in case that the metadata refuses. */
struct swap {
    char *new_id, *old_id;
    bool was_leader;
    struct protocols *protocols;
    int32_t rebalance_ms, session_ms;
    int16_t version; /* of the JoinGroup request */
};

/* ---- slots ---- */

/* UNKNOWN: not looked at yet, or nobody's and being taken. */
enum slot_state { SLOT_UNKNOWN, SLOT_FOREIGN, SLOT_LOADING, SLOT_ACTIVE };

struct slot {
    struct coord *coord;
    uint32_t no;
    struct os_mutex mu;
    enum slot_state state;
    int64_t epoch;
    struct group **groups;
    uint32_t buckets, n_groups;
    struct wheel wheel;
    int64_t next_ms; /* atomic: when the wheel wants to be looked at */
    bool claiming;   /* atomic: COORD_SLOT is on its way */
};

struct coord {
    struct coord_options o;
    struct meta *meta;
    struct os_exec *exec;
    struct os_mutex reader_mu;
    struct meta_reader *reader; /* under reader_mu */
    struct slot *slots;
    struct meta_reader *look_reader; /* the executor's */
    struct chronik_task timer, kick, look, look_later;
    int64_t armed_ms;       /* atomic: when the timer task runs */
    bool started, stopping; /* atomic */
    bool look_again;        /* the executor's: something could not be done now */
    struct meta_sub sub;
    uint64_t rebalances; /* atomic */
};

/* ---- what is left to do once the lock is free ---- */

struct todo {
    struct coord_call *calls, *last;
    struct write *writes, *last_write;
    bool kick;
};

/* Under the slot's lock, at the end of every use: notes when the slot wants attention. */
void coord_leave_slot(struct slot *s, struct todo *t);
/* No lock held: answers and proposals. Gives whether `own` was among the answers (it is not told). */
bool coord_finish(struct coord *c, struct todo *t, const struct coord_call *own);
struct slot *coord_enter_slot(struct coord *c, struct wire_str group, int16_t *code);
int64_t coord_now_ms(const struct coord *c);
void coord_done(struct todo *t, struct coord_call *call);

/* ---- group.c: data, no decisions ---- */

uint32_t coord_hash(const char *p, size_t n);
struct group *group_find(struct slot *s, struct wire_str id);
struct group *group_new(struct slot *s, struct wire_str id);
/* Frees it when nothing needs it in memory: no members, nobody pending, nothing being written. */
void group_settle(struct group *g);
void group_free(struct group *g);
struct member *group_member(const struct group *g, struct wire_str id); /* members and pending ones */
struct member *group_static(const struct group *g, struct wire_str instance);
struct member *member_new(struct group *g, struct wire_str id, struct wire_str instance, struct wire_str client_id,
                          const char *client_host);
void member_free(struct member *m);                               /* one that is in no group yet */
bool member_set_protocols(struct member *m, struct protocols *p); /* takes the reference, unless out of memory */
/* A member, or a pending one. false: out of memory, and the member is freed. */
bool group_add(struct group *g, struct member *m);
/* Out of the group and freed; nobody may wait for it. */
void group_remove(struct group *g, struct member *m);
bool member_rename(struct member *m, const char *id);
bool member_set_assignment(struct member *m, const void *p, int32_t n);
bool group_supports(const struct group *g, struct wire_str type, const struct protocols *p);
const struct protocol *member_protocol(const struct member *m, const char *name);
/* The protocol that most members prefer among those that all have. */
const char *group_select(const struct group *g);
int32_t group_rebalance_ms(const struct group *g);
static inline bool group_all_joined(const struct group *g)
{
    return (g->n == g->n_awaiting_join && g->n_pending == 0) || (MUTANT("coord_joined_early") && g->n_awaiting_join);
}
bool group_set_text(char **at, const char *text); /* a copy; false: out of memory */
bool coord_set_type(struct group *g, struct wire_str type);
void group_transition(struct group *g, enum group_state to);
const char *group_state_name(enum group_state s);

/* Without repetitions. NULL: out of memory. */
struct protocols *protocols_read(const struct wire_join_group_request *q);
struct protocols *protocols_one(const char *name, const void *metadata, uint32_t n);
void protocols_unref(struct protocols *p);
bool protocols_equal(const struct protocols *a, const struct protocols *b);

/* ---- timers.c ---- */

void coord_member_alive(struct member *m);
void coord_member_deadline(struct member *m, int64_t ms_from_now);
void coord_disarm(struct slot *s, struct coord_timer *t);
void coord_arm(struct slot *s, struct coord_timer *t, int64_t ms_from_now);
void coord_timer_run(void *arg);
void coord_kick_run(void *arg);

/* ---- rebalance.c ---- */

void group_prepare(struct group *g, struct todo *t, const char *why);
void group_rebalance_or_complete(struct group *g, struct todo *t, const char *why);
void group_complete_phase(struct group *g, struct todo *t); /* unless members are missing, or it is an initial one */
void group_complete_join(struct group *g, struct todo *t);
void group_propagate(struct group *g, struct todo *t, int16_t code);
/* A generation was not written: everybody is told and joins again. */
void group_write_failed(struct group *g, int16_t code, struct todo *t);
void group_join_due(struct group *g, struct todo *t);
void group_sync_due(struct group *g, struct todo *t);
void member_expire(struct member *m, struct todo *t);
/* Takes a member out and goes on without it. */
void member_drop(struct member *m, struct todo *t, const char *why);

/* ---- answers.c: the results of joins and syncs; each ends the member's wait ---- */

struct wire_str coord_put(struct coord_call *c, const char *s); /* a copy in its arena; NULL stays null */
struct wire_bytes coord_put_bytes(struct coord_call *c, const void *p, int32_t n);
void join_fail(struct coord_call *c, struct wire_str member_id, int16_t code, struct todo *t);
void join_answer(struct coord_call *c, const struct group *g, const struct member *m, bool with_members,
                 const char *leader, bool skip, struct todo *t);
void sync_answer(struct coord_call *c, const struct group *g, const struct member *m, int16_t code, struct todo *t);
/* The answer names no member for UNKNOWN_MEMBER_ID, so that the client joins anew. */
void member_end_join(struct member *m, int16_t code, struct todo *t);
void member_end_sync(struct member *m, int16_t code, struct todo *t);
/* The member waits with this call from now on; one that waited before is told to try again. */
void member_await_join(struct member *m, struct coord_call *c, struct todo *t);
void member_await_sync(struct member *m, struct coord_call *c, struct todo *t);
int16_t member_check(const struct group *g, struct wire_str id, struct wire_str instance, struct member **out);

/* ---- write.c ---- */

/* Queues a command that shows the group as it will be when the one before it is applied. NULL: out of memory. */
struct write *write_group(struct group *g, enum write_why why, struct todo *t);
/* An empty group is dead from now on, until the metadata has answered. `d` waits; NULL: nobody, and the group goes only
 * if it has no offsets. false: out of memory. */
bool write_deletion(struct group *g, struct deletion *d, int32_t at, struct todo *t);
void write_propose(struct write *w);
void write_static_failed(struct group *g, struct swap *w, int16_t code, struct todo *t); /* takes w */
void swap_free(struct swap *w);
void write_free(struct write *w);
/* The slot is given up: what is on its way ends without the group. */
void write_orphan(struct group *g, int16_t code, struct todo *t);

/* ---- delete.c ---- */

void coord_deleted(struct deletion *d, int32_t at, int16_t code, struct todo *t);

/* ---- slots.c ---- */

void coord_look_run(void *arg);
/* A group that is not in memory: empty as the metadata has it, or new. NULL: out of memory. */
struct group *coord_revive(struct slot *s, struct wire_str id);
/* Answers what waits with NOT_COORDINATOR and forgets the slot's groups. */
void coord_give_up(struct slot *s);
bool coord_has_row(struct coord *c, struct wire_str group);
/* The group's row without its members; id and protocol type are copied into `a`, other texts are not to be used. */
bool coord_row(struct coord *c, struct wire_str group, struct arena *a, struct meta_group *out);

#endif
