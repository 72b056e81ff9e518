/* group.c: who belongs to the quorum: the core's configuration (replica ids) with the addresses and node ids behind
 * them, and its history, so that a snapshot at an index carries the group as of that index. Changed on the raft
 * executor, under the mutex; read anywhere.
 *
 * As bytes (in snapshots, the identity file and on the wire), little-endian:
 *   u32 format 2; u64 index; u64 term;
 *   four lists of ids (voters, outgoing, learners, learners_next): u32 n, n * u64; u32 auto_leave;
 *   u32 members, each: u64 replica; u32 node; u32 bytes of the address; the address; 16 bytes directory id.
 * A member entry of the log has PAYLOAD_MEMBER, then one member in the same form. In format 1, and in entries of that
 * time, the directory id is missing. */
#include "raft.h"

#include <stdlib.h>

enum { GROUP_FORMAT = 2, GROUP_FORMAT_1 = 1, GROUPS_KEPT = 16 };

/* ---- bytes ---- */

struct out {
    uint8_t *p;
    size_t n, room;
};

static void put(struct out *o, const void *p, size_t n)
{
    if (o->n + n <= o->room)
        memcpy(o->p + o->n, p, n);
    o->n += n;
}

static void put32(struct out *o, uint32_t v)
{
    uint8_t b[4];
    put_le32(b, v);
    put(o, b, sizeof b);
}

static void put64(struct out *o, uint64_t v)
{
    uint8_t b[8];
    put_le64(b, v);
    put(o, b, sizeof b);
}

static void put_ids(struct out *o, const struct rc_ids *ids)
{
    put32(o, ids->n);
    for (uint32_t i = 0; i < ids->n; i++)
        put64(o, ids->v[i]);
}

static void put_member(struct out *o, const struct member *x)
{
    uint32_t n = (uint32_t)strlen(x->address);
    put64(o, x->replica);
    put32(o, x->node);
    put32(o, n);
    put(o, x->address, n);
    put(o, x->directory.b, sizeof x->directory.b);
}

struct in {
    const uint8_t *p;
    size_t left;
    bool bad;
};

static const uint8_t *get(struct in *i, size_t n)
{
    const uint8_t *p = i->p;
    if (i->bad || i->left < n) {
        i->bad = true;
        return NULL;
    }
    i->p += n;
    i->left -= n;
    return p;
}

static uint32_t get32(struct in *i)
{
    const uint8_t *p = get(i, 4);
    return p ? get_le32(p) : 0;
}

static uint64_t get64(struct in *i)
{
    const uint8_t *p = get(i, 8);
    return p ? get_le64(p) : 0;
}

static void get_ids(struct in *i, struct rc_ids *ids)
{
    ids->n = get32(i);
    if (ids->n > RC_MAX_MEMBERS)
        i->bad = true;
    for (uint32_t k = 0; k < ids->n && !i->bad; k++) {
        ids->v[k] = get64(i);
        if (!ids->v[k] || (k && ids->v[k] <= ids->v[k - 1]))
            i->bad = true;
    }
}

static void get_member(struct in *i, struct member *x, bool directory)
{
    memset(x, 0, sizeof *x);
    x->replica = get64(i);
    x->node = get32(i);
    uint32_t n = get32(i);
    const uint8_t *p = n < RAFT_ADDRESS ? get(i, n) : NULL;
    if (!p || memchr(p, 0, n))
        i->bad = true;
    else
        memcpy(x->address, p, n);
    p = directory ? get(i, sizeof x->directory.b) : NULL;
    if (p)
        memcpy(x->directory.b, p, sizeof x->directory.b);
}

size_t group_encode(const struct group *g, uint8_t *p, size_t room)
{
    struct out o = {.p = p, .room = room};
    put32(&o, GROUP_FORMAT);
    put64(&o, g->index);
    put64(&o, g->term);
    put_ids(&o, &g->conf.voters);
    put_ids(&o, &g->conf.outgoing);
    put_ids(&o, &g->conf.learners);
    put_ids(&o, &g->conf.learners_next);
    put32(&o, g->conf.auto_leave);
    put32(&o, g->book.n);
    for (uint32_t i = 0; i < g->book.n; i++)
        put_member(&o, &g->book.v[i]);
    return o.n;
}

