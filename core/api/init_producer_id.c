/* init_producer_id.c: InitProducerId (22) for idempotent producers: an id that nobody had before, epoch 0.
 * Transactional ids are refused until the broker has transactions. */
#include "api/rows.h"
#include "api/producer_ids.h"

static void answer(struct api_req *r, int16_t error, int64_t id, int16_t epoch)
{
    struct wire_init_producer_id_response resp = wire_init_producer_id_response_default;
    resp.error_code = error;
    resp.producer_id = error ? -1 : id;
    resp.producer_epoch = error ? -1 : epoch;
    api_answer(r, &resp);
}

static void taken(struct producer_id_wait *w)
{
    answer(w->arg, w->error, w->producer_id, 0);
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_init_producer_id_request *q = body;
    if (q->transactional_id.n >= 0) {
        answer(r, q->transactional_id.n == 0 ? KAFKA_INVALID_REQUEST : KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, -1,
               -1);
        return;
    }
    if ((q->producer_id == -1) != (q->producer_epoch == -1)) { /* both or neither (KIP-360) */
        answer(r, KAFKA_INVALID_REQUEST, -1, -1);
        return;
    }
    struct producer_id_wait *w = arena_calloc(&r->arena, 1, sizeof *w);
    if (!w) {
        api_no_memory(r, "out of memory for a request");
        return;
    }
    *w = (struct producer_id_wait){.fn = taken, .arg = r, .exec = r->loop->exec};
    producer_id_take(r->api->producer_ids, w);
}

const struct api_row api_init_producer_id = {.key = WIRE_API_INIT_PRODUCER_ID, .handle = handle};
