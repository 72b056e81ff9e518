/* sim_disk.c: what a virtual disk holds, and what a power cut leaves of it. Nothing here knows handles, faults or time.
 * All choices come from the world's disk stream of the seed. */
#include <config.h>

#include "sim_disk.h"

#include <stdlib.h>

enum { VERSIONS_MAX = 6, SIZES_MAX = 16, DIRTY_MAX = 16384 };

static void *grow(void *p, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return p;
    *cap = *cap ? *cap * 2 : 8;
    p = realloc(p, *cap * size);
    CHECK(p);
    return p;
}

/* ---- inodes ---- */

struct sim_inode *inode_new(struct sim_disk *d, bool is_dir)
{
    struct sim_inode *i = calloc(1, sizeof *i);
    CHECK(i);
    i->disk = d;
    i->is_dir = is_dir;
    i->refs = 1;
    i->next = d->all;
    if (d->all)
        d->all->prev = i;
    d->all = i;
    return i;
}

void inode_ref(struct sim_inode *i)
{
    i->refs++;
}

static void page_drop_versions(struct sim_page *p)
{
    for (struct sim_ver *v = p->oldest, *next; v; v = next) {
        next = v->next;
        free(v);
    }
    p->oldest = p->newest = NULL;
    p->n_ver = 0;
}

static void page_free(struct sim_page *p)
{
    page_drop_versions(p);
    free(p->vol);
    free(p->dur);
    free(p);
}

static void entries_free(struct sim_entries *es)
{
    for (size_t k = 0; k < es->n; k++) {
        free(es->e[k].name);
        inode_unref(es->e[k].inode);
    }
    free(es->e);
    *es = (struct sim_entries){0};
}

static void dirop_free(struct sim_dirop *op)
{
    free(op->del);
    free(op->set);
    if (op->inode)
        inode_unref(op->inode);
}

static void inode_free(struct sim_inode *i)
{
    for (size_t c = 0; c < i->n_chunks; c++) {
        for (size_t k = 0; i->chunks[c] && k < CHUNK; k++)
            if (i->chunks[c][k])
                page_free(i->chunks[c][k]);
        free(i->chunks[c]);
    }
    i->disk->used -= i->charged;
    if (i->prev)
        i->prev->next = i->next;
    else
        i->disk->all = i->next;
    if (i->next)
        i->next->prev = i->prev;
    free(i->chunks);
    free(i->sizes);
    free(i->dirty);
    free(i->ops);
    free(i);
}

void inode_unref(struct sim_inode *i)
{
    CHECK(i->refs > 0);
    if (--i->refs > 0)
        return;
    entries_free(&i->vol);
    entries_free(&i->dur);
    CHECK(i->n_ops == 0);
    inode_free(i);
}

static void inode_dirty(struct sim_inode *i)
{
    struct sim_disk *d = i->disk;
    if (i->in_dirty)
        return;
    i->in_dirty = true;
    inode_ref(i);
    d->dirty = grow(d->dirty, d->n_dirty, &d->cap_dirty, sizeof *d->dirty);
    d->dirty[d->n_dirty++] = i;
}

/* Leaves the dirty list when nothing is pending any more. */
static void inode_maybe_clean(struct sim_inode *i)
{
    struct sim_disk *d = i->disk;
    if (!i->in_dirty || i->n_dirty || i->n_sizes || i->n_ops || i->size != i->durable_size)
        return;
    size_t k = 0;
    while (d->dirty[k] != i)
        k++;
    memmove(d->dirty + k, d->dirty + k + 1, (d->n_dirty - k - 1) * sizeof *d->dirty);
    d->n_dirty--;
    i->in_dirty = false;
    inode_unref(i);
}

/* ---- pages ---- */

struct sim_page *inode_page(struct sim_inode *i, uint64_t index, bool make)
{
    size_t c = index / CHUNK;
    if (c >= i->n_chunks) {
        if (!make)
            return NULL;
        i->chunks = realloc(i->chunks, (c + 1) * sizeof *i->chunks);
        CHECK(i->chunks);
        memset(i->chunks + i->n_chunks, 0, (c + 1 - i->n_chunks) * sizeof *i->chunks);
        i->n_chunks = c + 1;
    }
    if (!i->chunks[c]) {
        if (!make)
            return NULL;
        i->chunks[c] = calloc(CHUNK, sizeof(struct sim_page *));
        CHECK(i->chunks[c]);
    }
    struct sim_page **p = &i->chunks[c][index % CHUNK];
    if (!*p && make) {
        *p = calloc(1, sizeof **p);
        CHECK(*p);
        (*p)->index = index;
        (*p)->warm = true;
    }
    return *p;
}

