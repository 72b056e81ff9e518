/* group.c: groups and members as data: finding, adding, taking out, protocols and votes. No decision is made here and
 * nobody is answered. Everything is under the slot's lock. */
#include "coord/internal.h"

#include <stdlib.h>

enum { FIRST_BUCKETS = 8 };

uint32_t coord_hash(const char *p, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)p[i]) * 16777619u;
    return h;
}

static uint32_t hash_of(const char *s)
{
    return coord_hash(s, strlen(s));
}

static bool is(const char *s, struct wire_str w)
{
    return s && w.n >= 0 && strlen(s) == (size_t)w.n && memcmp(s, w.p, (size_t)w.n) == 0;
}

/* A copy without the NULs that a text cannot hold; a null string becomes "". */
static char *text_of(struct wire_str w)
{
    size_t n = w.n > 0 ? (size_t)w.n : 0;
    char *s = malloc(n + 1);
    for (size_t i = 0; s && i < n; i++)
        s[i] = w.p[i] ? w.p[i] : '?';
    if (s)
        s[n] = 0;
    return s;
}

bool group_set_text(char **at, const char *text)
{
    char *copy = text ? strdup(text) : NULL;
    if (text && !copy)
        return false;
    free(*at);
    *at = copy;
    return true;
}

bool coord_set_type(struct group *g, struct wire_str type)
{
    char *copy = text_of(type);
    if (!copy)
        return false;
    free(g->protocol_type);
    g->protocol_type = copy;
    return true;
}

/* ---- protocols ---- */

/* `texts` bytes behind n protocols. */
static struct protocols *protocols_new(int32_t n, size_t texts, char **text)
{
    struct protocols *p = malloc(sizeof *p + (size_t)n * sizeof p->v[0] + texts);
    if (!p)
        return NULL;
    p->refs = 1;
    p->n = 0;
    *text = (char *)&p->v[n];
    return p;
}

static void protocols_put(struct protocols *p, char **text, const char *name, int32_t n_name, const void *metadata,
                          int32_t n)
{
    struct protocol *v = &p->v[p->n++];
    *v = (struct protocol){*text, n_name, (uint8_t *)*text + n_name, n};
    memcpy(*text, name, (size_t)n_name);
    if (n)
        memcpy(*text + n_name, metadata, (size_t)n);
    *text += n_name + n;
}

static bool protocols_have(const struct protocols *p, const char *name, int32_t n)
{
    for (int32_t i = 0; i < p->n; i++)
        if (p->v[i].n_name == n && memcmp(p->v[i].name, name, (size_t)n) == 0)
            return true;
    return false;
}

struct protocols *protocols_read(const struct wire_join_group_request *q)
{
    size_t texts = 0;
    int32_t n = (int32_t)max_i64(q->protocols.n, 0);
    for (int32_t i = 0; i < n; i++)
        texts += (size_t)q->protocols.v[i].name.n + (size_t)max_i64(q->protocols.v[i].metadata.n, 0);
    char *text;
    struct protocols *p = protocols_new(n, texts, &text);
    for (int32_t i = 0; p && i < n; i++) {
        const struct wire_join_group_request_protocol *v = &q->protocols.v[i];
        if (!protocols_have(p, v->name.p, v->name.n))
            protocols_put(p, &text, v->name.p, v->name.n, v->metadata.p, (int32_t)max_i64(v->metadata.n, 0));
    }
    return p;
}

struct protocols *protocols_one(const char *name, const void *metadata, uint32_t n)
{
    char *text;
    struct protocols *p = protocols_new(1, strlen(name) + n, &text);
    if (p)
        protocols_put(p, &text, name, (int32_t)strlen(name), metadata, (int32_t)n);
    return p;
}

void protocols_unref(struct protocols *p)
{
    if (p && --p->refs == 0)
        free(p);
}

