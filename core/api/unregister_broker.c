/* unregister_broker.c: UnregisterBroker (64): forgets a broker that is gone for good (KIP-500). A broker that runs
 * registers itself again with its next start. */
#include "api/rows.h"
#include "api/gather.h"

struct unregistering {
    struct gather g;
    struct gather_proposal p;
    struct wire_unregister_broker_response resp;
};

static void end(struct gather *g)
{
    api_answer(g->r, &CONTAINER_OF(g, struct unregistering, g)->resp);
}

static void fail(struct unregistering *u, int16_t code, const char *why)
{
    u->resp.error_code = code;
    u->resp.error_message = wire_str(why);
}

static void applied(struct gather_proposal *p)
{
    struct unregistering *u = CONTAINER_OF(p, struct unregistering, p);
    if (p->result.code != KAFKA_NONE)
        fail(u, p->result.code, p->result.text);
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_unregister_broker_request *q = body;
    struct unregistering *u = arena_calloc(&r->arena, 1, sizeof *u);
    if (!u) {
        api_no_memory(r, "out of memory for a request");
        return;
    }
    u->resp = wire_unregister_broker_response_default;
    u->resp.error_message.n = -1;
    u->g = (struct gather){.r = r, .pending = 1, .end = end};
    bool there = meta_broker_by_id(api_image(r), q->broker_id) != NULL;
    api_image_leave(r);
    if (!there) {
        fail(u, KAFKA_BROKER_ID_NOT_REGISTERED,
             arena_printf(&r->arena, "Broker ID %d is not currently registered", q->broker_id));
    } else if (q->broker_id == r->api->c.node_id) {
        fail(u, KAFKA_INVALID_REQUEST, "This broker is the one that answers; stop it, and ask another one.");
    } else {
        struct meta_command c = {.type = META_CMD_BROKER_UNREGISTER, .u.broker_unregister.id = q->broker_id};
        u->p.applied = applied;
        if (!gather_propose(&u->g, &u->p, &c, 0))
            fail(u, KAFKA_REQUEST_TIMED_OUT, "The metadata log takes no proposals at the moment; try again.");
    }
    gather_less(&u->g);
}

const struct api_row api_unregister_broker = {.key = WIRE_API_UNREGISTER_BROKER, .handle = handle};
