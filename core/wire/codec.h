/* codec.h: the five ways to pack the records of a batch. Output goes to a growing buffer with a bound, so that a small
 * input cannot become an endless output. No state, no lock; any thread. */
#ifndef CHRONIK_WIRE_CODEC_H
#define CHRONIK_WIRE_CODEC_H

#include "base/base.h"
#include "base/err.h"

enum { CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD, CODEC_END };
enum { BATCH_GZIP = CODEC_GZIP, BATCH_SNAPPY = CODEC_SNAPPY, BATCH_LZ4 = CODEC_LZ4, BATCH_ZSTD = CODEC_ZSTD };

/* Zero it before first use; keep it to reuse the memory. */
struct codec_buf {
    uint8_t *p;
    size_t n, cap;
};

void codec_buf_free(struct codec_buf *b);
/* Makes room for `n` more bytes; false when memory is short. */
bool codec_buf_reserve(struct codec_buf *b, size_t n) MUST_CHECK;

/* "none" … "zstd"; NULL for what is no codec. And back: -1. */
const char *codec_name(int codec);
int codec_by_name(const char *name);

/* Unpacks all of `p` to the empty `out`. DONE; E_CORRUPT; E_TOOBIG when it would exceed `limit` bytes; E_NOMEM;
 * E_UNSUPPORTED. */
int32_t codec_unpack(int codec, const void *p, size_t n, struct codec_buf *out, size_t limit, struct err *e) MUST_CHECK;

/* Packs, appending to `out`, as Java clients do (snappy in the xerial framing). Level INT32_MIN is the codec's default.
 */
int32_t codec_pack(int codec, int level, const void *p, size_t n, struct codec_buf *out, struct err *e) MUST_CHECK;

#endif
