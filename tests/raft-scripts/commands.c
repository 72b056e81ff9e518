/* commands: the interaction scripts' commands, one function each, and the one entry for a case of any kind. A command
 * checks its arguments and moves the environment; it must never print anything that the published format does not have.
 * Single-threaded test code. */
#include "env.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define U(v) ((unsigned long long)(v))

enum { MAX_IDS = 256, MAX_ROUNDS = 100000 };

/* ---- arguments ---- */

static struct env_node *node(struct env *e, uint64_t id)
{
    if (id == 0 || id > e->n_nodes) {
        env_break(e, "replica %llu does not exist", U(id));
    }
    return &e->nodes[id - 1];
}

static uint64_t word_number(struct env *e, const struct script_case *c, size_t at)
{
    uint64_t n = 0;

    if (at >= c->n_args || c->args[at].n_vals != 0 || !script_number(c->args[at].key, &n)) {
        env_break(e, "argument %zu must be a number", at + 1);
    }
    return n;
}

static uint64_t value_number(struct env *e, const struct script_arg *arg, size_t at)
{
    uint64_t n = 0;

    if (!script_number(arg->vals[at], &n)) {
        env_break(e, "%s=%s is no number", arg->key, arg->vals[at]);
    }
    return n;
}

static bool value_bool(struct env *e, const struct script_arg *arg, size_t at)
{
    bool b = false;

    if (!script_bool(arg->vals[at], &b)) {
        env_break(e, "%s=%s is neither true nor false", arg->key, arg->vals[at]);
    }
    return b;
}

/* The plain words of the command, as replica ids. */
static size_t words(struct env *e, const struct script_case *c, uint64_t *out)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n_args; i++) {
        if (c->args[i].n_vals == 0 && n < MAX_IDS) {
            out[n++] = word_number(e, c, i);
        }
    }
    return n;
}

/* ---- replicas come to be ---- */

struct newcomer {
    struct rc_config cfg;
    struct rc_conf conf;
    uint64_t index;
    const char *content;
    bool async, bootstrap;
};

static const char *add_option(struct env *e, struct newcomer *a, const struct script_arg *arg, size_t i)
{
    const char *key = arg->key;

    if (strcmp(key, "voters") == 0) {
        rc_ids_add(&a->conf.voters, value_number(e, arg, i));
        a->bootstrap = true;
    } else if (strcmp(key, "learners") == 0) {
        rc_ids_add(&a->conf.learners, value_number(e, arg, i));
        a->bootstrap = true;
    } else if (strcmp(key, "inflight") == 0) {
        a->cfg.max_inflight_msgs = (uint32_t)value_number(e, arg, i);
    } else if (strcmp(key, "index") == 0) {
        a->index = value_number(e, arg, i);
        a->bootstrap = true;
    } else if (strcmp(key, "content") == 0) {
        a->content = arg->vals[i];
        a->bootstrap = a->bootstrap || *a->content != '\0';
    } else if (strcmp(key, "async-storage-writes") == 0) {
        a->async = value_bool(e, arg, i);
    } else if (strcmp(key, "prevote") == 0) {
        a->cfg.pre_vote = value_bool(e, arg, i);
    } else if (strcmp(key, "checkquorum") == 0) {
        a->cfg.check_quorum = value_bool(e, arg, i);
    } else if (strcmp(key, "max-committed-size-per-ready") == 0) {
        a->cfg.max_committed_size = value_number(e, arg, i);
    } else if (strcmp(key, "max-size-per-msg") == 0) {
        a->cfg.max_size_per_msg = value_number(e, arg, i);
    } else if (strcmp(key, "max-inflight-bytes") == 0) {
        a->cfg.max_inflight_bytes = value_number(e, arg, i);
    } else if (strcmp(key, "max-uncommitted-size") == 0) {
        a->cfg.max_uncommitted_size = value_number(e, arg, i);
    } else if (strcmp(key, "disable-conf-change-validation") == 0) {
        a->cfg.skip_conf_validation = value_bool(e, arg, i);
    } else if (strcmp(key, "disable-proposal-forwarding") == 0) {
        a->cfg.forward_proposals = !value_bool(e, arg, i);
    } else if (strcmp(key, "step-down-on-removal") == 0) {
        a->cfg.step_down_on_removal = value_bool(e, arg, i);
    } else if (strcmp(key, "read-only") == 0) {
        if (strcmp(arg->vals[i], "safe") != 0 && strcmp(arg->vals[i], "lease-based") != 0) {
            snprintf(e->why, sizeof e->why, "invalid read-only option \"%s\"", arg->vals[i]);
            return e->why;
        }
        a->cfg.reads = *arg->vals[i] == 's' ? RC_READS_SAFE : RC_READS_LEASE;
    }
    return NULL;
}

