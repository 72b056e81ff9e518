/* tree.c: the copy-on-write B+tree behind the image. Inner nodes remember the least entry below each child, which path
 * copying keeps right for free. It must never change a node that was born in an earlier batch. */
#include "meta/tree.h"

enum { MERGE_BELOW = META_TREE_FAN / 4, MERGE_UP_TO = META_TREE_FAN * 3 / 4 };

static int key_cmp(const void *a, size_t na, const void *b, size_t nb)
{
    size_t both = na < nb ? na : nb;
    int c = both ? memcmp(a, b, both) : 0; /* an empty one may be NULL */
    if (c)
        return c;
    return na < nb ? -1 : na > nb;
}

static int entry_cmp(const struct tree *t, const void *entry, const void *key, size_t n)
{
    size_t en;
    const void *ek = t->key(entry, &en);
    return key_cmp(ek, en, key, n);
}

/* First place in the node whose entry is >= key; *eq says whether it is equal. */
static unsigned node_lower(const struct tree *t, const struct tree_node *x, const void *key, size_t n, bool *eq)
{
    unsigned lo = 0, hi = x->n;
    *eq = false;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        int c = entry_cmp(t, x->e[mid], key, n);
        if (c == 0) {
            *eq = true;
            return mid;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The child to descend into: the last one whose least entry is <= key, or the first. */
static unsigned node_child(const struct tree *t, const struct tree_node *x, const void *key, size_t n)
{
    bool eq;
    unsigned i = node_lower(t, x, key, n, &eq);
    return eq || i == 0 ? i : i - 1;
}

static size_t node_size(bool leaf)
{
    return sizeof(struct tree_node) + (leaf ? 0 : META_TREE_FAN * sizeof(struct tree_node *));
}

static struct tree_node *node_new(struct meta_mem *m, bool leaf)
{
    struct tree_node *x = meta_mem_new(m, node_size(leaf));
    x->born = m->batch;
    x->leaf = leaf;
    return x;
}

static struct tree_node *node_own(struct meta_mem *m, struct tree_node *x)
{
    if (x->born == m->batch)
        return x;
    struct tree_node *y = meta_mem_new(m, node_size(x->leaf));
    memcpy(y, x, node_size(x->leaf));
    y->born = m->batch;
    meta_mem_drop(m, x, x->born);
    return y;
}

const void *tree_find(const struct tree *t, const void *key, size_t n)
{
    const struct tree_node *x = t->root;
    if (!x)
        return NULL;
    while (!x->leaf)
        x = x->child[node_child(t, x, key, n)];
    bool eq;
    unsigned i = node_lower(t, x, key, n, &eq);
    return eq ? x->e[i] : NULL;
}

static void node_insert(struct tree_node *x, unsigned at, const void *e, struct tree_node *child)
{
    memmove(x->e + at + 1, x->e + at, (x->n - at) * sizeof x->e[0]);
    x->e[at] = e;
    if (!x->leaf) {
        memmove(x->child + at + 1, x->child + at, (x->n - at) * sizeof x->child[0]);
        x->child[at] = child;
    }
    x->n++;
}

static void node_remove(struct tree_node *x, unsigned at)
{
    x->n--;
    memmove(x->e + at, x->e + at + 1, (x->n - at) * sizeof x->e[0]);
    if (!x->leaf)
        memmove(x->child + at, x->child + at + 1, (x->n - at) * sizeof x->child[0]);
}

/* Moves the upper part of a full node into a new right sibling. Keys that rise (the common case) split near the end. */
static struct tree_node *node_split(struct meta_mem *m, struct tree_node *x, unsigned at)
{
    struct tree_node *r = node_new(m, x->leaf);
    unsigned keep = at == x->n ? x->n - 4u : x->n / 2u;
    r->n = (uint16_t)(x->n - keep);
    memcpy(r->e, x->e + keep, r->n * sizeof r->e[0]);
    if (!x->leaf)
        memcpy(r->child, x->child + keep, r->n * sizeof r->child[0]);
    x->n = (uint16_t)keep;
    return r;
}

struct put {
    struct tree *t;
    struct meta_mem *m;
    const void *entry, *old;
    const void *key;
    size_t n;
};

/* Inserts below *xp; a new right sibling when *xp had to split, else NULL. */
static struct tree_node *put_below(struct put *p, struct tree_node **xp)
{
    struct tree_node *x = *xp = node_own(p->m, *xp);
    unsigned at;
    struct tree_node *fresh = NULL;
    const void *e = p->entry;
    if (x->leaf) {
        bool eq;
        at = node_lower(p->t, x, p->key, p->n, &eq);
        if (eq) {
            p->old = x->e[at];
            x->e[at] = e;
            return NULL;
        }
    } else {
        at = node_child(p->t, x, p->key, p->n);
        fresh = put_below(p, &x->child[at]);
        x->e[at] = x->child[at]->e[0];
        if (!fresh)
            return NULL;
        e = fresh->e[0];
        at++;
    }
    if (x->n < META_TREE_FAN) {
        node_insert(x, at, e, fresh);
        return NULL;
    }
    struct tree_node *right = node_split(p->m, x, at);
    if (at > x->n)
        node_insert(right, at - x->n, e, fresh);
    else
        node_insert(x, at, e, fresh);
    return right;
}

const void *tree_put(struct tree *t, struct meta_mem *m, const void *entry)
{
    struct put p = {.t = t, .m = m, .entry = entry};
    p.key = t->key(entry, &p.n);
    if (!t->root)
        t->root = node_new(m, true);
    struct tree_node *right = put_below(&p, &t->root);
    if (right) {
        struct tree_node *top = node_new(m, false);
        node_insert(top, 0, t->root->e[0], t->root);
        node_insert(top, 1, right->e[0], right);
        t->root = top;
    }
    if (!p.old)
        t->count++;
    return p.old;
}

/* Child `i` has become small: joins it with a neighbour when both fit well into one node. */
static void join_small(struct meta_mem *m, struct tree_node *x, unsigned i)
{
    unsigned l = i > 0 ? i - 1 : 0;
    if (x->n < 2)
        return;
    unsigned r = l + 1;
    if ((unsigned)x->child[l]->n + x->child[r]->n > MERGE_UP_TO)
        return;
    struct tree_node *a = x->child[l] = node_own(m, x->child[l]), *b = x->child[r];
    memcpy(a->e + a->n, b->e, b->n * sizeof a->e[0]);
    if (!a->leaf)
        memcpy(a->child + a->n, b->child, b->n * sizeof a->child[0]);
    a->n = (uint16_t)(a->n + b->n);
    meta_mem_drop(m, b, b->born);
    node_remove(x, r);
}

static const void *del_below(const struct tree *t, struct meta_mem *m, struct tree_node **xp, const void *key, size_t n)
{
    struct tree_node *x = *xp = node_own(m, *xp);
    if (x->leaf) {
        bool eq;
        unsigned at = node_lower(t, x, key, n, &eq);
        CHECK(eq);
        const void *old = x->e[at];
        node_remove(x, at);
        return old;
    }
    unsigned at = node_child(t, x, key, n);
    const void *old = del_below(t, m, &x->child[at], key, n);
    struct tree_node *c = x->child[at];
    if (c->n == 0) {
        meta_mem_drop(m, c, c->born);
        node_remove(x, at);
        return old;
    }
    x->e[at] = c->e[0];
    if (c->n < MERGE_BELOW)
        join_small(m, x, at);
    return old;
}

const void *tree_del(struct tree *t, struct meta_mem *m, const void *key, size_t n)
{
    if (!tree_find(t, key, n))
        return NULL;
    const void *old = del_below(t, m, &t->root, key, n);
    t->count--;
    while (t->root && (t->root->n == 0 || (!t->root->leaf && t->root->n == 1))) {
        struct tree_node *top = t->root;
        t->root = top->n ? top->child[0] : NULL;
        meta_mem_drop(m, top, top->born);
    }
    return old;
}

const void *tree_seek(const struct tree *t, struct meta_cursor *c, const void *key, size_t n)
{
    c->depth = 0;
    const struct tree_node *x = t->root;
    if (!x)
        return NULL;
    for (;;) {
        CHECK(c->depth < (int)ARRAY_LEN(c->node));
        bool eq = false;
        unsigned i = x->leaf ? node_lower(t, x, key, n, &eq) : node_child(t, x, key, n);
        c->node[c->depth] = x;
        c->at[c->depth++] = (uint16_t)i;
        if (x->leaf)
            break;
        x = x->child[i];
    }
    const struct tree_node *leaf = c->node[c->depth - 1];
    if (c->at[c->depth - 1] < leaf->n)
        return leaf->e[c->at[c->depth - 1]];
    c->at[c->depth - 1]--; /* behind the last entry of this leaf: the next leaf's first */
    return tree_next(c);
}

const void *tree_next(struct meta_cursor *c)
{
    while (c->depth > 0) {
        const struct tree_node *x = c->node[c->depth - 1];
        if (++c->at[c->depth - 1] < x->n)
            break;
        c->depth--;
    }
    if (c->depth == 0)
        return NULL;
    for (;;) {
        const struct tree_node *x = c->node[c->depth - 1];
        unsigned i = c->at[c->depth - 1];
        if (x->leaf)
            return x->e[i];
        CHECK(c->depth < (int)ARRAY_LEN(c->node));
        c->node[c->depth] = x->child[i];
        c->at[c->depth++] = 0;
    }
}

static void clear_below(struct meta_mem *m, struct tree_node *x)
{
    if (!x->leaf)
        for (unsigned i = 0; i < x->n; i++)
            clear_below(m, x->child[i]);
    meta_mem_drop(m, x, x->born);
}

void tree_clear(struct tree *t, struct meta_mem *m)
{
    if (t->root)
        clear_below(m, t->root);
    t->root = NULL;
    t->count = 0;
}
