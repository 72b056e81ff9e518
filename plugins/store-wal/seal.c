/* seal.c: the checksum of a segment, kept while it grows, and the proof that bytes from before this process are still
 * what was acknowledged, made before they are served. It owns `crc` of a segment and what of its old bytes was proved;
 * both are under part->mu, files are read without it.
 *
 * A segment's checksum is the CRC-32C of all its bytes. It grows batch by batch from the batch's own checksum (which
 * whoever appends has checked) and the 21 bytes in front of it, so the bytes are not read again. The manifest holds it
 * for each segment, an index entry for the bytes in front of the entry: any span between two entries can be proved
 * alone. Where an index contradicts, the manifest decides. */
#include "store.h"

#include <stdlib.h>

enum { PIECE = 128 * 1024, GRAIN = 64 * 1024, CRC_AT = 17, COVERED = 21 };
#define POLY UINT32_C(0x82f63b78) /* CRC-32C, reflected: bit 31 is x^0 */

/* ---- checksums ---- */

/* a * b mod P */
static uint32_t times(uint32_t a, uint32_t b)
{
    uint32_t sum = 0;
    for (; a; a <<= 1) {
        sum ^= a & 0x80000000u ? b : 0;
        b = b & 1 ? (b >> 1) ^ POLY : b >> 1;
    }
    return sum;
}

/* x^(8 n) mod P: what a checksum is multiplied with when n bytes follow. Batches seldom have one size: a product for
 * each bit of it that is set, nothing else. */
static uint32_t shift_of(uint64_t n)
{
    static const uint32_t powers[32] = {
        /* x^8, then each the square of the one before */
        0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18, 0x510ac59a, 0xb82be955, 0xb8fdb1e7,
        0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62, 0x28461564, 0xbf455269, 0xe2ea32dc,
        0xfe7740e6, 0xf946610b, 0x3c204f8f, 0x538586e3, 0x59726915, 0x734d5309, 0xbc1ac763, 0x7d0722cc,
        0xd289cabe, 0xe94ca9bc, 0x05b74f3f, 0xa51e1f42, 0x40000000, 0x20000000, 0x08000000, 0x00800000,
    };
    uint32_t r = 0x80000000u; /* x^0 */
    CHECK(n >> 32 == 0);
    for (uint32_t left = (uint32_t)n; left; left &= left - 1)
        r = times(powers[__builtin_ctz(left)], r);
    return r;
}

uint32_t seal_next(struct st_seg *g, const uint8_t head[ST_SEAL_HEAD], uint64_t bytes)
{
    uint32_t crc = g->s->h->crc32c(g->crc, head, COVERED), body = __builtin_bswap32(get_le32(head + CRC_AT));
    if (g->shift_n != bytes) {
        g->shift_n = bytes;
        g->shift = shift_of(bytes - COVERED);
    }
    return times(g->shift, crc) ^ body;
}

/* ---- proving ---- */

/* The checksum of the file's bytes [from, to) behind `crc`. E_RANGE when the file is shorter. */
static int32_t file_crc(const struct st_seg *g, struct chronik_file *f, uint64_t from, uint64_t to, uint32_t flags,
                        uint32_t *crc)
{
    const struct chronik_host *h = g->s->h;
    uint8_t *buf = malloc(PIECE);
    int32_t r = buf ? CHRONIK_DONE : CHRONIK_E_NOMEM;
    while (r > 0 && from < to) {
        uint64_t n = min_u64(PIECE, to - from), got = 0;
        r = h->file_read(f, buf, n, from, flags, &got);
        if (r > 0 && got < n)
            r = flags & CHRONIK_READ_NOWAIT ? CHRONIK_E_AGAIN : CHRONIK_E_RANGE;
        if (r > 0)
            *crc = h->crc32c(*crc, buf, n);
        from += n;
    }
    free(buf);
    return r > 0 ? CHRONIK_DONE : r;
}

int32_t seal_prefix(chronik_store_part *p, struct st_seg *g, struct chronik_file *f, uint64_t position, uint32_t *crc)
{
    struct st_anchor from = {0}, behind = {.position = UINT64_MAX};
    idx_anchors(p, g, position, UINT64_MAX, &from, &behind);
    *crc = from.crc;
    return file_crc(g, f, from.position, position, 0, crc);
}

/* Where in [from, to) the first batch begins that is none, or whose own checksum is wrong; `to` when there is none. */
static uint64_t bad_batch(const struct st_seg *g, struct chronik_file *f, uint64_t from, uint64_t to)
{
    struct st_batch b;
    int64_t end = g->base;
    while (from < to) {
        uint32_t crc = 0;
        if (batch_read(g->s, f, from, 0, &b) < 0 || b.base < end || b.bytes > to - from ||
            file_crc(g, f, from + COVERED, from + b.bytes, 0, &crc) < 0 || crc != b.crc)
            return from;
        end = b.last + 1;
        from += b.bytes;
    }
    return to;
}

static int32_t damaged(chronik_store_part *p, struct st_seg *g, struct chronik_file *f, uint64_t from, uint64_t to)
{
    uint64_t at = bad_batch(g, f, from, to), size = to;
    g->s->h->file_size(f, &size);
    return seg_damaged(p, g, at < to ? at : from,
                       size < to ? CHRONIK_E_RANGE
                       : at < to ? CHRONIK_E_CORRUPT
                                 : CHRONIK_E_STALE);
}

