/* describe.c: settings as DescribeConfigs shows them, with source and synonyms, and changes of a running broker.
 * Reading is for any thread; changes come from one thread (the metadata apply executor), which also runs the hooks. */
#include "config/config_impl.h"

/* ---- describing ---- */

int8_t config_source_wire(enum config_source s)
{
    static const int8_t wire[] = {
        [CONFIG_FROM_DEFAULT] = 5,         [CONFIG_FROM_FILE] = 4,    [CONFIG_FROM_ENV] = 4,   [CONFIG_FROM_FLAG] = 4,
        [CONFIG_FROM_DYNAMIC_DEFAULT] = 3, [CONFIG_FROM_DYNAMIC] = 2, [CONFIG_FROM_TOPIC] = 1, [CONFIG_FROM_GROUP] = 8,
    };
    return wire[s];
}

static bool listed(const char *list, const char *item, size_t len)
{
    const char *other;
    size_t n;
    while (config_list_next(&list, &other, &n))
        if (n == len && memcmp(other, item, n) == 0)
            return true;
    return false;
}

static void canonical_list(const char *text, char *out)
{
    const char *item;
    size_t len, used = 0;
    *out = 0;
    while (config_list_next(&text, &item, &len)) {
        if (used && listed(out, item, len))
            continue;
        if (used)
            out[used++] = ',';
        memcpy(out + used, item, len);
        used += len;
        out[used] = 0;
    }
}

void config_canonical(const struct config_setting *s, const char *text, char *out)
{
    size_t n = strlen(text);
    if (s->type == CONFIG_LIST) {
        canonical_list(text, out);
        return;
    }
    bool trims = s->type != CONFIG_STRING && s->type != CONFIG_PASSWORD;
    while (trims && n && (unsigned char)*text <= ' ')
        text++, n--;
    while (trims && n && (unsigned char)text[n - 1] <= ' ')
        n--;
    memcpy(out, text, n);
    out[n] = 0;
    for (char *c = out; s->type == CONFIG_BOOLEAN && *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
}

static const char *shown(const struct config_def *d, const char *text)
{
    return d->s.sensitive ? NULL : text;
}

static size_t add_said(const struct config *c, const int16_t *ids, size_t n_ids, struct config_synonym *out)
{
    struct config_said said[CONFIG_MAX_SAID];
    size_t n = config_said(c, ids, n_ids, said, ARRAY_LEN(said));
    for (size_t i = 0; i < n; i++)
        out[i] = (struct config_synonym){.name = said[i].def->s.name,
                                         .value = shown(said[i].def, said[i].cell->v.text),
                                         .source = said[i].cell->source};
    return n;
}

static void describe_broker(const struct config *c, const struct config_slot *s, config_entry_fn each, void *arg)
{
    struct config_synonym syn[CONFIG_MAX_SAID];
    const struct config_def *d = s->def;
    const struct config_cell *now = config_now(s);
    size_t n = 0;
    if (d->s.id >= 0) {
        int16_t ids[4] = {d->s.id};
        memcpy(ids + 1, d->synonyms, sizeof d->synonyms);
        n = now->v.text ? add_said(c, ids, 1u + d->n_synonyms, syn) : 0; /* Kafka tells none of a value that is null */
    } else if (now->v.text) {
        syn[n++] = (struct config_synonym){.name = d->s.name, .value = shown(d, now->v.text), .source = now->source};
    }
    struct config_entry entry = {
        .setting = &d->s,
        .value = shown(d, now->v.text),
        .source = now->source,
        .read_only = d->s.update == CONFIG_READ_ONLY,
        .synonyms = syn,
        .n_synonyms = n,
    };
    each(arg, &entry);
}

static const char *override_of(const char *name, const struct config_kv *kv, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(kv[i].key, name) == 0)
            return kv[i].value;
    return NULL;
}

