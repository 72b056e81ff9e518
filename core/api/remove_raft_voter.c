/* remove_raft_voter.c: RemoveRaftVoter (81): takes a voter's vote away (KIP-853). One that is connected goes on as an
 * observer, as in Kafka; one that is not is forgotten. Done when every other member has applied it. */
#include "api/quorum.h"
#include "api/rows.h"

struct removing {
    struct quorum_ask q;
    struct wire_remove_raft_voter_response resp;
};

static void fail(struct removing *x, int16_t code, const char *why)
{
    x->resp.error_code = code;
    x->resp.error_message = wire_str(why);
}

static void done(struct quorum_ask *q)
{
    struct removing *x = CONTAINER_OF(q, struct removing, q);
    if (q->result == CHRONIK_E_NOTFOUND)
        fail(x, KAFKA_VOTER_NOT_FOUND, q->why);
    else if (q->result == CHRONIK_E_UNSUPPORTED)
        fail(x, KAFKA_UNSUPPORTED_VERSION,
             "Cluster doesn't support removing voter: its metadata module is for one node.");
    else if (q->result < 0)
        fail(x, quorum_error(q->result), q->why);
    api_answer(q->r, &x->resp);
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_remove_raft_voter_request *w = body;
    struct removing *x = arena_calloc(&r->arena, 1, sizeof *x);
    const char *why = NULL;
    if (!x) {
        api_no_memory(r, "out of memory for a request");
        return;
    }
    x->resp = wire_remove_raft_voter_response_default;
    x->resp.error_message.n = -1;
    x->q = (struct quorum_ask){.r = r, .done = done};
    x->q.change.op = CHRONIK_META_DEMOTE;
    x->q.change.node_id = w->voter_id;
    x->q.change.directory = w->voter_directory_id;
    int16_t code = quorum_check_cluster(r, w->cluster_id, &why);
    if (code == KAFKA_NONE && (w->voter_id < 0 || meta_uuid_zero(&w->voter_directory_id))) {
        code = KAFKA_INVALID_REQUEST;
        why = "Remove voter request didn't include a valid voter";
    }
    if (code == KAFKA_NONE) {
        quorum_ask(&x->q);
    } else {
        fail(x, code, why);
        api_answer(r, &x->resp);
    }
}

const struct api_row api_remove_raft_voter = {.key = WIRE_API_REMOVE_RAFT_VOTER, .handle = handle};
