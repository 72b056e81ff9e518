/* codec.c: gzip, snappy, lz4 and zstd by their libraries. It trusts no length in the packed bytes: output grows with
 * what really comes out, up to the caller's bound. Snappy comes raw or in the chunks of the xerial stream (magic, two
 * versions, then length and raw block each). */
#define ZLIB_CONST
#include "wire/codec.h"

#include <chronik/base.h>

#include <limits.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

static const char *const names[] = {"none", "gzip", "snappy", "lz4", "zstd"};

const char *codec_name(int codec)
{
    return codec >= 0 && codec < CODEC_END ? names[codec] : NULL;
}

int codec_by_name(const char *name)
{
    for (int i = 0; i < CODEC_END; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

/* ---- the buffer ---- */

void codec_buf_free(struct codec_buf *b)
{
    free(b->p);
    *b = (struct codec_buf){0};
}

bool codec_buf_reserve(struct codec_buf *b, size_t n)
{
    if (LIKELY(b->cap - b->n >= n))
        return true;
    size_t want;
    if (__builtin_add_overflow(b->n, n, &want))
        return false;
    size_t cap = max_size(max_size(want, 2 * b->cap), 1024);
    uint8_t *p = realloc(b->p, cap);
    if (!p)
        return false;
    b->p = p;
    b->cap = cap;
    return true;
}

static int32_t no_memory(struct err *e)
{
    return err_set(e, CHRONIK_E_NOMEM, "a compressed batch cannot be handled: out of memory");
}

/* Room for some more output of at most `limit` in all; more than `guess` when that is not much. */
static int32_t more_room(struct codec_buf *out, size_t guess, size_t limit, struct err *e)
{
    if (out->n >= limit)
        return err_set(e, CHRONIK_E_TOOBIG, "a compressed batch unpacks to more than %zu bytes", limit);
    size_t room = min_size(max_size(max_size(guess, out->n), 4096), limit - out->n);
    return codec_buf_reserve(out, room) ? CHRONIK_DONE : no_memory(e);
}

/* The part of the buffer that may be filled without passing the limit. */
static size_t room_of(const struct codec_buf *out, size_t limit)
{
    return min_size(out->cap, limit) - out->n;
}

static int32_t damaged(struct err *e, int codec)
{
    return err_set(e, CHRONIK_E_CORRUPT, "the %s data of a batch is damaged", names[codec]);
}

/* ---- gzip ---- */

static int32_t unpack_gzip(const uint8_t *p, size_t n, struct codec_buf *out, size_t limit, struct err *e)
{
    if (n > UINT_MAX)
        return err_set(e, CHRONIK_E_TOOBIG, "a gzip batch of %zu bytes", n);
    z_stream z = {.next_in = (const Bytef *)p, .avail_in = (uInt)n};
    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return no_memory(e);
    int32_t rc = CHRONIK_DONE;
    for (int zrc = Z_OK; rc > 0;) {
        if (zrc == Z_STREAM_END && !z.avail_in)
            break;
        if (zrc == Z_STREAM_END && inflateReset(&z) != Z_OK) /* another member follows */
            rc = damaged(e, CODEC_GZIP);
        if (rc > 0)
            rc = more_room(out, 4 * n, limit, e);
        if (rc < 0)
            break;
        size_t room = min_size(room_of(out, limit), UINT_MAX);
        z.next_out = out->p + out->n;
        z.avail_out = (uInt)room;
        zrc = inflate(&z, Z_NO_FLUSH);
        size_t made = room - z.avail_out;
        out->n += made;
        bool stuck = zrc == Z_BUF_ERROR || (zrc == Z_OK && !z.avail_in && z.avail_out);
        if ((zrc != Z_OK && zrc != Z_STREAM_END) || stuck)
            rc = damaged(e, CODEC_GZIP);
    }
    inflateEnd(&z);
    return rc;
}

static int32_t pack_gzip(int level, const uint8_t *p, size_t n, struct codec_buf *out, struct err *e)
{
    z_stream z = {0};
    if (n > UINT_MAX / 2 || deflateInit2(&z, level == INT32_MIN ? Z_DEFAULT_COMPRESSION : level, Z_DEFLATED, 15 + 16, 8,
                                         Z_DEFAULT_STRATEGY) != Z_OK)
        return err_set(e, CHRONIK_E_INVAL, "gzip refuses level %d or %zu bytes", level, n);
    size_t bound = deflateBound(&z, (uLong)n);
    int32_t rc = codec_buf_reserve(out, bound) ? CHRONIK_DONE : no_memory(e);
    if (rc > 0) {
        z.next_in = (const Bytef *)p;
        z.avail_in = (uInt)n;
        z.next_out = out->p + out->n;
        z.avail_out = (uInt)bound;
        CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
        out->n += bound - z.avail_out;
    }
    deflateEnd(&z);
    return rc;
}

/* ---- snappy ---- */

static const uint8_t xerial_head[16] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1};
enum { XERIAL_MAGIC = 8, XERIAL_BLOCK = 32 * 1024 };

static int32_t unpack_snappy_block(const uint8_t *p, size_t n, struct codec_buf *out, size_t limit, struct err *e)
{
    size_t size;
    if (snappy_uncompressed_length((const char *)p, n, &size) != SNAPPY_OK)
        return damaged(e, CODEC_SNAPPY);
    if (size > limit - out->n)
        return err_set(e, CHRONIK_E_TOOBIG, "a compressed batch unpacks to more than %zu bytes", limit);
    if (size > 64 && size / 64 > n) /* no snappy block packs better than 64 bytes in 3 */
        return damaged(e, CODEC_SNAPPY);
    if (!codec_buf_reserve(out, size))
        return no_memory(e);
    if (snappy_uncompress((const char *)p, n, (char *)out->p + out->n, &size) != SNAPPY_OK)
        return damaged(e, CODEC_SNAPPY);
    out->n += size;
    return CHRONIK_DONE;
}

static int32_t unpack_snappy(const uint8_t *p, size_t n, struct codec_buf *out, size_t limit, struct err *e)
{
    if (n < sizeof xerial_head || memcmp(p, xerial_head, XERIAL_MAGIC) != 0)
        return unpack_snappy_block(p, n, out, limit, e);
    const uint8_t *end = p + n;
    while (p < end) {
        if ((size_t)(end - p) >= sizeof xerial_head && memcmp(p, xerial_head, XERIAL_MAGIC) == 0) {
            p += sizeof xerial_head; /* streams may be concatenated */
            continue;
        }
        if (end - p < 4 || get_be32(p) > (size_t)(end - p) - 4)
            return damaged(e, CODEC_SNAPPY);
        size_t block = get_be32(p);
        int32_t rc = unpack_snappy_block(p + 4, block, out, limit, e);
        if (rc < 0)
            return rc;
        p += 4 + block;
    }
    return CHRONIK_DONE;
}

static int32_t pack_snappy(const uint8_t *p, size_t n, struct codec_buf *out, struct err *e)
{
    size_t blocks = n / XERIAL_BLOCK + 1;
    if (!codec_buf_reserve(out, sizeof xerial_head + blocks * (4 + snappy_max_compressed_length(XERIAL_BLOCK))))
        return no_memory(e);
    memcpy(out->p + out->n, xerial_head, sizeof xerial_head);
    out->n += sizeof xerial_head;
    while (n) {
        size_t take = min_size(n, XERIAL_BLOCK), made = snappy_max_compressed_length(take);
        CHECK(snappy_compress((const char *)p, take, (char *)out->p + out->n + 4, &made) == SNAPPY_OK);
        put_be32(out->p + out->n, (uint32_t)made);
        out->n += 4 + made;
        p += take;
        n -= take;
    }
    return CHRONIK_DONE;
}

/* ---- lz4 ---- */

static int32_t unpack_lz4(const uint8_t *p, size_t n, struct codec_buf *out, size_t limit, struct err *e)
{
    LZ4F_dctx *ctx;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&ctx, LZ4F_VERSION)))
        return no_memory(e);
    int32_t rc = CHRONIK_DONE;
    size_t want = 1; /* 0 after a whole frame; another may follow */
    while (rc > 0 && (n || want)) {
        if ((rc = more_room(out, 4 * n, limit, e)) < 0)
            break;
        size_t made = room_of(out, limit), used = n;
        want = LZ4F_decompress(ctx, out->p + out->n, &made, p, &used, NULL);
        if (LZ4F_isError(want) || (!made && !used && want))
            rc = damaged(e, CODEC_LZ4);
        out->n += made;
        p += used;
        n -= used;
    }
    LZ4F_freeDecompressionContext(ctx);
    return rc;
}