static void describe_override(const struct config *c, const struct config_def *d, enum config_source source,
                              const struct config_kv *kv, size_t n_kv, config_entry_fn each, void *arg)
{
    struct config_synonym syn[CONFIG_MAX_SAID + 1];
    char converted[24];
    const char *own = override_of(d->s.name, kv, n_kv);
    size_t n = 0;
    struct config_entry entry = {.setting = &d->s, .synonyms = syn, .source = CONFIG_FROM_DEFAULT};
    if (own)
        syn[n++] = (struct config_synonym){.name = d->s.name, .value = shown(d, own), .source = source};
    struct config_synonym broker[CONFIG_MAX_SAID];
    size_t said = add_said(c, d->synonyms, d->n_synonyms, broker);
    size_t own_n = n; /* as in Kafka: an older spelling's default (hours) is told only behind a value of the broker */
    for (size_t i = 0; i < said; i++)
        if (n > own_n || broker[i].source != CONFIG_FROM_DEFAULT ||
            strcmp(broker[i].name, config_defs[d->synonyms[0]].s.name) == 0)
            syn[n++] = broker[i];
    if (!n && !d->n_synonyms && d->s.scope == CONFIG_GROUP && d->s.dflt)
        syn[n++] = (struct config_synonym){.name = d->s.name, .value = d->s.dflt, .source = CONFIG_FROM_DEFAULT};
    entry.n_synonyms = n;
    entry.value = own ? own : config_effective_text(c, d, converted, sizeof converted);
    entry.value = shown(d, entry.value);
    if (entry.n_synonyms)
        entry.source = syn[0].source;
    each(arg, &entry);
}

void config_describe(const struct config *c, enum config_scope scope, const struct config_kv *kv, size_t n,
                     config_entry_fn each, void *arg)
{
    CHECK(c->finished);
    if (scope == CONFIG_BROKER) {
        for (int i = 0; i < CONFIG_FIRST_TOPIC; i++)
            describe_broker(c, &c->slots[i], each, arg);
        for (size_t i = 0; i < c->n_module_slots; i++)
            describe_broker(c, &c->module_slots[i], each, arg);
        return;
    }
    int from = scope == CONFIG_TOPIC ? CONFIG_FIRST_TOPIC : CONFIG_FIRST_GROUP;
    int to = scope == CONFIG_TOPIC ? CONFIG_FIRST_GROUP : CONFIG_N_IDS;
    enum config_source source = scope == CONFIG_TOPIC ? CONFIG_FROM_TOPIC : CONFIG_FROM_GROUP;
    for (int i = from; i < to; i++)
        describe_override(c, &config_defs[i], source, kv, n, each, arg);
}

/* ---- changing ---- */

int32_t config_on_change(struct config *c, config_changed_fn fn, void *arg)
{
    if (c->n_hooks == CONFIG_MAX_HOOKS)
        return CHRONIK_E_NOSPC;
    c->hooks[c->n_hooks].fn = fn;
    c->hooks[c->n_hooks++].arg = arg;
    return CHRONIK_DONE;
}

int32_t config_apply_dynamic(struct config *c, bool cluster_default, const char *key, const char *value, struct err *e)
{
    CHECK(c->finished);
    int32_t r = config_check_dynamic(c, cluster_default, key, value, e);
    if (r < 0)
        return r;
    struct config_slot *s = config_slot_find(c, key);
    const struct config_cell *cell = NULL;
    enum config_source source = cluster_default ? CONFIG_FROM_DYNAMIC_DEFAULT : CONFIG_FROM_DYNAMIC;
    if (value) {
        r = config_cell_make(c, s, value, source, cluster_default ? "altered for all brokers" : "altered at run time",
                             &cell, e);
        if (r < 0)
            return r;
    }
    const struct config_cell *before = config_now(s);
    atomic_store_explicit(cluster_default ? &s->dynamic_default : &s->dynamic, cell, memory_order_release);
    if (config_now(s) == before)
        return CHRONIK_DONE;
    atomic_fetch_add_explicit(&c->version, 1, memory_order_acq_rel);
    for (size_t i = 0; i < c->n_hooks; i++)
        c->hooks[i].fn(c->hooks[i].arg, &s->def->s);
    return CHRONIK_DONE;
}