static void charge(struct sim_inode *i, uint64_t pages)
{
    i->disk->used += pages - i->charged;
    i->charged = pages;
}

static void recount(struct sim_inode *i)
{
    uint64_t pages = i->reserved;
    for (size_t c = 0; c < i->n_chunks; c++)
        for (size_t k = 0; i->chunks[c] && k < CHUNK; k++)
            pages += i->chunks[c][k] && i->chunks[c][k]->vol && c * CHUNK + k >= i->reserved;
    charge(i, pages);
}

static bool page_fill(struct sim_inode *i, struct sim_page *p)
{
    if (p->vol)
        return true;
    if (p->index >= i->reserved) {
        if (i->disk->used >= i->disk->budget)
            return false;
        charge(i, i->charged + 1);
    }
    p->vol = calloc(1, PAGE);
    CHECK(p->vol);
    return true;
}

static void page_split(struct sim_inode *i, struct sim_page *p)
{
    if (p->split)
        return;
    CHECK(!p->dur);
    if (p->vol) {
        p->dur = malloc(PAGE);
        CHECK(p->dur);
        memcpy(p->dur, p->vol, PAGE);
    }
    p->split = true;
    i->dirty = grow(i->dirty, i->n_dirty, &i->cap_dirty, sizeof *i->dirty);
    i->dirty[i->n_dirty++] = p;
    inode_dirty(i);
}

/* The bytes of sector s in a version, or NULL when it does not cover it; zeros are shared. */
static const uint8_t *ver_sector(const struct sim_ver *v, unsigned s)
{
    static const uint8_t zeros[SECTOR];
    if (s < v->first || s >= (unsigned)v->first + v->n)
        return NULL;
    return v->zero ? zeros : v->data + (s - v->first) * SECTOR;
}

/* Puts a version's sectors into the durable page. */
static void page_apply(struct sim_page *p, const struct sim_ver *v)
{
    if (!p->dur) {
        p->dur = calloc(1, PAGE);
        CHECK(p->dur);
    }
    for (unsigned s = v->first; s < (unsigned)v->first + v->n; s++)
        memcpy(p->dur + s * SECTOR, ver_sector(v, s), SECTOR);
}

static void page_fold_oldest(struct sim_page *p)
{
    struct sim_ver *v = p->oldest;
    page_apply(p, v);
    p->oldest = v->next;
    if (!p->oldest)
        p->newest = NULL;
    p->n_ver--;
    free(v);
}

/* Remembers that sectors first..first+n-1 have just changed to what the page holds now. */
static void page_version(struct sim_inode *i, struct sim_page *p, unsigned first, unsigned n, uint64_t seq)
{
    bool zero = !p->vol;
    struct sim_ver *v = malloc(sizeof *v + (zero ? 0 : n * SECTOR));
    CHECK(v);
    *v = (struct sim_ver){.seq = seq, .first = (uint8_t)first, .n = (uint8_t)n, .zero = zero};
    if (!zero)
        memcpy(v->data, p->vol + first * SECTOR, n * SECTOR);
    if (p->newest)
        p->newest->next = v;
    else
        p->oldest = v;
    p->newest = v;
    /* The kernel writes back at any time; so do we, where memory would grow without bound. */
    if (++p->n_ver > VERSIONS_MAX)
        page_fold_oldest(p);
}

static void size_set(struct sim_inode *i, uint64_t size, uint64_t seq)
{
    if (i->size == size)
        return;
    i->size = size;
    if (i->n_sizes == SIZES_MAX) {
        i->durable_size = i->sizes[0].size;
        memmove(i->sizes, i->sizes + 1, --i->n_sizes * sizeof *i->sizes);
    }
    i->sizes = grow(i->sizes, i->n_sizes, &i->cap_sizes, sizeof *i->sizes);
    i->sizes[i->n_sizes++] = (struct sim_size){seq, size};
    inode_dirty(i);
}

/* Zeros over a hole change nothing: files that are written full of them in advance stay cheap. */
static bool fills_hole(struct sim_inode *i, struct sim_page *p, const uint8_t *b, uint64_t n)
{
    bool paid = p->index < i->reserved || i->disk->budget == UINT64_MAX;
    return !p->vol && !p->split && paid && b[0] == 0 && memcmp(b, b + 1, n - 1) == 0;
}

