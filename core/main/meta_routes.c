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

static const struct outcome outcomes[] = {
    {CHRONIK_E_UNSUPPORTED, 501, "this metadata module is for one node; start the broker with --meta=raft"},
    {CHRONIK_E_NOT_LEADER, 503,
     "this node does not lead the quorum: ask the leader, which 'chronikctl meta status' names; when there is none, "
     "start "
     "the voters that it misses"},
    {CHRONIK_E_AGAIN, 409,
     "the learner has not caught up yet; try again when its match in 'chronikctl meta members' is near the leader's"},
    {CHRONIK_E_BUSY, 409,
     "another change of the quorum is under way; try again when 'chronikctl meta members' shows it"},
    {CHRONIK_E_NOTFOUND, 404, "there is no such member; 'chronikctl meta members' lists them"},
    {CHRONIK_E_EXISTS, 409, "it is a member already; 'chronikctl meta members' lists them"},
    {CHRONIK_E_INVAL, 409,
     "refused: a quorum keeps at least one voter, and a learner is promoted or given the lead once it has caught up"},
    {CHRONIK_E_TIMEDOUT, 504, "the outcome is unknown; see 'chronikctl meta members' before trying again"},
    {CHRONIK_E_CANCELED, 503, "the outcome is unknown: the broker stops; ask another member"},
    {CHRONIK_E_CLOSED, 503, "the broker stops; ask another member"},
    {CHRONIK_E_NOSPC, 507, "the disk is full; free some space and try again"},
};

static int answer(struct admin_call *c, const char *what, int32_t result)
{
    if (result >= 0) {
        struct cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "done", what);
        return admin_json(c, o);
    }
    for (size_t i = 0; i < ARRAY_LEN(outcomes); i++)
        if (outcomes[i].code == result)
            return admin_fail(c, outcomes[i].status, "%s: %s", what, outcomes[i].text);
    return admin_fail(c, 500, "%s failed with code %d; the broker's log says more", what, result);
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
        answer(w->call, w->what, result);
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
            answer(w->call, w->what, CHRONIK_E_CANCELED);
            admin_finish(w->call);
        }
        w->call = NULL;
    }
    os_mutex_unlock(&r->lock);
}

/* ---- commands ---- */

enum command { ADD, PROMOTE, REMOVE, TRANSFER, SNAPSHOT };

static int32_t run(struct meta_routes *r, enum command k, int32_t node, const char *address, struct chronik_done done)
{
    switch (k) {
    case ADD:
        return meta_member_change(r->meta, CHRONIK_META_ADD_LEARNER, (uint32_t)node, address, done);
    case PROMOTE:
        return meta_member_change(r->meta, CHRONIK_META_PROMOTE, (uint32_t)node, NULL, done);
    case REMOVE:
        return meta_member_change(r->meta, CHRONIK_META_REMOVE, (uint32_t)node, NULL, done);
    case TRANSFER:
        return meta_transfer(r->meta, node, done);
    case SNAPSHOT:
    default:
        return meta_snapshot(r->meta, done);
    }
}

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

static int command(struct meta_routes *r, struct admin_call *c, enum command k, const char *what)
{
    char text[256];
    int32_t node = -1;
    if (k != SNAPSHOT && !node_of(c, k != TRANSFER, &node))
        return ADMIN_DONE;
    const char *address = k == ADD ? admin_query(c, "address", text, sizeof text) : NULL;
    if (k == ADD && (!address || !strrchr(address, ':')))
        return admin_fail(c, 400, "say where the node listens for the quorum: address=HOST:PORT");
    struct waiting *w = take(r, c, what);
    if (!w)
        return admin_fail(c, 503, "too many commands are under way; try again");
    int32_t rc = run(r, k, node, address, (struct chronik_done){on_done, w});
    if (rc == CHRONIK_PENDING)
        return ADMIN_PENDING;
    give_back(w);
    return answer(c, what, rc);
}

static int post_add(void *arg, struct admin_call *c)
{
    return command(arg, c, ADD, "adding the learner");
}

static int post_promote(void *arg, struct admin_call *c)
{
    return command(arg, c, PROMOTE, "promoting the learner");
}

static int post_remove(void *arg, struct admin_call *c)
{
    return command(arg, c, REMOVE, "removing the member");
}

static int post_transfer(void *arg, struct admin_call *c)
{
    return command(arg, c, TRANSFER, "handing over the lead");
}

static int post_snapshot(void *arg, struct admin_call *c)
{
    return command(arg, c, SNAPSHOT, "making a snapshot");
}

/* ---- members ---- */

static void add_member(void *arg, const struct chronik_meta_member *x)
{
    struct cJSON *list = arg, *o = cJSON_CreateObject();
    char id[UUID_TEXT];
    cJSON_AddNumberToObject(o, "node", x->node_id);
    cJSON_AddStringToObject(o, "kind", x->kind == CHRONIK_META_VOTER ? "voter" : "learner");
    cJSON_AddBoolToObject(o, "leader", x->leads != 0);
    cJSON_AddStringToObject(o, "address", x->address);
    cJSON_AddStringToObject(o, "replica", uuid_text(&x->replica, id));
    cJSON_AddNumberToObject(o, "match", (double)x->match);
    cJSON_AddNumberToObject(o, "heard_ms", (double)x->heard_ms);
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
    if (admin_route(a, "GET", "/meta/members", "the quorum: voters and learners, as JSON", get_members, r) < 0 ||
        admin_route(a, "POST", "/meta/add", "node=ID&address=HOST:PORT: add a learner", post_add, r) < 0 ||
        admin_route(a, "POST", "/meta/promote", "node=ID: make a learner a voter", post_promote, r) < 0 ||
        admin_route(a, "POST", "/meta/remove", "node=ID: remove a member", post_remove, r) < 0 ||
        admin_route(a, "POST", "/meta/transfer", "[node=ID]: hand over the lead", post_transfer, r) < 0 ||
        admin_route(a, "POST", "/meta/snapshot", "make a snapshot of the metadata", post_snapshot, r) < 0) {
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
