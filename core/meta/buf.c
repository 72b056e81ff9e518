/* buf.c: the byte writer, the distrustful reader and a small JSON writer of core/meta. */
#include "meta/buf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "meta/mem.h"

void mb_free(struct meta_buf *b)
{
    free(b->p);
    *b = (struct meta_buf){0};
}

void mb_need(struct meta_buf *b, size_t more)
{
    if (b->cap - b->n >= more)
        return;
    size_t cap = max_size(b->cap * 2, 256);
    while (cap - b->n < more)
        cap *= 2;
    b->p = meta_xrealloc(b->p, cap);
    b->cap = cap;
}

void mb_put(struct meta_buf *b, const void *p, size_t n)
{
    if (!n)
        return;
    mb_need(b, n);
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

void mb_u8(struct meta_buf *b, uint8_t v)
{
    mb_need(b, 1);
    b->p[b->n++] = v;
}

void mb_be32(struct meta_buf *b, uint32_t v)
{
    mb_need(b, 4);
    put_be32(b->p + b->n, v);
    b->n += 4;
}

void mb_be64(struct meta_buf *b, uint64_t v)
{
    mb_need(b, 8);
    put_be64(b->p + b->n, v);
    b->n += 8;
}

void mb_uv(struct meta_buf *b, uint64_t v)
{
    mb_need(b, 10);
    while (v >= 0x80) {
        b->p[b->n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    b->p[b->n++] = (uint8_t)v;
}

void mb_iv(struct meta_buf *b, int64_t v)
{
    mb_uv(b, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

void mb_str(struct meta_buf *b, const char *s)
{
    if (!s) {
        mb_uv(b, 0);
        return;
    }
    mb_strn(b, s, strlen(s));
}

void mb_strn(struct meta_buf *b, const char *s, size_t n)
{
    mb_uv(b, n + 1);
    mb_put(b, s, n);
    mb_u8(b, 0);
}

void mb_uuid(struct meta_buf *b, const struct chronik_uuid *u)
{
    mb_put(b, u->b, sizeof u->b);
}

void mb_bytes(struct meta_buf *b, const void *p, size_t n)
{
    mb_uv(b, n);
    mb_put(b, p, n);
}

static const uint8_t *mr_take(struct meta_rd *r, size_t n)
{
    if (r->bad || mr_left(r) < n) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *p = r->p;
    r->p += n;
    return p;
}

uint8_t mr_u8(struct meta_rd *r)
{
    const uint8_t *p = mr_take(r, 1);
    return p ? *p : 0;
}

uint32_t mr_be32(struct meta_rd *r)
{
    const uint8_t *p = mr_take(r, 4);
    return p ? get_be32(p) : 0;
}

uint64_t mr_be64(struct meta_rd *r)
{
    const uint8_t *p = mr_take(r, 8);
    return p ? get_be64(p) : 0;
}

uint64_t mr_uv(struct meta_rd *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        const uint8_t *p = mr_take(r, 1);
        if (!p)
            return 0;
        if (shift == 63 && *p > 1)
            break;
        v |= (uint64_t)(*p & 0x7f) << shift;
        if (!(*p & 0x80)) {
            if (*p == 0 && shift > 0)
                break; /* one number, one spelling */
            return v;
        }
    }
    r->bad = true;
    return 0;
}

int64_t mr_iv(struct meta_rd *r)
{
    uint64_t v = mr_uv(r);
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

int32_t mr_iv32(struct meta_rd *r)
{
    int64_t v = mr_iv(r);
    if (v < INT32_MIN || v > INT32_MAX) {
        r->bad = true;
        return 0;
    }
    return (int32_t)v;
}

const char *mr_str(struct meta_rd *r)
{
    uint64_t n = mr_uv(r);
    if (n == 0)
        return NULL;
    if (n > mr_left(r)) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *p = mr_take(r, (size_t)n);
    if (!p || memchr(p, 0, (size_t)n) != p + n - 1) {
        r->bad = true;
        return NULL;
    }
    return (const char *)p;
}

const char *mr_str_some(struct meta_rd *r)
{
    const char *s = mr_str(r);
    if (!s)
        r->bad = true;
    return s ? s : "";
}

struct chronik_uuid mr_uuid(struct meta_rd *r)
{
    struct chronik_uuid u = {0};
    const uint8_t *p = mr_take(r, sizeof u.b);
    if (p)
        memcpy(u.b, p, sizeof u.b);
    return u;
}

const uint8_t *mr_bytes(struct meta_rd *r, size_t *n)
{
    uint64_t len = mr_uv(r);
    *n = 0;
    if (len > mr_left(r)) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *p = mr_take(r, (size_t)len);
    if (p)
        *n = (size_t)len;
    return p;
}

uint32_t mr_count(struct meta_rd *r, size_t min_each)
{
    uint64_t n = mr_uv(r);
    if (r->bad || n > mr_left(r) / (min_each ? min_each : 1)) {
        r->bad = true;
        return 0;
    }
    return (uint32_t)n;
}

void *mr_array(struct meta_rd *r, struct arena *a, uint32_t n, size_t each)
{
    void *p = arena_calloc(a, r->bad ? 0 : n, each);
    CHECK(p != NULL);
    return p;
}

/* ---- JSON ---- */

void mj_raw(struct meta_buf *b, const char *s)
{
    mb_put(b, s, strlen(s));
}

static void mj_quoted(struct meta_buf *b, const char *s, size_t n)
{
    mb_u8(b, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\') {
            mb_u8(b, '\\');
            mb_u8(b, c);
        } else if (c < 0x20 || c == 0x7f) {
            char esc[8];
            snprintf(esc, sizeof esc, "\\u%04x", c);
            mj_raw(b, esc);
        } else {
            mb_u8(b, c);
        }
    }
    mb_u8(b, '"');
}

void mj_str(struct meta_buf *b, const char *s)
{
    if (s)
        mj_quoted(b, s, strlen(s));
    else
        mj_raw(b, "null");
}

void meta_uuid_text(const struct chronik_uuid *u, char out[23])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    int o = 0;
    for (int i = 0; i < 18; i += 3) {
        uint32_t v = (uint32_t)u->b[i] << 16;
        if (i + 1 < 16)
            v |= (uint32_t)u->b[i + 1] << 8;
        if (i + 2 < 16)
            v |= u->b[i + 2];
        for (int k = 0; k < 4 && o < 22; k++)
            out[o++] = digits[(v >> (18 - 6 * k)) & 63];
    }
    out[22] = 0;
}

void mj_uuid(struct meta_buf *b, const struct chronik_uuid *u)
{
    char text[23];
    meta_uuid_text(u, text);
    mj_str(b, text);
}

void mj_comma(struct meta_buf *b)
{
    if (b->n && b->p[b->n - 1] != '{' && b->p[b->n - 1] != '[')
        mb_u8(b, ',');
}

void mj_key(struct meta_buf *b, const char *key)
{
    mj_comma(b);
    mj_str(b, key);
    mb_u8(b, ':');
}

void mj_int(struct meta_buf *b, const char *key, int64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, v);
    mj_key(b, key);
    mj_raw(b, text);
}

void mj_text(struct meta_buf *b, const char *key, const char *v)
{
    mj_key(b, key);
    mj_str(b, v);
}

void mj_textn(struct meta_buf *b, const char *key, const char *v, size_t n)
{
    mj_key(b, key);
    mj_quoted(b, v, n);
}

void mj_id(struct meta_buf *b, const char *key, const struct chronik_uuid *u)
{
    mj_key(b, key);
    mj_uuid(b, u);
}

void mj_bool(struct meta_buf *b, const char *key, bool v)
{
    mj_key(b, key);
    mj_raw(b, v ? "true" : "false");
}

void mj_ints(struct meta_buf *b, const char *key, const int32_t *v, uint32_t n)
{
    mj_key(b, key);
    mb_u8(b, '[');
    for (uint32_t i = 0; i < n; i++) {
        char text[16];
        snprintf(text, sizeof text, "%s%d", i ? "," : "", v[i]);
        mj_raw(b, text);
    }
    mb_u8(b, ']');
}

void mj_ids(struct meta_buf *b, const char *key, const struct chronik_uuid *v, uint32_t n)
{
    mj_key(b, key);
    mb_u8(b, '[');
    for (uint32_t i = 0; i < n; i++) {
        mj_comma(b);
        mj_uuid(b, &v[i]);
    }
    mb_u8(b, ']');
}

void mj_base64(struct meta_buf *b, const char *key, const void *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *s = p;
    mj_key(b, key);
    mb_u8(b, '"');
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        uint32_t v = (uint32_t)s[i] << 16 | (left > 1 ? (uint32_t)s[i + 1] << 8 : 0) | (left > 2 ? s[i + 2] : 0);
        mb_u8(b, (uint8_t)digits[v >> 18]);
        mb_u8(b, (uint8_t)digits[v >> 12 & 63]);
        mb_u8(b, left > 1 ? (uint8_t)digits[v >> 6 & 63] : '=');
        mb_u8(b, left > 2 ? (uint8_t)digits[v & 63] : '=');
    }
    mb_u8(b, '"');
}
