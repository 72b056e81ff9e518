/* cmd_configs.c: dynamic settings of topics, brokers and groups: encode, apply and JSON of CONFIG_SET. What a setting
 * means and whether a value is valid is judged before the proposal; here only shape counts. */
#include <stdlib.h>

#include "meta/cmd.h"

static void set_encode(const struct meta_command *c, struct meta_buf *b)
{
    const struct meta_config_set *s = &c->u.config_set;
    mb_u8(b, s->type);
    mb_str(b, s->name);
    cmd_enc_kvs(b, s->entries, s->n_entries);
    mb_u8(b, s->replace);
}

static void set_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    struct meta_config_set *s = &c->u.config_set;
    s->type = mr_u8(r);
    s->name = mr_str_some(r);
    s->entries = cmd_dec_kvs(r, a, &s->n_entries);
    s->replace = mr_u8(r) != 0;
}

/* Two sorted lists: the old one and the changes, which win. */
static uint32_t merge(const struct meta_configs *old, const struct meta_kv *e, uint32_t n, struct meta_kv *out)
{
    uint32_t i = 0, k = 0, m = 0;
    while ((old && i < old->n) || k < n) {
        int d = !old || i == old->n ? 1 : k == n ? -1 : strcmp(old->entries[i].key, e[k].key);
        if (d < 0) {
            out[m++] = (struct meta_kv){old->entries[i].key, old->entries[i].value, old->entries[i].secret};
            i++;
            continue;
        }
        if (d == 0)
            i++;
        if (e[k].value)
            out[m++] = e[k];
        k++;
    }
    return m;
}

static void set_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    const struct meta_config_set *s = &c->u.config_set;
    size_t name_len = strlen(s->name);
    const struct meta_topic *t = NULL;
    if (s->type == META_RES_TOPIC) {
        t = meta_topic_by_name(&st->img, s->name, name_len);
        if (!t) {
            meta_refuse(st, out, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "There is no topic '%.249s'.", s->name);
            return;
        }
    } else if ((s->type != META_RES_BROKER && s->type != META_RES_CLIENT_METRICS && s->type != META_RES_GROUP) ||
               name_len > 500) {
        meta_refuse(st, out, KAFKA_INVALID_REQUEST, "Resource type %u with a name of %zu bytes has no settings.",
                    s->type, name_len);
        return;
    }
    struct meta_kv *e = cmd_sorted_kvs(st, s->entries, s->n_entries, true, out);
    if (!e)
        return;
    const struct meta_configs *old = s->replace ? NULL : meta_configs_of(&st->img, s->type, s->name, name_len);
    struct meta_kv *all = arena_calloc(&st->arena, (old ? old->n : 0) + s->n_entries, sizeof *all);
    CHECK(all != NULL);
    uint32_t n = merge(old, e, s->n_entries, all);
    if (!t) {
        meta_configs_put(st, meta_configs_new(st, s->type, s->name, all, n));
        return;
    }
    struct meta_configs *fresh = meta_configs_new(st, 0, "", all, n);
    meta_topic_set_configs(st, meta_topic_own(st, t, t->n_partitions), fresh);
}

static void set_json(const struct meta_command *c, struct meta_buf *b)
{
    const struct meta_config_set *s = &c->u.config_set;
    mj_int(b, "resourceType", s->type);
    mj_text(b, "resource", s->name);
    mj_bool(b, "replace", s->replace);
    cmd_json_kvs(b, s->entries, s->n_entries);
}

static void set_key(const struct meta_command *c, struct meta_buf *b)
{
    mj_int(b, "resourceType", c->u.config_set.type);
    mj_text(b, "resource", c->u.config_set.name);
}

const struct meta_cmd_def meta_cmd_config_set = {META_CMD_CONFIG_SET, 1,         0,        "config-set", set_encode,
                                                 set_decode,          set_apply, set_json, set_key};