int32_t inode_write(struct sim_inode *i, uint64_t off, const void *from, uint64_t n)
{
    const uint8_t *b = from;
    uint64_t seq = ++i->disk->seq, end = off;
    while (n > 0) {
        uint64_t in = end % PAGE, step = n < PAGE - in ? n : PAGE - in;
        struct sim_page *p = inode_page(i, end / PAGE, true);
        if (!fills_hole(i, p, b, step)) {
            page_split(i, p);
            if (!page_fill(i, p))
                break;
            memcpy(p->vol + in, b, step);
            unsigned first = (unsigned)(in / SECTOR), last = (unsigned)((in + step - 1) / SECTOR);
            page_version(i, p, first, last - first + 1, seq);
        }
        p->warm = true;
        b += step;
        end += step;
        n -= step;
    }
    if (end > i->size)
        size_set(i, end, seq);
    if (i->n_dirty >= DIRTY_MAX)
        inode_sync(i, seq); /* the kernel's own writeback */
    return n == 0 ? CHRONIK_DONE : CHRONIK_E_NOSPC;
}

void inode_read(struct sim_inode *i, uint64_t off, void *to, uint64_t n)
{
    uint8_t *b = to;
    while (n > 0) {
        uint64_t in = off % PAGE, step = n < PAGE - in ? n : PAGE - in;
        struct sim_page *p = inode_page(i, off / PAGE, false);
        if (p && p->vol)
            memcpy(b, p->vol + in, step);
        else
            memset(b, 0, step);
        b += step;
        off += step;
        n -= step;
    }
}

/* The page's bytes from `from` on become zero; a whole page gives its room back. */
static void page_zero(struct sim_inode *i, struct sim_page *p, unsigned from, uint64_t seq)
{
    if (!p->vol)
        return;
    page_split(i, p);
    if (from == 0) {
        free(p->vol);
        p->vol = NULL;
    } else {
        memset(p->vol + from, 0, PAGE - from);
    }
    page_version(i, p, from / SECTOR, SECTORS - from / SECTOR, seq);
}

void inode_truncate(struct sim_inode *i, uint64_t size)
{
    uint64_t seq = ++i->disk->seq;
    if (size < i->size) {
        uint64_t last = (i->size + PAGE - 1) / PAGE;
        for (uint64_t k = size / PAGE; k < last && k / CHUNK < i->n_chunks; k++) {
            struct sim_page *p = inode_page(i, k, false);
            if (p)
                page_zero(i, p, k == size / PAGE ? (unsigned)(size % PAGE) : 0, seq);
        }
        uint64_t pages = (size + PAGE - 1) / PAGE;
        i->reserved = pages < i->reserved ? pages : i->reserved;
        recount(i);
    }
    size_set(i, size, seq);
}

int32_t inode_allocate(struct sim_inode *i, uint64_t end)
{
    uint64_t pages = (end + PAGE - 1) / PAGE, was = i->reserved;
    if (pages > i->reserved)
        i->reserved = pages;
    recount(i);
    if (i->disk->used > i->disk->budget) {
        i->reserved = was;
        recount(i);
        return CHRONIK_E_NOSPC;
    }
    if (end > i->size)
        size_set(i, end, ++i->disk->seq);
    return CHRONIK_DONE;
}

/* True when durable and volatile are one again. */
static bool page_sync(struct sim_page *p, uint64_t started)
{
    while (p->oldest && p->oldest->seq <= started)
        page_fold_oldest(p);
    if (p->oldest || p->lost)
        return false;
    free(p->dur);
    p->dur = NULL;
    p->split = false;
    return true;
}

void inode_sync(struct sim_inode *i, uint64_t started)
{
    size_t keep = 0;
    for (size_t k = 0; k < i->n_dirty; k++)
        if (!page_sync(i->dirty[k], started))
            i->dirty[keep++] = i->dirty[k];
    i->n_dirty = keep;
    size_t done = 0;
    for (; done < i->n_sizes && i->sizes[done].seq <= started; done++)
        i->durable_size = i->sizes[done].size;
    if (done > 0) {
        memmove(i->sizes, i->sizes + done, (i->n_sizes - done) * sizeof *i->sizes);
        i->n_sizes -= done;
    }
    inode_maybe_clean(i);
}

