/* modules.c: a module's settings become rows like the table's own, so that one parser, one precedence and one list of
 * names serves all. A schema is judged here, before its module may be used. Start-up thread only. */
#include "config/config_impl.h"

#include <stdlib.h>

static int32_t bad_schema(struct err *e, const char *module, uint32_t i, const char *what)
{
    return err_set(e, CHRONIK_E_INVAL, "module %s: setting number %u of its schema: %s", module, i + 1, what);
}

/* "a|b|c" as "a, b, c". */
static const char *choices_text(struct config *c, const char *choices)
{
    size_t bars = 0;
    for (const char *p = choices; *p; p++)
        bars += *p == '|';
    char *buf = malloc(strlen(choices) + bars + 1);
    if (!buf)
        return NULL;
    size_t n = 0;
    for (const char *p = choices; *p; p++) {
        buf[n++] = *p == '|' ? ',' : *p;
        if (*p == '|')
            buf[n++] = ' ';
    }
    const char *copy = config_text_n(c, buf, n);
    free(buf);
    return copy;
}

static int32_t set_rule(struct config *c, struct config_def *d, const char *module, uint32_t i,
                        const struct chronik_config_key *k, struct err *e)
{
    d->choices = d->s.valid = "";
    switch (k->type) {
    case CHRONIK_CONFIG_STRING:
        d->s.type = CONFIG_STRING;
        return CHRONIK_DONE;
    case CHRONIK_CONFIG_INT:
        d->s.type = CONFIG_LONG;
        d->rule = RULE_RANGE;
        d->min = k->min;
        d->max = k->max;
        d->s.valid = config_text_printf(c, "[%lld,...,%lld]", (long long)k->min, (long long)k->max);
        return k->min <= k->max ? CHRONIK_DONE : bad_schema(e, module, i, "its minimum is above its maximum");
    case CHRONIK_CONFIG_BOOL:
        d->s.type = CONFIG_BOOLEAN;
        return CHRONIK_DONE;
    case CHRONIK_CONFIG_CHOICE:
        if (!k->choices || !*k->choices)
            return bad_schema(e, module, i, "a choice without choices");
        d->s.type = CONFIG_STRING;
        d->rule = RULE_CHOICE;
        d->choices = choices_text(c, k->choices);
        d->s.valid = d->choices ? config_text_printf(c, "[%s]", d->choices) : NULL;
        return CHRONIK_DONE;
    default:
        return bad_schema(e, module, i, "its type is unknown");
    }
}

static const char *copy_text(struct config *c, const char *s, bool *short_of_memory)
{
    const char *copy = s ? config_text_n(c, s, strlen(s)) : NULL;
    *short_of_memory |= s && !copy;
    return copy;
}

static int32_t make_row(struct config *c, struct config_def *d, const char *module, uint32_t i,
                        const struct chronik_config_key *k, struct err *e)
{
    bool short_of_memory = false;
    if (!k->name || strncmp(k->name, "chronik.", 8) != 0 || strlen(k->name) > 96)
        return bad_schema(e, module, i, "a name must begin with \"chronik.\" and have at most 96 characters");
    if (k->flags)
        return bad_schema(e, module, i, "unknown flags");
    if (config_broker_def(c, k->name))
        return err_set(e, CHRONIK_E_EXISTS, "module %s: the setting %s exists already", module, k->name);
    d->s = (struct config_setting){.id = -1, .scope = CONFIG_BROKER, .acts = CONFIG_ACTS, .importance = 1};
    d->s.name = copy_text(c, k->name, &short_of_memory);
    d->s.dflt = copy_text(c, k->dflt, &short_of_memory);
    d->s.doc = copy_text(c, k->doc ? k->doc : "", &short_of_memory);
    int32_t r = set_rule(c, d, module, i, k, e);
    if (r < 0)
        return r;
    if (short_of_memory || !d->s.valid)
        return err_set(e, CHRONIK_E_NOMEM, "module %s: out of memory for its settings", module);
    if (d->s.dflt && config_value_parse(d, d->s.dflt, NULL, e) < 0)
        return err_prefix(e, "module %s: default of %s", module, d->s.name);
    return CHRONIK_DONE;
}

int32_t config_register_keys(struct config *c, const char *module, const struct chronik_config_key *keys, uint32_t n,
                             uint32_t stride, struct err *e)
{
    CHECK(!c->finished);
    if (n > 1024 || (n && stride < offsetof(struct chronik_config_key, doc)))
        return err_set(e, CHRONIK_E_INVAL, "module %s: its schema of settings has %u rows of %u bytes", module, n,
                       stride);
    struct config_module *m = calloc(1, sizeof *m + n * sizeof m->defs[0]);
    if (!m)
        return err_set(e, CHRONIK_E_NOMEM, "module %s: out of memory for its settings", module);
    struct config_module **last = &c->modules;
    while (*last)
        last = &(*last)->next;
    *last = m;
    for (uint32_t i = 0; i < n; i++) {
        struct chronik_config_key k = {0};
        memcpy(&k, (const char *)keys + (size_t)i * stride, min_size(stride, sizeof k));
        int32_t r = make_row(c, &m->defs[i], module, i, &k, e);
        if (r < 0) { /* all or nothing */
            *last = NULL;
            free(m);
            return r;
        }
        m->n = i + 1;
    }
    return CHRONIK_DONE;
}
