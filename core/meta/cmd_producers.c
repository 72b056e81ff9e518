/* cmd_producers.c: producer ids: encode, apply and JSON of PRODUCER_IDS. An id is given away once in a cluster's life.
 */
#include "meta/cmd.h"

static void ids_encode(const struct meta_command *c, struct meta_buf *b)
{
    mb_iv(b, c->u.producer_ids.broker);
    mb_iv(b, c->u.producer_ids.broker_epoch);
    mb_uv(b, c->u.producer_ids.count);
}

static void ids_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    c->u.producer_ids.broker = mr_iv32(r);
    c->u.producer_ids.broker_epoch = mr_iv(r);
    uint64_t n = mr_uv(r);
    c->u.producer_ids.count = (uint32_t)n;
    if (n > UINT32_MAX)
        r->bad = true;
}

static void ids_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    const struct meta_producer_ids *p = &c->u.producer_ids;
    const struct meta_broker *b = meta_broker_by_id(&st->img, p->broker);
    if (p->broker_epoch >= 0 && (!b || b->epoch != p->broker_epoch)) {
        meta_refuse(st, out, KAFKA_STALE_BROKER_EPOCH, "Broker %d does not have epoch %lld.", p->broker,
                    (long long)p->broker_epoch);
        return;
    }
    if (p->count == 0 || p->count > 1000 * 1000 || st->img.producer_next > INT64_MAX - p->count) {
        meta_refuse(st, out, KAFKA_INVALID_REQUEST, "%u producer ids cannot be given at once: 1 to 1000000.", p->count);
        return;
    }
    out->values[0] = st->img.producer_next;
    out->n_values = 1;
    st->img.producer_next += p->count;
    meta_fact_put(st, META_FACT_PRODUCERS);
}

static void ids_json(const struct meta_command *c, struct meta_buf *b)
{
    mj_int(b, "broker", c->u.producer_ids.broker);
    mj_int(b, "brokerEpoch", c->u.producer_ids.broker_epoch);
    mj_int(b, "count", c->u.producer_ids.count);
}

static void ids_key(const struct meta_command *c, struct meta_buf *b)
{
    mj_int(b, "broker", c->u.producer_ids.broker);
}

const struct meta_cmd_def meta_cmd_producer_ids = {
    META_CMD_PRODUCER_IDS, 1, 0, "producer-ids", ids_encode, ids_decode, ids_apply, ids_json, ids_key};
