/* apply.c: the envelope and the one door into the state machine. An entry is {proposer, number, lowest open number,
 * commands}; per proposer (an incarnation and a class) numbers are applied in order, each once: a repeat is answered
 * from the results kept in the state, a gap is refused. Nothing here knows time, engine or node. */
#include <inttypes.h>
#include <stdio.h>

#include "meta/cmd.h"
#include "meta/mutant.h"

enum { ENTRY_FORMAT = 1, MAX_COMMANDS = 65536, PROPOSER_KEY = 1 + 4 + 16 + 1 };

/* ---- encoding ---- */

void meta_cmd_encode(const struct meta_command *c, struct meta_buf *b)
{
    const struct meta_cmd_def *d = meta_cmd_def(c->type);
    CHECK(d != NULL);
    struct meta_buf body = {0};
    mb_uv(&body, d->type);
    mb_u8(&body, d->version);
    mb_iv(&body, c->timestamp_ms);
    d->encode(c, &body);
    mb_bytes(b, body.p, body.n);
    mb_free(&body);
}

void meta_envelope_encode(const struct meta_envelope *e, struct meta_buf *b)
{
    mb_u8(b, ENTRY_FORMAT);
    mb_u8(b, e->klass);
    mb_iv(b, e->node);
    mb_uuid(b, &e->incarnation);
    mb_uv(b, e->number);
    mb_uv(b, e->lowest);
    mb_uv(b, e->n_commands);
}

bool meta_envelope_decode(struct meta_rd *r, struct meta_envelope *e)
{
    if (mr_u8(r) != ENTRY_FORMAT)
        return false;
    e->klass = mr_u8(r);
    e->node = mr_iv32(r);
    e->incarnation = mr_uuid(r);
    e->number = mr_uv(r);
    e->lowest = mr_uv(r);
    uint64_t n = mr_uv(r);
    e->n_commands = (uint32_t)n;
    return !r->bad && n >= 1 && n <= MAX_COMMANDS && n <= mr_left(r) && e->lowest <= e->number &&
           e->klass < CHRONIK_META_CLASSES && e->node >= 0;
}

int meta_cmd_decode(struct meta_rd *r, struct arena *a, struct meta_command *c, uint64_t *type, uint8_t *version)
{
    size_t n;
    const uint8_t *p = mr_bytes(r, &n);
    struct meta_rd body = mr_of(p ? p : (const uint8_t *)"", n);
    *type = mr_uv(&body);
    *version = mr_u8(&body);
    if (r->bad || body.bad)
        return -1;
    const struct meta_cmd_def *d = meta_cmd_def(*type);
    if (!d || *version == 0 || *version > d->version)
        return 0;
    memset(c, 0, sizeof *c);
    c->type = (enum meta_command_type) * type;
    c->timestamp_ms = mr_iv(&body);
    d->decode(&body, *version, a, c);
    return body.bad || body.p != body.end ? -1 : 1;
}

/* ---- proposers ---- */

static void proposer_key(uint8_t key[PROPOSER_KEY + 8], char family, const struct meta_envelope *e, uint64_t number)
{
    key[0] = (uint8_t)family;
    put_be32(key + 1, (uint32_t)e->node);
    memcpy(key + 5, e->incarnation.b, 16);
    key[21] = e->klass;
    put_be64(key + PROPOSER_KEY, number);
}

static void proposer_get(const struct meta_image *i, const struct meta_envelope *e, uint64_t *next, uint64_t *lowest)
{
    uint8_t key[PROPOSER_KEY + 8];
    proposer_key(key, 'P', e, 0);
    const struct meta_row *row = meta_row_get(i, key, PROPOSER_KEY);
    *next = *lowest = 0;
    if (!row)
        return;
    struct meta_rd r = mr_of(meta_row_value(row), row->vlen);
    mr_u8(&r);
    *next = mr_uv(&r);
    *lowest = mr_uv(&r);
    CHECK(!r.bad);
}

static const int16_t *codes_get(struct meta_state *st, struct meta_rd *r, uint32_t *n)
{
    *n = mr_count(r, 1);
    int16_t *codes = mr_array(r, &st->arena, *n, sizeof *codes);
    for (uint32_t i = 0; i < *n; i++)
        codes[i] = (int16_t)mr_iv(r);
    return codes;
}

