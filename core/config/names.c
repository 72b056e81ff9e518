/* names.c: from a name to its setting: exact, by environment variable, or the nearest one for a person who mistyped.
 * Reads the table and the registered modules; pure otherwise. */
#include "config/config_impl.h"

#include <ctype.h>
#include <stdlib.h>

static void scope_range(enum config_scope scope, int *from, int *to)
{
    static const int bounds[] = {0, CONFIG_FIRST_TOPIC, CONFIG_FIRST_GROUP, CONFIG_N_IDS};
    *from = bounds[scope - 1];
    *to = bounds[scope];
}

const struct config_def *config_def_find(enum config_scope scope, const char *name)
{
    int from, to;
    scope_range(scope, &from, &to);
    while (from < to) { /* the table is sorted by name within a scope */
        int mid = from + (to - from) / 2;
        int order = strcmp(name, config_defs[mid].s.name);
        if (order == 0)
            return &config_defs[mid];
        if (order < 0)
            to = mid;
        else
            from = mid + 1;
    }
    return NULL;
}

const struct config_def *config_broker_def(const struct config *c, const char *name)
{
    const struct config_def *d = config_def_find(CONFIG_BROKER, name);
    for (const struct config_module *m = c->modules; m && !d; m = m->next)
        for (uint32_t i = 0; i < m->n && !d; i++)
            if (strcmp(m->defs[i].s.name, name) == 0)
                d = &m->defs[i];
    return d;
}

struct config_slot *config_slot_find(const struct config *c, const char *name)
{
    const struct config_def *d = config_def_find(CONFIG_BROKER, name);
    if (d)
        return (struct config_slot *)&c->slots[d->s.id];
    for (size_t i = 0; i < c->n_module_slots; i++)
        if (strcmp(c->module_slots[i].def->s.name, name) == 0)
            return &c->module_slots[i];
    return NULL;
}

const struct config_setting *config_find(const struct config *c, enum config_scope scope, const char *name)
{
    const struct config_def *d = scope == CONFIG_BROKER ? config_broker_def(c, name) : config_def_find(scope, name);
    return d ? &d->s : NULL;
}

static bool same_in_capitals(const char *variable, const char *key)
{
    for (; *variable && *key; variable++, key++) {
        char want = *key == '.' || *key == '-' ? '_' : (char)toupper((unsigned char)*key);
        if (*variable != want)
            return false;
    }
    return *variable == *key;
}

bool config_env_names(const char *variable, const char *key)
{
    return same_in_capitals(variable, key) || (strncmp(key, "chronik.", 8) == 0 && same_in_capitals(variable, key + 8));
}

#define NAME_MAX_COMPARED 96

/* Insertions, deletions, replacements and swaps of neighbours between two names; anything above `most` is most + 1. */
static unsigned distance(const char *a, const char *b, unsigned most)
{
    size_t na = strlen(a), nb = strlen(b);
    if (na > NAME_MAX_COMPARED || nb > NAME_MAX_COMPARED || (na > nb ? na - nb : nb - na) > most)
        return most + 1;
    uint16_t rows[3][NAME_MAX_COMPARED + 1];
    uint16_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= nb; j++)
        last[j] = (uint16_t)j;
    for (size_t i = 1; i <= na; i++) {
        now[0] = (uint16_t)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1u < best)
                best = last[j] + 1u;
            if (now[j - 1] + 1u < best)
                best = now[j - 1] + 1u;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1u < best)
                best = before[j - 2] + 1u;
            now[j] = (uint16_t)best;
        }
        uint16_t *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[nb] < most + 1u ? last[nb] : most + 1u;
}

static void consider(const char *name, const char *candidate, unsigned *best, const char **found)
{
    if (*best == 0)
        return;
    unsigned d = distance(name, candidate, *best - 1);
    if (d < *best) {
        *best = d;
        *found = candidate;
    }
}

const char *config_nearest(const struct config *c, enum config_scope scope, const char *name)
{
    size_t len = strlen(name);
    unsigned best = (unsigned)(len / 4 > 2 ? len / 4 : 2) + 1; /* further away is no help */
    const char *found = NULL;
    int from, to;
    scope_range(scope, &from, &to);
    for (int i = from; i < to; i++)
        consider(name, config_defs[i].s.name, &best, &found);
    for (const struct config_module *m = scope == CONFIG_BROKER ? c->modules : NULL; m; m = m->next)
        for (uint32_t i = 0; i < m->n; i++)
            consider(name, m->defs[i].s.name, &best, &found);
    return found;
}