static const char *do_add_nodes(struct env *e, const struct script_case *c)
{
    struct newcomer a = {
        .cfg =
            {
                .election_ticks = 3,
                .heartbeat_ticks = 1,
                .max_size_per_msg = RC_NO_LIMIT,
                .max_inflight_msgs = INT32_MAX,
                .forward_proposals = true,
                .refused_conf_is_empty = true,
            },
    };
    uint64_t count = word_number(e, c, 0);
    struct rc_buf *data = NULL;
    struct rc_snapshot *snap;
    const char *error = NULL;

    for (size_t i = 1; i < c->n_args && error == NULL; i++) {
        for (size_t v = 0; v < c->args[i].n_vals && error == NULL; v++) {
            error = add_option(e, &a, &c->args[i], v);
        }
    }
    if (error != NULL) {
        return error;
    }
    if (a.content != NULL) {
        data = rc_buf_new(&env_alloc, (uint32_t)strlen(a.content));
        memcpy(data->bytes, a.content, data->len);
    }
    snap = rc_snapshot_new(&env_alloc, a.index, 1, &a.conf, data);
    for (uint64_t i = 0; i < count && error == NULL; i++) {
        error = env_add_node(e, &a.cfg, a.async, a.bootstrap, snap);
    }
    rc_snapshot_unref(snap);
    return error;
}

/* ---- work and messages ---- */

static const char *each(struct env *e, const struct script_case *c, const char *what,
                        const char *(*run)(struct env *, struct env_node *))
{
    uint64_t ids[MAX_IDS];
    size_t n = words(e, c, ids);
    const char *error = NULL;

    for (size_t i = 0; i < n && error == NULL; i++) {
        struct env_node *target = node(e, ids[i]);
        size_t start;

        if (n > 1) {
            env_printf(e, "> %llu %s\n", U(ids[i]), what);
        }
        start = e->out.n;
        error = run(e, target);
        if (n > 1) {
            env_indent(e, start);
        }
    }
    return error;
}

static const char *do_process_ready(struct env *e, const struct script_case *c)
{
    return each(e, c, "handling Ready", env_process_ready);
}

static const char *do_append_thread(struct env *e, const struct script_case *c)
{
    return each(e, c, "processing append thread", env_append_thread);
}

static const char *do_apply_thread(struct env *e, const struct script_case *c)
{
    return each(e, c, "processing apply thread", env_apply_thread);
}

