/* meta_routes.c: /meta/...: the quorum's members as JSON, and commands that change it. A command is answered when it is
 * in force or refused; its outcome comes from the module, on another thread. Handlers run on the admin thread; `lock`
 * (leaf) guards which calls wait, so that the end of the broker and a completion never answer the same one. */
#include "main/meta_routes.h"

#include "base/uuid.h"
#include "os/lock.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

enum { WAITING = 16 };

struct waiting {
    struct meta_routes *routes;
    struct admin_call *call; /* NULL: answered by the end of the broker */
    const char *what;
    char why[512]; /* the module's sentence */
    bool used;
};

struct meta_routes {
    struct os *os;
    struct meta *meta;
    struct os_mutex lock;
    bool stopped;
    struct waiting waiting[WAITING];
};

/* ---- answers ---- */

struct outcome {
    int32_t code;
    int status;
    const char *text; /* cause and remedy */
};

/* When the module has not said it better. */
static const struct outcome outcomes[] = {
    {CHRONIK_E_UNSUPPORTED, 501, "this metadata module is for one node; start the broker with --meta=raft"},
    {CHRONIK_E_NOT_LEADER, 503,
     "no leader of the quorum was found; 'chronikctl meta status' names the voters that are missing: start them"},
    {CHRONIK_E_AGAIN, 409,
     "the learner has not caught up yet; try again when its match in 'chronikctl meta members' is near the leader's"},
    {CHRONIK_E_BUSY, 409,
     "another change of the quorum is under way; try again when 'chronikctl meta members' shows it"},
    {CHRONIK_E_NOTFOUND, 404, "there is no such member; 'chronikctl meta members' lists them"},
    {CHRONIK_E_EXISTS, 409, "it is a member already; 'chronikctl meta members' lists them"},
    {CHRONIK_E_INVAL, 409,
     "refused: a quorum keeps at least one voter, an address is HOST:PORT, and a learner is promoted or given the lead "
     "once it has caught up"},
    {CHRONIK_E_TIMEDOUT, 504, "the outcome is unknown; see 'chronikctl meta members' before trying again"},
    {CHRONIK_E_CANCELED, 503, "the outcome is unknown: the broker stops; ask another member"},
    {CHRONIK_E_CLOSED, 503, "the broker stops; ask another member"},
    {CHRONIK_E_NOSPC, 507, "the disk is full; free some space and try again"},
};

static int answer(struct admin_call *c, const char *what, int32_t result, const char *why)
{
    if (result >= 0) {
        struct cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "done", what);
        return admin_json(c, o);
    }
    for (size_t i = 0; i < ARRAY_LEN(outcomes); i++)
        if (outcomes[i].code == result)
            return admin_fail(c, outcomes[i].status, "%s: %s", what, why[0] ? why : outcomes[i].text);
    return admin_fail(c, 500, "%s: %s (code %d)", what, why[0] ? why : "failed; the broker's log says more", result);
}

/* ---- waiting for the module ---- */

static struct waiting *take(struct meta_routes *r, struct admin_call *c, const char *what)
{
    struct waiting *found = NULL;
    os_mutex_lock(&r->lock);
    for (int i = 0; i < WAITING && !found && !r->stopped; i++)
        if (!r->waiting[i].used)
            found = &r->waiting[i];
    if (found)
        *found = (struct waiting){.routes = r, .call = c, .what = what, .used = true};
    os_mutex_unlock(&r->lock);
    return found;
}

static void give_back(struct waiting *w)
{
    struct meta_routes *r = w->routes;
    os_mutex_lock(&r->lock);
    w->call = NULL;
    w->used = false;
    os_mutex_unlock(&r->lock);
}

/* Under the lock, so that the door is not closed between the answer and its sending. */
static void on_done(void *arg, int32_t result)
{
    struct waiting *w = arg;
    struct meta_routes *r = w->routes;
    os_mutex_lock(&r->lock);
    if (w->call) {
        answer(w->call, w->what, result, w->why);
        admin_finish(w->call);
    }
    w->call = NULL;
    w->used = false;
    os_mutex_unlock(&r->lock);
}

void meta_routes_stop(struct meta_routes *r)
{
    if (!r)
        return;
    os_mutex_lock(&r->lock);
    r->stopped = true;
    for (int i = 0; i < WAITING; i++) {
        struct waiting *w = &r->waiting[i];
        if (w->call) {
            answer(w->call, w->what, CHRONIK_E_CANCELED, "");
            admin_finish(w->call);
        }
        w->call = NULL;
    }
    os_mutex_unlock(&r->lock);
}

/* ---- commands ---- */

/* The node of the query: -1 when it is missing and may be; false: the call is answered. */
static bool node_of(struct admin_call *c, bool needed, int32_t *node)
{
    char text[16], *end;
    const char *given = admin_query(c, "node", text, sizeof text);
    *node = -1;
    if (!given && !needed)
        return true;
    long v = given ? strtol(given, &end, 10) : -1;
    if (!given || end == given || *end || v < 0 || v > INT32_MAX) {
        admin_fail(c, 400, "say which node: node=ID, a whole number from 0");
        return false;
    }
    *node = (int32_t)v;
    return true;
}

static int64_t timeout_of(const struct admin_call *c)
{
    char text[16];
    const char *given = admin_query(c, "timeout_ms", text, sizeof text);
    long v = given ? strtol(given, NULL, 10) : 0;
    return v > 0 && v < INT32_MAX ? v : 0;
}

