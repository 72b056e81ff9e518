/* value.c: the config's memory and its getters. A value is a cell that never changes; a slot points at the cells of its
 * sources, so readers on any thread take one pointer and never wait. Cells and texts are freed with the config only. */
#include "config/config_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct config_text {
    struct config_text *next;
    char s[];
};

struct config *config_new(void)
{
    struct config *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->last_pair = &c->pairs;
    for (int i = 0; i < CONFIG_FIRST_TOPIC; i++)
        c->slots[i].def = &config_defs[i];
    return c;
}

static void free_cells(struct config_slot *s)
{
    for (struct config_cell *cell = s->cells; cell;) {
        struct config_cell *next = cell->next;
        free(cell->list);
        free(cell);
        cell = next;
    }
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (int i = 0; i < CONFIG_FIRST_TOPIC; i++)
        free_cells(&c->slots[i]);
    for (size_t i = 0; i < c->n_module_slots; i++)
        free_cells(&c->module_slots[i]);
    free(c->module_slots);
    free(c->listeners);
    for (struct config_module *m = c->modules, *next; m; m = next) {
        next = m->next;
        free(m);
    }
    for (struct config_pair *p = c->pairs, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    for (struct config_text *t = c->texts, *next; t; t = next) {
        next = t->next;
        free(t);
    }
    free(c);
}

const char *config_text_n(struct config *c, const char *s, size_t len)
{
    struct config_text *t = malloc(sizeof *t + len + 1);
    if (!t)
        return NULL;
    memcpy(t->s, s, len);
    t->s[len] = 0;
    t->next = c->texts;
    c->texts = t;
    return t->s;
}

const char *config_text_printf(struct config *c, const char *fmt, ...)
{
    char buf[4352]; /* a path and a little more */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    return config_text_n(c, buf, strlen(buf));
}

static struct config_list *make_list(struct config *c, const char *text)
{
    size_t n = 0, len;
    const char *at = text, *item;
    while (config_list_next(&at, &item, &len))
        n++;
    struct config_list *l = malloc(sizeof *l + n * sizeof l->item[0]);
    if (!l)
        return NULL;
    l->n = 0;
    at = text;
    while (config_list_next(&at, &item, &len)) {
        l->item[l->n] = config_text_n(c, item, len);
        if (!l->item[l->n++]) {
            free(l);
            return NULL;
        }
    }
    return l;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

int32_t config_cell_make(struct config *c, struct config_slot *s, const char *text, enum config_source source,
                         const char *origin, const struct config_cell **out, struct err *e)
{
    struct config_value v;
    int32_t r = config_value_parse(s->def, text, &v, e);
    if (r < 0)
        return r;
    for (struct config_cell *old = s->cells; old; old = old->next) {
        if (old->source == source && same_text(old->v.text, text) && same_text(old->origin, origin)) {
            *out = old;
            return CHRONIK_DONE;
        }
    }
    struct config_cell *cell = calloc(1, sizeof *cell);
    v.text = text ? config_text_n(c, text, strlen(text)) : NULL;
    if (cell && s->def->s.type == CONFIG_LIST)
        cell->list = make_list(c, text);
    if (!cell || (text && !v.text) || (s->def->s.type == CONFIG_LIST && !cell->list)) {
        free(cell);
        return err_set(e, CHRONIK_E_NOMEM, "out of memory for the value of %s", s->def->s.name);
    }
    cell->v = v;
    cell->source = source;
    cell->origin = origin;
    cell->next = s->cells;
    s->cells = cell;
    *out = cell;
    return CHRONIK_DONE;
}

const struct config_cell *config_now(const struct config_slot *s)
{
    const struct config_cell *cell = atomic_load_explicit(&s->dynamic, memory_order_acquire);
    if (!cell)
        cell = atomic_load_explicit(&s->dynamic_default, memory_order_acquire);
    if (!cell)
        cell = s->fixed;
    return cell ? cell : s->dflt;
}

size_t config_said(const struct config *c, const int16_t *ids, size_t n_ids, struct config_said *out, size_t max)
{
    size_t n = 0;
    for (int level = 0; level < 4; level++) {
        for (size_t i = 0; i < n_ids && n < max; i++) {
            const struct config_slot *s = &c->slots[ids[i]];
            const struct config_cell *cell = level == 0 ? atomic_load_explicit(&s->dynamic, memory_order_acquire)
                                             : level == 1
                                                 ? atomic_load_explicit(&s->dynamic_default, memory_order_acquire)
                                             : level == 2 ? s->fixed
                                                          : s->dflt;
            if (cell && cell->v.text)
                out[n++] = (struct config_said){.def = s->def, .cell = cell};
        }
    }
    return n;
}

/* ---- getters ---- */

static const struct config_cell *now_by_id(const struct config *c, enum config_id id)
{
    CHECK(id < CONFIG_FIRST_TOPIC && c->finished);
    return config_now(&c->slots[id]);
}

int64_t config_i64(const struct config *c, enum config_id id)
{
    uint8_t type = config_defs[id].s.type;
    CHECK(type == CONFIG_INT || type == CONFIG_SHORT || type == CONFIG_LONG);
    const struct config_cell *cell = now_by_id(c, id);
    return cell->v.text ? cell->v.i : CONFIG_NONE;
}

bool config_bool(const struct config *c, enum config_id id)
{
    CHECK(config_defs[id].s.type == CONFIG_BOOLEAN);
    return now_by_id(c, id)->v.i;
}

double config_f64(const struct config *c, enum config_id id)
{
    CHECK(config_defs[id].s.type == CONFIG_DOUBLE);
    return now_by_id(c, id)->v.f;
}

const char *config_str(const struct config *c, enum config_id id)
{
    return now_by_id(c, id)->v.text;
}

const struct config_list *config_list(const struct config *c, enum config_id id)
{
    CHECK(config_defs[id].s.type == CONFIG_LIST);
    return now_by_id(c, id)->list;
}

bool config_list_has(const struct config_list *l, const char *item)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->item[i], item) == 0)
            return true;
    return false;
}

int32_t config_get_i64(const struct config *c, const char *key, int64_t *out)
{
    const struct config_slot *s = config_slot_find(c, key);
    if (!s)
        return CHRONIK_E_NOTFOUND;
    const struct config_cell *cell = config_now(s);
    uint8_t type = s->def->s.type;
    if (!cell->v.text || !(type == CONFIG_BOOLEAN || type == CONFIG_INT || type == CONFIG_SHORT || type == CONFIG_LONG))
        return CHRONIK_E_INVAL;
    *out = cell->v.i;
    return CHRONIK_DONE;
}

int32_t config_get_str(const struct config *c, const char *key, const char **out)
{
    const struct config_slot *s = config_slot_find(c, key);
    if (!s)
        return CHRONIK_E_NOTFOUND;
    const char *text = config_now(s)->v.text;
    if (!text)
        return CHRONIK_E_INVAL;
    *out = text;
    return CHRONIK_DONE;
}

enum config_source config_source_of(const struct config *c, enum config_id id)
{
    return now_by_id(c, id)->source;
}

const char *config_origin(const struct config *c, const struct config_setting *s)
{
    const struct config_slot *slot = config_slot_find(c, s->name);
    return slot && config_now(slot) ? config_now(slot)->origin : "default";
}

uint64_t config_version(const struct config *c)
{
    return atomic_load_explicit(&c->version, memory_order_acquire);
}