void inode_lose(struct sim_inode *i)
{
    for (size_t k = 0; k < i->n_dirty; k++) {
        i->dirty[k]->lost = i->dirty[k]->lost || i->dirty[k]->oldest;
        page_drop_versions(i->dirty[k]);
    }
    i->n_sizes = 0;
}

void inode_flip(struct sim_inode *i, uint64_t bit)
{
    struct sim_page *p = inode_page(i, bit / 8 / PAGE, true);
    size_t at = bit / 8 % PAGE, sector = at / SECTOR;
    uint8_t mask = (uint8_t)(1u << bit % 8);
    bool fresh = !p->vol;
    CHECK(!fresh || !p->split); /* a hole that is being punched has no bit of its own */
    if (fresh)
        CHECK(page_fill(i, p));
    p->vol[at] ^= mask;
    if (p->dur)
        p->dur[at] ^= mask;
    for (struct sim_ver *v = p->oldest; v; v = v->next)
        if (!v->zero && sector >= v->first && sector < (size_t)v->first + v->n)
            v->data[at - (size_t)v->first * SECTOR] ^= mask;
}

void sim_inode_copy(struct sim_inode *i, uint64_t off, void *p, size_t n)
{
    inode_read(i, off, p, n);
}

void sim_inode_unpin(struct sim_inode *i)
{
    inode_unref(i);
}

/* ---- names ---- */

