/* index.c: one sparse index a segment, for offsets, positions and times alike. Entries gather in memory and go to the
 * file `<base>-<serial>.idx` in chunks that verify themselves; a chunk that is missing or damaged only makes the walk
 * from the last good entry longer. It is never synced and never trusted without its checksum.
 *
 * A chunk is 2048 bytes: up to 101 entries {u32 offset - segment base, u32 position, u32 ms, u32 flags, u32 crc},
 * zeros, then at 2032 {u32 "CKI2", u32 serial, u32 entries, u32 crc32c of all before}. `ms` is the largest timestamp of
 * all batches *before* the entry, minus the segment's first timestamp (0 when smaller; flag 1: too big to say). `crc`
 * is the CRC-32C of all bytes of the segment before the entry (seal.c). */
#include "store.h"

#include <stdlib.h>

enum { CHUNK_BYTES = 2048, TRAILER = 16, IDX_MAGIC = 0x32494b43 };

static uint32_t rel_ts(const struct st_seg *g, uint32_t *flags)
{
    int64_t d = g->max_ts - g->ts_base;
    *flags = d > UINT32_MAX;
    return g->max_ts < 0 || d < 0 ? 0 : d > UINT32_MAX ? UINT32_MAX : (uint32_t)d;
}

void idx_add(struct st_seg *g, const struct chronik_batch_info *b)
{
    if (g->bytes < g->idx_next || g->bytes == 0 || g->n_idx == ST_IDX_CHUNK)
        return;
    if (!g->idx && !(g->idx = malloc(ST_IDX_CHUNK * sizeof *g->idx)))
        return; /* walks get longer, that is all */
    struct st_idx_entry *e = &g->idx[g->n_idx++];
    e->rel_offset = (uint32_t)(b->base_offset - g->base);
    e->position = (uint32_t)g->bytes;
    e->rel_ts = rel_ts(g, &e->flags);
    e->crc = g->crc;
    g->idx_next = g->bytes + ST_IDX_EVERY;
}

static int32_t chunk_read(const struct st_seg *g, struct chronik_file *f, int32_t no, uint8_t buf[CHUNK_BYTES],
                          uint32_t *n)
{
    const struct chronik_host *h = g->s->h;
    int32_t r = util_read(h, f, buf, CHUNK_BYTES, (uint64_t)no * CHUNK_BYTES);
    if (r < 0)
        return r;
    const uint8_t *t = buf + CHUNK_BYTES - TRAILER;
    *n = get_le32(t + 8);
    if (get_le32(t) != IDX_MAGIC || get_le32(t + 4) != g->serial || *n == 0 || *n > ST_IDX_CHUNK ||
        get_le32(t + 12) != h->crc32c(0, buf, CHUNK_BYTES - 4))
        return CHRONIK_E_CORRUPT;
    return CHRONIK_DONE;
}

/* How many chunks of the file can be used: those that verify and lie below the segment's end. */
static int32_t chunks_count(const struct st_seg *g, struct chronik_file *f, uint64_t bytes)
{
    uint8_t buf[CHUNK_BYTES];
    uint64_t size = 0;
    uint32_t n;
    if (g->s->h->file_size(f, &size) < 0)
        return 0;
    int32_t count = (int32_t)min_u64(size / CHUNK_BYTES, 1 << 20);
    while (count > 0) {
        const struct st_idx_entry *e = (const struct st_idx_entry *)(const void *)buf;
        if (chunk_read(g, f, count - 1, buf, &n) > 0 && e[n - 1].position < bytes)
            break;
        count--;
    }
    return count;
}

static int32_t idx_open(const struct st_seg *g, uint32_t flags, struct chronik_file **f)
{
    char path[ST_PATH];
    seg_path(g, "idx", path);
    return g->s->h->file_open(g->s->h->ctx, g->dir->no, path, flags, f);
}

void idx_spill(chronik_store_part *p, struct st_seg *g)
{
    uint8_t buf[CHUNK_BYTES] = {0};
    pthread_mutex_lock(&p->mu);
    uint32_t n = g->n_idx;
    int32_t chunks = g->idx_chunks;
    uint64_t bytes = g->bytes;
    if (n)
        memcpy(buf, g->idx, n * sizeof *g->idx);
    pthread_mutex_unlock(&p->mu);
    if (n < ST_IDX_CHUNK && !(g->sealed && n))
        return;
    struct chronik_file *f;
    int32_t r = idx_open(g, CHRONIK_FILE_READ | CHRONIK_FILE_WRITE | CHRONIK_FILE_CREATE, &f);
    if (r > 0) {
        if (chunks < 0)
            chunks = chunks_count(g, f, ((struct st_idx_entry *)(void *)buf)[0].position);
        uint8_t *t = buf + CHUNK_BYTES - TRAILER;
        put_le32(t, IDX_MAGIC);
        put_le32(t + 4, g->serial);
        put_le32(t + 8, n);
        put_le32(t + 12, g->s->h->crc32c(0, buf, CHUNK_BYTES - 4));
        r = util_write(g->s->h, f, buf, CHUNK_BYTES, (uint64_t)chunks * CHUNK_BYTES);
        g->s->h->file_close(f);
    }
    pthread_mutex_lock(&p->mu);
    if (r > 0) {
        g->idx_chunks = chunks + 1;
        g->n_idx = 0;
    } else { /* no room: thin out what is in memory */
        for (uint32_t i = 0; i < n / 2; i++)
            g->idx[i] = g->idx[i * 2];
        g->n_idx = n / 2;
        g->idx_next = bytes + (uint64_t)ST_IDX_EVERY * 2;
    }
    if (g->sealed && g->n_idx == 0) {
        free(g->idx);
        g->idx = NULL;
    }
    pthread_mutex_unlock(&p->mu);
}

