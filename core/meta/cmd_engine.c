/* cmd_engine.c: cutover between metadata engines: encode, apply and JSON of FENCE, OPEN and UNFENCE. FENCE in the old
 * log alone decides: nothing behind it is applied until the target commits OPEN with the same nonce (in its own log),
 * or an operator takes it back with UNFENCE. */
#include "meta/cmd.h"

static bool engine_row(const struct meta_state *st, struct chronik_uuid *nonce, const char **engine)
{
    const struct meta_row *row = meta_row_get(&st->img, META_FACT_ENGINE, strlen(META_FACT_ENGINE));
    if (!row)
        return false;
    struct meta_rd r = mr_of(meta_row_value(row), row->vlen);
    mr_u8(&r);
    mr_u8(&r);
    mr_uv(&r);
    *nonce = mr_uuid(&r);
    *engine = mr_str_some(&r);
    return !r.bad;
}

static void engine_put(struct meta_state *st, bool fenced, uint64_t epoch, const struct chronik_uuid *nonce,
                       const char *engine)
{
    struct meta_buf *v = &st->vbuf;
    v->n = 0;
    mb_u8(v, 1);
    mb_u8(v, fenced);
    mb_uv(v, epoch);
    mb_uuid(v, nonce);
    mb_str(v, engine);
    meta_row_put(st, META_FACT_ENGINE, strlen(META_FACT_ENGINE), v->p, v->n);
    st->img.fenced = fenced;
    st->img.engine_epoch = epoch;
}

/* ---- FENCE ---- */

static void fence_encode(const struct meta_command *c, struct meta_buf *b)
{
    mb_uv(b, c->u.fence.next_epoch);
    mb_str(b, c->u.fence.engine);
    mb_uuid(b, &c->u.fence.nonce);
}

static void fence_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    c->u.fence.next_epoch = mr_uv(r);
    c->u.fence.engine = mr_str_some(r);
    c->u.fence.nonce = mr_uuid(r);
}

static void fence_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    const struct meta_fence *f = &c->u.fence;
    if (f->next_epoch != st->img.engine_epoch + 1 || meta_uuid_zero(&f->nonce) || strlen(f->engine) > 63) {
        meta_refuse(st, out, KAFKA_INVALID_REQUEST, "The log is at engine epoch %llu: FENCE must name the next one.",
                    (unsigned long long)st->img.engine_epoch);
        return;
    }
    engine_put(st, true, f->next_epoch, &f->nonce, f->engine);
}

static void fence_json(const struct meta_command *c, struct meta_buf *b)
{
    mj_int(b, "nextEpoch", (int64_t)c->u.fence.next_epoch);
    mj_text(b, "engine", c->u.fence.engine);
    mj_id(b, "nonce", &c->u.fence.nonce);
}

static void no_key(const struct meta_command *c, struct meta_buf *b)
{
}

const struct meta_cmd_def meta_cmd_fence = {META_CMD_FENCE, 1,           0,          "fence", fence_encode,
                                            fence_decode,   fence_apply, fence_json, no_key};

/* ---- OPEN ---- */

static void open_encode(const struct meta_command *c, struct meta_buf *b)
{
    mb_uuid(b, &c->u.open.nonce);
}

static void open_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    c->u.open.nonce = mr_uuid(r);
}

static void open_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    struct chronik_uuid nonce;
    const char *engine;
    if (!engine_row(st, &nonce, &engine) || !meta_uuid_eq(&nonce, &c->u.open.nonce)) {
        meta_refuse(st, out, KAFKA_INVALID_REQUEST, "OPEN does not carry the nonce of the last FENCE.");
        return;
    }
    if (!st->img.fenced)
        return;
    char *name = arena_strndup(&st->arena, engine, strlen(engine));
    CHECK(name != NULL);
    engine_put(st, false, st->img.engine_epoch, &nonce, name);
}

static void open_json(const struct meta_command *c, struct meta_buf *b)
{
    mj_id(b, "nonce", &c->u.open.nonce);
}

const struct meta_cmd_def meta_cmd_open = {META_CMD_OPEN, 1,          0,         "open", open_encode,
                                           open_decode,   open_apply, open_json, no_key};

/* ---- UNFENCE ---- */

static void unfence_encode(const struct meta_command *c, struct meta_buf *b)
{
    mb_uv(b, c->u.unfence.epoch);
    mb_uuid(b, &c->u.unfence.nonce);
}

static void unfence_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    c->u.unfence.epoch = mr_uv(r);
    c->u.unfence.nonce = mr_uuid(r);
}

static void unfence_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    struct chronik_uuid nonce;
    const char *engine;
    if (!st->img.fenced || !engine_row(st, &nonce, &engine) || !meta_uuid_eq(&nonce, &c->u.unfence.nonce) ||
        c->u.unfence.epoch != st->img.engine_epoch + 1) {
        meta_refuse(st, out, KAFKA_INVALID_REQUEST,
                    "UNFENCE must carry the nonce of the standing FENCE and the epoch behind the fenced one.");
        return;
    }
    engine_put(st, false, c->u.unfence.epoch, &nonce, "");
}

static void unfence_json(const struct meta_command *c, struct meta_buf *b)
{
    mj_int(b, "epoch", (int64_t)c->u.unfence.epoch);
    mj_id(b, "nonce", &c->u.unfence.nonce);
}

const struct meta_cmd_def meta_cmd_unfence = {
    META_CMD_UNFENCE, 1, 0, "unfence", unfence_encode, unfence_decode, unfence_apply, unfence_json, no_key};