bool protocols_equal(const struct protocols *a, const struct protocols *b)
{
    if (a->n != b->n)
        return false;
    for (int32_t i = 0; i < a->n; i++) {
        const struct protocol *x = &a->v[i], *y = &b->v[i];
        if (x->n_name != y->n_name || x->n_metadata != y->n_metadata ||
            memcmp(x->name, y->name, (size_t)x->n_name) != 0 ||
            memcmp(x->metadata, y->metadata, (size_t)x->n_metadata) != 0)
            return false;
    }
    return true;
}

/* ---- how many members offer a protocol ---- */

static struct support *support_of(const struct group *g, const struct protocol *p)
{
    for (uint32_t i = 0; i < g->n_supports; i++)
        if (g->supports[i].n_name == p->n_name && memcmp(g->supports[i].name, p->name, (size_t)p->n_name) == 0)
            return &g->supports[i];
    return NULL;
}

static void uncount(struct group *g, const struct protocols *p)
{
    for (int32_t i = 0; p && i < p->n; i++) {
        struct support *s = support_of(g, &p->v[i]);
        if (--s->members)
            continue;
        free(s->name);
        *s = g->supports[--g->n_supports];
    }
}

static bool count_one(struct group *g, const struct protocol *p)
{
    struct support *s = support_of(g, p);
    if (s) {
        s->members++;
        return true;
    }
    char *name = malloc((size_t)p->n_name + 1);
    struct support *v = realloc(g->supports, (g->n_supports + 1) * sizeof *v);
    if (v)
        g->supports = v;
    if (!name || !v) {
        free(name);
        return false;
    }
    memcpy(name, p->name, (size_t)p->n_name);
    name[p->n_name] = 0;
    v[g->n_supports++] = (struct support){name, p->n_name, 1};
    return true;
}

static bool count(struct group *g, struct protocols *p)
{
    for (int32_t i = 0; i < p->n; i++)
        if (!count_one(g, &p->v[i])) {
            int32_t n = p->n;
            p->n = i;
            uncount(g, p);
            p->n = n;
            return false;
        }
    return true;
}

bool group_supports(const struct group *g, struct wire_str type, const struct protocols *p)
{
    if (g->state == GROUP_EMPTY)
        return type.n > 0 && p->n > 0;
    if (!is(g->protocol_type, type))
        return false;
    for (int32_t i = 0; i < p->n; i++) {
        const struct support *s = support_of(g, &p->v[i]);
        if ((s ? s->members : 0) == g->n)
            return true;
    }
    return false;
}

const struct protocol *member_protocol(const struct member *m, const char *name)
{
    for (int32_t i = 0; name && i < m->protocols->n; i++)
        if (is(name, (struct wire_str){m->protocols->v[i].name, m->protocols->v[i].n_name}))
            return &m->protocols->v[i];
    return NULL;
}

const char *group_select(const struct group *g)
{
    struct support *best = NULL;
    uint32_t most = 0;
    for (uint32_t i = 0; i < g->n_supports; i++) {
        struct support *s = &g->supports[i];
        if (s->members != g->n)
            continue;
        uint32_t votes = 0;
        for (const struct member *m = g->first; m; m = m->next)
            for (int32_t k = 0; k < m->protocols->n; k++) {
                const struct support *first = support_of(g, &m->protocols->v[k]);
                if (first->members != g->n)
                    continue;
                votes += first == s;
                break;
            }
        if (!best || votes > most) {
            best = s;
            most = votes;
        }
    }
    return best ? best->name : NULL;
}

/* ---- members ---- */

struct member *group_member(const struct group *g, struct wire_str id)
{
    if (!g->buckets || id.n < 0)
        return NULL;
    struct member *m = g->ids[coord_hash(id.p, (size_t)id.n) & (g->buckets - 1)];
    while (m && !is(m->id, id))
        m = m->by_id;
    return m;
}

struct member *group_static(const struct group *g, struct wire_str instance)
{
    if (!g->buckets || instance.n < 0)
        return NULL;
    struct member *m = g->instances[coord_hash(instance.p, (size_t)instance.n) & (g->buckets - 1)];
    while (m && !is(m->instance, instance))
        m = m->by_instance;
    return m;
}