/* Whether the walk may begin at `e`. */
static int entry_before(const struct st_seg *g, const struct st_idx_entry *e, int by, int64_t key)
{
    if (by == IDX_OFFSET)
        return g->base + e->rel_offset <= key;
    if (by == IDX_POSITION)
        return (int64_t)e->position <= key;
    return !(e->flags & 1) && g->ts_base + (int64_t)e->rel_ts < key;
}

static void entries_search(const struct st_seg *g, const struct st_idx_entry *e, uint32_t n, int by, int64_t key,
                           uint64_t *position)
{
    uint32_t lo = 0;
    for (uint32_t hi = n; lo < hi;) {
        uint32_t mid = (lo + hi) / 2;
        if (entry_before(g, &e[mid], by, key))
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo && e[lo - 1].position > *position)
        *position = e[lo - 1].position;
}

/* ---- chunks that were read last ---- */

struct st_idx_chunk {
    const struct st_dir *dir; /* NULL: empty */
    uint32_t pn, serial, n;
    int32_t no;
    struct st_idx_entry e[ST_IDX_CHUNK];
};

static int kept_of(const struct st_idx_chunk *k, const struct st_seg *g)
{
    return k->dir == g->dir && k->pn == g->pn && k->serial == g->serial;
}

/* A chunk never changes once it is written, but when the index is cut or dropped. */
static void kept_put(const struct st_seg *g, int32_t no, const struct st_idx_entry *e, uint32_t n)
{
    chronik_store *s = g->s;
    pthread_mutex_lock(&s->imu);
    if (!s->chunks)
        s->chunks = calloc(ST_IDX_KEPT, sizeof *s->chunks);
    if (s->chunks) {
        struct st_idx_chunk *k = &s->chunks[s->next_chunk++ % ST_IDX_KEPT];
        *k = (struct st_idx_chunk){.dir = g->dir, .pn = g->pn, .serial = g->serial, .n = n, .no = no};
        memcpy(k->e, e, n * sizeof *e);
    }
    pthread_mutex_unlock(&s->imu);
}

static void kept_drop(const struct st_seg *g)
{
    chronik_store *s = g->s;
    pthread_mutex_lock(&s->imu);
    for (uint32_t i = 0; s->chunks && i < ST_IDX_KEPT; i++)
        if (kept_of(&s->chunks[i], g))
            s->chunks[i].dir = NULL;
    pthread_mutex_unlock(&s->imu);
}

/* 1 when a kept chunk holds the key: it begins before it, and does not end before it unless it is the last one. */
static int kept_search(const struct st_seg *g, int32_t chunks, int by, int64_t key, uint64_t *position)
{
    chronik_store *s = g->s;
    int found = 0;
    pthread_mutex_lock(&s->imu);
    for (uint32_t i = 0; s->chunks && !found && i < ST_IDX_KEPT; i++) {
        const struct st_idx_chunk *k = &s->chunks[i];
        found = kept_of(k, g) && k->no < chunks && entry_before(g, &k->e[0], by, key) &&
                (k->no == chunks - 1 || !entry_before(g, &k->e[k->n - 1], by, key));
        if (found)
            entries_search(g, k->e, k->n, by, key, position);
    }
    pthread_mutex_unlock(&s->imu);
    return found;
}

static void file_search(const struct st_seg *g, struct chronik_file *f, int32_t chunks, int by, int64_t key,
                        uint64_t *position)
{
    uint8_t buf[CHUNK_BYTES];
    const struct st_idx_entry *e = (const struct st_idx_entry *)(const void *)buf;
    uint32_t n;
    int32_t lo = 0;
    for (int32_t hi = chunks; lo < hi;) { /* the last chunk whose first entry is before the key */
        int32_t mid = (lo + hi) / 2;
        if (chunk_read(g, f, mid, buf, &n) < 0 || !entry_before(g, &e[0], by, key))
            hi = mid;
        else
            lo = mid + 1;
    }
    if (lo && chunk_read(g, f, lo - 1, buf, &n) > 0) {
        kept_put(g, lo - 1, e, n);
        entries_search(g, e, n, by, key, position);
    }
}