static int32_t pack_lz4(int level, const uint8_t *p, size_t n, struct codec_buf *out, struct err *e)
{
    LZ4F_preferences_t prefs = {.frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent},
                                .compressionLevel = level == INT32_MIN ? 0 : level};
    size_t bound = LZ4F_compressFrameBound(n, &prefs);
    if (!codec_buf_reserve(out, bound))
        return no_memory(e);
    size_t made = LZ4F_compressFrame(out->p + out->n, bound, p, n, &prefs);
    if (LZ4F_isError(made))
        return err_set(e, CHRONIK_E_FAILED, "lz4: %s", LZ4F_getErrorName(made));
    out->n += made;
    return CHRONIK_DONE;
}

/* ---- zstd ---- */

static int32_t unpack_zstd(const uint8_t *p, size_t n, struct codec_buf *out, size_t limit, struct err *e)
{
    ZSTD_DCtx *ctx = ZSTD_createDCtx();
    if (!ctx)
        return no_memory(e);
    ZSTD_inBuffer in = {p, n, 0};
    int32_t rc = CHRONIK_DONE;
    size_t want = 1; /* 0 after a whole frame; another may follow */
    while (rc > 0 && (in.pos < in.size || want)) {
        if ((rc = more_room(out, 4 * n, limit, e)) < 0)
            break;
        ZSTD_outBuffer to = {out->p + out->n, room_of(out, limit), 0};
        size_t before = in.pos;
        want = ZSTD_decompressStream(ctx, &to, &in);
        out->n += to.pos;
        if (ZSTD_isError(want) || (!to.pos && in.pos == before))
            rc = damaged(e, CODEC_ZSTD);
    }
    ZSTD_freeDCtx(ctx);
    return rc;
}