static void results_put(struct meta_state *st, const struct meta_entry_result *e)
{
    struct meta_buf *v = &st->vbuf;
    v->n = 0;
    mb_u8(v, 1);
    mb_uv(v, e->first_seq);
    mb_uv(v, e->env.n_commands);
    for (uint32_t i = 0; i < e->env.n_commands; i++) {
        const struct meta_outcome *o = &e->outs[i];
        mb_iv(v, o->code);
        mb_u8(v, (uint8_t)(o->n_values | (o->text ? META_RESULT_TEXT : 0) | (o->codes ? META_RESULT_CODES : 0)));
        for (unsigned k = 0; k < o->n_values; k++)
            mb_iv(v, o->values[k]);
        if (o->codes)
            mb_uv(v, o->n_codes);
        for (uint32_t k = 0; o->codes && k < o->n_codes; k++)
            mb_iv(v, o->codes[k]);
        if (o->text)
            mb_str(v, o->text);
    }
    uint8_t key[PROPOSER_KEY + 8];
    proposer_key(key, 'R', &e->env, e->env.number);
    meta_row_put(st, key, sizeof key, v->p, v->n);
}

/* The kept results of a number that was applied before. */
static void results_get(struct meta_state *st, struct meta_entry_result *e)
{
    uint8_t key[PROPOSER_KEY + 8];
    proposer_key(key, 'R', &e->env, e->env.number);
    const struct meta_row *row = meta_row_get(&st->img, key, sizeof key);
    if (!row)
        return;
    struct meta_rd r = mr_of(meta_row_value(row), row->vlen);
    mr_u8(&r);
    e->first_seq = mr_uv(&r);
    if (mr_uv(&r) != e->env.n_commands)
        return;
    struct meta_outcome *o = mr_array(&r, &st->arena, e->env.n_commands, sizeof *o);
    for (uint32_t i = 0; i < e->env.n_commands; i++) {
        o[i].code = (int16_t)mr_iv(&r);
        uint8_t head = mr_u8(&r);
        o[i].n_values = head & META_RESULT_N;
        CHECK(o[i].n_values <= META_RESULT_VALUES);
        for (unsigned k = 0; k < o[i].n_values; k++)
            o[i].values[k] = mr_iv(&r);
        if (head & META_RESULT_CODES)
            o[i].codes = codes_get(st, &r, &o[i].n_codes);
        if (head & META_RESULT_TEXT) {
            const char *text = mr_str_some(&r);
            o[i].text = arena_strndup(&st->arena, text, strlen(text));
        }
    }
    CHECK(!r.bad);
    e->outs = o;
}

/* Number done: the next one follows, and results below `lowest` are known to their proposer. */
static void proposer_advance(struct meta_state *st, const struct meta_entry_result *e, uint64_t was_lowest)
{
    uint8_t key[PROPOSER_KEY + 8];
    struct meta_cursor c;
    proposer_key(key, 'R', &e->env, was_lowest);
    while (was_lowest < e->env.lowest) {
        const struct meta_row *r = tree_seek(&st->img.rows, &c, key, sizeof key);
        if (!r || r->klen != sizeof key || memcmp(r->data, key, PROPOSER_KEY) != 0 ||
            get_be64(r->data + PROPOSER_KEY) >= e->env.lowest)
            break;
        meta_row_del(st, r->data, r->klen);
    }
    struct meta_buf *v = &st->vbuf;
    v->n = 0;
    mb_u8(v, 1);
    mb_uv(v, e->env.number + 1);
    mb_uv(v, e->env.lowest);
    proposer_key(key, 'P', &e->env, 0);
    meta_row_put(st, key, PROPOSER_KEY, v->p, v->n);
}

/* ---- apply ---- */