static int command(struct meta_routes *r, struct admin_call *c, uint32_t op, const char *what)
{
    char text[256], force[8];
    struct chronik_meta_change x = {.size = sizeof x, .op = op, .node_id = -1, .timeout_ms = timeout_of(c)};
    bool anybody = op == CHRONIK_META_TRANSFER || op == CHRONIK_META_FOUND;
    if (!node_of(c, !anybody, &x.node_id))
        return ADMIN_DONE;
    x.address = op == CHRONIK_META_ADD_LEARNER ? admin_query(c, "address", text, sizeof text) : NULL;
    if (op == CHRONIK_META_ADD_LEARNER && (!x.address || !x.address[0]))
        return admin_fail(c, 400, "say where the node listens for the quorum: address=HOST:PORT");
    if (op == CHRONIK_META_FOUND && admin_query(c, "force", force, sizeof force))
        x.flags = CHRONIK_META_FORCE;
    struct waiting *w = take(r, c, what);
    if (!w)
        return admin_fail(c, 503, "too many commands are under way; try again");
    x.why = w->why;
    x.why_n = sizeof w->why;
    int32_t rc = meta_member_change(r->meta, &x, (struct chronik_done){on_done, w});
    if (rc == CHRONIK_PENDING)
        return ADMIN_PENDING;
    give_back(w);
    return answer(c, what, rc, "");
}

#define VERBS(X)                                                                                                       \
    X(add, ADD_LEARNER, "node=ID&address=HOST:PORT: add a learner", "adding the learner")                              \
    X(promote, PROMOTE, "node=ID: make a learner a voter", "promoting the learner")                                    \
    X(demote, DEMOTE, "node=ID: make a voter a learner", "demoting the voter")                                         \
    X(remove, REMOVE, "node=ID: remove a member", "removing the member")                                               \
    X(transfer, TRANSFER, "[node=ID]: hand over the lead", "handing over the lead")                                    \
    X(bootstrap, FOUND, "force=1: become the sole voter, when a majority is lost for good",                            \
      "founding the quorum anew with this node alone")

#define X(name, op, doc, what)                                                                                         \
    static int post_##name(void *arg, struct admin_call *c)                                                            \
    {                                                                                                                  \
        return command(arg, c, CHRONIK_META_##op, what);                                                               \
    }
VERBS(X)
#undef X

static int post_snapshot(void *arg, struct admin_call *c)
{
    struct meta_routes *r = arg;
    static const char what[] = "making a snapshot";
    struct waiting *w = take(r, c, what);
    if (!w)
        return admin_fail(c, 503, "too many commands are under way; try again");
    int32_t rc = meta_snapshot(r->meta, (struct chronik_done){on_done, w});
    if (rc == CHRONIK_PENDING)
        return ADMIN_PENDING;
    give_back(w);
    return answer(c, what, rc, "");
}

/* ---- members ---- */

static void add_member(void *arg, const struct chronik_meta_member *x)
{
    struct cJSON *list = arg, *o = cJSON_CreateObject();
    char id[UUID_TEXT];
    cJSON_AddNumberToObject(o, "node", x->node_id);
    cJSON_AddStringToObject(o, "kind",
                            x->kind == CHRONIK_META_VOTER     ? "voter"
                            : x->kind == CHRONIK_META_LEARNER ? "learner"
                                                              : "waiting");
    cJSON_AddBoolToObject(o, "leader", x->leads != 0);
    cJSON_AddStringToObject(o, "address", x->address);
    cJSON_AddStringToObject(o, "replica", uuid_text(&x->replica, id));
    cJSON_AddStringToObject(o, "directory", uuid_text(&x->directory, id));
    cJSON_AddNumberToObject(o, "match", (double)x->match);
    cJSON_AddNumberToObject(o, "heard_ms", (double)x->heard_ms);
    cJSON_AddNumberToObject(o, "caught_up_ms", (double)x->caught_up_ms);
    cJSON_AddItemToArray(list, o);
}

static int get_members(void *arg, struct admin_call *c)
{
    struct meta_routes *r = arg;
    struct cJSON *o = cJSON_CreateObject();
    struct meta_status s;
    int32_t rc = meta_members(r->meta, add_member, cJSON_AddArrayToObject(o, "members"));
    if (rc < 0) {
        cJSON_Delete(o);
        return admin_fail(c, 503, "this node belongs to no quorum yet; its log and /readyz say what it waits for");
    }
    meta_status_get(r->meta, &s);
    cJSON_AddNumberToObject(o, "epoch", (double)s.engine.epoch);
    cJSON_AddNumberToObject(o, "leader", s.engine.leader);
    return admin_json(c, o);
}

/* ---- life ---- */

struct meta_routes *meta_routes_open(struct os *os, struct admin *a, struct meta *meta)
{
    struct meta_routes *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->os = os;
    r->meta = meta;
    os_mutex_init(&r->lock, LOCK_META);
    int32_t rc = admin_route(a, "GET", "/meta/members", "the quorum: voters and learners, as JSON", get_members, r);
    if (rc > 0)
        rc = admin_route(a, "POST", "/meta/snapshot", "make a snapshot of the metadata", post_snapshot, r);
#define X(name, op, doc, what)                                                                                         \
    if (rc > 0)                                                                                                        \
        rc = admin_route(a, "POST", "/meta/" #name, doc, post_##name, r);
    VERBS(X)
#undef X
    if (rc < 0) {
        meta_routes_free(r);
        return NULL;
    }
    return r;
}

void meta_routes_free(struct meta_routes *r)
{
    if (!r)
        return;
    os_mutex_destroy(&r->lock);
    free(r);
}