static int32_t pack_zstd(int level, const uint8_t *p, size_t n, struct codec_buf *out, struct err *e)
{
    size_t bound = ZSTD_compressBound(n);
    if (!codec_buf_reserve(out, bound))
        return no_memory(e);
    size_t made = ZSTD_compress(out->p + out->n, bound, p, n, level == INT32_MIN ? ZSTD_CLEVEL_DEFAULT : level);
    if (ZSTD_isError(made))
        return err_set(e, CHRONIK_E_FAILED, "zstd: %s", ZSTD_getErrorName(made));
    out->n += made;
    return CHRONIK_DONE;
}

/* ---- all ---- */

int32_t codec_unpack(int codec, const void *p, size_t n, struct codec_buf *out, size_t limit, struct err *e)
{
    CHECK(!out->n);
    if (!codec_buf_reserve(out, 1)) /* no output at all has an address too */
        return no_memory(e);
    switch (codec) {
    case CODEC_NONE:
        if (n > limit)
            return err_set(e, CHRONIK_E_TOOBIG, "a batch of more than %zu bytes", limit);
        if (!codec_buf_reserve(out, n))
            return no_memory(e);
        if (n)
            memcpy(out->p, p, n);
        out->n = n;
        return CHRONIK_DONE;
    case CODEC_GZIP:
        return unpack_gzip(p, n, out, limit, e);
    case CODEC_SNAPPY:
        return unpack_snappy(p, n, out, limit, e);
    case CODEC_LZ4:
        return unpack_lz4(p, n, out, limit, e);
    case CODEC_ZSTD:
        return unpack_zstd(p, n, out, limit, e);
    default:
        return err_set(e, CHRONIK_E_UNSUPPORTED, "compression type %d does not exist", codec);
    }
}

int32_t codec_pack(int codec, int level, const void *p, size_t n, struct codec_buf *out, struct err *e)
{
    switch (codec) {
    case CODEC_NONE:
        if (!codec_buf_reserve(out, n))
            return no_memory(e);
        if (n)
            memcpy(out->p + out->n, p, n);
        out->n += n;
        return CHRONIK_DONE;
    case CODEC_GZIP:
        return pack_gzip(level, p, n, out, e);
    case CODEC_SNAPPY:
        return pack_snappy(p, n, out, e);
    case CODEC_LZ4:
        return pack_lz4(level, p, n, out, e);
    case CODEC_ZSTD:
        return pack_zstd(level, p, n, out, e);
    default:
        return err_set(e, CHRONIK_E_UNSUPPORTED, "compression type %d does not exist", codec);
    }
}