/* Before anything changes: is every command of the entry one that this binary understands? */
static bool entry_known(struct meta_state *st, struct meta_rd r, struct meta_command *cmds, uint32_t n,
                        struct meta_entry_result *out)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t type;
        uint8_t version;
        int rc = meta_cmd_decode(&r, &st->arena, &cmds[i], &type, &version);
        if (rc == 1)
            continue;
        const struct meta_cmd_def *d = meta_cmd_def(type);
        snprintf(out->why, sizeof out->why,
                 rc < 0 ? "a malformed command of type %" PRIu64 " version %u (%s): the log is damaged or was written "
                          "by a faulty build"
                        : "unknown command type %" PRIu64 " version %u (%s): run a build that knows it",
                 type, version, d ? d->name : "no name here");
        return false;
    }
    if (r.p != r.end) {
        snprintf(out->why, sizeof out->why, "%zu bytes behind the last command of an entry", mr_left(&r));
        return false;
    }
    return true;
}

static bool has_type(const struct meta_command *c, uint32_t n, enum meta_command_type t)
{
    for (uint32_t i = 0; i < n; i++)
        if (c[i].type == t)
            return true;
    return false;
}

static void apply_one(struct meta_state *st, const struct meta_command *c, struct meta_outcome *o)
{
    const struct meta_cmd_def *d = meta_cmd_def(c->type);
    st->img.seq++;
    int16_t level = d->min_level ? meta_feature_level(&st->img, "metadata.version") : 0;
    if (level < d->min_level)
        meta_refuse(st, o, KAFKA_UNSUPPORTED_VERSION,
                    "%s needs metadata.version %d; %d is finalised: update the feature first.", d->name, d->min_level,
                    level);
    else if (st->img.fenced && c->type != META_CMD_OPEN && c->type != META_CMD_UNFENCE)
        meta_refuse(st, o, KAFKA_NOT_CONTROLLER, "The metadata log is fenced for a cutover.");
    else
        d->apply(st, c, o);
}

static enum meta_verdict judge(struct meta_state *st, const struct meta_command *cmds, struct meta_entry_result *out,
                               uint64_t *was_lowest)
{
    const struct meta_envelope *e = &out->env;
    const struct meta_broker *b = meta_broker_by_id(&st->img, e->node);
    if (b && !meta_uuid_eq(&b->incarnation, &e->incarnation) &&
        !has_type(cmds, e->n_commands, META_CMD_BROKER_REGISTER))
        return META_STALE;
    uint64_t next;
    proposer_get(&st->img, e, &next, was_lowest);
    if (MUTANT("meta_repeat_applied"))
        return META_APPLIED;
    if (e->number < next) {
        results_get(st, out);
        return META_REPEAT;
    }
    if (e->number != (next > e->lowest ? next : e->lowest) && !MUTANT("meta_gap_accepted"))
        return META_GAP;
    if (st->img.fenced && !has_type(cmds, e->n_commands, META_CMD_OPEN) &&
        !has_type(cmds, e->n_commands, META_CMD_UNFENCE))
        return META_FENCED;
    return META_APPLIED;
}

enum meta_verdict meta_apply_entry(struct meta_state *st, const void *data, size_t n, struct meta_entry_result *out)
{
    memset(out, 0, sizeof *out);
    struct meta_rd r = mr_of(data, n);
    if (!meta_envelope_decode(&r, &out->env)) {
        snprintf(out->why, sizeof out->why,
                 "an entry with a malformed or unknown envelope: run a build that knows it, or the log is damaged");
        return META_STOP;
    }
    struct meta_command *cmds = arena_calloc(&st->arena, out->env.n_commands, sizeof *cmds);
    CHECK(cmds != NULL);
    if (!entry_known(st, r, cmds, out->env.n_commands, out))
        return META_STOP;
    uint64_t was_lowest;
    enum meta_verdict v = judge(st, cmds, out, &was_lowest);
    if (v != META_APPLIED)
        return v;
    out->first_seq = st->img.seq + 1;
    out->outs = arena_calloc(&st->arena, out->env.n_commands, sizeof *out->outs);
    CHECK(out->outs != NULL);
    for (uint32_t i = 0; i < out->env.n_commands; i++)
        apply_one(st, &cmds[i], &out->outs[i]);
    proposer_advance(st, out, was_lowest);
    results_put(st, out);
    return META_APPLIED;
}
