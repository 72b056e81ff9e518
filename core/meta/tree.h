/* tree.h: a persistent ordered map: changing it copies the path from the root, so that an older root still sees the
 * older map. Within one batch a node is copied once and then changed in place. Entries are objects that know their key;
 * the tree stores pointers and never frees an entry. One writer; any number of readers of published roots. */
#ifndef CHRONIK_META_TREE_H
#define CHRONIK_META_TREE_H

#include "meta/image.h"
#include "meta/mem.h"

#define META_TREE_FAN 32

struct tree_node {
    uint64_t born;
    uint16_t n;
    uint16_t leaf;
    const void *e[META_TREE_FAN]; /* leaf: the entries; inner: the least entry below each child */
    /* inner nodes have META_TREE_FAN child pointers behind this struct */
    struct tree_node *child[];
};

/* The key of an entry: sets *n, returns the bytes. */
typedef const void *(*tree_key_fn)(const void *entry, size_t *n);

struct tree {
    struct tree_node *root; /* NULL: empty */
    tree_key_fn key;
    uint64_t count;
};

const void *tree_find(const struct tree *t, const void *key, size_t n);
/* Adds or replaces; the entry that was there before, or NULL. */
const void *tree_put(struct tree *t, struct meta_mem *m, const void *entry);
/* Removes; what was there, or NULL. */
const void *tree_del(struct tree *t, struct meta_mem *m, const void *key, size_t n);
/* The first entry with a key >= (key, n), then the next ones; NULL at the end. */
const void *tree_seek(const struct tree *t, struct meta_cursor *c, const void *key, size_t n);
const void *tree_next(struct meta_cursor *c);
/* Retires all nodes (not the entries); the map is empty. */
void tree_clear(struct tree *t, struct meta_mem *m);

#endif
