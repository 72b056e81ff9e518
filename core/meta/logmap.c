/* logmap.c: which entry of the engine's log holds which command. The log knows indexes, __meta knows sequence numbers;
 * an anchor every few hundred commands and the list of refused entries are enough to count in between. This node's own
 * knowledge, not part of the state. All under m->lock. */
#include <stdlib.h>

#include "meta/meta_int.h"

enum { ANCHOR_EVERY = 256 };

/* Local rows of the checkpoint: a zero byte and a letter, which no row of the state begins with. */
static void local_row(struct meta_buf *delta, char letter, uint64_t key, uint64_t value)
{
    mb_uv(delta, 10);
    mb_u8(delta, 0);
    mb_u8(delta, (uint8_t)letter);
    mb_be64(delta, key);
    mb_uv(delta, 8 + 1);
    mb_be64(delta, value);
}

static void add_anchor(struct logmap *l, uint64_t seq, uint64_t index)
{
    if (l->n_anchors == l->cap_anchors) {
        l->cap_anchors = l->cap_anchors ? l->cap_anchors * 2 : 64;
        l->anchor = meta_xrealloc(l->anchor, l->cap_anchors * sizeof *l->anchor);
    }
    l->anchor[l->n_anchors].seq = seq;
    l->anchor[l->n_anchors++].index = index;
}

static void add_skipped(struct logmap *l, uint64_t index)
{
    if (l->n_skipped == l->cap_skipped) {
        l->cap_skipped = l->cap_skipped ? l->cap_skipped * 2 : 64;
        l->skipped = meta_xrealloc(l->skipped, l->cap_skipped * sizeof *l->skipped);
    }
    l->skipped[l->n_skipped++] = index;
}

void logmap_applied(struct meta *m, uint64_t index, uint64_t first_seq, struct meta_buf *delta)
{
    struct logmap *l = &m->map;
    if (l->n_anchors && first_seq < l->anchor[l->n_anchors - 1].seq + ANCHOR_EVERY)
        return;
    add_anchor(l, first_seq, index);
    if (delta)
        local_row(delta, 'L', first_seq, index);
}

void logmap_skipped(struct meta *m, uint64_t index, struct meta_buf *delta)
{
    if (m->map.n_anchors == 0)
        return;
    add_skipped(&m->map, index);
    if (delta)
        local_row(delta, 'X', index, 0);
}

void logmap_reset(struct meta *m)
{
    free(m->map.anchor);
    free(m->map.skipped);
    m->map = (struct logmap){0};
}

void logmap_rows(const struct logmap *l, struct meta_buf *delta)
{
    for (size_t i = 0; i < l->n_anchors; i++)
        local_row(delta, 'L', l->anchor[i].seq, l->anchor[i].index);
    for (size_t i = 0; i < l->n_skipped; i++)
        local_row(delta, 'X', l->skipped[i], 0);
}

bool logmap_load(struct logmap *l, const uint8_t *k, size_t kn, const uint8_t *v, size_t vn)
{
    if (kn != 10 || vn != 8)
        return false;
    uint64_t key = get_be64(k + 2), value = get_be64(v);
    if (k[1] == 'L' && (!l->n_anchors || l->anchor[l->n_anchors - 1].seq < key))
        add_anchor(l, key, value);
    else if (k[1] == 'X' && (!l->n_skipped || l->skipped[l->n_skipped - 1] < key))
        add_skipped(l, key);
    else
        return false;
    return true;
}

void logmap_trim(struct logmap *l, uint64_t first_index)
{
    size_t n = 0;
    while (n < l->n_anchors && l->anchor[n].index < first_index)
        n++;
    if (n) {
        l->n_anchors -= n;
        memmove(l->anchor, l->anchor + n, l->n_anchors * sizeof *l->anchor);
    }
    for (n = 0; n < l->n_skipped && l->skipped[n] < first_index;)
        n++;
    if (n) {
        l->n_skipped -= n;
        memmove(l->skipped, l->skipped + n, l->n_skipped * sizeof *l->skipped);
    }
}