static size_t entries_at(const struct sim_entries *es, const char *name, bool *found)
{
    size_t lo = 0, hi = es->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (strcmp(es->e[mid].name, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *found = lo < es->n && strcmp(es->e[lo].name, name) == 0;
    return lo;
}

static void entries_set(struct sim_entries *es, const char *name, struct sim_inode *inode)
{
    bool found;
    size_t at = entries_at(es, name, &found);
    inode_ref(inode);
    if (found) {
        inode_unref(es->e[at].inode);
        es->e[at].inode = inode;
        return;
    }
    es->e = grow(es->e, es->n, &es->cap, sizeof *es->e);
    memmove(es->e + at + 1, es->e + at, (es->n - at) * sizeof *es->e);
    es->e[at] = (struct sim_entry){strdup(name), inode};
    CHECK(es->e[at].name);
    es->n++;
}

static void entries_del(struct sim_entries *es, const char *name)
{
    bool found;
    size_t at = entries_at(es, name, &found);
    if (!found)
        return;
    free(es->e[at].name);
    inode_unref(es->e[at].inode);
    memmove(es->e + at, es->e + at + 1, (es->n - at - 1) * sizeof *es->e);
    es->n--;
}

static void dirop_apply(struct sim_entries *es, const struct sim_dirop *op)
{
    if (op->del)
        entries_del(es, op->del);
    if (op->set)
        entries_set(es, op->set, op->inode);
}

struct sim_inode *dir_find(struct sim_inode *dir, const char *name)
{
    bool found;
    size_t at = entries_at(&dir->vol, name, &found);
    return found ? dir->vol.e[at].inode : NULL;
}

void dir_change(struct sim_inode *dir, const char *del, const char *set, struct sim_inode *inode)
{
    dir->ops = grow(dir->ops, dir->n_ops, &dir->cap_ops, sizeof *dir->ops);
    struct sim_dirop *op = &dir->ops[dir->n_ops++];
    *op = (struct sim_dirop){.seq = ++dir->disk->seq, .inode = inode};
    op->del = del ? strdup(del) : NULL;
    op->set = set ? strdup(set) : NULL;
    CHECK((!del || op->del) && (!set || op->set));
    if (inode)
        inode_ref(inode);
    inode_dirty(dir);
    dirop_apply(&dir->vol, op);
}

void dir_sync(struct sim_inode *dir, uint64_t started)
{
    size_t done = 0;
    for (; done < dir->n_ops && dir->ops[done].seq <= started; done++) {
        dirop_apply(&dir->dur, &dir->ops[done]);
        dirop_free(&dir->ops[done]);
    }
    if (done > 0) {
        memmove(dir->ops, dir->ops + done, (dir->n_ops - done) * sizeof *dir->ops);
        dir->n_ops -= done;
    }
    inode_maybe_clean(dir);
}

/* ---- the power cut ---- */

/* How this cut treats what was not synced: all of it gone, all of it there, or a part. */
struct luck {
    struct sim_rng *rng;
    enum { NOTHING, EVERYTHING, SOME } mode;
    unsigned permille;
};

static struct luck draw(struct sim_rng *r)
{
    static const unsigned permille[] = {10, 100, 300, 500, 700, 900, 990};
    uint64_t k = rng_below(r, 8);
    return (struct luck){r, k == 0 ? NOTHING : k == 1 ? EVERYTHING : SOME, permille[rng_below(r, ARRAY_LEN(permille))]};
}

static bool survives(struct luck *l)
{
    return l->mode == EVERYTHING || (l->mode == SOME && rng_permille(l->rng, l->permille));
}

/* What sector s of the page is after the cut, written into the durable page. */
static void cut_sector(struct sim_inode *i, struct sim_page *p, unsigned s, struct luck *l)
{
    const uint8_t *chosen = NULL;
    unsigned covering = 0;
    for (struct sim_ver *v = p->oldest; v; v = v->next) {
        const uint8_t *data = ver_sector(v, s);
        if (!data)
            continue;
        covering++;
        if (l->mode == EVERYTHING || rng_below(l->rng, covering) == 0)
            chosen = data;
    }
    if (!chosen || !survives(l))
        return;
    if (!p->dur) {
        p->dur = calloc(1, PAGE);
        CHECK(p->dur);
    }
    bool torn = rng_permille(l->rng, i->disk->tear_permille);
    memcpy(p->dur + s * SECTOR, chosen, torn ? (size_t)rng_below(l->rng, SECTOR) : SECTOR);
}

static void cut_page(struct sim_inode *i, struct sim_page *p, struct luck *l)
{
    for (unsigned s = 0; s < SECTORS; s++)
        cut_sector(i, p, s, l);
    page_drop_versions(p);
    free(p->vol);
    p->vol = p->dur;
    p->dur = NULL;
    p->split = p->lost = false;
}

static void cut_file(struct sim_inode *i, struct luck *l)
{
    if (i->n_sizes && survives(l))
        i->durable_size = i->sizes[l->mode == EVERYTHING ? i->n_sizes - 1 : rng_below(l->rng, i->n_sizes)].size;
    for (size_t k = 0; k < i->n_dirty; k++)
        cut_page(i, i->dirty[k], l);
    i->n_dirty = i->n_sizes = 0;
    i->size = i->durable_size;
    for (uint64_t k = i->size / PAGE; k / CHUNK < i->n_chunks; k++) {
        struct sim_page *p = inode_page(i, k, false);
        unsigned from = k == i->size / PAGE ? (unsigned)(i->size % PAGE) : 0;
        if (p && p->vol)
            memset(p->vol + from, 0, PAGE - from);
    }
    i->reserved = 0;
    recount(i);
}

static void cut_dir(struct sim_inode *i, struct luck *l)
{
    for (size_t k = 0; k < i->n_ops; k++) {
        if (survives(l))
            dirop_apply(&i->dur, &i->ops[k]);
        dirop_free(&i->ops[k]);
    }
    i->n_ops = 0;
    entries_free(&i->vol);
    for (size_t k = 0; k < i->dur.n; k++)
        entries_set(&i->vol, i->dur.e[k].name, i->dur.e[k].inode);
}

static void cool(struct sim_disk *d)
{
    for (struct sim_inode *i = d->all; i; i = i->next)
        for (size_t c = 0; c < i->n_chunks; c++)
            for (size_t k = 0; i->chunks[c] && k < CHUNK; k++)
                if (i->chunks[c][k])
                    i->chunks[c][k]->warm = false;
}

/* Handles are gone already: only entries keep inodes. */
void sim_disk_cut(struct sim_disk *d)
{
    struct luck whole = draw(&d->node->w->disk);
    sim_disk_killed(d);
    while (d->n_dirty) {
        struct sim_inode *i = d->dirty[0];
        /* Now and then each file has its own luck. */
        struct luck own = rng_below(&d->node->w->disk, 2) ? whole : draw(&d->node->w->disk);
        if (i->is_dir)
            cut_dir(i, &own);
        else
            cut_file(i, &own);
        inode_maybe_clean(i);
        CHECK(d->n_dirty == 0 || d->dirty[0] != i);
    }
    cool(d);
}

void sim_disk_settle(struct os *os)
{
    struct sim_disk *d = node_of(os)->disk;
    for (size_t k = d->n_dirty; k-- > 0;) {
        if (d->dirty[k]->is_dir)
            dir_sync(d->dirty[k], d->seq);
        else
            inode_sync(d->dirty[k], d->seq);
    }
}