/* The index contradicts the bytes: the manifest's checksum of them all decides who is right. */
static int32_t judge(chronik_store_part *p, struct st_seg *g, struct chronik_file *f, const struct st_anchor *from,
                     const struct st_anchor *to, const struct st_anchor *whole)
{
    uint32_t crc = 0;
    char path[ST_PATH];
    int32_t r = from->position == 0 && to->position == whole->position ? CHRONIK_E_CORRUPT
                                                                       : file_crc(g, f, 0, whole->position, 0, &crc);
    if (r > 0 && crc == whole->crc) {
        seg_path(g, "idx", path);
        util_log(g->s->h, CHRONIK_LOG_WARN, "store %s: file %s is damaged; it is dropped, searches walk the segment",
                 p->dir->path, path);
        idx_drop(p, g);
        return CHRONIK_DONE;
    }
    if (r < 0 && r != CHRONIK_E_CORRUPT && r != CHRONIK_E_RANGE)
        return seg_damaged(p, g, from->position, r);
    return damaged(p, g, f, from->position, to->position);
}

/* Proves a span that holds [from, to) of the first whole->position bytes; *upto gets its end. */
static int32_t span_prove(chronik_store_part *p, struct st_seg *g, struct chronik_file *f, uint64_t from, uint64_t to,
                          const struct st_anchor *whole, uint32_t flags, struct st_anchor *a, struct st_anchor *b)
{
    *a = (struct st_anchor){0};
    *b = *whole;
    idx_anchors(p, g, from, to, a, b);
    if (b->position > whole->position)
        *b = *whole;
    uint32_t crc = a->crc;
    int32_t r = file_crc(g, f, a->position, b->position, flags, &crc);
    if (r > 0 && crc == b->crc)
        return CHRONIK_DONE;
    if (r > 0 || r == CHRONIK_E_RANGE) {
        r = judge(p, g, f, a, b, whole);
        if (r > 0) { /* all of it is proved */
            *a = (struct st_anchor){0};
            *b = *whole;
        }
        return r;
    }
    return seg_damaged(p, g, a->position, r);
}

/* mu held: how far behind `from` all is proved. */
static uint64_t proved_to(const struct st_seg *g, uint64_t from)
{
    uint64_t k = from / GRAIN;
    if (!g->proved)
        return from;
    while (k * GRAIN < g->old_bytes && (g->proved[k / 8] >> k % 8 & 1))
        k++;
    return k * GRAIN > from ? k * GRAIN : from;
}

static void mark_proved(chronik_store_part *p, struct st_seg *g, uint64_t from, uint64_t to)
{
    pthread_mutex_lock(&p->mu);
    uint64_t n = g->old_bytes / GRAIN + 1;
    if (!g->proved)
        g->proved = calloc(n / 8 + 1, 1); /* without it, it is proved again */
    for (uint64_t k = (from + GRAIN - 1) / GRAIN; g->proved && k < n; k++)
        if ((k + 1) * GRAIN <= to || (to >= g->old_bytes && k * GRAIN < to))
            g->proved[k / 8] |= (uint8_t)(1u << k % 8);
    pthread_mutex_unlock(&p->mu);
}

int32_t seal_check(chronik_store_part *p, struct st_seg *g, struct chronik_file *f, uint64_t from, uint64_t to,
                   uint32_t flags)
{
    struct st_anchor a, b;
    if (MUTANT("old-bytes-not-proved"))
        return CHRONIK_DONE;
    for (;;) {
        pthread_mutex_lock(&p->mu);
        struct st_anchor whole = {g->old_bytes, g->old_crc, 0};
        uint64_t done = proved_to(g, from), stop = min_u64(to, g->old_bytes);
        int known = g->crc_known;
        pthread_mutex_unlock(&p->mu);
        if (done >= stop || !known)
            return CHRONIK_DONE;
        int32_t r = span_prove(p, g, f, done - done % GRAIN, min_u64(whole.position, round_up64(stop, GRAIN)), &whole,
                               flags, &a, &b);
        if (r < 0)
            return r;
        mark_proved(p, g, a.position, b.position);
        if (b.position >= stop)
            return CHRONIK_DONE;
        from = b.position;
    }
}

void seal_old(struct st_seg *g)
{
    g->old_bytes = g->bytes;
    g->old_crc = g->crc;
}

int32_t seal_scrub(chronik_store_part *p, struct st_seg *g, uint64_t from, uint64_t most, uint64_t *upto)
{
    struct st_anchor a = {0}, b = {0};
    struct chronik_file *f;
    pthread_mutex_lock(&p->mu);
    struct st_anchor whole = {g->bytes, g->crc, 0};
    int known = g->crc_known;
    pthread_mutex_unlock(&p->mu);
    *upto = whole.position;
    if (from >= whole.position || atomic_load(&g->doomed))
        return CHRONIK_DONE;
    int32_t r = seg_get(g, 0, &f);
    if (r < 0)
        return atomic_load(&g->doomed) ? CHRONIK_DONE : seg_damaged(p, g, 0, r);
    if (known) {
        r = span_prove(p, g, f, from, min_u64(from + most, whole.position), &whole, 0, &a, &b);
        *upto = b.position;
    } else if (bad_batch(g, f, 0, whole.position) < whole.position) {
        r = damaged(p, g, f, 0, whole.position);
    }
    seg_put(g);
    return r;
}
