/* buf.h: writing and reading the bytes of commands, rows and snapshots: varints, strings with their NUL, uuids. The
 * writer grows and ends the process without memory; the reader trusts nothing and remembers the first violation in
 * `bad`. Little state, no lock. */
#ifndef CHRONIK_META_BUF_H
#define CHRONIK_META_BUF_H

#include <chronik/base.h>

#include "base/arena.h"
#include "base/base.h"

struct meta_buf {
    uint8_t *p;
    size_t n, cap;
};

void mb_free(struct meta_buf *b);
void mb_need(struct meta_buf *b, size_t more);
void mb_put(struct meta_buf *b, const void *p, size_t n);
void mb_u8(struct meta_buf *b, uint8_t v);
void mb_be32(struct meta_buf *b, uint32_t v);
void mb_be64(struct meta_buf *b, uint64_t v);
void mb_uv(struct meta_buf *b, uint64_t v);                /* 7 bits a byte, least first */
void mb_iv(struct meta_buf *b, int64_t v);                 /* zigzag */
void mb_str(struct meta_buf *b, const char *s);            /* NULL: 0; else length + 1, bytes, NUL */
void mb_strn(struct meta_buf *b, const char *s, size_t n); /* the same bytes, from a text without its NUL */
void mb_uuid(struct meta_buf *b, const struct chronik_uuid *u);
void mb_bytes(struct meta_buf *b, const void *p, size_t n); /* length, bytes */

struct meta_rd {
    const uint8_t *p, *end;
    bool bad;
};

static inline struct meta_rd mr_of(const void *p, size_t n)
{
    return (struct meta_rd){.p = p, .end = (const uint8_t *)p + n, .bad = false};
}
static inline size_t mr_left(const struct meta_rd *r)
{
    return (size_t)(r->end - r->p);
}
uint8_t mr_u8(struct meta_rd *r);
uint32_t mr_be32(struct meta_rd *r);
uint64_t mr_be64(struct meta_rd *r);
uint64_t mr_uv(struct meta_rd *r);
int64_t mr_iv(struct meta_rd *r);
int32_t mr_iv32(struct meta_rd *r);         /* bad when it does not fit */
const char *mr_str(struct meta_rd *r);      /* borrows; NULL for NULL and when bad */
const char *mr_str_some(struct meta_rd *r); /* NULL in the bytes is bad; gives "" then */
struct chronik_uuid mr_uuid(struct meta_rd *r);
const uint8_t *mr_bytes(struct meta_rd *r, size_t *n);
uint32_t mr_count(struct meta_rd *r, size_t min_each); /* a count that the rest of the bytes can hold */
void *mr_array(struct meta_rd *r, struct arena *a, uint32_t n, size_t each); /* zeroed; ends without memory */

/* ---- JSON text ---- */
void mj_raw(struct meta_buf *b, const char *s);
void mj_str(struct meta_buf *b, const char *s);                 /* quoted and escaped; NULL: null */
void mj_uuid(struct meta_buf *b, const struct chronik_uuid *u); /* quoted, Kafka's base64 form */
void mj_key(struct meta_buf *b, const char *key); /* ,"key": with the comma unless it follows an opening bracket */
void mj_int(struct meta_buf *b, const char *key, int64_t v);
void mj_text(struct meta_buf *b, const char *key, const char *v);
void mj_textn(struct meta_buf *b, const char *key, const char *v, size_t n); /* may hold NULs */
void mj_id(struct meta_buf *b, const char *key, const struct chronik_uuid *u);
void mj_bool(struct meta_buf *b, const char *key, bool v);
void mj_ints(struct meta_buf *b, const char *key, const int32_t *v, uint32_t n);
void mj_ids(struct meta_buf *b, const char *key, const struct chronik_uuid *v, uint32_t n);
void mj_base64(struct meta_buf *b, const char *key, const void *p, size_t n);
void mj_comma(struct meta_buf *b); /* unless it follows an opening bracket */

/* 22 characters and a NUL: Kafka's URL-safe base64 of an id. */
void meta_uuid_text(const struct chronik_uuid *u, char out[23]);

#endif
