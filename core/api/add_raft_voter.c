/* add_raft_voter.c: AddRaftVoter (80): a replica that is connected to the quorum becomes a voter of it (KIP-853). It is
 * added as a learner first if it is none; the answer comes when it votes, or says how far it is. */
#include "api/quorum.h"
#include "api/rows.h"

#include <stdio.h>

struct adding {
    struct quorum_ask q;
    struct wire_add_raft_voter_response resp;
    char address[300];
};

static void fail(struct adding *a, int16_t code, const char *why)
{
    a->resp.error_code = code;
    a->resp.error_message = wire_str(why);
}

static void done(struct quorum_ask *q)
{
    struct adding *a = CONTAINER_OF(q, struct adding, q);
    if (q->result == CHRONIK_E_EXISTS)
        fail(a, KAFKA_DUPLICATE_VOTER, q->why);
    else if (q->result == CHRONIK_E_NOTFOUND)
        fail(a, KAFKA_REQUEST_TIMED_OUT, q->why);
    else if (q->result == CHRONIK_E_UNSUPPORTED)
        fail(a, KAFKA_UNSUPPORTED_VERSION,
             "Cluster doesn't support adding voter: its metadata module is for one node.");
    else if (q->result < 0)
        fail(a, quorum_error(q->result), q->why);
    api_answer(q->r, &a->resp);
}

/* Where the quorum reaches it: the listener that has the name of ours, as in Kafka. */
static bool take_address(struct adding *a, const struct wire_add_raft_voter_request *w)
{
    const char *name = quorum_listener(a->q.r);
    for (int32_t i = 0; i < w->listeners.n; i++) {
        const struct wire_add_raft_voter_request_listener *l = &w->listeners.v[i];
        bool six = l->host.n > 0 && memchr(l->host.p, ':', (size_t)l->host.n);
        if (!wire_str_is(l->name, name))
            continue;
        int n = snprintf(a->address, sizeof a->address, "%s%.*s%s:%u", six ? "[" : "", l->host.n, l->host.p,
                         six ? "]" : "", l->port);
        a->q.change.address = a->address;
        return l->host.n > 0 && l->port && n < (int)sizeof a->address;
    }
    return false;
}

static bool check(struct adding *a, const struct wire_add_raft_voter_request *w)
{
    struct api_req *r = a->q.r;
    const char *why = NULL;
    int16_t code = quorum_check_cluster(r, w->cluster_id, &why);
    if (code == KAFKA_NONE && (w->voter_id < 0 || meta_uuid_zero(&w->voter_directory_id))) {
        code = KAFKA_INVALID_REQUEST;
        why = "Add voter request didn't include a valid voter";
    } else if (code == KAFKA_NONE && !take_address(a, w)) {
        code = KAFKA_INVALID_REQUEST;
        why = arena_printf(&r->arena, "Add voter request didn't include the endpoint for the default listener %s",
                           quorum_listener(r));
    }
    if (code != KAFKA_NONE)
        fail(a, code, why);
    return code == KAFKA_NONE;
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_add_raft_voter_request *w = body;
    struct adding *a = arena_calloc(&r->arena, 1, sizeof *a);
    if (!a) {
        api_no_memory(r, "out of memory for a request");
        return;
    }
    a->resp = wire_add_raft_voter_response_default;
    a->resp.error_message.n = -1;
    a->q.r = r;
    a->q.done = done;
    a->q.change.op = CHRONIK_META_ADD_VOTER;
    a->q.change.flags = w->ack_when_committed ? 0 : CHRONIK_META_EARLY;
    a->q.change.node_id = w->voter_id;
    a->q.change.directory = w->voter_directory_id;
    a->q.change.timeout_ms = w->timeout_ms;
    if (check(a, w))
        quorum_ask(&a->q);
    else
        api_answer(r, &a->resp);
}

const struct api_row api_add_raft_voter = {.key = WIRE_API_ADD_RAFT_VOTER, .handle = handle};