static void hash_in(struct group *g, struct member *m)
{
    struct member **at = &g->ids[hash_of(m->id) & (g->buckets - 1)];
    m->by_id = *at;
    *at = m;
    if (!m->instance || m->pending)
        return;
    at = &g->instances[hash_of(m->instance) & (g->buckets - 1)];
    m->by_instance = *at;
    *at = m;
}

static void hash_out(struct group *g, struct member *m)
{
    struct member **at = &g->ids[hash_of(m->id) & (g->buckets - 1)];
    while (*at != m)
        at = &(*at)->by_id;
    *at = m->by_id;
    if (!m->instance || m->pending)
        return;
    at = &g->instances[hash_of(m->instance) & (g->buckets - 1)];
    while (*at != m)
        at = &(*at)->by_instance;
    *at = m->by_instance;
}

static bool grow(struct group *g)
{
    uint32_t n = g->buckets ? g->buckets * 2 : FIRST_BUCKETS;
    struct member **ids = calloc(n, sizeof(struct member *)), **instances = calloc(n, sizeof(struct member *));
    if (!ids || !instances) {
        free(ids);
        free(instances);
        return false;
    }
    free(g->ids);
    free(g->instances);
    g->ids = ids;
    g->instances = instances;
    g->buckets = n;
    for (struct member *m = g->first; m; m = m->next)
        hash_in(g, m);
    for (struct member *m = g->pending; m; m = m->next)
        hash_in(g, m);
    return true;
}

void member_free(struct member *m)
{
    if (!m)
        return;
    protocols_unref(m->protocols);
    free(m->assignment.p);
    free(m->id);
    free(m->instance);
    free(m->client_id);
    free(m->client_host);
    free(m);
}

struct member *member_new(struct group *g, struct wire_str id, struct wire_str instance, struct wire_str client_id,
                          const char *client_host)
{
    struct member *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->group = g;
    m->timer.kind = TIMER_MEMBER;
    m->id = text_of(id);
    m->instance = instance.n >= 0 ? text_of(instance) : NULL;
    m->client_id = text_of(client_id);
    m->client_host = strdup(client_host ? client_host : "");
    if (m->id && m->client_id && m->client_host && (m->instance || instance.n < 0))
        return m;
    member_free(m);
    return NULL;
}

bool member_set_protocols(struct member *m, struct protocols *p)
{
    if (!m->pending && !count(m->group, p))
        return false;
    if (m->protocols && !m->pending)
        uncount(m->group, m->protocols);
    protocols_unref(m->protocols);
    m->protocols = p;
    return true;
}

bool group_add(struct group *g, struct member *m)
{
    if (g->n + g->n_pending >= g->buckets && !grow(g)) {
        if (!m->pending)
            uncount(g, m->protocols);
        member_free(m);
        return false;
    }
    hash_in(g, m);
    if (m->pending) {
        m->next = g->pending;
        if (m->next)
            m->next->prev = m;
        g->pending = m;
        g->n_pending++;
        return true;
    }
    m->prev = g->last;
    *(g->last ? &g->last->next : &g->first) = m;
    g->last = m;
    g->n++;
    if (!g->leader)
        g->leader = m;
    return true;
}

static void unlist(struct group *g, struct member *m)
{
    if (m->prev)
        m->prev->next = m->next;
    else
        *(m->pending ? &g->pending : &g->first) = m->next;
    if (m->next)
        m->next->prev = m->prev;
    else if (!m->pending)
        g->last = m->prev;
    m->next = m->prev = NULL;
}

void group_remove(struct group *g, struct member *m)
{
    CHECK(!m->join && !m->sync);
    coord_disarm(g->slot, &m->timer);
    hash_out(g, m);
    unlist(g, m);
    if (m->pending) {
        g->n_pending--;
    } else {
        g->n--;
        uncount(g, m->protocols);
        g->n_awaiting_join -= m->awaiting_join;
        g->n_pending_sync -= m->pending_sync;
        if (g->leader == m)
            g->leader = g->first;
    }
    member_free(m);
}

