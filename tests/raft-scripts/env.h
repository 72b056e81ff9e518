/* env: the small world of an interaction script: replicas on the pure core, memory storage, a state machine that
 * appends, the messages in flight and the output. It must never decide anything that is Raft's to decide.
 * Single-threaded test code. */
#ifndef CHRONIK_RAFT_ENV_H
#define CHRONIK_RAFT_ENV_H

#include "script.h"
#include "plugins/meta-raft/core/internal.h"

#include <setjmp.h>

#define APPEND_THREAD (UINT64_MAX)
#define APPLY_THREAD  (UINT64_MAX - 1)

/* Message types by the names that scripts use; the core's own come first, in its order. */
enum {
    T_STORAGE_APPEND = RC_MSG_TYPES,
    T_STORAGE_APPEND_RESP,
    T_STORAGE_APPLY,
    T_STORAGE_APPLY_RESP,
    T_UNUSED_FIRST, /* names that exist in the format and never travel here */
    T_ANY = -1,
};
int type_by_name(const char *name); /* T_ANY: no such type */

/* A message in flight, or work for one of a replica's two storage threads. Owned. */
struct env_msg {
    int type;
    struct rc_msg m; /* of storage messages only to, from, term, log_term, index, commit, entries, snapshot are used */
    uint64_t vote;
    struct rc_ack ack;
    struct env_msg *responses;
    size_t n_responses;
};

struct env_msgs {
    struct env_msg *v;
    size_t n;
};

/* What is on this replica's disk: a snapshot's index and term, and the entries after it. */
struct env_disk {
    uint64_t base;
    uint64_t base_term;
    uint64_t snapshot;
    struct rc_entry *entries;
    size_t n;
};

struct env_node {
    struct rc *rc;
    struct rc_config cfg;
    bool async;
    struct env_disk disk;
    struct env_msgs append_work;
    struct env_msgs apply_work;
    struct rc_snapshot **history; /* the state after each applied entry */
    size_t n_history;
};

struct env {
    struct env_node *nodes;
    size_t n_nodes;
    struct env_msgs flight;
    struct text out;
    int level; /* RC_DEBUG … RC_FATAL, then LEVEL_NONE */
    uint64_t seed;
    jmp_buf broken; /* a command that cannot go on */
    char why[512];
    /* the world of confchange scripts */
    struct rc_tracker tracker;
    uint64_t tracker_last;
};
enum { LEVEL_NONE = RC_FATAL + 1 };

void env_init(struct env *e);
void env_free(struct env *e);
_Noreturn void env_break(struct env *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Output of handlers and logs; nothing at log level none. */
void env_printf(struct env *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Indent everything from byte start of the output on. */
void env_indent(struct env *e, size_t start);

/* Each returns NULL or the error that the script expects to read. */
const char *env_add_node(struct env *e, const struct rc_config *cfg, bool async, bool bootstrap,
                         const struct rc_snapshot *snap);
const char *env_process_ready(struct env *e, struct env_node *n);
const char *env_append_thread(struct env *e, struct env_node *n);
const char *env_apply_thread(struct env *e, struct env_node *n);
/* disk.c */
void env_disk_drop(struct env_disk *d);
const char *env_disk_install(struct env_disk *d, const struct rc_snapshot *snap);
void env_disk_append(struct env *e, struct env_disk *d, const struct rc_entry *entries, uint32_t n);
const char *env_compact(struct env *e, struct env_node *n, uint64_t index);
void env_raft_log(struct env *e, const struct env_node *n);
/* Deliver (or drop) what is in flight for to; returns how many. */
size_t env_deliver(struct env *e, int type, uint64_t to, bool drop);
bool env_has_flight(const struct env *e, uint64_t to);
void env_send(struct env *e, struct env_msg *msg); /* takes it over */
const char *env_result(int result);                /* of rc_propose, rc_step: the published error text, or NULL */
extern const struct rc_alloc env_alloc;

/* format.c: the published text forms */
void format_message(struct text *t, const struct env_msg *m, const char *indent);
void format_entry(struct text *t, const struct rc_entry *entry);
void format_snapshot(struct text *t, const struct rc_snapshot *snap);
void format_ready(struct text *t, const struct rc_ready *rd, const struct env_msg *extra, size_t n_extra);
const char *format_role(enum rc_role role);
void format_tracker(struct text *t, const struct rc_tracker *tracker);

/* commands.c: run one case of any kind; the output is in e->out. */
void command_run(struct env *e, const struct script_case *c);
/* quorums.c, changes.c: NULL if the command is not theirs. */
bool quorum_command(struct env *e, const struct script_case *c);
bool change_command(struct env *e, const struct script_case *c);
const char *change_parse(const char *input, struct rc_conf_change *out, char *error, size_t error_size);

#endif