static const char *do_deliver(struct env *e, const struct script_case *c)
{
    struct {
        uint64_t id;
        bool drop;
    } to[MAX_IDS];
    size_t n = 0, delivered = 0;
    int type = T_ANY;

    for (size_t i = 0; i < c->n_args; i++) {
        const struct script_arg *arg = &c->args[i];

        if (arg->n_vals == 0 && n < MAX_IDS) {
            to[n].drop = false;
            to[n++].id = word_number(e, c, i);
        }
        for (size_t v = 0; v < arg->n_vals && n < MAX_IDS; v++) {
            if (strcmp(arg->key, "type") == 0) {
                type = type_by_name(arg->vals[v]);
                if (type == T_ANY) {
                    env_break(e, "unknown message type %s", arg->vals[v]);
                }
            } else if (strcmp(arg->key, "drop") == 0) {
                to[n].drop = true;
                to[n++].id = value_number(e, arg, v);
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        delivered += env_deliver(e, type, to[i].id, to[i].drop);
    }
    if (delivered == 0) {
        env_printf(e, "no messages\n");
    }
    return NULL;
}

/* ---- until nothing moves ---- */

static const char *stable_readies(struct env *e, const uint64_t *ids, size_t n, bool *moved)
{
    const char *error = NULL;

    for (size_t i = 0; i < n && error == NULL; i++) {
        struct env_node *target = node(e, ids[i]);
        size_t start;

        if (rc_has_ready(target->rc)) {
            env_printf(e, "> %llu handling Ready\n", U(ids[i]));
            start = e->out.n;
            error = env_process_ready(e, target);
            env_indent(e, start);
            *moved = true;
        }
    }
    return error;
}

static void stable_messages(struct env *e, const uint64_t *ids, size_t n, bool *moved)
{
    for (size_t i = 0; i < n; i++) {
        size_t start;

        if (env_has_flight(e, ids[i])) {
            env_printf(e, "> %llu receiving messages\n", U(ids[i]));
            start = e->out.n;
            env_deliver(e, T_ANY, ids[i], false);
            env_indent(e, start);
            *moved = true;
        }
    }
}

static const char *stable_threads(struct env *e, const uint64_t *ids, size_t n, bool append, bool *moved)
{
    const char *error = NULL;

    for (size_t i = 0; i < n && error == NULL; i++) {
        struct env_node *target = node(e, ids[i]);
        struct env_msgs *work = append ? &target->append_work : &target->apply_work;

        if (work->n > 0) {
            env_printf(e, "> %llu processing %s thread\n", U(ids[i]), append ? "append" : "apply");
            *moved = true;
        }
        while (work->n > 0 && error == NULL) {
            size_t start = e->out.n;

            error = append ? env_append_thread(e, target) : env_apply_thread(e, target);
            env_indent(e, start);
        }
    }
    return error;
}

static const char *stabilize(struct env *e, const uint64_t *ids, size_t n)
{
    const char *error = NULL;
    bool moved = true;

    for (int round = 0; moved && error == NULL; round++) {
        if (round == MAX_ROUNDS) {
            env_break(e, "the replicas do not come to rest");
        }
        moved = false;
        error = stable_readies(e, ids, n, &moved);
        if (error == NULL) {
            stable_messages(e, ids, n, &moved);
            error = stable_threads(e, ids, n, true, &moved);
        }
        if (error == NULL) {
            error = stable_threads(e, ids, n, false, &moved);
        }
    }
    return error;
}

static const char *set_level(struct env *e, const char *name)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR", "FATAL", "NONE"};

    for (int i = 0; i <= LEVEL_NONE; i++) {
        if (strcasecmp(name, names[i]) == 0) {
            e->level = i;
            return NULL;
        }
    }
    return "log levels must be either of [DEBUG INFO WARN ERROR FATAL NONE]";
}

static const char *do_stabilize(struct env *e, const struct script_case *c)
{
    const struct script_arg *level = script_find(c, "log-level");
    uint64_t ids[MAX_IDS];
    size_t n = words(e, c, ids);
    int before = e->level;
    const char *error = NULL;

    for (size_t i = 0; n == 0 && i < e->n_nodes && i < MAX_IDS; i++) {
        ids[i] = i + 1;
    }
    n = n == 0 ? e->n_nodes : n;
    if (level != NULL && level->n_vals > 0) {
        error = set_level(e, level->vals[0]);
    }
    if (error == NULL) {
        error = stabilize(e, ids, n);
    }
    e->level = before;
    return error;
}

static const char *do_log_level(struct env *e, const struct script_case *c)
{
    if (c->n_args == 0) {
        env_break(e, "log-level wants a level");
    }
    return set_level(e, c->args[0].key);
}

/* ---- events ---- */

static const char *do_campaign(struct env *e, const struct script_case *c)
{
    rc_campaign(node(e, word_number(e, c, 0))->rc);
    return NULL;
}

static const char *do_compact(struct env *e, const struct script_case *c)
{
    return env_compact(e, node(e, word_number(e, c, 0)), word_number(e, c, 1));
}

static const char *do_propose(struct env *e, const struct script_case *c)
{
    struct env_node *n = node(e, word_number(e, c, 0));
    struct rc_buf *buf;
    int result;

    if (c->n_args != 2 || c->args[1].n_vals > 0) {
        env_break(e, "propose wants a replica and one word");
    }
    buf = rc_buf_new(&env_alloc, (uint32_t)strlen(c->args[1].key));
    memcpy(buf->bytes, c->args[1].key, buf->len);
    result = rc_propose(n->rc, buf, NULL, NULL);
    rc_buf_unref(buf);
    return env_result(result);
}

static const char *transition(struct env *e, const char *name, struct rc_conf_change *change)
{
    static const char *const names[] = {"auto", "implicit", "explicit"};

    for (int i = 0; i < 3; i++) {
        if (strcmp(name, names[i]) == 0) {
            change->transition = (enum rc_transition)i;
            return NULL;
        }
    }
    snprintf(e->why, sizeof e->why, "unknown transition %s", name);
    return e->why;
}

static const char *do_propose_conf(struct env *e, const struct script_case *c)
{
    struct env_node *n = node(e, word_number(e, c, 0));
    struct rc_conf_change change;
    const char *error = change_parse(c->input, &change, e->why, sizeof e->why);
    bool v1 = false;

    for (size_t i = 1; i < c->n_args && error == NULL; i++) {
        const struct script_arg *arg = &c->args[i];

        for (size_t v = 0; v < arg->n_vals && error == NULL; v++) {
            if (strcmp(arg->key, "v1") == 0) {
                v1 = value_bool(e, arg, v);
            } else if (strcmp(arg->key, "transition") == 0) {
                error = transition(e, arg->vals[v], &change);
            } else {
                snprintf(e->why, sizeof e->why, "unknown command %s", arg->key);
                error = e->why;
            }
        }
    }
    if (error != NULL) {
        return error;
    }
    if (v1 && (change.n != 1 || change.transition != RC_AUTO)) {
        return "v1 conf change can only have one operation and no transition";
    }
    return env_result(rc_propose_conf(n->rc, &change, v1, NULL, NULL));
}

static const char *tick(struct env *e, const struct script_case *c, bool election)
{
    struct env_node *n = node(e, word_number(e, c, 0));
    uint32_t ticks = election ? n->cfg.election_ticks : n->cfg.heartbeat_ticks;

    for (uint32_t i = 0; i < ticks; i++) {
        rc_tick(n->rc);
    }
    return NULL;
}

static const char *do_tick_election(struct env *e, const struct script_case *c)
{
    return tick(e, c, true);
}

static const char *do_tick_heartbeat(struct env *e, const struct script_case *c)
{
    return tick(e, c, false);
}

static const char *do_set_timeout(struct env *e, const struct script_case *c)
{
    const struct script_arg *arg = script_find(c, "timeout");
    uint64_t ticks = arg == NULL || arg->n_vals == 0 ? 0 : value_number(e, arg, 0);

    if (ticks == 0) {
        env_break(e, "timeout must be given and not 0");
    }
    rc_set_election_timeout(node(e, word_number(e, c, 0))->rc, (uint32_t)ticks);
    return NULL;
}

static const char *do_transfer(struct env *e, const struct script_case *c)
{
    const struct script_arg *from = script_find(c, "from"), *to = script_find(c, "to");

    if (from == NULL || to == NULL || from->n_vals == 0 || to->n_vals == 0) {
        env_break(e, "transfer-leadership wants from= and to=");
    }
    node(e, value_number(e, to, 0));
    rc_transfer(node(e, value_number(e, from, 0))->rc, value_number(e, to, 0));
    return NULL;
}

static const char *do_forget_leader(struct env *e, const struct script_case *c)
{
    rc_forget_leader(node(e, word_number(e, c, 0))->rc);
    return NULL;
}

static const char *do_unreachable(struct env *e, const struct script_case *c)
{
    uint64_t ids[MAX_IDS];

    if (words(e, c, ids) != 2) {
        return "must specify exactly two node indexes: node on which to report, and reported node";
    }
    node(e, ids[1]);
    rc_report_unreachable(node(e, ids[0])->rc, ids[1]);
    return NULL;
}

static const char *do_report_snapshot(struct env *e, const struct script_case *c)
{
    const struct script_arg *status = script_find(c, "status");
    uint64_t ids[MAX_IDS];
    bool failed = status != NULL && status->n_vals > 0 && strcasecmp(status->vals[0], "failure") == 0;

    if (words(e, c, ids) != 2) {
        return "must specify exactly two node indexes: node on which to report, and reported node";
    }
    rc_report_snapshot(node(e, ids[0])->rc, ids[1], !failed);
    return NULL;
}

static const char *do_send_snapshot(struct env *e, const struct script_case *c)
{
    uint64_t ids[MAX_IDS];
    struct env_msg m = {.type = RC_MSG_SNAPSHOT};
    struct env_node *from;
    struct rc_status st;
    struct text t = {0};

    if (words(e, c, ids) != 2) {
        env_break(e, "send-snapshot wants two replicas");
    }
    from = node(e, ids[0]);
    node(e, ids[1]);
    rc_status(from->rc, &st);
    m.m = (struct rc_msg){.type = RC_MSG_SNAPSHOT, .from = ids[0], .to = ids[1], .term = st.term};
    m.m.snapshot = rc_snapshot_ref(from->history[from->n_history - 1]);
    format_message(&t, &m, "");
    env_printf(e, "%s", t.v);
    text_free(&t);
    env_send(e, &m);
    return NULL;
}

/* ---- what is there ---- */

static const char *do_raft_log(struct env *e, const struct script_case *c)
{
    env_raft_log(e, node(e, word_number(e, c, 0)));
    return NULL;
}

static const char *do_raft_state(struct env *e, const struct script_case *c)
{
    for (size_t i = 0; i < e->n_nodes; i++) {
        struct rc_status st;

        rc_status(e->nodes[i].rc, &st);
        env_printf(e, "%llu: %s (%s) Term:%llu Lead:%llu\n", U(st.id), format_role(st.role),
                   rc_conf_voter(&st.conf, st.id) ? "Voter" : "Non-Voter", U(st.term), U(st.lead));
    }
    return NULL;
}

/* Only a leader has a picture of the others. */
static const char *do_status(struct env *e, const struct script_case *c)
{
    struct env_node *n = node(e, word_number(e, c, 0));
    struct text t = {0};

    text_clear(&t);
    if (n->rc->role == RC_LEADER) {
        format_tracker(&t, &n->rc->trk);
    }
    env_printf(e, "%s", t.v);
    text_free(&t);
    return NULL;
}

static const char *do_nothing(struct env *e, const struct script_case *c)
{
    return NULL;
}

static const struct {
    const char *name;
    const char *(*run)(struct env *, const struct script_case *);
} commands[] = {
    {"_breakpoint", do_nothing},
    {"add-nodes", do_add_nodes},
    {"campaign", do_campaign},
    {"compact", do_compact},
    {"deliver-msgs", do_deliver},
    {"forget-leader", do_forget_leader},
    {"log-level", do_log_level},
    {"process-append-thread", do_append_thread},
    {"process-apply-thread", do_apply_thread},
    {"process-ready", do_process_ready},
    {"propose", do_propose},
    {"propose-conf-change", do_propose_conf},
    {"raft-log", do_raft_log},
    {"raft-state", do_raft_state},
    {"report-snapshot", do_report_snapshot},
    {"report-unreachable", do_unreachable},
    {"send-snapshot", do_send_snapshot},
    {"set-randomized-election-timeout", do_set_timeout},
    {"stabilize", do_stabilize},
    {"status", do_status},
    {"tick-election", do_tick_election},
    {"tick-heartbeat", do_tick_heartbeat},
    {"transfer-leadership", do_transfer},
};

void command_run(struct env *e, const struct script_case *c)
{
    const char *error = "unknown command";

    text_clear(&e->out);
    if (quorum_command(e, c) || change_command(e, c)) {
        return;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, c->command) == 0) {
            error = commands[i].run(e, c);
            break;
        }
    }
    if (error != NULL) { /* errors are told at any level */
        text_printf(&e->out, "%s", error);
    }
    if (e->out.n == 0) {
        text_printf(&e->out, "ok");
    }
}