bool member_rename(struct member *m, const char *id)
{
    char *copy = strdup(id);
    if (!copy)
        return false;
    hash_out(m->group, m);
    free(m->id);
    m->id = copy;
    hash_in(m->group, m);
    return true;
}

bool member_set_assignment(struct member *m, const void *p, int32_t n)
{
    uint8_t *copy = n > 0 ? malloc((size_t)n) : NULL;
    if (n > 0 && !copy)
        return false;
    if (n > 0)
        memcpy(copy, p, (size_t)n);
    free(m->assignment.p);
    m->assignment = (struct blob){copy, (int32_t)max_i64(n, 0)};
    return true;
}

int32_t group_rebalance_ms(const struct group *g)
{
    int32_t most = 0;
    for (const struct member *m = g->first; m; m = m->next)
        most = (int32_t)max_i64(most, m->rebalance_ms);
    return most;
}

/* ---- groups ---- */

struct group *group_find(struct slot *s, struct wire_str id)
{
    if (!s->buckets || id.n < 0)
        return NULL;
    struct group *g = s->groups[coord_hash(id.p, (size_t)id.n) & (s->buckets - 1)];
    while (g && !is(g->id, id))
        g = g->chain;
    return g;
}

static bool grow_slot(struct slot *s)
{
    uint32_t n = s->buckets ? s->buckets * 2 : FIRST_BUCKETS;
    struct group **v = calloc(n, sizeof(struct group *));
    if (!v)
        return false;
    for (uint32_t i = 0; i < s->buckets; i++)
        for (struct group *g = s->groups[i], *next; g; g = next) {
            next = g->chain;
            g->chain = v[g->hash & (n - 1)];
            v[g->hash & (n - 1)] = g;
        }
    free(s->groups);
    s->groups = v;
    s->buckets = n;
    return true;
}

struct group *group_new(struct slot *s, struct wire_str id)
{
    struct group *g = calloc(1, sizeof *g);
    if (!g || !(g->id = text_of(id)) || (s->n_groups >= s->buckets && !grow_slot(s))) {
        if (g)
            free(g->id);
        free(g);
        return NULL;
    }
    g->slot = s;
    g->hash = hash_of(g->id);
    g->previous = GROUP_DEAD;
    g->state_ms = os_wall_ms(s->coord->o.os);
    g->join_timer.kind = TIMER_JOIN;
    g->sync_timer.kind = TIMER_SYNC;
    g->chain = s->groups[g->hash & (s->buckets - 1)];
    s->groups[g->hash & (s->buckets - 1)] = g;
    s->n_groups++;
    return g;
}

void group_free(struct group *g)
{
    struct slot *s = g->slot;
    CHECK(!g->writes);
    while (g->pending)
        group_remove(g, g->pending);
    while (g->first)
        group_remove(g, g->first);
    coord_disarm(s, &g->join_timer);
    coord_disarm(s, &g->sync_timer);
    struct group **at = &s->groups[g->hash & (s->buckets - 1)];
    while (*at != g)
        at = &(*at)->chain;
    *at = g->chain;
    s->n_groups--;
    free(g->supports);
    free(g->ids);
    free(g->instances);
    free(g->id);
    free(g->protocol_type);
    free(g->protocol);
    free(g);
}

void group_settle(struct group *g)
{
    if (g->state == GROUP_EMPTY && !g->n && !g->n_pending && !g->writes && !wheel_armed(&g->join_timer.t))
        group_free(g);
}

void group_transition(struct group *g, enum group_state to)
{
    g->previous = g->state;
    g->state = to;
    g->state_ms = os_wall_ms(g->slot->coord->o.os);
}

const char *group_state_name(enum group_state s)
{
    static const char *const names[] = {"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"};
    return names[s];
}