/* Counts them when nobody has since the start; what stands there of old is below the end of old. */
static int32_t chunks_known(chronik_store_part *p, struct st_seg *g, struct chronik_file *f, int32_t chunks)
{
    if (chunks >= 0)
        return chunks;
    pthread_mutex_lock(&p->mu);
    uint64_t end = g->old_bytes ? min_u64(g->old_bytes, g->bytes) : g->bytes;
    pthread_mutex_unlock(&p->mu);
    chunks = chunks_count(g, f, end);
    pthread_mutex_lock(&p->mu);
    if (g->idx_chunks < 0)
        g->idx_chunks = chunks;
    pthread_mutex_unlock(&p->mu);
    return chunks;
}

void idx_find(chronik_store_part *p, struct st_seg *g, int by, int64_t key, uint64_t *position)
{
    *position = 0;
    pthread_mutex_lock(&p->mu);
    int32_t chunks = g->idx_chunks;
    uint64_t bytes = g->bytes;
    if (g->n_idx)
        entries_search(g, g->idx, g->n_idx, by, key, position);
    int near = *position != 0;
    for (size_t i = 0; by == IDX_OFFSET && i < ARRAY_LEN(p->hints); i++) {
        const struct st_hint *t = &p->hints[i];
        if (t->serial != g->serial || t->offset > key || t->position < *position || t->position >= bytes)
            continue;
        *position = t->position;
        near |= t->offset == key;
    }
    pthread_mutex_unlock(&p->mu);
    if (near || chunks == 0 || bytes < ST_IDX_EVERY || kept_search(g, chunks, by, key, position))
        return;
    struct chronik_file *f;
    if (idx_open(g, CHRONIK_FILE_READ, &f) < 0)
        return;
    file_search(g, f, chunks_known(p, g, f, chunks), by, key, position);
    g->s->h->file_close(f);
}

/* ---- for checksums ---- */

/* 1 when `behind` was found. */
static int entries_anchor(const struct st_idx_entry *e, uint32_t n, uint64_t from, uint64_t to,
                          struct st_anchor *before, struct st_anchor *behind)
{
    for (uint32_t i = 0; i < n; i++) {
        if (e[i].position <= from && e[i].position >= before->position)
            *before = (struct st_anchor){e[i].position, e[i].crc, 0};
        if (e[i].position >= to) {
            *behind = (struct st_anchor){e[i].position, e[i].crc, 0};
            return 1;
        }
    }
    return 0;
}

static int file_anchor(const struct st_seg *g, struct chronik_file *f, int32_t chunks, uint64_t from, uint64_t to,
                       struct st_anchor *before, struct st_anchor *behind)
{
    uint8_t buf[CHUNK_BYTES];
    const struct st_idx_entry *e = (const struct st_idx_entry *)(const void *)buf;
    uint32_t n;
    int32_t lo = 0;
    for (int32_t hi = chunks; lo < hi;) {
        int32_t mid = (lo + hi) / 2;
        if (chunk_read(g, f, mid, buf, &n) < 0 || e[0].position > from)
            hi = mid;
        else
            lo = mid + 1;
    }
    for (int32_t i = lo ? lo - 1 : 0; i < chunks; i++)
        if (chunk_read(g, f, i, buf, &n) > 0 && entries_anchor(e, n, from, to, before, behind))
            return 1;
    return 0;
}

void idx_anchors(chronik_store_part *p, struct st_seg *g, uint64_t from, uint64_t to, struct st_anchor *before,
                 struct st_anchor *behind)
{
    struct st_idx_entry *copy = NULL;
    struct chronik_file *f;
    pthread_mutex_lock(&p->mu);
    int32_t chunks = g->idx_chunks;
    uint32_t n = g->n_idx;
    if (n && (copy = malloc(n * sizeof *copy)))
        memcpy(copy, g->idx, n * sizeof *copy);
    pthread_mutex_unlock(&p->mu);
    int found = 0;
    if (chunks && idx_open(g, CHRONIK_FILE_READ, &f) > 0) {
        found = file_anchor(g, f, chunks_known(p, g, f, chunks), from, to, before, behind);
        g->s->h->file_close(f);
    }
    if (!found && copy)
        entries_anchor(copy, n, from, to, before, behind);
    free(copy);
}

void idx_cut(struct st_seg *g)
{
    struct chronik_file *f;
    kept_drop(g);
    if (idx_open(g, CHRONIK_FILE_READ | CHRONIK_FILE_WRITE, &f) < 0)
        return; /* there is none */
    int32_t chunks = chunks_count(g, f, g->bytes);
    g->s->h->file_truncate(f, (uint64_t)chunks * CHUNK_BYTES); /* if it fails, a search that it misleads drops it */
    g->s->h->file_close(f);
}

void idx_drop(chronik_store_part *p, struct st_seg *g)
{
    struct chronik_file *f;
    pthread_mutex_lock(&p->mu);
    g->idx_chunks = 0;
    g->n_idx = 0;
    pthread_mutex_unlock(&p->mu);
    kept_drop(g);
    if (idx_open(g, CHRONIK_FILE_READ | CHRONIK_FILE_WRITE, &f) < 0)
        return;
    g->s->h->file_truncate(f, 0);
    g->s->h->file_close(f);
}