bool group_decode(struct group *g, const uint8_t *p, size_t n)
{
    struct in i = {.p = p, .left = n};
    memset(g, 0, sizeof *g);
    uint32_t format = get32(&i);
    if (format != GROUP_FORMAT && format != GROUP_FORMAT_1)
        return false;
    g->index = get64(&i);
    g->term = get64(&i);
    get_ids(&i, &g->conf.voters);
    get_ids(&i, &g->conf.outgoing);
    get_ids(&i, &g->conf.learners);
    get_ids(&i, &g->conf.learners_next);
    uint32_t leave = get32(&i);
    g->conf.auto_leave = leave == 1;
    g->book.n = get32(&i);
    if (leave > 1 || g->book.n > RAFT_PEERS)
        return false;
    for (uint32_t k = 0; k < g->book.n && !i.bad; k++)
        get_member(&i, &g->book.v[k], format == GROUP_FORMAT);
    return !i.bad && i.left == 0 && g->conf.voters.n > 0;
}

struct rc_buf *member_encode(chronik_meta *m, const struct member *x)
{
    uint8_t bytes[RAFT_ADDRESS + 48] = {PAYLOAD_MEMBER};
    struct out o = {.p = bytes, .n = 1, .room = sizeof bytes};
    put_member(&o, x);
    struct rc_buf *b = rc_buf_new(&m->alloc, (uint32_t)o.n);
    if (b)
        memcpy(b->bytes, bytes, o.n);
    return b;
}

bool member_decode(const struct rc_buf *b, struct member *out)
{
    struct in i = {.p = b->bytes + 1, .left = b->len - 1}, old = i;
    get_member(&i, out, true);
    if (i.bad) {
        get_member(&old, out, false);
        i = old;
    }
    return !i.bad && i.left == 0 && out->replica;
}

/* ---- looking up ---- */

bool uuid_same(const struct chronik_uuid *a, const struct chronik_uuid *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

bool uuid_zero(const struct chronik_uuid *id)
{
    static const struct chronik_uuid none;
    return uuid_same(id, &none);
}

bool ids_have(const struct rc_ids *ids, uint64_t replica)
{
    for (uint32_t i = 0; i < ids->n; i++)
        if (ids->v[i] == replica)
            return true;
    return false;
}

bool conf_has(const struct rc_conf *c, uint64_t replica)
{
    return ids_have(&c->voters, replica) || ids_have(&c->outgoing, replica) || ids_have(&c->learners, replica) ||
           ids_have(&c->learners_next, replica);
}

const struct member *book_find(const struct book *b, uint64_t replica)
{
    for (uint32_t i = 0; i < b->n; i++)
        if (b->v[i].replica == replica)
            return &b->v[i];
    return NULL;
}

/* A member of that node id, other than replica `but`. */
const struct member *book_node(const struct book *b, uint32_t node, uint64_t but)
{
    for (uint32_t i = 0; i < b->n; i++)
        if (b->v[i].node == node && b->v[i].replica != but)
            return &b->v[i];
    return NULL;
}

void book_put(struct book *b, const struct member *x)
{
    uint32_t i = 0;
    while (i < b->n && b->v[i].replica != x->replica)
        i++;
    if (i == RAFT_PEERS)
        return; /* more than the core can hold: the change that follows is refused there */
    b->v[i] = *x;
    b->n = i == b->n ? b->n + 1 : b->n;
}

/* Drops who has left, but for one: who was put last may be added by the next entry. */
void book_keep(struct book *b, const struct rc_conf *conf)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n; i++)
        if (conf_has(conf, b->v[i].replica))
            b->v[n++] = b->v[i];
    b->n = n;
}

/* ---- history ---- */

/* Raft executor: this is the group from `index` on. */
void group_set(chronik_meta *m, const struct rc_conf *conf, const struct book *book, uint64_t index, uint64_t term)
{
    struct group *g = raft_alloc(m, sizeof *g);
    *g = (struct group){.index = index, .term = term, .conf = *conf, .book = *book};
    pthread_mutex_lock(&m->lock);
    if (m->group_now)
        m->group_now->next = g;
    else
        m->groups = g;
    m->group_now = g;
    /* No snapshot will be taken below the last one; a few of the past are kept for one that is just being taken. */
    uint32_t n = 0;
    for (const struct group *x = m->groups; x; x = x->next)
        n++;
    for (; n > GROUPS_KEPT; n--) {
        struct group *old = m->groups;
        m->groups = old->next;
        free(old);
    }
    pthread_mutex_unlock(&m->lock);
}

bool group_at(chronik_meta *m, uint64_t index, struct group *out)
{
    bool found = false;
    pthread_mutex_lock(&m->lock);
    for (const struct group *g = m->groups; g && g->index <= index; g = g->next) {
        *out = *g;
        found = true;
    }
    pthread_mutex_unlock(&m->lock);
    out->next = NULL;
    return found;
}
